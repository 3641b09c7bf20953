//! Pools, their upstreams, and the workers among these.
use super::{Family, Kind};

pub static POOL_RETRIES: Family = Family {
    name: "pumasi_pool_retries_total",
    kind: Kind::Counter,
    unit: "requests",
    labels: &["pool"],
    meaning: "Requests sent to a second upstream because the first failed before it had done anything.",
    remedy: "Growing: an upstream comes and goes; see its errors and the events page.",
};

pub static POOL_RETRIES_REFUSED: Family = Family {
    name: "pumasi_pool_retries_refused_total",
    kind: Kind::Counter,
    unit: "requests",
    labels: &["pool"],
    meaning: "Requests not sent to a second upstream because too many had been: pool.NAME.retry_percent.",
    remedy: "Growing: most of the pool fails, and retries would only double its load.",
};

pub static POOL_WAITING: Family = Family {
    name: "pumasi_pool_waiting",
    kind: Kind::Gauge,
    unit: "requests",
    labels: &["pool"],
    meaning: "Requests that wait for a place at an upstream now.",
    remedy: "Near pool.NAME.queue_max the next ones are answered 503: raise pool.NAME.workers.",
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

pub static UPSTREAM_CONNECTS: Family = Family {
    name: "pumasi_upstream_connects_total",
    kind: Kind::Counter,
    unit: "connections",
    labels: &["pool", "upstream"],
    meaning: "Connections opened to an upstream, or tried.",
    remedy: "Near its requests: it does not keep connections (HTTP/1.0, or Connection: close); let it.",
};

pub static UPSTREAM_CONNECT_ERRORS: Family = Family {
    name: "pumasi_upstream_connect_errors_total",
    kind: Kind::Counter,
    unit: "connections",
    labels: &["pool", "upstream"],
    meaning: "Connections to an upstream that could not be opened, TLS included.",
    remedy: "It is down, does not listen where the configuration says, or its certificate is not trusted; the log says which.",
};

pub static UPSTREAM_CONNECT: Family = Family {
    name: "pumasi_upstream_connect_seconds",
    kind: Kind::Gauge,
    unit: "seconds",
    labels: &["pool", "upstream", "quantile"],
    meaning: "Time to open a connection to an upstream, TLS included, over the last ten seconds.",
    remedy: "Milliseconds on one machine: its backlog is full, it accepts too slowly. Far away: keep more idle connections (edge.limits.upstream_idle_max).",
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

pub static WORKER_DESCRIPTORS: Family = Family {
    name: "pumasi_worker_descriptors",
    kind: Kind::Gauge,
    unit: "descriptors",
    labels: &["pool", "worker"],
    meaning: "Files and sockets open in that process of a worker that has most of them.",
    remedy: "Growing without end: the application does not close what it opens.",
};

pub static WORKER_DESCRIPTORS_MAX: Family = Family {
    name: "pumasi_worker_descriptors_max",
    kind: Kind::Gauge,
    unit: "descriptors",
    labels: &["pool", "worker"],
    meaning: "How many files and sockets a process of a worker may have open.",
    remedy: "Inherited from Pumasi: LimitNOFILE of the service, or ulimit -n.",
};

pub static WORKER_RESTARTS: Family = Family {
    name: "pumasi_worker_restarts_total",
    kind: Kind::Counter,
    unit: "restarts",
    labels: &["pool", "worker"],
    meaning: "How often a worker was started again after it died.",
    remedy: "Any growth is a crash: the events page has its last words.",
};

pub static WORKER_STARTED: Family = Family {
    name: "pumasi_worker_started_seconds",
    kind: Kind::Gauge,
    unit: "seconds",
    labels: &["pool", "worker"],
    meaning: "Time a worker took from its start to its first good answer.",
    remedy: "It is how long a replacement takes when one dies: many seconds want one worker more than the load does.",
};

pub static WORKER_READY: Family = Family {
    name: "pumasi_worker_ready",
    kind: Kind::Gauge,
    unit: "0 or 1",
    labels: &["pool", "worker"],
    meaning: "1 while a worker is ready.",
    remedy: "At 0 for long: it does not start, does not pass its probe, or was given up.",
};
