//! Counts at one moment: quantiles, sums and differences of them.
use crate::{BUCKETS, index_of, values_of};

/// The counts of a histogram as plain data. Also a histogram for a single thread: see [`Snapshot::record`].
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Invariant: empty (nothing was ever recorded) or `BUCKETS` long.
    counts: Vec<u64>,
    count: u64,
    sum: u64,
    max: u64,
}

/// How many values lay in `low..=high`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    pub low: u64,
    pub high: u64,
    pub count: u64,
}

impl Snapshot {
    /// Counts one value, without atomics. Allocates on the first call only.
    pub fn record(&mut self, value: u64) {
        self.record_n(value, 1);
    }

    /// Counts `value` `times` times.
    pub fn record_n(&mut self, value: u64, times: u64) {
        if times == 0 {
            return;
        }
        self.allocate();
        self.counts[index_of(value)] += times;
        self.count += times;
        self.sum = self.sum.saturating_add(value.saturating_mul(times));
        self.max = self.max.max(value);
    }

    /// How many values were recorded.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their sum, exact.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// Their mean, exact; 0 when there are none.
    pub fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum as f64 / self.count as f64 }
    }

    /// The largest value; 0 when there are none. Exact, except in a difference: see [`Snapshot::subtract`].
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The value that a share `q` (0..=1, clamped) of all values does not exceed, by nearest rank; 0 when there are none.
    ///
    /// Never below the exact quantile and less than 1/128 above it, for values up to [`crate::VALUE_MAX`].
    pub fn quantile(&self, q: f64) -> u64 {
        let rank = ((q.clamp(0.0, 1.0) * self.count as f64).ceil() as u64).clamp(1, self.count.max(1));
        let mut below = 0;
        for (index, count) in self.counts.iter().enumerate() {
            below += count;
            if below >= rank {
                // The last bucket has no upper end of its own.
                return if index + 1 == BUCKETS { self.max } else { values_of(index).1.min(self.max) };
            }
        }
        self.max
    }

    /// How many values were certainly at most `value`: those of every bucket that ends at or below it.
    pub fn count_at_most(&self, value: u64) -> u64 {
        self.counts.iter().enumerate().take_while(|(index, _)| values_of(*index).1 <= value).map(|(_, count)| count).sum()
    }

    /// Adds what another histogram counted.
    pub fn merge(&mut self, other: &Snapshot) {
        self.add_counts(other.counts.iter().copied(), other.sum, other.max);
    }

    /// What was recorded after `earlier`, a snapshot of the same histogram.
    ///
    /// The difference does not remember its own maximum: if the largest value ever is not new, `max` is the upper end of the
    /// highest bucket that grew, with the error of a quantile.
    pub fn subtract(&self, earlier: &Snapshot) -> Snapshot {
        if earlier.counts.is_empty() {
            return self.clone();
        }
        let counts: Vec<u64> = self.counts.iter().zip(&earlier.counts).map(|(now, then)| now.saturating_sub(*then)).collect();
        // An interval without a value needs no memory.
        let Some(highest) = counts.iter().rposition(|count| *count > 0) else { return Snapshot::default() };
        let count = counts.iter().sum();
        let max = if self.max > earlier.max { self.max } else { values_of(highest).1.min(self.max) };
        Snapshot { counts, count, sum: self.sum.saturating_sub(earlier.sum), max }
    }

    /// The buckets that hold something, lowest first: for heat maps, for sending over a wire, for Prometheus.
    pub fn buckets(&self) -> impl Iterator<Item = Bucket> + '_ {
        self.counts.iter().enumerate().filter(|(_, count)| **count > 0).map(|(index, count)| {
            let (low, high) = values_of(index);
            Bucket { low, high, count: *count }
        })
    }

    pub(crate) fn add_counts(&mut self, counts: impl ExactSizeIterator<Item = u64>, sum: u64, max: u64) {
        if counts.len() == 0 {
            return;
        }
        self.allocate();
        for (mine, theirs) in self.counts.iter_mut().zip(counts) {
            *mine += theirs;
            self.count += theirs;
        }
        self.sum = self.sum.saturating_add(sum);
        self.max = self.max.max(max);
    }

    fn allocate(&mut self) {
        if self.counts.is_empty() {
            self.counts = vec![0; BUCKETS];
        }
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot")
            .field("count", &self.count)
            .field("mean", &self.mean())
            .field("p50", &self.quantile(0.5))
            .field("p99", &self.quantile(0.99))
            .field("max", &self.max)
            .finish()
    }
}
