//! Probes of every kind: what takes a member out, and what brings it back, before any request finds out.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use pumasi_config::{HttpProbe, ProbeAsks, ProbePlan};
use pumasi_edge::Edge;

use crate::harness::*;

pub fn often(asks: ProbeAsks) -> Option<ProbePlan> {
    Some(ProbePlan { asks, every: Duration::from_millis(30), timeout: Duration::from_secs(1) })
}

pub fn get(contains: Option<&str>) -> ProbeAsks {
    let contains = contains.map(str::to_owned);
    ProbeAsks::Http(HttpProbe { path: "/well".into(), host: None, status_min: 200, status_max: 299, contains })
}

/// An edge that probes `member` and another one that is always well, and how the member does.
pub fn watched(member: SocketAddr, change: impl FnOnce(&mut Setup)) -> (Edge, impl Fn() -> &'static str) {
    let mut setup = setup(&[member]);
    setup.pools[0].plan.eject_after = 2;
    setup.pools[0].plan.eject_for = Duration::from_millis(50);
    change(&mut setup);
    let pool = setup.pools[0].pool.clone();
    let edge = setup.start();
    (edge, move || pool.upstreams()[0].health().word())
}

/// No request is sent: only that the port opens counts, whatever is or is not said there.
#[test]
fn a_port_that_opens_is_enough_for_a_tcp_probe() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let (_edge, health) = watched(address, |setup| setup.pools[0].plan.probe = often(ProbeAsks::Tcp));
    let (first, _) = silent.accept().expect("the first probe");
    drop(first);
    assert_eq!(health(), "up");
    drop(silent);
    wait_until("a closed port is out", || health() != "up");
    let _silent = wait_for_port(address);
    wait_until("it is back", || health() == "up");
}

/// The port is free again once the last connection to its former self has gone.
fn wait_for_port(address: SocketAddr) -> TcpListener {
    let mut listener = None;
    wait_until("the port is free", || {
        listener = TcpListener::bind(address).ok();
        listener.is_some()
    });
    listener.unwrap()
}

#[test]
fn the_content_decides_where_it_is_asked_for() {
    let well = Arc::new(AtomicBool::new(true));
    let heads = Arc::new(Mutex::new(Vec::new()));
    let (is_well, seen) = (well.clone(), heads.clone());
    let origin = Origin::start(move |mut peer| {
        if let Some(head) = peer.read_head() {
            seen.lock().unwrap().push(head);
            let state = if is_well.load(Ordering::SeqCst) { "all we" } else { "half we" };
            // In pieces, and without a length: it ends with the connection.
            peer.write(format!("HTTP/1.1 200 OK\r\n\r\n{{\"state\": \"{state}"));
            peer.write("ll\"}");
        }
    });
    let (_edge, health) = watched(origin.address, |setup| setup.pools[0].plan.probe = often(get(Some("\"all well\""))));
    wait_until("it was asked", || heads.lock().unwrap().len() > 2);
    assert_eq!(health(), "up");
    assert!(heads.lock().unwrap()[0].starts_with("GET /well HTTP/1.1\r\n"));
    well.store(false, Ordering::SeqCst);
    wait_until("it is out", || health() != "up");
    well.store(true, Ordering::SeqCst);
    wait_until("it is back", || health() == "up");
}
