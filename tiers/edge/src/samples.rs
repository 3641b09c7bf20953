//! Rates and latencies of the last seconds.

use std::{
    collections::{HashMap, VecDeque},
    time::Instant,
};

use pumasi_histogram::Snapshot as Latencies;

use crate::{counters::TrafficCounters, routes::Snapshot};

/// What the counters were at each of the last seconds: rates and latencies are of this window, not of all time.
#[derive(Default)]
pub(crate) struct Samples {
    taken: VecDeque<Sample>,
}

struct Sample {
    at: Instant,
    /// By route as written; `*` is all of them.
    by_name: HashMap<String, Counted>,
}

/// What one place had counted at that moment.
struct Counted {
    total: u64,
    errors: u64,
    latencies: Latencies,
    waits: Waits,
}

/// What requests waited for on their way, microseconds.
#[derive(Default)]
pub(crate) struct Waits {
    pub first_byte: Latencies,
    pub queue: Latencies,
}

impl Counted {
    fn now(counters: &[&TrafficCounters]) -> Counted {
        let mut latencies = Latencies::default();
        counters.iter().for_each(|t| latencies.merge(&t.latency_us.snapshot()));
        let (total, errors) = (counters.iter().map(|t| t.total()).sum(), counters.iter().map(|t| t.class(5)).sum());
        Counted { total, errors, latencies, waits: Waits::now(counters) }
    }
}

impl Waits {
    fn now(counters: &[&TrafficCounters]) -> Waits {
        let mut waits = Waits::default();
        for traffic in counters {
            waits.first_byte.merge(&traffic.first_byte_us.snapshot());
            waits.queue.merge(&traffic.queue_us.snapshot());
        }
        waits
    }
}

/// Seconds that rates and latencies are taken over.
const WINDOW: usize = 10;

impl Samples {
    /// Each second.
    pub fn take(&mut self, snapshot: &Snapshot) {
        let all = all_traffic(snapshot);
        let mut by_name: HashMap<_, _> = snapshot.routes().iter().map(|r| (r.name.clone(), Counted::now(&[&*r.traffic]))).collect();
        by_name.insert("*".to_owned(), Counted::now(&all));
        self.taken.push_back(Sample { at: Instant::now(), by_name });
        if self.taken.len() > WINDOW {
            self.taken.pop_front();
        }
    }

    /// What requests waited for within the window; nothing before there is one.
    pub fn recent(&self, counters: &[&TrafficCounters], name: &str) -> Waits {
        let Some(before) = self.taken.front().and_then(|sample| sample.by_name.get(name)) else { return Waits::default() };
        let now = Waits::now(counters);
        Waits { first_byte: now.first_byte.subtract(&before.waits.first_byte), queue: now.queue.subtract(&before.waits.queue) }
    }

    /// What `counters` have counted, rates and latencies within the window; `name` is what they are sampled under: a route's, or `*`.
    pub fn traffic(&self, counters: &[&TrafficCounters], name: &str) -> pumasi_status::Traffic {
        let Counted { total, errors, mut latencies, .. } = Counted::now(counters);
        let (mut rate, mut recent_total, mut recent_errors) = (0.0, total, errors);
        if let Some((at, before)) = self.taken.front().and_then(|s| Some((s.at, s.by_name.get(name)?))) {
            (recent_total, recent_errors) = (total.saturating_sub(before.total), errors.saturating_sub(before.errors));
            rate = recent_total as f64 / at.elapsed().as_secs_f64().max(0.001);
            let recent = latencies.subtract(&before.latencies);
            if recent.count() > 0 {
                latencies = recent;
            }
        }
        pumasi_status::Traffic {
            requests_total: total,
            errors_total: errors,
            in_flight: counters.iter().map(|t| t.in_flight()).sum(),
            rate,
            success: if recent_total == 0 { 1.0 } else { 1.0 - recent_errors as f64 / recent_total as f64 },
            latency_us_p50: latencies.quantile(0.5),
            latency_us_p95: latencies.quantile(0.95),
            latency_us_p99: latencies.quantile(0.99),
            latency_us_max: latencies.max(),
        }
    }
}

// === helpers ===

/// Of every route, and of what took none.
pub(crate) fn all_traffic(snapshot: &Snapshot) -> Vec<&TrafficCounters> {
    snapshot.routes().iter().map(|route| &*route.traffic).chain([&*snapshot.unrouted]).collect()
}
