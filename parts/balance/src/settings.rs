//! What a pool is told: its policy and its bounds.
use std::{num::NonZeroU32, time::Duration};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    pub policy: Policy,
    /// Consecutive failures that eject a member. Requests and probes are counted apart, so that neither hides the other. 0: never.
    pub eject_after: u32,
    /// How long an ejected member stays out before it is tried again.
    pub eject_for: Duration,
    /// Percent of the members that may be out at once (at least one may). Past it failures are counted but eject nobody: a fault
    /// that hits everybody is not the members' fault, and the rest could not carry the load.
    pub ejected_percent_max: u8,
    /// Active probes run: they bring ejected members back, and no client's request is used as a trial.
    pub probed: bool,
    /// Requests in flight per member. `None`: no cap.
    pub concurrency_max: Option<NonZeroU32>,
    /// Requests that may wait for a place, over the whole pool.
    pub queue_max: usize,
    /// A member that joined or came back grows from a tenth of its weight to all of it over this time. Zero: at once.
    pub slow_start: Duration,
    pub retries: RetryShare,
}

/// How a pool chooses among the members that may take a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// In turn, in proportion to the weights.
    RoundRobin,
    /// The fewest requests in flight per weight; in turn among equals.
    LeastInFlight,
    /// Two at random, then the one with the lower peak EWMA of its latency times its load.
    PowerOfTwo,
    /// By the request's key, so that the same key meets the same member's cache or memory; few keys move when members come and go.
    Hash { by: Table, bound: Bounded },
}

/// Which structure of `pumasi_ring` maps keys to members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// The ketama ring: the one to choose unless there is a reason.
    Ring,
    /// Nearly equal shares and the fastest look-up; a few more keys move.
    Maglev,
    /// Exact shares; cost grows with the members.
    Rendezvous,
}

/// Whether a member may be given more than its share because it owns a hot key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bounded {
    /// A key stays with its owner whatever the load.
    Unbounded,
    /// At most this many per cent of the fair share of requests in flight; 125 to 200 are usual.
    Percent(u16),
}

/// How many retries there may be. See [`crate::Pool::may_retry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryShare {
    /// Retries per hundred first tries.
    pub percent: u8,
    /// Retries per second that are allowed whatever the traffic, so that a quiet site is retried too.
    pub per_second: u16,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            policy: Policy::LeastInFlight,
            eject_after: 3,
            eject_for: Duration::from_secs(5),
            ejected_percent_max: 80,
            probed: false,
            concurrency_max: None,
            queue_max: 1024,
            slow_start: Duration::ZERO,
            retries: RetryShare { percent: 20, per_second: 10 },
        }
    }
}

impl Settings {
    /// How many of `members` may be out at once.
    pub(crate) fn ejected_max(&self, members: usize) -> usize {
        (members * usize::from(self.ejected_percent_max.min(100)) / 100).max(1)
    }
}
