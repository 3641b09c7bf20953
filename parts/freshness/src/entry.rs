//! The reader's side: what is stored beside an answer to know whether it may still be given.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use crate::{
    Deps, Freshness, Stamp, Table,
    memory::{Machine, Memory, Word},
};

/// No check has succeeded yet. `seq` would take centuries to get here.
const NEVER: u64 = u64::MAX;

/// What has become of a stored answer, for people; whether it is used is [`Entry::usable`]'s word alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Clean,
    /// A write that may concern it is on its way.
    Fenced,
    /// A write has this number, which the answer's stamp has not. The newest of several; `table`: what of the answer it met, `None` if the
    /// answer depends on everything.
    Overtaken {
        table: Option<Table>,
        number: u64,
    },
    /// Everything stored before some moment was forgotten: a schema change, a failover, a lost outcome.
    GivenUp,
}

/// The passport of a stored answer.
pub struct Entry<M: Memory = Machine> {
    stamp: Stamp,
    deps: Arc<Deps>,
    /// `seq` as of before the last full check that succeeded. Relaxed: it is a hint from one reader to the next that a check covered all
    /// writes numbered up to it; what came later each reader finds out for itself (`Freshness::quiet_since`).
    checked: M::U64,
}

impl<M: Memory> Entry<M> {
    /// R4. `stamp` was taken before the answer's snapshot began. No check is needed here: an answer stamped too early can never be used.
    pub fn new(stamp: Stamp, deps: impl Into<Arc<Deps>>) -> Entry<M> {
        Entry { stamp, deps: deps.into(), checked: Word::new(NEVER) }
    }

    /// R1: whether the answer is what the database would say to a request that has arrived. Mostly three loads.
    #[inline]
    pub fn usable(&self, freshness: &Freshness<M>) -> bool {
        let checked = self.checked.load(Relaxed);
        (checked != NEVER && freshness.quiet_since(checked, self.stamp.epoch)) || self.check(freshness)
    }

    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    pub fn deps(&self) -> &Arc<Deps> {
        &self.deps
    }

    /// Whether the answer can never be used again, as opposed to not just now: its place in the store is better used otherwise.
    pub fn dead(&self, freshness: &Freshness<M>) -> bool {
        freshness.epoch() != self.stamp.epoch
            || self.deps.tags().iter().any(|tag| freshness.last(tag.hash) > self.stamp.seq)
            || self.deps.depends_on_everything() && freshness.seq() != self.stamp.seq
    }

    /// Why it is usable or not. Two tags that share a slot make it name a table that the write did not change: [`Freshness::write`] tells.
    pub fn standing(&self, freshness: &Freshness<M>) -> Standing {
        if freshness.epoch() != self.stamp.epoch {
            return Standing::GivenUp;
        }
        let seq = freshness.seq();
        if self.deps.depends_on_everything() && seq != self.stamp.seq {
            return Standing::Overtaken { table: None, number: seq };
        }
        let newest = self.deps.tags().iter().map(|tag| (freshness.last(tag.hash), tag.table)).max();
        match newest.filter(|(number, _)| *number > self.stamp.seq) {
            Some((number, table)) => Standing::Overtaken { table: Some(Table::from_number(table)), number },
            None if freshness.fenced(&self.deps) => Standing::Fenced,
            None => Standing::Clean,
        }
    }

    #[cold]
    fn check(&self, freshness: &Freshness<M>) -> bool {
        match freshness.check(self.stamp, &self.deps) {
            Some(seq) => {
                self.checked.store(seq, Relaxed);
                true
            }
            None => false,
        }
    }
}

impl<M: Memory> std::fmt::Debug for Entry<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("stamp", &self.stamp).field("deps", &self.deps).finish_non_exhaustive()
    }
}
