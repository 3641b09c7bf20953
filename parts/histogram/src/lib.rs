//! Latency histograms: many threads record without waiting for each other, one reads quantiles with a stated error.
//!
//! Buckets are log-linear, as in HdrHistogram: every power of two is cut into [`STEPS`] equal steps. So a bucket is never
//! wider than 1/128 of the values in it, whatever their size, and the index is two shifts and an addition. Values below 256
//! have a bucket each.
//!
//! [`Histogram`] is what hot paths share: relaxed atomics in one block per group of threads, allocated when a thread of the
//! group first records. [`Snapshot`] is plain data: what a histogram held at one moment, or a histogram of one thread's own
//! (a load generator's). Time does not enter: the caller measures, in microseconds by convention of this project.
mod snapshot;

use std::{
    cell::Cell,
    sync::{
        OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

pub use snapshot::{Bucket, Snapshot};

/// Steps per power of two. A quantile is at most `1 / STEPS` (0.79 %) above the exact one, never below it.
pub const STEPS: u64 = 1 << STEP_BITS;

/// The largest value with a bucket of its own size: a little over 71 minutes in microseconds. Larger ones are counted in the
/// last bucket, and only [`Snapshot::max`] knows their size.
pub const VALUE_MAX: u64 = u32::MAX as u64;

/// A histogram that any number of threads write. About 26 KiB per block in use.
pub struct Histogram {
    blocks: Box<[OnceLock<Box<Block>>]>,
}

/// What the threads of one group wrote. Invariant: `buckets.len() == BUCKETS`.
struct Block {
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
    max: AtomicU64,
}

impl Histogram {
    /// One block per core (at most [`BLOCKS_MAX`]), so that threads pinned to cores never write the same cache line.
    pub fn new() -> Histogram {
        Histogram::with_blocks(std::thread::available_parallelism().map_or(1, usize::from))
    }

    /// `blocks` is clamped to `1..=BLOCKS_MAX`. One block is right for what a single thread writes and others read.
    pub fn with_blocks(blocks: usize) -> Histogram {
        Histogram { blocks: (0..blocks.clamp(1, BLOCKS_MAX)).map(|_| OnceLock::new()).collect() }
    }

    /// Counts one value. Two relaxed additions on memory that is this thread's unless there are more threads than blocks.
    pub fn record(&self, value: u64) {
        let block = self.blocks[thread_number() % self.blocks.len()].get_or_init(Block::new);
        block.buckets[index_of(value)].fetch_add(1, Relaxed);
        block.sum.fetch_add(value, Relaxed);
        // Reading first keeps the common case, no new maximum, free of a write.
        if value > block.max.load(Relaxed) {
            block.max.fetch_max(value, Relaxed);
        }
    }

    /// Everything recorded so far. A value being recorded at this moment may be counted and not yet summed, or the reverse;
    /// count and quantiles always agree with each other, because both come from the buckets.
    pub fn snapshot(&self) -> Snapshot {
        let mut all = Snapshot::default();
        for block in self.blocks.iter().filter_map(OnceLock::get) {
            all.add_counts(block.buckets.iter().map(|bucket| bucket.load(Relaxed)), block.sum.load(Relaxed), block.max.load(Relaxed));
        }
        all
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram::new()
    }
}

impl std::fmt::Debug for Histogram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.snapshot().fmt(f)
    }
}

impl Block {
    fn new() -> Box<Block> {
        Box::new(Block { buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(), sum: AtomicU64::new(0), max: AtomicU64::new(0) })
    }
}

/// Blocks of one histogram: 16 bound it to 420 KiB on a large machine, and 16 writers to one cache line are already rare.
pub const BLOCKS_MAX: usize = 16;

// === buckets ===

const STEP_BITS: u32 = 7;

/// Powers of two from 2^8 up to `VALUE_MAX` share `STEPS` buckets each; below, one bucket per value (0..256).
const BUCKETS: usize = index_of(VALUE_MAX) + 1;

/// The bucket of `value`. For `value >= 256` its top eight bits choose the step and their position the power of two.
const fn index_of(value: u64) -> usize {
    let value = if value > VALUE_MAX { VALUE_MAX } else { value };
    let top = 63 - (value | 1).leading_zeros();
    let shift = top.saturating_sub(STEP_BITS);
    ((shift as u64) * STEPS + (value >> shift)) as usize
}

/// The values of a bucket, both ends included.
const fn values_of(index: usize) -> (u64, u64) {
    let index = index as u64;
    if index < 2 * STEPS {
        return (index, index);
    }
    let shift = index / STEPS - 1;
    let low = (index - shift * STEPS) << shift;
    (low, low + (1 << shift) - 1)
}

/// A number of the calling thread, given when it first asks: 0, 1, 2, ... It only serves to spread threads over blocks of memory.
pub fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static NUMBER: Cell<usize> = const { Cell::new(usize::MAX) });
    NUMBER.with(|number| {
        if number.get() == usize::MAX {
            number.set(NEXT.fetch_add(1, Relaxed) & (usize::MAX >> 1));
        }
        number.get()
    })
}

#[cfg(test)]
mod tests;
