//! The processes of a rung: a running Pumasi with its workers, and the cache servers of the hand-written rungs.

use super::rungs::CacheKind;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    collections::HashMap,
    fs::{self, File},
    io::{BufRead, BufReader},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

/// From start to serving: workers must be ready.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// From TERM to KILL.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
/// Lines of a failed process's messages that are told.
const LAST_LINES: usize = 5;

/// A running Pumasi.
#[derive(Debug)]
pub struct House {
    child: Child,
    pub url: String,
    /// Where its database listens.
    pub database: Option<(String, u16)>,
}

/// CPU time used so far, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cpu {
    pub edge_us: u64,
    pub sql_us: u64,
    /// The application's processes.
    pub web_us: u64,
    pub cache_us: u64,
}

impl Cpu {
    pub fn since(self, before: Cpu) -> Cpu {
        Cpu {
            edge_us: self.edge_us.saturating_sub(before.edge_us),
            sql_us: self.sql_us.saturating_sub(before.sql_us),
            web_us: self.web_us.saturating_sub(before.web_us),
            cache_us: self.cache_us.saturating_sub(before.cache_us),
        }
    }
}

impl House {
    /// Starts `program run` on a configuration and waits until it serves. The error is what it said.
    pub fn start(program: &Path, state: &Path, configuration: &str) -> Result<House, String> {
        let io = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
        fs::create_dir_all(state).map_err(|error| io(state, error))?;
        let file = state.join("pumasi.toml");
        fs::write(&file, configuration).map_err(|error| io(&file, error))?;
        let messages = state.join("messages.log");
        let log = File::create(&messages).map_err(|error| io(&messages, error))?;
        let mut child = Command::new(program)
            .args(["run", "--config"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(|error| io(program, error))?;
        let stdout = child.stdout.take().expect("standard output is piped");
        let mut house = House { child, url: String::new(), database: None };
        // On a thread of its own, so that waiting can end; it ends with the process.
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || BufReader::new(stdout).lines().map_while(Result::ok).all(|line| sender.send(line).is_ok()));
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let word = |prefix: &str| line.strip_prefix(prefix).and_then(|rest| rest.split_whitespace().next()).map(str::to_string);
                    if let Some(url) = word("Serving ") {
                        house.url = url.trim_end_matches('/').to_string();
                    }
                    if let Some(address) = word("Database ") {
                        house.database = address.rsplit_once(':').and_then(|(host, port)| Some((host.to_string(), port.parse().ok()?)));
                    }
                    // The last line of the greeting.
                    if line.starts_with("Workers ") {
                        return Ok(house);
                    }
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    return Err(format!("it did not serve within {} s: {}", START_TIMEOUT.as_secs(), last_lines(&messages)));
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => return Err(last_lines(&messages)),
            }
        }
    }

    /// So far, by tier.
    pub fn cpu(&self) -> Cpu {
        let pid = self.child.id();
        let edge_us = edge_threads_us(pid);
        let web_us = descendants(pid).into_iter().map(process_us).sum();
        // What Pumasi spends elsewhere than in the edge's loops it spends on SQL, but for a little supervision. The process's total
        // knows of threads that have ended, as those of database connections do; the edge's live as long as the process.
        Cpu { edge_us, sql_us: process_us(pid).saturating_sub(edge_us), web_us, cache_us: 0 }
    }
}

impl Drop for House {
    fn drop(&mut self) {
        stop(&mut self.child);
    }
}

/// A memcached or Redis that belongs to one rung.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// As `ASKHY_CACHE` takes it.
    pub url: String,
}

impl Server {
    /// Errors: it is not installed, or does not come up.
    pub fn start(kind: CacheKind, state: &Path) -> Result<Server, String> {
        let port = free_port()?;
        let text = port.to_string();
        let (name, arguments): (&str, Vec<&str>) = match kind {
            CacheKind::Memcached => ("memcached", vec!["-l", "127.0.0.1", "-p", &text, "-U", "0", "-u", "nobody"]),
            CacheKind::Redis => ("redis-server", vec!["--bind", "127.0.0.1", "--port", &text, "--save", "", "--appendonly", "no"]),
        };
        let program = installed(name).ok_or_else(|| format!("{name} is not installed"))?;
        let log = File::create(state.join(format!("{name}.log"))).map_err(|error| error.to_string())?;
        let child = Command::new(program)
            .args(arguments)
            .current_dir(state)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(|error| error.to_string())?)
            .stderr(log)
            .spawn()
            .map_err(|error| format!("{name}: {error}"))?;
        let scheme = if kind == CacheKind::Redis { "redis" } else { "memcached" };
        let mut server = Server { child, url: format!("{scheme}://127.0.0.1:{port}") };
        let deadline = Instant::now() + START_TIMEOUT;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let gone = server.child.try_wait().is_ok_and(|status| status.is_some());
            if gone || Instant::now() > deadline {
                return Err(format!("{name} did not come up: {}", last_lines(&state.join(format!("{name}.log")))));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    pub fn cpu_us(&self) -> u64 {
        process_us(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        stop(&mut self.child);
    }
}

fn stop(child: &mut Child) {
    // The pid is ours until it has been waited for.
    let _ = Pid::from_raw(child.id() as i32).map(|pid| kill_process(pid, Signal::TERM));
    let deadline = Instant::now() + STOP_TIMEOUT;
    while Instant::now() < deadline {
        match child.try_wait() {
            Ok(None) => std::thread::sleep(Duration::from_millis(20)),
            _ => return,
        }
    }
    let _ = child.kill();
    let _ = child.wait();
}

fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    // Debian keeps servers where an ordinary user's PATH does not look.
    std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]).map(|directory| directory.join(name)).find(|program| program.is_file())
}

fn free_port() -> Result<u16, String> {
    let bound = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    bound.map(|address| address.port()).map_err(|error| format!("no free port: {error}"))
}

fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    match lines.len() {
        0 => "it ended without a message".to_string(),
        n => lines[n.saturating_sub(LAST_LINES)..].join("; "),
    }
}

// === what /proc tells ===

/// User and system time of a process with the threads that have ended. 0 when it is gone.
fn process_us(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name, in parentheses, may hold anything; fields are counted from its end (proc(5): utime is 14, stime 15).
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    (ticks(11) + ticks(12)) * 1_000_000 / rustix::param::clock_ticks_per_second()
}

/// The time on a CPU of the edge's threads.
fn edge_threads_us(pid: u32) -> u64 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return 0 };
    let of = |task: fs::DirEntry| {
        let read = |file: &str| fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let ns = read("schedstat").split_whitespace().next().and_then(|ns| ns.parse::<u64>().ok());
        if read("comm").starts_with("edge-") { ns.unwrap_or(0) / 1000 } else { 0 }
    };
    tasks.flatten().map(of).sum()
}

fn descendants(pid: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(child) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        parent.into_iter().for_each(|parent: u32| children.entry(parent).or_default().push(child));
    }
    let mut found = Vec::new();
    let mut ahead = vec![pid];
    while let Some(next) = ahead.pop() {
        for child in children.remove(&next).unwrap_or_default() {
            found.push(child);
            ahead.push(child);
        }
    }
    found
}
