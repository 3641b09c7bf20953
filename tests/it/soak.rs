//! The edge under everything at once: hits and misses, posts, HTTP/2 and WebSockets, while the configuration is reloaded and pages are purged
//! every second and upstreams are killed and started. No request that may be repeated fails, and memory stays where it was.
//!
//! A minute among the tests; `cargo xtask soak` makes it half an hour.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use crate::service::{Service, free_address};

/// How long, in seconds.
const SECONDS: &str = "EDGE_SOAK_SECONDS";
const SECONDS_AMONG_THE_TESTS: u64 = 60;

/// Where the other half of this test listens.
const UPSTREAM: &str = "PUMASI_TEST_SOAK_UPSTREAM";

/// One of these is killed every [`KILL_EVERY`] seconds and is back after one: two are always there.
const UPSTREAMS: usize = 3;
const KILL_EVERY: u64 = 4;

/// Pages asked for. Each is fresh for a second, so that hits, misses and refetches take turns.
const PAGES: u64 = 60;

/// What may come on top of what the process had once it was warm: a fifth, and some megabytes for what the allocator keeps.
const GROWTH_MAX: f64 = 1.2;
const GROWTH_SLACK_KIB: u64 = 16 << 10;

#[test]
fn everything_at_once_fails_no_request_that_may_be_repeated() {
    let seconds = std::env::var(SECONDS).ok().and_then(|text| text.parse().ok()).unwrap_or(SECONDS_AMONG_THE_TESTS);
    let mut upstreams: Vec<Upstream> = (0..UPSTREAMS).map(|_| Upstream::start(None)).collect();
    let mut service = Service::run(&configuration(&upstreams, false), &[]);
    let tally = Arc::new(Tally::default());
    let clients: Vec<_> = [pages as fn(&str, &Tally), pages, fresh, posts, http2, sockets]
        .into_iter()
        .map(|client| {
            let (tally, site) = (tally.clone(), service.site.strip_prefix("http://").expect("a site").to_owned());
            std::thread::spawn(move || client(&site, &tally))
        })
        .collect();

    let began = Instant::now();
    let mut memory_kib = Vec::new();
    // A round each second, or as long as its reload and its purge take on a machine that has other things to do.
    for second in 0.. {
        if began.elapsed() >= Duration::from_secs(seconds) {
            break;
        }
        while began.elapsed() < Duration::from_secs(second + 1) && !tally.failed() {
            std::thread::park_timeout(Duration::from_millis(50));
        }
        if tally.failed() {
            break;
        }
        memory_kib.push(resident_kib(service.pid()));
        reload(&service, &configuration(&upstreams, second % 2 == 0));
        purge(&service, second);
        let victim = (second / KILL_EVERY) as usize % UPSTREAMS;
        match second % KILL_EVERY {
            0 => upstreams[victim].kill(),
            1 => upstreams[victim] = Upstream::start(Some(upstreams[victim].address)),
            _ => {}
        }
    }
    tally.over.store(true, Relaxed);
    clients.into_iter().for_each(|client| client.join().expect("no panic"));

    let (warm, last) = (middle(&memory_kib, 1), middle(&memory_kib, 4));
    let rounds = memory_kib.len() as u64;
    let kills = rounds.div_ceil(KILL_EVERY);
    println!("{seconds} s, {kills} kills, {rounds} reloads and purges: {tally:?}; {warm} KiB when warm, {last} KiB at the end");
    let bad = tally.bad.lock().expect("no panic");
    assert!(bad.is_empty(), "{} failed: {:?}\n{}", bad.len(), &bad[..bad.len().min(5)], service.said());
    for (kind, count) in tally.counts() {
        assert!(count >= rounds, "only {count} {kind} in {rounds} rounds");
    }
    // What was at an upstream when it was killed cannot be repeated by us: one of each client's at most.
    assert!(tally.posts_lost.load(Relaxed) <= kills, "posts that were at no killed upstream were lost");
    assert!(tally.sockets_cut.load(Relaxed) <= kills, "WebSockets to upstreams that live were cut");
    assert!(last as f64 <= warm as f64 * GROWTH_MAX + GROWTH_SLACK_KIB as f64, "memory grew from {warm} to {last} KiB: {memory_kib:?}");
    service.wait_until("nothing is in flight", |service| {
        service.status()["pools"][0]["upstreams"]
            .as_array()
            .is_some_and(|all| all.iter().all(|upstream| upstream["traffic"]["in_flight"] == 0))
    });
}

// === the service ===

fn configuration(upstreams: &[Upstream], one_more_route: bool) -> String {
    let addresses: Vec<String> = upstreams.iter().map(|upstream| format!("\"{}\"", upstream.address)).collect();
    let more = if one_more_route { "[[edge.route]]\nhost = \"more.example\"\npath = \"/more/*\"\npool = \"app\"\n" } else { "" };
    format!(
        "[log]\naccess = \"off\"\n[edge]\nlisten = \"{{site}}\"\n{more}[[edge.route]]\npath = \"/page/*\"\npool = \"app\"\npages = \"standard\"\n\
         [[edge.route]]\npath = \"/*\"\npool = \"app\"\npages = \"off\"\n[pool.app]\nupstreams = [{}]\neject_for = \"1s\"\n\
         [console]\nlisten = \"{{console}}\"\n",
        addresses.join(", ")
    )
}

fn reload(service: &Service, configuration: &str) {
    let bare = |url: &str| url.strip_prefix("http://").expect("a URL").to_owned();
    let text = configuration.replace("{site}", &bare(&service.site)).replace("{console}", &bare(&service.console));
    std::fs::write(service.home.path().join("pumasi.toml"), text).expect("written");
    let (code, out, err) = service.tell(&["reload"]);
    assert_eq!(code, 0, "{out}{err}");
}

fn purge(service: &Service, second: u64) {
    let page = format!("/page/{}", second % PAGES);
    let words: &[&str] = match second % 3 {
        0 => &["purge", "--all"],
        1 => &["purge", "--prefix", "/page/1", "--soft"],
        _ => &["purge", &page],
    };
    let (code, out, err) = service.tell(words);
    assert_eq!(code, 0, "{words:?}: {out}{err}");
}

/// Memory the process has in RAM.
fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line with VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// The median of one fifth of the samples.
fn middle(samples: &[u64], fifth: usize) -> u64 {
    let mut part = samples[samples.len() * fifth / 5..samples.len() * (fifth + 1) / 5].to_vec();
    part.sort_unstable();
    part.get(part.len() / 2).copied().unwrap_or(0)
}

// === the clients ===

#[derive(Debug, Default)]
struct Tally {
    over: AtomicBool,
    pages: AtomicU64,
    hits: AtomicU64,
    fresh: AtomicU64,
    posts: AtomicU64,
    posts_lost: AtomicU64,
    http2: AtomicU64,
    messages: AtomicU64,
    sockets_cut: AtomicU64,
    /// Requests that may be repeated and were not answered as they should.
    bad: Mutex<Vec<String>>,
}

impl Tally {
    fn bad(&self, what: String) {
        self.bad.lock().expect("no panic").push(what);
    }

    fn failed(&self) -> bool {
        !self.bad.lock().expect("no panic").is_empty()
    }

    fn going(&self) -> bool {
        !self.over.load(Relaxed)
    }

    fn counts(&self) -> [(&'static str, u64); 6] {
        let all = [&self.pages, &self.hits, &self.fresh, &self.posts, &self.http2, &self.messages].map(|count| count.load(Relaxed));
        [("pages", all[0]), ("hits", all[1]), ("fresh", all[2]), ("posts", all[3]), ("http2", all[4]), ("messages", all[5])]
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(30))).build().into()
}

/// The answer to a GET, checked to be the one to this GET. Says whether it was a hit.
fn get(agent: &ureq::Agent, site: &str, path: &str, tally: &Tally) -> Option<bool> {
    let read = agent.get(format!("http://{site}{path}")).call().and_then(|mut answer| {
        let hit = answer.headers().get("cache-status").is_some_and(|status| status.as_bytes().starts_with(b"pumasi; hit"));
        Ok((answer.status().as_u16(), hit, answer.body_mut().read_to_string()?))
    });
    match read {
        Ok((200, hit, body)) if body.starts_with(&format!("{path} ")) => Some(hit),
        other => {
            tally.bad(format!("GET {path}: {other:?}"));
            None
        }
    }
}

fn pages(site: &str, tally: &Tally) {
    let agent = agent();
    for n in 0u64.. {
        if !tally.going() {
            return;
        }
        let hit = get(&agent, site, &format!("/page/{}", n * 7 % PAGES), tally);
        tally.pages.fetch_add(1, Relaxed);
        tally.hits.fetch_add(u64::from(hit == Some(true)), Relaxed);
    }
}

fn fresh(site: &str, tally: &Tally) {
    let agent = agent();
    for n in 0u64.. {
        if !tally.going() {
            return;
        }
        get(&agent, site, &format!("/fresh/{n}"), tally);
        tally.fresh.fetch_add(1, Relaxed);
    }
}

fn posts(site: &str, tally: &Tally) {
    let agent = agent();
    for n in 0usize.. {
        if !tally.going() {
            return;
        }
        let content = "p".repeat(n % 3000);
        let read = agent
            .post(format!("http://{site}/post"))
            .send(&content)
            .and_then(|mut answer| Ok((answer.status().as_u16(), answer.body_mut().read_to_string()?)));
        match read {
            Ok((200, body)) if body == format!("/post {}", content.len()) => _ = tally.posts.fetch_add(1, Relaxed),
            // Its upstream was killed: whether it was carried out nobody knows, so it is not sent again.
            Ok((502 | 503, _)) => _ = tally.posts_lost.fetch_add(1, Relaxed),
            other => tally.bad(format!("POST: {other:?}")),
        }
    }
}

/// One connection for all of it: a reload must not cost it.
fn http2(site: &str, tally: &Tally) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let outcome = runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(site).await.map_err(|error| error.to_string())?;
        let (mut client, connection) = h2::client::handshake(stream).await.map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        for n in 0u64.. {
            if !tally.going() {
                break;
            }
            let path = if n % 2 == 0 { format!("/page/{}", n % PAGES) } else { format!("/fresh/h2-{n}") };
            client = client.ready().await.map_err(|error| error.to_string())?;
            let request = http::Request::get(format!("http://{site}{path}")).body(()).expect("a request");
            let (answer, _) = client.send_request(request, true).map_err(|error| error.to_string())?;
            let answer = answer.await.map_err(|error| format!("{path}: {error}"))?;
            let status = answer.status().as_u16();
            let mut body = Vec::new();
            let mut content = answer.into_body();
            while let Some(data) = content.data().await {
                let data = data.map_err(|error| format!("{path}: {error}"))?;
                content.flow_control().release_capacity(data.len()).map_err(|error| error.to_string())?;
                body.extend_from_slice(&data);
            }
            if status != 200 || !body.starts_with(format!("{path} ").as_bytes()) {
                return Err(format!("{path}: {status} {}", body.escape_ascii()));
            }
            tally.http2.fetch_add(1, Relaxed);
        }
        Ok(())
    });
    if let Err(error) = outcome {
        tally.bad(format!("HTTP/2 {error}"));
    }
}

/// WebSockets of twenty messages each. One whose upstream is killed is cut, and nobody can mend that.
fn sockets(site: &str, tally: &Tally) {
    while tally.going() {
        let said = TcpStream::connect(site).map_err(|error| error.to_string()).and_then(|stream| {
            stream.set_read_timeout(Some(Duration::from_secs(30))).map_err(|error| error.to_string())?;
            let (mut socket, _) = tungstenite::client(format!("ws://{site}/socket"), stream).map_err(|error| error.to_string())?;
            for n in 0..20 {
                let message = tungstenite::Message::text(format!("message {n}"));
                socket.send(message.clone()).map_err(|error| error.to_string())?;
                if socket.read().map_err(|error| error.to_string())? != message {
                    tally.bad("a WebSocket's message came back as another".to_owned());
                }
                tally.messages.fetch_add(1, Relaxed);
            }
            socket.close(None).map_err(|error| error.to_string())
        });
        tally.sockets_cut.fetch_add(u64::from(said.is_err()), Relaxed);
    }
}

// === the upstreams ===

/// This program again, as a server.
struct Upstream {
    address: SocketAddr,
    process: Child,
}

impl Upstream {
    /// On `address` as before, or on one nobody has. Returns when it listens.
    fn start(address: Option<SocketAddr>) -> Upstream {
        // On another loopback address than all clients: while it is down, none of their connections can happen to take its port.
        let address = address.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 2], free_address().port())));
        let mut process = Command::new(std::env::current_exe().expect("we run"))
            .args(["--exact", "soak::an_upstream", "--ignored", "--nocapture"])
            .env(UPSTREAM, address.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program again");
        let mut said = BufReader::new(process.stdout.take().expect("piped")).lines().map_while(Result::ok);
        assert!(said.any(|line| line.ends_with("listening")), "the upstream listens");
        // Read on: after a minute a test says that it still runs, and ends if nobody listens.
        std::thread::spawn(move || said.for_each(drop));
        Upstream { address, process }
    }

    fn kill(&mut self) {
        self.process.kill().and_then(|()| self.process.wait()).expect("our own child");
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
#[ignore = "the other half of the test above, which runs it in processes of its own"]
fn an_upstream() {
    let address = std::env::var(UPSTREAM).expect("run by the other half");
    let listener = TcpListener::bind(&address).expect("the port is free");
    println!("listening");
    for stream in listener.incoming() {
        let stream = stream.expect("a connection");
        std::thread::spawn(move || serve(stream));
    }
}

/// Requests of one connection, until it ends or becomes a WebSocket.
fn serve(mut stream: TcpStream) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        if reader.buffer().is_empty() && begins_socket(&stream)? {
            return echo(stream);
        }
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
        let path = line.split(' ').nth(1)?.to_owned();
        let mut length = 0;
        loop {
            let mut field = String::new();
            reader.read_line(&mut field).ok().filter(|count| *count > 0)?;
            match field.trim_end().to_ascii_lowercase().split_once(": ") {
                Some(("content-length", value)) => length = value.parse().ok()?,
                Some(_) => {}
                None => break,
            }
        }
        let mut content = vec![0; length];
        reader.read_exact(&mut content).ok()?;
        let body = if path == "/post" { format!("/post {length}") } else { format!("{path} {}", "x".repeat(500)) };
        let keep = if path.starts_with("/page/") { "max-age=1" } else { "no-store" };
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nCache-Control: {keep}\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).ok()?; // at once, so that a kill leaves a whole answer or none
    }
}

/// Whether the next request asks for the WebSocket; a look, nothing is taken.
fn begins_socket(stream: &TcpStream) -> Option<bool> {
    const BEGINNING: &[u8] = b"GET /socket ";
    let mut seen = [0; BEGINNING.len()];
    loop {
        match stream.peek(&mut seen).ok()? {
            0 => return None,
            count if count < seen.len() && BEGINNING.starts_with(&seen[..count]) => std::thread::yield_now(),
            count => return Some(seen[..count] == *BEGINNING),
        }
    }
}

fn echo(stream: TcpStream) -> Option<()> {
    let mut socket = tungstenite::accept(stream).ok()?;
    loop {
        let message = socket.read().ok()?;
        if message.is_text() {
            socket.send(message).ok()?;
        }
    }
}
