//! What the store and each route count.
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use pumasi_freshness::Invalidations;
use pumasi_httpcache::Bypass;

/// One per route; whoever serves the route counts.
#[derive(Debug, Default)]
pub struct RouteCounters {
    pub hits: AtomicU64,
    /// Fetched, alone or by waiting for another's fetch.
    pub misses: AtomicU64,
    /// Served past its lifetime, by permission.
    pub stale: AtomicU64,
    /// What made its kept pages wrong.
    pub invalidations: Invalidations,
    bypasses: [AtomicU64; Bypass::ALL.len()],
}

impl RouteCounters {
    pub fn bypassed(&self, reason: Bypass) {
        self.bypasses[reason as usize].fetch_add(1, Relaxed);
    }

    /// Reasons with their counts, most frequent first.
    pub fn bypasses(&self) -> Vec<(String, u64)> {
        let counted = Bypass::ALL.iter().map(|reason| (reason.word().to_string(), self.bypasses[*reason as usize].load(Relaxed)));
        let mut list: Vec<(String, u64)> = counted.filter(|(_, count)| *count > 0).collect();
        list.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        list
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    invalidated: AtomicU64,
    evicted: AtomicU64,
}

impl Counters {
    pub fn hit(&self) {
        self.hits.fetch_add(1, Relaxed);
    }

    pub fn missed(&self) {
        self.misses.fetch_add(1, Relaxed);
    }

    pub fn invalidated(&self, pages: u64) {
        self.invalidated.fetch_add(pages, Relaxed);
    }

    pub fn evicted(&self, pages: u64) {
        self.evicted.fetch_add(pages, Relaxed);
    }

    pub fn status(&self, entries: u64, bytes: u64, bytes_max: u64) -> pumasi_status::Store {
        pumasi_status::Store {
            entries,
            bytes,
            bytes_max,
            hits: self.hits.load(Relaxed),
            misses: self.misses.load(Relaxed),
            invalidated: self.invalidated.load(Relaxed),
            evicted: self.evicted.load(Relaxed),
        }
    }
}
