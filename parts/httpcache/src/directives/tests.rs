use proptest::prelude::*;

use super::*;

fn response(line: &str) -> ResponseDirectives<'_> {
    let mut directives = ResponseDirectives::default();
    directives.read(line.as_bytes());
    directives
}

#[test]
fn lifetimes_are_whole_seconds() {
    let check = |line: &str, expected| assert_eq!(response(line).max_age, expected, "{line}");
    check("max-age=3600", Delta::Seconds(3600));
    check("max-age=\"3600\"", Delta::Seconds(3600)); // RFC 9111 §5.2: both forms
    check("MaX-aGe=003600", Delta::Seconds(3600));
    check("max-age=99999999999", Delta::Seconds(u32::MAX)); // §1.2.2
    check("foobar, max-age=7, x=y", Delta::Seconds(7));
    check("max-age='3600'", Delta::Invalid); // §4.2.1
    check("max-age=-1", Delta::Invalid);
    check("max-age=3600.0", Delta::Invalid);
    check("max-age=a3600", Delta::Invalid);
    check("max-age", Delta::Invalid);
    check("max-age=", Delta::Invalid);
    check("max-age=1, max-age=1", Delta::Seconds(1));
    check("max-age=1, max-age=2", Delta::Invalid); // §4.2.1: or the first; stale is the safe reading
    check("max-age =3600", Delta::Absent); // not this directive's name
    check("max-age= 3600", Delta::Invalid);
}

#[test]
fn what_stands_in_quotes_is_no_directive() {
    assert_eq!(response(r#"extension="max-age=3600, no-store", max-age=1"#).max_age, Delta::Seconds(1));
    assert!(!response(r#"a="x, no-store""#).no_store);
    assert!(!response(r#"a="x\", no-store""#).no_store);
    assert!(response(r#"a="x", no-store"#).no_store);
}

#[test]
fn no_cache_and_private_with_fields_withhold_those_fields() {
    let directives = response(r#"no-cache="a, b", private=Set-Cookie, max-age=1"#);
    assert!(!directives.no_cache && !directives.private);
    assert_eq!(directives.withheld, [&b"a"[..], b"b", b"Set-Cookie"]);
    assert!(response("no-cache").no_cache && response("private=\"\"").private);
}

#[test]
fn requests_are_read_likewise() {
    let mut directives = RequestDirectives::default();
    directives.read(b"max-stale, no-cache");
    directives.read(b"min-fresh=5, only-if-cached");
    let expected = RequestDirectives {
        max_stale: Some(Delta::Absent),
        no_cache: true,
        min_fresh: Delta::Seconds(5),
        only_if_cached: true,
        ..RequestDirectives::default()
    };
    assert_eq!(directives, expected);
}

/// RFC 9213 §2.1: a structured dictionary or nothing.
#[test]
fn targeted_fields_are_structured_or_ignored() {
    let max_age = |line: &'static str| ResponseDirectives::targeted(&[line.as_bytes()]).map(|d| d.max_age);
    assert_eq!(max_age("max-age=3600"), Some(Delta::Seconds(3600)));
    assert_eq!(max_age("foobar, max-age=99999999999;x=1"), Some(Delta::Seconds(u32::MAX)));
    assert_eq!(max_age("max-age=1, max-age=2"), Some(Delta::Seconds(2)), "RFC 9651 §4.2.2: the last one");
    assert_eq!(max_age("max-age=\"10000\""), Some(Delta::Absent), "wrong type");
    assert_eq!(max_age("max-age=-1"), Some(Delta::Absent));
    assert_eq!(max_age("max-age=10000, &&&&&"), None);
    assert_eq!(max_age("max-age =100"), None);
    assert_eq!(max_age("MaX-aGe=3600"), None, "keys are lower case");
    assert_eq!(max_age(""), None);
    assert!(ResponseDirectives::targeted(&[b"no-store"]).unwrap().no_store);
    assert!(!ResponseDirectives::targeted(&[b"no-store=?0"]).unwrap().no_store);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let mut directives = ResponseDirectives::default();
        directives.read(&bytes);
        let _ = ResponseDirectives::targeted(&[&bytes]);
        RequestDirectives::default().read(&bytes);
    }
}
