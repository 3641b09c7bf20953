//! How long one kind of statement takes: a histogram small enough for a thousand of them.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Steps per power of two: a quantile is at most an eighth above the exact one, never below it.
const STEPS: u64 = 8;

/// Buckets for up to 2^32 microseconds, a little over 71 minutes; what took longer is counted in the last. 960 bytes per digest.
const BUCKETS: usize = (STEPS * 30) as usize;

/// Microseconds, by bucket. A bucket that is full stays full.
pub struct Times([AtomicU32; BUCKETS]);

/// Below which half, 95 and 99 of a hundred executions lie, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quantiles {
    pub p50_us: u64,
    pub p95_us: u64,
    pub p99_us: u64,
}

impl Times {
    pub fn record(&self, us: u64) {
        let bucket = &self.0[index_of(us)];
        if bucket.load(Relaxed) < u32::MAX / 2 {
            bucket.fetch_add(1, Relaxed);
        }
    }

    /// Zero of nothing.
    pub fn quantiles(&self) -> Quantiles {
        let counts = self.0.each_ref().map(|bucket| u64::from(bucket.load(Relaxed)));
        let total: u64 = counts.iter().sum();
        let below = |percent: u64| {
            let wanted = (total * percent).div_ceil(100);
            let mut seen = 0;
            let bucket = counts.iter().position(|count| {
                seen += count;
                seen >= wanted && wanted > 0
            });
            bucket.map_or(0, largest_in)
        };
        Quantiles { p50_us: below(50), p95_us: below(95), p99_us: below(99) }
    }
}

impl Default for Times {
    fn default() -> Times {
        Times(std::array::from_fn(|_| AtomicU32::new(0)))
    }
}

impl std::fmt::Debug for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.quantiles().fmt(f)
    }
}

/// Values below 8 have a bucket each.
fn index_of(us: u64) -> usize {
    if us < STEPS {
        return us as usize;
    }
    let power = u64::from(us.ilog2());
    let step = (us >> (power - 3)) - STEPS;
    (((power - 2) * STEPS + step) as usize).min(BUCKETS - 1)
}

fn largest_in(index: usize) -> u64 {
    let index = index as u64;
    if index < STEPS {
        return index;
    }
    let (power, step) = (index / STEPS + 2, index % STEPS);
    ((STEPS + step + 1) << (power - 3)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_a_bucket_no_wider_than_an_eighth_of_it() {
        for us in (0..5_000).chain((0..32).map(|power| 1 << power)).chain([u64::from(u32::MAX)]) {
            let index = index_of(us);
            let largest = largest_in(index);
            assert!(largest >= us && largest - us <= us / STEPS, "{us} in {index}, up to {largest}");
        }
        assert!((1..5_000).all(|us| index_of(us) >= index_of(us - 1)));
        assert_eq!(index_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_those_of_what_was_recorded() {
        let times = Times::default();
        assert_eq!(times.quantiles(), Quantiles::default());
        (1..=1_000).for_each(|us| times.record(us));
        let Quantiles { p50_us, p95_us, p99_us } = times.quantiles();
        for (found, exact) in [(p50_us, 500), (p95_us, 950), (p99_us, 990)] {
            assert!((exact..=exact + exact / STEPS).contains(&found), "{found} for {exact}");
        }
        times.record(u64::MAX);
        assert!(times.quantiles().p99_us < 2_000);
    }
}
