use pumasi_config::{AccessLog, EdgeLimits, EvictionPolicy, PagesPlan, RoutePlan};

use super::*;

/// A plan with these routes and room for tests.
pub(crate) fn plan(routes: Vec<RoutePlan>) -> EdgePlan {
    EdgePlan {
        listen: vec![([127, 0, 0, 1], 0).into()],
        tls: None,
        tcp: Vec::new(),
        proxy_protocol: false,
        trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
        proxy_protocol_from_trusted: false,
        threads: 1,
        routes,
        limits: EdgeLimits {
            connections_max: 1000,
            header_bytes_max: 16 << 10,
            headers_max: 100,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            body_idle_timeout: Duration::from_secs(30),
            tunnel_idle_timeout: Duration::from_secs(600),
            body_rate_min: 0,
            body_bytes_max: 0,
            connect_timeout: Duration::from_secs(2),
            first_byte_timeout: Duration::from_secs(60),
            upstream_idle_max: 64,
            upstream_idle_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(10),
        },
        access_log: AccessLog::Off,
        pages: PagesPlan {
            memory_bytes: 1 << 20,
            object_bytes_max: 1 << 20,
            ignore_cookies: Vec::new(),
            waiters_max: 100,
            wait_max: Duration::from_secs(5),
            eviction: EvictionPolicy::S3Fifo,
            stale_if_error: Duration::from_secs(60),
            stale_while_revalidate: Duration::ZERO,
            missing_for: Duration::ZERO,
            disk: None,
            compress: vec![pumasi_config::CompressCoding::Gzip],
            compress_bytes_min: 1024,
            compress_types: vec!["text/*".into()],
        },
    }
}

#[test]
fn a_taken_port_is_an_error_that_names_the_address() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound");
    let mut plan = plan(Vec::new());
    plan.listen = vec![address];
    let result = Edge::start(EdgeConfig { plan, pools: Vec::new(), access_log: Box::new(io::sink()), freshness: None });
    let error = result.err().expect("the port is taken").to_string();
    assert!(error.contains(&address.to_string()), "{error}");
}
