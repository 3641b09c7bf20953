//! Change while requests run: reload, ejection, probes, drain.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use pumasi_config::{HttpProbe, PagesMode, ProbeAsks, ProbePlan, RoutePlan};

use crate::harness::*;

fn route(host: Option<&str>, path: &str, pool: &str) -> RoutePlan {
    RoutePlan { host: host.map(Into::into), path: path.into(), pool: pool.into(), pages: PagesMode::Off, files: None }
}

#[test]
fn routes_go_by_host_and_path() {
    let (a, b) = (Origin::saying("a"), Origin::saying("b"));
    let mut setup = setup(&[a.address]);
    setup.pools.push(pool("other", &[b.address]));
    setup.plan.routes = vec![
        route(None, "/*", "app"),
        route(None, "/b/*", "other"),
        route(Some("b.example"), "/*", "other"),
        route(Some("only.example"), "/x", "app"),
    ];
    let edge = setup.start();
    let mut client = Peer::connect(edge.addresses()[0]);
    for (host, path, content) in
        [("x", "/", "a"), ("x", "/b/1?q", "b"), ("B.example:99", "/", "b"), ("only.example", "/b/", "b"), ("only.example", "/x", "a")]
    {
        client.write(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(client.read_answer().content, content, "{host}{path}");
    }
}

#[test]
fn without_a_route_it_is_404_and_the_connection_goes_on() {
    let origin = Origin::saying("hi");
    let mut setup = setup(&[origin.address]);
    setup.plan.routes = vec![route(None, "/only/*", "app")];
    let edge = setup.start();
    let mut client = Peer::connect(edge.addresses()[0]);
    client.write(GET);
    assert_eq!(client.read_answer().status, 404);
    client.write("GET /only/x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.read_answer().content, "hi");
}

#[test]
fn a_reload_touches_no_connection_and_no_request() {
    let (a, b) = (Origin::saying("a"), Origin::saying("b"));
    let (release, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let slow = Origin::start(move |mut peer| {
        peer.read_head().unwrap();
        wait.lock().unwrap().recv().unwrap();
        peer.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow");
    });
    let mut setup = setup(&[a.address]);
    setup.pools.push(pool("slow", &[slow.address]));
    setup.plan.routes.push(route(None, "/slow", "slow"));
    let (plan, pools) = (setup.plan.clone(), setup.pools.clone());
    let edge = setup.start();
    let address = edge.addresses()[0];
    let (mut kept, mut waiting) = (Peer::connect(address), Peer::connect(address));
    kept.write(GET);
    assert_eq!(kept.read_answer().content, "a");
    waiting.write("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_until("the slow one is at its origin", || pools[1].pool.in_flight() == 1);

    let mut changed = plan.clone();
    changed.routes = vec![route(None, "/*", "other")];
    changed.listen.push("127.0.0.2:0".parse().unwrap());
    edge.reload(&changed, vec![pool("other", &[b.address])]).unwrap();
    assert_eq!(edge.addresses().len(), 2);
    kept.write(GET);
    assert_eq!(kept.read_answer().content, "b", "the same connection, the new route");
    let mut second = Peer::connect(edge.addresses()[1]);
    second.write(GET);
    assert_eq!(second.read_answer().content, "b");
    release.send(()).unwrap();
    assert_eq!(waiting.read_answer().content, "slow", "the request that was under way");

    let mut broken = plan.clone();
    broken.routes = vec![route(None, "/*", "nobody")];
    assert!(edge.reload(&broken, Vec::new()).unwrap_err().to_string().contains("nobody"));
    kept.write(GET);
    assert_eq!(kept.read_answer().content, "b", "a refused reload changes nothing");

    edge.reload(&plan, pools).unwrap();
    wait_until("the second address is closed", || std::net::TcpStream::connect(second.stream.peer_addr().unwrap()).is_err());
    second.write(GET);
    assert_eq!(second.read_answer().content, "a", "connections outlive their listener");
}

#[test]
fn a_hundred_reloads_under_load_fail_no_request() {
    let (a, b) = (Origin::saying("a"), Origin::saying("b"));
    let mut setup = setup(&[a.address]);
    setup.plan.threads = 2;
    let plan = setup.plan.clone();
    let edge = Arc::new(setup.start());
    let stop = Arc::new(AtomicBool::new(false));
    let address = edge.addresses()[0];
    let served = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (stop, served) = (stop.clone(), served.clone());
            std::thread::spawn(move || {
                let mut client = Peer::connect(address);
                while !stop.load(Ordering::Relaxed) {
                    client.write(GET);
                    assert_eq!(client.read_answer().status, 200);
                    served.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for i in 0..100 {
        let member = if i % 2 == 0 { b.address } else { a.address };
        edge.reload(&plan, vec![pool("app", &[member])]).unwrap();
        let so_far = served.load(Ordering::Relaxed);
        wait_until("requests are served under this configuration, too", || served.load(Ordering::Relaxed) > so_far);
    }
    stop.store(true, Ordering::Relaxed);
    clients.into_iter().for_each(|client| client.join().unwrap());
}

#[test]
fn failures_eject_an_upstream_and_a_probe_brings_it_back() {
    let well = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(AtomicUsize::new(0));
    let (is_well, count) = (well.clone(), asked.clone());
    let sick = Origin::start(move |mut peer| {
        while let Some(head) = peer.read_head() {
            if !head.starts_with("GET /probe ") {
                count.fetch_add(1, Ordering::SeqCst);
            }
            match is_well.load(Ordering::SeqCst) {
                true => peer.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsick"),
                false => peer.write("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"),
            }
        }
    });
    let fine = Origin::saying("fine");
    let mut setup = setup(&[sick.address, fine.address]);
    setup.pools[0].plan.eject_after = 2;
    setup.pools[0].plan.eject_for = Duration::from_millis(100);
    setup.pools[0].plan.probe = Some(ProbePlan {
        asks: ProbeAsks::Http(HttpProbe { path: "/probe".into(), host: None, status_min: 200, status_max: 399, contains: None }),
        every: Duration::from_millis(30),
        timeout: PATIENCE,
    });
    let pool = setup.pools[0].pool.clone();
    let edge = setup.start();
    let mut client = Peer::connect(edge.addresses()[0]);
    let health = || pool.upstreams()[0].health().word();
    wait_until("the sick one is out", || {
        client.write(GET);
        client.read_answer();
        health() != "up"
    });
    let before = asked.load(Ordering::SeqCst);
    for _ in 0..20 {
        client.write(GET);
        assert_eq!(client.read_answer().content, "fine");
    }
    assert_eq!(asked.load(Ordering::SeqCst), before, "an ejected member gets probes, not requests");
    well.store(true, Ordering::SeqCst);
    wait_until("it is back", || health() == "up");
    wait_until("it gets requests", || {
        client.write(GET);
        client.read_answer().content == "sick"
    });
}

#[test]
fn a_drain_finishes_what_runs_and_closes_what_is_idle() {
    let (release, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let origin = Origin::start(move |mut peer| {
        while let Some(head) = peer.read_head() {
            if head.starts_with("GET /slow") {
                wait.lock().unwrap().recv().unwrap();
            }
            peer.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let setup = setup(&[origin.address]);
    let pool = setup.pools[0].pool.clone();
    let edge = setup.start();
    let address = edge.addresses()[0];
    let (mut idle, mut busy) = (Peer::connect(address), Peer::connect(address));
    idle.write(GET);
    idle.read_answer();
    busy.write("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_until("the busy one is at the origin", || pool.in_flight() == 1);
    let draining = std::thread::spawn(move || edge.drain(PATIENCE));
    assert!(idle.closed());
    wait_until("nothing new is accepted", || std::net::TcpStream::connect(address).is_err());
    release.send(()).unwrap();
    let answer = busy.read_answer();
    assert_eq!((answer.status, answer.field("connection").as_deref()), (200, Some("close")));
    drop(busy);
    assert_eq!(draining.join().unwrap(), 0);
}

#[test]
fn a_drain_answers_who_had_connected_and_asked() {
    let origin = Origin::saying("hi");
    let edge = setup(&[origin.address]).start();
    let address = edge.addresses()[0];
    let mut clients: Vec<Peer> = (0..50)
        .map(|_| {
            let mut client = Peer::connect(address);
            client.write(GET);
            client
        })
        .collect();
    let draining = std::thread::spawn(move || edge.drain(PATIENCE));
    for client in &mut clients {
        assert_eq!(client.read_answer().status, 200);
    }
    drop(clients);
    assert_eq!(draining.join().unwrap(), 0);
}

#[test]
fn a_drain_cuts_what_does_not_end() {
    let origin = Origin::start(|mut peer| {
        peer.read_head();
        peer.read_to_end();
    });
    let setup = setup(&[origin.address]);
    let pool = setup.pools[0].pool.clone();
    let edge = setup.start();
    let mut client = Peer::connect(edge.addresses()[0]);
    client.write(GET);
    wait_until("it is at the origin", || pool.in_flight() == 1);
    assert_eq!(edge.drain(Duration::from_millis(50)), 1);
    assert!(client.closed());
    assert_eq!(pool.in_flight(), 0);
}

#[test]
fn the_status_tells_what_happened() {
    let origin = Origin::saying("hello");
    let setup = setup(&[origin.address]);
    let pool = setup.pools[0].pool.clone();
    let edge = setup.start();
    let mut client = Peer::connect(edge.addresses()[0]);
    for _ in 0..3 {
        client.write(GET);
        client.read_answer();
    }
    client.write("BAD\r\n\r\n");
    client.read_answer();
    let status = edge.status();
    assert_eq!((status.status_2xx, status.status_4xx, status.status_5xx), (3, 1, 0));
    assert_eq!((status.traffic.requests_total, status.traffic.in_flight), (4, 0));
    let route = &status.routes[0];
    assert_eq!((route.traffic.requests_total, route.status_2xx, route.status_5xx, route.clients_left), (3, 3, 0, 0));
    assert!(route.bytes_in >= 3 * GET.len() as u64 && route.bytes_out > 3 * 40, "{route:?}");
    let connects = pool.upstreams()[0].connects();
    assert_eq!((connects.total, connects.failed), (1, 0), "the connection was kept");
    assert!(status.bytes_in >= 3 * GET.len() as u64 && status.bytes_out > 3 * 40, "{status:?}");
    assert_eq!(status.listeners, [edge.addresses()[0].to_string()]);
}
