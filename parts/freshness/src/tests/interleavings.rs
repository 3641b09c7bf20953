//! The orders that matter, every interleaving of them and every reordering that the memory orderings allow (loom), on the crate's own code.
//!
//! Each model is two or three threads around one question. What loom adds to the simulation is the memory model: a load that may return an
//! older value unless something ordered it. The database and the sockets are stood for by one word, written with Release and read with
//! Acquire: the least that a lock or a system call does.

use loom::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    thread,
};
use std::sync::Arc;

use crate::{
    memory::{Memory, Step, Word},
    *,
};

struct Loom;

impl Memory for Loom {
    type U64 = AtomicU64;
    type U32 = AtomicU32;
}

/// The same with one step in the wrong place: loom has to notice, or the model shows nothing.
struct Broken<const STEP: u8>;

const PEND_BEFORE_LAST: u8 = 0;
const FENCES_BEFORE_SEQ: u8 = 1;
const BUMP_BEFORE_RELEASE: u8 = 2;
const SEQ_BEFORE_CHECK: u8 = 3;
const FENCE_RAISED: u8 = 4;
const FENCE_BEFORE_ROWS: u8 = 5;
const FENCES_BEFORE_EPOCH: u8 = 6;
const EPOCH_ON_UNKNOWN: u8 = 7;

impl<const STEP: u8> Memory for Broken<STEP> {
    type U64 = AtomicU64;
    type U32 = AtomicU32;
    fn broken(step: Step) -> bool {
        let steps = [
            Step::PendBeforeLast,
            Step::FencesBeforeSeq,
            Step::BumpBeforeRelease,
            Step::SeqBeforeCheck,
            Step::FenceRaised,
            Step::FenceBeforeRows,
            Step::FencesBeforeEpoch,
            Step::EpochOnUnknownOutcome,
        ];
        step == steps[STEP as usize]
    }
}

macro_rules! words {
    ($($value:ty => $word:ty),*) => {$(
        impl Word<$value> for $word {
            fn new(value: $value) -> Self {
                <$word>::new(value)
            }
            fn load(&self, order: Ordering) -> $value {
                <$word>::load(self, order)
            }
            fn store(&self, value: $value, order: Ordering) {
                <$word>::store(self, value, order);
            }
            fn increment(&self, order: Ordering) -> $value {
                self.fetch_add(1, order)
            }
            fn decrement(&self, order: Ordering) -> $value {
                self.fetch_sub(1, order)
            }
            fn raise(&self, value: $value, order: Ordering) {
                self.fetch_max(value, order);
            }
        }
    )*};
}
words!(u64 => AtomicU64, u32 => AtomicU32);

fn table() -> Table {
    Table::named("db", "t")
}

fn one_row() -> Deps {
    let mut deps = Deps::new();
    deps.add_rows(table(), "id", [b"7".as_slice()]);
    deps
}

fn whole_table() -> Deps {
    let mut deps = Deps::new();
    deps.add_table(table());
    deps
}

/// One row with one number in it.
struct Row(AtomicU64);

impl Row {
    fn read(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// The row's number becomes 1.
fn write<M: Memory>(freshness: &Arc<Freshness<M>>, row: &Row) {
    let fence = freshness.fence(Tables::of([table()]));
    row.0.store(1, Ordering::Release);
    let mut changes = Changes::new();
    changes.row(table(), "id", b"7");
    fence.commit(&changes);
}

struct Stored<M: Memory> {
    entry: Entry<M>,
    value: u64,
}

fn fetch<M: Memory>(freshness: &Freshness<M>, row: &Row) -> Stored<M> {
    fetch_of(freshness, row, one_row())
}

fn fetch_of<M: Memory>(freshness: &Freshness<M>, row: &Row, deps: Deps) -> Stored<M> {
    let stamp = freshness.stamp();
    Stored { value: row.read(), entry: Entry::new(stamp, deps) }
}

fn scene<M: Memory>() -> (Arc<Freshness<M>>, Arc<Row>) {
    // Sixteen slots are enough for A, U and R of the one table to lie apart; loom follows every word there is.
    let hashes = [table().any_row(), table().unknown_rows(), table().row("id", b"7")].map(|tag| tag.hash % 16);
    assert!(hashes[0] != hashes[1] && hashes[1] != hashes[2] && hashes[0] != hashes[2], "{hashes:?}");
    (Arc::new(Freshness::with_slots(16)), Arc::new(Row(AtomicU64::new(0))))
}

/// A stored answer is asked for while a writer commits, and again by the same client. Once the new number was seen, in the database or in the
/// cache, or the write acknowledged, the old answer must not be used.
fn a_hit_after_a_reader_saw_the_write<M: Memory>(deps: fn() -> Deps, checked_before: bool) {
    let (freshness, row) = scene::<M>();
    let stored = Arc::new(fetch_of(&freshness, &row, deps()));
    if checked_before {
        assert!(stored.entry.usable(&freshness));
    }
    let writer = thread::spawn({
        let (freshness, row) = (freshness.clone(), row.clone());
        move || write(&freshness, &row)
    });
    let seen = row.read();
    if stored.entry.usable(&freshness) {
        assert!(stored.value >= seen, "answered {} after {seen} was seen", stored.value);
    }
    writer.join().unwrap();
    assert!(!stored.entry.usable(&freshness), "the write is acknowledged");
}

/// The answer is fetched and stored while the writer commits.
fn a_fill_beside_a_write<M: Memory>() {
    let (freshness, row) = scene::<M>();
    let writer = thread::spawn({
        let (freshness, row) = (freshness.clone(), row.clone());
        move || write(&freshness, &row)
    });
    let stored = fetch(&freshness, &row);
    let _ = stored.entry.usable(&freshness);
    writer.join().unwrap();
    if stored.entry.usable(&freshness) {
        assert_eq!(stored.value, 1, "a torn fill was used after the acknowledgement");
    }
}

/// Two readers share the entry's memory of its last check, and a third party saw the write.
fn two_readers_share_a_check<M: Memory>() {
    let (freshness, row) = scene::<M>();
    let stored = Arc::new(fetch(&freshness, &row));
    let writer = thread::spawn({
        let (freshness, row) = (freshness.clone(), row.clone());
        move || write(&freshness, &row)
    });
    let other = thread::spawn({
        let (freshness, stored) = (freshness.clone(), stored.clone());
        move || stored.entry.usable(&freshness)
    });
    let seen = row.read();
    if stored.entry.usable(&freshness) {
        assert!(stored.value >= seen);
    }
    other.join().unwrap();
    writer.join().unwrap();
    assert!(!stored.entry.usable(&freshness));
}

/// Two commits to one tag: the smaller number must not overwrite the larger, and the fence stands until both are through.
fn two_writers_on_one_tag<M: Memory>() {
    let (freshness, row) = scene::<M>();
    let stored = fetch(&freshness, &row);
    let writers = [(); 2].map(|()| {
        let (freshness, row) = (freshness.clone(), row.clone());
        thread::spawn(move || write(&freshness, &row))
    });
    for writer in writers {
        writer.join().unwrap();
        assert!(!stored.entry.usable(&freshness));
    }
    assert_eq!((freshness.fences(), freshness.seq()), (0, 2));
    let after = fetch(&freshness, &row);
    assert!(after.entry.usable(&freshness));
}

/// The writer's connection is lost after the commit took effect.
fn an_unknown_outcome<M: Memory>() {
    let (freshness, row) = scene::<M>();
    let stored = fetch(&freshness, &row);
    let writer = thread::spawn({
        let (freshness, row) = (freshness.clone(), row.clone());
        move || {
            let fence = freshness.fence(Tables::of([table()]));
            row.0.store(1, Ordering::Release);
            drop(fence);
        }
    });
    let seen = row.read();
    if stored.entry.usable(&freshness) {
        assert!(stored.value >= seen);
    }
    writer.join().unwrap();
    assert!(!stored.entry.usable(&freshness));
}

/// A commit that fences everything, and one that then releases without having changed anything.
fn a_fence_of_everything<M: Memory>() {
    let (freshness, row) = scene::<M>();
    let stored = fetch(&freshness, &row);
    assert!(stored.entry.usable(&freshness));
    let writer = thread::spawn({
        let (freshness, row) = (freshness.clone(), row.clone());
        move || {
            freshness.fence(Tables::of([table()])).release();
            let fence = freshness.fence(Tables::All);
            row.0.store(1, Ordering::Release);
            fence.commit(&Changes::new());
        }
    });
    let seen = row.read();
    if stored.entry.usable(&freshness) {
        assert!(stored.value >= seen);
    }
    writer.join().unwrap();
    assert!(!stored.entry.usable(&freshness));
}

// === what holds ===

fn holds(model: fn()) {
    // Three switches away from a thread's own order show every published bug of this kind; without a bound the larger models take minutes.
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

#[test]
fn a_hit_never_follows_a_sighting_of_the_write() {
    holds(|| a_hit_after_a_reader_saw_the_write::<Loom>(one_row, false));
}

#[test]
fn a_hit_on_a_whole_table_never_follows_a_sighting_of_the_write() {
    holds(|| a_hit_after_a_reader_saw_the_write::<Loom>(whole_table, false));
}

#[test]
fn the_fast_path_never_follows_a_sighting_of_the_write() {
    holds(|| a_hit_after_a_reader_saw_the_write::<Loom>(one_row, true));
}

#[test]
fn a_fill_beside_a_write_is_whole_or_dead() {
    holds(a_fill_beside_a_write::<Loom>);
}

#[test]
fn a_check_is_shared_between_readers() {
    holds(two_readers_share_a_check::<Loom>);
}

#[test]
fn writers_on_one_tag_do_not_hide_each_other() {
    holds(two_writers_on_one_tag::<Loom>);
}

#[test]
fn a_lost_connection_forgets_before_it_releases() {
    holds(an_unknown_outcome::<Loom>);
}

#[test]
fn a_fence_of_everything_stands_until_the_epoch_has_changed() {
    holds(a_fence_of_everything::<Loom>);
}

// === what loom notices ===

macro_rules! noticed {
    ($($name:ident => $model:expr),* $(,)?) => {$(
        #[test]
        #[should_panic]
        fn $name() {
            holds(|| $model);
        }
    )*};
}

noticed! {
    noticed_when_last_is_loaded_before_pend => a_hit_after_a_reader_saw_the_write::<Broken<PEND_BEFORE_LAST>>(whole_table, false),
    noticed_when_seq_is_loaded_before_the_fences => a_hit_after_a_reader_saw_the_write::<Broken<FENCES_BEFORE_SEQ>>(one_row, true),
    noticed_when_the_fence_is_lowered_first => a_hit_after_a_reader_saw_the_write::<Broken<BUMP_BEFORE_RELEASE>>(one_row, false),
    noticed_when_seq_is_remembered_late => two_readers_share_a_check::<Broken<SEQ_BEFORE_CHECK>>(),
    // Found by this very model: rows were checked in the order of their hashes, the fence of their table among them.
    noticed_when_rows_are_looked_at_before_their_fence => a_hit_after_a_reader_saw_the_write::<Broken<FENCE_BEFORE_ROWS>>(one_row, false),
    // Found by this very model: the epoch was compared first, and a lost connection changed it before it lowered the fence of its table.
    noticed_when_epochs_are_compared_before_the_fences => an_unknown_outcome::<Broken<FENCES_BEFORE_EPOCH>>(),
    noticed_when_a_lost_connection_keeps_the_epoch => an_unknown_outcome::<Broken<EPOCH_ON_UNKNOWN>>(),
    noticed_when_nothing_is_fenced => a_hit_after_a_reader_saw_the_write::<Broken<FENCE_RAISED>>(one_row, false),
}
