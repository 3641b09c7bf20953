//! At a rate: exact to a thousandth, or it says that it could not.

use std::{fmt::Write as _, time::Duration};

use anyhow::Result;
use serde_json::Value;

use super::{Mark, Server, program::generate};

/// Sockets, as a wrk2 user would choose.
const CONNECTIONS: &str = "64";
const TOLERANCE: f64 = 0.001;
/// What is asked for, for how long; the second is beyond any one thread.
const ASKED: [(u64, u64); 2] = [(50_000, 10), (2_000_000, 3)];

struct Row {
    rate: u64,
    seconds: u64,
    sent: f64,
    /// Per second of the run.
    answered: f64,
    behind: f64,
    cpu: f64,
    valid: bool,
    reasons: Vec<String>,
}

impl Row {
    fn off(&self) -> f64 {
        self.sent / (self.rate * self.seconds) as f64 - 1.0
    }

    fn verdict(&self) -> String {
        if self.valid { "valid".to_string() } else { format!("INVALID: {}", self.reasons.join("; ")) }
    }
}

pub fn measure(server: &Server) -> Result<(String, Value, Vec<Mark>)> {
    let mut rows = Vec::new();
    for (rate, seconds) in ASKED {
        let (r, d) = (rate.to_string(), format!("{seconds}s"));
        let arguments = [&server.url(), "--rate", &r, "--for", &d, "--threads", "1", "--connections", CONNECTIONS];
        let run: Value = serde_json::from_str(&generate(&arguments, Duration::from_secs(seconds + 12))?.0)?;
        let number = |field: &str| run[field].as_f64().unwrap_or(f64::NAN);
        let row = Row {
            rate,
            seconds,
            sent: number("planned") - number("shed"),
            answered: number("tps"),
            behind: number("behind_share"),
            cpu: number("generator_cpu_max"),
            valid: run["valid"] == true,
            reasons: run["reasons"].as_array().into_iter().flatten().filter_map(|reason| Some(reason.as_str()?.to_string())).collect(),
        };
        eprintln!("load: {rate}/s for {seconds} s: {} sent, {:.4} % off, {}", row.sent, row.off() * 100.0, row.verdict());
        rows.push(row);
    }
    let mut report = format!(
        "## At a rate: one thread, {CONNECTIONS} connections\n\n| asked for | planned and not shed | difference | answered | sent late | generator CPU | the report says |\n|---|---|---|---|---|---|---|\n"
    );
    for row in &rows {
        let _ = writeln!(
            report,
            "| {}/s for {} s | {} | {:.4} % | {:.0}/s | {:.2} % | {:.0} % | {} |",
            row.rate,
            row.seconds,
            row.sent,
            row.off() * 100.0,
            row.answered,
            row.behind * 100.0,
            row.cpu * 100.0,
            row.verdict()
        );
    }
    let (fifty, beyond) = (&rows[0], &rows[1]);
    let exact = fifty.off().abs() <= TOLERANCE;
    let marks = vec![
        Mark {
            asked: "50,000/s for 10 s: exact to 0.1 %, or INVALID",
            seen: format!("{:.4} % off, {}", fifty.off() * 100.0, fifty.verdict()),
            holds: exact || !fifty.valid,
        },
        Mark {
            asked: "a rate that it cannot make is INVALID",
            seen: format!("2,000,000/s: {:.0}/s answered, {}", beyond.answered, if beyond.valid { "valid" } else { "INVALID" }),
            holds: !beyond.valid || beyond.off().abs() <= TOLERANCE,
        },
    ];
    let figures: Vec<Value> = rows
        .iter()
        .map(|row| serde_json::json!({ "rate": row.rate, "seconds": row.seconds, "sent": row.sent, "answered_per_s": row.answered, "behind_share": row.behind, "generator_cpu": row.cpu, "valid": row.valid, "reasons": row.reasons }))
        .collect();
    Ok((report, serde_json::json!({ "at_a_rate": figures }), marks))
}
