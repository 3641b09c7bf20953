//! A report as one self-contained page: nothing is loaded from anywhere, the charts are SVG in it.

use super::{
    Latency, Report, Second, band_end_ms, compare,
    terminal::{CLOSED_NOTE, bytes, number},
};
use crate::{
    kept::date_and_time,
    slo::{show_ms, show_share},
    watch::TierSecond,
};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use pumasi_chart::{HeatMap, LineChart, Series, Shape, Unit, XAxis};

/// The whole page. A baseline adds the comparison.
pub fn page(report: &Report, baseline: Option<&Report>) -> String {
    let title = if report.name.is_empty() { report.id.clone() } else { report.name.clone() };
    let body = html! {
        h1 { (title) }
        p.faint {
            (report.target) " · " (date_and_time(report.started_unix_ms)) " · " (report.model) " model"
            @for tag in &report.tags { " " span.tag { (tag) } }
        }
        @if !report.comment.is_empty() { p { (report.comment) } }
        (verdict(report))
        (figures(report))
        (percentiles(report))
        div.charts { (charts(&report.series, report.model == "open")) }
        @if report.tiers.len() > 1 { h2 { "The tiers" } div.charts { (tiers(&report.tiers)) } }
        @if report.steps.len() > 1 { (steps(report)) }
        (errors(report))
        @if let Some(baseline) = baseline { (comparison(baseline, report)) }
    };
    document(&title, body)
}

/// A page around `body`, with the style that reports share.
pub fn document(title: &str, body: Markup) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " - Pumasi" }
                style { (PreEscaped(pumasi_chart::STYLE)) (PreEscaped(STYLE)) }
            }
            body { main { (body) } }
        }
    }
    .into_string()
}

fn verdict(report: &Report) -> Markup {
    html! {
        @for reason in &report.reasons { p.bad { strong { "INVALID: " } (reason) } }
        @if let Some(early) = &report.ended_early { p.bad { strong { "Ended early: " } (early) } }
        @if report.model == "closed" { p.faint { "Note: " (CLOSED_NOTE) } }
        @for judged in &report.objectives {
            p.(if judged.met { "good" } else { "bad" }) {
                strong { (if judged.met { "Met: " } else { "Missed: " }) } (judged.objective) ", measured " (judged.measured)
            }
        }
    }
}

fn figures(report: &Report) -> Markup {
    let mut rows: Vec<(&str, String)> = Vec::new();
    match report.model.as_str() {
        "closed" => rows.push(("Total vusers", report.vusers.to_string())),
        _ => rows.push(("Rate planned / sent", format!("{} / {} per second", number(report.rate_planned), number(report.rate_achieved)))),
    }
    rows.extend([
        ("TPS", number(report.tps)),
        ("Peak TPS", number(report.tps_peak)),
        ("Mean test time", show_ms(report.mean_ms)),
        ("Executed tests", report.executed.to_string()),
        ("Successful tests", report.successful.to_string()),
        ("Errors", report.errors.to_string()),
        ("Run time", format!("{:.1} s", report.run_time_s)),
        ("Mean time to first byte", show_ms(report.ttfb_mean_ms)),
    ]);
    if report.model == "open" {
        rows.push(("Shed", report.shed.to_string()));
        rows.push((
            "Behind schedule",
            format!("{}, p99 {}, max {}", show_share(report.behind_share), show_ms(report.behind_ms_p99), show_ms(report.behind_ms_max)),
        ));
    }
    rows.extend([
        ("Generator", if report.agents.is_empty() { "this machine".to_string() } else { report.agents.join(", ") }),
        ("Generator CPU", format!("{} of {} thread(s)", show_share(report.generator_cpu), report.generator_threads)),
        ("Received", format!("{} ({}/s)", bytes(report.bytes_in as f64), bytes(report.bytes_in as f64 / report.run_time_s.max(0.001)))),
        ("Connections opened", report.connects.to_string()),
    ]);
    html! {
        dl.figures { @for (name, value) in rows { div { dt { (name) } dd { (value) } } } }
    }
}

fn percentiles(report: &Report) -> Markup {
    let cells = |l: &Latency| [l.mean, l.p50, l.p75, l.p90, l.p95, l.p99, l.p99_9, l.p99_99, l.max].map(show_ms);
    html! {
        div.wide { table {
            thead { tr { th {} @for name in ["mean", "p50", "p75", "p90", "p95", "p99", "p99.9", "p99.99", "max"] { th { (name) } } } }
            tbody {
                tr { th { "response" } @for cell in cells(&report.response) { td { (cell) } } }
                tr { th { "service" } @for cell in cells(&report.service) { td { (cell) } } }
            }
        } }
        @if report.model == "open" { p.faint { "Response counts from the planned instant, service from sending." } }
    }
}

fn charts(series: &[Second], open: bool) -> Markup {
    // The moment after the last whole second holds the end of the run and nothing that could be compared with a second.
    let series = match series.split_last() {
        Some((last, rest)) if last.wall_s < 0.5 && !rest.is_empty() => rest,
        _ => series,
    };
    let step = series.len().div_ceil(POINTS_MAX).max(1);
    let groups: Vec<&[Second]> = series.chunks(step).collect();
    let x = XAxis { first_s: series.first().map_or(0.0, |second| second.second as f64), step_s: step as f64, ago: false };
    let mean = |value: fn(&Second) -> f64| -> Vec<Option<f64>> {
        groups.iter().map(|group| Some(group.iter().map(value).sum::<f64>() / group.len() as f64)).collect()
    };
    let most = |value: fn(&Second) -> f64| -> Vec<Option<f64>> {
        groups.iter().map(|group| Some(group.iter().map(value).fold(0.0, f64::max))).collect()
    };
    let band = |low: fn(&Second) -> f64, high: fn(&Second) -> f64| -> Shape {
        let (low, high) = (mean(low), most(high));
        Shape::Band(low.into_iter().zip(high).map(|(low, high)| Some((low?.min(high?), high?))).collect())
    };
    let chart = |title: &str, unit: Unit, series: Vec<(&str, Shape)>| {
        let series = series.into_iter().map(|(name, shape)| Series { name: name.to_string(), shape }).collect();
        PreEscaped(LineChart { title: title.to_string(), description: String::new(), unit, x, series, reaches: 0.0 }.svg())
    };
    let asked =
        if open { ("planned", Shape::Line(mean(|s| s.planned as f64))) } else { ("vusers", Shape::Line(mean(|s| s.vusers as f64))) };
    let columns: Vec<Vec<(u64, u64)>> = groups
        .iter()
        .map(|group| {
            group
                .iter()
                .flat_map(|second| second.bands.iter().enumerate())
                .filter(|(_, count)| **count > 0)
                .map(|(band, count)| (band_us(band), *count))
                .collect()
        })
        .collect();
    let heat = HeatMap { title: "Answers by latency".to_string(), description: String::new(), x, columns };
    html! {
        figure { (chart("Rate", Unit::PerSecond, vec![("TPS", Shape::Area(mean(|s| s.tps))), asked])) }
        figure { (chart("Response time", Unit::Microseconds, vec![
            ("p50 to p99", band(|s| s.p50 * 1e3, |s| s.p99 * 1e3)),
            ("p50", Shape::Line(mean(|s| s.p50 * 1e3))),
            ("p90", Shape::Line(most(|s| s.p90 * 1e3))),
        ])) }
        figure { (PreEscaped(heat.svg())) }
        figure { (chart("Slowest, and time to first byte", Unit::Microseconds, vec![
            ("max", Shape::Line(most(|s| s.max * 1e3))),
            ("first byte", Shape::Line(mean(|s| s.ttfb_mean_ms * 1e3))),
        ])) }
        figure { (chart("In flight", Unit::Count, vec![("in flight", Shape::Area(most(|s| s.in_flight as f64)))])) }
        figure { (chart("Errors", Unit::PerSecond, vec![("errors", Shape::Area(mean(|s| s.errors as f64))), ("shed", Shape::Line(mean(|s| s.shed as f64)))])) }
        figure { (chart("Received", Unit::Bytes, vec![("bytes per second", Shape::Area(mean(|s| s.bytes_in as f64)))])) }
        figure { (chart("Generator CPU", Unit::Share, vec![("share of its threads", Shape::Area(mean(|s| s.generator_cpu)))])) }
    }
}

/// The Pumasi under test on the axis of the other charts.
fn tiers(tiers: &[TierSecond]) -> Markup {
    let step = tiers.len().div_ceil(POINTS_MAX).max(1);
    let points: Vec<&TierSecond> = tiers.iter().step_by(step).collect();
    let x = XAxis { first_s: points.first().map_or(0.0, |point| point.second), step_s: step as f64, ago: false };
    let line = |value: fn(&TierSecond) -> f64| Shape::Line(points.iter().map(|point| Some(value(point))).collect());
    let area = |value: fn(&TierSecond) -> f64| Shape::Area(points.iter().map(|point| Some(value(point))).collect());
    let share = |value: fn(&TierSecond) -> Option<f64>| Shape::Line(points.iter().map(|point| value(point)).collect());
    let chart = |title: &str, unit: Unit, series: Vec<(&str, Shape)>| {
        let series = series.into_iter().map(|(name, shape)| Series { name: name.to_string(), shape }).collect();
        PreEscaped(LineChart { title: title.to_string(), description: String::new(), unit, x, series, reaches: 0.0 }.svg())
    };
    html! {
        figure { (chart("Cores used", Unit::Count, vec![("workers", area(|t| t.web_cpu)), ("Pumasi", line(|t| t.pumasi_cpu))])) }
        figure { (chart("Found in the cache", Unit::Share, vec![("pages", share(|t| t.pages_hit)), ("results", share(|t| t.results_hit))])) }
        figure { (chart("Waiting for a worker, p95", Unit::Microseconds, vec![("queue time", area(|t| t.queue_ms_p95 * 1e3))])) }
        figure { (chart("Requests and statements", Unit::PerSecond, vec![("requests", line(|t| t.requests_per_s)), ("statements", line(|t| t.statements_per_s))])) }
    }
}

/// The middle of a heat map's band on the logarithmic scale.
fn band_us(band: usize) -> u64 {
    (band_end_ms(band) * 1e3 / 2f64.powf(0.25)) as u64
}

fn steps(report: &Report) -> Markup {
    html! {
        h2 { "Steps" }
        div.wide { table {
            thead { tr { @for name in ["", "TPS", "successful", "errors", "first byte", "mean", "p50", "p90", "p99", "p99.9", "max"] { th { (name) } } } }
            tbody {
                @for step in &report.steps {
                    @let r = &step.response;
                    tr {
                        th { (step.name) }
                        td { (number(step.tps)) } td { (step.successful) } td { (step.errors) } td { (show_ms(step.ttfb_mean_ms)) }
                        @for ms in [r.mean, r.p50, r.p90, r.p99, r.p99_9, r.max] { td { (show_ms(ms)) } }
                    }
                }
            }
        } }
    }
}

fn errors(report: &Report) -> Markup {
    html! {
        @if !report.errors_by_kind.is_empty() {
            h2 { "Errors" }
            div.wide { table {
                thead { tr { th { "kind" } th { "count" } th { "for example" } } }
                tbody { @for (kind, count) in &report.errors_by_kind {
                    tr { th { (kind) } td { (count) } td.text { (report.error_examples.get(kind).map(String::as_str).unwrap_or_default()) } }
                } }
            } }
        }
        @if report.status.len() > 1 {
            h2 { "Answers by status" }
            div.wide { table { tbody { @for (status, count) in &report.status { tr { th { (status) } td { (count) } } } } } }
        }
    }
}

fn comparison(before: &Report, after: &Report) -> Markup {
    html! {
        h2 { "Compared with " (before.id) }
        @for note in compare::obstacles(before, after) { p.bad { (note) } }
        div.wide { table {
            thead { tr { th {} th { "before" } th { "after" } th { "change" } } }
            tbody { @for d in compare::compare(before, after) {
                tr {
                    th { (d.figure) } td { ((d.show)(d.before)) } td { ((d.show)(d.after)) }
                    td.(match d.better { Some(true) => "good", Some(false) => "bad", None => "faint" }) {
                        (d.change.map_or_else(|| "-".to_string(), |change| format!("{:+.1}%", change * 100.0)))
                    }
                }
            } }
        } }
        p.faint { "Changes within 5% are not coloured: two runs of the same thing differ by as much." }
    }
}

/// Points in a chart: more than the pixels of its width would only make the page larger.
const POINTS_MAX: usize = 400;

const STYLE: &str = include_str!("report.css");
