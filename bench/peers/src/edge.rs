//! Requests through the edge, hits from its store, files, and TCP passed on: CPU of the proxy per request, beside nginx, HAProxy and Varnish.
//!
//! One proxy thread on core 0; the load generator and the origin (nginx) on core 1. The generator saturates first, so requests per second
//! say little: the figure is the proxy's user and system ticks over the requests it answered in the same seconds. Latency is taken at a rate
//! that all can hold.

mod contender;
mod report;

use std::{fs, net::TcpStream, time::Duration};

use anyhow::{Context, Result, bail, ensure};

use contender::{Certificate, Contender, ask, content_of, drive, raise_descriptor_limit, start_origin};
pub use contender::{serve, start_nginx};

use crate::{load, machine, process::free_port, table::median};

/// With all rows some nine minutes.
const ROUNDS: usize = 5;
const SECONDS: u64 = 1;

/// A round is a second longer for so many connections: opening them must not be what is measured.
const CONNECTIONS_PER_SECOND: usize = 1_000;

/// How long latencies are taken.
const LATENCY_SECONDS: u64 = 4;

/// Where the proxies run, and where everything else does.
const PROXY_CORE: usize = 0;
const DRIVER_CORE: usize = 1;

/// HTTP/2 requests at once on each connection.
const STREAMS: usize = 8;

/// Requests per second for latencies: a fifth of what the slowest does with the core to itself.
const RATE: usize = 10_000;
const RATE_CONNECTIONS: usize = 64;

/// Idle connections whose memory is weighed.
const IDLE_CONNECTIONS: usize = 4_000;

/// One row's question.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Case {
    protocol: Protocol,
    content: Content,
    connections: usize,
}

/// What is the proxy's own protocol's, or everybody's.
const CASES: [Case; 8] = [
    Case { protocol: Protocol::Http1, content: Content::Small, connections: 16 },
    Case { protocol: Protocol::Http1, content: Content::Small, connections: 128 },
    Case { protocol: Protocol::Http1, content: Content::Small, connections: 4_000 },
    Case { protocol: Protocol::Http1, content: Content::Kib1, connections: 128 },
    Case { protocol: Protocol::Http1, content: Content::Kib100, connections: 128 },
    Case { protocol: Protocol::Http1, content: Content::Mib10, connections: 16 },
    Case { protocol: Protocol::Https, content: Content::Small, connections: 128 },
    Case { protocol: Protocol::Http2, content: Content::Small, connections: 16 },
];

/// What differs by how bytes get from one descriptor to another: a little, some, much.
const BYTES: [Case; 3] = [
    Case { protocol: Protocol::Http1, content: Content::Kib1, connections: 128 },
    Case { protocol: Protocol::Http1, content: Content::Kib100, connections: 128 },
    Case { protocol: Protocol::Http1, content: Content::Mib10, connections: 16 },
];

/// `--only NAME`, `--path proxied|hit|files|tcp`, `--cases N` (the first N), `--rounds N`, `--seconds N`, `--no-write`: for work on the data path.
/// Without them, the recorded run.
pub fn run(options: &[&str]) -> Result<()> {
    let options = Options::parse(options)?;
    raise_descriptor_limit();
    let directory = tempfile::tempdir()?;
    let certificate = Certificate::make(directory.path())?;
    let origin_port = free_port()?;
    let _origin = start_origin(directory.path(), origin_port)?;
    let content = content_of(directory.path());
    let mut findings = report::Findings::default();
    for path in Path::ALL {
        let peers = path.peers();
        if options.path.is_some_and(|only| only != path) {
            continue;
        }
        let wanted = peers.iter().filter(|name| options.only.as_deref().is_none_or(|only| only == **name));
        let contenders = wanted
            .map(|name| Contender::start(name, path, directory.path(), origin_port, &certificate, &content))
            .collect::<Result<Vec<_>>>()?;
        for contender in &contenders {
            Content::ALL.into_iter().try_for_each(|content| contender.check_answer(path, content))?;
        }
        for &case in path.cases().iter().take(options.cases) {
            compare(path, case, &contenders, &options, &mut findings)?;
        }
        if options.cases < CASES.len() || matches!(path, Path::Files | Path::Tcp) {
            continue;
        }
        for contender in &contenders {
            findings.latencies.push(latency(path, contender)?);
        }
        if path == Path::Proxied {
            // Fresh processes: what the load above has left behind would be counted as nothing.
            for contender in &contenders {
                let fresh = Contender::start(contender.name, path, &directory.path().join("idle"), origin_port, &certificate, &content)?;
                findings.memory.push((fresh.name, idle_bytes(&fresh)?));
            }
        }
    }
    let text = findings.markdown();
    print!("{text}");
    if options.write {
        let directory = machine::run_directory()?;
        fs::write(directory.join("edge.md"), &text)?;
        fs::write(directory.join("edge.json"), findings.json())?;
        println!("written to {}", directory.display());
    }
    Ok(())
}

/// Rounds in turn (A B C A B C ...), so that what else the machine does meets all of them.
fn compare(path: Path, case: Case, contenders: &[Contender], options: &Options, findings: &mut report::Findings) -> Result<()> {
    let able: Vec<(&Contender, String)> = contenders.iter().filter_map(|c| Some((c, c.url(path, case.protocol, case.content)?))).collect();
    for (contender, url) in &able {
        measure(contender, url, case, 1)?; // warm
    }
    let mut rounds: Vec<Vec<Round>> = able.iter().map(|_| Vec::new()).collect();
    for _ in 0..options.rounds {
        for ((contender, url), rounds) in able.iter().zip(&mut rounds) {
            let seconds = options.seconds.max((case.connections / CONNECTIONS_PER_SECOND) as u64);
            rounds.push(measure(contender, url, case, seconds)?);
        }
    }
    for ((contender, _), rounds) in able.iter().zip(rounds) {
        let row = report::Row { path, name: contender.name, case, rounds };
        eprintln!("{} {} {}: {:.2} us", path.word(), case.words(), contender.name, median(&row.cpu()));
        findings.rows.push(row);
    }
    Ok(())
}

struct Round {
    us_per_request: f64,
    requests_per_s: f64,
}

fn measure(contender: &Contender, url: &str, case: Case, seconds: u64) -> Result<Round> {
    let before = contender.ticks()?;
    let requests = match case.protocol {
        Protocol::Http1 | Protocol::Https => with_wrk(url, case.connections, seconds),
        Protocol::Http2 => with_h2load(url, case.connections, seconds),
    };
    let requests = requests.with_context(|| format!("{} at {url}, {} connections", contender.name, case.connections))?;
    let ticks = contender.ticks()? - before;
    let cpu_us = ticks as f64 * 1e6 / machine::ticks_per_second() as f64;
    Ok(Round { us_per_request: cpu_us / requests, requests_per_s: requests / seconds as f64 })
}

/// Requests answered.
fn with_wrk(url: &str, connections: usize, seconds: u64) -> Result<f64> {
    let text = drive("wrk", &["-t1".into(), format!("-c{connections}"), format!("-d{seconds}s"), url.into()])?;
    // A time-out is a request that a round's end found waiting: with 4,000 connections on one core there may be some.
    let broken = text.lines().find(|line| line.contains("Socket errors")).is_some_and(|line| !line.contains("connect 0, read 0, write 0"));
    ensure!(!text.contains("Non-2xx") && !broken, "{text}");
    let line = text.lines().find(|l| l.contains(" requests in ")).with_context(|| format!("wrk said {text:?}"))?;
    Ok(line.split_whitespace().next().context("a count")?.parse()?)
}

fn with_h2load(url: &str, connections: usize, seconds: u64) -> Result<f64> {
    let text = drive("h2load", &["-t1".into(), format!("-c{connections}"), format!("-m{STREAMS}"), format!("-D{seconds}"), url.into()])?;
    ensure!(text.contains("Application protocol: h2"), "{text}");
    let line = text.lines().find(|l| l.starts_with("requests: ")).with_context(|| format!("h2load said {text:?}"))?;
    let count = |word: &str| -> Result<f64> {
        let part = line.split(", ").find(|part| part.ends_with(word)).with_context(|| format!("{word} in {line:?}"))?;
        Ok(part.split(' ').next().unwrap_or_default().parse()?)
    };
    ensure!(count("failed")? == 0.0, "{text}");
    count("succeeded")
}

/// What a client meets at [`RATE`]: milliseconds at p50 and p99, from the intended start.
fn latency(path: Path, contender: &Contender) -> Result<report::Latency> {
    let url = contender.url(path, Protocol::Http1, Content::Small).context("all speak HTTP/1.1")?;
    let (rate, connections, length) = (RATE.to_string(), RATE_CONNECTIONS.to_string(), format!("{LATENCY_SECONDS}s"));
    let (text, _) = load::generate(
        &[&url, "--rate", &rate, "--for", &length, "--threads", "1", "--connections", &connections],
        Duration::from_secs(LATENCY_SECONDS + 1),
    )?;
    let run: serde_json::Value = serde_json::from_str(&text)?;
    let ms = |field: &str| run["response"][field].as_f64().unwrap_or(f64::NAN);
    Ok(report::Latency { path, name: contender.name, p50_ms: ms("p50"), p99_ms: ms("p99"), valid: run["valid"] == true })
}

/// Memory of the proxy per connection that has asked once and now waits, beside what it had before. Kernel memory is not in it: that is the
/// same for all.
fn idle_bytes(contender: &Contender) -> Result<f64> {
    let before = contender.resident_kib()?;
    let mut idle: Vec<TcpStream> = Vec::with_capacity(IDLE_CONNECTIONS);
    for _ in 0..IDLE_CONNECTIONS {
        let mut stream = contender.connect()?;
        ask(&mut stream, &Content::Small.path(), Content::Small)?;
        idle.push(stream);
    }
    let after = contender.resident_kib()?;
    Ok((after.saturating_sub(before) * 1024) as f64 / IDLE_CONNECTIONS as f64)
}

/// What happens to a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Path {
    Proxied,
    Hit,
    /// The proxy has the files itself.
    Files,
    /// A connection passed on as it is: what is asked over it is the origin's business.
    Tcp,
}

impl Path {
    const ALL: [Path; 4] = [Path::Proxied, Path::Hit, Path::Files, Path::Tcp];

    fn word(self) -> &'static str {
        match self {
            Path::Proxied => "proxied",
            Path::Hit => "hit",
            Path::Files => "files",
            Path::Tcp => "tcp",
        }
    }

    /// Who does this.
    fn peers(self) -> &'static [&'static str] {
        match self {
            Path::Proxied => &["pumasi", "nginx", "haproxy"],
            Path::Hit => &["pumasi", "nginx", "haproxy", "varnish"],
            Path::Files => &["pumasi", "nginx"],
            Path::Tcp => &["pumasi", "haproxy"],
        }
    }

    fn cases(self) -> &'static [Case] {
        match self {
            Path::Proxied | Path::Hit => &CASES,
            Path::Files | Path::Tcp => &BYTES,
        }
    }

    /// Where `content` is.
    fn target(self, content: Content) -> String {
        match self {
            Path::Files => format!("/{}", content.file()),
            _ => content.path(),
        }
    }
}

/// What the client speaks. To the origin all speak HTTP/1.1 in the clear.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    /// HTTP/1.1 in TLS 1.3.
    Https,
    /// HTTP/2 in TLS 1.3.
    Http2,
}

/// How much is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Content {
    Small,
    Kib1,
    Kib100,
    Mib10,
}

impl Content {
    pub const ALL: [Content; 4] = [Content::Small, Content::Kib1, Content::Kib100, Content::Mib10];

    fn bytes(self) -> usize {
        match self {
            Content::Small => 216,
            Content::Kib1 => 1 << 10,
            Content::Kib100 => 100 << 10,
            Content::Mib10 => 10 << 20,
        }
    }

    fn file(self) -> &'static str {
        match self {
            Content::Small => "216b",
            Content::Kib1 => "1k",
            Content::Kib100 => "100k",
            Content::Mib10 => "10m",
        }
    }

    fn path(self) -> String {
        match self {
            Content::Small => "/".into(),
            other => format!("/{}", other.file()),
        }
    }

    fn words(self) -> &'static str {
        match self {
            Content::Small => "216 B",
            Content::Kib1 => "1 KiB",
            Content::Kib100 => "100 KiB",
            Content::Mib10 => "10 MiB",
        }
    }
}

impl Case {
    fn words(self) -> String {
        let protocol = match self.protocol {
            Protocol::Http1 => "HTTP/1.1",
            Protocol::Https => "HTTPS",
            Protocol::Http2 => "HTTP/2",
        };
        format!("{protocol} | {} | {}", self.content.words(), self.connections)
    }
}

struct Options {
    only: Option<String>,
    path: Option<Path>,
    cases: usize,
    rounds: usize,
    seconds: u64,
    write: bool,
}

impl Options {
    fn parse(options: &[&str]) -> Result<Options> {
        let mut parsed = Options { only: None, path: None, cases: CASES.len(), rounds: ROUNDS, seconds: SECONDS, write: true };
        let mut rest = options.iter();
        while let Some(option) = rest.next() {
            let mut value = || rest.next().with_context(|| format!("{option} needs a value"));
            match *option {
                "--only" => parsed.only = Some((*value()?).to_owned()),
                "--path" => {
                    let word = *value()?;
                    parsed.path =
                        Some(Path::ALL.into_iter().find(|path| path.word() == word).with_context(|| format!("there is no path {word}"))?);
                }
                "--cases" => parsed.cases = value()?.parse()?,
                "--rounds" => parsed.rounds = value()?.parse()?,
                "--seconds" => parsed.seconds = value()?.parse()?,
                "--no-write" => parsed.write = false,
                other => bail!("edge has no option {other}"),
            }
        }
        Ok(parsed)
    }
}
