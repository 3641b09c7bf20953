//! What was found, as a table for people and as JSON for programs.

use std::fmt::Write as _;

use super::{Case, IDLE_CONNECTIONS, PROXY_CORE, Path, RATE, RATE_CONNECTIONS, Round, STREAMS, contender::versions};
use crate::{
    machine,
    table::{median, spread_percent},
};

#[derive(Default)]
pub struct Findings {
    pub rows: Vec<Row>,
    pub latencies: Vec<Latency>,
    /// Bytes per idle connection.
    pub memory: Vec<(&'static str, f64)>,
}

pub struct Row {
    pub path: Path,
    pub name: &'static str,
    pub case: Case,
    pub rounds: Vec<Round>,
}

pub struct Latency {
    pub path: Path,
    pub name: &'static str,
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// The generator kept up.
    pub valid: bool,
}

impl Row {
    pub fn cpu(&self) -> Vec<f64> {
        self.rounds.iter().map(|r| r.us_per_request).collect()
    }

    fn rate(&self) -> f64 {
        median(&self.rounds.iter().map(|r| r.requests_per_s).collect::<Vec<_>>())
    }
}

impl Findings {
    pub fn markdown(&self) -> String {
        let mut out = String::from("# Requests through the edge, hits from memory, files, and TCP passed on\n\n");
        let _ = writeln!(
            out,
            "Keep-alive on both sides, one proxy thread on core {PROXY_CORE}, load generator and origin on the other core.\n\
             CPU of the proxy (user + system ticks) over requests answered; median of {} rounds in turn, spread of the extremes.\n",
            self.rows.first().map_or(0, |r| r.rounds.len())
        );
        self.write_cpu(&mut out);
        if !self.latencies.is_empty() {
            let _ = writeln!(out, "\n## Latency at {RATE} requests a second, {RATE_CONNECTIONS} connections, from the intended start\n");
            let _ = writeln!(out, "| path | proxy | p50 | p99 | the generator kept up |\n|---|---|---|---|---|");
            for row in &self.latencies {
                let kept_up = if row.valid { "yes" } else { "no" };
                let _ = writeln!(out, "| {} | {} | {:.2} ms | {:.2} ms | {kept_up} |", row.path.word(), row.name, row.p50_ms, row.p99_ms);
            }
        }
        if !self.memory.is_empty() {
            let _ = writeln!(
                out,
                "\n## Memory per idle connection\n\n{IDLE_CONNECTIONS} clients that have asked once; the proxy's resident memory.\n"
            );
            let _ = writeln!(out, "| proxy | bytes |\n|---|---|");
            for (name, bytes) in &self.memory {
                let _ = writeln!(out, "| {name} | {bytes:.0} |");
            }
        }
        self.write_setting(&mut out);
        out
    }

    fn write_cpu(&self, out: &mut String) {
        let _ = writeln!(
            out,
            "| path | protocol | answer | connections | proxy | CPU us/request | spread | beside nginx | beside HAProxy | beside Varnish | requests/s |"
        );
        let _ = writeln!(out, "|---|---|---|---|---|---|---|---|---|---|---|");
        for row in &self.rows {
            let of = |name| self.rows.iter().find(|r| r.name == name && r.case == row.case && r.path == row.path).map(|r| median(&r.cpu()));
            let ratio = |name| of(name).map_or("-".to_owned(), |peer| format!("{:.2}x", median(&row.cpu()) / peer));
            let _ = writeln!(
                out,
                "| {} | {} | {} | {:.2} | {:.0} % | {} | {} | {} | {:.0} |",
                row.path.word(),
                row.case.words(),
                row.name,
                median(&row.cpu()),
                spread_percent(&row.cpu()),
                ratio("nginx"),
                ratio("haproxy"),
                ratio("varnish"),
                row.rate()
            );
        }
    }

    fn write_setting(&self, out: &mut String) {
        let _ = writeln!(
            out,
            "\nRequests per second are the generator's limit, not the proxy's, except where the answer is large.\n\n{}\n{}\n\
             wrk -t1; HTTP/2 by h2load -t1 -m{STREAMS}; latencies by `pumasi load`. Access logs off. nginx: worker_processes 1, keepalive to the upstream, \
             no temporary files for what is only passed on; HAProxy: nbthread 1, http-reuse always, a cache that takes 20 MB objects; Varnish: thread_pools 1, \
             all on the proxy's core; it speaks no TLS. Files: nginx with sendfile, tcp_nopush and open_file_cache. TCP: HAProxy with splice-auto. The origin is nginx with files in the page cache.",
            machine::describe(),
            versions().join("; ")
        );
    }

    pub fn json(&self) -> String {
        let rows: Vec<_> = self
            .rows
            .iter()
            .map(|row| {
                serde_json::json!({
                    "path": row.path.word(), "case": row.case.words(), "proxy": row.name, "cpu_us_per_request": row.cpu(),
                    "requests_per_s": row.rounds.iter().map(|r| r.requests_per_s).collect::<Vec<_>>(),
                })
            })
            .collect();
        let latencies: Vec<_> = self
            .latencies
            .iter()
            .map(
                |l| serde_json::json!({ "path": l.path.word(), "proxy": l.name, "p50_ms": l.p50_ms, "p99_ms": l.p99_ms, "valid": l.valid }),
            )
            .collect();
        let memory: serde_json::Map<_, _> =
            self.memory.iter().map(|(name, bytes)| ((*name).to_owned(), serde_json::json!(bytes))).collect();
        let all = serde_json::json!({
            "machine": machine::describe(), "versions": versions(), "rows": rows, "latencies": latencies, "bytes_per_idle_connection": memory,
        });
        format!("{all:#}\n")
    }
}
