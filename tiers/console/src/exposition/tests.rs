use std::collections::HashSet;

use pumasi_metrics::catalogue::ALL;
use pumasi_status::{Cluster, Digest, Member, Pool, Route, Sql, Upstream, Worker};

use super::*;

#[test]
fn a_full_status_shows_every_family_and_no_series_twice() {
    let mut status = Status::default();
    status.edge.pages = Some(Store::default());
    status.edge.pages_disk = Some(pumasi_status::DiskStore::default());
    status.edge.routes.push(Route { route: "*/*".into(), bypasses: vec![("POST".into(), 3)], ..Route::default() });
    let upstream =
        Upstream { name: "app.1".into(), worker: Some(Worker { ready_after_ms: Some(900), ..Worker::default() }), ..Upstream::default() };
    status.pools.push(Pool { name: "app".into(), upstreams: vec![upstream], ..Pool::default() });
    let alike = |end: &str| Digest { text: "x".repeat(200) + end, count: 1, ..Digest::default() };
    let member = Member { role: "replica".into(), lag_transactions: Some(1), ..Member::default() };
    let cluster = Cluster { primary_reasons: vec![("write".into(), 1)], members: vec![member], ..Cluster::default() };
    status.sql.push(Sql {
        tables: vec![pumasi_status::TableUse { name: "ask".into(), reads: 3, ..Default::default() }],
        cluster: Some(cluster),
        results: Some(Store::default()),
        digests: vec![alike("a"), alike("b")],
        pins: vec![("transaction".into(), 1)],
        ..Sql::default()
    });
    let text = text(&status);
    for family in ALL {
        assert!(text.contains(&format!("# TYPE {} ", family.name)), "{} is never shown", family.name);
    }
    let mut series = HashSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        assert!(series.insert(line.rsplit_once(' ').unwrap().0), "{line} is there twice");
    }
}

#[test]
fn times_are_seconds() {
    let mut status = Status { cpu_ms: 1_500, ..Status::default() };
    status.edge.traffic.latency_us_p99 = 2_500;
    let text = text(&status);
    assert!(text.contains("\npumasi_cpu_seconds_total 1.5\n") && text.contains("pumasi_edge_latency_seconds{quantile=\"0.99\"} 0.0025\n"));
}
