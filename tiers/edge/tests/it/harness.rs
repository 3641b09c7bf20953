//! An origin that does what a test says, a client that speaks in bytes, and an edge between them.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use pumasi_balance::Pool;
use pumasi_config::{
    AccessLog, BalancePolicy, CompressCoding, EdgeLimits, EdgePlan, EvictionPolicy, HashBy, Members, PagesMode, PagesPlan, PoolPlan,
    RoutePlan, UpstreamPlan, WirePlan,
};
use pumasi_edge::{Edge, EdgeConfig, PoolConfig};

/// Longer than anything here takes; a test that waits for it has failed.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A server whose every connection is handled by the test's function, each on a thread of its own.
pub struct Origin {
    pub address: SocketAddr,
    pub connections: Arc<AtomicUsize>,
    open: Arc<Mutex<Vec<TcpStream>>>,
    stopped: Arc<AtomicBool>,
}

impl Origin {
    pub fn start(handle: impl Fn(Peer) + Send + Sync + 'static) -> Origin {
        Origin::on("127.0.0.1:0".parse().unwrap(), handle)
    }

    pub fn on(address: SocketAddr, handle: impl Fn(Peer) + Send + Sync + 'static) -> Origin {
        let listener = TcpListener::bind(address).expect("a port for the origin");
        let address = listener.local_addr().unwrap();
        let (connections, open, stopped) =
            (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (count, kept, stop, handle) = (connections.clone(), open.clone(), stopped.clone(), Arc::new(handle));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                count.fetch_add(1, Ordering::SeqCst);
                kept.lock().unwrap().push(stream.try_clone().unwrap());
                let handle = handle.clone();
                std::thread::spawn(move || {
                    let closing = stream.try_clone().unwrap();
                    handle(Peer::new(stream));
                    let _ = closing.shutdown(std::net::Shutdown::Both); // the clone in `open` would keep it open
                });
            }
        });
        Origin { address, connections, open, stopped }
    }

    /// Answers every request with `200` and this content, keeping connections.
    pub fn saying(content: &'static str) -> Origin {
        Origin::start(move |mut peer| {
            while peer.read_head().is_some() {
                peer.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{content}", content.len()));
            }
        })
    }

    /// Closes the listening socket and every open connection, as a crash would.
    pub fn die(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address); // wakes the accepting thread, which then drops its listener
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
        wait_until("the origin's port is closed", || TcpStream::connect(self.address).is_err());
    }

    /// Closes the open connections only.
    pub fn hang_up(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

/// One end of a connection, with what was read ahead.
pub struct Peer {
    pub stream: TcpStream,
    ahead: Vec<u8>,
}

impl Peer {
    pub fn new(stream: TcpStream) -> Peer {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Peer { stream, ahead: Vec::new() }
    }

    pub fn connect(address: SocketAddr) -> Peer {
        Peer::new(TcpStream::connect(address).expect("the edge listens"))
    }

    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// Up to and including the empty line; `None` when the connection ends before.
    pub fn read_head(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.ahead.windows(4).position(|w| w == b"\r\n\r\n") {
                let head = self.ahead.drain(..at + 4).collect::<Vec<u8>>();
                return Some(String::from_utf8_lossy(&head).into_owned());
            }
            if self.fill() == 0 {
                return None;
            }
        }
    }

    pub fn read_exact(&mut self, count: usize) -> Vec<u8> {
        while self.ahead.len() < count {
            assert!(self.fill() > 0, "the connection ended after {} of {count} bytes", self.ahead.len());
        }
        self.ahead.drain(..count).collect()
    }

    /// Drops what was read ahead: how many bytes of content it was.
    pub fn take_ahead(&mut self) -> usize {
        std::mem::take(&mut self.ahead).len()
    }

    /// Everything until the other side closes.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        while self.fill() > 0 {}
        std::mem::take(&mut self.ahead)
    }

    /// Content of a chunked message with its framing, up to the last chunk and an empty trailer section's end.
    pub fn read_until(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = self.ahead.windows(end.len()).position(|w| w == end.as_bytes()) {
                let bytes = self.ahead.drain(..at + end.len()).collect::<Vec<u8>>();
                return String::from_utf8_lossy(&bytes).into_owned();
            }
            assert!(self.fill() > 0, "the connection ended before {end:?}: {}", self.ahead.escape_ascii());
        }
    }

    /// A head and as much content as its Content-Length says.
    pub fn read_answer(&mut self) -> Answer {
        let head = self.read_head().expect("an answer");
        let length = field(&head, "content-length").and_then(|v| v.parse().ok()).unwrap_or(0);
        let status = head[9..12].parse().expect("a status");
        let content = String::from_utf8_lossy(&self.read_exact(length)).into_owned();
        Answer { status, head, content }
    }

    /// Whether the other side closes, without sending anything more.
    pub fn closed(&mut self) -> bool {
        self.ahead.is_empty() && self.fill() == 0
    }

    fn fill(&mut self) -> usize {
        let mut buffer = [0; 64 << 10];
        match self.stream.read(&mut buffer) {
            Ok(count) => {
                self.ahead.extend_from_slice(&buffer[..count]);
                count
            }
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                panic!("nothing came for {PATIENCE:?}; so far: {}", self.ahead.escape_ascii())
            }
            Err(_) => 0,
        }
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub content: String,
}

impl Answer {
    pub fn field(&self, name: &str) -> Option<String> {
        field(&self.head, name)
    }
}

/// The first field of that name in a head.
pub fn field(head: &str, name: &str) -> Option<String> {
    head.lines().skip(1).find_map(|line| {
        let (n, value) = line.split_once(':')?;
        n.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

pub struct Setup {
    pub plan: EdgePlan,
    pub pools: Vec<PoolConfig>,
}

/// One route to one pool of these members, one core, nothing limited that a test does not limit.
pub fn setup(members: &[SocketAddr]) -> Setup {
    let routes = vec![RoutePlan { host: None, path: "/*".into(), pool: "app".into(), pages: PagesMode::Off, files: None }];
    let plan = EdgePlan {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        tls: None,
        tcp: Vec::new(),
        proxy_protocol: false,
        trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
        proxy_protocol_from_trusted: false,
        threads: 1,
        routes,
        limits: EdgeLimits {
            connections_max: 1000,
            header_bytes_max: 16 << 10,
            headers_max: 100,
            header_timeout: PATIENCE,
            idle_timeout: PATIENCE,
            body_idle_timeout: PATIENCE,
            tunnel_idle_timeout: Duration::from_secs(600),
            body_rate_min: 0,
            body_bytes_max: 0,
            connect_timeout: PATIENCE,
            first_byte_timeout: PATIENCE,
            upstream_idle_max: 16,
            upstream_idle_timeout: PATIENCE,
            drain_timeout: PATIENCE,
        },
        access_log: AccessLog::Off,
        pages: PagesPlan {
            memory_bytes: 1 << 20,
            object_bytes_max: 1 << 20,
            ignore_cookies: vec![],
            waiters_max: 16,
            wait_max: PATIENCE,
            eviction: EvictionPolicy::S3Fifo,
            stale_if_error: Duration::from_secs(60),
            stale_while_revalidate: Duration::ZERO,
            missing_for: Duration::ZERO,
            disk: None,
            compress: vec![CompressCoding::Brotli, CompressCoding::Zstd, CompressCoding::Gzip],
            compress_bytes_min: 1024,
            compress_types: vec!["text/*".into()],
        },
    };
    Setup { plan, pools: vec![pool("app", members)] }
}

pub fn pool(name: &str, members: &[SocketAddr]) -> PoolConfig {
    let plan = PoolPlan {
        name: name.into(),
        members: Members::Upstreams(members.iter().map(|a| UpstreamPlan { address: a.to_string(), weight: 1 }).collect()),
        resolve_every: PATIENCE,
        wire: WirePlan::default(),
        sticky: None,
        policy: BalancePolicy::RoundRobin,
        probe: None,
        eject_after: 3,
        eject_for: PATIENCE,
        concurrency_max: None,
        queue_max: 16,
        queue_timeout: PATIENCE,
        attribution: Default::default(),
        hash_by: HashBy::Address,
        hash_bound_percent: None,
        slow_start: Duration::ZERO,
        ejected_percent_max: 80,
        retry_percent: 20,
    };
    PoolConfig { plan, pool: Arc::new(Pool::new(name)) }
}

impl Setup {
    pub fn start(self) -> Edge {
        self.start_logging(Box::new(std::io::sink()))
    }

    pub fn start_logging(self, access_log: Box<dyn Write + Send>) -> Edge {
        Edge::start(EdgeConfig { plan: self.plan, pools: self.pools, access_log, freshness: None }).expect("the edge starts")
    }
}

/// An edge with default settings in front of `origin`, and a client connected to it.
pub fn through(origin: &Origin) -> (Edge, Peer) {
    let edge = setup(&[origin.address]).start();
    let client = Peer::connect(edge.addresses()[0]);
    (edge, client)
}

pub const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Waits for a condition, looking often; fails after [`PATIENCE`].
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < until, "waited in vain until {what}");
        std::thread::yield_now();
    }
}

/// Whether this process runs the test `name` alone. If not, it has been run by now, and passed, in a process that does: under `cargo test`, unlike
/// nextest, the memory of one process is that of many tests.
pub fn in_a_process_of_its_own(name: &str) -> bool {
    const ALONE: &str = "PUMASI_TEST_ALONE";
    if std::env::var_os("NEXTEST").is_some() || std::env::var_os(ALONE).is_some() {
        return true;
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap()).args(["--exact", name]).env(ALONE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "in a process of its own: {said}");
    false
}
