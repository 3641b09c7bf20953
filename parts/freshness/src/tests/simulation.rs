//! Searches for a stale answer, from a seed: the very code of this crate among writers, readers, pages, replicas, transactions with old
//! snapshots, lost connections and failovers, with a switch of process possible at every access to shared memory.
//!
//! An answer carries the number of the last commit that changes what its query returns. A violation is an answer older than
//!  - a commit acknowledged before the question was asked, or
//!  - what an earlier, finished answer to the same query showed, or
//!  - an answer from a history that a failover, finished before the question, has undone.
//!
//! The algorithm must show none. Each mutation (a step left out or done in the wrong place) must show one: else the step is not needed, or
//! not tested. `FRESHNESS_SCHEDULES=1000000 cargo test -p pumasi-freshness --release simulation` searches longer.

use std::{
    cell::Cell,
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use generator::{Generator, Gn};

use crate::{
    memory::{Memory, Step, Word},
    *,
};

/// Schedules without a violation that the algorithm has to show.
const SCHEDULES: u64 = 12_000;
/// Schedules within which a mutation has to be noticed. Most need a few hundred.
const SCHEDULES_MUTATED: u64 = 150_000;

#[test]
fn the_algorithm_never_shows_a_stale_answer() {
    let schedules = std::env::var("FRESHNESS_SCHEDULES").ok().and_then(|text| text.parse().ok()).unwrap_or(SCHEDULES);
    let mut totals = Totals::default();
    for seed in 0..schedules {
        let world = run(Mutation::None, seed);
        assert_eq!(world.violation, None, "seed {seed}");
        totals.add(&world.totals);
    }
    eprintln!("{schedules} schedules: {totals:?}");
    // A search that never hits, never shares and never fails over would find nothing either.
    let Totals { hits, page_hits, replica_reads, shared, waited, old_reads, failovers, unknown } = totals;
    for (count, what) in [
        (hits, "result hits"),
        (page_hits, "page hits"),
        (replica_reads, "replica reads"),
        (shared, "answers shared inside a worker"),
        (waited, "coalesced waits"),
        (old_reads, "reads from old snapshots"),
        (failovers, "failovers"),
        (unknown, "unknown outcomes"),
    ] {
        assert!(count > schedules / 200, "only {count} {what} in {schedules} schedules");
    }
}

macro_rules! mutations {
    ($($name:ident => $mutation:expr),* $(,)?) => {$(
        #[test]
        fn $name() {
            is_noticed($mutation);
        }
    )*};
}

mutations! {
    noticed_when_no_fence_is_raised => Mutation::Code(Step::FenceRaised),
    noticed_when_unknown_rows_are_not_fenced => Mutation::Code(Step::FenceOnUnknownRows),
    noticed_when_the_fence_of_everything_is_ignored => Mutation::Code(Step::FenceOfAllChecked),
    noticed_when_the_fence_is_lowered_before_the_bump => Mutation::Code(Step::BumpBeforeRelease),
    noticed_when_nothing_is_bumped => Mutation::Code(Step::Bump),
    noticed_when_unknown_rows_are_not_bumped => Mutation::Code(Step::BumpOfUnknownRows),
    noticed_when_rows_are_not_bumped => Mutation::Code(Step::BumpOfRows),
    noticed_when_an_unknown_outcome_keeps_the_epoch => Mutation::Code(Step::EpochOnUnknownOutcome),
    noticed_when_epochs_are_not_compared => Mutation::Code(Step::EpochChecked),
    noticed_when_fences_are_ignored => Mutation::Code(Step::PendChecked),
    noticed_when_bumps_are_ignored => Mutation::Code(Step::LastChecked),
    noticed_when_the_bump_is_loaded_before_the_fence => Mutation::Code(Step::PendBeforeLast),
    noticed_when_epochs_are_compared_before_the_fences => Mutation::Code(Step::FencesBeforeEpoch),
    noticed_when_rows_are_looked_at_before_their_tables_fence => Mutation::Code(Step::FenceBeforeRows),
    noticed_when_the_fast_path_loads_seq_before_the_fences => Mutation::Code(Step::FencesBeforeSeq),
    noticed_when_the_fast_path_remembers_a_late_seq => Mutation::Code(Step::SeqBeforeCheck),
    noticed_when_a_window_ignores_older_snapshots => Mutation::Code(Step::WindowTakesOldestStamp),
    noticed_when_a_window_does_not_inherit_what_is_being_read => Mutation::Code(Step::WindowInheritsActive),
    noticed_when_a_window_forgets_reads => Mutation::Code(Step::WindowUnitesReads),
    noticed_when_the_fence_is_raised_after_the_commit => Mutation::LateFence,
    noticed_when_the_closure_forgets_cascades => Mutation::NoClosure,
    noticed_when_a_rows_old_key_is_not_reported => Mutation::OldKeyForgotten,
    noticed_when_a_read_is_stamped_after_its_snapshot => Mutation::LateStamp,
    noticed_when_any_replica_may_answer => Mutation::ReplicaUnchecked,
    noticed_when_a_replica_answers_during_a_write => Mutation::ReplicaIgnoresFence,
    noticed_when_an_old_snapshot_is_stamped_with_the_present => Mutation::SnapshotStampedNow,
    noticed_when_a_page_is_stamped_at_its_end => Mutation::PageLateStamp,
    noticed_when_a_hit_is_not_reported_to_the_page => Mutation::HitUnreported,
    noticed_when_a_waiter_takes_its_leaders_answer_unchecked => Mutation::WaiterUnchecked,
    noticed_when_a_failover_keeps_the_epoch => Mutation::FailoverKeepsEpoch,
    noticed_when_an_unknown_outcome_does_not_hold_back_replicas => Mutation::UnknownKeepsPosition,
    noticed_when_a_fence_is_given_up_before_the_outcome_is_settled => Mutation::FenceGivenUpEarly,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutation {
    None,
    /// A step of the crate's own code.
    Code(Step),
    /// A step of those who use it: the SQL tier and the edge.
    LateFence,
    NoClosure,
    OldKeyForgotten,
    LateStamp,
    ReplicaUnchecked,
    ReplicaIgnoresFence,
    SnapshotStampedNow,
    PageLateStamp,
    HitUnreported,
    WaiterUnchecked,
    FailoverKeepsEpoch,
    FenceGivenUpEarly,
    UnknownKeepsPosition,
}

fn is_noticed(mutation: Mutation) {
    let found = (0..SCHEDULES_MUTATED).find_map(|seed| run(mutation, seed).violation.map(|violation| (seed, violation)));
    let (seed, violation) = found.unwrap_or_else(|| panic!("{mutation:?}: no stale answer in {SCHEDULES_MUTATED} schedules"));
    eprintln!("{mutation:?}: seed {seed}: {violation}");
}

// === memory whose every access may switch to another process ===

struct Simulated;

thread_local! {
    static BROKEN: Cell<Option<Step>> = const { Cell::new(None) };
    static RUNNING: Cell<bool> = const { Cell::new(false) };
}

#[expect(deprecated, reason = "the newer form wants a handle, which would have to pass through the code under test")]
fn switch() {
    if RUNNING.get() {
        generator::yield_with(());
    }
}

struct Watched<T>(T);

impl Memory for Simulated {
    type U64 = Watched<AtomicU64>;
    type U32 = Watched<AtomicU32>;
    fn broken(step: Step) -> bool {
        BROKEN.get() == Some(step)
    }
}

macro_rules! watched {
    ($($value:ty => $word:ty),*) => {$(
        impl Word<$value> for Watched<$word> {
            fn new(value: $value) -> Self {
                Watched(<$word>::new(value))
            }
            fn load(&self, order: Ordering) -> $value {
                switch();
                self.0.load(order)
            }
            fn store(&self, value: $value, order: Ordering) {
                switch();
                self.0.store(value, order);
            }
            fn increment(&self, order: Ordering) -> $value {
                switch();
                self.0.fetch_add(1, order)
            }
            fn decrement(&self, order: Ordering) -> $value {
                switch();
                self.0.fetch_sub(1, order)
            }
            fn raise(&self, value: $value, order: Ordering) {
                switch();
                self.0.fetch_max(value, order);
            }
        }
    )*};
}
watched!(u64 => AtomicU64, u32 => AtomicU32);

// === the world ===

const TABLES: [&str; 2] = ["parent", "child"];
const KEYS: usize = 2;
/// Per table: the whole table, and the rows of each key.
const QUERIES: usize = TABLES.len() * (1 + KEYS);
const WORKERS: usize = 2;

/// For each query, the number of the last commit that changed what it returns.
type State = [u64; QUERIES];

fn whole(table: usize) -> usize {
    table * (1 + KEYS)
}

fn keyed(table: usize, key: usize) -> usize {
    whole(table) + 1 + key
}

fn deps(query: usize) -> Deps {
    let (table, key) = (Table::named("db", TABLES[query / (1 + KEYS)]), query % (1 + KEYS));
    let mut deps = Deps::new();
    match key {
        0 => deps.add_table(table),
        key => deps.add_rows(table, "key", [[key as u8 - 1].as_slice()]),
    }
    deps
}

struct World {
    database: State,
    /// The queries each commit changed, in the order of the commits; the number of commit i is `log[i].0`.
    log: Vec<(u64, Vec<usize>)>,
    commits: u64,
    /// How much of the log the replica has applied.
    applied: usize,
    /// Per table: how much of the log holds its last acknowledged write.
    position: [usize; TABLES.len()],
    /// Which primary this is.
    primary: u32,
    acknowledged: State,
    seen: State,
    /// Commits that a failover has undone.
    undone: Vec<u64>,
    results: HashMap<usize, Arc<Stored<u64>>>,
    flights: HashMap<usize, Arc<Flight>>,
    pages: HashMap<usize, Arc<Stored<Vec<u64>>>>,
    /// Per worker and query: an answer that its requests wait for together.
    promises: HashMap<(usize, usize), Arc<Promise>>,
    violation: Option<String>,
    totals: Totals,
}

struct Stored<T> {
    entry: Entry<Simulated>,
    value: T,
}

#[derive(Default)]
struct Flight {
    done: Mutex<Option<Arc<Stored<u64>>>>,
}

#[derive(Default)]
struct Promise {
    /// The value, and whether it comes from a snapshot that the application itself kept open.
    value: Mutex<Option<(u64, bool)>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    hits: u64,
    page_hits: u64,
    replica_reads: u64,
    shared: u64,
    waited: u64,
    old_reads: u64,
    failovers: u64,
    unknown: u64,
}

impl Totals {
    fn add(&mut self, other: &Totals) {
        self.hits += other.hits;
        self.page_hits += other.page_hits;
        self.replica_reads += other.replica_reads;
        self.shared += other.shared;
        self.waited += other.waited;
        self.old_reads += other.old_reads;
        self.failovers += other.failovers;
        self.unknown += other.unknown;
    }
}

/// Everything a process of the simulation needs.
#[derive(Clone)]
struct Scene {
    mutation: Mutation,
    freshness: Arc<Freshness<Simulated>>,
    witnesses: [Arc<Witness>; WORKERS],
    world: Arc<Mutex<World>>,
}

/// A snapshot that the application keeps open.
#[derive(Clone, Copy)]
struct Snapshot {
    stamp: Stamp,
    state: State,
    primary: u32,
}

#[derive(Clone, Copy)]
enum Write {
    /// A row of (table, key) changes.
    Row(usize, usize),
    /// A row of the table moves from one key to the other.
    Move(usize, usize),
    /// A row of `parent` with this key goes, and with it, by a foreign key, those of `child`.
    Cascade(usize),
    /// Rows of the table change, and the change stream did not say which.
    Blind(usize, usize),
}

#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Acknowledged,
    /// The connection is lost after the commit was sent: it happens, or not, and the client never hears of it.
    Lost {
        happens: bool,
    },
}

impl Scene {
    /// One atomic step of the world.
    fn step<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        switch();
        act(&mut self.world.lock().unwrap())
    }

    fn is(&self, mutation: Mutation) -> bool {
        self.mutation == mutation
    }

    fn writer(&self, write: Write, fate: Fate) {
        let table = |number: usize| Table::named("db", TABLES[number]);
        let (written, affected, mut changes) = (write.table(), write.affected(), Changes::new());
        changes.exact(table(written));
        match write {
            Write::Row(_, key) | Write::Cascade(key) => changes.row(table(written), "key", &[key as u8]),
            Write::Move(_, old) => {
                if !self.is(Mutation::OldKeyForgotten) {
                    changes.row(table(written), "key", &[old as u8]);
                }
                changes.row(table(written), "key", &[1 - old as u8]);
            }
            Write::Blind(..) => changes.unknown_rows(table(written)),
        }
        let primary = self.step(|world| world.primary);
        let fence = || {
            let cascades = |from: &usize| Some(if *from == 0 && !self.is(Mutation::NoClosure) { vec![1] } else { vec![] });
            self.freshness.fence(Tables::closed([written], cascades, |number| table(*number)))
        };
        let mut raised = (!self.is(Mutation::LateFence)).then(fence);
        if self.is(Mutation::FenceGivenUpEarly) && fate != Fate::Acknowledged {
            drop(raised.take());
        }
        let committed = fate != Fate::Lost { happens: false };
        let number = self.step(|world| (world.primary == primary && committed).then(|| world.commit(&affected)));
        let fence = raised.unwrap_or_else(fence);
        if fate != Fate::Acknowledged {
            // The lost answer would have said where in the log the commit is. A replica has it for certain once it is where the primary
            // is now, that is, after the outcome was settled.
            self.step(|world| {
                world.totals.unknown += 1;
                if !self.is(Mutation::UnknownKeepsPosition) {
                    world.hold_back_replicas(&affected);
                }
            });
            if self.is(Mutation::FenceGivenUpEarly) {
                fence.release();
            }
            return;
        }
        let Some(number) = number else { return fence.release() };
        self.step(|world| world.hold_back_replicas(&affected));
        if self.step(|world| world.primary) != primary {
            return drop(fence);
        }
        fence.commit(&changes);
        self.step(|world| {
            if world.primary == primary {
                affected.iter().for_each(|&query| world.acknowledged[query] = world.acknowledged[query].max(number));
            }
        });
    }

    /// The primary goes, the replica takes its place with what it has.
    fn failover(&self) {
        let fence = self.freshness.fence(Tables::All);
        self.step(|world| {
            let kept = world.applied;
            let undone: Vec<u64> = world.log.drain(kept..).map(|(number, _)| number).collect();
            world.undone.extend(undone);
            world.database = world.replay(kept);
            world.primary += 1;
            world.position = world.position.map(|position| position.min(kept));
            for query in 0..QUERIES {
                world.acknowledged[query] = world.acknowledged[query].min(world.database[query]);
                world.seen[query] = world.seen[query].min(world.database[query]);
            }
            world.totals.failovers += 1;
        });
        if self.is(Mutation::FailoverKeepsEpoch) { fence.release() } else { fence.commit(&Changes::new()) }
    }

    /// A statement outside transactions: its answer, reported to `witness` until the guard is dropped.
    fn result(&self, query: usize, witness: Option<&Arc<Witness>>) -> (u64, Option<Statement>) {
        let report = |stamp| {
            let observed = Observed::Read { deps: deps(query).into(), stamp };
            witness.map(|witness| witness.statement_in::<Simulated>(observed, None))
        };
        let arrived = self.freshness.stamp();
        let stored = self.step(|world| world.results.get(&query).cloned());
        if let Some(stored) = stored
            && stored.entry.usable(&self.freshness)
        {
            self.step(|world| world.totals.hits += 1);
            return (stored.value, if self.is(Mutation::HitUnreported) { None } else { report(arrived) });
        }
        let leader = self.step(|world| world.flights.get(&query).cloned());
        if let Some(flight) = leader {
            let stored = loop {
                switch();
                if let Some(stored) = flight.done.lock().unwrap().clone() {
                    break stored;
                }
            };
            if self.is(Mutation::WaiterUnchecked) || stored.entry.usable(&self.freshness) {
                self.step(|world| world.totals.waited += 1);
                return (stored.value, report(arrived));
            }
            // A writer came between the leader's stamp and our arrival: ask for ourselves.
            let stored = self.fetch(query);
            return (stored.value, report(stored.entry.stamp()));
        }
        let flight = Arc::new(Flight::default());
        self.step(|world| world.flights.insert(query, flight.clone()));
        let stored = self.fetch(query);
        self.step(|world| world.flights.remove(&query));
        *flight.done.lock().unwrap() = Some(stored.clone());
        (stored.value, report(stored.entry.stamp()))
    }

    /// R2 to R4.
    fn fetch(&self, query: usize) -> Arc<Stored<u64>> {
        let mut stamp = self.freshness.stamp();
        let fenced = self.freshness.fenced(&deps(query)) && !self.is(Mutation::ReplicaIgnoresFence);
        let replica =
            self.step(|world| world.applied >= world.position[query / (1 + KEYS)] && !fenced) || self.is(Mutation::ReplicaUnchecked);
        let value = self.step(|world| {
            world.totals.replica_reads += u64::from(replica);
            if replica { world.replay(world.applied)[query] } else { world.database[query] }
        });
        if self.is(Mutation::LateStamp) {
            stamp = self.freshness.stamp();
        }
        let stored = Arc::new(Stored { entry: Entry::new(stamp, deps(query)), value });
        self.step(|world| world.results.insert(query, stored.clone()));
        stored
    }

    fn reader(&self, query: usize) {
        let asked = self.step(|world| world.asked());
        let (value, _) = self.result(query, None);
        self.step(|world| world.settle(&asked, &[query], &[value], "result"));
    }

    /// Takes a snapshot, waits, and fills the cache from it.
    fn transaction(&self, query: usize) {
        let old = self.snapshot();
        for _ in 0..6 {
            switch();
        }
        let stamp = if self.is(Mutation::SnapshotStampedNow) { self.freshness.stamp() } else { old.stamp };
        let stored = Arc::new(Stored { entry: Entry::new(stamp, deps(query)), value: old.state[query] });
        self.step(|world| world.results.insert(query, stored));
    }

    fn snapshot(&self) -> Snapshot {
        let stamp = self.freshness.stamp();
        self.step(|world| Snapshot { stamp, state: world.database, primary: world.primary })
    }

    /// A request for a page made of `queries`; the same URL asks for the same queries at any worker. With `old`, the worker's connection sits
    /// on a snapshot from before.
    fn page(&self, queries: &[usize], worker: usize, old: Option<Snapshot>) {
        let url = queries.iter().fold(0, |url, query| url * QUERIES + query);
        let asked = self.step(|world| world.asked());
        let stored = self.step(|world| world.pages.get(&url).cloned());
        if let Some(stored) = stored
            && stored.entry.usable(&self.freshness)
        {
            self.step(|world| {
                world.totals.page_hits += 1;
                world.settle(&asked, queries, &stored.value, "page");
            });
            return;
        }
        let witness = &self.witnesses[worker];
        let window = witness.open(&self.freshness);
        let (mut values, mut excused) = (Vec::new(), false);
        for &query in queries {
            let (value, kept_open) = self.promised(query, worker, old);
            values.push(value);
            excused |= kept_open;
        }
        if let Ok((mut stamp, deps)) = window.close() {
            if self.is(Mutation::PageLateStamp) {
                stamp = self.freshness.stamp();
            }
            let stored = Arc::new(Stored { entry: Entry::new(stamp, deps), value: values.clone() });
            self.step(|world| world.pages.insert(url, stored));
        }
        if !excused {
            self.step(|world| world.settle(&asked, queries, &values, "fresh page"));
        }
    }

    /// Inside the application: requests of one worker that ask the same at the same time wait for one statement.
    fn promised(&self, query: usize, worker: usize, old: Option<Snapshot>) -> (u64, bool) {
        let (promise, ours) = self.step(|world| match world.promises.get(&(worker, query)) {
            Some(promise) => (promise.clone(), false),
            None => {
                let promise = Arc::new(Promise::default());
                world.promises.insert((worker, query), promise.clone());
                (promise, true)
            }
        });
        if !ours {
            let (value, _) = loop {
                switch();
                if let Some(value) = *promise.value.lock().unwrap() {
                    break value;
                }
            };
            self.step(|world| world.totals.shared += 1);
            // What the application shares may be older than the request that takes it: the application's own doing, and not to be stored.
            return (value, true);
        }
        let witness = &self.witnesses[worker];
        let primary = self.step(|world| world.primary);
        let (value, reported) = match old.filter(|old| old.primary == primary) {
            Some(old) => {
                self.step(|world| world.totals.old_reads += 1);
                let observed = Observed::Read { deps: deps(query).into(), stamp: old.stamp };
                ((old.state[query], true), Some(witness.statement_in::<Simulated>(observed, None)))
            }
            None => {
                let (value, reported) = self.result(query, Some(witness));
                ((value, false), reported)
            }
        };
        self.step(|world| {
            *promise.value.lock().unwrap() = Some(value);
            world.promises.remove(&(worker, query));
        });
        drop(reported);
        value
    }

    fn replication(&self, pauses: [u8; 12]) {
        for pause in pauses {
            (0..pause).for_each(|_| switch());
            self.step(|world| world.applied = (world.applied + 1).min(world.log.len()));
        }
    }
}

impl Write {
    fn table(self) -> usize {
        match self {
            Write::Row(table, _) | Write::Move(table, _) | Write::Blind(table, _) => table,
            Write::Cascade(_) => 0,
        }
    }

    /// What it changes in truth; the tags are what the code under test makes of it.
    fn affected(self) -> Vec<usize> {
        match self {
            Write::Row(table, key) | Write::Blind(table, key) => vec![whole(table), keyed(table, key)],
            Write::Move(table, _) => vec![whole(table), keyed(table, 0), keyed(table, 1)],
            Write::Cascade(key) => vec![whole(0), keyed(0, key), whole(1), keyed(1, key)],
        }
    }
}

/// What is owed to a question, as of when it was asked.
struct Asked {
    floor: State,
    /// How many commits had been undone.
    undone: usize,
}

impl World {
    fn commit(&mut self, affected: &[usize]) -> u64 {
        self.commits += 1;
        affected.iter().for_each(|&query| self.database[query] = self.commits);
        self.log.push((self.commits, affected.to_vec()));
        self.commits
    }

    /// Replicas answer for the tables of these queries when they are where the primary is.
    fn hold_back_replicas(&mut self, queries: &[usize]) {
        let position = self.log.len();
        for table in queries.iter().map(|query| query / (1 + KEYS)) {
            self.position[table] = self.position[table].max(position);
        }
    }

    fn replay(&self, commits: usize) -> State {
        let mut state = [0; QUERIES];
        for (number, affected) in &self.log[..commits] {
            affected.iter().for_each(|&query| state[query] = *number);
        }
        state
    }

    fn asked(&self) -> Asked {
        Asked { floor: std::array::from_fn(|query| self.acknowledged[query].max(self.seen[query])), undone: self.undone.len() }
    }

    fn settle(&mut self, asked: &Asked, queries: &[usize], values: &[u64], what: &str) {
        // A question that was open during a failover may have been answered from either side.
        let same_history = asked.undone == self.undone.len();
        for (&query, value) in queries.iter().zip(values) {
            let lost = self.undone[..asked.undone].contains(value);
            if (lost || same_history && *value < asked.floor[query]) && self.violation.is_none() {
                self.violation = Some(format!("{what}: query {query} answered {value}, owed {} (undone: {lost})", asked.floor[query]));
            }
            if same_history {
                self.seen[query] = self.seen[query].max(*value);
            }
        }
    }
}

// === schedules ===

/// xorshift64*: the dice of one schedule.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Dice {
        Dice((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }
}

/// Words of a coroutine's stack.
const STACK: usize = 0x2000;

fn run(mutation: Mutation, seed: u64) -> World {
    BROKEN.set(if let Mutation::Code(step) = mutation { Some(step) } else { None });
    let mut dice = Dice::new(seed);
    let scene = Scene {
        mutation,
        freshness: Arc::new(Freshness::with_slots(256)),
        witnesses: std::array::from_fn(|_| Witness::new()),
        world: Arc::new(Mutex::new(World {
            database: [0; QUERIES],
            log: Vec::new(),
            commits: 0,
            applied: 0,
            position: [0; TABLES.len()],
            primary: 0,
            acknowledged: [0; QUERIES],
            seen: [0; QUERIES],
            undone: Vec::new(),
            results: HashMap::new(),
            flights: HashMap::new(),
            pages: HashMap::new(),
            promises: HashMap::new(),
            violation: None,
            totals: Totals::default(),
        })),
    };
    let mut waiting = if seed.is_multiple_of(2) { crowd(&scene, &mut dice) } else { handful(&scene, &mut dice) };
    for place in (1..waiting.len()).rev() {
        waiting.swap(place, dice.below(place + 1));
    }
    let mut live: Vec<Generator<'static, (), ()>> = Vec::new();
    let (mut running, mut burst) = (0, 0);
    RUNNING.set(true);
    while !waiting.is_empty() || !live.is_empty() {
        if live.is_empty() || (!waiting.is_empty() && dice.below(100) < 15) {
            live.extend(waiting.pop());
        }
        if burst == 0 || running >= live.len() {
            running = dice.below(live.len());
            burst = [1, 1, 2, 5, 30][dice.below(5)];
        }
        burst -= 1;
        live[running].resume();
        if live[running].is_done() {
            live.swap_remove(running);
            burst = 0;
        }
    }
    RUNNING.set(false);
    assert_eq!(scene.freshness.fences(), 0, "seed {seed}: a fence was left behind");
    let Scene { world, .. } = scene;
    Arc::into_inner(world).expect("all processes have ended").into_inner().unwrap()
}

type Process = Generator<'static, (), ()>;

fn process(scene: &Scene, act: impl FnOnce(&Scene) + Send + 'static) -> Process {
    let scene = scene.clone();
    Gn::<()>::new_opt(STACK, move || act(&scene))
}

/// One writer, and a few readers and pages of what it writes: little happens, so that the rare orders of it do.
fn handful(scene: &Scene, dice: &mut Dice) -> Vec<Process> {
    let (table, key) = (dice.below(TABLES.len()), dice.below(KEYS));
    let query = [whole(table), keyed(table, key)][dice.below(2)];
    let write = [Write::Row(table, key), Write::Blind(table, key)][dice.below(2)];
    if dice.below(3) > 0 {
        // Stored before, and used once: the fast path is warm.
        for _ in 0..2 {
            scene.page(&[query], 0, None);
        }
    }
    let fate = if dice.below(4) == 0 { Fate::Lost { happens: true } } else { Fate::Acknowledged };
    let mut processes = vec![process(scene, move |scene| scene.writer(write, fate))];
    processes.extend((0..1 + dice.below(2)).map(|_| process(scene, move |scene| scene.reader(query))));
    for _ in 0..1 + dice.below(2) {
        let worker = dice.below(WORKERS);
        processes.push(process(scene, move |scene| scene.page(&[query], worker, None)));
    }
    if dice.below(3) == 0 {
        let pauses = std::array::from_fn(|_| 1 + dice.below(8) as u8);
        processes.push(process(scene, move |scene| scene.replication(pauses)));
    }
    processes
}

/// Everything at once.
fn crowd(scene: &Scene, dice: &mut Dice) -> Vec<Process> {
    let mut processes = Vec::new();
    for _ in 0..1 + dice.below(3) {
        let (table, key) = (dice.below(TABLES.len()), dice.below(KEYS));
        let write = match dice.below(5) {
            0 => Write::Move(table, key),
            1 => Write::Cascade(key),
            2 => Write::Blind(table, key),
            _ => Write::Row(table, key),
        };
        let fate = match dice.below(8) {
            0 => Fate::Lost { happens: true },
            1 => Fate::Lost { happens: false },
            _ => Fate::Acknowledged,
        };
        processes.push(process(scene, move |scene| scene.writer(write, fate)));
    }
    // Few queries are asked in one schedule, so that their answers meet.
    let favourites = [dice.below(QUERIES), dice.below(QUERIES)];
    for _ in 0..dice.below(6) {
        let query = favourites[dice.below(2)];
        processes.push(process(scene, move |scene| scene.reader(query)));
    }
    for _ in 0..dice.below(6) {
        let (worker, old) = (dice.below(WORKERS), dice.below(6) == 0);
        processes.push(process(scene, move |scene| {
            let old = old.then(|| scene.snapshot());
            if old.is_some() {
                (0..8).for_each(|_| switch());
            }
            scene.page(&favourites, worker, old);
        }));
    }
    if dice.below(2) == 0 {
        processes.push(process(scene, move |scene| scene.transaction(favourites[0])));
    }
    if dice.below(4) == 0 {
        processes.push(process(scene, Scene::failover));
    }
    let pauses = std::array::from_fn(|_| 1 + dice.below(8) as u8);
    processes.push(process(scene, move |scene| scene.replication(pauses)));
    processes
}
