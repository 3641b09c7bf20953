//! Nobody is answered from before an acknowledged write in front of real servers either: the product's own check, `pumasi load --verify`, against a
//! primary with two replicas, the log followed, while server connections are ended under it.
//!
//! `FRESHNESS_SECONDS=3600 cargo test -p pumasi-tests --test it freshness` searches longer.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use mysql_async::{prelude::*, *};

use crate::service::{Service, binary};

fn seconds() -> u64 {
    std::env::var("FRESHNESS_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(15)
}

#[test]
fn no_query_in_front_of_servers_is_older_than_an_acknowledged_write() {
    let mut service = Service::run(
        "[sql.main]\nlisten = \"{database}\"\nengine = \"mariadb:2/shop\"\nresults = \"automatic\"\n[console]\nlisten = \"{console}\"\n",
        &[],
    );
    service.wait_until("the log is followed", |service| service.status()["sql"][0]["followed"]["mode"] == "row-exact");
    let url = format!("mysql://root@{}/shop", service.database());
    let lasts = format!("{}s", seconds());
    let mut check = Command::new(binary())
        .args(["load", "--verify", &url, "--writes", "10", "--for", &lasts, "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("pumasi runs");
    // Preparing and clearing away take their time on a busy machine, besides the check itself.
    let until = Instant::now() + Duration::from_secs(seconds() + 180);
    let mut killed = 0;
    while Instant::now() < until && check.try_wait().expect("our own child").is_none() {
        std::thread::park_timeout(Duration::from_secs(2));
        killed += end_server_connections(&service);
    }
    let output = check.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}\n{}", service.said());
    let found: serde_json::Value =
        serde_json::from_slice(&output.stdout[..output.stdout.iter().rposition(|byte| *byte == b'}').map_or(0, |at| at + 1)])
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stdout)));
    let hits = service.status()["sql"][0]["results"]["hits"].as_u64();
    eprintln!("{found}, {killed} connections ended, {hits:?} hits");
    // A check of a store that was never used would prove nothing.
    assert!(found["reads"].as_u64() > Some(500) && found["writes"].as_u64() > Some(20), "{found}");
    assert!(hits > Some(50) && killed > 0, "{hits:?} hits, {killed} connections ended");
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
