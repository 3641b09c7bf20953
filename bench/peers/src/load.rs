//! The load generator beside wrk and h2load: requests per CPU-second, agreement of the figures, exactness of the rate, and a stall.
//!
//! nginx answers 216 bytes from memory on core 0, one generator thread runs on core 1. The generator's CPU time is read from /proc
//! when it has ended and not yet been waited for, in the same way for all.

use std::{
    fmt::Write as _,
    fs,
    io::Read,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    edge::start_nginx,
    machine::{self, cpu_ticks},
    process::{Running, free_port, wait_for},
    table::{median, spread_percent},
};

const ROUNDS: usize = 5;
const SECONDS: u64 = 2;
const SERVER_CORE: usize = 0;
const DRIVER_CORE: usize = 1;
const CONTENDERS: [&str; 3] = ["pumasi", "wrk", "h2load"];
/// The same over HTTP/2, by prior knowledge; wrk speaks none.
const CONTENDERS_HTTP2: [&str; 2] = ["pumasi, HTTP/2", "h2load, HTTP/2"];
/// HTTP/2 requests at once on one connection, for both.
const STREAMS: &str = "10";
/// Sockets of the fixed-rate run, as a wrk2 user would choose.
const RATE_CONNECTIONS: &str = "64";

/// The generator as a process of its own.
#[derive(Parser)]
pub struct Generate {
    #[command(flatten)]
    pub load: pumasi_load::LoadArgs,
}

pub fn run() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (port, port_http2) = (free_port()?, free_port()?);
    let server = start_nginx(SERVER_CORE, directory.path(), "origin", &server_configuration(port, port_http2))?;
    wait_for(port)?;
    let url = format!("http://127.0.0.1:{port}/");
    let url_http2 = format!("http://127.0.0.1:{port_http2}/");
    let mut report = String::from("# The load generator\n\n");
    let mut rows = Vec::new();
    for (contenders, url, connections) in
        [(&CONTENDERS[..], &url, 16), (&CONTENDERS, &url, 64), (&CONTENDERS, &url, 256), (&CONTENDERS_HTTP2, &url_http2, 16)]
    {
        let mut rounds: Vec<Vec<Closed>> = contenders.iter().map(|_| Vec::new()).collect();
        for _ in 0..ROUNDS {
            for (contender, rounds) in contenders.iter().zip(&mut rounds) {
                rounds.push(closed(contender, url, connections, SECONDS)?);
            }
        }
        rows.extend(contenders.iter().zip(rounds).map(|(name, rounds)| Row { name, connections, rounds }));
    }
    write_cost(&mut report, &rows);
    let exact = write_exactness(&mut report, &url)?;
    let stalled = write_stall(&mut report, &url, &server)?;
    let _ = writeln!(
        report,
        "\n{}\n{}; {}; {}; pumasi {}",
        machine::describe(),
        machine::version_of("nginx", "-v"),
        machine::version_of("wrk", "-v"),
        machine::version_of("h2load", "--version"),
        env!("CARGO_PKG_VERSION")
    );
    print!("{report}");
    let directory = machine::run_directory()?;
    fs::write(directory.join("load.md"), &report)?;
    let json = serde_json::json!({ "machine": machine::describe(), "closed": rows.iter().map(Row::json).collect::<Vec<_>>(), "open_50000": exact, "stall": stalled });
    fs::write(directory.join("load.json"), format!("{json:#}\n"))?;
    println!("written to {}", directory.display());
    Ok(())
}

// === as fast as it goes ===

struct Closed {
    cpu_us_per_request: f64,
    rate: f64,
    mean_us: f64,
    /// h2load tells no percentiles.
    p50_us: Option<f64>,
    p99_us: Option<f64>,
}

struct Row {
    name: &'static str,
    connections: usize,
    rounds: Vec<Closed>,
}

impl Row {
    fn of(&self, value: impl Fn(&Closed) -> f64) -> Vec<f64> {
        self.rounds.iter().map(value).collect()
    }

    fn json(&self) -> Value {
        serde_json::json!({ "generator": self.name, "connections": self.connections,
            "cpu_us_per_request": self.of(|r| r.cpu_us_per_request), "requests_per_s": self.of(|r| r.rate), "mean_us": self.of(|r| r.mean_us) })
    }
}

fn closed(contender: &str, url: &str, connections: usize, seconds: u64) -> Result<Closed> {
    let (c, d) = (connections.to_string(), seconds.to_string());
    let (text, cpu_us) = match contender {
        "wrk" => pinned("wrk", &["-t1", "-c", &c, "-d", &d, "--latency", url])?,
        "h2load" => pinned("h2load", &["--h1", "-t1", "-c", &c, "-D", &d, url])?,
        "h2load, HTTP/2" => pinned("h2load", &["-t1", "-c", &c, "-m", STREAMS, "-D", &d, url])?,
        "pumasi, HTTP/2" => {
            let vusers = (connections * 10).to_string();
            let load = [url, "--http2", "--streams", STREAMS, "--connections", &c, "--vusers", &vusers];
            generate(&[&load[..], &["--for", &format!("{d}s"), "--warmup", "0s", "--threads", "1"]].concat())?
        }
        _ => generate(&[url, "--vusers", &c, "--for", &format!("{d}s"), "--warmup", "0s", "--threads", "1"])?,
    };
    match contender {
        "wrk" => {
            ensure!(!text.contains("Non-2xx") && !text.contains("Socket errors"), "wrk: {text}");
            let word = |mark: &str, at: usize| find_word(&text, mark, at);
            let requests: f64 = word(" requests in ", 0)?.parse()?;
            Ok(Closed {
                cpu_us_per_request: cpu_us / requests,
                rate: word("Requests/sec:", 1)?.parse()?,
                mean_us: microseconds(&word("    Latency ", 1)?)?,
                p50_us: Some(microseconds(&word("50%", 1)?)?),
                p99_us: Some(microseconds(&word("99%", 1)?)?),
            })
        }
        "h2load" | "h2load, HTTP/2" => {
            let total: f64 = find_word(&text, "requests: ", 1)?.parse()?;
            let succeeded: f64 = find_word(&text, "requests: ", 7)?.parse()?;
            ensure!(total == succeeded, "h2load: {text}");
            Ok(Closed {
                cpu_us_per_request: cpu_us / total,
                rate: total / seconds as f64,
                mean_us: microseconds(&find_word(&text, "time for request:", 5)?)?,
                p50_us: None,
                p99_us: None,
            })
        }
        _ => {
            let report: Value = serde_json::from_str(&text).context("the report is JSON")?;
            ensure!(report["errors"] == 0, "pumasi: {}", report["error_examples"]);
            let number = |value: &Value| value.as_f64().context("a number");
            Ok(Closed {
                cpu_us_per_request: cpu_us / number(&report["executed"])?,
                rate: number(&report["tps"])?,
                mean_us: number(&report["mean_ms"])? * 1e3,
                p50_us: Some(number(&report["response"]["p50"])? * 1e3),
                p99_us: Some(number(&report["response"]["p99"])? * 1e3),
            })
        }
    }
}

fn write_cost(report: &mut String, rows: &[Row]) {
    let _ = writeln!(
        report,
        "## As fast as it goes\n\nKeep-alive GETs of 216 bytes, one generator thread on core {DRIVER_CORE}, nginx on core {SERVER_CORE}. CPU of the generator (user + system ticks, start-up \
         included) over requests; median of {ROUNDS} rounds in turn, spread of the extremes. Latencies are the medians of what each generator itself says; \
         \"by Little\" is what the mean must be, requests in flight over requests per second. wrk 4.1 adds answers that it thinks were not asked for to its latencies \
         (`stats_correct`), so its mean and p99 are no measurements of this closed loop. HTTP/2 has {STREAMS} requests at once on each connection.\n"
    );
    let _ = writeln!(
        report,
        "| connections | generator | CPU us/request | spread | requests per CPU-second beside the peer | requests/s | mean | by Little | p50 | p99 |"
    );
    let _ = writeln!(report, "|---|---|---|---|---|---|---|---|---|---|");
    for row in rows {
        let cpu = row.of(|r| r.cpu_us_per_request);
        let http2 = row.name.ends_with("HTTP/2");
        let peer = if http2 { "h2load, HTTP/2" } else { "wrk" };
        let peer = rows
            .iter()
            .find(|r| r.name == peer && r.connections == row.connections)
            .map_or(0.0, |r| median(&r.of(|r| r.cpu_us_per_request)));
        let in_flight = (row.connections * if http2 { 10 } else { 1 }) as f64;
        let percentile = |value: fn(&Closed) -> Option<f64>| {
            let values: Vec<f64> = row.rounds.iter().filter_map(value).collect();
            if values.is_empty() { "-".to_string() } else { format!("{:.0} us", median(&values)) }
        };
        let _ = writeln!(
            report,
            "| {} | {} | {:.2} | {:.0} % | {:.2}x | {:.0} | {:.0} us | {:.0} us | {} | {} |",
            row.connections,
            row.name,
            median(&cpu),
            spread_percent(&cpu),
            peer / median(&cpu),
            median(&row.of(|r| r.rate)),
            median(&row.of(|r| r.mean_us)),
            in_flight / median(&row.of(|r| r.rate)) * 1e6,
            percentile(|r| r.p50_us),
            percentile(|r| r.p99_us)
        );
    }
}

// === at a rate ===

fn write_exactness(report: &mut String, url: &str) -> Result<Value> {
    let (text, _) = generate(&[url, "--rate", "50k", "--for", "10s", "--threads", "1", "--connections", RATE_CONNECTIONS])?;
    let run: Value = serde_json::from_str(&text)?;
    let number = |field: &str| run[field].as_f64().unwrap_or(f64::NAN);
    let _ = writeln!(report, "\n## 50,000 a second for ten seconds, one thread, {RATE_CONNECTIONS} connections\n");
    let _ = writeln!(report, "| planned | sent | difference | sent late | generator CPU | valid |\n|---|---|---|---|---|---|");
    let sent = number("planned") - number("shed");
    let _ = writeln!(
        report,
        "| {} | {sent} | {:.4} % | {:.2} % | {:.0} % | {} |",
        500_000,
        (sent / 500_000.0 - 1.0) * 100.0,
        number("behind_share") * 100.0,
        number("generator_cpu_max") * 100.0,
        if run["valid"] == true { "yes".to_string() } else { format!("no: {}", run["reasons"]) }
    );
    Ok(
        serde_json::json!({ "planned": run["planned"], "shed": run["shed"], "behind_share": run["behind_share"], "generator_cpu": run["generator_cpu_max"], "valid": run["valid"] }),
    )
}

// === a stall ===

/// nginx is stopped by SIGSTOP for the first 100 ms of every second. At 1,000/s a tenth of the arrivals wait 0 to 100 ms, so p95 is
/// 50 ms and p99 90 ms; whoever waits for answers before asking again sends a handful of requests into each stall and knows nothing.
fn write_stall(report: &mut String, url: &str, server: &Running) -> Result<Value> {
    let worker = machine::children(server.pid()).first().copied().context("nginx has a worker")?;
    let worker = Pid::from_raw(worker as i32).context("a process id")?;
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let _ = kill_process(worker, Signal::STOP);
                std::thread::sleep(Duration::from_millis(100));
                let _ = kill_process(worker, Signal::CONT);
                std::thread::sleep(Duration::from_millis(900));
            }
        });
        let result = stall_rows(report, url);
        over.store(true, Ordering::Relaxed);
        result
    })
}

fn stall_rows(report: &mut String, url: &str) -> Result<Value> {
    let _ = writeln!(report, "\n## A server that stalls 100 ms every second (theory for arrivals: p95 50 ms, p99 90 ms)\n");
    let _ = writeln!(report, "| generator | model | p50 | p95 | p99 | max |\n|---|---|---|---|---|---|");
    let mut all = Vec::new();
    let common = ["--for", "10s", "--threads", "1"];
    for (name, model) in [
        ("1,000/s, any number of connections", &["--rate", "1000"][..]),
        ("1,000/s, 16 connections", &["--rate", "1000", "--connections", "16"]),
        ("16 vusers", &["--vusers", "16"]),
    ] {
        let arguments: Vec<&str> = [url].into_iter().chain(model.iter().copied()).chain(common).collect();
        let run: Value = serde_json::from_str(&generate(&arguments)?.0)?;
        let ms = |field: &str| run["response"][field].as_f64().unwrap_or(f64::NAN);
        let _ =
            writeln!(report, "| pumasi | {name} | {:.2} ms | {:.2} ms | {:.2} ms | {:.1} ms |", ms("p50"), ms("p95"), ms("p99"), ms("max"));
        all.push(serde_json::json!({ "model": name, "response": run["response"], "service": run["service"] }));
    }
    let (text, _) = pinned("wrk", &["-t1", "-c16", "-d10", "--latency", url])?;
    let ms = |mark: &str, at| find_word(&text, mark, at).and_then(|word| Ok(microseconds(&word)? / 1e3));
    let _ = writeln!(
        report,
        "| wrk | 16 connections | {:.2} ms | - | {:.2} ms | {:.1} ms |",
        ms("50%", 1)?,
        ms("99%", 1)?,
        ms("    Latency ", 3)?
    );
    Ok(all.into())
}

fn server_configuration(port: u16, port_http2: u16) -> String {
    format!(
        "worker_processes 1; daemon off; pid nginx.pid; error_log stderr warn; events {{ worker_connections 4096; }}\n\
         http {{ access_log off; keepalive_requests 100000000; keepalive_timeout 600s; client_body_temp_path b; proxy_temp_path p;\n\
         fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s; default_type text/plain;\n\
         server {{ listen 127.0.0.1:{port} backlog=4096; listen 127.0.0.1:{port_http2} http2 backlog=4096; location / {{ return 200 \"{}\"; }} }} }}\n",
        "0123456789".repeat(22).split_at(216).0
    )
}

// === programs and what they say ===

/// The generator on the driver's core: its report as JSON, and its CPU time in microseconds.
pub fn generate(arguments: &[&str]) -> Result<(String, f64)> {
    let own = std::env::current_exe()?;
    let arguments: Vec<&str> = ["generate"].into_iter().chain(arguments.iter().copied()).chain(["--no-keep", "--json"]).collect();
    pinned(&own.to_string_lossy(), &arguments)
}

/// Standard output of a program on the driver's core, and its CPU time in microseconds.
fn pinned(program: &str, arguments: &[&str]) -> Result<(String, f64)> {
    let mut child = Command::new("taskset")
        .args(["-c", &DRIVER_CORE.to_string(), program])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("starting {program}"))?;
    let mut text = String::new();
    child.stdout.take().context("standard output is piped")?.read_to_string(&mut text)?;
    // Ended but not waited for: its times are final and still there.
    while !ended(child.id())? {
        std::thread::sleep(Duration::from_millis(1));
    }
    let cpu_us = cpu_ticks(child.id())? as f64 * 1e6 / machine::ticks_per_second() as f64;
    let status = child.wait()?;
    if !status.success() {
        bail!("{program} ended with {status}: {text}");
    }
    Ok((text, cpu_us))
}

fn ended(pid: u32) -> Result<bool> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    Ok(stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
}

/// The word at a place of the first line that has the mark.
fn find_word(text: &str, mark: &str, at: usize) -> Result<String> {
    let line = text.lines().find(|line| line.contains(mark)).with_context(|| format!("no {mark:?} in {text:?}"))?;
    Ok(line.split_whitespace().nth(at).with_context(|| format!("word {at} of {line:?}"))?.to_string())
}

fn microseconds(text: &str) -> Result<f64> {
    for (unit, factor) in [("us", 1.0), ("ms", 1e3), ("s", 1e6)] {
        if let Some(number) = text.strip_suffix(unit) {
            return Ok(number.parse::<f64>()? * factor);
        }
    }
    bail!("{text:?} is not a time")
}
