//! `pumasi ladder`: the same application under the same load, one rung after another, compared.
//!
//! Every rung is a real `pumasi run` (or a real memcached or Redis beside it) on a state directory of its own, all of them up at the
//! same time and idle but for the one that is measured. Rounds alternate over the rungs, so that a slow minute of the machine hits
//! all of them; what is told is the median with its spread. Answers are compared between rungs before anything is timed.

pub mod args;
mod house;
mod report;
mod rungs;

use crate::{
    command::{exit, interrupt_flag, raise_descriptor_limit},
    exchange::Client,
    kept::Kept,
    plan::{Plan, Target, Trust},
    report::{Label, Report, terminal::Style},
    run::{self, Unwatched},
    scenario::{self, Overrides},
    verify::{self, Verified},
};
use args::LadderArgs;
use house::{Cpu, House, Server};
use pumasi_config::Source;
use report::{Ladder, LeftOut, Measured};
use rungs::{Rung, Setting};
use std::{
    fs, io,
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

/// Where the reference application's database is.
#[derive(Clone, Debug, PartialEq)]
pub struct DatabaseAddress {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: String,
    pub name: String,
}

/// What the binary brings along: itself, and how to fill the reference application's database.
pub struct Reference<'r> {
    /// Run with `run --config FILE` for a rung and with `askhy` for a worker.
    pub program: PathBuf,
    /// Makes the tables and fills them unless there is something in them. Told how many rows are done, and of how many.
    pub fill: &'r Fill<'r>,
}

/// Fills the database at an address, telling the rows done and the rows there will be.
pub type Fill<'f> = dyn Fn(&DatabaseAddress, &dyn Fn(u64, u64)) -> Result<(), String> + 'f;

#[derive(Debug, thiserror::Error)]
pub enum LadderError {
    #[error("{0}")]
    Usage(String),
    #[error("{path}: {source}", path = path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the first rung cannot run, so there is nothing to compare with: {0}")]
    NoFirstRung(String),
    #[error("the load generator could not run: {0}")]
    Generator(#[from] io::Error),
    #[error("interrupted")]
    Interrupted,
}

/// Time before each measurement, not counted: connections are opened, caches filled.
const WARMUP: Duration = Duration::from_millis(500);

/// Of one request. The first rung may be slow: that is what the ladder is about.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Runs the command. The table goes to standard output, progress and messages to standard error.
pub fn ladder(args: &LadderArgs, reference: &Reference) -> ExitCode {
    match climb(args, reference) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(match error {
                LadderError::Usage(_) => exit::USAGE,
                LadderError::Interrupted => exit::INTERRUPTED,
                _ => exit::FAILURE,
            })
        }
    }
}

fn climb(args: &LadderArgs, reference: &Reference) -> Result<u8, LadderError> {
    let setting = Setting::of(args, &reference.program).map_err(LadderError::Usage)?;
    let interrupt = interrupt_flag()?;
    raise_descriptor_limit(setting.vusers);
    let progress = Progress::new();
    let directory = Directory::make()?;
    let mut left_out = Vec::new();
    let mut standing = stand_up(&setting, reference, &directory, &progress, &interrupt, &mut left_out)?;
    if standing.first().is_none_or(|first| first.rung.number != "1") {
        let reason = left_out.iter().find(|left| left.number == "1").map_or("it was not asked for", |left| left.reason.as_str());
        return Err(LadderError::NoFirstRung(reason.to_string()));
    }
    compare_answers(&mut standing, &setting, &mut left_out);
    measure(args, &mut standing, &progress, &interrupt)?;
    check_freshness(args, &mut standing, &progress, &interrupt)?;
    progress.clear();
    let ladder = Ladder::of(args, &setting, standing.iter().map(|standing| (&standing.rung, &standing.measured)), left_out);
    drop(standing);
    write_out(args, &ladder)?;
    Ok(if ladder.promise_broken() { exit::FAILURE } else { exit::OK })
}

/// A rung that runs, with what was measured on it.
struct Standing {
    rung: Rung,
    house: House,
    /// Its cache server, if it has one.
    server: Option<Server>,
    plan: Plan,
    measured: Measured,
}

impl Standing {
    fn cpu(&self) -> Cpu {
        let mut cpu = self.house.cpu();
        cpu.cache_us = self.server.as_ref().map_or(0, Server::cpu_us);
        cpu
    }
}

/// Starts every rung. Those that cannot run are left out with the reason.
fn stand_up(
    setting: &Setting,
    reference: &Reference,
    directory: &Directory,
    progress: &Progress,
    interrupt: &AtomicBool,
    left_out: &mut Vec<LeftOut>,
) -> Result<Vec<Standing>, LadderError> {
    let seeded = directory.path.join("filled");
    if let Some(reason) = prepare_database(setting, reference, &seeded, progress)? {
        return Err(LadderError::NoFirstRung(reason));
    }
    let mut standing = Vec::new();
    for rung in rungs::all() {
        if interrupt.load(Ordering::Relaxed) {
            return Err(LadderError::Interrupted);
        }
        if !setting.wants(&rung) {
            continue;
        }
        progress.say(&format!("starting rung {}: {}", rung.number, rung.name));
        match start(&rung, setting, reference, directory, &seeded) {
            Ok(started) => standing.push(started),
            Err(reason) => left_out.push(LeftOut { number: rung.number.to_string(), name: rung.name.to_string(), reason }),
        }
    }
    Ok(standing)
}

/// Fills the database once. Some(reason) if it cannot be had.
fn prepare_database(setting: &Setting, reference: &Reference, seeded: &Path, progress: &Progress) -> Result<Option<String>, LadderError> {
    if setting.command.is_some() {
        return Ok(None);
    }
    let fill = |address: &DatabaseAddress| (reference.fill)(address, &|done, total| progress.fill(done, total)).err();
    if let Some(database) = &setting.database {
        return Ok(fill(database));
    }
    // The first rung, stopped again when its database is full; the others start from copies of it.
    let first = &rungs::all()[0];
    let house = match House::start(&reference.program, seeded, &setting.configuration(first, seeded, None)) {
        Ok(house) => house,
        Err(reason) => return Ok(Some(reason)),
    };
    let Some((host, port)) = house.database.clone() else {
        return Ok(Some("the embedded database did not say where it listens".to_string()));
    };
    let name = rungs::DATABASE.to_string();
    Ok(fill(&DatabaseAddress { host, port, user: "root".to_string(), password: String::new(), name }))
}

fn start(rung: &Rung, setting: &Setting, reference: &Reference, directory: &Directory, seeded: &Path) -> Result<Standing, String> {
    if let Some(reason) = setting.obstacle(rung) {
        return Err(reason);
    }
    let state = directory.path.join(format!("rung-{}", rung.number));
    fs::create_dir_all(&state).map_err(|error| format!("{}: {error}", state.display()))?;
    copy_database(seeded, &state).map_err(|error| format!("the database could not be copied: {error}"))?;
    let server = rung.cache.map(|kind| Server::start(kind, &state)).transpose()?;
    let configuration = setting.configuration(rung, &state, server.as_ref().map(|server| server.url.as_str()));
    let house = House::start(&reference.program, &state, &configuration)?;
    let target = Target::resolve(&house.url, &Trust::System)?;
    let source = Source { name: format!("(rung {})", rung.number), text: setting.scenario(rung), directory: state };
    let overrides = Overrides {
        target: Some(target),
        vusers: Some(setting.vusers as f64),
        lasts: Some(setting.lasts),
        warmup: Some(WARMUP),
        threads: Some(1),
        timeout: Some(TIMEOUT),
        ..Overrides::default()
    };
    let plan = scenario::compile(&source, &overrides).map_err(|problems| problems.to_string())?;
    Ok(Standing { rung: rung.clone(), house, server, plan, measured: Measured::default() })
}

/// The embedded database's files; nothing if there is none.
fn copy_database(from: &Path, to: &Path) -> io::Result<()> {
    let Ok(entries) = fs::read_dir(from) else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_file() && entry.file_name().to_string_lossy().starts_with(rungs::FILE) {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// Every rung must show what the first one shows: what answers something else is not compared, whatever its speed.
fn compare_answers(standing: &mut Vec<Standing>, setting: &Setting, left_out: &mut Vec<LeftOut>) {
    let page = |standing: &Standing| -> Result<Vec<u8>, String> {
        let path = &setting.paths[0];
        let mut client = Client::new(&standing.plan.target, Duration::from_secs(30));
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nAccept-Language: en\r\n\r\n", standing.plan.target.authority);
        // Twice: the second may come from a cache.
        for _ in 0..2 {
            client.exchange(request.as_bytes(), false, true).map_err(|error| error.to_string())?;
        }
        match client.reader.status() {
            200..=399 => Ok(client.reader.body().to_vec()),
            status => Err(format!("GET {path} is answered {status}")),
        }
    };
    let Some(Ok(expected)) = standing.first().map(page) else { return };
    standing.retain(|candidate| {
        let reason = match page(candidate) {
            Ok(body) if body == expected || setting.command.is_some() => return true,
            Ok(_) => "its page differs from the first rung's".to_string(),
            Err(reason) => reason,
        };
        left_out.push(LeftOut { number: candidate.rung.number.to_string(), name: candidate.rung.name.to_string(), reason });
        false
    });
}

/// The alternating rounds: first of the rungs that only read, then of those that write, so that no rung's database grows under another.
fn measure(args: &LadderArgs, standing: &mut [Standing], progress: &Progress, interrupt: &AtomicBool) -> Result<(), LadderError> {
    progress.rounds(standing.len() as u64 * u64::from(args.rounds));
    for writing in [false, true] {
        for round in 1..=args.rounds {
            for standing in standing.iter_mut().filter(|standing| (standing.rung.writes > 0.0) == writing) {
                progress.say(&format!("round {round} of {}, rung {}: {}", args.rounds, standing.rung.number, standing.rung.name));
                let before = standing.cpu();
                let outcome = run::run(&standing.plan, interrupt, &mut Unwatched)?;
                let cpu = standing.cpu().since(before);
                if interrupt.load(Ordering::Relaxed) {
                    return Err(LadderError::Interrupted);
                }
                let answers: u64 = outcome.series.iter().map(|slice| slice.successful + slice.errors).sum();
                standing.measured.add(&Report::of(&standing.plan, &outcome, Label::default()), cpu, answers);
                progress.step();
            }
        }
    }
    Ok(())
}

/// The rungs that write (and with `--verify` all of them) are checked by concurrent writers and readers, apart from the measured rounds.
fn check_freshness(args: &LadderArgs, standing: &mut [Standing], progress: &Progress, interrupt: &AtomicBool) -> Result<(), LadderError> {
    for standing in standing.iter_mut().filter(|standing| standing.rung.writes > 0.0 || args.verify) {
        if args.command.is_some() {
            return Ok(());
        }
        progress.say(&format!("verifying rung {}: every read against the last acknowledged write", standing.rung.number));
        let verified = verify::verify(&standing.plan.target, args.lasts, interrupt);
        if interrupt.load(Ordering::Relaxed) {
            return Err(LadderError::Interrupted);
        }
        standing.measured.verified =
            Some(verified.unwrap_or_else(|error| Verified { violation: Some(error.to_string()), ..Verified::default() }));
    }
    Ok(())
}

fn write_out(args: &LadderArgs, ladder: &Ladder) -> Result<(), LadderError> {
    let file = |path: &Path, text: String| fs::write(path, text).map_err(|source| LadderError::File { path: path.to_path_buf(), source });
    args.html.as_deref().map_or(Ok(()), |path| file(path, report::page(ladder)))?;
    if !args.no_keep {
        let kept = Kept::new(&args.state);
        kept.keep_ladder(&report::page(ladder)).map_err(|source| LadderError::File { path: kept.ladder(), source })?;
    }
    let text = if args.json {
        format!("{}\n", serde_json::to_string_pretty(ladder).map_err(io::Error::from)?)
    } else {
        report::text(ladder, Style::of(io::stdout().is_terminal()))
    };
    io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

/// A bar on standard error, when that is a terminal.
struct Progress {
    bar: indicatif::ProgressBar,
}

impl Progress {
    fn new() -> Progress {
        let bar = indicatif::ProgressBar::no_length();
        let template = "{wide_bar} {pos}/{len}  {elapsed}\n{msg}";
        bar.set_style(indicatif::ProgressStyle::with_template(template).expect("a constant template"));
        Progress { bar }
    }

    fn say(&self, what: &str) {
        self.bar.set_message(what.to_string());
        self.bar.tick();
    }

    fn fill(&self, done: u64, total: u64) {
        self.bar.set_message("filling the reference application's database");
        self.bar.set_length(total);
        self.bar.set_position(done);
    }

    fn rounds(&self, all: u64) {
        self.bar.set_length(all);
        self.bar.set_position(0);
    }

    fn step(&self) {
        self.bar.inc(1);
    }

    fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// The rungs' state, removed at the end.
struct Directory {
    path: PathBuf,
}

impl Directory {
    fn make() -> Result<Directory, LadderError> {
        let path = std::env::temp_dir().join(format!("pumasi-ladder-{}", std::process::id()));
        fs::create_dir_all(&path).map_err(|source| LadderError::File { path: path.clone(), source })?;
        Ok(Directory { path })
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests;
