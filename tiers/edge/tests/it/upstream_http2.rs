//! HTTP/2 to upstreams: gRPC's trailers, many requests on one connection, refusals that may be repeated.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use h2::{RecvStream, server::SendResponse};
use http::{HeaderMap, Request, Response};
use pumasi_config::{UpstreamProtocol, WirePlan};
use tokio::net::TcpStream;

use crate::{harness::*, probes};

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
            let (address, sent, sent_bytes) = (edge.addresses()[0], sent.clone(), sent.len());
            std::thread::spawn(move || {
                let mut client = Peer::connect(address);
                let reader = client.stream.try_clone().unwrap();
                let writer = std::thread::spawn(move || {
                    let mut peer = Peer::new(reader);
                    peer.write(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", sent.len()));
                    peer.write(&sent);
                    sent
                });
                let head = client.read_head().expect("an answer");
                let length: usize = field(&head, "content-length").expect("a length").parse().unwrap();
                assert!(length == sent_bytes, "{head}{}", String::from_utf8_lossy(&client.read_exact(length)));
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

/// A client's handshake over HTTP/1.1, with the key of RFC 6455 §1.3, and what it says first.
const SOCKET: &str = "GET /ws?room=1 HTTP/1.1\r\nHost: chat.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                      Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: chat\r\n\r\nhello";

/// An upstream that takes WebSockets on streams, and says back what comes on them, after what was asked.
fn takes_sockets() -> Http2Origin {
    let mut builder = h2::server::Builder::new();
    builder.enable_connect_protocol();
    Http2Origin::with(builder, async |request: Request<RecvStream>, mut respond: SendResponse<Bytes>, _: usize| {
        let protocol = request.extensions().get::<h2::ext::Protocol>().map(|protocol| protocol.as_str().to_owned());
        let (parts, mut body) = request.into_parts();
        if parts.uri.path() == "/closed" {
            let answer = Response::builder().status(403).body(()).unwrap();
            let mut send = respond.send_response(answer, false).unwrap();
            return send.send_data(Bytes::from_static(b"not you"), true).unwrap();
        }
        let seen = format!("{} {} {protocol:?} {:?}", parts.method, parts.uri, parts.headers.get("sec-websocket-key"));
        let answer = Response::builder().header("sec-websocket-protocol", "chat").header("seen", seen).body(()).unwrap();
        let mut send = respond.send_response(answer, false).unwrap();
        while let Some(Ok(data)) = body.data().await {
            body.flow_control().release_capacity(data.len()).unwrap();
            send.send_data(data, false).unwrap();
        }
        send.send_data(Bytes::from_static(b"goodbye"), true).unwrap();
    })
}

/// RFC 8441 §5: an extended CONNECT, whose 200 is told as the 101 with the proof that the client waits for.
#[test]
fn a_websocket_of_http_1_becomes_a_stream() {
    let origin = takes_sockets();
    let edge = origin.behind().start();
    let mut client = Peer::connect(edge.addresses()[0]);
    client.write(SOCKET);
    let head = client.read_head().expect("switched");
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    assert_eq!(field(&head, "seen").as_deref(), Some("CONNECT http://chat.example/ws?room=1 Some(\"websocket\") None"));
    for (name, value) in [
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-protocol", "chat"),
        ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    ] {
        assert_eq!(field(&head, name).as_deref(), Some(value), "{head}");
    }
    assert_eq!(client.read_exact(5), b"hello");
    let large = vec![b'x'; 3 << 20]; // many windows of either side
    let mut sending = client.stream.try_clone().unwrap();
    std::thread::spawn({
        let large = large.clone();
        move || {
            std::io::Write::write_all(&mut sending, &large).unwrap();
            sending.shutdown(std::net::Shutdown::Write).unwrap();
        }
    });
    assert!(client.read_exact(large.len()) == large, "what comes back is what was sent");
    assert_eq!(client.read_to_end(), b"goodbye", "the client's end is told to the upstream, and the upstream's to the client");
    // Others share the connection.
    let mut other = Peer::connect(edge.addresses()[0]);
    other.write(SOCKET);
    assert!(other.read_head().expect("switched").contains("101 Switching Protocols"));
    assert_eq!(origin.connections.load(Ordering::SeqCst), 1);
}

#[test]
fn a_websocket_of_http_2_stays_a_stream() {
    let origin = takes_sockets();
    let edge = origin.behind().start();
    run(async {
        let socket = TcpStream::connect(edge.addresses()[0]).await.unwrap();
        let (sender, connection) = h2::client::handshake(socket).await.unwrap();
        tokio::spawn(connection);
        let mut sender = sender.ready().await.unwrap();
        let mut request = Request::builder().method("CONNECT").uri("http://a/ws").header("sec-websocket-version", "13").body(()).unwrap();
        request.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
        let (answer, mut send) = sender.send_request(request, false).unwrap();
        let answer = answer.await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.headers()["sec-websocket-protocol"].as_bytes()), (200, &b"chat"[..]));
        send.send_data(Bytes::from_static(b"hi"), true).unwrap();
        assert_eq!(content(answer.into_body()).await.0, b"higoodbye");
    });
}

#[test]
fn a_websocket_that_is_refused_gets_the_answer() {
    let origin = takes_sockets();
    let edge = origin.behind().start();
    let mut client = Peer::connect(edge.addresses()[0]);
    client.write(SOCKET.replace("/ws?room=1", "/closed").trim_end_matches("hello"));
    let head = client.read_head().expect("an answer");
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
    assert!(client.read_until("0\r\n\r\n").contains("not you"));
    client.write(SOCKET);
    assert!(client.read_head().expect("the next one").contains("101 Switching Protocols"));
}

/// An upstream that offers no WebSockets on streams gets them over HTTP/1.1, and so does one that speaks no HTTP/2 at all.
#[test]
fn an_upgrade_goes_over_http_1_where_the_upstream_has_no_streams_for_it() {
    let first = |peer: &mut Peer| peer.read_head().filter(|head| !head.starts_with("PRI "));
    let origin = Origin::start(move |mut peer| {
        let Some(head) = first(&mut peer) else { return };
        assert!(head.starts_with("GET /ws?room=1 HTTP/1.1\r\n") && field(&head, "upgrade").as_deref() == Some("websocket"), "{head}");
        assert_eq!(field(&head, "sec-websocket-key").as_deref(), Some("dGhlIHNhbXBsZSBub25jZQ=="));
        peer.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        let said = peer.read_exact(5);
        peer.write(said);
    });
    let mut setup = setup(&[origin.address]);
    setup.pools[0].plan.wire = WirePlan { protocol: UpstreamProtocol::Http2, tls: None };
    let edge = setup.start();
    let mut client = Peer::connect(edge.addresses()[0]);
    client.write(SOCKET);
    assert!(client.read_head().expect("switched").starts_with("HTTP/1.1 101 "));
    assert_eq!(client.read_exact(5), b"hello");
}

/// Probed in HTTP/2 as it is asked: by its status, and by what is in its content.
#[test]
fn a_probe_speaks_what_the_pool_speaks() {
    let well = Arc::new(AtomicBool::new(true));
    let is_well = well.clone();
    let origin = Http2Origin::start(move |request: Request<RecvStream>, mut respond: SendResponse<Bytes>, _: usize| {
        assert_eq!((request.method().as_str(), request.uri().path()), ("GET", "/well"));
        let content = if is_well.load(Ordering::SeqCst) { "all well" } else { "half well" };
        async move {
            let mut send = respond.send_response(Response::new(()), false).unwrap();
            send.send_data(Bytes::from_static(b"{\"state\": \""), false).unwrap();
            send.send_data(Bytes::from_static(content.as_bytes()), true).unwrap();
        }
    });
    let (_edge, health) = probes::watched(origin.address, |setup| {
        setup.pools[0].plan.wire = WirePlan { protocol: UpstreamProtocol::Http2, tls: None };
        setup.pools[0].plan.probe = probes::often(probes::get(Some("all well")));
    });
    wait_until("it was asked", || origin.connections.load(Ordering::SeqCst) > 2);
    assert_eq!(health(), "up");
    well.store(false, Ordering::SeqCst);
    wait_until("it is out", || health() != "up");
    well.store(true, Ordering::SeqCst);
    wait_until("it is back", || health() == "up");
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, test).await.expect("in time") })
}
