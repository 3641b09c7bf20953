//! Floods of HTTP/2 frames over real sockets: what asks for nothing ends the connection, or waits until its answers are taken. Either way memory
//! stays where it was, and others are served.

use std::{io::Write, net::SocketAddr, time::Duration};

use crate::{frames::*, harness::*};

const ENHANCE_YOUR_CALM: u32 = 11;

/// Frames after which a flood has met no bound. The tightest bound is some dozens, the widest a thousand and what the sockets hold.
const FRAMES_MAX: u32 = 400_000;

/// What a connection's flood may leave the process larger by.
const GROWTH_MAX_KIB: u64 = 32 << 10;

/// The n-th piece of a flood.
type Flood = fn(u32) -> Vec<u8>;

/// How a flood came to its end.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// With this code, or without a word: when a socket is closed with something unread its last words may be lost.
    Closed(Option<u32>),
    /// The edge reads no more, because its answers are not taken.
    Waits,
}

#[test]
fn frames_that_ask_for_nothing_end_the_connection() {
    let floods: [(&str, Vec<u8>, Flood); 8] = [
        ("PING", vec![], |n| frame(PING, 0, 0, &u64::from(n).to_be_bytes())),
        ("SETTINGS", vec![], |n| setting(3, n)), // SETTINGS_MAX_CONCURRENT_STREAMS
        ("empty SETTINGS", vec![], |_| frame(SETTINGS, 0, 0, &[])),
        ("PRIORITY", vec![], |n| frame(PRIORITY, 0, 2 * n + 1, &[0, 0, 0, 0, 1])),
        ("empty DATA", open_post(1), |_| frame(DATA, 0, 1, &[])),
        ("unknown frames", vec![], |_| frame(UNKNOWN, 0, 0, &[7; 32])),
        ("CONTINUATION", frame(HEADERS, 0, 1, &get()), |n| frame(CONTINUATION, 0, 1, &literal("x", &n.to_string()))),
        ("empty CONTINUATION", frame(HEADERS, 0, 1, &get()), |_| frame(CONTINUATION, 0, 1, &[])),
    ];
    let origin = Origin::saying("hi");
    let edge = setup(&[origin.address]).start();
    for (name, first, flood) in floods {
        let end = reading(edge.addresses()[0], first, flood);
        assert!(matches!(end, End::Closed(None | Some(ENHANCE_YOUR_CALM))), "{name}: {end:?}");
        assert_served(edge.addresses()[0]);
    }
}

/// CVE-2023-44487, and the one by which a client makes the server reset (CVE-2025-8671): here by a window that grows past its limit.
#[test]
fn streams_opened_to_be_reset_end_the_connection() {
    let floods: [(&str, Flood); 2] = [
        ("reset by the client", |n| [whole_get(2 * n + 1), frame(RST_STREAM, 0, 2 * n + 1, &8u32.to_be_bytes())].concat()),
        ("reset by us", |n| [open_post(2 * n + 1), frame(WINDOW_UPDATE, 0, 2 * n + 1, &[0x7f, 255, 255, 255])].concat()),
    ];
    let origin = Origin::start(|mut peer| drop(peer.read_to_end())); // none of it is ever answered
    let edge = setup(&[origin.address]).start();
    for (name, flood) in floods {
        let end = reading(edge.addresses()[0], vec![], flood);
        assert!(matches!(end, End::Closed(None | Some(ENHANCE_YOUR_CALM))), "{name}: {end:?}");
        let mut other = Peer::connect(edge.addresses()[0]);
        other.write("GET / HTTP/1.1\r\n\r\n");
        assert_eq!(other.read_answer().status, 400, "others are served");
    }
}

/// A client that takes none of its answers: more is not read than there is room to answer.
#[test]
fn what_is_not_taken_is_not_kept() {
    let floods: [(&str, Flood); 4] = [
        ("PING", |n| frame(PING, 0, 0, &u64::from(n).to_be_bytes())),
        ("SETTINGS", |n| setting(3, n)),
        ("requests", |n| whole_get(2 * n + 1)),
        ("requests that are refused", |n| frame(HEADERS, WHOLE, 2 * n + 1, &get_with(&[("connection", "close")]))),
    ];
    let origin = Origin::saying("hi");
    let edge = setup(&[origin.address]).start();
    for (name, flood) in floods {
        let before = resident_kib();
        let end = deaf(edge.addresses()[0], flood);
        let grown = resident_kib().saturating_sub(before);
        assert!(grown < GROWTH_MAX_KIB, "{name}: {grown} KiB more, {end:?}");
        assert_served(edge.addresses()[0]);
    }
}

/// Keep-alives, and a PING beside each piece of an upload, are what clients do.
#[test]
fn an_ordinary_clients_frames_are_no_flood() {
    let origin = Origin::start(|mut peer| {
        while let Some(head) = peer.read_head() {
            assert!(head.starts_with("POST / "));
            peer.read_until("\r\n0\r\n\r\n");
            peer.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
        }
    });
    let edge = setup(&[origin.address]).start();
    let mut client = Client::connect(edge.addresses()[0]);
    for n in 0..1500 {
        let stream = 2 * n + 1;
        let piece = [frame(DATA, 0, stream, b"a piece"), frame(PING, 0, 0, &[1; 8])].concat();
        client.peer.write([open_post(stream), piece.clone(), piece, frame(DATA, END_STREAM, stream, b"the last")].concat());
        loop {
            let frame = client.read().expect("the connection goes on");
            assert!(frame.kind != GOAWAY && frame.kind != RST_STREAM, "type {} in round {n}", frame.kind);
            if frame.kind == DATA && frame.flags & END_STREAM != 0 {
                break;
            }
        }
    }
}

/// Sends `flood` again and again, and reads what comes beside that.
fn reading(address: SocketAddr, first: Vec<u8>, flood: Flood) -> End {
    let mut client = Client::connect(address);
    let mut socket = client.peer.stream.try_clone().unwrap();
    let sending =
        std::thread::spawn(move || socket.write_all(&first).is_ok() && (0..FRAMES_MAX).all(|n| socket.write_all(&flood(n)).is_ok()));
    let mut code_told = None;
    while let Some(frame) = client.read() {
        if frame.kind == GOAWAY {
            code_told = Some(code(&frame.payload[4..]));
        }
    }
    drop(client);
    assert!(!sending.join().unwrap(), "all {FRAMES_MAX} were taken");
    End::Closed(code_told)
}

/// Sends `flood` and reads nothing, until the connection is closed or has taken nothing for a while.
fn deaf(address: SocketAddr, flood: Flood) -> End {
    let client = Client::connect(address);
    let mut socket = client.peer.stream.try_clone().unwrap();
    socket.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    for n in 0..FRAMES_MAX {
        match socket.write_all(&flood(n)) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => return End::Waits,
            Err(_) => return End::Closed(None),
        }
    }
    panic!("all {FRAMES_MAX} were taken");
}

fn assert_served(address: SocketAddr) {
    let mut other = Peer::connect(address);
    other.write(GET);
    assert_eq!(other.read_answer().content, "hi");
}

/// Memory this process has in RAM: the edge's, and a little of the test's own.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
