//! A primary with replicas: reads that are never behind, and a primary that is replaced when it dies.
mod checker;
mod lost;
mod relay;
pub mod servers;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;

use self::{
    checker::Checker,
    servers::{Fault, Servers},
};
use crate::service::{Service, signal};

/// From a fault to the first write that is acknowledged again.
const WRITES_RESUME_WITHIN: Duration = Duration::from_secs(10);

/// The picture of the database `main`'s servers.
pub fn cluster(service: &Service) -> Value {
    service.status()["sql"][0]["cluster"].take()
}

/// `pumasi sql ...` to a demo: exit code and message.
fn sql(service: &Service, words: &[&str]) -> (i32, String) {
    let words: Vec<&str> = ["sql"].iter().chain(words).copied().chain(["--state", "state"]).collect();
    let (code, out, error) = service.tell(&words);
    (code, out + &error)
}

/// Everybody is what he should be: one serves, the others follow.
pub fn whole(cluster: &Value) -> bool {
    let members = cluster["members"].as_array().cloned().unwrap_or_default();
    let states = |state: &str| members.iter().filter(|member| member["state"] == state).count();
    cluster["primary"].is_string() && states("serving") == 1 && states("following") == members.len() - 1
}

/// Short here; `CLUSTER_FAULTS=100` for as many faults in a row.
#[test]
fn every_read_sees_every_write_acknowledged_before_it_whatever_fails() {
    let faults: usize = std::env::var("CLUSTER_FAULTS").ok().and_then(|count| count.parse().ok()).unwrap_or(Fault::ALL.len());
    let mut servers = Servers::start(3);
    let mut service = Service::run(&servers.configuration(), &[]);
    service.wait_until("the replicas follow", |service| whole(&cluster(service)));
    let checker = Checker::start(service.database(), "pumasi", "secret", "shop");
    let (mut slowest, mut replaced) = (Duration::ZERO, 0);
    for number in 0..faults {
        let fault = Fault::ALL[number % Fault::ALL.len()];
        checker.wait_for_writes(5, WRITES_RESUME_WITHIN);
        let before = cluster(&service);
        let primary = servers.index_of(before["primary"].as_str().expect("a primary"));
        let victim = if fault.of_primary() {
            primary
        } else {
            (0..3).filter(|server| *server != primary).nth(number / 6 % 2).expect("two replicas")
        };
        let began = Instant::now();
        servers.inflict(fault, victim);
        if fault.of_primary() {
            service.wait_until("another primary", |service| cluster(service)["epoch"].as_u64() > before["epoch"].as_u64());
            replaced += 1;
        } else {
            checker.wait_for_writes(20, WRITES_RESUME_WITHIN);
            checker.wait_for_reads(50);
        }
        checker.wait_for_writes(1, WRITES_RESUME_WITHIN);
        let resumed = began.elapsed();
        assert!(resumed < WRITES_RESUME_WITHIN + Duration::from_secs(1), "{fault:?}: {resumed:?}\n{}", service.said());
        if fault.of_primary() {
            slowest = slowest.max(resumed);
        }
        servers.heal(fault, victim);
        service.wait_until(&format!("all is well again after {fault:?} of server {victim}, number {number}"), |service| {
            whole(&cluster(service))
        });
        let errors = checker.violations();
        assert!(errors.is_empty(), "after {fault:?}, number {number}: {errors:?}\n{}", service.said());
        eprintln!("fault {number}: {fault:?} of server {victim}: writes after {} ms", resumed.as_millis());
    }
    let after = cluster(&service);
    assert_eq!(after["last_failover"]["lost"].as_u64().unwrap_or(0), 0, "{after}");
    // How large their share is depends on the machine: a busy one leaves them behind for most of the time. That they have one does not.
    let by_replicas = |service: &Service| cluster(service)["replica_reads_total"].as_u64().expect("a number");
    let before = by_replicas(&service);
    service.wait_until("replicas take part beside the writes", |service| by_replicas(service) > before + 100);
    let told = checker.finish();
    assert!(told.violations.is_empty(), "{:?}\n{}", told.violations, service.said());
    let by_replicas = by_replicas(&service);
    eprintln!(
        "{faults} faults, {replaced} primaries replaced, slowest {} ms until writes resumed; {} reads ({by_replicas} by replicas), {} writes, {} errors told to \
         clients; no read behind, no acknowledged write lost",
        slowest.as_millis(),
        told.reads,
        told.writes,
        told.errors
    );
}

/// One story for all, because making a cluster takes longer than telling it.
#[test]
fn a_local_cluster_serves_hands_over_and_survives_pumasis_death() {
    let home = Arc::new(tempfile::tempdir().expect("a folder"));
    let mut service = Service::demo_in(home.clone(), &["--engine", "mariadb:2", "--workers", "1"]);
    // The board is there, through the application and through the replicas.
    assert!(service.get("/").body.contains("class"));
    assert_eq!(service.post("/ask", &[("message", "품앗이 합시다")]).status / 100, 3);
    let before = cluster(&service);
    assert!(whole(&before), "{before}");
    assert!(service.get("/").body.contains("품앗이 합시다"), "a read after the write sees it");
    // A person moves the primary.
    let (code, said) = sql(&service, &["promote", "main.2"]);
    assert_eq!((code, said.trim()), (0, "main.2 is the primary of epoch 2"));
    service.wait_until("the old primary follows", |service| whole(&cluster(service)));
    assert_eq!(cluster(&service)["primary"], "main.2");
    let (code, said) = sql(&service, &["promote", "main.2"]);
    assert_eq!((code, said.contains("is the primary already")), (1, true), "{said}");
    let (code, said) = sql(&service, &["drain", "main.7"]);
    assert_eq!((code, said.contains("There are: main.1, main.2, main.3")), (1, true), "{said}");
    let (_, said) = sql(&service, &["drain", "main.3"]);
    assert!(said.contains("main.3 gets no further read"), "{said}");
    assert_eq!(cluster(&service)["members"][2]["state"], "drained");
    sql(&service, &["drain", "main.3", "--undo"]);
    let (_, shown) = sql(&service, &["status", "--json"]);
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!((shown["main"]["primary"].as_str(), shown["main"]["epoch"].as_u64()), (Some("main.2"), Some(2)));
    let (_, said) = sql(&service, &["rejoin", "main.1", "--rebuild"]);
    assert!(said.contains("made anew"), "{said}");
    service.wait_until("it has copied everything", |service| whole(&cluster(service)));
    // kill -9 of Pumasi leaves no server behind, and the next start finds everything.
    let servers = mariadbds(&home.path().display().to_string());
    assert_eq!(servers.len(), 3, "{servers:?}");
    signal(service.pid(), "KILL");
    let gone = || servers.iter().all(|pid| !crate::service::alive(*pid));
    let until = Instant::now() + Duration::from_secs(20);
    while !gone() {
        assert!(Instant::now() < until, "servers outlive Pumasi: {servers:?}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    drop(service);
    let mut service = Service::demo_in(home, &["--engine", "mariadb:2", "--workers", "1"]);
    service.wait_until("the cluster is whole", |service| whole(&cluster(service)));
    assert_eq!((cluster(&service)["primary"].as_str(), cluster(&service)["epoch"].as_u64()), (Some("main.2"), Some(2)));
    assert!(service.get("/").body.contains("품앗이 합시다"), "what was acknowledged is there");
}

/// The mariadbd processes whose data lies below `directory`.
fn mariadbds(directory: &str) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<String> = line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        words.first().is_some_and(|program| program.ends_with("/mariadbd")) && words.iter().any(|word| word.contains(directory))
    })
    .collect()
}
