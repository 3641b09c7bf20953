//! The rules as tables: head lines in, verdicts out. Only the helpers at the end know the API.
use proptest::prelude::*;

use super::*;

// === storing ===

#[test]
fn lifetime_comes_from_the_most_specific_source() {
    // RFC 9111 §4.2.1
    lasts("Cache-Control: max-age=3600", 3600);
    lasts("Cache-Control: max-age=5, s-maxage=60", 60); // §5.2.2.10
    lasts("Cache-Control: s-maxage=1\nCache-Control: max-age=60", 1);
    lasts("Cache-Control: max-age=60\nExpires: $-7200\nDate: $0", 60);
    lasts("Cache-Control: max-age=60\nExpires: 0", 60);
    lasts("Expires: $60\nDate: $0", 60);
    lasts("Expires: $60\nDate: $-20", 80);
    lasts("Expires: $10\nDate: foo", 10); // RFC 9110 §6.6.1: no Date, so the time of arrival
    lasts("CDN-Cache-Control: max-age=60\nCache-Control: max-age=5", 60); // RFC 9213 §2.2
    lasts("CDN-Cache-Control: max-age=60\nCache-Control: no-store", 60);
    lasts("CDN-Cache-Control: max-age=60\nExpires: $-100", 60);
    lasts("CDN-Cache-Control: max-age=&&\nCache-Control: max-age=5", 5);
}

#[test]
fn what_is_past_or_invalid_has_no_lifetime() {
    // Nothing to validate with, so nothing worth storing.
    for head in [
        "Cache-Control: max-age=0",
        "Cache-Control: max-age=5x",           // §4.2.1
        "Cache-Control: max-age=5, max-age=6", // §4.2.1
        "Expires: 0",                          // §5.3
        "Expires: $-60\nDate: $0",
        "Expires: $300\nDate: $400",
        "Expires: $0\nDate: $0",
        "Expires: $60\nExpires: $70", // §4.2.1
        "CDN-Cache-Control: max-age=0\nExpires: $60",
    ] {
        refused(head, Bypass::NoFreshness);
        check(head).etag("\"a\"").lasts(0); // with a validator it is kept, to be validated
    }
}

#[test]
fn lifetimes_are_guessed_only_where_the_rules_allow() {
    let day = "Last-Modified: $-86400\nDate: $0";
    for status in [200, 203, 204, 404, 405, 410, 414, 501] {
        check(day).status(status).lasts(8640); // §4.2.2: a tenth
    }
    for status in [201, 202, 403, 502, 503, 504, 599] {
        check(day).status(status).refused(Bypass::NoFreshness);
    }
    check("Last-Modified: $-86400\nDate: $0\nCache-Control: public").status(599).lasts(8640); // §5.2.2.9
    check("Last-Modified: $-100000000\nDate: $0").lasts(86_400);
    check(day).query().lasts(0); // kept for validation only
    check(day).request("Cookie: a=b").lasts(0);
    refused("Last-Modified: $-86400\nDate: $0\nSet-Cookie: a=b", Bypass::SetCookie);
    refused("Date: $0", Bypass::NoFreshness);
}

#[test]
fn missing_pages_are_kept_if_the_operator_says_so() {
    let rules = Rules { negative_s: 5, ..Rules::default() };
    check("").status(404).rules(rules).lasts(5);
    check("").status(200).rules(rules).refused(Bypass::NoFreshness);
    check("").status(404).refused(Bypass::NoFreshness);
}

#[test]
fn prohibitions_are_kept() {
    refused("Cache-Control: max-age=60, no-store", Bypass::NoStore); // §5.2.2.5
    refused("Cache-Control: max-age=60, private", Bypass::Private); // §5.2.2.7
    refused("CDN-Cache-Control: private\nCache-Control: max-age=60", Bypass::Private);
    refused("CDN-Cache-Control: no-store\nCache-Control: max-age=60", Bypass::NoStore);
    refused("Cache-Control: max-age=60\nVary: Foo, *", Bypass::VaryAll); // §4.1
    refused("Cache-Control: max-age=60\nVary: \nVary: *", Bypass::VaryAll);
    check("Cache-Control: max-age=60").status(206).refused(Bypass::Partial);
    check("Cache-Control: max-age=60").status(304).refused(Bypass::Status);
    check("Cache-Control: max-age=60").request("Cache-Control: no-store").refused(Bypass::RequestNoStore); // §5.2.1.5
    check("Cache-Control: max-age=60").method("HEAD").refused(Bypass::Method);
    check("Cache-Control: max-age=60").method("PUT").refused(Bypass::Method);
}

#[test]
fn must_understand_depends_on_the_status() {
    let head = "Cache-Control: max-age=60, no-store, must-understand"; // §5.2.2.3
    check(head).status(200).lasts(60);
    check(head).status(599).refused(Bypass::Status);
}

#[test]
fn fresh_errors_and_redirects_are_stored() {
    for status in [200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 499, 500, 502, 503, 504, 599] {
        check("Cache-Control: max-age=60").status(status).lasts(60);
    }
}

#[test]
fn answers_to_authorized_requests_are_shared_only_with_permission() {
    let check = |head: &'static str| check(head).request("Authorization: Basic x"); // §3.5
    check("Cache-Control: max-age=60").refused(Bypass::Authorization);
    check("Cache-Control: max-age=60, public").lasts(60);
    check("Cache-Control: max-age=60, must-revalidate").lasts(60);
    check("Cache-Control: s-maxage=60").lasts(60);
}

#[test]
fn post_needs_an_explicit_lifetime() {
    check("Cache-Control: max-age=60").method("POST").lasts(60); // RFC 9110 §9.3.3
    check("Last-Modified: $-86400\nDate: $0").method("POST").refused(Bypass::Method);
}

#[test]
fn no_cache_is_stored_only_to_be_validated() {
    refused("Cache-Control: max-age=60, no-cache", Bypass::NoFreshness); // §5.2.2.4
    check("Cache-Control: max-age=60, no-cache").etag("\"a\"").reused("", 0, Reuse::Validate(Grace::Never));
}

// === age ===

#[test]
fn age_counts_transit_and_residence() {
    let age = |head: &'static str, later_ms| check(head).terms().unwrap().age_s(NOW_MS + later_ms);
    assert_eq!(age("Cache-Control: max-age=60\nDate: $0", 2999), 2); // §4.2.3
    assert_eq!(age("Cache-Control: max-age=60\nDate: $-10", 0), 10, "apparent age");
    assert_eq!(age("Cache-Control: max-age=60\nDate: $0\nAge: 30", 3000), 33);
    assert_eq!(age("Cache-Control: max-age=60\nDate: $10\nAge: 15", 0), 15, "a fast clock makes nothing younger");
    assert_eq!(age("Cache-Control: max-age=60\nAge: 30, 0", 0), 30); // §5.1: the first
    assert_eq!(age("Cache-Control: max-age=60\nAge: 0\nAge: 30", 0), 0);
    assert_eq!(age("Cache-Control: max-age=60\nAge: abc", 0), 0); // §5.1: ignored
    assert_eq!(age("Cache-Control: max-age=60\nAge: -5", 0), 0);
}

#[test]
fn a_slow_origin_ages_its_answer() {
    let at = Exchange { request_ms: NOW_MS - 5000, response_ms: NOW_MS };
    assert_eq!(check("Cache-Control: max-age=60\nDate: $0").at(at).terms().unwrap().age_s(NOW_MS), 5); // §4.2.3 response_delay
}

#[test]
fn expired_on_arrival_is_stale() {
    check("Cache-Control: max-age=3600\nAge: 7200").etag("\"a\"").reused("", 0, Reuse::Validate(Grace::Never));
    check("Date: $10\nExpires: $20\nAge: 15").etag("\"a\"").reused("", 0, Reuse::Validate(Grace::Unreachable));
    check("Date: $-10\nExpires: $10\nAge: 25").etag("\"a\"").reused("", 0, Reuse::Validate(Grace::Unreachable));
}

// === reuse ===

#[test]
fn fresh_until_the_lifetime_is_over() {
    let check = || check("Cache-Control: max-age=60\nDate: $0");
    check().reused("", 59_999, Reuse::Fresh);
    check().reused("", 60_000, Reuse::Validate(Grace::Unreachable)); // §4.2: age must be less
}

#[test]
fn request_directives_narrow_what_is_fresh() {
    let check = || check("Cache-Control: max-age=1500\nAge: 1000");
    check().reused("Cache-Control: no-cache", 0, VALIDATE); // §5.2.1.4
    check().reused("Pragma: no-cache", 0, VALIDATE); // §5.4
    check().reused("Pragma: no-cache\nCache-Control: foo", 0, Reuse::Fresh);
    check().reused("Cache-Control: max-age=0", 0, VALIDATE); // §5.2.1.1
    check().reused("Cache-Control: max-age=1000", 0, Reuse::Fresh);
    check().reused("Cache-Control: max-age=999", 0, VALIDATE);
    check().reused("Cache-Control: min-fresh=500", 0, Reuse::Fresh); // §5.2.1.3
    check().reused("Cache-Control: min-fresh=501", 0, VALIDATE);
}

#[test]
fn max_stale_widens_unless_the_response_forbids() {
    let stale = Reuse::Stale(Why::ClientAllows); // §5.2.1.2
    check("Cache-Control: max-age=60").reused("Cache-Control: max-stale", 900_000, stale);
    check("Cache-Control: max-age=60").reused("Cache-Control: max-stale=10", 70_000, stale);
    check("Cache-Control: max-age=60").reused("Cache-Control: max-stale=10", 71_000, VALIDATE);
    for forbids in ["must-revalidate", "proxy-revalidate", "s-maxage=60"] {
        let head = format!("Cache-Control: max-age=60, {forbids}");
        check(&head).reused("Cache-Control: max-stale", 61_000, Reuse::Validate(Grace::Never)); // §4.2.4
    }
}

#[test]
fn stale_while_revalidate_has_a_window() {
    let check = || check("Cache-Control: max-age=60, stale-while-revalidate=10"); // RFC 5861 §3
    check().reused("", 69_999, Reuse::Stale(Why::WhileRevalidating));
    check().reused("", 70_000, Reuse::Validate(Grace::Unreachable));
    check().reused("Cache-Control: max-age=60", 65_000, Reuse::Validate(Grace::Unreachable));
}

#[test]
fn s_maxage_forbids_stale_unless_the_same_response_allows_it() {
    check("Cache-Control: s-maxage=60").reused("", 61_000, Reuse::Validate(Grace::Never)); // §5.2.2.10
    check("Cache-Control: s-maxage=60, stale-while-revalidate=9").reused("", 61_000, Reuse::Stale(Why::WhileRevalidating));
    check("Cache-Control: s-maxage=60, stale-if-error=9").reused("", 61_000, Reuse::Validate(Grace::Errors));
    check("Cache-Control: s-maxage=60, must-revalidate, stale-if-error=9").reused("", 61_000, Reuse::Validate(Grace::Never));
}

#[test]
fn grace_says_which_failures_are_covered() {
    check("Cache-Control: max-age=60, stale-if-error=100").reused("", 150_000, Reuse::Validate(Grace::Errors)); // RFC 5861 §4
    check("Cache-Control: max-age=60, stale-if-error=100").reused("", 160_000, Reuse::Validate(Grace::Never));
    check("Cache-Control: max-age=60").reused("", 119_999, Reuse::Validate(Grace::Unreachable)); // the operator's 60 s
    check("Cache-Control: max-age=60").reused("", 120_000, Reuse::Validate(Grace::Never));
    check("Cache-Control: max-age=60, stale-if-error=0").reused("", 61_000, Reuse::Validate(Grace::Never));
    let covered = |grace: Grace| [None, Some(500), Some(502), Some(503), Some(504), Some(404)].map(|status| grace.covers(status));
    assert_eq!(covered(Grace::Never), [false; 6]);
    assert_eq!(covered(Grace::Unreachable), [true, false, true, true, true, false]);
    assert_eq!(covered(Grace::Errors), [true, true, true, true, true, false]);
}

#[test]
fn a_request_with_authorization_gets_only_what_is_marked_for_sharing() {
    check("Cache-Control: max-age=60").reused("Authorization: x", 0, VALIDATE); // §3.5
    check("Cache-Control: max-age=60, public").reused("Authorization: x", 0, Reuse::Fresh);
}

#[test]
fn a_soft_purge_leaves_only_the_stale_windows() {
    let mut terms = check("Cache-Control: max-age=600, stale-while-revalidate=10").terms().unwrap();
    terms.make_stale(NOW_MS + 5500);
    assert_eq!(terms.reuse(&Asked::default(), NOW_MS + 6000), Reuse::Stale(Why::WhileRevalidating));
    assert_eq!(terms.reuse(&Asked::default(), NOW_MS + 16_000), VALIDATE);
    let before = terms;
    terms.make_stale(NOW_MS + 9000);
    assert_eq!(terms, before, "what is stale does not become less so");
}

// === validation ===

#[test]
fn a_client_that_has_it_gets_304() {
    let check = |request: &str, etag: Option<&str>, modified: Option<&str>, expected: bool| {
        let lines = lines(request);
        let asked = Asked::of(b"GET", pairs(&lines));
        let modified = modified.map(dated);
        let answer = validation::not_modified(&asked, etag.map(str::as_bytes), modified.as_deref().map(str::as_bytes), NOW_S);
        assert_eq!(answer, expected, "{request} with {etag:?} {modified:?}");
    };
    // RFC 9110 §13.1.2: weak comparison, lists
    check("If-None-Match: \"abc\"", Some("\"abc\""), None, true);
    check("If-None-Match: W/\"abc\"", Some("\"abc\""), None, true);
    check("If-None-Match: \"abc\"", Some("W/\"abc\""), None, true);
    check("If-None-Match: \"1\", \"abc\", \"2\"", Some("\"abc\""), None, true);
    check("If-None-Match: \"1\",\"2\" , W/\"abc\"", Some("\"abc\""), None, true);
    check("If-None-Match: \"a,b\", \"c\"", Some("\"a,b\""), None, true);
    check("If-None-Match: *", None, None, true);
    check("If-None-Match: \"other\"", Some("\"abc\""), None, false);
    check("If-None-Match: \"abc\"", None, None, false);
    check("If-None-Match: abc", Some("abc"), None, true);
    check("If-None-Match: abc", Some("\"abc\""), None, false);
    // §13.2.2: If-None-Match decides alone
    check("If-None-Match: \"abc\"\nIf-Modified-Since: $-9", Some("\"abc\""), Some("$-5"), true);
    check("If-None-Match: \"x\"\nIf-Modified-Since: $0", Some("\"abc\""), Some("$-5"), false);
    // §13.1.3
    check("If-Modified-Since: $-5", None, Some("$-5"), true);
    check("If-Modified-Since: $-4", None, Some("$-5"), true);
    check("If-Modified-Since: $-6", None, Some("$-5"), false);
    check("If-Modified-Since: $0", None, None, true); // RFC 9111 §4.3.2: the time it was made
    check("If-Modified-Since: $-1", None, None, false);
    check("If-Modified-Since: yesterday", None, Some("$-5"), false);
    check("", Some("\"abc\""), Some("$-5"), false);
}

#[test]
fn a_304_updates_what_it_may() {
    let stored = lines("A: 1\nB: 2\nB: 3\nContent-Length: 10\nContent-Encoding: gzip\nETag: \"a\"\nCache-Control: max-age=1");
    let new =
        lines("b: 4\nContent-Length: 0\nContent-Encoding: br\nConnection: x\nX: 1\nKeep-Alive: 5\nSecret: 1\nCache-Control: max-age=9");
    let merged = validation::freshened(pairs(&stored), pairs(&new), &[b"x"], &[b"secret"]);
    let merged: Vec<String> = merged.iter().map(|(n, v)| format!("{}: {}", text(n), text(v))).collect();
    // RFC 9111 §3.2
    assert_eq!(merged, ["A: 1", "Content-Length: 10", "Content-Encoding: gzip", "ETag: \"a\"", "b: 4", "Cache-Control: max-age=9"]);
}

#[test]
fn a_304_about_something_else_confirms_nothing() {
    let check = |new: Option<&str>, stored: Option<&str>| validation::confirms(new.map(str::as_bytes), stored.map(str::as_bytes));
    assert!(check(None, Some("\"a\"")) && check(Some("\"a\""), Some("\"a\"")) && check(Some("W/\"a\""), Some("\"a\"")));
    assert!(!check(Some("\"b\""), Some("\"a\"")) && !check(Some("\"b\""), None)); // RFC 9111 §4.3.4
}

// === vary ===

#[test]
fn requests_that_mean_the_same_share_a_response() {
    let key = |vary: &str, request: &str| {
        let names = vary::names([vary.as_bytes()].into_iter()).unwrap();
        let lines = lines(request);
        let mut key = Vec::new();
        vary::select(&names, pairs(&lines), &mut key);
        key
    };
    let same = |vary: &str, one: &str, other: &str| assert_eq!(key(vary, one), key(vary, other), "{vary}: {one} / {other}");
    let differ = |vary: &str, one: &str, other: &str| assert_ne!(key(vary, one), key(vary, other), "{vary}: {one} / {other}");
    // RFC 9111 §4.1
    same("Foo", "Foo: 1", "foo: 1\nOther: 2");
    same("Foo", "Foo: 1\nFoo: 2", "Foo: 1, 2");
    same("Foo", "Foo: 1,2", "Foo:  1 ,\t2 ");
    same("Foo, Bar", "Bar: 2\nFoo: 1", "Foo: 1\nBar: 2");
    same("Foo, Bar", "Foo: 1", "Foo: 1");
    same("Accept-Language", "Accept-Language: en, de", "Accept-Language: eN,DE");
    differ("Accept-Language", "Accept-Language: en, de", "Accept-Language: de, en"); // origins read the order as preference
    differ("Foo", "Foo: 1", "Foo: 2");
    differ("Foo", "Foo: a", "Foo: A");
    differ("Foo", "Foo: a b", "Foo: ab");
    differ("Foo", "Foo: \"a, b\"", "Foo: \"a,b\"");
    differ("Foo", "Foo: 1", "");
    differ("Foo", "Foo: ", "");
    differ("Foo, Bar", "Foo: 1", "Bar: 1");
    differ("Foo, Bar", "Foo: 1\nBar: 2", "Foo: 1");
}

#[test]
fn vary_names_are_a_set_with_a_bound() {
    let names = |line: &str| vary::names([line.as_bytes()].into_iter());
    assert_eq!(names("B, a,, A").unwrap(), [Box::from(*b"a"), Box::from(*b"b")]);
    assert_eq!(names(", *"), Err(Bypass::VaryAll));
    let many: Vec<String> = (0..=vary::NAMES_MAX).map(|n| format!("x{n}")).collect();
    assert_eq!(names(&many.join(",")), Err(Bypass::VaryTooLong));
}

// === range ===

#[test]
fn ranges_are_cut_from_the_whole() {
    use range::Parts::*;
    let check = |request: &str, expected: range::Parts| {
        let lines = lines(request);
        let asked = Asked::of(b"GET", pairs(&lines));
        let modified = dated("$-5");
        assert_eq!(range::parts(&asked, 10, Some(b"\"abc\""), Some(modified.as_bytes()), NOW_S), expected, "{request}");
    };
    let bytes = |first, last| One { first, last };
    // RFC 9110 §14.1.2
    check("Range: bytes=0-1", bytes(0, 1));
    check("Range: bytes=1-", bytes(1, 9));
    check("Range: bytes=-1", bytes(9, 9));
    check("Range: bytes=-99", bytes(0, 9));
    check("Range: bytes=8-99", bytes(8, 9));
    check("Range: bytes=10-", Unsatisfiable); // §15.5.17
    check("Range: bytes=-0", Unsatisfiable);
    check("Range: bytes=99999999999999999999-", Unsatisfiable);
    // §14.2: ignored
    check("", Whole);
    check("Range: bytes=5-3", Whole);
    check("Range: bytes=a-b", Whole);
    check("Range: lines=0-1", Whole);
    check("Range: bytes=", Whole);
    check("Range: bytes=0-1,x", Whole);
    // several
    let several = |parts: &[(u64, u64)]| Several(parts.to_vec());
    check("Range: bytes=0-1,3-4", several(&[(0, 1), (3, 4)]));
    check("Range: bytes=5-6 , 0-1,", several(&[(5, 6), (0, 1)]));
    check("Range: bytes=0-1,99-", bytes(0, 1));
    check("Range: bytes=98-,99-", Unsatisfiable);
    check("Range: bytes=0-4,2-6", bytes(0, 6));
    check("Range: bytes=0-,0-,0-,-1", bytes(0, 9));
    check("Range: bytes=7-8,0-2,1-3", several(&[(0, 3), (7, 8)]));
    check(&format!("Range: bytes={}", "0-0,".repeat(16)), bytes(0, 0));
    check(&format!("Range: bytes={}", "0-0,".repeat(17)), Whole); // §17.15
    // §13.1.5
    check("Range: bytes=0-1\nIf-Range: \"abc\"", bytes(0, 1));
    check("Range: bytes=0-1\nIf-Range: W/\"abc\"", Whole);
    check("Range: bytes=0-1\nIf-Range: \"x\"", Whole);
    check("Range: bytes=0-1\nIf-Range: $-5", bytes(0, 1));
    check("Range: bytes=0-1\nIf-Range: $-4", Whole);
}

#[test]
fn a_part_says_which_part_it_is() {
    let check = |value: &str, expected: Option<(u64, u64, u64)>| {
        let found = range::ContentRange::parse(value.as_bytes()).map(|part| (part.first, part.last, part.total));
        assert_eq!(found, expected, "{value}");
    };
    // RFC 9110 §14.4
    check("bytes 0-4/10", Some((0, 4, 10)));
    check("Bytes 9-9/10", Some((9, 9, 10)));
    for none in
        ["bytes 0-4/*", "bytes */10", "bytes 4-0/10", "bytes 0-10/10", "lines 0-4/10", "bytes 0-4", "bytes=0-4/10", "bytes a-b/c", ""]
    {
        check(none, None);
    }
}

#[test]
fn nothing_has_no_ranges() {
    let lines = lines("Range: bytes=-5");
    assert_eq!(range::parts(&Asked::of(b"GET", pairs(&lines)), 0, None, None, NOW_S), range::Parts::Unsatisfiable);
}

// === codings ===

#[test]
fn the_heaviest_coding_wins_and_ours_among_equals() {
    let check = |value: &str, expected: &str| {
        let lines = [("Accept-Encoding".to_string(), value.to_string())];
        let codings = Asked::of(b"GET", pairs(&lines)).codings();
        let best = codings.best([Coding::Zstd, Coding::Brotli, Coding::Gzip].into_iter());
        assert_eq!(best.map_or("", Coding::name), expected, "{value}");
    };
    // RFC 9110 §12.5.3
    check("gzip", "gzip");
    check("X-GZIP", "gzip");
    check("gzip, deflate, br, zstd", "zstd");
    check("br, GZIP;q=0.5", "br");
    check("br;q=0.2, gzip;q=0.3", "gzip");
    check("zstd ; q=0.999 , br;Q=1.000", "br");
    check("*", "zstd");
    check("zstd;q=0, *;q=0.1", "br");
    check("gzip;q=0", "");
    check("gzip; q=0.000, *", "zstd");
    check("*;q=0", "");
    check("deflate, compress", "");
    check("x-gzip-not", "");
    check("identity, gzip;q=0.5", "");
    check("identity;q=0.5, gzip;q=0.5", "gzip");
    check("gzip, gzip;q=0", "gzip");
    // §12.4.2: what is no weight makes no element
    for malformed in ["gzip;q=1.001", "gzip;q=2", "gzip;q=", "gzip;q=0.0001", "gzip;q=.5", "gzip;q=-1"] {
        check(malformed, "");
    }
    check("", "");
    let lines = lines("Accept-Encoding: gzip\nCache-Control: no-transform"); // RFC 9111 §5.2.1.6
    assert_eq!(Asked::of(b"GET", pairs(&lines)).codings(), Accepted::of(None));
}

// === invalidation ===

#[test]
fn unsafe_requests_invalidate_what_they_name_on_the_same_host() {
    let check = |reference: &str, expected: Option<&str>| {
        let resolved = invalidation::resolve(reference.as_bytes(), b"a.example", b"/dir/page?x=1");
        assert_eq!(resolved.as_deref().map(text), expected.map(str::to_string), "{reference}");
    };
    // RFC 9111 §4.4, RFC 3986 §5.2
    check("/other?y#z", Some("/other?y"));
    check("other", Some("/dir/other"));
    check("./other", Some("/dir/other"));
    check("../other", Some("/other"));
    check("../../../other", Some("/other"));
    check("..", Some("/"));
    check("?y=2", Some("/dir/page?y=2"));
    check("", Some("/dir/page?x=1"));
    check("http://a.example/b", Some("/b"));
    check("HTTPS://A.example", Some("/"));
    check("//a.example/b", Some("/b"));
    check("http://a.example?q", Some("/?q"));
    check("http://evil.example/b", None);
    check("http://a.example.evil/b", None);
    check("mailto:x@a.example", None);
}

// === cache status ===

#[test]
fn cache_status_is_a_structured_item() {
    let hit = CacheStatus::Hit { ttl_s: -3 };
    assert_eq!(hit.to_string(), "pumasi; hit; ttl=-3"); // RFC 9211 §2
    let forwarded = CacheStatus::Forwarded {
        why: Forward::Stale,
        origin_status: Some(304),
        stored: true,
        coalesced: true,
        detail: Some(Bypass::TooLarge),
    };
    assert_eq!(forwarded.to_string(), "pumasi; fwd=stale; fwd-status=304; stored; collapsed; detail=too-large");
}

#[test]
fn every_bypass_has_its_own_word() {
    let words: std::collections::BTreeSet<&str> = Bypass::ALL.iter().map(|reason| reason.word()).collect();
    assert_eq!(words.len(), Bypass::ALL.len());
}

// === whatever arrives ===

proptest! {
    #[test]
    fn no_head_panics(
        request in proptest::collection::vec((name(), proptest::collection::vec(any::<u8>(), 0..40)), 0..6),
        response in proptest::collection::vec((name(), proptest::collection::vec(any::<u8>(), 0..40)), 0..6),
        status in 100..1000_u16,
        later in 0..u64::MAX / 4,
    ) {
        let fields = |list: &[(&'static str, Vec<u8>)]| list.to_vec();
        let (request, response) = (fields(&request), fields(&response));
        let asked = Asked::of(b"GET", request.iter().map(|(n, v)| (n.as_bytes(), &v[..])));
        let answered = Answered::of(status, response.iter().map(|(n, v)| (n.as_bytes(), &v[..])));
        let at = Exchange { request_ms: NOW_MS, response_ms: NOW_MS };
        if let Ok(mut terms) = storing(&asked, &answered, false, &Rules::default(), at) {
            terms.reuse(&asked, later);
            terms.make_stale(later);
            terms.ttl_s(later);
        }
        validation::not_modified(&asked, answered.etag, answered.last_modified, NOW_S);
        range::parts(&asked, 10, answered.etag, answered.last_modified, NOW_S);
        invalidation::also(&answered, b"a", b"/b").for_each(drop);
        if let Ok(names) = vary::names(response.iter().map(|(_, v)| &v[..])) {
            vary::select(&names, request.iter().map(|(n, v)| (n.as_bytes(), &v[..])), &mut Vec::new());
        }
    }
}

fn name() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec![
        "cache-control",
        "cdn-cache-control",
        "age",
        "date",
        "expires",
        "vary",
        "etag",
        "last-modified",
        "range",
        "if-range",
        "if-none-match",
        "if-modified-since",
        "location",
        "content-location",
        "pragma",
        "authorization",
    ])
}

// === how these tests speak ===

const NOW_S: i64 = 1_800_000_000;
const NOW_MS: u64 = NOW_S as u64 * 1000;
const VALIDATE: Reuse = Reuse::Validate(Grace::Unreachable);

struct Check {
    method: &'static str,
    request: String,
    status: u16,
    response: String,
    query: bool,
    rules: Rules,
    at: Exchange,
}

/// A plain GET answered 200 with these lines; `$n` is the date n seconds from now.
fn check(response: &str) -> Check {
    let at = Exchange { request_ms: NOW_MS, response_ms: NOW_MS };
    let response = response.to_string();
    Check { method: "GET", request: String::new(), status: 200, response, query: false, rules: Rules::default(), at }
}

fn lasts(response: &str, seconds: u32) {
    check(response).lasts(seconds);
}

fn refused(response: &str, reason: Bypass) {
    check(response).refused(reason);
}

impl Check {
    fn status(self, status: u16) -> Check {
        Check { status, ..self }
    }

    fn method(self, method: &'static str) -> Check {
        Check { method, ..self }
    }

    fn request(self, request: &str) -> Check {
        Check { request: request.to_string(), ..self }
    }

    fn query(self) -> Check {
        Check { query: true, ..self }
    }

    fn rules(self, rules: Rules) -> Check {
        Check { rules, ..self }
    }

    fn at(self, at: Exchange) -> Check {
        Check { at, ..self }
    }

    fn etag(mut self, etag: &str) -> Check {
        self.response += &format!("\nETag: {etag}");
        self
    }

    fn terms(&self) -> Result<Terms, Bypass> {
        let (request, response) = (lines(&self.request), lines(&self.response));
        let asked = Asked::of(self.method.as_bytes(), pairs(&request));
        let answered = Answered::of(self.status, pairs(&response));
        storing(&asked, &answered, self.query, &self.rules, self.at)
    }

    fn lasts(self, seconds: u32) {
        assert_eq!(self.terms().map(|terms| terms.lifetime_s), Ok(seconds), "{} {}", self.status, self.response);
    }

    fn refused(self, reason: Bypass) {
        assert_eq!(self.terms(), Err(reason), "{} {}", self.status, self.response);
    }

    fn reused(self, request: &str, later_ms: u64, expected: Reuse) {
        let terms = self.terms().expect("stored");
        let lines = lines(request);
        let asked = Asked::of(b"GET", pairs(&lines));
        assert_eq!(terms.reuse(&asked, NOW_MS + later_ms), expected, "{} asked with {request} after {later_ms} ms", self.response);
    }
}

fn lines(head: &str) -> Vec<(String, String)> {
    let line = |line: &str| {
        let (name, value) = line.split_once(':').expect("name: value");
        (name.to_string(), dated(value.trim()))
    };
    head.lines().map(line).collect()
}

fn pairs(lines: &[(String, String)]) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
    lines.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()))
}

/// `$-5` as the date five seconds ago.
fn dated(value: &str) -> String {
    match value.strip_prefix('$') {
        Some(offset) => text(&date::format(NOW_S + offset.parse::<i64>().expect("seconds"))),
        None => value.to_string(),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
