//! The front page: the picture, what is to be said about it, and charts.
use maud::{Markup, PreEscaped, html};
use pumasi_chart::{LineChart, Series, Shape, Unit, XAxis};
use pumasi_status::{Pool, Sql, Status, Traffic, Upstream};

use super::{Part, Question, bytes, count, figure, latency, rate, share, share_of, span, state};
use crate::{
    Picture, Shared,
    history::{History, Sample},
    verdict::{Findings, Level, Place},
};

/// The part that is read aloud when it changes.
pub const VERDICTS: &str = "verdicts";

pub fn parts(shared: &Shared, picture: &Picture, question: &Question) -> Vec<Part> {
    vec![
        Part { id: "topology", content: topology(&picture.status, &picture.findings) },
        Part { id: VERDICTS, content: verdicts(&picture.findings) },
        Part { id: "charts", content: charts(&shared.history(), picture, Range::of(&question.range)) },
    ]
}

// === the picture ===

/// Boxes and arrows as nested lists of text: side by side on a wide screen, one below the other on a phone. Arrows carry figures.
fn topology(status: &Status, findings: &Findings) -> Markup {
    let marked = |place: Place| findings.bottleneck.as_ref() == Some(&place);
    html! {
        section.topology aria-label="Topology" {
            (arrow("Visitors", "to the edge", &status.edge.traffic, None))
            (edge(status))
            div.stack {
                @for pool in &status.pools {
                    div.row {
                        (arrow(&format!("Edge to {}", pool.name), "to the workers", &together(pool), Some(("queue", latency(&status.edge.traffic, status.edge.queue_us_p95)))))
                        (pool_box(pool, marked(Place::Pool(pool.name.clone()))))
                    }
                }
                @if status.pools.is_empty() { p.quiet { "No pool is configured." } }
            }
            @if !status.sql.is_empty() {
                div.stack {
                    @for sql in &status.sql {
                        div.row {
                            (arrow(&format!("Statements to {}", sql.name), "to the database", &sql.traffic, sql.results.as_ref().map(|kept| ("from kept results", share_of(kept.hits, kept.hits + kept.misses)))))
                            (sql_box(sql, marked(Place::Sql(sql.name.clone()))))
                        }
                    }
                }
            }
        }
    }
}

fn edge(status: &Status) -> Markup {
    let edge = &status.edge;
    html! {
        section.box aria-labelledby="edge-name" {
            h2 #edge-name { "Edge" }
            @for listener in &edge.listeners { p.address { (listener) } }
            dl {
                (figure("connections", count(edge.connections)))
                @if let Some(pages) = &edge.pages { (figure("from kept pages", share_of(pages.hits, pages.hits + pages.misses))) }
                (figure("memory", bytes(status.memory_bytes)))
                (figure("running for", span(status.uptime_s)))
            }
        }
    }
}

fn pool_box(pool: &Pool, marked: bool) -> Markup {
    html! {
        section.box.marked[marked] aria-label=(format!("Pool {}", pool.name)) {
            h2 { (pool.name) }
            @if marked { p.mark { "The bottleneck" } }
            ul.members {
                @for upstream in &pool.upstreams { li { (member(upstream)) } }
            }
            @if pool.upstreams.is_empty() { p.quiet { "Nobody has joined yet." } }
        }
    }
}

fn member(upstream: &Upstream) -> Markup {
    let worker = upstream.worker.as_ref();
    let shown = worker.map_or(&upstream.health, |worker| if worker.state == "ready" { &upstream.health } else { &worker.state });
    html! {
        span.who { strong { (upstream.name) } (state(if shown == "up" && worker.is_some() { "ready" } else { shown })) }
        span.what {
            (rate(upstream.traffic.rate)) " · p95 " (latency(&upstream.traffic, upstream.traffic.latency_us_p95)) " · " (upstream.traffic.in_flight) " in flight"
            @if let Some(worker) = worker { " · " (bytes(worker.memory_bytes)) }
        }
    }
}

fn sql_box(sql: &Sql, marked: bool) -> Markup {
    html! {
        section.box.marked[marked] aria-label=(format!("Database {}", sql.name)) {
            h2 { (sql.name) }
            @if marked { p.mark { "The bottleneck" } }
            p.address { (sql.engine) }
            dl {
                (figure("sessions", format!("{} of {}", sql.connections, sql.connections_max)))
                (figure("reads", count(sql.reads_total)))
                (figure("writes", count(sql.writes_total)))
            }
            @if let Some(cluster) = sql.cluster.as_ref().filter(|cluster| cluster.members.len() > 1) {
                ul.members {
                    @for member in &cluster.members {
                        li {
                            span.who { strong { (member.name) } (state(&member.state)) }
                            span.what {
                                (member.role)
                                @if let Some(behind) = member.lag_transactions.filter(|_| member.role == "replica") { " · " (count(behind)) " behind" }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn arrow(label: &str, whereto: &str, traffic: &Traffic, more: Option<(&str, String)>) -> Markup {
    html! {
        div.arrow role="group" aria-label=(label) {
            p.head { strong { (rate(traffic.rate)) } span.for-ears { " " (whereto) } }
            svg.shaft viewBox="0 0 100 12" preserveAspectRatio="none" aria-hidden="true" { path d="M0 6H100" {} }
            dl {
                (figure("success", share(traffic.success)))
                (figure("p50", latency(traffic, traffic.latency_us_p50)))
                (figure("p95", latency(traffic, traffic.latency_us_p95)))
                (figure("p99", latency(traffic, traffic.latency_us_p99)))
                (figure("in flight", count(traffic.in_flight)))
                @if let Some((term, value)) = more { (figure(term, value)) }
            }
        }
    }
}

/// The pool's traffic as one: rates add up, the slowest upstream gives the latency.
fn together(pool: &Pool) -> Traffic {
    let mut all = Traffic { success: 1.0, ..Traffic::default() };
    let mut failed = 0.0;
    for traffic in pool.upstreams.iter().map(|upstream| &upstream.traffic) {
        all.rate += traffic.rate;
        failed += traffic.rate * (1.0 - traffic.success);
        all.in_flight += traffic.in_flight;
        all.latency_us_p50 = all.latency_us_p50.max(traffic.latency_us_p50);
        all.latency_us_p95 = all.latency_us_p95.max(traffic.latency_us_p95);
        all.latency_us_p99 = all.latency_us_p99.max(traffic.latency_us_p99);
    }
    if all.rate > 0.0 {
        all.success = 1.0 - failed / all.rate;
    }
    all
}

// === sentences ===

fn verdicts(findings: &Findings) -> Markup {
    html! {
        section aria-label="Findings" {
            ul.verdicts {
                @for verdict in &findings.verdicts {
                    li.act[verdict.level == Level::Act].look[verdict.level == Level::Look] {
                        p { strong { (with_code(&verdict.sentence)) } }
                        @if let Some(quote) = &verdict.quote { pre { code { (quote) } } }
                        p { (with_code(&verdict.advice)) " " a href=(verdict.page) { "Evidence" } }
                    }
                }
                @if let Some(well) = findings.well { li.well { p { strong { (well) } } } }
            }
        }
    }
}

/// Text between backticks as code.
fn with_code(text: &str) -> Markup {
    html! { @for (index, piece) in text.split('`').enumerate() { @if index % 2 == 1 { code { (piece) } } @else { (piece) } } }
}

// === charts ===

/// How far back the charts reach, in how many columns.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Range {
    Minutes,
    Hour,
    Week,
}

impl Range {
    fn of(name: &str) -> Range {
        match name {
            "1h" => Range::Hour,
            "1w" => Range::Week,
            _ => Range::Minutes,
        }
    }

    /// Seconds per column and columns. Columns begin at multiples of their length, so a chart changes when a column is complete.
    fn columns(self) -> (u64, u64) {
        match self {
            Range::Minutes => (5, 60),
            Range::Hour => (30, 120),
            Range::Week => (7_200, 84),
        }
    }
}

fn charts(history: &History, picture: &Picture, range: Range) -> Markup {
    let now = picture.unix_s;
    let (step, columns) = range.columns();
    let end = now / step * step;
    let start = end.saturating_sub(step * columns);
    let mut groups: Vec<Vec<&Sample>> = vec![Vec::new(); columns as usize];
    let samples: Box<dyn Iterator<Item = &Sample>> = match range {
        Range::Week => Box::new(history.minutes(now, now - start)),
        _ => Box::new(history.seconds(now, now - start)),
    };
    for sample in samples.filter(|sample| (start..end).contains(&sample.unix_s)) {
        groups[((sample.unix_s - start) / step) as usize].push(sample);
    }
    let samples: Vec<Option<Sample>> = groups.into_iter().map(Sample::together).collect();
    let line = |name: &str, value: fn(&Sample) -> f32| Series { name: name.into(), shape: Shape::Line(values(&samples, value)) };
    let area = |name: &str, value: fn(&Sample) -> f32| Series { name: name.into(), shape: Shape::Area(values(&samples, value)) };
    let band = |name: &str, low: fn(&Sample) -> f32, high: fn(&Sample) -> f32| {
        let pairs =
            samples.iter().map(|sample| sample.filter(|sample| high(sample) > 0.0).map(|s| (f64::from(low(&s)), f64::from(high(&s)))));
        Series { name: name.into(), shape: Shape::Band(pairs.collect()) }
    };
    // A latency of nothing is no latency.
    let times = |name: &str, value: fn(&Sample) -> f32| {
        let values = values(&samples, value).into_iter().map(|value| value.filter(|value| *value > 0.0));
        Series { name: name.into(), shape: Shape::Line(values.collect()) }
    };
    let x = XAxis { first_s: -((step * (columns - 1)) as f64), step_s: step as f64, ago: true };
    let chart = |title: &str, unit, reaches, series| {
        PreEscaped(LineChart { title: title.into(), description: String::new(), unit, x, series, reaches }.svg())
    };
    html! {
        section aria-label="Charts" {
            nav.ranges aria-label="Range of the charts" {
                @for (name, title, of) in [("5m", "5 minutes", Range::Minutes), ("1h", "1 hour", Range::Hour), ("1w", "1 week", Range::Week)] {
                    a href=(format!("/?range={name}")) aria-current=[(of == range).then_some("true")] { (title) }
                }
            }
            div.charts {
                (chart("Requests", Unit::PerSecond, 1.0, vec![
                    area("answered", |s| s.rate), line("from kept pages", |s| s.kept), line("failed", |s| s.errors),
                ]))
                (chart("Latency", Unit::Microseconds, 1_000.0, vec![
                    band("p50 to p99", |s| s.p50_us, |s| s.p99_us), times("p95", |s| s.p95_us), times("waiting for a worker, p95", |s| s.queue_p95_us),
                ]))
                (chart("In flight", Unit::Count, 1.0, vec![area("requests", |s| s.in_flight), line("statements", |s| s.sql_in_flight)]))
                @if !picture.status.sql.is_empty() {
                    (chart("Statements", Unit::PerSecond, 1.0, vec![area("answered", |s| s.sql_rate)]))
                    (chart("Statement latency, p95", Unit::Microseconds, 1_000.0, vec![times("p95", |s| s.sql_p95_us)]))
                }
                (chart("CPU in cores", Unit::Count, 1.0, vec![area("Pumasi", |s| s.cpu), line("workers", |s| s.workers_cpu)]))
            }
        }
    }
}

fn values(samples: &[Option<Sample>], value: fn(&Sample) -> f32) -> Vec<Option<f64>> {
    samples.iter().map(|sample| sample.as_ref().map(|sample| f64::from(value(sample)))).collect()
}
