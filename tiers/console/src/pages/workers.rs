//! Every pool's members: health, traffic, and for workers of ours the process.
use maud::{Markup, html};
use pumasi_status::{Connects, Handshakes, Pool, Status, Upstream};

use super::{Part, bytes, count, figure, share_of, state, table, time, traffic_cells, traffic_heads};

pub fn parts(status: &Status) -> Vec<Part> {
    let content = html! {
        @for pool in &status.pools {
            h2 { "Pool " (pool.name) span.aside { (pool.policy) } }
            (table(&format!("Pool {}", pool.name), head(), html! { @for upstream in &pool.upstreams { (row(upstream)) } }))
            p.below {
                (count(pool.waiting)) " waiting for a place · " (count(pool.retries_total)) " sent to a second upstream"
                @if pool.retries_refused_total > 0 { " · " (count(pool.retries_refused_total)) " not, as too many had been" }
            }
            (exits(pool))
        }
        @if status.pools.is_empty() { p.quiet { "No pool is configured." } }
    };
    vec![Part { id: "pools", content }, Part { id: "machine", content: machine(status) }]
}

fn head() -> Markup {
    html! {
        th scope="col" { "Upstream" } th.word scope="col" { "Health" } th.word scope="col" { "Process" } th scope="col" { "Restarts" }
        th scope="col" { "Memory" } th scope="col" { "CPU time" } th scope="col" { "Open files" } (traffic_heads()) th scope="col" { "Requests" }
        th scope="col" { "Connections opened" }
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
                    td {
                        (count(worker.descriptors))
                        @if worker.descriptors_max > 0 { span.below { "of " (count(worker.descriptors_max)) } }
                    }
                }
                None => { td.word { "runs elsewhere" } td { "–" } td { "–" } td { "–" } td { "–" } }
            }
            (traffic_cells(&upstream.traffic))
            td { (count(upstream.traffic.requests_total)) }
            td { (connects(&upstream.connects)) }
        }
    }
}

/// How many, how many of them in vain, and how long one takes lately.
fn connects(connects: &Connects) -> Markup {
    html! {
        (count(connects.total))
        span.below {
            @if connects.failed > 0 { strong.failing { (count(connects.failed)) " failed" } " " }
            @if connects.us_p95 > 0 { "p95 " (time(connects.us_p95)) }
        }
    }
}

/// The machine that all of it runs on.
fn machine(status: &Status) -> Markup {
    let host = &status.host;
    let worked = host.cpu_user_ms + host.cpu_system_ms;
    let all = worked + host.cpu_iowait_ms + host.cpu_steal_ms + host.cpu_idle_ms;
    html! {
        @if host.cores > 0 {
            h2 { "The machine" }
            dl.figures {
                (figure("cores", count(host.cores)))
                (figure("busy since its start", share_of(worked, all)))
                (figure("waiting for a disk", share_of(host.cpu_iowait_ms, all)))
                (figure("taken by other machines", share_of(host.cpu_steal_ms, all)))
                (figure("memory free", format!("{} of {}", bytes(host.memory_available_bytes), bytes(host.memory_bytes))))
                @if host.disk_operations > 0 { (figure("a disk operation takes", time(host.disk_ms * 1000 / host.disk_operations))) }
                (figure("Pumasi's open files", format!("{} of {}", count(status.descriptors), count(status.descriptors_max))))
                (figure("TCP sockets", format!("{}, {} ending", count(host.tcp_sockets), count(host.tcp_time_wait))))
                (figure("TLS handshakes", handshakes(&status.edge.handshakes)))
            }
        }
    }
}

fn handshakes(handshakes: &Handshakes) -> String {
    match handshakes {
        Handshakes { full: 0, resumed: 0, failed: 0 } => "none".to_owned(),
        Handshakes { full, resumed, failed } => format!("{} full, {} resumed, {} failed", count(*full), count(*resumed), count(*failed)),
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
