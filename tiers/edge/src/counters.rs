//! What a core counts. Written by one core with relaxed atomics, read by whoever asks.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use pumasi_histogram::Histogram;

/// Counters of one core: only its thread writes, so that no cache line is shared on the path of a request.
#[derive(Debug, Default)]
pub(crate) struct CoreCounters {
    connections: AtomicU64,
    refused_connections: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

impl CoreCounters {
    pub fn connection_opened(&self) {
        add(&self.connections, 1);
    }

    pub fn connection_closed(&self) {
        self.connections.store(self.connections.load(Relaxed).saturating_sub(1), Relaxed);
    }

    pub fn refused_connection(&self) {
        add(&self.refused_connections, 1);
    }

    pub fn bytes(&self, bytes_in: u64, bytes_out: u64) {
        add(&self.bytes_in, bytes_in);
        add(&self.bytes_out, bytes_out);
    }

    pub fn connections(&self) -> u64 {
        self.connections.load(Relaxed)
    }

    pub fn bytes_in(&self) -> u64 {
        self.bytes_in.load(Relaxed)
    }

    pub fn bytes_out(&self) -> u64 {
        self.bytes_out.load(Relaxed)
    }
}

/// Counters of one route, kept over reloads for as long as the route is written the same.
#[derive(Debug, Default)]
pub(crate) struct TrafficCounters {
    /// By first digit of the status; 0 holds those that ended without one.
    by_class: [AtomicU64; 6],
    began: AtomicU64,
    pub latency_us: Histogram,
    pub queue_us: Histogram,
}

impl TrafficCounters {
    pub fn began(&self) {
        self.began.fetch_add(1, Relaxed);
    }

    /// `status` 0: the client left before an answer.
    pub fn ended(&self, status: u16, latency_us: u64) {
        self.by_class[usize::from(status / 100).min(5)].fetch_add(1, Relaxed);
        self.latency_us.record(latency_us);
    }

    pub fn in_flight(&self) -> u64 {
        // One that ends between the two looks is not taken to have ended before it began.
        let ended = self.total();
        self.began.load(Relaxed).saturating_sub(ended)
    }

    pub fn class(&self, class: usize) -> u64 {
        self.by_class[class].load(Relaxed)
    }

    pub fn total(&self) -> u64 {
        self.by_class.iter().map(|c| c.load(Relaxed)).sum()
    }
}

// === helpers ===

/// Only one thread writes: a load and a store are enough, and cost no locked instruction.
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(more), Relaxed);
}
