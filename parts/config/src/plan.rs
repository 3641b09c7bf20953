//! The configuration, resolved and checked: every default filled in, every reference known to exist.
//!
//! What was written in the file is `Raw`; this is what the tiers are started with. Everything here is cheap to clone and
//! compare: a reload compares two plans and changes what differs.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use crate::{network::Network, template::Template};

/// A whole `pumasi.toml`.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Where Pumasi keeps what must survive a restart: the console's token, embedded databases, logs.
    pub state: PathBuf,
    pub log: LogPlan,
    pub trace: TracePlan,
    /// `listen` is empty when there is no pool at all: a database needs no edge.
    pub edge: EdgePlan,
    pub pools: BTreeMap<String, PoolPlan>,
    pub sql: BTreeMap<String, SqlPlan>,
    pub console: Option<ConsolePlan>,
}

/// What is told of single requests, and to whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TracePlan {
    /// `HOST:PORT` and path of a collector.
    pub collector: Option<(String, String)>,
    /// Of the requests without a caller's decision, one in so many is sampled; 0: none.
    pub one_in: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct LogPlan {
    /// `error`, `warn`, `info`, `debug`, `trace`, or tracing's directive syntax.
    pub level: String,
    pub json: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct EdgePlan {
    pub listen: Vec<SocketAddr>,
    /// `None`: no TLS listener.
    pub tls: Option<TlsPlan>,
    /// Listeners whose connections are passed on without being understood.
    pub tcp: Vec<TcpPlan>,
    /// Every connection to any listener begins with a PROXY protocol header, from a balancer in front of this one.
    pub proxy_protocol: bool,
    /// Whose X-Forwarded-* and the like are believed.
    pub trusted_proxies: Vec<Network>,
    /// With `proxy_protocol`: only `trusted_proxies` may send its header, because they were written down.
    pub proxy_protocol_from_trusted: bool,
    /// Event loops; one per core unless set.
    pub threads: usize,
    pub routes: Vec<RoutePlan>,
    pub limits: EdgeLimits,
    pub access_log: AccessLog,
    pub pages: PagesPlan,
}

/// TLS termination. Certificates are read by the edge when it starts and at every reload.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsPlan {
    pub listen: Vec<SocketAddr>,
    /// Chosen by the name the client asks for; the first answers for all other names. Not empty.
    pub certificates: Vec<CertificatePlan>,
    /// Clients must show a certificate that one of the authorities in this file signed.
    pub client_authorities: Option<PathBuf>,
    /// Offer HTTP/2.
    pub http2: bool,
}

/// Connections to `listen` are passed on to a member of `pool`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpPlan {
    pub listen: SocketAddr,
    /// Only TLS connections that ask for one of these names, lower case, `*.` for every name below. Empty: every connection.
    pub names: Vec<String>,
    pub pool: String,
    /// The member is told who connected.
    pub send: ProxyProtocol,
}

/// Which PROXY protocol header a connection to an upstream begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    Off,
    /// One line of text.
    V1,
    /// Binary.
    V2,
}

/// Two PEM files.
#[derive(Clone, Debug, PartialEq)]
pub struct CertificatePlan {
    /// The certificate, then those that lead to its authority.
    pub chain: PathBuf,
    pub key: PathBuf,
}

/// Routes are tried in the order of the file's most specific first: exact host before wildcard host before any; longer path first.
#[derive(Clone, Debug, PartialEq)]
pub struct RoutePlan {
    /// `example.org`, `*.example.org`, or `None` for any.
    pub host: Option<String>,
    /// `/api/*` (prefix) or `/health` (exact).
    pub path: String,
    /// Empty if `files` answer.
    pub pool: String,
    pub pages: PagesMode,
    /// Static content in place of a pool.
    pub files: Option<FilesPlan>,
}

/// The static content of a route.
#[derive(Clone, Debug, PartialEq)]
pub struct FilesPlan {
    pub directory: PathBuf,
    /// What Cache-Control says; `None`: there is none.
    pub cache_control: Option<String>,
    /// Files beside a file (`.br`, `.zst`, `.gz`) are its compressed forms.
    pub precompressed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PagesMode {
    Off,
    /// RFC 9111 only.
    Standard,
    /// RFC 9111, and pages that no header allows to store are kept as long as no write changed a row they were made of.
    Automatic,
}

/// The page store and what decides about it.
#[derive(Clone, Debug, PartialEq)]
pub struct PagesPlan {
    /// One budget for bodies, heads and index, in bytes.
    pub memory_bytes: u64,
    /// Larger answers stream through and are not stored.
    pub object_bytes_max: u64,
    /// Cookies that do not make a page personal (analytics); all others do.
    pub ignore_cookies: Vec<String>,
    /// Requests that may wait for one fetch; the next is answered 503.
    pub waiters_max: usize,
    /// How long a request waits for another's fetch before it fetches for itself.
    pub wait_max: Duration,
    /// Who leaves when room is needed.
    pub eviction: EvictionPolicy,
    /// How long a page may be served past its lifetime when the origin fails and said nothing about it. Zero: not at all.
    pub stale_if_error: Duration,
    /// How long past its lifetime while it is refetched in the background, when the origin said nothing about it. Zero: not at all.
    pub stale_while_revalidate: Duration,
    /// Lifetime of 404, 410 and the like that come without one. Zero: they are not kept.
    pub missing_for: Duration,
    /// Where pages are kept beside memory, and how many bytes of them; `None`: nowhere.
    pub disk: Option<DiskPlan>,
    /// Codings in which stored pages are kept as well, in the order of preference; empty if nothing is compressed.
    pub compress: Vec<CompressCoding>,
    /// Smaller pages are sent as they are.
    pub compress_bytes_min: u64,
    /// Media types in lower case; `text/*` and `*+json` stand for many.
    pub compress_types: Vec<String>,
}

/// The disk tier of the page store.
#[derive(Clone, Debug, PartialEq)]
pub struct DiskPlan {
    pub directory: PathBuf,
    /// All files together.
    pub bytes: u64,
}

/// A content coding of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressCoding {
    Gzip,
    Brotli,
    Zstd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvictionPolicy {
    S3Fifo,
    Lru,
    Lfu,
    Fifo,
}

/// Bounds on what one client may cost. Each has a key of the same name under `[edge.limits]`.
#[derive(Clone, Debug, PartialEq)]
pub struct EdgeLimits {
    pub connections_max: usize,
    /// Request line and headers together.
    pub header_bytes_max: usize,
    pub headers_max: usize,
    /// From the first byte of a head to its last.
    pub header_timeout: Duration,
    /// A kept-alive connection without a request.
    pub idle_timeout: Duration,
    /// No byte of a body, either way, for this long ends the connection.
    pub body_idle_timeout: Duration,
    /// No byte in either direction of a tunnel (WebSocket, TCP) for this long ends it.
    pub tunnel_idle_timeout: Duration,
    /// Average over a body's lifetime, after the first five seconds. Bytes per second; 0 turns it off.
    pub body_rate_min: u64,
    /// 0 is no limit.
    pub body_bytes_max: u64,
    pub connect_timeout: Duration,
    /// From the request's last byte to the answer's first.
    pub first_byte_timeout: Duration,
    /// Idle connections kept per upstream and core.
    pub upstream_idle_max: usize,
    pub upstream_idle_timeout: Duration,
    /// How long a drain waits for requests in flight.
    pub drain_timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLog {
    Off,
    Common,
    Json,
}

#[derive(Clone, Debug, PartialEq)]
pub struct PoolPlan {
    pub name: String,
    pub members: Members,
    /// How often the names of fixed upstreams are looked up again.
    pub resolve_every: Duration,
    pub wire: WirePlan,
    pub sticky: Option<StickyPlan>,
    pub attribution: Attribution,
    pub policy: BalancePolicy,
    pub probe: Option<ProbePlan>,
    /// Consecutive failures that take an upstream out.
    pub eject_after: u32,
    /// How long it stays out before it is probed again.
    pub eject_for: Duration,
    /// Requests in flight per upstream; more wait in the queue. `None` is no cap.
    pub concurrency_max: Option<u32>,
    /// Requests that may wait for a place; the next is answered 503.
    pub queue_max: usize,
    pub queue_timeout: Duration,
    /// What keeps requests together under a hash policy.
    pub hash_by: HashBy,
    /// Per cent of its fair share of requests in flight an upstream may have before a hash policy goes on to the next. `None`: any.
    pub hash_bound_percent: Option<u32>,
    /// How long an upstream that joined or came back grows from a tenth of its share to all of it.
    pub slow_start: Duration,
    /// Per cent of the pool that may be out at once.
    pub ejected_percent_max: u32,
    /// Retries per hundred requests.
    pub retry_percent: u32,
}

/// Which of a worker's requests its statements count for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Attribution {
    /// All in flight.
    #[default]
    Window,
    /// Those that they name.
    Traceparent,
    /// There is one at a time.
    Alone,
}

/// What is spoken with a pool's upstreams.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WirePlan {
    pub protocol: UpstreamProtocol,
    pub tls: Option<UpstreamTlsPlan>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UpstreamProtocol {
    #[default]
    Http1,
    Http2,
}

/// Files are read by the edge when it starts and at every reload.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamTlsPlan {
    /// `None`: those the system trusts.
    pub authorities: Option<PathBuf>,
    /// `None`: the host of each upstream's address.
    pub name: Option<String>,
    pub certificate: Option<CertificatePlan>,
}

/// Clients stay with one upstream by a signed cookie.
#[derive(Clone, PartialEq)]
pub struct StickyPlan {
    pub cookie: String,
    pub lasts: Duration,
    /// `None` until the binary has filled in the one of the state directory.
    pub key: Option<String>,
}

impl std::fmt::Debug for StickyPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StickyPlan").field("cookie", &self.cookie).field("lasts", &self.lasts).field("key", &"***").finish()
    }
}

/// How a pool chooses among its healthy upstreams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BalancePolicy {
    RoundRobin,
    LeastInFlight,
    /// Two at random, then the one that is quicker at its present load.
    PowerOfTwo,
    /// Consistent hashes of `hash_by`.
    Ring,
    Maglev,
    Rendezvous,
}

/// What a hash policy takes from a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashBy {
    /// The client's address: its requests stay together.
    Address,
    /// Host, path and query: what is asked for stays together.
    Url,
    /// The value of a field; requests without it go anywhere.
    Header(String),
    /// The value of a cookie; requests without it go anywhere.
    Cookie(String),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Members {
    /// Pumasi runs them.
    Workers(WorkersPlan),
    /// They run elsewhere: `host:port`, resolved by the edge.
    Upstreams(Vec<UpstreamPlan>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamPlan {
    pub address: String,
    pub weight: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct WorkersPlan {
    /// Run by `/bin/sh -c` when it is one string; directly when it is a list.
    pub command: CommandPlan,
    pub workers: usize,
    /// What the holes name was checked to exist; they are filled in per worker.
    pub env: BTreeMap<String, Template>,
    pub directory: PathBuf,
    /// From start to the first good probe.
    pub ready_timeout: Duration,
    /// From TERM to KILL.
    pub stop_timeout: Duration,
    /// Deaths in a row, each sooner than `stable_after`, after which a worker is given up.
    pub early_deaths_max: u32,
    pub stable_after: Duration,
}

#[derive(Clone, Debug, PartialEq)]
pub enum CommandPlan {
    Shell(String),
    Program(Vec<Template>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct ProbePlan {
    pub asks: ProbeAsks,
    pub every: Duration,
    pub timeout: Duration,
}

/// What an upstream must do to count as well.
#[derive(Clone, Debug, PartialEq)]
pub enum ProbeAsks {
    /// Accept a connection; with `tls`, shake hands on it.
    Tcp,
    Http(HttpProbe),
}

/// One GET, and what is expected of its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpProbe {
    pub path: String,
    /// Host header of the probe; the upstream's address when not set.
    pub host: Option<String>,
    /// Inclusive; 200..=399 unless set.
    pub status_min: u16,
    pub status_max: u16,
    /// What must be in the content.
    pub contains: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeKind {
    Http,
    Tcp,
}

impl ProbePlan {
    /// What is asked, as the end of a sentence: `answer GET /health`.
    pub fn wish(&self) -> String {
        match &self.asks {
            ProbeAsks::Tcp => "accept a connection".into(),
            ProbeAsks::Http(HttpProbe { path, contains: None, .. }) => format!("answer GET {path}"),
            ProbeAsks::Http(HttpProbe { path, contains: Some(text), .. }) => format!("answer GET {path} with {text:?} in it"),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct SqlPlan {
    pub name: String,
    pub listen: SocketAddr,
    pub engine: EnginePlan,
    pub results: ResultsMode,
    /// Budget of the result store.
    pub results_bytes: u64,
    pub connections_max: usize,
    /// To one server, of all cores together.
    pub server_connections_max: usize,
    /// How long a client waits for one.
    pub server_connections_wait: Duration,
    pub server_tls: ServerTls,
    /// There if `server_tls` is `Verified`.
    pub server_authorities: Option<PathBuf>,
    pub server_compression: bool,
    pub slow_log: Option<Duration>,
    /// Statements that are refused.
    pub deny: Vec<String>,
    /// That run at the same time.
    pub user_statements_max: Option<usize>,
    pub digest_statements_max: Option<usize>,
    /// For clients that ask for TLS.
    pub tls: Option<CertificatePlan>,
    /// Others are refused.
    pub tls_required: bool,
    /// Users beside `users` that the server lets in, remembered at the same time.
    pub users_learned_max: Option<usize>,
    /// Who may log in. Empty: root with an empty password, and only from loopback.
    pub users: Vec<SqlUser>,
    /// Of no meaning to the embedded engine, which is one.
    pub cluster: ClusterPlan,
}

/// How a primary and its replicas are used.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterPlan {
    pub reads: ReadsMode,
    pub failover: FailoverMode,
    /// How long the primary must be out of reach, of us and of its replicas, before another takes its place.
    pub failover_after: Duration,
}

/// Which reads a replica may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadsMode {
    /// Those of which it has applied every write acknowledged before.
    Fresh,
    /// None.
    Primary,
    /// Those of which it has applied every write acknowledged longer ago than this.
    Bounded(Duration),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailoverMode {
    Automatic,
    /// Only `pumasi sql promote`.
    Manual,
}

#[derive(Clone, PartialEq)]
pub struct SqlUser {
    pub name: String,
    pub password: SqlPassword,
}

/// What is written of a user's password.
#[derive(Clone, PartialEq)]
pub enum SqlPassword {
    Plain(String),
    /// `mysql_native_password`'s: `SHA1(SHA1(password))`.
    NativeHash([u8; 20]),
    /// `client_ed25519`'s public key. It lets its user in here and nowhere else: at a server Pumasi logs in as that user with `at_server`.
    Ed25519Key {
        key: [u8; 32],
        at_server: Option<String>,
    },
}

impl From<&str> for SqlPassword {
    /// The password itself, whatever it begins with.
    fn from(password: &str) -> SqlPassword {
        SqlPassword::Plain(password.to_owned())
    }
}

impl std::fmt::Debug for SqlPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl std::fmt::Debug for SqlUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqlUser").field("name", &self.name).field("password", &"***").finish()
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum EnginePlan {
    /// `embedded:FILE`, relative to the state directory.
    Embedded { file: PathBuf },
    /// `primary = "mysql://..."`, `replicas = [...]`.
    Servers { primary: String, replicas: Vec<String> },
    /// `mariadb:REPLICAS[/DATABASE]`: the machine's own mariadbd, in the state directory.
    Local { replicas: usize, database: Option<String>, redo_log_bytes: u64 },
}

/// How servers are talked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerTls {
    Off,
    /// Whoever the server is.
    Encrypted,
    /// By name and authority.
    Verified,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultsMode {
    Off,
    Automatic,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ConsolePlan {
    pub listen: SocketAddr,
}

/// A plan as the running tiers share it.
pub type SharedPlan = Arc<Plan>;
