//! Where in the primary's binary log the last write to each table stands: what a replica must have applied to answer for that table.
//!
//! ```text
//! begin(tables) --sent--> settled(gtid)   acknowledged: whoever reads from now on needs it
//!                     --> nothing()       the server said that nothing was logged
//!                     --> untold()        answered without a position: the tables wait until the primary has been asked where it stands
//!                     --> dropped         nobody knows: the tables wait until the server executes it no more ([`super::settle`]), and
//!                                         until the primary has then been asked where it stands
//! ```
//! While a write is under way no replica answers for its tables: with semi-synchronous replication a replica may show a row before the primary
//! does, and two reads in a row must not go backwards.
//!
//! One number orders the transactions of one GTID domain. A transaction of another domain (`SET gtid_domain_id`, a second writer) stands beside them:
//! from then on a replica answers only if it has that transaction as well, whatever the tables ([`Positions::elsewhere`]).
//!
//! A table is a slot that its name hashes to: tables that share one wait for each other needlessly, and nothing worse.

use std::{
    collections::VecDeque,
    hash::{BuildHasher, Hasher},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::gtid::{Gtid, Position};

/// Slots; 12 bytes each. A site with a thousand tables has one collision in sixteen.
const SLOTS: usize = 1 << 14;

/// Writes of unknown outcome that are kept to be asked about: a server has no more threads than some thousands. Should there be more, no replica
/// answers until another server is the primary.
const UNSETTLED_MAX: usize = 10_000;

/// Other domains that are watched; a transaction of a further one switches replicas off until another server is the primary.
const DOMAINS_MAX: usize = 64;

/// Samples of what was acknowledged when, for bounded reads. Beyond them the oldest count as older than they are.
const SAMPLES_MAX: usize = 4096;

/// Samples closer together than this share one.
const SAMPLE_EVERY: Duration = Duration::from_millis(5);

/// No replica can have applied this.
const NOWHERE: u64 = u64::MAX;

/// A table, as positions know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(u16);

/// Tables that a statement reads or writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tables {
    /// Any of them: it cannot be said.
    Any,
    These(Arc<[Slot]>),
}

#[derive(Debug)]
pub struct Positions {
    last: Box<[AtomicU64]>,
    under_way: Box<[AtomicU32]>,
    /// Where the last write to any table stands at least: writes past Pumasi, writes to tables that are not known.
    floor: AtomicU64,
    /// The furthest that was acknowledged to anybody.
    acknowledged: AtomicU64,
    /// Writes under way to tables that are not known, and to any.
    under_way_unknown: AtomicU32,
    under_way_any: AtomicU32,
    domain: AtomicU32,
    elsewhere: Mutex<Elsewhere>,
    /// Grows with what replicas need of other domains; 0: nothing.
    elsewhere_version: AtomicU64,
    samples: Mutex<Samples>,
    unsettled: Mutex<Vec<Unsettled>>,
    /// More than a bound allows was seen: nothing can be said of replicas until there is another primary.
    beyond: AtomicBool,
    /// Told when there is something to ask the primary for, and when there is something for replicas to apply.
    pub ask: Notify,
    pub advanced: Notify,
}

/// Transactions of other domains than the primary's.
#[derive(Debug, Default)]
struct Elsewhere {
    /// What the primary's log holds of them: there before Pumasi came, it disturbs nobody; when it grows it does. `None`: not asked yet.
    seen: Option<Position>,
    /// What replicas need of them.
    needed: Position,
    /// A domain that was seen to be written to, until somebody has asked.
    news: Option<u32>,
}

#[derive(Debug, Default)]
struct Samples {
    acknowledged: VecDeque<(Instant, u64)>,
    /// Of those that have left.
    before: u64,
}

/// Who executes a statement: a thread of a server's, as its process list knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Executor {
    /// The server.
    pub member: usize,
    /// Its number for the connection.
    pub id: u32,
    /// Our end of the connection.
    pub port: u16,
    /// It runs for the user that Pumasi's own questions are asked as, who may always see it.
    pub ours: bool,
}

/// One write under way. Dropped: its outcome is unknown.
#[derive(Debug)]
pub struct UnderWay {
    positions: Arc<Positions>,
    tables: Option<Tables>,
    executor: Executor,
}

/// A write whose outcome is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsettled {
    /// Who may execute it still; `None`: it was answered, without a position.
    pub executor: Option<Executor>,
    tables: Tables,
}

impl Slot {
    /// Names are folded: servers differ in whether they tell `T` from `t`, and one slot for both is always right.
    pub fn of(database: &str, table: &str) -> Slot {
        let mut hasher = std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default().build_hasher();
        hasher.write(database.to_lowercase().as_bytes());
        hasher.write_u8(0xff);
        hasher.write(table.to_lowercase().as_bytes());
        Slot((hasher.finish() % SLOTS as u64) as u16)
    }
}

impl Tables {
    pub fn these(slots: impl IntoIterator<Item = Slot>) -> Tables {
        let mut slots: Vec<Slot> = slots.into_iter().collect();
        slots.sort_unstable();
        slots.dedup();
        Tables::These(slots.into())
    }

    pub fn none() -> Tables {
        Tables::These(Arc::from([]))
    }

    pub fn is_none(&self) -> bool {
        matches!(self, Tables::These(slots) if slots.is_empty())
    }

    pub fn and(&self, other: &Tables) -> Tables {
        match (self, other) {
            (Tables::These(a), Tables::These(b)) if b.is_empty() || a == b => Tables::These(a.clone()),
            (Tables::These(a), Tables::These(b)) => Tables::these(a.iter().chain(&**b).copied()),
            _ => Tables::Any,
        }
    }
}

impl Default for Positions {
    fn default() -> Self {
        Positions {
            last: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
            under_way: (0..SLOTS).map(|_| AtomicU32::new(0)).collect(),
            // Nobody has asked the primary where it stands yet.
            floor: AtomicU64::new(NOWHERE),
            acknowledged: AtomicU64::new(0),
            under_way_unknown: AtomicU32::new(0),
            under_way_any: AtomicU32::new(0),
            domain: AtomicU32::new(0),
            elsewhere: Mutex::default(),
            elsewhere_version: AtomicU64::new(0),
            samples: Mutex::default(),
            unsettled: Mutex::default(),
            beyond: AtomicBool::new(false),
            ask: Notify::new(),
            advanced: Notify::new(),
        }
    }
}

impl Positions {
    /// A write to `tables` is about to be sent to `executor`.
    pub fn begin(self: &Arc<Positions>, tables: Tables, executor: Executor) -> UnderWay {
        self.count(&tables, 1);
        UnderWay { positions: self.clone(), tables: Some(tables), executor }
    }

    /// What a replica must have applied to answer a read of `tables` that begins now, besides what [`Positions::elsewhere`] asks. `None`: no
    /// replica may.
    pub fn required(&self, tables: &Tables) -> Option<u64> {
        // In this order: who finds nothing under way finds what went before acknowledged.
        let free = self.under_way_unknown.load(SeqCst) == 0
            && match tables {
                Tables::Any => self.under_way_any.load(SeqCst) == 0,
                Tables::These(slots) => slots.iter().all(|slot| self.under_way[usize::from(slot.0)].load(SeqCst) == 0),
            };
        if !free {
            return None;
        }
        let floor = self.floor.load(SeqCst);
        let required = match tables {
            Tables::Any => floor.max(self.acknowledged.load(SeqCst)),
            Tables::These(slots) => slots.iter().map(|slot| self.last[usize::from(slot.0)].load(SeqCst)).fold(floor, u64::max),
        };
        (required != NOWHERE && !self.beyond.load(SeqCst)).then_some(required)
    }

    /// The same for a read that may be as old as `bound`. Writes past Pumasi count when it has seen them.
    pub fn required_within(&self, bound: Duration, now: Instant) -> Option<u64> {
        if self.beyond.load(SeqCst) || self.floor.load(SeqCst) == NOWHERE {
            return None;
        }
        let mut samples = self.samples();
        while let Some((at, acknowledged)) = samples.acknowledged.front().copied()
            && now.saturating_duration_since(at) >= bound
        {
            samples.before = samples.before.max(acknowledged);
            samples.acknowledged.pop_front();
        }
        Some(samples.before)
    }

    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(SeqCst)
    }

    /// Where replicas should get to: everything acknowledged, and what the primary was seen to have.
    pub fn goal(&self) -> u64 {
        let floor = self.floor.load(SeqCst);
        self.acknowledged().max(if floor == NOWHERE { 0 } else { floor })
    }

    /// Which state of other domains a replica must have been seen to cover ([`Positions::covered_by`]) to answer anything that begins now; asked for
    /// after [`Positions::required`]. 0: there is nothing to cover.
    pub fn elsewhere(&self) -> u64 {
        self.elsewhere_version.load(SeqCst)
    }

    /// The state of other domains that a server covers which has applied `applied`; `None`: not the present one.
    pub fn covered_by(&self, applied: &Position) -> Option<u64> {
        let elsewhere = self.others();
        applied.covers(&elsewhere.needed).then(|| self.elsewhere_version.load(SeqCst))
    }

    /// A bound was passed; see [`UNSETTLED_MAX`] and [`DOMAINS_MAX`].
    pub fn lost_count(&self) -> bool {
        self.beyond.load(SeqCst)
    }

    pub fn domain(&self) -> u32 {
        self.domain.load(SeqCst)
    }

    /// The writes whose outcome nobody knows. For those that are seen to have ended, ask the primary where it stands *after* that, then say
    /// so by [`Positions::stands`]; the others go back by [`Positions::put_back`].
    pub fn take_unsettled(&self) -> Vec<Unsettled> {
        std::mem::take(&mut *self.unsettled())
    }

    pub fn any_unsettled(&self) -> bool {
        !self.unsettled().is_empty()
    }

    /// The primary of `domain` stands at `position`, asked after the statements `over` had ended: whatever it has, replicas need.
    pub fn stands(&self, domain: u32, position: &Position, over: &[Unsettled]) {
        let sequence = position.sequence(domain);
        self.look_at_others(domain, position);
        self.domain.store(domain, SeqCst);
        if self.floor.load(SeqCst) == NOWHERE {
            // What was there before we came is older than any bound.
            let mut samples = self.samples();
            samples.before = samples.before.max(sequence);
            drop(samples);
            self.floor.store(sequence, SeqCst);
        } else {
            self.floor.fetch_max(sequence, SeqCst);
        }
        self.sample(sequence);
        for write in over {
            self.count(&write.tables, -1);
        }
        self.advanced.notify_waiters();
    }

    /// They go back to be asked for again: the primary did not answer, or executes them still.
    pub fn put_back(&self, unsettled: Vec<Unsettled>) {
        self.unsettled().extend(unsettled);
    }

    /// Another primary, whose position has not been asked for yet: no replica answers until it has.
    pub fn forget_primary(&self) {
        self.others().seen = None;
        self.floor.store(NOWHERE, SeqCst);
        self.beyond.store(false, SeqCst);
    }

    /// Acknowledged writes were given up with the old primary: nothing after `sequence` is waited for any more.
    pub fn give_up_after(&self, sequence: u64) {
        self.acknowledged.fetch_min(sequence, SeqCst);
        for last in &self.last {
            last.fetch_min(sequence, SeqCst);
        }
        let mut samples = self.samples();
        samples.before = samples.before.min(sequence);
        samples.acknowledged.iter_mut().for_each(|(_, acknowledged)| *acknowledged = sequence.min(*acknowledged));
    }

    /// A position that the server reported, whatever it was for.
    pub fn saw(&self, gtid: Gtid) {
        if gtid.domain != self.domain.load(SeqCst) {
            self.is_elsewhere(gtid);
            return;
        }
        if self.acknowledged.fetch_max(gtid.sequence, SeqCst) < gtid.sequence {
            self.sample(gtid.sequence);
            self.advanced.notify_waiters();
        }
    }

    /// Somebody else wrote, and the primary shows it: whatever is read from now on is read from there, or from a replica that has it. The watch would learn it
    /// too, up to half a second later.
    pub fn written_past(&self, gtid: Gtid) {
        self.saw(gtid);
        if gtid.domain == self.domain.load(SeqCst) {
            // A floor that is not known yet stays unknown.
            self.floor.fetch_max(gtid.sequence, SeqCst);
        }
    }

    fn count(&self, tables: &Tables, by: i32) {
        let add = |counter: &AtomicU32| {
            if by > 0 {
                counter.fetch_add(1, SeqCst)
            } else {
                counter.fetch_sub(1, SeqCst)
            };
        };
        match tables {
            Tables::Any => add(&self.under_way_unknown),
            Tables::These(slots) => slots.iter().for_each(|slot| add(&self.under_way[usize::from(slot.0)])),
        }
        if !tables.is_none() {
            add(&self.under_way_any);
        }
    }

    fn sample(&self, sequence: u64) {
        let now = Instant::now();
        let mut samples = self.samples();
        match samples.acknowledged.back_mut() {
            Some((at, last)) if now.saturating_duration_since(*at) < SAMPLE_EVERY => *last = sequence.max(*last),
            _ => samples.acknowledged.push_back((now, sequence)),
        }
        if samples.acknowledged.len() > SAMPLES_MAX
            && let Some((_, acknowledged)) = samples.acknowledged.pop_front()
        {
            samples.before = samples.before.max(acknowledged);
        }
    }

    /// The other domain that was seen to be written to; told once.
    pub fn foreign_news(&self) -> Option<u32> {
        self.others().news.take()
    }

    fn look_at_others(&self, domain: u32, position: &Position) {
        let now = position.without(domain);
        let mut elsewhere = self.others();
        match elsewhere.seen.replace(now.clone()) {
            // Another primary: what it does not have of them is lost, and what it has replicas need.
            None => {
                let needed = now.of_domains(&elsewhere.needed);
                if needed != elsewhere.needed {
                    elsewhere.needed = needed;
                    self.elsewhere_version.fetch_add(1, SeqCst);
                }
            }
            Some(before) => now.beyond(&before).transactions().iter().for_each(|gtid| self.need(&mut elsewhere, *gtid)),
        }
    }

    fn is_elsewhere(&self, gtid: Gtid) {
        self.need(&mut self.others(), gtid);
        self.advanced.notify_waiters();
    }

    fn need(&self, elsewhere: &mut Elsewhere, gtid: Gtid) {
        let new = elsewhere.needed.last(gtid.domain).is_none();
        if new && elsewhere.needed.transactions().len() >= DOMAINS_MAX {
            self.beyond.store(true, SeqCst);
        } else if elsewhere.needed.reach(gtid) {
            self.elsewhere_version.fetch_add(1, SeqCst);
        }
        if new {
            elsewhere.news = Some(gtid.domain);
        }
    }

    fn ask_about(&self, write: Unsettled) {
        let mut unsettled = self.unsettled();
        if unsettled.len() >= UNSETTLED_MAX {
            // Its tables count as being written from here on, with all others.
            self.beyond.store(true, SeqCst);
            drop(unsettled);
            self.count(&write.tables, -1);
        } else {
            unsettled.push(write);
        }
        self.ask.notify_one();
    }

    fn others(&self) -> MutexGuard<'_, Elsewhere> {
        self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn samples(&self) -> MutexGuard<'_, Samples> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unsettled(&self) -> MutexGuard<'_, Vec<Unsettled>> {
        self.unsettled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnderWay {
    /// The server acknowledged the write, at this position.
    pub fn settled(mut self, gtid: Gtid) {
        let Some(tables) = self.tables.take() else { return };
        let positions = &self.positions;
        positions.saw(gtid);
        if gtid.domain == positions.domain.load(SeqCst) {
            match &tables {
                Tables::Any => {
                    // A floor that is not known yet stays unknown.
                    positions.floor.fetch_max(gtid.sequence, SeqCst);
                }
                Tables::These(slots) => {
                    slots.iter().for_each(|slot| _ = positions.last[usize::from(slot.0)].fetch_max(gtid.sequence, SeqCst));
                }
            }
        }
        positions.count(&tables, -1);
    }

    /// The server answered, and did not say where in the log: it has ended, and the primary is asked where it stands.
    pub fn untold(mut self) {
        if let Some(tables) = self.tables.take() {
            self.positions.ask_about(Unsettled { executor: None, tables });
        }
    }

    /// The server said that nothing was logged.
    pub fn nothing(mut self) {
        if let Some(tables) = self.tables.take() {
            self.positions.count(&tables, -1);
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(tables) = self.tables.take() {
            self.positions.ask_about(Unsettled { executor: Some(self.executor), tables });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions() -> Arc<Positions> {
        let positions = Arc::new(Positions::default());
        assert_eq!(positions.required(&table("t")), None, "the primary has not said where it stands");
        stands(&positions, 10, &[]);
        positions
    }

    fn table(name: &str) -> Tables {
        Tables::these([Slot::of("shop", name)])
    }

    fn stands(positions: &Positions, sequence: u64, over: &[Unsettled]) {
        positions.stands(0, &Position::parse(&format!("0-1-{sequence}")).unwrap(), over);
    }

    /// A write to `tables` on its way.
    fn write(positions: &Arc<Positions>, tables: Tables) -> UnderWay {
        positions.begin(tables, Executor { member: 0, id: 7, port: 40_000, ours: true })
    }

    fn at(sequence: u64) -> Gtid {
        Gtid { domain: 0, server: 1, sequence }
    }

    #[test]
    fn a_read_needs_the_last_write_to_its_own_tables() {
        let positions = positions();
        assert_eq!(positions.required(&table("t")), Some(10), "what was there at the start");
        write(&positions, table("t")).settled(at(11));
        assert_eq!((positions.required(&table("t")), positions.required(&table("u"))), (Some(11), Some(10)));
        assert_eq!(positions.required(&table("t").and(&table("u"))), Some(11));
        assert_eq!(positions.required(&Tables::Any), Some(11));
        write(&positions, Tables::Any).settled(at(12));
        assert_eq!(positions.required(&table("u")), Some(12), "a write to who knows what");
    }

    #[test]
    fn no_replica_answers_while_a_write_is_under_way() {
        let positions = positions();
        let under_way = write(&positions, table("t"));
        assert_eq!((positions.required(&table("t")), positions.required(&table("u"))), (None, Some(10)));
        assert_eq!(positions.required(&Tables::Any), None);
        under_way.nothing();
        assert_eq!(positions.required(&table("t")), Some(10));
        let under_way = write(&positions, Tables::Any);
        assert_eq!(positions.required(&table("u")), None);
        under_way.settled(at(11));
        assert_eq!(positions.required(&table("u")), Some(11));
    }

    #[test]
    fn a_write_of_unknown_outcome_waits_for_the_primary() {
        let positions = positions();
        drop(write(&positions, table("t")));
        assert_eq!(positions.required(&table("t")), None);
        let unsettled = positions.take_unsettled();
        stands(&positions, 15, &unsettled);
        assert_eq!(positions.required(&table("t")), Some(15));
    }

    #[test]
    fn an_answer_without_a_position_leaves_nobody_to_look_for() {
        let positions = positions();
        write(&positions, table("t")).untold();
        assert_eq!(positions.required(&table("t")), None);
        let unsettled = positions.take_unsettled();
        assert_eq!(unsettled[0].executor, None, "its connection goes on and is somebody's");
        stands(&positions, 12, &unsettled);
        assert_eq!(positions.required(&table("t")), Some(12));
    }

    fn position(text: &str) -> Position {
        Position::parse(text).unwrap()
    }

    #[test]
    fn what_is_written_in_another_domain_has_to_be_there_as_well() {
        let positions = positions();
        assert_eq!((positions.elsewhere(), positions.covered_by(&position("0-1-10"))), (0, Some(0)));
        write(&positions, table("t")).settled(Gtid { domain: 7, server: 1, sequence: 1 });
        assert_eq!(positions.required(&table("t")), Some(10), "its number means nothing in the primary's own domain");
        assert_eq!((positions.covered_by(&position("0-1-10")), positions.elsewhere()), (None, 1), "and is needed all the same");
        assert_eq!(positions.covered_by(&position("0-1-10,7-1-1")), Some(1));
        positions.saw(Gtid { domain: 7, server: 1, sequence: 1 });
        assert_eq!(positions.elsewhere(), 1, "who has it has it");
        positions.saw(Gtid { domain: 7, server: 1, sequence: 2 });
        assert_eq!((positions.elsewhere(), positions.covered_by(&position("0-1-10,7-1-1"))), (2, None));
    }

    #[test]
    fn a_write_past_pumasi_is_required_of_every_replica() {
        let positions = positions();
        let known = positions.required(&table("u")).expect("known");
        let gtid = |domain, sequence| Gtid { domain, server: 1, sequence };
        positions.written_past(gtid(0, known + 5));
        assert_eq!(positions.required(&table("u")), Some(known + 5));
        positions.written_past(gtid(0, known + 3));
        assert_eq!(positions.required(&table("u")), Some(known + 5), "it never falls");
        positions.written_past(gtid(7, 1));
        assert_eq!(
            (positions.required(&table("u")), positions.elsewhere()),
            (Some(known + 5), 1),
            "of another domain it is needed as well"
        );
    }

    #[test]
    fn another_domain_disturbs_when_it_is_written_to() {
        let positions = Arc::new(Positions::default());
        let stands = |text: &str| positions.stands(0, &position(text), &[]);
        stands("0-1-10,7-1-5");
        stands("0-1-11,7-1-5");
        assert_eq!((positions.required(&table("u")), positions.elsewhere()), (Some(11), 0), "it has been there for long");
        stands("0-1-11,7-1-6");
        assert_eq!((positions.covered_by(&position("0-1-11,7-1-5")), positions.covered_by(&position("0-1-11,7-1-6"))), (None, Some(1)));
        assert_eq!((positions.foreign_news(), positions.foreign_news()), (Some(7), None), "said once");
    }

    #[test]
    fn of_other_domains_another_primary_has_what_it_has() {
        let positions = positions();
        positions.saw(Gtid { domain: 7, server: 1, sequence: 9 });
        positions.forget_primary();
        assert_eq!(positions.covered_by(&position("0-1-20,7-1-8")), None);
        stands(&positions, 20, &[]);
        assert_eq!(positions.covered_by(&position("0-1-20")), Some(2), "it was lost with the old primary");
        positions.saw(Gtid { domain: 7, server: 1, sequence: 9 });
        positions.forget_primary();
        positions.stands(0, &position("0-1-20,7-1-12"), &[]);
        assert_eq!((positions.covered_by(&position("0-1-20,7-1-9")), positions.covered_by(&position("0-1-20,7-1-12"))), (None, Some(4)));
    }

    #[test]
    fn what_cannot_be_kept_count_of_switches_replicas_off_until_there_is_another_primary() {
        let positions = positions();
        (0..=UNSETTLED_MAX).for_each(|_| drop(write(&positions, table("t"))));
        let unsettled = positions.take_unsettled();
        assert_eq!(unsettled.len(), UNSETTLED_MAX);
        stands(&positions, 15, &unsettled);
        assert_eq!((positions.required(&table("u")), positions.lost_count()), (None, true));
        positions.forget_primary();
        stands(&positions, 16, &[]);
        assert_eq!((positions.required(&table("t")), positions.lost_count()), (Some(16), false));
    }

    #[test]
    fn a_bounded_read_needs_what_is_older_than_its_bound() {
        let positions = positions();
        let second = Duration::from_secs(1);
        write(&positions, table("t")).settled(at(11));
        let now = Instant::now();
        assert_eq!(positions.required_within(second, now), Some(10), "the rest is younger");
        assert_eq!(positions.required_within(second, now + second), Some(11));
        write(&positions, table("t")).settled(at(12));
        assert_eq!(positions.required_within(second, now), Some(11));
    }

    #[test]
    fn another_primary_is_asked_before_replicas_answer() {
        let positions = positions();
        write(&positions, table("t")).settled(at(30));
        positions.forget_primary();
        positions.give_up_after(20);
        assert_eq!(positions.required(&table("u")), None);
        stands(&positions, 21, &[]);
        assert_eq!(positions.required(&table("t")), Some(21));
    }
}
