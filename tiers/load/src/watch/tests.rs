use super::*;
use crate::tests::server::{Answer, Server};
use pumasi_status::{Edge, Pool, Sql, Traffic, Upstream, Worker};
use std::sync::atomic::AtomicU64;

/// After `n` hundred requests: 250 ms of Pumasi's and 500 ms of the worker's time for each hundred, three pages of four found.
fn status(n: u64) -> Status {
    let traffic = Traffic { requests_total: n * 100, in_flight: 3, ..Traffic::default() };
    let worker = Worker { cpu_ms: n * 500, ..Worker::default() };
    let upstream = Upstream { worker: Some(worker), traffic: traffic.clone(), ..Upstream::default() };
    Status {
        cpu_ms: n * 250,
        edge: Edge {
            listeners: vec!["127.0.0.1:8080".into()],
            traffic,
            queue_us_p95: 1500,
            pages: Some(Store { hits: n * 75, misses: n * 25, ..Store::default() }),
            ..Edge::default()
        },
        pools: vec![Pool { upstreams: vec![upstream], ..Pool::default() }],
        sql: vec![Sql { traffic: Traffic { requests_total: n * 25, ..Traffic::default() }, ..Sql::default() }],
        ..Status::default()
    }
}

#[test]
fn a_second_is_what_the_counters_grew_by() {
    let zero = SystemTime::now();
    let sample = |n, after| Sample { at: zero + Duration::from_secs(after), status: status(n) };
    let second = between(&sample(1, 1), &sample(3, 3), zero);
    assert_eq!((second.second, second.pumasi_cpu, second.web_cpu), (2.0, 0.25, 0.5));
    assert_eq!((second.requests_per_s, second.statements_per_s, second.in_flight), (100.0, 25.0, 3));
    assert_eq!((second.pages_hit, second.results_hit, second.queue_ms_p95), (Some(0.75), None, 1.5));
}

#[test]
fn the_console_is_asked_each_second_and_found_by_the_state_directory() {
    let asked = AtomicU64::new(0);
    let server = Server::start(move |request| {
        assert!(request.starts_with("GET /api/status "));
        Answer::text(200, &serde_json::to_string(&status(asked.fetch_add(1, Ordering::Relaxed))).unwrap())
    });
    let state = tempfile::tempdir().unwrap();
    let console = server.url("").replace("http://", "");
    fs::write(state.path().join("pumasi.lock"), format!("{{\"process\":1,\"version\":\"x\",\"console\":\"{console}\"}}")).unwrap();
    let other = Target::resolve("http://127.0.0.1:9", &Trust::System).unwrap();
    assert!(Watch::find(state.path(), &other).is_none(), "another port is not this Pumasi's");
    let target = Target::resolve("http://127.0.0.1:8080", &Trust::System).unwrap();
    let watch = Watch::find(state.path(), &target).expect("the lock names the console");
    let begun = SystemTime::now();
    while begun.elapsed().unwrap() < Duration::from_millis(2600) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let seconds = watch.finish(begun);
    assert!((1..=2).contains(&seconds.len()), "{seconds:?}");
    assert_eq!(seconds[0].pages_hit, Some(0.75));
}

#[test]
fn what_is_no_console_is_refused_before_the_run() {
    let server = Server::start(|_| Answer::text(200, "<html>"));
    assert!(Watch::begin(&server.url("")).is_err());
}
