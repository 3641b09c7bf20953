//! What the MySQL protocol and its dialect cost on top of SQLite: the same statements through the wire and in SQLite called directly.
//!
//! Through the wire: the built `pumasi` binary on core 0, one connection of an ordinary driver on core 1; the figure is Pumasi's ticks
//! over the statements it answered. Directly: the same rows in a plain SQLite file of the same version, in this process, thread CPU time.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use askhy::Database;
use mysql_async::{Conn, Row, prelude::Queryable};
use rustix::time::{ClockId, clock_gettime};

use crate::{
    machine::{self, cpu_ticks},
    process::{Running, free_port, start, wait_for},
    table::{median, spread_percent},
};

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(3);
const SERVER_CORE: usize = 0;
const ASKS: u32 = 50;
const CHEERS: u32 = 50_000;

/// A statement of the reference application. `?` is an ask's number.
struct Question {
    name: &'static str,
    sql: &'static str,
    with_id: bool,
}

const QUESTIONS: [Question; 2] = [
    Question { name: "point SELECT", sql: "SELECT id, message, ip_address, register_time FROM ask WHERE id = ?", with_id: true },
    Question { name: "front page", sql: askhy::ASKS_WITH_COUNTS, with_id: false },
];

pub fn run() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let folder = tempfile::tempdir()?;
    let (port, _server) = serve(folder.path())?;
    let database = Database { host: "127.0.0.1".into(), port, user: "root".into(), password: String::new(), name: "askhy".into() };
    eprintln!("filling {ASKS} asks and {CHEERS} cheers");
    runtime.block_on(askhy::seed(&database, ASKS, CHEERS, |_, _| {}))?;
    let mut through = runtime.block_on(Conn::new(options(port)))?;
    let direct = runtime.block_on(copy(&mut through, &folder.path().join("plain.db")))?;
    let mut rows = Vec::new();
    for question in &QUESTIONS {
        runtime.block_on(check(question, &mut through, &direct))?;
        let (mut wire, mut plain) = (vec![], vec![]);
        for _ in 0..ROUNDS {
            wire.push(runtime.block_on(through_wire(question, &mut through, _server.pid()))?);
            plain.push(directly(question, &direct)?);
        }
        rows.push((question.name, wire, plain));
    }
    let report = report(&rows);
    print!("{report}");
    let directory = machine::run_directory()?;
    fs::write(directory.join("sql-embedded.md"), &report)?;
    Ok(())
}

/// The built binary with nothing but a database.
fn serve(folder: &Path) -> Result<(u16, Running)> {
    let port = free_port()?;
    let file = folder.join("pumasi.toml");
    fs::write(
        &file,
        format!("state = \"{}\"\n[sql.main]\nlisten = \"127.0.0.1:{port}\"\nengine = \"embedded:askhy.db\"\n", folder.display()),
    )?;
    let binary = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/release/pumasi");
    ensure!(binary.exists(), "{} is missing: cargo build --release -p pumasi", binary.display());
    let arguments = ["run", "--console", "off", "--config", &file.display().to_string()].map(str::to_owned);
    let server = start(SERVER_CORE, &binary.display().to_string(), &arguments.iter().map(String::as_str).collect::<Vec<_>>())?;
    wait_for(port)?;
    Ok((port, server))
}

fn options(port: u16) -> mysql_async::OptsBuilder {
    mysql_async::OptsBuilder::default().ip_or_hostname("127.0.0.1").tcp_port(port).user(Some("root")).db_name(Some("askhy"))
}

/// The same rows in a plain SQLite file, with the same index.
async fn copy(from: &mut Conn, file: &Path) -> Result<rusqlite::Connection> {
    let to = rusqlite::Connection::open(file)?;
    to.execute_batch(
        "PRAGMA journal_mode = WAL;
         CREATE TABLE ask (id INTEGER PRIMARY KEY, message TEXT NOT NULL, ip_address TEXT NOT NULL, register_time TEXT NOT NULL);
         CREATE TABLE cheer (id INTEGER PRIMARY KEY, ask_id INTEGER NOT NULL REFERENCES ask, message TEXT NOT NULL, ip_address TEXT NOT NULL, register_time TEXT NOT NULL);
         CREATE INDEX cheer_ask ON cheer (ask_id);
         BEGIN",
    )?;
    let text = |row: &Row, column: usize| row.get::<String, _>(column).context("a text");
    let asks: Vec<Row> = from.query("SELECT id, message, ip_address, CAST(register_time AS CHAR) FROM ask").await?;
    for row in &asks {
        let id: u32 = row.get(0).context("an id")?;
        to.execute("INSERT INTO ask VALUES (?, ?, ?, ?)", (id, text(row, 1)?, text(row, 2)?, text(row, 3)?))?;
    }
    let cheers: Vec<Row> = from.query("SELECT id, ask_id, message, ip_address, CAST(register_time AS CHAR) FROM cheer").await?;
    for row in &cheers {
        let (id, ask): (u32, u32) = (row.get(0).context("an id")?, row.get(1).context("an ask")?);
        to.execute("INSERT INTO cheer VALUES (?, ?, ?, ?, ?)", (id, ask, text(row, 2)?, text(row, 3)?, text(row, 4)?))?;
    }
    to.execute_batch("COMMIT; ANALYZE")?;
    ensure!(asks.len() == ASKS as usize && cheers.len() == CHEERS as usize, "{} asks, {} cheers", asks.len(), cheers.len());
    Ok(to)
}

/// Both must answer the same number of rows before anything is timed.
async fn check(question: &Question, through: &mut Conn, direct: &rusqlite::Connection) -> Result<()> {
    let wire: Vec<Row> = through.exec(question.sql, parameters(question, 7)).await?;
    let mut statement = direct.prepare(question.sql)?;
    let plain = if question.with_id { statement.query_map([7], |_| Ok(()))?.count() } else { statement.query_map([], |_| Ok(()))?.count() };
    ensure!(wire.len() == plain && plain > 0, "{}: {} rows through the wire, {plain} directly", question.name, wire.len());
    Ok(())
}

fn parameters(question: &Question, id: u32) -> mysql_async::Params {
    if question.with_id { (id,).into() } else { mysql_async::Params::Empty }
}

/// CPU microseconds of the server per statement.
async fn through_wire(question: &Question, connection: &mut Conn, pid: u32) -> Result<f64> {
    let statement = connection.prep(question.sql).await?;
    let (ticks, until, mut count) = (cpu_ticks(pid)?, Instant::now() + ROUND, 0u32);
    while Instant::now() < until {
        let rows: Vec<Row> = connection.exec(&statement, parameters(question, 1 + count % ASKS)).await?;
        ensure!(!rows.is_empty(), "no row");
        count += 1;
    }
    Ok((cpu_ticks(pid)? - ticks) as f64 * 1e6 / machine::ticks_per_second() as f64 / f64::from(count))
}

/// CPU microseconds of this thread per statement.
fn directly(question: &Question, connection: &rusqlite::Connection) -> Result<f64> {
    let mut statement = connection.prepare_cached(question.sql)?;
    let cpu = || {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        now.tv_sec as f64 * 1e6 + now.tv_nsec as f64 / 1e3
    };
    let (before, until, mut count) = (cpu(), Instant::now() + ROUND, 0u32);
    while Instant::now() < until {
        let mut rows = if question.with_id { statement.query([1 + count % ASKS])? } else { statement.query([])? };
        while let Some(row) = rows.next()? {
            std::hint::black_box(row.get_ref(1)?);
        }
        count += 1;
    }
    Ok((cpu() - before) / f64::from(count))
}

fn report(rows: &[(&str, Vec<f64>, Vec<f64>)]) -> String {
    let mut out = format!(
        "# The embedded engine through the MySQL protocol, beside SQLite called directly\n\n\
         {ASKS} asks, {CHEERS} cheers, one connection, prepared statements, Pumasi on core {SERVER_CORE}. CPU per statement: of Pumasi's process (ticks), and of the\n\
         calling thread for SQLite directly. Median of {ROUNDS} rounds in turn, spread of the extremes.\n\n\
         | statement | through the wire us | spread | SQLite directly us | spread | ratio |\n|---|---|---|---|---|---|\n"
    );
    for (name, wire, plain) in rows {
        let (through, direct) = (median(wire), median(plain));
        let _ = writeln!(
            out,
            "| {name} | {through:.1} | {:.0} % | {direct:.1} | {:.0} % | {:.2}x |",
            spread_percent(wire),
            spread_percent(plain),
            through / direct
        );
    }
    let _ = writeln!(
        out,
        "\n{}\nSQLite {}; mysql_async as the driver; pumasi {}",
        machine::describe(),
        rusqlite::version(),
        env!("CARGO_PKG_VERSION")
    );
    out
}
