//! The writer's side: raise a fence before the commit, bump and lower it afterwards.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    Freshness, Table,
    memory::{Machine, Memory, Step},
    writes::Write,
};

/// Tables in one fence. A commit that may touch more fences everything.
pub const FENCE_TABLES_MAX: usize = 64;

/// Rows' tags in one commit. Beyond it the tables concerned count as changed in unknown rows: 16,384 stores are about 0.2 ms.
pub const CHANGED_ROWS_MAX: usize = 16_384;

/// What a commit may touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tables {
    /// At most [`FENCE_TABLES_MAX`], each once.
    Known(Vec<Table>),
    /// It cannot be said.
    All,
}

/// What a commit did touch. A table of the fence that is not mentioned changed in unknown rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    rows: BTreeMap<Table, Rows>,
    count: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rows {
    Unknown,
    /// Hashes of the old and new values of tracked columns; whether any row changed at all, be it one without such values.
    Exact {
        changed: bool,
        rows: Vec<u32>,
    },
}

impl Rows {
    const NONE: Rows = Rows::Exact { changed: false, rows: Vec::new() };

    pub(crate) fn unchanged(&self) -> bool {
        matches!(self, Rows::Exact { changed: false, .. })
    }
}

/// A commit in flight. End it with [`Fence::commit`] or [`Fence::release`]; a fence that is dropped (a panic, a lost connection) counts as a
/// commit of unknown outcome: everything stored until then is forgotten. Drop it only when the outcome can no longer *change*: a
/// statement that the database may still be executing keeps its fence.
#[must_use = "a fence that is dropped at once forgets everything stored"]
pub struct Fence<M: Memory = Machine> {
    freshness: Arc<Freshness<M>>,
    tables: Tables,
    ended: bool,
}

impl Tables {
    pub fn of(tables: impl IntoIterator<Item = Table>) -> Tables {
        let tables: BTreeSet<Table> = tables.into_iter().collect();
        if tables.len() > FENCE_TABLES_MAX { Tables::All } else { Tables::Known(tables.into_iter().collect()) }
    }

    /// W1: the tables in `written`, and what writing them writes (triggers, cascades of foreign keys), and so on. `reach` names the tables
    /// written by a write to one table, or `None` if that cannot be known.
    pub fn closed<T: Clone + Ord>(
        written: impl IntoIterator<Item = T>,
        mut reach: impl FnMut(&T) -> Option<Vec<T>>,
        table: impl Fn(&T) -> Table,
    ) -> Tables {
        let mut waiting: Vec<T> = written.into_iter().collect();
        let mut seen: BTreeSet<T> = BTreeSet::new();
        while let Some(next) = waiting.pop() {
            if !seen.insert(next.clone()) {
                continue;
            }
            if seen.len() > FENCE_TABLES_MAX {
                return Tables::All;
            }
            match reach(&next) {
                Some(more) => waiting.extend(more),
                None => return Tables::All,
            }
        }
        Tables::of(seen.iter().map(table))
    }
}

impl Changes {
    pub fn new() -> Changes {
        Changes::default()
    }

    /// Rows of `table` changed, and it is not known which.
    pub fn unknown_rows(&mut self, table: Table) {
        self.rows.insert(table, Rows::Unknown);
    }

    /// `table` is known exactly: only rows that [`Changes::row`] names changed in it, none if none is named.
    pub fn exact(&mut self, table: Table) {
        self.rows.entry(table).or_insert(Rows::NONE);
    }

    /// A row of `table` changed, whether or not [`Changes::row`] has anything to say about it.
    pub fn touch(&mut self, table: Table) {
        if let Rows::Exact { changed, .. } = self.rows.entry(table).or_insert(Rows::NONE) {
            *changed = true;
        }
    }

    /// A row of `table` whose `column` had or has `value` changed. Call it for every tracked column of every changed row, with the old
    /// and the new value.
    pub fn row(&mut self, table: Table, column: &str, value: &[u8]) {
        let known = self.rows.entry(table).or_insert(Rows::NONE);
        if self.count >= CHANGED_ROWS_MAX {
            *known = Rows::Unknown;
        }
        if let Rows::Exact { changed, rows } = known {
            *changed = true;
            rows.push(table.row(column, value).hash);
            self.count += 1;
        }
    }

    /// The tables mentioned that changed: what the fence of an engine that sees every row must cover.
    pub fn tables(&self) -> impl Iterator<Item = Table> + '_ {
        self.rows.iter().filter(|(_, rows)| !rows.unchanged()).map(|(table, _)| *table)
    }

    pub fn is_empty(&self) -> bool {
        self.tables().next().is_none()
    }

    pub fn clear(&mut self) {
        self.rows.clear();
        self.count = 0;
    }

    pub(crate) fn rows(&self, table: Table) -> &Rows {
        self.rows.get(&table).unwrap_or(&Rows::Unknown)
    }
}

impl<M: Memory> Fence<M> {
    pub(crate) fn raise(freshness: &Arc<Freshness<M>>, tables: Tables) -> Fence<M> {
        freshness.raise(&tables);
        Fence { freshness: freshness.clone(), tables, ended: false }
    }

    /// W5 and W6: the commit is visible to new snapshots. Call it before the client learns of it.
    ///
    /// A table in `changes` that the fence does not cover broke the fence's promise; everything stored is then forgotten, which is the
    /// most that can still be done.
    pub fn commit(mut self, changes: &Changes) {
        self.end(changes);
    }

    /// [`Fence::commit`], remembered for people who ask what dropped a page ([`Freshness::write`]). `at_ms`: now, since the Unix epoch.
    pub fn commit_noted(mut self, changes: &Changes, at_ms: u64, statement: Option<Arc<str>>) {
        let Some(number) = self.end(changes) else { return };
        if let Tables::Known(tables) = &self.tables {
            let tables = tables.iter().copied().filter(|table| !changes.rows(*table).unchanged()).collect();
            self.freshness.note(Write { number, at_ms, tables, statement });
        }
    }

    fn end(&mut self, changes: &Changes) -> Option<u64> {
        self.ended = true;
        if M::broken(Step::BumpBeforeRelease) {
            self.freshness.lower(&self.tables);
            return self.bump(changes);
        }
        let number = self.bump(changes);
        self.freshness.lower(&self.tables);
        number
    }

    /// Nothing was committed, and nothing will be.
    pub fn release(mut self) {
        self.ended = true;
        self.freshness.lower(&self.tables);
    }

    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// The number it took; a commit to everything has none, it ends the epoch.
    fn bump(&self, changes: &Changes) -> Option<u64> {
        match &self.tables {
            Tables::All => {
                self.freshness.new_epoch();
                None
            }
            Tables::Known(tables) => {
                if changes.tables().any(|table| tables.binary_search(&table).is_err()) {
                    debug_assert!(false, "a commit changed a table that its fence did not cover");
                    self.freshness.new_epoch();
                }
                self.freshness.bump(tables, changes)
            }
        }
    }
}

impl<M: Memory> Drop for Fence<M> {
    fn drop(&mut self) {
        if !self.ended {
            if !M::broken(Step::EpochOnUnknownOutcome) {
                self.freshness.new_epoch();
            }
            self.freshness.lower(&self.tables);
        }
    }
}
