//! The databases of the configuration, and each worker's own address at them.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow};
use pumasi_config::{EnginePlan, Hole, Plan, ResultsMode, SqlPlan};
use pumasi_freshness::{Freshness, Table, Witness};
use pumasi_sql::{
    cluster::{self, Cluster, orders::Order},
    embedded::{Embedded, Options},
    front::{Door, Listener, Server, Settings},
    proxy::{self, BadTarget, Proxy, Target, Transport, for_clients, for_servers},
    results::{Observer, Results},
};
use pumasi_web::{Binding, Resources};

use crate::{
    reload,
    upgrade::sockets::{Socket, Sockets, of_database},
};

/// How long connections may finish the statement they are at when a database stops. The workers are gone by then, so what is
/// left are people's own clients.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// The running databases.
pub struct Databases {
    running: Arc<Running>,
    surroundings: Surroundings,
}

type Running = Mutex<BTreeMap<String, Database>>;

struct Database {
    server: Box<dyn Tier>,
    /// By the address as it was written; more than one only during a reload that moves it.
    listeners: Vec<(SocketAddr, Listener)>,
    /// The workers' own, by the number of their binding. Kept here and not with the worker, so that a database that a reload removes is
    /// gone whoever still knows its address.
    of_workers: BTreeMap<u64, Listener>,
}

/// A server of any engine.
trait Tier: Send + Sync {
    fn listen(&self, door: Door, witness: Option<Arc<Witness>>) -> io::Result<Listener>;
    fn status(&self) -> pumasi_status::Sql;
    /// Every base table by database and name, as far as they are known.
    fn tables(&self) -> Vec<(String, String)>;
    fn tick(&self, now: Instant);
    fn stop(&self, deadline: Duration);
    /// `None` where there is one server and it is part of Pumasi.
    fn cluster(&self) -> Option<Arc<Cluster>> {
        None
    }
}

impl Tier for Server<Embedded> {
    fn listen(&self, door: Door, witness: Option<Arc<Witness>>) -> io::Result<Listener> {
        self.listen_at(door, witness)
    }

    fn status(&self) -> pumasi_status::Sql {
        Server::status(self)
    }

    fn tables(&self) -> Vec<(String, String)> {
        self.engine().catalogue().tables().map(|table| (table.database.clone(), table.name.clone())).collect()
    }

    fn tick(&self, now: Instant) {
        Server::tick(self, now);
    }

    fn stop(&self, deadline: Duration) {
        Server::stop(self, deadline);
    }
}

/// A proxy in front of servers, and who knows which of them does what.
struct Clustered {
    proxy: Proxy,
    cluster: Arc<Cluster>,
}

impl Tier for Clustered {
    fn listen(&self, door: Door, witness: Option<Arc<Witness>>) -> io::Result<Listener> {
        self.proxy.listen_at(door, witness)
    }

    fn status(&self) -> pumasi_status::Sql {
        self.proxy.status()
    }

    fn tables(&self) -> Vec<(String, String)> {
        self.proxy.tables()
    }

    fn tick(&self, now: Instant) {
        self.proxy.tick(now);
    }

    fn stop(&self, deadline: Duration) {
        self.proxy.stop(deadline);
        self.cluster.stop();
    }

    fn cluster(&self) -> Option<Arc<Cluster>> {
        Some(self.cluster.clone())
    }
}

impl Databases {
    /// Opens and serves every database, on its socket among `sockets` if it is there. Errors: a file that cannot be opened, an address that cannot be had.
    pub fn start(plan: &Plan, state: &Path, sockets: &mut Sockets) -> anyhow::Result<Databases> {
        let pages_automatic = reload::pages_automatic(plan);
        let surroundings = Surroundings { state: state.to_owned(), freshness: Arc::new(Freshness::new()), pages_automatic };
        let databases = Databases { running: Arc::default(), surroundings };
        databases.add(&plan.sql, sockets)?;
        Ok(databases)
    }

    /// Every known table as `database.table`, by the number that stored answers know it by. Several may share one.
    pub fn tables_by_number(&self) -> BTreeMap<u32, Vec<String>> {
        let mut names: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for (database, table) in self.running().values().flat_map(|running| running.server.tables()) {
            let name = format!("{database}.{table}");
            let known = names.entry(Table::named(&database, &table).number()).or_default();
            // Two servers may have a table of the same name; it has the same number.
            if !known.contains(&name) {
                known.push(name);
            }
        }
        names
    }

    /// Starts those of the plans that do not run yet, and opens the new address of those that move. All or nothing.
    pub fn add(&self, plans: &BTreeMap<String, SqlPlan>, sockets: &mut Sockets) -> anyhow::Result<()> {
        let mut opened = BTreeMap::new();
        for plan in plans.values() {
            let mut listen = |server: &dyn Tier| {
                let handed = sockets.take(&of_database(&plan.name), plan.listen);
                let listener = server.listen(handed.map_or(Door::Closed(plan.listen), Door::Open), None);
                listener.with_context(|| format!("sql.{}.listen: cannot listen on {}", plan.name, plan.listen))
            };
            match self.running().get_mut(&plan.name) {
                Some(running) if running.listens_on(plan.listen) => {}
                Some(running) => running.listeners.push((plan.listen, listen(&*running.server)?)),
                None => {
                    let server = open(plan, &self.surroundings).with_context(|| format!("sql.{}", plan.name))?;
                    let listener = listen(&*server)?;
                    opened.insert(
                        plan.name.clone(),
                        Database { server, listeners: vec![(plan.listen, listener)], of_workers: BTreeMap::new() },
                    );
                }
            }
        }
        self.running().extend(opened);
        Ok(())
    }

    /// Stops what is not in the plans: databases, and the addresses that others have left.
    pub fn keep(&self, plans: &BTreeMap<String, SqlPlan>) {
        let mut gone = vec![];
        let mut running = self.running();
        for (name, mut database) in std::mem::take(&mut *running) {
            match plans.get(&name) {
                Some(plan) => {
                    database.listeners.retain(|(written, _)| *written == plan.listen);
                    running.insert(name, database);
                }
                None => gone.push(database),
            }
        }
        drop(running);
        gone.into_iter().for_each(Database::stop);
    }

    /// What is known of writes; the edge's pages are checked against it.
    pub fn freshness(&self) -> Option<Arc<Freshness>> {
        Some(self.surroundings.freshness.clone())
    }

    /// Closes a second of the rates that `status` shows.
    pub fn tick(&self, now: Instant) {
        self.running().values().for_each(|database| database.server.tick(now));
    }

    pub fn status(&self) -> Vec<pumasi_status::Sql> {
        self.running().values().map(|database| database.server.status()).collect()
    }

    /// Where clients other than the workers connect to the database of that name.
    pub fn address(&self, name: &str) -> Option<SocketAddr> {
        self.addresses().into_iter().find(|(other, _)| other == name).map(|(_, address)| address)
    }

    pub fn addresses(&self) -> Vec<(String, SocketAddr)> {
        let running = self.running();
        running.iter().filter_map(|(name, database)| Some((name.clone(), database.listeners.first()?.1.address()))).collect()
    }

    /// The sockets that clients other than the workers connect to, once more. Errors: no file descriptors are left.
    pub fn sockets(&self) -> io::Result<Vec<Socket>> {
        let running = self.running();
        let all = running.iter().flat_map(|(name, database)| database.listeners.iter().map(move |(written, l)| (name, *written, l)));
        all.map(|(name, written, l)| Ok(Socket { owner: of_database(name), written, listener: l.socket()? })).collect()
    }

    /// Lets statements finish, then closes everything.
    pub fn stop(&self) {
        let all = std::mem::take(&mut *self.running());
        all.into_values().for_each(Database::stop);
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<String, Database>> {
        lock(&self.running)
    }
}

fn lock(running: &Running) -> MutexGuard<'_, BTreeMap<String, Database>> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Database {
    fn listens_on(&self, address: SocketAddr) -> bool {
        self.listeners.iter().any(|(written, _)| *written == address)
    }

    fn stop(self) {
        drop((self.listeners, self.of_workers));
        self.server.stop(STOP_TIMEOUT);
    }
}

/// What is needed to open a database besides its plan.
#[derive(Clone)]
struct Surroundings {
    state: PathBuf,
    /// What the databases write, as the stores of pages and results ask it.
    freshness: Arc<Freshness>,
    /// Some route keeps pages until a write changes a row they were made of: then it must be known what statements read.
    pages_automatic: bool,
}

impl Surroundings {
    fn results(&self, plan: &SqlPlan) -> Option<Arc<Results>> {
        match plan.results {
            ResultsMode::Automatic => Some(Results::new(self.freshness.clone(), plan.results_bytes)),
            // Nothing is kept, but what pages were made of is still told.
            ResultsMode::Off if self.pages_automatic => Some(Results::new(self.freshness.clone(), 0)),
            ResultsMode::Off => None,
        }
    }
}

fn open(plan: &SqlPlan, surroundings: &Surroundings) -> anyhow::Result<Box<dyn Tier>> {
    let settings = |engine| Settings { name: plan.name.clone(), engine, connections_max: plan.connections_max, users: plan.users.clone() };
    match &plan.engine {
        EnginePlan::Embedded { file } => {
            let Surroundings { state, freshness, .. } = surroundings;
            let options = Options { observer: Arc::new(Observer::new(freshness.clone())), ..Options::new(state.join(file)) };
            let engine = Embedded::open(options).map_err(|error| anyhow!("{}", error.message))?;
            let results = surroundings.results(plan);
            Ok(Box::new(Server::with_results(engine, settings(format!("embedded:{}", file.display())), results)))
        }
        EnginePlan::Servers { primary, replicas } => {
            let transport =
                Transport { tls: for_servers(plan.server_tls, plan.server_authorities.as_deref())?, compression: plan.server_compression };
            let target = |url: &String| Ok::<_, BadTarget>(Target { transport: transport.clone(), ..Target::parse(url)? });
            let targets = [primary].into_iter().chain(replicas).map(target).collect::<Result<Vec<_>, _>>()?;
            let (first, engine) = (targets[0].clone(), targets[0].address());
            clustered(plan, surroundings, cluster::Members::Servers(targets), first, settings(engine))
        }
        EnginePlan::Local { replicas, database, redo_log_bytes } => {
            let program = std::env::current_exe().context("cannot tell the path of this program")?;
            let local = cluster::local::Plan {
                directory: surroundings.state.join(format!("{}-mariadb", plan.name)),
                name: plan.name.clone(),
                replicas: *replicas,
                database: database.clone(),
                redo_log_bytes: *redo_log_bytes,
                guardian: vec![program.display().to_string(), pumasi_web::guardian::SUBCOMMAND.into()],
            };
            // Who may log in is whom the servers know: root, from this machine.
            let engine = format!("mariadb:{replicas}");
            clustered(plan, surroundings, cluster::Members::Local(local), Target::local(0), settings(engine))
        }
    }
}

/// `login`: who may log in where the settings do not say.
fn clustered(
    plan: &SqlPlan,
    surroundings: &Surroundings,
    members: cluster::Members,
    login: Target,
    settings: Settings,
) -> anyhow::Result<Box<dyn Tier>> {
    let record = surroundings.state.join(format!("{}-cluster.json", plan.name));
    let options = cluster::Options { name: plan.name.clone(), plan: plan.cluster.clone(), record, members };
    let cluster = Cluster::start(options)?;
    let threads = thread::available_parallelism().map_or(1, |cores| cores.get());
    let options = proxy::Options {
        connections_max: plan.server_connections_max,
        connections_wait: plan.server_connections_wait,
        tls: plan.tls.as_ref().map(for_clients).transpose()?,
        tls_required: plan.tls_required,
        rules: proxy::Rules {
            slow_log: plan.slow_log,
            deny: plan.deny.clone(),
            user_statements_max: plan.user_statements_max,
            digest_statements_max: plan.digest_statements_max,
        },
        users_learned_max: plan.users_learned_max.unwrap_or(0),
    };
    let proxy = match surroundings.results(plan) {
        Some(results) => {
            cluster.follow(results).and_then(|follow| Proxy::start_with(cluster.clone(), login, settings, options, threads, Some(follow)))
        }
        None => Proxy::start_with(cluster.clone(), login, settings, options, threads, None),
    };
    // Servers of our own must not be left behind.
    let proxy = proxy.context("cannot start the proxy's threads").inspect_err(|_| cluster.stop())?;
    Ok(Box::new(Clustered { proxy, cluster }))
}

// === Orders to clusters ===

/// What is to be done to a cluster, as `pumasi sql` says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterOrder {
    Promote { member: Option<String>, accept_loss: bool },
    Drain { member: String, back: bool },
    Rejoin { member: String, rebuild: bool },
}

impl Databases {
    /// `name`: of the database; may be left out where there is one cluster. Blocks until it is done; says what was done, or why not.
    pub fn order(&self, name: Option<&str>, order: &ClusterOrder) -> Result<String, String> {
        let clusters: Vec<(String, Arc<Cluster>)> =
            self.running().iter().filter_map(|(name, database)| Some((name.clone(), database.server.cluster()?))).collect();
        let names = || clusters.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        let cluster = match (name, &clusters[..]) {
            (_, []) => return Err("no database here has servers: the embedded engine is one".into()),
            (None, [(_, only)]) => only,
            (None, _) => return Err(format!("there are several databases: {}. Say which one.", names())),
            (Some(name), all) => {
                let found = all.iter().find(|(other, _)| other == name);
                &found.ok_or_else(|| format!("no database with servers is called {name:?}. There are: {}.", names()))?.1
            }
        };
        let order = match order {
            ClusterOrder::Promote { member, accept_loss } => {
                Order::Promote { member: member.as_deref().map(|name| cluster.member(name)).transpose()?, accept_loss: *accept_loss }
            }
            ClusterOrder::Drain { member, back } => Order::Drain { member: cluster.member(member)?, back: *back },
            ClusterOrder::Rejoin { member, rebuild } => Order::Rejoin { member: cluster.member(member)?, rebuild: *rebuild },
        };
        cluster.order(order)
    }
}

// === The workers' own addresses ===

impl Resources for Databases {
    /// One address per database: what arrives there is known to be this worker's.
    fn bind(&self, worker: &str) -> Result<Box<dyn Binding>, String> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let witness = Arc::new(Witness::default());
        let mut bound = Bound {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            running: self.running.clone(),
            addresses: BTreeMap::new(),
            witness: witness.clone(),
        };
        for (name, database) in self.running().iter_mut() {
            let listener = database.server.listen(Door::Closed((Ipv4Addr::LOCALHOST, 0).into()), Some(witness.clone()));
            let listener = listener.map_err(|error| format!("no address for {worker} at sql.{name}: {error}"))?;
            bound.addresses.insert(name.clone(), listener.address());
            database.of_workers.insert(bound.number, listener);
        }
        Ok(Box::new(bound))
    }
}

/// One worker's addresses. Dropping it closes them.
struct Bound {
    number: u64,
    running: Arc<Running>,
    addresses: BTreeMap<String, SocketAddr>,
    witness: Arc<Witness>,
}

impl Drop for Bound {
    fn drop(&mut self) {
        let closed: Vec<Listener> =
            lock(&self.running).values_mut().filter_map(|database| database.of_workers.remove(&self.number)).collect();
        // After the lock: closing waits for the thread that accepts.
        drop(closed);
    }
}

impl Binding for Bound {
    fn fill(&self, hole: &Hole) -> Option<String> {
        match hole {
            Hole::SqlHost(name) => Some(self.addresses.get(name)?.ip().to_string()),
            Hole::SqlPort(name) => Some(self.addresses.get(name)?.port().to_string()),
            Hole::Port | Hole::WorkerNumber | Hole::Env(_) => None,
        }
    }

    /// `None` where there is no database: then nothing is known of what the worker reads.
    fn witness(&self) -> Option<Arc<Witness>> {
        (!self.addresses.is_empty()).then(|| self.witness.clone())
    }
}
