use std::sync::{Arc, Mutex, atomic::Ordering};

use crate::harness::*;

#[test]
fn both_sides_keep_their_connections() {
    let origin = Origin::saying("hello");
    let (edge, mut client) = through(&origin);
    for _ in 0..20 {
        client.write(GET);
        let answer = client.read_answer();
        assert_eq!((answer.status, answer.content.as_str()), (200, "hello"));
        assert!(answer.field("date").is_some());
    }
    assert_eq!(origin.connections.load(Ordering::SeqCst), 1);
    assert_eq!(edge.connections(), 1);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::start(|mut peer| {
        while let Some(head) = peer.read_head() {
            let path = head.split(' ').nth(1).unwrap().to_owned();
            peer.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len()));
        }
    });
    let (_edge, mut client) = through(&origin);
    let many: String = (0..50).map(|i| format!("GET /{i} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    client.write(many);
    for i in 0..50 {
        assert_eq!(client.read_answer().content, format!("/{i}"));
    }
}

#[test]
fn chunked_content_and_trailers_pass_both_ways() {
    let seen = Arc::new(Mutex::new(String::new()));
    let kept = seen.clone();
    let origin = Origin::start(move |mut peer| {
        while let Some(head) = peer.read_head() {
            let content = peer.read_until("0\r\nX-Sum: 9\r\n\r\n");
            *kept.lock().unwrap() = format!("{head}{content}");
            peer.write(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-End\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nX-End: 1\r\n\r\n",
            );
        }
    });
    let (_edge, mut client) = through(&origin);
    for _ in 0..2 {
        client.write("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;ext\r\nhello\r\n1\r\n!\r\n0\r\nX-Sum: 9\r\n\r\n");
        let head = client.read_head().unwrap();
        assert_eq!(field(&head, "transfer-encoding").as_deref(), Some("chunked"));
        assert_eq!(field(&head, "trailer").as_deref(), Some("X-End"));
        assert_eq!(client.read_until("\r\nX-End: 1\r\n\r\n"), "3\r\nabc\r\n4\r\ndefg\r\n0\r\nX-End: 1\r\n\r\n");
    }
    let seen = seen.lock().unwrap();
    assert_eq!(field(&seen, "transfer-encoding").as_deref(), Some("chunked"));
    assert!(seen.ends_with("5\r\nhello\r\n1\r\n!\r\n0\r\nX-Sum: 9\r\n\r\n"), "{seen}");
}

#[test]
fn a_head_answer_has_no_content_and_the_connection_goes_on() {
    let origin = Origin::start(|mut peer| {
        while let Some(head) = peer.read_head() {
            match head.starts_with("HEAD") {
                true => peer.write("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"),
                false => peer.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
            }
        }
    });
    let (_edge, mut client) = through(&origin);
    client.write("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(field(&client.read_head().unwrap(), "content-length").as_deref(), Some("1000"));
    client.write(GET);
    assert_eq!(client.read_answer().content, "ok");
}

#[test]
fn statuses_without_content_have_none() {
    let origin = Origin::start(|mut peer| {
        while let Some(head) = peer.read_head() {
            let status = head.split('/').nth(1).unwrap().split(' ').next().unwrap().to_owned();
            peer.write(format!("HTTP/1.1 {status} x\r\nETag: \"e\"\r\n\r\n"));
        }
    });
    let (_edge, mut client) = through(&origin);
    for status in ["204", "304", "204"] {
        client.write(format!("GET /{status} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let answer = client.read_answer();
        assert_eq!(
            (answer.head[9..12].to_owned(), answer.field("content-length"), answer.field("transfer-encoding")),
            (status.into(), None, None)
        );
    }
    assert_eq!(origin.connections.load(Ordering::SeqCst), 1);
}

#[test]
fn an_answer_that_ends_by_closing_becomes_chunked() {
    let origin = Origin::start(|mut peer| {
        if peer.read_head().is_some() {
            peer.write("HTTP/1.1 200 OK\r\n\r\nuntil the end");
        }
    });
    let (_edge, mut client) = through(&origin);
    for _ in 0..2 {
        client.write(GET);
        assert_eq!(field(&client.read_head().unwrap(), "transfer-encoding").as_deref(), Some("chunked"));
        assert!(client.read_until("0\r\n\r\n").starts_with("d\r\nuntil the end\r\n"));
    }
}

#[test]
fn an_old_client_gets_an_answer_it_can_read() {
    let origin = Origin::start(|mut peer| {
        while peer.read_head().is_some() {
            peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
        }
    });
    let (edge, mut client) = through(&origin);
    client.write("GET / HTTP/1.0\r\n\r\n");
    let all = String::from_utf8(client.read_to_end()).unwrap();
    assert!(all.starts_with("HTTP/1.1 200 OK\r\n") && all.ends_with("\r\n\r\nhello"), "{all}");
    assert_eq!(field(&all, "connection").as_deref(), Some("close"));
    assert_eq!(field(&all, "transfer-encoding"), None);
    drop(edge);
}

#[test]
fn an_old_client_may_keep_its_connection() {
    let origin = Origin::saying("hi");
    let (_edge, mut client) = through(&origin);
    for _ in 0..2 {
        client.write("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!(client.read_answer().field("connection").as_deref(), Some("keep-alive"));
    }
}

#[test]
fn close_is_honoured() {
    let origin = Origin::saying("hi");
    let (_edge, mut client) = through(&origin);
    client.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(client.read_answer().field("connection").as_deref(), Some("close"));
    assert!(client.closed());
}

#[test]
fn the_upstream_is_told_who_asked_and_gets_no_hop_by_hop_fields() {
    let seen = Arc::new(Mutex::new(String::new()));
    let kept = seen.clone();
    let origin = Origin::start(move |mut peer| {
        while let Some(head) = peer.read_head() {
            *kept.lock().unwrap() = head;
            peer.write("HTTP/1.1 200 OK\r\nConnection: X-Private\r\nX-Private: 1\r\nKeep-Alive: timeout=5\r\nX-Kept: 2\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let (_edge, mut client) = through(&origin);
    client.write(
        "GET /p?q HTTP/1.1\r\nHost: shop.example:8080\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\n\
         TE: trailers, deflate\r\nX_Forwarded_For: 6.6.6.6\r\nAccept: */*\r\nCookie: a=b\r\n\r\n",
    );
    let answer = client.read_answer();
    assert_eq!((answer.field("x-private"), answer.field("keep-alive"), answer.field("x-kept").as_deref()), (None, None, Some("2")));
    let seen = seen.lock().unwrap().clone();
    let has = |name: &str| field(&seen, name);
    assert!(seen.starts_with("GET /p?q HTTP/1.1\r\nHost: shop.example:8080\r\n"), "{seen}");
    assert_eq!(has("x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_eq!(has("x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(has("x-forwarded-host").as_deref(), Some("shop.example:8080"));
    assert_eq!(has("forwarded").as_deref(), Some("for=127.0.0.1;host=\"shop.example:8080\";proto=http"));
    assert_eq!((has("accept").as_deref(), has("cookie").as_deref()), (Some("*/*"), Some("a=b")));
    assert_eq!((has("te").as_deref(), has("connection").as_deref()), (Some("trailers"), Some("TE")));
    for gone in ["x-mine", "keep-alive", "proxy-connection", "x_forwarded_for"] {
        assert_eq!(has(gone), None, "{gone}");
    }
    assert_eq!(has("x-request-id").map(|id| id.len()), Some(16));
}
