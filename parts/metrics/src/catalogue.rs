//! Every family of `/metrics`, declared once: the exposition, the manual and the console read it from here.
mod edge;
mod own;
mod pages;
mod pools;
mod sql;

pub use edge::*;
pub use own::*;
pub use pages::*;
pub use pools::*;
pub use sql::*;

/// Samples of one name.
#[derive(Debug)]
pub struct Family {
    pub name: &'static str,
    pub kind: Kind,
    /// What one of it is: `seconds`, `bytes`, `requests`.
    pub unit: &'static str,
    pub labels: &'static [&'static str],
    /// One sentence; `# HELP` shows it.
    pub meaning: &'static str,
    /// What an operator does about it.
    pub remedy: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until a restart.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// The manual's page, `docs/metrics.md`.
pub fn manual() -> String {
    let mut text = String::from(MANUAL_HEAD);
    for family in ALL {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = if labels.is_empty() { String::new() } else { format!(", by {}", labels.join(", ")) };
        text += &format!(
            "## `{}`\n\n{kind}, in {}{labels}. {}\n\n*What to do:* {}\n\n",
            family.name, family.unit, family.meaning, family.remedy
        );
    }
    text.pop();
    text
}

const MANUAL_HEAD: &str = "\
# Metrics

The console answers `GET /metrics` in Prometheus' text format. This page is generated from `parts/metrics/src/catalogue.rs`.
Quantiles are gauges over the last ten seconds, with the label `quantile` (`0.5`, `0.95`, `0.99`, `1` for the maximum).

";

/// In the order of the manual and of the exposition.
pub const ALL: &[&Family] = &[
    &BUILD,
    &UPTIME,
    &CPU,
    &MEMORY,
    &DESCRIPTORS,
    &DESCRIPTORS_MAX,
    &HOST_CORES,
    &HOST_CPU,
    &HOST_MEMORY,
    &HOST_MEMORY_AVAILABLE,
    &HOST_DISK_OPERATIONS,
    &HOST_DISK_SECONDS,
    &HOST_NETWORK,
    &HOST_FILES,
    &HOST_FILES_MAX,
    &HOST_TCP,
    &HOST_PORTS,
    &EDGE_CONNECTIONS,
    &EDGE_REQUESTS,
    &EDGE_ERRORS,
    &EDGE_RESPONSES,
    &EDGE_IN_FLIGHT,
    &EDGE_LATENCY,
    &EDGE_QUEUE,
    &EDGE_RECEIVED,
    &EDGE_SENT,
    &EDGE_CONNECTIONS_REFUSED,
    &EDGE_HANDSHAKES,
    &ROUTE_REQUESTS,
    &ROUTE_ERRORS,
    &ROUTE_RESPONSES,
    &ROUTE_RECEIVED,
    &ROUTE_SENT,
    &ROUTE_IN_FLIGHT,
    &ROUTE_LATENCY,
    &ROUTE_FIRST_BYTE,
    &ROUTE_QUEUE,
    &ROUTE_CLIENTS_LEFT,
    &ROUTE_HITS,
    &ROUTE_MISSES,
    &ROUTE_STALE,
    &ROUTE_BYPASSES,
    &PAGES_ENTRIES,
    &PAGES_BYTES,
    &PAGES_BYTES_MAX,
    &PAGES_HITS,
    &PAGES_MISSES,
    &PAGES_INVALIDATED,
    &PAGES_EVICTED,
    &PAGES_DISK_ENTRIES,
    &PAGES_DISK_BYTES,
    &PAGES_DISK_BYTES_MAX,
    &PAGES_DISK_HITS,
    &PAGES_DISK_ERRORS,
    &PAGES_DISK_CORRUPT,
    &POOL_RETRIES,
    &POOL_RETRIES_REFUSED,
    &POOL_WAITING,
    &UPSTREAM_UP,
    &UPSTREAM_REQUESTS,
    &UPSTREAM_ERRORS,
    &UPSTREAM_IN_FLIGHT,
    &UPSTREAM_LATENCY,
    &UPSTREAM_CONNECTS,
    &UPSTREAM_CONNECT_ERRORS,
    &UPSTREAM_CONNECT,
    &WORKER_MEMORY,
    &WORKER_CPU,
    &WORKER_DESCRIPTORS,
    &WORKER_DESCRIPTORS_MAX,
    &WORKER_RESTARTS,
    &WORKER_STARTED,
    &WORKER_READY,
    &SQL_CONNECTIONS,
    &SQL_CONNECTIONS_MAX,
    &SQL_STATEMENTS,
    &SQL_ERRORS,
    &SQL_IN_FLIGHT,
    &SQL_LATENCY,
    &SQL_PINS,
    &SQL_POOL_WAITS,
    &SQL_READS,
    &SQL_WRITES,
    &SQL_EPOCH,
    &SQL_MEMBER_UP,
    &SQL_MEMBER_LAG,
    &SQL_REPLICA_READS,
    &SQL_PRIMARY_STATEMENTS,
    &RESULTS_ENTRIES,
    &RESULTS_BYTES,
    &RESULTS_BYTES_MAX,
    &RESULTS_HITS,
    &RESULTS_MISSES,
    &RESULTS_INVALIDATED,
    &RESULTS_EVICTED,
    &SQL_DIGEST_CALLS,
    &SQL_DIGEST_SECONDS,
    &SQL_DIGEST_ERRORS,
    &SQL_DIGEST_LATENCY,
    &SQL_TABLE_STATEMENTS,
    &SQL_TABLE_ROW_MEAN,
    &SQL_TABLE_ROW_MAX,
];

#[cfg(test)]
mod tests;
