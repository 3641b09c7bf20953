//! `pumasi upgrade`: a new process takes over under load, fails, or is killed on the way; nobody is refused and no answer is lost.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use mysql_async::prelude::Queryable;
use serde_json::Value;

use crate::service::{Service, alive, binary, signal};

/// A copy of the program that a test may replace, and the folder it lies in.
struct Installed {
    folder: tempfile::TempDir,
}

impl Installed {
    fn new() -> Installed {
        let installed = Installed { folder: tempfile::tempdir().expect("a folder") };
        // A link is what a package manager's copy looks like from outside, and takes no room.
        std::fs::hard_link(binary(), installed.path())
            .or_else(|_| std::fs::copy(binary(), installed.path()).map(drop))
            .expect("the program can be put there");
        installed
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("pumasi")
    }

    /// What stands there from now on.
    fn replace(&self, script: &str) {
        use std::os::unix::fs::PermissionsExt;
        std::fs::remove_file(self.path()).expect("it is there");
        std::fs::write(self.path(), script).expect("writable");
        std::fs::set_permissions(self.path(), std::fs::Permissions::from_mode(0o755)).expect("ours");
    }
}

/// A service whose processes are all ended with the test.
pub struct Upgraded(pub Service);

impl Upgraded {
    /// The process that holds the state directory now.
    pub fn in_charge(&self) -> u32 {
        let lock = self.0.home.path().join(".pumasi/pumasi.lock");
        let lock = if lock.exists() { lock } else { self.0.home.path().join("state/pumasi.lock") };
        let text = std::fs::read_to_string(lock).expect("a running Pumasi");
        let running: Value = serde_json::from_str(&text).expect("JSON");
        running["process"].as_u64().expect("a number") as u32
    }
}

impl Drop for Upgraded {
    fn drop(&mut self) {
        let in_charge = self.in_charge();
        if alive(in_charge) {
            signal(in_charge, "KILL");
        }
    }
}

fn configuration(more: &str) -> String {
    let app = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("it/apps/version.js");
    format!(
        r#"
[edge]
listen = "{{site}}"
[[edge.route]]
path = "/*"
pool = "app"
[pool.app]
command = ["node", "{}"]
workers = 2
env = {{ VERSION = "one" }}
[console]
listen = "{{console}}"
{more}
"#,
        app.display()
    )
}

/// Clients that ask without a pause: some keep their connection as long as they are let, some make a new one each time.
struct Load {
    stop: Arc<AtomicBool>,
    good: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    fn start(site: &str, request: impl Fn(&str) -> String + Send + Clone + 'static) -> Load {
        let (stop, good) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let address = site.trim_start_matches("http://").to_owned();
        let clients = (0..6)
            .map(|number| {
                let (stop, good, address, request) = (stop.clone(), good.clone(), address.clone(), request.clone());
                std::thread::spawn(move || {
                    let connection = if number % 2 == 0 { "keep-alive" } else { "close" };
                    let text = request(&format!("Host: {address}\r\nConnection: {connection}\r\n"));
                    let (mut bad, mut kept): (Vec<String>, Option<TcpStream>) = (vec![], None);
                    while !stop.load(Ordering::Relaxed) {
                        match exchange(&mut kept, &address, &text) {
                            Ok(200..=399) => _ = good.fetch_add(1, Ordering::Relaxed),
                            Ok(status) => bad.push(format!("{connection}: {status}")),
                            Err(error) => {
                                bad.push(format!("{connection}: {error}"));
                                kept = None;
                            }
                        }
                    }
                    bad
                })
            })
            .collect();
        Load { stop, good, clients }
    }

    fn good(&self) -> u64 {
        self.good.load(Ordering::Relaxed)
    }

    /// Waits until `more` further requests were answered.
    fn flows(&self, more: u64) {
        let (before, until) = (self.good(), std::time::Instant::now() + Duration::from_secs(40));
        while self.good() < before + more {
            assert!(std::time::Instant::now() < until, "no more than {} requests were answered", self.good() - before);
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    /// How many were answered, and what went wrong.
    fn end(self) -> (u64, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let bad = self.clients.into_iter().flat_map(|client| client.join().expect("no panic")).collect();
        (self.good.load(Ordering::Relaxed), bad)
    }
}

/// One request; the connection is kept if the answer does not end it. Nothing is tried twice: that is what is being tested.
fn exchange(kept: &mut Option<TcpStream>, address: &str, text: &str) -> std::io::Result<u16> {
    let mut stream = match kept.take() {
        Some(stream) => stream,
        None => TcpStream::connect(address)?,
    };
    stream.set_read_timeout(Some(Duration::from_secs(40)))?;
    stream.write_all(text.as_bytes())?;
    let mut reader = BufReader::new(&mut stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| std::io::Error::other(format!("not an answer: {line:?}")))?;
    let (mut length, mut closes, mut chunked) = (0, false, false);
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let field = line.trim_end().to_ascii_lowercase();
        match field.split_once(": ") {
            None if field.is_empty() => break,
            Some(("content-length", value)) => length = value.parse().map_err(std::io::Error::other)?,
            Some(("connection", value)) => closes = value == "close",
            Some(("transfer-encoding", _)) => chunked = true,
            _ => {}
        }
    }
    while chunked {
        line.clear();
        reader.read_line(&mut line)?;
        let size = usize::from_str_radix(line.trim_end(), 16).map_err(std::io::Error::other)?;
        reader.read_exact(&mut vec![0; size + 2])?;
        chunked = size > 0;
    }
    reader.read_exact(&mut vec![0; length])?;
    if !closes {
        *kept = Some(stream);
    }
    Ok(status)
}

fn get(path: &'static str) -> impl Fn(&str) -> String + Send + Clone + 'static {
    move |fields| format!("GET {path} HTTP/1.1\r\n{fields}\r\n")
}

/// The processes that `parent` has started and that are there.
fn children(parent: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>()).collect()
}

fn command_line(pid: u32) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

/// The process that is about to take over from `parent`.
fn successor(service: &mut Service, parent: u32) -> u32 {
    let mut found = None;
    service.wait_until("a new process is started", |_| {
        found = children(parent).into_iter().find(|pid| command_line(*pid).contains(" take-over "));
        found.is_some()
    });
    found.expect("waited for")
}

/// As the links in /proc/PID/fd name the socket that listens on the site's port (proc_net_tcp(5)).
fn listening(site: &str) -> String {
    let port: u16 = site.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux has it");
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    const LISTEN: &str = "0A";
    let own = rows.into_iter().find(|row| row.len() > 9 && row[1].ends_with(&format!(":{port:04X}")) && row[3] == LISTEN);
    format!("socket:[{}]", own.expect("it listens")[9])
}

fn holds(pid: u32, socket: &str) -> bool {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    open.filter_map(|entry| std::fs::read_link(entry.path()).ok()).any(|target| target == Path::new(socket))
}

fn tell(program: &Path, service: &Service, words: &[&str]) -> (i32, String) {
    let output = std::process::Command::new(program).args(words).current_dir(service.home.path()).output().expect("pumasi runs");
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_new_process_takes_over_under_load_and_no_request_fails() {
    let installed = Installed::new();
    let mut service = Upgraded(Service::run_program(&installed.path(), &configuration(""), &[]));
    let first = service.0.pid();
    let load = Load::start(&service.0.site, get("/"));
    load.flows(50);
    let mut known = vec![first];
    for _ in 0..2 {
        let workers = service.0.worker_pids();
        let (code, said) = tell(&binary(), &service.0, &["upgrade"]);
        assert_eq!(code, 0, "{said}\n{}", service.0.said());
        let now = service.in_charge();
        assert!(!known.contains(&now), "{now} was in charge before: {known:?}");
        known.push(now);
        load.flows(50);
        assert!(service.0.get("/").body.starts_with("version one"));
        service.0.wait_until("the old workers are gone", |_| !workers.iter().any(|pid| alive(*pid)));
        assert!(alive(first), "who started Pumasi still sees it run");
    }
    let (good, bad) = load.end();
    assert!(bad.is_empty(), "{} of {good} failed, the first: {:?}\n{}", bad.len(), bad.first(), service.0.said());
    // The second process has ended as well: one placeholder, however many upgrades.
    service
        .0
        .wait_until("only the placeholder is left of the old processes", |_| command_line(first).contains("stand-in") && !alive(known[1]));
    service.0.wait_until("the placeholder knows who is in charge", |_| children(first) == [known[2]]);
    // What is done to the first process is done to the last.
    let last = known[2];
    service.0.signal("TERM");
    service.0.wait_until("the last process ended", |_| !alive(last));
    service.0.wait_until("the placeholder ended", |_| !alive(first));
}

#[test]
fn an_embedded_database_changes_hands_and_keeps_every_acknowledged_write() {
    let mut service = Upgraded(Service::demo(&["--workers", "2"]));
    let cheers = |service: &Service| {
        let url = format!("mysql://root@{}/askhy", service.database());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut connection = mysql_async::Conn::from_url(url).await.expect("logged in");
            let count: Option<u64> = connection.query_first("SELECT COUNT(*) FROM cheer").await.expect("counted");
            count.expect("a row")
        })
    };
    let before = cheers(&service.0);
    let load = Load::start(&service.0.site, |fields| {
        let form = "message=upgrade";
        let kind = "Content-Type: application/x-www-form-urlencoded";
        format!("POST /ask/7/cheer HTTP/1.1\r\n{fields}{kind}\r\nContent-Length: {}\r\n\r\n{form}", form.len())
    });
    load.flows(20);
    let state = service.0.home.path().join("state").display().to_string();
    let (code, said) = tell(&binary(), &service.0, &["upgrade", "--state", &state]);
    assert_eq!(code, 0, "{said}\n{}", service.0.said());
    assert_ne!(service.in_charge(), service.0.pid());
    load.flows(20);
    let (good, bad) = load.end();
    assert!(bad.is_empty(), "{} of {good} failed, the first: {:?}\n{}", bad.len(), bad.first(), service.0.said());
    assert_eq!(cheers(&service.0) - before, good, "{}", service.0.said());
    let pid = service.0.pid();
    service.0.wait_until("the old process is a placeholder", |_| command_line(pid).contains("stand-in"));
}

#[test]
fn a_program_that_does_not_start_leaves_the_old_one_serving() {
    let installed = Installed::new();
    let service = Upgraded(Service::run_program(&installed.path(), &configuration(""), &[]));
    let load = Load::start(&service.0.site, get("/"));
    load.flows(20);
    for (script, expected) in
        [("#!/bin/sh\nexit 7\n", "exit status: 7"), ("not a program", "cannot start"), ("#!/bin/sh\nexec sleep 0.2\n", "exit status: 0")]
    {
        installed.replace(script);
        let (code, said) = tell(&binary(), &service.0, &["upgrade"]);
        assert!(code == 1 && said.contains(expected), "{code}: {said}");
    }
    // Its own program is gone from the disk, and it starts workers all the same.
    let mut service = service;
    let victim = service.0.worker_pids()[0];
    signal(victim, "KILL");
    service.0.wait_until("the worker is replaced", |service| {
        let pids = service.worker_pids();
        pids.len() == 2 && !pids.contains(&victim)
    });
    load.flows(20);
    let (good, bad) = load.end();
    assert!(bad.is_empty(), "{} of {good} failed, the first: {:?}\n{}", bad.len(), bad.first(), service.0.said());
    assert_eq!(service.in_charge(), service.0.pid());
}

#[test]
fn a_configuration_that_cannot_run_is_taken_back() {
    // With a database of its own the old process has stopped by the time the new one finds out.
    let database = "[sql.main]\nlisten = \"{database}\"\nengine = \"embedded:it.db\"\n";
    let service = Upgraded(Service::run(&configuration(database), &[]));
    let file = service.0.home.path().join("pumasi.toml");
    let good_text = std::fs::read_to_string(&file).expect("it was written");
    let load = Load::start(&service.0.site, get("/"));
    load.flows(20);
    // A mistake that shows at once, and one that only the workers show.
    for (change, expected) in
        [("workers = 2\nworkerz = 3", "workerz"), ("workers = 1\nearly_deaths_max = 1\nstable_after = \"1h\"", "no worker")]
    {
        let mut text = good_text.replace("workers = 2", change);
        if expected == "no worker" {
            text = text.replace("version.js", "there-is-no-such-file.js");
        }
        std::fs::write(&file, text).expect("written");
        let (code, said) = tell(&binary(), &service.0, &["upgrade", "--state", ".pumasi"]);
        assert!(code == 1 && said.contains(expected), "{code}: {said}\n{}", service.0.said());
        assert_eq!(service.in_charge(), service.0.pid());
        load.flows(20);
    }
    let (good, bad) = load.end();
    assert!(bad.is_empty(), "{} of {good} failed, the first: {:?}\n{}", bad.len(), bad.first(), service.0.said());
}

#[test]
fn a_new_process_that_is_killed_on_its_way_costs_nothing() {
    let mut service = Upgraded(Service::run(&configuration("").replace("VERSION = \"one\"", "VERSION = \"one\", LATE_MS = \"1500\""), &[]));
    let load = Load::start(&service.0.site, get("/"));
    load.flows(20);
    let pid = service.0.pid();
    let home = service.0.home.clone();
    let asking = std::thread::spawn(move || {
        let output = std::process::Command::new(binary()).arg("upgrade").current_dir(home.path()).output().expect("pumasi runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    });
    let new = successor(&mut service.0, pid);
    signal(new, "KILL");
    let (code, said) = asking.join().expect("no panic");
    assert!(code == Some(1) && said.contains("signal: 9"), "{code:?} {said}");
    load.flows(20);
    let (good, bad) = load.end();
    assert!(bad.is_empty(), "{} of {good} failed, the first: {:?}\n{}", bad.len(), bad.first(), service.0.said());
    assert_eq!(service.in_charge(), pid);
}

#[test]
fn a_new_process_goes_on_when_the_old_one_is_killed() {
    let mut service = Upgraded(Service::run(&configuration("").replace("VERSION = \"one\"", "VERSION = \"one\", LATE_MS = \"1500\""), &[]));
    let pid = service.0.pid();
    let site = service.0.site.clone();
    service.0.signal("USR2");
    let new = successor(&mut service.0, pid);
    let socket = listening(&site);
    service.0.wait_until("the new process holds the listening socket", |_| holds(new, &socket));
    service.0.kill();
    // Nobody accepts at this moment: whoever connects waits, and is answered.
    let address = site.trim_start_matches("http://").to_owned();
    let status = exchange(&mut None, &address, &get("/")(&format!("Host: {address}\r\nConnection: close\r\n")));
    assert_eq!(status.expect("an answer"), 200, "{}", service.0.said());
    service.0.wait_until("the new process is in charge", |service| {
        std::fs::read_to_string(service.home.path().join(".pumasi/pumasi.lock")).is_ok_and(|text| text.contains(&format!("{new},")))
    });
    // It holds the state directory, too.
    let (code, said) = tell(&binary(), &service.0, &["run"]);
    assert!(code != 0 && said.contains("another Pumasi"), "{code} {said}");
}
