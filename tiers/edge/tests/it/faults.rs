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
    let (edge, mut client) = through(&origin);
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
    assert_eq!(edge.status().status_5xx, 2);
}
