//! What one `record` costs: `cargo run --release -p pumasi-histogram --example cost`.
//!
//! Prints nanoseconds per call for one thread, for two threads on blocks of their own, and for two threads forced onto one
//! block (the worst case, more threads than blocks).
use std::{hint::black_box, time::Instant};

use pumasi_histogram::{Histogram, Snapshot};

const CALLS: u64 = 20_000_000;

fn main() {
    for (name, threads, blocks) in [("one thread", 1, 1), ("two threads, own blocks", 2, 2), ("two threads, one block", 2, 1)] {
        let histogram = Histogram::with_blocks(blocks);
        let started = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| (0..CALLS).for_each(|i| histogram.record(black_box(50 + i % 5_000))));
            }
        });
        println!("{name:<28}{:6.1} ns", started.elapsed().as_nanos() as f64 / CALLS as f64);
    }
    let (mut plain, started) = (Snapshot::default(), Instant::now());
    (0..CALLS).for_each(|i| plain.record(black_box(50 + i % 5_000)));
    println!("{:<28}{:6.1} ns", "Snapshot::record, no atomics", started.elapsed().as_nanos() as f64 / CALLS as f64);
}
