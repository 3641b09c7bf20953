//! What a running Pumasi says of itself: one picture of every tier, for the console, `/api/status` and `pumasi status`.
//!
//! Plain data. Each tier fills its own part from counters; nobody decides anything from these types.
//! Times are microseconds (`_us`), memory is bytes, rates are per second over the last ten seconds.

mod explained;

pub use explained::{DroppedPage, Explained, Invalidation, KeptPage, MadeOf, ReadTable, RefusedPage, TableTold, Trial, WriteTold};
use serde::{Deserialize, Serialize};

/// The whole picture at one instant.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Status {
    /// `CARGO_PKG_VERSION` of the running binary.
    pub version: String,
    pub uptime_s: u64,
    /// CPU time of Pumasi's own process (user + system), in milliseconds since its start.
    pub cpu_ms: u64,
    pub memory_bytes: u64,
    /// Files and sockets that Pumasi's own process has open, and how many it may have.
    #[serde(default)]
    pub descriptors: u64,
    #[serde(default)]
    pub descriptors_max: u64,
    #[serde(default)]
    pub host: Host,
    pub edge: Edge,
    pub pools: Vec<Pool>,
    pub sql: Vec<Sql>,
    /// Newest last; bounded by the tier that keeps them.
    pub events: Vec<Event>,
}

/// The machine, everything on it together. Counters are plain totals since it started; 0 is what the system does not tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Host {
    pub cores: u64,
    /// CPU time over all cores, milliseconds: in programs, in the kernel, waiting for a disk, and taken by other machines on the same hardware.
    pub cpu_user_ms: u64,
    pub cpu_system_ms: u64,
    pub cpu_iowait_ms: u64,
    pub cpu_steal_ms: u64,
    pub cpu_idle_ms: u64,
    pub memory_bytes: u64,
    /// What programs can still have without anything being swapped out.
    pub memory_available_bytes: u64,
    /// Reads and writes that disks have completed, and the time these took from being asked for: their quotient is what one waits.
    pub disk_operations: u64,
    pub disk_ms: u64,
    /// Over all interfaces but the loopback.
    pub network_in_bytes: u64,
    pub network_out_bytes: u64,
    /// Open files of the whole machine, and its bound.
    pub files: u64,
    pub files_max: u64,
    /// TCP sockets in use or waiting for their last packets (TIME_WAIT), and the local ports that outgoing connections can have.
    pub tcp_sockets: u64,
    pub tcp_time_wait: u64,
    pub ports: u64,
}

impl Status {
    /// Every table that something was invalidated by, for whoever knows names.
    pub fn tables_mut(&mut self) -> impl Iterator<Item = &mut TableTold> {
        let routes = self.edge.routes.iter_mut().flat_map(|route| route.invalidations.iter_mut());
        let digests = self.sql.iter_mut().flat_map(|sql| sql.digests.iter_mut()).flat_map(|digest| digest.invalidations.iter_mut());
        routes.chain(digests).filter_map(|one| one.table.as_mut())
    }
}

/// Requests as one place saw them. The default is a place that nobody asked anything: all of that succeeded.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Traffic {
    pub requests_total: u64,
    pub errors_total: u64,
    pub in_flight: u64,
    pub rate: f64,
    /// Share of answers that were not 5xx (edge) or not an error packet (sql), 0..=1; 1 when nothing was asked.
    pub success: f64,
    pub latency_us_p50: u64,
    pub latency_us_p95: u64,
    pub latency_us_p99: u64,
    pub latency_us_max: u64,
}

impl Default for Traffic {
    fn default() -> Self {
        Traffic {
            requests_total: 0,
            errors_total: 0,
            in_flight: 0,
            rate: 0.0,
            success: 1.0,
            latency_us_p50: 0,
            latency_us_p95: 0,
            latency_us_p99: 0,
            latency_us_max: 0,
        }
    }
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Edge {
    pub listeners: Vec<String>,
    pub connections: u64,
    pub traffic: Traffic,
    /// Time requests waited for a place at an upstream before they were sent.
    pub queue_us_p95: u64,
    pub status_1xx: u64,
    pub status_2xx: u64,
    pub status_3xx: u64,
    pub status_4xx: u64,
    pub status_5xx: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Connections turned away because there were too many.
    #[serde(default)]
    pub connections_refused: u64,
    /// Clients' TLS handshakes.
    #[serde(default)]
    pub handshakes: Handshakes,
    pub routes: Vec<Route>,
    pub pages: Option<Store>,
    /// Its second tier.
    #[serde(default)]
    pub pages_disk: Option<DiskStore>,
    /// Why kinds of pages are not kept any more, newest last; bounded by the edge.
    #[serde(default)]
    pub differences: Vec<PageDifference>,
}

/// TLS handshakes with clients since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handshakes {
    pub full: u64,
    /// By a ticket or session of before, at a fraction of the cost.
    pub resumed: u64,
    /// Refused by either side, or not done in time.
    pub failed: u64,
}

/// Two answers to the same question that differed although nothing they were made of had changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PageDifference {
    /// Route and path, numbers replaced by `*`.
    pub kind: String,
    pub at_unix_ms: u64,
    /// The first byte of the body that differs, and a little of both answers around it.
    pub offset: u64,
    pub before: String,
    pub after: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Route {
    /// The route as written in the configuration, `host/path`.
    pub route: String,
    pub pool: String,
    /// `off`, `standard` or `automatic`.
    pub pages: String,
    pub traffic: Traffic,
    #[serde(default)]
    pub status_1xx: u64,
    #[serde(default)]
    pub status_2xx: u64,
    #[serde(default)]
    pub status_3xx: u64,
    #[serde(default)]
    pub status_4xx: u64,
    #[serde(default)]
    pub status_5xx: u64,
    #[serde(default)]
    pub bytes_in: u64,
    #[serde(default)]
    pub bytes_out: u64,
    /// From a request's head to the head of its upstream's answer; what the store answers is not in it.
    #[serde(default)]
    pub first_byte_us_p50: u64,
    #[serde(default)]
    pub first_byte_us_p95: u64,
    #[serde(default)]
    pub first_byte_us_p99: u64,
    /// Time requests waited for a place at an upstream before they were sent.
    #[serde(default)]
    pub queue_us_p95: u64,
    /// Clients that went away, or were given up as too slow, while their answer was being fetched.
    #[serde(default)]
    pub clients_left: u64,
    pub hits: u64,
    pub misses: u64,
    pub stale: u64,
    /// Why answers were not looked for or not stored, with counts, most frequent first.
    pub bypasses: Vec<(String, u64)>,
    /// What made kept pages wrong, most often first.
    #[serde(default)]
    pub invalidations: Vec<Invalidation>,
}

/// Pages on disk, for when memory is too small and for after a restart.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DiskStore {
    pub entries: u64,
    pub bytes: u64,
    pub bytes_max: u64,
    /// Pages read back into memory.
    pub hits: u64,
    /// Reads and writes that failed; each cost a hit at most.
    pub errors: u64,
    /// Pages that were not what had been written.
    pub corrupt: u64,
}

/// One byte budget of stored answers (pages or query results).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Store {
    pub entries: u64,
    pub bytes: u64,
    pub bytes_max: u64,
    pub hits: u64,
    pub misses: u64,
    pub invalidated: u64,
    pub evicted: u64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Pool {
    pub name: String,
    pub policy: String,
    /// Requests that were sent to a second upstream, and those that were not because too many had been.
    #[serde(default)]
    pub retries_total: u64,
    #[serde(default)]
    pub retries_refused_total: u64,
    /// Requests that wait for a place now.
    #[serde(default)]
    pub waiting: u64,
    pub upstreams: Vec<Upstream>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Upstream {
    /// `app.1` for a worker, the address for a fixed upstream.
    pub name: String,
    pub address: String,
    /// `up`, `probing`, `ejected`, `draining`.
    pub health: String,
    pub traffic: Traffic,
    #[serde(default)]
    pub connects: Connects,
    /// Only when the upstream is a process that Pumasi runs.
    pub worker: Option<Worker>,
}

/// Connections opened to an upstream, TLS included; totals since the start, times over the last ten seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Connects {
    pub total: u64,
    pub failed: u64,
    pub us_p50: u64,
    pub us_p95: u64,
    pub us_max: u64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Worker {
    /// `starting`, `ready`, `draining`, `stopping`, `backing off`, `given up`.
    pub state: String,
    pub pid: Option<u32>,
    pub memory_bytes: u64,
    pub cpu_ms: u64,
    /// Files and sockets open in that of its processes that has most of them, and how many a process may have.
    #[serde(default)]
    pub descriptors: u64,
    #[serde(default)]
    pub descriptors_max: u64,
    pub restarts: u64,
    pub ready_after_ms: Option<u64>,
    /// How it ended the last time, with the last lines of its output.
    pub last_exit: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Sql {
    pub name: String,
    /// `embedded:FILE` or the primary's address, never a password.
    pub engine: String,
    pub address: String,
    pub connections: u64,
    pub connections_max: u64,
    pub traffic: Traffic,
    pub reads_total: u64,
    pub writes_total: u64,
    pub results: Option<Store>,
    /// A primary with replicas, or one that might have some.
    #[serde(default)]
    pub cluster: Option<Cluster>,
    /// How writes are followed, where answers are kept.
    pub followed: Option<Followed>,
    /// Slowest by total time first, at most 50.
    pub digests: Vec<Digest>,
    /// Most used first.
    #[serde(default)]
    pub tables: Vec<TableUse>,
    /// Why sessions were kept on one server connection, and how often.
    #[serde(default)]
    pub pins: Vec<(String, u64)>,
    /// How often a client had to wait for a server connection that others used.
    #[serde(default)]
    pub pool_waits_total: u64,
}

/// Servers behind one database, and who is the primary.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cluster {
    /// One more with every promotion.
    pub epoch: u64,
    /// `None` while there is none.
    pub primary: Option<String>,
    /// `automatic` or `manual`.
    pub failover: String,
    /// `fresh`, `primary` or `bounded 2s`.
    pub reads: String,
    /// Sequence number of the last transaction that was acknowledged to anybody through Pumasi.
    pub acknowledged: u64,
    /// Reads that replicas answered.
    pub replica_reads_total: u64,
    /// Statements that the primary answered, by reason; those that happened.
    pub primary_reasons: Vec<(String, u64)>,
    pub members: Vec<Member>,
    pub last_failover: Option<Failover>,
    /// What keeps all replicas from answering reads, if something does.
    #[serde(default)]
    pub notice: Option<String>,
}

/// One server of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Member {
    pub name: String,
    pub address: String,
    /// `primary` or `replica`.
    pub role: String,
    /// `serving`, `following`, `not following`, `drained`, `unreachable`.
    pub state: String,
    pub weight: u32,
    /// Sequence number of the last transaction it is known to have applied; `None` if that is not known.
    pub applied: Option<u64>,
    /// Transactions it is behind what was acknowledged.
    pub lag_transactions: Option<u64>,
    /// By its own clock.
    pub lag_ms: Option<u64>,
    /// Of the primary: a commit is acknowledged only when a replica has it.
    pub semi_sync: bool,
    /// Why it is not used.
    pub trouble: Option<String>,
    /// What of its settings takes something away from reads or failover, as sentences.
    #[serde(default)]
    pub objections: Vec<String>,
}

/// The latest promotion.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Failover {
    pub at_unix_ms: u64,
    pub from: String,
    pub to: String,
    pub reason: String,
    /// From the decision to the first write that was possible again.
    pub took_ms: u64,
    /// Acknowledged transactions that no server in reach had.
    pub lost: u64,
}

/// What is known of a database's writes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Followed {
    /// `row-exact`, `table-exact` or `off`, with the reason.
    pub mode: String,
    /// How far behind the binary log is; writes that do not pass through Pumasi are seen so late.
    pub lag_ms: Option<u64>,
    /// Transactions that did not pass through Pumasi, or whose answer was lost on the way to it.
    pub unseen_total: u64,
    /// Commits whose rows were known, and those whose rows came too late.
    pub exact_total: u64,
    pub late_total: u64,
    /// Commits that nothing had fenced, and outcomes that were never learnt: each emptied the stores.
    pub surprises_total: u64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Digest {
    /// The statement with literals replaced by `?`.
    pub text: String,
    pub count: u64,
    pub errors: u64,
    pub total_us: u64,
    pub max_us: u64,
    pub rows: u64,
    pub hits: u64,
    /// Since the start; at most an eighth too high.
    #[serde(default)]
    pub p50_us: u64,
    #[serde(default)]
    pub p95_us: u64,
    #[serde(default)]
    pub p99_us: u64,
    /// Why its results are not stored, if they are not.
    pub bypass: Option<String>,
    /// What made kept results wrong, most often first.
    #[serde(default)]
    pub invalidations: Vec<Invalidation>,
}

/// What statements did to one table since the start, by the names in their texts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TableUse {
    pub name: String,
    pub reads: u64,
    pub inserts: u64,
    pub updates: u64,
    pub deletes: u64,
    /// Of the rows that SELECTs of this table alone have sent; 0 if there were none.
    pub row_bytes_mean: u64,
    pub row_bytes_max: u64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Event {
    /// Milliseconds since the Unix epoch.
    pub at_unix_ms: u64,
    /// `info`, `warn` or `error`.
    pub level: String,
    /// Where it happened: `worker app.1`, `edge`, `configuration`.
    pub subject: String,
    pub message: String,
}
