//! The short way through a head and the long one come to the same.

use proptest::prelude::*;

use super::*;
use crate::{Asked, Known, ResponseHead};

/// What is found in a request's head, or why it is refused: by the way taken, and by the long way.
fn both(bytes: &[u8], limits: &Limits) -> [String; 2] {
    let (mut one, mut other) = (RequestHead::default(), RequestHead::default());
    let parsed = [one.parse(bytes, limits), other.parse_any(bytes, limits)];
    let [one, other] = [one, other].map(|head| format!("{head:?}"));
    let [short, long] = parsed;
    [in_words(short, one), in_words(long, other)]
}

fn both_of_response(bytes: &[u8], asked: Asked, limits: &Limits) -> [String; 2] {
    let (mut one, mut other) = (ResponseHead::default(), ResponseHead::default());
    let parsed = [one.parse(bytes, asked, limits), other.parse_any(bytes, asked, limits)];
    let [one, other] = [one, other].map(|head| format!("{head:?}"));
    let [short, long] = parsed;
    [in_words(short, one), in_words(long, other)]
}

/// A head counts only where it was accepted.
fn in_words(parsed: Result<Option<usize>, Refusal>, head: String) -> String {
    match parsed {
        Ok(Some(length)) => format!("{length} {head}"),
        other => format!("{other:?}"),
    }
}

fn agree(bytes: &[u8]) {
    let limits = Limits { head_bytes_max: 400, fields_max: 8 };
    let [short, long] = both(bytes, &limits);
    assert_eq!(short, long, "{}", bytes.escape_ascii());
    for asked in [Asked::default(), Asked { head: true, upgrade: true }] {
        let [short, long] = both_of_response(bytes, asked, &limits);
        assert_eq!(short, long, "{}", bytes.escape_ascii());
    }
}

#[test]
fn any_byte_at_any_place_of_a_head_means_the_same_either_way() {
    let heads: [&[u8]; 4] = [
        b"GET /a?b=c HTTP/1.1\r\nHost: a.example:80\r\nX-Longer-Name: some value that is longer than all of the words one looks at first\r\n\r\n",
        b"POST / HTTP/1.0\r\nhost: a\r\nContent-Length: 10\r\nConnection: keep-alive, x\r\nA:b\r\n\r\nbody",
        b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Type:text/plain \t \r\nContent-Length: 3\r\nX:\r\n\r\nabc",
        b"HTTP/1.0 404 Not Found\r\nTransfer-Encoding: chunked\r\nConnection: Keep-Alive\r\nset-cookie: \ta=b\xc3\xa9\r\n\r\n",
    ];
    for head in heads {
        agree(head);
        for at in 0..head.len() {
            agree(&head[..at]);
            for byte in 0..=255 {
                let mut bytes = head.to_vec();
                bytes[at] = byte;
                agree(&bytes);
                if matches!(byte, b'\r' | b'\n' | b' ' | b'\t' | b':' | 0 | 127) {
                    bytes.insert(at, byte);
                    agree(&bytes);
                }
            }
        }
    }
}

#[test]
fn every_limit_falls_at_the_same_place_either_way() {
    let request = get("Accept: a\r\nX-One: 1\r\nX-Two: 2\r\n");
    let response = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 3\r\nX: 1\r\n\r\nabc";
    for head_bytes_max in 1..=request.len() + 1 {
        for fields_max in 0..6 {
            let limits = Limits { head_bytes_max, fields_max };
            let [short, long] = both(&request, &limits);
            assert_eq!(short, long, "{limits:?}");
            let [short, long] = both_of_response(response, Asked::default(), &limits);
            assert_eq!(short, long, "{limits:?}");
        }
    }
}

#[test]
fn the_usual_head_goes_the_short_way() {
    // Or the tests above compare nothing.
    let line = crate::usual::request_line(b"GET /a?b HTTP/1.1\r\nHost: a\r\n\r\n").expect("usual");
    assert_eq!((line.method_end, line.target_end, line.end), (3, 8, 19));
    let head = b"Host: a\r\nContent-Length: 12 \r\nX-Own:\tb\tc\r\nX:\r\n\r\nrest";
    let (mut list, mut seen) = (Vec::new(), 0);
    assert_eq!(crate::usual::fields(head, 0, 4, &mut list, &mut seen), Some(head.len() - 4));
    assert_eq!(list.len(), 4);
    assert_eq!(seen, Known::Host.bit() | Known::ContentLength.bit());
    assert!(crate::usual::status_line(b"HTTP/1.1 404 Not Found\r\n").is_some_and(|line| (line.status, line.reason_end) == (404, 22)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn heads_made_of_pieces_mean_the_same_either_way(bytes in super::slicing::input(), more in prop::collection::vec(any::<u8>(), 0..40)) {
        agree(&bytes);
        agree(&[&bytes[..], &more].concat());
    }
}
