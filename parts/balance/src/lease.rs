//! One request's place at one upstream.
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{HealthChange, Pool, Upstream, health::Event, micros};

/// A place at an upstream, counted in flight until it ends. Dropping it without [`Lease::end`] frees the place and says nothing
/// about the upstream: the client went away.
#[derive(Debug)]
pub struct Lease {
    pool: Arc<Pool>,
    upstream: Arc<Upstream>,
    kind: Kind,
    started_us: u64,
    /// The meter knows how it went.
    told: bool,
    ended: bool,
}

/// How a request at an upstream went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It answered, with whatever status the application meant. `latency`: from the request's last byte to the answer's first.
    Ok { latency: Duration },
    /// It refused, hung up, timed out, broke the protocol, or answered what the caller counts as failing (502, 503, 504).
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ordinary,
    /// Its outcome decides about an upstream that is out.
    Trial,
}

impl Lease {
    pub(crate) fn new(pool: Arc<Pool>, upstream: Arc<Upstream>, kind: Kind, started_us: u64) -> Lease {
        upstream.meter.started();
        Lease { pool, upstream, kind, started_us, told: false, ended: false }
    }

    pub(crate) fn make_trial(&mut self) {
        self.kind = Kind::Trial;
    }

    pub fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    #[cfg(test)]
    pub(crate) fn started_us(&self) -> u64 {
        self.started_us
    }

    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Tells how the request went while its body may still be streaming: the place stays taken until the lease is dropped or ended.
    /// Returns the upstream's change of health, if there was one.
    pub fn observe(&mut self, outcome: Outcome, now: Instant) -> Option<HealthChange> {
        let now_us = self.pool.micros(now);
        let trial = std::mem::replace(&mut self.kind, Kind::Ordinary) == Kind::Trial;
        let told = std::mem::replace(&mut self.told, true);
        if !told {
            let (latency_us, ok) = match outcome {
                Outcome::Ok { latency } => (micros(latency), true),
                Outcome::Failed => (now_us.saturating_sub(self.started_us), false),
            };
            self.upstream.meter.finished(latency_us, ok);
        }
        let event = match outcome {
            Outcome::Ok { latency } => {
                self.upstream.latency.observe(latency, now_us);
                if trial { Event::TrialSucceeded } else { Event::Succeeded }
            }
            Outcome::Failed => {
                // What failed took at least this long; a fast failure must not make the upstream look attractive.
                let spent = Duration::from_micros(now_us.saturating_sub(self.started_us));
                self.upstream.latency.observe_at_least(spent, now_us);
                if trial { Event::TrialFailed } else { Event::Failed }
            }
        };
        self.pool.happened(&self.upstream, event, now_us)
    }

    /// [`Lease::observe`], then frees the place.
    pub fn end(mut self, outcome: Outcome, now: Instant) -> Option<HealthChange> {
        let change = self.observe(outcome, now);
        self.release();
        change
    }

    fn release(&mut self) {
        if !std::mem::replace(&mut self.ended, true) {
            self.upstream.release();
            if !self.told {
                self.upstream.meter.abandoned();
            }
            self.pool.queue.wake_one();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.kind == Kind::Trial {
            self.pool.happened(&self.upstream, Event::TrialAbandoned, 0);
        }
        self.release();
    }
}
