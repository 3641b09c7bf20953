//! The edge as the binary sees it: started, reloaded, asked, drained.

use std::{
    collections::HashMap,
    io::{self, Write},
    net::SocketAddr,
    num::NonZeroU32,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use pumasi_balance::{Bounded, Policy, RetryShare, Settings, Table};
use pumasi_config::{BalancePolicy, EdgePlan, Members, PagesMode, PoolPlan};
use pumasi_freshness::Freshness;
use pumasi_pagestore::{Pages, Purge, PurgeKind, Purged, Successor};
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tracing::info;

use crate::{
    access_log,
    control::{self, PoolConfig, Wanted, Weights, set_members},
    core::{Address, Protocol, Shared},
    counters::{CoreCounters, Handshake, TrafficCounters},
    event_loop::{self, Command, CoreStart},
    listen,
    pages::{self, DiskTier, Reads},
    routes::{PoolPart, Route, Snapshot},
    samples::{Samples, all_traffic},
    tls::{self, Tickets, TlsError},
};

/// What an edge is started with.
pub struct EdgeConfig {
    pub plan: EdgePlan,
    pub pools: Vec<PoolConfig>,
    /// Where access-log lines go, if the plan wants any. Written by a thread of its own.
    pub access_log: Box<dyn Write + Send>,
    /// Where automatic pages look up whether a write has overtaken them; the SQL tier's own. `None`: nothing is stored automatically.
    pub freshness: Option<Arc<Freshness>>,
}

/// Why an edge could not be started or reloaded. Nothing was changed.
#[derive(Debug, Error)]
pub enum StartError {
    #[error("{key}: {address} cannot be bound: {source}")]
    Bind {
        /// `edge.listen`, `edge.tls.listen` or `edge.tcp.listen`.
        key: &'static str,
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("edge.route: there is no pool {0:?}")]
    UnknownPool(String),
    #[error("edge.tls: {0}")]
    Tls(#[from] TlsError),
    #[error("pool.{pool}.tls: {source}")]
    PoolTls {
        pool: String,
        /// Boxed: it names several files.
        #[source]
        source: Box<TlsError>,
    },
    #[error("a thread could not be started: {0}")]
    Thread(#[from] io::Error),
}

/// A running edge. Dropping it cuts every connection; [`Edge::drain`] does not.
pub struct Edge {
    shared: Arc<Shared>,
    cores: Vec<CoreHandle>,
    pools: watch::Sender<Arc<Vec<PoolConfig>>>,
    samples: Arc<Mutex<Samples>>,
    /// Held while a reload changes it.
    listening: Mutex<Vec<Listening>>,
    /// Bound and not listened on yet: see [`Edge::open`].
    waiting: Mutex<Vec<Bound>>,
    tickets: Tickets,
    control: Option<JoinHandle<()>>,
    compressor: Option<JoinHandle<()>>,
    /// Tells another process what is purged here, once it has the store.
    passing_on: Mutex<Option<JoinHandle<()>>>,
    /// Ends last: its threads wait for the cores' askers to be gone.
    disk: Option<DiskTier>,
}

/// An address that was bound and is not listened on yet.
struct Bound {
    listening: Address,
    listeners: Vec<std::net::TcpListener>,
}

/// An address that is listened on. Its sockets are the cores' own ones once more, to be handed to another process.
struct Listening {
    address: Address,
    sockets: Vec<std::net::TcpListener>,
}

/// A listening socket, and the address as the configuration writes it. There are as many of one address as there are cores.
#[derive(Debug)]
pub struct OpenSocket {
    pub written: SocketAddr,
    pub listener: std::net::TcpListener,
}

struct CoreHandle {
    commands: mpsc::UnboundedSender<Command>,
    counters: Arc<CoreCounters>,
    thread: Option<JoinHandle<()>>,
}

impl Edge {
    /// Binds every address, then starts the threads: an address that is taken is an error before anything runs.
    pub fn start(config: EdgeConfig) -> Result<Edge, StartError> {
        let edge = Edge::prepare(config, Vec::new())?;
        edge.open();
        Ok(edge)
    }

    /// The same without accepting a connection before [`Edge::open`]. Addresses among `handed` are not bound but taken over with whoever
    /// waits there; what the plan does not want of them is closed.
    pub fn prepare(config: EdgeConfig, mut handed: Vec<OpenSocket>) -> Result<Edge, StartError> {
        let EdgeConfig { plan, pools, access_log, freshness } = config;
        let tickets = Tickets::new()?;
        let snapshot = make_snapshot(&plan, &pools, &tickets, None)?;
        let threads = plan.threads.max(1);
        let mut bind = |(address, protocol)| {
            let ours: Vec<_> = handed.extract_if(.., |socket| socket.written == address).map(|socket| socket.listener).collect();
            bind(address, protocol, threads, ours)
        };
        let bound = addresses_of(&plan).map(&mut bind).collect::<Result<Vec<_>, _>>()?;
        apply_settings(&pools);
        let store = Pages::new(pages::settings(&plan.pages), freshness);
        let (disk, disk_reads) = match &plan.pages.disk {
            Some(disk) => DiskTier::start(disk, &store).map(|(tier, reads)| (Some(tier), reads))?,
            None => (None, Reads::none()),
        };
        let shared = Arc::new(Shared {
            snapshot: Arc::new(ArcSwap::from_pointee(snapshot)),
            connections: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            pages: store,
            disk_reads,
            files: Default::default(),
            habits: pages::Habits::default(),
            run: run_number(),
            tap: Arc::default(),
        });
        let logs = access_log::start(access_log, threads)?;
        let cores = logs.into_iter().enumerate().map(|(number, log)| start_core(number, &shared, log)).collect::<Result<Vec<_>, _>>()?;
        let samples = Arc::new(Mutex::new(Samples::default()));
        let (pools, watched) = watch::channel(Arc::new(pools));
        let control = start_control(watched, shared.clone(), samples.clone())?;
        let pages = shared.pages.clone();
        let compressor = std::thread::Builder::new().name("edge-compress".into()).spawn(move || pages.compress())?;
        Ok(Edge {
            shared,
            cores,
            pools,
            samples,
            listening: Mutex::default(),
            waiting: Mutex::new(bound),
            tickets,
            control: Some(control),
            compressor: Some(compressor),
            passing_on: Mutex::default(),
            disk,
        })
    }

    /// Begins to accept connections at what [`Edge::prepare`] has bound.
    pub fn open(&self) {
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        let mut listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        listening.extend(waiting.into_iter().map(|bound| self.listen(bound)));
    }

    /// Every listening socket once more, for a process that goes on with them. Who connects while neither process accepts waits in them.
    /// Errors: no file descriptors are left.
    pub fn sockets(&self) -> io::Result<Vec<OpenSocket>> {
        let listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        let all = listening.iter().flat_map(|l| l.sockets.iter().map(|socket| (l.address.written, socket)));
        all.map(|(written, socket)| Ok(OpenSocket { written, listener: socket.try_clone()? })).collect()
    }

    /// From now on every answer is its connection's last, while new connections are still accepted: clients that keep theirs for many
    /// requests change over without one of them failing. Cannot be taken back.
    pub fn retire(&self) {
        self.shared.draining.store(true, Ordering::Relaxed);
    }

    /// Leaves the page store to `successor`, which begins to answer when this has returned: this edge uses its own no more, gives up its disk, and
    /// confirms no change that the successor does not know. Cannot be taken back. Errors: no thread can be had, and nothing has changed.
    pub fn hand_over(&self, successor: Arc<dyn Successor>) -> io::Result<()> {
        let pages = self.shared.pages.clone();
        let passing_on = std::thread::Builder::new().name("edge-legacy".into()).spawn(move || pages.pass_on(&*successor))?;
        *self.passing_on.lock().unwrap_or_else(PoisonError::into_inner) = Some(passing_on);
        self.shared.pages.hand_over();
        if let Some(disk) = &self.disk {
            disk.let_go();
        }
        Ok(())
    }

    /// The process before this one has purged `what`. Blocks until that outlives a crash.
    pub fn learn(&self, what: &Purged) {
        self.shared.pages.learn(what, pages::now_ms());
    }

    /// Takes over routes, limits, pools and listening addresses for what is asked from now on. Connections stay; requests under way end as
    /// they began. All or nothing: on an error the old configuration goes on. The number of threads stays as it was started.
    pub fn reload(&self, plan: &EdgePlan, pools: Vec<PoolConfig>) -> Result<(), StartError> {
        let mut listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.shared.snapshot.load();
        let snapshot = make_snapshot(plan, &pools, &self.tickets, Some(&before))?;
        let known = |(address, protocol): &(SocketAddr, Protocol)| {
            listening.iter().any(|l| (l.address.written, l.address.protocol) == (*address, *protocol))
        };
        let new = addresses_of(plan).filter(|wanted| !known(wanted));
        let bound = new.map(|(address, protocol)| bind(address, protocol, self.cores.len(), Vec::new())).collect::<Result<Vec<_>, _>>()?;
        // Nothing can fail any more.
        apply_settings(&pools);
        self.shared.snapshot.store(Arc::new(snapshot));
        self.shared.pages.reconfigure(pages::settings(&plan.pages));
        listening.extend(bound.into_iter().map(|bound| self.listen(bound)));
        listening.retain(|Listening { address: Address { written, protocol, bound }, .. }| {
            let stays = addresses_of(plan).any(|wanted| wanted == (*written, *protocol));
            if !stays {
                info!(address = %bound, "no longer listening");
                self.tell(|| Command::StopListening(*bound));
            }
            stays
        });
        self.pools.send_replace(Arc::new(pools));
        Ok(())
    }

    /// Where finished exchanges can be listened to. The same over reloads.
    pub fn tap(&self) -> Arc<pumasi_trace::Tap> {
        self.shared.tap.clone()
    }

    /// The addresses that are listened on, in the order HTTP, HTTPS, TCP when started; port 0 of the plan is the one that was given.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|l| l.address.bound).collect()
    }

    /// Client connections open now.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Pages that differed although nothing they were made of had changed, newest last: why their kind is not stored any more.
    pub fn differences(&self) -> Vec<pages::Difference> {
        self.shared.habits.differences()
    }

    /// Removes stored pages, or makes them stale; see [`Purge`]. Returns how many. What is being fetched at this moment is covered as well.
    pub fn purge(&self, what: Purge<'_>, kind: PurgeKind) -> u64 {
        self.shared.pages.purge(what, kind, pages::now_ms())
    }

    /// What is known of one address: `http://example.org/path?query`, or `/path?query` on every host. Tables have no names yet.
    ///
    /// Errors: it is no address.
    pub fn explain(&self, url: &str) -> Result<Vec<pumasi_status::Explained>, String> {
        let now_ms = pages::now_ms();
        let whole = url.split_once("://").is_some_and(|(scheme, rest)| matches!(scheme, "http" | "https") && !rest.is_empty());
        if !whole && !url.starts_with('/') {
            return Err(format!("{url:?} is no address: it begins with a slash, or with http:// and a host"));
        }
        // `http://example.org` asks for `/`, and what is behind `#` is never sent.
        let mut target = url.split('#').next().unwrap_or_default().to_owned();
        if whole && target.matches('/').count() == 2 {
            target.push('/');
        }
        let mut told = self.shared.pages.explain(&target, now_ms);
        if told.is_empty() {
            told.push(pumasi_status::Explained { url: target, ..Default::default() });
        }
        let snapshot = self.shared.snapshot.load();
        for one in &mut told {
            let (host, path) = host_and_path(&one.url);
            let Some(route) = snapshot.find(host.as_bytes(), path.split('?').next().unwrap_or_default().as_bytes()) else { continue };
            one.route.clone_from(&route.name);
            one.pages = word_of(route.pages).to_owned();
            one.bypasses = route.pages_counters.bypasses();
            one.invalidations = route.pages_counters.invalidations.status();
            if route.pages == PagesMode::Automatic {
                let kind = pages::kind_of(&route.name, pumasi_httpcache::Method::Get, path.as_bytes());
                one.trial = self.shared.habits.trial(&kind, now_ms);
            }
        }
        Ok(told)
    }

    /// One picture of what the edge does.
    pub fn status(&self) -> pumasi_status::Edge {
        let snapshot = self.shared.snapshot.load();
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let everything: Vec<&TrafficCounters> = all_traffic(&snapshot);
        let class = |class| everything.iter().map(|t| t.class(class)).sum();
        let handshakes = |how| self.cores.iter().map(|c| c.counters.handshakes(how)).sum();
        pumasi_status::Edge {
            listeners: self.addresses().iter().map(SocketAddr::to_string).collect(),
            connections: self.connections() as u64,
            traffic: samples.traffic(&everything, "*"),
            queue_us_p95: samples.recent(&everything, "*").queue.quantile(0.95),
            status_1xx: class(1),
            status_2xx: class(2),
            status_3xx: class(3),
            status_4xx: class(4),
            status_5xx: class(5),
            bytes_in: self.cores.iter().map(|c| c.counters.bytes_in()).sum(),
            bytes_out: self.cores.iter().map(|c| c.counters.bytes_out()).sum(),
            connections_refused: self.cores.iter().map(|c| c.counters.refused_connections()).sum(),
            handshakes: pumasi_status::Handshakes {
                full: handshakes(Handshake::Full),
                resumed: handshakes(Handshake::Resumed),
                failed: handshakes(Handshake::Failed),
            },
            routes: snapshot.routes().iter().map(|route| route_status(route, &samples)).collect(),
            pages: snapshot.routes().iter().any(|route| route.pages != PagesMode::Off).then(|| self.shared.pages.status()),
            pages_disk: self.shared.pages.shelf_status().map(|shelf| pumasi_status::DiskStore {
                entries: shelf.entries,
                bytes: shelf.bytes,
                bytes_max: shelf.bytes_max,
                hits: shelf.hits,
                errors: shelf.errors,
                corrupt: shelf.corrupt,
            }),
            differences: self.differences().into_iter().map(told).collect(),
        }
    }

    /// Accepts nothing new, lets what runs finish, closes what is idle. What is still open after `deadline` is cut. Blocks until done.
    /// Returns how many connections were cut.
    pub fn drain(self, deadline: Duration) -> usize {
        self.drain_lingering(deadline, Duration::ZERO)
    }

    /// The same where another process answers at these addresses already: idle connections are closed after `linger` at the earliest, and
    /// until then may send one more request, because closing one can meet a request on its way.
    pub fn drain_lingering(mut self, deadline: Duration, linger: Duration) -> usize {
        // Before the cores close theirs: while one is open, the kernel goes on accepting for us.
        self.listening.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.retire();
        self.tell(|| Command::Drain { linger });
        let until = Instant::now() + deadline;
        while Instant::now() < until && !self.cores.iter().all(|c| c.thread.as_ref().is_none_or(JoinHandle::is_finished)) {
            std::thread::sleep(DRAIN_POLL);
        }
        let cut = self.connections();
        self.stop();
        cut
    }

    fn listen(&self, bound: Bound) -> Listening {
        let address = bound.listening;
        // Without one there is nothing to hand over, and that is said when somebody asks for it.
        let sockets = bound.listeners.iter().filter_map(|listener| listener.try_clone().ok()).collect();
        // More sockets than cores were handed to us: the first cores have several, or whoever waits there would wait for ever.
        for (core, listener) in self.cores.iter().cycle().zip(bound.listeners) {
            let _ = core.commands.send(Command::Listen(listener, address)); // fails only when the core is gone, and then all is
        }
        info!(address = %address.bound, protocol = ?address.protocol, "listening");
        Listening { address, sockets }
    }

    fn tell(&self, command: impl Fn() -> Command) {
        for core in &self.cores {
            let _ = core.commands.send(command());
        }
    }

    fn stop(&mut self) {
        self.tell(|| Command::Stop);
        for core in &mut self.cores {
            if let Some(thread) = core.thread.take() {
                let _ = thread.join();
            }
        }
        let (closed, _) = watch::channel(Arc::default());
        drop(std::mem::replace(&mut self.pools, closed)); // ends the control thread
        self.shared.pages.stop_compressing();
        if let Some(compressor) = self.compressor.take() {
            let _ = compressor.join();
        }
        if let Some(control) = self.control.take() {
            let _ = control.join();
        }
        self.shared.pages.stop_passing_on();
        if let Some(passing_on) = self.passing_on.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = passing_on.join();
        }
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.stop();
    }
}

// === helpers ===

/// How often a drain looks whether it is done.
const DRAIN_POLL: Duration = Duration::from_millis(10);

/// Where the plan wants to listen: HTTP, then HTTPS, then TCP.
fn addresses_of(plan: &EdgePlan) -> impl Iterator<Item = (SocketAddr, Protocol)> {
    let tls = plan.tls.iter().flat_map(|tls| &tls.listen);
    // Sections that differ by name share their address.
    let first = |i: usize| plan.tcp[..i].iter().all(|other| other.listen != plan.tcp[i].listen);
    let tcp = plan.tcp.iter().enumerate().filter(move |(i, _)| first(*i)).map(|(_, tcp)| (tcp.listen, Protocol::Tcp));
    plan.listen.iter().map(|&address| (address, Protocol::Plain)).chain(tls.map(|&address| (address, Protocol::Tls))).chain(tcp)
}

/// `handed`: sockets of this address that another process listened on.
fn bind(address: SocketAddr, protocol: Protocol, count: usize, handed: Vec<std::net::TcpListener>) -> Result<Bound, StartError> {
    let key = match protocol {
        Protocol::Plain => "edge.listen",
        Protocol::Tls => "edge.tls.listen",
        Protocol::Tcp => "edge.tcp.listen",
    };
    let taken = if handed.is_empty() { listen::bind(address, count) } else { listen::adopt(handed, count) };
    let (bound, listeners) = taken.map_err(|source| StartError::Bind { key, address, source })?;
    Ok(Bound { listening: Address { written: address, protocol, bound }, listeners })
}

fn make_snapshot(plan: &EdgePlan, pools: &[PoolConfig], tickets: &Tickets, before: Option<&Snapshot>) -> Result<Snapshot, StartError> {
    let tls = plan.tls.as_ref().map(|tls| tls::configure(tls, tickets)).transpose()?;
    let part = |p: &PoolConfig| {
        let part =
            PoolPart::of(&p.plan, &p.pool).map_err(|source| StartError::PoolTls { pool: p.plan.name.clone(), source: Box::new(source) })?;
        Ok::<_, StartError>((p.plan.name.clone(), part))
    };
    let parts = pools.iter().map(part).collect::<Result<HashMap<_, _>, _>>()?;
    Snapshot::new(plan, &parts, tls, before).map_err(|unknown| StartError::UnknownPool(unknown.0))
}

/// Gives the pools their settings, and fixed upstreams that are addresses at once; names follow from the control thread.
fn apply_settings(pools: &[PoolConfig]) {
    for PoolConfig { plan, pool } in pools {
        pool.set_settings(Settings {
            policy: match plan.policy {
                BalancePolicy::RoundRobin => Policy::RoundRobin,
                BalancePolicy::LeastInFlight => Policy::LeastInFlight,
                BalancePolicy::PowerOfTwo => Policy::PowerOfTwo,
                BalancePolicy::Ring => hashed(plan, Table::Ring),
                BalancePolicy::Maglev => hashed(plan, Table::Maglev),
                BalancePolicy::Rendezvous => hashed(plan, Table::Rendezvous),
            },
            eject_after: plan.eject_after,
            eject_for: plan.eject_for,
            probed: plan.probe.is_some(),
            concurrency_max: plan.concurrency_max.and_then(NonZeroU32::new),
            queue_max: plan.queue_max,
            slow_start: plan.slow_start,
            ejected_percent_max: plan.ejected_percent_max.min(100) as u8,
            retries: RetryShare { percent: plan.retry_percent.min(100) as u8, ..Settings::default().retries },
        });
        if let Members::Upstreams(upstreams) = &plan.members {
            let addresses: Option<Vec<Wanted>> = upstreams
                .iter()
                .map(|u| Some(Wanted { written: u.address.clone(), address: u.address.parse().ok()?, weight: u.weight }))
                .collect();
            if let Some(addresses) = addresses {
                set_members(pool, &addresses, Weights::Set);
            }
        }
    }
}

fn hashed(plan: &PoolPlan, by: Table) -> Policy {
    let percent = plan.hash_bound_percent.map(|percent| u16::try_from(percent).unwrap_or(u16::MAX));
    Policy::Hash { by, bound: percent.map_or(Bounded::Unbounded, Bounded::Percent) }
}

fn start_core(number: usize, shared: &Arc<Shared>, log: access_log::CoreLog) -> io::Result<CoreHandle> {
    let counters = Arc::new(CoreCounters::default());
    let (commands, received) = mpsc::unbounded_channel(); // bounded by how often people reload
    let start = CoreStart { number, shared: shared.clone(), counters: counters.clone(), log, commands: received };
    let thread = std::thread::Builder::new().name(format!("edge-{number}")).spawn(move || event_loop::run(start))?;
    Ok(CoreHandle { commands, counters, thread: Some(thread) })
}

fn start_control(
    pools: watch::Receiver<Arc<Vec<PoolConfig>>>,
    shared: Arc<Shared>,
    samples: Arc<Mutex<Samples>>,
) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("edge-control".into()).spawn(move || {
        let sample = move || {
            let snapshot = shared.snapshot.load();
            samples.lock().unwrap_or_else(PoisonError::into_inner).take(&snapshot);
        };
        runtime.block_on(control::run(pools, sample));
    })
}

/// Different for every run of the program: ids of requests must not repeat over a restart.
fn run_number() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64);
    now ^ (u64::from(std::process::id()) << 40)
}

fn route_status(route: &Route, samples: &Samples) -> pumasi_status::Route {
    let traffic = &*route.traffic;
    let recent = samples.recent(&[traffic], &route.name);
    pumasi_status::Route {
        route: route.name.clone(),
        pool: route.pool.name.clone(),
        pages: word_of(route.pages).to_owned(),
        traffic: samples.traffic(&[traffic], &route.name),
        status_1xx: traffic.class(1),
        status_2xx: traffic.class(2),
        status_3xx: traffic.class(3),
        status_4xx: traffic.class(4),
        status_5xx: traffic.class(5),
        bytes_in: traffic.bytes_in(),
        bytes_out: traffic.bytes_out(),
        first_byte_us_p50: recent.first_byte.quantile(0.5),
        first_byte_us_p95: recent.first_byte.quantile(0.95),
        first_byte_us_p99: recent.first_byte.quantile(0.99),
        queue_us_p95: recent.queue.quantile(0.95),
        clients_left: traffic.left(),
        hits: route.pages_counters.hits.load(Ordering::Relaxed),
        misses: route.pages_counters.misses.load(Ordering::Relaxed),
        stale: route.pages_counters.stale.load(Ordering::Relaxed),
        bypasses: route.pages_counters.bypasses(),
        invalidations: route.pages_counters.invalidations.status(),
    }
}

fn word_of(pages: PagesMode) -> &'static str {
    match pages {
        PagesMode::Off => "off",
        PagesMode::Standard => "standard",
        PagesMode::Automatic => "automatic",
    }
}

fn told(difference: pages::Difference) -> pumasi_status::PageDifference {
    let pages::Difference { kind, at_unix_ms, offset, before, after } = difference;
    pumasi_status::PageDifference { kind, at_unix_ms, offset: offset as u64, before, after }
}

/// Of `http://host:port/path?query`: the host without the port, and the path with the query. A path alone has no host.
fn host_and_path(url: &str) -> (&str, &str) {
    let Some((_, rest)) = url.split_once("://") else { return ("", url) };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let port = authority.rfind(':').filter(|at| !authority[*at..].contains(']'));
    (&authority[..port.unwrap_or(authority.len())], path)
}

#[cfg(test)]
pub(crate) mod tests;
