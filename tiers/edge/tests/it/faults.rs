use std::sync::atomic::{AtomicUsize, Ordering};

use crate::harness::*;

#[test]
fn an_idle_connection_that_was_closed_costs_no_request() {
    let origin = Origin::saying("hi");
    let (_edge, mut client) = through(&origin);
    for _ in 0..20 {
        client.write(GET);
        assert_eq!(client.read_answer().content, "hi");
        origin.hang_up();
    }
}

#[test]
fn an_upstream_that_dies_mid_keep_alive_fails_no_get() {
    let (a, b) = (Origin::saying("hi"), Origin::saying("hi"));
    let edge = setup(&[a.address, b.address]).start();
    let mut client = Peer::connect(edge.addresses()[0]);
    for round in 0..40 {
        client.write(GET);
        assert_eq!(client.read_answer().status, 200, "round {round}");
        if round == 10 {
            a.die();
        }
    }
}

#[test]
fn a_request_with_content_is_not_sent_twice() {
    static POSTS: AtomicUsize = AtomicUsize::new(0);
    let origin = || {
        Origin::start(|mut peer| {
            if peer.read_head().is_some() {
                POSTS.fetch_add(1, Ordering::SeqCst);
            }
        })
    };
    let (a, b) = (origin(), origin());
    let edge = setup(&[a.address, b.address]).start();
    let mut client = Peer::connect(edge.addresses()[0]);
    client.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(client.read_answer().status, 502);
    assert_eq!(POSTS.load(Ordering::SeqCst), 1);
}

#[test]
fn nobody_at_home_is_503_with_a_time_to_come_back() {
    let origin = Origin::saying("hi");
    let setup = setup(&[origin.address]);
    let pool = setup.pools[0].pool.clone();
    let edge = setup.start();
    let mut client = Peer::connect(edge.addresses()[0]);
    origin.die();
    client.write("GET / HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n\r\n");
    let answer = client.read_answer();
    assert_eq!(
        (answer.status, answer.field("retry-after").as_deref(), answer.field("content-type").as_deref()),
        (503, Some("1"), Some("application/json"))
    );
    assert!(answer.content.contains(&format!("\"request_id\":\"{}\"", answer.field("x-request-id").unwrap())), "{}", answer.content);
    client.write(GET);
    assert!(client.read_answer().content.contains("does not accept connections"));
    assert_eq!((edge.status().status_5xx, edge.status().routes[0].status_5xx), (2, 2));
    let connects = pool.upstreams()[0].connects();
    assert_eq!((connects.total, connects.failed, pool.retries().0), (2, 2, 0), "there is no second one to be asked");
}

/// An origin that takes a request and answers nothing until its connection is closed, counting both.
fn silent() -> (Origin, std::sync::Arc<(AtomicUsize, AtomicUsize)>) {
    let counts = std::sync::Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let seen = counts.clone();
    let origin = Origin::start(move |mut peer| {
        if peer.read_head().is_some() {
            seen.0.fetch_add(1, Ordering::SeqCst);
            peer.read_to_end();
            seen.1.fetch_add(1, Ordering::SeqCst);
        }
    });
    (origin, counts)
}

#[test]
fn a_client_that_left_frees_its_upstream_at_once() {
    let (origin, counts) = silent();
    let mut setup = setup(&[origin.address]);
    let pool = setup.pools[0].pool.clone();
    setup.plan.limits.first_byte_timeout = 100 * PATIENCE;
    let edge = setup.start();
    for (round, request) in [GET, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"].into_iter().enumerate() {
        let mut client = Peer::connect(edge.addresses()[0]);
        client.write(request);
        wait_until("the origin is at work", || counts.0.load(Ordering::SeqCst) == round + 1);
        drop(client);
        wait_until("the origin is told", || counts.1.load(Ordering::SeqCst) == round + 1);
        wait_until("its place is free", || pool.in_flight() == 0);
        wait_until("it is told", || edge.status().routes[0].clients_left == round as u64 + 1);
    }
    wait_until("nothing is left", || edge.connections() == 0);
}

#[test]
fn a_client_that_has_said_all_it_had_to_say_still_gets_its_answer() {
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let asked = std::sync::Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let origin = Origin::start(move |mut peer| {
        while peer.read_head().is_some() {
            count.fetch_add(1, Ordering::SeqCst);
            let _ = wait.lock().unwrap().recv();
            peer.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let (_edge, mut client) = through(&origin);
    client.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    wait_until("the origin is at work", || asked.load(Ordering::SeqCst) == 1);
    release.send(()).unwrap();
    assert_eq!(client.read_answer().content, "ok");
}

#[test]
fn a_request_sent_ahead_waits_its_turn() {
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let origin = Origin::start(move |mut peer| {
        while let Some(head) = peer.read_head() {
            let _ = wait.lock().unwrap().recv();
            let content = if head.starts_with("GET /first") { "1st" } else { "2nd" };
            peer.write(format!("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{content}"));
        }
    });
    let (_edge, mut client) = through(&origin);
    client.write("GET /first HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_until("the first is at the origin", || origin.connections.load(Ordering::SeqCst) == 1);
    client.write("GET /second HTTP/1.1\r\nHost: a\r\n\r\n");
    release.send(()).unwrap();
    assert_eq!(client.read_answer().content, "1st");
    release.send(()).unwrap();
    assert_eq!(client.read_answer().content, "2nd");
}
