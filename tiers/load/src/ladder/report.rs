//! What the ladder has to tell: a table, a chart, a page, JSON.

use super::{
    args::LadderArgs,
    house::Cpu,
    rungs::{Rung, Setting},
};
use crate::{
    quantity,
    report::{
        Report,
        html::document,
        terminal::{Style, number},
    },
    slo::show_ms,
    verify::Verified,
};
use maud::{PreEscaped, html};
use pumasi_chart::{Bar, BarChart, Unit};
use serde::Serialize;
use std::fmt::Write;

/// The rounds of one rung.
#[derive(Debug, Default)]
pub struct Measured {
    rounds: Vec<Round>,
    pub verified: Option<Verified>,
}

#[derive(Debug)]
struct Round {
    tps: f64,
    mean_ms: f64,
    p99_ms: f64,
    executed: u64,
    errors: u64,
    example: Option<String>,
    generator_was_the_limit: bool,
    cpu_us: CpuPerRequest,
}

/// Everything, as `--json` prints it.
#[derive(Clone, Debug, Serialize)]
pub struct Ladder {
    pub vusers: usize,
    pub rounds: u16,
    pub round_s: f64,
    /// `embedded`, or the server's address without its password.
    pub database: String,
    pub application: String,
    pub rungs: Vec<RungReport>,
    pub left_out: Vec<LeftOut>,
}

/// Medians over the rounds.
#[derive(Clone, Debug, Serialize)]
pub struct RungReport {
    pub number: String,
    pub name: String,
    pub tps: f64,
    pub tps_min: f64,
    pub tps_max: f64,
    pub mean_ms: f64,
    pub p99_ms: f64,
    /// Over all rounds.
    pub errors: u64,
    pub executed: u64,
    /// TPS over the first rung's.
    pub gain: f64,
    pub workers: usize,
    pub writes: f64,
    pub cpu_us_per_request: CpuPerRequest,
    pub verified_reads: Option<u64>,
    pub acknowledged_writes: Option<u64>,
    /// Requests of the check that failed or were refused: they prove nothing.
    pub unanswered: Option<u64>,
    /// The first stale answer with its history; None if there was none or nobody looked.
    pub stale: Option<String>,
    /// What to know before believing the figures.
    pub notes: Vec<String>,
    #[serde(skip)]
    promises_freshness: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct CpuPerRequest {
    pub edge: f64,
    pub sql: f64,
    pub web: f64,
    pub cache: f64,
}

#[derive(Clone, Debug, Serialize)]
pub struct LeftOut {
    pub number: String,
    pub name: String,
    pub reason: String,
}

impl Measured {
    /// One round more. `answers` is what the CPU time was used for, warm-up included.
    pub fn add(&mut self, report: &Report, cpu: Cpu, answers: u64) {
        let per_request = |us: u64| us as f64 / answers.max(1) as f64;
        self.rounds.push(Round {
            tps: report.tps,
            mean_ms: report.mean_ms,
            p99_ms: report.response.p99,
            executed: report.executed,
            errors: report.errors,
            example: report.error_examples.values().next().cloned(),
            generator_was_the_limit: report.generator_cpu_max > crate::report::GENERATOR_CPU_MAX,
            cpu_us: CpuPerRequest {
                edge: per_request(cpu.edge_us),
                sql: per_request(cpu.sql_us),
                web: per_request(cpu.web_us),
                cache: per_request(cpu.cache_us),
            },
        });
    }

    fn median(&self, value: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(value).collect())
    }
}

impl Ladder {
    pub fn of<'r>(
        args: &LadderArgs,
        setting: &Setting,
        rungs: impl Iterator<Item = (&'r Rung, &'r Measured)>,
        left_out: Vec<LeftOut>,
    ) -> Ladder {
        let mut reports: Vec<RungReport> =
            rungs.filter(|(_, measured)| !measured.rounds.is_empty()).map(|(rung, measured)| RungReport::of(rung, measured)).collect();
        let first = reports.first().map_or(0.0, |first| first.tps);
        reports.iter_mut().for_each(|rung| rung.gain = if first > 0.0 { rung.tps / first } else { 0.0 });
        Ladder {
            vusers: setting.vusers,
            rounds: args.rounds,
            round_s: args.lasts.as_secs_f64(),
            database: setting
                .database
                .as_ref()
                .map_or("embedded".to_string(), |database| format!("{}:{}/{}", database.host, database.port, database.name)),
            application: setting.command.clone().unwrap_or_else(|| "ASKHY".to_string()),
            rungs: reports,
            left_out,
        }
    }

    /// A rung of ours was stale, or was to be verified and nothing was: a check that saw nothing has not been passed. The hand-written
    /// caches promise nothing.
    pub fn promise_broken(&self) -> bool {
        self.rungs.iter().any(|rung| rung.promises_freshness && (rung.stale.is_some() || rung.unproven()))
    }
}

impl RungReport {
    fn of(rung: &Rung, measured: &Measured) -> RungReport {
        let rounds = &measured.rounds;
        let ends = |pick: fn(f64, f64) -> f64| rounds.iter().map(|round| round.tps).reduce(pick).unwrap_or(0.0);
        let mut notes = Vec::new();
        if rounds.iter().filter(|round| round.generator_was_the_limit).count() * 2 > rounds.len() {
            notes.push("the load generator was the limit: the rung holds more than this".to_string());
        }
        if let Some(example) = rounds.iter().find_map(|round| round.example.as_ref()) {
            notes.push(format!("an error, for example {example}"));
        }
        let verified = measured.verified.as_ref();
        RungReport {
            number: rung.number.to_string(),
            name: rung.name.to_string(),
            tps: measured.median(|round| round.tps),
            tps_min: ends(f64::min),
            tps_max: ends(f64::max),
            mean_ms: measured.median(|round| round.mean_ms),
            p99_ms: measured.median(|round| round.p99_ms),
            errors: rounds.iter().map(|round| round.errors).sum(),
            executed: rounds.iter().map(|round| round.executed).sum(),
            gain: 0.0,
            workers: rung.workers,
            writes: rung.writes,
            cpu_us_per_request: CpuPerRequest {
                edge: measured.median(|round| round.cpu_us.edge),
                sql: measured.median(|round| round.cpu_us.sql),
                web: measured.median(|round| round.cpu_us.web),
                cache: measured.median(|round| round.cpu_us.cache),
            },
            verified_reads: verified.map(|verified| verified.reads),
            acknowledged_writes: verified.map(|verified| verified.writes),
            unanswered: verified.map(|verified| verified.failed),
            stale: verified.and_then(|verified| verified.violation.clone()),
            notes,
            promises_freshness: rung.cache.is_none(),
        }
    }

    /// It was to be verified, but no read was answered, or no write that a read could have missed.
    fn unproven(&self) -> bool {
        self.verified_reads == Some(0) || self.verified_reads.is_some() && self.acknowledged_writes == Some(0)
    }

    fn freshness(&self) -> Option<String> {
        let reads = self.verified_reads?;
        Some(match &self.stale {
            None if reads == 0 => "nothing was verified: no read was answered in time".to_string(),
            None if self.unproven() => "nothing was verified: no write was acknowledged".to_string(),
            None => {
                let failed =
                    self.unanswered.filter(|failed| *failed > 0).map_or(String::new(), |failed| format!(" ({failed} requests failed)"));
                format!("{reads} reads verified among {} writes, none stale{failed}", self.acknowledged_writes.unwrap_or(0))
            }
            Some(story) => format!("after {reads} good reads: {}", story.lines().next().unwrap_or_default()),
        })
    }
}

/// The table.
pub fn text(ladder: &Ladder, style: Style) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{}  {} vusers, {} rounds of {} per rung, medians (least - most)\n",
        style.bold(&format!("{} on {} database", ladder.application, ladder.database)),
        ladder.vusers,
        ladder.rounds,
        quantity::show(std::time::Duration::from_secs_f64(ladder.round_s))
    );
    let width = ladder.rungs.iter().map(|rung| rung.name.chars().count()).max().unwrap_or(0);
    let head = format!(
        "{:<3} {:<width$} {:>8} {:>17} {:>9} {:>9} {:>7} {:>8}   {:>8} {:>8} {:>8} {:>8}",
        "", "rung", "TPS", "(least - most)", "mean", "p99", "errors", "gain", "edge us", "web us", "sql us", "cache us"
    );
    let _ = writeln!(out, "{}", style.dim(&head));
    for rung in &ladder.rungs {
        let spread = format!("({} - {})", number(rung.tps_min), number(rung.tps_max));
        let gain = format!("{:>8}", format!("{}x", quantity::significant(rung.gain)));
        let errors = format!("{:>7}", rung.errors);
        let cpu = &rung.cpu_us_per_request;
        let us = |value: f64| if value < 0.05 { "-".to_string() } else { quantity::significant(value) };
        let _ = writeln!(
            out,
            "{:<3} {:<width$} {:>8} {spread:>17} {:>9} {:>9} {} {}   {:>8} {:>8} {:>8} {:>8}",
            rung.number,
            rung.name,
            number(rung.tps),
            show_ms(rung.mean_ms),
            show_ms(rung.p99_ms),
            if rung.errors == 0 { errors } else { style.bad(&errors) },
            if rung.gain >= 1.05 { style.good(&gain) } else { gain },
            us(cpu.edge),
            us(cpu.web),
            us(cpu.sql),
            us(cpu.cache),
        );
    }
    let _ = writeln!(out);
    let most = ladder.rungs.iter().map(|rung| rung.tps).fold(0.0, f64::max);
    for rung in &ladder.rungs {
        let length = if most > 0.0 { (rung.tps / most * BAR_WIDTH as f64).round() as usize } else { 0 };
        let _ = writeln!(out, "{:<3} {} {}", rung.number, "█".repeat(length.max(1)), number(rung.tps));
    }
    let _ = writeln!(out);
    for rung in &ladder.rungs {
        if let Some(freshness) = rung.freshness() {
            let painted = if rung.stale.is_some() || rung.unproven() { style.bad(&freshness) } else { style.good(&freshness) };
            let _ = writeln!(out, "{:<3} {painted}", rung.number);
        }
        for note in &rung.notes {
            let _ = writeln!(out, "{:<3} {}", rung.number, style.dim(note));
        }
    }
    for left in &ladder.left_out {
        let _ = writeln!(out, "{:<3} left out ({}): {}", left.number, left.name, left.reason);
    }
    for rung in ladder.rungs.iter().filter(|rung| rung.promises_freshness) {
        if let Some(story) = &rung.stale {
            let _ = writeln!(out, "\nrung {}: {story}", rung.number);
        }
    }
    out
}

/// Columns of the longest bar in the terminal.
const BAR_WIDTH: usize = 60;

/// The least and the most of a rung's rounds.
type Spread = fn(&RungReport) -> (f64, f64);

/// One self-contained page.
pub fn page(ladder: &Ladder) -> String {
    let chart = |title: &str, unit: Unit, value: fn(&RungReport) -> f64, spread: Option<Spread>| {
        let bars = ladder.rungs.iter().map(|rung| Bar {
            name: format!("{} · {}", rung.number, rung.name),
            value: value(rung),
            spread: spread.map(|spread| spread(rung)),
            note: if spread.is_some() { format!("{} × rung 1", quantity::significant(rung.gain)) } else { String::new() },
            highlighted: rung.promises_freshness && rung.number != "1",
        });
        PreEscaped(BarChart { title: title.to_string(), description: String::new(), unit, bars: bars.collect() }.svg())
    };
    let title = format!("The ladder: {}", ladder.application);
    let body = html! {
        h1 { (title) }
        p.faint {
            (ladder.vusers) " vusers, " (ladder.rounds) " alternating rounds of " (quantity::significant(ladder.round_s)) " s per rung, medians; database: " (ladder.database)
        }
        div.charts {
            figure { (chart("Requests per second", Unit::PerSecond, |rung| rung.tps, Some(|rung| (rung.tps_min, rung.tps_max)))) }
            figure { (chart("Mean test time", Unit::Microseconds, |rung| rung.mean_ms * 1e3, None)) }
        }
        div.wide { table {
            thead { tr { @for name in ["rung", "TPS", "least - most", "gain", "mean", "p99", "errors", "edge µs", "web µs", "sql µs", "cache µs"] { th { (name) } } } }
            tbody { @for rung in &ladder.rungs {
                @let cpu = &rung.cpu_us_per_request;
                tr {
                    th { (rung.number) " · " (rung.name) }
                    td { (number(rung.tps)) } td { (number(rung.tps_min)) " - " (number(rung.tps_max)) } td { (quantity::significant(rung.gain)) "×" }
                    td { (show_ms(rung.mean_ms)) } td { (show_ms(rung.p99_ms)) } td { (rung.errors) }
                    @for us in [cpu.edge, cpu.web, cpu.sql, cpu.cache] { td { @if us < 0.05 { "-" } @else { (quantity::significant(us)) } } }
                }
            } }
        } }
        p.faint { "The last four columns are CPU time per request, by tier. The generator runs on the same machine." }
        @for rung in &ladder.rungs {
            @if let Some(freshness) = rung.freshness() {
                p.(if rung.stale.is_some() || rung.unproven() { "bad" } else { "good" }) { strong { "Rung " (rung.number) ": " } (freshness) }
            }
            @for note in &rung.notes { p.faint { "Rung " (rung.number) ": " (note) } }
        }
        @for left in &ladder.left_out { p.faint { "Rung " (left.number) " (" (left.name) ") was left out: " (left.reason) } }
    };
    document(&title, body)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[n / 2],
        n => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}
