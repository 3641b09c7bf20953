//! Transactions, snapshots, locks, the observer, prepared statements.

use super::*;

const ASKHY: &[&str] = &[
    "CREATE TABLE ask (id BIGINT NOT NULL AUTO_INCREMENT, message VARCHAR(500) NOT NULL, ip_address VARCHAR(45) NOT NULL,
     register_time DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6), PRIMARY KEY (id)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4",
    "CREATE TABLE cheer (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, ask_id BIGINT NOT NULL, message VARCHAR(500) NOT NULL,
     ip_address VARCHAR(45) NOT NULL, register_time DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
     CONSTRAINT cheer_ask FOREIGN KEY (ask_id) REFERENCES ask (id) ON DELETE CASCADE)",
];

fn askhy(house: &House) -> Session {
    let mut session = house.session();
    for sql in ASKHY {
        run(&mut session, sql);
    }
    session
}

#[test]
fn askhy_lives_here() {
    let house = House::new();
    let mut s = askhy(&house);
    let done = execute(&mut s, "INSERT INTO ask (message, ip_address) VALUES (?, ?)", &[text("도와줘"), text("65.3.1.2")]).unwrap();
    let summary = done.summary.unwrap();
    assert_eq!((summary.affected_rows, summary.last_insert_id), (1, 1));
    let summary =
        run(&mut s, "INSERT INTO cheer (ask_id, message, ip_address) VALUES (1, 'a', '1.1.1.1'), (1, 'b', '1.1.1.1'), (1, 'c', '2.2.2.2')");
    assert_eq!((summary.affected_rows, summary.last_insert_id, summary.info.as_str()), (3, 1, "Records: 3  Duplicates: 0  Warnings: 0"));
    let front = "SELECT ask.id, ask.message, ask.ip_address, ask.register_time,
        (SELECT COUNT(*) FROM cheer WHERE cheer.ask_id = ask.id) AS cheers,
        (SELECT COUNT(DISTINCT cheer.ip_address) FROM cheer WHERE cheer.ask_id = ask.id) AS addresses
        FROM ask ORDER BY ask.id DESC LIMIT ?";
    let taken = execute(&mut s, front, &[Value::Int(10)]).unwrap();
    assert_eq!(taken.rows.len(), 1);
    assert_eq!(taken.rows[0][1], "도와줘");
    assert_eq!(&taken.rows[0][4..], ["3", "2"]);
    assert_eq!(taken.rows[0][3].len(), "2026-01-01 00:00:00.000000".len());
    assert_eq!(taken.columns[4].name, "cheers");
    assert_eq!(s.report().kind, StatementKind::Read);
    assert_eq!(s.report().pure, Ok(()));
    assert_eq!(s.report().tables.iter().map(|t| t.name.to_string()).collect::<Vec<_>>(), ["ask", "cheer"]);
    assert_eq!(fails(&mut s, "INSERT INTO cheer (ask_id, message, ip_address) VALUES (9, 'x', 'y')"), 1452);
    assert_eq!(run(&mut s, "DELETE FROM ask WHERE id = 1").affected_rows, 1);
    assert_eq!(rows(&mut s, "SELECT COUNT(*) FROM cheer"), ["0"]);
}

#[test]
fn what_was_committed_is_there_after_reopening() {
    let house = House::new();
    let mut s = askhy(&house);
    run(&mut s, "INSERT INTO ask (message, ip_address) VALUES ('a', 'b')");
    run(&mut s, "BEGIN");
    run(&mut s, "INSERT INTO ask (message, ip_address) VALUES ('lost', 'b')");
    drop(s);
    let house = house.reopen();
    let mut s = house.session();
    assert_eq!(rows(&mut s, "SELECT id, message FROM ask"), ["1\ta"]);
    assert_eq!(rows(&mut s, "SHOW TABLES"), ["ask", "cheer"]);
}

#[test]
fn a_transaction_reads_from_one_snapshot() {
    let house = House::new();
    let (mut a, mut b) = (askhy(&house), house.session());
    run(&mut a, "INSERT INTO ask (message, ip_address) VALUES ('first', 'x')");
    run(&mut a, "BEGIN");
    assert_eq!(rows(&mut a, "SELECT COUNT(*) FROM ask"), ["1"]);
    run(&mut b, "INSERT INTO ask (message, ip_address) VALUES ('second', 'x')");
    assert_eq!(rows(&mut a, "SELECT COUNT(*) FROM ask"), ["1"]);
    run(&mut a, "COMMIT");
    assert_eq!(rows(&mut a, "SELECT COUNT(*) FROM ask"), ["2"]);
}

#[test]
fn a_write_on_an_old_snapshot_fails_only_if_what_was_read_has_changed() {
    let house = House::new();
    let (mut a, mut b) = (askhy(&house), house.session());
    run(&mut a, "CREATE TABLE other (id INT PRIMARY KEY)");
    run(&mut a, "SET autocommit = 0");
    assert_eq!(rows(&mut a, "SELECT COUNT(*) FROM ask"), ["0"]);
    run(&mut b, "INSERT INTO other VALUES (1)");
    // `other` was not read: the snapshot moves forward, and its row is seen now.
    run(&mut a, "INSERT INTO ask (message, ip_address) VALUES ('m', 'x')");
    assert_eq!(rows(&mut a, "SELECT COUNT(*) FROM other"), ["1"]);
    run(&mut a, "COMMIT");
    assert_eq!(rows(&mut a, "SELECT COUNT(*) FROM ask"), ["1"]);
    run(&mut b, "INSERT INTO ask (message, ip_address) VALUES ('n', 'x')");
    assert_eq!(fails(&mut a, "INSERT INTO ask (message, ip_address) VALUES ('m', 'x')"), 1213);
    assert!(!a.in_transaction(), "1213 has rolled the transaction back");
    assert_eq!(rows(&mut a, "SELECT COUNT(*) FROM ask"), ["2"]);
    run(&mut a, "ROLLBACK");
    run(&mut a, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED");
    assert_eq!(rows(&mut a, "SELECT COUNT(*) FROM ask"), ["2"]);
    run(&mut b, "INSERT INTO ask (message, ip_address) VALUES ('o', 'x')");
    assert_eq!(rows(&mut a, "SELECT COUNT(*) FROM ask"), ["3"]);
    run(&mut a, "INSERT INTO ask (message, ip_address) VALUES ('p', 'x')");
}

#[test]
fn one_writes_at_a_time_and_the_wait_ends() {
    let house = House::new();
    let (mut a, mut b) = (askhy(&house), house.session());
    run(&mut a, "BEGIN");
    run(&mut a, "INSERT INTO ask (message, ip_address) VALUES ('m', 'x')");
    run(&mut b, "SET innodb_lock_wait_timeout = 1");
    assert_eq!(fails(&mut b, "DELETE FROM ask"), 1205);
    // Readers do not wait.
    assert_eq!(rows(&mut b, "SELECT COUNT(*) FROM ask"), ["0"]);
    run(&mut a, "COMMIT");
    assert_eq!(run(&mut b, "DELETE FROM ask").affected_rows, 1);
}

#[test]
fn kill_query_reaches_a_statement_that_waits_and_one_that_runs() {
    let house = House::new();
    let (mut a, mut b) = (askhy(&house), house.session());
    let wait = |session: &mut Session, stop: crate::engine::Interrupter, sql: &str| {
        let done = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&done);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                // Again and again: the statement may not have begun yet.
                while !told.load(Ordering::Acquire) {
                    stop();
                    std::thread::yield_now();
                }
            });
            let code = fails(session, sql);
            done.store(true, Ordering::Release);
            code
        })
    };
    run(&mut a, "BEGIN");
    run(&mut a, "INSERT INTO ask (message, ip_address) VALUES ('m', 'x')");
    let stop = b.interrupter();
    assert_eq!(wait(&mut b, stop, "DELETE FROM ask"), 1317);
    let stop = b.interrupter();
    let endless = "WITH RECURSIVE c AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM c WHERE n > 0) SELECT COUNT(*) FROM c";
    assert_eq!(wait(&mut b, stop, endless), 1317);
    assert_eq!(rows(&mut b, "SELECT 1"), ["1"]);
}

/// Writes down what it is told.
#[derive(Default)]
struct Diary(std::sync::Mutex<Vec<String>>);

impl WriteObserver for Diary {
    fn stamp(&self) -> Stamp {
        Stamp { seq: self.0.lock().unwrap().len() as u64, ..Stamp::default() }
    }

    fn commit_begins(&self, changes: &ChangeSet) -> Fence {
        let tables: Vec<String> = changes
            .tables
            .iter()
            .map(|t| match &t.rows {
                crate::engine::ChangedRows::Unknown => format!("{}?", t.table.name),
                crate::engine::ChangedRows::Images(rows) => format!("{}:{}", t.table.name, rows.len()),
            })
            .collect();
        self.0.lock().unwrap().push(format!("begin {}{}", tables.join(" "), if changes.schema { " schema" } else { "" }));
        Fence(7)
    }

    fn commit_ended(&self, fence: Fence, _: &ChangeSet, outcome: CommitOutcome) {
        assert_eq!(fence, Fence(7));
        self.0.lock().unwrap().push(format!("{outcome:?}"));
    }
}

#[test]
fn every_commit_stands_between_the_observers_calls_and_cascades_are_told() {
    let diary = Arc::new(Diary::default());
    let house = House::observed(Arc::clone(&diary) as Arc<dyn WriteObserver>);
    let mut s = askhy(&house);
    assert_eq!(std::mem::take(&mut *diary.0.lock().unwrap()), ["begin ask? schema", "Visible", "begin cheer? schema", "Visible"]);
    run(&mut s, "INSERT INTO ask (message, ip_address) VALUES ('m', 'x'), ('n', 'y')");
    run(&mut s, "INSERT INTO cheer (ask_id, message, ip_address) VALUES (1, 'a', 'b'), (1, 'c', 'd')");
    run(&mut s, "UPDATE ask SET message = 'm' WHERE id = 1");
    run(&mut s, "BEGIN");
    run(&mut s, "DELETE FROM ask WHERE id = 1");
    run(&mut s, "UPDATE ask SET message = 'changed'");
    run(&mut s, "COMMIT");
    run(&mut s, "BEGIN");
    run(&mut s, "DELETE FROM ask");
    run(&mut s, "ROLLBACK");
    run(&mut s, "TRUNCATE cheer");
    assert_eq!(fails(&mut s, "INSERT INTO ask (id, message, ip_address) VALUES (2, 'dup', 'x')"), 1062);
    let told = std::mem::take(&mut *diary.0.lock().unwrap());
    let expected =
        ["begin ask:2", "Visible", "begin cheer:2", "Visible", "begin ask:2 cheer:2", "Visible", "begin cheer? schema", "Visible"];
    assert_eq!(told, expected, "an update that changes nothing and a rollback have nothing to tell");
}

#[test]
fn a_read_is_stamped_before_its_snapshot() {
    let diary = Arc::new(Diary::default());
    let house = House::observed(Arc::clone(&diary) as Arc<dyn WriteObserver>);
    let (mut a, mut b) = (askhy(&house), house.session());
    rows(&mut a, "SELECT * FROM ask");
    let first = a.report().snapshot.unwrap();
    assert_eq!(first.age, crate::engine::SnapshotAge::ThisStatement);
    run(&mut a, "BEGIN");
    rows(&mut a, "SELECT 1 FROM ask");
    run(&mut b, "INSERT INTO ask (message, ip_address) VALUES ('m', 'x')");
    rows(&mut a, "SELECT 2 FROM ask");
    let report = a.report().clone();
    assert_eq!(report.snapshot.unwrap().stamp, first.stamp, "the snapshot is the transaction's");
    assert_eq!(report.snapshot.unwrap().age, crate::engine::SnapshotAge::Earlier { own_writes: false });
    a.renew_snapshot();
    assert!(a.in_transaction());
    assert_eq!(rows(&mut a, "SELECT COUNT(*) FROM ask"), ["1"]);
    assert!(a.report().snapshot.unwrap().stamp > first.stamp);
    run(&mut a, "COMMIT");
    for (sql, why) in [
        ("SELECT NOW()", "NOW()"),
        ("SELECT @x", "a user variable"),
        ("SELECT RAND() FROM ask", "RAND()"),
        ("SELECT LAST_INSERT_ID()", "LAST_INSERT_ID(), FOUND_ROWS() or ROW_COUNT()"),
        ("SELECT * FROM information_schema.TABLES", "information_schema"),
    ] {
        rows(&mut a, sql);
        assert_eq!(a.report().pure, Err(why), "{sql}");
    }
}

#[test]
fn parameters_keep_their_types() {
    let house = House::new();
    let mut s = house.session();
    run(&mut s, "CREATE TABLE p (id INT PRIMARY KEY, t VARCHAR(20), d DECIMAL(10,2), w DATETIME(3), b BLOB, f DOUBLE)");
    let moment = Value::DateTime { year: 2024, month: 2, day: 9, hour: 10, minute: 11, second: 12, micros: 345_000 };
    let all = [Value::Int(1), text("é"), text("1.5"), moment, Value::Bytes(vec![0, 255]), Value::Double(1.5)];
    execute(&mut s, "INSERT INTO p VALUES (?, ?, ?, ?, ?, ?)", &all).unwrap();
    let mut select =
        s.prepare(b"SELECT id, t, d, w, HEX(b), f FROM p WHERE id = ? AND t = ? AND d = ? AND w = ? AND b = ? AND f = ?").unwrap();
    assert_eq!(s.describe(&select).0, 6);
    for _ in 0..2 {
        let mut taken = Taken::default();
        s.execute(&mut select, &all, &mut taken).unwrap();
        assert_eq!(taken.rows, [["1", "é", "1.50", "2024-02-09 10:11:12.345", "00FF", "1.5"]]);
    }
    let as_text =
        execute(&mut s, "SELECT id FROM p WHERE id = ? AND w = ? LIMIT ?", &[text("1"), text("2024-02-09 10:11:12.345"), Value::Int(5)])
            .unwrap();
    assert_eq!(as_text.rows, [["1"]]);
    assert!(execute(&mut s, "SELECT id FROM p WHERE id = ?", &[Value::Null]).unwrap().rows.is_empty());
    assert_eq!(
        execute(&mut s, "INSERT INTO p (id, t) VALUES (?, ?)", &[Value::Int(2), text("much longer than twenty characters")])
            .err()
            .unwrap()
            .code,
        1406
    );
    assert_eq!(
        execute(&mut s, "SELECT ? + 1, CONCAT(?, 'x'), ?", &[Value::Int(1), text("a"), Value::Null]).unwrap().rows,
        [["2", "ax", "NULL"]]
    );
    // A statement prepared before a change of its table answers as after it.
    let mut star = s.prepare(b"SELECT * FROM p WHERE id = ?").unwrap();
    run(&mut s, "ALTER TABLE p DROP COLUMN b, ADD COLUMN z INT DEFAULT 9");
    let mut taken = Taken::default();
    s.execute(&mut star, &[Value::Int(1)], &mut taken).unwrap();
    assert_eq!(taken.rows, [["1", "é", "1.50", "2024-02-09 10:11:12.345", "1.5", "9"]]);
}

#[test]
fn results_say_what_their_columns_are() {
    use pumasi_mysqlwire::{ColumnFlags, ColumnType};
    let house = House::new();
    let mut s = askhy(&house);
    let taken =
        query(&mut s, "SELECT a.id, a.message AS m, a.register_time, COUNT(*), 1.50, 'x', NULL, 1e0 FROM ask a GROUP BY a.id").unwrap();
    let kinds: Vec<ColumnType> = taken.columns.iter().map(|c| c.kind).collect();
    use ColumnType::*;
    assert_eq!(kinds, [LongLong, VarString, DateTime, LongLong, NewDecimal, VarString, Null, Double]);
    let id = &taken.columns[0];
    assert_eq!(
        (id.schema.as_str(), id.table.as_str(), id.org_table.as_str(), id.name.as_str(), id.org_name.as_str()),
        ("askhy", "a", "ask", "id", "id")
    );
    let wanted = ColumnFlags::NOT_NULL | ColumnFlags::PRIMARY_KEY | ColumnFlags::AUTO_INCREMENT;
    assert_eq!(id.flags.0 & wanted, wanted);
    assert_eq!((taken.columns[1].name.as_str(), taken.columns[1].collation, taken.columns[1].length), ("m", 45, 2000));
    assert_eq!((taken.columns[2].decimals, taken.columns[2].length), (6, 26));
    assert_eq!((taken.columns[3].name.as_str(), taken.columns[4].name.as_str(), taken.columns[4].decimals), ("COUNT(*)", "1.50", 2));
}

#[test]
fn show_create_table_makes_the_table_again() {
    let house = House::new();
    let mut s = askhy(&house);
    run(&mut s, "CREATE TABLE wide (a INT UNSIGNED NOT NULL AUTO_INCREMENT COMMENT 'it''s', b VARCHAR(10) COLLATE utf8mb4_bin DEFAULT 'x', c DECIMAL(5,2) NOT NULL,
        d TIMESTAMP(3) NULL DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3), e ENUM('a','b') NOT NULL DEFAULT 'a', f JSON,
        g TINYINT(1) DEFAULT 1, PRIMARY KEY (a), UNIQUE KEY bc (b, c), KEY pre (b(3) DESC)) COMMENT='wide'");
    let shown = |s: &mut Session| ["ask", "cheer", "wide"].map(|t| query(s, &format!("SHOW CREATE TABLE {t}")).unwrap().rows[0][1].clone());
    let before = shown(&mut s);
    run(&mut s, "DROP TABLE cheer, ask, wide");
    for created in &before {
        run(&mut s, created);
    }
    assert_eq!(shown(&mut s), before);
}

#[test]
fn errors_name_the_key_and_the_constraint() {
    let house = House::new();
    let mut s = askhy(&house);
    run(&mut s, "CREATE TABLE u (id INT PRIMARY KEY, a VARCHAR(5), b INT, UNIQUE KEY ab (a, b))");
    run(&mut s, "INSERT INTO u VALUES (1, 'x', 2)");
    let message = |s: &mut Session, sql: &str| query(s, sql).err().unwrap().message;
    assert_eq!(message(&mut s, "INSERT INTO u VALUES (1, 'y', 3)"), "Duplicate entry '1' for key 'u.PRIMARY'");
    assert_eq!(message(&mut s, "INSERT INTO u VALUES (5, 'z', 1), (6, 'X', 2)"), "Duplicate entry 'X-2' for key 'u.ab'");
    assert_eq!(
        message(&mut s, "INSERT INTO cheer (ask_id, message, ip_address) VALUES (5, 'a', 'b')"),
        "Cannot add or update a child row: a foreign key constraint fails (`askhy`.`cheer`, CONSTRAINT `cheer_ask` FOREIGN KEY (`ask_id`) \
         REFERENCES `ask` (`id`) ON DELETE CASCADE)"
    );
    let syntax = message(&mut s, "SELECT * FORM ask");
    assert!(syntax.ends_with("near 'ask' at line 1") || syntax.ends_with("near 'FORM ask' at line 1"), "{syntax}");
    assert_eq!(message(&mut s, "INSERT INTO ask (message, ip_address) VALUES ('a', 'b'), (NULL, 'c')"), "Column 'message' cannot be null");
    assert_eq!(message(&mut s, "INSERT INTO u (id, a) VALUES (7, 'ok'), (8, 'toolong')"), "Data too long for column 'a' at row 2");
    assert_eq!(rows(&mut s, "SELECT COUNT(*) FROM u"), ["1"], "a statement that fails changes nothing");
}

#[test]
fn binary_literals_keep_bytes_that_are_no_text() {
    let house = House::new();
    let mut s = house.session();
    run(&mut s, "CREATE TABLE b (x BLOB)");
    let mut sql = b"INSERT INTO b VALUES (_binary'a".to_vec();
    sql.extend([0xff, 0xfe, b'\'', b')']);
    let used = s.query(&sql, &mut Taken::default()).unwrap();
    assert_eq!(used, sql.len());
    assert_eq!(rows(&mut s, "SELECT HEX(x) FROM b"), ["61FFFE"]);
    // Two drivers send blobs as ordinary literals, escaped but otherwise raw.
    s.query(b"INSERT INTO b VALUES ('\\0\xff\\'\"\\\\\\n')", &mut Taken::default()).unwrap();
    assert_eq!(rows(&mut s, "SELECT HEX(x) FROM b"), ["61FFFE", "00FF27225C0A"]);
    run(&mut s, "CREATE TABLE words (x VARCHAR(20))");
    assert_eq!(s.query(b"INSERT INTO words VALUES ('\xff')", &mut Taken::default()).err().unwrap().code, 1366);
    run(&mut s, "INSERT INTO words VALUES (_binary'fine')");
    assert_eq!(rows(&mut s, "SELECT x FROM words"), ["fine"]);
    assert_eq!(s.query(b"SELECT 1; SELECT 2", &mut Taken::default()).unwrap(), 9);
}

#[test]
fn reset_forgets_what_the_session_had() {
    let house = House::new();
    let mut s = askhy(&house);
    for sql in [
        "SET @x = 1",
        "CREATE TEMPORARY TABLE tt (a INT)",
        "SET time_zone = '+09:00'",
        "SET autocommit = 0",
        "INSERT INTO ask (message, ip_address) VALUES ('a', 'b')",
    ] {
        run(&mut s, sql);
    }
    assert!(s.settings().is_none(), "a temporary table: results are the session's own");
    s.reset().unwrap();
    assert!(s.settings().is_some());
    assert_eq!(rows(&mut s, "SELECT @x, @@autocommit, @@time_zone, DATABASE()"), ["NULL\t1\tSYSTEM\taskhy"]);
    assert_eq!(fails(&mut s, "SELECT * FROM tt"), 1146);
    assert_eq!(rows(&mut s, "SELECT COUNT(*) FROM ask"), ["0"]);
}

#[test]
fn a_second_engine_on_the_same_file_is_refused() {
    let house = House::new();
    let options = Options::new(house.directory.path().join("askhy.db"));
    assert_eq!(Embedded::open(options).err().unwrap().code, 1030);
}

#[test]
fn many_sessions_write_and_nothing_is_lost() {
    let house = House::new();
    run(&mut askhy(&house), "INSERT INTO ask (message, ip_address) VALUES ('0', 'x')");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let mut s = house.session();
            scope.spawn(move || {
                for _ in 0..25 {
                    run(&mut s, "UPDATE ask SET message = message + 1 WHERE id = 1");
                    run(&mut s, "INSERT INTO cheer (ask_id, message, ip_address) VALUES (1, 'm', 'x')");
                }
            });
        }
    });
    assert_eq!(rows(&mut house.session(), "SELECT message, (SELECT COUNT(*) FROM cheer) FROM ask"), ["100\t100"]);
}
