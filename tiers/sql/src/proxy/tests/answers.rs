//! What comes back, and what looks back on it.

use super::*;

pub(super) fn everyday_statements_come_back_as_the_server_sent_them(database: &MariaDb) {
    let house = House::new(database, 10);
    for capabilities in [
        client::PLAIN,
        client::PLAIN | Capabilities::DEPRECATE_EOF,
        client::PLAIN | Capabilities::SESSION_TRACK,
        client::PLAIN | Capabilities::SESSION_TRACK | Capabilities::DEPRECATE_EOF,
    ] {
        let mut client = house.client_with(capabilities);
        client.query("DELETE FROM t").ok();
        let ok = client.query("INSERT INTO t (a) VALUES ('x'), ('가나'), (NULL)").ok();
        assert_eq!(ok.affected_rows, 3);
        assert!(ok.last_insert_id > 0);
        let rows = client.query("SELECT a FROM t ORDER BY id").text_rows();
        assert_eq!(rows, [[Some("x".to_owned())], [Some("가나".to_owned())], [None]]);
        assert_eq!(client.query("SELEKT").error(), 1064);
        assert_eq!(client.query("SELECT * FROM missing").error(), 1146);
        assert_eq!(client.query("INSERT INTO t (id) SELECT id FROM t").error(), 1062);
        assert_eq!(client.query("USE other").ok().schema.is_some(), capabilities.contains(Capabilities::SESSION_TRACK));
        assert_eq!(one(&mut client, "SELECT DATABASE()"), "other");
        client.command(Command::InitDb(b"shop")).ok();
        assert_eq!(client.command(Command::InitDb(b"missing")).error(), 1049);
        assert_eq!(client.fields("t", ""), ["id", "a"]);
        assert!(client.statistics().contains("Uptime"));
        client.command(Command::Ping).ok();
        assert_eq!(client.command(Command::Other(0x12)).error(), 1047);
    }
    assert_eq!(house.pinned(), Vec::<&str>::new());
    let status = house.proxy.status();
    assert!(
        status.digests.iter().any(|digest| digest.text == "SELECT a FROM t ORDER BY id" && digest.count == 4 && digest.rows == 12),
        "{status:?}"
    );
    assert!(
        status.digests.iter().all(|digest| digest.count == digest.errors || digest.p50_us > 0 && digest.p50_us <= digest.p99_us),
        "{status:?}"
    );
}

pub(super) fn several_results_and_procedures(database: &MariaDb) {
    let house = House::new(database, 10);
    assert_eq!(house.client().query("SELECT 1; SELECT 2").error(), 1064, "the server refuses: the flag was not set");
    let mut client = house.client_with(client::PLAIN | Capabilities::MULTI_STATEMENTS | Capabilities::MULTI_RESULTS);
    let replies = client.query_all("INSERT INTO t (a) VALUES ('x'); SELECT a FROM t; SELECT 2");
    assert_eq!(replies.len(), 3);
    assert_eq!(replies[1].text_rows(), text(&[&["x"]]));
    assert_eq!(client.query_all("SELECT 1; SELEKT").pop().unwrap().error(), 1064);
    database.run("DROP PROCEDURE IF EXISTS shop.two;\nDELIMITER //\nCREATE PROCEDURE shop.two() BEGIN SELECT 1; SELECT 2; END //");
    let replies = client.query_all("CALL two()");
    assert_eq!((replies.len(), replies[1].text_rows()), (3, text(&[&["2"]])));
    // Each of these results says that a cursor is open, and means the loop's.
    let replies = client.query_all("FOR r IN (SELECT seq FROM seq_1_to_3) DO SELECT r.seq; SELECT 1 LIMIT 0; END FOR");
    assert_eq!((replies.len(), replies[4].text_rows()), (7, text(&[&["3"]])));
    client.command(Command::SetMultiStatements(false)).ok();
    assert_eq!(client.query("SELECT 1; SELECT 2").error(), 1064);
}

pub(super) fn large_rows_and_packets_go_both_ways(database: &MariaDb) {
    let house = House::new(database, 10);
    let mut client = house.client();
    let rows = client.query("SELECT seq, REPEAT('x', 100) FROM seq_1_to_40000").text_rows();
    assert_eq!(rows.len(), 40_000);
    assert_eq!(rows[39_999][0].as_deref(), Some("40000"));
    for length in [100_000, (1 << 24) - 5, (1 << 24) - 4, 17 << 20] {
        let rows = client.query(&format!("SELECT REPEAT('y', {length}), 'end' UNION ALL SELECT 'short', 'end'")).text_rows();
        assert_eq!(rows[0][0].as_deref().map(str::len), Some(length));
        assert_eq!(rows[1], [Some("short".to_owned()), Some("end".to_owned())], "{length}");
    }
    let long = "z".repeat(17 << 20);
    assert_eq!(one(&mut client, &format!("SELECT LENGTH('{long}')")), (17 << 20).to_string());
}

pub(super) fn load_data_local_sends_the_clients_file(database: &MariaDb) {
    let house = House::new(database, 10);
    let mut client = house.client_with(client::PLAIN | Capabilities::LOCAL_FILES);
    let ok = client.load_local("LOAD DATA LOCAL INFILE 'whatever' INTO TABLE t (a)", &[b"one\ntwo\n", b"three\n"]).ok();
    assert_eq!(ok.affected_rows, 3);
    assert_eq!(one(&mut client, "SELECT GROUP_CONCAT(a ORDER BY id) FROM t"), "one,two,three");
    assert_eq!(house.client().query("LOAD DATA LOCAL INFILE 'x' INTO TABLE t (a)").error(), 4166, "not without the client's flag");
}

pub(super) fn a_result_with_rows_says_what_it_changed_whatever_the_client_knows(database: &MariaDb) {
    database.run("DROP FUNCTION IF EXISTS shop.quiet");
    let house = House::new(database, 1);
    house.client().query("CREATE FUNCTION shop.quiet() RETURNS INT NO SQL BEGIN SET @hidden = 7; RETURN 7; END").ok();
    for capabilities in [client::PLAIN, client::PLAIN | Capabilities::DEPRECATE_EOF] {
        let house = House::new(database, 10);
        let (mut ann, mut ben) = (house.client_with(capabilities), house.client_with(capabilities));
        assert_eq!(one(&mut ann, "SELECT quiet()"), "7");
        assert_eq!(house.pinned(), ["session state"], "the function's text was not seen, its effect was");
        assert_eq!(one(&mut ben, "SELECT @hidden"), "NULL");
        assert_eq!(ann.query("SELECT @hidden").text_rows(), text(&[&["7"]]));
    }
}

pub(super) fn functions_that_look_back_are_right_after_multiplexing(database: &MariaDb) {
    let house = House::new(database, 10);
    let (mut ann, mut ben) = (house.client(), house.client());
    let id = ann.query("INSERT INTO t (a) VALUES ('ann')").ok().last_insert_id;
    ben.query("INSERT INTO t (a) VALUES ('ben')").ok();
    assert_eq!(one(&mut ann, "SELECT LAST_INSERT_ID()"), id.to_string(), "another client's insert came between");
    assert_eq!(one(&mut ben, "SELECT LAST_INSERT_ID()"), (id + 1).to_string());

    ann.query("UPDATE t SET a = 'x'").ok();
    ben.query("DELETE FROM t WHERE id = 0").ok();
    assert_eq!(one(&mut ann, "SELECT ROW_COUNT()"), "2");
    ann.query("SELECT * FROM t").text_rows();
    ben.query("SELECT 1").text_rows();
    let found = ann.query("SELECT FOUND_ROWS() AS n");
    assert_eq!((found.names(), found.text_rows()), (vec!["n".to_owned()], text(&[&["2"]])));
    ann.query("SELECT * FROM t").text_rows();
    assert_eq!(one(&mut ann, "SELECT FOUND_ROWS() + 1"), "3", "nobody came between: the server answers");

    ann.query("SELECT 1/0, CAST('x' AS INT)").text_rows();
    ben.query("SELECT 1").text_rows();
    assert_eq!(ann.query("SHOW WARNINGS").text_rows().len(), 2, "warnings keep their connection");
    assert_eq!(ben.query("SHOW WARNINGS").text_rows().len(), 0);
    ann.query("SELECT 1").text_rows();
    assert_eq!(connection_of(&mut ann), connection_of(&mut ben), "and give it back with the next statement");
}

pub(super) fn an_id_that_the_statement_gave_is_not_last_insert_id(database: &MariaDb) {
    let house = House::new(database, 10);
    let (mut ann, mut ben) = (house.client(), house.client());
    let made = ann.query("INSERT INTO t (a) VALUES ('made')").ok().last_insert_id;
    for given in ["INSERT INTO t (id, a) VALUES (900, 'given')", "INSERT INTO t (id, a) VALUES (1900 + 0, 'given')"] {
        assert!(ann.query(given).ok().last_insert_id >= 900);
        ben.query("INSERT INTO t (a) VALUES ('between')").ok();
        assert_eq!(one(&mut ann, "SELECT LAST_INSERT_ID()"), made.to_string(), "{given}");
    }
    let insert = ann.prepare("INSERT INTO t (id, a) VALUES (?, 'given')").unwrap().statement;
    ann.execute(insert, &[Value::Int(2950)]).ok();
    ben.query("SELECT 1").text_rows();
    assert_eq!(one(&mut ann, "SELECT LAST_INSERT_ID()"), made.to_string());
    // On another connection, in the middle of a transaction.
    ben.query("BEGIN").ok();
    ben.query("SELECT * FROM t LIMIT 1").text_rows();
    ann.query("BEGIN").ok();
    ann.query("INSERT INTO t (a) VALUES (LAST_INSERT_ID())").ok();
    assert_eq!(one(&mut ann, &format!("SELECT COUNT(*) FROM t WHERE a = '{made}'")), "1");
    ann.query("COMMIT").ok();
    ben.query("COMMIT").ok();
    // A sequence in the manual's form, and rows that come back.
    ann.query("UPDATE t SET a = LAST_INSERT_ID(77) WHERE a = 'made'").ok();
    ben.query("INSERT INTO t (a) VALUES ('between')").ok();
    assert_eq!(one(&mut ann, "SELECT LAST_INSERT_ID()"), "77");
    let returned = one(&mut ann, "INSERT INTO t (a) VALUES ('returned') RETURNING id");
    ben.query("INSERT INTO t (a) VALUES ('between')").ok();
    assert_eq!(one(&mut ann, "SELECT LAST_INSERT_ID()"), returned);
    assert_eq!(house.pinned(), Vec::<&str>::new());
}

/// COM_REFRESH, which `mariadb-admin flush-privileges` sends.
pub(super) fn administrators_commands_reach_the_server(database: &MariaDb) {
    let house = House::new(database, 10);
    let mut client = house.client();
    one(&mut client, "SELECT COUNT(*) FROM t");
    let before = database.status("Open_tables");
    // Flush the tables: 4.
    client.command(Command::Administer(&[0x07, 0x04])).ok();
    let after = database.status("Open_tables");
    assert!(after < before, "{before} {after}");
    assert_eq!(one(&mut client, "SELECT 5"), "5");
}
