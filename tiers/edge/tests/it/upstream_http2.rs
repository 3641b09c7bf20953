//! HTTP/2 to upstreams: gRPC's trailers, many requests on one connection, refusals that may be repeated.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use h2::{RecvStream, server::SendResponse};
use http::{HeaderMap, Request, Response};
use pumasi_config::{UpstreamProtocol, WirePlan};
use tokio::net::TcpStream;

use crate::harness::*;

/// An upstream that speaks only HTTP/2, in the clear.
struct Http2Origin {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Http2Origin {
    /// `handle` answers each request, given the number of its connection from 1.
    fn start<F: Future<Output = ()> + 'static>(
        handle: impl Fn(Request<RecvStream>, SendResponse<Bytes>, usize) -> F + Send + Clone + 'static,
    ) -> Http2Origin {
        Http2Origin::with(h2::server::Builder::new(), handle)
    }

    fn with<F: Future<Output = ()> + 'static>(
        builder: h2::server::Builder,
        handle: impl Fn(Request<RecvStream>, SendResponse<Bytes>, usize) -> F + Send + Clone + 'static,
    ) -> Http2Origin {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).unwrap();
        let (address, connections) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let count = connections.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(tokio::task::LocalSet::new().run_until(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                while let Ok((socket, _)) = listener.accept().await {
                    let (builder, handle, number) = (builder.clone(), handle.clone(), count.fetch_add(1, Ordering::SeqCst) + 1);
                    tokio::task::spawn_local(async move {
                        let Ok(mut connection) = builder.handshake::<_, Bytes>(socket).await else { return };
                        while let Some(Ok((request, respond))) = connection.accept().await {
                            tokio::task::spawn_local(handle(request, respond, number));
                        }
                    });
                }
            }));
        });
        Http2Origin { address, connections }
    }

    fn behind(&self) -> Setup {
        let mut setup = setup(&[self.address]);
        setup.pools[0].plan.wire = WirePlan { protocol: UpstreamProtocol::Http2, tls: None };
        setup
    }
}

async fn content(mut body: RecvStream) -> (Vec<u8>, Option<HeaderMap>) {
    let mut content = Vec::new();
    while let Some(data) = body.data().await {
        let Ok(data) = data else { break };
        body.flow_control().release_capacity(data.len()).unwrap();
        content.extend_from_slice(&data);
    }
    (content, body.trailers().await.ok().flatten())
}

/// Says back what came, in the answer's trailers what came in the request's.
async fn echo(request: Request<RecvStream>, mut respond: SendResponse<Bytes>, _: usize) {
    let (parts, body) = request.into_parts();
    let (bytes, trailers) = content(body).await;
    let mut answer = Response::new(());
    let seen = format!("{} {} {:?}", parts.method, parts.uri, parts.headers.get("te"));
    answer.headers_mut().insert("seen", seen.parse().unwrap());
    let mut send = respond.send_response(answer, false).unwrap();
    send.reserve_capacity(bytes.len());
    send.send_data(bytes.into(), false).unwrap();
    let mut back = trailers.unwrap_or_default();
    back.insert("grpc-status", "0".parse().unwrap());
    send.send_trailers(back).unwrap();
}

#[test]
fn an_http_1_client_reaches_an_http_2_upstream() {
    let origin = Http2Origin::start(echo);
    let edge = origin.behind().start();
    let mut client = Peer::connect(edge.addresses()[0]);
    client.write(
        "POST /p?q HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 7\r\n\r\n",
    );
    let head = client.read_head().expect("an answer");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(field(&head, "seen").as_deref(), Some("POST http://shop.example/p?q None"));
    let body = client.read_until("\r\n\r\n");
    assert!(body.starts_with("3\r\nabc\r\n0\r\n") && body.contains("grpc-status: 0") && body.contains("x-sum: 7"), "{body}");
    client.write("HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.read_head().expect("no content").starts_with("HTTP/1.1 200 "));
    assert!(client.read_head().expect("the next one").contains("GET http://a/2"));
    assert_eq!(origin.connections.load(Ordering::SeqCst), 1);
}

#[test]
fn a_call_with_trailers_passes_from_end_to_end() {
    let origin = Http2Origin::start(echo);
    let edge = origin.behind().start();
    run(async {
        let socket = TcpStream::connect(edge.addresses()[0]).await.unwrap();
        let (mut sender, connection) = h2::client::handshake(socket).await.unwrap();
        tokio::spawn(connection);
        let request =
            Request::post("http://shop.example/pkg.Service/Call").header("te", "trailers").header("content-type", "application/grpc");
        let (answer, mut send) = sender.send_request(request.body(()).unwrap(), false).unwrap();
        send.send_data(Bytes::from_static(b"message"), false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "7".parse().unwrap());
        send.send_trailers(trailers).unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(answer.headers()["seen"], "POST http://shop.example/pkg.Service/Call Some(\"trailers\")");
        let (bytes, trailers) = content(answer.into_body()).await;
        let trailers = trailers.expect("they pass");
        assert_eq!(
            (bytes.as_slice(), trailers["x-sum"].as_bytes(), trailers["grpc-status"].as_bytes()),
            (&b"message"[..], &b"7"[..], &b"0"[..])
        );
    });
}

/// gRPC's "trailers only": one HEADERS frame ends the answer, and it must stay one.
#[test]
fn an_answer_without_content_stays_one_frame() {
    let origin = Http2Origin::start(async |_: Request<RecvStream>, mut respond: SendResponse<Bytes>, _: usize| {
        let answer = Response::builder().header("grpc-status", "12").body(()).unwrap();
        respond.send_response(answer, true).unwrap();
    });
    let edge = origin.behind().start();
    run(async {
        let socket = TcpStream::connect(edge.addresses()[0]).await.unwrap();
        let (mut sender, connection) = h2::client::handshake(socket).await.unwrap();
        tokio::spawn(connection);
        let (answer, _) = sender.send_request(Request::get("http://a/").body(()).unwrap(), true).unwrap();
        let answer = answer.await.unwrap();
        assert!(answer.body().is_end_stream());
        assert_eq!(answer.headers()["grpc-status"], "12");
    });
    // HTTP/1.1 needs a length to know that nothing follows.
    let mut client = Peer::connect(edge.addresses()[0]);
    client.write(GET);
    assert_eq!(client.read_answer().field("content-length").as_deref(), Some("0"));
}

#[test]
fn many_requests_share_few_connections_and_large_bodies_flow() {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(8).initial_window_size(40_000);
    let origin = Http2Origin::with(builder, echo_all);
    let edge = origin.behind().start();
    let sent: Vec<u8> = (0..3_000_000u32).map(|i| i as u8).collect();
    let threads: Vec<_> = (0..20)
        .map(|_| {
            let (address, sent) = (edge.addresses()[0], sent.clone());
            std::thread::spawn(move || {
                let mut client = Peer::connect(address);
                let reader = client.stream.try_clone().unwrap();
                let writer = std::thread::spawn(move || {
                    let mut peer = Peer::new(reader);
                    peer.write(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", sent.len()));
                    peer.write(&sent);
                    sent
                });
                assert_eq!(field(&client.read_head().expect("an answer"), "content-length").as_deref(), Some("3000000"));
                let back = client.read_exact(3_000_000);
                assert!(back == writer.join().unwrap());
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let connections = origin.connections.load(Ordering::SeqCst);
    assert!((2..=20).contains(&connections), "{connections} connections, 8 requests on each at most");
}

/// Sends as it receives, so that both directions must move at once.
async fn echo_all(request: Request<RecvStream>, mut respond: SendResponse<Bytes>, _: usize) {
    let length = request.headers()["content-length"].clone();
    let mut body = request.into_body();
    let mut answer = Response::new(());
    answer.headers_mut().insert("content-length", length);
    let mut send = respond.send_response(answer, false).unwrap();
    while let Some(Ok(mut data)) = body.data().await {
        let count = data.len();
        while !data.is_empty() {
            send.reserve_capacity(data.len());
            let Some(Ok(room)) = std::future::poll_fn(|context| send.poll_capacity(context)).await else { return };
            send.send_data(data.split_to(room.min(data.len())), false).unwrap();
        }
        body.flow_control().release_capacity(count).unwrap();
    }
    send.send_data(Bytes::new(), true).unwrap();
}

/// RFC 9113 §8.7: a refused stream was not processed, so even a POST may be sent again.
#[test]
fn a_refused_request_is_sent_again_on_a_new_connection() {
    let origin = Http2Origin::start(async |request: Request<RecvStream>, mut respond: SendResponse<Bytes>, number: usize| match number {
        1 => respond.send_reset(h2::Reason::REFUSED_STREAM),
        _ => echo(request, respond, number).await,
    });
    let edge = origin.behind().start();
    let mut client = Peer::connect(edge.addresses()[0]);
    client.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert!(client.read_head().expect("an answer").starts_with("HTTP/1.1 200 "));
    assert_eq!(origin.connections.load(Ordering::SeqCst), 2);
}

#[test]
fn an_upstream_that_breaks_off_is_told_as_one() {
    let origin = Http2Origin::start(async |_: Request<RecvStream>, mut respond: SendResponse<Bytes>, _: usize| {
        respond.send_reset(h2::Reason::INTERNAL_ERROR);
    });
    let edge = origin.behind().start();
    let mut client = Peer::connect(edge.addresses()[0]);
    client.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.read_answer().status, 502);
    // It does not speak HTTP/2 at all: it hangs up on the preface.
    let deaf = Origin::start(|_| {});
    let mut plain = setup(&[deaf.address]);
    plain.pools[0].plan.wire = WirePlan { protocol: UpstreamProtocol::Http2, tls: None };
    let edge = plain.start();
    let mut client = Peer::connect(edge.addresses()[0]);
    client.write(GET);
    let status = client.read_answer().status;
    assert!(matches!(status, 502 | 503), "{status}");
}

/// A WebSocket of such a pool goes over HTTP/1.1.
#[test]
fn an_upgrade_goes_over_http_1() {
    let origin = Origin::start(|mut peer| {
        let head = peer.read_head().expect("a request");
        assert!(head.starts_with("GET /ws HTTP/1.1\r\n") && field(&head, "upgrade").as_deref() == Some("websocket"), "{head}");
        peer.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        let said = peer.read_exact(5);
        peer.write(said);
    });
    let mut setup = setup(&[origin.address]);
    setup.pools[0].plan.wire = WirePlan { protocol: UpstreamProtocol::Http2, tls: None };
    let edge = setup.start();
    let mut client = Peer::connect(edge.addresses()[0]);
    client.write("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello");
    assert!(client.read_head().expect("switched").starts_with("HTTP/1.1 101 "));
    assert_eq!(client.read_exact(5), b"hello");
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, test).await.expect("in time") })
}
