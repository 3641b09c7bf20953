//! The latest writes, to be told to people. No stored answer is checked against them.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::Table;

/// Writes remembered: a page is asked about soon after a write dropped it. With the longest statements some 200 KiB.
pub const WRITES_MAX: usize = 256;

/// Bytes of a statement's text that whoever notes a write should keep.
pub const STATEMENT_BYTES_MAX: usize = 512;

/// One write that was acknowledged, or is about to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// What it left on the tags of its rows.
    pub number: u64,
    /// Milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Those it changed, or may have.
    pub tables: Vec<Table>,
    /// Without its values; of a transaction the last one that wrote. `None`: it did not pass through Pumasi, or is not known.
    pub statement: Option<Arc<str>>,
}

/// A lock that only writers and explanations take.
#[derive(Default)]
pub(crate) struct Writes(Mutex<VecDeque<Arc<Write>>>);

impl Writes {
    pub fn note(&self, write: Write) {
        let mut writes = self.lock();
        if writes.len() >= WRITES_MAX {
            writes.pop_front();
        }
        writes.push_back(Arc::new(write));
    }

    /// Concurrent writers may note out of order, so all are looked at, the newest first.
    pub fn find(&self, number: u64) -> Option<Arc<Write>> {
        self.lock().iter().rev().find(|write| write.number == number).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Write>>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
