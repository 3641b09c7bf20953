//! What one `record` costs: `cargo run --release -p pumasi-histogram --example cost`.
//!
//! Prints nanoseconds of CPU per call for one thread, for two threads on blocks of their own, and for two threads forced onto one
//! block (the worst case, more threads than blocks). CPU time, so that the figure holds on a machine busy with other things.
use std::hint::black_box;

use pumasi_histogram::{Histogram, Snapshot};
use rustix::time::{ClockId, clock_gettime};

const CALLS: u64 = 20_000_000;

fn main() {
    for (name, threads, blocks) in [("one thread", 1, 1), ("two threads, own blocks", 2, 2), ("two threads, one block", 2, 1)] {
        let (histogram, before) = (Histogram::with_blocks(blocks), cpu_ns());
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| (0..CALLS).for_each(|i| histogram.record(black_box(50 + i % 5_000))));
            }
        });
        println!("{name:<28}{:6.1} ns", (cpu_ns() - before) as f64 / (threads * CALLS) as f64);
    }
    let (mut plain, before) = (Snapshot::default(), cpu_ns());
    (0..CALLS).for_each(|i| plain.record(black_box(50 + i % 5_000)));
    println!("{:<28}{:6.1} ns", "Snapshot::record, no atomics", (cpu_ns() - before) as f64 / CALLS as f64);
}

fn cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
