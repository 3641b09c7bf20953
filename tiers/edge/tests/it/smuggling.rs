//! The codec's table, against the running edge: what is ambiguous is answered 4xx or 5xx, the connection ends, and no upstream ever hears
//! of it.

use std::sync::atomic::Ordering;

use crate::harness::*;

const ATTACKS: &[(&str, &str)] = &[
    ("both framings", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("both framings, reversed", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n"),
    ("two lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde"),
    ("a list of lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4, 4\r\n\r\nabcd"),
    ("a signed length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nabcd"),
    ("a length with a space before the colon", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 4\r\n\r\nabcd"),
    ("a folded coding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    ("a hidden coding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    ("a coding twice", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    ("a coding with a tab in it", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chun\u{b}ked\r\n\r\n0\r\n\r\n"),
    ("a coding in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("lines that end in LF", "GET / HTTP/1.1\nHost: a\n\n"),
    ("a line with a lone CR", "GET / HTTP/1.1\r\nHost: a\r\nX: 1\rY: 2\r\n\r\n"),
    ("a NUL", "GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n"),
    ("no host", "GET / HTTP/1.1\r\n\r\n"),
    ("two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    ("a bad host", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    ("a host that differs from the target", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a fragment", "GET /#x HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("an unknown version", "GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
    ("a negative length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\nabcd"),
    ("a length in hexadecimal", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x4\r\n\r\nabcd"),
    ("a length with an exponent", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4e0\r\n\r\nabcd"),
    ("a length with a comment", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4 (four)\r\n\r\nabcd"),
    ("an empty length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nabcd"),
    ("a length beyond all numbers", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\nabcd"),
    ("a folded length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\t4\r\n\r\nabcd"),
    ("a length behind a lone LF", "POST / HTTP/1.1\r\nHost: a\r\nX: y\nContent-Length: 4\r\n\r\nabcd"),
    ("a length with a NUL in its name", "POST / HTTP/1.1\r\nHost: a\r\nContent-\0Length: 4\r\n\r\nabcd"),
    ("a length before the first field", "POST / HTTP/1.1\r\n Content-Length: 4\r\nHost: a\r\n\r\nabcd"),
    ("a coding with a space before the colon", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
    ("a coding behind a space", "POST / HTTP/1.1\r\nHost: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("a coding in quotes", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"),
    ("a coding with a parameter", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;x=y\r\n\r\n0\r\n\r\n"),
    ("an empty coding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n"),
    ("a list with an empty coding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n"),
    ("chunked not last", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
    ("identity", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nContent-Length: 4\r\n\r\nabcd"),
    ("two codings in two lines", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n"),
    ("a coding with a byte beyond ASCII", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \u{ff}chunked\r\n\r\n0\r\n\r\n"),
    (
        "both framings, one behind a lone CR",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nX: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    ("a GET with both framings", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("a field without a colon", "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n"),
    ("a field without a name", "GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n"),
    ("two spaces in the request line", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a tab in the request line", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a version with three parts", "GET / HTTP/1.1.1\r\nHost: a\r\n\r\n"),
    ("an old request without a version", "GET /\r\n\r\n"),
    ("an empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
    ("a host with a user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
    ("a host with a port that is none", "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"),
    ("two hosts in one line", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    ("CONNECT", "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n"),
];

/// Broken only after the head: the upstream may hear the head, and then never the rest.
const LATE: &[(&str, &str)] = &[
    ("a chunk size with a sign", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n"),
    ("a chunk size with a prefix", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n"),
    (
        "a chunk size that overflows",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n",
    ),
    ("a chunk longer than it says", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n"),
    ("a chunk line that ends in LF", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n"),
    ("a chunk size of nothing", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n;x\r\nhello\r\n0\r\n\r\n"),
    ("a chunk size behind a space", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n 5\r\nhello\r\n0\r\n\r\n"),
    ("a chunk size with an underscore", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0_5\r\nhello\r\n0\r\n\r\n"),
    ("an extension with a lone LF", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a\nhello\r\n0\r\n\r\n"),
    ("an extension with a lone CR", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a\rb\r\nhello\r\n0\r\n\r\n"),
    ("a chunk that ends in LF", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n"),
    ("a trailer that routes", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHost: b\r\n\r\n"),
    ("a trailer section that ends in LF", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\n\r\n"),
    ("a trailer that frames", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n"),
];

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn ambiguous_requests_reach_no_upstream() {
    let origin = Origin::saying("hi");
    let edge = setup(&[origin.address]).start();
    for (name, attack) in ATTACKS {
        let mut client = Peer::connect(edge.addresses()[0]);
        client.write(format!("{attack}{SMUGGLED}"));
        let answer = client.read_answer();
        assert!(matches!(answer.status, 400 | 417 | 501 | 505), "{name}: {}", answer.status);
        assert_eq!(answer.field("connection").as_deref(), Some("close"), "{name}");
        assert!(client.closed(), "{name}");
    }
    assert_eq!(origin.connections.load(Ordering::SeqCst), 0);
}

#[test]
fn broken_content_takes_its_upstream_connection_with_it() {
    use std::sync::{Arc, Mutex};
    let seen = Arc::new(Mutex::new(Vec::<String>::new()));
    let kept = seen.clone();
    let origin = Origin::start(move |mut peer| {
        while let Some(head) = peer.read_head() {
            kept.lock().unwrap().push(head.clone());
            if head.starts_with("POST") {
                peer.read_to_end();
            } else {
                peer.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
            }
        }
    });
    let edge = setup(&[origin.address]).start();
    for (name, attack) in LATE {
        let mut client = Peer::connect(edge.addresses()[0]);
        client.write(format!("{attack}{SMUGGLED}"));
        assert_eq!(client.read_answer().status, 400, "{name}");
        assert!(client.closed(), "{name}");
        let mut other = Peer::connect(edge.addresses()[0]);
        other.write(GET);
        assert_eq!(other.read_answer().content, "hi", "{name}");
    }
    assert!(!seen.lock().unwrap().iter().any(|head| head.contains("/smuggled")));
}

#[test]
fn an_upstreams_extra_bytes_are_never_somebody_elses_answer() {
    let origin = Origin::start(|mut peer| {
        while peer.read_head().is_some() {
            peer.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
        }
    });
    let (_edge, mut client) = through(&origin);
    for _ in 0..10 {
        client.write(GET);
        assert_eq!(client.read_answer().content, "ok");
    }
    assert_eq!(origin.connections.load(Ordering::SeqCst), 10);
}
