//! RFC 9113 and RFC 7541, rule by rule, in frames: what a client may do is answered, what it must not do ends the stream or the connection
//! with the code the rule names.
//!
//! Each case is a section (of RFC 7541 where it begins with H), a sentence, what the client says after its preface, and what it must hear. A
//! connection may always be closed instead of being told why (§5.4.1), and a stream's error may be treated as the connection's (§5.4.2).

use crate::{frames::*, harness::*};

/// What the client must hear.
#[derive(Clone, Copy, Debug)]
enum Hears {
    /// A 200 on stream 1.
    Answer,
    /// The connection's error, with one of these codes.
    Connection(&'static [u32]),
    /// The stream's error, with one of these codes.
    Stream(&'static [u32]),
    /// Nothing in particular: a PING is still answered.
    Life,
    /// The acknowledgement of its settings, and of nothing before.
    Acknowledgement,
}
use Hears::*;

/// One thing the client does.
enum Step {
    Say(Vec<u8>),
    /// Waits for the answer on stream 1 to end.
    AwaitEnd,
}
use Step::*;

struct Case(&'static str, &'static str, Vec<Step>, Hears);

fn say(frames: &[Vec<u8>]) -> Vec<Step> {
    vec![Say(frames.concat())]
}

/// Says `frames` once stream 1 has been answered to its end: it is closed then.
fn after_answer(frames: &[Vec<u8>]) -> Vec<Step> {
    vec![Say(whole_get(1)), AwaitEnd, Say(frames.concat())]
}

const SELF: u32 = 1;

fn starting_and_frames() -> Vec<Case> {
    vec![
        Case("3.4", "a request follows the preface", say(&[whole_get(1)]), Answer),
        Case("4.1", "a frame of an unknown type is ignored", say(&[frame(UNKNOWN, 0, 0, b"1234"), whole_get(1)]), Answer),
        Case("4.1", "an undefined flag is ignored", say(&[frame(PING, 0x16, 0, &[1; 8])]), Life),
        Case("4.1", "the reserved bit is ignored", say(&[frame(PING, 0, 1 << 31, &[1; 8])]), Life),
        Case("4.2", "2^14 bytes of content fit a frame", say(&[open_post(1), frame(DATA, END_STREAM, 1, &[b'x'; 1 << 14])]), Answer),
        Case(
            "4.2",
            "one byte more does not",
            say(&[open_post(1), frame(DATA, END_STREAM, 1, &[b'x'; (1 << 14) + 1])]),
            Stream(&[FRAME_SIZE_ERROR]),
        ),
        Case("4.2", "nor for a head", say(&[frame(HEADERS, WHOLE, 1, &[0; (1 << 14) + 1])]), Connection(&[FRAME_SIZE_ERROR])),
        Case("4.3", "a block that is none", say(&[frame(HEADERS, WHOLE, 1, &[0xff; 20])]), Connection(&[COMPRESSION_ERROR])),
        Case(
            "4.3",
            "a PRIORITY within a head",
            say(&[
                frame(HEADERS, END_STREAM, 1, &get()),
                frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 255]),
                frame(CONTINUATION, END_HEADERS, 1, &[]),
            ]),
            Connection(&[PROTOCOL_ERROR]),
        ),
        Case(
            "4.3",
            "another stream's head within a head",
            say(&[frame(HEADERS, END_STREAM, 1, &get()), whole_get(3)]),
            Connection(&[PROTOCOL_ERROR]),
        ),
    ]
}

fn streams() -> Vec<Case> {
    let reset = frame(RST_STREAM, 0, 1, &8u32.to_be_bytes());
    vec![
        Case("5.1", "idle: DATA", say(&[frame(DATA, END_STREAM, 1, b"test")]), Connection(&[PROTOCOL_ERROR, STREAM_CLOSED])),
        Case("5.1", "idle: RST_STREAM", say(std::slice::from_ref(&reset)), Connection(&[PROTOCOL_ERROR])),
        Case("5.1", "idle: WINDOW_UPDATE", say(&[frame(WINDOW_UPDATE, 0, 1, &100u32.to_be_bytes())]), Connection(&[PROTOCOL_ERROR])),
        Case("5.1", "idle: CONTINUATION", say(&[frame(CONTINUATION, END_HEADERS, 1, &get())]), Connection(&[PROTOCOL_ERROR])),
        Case("5.1", "idle: PRIORITY is allowed", say(&[frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 255]), whole_get(1)]), Answer),
        Case("5.1", "half-closed: DATA", say(&[whole_get(1), frame(DATA, END_STREAM, 1, b"test")]), Stream(&[STREAM_CLOSED])),
        Case("5.1", "half-closed: HEADERS", say(&[whole_get(1), whole_get(1)]), Stream(&[STREAM_CLOSED])),
        Case(
            "5.1",
            "half-closed: CONTINUATION",
            say(&[whole_get(1), frame(CONTINUATION, END_HEADERS, 1, &get())]),
            Connection(&[STREAM_CLOSED, PROTOCOL_ERROR]),
        ),
        Case(
            "5.1",
            "half-closed: WINDOW_UPDATE and PRIORITY are allowed",
            say(&[whole_get(1), frame(WINDOW_UPDATE, 0, 1, &100u32.to_be_bytes()), frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 255])]),
            Answer,
        ),
        Case("5.1", "half-closed: RST_STREAM is allowed", say(&[whole_get(1), reset.clone()]), Life),
        Case("5.1", "reset: DATA", say(&[open_post(1), reset.clone(), frame(DATA, END_STREAM, 1, b"test")]), Stream(&[STREAM_CLOSED])),
        Case("5.1", "reset: HEADERS", say(&[open_post(1), reset.clone(), whole_get(1)]), Stream(&[STREAM_CLOSED])),
        Case(
            "5.1",
            "reset: CONTINUATION",
            say(&[open_post(1), reset, frame(CONTINUATION, END_HEADERS, 1, &get())]),
            Connection(&[STREAM_CLOSED, PROTOCOL_ERROR]),
        ),
        Case("5.1", "closed: DATA", after_answer(&[frame(DATA, END_STREAM, 1, b"test")]), Stream(&[STREAM_CLOSED])),
        Case("5.1", "closed: HEADERS", after_answer(&[whole_get(1)]), Connection(&[STREAM_CLOSED, PROTOCOL_ERROR])),
        Case(
            "5.1",
            "closed: CONTINUATION",
            after_answer(&[frame(CONTINUATION, END_HEADERS, 1, &get())]),
            Connection(&[STREAM_CLOSED, PROTOCOL_ERROR]),
        ),
        Case("5.1", "closed: PRIORITY is allowed", after_answer(&[frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 255])]), Life),
        Case("5.1.1", "an even stream", say(&[whole_get(2)]), Connection(&[PROTOCOL_ERROR])),
        Case("5.1.1", "a smaller stream than before", say(&[whole_get(5), whole_get(3)]), Connection(&[PROTOCOL_ERROR, STREAM_CLOSED])),
        Case(
            "5.1.2",
            "more streams at once than allowed",
            say(&(0..400).map(|n| open_post(2 * n + 1)).collect::<Vec<_>>()),
            Stream(&[PROTOCOL_ERROR, REFUSED_STREAM]),
        ),
        // RFC 7540 §5.3.1; RFC 9113 leaves priorities to be ignored, and this we may still refuse.
        Case(
            "5.3",
            "a head that depends on itself",
            say(&[frame(HEADERS, WHOLE | WITH_PRIORITY, 1, &[&SELF.to_be_bytes()[..], &[255], &get()].concat())]),
            Stream(&[PROTOCOL_ERROR]),
        ),
        Case(
            "5.3",
            "a head with a priority",
            say(&[frame(HEADERS, WHOLE | WITH_PRIORITY, 1, &[&[0, 0, 0, 0, 15][..], &get()].concat())]),
            Answer,
        ),
        Case("5.4.1", "a broken PING", say(&[frame(PING, 0, 0, &[0; 6])]), Connection(&[FRAME_SIZE_ERROR])),
        Case("5.5", "an unknown frame on a stream is ignored", say(&[whole_get(1), frame(UNKNOWN, 0, 1, &[0; 8])]), Answer),
        Case(
            "5.5",
            "but not within a head",
            say(&[frame(HEADERS, END_STREAM, 1, &get()), frame(UNKNOWN, 0, 0, &[0; 8]), frame(CONTINUATION, END_HEADERS, 1, &[])]),
            Connection(&[PROTOCOL_ERROR]),
        ),
    ]
}

fn content_and_heads() -> Vec<Case> {
    let halves = get();
    let (first, second) = halves.split_at(10);
    let (second, third) = second.split_at(10);
    vec![
        Case("6.1", "content", say(&[open_post(1), frame(DATA, END_STREAM, 1, b"test")]), Answer),
        Case("6.1", "content in pieces", say(&[open_post(1), frame(DATA, 0, 1, b"te"), frame(DATA, END_STREAM, 1, b"st")]), Answer),
        Case("6.1", "padded content", say(&[open_post(1), frame(DATA, END_STREAM | PADDED, 1, b"\x05test\0\0\0\0\0")]), Answer),
        Case("6.1", "content of no stream", say(&[frame(DATA, END_STREAM, 0, b"test")]), Connection(&[PROTOCOL_ERROR])),
        Case(
            "6.1",
            "more padding than frame",
            say(&[open_post(1), frame(DATA, END_STREAM | PADDED, 1, b"\x06Test")]),
            Connection(&[PROTOCOL_ERROR]),
        ),
        Case("6.2", "a padded head", say(&[frame(HEADERS, WHOLE | PADDED, 1, &[&[3][..], &get(), &[0; 3]].concat())]), Answer),
        Case("6.2", "a head of no stream", say(&[whole_get(0)]), Connection(&[PROTOCOL_ERROR])),
        Case(
            "6.2",
            "more padding than head",
            say(&[frame(HEADERS, WHOLE | PADDED, 1, &[&[255][..], &get()].concat())]),
            Connection(&[PROTOCOL_ERROR]),
        ),
        Case(
            "6.10",
            "a head in three frames",
            say(&[frame(HEADERS, END_STREAM, 1, first), frame(CONTINUATION, 0, 1, second), frame(CONTINUATION, END_HEADERS, 1, third)]),
            Answer,
        ),
        Case(
            "6.10",
            "DATA within a head",
            say(&[frame(HEADERS, END_STREAM, 1, first), frame(CONTINUATION, 0, 1, second), frame(DATA, END_STREAM, 1, b"x")]),
            Connection(&[PROTOCOL_ERROR]),
        ),
        Case(
            "6.10",
            "a continuation of no stream",
            say(&[frame(HEADERS, END_STREAM, 1, first), frame(CONTINUATION, END_HEADERS, 0, second)]),
            Connection(&[PROTOCOL_ERROR]),
        ),
        Case(
            "6.10",
            "a continuation of a whole head",
            say(&[open_post(1), frame(CONTINUATION, END_HEADERS, 1, first)]),
            Connection(&[PROTOCOL_ERROR]),
        ),
        Case(
            "6.10",
            "a continuation behind the last",
            say(&[
                frame(HEADERS, 0, 1, first),
                frame(CONTINUATION, END_HEADERS, 1, &[second, third].concat()),
                frame(CONTINUATION, END_HEADERS, 1, &literal("x", "y")),
            ]),
            Connection(&[PROTOCOL_ERROR]),
        ),
        Case(
            "6.10",
            "a continuation of content",
            say(&[open_post(1), frame(DATA, 0, 1, b"x"), frame(CONTINUATION, END_HEADERS, 1, first)]),
            Connection(&[PROTOCOL_ERROR]),
        ),
    ]
}

fn other_frames() -> Vec<Case> {
    const WINDOW_MAX: u32 = (1 << 31) - 1;
    let update = |stream, by: u32| frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes());
    vec![
        Case("6.3", "a priority of no stream", say(&[frame(PRIORITY, 0, 0, &[0, 0, 0, 0, 255])]), Connection(&[PROTOCOL_ERROR])),
        Case("6.3", "a priority of four bytes", say(&[open_post(1), frame(PRIORITY, 0, 1, &[0; 4])]), Stream(&[FRAME_SIZE_ERROR])),
        Case("6.4", "a reset of no stream", say(&[frame(RST_STREAM, 0, 0, &[0; 4])]), Connection(&[PROTOCOL_ERROR])),
        Case("6.4", "a reset of three bytes", say(&[open_post(1), frame(RST_STREAM, 0, 1, &[0; 3])]), Connection(&[FRAME_SIZE_ERROR])),
        Case("6.5", "settings are acknowledged", say(&[setting(3, 100)]), Acknowledgement),
        Case("6.5", "an acknowledgement with settings in it", say(&[frame(SETTINGS, ACK, 0, &[0; 6])]), Connection(&[FRAME_SIZE_ERROR])),
        Case("6.5", "settings of a stream", say(&[frame(SETTINGS, 0, 1, &[0, 3, 0, 0, 0, 100])]), Connection(&[PROTOCOL_ERROR])),
        Case("6.5", "settings of three bytes", say(&[frame(SETTINGS, 0, 0, &[0; 3])]), Connection(&[FRAME_SIZE_ERROR])),
        Case("6.5.2", "ENABLE_PUSH of 2", say(&[setting(2, 2)]), Connection(&[PROTOCOL_ERROR])),
        Case("6.5.2", "an initial window of 2^31", say(&[setting(4, 1 << 31)]), Connection(&[FLOW_CONTROL_ERROR])),
        Case("6.5.2", "frames of less than 2^14", say(&[setting(5, (1 << 14) - 1)]), Connection(&[PROTOCOL_ERROR])),
        Case("6.5.2", "frames of 2^24", say(&[setting(5, 1 << 24)]), Connection(&[PROTOCOL_ERROR])),
        Case("6.5.2", "an unknown setting is ignored", say(&[setting(0xff, 1)]), Life),
        Case("6.6", "a client promises nothing", say(&[frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])]), Connection(&[PROTOCOL_ERROR])),
        Case("6.7", "an acknowledgement nobody asked for is ignored", say(&[frame(PING, ACK, 0, &[7; 8])]), Life),
        Case("6.7", "a PING of a stream", say(&[frame(PING, 0, 1, &[0; 8])]), Connection(&[PROTOCOL_ERROR])),
        Case("6.8", "a GOAWAY of a stream", say(&[frame(GOAWAY, 0, 1, &[0; 8])]), Connection(&[PROTOCOL_ERROR])),
        Case("6.9", "a window that grows by nothing", say(&[update(0, 0)]), Connection(&[PROTOCOL_ERROR])),
        Case("6.9", "a stream's that does", say(&[open_post(1), update(1, 0)]), Stream(&[PROTOCOL_ERROR])),
        Case("6.9", "an update of three bytes", say(&[frame(WINDOW_UPDATE, 0, 0, &[0; 3])]), Connection(&[FRAME_SIZE_ERROR])),
        Case("6.9.1", "a window beyond 2^31", say(&[update(0, WINDOW_MAX), update(0, WINDOW_MAX)]), Connection(&[FLOW_CONTROL_ERROR])),
        Case(
            "6.9.1",
            "a stream's beyond 2^31",
            say(&[open_post(1), update(1, WINDOW_MAX), update(1, WINDOW_MAX)]),
            Stream(&[FLOW_CONTROL_ERROR]),
        ),
        Case("6.9.2", "a window opened by a setting", say(&[setting(4, 0), whole_get(1), setting(4, 1000)]), Answer),
        Case("7", "a reset with an unknown code", say(&[open_post(1), frame(RST_STREAM, 0, 1, &[0xff; 4])]), Life),
    ]
}

fn messages() -> Vec<Case> {
    let asked = |fields: Vec<u8>| say(&[frame(HEADERS, WHOLE, 1, &fields)]);
    let without = |name: &str| block(&GET_FIELDS.into_iter().filter(|field| field.0 != name).collect::<Vec<_>>());
    let twice =
        |name: &str| block(&GET_FIELDS.into_iter().flat_map(|f| if f.0 == name { vec![f, f] } else { vec![f] }).collect::<Vec<_>>());
    let malformed = Stream(&[PROTOCOL_ERROR]);
    let lengths = block(&[&POST_FIELDS[..], &[("content-length", "1")]].concat());
    vec![
        Case(
            "8.1",
            "HEAD",
            say(&[frame(HEADERS, WHOLE, 1, &block(&[("x", "y")][..0]).into_iter().chain(get()).collect::<Vec<u8>>())]),
            Answer,
        ),
        Case("8.1", "trailers", say(&[open_post(1), frame(DATA, 0, 1, b"test"), frame(HEADERS, WHOLE, 1, &literal("x-sum", "4"))]), Answer),
        Case(
            "8.1",
            "trailers that do not end",
            say(&[open_post(1), frame(DATA, 0, 1, b"test"), frame(HEADERS, END_HEADERS, 1, &literal("x-sum", "4"))]),
            malformed,
        ),
        // The RFC wants it refused. `h2` drops it without a word, so there is nothing for us to see, and nothing that travels on.
        Case(
            "8.1",
            "a pseudo-field among trailers goes no further",
            say(&[open_post(1), frame(DATA, 0, 1, b"test"), frame(HEADERS, WHOLE, 1, &literal(":method", "GET"))]),
            Answer,
        ),
        Case("8.2", "an upper-case name", asked(get_with(&[("X-Test", "ok")])), malformed),
        Case("8.2.2", "Connection", asked(get_with(&[("connection", "keep-alive")])), malformed),
        Case("8.2.2", "TE other than trailers", asked(get_with(&[("te", "trailers, deflate")])), malformed),
        Case("8.3", "an unknown pseudo-field", asked(get_with(&[(":test", "ok")])), malformed),
        Case("8.3", "a response's pseudo-field", asked(get_with(&[(":status", "200")])), malformed),
        Case("8.3", "a pseudo-field behind a field", asked(block(&[&[("x", "y")], &GET_FIELDS[..]].concat())), malformed),
        Case(
            "8.3.1",
            "an empty path",
            asked(block(&[(":method", "GET"), (":scheme", "http"), (":path", ""), (":authority", "a")])),
            malformed,
        ),
        Case("8.3.1", "no method", asked(without(":method")), malformed),
        Case("8.3.1", "no scheme", asked(without(":scheme")), malformed),
        Case("8.3.1", "no path", asked(without(":path")), malformed),
        Case("8.3.1", "two methods", asked(twice(":method")), malformed),
        Case("8.3.1", "two schemes", asked(twice(":scheme")), malformed),
        Case("8.3.1", "two paths", asked(twice(":path")), malformed),
        Case(
            "8.1.1",
            "more content than said",
            say(&[frame(HEADERS, END_HEADERS, 1, &lengths), frame(DATA, END_STREAM, 1, b"test")]),
            malformed,
        ),
        Case(
            "8.1.1",
            "more content than said, in pieces",
            say(&[frame(HEADERS, END_HEADERS, 1, &lengths), frame(DATA, 0, 1, b"te"), frame(DATA, END_STREAM, 1, b"st")]),
            malformed,
        ),
    ]
}

/// RFC 7541.
fn compression() -> Vec<Case> {
    let sent = |first: &[u8], last: &[u8]| say(&[frame(HEADERS, WHOLE, 1, &[first, &get()[..], last].concat())]);
    let broken = Connection(&[COMPRESSION_ERROR]);
    vec![
        // :method GET, :scheme http, :path / of the static table (appendix A).
        Case(
            "H2.3",
            "indexed fields",
            say(&[frame(HEADERS, WHOLE, 1, &[&[0x82, 0x86, 0x84][..], &literal(":authority", "a")].concat())]),
            Answer,
        ),
        Case("H6.2.1", "a literal to be indexed, and its use", sent(&[], b"\x40\x01x\x01y\xbe"), Answer),
        Case("H6.2.1", "one with an indexed name", sent(&[], b"\x7a\x03ab1"), Answer),
        Case("H6.2.1", "one in Huffman code", sent(&[], b"\x40\x01x\x85\xae\xc3\x77\x1a\x4b"), Answer),
        Case("H6.2.2", "a literal with an indexed name", sent(&[], b"\x0f\x2b\x01z"), Answer),
        Case("H6.2.3", "a literal that is never indexed", sent(&[], b"\x10\x01x\x01y"), Answer),
        Case("H6.3", "a table size update", sent(&[0x20], &[]), Answer),
        Case("H6.3", "two of them", sent(&[0x20, 0x3f, 0xe1, 0x1f], &[]), Answer),
        Case("H2.3.3", "an index beyond the tables", sent(&[], &[0xc6]), broken),
        Case("H2.3.3", "a name beyond the tables", sent(&[], b"\x7f\x0f\x01x"), broken),
        Case("H4.2", "a table size update at the end", sent(&[], &[0x20]), broken),
        Case("H5.2", "padding of more than seven bits", sent(&[], b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff"), broken),
        Case("H5.2", "padding by zeros", sent(&[], b"\x00\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90"), broken),
        Case("H5.2", "the end of string in a string", sent(&[], b"\x00\x85\xf2\xb2\x4a\x84\xff\x87\x49\x51\xff\xff\xff\xfa\x7f"), broken),
        Case("H6.1", "index 0", sent(&[], &[0x80]), broken),
        Case("H6.3", "a table larger than allowed", sent(&[0x3f, 0xe2, 0x1f], &[]), broken),
    ]
}

#[test]
fn every_rule_of_http2_is_kept() {
    let origin = Origin::start(|mut peer| {
        while let Some(head) = peer.read_head() {
            if field(&head, "transfer-encoding").is_some() {
                while !peer.read_until("\r\n").starts_with("0\r\n") {}
                while peer.read_until("\r\n") != "\r\n" {}
            }
            peer.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
        }
    });
    let edge = setup(&[origin.address]).start();
    let mut broken = Vec::new();
    for Case(section, rule, steps, hears) in
        [starting_and_frames(), streams(), content_and_heads(), other_frames(), messages(), compression()].into_iter().flatten()
    {
        let mut client = Client::connect(edge.addresses()[0]);
        if let Err(heard) = client.act(steps, hears) {
            broken.push(format!("§{section} {rule}: expected {hears:?}, heard {heard}"));
        }
    }
    assert!(broken.is_empty(), "{} broken:\n{}", broken.len(), broken.join("\n"));
}

#[test]
fn a_preface_that_is_none_ends_the_connection() {
    let origin = Origin::saying("hi");
    let (edge, mut client) = through(&origin);
    client.write("INVALID CONNECTION PREFACE\r\n\r\n");
    assert_eq!(client.read_to_end(), b"", "no word in a protocol that was not spoken");
    // What a client of HTTP/1 may have meant is told in HTTP/1, and so is anything behind a first request.
    for mistake in
        ["GET /a b HTTP/1.1", "GET / HTTP/9.9", "GET / HTTQ/1.1", "GET /", "GET http://a/ b c", "GET a.example HTPP/1.1", "INVALID"]
    {
        let mut client = Peer::connect(edge.addresses()[0]);
        client.write(format!("{mistake}\r\n\r\n"));
        let heard = String::from_utf8_lossy(&client.read_to_end()).into_owned();
        assert!(heard.starts_with("HTTP/1.1 400 ") || heard.starts_with("HTTP/1.1 505 "), "{mistake}: {heard}");
    }
    let mut client = Peer::connect(edge.addresses()[0]);
    client.write([GET, "INVALID CONNECTION PREFACE\r\n\r\n"].concat());
    assert_eq!(client.read_answer().content, "hi");
    assert_eq!(client.read_answer().status, 505);
}

const LAST_PING: [u8; 8] = *b"the last";

impl Client {
    /// `Err` says what was heard instead.
    fn act(&mut self, steps: Vec<Step>, hears: Hears) -> Result<(), String> {
        for step in steps {
            match step {
                Say(bytes) => self.peer.write(bytes),
                AwaitEnd => loop {
                    let frame = self.read().ok_or("the connection's end too early")?;
                    if frame.stream == 1 && frame.flags & END_STREAM != 0 && frame.kind <= HEADERS {
                        break;
                    }
                },
            }
        }
        // Where an error is missing, this is answered and tells so without a wait.
        self.peer.write(frame(PING, 0, 0, &LAST_PING));
        let (mut last_ping_answered, mut answered) = (false, false);
        loop {
            let Some(frame) = self.read() else {
                return if matches!(hears, Connection(_) | Stream(_)) { Ok(()) } else { Err("the connection's end".into()) };
            };
            last_ping_answered |= frame.kind == PING && frame.payload == LAST_PING;
            answered |= frame.stream == 1 && frame.kind <= HEADERS && frame.flags & END_STREAM != 0;
            match hears {
                Answer if frame.kind == HEADERS && frame.stream == 1 => {
                    return if frame.payload.first() == Some(&0x88) { Ok(()) } else { Err(format!("a head {:02x?}", frame.payload)) };
                }
                Acknowledgement if frame.kind == SETTINGS && frame.flags & ACK != 0 => return Ok(()),
                Life if last_ping_answered => return Ok(()),
                // Another code than the rule's (ours says PROTOCOL_ERROR for whatever its frame reader refuses) must be followed by the end.
                Connection(codes) | Stream(codes) if frame.kind == GOAWAY && codes.contains(&code(&frame.payload[4..])) => return Ok(()),
                Stream(codes) if frame.kind == RST_STREAM && codes.contains(&code(&frame.payload)) => return Ok(()),
                // It may be answered before the error shows: only where no answer can be waited for does the PING decide.
                Connection(_) | Acknowledgement if last_ping_answered => return Err("nothing".into()),
                Stream(_) if last_ping_answered && answered => return Err("an answer".into()),
                Answer | Life if frame.kind == GOAWAY => return Err(format!("GOAWAY {}", code(&frame.payload[4..8]))),
                Answer if frame.kind == RST_STREAM => return Err(format!("RST_STREAM {}", code(&frame.payload))),
                _ => {}
            }
        }
    }
}
