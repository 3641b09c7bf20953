//! As fast as it goes: what one request costs the generator.

use std::{fmt::Write as _, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{
    Mark, Server,
    program::{find_word, generate, microseconds, pinned},
};
use crate::table::{median, spread_percent};

const SECONDS: u64 = 2;
/// Of HTTP/1.1, each of the three generators.
const CONNECTIONS: [usize; 3] = [16, 64, 256];
/// Of HTTP/2, with [`STREAMS`] requests at once on each.
const CONNECTIONS_HTTP2: usize = 16;
const STREAMS: usize = 10;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Contender {
    Pumasi,
    Wrk,
    H2load,
    /// By prior knowledge; wrk speaks none.
    PumasiHttp2,
    H2loadHttp2,
}

use Contender::{H2load, H2loadHttp2, Pumasi, PumasiHttp2, Wrk};

impl Contender {
    pub fn name(self) -> &'static str {
        match self {
            Pumasi => "pumasi",
            Wrk => "wrk",
            H2load => "h2load",
            PumasiHttp2 => "pumasi, HTTP/2",
            H2loadHttp2 => "h2load, HTTP/2",
        }
    }

    fn http2(self) -> bool {
        matches!(self, PumasiHttp2 | H2loadHttp2)
    }
}

/// One round as the generator itself tells it, and what it cost.
pub struct Closed {
    pub cpu_us_per_request: f64,
    pub requests: f64,
    pub rate: f64,
    pub mean_us: f64,
    /// h2load tells no percentiles.
    pub p50_us: Option<f64>,
    pub p99_us: Option<f64>,
}

struct Row {
    contender: Contender,
    connections: usize,
    rounds: Vec<Closed>,
}

impl Row {
    fn of(&self, value: impl Fn(&Closed) -> f64) -> Vec<f64> {
        self.rounds.iter().map(value).collect()
    }

    fn cpu_us(&self) -> f64 {
        median(&self.of(|round| round.cpu_us_per_request))
    }

    fn json(&self) -> Value {
        serde_json::json!({ "generator": self.contender.name(), "connections": self.connections,
            "cpu_us_per_request": self.of(|r| r.cpu_us_per_request), "requests_per_s": self.of(|r| r.rate), "mean_us": self.of(|r| r.mean_us) })
    }
}

/// How long all of it takes.
pub fn seconds(rounds: usize) -> u64 {
    rounds as u64 * SECONDS * (CONNECTIONS.len() as u64 * 3 + 2)
}

pub fn measure(server: &Server, rounds: usize) -> Result<(String, Value, Vec<Mark>)> {
    let mut rows = Vec::new();
    for connections in CONNECTIONS {
        rows.extend(in_turn(&[Pumasi, Wrk, H2load], &server.url(), connections, rounds)?);
    }
    rows.extend(in_turn(&[PumasiHttp2, H2loadHttp2], &server.url_http2(), CONNECTIONS_HTTP2, rounds)?);
    let marks = vec![
        mark("at least 1.0x wrk's requests per CPU-second on keep-alive GETs", &rows, Pumasi, Wrk),
        mark("at least 1.0x h2load's requests per CPU-second over HTTP/2", &rows, PumasiHttp2, H2loadHttp2),
    ];
    let json = serde_json::json!({ "closed": rows.iter().map(Row::json).collect::<Vec<_>>() });
    Ok((table(&rows, rounds), json, marks))
}

fn in_turn(contenders: &[Contender], url: &str, connections: usize, rounds: usize) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = contenders.iter().map(|&contender| Row { contender, connections, rounds: Vec::new() }).collect();
    for round in 1..=rounds {
        for row in &mut rows {
            let seen = closed(row.contender, url, connections, SECONDS)?;
            eprintln!(
                "load: {connections} connections, round {round} of {rounds}: {} {:.2} us of CPU per request, {:.0}/s",
                row.contender.name(),
                seen.cpu_us_per_request,
                seen.rate
            );
            row.rounds.push(seen);
        }
    }
    Ok(rows)
}

/// `connections` clients for `seconds`, each asking again when it has been answered.
pub fn closed(contender: Contender, url: &str, connections: usize, seconds: u64) -> Result<Closed> {
    let (c, d, lasts) = (connections.to_string(), seconds.to_string(), Duration::from_secs(seconds));
    let (streams, vusers, length) = (STREAMS.to_string(), (connections * STREAMS).to_string(), format!("{seconds}s"));
    let run = ["--for", &length, "--warmup", "0s", "--threads", "1"];
    let (text, cpu_us) = match contender {
        Wrk => pinned("wrk", &["-t1", "-c", &c, "-d", &d, "--latency", url], lasts)?,
        H2load => pinned("h2load", &["--h1", "-t1", "-c", &c, "-D", &d, url], lasts)?,
        H2loadHttp2 => pinned("h2load", &["-t1", "-c", &c, "-m", &streams, "-D", &d, url], lasts)?,
        Pumasi => generate(&[&[url, "--vusers", &c][..], &run].concat(), lasts)?,
        PumasiHttp2 => {
            let load = [url, "--http2", "--streams", &streams, "--connections", &c, "--vusers", &vusers];
            generate(&[&load[..], &run].concat(), lasts)?
        }
    };
    match contender {
        Wrk => {
            ensure!(!text.contains("Non-2xx") && !text.contains("Socket errors"), "wrk: {text}");
            let word = |mark: &str, at: usize| find_word(&text, mark, at);
            let requests: f64 = word(" requests in ", 0)?.parse()?;
            Ok(Closed {
                cpu_us_per_request: cpu_us / requests,
                requests,
                rate: word("Requests/sec:", 1)?.parse()?,
                mean_us: microseconds(&word("    Latency ", 1)?)?,
                p50_us: Some(microseconds(&word("50%", 1)?)?),
                p99_us: Some(microseconds(&word("99%", 1)?)?),
            })
        }
        H2load | H2loadHttp2 => {
            let requests: f64 = find_word(&text, "requests: ", 1)?.parse()?;
            let succeeded: f64 = find_word(&text, "requests: ", 7)?.parse()?;
            ensure!(requests == succeeded, "h2load: {text}");
            Ok(Closed {
                cpu_us_per_request: cpu_us / requests,
                requests,
                rate: requests / seconds as f64,
                mean_us: microseconds(&find_word(&text, "time for request:", 5)?)?,
                p50_us: None,
                p99_us: None,
            })
        }
        Pumasi | PumasiHttp2 => {
            let report: Value = serde_json::from_str(&text).context("the report is JSON")?;
            ensure!(report["errors"] == 0, "pumasi: {}", report["error_examples"]);
            let number = |value: &Value| value.as_f64().context("a number");
            let requests = number(&report["executed"])?;
            Ok(Closed {
                cpu_us_per_request: cpu_us / requests,
                requests,
                rate: number(&report["tps"])?,
                mean_us: number(&report["mean_ms"])? * 1e3,
                p50_us: Some(number(&report["response"]["p50"])? * 1e3),
                p99_us: Some(number(&report["response"]["p99"])? * 1e3),
            })
        }
    }
}

/// Requests per CPU-second are the inverse of CPU per request.
fn mark(asked: &'static str, rows: &[Row], ours: Contender, peer: Contender) -> Mark {
    let ratios: Vec<(usize, f64)> = rows
        .iter()
        .filter(|row| row.contender == ours)
        .filter_map(|row| {
            let beside = rows.iter().find(|other| other.contender == peer && other.connections == row.connections)?;
            Some((row.connections, beside.cpu_us() / row.cpu_us()))
        })
        .collect();
    let seen: Vec<String> = ratios.iter().map(|(connections, ratio)| format!("{ratio:.2}x at {connections} connections")).collect();
    Mark { asked, seen: seen.join(", "), holds: ratios.iter().all(|(_, ratio)| *ratio >= 1.0) }
}

fn table(rows: &[Row], rounds: usize) -> String {
    let mut report = format!(
        "## As fast as it goes\n\nKeep-alive GETs of 216 bytes. CPU of the generator (user + system ticks, start-up included) over requests; median of \
         {rounds} rounds of {SECONDS} s in turn, spread of the extremes. Latencies are the medians of what each generator itself says; \"by Little\" is what the \
         mean must be, requests in flight over requests per second. wrk 4.1 adds answers that it thinks were not asked for to its latencies \
         (`stats_correct`), so its mean and p99 are no measurements of this closed loop. HTTP/2 has {STREAMS} requests at once on each connection.\n\n\
         | connections | generator | CPU us/request | spread | requests per CPU-second beside the peer | requests/s | mean | by Little | p50 | p99 |\n\
         |---|---|---|---|---|---|---|---|---|---|\n"
    );
    for row in rows {
        let peer = if row.contender.http2() { H2loadHttp2 } else { Wrk };
        let beside =
            rows.iter().find(|other| other.contender == peer && other.connections == row.connections).map_or(f64::NAN, Row::cpu_us);
        let in_flight = (row.connections * if row.contender.http2() { STREAMS } else { 1 }) as f64;
        let percentile = |value: fn(&Closed) -> Option<f64>| {
            let values: Vec<f64> = row.rounds.iter().filter_map(value).collect();
            if values.is_empty() { "-".to_string() } else { format!("{:.0} us", median(&values)) }
        };
        let rate = median(&row.of(|r| r.rate));
        let _ = writeln!(
            report,
            "| {} | {} | {:.2} | {:.0} % | {:.2}x | {rate:.0} | {:.0} us | {:.0} us | {} | {} |",
            row.connections,
            row.contender.name(),
            row.cpu_us(),
            spread_percent(&row.of(|r| r.cpu_us_per_request)),
            beside / row.cpu_us(),
            median(&row.of(|r| r.mean_us)),
            in_flight / rate * 1e6,
            percentile(|r| r.p50_us),
            percentile(|r| r.p99_us)
        );
    }
    report
}
