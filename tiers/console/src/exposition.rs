//! A status as Prometheus text.
use pumasi_metrics::{Exposition, Family, catalogue as c};
use pumasi_status::{Cluster, Status, Store, Traffic};

/// Statements shown per database; the digests page has the rest. A scraper keeps every label value it ever saw.
const DIGESTS_MAX: usize = 20;
/// Tables shown per database.
const TABLES_MAX: usize = 20;
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
/// Characters of a statement that become a label.
const DIGEST_CHARS_MAX: usize = 120;

/// The whole answer to `GET /metrics`.
pub fn text(status: &Status) -> String {
    let mut out = Exposition::new();
    out.add(&c::BUILD, &[&status.version], 1.0);
    out.add(&c::UPTIME, &[], status.uptime_s as f64);
    out.add(&c::CPU, &[], status.cpu_ms as f64 / 1000.0);
    out.add(&c::MEMORY, &[], status.memory_bytes as f64);
    out.add(&c::DESCRIPTORS, &[], status.descriptors as f64);
    out.add(&c::DESCRIPTORS_MAX, &[], status.descriptors_max as f64);
    host(&mut out, status);
    edge(&mut out, status);
    pools(&mut out, status);
    databases(&mut out, status);
    out.finish()
}

fn host(out: &mut Exposition, status: &Status) {
    let host = &status.host;
    out.add(&c::HOST_CORES, &[], host.cores as f64);
    let modes = [
        ("user", host.cpu_user_ms),
        ("system", host.cpu_system_ms),
        ("iowait", host.cpu_iowait_ms),
        ("steal", host.cpu_steal_ms),
        ("idle", host.cpu_idle_ms),
    ];
    for (mode, ms) in modes {
        out.add(&c::HOST_CPU, &[mode], ms as f64 / 1000.0);
    }
    out.add(&c::HOST_MEMORY, &[], host.memory_bytes as f64);
    out.add(&c::HOST_MEMORY_AVAILABLE, &[], host.memory_available_bytes as f64);
    out.add(&c::HOST_DISK_OPERATIONS, &[], host.disk_operations as f64);
    out.add(&c::HOST_DISK_SECONDS, &[], host.disk_ms as f64 / 1000.0);
    out.add(&c::HOST_NETWORK, &["in"], host.network_in_bytes as f64);
    out.add(&c::HOST_NETWORK, &["out"], host.network_out_bytes as f64);
    out.add(&c::HOST_FILES, &[], host.files as f64);
    out.add(&c::HOST_FILES_MAX, &[], host.files_max as f64);
    out.add(&c::HOST_TCP, &["in_use"], host.tcp_sockets as f64);
    out.add(&c::HOST_TCP, &["time_wait"], host.tcp_time_wait as f64);
    out.add(&c::HOST_PORTS, &[], host.ports as f64);
}

fn edge(out: &mut Exposition, status: &Status) {
    let edge = &status.edge;
    out.add(&c::EDGE_CONNECTIONS, &[], edge.connections as f64);
    out.add(&c::EDGE_REQUESTS, &[], edge.traffic.requests_total as f64);
    out.add(&c::EDGE_ERRORS, &[], edge.traffic.errors_total as f64);
    let classes = [edge.status_1xx, edge.status_2xx, edge.status_3xx, edge.status_4xx, edge.status_5xx];
    for (class, count) in CLASSES.into_iter().zip(classes) {
        out.add(&c::EDGE_RESPONSES, &[class], count as f64);
    }
    out.add(&c::EDGE_IN_FLIGHT, &[], edge.traffic.in_flight as f64);
    latency(out, &c::EDGE_LATENCY, &[], &edge.traffic);
    out.add(&c::EDGE_QUEUE, &["0.95"], seconds(edge.queue_us_p95));
    out.add(&c::EDGE_RECEIVED, &[], edge.bytes_in as f64);
    out.add(&c::EDGE_SENT, &[], edge.bytes_out as f64);
    out.add(&c::EDGE_CONNECTIONS_REFUSED, &[], edge.connections_refused as f64);
    let handshakes = &edge.handshakes;
    for (result, count) in [("full", handshakes.full), ("resumed", handshakes.resumed), ("failed", handshakes.failed)] {
        out.add(&c::EDGE_HANDSHAKES, &[result], count as f64);
    }
    for route in &edge.routes {
        let labels = [route.route.as_str(), route.pool.as_str()];
        out.add(&c::ROUTE_REQUESTS, &labels, route.traffic.requests_total as f64);
        out.add(&c::ROUTE_ERRORS, &labels, route.traffic.errors_total as f64);
        out.add(&c::ROUTE_IN_FLIGHT, &labels, route.traffic.in_flight as f64);
        latency(out, &c::ROUTE_LATENCY, &labels, &route.traffic);
        let classes = [route.status_1xx, route.status_2xx, route.status_3xx, route.status_4xx, route.status_5xx];
        for (class, count) in CLASSES.into_iter().zip(classes) {
            out.add(&c::ROUTE_RESPONSES, &[labels[0], labels[1], class], count as f64);
        }
        out.add(&c::ROUTE_RECEIVED, &labels, route.bytes_in as f64);
        out.add(&c::ROUTE_SENT, &labels, route.bytes_out as f64);
        for (quantile, us) in [("0.5", route.first_byte_us_p50), ("0.95", route.first_byte_us_p95), ("0.99", route.first_byte_us_p99)] {
            out.add(&c::ROUTE_FIRST_BYTE, &[labels[0], labels[1], quantile], seconds(us));
        }
        out.add(&c::ROUTE_QUEUE, &[labels[0], labels[1], "0.95"], seconds(route.queue_us_p95));
        out.add(&c::ROUTE_CLIENTS_LEFT, &labels, route.clients_left as f64);
        out.add(&c::ROUTE_HITS, &labels, route.hits as f64);
        out.add(&c::ROUTE_MISSES, &labels, route.misses as f64);
        out.add(&c::ROUTE_STALE, &labels, route.stale as f64);
        for (reason, count) in &route.bypasses {
            out.add(&c::ROUTE_BYPASSES, &[labels[0], labels[1], reason], *count as f64);
        }
    }
    if let Some(pages) = &edge.pages {
        let families = [
            &c::PAGES_ENTRIES,
            &c::PAGES_BYTES,
            &c::PAGES_BYTES_MAX,
            &c::PAGES_HITS,
            &c::PAGES_MISSES,
            &c::PAGES_INVALIDATED,
            &c::PAGES_EVICTED,
        ];
        store(out, families, &[], pages);
    }
    if let Some(disk) = &edge.pages_disk {
        out.add(&c::PAGES_DISK_ENTRIES, &[], disk.entries as f64);
        out.add(&c::PAGES_DISK_BYTES, &[], disk.bytes as f64);
        out.add(&c::PAGES_DISK_BYTES_MAX, &[], disk.bytes_max as f64);
        out.add(&c::PAGES_DISK_HITS, &[], disk.hits as f64);
        out.add(&c::PAGES_DISK_ERRORS, &[], disk.errors as f64);
        out.add(&c::PAGES_DISK_CORRUPT, &[], disk.corrupt as f64);
    }
}

fn pools(out: &mut Exposition, status: &Status) {
    for pool in &status.pools {
        out.add(&c::POOL_RETRIES, &[&pool.name], pool.retries_total as f64);
        out.add(&c::POOL_RETRIES_REFUSED, &[&pool.name], pool.retries_refused_total as f64);
        out.add(&c::POOL_WAITING, &[&pool.name], pool.waiting as f64);
    }
    for (pool, upstream) in status.pools.iter().flat_map(|pool| pool.upstreams.iter().map(move |upstream| (pool, upstream))) {
        let labels = [pool.name.as_str(), upstream.name.as_str()];
        out.add(&c::UPSTREAM_UP, &labels, f64::from(u8::from(upstream.health == "up")));
        out.add(&c::UPSTREAM_REQUESTS, &labels, upstream.traffic.requests_total as f64);
        out.add(&c::UPSTREAM_ERRORS, &labels, upstream.traffic.errors_total as f64);
        out.add(&c::UPSTREAM_IN_FLIGHT, &labels, upstream.traffic.in_flight as f64);
        latency(out, &c::UPSTREAM_LATENCY, &labels, &upstream.traffic);
        let connects = &upstream.connects;
        out.add(&c::UPSTREAM_CONNECTS, &labels, connects.total as f64);
        out.add(&c::UPSTREAM_CONNECT_ERRORS, &labels, connects.failed as f64);
        for (quantile, us) in [("0.5", connects.us_p50), ("0.95", connects.us_p95), ("1", connects.us_max)] {
            out.add(&c::UPSTREAM_CONNECT, &[labels[0], labels[1], quantile], seconds(us));
        }
        if let Some(worker) = &upstream.worker {
            out.add(&c::WORKER_MEMORY, &labels, worker.memory_bytes as f64);
            out.add(&c::WORKER_CPU, &labels, worker.cpu_ms as f64 / 1000.0);
            out.add(&c::WORKER_DESCRIPTORS, &labels, worker.descriptors as f64);
            out.add(&c::WORKER_DESCRIPTORS_MAX, &labels, worker.descriptors_max as f64);
            if let Some(ms) = worker.ready_after_ms {
                out.add(&c::WORKER_STARTED, &labels, ms as f64 / 1000.0);
            }
            out.add(&c::WORKER_RESTARTS, &labels, worker.restarts as f64);
            out.add(&c::WORKER_READY, &labels, f64::from(u8::from(worker.state == "ready")));
        }
    }
}

fn servers(out: &mut Exposition, sql: &str, cluster: &Cluster) {
    out.add(&c::SQL_EPOCH, &[sql], cluster.epoch as f64);
    out.add(&c::SQL_REPLICA_READS, &[sql], cluster.replica_reads_total as f64);
    for (reason, count) in &cluster.primary_reasons {
        out.add(&c::SQL_PRIMARY_STATEMENTS, &[sql, reason], *count as f64);
    }
    for member in &cluster.members {
        let up = matches!(&*member.state, "serving" | "following");
        out.add(&c::SQL_MEMBER_UP, &[sql, &member.name, &member.role], f64::from(u8::from(up)));
        if let Some(lag) = member.lag_transactions {
            out.add(&c::SQL_MEMBER_LAG, &[sql, &member.name], lag as f64);
        }
    }
}

fn databases(out: &mut Exposition, status: &Status) {
    for sql in &status.sql {
        let labels = [sql.name.as_str()];
        out.add(&c::SQL_CONNECTIONS, &labels, sql.connections as f64);
        out.add(&c::SQL_CONNECTIONS_MAX, &labels, sql.connections_max as f64);
        out.add(&c::SQL_STATEMENTS, &labels, sql.traffic.requests_total as f64);
        out.add(&c::SQL_ERRORS, &labels, sql.traffic.errors_total as f64);
        out.add(&c::SQL_IN_FLIGHT, &labels, sql.traffic.in_flight as f64);
        latency(out, &c::SQL_LATENCY, &labels, &sql.traffic);
        for (reason, count) in &sql.pins {
            out.add(&c::SQL_PINS, &[sql.name.as_str(), reason.as_str()], *count as f64);
        }
        out.add(&c::SQL_POOL_WAITS, &labels, sql.pool_waits_total as f64);
        out.add(&c::SQL_READS, &labels, sql.reads_total as f64);
        out.add(&c::SQL_WRITES, &labels, sql.writes_total as f64);
        if let Some(cluster) = &sql.cluster {
            servers(out, &sql.name, cluster);
        }
        if let Some(results) = &sql.results {
            let families = [
                &c::RESULTS_ENTRIES,
                &c::RESULTS_BYTES,
                &c::RESULTS_BYTES_MAX,
                &c::RESULTS_HITS,
                &c::RESULTS_MISSES,
                &c::RESULTS_INVALIDATED,
                &c::RESULTS_EVICTED,
            ];
            store(out, families, &labels, results);
        }
        for used in sql.tables.iter().take(TABLES_MAX) {
            for (kind, times) in [("read", used.reads), ("insert", used.inserts), ("update", used.updates), ("delete", used.deletes)] {
                out.add(&c::SQL_TABLE_STATEMENTS, &[sql.name.as_str(), used.name.as_str(), kind], times as f64);
            }
            out.add(&c::SQL_TABLE_ROW_MEAN, &[sql.name.as_str(), used.name.as_str()], used.row_bytes_mean as f64);
            out.add(&c::SQL_TABLE_ROW_MAX, &[sql.name.as_str(), used.name.as_str()], used.row_bytes_max as f64);
        }
        let mut shown: Vec<String> = Vec::new();
        for digest in sql.digests.iter().take(DIGESTS_MAX) {
            let text: String = digest.text.chars().take(DIGEST_CHARS_MAX).collect();
            // Two statements that begin alike would be one series twice, which a scraper refuses as a whole.
            if shown.contains(&text) {
                continue;
            }
            let labels = [sql.name.as_str(), text.as_str()];
            out.add(&c::SQL_DIGEST_CALLS, &labels, digest.count as f64);
            out.add(&c::SQL_DIGEST_SECONDS, &labels, seconds(digest.total_us));
            out.add(&c::SQL_DIGEST_ERRORS, &labels, digest.errors as f64);
            for (quantile, us) in [("0.5", digest.p50_us), ("0.95", digest.p95_us), ("0.99", digest.p99_us), ("1", digest.max_us)] {
                out.add(&c::SQL_DIGEST_LATENCY, &[labels[0], labels[1], quantile], seconds(us));
            }
            shown.push(text);
        }
    }
}

fn latency(out: &mut Exposition, family: &'static Family, labels: &[&str], traffic: &Traffic) {
    let quantiles = [
        ("0.5", traffic.latency_us_p50),
        ("0.95", traffic.latency_us_p95),
        ("0.99", traffic.latency_us_p99),
        ("1", traffic.latency_us_max),
    ];
    for (quantile, us) in quantiles {
        out.add(family, &[labels, &[quantile]].concat(), seconds(us));
    }
}

fn store(out: &mut Exposition, families: [&'static Family; 7], labels: &[&str], store: &Store) {
    let values = [store.entries, store.bytes, store.bytes_max, store.hits, store.misses, store.invalidated, store.evicted];
    for (family, value) in families.into_iter().zip(values) {
        out.add(family, labels, value as f64);
    }
}

fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

#[cfg(test)]
mod tests;
