use std::sync::{Arc, Mutex};

use rusqlite::types::{Value, ValueRef};

use super::*;

fn observed(set_up: &str, statement: &str) -> Vec<String> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch("PRAGMA foreign_keys = ON").unwrap();
    connection.execute_batch(set_up).unwrap();
    let sink = Arc::clone(&seen);
    let hooked = HookedConnection::new(connection, move |change| {
        let image = |read: &dyn Fn(usize) -> Option<String>| {
            let cells: Option<Vec<String>> = (0..change.columns()).map(read).collect();
            cells.map_or("-".to_owned(), |cells| cells.join(","))
        };
        let old = image(&|index| change.before(index).map(show));
        let new = image(&|index| change.after(index).map(show));
        sink.lock().unwrap().push(format!("{:?} {}.{} {old} -> {new}", change.action, change.schema, change.table));
    });
    hooked.execute_batch(statement).unwrap();
    drop(hooked);
    Arc::into_inner(seen).expect("the observer is dropped with its connection").into_inner().unwrap()
}

fn show(value: ValueRef<'_>) -> String {
    match Value::try_from(value).unwrap() {
        Value::Null => "NULL".to_owned(),
        Value::Integer(i) => i.to_string(),
        Value::Real(r) => format!("{r:?}"),
        Value::Text(t) => format!("'{t}'"),
        Value::Blob(b) => format!("{b:?}"),
    }
}

const ASK: &str = "CREATE TABLE ask (id INTEGER PRIMARY KEY, message TEXT); INSERT INTO ask VALUES (1, 'a'), (2, 'b');
    CREATE TABLE cheer (id INTEGER PRIMARY KEY, ask_id INTEGER REFERENCES ask ON DELETE CASCADE, note BLOB);
    INSERT INTO cheer VALUES (10, 1, x'00ff'), (11, 2, NULL), (12, 1, x'');";

#[test]
fn every_kind_of_value_arrives() {
    assert_eq!(
        observed("CREATE TABLE t (a, b, c, d, e)", "INSERT INTO t VALUES (1, 2.5, 'é', x'00ff', NULL)"),
        ["Insert main.t - -> 1,2.5,'é',[0, 255],NULL"]
    );
}

#[test]
fn an_update_shows_both_rows() {
    assert_eq!(observed(ASK, "UPDATE ask SET message = 'c' WHERE id = 2"), ["Update main.ask 2,'b' -> 2,'c'"]);
}

#[test]
fn a_cascade_shows_the_children() {
    let mut seen = observed(ASK, "DELETE FROM ask WHERE id = 1");
    seen.sort();
    assert_eq!(seen, ["Delete main.ask 1,'a' -> -", "Delete main.cheer 10,1,[0, 255] -> -", "Delete main.cheer 12,1,[] -> -"]);
}

#[test]
fn a_delete_of_everything_is_still_row_by_row() {
    assert_eq!(observed(ASK, "DELETE FROM cheer").len(), 3);
}

#[test]
fn replace_shows_the_row_it_pushes_out() {
    let table = "CREATE TABLE t (id INTEGER PRIMARY KEY, k TEXT UNIQUE); INSERT INTO t VALUES (1, 'x'), (2, 'y');";
    assert_eq!(observed(table, "REPLACE INTO t VALUES (3, 'x')"), ["Delete main.t 1,'x' -> -", "Insert main.t - -> 3,'x'"]);
    assert_eq!(observed(table, "REPLACE INTO t VALUES (2, 'z')"), ["Delete main.t 2,'y' -> -", "Insert main.t - -> 2,'z'"]);
}

#[test]
fn a_trigger_shows_what_it_does() {
    let table =
        "CREATE TABLE t (a); CREATE TABLE log (b); CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO log VALUES (new.a + 1); END;";
    assert_eq!(observed(table, "INSERT INTO t VALUES (1)"), ["Insert main.t - -> 1", "Insert main.log - -> 2"]);
}

#[test]
fn a_panic_does_not_reach_sqlite() {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch("CREATE TABLE t (a)").unwrap();
    let hooked = HookedConnection::new(connection, |_| panic!("observer"));
    hooked.execute_batch("INSERT INTO t VALUES (1)").unwrap();
    assert_eq!(hooked.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)).unwrap(), 1);
}
