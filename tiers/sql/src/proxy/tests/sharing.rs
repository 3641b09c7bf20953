//! Connections that several clients share, and what each of them finds there.

use super::*;

pub(super) fn clients_share_connections_between_transactions(database: &MariaDb) {
    let house = House::new(database, 10);
    let (mut ann, mut ben) = (house.client(), house.client());
    let shared = connection_of(&mut ann);
    assert_eq!(connection_of(&mut ben), shared, "nobody holds it");
    assert!(ann.query("BEGIN").ok().status.contains(ServerStatus::IN_TRANSACTION));
    ann.query("INSERT INTO t (a) VALUES ('mine')").ok();
    assert_ne!(connection_of(&mut ben), connection_of(&mut ann), "a transaction holds its connection");
    assert_eq!(one(&mut ben, "SELECT COUNT(*) FROM t"), "0");
    ann.query("COMMIT").ok();
    assert_eq!(one(&mut ben, "SELECT COUNT(*) FROM t"), "1");
    // Without autocommit every statement is a transaction that waits for its end.
    ann.query("SET autocommit=0").ok();
    ann.query("INSERT INTO t (a) VALUES ('later')").ok();
    assert_eq!(one(&mut ben, "SELECT COUNT(*) FROM t"), "1");
    ann.query("ROLLBACK").ok();
    assert_eq!(one(&mut ben, "SELECT @@autocommit"), "1", "the other's setting is not ours");
    assert_eq!(one(&mut ann, "SELECT @@autocommit"), "0");
    assert!(!ann.command(Command::Ping).ok().status.contains(ServerStatus::AUTOCOMMIT));
}

pub(super) fn variables_and_database_follow_their_session(database: &MariaDb) {
    let house = House::new(database, 10);
    let mut clients: Vec<Client> = (0..3).map(|_| house.client()).collect();
    clients[0].query("SET NAMES latin1, time_zone='+09:00', sql_mode='ANSI_QUOTES', wait_timeout=77").ok();
    clients[1].query("SET character_set_results=NULL, sql_mode='', group_concat_max_len=5").ok();
    clients[1].query("USE other").ok();
    for _ in 0..3 {
        let names = "SELECT CONCAT_WS(',', @@character_set_client, IFNULL(@@character_set_results,'null'), @@time_zone, @@wait_timeout, @@group_concat_max_len, DATABASE())";
        assert_eq!(one(&mut clients[0], names), "latin1,latin1,+09:00,77,1048576,shop");
        assert_eq!(one(&mut clients[1], names), "utf8mb4,null,SYSTEM,28800,5,other");
        assert_eq!(one(&mut clients[2], names), "utf8mb4,utf8mb4,SYSTEM,28800,1048576,shop");
        clients[0].query("SET NAMES latin1 COLLATE latin1_german2_ci").ok();
        assert_eq!(one(&mut clients[0], "SELECT @@session.collation_connection"), "latin1_german2_ci");
        assert_eq!(one(&mut clients[2], "SELECT 'x' = 'X'"), "1");
        assert_eq!(one(&mut clients[0], "SELECT 'ä' = 'ae'"), one(&mut clients[0], "SELECT 'ä' COLLATE latin1_german2_ci = 'ae'"));
        clients[0].query("SET NAMES latin1").ok();
        assert_eq!(one(&mut clients[0], "SELECT CONCAT(@@collation_database, COLLATION('x'))"), "utf8mb4_general_cilatin1_swedish_ci");
        assert_eq!(one(&mut clients[0], "SELECT \"a\" FROM (SELECT 5 AS a) x"), "5", "a quoted name under ANSI_QUOTES");
        assert_eq!(one(&mut clients[2], "SELECT \"a\" FROM (SELECT 5 AS a) x"), "a", "a string without");
    }
    assert_eq!(house.pinned(), Vec::<&str>::new());
}

pub(super) fn what_cannot_be_carried_pins(database: &MariaDb) {
    for (sql, reason) in [
        ("SET @a = 5 + 0", "user variable"),
        ("CREATE TEMPORARY TABLE x (a INT)", "temporary table"),
        ("SELECT GET_LOCK('pumasi', 1)", "GET_LOCK"),
        ("PREPARE p FROM 'SELECT 1'", "PREPARE"),
        ("SET sql_mode = '', collation_connection = utf8mb4_bin", "SET collation"),
    ] {
        let house = House::new(database, 10);
        let (mut ann, mut ben) = (house.client(), house.client());
        assert!(!matches!(ann.query(sql), Reply::Error(_)), "{sql}");
        assert_eq!(house.pinned(), [reason]);
        assert_ne!(connection_of(&mut ben), connection_of(&mut ann), "{sql}");
        if sql.contains("@a") {
            assert_eq!((one(&mut ann, "SELECT @a"), one(&mut ben, "SELECT @a")), ("5".into(), "NULL".into()));
        }
    }
    // The server tells what a text does not show: the variable is set inside.
    let house = House::new(database, 10);
    database.run("DROP PROCEDURE IF EXISTS shop.remember; CREATE PROCEDURE shop.remember() SET @inside = 1");
    let mut ann = house.client_with(client::PLAIN | Capabilities::MULTI_RESULTS);
    ann.query("CALL remember()").ok();
    assert_eq!(one(&mut ann, "SELECT @inside"), "1");
}

pub(super) fn user_variables_set_to_literals_are_carried(database: &MariaDb) {
    let house = House::new(database, 10);
    let (mut ann, mut ben, mut holder) = (house.client(), house.client(), house.client());
    let both = "SELECT CONCAT_WS(',', @a, @b, @@pseudo_thread_id)";
    ann.query("SET @a = 5, @b := 'x'").ok();
    ben.query("SET @b = 'y'").ok();
    let connection = connection_of(&mut holder);
    for _ in 0..3 {
        assert_eq!((one(&mut ann, both), one(&mut ben, both)), (format!("5,x,{connection}"), format!("y,{connection}")));
    }
    assert_eq!(one(&mut holder, "SELECT @b"), "NULL");
    holder.query("BEGIN").ok();
    assert_eq!(connection_of(&mut holder), connection);
    assert!(one(&mut ann, both).starts_with("5,x,"), "on a connection that has never seen it");
    assert_ne!(connection_of(&mut ann), connection);
    holder.query("COMMIT").ok();

    // Not named in the statement that depends on it.
    database.run("CREATE TRIGGER shop.who BEFORE INSERT ON shop.t FOR EACH ROW SET NEW.a = @b");
    for client in [&mut ann, &mut ben, &mut holder] {
        client.query("INSERT INTO t (a) VALUES ('nobody')").ok();
    }
    assert_eq!(one(&mut holder, "SELECT GROUP_CONCAT(IFNULL(a, '-') ORDER BY id) FROM t"), "x,y,-");
    let read = ben.prepare("SELECT @b").unwrap().statement;
    ben.query("SET @b = 'z'").ok();
    assert_eq!(ben.execute(read, &[]).binary_rows(), [[Value::Bytes(b"z".to_vec())]]);
    ben.command(Command::ResetConnection).ok();
    assert_eq!(one(&mut ben, "SELECT @b"), "NULL");
    assert_eq!(house.pinned(), Vec::<&str>::new());

    // It has the collation of the moment in which it was set.
    ann.query("SET NAMES latin1").ok();
    assert_eq!(house.pinned(), ["user variable of another character set"]);
    assert_eq!(one(&mut ann, "SELECT COLLATION(@b)"), "utf8mb4_general_ci");
}

pub(super) fn a_session_that_leaves_takes_its_traces_with_it(database: &MariaDb) {
    let house = House::new(database, 10);
    let mut ann = house.client();
    ann.query("SET @a = 5").ok();
    ann.query("CREATE TEMPORARY TABLE t (b INT)").ok();
    ann.query("SELECT GET_LOCK('leaving', 1)").text_rows();
    let connection = connection_of(&mut ann);
    let mut ben = house.client();
    ben.query("BEGIN").ok();
    ben.query("INSERT INTO t (a) VALUES ('lost')").ok();
    drop((ann, ben));
    wait_for("both to be gone", || house.proxy.status().connections == 0);
    let mut next = house.client();
    wait_for("the lock to be free", || one(&mut next, "SELECT IS_FREE_LOCK('leaving')") == "1");
    assert_eq!(one(&mut next, "SELECT COUNT(*) FROM t"), "0", "the temporary table hides it no more, the insert is rolled back");
    let mut another = house.client();
    let mut connections = vec![];
    for client in [&mut next, &mut another] {
        client.query("BEGIN").ok();
        connections.push(connection_of(client));
        assert_eq!(one(client, "SELECT @a"), "NULL");
    }
    assert!(connections.contains(&connection), "the connection was cleaned and given to the next");
}

pub(super) fn many_clients_share_few_connections(database: &MariaDb) {
    let house = House::new(database, 300);
    let before: u64 = database.status("Connections");
    let mut clients: Vec<Client> = (0..200).map(|_| house.client()).collect();
    for round in 0..3 {
        for (i, client) in clients.iter_mut().enumerate() {
            let answer = one(client, &format!("SELECT {round} * 1000 + {i}"));
            assert_eq!(answer, (round * 1000 + i).to_string());
        }
    }
    let used = database.status("Connections") - before;
    assert!(used < 10, "200 clients took {used} connections of the server");
}

pub(super) fn locks_and_isolation_stay_with_their_session(database: &MariaDb) {
    let house = House::new(database, 10);
    let (mut ann, mut ben) = (house.client(), house.client());
    ann.query("LOCK TABLES t WRITE").ok();
    assert_ne!(connection_of(&mut ben), connection_of(&mut ann));
    ann.query("UNLOCK TABLES").ok();

    let house = House::new(database, 10);
    let (mut ann, mut ben) = (house.client(), house.client());
    ann.query("SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED").ok();
    ben.query("BEGIN").ok();
    ben.query("INSERT INTO t (a) VALUES ('dirty')").ok();
    ann.query("BEGIN").ok();
    assert_eq!(one(&mut ann, "SELECT COUNT(*) FROM t"), "1", "the next transaction reads what is not committed");
    ann.query("COMMIT").ok();
    ann.query("BEGIN").ok();
    assert_eq!(one(&mut ann, "SELECT COUNT(*) FROM t"), "0", "and the one after that does not");
    ann.query("COMMIT").ok();
    ben.query("ROLLBACK").ok();
    assert_eq!(connection_of(&mut ann), connection_of(&mut ben));
}

pub(super) fn a_client_waits_for_a_connection_and_is_told_why_it_gets_none(database: &MariaDb) {
    let options = Options { connections_max: 1, connections_wait: Duration::from_millis(200), ..Options::default() };
    let house = House::with(database, 20, options);
    let (mut ann, mut ben) = (house.client(), house.client());
    ann.query("BEGIN").ok();
    assert_eq!(ben.query("SELECT 1").error(), 1040);
    ann.query("COMMIT").ok();
    assert_eq!(one(&mut ben, "SELECT 1"), "1");
}

pub(super) fn rules_refuse_and_hold_back(database: &MariaDb) {
    let rules = Rules { deny: vec!["DELETE FROM t".into()], user_statements_max: Some(1), ..Rules::default() };
    let house = House::with(database, 10, Options { connections_wait: Duration::from_millis(200), rules, ..Options::default() });
    let (mut ann, mut ben) = (house.client_with(client::PLAIN | Capabilities::MULTI_STATEMENTS), house.client());
    for denied in ["DELETE FROM t", "delete from t", "SELECT 1; DELETE FROM t"] {
        assert_eq!(ann.query(denied).error(), 1148, "{denied}");
    }
    assert_eq!(ann.prepare("DELETE FROM t").err(), Some(1148));
    assert_eq!(one(&mut ann, "SELECT 5"), "5", "and the session goes on");
    // One statement of a user at a time.
    let id = ann.id;
    let (sender, answer) = mpsc::channel();
    thread::spawn(move || {
        let _ = sender.send(ann.query("SELECT SUM(a.seq * b.seq) FROM seq_1_to_1000000 a, seq_1_to_1000000 b"));
    });
    wait_for("the limit to hold", || ben.query("SELECT 1").is_error(1226));
    ben.query(&format!("KILL QUERY {id}")).ok();
    assert_eq!(answer.recv_timeout(PATIENCE).unwrap().error(), 1317);

    // One statement of a shape at a time; others pass.
    let rules = Rules { digest_statements_max: Some(1), ..Rules::default() };
    let house = House::with(database, 10, Options { connections_wait: Duration::from_millis(200), rules, ..Options::default() });
    let (mut ann, mut ben) = (house.client(), house.client());
    let id = ann.id;
    let long = |end: &str| format!("SELECT SUM(a.seq * b.seq), '{end}' FROM seq_1_to_1000000 a, seq_1_to_1000000 b");
    let (sender, answer) = mpsc::channel();
    let first = long("first");
    thread::spawn(move || {
        let _ = sender.send(ann.query(&first));
    });
    let running = || database.run("SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SUM(a.seq%'").trim() == "1";
    wait_for("the first of them to run", running);
    assert_eq!(ben.query(&long("second")).error(), 1226);
    assert_eq!(one(&mut ben, "SELECT 5"), "5");
    ben.query(&format!("KILL QUERY {id}")).ok();
    assert_eq!(answer.recv_timeout(PATIENCE).unwrap().error(), 1317);
    wait_for("the limit to be free", || !ben.query("SELECT 1").is_error(1226));
}
