use std::{
    sync::{
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use pumasi_freshness::{Changes, Deps, Table, Tables};
use pumasi_mysqlwire::Value;

use super::*;
use crate::engine::{ChangeSet, ChangedRows, CommitOutcome, RowChange, RowValue, TableChange, TableName, WriteObserver};

const PATIENCE: Duration = Duration::from_secs(20);

fn results() -> Arc<Results> {
    Results::new(Arc::new(Freshness::new()), 8 << 20)
}

fn parts(sql: &str) -> Parts<'_> {
    Parts { form: 0, database: Some("board"), settings: b"utf8mb4", prepared_under: b"", sql: sql.as_bytes(), parameters: &[] }
}

fn key(sql: &str) -> Key {
    Key::of(&parts(sql))
}

fn whole(table: &str) -> Deps {
    let mut deps = Deps::new();
    deps.add_table(Table::named("board", table));
    deps
}

fn miss(results: &Arc<Results>, sql: &str) -> Miss {
    match results.ask(key(sql)) {
        Asked::Miss(miss) => miss,
        Asked::Hit { .. } => panic!("{sql}: a hit"),
    }
}

fn fill(results: &Arc<Results>, sql: &str, table: &str, packets: &[u8]) {
    let miss = miss(results, sql);
    let stamp = results.freshness.stamp();
    miss.store(Entry::new(stamp, whole(table)), packets.into(), 1);
}

fn hit(results: &Arc<Results>, sql: &str) -> Option<Arc<[u8]>> {
    match results.ask(key(sql)) {
        Asked::Hit { stored, .. } => Some(stored.packets.clone()),
        Asked::Miss(_) => None,
    }
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::yield_now();
    }
}

#[test]
fn a_result_is_answered_until_a_write_to_what_it_read() {
    let results = results();
    fill(&results, "SELECT 1 FROM ask", "ask", b"packets");
    assert_eq!(hit(&results, "SELECT 1 FROM ask").as_deref(), Some(b"packets".as_slice()));
    results.freshness.fence(Tables::of([Table::named("board", "cheer")])).commit(&Changes::new());
    assert!(hit(&results, "SELECT 1 FROM ask").is_some());
    let fence = results.freshness.fence(Tables::of([Table::named("board", "ask")]));
    assert!(hit(&results, "SELECT 1 FROM ask").is_none(), "the write may be visible already");
    fence.release();
    assert!(hit(&results, "SELECT 1 FROM ask").is_some(), "it was not committed");
    results.freshness.fence(Tables::of([Table::named("board", "ask")])).commit(&Changes::new());
    assert!(hit(&results, "SELECT 1 FROM ask").is_none());
    let status = results.status();
    assert_eq!((status.entries, status.invalidated), (0, 1), "a dead entry gives its place up");
}

#[test]
fn everything_that_shapes_the_bytes_is_in_the_key() {
    let base = key("SELECT 1 FROM ask");
    let one = [Value::Int(1)];
    let text = [Value::Bytes(b"1".to_vec())];
    let others = [
        Key::of(&Parts { form: 1, ..parts("SELECT 1 FROM ask") }),
        Key::of(&Parts { database: None, ..parts("SELECT 1 FROM ask") }),
        Key::of(&Parts { database: Some("other"), ..parts("SELECT 1 FROM ask") }),
        Key::of(&Parts { settings: b"latin1", ..parts("SELECT 1 FROM ask") }),
        Key::of(&Parts { prepared_under: b"other", ..parts("SELECT 1 FROM ask") }),
        Key::of(&Parts { parameters: &one, ..parts("SELECT 1 FROM ask") }),
        Key::of(&Parts { parameters: &text, ..parts("SELECT 1 FROM ask") }),
        key("SELECT 1  FROM ask"),
    ];
    let all: std::collections::HashSet<Key> = others.into_iter().chain([base]).collect();
    assert_eq!(all.len(), 9);
    // Lengths stand before the parts: moving a letter from one to the next is another key.
    let moved = |database, settings| Key::of(&Parts { database: Some(database), settings, ..parts("x") });
    assert_ne!(moved("ab", b"c"), moved("a", b"bc"));
}

#[test]
fn many_who_ask_the_same_wait_for_one() {
    let results = results();
    let leader = miss(&results, "SELECT slow FROM ask");
    let (told, answers) = mpsc::channel();
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let (results, told) = (results.clone(), told.clone());
            thread::spawn(move || told.send(hit(&results, "SELECT slow FROM ask")).unwrap())
        })
        .collect();
    wait_for("eight waiters", || {
        let shard = results.shard(leader.hash);
        shard.flights.values().map(|flight| flight.waiting()).sum::<usize>() == 8
    });
    leader.store(Entry::new(results.freshness.stamp(), whole("ask")), b"once".as_slice().into(), 1);
    for _ in 0..8 {
        assert_eq!(answers.recv_timeout(PATIENCE).unwrap().as_deref(), Some(b"once".as_slice()));
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!((results.coalesced(), results.status().misses), (8, 1));
}

#[test]
fn who_asks_after_a_write_never_gets_what_was_fetched_before_it() {
    // "coalesced waiters whose leader began before a write": the leader's snapshot is old when it lands.
    let results = results();
    let leader = miss(&results, "SELECT n FROM ask");
    let stamp = results.freshness.stamp();
    results.freshness.fence(Tables::of([Table::named("board", "ask")])).commit(&Changes::new());
    let ran = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..6)
        .map(|_| {
            let (results, ran) = (results.clone(), ran.clone());
            thread::spawn(move || match results.ask(key("SELECT n FROM ask")) {
                Asked::Hit { stored, .. } => stored.packets.clone(),
                Asked::Miss(miss) => {
                    ran.fetch_add(1, SeqCst);
                    miss.store(Entry::new(results.freshness.stamp(), whole("ask")), b"new".as_slice().into(), 1);
                    b"new".as_slice().into()
                }
            })
        })
        .collect();
    wait_for("six waiters", || {
        let shard = results.shard(leader.hash);
        shard.flights.values().map(|flight| flight.waiting()).sum::<usize>() == 6
    });
    leader.store(Entry::new(stamp, whole("ask")), b"old".as_slice().into(), 1);
    for thread in threads {
        assert_eq!(&*thread.join().unwrap(), b"new");
    }
    assert!(ran.load(SeqCst) >= 1);
}

#[test]
fn a_leader_that_fails_lets_the_others_run_theirs() {
    let results = results();
    let leader = miss(&results, "SELECT broken FROM ask");
    let waiter = thread::spawn({
        let results = results.clone();
        move || hit(&results, "SELECT broken FROM ask").is_none()
    });
    wait_for("a waiter", || results.shard(leader.hash).flights.values().any(|flight| flight.waiting() == 1));
    drop(leader);
    assert!(waiter.join().unwrap());
}

#[test]
fn nobody_waits_for_what_is_not_stored_until_it_is() {
    let results = results();
    miss(&results, "SELECT NOW()").refuse();
    let (first, second) = (miss(&results, "SELECT NOW()"), miss(&results, "SELECT NOW()"));
    assert!(first.flight.is_none() && second.flight.is_none());
    drop(second);
    first.store(Entry::new(results.freshness.stamp(), whole("ask")), b"x".as_slice().into(), 1);
    assert!(hit(&results, "SELECT NOW()").is_some());
}

#[test]
fn the_budget_holds() {
    let results = Results::new(Arc::new(Freshness::new()), 1 << 20);
    for number in 0..200 {
        fill(&results, &format!("SELECT {number} FROM ask"), "ask", &[0; 20_000]);
        let status = results.status();
        assert!(status.bytes <= status.bytes_max);
    }
    assert!(results.status().evicted > 100);
}

// === the engine's commits ===

fn change(columns: &[&str], rows: ChangedRows) -> ChangeSet {
    let table = TableName { database: "board".into(), name: "ask".into() };
    let columns = columns.iter().map(|name| (*name).to_owned()).collect();
    ChangeSet { tables: vec![TableChange { table, columns, rows }], schema: false, statement: None }
}

fn images(old: Option<Vec<RowValue>>, new: Option<Vec<RowValue>>) -> ChangedRows {
    ChangedRows::Images(vec![RowChange { old, new }])
}

fn row_of(column: &str, constant: &Scalar<'_>, comparison: pumasi_sqltext::Comparison) -> Deps {
    let keys = pumasi_sqltext::Key::of_constant(constant, comparison).unwrap();
    let mut deps = Deps::new();
    deps.add_rows(Table::named("board", "ask"), column, keys.iter().map(|key| key.0.as_slice()));
    deps
}

use pumasi_sqltext::{Comparison, Scalar};

#[test]
fn a_commit_refuses_hits_from_before_it_is_visible_until_its_rows_are_bumped() {
    let freshness = Arc::new(Freshness::new());
    let observer = Observer::new(freshness.clone());
    let entry = |deps| Entry::new(freshness.stamp(), deps);
    let text = |text: &'static str| Scalar::Text(text.as_bytes().into());
    let seven = entry(row_of("id", &Scalar::Int(7), Comparison::Integer));
    let eight = entry(row_of("id", &Scalar::Int(8), Comparison::Integer));
    let old_name = entry(row_of("name", &text("OLD"), Comparison::Text));
    let new_name = entry(row_of("name", &text("new"), Comparison::Text));
    let other_name = entry(row_of("name", &text("other"), Comparison::Text));
    let all = entry(whole("ask"));
    let row = |name: &str| Some(vec![RowValue::Int(7), RowValue::Text(name.into()), RowValue::Null]);
    let set = change(&["id", "name", "note"], images(row("old"), row("new")));

    let fence = observer.commit_begins(&set);
    for entry in [&seven, &eight, &old_name, &new_name, &other_name, &all] {
        assert!(!entry.usable(&freshness), "the commit may be visible");
    }
    observer.commit_ended(fence, &set, CommitOutcome::Visible);
    let usable = [&seven, &eight, &old_name, &new_name, &other_name, &all].map(|entry| entry.usable(&freshness));
    assert_eq!(usable, [false, true, false, false, true, false]);

    let fence = observer.commit_begins(&set);
    observer.commit_ended(fence, &set, CommitOutcome::RolledBack);
    assert!(eight.usable(&freshness) && freshness.fences() == 0);
}

#[test]
fn what_is_not_known_of_a_change_widens_it() {
    let freshness = Arc::new(Freshness::new());
    let observer = Observer::new(freshness.clone());
    let commit = |set: &ChangeSet| {
        let seven = Entry::new(freshness.stamp(), row_of("id", &Scalar::Int(7), Comparison::Integer));
        let all = Entry::new(freshness.stamp(), whole("ask"));
        let other = Entry::new(freshness.stamp(), whole("cheer"));
        observer.commit_ended(observer.commit_begins(set), set, CommitOutcome::Visible);
        [&seven, &all, &other].map(|entry| entry.usable(&freshness))
    };
    assert_eq!(commit(&change(&["id"], ChangedRows::Unknown)), [false, false, true]);
    assert_eq!(commit(&change(&["id"], images(None, Some(vec![])))), [false, false, true], "an image that does not fit its columns");
    assert_eq!(commit(&change(&["note"], images(None, Some(vec![RowValue::Blob(vec![1])])))), [true, false, true], "a row without keys");
    assert_eq!(commit(&change(&["id"], ChangedRows::Images(vec![]))), [true, true, true], "nothing changed");
    assert_eq!(commit(&ChangeSet { schema: true, ..ChangeSet::default() }), [false, false, false], "a schema change forgets everything");
}
