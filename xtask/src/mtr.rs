//! MariaDB's own test suite (Debian's mariadb-test) through Pumasi and, where a test fails there, directly as well.
//!
//! The suite starts its server itself, with its own settings and each test's own options, and restarts it when it likes. Only its client is
//! sent elsewhere: `mysqltest`, and every program that a test runs, finds Pumasi at the socket where it looks for the server. So a test
//! differs only by what stands between. A test that differs is a bug of ours or has its reason in `mtr/differs.md`, which is read here:
//! one that differs and is not listed fails the run.
//!
//! One thing of the suite is changed: tests that wait for the number of connections at the server to fall do not wait, since Pumasi keeps
//! connections open for whoever comes next.
mod differs;
mod list;
mod socket;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    os::unix::{fs::symlink, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, ensure};

use crate::{
    install,
    run::{cargo, root, run, step},
};

/// Where Debian's package lies, and what its programs expect beside it.
const SUITE: &str = "/usr/share/mysql/mysql-test";

/// The suite's server listens on `10000 + 30 * BUILD_THREAD`: below the ports that the system hands out, and not the suite's own default.
const BUILD_THREAD: u16 = 470;
const SERVER_PORT: u16 = 10_000 + 30 * BUILD_THREAD;

/// Pumasi has the server's port at another address of the loopback: tests compare the port they know with the server's.
const PUMASI: &str = "127.0.0.2";

/// A test that takes longer counts as failed; the suite's own bound is 15 minutes.
const TEST_MINUTES: u32 = 4;

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

/// `tests`: names such as `main.select`; none: all of the main suite. `program`: a Pumasi that has been built already.
pub fn mtr(tests: &[String], program: Option<PathBuf>) -> Result<()> {
    install::for_mtr()?;
    let program = match program {
        Some(program) => program.canonicalize().with_context(|| format!("looking for {}", program.display()))?,
        None => {
            step("the binary", cargo().args(["build", "--quiet", "--release", "--package", "pumasi"]))?;
            root().join("target/release/pumasi")
        }
    };
    let all = list::all(Path::new(SUITE))?;
    let wanted: Vec<String> = if tests.is_empty() { all.keys().cloned().collect() } else { tests.to_vec() };
    let differs = differs::read(&fs::read_to_string(root().join("xtask/mtr/differs.md")).context("reading the reasons")?);
    let (without, asked): (Vec<String>, Vec<String>) = wanted.into_iter().partition(|name| all.get(name).is_some_and(Option::is_some));
    let home = root().join("target/mtr");
    let _ = fs::remove_dir_all(&home);
    fs::create_dir_all(&home)?;
    let house = House { suite: copy_suite(&home)?, home };
    let started = Instant::now();
    eprintln!("xtask: {} tests through Pumasi; {} need another server or client than Debian's", asked.len(), without.len());
    let through = house.through(&program, &asked)?;
    let failed: Vec<String> = through.iter().filter(|(_, verdict)| **verdict == Verdict::Fail).map(|(name, _)| name.clone()).collect();
    eprintln!("xtask: {} tests that failed, directly", failed.len());
    let direct = if failed.is_empty() { BTreeMap::new() } else { house.run(&failed, "direct", None)? };
    let told = Told { through, direct, without: without.len(), differs };
    let report = told.report(started.elapsed().as_secs() / 60);
    print!("{report}");
    if tests.is_empty() {
        let file = run_directory()?.join("mtr.md");
        fs::write(&file, &report)?;
        println!("written to {}", file.display());
    }
    let unlisted = told.unlisted();
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
    suite: PathBuf,
}

impl House {
    fn through(&self, program: &Path, tests: &[String]) -> Result<BTreeMap<String, Verdict>> {
        let configuration = self.home.join("pumasi.toml");
        fs::write(&configuration, list::configuration(Path::new(SUITE), PUMASI, SERVER_PORT, &self.home)?)?;
        let log = fs::File::create(self.home.join("pumasi.log"))?;
        let mut command = Command::new(program);
        command.args(["run", "--config"]).arg(&configuration).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let _pumasi = Running(command.spawn().context("starting Pumasi")?);
        let socket = self.home.join("s");
        socket::carry(&socket, (PUMASI, SERVER_PORT))?;
        self.run(tests, "through", Some(&socket))
    }

    /// Runs the suite with its own server. `socket`: where its clients are sent instead of the server's.
    fn run(&self, tests: &[String], name: &str, socket: Option<&Path>) -> Result<BTreeMap<String, Verdict>> {
        let var = self.home.join("var");
        let log = self.home.join(format!("{name}.log"));
        let out = fs::File::create(&log)?;
        let mut command = Command::new("perl");
        command
            .arg("mariadb-test-run.pl")
            .arg(format!("--vardir={}", var.display()))
            .args(["--force", "--max-test-fail=0", "--retry=0", "--nocheck-testcases", "--nowarnings", "--suite-timeout=1000"])
            .arg(format!("--testcase-timeout={TEST_MINUTES}"))
            .args(tests)
            .current_dir(&self.suite)
            .env("MTR_BUILD_THREAD", BUILD_THREAD.to_string())
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out);
        if let Some(socket) = socket {
            let client = self.home.join("mysqltest");
            let this = std::env::current_exe()?;
            fs::write(&client, format!("#!/bin/sh\nexec '{}' mtr-client -- \"$@\"\n", this.display()))?;
            fs::set_permissions(&client, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
            command.env("MYSQL_TEST", &client).env(VAR, &var).env(SOCKET, socket);
        }
        // It ends with an error when a test failed; what counts is what it wrote.
        command.status().context("starting the suite (perl)")?;
        let verdicts = verdicts(&String::from_utf8_lossy(&fs::read(&log)?));
        ensure!(!verdicts.is_empty(), "the suite ran nothing: see {}", log.display());
        Ok(verdicts)
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
    /// Tests that cannot run with what Debian has.
    without: usize,
    differs: BTreeMap<String, Vec<String>>,
}

impl Told {
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

    fn report(&self, minutes: u64) -> String {
        let count = |wanted: Verdict| self.through.values().filter(|verdict| **verdict == wanted).count();
        let different = self.different();
        let failed_both = count(Verdict::Fail) - different.len();
        let mut out = format!(
            "# MariaDB's own tests through Pumasi\n\n\
             `cargo xtask mtr`: Debian's mariadb-test, suite main, its server started by the suite itself with each test's own options, its client sent to\n\
             Pumasi instead. {minutes} minutes.\n\n\
             | tests | |\n|---|---|\n\
             | pass through Pumasi | {} |\n| skipped by the suite itself | {} |\n| fail directly as well | {failed_both} |\n\
             | differ, each for a reason in `xtask/mtr/differs.md` | {} |\n| differ without one | {} |\n\
             | not run: they need a debug build, Windows or hours | {} |\n",
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

/// Ends with its value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
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

/// The suite as links to Debian's files, but for the one that is changed; laid out as the suite expects it beside the programs.
fn copy_suite(home: &Path) -> Result<PathBuf> {
    let share = home.join("usr/share/mysql");
    fs::create_dir_all(&share)?;
    for folder in ["bin", "sbin", "lib"] {
        symlink(Path::new("/usr").join(folder), home.join("usr").join(folder))?;
    }
    for entry in fs::read_dir("/usr/share/mysql")? {
        let entry = entry?;
        if entry.file_name() != "mysql-test" {
            symlink(entry.path(), share.join(entry.file_name()))?;
        }
    }
    run(Command::new("cp").args(["--recursive", "--symbolic-link", SUITE]).arg(&share))?;
    let suite = share.join("mysql-test");
    let waits = suite.join("include/wait_until_count_sessions.inc");
    fs::remove_file(&waits)?;
    fs::write(&waits, "# Pumasi keeps connections open: their number says nothing of the clients'.\nlet $wait_timeout= 0;\n")?;
    Ok(suite)
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
