//! Two runs side by side: what got better, what got worse.

use super::{
    Report,
    terminal::{Style, number},
};
use crate::slo::{show_ms, show_share};
use serde::Serialize;
use std::fmt::Write;

/// One figure of both runs.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    pub figure: &'static str,
    pub before: f64,
    pub after: f64,
    /// (after - before) / before; None where before is 0.
    pub change: Option<f64>,
    /// None: within what two runs of the same thing differ by.
    pub better: Option<bool>,
    #[serde(skip)]
    pub show: fn(f64) -> String,
}

/// Smaller relative changes are called equal: two runs of the same thing differ by as much.
const NOISE: f64 = 0.05;

/// The figures that matter, `before` against `after`.
pub fn compare(before: &Report, after: &Report) -> Vec<Difference> {
    let errors = |report: &Report| report.errors as f64 / report.executed.max(1) as f64;
    let row = |figure, before: f64, after: f64, more_is_better: bool, show: fn(f64) -> String| {
        let change = (before != 0.0).then(|| (after - before) / before);
        let differs = change.map_or(after != before, |change| change.abs() > NOISE);
        Difference { figure, before, after, change, better: differs.then_some((after > before) == more_is_better), show }
    };
    let (b, a) = (before, after);
    vec![
        row("TPS", b.tps, a.tps, true, number),
        row("peak TPS", b.tps_peak, a.tps_peak, true, number),
        row("mean test time", b.mean_ms, a.mean_ms, false, show_ms),
        row("mean time to 1st byte", b.ttfb_mean_ms, a.ttfb_mean_ms, false, show_ms),
        row("errors", errors(b), errors(a), false, show_share),
        row("response p50", b.response.p50, a.response.p50, false, show_ms),
        row("response p90", b.response.p90, a.response.p90, false, show_ms),
        row("response p99", b.response.p99, a.response.p99, false, show_ms),
        row("response p99.9", b.response.p99_9, a.response.p99_9, false, show_ms),
        row("response max", b.response.max, a.response.max, false, show_ms),
        row("service p50", b.service.p50, a.service.p50, false, show_ms),
        row("service p99", b.service.p99, a.service.p99, false, show_ms),
    ]
}

/// As text. Says first what makes the two hard to compare.
pub fn text(before: &Report, after: &Report, style: Style) -> String {
    let mut out = String::new();
    for warning in obstacles(before, after) {
        let _ = writeln!(out, "{} {warning}", style.bad("note:"));
    }
    let _ = writeln!(out, "  {:<22}{:>22}{:>22}{:>10}", "", shorten(&before.id), shorten(&after.id), "change");
    for d in compare(before, after) {
        let change = d.change.map_or_else(|| "-".to_string(), |change| format!("{:+.1}%", change * 100.0));
        let padded = format!("{change:>10}");
        let painted = match d.better {
            Some(true) => style.good(&padded),
            Some(false) => style.bad(&padded),
            None => style.dim(&padded),
        };
        let _ = writeln!(out, "  {:<22}{:>22}{:>22}{painted}", d.figure, (d.show)(d.before), (d.show)(d.after));
    }
    out
}

/// Why a comparison may mislead.
pub fn obstacles(before: &Report, after: &Report) -> Vec<String> {
    let mut found = Vec::new();
    for report in [before, after] {
        if !report.valid {
            found.push(format!("{} is INVALID: {}", report.id, report.reasons.join("; ")));
        }
    }
    if before.model != after.model {
        found.push(format!("{} is {} and {} is {}: their latencies are not comparable", before.id, before.model, after.id, after.model));
    }
    if before.model == "open" && after.model == "open" && (before.rate_planned / after.rate_planned.max(1e-9) - 1.0).abs() > 0.01 {
        found.push(format!("the rates differ: {} and {} per second", number(before.rate_planned), number(after.rate_planned)));
    }
    if before.vusers != after.vusers {
        found.push(format!("the vusers differ: {} and {}", before.vusers, after.vusers));
    }
    found
}

fn shorten(id: &str) -> String {
    id.chars().take(20).collect()
}
