//! A proxied GET with keep-alive on both sides, and a hit from memory: CPU of the proxy per request, beside nginx, HAProxy and Varnish.
//!
//! One proxy thread on core 0; wrk and the origin (nginx, 216 bytes from memory) on core 1. The generator saturates first, so requests per
//! second say little: the figure is the proxy's user and system ticks over the requests it answered in the same seconds.

use std::{
    fmt::Write as _,
    fs,
    io::{Read, Write},
    net::TcpStream,
    process::Command,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use pumasi_balance::Pool;
use pumasi_config::{
    AccessLog, BalancePolicy, CompressCoding, EdgeLimits, EdgePlan, EvictionPolicy, HashBy, Members, PagesMode, PagesPlan, PoolPlan, RoutePlan,
    UpstreamPlan,
};
use pumasi_edge::{Edge, EdgeConfig, PoolConfig};

use crate::{
    machine::{self, cpu_ticks},
    process::{Running, free_port, start, wait_for},
    table::{median, spread_percent},
};

const ROUNDS: usize = 5;
const SECONDS: u64 = 4;
const CONTENT_BYTES: usize = 216;

/// Where the proxies run, and where everything else does.
const PROXY_CORE: usize = 0;
const DRIVER_CORE: usize = 1;

/// `--only NAME`, `--path proxied|hit`, `--rounds N`, `--seconds N`, `--no-write`: for work on the data path. Without them, the recorded run.
pub fn run(options: &[&str]) -> Result<()> {
    let options = Options::parse(options)?;
    let directory = tempfile::tempdir()?;
    let origin_port = free_port()?;
    let _origin = start_nginx(DRIVER_CORE, directory.path(), "origin", &origin_configuration(origin_port))?;
    wait_for(origin_port)?;
    let mut rows = Vec::new();
    for (path, peers) in [(Path::Proxied, &["pumasi", "nginx", "haproxy"][..]), (Path::Hit, &["pumasi", "nginx", "haproxy", "varnish"][..])]
    {
        if options.path.is_some_and(|only| only != path) {
            continue;
        }
        let wanted = peers.iter().filter(|name| options.only.as_deref().is_none_or(|only| only == **name));
        let contenders = wanted.map(|name| Contender::start(name, path, directory.path(), origin_port)).collect::<Result<Vec<_>>>()?;
        for contender in &contenders {
            check_answer(contender)?;
        }
        for connections in [16, 128] {
            compare(path, connections, &contenders, &options, &mut rows)?;
        }
    }
    let report = report(&rows);
    print!("{report}");
    if options.write {
        let directory = machine::run_directory()?;
        fs::write(directory.join("edge.md"), &report)?;
        fs::write(directory.join("edge.json"), json(&rows))?;
        println!("written to {}", directory.display());
    }
    Ok(())
}

/// Rounds in turn (A B C A B C ...), so that what else the machine does meets all of them.
fn compare(path: Path, connections: usize, contenders: &[Contender], options: &Options, rows: &mut Vec<Row>) -> Result<()> {
    for contender in contenders {
        measure(contender, connections, 1)?; // warm
    }
    let mut rounds: Vec<Vec<Round>> = contenders.iter().map(|_| Vec::new()).collect();
    for _ in 0..options.rounds {
        for (contender, rounds) in contenders.iter().zip(&mut rounds) {
            rounds.push(measure(contender, connections, options.seconds)?);
        }
    }
    rows.extend(contenders.iter().zip(rounds).map(|(contender, rounds)| Row { path, name: contender.name, connections, rounds }));
    Ok(())
}

/// What happens to a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Path {
    Proxied,
    Hit,
}

impl Path {
    fn word(self) -> &'static str {
        match self {
            Path::Proxied => "proxied",
            Path::Hit => "hit",
        }
    }
}

/// The edge as the contender, one thread, until it is stopped.
pub fn serve(upstream: &str, pages: PagesMode) -> Result<()> {
    let (listen, upstream) = upstream.split_once('=').context("LISTEN=UPSTREAM")?;
    let plan = EdgePlan {
        listen: vec![listen.parse()?],
        tls: None,
        tcp: Vec::new(),
        proxy_protocol: false,
        threads: 1,
        routes: vec![RoutePlan { host: None, path: "/*".into(), pool: "app".into(), pages, files: None }],
        limits: EdgeLimits {
            connections_max: 20_000,
            header_bytes_max: 16 << 10,
            headers_max: 100,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            body_idle_timeout: Duration::from_secs(30),
            tunnel_idle_timeout: Duration::from_secs(600),
            body_rate_min: 500,
            body_bytes_max: 0,
            connect_timeout: Duration::from_secs(3),
            first_byte_timeout: Duration::from_secs(60),
            upstream_idle_max: 512,
            upstream_idle_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(10),
        },
        access_log: AccessLog::Off, // as the peers have it
        pages: PagesPlan {
            memory_bytes: 64 << 20,
            object_bytes_max: 1 << 20,
            ignore_cookies: Vec::new(),
            waiters_max: 1000,
            wait_max: Duration::from_secs(5),
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
    let pool = PoolPlan {
        name: "app".into(),
        members: Members::Upstreams(vec![UpstreamPlan { address: upstream.into(), weight: 1 }]),
        policy: BalancePolicy::LeastInFlight,
        probe: None,
        eject_after: 3,
        eject_for: Duration::from_secs(5),
        concurrency_max: None,
        queue_max: 1024,
        queue_timeout: Duration::from_secs(5),
        hash_by: HashBy::Address,
        hash_bound_percent: None,
        slow_start: Duration::ZERO,
        ejected_percent_max: 80,
        retry_percent: 20,
    };
    let pools = vec![PoolConfig { plan: pool, pool: Arc::new(Pool::new("app")) }];
    let _edge = Edge::start(EdgeConfig { plan, pools, access_log: Box::new(std::io::sink()), freshness: None })?;
    loop {
        std::thread::park();
    }
}

struct Options {
    only: Option<String>,
    path: Option<Path>,
    rounds: usize,
    seconds: u64,
    write: bool,
}

impl Options {
    fn parse(options: &[&str]) -> Result<Options> {
        let mut parsed = Options { only: None, path: None, rounds: ROUNDS, seconds: SECONDS, write: true };
        let mut rest = options.iter();
        while let Some(option) = rest.next() {
            let mut value = || rest.next().with_context(|| format!("{option} needs a value"));
            match *option {
                "--only" => parsed.only = Some((*value()?).to_owned()),
                "--path" => parsed.path = Some(if value()? == &"hit" { Path::Hit } else { Path::Proxied }),
                "--rounds" => parsed.rounds = value()?.parse()?,
                "--seconds" => parsed.seconds = value()?.parse()?,
                "--no-write" => parsed.write = false,
                other => bail!("edge has no option {other}"),
            }
        }
        Ok(parsed)
    }
}

struct Contender {
    name: &'static str,
    port: u16,
    running: Running,
}

impl Contender {
    fn start(name: &'static str, path: Path, directory: &std::path::Path, origin: u16) -> Result<Contender> {
        let directory = &directory.join(path.word());
        fs::create_dir_all(directory)?;
        let port = free_port()?;
        let running = match name {
            "nginx" => start_nginx(PROXY_CORE, directory, "proxy", &nginx_configuration(path, port, origin))?,
            "haproxy" => {
                let file = directory.join("haproxy.cfg");
                fs::write(&file, haproxy_configuration(path, port, origin))?;
                start(PROXY_CORE, "haproxy", &["-db", "-f", &file.to_string_lossy()])?
            }
            "varnish" => {
                let state = directory.join("varnish");
                let (listen, backend, state) =
                    (format!("127.0.0.1:{port}"), format!("127.0.0.1:{origin}"), state.to_string_lossy().into_owned());
                let options = [
                    "-F",
                    "-j",
                    "none",
                    "-a",
                    &listen,
                    "-b",
                    &backend,
                    "-n",
                    &state,
                    "-s",
                    "malloc,64m",
                    "-p",
                    "thread_pools=1",
                    "-T",
                    "none",
                ];
                start(PROXY_CORE, "varnishd", &options)?
            }
            _ => {
                let own = std::env::current_exe()?;
                let addresses = format!("127.0.0.1:{port}=127.0.0.1:{origin}");
                let arguments = ["serve-edge", &addresses, "standard"];
                start(PROXY_CORE, &own.to_string_lossy(), &arguments[..if path == Path::Hit { 3 } else { 2 }])?
            }
        };
        wait_for(port)?;
        Ok(Contender { name, port, running })
    }

    /// The processes that do the work: nginx's worker is a child.
    fn ticks(&self) -> Result<u64> {
        let mut ticks = cpu_ticks(self.running.pid())?;
        for child in machine::children(self.running.pid()) {
            ticks += cpu_ticks(child)?;
        }
        Ok(ticks)
    }
}

struct Round {
    us_per_request: f64,
    requests_per_s: f64,
}

struct Row {
    path: Path,
    name: &'static str,
    connections: usize,
    rounds: Vec<Round>,
}

impl Row {
    fn cpu(&self) -> Vec<f64> {
        self.rounds.iter().map(|r| r.us_per_request).collect()
    }

    fn rate(&self) -> f64 {
        median(&self.rounds.iter().map(|r| r.requests_per_s).collect::<Vec<_>>())
    }
}

fn measure(contender: &Contender, connections: usize, seconds: u64) -> Result<Round> {
    let before = contender.ticks()?;
    let output = Command::new("taskset")
        .args(["-c", &DRIVER_CORE.to_string(), "wrk", "-t1", &format!("-c{connections}"), &format!("-d{seconds}s")])
        .arg(format!("http://127.0.0.1:{}/", contender.port))
        .output()
        .context("running wrk")?;
    let ticks = contender.ticks()? - before;
    let text = String::from_utf8(output.stdout)?;
    ensure!(!text.contains("Non-2xx") && !text.contains("Socket errors"), "{}: {text}", contender.name);
    let line = text.lines().find(|l| l.contains(" requests in ")).with_context(|| format!("wrk said {text:?}"))?;
    let requests: f64 = line.split_whitespace().next().context("a count")?.parse()?;
    let cpu_us = ticks as f64 * 1e6 / machine::ticks_per_second() as f64;
    Ok(Round { us_per_request: cpu_us / requests, requests_per_s: requests / seconds as f64 })
}

/// Two requests on one connection: status, content, keep-alive.
fn check_answer(contender: &Contender) -> Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", contender.port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    for _ in 0..2 {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")?;
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        while answer.windows(4).position(|w| w == b"\r\n\r\n").is_none_or(|at| answer.len() < at + 4 + CONTENT_BYTES) {
            let count = stream.read(&mut buffer).with_context(|| format!("{} does not answer", contender.name))?;
            ensure!(count > 0, "{} closed the connection", contender.name);
            answer.extend_from_slice(&buffer[..count]);
        }
        ensure!(
            answer.starts_with(b"HTTP/1.1 200") && answer.ends_with(content().as_bytes()),
            "{} answered {}",
            contender.name,
            answer.escape_ascii()
        );
    }
    Ok(())
}

fn content() -> String {
    "x".repeat(CONTENT_BYTES)
}

fn report(rows: &[Row]) -> String {
    let mut out = String::from("# A proxied GET, and a hit from memory\n\n");
    let _ = writeln!(
        out,
        "216-byte answer, keep-alive on both sides, one proxy thread on core {PROXY_CORE}, wrk and the origin on core {DRIVER_CORE}.\n\
         CPU of the proxy (user + system ticks) over requests answered; median of {} rounds in turn, spread of the extremes.\n",
        rows.first().map_or(0, |r| r.rounds.len())
    );
    let _ = writeln!(
        out,
        "| path | connections | proxy | CPU us/request | spread | beside nginx | beside HAProxy | beside Varnish | requests/s |"
    );
    let _ = writeln!(out, "|---|---|---|---|---|---|---|---|---|");
    for row in rows {
        let of =
            |name| rows.iter().find(|r| r.name == name && r.connections == row.connections && r.path == row.path).map(|r| median(&r.cpu()));
        let ratio = |name| of(name).map_or("-".to_owned(), |peer| format!("{:.2}x", median(&row.cpu()) / peer));
        let _ = writeln!(
            out,
            "| {} | {} | {} | {:.2} | {:.0} % | {} | {} | {} | {:.0} |",
            row.path.word(),
            row.connections,
            row.name,
            median(&row.cpu()),
            spread_percent(&row.cpu()),
            ratio("nginx"),
            ratio("haproxy"),
            ratio("varnish"),
            row.rate()
        );
    }
    let _ = writeln!(
        out,
        "\nRequests per second are the driver's limit, not the proxy's.\n\n{}\n{}; {}; {}; pumasi {}\nwrk -t1, access logs off; nginx: worker_processes 1, keepalive 512 to the upstream; HAProxy: nbthread 1, http-reuse always; Varnish: thread_pools 1, all on the proxy's core.",
        machine::describe(),
        machine::version_of("nginx", "-v"),
        machine::version_of("haproxy", "-v"),
        machine::version_of("varnishd", "-V"),
        env!("CARGO_PKG_VERSION"),
    );
    out
}

fn json(rows: &[Row]) -> String {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            serde_json::json!({
                "path": row.path.word(), "proxy": row.name, "connections": row.connections, "cpu_us_per_request": row.cpu(),
                "requests_per_s": row.rounds.iter().map(|r| r.requests_per_s).collect::<Vec<_>>(),
            })
        })
        .collect();
    let versions = [machine::version_of("nginx", "-v"), machine::version_of("haproxy", "-v"), machine::version_of("varnishd", "-V")];
    format!("{:#}\n", serde_json::json!({ "machine": machine::describe(), "versions": versions, "rows": rows }))
}

// === the peers' configurations ===

pub fn start_nginx(core: usize, directory: &std::path::Path, name: &str, configuration: &str) -> Result<Running> {
    let prefix = directory.join(name);
    fs::create_dir_all(&prefix)?;
    let path = prefix.join("nginx.conf");
    fs::write(&path, configuration)?;
    start(core, "nginx", &["-e", "/dev/null", "-p", &prefix.to_string_lossy(), "-c", &path.to_string_lossy()])
}

const NGINX_HEAD: &str = "daemon off; worker_processes 1; pid nginx.pid; error_log /dev/null;\nevents { worker_connections 20000; }\n";

const NGINX_PATHS: &str = "client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;";

pub fn origin_configuration(port: u16) -> String {
    format!(
        "{NGINX_HEAD}http {{ {NGINX_PATHS} access_log off; keepalive_requests 100000000; keepalive_timeout 600s;\n\
         server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ default_type text/plain; add_header Cache-Control max-age=3600; return 200 \"{}\"; }} }} }}\n",
        content()
    )
}

fn nginx_configuration(path: Path, port: u16, origin: u16) -> String {
    let (zone, cache) = match path {
        Path::Proxied => ("", ""),
        Path::Hit => ("proxy_cache_path c keys_zone=z:10m;", "proxy_cache z;"),
    };
    format!(
        "{NGINX_HEAD}http {{ {NGINX_PATHS} access_log off; keepalive_requests 100000000; keepalive_timeout 600s; {zone}\n\
         upstream app {{ server 127.0.0.1:{origin}; keepalive 512; keepalive_requests 100000000; }}\n\
         server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection \"\"; \
         proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme; {cache} }} }} }}\n"
    )
}

fn haproxy_configuration(path: Path, port: u16, origin: u16) -> String {
    let (store, rules) = match path {
        Path::Proxied => ("", ""),
        Path::Hit => ("cache c\n  total-max-size 64\n  max-age 3600\n", "  http-request cache-use c\n  http-response cache-store c\n"),
    };
    format!(
        "global\n  nbthread 1\n  maxconn 8000\n{store}defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
         \x20 timeout http-keep-alive 60s\n  http-reuse always\n  option forwardfor\nfrontend f\n  bind 127.0.0.1:{port}\n  default_backend b\n\
         backend b\n{rules}  server s 127.0.0.1:{origin} pool-max-conn 1000\n"
    )
}
