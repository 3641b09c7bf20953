//! What a core counts. Written by one core with relaxed atomics, read by whoever asks.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use pumasi_histogram::{Histogram, thread_number};

/// Counters of one core: only its thread writes, so that no cache line is shared on the path of a request.
#[derive(Debug, Default)]
pub(crate) struct CoreCounters {
    connections: AtomicU64,
    refused_connections: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    handshakes_full: AtomicU64,
    handshakes_resumed: AtomicU64,
    handshakes_failed: AtomicU64,
}

/// How a client's TLS handshake went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handshake {
    Full,
    /// By a ticket or a session of before: a fraction of the CPU of a full one.
    Resumed,
    /// Refused by either side, or not done in time.
    Failed,
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

    pub fn refused_connections(&self) -> u64 {
        self.refused_connections.load(Relaxed)
    }

    pub fn handshake(&self, handshake: Handshake) {
        add(self.handshakes_of(handshake), 1);
    }

    pub fn handshakes(&self, handshake: Handshake) -> u64 {
        self.handshakes_of(handshake).load(Relaxed)
    }

    fn handshakes_of(&self, handshake: Handshake) -> &AtomicU64 {
        match handshake {
            Handshake::Full => &self.handshakes_full,
            Handshake::Resumed => &self.handshakes_resumed,
            Handshake::Failed => &self.handshakes_failed,
        }
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
    cells: [Cell; CELLS],
    pub latency_us: Histogram,
    /// Of those that an upstream answered: from the request's head to the answer's. A page from the store has none of its own.
    pub first_byte_us: Histogram,
    pub queue_us: Histogram,
}

/// Eight groups of threads: as many cores as share a line of memory without it showing, for a kilobyte per route.
const CELLS: usize = 8;

/// What the threads of one group have counted. Together, so that a request touches the two lines of one cell, which no other core writes
/// while there are no more cores than cells.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Cell {
    began: AtomicU64,
    /// By first digit of the status; 0 holds those that ended without one.
    by_class: [AtomicU64; 6],
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    left: AtomicU64,
}

impl TrafficCounters {
    pub fn began(&self) {
        self.cell().began.fetch_add(1, Relaxed);
    }

    /// `status` 0: the client left before an answer.
    pub fn ended(&self, status: u16, latency_us: u64, bytes_in: u64, bytes_out: u64) {
        let cell = self.cell();
        cell.by_class[usize::from(status / 100).min(5)].fetch_add(1, Relaxed);
        cell.bytes_in.fetch_add(bytes_in, Relaxed);
        cell.bytes_out.fetch_add(bytes_out, Relaxed);
        self.latency_us.record(latency_us);
    }

    /// The client went away, or was given up as too slow, while its answer was being fetched for it.
    pub fn client_left(&self) {
        self.cell().left.fetch_add(1, Relaxed);
    }

    pub fn in_flight(&self) -> u64 {
        // One that ends between the two looks is not taken to have ended before it began.
        let ended = self.total();
        self.sum(|cell| &cell.began).saturating_sub(ended)
    }

    pub fn class(&self, class: usize) -> u64 {
        self.sum(|cell| &cell.by_class[class])
    }

    pub fn total(&self) -> u64 {
        (0..6).map(|class| self.class(class)).sum()
    }

    pub fn bytes_in(&self) -> u64 {
        self.sum(|cell| &cell.bytes_in)
    }

    pub fn bytes_out(&self) -> u64 {
        self.sum(|cell| &cell.bytes_out)
    }

    pub fn left(&self) -> u64 {
        self.sum(|cell| &cell.left)
    }

    fn cell(&self) -> &Cell {
        &self.cells[thread_number() % CELLS]
    }

    fn sum(&self, counter: impl Fn(&Cell) -> &AtomicU64) -> u64 {
        self.cells.iter().map(|cell| counter(cell).load(Relaxed)).sum()
    }
}

// === helpers ===

/// Only one thread writes: a load and a store are enough, and cost no locked instruction.
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(more), Relaxed);
}
