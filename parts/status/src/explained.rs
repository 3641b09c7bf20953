//! What is known of one address: `pumasi explain` and `/api/explain`.

use serde::{Deserialize, Serialize};

/// One address under one host.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Explained {
    /// As the store has it: `http://example.org/path?query`.
    pub url: String,
    /// The route that takes it, `host/path`; empty if none does.
    pub route: String,
    /// The route's `pages`: `off`, `standard` or `automatic`; empty without a route.
    pub pages: String,
    /// The variants in memory, newest first. Empty: the page is not kept.
    pub kept: Vec<KeptPage>,
    /// The disk tier may have it.
    pub on_disk: bool,
    /// The last answer that was not stored, or not looked for.
    pub refused: Option<RefusedPage>,
    /// How the last kept page of this address ended. `None`: none did, or it is not remembered any more.
    pub dropped: Option<DroppedPage>,
    /// Automatic routes: the comparisons by which such pages earn being kept.
    pub trial: Option<Trial>,
    /// Why answers of the whole route were not looked for or not stored, with counts, most frequent first.
    pub bypasses: Vec<(String, u64)>,
    /// What made kept pages of the whole route wrong, most often first.
    #[serde(default)]
    pub invalidations: Vec<Invalidation>,
}

/// What made kept answers of one route, or of one kind of statement, wrong; counted when somebody asked for them again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Invalidation {
    /// `None`: everything kept was given up (a schema change, a failover, a lost outcome), or see `others`.
    pub table: Option<TableTold>,
    /// Tables beyond those that are told apart.
    pub others: bool,
    pub times: u64,
    /// Of the last write of them; 0 if it was not remembered any more.
    pub at_unix_ms: u64,
    /// Of that write, without its values. `None`: it did not pass through Pumasi, or is not known.
    pub statement: Option<String>,
}

impl Invalidation {
    /// What it was, for people.
    pub fn cause(&self) -> String {
        match &self.table {
            Some(TableTold { names, number }) if names.is_empty() => format!("a table that is not known any more (number {number})"),
            Some(TableTold { names, .. }) => names.join(" or "),
            None if self.others => "other tables".to_owned(),
            None => "everything given up".to_owned(),
        }
    }
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct KeptPage {
    /// The answer's status code.
    pub status: u16,
    pub age_s: u64,
    /// In memory, with its head and compressed forms.
    pub bytes: u64,
    /// Request fields that choose between variants.
    pub vary: Vec<String>,
    /// `clean`: it would be used now. Else `fenced` (a write is on its way), `overtaken` (a write has changed it), `given-up` (everything stored was
    /// forgotten), `purged`, or `stale` (past its lifetime).
    pub state: String,
    /// What overtook it.
    pub write: Option<WriteTold>,
    /// What an automatic page was made of; `None` for one that its headers allow to keep.
    pub made_of: Option<MadeOf>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct MadeOf {
    /// The last write that the page certainly knows of.
    pub stamp: u64,
    /// So many parts that every write counts.
    pub everything: bool,
    pub tables: Vec<ReadTable>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ReadTable {
    pub table: TableTold,
    /// Rows asked for by value; only their hashes are known. `None`: any row of the table counts.
    pub rows: Option<u64>,
}

/// A table is known by its hash; the names are those of the databases' catalogues at the moment of asking.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TableTold {
    pub number: u32,
    /// `database.table`. Empty: no table of that hash is known (any more). Several: they share it.
    pub names: Vec<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RefusedPage {
    /// As in `Cache-Status`.
    pub reason: String,
    pub at_unix_ms: u64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DroppedPage {
    /// `overtaken`, `given-up` or `purged`, as of a kept page.
    pub why: String,
    /// When that was noticed: by the next request, or by the purge.
    pub at_unix_ms: u64,
    pub write: Option<WriteTold>,
}

/// One write, as far as it is remembered.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct WriteTold {
    pub number: u64,
    /// Of what the page was made of, the table that it met. `None`: the page depended on everything.
    pub table: Option<TableTold>,
    /// Whether the write is remembered: else the rest is empty.
    pub known: bool,
    pub at_unix_ms: u64,
    /// All tables that it changed, or may have.
    pub tables: Vec<TableTold>,
    /// Without its values; the last of its transaction that wrote. `None`: it did not pass through Pumasi, or is not known.
    pub statement: Option<String>,
}

/// The comparisons of one kind of page.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Trial {
    /// Route and path, numbers replaced by `*`.
    pub kind: String,
    /// Without a difference.
    pub equal: u32,
    /// So many are needed.
    pub needed: u32,
    /// Two differed: nothing of the kind is kept until then.
    pub barred_until_unix_ms: Option<u64>,
}

impl Explained {
    /// Every table in it, for whoever knows names.
    pub fn tables_mut(&mut self) -> impl Iterator<Item = &mut TableTold> {
        let kept = self.kept.iter_mut().flat_map(|page| {
            let read = page.made_of.iter_mut().flat_map(|made_of| made_of.tables.iter_mut().map(|read| &mut read.table));
            read.chain(page.write.iter_mut().flat_map(WriteTold::tables_mut))
        });
        let kept = kept.chain(self.invalidations.iter_mut().filter_map(|one| one.table.as_mut()));
        kept.chain(self.dropped.iter_mut().flat_map(|dropped| dropped.write.iter_mut().flat_map(WriteTold::tables_mut)))
    }
}

impl WriteTold {
    fn tables_mut(&mut self) -> impl Iterator<Item = &mut TableTold> {
        self.table.iter_mut().chain(self.tables.iter_mut())
    }
}
