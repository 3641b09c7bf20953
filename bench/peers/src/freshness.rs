//! What a stored answer costs, and what it brings: a query hit beside the database, an automatic page beside a standard one, and the reference
//! application's front page with and without caching while more and more requests write.
mod driver;
mod floor;
mod mysql;

use std::{
    fmt::Write as _,
    fs,
    io::{Read, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use askhy::Database;
use pumasi_mysqlwire::{Command as Sql, Expect};
use pumasi_test_servers::MariaDb;
use rustix::thread::{CpuSet, sched_setaffinity};

use self::{
    driver::{Answer, Question, drive},
    mysql::{Client, execution, packet},
};
use crate::{
    machine::{self, cpu_ticks},
    process::{Running, free_port, start, wait_for},
    table::{median, spread_percent},
};

pub use floor::serve as serve_floor;

const SERVER_CORE: usize = 0;
const DRIVER_CORE: usize = 1;

/// What the server of every room is told: what a team would tell its own, with the log that Pumasi follows.
const MARIADB: [&str; 4] =
    ["--log-bin=binlog", "--binlog-format=ROW", "--innodb-flush-log-at-trx-commit=1", "--innodb-buffer-pool-size=128M"];

struct Options {
    binary: PathBuf,
    rounds: usize,
    seconds: u64,
    parts: Vec<String>,
    /// Of the kinds of statements those whose name holds this; of the shares of writes this one.
    only: String,
    engines: Vec<String>,
}

/// `[hits] [pages] [rates] [--binary PATH] [--rounds N] [--seconds N] [--engine embedded|mariadb] [--only STATEMENTS|WRITES]`; without a part all of them.
pub fn run(arguments: &[&str]) -> Result<()> {
    let release = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/release/pumasi");
    let mut options = Options { binary: release, rounds: 5, seconds: 3, parts: vec![], only: String::new(), engines: vec![] };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().with_context(|| format!("{argument} needs a value"));
        match *argument {
            "--binary" => options.binary = PathBuf::from(value()?),
            "--rounds" => options.rounds = value()?.parse()?,
            "--seconds" => options.seconds = value()?.parse()?,
            "--only" => options.only = (*value()?).to_owned(),
            "--engine" => options.engines.push((*value()?).to_owned()),
            "hits" | "pages" | "rates" => options.parts.push((*argument).to_owned()),
            other => bail!("freshness has no {other}"),
        }
    }
    ensure!(options.binary.exists(), "{} is missing: cargo build --release -p pumasi", options.binary.display());
    options.binary = options.binary.canonicalize()?;
    let all =
        |given: &[String], all: &[&str]| if given.is_empty() { all.iter().map(|&one| one.to_owned()).collect() } else { given.to_vec() };
    for part in all(&options.parts, &["hits", "pages", "rates"]) {
        let report = match part.as_str() {
            "hits" => hits(&options)?,
            "pages" => pages(&options)?,
            _ => rates(&options, &all(&options.engines, &["embedded", "mariadb"]))?,
        };
        print!("{report}");
        fs::write(machine::run_directory()?.join(format!("freshness-{part}.md")), report)?;
    }
    Ok(())
}

/// This process drives; the cores of what it starts are its own choice.
fn drive_on_its_own_core() -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(DRIVER_CORE);
    Ok(sched_setaffinity(None, &cores)?)
}

/// The built binary on core 0, without a console.
fn pumasi(options: &Options, core: Option<usize>, folder: &Path, configuration: &str) -> Result<Running> {
    let file = folder.join("pumasi.toml");
    fs::write(&file, format!("state = \"{}\"\n[log]\naccess = \"off\"\n{configuration}", folder.display()))?;
    let (program, file) = (options.binary.display().to_string(), file.display().to_string());
    let arguments = ["run", "--console", "off", "--config", &file];
    match core {
        Some(core) => start(core, &program, &arguments),
        None => crate::process::start_anywhere(&program, &arguments),
    }
}

// === a query hit ===

/// Rows that are asked for, in turn.
const ROWS: u64 = 64;

struct Shape {
    name: &'static str,
    prepared: bool,
    connections: usize,
    ahead: usize,
}

const SHAPES: [Shape; 5] = [
    Shape { name: "text, 1 connection", prepared: false, connections: 1, ahead: 1 },
    Shape { name: "text, 16 connections", prepared: false, connections: 16, ahead: 1 },
    Shape { name: "text, 64 connections", prepared: false, connections: 64, ahead: 1 },
    Shape { name: "prepared, 16 connections", prepared: true, connections: 16, ahead: 1 },
    Shape { name: "text, 16 connections, 16 statements without waiting", prepared: false, connections: 16, ahead: 16 },
];

fn hits(options: &Options) -> Result<String> {
    drive_on_its_own_core()?;
    let folder = tempfile::tempdir()?;
    let core = SERVER_CORE.to_string();
    let server = MariaDb::within(&["taskset", "-c", &core], &MARIADB);
    server.run("CREATE DATABASE bench");
    let rows: Vec<String> = (1..=ROWS).map(|id| format!("({id}, REPEAT('{}', 20))", id % 10)).collect();
    server.run_in("bench", &format!("CREATE TABLE t (id INT PRIMARY KEY, c CHAR(120) NOT NULL); INSERT INTO t VALUES {}", rows.join(", ")));
    let port = free_port()?;
    let proxy = pumasi(
        options,
        Some(SERVER_CORE),
        folder.path(),
        &format!(
            "[sql.main]\nlisten = \"127.0.0.1:{port}\"\nprimary = \"mysql://root@127.0.0.1:{}\"\nresults = \"automatic\"\n",
            server.port
        ),
    )?;
    wait_for(port)?;
    // Whoever answers the first question decides the bytes of the floor's.
    let mut first = Client::log_in(server.port, "bench")?;
    let answer = first.ask(&packet(Sql::Query(text(1).as_bytes())), Expect::Results)?;
    let digits: String = answer.iter().map(|byte| format!("{byte:02x}")).collect();
    let floor_port = free_port()?;
    let own = std::env::current_exe()?.display().to_string();
    let floor = start(SERVER_CORE, &own, &["serve-floor", &floor_port.to_string(), &digits])?;
    wait_for(floor_port)?;
    let contenders =
        [("mariadbd", server.port, server.id()), ("Pumasi, from memory", port, proxy.pid()), ("the floor", floor_port, floor.pid())];

    let mut report = format!(
        "# A query hit beside the database's own point SELECT\n\n`SELECT c FROM t WHERE id = N`, {ROWS} rows of 120 characters in turn, every answer compared byte by byte. Each server on core \
         {SERVER_CORE}, the driver on core\n{DRIVER_CORE}. CPU of the server (user + system ticks) over answers; median of {} rounds of {} s in turn, spread of the extremes. *The floor* is an epoll loop \
         that answers every\ncommand with the same bytes: one recv and one send, nothing else.\n\n\
         | statements | server | CPU us/statement | spread | beside mariadbd | beside the floor | statements/s | mariadbd meanwhile us |\n|---|---|---|---|---|---|---|---|\n",
        options.rounds, options.seconds
    );
    for shape in SHAPES.iter().filter(|shape| shape.name.contains(&options.only)) {
        let mut figures: Vec<(Vec<f64>, Vec<f64>, Vec<f64>)> = contenders.iter().map(|_| Default::default()).collect();
        for round in 0..=options.rounds {
            for ((name, port, pid), figures) in contenders.iter().zip(&mut figures) {
                let lasts = if round == 0 { Duration::from_millis(500) } else { Duration::from_secs(options.seconds) };
                let (streams, questions) = if *name == "the floor" { floors(shape, *port, &answer)? } else { ask_first(shape, *port)? };
                let (before, others) = (cpu_ticks(*pid)?, cpu_ticks(server.id())?);
                let order = |connection: usize, n: usize| (connection * 7 + n) % questions.len();
                let driven = drive(streams, &questions, order, shape.ahead, lasts)?;
                // The first round warms up.
                if round > 0 {
                    let us = |ticks: u64| ticks as f64 * 1e6 / machine::ticks_per_second() as f64 / driven.answers as f64;
                    figures.0.push(us(cpu_ticks(*pid)? - before));
                    figures.1.push(driven.answers as f64 / driven.seconds);
                    figures.2.push(us(cpu_ticks(server.id())? - others));
                }
            }
        }
        let (direct, floor) = (median(&figures[0].0), median(&figures[2].0));
        for ((name, ..), (cpu, rate, meanwhile)) in contenders.iter().zip(&figures) {
            let here = median(cpu);
            writeln!(
                report,
                "| {} | {name} | {here:.2} | {:.0} % | {:.2}x | {:.2}x | {:.0} | {} |",
                shape.name,
                spread_percent(cpu),
                here / direct,
                here / floor,
                median(rate),
                if *name == "mariadbd" { "-".into() } else { format!("{:.2}", median(meanwhile)) }
            )?;
        }
    }
    writeln!(report, "\n{}\n{}; pumasi {}", machine::describe(), machine::version_of("mariadbd", "--version"), env!("CARGO_PKG_VERSION"))?;
    Ok(report)
}

fn text(id: u64) -> String {
    format!("SELECT c FROM t WHERE id = {id}")
}

/// Connections that have logged in, and the questions with the answers that this server gives. Prepared statements have the same number on every
/// connection.
fn ask_first(shape: &Shape, port: u16) -> Result<(Vec<TcpStream>, Vec<Question>)> {
    let mut clients = (0..shape.connections).map(|_| Client::log_in(port, "bench")).collect::<Result<Vec<_>>>()?;
    let mut numbers = Vec::new();
    if shape.prepared {
        for client in &mut clients {
            let prepared = client.ask(&packet(Sql::Prepare(b"SELECT c FROM t WHERE id = ?")), Expect::Prepared)?;
            numbers.push(u32::from_le_bytes(prepared[5..9].try_into()?));
        }
        ensure!(numbers.iter().all(|number| *number == numbers[0]), "statements of different numbers: {numbers:?}");
    }
    let mut questions = Vec::new();
    for id in 1..=ROWS {
        let request = if shape.prepared { execution(numbers[0], id) } else { packet(Sql::Query(text(id).as_bytes())) };
        let answer = clients[0].ask(&request, Expect::Results)?;
        ensure!(clients[0].ask(&request, Expect::Results)? == answer, "the answer changes");
        questions.push(Question { request, answer: Answer::Exactly(answer) });
    }
    Ok((clients.into_iter().map(|client| client.stream).collect(), questions))
}

fn floors(shape: &Shape, port: u16, answer: &[u8]) -> Result<(Vec<TcpStream>, Vec<Question>)> {
    let streams = (0..shape.connections).map(|_| TcpStream::connect(("127.0.0.1", port))).collect::<Result<_, _>>()?;
    let question = |id| Question { request: packet(Sql::Query(text(id).as_bytes())), answer: Answer::Exactly(answer.to_vec()) };
    Ok((streams, (1..=ROWS).map(question).collect()))
}

// === a page hit ===

fn pages(options: &Options) -> Result<String> {
    drive_on_its_own_core()?;
    let folder = tempfile::tempdir()?;
    let (port, database) = (free_port()?, free_port()?);
    let own = std::env::current_exe()?.display().to_string();
    let configuration = format!(
        "[edge]\nlisten = \"127.0.0.1:{port}\"\n[[edge.route]]\npath = \"/automatic\"\npool = \"app\"\npages = \"automatic\"\n\
         [[edge.route]]\npath = \"/standard\"\npool = \"app\"\npages = \"standard\"\n[pool.app]\ncommand = [\"{own}\", \"serve-page\"]\nprobe = {{ path = \"/standard\" }}\n\
         env = {{ DATABASE_PORT = \"${{sql.main.port}}\" }}\n[sql.main]\nlisten = \"127.0.0.1:{database}\"\nengine = \"embedded:bench.db\"\nresults = \"automatic\"\n"
    );
    let edge = pumasi(options, Some(SERVER_CORE), folder.path(), &configuration)?;
    wait_for(port)?;
    let routes = ["/standard", "/automatic"];
    for route in routes {
        until_hit(port, route)?;
    }
    let mut report = format!(
        "# An automatic page beside a standard one\n\nThe same 216 bytes from one worker through two routes of one Pumasi: `standard` is fresh for an hour by its header, `automatic` until a write changes the row it \
         was\nmade of. Keep-alive, Pumasi on core {SERVER_CORE}, the driver on core {DRIVER_CORE}. CPU of Pumasi (user + system ticks) over answers; median of {} rounds of {} s in turn.\n\n\
         | connections | route | CPU us/request | spread | beside standard | requests/s |\n|---|---|---|---|---|---|\n",
        options.rounds, options.seconds
    );
    for connections in [16, 128] {
        let mut figures = [(vec![], vec![]), (vec![], vec![])];
        for _ in 0..options.rounds {
            for (route, figures) in routes.iter().zip(&mut figures) {
                let streams = (0..connections).map(|_| TcpStream::connect(("127.0.0.1", port))).collect::<Result<_, _>>()?;
                let questions = [Question { request: get(route), answer: Answer::Http(200) }];
                let before = cpu_ticks(edge.pid())?;
                let driven = drive(streams, &questions, |_, _| 0, 1, Duration::from_secs(options.seconds))?;
                let ticks = cpu_ticks(edge.pid())? - before;
                figures.0.push(ticks as f64 * 1e6 / machine::ticks_per_second() as f64 / driven.answers as f64);
                figures.1.push(driven.answers as f64 / driven.seconds);
            }
        }
        for (route, (cpu, rate)) in routes.iter().zip(&figures) {
            let (here, standard) = (median(cpu), median(&figures[0].0));
            let (spread, route) = (spread_percent(cpu), route.trim_start_matches('/'));
            writeln!(report, "| {connections} | {route} | {here:.2} | {spread:.0} % | {:.2}x | {:.0} |", here / standard, median(rate))?;
        }
    }
    writeln!(report, "\n{}\npumasi {}", machine::describe(), env!("CARGO_PKG_VERSION"))?;
    Ok(report)
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: bench\r\nAccept-Language: en\r\n\r\n").into_bytes()
}

/// Asks until the answer comes from the store.
fn until_hit(port: u16, path: &str) -> Result<()> {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: bench\r\nAccept-Language: en\r\nConnection: close\r\n\r\n").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        if answer.starts_with("HTTP/1.1 200") && answer.to_ascii_lowercase().contains("; hit") {
            return Ok(());
        }
        ensure!(Instant::now() < until, "{path} is not answered from the store: {}", &answer[..answer.len().min(500)]);
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// An application of one page, made of one row. How this program serves as its own worker.
pub fn serve_page() -> Result<()> {
    let number = |name: &str| -> Result<u16> { Ok(std::env::var(name).with_context(|| name.to_owned())?.parse()?) };
    let mut database = Client::log_in(number("DATABASE_PORT")?, "bench")?;
    for sql in ["CREATE TABLE IF NOT EXISTS page (id INT PRIMARY KEY, n INT NOT NULL)", "REPLACE INTO page VALUES (1, 7)"] {
        database.ask(&packet(Sql::Query(sql.as_bytes())), Expect::Results)?;
    }
    let database = Arc::new(Mutex::new(database));
    let listener = TcpListener::bind(("127.0.0.1", number("PORT")?))?;
    loop {
        let (mut stream, _) = listener.accept()?;
        let database = database.clone();
        std::thread::spawn(move || -> Result<()> {
            let mut buffer = vec![0; 16 << 10];
            loop {
                let count = stream.read(&mut buffer)?;
                if count == 0 {
                    return Ok(());
                }
                let request = packet(Sql::Query(b"SELECT n FROM page WHERE id = 1"));
                database.lock().expect("nobody panics").ask(&request, Expect::Results)?;
                let kept = if buffer[..count].starts_with(b"GET /standard") { "Cache-Control: max-age=3600\r\n" } else { "" };
                let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 216\r\n{kept}\r\n");
                stream.write_all(format!("{head}{}", "x".repeat(216)).as_bytes())?;
            }
        });
    }
}

// === the reference application ===

const ASKS: u32 = 50;
const CHEERS: u32 = 50_000;
const VUSERS: &str = "16";

/// Of a hundred requests, those that write.
const WRITES: [u32; 5] = [0, 1, 10, 50, 100];

/// One standing house: the reference application on a database of its own.
struct House {
    _pumasi: Running,
    _server: Option<MariaDb>,
    _folder: tempfile::TempDir,
    url: String,
}

fn rates(options: &Options, engines: &[String]) -> Result<String> {
    let mut report = format!(
        "# The front page, with and without caching\n\nASKHY, {ASKS} asks, {CHEERS} cheers, three workers. `pumasi load`, {VUSERS} virtual users each asking again when answered, for {} s, {} rounds in turn, \
         median (spread).\nReads are of the front page; a write is a cheer on one of the asks. *Without* is the same application with nothing kept: on the embedded engine `pages` and\n`results` off, on MariaDB \
         its workers connected to the server itself. The generator shares the cores with all it measures.\n\n\
         | database | writes | without, requests/s | through the proxy, nothing kept | automatic | gain |\n|---|---|---|---|---|---|\n",
        options.seconds, options.rounds
    );
    for engine in engines {
        let ways: &[Way] =
            if engine == "mariadb" { &[Way::Without, Way::Through, Way::Automatic] } else { &[Way::Without, Way::Automatic] };
        let houses = ways.iter().map(|way| house(options, engine, *way)).collect::<Result<Vec<_>>>()?;
        for writes in WRITES.into_iter().filter(|writes| options.only.is_empty() || options.only == writes.to_string()) {
            let mut figures: Vec<Vec<f64>> = houses.iter().map(|_| vec![]).collect();
            for _ in 0..options.rounds {
                for (house, figures) in houses.iter().zip(&mut figures) {
                    figures.push(load(options, house, writes)?);
                }
            }
            let shown = |way: Way| {
                let place = ways.iter().position(|known| *known == way)?;
                Some(format!("{:.1} ({:.0} %)", median(&figures[place]), spread_percent(&figures[place])))
            };
            let shown = |way| shown(way).unwrap_or_else(|| "-".to_owned());
            let gain = median(figures.last().context("a way")?) / median(&figures[0]);
            let [without, through, automatic] = [Way::Without, Way::Through, Way::Automatic].map(shown);
            writeln!(report, "| {engine} | {writes} % | {without} | {through} | {automatic} | {gain:.2}x |")?;
        }
    }
    writeln!(report, "\n{}\n{}; pumasi {}", machine::describe(), machine::version_of("mariadbd", "--version"), env!("CARGO_PKG_VERSION"))?;
    Ok(report)
}

/// How the application stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Nothing is kept, and a database server is asked directly.
    Without,
    /// Nothing is kept, and the server is asked through the proxy.
    Through,
    Automatic,
}

fn house(options: &Options, engine: &str, way: Way) -> Result<House> {
    let folder = tempfile::tempdir()?;
    let (port, database) = (free_port()?, free_port()?);
    let server = (engine == "mariadb").then(|| MariaDb::with(&MARIADB));
    if let Some(server) = &server {
        server.run("CREATE DATABASE askhy CHARACTER SET utf8mb4");
    }
    let mode = if way == Way::Automatic { "automatic" } else { "off" };
    let source = match &server {
        Some(server) => format!("primary = \"mysql://root@127.0.0.1:{}\"", server.port),
        None => "engine = \"embedded:askhy.db\"".to_owned(),
    };
    let direct = server.as_ref().filter(|_| way == Way::Without).map(|server| server.port);
    let worker_database = direct.map_or("${sql.main.port}".to_owned(), |port| port.to_string());
    let configuration = format!(
        "[edge]\nlisten = \"127.0.0.1:{port}\"\n[[edge.route]]\npool = \"app\"\npages = \"{mode}\"\n[pool.app]\ncommand = [\"{}\", \"askhy\"]\nworkers = 3\nprobe = {{ path = \"/health\" }}\n\
         env = {{ DATABASE_HOST = \"127.0.0.1\", DATABASE_PORT = \"{worker_database}\", DATABASE_USER = \"root\", DATABASE_PASSWORD = \"\", DATABASE_NAME = \"askhy\" }}\n\
         [sql.main]\nlisten = \"127.0.0.1:{database}\"\n{source}\nresults = \"{mode}\"\n",
        options.binary.display()
    );
    let pumasi = pumasi(options, None, folder.path(), &configuration)?;
    wait_for(port)?;
    wait_for(database)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let seeded = direct.unwrap_or(database);
    let database = Database { host: "127.0.0.1".into(), port: seeded, user: "root".into(), password: String::new(), name: "askhy".into() };
    runtime.block_on(askhy::seed(&database, ASKS, CHEERS, |_, _| {}))?;
    if way == Way::Automatic {
        until_hit(port, "/")?;
    }
    Ok(House { _pumasi: pumasi, _server: server, _folder: folder, url: format!("http://127.0.0.1:{port}") })
}

/// Successful requests per second, by the load tester.
fn load(options: &Options, house: &House, writes: u32) -> Result<f64> {
    let mut scenario = format!("[load]\nheaders = {{ Accept-Language = \"en\" }}\n[data]\nask = {{ range = [1, {ASKS}] }}\n");
    if writes < 100 {
        writeln!(scenario, "[[scenario]]\nname = \"front\"\nweight = {}\nsteps = [{{ get = \"/\" }}]", 100 - writes)?;
    }
    if writes > 0 {
        writeln!(
            scenario,
            "[[scenario]]\nname = \"cheer\"\nweight = {writes}\nsteps = [{{ post = \"/ask/${{ask}}/cheer\", form = {{ message = \"fighting ${{counter}}\" }}, check = {{ status = 303 }} }}]"
        )?;
    }
    let file = house._folder.path().join("load.toml");
    fs::write(&file, scenario)?;
    let seconds = format!("{}s", options.seconds);
    let output = Command::new(&options.binary)
        .args([
            "load",
            &file.display().to_string(),
            "--target",
            &house.url,
            "--vusers",
            VUSERS,
            "--for",
            &seconds,
            "--warmup",
            "1s",
            "--no-keep",
            "--json",
        ])
        .output()?;
    let said = || String::from_utf8_lossy(&output.stderr).into_owned();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).with_context(said)?;
    ensure!(report["errors"] == 0, "{} requests failed: {}", report["errors"], said());
    report["tps"].as_f64().context("a rate")
}
