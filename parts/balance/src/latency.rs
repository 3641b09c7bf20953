//! Peak EWMA: a latency estimate that rises at once and falls slowly, so that a stalling upstream is left quickly and
//! believed again carefully.
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::micros;

/// Microseconds as f64 bits, and when they were written. The two are not one word: a reader between the writes sees an estimate a few
/// microseconds older or younger than it is, which no choice notices.
#[derive(Default)]
pub(crate) struct PeakEwma {
    value: AtomicU64,
    at_us: AtomicU64,
}

impl PeakEwma {
    pub fn observe(&self, latency: Duration, now_us: u64) {
        let seen = (micros(latency) as f64).max(1.0);
        let known = self.read(now_us);
        let next = match known {
            None => seen,
            Some(known) if seen > known => seen,
            Some(known) => known + (seen - known) * (1.0 - self.remaining(now_us)),
        };
        // Read as it decays, write what the decay left plus the news: one formula for both, so idle time and traffic agree.
        self.value.store(next.to_bits(), Ordering::Relaxed);
        self.at_us.store(now_us, Ordering::Relaxed);
    }

    /// A lower bound: raises the estimate, never lowers it.
    pub fn observe_at_least(&self, latency: Duration, now_us: u64) {
        let floor = micros(latency).max(FAILURE_US) as f64;
        if self.read(now_us).is_none_or(|known| known < floor) {
            self.value.store(floor.to_bits(), Ordering::Relaxed);
            self.at_us.store(now_us, Ordering::Relaxed);
        }
    }

    /// The estimate in microseconds, fading while nothing is observed; `None` before the first observation.
    pub fn read(&self, now_us: u64) -> Option<f64> {
        let value = f64::from_bits(self.value.load(Ordering::Relaxed));
        (value > 0.0).then(|| (value * self.remaining(now_us)).max(1.0))
    }

    /// What `load` requests already there would make one more wait, in arbitrary but comparable units.
    pub fn cost(&self, load: u32, now_us: u64) -> f64 {
        match self.read(now_us) {
            Some(latency) => latency * (f64::from(load) + 1.0),
            // Nothing known: one request finds out, the others go elsewhere until it has.
            None => UNKNOWN_US * f64::from(load),
        }
    }

    fn remaining(&self, now_us: u64) -> f64 {
        let idle = now_us.saturating_sub(self.at_us.load(Ordering::Relaxed)) as f64 / DECAY_US;
        // A busy upstream is heard of within milliseconds; so near to zero the first two terms of the series are within 10^-6 of it.
        if idle < 1e-3 { 1.0 - idle } else { (-idle).exp() }
    }
}

// === helpers ===

/// After this long without news two thirds of an estimate are forgotten. Ten seconds outlast a pause of a garbage collector and forgive
/// an upstream that was restarted.
const DECAY_US: f64 = 10_000_000.0;

/// What a failure is taken to have cost at least.
const FAILURE_US: u64 = 100_000;

/// Latency assumed of an upstream that has not answered yet, per request already sent there.
const UNKNOWN_US: f64 = 1_000_000.0;
