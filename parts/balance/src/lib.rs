//! Which upstream takes the next request: pools, health and choice, without I/O.
//!
//! The web tier makes workers join and leave a [`Pool`], the edge chooses from it and ends each [`Lease`] with how the request
//! went. Time comes in as an argument. All methods may be called from any core; none of them blocks on another request.
//!
//! ```text
//! choose --> Use(lease) --> request --> lease.end(outcome)      health follows the outcomes, the policy follows the load
//!        --> Full       --> queue().enter() --> ticket.turn() --> choose again
//!        --> Nobody     --> 503
//! ```
mod health;
mod latency;
mod lease;
mod policy;
mod queue;
mod retry;
mod settings;
mod upstream;

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;

pub use health::Health;
use health::{Event, Rules};
pub use lease::{Lease, Outcome};
use policy::KeyTable;
pub use queue::{Queue, QueueFull, Ticket, Turn};
use retry::RetryBudget;
pub use settings::{Bounded, Policy, RetryShare, Settings, Table};
pub use upstream::{Upstream, UpstreamId};

/// The key of what should stay together, for [`Pool::choose`]. The same on every run, so that a key keeps its member over a restart.
pub fn key(bytes: &[u8]) -> u64 {
    pumasi_ring::hash(bytes)
}

/// Upstreams with one role. Shared by every core; members and settings change while requests are being served.
pub struct Pool {
    pub name: String,
    state: ArcSwap<State>,
    /// Held by whoever replaces `state` or ejects, so that two of them never work from the same old picture.
    changing: Mutex<()>,
    /// What microsecond counts in this pool start from: the first instant it was told of.
    epoch: OnceLock<Instant>,
    /// Choices made; also the pool's dice, because a mixed counter is as good as a random number and needs no lock.
    turns: AtomicU64,
    /// Weighted round robin's clock: see `policy::weighted_round_robin`.
    virtual_time: AtomicU64,
    /// Earliest moment an ejected member may be tried again, so that a healthy pool pays one load for the question.
    next_trial_us: AtomicU64,
    retries: RetryBudget,
    retried: AtomicU64,
    retries_refused: AtomicU64,
    queue: Queue,
}

/// What a choice needs, replaced as a whole: a choice never sees half of a change.
struct State {
    upstreams: Arc<Vec<Arc<Upstream>>>,
    settings: Settings,
    keys: KeyTable,
}

impl State {
    fn new(upstreams: Arc<Vec<Arc<Upstream>>>, settings: Settings) -> State {
        State { keys: KeyTable::of(&upstreams, settings.policy), upstreams, settings }
    }
}

/// Who takes the request, or why nobody does.
#[derive(Debug)]
pub enum Choice {
    Use(Lease),
    /// Every upstream that could take it is at its concurrency cap: wait in [`Pool::queue`], or answer 503.
    Full,
    Nobody(Nobody),
}

/// Why a pool had no candidate at all. Waiting would not help: answer 503.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nobody {
    /// The pool has no members: its workers are still starting, or all were given up.
    Empty,
    /// All members are being drained.
    Draining,
    /// This request has been at every member already.
    AllTried,
}

/// A member's health before and after something happened, when that differs in kind. For the log and the event list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthChange {
    pub from: Health,
    pub to: Health,
}

impl Pool {
    pub fn new(name: impl Into<String>) -> Pool {
        Pool::with_settings(name, Settings::default())
    }

    pub fn with_settings(name: impl Into<String>, settings: Settings) -> Pool {
        Pool {
            name: name.into(),
            queue: Queue::new(settings.queue_max),
            state: ArcSwap::from_pointee(State::new(Arc::default(), settings)),
            changing: Mutex::new(()),
            epoch: OnceLock::new(),
            turns: AtomicU64::new(0),
            virtual_time: AtomicU64::new(0),
            next_trial_us: AtomicU64::new(u64::MAX),
            retries: RetryBudget::default(),
            retried: AtomicU64::new(0),
            retries_refused: AtomicU64::new(0),
        }
    }

    /// Adds an upstream; its name is what hash policies know it by, so a worker started anew keeps the keys it had. It gets requests from the next choice on, few at first if the pool has a slow start.
    pub fn join(&self, upstream: Arc<Upstream>) {
        self.change(|state| {
            let members = state.upstreams.iter().cloned().chain([upstream.clone()]).collect();
            State::new(Arc::new(members), state.settings)
        });
        self.queue.wake_all();
    }

    /// Removes an upstream: it gets no further request. Those in flight go on.
    pub fn leave(&self, upstream: &Arc<Upstream>) {
        self.change(|state| {
            let members = state.upstreams.iter().filter(|u| !Arc::ptr_eq(u, upstream)).cloned().collect();
            State::new(Arc::new(members), state.settings)
        });
    }

    /// Replaces the settings, as a reload does. Health, load and counters of the members stay.
    pub fn set_settings(&self, settings: Settings) {
        self.change(|state| State::new(state.upstreams.clone(), settings));
        // Probes may have been switched off: whoever waited for one gets a request as its trial instead.
        for upstream in self.upstreams().iter() {
            self.happened(upstream, Event::TrialAbandoned, 0);
        }
        self.next_trial_us.store(0, Ordering::Relaxed);
        self.queue.set_max(settings.queue_max);
        self.queue.wake_all();
    }

    pub fn settings(&self) -> Settings {
        self.state.load().settings
    }

    pub fn upstreams(&self) -> Arc<Vec<Arc<Upstream>>> {
        self.state.load().upstreams.clone()
    }

    /// Who takes the next request, if anybody can.
    ///
    /// `key` is a hash of what should stay together (a URL, a client's address), used by the hash policies and ignored by the others.
    /// `exclude` names the upstreams this request has been at; when it is empty the request counts as a first try and earns retry budget.
    /// An ejected member whose time has come gets one request as a trial. When every candidate is out, all are tried: a wrong verdict
    /// about the whole pool must not take the site down. Cost: linear in the members for all policies but the hashes.
    pub fn choose(self: &Arc<Pool>, key: Option<u64>, exclude: &[UpstreamId], now: Instant) -> Choice {
        let now_us = self.micros(now);
        let state = self.state.load();
        if exclude.is_empty() {
            self.retries.earn(state.settings.retries);
        }
        let open = |upstream: &Upstream| !exclude.contains(&upstream.id()) && !upstream.full(&state.settings);
        if now_us >= self.next_trial_us.load(Ordering::Relaxed)
            && let Some(lease) = self.try_ejected(&state, &open, now_us)
        {
            return Choice::Use(lease);
        }
        let up = |upstream: &Upstream| upstream.health().takes_requests() && open(upstream);
        if let Some(lease) = self.pick(&state, key, now_us, up, lease::Kind::Ordinary) {
            return Choice::Use(lease);
        }
        self.choose_from_the_rest(&state, key, exclude, now_us)
    }

    /// The named member, if it is up and has a place: for sessions bound to one upstream. `None` means: choose anew.
    pub fn choose_member(self: &Arc<Pool>, name: &str, now: Instant) -> Option<Lease> {
        let state = self.state.load();
        self.retries.earn(state.settings.retries);
        let upstream = state.upstreams.iter().find(|u| u.name == name)?;
        let can = upstream.health().takes_requests() && upstream.claim(&state.settings);
        can.then(|| Lease::new(self.clone(), upstream.clone(), lease::Kind::Ordinary, self.micros(now)))
    }

    /// Whether one more retry is allowed now; a `true` is spent. Retries are a share of recent first tries plus a few per second,
    /// so that a pool in trouble sees at most that much more load, not a multiple.
    pub fn may_retry(&self, now: Instant) -> bool {
        let allowed = self.retries.spend(self.settings().retries, self.micros(now));
        if !allowed {
            self.retries_refused.fetch_add(1, Ordering::Relaxed);
        }
        allowed
    }

    /// A request has a place at a second member after the first failed it.
    pub fn retried(&self) {
        self.retried.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests that got a second member since the start, and those that the budget did not let have one.
    pub fn retries(&self) -> (u64, u64) {
        (self.retried.load(Ordering::Relaxed), self.retries_refused.load(Ordering::Relaxed))
    }

    /// What an active probe found. An ejected member comes back by a probe that succeeds after its time is over.
    pub fn probed(&self, upstream: &Arc<Upstream>, succeeded: bool, now: Instant) -> Option<HealthChange> {
        let now_us = self.micros(now);
        let before = upstream.health();
        if matches!(before, Health::Ejected { until_us } if until_us <= now_us) {
            self.happened(upstream, Event::IntervalPassed, now_us);
        }
        self.happened(upstream, if succeeded { Event::ProbeSucceeded } else { Event::ProbeFailed }, now_us);
        HealthChange::of(before, upstream.health())
    }

    /// Takes `upstream` out for good reasons of the operator: no further request, those in flight go on. Idempotent.
    pub fn drain(&self, upstream: &Arc<Upstream>, now: Instant) -> Option<HealthChange> {
        self.happened(upstream, Event::Drain, self.micros(now))
    }

    /// Puts a drained `upstream` back, with a slow start. Idempotent.
    pub fn undrain(&self, upstream: &Arc<Upstream>, now: Instant) -> Option<HealthChange> {
        let change = self.happened(upstream, Event::Undrain, self.micros(now));
        self.queue.wake_all();
        change
    }

    /// Changes the share of requests `upstream` gets; taken into 1..=1000. To take a member out, drain it.
    pub fn set_weight(&self, upstream: &Arc<Upstream>, weight: u32) {
        self.change(|state| {
            upstream.store_weight(weight);
            State::new(state.upstreams.clone(), state.settings)
        });
    }

    /// Where requests wait when [`Choice::Full`]. Bounded by `Settings::queue_max`.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Closes a second of what [`Upstream::traffic`] tells. Once a second, from one thread.
    pub fn tick(&self, now: Instant) {
        for upstream in self.upstreams().iter() {
            upstream.meter.tick(now);
            upstream.connects.tick(now);
        }
    }

    /// Requests in flight over all members.
    pub fn in_flight(&self) -> u64 {
        self.state.load().upstreams.iter().map(|u| u64::from(u.in_flight())).sum()
    }

    fn change(&self, to: impl FnOnce(&State) -> State) {
        let _alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let next = to(&self.state.load());
        self.state.store(Arc::new(next));
    }

    /// Lets the policy choose among those `may` accepts, and takes a place there.
    fn pick(
        self: &Arc<Pool>,
        state: &State,
        key: Option<u64>,
        now_us: u64,
        may: impl Fn(&Upstream) -> bool,
        kind: lease::Kind,
    ) -> Option<Lease> {
        // Another core may take the last place between choice and claim. Whoever lost that often finds the pool full.
        for _ in 0..CLAIM_ATTEMPTS {
            let upstream = policy::pick(self, state, key, now_us, &may)?;
            if upstream.claim(&state.settings) {
                return Some(Lease::new(self.clone(), upstream.clone(), kind, now_us));
            }
        }
        None
    }

    /// Gives this request to an ejected member whose time is over, as its one trial. Where active probes run, they do that instead.
    fn try_ejected(self: &Arc<Pool>, state: &State, open: &impl Fn(&Upstream) -> bool, now_us: u64) -> Option<Lease> {
        self.next_trial_us.store(u64::MAX, Ordering::Relaxed);
        if state.settings.probed {
            return None;
        }
        let mut lease = None;
        for upstream in state.upstreams.iter() {
            let Health::Ejected { until_us } = upstream.health() else { continue };
            let due = until_us <= now_us && lease.is_none() && open(upstream);
            if due && upstream.claim(&state.settings) {
                let mut claimed = Lease::new(self.clone(), upstream.clone(), lease::Kind::Ordinary, now_us);
                if upstream.begin_trial(until_us) {
                    claimed.make_trial();
                    lease = Some(claimed);
                }
            } else {
                self.next_trial_us.fetch_min(until_us, Ordering::Relaxed);
            }
        }
        lease
    }

    fn choose_from_the_rest(self: &Arc<Pool>, state: &State, key: Option<u64>, exclude: &[UpstreamId], now_us: u64) -> Choice {
        let left = |upstream: &Upstream| !exclude.contains(&upstream.id()) && upstream.health() != Health::Draining;
        let any = |test: &dyn Fn(&Upstream) -> bool| state.upstreams.iter().any(|u| test(u));
        if !any(&left) {
            let serving = any(&|u| u.health() != Health::Draining);
            return Choice::Nobody(match (state.upstreams.is_empty(), serving) {
                (true, _) => Nobody::Empty,
                (false, true) => Nobody::AllTried,
                (false, false) => Nobody::Draining,
            });
        }
        if any(&|u| left(u) && u.health().takes_requests()) {
            return Choice::Full;
        }
        let open = |upstream: &Upstream| left(upstream) && !upstream.full(&state.settings);
        match self.pick(state, key, now_us, open, lease::Kind::Trial) {
            Some(lease) => Choice::Use(lease),
            None => Choice::Full,
        }
    }

    /// Moves `upstream` through the table in [`health`] and keeps what depends on it.
    pub(crate) fn happened(&self, upstream: &Arc<Upstream>, event: Event, now_us: u64) -> Option<HealthChange> {
        let state = self.state.load();
        let settings = &state.settings;
        let rules = |may_eject| Rules { eject_after: settings.eject_after, eject_until_us: now_us + micros(settings.eject_for), may_eject };
        // Only an ejection looks at the others, and only one at a time, or two could each see room for the last one.
        let before = upstream.health();
        if !before.would_leave_by(event, &rules(true)) {
            let change = upstream.happened(event, &rules(false), now_us);
            if let Some(HealthChange { to: Health::Ejected { until_us }, .. }) = change {
                self.next_trial_us.fetch_min(until_us, Ordering::Relaxed);
            }
            return change;
        }
        let _alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let out = state.upstreams.iter().filter(|u| !u.health().takes_requests() && u.health() != Health::Draining).count();
        let change = upstream.happened(event, &rules(out < settings.ejected_max(state.upstreams.len())), now_us);
        if let Some(HealthChange { to: Health::Ejected { until_us }, .. }) = change {
            self.next_trial_us.fetch_min(until_us, Ordering::Relaxed);
        }
        change
    }

    fn micros(&self, now: Instant) -> u64 {
        micros(now.saturating_duration_since(*self.epoch.get_or_init(|| now)))
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("name", &self.name).field("upstreams", &self.upstreams()).finish_non_exhaustive()
    }
}

impl HealthChange {
    fn of(from: Health, to: Health) -> Option<HealthChange> {
        (std::mem::discriminant(&from) != std::mem::discriminant(&to)).then_some(HealthChange { from, to })
    }
}

// === helpers ===

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX >> 4).min(u64::MAX >> 4)
}

/// See `Pool::pick`.
const CLAIM_ATTEMPTS: usize = 4;

#[cfg(test)]
mod tests;
