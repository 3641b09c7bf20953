use super::*;

#[test]
fn only_names_of_this_machine_are_answered() {
    for host in [
        "127.0.0.1:8090",
        "10.1.2.3",
        "[::1]:8090",
        "[::1]",
        "localhost:8090",
        "LOCALHOST",
        "ops.localhost:1",
        "box7",
        "box7.example.org:8090",
        "BOX7.local:8090",
    ] {
        check_request(Method::GET, &[("host", host)], None);
    }
    for host in [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:8090",
        "",
        "evil.example:127.0.0.1",
        "[::1].evil.example:80",
        "notlocalhost",
    ] {
        check_request(Method::GET, &[("host", host)], Some(StatusCode::MISDIRECTED_REQUEST));
    }
    check_request(Method::GET, &[], Some(StatusCode::MISDIRECTED_REQUEST));
}

#[test]
fn changes_come_from_our_own_pages_or_from_no_page() {
    let host = ("host", "localhost:8090");
    check_request(Method::POST, &[host], None);
    check_request(Method::POST, &[host, ("origin", "http://localhost:8090"), ("sec-fetch-site", "same-origin")], None);
    check_request(Method::POST, &[host, ("origin", "https://localhost:8090")], None);
    check_request(Method::POST, &[host, ("origin", "null"), ("sec-fetch-site", "same-origin")], None);
    let refused = Some(StatusCode::FORBIDDEN);
    check_request(Method::POST, &[host, ("origin", "http://evil.example"), ("sec-fetch-site", "same-origin")], refused);
    check_request(Method::POST, &[host, ("origin", "http://evil.example")], refused);
    check_request(Method::POST, &[host, ("origin", "http://localhost:3000")], refused);
    check_request(Method::POST, &[host, ("origin", "null")], refused);
    check_request(Method::POST, &[host, ("sec-fetch-site", "cross-site")], refused);
    check_request(Method::DELETE, &[host, ("sec-fetch-site", "same-site")], refused);
    check_request(Method::GET, &[host, ("origin", "http://evil.example")], None);
}

fn check_request(method: Method, headers: &[(&'static str, &str)], refused: Option<StatusCode>) {
    let headers: HeaderMap = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
    let status = check(&method, &headers, "box7.example.org").err().map(|refusal| refusal.status);
    assert_eq!(status, refused, "{method} {headers:?}");
}
