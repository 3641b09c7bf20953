//! A server whose every byte the test decides.

use super::{
    frames::{put_head, put_number, put_settings},
    *,
};
use proptest::prelude::*;
use pumasi_hpack::Indexing;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::{
    io::{Read, Write},
    net::TcpListener,
    time::{Duration, Instant},
};

const TIMEOUT: Duration = Duration::from_secs(20);

struct Pair {
    client: Multiplexed,
    server: TcpStream,
    encoder: Encoder,
    decoder: Decoder,
    buffer: Vec<u8>,
    /// What the server has read and not looked at.
    heard: Vec<u8>,
}

impl Pair {
    /// Connected; the server has said its settings.
    fn with(settings: &[(u16, u32)]) -> Pair {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        socket.set_nonblocking(true).unwrap();
        let (server, _) = listener.accept().unwrap();
        server.set_read_timeout(Some(TIMEOUT)).unwrap();
        let client = Multiplexed::begin(socket, None, 10).unwrap();
        let mut pair =
            Pair { client, server, encoder: Encoder::default(), decoder: Decoder::default(), buffer: vec![0; 4096], heard: Vec::new() };
        assert!(pair.client.flush());
        let mut preface = [0; PREFACE.len()];
        pair.server.read_exact(&mut preface).unwrap();
        assert_eq!(preface, PREFACE);
        let mut out = Vec::new();
        put_settings(&mut out, settings);
        pair.say(&out);
        // Its own settings, the window, and that it has read ours.
        let kinds: Vec<u8> = (0..3).map(|_| pair.hear().0).collect();
        assert_eq!(kinds, [kind::SETTINGS, kind::WINDOW_UPDATE, kind::SETTINGS]);
        pair
    }

    fn say(&mut self, bytes: &[u8]) {
        self.server.write_all(bytes).unwrap();
        self.wait();
        let mut ended = Vec::new();
        self.client.turn(&mut self.buffer, 7, &mut ended);
        assert!(ended.is_empty(), "{ended:?}");
        self.client.flush();
    }

    fn wait(&mut self) {
        let timeout = Timespec { tv_sec: TIMEOUT.as_secs() as i64, tv_nsec: 0 };
        assert_eq!(poll(&mut [PollFd::new(self.client.socket(), PollFlags::IN)], Some(&timeout)).unwrap(), 1);
        self.client.readable(false);
    }

    /// Says it, and waits until something ends.
    fn ends(&mut self, bytes: &[u8]) -> Vec<(u32, StreamEnd)> {
        self.server.write_all(bytes).unwrap();
        let (mut ended, until) = (Vec::new(), Instant::now() + TIMEOUT);
        while ended.is_empty() {
            assert!(Instant::now() < until, "nothing ended");
            self.wait();
            self.client.turn(&mut self.buffer, 7, &mut ended);
        }
        self.client.flush();
        ended
    }

    fn send(&mut self, request: &str, step: Option<usize>, expect: Expect) {
        self.client.send(0, request.as_bytes(), step, expect, 1).unwrap();
        assert!(self.client.flush());
    }

    /// The next frame from the client: kind, flags, stream, payload.
    fn hear(&mut self) -> (u8, u8, u32, Vec<u8>) {
        loop {
            if let Some((frame, rest)) = Frame::split(&self.heard).unwrap() {
                let heard = (frame.kind, frame.flags, frame.stream, frame.payload.to_vec());
                self.heard = rest.to_vec();
                return heard;
            }
            let mut bytes = [0; 4096];
            let count = self.server.read(&mut bytes).unwrap();
            assert!(count > 0, "the client has closed");
            self.heard.extend_from_slice(&bytes[..count]);
        }
    }

    fn fields(&mut self, block: &[u8]) -> Vec<String> {
        let mut fields = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        self.decoder.decode(block, |name, value| fields.push(format!("{}: {}", text(name), text(value)))).unwrap();
        fields
    }

    fn headers(&mut self, stream: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
        let (mut block, mut out) = (Vec::new(), Vec::new());
        self.encoder.begin(&mut block);
        fields.iter().for_each(|(name, value)| self.encoder.field(name.as_bytes(), value.as_bytes(), Indexing::Kept, &mut block));
        put_head(&mut out, block.len(), kind::HEADERS, flags, stream);
        out.extend_from_slice(&block);
        out
    }
}

fn data(stream: u32, flags: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_head(&mut out, content.len(), kind::DATA, flags, stream);
    out.extend_from_slice(content);
    out
}

fn number(kind: u8, stream: u32, number: u32) -> Vec<u8> {
    let mut out = Vec::new();
    put_number(&mut out, kind, stream, number);
    out
}

const GET: &str = "GET /items HTTP/1.1\r\nHost: example.org\r\nAccept: text/html\r\n\r\n";
const WHOLE: Expect = Expect { no_body: false, keep_body: true, keep_head: true };

#[test]
fn an_answer_in_pieces_is_put_together() {
    let mut pair = Pair::with(&[]);
    pair.send(GET, None, WHOLE);
    let (kind, flags, stream, block) = pair.hear();
    assert_eq!((kind, flags, stream), (kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 1));
    assert_eq!(pair.fields(&block), [":method: GET", ":scheme: http", ":authority: example.org", ":path: /items", "accept: text/html"]);
    // An interim head, the head in two frames, padded content, trailers; each byte by itself.
    let mut answer = pair.headers(1, flag::END_HEADERS, &[(":status", "103"), ("link", "</style.css>")]);
    let head = pair.headers(1, 0, &[(":status", "200"), ("content-length", "5"), ("x-mood", "fine")]);
    let (first, second) = head[HEAD_BYTES..].split_at(4);
    put_head(&mut answer, first.len(), kind::HEADERS, 0, 1);
    answer.extend_from_slice(first);
    put_head(&mut answer, second.len(), kind::CONTINUATION, flag::END_HEADERS, 1);
    answer.extend_from_slice(second);
    answer.extend(data(1, flag::PADDED, b"\x02hel\0\0"));
    answer.extend(data(1, 0, b"lo"));
    answer.extend(pair.headers(1, flag::END_HEADERS | flag::END_STREAM, &[("x-trailer", "1")]));
    let (last, all) = answer.split_last().unwrap();
    all.iter().for_each(|byte| pair.say(&[*byte]));
    let ended = pair.ends(&[*last]);
    assert!(matches!(ended[..], [(0, StreamEnd::Answered)]), "{ended:?}");
    let told = pair.client.answer(0);
    assert_eq!((told.status, told.body, told.body_bytes), (200, &b"hello"[..], 5));
    assert_eq!(told.head, b"HTTP/2 200\r\ncontent-length: 5\r\nx-mood: fine\r\n\r\n");
    assert_eq!(pair.client.times(0).first_byte_ns, 7);
    pair.client.free_slot(0);
    assert_eq!((pair.client.active(), pair.client.free()), (0, 10));
}

#[test]
fn the_same_request_again_is_a_few_bytes_and_says_the_same() {
    let mut pair = Pair::with(&[]);
    let post = GET.replace("GET", "POST") + "body";
    let mut lengths = Vec::new();
    for turn in 0..8u32 {
        let again = if turn == 5 { Some((setting::HEADER_TABLE_SIZE, 0)) } else { None };
        if let Some(setting) = again {
            let mut out = Vec::new();
            put_settings(&mut out, &[setting]);
            pair.say(&out);
            assert_eq!(pair.hear().0, kind::SETTINGS);
        }
        pair.send(&post, Some(3), WHOLE);
        let (.., block) = pair.hear();
        let fields = pair.fields(&block);
        assert_eq!(fields, [":method: POST", ":scheme: http", ":authority: example.org", ":path: /items", "accept: text/html"], "{turn}");
        lengths.push(block.len());
        let (kind, flags, _, content) = pair.hear();
        assert_eq!((kind, flags, &content[..]), (kind::DATA, flag::END_STREAM, &b"body"[..]));
    }
    assert!(lengths[0] > 25 && lengths[1..5].iter().all(|length| *length == 5), "{lengths:?}");
    assert!(lengths[6..].iter().all(|length| *length > 25), "without a table everything is said each time: {lengths:?}");
}

#[test]
fn a_body_waits_for_the_servers_windows() {
    let mut pair = Pair::with(&[(setting::INITIAL_WINDOW_SIZE, 5)]);
    pair.send("POST / HTTP/1.1\r\nHost: a\r\n\r\nabcdefghijkl", None, WHOLE);
    let sent = |pair: &mut Pair| {
        let (kind, flags, _, content) = pair.hear();
        assert_eq!(kind, kind::DATA);
        (flags, String::from_utf8(content).unwrap())
    };
    assert_eq!(pair.hear().0, kind::HEADERS);
    assert_eq!(sent(&mut pair), (0, "abcde".to_string()));
    pair.say(&number(kind::WINDOW_UPDATE, 1, 3));
    assert_eq!(sent(&mut pair), (0, "fgh".to_string()));
    // Taken back: what was sent counts against it.
    let mut settings = Vec::new();
    put_settings(&mut settings, &[(setting::INITIAL_WINDOW_SIZE, 2)]);
    pair.say(&settings);
    assert_eq!(pair.hear().0, kind::SETTINGS);
    pair.say(&number(kind::WINDOW_UPDATE, 1, 4));
    assert_eq!(sent(&mut pair), (0, "i".to_string()));
    settings.clear();
    put_settings(&mut settings, &[(setting::INITIAL_WINDOW_SIZE, 100)]);
    pair.say(&settings);
    assert_eq!(pair.hear().0, kind::SETTINGS);
    assert_eq!(sent(&mut pair), (flag::END_STREAM, "jkl".to_string()));
}

#[test]
fn what_the_server_has_not_looked_at_may_be_sent_again() {
    let mut pair = Pair::with(&[]);
    for _ in 0..4 {
        pair.send(GET, Some(0), WHOLE);
    }
    let check = |ended: &[(u32, StreamEnd)], slot, again| match ended {
        [(ended, StreamEnd::Failed { unprocessed, .. })] => assert_eq!((*ended, *unprocessed), (slot, again)),
        other => panic!("{other:?}"),
    };
    check(&pair.ends(&number(kind::RST_STREAM, 1, code::REFUSED_STREAM)), 0, true);
    check(&pair.ends(&number(kind::RST_STREAM, 3, code::CANCEL)), 1, false);
    let mut goaway = Vec::new();
    put_head(&mut goaway, 8, kind::GOAWAY, 0, 0);
    goaway.extend_from_slice(&[0, 0, 0, 5, 0, 0, 0, 0]);
    check(&pair.ends(&goaway), 3, true);
    assert!(pair.client.leaving() && pair.client.free() == 0);
    assert_eq!(pair.client.send(0, GET.as_bytes(), None, WHOLE, 1), Err(Unsendable::Here));
    let answer = pair.headers(5, flag::END_HEADERS | flag::END_STREAM, &[(":status", "204")]);
    assert!(matches!(pair.ends(&answer)[..], [(2, StreamEnd::Answered)]), "what it has looked at is answered");
}

#[test]
fn answers_that_are_none_fail_alone() {
    let head = [(":status", "200"), ("content-length", "3")];
    let check = |request: &str, expect, say: &dyn Fn(&mut Pair) -> Vec<u8>, told: Option<&str>| {
        let mut pair = Pair::with(&[]);
        pair.send(request, None, expect);
        let bytes = say(&mut pair);
        match (&pair.ends(&bytes)[..], told) {
            ([(0, StreamEnd::Answered)], None) => {}
            ([(0, StreamEnd::Failed { reason, .. })], Some(told)) => assert!(reason.contains(told), "{reason}"),
            (other, _) => panic!("{other:?}, not {told:?}"),
        }
        pair.client.free_slot(0);
        pair.send(GET, None, WHOLE);
        let answer = pair.headers(3, flag::END_HEADERS | flag::END_STREAM, &[(":status", "200")]);
        assert!(matches!(pair.ends(&answer)[..], [(0, StreamEnd::Answered)]), "the connection goes on");
    };
    let whole = flag::END_HEADERS | flag::END_STREAM;
    check(GET, WHOLE, &|_| data(1, 0, b"x"), Some("before the head"));
    check(GET, WHOLE, &|pair| pair.headers(1, whole, &[("server", "x")]), Some("without a status"));
    check(GET, WHOLE, &|pair| pair.headers(1, whole, &[(":status", "100")]), Some("interim"));
    check(GET, WHOLE, &|pair| pair.headers(1, whole, &head), Some("as long as it says"));
    check(GET, WHOLE, &|pair| [pair.headers(1, flag::END_HEADERS, &head), data(1, flag::END_STREAM, b"abcd")].concat(), Some("as long"));
    check(
        GET,
        WHOLE,
        &|pair| [pair.headers(1, flag::END_HEADERS, &head), pair.headers(1, flag::END_HEADERS, &head)].concat(),
        Some("second"),
    );
    check(GET, WHOLE, &|_| number(kind::WINDOW_UPDATE, 1, 0), Some("by nothing"));
    check(&GET.replace("GET", "HEAD"), Expect { no_body: true, ..WHOLE }, &|pair| pair.headers(1, whole, &head), None);
}

#[test]
fn a_server_that_breaks_the_rules_is_left_with_its_reason() {
    let check = |bytes: &[u8], told: &str| {
        let mut pair = Pair::with(&[]);
        pair.send(GET, None, WHOLE);
        assert_eq!(pair.hear().0, kind::HEADERS);
        match &pair.ends(bytes)[..] {
            [(0, StreamEnd::Failed { reason, unprocessed: false })] => assert!(reason.contains(told), "{reason}, not {told}"),
            other => panic!("{other:?}, not {told}"),
        }
        assert!(!pair.client.flush() && pair.client.leaving());
        assert_eq!(pair.hear().0, kind::GOAWAY, "it is told why: {told}");
    };
    let frame = |kind: u8, flags: u8, stream: u32, payload: &[u8]| {
        let mut out = Vec::new();
        put_head(&mut out, payload.len(), kind, flags, stream);
        out.extend_from_slice(payload);
        out
    };
    check(&[0xff; 9], "larger than was allowed");
    check(&frame(kind::DATA, 0, 2, b"x"), "on a stream that has none");
    check(&frame(kind::HEADERS, flag::END_HEADERS, 3, b"\x88"), "on a stream that has none");
    check(&frame(kind::PING, 0, 1, &[0; 8]), "on a stream that has none");
    check(&frame(kind::PING, 0, 0, &[0; 7]), "eight bytes");
    check(&frame(kind::SETTINGS, 0, 0, &[0; 7]), "six bytes");
    check(&frame(kind::SETTINGS, 0, 0, &[0, 4, 0xff, 0, 0, 0]), "more than a window holds");
    check(&frame(kind::WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]), "beyond its bound");
    check(&frame(kind::PUSH_PROMISE, 0, 1, &[0; 8]), "told not to");
    check(&frame(kind::DATA, flag::PADDED, 1, b"\x05ab"), "padded beyond");
    check(&frame(kind::HEADERS, flag::END_HEADERS, 1, b"\xff\xff"), "cut off");
    check(&frame(kind::CONTINUATION, 0, 1, b""), "has not begun");
    check(&[frame(kind::HEADERS, 0, 1, b"\x88"), frame(kind::PING, 0, 0, &[0; 8])].concat(), "interrupts");
    check(&[frame(kind::HEADERS, 0, 1, b""), frame(kind::CONTINUATION, 0, 1, b"").repeat(10_000)].concat(), "without end");
}

/// Each PING is to be answered; this server reads no answer. What waits is bounded.
#[test]
fn a_server_that_asks_and_does_not_listen_is_given_up() {
    let mut pair = Pair::with(&[]);
    pair.send(GET, None, WHOLE);
    let mut pings = Vec::new();
    for _ in 0..1000 {
        put_head(&mut pings, 8, kind::PING, 0, 0);
        pings.extend_from_slice(&[0; 8]);
    }
    let (mut ended, until) = (Vec::new(), Instant::now() + TIMEOUT);
    pair.server.set_nonblocking(true).unwrap();
    while ended.is_empty() {
        assert!(Instant::now() < until, "still there, with {} bytes to write", pair.client.wire.waiting());
        // Whole frames or not: what does not fit now is said later, and the client meets a torn frame only if it still listens.
        let _ = pair.server.write(&pings);
        pair.client.readable(false);
        pair.client.turn(&mut pair.buffer, 7, &mut ended);
        pair.client.flush();
        assert!(pair.client.wire.waiting() <= OUT_BYTES_MAX + 2 * HEAD_BYTES + 16);
    }
}

#[test]
fn a_server_of_http1_is_told_by_its_first_word() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    server.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    let mut client = Multiplexed::begin(socket, None, 10).unwrap();
    client.send(0, GET.as_bytes(), None, WHOLE, 1).unwrap();
    let mut ended = Vec::new();
    assert!(!client.turn(&mut [0; 4096], 1, &mut ended));
    assert!(matches!(&ended[..], [(0, StreamEnd::Failed { reason, .. })] if reason.contains("HTTP/1")), "{ended:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    /// Frames of any kind with any content, in pieces of any size: every stream ends once, and nothing panics.
    #[test]
    fn no_bytes_break_the_client(
        frames in prop::collection::vec((0u8..11, any::<u8>(), 0u32..8, prop::collection::vec(any::<u8>(), 0..40)), 0..30),
        torn in prop::collection::vec(any::<u8>(), 0..30),
    ) {
        let mut pair = Pair::with(&[]);
        for _ in 0..3 {
            pair.client.send(0, GET.as_bytes(), Some(0), WHOLE, 1).unwrap();
        }
        let mut bytes = Vec::new();
        for (kind, flags, stream, payload) in frames {
            put_head(&mut bytes, payload.len(), kind, flags, stream);
            bytes.extend_from_slice(&payload);
        }
        bytes.extend_from_slice(&torn);
        pair.server.write_all(&bytes).unwrap();
        pair.server.shutdown(std::net::Shutdown::Write).unwrap();
        let (mut ended, until) = (Vec::new(), Instant::now() + TIMEOUT);
        while { pair.client.readable(true); pair.client.turn(&mut pair.buffer[..17], 7, &mut ended) } {
            prop_assert!(Instant::now() < until);
            pair.client.flush();
        }
        let mut slots: Vec<u32> = ended.iter().map(|(slot, _)| *slot).collect();
        slots.sort_unstable();
        prop_assert_eq!(slots, [0, 1, 2]);
    }
}
