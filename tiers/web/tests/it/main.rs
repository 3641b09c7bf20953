//! The supervisor with real processes: small shell and Python programs stand for the application.
use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use pumasi_balance::{Choice, Outcome, Pool, Upstream};
use pumasi_config::{BalancePolicy, CommandPlan, HashBy, Hole, HttpProbe, Members, PoolPlan, ProbeAsks, ProbePlan, Template, WorkersPlan};
use pumasi_freshness::Witness;
use pumasi_web::{Binding, GuardianProgram, Journal, Probe, Probes, Resources, Setup, Web};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// An HTTP server of a few lines that answers its own version, and `/slow` after a while.
const SERVER: &str = r#"
import http.server, os, signal, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path == "/slow":
            time.sleep(0.5)
        body = (os.environ.get("VERSION", "?") + " " + os.environ.get("SEEN", "")).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler)
print("listening", flush=True)
signal.signal(signal.SIGTERM, lambda *a: os._exit(0))
server.serve_forever()
"#;

#[derive(Default)]
struct Notes {
    lines: Mutex<Vec<String>>,
    events: Mutex<Vec<String>>,
}

impl Journal for Notes {
    fn line(&self, worker: &str, line: &str) {
        self.lines.lock().expect("no test panics here").push(format!("{worker}: {line}"));
    }
    fn event(&self, level: &'static str, subject: &str, message: &str) {
        self.events.lock().expect("no test panics here").push(format!("{level} {subject} {message}"));
    }
}

struct OwnPorts;
struct OwnPort(String);

impl Resources for OwnPorts {
    fn bind(&self, worker: &str) -> Result<Box<dyn Binding>, String> {
        Ok(Box::new(OwnPort(worker.to_owned())))
    }
}

impl Binding for OwnPort {
    fn fill(&self, hole: &Hole) -> Option<String> {
        Some(format!("{hole} of {}", self.0))
    }
    fn witness(&self) -> Option<Arc<Witness>> {
        None
    }
}

/// A GET of the probe's path, well if it is answered 200: what a worker is asked is the edge's, and tested there and with the whole binary.
struct Gets;

impl Probes for Gets {
    fn of(&self, pool: &PoolPlan) -> Result<Option<Box<dyn Probe>>, String> {
        Ok(pool.probe.as_ref().map(|_| Box::new(Gets) as Box<dyn Probe>))
    }
}

impl Probe for Gets {
    fn ask<'a>(&'a self, upstream: &'a Upstream) -> Pin<Box<dyn Future<Output = bool> + 'a>> {
        let get = async {
            let mut connection = tokio::net::TcpStream::connect(upstream.address).await?;
            connection.write_all(b"GET / HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n").await?;
            let mut line = [0; 12];
            connection.read_exact(&mut line).await?;
            std::io::Result::Ok(line == *b"HTTP/1.1 200")
        };
        Box::pin(async { tokio::time::timeout(Duration::from_secs(1), get).await.is_ok_and(|answered| answered.is_ok_and(|well| well)) })
    }
}

struct House {
    web: Option<Web>,
    pool: Arc<Pool>,
    plan: PoolPlan,
    notes: Arc<Notes>,
}

impl House {
    fn start(command: CommandPlan, change: impl FnOnce(&mut PoolPlan, &mut WorkersPlan)) -> House {
        let mut workers = WorkersPlan {
            command,
            workers: 1,
            env: BTreeMap::from([("VERSION".into(), Template::literal("one"))]),
            directory: std::env::temp_dir(),
            ready_timeout: Duration::from_secs(20),
            stop_timeout: Duration::from_secs(5),
            early_deaths_max: 3,
            stable_after: Duration::from_secs(60),
        };
        let mut plan = PoolPlan {
            resolve_every: Duration::from_secs(30),
            wire: Default::default(),
            sticky: None,
            name: "app".into(),
            members: Members::Upstreams(vec![]),
            policy: BalancePolicy::RoundRobin,
            probe: Some(ProbePlan {
                asks: ProbeAsks::Http(HttpProbe { path: "/".into(), host: None, status_min: 200, status_max: 399, contains: None }),
                every: Duration::from_secs(1),
                timeout: Duration::from_secs(1),
            }),
            eject_after: 3,
            eject_for: Duration::from_secs(1),
            concurrency_max: None,
            queue_max: 10,
            queue_timeout: Duration::from_secs(1),
            attribution: Default::default(),
            hash_by: HashBy::Address,
            hash_bound_percent: None,
            slow_start: Duration::ZERO,
            ejected_percent_max: 80,
            retry_percent: 20,
        };
        change(&mut plan, &mut workers);
        plan.members = Members::Workers(workers);
        let (pool, notes) = (Arc::new(Pool::new("app")), Arc::new(Notes::default()));
        let setup = Setup {
            resources: Arc::new(OwnPorts),
            probes: Arc::new(Gets),
            journal: notes.clone(),
            guardian: GuardianProgram { program: env!("CARGO_BIN_EXE_guardian").into() },
            drain_timeout: Duration::from_secs(10),
        };
        let web = Web::start(BTreeMap::from([("app".into(), plan.clone())]), BTreeMap::from([("app".into(), pool.clone())]), setup);
        House { web: Some(web.expect("the control thread starts")), pool, plan, notes }
    }

    fn python(change: impl FnOnce(&mut PoolPlan, &mut WorkersPlan)) -> House {
        House::start(CommandPlan::Program(["python3", "-c", SERVER].map(Template::literal).to_vec()), change)
    }

    fn shell(line: &str, change: impl FnOnce(&mut PoolPlan, &mut WorkersPlan)) -> House {
        House::start(CommandPlan::Shell(line.into()), change)
    }

    fn web(&self) -> &Web {
        self.web.as_ref().expect("not stopped yet")
    }

    fn ready(self) -> House {
        self.web().wait_ready(Duration::from_millis(10), || false).unwrap_or_else(|error| panic!("{error}\n{:#?}", self.notes.lines));
        self
    }

    fn reload(&self, change: impl FnOnce(&mut WorkersPlan)) -> Result<pumasi_web::Rollout, pumasi_web::RolloutError> {
        let mut plan = self.plan.clone();
        let Members::Workers(workers) = &mut plan.members else { unreachable!("made of workers above") };
        change(workers);
        let plans = BTreeMap::from([("app".into(), plan)]);
        self.web().reload(plans, BTreeMap::from([("app".into(), self.pool.clone())])).blocking_recv().expect("the control thread answers")
    }

    fn pid(&self, index: usize) -> u32 {
        let mut pid = None;
        wait_until("the worker has a process", || {
            pid = self.web().status()[0].upstreams.get(index).and_then(|upstream| upstream.worker.as_ref()?.pid);
            pid.is_some()
        });
        pid.expect("waited for")
    }

    fn state(&self, index: usize) -> String {
        self.web().status()[0].upstreams[index].worker.as_ref().expect("a worker").state.clone()
    }
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < until, "never: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

fn alive(pid: u32) -> bool {
    // A zombie that waits for its parent is not alive.
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(')').expect("proc_pid_stat(5)").1.starts_with(" Z"))
}

fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut connection = TcpStream::connect(address)?;
    write!(connection, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
    Ok(body.to_owned())
}

/// What a core of the edge does: choose, count in, ask, count out.
fn through(pool: &Arc<Pool>, path: &str) -> std::io::Result<String> {
    match pool.choose(None, &[], Instant::now()) {
        pumasi_balance::Choice::Use(lease) => {
            let answer = get(lease.upstream().address, path);
            lease.end(pumasi_balance::Outcome::Ok { latency: Duration::ZERO }, Instant::now());
            answer
        }
        _ => Err(std::io::Error::other("nobody takes requests")),
    }
}

fn pids_in(file: &Path) -> Vec<u32> {
    let mut pids = vec![];
    wait_until("the family wrote its numbers", || {
        pids = std::fs::read_to_string(file).unwrap_or_default().lines().filter_map(|line| line.parse().ok()).collect();
        pids.len() >= 2
    });
    pids
}

#[test]
fn workers_join_when_they_answer_and_know_what_they_were_given() {
    let house = House::python(|_, workers| {
        workers.workers = 3;
        workers.env.insert("SEEN".into(), Template::parse("${worker.number} ${sql.main.port}").expect("good holes"));
    })
    .ready();
    wait_until("all three joined", || house.pool.upstreams().len() == 3);
    let mut answers: Vec<String> = house.pool.upstreams().iter().map(|upstream| get(upstream.address, "/").expect("it answers")).collect();
    answers.sort();
    assert_eq!(answers, [1, 2, 3].map(|n| format!("one {n} ${{sql.main.port}} of app.{n}")));
    let status = house.web().status();
    let worker = status[0].upstreams[0].worker.as_ref().expect("a worker");
    assert!(worker.memory_bytes > 1 << 20, "a Python process needs more than a megabyte: {worker:?}");
    assert!(house.notes.lines.lock().expect("no panic").contains(&"app.1: listening".to_owned()));
}

#[test]
fn a_worker_that_dies_leaves_the_pool_and_comes_back() {
    let house = House::python(|_, _| {}).ready();
    let first = house.pid(0);
    kill(first, "KILL");
    wait_until("it comes back as another process", || house.state(0) == "ready" && house.pid(0) != first);
    let status = house.web().status();
    let worker = status[0].upstreams[0].worker.clone().expect("a worker");
    assert_eq!(worker.restarts, 1);
    assert!(worker.last_exit.expect("it died").contains("signal 9"));
    assert_eq!(house.pool.upstreams().len(), 1);
}

#[test]
fn one_that_dies_early_is_given_up_with_its_last_words() {
    let house = House::shell("echo cannot find the database >&2; exit 3", |_, _| {});
    let failed = house.web().wait_ready(Duration::from_millis(10), || false).expect_err("it can never be ready");
    assert_eq!(failed.pool, "app");
    assert!(failed.cause.contains("exit code 3") && failed.cause.contains("cannot find the database"), "{failed}");
    assert_eq!(house.state(0), "given up");
    let given_up = |event: &String| event.starts_with("error worker app.1 given up after 3 deaths");
    assert!(house.notes.events.lock().expect("no panic").iter().any(given_up), "{:?}", house.notes.events);
}

#[test]
fn one_that_has_answered_is_not_given_up_for_dying_young() {
    let house = House::python(|_, workers| workers.early_deaths_max = 1).ready();
    let Choice::Use(lease) = house.pool.choose(None, &[], Instant::now()) else { panic!("one is ready") };
    lease.end(Outcome::Ok { latency: Duration::from_millis(1) }, Instant::now());
    let first = house.pid(0);
    kill(first, "KILL");
    wait_until("it comes back as another process", || house.state(0) == "ready" && house.pid(0) != first);
    // The new process has answered nothing yet.
    kill(house.pid(0), "KILL");
    wait_until("it is given up", || house.state(0) == "given up");
}

#[test]
fn a_command_that_does_not_exist_says_so() {
    let house = House::start(CommandPlan::Program(vec![Template::literal("no-such-program")]), |_, _| {});
    let failed = house.web().wait_ready(Duration::from_millis(10), || false).expect_err("there is no such program");
    assert!(failed.cause.contains("cannot run \"no-such-program\"") && failed.cause.contains("PATH"), "{failed}");
}

#[test]
fn one_that_listens_elsewhere_is_told_where() {
    let elsewhere = SERVER.replace("int(os.environ[\"PORT\"])", "0").replace("\"listening\"", "server.server_port");
    let command = CommandPlan::Program(["python3", "-c", &elsewhere].map(Template::literal).to_vec());
    let house = House::start(command, |_, workers| {
        workers.ready_timeout = Duration::from_secs(5);
        workers.early_deaths_max = 1;
    });
    let failed = house.web().wait_ready(Duration::from_millis(10), || false).expect_err("it listens on a port of its own");
    let lines = house.notes.lines.lock().expect("no panic");
    let port = lines.first().and_then(|line| line.rsplit(' ').next()).expect("it says where");
    assert!(failed.cause.contains(&format!("it listens on 127.0.0.1:{port}, not on 127.0.0.1:")), "{failed}");
    let hint = |event: &String| event.starts_with(&format!("warn worker app.1 listens on 127.0.0.1:{port}, "));
    assert!(house.notes.events.lock().expect("no panic").iter().any(hint), "{:?}", house.notes.events);
}

#[test]
fn one_that_never_answers_is_stopped_at_its_deadline() {
    let house = House::shell("sleep 600", |_, workers| {
        workers.ready_timeout = Duration::from_millis(300);
        workers.early_deaths_max = 1;
    });
    let failed = house.web().wait_ready(Duration::from_millis(10), || false).expect_err("it never listens");
    assert!(failed.cause.contains("did not answer GET / on its $PORT within 0.3 s"), "{failed}");
}

#[test]
fn one_that_ignores_term_is_killed() {
    let house = House::shell("trap '' TERM; echo armed; while :; do sleep 0.05; done", |plan, workers| {
        plan.probe = None;
        workers.stop_timeout = Duration::from_millis(200);
    });
    wait_until("it ignores TERM", || house.notes.lines.lock().expect("no panic").iter().any(|line| line.ends_with("armed")));
    let pid = house.pid(0);
    let House { web, notes, .. } = house;
    web.expect("not stopped").stop();
    assert!(!alive(pid));
    assert!(notes.events.lock().expect("no panic").iter().any(|event| event.contains("did not end within 0.2 s of TERM: killed")));
}

#[test]
fn grandchildren_end_with_the_worker() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("pids");
    // One grandchild in the background, one that left the session as daemons do.
    let line = format!("sleep 600 & echo $! >> {0}; setsid sh -c 'echo $$ >> {0}; exec sleep 600' & exec sleep 601", file.display());
    let house = House::shell(&line, |plan, _| plan.probe = None);
    let family = pids_in(&file);
    assert!(family.iter().all(|pid| alive(*pid)));
    house.web.expect("not stopped").stop();
    assert!(family.iter().all(|pid| !alive(*pid)), "somebody is left of {family:?}");
}

#[test]
fn nothing_is_left_when_the_supervisor_is_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("pids");
    let line = format!("sleep 600 & echo $! >> {0}; setsid sh -c 'echo $$ >> {0}; exec sleep 600' & exec sleep 601", file.display());
    // A guardian whose lifeline is held by a process that is then killed: what the kernel does when Pumasi is killed.
    let mut holder = std::process::Command::new("sleep").arg("600").stdout(std::process::Stdio::piped()).spawn().expect("sleep");
    let mut guardian = std::process::Command::new(env!("CARGO_BIN_EXE_guardian"))
        .args(["worker-guardian", "/bin/sh", "-c", &line])
        .stdin(holder.stdout.take().expect("piped"))
        .spawn()
        .expect("the guardian starts");
    let family = pids_in(&file);
    assert!(family.iter().all(|pid| alive(*pid)));
    holder.kill().expect("it runs");
    holder.wait().expect("it ends");
    guardian.wait().expect("the guardian ends by itself");
    assert!(family.iter().all(|pid| !alive(*pid)), "somebody is left of {family:?}");
}

#[test]
fn a_killed_guardian_takes_its_worker_along_and_both_come_back() {
    let house = House::python(|_, _| {}).ready();
    let worker = house.pid(0);
    let stat = std::fs::read_to_string(format!("/proc/{worker}/stat")).expect("it runs");
    let guardian: u32 =
        stat.rsplit_once(')').expect("proc_pid_stat(5)").1.split_whitespace().nth(1).expect("parent").parse().expect("a number");
    kill(guardian, "KILL");
    wait_until("the worker is gone", || !alive(worker));
    wait_until("another is ready", || house.state(0) == "ready" && house.pid(0) != worker);
}

#[test]
fn a_reload_replaces_workers_without_a_failed_request() {
    let house = House::python(|_, workers| workers.workers = 2).ready();
    wait_until("both joined", || house.pool.upstreams().len() == 2);
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|n| {
            let (pool, stop) = (house.pool.clone(), stop.clone());
            std::thread::spawn(move || {
                let (mut good, mut bad) = (0, vec![]);
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    match through(&pool, if n == 0 { "/slow" } else { "/" }) {
                        Ok(_) => good += 1,
                        Err(error) => bad.push(error.to_string()),
                    }
                }
                (good, bad)
            })
        })
        .collect();
    let rollout = house.reload(|workers| {
        workers.env.insert("VERSION".into(), Template::literal("two"));
    });
    assert_eq!(rollout.expect("the new version comes up").replaced, 2);
    assert_eq!(through(&house.pool, "/").expect("it answers"), "two ");
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    for client in clients {
        let (good, bad) = client.join().expect("no panic");
        assert!(good > 0 && bad.is_empty(), "{good} good, failed: {bad:?}");
    }
    assert_eq!(house.pool.upstreams().len(), 2);
}

#[test]
fn a_new_version_that_does_not_start_changes_nothing() {
    let house = House::python(|_, workers| workers.workers = 2).ready();
    wait_until("both joined", || house.pool.upstreams().len() == 2);
    let before: Vec<SocketAddr> = house.pool.upstreams().iter().map(|upstream| upstream.address).collect();
    let error = house.reload(|workers| workers.command = CommandPlan::Shell("echo broken; exit 1".into())).expect_err("it cannot start");
    assert!(error.to_string().contains("the old ones go on") && error.to_string().contains("broken"), "{error}");
    assert_eq!(house.pool.upstreams().iter().map(|upstream| upstream.address).collect::<Vec<_>>(), before);
    assert_eq!(through(&house.pool, "/").expect("the old ones go on"), "one ");
}

#[test]
fn a_reload_changes_the_number() {
    let house = House::python(|_, _| {}).ready();
    assert_eq!(house.reload(|workers| workers.workers = 3).expect("more").started, 2);
    wait_until("three joined", || house.pool.upstreams().len() == 3);
    assert_eq!(house.reload(|workers| workers.workers = 1).expect("fewer").stopped, 2);
    assert_eq!(house.pool.upstreams().len(), 1);
    assert_eq!(house.pool.upstreams()[0].name, "app.1");
}

fn kill(pid: u32, signal: &str) {
    let done = std::process::Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status().expect("kill(1)");
    assert!(done.success(), "no process {pid}");
}
