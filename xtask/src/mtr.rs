//! MariaDB's own test suite (Debian's mariadb-test) through Pumasi and, where a test fails there, directly as well.
//!
//! The suite starts its server itself, with its own settings and each test's own options, and restarts it when it likes. Only its client is
//! sent elsewhere: `mysqltest`, and every program that a test runs, finds Pumasi at the socket where it looks for the server. So a test
//! differs only by what stands between. A test that differs is a bug of ours or has its reason in `mtr/differs.md`, which is read here:
//! one that differs and is not listed fails the run.
//!
//! Two things of the suite are changed: tests that wait for the number of connections at the server to fall wait a moment instead, since Pumasi
//! keeps connections open for whoever comes next; and tests that wait for a server to end or to be back know Pumasi's errors for one that is not there.
//! Of the users that tests make Pumasi is told nothing: it asks the server (`users_learned_max`).
//!
//! The tests run in batches, on several [`lane`]s at once. What each batch came to is on disk when it ends ([`ledger`]), so a run that was
//! stopped goes on where it was, and tests that failed are run again alone after a fix (`--resume`).
mod differs;
mod lane;
mod ledger;
mod list;
mod socket;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
    thread,
};

use anyhow::{Context, Result, ensure};

use self::{
    lane::Lane,
    ledger::{Build, Ledger, Way},
};
use crate::{
    install,
    run::{cargo, root, step},
};

/// Where Debian's package lies, and what its programs expect beside it.
const SUITE: &str = "/usr/share/mysql/mysql-test";

/// Tests that one start of the suite runs. It takes some seconds to begin; what it came to is kept when it ends.
const BATCH: usize = 64;

/// For the client that stands in for the suite's: where the suite's files are, and Pumasi's socket.
const VAR: &str = "PUMASI_MTR_VAR";
const SOCKET: &str = "PUMASI_MTR_SOCKET";

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Pass,
    Fail,
    Skipped,
}

impl Verdict {
    const ALL: [(Verdict, &str); 3] = [(Verdict::Pass, "pass"), (Verdict::Fail, "fail"), (Verdict::Skipped, "skipped")];

    fn named(name: &str) -> Option<Verdict> {
        Verdict::ALL.into_iter().find(|(_, known)| *known == name).map(|(verdict, _)| verdict)
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(Verdict::ALL.iter().find(|(verdict, _)| verdict == self).expect("all are listed").1)
    }
}

/// How to run it.
pub struct Wish {
    /// Names such as `main.select`; none: all of the main suite.
    pub tests: Vec<String>,
    /// A Pumasi that has been built already.
    pub program: Option<PathBuf>,
    /// Keep what earlier runs came to, and run what they have not run or what differed.
    pub resume: bool,
    /// How many servers, each with a Pumasi of its own, at the same time.
    pub lanes: u16,
}

/// Errors: a test differs that has no reason in `mtr/differs.md`.
pub fn mtr(wish: Wish) -> Result<()> {
    install::for_mtr()?;
    let program = match wish.program {
        Some(program) => program.canonicalize().with_context(|| format!("looking for {}", program.display()))?,
        None => {
            step("the binary", cargo().args(["build", "--quiet", "--release", "--package", "pumasi"]))?;
            root().join("target/release/pumasi")
        }
    };
    let all = list::all(Path::new(SUITE))?;
    let whole = wish.tests.is_empty();
    let wanted: Vec<String> = if whole { all.keys().cloned().collect() } else { wish.tests };
    let differs = differs::read(&fs::read_to_string(root().join("xtask/mtr/differs.md")).context("reading the reasons")?);
    let (without, asked): (Vec<String>, Vec<String>) = wanted.into_iter().partition(|name| all.get(name).is_some_and(Option::is_some));
    let home = root().join("target/mtr");
    fs::create_dir_all(&home)?;
    let ledger = Ledger::open(&home.join("ledger"), Build::of(&program)?, wish.resume)?;
    let house = House { home, lanes: wish.lanes.max(1), program, ledger: Mutex::new(ledger) };
    eprintln!("xtask: {} tests through Pumasi; {} need another server or client than Debian's", asked.len(), without.len());
    house.run(Way::Through, house.left(Way::Through, &asked))?;
    let failed: Vec<String> =
        house.verdicts(Way::Through, &asked).into_iter().filter(|(_, v)| *v == Verdict::Fail).map(|(name, _)| name).collect();
    eprintln!("xtask: {} tests that failed, directly", failed.len());
    house.run(Way::Direct, house.left(Way::Direct, &failed))?;
    let builds = house.ledger().builds(&asked);
    let (through, direct) = (house.verdicts(Way::Through, &asked), house.verdicts(Way::Direct, &failed));
    let told = Told { through, direct, asked: asked.len(), without: without.len(), differs, builds };
    let report = told.report();
    print!("{report}");
    if whole {
        let file = run_directory()?.join("mtr.md");
        fs::write(&file, &report)?;
        println!("written to {}", file.display());
    }
    let (unlisted, unseen) = (told.unlisted(), told.unseen());
    ensure!(unseen == 0, "{unseen} tests were not run to their end: `cargo xtask mtr --resume` goes on with them");
    ensure!(unlisted.is_empty(), "{} differ without a reason in xtask/mtr/differs.md: {}", unlisted.len(), unlisted.join(" "));
    Ok(())
}

/// Takes the place of `mysqltest`: tells it, and everything it will start, Pumasi's address instead of the server's.
pub fn client(arguments: &[String]) -> Result<()> {
    let of = |name| std::env::var(name).with_context(|| format!("{name} is set by cargo xtask mtr"));
    let (var, socket) = (of(VAR)?, of(SOCKET)?);
    let (server, pumasi) = (format!("{var}/my.cnf"), format!("{var}/pumasi.cnf"));
    fs::write(&pumasi, elsewhere(&fs::read_to_string(&server)?, &socket))?;
    let mut command = Command::new("mariadb-test");
    command.args(arguments.iter().map(|argument| argument.replace(&server, &pumasi)));
    for (name, value) in std::env::vars() {
        // Programs that start a server are to find the server's own file.
        if value.contains(&server) && !name.starts_with("MYSQLD") {
            command.env(name, value.replace(&server, &pumasi));
        }
    }
    Err(command.env("MASTER_MYSOCK", socket).exec()).context("starting mariadb-test")
}

struct House {
    home: PathBuf,
    lanes: u16,
    program: PathBuf,
    ledger: Mutex<Ledger>,
}

impl House {
    fn ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("no lane panics while it writes")
    }

    /// Those of `tests` that have to be run.
    fn left(&self, way: Way, tests: &[String]) -> Vec<String> {
        let ledger = self.ledger();
        tests.iter().filter(|name| ledger.find(way, name).is_none()).cloned().collect()
    }

    fn verdicts(&self, way: Way, tests: &[String]) -> BTreeMap<String, Verdict> {
        let ledger = self.ledger();
        tests.iter().filter_map(|name| Some((name.clone(), ledger.find(way, name)?))).collect()
    }

    /// On all lanes, each of which takes the next batch when it has ended one.
    fn run(&self, way: Way, tests: Vec<String>) -> Result<()> {
        let batch = tests.len().div_ceil(usize::from(self.lanes)).clamp(1, BATCH);
        let batches = Mutex::new(tests.chunks(batch));
        thread::scope(|scope| {
            let work = |number| {
                let (batches, house) = (&batches, &*self);
                move || -> Result<()> {
                    let mut lane: Option<Lane> = None;
                    loop {
                        let next = batches.lock().expect("taking a batch does not panic").next();
                        let Some(batch) = next else { return Ok(()) };
                        let lane = match &mut lane {
                            Some(lane) => lane,
                            none => none.insert(Lane::open(&house.home, number, (way == Way::Through).then_some(&house.program))?),
                        };
                        let verdicts = verdicts(&lane.run(batch)?);
                        ensure!(!verdicts.is_empty(), "the suite ran nothing: see {}", lane.log().display());
                        let ended = house.ledger().write(way, &verdicts)?;
                        eprintln!("xtask: {way}: {ended} done");
                    }
                }
            };
            let lanes: Vec<_> = (0..self.lanes).map(|number| scope.spawn(work(number))).collect();
            lanes.into_iter().try_for_each(|lane| lane.join().expect("a lane returns its errors"))
        })
    }
}

/// The suite's lines `main.select 'nm'   [ pass ]  312`. One that ran in several ways passed if it did in all.
fn verdicts(log: &str) -> BTreeMap<String, Verdict> {
    let mut verdicts = BTreeMap::new();
    for line in log.lines() {
        let Some((name, rest)) = line.split_once(' ') else { continue };
        let verdict = match () {
            () if !name.contains('.') => continue,
            () if rest.contains("[ pass ]") => Verdict::Pass,
            () if rest.contains("[ fail ]") => Verdict::Fail,
            () if rest.contains("[ skipped ]") => Verdict::Skipped,
            () => continue,
        };
        let known = verdicts.entry(name.to_owned()).or_insert(verdict);
        if *known == Verdict::Skipped || verdict == Verdict::Fail {
            *known = verdict;
        }
    }
    verdicts
}

/// What came of it.
struct Told {
    through: BTreeMap<String, Verdict>,
    /// Of those that failed through Pumasi.
    direct: BTreeMap<String, Verdict>,
    asked: usize,
    /// Tests that cannot run with what Debian has.
    without: usize,
    differs: BTreeMap<String, Vec<String>>,
    /// How many tests which build of Pumasi answered for.
    builds: BTreeMap<String, usize>,
}

impl Told {
    /// Asked for, and without a verdict: the suite was stopped.
    fn unseen(&self) -> usize {
        self.asked - self.through.len()
    }

    /// Fail through Pumasi, and not directly.
    fn different(&self) -> BTreeSet<String> {
        let failed = self.through.iter().filter(|(_, verdict)| **verdict == Verdict::Fail).map(|(name, _)| name);
        failed.filter(|name| self.direct.get(*name) != Some(&Verdict::Fail)).cloned().collect()
    }

    fn reasoned(&self, name: &str) -> bool {
        self.differs.values().any(|tests| tests.iter().any(|test| test == name))
    }

    fn unlisted(&self) -> Vec<String> {
        self.different().into_iter().filter(|name| !self.reasoned(name)).collect()
    }

    fn report(&self) -> String {
        let count = |wanted: Verdict| self.through.values().filter(|verdict| **verdict == wanted).count();
        let different = self.different();
        let failed_both = count(Verdict::Fail) - different.len();
        let mut out = format!(
            "# MariaDB's own tests through Pumasi\n\n\
             `cargo xtask mtr`: Debian's mariadb-test, suite main, its server started by the suite itself with each test's own options, its client sent to\n\
             Pumasi instead. Builds of Pumasi (the first bytes of their SHA-1), with the tests each answered for: {}.\n\n\
             | tests | |\n|---|---|\n\
             | pass through Pumasi | {} |\n| skipped by the suite itself | {} |\n| fail directly as well | {failed_both} |\n\
             | differ, each for a reason in `xtask/mtr/differs.md` | {} |\n| differ without one | {} |\n\
             | not run: they need a debug build, Windows or hours | {} |\n",
            self.builds.iter().map(|(build, count)| format!("{build} {count}")).collect::<Vec<_>>().join(", "),
            count(Verdict::Pass),
            count(Verdict::Skipped),
            different.len() - self.unlisted().len(),
            self.unlisted().len(),
            self.without,
        );
        for (reason, tests) in &self.differs {
            let seen: Vec<&str> = tests.iter().map(String::as_str).filter(|test| different.contains(*test)).collect();
            if !seen.is_empty() {
                let _ = write!(out, "\n{reason}: {}\n", seen.join(", "));
            }
        }
        if !self.unlisted().is_empty() {
            let _ = write!(out, "\nWithout a reason: {}\n", self.unlisted().join(", "));
        }
        out
    }
}

// === helpers ===

/// A client's view of the server's file: the groups that clients read name another socket.
fn elsewhere(file: &str, socket: &str) -> String {
    let mut server = false;
    let lines = file.lines().map(|line| {
        if line.starts_with('[') {
            server = ["[mysqld", "[server", "[mariadb", "[embedded", "[cluster"].iter().any(|group| line.starts_with(group));
        }
        let named = line.split('=').next().map(str::trim) == Some("socket");
        if named && !server { format!("socket={socket}\n") } else { format!("{line}\n") }
    });
    lines.collect()
}

fn run_directory() -> Result<PathBuf> {
    let date = Command::new("date").args(["-u", "+%Y-%m-%d"]).output()?;
    let date = String::from_utf8(date.stdout)?.trim().to_owned();
    let cores = std::thread::available_parallelism()?;
    let directory = root().join(format!("bench/runs/{date}-{cores}core-{}", std::env::consts::ARCH));
    fs::create_dir_all(&directory)?;
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suites_lines_are_read() {
        let log = "main.a                   [ pass ]     12\nmain.b 'x'     [ pass ]   1\nmain.b 'y'   [ fail ]\n\
                   main.c   [ skipped ]  Requires debug build\nworker[01] main.d\n       [ pass ]\n";
        let expected = [("main.a", Verdict::Pass), ("main.b", Verdict::Fail), ("main.c", Verdict::Skipped)];
        assert_eq!(verdicts(log), expected.map(|(name, verdict)| (name.to_owned(), verdict)).into());
    }

    #[test]
    fn clients_are_sent_elsewhere_and_servers_are_not() {
        let file = "[mysqld.1]\nsocket=/v/server\n[client]\nsocket=/v/server\nport=1\n";
        assert_eq!(elsewhere(file, "/v/pumasi"), "[mysqld.1]\nsocket=/v/server\n[client]\nsocket=/v/pumasi\nport=1\n");
    }

    #[test]
    fn every_test_that_differs_is_named_once() {
        let differs = differs::read(include_str!("../mtr/differs.md"));
        let all: Vec<&String> = differs.values().flatten().collect();
        assert!(all.len() > 20 && all.iter().all(|name| name.starts_with("main.")), "{all:?}");
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    }
}
