//! Hashes of entries that left unproven: whoever comes back while remembered has proven itself.
use std::collections::VecDeque;

use hashbrown::HashTable;

/// A queue of hashes and a set of the same, at most as many as the store has entries.
///
/// A hash that was taken stays in the queue until it reaches the end. Should it have been added anew by then, it is forgotten a little
/// early; a wrong guess about one entry, for never searching the queue.
#[derive(Default)]
pub(crate) struct Ghost {
    queue: VecDeque<u64>,
    set: HashTable<u64>,
}

/// What one remembered hash costs at worst: both structures at their lowest load.
pub(crate) const BYTES: usize = 2 * 8 + 21;

impl Ghost {
    /// Remembers `hash`, and forgets the oldest beyond `most`.
    pub fn add(&mut self, hash: u64, most: usize) {
        self.queue.push_back(hash);
        if self.set.find(hash, |other| *other == hash).is_none() {
            self.set.insert_unique(hash, hash, |hash| *hash);
        }
        while self.queue.len() > most {
            if let Some(oldest) = self.queue.pop_front() {
                self.take(oldest);
            }
        }
    }

    /// Whether `hash` was remembered; it no longer is.
    pub fn take(&mut self, hash: u64) -> bool {
        match self.set.find_entry(hash, |other| *other == hash) {
            Ok(entry) => {
                entry.remove();
                true
            }
            Err(_) => false,
        }
    }
}
