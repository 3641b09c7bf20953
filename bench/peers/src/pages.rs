//! A hit from memory: CPU per request beside nginx's proxy_cache, Varnish and HAProxy's cache.
//!
//! One worker on core 0 for all, wrk and the origin on core 1, keep-alive, access logs off. Every cache is filled by one request and
//! checked to answer from its store before timing.

use std::{
    fmt::Write as _,
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    machine::{self, cpu_ticks},
    process::{Running, free_port, start, wait_for},
    table::{median, spread_percent},
};

const ROUNDS: usize = 5;
const SECONDS: u64 = 3;

/// Name, bytes, connections.
const ROWS: [(&str, usize, usize); 4] = [("216 B", 216, 16), ("216 B", 216, 128), ("10 KiB", 10 << 10, 128), ("100 KiB", 100 << 10, 16)];

/// Where the caches run, and where everything else does.
const CACHE_CORE: usize = 0;
const DRIVER_CORE: usize = 1;

/// `--only NAME`, `--rounds N`, `--no-write`.
pub fn run(options: &[&str]) -> Result<()> {
    let (mut only, mut rounds, mut write) = (None, ROUNDS, true);
    let mut rest = options.iter();
    while let Some(option) = rest.next() {
        match *option {
            "--only" => only = rest.next().copied(),
            "--rounds" => rounds = rest.next().context("--rounds needs a number")?.parse()?,
            "--no-write" => write = false,
            other => bail!("pages has no option {other}"),
        }
    }
    let directory = tempfile::tempdir()?;
    let origin = free_port()?;
    let _origin = start_origin(directory.path(), origin)?;
    wait_for(origin)?;
    let mut contenders = Vec::new();
    for cache in Cache::ALL {
        if only.is_some_and(|only| only != cache.name()) {
            continue;
        }
        match cache.installed() {
            true => contenders.push(Contender::start(cache, directory.path(), origin)?),
            false => eprintln!("{}: not installed, left out", cache.name()),
        }
    }
    let mut rows = Vec::new();
    for (label, bytes, connections) in ROWS {
        for contender in &contenders {
            contender.check(bytes)?;
            contender.measure(bytes, connections, 1)?;
        }
        let mut taken: Vec<Vec<Round>> = contenders.iter().map(|_| Vec::new()).collect();
        for _ in 0..rounds {
            for (contender, rounds) in contenders.iter().zip(&mut taken) {
                rounds.push(contender.measure(bytes, connections, SECONDS)?);
            }
        }
        for (contender, rounds) in contenders.iter().zip(taken) {
            rows.push(Row { cache: contender.cache, label, connections, rounds });
        }
    }
    let report = report(&rows);
    print!("{report}");
    if write {
        let directory = machine::run_directory()?;
        fs::write(directory.join("pages.md"), &report)?;
        fs::write(directory.join("pages.json"), json(&rows))?;
        println!("written to {}", directory.display());
    }
    Ok(())
}

struct Contender {
    cache: Cache,
    port: u16,
    running: Running,
}

struct Round {
    us_per_request: f64,
    requests_per_s: f64,
}

struct Row {
    cache: Cache,
    label: &'static str,
    connections: usize,
    rounds: Vec<Round>,
}

impl Row {
    fn cpu(&self) -> Vec<f64> {
        self.rounds.iter().map(|round| round.us_per_request).collect()
    }
}

impl Contender {
    fn start(cache: Cache, directory: &Path, origin: u16) -> Result<Contender> {
        let port = free_port()?;
        let running = cache.start(port, origin, directory)?;
        wait_for(port)?;
        Ok(Contender { cache, port, running })
    }

    /// Fills the store, then makes sure that the answers are whole and come from it.
    fn check(&self, bytes: usize) -> Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        for attempt in 0..5 {
            stream.write_all(format!("GET /{bytes} HTTP/1.1\r\nHost: bench\r\n\r\n").as_bytes())?;
            let mut answer = Vec::new();
            let mut buffer = vec![0; 64 << 10];
            while answer.windows(4).position(|w| w == b"\r\n\r\n").is_none_or(|at| answer.len() < at + 4 + bytes) {
                let count = stream.read(&mut buffer).with_context(|| format!("{} does not answer", self.cache.name()))?;
                ensure!(count > 0, "{} closed the connection", self.cache.name());
                answer.extend_from_slice(&buffer[..count]);
            }
            ensure!(answer.starts_with(b"HTTP/1.1 200"), "{}: {}", self.cache.name(), answer[..200.min(answer.len())].escape_ascii());
            let head = String::from_utf8_lossy(&answer[..1000.min(answer.len())]).to_ascii_lowercase();
            // Age, or what the cache says of itself: nginx adds neither unless told to.
            if attempt > 0 && (head.contains("\r\nage:") || head.contains("x-cache: hit")) {
                return Ok(());
            }
        }
        bail!("{} does not answer from its store", self.cache.name())
    }

    fn measure(&self, bytes: usize, connections: usize, seconds: u64) -> Result<Round> {
        let before = self.ticks()?;
        let output = Command::new("taskset")
            .args(["-c", &DRIVER_CORE.to_string(), "wrk", "-t1", &format!("-c{connections}"), &format!("-d{seconds}s")])
            .arg(format!("http://127.0.0.1:{}/{bytes}", self.port))
            .output()
            .context("running wrk")?;
        let ticks = self.ticks()? - before;
        let text = String::from_utf8(output.stdout)?;
        ensure!(!text.contains("Non-2xx") && !text.contains("Socket errors"), "{}: {text}", self.cache.name());
        let line = text.lines().find(|l| l.contains(" requests in ")).with_context(|| format!("wrk said {text:?}"))?;
        let requests: f64 = line.split_whitespace().next().context("a count")?.parse()?;
        let cpu_us = ticks as f64 * 1e6 / machine::ticks_per_second() as f64;
        Ok(Round { us_per_request: cpu_us / requests, requests_per_s: requests / seconds as f64 })
    }

    /// The program and its children: nginx's worker, Varnish's cache process.
    fn ticks(&self) -> Result<u64> {
        let mut ticks = cpu_ticks(self.running.pid())?;
        for child in machine::children(self.running.pid()) {
            ticks += cpu_ticks(child)?;
        }
        Ok(ticks)
    }
}

fn report(rows: &[Row]) -> String {
    let mut out = String::from("# A hit from memory\n\n");
    let _ = writeln!(
        out,
        "Keep-alive, one worker on core {CACHE_CORE}, wrk and the origin on core {DRIVER_CORE}. CPU of the cache (user + system ticks) over requests\n\
         answered; median of {} rounds in turn, spread of the extremes.\n",
        rows.first().map_or(0, |row| row.rounds.len())
    );
    let _ = writeln!(
        out,
        "| body | connections | cache | CPU us/request | spread | beside nginx | beside Varnish | beside HAProxy | requests/s |"
    );
    let _ = writeln!(out, "|---|---|---|---|---|---|---|---|---|");
    for row in rows {
        let beside = |cache: Cache| {
            let peer = rows.iter().find(|other| other.cache == cache && other.label == row.label && other.connections == row.connections);
            peer.map_or("-".to_owned(), |peer| format!("{:.2}x", median(&row.cpu()) / median(&peer.cpu())))
        };
        let rate = median(&row.rounds.iter().map(|round| round.requests_per_s).collect::<Vec<_>>());
        let _ = writeln!(
            out,
            "| {} | {} | {} | {:.2} | {:.0} % | {} | {} | {} | {rate:.0} |",
            row.label,
            row.connections,
            row.cache.name(),
            median(&row.cpu()),
            spread_percent(&row.cpu()),
            beside(Cache::Nginx),
            beside(Cache::Varnish),
            beside(Cache::Haproxy),
        );
    }
    let _ = writeln!(
        out,
        "\n{}\n{}; {}; {}; pumasi {}\nAnswers carry Age and Cache-Status (Pumasi), Age and Via (Varnish), Age (HAProxy), nothing (nginx; X-Cache was added to see its hits).",
        machine::describe(),
        machine::version_of("nginx", "-v"),
        machine::version_of("varnishd", "-V"),
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
                "cache": row.cache.name(), "body": row.label, "connections": row.connections, "cpu_us_per_request": row.cpu(),
                "requests_per_s": row.rounds.iter().map(|round| round.requests_per_s).collect::<Vec<_>>(),
            })
        })
        .collect();
    let versions = [machine::version_of("nginx", "-v"), machine::version_of("varnishd", "-V"), machine::version_of("haproxy", "-v")];
    format!("{:#}\n", serde_json::json!({ "machine": machine::describe(), "versions": versions, "rows": rows }))
}

// === who takes part ===

#[derive(Clone, Copy, PartialEq, Eq)]
enum Cache {
    Pumasi,
    Nginx,
    Varnish,
    Haproxy,
}

impl Cache {
    const ALL: [Cache; 4] = [Cache::Pumasi, Cache::Nginx, Cache::Varnish, Cache::Haproxy];

    fn name(self) -> &'static str {
        match self {
            Cache::Pumasi => "pumasi",
            Cache::Nginx => "nginx",
            Cache::Varnish => "varnish",
            Cache::Haproxy => "haproxy",
        }
    }

    fn installed(self) -> bool {
        let (program, flag) = match self {
            Cache::Pumasi => return true,
            Cache::Nginx => ("nginx", "-v"),
            Cache::Varnish => ("varnishd", "-V"),
            Cache::Haproxy => ("haproxy", "-v"),
        };
        !machine::version_of(program, flag).ends_with("not installed")
    }

    fn start(self, port: u16, origin: u16, directory: &Path) -> Result<Running> {
        let home = directory.join(self.name());
        fs::create_dir_all(&home)?;
        let path = home.join("configuration");
        match self {
            Cache::Pumasi => {
                let own = std::env::current_exe()?;
                fs::write(&path, crate::cache_tests::pumasi_with_pages(port, origin))?;
                start(CACHE_CORE, &own.to_string_lossy(), &["serve-edge", &path.to_string_lossy()])
            }
            Cache::Nginx => {
                fs::write(&path, nginx_configuration(port, origin))?;
                start(CACHE_CORE, "nginx", &["-e", "/dev/null", "-p", &home.to_string_lossy(), "-c", &path.to_string_lossy()])
            }
            Cache::Varnish => {
                let (working, listen, upstream) = (home.join("v"), format!("127.0.0.1:{port}"), format!("127.0.0.1:{origin}"));
                start(
                    CACHE_CORE,
                    "varnishd",
                    &["-F", "-n", &working.to_string_lossy(), "-a", &listen, "-b", &upstream, "-s", "malloc,256m"],
                )
            }
            Cache::Haproxy => {
                fs::write(&path, haproxy_configuration(port, origin))?;
                start(CACHE_CORE, "haproxy", &["-db", "-f", &path.to_string_lossy()])
            }
        }
    }
}

const NGINX_HEAD: &str = "daemon off; worker_processes 1; pid nginx.pid; error_log /dev/null;\nevents { worker_connections 20000; }\n";
const NGINX_PATHS: &str = "client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;";

/// Files named by their size, fresh for an hour.
fn start_origin(directory: &Path, port: u16) -> Result<Running> {
    let prefix = directory.join("origin");
    fs::create_dir_all(prefix.join("files"))?;
    for (_, bytes, _) in ROWS {
        fs::write(prefix.join("files").join(bytes.to_string()), "x".repeat(bytes))?;
    }
    let path = prefix.join("nginx.conf");
    let files = prefix.join("files").display().to_string();
    fs::write(
        &path,
        format!(
            "{NGINX_HEAD}user root;\nhttp {{ {NGINX_PATHS} access_log off; server {{ listen 127.0.0.1:{port}; root {files};\n\
             location / {{ default_type text/plain; add_header Cache-Control max-age=3600; }} }} }}\n"
        ),
    )?;
    start(DRIVER_CORE, "nginx", &["-e", "/dev/null", "-p", &prefix.to_string_lossy(), "-c", &path.to_string_lossy()])
}

fn nginx_configuration(port: u16, origin: u16) -> String {
    format!(
        "{NGINX_HEAD}http {{ {NGINX_PATHS} access_log off; keepalive_requests 100000000; keepalive_timeout 600s; sendfile on; tcp_nopush on;\n\
         open_file_cache max=1000; proxy_cache_path c keys_zone=z:10m;\n\
         server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ proxy_pass http://127.0.0.1:{origin}; proxy_cache z; proxy_cache_valid 200 1h;\n\
         add_header X-Cache $upstream_cache_status; }} }} }}\n"
    )
}

fn haproxy_configuration(port: u16, origin: u16) -> String {
    format!(
        "global\n  nbthread 1\n  maxconn 8000\ndefaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
         cache c\n  total-max-size 256\n  max-object-size 1000000\n  max-age 3600\nfrontend f\n  bind 127.0.0.1:{port}\n  http-request cache-use c\n\
         \x20 http-response cache-store c\n  default_backend b\nbackend b\n  server s 127.0.0.1:{origin}\n"
    )
}
