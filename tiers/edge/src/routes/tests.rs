use pumasi_config::{RoutePlan, WirePlan};

use super::*;

fn snapshot(routes: &[(&str, &str)]) -> Snapshot {
    let plan = crate::edge::tests::plan(
        routes
            .iter()
            .map(|(host, path)| RoutePlan {
                host: (!host.is_empty()).then(|| (*host).to_owned()),
                path: (*path).to_owned(),
                pool: "app".into(),
                pages: PagesMode::Off,
                files: None,
            })
            .collect(),
    );
    let part = PoolPart {
        pool: Arc::new(Pool::new("app")),
        queue_timeout: Duration::ZERO,
        attribution: Default::default(),
        hash_by: None,
        wire: Wire::of(&WirePlan::default()).unwrap(),
        sticky: None,
    };
    Snapshot::new(&plan, &HashMap::from([("app".to_owned(), part)]), None, None).unwrap_or_else(|unknown| panic!("{unknown:?}"))
}

#[test]
fn the_most_specific_route_takes_the_request() {
    let snapshot = snapshot(&[
        ("", "/*"),
        ("", "/api/*"),
        ("", "/api/v1/*"),
        ("", "/api/health"),
        ("*.Example.org", "/*"),
        ("*.deep.example.org", "/*"),
        ("www.example.org", "/only/*"),
    ]);
    let check = |host: &str, path: &str, route: &str| {
        assert_eq!(snapshot.find(host.as_bytes(), path.as_bytes()).map(|r| r.name.as_str()), Some(route), "{host}{path}");
    };
    check("other", "/", "/*");
    check("other", "/api/", "/api/*");
    check("other", "/api", "/*");
    check("other", "/api/v1/x", "/api/v1/*");
    check("other", "/api/health", "/api/health");
    check("other", "/api/health/", "/api/*");
    check("a.example.org", "/api/x", "*.Example.org/*");
    check("A.EXAMPLE.ORG.", "/", "*.Example.org/*");
    check("a.deep.example.org", "/", "*.deep.example.org/*");
    check("example.org", "/", "/*");
    check("www.example.org", "/only/x", "www.example.org/only/*");
    check("www.example.org", "/", "*.Example.org/*");
    check("www.example.org:80", "/", "/*"); // callers pass the host without its port
}

#[test]
fn without_a_matching_route_there_is_none() {
    let snapshot = snapshot(&[("a", "/*"), ("", "/x")]);
    assert!(snapshot.find(b"b", b"/").is_none());
    assert!(snapshot.find(b"", b"/x").is_some());
}

#[test]
fn a_route_to_an_unknown_pool_is_an_error() {
    let plan =
        crate::edge::tests::plan(vec![RoutePlan { host: None, path: "/*".into(), pool: "ap".into(), pages: PagesMode::Off, files: None }]);
    assert_eq!(Snapshot::new(&plan, &HashMap::new(), None, None).err(), Some(UnknownPool("ap".into())));
}
