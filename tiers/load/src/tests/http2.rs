//! Loads over HTTP/2, against a server made of h2's own half.

use super::{certificate, run, seconds};
use crate::{
    plan::{Plan, Target, Trust},
    report::{Report, terminal::Style},
    scenario::{self, Overrides},
    validate,
};
use bytes::Bytes;
use h2::server::{self, SendResponse};
use pumasi_config::Source;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::oneshot,
};

/// What the server was asked, as it counts it.
#[derive(Default)]
struct Seen {
    connections: AtomicU64,
    requests: AtomicU64,
    at_once: AtomicUsize,
    at_once_most: AtomicUsize,
}

#[derive(Clone)]
struct Behaviour {
    /// Of one connection (SETTINGS_MAX_CONCURRENT_STREAMS).
    streams_max: u32,
    /// The server sends GOAWAY when it has taken so many requests of a connection.
    leaves_after: u64,
    /// Answers `/never` never, everything else at once.
    body: Bytes,
}

struct Server {
    address: SocketAddr,
    seen: Arc<Seen>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Behaviour {
    fn plain() -> Behaviour {
        Behaviour { streams_max: 100, leaves_after: u64::MAX, body: Bytes::from_static(b"{\"id\": 42}") }
    }
}

impl Server {
    fn start(behaviour: Behaviour, tls: Option<rustls::ServerConfig>) -> Server {
        let seen: Arc<Seen> = Arc::default();
        let (stop, stopped) = oneshot::channel();
        let (told, address) = std::sync::mpsc::channel();
        let counting = Arc::clone(&seen);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                told.send(listener.local_addr().unwrap()).unwrap();
                let acceptor = tls.map(|tls| tokio_rustls::TlsAcceptor::from(Arc::new(tls)));
                let accept = async {
                    loop {
                        let (socket, _) = listener.accept().await.unwrap();
                        let (behaviour, seen, acceptor) = (behaviour.clone(), Arc::clone(&counting), acceptor.clone());
                        seen.connections.fetch_add(1, Ordering::Relaxed);
                        tokio::spawn(async move {
                            match acceptor {
                                None => serve(socket, behaviour, seen).await,
                                Some(acceptor) => {
                                    if let Ok(session) = acceptor.accept(socket).await {
                                        serve(session, behaviour, seen).await;
                                    }
                                }
                            }
                        });
                    }
                };
                tokio::select! { () = accept => {}, _ = stopped => {} }
            });
        });
        Server { address: address.recv().unwrap(), seen, stop: Some(stop), thread: Some(thread) }
    }

    fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    fn requests(&self) -> u64 {
        self.seen.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().unwrap().join();
    }
}

async fn serve(io: impl AsyncRead + AsyncWrite + Unpin, behaviour: Behaviour, seen: Arc<Seen>) {
    let handshake = server::Builder::new().max_concurrent_streams(behaviour.streams_max).handshake::<_, Bytes>(io);
    let Ok(mut connection) = handshake.await else { return };
    let mut taken = 0;
    while let Some(Ok((request, respond))) = connection.accept().await {
        taken += 1;
        seen.requests.fetch_add(1, Ordering::Relaxed);
        let now = seen.at_once.fetch_add(1, Ordering::Relaxed) + 1;
        seen.at_once_most.fetch_max(now, Ordering::Relaxed);
        let (body, seen) = (behaviour.body.clone(), Arc::clone(&seen));
        tokio::spawn(async move {
            answer(request, respond, body).await;
            seen.at_once.fetch_sub(1, Ordering::Relaxed);
        });
        if taken == behaviour.leaves_after {
            connection.graceful_shutdown();
        }
    }
}

async fn answer(request: http::Request<h2::RecvStream>, mut respond: SendResponse<Bytes>, body: Bytes) {
    let (head, mut content) = request.into_parts();
    let mut received = 0;
    while let Some(Ok(data)) = content.data().await {
        received += data.len();
        let _ = content.flow_control().release_capacity(data.len());
    }
    if head.uri.path() == "/never" {
        let _ = std::future::poll_fn(|context| respond.poll_reset(context)).await;
        return;
    }
    let cookie = head.headers.get("cookie").map_or("", |value| value.to_str().unwrap());
    let answer = http::Response::builder()
        .status(if head.method == http::Method::POST { 303 } else { 200 })
        .header("x-cookie", cookie)
        .header("x-received", received)
        .header("set-cookie", "sid=s3cret; Path=/")
        .body(())
        .unwrap();
    if let Ok(mut out) = respond.send_response(answer, false) {
        let _ = out.send_data(body, true);
    }
}

fn plan(server: &Server, flags: Overrides) -> Plan {
    scenario::from_url(&server.url(), "GET", None, &Overrides { http2: true, warmup: Some(Duration::ZERO), ..flags }).unwrap()
}

fn load(server: &Server, flags: Overrides) -> Report {
    run(&plan(server, flags))
}

#[test]
fn many_requests_share_one_connection() {
    let server = Server::start(Behaviour::plain(), None);
    let report = load(&server, Overrides { rate: Some(500.0), lasts: seconds(2.0), threads: Some(1), ..Overrides::default() });
    assert_eq!((report.successful, report.errors, report.status.get(&200)), (1000, 0, Some(&1000)), "{:?}", report.error_examples);
    assert_eq!(server.requests(), 1000);
    assert_eq!(server.seen.connections.load(Ordering::Relaxed), report.connects);
    assert!(report.connects <= 5, "{} connections", report.connects);
    assert!(report.response.p50 > 0.0 && report.service.max >= report.service.p50);
}

#[test]
fn a_vuser_has_a_connection_of_its_own_unless_streams_are_asked_for() {
    let server = Server::start(Behaviour::plain(), None);
    let flags = Overrides { vusers: Some(6.0), lasts: seconds(1.0), threads: Some(1), ..Overrides::default() };
    let own = load(&server, flags.clone());
    let shared = load(&server, Overrides { streams_max: Some(10), ..flags });
    assert_eq!((own.errors, own.connects, shared.errors, shared.connects), (0, 6, 0, 1), "{:?}", shared.error_examples);
    assert!(own.successful > 50 && shared.successful > 50);
}

#[test]
fn no_more_at_once_than_the_server_allows() {
    let server = Server::start(Behaviour { streams_max: 3, ..Behaviour::plain() }, None);
    let flags = Overrides {
        vusers: Some(20.0),
        connections_max: Some(1),
        streams_max: Some(50),
        lasts: seconds(1.0),
        threads: Some(1),
        ..Overrides::default()
    };
    let report = load(&server, flags);
    assert_eq!((report.errors, report.connects), (0, 1), "{:?}", report.error_examples);
    assert!(report.successful > 100);
    let most = server.seen.at_once_most.load(Ordering::Relaxed);
    // Before the server's settings have arrived, what was sent already stands: the server refuses the rest, and it is sent again.
    assert!(most <= 3 + 1, "{most} at once");
}

/// A server ends its connections with GOAWAY after ten requests. What it has not looked at is sent again, and nothing is lost.
#[test]
fn a_server_that_says_goodbye_costs_no_error() {
    let server = Server::start(Behaviour { leaves_after: 10, ..Behaviour::plain() }, None);
    let report = load(&server, Overrides { rate: Some(300.0), lasts: seconds(1.0), threads: Some(1), ..Overrides::default() });
    assert_eq!((report.successful, report.errors), (300, 0), "{:?}", report.error_examples);
    assert!(report.connects >= 10, "{} connections", report.connects);
}

#[test]
fn large_answers_flow_and_what_is_never_answered_times_out_alone() {
    let server = Server::start(Behaviour { body: Bytes::from(vec![b'x'; 3_000_000]), ..Behaviour::plain() }, None);
    let text = "[[scenario]]\nsteps = [{ get = \"/\", check = { body_min = 3000000 } }]\n[[scenario]]\nsteps = [{ get = \"/never\" }]";
    let target = Some(Target::resolve(&server.url(), &Trust::System).unwrap());
    let overrides = Overrides {
        target,
        http2: true,
        rate: Some(20.0),
        lasts: seconds(1.0),
        warmup: Some(Duration::ZERO),
        timeout: seconds(4.0),
        threads: Some(1),
        ..Overrides::default()
    };
    let source = Source { name: "s.toml".into(), text: text.into(), directory: ".".into() };
    let report = run(&scenario::compile(&source, &overrides).unwrap_or_else(|problems| panic!("{problems}")));
    let timeouts = report.errors_by_kind.get("timeout").copied().unwrap_or(0);
    assert_eq!((report.steps[0].errors, report.steps[1].errors, report.executed), (0, timeouts, 20), "{:?}", report.error_examples);
    assert!(timeouts > 0 && report.steps[0].successful > 0);
    assert!(report.bytes_in > report.steps[0].successful * 3_000_000, "{} bytes", report.bytes_in);
}

const JOURNEY: &str = r#"
[[scenario]]
name = "buy"
steps = [
  { get = "/login", extract = { id = { json = "/id" } }, check = { header = { x-cookie = "" } } },
  { post = "/buy/${id}", form = { item = "${id}" }, check = { status = 303, header = { x-cookie = "sid=s3cret", x-received = "7" } } },
]
"#;

#[test]
fn a_journey_over_tls_extracts_checks_and_keeps_its_cookies() {
    let directory = tempfile::tempdir().unwrap();
    let (mut tls, ca) = certificate(directory.path());
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let server = Server::start(Behaviour::plain(), Some(tls));
    let url = format!("https://localhost:{}", server.address.port());
    let source = Source { name: "s.toml".into(), text: JOURNEY.into(), directory: ".".into() };
    let target = Some(Target::resolve(&url, &Trust::File(ca)).unwrap());
    let overrides =
        Overrides { target, http2: true, rate: Some(20.0), lasts: seconds(1.0), warmup: Some(Duration::ZERO), ..Overrides::default() };
    let plan = scenario::compile(&source, &overrides).unwrap_or_else(|problems| panic!("{problems}"));
    let report = run(&plan);
    assert_eq!((report.executed, report.errors, report.journeys), (40, 0, 20), "{:?}", report.error_examples);

    let mut shown = Vec::new();
    assert!(validate::validate(&plan, &mut shown, Style { colour: false }).unwrap());
    let shown = String::from_utf8(shown).unwrap();
    for part in ["POST /buy/42 ", "< HTTP/2 303", "id = 42", "x-received: 7"] {
        assert!(shown.contains(part), "no {part:?} in\n{shown}");
    }
}

#[test]
fn a_server_without_http2_is_told_so() {
    let directory = tempfile::tempdir().unwrap();
    let (mut tls, _) = certificate(directory.path());
    tls.alpn_protocols = Vec::new();
    let server = Server::start(Behaviour::plain(), Some(tls));
    let overrides = Overrides {
        http2: true,
        trust: Trust::Anybody,
        rate: Some(50.0),
        lasts: seconds(0.5),
        warmup: Some(Duration::ZERO),
        ..Overrides::default()
    };
    let report = run(&scenario::from_url(&format!("https://localhost:{}/", server.address.port()), "GET", None, &overrides).unwrap());
    assert_eq!((report.successful, report.errors_by_kind.get("protocol").copied()), (0, Some(25)), "{:?}", report.error_examples);
    assert!(report.error_examples["protocol"].contains("no h2 by ALPN"), "{:?}", report.error_examples);
}
