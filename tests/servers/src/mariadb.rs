//! A MariaDB server.
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

use crate::process::{Running, free_port};

/// Sizes of a server that holds a few hundred rows. The redo log is written in full at the first start: with the server's own default
/// of 96 MiB, a dozen tests at once fill a small disk.
const SMALL: [&str; 3] = ["--innodb-log-file-size=8M", "--innodb-buffer-pool-size=16M", "--aria-log-file-size=8M"];

/// A mariadbd of the caller's own. `root` logs in without a password, over TCP on the loopback and over the socket.
pub struct MariaDb {
    process: Running,
    directory: TempDir,
    pub port: u16,
    /// What the server is run by: nothing, or `ip netns exec NAME`.
    within: Vec<String>,
}

impl MariaDb {
    pub fn start() -> MariaDb {
        MariaDb::with(&[])
    }

    /// With further options of mariadbd; a later option wins over ours.
    pub fn with(options: &[&str]) -> MariaDb {
        MariaDb::within(&[], options)
    }

    /// The same, run by another program: `ip netns exec NAME`.
    pub fn within(program: &[&str], options: &[&str]) -> MariaDb {
        let directory = TempDir::new().expect("a directory");
        copy(&template(), &directory.path().join("data"));
        let port = free_port();
        let within: Vec<String> = program.iter().map(|&word| word.to_owned()).collect();
        let process = launch(directory.path(), port, &within, options);
        MariaDb { process, directory, port, within }
    }

    /// kill -9, also of a server that a signal has stopped.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts the server again on what it has, at the same port. It must have been killed.
    pub fn start_again(&mut self, options: &[&str]) {
        self.process = launch(self.directory.path(), self.port, &self.within, options);
    }

    /// Runs statements as root over the socket, past whatever stands in front of the port. Returns rows as lines of tab-separated values.
    ///
    /// # Panics
    /// When the server refuses one of them.
    pub fn run(&self, sql: &str) -> String {
        client(self.directory.path(), None, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// [`run`](Self::run) with a database chosen.
    pub fn run_in(&self, database: &str, sql: &str) -> String {
        client(self.directory.path(), Some(database), sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// A number of SHOW GLOBAL STATUS.
    pub fn status(&self, name: &str) -> u64 {
        let row = self.run(&format!("SHOW GLOBAL STATUS LIKE '{name}'"));
        row.split_whitespace().next_back().and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{name} is a number: {row:?}"))
    }

    /// The process, for signals that only a test would send.
    pub fn id(&self) -> u32 {
        self.process.id()
    }
}

fn launch(home: &Path, port: u16, within: &[String], options: &[&str]) -> Running {
    let log = fs::OpenOptions::new().create(true).append(true).open(home.join("log")).expect("a log");
    let mut command = match within {
        [] => Command::new("mariadbd"),
        [program, words @ ..] => {
            let mut command = Command::new(program);
            command.args(words).arg("mariadbd");
            command
        }
    };
    command
        .args(["--no-defaults", "--user=root", "--bind-address=127.0.0.1", "--skip-name-resolve", "--character-set-server=utf8mb4"])
        .args(SMALL)
        // A test that kills the machine is not among ours: the page cache is as good as the disk.
        .args(["--innodb-flush-log-at-trx-commit=0", "--max-allowed-packet=64M", "--local-infile=1"])
        .arg(format!("--port={port}"))
        .arg(format!("--datadir={}", home.join("data").display()))
        .arg(format!("--socket={}", socket(home)))
        .arg(format!("--pid-file={}", home.join("pid").display()))
        // Its own, because a server that starts removes the temporary tables it finds, those of others that run beside it as well.
        .arg(format!("--tmpdir={}", home.display()))
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    let mut process = Running::start(&mut command, "mariadb-server");
    process.wait_for(|| client(home, None, "SELECT 1").is_ok(), || fs::read_to_string(home.join("log")).unwrap_or_default());
    process
}

/// The error is what the client printed.
fn client(home: &Path, database: Option<&str>, sql: &str) -> Result<String, String> {
    let mut client = Command::new("mariadb")
        .args(["--no-defaults", "-uroot", "-N", "-B", "--default-character-set=utf8mb4", "--socket", &socket(home)])
        .args(database)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("mariadb (Debian package mariadb-client) is installed; `cargo xtask install`");
    // The client may be gone before it has read: then its output says why.
    let _ = client.stdin.take().expect("piped").write_all(sql.as_bytes());
    let output = client.wait_with_output().expect("it ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// A data directory as `mariadb-install-db` leaves it, made once for all tests of this machine and server version: making one takes
/// seconds, copying it a moment.
fn template() -> PathBuf {
    let version =
        Command::new("mariadbd").arg("--version").output().expect("mariadbd (Debian package mariadb-server); `cargo xtask install`");
    let version: String = String::from_utf8_lossy(&version.stdout).chars().filter(|c| c.is_ascii_alphanumeric() || *c == '.').collect();
    let home = std::env::temp_dir().join(format!("pumasi-test-mariadb-{}-{version}", rustix::process::getuid().as_raw()));
    fs::create_dir_all(&home).expect("a directory for the template");
    // Tests run in processes of their own, many at once: one of them makes it, the others wait here.
    let lock = fs::File::create(home.join("lock")).expect("a lock file");
    flock(&lock, FlockOperation::LockExclusive).expect("the lock");
    let whole = home.join("data");
    if !whole.exists() {
        let making = home.join("making");
        let _ = fs::remove_dir_all(&making);
        let installed = Command::new("mariadb-install-db")
            .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", "--user=root"])
            .args(SMALL)
            .arg(format!("--datadir={}", making.display()))
            .arg(format!("--tmpdir={}", home.display()))
            .output()
            .expect("mariadb-install-db (Debian package mariadb-server) is installed; `cargo xtask install`");
        let said = || String::from_utf8_lossy(&installed.stdout).into_owned() + &String::from_utf8_lossy(&installed.stderr);
        assert!(installed.status.success(), "{}", said());
        // Renamed only when complete, so that an interrupted attempt is never taken for a template.
        fs::rename(&making, &whole).expect("rename");
    }
    whole
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a data directory");
    for entry in fs::read_dir(from).expect("the template") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("a copy");
        }
    }
}

fn socket(home: &Path) -> String {
    home.join("s").display().to_string()
}
