//! A proxy in front of real MySQL and MariaDB servers: clients log in here, their statements run there on connections they share.
//!
//! One thread per core, each with its own loop, its clients and its server connections; a client stays on its core. Answers are forwarded
//! as raw packets. What a session changes is learned from the server's own session tracking ([`state`]) and brought to whichever connection
//! runs its next statement; what cannot be carried keeps the session on its connection ([`nature`], [`client`]).
pub(crate) mod backend;
mod client;
mod crowd;
pub mod follow;
mod learned;
pub(crate) mod link;
pub mod nature;
mod pool;
pub mod route;
mod rules;
pub mod state;
mod target;
mod tls;

use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, TcpStream},
    rc::Rc,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use pumasi_config::SqlUser;
use pumasi_freshness::Witness;
use pumasi_metrics::{Counter, Meter};
use pumasi_mysqlwire::SqlError;
use tokio::sync::mpsc;

use self::{
    backend::{Facts, Key},
    client::Signals,
    follow::Follow,
    learned::Learned,
    pool::{Lease, NoLease, Pools},
    route::{Choice, Errand, OnlyOne, Route, Server},
    rules::Keeper,
};
use crate::front::{
    Door, Listener, Settings,
    digests::Digests,
    listener::turn_away,
    not_from_there,
    registry::{Place, Registry},
    shutting_down, too_many_connections,
};
use crate::{identity::Identity, results::Results};

pub use self::{
    rules::Rules,
    target::{BadTarget, Target, Transport},
    tls::{TlsError, for_clients, for_servers},
};

/// How a proxy treats its servers.
#[derive(Clone, Debug)]
pub struct Options {
    /// Connections to one server, of all cores together; one per core comes on top, for KILL.
    pub connections_max: usize,
    /// How long a client waits for a connection that others use. Then it gets error 1040.
    pub connections_wait: Duration,
    /// Offered to clients.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Clients without it are refused.
    pub tls_required: bool,
    pub rules: Rules,
    /// Users that the settings do not name and the server lets in, remembered at the same time; 0: nobody else logs in.
    pub users_learned_max: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            connections_max: 50,
            connections_wait: Duration::from_secs(10),
            tls: None,
            tls_required: false,
            rules: Rules::default(),
            users_learned_max: 0,
        }
    }
}

/// ER_ACCESS_DENIED_ERROR.
const ACCESS_DENIED: u16 = 1045;

/// How long a statement waits for a server to be chosen: for a new primary, when the old one is gone.
const CHOICE_TIMEOUT: Duration = Duration::from_secs(15);

/// A running proxy. Cloning it is another handle on the same one; it ends with [`Proxy::stop`].
#[derive(Clone)]
pub struct Proxy(Arc<Shared>);

/// What all cores share.
struct Shared {
    settings: Settings,
    /// As whom a server is asked for its facts before any client has come.
    asking: Identity,
    options: Options,
    route: Arc<dyn Route>,
    /// Answers are kept, or pages are made of them.
    follow: Option<Arc<Follow>>,
    /// Nobody needs a password: then nobody from elsewhere may come in.
    loopback_only: bool,
    registry: Arc<Registry>,
    /// Users that the settings do not name.
    learned: Learned,
    stopping: AtomicBool,
    addresses: Mutex<Vec<SocketAddr>>,
    /// Empty once the proxy has stopped: then the cores end, and with them the idle connections.
    lanes: RwLock<Vec<mpsc::UnboundedSender<Arrival>>>,
    next_lane: AtomicUsize,
    meter: Meter,
    reads: Counter,
    writes: Counter,
    digests: Digests,
    rules: Keeper,
    /// How often a client had to wait for a connection that others used.
    pool_waits: Counter,
    /// Why sessions were pinned, and how often.
    pins: Mutex<BTreeMap<&'static str, u64>>,
    facts: Mutex<Option<Facts>>,
    /// Changes of globals and accounts: see [`backend::Key`].
    era: AtomicU64,
}

/// The number of the first client. Servers count theirs from 1: so a number says whether it is one of ours or, out of SHOW PROCESSLIST or
/// CONNECTION_ID(), one of theirs.
pub(crate) const FIRST_CLIENT: u32 = 1 << 30;

/// A client on its way to its core.
struct Arrival {
    stream: TcpStream,
    place: Place,
    signals: Arc<Signals>,
    witness: Option<Arc<Witness>>,
}

impl Proxy {
    /// Starts `threads` loops. Connects to nobody: the first client does. `settings.users` empty: who may log in is whom `target` names,
    /// with the same password; without one, only from loopback. Clients are at the server who they are here.
    /// Errors: a thread or its loop cannot be made.
    pub fn start(target: Target, settings: Settings, options: Options, threads: usize) -> io::Result<Proxy> {
        let route = Arc::new(OnlyOne(Server::new(target.clone())));
        Proxy::start_with(route, target, settings, options, threads, None)
    }

    /// As [`Proxy::start`], with answers kept in `results` until a write makes them wrong.
    pub fn start_following(
        target: Target,
        settings: Settings,
        options: Options,
        threads: usize,
        results: Arc<Results>,
    ) -> io::Result<Proxy> {
        let route = Arc::new(OnlyOne(Server::new(target.clone())));
        let follow = Follow::start(target.clone(), results)?;
        Proxy::start_with(route, target, settings, options, threads, Some(follow))
    }

    /// As [`Proxy::start`], with servers that `route` chooses. `target` only says who may log in where the settings do not. Whoever chooses another
    /// primary tells `follow` ([`Follow::primary_changed`]).
    pub fn start_with(
        route: Arc<dyn Route>,
        target: Target,
        settings: Settings,
        options: Options,
        threads: usize,
        follow: Option<Arc<Follow>>,
    ) -> io::Result<Proxy> {
        let mut settings = settings;
        let loopback_only = settings.users.is_empty() && target.password.is_empty();
        if settings.users.is_empty() {
            settings.users = vec![SqlUser { name: target.user.clone(), password: target.password.as_str().into() }];
        }
        let asking = settings.users.iter().find_map(Identity::written).unwrap_or_else(|| target.login());
        if let Some(follow) = &follow {
            follow.answered_by(&route);
        }
        let digests = Digests::default();
        let shared = Arc::new(Shared {
            registry: Arc::new(Registry::numbered_from(FIRST_CLIENT, settings.connections_max)),
            settings,
            asking,
            learned: Learned::new(options.users_learned_max),
            options: options.clone(),
            route,
            follow,
            loopback_only,
            stopping: AtomicBool::new(false),
            addresses: Mutex::default(),
            lanes: RwLock::default(),
            next_lane: AtomicUsize::new(0),
            meter: Meter::new(),
            reads: Counter::default(),
            writes: Counter::default(),
            rules: Keeper::new(options.rules.clone(), &digests),
            digests,
            pool_waits: Counter::default(),
            pins: Mutex::default(),
            facts: Mutex::default(),
            era: AtomicU64::new(0),
        });
        // Each core has its share of the connections, so there are no more cores than connections.
        let threads = threads.clamp(1, options.connections_max.max(1));
        let lanes =
            (0..threads).map(|number| lane(&shared, number, options.connections_max.div_ceil(threads))).collect::<io::Result<_>>()?;
        *shared.lanes.write().unwrap_or_else(PoisonError::into_inner) = lanes;
        Ok(Proxy(shared))
    }

    /// Opens one more address. Connections that come in through it belong to the worker of `witness`.
    pub fn listen(&self, address: SocketAddr, witness: Option<Arc<Witness>>) -> io::Result<Listener> {
        self.listen_at(Door::Closed(address), witness)
    }

    /// The same where the socket may be another process's already.
    pub fn listen_at(&self, door: Door, witness: Option<Arc<Witness>>) -> io::Result<Listener> {
        let (admitting, closing) = (self.0.clone(), self.0.clone());
        let admit = move |stream, peer| admitting.admit(stream, peer, witness.clone());
        let listener = Listener::open(door, admit, move |address| closing.addresses().retain(|known| *known != address))?;
        self.0.addresses().push(listener.address());
        Ok(listener)
    }

    /// Closes a second of the rates that [`Proxy::status`] shows.
    pub fn tick(&self, now: Instant) {
        self.0.meter.tick(now);
    }

    pub fn status(&self) -> pumasi_status::Sql {
        pumasi_status::Sql {
            name: self.0.settings.name.clone(),
            engine: self.0.settings.engine.clone(),
            address: self.0.addresses().first().map(SocketAddr::to_string).unwrap_or_default(),
            connections: self.0.registry.connections() as u64,
            connections_max: self.0.settings.connections_max as u64,
            traffic: self.0.meter.traffic(),
            reads_total: self.0.reads.value(),
            writes_total: self.0.writes.value(),
            results: self.0.follow.as_ref().map(|follow| follow.results().status()),
            cluster: self.0.route.status(),
            followed: self.0.follow.as_ref().map(|follow| follow.status()),
            digests: self.0.digests.slowest(),
            tables: self.0.digests.tables(),
            pins: self.0.pins().iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect(),
            pool_waits_total: self.0.pool_waits.value(),
        }
    }

    /// Every base table by database and name; empty if writes are not followed. For people.
    pub fn tables(&self) -> Vec<(String, String)> {
        self.0.follow.as_ref().map(|follow| follow.tables()).unwrap_or_default()
    }

    /// Why sessions were kept on one server connection since the start, with counts.
    pub fn pins(&self) -> Vec<(&'static str, u64)> {
        self.0.pins().iter().map(|(reason, count)| (*reason, *count)).collect()
    }

    /// As [`crate::front::Server::stop`].
    pub fn stop(&self, deadline: Duration) {
        self.0.stopping.store(true, Ordering::SeqCst);
        self.0.registry.close_when_idle();
        if !self.0.registry.wait_until_empty(deadline) {
            self.0.registry.cut();
            self.0.registry.wait_until_empty(Duration::from_secs(1));
        }
        self.0.lanes.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn no_primary() -> SqlError {
    let seconds = CHOICE_TIMEOUT.as_secs();
    SqlError::new(1429, "HY000", format!("Unable to connect to the database: there has been no primary for {seconds} s"))
}

/// One core: takes clients as they come and gives each a task.
fn lane(shared: &Arc<Shared>, number: usize, server_connections_max: usize) -> io::Result<mpsc::UnboundedSender<Arrival>> {
    // Bounded by the registry: nobody is sent that has no place.
    let (sender, mut arrivals) = mpsc::unbounded_channel::<Arrival>();
    let shared = Arc::downgrade(shared);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let serve = move || {
        let local = tokio::task::LocalSet::new();
        let accepting = async {
            let mut pools: Option<Rc<Pools>> = None;
            // Ends when the proxy and with it the senders are gone.
            while let Some(arrival) = arrivals.recv().await {
                let Some(shared) = shared.upgrade() else { return };
                let pools = pools.get_or_insert_with(|| {
                    let pools = Pools::new(shared.clone(), server_connections_max);
                    tokio::task::spawn_local(pools.clients.clone().look_over());
                    pools
                });
                let pools = pools.clone();
                tokio::task::spawn_local(async move {
                    let Arrival { stream, place, signals, witness } = arrival;
                    if let Ok(stream) = tokio::net::TcpStream::from_std(stream) {
                        client::serve(shared, pools, stream, place, signals, witness).await;
                    }
                });
            }
        };
        local.block_on(&runtime, accepting);
    };
    thread::Builder::new().name(format!("sql-proxy-{number}")).spawn(serve)?;
    Ok(sender)
}

impl Shared {
    fn era(&self) -> u64 {
        self.era.load(Ordering::SeqCst)
    }

    /// Globals or accounts have changed.
    fn outdated(&self) {
        self.era.fetch_add(1, Ordering::SeqCst);
        // Among them may be what a new session begins with: who logs in next asks again.
        *self.known_facts() = None;
        self.learned.forget_all();
    }

    fn admit(&self, stream: TcpStream, peer: SocketAddr, witness: Option<Arc<Witness>>) {
        if self.stopping() {
            return turn_away(&stream, &shutting_down());
        }
        if self.loopback_only && !peer.ip().to_canonical().is_loopback() {
            return turn_away(&stream, &not_from_there(peer));
        }
        let signals = Arc::new(Signals::default());
        let Some(place) = self.registry.admit(signals.hang_up(), peer) else {
            return turn_away(&stream, &too_many_connections(self.settings.connections_max));
        };
        if stream.set_nonblocking(true).is_err() || stream.set_nodelay(true).is_err() {
            return;
        }
        let lanes = self.lanes.read().unwrap_or_else(PoisonError::into_inner);
        if lanes.is_empty() {
            return;
        }
        let lane = &lanes[self.next_lane.fetch_add(1, Ordering::Relaxed) % lanes.len()];
        // A lane ends only with the proxy; then the client is dropped with it.
        let _ = lane.send(Arrival { stream, place, signals, witness });
    }

    fn stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// What the server says of itself; asked once, by whoever comes first.
    async fn facts(&self, pools: &Pools) -> Result<Facts, SqlError> {
        if let Some(facts) = self.known_facts().clone() {
            return Ok(facts);
        }
        let user = &self.asking;
        let key = Arc::new(Key { era: self.era(), ..Key::plain(&user.name) });
        let state = state::SessionState::default();
        let errand = Errand { sql: b"", nature: nature::Nature::default(), user: &user.name, state: &state, fenced: false };
        let lease = self.lease(pools, &key, user, &errand).await?;
        let facts = lease.backend.facts.clone();
        lease.release();
        Ok(facts)
    }

    /// A connection for `errand` from whichever server is chosen, waiting as long as whoever chooses says.
    async fn lease(&self, pools: &Pools, key: &Arc<Key>, user: &Identity, errand: &Errand<'_>) -> Result<Lease, SqlError> {
        let mut failed: Option<(u64, SqlError)> = None;
        let deadline = tokio::time::Instant::now() + CHOICE_TIMEOUT;
        loop {
            let server = match self.route.choose(errand) {
                Choice::Server(server) => server,
                Choice::Refuse(error) => return Err(error),
                Choice::Wait(until) => {
                    if tokio::time::timeout_at(deadline, until).await.is_err() {
                        return Err(failed.map_or_else(no_primary, |(_, error)| error));
                    }
                    // Whoever said to wait knows more than our last attempt.
                    failed = None;
                    continue;
                }
            };
            if let Some((number, error)) = failed.take()
                && number == server.number
            {
                return Err(error);
            }
            match pools.of(&server).acquire(key, user, errand.state).await {
                Ok(lease) => return Ok(lease),
                Err(NoLease::Unreachable(error)) => {
                    self.route.unreachable(&server);
                    failed = Some((server.number, error));
                }
                Err(refused) => {
                    let error = refused.error();
                    if error.code == ACCESS_DENIED {
                        self.learned.forget(&user.name);
                    }
                    return Err(error);
                }
            }
        }
    }

    fn learn_facts(&self, facts: &Facts) {
        *self.known_facts() = Some(facts.clone());
    }

    fn known_facts(&self) -> MutexGuard<'_, Option<Facts>> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pinned(&self, reason: &'static str) {
        *self.pins().entry(reason).or_default() += 1;
    }

    fn pins(&self) -> MutexGuard<'_, BTreeMap<&'static str, u64>> {
        self.pins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn addresses(&self) -> MutexGuard<'_, Vec<SocketAddr>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
