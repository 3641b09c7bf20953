//! HTTP/2 clients, inside TLS and in the clear.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use h2::client::SendRequest;
use http::{HeaderMap, Request, Response};
use tokio::net::TcpStream;

use crate::{harness::*, tls::*};

type Sender = SendRequest<bytes::Bytes>;

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, test).await.expect("in time") })
}

/// An HTTP/2 connection in the clear, by prior knowledge.
async fn connect(edge: &pumasi_edge::Edge) -> Sender {
    let socket = TcpStream::connect(edge.addresses()[0]).await.unwrap();
    let (sender, connection) = h2::client::handshake(socket).await.unwrap();
    tokio::spawn(connection);
    sender.ready().await.unwrap()
}

async fn get(sender: &mut Sender, uri: &str) -> (Response<()>, String, Option<HeaderMap>) {
    let (answer, _) = sender.send_request(Request::get(uri).body(()).unwrap(), true).unwrap();
    read(answer.await.unwrap()).await
}

async fn read(answer: Response<h2::RecvStream>) -> (Response<()>, String, Option<HeaderMap>) {
    let (parts, mut body) = answer.into_parts();
    let mut content = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        content.extend_from_slice(&data);
    }
    let trailers = body.trailers().await.unwrap();
    (Response::from_parts(parts, ()), String::from_utf8(content).unwrap(), trailers)
}

#[test]
fn http2_is_agreed_on_inside_tls() {
    let directory = tempfile::tempdir().unwrap();
    let own = certificate(directory.path(), "a", &["a.example"]);
    let origin = Origin::saying("hello");
    let edge = tls_setup(&origin, &[&own]).start();
    run(async {
        let socket = TcpStream::connect(edge.addresses()[1]).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(trusting(&[&own], None, &["h2", "http/1.1"]));
        let stream = connector.connect("a.example".try_into().unwrap(), socket).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let (answer, content, _) = get(&mut sender, "https://a.example/").await;
        assert_eq!((answer.status().as_u16(), content.as_str()), (200, "hello"));
        assert!(answer.headers().contains_key("date"));
    });
}

#[test]
fn a_request_reaches_the_upstream_as_http_1_would() {
    let origin = Origin::start(|mut peer| {
        while let Some(head) = peer.read_head() {
            assert!(head.starts_with("GET /p?q HTTP/1.1\r\nHost: shop.example\r\n"), "{head}");
            assert_eq!((field(&head, "cookie").as_deref(), field(&head, "te").as_deref()), (Some("a=1; b=2"), Some("trailers")));
            assert_eq!(field(&head, "forwarded").as_deref(), Some("for=127.0.0.1;host=\"shop.example\";proto=http"));
            peer.write("HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nX-End: 2\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let edge = setup(&[origin.address]).start();
    run(async {
        let mut sender = connect(&edge).await;
        let request = Request::get("http://shop.example/p?q").header("cookie", "a=1").header("cookie", "b=2").header("te", "trailers");
        let (answer, _) = sender.send_request(request.body(()).unwrap(), true).unwrap();
        let (answer, content, _) = read(answer.await.unwrap()).await;
        assert_eq!((content.as_str(), answer.headers().get("x-hop"), answer.headers()["x-end"].as_bytes()), ("ok", None, &b"2"[..]));
        assert_eq!(answer.headers()["content-length"], "2");
    });
}

#[test]
fn many_streams_run_at_once_on_one_connection() {
    let origin = Origin::saying("hello");
    let edge = setup(&[origin.address]).start();
    run(async {
        let mut sender = connect(&edge).await;
        get(&mut sender, "http://a/").await; // by now the edge's limit on streams is known
        let requests: Vec<_> = (0..300)
            .map(|_| {
                let sender = sender.clone();
                tokio::spawn(async move { get(&mut sender.ready().await.unwrap(), "http://a/").await.1 })
            })
            .collect();
        for request in requests {
            assert_eq!(request.await.unwrap(), "hello");
        }
        assert_eq!(edge.connections(), 1);
    });
    assert_eq!(edge.status().status_2xx, 301);
}

#[test]
fn content_and_trailers_pass_both_ways() {
    let origin = Origin::start(|mut peer| {
        while let Some(head) = peer.read_head() {
            assert_eq!(field(&head, "transfer-encoding").as_deref(), Some("chunked"));
            let content = peer.read_until("0\r\nx-sum: 9\r\n\r\n");
            assert!(content.starts_with("5\r\nhello\r\n"), "{content}");
            peer.write("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\ngrpc-status: 0\r\n\r\n");
        }
    });
    let edge = setup(&[origin.address]).start();
    run(async {
        let mut sender = connect(&edge).await;
        for _ in 0..2 {
            let (answer, mut body) = sender.send_request(Request::post("http://a/").body(()).unwrap(), false).unwrap();
            body.send_data("hello".into(), false).unwrap();
            body.send_trailers(HeaderMap::from_iter([("x-sum".parse().unwrap(), "9".parse().unwrap())])).unwrap();
            let (_, content, trailers) = read(answer.await.unwrap()).await;
            assert_eq!((content.as_str(), trailers.unwrap()["grpc-status"].as_bytes()), ("abc", &b"0"[..]));
        }
    });
}

#[test]
fn a_large_answer_waits_for_the_clients_window() {
    const SIZE: usize = 8 << 20;
    let origin = Origin::start(|mut peer| {
        while peer.read_head().is_some() {
            peer.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n"));
            peer.write(vec![b'x'; SIZE]);
        }
    });
    let edge = setup(&[origin.address]).start();
    run(async {
        let socket = TcpStream::connect(edge.addresses()[0]).await.unwrap();
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(64 << 10).initial_connection_window_size(1 << 20); // so that one full stream leaves room for others
        let (mut sender, connection) = builder.handshake::<_, bytes::Bytes>(socket).await.unwrap();
        tokio::spawn(connection);
        let (stuck, _) = sender.send_request(Request::get("http://a/").body(()).unwrap(), true).unwrap();
        let stuck = stuck.await.unwrap(); // its window stays full: others must go on
        let (_, content, _) = get(&mut sender, "http://a/").await;
        assert_eq!(content.len(), SIZE);
        let (_, content, _) = read(stuck).await;
        assert_eq!(content.len(), SIZE);
    });
}

#[test]
fn a_large_upload_passes() {
    const SIZE: usize = 8 << 20;
    let origin = Origin::start(|mut peer| {
        while let Some(head) = peer.read_head() {
            let length = field(&head, "content-length").unwrap().parse().unwrap();
            peer.read_exact(length);
            peer.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let edge = setup(&[origin.address]).start();
    run(async {
        let mut sender = connect(&edge).await;
        let request = Request::put("http://a/").header("content-length", SIZE).body(()).unwrap();
        let (answer, mut body) = sender.send_request(request, false).unwrap();
        body.send_data(vec![b'x'; SIZE].into(), true).unwrap();
        assert_eq!(read(answer.await.unwrap()).await.1, "ok");
    });
}

#[test]
fn a_stream_called_off_lets_its_upstream_go() {
    let origin = Origin::start(|mut peer| {
        peer.read_head();
        peer.read_to_end(); // never answers
    });
    let setup = setup(&[origin.address]);
    let pool = setup.pools[0].pool.clone();
    let edge = setup.start();
    run(async {
        let mut sender = connect(&edge).await;
        let (answer, mut body) = sender.send_request(Request::get("http://a/").body(()).unwrap(), true).unwrap();
        while pool.in_flight() == 0 {
            tokio::task::yield_now().await;
        }
        body.send_reset(h2::Reason::CANCEL);
        drop(answer);
        while pool.in_flight() > 0 {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn opening_and_cancelling_without_end_ends_the_connection() {
    let reached = Arc::new(AtomicUsize::new(0));
    let count = reached.clone();
    let origin = Origin::start(move |mut peer| {
        if peer.read_head().is_some() {
            count.fetch_add(1, Ordering::SeqCst);
            peer.read_to_end();
        }
    });
    let edge = setup(&[origin.address]).start();
    let ended = run(async {
        let socket = TcpStream::connect(edge.addresses()[0]).await.unwrap();
        let (sender, connection) = h2::client::handshake::<_>(socket).await.unwrap();
        let ended = tokio::spawn(connection);
        let mut sender: Sender = sender;
        for _ in 0..20_000 {
            let Ok(ready) = sender.ready().await else { break };
            sender = ready;
            let Ok((_, mut body)) = sender.send_request(Request::get("http://a/").body(()).unwrap(), true) else { break };
            body.send_reset(h2::Reason::CANCEL);
        }
        ended.await.unwrap()
    });
    assert!(ended.is_err(), "the edge ends it"); // with GOAWAY, or a reset socket when the client was still sending
    assert!(reached.load(Ordering::SeqCst) < 2_000, "{} requests reached the origin", reached.load(Ordering::SeqCst));
    let mut other = Peer::connect(edge.addresses()[0]);
    other.write("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(other.read_answer().status, 400, "others are served");
}

#[test]
fn a_broken_answer_resets_its_stream_and_no_other() {
    let origin = Origin::start(|mut peer| {
        while let Some(head) = peer.read_head() {
            match head.starts_with("GET /broken") {
                true => return peer.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"),
                false => peer.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
            }
        }
    });
    let edge = setup(&[origin.address]).start();
    run(async {
        let mut sender = connect(&edge).await;
        let (answer, _) = sender.send_request(Request::get("http://a/broken").body(()).unwrap(), true).unwrap();
        let outcome = match answer.await {
            Err(error) => error.reason(), // the reset overtook the head
            Ok(answer) => {
                let mut body = answer.into_body();
                loop {
                    match body.data().await {
                        Some(Ok(_)) => {}
                        Some(Err(error)) => break error.reason(),
                        None => break None,
                    }
                }
            }
        };
        assert_eq!(outcome, Some(h2::Reason::INTERNAL_ERROR));
        assert_eq!(get(&mut sender, "http://a/").await.1, "ok");
    });
}

#[test]
fn trouble_is_told_and_a_drain_says_goaway() {
    let origin = Origin::saying("hello");
    let edge = setup(&[origin.address]).start();
    origin.die();
    run(async {
        let socket = TcpStream::connect(edge.addresses()[0]).await.unwrap();
        let (mut sender, connection) = h2::client::handshake(socket).await.unwrap();
        let ended = tokio::spawn(connection);
        let (answer, content, _) = get(&mut sender, "http://a/").await;
        assert_eq!(answer.status(), 503);
        assert!(content.contains("does not accept connections"), "{content}");
        let draining = std::thread::spawn(move || edge.drain(PATIENCE));
        ended.await.unwrap().unwrap();
        assert_eq!(draining.join().unwrap(), 0);
    });
}

#[test]
fn an_idle_connection_is_told_to_go() {
    let origin = Origin::saying("hello");
    let mut setup = setup(&[origin.address]);
    setup.plan.limits.idle_timeout = Duration::from_millis(200);
    let edge = setup.start();
    run(async {
        let socket = TcpStream::connect(edge.addresses()[0]).await.unwrap();
        let (mut sender, connection) = h2::client::handshake(socket).await.unwrap();
        let ended = tokio::spawn(connection);
        assert_eq!(get(&mut sender, "http://a/").await.1, "hello");
        ended.await.unwrap().unwrap();
    });
    wait_until("it is gone", || edge.connections() == 0);
}

#[test]
fn a_websocket_runs_on_a_stream() {
    let origin = Origin::start(|mut peer| {
        let head = peer.read_head().unwrap();
        assert!(head.starts_with("GET /ws HTTP/1.1\r\nHost: a\r\n"), "{head}");
        assert_eq!((field(&head, "upgrade").as_deref(), field(&head, "connection").as_deref()), (Some("websocket"), Some("Upgrade")));
        assert!(field(&head, "sec-websocket-key").is_some_and(|key| key.len() == 24));
        peer.write(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: chat\r\n\r\nhi",
        );
        let bytes = peer.read_exact(4);
        peer.write(bytes);
        peer.read_to_end();
    });
    let edge = setup(&[origin.address]).start();
    run(async {
        let mut sender = connect(&edge).await;
        extended_connect_allowed(&mut sender).await;
        let mut request = Request::builder().method("CONNECT").uri("http://a/ws").header("sec-websocket-version", "13").body(()).unwrap();
        request.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
        let (answer, mut up) = sender.send_request(request, false).unwrap();
        let answer = answer.await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.headers()["sec-websocket-protocol"].as_bytes()), (200, &b"chat"[..]));
        let mut down = answer.into_body();
        up.send_data("ping".into(), false).unwrap();
        let mut seen = Vec::new();
        while seen.len() < 6 {
            seen.extend_from_slice(&down.data().await.unwrap().unwrap());
        }
        assert_eq!(seen, b"hiping");
        up.send_data("".into(), true).unwrap();
        while let Some(data) = down.data().await {
            assert!(data.unwrap().is_empty(), "the end goes through as well");
        }
    });
}

/// The client may ask for it only once it has seen the edge's settings.
async fn extended_connect_allowed(sender: &mut Sender) {
    while !sender.is_extended_connect_protocol_enabled() {
        tokio::task::yield_now().await;
    }
}

#[test]
fn an_early_answer_is_not_lost_behind_its_unfinished_request() {
    let origin = Origin::start(|mut peer| {
        while peer.read_head().is_some() {
            peer.write("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig");
        }
    });
    let edge = setup(&[origin.address]).start();
    run(async {
        let mut sender = connect(&edge).await;
        for _ in 0..20 {
            let request = Request::put("http://a/").header("content-length", 50_000_000).body(()).unwrap();
            let (answer, _body) = sender.send_request(request, false).unwrap();
            let answer = answer.await.unwrap();
            assert_eq!(answer.status(), 413);
            assert_eq!(answer.into_body().data().await.unwrap().unwrap(), "big");
        }
    });
}
