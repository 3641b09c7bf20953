//! Databases, their servers, statements and results.
use super::{Family, Kind};

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
