//! The page store, in memory and on disk.
use super::{Family, Kind};

pub static PAGES_ENTRIES: Family = Family {
    name: "pumasi_pages_entries",
    kind: Kind::Gauge,
    unit: "entries",
    labels: &[],
    meaning: "Pages kept now.",
    remedy: "Nothing to do by itself.",
};

pub static PAGES_BYTES: Family = Family {
    name: "pumasi_pages_bytes",
    kind: Kind::Gauge,
    unit: "bytes",
    labels: &[],
    meaning: "Memory of the kept pages.",
    remedy: "At its bound, see evictions.",
};

pub static PAGES_BYTES_MAX: Family = Family {
    name: "pumasi_pages_bytes_max",
    kind: Kind::Gauge,
    unit: "bytes",
    labels: &[],
    meaning: "The budget for kept pages.",
    remedy: "Set by edge.pages.memory.",
};

pub static PAGES_HITS: Family = Family {
    name: "pumasi_pages_hits_total",
    kind: Kind::Counter,
    unit: "lookups",
    labels: &[],
    meaning: "Lookups of pages that found a fresh one.",
    remedy: "Nothing to do by itself.",
};

pub static PAGES_MISSES: Family = Family {
    name: "pumasi_pages_misses_total",
    kind: Kind::Counter,
    unit: "lookups",
    labels: &[],
    meaning: "Lookups of pages that found none.",
    remedy: "Compare with invalidations and evictions to learn why.",
};

pub static PAGES_INVALIDATED: Family = Family {
    name: "pumasi_pages_invalidated_total",
    kind: Kind::Counter,
    unit: "entries",
    labels: &[],
    meaning: "Pages dropped because a write changed what they were made of.",
    remedy: "Higher than hits: writes are too frequent for keeping to pay off.",
};

pub static PAGES_EVICTED: Family = Family {
    name: "pumasi_pages_evicted_total",
    kind: Kind::Counter,
    unit: "entries",
    labels: &[],
    meaning: "Pages dropped to make room.",
    remedy: "Growing steadily while misses are high: raise edge.pages.memory.",
};

pub static PAGES_DISK_ENTRIES: Family = Family {
    name: "pumasi_pages_disk_entries",
    kind: Kind::Gauge,
    unit: "entries",
    labels: &[],
    meaning: "Pages on disk now.",
    remedy: "Nothing to do by itself.",
};

pub static PAGES_DISK_BYTES: Family = Family {
    name: "pumasi_pages_disk_bytes",
    kind: Kind::Gauge,
    unit: "bytes",
    labels: &[],
    meaning: "All files of pages on disk.",
    remedy: "At its bound the oldest part goes.",
};

pub static PAGES_DISK_BYTES_MAX: Family = Family {
    name: "pumasi_pages_disk_bytes_max",
    kind: Kind::Gauge,
    unit: "bytes",
    labels: &[],
    meaning: "The budget for pages on disk.",
    remedy: "Set by edge.pages.disk_size.",
};

pub static PAGES_DISK_HITS: Family = Family {
    name: "pumasi_pages_disk_hits_total",
    kind: Kind::Counter,
    unit: "pages",
    labels: &[],
    meaning: "Pages read back from disk into memory.",
    remedy: "Many beside few hits in memory: raise edge.pages.memory.",
};

pub static PAGES_DISK_ERRORS: Family = Family {
    name: "pumasi_pages_disk_errors_total",
    kind: Kind::Counter,
    unit: "operations",
    labels: &[],
    meaning: "Reads and writes of pages on disk that failed; each cost a hit at most.",
    remedy: "Growing: the disk is full, or fails. The log says which.",
};

pub static PAGES_DISK_CORRUPT: Family = Family {
    name: "pumasi_pages_disk_corrupt_total",
    kind: Kind::Counter,
    unit: "pages",
    labels: &[],
    meaning: "Pages on disk that were not what had been written; they are forgotten.",
    remedy: "Growing: check the disk.",
};
