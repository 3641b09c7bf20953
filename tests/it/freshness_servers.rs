//! Nobody is answered from before an acknowledged write in front of real servers either: the product's own check, `pumasi load --verify`, against a
//! primary with two replicas, the log followed: while server connections are ended under it, and while servers are killed, stopped, delayed and cut off.
//!
//! `cargo xtask soak --only freshness` searches longer: `FRESHNESS_SECONDS` for each, `FRESHNESS_WRITES` of a hundred statements
//! write, `FRESHNESS_HITS` answers come from memory between two faults.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use mysql_async::{prelude::*, *};
use serde_json::Value;

use crate::{
    clusters::{
        cluster,
        servers::{Fault, Servers},
        whole,
    },
    service::{Service, binary, signal},
};

/// Hits between two faults when one statement in a hundred writes; fewer the more write. The store is empty after most of them, and a check of a
/// store that is not used proves nothing.
fn hits_between() -> u64 {
    let hits = std::env::var("FRESHNESS_HITS").ok().and_then(|text| text.parse().ok()).unwrap_or(500.0);
    (hits / writes().parse::<f64>().expect("a number").max(1.0)) as u64
}

/// Every fault is over by then, and servers that are well are asked again: a store that is not used after that is never used.
const NO_HIT_MAX: Duration = Duration::from_secs(120);

fn seconds() -> u64 {
    std::env::var("FRESHNESS_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(15)
}

fn writes() -> String {
    std::env::var("FRESHNESS_WRITES").unwrap_or_else(|_| "10".to_owned())
}

#[test]
fn no_query_in_front_of_servers_is_older_than_an_acknowledged_write() {
    let mut service = Service::run(
        "[sql.main]\nlisten = \"{database}\"\nengine = \"mariadb:2/shop\"\nresults = \"automatic\"\n[console]\nlisten = \"{console}\"\n",
        &[],
    );
    wait_until_followed(&mut service);
    let mut check = Check::start(&service, "root");
    let until = Instant::now() + Duration::from_secs(seconds());
    let mut killed = 0;
    while Instant::now() < until && check.runs() {
        std::thread::park_timeout(Duration::from_secs(2));
        killed += end_server_connections(&service);
    }
    let found = check.finish(&service);
    let hits = hits(&service);
    eprintln!("{found}, {killed} connections ended, {hits} hits");
    // A check of a store that was never used would prove nothing.
    assert!(found["reads"].as_u64() > Some(500) && found["writes"].as_u64() > Some(20), "{found}");
    assert!(hits > 50 && killed > 0, "{hits} hits, {killed} connections ended");
}

#[test]
fn no_query_is_older_although_servers_are_killed_stopped_delayed_and_cut_off() {
    let mut servers = Servers::start(3);
    let configuration = servers.configuration().replace("[sql.main]\n", "[sql.main]\nresults = \"automatic\"\n");
    let mut service = Service::run(&configuration, &[]);
    service.wait_until("the replicas follow", |service| whole(&cluster(service)));
    wait_until_followed(&mut service);
    let mut check = Check::start(&service, "pumasi:secret");
    let until = Instant::now() + Duration::from_secs(seconds());
    let (mut faults, mut replaced) = (0, 0);
    while check.runs() && (faults < Fault::ALL.len() || Instant::now() < until) {
        let fault = Fault::ALL[faults % Fault::ALL.len()];
        let before = cluster(&service);
        let primary = servers.index_of(before["primary"].as_str().expect("a primary"));
        let victim = if fault.of_primary() {
            primary
        } else {
            (0..3).filter(|server| *server != primary).nth(faults / Fault::ALL.len() % 2).expect("two replicas")
        };
        check.wait_for_hits(&service, hits_between());
        servers.inflict(fault, victim);
        if fault.of_primary() {
            service.wait_until("another primary", |service| cluster(service)["epoch"].as_u64() > before["epoch"].as_u64());
            replaced += 1;
        }
        check.wait_for_hits(&service, hits_between());
        servers.heal(fault, victim);
        service.wait_until(&format!("all is well after {fault:?} of server {victim}"), |service| whole(&cluster(service)));
        faults += 1;
    }
    let found = check.finish(&service);
    let (hits, by_replicas) = (hits(&service), cluster(&service)["replica_reads_total"].as_u64().unwrap_or(0));
    eprintln!(
        "{found}, {faults} faults, {replaced} primaries replaced, {hits} hits, {by_replicas} reads by replicas, {}",
        service.status()["sql"][0]["followed"]
    );
    assert!(found["reads"].as_u64() > Some(500) && found["writes"].as_u64() > Some(20), "{found}");
    // Where half of all statements write, some write to every table is always under way, and its reads are the primary's.
    assert!(by_replicas > 0 || hits_between() < 50, "replicas take part");
}

fn wait_until_followed(service: &mut Service) {
    service.wait_until("the log is followed", |service| service.status()["sql"][0]["followed"]["mode"] == "row-exact");
}

fn hits(service: &Service) -> u64 {
    service.status()["sql"][0]["results"]["hits"].as_u64().expect("a number")
}

/// `pumasi load --verify` against the service's database `shop`, until it is told to end.
struct Check(Child);

impl Check {
    /// `user`: with its password behind a colon, if it has one.
    fn start(service: &Service, user: &str) -> Check {
        let url = format!("mysql://{user}@{}/shop", service.database());
        let mut command = Command::new(binary());
        command.args(["load", "--verify", &url, "--writes", &writes(), "--for", "24h", "--json"]);
        Check(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("pumasi runs"))
    }

    /// False once it has found something.
    fn runs(&mut self) -> bool {
        self.0.try_wait().expect("our own child").is_none()
    }

    /// Returns when so many more answers have come from memory, or it has found something.
    ///
    /// # Panics
    /// When none has come for [`NO_HIT_MAX`].
    fn wait_for_hits(&mut self, service: &Service, more: u64) {
        let (mut seen, mut since) = (hits(service), Instant::now());
        let wanted = seen + more;
        while self.runs() && seen < wanted {
            std::thread::park_timeout(Duration::from_millis(20));
            let now = hits(service);
            if now > seen {
                (seen, since) = (now, Instant::now());
            }
            assert!(since.elapsed() < NO_HIT_MAX, "nothing has come from memory for {} s: {}", NO_HIT_MAX.as_secs(), service.status());
        }
    }

    /// Ends it. Returns what it counted.
    ///
    /// # Panics
    /// When an answer was stale.
    fn finish(mut self, service: &Service) -> Value {
        if self.runs() {
            signal(self.0.id(), "INT");
        }
        let output = self.0.wait_with_output().expect("it ends");
        let (told, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{said}\n{told}\n{}", service.said());
        serde_json::from_str(&told[..told.rfind('}').map_or(0, |at| at + 1)]).unwrap_or_else(|error| panic!("{error}: {told}"))
    }
}

/// KILLs what the proxy has open at the primary, past the proxy: answers are lost in the middle of statements. Returns how many there were.
fn end_server_connections(service: &Service) -> usize {
    let status = service.status();
    let members = status["sql"][0]["cluster"]["members"].as_array().cloned().unwrap_or_default();
    let primary =
        members.iter().find(|member| member["role"] == "primary").and_then(|member| member["address"].as_str().map(str::to_owned));
    let Some((host, port)) = primary.as_deref().and_then(|address| address.rsplit_once(':')) else { return 0 };
    let options = OptsBuilder::default().ip_or_hostname(host.to_owned()).tcp_port(port.parse().expect("a port")).user(Some("root"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let Ok(mut connection) = Conn::new(options).await else { return 0 };
        // Not before the check's tables are there: what is lost then is an error, not a thing to be proven.
        let look = "SELECT ID FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID() AND DB = 'shop' AND
            (SELECT COUNT(*) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = 'shop') = 8 LIMIT 3";
        let threads: Vec<u64> = connection.query(look).await.unwrap_or_default();
        let mut killed = 0;
        for thread in threads {
            killed += usize::from(connection.query_drop(format!("KILL {thread}")).await.is_ok());
        }
        killed
    })
}
