//! `pumasi status`: what every tier is doing, once.

use anyhow::Context;
use pumasi_status::{Pool, Status, Traffic};
use serde_json::Value;

use crate::{
    arguments::RunningArguments,
    ask::{Findings, Mistakes, current, findings, findings_text, picture, places},
    client::Console,
    failure::Failure,
    show::print,
    sql::servers,
};

pub fn status(running: &RunningArguments, json: bool) -> Result<(), Failure> {
    let console = Console::of_running(&places(running, Mistakes::Overlook)?)?;
    if json {
        return print(&format!("{:#}\n", with_findings(&picture(&console)?, &findings_text(&console)?)?));
    }
    print(&text(&current(&console)?, &findings(&console)?))
}

/// The picture with what the console makes of it beside: both as it sent them, so that a newer one may say more.
fn with_findings(picture: &str, findings: &str) -> Result<Value, Failure> {
    let mut picture: Value = serde_json::from_str(picture).context("the console's answer is not a status")?;
    picture["findings"] = serde_json::from_str(findings).context("the console's answer is no list of findings")?;
    Ok(picture)
}

/// The findings and the picture, in lines of at most about 100 columns.
pub fn text(status: &Status, findings: &Findings) -> String {
    let Status { version, uptime_s, cpu_ms, memory_bytes, .. } = status;
    let mut out =
        format!("Pumasi {version}, up {}, {} CPU, {}\n\n", duration(*uptime_s), duration(cpu_ms / 1000), megabytes(*memory_bytes));
    out.push_str(&said(findings));
    let edge = &status.edge;
    if !edge.listeners.is_empty() {
        out.push_str(&format!("edge  {}  {} connections\n      {}\n", edge.listeners.join(" "), edge.connections, traffic(&edge.traffic)));
        for route in &edge.routes {
            out.push_str(&format!(
                "      {} -> {}  pages {}  {} hits, {} misses\n",
                route.route, route.pool, route.pages, route.hits, route.misses
            ));
            // The rest is in --json and on the console's page.
            for one in route.invalidations.iter().take(3) {
                out.push_str(&format!("        made wrong {} times by {}\n", one.times, one.cause()));
            }
        }
    }
    for pool in &status.pools {
        out.push_str(&format!("\npool {}{}\n", pool.name, troubles(pool)));
        for upstream in &pool.upstreams {
            let traffic = traffic(&upstream.traffic);
            match &upstream.worker {
                Some(worker) => {
                    let memory = megabytes(worker.memory_bytes);
                    let pid = worker.pid.map_or(String::new(), |pid| format!("process {pid}, "));
                    let restarts = if worker.restarts > 0 { format!(", {} restarts", worker.restarts) } else { String::new() };
                    out.push_str(&format!("      {:<10} {:<11} {pid}{memory}{restarts}  {traffic}\n", upstream.name, worker.state));
                    if let Some(exit) = worker.last_exit.as_ref().filter(|_| worker.state != "ready") {
                        out.push_str(&exit.lines().map(|line| format!("        {line}\n")).collect::<String>());
                    }
                }
                None => out.push_str(&format!("      {:<21} {:<9} {traffic}\n", upstream.name, upstream.health)),
            }
        }
    }
    for sql in &status.sql {
        let (connections, max) = (sql.connections, sql.connections_max);
        out.push_str(&format!(
            "\nsql {}  {}  {}  {connections} of {max} connections\n      {}\n",
            sql.name,
            sql.address,
            sql.engine,
            traffic(&sql.traffic)
        ));
        if let Some(cluster) = &sql.cluster {
            out.push_str(&servers(cluster));
        }
    }
    out
}

// === helpers ===

/// The sentences, each with what can be done about it below.
fn said(findings: &Findings) -> String {
    let mut out = String::new();
    for verdict in &findings.verdicts {
        let mark = if verdict.level == "act" { "!" } else { "?" };
        out.push_str(&wrapped(&verdict.sentence, &format!("  {mark} "), "    "));
        for line in verdict.quote.iter().flat_map(|quote| quote.lines()) {
            out.push_str(&format!("      {line}\n"));
        }
        out.push_str(&wrapped(&verdict.advice, "    ", "    "));
        out.push('\n');
    }
    if let Some(well) = &findings.well {
        out.push_str(&format!("  {well}\n\n"));
    }
    out
}

/// Words in lines, the first behind `first`, the others behind `others`.
fn wrapped(text: &str, first: &str, others: &str) -> String {
    let (mut out, mut line) = (String::new(), first.to_owned());
    let mut empty = true;
    for word in text.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            out.push_str(&line);
            out.push('\n');
            line = others.to_owned();
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    out + &line + "\n"
}

const COLUMNS: usize = 100;

/// What of a pool is worth a word only when it happens.
fn troubles(pool: &Pool) -> String {
    let words = [
        (pool.waiting, "waiting for a place"),
        (pool.retries_total, "retried"),
        (pool.retries_refused_total, "not retried, as too many had been"),
    ];
    words.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("  {count} {word}")).collect()
}

fn traffic(traffic: &Traffic) -> String {
    if traffic.requests_total == 0 {
        return format!("{} in flight", traffic.in_flight);
    }
    format!(
        "{:.1}/s, {:.2} % ok, p50 {} p99 {}, {} in flight",
        traffic.rate,
        traffic.success * 100.0,
        microseconds(traffic.latency_us_p50),
        microseconds(traffic.latency_us_p99),
        traffic.in_flight
    )
}

pub fn microseconds(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{:.1} ms", us as f64 / 1e3),
        _ => format!("{:.1} s", us as f64 / 1e6),
    }
}

pub fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

pub fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::Verdict;

    #[test]
    fn the_sentences_come_first_and_fit_the_screen() {
        let verdict = Verdict {
            level: "act".into(),
            sentence: "Requests wait 80 ms for a free worker, before anyone looks at them.".into(),
            quote: Some("SELECT 1\nFROM x".into()),
            advice: "word ".repeat(40).trim_end().into(),
        };
        let text = text(&Status::default(), &Findings { verdicts: vec![verdict], well: None });
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[2], "  ! Requests wait 80 ms for a free worker, before anyone looks at them.");
        assert_eq!(lines[3..5], ["      SELECT 1", "      FROM x"]);
        assert!(lines[5].starts_with("    word word") && lines[6].starts_with("    word"), "{text}");
        assert!(lines.iter().all(|line| line.chars().count() <= COLUMNS), "{text}");
    }

    #[test]
    fn a_quiet_service_is_told_to_be_well() {
        let findings = Findings { verdicts: Vec::new(), well: Some("All is well. Nothing waits, nothing fails.".into()) };
        assert!(text(&Status::default(), &findings).contains("\n  All is well. Nothing waits, nothing fails.\n"));
    }

    #[test]
    fn scripts_get_both_in_one() {
        let both = with_findings(r#"{"version": "1", "new": 2}"#, r#"{"verdicts": [], "well": "All is well."}"#).unwrap();
        assert_eq!((both["new"].as_u64(), both["findings"]["well"].as_str()), (Some(2), Some("All is well.")));
    }
}
