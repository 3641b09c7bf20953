//! The proxy in front of a real MariaDB, beside HAProxy in TCP mode (the floor for any proxy: it looks at nothing) and no proxy at all.
//!
//! sysbench's own workloads over one table, and a mix of transactions in the manner of TPC-C (`sql/orders.lua`). The figure is the proxy's
//! CPU time per query: both cores are shared by client, proxy and server, so queries per second say who was scheduled, not who is fast.
//! Then ten thousand clients at once (`sql/storm.rs`), directly and through fifty connections to the server, and what one of them costs
//! while it is idle.

mod storm;

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use self::storm::Crowd;
use crate::{
    machine::{self, cpu_ticks},
    process::{Running, free_port, start, wait_for},
    table::{median, spread_percent},
};

const ROWS: usize = 10_000;
const THREADS: usize = 16;
const PROXY_CORE: usize = 0;
const OTHER_CORE: usize = 1;

/// Rounds of the storm, whatever the others: how many connections a server manages varies more than anything else here.
const STORM_ROUNDS: usize = 5;

/// Clients of the storm that stay connected, and how many come and go.
const STAYING: usize = 10_000;
const PASSING: usize = 1_000;

/// Lies beside this file; sysbench takes a path for a workload of its own.
const ORDERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/sql/orders.lua");

/// A workload of sysbench's, and whether it prepares its statements.
const WORKLOADS: [(&str, &str, &str); 6] = [
    ("point select", "oltp_point_select", "disable"),
    ("point select, prepared", "oltp_point_select", "auto"),
    ("read-only", "oltp_read_only", "disable"),
    ("read-write", "oltp_read_write", "disable"),
    ("read-write, prepared", "oltp_read_write", "auto"),
    ("orders (TPC-C-like)", ORDERS, "disable"),
];

/// What the command line says.
struct Options {
    rounds: usize,
    round: Duration,
    /// How long the clients of the storm ask in one round.
    storm: Duration,
    /// Instead of the release build.
    binary: PathBuf,
    /// Nothing is written under bench/runs.
    dry: bool,
}

struct Contender {
    name: &'static str,
    port: u16,
    /// None: no proxy.
    proxy: Option<Running>,
}

impl Options {
    /// `--rounds N --seconds N --storm SECONDS --binary PATH --dry`.
    fn of(words: &[&str]) -> Result<Options> {
        let binary = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/release/pumasi");
        let mut options = Options { rounds: 3, round: Duration::from_secs(4), storm: Duration::from_secs(4), binary, dry: false };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} needs a value"));
            match *word {
                "--rounds" => options.rounds = value()?.parse()?,
                "--seconds" => options.round = Duration::from_secs(value()?.parse()?),
                "--storm" => options.storm = Duration::from_secs(value()?.parse()?),
                "--binary" => options.binary = PathBuf::from(value()?),
                "--dry" => options.dry = true,
                other => bail!("sql knows no {other}: --rounds N, --seconds N, --storm SECONDS (0: none), --binary PATH, --dry"),
            }
        }
        ensure!(options.rounds > 0 && !options.round.is_zero(), "no rounds, no figures");
        ensure!(options.binary.exists(), "{} is missing: cargo build --release -p pumasi", options.binary.display());
        Ok(options)
    }
}

pub fn run(words: &[&str]) -> Result<()> {
    let options = Options::of(words)?;
    let files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: files.maximum, maximum: files.maximum })?;
    let folder = tempfile::tempdir()?;
    let (port, server) = mariadb(folder.path())?;
    let contenders =
        [Contender { name: "direct", port, proxy: None }, haproxy(folder.path(), port)?, pumasi(folder.path(), port, &options.binary)?];
    sysbench("oltp_point_select", "disable", port, "prepare", 1, options.round)?;
    sysbench(ORDERS, "disable", port, "prepare", 1, options.round)?;
    let mut report = format!("# SQL through a proxy\n\n{}\n\n", machine::describe());
    let versions =
        [machine::version_of("mariadbd", "--version"), machine::version_of("haproxy", "-v"), machine::version_of("sysbench", "--version")];
    writeln!(report, "{}\n", versions.join("; "))?;
    writeln!(
        report,
        "sysbench, {THREADS} threads, a table of {ROWS} rows; {} rounds of {:?} in turn, median (spread). The proxy alone on one core,\n\
         server and sysbench on the other; CPU is user and system ticks over queries.\n",
        options.rounds, options.round
    )?;
    writeln!(
        report,
        "| workload | proxy | its CPU per query | beside HAProxy | server's CPU per query | queries/s |\n|---|---|---|---|---|---|"
    )?;
    for (name, workload, ps) in WORKLOADS {
        eprintln!("{name}");
        workload_rows(name, workload, ps, &options, &contenders, &server, &mut report)?;
    }
    if !options.storm.is_zero() {
        storms(&contenders, &server, options.storm, &mut report)?;
    }
    print!("{report}");
    if !options.dry {
        fs::write(machine::run_directory()?.join("sql.md"), &report)?;
    }
    Ok(())
}

fn workload_rows(
    name: &str,
    workload: &str,
    ps: &str,
    options: &Options,
    contenders: &[Contender; 3],
    server: &Running,
    report: &mut String,
) -> Result<()> {
    let mut figures = contenders.each_ref().map(|_| [vec![], vec![], vec![]]);
    for _ in 0..options.rounds {
        for (contender, figures) in contenders.iter().zip(&mut figures) {
            let ticks = || -> Result<(u64, u64)> {
                Ok((contender.proxy.as_ref().map_or(Ok(0), |proxy| cpu_ticks(proxy.pid()))?, cpu_ticks(server.pid())?))
            };
            let (before, began) = (ticks()?, Instant::now());
            let queries = sysbench(workload, ps, contender.port, "run", THREADS, options.round)?;
            let (after, seconds) = (ticks()?, began.elapsed().as_secs_f64());
            let us = |ticks: u64| ticks as f64 * 1e6 / machine::ticks_per_second() as f64 / queries as f64;
            figures[0].push(us(after.0 - before.0));
            figures[1].push(us(after.1 - before.1));
            figures[2].push(queries as f64 / seconds);
        }
    }
    let floor = median(&figures[1][0]);
    for (contender, [proxy, server, rate]) in contenders.iter().zip(&figures) {
        let (cpu, beside) = match contender.proxy {
            Some(_) => (format!("{:.1} us ({:.0} %)", median(proxy), spread_percent(proxy)), format!("{:.2}x", median(proxy) / floor)),
            None => ("-".into(), "-".into()),
        };
        let (server, rate, proxy) = (median(server), median(rate), contender.name);
        writeln!(report, "| {name} | {proxy} | {cpu} | {beside} | {server:.1} us | {rate:.0} |")?;
    }
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
    arguments.extend([format!("--max-connections={}", STAYING + 100), "--thread-stack=256K".into(), "--open-files-limit=30000".into()]);
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
        "global\n nbthread 1\n maxconn 1000\ndefaults\n mode tcp\n timeout connect 10s\n timeout client 10m\n timeout server 10m\n\
         listen sql\n bind 127.0.0.1:{port}\n server one 127.0.0.1:{server}\n"
    );
    fs::write(&file, text)?;
    let proxy = start(PROXY_CORE, "haproxy", &["-db", "-f", &file.display().to_string()])?;
    wait_for(port)?;
    Ok(Contender { name: "HAProxy (tcp)", port, proxy: Some(proxy) })
}

fn pumasi(folder: &Path, server: u16, binary: &Path) -> Result<Contender> {
    let port = free_port()?;
    let file = folder.join("pumasi.toml");
    let text = format!(
        "state = \"{}\"\n[sql.main]\nlisten = \"127.0.0.1:{port}\"\nprimary = \"mysql://root@127.0.0.1:{server}/sbtest\"\nconnections_max = {}\nserver_connections_wait = \"60s\"\n",
        folder.display(),
        STAYING + 100
    );
    fs::write(&file, text)?;
    let arguments = ["run", "--console", "off", "--config", &file.display().to_string()].map(str::to_owned);
    let proxy = start(PROXY_CORE, &binary.display().to_string(), &arguments.iter().map(String::as_str).collect::<Vec<_>>())?;
    wait_for(port)?;
    Ok(Contender { name: "Pumasi", port, proxy: Some(proxy) })
}

/// Runs one workload; how many queries it made. Errors: a query that failed.
fn sysbench(workload: &str, ps: &str, port: u16, verb: &str, threads: usize, time: Duration) -> Result<u64> {
    let output = Command::new("taskset")
        .args(["-c", &OTHER_CORE.to_string(), "sysbench", workload, "--db-driver=mysql", "--mysql-host=127.0.0.1", "--mysql-user=root"])
        .args([format!("--mysql-port={port}"), "--mysql-db=sbtest".into(), format!("--db-ps-mode={ps}")])
        .args([format!("--threads={threads}"), format!("--time={}", time.as_secs())])
        // Options of its own workloads, which another refuses.
        .args(if workload == ORDERS { vec![] } else { vec!["--tables=1".to_owned(), format!("--table-size={ROWS}")] })
        .arg(verb)
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

/// Ten thousand clients that stay, and a thousand that come and go: in rounds, each way first in turn, so that what else the machine does falls on both.
fn storms(contenders: &[Contender; 3], server: &Running, time: Duration, report: &mut String) -> Result<()> {
    let rows = storm::rows(contenders[0].port, ROWS)?;
    // A proxy with a core of its own would be compared with a server that has only half the machine.
    for pid in contenders.iter().filter_map(|contender| contender.proxy.as_ref()).chain([server]).map(Running::pid) {
        let cores = format!("{PROXY_CORE},{OTHER_CORE}");
        let moved = Command::new("taskset").args(["-a", "-p", "-c", &cores, &pid.to_string()]).stdout(Stdio::null()).status()?;
        ensure!(moved.success(), "process {pid} cannot be given both cores");
    }
    let ways = [&contenders[0], &contenders[2]];
    let mut seen = [Weathered::default(), Weathered::default()];
    for round in 0..STORM_ROUNDS {
        eprintln!("storm {} of {STORM_ROUNDS}", round + 1);
        for way in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
            seen[way].weather(ways[way], &rows, time)?;
        }
    }
    writeln!(
        report,
        "\n{STAYING} clients that have logged in and ask for one row again and again, and {PASSING} that connect, log in, ask for one row \
         and leave, again and again; {STORM_ROUNDS} rounds of {time:?} each in turn, median (spread), both cores for everybody, every answer compared with its row:\n"
    )?;
    writeln!(
        report,
        "| way | {STAYING} logged in within | staying: queries/s | passing: queries/s | failures | memory of the proxy per idle client |\n\
         |---|---|---|---|---|---|"
    )?;
    let shown = |values: &[f64]| format!("{:.0} ({:.0} %)", median(values), spread_percent(values));
    for (way, seen) in ways.iter().zip(&seen) {
        let each = seen.idle_kib.first().map_or("-".to_owned(), |each| format!("{each:.1} KiB"));
        let (connected, staying, passing) = (median(&seen.connected), shown(&seen.staying), shown(&seen.passing));
        writeln!(report, "| {} | {connected:.1} s | {staying} | {passing} | {} | {each} |", way.name, seen.failures)?;
    }
    let [direct, through] = &seen;
    writeln!(
        report,
        "\nThrough Pumasi beside directly: {:.2}x staying, {:.2}x passing. The {STAYING} connections through Pumasi beside a direct storm of connections \
         (staying through Pumasi, passing directly): {:.2}x.",
        median(&through.staying) / median(&direct.staying),
        median(&through.passing) / median(&direct.passing),
        median(&through.staying) / median(&direct.passing),
    )?;
    Ok(())
}

/// What the storms of one way came to, a value per round.
#[derive(Default)]
struct Weathered {
    /// Seconds until all had logged in.
    connected: Vec<f64>,
    staying: Vec<f64>,
    passing: Vec<f64>,
    /// Of the proxy, per client. The first is of a proxy that has not had that many before.
    idle_kib: Vec<f64>,
    failures: u64,
}

impl Weathered {
    fn weather(&mut self, contender: &Contender, rows: &storm::Rows, time: Duration) -> Result<()> {
        let memory = || contender.proxy.as_ref().map(|proxy| machine::resident_kib(proxy.pid())).transpose();
        let before = memory()?;
        let mut crowd = Crowd::new(contender.port, rows)?;
        self.connected.push(crowd.connect(STAYING)?.as_secs_f64());
        if let (Some(before), Some(idle)) = (before, memory()?) {
            self.idle_kib.push(idle.saturating_sub(before) as f64 / STAYING as f64);
        }
        self.staying.push(crowd.ask_for(time)?);
        self.failures += crowd.failures;
        drop(crowd);
        let mut crowd = Crowd::new(contender.port, rows)?;
        self.passing.push(crowd.pass_for(PASSING, time)?);
        self.failures += crowd.failures;
        Ok(())
    }
}
