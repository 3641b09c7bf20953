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
use pumasi_chart::{Bar, BarChart, Scale, Unit};
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
    /// Cores' worth of time of the load generator.
    generator_cores: f64,
    cpu_us: CpuPerRequest,
}

/// Everything, as `--json` prints it.
#[derive(Clone, Debug, Serialize)]
pub struct Ladder {
    pub vusers: usize,
    pub rounds: u16,
    pub round_s: f64,
    /// Of the machine, which the load generator shares.
    pub cores: usize,
    /// What came of it, in a sentence or two.
    pub summary: String,
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
    /// What keeps it from answering more.
    pub limited_by: String,
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
    #[serde(skip)]
    generator_was_the_limit: bool,
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
            generator_cores: report.generator_cpu * report.generator_threads as f64,
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
        let mut reports: Vec<RungReport> = rungs
            .filter(|(_, measured)| !measured.rounds.is_empty())
            .map(|(rung, measured)| RungReport::of(rung, measured, setting.cores))
            .collect();
        let first = reports.first().map_or(0.0, |first| first.tps);
        reports.iter_mut().for_each(|rung| rung.gain = if first > 0.0 { rung.tps / first } else { 0.0 });
        Ladder {
            vusers: setting.vusers,
            rounds: args.rounds,
            round_s: args.lasts.as_secs_f64(),
            cores: setting.cores,
            summary: summary(&reports),
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
    fn of(rung: &Rung, measured: &Measured, cores: usize) -> RungReport {
        let rounds = &measured.rounds;
        let ends = |pick: fn(f64, f64) -> f64| rounds.iter().map(|round| round.tps).reduce(pick).unwrap_or(0.0);
        let generator_was_the_limit = rounds.iter().filter(|round| round.generator_was_the_limit).count() * 2 > rounds.len();
        let mut notes = Vec::new();
        if let Some(example) = rounds.iter().find_map(|round| round.example.as_ref()) {
            notes.push(format!("an error, for example {example}"));
        }
        let verified = measured.verified.as_ref();
        let cpu = CpuPerRequest {
            edge: measured.median(|round| round.cpu_us.edge),
            sql: measured.median(|round| round.cpu_us.sql),
            web: measured.median(|round| round.cpu_us.web),
            cache: measured.median(|round| round.cpu_us.cache),
        };
        let tps = measured.median(|round| round.tps);
        let limited_by = match generator_was_the_limit {
            true => "the load generator: it holds more".to_string(),
            false => cpu.limit(tps, measured.median(|round| round.generator_cores), cores),
        };
        RungReport {
            number: rung.number.to_string(),
            name: rung.name.to_string(),
            tps,
            tps_min: ends(f64::min),
            tps_max: ends(f64::max),
            mean_ms: measured.median(|round| round.mean_ms),
            p99_ms: measured.median(|round| round.p99_ms),
            errors: rounds.iter().map(|round| round.errors).sum(),
            executed: rounds.iter().map(|round| round.executed).sum(),
            gain: 0.0,
            workers: rung.workers,
            writes: rung.writes,
            cpu_us_per_request: cpu,
            limited_by,
            verified_reads: verified.map(|verified| verified.reads),
            acknowledged_writes: verified.map(|verified| verified.writes),
            unanswered: verified.map(|verified| verified.failed),
            stale: verified.and_then(|verified| verified.violation.clone()),
            notes,
            promises_freshness: rung.cache.is_none(),
            generator_was_the_limit,
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

impl CpuPerRequest {
    /// What keeps a rung from answering more than `tps`, as far as the CPU tells.
    fn limit(self, tps: f64, generator_cores: f64, cores: usize) -> String {
        let tiers = [("the edge", self.edge), ("the application", self.web), ("the database", self.sql), ("the cache", self.cache)];
        let all: f64 = tiers.iter().map(|(_, us)| us).sum();
        let busy = all * tps / 1e6;
        let (name, most) = tiers.into_iter().fold(("", 0.0), |most, tier| if tier.1 > most.1 { tier } else { most });
        if busy + generator_cores < FULL * cores as f64 {
            return "waiting: the cores have time left".to_string();
        }
        format!("{name}: {:.0} % of {} busy cores", most / all * 100.0, quantity::significant(busy))
    }
}

/// Cores busy to this share are full: the rest is the system's.
const FULL: f64 = 0.9;

/// What somebody who reads nothing else should know. Empty when nothing was gained.
fn summary(rungs: &[RungReport]) -> String {
    let gained = |rung: &&RungReport| rung.promises_freshness && rung.gain >= GAINED;
    let reading = rungs.iter().filter(|rung| rung.writes == 0.0).filter(gained).max_by(|a, b| a.tps.total_cmp(&b.tps));
    let Some(best) = reading else { return String::new() };
    let times = |rung: &RungReport| format!("{} times", quantity::significant(rung.gain));
    let mut out = format!(
        "Rung {} answers {}{} as many requests a second as rung 1, with the same application on the same machine.",
        best.number,
        if best.generator_was_the_limit { "more than " } else { "" },
        times(best)
    );
    let writing: Vec<String> = rungs
        .iter()
        .filter(|rung| rung.writes > 0.0)
        .map(|rung| format!("{} with {} % of writes", times(rung), rung.writes * 100.0))
        .collect();
    if !writing.is_empty() {
        let _ = write!(out, " It is {}.", writing.join(", "));
    }
    let checked: u64 = rungs.iter().filter(|rung| rung.promises_freshness).filter_map(|rung| rung.verified_reads).sum();
    if checked > 0 && rungs.iter().all(|rung| !rung.promises_freshness || rung.stale.is_none()) {
        let _ = write!(out, " Of {checked} reads that were checked while others wrote, none was stale.");
    }
    out
}

/// A gain smaller than this is noise.
const GAINED: f64 = 1.05;

/// The table.
pub fn text(ladder: &Ladder, style: Style) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{}  {} virtual users, {} rounds of {} per rung, medians (least - most)\n",
        style.bold(&format!("{} on {} database", ladder.application, ladder.database)),
        ladder.vusers,
        ladder.rounds,
        quantity::show(std::time::Duration::from_secs_f64(ladder.round_s))
    );
    let width = ladder.rungs.iter().map(|rung| rung.name.chars().count()).max().unwrap_or(0);
    let over = format!(
        "{:<3} {:<width$} {:>8} {:>17} {:>9} {:>9} {:>7} {:>8}   {:^35}",
        "", "", "", "", "", "", "", "", "CPU us per request, by tier"
    );
    let _ = writeln!(out, "{}", style.dim(over.trim_end()));
    let head = format!(
        "{:<3} {:<width$} {:>8} {:>17} {:>9} {:>9} {:>7} {:>8}   {:>8} {:>8} {:>8} {:>8}  {}",
        "", "rung", "TPS", "(least - most)", "mean", "p99", "errors", "gain", "edge", "web", "sql", "cache", "what holds it back"
    );
    let _ = writeln!(out, "{}", style.dim(&head));
    for rung in &ladder.rungs {
        let spread = format!("({} - {})", number(rung.tps_min), number(rung.tps_max));
        let gain = format!("{:>8}", format!("{}x", quantity::significant(rung.gain)));
        let errors = format!("{:>7}", rung.errors);
        let cpu = &rung.cpu_us_per_request;
        let _ = writeln!(
            out,
            "{:<3} {:<width$} {:>8} {spread:>17} {:>9} {:>9} {} {}   {:>8} {:>8} {:>8} {:>8}  {}",
            rung.number,
            rung.name,
            number(rung.tps),
            show_ms(rung.mean_ms),
            show_ms(rung.p99_ms),
            if rung.errors == 0 { errors } else { style.bad(&errors) },
            if rung.gain >= GAINED { style.good(&gain) } else { gain },
            us(cpu.edge),
            us(cpu.web),
            us(cpu.sql),
            us(cpu.cache),
            style.dim(&rung.limited_by),
        );
    }
    let _ = writeln!(out);
    chart(&mut out, ladder, width, style);
    if !ladder.summary.is_empty() {
        let _ = writeln!(out, "{}\n", ladder.summary);
    }
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

/// Bars on a scale of tens: on an even one, a gain of a thousand leaves nothing to see of all others.
fn chart(out: &mut String, ladder: &Ladder, width: usize, style: Style) {
    let rates = || ladder.rungs.iter().map(|rung| rung.tps).filter(|tps| *tps > 0.0);
    let Some(least) = rates().reduce(f64::min) else { return };
    let from = least.log10().floor();
    let decades = (rates().fold(least, f64::max).log10().ceil() - from).max(1.0);
    let step = BAR_WIDTH / decades as usize;
    for rung in &ladder.rungs {
        let length = if rung.tps > 0.0 { ((rung.tps.log10() - from) * step as f64).round() as usize } else { 0 };
        let bar = "█".repeat(length.max(1));
        let _ = writeln!(out, "{:<3} {:<width$} {bar} {} a second", rung.number, rung.name, number(rung.tps));
    }
    let marks: String =
        (0..=decades as i32).map(|power| format!("{:<step$}", format!("|{}", number(10f64.powf(from + f64::from(power)))))).collect();
    let _ =
        writeln!(out, "{}\n", style.dim(&format!("{:<3} {:<width$} {}   each mark is ten times the one before", "", "", marks.trim_end())));
}

/// Columns of the longest bar in the terminal.
const BAR_WIDTH: usize = 60;

fn us(value: f64) -> String {
    if value < 0.05 { "-".to_string() } else { quantity::significant(value) }
}

/// The least and the most of a rung's rounds.
type Spread = fn(&RungReport) -> (f64, f64);

/// One self-contained page.
pub fn page(ladder: &Ladder) -> String {
    let chart = |title: &str, unit: Unit, value: fn(&RungReport) -> f64, spread: Option<Spread>| {
        let bars = ladder.rungs.iter().map(|rung| Bar {
            name: format!("{} · {}", rung.number, rung.name),
            value: value(rung),
            spread: spread.map(|spread| spread(rung)),
            note: if spread.is_some() { format!("· {}×", quantity::significant(rung.gain)) } else { String::new() },
            highlighted: rung.promises_freshness && rung.gain >= GAINED,
        });
        PreEscaped(
            BarChart { title: title.to_owned(), description: String::new(), unit, scale: Scale::Decades, bars: bars.collect() }.svg(),
        )
    };
    let title = format!("The ladder: {}", ladder.application);
    let body = html! {
        h1 { (title) }
        @if !ladder.summary.is_empty() { p { strong { (ladder.summary) } } }
        p.faint {
            (ladder.vusers) " virtual users, each asking again when answered; " (ladder.rounds) " alternating rounds of " (quantity::significant(ladder.round_s))
            " s per rung, medians. Database: " (ladder.database) ". Load generator and all tiers share " (ladder.cores) " cores."
        }
        div.charts {
            figure { (chart("Requests a second, more is better", Unit::PerSecond, |rung| rung.tps, Some(|rung| (rung.tps_min, rung.tps_max)))) }
            figure { (chart("Time one takes, mean, less is better", Unit::Microseconds, |rung| rung.mean_ms * 1e3, None)) }
        }
        p.faint { "Both scales count in tens: each line is ten times the one before, so a bar that is a little longer is much more. Coloured: faster than rung 1, and no page may be stale." }
        div.wide { table {
            thead {
                tr {
                    th.text rowspan="2" { "rung" }
                    @for name in ["TPS", "least - most", "gain", "mean", "p99", "errors"] { th rowspan="2" { (name) } }
                    th colspan="4" { "CPU µs per request" }
                    th.text rowspan="2" { "what holds it back" }
                }
                tr { @for name in ["edge", "web", "sql", "cache"] { th { (name) } } }
            }
            tbody { @for rung in &ladder.rungs {
                @let cpu = &rung.cpu_us_per_request;
                tr {
                    th { (rung.number) " · " (rung.name) }
                    td { (number(rung.tps)) } td { (number(rung.tps_min)) " - " (number(rung.tps_max)) } td { (quantity::significant(rung.gain)) "×" }
                    td { (show_ms(rung.mean_ms)) } td { (show_ms(rung.p99_ms)) } td { (rung.errors) }
                    @for tier in [cpu.edge, cpu.web, cpu.sql, cpu.cache] { td { (us(tier)) } }
                    td.text { (rung.limited_by) }
                }
            } }
        } }
        p.faint { "Tiers: edge is Pumasi's HTTP side, web the application's own processes, sql the database as Pumasi runs it or stands in front of it, cache a memcached or Redis of a hand-written variant." }
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
