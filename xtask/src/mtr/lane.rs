//! One server of the suite's, with the Pumasi in front of it: a place, ports and a log of its own, so that several can run at once.

use std::{
    fs,
    io::{Seek, SeekFrom},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use super::{SOCKET, SUITE, VAR, list, socket};
use crate::run::run;

/// The suite's server of the first lane listens on `10000 + 30 * BUILD_THREAD`: below the ports that the system hands out, and not the suite's own
/// default. Every lane has the next.
const BUILD_THREAD: u16 = 470;

/// Pumasi has the server's port at another address of the loopback: tests compare the port they know with the server's.
const PUMASI: &str = "127.0.0.2";

/// A test that takes longer counts as failed; the suite's own bound is 15 minutes.
const TEST_MINUTES: u32 = 4;

pub struct Lane {
    home: PathBuf,
    suite: PathBuf,
    thread: u16,
    /// What the suite writes, of all batches.
    log: PathBuf,
    /// Pumasi, and the socket at which the suite's clients find it; none: they go to the server.
    pumasi: Option<(Running, PathBuf)>,
}

impl Lane {
    /// Errors: no room, or Pumasi does not start.
    pub fn open(home: &Path, number: u16, program: Option<&PathBuf>) -> Result<Lane> {
        let way = if program.is_some() { "through" } else { "direct" };
        let log = home.join(format!("{way}-{}.log", number + 1));
        fs::write(&log, "")?;
        let home = home.join(format!("lane-{}", number + 1));
        let _ = fs::remove_dir_all(&home);
        fs::create_dir_all(&home)?;
        let suite = copy_suite(&home)?;
        let mut lane = Lane { home, suite, thread: BUILD_THREAD + number, log, pumasi: None };
        if let Some(program) = program {
            lane.pumasi = Some(lane.start(program)?);
        }
        Ok(lane)
    }

    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Runs the suite with its own server, and returns what it wrote.
    pub fn run(&self, tests: &[String]) -> Result<String> {
        let var = self.home.join("var");
        let mut out = fs::File::options().append(true).open(&self.log)?;
        let before = out.seek(SeekFrom::End(0))?;
        let mut command = Command::new("perl");
        command
            .arg("mariadb-test-run.pl")
            .arg(format!("--vardir={}", var.display()))
            .args(["--force", "--max-test-fail=0", "--retry=0", "--nocheck-testcases", "--nowarnings", "--suite-timeout=1000"])
            .arg(format!("--testcase-timeout={TEST_MINUTES}"))
            .args(tests)
            .current_dir(&self.suite)
            .env("MTR_BUILD_THREAD", self.thread.to_string())
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out);
        if let Some((_, socket)) = &self.pumasi {
            let client = self.home.join("mysqltest");
            let this = std::env::current_exe()?;
            fs::write(&client, format!("#!/bin/sh\nexec '{}' mtr-client -- \"$@\"\n", this.display()))?;
            fs::set_permissions(&client, PermissionsExt::from_mode(0o755))?;
            command.env("MYSQL_TEST", &client).env(VAR, &var).env(SOCKET, socket);
        }
        // It ends with an error when a test failed; what counts is what it wrote.
        command.status().context("starting the suite (perl)")?;
        let all = fs::read(&self.log)?;
        Ok(String::from_utf8_lossy(&all[before as usize..]).into_owned())
    }

    fn start(&self, program: &Path) -> Result<(Running, PathBuf)> {
        let port = 10_000 + 30 * self.thread;
        let configuration = self.home.join("pumasi.toml");
        fs::write(&configuration, list::configuration(Path::new(SUITE), PUMASI, port, &self.home))?;
        let log = fs::File::create(self.home.join("pumasi.log"))?;
        let mut command = Command::new(program);
        command.args(["run", "--config"]).arg(&configuration).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let running = Running(command.spawn().context("starting Pumasi")?);
        let socket = self.home.join("s");
        socket::carry(&socket, (PUMASI, port))?;
        Ok((running, socket))
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        // Servers' data, some hundred megabytes; logs stay.
        let _ = fs::remove_dir_all(self.home.join("var"));
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
    // Answers of which only the difference to another is written: made by patch(1), which changes no links.
    for entry in fs::read_dir(suite.join("main"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let Some(base) = name.strip_suffix(".rdiff").and_then(|name| name.split(',').next()) else { continue };
        let answer = suite.join("main").join(format!("{base}.result"));
        if answer.is_symlink() {
            let original = fs::canonicalize(&answer)?;
            fs::remove_file(&answer)?;
            fs::copy(original, &answer)?;
        }
    }
    let waits = suite.join("include/wait_until_count_sessions.inc");
    fs::remove_file(&waits)?;
    // Pumasi stays when its server goes, and says so by numbers of its own: nothing listens there, or the connection broke.
    // mysqltest takes ten numbers: in the second file two make room that no test of this suite meets there.
    let room = [
        ("wait_until_disconnected.inc", "--error 0,", "--error 0,1158,1429,"),
        ("wait_until_connected_again.inc", "ER_LOCK_WAIT_TIMEOUT,2002,2006,2013,HA_ERR_NO_ENCRYPTION", "1158,2002,2006,2013,1429"),
    ];
    for (name, old, new) in room {
        let file = suite.join("include").join(name);
        let text = fs::read_to_string(&file)?;
        ensure!(text.contains(old), "{name} is not as it was");
        fs::remove_file(&file)?;
        fs::write(&file, text.replace(old, new))?;
    }
    // What a client leaves behind is taken back when its end is heard of, a moment later, by a server as by Pumasi.
    fs::write(&waits, "# Pumasi keeps connections open: their number says nothing of the clients'.\n--sleep 0.2\nlet $wait_timeout= 0;\n")?;
    Ok(suite)
}
