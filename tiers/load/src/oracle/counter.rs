//! One growing number: what may be read of it.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

#[derive(Debug, Default)]
pub struct Counter {
    begun: AtomicU64,
    acknowledged: AtomicU64,
    /// The highest value that a finished read has shown.
    shown: AtomicU64,
}

impl Counter {
    /// Call before the write is sent.
    pub fn begin(&self) {
        self.begun.fetch_add(1, SeqCst);
    }

    /// Call when it is certain that the write has not been and will not be.
    pub fn withdraw(&self) {
        self.begun.fetch_sub(1, SeqCst);
    }

    /// Call when its acknowledgement has been read.
    pub fn acknowledge(&self) {
        self.acknowledged.fetch_add(1, SeqCst);
    }

    /// Call before the read is sent: the least it may show.
    pub fn floor(&self) -> u64 {
        self.acknowledged.load(SeqCst).max(self.shown.load(SeqCst))
    }

    /// Call with what the finished read showed. The error is what it must have been within.
    pub fn show(&self, floor: u64, shown: Option<u64>) -> Result<(), (u64, u64)> {
        let ceiling = self.begun.load(SeqCst);
        match shown {
            Some(shown) if (floor..=ceiling).contains(&shown) => {
                self.shown.fetch_max(shown, SeqCst);
                Ok(())
            }
            _ => Err((floor, ceiling)),
        }
    }
}
