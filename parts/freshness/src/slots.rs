//! The slots: which tag changed last, and which is about to.

use std::sync::{
    Arc,
    atomic::{
        AtomicBool,
        Ordering::{AcqRel, Acquire, Relaxed},
    },
};

use crate::{
    Changes, Deps, Fence, Tables,
    fence::Rows,
    memory::{Machine, Memory, Step, Word},
    tags::Kind,
    writes::{Write, Writes},
};

/// Slots in a process: 16 MiB. A tag hashes to one, so with 10,000 rows of traffic one write in a hundred hits a slot that another's
/// answer uses, and costs it a needless miss.
const SLOTS: usize = 1 << 20;

/// What one Pumasi process knows of writes. Constant memory, no locks; one for all tiers, cores and databases.
pub struct Freshness<M: Memory = Machine> {
    /// Read by every hit and written by every commit: on one cache line of their own.
    head: Head<M>,
    slots: Box<[Slot<M>]>,
    /// Nobody's answer depends on them.
    writes: Writes,
}

#[repr(align(128))]
struct Head<M: Memory> {
    /// Raised fences, whatever they cover. Zero together with an unchanged `seq` means that nothing happened.
    fences: M::U32,
    /// Raised fences that cover everything.
    pend_all: M::U32,
    /// The number of the last bump.
    seq: M::U64,
    /// Answers of another epoch are not looked at.
    epoch: M::U64,
}

struct Slot<M: Memory> {
    /// The number of the last bump that touched a tag of this slot.
    last: M::U64,
    /// Commits in flight that may touch a tag of this slot.
    pend: M::U32,
    /// Of `U(T)`: somebody has looked since T was last written at what is made of rows of T. Nothing is proven by it, so it is no word of `M`.
    wanted: AtomicBool,
}

/// A moment: every write with a number up to `seq` in this `epoch` is visible to a snapshot taken afterwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    pub epoch: u64,
    pub seq: u64,
}

impl Freshness {
    pub fn new() -> Freshness {
        Freshness::with_slots(SLOTS)
    }
}

impl Default for Freshness {
    fn default() -> Freshness {
        Freshness::new()
    }
}

impl<M: Memory> Freshness<M> {
    /// `slots` is a power of two. Few slots make tags collide, which a test may want.
    pub fn with_slots(slots: usize) -> Freshness<M> {
        assert!(slots.is_power_of_two(), "a tag finds its slot by a mask");
        Freshness {
            head: Head { fences: Word::new(0), pend_all: Word::new(0), seq: Word::new(0), epoch: Word::new(0) },
            slots: (0..slots).map(|_| Slot { last: Word::new(0), pend: Word::new(0), wanted: AtomicBool::new(false) }).collect(),
            writes: Writes::default(),
        }
    }

    /// R2: the stamp of a read whose snapshot begins after this call returns.
    ///
    /// Acquire: who sees number n sees the commit that took it, because W5 follows W3 in the writer and `seq` is only ever incremented
    /// (each increment carries the releases before it on).
    #[inline]
    pub fn stamp(&self) -> Stamp {
        let epoch = self.head.epoch.load(Acquire);
        Stamp { epoch, seq: self.head.seq.load(Acquire) }
    }

    /// W2: from when this returns until the fence is committed or released, no stored answer that depends on `tables` is used.
    /// Call it before the commit can become visible to anybody.
    ///
    /// AcqRel on the increments: they are ordered before whatever publishes the commit (the database's lock, a system call), so a reader who
    /// learnt of the write, from the database or from somebody who had, finds them raised or already lowered again.
    pub fn fence(self: &Arc<Self>, tables: Tables) -> Fence<M> {
        Fence::raise(self, tables)
    }

    /// Nothing stored until now is used again: a failover, a restart of the database, changed privileges, a lost change stream.
    pub fn new_epoch(&self) {
        self.head.epoch.increment(AcqRel);
    }

    /// Whether a commit that touches `deps` is in flight. Such reads belong on the primary: it may have shown the write to somebody already.
    pub fn fenced(&self, deps: &Deps) -> bool {
        if self.head.fences.load(Acquire) == 0 {
            return false;
        }
        deps.depends_on_everything()
            || self.head.pend_all.load(Acquire) > 0
            || deps.tags().iter().any(|tag| self.slot(tag.hash).pend.load(Acquire) > 0)
    }

    /// An answer that depends on `deps` is kept: whoever writes to its tables spares it by saying which rows it changed.
    pub fn want(&self, deps: &Deps) {
        deps.tags().iter().filter(|tag| tag.kind == Kind::UnknownRows).for_each(|tag| self.slot(tag.hash).want());
    }

    /// Whether it is worth a wait to know the rows of a commit to `tables`: since the last one somebody has kept an answer made of rows of theirs, or asked
    /// for one. If nobody has, the commit may as well count as one to unknown rows. Asked once per commit: from then on it is not wanted until somebody looks.
    pub fn rows_wanted(&self, tables: &Tables) -> bool {
        let Tables::Known(tables) = tables else { return false };
        // All of them are asked: each begins anew.
        tables.iter().filter(|table| self.slot(table.unknown_rows().hash).wanted.swap(false, Relaxed)).count() > 0
    }

    /// Bumps so far: how much has been written.
    pub fn seq(&self) -> u64 {
        self.head.seq.load(Acquire)
    }

    pub fn epoch(&self) -> u64 {
        self.head.epoch.load(Acquire)
    }

    /// Commits in flight.
    pub fn fences(&self) -> u32 {
        self.head.fences.load(Acquire)
    }

    /// The write of that number, if it was noted ([`Fence::commit_noted`]) and is among the latest [`crate::WRITES_MAX`].
    pub fn write(&self, number: u64) -> Option<Arc<Write>> {
        self.writes.find(number)
    }

    pub(crate) fn note(&self, write: Write) {
        self.writes.note(write);
    }

    /// When `hash`'s slot was last bumped; for explanations.
    pub(crate) fn last(&self, hash: u32) -> u64 {
        self.slot(hash).last.load(Acquire)
    }

    fn slot(&self, hash: u32) -> &Slot<M> {
        &self.slots[hash as usize & (self.slots.len() - 1)]
    }

    /// R1, the short way: nothing was bumped since the check that began at `checked`, and nothing is about to be.
    ///
    /// The count of fences is loaded *before* `seq`. A writer lowers it (Release) after its bump: who reads it as zero after that reads
    /// the new `seq`. Loaded the other way round, a whole fence, commit, bump and release fit between the two loads.
    #[inline]
    pub(crate) fn quiet_since(&self, checked: u64, epoch: u64) -> bool {
        let (fences, seq) = if M::broken(Step::FencesBeforeSeq) {
            let seq = self.head.seq.load(Acquire);
            (self.head.fences.load(Acquire), seq)
        } else {
            let fences = self.head.fences.load(Acquire);
            (fences, self.head.seq.load(Acquire))
        };
        fences == 0 && seq == checked && (M::broken(Step::EpochChecked) || self.head.epoch.load(Acquire) == epoch)
    }

    /// R1 in full. `Some(seq)` as of before the check began if the answer may be used.
    ///
    /// Each fence is loaded before all it guards: who reads a fence as lowered reads what was bumped before its lowering. `pend` guards its own
    /// `last`; that of `U(T)` also the `last` of the table's rows, so `deps` keeps it in front of them; and every fence, whatever it covers,
    /// guards the epoch, because a fence of unknown outcome changes it.
    pub(crate) fn check(&self, stamp: Stamp, deps: &Deps) -> Option<u64> {
        let before = self.head.seq.load(Acquire);
        if self.head.pend_all.load(Acquire) > 0 && !M::broken(Step::FenceOfAllChecked) {
            return None;
        }
        if M::broken(Step::FencesBeforeEpoch) && self.head.epoch.load(Acquire) != stamp.epoch {
            return None;
        }
        if deps.depends_on_everything() {
            return self.quiet_since(stamp.seq, stamp.epoch).then_some(before);
        }
        for place in 0..deps.tags().len() {
            let tag = deps.tags()[if M::broken(Step::FenceBeforeRows) { deps.tags().len() - 1 - place } else { place }];
            let slot = self.slot(tag.hash);
            if tag.kind == Kind::UnknownRows {
                slot.want();
            }
            let (pend, last) = if M::broken(Step::PendBeforeLast) {
                let last = slot.last.load(Acquire);
                (slot.pend.load(Acquire), last)
            } else {
                let pend = slot.pend.load(Acquire);
                (pend, slot.last.load(Acquire))
            };
            if pend > 0 && !M::broken(Step::PendChecked) || last > stamp.seq && !M::broken(Step::LastChecked) {
                return None;
            }
        }
        let same_epoch =
            M::broken(Step::FencesBeforeEpoch) || M::broken(Step::EpochChecked) || self.head.epoch.load(Acquire) == stamp.epoch;
        if !same_epoch {
            return None;
        }
        if M::broken(Step::SeqBeforeCheck) { Some(self.head.seq.load(Acquire)) } else { Some(before) }
    }

    /// W2. The count of all fences first, so that the fast path is closed before any slot is.
    pub(crate) fn raise(&self, tables: &Tables) {
        if M::broken(Step::FenceRaised) {
            return;
        }
        self.head.fences.increment(AcqRel);
        match tables {
            Tables::All => {
                self.head.pend_all.increment(AcqRel);
            }
            Tables::Known(tables) => {
                for table in tables {
                    self.slot(table.any_row().hash).pend.increment(AcqRel);
                    if !M::broken(Step::FenceOnUnknownRows) {
                        self.slot(table.unknown_rows().hash).pend.increment(AcqRel);
                    }
                }
            }
        }
    }

    /// W6, in the opposite order. Release: what was bumped before is seen by whoever sees the fence lowered.
    pub(crate) fn lower(&self, tables: &Tables) {
        if M::broken(Step::FenceRaised) {
            return;
        }
        match tables {
            Tables::All => {
                self.head.pend_all.decrement(AcqRel);
            }
            Tables::Known(tables) => {
                for table in tables {
                    self.slot(table.any_row().hash).pend.decrement(AcqRel);
                    if !M::broken(Step::FenceOnUnknownRows) {
                        self.slot(table.unknown_rows().hash).pend.decrement(AcqRel);
                    }
                }
            }
        }
        self.head.fences.decrement(AcqRel);
    }

    /// W5. Who takes a stamp of n or more after the increment began its snapshot after the commit; who took a smaller one dies by `last`, or by
    /// `pend` as long as the stores are under way.
    ///
    /// Returns n; `None` if nothing changed.
    pub(crate) fn bump(&self, tables: &[crate::Table], changes: &Changes) -> Option<u64> {
        if tables.iter().all(|table| changes.rows(*table).unchanged()) {
            return None;
        }
        let n = self.head.seq.increment(AcqRel) + 1;
        if M::broken(Step::Bump) {
            return Some(n);
        }
        for &table in tables {
            let rows = changes.rows(table);
            if rows.unchanged() {
                continue;
            }
            self.slot(table.any_row().hash).last.raise(n, AcqRel);
            match rows {
                Rows::Unknown => {
                    if !M::broken(Step::BumpOfUnknownRows) {
                        self.slot(table.unknown_rows().hash).last.raise(n, AcqRel);
                    }
                }
                Rows::Exact { rows, .. } => {
                    if !M::broken(Step::BumpOfRows) {
                        for &row in rows {
                            self.slot(row).last.raise(n, AcqRel);
                        }
                    }
                }
            }
        }
        Some(n)
    }
}

impl<M: Memory> Slot<M> {
    /// Mostly it is, and then its cache line is left alone.
    #[inline]
    fn want(&self) {
        if !self.wanted.load(Relaxed) {
            self.wanted.store(true, Relaxed);
        }
    }
}

impl<M: Memory> std::fmt::Debug for Freshness<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Freshness").field("stamp", &self.stamp()).field("fences", &self.fences()).finish_non_exhaustive()
    }
}
