//! One member of a pool: its identity and everything about it that changes while requests run.
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use pumasi_freshness::Witness;
use pumasi_metrics::Meter;
use pumasi_status::{Connects, Traffic};

use crate::{
    HealthChange, Settings,
    health::{Event, Health, Rules},
    latency::PeakEwma,
    micros,
};

/// Names one [`Upstream`] for as long as the process lives; never reused, so a worker started anew is somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UpstreamId(u64);

/// One address that takes requests.
pub struct Upstream {
    /// `app.1` for a worker, the address for a fixed upstream.
    pub name: String,
    pub address: SocketAddr,
    /// Set when the upstream is a worker of ours whose SQL passes through Pumasi.
    pub witness: Option<Arc<Witness>>,
    id: UpstreamId,
    weight: AtomicU32,
    in_flight: AtomicU32,
    health: AtomicU64,
    /// When it last became up, on the pool's clock. `NOT_SEEN` until the first choice that meets it: joining takes no clock.
    up_since_us: AtomicU64,
    /// Its place in weighted round robin.
    pub(crate) pass: AtomicU64,
    pub(crate) latency: PeakEwma,
    /// What it answered, for status; latency is until the answer's first byte.
    pub(crate) meter: Meter,
    /// Connections opened to it, TLS included.
    pub(crate) connects: Meter,
}

impl Upstream {
    /// `weight`: its share of requests beside the others'; taken into 1..=1000.
    pub fn new(name: impl Into<String>, address: SocketAddr, weight: u32, witness: Option<Arc<Witness>>) -> Upstream {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Upstream {
            name: name.into(),
            address,
            witness,
            id: UpstreamId(NEXT.fetch_add(1, Ordering::Relaxed)),
            weight: AtomicU32::new(weight.clamp(1, WEIGHT_MAX)),
            in_flight: AtomicU32::new(0),
            health: AtomicU64::new(Health::NEW.pack()),
            up_since_us: AtomicU64::new(NOT_SEEN),
            pass: AtomicU64::new(0),
            latency: PeakEwma::default(),
            meter: Meter::new(),
            connects: Meter::new(),
        }
    }

    pub fn id(&self) -> UpstreamId {
        self.id
    }

    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// What it was asked and how it answered; rates and latency over the last ticks of [`crate::Pool::tick`].
    pub fn traffic(&self) -> Traffic {
        Traffic { in_flight: u64::from(self.in_flight()), ..self.meter.traffic() }
    }

    /// A connection to it was opened, or could not be, after `took`, TLS included.
    pub fn connected(&self, took: Duration, ok: bool) {
        self.connects.started();
        self.connects.finished(micros(took), ok);
    }

    /// Connections opened to it; times over the last ticks of [`crate::Pool::tick`].
    pub fn connects(&self) -> Connects {
        let Traffic { requests_total, errors_total, latency_us_p50, latency_us_p95, latency_us_max, .. } = self.connects.traffic();
        Connects { total: requests_total, failed: errors_total, us_p50: latency_us_p50, us_p95: latency_us_p95, us_max: latency_us_max }
    }

    pub fn weight(&self) -> u32 {
        self.weight.load(Ordering::Relaxed)
    }

    pub fn health(&self) -> Health {
        Health::unpack(self.health.load(Ordering::Acquire))
    }

    /// Its weight times 1024, less while it starts slowly. Never 0.
    pub(crate) fn share(&self, settings: &Settings, now_us: u64) -> u64 {
        let full = u64::from(self.weight()) << 10;
        let ramp_us = micros(settings.slow_start);
        if ramp_us == 0 {
            return full;
        }
        let mut since = self.up_since_us.load(Ordering::Relaxed);
        if since == NOT_SEEN {
            self.up_since_us.store(now_us, Ordering::Relaxed);
            since = now_us;
        }
        let warm_us = now_us.saturating_sub(since);
        if warm_us >= ramp_us {
            return full;
        }
        let permille = (1000 * u128::from(warm_us) / u128::from(ramp_us)).max(SLOW_START_PERMILLE);
        (u128::from(full) * permille / 1000).max(1) as u64
    }

    pub(crate) fn full(&self, settings: &Settings) -> bool {
        settings.concurrency_max.is_some_and(|max| self.in_flight() >= max.get())
    }

    /// Takes a place, unless the cap is reached.
    pub(crate) fn claim(&self, settings: &Settings) -> bool {
        let Some(max) = settings.concurrency_max else {
            self.in_flight.fetch_add(1, Ordering::Relaxed);
            return true;
        };
        self.in_flight.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |n| (n < max.get()).then_some(n + 1)).is_ok()
    }

    pub(crate) fn release(&self) {
        let before = self.in_flight.fetch_sub(1, Ordering::AcqRel);
        debug_assert!(before > 0, "released more places than were claimed");
    }

    pub(crate) fn store_weight(&self, weight: u32) {
        self.weight.store(weight.clamp(1, WEIGHT_MAX), Ordering::Relaxed);
    }

    /// From `Ejected { until_us }` to `Probing`, if it still is exactly that: of two cores that see the time come, one wins.
    pub(crate) fn begin_trial(&self, until_us: u64) -> bool {
        let from = Health::Ejected { until_us }.pack();
        self.health.compare_exchange(from, Health::Probing.pack(), Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    pub(crate) fn happened(&self, event: Event, rules: &Rules, now_us: u64) -> Option<HealthChange> {
        let next = |word| Some(Health::unpack(word).next(event, rules).pack()).filter(|next| *next != word);
        // A word that stays as it is costs no write: successes on a healthy member only read.
        let before = Health::unpack(self.health.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).ok()?);
        let after = before.next(event, rules);
        let change = HealthChange::of(before, after)?;
        if after.takes_requests() {
            self.up_since_us.store(now_us, Ordering::Relaxed);
        }
        Some(change)
    }
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream")
            .field("name", &self.name)
            .field("address", &self.address)
            .field("weight", &self.weight())
            .field("in_flight", &self.in_flight())
            .field("health", &self.health())
            .finish_non_exhaustive()
    }
}

// === helpers ===

/// Larger ratios than 1:1000 are drains in disguise, and the arithmetic of the policies relies on some bound.
const WEIGHT_MAX: u32 = 1000;

const NOT_SEEN: u64 = u64::MAX;

/// Where a slow start begins: enough traffic to warm a cache and a JIT, too little to hurt when cold.
const SLOW_START_PERMILLE: u128 = 100;
