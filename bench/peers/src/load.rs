//! The load generator beside wrk and h2load: requests per CPU-second, agreement of the figures, exactness of the rate, and a stall.
//!
//! nginx answers 216 bytes on core 0, one generator thread runs on core 1. The generator's CPU time is read from /proc when it has ended and not
//! yet been waited for, in the same way for all. What each part must show is a [`Mark`], and the report begins with them.

mod cost;
mod paced;
mod program;
mod rate;
mod stall;
mod wrk2;

use std::{fs, time::Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;

use crate::{
    edge::start_nginx,
    machine,
    process::{Running, free_port, wait_for},
};
pub use program::generate;
use program::{DRIVER_CORE, TOTAL_MAX};

const SERVER_CORE: usize = 0;
/// Rounds in turn of what is compared by its cost.
const ROUNDS: usize = 5;

/// The generator as a process of its own.
#[derive(Parser)]
pub struct Generate {
    #[command(flatten)]
    pub load: pumasi_load::LoadArgs,
}

/// What must be seen, and what was.
pub struct Mark {
    pub asked: &'static str,
    pub seen: String,
    pub holds: bool,
}

/// The server that is asked.
pub struct Server {
    running: Running,
    port: u16,
    port_http2: u16,
}

impl Server {
    fn start(directory: &std::path::Path) -> Result<Server> {
        let (port, port_http2) = (free_port()?, free_port()?);
        let running = start_nginx(SERVER_CORE, directory, "origin", &configuration(port, port_http2))?;
        wait_for(port)?;
        Ok(Server { running, port, port_http2 })
    }

    /// As fast as it can.
    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    fn url_http2(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port_http2)
    }
}

/// `--rounds N` for a first look; five are the figure.
pub fn run(options: &[&str]) -> Result<()> {
    let rounds = match options {
        [] => ROUNDS,
        ["--rounds", count] => count.parse().with_context(|| format!("--rounds {count}"))?,
        other => bail!("load takes --rounds N, and not {other:?}"),
    };
    ensure!(rounds > 0, "a median needs a round");
    let began = Instant::now();
    program::begin();
    let directory = tempfile::tempdir()?;
    let server = Server::start(directory.path())?;
    eprintln!("load: {rounds} rounds; about {} s, given up after {} s", cost::seconds(rounds) + 80, TOTAL_MAX.as_secs());

    let mut parts = Vec::new();
    let mut marks = Vec::new();
    let mut run_part = |part: (String, serde_json::Value, Vec<Mark>)| {
        parts.push((part.0, part.1));
        marks.extend(part.2);
    };
    run_part(cost::measure(&server, rounds)?);
    run_part(paced::measure(&server)?);
    run_part(rate::measure(&server)?);
    run_part(stall::measure(&server)?);

    let mut report = String::from("# The load generator\n\n| mark | seen | |\n|---|---|---|\n");
    for Mark { asked, seen, holds } in &marks {
        report += &format!("| {asked} | {seen} | {} |\n", if *holds { "holds" } else { "**missed**" });
    }
    for (text, _) in &parts {
        report += "\n";
        report += text;
    }
    report += &format!(
        "\n{}; one generator thread on core {DRIVER_CORE}, nginx on core {SERVER_CORE}; the run took {} s\n{}; {}; {}; pumasi {}\n",
        machine::describe(),
        began.elapsed().as_secs(),
        machine::version_of("nginx", "-v"),
        machine::version_of("wrk", "-v"),
        machine::version_of("h2load", "--version"),
        env!("CARGO_PKG_VERSION")
    );
    print!("{report}");
    let directory = machine::run_directory()?;
    fs::write(directory.join("load.md"), &report)?;
    let marks: Vec<_> = marks.iter().map(|m| serde_json::json!({ "mark": m.asked, "seen": m.seen, "holds": m.holds })).collect();
    let parts: Vec<_> = parts.into_iter().map(|(_, figures)| figures).collect();
    let json = serde_json::json!({ "machine": machine::describe(), "marks": marks, "parts": parts });
    fs::write(directory.join("load.json"), format!("{json:#}\n"))?;
    println!("written to {}", directory.display());
    Ok(())
}

/// `/` answers as fast as nginx can. `/paced` answers so many times a second whatever is asked of it, so that every generator must see the same;
/// the limit is not asked of `return`, so that answer is a picture of one dot. `/count` is what nginx itself has counted.
fn configuration(port: u16, port_http2: u16) -> String {
    let answer = "0123456789".repeat(22).split_at(216).0.to_owned();
    format!(
        "worker_processes 1; daemon off; pid nginx.pid; error_log /dev/null crit; events {{ worker_connections 4096; }}\n\
         http {{ access_log off; keepalive_requests 100000000; keepalive_timeout 600s; client_body_temp_path b; proxy_temp_path p;\n\
         fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s; default_type text/plain;\n\
         limit_req_zone $server_port zone=pace:1m rate={}r/s;\n\
         server {{ listen 127.0.0.1:{port} backlog=4096; listen 127.0.0.1:{port_http2} http2 backlog=4096;\n\
         location / {{ return 200 \"{answer}\"; }}\n\
         location = /paced {{ empty_gif; limit_req zone=pace burst=1000; }}\n\
         location = /count {{ stub_status; }} }} }}\n",
        paced::PER_SECOND
    )
}
