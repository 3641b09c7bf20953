//! Content that does not fit in memory, comes early, or is not HTTP at all.

use std::{io::Read, sync::mpsc, time::Duration};

use crate::harness::*;

/// Resident memory of this process, edge included.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

const GIB: usize = 1 << 30;

/// What a body may cost however large it is: buffers of both connections, kernel's not counted, and room for the allocator.
const FLAT: usize = 24 << 20;

#[test]
fn a_gibibyte_down_takes_flat_memory() {
    if !in_a_process_of_its_own("streams::a_gibibyte_down_takes_flat_memory") {
        return;
    }
    let origin = Origin::start(|mut peer| {
        if peer.read_head().is_some() {
            peer.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {GIB}\r\n\r\n"));
            let piece = vec![b'x'; 1 << 20];
            (0..GIB >> 20).for_each(|_| peer.write(&piece));
        }
    });
    let (_edge, mut client) = through(&origin);
    client.write(GET);
    client.read_head().unwrap();
    let before = memory();
    let (mut left, mut most) = (GIB - client.take_ahead(), before);
    let mut buffer = vec![0; 1 << 20];
    while left > 0 {
        let count = client.stream.read(&mut buffer).unwrap();
        assert!(count > 0);
        left -= count;
        most = most.max(memory());
    }
    assert!(most - before < FLAT, "{} MiB more", (most - before) >> 20);
}

#[test]
fn a_gibibyte_up_takes_flat_memory() {
    if !in_a_process_of_its_own("streams::a_gibibyte_up_takes_flat_memory") {
        return;
    }
    let origin = Origin::start(|mut peer| {
        peer.read_head().unwrap();
        let mut left = GIB - peer.take_ahead();
        let mut buffer = vec![0; 1 << 20];
        while left > 0 {
            left -= peer.stream.read(&mut buffer).unwrap();
        }
        peer.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let (_edge, mut client) = through(&origin);
    client.write(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {GIB}\r\n\r\n"));
    let before = memory();
    let mut most = before;
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..GIB >> 20 {
        client.write(&piece);
        most = most.max(memory());
    }
    assert_eq!(client.read_answer().content, "ok");
    assert!(most - before < FLAT, "{} MiB more", (most - before) >> 20);
}

#[test]
fn a_slow_reader_holds_the_upstream_back() {
    let (told, hear) = mpsc::channel();
    let origin = Origin::start(move |mut peer| {
        peer.read_head().unwrap();
        peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        peer.stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        let mut sent = 0usize;
        let piece = [b"10000\r\n".to_vec(), vec![b'x'; 65536], b"\r\n".to_vec()].concat();
        while std::io::Write::write_all(&mut peer.stream, &piece).is_ok() {
            sent += 65536;
        }
        told.send(sent).unwrap();
    });
    let (_edge, mut client) = through(&origin);
    client.write(GET);
    client.read_head().unwrap();
    // Kernel buffers on four sockets, ours on two: far less than an endless answer.
    let sent = hear.recv_timeout(PATIENCE).unwrap();
    assert!(sent < 64 << 20, "{} MiB were taken for a client that reads nothing", sent >> 20);
}

#[test]
fn content_waits_for_the_upstreams_100_continue() {
    let origin = Origin::start(|mut peer| {
        while let Some(head) = peer.read_head() {
            assert_eq!(field(&head, "expect").as_deref(), Some("100-continue"));
            peer.write("HTTP/1.1 100 Continue\r\n\r\n");
            let content = peer.read_exact(5);
            assert_eq!(content, b"hello");
            peer.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let (_edge, mut client) = through(&origin);
    for _ in 0..2 {
        client.write("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
        assert!(client.read_head().unwrap().starts_with("HTTP/1.1 100 "));
        client.write("hello");
        assert_eq!(client.read_answer().content, "ok");
    }
}

#[test]
fn an_upstream_may_refuse_content_before_it_comes() {
    let origin = Origin::start(|mut peer| {
        while peer.read_head().is_some() {
            peer.write("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig");
        }
    });
    let (_edge, mut client) = through(&origin);
    client.write("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\nExpect: 100-continue\r\n\r\n");
    let answer = client.read_answer();
    assert_eq!((answer.status, answer.content.as_str()), (413, "big"));
    assert!(client.closed(), "nobody knows whether the content still comes");
}

#[test]
fn early_hints_pass_through() {
    let origin = Origin::start(|mut peer| {
        while peer.read_head().is_some() {
            peer.write("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let (_edge, mut client) = through(&origin);
    client.write(GET);
    assert_eq!(client.read_head().unwrap(), "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
    assert_eq!(client.read_answer().content, "ok");
    client.write("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(client.read_answer().status, 200, "an HTTP/1.0 client knows no interim answers");
}

#[test]
fn an_upgraded_connection_is_a_tunnel_both_ways() {
    let origin = Origin::start(|mut peer| {
        let head = peer.read_head().unwrap();
        assert_eq!((field(&head, "upgrade").as_deref(), field(&head, "connection").as_deref()), (Some("websocket"), Some("Upgrade")));
        assert_eq!(field(&head, "sec-websocket-key").as_deref(), Some("x"));
        peer.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: y\r\n\r\nfirst");
        loop {
            let bytes = peer.read_exact(4);
            peer.write(&bytes);
            if bytes == b"bye!" {
                return;
            }
        }
    });
    let (_edge, mut client) = through(&origin);
    client
        .write("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\nabcd");
    let head = client.read_head().unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!((field(&head, "upgrade").as_deref(), field(&head, "sec-websocket-accept").as_deref()), (Some("websocket"), Some("y")));
    assert_eq!(client.read_exact(9), b"firstabcd");
    for word in ["\0\x01\r\n", "GET ", "bye!"] {
        client.write(word);
        assert_eq!(client.read_exact(4), word.as_bytes());
    }
    assert!(client.closed());
}

#[test]
fn a_refused_upgrade_is_an_ordinary_answer() {
    let origin = Origin::saying("no");
    let (_edge, mut client) = through(&origin);
    for _ in 0..2 {
        client.write("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        assert_eq!(client.read_answer().content, "no");
    }
}

#[test]
fn answers_and_content_may_flow_at_the_same_time() {
    let origin = Origin::start(|mut peer| {
        peer.read_head().unwrap();
        peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        loop {
            let line = peer.read_until("\r\n");
            if line == "0\r\n" {
                peer.read_until("\r\n");
                return peer.write("0\r\n\r\n");
            }
            let data = peer.read_until("\r\n");
            peer.write(format!("{line}{data}"));
        }
    });
    let (_edge, mut client) = through(&origin);
    client.write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.read_head().unwrap();
    for word in ["one", "two", "three"] {
        client.write(format!("{:x}\r\n{word}\r\n", word.len()));
        assert_eq!(client.read_until(&format!("{word}\r\n")), format!("{:x}\r\n{word}\r\n", word.len()));
    }
    client.write("0\r\n\r\n");
    assert_eq!(client.read_until("0\r\n\r\n"), "0\r\n\r\n");
}

#[test]
fn an_answer_that_breaks_off_is_not_taken_for_a_whole_one() {
    let origin = Origin::start(|mut peer| {
        peer.read_head().unwrap();
        peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    });
    let (_edge, mut client) = through(&origin);
    client.write(GET);
    client.read_head().unwrap();
    let rest = client.read_to_end();
    assert!(!rest.ends_with(b"0\r\n\r\n"), "{}", rest.escape_ascii());
}
