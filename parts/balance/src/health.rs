//! Whether a member gets requests: one table, and its place in one atomic word.
//!
//! ```text
//!        n failures in a row              its time is over            the trial succeeded
//!   Up ----------------------> Ejected -------------------> Probing ----------------------> Up
//!                                 ^----- the trial failed -----|
//!   any --- drain --> Draining --- undrain --> Up
//! ```
//! "The trial" is one client's request, or a probe where probes run. When the whole pool is out every request is a trial, and the
//! first that succeeds brings its member back at once.

/// Health of one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    Up {
        /// Requests that failed in a row.
        failures: u32,
        /// Probes that failed in a row.
        probe_failures: u32,
    },
    /// Out until `until_us`, on the pool's clock.
    Ejected { until_us: u64 },
    /// Its one trial is under way.
    Probing,
    /// The operator, or the supervisor before a stop, wants it to get nothing new.
    Draining,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Succeeded,
    Failed,
    TrialSucceeded,
    TrialFailed,
    /// The client of the trial went away before an answer: nothing was learnt.
    TrialAbandoned,
    ProbeSucceeded,
    ProbeFailed,
    IntervalPassed,
    Drain,
    Undrain,
}

/// What the table needs to know from outside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub eject_after: u32,
    pub eject_until_us: u64,
    /// There is room under the cap on how much of a pool may be out.
    pub may_eject: bool,
}

impl Health {
    pub const NEW: Health = Health::Up { failures: 0, probe_failures: 0 };

    pub fn takes_requests(self) -> bool {
        matches!(self, Health::Up { .. })
    }

    /// `up`, `probing`, `ejected`, `draining`: the words of status and console.
    pub fn word(self) -> &'static str {
        match self {
            Health::Up { .. } => "up",
            Health::Ejected { .. } => "ejected",
            Health::Probing => "probing",
            Health::Draining => "draining",
        }
    }

    pub(crate) fn next(self, event: Event, rules: &Rules) -> Health {
        use {Event::*, Health::*};
        let ejected = Ejected { until_us: rules.eject_until_us };
        let too_many = |count: u32| rules.eject_after > 0 && count >= rules.eject_after && rules.may_eject;
        match (self, event) {
            (Draining, Undrain) => Health::NEW,
            (Draining, _) => Draining,
            (_, Drain) => Draining,

            (Up { failures, .. }, Failed | TrialFailed) if too_many(failures + 1) => ejected,
            (Up { probe_failures, .. }, ProbeFailed) if too_many(probe_failures + 1) => ejected,
            (Up { failures, probe_failures }, Failed | TrialFailed) => Up { failures: counted(failures), probe_failures },
            (Up { failures, probe_failures }, ProbeFailed) => Up { failures, probe_failures: counted(probe_failures) },
            (Up { probe_failures, .. }, Succeeded | TrialSucceeded) => Up { failures: 0, probe_failures },
            (Up { failures, .. }, ProbeSucceeded) => Up { failures, probe_failures: 0 },

            (Ejected { .. }, IntervalPassed) => Probing,
            (Ejected { .. } | Probing, TrialSucceeded) => Health::NEW,
            (Probing, ProbeSucceeded) => Health::NEW,
            (Probing, TrialFailed | ProbeFailed) => ejected,
            // The next request is the next trial: no need to wait another interval for having learnt nothing.
            (Probing, TrialAbandoned) => Ejected { until_us: 0 },

            (state, _) => state, // an answer from before the ejection changes nothing
        }
    }

    /// Whether `event` would eject a member that is up, room provided.
    pub(crate) fn would_leave_by(self, event: Event, rules: &Rules) -> bool {
        self.takes_requests() && matches!(self.next(event, rules), Health::Ejected { .. })
    }

    /// One word, so that a transition is one compare-and-swap: two bits of kind, then the counters or the time.
    pub(crate) fn pack(self) -> u64 {
        match self {
            Health::Up { failures, probe_failures } => u64::from(failures) << 2 | u64::from(probe_failures) << 32,
            Health::Ejected { until_us } => until_us << 2 | 1,
            Health::Probing => 2,
            Health::Draining => 3,
        }
    }

    pub(crate) fn unpack(word: u64) -> Health {
        match word & 3 {
            0 => Health::Up { failures: (word >> 2) as u32 & COUNT_MAX, probe_failures: (word >> 32) as u32 & COUNT_MAX },
            1 => Health::Ejected { until_us: word >> 2 },
            2 => Health::Probing,
            _ => Health::Draining,
        }
    }
}

// === helpers ===

fn counted(failures: u32) -> u32 {
    (failures + 1).min(COUNT_MAX)
}

/// Counters stop here: they only ever matter up to `eject_after`, and the word has 30 bits for the first of them.
const COUNT_MAX: u32 = (1 << 24) - 1;

#[cfg(test)]
mod tests;
