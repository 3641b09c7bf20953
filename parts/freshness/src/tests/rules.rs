//! What each type promises, one process at a time.
use std::sync::Arc;

use crate::*;

fn table(name: &str) -> Table {
    Table::named("db", name)
}

fn whole(name: &str) -> Deps {
    let mut deps = Deps::new();
    deps.add_table(table(name));
    deps
}

fn row(name: &str, value: &str) -> Deps {
    let mut deps = Deps::new();
    deps.add_rows(table(name), "id", [value.as_bytes()]);
    deps
}

fn changed(name: &str, values: &[&str]) -> Changes {
    let mut changes = Changes::new();
    changes.exact(table(name));
    for value in values {
        changes.row(table(name), "id", value.as_bytes());
    }
    changes
}

fn entry(freshness: &Freshness, deps: Deps) -> Entry {
    Entry::new(freshness.stamp(), deps)
}

fn write(freshness: &Arc<Freshness>, name: &str, changes: &Changes) {
    freshness.fence(Tables::of([table(name)])).commit(changes);
}

#[test]
fn an_answer_is_used_until_a_row_it_was_made_of_changes() {
    let freshness = Arc::new(Freshness::new());
    let (all, seven, eight, other) = (
        entry(&freshness, whole("ask")),
        entry(&freshness, row("ask", "7")),
        entry(&freshness, row("ask", "8")),
        entry(&freshness, whole("cheer")),
    );
    write(&freshness, "ask", &changed("ask", &["7"]));
    let usable = [&all, &seven, &eight, &other].map(|entry| entry.usable(&freshness));
    assert_eq!(usable, [false, false, true, true]);
    assert!(all.dead(&freshness) && !eight.dead(&freshness));
    write(&freshness, "ask", &Changes::new());
    assert!(!eight.usable(&freshness), "unknown rows may be this one");
    assert!(other.usable(&freshness));
}

/// Nobody waits to be told of rows that nobody has asked for since the last write.
#[test]
fn rows_are_wanted_by_whoever_looks_at_answers_made_of_some() {
    let freshness = Arc::new(Freshness::new());
    let ask = Tables::of([table("ask"), table("log")]);
    assert!(!freshness.rows_wanted(&ask), "nothing is kept");
    let (seven, all) = (entry(&freshness, row("ask", "7")), entry(&freshness, whole("ask")));
    freshness.want(all.deps());
    assert!(!freshness.rows_wanted(&ask), "what is made of all rows is spared by none");
    freshness.want(seven.deps());
    assert!(freshness.rows_wanted(&ask) && !freshness.rows_wanted(&ask), "once");
    write(&freshness, "ask", &changed("ask", &["8"]));
    assert!(seven.usable(&freshness) && freshness.rows_wanted(&ask), "it was looked at");
    write(&freshness, "ask", &Changes::new());
    assert!(!seven.usable(&freshness) && freshness.rows_wanted(&ask), "in vain, and all the same");
    assert!(!freshness.rows_wanted(&Tables::All));
}

#[test]
fn nothing_is_used_while_its_table_is_fenced_and_everything_after_a_release() {
    let freshness = Arc::new(Freshness::new());
    let (seven, other) = (entry(&freshness, row("ask", "7")), entry(&freshness, whole("cheer")));
    assert!(seven.usable(&freshness) && other.usable(&freshness));
    let fence = freshness.fence(Tables::of([table("ask")]));
    assert!(!seven.usable(&freshness) && other.usable(&freshness));
    assert!(freshness.fenced(&row("ask", "9")) && !freshness.fenced(&whole("cheer")));
    assert!(!seven.dead(&freshness), "it may be used again");
    fence.release();
    assert!(seven.usable(&freshness) && freshness.fences() == 0);
}

#[test]
fn a_commit_that_changed_no_row_keeps_all_answers() {
    let freshness = Arc::new(Freshness::new());
    let all = entry(&freshness, whole("ask"));
    write(&freshness, "ask", &changed("ask", &[]));
    assert!(all.usable(&freshness));
}

#[test]
fn a_changed_row_without_values_of_its_own_still_changes_its_table() {
    let freshness = Arc::new(Freshness::new());
    let (all, seven) = (entry(&freshness, whole("ask")), entry(&freshness, row("ask", "7")));
    let mut changes = Changes::new();
    changes.touch(table("ask"));
    write(&freshness, "ask", &changes);
    assert!(!all.usable(&freshness) && seven.usable(&freshness));
}

#[test]
fn a_fence_dropped_without_a_word_forgets_everything() {
    let freshness = Arc::new(Freshness::new());
    let other = entry(&freshness, whole("cheer"));
    drop(freshness.fence(Tables::of([table("ask")])));
    assert!(!other.usable(&freshness) && other.dead(&freshness) && freshness.fences() == 0);
    assert!(entry(&freshness, whole("cheer")).usable(&freshness));
}

#[test]
fn a_fence_of_all_refuses_and_forgets_everything() {
    let freshness = Arc::new(Freshness::new());
    let other = entry(&freshness, whole("cheer"));
    assert!(other.usable(&freshness));
    let fence = freshness.fence(Tables::All);
    assert!(!other.usable(&freshness));
    fence.commit(&Changes::new());
    assert!(!other.usable(&freshness));
}

#[test]
fn names_of_tables_differ_by_letters_and_not_by_case() {
    assert_eq!(Table::named("DB", "Ask"), Table::named("db", "aSK"));
    assert_eq!(Table::named("db", "ÄRGER"), Table::named("db", "ärger"));
    assert_ne!(Table::named("ab", "c"), Table::named("a", "bc"));
    assert_ne!(table("ask").row("id", b"1"), table("ask").row("id", b"2"));
    assert_ne!(table("ask").row("id", b"1"), table("ask").row("no", b"1"));
    assert_ne!(table("ask").row("id", b"1"), table("cheer").row("id", b"1"));
}

#[test]
fn too_many_rows_fall_back_to_the_table_and_too_many_tables_to_everything() {
    let freshness = Arc::new(Freshness::new());
    let mut deps = whole("user");
    for id in 0..DEPS_MAX {
        deps.unite(&row("ask", &id.to_string()));
    }
    assert!(deps.holds_whole(table("ask")) && deps.len() == 2, "{deps:?}");
    let degraded = entry(&freshness, deps.clone());
    write(&freshness, "ask", &changed("ask", &["another"]));
    assert!(!degraded.usable(&freshness));

    for number in 0..DEPS_MAX {
        deps.unite(&whole(&format!("t{number}")));
    }
    assert!(deps.depends_on_everything());
    let everything = entry(&freshness, deps);
    assert!(everything.usable(&freshness));
    write(&freshness, "elsewhere", &Changes::new());
    assert!(!everything.usable(&freshness) && everything.dead(&freshness));
}

#[test]
fn a_set_holds_a_whole_table_once() {
    let mut deps = row("ask", "7");
    deps.unite(&whole("ask"));
    deps.unite(&row("ask", "8"));
    assert_eq!(deps, whole("ask"));
    assert_eq!(deps.tables().collect::<Vec<_>>(), [table("ask")]);
}

#[test]
fn too_many_changed_rows_become_unknown_rows() {
    let freshness = Arc::new(Freshness::new());
    let seven = entry(&freshness, row("ask", "7"));
    let mut changes = Changes::new();
    for id in 100..100 + CHANGED_ROWS_MAX {
        changes.row(table("ask"), "id", id.to_string().as_bytes());
    }
    write(&freshness, "ask", &changes);
    changes.row(table("ask"), "id", b"5");
    assert!(seven.usable(&freshness), "16,384 rows, none of them this one (seven's slots are known not to collide)");
    write(&freshness, "ask", &changes);
    assert!(!seven.usable(&freshness));
}

#[test]
fn the_closure_follows_chains_and_gives_up_where_it_cannot_see() {
    let reach = |table: &&str| match *table {
        "user" => Some(vec!["ask", "user"]),
        "ask" => Some(vec!["cheer"]),
        "audited" => None,
        _ => Some(vec![]),
    };
    let closed = |table| Tables::closed([table], reach, |name| super::rules::table(name));
    assert_eq!(closed("user"), Tables::of(["user", "ask", "cheer"].map(table)));
    assert_eq!(closed("cheer"), Tables::of([table("cheer")]));
    assert_eq!(closed("audited"), Tables::All);
    assert_eq!(Tables::of((0..=FENCE_TABLES_MAX).map(|n| table(&n.to_string()))), Tables::All);
}

// === windows ===

fn read(freshness: &Freshness, deps: Deps) -> Observed {
    Observed::Read { deps: deps.into(), stamp: freshness.stamp() }
}

#[test]
fn a_statement_counts_for_every_open_window() {
    let (freshness, witness) = (Arc::new(Freshness::new()), Witness::new());
    let first = witness.open(&freshness);
    drop(witness.statement(read(&freshness, whole("ask"))));
    let second = witness.open(&freshness);
    drop(witness.statement(read(&freshness, whole("cheer"))));
    let (_, deps) = first.close().unwrap();
    assert_eq!(deps.tables().count(), 2);
    assert_eq!(second.close().unwrap().1, whole("cheer"));
    assert_eq!(witness.open_windows(), 0);
}

#[test]
fn a_window_takes_the_oldest_stamp_of_what_it_read() {
    let (freshness, witness) = (Arc::new(Freshness::new()), Witness::new());
    let old = freshness.stamp();
    write(&freshness, "ask", &Changes::new());
    let window = witness.open(&freshness);
    drop(witness.statement(Observed::Read { deps: whole("ask").into(), stamp: old }));
    let (stamp, deps) = window.close().unwrap();
    assert_eq!(stamp, old);
    assert!(!Entry::new(stamp, deps).usable(&freshness));
}

#[test]
fn a_window_inherits_what_is_being_read_but_not_another_requests_write() {
    let (freshness, witness) = (Arc::new(Freshness::new()), Witness::new());
    let reading = witness.statement(read(&freshness, whole("ask")));
    let writing = witness.statement(Observed::Wrote);
    let window = witness.open(&freshness);
    drop((reading, writing));
    assert_eq!(window.close().unwrap().1, whole("ask"));
    let window = witness.open(&freshness);
    assert_eq!(window.close(), Err(Refusal::NothingRead), "both are over");
}

#[test]
fn what_refuses_storage_is_named() {
    let (freshness, witness) = (Arc::new(Freshness::new()), Witness::new());
    let verdict = |statements: &[Observed]| {
        let window = witness.open(&freshness);
        statements.iter().for_each(|statement| drop(witness.statement(statement.clone())));
        window.close().map(drop).map_err(Refusal::label)
    };
    let reading = read(&freshness, whole("ask"));
    assert_eq!(verdict(&[]), Err("nothing-read"));
    assert_eq!(verdict(&[read(&freshness, Deps::new())]), Err("nothing-read"), "SELECT 1");
    assert_eq!(verdict(std::slice::from_ref(&reading)), Ok(()));
    assert_eq!(verdict(&[reading.clone(), Observed::Refused("clock")]), Err("clock"));
    assert_eq!(verdict(&[Observed::Refused("clock"), Observed::Wrote, Observed::Refused("random")]), Err("wrote"));
    freshness.new_epoch();
    assert_eq!(verdict(&[reading]), Err("other-epoch"));
}

#[test]
fn more_windows_than_can_be_told_apart_are_refused_and_counted() {
    let (freshness, witness) = (Arc::new(Freshness::new()), Witness::new());
    let windows: Vec<Window> = (0..WINDOWS_MAX).map(|_| witness.open(&freshness)).collect();
    let beyond = witness.open(&freshness);
    assert_eq!(witness.open_windows(), WINDOWS_MAX + 1);
    let moment = witness.moment();
    drop(windows);
    assert!(!witness.requests_ended_since(moment), "one that is not recorded is still in flight");
    assert_eq!(beyond.close(), Err(Refusal::TooMany));
    assert!(witness.requests_ended_since(moment));
}

#[test]
fn a_request_has_ended_when_all_that_were_in_flight_have() {
    let (freshness, witness) = (Arc::new(Freshness::new()), Witness::new());
    let outside = witness.moment();
    assert!(!witness.requests_ended_since(outside), "a background job has no request that could end");
    let (first, second) = (witness.open(&freshness), witness.open(&freshness));
    let moment = witness.moment();
    let third = witness.open(&freshness);
    drop(first);
    assert!(!witness.requests_ended_since(moment));
    drop(second);
    assert!(witness.requests_ended_since(moment), "the third came later");
    drop(third);
    assert!(witness.requests_ended_since(moment) && !witness.requests_ended_since(outside));
}

/// A probe's read must not leave the worker in a transaction that no request ends.
#[test]
fn a_probes_window_ends_like_a_requests() {
    let witness = Witness::new();
    let probe = witness.open_for_nobody();
    let moment = witness.moment();
    assert!(!witness.requests_ended_since(moment));
    drop(probe);
    assert!(witness.requests_ended_since(moment));
}

#[test]
fn people_are_told_what_became_of_an_answer() {
    let freshness = Arc::new(Freshness::new());
    let mut deps = row("ask", "7");
    deps.add_table(table("cheer"));
    assert_eq!((deps.rows_of(table("ask")), deps.rows_of(table("cheer"))), (Some(1), None));
    let answer = entry(&freshness, deps);
    assert_eq!(answer.standing(&freshness), Standing::Clean);

    let commit = |name: &str, values: &[&str], statement: &str| {
        freshness.fence(Tables::of([table(name)])).commit_noted(&changed(name, values), 5, Some(statement.into()));
        freshness.seq()
    };
    commit("ask", &["8"], "another row");
    assert_eq!(answer.standing(&freshness), Standing::Clean);
    let fence = freshness.fence(Tables::of([table("cheer")]));
    assert_eq!(answer.standing(&freshness), Standing::Fenced);
    fence.release();

    let number = commit("ask", &["7"], "its row");
    assert_eq!(answer.standing(&freshness), Standing::Overtaken { table: Some(table("ask")), number });
    let write = freshness.write(number).expect("it was noted");
    assert_eq!(*write, Write { number, at_ms: 5, tables: vec![table("ask")], statement: Some("its row".into()) });
    let newer = commit("cheer", &["1"], "any row");
    assert_eq!(answer.standing(&freshness), Standing::Overtaken { table: Some(table("cheer")), number: newer });
    for _ in 0..WRITES_MAX {
        commit("other", &["1"], "much else");
    }
    assert_eq!(freshness.write(number), None, "only the latest are remembered");

    freshness.new_epoch();
    assert_eq!(answer.standing(&freshness), Standing::GivenUp);
    assert_eq!(entry(&freshness, Deps::everything()).standing(&freshness), Standing::Clean);
}

#[test]
fn a_commit_that_changed_nothing_is_not_noted() {
    let freshness = Arc::new(Freshness::new());
    freshness.fence(Tables::of([table("ask")])).commit_noted(&changed("ask", &[]), 5, None);
    assert_eq!((freshness.seq(), freshness.write(0), freshness.write(1)), (0, None, None));
}

/// Two requests at one worker, told apart by what their statements say.
#[test]
fn a_statement_that_names_its_request_counts_for_no_other() {
    let (freshness, witness) = (Arc::new(Freshness::new()), Witness::new());
    let (one, two, nobody) = ([1; 16], [2; 16], [9; 16]);
    let read = |name: &str| Observed::Read { deps: whole(name).into(), stamp: freshness.stamp() };
    assert!(!witness.tells_apart());
    let first = witness.open_traced(&freshness, one);
    let second = witness.open_traced(&freshness, two);
    let unnamed = witness.open(&freshness);
    assert!(witness.tells_apart());
    drop(witness.statement_of(read("ask"), Some(one)));
    drop(witness.statement_of(Observed::Wrote, Some(two)));
    // Under way when the next requests arrive: theirs only if it may be.
    let under_way = witness.statement_of(read("cheer"), Some(one));
    let (third, fourth) = (witness.open_traced(&freshness, one), witness.open_traced(&freshness, [3; 16]));
    drop(under_way);
    drop(witness.statement(read("settings")));
    drop(witness.statement_of(read("log"), Some(nobody)));
    let tables = |window: Window| window.close().map(|(_, deps)| deps.tables().count());
    assert_eq!(tables(first), Ok(4), "its own two, the one without a name, the one of nobody");
    assert_eq!(tables(second), Err(Refusal::Wrote));
    assert_eq!(tables(unnamed), Err(Refusal::Wrote), "it may be its own");
    assert_eq!((tables(third), tables(fourth)), (Ok(3), Ok(2)));
    assert!(!witness.tells_apart());
}

#[test]
fn what_invalidates_is_counted_by_table_and_bounded() {
    let (freshness, counted) = (Arc::new(Freshness::new()), Invalidations::default());
    let noted = |name: &str| {
        let entry = entry(&freshness, whole(name));
        counted.note(entry.standing(&freshness), &freshness);
        freshness.fence(Tables::of([table(name)])).commit_noted(&Changes::new(), 7, Some("UPDATE x".into()));
        counted.note(entry.standing(&freshness), &freshness);
    };
    noted("ask");
    noted("cheer");
    noted("ask");
    let before = entry(&freshness, whole("ask"));
    freshness.new_epoch();
    counted.note(before.standing(&freshness), &freshness);
    let list = counted.list();
    let told: Vec<_> = list.iter().map(|one| (one.by, one.times, one.last.as_ref().and_then(|write| write.statement.clone()))).collect();
    let wrote: Option<Arc<str>> = Some("UPDATE x".into());
    assert_eq!(told[0], (InvalidatedBy::Table(table("ask")), 2, wrote.clone()));
    assert!(told.contains(&(InvalidatedBy::Table(table("cheer")), 1, wrote)) && told.contains(&(InvalidatedBy::Everything, 1, None)));
    (0..3 * INVALIDATIONS_MAX).for_each(|n| noted(&format!("table {n}")));
    let list = counted.list();
    assert_eq!(list.len(), INVALIDATIONS_MAX + 2, "everything, and all others in one");
    assert_eq!(list.iter().map(|one| one.times).sum::<u64>(), 4 + 3 * INVALIDATIONS_MAX as u64);
}
