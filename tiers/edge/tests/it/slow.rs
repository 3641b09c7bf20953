//! Ten thousand clients that are slow in each of the ways a client can be, and one that is not.
//!
//! What it proves: with all of them connected and each still at it, every request of the other client is answered, and rightly; none of the slow ones
//! is cut off for that, and when they leave nothing of them is left. It proves no latency: on a busy machine every wait may be long, so none of
//! them has a limit that means anything ([`HANGS`]). What it took is printed.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::*;

/// Of all: six in ten drip their head, three their content, one never reads its answer.
const CLIENTS: usize = 10_000;

/// What this process needs: the edge's end of each, both ends at an upstream for four in ten, and some to spare for the harness. The
/// clients' own ends are in a process of their own.
const DESCRIPTORS_WANTED: u64 = CLIENTS as u64 * 18 / 10 + 300;

/// Clients that drip a byte between two pauses. With [`PAUSE`], each drips one in about two seconds.
const DRIPPED_AT_ONCE: usize = 50;
const PAUSE: Duration = Duration::from_millis(10);

/// Whoever waits that long waits for ever. Not the other tests' patience: connecting ten thousand clients on a loaded machine takes longer than that,
/// and so may the answer to one of them.
const HANGS: Duration = Duration::from_secs(600);

/// Tells the process of the slow clients whom to be slow with, and how many to be.
const EDGE: &str = "PUMASI_TEST_SLOW_EDGE";
const COUNT: &str = "PUMASI_TEST_SLOW_CLIENTS";

/// More than a small window and the edge's own buffers hold, so that who does not read keeps the origin waiting.
const LARGE_ANSWER: usize = 1 << 20;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Slowness {
    Head,
    Content,
    Reading,
}

impl Slowness {
    fn of(client: usize) -> Slowness {
        match client % 10 {
            0..6 => Slowness::Head,
            6..9 => Slowness::Content,
            _ => Slowness::Reading,
        }
    }

    fn first_words(self) -> &'static str {
        match self {
            Slowness::Head => "GET / HTTP/1.1\r\nHost: a\r\nX: ",
            Slowness::Content => "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n",
            Slowness::Reading => "GET /large HTTP/1.1\r\nHost: a\r\n\r\n",
        }
    }
}

/// With `ulimit -Hn` at [`DESCRIPTORS_WANTED`], or as root, these are [`CLIENTS`]; elsewhere as many as the limit allows, and the test says so.
#[test]
fn ten_thousand_slow_clients_leave_others_served() {
    let clients = affordable();
    let origin = start_origin();
    let mut setup = setup(&[origin]);
    setup.plan.limits.connections_max = clients + 100;
    // They are to stay slow for as long as the test lasts, and nobody is to be given up because the machine is busy.
    let limits = &mut setup.plan.limits;
    for timeout in [
        &mut limits.header_timeout,
        &mut limits.body_idle_timeout,
        &mut limits.idle_timeout,
        &mut limits.connect_timeout,
        &mut limits.first_byte_timeout,
    ] {
        *timeout = 2 * HANGS;
    }
    let edge = setup.start();
    let address = edge.addresses()[0];
    let alone = ask(address, 200);
    let before = resident_kib();
    let mut slow = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "slow::the_slow_clients", "--ignored", "--nocapture"])
        .env(EDGE, address.to_string())
        .env(COUNT, clients.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program again");
    let mut said = BufReader::new(slow.stdout.take().unwrap()).lines().map_while(Result::ok);
    said.find(|line| line.ends_with("dripping")).expect("the slow clients are connected");
    wait_for("the edge has all of them", || edge.connections() == clients);

    let among = ask(address, 500);
    println!(
        "{clients} slow clients; an answer takes {alone:?} alone and {among:?} among them (median, slowest); memory {before} KiB before them, {} with them",
        resident_kib()
    );
    wait_for("each slow client still has its connection", || edge.connections() == clients);
    drop(slow.stdin.take()); // the sign to leave
    assert!(slow.wait().unwrap().success(), "none was cut off");
    wait_for("all have left", || edge.connections() == 0);
    ask(address, 10);
}

#[test]
#[ignore = "the other half of the test above, which runs it in a process of its own"]
fn the_slow_clients() {
    let address: SocketAddr = std::env::var(EDGE).expect("run by the other half").parse().unwrap();
    let clients: usize = std::env::var(COUNT).unwrap().parse().unwrap();
    raise_limit(clients as u64 + 100);
    let mut slow: Vec<(Slowness, TcpStream)> = (0..clients).map(|i| connect(Slowness::of(i), address)).collect();
    println!("dripping");
    let (leave, left) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = leave.send(());
    });
    for turn in 0.. {
        let (slowness, stream) = &mut slow[turn % clients];
        if *slowness != Slowness::Reading
            && let Err(error) = stream.write(b"x")
        {
            panic!("a slow client was cut off: {error}");
        }
        if turn % DRIPPED_AT_ONCE == 0 && left.recv_timeout(PAUSE).is_ok() {
            return;
        }
    }
}

/// How long `count` requests of a client that is not slow take, each after the other: the median and the longest. Panics when one is not
/// answered as it should be.
fn ask(address: SocketAddr, count: usize) -> (Duration, Duration) {
    let mut client = Peer::connect(address);
    client.stream.set_read_timeout(Some(HANGS)).unwrap();
    let mut took: Vec<Duration> = (0..count)
        .map(|_| {
            let began = Instant::now();
            client.write(GET);
            let answer = client.read_answer();
            assert_eq!((answer.status, answer.content.as_str()), (200, "hi"));
            began.elapsed()
        })
        .collect();
    wait_until_closed(client);
    took.sort();
    (took[count / 2], took[count - 1])
}

/// Waits for as long as it takes.
fn wait_for(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < HANGS, "never: {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// Of this process: the edge's, and what the harness has beside it.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("proc(5)");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

/// The edge counts connections; this one must not count any more.
fn wait_until_closed(client: Peer) {
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut rest = Vec::new();
    let _ = (&client.stream).read_to_end(&mut rest);
}

fn connect(slowness: Slowness, address: SocketAddr) -> (Slowness, TcpStream) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("descriptors were counted before");
    if slowness == Slowness::Reading {
        socket.set_recv_buffer_size(4096).unwrap(); // before connecting: the window is agreed on there
    }
    socket.connect(&address.into()).expect("the edge listens");
    let mut stream: TcpStream = socket.into();
    stream.write_all(slowness.first_words().as_bytes()).unwrap();
    (slowness, stream)
}

/// As many clients as descriptors allow.
fn affordable() -> usize {
    let descriptors = raise_limit(DESCRIPTORS_WANTED);
    let clients = CLIENTS.min((descriptors.saturating_sub(300) * 10 / 18) as usize);
    if clients < CLIENTS {
        eprintln!("only {clients} of {CLIENTS} slow clients: ulimit -Hn is {descriptors}, {DESCRIPTORS_WANTED} would do");
    }
    clients
}

/// Raises the limit on descriptors to `wanted`, or as far as we may, and says where it is. Root may raise the hard limit too.
fn raise_limit(wanted: u64) -> u64 {
    let hard = getrlimit(Resource::Nofile).maximum;
    for limit in [hard.map(|hard| hard.max(wanted)), hard] {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit, maximum: limit });
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Answers `hi`, or much for `/large`; one thread for all connections, as there are thousands.
fn start_origin() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream));
            }
        });
    });
    address
}

async fn answer(mut stream: tokio::net::TcpStream) {
    let mut read = Vec::new();
    while stream.read_buf(&mut read).await.is_ok_and(|count| count > 0) {
        // Requests with content are never answered: theirs never ends.
        while read.starts_with(b"GET")
            && let Some(end) = read.windows(4).position(|w| w == b"\r\n\r\n")
        {
            let content = if read.starts_with(b"GET /large") { "x".repeat(LARGE_ANSWER) } else { "hi".to_owned() };
            read.drain(..end + 4);
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{content}", content.len());
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
        if read.starts_with(b"POST") {
            read.truncate(4);
        }
    }
}
