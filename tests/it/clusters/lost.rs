//! Writes whose answers were lost.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use mysql_async::{prelude::*, *};

use serde_json::Value;

use super::{
    checker::blocking,
    cluster,
    relay::Relay,
    servers::{Fault, Servers},
    whole,
};
use crate::service::Service;

const PATIENCE: Duration = Duration::from_secs(40);

/// The connection breaks while its UPDATE waits for a lock. Nobody knows the outcome, and the server goes on: the commit that comes a while
/// later must not be missed by a replica that is where the primary was when the connection broke.
#[test]
fn a_write_whose_answer_was_lost_counts_until_the_server_has_ended_it() {
    let servers = Servers::together(2);
    let relay = Relay::to(servers.server(0).port, b"/* cut */");
    let mut service = Service::run(&servers.configuration_with(&format!("127.0.0.1:{}", relay.port)), &[]);
    service.wait_until("the replica follows", |service| whole(&cluster(service)));
    let address = service.database();
    let direct = |number: usize| SocketAddr::from(([127, 0, 0, 1], servers.server(number).port));
    let replica_reads = |service: &Service| cluster(service)["replica_reads_total"].as_u64().expect("a number");
    blocking(async {
        let mut client = connect(address).await;
        client.query_drop("CREATE TABLE t (id INT PRIMARY KEY, n INT)").await.expect("created");
        client.query_drop("INSERT INTO t VALUES (1, 1)").await.expect("inserted");
        let before = replica_reads(&service);
        let until = Instant::now() + PATIENCE;
        while replica_reads(&service) == before {
            assert!(Instant::now() < until, "no replica takes part: {}", cluster(&service));
            assert_eq!(read(&mut client).await, 1);
        }
        // The replica goes on to receive, so that the primary may commit, and shows nothing new.
        let mut frozen = connect(direct(1)).await;
        frozen.query_drop("FLUSH TABLES WITH READ LOCK").await.expect("locked");
        let mut holder = connect(direct(0)).await;
        holder.query_drop("BEGIN").await.expect("begun");
        holder.query_drop("SELECT * FROM t WHERE id = 1 FOR UPDATE").await.expect("locked");

        let lost = client.query_drop("UPDATE /* cut */ t SET n = 2 WHERE id = 1").await;
        assert!(lost.is_err(), "its answer cannot have come");
        let mut client = connect(address).await;
        // It waits for the lock, and is not undone.
        for _ in 0..20 {
            assert_eq!(read(&mut client).await, 1);
        }
        holder.query_drop("COMMIT").await.expect("committed");
        let mut after = 0;
        while after < 200 {
            let shown = read(&mut holder).await;
            let seen = read(&mut client).await;
            assert!(seen >= shown, "the primary shows {shown}, and a read after that {seen}");
            after += u32::from(shown == 2);
        }
        let held = replica_reads(&service);
        // The server hears that its client is gone, and the replica shows what it has: reads go there again.
        relay.tell_the_server();
        frozen.query_drop("UNLOCK TABLES").await.expect("unlocked");
        let until = Instant::now() + PATIENCE;
        while replica_reads(&service) == held {
            assert!(Instant::now() < until, "no replica takes part again: {}", cluster(&service));
            assert_eq!(read(&mut client).await, 2);
        }
        // One number does not order what is written in several domains: said, and a replica answers once it has both.
        assert!(cluster(&service)["notice"].is_null());
        holder.query_drop("SET SESSION gtid_domain_id = 7").await.expect("set");
        holder.query_drop("INSERT INTO t VALUES (2, 2)").await.expect("inserted");
    });
    service.wait_until("several domains are noticed", |service| cluster(service)["notice"].is_string());
    assert!(service.said().contains("transactions of another GTID domain are written"), "{}", service.said());
    let before = replica_reads(&service);
    blocking(async {
        let mut client = connect(address).await;
        let until = Instant::now() + PATIENCE;
        while replica_reads(&service) == before {
            assert!(Instant::now() < until, "the replica has both domains and answers nothing: {}", cluster(&service));
            assert_eq!(client.query_first::<i64, _>("SELECT n FROM t WHERE id = 2").await.expect("a row"), Some(2));
        }
    });
}

/// A primary that waits for nobody dies with commits that no replica has. That this could happen is said before, and how much it was afterwards.
#[test]
fn what_was_lost_with_a_primary_that_waited_for_nobody_is_counted() {
    const LOST: u64 = 10;
    let mut servers = Servers::together(2);
    servers.server(0).run("SET GLOBAL rpl_semi_sync_master_enabled = 0");
    let mut service = Service::run(&servers.configuration(), &[]);
    service.wait_until("the replica follows", |service| whole(&cluster(service)));
    let objections = |cluster: &Value, number: usize| cluster["members"][number]["objections"].to_string();
    let before = cluster(&service);
    assert!(objections(&before, 0).contains("rpl_semi_sync_master_enabled is OFF and should be ON"), "{before}");
    assert_eq!(objections(&before, 1), "[]", "the manual's own settings");
    assert!(service.said().contains("it acknowledges commits that no replica has"), "{}", service.said());
    let (_, shown, _) = service.tell(&["sql", "status"]);
    assert!(shown.contains("rpl_semi_sync_master_enabled is OFF"), "{shown}");

    let address = service.database();
    blocking(async {
        let mut client = connect(address).await;
        client.query_drop("CREATE TABLE t (id INT PRIMARY KEY, n INT)").await.expect("created");
        client.query_drop("INSERT INTO t VALUES (0, 0)").await.expect("inserted");
    });
    service.wait_until("the replica has it", |service| {
        let cluster = cluster(service);
        cluster["members"][1]["applied"].as_u64() >= cluster["acknowledged"].as_u64()
    });
    servers.server(1).run("STOP SLAVE IO_THREAD");
    blocking(async {
        let mut client = connect(address).await;
        for n in 1..=LOST {
            client.query_drop(format!("INSERT INTO t VALUES ({n}, {n})")).await.expect("acknowledged");
        }
    });
    servers.inflict(Fault::KillPrimary, 0);
    service.wait_until("the replica is the primary", |service| {
        let cluster = cluster(service);
        cluster["epoch"].as_u64() > before["epoch"].as_u64() && cluster["primary"].is_string()
    });
    let after = cluster(&service);
    eprintln!("the primary was not semi-synchronous: {} acknowledged transactions were lost with it", after["last_failover"]["lost"]);
    assert_eq!(after["last_failover"]["lost"].as_u64(), Some(LOST), "{after}");
    assert!(service.said().contains("acknowledged transactions were on the old primary alone"), "{}", service.said());
    blocking(async {
        let mut client = connect(address).await;
        let count: Option<u64> = client.query_first("SELECT COUNT(*) FROM t").await.expect("read");
        assert_eq!(count, Some(1), "what is left");
    });

    // What a person has taken out stays out over a restart.
    let name = after["members"][0]["name"].as_str().expect("a name").to_owned();
    let (code, _, said) = service.tell(&["sql", "drain", &name]);
    assert_eq!(code, 0, "{said}");
    servers.heal(Fault::KillPrimary, 0);
    let home = service.home.clone();
    drop(service);
    let mut service = Service::run_in(home, &servers.configuration(), &[]);
    service.wait_until("it is drained still", |service| cluster(service)["members"][0]["state"] == "drained");
}

async fn connect(address: SocketAddr) -> Conn {
    let options = OptsBuilder::default()
        .ip_or_hostname(address.ip().to_string())
        .tcp_port(address.port())
        .user(Some("pumasi"))
        .pass(Some("secret"))
        .db_name(Some("shop"))
        .prefer_socket(false);
    Conn::new(options).await.expect("it connects")
}

async fn read(connection: &mut Conn) -> u64 {
    connection.query_first("SELECT n FROM t WHERE id = 1").await.expect("read").expect("a row")
}
