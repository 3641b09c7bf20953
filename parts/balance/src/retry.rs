//! How many retries a pool affords: a share of its recent first tries and a few per second.
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::RetryShare;

/// Counts in hundredths of a retry: a first try earns `percent` of them, a retry costs 100.
#[derive(Default)]
pub(crate) struct RetryBudget {
    earned: AtomicI64,
    /// The second the reserve belongs to, in the upper 32 bits, and how much of it is spent in the lower.
    reserve: AtomicU64,
}

impl RetryBudget {
    pub fn earn(&self, share: RetryShare) {
        // A full budget is left alone: the usual case costs a load, not a write to a line shared by all cores.
        if self.earned.load(Ordering::Relaxed) < EARNED_MAX {
            self.earned.fetch_add(i64::from(share.percent), Ordering::Relaxed);
        }
    }

    pub fn spend(&self, share: RetryShare, now_us: u64) -> bool {
        self.spend_reserve(share, now_us) || self.spend_earned()
    }

    fn spend_earned(&self) -> bool {
        let take = |earned| (earned >= RETRY_COST).then_some(earned - RETRY_COST);
        self.earned.fetch_update(Ordering::AcqRel, Ordering::Relaxed, take).is_ok()
    }

    fn spend_reserve(&self, share: RetryShare, now_us: u64) -> bool {
        let second = (now_us / 1_000_000) & 0xffff_ffff;
        let take = |word: u64| {
            let spent = if word >> 32 == second { word & 0xffff_ffff } else { 0 };
            (spent < u64::from(share.per_second)).then_some(second << 32 | (spent + 1))
        };
        self.reserve.fetch_update(Ordering::AcqRel, Ordering::Relaxed, take).is_ok()
    }
}

// === helpers ===

const RETRY_COST: i64 = 100;

/// A hundred retries at most are saved up: an hour of good weather must not pay for a storm.
const EARNED_MAX: i64 = 100 * RETRY_COST;
