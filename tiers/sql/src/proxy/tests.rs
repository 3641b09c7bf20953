//! The proxy in front of the machine's own mariadbd, with the client made of the codec. One server for all stories: starting one takes
//! longer than telling them.

use std::{net::Ipv4Addr, sync::mpsc, thread, time::Duration};

use pumasi_config::SqlPassword;
use pumasi_mysqlwire::{Capabilities, Command, ServerStatus, Value, auth::NATIVE};

use super::*;
use crate::front::tests::{
    PATIENCE,
    client::{self, Client, Reply},
    wait_for,
};
use pumasi_test_servers::MariaDb;

struct House {
    proxy: Proxy,
    listener: Listener,
}

impl House {
    /// A proxy of one core, so that clients meet at the same server connections.
    fn new(database: &MariaDb, connections_max: usize) -> House {
        House::with(database, connections_max, Options::default())
    }

    fn with(database: &MariaDb, connections_max: usize, options: Options) -> House {
        House::of(database, Vec::new(), connections_max, options)
    }

    fn of(database: &MariaDb, users: Vec<SqlUser>, connections_max: usize, options: Options) -> House {
        let target = Target::parse(&format!("mysql://app:secret@127.0.0.1:{}", database.port)).unwrap();
        let settings = Settings { name: "main".into(), engine: target.address(), connections_max, users };
        let proxy = Proxy::start(target, settings, options, 1).unwrap();
        let listener = proxy.listen((Ipv4Addr::LOCALHOST, 0).into(), None).unwrap();
        House { proxy, listener }
    }

    fn client(&self) -> Client {
        self.client_with(client::PLAIN)
    }

    fn client_with(&self, capabilities: Capabilities) -> Client {
        Client::login_with(&self.listener, "app", "secret", capabilities, "mysql_native_password", Some("shop")).expect("a login")
    }

    fn pinned(&self) -> Vec<&'static str> {
        self.proxy.pins().into_iter().map(|(reason, _)| reason).collect()
    }
}

impl Drop for House {
    /// Closes what idle connections there are, which the next story may count.
    fn drop(&mut self) {
        self.proxy.stop(Duration::ZERO);
    }
}

type Story = (&'static str, fn(&MariaDb));

const STORIES: [Story; 31] = [
    ("logins_are_checked_here_and_at_the_server", logins_are_checked_here_and_at_the_server),
    ("a_hash_opens_this_side_and_the_login_made_with_it_the_other", a_hash_opens_this_side_and_the_login_made_with_it_the_other),
    ("servers_that_ask_for_ed25519_get_it", servers_that_ask_for_ed25519_get_it),
    ("clients_may_prove_themselves_with_ed25519", clients_may_prove_themselves_with_ed25519),
    ("everyday_statements_come_back_as_the_server_sent_them", everyday_statements_come_back_as_the_server_sent_them),
    ("clients_share_connections_between_transactions", clients_share_connections_between_transactions),
    ("variables_and_database_follow_their_session", variables_and_database_follow_their_session),
    ("what_cannot_be_carried_pins", what_cannot_be_carried_pins),
    ("user_variables_set_to_literals_are_carried", user_variables_set_to_literals_are_carried),
    ("who_waits_for_a_limit_can_be_killed_and_can_leave", who_waits_for_a_limit_can_be_killed_and_can_leave),
    ("texts_are_read_as_their_session_means_them", texts_are_read_as_their_session_means_them),
    ("a_prepared_text_means_what_it_meant", a_prepared_text_means_what_it_meant),
    ("a_session_that_leaves_takes_its_traces_with_it", a_session_that_leaves_takes_its_traces_with_it),
    ("functions_that_look_back_are_right_after_multiplexing", functions_that_look_back_are_right_after_multiplexing),
    ("prepared_statements_run_on_any_connection", prepared_statements_run_on_any_connection),
    ("cursors_and_long_data_hold_their_connection", cursors_and_long_data_hold_their_connection),
    ("several_results_and_procedures", several_results_and_procedures),
    ("large_rows_and_packets_go_both_ways", large_rows_and_packets_go_both_ways),
    ("load_data_local_sends_the_clients_file", load_data_local_sends_the_clients_file),
    ("kill_reaches_the_right_statement", kill_reaches_the_right_statement),
    ("many_clients_share_few_connections", many_clients_share_few_connections),
    ("a_connection_that_the_server_has_closed_is_not_used", a_connection_that_the_server_has_closed_is_not_used),
    ("reset_and_change_of_user_begin_anew", reset_and_change_of_user_begin_anew),
    ("who_logs_in_after_a_change_of_globals_or_accounts_finds_it", who_logs_in_after_a_change_of_globals_or_accounts_finds_it),
    ("locks_and_isolation_stay_with_their_session", locks_and_isolation_stay_with_their_session),
    ("an_id_that_the_statement_gave_is_not_last_insert_id", an_id_that_the_statement_gave_is_not_last_insert_id),
    (
        "a_result_with_rows_says_what_it_changed_whatever_the_client_knows",
        a_result_with_rows_says_what_it_changed_whatever_the_client_knows,
    ),
    ("kill_works_when_the_server_grants_no_further_connection", kill_works_when_the_server_grants_no_further_connection),
    ("a_client_waits_for_a_connection_and_is_told_why_it_gets_none", a_client_waits_for_a_connection_and_is_told_why_it_gets_none),
    ("rules_refuse_and_hold_back", rules_refuse_and_hold_back),
    ("stop_lets_statements_finish", stop_lets_statements_finish),
];

#[test]
fn stories_in_front_of_a_real_server() {
    let database = MariaDb::with(&["--max-connections=100"]);
    database.run("CREATE DATABASE shop CHARACTER SET utf8mb4; CREATE DATABASE other");
    for user in ["app", "bob"] {
        database.run(&format!("CREATE USER {user}@'%' IDENTIFIED BY 'secret'; GRANT ALL ON *.* TO {user}@'%'"));
    }
    for (name, story) in STORIES {
        eprintln!("--- {name}");
        database.run("DROP TABLE IF EXISTS shop.t; CREATE TABLE shop.t (id INT AUTO_INCREMENT PRIMARY KEY, a VARCHAR(100)) ENGINE=InnoDB");
        story(&database);
    }
    // Last, because the server does not come back.
    the_end_of_the_server_is_an_error_not_a_short_result(database);
}

fn text(rows: &[&[&str]]) -> Vec<Vec<Option<String>>> {
    rows.iter().map(|row| row.iter().map(|value| Some((*value).to_owned())).collect()).collect()
}

fn one(client: &mut Client, sql: &str) -> String {
    client.query(sql).text_rows()[0][0].clone().unwrap_or_else(|| "NULL".into())
}

/// The server's number of the connection that a statement of the client's runs on.
fn connection_of(client: &mut Client) -> String {
    one(client, "SELECT CONNECTION_ID()")
}

fn logins_are_checked_here_and_at_the_server(database: &MariaDb) {
    let house = House::new(database, 10);
    assert_eq!(Client::login(&house.listener, "app", "wrong", client::PLAIN).err(), Some(1045));
    assert_eq!(Client::login(&house.listener, "root", "", client::PLAIN).err(), Some(1045), "a user of the server's that is none here");
    let login =
        |database| Client::login_with(&house.listener, "app", "secret", client::PLAIN, "caching_sha2_password", Some(database)).err();
    assert_eq!(login("shop"), None);
    assert_eq!(login("missing"), Some(1049));
    assert!(Client::greeting(&house.listener).version.contains("MariaDB"));

    let nobody = Target::parse("mysql://app:secret@127.0.0.1:1").unwrap();
    let settings = Settings { name: "gone".into(), engine: nobody.address(), connections_max: 10, users: Vec::new() };
    let proxy = Proxy::start(nobody, settings, Options::default(), 1).unwrap();
    let listener = proxy.listen((Ipv4Addr::LOCALHOST, 0).into(), None).unwrap();
    assert_eq!(Client::login(&listener, "app", "secret", client::PLAIN).err(), Some(1429));
}

/// What the server itself says a password's hash is.
fn hashed(database: &MariaDb, name: &str, password: &str) -> SqlUser {
    let printed = database.run(&format!("SELECT PASSWORD('{password}')"));
    let digits = printed.trim().strip_prefix('*').expect("a native hash");
    let hash = std::array::from_fn(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).expect("hexadecimal digits"));
    SqlUser { name: name.into(), password: SqlPassword::NativeHash(hash) }
}

fn a_hash_opens_this_side_and_the_login_made_with_it_the_other(database: &MariaDb) {
    database.run("CREATE USER ann@'%' IDENTIFIED BY 'ann''s own'; GRANT ALL ON shop.* TO ann@'%'");
    let house = House::of(database, vec![hashed(database, "bob", "secret"), hashed(database, "ann", "ann''s own")], 10, Options::default());
    let login = |user, password, plugin| Client::login_with(&house.listener, user, password, client::PLAIN, plugin, Some("shop"));
    for plugin in ["mysql_native_password", "caching_sha2_password", "client_ed25519", "a_plugin_nobody_has"] {
        for wrong in ["Secret", "", "ann's own"] {
            assert_eq!(login("bob", wrong, plugin).err(), Some(1045), "{plugin}");
        }
        let mut bob = login("bob", "secret", plugin).unwrap_or_else(|code| panic!("{plugin}: {code}"));
        assert!(one(&mut bob, "SELECT CURRENT_USER()").starts_with("bob@"));
        assert_eq!(bob.change_user("ann", "ann's own", plugin), Ok(()));
        assert!(one(&mut bob, "SELECT CURRENT_USER()").starts_with("ann@"), "with the key of her own login");
        assert_eq!(bob.change_user("bob", "ann's own", plugin), Err(1045));
    }
    // The second of them is on a connection that the key alone has opened beside the first's.
    let (mut first, mut second) = (login("bob", "secret", NATIVE).unwrap(), login("bob", "secret", NATIVE).unwrap());
    first.query("BEGIN").ok();
    assert_ne!(connection_of(&mut first), connection_of(&mut second));

    // What is written here is not what the server has.
    let house = House::of(database, vec![hashed(database, "bob", "another")], 10, Options::default());
    let login = |password| Client::login_with(&house.listener, "bob", password, client::PLAIN, NATIVE, Some("shop")).err();
    assert_eq!((login("secret"), login("another")), (Some(1045), Some(1045)), "refused here, then there");
    database.run("DROP USER ann@'%'");
}

fn servers_that_ask_for_ed25519_get_it(database: &MariaDb) {
    database.run("INSTALL SONAME 'auth_ed25519'");
    for (user, password) in [("eve", "a pässword, and one longer than the thirty-two bytes of a seed"), ("eva", "x")] {
        database
            .run(&format!("CREATE USER {user}@'%' IDENTIFIED VIA ed25519 USING PASSWORD('{password}'); GRANT ALL ON shop.* TO {user}@'%'"));
        let house = |user| House::of(database, vec![user], 10, Options::default());
        let login = |house: &House, password| Client::login_with(&house.listener, user, password, client::PLAIN, NATIVE, Some("shop"));

        let knowing = house(SqlUser { name: user.into(), password: password.into() });
        let mut client = login(&knowing, password).expect("the password is the server's");
        assert!(one(&mut client, "SELECT CURRENT_USER()").starts_with(user));
        assert_eq!(
            login(&house(SqlUser { name: user.into(), password: "guessed".into() }), "guessed").err(),
            Some(1045),
            "in the server's words"
        );
        // The native hash opens this side, and answers nothing else than native challenges.
        assert_eq!(login(&house(hashed(database, user, password)), password).err(), Some(2059));
        database.run(&format!("DROP USER {user}@'%'"));
    }
}

/// By the codec's client and by MariaDB's own.
fn clients_may_prove_themselves_with_ed25519(database: &MariaDb) {
    let house = House::new(database, 10);
    for (password, refusal) in [("secret", None), ("Secret", Some(1045)), ("", Some(1045))] {
        let login = Client::login_with(&house.listener, "app", password, client::PLAIN, "client_ed25519", Some("shop"));
        assert_eq!(login.err(), refusal);
    }
    assert_eq!(Client::login_with(&house.listener, "nobody", "secret", client::PLAIN, "client_ed25519", None).err(), Some(1045));
    let mut client = house.client();
    assert_eq!(client.change_user("app", "secret", "client_ed25519"), Ok(()));
    let port = house.listener.address().port();
    let program = |password: &str| {
        let mut command = std::process::Command::new("mariadb");
        command.args(["--no-defaults", "--default-auth=client_ed25519", "-h127.0.0.1", "-uapp", "-N", "-eSELECT CURRENT_USER()"]);
        command.args([format!("-P{port}"), format!("-p{password}")]).output().expect("MariaDB's client")
    };
    assert_eq!(String::from_utf8_lossy(&program("secret").stdout).trim(), "app@%");
    assert!(String::from_utf8_lossy(&program("guessed").stderr).contains("1045"));
}

fn everyday_statements_come_back_as_the_server_sent_them(database: &MariaDb) {
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

fn clients_share_connections_between_transactions(database: &MariaDb) {
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

fn variables_and_database_follow_their_session(database: &MariaDb) {
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

fn what_cannot_be_carried_pins(database: &MariaDb) {
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

fn user_variables_set_to_literals_are_carried(database: &MariaDb) {
    let house = House::new(database, 10);
    let (mut ann, mut ben, mut holder) = (house.client(), house.client(), house.client());
    let both = "SELECT CONCAT_WS(',', @a, @b, CONNECTION_ID())";
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

fn who_waits_for_a_limit_can_be_killed_and_can_leave(database: &MariaDb) {
    const LONG: &str = "SELECT SUM(a.seq * b.seq) FROM seq_1_to_1000000 a, seq_1_to_1000000 b WHERE a.seq <> 7";
    let wait = |rules: Rules, server_connections: usize| {
        let options = Options { connections_wait: PATIENCE, connections_max: server_connections, rules, ..Options::default() };
        let house = House::with(database, 10, options);
        // All of them now: a login with a database asks the server for it, and so waits for a connection itself.
        let (mut runner, mut killer, victim, mut leaver) = (house.client(), house.client(), house.client(), house.client());
        let (runner_id, (sender, long)) = (runner.id, mpsc::channel());
        thread::spawn(move || {
            let _ = sender.send(runner.query(LONG));
        });
        let running =
            || database.run("SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SUM(a.seq%'").trim() == "1";
        wait_for("the statement to run", running);
        let waiting = |mut client: Client| {
            let (id, (sender, answer)) = (client.id, mpsc::channel());
            thread::spawn(move || {
                let reply = client.query(&LONG.replace('7', "8"));
                let _ = sender.send((reply, client));
            });
            (id, answer)
        };
        // KILL has no limit to wait for: it is answered here.
        let (id, answer) = waiting(victim);
        let mut interrupted = None;
        wait_for("KILL QUERY to be heard", || {
            killer.query(&format!("KILL QUERY {id}")).ok();
            interrupted = answer.recv_timeout(Duration::from_millis(50)).ok();
            interrupted.is_some()
        });
        let (reply, client) = interrupted.expect("waited for");
        assert_eq!(reply.error(), 1317);

        let (id, answer) = waiting(client);
        killer.query(&format!("KILL {id}")).ok();
        let (reply, mut client) = answer.recv_timeout(PATIENCE).unwrap();
        assert!(reply.is_error(1927) && client.closed(), "{reply:?}");

        wait_for("the victim to be gone", || house.proxy.status().connections == 3);
        leaver.send(Command::Query(LONG.as_bytes()));
        drop(leaver);
        wait_for("its place to be free", || house.proxy.status().connections == 2);
        assert!(running(), "meanwhile nobody had a turn");
        killer.query(&format!("KILL QUERY {runner_id}")).ok();
        assert_eq!(long.recv_timeout(PATIENCE).unwrap().error(), 1317);
        assert_eq!(one(&mut house.client(), "SELECT 5"), "5");
    };
    wait(Rules { user_statements_max: Some(1), ..Rules::default() }, 10);
    wait(Rules { digest_statements_max: Some(1), ..Rules::default() }, 10);
    wait(Rules::default(), 1);
}

/// What a text leaves behind must not be overlooked because its session's settings make it mean something else, nor be seen where it is not.
fn texts_are_read_as_their_session_means_them(database: &MariaDb) {
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

fn a_prepared_text_means_what_it_meant(database: &MariaDb) {
    let house = House::new(database, 10);
    let (mut ann, mut ben) = (house.client(), house.client());
    let statement = ann.prepare(r#"SELECT "a", CONNECTION_ID() FROM (SELECT 5 AS a) x"#).unwrap().statement;
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
    // In the middle of a transaction the connection cannot be brought back to what it was.
    ann.query("BEGIN").ok();
    ann.query("INSERT INTO t (a) VALUES ('kept')").ok();
    let reply = ann.execute(statement, &[]);
    assert!(reply.is_error(1615) || matches!(reply, Reply::Rows { .. }), "{reply:?}");
    ann.query("COMMIT").ok();
    assert_eq!(one(&mut ben, "SELECT COUNT(*) FROM t"), "1");
}

fn a_session_that_leaves_takes_its_traces_with_it(database: &MariaDb) {
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

fn functions_that_look_back_are_right_after_multiplexing(database: &MariaDb) {
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

fn prepared_statements_run_on_any_connection(database: &MariaDb) {
    let house = House::new(database, 10);
    for capabilities in [client::PLAIN, client::PLAIN | Capabilities::DEPRECATE_EOF] {
        let (mut ann, mut ben, mut holder) =
            (house.client_with(capabilities), house.client_with(capabilities), house.client_with(capabilities));
        let insert = ann.prepare("INSERT INTO t (a) VALUES (?)").unwrap();
        assert_eq!((insert.parameters, insert.columns), (1, 0));
        let select = ann.prepare("SELECT ?, a, CONNECTION_ID() FROM t WHERE a = ?").unwrap().statement;
        let others = ben.prepare("SELECT ?, a, CONNECTION_ID() FROM t WHERE a = ?").unwrap().statement;
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

fn cursors_and_long_data_hold_their_connection(database: &MariaDb) {
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

fn several_results_and_procedures(database: &MariaDb) {
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

fn large_rows_and_packets_go_both_ways(database: &MariaDb) {
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

fn load_data_local_sends_the_clients_file(database: &MariaDb) {
    let house = House::new(database, 10);
    let mut client = house.client_with(client::PLAIN | Capabilities::LOCAL_FILES);
    let ok = client.load_local("LOAD DATA LOCAL INFILE 'whatever' INTO TABLE t (a)", &[b"one\ntwo\n", b"three\n"]).ok();
    assert_eq!(ok.affected_rows, 3);
    assert_eq!(one(&mut client, "SELECT GROUP_CONCAT(a ORDER BY id) FROM t"), "one,two,three");
    assert_eq!(house.client().query("LOAD DATA LOCAL INFILE 'x' INTO TABLE t (a)").error(), 4166, "not without the client's flag");
}

fn kill_reaches_the_right_statement(database: &MariaDb) {
    let house = House::new(database, 10);
    let mut killer = house.client();
    let sleeper = |mut client: Client| {
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let reply = client.query("SELECT SUM(a.seq * b.seq) FROM seq_1_to_1000000 a, seq_1_to_1000000 b");
            let _ = sender.send((reply, client));
        });
        receiver
    };
    let running =
        |killer: &mut Client| one(killer, "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SUM(a.seq%'") == "1";
    let victim = house.client();
    let id = victim.id;
    let answer = sleeper(victim);
    wait_for("the statement to run", || running(&mut killer));
    killer.query(&format!("KILL QUERY {id}")).ok();
    let (reply, mut victim) = answer.recv_timeout(PATIENCE).unwrap();
    assert_eq!(reply.error(), 1317);
    assert_eq!(one(&mut victim, "SELECT 5"), "5");

    let answer = sleeper(victim);
    wait_for("the statement to run", || running(&mut killer));
    killer.command(Command::ProcessKill(id)).ok();
    let (reply, mut victim) = answer.recv_timeout(PATIENCE).unwrap();
    assert_eq!(reply.error(), 1317);
    assert!(victim.closed());
    assert_eq!(killer.query("KILL 999999").error(), 1094);
}

fn many_clients_share_few_connections(database: &MariaDb) {
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

fn a_connection_that_the_server_has_closed_is_not_used(database: &MariaDb) {
    let house = House::new(database, 10);
    let mut client = house.client();
    for _ in 0..5 {
        let connection = connection_of(&mut client);
        database.run(&format!("KILL {connection}"));
        let gone = || database.run(&format!("SELECT COUNT(*) FROM information_schema.processlist WHERE id = {connection}")).trim() == "0";
        wait_for("the server to close it", gone);
        assert_ne!(connection_of(&mut client), connection);
    }
    client.query("BEGIN").ok();
    let connection = connection_of(&mut client);
    database.run(&format!("KILL {connection}"));
    // The server's goodbye may still be read as the answer; the loss is told at the latest by the next statement.
    let reply = client.query("SELECT 1");
    assert!(reply.is_error(1158) || (reply.is_error(1927) && client.query("SELECT 1").is_error(1158)), "{reply:?}");
    assert!(client.closed(), "its transaction is lost, so its session ends");
}

fn reset_and_change_of_user_begin_anew(database: &MariaDb) {
    let users = ["app", "bob"].map(|name| SqlUser { name: name.into(), password: "secret".into() }).to_vec();
    let house = House::of(database, users, 10, Options::default());
    let listener = &house.listener;
    let mut client = Client::login_with(listener, "app", "secret", client::PLAIN, "mysql_native_password", Some("shop")).unwrap();
    client.query("SET @a = 5, autocommit = 0").ok();
    client.query("INSERT INTO t (a) VALUES ('gone')").ok();
    let statement = client.prepare("SELECT 1").unwrap().statement;
    client.command(Command::ResetConnection).ok();
    assert_eq!(
        client.query("SELECT @a, @@autocommit, DATABASE(), (SELECT COUNT(*) FROM t)").text_rows()[0][1..],
        text(&[&["1", "shop", "0"]])[0]
    );
    assert_eq!(one(&mut client, "SELECT @a"), "NULL");
    assert_eq!(client.execute(statement, &[]).error(), 1243);
    assert_eq!(client.change_user("bob", "secret", "mysql_native_password"), Ok(()));
    assert!(one(&mut client, "SELECT CURRENT_USER()").starts_with("bob@"));
    // Who fails stays who he was, and may not try for ever.
    for _ in 0..3 {
        assert_eq!(client.change_user("app", "wrong", "mysql_native_password"), Err(1045));
    }
    assert!(one(&mut client, "SELECT CURRENT_USER()").starts_with("bob@"));
    assert_eq!(client.change_user("app", "secret", "mysql_native_password"), Err(1047));
}

fn who_logs_in_after_a_change_of_globals_or_accounts_finds_it(database: &MariaDb) {
    let users = ["app", "carl"].map(|name| SqlUser { name: name.into(), password: "secret".into() }).to_vec();
    let house = House::of(database, users, 10, Options::default());
    let login = |name| Client::login_with(&house.listener, name, "secret", client::PLAIN, "mysql_native_password", None);
    let mut ann = login("app").unwrap();
    let before = one(&mut ann, "SELECT @@sql_mode");
    assert_ne!(before, "");
    ann.query("SET GLOBAL sql_mode = ''").ok();
    assert_eq!(one(&mut login("app").unwrap(), "SELECT @@sql_mode"), "");
    assert_eq!(one(&mut ann, "SELECT @@sql_mode"), before, "a session keeps what it began with");
    ann.query("SET GLOBAL sql_mode = DEFAULT").ok();
    ann.query("CREATE USER carl@'%' IDENTIFIED BY 'secret'").ok();
    assert_eq!(one(&mut login("carl").unwrap(), "SELECT 1"), "1");
    ann.query("DROP USER carl@'%'").ok();
    // The server is asked with the first statement.
    assert_eq!(login("carl").unwrap().query("SELECT 1").error(), 1045, "not on the connection that the account before it has left");
}

fn locks_and_isolation_stay_with_their_session(database: &MariaDb) {
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

fn stop_lets_statements_finish(database: &MariaDb) {
    let house = House::new(database, 10);
    let mut idle = house.client();
    let mut running = house.client();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let _ = sender.send(running.query("SELECT SLEEP(0.5), 'done'"));
    });
    wait_for("the statement to run", || {
        one(&mut idle, "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP(0.5)%'") == "1"
    });
    house.proxy.stop(PATIENCE);
    assert!(idle.closed());
    assert_eq!(receiver.recv_timeout(PATIENCE).unwrap().text_rows(), text(&[&["0", "done"]]));
    assert_eq!(house.proxy.status().connections, 0);
}

fn the_end_of_the_server_is_an_error_not_a_short_result(database: MariaDb) {
    let house = House::new(&database, 10);
    let (mut ann, mut ben) = (house.client(), house.client());
    ann.query("BEGIN").ok();
    ann.query("INSERT INTO t (a) VALUES ('unknown')").ok();
    let (sender, receiver) = mpsc::channel();
    let mut reader = house.client();
    thread::spawn(move || {
        let reply = reader.query("SELECT seq, SLEEP(0.01) FROM seq_1_to_1000000");
        let _ = sender.send(reply);
    });
    wait_for("the rows to begin", || {
        one(&mut ben, "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT seq%'") == "1"
    });
    drop(database);
    assert_eq!(receiver.recv_timeout(PATIENCE).unwrap().error(), 1158);
    assert_eq!(ann.query("COMMIT").error(), 1158);
    assert!(ann.closed(), "its transaction is lost, so its session ends");
    assert!(matches!(ben.query("SELECT 1"), Reply::Error(1429 | 1158)));
    let (patience, begun) = (Duration::from_secs(20), Instant::now());
    assert_eq!(ben.query("SELECT 1").error(), 1429);
    assert!(begun.elapsed() < patience);
}

fn an_id_that_the_statement_gave_is_not_last_insert_id(database: &MariaDb) {
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

fn a_result_with_rows_says_what_it_changed_whatever_the_client_knows(database: &MariaDb) {
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

fn kill_works_when_the_server_grants_no_further_connection(database: &MariaDb) {
    // The stories before may still be saying goodbye.
    wait_for("nobody to be connected", || database.status("Threads_connected") == 1);
    database.run("SET GLOBAL max_connections = 10");
    let house = House::with(database, 20, Options { connections_max: 9, ..Options::default() });
    let mut killer = house.client();
    let mut clients: Vec<Client> = (0..8).map(|_| house.client()).collect();
    clients.iter_mut().for_each(|client| drop(client.query("BEGIN").ok()));
    let mut victim = house.client();
    let id = victim.id;
    let (sender, answer) = mpsc::channel();
    thread::spawn(move || {
        let _ = sender.send(victim.query("SELECT SUM(a.seq * b.seq) FROM seq_1_to_1000000 a, seq_1_to_1000000 b"));
    });
    wait_for("the server to be full", || database.status("Threads_connected") == 11);
    killer.query(&format!("KILL QUERY {id}")).ok();
    assert_eq!(answer.recv_timeout(PATIENCE).unwrap().error(), 1317);
    drop(clients);
    database.run("SET GLOBAL max_connections = 151");
}

fn a_client_waits_for_a_connection_and_is_told_why_it_gets_none(database: &MariaDb) {
    let options = Options { connections_max: 1, connections_wait: Duration::from_millis(200), ..Options::default() };
    let house = House::with(database, 20, options);
    let (mut ann, mut ben) = (house.client(), house.client());
    ann.query("BEGIN").ok();
    assert_eq!(ben.query("SELECT 1").error(), 1040);
    ann.query("COMMIT").ok();
    assert_eq!(one(&mut ben, "SELECT 1"), "1");
}

fn rules_refuse_and_hold_back(database: &MariaDb) {
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
