//! Every pool's members: health, traffic, and for workers of ours the process.
use maud::{Markup, html};
use pumasi_status::{Pool, Status, Upstream};

use super::{Part, bytes, count, state, table, time, traffic_cells, traffic_heads};

pub fn parts(status: &Status) -> Vec<Part> {
    let content = html! {
        @for pool in &status.pools {
            h2 { "Pool " (pool.name) span.aside { (pool.policy) } }
            (table(&format!("Pool {}", pool.name), head(), html! { @for upstream in &pool.upstreams { (row(upstream)) } }))
            (exits(pool))
        }
        @if status.pools.is_empty() { p.quiet { "No pool is configured." } }
    };
    vec![Part { id: "pools", content }]
}

fn head() -> Markup {
    html! {
        th scope="col" { "Upstream" } th.word scope="col" { "Health" } th.word scope="col" { "Process" } th scope="col" { "Restarts" }
        th scope="col" { "Memory" } th scope="col" { "CPU time" } (traffic_heads()) th scope="col" { "Requests" }
    }
}

fn row(upstream: &Upstream) -> Markup {
    html! {
        tr {
            th scope="row" { (upstream.name) @if upstream.name != upstream.address { span.below { (upstream.address) } } }
            td.word { (state(&upstream.health)) }
            @match &upstream.worker {
                Some(worker) => {
                    td.word {
                        (state(&worker.state))
                        span.below {
                            @if let Some(pid) = worker.pid { "pid " (pid) }
                            @if let Some(ms) = worker.ready_after_ms { ", ready after " (time(ms * 1000)) }
                        }
                    }
                    td.failing[worker.restarts > 0] { (worker.restarts) }
                    td { (bytes(worker.memory_bytes)) }
                    td { (format!("{:.1} s", worker.cpu_ms as f64 / 1000.0)) }
                }
                None => { td.word { "runs elsewhere" } td { "–" } td { "–" } td { "–" } }
            }
            (traffic_cells(&upstream.traffic))
            td { (count(upstream.traffic.requests_total)) }
        }
    }
}

fn exits(pool: &Pool) -> Markup {
    let ended = pool.upstreams.iter().filter_map(|upstream| Some((upstream, upstream.worker.as_ref()?.last_exit.as_ref()?)));
    html! {
        @for (upstream, last_exit) in ended {
            details id=(format!("exit-{}", upstream.name)) { summary { "How " (upstream.name) " ended the last time" } pre { code { (last_exit) } } }
        }
    }
}

pub fn form() -> Markup {
    html! {
        h2 { "Drain" }
        form.narrow method="post" action="/api/drain" {
            label for="upstream" { "An upstream that shall get no further request" }
            input #upstream name="upstream" placeholder="app.1" required;
            button { "Drain" }
            button formaction="/api/undrain" { "Put back" }
        }
    }
}
