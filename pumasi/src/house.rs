//! The running tiers and how they hang together: start, picture, reload, stop.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, bail};
use arc_swap::ArcSwap;
use pumasi_balance::{Pool, Upstream};
use pumasi_config::{BalancePolicy, Loaded, Members, Plan, PoolPlan, Setting, Source};
use pumasi_console::otlp::{Collector, Exporter};
use pumasi_edge::{Edge, EdgeConfig, OpenSocket, PoolConfig, Purge, PurgeKind, Purged, Successor};
use pumasi_status::Status;
use pumasi_trace::Tap;
use pumasi_web::{GuardianProgram, OWN_PROGRAM, Setup, Web};

use crate::{
    addresses,
    configuration::Configuration,
    databases::{ClusterOrder, Databases},
    diary::Diary,
    failure::Failure,
    host,
    load_desk::LoadDesk,
    logging::Logging,
    own_process,
    probes::EdgeProbes,
    recording::Recorder,
    reload, sticky_key,
    stop::Wish,
    upgrade::sockets::{EDGE, Socket, Sockets},
};

/// Everything that runs but the console, which shows it.
///
/// Started from the inside out (databases, workers, edge) and stopped from the outside in, so that whoever calls finds whom it calls.
pub struct House {
    configuration: Configuration,
    logging: Arc<Logging>,
    diary: Arc<Diary>,
    started: Instant,
    databases: Arc<Databases>,
    web: Web,
    /// `None` if nothing listens (a configuration of databases only), or once it was drained.
    edge: Mutex<Option<Edge>>,
    /// Replaced whole by a reload.
    current: Arc<ArcSwap<Current>>,
    /// Dropped with the house: ends the thread that closes a second of all rates every second.
    _seconds: mpsc::Sender<()>,
    /// Held through a whole reload: one at a time.
    reloading: Mutex<()>,
    load_desk: LoadDesk,
    recorder: Arc<Recorder>,
    /// Ends before the tiers do: `None` without a collector.
    exporter: Mutex<Option<Exporter>>,
    /// Where the one who runs the house hears what is asked of it.
    wishes: mpsc::Sender<Wish>,
}

/// What a house is started with.
pub struct Foundation {
    /// To read it again.
    pub configuration: Configuration,
    pub plan: Plan,
    /// Every value of the plan with where it was written.
    pub settings: Vec<(Setting, String)>,
    pub databases: Arc<Databases>,
    pub logging: Arc<Logging>,
    pub diary: Arc<Diary>,
    /// Sockets that listen already.
    pub sockets: Vec<OpenSocket>,
    pub wishes: mpsc::Sender<Wish>,
}

/// What runs, and the shared pools that tie the web tier to the edge.
struct Current {
    plan: Plan,
    pools: Pools,
    settings: Vec<(Setting, String)>,
}

type Pools = BTreeMap<String, Arc<Pool>>;

impl House {
    /// Starts every tier. The workers may still be starting when it returns: see [`House::wait_ready`]. No connection is accepted before
    /// [`House::open`].
    pub fn start(foundation: Foundation) -> Result<House, Failure> {
        let Foundation { configuration, plan, settings, databases, logging, diary, sockets, wishes } = foundation;
        let pools: Pools = plan.pools.keys().map(|name| (name.clone(), Arc::new(Pool::new(name)))).collect();
        let setup = Setup {
            resources: databases.clone(),
            probes: Arc::new(EdgeProbes),
            journal: diary.clone(),
            guardian: GuardianProgram { program: OWN_PROGRAM.into() },
            drain_timeout: plan.edge.limits.drain_timeout,
        };
        let web = Web::start(plan.pools.clone(), pools.clone(), setup).context("cannot start the supervisor's thread")?;
        let edge = match plan.edge.listen.is_empty() {
            true => None,
            false => {
                let config = EdgeConfig {
                    plan: plan.edge.clone(),
                    pools: pool_configs(&plan, &pools),
                    access_log: Box::new(std::io::stderr()),
                    freshness: databases.freshness(),
                };
                Some(Edge::prepare(config, sockets)?)
            }
        };
        let tap = edge.as_ref().map(Edge::tap);
        let exporter = start_exporter(&plan, tap.as_ref())?;
        let recorder = Arc::new(Recorder::new(tap));
        let load_desk = LoadDesk::new(plan.state.clone(), diary.clone());
        let current = Arc::new(ArcSwap::from_pointee(Current { plan, pools, settings }));
        Ok(House {
            load_desk,
            _seconds: count_seconds(current.clone(), databases.clone(), recorder.clone())?,
            recorder,
            exporter: Mutex::new(exporter),
            configuration,
            logging,
            diary,
            started: Instant::now(),
            databases,
            web,
            edge: Mutex::new(edge),
            current,
            reloading: Mutex::new(()),
            wishes,
        })
    }

    /// Accepts connections from now on.
    pub fn open(&self) {
        self.with_edge(Edge::open);
    }

    /// Waits until every pool has a worker that takes requests. `Ok(false)`: `interrupted` said to stop waiting.
    pub fn wait_ready(&self, interrupted: impl Fn() -> bool) -> Result<bool, Failure> {
        const LOOK_EVERY: Duration = Duration::from_millis(50);
        Ok(self.web.wait_ready(LOOK_EVERY, interrupted)?)
    }

    /// Where the edge listens, with the ports that were really taken.
    pub fn edge_addresses(&self) -> Vec<std::net::SocketAddr> {
        self.with_edge(Edge::addresses).unwrap_or_default()
    }

    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    pub fn load_desk(&self) -> &LoadDesk {
        &self.load_desk
    }

    pub fn databases(&self) -> &Databases {
        &self.databases
    }

    /// Drains and stops every tier, from the outside in. Idle connections may send one more request within `linger`; zero, unless another
    /// process has taken over.
    pub fn stop(&self, linger: Duration) {
        // There may be none; what it measured so far is kept.
        let _ = self.load_desk.stop();
        let deadline = self.current.load().plan.edge.limits.drain_timeout;
        let edge = self.edge.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(edge) = edge {
            let cut = edge.drain_lingering(deadline, linger.min(deadline / 2));
            if cut > 0 {
                self.diary.note("warn", "edge", &format!("{cut} connections were cut: they did not end within {} s", deadline.as_secs()));
            }
        }
        // The last requests are told as well.
        drop(self.exporter.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.web.stop();
        self.databases.stop();
    }

    fn with_edge<T>(&self, ask: impl FnOnce(&Edge) -> T) -> Option<T> {
        self.edge.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(ask)
    }
}

/// Tells a collector of single requests, where the plan names one.
fn start_exporter(plan: &Plan, tap: Option<&Arc<Tap>>) -> anyhow::Result<Option<Exporter>> {
    let (Some((authority, path)), Some(tap)) = (plan.trace.collector.clone(), tap) else { return Ok(None) };
    let collector = Collector { authority, path };
    let started = Exporter::start(collector, tap.clone(), plan.trace.one_in, env!("CARGO_PKG_VERSION"));
    started.map(Some).context("cannot start the thread that exports traces")
}

fn count_seconds(current: Arc<ArcSwap<Current>>, databases: Arc<Databases>, recorder: Arc<Recorder>) -> anyhow::Result<mpsc::Sender<()>> {
    let (seconds, ended) = mpsc::channel();
    let count = move || {
        while let Err(mpsc::RecvTimeoutError::Timeout) = ended.recv_timeout(Duration::from_secs(1)) {
            let now = Instant::now();
            current.load().pools.values().for_each(|pool| pool.tick(now));
            databases.tick(now);
            recorder.tick(now);
        }
    };
    thread::Builder::new().name("seconds".into()).spawn(count).context("cannot start a thread")?;
    Ok(seconds)
}

// === Reload ===

impl House {
    /// Reads the configuration again and makes the house what it says, or changes nothing and says why.
    pub fn reload(&self) -> Result<String, Failure> {
        let outcome = self.try_reload();
        match &outcome {
            Ok(done) => self.diary.note("info", "configuration", done),
            Err(failure) => self.diary.note("error", "configuration", &format!("reload refused: {}", failure.text())),
        }
        outcome
    }

    fn try_reload(&self) -> Result<String, Failure> {
        let _alone = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.current.load_full();
        let (source, mut loaded) = self.configuration.load()?;
        // Only where the state directory is still the same: else the check below refuses the change.
        if loaded.plan.state == now.plan.state {
            sticky_key::fill_in(&mut loaded.plan)?;
        }
        check_reload(&now.plan, &source, &loaded)?;
        let changes = reload::changes(&now.plan, &loaded.plan);
        if changes.is_empty() {
            return Ok("reloaded: nothing changed".into());
        }
        let then = Current { settings: placed(&source, &loaded), pools: pools_for(&loaded.plan, &now.pools), plan: loaded.plan };
        self.become_(&now, then)?;
        Ok(format!("reloaded: {}", changes.join(", ")))
    }

    /// The order lets every request find whom it needs: databases before the workers that use them, new workers before the routes that
    /// lead to them, and what is dropped goes last. On an error what was started for the new configuration goes again.
    fn become_(&self, now: &Current, then: Current) -> Result<(), Failure> {
        self.databases.add(&then.plan.sql, &mut Sockets::default())?;
        if let Err(failure) = self.roll_out(both(&now.plan, &then.plan), union(&now.pools, &then.pools)) {
            self.roll_out(now.plan.pools.clone(), now.pools.clone()).context("and the old workers could not be brought back")?;
            self.databases.keep(&now.plan.sql);
            return Err(failure.into());
        }
        if let Some(Err(error)) = self.with_edge(|edge| edge.reload(&then.plan.edge, pool_configs(&then.plan, &then.pools))) {
            self.roll_out(now.plan.pools.clone(), now.pools.clone()).context("and the old workers could not be brought back")?;
            self.databases.keep(&now.plan.sql);
            return Err(error.into());
        }
        // The new configuration is in force now, whatever becomes of what it drops.
        if let Err(error) = self.roll_out(then.plan.pools.clone(), then.pools.clone()) {
            self.diary.note("warn", "configuration", &format!("what the new configuration drops is still running: {error:#}"));
        }
        self.databases.keep(&then.plan.sql);
        self.logging.set_level(&then.plan.log);
        self.current.store(Arc::new(then));
        Ok(())
    }

    fn roll_out(&self, plans: BTreeMap<String, PoolPlan>, pools: Pools) -> anyhow::Result<()> {
        match self.web.reload(plans, pools).blocking_recv() {
            Ok(outcome) => Ok(outcome.map(drop)?),
            Err(_) => bail!("overtaken by a newer reload, or Pumasi is stopping"),
        }
    }
}

fn check_reload(now: &Plan, source: &Source, loaded: &Loaded) -> Result<(), Failure> {
    let fixed = reload::needs_restart(now, &loaded.plan);
    if !fixed.is_empty() {
        let keys = fixed.join(", ");
        let remedy = match fixed.iter().any(|key| key == "state") {
            true => "Restart Pumasi for that",
            false => "Restart Pumasi for that with `pumasi upgrade`",
        };
        return Err(anyhow!("a reload cannot change {keys}. {remedy}, or take the change back").into());
    }
    addresses::check_free(source, loaded, &addresses::of(now)).map_err(|text| anyhow!(text).into())
}

/// The shared pools of the new plan: those that stay are the same ones.
fn pools_for(plan: &Plan, now: &Pools) -> Pools {
    let pool = |name: &String| now.get(name).cloned().unwrap_or_else(|| Arc::new(Pool::new(name)));
    plan.pools.keys().map(|name| (name.clone(), pool(name))).collect()
}

/// The new plan's pools, and those of the old one that it drops.
fn both(now: &Plan, then: &Plan) -> BTreeMap<String, PoolPlan> {
    let mut plans = now.pools.clone();
    plans.extend(then.pools.clone());
    plans
}

fn union(now: &Pools, then: &Pools) -> Pools {
    let mut pools = now.clone();
    pools.extend(then.clone());
    pools
}

fn pool_configs(plan: &Plan, pools: &Pools) -> Vec<PoolConfig> {
    plan.pools.values().filter_map(|plan| Some(PoolConfig { plan: plan.clone(), pool: pools.get(&plan.name)?.clone() })).collect()
}

// === Handing over ===

impl House {
    /// Asks the one who runs the house to hand over, and waits for what comes of it.
    pub fn upgrade(&self) -> Result<String, String> {
        let (answer, answered) = mpsc::channel();
        let stopping = "Pumasi is stopping, or another upgrade is under way";
        self.wishes.send(Wish::Upgrade(Some(answer))).map_err(|_| stopping)?;
        answered.recv().map_err(|_| stopping)?
    }

    /// No reload as long as the guard lives. Waits for one that is under way.
    pub fn hold_still(&self) -> MutexGuard<'_, ()> {
        self.reloading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The configuration in force.
    pub fn plan(&self) -> Plan {
        self.current.load().plan.clone()
    }

    /// Every listening socket but the console's, once more. Errors: no file descriptors are left.
    pub fn sockets(&self) -> std::io::Result<Sockets> {
        let mut sockets = Sockets::default();
        let of_edge = self.with_edge(Edge::sockets).transpose()?.unwrap_or_default();
        of_edge.into_iter().for_each(|OpenSocket { written, listener }| sockets.push(Socket { owner: EDGE.into(), written, listener }));
        self.databases.sockets()?.into_iter().for_each(|socket| sockets.push(socket));
        Ok(sockets)
    }

    /// Leaves what is stored to another process, which is about to answer: see [`Edge::hand_over`].
    pub fn hand_over(&self, successor: Arc<dyn Successor>) -> std::io::Result<()> {
        self.with_edge(|edge| edge.hand_over(successor)).unwrap_or(Ok(()))
    }

    /// What the process before this one has purged.
    pub fn learn(&self, what: &Purged) {
        self.with_edge(|edge| edge.learn(what));
    }

    /// Every answer is its connection's last from now on: see [`Edge::retire`].
    pub fn retire(&self) {
        self.with_edge(Edge::retire);
    }
}

// === Orders ===

impl House {
    /// How many pages were concerned; `None` without an edge.
    pub fn purge(&self, pages: Purge<'_>, kind: PurgeKind) -> Option<u64> {
        self.with_edge(|edge| edge.purge(pages, kind))
    }

    /// What is known of one address: see [`Edge::explain`]. Tables are called what the databases' catalogues call them now.
    pub fn explain(&self, url: &str) -> Result<Vec<pumasi_status::Explained>, String> {
        let mut told = self.with_edge(|edge| edge.explain(url)).ok_or("there is no edge, so no page is kept")??;
        let names = self.databases.tables_by_number();
        for table in told.iter_mut().flat_map(pumasi_status::Explained::tables_mut) {
            table.names = names.get(&table.number).cloned().unwrap_or_default();
        }
        Ok(told)
    }

    /// Promotes, drains or readmits a server of a cluster. Blocks until it is done.
    pub fn order(&self, database: Option<&str>, order: &ClusterOrder) -> Result<String, String> {
        let outcome = self.databases.order(database, order);
        match &outcome {
            Ok(done) => self.diary.note("info", "cluster", done),
            Err(reason) => self.diary.note("warn", "cluster", reason),
        }
        outcome
    }

    /// Takes an upstream out of rotation, or puts it back. A worker that is started anew is in rotation again.
    pub fn drain(&self, name: &str, back: bool) -> Result<String, String> {
        let (pool, upstream) = self.upstream(name)?;
        let now = Instant::now();
        let change = if back { pool.undrain(&upstream, now) } else { pool.drain(&upstream, now) };
        let done = match (change, back) {
            (None, true) => format!("{name} was in rotation already"),
            (None, false) => format!("{name} was drained already"),
            (Some(_), true) => format!("{name} is back in rotation"),
            (Some(_), false) => format!("{name} gets no further request; {} in flight", upstream.in_flight()),
        };
        self.diary.note("info", "rotation", &done);
        Ok(done)
    }

    /// Changes an upstream's share of the requests beside the others': a worker's until it is started anew, another's until the next reload.
    pub fn weigh(&self, name: &str, weight: u32) -> Result<String, String> {
        if !WEIGHTS.contains(&weight) {
            return Err(format!("a weight is from {} to {}. To take {name} out, drain it", WEIGHTS.start(), WEIGHTS.end()));
        }
        let (pool, upstream) = self.upstream(name)?;
        let before = upstream.weight();
        pool.set_weight(&upstream, weight);
        let workers = self.current.load().plan.pools.get(&pool.name).is_some_and(|plan| matches!(plan.members, Members::Workers(_)));
        let until = if workers { "until it is started anew" } else { "until the next reload" };
        let done = format!("{name} weighs {weight} instead of {before}, {until}");
        self.diary.note("info", "rotation", &done);
        Ok(done)
    }

    /// Errors: there is none of that name; the text names what there is.
    fn upstream(&self, name: &str) -> Result<(Arc<Pool>, Arc<Upstream>), String> {
        let current = self.current.load();
        let members =
            || current.pools.values().flat_map(|pool| pool.upstreams().iter().map(|u| (pool.clone(), u.clone())).collect::<Vec<_>>());
        let found = members().find(|(_, upstream)| upstream.name == name);
        found.ok_or_else(|| {
            let names: Vec<String> = members().map(|(_, upstream)| upstream.name.clone()).collect();
            let near = pumasi_config::nearest(name, names.iter().map(String::as_str));
            let remedy = near.map_or_else(|| format!("There are: {}.", names.join(", ")), |near| format!("Did you mean {near}?"));
            format!("no upstream is called {name:?}. {remedy}")
        })
    }
}

/// As in the configuration.
const WEIGHTS: std::ops::RangeInclusive<u32> = 1..=1000;

// === The picture ===

impl House {
    /// One picture of every tier. Waits for nothing but the reading of /proc.
    pub fn status(&self) -> Status {
        let own_process::Cost { cpu_ms, memory_bytes, descriptors, descriptors_max } = own_process::cost();
        let mut status = Status {
            version: env!("CARGO_PKG_VERSION").into(),
            uptime_s: self.started.elapsed().as_secs(),
            cpu_ms,
            memory_bytes,
            descriptors,
            descriptors_max,
            host: host::picture(),
            edge: self.with_edge(Edge::status).unwrap_or_default(),
            pools: self.pools_status(),
            sql: self.databases.status(),
            events: self.diary.events(),
        };
        // Reading every catalogue is only worth it if there is something to be named.
        if status.tables_mut().next().is_some() {
            let names = self.databases.tables_by_number();
            status.tables_mut().for_each(|table| table.names = names.get(&table.number).cloned().unwrap_or_default());
        }
        status
    }

    /// Every effective value with where it was written, in the order of the reference.
    pub fn settings(&self) -> Vec<(Setting, String)> {
        self.current.load().settings.clone()
    }

    /// Workers as the supervisor sees them, and every upstream's load and health as the edge sees them.
    fn pools_status(&self) -> Vec<pumasi_status::Pool> {
        let current = self.current.load();
        let mut workers: BTreeMap<String, Vec<pumasi_status::Upstream>> =
            self.web.status().into_iter().map(|pool| (pool.name, pool.upstreams)).collect();
        let picture = |plan: &PoolPlan| {
            let members = current.pools.get(&plan.name).map(|pool| pool.upstreams()).unwrap_or_default();
            let mut upstreams = workers.remove(&plan.name).unwrap_or_default();
            for member in members.iter() {
                let address = member.address.to_string();
                let known = upstreams.iter().position(|upstream| upstream.address == address);
                let at = known.unwrap_or_else(|| {
                    upstreams.push(pumasi_status::Upstream { name: member.name.clone(), address, ..Default::default() });
                    upstreams.len() - 1
                });
                upstreams[at].health = member.health().word().into();
                upstreams[at].traffic = member.traffic();
                upstreams[at].connects = member.connects();
            }
            let pool = current.pools.get(&plan.name);
            let (retries_total, retries_refused_total) = pool.map_or((0, 0), |pool| pool.retries());
            pumasi_status::Pool {
                name: plan.name.clone(),
                policy: policy_word(plan),
                retries_total,
                retries_refused_total,
                waiting: pool.map_or(0, |pool| pool.queue().waiting() as u64),
                upstreams,
            }
        };
        current.plan.pools.values().map(picture).collect()
    }
}

fn policy_word(plan: &PoolPlan) -> String {
    match plan.policy {
        BalancePolicy::RoundRobin => "round-robin",
        BalancePolicy::LeastInFlight => "least-in-flight",
        BalancePolicy::PowerOfTwo => "power-of-two",
        BalancePolicy::Ring => "ring",
        BalancePolicy::Maglev => "maglev",
        BalancePolicy::Rendezvous => "rendezvous",
    }
    .into()
}

pub fn placed(source: &Source, loaded: &Loaded) -> Vec<(Setting, String)> {
    loaded.settings.iter().map(|setting| (setting.clone(), source.place(&setting.origin))).collect()
}
