//! Load tests: start one, watch it, read and compare the kept ones.
use maud::{Markup, PreEscaped, html};
use pumasi_chart::{LineChart, Series, Shape, Unit, XAxis};

use super::{Part, Question, count, events::utc, rate, table, time};
use crate::{
    Shared,
    load::{Comparison, LoadTests, Progress, RUNS_SHOWN, Run, Second},
};

pub fn parts(shared: &Shared, question: &Question) -> Vec<Part> {
    let Some(tests) = shared.service.load_tests() else {
        return vec![Part { id: "running", content: html! { p.quiet { "This Pumasi cannot run load tests." } } }];
    };
    let mut parts = vec![Part { id: "running", content: running(tests.running().as_ref()) }];
    if !question.before.is_empty() && !question.after.is_empty() {
        parts.push(Part { id: "comparison", content: comparison(tests, &question.before, &question.after) });
    }
    parts.push(Part { id: "ladder", content: ladder(tests.ladder_unix_ms()) });
    parts.push(Part { id: "runs", content: runs(&tests.runs()) });
    parts
}

fn running(progress: Option<&Progress>) -> Markup {
    let Some(progress) = progress else { return html! {} };
    let done = progress.seconds.len() as u64;
    html! {
        h2 { "Running" span.aside { (progress.target) " at " (rate(progress.rate)) } }
        p {
            progress max=(progress.lasts_s) value=(done.min(progress.lasts_s)) {}
            @if done <= progress.lasts_s { " " (done) " of " (progress.lasts_s) " s" } @else { " everything is sent; the last answers are waited for" }
        }
        div.charts {
            (chart("Answers", Unit::PerSecond, vec![
                Series { name: "answered".into(), shape: Shape::Area(values(&progress.seconds, |s| s.answered)) },
                Series { name: "errors".into(), shape: Shape::Line(values(&progress.seconds, |s| s.errors)) },
            ]))
            (chart("Response time", Unit::Microseconds, vec![
                Series { name: "p50 to p99".into(), shape: Shape::Band(progress.seconds.iter().map(|s| Some((s.p50_us, s.p99_us))).collect()) },
                Series { name: "p99".into(), shape: Shape::Line(values(&progress.seconds, |s| s.p99_us)) },
            ]))
        }
    }
}

fn values(seconds: &[Second], value: fn(&Second) -> f64) -> Vec<Option<f64>> {
    seconds.iter().map(|second| Some(value(second))).collect()
}

fn chart(title: &str, unit: Unit, series: Vec<Series>) -> Markup {
    let x = XAxis { first_s: 0.0, step_s: 1.0, ago: false };
    PreEscaped(LineChart { title: title.into(), description: String::new(), unit, x, series, reaches: 1.0 }.svg())
}

fn ladder(unix_ms: Option<u64>) -> Markup {
    html! {
        h2 { "Ladder" }
        @match unix_ms {
            Some(unix_ms) => { p { a href="/ladder" { "The same application on every rung" } span.aside { "climbed " (utc(unix_ms)) " UTC" } } }
            None => { p.quiet { "Not climbed yet: " code { "pumasi ladder" } " compares the same application on every rung, from one worker to automatic caching." } }
        }
    }
}

fn runs(runs: &[Run]) -> Markup {
    let head = html! {
        th scope="col" { "Run" } th.word scope="col" { "Started" } th.word scope="col" { "Target" } th scope="col" { "TPS" } th scope="col" { "Mean" }
        th scope="col" { "p99" } th scope="col" { "Errors" } th.word scope="col" { "" }
    };
    let body = html! {
        @for run in runs.iter().take(RUNS_SHOWN) {
            tr {
                th scope="row" { a href=(format!("/load/{}", run.id)) { (if run.name.is_empty() { &run.id } else { &run.name }) } }
                td.word { (utc(run.started_unix_ms)) }
                td.word { (run.target) }
                td { (rate(run.tps)) }
                td { (time(run.mean_us as u64)) }
                td { (time(run.p99_us as u64)) }
                td.failing[run.errors > 0] { (count(run.errors)) }
                td.word {
                    @if !run.valid { strong.failing { "INVALID " } }
                    @if !run.met { strong.failing { "objective missed " } }
                    @for tag in &run.tags { span.aside { (tag) } }
                    @if !run.comment.is_empty() { span.aside { (run.comment) } }
                }
            }
        }
    };
    html! {
        h2 { "Kept runs" }
        @if runs.is_empty() { p.quiet { "None yet. Start one here when signed in, or anywhere with " code { "pumasi load" } "." } } @else { (table("Kept runs", head, body)) }
        @if runs.len() > 1 { (choice(runs)) }
    }
}

/// Two lists to choose from: works without a script, and by keyboard.
fn choice(runs: &[Run]) -> Markup {
    let list = |id: &str, label: &str, chosen: usize| {
        html! {
            div {
                label for=(id) { (label) }
                select id=(id) name=(id) {
                    @for (index, run) in runs.iter().take(RUNS_SHOWN).enumerate() {
                        option value=(run.id) selected[index == chosen] { (if run.name.is_empty() { run.id.clone() } else { format!("{} · {}", run.name, utc(run.started_unix_ms)) }) }
                    }
                }
            }
        }
    };
    html! {
        form.inline method="get" action="/load" { (list("before", "Compare", 1)) (list("after", "with", 0)) button { "Compare" } }
    }
}

fn comparison(tests: &dyn LoadTests, before: &str, after: &str) -> Markup {
    match tests.compare(before, after) {
        Ok(Comparison { notes, figures }) => {
            let head = html! { th scope="col" { "Figure" } th scope="col" { (before) } th scope="col" { (after) } th scope="col" { "Change" } th.word scope="col" { "" } };
            let body = html! {
                @for difference in &figures {
                    tr {
                        th scope="row" { (difference.figure) }
                        td { (difference.before) }
                        td { (difference.after) }
                        td { (difference.change) }
                        td.word { @match difference.better { Some(true) => { span.state.good { "better" } } Some(false) => { span.state.bad { "worse" } } None => { span.quiet { "alike" } } } }
                    }
                }
            };
            html! { h2 { "Compared" } @for note in &notes { p.notice.doubt { (note) } } (table("Comparison", head, body)) }
        }
        Err(error) => html! { p.notice.failed role="alert" { (error) } },
    }
}

pub fn form(running: bool) -> Markup {
    html! {
        @if running { form method="post" action="/api/load/stop" { button { "End the running test" } } }
        h2 { "Start a load test" }
        form.inline method="post" action="/api/load/start" {
            div { label for="path" { "Path on this site" } input #path name="path" value="/" required pattern="/\\S*"; }
            div { label for="rate" { "Requests per second" } input #rate name="rate" type="number" min="1" max="100000" value="50" required; }
            div { label for="lasts_s" { "Seconds" } input #lasts_s name="lasts_s" type="number" min="1" max="600" value="30" required; }
            div { label for="name" { "Name" } input #name name="name" maxlength="60"; }
            button { "Start" }
        }
        p.quiet { "The generator shares this machine with what it measures. For figures to quote, run " code { "pumasi load" } " on another one." }
    }
}
