//! What a text means: by the settings of its session, and prepared.

use super::*;

/// What a text leaves behind must not be overlooked because its session's settings make it mean something else, nor be seen where it is not.
pub(super) fn texts_are_read_as_their_session_means_them(database: &MariaDb) {
    let lock_in_quotes: &[u8] = br"SELECT 'a\', GET_LOCK('modes', 0), '\'";
    let lock_behind_name: &[u8] = br#"SELECT 1 AS "\", GET_LOCK('modes', 0) AS "x""#;
    let texts: [(&str, &[u8], Option<&str>); 6] = [
        ("sql_mode = 'NO_BACKSLASH_ESCAPES'", lock_in_quotes, Some("GET_LOCK")),
        ("sql_mode = 'ANSI'", lock_behind_name, Some("GET_LOCK")),
        ("NAMES gbk", b"SELECT '\xbf\x5c', GET_LOCK('modes', 0), '\xbf\x5c'", Some("CALL")),
        ("NAMES gbk", br"SELECT 'ASCII', '\''", None),
        ("sql_mode = 'NO_BACKSLASH_ESCAPES'", br"SELECT 'a\', '@b', 'GET_LOCK()'", None),
        ("sql_mode = ''", br"SELECT 'a\', GET_LOCK(', '@b'", None),
    ];
    for (setting, sql, reason) in texts {
        let house = House::new(database, 10);
        let mut ann = house.client();
        ann.query(&format!("SET {setting}")).ok();
        let reply = ann.command(Command::Query(sql));
        assert!(matches!(reply, Reply::Rows { .. }), "{setting}: {reply:?}");
        assert_eq!(house.pinned(), reason.into_iter().collect::<Vec<_>>(), "{setting}: {}", String::from_utf8_lossy(sql));
    }

    // Nobody sets it: it is the server's default, and a session keeps it when the default changes.
    database.run("SET GLOBAL sql_mode = 'ANSI_QUOTES'");
    let house = House::new(database, 10);
    let (mut ann, mut ben) = (house.client(), house.client());
    let five = r#"SELECT "a" FROM (SELECT 5 AS a) x"#;
    assert_eq!((one(&mut ann, five), one(&mut ben, five)), ("5".into(), "5".into()));
    database.run("SET GLOBAL sql_mode = DEFAULT");
    ben.query("BEGIN").ok();
    let taken = connection_of(&mut ben);
    assert_eq!(one(&mut ann, five), "5", "on a connection that was made after the change");
    assert_ne!(connection_of(&mut ann), taken);
    ann.command(Command::Query(lock_behind_name)).text_rows();
    assert_eq!(house.pinned(), ["GET_LOCK"]);
    assert_eq!(one(&mut house.client(), five), "a", "a session that begins after the change");
}

pub(super) fn a_prepared_text_means_what_it_meant(database: &MariaDb) {
    let house = House::new(database, 10);
    let (mut ann, mut ben) = (house.client(), house.client());
    let statement = ann.prepare(r#"SELECT "a", @@pseudo_thread_id FROM (SELECT 5 AS a) x"#).unwrap().statement;
    let run = |ann: &mut Client| ann.execute(statement, &[]).binary_rows().remove(0);
    let first = run(&mut ann);
    ann.query("SET sql_mode = 'ANSI_QUOTES'").ok();
    assert_eq!(run(&mut ann)[0], Value::Bytes(b"a".to_vec()));
    // Nor on a connection that has never seen it.
    ben.query("BEGIN").ok();
    let mut seen = vec![first[1].clone()];
    let taken = connection_of(&mut ben);
    let again = run(&mut ann);
    assert_eq!(again[0], Value::Bytes(b"a".to_vec()));
    seen.push(again[1].clone());
    assert!(!taken.is_empty() && seen.len() == 2);
    assert_eq!(one(&mut ann, r#"SELECT "a" FROM (SELECT 5 AS a) x"#), "5", "the session itself is where it was");
    // Nor in the middle of a transaction, on a connection that has never been what it was then; character sets and the database included.
    ann.query("SET NAMES latin1 COLLATE latin1_bin").ok();
    ann.query("USE other").ok();
    let mut carl = house.client();
    carl.query("BEGIN").ok();
    ann.query("BEGIN").ok();
    assert_ne!(connection_of(&mut ann), connection_of(&mut carl));
    ann.query("INSERT INTO shop.t (a) VALUES ('kept')").ok();
    let settings = "SELECT @@sql_mode, @@character_set_client, @@character_set_connection, @@collation_connection, DATABASE()";
    let before = ann.query(settings).text_rows();
    assert_eq!(before[0][1..], text(&[&["latin1", "latin1", "latin1_bin", "other"]])[0]);
    assert_eq!(run(&mut ann)[0], Value::Bytes(b"a".to_vec()));
    assert_eq!(ann.query(settings).text_rows(), before, "the session itself is where it was");
    ann.query("ROLLBACK").ok();
    assert_eq!(one(&mut ann, "SELECT COUNT(*) FROM shop.t"), "0", "it was one transaction all the time");
}

pub(super) fn prepared_statements_run_on_any_connection(database: &MariaDb) {
    let house = House::new(database, 10);
    for capabilities in [client::PLAIN, client::PLAIN | Capabilities::DEPRECATE_EOF] {
        let (mut ann, mut ben, mut holder) =
            (house.client_with(capabilities), house.client_with(capabilities), house.client_with(capabilities));
        let insert = ann.prepare("INSERT INTO t (a) VALUES (?)").unwrap();
        assert_eq!((insert.parameters, insert.columns), (1, 0));
        let select = ann.prepare("SELECT ?, a, @@pseudo_thread_id FROM t WHERE a = ?").unwrap().statement;
        let others = ben.prepare("SELECT ?, a, @@pseudo_thread_id FROM t WHERE a = ?").unwrap().statement;
        ann.execute(insert.statement, &[Value::Bytes(b"x".to_vec())]).ok();
        let run =
            |client: &mut Client, statement, value: Value| client.execute(statement, &[value, Value::Bytes(b"x".to_vec())]).binary_rows();
        let first = run(&mut ann, select, Value::Int(7));
        assert_eq!(first[0][..2], [Value::Int(7), Value::Bytes(b"x".to_vec())]);
        // The same statement of the server's, with parameters of other types.
        assert_eq!(run(&mut ben, others, Value::Bytes(b"seven".to_vec()))[0][0], Value::Bytes(b"seven".to_vec()));
        assert_eq!(run(&mut ann, select, Value::Int(8))[0][0], Value::Int(8));
        // The connection is taken, so the statement runs on another, which has never seen it.
        holder.query("BEGIN").ok();
        holder.query("SELECT * FROM t").text_rows();
        let second = run(&mut ann, select, Value::Int(9));
        assert_eq!(second[0][0], Value::Int(9));
        assert_ne!(first[0][2], second[0][2]);
        // MariaDB's own clients name the statement they have just prepared without waiting for its number.
        let latest = ann.prepare("SELECT ? + 1").unwrap().statement;
        assert_eq!(ann.execute(u32::MAX, &[Value::Int(1)]).binary_rows(), [[Value::Int(2)]]);
        ann.send(Command::CloseStatement(latest));
        ann.send(Command::CloseStatement(select));
        assert_eq!(ann.execute(select, &[Value::Null, Value::Null]).error(), 1243);
        assert!(!run(&mut ben, others, Value::Int(1)).is_empty(), "the other's statement is still there");
        assert_eq!(ann.prepare("SELEKT ?").err(), Some(1064));
        assert_eq!(ann.execute(select + 100, &[]).error(), 1243);
        holder.query("COMMIT").ok();
        ann.query("DELETE FROM t").ok();
    }
    assert_eq!(house.pinned(), Vec::<&str>::new());
}

pub(super) fn cursors_and_long_data_hold_their_connection(database: &MariaDb) {
    let house = House::new(database, 10);
    let (mut ann, mut ben) = (house.client(), house.client());
    let statement = ann.prepare("SELECT LENGTH(?), ?").unwrap().statement;
    ann.send(Command::LongData { statement, parameter: 0, data: b"hello " });
    assert_eq!(one(&mut ben, "SELECT 1"), "1");
    ann.send(Command::LongData { statement, parameter: 0, data: b"world" });
    let reply = ann.execute_sending(statement, &[Value::Bytes(Vec::new()), Value::Int(7)], &[0]);
    assert_eq!(reply.binary_rows()[0], [Value::Int(11), Value::Int(7)]);
    assert_eq!(connection_of(&mut ann), connection_of(&mut ben), "given back after the execution");

    ann.query("INSERT INTO t (a) VALUES ('1'), ('2'), ('3'), ('4'), ('5')").ok();
    let statement = ann.prepare("SELECT a FROM t ORDER BY id").unwrap().statement;
    assert_eq!(ann.open_cursor(statement), 1);
    assert_eq!(ann.fetch(statement, 2), Ok((2, false)));
    assert_ne!(connection_of(&mut ben), connection_of(&mut ann), "the cursor is there");
    assert_eq!(ann.fetch(statement, 2), Ok((2, false)));
    assert_eq!(ann.fetch(statement, 2), Ok((1, true)));
    assert_eq!(ann.fetch(statement, 2), Err(1421));
    assert_eq!(connection_of(&mut ben), connection_of(&mut ann));
}

/// The default was changed past Pumasi, which learns of it with the first connection that it makes after that.
pub(super) fn a_session_begins_with_the_default_of_the_moment(database: &MariaDb) {
    let five = r#"SELECT "a" FROM (SELECT 5 AS a) x"#;
    for prepared in [false, true] {
        let house = House::new(database, 10);
        let mut first = house.client();
        assert_eq!(one(&mut first, five), "a");
        first.query("BEGIN").ok();
        database.run("SET GLOBAL sql_mode = 'ANSI_QUOTES'");
        // Logged in by what was known, and sent to a connection that begins otherwise with its first statement.
        let mut second = house.client();
        if prepared {
            let statement = second.prepare(five).unwrap().statement;
            assert_eq!(second.execute(statement, &[]).binary_rows()[0][0], Value::Int(5));
        } else {
            assert_eq!(one(&mut second, five), "5");
        }
        second.query(r#"INSERT INTO t (a) SELECT "a" FROM (SELECT 'GET_LOCK(' AS a) x"#).ok();
        assert_eq!(one(&mut second, "SELECT @@sql_mode"), "ANSI_QUOTES");
        assert_eq!(one(&mut first, "SELECT @@sql_mode LIKE '%STRICT%'"), "1", "a session keeps what it began with");
        database.run("SET GLOBAL sql_mode = DEFAULT");
    }
}
