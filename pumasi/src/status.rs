//! `pumasi status`: what every tier is doing, once.

use pumasi_status::{Status, Traffic};

use crate::{
    arguments::RunningArguments,
    ask::{Mistakes, current, picture, places},
    client::Console,
    failure::Failure,
    show::print,
    sql::servers,
};

pub fn status(running: &RunningArguments, json: bool) -> Result<(), Failure> {
    let console = Console::of_running(&places(running, Mistakes::Overlook)?)?;
    if json {
        return print(&format!("{}\n", picture(&console)?.trim_end()));
    }
    print(&text(&current(&console)?))
}

/// The picture in lines of at most about 100 columns.
pub fn text(status: &Status) -> String {
    let Status { version, uptime_s, cpu_ms, memory_bytes, .. } = status;
    let mut out =
        format!("Pumasi {version}, up {}, {} CPU, {}\n\n", duration(*uptime_s), duration(cpu_ms / 1000), megabytes(*memory_bytes));
    let edge = &status.edge;
    if !edge.listeners.is_empty() {
        out.push_str(&format!("edge  {}  {} connections\n      {}\n", edge.listeners.join(" "), edge.connections, traffic(&edge.traffic)));
        for route in &edge.routes {
            out.push_str(&format!(
                "      {} -> {}  pages {}  {} hits, {} misses\n",
                route.route, route.pool, route.pages, route.hits, route.misses
            ));
        }
    }
    for pool in &status.pools {
        out.push_str(&format!("\npool {}\n", pool.name));
        for upstream in &pool.upstreams {
            let traffic = traffic(&upstream.traffic);
            match &upstream.worker {
                Some(worker) => {
                    let memory = megabytes(worker.memory_bytes);
                    let pid = worker.pid.map_or(String::new(), |pid| format!("process {pid}, "));
                    let restarts = if worker.restarts > 0 { format!(", {} restarts", worker.restarts) } else { String::new() };
                    out.push_str(&format!("      {:<10} {:<11} {pid}{memory}{restarts}  {traffic}\n", upstream.name, worker.state));
                    if let Some(exit) = worker.last_exit.as_ref().filter(|_| worker.state != "ready") {
                        out.push_str(&exit.lines().map(|line| format!("        {line}\n")).collect::<String>());
                    }
                }
                None => out.push_str(&format!("      {:<21} {:<9} {traffic}\n", upstream.name, upstream.health)),
            }
        }
    }
    for sql in &status.sql {
        let (connections, max) = (sql.connections, sql.connections_max);
        out.push_str(&format!(
            "\nsql {}  {}  {}  {connections} of {max} connections\n      {}\n",
            sql.name,
            sql.address,
            sql.engine,
            traffic(&sql.traffic)
        ));
        if let Some(cluster) = &sql.cluster {
            out.push_str(&servers(cluster));
        }
    }
    out
}

// === helpers ===

fn traffic(traffic: &Traffic) -> String {
    if traffic.requests_total == 0 {
        return format!("{} in flight", traffic.in_flight);
    }
    format!(
        "{:.1}/s, {:.2} % ok, p50 {} p99 {}, {} in flight",
        traffic.rate,
        traffic.success * 100.0,
        microseconds(traffic.latency_us_p50),
        microseconds(traffic.latency_us_p99),
        traffic.in_flight
    )
}

fn microseconds(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{:.1} ms", us as f64 / 1e3),
        _ => format!("{:.1} s", us as f64 / 1e6),
    }
}

pub fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

pub fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}
