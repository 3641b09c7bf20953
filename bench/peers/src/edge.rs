//! A proxied GET with keep-alive on both sides: CPU of the proxy per request, beside nginx and HAProxy.
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
use pumasi_config::{AccessLog, BalancePolicy, EdgeLimits, EdgePlan, EvictionPolicy, HashBy, Members, PagesMode, PagesPlan, PoolPlan, RoutePlan, UpstreamPlan};
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

/// `--only NAME`, `--rounds N`, `--seconds N`, `--no-write`: for work on the data path. Without them, the recorded run.
pub fn run(options: &[&str]) -> Result<()> {
    let options = Options::parse(options)?;
    let directory = tempfile::tempdir()?;
    let origin_port = free_port()?;
    let _origin = start_nginx(DRIVER_CORE, directory.path(), "origin", &origin_configuration(origin_port))?;
    wait_for(origin_port)?;
    let mut contenders = Vec::new();
    for name in ["pumasi", "nginx", "haproxy"] {
        if options.only.as_ref().is_none_or(|only| only == name) {
            contenders.push(Contender::start(name, directory.path(), origin_port)?);
        }
    }
    for contender in &contenders {
        check_answer(contender)?;
    }
    let mut rows = Vec::new();
    for connections in [16, 128] {
        for contender in &contenders {
            measure(contender, connections, 1)?; // warm
        }
        let mut rounds: Vec<Vec<Round>> = contenders.iter().map(|_| Vec::new()).collect();
        for _ in 0..options.rounds {
            for (contender, rounds) in contenders.iter().zip(&mut rounds) {
                rounds.push(measure(contender, connections, options.seconds)?);
            }
        }
        for (contender, rounds) in contenders.iter().zip(rounds) {
            rows.push(Row { name: contender.name, connections, rounds });
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

/// The edge as the contender, one thread, until it is stopped.
pub fn serve(upstream: &str, pages: PagesMode) -> Result<()> {
    let (listen, upstream) = upstream.split_once('=').context("LISTEN=UPSTREAM")?;
    let plan = EdgePlan {
        listen: vec![listen.parse()?],
        tls: None,
        threads: 1,
        routes: vec![RoutePlan { host: None, path: "/*".into(), pool: "app".into(), pages }],
        limits: EdgeLimits {
            connections_max: 20_000,
            header_bytes_max: 16 << 10,
            headers_max: 100,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            body_idle_timeout: Duration::from_secs(30),
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
            eviction: EvictionPolicy::S3Fifo, stale_if_error: Duration::from_secs(60), stale_while_revalidate: Duration::ZERO, missing_for: Duration::ZERO,
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
    rounds: usize,
    seconds: u64,
    write: bool,
}

impl Options {
    fn parse(options: &[&str]) -> Result<Options> {
        let mut parsed = Options { only: None, rounds: ROUNDS, seconds: SECONDS, write: true };
        let mut rest = options.iter();
        while let Some(option) = rest.next() {
            let mut value = || rest.next().with_context(|| format!("{option} needs a value"));
            match *option {
                "--only" => parsed.only = Some((*value()?).to_owned()),
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
    fn start(name: &'static str, directory: &std::path::Path, origin: u16) -> Result<Contender> {
        let port = free_port()?;
        let running = match name {
            "nginx" => start_nginx(PROXY_CORE, directory, "proxy", &nginx_configuration(port, origin))?,
            "haproxy" => {
                let path = directory.join("haproxy.cfg");
                fs::write(&path, haproxy_configuration(port, origin))?;
                start(PROXY_CORE, "haproxy", &["-db", "-f", &path.to_string_lossy()])?
            }
            _ => {
                let own = std::env::current_exe()?;
                start(PROXY_CORE, &own.to_string_lossy(), &["serve-edge", &format!("127.0.0.1:{port}=127.0.0.1:{origin}")])?
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
    let mut out = String::from("# A proxied GET\n\n");
    let _ = writeln!(
        out,
        "216-byte answer, keep-alive on both sides, one proxy thread on core {PROXY_CORE}, wrk and the origin on core {DRIVER_CORE}.\n\
         CPU of the proxy (user + system ticks) over requests answered; median of {} rounds in turn, spread of the extremes.\n",
        rows.first().map_or(0, |r| r.rounds.len())
    );
    let _ = writeln!(
        out,
        "| connections | proxy | CPU us/request | spread | beside nginx | beside HAProxy | requests/s (the generator's limit) |"
    );
    let _ = writeln!(out, "|---|---|---|---|---|---|---|");
    for row in rows {
        let of = |name| rows.iter().find(|r| r.name == name && r.connections == row.connections).map(|r| median(&r.cpu()));
        let ratio = |name| of(name).map_or("-".to_owned(), |peer| format!("{:.2}x", median(&row.cpu()) / peer));
        let _ = writeln!(
            out,
            "| {} | {} | {:.2} | {:.0} % | {} | {} | {:.0} |",
            row.connections,
            row.name,
            median(&row.cpu()),
            spread_percent(&row.cpu()),
            ratio("nginx"),
            ratio("haproxy"),
            row.rate()
        );
    }
    let _ = writeln!(
        out,
        "\n{}\n{}; {}; pumasi {}\nwrk -t1, access logs off; nginx: worker_processes 1, keepalive 512 to the upstream; HAProxy: nbthread 1, http-reuse always.",
        machine::describe(),
        machine::version_of("nginx", "-v"),
        machine::version_of("haproxy", "-v"),
        env!("CARGO_PKG_VERSION"),
    );
    out
}

fn json(rows: &[Row]) -> String {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            serde_json::json!({
                "proxy": row.name, "connections": row.connections, "cpu_us_per_request": row.cpu(),
                "requests_per_s": row.rounds.iter().map(|r| r.requests_per_s).collect::<Vec<_>>(),
            })
        })
        .collect();
    let versions = [machine::version_of("nginx", "-v"), machine::version_of("haproxy", "-v")];
    format!("{:#}\n", serde_json::json!({ "machine": machine::describe(), "versions": versions, "rows": rows }))
}

// === the peers' configurations ===

fn start_nginx(core: usize, directory: &std::path::Path, name: &str, configuration: &str) -> Result<Running> {
    let prefix = directory.join(name);
    fs::create_dir_all(&prefix)?;
    let path = prefix.join("nginx.conf");
    fs::write(&path, configuration)?;
    start(core, "nginx", &["-e", "/dev/null", "-p", &prefix.to_string_lossy(), "-c", &path.to_string_lossy()])
}

const NGINX_HEAD: &str = "daemon off; worker_processes 1; pid nginx.pid; error_log /dev/null;\nevents { worker_connections 20000; }\n";

const NGINX_PATHS: &str = "client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;";

fn origin_configuration(port: u16) -> String {
    format!(
        "{NGINX_HEAD}http {{ {NGINX_PATHS} access_log off; keepalive_requests 100000000; keepalive_timeout 600s;\n\
         server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ default_type text/plain; return 200 \"{}\"; }} }} }}\n",
        content()
    )
}

fn nginx_configuration(port: u16, origin: u16) -> String {
    format!(
        "{NGINX_HEAD}http {{ {NGINX_PATHS} access_log off; keepalive_requests 100000000; keepalive_timeout 600s;\n\
         upstream app {{ server 127.0.0.1:{origin}; keepalive 512; keepalive_requests 100000000; }}\n\
         server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection \"\"; \
         proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme; }} }} }}\n"
    )
}

fn haproxy_configuration(port: u16, origin: u16) -> String {
    format!(
        "global\n  nbthread 1\n  maxconn 8000\ndefaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n  timeout http-keep-alive 60s\n\
         \x20 http-reuse always\n  option forwardfor\nfrontend f\n  bind 127.0.0.1:{port}\n  default_backend b\nbackend b\n  server s 127.0.0.1:{origin} pool-max-conn 1000\n"
    )
}
