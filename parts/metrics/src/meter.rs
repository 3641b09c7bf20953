//! Requests of one place, counted from any thread and summed up once a second.
use std::{
    collections::VecDeque,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use pumasi_histogram::{Histogram, Snapshot, thread_number};
use pumasi_status::Traffic;

/// A number that only grows, in one cache line per group of threads.
#[derive(Debug, Default)]
pub struct Counter {
    cells: [Cell; CELLS],
}

/// What passed one place: an edge, a route, an upstream, a database.
///
/// [`Meter::started`] and [`Meter::finished`] come from hot paths: a handful of relaxed additions on memory of the calling
/// thread's group. [`Meter::tick`] comes once a second from one control thread. [`Meter::traffic`] may come from anywhere.
#[derive(Debug, Default)]
pub struct Meter {
    started: Counter,
    finished: Counter,
    errors: Counter,
    latency_us: Histogram,
    window: Mutex<Window>,
}

impl Counter {
    pub fn add(&self, n: u64) {
        self.cells[thread_number() % CELLS].0.fetch_add(n, Relaxed);
    }

    pub fn value(&self) -> u64 {
        self.cells.iter().map(|cell| cell.0.load(Relaxed)).sum()
    }
}

impl Meter {
    pub fn new() -> Meter {
        Meter::default()
    }

    /// A request came in. Each call must be followed by one of [`Meter::finished`] or [`Meter::abandoned`], from any thread.
    pub fn started(&self) {
        self.started.add(1);
    }

    /// Its answer is complete, `latency_us` microseconds after it came in. `ok`: as [`Traffic::success`] understands it.
    pub fn finished(&self, latency_us: u64, ok: bool) {
        self.finished.add(1);
        self.latency_us.record(latency_us);
        if !ok {
            self.errors.add(1);
        }
    }

    /// It ended without an answer to measure: the client left. It counts as a request, neither as an error nor in the latency.
    pub fn abandoned(&self) {
        self.finished.add(1);
    }

    pub fn in_flight(&self) -> u64 {
        // Finished first: a request that ends between the two reads is then counted as in flight, never as minus one.
        let finished = self.finished.value();
        self.started.value().saturating_sub(finished)
    }

    /// Closes a second of the window. `now` must not go backwards.
    pub fn tick(&self, now: Instant) {
        let mut window = self.window.lock().expect("nothing panics while holding it");
        window.close(Totals { at: now, requests: self.finished.value(), errors: self.errors.value(), latency: self.latency_us.snapshot() });
    }

    /// Totals since the start; rate, success and latency over the ten seconds before the last tick (fewer after the start).
    pub fn traffic(&self) -> Traffic {
        let window = self.window.lock().expect("nothing panics while holding it");
        let (mut requests, mut errors, mut seconds, mut latency) = (0, 0, 0.0, Snapshot::default());
        for second in &window.seconds {
            requests += second.requests;
            errors += second.errors;
            seconds += second.length_s;
            latency.merge(&second.latency);
        }
        Traffic {
            requests_total: self.finished.value(),
            errors_total: self.errors.value(),
            in_flight: self.in_flight(),
            rate: if seconds > 0.0 { requests as f64 / seconds } else { 0.0 },
            success: if requests > 0 { 1.0 - errors as f64 / requests as f64 } else { 1.0 },
            latency_us_p50: latency.quantile(0.50),
            latency_us_p95: latency.quantile(0.95),
            latency_us_p99: latency.quantile(0.99),
            latency_us_max: latency.max(),
        }
    }

    /// Latency of everything since the start, in microseconds.
    pub fn latency_us(&self) -> Snapshot {
        self.latency_us.snapshot()
    }
}

// === the window ===

/// How far back rates and quantiles look.
pub const WINDOW_SECONDS: usize = 10;

/// The differences between ticks. Invariant: at most `WINDOW_SECONDS` of them.
#[derive(Debug, Default)]
struct Window {
    last: Option<Totals>,
    seconds: VecDeque<Second>,
}

#[derive(Debug)]
struct Totals {
    at: Instant,
    requests: u64,
    errors: u64,
    latency: Snapshot,
}

/// What happened between two ticks; about a second, but the control thread may be late.
#[derive(Debug)]
struct Second {
    length_s: f64,
    requests: u64,
    errors: u64,
    latency: Snapshot,
}

impl Window {
    fn close(&mut self, now: Totals) {
        if let Some(last) = &self.last {
            let second = Second {
                length_s: now.at.saturating_duration_since(last.at).as_secs_f64(),
                requests: now.requests.saturating_sub(last.requests),
                errors: now.errors.saturating_sub(last.errors),
                latency: now.latency.subtract(&last.latency),
            };
            if self.seconds.len() == WINDOW_SECONDS {
                self.seconds.pop_front();
            }
            self.seconds.push_back(second);
        }
        self.last = Some(now);
    }
}

/// Eight groups of threads: as many writers as share a cache line without it showing, for 512 bytes per counter.
const CELLS: usize = 8;

/// Alone on its cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Cell(AtomicU64);

#[cfg(test)]
mod tests;
