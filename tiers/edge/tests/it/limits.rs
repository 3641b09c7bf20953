//! Every bound, from the outside.

use std::{
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};

use pumasi_config::{AccessLog, EdgeLimits};

use crate::harness::*;

fn limited(origin: &Origin, set: impl FnOnce(&mut EdgeLimits)) -> (pumasi_edge::Edge, Peer) {
    let mut setup = setup(&[origin.address]);
    set(&mut setup.plan.limits);
    let edge = setup.start();
    let client = Peer::connect(edge.addresses()[0]);
    (edge, client)
}

const SHORT: Duration = Duration::from_millis(200);

#[test]
fn a_head_that_is_too_long_is_431_and_a_target_414() {
    let origin = Origin::saying("hi");
    let (edge, mut client) = limited(&origin, |l| l.header_bytes_max = 1000);
    client.write(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(2000)));
    assert_eq!(client.read_answer().status, 431);
    assert!(client.closed());
    let mut client = Peer::connect(edge.addresses()[0]);
    client.write(format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(2000)));
    assert_eq!(client.read_answer().status, 414);
}

#[test]
fn a_head_may_be_as_long_as_the_limit_says() {
    let origin = Origin::saying("hi");
    let (_edge, mut client) = limited(&origin, |l| l.header_bytes_max = 200_000);
    for _ in 0..2 {
        client.write(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(150_000)));
        assert_eq!(client.read_answer().status, 200);
    }
}

#[test]
fn too_many_fields_are_431() {
    let origin = Origin::saying("hi");
    let (_edge, mut client) = limited(&origin, |l| l.headers_max = 10);
    client.write(format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: 1\r\n".repeat(10)));
    assert_eq!(client.read_answer().status, 431);
}

#[test]
fn a_head_that_drips_is_408() {
    let origin = Origin::saying("hi");
    let (_edge, mut client) = limited(&origin, |l| l.header_timeout = Duration::from_millis(400));
    let (stop, stopped) = mpsc::channel::<()>();
    let mut dripper = Peer::new(client.stream.try_clone().unwrap());
    let drip = std::thread::spawn(move || {
        for byte in "GET / HTTP/1.1\r\nHost: a\r\nX: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx".bytes().cycle() {
            if stopped.recv_timeout(Duration::from_millis(20)) != Err(mpsc::RecvTimeoutError::Timeout) {
                return;
            }
            dripper.write([byte]);
        }
    });
    let began = Instant::now();
    assert_eq!(client.read_answer().status, 408);
    assert!(began.elapsed() < PATIENCE / 2);
    drop(stop);
    drip.join().unwrap();
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let origin = Origin::saying("hi");
    let (edge, mut client) = limited(&origin, |l| l.idle_timeout = SHORT);
    client.write(GET);
    client.read_answer();
    assert!(client.closed());
    assert!(Peer::connect(edge.addresses()[0]).closed(), "one that never asked, too");
}

#[test]
fn content_that_stops_is_408() {
    let origin = Origin::saying("hi");
    let (_edge, mut client) = limited(&origin, |l| l.body_idle_timeout = SHORT);
    client.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe");
    let status = client.read_answer().status;
    assert!(matches!(status, 200 | 408), "this origin answers without reading: {status}");
    let reader = Origin::start(|mut peer| {
        peer.read_head().unwrap();
        peer.read_to_end();
    });
    let (_edge, mut client) = limited(&reader, |l| l.body_idle_timeout = SHORT);
    client.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe");
    assert_eq!(client.read_answer().status, 408);
    assert!(client.closed());
}

#[test]
fn content_over_the_limit_is_413() {
    let reader = Origin::start(|mut peer| {
        peer.read_head().unwrap();
        peer.read_to_end();
    });
    let (_edge, mut client) = limited(&reader, |l| l.body_bytes_max = 10);
    client.write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhello hello\r\n");
    assert_eq!(client.read_answer().status, 413);
}

#[test]
fn an_upstream_that_does_not_begin_to_answer_is_504() {
    let origin = Origin::start(|mut peer| {
        peer.read_head().unwrap();
        peer.read_to_end();
    });
    let (_edge, mut client) = limited(&origin, |l| l.first_byte_timeout = SHORT);
    client.write(GET);
    let answer = client.read_answer();
    assert_eq!(answer.status, 504);
    assert!(answer.content.contains("did not answer in time"));
}

#[test]
fn an_upstream_that_speaks_something_else_is_502() {
    for nonsense in
        ["SSH-2.0-OpenSSH\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 101 Ha\r\n\r\n"]
    {
        let origin = Origin::start(move |mut peer| {
            peer.read_head();
            peer.write(nonsense);
        });
        let (_edge, mut client) = through(&origin);
        client.write(GET);
        assert_eq!(client.read_answer().status, 502, "{nonsense}");
    }
}

#[test]
fn one_connection_too_many_is_turned_away() {
    let origin = Origin::saying("hi");
    let (edge, mut first) = limited(&origin, |l| l.connections_max = 1);
    first.write(GET);
    assert_eq!(first.read_answer().status, 200);
    let mut second = Peer::connect(edge.addresses()[0]);
    let answer = second.read_answer();
    assert_eq!((answer.status, answer.field("retry-after").as_deref()), (503, Some("1")));
    assert!(second.closed());
    drop(first);
    wait_until("the first is gone", || edge.connections() == 0);
    let mut third = Peer::connect(edge.addresses()[0]);
    third.write(GET);
    assert_eq!(third.read_answer().status, 200);
}

/// An origin that answers when it is told to.
fn held() -> (Origin, mpsc::Sender<()>) {
    let (release, wait) = mpsc::channel();
    let wait = Mutex::new(wait);
    let origin = Origin::start(move |mut peer| {
        while peer.read_head().is_some() {
            if wait.lock().unwrap().recv().is_err() {
                return;
            }
            peer.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    (origin, release)
}

#[test]
fn requests_over_the_cap_wait_in_a_bounded_queue() {
    let (origin, release) = held();
    let mut setup = setup(&[origin.address]);
    setup.pools[0].plan.concurrency_max = Some(1);
    setup.pools[0].plan.queue_max = 1;
    let pool = setup.pools[0].pool.clone();
    let edge = setup.start();
    let mut clients: Vec<Peer> = (0..3).map(|_| Peer::connect(edge.addresses()[0])).collect();
    clients[0].write(GET);
    wait_until("the first is at the origin", || pool.in_flight() == 1);
    clients[1].write(GET);
    wait_until("the second waits", || pool.queue().waiting() == 1);
    clients[2].write(GET);
    let answer = clients[2].read_answer();
    assert_eq!((answer.status, answer.field("retry-after").as_deref()), (503, Some("1")));
    release.send(()).unwrap();
    assert_eq!(clients[0].read_answer().status, 200);
    release.send(()).unwrap();
    assert_eq!(clients[1].read_answer().status, 200);
}

#[test]
fn waiting_in_the_queue_ends_at_its_deadline() {
    let (origin, _release) = held();
    let mut setup = setup(&[origin.address]);
    setup.pools[0].plan.concurrency_max = Some(1);
    setup.pools[0].plan.queue_timeout = SHORT;
    let pool = setup.pools[0].pool.clone();
    let edge = setup.start();
    let mut first = Peer::connect(edge.addresses()[0]);
    first.write(GET);
    wait_until("the first is at the origin", || pool.in_flight() == 1);
    let mut second = Peer::connect(edge.addresses()[0]);
    second.write(GET);
    let answer = second.read_answer();
    assert_eq!(answer.status, 503);
    assert!(answer.content.contains("busy for too long"), "{}", answer.content);
    assert_eq!(pool.queue().waiting(), 0);
}

/// A writer that keeps what was written.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn every_request_leaves_a_line() {
    let origin = Origin::saying("hello");
    let mut setup = setup(&[origin.address]);
    setup.plan.access_log = AccessLog::Json;
    let kept = Kept::default();
    let edge = setup.start_logging(Box::new(kept.clone()));
    let mut client = Peer::connect(edge.addresses()[0]);
    client.write("GET /a%20b HTTP/1.1\r\nHost: shop\r\nUser-Agent: \"x\"\r\n\r\n");
    client.read_answer();
    client.write("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(client.read_answer().status, 400);
    wait_until("both lines are there", || kept.0.lock().unwrap().iter().filter(|&&b| b == b'\n').count() == 2);
    let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    for part in [
        "\"method\":\"GET\"",
        "\"host\":\"shop\"",
        "\"target\":\"/a%20b\"",
        "\"status\":200",
        "\"user_agent\":\"\\\"x\\\"\"",
        "\"client\":\"127.0.0.1\"",
    ] {
        assert!(lines[0].contains(part), "{part} in {}", lines[0]);
    }
    assert!(lines[0].contains(&format!("\"upstream\":\"{}\"", origin.address)), "{}", lines[0]);
    assert!(lines[1].contains("\"status\":400"), "{}", lines[1]);
}
