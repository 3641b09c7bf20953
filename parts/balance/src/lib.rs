//! Which upstream takes the next request: pools, health and choice, without I/O.
//!
//! The web tier makes workers join and leave a [`Pool`], the edge chooses from it and reports how each request ended.
//! Time comes in as an argument. All methods may be called from any core.
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use arc_swap::ArcSwap;
use pumasi_freshness::Witness;

/// Upstreams with one role. Shared by every core; members change while requests are being served.
pub struct Pool {
    pub name: String,
    upstreams: ArcSwap<Vec<Arc<Upstream>>>,
}

/// One address that takes requests.
pub struct Upstream {
    /// `app.1` for a worker, the address for a fixed upstream.
    pub name: String,
    pub address: SocketAddr,
    pub weight: AtomicU32,
    pub in_flight: AtomicU32,
    /// Set when the upstream is a worker of ours whose SQL passes through Pumasi.
    pub witness: Option<Arc<Witness>>,
}

impl Pool {
    pub fn new(name: impl Into<String>) -> Pool {
        Pool { name: name.into(), upstreams: ArcSwap::default() }
    }

    /// Adds an upstream; it gets requests from the next choice on.
    pub fn join(&self, upstream: Arc<Upstream>) {
        self.upstreams.rcu(|now| now.iter().cloned().chain([upstream.clone()]).collect::<Vec<_>>());
    }

    /// Removes an upstream: it gets no further request. Those in flight go on.
    pub fn leave(&self, upstream: &Arc<Upstream>) {
        self.upstreams.rcu(|now| now.iter().filter(|u| !Arc::ptr_eq(u, upstream)).cloned().collect::<Vec<_>>());
    }

    pub fn upstreams(&self) -> Arc<Vec<Arc<Upstream>>> {
        self.upstreams.load_full()
    }
}

impl Upstream {
    pub fn new(name: impl Into<String>, address: SocketAddr, weight: u32, witness: Option<Arc<Witness>>) -> Upstream {
        Upstream { name: name.into(), address, weight: AtomicU32::new(weight), in_flight: AtomicU32::new(0), witness }
    }

    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }
}
