//! Stored results over the machine's own mariadbd. A write past the proxy (over the server's own socket) is seen by nobody here: who still reads the
//! old value was answered from memory.

use std::{net::Ipv4Addr, sync::mpsc, thread, time::Duration};

use pumasi_mysqlwire::{Capabilities, Command, Value};
use pumasi_test_servers::MariaDb;

use super::*;
use crate::{
    front::{
        Listener, Settings,
        tests::{
            client::{self, Client},
            wait_for,
        },
    },
    proxy::{
        Proxy,
        route::{Choice, Errand, OnlyOne, Route},
    },
};

struct House<'d> {
    proxy: Proxy,
    listener: Listener,
    freshness: Arc<Freshness>,
    database: &'d MariaDb,
}

impl House<'_> {
    fn new(database: &MariaDb) -> House<'_> {
        let target = Target::parse(&format!("mysql://app:secret@127.0.0.1:{}", database.port)).unwrap();
        House::with(database, Arc::new(OnlyOne(Server::new(target.clone()))), target)
    }

    fn with(database: &MariaDb, route: Arc<dyn Route>, target: Target) -> House<'_> {
        let settings = Settings { name: "main".into(), engine: target.address(), connections_max: 50, users: Vec::new() };
        let freshness = Arc::new(Freshness::new());
        let results = Results::new(freshness.clone(), 16 * 1024 * 1024);
        let follow = Follow::start(target.clone(), results).unwrap();
        let proxy = Proxy::start_with(route, target, settings, crate::proxy::Options::default(), 2, Some(follow)).unwrap();
        let listener = proxy.listen((Ipv4Addr::LOCALHOST, 0).into(), None).unwrap();
        let house = House { proxy, listener, freshness, database };
        wait_for("the catalogue", || house.follow().generation().followed() && house.freshness.fences() == 0);
        house
    }

    fn follow(&self) -> &Arc<Follow> {
        self.proxy.0.follow.as_ref().unwrap()
    }

    fn client(&self) -> Client {
        Client::login_with(&self.listener, "app", "secret", client::PLAIN, "mysql_native_password", Some("shop")).expect("a login")
    }

    fn hits(&self) -> u64 {
        self.follow().results().status().hits
    }

    /// Behind the proxy's back.
    fn unseen(&self, sql: &str) {
        self.database.run(&format!("USE shop; {sql}"));
    }
}

type Story = (&'static str, fn(&House<'_>));

const STORIES: [Story; 17] = [
    ("an_answer_is_kept_until_its_table_is_written", an_answer_is_kept_until_its_table_is_written),
    ("prepared_answers_are_kept_by_their_values", prepared_answers_are_kept_by_their_values),
    ("a_preparation_is_answered_from_memory_until_the_schema_changes", a_preparation_is_answered_from_memory_until_the_schema_changes),
    ("triggers_cascades_views_and_functions_are_followed", triggers_cascades_views_and_functions_are_followed),
    (
        "a_transaction_shows_nothing_before_its_commit_and_everything_after",
        a_transaction_shows_nothing_before_its_commit_and_everything_after,
    ),
    ("tables_without_transactions_are_seen_at_once", tables_without_transactions_are_seen_at_once),
    ("a_schema_change_is_followed", a_schema_change_is_followed),
    ("a_schema_change_waits_for_those_who_planned_before_it", a_schema_change_waits_for_those_who_planned_before_it),
    ("sessions_that_differ_share_nothing", sessions_that_differ_share_nothing),
    ("a_prepared_statement_is_followed_to_the_tables_it_meant", a_prepared_statement_is_followed_to_the_tables_it_meant),
    ("a_write_that_other_settings_hide_is_seen", a_write_that_other_settings_hide_is_seen),
    ("what_is_not_a_function_of_rows_is_not_kept", what_is_not_a_function_of_rows_is_not_kept),
    ("a_lost_answer_keeps_its_fence_until_the_server_is_done", a_lost_answer_keeps_its_fence_until_the_server_is_done),
    ("commands_sent_without_waiting_are_answered_in_order", commands_sent_without_waiting_are_answered_in_order),
    ("the_short_way_answers_what_the_long_one_would", the_short_way_answers_what_the_long_one_would),
    ("an_error_releases_and_a_lost_lock_shows_nothing", an_error_releases_and_a_lost_lock_shows_nothing),
    ("many_who_ask_the_same_are_answered_by_one", many_who_ask_the_same_are_answered_by_one),
];

#[test]
fn stories_of_kept_answers() {
    let database = MariaDb::with(&["--max-connections=100"]);
    database.run("CREATE DATABASE shop CHARACTER SET utf8mb4; CREATE USER app@'%' IDENTIFIED BY 'secret'; GRANT ALL ON *.* TO app@'%'");
    for (name, story) in STORIES {
        eprintln!("--- {name}");
        database.run("DROP DATABASE shop; CREATE DATABASE shop; USE shop; CREATE TABLE t (id INT PRIMARY KEY, n INT) ENGINE=InnoDB; INSERT INTO t VALUES (1, 10), (2, 20)");
        let house = House::new(&database);
        story(&house);
        assert_eq!(house.follow().surprises().0, 0, "every commit was fenced");
        house.proxy.stop(Duration::from_secs(5));
    }
}

fn one(client: &mut Client, sql: &str) -> String {
    client.query(sql).text_rows()[0][0].clone().unwrap_or_else(|| "NULL".into())
}

fn packets(reply: client::Reply) -> Vec<Vec<u8>> {
    let client::Reply::Rows { packets, .. } = reply else { panic!("rows: {reply:?}") };
    packets
}

const N: &str = "SELECT n FROM t WHERE id = 1";

fn an_answer_is_kept_until_its_table_is_written(house: &House<'_>) {
    let (mut reader, mut writer) = (house.client(), house.client());
    assert_eq!(one(&mut reader, N), "10");
    house.unseen("UPDATE t SET n = 11");
    assert_eq!((one(&mut reader, N), one(&mut writer, N)), ("10".into(), "10".into()), "from memory, for everybody");
    assert_eq!(house.hits(), 2);
    // Another row: table-exact all the same.
    writer.query("UPDATE t SET n = 21 WHERE id = 2").ok();
    assert_eq!(one(&mut reader, N), "11");
    for write in ["INSERT INTO t VALUES (3, 30)", "DELETE FROM t WHERE id = 3", "REPLACE INTO t VALUES (2, 5)", "TRUNCATE t", "DO 1"] {
        let before = one(&mut reader, "SELECT SUM(n) FROM t");
        house.unseen("INSERT INTO t SELECT 100 + COALESCE(MAX(id), 0), 1000 FROM t");
        writer.query(write).ok();
        let after = one(&mut reader, "SELECT SUM(n) FROM t");
        assert_eq!(before == after, write == "DO 1", "{write}: {before} {after}");
    }
    // What made them wrong is told for each statement.
    let digests = house.proxy.status().digests;
    let told = digests.iter().find(|digest| digest.text == "SELECT SUM(n) FROM t").map(|digest| &digest.invalidations[..]);
    let Some([one, truncated]) = told else { panic!("{digests:?}") };
    assert_eq!((&truncated.table, truncated.times), (&None, 1), "TRUNCATE gives everything up");
    assert_eq!(one.table.as_ref().map(|table| table.number), Some(pumasi_freshness::Table::named("shop", "t").number()));
    assert!(one.times >= 3 && one.statement.is_some(), "{one:?}");
}

fn prepared_answers_are_kept_by_their_values(house: &House<'_>) {
    let (mut reader, mut writer) = (house.client(), house.client());
    let statement = reader.prepare("SELECT n FROM t WHERE id = ?").unwrap().statement;
    let mut read = |id: i64| reader.execute(statement, &[Value::Int(id)]).binary_rows()[0][0].clone();
    assert_eq!((read(1), read(2)), (Value::Int(10), Value::Int(20)));
    house.unseen("UPDATE t SET n = n + 1");
    assert_eq!((read(1), read(2)), (Value::Int(10), Value::Int(20)));
    let update = writer.prepare("UPDATE t SET n = n + ? WHERE id = ?").unwrap().statement;
    writer.execute(update, &[Value::Int(100), Value::Int(1)]).ok();
    assert_eq!((read(1), read(2)), (Value::Int(111), Value::Int(21)));
}

/// Drivers that share connections prepare their statements again for every request.
fn a_preparation_is_answered_from_memory_until_the_schema_changes(house: &House<'_>) {
    let asked = || {
        let count = house.database.run("SHOW GLOBAL STATUS LIKE 'Com_stmt_prepare'");
        count.split_whitespace().last().and_then(|count| count.parse::<u64>().ok()).expect("a count")
    };
    let (mut ann, mut ben) = (house.client(), house.client());
    let insert = "INSERT INTO t (id, n) VALUES (?, ?)";
    let first = ann.prepare(insert).unwrap();
    ann.execute(first.statement, &[Value::Int(3), Value::Int(30)]).ok();
    let before = asked();
    for id in 4..10 {
        let again = ben.prepare(insert).unwrap();
        assert_eq!((again.parameters, again.columns), (first.parameters, first.columns));
        ben.execute(again.statement, &[Value::Int(id), Value::Int(0)]).ok();
        ben.send(Command::CloseStatement(again.statement));
    }
    assert_eq!(one(&mut ann, "SELECT COUNT(*) FROM t"), "9");
    // One of the two may have been given the connection on which it had not been prepared.
    assert!(asked() <= before + 1, "{} preparations", asked() - before);
    // A statement that describes columns is answered by the server where a foreign change of the schema would not be seen.
    let all = "SELECT * FROM t WHERE id = ?";
    let before = asked();
    for _ in 0..2 {
        assert_eq!(ann.prepare(all).unwrap().columns, 2);
    }
    assert_eq!(asked(), before + 2);
    // Other settings, another meaning; an error is said as ever.
    ben.query("SET sql_mode = 'ANSI_QUOTES'").ok();
    let quoted = ben.prepare(insert).unwrap().statement;
    ben.execute(quoted, &[Value::Int(20), Value::Int(0)]).ok();
    ann.query("DROP TABLE t").ok();
    assert_eq!(ann.prepare(insert).err(), Some(1146));
    ann.query("CREATE TABLE t (id INT PRIMARY KEY, n INT)").ok();
}

fn triggers_cascades_views_and_functions_are_followed(house: &House<'_>) {
    let (mut reader, mut writer) = (house.client(), house.client());
    for sql in [
        "CREATE TABLE log (n INT) ENGINE=InnoDB",
        "CREATE TABLE deep (n INT) ENGINE=InnoDB",
        "CREATE TABLE child (id INT, t INT, FOREIGN KEY (t) REFERENCES t (id) ON DELETE CASCADE ON UPDATE CASCADE) ENGINE=InnoDB",
        "INSERT INTO child VALUES (1, 2)",
        "CREATE TRIGGER a AFTER UPDATE ON t FOR EACH ROW INSERT INTO log VALUES (NEW.n)",
        "CREATE TRIGGER b AFTER INSERT ON log FOR EACH ROW INSERT INTO deep VALUES (NEW.n)",
        "CREATE VIEW v AS SELECT COUNT(*) AS c FROM deep",
        "CREATE VIEW vv AS SELECT c + 1 AS c FROM v",
        "CREATE FUNCTION f() RETURNS INT BEGIN INSERT INTO deep VALUES (0); RETURN 1; END",
        "CREATE PROCEDURE p() INSERT INTO deep VALUES (0)",
    ] {
        writer.query(sql).ok();
    }
    for (write, read, before, after) in [
        ("UPDATE t SET n = 12 WHERE id = 1", "SELECT COUNT(*) FROM deep", "0", "1"),
        ("UPDATE t SET n = 13 WHERE id = 1", "SELECT c FROM vv", "2", "3"),
        ("UPDATE t SET id = 3 WHERE id = 2", "SELECT t FROM child", "2", "3"),
        ("DELETE FROM t WHERE id = 3", "SELECT COUNT(*) FROM child", "1", "0"),
        ("SELECT f()", "SELECT COUNT(*) FROM deep", "3", "4"),
        ("CALL p()", "SELECT COUNT(*) FROM deep", "4", "5"),
        ("DO f()", "SELECT c FROM vv", "6", "7"),
    ] {
        let hits = house.hits();
        assert_eq!(one(&mut reader, read), before, "before {write}");
        assert_eq!(one(&mut reader, read), before, "again before {write}");
        assert!(house.hits() > hits, "kept before {write}");
        let _ = writer.query(write);
        assert_eq!(one(&mut reader, read), after, "after {write}");
    }
}

fn a_transaction_shows_nothing_before_its_commit_and_everything_after(house: &House<'_>) {
    let (mut reader, mut writer) = (house.client(), house.client());
    for (begin, end) in
        [("BEGIN", "COMMIT"), ("SET autocommit = 0", "COMMIT"), ("BEGIN", "BEGIN"), ("SET autocommit = 0", "SET autocommit = 1")]
    {
        writer.query("SET autocommit = 1").ok();
        let before: i64 = one(&mut reader, N).parse().unwrap();
        writer.query(begin).ok();
        writer.query("UPDATE t SET n = n + 1 WHERE id = 1").ok();
        let hits = house.hits();
        assert_eq!(one(&mut reader, N), before.to_string());
        assert_eq!(house.hits(), hits + 1, "a transaction under way stops no hit");
        assert_eq!(one(&mut writer, N), (before + 1).to_string(), "its own row");
        writer.query(end).ok();
        assert_eq!(one(&mut reader, N), (before + 1).to_string(), "{begin} {end}");
    }
    writer.query("COMMIT").ok();
    writer.query("BEGIN").ok();
    writer.query("UPDATE t SET n = 1000 WHERE id = 1").ok();
    let before = one(&mut reader, N);
    writer.query("ROLLBACK").ok();
    let hits = house.hits();
    assert_eq!(one(&mut reader, N), before);
    assert_eq!(house.hits(), hits + 1, "a rollback makes nothing wrong");
    // An old snapshot fills nothing that others are answered from.
    let mut old = house.client();
    old.query("START TRANSACTION WITH CONSISTENT SNAPSHOT").ok();
    writer.query("UPDATE t SET n = 2000 WHERE id = 1").ok();
    assert_ne!(one(&mut old, N), "2000");
    assert_eq!(one(&mut reader, N), "2000");
}

fn tables_without_transactions_are_seen_at_once(house: &House<'_>) {
    let (mut reader, mut writer) = (house.client(), house.client());
    writer.query("CREATE TABLE m (n INT) ENGINE=MyISAM").ok();
    assert_eq!(one(&mut reader, "SELECT COUNT(*) FROM m"), "0");
    writer.query("BEGIN").ok();
    writer.query("INSERT INTO m VALUES (1)").ok();
    assert_eq!(one(&mut reader, "SELECT COUNT(*) FROM m"), "1");
    writer.query("ROLLBACK").ok();
    writer.query("CREATE UNIQUE INDEX i ON m (n)").ok();
    assert_eq!(one(&mut reader, "SELECT COUNT(*) FROM m"), "1");
    // The first row is there although the statement fails.
    assert_eq!(writer.query("INSERT INTO m VALUES (2), (1)").error(), 1062);
    assert_eq!(one(&mut reader, "SELECT COUNT(*) FROM m"), "2");
}

fn a_schema_change_is_followed(house: &House<'_>) {
    let (mut reader, mut writer) = (house.client(), house.client());
    let all = "SELECT * FROM t WHERE id = 1";
    assert_eq!(reader.query(all).text_rows()[0].len(), 2);
    writer.query("ALTER TABLE t ADD b INT DEFAULT 7").ok();
    assert_eq!(reader.query(all).text_rows()[0].len(), 3);
    assert_eq!(one(&mut reader, "SELECT COUNT(*) FROM t"), "2");
    writer.query("CREATE TABLE late (n INT) ENGINE=InnoDB").ok();
    assert_eq!(one(&mut reader, "SELECT COUNT(*) FROM late"), "0");
    writer.query("CREATE TRIGGER l AFTER UPDATE ON t FOR EACH ROW INSERT INTO late VALUES (1)").ok();
    assert_eq!(one(&mut reader, "SELECT COUNT(*) FROM late"), "0");
    writer.query("UPDATE t SET n = 5 WHERE id = 1").ok();
    assert_eq!(one(&mut reader, "SELECT COUNT(*) FROM late"), "1", "through a trigger that is new");
    let hits = house.hits();
    one(&mut reader, "SELECT COUNT(*) FROM late");
    assert_eq!(house.hits(), hits + 1, "and kept again");
    writer.query("DROP TABLE late").ok();
    assert_eq!(reader.query("SELECT COUNT(*) FROM late").error(), 1146);
}

/// An UPDATE waits for a row lock while a trigger is made on another table: whoever planned before keeps everything fenced until it has ended.
fn a_schema_change_waits_for_those_who_planned_before_it(house: &House<'_>) {
    let (mut reader, mut holder, mut changer) = (house.client(), house.client(), house.client());
    changer.query("CREATE TABLE other (n INT) ENGINE=InnoDB").ok();
    holder.query("BEGIN").ok();
    holder.query("SELECT * FROM t WHERE id = 1 FOR UPDATE").text_rows();
    let mut waiting = house.client();
    let thread = thread::spawn(move || waiting.query("UPDATE t SET n = 6 WHERE id = 1").ok());
    wait_for("the fence of the update", || house.freshness.fences() == 1);
    changer.query("CREATE TABLE another (n INT) ENGINE=InnoDB").ok();
    assert!(house.freshness.fences() >= 2, "everything stays fenced");
    let hits = house.hits();
    assert_eq!(one(&mut reader, "SELECT COUNT(*) FROM other"), "0");
    assert_eq!(one(&mut reader, "SELECT COUNT(*) FROM other"), "0");
    assert_eq!(house.hits(), hits, "nothing is answered from memory");
    holder.query("COMMIT").ok();
    thread.join().unwrap();
    wait_for("the fences to fall", || house.freshness.fences() == 0);
    one(&mut reader, "SELECT COUNT(*) FROM other");
    one(&mut reader, "SELECT COUNT(*) FROM other");
    assert_eq!(house.hits(), hits + 1);
}

fn sessions_that_differ_share_nothing(house: &House<'_>) {
    let (mut one_client, mut other) = (house.client(), house.client());
    one_client.query("CREATE TABLE texts (d TIMESTAMP, s VARCHAR(10)) CHARACTER SET utf8mb4").ok();
    one_client.query("INSERT INTO texts VALUES ('2026-01-01 12:00:00', 'ä')").ok();
    one_client.query("CREATE DATABASE IF NOT EXISTS shop2").ok();
    one_client.query("CREATE TABLE shop2.t (id INT, n INT)").ok();
    one_client.query("INSERT INTO shop2.t VALUES (1, 77)").ok();
    other.query("SET time_zone = '+09:00'").ok();
    let (d, s) = ("SELECT d FROM texts", "SELECT HEX(CONVERT(s USING latin1)), s FROM texts");
    assert_ne!(one(&mut one_client, d), one(&mut other, d));
    assert_ne!(one(&mut one_client, d), one(&mut other, d));
    other.query("SET NAMES latin1").ok();
    assert_ne!(packets(one_client.query(s)), packets(other.query(s)));
    assert_ne!(packets(one_client.query(s)), packets(other.query(s)));
    assert_eq!(one(&mut one_client, N), "10");
    other.query("USE shop2").ok();
    assert_eq!(one(&mut other, N), "77");
    let mut third = Client::login_with(
        &house.listener,
        "app",
        "secret",
        client::PLAIN | Capabilities::DEPRECATE_EOF,
        "mysql_native_password",
        Some("shop"),
    )
    .unwrap();
    assert_eq!((one(&mut third, N), one(&mut third, N)), ("10".into(), "10".into()));
    other.query("DROP DATABASE shop2").ok();
}

fn what_is_not_a_function_of_rows_is_not_kept(house: &House<'_>) {
    let mut client = house.client();
    for sql in [
        "SELECT UUID() FROM t",
        "SELECT NOW(6) FROM t",
        "SELECT RAND() FROM t",
        "SELECT n FROM t WHERE id = 1 FOR UPDATE",
        "SELECT n FROM t WHERE id = 1 LOCK IN SHARE MODE",
        "SELECT COUNT(*) FROM information_schema.TABLES",
        "SELECT 1 + 'x' FROM t",
        "SELECT LAST_INSERT_ID() FROM t",
        "SELECT 1",
    ] {
        let hits = house.hits();
        client.query(sql).text_rows();
        client.query(sql).text_rows();
        assert_eq!(house.hits(), hits, "{sql}");
    }
    one(&mut client, N);
    let digests = house.proxy.status().digests;
    let why = |text: &str| digests.iter().find(|digest| digest.text == text).map(|digest| digest.bypass.clone());
    assert!(why("SELECT UUID() FROM t").is_some_and(|why| why.is_some()), "{digests:?}");
    assert_eq!(why("SELECT n FROM t WHERE id = ?"), Some(None), "it is kept");
    for (before, after) in [
        ("SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED", "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"),
        ("SET sql_mode = 'ANSI_QUOTES'", "SET sql_mode = DEFAULT"),
        ("CREATE TEMPORARY TABLE x (a INT)", "DROP TEMPORARY TABLE x"),
    ] {
        let hits = house.hits();
        client.query(before).ok();
        one(&mut client, N);
        one(&mut client, N);
        assert_eq!(house.hits(), hits, "{before}");
        client.query(after).ok();
    }
}

fn a_lost_answer_keeps_its_fence_until_the_server_is_done(house: &House<'_>) {
    let mut holder = house.client();
    holder.query("BEGIN").ok();
    holder.query("UPDATE t SET n = n + 1 WHERE id = 1").ok();
    let cut = House::new(house.database);
    let mut waiting = cut.client();
    waiting.send(Command::Query(b"UPDATE t SET n = 500 WHERE id = 1"));
    let at_the_server = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'UPDATE t SET n = 500%'";
    // Not by its fence: the log may show commits of the stories before, which are somebody else's to this house, and fenced for a moment.
    wait_for("the update to wait at the server", || one(&mut holder, at_the_server) == "1");
    assert!(cut.freshness.fences() > 0);
    let epoch = cut.freshness.epoch();
    // Its client is cut off. Nobody knows what becomes of the statement until the server's thread is gone: it waits for a lock there.
    cut.proxy.stop(Duration::ZERO);
    wait_for("the thread to be ended", || cut.freshness.epoch() > epoch);
    wait_for("the fence to fall", || cut.freshness.fences() == 0);
    assert_eq!(one(&mut holder, at_the_server), "0");
    holder.query("ROLLBACK").ok();
    assert_eq!(one(&mut holder, N), "10");
    assert_eq!(cut.follow().surprises().1, 1);
}

fn commands_sent_without_waiting_are_answered_in_order(house: &House<'_>) {
    let mut client = house.client();
    one(&mut client, N);
    let hits = house.hits();
    for n in 0..50 {
        client.send(Command::Query(if n % 10 == 3 { b"UPDATE t SET n = n + 1 WHERE id = 1" } else { N.as_bytes() }));
    }
    let mut shown = 10;
    for n in 0..50 {
        client.expect_sequence(1);
        let reply = client.read_reply();
        if n % 10 == 3 {
            reply.ok();
            shown += 1;
        } else {
            assert_eq!(reply.text_rows()[0][0].as_deref(), Some(shown.to_string().as_str()), "answer {n}");
        }
    }
    assert!(house.hits() >= hits + 39, "{}", house.hits() - hits);
}

fn the_short_way_answers_what_the_long_one_would(house: &House<'_>) {
    let at_hand = || house.follow().results().found_at_hand();
    let (mut client, mut other) = (house.client(), house.client());
    for sql in ["CREATE DATABASE IF NOT EXISTS shop2", "CREATE TABLE shop2.t (id INT, n INT)", "INSERT INTO shop2.t VALUES (1, 77)"] {
        client.query(sql).ok();
    }
    let kept = packets(client.query(N));
    assert_eq!((packets(client.query(N)), at_hand()), (kept, 1));
    // Each of these changes what a session is; what is sent right behind it does not find what was true before.
    let all: [(&str, &[&str]); 8] = [
        ("USE shop2", &["77"]),
        ("USE shop", &["10"]),
        ("SET autocommit = 0", &["10"]),
        ("UPDATE t SET n = n + 1 WHERE id = 1", &["11"]),
        ("ROLLBACK", &["10"]),
        ("SET autocommit = 1", &["10"]),
        ("SELECT n, FOUND_ROWS() FROM t LIMIT 0", &["10"]),
        ("SET @a = 1", &["10"]),
    ];
    for (sql, _) in all {
        client.send(Command::Query(sql.as_bytes()));
        client.send(Command::Query(N.as_bytes()));
        client.send(Command::Query(N.as_bytes()));
    }
    for (sql, shown) in all {
        client.expect_sequence(1);
        let _ = client.read_reply();
        for _ in 0..2 {
            client.expect_sequence(1);
            assert_eq!(client.read_reply().text_rows()[0][0].as_deref(), Some(shown[0]), "after {sql}");
        }
    }
    // Pinned by its variable now: its answers are its own.
    let before = at_hand();
    assert_eq!((one(&mut client, N), at_hand()), ("10".into(), before));
    // What looks back finds the rows of an answer from memory.
    let all_rows = "SELECT n FROM t ORDER BY id";
    other.query(all_rows).text_rows();
    other.query(all_rows).text_rows();
    assert_eq!((one(&mut other, "SELECT FOUND_ROWS()"), at_hand()), ("2".into(), before + 1));
    // The second execution brings no types: they are those of the first.
    let statement = other.prepare("SELECT n FROM t WHERE id = ?").unwrap().statement;
    for _ in 0..2 {
        assert_eq!(other.execute(statement, &[Value::Int(2)]).binary_rows()[0][0], Value::Int(20));
    }
    assert_eq!(at_hand(), before + 2);
    let mut without_types = statement.to_le_bytes().to_vec();
    without_types.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0]);
    without_types.extend_from_slice(&2_u64.to_le_bytes());
    other.send(Command::Execute(&without_types));
    assert_eq!((other.read_reply().binary_rows()[0][0].clone(), at_hand()), (Value::Int(20), before + 3));
    // Half a value is nobody's answer.
    other.send(Command::Execute(&without_types[..12]));
    assert!(matches!(other.read_reply(), client::Reply::Error(_)));
    // A writer's own next read, and another's, see what it wrote.
    assert_eq!((one(&mut other, N), one(&mut other, N)), ("10".into(), "10".into()));
    other.query("UPDATE t SET n = 12 WHERE id = 1").ok();
    assert_eq!((one(&mut other, N), one(&mut house.client(), N)), ("12".into(), "12".into()));
    other.query("DROP DATABASE shop2").ok();
}

fn an_error_releases_and_a_lost_lock_shows_nothing(house: &House<'_>) {
    let (mut reader, mut writer) = (house.client(), house.client());
    one(&mut reader, N);
    let hits = house.hits();
    assert_eq!(writer.query("INSERT INTO t VALUES (1, 1)").error(), 1062);
    assert_eq!(one(&mut reader, N), "10");
    assert_eq!(house.hits(), hits + 1, "nothing was changed");
    assert_eq!(house.freshness.fences(), 0);
    // A deadlock rolls back; what the transaction had written is not fenced at the COMMIT that follows.
    let mut other = house.client();
    writer.query("BEGIN").ok();
    other.query("BEGIN").ok();
    writer.query("UPDATE t SET n = 1 WHERE id = 1").ok();
    other.query("UPDATE t SET n = 2 WHERE id = 2").ok();
    let (send, received) = mpsc::channel();
    let thread = thread::spawn(move || {
        let reply = writer.query("UPDATE t SET n = 1 WHERE id = 2");
        send.send(()).unwrap();
        (writer, reply)
    });
    let second = other.query("UPDATE t SET n = 2 WHERE id = 1");
    received.recv().unwrap();
    let (mut writer, first) = thread.join().unwrap();
    assert!(matches!(first, client::Reply::Error(1213)) != matches!(second, client::Reply::Error(1213)), "{first:?} {second:?}");
    writer.query("COMMIT").ok();
    other.query("COMMIT").ok();
    let expected = if matches!(first, client::Reply::Error(_)) { "2" } else { "1" };
    assert_eq!(one(&mut reader, N), expected);
}

fn many_who_ask_the_same_are_answered_by_one(house: &House<'_>) {
    house.unseen("INSERT INTO t SELECT seq, seq FROM seq_3_to_300");
    let clients: Vec<Client> = (0..16).map(|_| house.client()).collect();
    let sql = "SELECT COUNT(*), SUM(a.n * b.n) FROM t a, t b, (SELECT 1 AS x UNION SELECT 2) c";
    let threads: Vec<_> = clients.into_iter().map(|mut client| thread::spawn(move || one(&mut client, sql))).collect();
    let answers: Vec<String> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(house.hits() + house.follow().results().status().misses, 16);
    assert!(house.hits() >= 8, "{} of 16", house.hits());
}

/// With a binary log: rows are told apart, and who writes past the proxy is seen.
#[test]
fn stories_of_rows() {
    let database = MariaDb::with(&["--log-bin=binlog", "--binlog-format=ROW", "--server-id=1", "--binlog-row-image=FULL"]);
    database.run("CREATE DATABASE shop CHARACTER SET utf8mb4; CREATE USER app@'%' IDENTIFIED BY 'secret'; GRANT ALL ON *.* TO app@'%'");
    database.run(
        "USE shop; CREATE TABLE t (id INT PRIMARY KEY, n INT, s VARCHAR(20)) ENGINE=InnoDB; INSERT INTO t VALUES (1, 10, 'a'), (2, 20, 'b');
         CREATE TABLE child (id INT PRIMARY KEY, t INT, n INT, FOREIGN KEY (t) REFERENCES t (id) ON DELETE CASCADE) ENGINE=InnoDB;
         INSERT INTO child VALUES (1, 1, 1), (2, 2, 2)",
    );
    let house = House::new(&database);
    wait_for("the log", || house.follow().mode() == "row-exact");
    let (mut reader, mut writer) = (house.client(), house.client());
    let child = "SELECT COUNT(*) FROM child WHERE t = 2";
    let other = "SELECT n FROM t WHERE id = 2";
    let named = "SELECT n FROM t WHERE s = 'B'";
    for sql in [N, child, other, named] {
        one(&mut reader, sql);
    }
    // Another row's write leaves what was kept alone; its own does not.
    let hits = house.hits();
    writer.query("UPDATE t SET n = n + 1 WHERE id = 1").ok();
    assert_eq!(house.follow().told.counts().1, 1, "the rows of the commit were known");
    assert_eq!((one(&mut reader, other), one(&mut reader, named), one(&mut reader, child)), ("20".into(), "20".into(), "1".into()));
    assert_eq!(house.hits(), hits + 3);
    assert_eq!(one(&mut reader, N), "11");
    writer.query("BEGIN").ok();
    writer.query("UPDATE t SET s = 'c' WHERE id = 2").ok();
    writer.query("COMMIT").ok();
    assert_eq!(reader.query(named).text_rows().len(), 0, "its old value had the name");
    assert_eq!(one(&mut reader, N), "11");
    assert_eq!(house.hits(), hits + 4);
    // A cascade is in no log.
    writer.query("DELETE FROM t WHERE id = 2").ok();
    assert_eq!(one(&mut reader, child), "0");
    // Past the proxy: seen, late by the log.
    one(&mut reader, N);
    house.unseen("UPDATE t SET n = 500 WHERE id = 1");
    wait_for("the write to be seen", || one(&mut reader, N) == "500");
    assert!(house.follow().told.counts().0 >= 1);
    house.unseen("ALTER TABLE t ADD more INT DEFAULT 9");
    wait_for("the change of the schema to be seen", || reader.query("SELECT * FROM t WHERE id = 1").text_rows()[0].len() == 4);
    // Of a table without any key, and of a transaction that was prepared long before.
    writer.query("CREATE TABLE keyless (s VARCHAR(20)) ENGINE=InnoDB").ok();
    let keyless = "SELECT COUNT(*) FROM keyless";
    assert_eq!((one(&mut reader, keyless), one(&mut reader, keyless)), ("0".into(), "0".into()));
    house.unseen("INSERT INTO keyless VALUES ('x')");
    wait_for("the row to be seen", || one(&mut reader, keyless) == "1");
    house.unseen("XA START 'a'; INSERT INTO keyless VALUES ('y'); XA END 'a'; XA PREPARE 'a'");
    wait_for("the fence of what was prepared to fall", || house.freshness.fences() == 0 && one(&mut reader, keyless) == "1");
    assert_eq!(one(&mut reader, keyless), "1", "prepared, and kept again");
    house.unseen("XA COMMIT 'a'");
    wait_for("what was prepared to be seen", || one(&mut reader, keyless) == "2");
    // While a statement is under way that may have made it, nobody knows whose it is. It is fenced all the same; and then it is not the statement's.
    writer.query("INSERT INTO t (id, n) VALUES (2, 20)").ok();
    let mut blocker = house.client();
    blocker.query("BEGIN").ok();
    blocker.query("UPDATE t SET n = 21 WHERE id = 2").ok();
    let told = &house.follow().told;
    let unseen = told.counts().0;
    writer.send(Command::Query(b"UPDATE t SET n = 22 WHERE id = 2"));
    wait_for("the statement to be under way", || told.open().1 == 1);
    house.unseen("UPDATE t SET n = 700 WHERE id = 1");
    wait_for("the transaction", || told.open().0 == 1);
    assert_eq!((told.counts().0, one(&mut reader, N)), (unseen, "700".into()));
    blocker.query("COMMIT").ok();
    writer.read_reply().ok();
    wait_for("the transaction to be somebody else's", || told.counts().0 == unseen + 1 && told.open() == (0, 0));
    wait_for("it to be visible", || house.freshness.fences() == 0);
    assert_eq!((one(&mut reader, N), one(&mut reader, other)), ("700".into(), "22".into()));
    // The end of the log is the end of knowing rows, and nothing else.
    let epoch = house.freshness.epoch();
    let dumps = database.run("SELECT ID FROM information_schema.PROCESSLIST WHERE COMMAND = 'Binlog Dump'");
    database.run(&format!("KILL {}", dumps.trim()));
    wait_for("the loss to be noticed", || house.freshness.epoch() > epoch);
    writer.query("UPDATE t SET n = 600 WHERE id = 1").ok();
    assert_eq!(one(&mut reader, N), "600");
    wait_for("the log to be followed again", || house.follow().mode() == "row-exact");
    house.proxy.stop(Duration::from_secs(5));
}

/// Hears what it is asked to choose a server for.
struct Listens {
    one: OnlyOne,
    fenced: Mutex<Vec<bool>>,
    /// Written past the proxy.
    past: Mutex<Vec<pumasi_binlog::Gtid>>,
}

impl Route for Listens {
    fn choose(&self, errand: &Errand<'_>) -> Choice {
        if errand.nature.reads {
            self.fenced.lock().unwrap().push(errand.fenced);
        }
        self.one.choose(errand)
    }

    fn written_past(&self, gtid: pumasi_binlog::Gtid) {
        self.past.lock().unwrap().push(gtid);
    }
}

/// A replica that has not applied it yet would give the answer from before it, and that would be kept: stamped after the write was bumped, dropped by nothing. The
/// watch of the primary's position alone is up to half a second late.
#[test]
fn whoever_chooses_servers_hears_of_writes_past_the_proxy() {
    let database = MariaDb::with(&["--log-bin=binlog", "--binlog-format=ROW", "--server-id=1", "--binlog-row-image=FULL"]);
    database.run(
        "CREATE DATABASE shop CHARACTER SET utf8mb4; CREATE USER app@'%' IDENTIFIED BY 'secret'; GRANT ALL ON *.* TO app@'%'; USE shop;
         CREATE TABLE t (id INT PRIMARY KEY, n INT)",
    );
    let target = Target::parse(&format!("mysql://app:secret@127.0.0.1:{}", database.port)).unwrap();
    let route = Arc::new(Listens { one: OnlyOne(Server::new(target.clone())), fenced: Mutex::default(), past: Mutex::default() });
    let house = House::with(&database, route.clone(), target);
    wait_for("the log", || house.follow().mode() == "row-exact");
    house.client().query("INSERT INTO t VALUES (1, 10)").ok();
    let seq = house.freshness.seq();
    house.unseen("INSERT INTO t VALUES (2, 20)");
    wait_for("the write to be bumped", || house.follow().told.counts().0 == 1 && house.freshness.seq() > seq);
    let position = database.run("SELECT @@gtid_binlog_pos");
    assert_eq!(route.past.lock().unwrap().iter().map(ToString::to_string).collect::<Vec<_>>(), [position.trim()]);
    house.proxy.stop(Duration::from_secs(5));
}

/// A write of unknown outcome has no position that a replica could be asked for: only its fence says that reads of its tables are the primary's. It was not
/// asked for in the first version.
#[test]
fn whoever_chooses_servers_hears_of_fences() {
    let database = MariaDb::start();
    database.run(
        "CREATE DATABASE shop CHARACTER SET utf8mb4; CREATE USER app@'%' IDENTIFIED BY 'secret'; GRANT ALL ON *.* TO app@'%'; USE shop;
         CREATE TABLE t (id INT PRIMARY KEY, n INT); CREATE TABLE other (id INT PRIMARY KEY, n INT); CREATE VIEW v AS SELECT n FROM t",
    );
    let target = Target::parse(&format!("mysql://app:secret@127.0.0.1:{}", database.port)).unwrap();
    let route = Arc::new(Listens { one: OnlyOne(Server::new(target.clone())), fenced: Mutex::default(), past: Mutex::default() });
    let house = House::with(&database, route.clone(), target);
    let mut reader = house.client();
    let mut fenced = |sql: &str| {
        reader.query(sql).text_rows();
        std::mem::take(&mut *route.fenced.lock().unwrap())
    };
    assert_eq!(fenced("SELECT 1 FROM t"), [false]);
    let fence = house.freshness.fence(Tables::of([pumasi_freshness::Table::named("shop", "t")]));
    assert_eq!(fenced("SELECT 2 FROM t"), [true]);
    assert_eq!(fenced("SELECT 2 FROM v"), [true], "what it stands for");
    assert_eq!(fenced("SELECT 2 FROM other"), [false]);
    assert_eq!(fenced("SELECT 2 FROM other WHERE EXISTS (SELECT 1 FROM t)"), [true]);
    assert_eq!(fenced("SELECT 2 FROM information_schema.TABLES LIMIT 0"), [true], "what it reads is not known");
    fence.commit(&Changes::new());
    assert_eq!(fenced("SELECT 3 FROM t"), [false]);
    house.proxy.stop(Duration::from_secs(5));
}

/// Read by the default settings, everything behind the first backslash is text; under NO_BACKSLASH_ESCAPES it is another statement.
fn a_write_that_other_settings_hide_is_seen(house: &House<'_>) {
    house.unseen("CREATE TABLE u (id INT PRIMARY KEY, n INT) ENGINE=InnoDB; INSERT INTO u VALUES (1, 10)");
    let house = &House::new(house.database);
    let capabilities = client::PLAIN | Capabilities::MULTI_STATEMENTS | Capabilities::MULTI_RESULTS;
    let mut writer = Client::login_with(&house.listener, "app", "secret", capabilities, "mysql_native_password", Some("shop")).unwrap();
    let mut reader = house.client();
    let read = "SELECT n FROM u WHERE id = 1";
    assert_eq!((one(&mut reader, read), one(&mut reader, read)), ("10".into(), "10".into()));
    assert_eq!(house.hits(), 1);
    writer.query("SET sql_mode = 'NO_BACKSLASH_ESCAPES'").ok();
    writer.query_all(r"UPDATE t SET n = LENGTH('\'); UPDATE u SET n = 11 WHERE 'x' = 'x' AND '\' <> ''");
    assert_eq!(one(&mut reader, read), "11");
    writer.query("SET sql_mode = 'ANSI_QUOTES'").ok();
    writer.query(r#"UPDATE "u" SET n = 12"#).ok();
    assert_eq!(one(&mut reader, read), "12");
}

/// Its names were looked up when it was prepared, in another database than the session has today.
fn a_prepared_statement_is_followed_to_the_tables_it_meant(house: &House<'_>) {
    house.unseen("CREATE DATABASE IF NOT EXISTS other; CREATE OR REPLACE TABLE other.t SELECT 1 AS id, 500 AS n");
    let house = &House::new(house.database);
    let (mut writer, mut reader) = (house.client(), house.client());
    let write = writer.prepare("UPDATE t SET n = n + 1 WHERE id = 1").unwrap().statement;
    let read = writer.prepare(N).unwrap().statement;
    let shown = |client: &mut Client, statement| client.execute(statement, &[]).binary_rows().remove(0).remove(0);
    assert_eq!((one(&mut reader, N), shown(&mut writer, read)), ("10".into(), Value::Int(10)));
    writer.query("USE other").ok();
    for n in 11..13 {
        writer.execute(write, &[]).ok();
        assert_eq!((one(&mut reader, N), shown(&mut writer, read)), (n.to_string(), Value::Int(n)));
        assert_eq!((one(&mut writer, N), one(&mut writer, N)), ("500".into(), "500".into()));
    }
    let here = writer.prepare(N).unwrap().statement;
    assert_eq!((shown(&mut writer, here), shown(&mut writer, here)), (Value::Int(500), Value::Int(500)));
    assert_eq!(shown(&mut writer, read), Value::Int(12));
    house.unseen("DROP DATABASE other");
}
