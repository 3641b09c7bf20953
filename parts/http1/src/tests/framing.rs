use super::*;
use crate::{Asked, Framing};

#[test]
fn a_request_ends_where_its_framing_says() {
    accepted(&get(""), 1); // RFC 9112 §6.3 item 7: neither field, no content
    assert_eq!(accepted(&post("Content-Length: 5\r\n", "hello"), 1).data, b"hello");
    assert_eq!(accepted(&post("Content-Length: 0\r\n", ""), 1).data, b"");
    assert_eq!(accepted(&post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"), 1).data, b"hello");
    accepted(&post("Transfer-Encoding: Chunked\r\n", "0\r\n\r\n"), 1); // §7: codings are case-insensitive
    let two = [post("Content-Length: 2\r\n", "ab"), get("")].concat();
    assert_eq!(accepted(&two, 2).data, b"ab");
}

#[test]
fn both_framings_at_once_are_refused() {
    // RFC 9112 §6.1, §6.3 item 3
    refused(&post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), Refusal::LengthAndChunked);
    refused(&post("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", "0\r\n\r\n"), Refusal::LengthAndChunked);
}

#[test]
fn a_content_length_is_one_decimal_number() {
    // RFC 9112 §6.3 item 5; RFC 9110 §8.6
    for bad in ["", "+5", "-1", "5.0", "0x5", "5 5", "five", "\u{665}", "9223372036854775808", "99999999999999999999999"] {
        refused(&post(&format!("Content-Length: {bad}\r\n"), "hello"), Refusal::Length);
    }
    refused(&post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello!"), Refusal::LengthRepeated);
    refused(&post("Content-Length: 5\r\ncontent-length: 5\r\n", "hello"), Refusal::LengthRepeated);
    refused(&post("Content-Length: 5, 5\r\n", "hello"), Refusal::LengthRepeated);
    accepted(&post("Content-Length: 005\r\n", "hello"), 1); // 1*DIGIT
}

#[test]
fn chunked_is_the_one_and_last_coding() {
    // RFC 9112 §6.1, §6.3 item 4
    for bad in [
        "gzip",
        "identity",
        "chunked, gzip",
        "chunked, chunked",
        "chunked;q=1",
        "chunked,",
        ",chunked",
        "",
        "xchunked",
        "chunked\u{b}",
        "\"chunked\"",
    ] {
        let bytes = post(&format!("Transfer-Encoding: {bad}\r\n"), "0\r\n\r\n");
        let why = whole(&bytes).refused;
        assert!(matches!(why, Some(Refusal::ChunkedNotLast | Refusal::FieldValue)), "{bad}: {why:?}");
    }
    refused(&post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), Refusal::ChunkedNotLast);
    refused(&post("Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n", "0\r\n\r\n"), Refusal::ChunkedNotLast);
    refused(&post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), Refusal::CodingUnknown);
    assert_eq!(Refusal::CodingUnknown.status(), 501); // §6.1
}

#[test]
fn http_1_0_knows_no_transfer_encoding() {
    refused(b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Refusal::ChunkedInHttp10); // RFC 9112 §6.1
}

#[test]
fn persistence_follows_version_and_connection() {
    let keeps = |bytes: &[u8]| accepted(bytes, 1).heads[0].contains("keep=true");
    assert!(keeps(&get(""))); // RFC 9112 §9.3
    assert!(!keeps(&get("Connection: close\r\n")));
    assert!(!keeps(&get("Connection: keep-alive, Close\r\n")));
    assert!(!keeps(b"GET / HTTP/1.0\r\n\r\n"));
    assert!(keeps(b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
}

#[test]
fn expectations_are_met_or_refused() {
    let head = |lines: &str| {
        let mut head = RequestHead::default();
        head.parse(&post(lines, ""), &Limits::default()).map(|_| head.expects_continue)
    };
    assert_eq!(head("Content-Length: 5\r\nExpect: 100-continue\r\n"), Ok(true)); // RFC 9110 §10.1.1
    assert_eq!(head("Content-Length: 5\r\nExpect: 100-Continue\r\n"), Ok(true));
    assert_eq!(head("Expect: 100-continue\r\n"), Ok(false)); // no content to wait for
    assert_eq!(head("Content-Length: 5\r\nExpect: coffee\r\n"), Err(Refusal::Expectation));
    assert_eq!(Refusal::Expectation.status(), 417);
    accepted(b"POST / HTTP/1.0\r\nHost: a\r\nExpect: coffee\r\nContent-Length: 1\r\n\r\nx", 1); // ignored in 1.0
}

#[test]
fn an_upgrade_needs_both_fields_and_http_1_1() {
    let upgrade = |bytes: &[u8]| {
        let mut head = RequestHead::default();
        head.parse(bytes, &Limits::default()).map(|_| head.upgrade)
    };
    assert_eq!(upgrade(&get("Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n")), Ok(true)); // RFC 9110 §7.8
    assert_eq!(upgrade(&get("Upgrade: websocket\r\n")), Ok(false));
    assert_eq!(upgrade(&get("Connection: upgrade\r\n")), Ok(false));
    assert_eq!(upgrade(b"GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"), Ok(false));
}

#[test]
fn a_response_ends_where_question_status_and_fields_say() {
    let check = |asked: Asked, bytes: &[u8], framing: Framing| {
        let mut head = crate::ResponseHead::default();
        assert_eq!(head.parse(bytes, asked, &Limits::default()).map(|_| head.framing), Ok(framing), "{}", bytes.escape_ascii());
    };
    let get = Asked::default();
    let head = Asked { head: true, upgrade: false };
    let upgrade = Asked { head: false, upgrade: true };
    // RFC 9112 §6.3, in its order
    check(head, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Framing::Empty);
    check(head, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Framing::Empty);
    check(get, b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", Framing::Empty);
    check(get, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", Framing::Empty);
    check(get, b"HTTP/1.1 103 Early Hints\r\n\r\n", Framing::Empty);
    check(upgrade, b"HTTP/1.1 101 Switching Protocols\r\n\r\n", Framing::Tunnel);
    check(get, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Framing::Chunked);
    check(get, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Framing::Length(5));
    check(get, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Framing::Empty);
    check(get, b"HTTP/1.1 200 OK\r\n\r\n", Framing::UntilClose);
    check(get, b"HTTP/1.0 200 OK\r\n\r\n", Framing::UntilClose);
    check(get, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: other\r\n\r\n", Framing::UntilClose); // item 4.1
}

#[test]
fn an_ambiguous_response_is_refused() {
    let check = |bytes: &[u8], why: Refusal| {
        let limits = Limits::default();
        assert_eq!(responses([bytes], Asked::default(), &limits).refused, Some(why), "{}", bytes.escape_ascii());
        assert_eq!(responses(bytes.chunks(1), Asked::default(), &limits).refused, Some(why), "{}", bytes.escape_ascii());
    };
    check(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", Refusal::LengthAndChunked);
    check(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: other\r\n\r\n", Refusal::LengthAndChunked);
    check(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", Refusal::LengthRepeated);
    check(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Refusal::ChunkedInHttp10);
    check(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Refusal::CodingUnknown);
    check(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", Refusal::SwitchedUnasked); // RFC 9110 §15.2.2
    check(b"HTTP/1.1 200 OK\r\nX : 1\r\n\r\n", Refusal::SpaceInFieldName); // RFC 9112 §5.1
    check(b"HTTP/1.1 200 OK\r\nX: 1\r\n 2\r\n\r\n", Refusal::Folded); // §5.2
}

#[test]
fn interim_responses_come_before_the_final_one() {
    let bytes =
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    let seen = responses([&bytes[..]], Asked::default(), &Limits::default());
    assert_eq!((seen.heads.len(), seen.data.as_slice(), seen.ends), (3, &b"hi"[..], 1)); // RFC 9110 §15.2
}

#[test]
fn bytes_that_nobody_asked_for_are_refused() {
    let mut decoder = ResponseDecoder::default();
    assert_eq!(decoder.decode(b"HTTP/1.1 408 x\r\n\r\n", &Limits::default()), Err(Refusal::Excess)); // RFC 9112 §9.2
    decoder.expect(Asked::default());
    let bytes = b"HTTP/1.1 204 x\r\n\r\nmore";
    let (used, _) = decoder.decode(bytes, &Limits::default()).unwrap();
    assert_eq!(decoder.decode(&bytes[used..], &Limits::default()), Ok((0, ResponseEvent::End)));
    assert_eq!(decoder.decode(&bytes[used..], &Limits::default()), Err(Refusal::Excess));
}

#[test]
fn a_close_ends_only_what_ends_by_closing() {
    let limits = Limits::default();
    let closed = |bytes: &[u8]| {
        let mut decoder = ResponseDecoder::default();
        decoder.expect(Asked::default());
        let mut at = 0;
        loop {
            match decoder.decode(&bytes[at..], &limits).unwrap() {
                (used, ResponseEvent::NeedMore) => break decoder.close(&bytes[at + used..]),
                (used, _) => at += used,
            }
        }
    };
    assert_eq!(closed(b"HTTP/1.1 200 OK\r\n\r\nhello"), Ok(true)); // RFC 9112 §6.3 item 8
    assert_eq!(closed(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"), Err(Refusal::Truncated)); // §8
    assert_eq!(closed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"), Err(Refusal::Truncated));
    assert_eq!(closed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"), Err(Refusal::Truncated));
    assert_eq!(closed(b"HTTP/1.1 20"), Err(Refusal::Truncated));
    assert_eq!(closed(b""), Err(Refusal::Truncated));
    assert_eq!(closed(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), Ok(false));
    let mut requests = RequestDecoder::default();
    assert_eq!((requests.close(b""), requests.close(b"GET")), (Ok(()), Err(Refusal::Truncated)));
}
