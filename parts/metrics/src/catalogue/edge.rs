//! What the edge answers: all together, and by route.
use super::{Family, Kind};

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

pub static EDGE_CONNECTIONS_REFUSED: Family = Family {
    name: "pumasi_edge_connections_refused_total",
    kind: Kind::Counter,
    unit: "connections",
    labels: &[],
    meaning: "Client connections turned away because edge.limits.connections_max were open.",
    remedy: "Growing: raise edge.limits.connections_max, or shorten edge.limits.idle_timeout.",
};

pub static EDGE_HANDSHAKES: Family = Family {
    name: "pumasi_edge_handshakes_total",
    kind: Kind::Counter,
    unit: "handshakes",
    labels: &["result"],
    meaning: "TLS handshakes with clients: full, resumed, failed.",
    remedy: "Above one in ten requests: clients do not keep their connections; lengthen edge.limits.idle_timeout. Growing failed: a certificate has expired, or somebody scans.",
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

pub static ROUTE_RESPONSES: Family = Family {
    name: "pumasi_route_responses_total",
    kind: Kind::Counter,
    unit: "responses",
    labels: &["route", "pool", "class"],
    meaning: "Answers of a route by class of status: 1xx to 5xx.",
    remedy: "Growing 4xx is usually a broken link or a scan; growing 5xx is the application or its database.",
};

pub static ROUTE_RECEIVED: Family = Family {
    name: "pumasi_route_received_bytes_total",
    kind: Kind::Counter,
    unit: "bytes",
    labels: &["route", "pool"],
    meaning: "Bytes received from clients on a route, heads included.",
    remedy: "Uploads to one route that hold its workers: edge.limits.body_rate_min bounds how slow they may be.",
};

pub static ROUTE_SENT: Family = Family {
    name: "pumasi_route_sent_bytes_total",
    kind: Kind::Counter,
    unit: "bytes",
    labels: &["route", "pool"],
    meaning: "Bytes sent to clients on a route, heads included.",
    remedy: "The route that fills the line: compress it, or serve its files from the edge.",
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

pub static ROUTE_FIRST_BYTE: Family = Family {
    name: "pumasi_route_first_byte_seconds",
    kind: Kind::Gauge,
    unit: "seconds",
    labels: &["route", "pool", "quantile"],
    meaning: "Time from a request's head until its upstream began to answer, over the last ten seconds; what the page store answers is not in it.",
    remedy: "Near the route's latency: the application thinks long, look at its digests. Far below: its answers are large, or its clients slow.",
};

pub static ROUTE_QUEUE: Family = Family {
    name: "pumasi_route_queue_seconds",
    kind: Kind::Gauge,
    unit: "seconds",
    labels: &["route", "pool", "quantile"],
    meaning: "Time requests of a route waited for a place at an upstream, over the last ten seconds.",
    remedy: "Above a tenth of the latency there are too few workers: raise pool.NAME.workers.",
};

pub static ROUTE_CLIENTS_LEFT: Family = Family {
    name: "pumasi_route_clients_left_total",
    kind: Kind::Counter,
    unit: "requests",
    labels: &["route", "pool"],
    meaning: "Clients that went away, or were given up as too slow, while their answer was being fetched.",
    remedy: "Growing with the latency: people give up waiting. The application's work for them is lost.",
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
