//! The proxy in front of a real MariaDB, beside HAProxy in TCP mode (the floor for any proxy: it looks at nothing) and no proxy at all.
//!
//! sysbench's own workloads over one table. The figure is the proxy's CPU time per query: both cores are shared by client, proxy and server,
//! so queries per second say who was scheduled, not who is fast. Then ten thousand connections that all ask at once, directly and through
//! fifty connections to the server, and what one of them costs while it is idle.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use mysql_async::{Conn, prelude::Queryable};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    machine::{self, cpu_ticks},
    process::{Running, free_port, start, wait_for},
    table::{median, spread_percent},
};

const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(4);
const ROWS: usize = 10_000;
const THREADS: usize = 16;
const PROXY_CORE: usize = 0;
const OTHER_CORE: usize = 1;

/// Connections of the storm, and how long they ask.
const STORM: usize = 10_000;
const STORM_ASKS: Duration = Duration::from_secs(10);

const WORKLOADS: [(&str, &str); 4] =
    [("oltp_point_select", "disable"), ("oltp_point_select", "auto"), ("oltp_read_only", "disable"), ("oltp_read_write", "disable")];

struct Contender {
    name: &'static str,
    port: u16,
    /// None: no proxy.
    proxy: Option<Running>,
}

/// `options`: the path of the `pumasi` binary, if it is not the release build.
pub fn run(options: &[&str]) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (port, server) = mariadb(folder.path())?;
    let contenders = [
        Contender { name: "direct", port, proxy: None },
        haproxy(folder.path(), port)?,
        pumasi(folder.path(), port, options.first().copied())?,
    ];
    sysbench("oltp_point_select", "disable", port, "prepare", 1)?;
    let mut report = format!("# SQL through a proxy\n\n{}\n\n", machine::describe());
    writeln!(report, "sysbench, {THREADS} threads, one table of {ROWS} rows, {ROUNDS} rounds of {ROUND:?} in turn; median (spread).\n")?;
    writeln!(report, "| workload (ps mode) | proxy | its CPU per query | server's CPU per query | queries/s |\n|---|---|---|---|---|")?;
    for (workload, ps) in WORKLOADS {
        let mut figures = contenders.each_ref().map(|_| [vec![], vec![], vec![]]);
        for _ in 0..ROUNDS {
            for (contender, figures) in contenders.iter().zip(&mut figures) {
                let ticks = || -> Result<(u64, u64)> {
                    Ok((contender.proxy.as_ref().map_or(Ok(0), |proxy| cpu_ticks(proxy.pid()))?, cpu_ticks(server.pid())?))
                };
                let (before, began) = (ticks()?, Instant::now());
                let queries = sysbench(workload, ps, contender.port, "run", THREADS)?;
                let (after, seconds) = (ticks()?, began.elapsed().as_secs_f64());
                let us = |ticks: u64| ticks as f64 * 1e6 / machine::ticks_per_second() as f64 / queries as f64;
                figures[0].push(us(after.0 - before.0));
                figures[1].push(us(after.1 - before.1));
                figures[2].push(queries as f64 / seconds);
            }
        }
        for (contender, [proxy, server, rate]) in contenders.iter().zip(&figures) {
            let cpu =
                if contender.proxy.is_some() { format!("{:.1} us ({:.0} %)", median(proxy), spread_percent(proxy)) } else { "-".into() };
            let name = contender.name;
            writeln!(report, "| {workload} ({ps}) | {name} | {cpu} | {:.1} us | {:.0} |", median(server), median(rate))?;
        }
    }
    storm(&contenders, &mut report)?;
    print!("{report}");
    fs::write(machine::run_directory()?.join("sql.md"), &report)?;
    Ok(())
}

fn mariadb(folder: &Path) -> Result<(u16, Running)> {
    let port = free_port()?;
    let data = folder.join("data");
    let small = ["--innodb-log-file-size=32M", "--aria-log-file-size=8M"];
    let made = Command::new("mariadb-install-db")
        .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", "--user=root"])
        .args(small)
        .arg(format!("--datadir={}", data.display()))
        .output()
        .context("mariadb-install-db")?;
    ensure!(made.status.success(), "mariadb-install-db: {}", String::from_utf8_lossy(&made.stderr));
    let mut arguments: Vec<String> =
        ["--no-defaults", "--user=root", "--bind-address=127.0.0.1", "--skip-name-resolve"].map(str::to_owned).to_vec();
    arguments.extend(small.map(str::to_owned));
    arguments.extend(["--innodb-flush-log-at-trx-commit=2".into(), "--back-log=10000".into()]);
    arguments.extend([format!("--max-connections={}", STORM + 100), "--thread-stack=256K".into(), "--open-files-limit=30000".into()]);
    arguments.extend([
        format!("--port={port}"),
        format!("--datadir={}", data.display()),
        format!("--socket={}", folder.join("s").display()),
    ]);
    let server = start(OTHER_CORE, "mariadbd", &arguments.iter().map(String::as_str).collect::<Vec<_>>())?;
    wait_for(port)?;
    let made = Command::new("mariadb")
        .args(["--no-defaults", "-uroot", "-h127.0.0.1", &format!("-P{port}"), "-eCREATE DATABASE sbtest"])
        .status()?;
    ensure!(made.success(), "the database cannot be made");
    Ok((port, server))
}

fn haproxy(folder: &Path, server: u16) -> Result<Contender> {
    let port = free_port()?;
    let file = folder.join("haproxy.cfg");
    let text = format!(
        "global\n nbthread 1\n maxconn 30000\ndefaults\n mode tcp\n timeout connect 10s\n timeout client 10m\n timeout server 10m\n\
         listen sql\n bind 127.0.0.1:{port}\n server one 127.0.0.1:{server}\n"
    );
    fs::write(&file, text)?;
    let proxy = start(PROXY_CORE, "haproxy", &["-db", "-f", &file.display().to_string()])?;
    wait_for(port)?;
    Ok(Contender { name: "HAProxy (tcp)", port, proxy: Some(proxy) })
}

fn pumasi(folder: &Path, server: u16, binary: Option<&str>) -> Result<Contender> {
    let port = free_port()?;
    let file = folder.join("pumasi.toml");
    let text = format!(
        "state = \"{}\"\n[sql.main]\nlisten = \"127.0.0.1:{port}\"\nprimary = \"mysql://root@127.0.0.1:{server}/sbtest\"\nconnections_max = {}\nserver_connections_wait = \"60s\"\n",
        folder.display(),
        STORM + 100
    );
    fs::write(&file, text)?;
    let release = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/release/pumasi");
    let binary = binary.map_or_else(release, PathBuf::from);
    ensure!(binary.exists(), "{} is missing: cargo build --release -p pumasi", binary.display());
    let arguments = ["run", "--console", "off", "--config", &file.display().to_string()].map(str::to_owned);
    let proxy = start(PROXY_CORE, &binary.display().to_string(), &arguments.iter().map(String::as_str).collect::<Vec<_>>())?;
    wait_for(port)?;
    Ok(Contender { name: "Pumasi", port, proxy: Some(proxy) })
}

/// Runs one workload; how many queries it made. Errors: a query that failed.
fn sysbench(workload: &str, ps: &str, port: u16, verb: &str, threads: usize) -> Result<u64> {
    let output = Command::new("taskset")
        .args(["-c", &OTHER_CORE.to_string(), "sysbench", workload, "--db-driver=mysql", "--mysql-host=127.0.0.1", "--mysql-user=root"])
        .args([format!("--mysql-port={port}"), "--mysql-db=sbtest".into(), "--tables=1".into(), format!("--table-size={ROWS}")])
        .args([format!("--db-ps-mode={ps}"), format!("--threads={threads}"), format!("--time={}", ROUND.as_secs()), verb.to_owned()])
        .output()
        .context("sysbench")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "sysbench {workload} {verb}: {said}{}", String::from_utf8_lossy(&output.stderr));
    if verb != "run" {
        return Ok(0);
    }
    let queries = said.lines().find_map(|line| line.trim().strip_prefix("queries:")?.split_whitespace().next()?.parse().ok());
    let errors = said.lines().find_map(|line| line.trim().strip_prefix("ignored errors:")?.split_whitespace().next()?.parse::<u64>().ok());
    // Deadlocks of the writing mix are retried and counted here; a lost connection ends sysbench.
    ensure!(errors.is_some(), "sysbench {workload}: {said}");
    queries.with_context(|| format!("no number of queries in {said}"))
}

/// Ten thousand connections, each asking for one row again and again.
fn storm(contenders: &[Contender], report: &mut String) -> Result<()> {
    let files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: files.maximum, maximum: files.maximum })?;
    writeln!(
        report,
        "\n{STORM} connections that all ask for one row again and again, for {STORM_ASKS:?} from when the last has connected:\n"
    )?;
    writeln!(report, "| way | connected within | queries/s | errors | memory of the proxy per idle connection |\n|---|---|---|---|---|")?;
    for contender in contenders.iter().filter(|contender| contender.name != "HAProxy (tcp)") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let before = contender.proxy.as_ref().map(|proxy| memory(proxy.pid())).transpose()?;
        let stop = Arc::new(AtomicBool::new(false));
        let (asked, failed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (connected, idle, elapsed) = runtime.block_on(async {
            let began = Instant::now();
            let mut connections = Vec::new();
            for _ in 0..STORM {
                let options = mysql_async::OptsBuilder::default().ip_or_hostname("127.0.0.1").tcp_port(contender.port).user(Some("root"));
                match Conn::new(options.db_name(Some("sbtest"))).await {
                    Ok(connection) => connections.push(connection),
                    Err(_) => drop(failed.fetch_add(1, Ordering::Relaxed)),
                }
            }
            let connected = began.elapsed();
            let idle = contender.proxy.as_ref().map(|proxy| memory(proxy.pid())).transpose()?;
            let began = Instant::now();
            let tasks: Vec<_> = connections
                .into_iter()
                .map(|mut connection| {
                    let (stop, asked, failed) = (stop.clone(), asked.clone(), failed.clone());
                    tokio::spawn(async move {
                        let mut id = 0_usize;
                        while !stop.load(Ordering::Relaxed) {
                            id = 1 + (id + 7919) % ROWS;
                            let row: Result<Option<String>, _> =
                                connection.query_first(format!("SELECT c FROM sbtest1 WHERE id = {id}")).await;
                            let counter = if matches!(row, Ok(Some(_))) { &asked } else { &failed };
                            counter.fetch_add(1, Ordering::Relaxed);
                        }
                    })
                })
                .collect();
            tokio::time::sleep(STORM_ASKS).await;
            let (count, elapsed) = (asked.load(Ordering::Relaxed), began.elapsed());
            stop.store(true, Ordering::Relaxed);
            for task in tasks {
                let _ = task.await;
            }
            asked.store(count, Ordering::Relaxed);
            anyhow::Ok((connected, idle, elapsed))
        })?;
        let rate = asked.load(Ordering::Relaxed) as f64 / elapsed.as_secs_f64();
        let each = match (before, idle) {
            (Some(before), Some(idle)) => format!("{:.1} KiB", (idle.saturating_sub(before)) as f64 / 1024.0 / STORM as f64),
            _ => "-".into(),
        };
        writeln!(report, "| {} | {connected:.1?} | {rate:.0} | {} | {each} |", contender.name, failed.load(Ordering::Relaxed))?;
    }
    Ok(())
}

/// Resident memory, in bytes.
fn memory(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? * 1024)
}
