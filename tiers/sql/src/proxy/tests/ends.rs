//! KILL, and the ends of clients, connections and servers.

use super::*;

pub(super) fn who_waits_for_a_limit_can_be_killed_and_can_leave(database: &MariaDb) {
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

pub(super) fn kill_reaches_the_right_statement(database: &MariaDb) {
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

pub(super) fn kill_works_when_the_server_grants_no_further_connection(database: &MariaDb) {
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

pub(super) fn a_connection_that_the_server_has_closed_is_not_used(database: &MariaDb) {
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

pub(super) fn stop_lets_statements_finish(database: &MariaDb) {
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

pub(super) fn the_end_of_the_server_is_an_error_not_a_short_result(database: MariaDb) {
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

/// Those that CONNECTION_ID() and SHOW PROCESSLIST tell, besides the one that a client was greeted with.
pub(super) fn kill_takes_the_servers_numbers_too(database: &MariaDb) {
    let house = House::new(database, 10);
    let (mut killer, mut victim) = (house.client(), house.client());
    assert!(victim.id >= FIRST_CLIENT, "never one of the server's");
    let id: u32 = one(&mut victim, "SELECT CONNECTION_ID()").parse().unwrap();
    assert_eq!(house.pinned(), ["CONNECTION_ID()"], "the number stays true");
    for _ in 0..3 {
        assert_ne!(one(&mut killer, "SELECT @@pseudo_thread_id"), id.to_string());
    }
    killer.query(&format!("KILL QUERY {id}")).ok();
    assert_eq!(one(&mut victim, "SELECT CONNECTION_ID()"), id.to_string(), "nothing ran that could have been ended");
    killer.query(&format!("KILL {id}")).ok();
    assert!(victim.closed(), "the client itself, not only its connection at the server");

    // Of a statement that runs, by the server's own list; its session keeps nothing.
    let mut victim = house.client();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let reply = victim.query("SELECT SLEEP(60) FROM t RIGHT JOIN (SELECT 1) x ON TRUE");
        let _ = sender.send((reply, victim));
    });
    let running = "SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP(60)%'";
    wait_for("the statement to run", || !killer.query(running).text_rows().is_empty());
    let id = one(&mut killer, running);
    killer.query(&format!("KILL QUERY {id}")).ok();
    let (reply, mut victim) = receiver.recv_timeout(PATIENCE).unwrap();
    // SLEEP() that is interrupted is no error at this server: it says 1.
    assert!(reply.is_error(1317) || reply.text_rows() == text(&[&["1"]]), "{reply:?}");
    assert_eq!(one(&mut victim, "SELECT 5"), "5");
    assert_eq!(killer.command(Command::ProcessKill(999_999)).error(), 1094);
    assert_eq!(killer.query(&format!("KILL {}", u32::MAX)).error(), 1094);
}
