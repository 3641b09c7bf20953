//! A report as text: a live screen while the run goes on, and the summary at its end.

use super::{Latency, Report};
use crate::{
    plan::Plan,
    quantity,
    run::Observer,
    slo::{show_ms, show_share},
    tally::Slice,
};
use hdrhistogram::Histogram;
use std::{
    fmt::Write as _,
    io::{self, Write},
};

/// Colours, when the user wants them.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    pub colour: bool,
}

impl Style {
    /// Colours on a terminal, unless NO_COLOR is set to anything (no-color.org).
    pub fn of(terminal: bool) -> Style {
        Style { colour: terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) }
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }

    pub fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub fn bad(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }
}

/// The note that goes with every closed-model run.
pub const CLOSED_NOTE: &str = "closed model: a vuser waits for its answer before it asks again, so while the target stalls nobody asks, \
and the stall hides itself from these latencies. Real users do not wait for each other: use --rate to see what they would.";

pub fn summary(report: &Report, style: Style) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}  {}", style.bold(&report.target), style.dim(&report.id));
    if !report.valid {
        for reason in &report.reasons {
            let _ = writeln!(out, "{} {reason}", style.bad("INVALID:"));
        }
    }
    if let Some(early) = &report.ended_early {
        let _ = writeln!(out, "{} {early}", style.bad("ended early:"));
    }
    if report.model == "closed" {
        let _ = writeln!(out, "{}", style.dim(CLOSED_NOTE));
    }
    let _ = writeln!(out);
    let mut row = |name: &str, value: String| {
        let _ = writeln!(out, "  {name:<22} {value}");
    };
    if report.model == "closed" {
        row("vusers", report.vusers.to_string());
    } else {
        let exact = format!("{} /s planned, {} /s sent", number(report.rate_planned), number(report.rate_achieved));
        row("rate", if report.shed > 0 { format!("{exact}, {} shed", report.shed) } else { exact });
    }
    row("TPS", number(report.tps));
    row("peak TPS", number(report.tps_peak));
    row("mean test time", show_ms(report.mean_ms));
    row("executed", report.executed.to_string());
    row("successful", report.successful.to_string());
    let errors = report.errors.to_string();
    row("errors", if report.errors == 0 { errors } else { style.bad(&errors) });
    row("run time", quantity::show(std::time::Duration::from_secs_f64((report.run_time_s * 10.0).round() / 10.0)));
    row("mean time to 1st byte", show_ms(report.ttfb_mean_ms));
    if report.model == "open" {
        let late = format!(
            "{} of arrivals sent late, p99 {}, max {}",
            show_share(report.behind_share),
            show_ms(report.behind_ms_p99),
            show_ms(report.behind_ms_max)
        );
        row("behind schedule", late);
    }
    row(
        "generator",
        format!(
            "{}{} thread(s), CPU {}, {} us per request",
            if report.agents.is_empty() { String::new() } else { format!("{} agents, ", report.agents.len()) },
            report.generator_threads,
            show_share(report.generator_cpu),
            quantity::significant(report.generator_us_per_request)
        ),
    );
    row(
        "received",
        format!(
            "{} ({}/s), {} connection(s)",
            bytes(report.bytes_in as f64),
            bytes(report.bytes_in as f64 / report.run_time_s.max(0.001)),
            report.connects
        ),
    );
    let _ = writeln!(out);
    let _ = writeln!(out, "  {:<12}{}", "", style.dim("     p50      p75      p90      p95      p99    p99.9   p99.99      max"));
    let _ = writeln!(out, "  {:<12}{}", "response", latency(&report.response));
    let _ = writeln!(out, "  {:<12}{}", "service", latency(&report.service));
    if report.model == "open" {
        let _ = writeln!(out, "  {}", style.dim("response counts from the planned instant, service from sending"));
    }
    if report.steps.len() > 1 {
        let _ = writeln!(out);
        let width = report.steps.iter().map(|step| step.name.chars().count()).max().unwrap_or(0).min(48);
        let _ = writeln!(out, "  {:<width$}{}", "", style.dim("      TPS   errors     mean      p50      p99      max"));
        for step in &report.steps {
            let name: String = step.name.chars().take(width).collect();
            let r = &step.response;
            let _ = writeln!(
                out,
                "  {name:<width$}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}",
                number(step.tps),
                step.errors,
                show_ms(r.mean),
                show_ms(r.p50),
                show_ms(r.p99),
                show_ms(r.max)
            );
        }
    }
    if report.status.len() > 1 || report.errors > 0 {
        let _ = writeln!(out);
        let status: Vec<String> = report.status.iter().map(|(status, count)| format!("{status}: {count}")).collect();
        let _ = writeln!(out, "  {:<22} {}", "answers by status", if status.is_empty() { "none".to_string() } else { status.join(", ") });
    }
    for (kind, count) in &report.errors_by_kind {
        let example = report.error_examples.get(kind).map(String::as_str).unwrap_or_default();
        let _ = writeln!(out, "  {:<22} {count} {}", format!("error: {kind}"), style.dim(&format!("for example {example}")));
    }
    if !report.objectives.is_empty() {
        let _ = writeln!(out);
    }
    for judged in &report.objectives {
        let mark = if judged.met { style.good("met   ") } else { style.bad("MISSED") };
        let _ = writeln!(out, "  {mark} {}  (measured {})", judged.objective, judged.measured);
    }
    out
}

fn latency(l: &Latency) -> String {
    [l.p50, l.p75, l.p90, l.p95, l.p99, l.p99_9, l.p99_99, l.max].map(|ms| format!("{:>9}", show_ms(ms))).concat()
}

/// Rates for people: whole above a hundred.
pub fn number(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { quantity::significant(value) }
}

pub fn bytes(count: f64) -> String {
    let (value, unit) = match count {
        c if c >= 1e9 => (c / 1e9, "GB"),
        c if c >= 1e6 => (c / 1e6, "MB"),
        c if c >= 1e3 => (c / 1e3, "kB"),
        c => (c, "B"),
    };
    format!("{} {unit}", quantity::significant(value))
}

/// One screen that is drawn over every second. Nothing when standard error is not a terminal.
pub struct Live {
    style: Style,
    terminal: bool,
    drawn: usize,
    recent: Vec<(f64, f64)>,
    totals: (u64, u64),
}

impl Live {
    pub fn new(terminal: bool) -> Live {
        Live { style: Style::of(terminal), terminal, drawn: 0, recent: Vec::new(), totals: (0, 0) }
    }

    /// Takes the screen away: the summary follows.
    pub fn clear(&mut self) {
        if self.drawn > 0 {
            let _ = write!(io::stderr(), "\x1b[{}A\x1b[J", self.drawn);
            self.drawn = 0;
        }
    }

    fn lines(&self, plan: &Plan, second: &Slice, so_far: &Histogram<u64>) -> Vec<String> {
        let lasts = plan.model.profile().lasts().as_secs();
        let done = ((second.second + 1) as f64 / lasts.max(1) as f64).min(1.0);
        let bar = format!("{}{}", "━".repeat((done * 40.0) as usize), self.style.dim(&"─".repeat(40 - (done * 40.0) as usize)));
        let warming = second.second < plan.warmup.as_secs();
        let us = |us: u64| show_ms(us as f64 / 1e3);
        let level = plan.model.profile().level(std::time::Duration::from_secs(second.second));
        let asked = if plan.model.open() { format!("{} /s", number(level)) } else { format!("{level:.0} vusers") };
        vec![
            format!("{bar} {}/{}s{}", second.second + 1, lasts, if warming { "  warming up" } else { "" }),
            format!(
                "asked {asked:<14} done {:>8} /s   errors {:>6}   in flight {:>6}{}",
                second.successful,
                second.errors,
                second.in_flight,
                if second.shed > 0 { format!("   shed {}", second.shed) } else { String::new() }
            ),
            format!(
                "this second   p50 {:>8}  p90 {:>8}  p99 {:>8}  max {:>8}",
                us(second.response.value_at_quantile(0.5)),
                us(second.response.value_at_quantile(0.9)),
                us(second.response.value_at_quantile(0.99)),
                us(second.response.max())
            ),
            format!(
                "so far        p50 {:>8}  p90 {:>8}  p99 {:>8}  max {:>8}",
                us(so_far.value_at_quantile(0.5)),
                us(so_far.value_at_quantile(0.9)),
                us(so_far.value_at_quantile(0.99)),
                us(so_far.max())
            ),
            format!("rate {}", spark(self.recent.iter().map(|(rate, _)| *rate))),
            format!("p99  {}", spark(self.recent.iter().map(|(_, p99)| *p99))),
        ]
    }
}

impl Observer for Live {
    fn second(&mut self, plan: &Plan, second: &Slice, so_far: &Histogram<u64>) {
        self.totals.0 += second.successful;
        self.totals.1 += second.errors;
        if !self.terminal {
            return;
        }
        self.recent.push((second.successful as f64, second.response.value_at_quantile(0.99) as f64));
        if self.recent.len() > SPARK_SECONDS {
            self.recent.remove(0);
        }
        let lines = self.lines(plan, second, so_far);
        self.clear();
        self.drawn = lines.len();
        let text: String = lines.iter().map(|line| format!("{line}\x1b[K\n")).collect();
        let _ = io::stderr().write_all(text.as_bytes());
    }
}

/// Seconds in the small charts: what fits beside a label in 80 columns.
const SPARK_SECONDS: usize = 60;

/// A chart one line high.
fn spark(values: impl Iterator<Item = f64> + Clone) -> String {
    let top = values.clone().fold(0.0, f64::max);
    values
        .map(|value| {
            let level = if top > 0.0 { (value / top * 7.0).round() as usize } else { 0 };
            ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'][level.min(7)]
        })
        .collect()
}
