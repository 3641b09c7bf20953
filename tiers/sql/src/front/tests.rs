//! The front over an engine that hands the text to SQLite as it is, and a client made of the codec alone: what is tested is the
//! protocol, not a dialect.
pub mod client;
mod stored;
mod toy;

use std::{net::Ipv4Addr, sync::mpsc, thread};

use pumasi_mysqlwire::{Capabilities, Command, ServerStatus, Value};

use self::{
    client::{Client, Reply},
    toy::Toy,
};
use super::*;

/// Long enough for anything that is expected to happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

fn server_with(connections_max: usize, users: &[(&str, &str)]) -> (Server<Toy>, Listener) {
    let users = users.iter().map(|(name, password)| SqlUser { name: (*name).into(), password: (*password).into() }).collect();
    let server = Server::new(Toy, Settings { name: "main".into(), engine: "toy".into(), connections_max, users });
    let listener = server.listen((Ipv4Addr::LOCALHOST, 0).into(), None).expect("loopback has free ports");
    (server, listener)
}

fn server() -> (Server<Toy>, Listener) {
    server_with(50, &[])
}

pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

// === logins ===

#[test]
fn without_users_root_needs_no_password_on_loopback() {
    let (_server, listener) = server();
    assert!(Client::login(&listener, "root", "", client::PLAIN).is_ok());
    assert_eq!(Client::login(&listener, "root", "x", client::PLAIN).err(), Some(1045));
    assert_eq!(Client::login(&listener, "ann", "", client::PLAIN).err(), Some(1045));
}

#[test]
fn users_prove_themselves_with_either_plugin() {
    let (_server, listener) = server_with(50, &[("ann", "secret"), ("bob", "")]);
    for plugin in ["mysql_native_password", "caching_sha2_password", "a_plugin_nobody_has"] {
        let login = |user, password| Client::login_with(&listener, user, password, client::PLAIN, plugin, None).err();
        assert_eq!(login("ann", "secret"), None, "{plugin}");
        assert_eq!(login("bob", ""), None, "{plugin}");
        assert_eq!(login("ann", "Secret"), Some(1045), "{plugin}");
        assert_eq!(login("ann", ""), Some(1045), "{plugin}");
        assert_eq!(login("root", ""), Some(1045), "{plugin}");
    }
}

/// The hash is what MariaDB's `SELECT PASSWORD('secret')` prints.
#[test]
fn a_user_of_whom_only_the_hash_is_known_proves_the_password_natively() {
    const SECRET: [u8; 20] =
        [0x14, 0xe6, 0x55, 0x67, 0xab, 0xdb, 0x51, 0x35, 0xd0, 0xcf, 0xd9, 0xa7, 0x0b, 0x30, 0x32, 0xc1, 0x79, 0xa4, 0x9e, 0xe7];
    let users = vec![SqlUser { name: "ann".into(), password: SqlPassword::NativeHash(SECRET) }];
    let server = Server::new(Toy, Settings { name: "main".into(), engine: "toy".into(), connections_max: 50, users });
    let listener = server.listen((Ipv4Addr::LOCALHOST, 0).into(), None).expect("loopback has free ports");
    for plugin in ["mysql_native_password", "caching_sha2_password", "a_plugin_nobody_has"] {
        let login = |password| Client::login_with(&listener, "ann", password, client::PLAIN, plugin, None);
        assert_eq!(login("Secret").err(), Some(1045), "{plugin}");
        assert_eq!(login("").err(), Some(1045), "{plugin}");
        let mut client = login("secret").unwrap_or_else(|code| panic!("{plugin}: {code}"));
        assert_eq!(client.change_user("ann", "secret", plugin), Ok(()));
        assert_eq!(client.change_user("ann", "guessed", plugin), Err(1045));
    }
}

#[test]
fn every_greeting_has_a_salt_of_its_own() {
    let (_server, listener) = server();
    let salts: std::collections::BTreeSet<_> = (0..20).map(|_| Client::greeting(&listener).salt.0).collect();
    assert_eq!(salts.len(), 20);
}

#[test]
fn an_unknown_database_ends_the_login() {
    let (_server, listener) = server();
    let login = |database| Client::login_with(&listener, "root", "", client::PLAIN, "mysql_native_password", Some(database)).err();
    assert_eq!(login("toy"), None);
    assert_eq!(login("missing"), Some(1049));
}

#[test]
fn the_connection_over_the_limit_is_told_so_and_a_place_that_is_left_is_free() {
    let (server, listener) = server_with(2, &[]);
    let first = Client::root(&listener);
    let _second = Client::root(&listener);
    assert_eq!(Client::login(&listener, "root", "", client::PLAIN).err(), Some(1040));
    assert_eq!(server.status().connections, 2);
    drop(first);
    wait_for("a free place", || Client::login(&listener, "root", "", client::PLAIN).is_ok());
}

// === text statements ===

#[test]
fn rows_come_with_and_without_eof_packets() {
    let (_server, listener) = server();
    for capabilities in [client::PLAIN, client::PLAIN | Capabilities::DEPRECATE_EOF, client::PLAIN | Capabilities::SESSION_TRACK] {
        let mut client = Client::login(&listener, "root", "", capabilities).unwrap();
        let reply = client.query("SELECT 1 AS a, 'x' AS b, NULL AS c UNION ALL SELECT 2, '', 3 ORDER BY 1");
        let row = |values: [Option<&str>; 3]| values.map(|value| value.map(str::to_owned)).to_vec();
        assert_eq!(reply.names(), ["a", "b", "c"]);
        assert_eq!(reply.text_rows(), [row([Some("1"), Some("x"), None]), row([Some("2"), Some(""), Some("3")])]);
    }
}

#[test]
fn ok_carries_affected_rows_insert_id_and_status() {
    let (_server, listener) = server();
    let mut client = Client::root(&listener);
    client.query("CREATE TABLE t (id INTEGER PRIMARY KEY, a INT)").ok();
    let ok = client.query("INSERT INTO t (a) VALUES (1), (2), (3)").ok();
    assert_eq!((ok.affected_rows, ok.last_insert_id), (3, 3));
    assert!(ok.status.contains(ServerStatus::AUTOCOMMIT) && !ok.status.contains(ServerStatus::IN_TRANSACTION));
    assert!(client.query("BEGIN").ok().status.contains(ServerStatus::IN_TRANSACTION));
    assert!(!client.query("COMMIT").ok().status.contains(ServerStatus::IN_TRANSACTION));
}

#[test]
fn an_error_leaves_the_session_usable() {
    let (server, listener) = server();
    let mut client = Client::root(&listener);
    assert_eq!(client.query("SELEKT").error(), 1064);
    assert_eq!(client.query("").error(), 1065);
    assert_eq!(client.query(" /* nothing */ ").error(), 1065);
    assert_eq!(client.query("SELECT 7").text_rows(), [[Some("7".to_owned())]]);
    assert_eq!(server.status().traffic.errors_total, 1);
}

#[test]
fn several_statements_need_the_clients_flag() {
    let (_server, listener) = server();
    let mut plain = Client::root(&listener);
    plain.query("CREATE TABLE t (a INT)").ok();
    assert_eq!(plain.query("INSERT INTO t VALUES (1); DROP TABLE t").error(), 1064);
    assert_eq!(plain.query("SELECT COUNT(*) FROM t").text_rows(), [[Some("0".to_owned())]], "nothing of it ran");
    assert_eq!(plain.query("SELECT 1;").text_rows().len(), 1);

    let mut multi =
        Client::login(&listener, "root", "", client::PLAIN | Capabilities::MULTI_STATEMENTS | Capabilities::MULTI_RESULTS).unwrap();
    let replies =
        multi.query_all("CREATE TABLE t (a INT); INSERT INTO t VALUES (1),(2); SELECT a FROM t; SHOW PROCESSLIST; SELECT 9; -- end");
    assert_eq!(replies.len(), 5);
    assert_eq!(replies[1].clone().ok().affected_rows, 2);
    assert_eq!(replies[2].text_rows().len(), 2);
    assert_eq!(replies[4].text_rows(), [[Some("9".to_owned())]]);
    let replies = multi.query_all("SELECT 1; SELEKT; SELECT 3");
    assert_eq!(replies.len(), 2, "the first error ends them");
    assert_eq!(replies[1].clone().error(), 1064);
}

#[test]
fn set_option_turns_several_statements_on_and_off() {
    let (_server, listener) = server();
    let mut client = Client::root(&listener);
    client.command(Command::SetMultiStatements(true)).ok();
    assert_eq!(client.query_all("SELECT 1; SELECT 2").len(), 2);
    client.command(Command::SetMultiStatements(false)).ok();
    assert_eq!(client.query("SELECT 1; SELECT 2").error(), 1064);
}

#[test]
fn a_result_of_many_megabytes_arrives_whole() {
    let (_server, listener) = server();
    let mut client = Client::root(&listener);
    let reply =
        client.query("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<40000) SELECT i, hex(zeroblob(100)) FROM n");
    let rows = reply.text_rows();
    assert_eq!(rows.len(), 40_000);
    assert!(rows.iter().enumerate().all(|(i, row)| row[0] == Some((i + 1).to_string()) && row[1].as_deref().map(str::len) == Some(200)));
}

#[test]
fn packets_over_16_mib_go_both_ways() {
    let (_server, listener) = server();
    let mut client = Client::root(&listener);
    let long = "x".repeat(17 << 20);
    let rows = client.query(&format!("SELECT '{long}' AS a, length('{long}') AS n")).text_rows();
    assert!(rows[0][0].as_deref() == Some(&long));
    assert_eq!(rows[0][1], Some((17 << 20).to_string()));
}

#[test]
fn an_error_in_the_middle_of_rows_is_never_a_short_result() {
    let (_server, listener) = server();
    let mut client = Client::root(&listener);
    let reply = client.query(
        "SELECT i, CASE WHEN i = 3 THEN abs(-9223372036854775808) ELSE i END FROM (SELECT 1 AS i UNION ALL SELECT 2 UNION ALL SELECT 3)",
    );
    assert_eq!(reply.error(), 1105);
}

#[test]
fn a_change_of_database_is_tracked() {
    let (_server, listener) = server();
    let mut client = Client::login(&listener, "root", "", client::PLAIN | Capabilities::SESSION_TRACK).unwrap();
    assert_eq!(client.query("USE toy").ok().schema.as_deref(), Some("toy"));
    assert_eq!(client.query("USE toy").ok().schema, None, "told once");
    client.command(Command::InitDb(b"other")).ok();
    assert_eq!(client.command(Command::InitDb(b"missing")).error(), 1049);
    assert_eq!(client.query("USE toy").ok().schema.as_deref(), Some("toy"));
}

// === prepared statements ===

#[test]
fn a_prepared_statement_runs_again_and_again() {
    let (server, listener) = server();
    for capabilities in [client::PLAIN, client::PLAIN | Capabilities::DEPRECATE_EOF] {
        let mut client = Client::login(&listener, "root", "", capabilities).unwrap();
        let statement = client.prepare("SELECT ? + 1, ? AS b").unwrap();
        assert_eq!((statement.parameters, statement.columns), (2, 2));
        for i in [1, 41, -5] {
            let reply = client.execute(statement.statement, &[Value::Int(i), Value::Bytes(b"text".to_vec())]);
            assert_eq!(reply.binary_rows(), [[Value::Int(i + 1), Value::Bytes(b"text".to_vec())]]);
        }
        let reply = client.execute(statement.statement, &[Value::Null, Value::Null]);
        assert_eq!(reply.binary_rows(), [[Value::Null, Value::Null]]);
        client.send(Command::CloseStatement(statement.statement));
        assert_eq!(client.execute(statement.statement, &[Value::Null, Value::Null]).error(), 1243);
    }
    wait_for("the statements to be given back", || server.0.statements.load(Ordering::SeqCst) == 0);
}

#[test]
fn long_data_arrives_in_pieces() {
    let (_server, listener) = server();
    let mut client = Client::root(&listener);
    let statement = client.prepare("SELECT length(?), ?").unwrap().statement;
    client.send(Command::LongData { statement, parameter: 0, data: b"hello " });
    client.send(Command::LongData { statement, parameter: 0, data: b"world" });
    let reply = client.execute_sending(statement, &[Value::Bytes(Vec::new()), Value::Int(7)], &[0]);
    assert_eq!(reply.binary_rows(), [[Value::Int(11), Value::Int(7)]]);

    client.send(Command::LongData { statement, parameter: 9, data: b"x" });
    assert_eq!(client.execute(statement, &[Value::Int(1), Value::Int(1)]).error(), 1210, "said by the next execution");
    client.send(Command::LongData { statement, parameter: 0, data: b"forgotten" });
    client.command(Command::ResetStatement(statement)).ok();
    assert_eq!(client.execute(statement, &[Value::Bytes(b"ab".to_vec()), Value::Int(1)]).binary_rows(), [[Value::Int(2), Value::Int(1)]]);
}

#[test]
fn statements_have_a_cap_over_all_connections() {
    let (server, listener) = server();
    let mut client = Client::root(&listener);
    server.0.statements.store(STATEMENTS_MAX - 1, Ordering::SeqCst);
    let statement = client.prepare("SELECT 1").unwrap().statement;
    assert_eq!(client.prepare("SELECT 1").err(), Some(1461));
    client.send(Command::CloseStatement(statement));
    assert!(client.prepare("SELECT 1").is_ok());
    assert_eq!(client.prepare("SELEKT").err(), Some(1461));
}

#[test]
fn what_is_not_there_is_refused_by_its_own_error() {
    let (_server, listener) = server();
    let mut client = Client::root(&listener);
    assert_eq!(client.prepare("SELEKT").err(), Some(1064));
    assert_eq!(client.execute(99, &[]).error(), 1243);
    assert_eq!(client.command(Command::ResetStatement(99)).error(), 1243);
    assert_eq!(client.command(Command::Fetch { statement: 1, rows: 5 }).error(), 1421);
    for command in [0x05, 0x06, 0x08, 0x0d, 0x12, 0x15, 0x1d, 0x1e, 0x20, 0xff] {
        assert_eq!(client.command(Command::Other(command)).error(), 1047, "{command:#x}");
    }
}

// === the session ===

#[test]
fn small_commands_are_answered() {
    let (_server, listener) = server();
    let mut client = Client::root(&listener);
    client.command(Command::Ping).ok();
    assert!(client.statistics().starts_with("Uptime: "));
    client.query("CREATE TABLE ask (id INTEGER PRIMARY KEY, message TEXT, ip_address TEXT)").ok();
    assert_eq!(client.fields("ask", ""), ["id", "message", "ip_address"]);
    assert_eq!(client.fields("ask", "%s%"), ["message", "ip_address"]);
}

#[test]
fn reset_connection_forgets_transaction_and_statements() {
    let (_server, listener) = server();
    let mut client = Client::root(&listener);
    client.query("CREATE TABLE t (a INT)").ok();
    let statement = client.prepare("SELECT 1").unwrap().statement;
    client.query("BEGIN").ok();
    client.query("INSERT INTO t VALUES (1)").ok();
    assert!(!client.command(Command::ResetConnection).ok().status.contains(ServerStatus::IN_TRANSACTION));
    assert_eq!(client.execute(statement, &[]).error(), 1243);
    assert_eq!(client.query("SELECT COUNT(*) FROM t").text_rows(), [[Some("0".to_owned())]]);
}

#[test]
fn change_user_asks_for_a_new_proof() {
    let (_server, listener) = server_with(50, &[("ann", "secret"), ("bob", "hidden")]);
    let mut client = Client::login(&listener, "ann", "secret", client::PLAIN).unwrap();
    assert_eq!(client.change_user("bob", "hidden", "mysql_native_password"), Ok(()));
    assert_eq!(client.query("SELECT user()").text_rows(), [[Some("bob".to_owned())]]);
    assert_eq!(client.change_user("ann", "secret", "caching_sha2_password"), Ok(()));
    assert_eq!(client.query("SELECT user()").text_rows(), [[Some("ann".to_owned())]]);
    assert_eq!(client.change_user("bob", "guessed", "mysql_native_password"), Err(1045));
    assert!(client.closed());
}

// === other connections ===

/// Runs until it is interrupted.
const ENDLESS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT MAX(i) FROM n";

/// Starts a statement that does not end by itself; the answer comes through the channel.
fn endless(mut client: Client) -> mpsc::Receiver<(Reply, Client)> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let reply = client.query(ENDLESS);
        let _ = sender.send((reply, client));
    });
    receiver
}

/// Waits until a connection runs the endless statement.
fn wait_for_endless(server: &Server<Toy>, id: u32) {
    wait_for("the statement to run", || {
        server.0.registry.entries().iter().any(|entry| entry.id == id && entry.activity().sql.contains("RECURSIVE"))
    });
}

#[test]
fn kill_query_ends_the_statement_and_kill_ends_the_connection() {
    let (server, listener) = server();
    let mut killer = Client::root(&listener);
    let victim = Client::root(&listener);
    let id = victim.id;

    let answer = endless(victim);
    wait_for_endless(&server, id);
    let shown = killer.query("SHOW PROCESSLIST").text_rows();
    assert!(shown.iter().any(|row| row[0] == Some(id.to_string()) && row[7].as_deref() == Some(ENDLESS)), "{shown:?}");
    killer.query(&format!("KILL QUERY {id}")).ok();
    let (reply, mut victim) = answer.recv_timeout(PATIENCE).unwrap();
    assert_eq!(reply.error(), 1317);
    victim.command(Command::Ping).ok();

    let answer = endless(victim);
    wait_for_endless(&server, id);
    killer.command(Command::ProcessKill(id)).ok();
    let (reply, mut victim) = answer.recv_timeout(PATIENCE).unwrap();
    assert_eq!(reply.error(), 1317);
    assert!(victim.closed());
    wait_for("the connection to be gone", || killer.query(&format!("KILL {id}")).is_error(1094));
}

#[test]
fn kill_ends_an_idle_connection_and_ones_own() {
    let (server, listener) = server();
    let (mut killer, mut idle) = (Client::root(&listener), Client::root(&listener));
    killer.query(&format!("KILL CONNECTION {}", idle.id)).ok();
    assert!(idle.closed());
    let own = killer.id;
    assert_eq!(killer.query(&format!("KILL {own}")).error(), 1317);
    assert!(killer.closed());
    wait_for("both to be gone", || server.status().connections == 0);
}

// === the end ===

#[test]
fn stop_lets_running_statements_finish_and_closes_the_others() {
    let (server, listener) = server();
    let mut idle = Client::root(&listener);
    let running = Client::root(&listener);
    let id = running.id;
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut running = running;
        let reply = running.query("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 300000) SELECT MAX(i) FROM n");
        let _ = sender.send(reply);
    });
    wait_for_endless(&server, id);
    server.stop(PATIENCE);
    assert!(idle.closed());
    assert_eq!(receiver.recv_timeout(PATIENCE).unwrap().text_rows(), [[Some("300000".to_owned())]]);
    assert_eq!(server.status().connections, 0);
    assert_eq!(Client::login(&listener, "root", "", client::PLAIN).err(), Some(1053));
}

#[test]
fn stop_interrupts_what_does_not_end_by_the_deadline() {
    let (server, listener) = server();
    let client = Client::root(&listener);
    let id = client.id;
    let _answer = endless(client);
    wait_for_endless(&server, id);
    server.stop(Duration::from_millis(50));
    assert_eq!(server.status().connections, 0);
}

#[test]
fn a_dropped_listener_closes_its_address_and_nothing_else() {
    let (server, listener) = server();
    let second = server.listen((Ipv4Addr::LOCALHOST, 0).into(), None).unwrap();
    let mut client = Client::root(&second);
    let address = second.address();
    drop(second);
    assert!(std::net::TcpStream::connect(address).is_err());
    client.command(Command::Ping).ok();
    Client::root(&listener).command(Command::Ping).ok();
    assert_eq!(server.status().address, listener.address().to_string());
}

// === hostile input ===

#[test]
fn bytes_that_are_no_login_get_an_error_and_the_door() {
    let (server, listener) = server();
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 64], b"\x05\0\0\x01\x85\x24\0\0\0", b"\x00\0\0\x01", b"\x01\0\0\x07x"] {
        let mut client = Client::raw(&listener);
        client.write(bytes);
        client.close_writing();
        assert!(client.closed(), "{bytes:?}");
    }
    wait_for("all to be gone", || server.status().connections == 0);
}

#[test]
fn a_malformed_command_ends_its_own_connection_only() {
    let (_server, listener) = server();
    let mut bystander = Client::root(&listener);
    // An empty packet, a command out of sequence, a packet announced larger than allowed, a truncated command.
    for (bytes, error, answered_by) in
        [(&b"\0\0\0\0"[..], 1835, 1), (b"\x01\0\0\x05\x0e", 1156, 0), (b"\xff\xff\xff\0", 0, 0), (b"\x02\0\0\0\x19\x01", 1835, 1)]
    {
        let mut client = Client::root(&listener);
        client.write(bytes);
        client.expect_sequence(answered_by);
        if error == 0 {
            client.close_writing();
        } else {
            assert_eq!(client.read_reply().error(), error, "{bytes:?}");
        }
        assert!(client.closed(), "{bytes:?}");
        bystander.command(Command::Ping).ok();
    }
}

#[test]
fn a_packet_over_the_limit_is_refused_before_it_is_sent() {
    let (_server, listener) = server();
    let mut client = Client::root(&listener);
    // Five packets of 16 MiB make one payload over 64 MiB; the refusal comes with the header that makes it too long.
    let full = vec![b'x'; pumasi_mysqlwire::FRAME_MAX];
    for sequence in 0..4 {
        client.write(&[0xff, 0xff, 0xff, sequence]);
        client.write(&full);
    }
    client.write(&[0xff, 0xff, 0xff, 4]);
    client.expect_sequence(0);
    assert_eq!(client.read_reply().error(), 1153);
}

// === what is counted ===

#[test]
fn status_counts_statements_by_kind_and_digest() {
    let (server, listener) = server();
    let mut client = Client::root(&listener);
    client.query("CREATE TABLE t (a INT)").ok();
    for i in 0..5 {
        client.query(&format!("INSERT INTO t VALUES ({i})")).ok();
        client.query(&format!("SELECT a FROM t WHERE a = {i}")).text_rows();
    }
    server.tick(Instant::now());
    let status = server.status();
    assert_eq!((status.reads_total, status.writes_total), (5, 6));
    assert_eq!(status.traffic.requests_total, 11);
    let digest = status.digests.iter().find(|digest| digest.text == "SELECT a FROM t WHERE a = ?").unwrap();
    assert_eq!((digest.count, digest.rows, digest.errors), (5, 5, 0));
    assert_eq!(server.latency_us().count(), 11);
}

#[test]
fn a_workers_requests_learn_of_its_statements() {
    let (server, _listener) = server();
    let witness = Witness::new();
    let listener = server.listen((Ipv4Addr::LOCALHOST, 0).into(), Some(witness.clone())).unwrap();
    let freshness = pumasi_freshness::Freshness::new();
    let mut client = Client::root(&listener);
    client.query("CREATE TABLE t (a INT)").ok();
    let window = witness.open(&freshness);
    client.query("INSERT INTO t VALUES (1)").ok();
    assert_eq!(window.close().err(), Some(pumasi_freshness::Refusal::Wrote));
}
