//! Marks that purges and invalidations leave, so that a page fetched before one is never served after it: no list of bans to search at
//! look-up, only a load or two.
//!
//! Tags and keys are hashed into a fixed table of sequence numbers. Two that share a place purge each other: a page too many is fetched
//! anew, none too few.
use std::{
    collections::VecDeque,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{lock, purge::Pattern};

pub(crate) struct Marks {
    /// The number of the last purge of any kind.
    sequence: AtomicU64,
    /// Per place: the last hard purge.
    hard: Box<[AtomicU64]>,
    /// Per place: when it was last purged softly, in milliseconds since the Unix epoch.
    soft_ms: Box<[AtomicU64]>,
    /// Patterns purged lately, for fetches under way and for pages that are only on disk.
    patterns: Mutex<Patterns>,
    /// The last of them.
    pattern_last: AtomicU64,
}

#[derive(Default)]
struct Patterns {
    /// With their numbers, which grow.
    list: VecDeque<(u64, Pattern)>,
    /// The number of the last one that is no longer in the list.
    forgotten: u64,
}

impl Patterns {
    /// Whether one of them with a larger number than `sequence` names `key`, or may have.
    fn name(&self, key: &[u8], sequence: u64) -> bool {
        self.forgotten > sequence || self.list.iter().any(|(number, pattern)| *number > sequence && pattern.matches(key))
    }
}

/// Patterns that are compared with many keys at once: [`Marks::patterns_to_sweep`].
pub(crate) struct PurgedPatterns {
    patterns: Patterns,
    /// The number of the last of them: none with a smaller number is missing.
    pub last: u64,
}

impl PurgedPatterns {
    /// Whether one that was purged after `sequence` names `key`, or may have.
    pub fn names(&self, key: &[u8], sequence: u64) -> bool {
        self.patterns.name(key, sequence)
    }
}

/// A place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark(u16);

impl Default for Marks {
    fn default() -> Marks {
        let table = || (0..PLACES).map(|_| AtomicU64::new(0)).collect();
        Marks { sequence: AtomicU64::new(0), hard: table(), soft_ms: table(), patterns: Mutex::default(), pattern_last: AtomicU64::new(0) }
    }
}

impl Marks {
    /// What a fetch that begins now carries.
    pub fn sequence(&self) -> u64 {
        self.sequence.load(Ordering::Acquire)
    }

    pub fn place(hash: u64) -> Mark {
        Mark((hash >> 20) as u16 % PLACES as u16)
    }

    /// What began before now and has this mark is gone.
    pub fn purge(&self, mark: Mark) {
        let number = self.sequence.fetch_add(1, Ordering::AcqRel) + 1;
        self.hard[usize::from(mark.0)].fetch_max(number, Ordering::AcqRel);
    }

    /// What arrived before now and has this mark is stale.
    pub fn purge_softly(&self, mark: Mark, now_ms: u64) {
        self.soft_ms[usize::from(mark.0)].fetch_max(now_ms, Ordering::AcqRel);
    }

    /// Whether a purge came after `sequence`.
    pub fn overtook(&self, marks: &[Mark], sequence: u64) -> bool {
        marks.iter().any(|mark| self.hard[usize::from(mark.0)].load(Ordering::Acquire) > sequence)
    }

    /// When the first of these marks was last purged softly; 0 for never.
    pub fn soft_ms(&self, marks: &[Mark]) -> u64 {
        marks.iter().map(|mark| self.soft_ms[usize::from(mark.0)].load(Ordering::Acquire)).max().unwrap_or(0)
    }

    pub fn purge_pattern(&self, pattern: Pattern) {
        // Numbered under the lock: whoever sees a number in the list sees all smaller ones.
        let mut patterns = lock(&self.patterns);
        let number = self.sequence.fetch_add(1, Ordering::AcqRel) + 1;
        if patterns.list.len() >= PATTERNS_MAX
            && let Some((forgotten, _)) = patterns.list.pop_front()
        {
            patterns.forgotten = forgotten;
        }
        patterns.list.push_back((number, pattern));
        self.pattern_last.fetch_max(number, Ordering::AcqRel);
    }

    /// Whether a pattern that `key` matches was purged after `sequence`, or may have been: beyond the list's memory the answer is yes.
    pub fn pattern_overtook(&self, key: &[u8], sequence: u64) -> bool {
        self.pattern_last.load(Ordering::Acquire) > sequence && lock(&self.patterns).name(key, sequence)
    }

    /// The patterns purged after `swept`, once they are so many that pages on disk should be compared with them before they are forgotten.
    pub fn patterns_to_sweep(&self, swept: u64) -> Option<PurgedPatterns> {
        if self.pattern_last.load(Ordering::Acquire) <= swept {
            return None;
        }
        let patterns = lock(&self.patterns);
        let due: VecDeque<(u64, Pattern)> = patterns.list.iter().filter(|(number, _)| *number > swept).cloned().collect();
        let last = due.back()?.0;
        let enough = due.len() >= PATTERNS_MAX / 2;
        enough.then_some(PurgedPatterns { patterns: Patterns { list: due, forgotten: patterns.forgotten }, last })
    }

    /// What the tables take.
    pub fn bytes(&self) -> u64 {
        2 * 8 * PLACES as u64
    }
}

// === helpers ===

/// 256 KiB for both tables; a purged tag or target takes one stored page in 16 384 with it by accident.
const PLACES: usize = 1 << 14;

/// Purged patterns remembered for fetches that are under way: more in the time of one fetch are an accident or an attack, and cost its
/// being stored. Pages on disk are compared with them when half of this many are new.
const PATTERNS_MAX: usize = 64;
