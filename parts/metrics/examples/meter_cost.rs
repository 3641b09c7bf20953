//! What counting one request costs: `cargo run --release -p pumasi-metrics --example meter_cost`.
//!
//! In CPU time of this process, so that the figure holds on a machine that is busy with other things.
use std::hint::black_box;

use pumasi_metrics::Meter;
use rustix::time::{ClockId, clock_gettime};

const REQUESTS: u64 = 20_000_000;

fn main() {
    for threads in [1, 2] {
        let (meter, before) = (Meter::new(), cpu_ns());
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    for i in 0..REQUESTS {
                        meter.started();
                        meter.finished(black_box(50 + i % 5_000), true);
                    }
                });
            }
        });
        println!("{threads} thread(s): {:5.1} ns of CPU per request", (cpu_ns() - before) as f64 / (threads * REQUESTS) as f64);
    }
}

fn cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
