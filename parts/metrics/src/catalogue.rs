//! Every family of `/metrics`, declared once: the exposition, the manual and the console read it from here.

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
    &EDGE_CONNECTIONS,
    &EDGE_REQUESTS,
    &EDGE_ERRORS,
    &EDGE_RESPONSES,
    &EDGE_IN_FLIGHT,
    &EDGE_LATENCY,
    &EDGE_QUEUE,
    &EDGE_RECEIVED,
    &EDGE_SENT,
    &ROUTE_REQUESTS,
    &ROUTE_ERRORS,
    &ROUTE_IN_FLIGHT,
    &ROUTE_LATENCY,
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
    &UPSTREAM_UP,
    &UPSTREAM_REQUESTS,
    &UPSTREAM_ERRORS,
    &UPSTREAM_IN_FLIGHT,
    &UPSTREAM_LATENCY,
    &WORKER_MEMORY,
    &WORKER_CPU,
    &WORKER_RESTARTS,
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

pub static BUILD: Family = Family {
    name: "pumasi_build_info",
    kind: Kind::Gauge,
    unit: "the constant 1",
    labels: &["version"],
    meaning: "The running version, as a label.",
    remedy: "Nothing to do; join it to other series to see which version they come from.",
};

pub static UPTIME: Family = Family {
    name: "pumasi_uptime_seconds",
    kind: Kind::Gauge,
    unit: "seconds",
    labels: &[],
    meaning: "Time since Pumasi started.",
    remedy: "A drop is a restart: the events page and the log say why.",
};

pub static CPU: Family = Family {
    name: "pumasi_cpu_seconds_total",
    kind: Kind::Counter,
    unit: "seconds",
    labels: &[],
    meaning: "CPU time of Pumasi's own process, user and system.",
    remedy: "Near one second per second and core, Pumasi itself is the limit: look at which tier's rate grew.",
};

pub static MEMORY: Family = Family {
    name: "pumasi_memory_bytes",
    kind: Kind::Gauge,
    unit: "bytes",
    labels: &[],
    meaning: "Resident memory of Pumasi's own process.",
    remedy: "Compare with the budgets of pages and results; lower them if the machine is short.",
};

pub static EDGE_CONNECTIONS: Family = Family {
    name: "pumasi_edge_connections",
    kind: Kind::Gauge,
    unit: "connections",
    labels: &[],
    meaning: "Client connections open now.",
    remedy: "Near edge.limits.connections_max, new clients are refused: raise it or shorten edge.limits.idle_timeout.",
};

pub static EDGE_REQUESTS: Family = Family {
    name: "pumasi_edge_requests_total",
    kind: Kind::Counter,
    unit: "requests",
    labels: &[],
    meaning: "Requests answered by the edge.",
    remedy: "A fall to zero with clients about: look at the listeners and at pumasi_edge_connections.",
};

pub static EDGE_ERRORS: Family = Family {
    name: "pumasi_edge_errors_total",
    kind: Kind::Counter,
    unit: "requests",
    labels: &[],
    meaning: "Requests answered with a status of 500 or above.",
    remedy: "The route and upstream series say where they come from.",
};

pub static EDGE_RESPONSES: Family = Family {
    name: "pumasi_edge_responses_total",
    kind: Kind::Counter,
    unit: "responses",
    labels: &["class"],
    meaning: "Answers by class of status: 1xx to 5xx.",
    remedy: "Growing 4xx is usually a broken link or a scan; growing 5xx is the application or its database.",
};

pub static EDGE_IN_FLIGHT: Family = Family {
    name: "pumasi_edge_in_flight",
    kind: Kind::Gauge,
    unit: "requests",
    labels: &[],
    meaning: "Requests being served now.",
    remedy: "Growing while the rate does not: the application is slower than its visitors.",
};

pub static EDGE_LATENCY: Family = Family {
    name: "pumasi_edge_latency_seconds",
    kind: Kind::Gauge,
    unit: "seconds",
    labels: &["quantile"],
    meaning: "Time from a request's head to its answer's end, over the last ten seconds.",
    remedy: "Compare with the upstream's latency: the difference was spent waiting for a worker.",
};

pub static EDGE_QUEUE: Family = Family {
    name: "pumasi_edge_queue_seconds",
    kind: Kind::Gauge,
    unit: "seconds",
    labels: &["quantile"],
    meaning: "Time requests waited for a place at an upstream, over the last ten seconds.",
    remedy: "Above a tenth of the latency there are too few workers: raise pool.NAME.workers.",
};

pub static EDGE_RECEIVED: Family = Family {
    name: "pumasi_edge_received_bytes_total",
    kind: Kind::Counter,
    unit: "bytes",
    labels: &[],
    meaning: "Bytes received from clients.",
    remedy: "Nothing to do by itself.",
};

pub static EDGE_SENT: Family = Family {
    name: "pumasi_edge_sent_bytes_total",
    kind: Kind::Counter,
    unit: "bytes",
    labels: &[],
    meaning: "Bytes sent to clients.",
    remedy: "Nothing to do by itself.",
};

pub static ROUTE_REQUESTS: Family = Family {
    name: "pumasi_route_requests_total",
    kind: Kind::Counter,
    unit: "requests",
    labels: &["route", "pool"],
    meaning: "Requests answered on a route.",
    remedy: "Nothing to do by itself.",
};

pub static ROUTE_ERRORS: Family = Family {
    name: "pumasi_route_errors_total",
    kind: Kind::Counter,
    unit: "requests",
    labels: &["route", "pool"],
    meaning: "Requests on a route answered with a status of 500 or above.",
    remedy: "Look at the upstreams of its pool and at their output.",
};

pub static ROUTE_IN_FLIGHT: Family = Family {
    name: "pumasi_route_in_flight",
    kind: Kind::Gauge,
    unit: "requests",
    labels: &["route", "pool"],
    meaning: "Requests of a route being served now.",
    remedy: "One route that holds most of them is the slow one.",
};

pub static ROUTE_LATENCY: Family = Family {
    name: "pumasi_route_latency_seconds",
    kind: Kind::Gauge,
    unit: "seconds",
    labels: &["route", "pool", "quantile"],
    meaning: "Latency of a route over the last ten seconds.",
    remedy: "Look at the digests its pages send, and whether its pages are kept.",
};

pub static ROUTE_HITS: Family = Family {
    name: "pumasi_route_page_hits_total",
    kind: Kind::Counter,
    unit: "requests",
    labels: &["route", "pool"],
    meaning: "Requests answered from the page store.",
    remedy: "Low next to misses: look at the bypass reasons.",
};

pub static ROUTE_MISSES: Family = Family {
    name: "pumasi_route_page_misses_total",
    kind: Kind::Counter,
    unit: "requests",
    labels: &["route", "pool"],
    meaning: "Requests looked for in the page store and not found.",
    remedy: "High with few invalidations: the budget edge.pages.memory may be small.",
};

pub static ROUTE_STALE: Family = Family {
    name: "pumasi_route_page_stale_total",
    kind: Kind::Counter,
    unit: "requests",
    labels: &["route", "pool"],
    meaning: "Requests answered with a stale page under a rule that allows it.",
    remedy: "Nothing to do if the rule was meant.",
};

pub static ROUTE_BYPASSES: Family = Family {
    name: "pumasi_route_page_bypasses_total",
    kind: Kind::Counter,
    unit: "requests",
    labels: &["route", "pool", "reason"],
    meaning: "Requests or answers that could not be kept, by reason.",
    remedy: "The manual's page on automatic pages says what each reason means and what would lift it.",
};

pub static PAGES_ENTRIES: Family = Family {
    name: "pumasi_pages_entries",
    kind: Kind::Gauge,
    unit: "entries",
    labels: &[],
    meaning: "Pages kept now.",
    remedy: "Nothing to do by itself.",
};

pub static PAGES_BYTES: Family = Family {
    name: "pumasi_pages_bytes",
    kind: Kind::Gauge,
    unit: "bytes",
    labels: &[],
    meaning: "Memory of the kept pages.",
    remedy: "At its bound, see evictions.",
};

pub static PAGES_BYTES_MAX: Family = Family {
    name: "pumasi_pages_bytes_max",
    kind: Kind::Gauge,
    unit: "bytes",
    labels: &[],
    meaning: "The budget for kept pages.",
    remedy: "Set by edge.pages.memory.",
};

pub static PAGES_HITS: Family = Family {
    name: "pumasi_pages_hits_total",
    kind: Kind::Counter,
    unit: "lookups",
    labels: &[],
    meaning: "Lookups of pages that found a fresh one.",
    remedy: "Nothing to do by itself.",
};

pub static PAGES_MISSES: Family = Family {
    name: "pumasi_pages_misses_total",
    kind: Kind::Counter,
    unit: "lookups",
    labels: &[],
    meaning: "Lookups of pages that found none.",
    remedy: "Compare with invalidations and evictions to learn why.",
};

pub static PAGES_INVALIDATED: Family = Family {
    name: "pumasi_pages_invalidated_total",
    kind: Kind::Counter,
    unit: "entries",
    labels: &[],
    meaning: "Pages dropped because a write changed what they were made of.",
    remedy: "Higher than hits: writes are too frequent for keeping to pay off.",
};

pub static PAGES_EVICTED: Family = Family {
    name: "pumasi_pages_evicted_total",
    kind: Kind::Counter,
    unit: "entries",
    labels: &[],
    meaning: "Pages dropped to make room.",
    remedy: "Growing steadily while misses are high: raise edge.pages.memory.",
};

pub static PAGES_DISK_ENTRIES: Family = Family {
    name: "pumasi_pages_disk_entries",
    kind: Kind::Gauge,
    unit: "entries",
    labels: &[],
    meaning: "Pages on disk now.",
    remedy: "Nothing to do by itself.",
};

pub static PAGES_DISK_BYTES: Family = Family {
    name: "pumasi_pages_disk_bytes",
    kind: Kind::Gauge,
    unit: "bytes",
    labels: &[],
    meaning: "All files of pages on disk.",
    remedy: "At its bound the oldest part goes.",
};

pub static PAGES_DISK_BYTES_MAX: Family = Family {
    name: "pumasi_pages_disk_bytes_max",
    kind: Kind::Gauge,
    unit: "bytes",
    labels: &[],
    meaning: "The budget for pages on disk.",
    remedy: "Set by edge.pages.disk_size.",
};

pub static PAGES_DISK_HITS: Family = Family {
    name: "pumasi_pages_disk_hits_total",
    kind: Kind::Counter,
    unit: "pages",
    labels: &[],
    meaning: "Pages read back from disk into memory.",
    remedy: "Many beside few hits in memory: raise edge.pages.memory.",
};

pub static PAGES_DISK_ERRORS: Family = Family {
    name: "pumasi_pages_disk_errors_total",
    kind: Kind::Counter,
    unit: "operations",
    labels: &[],
    meaning: "Reads and writes of pages on disk that failed; each cost a hit at most.",
    remedy: "Growing: the disk is full, or fails. The log says which.",
};

pub static PAGES_DISK_CORRUPT: Family = Family {
    name: "pumasi_pages_disk_corrupt_total",
    kind: Kind::Counter,
    unit: "pages",
    labels: &[],
    meaning: "Pages on disk that were not what had been written; they are forgotten.",
    remedy: "Growing: check the disk.",
};

pub static UPSTREAM_UP: Family = Family {
    name: "pumasi_upstream_up",
    kind: Kind::Gauge,
    unit: "0 or 1",
    labels: &["pool", "upstream"],
    meaning: "1 while an upstream takes requests, 0 while it is probed, ejected or draining.",
    remedy: "At 0: the events page has the reason; a worker's has the last lines of its output.",
};

pub static UPSTREAM_REQUESTS: Family = Family {
    name: "pumasi_upstream_requests_total",
    kind: Kind::Counter,
    unit: "requests",
    labels: &["pool", "upstream"],
    meaning: "Requests sent to an upstream.",
    remedy: "Uneven among equals: one of them is slow or was ejected.",
};

pub static UPSTREAM_ERRORS: Family = Family {
    name: "pumasi_upstream_errors_total",
    kind: Kind::Counter,
    unit: "requests",
    labels: &["pool", "upstream"],
    meaning: "Requests an upstream failed or answered with a status of 500 or above.",
    remedy: "Look at its output.",
};

pub static UPSTREAM_IN_FLIGHT: Family = Family {
    name: "pumasi_upstream_in_flight",
    kind: Kind::Gauge,
    unit: "requests",
    labels: &["pool", "upstream"],
    meaning: "Requests an upstream is working on now.",
    remedy: "At the pool's concurrency_max, further requests wait.",
};

pub static UPSTREAM_LATENCY: Family = Family {
    name: "pumasi_upstream_latency_seconds",
    kind: Kind::Gauge,
    unit: "seconds",
    labels: &["pool", "upstream", "quantile"],
    meaning: "An upstream's time to answer, over the last ten seconds.",
    remedy: "One that is slower than its equals deserves a look; all of them slow: look at the database.",
};

pub static WORKER_MEMORY: Family = Family {
    name: "pumasi_worker_memory_bytes",
    kind: Kind::Gauge,
    unit: "bytes",
    labels: &["pool", "worker"],
    meaning: "Resident memory of a worker and its children.",
    remedy: "Growing without end is a leak in the application.",
};

pub static WORKER_CPU: Family = Family {
    name: "pumasi_worker_cpu_seconds_total",
    kind: Kind::Counter,
    unit: "seconds",
    labels: &["pool", "worker"],
    meaning: "CPU time of a worker since it started.",
    remedy: "Near one second per second for every worker: the application is CPU-bound; more workers help while cores are free.",
};

pub static WORKER_RESTARTS: Family = Family {
    name: "pumasi_worker_restarts_total",
    kind: Kind::Counter,
    unit: "restarts",
    labels: &["pool", "worker"],
    meaning: "How often a worker was started again after it died.",
    remedy: "Any growth is a crash: the events page has its last words.",
};

pub static WORKER_READY: Family = Family {
    name: "pumasi_worker_ready",
    kind: Kind::Gauge,
    unit: "0 or 1",
    labels: &["pool", "worker"],
    meaning: "1 while a worker is ready.",
    remedy: "At 0 for long: it does not start, does not pass its probe, or was given up.",
};

pub static SQL_CONNECTIONS: Family = Family {
    name: "pumasi_sql_connections",
    kind: Kind::Gauge,
    unit: "connections",
    labels: &["sql"],
    meaning: "Database sessions open now.",
    remedy: "Nothing to do by itself.",
};

pub static SQL_CONNECTIONS_MAX: Family = Family {
    name: "pumasi_sql_connections_max",
    kind: Kind::Gauge,
    unit: "connections",
    labels: &["sql"],
    meaning: "The most there may be; the next is refused with error 1040.",
    remedy: "Set by sql.NAME.connections_max.",
};

pub static SQL_STATEMENTS: Family = Family {
    name: "pumasi_sql_statements_total",
    kind: Kind::Counter,
    unit: "statements",
    labels: &["sql"],
    meaning: "Statements answered.",
    remedy: "Divide by the edge's requests: more than a few dozen per page is a loop around a query.",
};

pub static SQL_ERRORS: Family = Family {
    name: "pumasi_sql_errors_total",
    kind: Kind::Counter,
    unit: "statements",
    labels: &["sql"],
    meaning: "Statements answered with an error.",
    remedy: "The log at level debug names the error code of each.",
};

pub static SQL_IN_FLIGHT: Family = Family {
    name: "pumasi_sql_in_flight",
    kind: Kind::Gauge,
    unit: "statements",
    labels: &["sql"],
    meaning: "Statements being executed now.",
    remedy: "More than twice the cores for long: the database is the limit.",
};

pub static SQL_LATENCY: Family = Family {
    name: "pumasi_sql_latency_seconds",
    kind: Kind::Gauge,
    unit: "seconds",
    labels: &["sql", "quantile"],
    meaning: "Time from a statement to the end of its result, over the last ten seconds.",
    remedy: "The digests page says which statement it is.",
};

pub static SQL_PINS: Family = Family {
    name: "pumasi_sql_pins_total",
    kind: Kind::Counter,
    unit: "sessions",
    labels: &["sql", "reason"],
    meaning: "Sessions that were kept on one server connection, by what they did.",
    remedy: "Many of one reason: the application does it at every login; without it, fewer server connections are enough.",
};

pub static SQL_POOL_WAITS: Family = Family {
    name: "pumasi_sql_pool_waits_total",
    kind: Kind::Counter,
    unit: "waits",
    labels: &["sql"],
    meaning: "Statements that waited for a server connection because others used them all.",
    remedy: "Raise sql.NAME.server_connections_max if the server has room, or shorten transactions.",
};

pub static SQL_READS: Family = Family {
    name: "pumasi_sql_reads_total",
    kind: Kind::Counter,
    unit: "statements",
    labels: &["sql"],
    meaning: "Statements that only read.",
    remedy: "Nothing to do by itself.",
};

pub static SQL_EPOCH: Family = Family {
    name: "pumasi_sql_epoch",
    kind: Kind::Gauge,
    unit: "promotions",
    labels: &["sql"],
    meaning: "One more with every promotion of another primary.",
    remedy: "When it grows, `pumasi sql status` says who was replaced and why.",
};

pub static SQL_MEMBER_UP: Family = Family {
    name: "pumasi_sql_member_up",
    kind: Kind::Gauge,
    unit: "servers",
    labels: &["sql", "member", "role"],
    meaning: "1 for a primary that serves and for a replica that follows it, 0 for any other server of the cluster.",
    remedy: "`pumasi sql status` says why a server is not used.",
};

pub static SQL_MEMBER_LAG: Family = Family {
    name: "pumasi_sql_member_lag_transactions",
    kind: Kind::Gauge,
    unit: "transactions",
    labels: &["sql", "member"],
    meaning: "Transactions that a replica has not applied yet of those acknowledged.",
    remedy: "While it lags, reads of what was just written go to the primary. For long: more replicas, or smaller transactions.",
};

pub static SQL_REPLICA_READS: Family = Family {
    name: "pumasi_sql_replica_reads_total",
    kind: Kind::Counter,
    unit: "statements",
    labels: &["sql"],
    meaning: "Reads that were sent to replicas.",
    remedy: "Few beside pumasi_sql_reads_total: pumasi_sql_primary_statements_total says why.",
};

pub static SQL_PRIMARY_STATEMENTS: Family = Family {
    name: "pumasi_sql_primary_statements_total",
    kind: Kind::Counter,
    unit: "statements",
    labels: &["sql", "reason"],
    meaning: "Statements outside transactions that were sent to the primary, by why no replica answered.",
    remedy: "The manual's chapter on databases lists what keeps a read from replicas.",
};

pub static SQL_WRITES: Family = Family {
    name: "pumasi_sql_writes_total",
    kind: Kind::Counter,
    unit: "statements",
    labels: &["sql"],
    meaning: "Statements that may write.",
    remedy: "Nothing to do by itself.",
};

pub static RESULTS_ENTRIES: Family = Family {
    name: "pumasi_results_entries",
    kind: Kind::Gauge,
    unit: "entries",
    labels: &["sql"],
    meaning: "Results kept now.",
    remedy: "Nothing to do by itself.",
};

pub static RESULTS_BYTES: Family = Family {
    name: "pumasi_results_bytes",
    kind: Kind::Gauge,
    unit: "bytes",
    labels: &["sql"],
    meaning: "Memory of the kept results.",
    remedy: "At its bound, see evictions.",
};

pub static RESULTS_BYTES_MAX: Family = Family {
    name: "pumasi_results_bytes_max",
    kind: Kind::Gauge,
    unit: "bytes",
    labels: &["sql"],
    meaning: "The budget for kept results.",
    remedy: "Set by sql.NAME.results_memory.",
};

pub static RESULTS_HITS: Family = Family {
    name: "pumasi_results_hits_total",
    kind: Kind::Counter,
    unit: "lookups",
    labels: &["sql"],
    meaning: "Lookups of results that found a fresh one.",
    remedy: "Nothing to do by itself.",
};

pub static RESULTS_MISSES: Family = Family {
    name: "pumasi_results_misses_total",
    kind: Kind::Counter,
    unit: "lookups",
    labels: &["sql"],
    meaning: "Lookups of results that found none.",
    remedy: "Compare with invalidations and evictions to learn why.",
};

pub static RESULTS_INVALIDATED: Family = Family {
    name: "pumasi_results_invalidated_total",
    kind: Kind::Counter,
    unit: "entries",
    labels: &["sql"],
    meaning: "Results dropped because a write changed what they were made of.",
    remedy: "Higher than hits: writes are too frequent for keeping to pay off.",
};

pub static RESULTS_EVICTED: Family = Family {
    name: "pumasi_results_evicted_total",
    kind: Kind::Counter,
    unit: "entries",
    labels: &["sql"],
    meaning: "Results dropped to make room.",
    remedy: "Growing steadily while misses are high: raise sql.NAME.results_memory.",
};

pub static SQL_DIGEST_CALLS: Family = Family {
    name: "pumasi_sql_digest_calls_total",
    kind: Kind::Counter,
    unit: "statements",
    labels: &["sql", "digest"],
    meaning: "Calls of the statements that took most time in total; at most 20 per database, texts cut at 120 characters.",
    remedy: "See the digests page for the rest.",
};

pub static SQL_DIGEST_SECONDS: Family = Family {
    name: "pumasi_sql_digest_seconds_total",
    kind: Kind::Counter,
    unit: "seconds",
    labels: &["sql", "digest"],
    meaning: "Time spent in them.",
    remedy: "The first candidate for an index, or for keeping its results.",
};

pub static SQL_DIGEST_ERRORS: Family = Family {
    name: "pumasi_sql_digest_errors_total",
    kind: Kind::Counter,
    unit: "statements",
    labels: &["sql", "digest"],
    meaning: "How many of them failed.",
    remedy: "Nothing to do by itself.",
};

pub static SQL_DIGEST_LATENCY: Family = Family {
    name: "pumasi_sql_digest_latency_seconds",
    kind: Kind::Gauge,
    unit: "seconds",
    labels: &["sql", "digest", "quantile"],
    meaning: "How long each of them takes, since the start and not over ten seconds; at most an eighth too high.",
    remedy: "A median far below the 0.99 speaks of waiting, for locks or for connections, and not of the statement itself.",
};

pub static SQL_TABLE_STATEMENTS: Family = Family {
    name: "pumasi_sql_table_statements_total",
    kind: Kind::Counter,
    unit: "statements",
    labels: &["sql", "table", "kind"],
    meaning: "Statements that name a table, by what they do to it (`read`, `insert`, `update`, `delete`); the 20 tables most used.",
    remedy: "Many reads and few writes: keep the results. Many of both: the first table to look at when the database is busy.",
};

pub static SQL_TABLE_ROW_MEAN: Family = Family {
    name: "pumasi_sql_table_row_bytes_mean",
    kind: Kind::Gauge,
    unit: "bytes",
    labels: &["sql", "table"],
    meaning: "Mean size of the rows that SELECTs of this table alone have sent, since the start.",
    remedy: "Large rows: select the columns that are needed.",
};

pub static SQL_TABLE_ROW_MAX: Family = Family {
    name: "pumasi_sql_table_row_bytes_max",
    kind: Kind::Gauge,
    unit: "bytes",
    labels: &["sql", "table"],
    meaning: "Size of the largest of them.",
    remedy: "One far above the mean: something stores files in its rows.",
};

#[cfg(test)]
mod tests;
