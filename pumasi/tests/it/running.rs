//! `pumasi run` with real workers: small Python servers stand for the application.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::program::{command, directory_with, run};

/// Answers the variable VERSION and its process number, after half a second on `/slow`. What is below `/kept` holds the time and may be kept.
const SERVER: &str = r#"
import http.server, os, signal, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path == "/slow":
            time.sleep(0.5)
        body = (os.environ.get("VERSION", "none") + " " + str(os.getpid()) + (" %s" % time.time() if self.path.startswith("/kept") else "")).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        if self.path.startswith("/kept"):
            self.send_header("Cache-Control", "max-age=600")
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer.request_queue_size = 128
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler)
signal.signal(signal.SIGTERM, lambda *a: os._exit(0))
server.serve_forever()
"#;

/// How long any one condition may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running `pumasi`; killed when the test is over.
struct Pumasi {
    process: Child,
    /// Lines of standard output.
    out: mpsc::Receiver<String>,
    err: PathBuf,
}

impl Pumasi {
    fn start(directory: &Path, arguments: &[&str]) -> Pumasi {
        let err = directory.join("stderr.txt");
        let mut command = command(directory, arguments);
        command.stdout(Stdio::piped()).stderr(fs::File::create(&err).expect("writable"));
        let mut process = command.spawn().expect("the program runs");
        let stdout = process.stdout.take().expect("piped");
        let (lines, out) = mpsc::channel();
        thread::spawn(move || BufReader::new(stdout).lines().map_while(Result::ok).for_each(|line| _ = lines.send(line)));
        Pumasi { process, out, err }
    }

    /// What follows `label` on the line of the greeting that begins with it.
    fn greeted(&self, label: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        while let Ok(line) = self.out.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            if let Some(rest) = line.trim_start().strip_prefix(label) {
                return rest.trim().to_owned();
            }
        }
        panic!("no {label} was printed; standard error:\n{}", self.messages());
    }

    /// Where the edge is, once it serves.
    fn site(&self) -> SocketAddr {
        let url = self.greeted("Serving");
        url.trim_start_matches("http://").trim_end_matches('/').parse().unwrap_or_else(|_| panic!("not an address: {url}"))
    }

    fn messages(&self) -> String {
        fs::read_to_string(&self.err).expect("readable")
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).expect("it runs");
    }

    fn code(&mut self) -> Option<i32> {
        wait_for("the end of pumasi", || self.process.try_wait().expect("a child of ours")).code()
    }
}

impl Drop for Pumasi {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::park_timeout(Duration::from_millis(20));
    }
}

/// Status and body; `Err` with the reason if there was no whole answer.
fn get(address: SocketAddr, path: &str) -> Result<(u16, String), String> {
    let exchange = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = exchange().map_err(|error| error.to_string())?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| format!("cut short: {answer:?}"))?;
    Ok((head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(head)?, body.to_owned()))
}

/// Processes whose command line or environment mentions the test's own directory: whatever it started, however deep.
fn processes_of(directory: &Path) -> Vec<u32> {
    let mark = directory.to_string_lossy().into_owned();
    let numbers =
        fs::read_dir("/proc").expect("Linux").flatten().filter_map(|entry| entry.file_name().to_string_lossy().parse::<u32>().ok());
    let ours = |number: &u32| {
        let read = |file: &str| fs::read(format!("/proc/{number}/{file}")).unwrap_or_default();
        let alive = !String::from_utf8_lossy(&read("stat")).contains(") Z ");
        alive && *number != std::process::id() && String::from_utf8_lossy(&[read("cmdline"), read("environ")].concat()).contains(&mark)
    };
    numbers.filter(ours).collect()
}

fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("server.py"), SERVER).expect("writable");
    directory
}

/// No file: the listeners on free ports, the rest by default.
const FREE_PORTS: [&str; 4] = ["--listen", "127.0.0.1:0", "--console", "127.0.0.1:0"];

fn arguments<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["run"], &FREE_PORTS[..], more].concat()
}

#[test]
fn a_command_without_a_file_is_served_and_ctrl_c_leaves_nothing_running() {
    let directory = directory();
    let server = directory.path().join("server.py").display().to_string();
    // A shell and a background process in between: the family, not just the worker, must end.
    let script = format!("sleep 1000 {server} & python3 {server}");
    let mut pumasi = Pumasi::start(directory.path(), &arguments(&["--", "sh", "-c", &script]));
    let site = pumasi.site();
    assert_eq!(get(site, "/").map(|(status, _)| status), Ok(200));
    let workers: std::collections::BTreeSet<String> = (0..20).filter_map(|_| get(site, "/").ok()).map(|(_, body)| body).collect();
    assert_eq!(workers.len(), 2, "{workers:?}");
    assert!(processes_of(directory.path()).len() >= 6, "two shells, two sleeps, two servers");
    pumasi.signal(Signal::INT);
    assert_eq!(pumasi.code(), Some(0), "{}", pumasi.messages());
    assert_eq!(processes_of(directory.path()), [0; 0], "left running");
}

#[test]
fn kill_9_of_pumasi_leaves_nothing_running() {
    let directory = directory();
    let server = directory.path().join("server.py").display().to_string();
    let script = format!("setsid sleep 1000 {server} & python3 {server}");
    let mut pumasi = Pumasi::start(directory.path(), &arguments(&["--", "sh", "-c", &script]));
    pumasi.site();
    pumasi.signal(Signal::KILL);
    pumasi.code();
    wait_for("the end of every worker", || processes_of(directory.path()).is_empty().then_some(()));
}

#[test]
fn a_request_in_flight_is_finished_before_the_end() {
    let directory = directory();
    let mut pumasi = Pumasi::start(directory.path(), &arguments(&["--workers", "1", "--", "python3", "server.py"]));
    let site = pumasi.site();
    let asked = thread::spawn(move || get(site, "/slow"));
    wait_for("the request to be in flight", || established(site).then_some(()));
    pumasi.signal(Signal::TERM);
    assert_eq!(asked.join().expect("no panic").map(|(status, _)| status), Ok(200));
    assert_eq!(pumasi.code(), Some(0));
}

/// Whether the kernel knows a connection to `address` whose request has been read.
fn established(address: SocketAddr) -> bool {
    let port = format!(":{:04X}", address.port());
    fs::read_to_string("/proc/net/tcp").unwrap_or_default().lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.len() > 4 && fields[1].ends_with(&port) && fields[3] == "01" && fields[4].ends_with(":00000000")
    })
}

#[test]
fn the_second_ctrl_c_ends_at_once() {
    let directory = directory();
    fs::write(directory.path().join("deaf.py"), SERVER.replace("lambda *a: os._exit(0)", "signal.SIG_IGN")).expect("writable");
    let mut pumasi =
        Pumasi::start(directory.path(), &arguments(&["--", "python3", &directory.path().join("deaf.py").display().to_string()]));
    pumasi.site();
    pumasi.signal(Signal::INT);
    wait_for("the stop to begin", || pumasi.messages().contains("pumasi: stopping").then_some(()));
    pumasi.signal(Signal::INT);
    assert_eq!(pumasi.code(), Some(130));
    wait_for("the end of every worker", || processes_of(directory.path()).is_empty().then_some(()));
}

#[test]
fn a_worker_that_cannot_start_ends_the_run_with_its_last_words() {
    let directory = directory();
    let it = run(directory.path(), &arguments(&["--", "sh", "-c", "echo the database is on fire; exit 3"]));
    assert_eq!(it.code, Some(1));
    let last = it.stderr.split("pumasi: no worker of pool \"app\" got ready").nth(1).unwrap_or_else(|| panic!("{}", it.stderr));
    assert!(last.contains("exit code 3") && last.contains("the database is on fire"), "{last}");
}

#[test]
fn a_taken_port_names_the_key_and_its_holder() {
    let directory = directory();
    let holder = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = holder.local_addr().expect("bound").to_string();
    let it = run(directory.path(), &["run", "--listen", &address, "--console", "off", "--", "true"]);
    assert_eq!(it.code, Some(1));
    let holder = format!("(process {}). Stop it, or choose another address with --listen ADDRESS.", std::process::id());
    assert!(it.stderr.starts_with(&format!("pumasi: --listen: edge.listen: {address} is taken by ")), "{}", it.stderr);
    assert!(it.stderr.contains(&holder), "{}", it.stderr);
}

#[test]
fn a_state_directory_has_one_pumasi() {
    let directory = directory();
    let pumasi = Pumasi::start(directory.path(), &arguments(&["--", "python3", "server.py"]));
    pumasi.site();
    let it = run(directory.path(), &arguments(&["--", "python3", "server.py"]));
    assert_eq!(it.code, Some(1));
    assert!(it.stderr.contains(&format!("another Pumasi (process {}) runs in the state directory", pumasi.process.id())), "{}", it.stderr);
}

#[test]
fn a_file_and_a_command_contradict_each_other() {
    let directory = directory_with("[pool.app]\ncommand = \"x\"\n");
    let it = run(directory.path(), &["run", "--", "true"]);
    assert_eq!(it.code, Some(2));
    assert!(it.stderr.starts_with("pumasi: there is pumasi.toml and a command on the command line."), "{}", it.stderr);
}

#[test]
fn nobody_to_ask_is_code_5() {
    let directory = directory_with("[pool.app]\ncommand = \"x\"\n");
    for verb in ["status", "reload"] {
        let it = run(directory.path(), &[verb]);
        assert_eq!(it.code, Some(5));
        assert!(it.stderr.contains("no Pumasi runs in ") && it.stderr.contains("--state DIR"), "{}", it.stderr);
    }
}
// === Reload ===

/// A `pumasi.toml` for [`SERVER`]; `more` are lines of `[pool.app]`.
fn configured(version: &str, more: &str) -> String {
    format!(
        "[edge]\nlisten = \"127.0.0.1:0\"\n[console]\nlisten = \"127.0.0.1:0\"\n\
         [pool.app]\ncommand = [\"python3\", \"server.py\"]\nworkers = 2\nenv = {{ VERSION = \"{version}\" }}\n{more}\n"
    )
}

/// Asks without pause until told to stop; every answer that is not a 200 is kept.
fn ask_all_the_time(site: SocketAddr, stop: std::sync::Arc<std::sync::atomic::AtomicBool>) -> thread::JoinHandle<(usize, Vec<String>)> {
    thread::spawn(move || {
        let (mut good, mut bad) = (0, vec![]);
        while !stop.load(std::sync::atomic::Ordering::Relaxed) {
            match get(site, "/") {
                Ok((200, _)) => good += 1,
                other => bad.push(format!("{other:?}")),
            }
        }
        (good, bad)
    })
}

#[test]
fn a_reload_replaces_the_workers_without_a_failed_request() {
    let directory = directory();
    let file = directory.path().join("pumasi.toml");
    fs::write(&file, configured("one", "")).expect("writable");
    let pumasi = Pumasi::start(directory.path(), &["run"]);
    let site = pumasi.site();
    assert!(get(site, "/").expect("served").1.starts_with("one "));
    let stop = std::sync::Arc::default();
    let asking = [ask_all_the_time(site, std::sync::Arc::clone(&stop)), ask_all_the_time(site, std::sync::Arc::clone(&stop))];

    fs::write(&file, configured("two", "")).expect("writable");
    let it = run(directory.path(), &["reload"]);
    assert_eq!((it.code, it.stderr.as_str()), (Some(0), "reloaded: pool.app changed\n"));
    assert!(get(site, "/").expect("served").1.starts_with("two "));

    // By signal, and one worker more.
    fs::write(&file, configured("three", "").replace("workers = 2", "workers = 3")).expect("writable");
    pumasi.signal(Signal::HUP);
    // Nine at a time: one after another they can keep step with the two that ask all the time, and always have the same worker's turn.
    let seen = || {
        let asked: Vec<_> = (0..9).map(|_| thread::spawn(move || get(site, "/").ok())).collect();
        let answers = asked.into_iter().filter_map(|asked| asked.join().expect("no panic"));
        answers.map(|(_, body)| body).collect::<std::collections::BTreeSet<_>>()
    };
    wait_for("three workers of the third version", || {
        let seen = seen();
        (seen.len() == 3 && seen.iter().all(|body| body.starts_with("three "))).then_some(())
    });
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    for asking in asking {
        let (good, bad) = asking.join().expect("no panic");
        assert!(good > 0);
        assert_eq!(bad, [""; 0], "{}", pumasi.messages());
    }
}

#[test]
fn a_refused_reload_changes_nothing_and_says_why() {
    let directory = directory();
    let file = directory.path().join("pumasi.toml");
    let good = configured("one", "ready_timeout = \"20s\"");
    fs::write(&file, &good).expect("writable");
    let pumasi = Pumasi::start(directory.path(), &["run"]);
    let site = pumasi.site();
    let refused = |text: &str, why: &str| {
        fs::write(&file, text).expect("writable");
        let it = run(directory.path(), &["reload"]);
        assert_ne!(it.code, Some(0));
        assert!(it.stderr.contains(why), "{}", it.stderr);
        assert!(get(site, "/").expect("still served").1.starts_with("one "));
    };
    refused(&(good.clone() + "wrokers = 1\n"), "Did you mean \"workers\"?");
    refused(&("state = \"elsewhere\"\n".to_owned() + &good), "a reload cannot change state. Restart Pumasi for that");
    refused(&good.replace("server.py", "no-such-file.py"), "did not get ready, the old ones go on");
    fs::write(&file, &good).expect("writable");
    let it = run(directory.path(), &["reload"]);
    assert_eq!((it.code, it.stderr.as_str()), (Some(0), "reloaded: nothing changed\n"));
}

#[test]
fn status_shows_workers_and_edge() {
    let directory = directory();
    fs::write(directory.path().join("pumasi.toml"), configured("one", "")).expect("writable");
    let pumasi = Pumasi::start(directory.path(), &["run"]);
    let site = pumasi.site();
    get(site, "/").expect("served");
    // The console takes a picture once a second.
    let it = wait_for("a picture of ready workers", || {
        let it = run(directory.path(), &["status"]);
        assert_eq!(it.code, Some(0), "{}", it.stderr);
        (it.stdout.matches(" ready ").count() == 2 && it.stdout.contains("/s, 100.00 % ok")).then_some(it)
    });
    assert!(it.stdout.contains(&site.to_string()) && it.stdout.contains("app.1"), "{}", it.stdout);
    // Memory is looked at once a second too, so the first figures may be of a Python that was still being loaded.
    let status = wait_for("the memory of grown workers", || {
        let json = run(directory.path(), &["status", "--json"]).stdout;
        let status: pumasi_status::Status = serde_json::from_str(&json).expect("JSON");
        let workers: Vec<_> = status.pools[0].upstreams.iter().filter_map(|upstream| upstream.worker.as_ref()).collect();
        assert_eq!(workers.len(), 2);
        workers
            .iter()
            .all(|worker| worker.state == "ready" && worker.memory_bytes > 1_000_000 && worker.pid.is_some())
            .then_some(status.clone())
    });
    assert!(status.edge.traffic.requests_total >= 1, "{:?}", status.edge);
}

#[test]
fn a_drained_worker_gets_nothing_until_it_is_put_back() {
    let directory = directory();
    fs::write(directory.path().join("pumasi.toml"), configured("one", "policy = \"round-robin\"")).expect("writable");
    let pumasi = Pumasi::start(directory.path(), &["run"]);
    let site = pumasi.site();
    let seen = || (0..20).filter_map(|_| get(site, "/").ok()).map(|(_, body)| body).collect::<std::collections::BTreeSet<_>>().len();
    wait_for("both workers to answer", || (seen() == 2).then_some(()));
    let it = run(directory.path(), &["drain", "app.1"]);
    assert_eq!((it.code, it.stderr.as_str()), (Some(0), "app.1 gets no further request; 0 in flight\n"));
    assert_eq!(seen(), 1);
    let it = run(directory.path(), &["drain", "app.1", "--undo"]);
    assert_eq!((it.code, it.stderr.as_str()), (Some(0), "app.1 is back in rotation\n"));
    assert_eq!(seen(), 2);
    let it = run(directory.path(), &["drain", "ap.1"]);
    assert_eq!((it.code, it.stderr.as_str()), (Some(1), "pumasi: no upstream is called \"ap.1\". Did you mean app.1?\n"));
}

#[test]
fn a_weight_changed_at_run_time_counts() {
    let directory = directory();
    let file = directory.path().join("pumasi.toml");
    fs::write(&file, configured("one", "policy = \"round-robin\"")).expect("writable");
    let pumasi = Pumasi::start(directory.path(), &["run"]);
    let site = pumasi.site();
    let shares = || {
        let mut counts = std::collections::BTreeMap::new();
        (0..40).filter_map(|_| get(site, "/").ok()).for_each(|(_, body)| *counts.entry(body).or_insert(0) += 1);
        let mut shares: Vec<u32> = counts.into_values().collect();
        shares.sort_unstable();
        shares
    };
    wait_for("both workers to answer", || (shares() == [20, 20]).then_some(()));
    let it = run(directory.path(), &["weigh", "app.1", "3"]);
    assert_eq!((it.code, it.stderr.as_str()), (Some(0), "app.1 weighs 3 instead of 1, until it is started anew\n"));
    shares(); // those who waited for their turn by the old shares
    assert_eq!(shares(), [10, 30]);
    let it = run(directory.path(), &["weigh", "app.1", "0"]);
    assert_eq!((it.code, it.stderr.as_str()), (Some(1), "pumasi: a weight is from 1 to 1000. To take app.1 out, drain it\n"));
    let it = run(directory.path(), &["weigh", "ap.1", "2"]);
    assert_eq!((it.code, it.stderr.as_str()), (Some(1), "pumasi: no upstream is called \"ap.1\". Did you mean app.1?\n"));
}

#[test]
fn kept_pages_are_given_again_until_they_are_purged() {
    let directory = directory();
    let routed = "[[edge.route]]\npool = \"app\"\npages = \"standard\"\n".to_owned() + &configured("one", "");
    fs::write(directory.path().join("pumasi.toml"), routed).expect("writable");
    let pumasi = Pumasi::start(directory.path(), &["run"]);
    let site = pumasi.site();
    let page = |path: &str| get(site, path).expect("served").1;
    let (a, b) = (page("/kept/a"), page("/kept/b"));
    assert_eq!((page("/kept/a"), page("/kept/b")), (a.clone(), b.clone()), "kept");
    let told = |arguments: &[&str]| {
        let it = run(directory.path(), &[&["purge"], arguments].concat());
        (it.code, it.stderr)
    };
    assert_eq!(told(&["/kept/a"]), (Some(0), "1 page dropped\n".into()));
    assert_ne!(page("/kept/a"), a);
    assert_eq!(page("/kept/b"), b);
    assert_eq!(told(&["--prefix", "/kept/"]), (Some(0), "2 pages dropped\n".into()));
    assert_ne!(page("/kept/b"), b);
    assert_eq!(told(&["--all"]), (Some(0), "1 page dropped\n".into()));
    assert_eq!(told(&["--tag", "nothing"]), (Some(0), "0 pages dropped\n".into()));
    assert_eq!(told(&["kept"]).0, Some(1));
    assert_eq!(told(&[]).0, Some(2));
}

#[test]
fn top_draws_on_a_terminal_only_and_leaves_it_as_it_was() {
    let directory = directory();
    fs::write(directory.path().join("pumasi.toml"), configured("one", "")).expect("writable");
    let pumasi = Pumasi::start(directory.path(), &["run"]);
    pumasi.site();
    let it = run(directory.path(), &["top"]);
    assert_eq!((it.code, it.stdout.as_str()), (Some(2), ""));
    assert!(it.stderr.contains("pumasi status --json"), "{}", it.stderr);
    // Python's pty module gives it a terminal and copies what is drawn.
    let draw = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]))";
    let mut terminal = std::process::Command::new("python3");
    terminal.args(["-c", draw, env!("CARGO_BIN_EXE_pumasi"), "top"]).current_dir(directory.path());
    let mut terminal = terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3");
    let (mut out, mut drawn) = (terminal.stdout.take().expect("piped"), vec![]);
    let mut piece = [0; 4096];
    while !String::from_utf8_lossy(&drawn).contains("Ctrl-C ends.") {
        let read = out.read(&mut piece).expect("readable");
        assert_ne!(read, 0, "{}", String::from_utf8_lossy(&drawn));
        drawn.extend_from_slice(&piece[..read]);
    }
    // Ctrl-C as the keyboard sends it.
    terminal.stdin.take().expect("piped").write_all(b"\x03").expect("writable");
    out.read_to_end(&mut drawn).expect("readable");
    terminal.wait().expect("a child of ours");
    let drawn = String::from_utf8_lossy(&drawn);
    assert!(drawn.starts_with("\x1b[?1049h") && drawn.trim_end().ends_with("\x1b[?1049l"), "{drawn:?}");
    assert!(drawn.contains("pool app") && drawn.contains("app.1"), "{drawn}");
}

#[test]
fn a_reload_adds_moves_and_removes_databases() {
    let directory = directory();
    let free = || TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let (here, there, second) = (free(), free(), free());
    let file = directory.path().join("pumasi.toml");
    let database = |name: &str, at: SocketAddr| format!("[sql.{name}]\nlisten = \"{at}\"\nengine = \"embedded:{name}.db\"\n");
    let write = |databases: String| fs::write(&file, configured("one", "") + &databases).expect("writable");
    // What a MySQL server says first holds its version.
    let greets = |at: SocketAddr| {
        let mut greeting = [0; 64];
        let read = TcpStream::connect(at).and_then(|mut stream| stream.read(&mut greeting));
        read.is_ok() && String::from_utf8_lossy(&greeting).contains("Pumasi")
    };
    let reloaded = |told: &str| {
        let it = run(directory.path(), &["reload"]);
        assert_eq!((it.code, it.stderr), (Some(0), format!("reloaded: {told}\n")));
    };
    write(database("one", here));
    let pumasi = Pumasi::start(directory.path(), &["run"]);
    pumasi.site();
    assert!(greets(here) && !greets(there));
    write(database("one", there) + &database("two", second));
    reloaded("sql.one changed, sql.two added");
    assert!(greets(there) && greets(second) && !greets(here));
    write(database("two", second));
    reloaded("sql.one removed");
    assert!(greets(second) && !greets(there));
    // Its file is free again.
    write(database("one", here) + &database("two", second));
    reloaded("sql.one added");
    assert!(greets(here));
    write(database("one", here) + &database("two", second).replace("two.db", "three.db"));
    let it = run(directory.path(), &["reload"]);
    assert!(it.code == Some(1) && it.stderr.contains("a reload cannot change sql.two.engine"), "{}", it.stderr);
}

// === The demo ===

/// Posts a form and returns the status.
fn post(address: SocketAddr, path: &str, form: &str) -> u16 {
    let mut stream = TcpStream::connect(address).expect("it listens");
    let length = form.len();
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}");
    write!(stream, "{head}\r\nConnection: close\r\n\r\n{form}").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("not HTTP: {answer}"))
}

#[test]
fn the_demo_keeps_its_database_until_told_to_begin_anew() {
    let directory = tempfile::tempdir().expect("a directory");
    let demo = |more: &[&str]| {
        let pumasi = Pumasi::start(directory.path(), &[&["demo", "--workers", "1"], &FREE_PORTS[..], more].concat());
        let site: SocketAddr = pumasi.greeted("Site").trim_start_matches("http://").trim_end_matches('/').parse().expect("an address");
        (pumasi, site)
    };
    let end = |mut pumasi: Pumasi| {
        pumasi.signal(Signal::INT);
        assert_eq!(pumasi.code(), Some(0), "{}", pumasi.messages());
    };
    let front = |site| get(site, "/").expect("served").1;
    let (pumasi, site) = demo(&[]);
    assert_eq!(front(site).matches("href=\"/ask/").count(), 50);
    assert_eq!(post(site, "/ask", "message=is+anybody+there"), 303);
    assert!(front(site).contains("is anybody there"));
    // Found without being named: the demo runs where the user stands.
    assert_eq!(run(directory.path(), &["status"]).code, Some(0));
    end(pumasi);
    let (pumasi, site) = demo(&[]);
    assert!(front(site).contains("is anybody there"), "the second start goes on where the first stopped");
    end(pumasi);
    let (pumasi, site) = demo(&["--fresh"]);
    assert!(!front(site).contains("is anybody there"));
    assert_eq!(front(site).matches("href=\"/ask/").count(), 50);
    end(pumasi);
}
