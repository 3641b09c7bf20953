//! Agreement: a server that answers a fixed number of requests a second, whoever asks, makes every generator see the same.

use std::{
    fmt::Write as _,
    io::{Read, Write as _},
    net::TcpStream,
};

use anyhow::{Context, Result};
use serde_json::Value;

use super::{
    Mark, Server,
    cost::{Closed, Contender, closed},
};

/// Answers of the paced page.
pub const PER_SECOND: usize = 1_000;
const CONNECTIONS: usize = 16;
const SECONDS: u64 = 5;
/// Generators agree when no figure is further from the peers' than this. nginx keeps its pace by the millisecond.
const TOLERANCE: f64 = 0.02;
/// Requests under way when the time is up are nobody's; beyond those, nginx and the generator have counted the same.
const UNDER_WAY_MAX: f64 = 2.0 * CONNECTIONS as f64;

struct Row {
    contender: Contender,
    seen: Closed,
    /// By nginx, meanwhile.
    served: f64,
}

pub fn measure(server: &Server) -> Result<(String, Value, Vec<Mark>)> {
    let url = format!("{}paced", server.url());
    let mut rows = Vec::new();
    for contender in [Contender::Pumasi, Contender::Wrk, Contender::H2load] {
        let before = count(server.port)?;
        let seen = closed(contender, &url, CONNECTIONS, SECONDS)?;
        // The question for the count is counted itself.
        let served = count(server.port)? - before - 1.0;
        eprintln!("load: paced, {}: {:.1}/s, mean {:.2} ms; nginx counted {served}", contender.name(), seen.rate, seen.mean_us / 1e3);
        rows.push(Row { contender, seen, served });
    }
    let ms = |us: Option<f64>| us.map_or("-".to_string(), |us| format!("{:.2} ms", us / 1e3));
    let mut report = format!(
        "## Agreement: a server that answers {PER_SECOND} requests a second\n\nWhoever has {CONNECTIONS} connections waits {:.0} ms for each answer (Little); {SECONDS} s.\n\n\
         | generator | requests/s | mean | p50 | p99 | requests | counted by nginx |\n|---|---|---|---|---|---|---|\n",
        CONNECTIONS as f64 * 1e3 / PER_SECOND as f64
    );
    for Row { contender, seen, served } in &rows {
        let _ = writeln!(
            report,
            "| {} | {:.1} | {} | {} | {} | {} | {served} |",
            contender.name(),
            seen.rate,
            ms(Some(seen.mean_us)),
            ms(seen.p50_us),
            ms(seen.p99_us),
            seen.requests
        );
    }
    let (ours, peers) = rows.split_first().context("three were asked")?;
    let mut differences: Vec<f64> = Vec::new();
    for Row { seen, .. } in peers {
        differences.push(ours.seen.rate / seen.rate - 1.0);
        differences.push(ours.seen.mean_us / seen.mean_us - 1.0);
        differences.extend(ours.seen.p50_us.zip(seen.p50_us).map(|(own, other)| own / other - 1.0));
    }
    let largest = differences.iter().fold(0.0f64, |largest, difference| largest.max(difference.abs()));
    let uncounted = (ours.served - ours.seen.requests).abs();
    let marks = vec![
        Mark {
            asked: "figures agree with wrk's and h2load's (rate, mean, median; to 2 %)",
            seen: format!("largest difference {:.2} %", largest * 100.0),
            holds: largest <= TOLERANCE,
        },
        Mark {
            asked: "requests told are those the server counted, but for those under way at the end",
            seen: format!("{} told, {} counted", ours.seen.requests, ours.served),
            holds: uncounted <= UNDER_WAY_MAX,
        },
    ];
    let figures: Vec<Value> = rows
        .iter()
        .map(|row| {
            serde_json::json!({ "generator": row.contender.name(), "requests_per_s": row.seen.rate, "mean_us": row.seen.mean_us,
                "p50_us": row.seen.p50_us, "p99_us": row.seen.p99_us, "requests": row.seen.requests, "served": row.served })
        })
        .collect();
    Ok((report, serde_json::json!({ "paced": figures }), marks))
}

/// Requests that nginx has answered since it started.
fn count(port: u16) -> Result<f64> {
    let mut socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.write_all(b"GET /count HTTP/1.0\r\n\r\n")?;
    let mut text = String::new();
    socket.read_to_string(&mut text)?;
    // The line behind "server accepts handled requests" is three numbers.
    let line = text.lines().skip_while(|line| !line.starts_with("server accepts")).nth(1).context("nginx tells its counts")?;
    Ok(line.split_whitespace().nth(2).context("requests are the third")?.parse()?)
}
