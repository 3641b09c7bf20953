use super::*;
use crate::{Authority, Fields, Known, TargetForm};

#[test]
fn a_request_line_has_three_parts_and_single_spaces() {
    accepted(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 1);
    accepted(b"M-SEARCH /x?y=z HTTP/1.1\r\nHost: a\r\n\r\n", 1); // RFC 9110 §9.1: a method is a token
    refused(b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::RequestLine); // RFC 9112 §3
    refused(b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::Version);
    refused(b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::RequestLine);
    refused(b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::RequestLine);
    refused(b"GET /\r\nHost: a\r\n\r\n", Refusal::RequestLine); // HTTP/0.9 is not spoken
    refused(b"GE(T / HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::RequestLine);
    refused(b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::Version);
    refused(b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", Refusal::LineEnd);
}

#[test]
fn only_one_dot_zero_and_one_dot_one_are_spoken() {
    accepted(b"GET / HTTP/1.0\r\n\r\n", 1);
    for version in ["HTTP/2.0", "HTTP/1.2", "HTTP/0.9", "HTTP/1.10", "http/1.1", "HTTP/01.1", "HTTX/1.1"] {
        let bytes = format!("GET / {version}\r\nHost: a\r\n\r\n");
        let why = whole(bytes.as_bytes()).refused.expect(version);
        assert!(matches!(why, Refusal::Version | Refusal::LineEnd), "{version}: {why:?}"); // RFC 9112 §2.3
    }
}

#[test]
fn one_empty_line_before_a_request_is_ignored_and_no_more() {
    accepted(b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 2); // RFC 9112 §2.2
    refused(b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::RequestLine);
    refused(b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::RequestLine);
    refused(b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::RequestLine);
}

#[test]
fn every_line_ends_in_cr_lf() {
    // RFC 9112 §2.2
    refused(b"GET / HTTP/1.1\nHost: a\r\n\r\n", Refusal::LineEnd);
    refused(b"GET / HTTP/1.1\r\nHost: a\n\r\n", Refusal::LineEnd);
    refused(b"GET / HTTP/1.1\r\nHost: a\r\n\n", Refusal::LineEnd);
    refused(b"GET / HTTP/1.1\r\nHost: a\r\nX: \nY: 1\r\n\r\n", Refusal::LineEnd);
    refused(b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\rY: 2\r\n\r\n", Refusal::FieldValue); // a lone CR is part of the value, and not allowed there
    refused(b"GET / HTTP/1.1\r\nHost: a\r\nX: \r\r\n\r\n", Refusal::FieldValue);
    refused(b"GET / HTTP/1.1\r\rHost: a\r\n\r\n", Refusal::LineEnd);
}

#[test]
fn a_field_name_is_a_token_followed_by_its_colon() {
    accepted(&get("X!#$%&'*+-.^_`|~9: 1\r\n"), 1); // RFC 9110 §5.6.2
    refused(&get("X : 1\r\n"), Refusal::SpaceInFieldName); // RFC 9112 §5.1
    refused(&get("X\t: 1\r\n"), Refusal::SpaceInFieldName);
    refused(&get("X Y: 1\r\n"), Refusal::SpaceInFieldName);
    refused(&get("X(Y: 1\r\n"), Refusal::FieldName);
    refused(&get("X\0: 1\r\n"), Refusal::FieldName);
    refused(&get(": 1\r\n"), Refusal::FieldName);
    refused(&get("X\r\n"), Refusal::FieldName); // no colon
    refused("GET / HTTP/1.1\r\nHost: a\r\n키: 1\r\n\r\n".as_bytes(), Refusal::FieldName);
}

#[test]
fn a_line_is_not_folded() {
    refused(&get("X: 1\r\n 2\r\n"), Refusal::Folded); // RFC 9112 §5.2
    refused(&get("X: 1\r\n\t2\r\n"), Refusal::Folded);
    refused(b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", Refusal::Folded); // §2.2: whitespace before the first field
}

#[test]
fn a_field_value_has_no_control_bytes() {
    accepted(&get("X: a\tb \u{ac00}\r\n"), 1); // RFC 9110 §5.5: obs-text is opaque
    for byte in (0u8..=31).filter(|b| !matches!(b, b'\t' | b'\r' | b'\n')).chain([127]) {
        let mut bytes = b"GET / HTTP/1.1\r\nHost: a\r\nX: 1".to_vec();
        bytes.push(byte);
        bytes.extend_from_slice(b"2\r\n\r\n");
        refused(&bytes, Refusal::FieldValue);
    }
}

#[test]
fn values_lose_the_whitespace_around_them() {
    let seen = accepted(&get("X: \t a b \t\r\nY:\r\nZ:c\r\n"), 1); // RFC 9112 §5.1
    assert!(seen.heads[0].ends_with("| X a b | Y  | Z c"), "{}", seen.heads[0]);
}

#[test]
fn a_request_has_one_valid_host() {
    refused(b"GET / HTTP/1.1\r\n\r\n", Refusal::HostMissing); // RFC 9112 §3.2
    refused(b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Refusal::HostRepeated);
    refused(b"GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n", Refusal::HostRepeated);
    for bad in ["", "a b", "a/b", "user@a", "a:b", "a:70000", "a:123456", "[::1", "[::1]x", "a:1:2", "a#", "a\\b", "[]", "a?b", "\u{ac00}"]
    {
        refused(format!("GET / HTTP/1.1\r\nHost: {bad}\r\n\r\n").as_bytes(), Refusal::HostInvalid);
    }
    for good in ["a", "a:80", "a:", "1.2.3.4", "[::1]:8080", "a_b.example", "xn--9n2b"] {
        accepted(format!("GET / HTTP/1.1\r\nHost: {good}\r\n\r\n").as_bytes(), 1);
    }
}

#[test]
fn an_authority_splits_into_host_and_port() {
    assert_eq!(Authority::parse(b"[::1]:80"), Ok(Authority { host: b"[::1]", port: Some(80) }));
    assert_eq!(Authority::parse(b"a.b"), Ok(Authority { host: b"a.b", port: None }));
    assert_eq!(Authority::parse(b"a:"), Ok(Authority { host: b"a", port: None })); // RFC 3986 §3.2.3
}

#[test]
fn a_target_is_in_the_form_of_its_method() {
    let form = |line: &str| {
        let mut head = RequestHead::default();
        let bytes = format!("{line} HTTP/1.1\r\nHost: a:80\r\n\r\n");
        head.parse(bytes.as_bytes(), &Limits::default()).map(|_| {
            let path = String::from_utf8_lossy(head.path_and_query()).into_owned();
            (head.form, path, String::from_utf8_lossy(head.authority()).into_owned())
        })
    };
    let is = |form, path: &str| Ok((form, path.to_owned(), "a:80".to_owned()));
    assert_eq!(form("GET /x?y"), is(TargetForm::Origin, "/x?y")); // RFC 9112 §3.2.1
    assert_eq!(form("GET //a"), is(TargetForm::Origin, "//a"));
    assert_eq!(form("GET http://a:80/x"), is(TargetForm::Absolute, "/x")); // §3.2.2
    assert_eq!(form("GET HTTP://A:80"), Ok((TargetForm::Absolute, "/".into(), "A:80".into())));
    assert_eq!(form("OPTIONS *"), is(TargetForm::Asterisk, "*")); // §3.2.4
    assert_eq!(form("CONNECT a:80"), is(TargetForm::Authority, "/")); // §3.2.3
    for bad in [
        "GET x",
        "GET *",
        "GET a:80",
        "GET ftp://a:80/",
        "GET http:/a",
        "GET http://a:80?x",
        "CONNECT /",
        "CONNECT a",
        "GET /#x",
        "GET /\u{ac00}",
    ] {
        assert!(matches!(form(bad), Err(Refusal::Target | Refusal::RequestLine)), "{bad}: {:?}", form(bad));
    }
    assert_eq!(form("GET http://b:80/"), Err(Refusal::HostMismatch));
    assert_eq!(form("GET http://a/"), Err(Refusal::HostMismatch));
    assert_eq!(form("GET http://u@a:80/"), Err(Refusal::HostInvalid));
    assert_eq!(form("GET http:///x"), Err(Refusal::HostInvalid));
}

#[test]
fn what_is_too_much_is_refused_at_the_limit() {
    let limits = Limits { head_bytes_max: 64, fields_max: 3 };
    let refusal = |bytes: &[u8]| (requests([bytes], &limits).refused, requests(bytes.chunks(1), &limits).refused);
    let long = |n: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(n));
    assert_eq!(long(32).len(), 64);
    assert_eq!(refusal(long(32).as_bytes()), (None, None));
    assert_eq!(refusal(long(33).as_bytes()), (Some(Refusal::HeadTooLong), Some(Refusal::HeadTooLong))); // RFC 6585 §5
    let target = format!("GET /{}", "x".repeat(70));
    assert_eq!(refusal(target.as_bytes()), (Some(Refusal::TargetTooLong), Some(Refusal::TargetTooLong))); // RFC 9112 §3
    assert_eq!(refusal(b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nY: 1\r\n\r\n"), (None, None));
    let four = b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nY: 1\r\nZ: 1\r\n\r\n";
    assert_eq!(refusal(four), (Some(Refusal::TooManyFields), Some(Refusal::TooManyFields)));
    assert_eq!([Refusal::HeadTooLong, Refusal::TooManyFields, Refusal::TargetTooLong].map(Refusal::status), [431, 431, 414]);
}

#[test]
fn a_status_line_has_a_version_and_a_real_status() {
    let limits = Limits::default();
    let refusal = |line: &str| responses([format!("{line}\r\nContent-Length: 0\r\n\r\n").as_bytes()], Default::default(), &limits).refused;
    for good in ["HTTP/1.1 200 OK", "HTTP/1.1 200 ", "HTTP/1.1 200", "HTTP/1.0 404 Not \u{e9} Found", "HTTP/1.1 599 x"] {
        assert_eq!(refusal(good), None, "{good}"); // RFC 9112 §4: the reason may be empty
    }
    for bad in [
        "HTTP/1.1 99 x",
        "HTTP/1.1 600 x",
        "HTTP/1.1 20 x",
        "HTTP/1.1 2000 x",
        "HTTP/1.1  200 x",
        "HTTP/2.0 200 x",
        "HTTP/1.1 2x0 x",
        "200 OK",
        "HTTP/1.1 000 x",
    ] {
        assert!(refusal(bad).is_some(), "{bad}");
    }
    assert_eq!(
        responses([&b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n"[..]], Default::default(), &limits).refused,
        Some(Refusal::LineEnd)
    );
}

#[test]
fn fields_are_found_by_name_in_any_case() {
    let mut head = RequestHead::default();
    let bytes = get("ACCEPT: a\r\naccept: b, ,c\r\nX-Own: 1\r\n");
    assert_eq!(head.parse(&bytes, &Limits::default()), Ok(Some(bytes.len())));
    assert_eq!(head.fields.get(Known::Accept), Some(&b"a"[..]));
    assert_eq!(head.fields.tokens(Known::Accept).collect::<Vec<_>>(), [b"a", b"b", b"c"]);
    assert!(head.fields.has_token(Known::Accept, "C") && !head.fields.has_token(Known::Accept, "d"));
    assert_eq!(head.fields.get_named("x-own"), Some(&b"1"[..]));
    assert_eq!(head.fields.get(Known::Other), None);
    assert_eq!(head.fields.raw_lines(), b"Host: a\r\nACCEPT: a\r\naccept: b, ,c\r\nX-Own: 1\r\n");
    assert_eq!(Fields::default().raw_lines(), b"");
}
