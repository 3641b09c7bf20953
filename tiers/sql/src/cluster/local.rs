//! Servers of the machine's own mariadbd, in the state directory: a cluster for development, tests and the ladder.
//!
//! Each runs under a guardian (the process that also stands between Pumasi and its workers), so none outlives Pumasi, however that ends. They
//! start read-only; who is the primary is decided by [`super::record`], not by who happens to run.

use std::{
    env, fs,
    fs::OpenOptions,
    io,
    io::Write,
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// For each of the servers; what runs on a developer's machine should not fill its memory.
const BUFFER_POOL: &str = "64M";

/// From the polite end of a server to the hard one. InnoDB writes its pages out; killed, it would read its log at the next start instead.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// From the first start of a server to its service. A first start writes its logs; on a busy machine that takes a while.
pub const START_TIMEOUT: Duration = Duration::from_secs(60);

/// The guardian's words: see `pumasi_web::guardian`.
const TERMINATE: &[u8] = b"t";
const KILL: &[u8] = b"k";

/// What a local cluster is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Holds one directory per server.
    pub directory: PathBuf,
    /// The database's name in the configuration; servers are called `NAME.1` and so on.
    pub name: String,
    pub replicas: usize,
    /// Created in a new cluster.
    pub database: Option<String>,
    pub redo_log_bytes: u64,
    /// The program and arguments before the command that a guardian guards.
    pub guardian: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    #[error(
        "{program} is not installed on this machine. Debian and Ubuntu: apt install mariadb-server; Fedora: dnf install mariadb-server; \
         macOS: brew install mariadb. Or write engine = \"embedded:FILE\", which needs nothing"
    )]
    NotInstalled { program: &'static str },
    #[error("mariadb-install-db cannot make {directory}: {output}")]
    Install { directory: String, output: String },
    #[error("{what} {path}: {error}")]
    Io { what: &'static str, path: String, error: io::Error },
}

/// The servers of one cluster.
pub struct Daemons {
    plan: Plan,
    program: PathBuf,
    daemons: Vec<Daemon>,
}

struct Daemon {
    home: PathBuf,
    port: u16,
    running: Mutex<Option<Child>>,
}

/// What a server is started as. It matters to its recovery: a replica drops the end of its binary log that no other server has confirmed; a
/// primary must not, because its clients were told that it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Primary,
    Replica,
}

impl Daemons {
    /// Makes the data directories that are not there yet; starts nothing.
    pub fn prepare(plan: Plan) -> Result<Daemons, LocalError> {
        let program = find("mariadbd")?;
        fs::create_dir_all(&plan.directory).map_err(io_error("cannot make", &plan.directory))?;
        // Passwords are empty: nobody else on the machine has business in there.
        let _ = fs::set_permissions(&plan.directory, fs::Permissions::from_mode(0o700));
        let mut daemons: Vec<Daemon> = Vec::new();
        // One that has just been made and has not run yet: the others are copies of it.
        let mut pattern: Option<PathBuf> = None;
        for number in 0..=plan.replicas {
            let home = plan.directory.join((number + 1).to_string());
            if install(&home, &plan, pattern.as_deref())? && pattern.is_none() {
                pattern = Some(home.clone());
            }
            let port = free_port().map_err(io_error("no free port for", &home))?;
            daemons.push(Daemon { home, port, running: Mutex::new(None) });
        }
        Ok(Daemons { plan, program, daemons })
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    pub fn ports(&self) -> impl Iterator<Item = u16> {
        self.daemons.iter().map(|daemon| daemon.port)
    }

    /// Starts a server unless it runs. Whether it serves is for its probes to find out.
    pub fn start(&self, number: usize, role: Role) -> Result<(), LocalError> {
        let daemon = &self.daemons[number];
        let mut running = daemon.lock();
        if running.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None))) {
            return Ok(());
        }
        let log = daemon.home.join("log");
        let log = OpenOptions::new().create(true).append(true).open(&log).map_err(io_error("cannot write", &log))?;
        let [guardian, words @ ..] = &self.plan.guardian[..] else {
            return Err(io_error("no guardian for", &daemon.home)(io::Error::from(io::ErrorKind::NotFound)));
        };
        let child = Command::new(guardian)
            .args(words)
            .arg(&self.program)
            .args(options(number, daemon, role, self.plan.redo_log_bytes))
            .current_dir(&daemon.home)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(io_error("cannot start a guardian for", &daemon.home))?;
        *running = Some(child);
        Ok(())
    }

    pub fn runs(&self, number: usize) -> bool {
        self.daemons[number].lock().as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Ends a server at once, also one that is stopped by a signal. Returns when it is gone.
    pub fn kill(&self, number: usize) {
        let child = self.daemons[number].lock().take();
        if let Some(mut child) = child {
            say(&mut child, KILL);
            let _ = child.wait();
        }
    }

    /// Ends all of them, politely first. Returns when they are gone.
    pub fn stop(&self) {
        let mut children: Vec<Child> = self.daemons.iter().filter_map(|daemon| daemon.lock().take()).collect();
        children.iter_mut().for_each(|child| say(child, TERMINATE));
        let deadline = Instant::now() + STOP_TIMEOUT;
        for child in &mut children {
            while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
                thread::park_timeout(Duration::from_millis(20));
            }
        }
        for child in &mut children {
            say(child, KILL);
            let _ = child.wait();
        }
    }

    /// Removes what a server has and makes it as new: it will copy everything from the primary.
    pub fn remake(&self, number: usize) -> Result<(), LocalError> {
        self.kill(number);
        let home = &self.daemons[number].home;
        fs::remove_dir_all(home).map_err(io_error("cannot remove", home))?;
        install(home, &self.plan, None).map(drop)
    }

    /// The last lines of a server's log, for whoever asks why it does not serve.
    pub fn last_words(&self, number: usize) -> String {
        const LINES: usize = 3;
        let log = fs::read(self.daemons[number].home.join("log")).unwrap_or_default();
        let tail = String::from_utf8_lossy(&log[log.len().saturating_sub(4096)..]).into_owned();
        let lines: Vec<&str> = tail.lines().rev().filter(|line| line.contains("ERROR")).take(LINES).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("; ")
    }
}

impl Drop for Daemons {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Daemon {
    fn lock(&self) -> MutexGuard<'_, Option<Child>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === helpers ===

fn options(number: usize, daemon: &Daemon, role: Role, redo_log_bytes: u64) -> Vec<String> {
    let on = |yes: bool| if yes { "ON" } else { "OFF" };
    let mut options: Vec<String> = [
        "--no-defaults",
        // On the loopback, and nowhere else: root has no password.
        "--bind-address=127.0.0.1",
        "--skip-name-resolve",
        "--character-set-server=utf8mb4",
        "--max-allowed-packet=64M",
        "--max-connections=500",
        "--local-infile=1",
        // Relative to the data directory: a path in a deep state directory would be too long for a socket.
        "--socket=s",
        "--pid-file=pid",
        // What makes one a replica of the other, and either of them the primary.
        "--log-bin=binlog",
        "--relay-log=relay",
        "--binlog-format=ROW",
        "--log-slave-updates",
        "--gtid-strict-mode=ON",
        "--skip-slave-start",
        "--relay-log-recovery=ON",
        // Only a promotion takes this away.
        "--read-only=ON",
        // Acknowledged means durable.
        "--sync-binlog=1",
        "--innodb-flush-log-at-trx-commit=1",
        // A commit is shown and acknowledged when a replica has it, too.
        "--rpl-semi-sync-master-wait-point=AFTER_SYNC",
        "--rpl-semi-sync-master-timeout=10000",
        // A primary that says nothing for so long is lost to its replicas; they ask for a heartbeat twice as often.
        "--slave-net-timeout=2",
        "--aria-log-file-size=8M",
    ]
    .map(str::to_owned)
    .into();
    options.extend([
        format!("--datadir={}", daemon.home.join("data").display()),
        format!("--tmpdir={}", daemon.home.join("tmp").display()),
        format!("--port={}", daemon.port),
        format!("--server-id={}", number + 1),
        format!("--innodb-log-file-size={redo_log_bytes}"),
        format!("--innodb-buffer-pool-size={BUFFER_POOL}"),
        format!("--rpl-semi-sync-slave-enabled={}", on(role == Role::Replica)),
        format!("--init-rpl-role={}", if role == Role::Replica { "SLAVE" } else { "MASTER" }),
    ]);
    if rustix::process::geteuid().is_root() {
        options.push("--user=root".into());
    }
    options
}

/// Makes a server's directory, unless it is there. True: it was not.
fn install(home: &Path, plan: &Plan, pattern: Option<&Path>) -> Result<bool, LocalError> {
    if home.join("data").exists() {
        return Ok(false);
    }
    // Under another name until it is whole: an installation that was interrupted is begun anew.
    let new = home.with_extension("new");
    let _ = fs::remove_dir_all(&new);
    for directory in [new.clone(), new.join("tmp")] {
        fs::create_dir_all(&directory).map_err(io_error("cannot make", &directory))?;
    }
    match pattern {
        Some(pattern) => copy(&pattern.join("data"), &new.join("data")).map_err(io_error("cannot copy to", &new))?,
        None => install_data(&new, plan)?,
    }
    fs::rename(&new, home).map_err(io_error("cannot rename", &new))?;
    Ok(true)
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() { copy(&from, &to)? } else { fs::copy(from, to).map(drop)? }
    }
    Ok(())
}

fn install_data(new: &Path, plan: &Plan) -> Result<(), LocalError> {
    let mut command = Command::new(find("mariadb-install-db")?);
    command
        .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"])
        .args([format!("--innodb-log-file-size={}", plan.redo_log_bytes), format!("--innodb-buffer-pool-size={BUFFER_POOL}")])
        .args([format!("--datadir={}", new.join("data").display()), format!("--tmpdir={}", new.join("tmp").display())])
        .stdin(Stdio::null());
    if rustix::process::geteuid().is_root() {
        command.arg("--user=root");
    }
    let output = command.output().map_err(io_error("cannot run mariadb-install-db for", new))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said[said.len().saturating_sub(600)..]).trim().to_owned();
        return Err(LocalError::Install { directory: new.display().to_string(), output: said });
    }
    Ok(())
}

/// System programs lie where an ordinary user's PATH does not lead.
fn find(program: &'static str) -> Result<PathBuf, LocalError> {
    let path = env::var_os("PATH").unwrap_or_default();
    let places =
        env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin", "/usr/libexec", "/usr/bin", "/usr/local/bin"].map(PathBuf::from));
    let runs = |path: &PathBuf| fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0);
    places.map(|place| place.join(program)).find(runs).ok_or(LocalError::NotInstalled { program })
}

/// Nobody else takes it before the server does, unless by chance; then the server does not start, and says so in its log.
fn free_port() -> io::Result<u16> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr().map(|address| address.port())
}

fn say(child: &mut Child, word: &[u8]) {
    if let Some(lifeline) = &mut child.stdin {
        // A guardian that is gone has ended its server.
        let _ = lifeline.write_all(word);
    }
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LocalError {
    let path = path.display().to_string();
    move |error| LocalError::Io { what, path, error }
}
