//! What became of pages that are not there: why the last answer of a target was not stored, how its last page ended. For people who ask
//! ([`Pages::explain`]); nothing is decided by it, and no hit comes by.
use std::sync::{Arc, Mutex};

use pumasi_freshness::{Freshness, Standing, Table, Write};
use pumasi_httpcache::Bypass;
use pumasi_status::{DroppedPage, Explained, KeptPage, MadeOf, ReadTable, RefusedPage, TableTold, WriteTold};

use crate::{Key, Page, Pages, lock, purge::Pattern};

/// Targets remembered, by their hash; of two that share a place the later one stays. With the longest targets and statements 150 KiB, beside
/// the store's budget.
const PLACES: usize = 128;

/// Longer targets are not remembered.
const KEY_BYTES_MAX: usize = 512;

/// Targets of one explanation: a path on every host may be many.
const EXPLAINED_MAX: usize = 16;

pub(crate) struct Recall {
    places: Box<[Mutex<Option<Remembered>>]>,
}

#[derive(Clone)]
struct Remembered {
    key: Key,
    refused: Option<(Bypass, u64)>,
    dropped: Option<Dropped>,
}

#[derive(Clone)]
struct Dropped {
    /// `None` for a purge, which is a request's or an operator's.
    standing: Option<Standing>,
    write: Option<Arc<Write>>,
    at_ms: u64,
}

impl Default for Recall {
    fn default() -> Recall {
        Recall { places: (0..PLACES).map(|_| Mutex::default()).collect() }
    }
}

impl Recall {
    fn note(&self, key: &Key, change: impl FnOnce(&mut Remembered)) {
        if key.bytes.len() > KEY_BYTES_MAX {
            return;
        }
        let mut place = lock(&self.places[(key.hash >> 20) as usize % PLACES]);
        match &mut *place {
            Some(known) if known.key.bytes == key.bytes => change(known),
            other => change(other.insert(Remembered { key: key.clone(), refused: None, dropped: None })),
        }
    }

    fn find(&self, key: &Key) -> Option<Remembered> {
        lock(&self.places[(key.hash >> 20) as usize % PLACES]).clone().filter(|known| known.key.bytes == key.bytes)
    }

    fn keys(&self) -> Vec<Key> {
        self.places.iter().filter_map(|place| lock(place).as_ref().map(|known| known.key.clone())).collect()
    }
}

impl Pages {
    /// An answer of this target was not stored, or a request not looked up, for this reason.
    pub fn note_refused(&self, key: &Key, reason: Bypass, now_ms: u64) {
        self.recall.note(key, |known| known.refused = Some((reason, now_ms)));
    }

    /// A stored page was found to be over, or is `purged`. Called outside the shard's lock.
    pub(crate) fn note_dropped(&self, key: &Key, page: &Page, purged: bool, now_ms: u64) {
        let freshness = self.freshness.as_deref();
        let standing =
            freshness.and_then(|freshness| Some(page.entry()?.standing(freshness))).filter(|standing| *standing != Standing::Clean);
        // It is not over, only not used at this moment.
        if standing == Some(Standing::Fenced) && !purged {
            return;
        }
        let standing = standing.filter(|standing| *standing != Standing::Fenced);
        let write = freshness.and_then(|freshness| written(standing?, freshness));
        self.recall.note(key, |known| known.dropped = Some(Dropped { standing, write, at_ms: now_ms }));
    }

    /// What is known of `target`: `http://example.org/path?query`, or `/path?query` on every host, at most 16 of them. Of an address nothing
    /// is known of it says so; a path that no host is known for gives nothing. Tables have their numbers, and no names. Linear in the stored
    /// pages for a path.
    pub fn explain(&self, target: &str, now_ms: u64) -> Vec<Explained> {
        if !target.starts_with('/') {
            return vec![self.explain_key(&self.keys.of_bytes(crate::purge::normal(target)), now_ms)];
        }
        let pattern = Pattern::Path(target.as_bytes().into());
        let mut keys: Vec<Key> = self.recall.keys().into_iter().filter(|key| pattern.matches(&key.bytes)).collect();
        for shard in &self.shards {
            let shard = lock(shard);
            let found = shard.resources.iter().filter(|resource| pattern.matches(resource.key()));
            keys.extend(found.take(EXPLAINED_MAX).map(|resource| self.keys.of_bytes(resource.key().to_vec())));
        }
        keys.sort_by(|a, b| a.bytes.cmp(&b.bytes));
        keys.dedup_by(|a, b| a.bytes == b.bytes);
        keys.iter().take(EXPLAINED_MAX).map(|key| self.explain_key(key, now_ms)).collect()
    }

    fn explain_key(&self, key: &Key, now_ms: u64) -> Explained {
        let pages = self.shard(key).resources.peek(key.hash, |resource| resource.is(key)).map(|resource| resource.pages().to_vec());
        let remembered = self.recall.find(key);
        let (refused, dropped) = remembered.map_or((None, None), |known| (known.refused, known.dropped));
        Explained {
            url: String::from_utf8_lossy(&key.bytes).into_owned(),
            kept: pages.unwrap_or_default().iter().rev().map(|page| self.explain_page(page, now_ms)).collect(),
            on_disk: self.shelved(key),
            refused: refused.map(|(reason, at_unix_ms)| RefusedPage { reason: reason.word().to_string(), at_unix_ms }),
            dropped: dropped.map(|dropped| DroppedPage {
                why: dropped.standing.map_or("purged", word).into(),
                at_unix_ms: dropped.at_ms,
                write: dropped.standing.and_then(|standing| told(standing, dropped.write.as_deref())),
            }),
            ..Explained::default()
        }
    }

    fn explain_page(&self, page: &Page, now_ms: u64) -> KeptPage {
        let freshness = self.freshness.as_deref();
        let standing = freshness.and_then(|freshness| Some(page.entry()?.standing(freshness)));
        let state = match standing {
            _ if self.purged(page) => "purged",
            Some(standing) if standing != Standing::Clean => word(standing),
            _ if page.overtaken(freshness) => "given-up",
            _ if !page.terms_now(&self.marks).fresh(now_ms) => "stale",
            _ => "clean",
        };
        let write = standing.and_then(|standing| told(standing, written(standing, freshness?).as_deref()));
        let made_of = page.entry().map(|entry| MadeOf {
            stamp: entry.stamp().seq,
            everything: entry.deps().depends_on_everything(),
            tables: entry
                .deps()
                .tables()
                .map(|table| ReadTable { table: number(table), rows: entry.deps().rows_of(table).map(|rows| rows as u64) })
                .collect(),
        });
        KeptPage {
            status: page.status,
            age_s: now_ms.saturating_sub(page.terms.response_ms) / 1000,
            bytes: page.weight(),
            vary: page.vary.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect(),
            state: state.into(),
            write,
            made_of,
        }
    }
}

// === helpers ===

fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Clean => "clean",
        Standing::Fenced => "fenced",
        Standing::Overtaken { .. } => "overtaken",
        Standing::GivenUp => "given-up",
    }
}

fn written(standing: Standing, freshness: &Freshness) -> Option<Arc<Write>> {
    match standing {
        Standing::Overtaken { number, .. } => freshness.write(number),
        _ => None,
    }
}

fn told(standing: Standing, write: Option<&Write>) -> Option<WriteTold> {
    let Standing::Overtaken { table, number: of_write } = standing else { return None };
    Some(WriteTold {
        number: of_write,
        table: table.map(number),
        known: write.is_some(),
        at_unix_ms: write.map_or(0, |write| write.at_ms),
        tables: write.map_or_else(Vec::new, |write| write.tables.iter().copied().map(number).collect()),
        statement: write.and_then(|write| write.statement.as_deref().map(str::to_owned)),
    })
}

fn number(table: Table) -> TableTold {
    TableTold { number: table.number(), names: Vec::new() }
}
