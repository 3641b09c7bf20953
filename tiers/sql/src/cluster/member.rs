//! One server of a cluster, as its probes know it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst},
    },
    time::Instant,
};

use pumasi_balance::Upstream;

use crate::proxy::Target;

/// A server. What it is asked for by the statements' threads is atomic; the rest is the probes'.
pub struct Member {
    pub number: usize,
    /// `main.1` for a server that Pumasi runs, the address for another.
    pub name: String,
    pub target: Target,
    /// Its share of the reads, its health and its load.
    pub upstream: Arc<Upstream>,
    /// Reachable, joined, not drained: all but being current.
    usable: AtomicBool,
    /// The primary is said to be out of reach by somebody who tried.
    suspected: AtomicBool,
    domain: AtomicU32,
    /// The last transaction it has applied of the present primary's; 0 while it does not follow it.
    applied: AtomicU64,
    /// The state of other GTID domains that it has been seen to cover (`Positions::elsewhere`).
    covers: AtomicU64,
    state: Mutex<State>,
}

/// What the latest probes found.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub reachable: bool,
    /// Since when it is not.
    pub lost_since: Option<Instant>,
    pub failures: u32,
    /// Follows the primary of this epoch, or did and has only lost its connection to it. 0: none.
    pub joined: u64,
    /// The connection to its primary stands.
    pub receiving: bool,
    pub server_id: u32,
    pub lag_ms: Option<u64>,
    pub read_only: bool,
    /// Since when it has been seen to be.
    pub read_only_since: Option<Instant>,
    pub semi_sync: bool,
    /// By a person: it gets no reads and is not promoted.
    pub drained: bool,
    /// What of its settings takes something away from reads or failover.
    pub objections: Vec<String>,
    /// Why it is not used, for people.
    pub trouble: Option<String>,
}

impl Member {
    pub fn new(number: usize, name: String, target: Target, weight: u32) -> Member {
        // The balancer chooses; the address it carries is not what is connected to.
        let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), target.port);
        let upstream = Arc::new(Upstream::new(name.clone(), address, weight, None));
        Member {
            number,
            name,
            target,
            upstream,
            usable: AtomicBool::new(false),
            suspected: AtomicBool::new(false),
            domain: AtomicU32::new(0),
            applied: AtomicU64::new(0),
            covers: AtomicU64::new(0),
            state: Mutex::default(),
        }
    }

    pub fn applied(&self) -> u64 {
        self.applied.load(SeqCst)
    }

    pub fn covers(&self) -> u64 {
        self.covers.load(SeqCst)
    }

    pub fn state(&self) -> State {
        self.lock().clone()
    }

    pub fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let changed = change(&mut state);
        self.usable.store(state.reachable && !state.drained && state.joined != 0, SeqCst);
        changed
    }

    /// May answer reads that it is current for.
    pub fn usable(&self) -> bool {
        self.usable.load(SeqCst)
    }

    /// Somebody could not connect to it; forgotten when it answers a probe.
    pub fn suspect(&self, suspected: bool) {
        self.suspected.store(suspected, SeqCst);
    }

    pub fn suspected(&self) -> bool {
        self.suspected.load(SeqCst)
    }

    pub fn domain(&self) -> u32 {
        self.domain.load(SeqCst)
    }

    pub fn set_domain(&self, domain: u32) {
        self.domain.store(domain, SeqCst);
    }

    /// It has applied everything up to `sequence` of the primary of `epoch`, whom it follows.
    pub fn has_applied(&self, sequence: u64, epoch: u64) {
        let state = self.lock();
        if state.joined == epoch && epoch != 0 {
            self.applied.fetch_max(sequence, SeqCst);
        }
    }

    /// And this state of other domains.
    pub fn has_covered(&self, version: u64, epoch: u64) {
        let state = self.lock();
        if state.joined == epoch && epoch != 0 {
            self.covers.fetch_max(version, SeqCst);
        }
    }

    /// It follows the primary of `epoch`.
    pub fn join(&self, epoch: u64) {
        self.change(|state| state.joined = epoch);
    }

    /// What it has is not known any more: it was restarted, or there is another primary.
    pub fn part(&self) {
        self.change(|state| {
            state.joined = 0;
            state.receiving = false;
            self.applied.store(0, SeqCst);
            self.covers.store(0, SeqCst);
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
