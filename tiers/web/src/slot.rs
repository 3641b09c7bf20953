//! One worker over its lives: starts it, watches it, starts it again, and ends it when asked.
use std::{
    cell::RefCell,
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use pumasi_balance::{Pool, Upstream};
use pumasi_config::{CommandPlan, Hole, Members, PoolPlan, Template, WorkersPlan};
use pumasi_status as status;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    Setup, View, backoff,
    census::Census,
    lifecycle::{Event, State},
    port,
    probe::{self, Probe},
    process::Process,
};

/// Lines of its output that are shown with a death.
const LAST_LINES: usize = 12;

/// What others may know of a worker.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    pub name: String,
    pub state: State,
    pub address: Option<SocketAddr>,
    pub guardian: Option<u32>,
    /// The worker's own process, known once it has answered.
    pub pid: Option<u32>,
    pub restarts: u64,
    pub ready_after_ms: Option<u64>,
    pub last_exit: Option<String>,
    /// Early deaths in a row.
    pub deaths: u32,
}

impl Shown {
    pub fn status(&self, census: &Census) -> status::Upstream {
        let cost = self.guardian.map(|guardian| census.cost_of_family(guardian)).unwrap_or_default();
        status::Upstream {
            name: self.name.clone(),
            address: self.address.map(|address| address.to_string()).unwrap_or_default(),
            worker: Some(status::Worker {
                state: self.state.name().to_owned(),
                pid: self.pid.or_else(|| census.child_of(self.guardian?)),
                memory_bytes: cost.memory_bytes,
                cpu_ms: cost.cpu_ms,
                descriptors: cost.descriptors,
                descriptors_max: cost.descriptors_max,
                restarts: self.restarts,
                ready_after_ms: self.ready_after_ms,
                last_exit: self.last_exit.clone(),
            }),
            ..status::Upstream::default()
        }
    }
}

/// The workers of one pool as the console shows them. While one replaces another both are there.
pub struct Board {
    pool: String,
    view: Arc<View>,
    shown: RefCell<BTreeMap<(usize, u64), Shown>>,
}

impl Board {
    pub fn new(pool: &str, view: Arc<View>) -> Board {
        Board { pool: pool.to_owned(), view, shown: RefCell::default() }
    }

    fn show(&self, key: (usize, u64), shown: Option<Shown>) {
        let mut all = self.shown.borrow_mut();
        match shown {
            Some(shown) => all.insert(key, shown),
            None => all.remove(&key),
        };
        self.view.publish(&self.pool, all.values().cloned().collect());
    }
}

/// A place for a worker: `app.1`. Its number stays; its processes come and go.
pub struct Slot {
    pub number: usize,
    /// Tells two slots of the same number apart while one replaces the other.
    pub generation: u64,
    /// The newest plan: its time-outs apply at once, its command to the next start.
    pub plan: Rc<RefCell<Arc<PoolPlan>>>,
    pub pool: Arc<Pool>,
    pub setup: Arc<Setup>,
    pub board: Rc<Board>,
    pub shown: watch::Sender<Shown>,
}

impl Slot {
    /// Lives until it is told to leave (`leave` turns true or its sender is gone).
    pub async fn live(self, mut leave: watch::Receiver<bool>) {
        self.show(|shown| *shown = Shown { name: format!("{}.{}", self.pool.name, self.number), ..Shown::default() });
        while !matches!(self.state(), State::Gone | State::GivenUp) {
            self.one_life(&mut leave).await;
            if self.state() == State::BackingOff {
                let pause = backoff::pause(self.shown.borrow().deaths.max(1), dice());
                tokio::select! {
                    () = sleep(pause) => {
                        self.show(|shown| shown.restarts += 1);
                        self.go(Event::PauseOver);
                    }
                    () = asked(&mut leave) => self.go(Event::Leave),
                }
            }
        }
        if self.state() == State::GivenUp {
            asked(&mut leave).await;
            self.go(Event::Leave);
        }
        self.board.show((self.number, self.generation), None);
    }

    /// From start to death, and what follows from it.
    async fn one_life(&self, leave: &mut watch::Receiver<bool>) {
        let born = Instant::now();
        let plan = self.workers_plan();
        let mut answered = false;
        let cause = match self.start(&plan) {
            Ok(Started { mut process, upstream, address, binding, probe }) => {
                self.show(|shown| (shown.address, shown.guardian) = (Some(address), process.guardian()));
                let cause = self.accompany(&mut process, &upstream, probe.as_deref(), leave, born, &plan).await;
                self.pool.leave(&upstream);
                let traffic = upstream.traffic();
                answered = traffic.requests_total > traffic.errors_total;
                // Only now: the worker's last statements must not meet a closed door while it still runs.
                drop(binding);
                let lines = process.tail.last(LAST_LINES);
                if lines.is_empty() { cause } else { format!("{cause}; its last lines:\n  {}", lines.join("\n  ")) }
            }
            Err(cause) => cause,
        };
        let asked_to = matches!(self.state(), State::Draining | State::Stopping);
        // One that has answered works: what killed it (an operator, a poisonous request) is no reason to give it up.
        let early = born.elapsed() < plan.stable_after && !answered;
        let deaths = if early { self.shown.borrow().deaths + 1 } else { 0 };
        self.show(|shown| (shown.guardian, shown.pid, shown.deaths, shown.last_exit) = (None, None, deaths, Some(cause.clone())));
        self.go_exit(deaths, &plan);
        let lived = format!("{:.1} s", born.elapsed().as_secs_f64());
        match self.state() {
            _ if asked_to => self.event("info", "stopped"),
            State::GivenUp => self.event("error", &format!("given up after {deaths} deaths in a row: it {cause}")),
            _ => self.event("warn", &format!("died after {lived} and will be started again: it {cause}")),
        }
    }

    fn start(&self, plan: &WorkersPlan) -> Result<Started, String> {
        let name = self.shown.borrow().name.clone();
        let binding = self.setup.resources.bind(&name).map_err(|error| format!("could not be given its addresses: {error}"))?;
        let probe =
            self.setup.probes.of(&self.plan.borrow()).map_err(|error| format!("could not be probed, so was not started: {error}"))?;
        let port = port::free().ok_or("could not be started: no port between 20000 and 32000 is free")?;
        let fill = |template: &Template| {
            template.fill(|hole| match hole {
                Hole::Port => port.to_string(),
                Hole::WorkerNumber => self.number.to_string(),
                Hole::Env(variable) => std::env::var(variable).unwrap_or_default(),
                // That the tier exists was checked with the configuration.
                Hole::SqlHost(_) | Hole::SqlPort(_) => binding.fill(hole).unwrap_or_default(),
            })
        };
        let words = match &plan.command {
            CommandPlan::Shell(line) => vec!["/bin/sh".into(), "-c".into(), line.clone()],
            CommandPlan::Program(words) => words.iter().map(fill).collect(),
        };
        let mut env: BTreeMap<String, String> = plan.env.iter().map(|(key, template)| (key.clone(), fill(template))).collect();
        env.insert("PORT".into(), port.to_string());
        let process = Process::start(&self.setup.guardian, &name, &words, &env, &plan.directory, &self.setup.journal)
            .map_err(|error| format!("could not be started: {error}"))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let upstream = Arc::new(Upstream::new(name, address, 1, binding.witness()));
        Ok(Started { process, upstream, address, binding, probe })
    }

    /// Walks the lifecycle beside a running process until that process is gone; says how it ended.
    async fn accompany(
        &self,
        process: &mut Process,
        upstream: &Arc<Upstream>,
        probe: Option<&dyn Probe>,
        leave: &mut watch::Receiver<bool>,
        born: Instant,
        plan: &WorkersPlan,
    ) -> String {
        let mut looked = false;
        loop {
            match self.state() {
                State::Starting => {
                    let guardian = process.guardian();
                    tokio::select! {
                        cause = process.ended() => return cause,
                        () = asked(leave) => self.go(Event::Leave),
                        () = self.worker_answered(upstream, probe, guardian) => {
                            let after = born.elapsed();
                            let pid = guardian.and_then(|guardian| Census::now().child_of(guardian));
                            self.show(|shown| (shown.ready_after_ms, shown.pid) = (Some(after.as_millis() as u64), pid));
                            self.pool.join(upstream.clone());
                            self.go(Event::ProbeAnswered);
                            self.event("info", &format!("ready at {} after {:.1} s", upstream.address, after.as_secs_f64()));
                        }
                        () = sleep_until(born + LOOK_WHERE_IT_LISTENS_AFTER), if !looked => {
                            looked = true;
                            if let Some(elsewhere) = listens_elsewhere(guardian, upstream.address) {
                                self.event("warn", &elsewhere);
                            }
                        }
                        () = sleep_until(born + plan.ready_timeout) => {
                            self.go(Event::TooSlow);
                            let elsewhere = listens_elsewhere(guardian, upstream.address).map_or(String::new(), |text| format!("; it {text}"));
                            self.end(process).await;
                            let asked = self.plan.borrow().probe.as_ref().map_or_else(|| "accept a connection".to_owned(), |probe| probe.wish());
                            let within = plan.ready_timeout.as_secs_f64();
                            return format!("did not {asked} on its $PORT within {within} s and was stopped{elsewhere}");
                        }
                    }
                }
                State::Ready => tokio::select! {
                    cause = process.ended() => return cause,
                    () = asked(leave) => {
                        self.pool.leave(upstream);
                        self.go(Event::Leave);
                    }
                },
                State::Draining => tokio::select! {
                    cause = process.ended() => return cause,
                    () = drained(upstream, self.setup.drain_timeout) => self.go(Event::Drained),
                },
                State::Stopping | State::BackingOff | State::GivenUp | State::Gone => return self.end(process).await,
            }
        }
    }

    /// Waits for the probe's answer, and for it to come from this worker: somebody else may have taken the port meanwhile, and then
    /// the worker is about to die of it.
    async fn worker_answered(&self, upstream: &Upstream, probe: Option<&dyn Probe>, guardian: Option<u32>) {
        loop {
            probe::answered(upstream, probe).await;
            let family = guardian.map(|guardian| Census::now().family_of(guardian)).unwrap_or_default();
            if port::belongs_to(upstream.address.port(), &family) != Some(false) {
                return;
            }
            sleep(probe::EVERY).await;
        }
    }

    /// TERM, patience, KILL.
    async fn end(&self, process: &mut Process) -> String {
        let patience = self.workers_plan().stop_timeout;
        process.terminate().await;
        if let Ok(cause) = tokio::time::timeout(patience, process.ended()).await {
            return cause;
        }
        self.event("warn", &format!("did not end within {} s of TERM: killed", patience.as_secs_f64()));
        process.kill().await;
        process.ended().await
    }

    fn workers_plan(&self) -> WorkersPlan {
        match &self.plan.borrow().members {
            Members::Workers(plan) => plan.clone(),
            Members::Upstreams(_) => unreachable!("a slot is only made for a pool of workers"),
        }
    }

    fn state(&self) -> State {
        self.shown.borrow().state
    }

    fn go_exit(&self, deaths: u32, plan: &WorkersPlan) {
        self.show(|shown| shown.state = shown.state.next(Event::Exited { deaths }, plan.early_deaths_max));
    }

    fn go(&self, event: Event) {
        self.show(|shown| shown.state = shown.state.next(event, u32::MAX));
    }

    fn show(&self, change: impl FnOnce(&mut Shown)) {
        self.shown.send_modify(change);
        self.board.show((self.number, self.generation), Some(self.shown.borrow().clone()));
    }

    fn event(&self, level: &'static str, message: &str) {
        let name = self.shown.borrow().name.clone();
        self.setup.journal.event(level, &format!("worker {name}"), message);
    }
}

struct Started {
    process: Process,
    upstream: Arc<Upstream>,
    address: SocketAddr,
    binding: Box<dyn crate::Binding>,
    probe: Option<Box<dyn Probe>>,
}

/// By then most applications listen, and somebody who tries Pumasi for the first time still looks at the terminal.
const LOOK_WHERE_IT_LISTENS_AFTER: Duration = Duration::from_secs(3);

/// Says so if the worker listens, but not where it was told to: the most common mistake with an application that is new here.
fn listens_elsewhere(guardian: Option<u32>, wanted: SocketAddr) -> Option<String> {
    let there = port::listened_on_by(&Census::now().family_of(guardian?));
    if there.is_empty()
        || there.iter().any(|address| address.port() == wanted.port() && !address.ip().is_loopback())
        || there.contains(&wanted)
    {
        return None;
    }
    let there = there.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(" and ");
    Some(format!("listens on {there}, not on {wanted}: make it listen on 127.0.0.1 and the port in $PORT, which is {}", wanted.port()))
}

/// Waits until `leave` is true; a lost sender means the same.
async fn asked(leave: &mut watch::Receiver<bool>) {
    let _ = leave.wait_for(|leave| *leave).await;
}

/// Waits until nothing is in flight at an upstream that has left its pool, or until the deadline.
///
/// A core that looked at the pool just before the upstream left may still be about to send it one request: so it must be idle twice in a row.
async fn drained(upstream: &Upstream, deadline: Duration) {
    const LOOK_EVERY: Duration = Duration::from_millis(25);
    let idle_twice = async {
        let mut idle = 0;
        while idle < 2 {
            sleep(LOOK_EVERY).await;
            idle = if upstream.in_flight() == 0 { idle + 1 } else { 0 };
        }
    };
    let _ = tokio::time::timeout(deadline, idle_twice).await;
}

/// Uniform in 0..1; only spreads restarts, so the standard library's own hasher keys are random enough.
fn dice() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    (RandomState::new().hash_one(0) >> 11) as f64 / (1u64 << 53) as f64
}
