//! A server that stalls 100 ms every second.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{
    Mark, Server,
    program::{find_word, generate, microseconds, pinned},
    wrk2,
};
use crate::machine;

const STALL: Duration = Duration::from_millis(100);
const PERIOD: Duration = Duration::from_secs(1);
const SECONDS: u64 = 10;
const RATE: usize = 1_000;
const CONNECTIONS: usize = 16;
/// An open model is right when its p95 and p99 are no further from wrk2's way of counting than this: ten stalls are few, and a machine is never idle.
const TOLERANCE: f64 = 0.10;
/// A closed loop hides the stall when its p95 is below this share of the open model's.
const HIDDEN: f64 = 0.5;

struct Row {
    name: String,
    p50: f64,
    p95: Option<f64>,
    p99: f64,
    max: f64,
}

/// nginx is stopped by SIGSTOP for the first 100 ms of every second. At 1,000/s a tenth of the arrivals wait 0 to 100 ms, so p95 is
/// 50 ms and p99 90 ms; whoever waits for answers before asking again sends a handful of requests into each stall and knows nothing.
pub fn measure(server: &Server) -> Result<(String, Value, Vec<Mark>)> {
    let worker = machine::children(server.running.pid()).first().copied().context("nginx has a worker")?;
    let worker = Pid::from_raw(worker as i32).context("a process id")?;
    let over = AtomicBool::new(false);
    let rows = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let _ = kill_process(worker, Signal::STOP);
                std::thread::sleep(STALL);
                let _ = kill_process(worker, Signal::CONT);
                std::thread::sleep(PERIOD - STALL);
            }
        });
        let rows = rows(server);
        over.store(true, Ordering::Relaxed);
        rows
    })?;
    Ok(told(&rows))
}

fn rows(server: &Server) -> Result<Vec<Row>> {
    let url = server.url();
    let (rate, connections, seconds) = (RATE.to_string(), CONNECTIONS.to_string(), format!("{SECONDS}s"));
    let lasts = Duration::from_secs(SECONDS + 1);
    let common = ["--for", &seconds, "--threads", "1"];
    let mut rows = Vec::new();
    let mut seen = |row: Row| {
        eprintln!("load: stall, {}: p99 {:.1} ms, max {:.1} ms", row.name, row.p99, row.max);
        rows.push(row);
    };
    for (name, model) in [
        ("pumasi, 1,000/s on any number of connections", &["--rate", &rate][..]),
        ("pumasi, 1,000/s on 16 connections", &["--rate", &rate, "--connections", &connections]),
        ("pumasi, 16 vusers", &["--vusers", &connections]),
    ] {
        let arguments: Vec<&str> = [url.as_str()].into_iter().chain(model.iter().copied()).chain(common).collect();
        let run: Value = serde_json::from_str(&generate(&arguments, lasts)?.0)?;
        let ms = |field: &str| run["response"][field].as_f64().unwrap_or(f64::NAN);
        seen(Row { name: name.to_string(), p50: ms("p50"), p95: Some(ms("p95")), p99: ms("p99"), max: ms("max") });
    }
    let counted = wrk2::paced(server.port, CONNECTIONS, RATE, Duration::from_secs(SECONDS))?;
    let at = |share: f64| counted[((counted.len() as f64 * share).ceil() as usize).clamp(1, counted.len()) - 1];
    seen(Row {
        name: "wrk2's way of counting, 1,000/s on 16 connections".to_string(),
        p50: at(0.5),
        p95: Some(at(0.95)),
        p99: at(0.99),
        max: at(1.0),
    });
    let (text, _) = pinned("wrk", &["-t1", "-c", &connections, "-d", &SECONDS.to_string(), "--latency", &url], lasts)?;
    let ms = |mark: &str, at| find_word(&text, mark, at).and_then(|word| Ok(microseconds(&word)? / 1e3));
    seen(Row { name: "wrk, 16 connections".to_string(), p50: ms("50%", 1)?, p95: None, p99: ms("99%", 1)?, max: ms("    Latency ", 3)? });
    Ok(rows)
}

fn told(rows: &[Row]) -> (String, Value, Vec<Mark>) {
    let mut report = format!(
        "## A server that stalls 100 ms every second\n\nTheory for arrivals at a rate: p95 50 ms, p99 90 ms. wrk2's way of counting, by {CONNECTIONS} connections that send their n-th request \
         at its planned instant or as soon after as they can, and count from the instant: its own few lines (`bench/peers/src/load/wrk2.rs`), none of the generator's.\n\n\
         | generator | p50 | p95 | p99 | max |\n|---|---|---|---|---|\n"
    );
    for Row { name, p50, p95, p99, max } in rows {
        let p95 = p95.map_or("-".to_string(), |p95| format!("{p95:.2} ms"));
        let _ = writeln!(report, "| {name} | {p50:.2} ms | {p95} | {p99:.2} ms | {max:.1} ms |");
    }
    let p95 = |row: usize| rows[row].p95.unwrap_or(f64::NAN);
    let (open, closed, wrk2) = (1, 2, 3);
    let off = (p95(open) / p95(wrk2) - 1.0).abs().max((rows[open].p99 / rows[wrk2].p99 - 1.0).abs());
    let marks = vec![
        Mark {
            asked: "the stall is told as wrk2 would (p95 and p99, to 10 %)",
            seen: format!("p95 {:.1} ms beside {:.1}, p99 {:.1} ms beside {:.1}", p95(open), p95(wrk2), rows[open].p99, rows[wrk2].p99),
            holds: off <= TOLERANCE,
        },
        Mark { asked: "--vusers hides it", seen: format!("p95 {:.1} ms", p95(closed)), holds: p95(closed) < HIDDEN * p95(open) },
    ];
    let figures: Vec<Value> = rows
        .iter()
        .map(|r| serde_json::json!({ "generator": r.name, "p50_ms": r.p50, "p95_ms": r.p95, "p99_ms": r.p99, "max_ms": r.max }))
        .collect();
    (report, serde_json::json!({ "stall": figures }), marks)
}
