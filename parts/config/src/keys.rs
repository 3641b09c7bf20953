//! Every key of `pumasi.toml`. The doc comments are the manual: `pumasi config reference` and `docs/configuration.md` print them.

use crate::{
    declare::{
        Given::{Default, Required, Table, Unset},
        section,
    },
    network::Network,
    plan::{
        AccessLog, Attribution, BalancePolicy, CompressCoding, EvictionPolicy, FailoverMode, HashBy, PagesMode, ProbeKind, ProxyProtocol,
        ReadsMode, ResultsMode, ServerTls, SqlPassword, UpstreamProtocol,
    },
    value::{
        Address, AddressOrOff, ByteRate, Bytes, CollectorUrl, Command, CookieName, Count, EngineName, HostPattern, List, LogLevel, Named,
        OneOrMany, Path, PathPattern, Secret, ServerUrl, Span, UpstreamSpec, Variables,
    },
};

section! {
    /// The whole file.
    pub(crate) struct File {
        /// Directory for what must survive a restart: embedded databases and the console's token.
        ///
        /// A relative path starts at the directory of this file. One running Pumasi per directory.
        state: Path = Default("\".pumasi\""),
        /// What Pumasi tells about itself, on standard error.
        log: Log = Table,
        /// Single requests told to an OpenTelemetry collector.
        trace: Trace = Table,
        /// HTTP in: where requests arrive, which pool they go to, and what one client may cost.
        edge: Edge = Table,
        /// Upstreams with one role: the processes of your application, or addresses of servers that run elsewhere.
        pool: Named<Pool> = Unset { means: "no pool", example: "{}" },
        /// Databases behind the MySQL protocol.
        sql: Named<Sql> = Unset { means: "no database", example: "{}" },
        /// The page and the API that show and steer a running Pumasi.
        console: Console = Table,
    }
}

section! {
    /// What Pumasi tells about itself, on standard error.
    pub(crate) struct Log {
        /// The least important messages that are still written: `error`, `warn`, `info`, `debug`, `trace` or `off`.
        ///
        /// Single parts may differ: `"info,pumasi_edge=debug"`. Raise it to `debug` to see why a decision was made.
        level: LogLevel = Default("\"info\""),
        /// One JSON object per line instead of text. Turn it on when a program reads the log.
        json: bool = Default("false"),
        /// One line per request on standard error: `off`, `common` (the Common Log Format with time taken and upstream) or `json`.
        access: AccessLog = Default("\"off\""),
    }
}

section! {
    /// Single requests told to an OpenTelemetry collector.
    pub(crate) struct Trace {
        /// Where the collector takes OTLP over HTTP with JSON, as `http://127.0.0.1:4318`; the path is `/v1/traces` unless one is written.
        ///
        /// A request with a W3C `traceparent` goes on in its trace, the application is told of ours; without one a new trace begins. A request
        /// whose caller decided about sampling is sampled as he decided. What the collector does not take in time is dropped and counted.
        otlp: Option<CollectorUrl> = Unset { means: "no traces", example: "\"http://127.0.0.1:4318\"" },
        /// Of the requests without a caller's decision, one in so many is sampled; `1` samples all, `0` none. From 0 to 1,000,000.
        one_in: Count<0, 1_000_000> = Default("100"),
    }
}

section! {
    /// HTTP in.
    pub(crate) struct Edge {
        /// Where requests arrive: one address or a list. Port 0 takes any free port and prints it.
        ///
        /// `0.0.0.0:8080` listens on every IPv4 interface, `[::]:8080` on every interface.
        listen: OneOrMany<Address> = Default("\"127.0.0.1:8080\""),
        /// HTTPS: where it is accepted and with which certificates.
        tls: Tls = Table,
        /// Ports whose connections are passed on as they are, for whatever is not HTTP.
        tcp: List<Tcp> = Unset { means: "no such port", example: "[{ listen = \"0.0.0.0:5432\", pool = \"databases\", send_proxy_protocol = \"v1\" }]" },
        /// Every connection, to whichever listener, begins with a PROXY protocol header (version 1 or 2) that names the client.
        ///
        /// Turn it on only behind a balancer that sends one: a connection without it is closed.
        proxy_protocol: bool = Default("false"),
        /// Whose word about who asked is believed: balancers and CDNs in front of this one, as addresses or networks (`10.0.0.0/8`, `2001:db8::/32`).
        ///
        /// From them, `X-Forwarded-For`, `-Proto`, `-Host`, `Forwarded`, `X-Real-IP` and `X-Request-Id` are passed on, and the client is the last address
        /// of `X-Forwarded-For` that is not one of them; from everybody else these are dropped. With `proxy_protocol`, and written, it also says who may
        /// send that header.
        trusted_proxies: List<Network> = Default("[\"127.0.0.0/8\", \"::1\"]"),
        /// Event loops; each has a thread, a listener and connections of its own.
        ///
        /// Fewer leave cores to the application. From 1 to 1024.
        threads: Option<Count<1, 1024>> = Unset { means: "one per core", example: "4" },
        /// Which request goes to which pool. Without any, everything goes to the only pool.
        ///
        /// An exact host wins over a wildcard, a wildcard over none; then the longer path wins.
        route: List<Route> = Unset { means: "everything to the only pool", example: "[]" },
        /// What one client may cost. Past a bound the answer is quick and clear, and memory stays flat.
        limits: Limits = Table,
        /// The store of pages.
        pages: Pages = Table,
    }
}

section! {
    /// HTTPS. Certificates are read again at every reload, without touching a connection.
    pub(crate) struct Tls {
        /// Where HTTPS is accepted, HTTP/1.1 and HTTP/2 on the same port.
        listen: List<Address> = Unset { means: "no HTTPS", example: "[\"0.0.0.0:8443\"]" },
        /// Certificates; the name that the client asks for decides, and the first answers for every other name.
        certificate: List<Certificate> = Unset { means: "none", example: "[{ chain = \"site.pem\", key = \"site.key\" }]" },
        /// A PEM file of authorities. With it, only clients with a certificate that one of them signed are served (mutual TLS).
        client_authorities: Option<Path> = Unset { means: "clients need no certificate", example: "\"clients.pem\"" },
        /// Offer HTTP/2 beside HTTP/1.1. Turn it off only for clients that fail with it.
        http2: bool = Default("true"),
    }
}

section! {
    /// A port whose connections are passed on as they are.
    pub(crate) struct Tcp {
        /// Where connections arrive. Several sections may name the same address if each but one has `names`.
        listen: Address = Required { example: "\"0.0.0.0:5432\"" },
        /// Only TLS connections that ask for one of these names (SNI), which are passed on without being decrypted; `"*.example.org"` stands for every
        /// name below it.
        ///
        /// The section without names at the same address gets what no other one wants. If there is none, such connections are closed.
        names: List<HostPattern> = Unset { means: "every connection", example: "[\"example.org\", \"*.example.org\"]" },
        /// The pool whose members get them: the NAME of a `[pool.NAME]`.
        pool: String = Required { example: "\"databases\"" },
        /// Whether the member is told who connected, by a PROXY protocol header: `off`, `v1` (text) or `v2` (binary).
        send_proxy_protocol: ProxyProtocol = Default("\"off\""),
    }
}

section! {
    /// One certificate and its key, as PEM files. A relative path starts at the directory of this file.
    pub(crate) struct Certificate {
        /// The certificate, followed by those that lead to its authority: `fullchain.pem` of most tools.
        chain: Path = Required { example: "\"site.pem\"" },
        /// Its private key: PKCS#8, PKCS#1 or SEC1.
        key: Path = Required { example: "\"site.key\"" },
    }
}

section! {
    /// Which request goes to which pool.
    pub(crate) struct Route {
        /// The host asked for, without port: `"example.org"`, or `"*.example.org"` for every name below it.
        host: Option<HostPattern> = Unset { means: "any host", example: "\"example.org\"" },
        /// The path: `"/api/*"` for everything below `/api`, `"/health"` for exactly that one.
        path: PathPattern = Default("\"/*\""),
        /// The pool that answers: the NAME of a `[pool.NAME]`. Either this or `files`.
        pool: Option<String> = Unset { means: "files answer", example: "\"app\"" },
        /// A directory of static content that answers in place of a pool. A relative path starts at the directory of this file.
        ///
        /// What the `*` of `path` stands for is looked for in it; `index.html` stands for a directory. Nothing outside it is ever served:
        /// symbolic links count only if they lead to something below it, and names that begin with a dot are hidden (but `.well-known`).
        files: Option<Path> = Unset { means: "the pool answers", example: "\"public\"" },
        /// What `Cache-Control` of these files says. With `pages = "standard"` as well, small ones are answered from memory, compressed.
        files_cache_control: Option<String> = Unset { means: "the field is not sent", example: "\"public, max-age=3600\"" },
        /// `style.css.br`, `style.css.zst` and `style.css.gz` are compressed forms of the `style.css` beside them, for clients that take them.
        files_precompressed: bool = Default("false"),
        /// Which answers are kept and given again: `off`, `standard` (what the application's headers allow, RFC 9111) or
        /// `automatic` (also pages without such headers, until a write changes a row they were made of).
        pages: PagesMode = Default("\"off\""),
    }
}

section! {
    /// What one client may cost.
    pub(crate) struct Limits {
        /// Connections of clients, all listeners together. The next one is answered 503 and closed.
        ///
        /// Each idle one costs a few KiB and a file descriptor; a busy one a second descriptor, to its upstream. From 1 to 1,000,000.
        connections_max: Count<1, 1_000_000> = Default("8000"),
        /// Request line and headers together; 431 past it. Size. Raise it for applications with very large cookies.
        header_bytes_max: Bytes = Default("\"32KiB\""),
        /// Header lines of a request; 431 past it. From 8 to 1000.
        headers_max: Count<8, 1000> = Default("100"),
        /// From the first byte of a request's head to its last; 408 past it. Duration.
        header_timeout: Span = Default("\"10s\""),
        /// How long a connection is kept without a request. Duration. Lower it when idle clients hold too many connections.
        idle_timeout: Span = Default("\"60s\""),
        /// A body that does not move for this long, either way, ends its connection. Duration.
        body_idle_timeout: Span = Default("\"30s\""),
        /// A tunnel (WebSocket, TCP) in which nothing moves for this long is closed. Duration.
        ///
        /// Longer than the time between the application's own signs of life.
        tunnel_idle_timeout: Span = Default("\"10m\""),
        /// The least average speed at which a client sends or takes a body, once five seconds were spent waiting for it. Rate; `0` for no
        /// such bound. A slow application does not count against its clients.
        body_rate_min: ByteRate = Default("\"128B/s\""),
        /// The largest request body; 413 past it. Size; `0` for no bound: bodies are streamed and cost no memory.
        body_bytes_max: Bytes = Default("0"),
        /// For the connection to an upstream; then the next upstream is tried. Duration.
        connect_timeout: Span = Default("\"3s\""),
        /// From the request's last byte to the answer's first; 504 past it. Duration. Raise it when some pages take longer to make.
        first_byte_timeout: Span = Default("\"60s\""),
        /// Idle connections kept for each upstream and event loop. From 0 to 10,000.
        upstream_idle_max: Count<0, 10_000> = Default("64"),
        /// How long such a connection is kept. Duration.
        ///
        /// Shorter than the application's own keep-alive time (Node's is 5 s), so that it is never the application that closes first.
        upstream_idle_timeout: Span = Default("\"4s\""),
        /// How long a stopping Pumasi, or a worker that is being replaced, waits for its requests in flight. Duration.
        drain_timeout: Span = Default("\"30s\""),
    }
}

section! {
    /// The store of pages. Each route says with `pages` what is kept.
    pub(crate) struct Pages {
        /// The whole store: bodies, headers and index. Size.
        memory: Bytes = Default("\"128MiB\""),
        /// The largest answer kept. Larger ones stream through. Size.
        object_max: Bytes = Default("\"8MiB\""),
        /// Cookies that do not make a page personal, such as those of analytics; a `*` at the end stands for any rest.
        ///
        /// With `pages = "automatic"` every other cookie makes the page personal, so it is not shared.
        ignore_cookies: List<String> = Default("[\"_ga*\", \"_gid\", \"_fbp\"]"),
        /// Requests that may wait for one fetch of the same page; the next is answered 503. From 1 to 100,000.
        waiters_max: Count<1, 100_000> = Default("1000"),
        /// How long a request waits for another's fetch before it fetches for itself. Duration.
        wait_max: Span = Default("\"5s\""),
        /// Who leaves when room is needed: `s3-fifo` (a crawler's one-time pages push out nothing that is used), `lru`, `lfu` or `fifo`.
        ///
        /// Counts from the next start on.
        eviction: EvictionPolicy = Default("\"s3-fifo\""),
        /// How long a page may be served past its lifetime when the application fails. Duration; `"0s"`: not at all.
        ///
        /// The application's own `stale-if-error`, and what forbids stale pages, win over it.
        stale_if_error: Span = Default("\"60s\""),
        /// How long a page may be served past its lifetime while one request refetches it. Duration; `"0s"`: not at all.
        ///
        /// The application's own `stale-while-revalidate`, and what forbids stale pages, win over it. Raise it when pages are slow to make
        /// and a little staleness hurts nobody.
        stale_while_revalidate: Span = Default("\"0s\""),
        /// How long answers such as 404 and 410 are kept when they say nothing about it. Duration; `"0s"`: not at all.
        missing_for: Span = Default("\"0s\""),
        /// A directory of Pumasi's own where pages are kept as well: for when memory is too small, and for after a restart. A relative path starts
        /// at the directory of this file.
        ///
        /// Only what headers allow to keep lies there, never automatic pages. Whatever happens to it costs hits and nothing else. Counts from the
        /// next start on.
        disk: Option<Path> = Unset { means: "memory only", example: "\"pages\"" },
        /// All files in that directory together. Size. The index takes a sixteenth of `memory` at most. Counts from the next start on.
        disk_size: Bytes = Default("\"1GiB\""),
        /// Stored pages that the application did not compress are also kept compressed, in these codings: `br`, `zstd`, `gzip`; `[]` for
        /// none. Of those that a client likes equally well it gets the first.
        ///
        /// A page is compressed when the first client asks for it so, once, on a thread beside the event loops.
        compress: List<CompressCoding> = Default("[\"br\", \"zstd\", \"gzip\"]"),
        /// Smaller pages are not compressed: it saves no packet. Size.
        compress_min: Bytes = Default("\"1KiB\""),
        /// Types that are compressed; `text/*` stands for all of a kind, `*+json` for all with that ending.
        compress_types: List<String> = Default(
            "[\"text/*\", \"*+json\", \"*+xml\", \"application/json\", \"application/javascript\", \"application/xml\", \"application/wasm\", \"font/ttf\"]"
        ),
    }
}

section! {
    /// Upstreams with one role. Either `command` or `upstreams`.
    pub(crate) struct Pool {
        /// Starts one worker: a string for `/bin/sh`, or a list of arguments that is run as it is.
        ///
        /// It must serve HTTP on 127.0.0.1, on the port in `$PORT`. In a list `${port}` and the other `${...}` of `env` are filled in.
        command: Option<Command> = Unset { means: "not run by Pumasi", example: "\"gunicorn -b 127.0.0.1:$PORT main:app\"" },
        /// Addresses of servers that Pumasi does not run: `"host:port"`, or `{ address = "host:port", weight = 2 }`.
        upstreams: List<UpstreamSpec> = Unset { means: "none", example: "[\"10.0.0.5:8000\", \"10.0.0.6:8000\"]" },
        /// How often the names among `upstreams` are looked up again: who a name stands for joins, who it no longer stands for leaves. A name that
        /// does not resolve any more keeps its upstreams. Duration.
        resolve_every: Span = Default("\"30s\""),
        /// What is spoken with the upstreams: `http1`, or `http2` (many requests on one connection; needed for gRPC).
        ///
        /// Without `tls` HTTP/2 is begun by prior knowledge (h2c). WebSockets use a stream of it where the upstream offers
        /// that (RFC 8441), and a connection of HTTP/1.1 elsewhere.
        protocol: UpstreamProtocol = Default("\"http1\""),
        /// Speak TLS with the upstreams, and check who they are. `{}` is enough where the system knows their authority.
        tls: Option<UpstreamTls> = Unset { means: "no TLS", example: "{ authorities = \"ca.pem\", name = \"app.internal\" }" },
        /// Keep each client with one upstream by a signed cookie.
        sticky: Option<Sticky> = Unset { means: "off", example: "{ cookie = \"pumasi\" }" },
        /// Workers that are kept running. From 1 to 256. More help while there are idle cores, or while each waits for something else.
        workers: Option<Count<1, 256>> = Unset { means: "2", example: "3" },
        /// Variables added to the worker's environment. Values may hold `${sql.NAME.host}`, `${sql.NAME.port}`, `${port}`,
        /// `${worker.number}` and `${env.NAME}`.
        ///
        /// Each worker has a port of its own at each database: that is how its statements are known to be its own.
        env: Variables = Unset { means: "none", example: "{ DATABASE_HOST = \"${sql.main.host}\", DATABASE_PORT = \"${sql.main.port}\" }" },
        /// Which of a worker's requests a statement counts for, where pages are kept automatically: `window` (every request in flight at that worker when
        /// it came), `traceparent` (the one that it names in a comment, `/* traceparent='00-...' */`; all if it names none), or `alone` (each worker gets one request of
        /// such routes at a time).
        ///
        /// `window` is right for every application, and drops a page now and then for a write that another request made beside it. `traceparent` asks of the
        /// application that it sends the header on in its statements, as sqlcommenter and OpenTelemetry do, and that no request uses what another's statement
        /// has read. With `alone` a request waits 2 s at most for the one before it; then it goes all the same, and counts as with `window`.
        attribution: Attribution = Default("\"window\""),
        /// Where the command runs. A relative path starts at the directory of this file.
        directory: Option<Path> = Unset { means: "the directory of this file", example: "\"app\"" },
        /// From a worker's start until it answers; past it, the worker is stopped and tried again. Duration. Raise it for slow starters.
        ready_timeout: Option<Span> = Unset { means: "\"30s\"", example: "\"30s\"" },
        /// From the polite end (SIGTERM) to the hard one (SIGKILL). Duration.
        stop_timeout: Option<Span> = Unset { means: "\"10s\"", example: "\"10s\"" },
        /// Early deaths in a row after which a worker is given up until the next reload. From 1 to 1000.
        early_deaths_max: Option<Count<1, 1000>> = Unset { means: "5", example: "5" },
        /// A death before this age is an early one, unless the worker has answered a request. Duration.
        stable_after: Option<Span> = Unset { means: "\"10s\"", example: "\"10s\"" },
        /// How the upstream for a request is chosen: `least-in-flight`, `round-robin`, `power-of-two` (of two at random the one that is
        /// quicker at its load), or by a hash that keeps requests together: `ring`, `maglev`, `rendezvous`.
        policy: BalancePolicy = Default("\"least-in-flight\""),
        /// What Pumasi asks of each upstream by itself, to learn whether it is well.
        ///
        /// Without it a worker is ready as soon as it accepts connections, and only requests that fail show that an upstream is not well.
        probe: Option<Probe> = Unset { means: "no probe", example: "{ path = \"/\", every = \"2s\" }" },
        /// Failures in a row that take an upstream out. From 1 to 1000.
        eject_after: Count<1, 1000> = Default("3"),
        /// How long it stays out before it is tried again. Duration.
        eject_for: Span = Default("\"10s\""),
        /// Requests in flight per upstream; more wait. From 1 to 100,000.
        ///
        /// Set it to what one worker can really do at once: waiting here is fairer than in the worker's own queue.
        concurrency_max: Option<Count<1, 100_000>> = Unset { means: "no bound", example: "32" },
        /// Requests that may wait for a place; the next is answered 503. From 0 to 1,000,000.
        queue_max: Count<0, 1_000_000> = Default("1000"),
        /// How long a request waits for a place; 503 past it. Duration.
        queue_timeout: Span = Default("\"10s\""),
        /// What keeps requests together under a hash policy: `address` (the client's), `url`, `header:NAME` or `cookie:NAME`.
        hash_by: HashBy = Default("\"address\""),
        /// Per cent of its fair share an upstream may have in flight before a hash policy goes on to the next. From 101 to 10,000.
        ///
        /// Without it a popular key stays with its upstream whatever the load. 125 to 200 are usual.
        hash_bound: Option<Count<101, 10_000>> = Unset { means: "no bound", example: "150" },
        /// How long an upstream that joined or came back grows from a tenth of its share to all of it. Duration.
        slow_start: Span = Default("\"0s\""),
        /// Per cent of the pool that may be taken out at once; one upstream always may. From 0 to 100.
        ejected_max: Count<0, 100> = Default("80"),
        /// Retries per hundred requests, beside a few per second. From 0 to 100. What fails often must not be asked twice as often.
        retry_percent: Count<0, 100> = Default("20"),
    }
}

section! {
    /// TLS to the upstreams of a pool.
    pub(crate) struct UpstreamTls {
        /// A PEM file of the authorities that may have signed the upstreams' certificates.
        authorities: Option<Path> = Unset { means: "those the system trusts", example: "\"ca.pem\"" },
        /// The name the certificate must be for; also what is asked for (SNI).
        name: Option<HostPattern> = Unset { means: "the host of the upstream's address", example: "\"app.internal\"" },
        /// A certificate to show to upstreams that ask for one (mutual TLS).
        certificate: Option<Certificate> = Unset { means: "none", example: "{ chain = \"client.pem\", key = \"client.key\" }" },
    }
}

section! {
    /// Keeping a client with one upstream. A route of the pool must not keep pages: a kept page is the same for everybody.
    ///
    /// The cookie holds which upstream and since when, and a signature: one that is forged, too old, or of an upstream that cannot take the
    /// request is overlooked, and the answer brings a new one.
    pub(crate) struct Sticky {
        /// The cookie's name.
        cookie: CookieName = Default("\"pumasi\""),
        /// How long a client stays after its last cookie; it is renewed at half that time. Duration.
        lasts: Span = Default("\"1d\""),
        /// What cookies are signed with, at least 32 characters: the same on every Pumasi that serves the site.
        key: Option<Secret> = Unset { means: "a random one, kept in the state directory", example: "\"32 characters or more, from a password maker\"" },
    }
}

section! {
    /// What Pumasi asks of an upstream by itself, in the pool's own protocol and with its TLS.
    pub(crate) struct Probe {
        /// `http`: a GET, and what its answer must be like. `tcp`: that a connection opens, with its TLS handshake where the pool speaks TLS;
        /// of the keys below only `every` and `timeout` are for it.
        kind: ProbeKind = Default("\"http\""),
        /// What is asked for. Choose a page that is cheap to make.
        path: PathPattern = Default("\"/\""),
        /// Time between two probes of one upstream. Duration.
        every: Span = Default("\"2s\""),
        /// An answer that takes longer is a failure. Duration.
        timeout: Span = Default("\"2s\""),
        /// The Host header, for applications that answer only their own name.
        host: Option<HostPattern> = Unset { means: "the upstream's address", example: "\"example.org\"" },
        /// The least status that is a success. From 100 to 599.
        status_min: Count<100, 599> = Default("200"),
        /// The greatest status that is a success. From 100 to 599.
        status_max: Count<100, 599> = Default("399"),
        /// Text that must be in the first 64 KiB of the answer's content.
        contains: Option<String> = Unset { means: "any content will do", example: "\"all systems go\"" },
    }
}

section! {
    /// A database behind the MySQL protocol. Either `engine` or `primary`.
    pub(crate) struct Sql {
        /// Where clients other than the workers connect.
        listen: Address = Default("\"127.0.0.1:3306\""),
        /// The embedded engine and its file, relative to the state directory: `"embedded:FILE"`. Or a primary and N replicas of this
        /// machine's own mariadbd, in the state directory, on the loopback only: `"mariadb:N"`, or `"mariadb:N/DATABASE"` to have that
        /// database created.
        engine: Option<EngineName> = Unset { means: "servers that run elsewhere", example: "\"embedded:shop.db\"" },
        /// The redo log of each mariadbd of `engine = "mariadb:N"`, written in full when the cluster is made. Size, from 4MiB.
        redo_log: Option<Bytes> = Unset { means: "\"16MiB\"", example: "\"16MiB\"" },
        /// A real server: `"mysql://USER:PASSWORD@HOST:PORT/DATABASE"`.
        primary: Option<ServerUrl> = Unset { means: "none", example: "\"mysql://app@10.0.0.9/shop\"" },
        /// Servers that follow the primary, written like it. They answer reads; one of them takes the primary's place when it fails.
        ///
        /// By MariaDB's GTIDs: `gtid_strict_mode`, `log_bin` and `log_slave_updates` on everywhere, one `gtid_domain_id`, and the login of each
        /// address may do `SUPER`, `REPLICATION SLAVE` and `REPLICATION CLIENT`, from Pumasi's address and from the other servers'.
        replicas: List<ServerUrl> = Unset { means: "none", example: "[\"mysql://app@10.0.0.10/shop\"]" },
        /// Which reads the replicas answer: `fresh` (those of which a replica has applied every write acknowledged before, by table),
        /// `primary` (none), or `"bounded 2s"` (those of which it has applied every write acknowledged longer ago than that).
        reads: Option<ReadsMode> = Unset { means: "\"fresh\"", example: "\"bounded 2s\"" },
        /// Whether a replica takes a dead primary's place by itself (`automatic`), or only when `pumasi sql promote` says so (`manual`).
        failover: Option<FailoverMode> = Unset { means: "\"automatic\"", example: "\"manual\"" },
        /// How long the primary is out of reach, of Pumasi and of every replica that Pumasi reaches, before it counts as dead. Duration.
        failover_after: Option<Span> = Unset { means: "\"2s\"", example: "\"5s\"" },
        /// Which query results are kept and given again: `off`, or `automatic` (until a write changes what they were made of).
        results: ResultsMode = Default("\"off\""),
        /// The whole store of results. Size.
        results_memory: Bytes = Default("\"64MiB\""),
        /// Connections of clients, workers included; the next is refused with error 1040. From 1 to 100,000.
        connections_max: Count<1, 100_000> = Default("1000"),
        /// Connections to one server, which the clients share; each core has its part of them and one more for KILL.
        /// Only with `primary`. From 1 to 10,000.
        server_connections_max: Count<1, 10_000> = Default("50"),
        /// How long a client waits for a server connection that others use; then it gets error 1040. Only with `primary`. Duration.
        server_connections_wait: Span = Default("\"10s\""),
        /// How servers are talked to: `off` (in the clear), `encrypted` (safe from listeners, whoever the server is) or `verified` (its
        /// certificate is for the name in `primary` and signed by one of `server_authorities`). Only with `primary`.
        server_tls: ServerTls = Default("\"off\""),
        /// A PEM file of authorities, for `server_tls = "verified"`. A relative path starts at the directory of this file.
        server_authorities: Option<Path> = Unset { means: "none", example: "\"authorities.pem\"" },
        /// Compress what goes to and from servers. For servers far away: it costs CPU on both ends. Only with `primary`.
        server_compression: bool = Default("false"),
        /// The certificate for clients that ask for TLS, followed by those that lead to its authority: a PEM file. Only with `primary`.
        tls_chain: Option<Path> = Unset { means: "clients get no TLS", example: "\"database.pem\"" },
        /// Its private key: PKCS#8, PKCS#1 or SEC1.
        tls_key: Option<Path> = Unset { means: "clients get no TLS", example: "\"database.key\"" },
        /// Refuse clients that do not ask for TLS.
        tls_required: bool = Default("false"),
        /// A statement that takes longer is written to the log, without its values. Only in front of servers. Duration.
        slow_log: Option<Span> = Unset { means: "none is logged", example: "\"1s\"" },
        /// Statements that are refused with error 1148, whatever values they have. Only in front of servers.
        ///
        /// A guard against accidents, not against an attacker: what a routine does inside the server is not seen.
        deny: List<String> = Unset { means: "none", example: "[\"DELETE FROM orders\"]" },
        /// Statements of one user that run at the same time; the next waits for `server_connections_wait`, then it gets error 1226.
        /// Only in front of servers. From 1 to 10,000.
        user_statements_max: Option<Count<1, 10_000>> = Unset { means: "no limit", example: "20" },
        /// The same for statements of one kind: those that differ only in their values. Only in front of servers. From 1 to 10,000.
        digest_statements_max: Option<Count<1, 10_000>> = Unset { means: "no limit", example: "5" },
        /// Users that are not among `users` log in as far as the server lets them in, and this many are remembered for a minute. Accounts with
        /// `mysql_native_password` from anywhere; all others only over TLS (`tls_chain`). Only with `primary`. From 1 to 100,000.
        users_learned_max: Option<Count<1, 100_000>> = Unset { means: "nobody else logs in", example: "1000" },
        /// Who may log in: `{ name = "app", password = "..." }`. Without any: root with an empty password, from this machine only.
        users: List<User> = Unset { means: "root, from this machine only", example: "[{ name = \"app\", password = \"secret\" }]" },
    }
}

section! {
    /// Who may log in to a database.
    pub(crate) struct User {
        /// The login name.
        name: String = Required { example: "\"app\"" },
        /// The password, or its hash as `SELECT PASSWORD('...')` prints it: `*` and 40 hexadecimal digits. With a hash the user logs in with
        /// `mysql_native_password` only, here and at the server. A password that itself begins with `*` is written as its hash. Or the public key
        /// of MariaDB's ed25519 behind `ed25519:`, as `SELECT ed25519_password('...')` prints it: then the user logs in with that plugin only, and
        /// `server_password` says how Pumasi logs in at the server.
        /// Better set by an environment variable than written here: `PUMASI__SQL__MAIN__USERS__0__PASSWORD`.
        password: SqlPassword = Required { example: "\"secret\"" },
        /// With a public key for `password` and servers behind: the password by which Pumasi logs in there for this user. Give the server's account
        /// a second way in for it: `IDENTIFIED VIA ed25519 USING '...' OR mysql_native_password USING PASSWORD('...')`.
        server_password: Option<Secret> = Unset { means: "none", example: "\"another secret\"" },
    }
}

section! {
    /// The page and the API that show and steer a running Pumasi.
    pub(crate) struct Console {
        /// Where it listens, or `"off"`. `pumasi status` and `pumasi reload` need it.
        ///
        /// Whatever changes something needs the token in the state directory; whoever can connect can look.
        listen: AddressOrOff = Default("\"127.0.0.1:8090\""),
    }
}
