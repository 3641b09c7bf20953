//! A primary and its replicas: which of them answers a statement, and which of them is the primary.
//!
//! **Reads.** A replica answers a read once it has applied the last write to the tables that the read names ([`positions`], [`statement`]).
//! What a write touches besides the tables it names (foreign keys, triggers, views) is in [`schema`]. Whatever is not understood goes to the
//! primary, and counts as a write to any table.
//!
//! **Failover.** One thread per cluster asks every member how it is ([`watch`]). A primary is dead when we cannot reach it *and* every replica
//! that we reach has lost it ([`evidence`]); then the replica that has received most takes its place ([`promotion`]), the new epoch is on disk
//! before anybody writes to it, and nothing that the old primary says is believed any more.
//!
//! ```text
//! Served by A --no answer, replicas lost it--> Fenced (epoch + 1 on disk, writes wait) --promoted--> Served by B
//!                                                  A again --a subset--> follows B     --has more--> kept out
//! ```
mod control;
mod evidence;
mod gtid;
pub mod local;
mod member;
pub mod orders;
mod picture;
mod positions;
mod promotion;
mod record;
mod routing;
mod schema;
mod settings;
mod settle;
mod statement;
mod watch;

use std::{
    future::Future,
    hash::RandomState,
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use pumasi_balance::{Policy, Pool, Settings};
use pumasi_config::{ClusterPlan, FailoverMode};
use tokio::sync::watch as channel;

use self::{
    local::{Daemons, LocalError},
    positions::Positions,
    record::Record,
    routing::Counts,
    schema::Schema,
    statement::Understood,
};
use crate::{
    proxy::{
        Target,
        backend::{Backend, NoBackend},
        follow::Follow,
        route::{Role, Server},
    },
    results::Results,
};

pub use self::{
    gtid::{Gtid, Position},
    member::Member,
    routing::Writes,
};

/// A replica that answers reads again grows to its whole share over this time: its caches are cold.
const SLOW_START: Duration = Duration::from_secs(10);

/// What a cluster is started with.
pub struct Options {
    /// The database's name in the configuration.
    pub name: String,
    pub plan: ClusterPlan,
    /// Where the epoch is kept.
    pub record: PathBuf,
    pub members: Members,
}

pub enum Members {
    /// Servers that run elsewhere; the first is the primary until a promotion says otherwise.
    Servers(Vec<Target>),
    /// Servers that this cluster runs.
    Local(local::Plan),
}

#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error(transparent)]
    Local(#[from] LocalError),
    #[error("cannot read or write {path}: {error}")]
    Record { path: String, error: io::Error },
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    #[error("the servers do not serve after {seconds} s. {troubles}")]
    Start { seconds: u64, troubles: String },
}

/// Who is the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topology {
    /// One more with every promotion. Whatever was learned from the primary of another epoch is void.
    pub epoch: u64,
    /// `None` while there is none: from the decision that the old one is dead until the new one takes writes.
    pub primary: Option<usize>,
}

/// A cluster. Its thread ends with [`Cluster::stop`], its own servers too.
pub struct Cluster {
    name: String,
    plan: ClusterPlan,
    members: Vec<Arc<Member>>,
    /// The members as choices for reads.
    pool: Arc<Pool>,
    topology: channel::Sender<Topology>,
    servers: ArcSwap<Servers>,
    positions: Arc<Positions>,
    schema: Schema,
    understood: RwLock<Understood>,
    /// For the digests in `understood`.
    hashing: RandomState,
    counts: Counts,
    record: Mutex<Record>,
    record_path: PathBuf,
    daemons: Option<Daemons>,
    /// Whoever keeps answers, to be told of another primary.
    following: OnceLock<Arc<Follow>>,
    /// Orders of people; taken one at a time by the thread.
    orders: orders::Desk,
    /// The servers that are ours serve, and follow their primary.
    started: AtomicBool,
    stopping: channel::Sender<bool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Whom statements are sent to: replaced whole when roles change.
#[derive(Default)]
struct Servers {
    primary: Option<Arc<Server>>,
    /// By the member's number; `None` for the primary.
    replicas: Vec<Option<Arc<Server>>>,
}

impl Cluster {
    /// Starts the thread that watches the members, and the members if they are ours; those are waited for. Servers that run elsewhere need
    /// not be there yet.
    pub fn start(options: Options) -> Result<Arc<Cluster>, ClusterError> {
        let (daemons, targets): (Option<Daemons>, Vec<(String, Target)>) = match options.members {
            Members::Servers(targets) => (None, targets.into_iter().map(|target| (target.address(), target)).collect()),
            Members::Local(plan) => {
                let daemons = Daemons::prepare(plan)?;
                let name = |number: usize| format!("{}.{}", options.name, number + 1);
                let targets = daemons.ports().enumerate().map(|(number, port)| (name(number), Target::local(port))).collect();
                (Some(daemons), targets)
            }
        };
        let failed = |error| ClusterError::Record { path: options.record.display().to_string(), error };
        let record = Record::load(&options.record).map_err(failed)?;
        let members: Vec<Arc<Member>> = targets
            .into_iter()
            .enumerate()
            .map(|(number, (name, target))| {
                let weight = target.weight;
                let member = Member::new(number, name, target, weight);
                // By a person, and only a person puts it back.
                member.change(|state| state.drained = record.drained.contains(&member.name));
                Arc::new(member)
            })
            .collect();
        let settings = Settings { policy: Policy::RoundRobin, probed: true, slow_start: SLOW_START, ..Settings::default() };
        let pool = Arc::new(Pool::with_settings(options.name.clone(), settings));
        members.iter().for_each(|member| pool.join(member.upstream.clone()));
        // A primary that a promotion deposed stays deposed, whatever the configuration calls it.
        let primary = members.iter().position(|member| Some(&member.name) == record.primary.as_ref()).unwrap_or(0);
        let topology = Topology { epoch: record.epoch.max(1), primary: Some(primary) };
        let cluster = Arc::new(Cluster {
            name: options.name,
            plan: options.plan,
            pool,
            topology: channel::Sender::new(topology),
            servers: ArcSwap::from_pointee(Servers::of(&members, topology)),
            members,
            positions: Arc::default(),
            schema: Schema::default(),
            understood: RwLock::default(),
            hashing: RandomState::new(),
            counts: Counts::default(),
            record: Mutex::new(record),
            record_path: options.record,
            daemons,
            following: OnceLock::new(),
            orders: orders::Desk::default(),
            started: AtomicBool::new(false),
            stopping: channel::Sender::new(false),
            thread: Mutex::new(None),
        });
        let watching = cluster.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().map_err(ClusterError::Thread)?;
        let thread = thread::Builder::new()
            .name(format!("sql-cluster-{}", cluster.name))
            .spawn(move || watching.watch(&runtime))
            .map_err(ClusterError::Thread)?;
        *cluster.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        if cluster.daemons.is_some()
            && let Err(troubles) = cluster.wait_started()
        {
            cluster.stop();
            return Err(ClusterError::Start { seconds: local::START_TIMEOUT.as_secs(), troubles });
        }
        Ok(cluster)
    }

    fn wait_started(&self) -> Result<(), String> {
        let deadline = Instant::now() + local::START_TIMEOUT;
        while !self.started.load(SeqCst) {
            if Instant::now() > deadline {
                let trouble = |member: &Arc<Member>| member.state().trouble.map(|trouble| format!("{}: {trouble}", member.name));
                return Err(self.members.iter().filter_map(trouble).collect::<Vec<_>>().join("; "));
            }
            thread::park_timeout(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Ends the thread and the servers that are ours. Returns when they are gone.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
        if let Some(daemons) = &self.daemons {
            daemons.stop();
        }
    }

    pub fn members(&self) -> &[Arc<Member>] {
        &self.members
    }

    pub fn topology(&self) -> Topology {
        *self.topology.borrow()
    }

    /// Tells every change of primary and epoch.
    pub fn changes(&self) -> channel::Receiver<Topology> {
        self.topology.subscribe()
    }

    /// Where the primary is, for whoever reads its binary log. `None` while there is none.
    pub fn primary(&self) -> Option<Target> {
        self.topology().primary.map(|number| self.members[number].target.clone())
    }

    /// Starts to follow what is written, so that answers can be kept in `results`; and tells it of every other primary.
    pub fn follow(&self, results: Arc<Results>) -> io::Result<Arc<Follow>> {
        let servers = self.servers.load();
        let primary = servers.primary.clone();
        let target = primary.as_ref().map_or_else(|| self.members[0].target.clone(), |primary| primary.target.clone());
        let follow = Follow::start(target, results)?;
        if let Some(primary) = &primary {
            follow.primary_changed(primary);
        }
        let _ = self.following.set(follow.clone());
        Ok(follow)
    }

    fn automatic(&self) -> bool {
        self.plan.failover == FailoverMode::Automatic
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the record, on the disk first.
    fn write_record(&self, change: impl FnOnce(&mut Record)) -> Result<(), ClusterError> {
        let mut record = self.record();
        let mut new = record.clone();
        change(&mut new);
        let failed = |error| ClusterError::Record { path: self.record_path.display().to_string(), error };
        new.store(&self.record_path).map_err(failed)?;
        *record = new;
        Ok(())
    }

    /// Nobody writes to a primary from here on, and nothing that it says is believed.
    fn fence(&self, epoch: u64) {
        let old = self.servers.load_full();
        self.servers.store(Arc::new(Servers { primary: None, replicas: old.replicas.clone() }));
        // After the store: who finds the old one still there finds it deposed before it believes an answer.
        if let Some(primary) = &old.primary {
            primary.depose();
        }
        self.positions.forget_primary();
        self.members.iter().for_each(|member| member.part());
        self.topology.send_replace(Topology { epoch, primary: None });
    }

    /// `number` takes writes.
    fn serve_by(&self, epoch: u64, number: usize) {
        let old = self.servers.load_full();
        let topology = Topology { epoch, primary: Some(number) };
        let mut new = Servers::of(&self.members, topology);
        for (new, old) in new.replicas.iter_mut().zip(&old.replicas) {
            match (&new, old) {
                (Some(_), Some(_)) => *new = old.clone(),
                // Its reads may end; its connections do not become a primary's.
                (None, Some(old)) => old.retire(),
                _ => {}
            }
        }
        let primary = new.primary.clone();
        self.servers.store(Arc::new(new));
        if let (Some(follow), Some(primary)) = (self.following.get(), &primary) {
            // Before anybody is told to write to it.
            follow.primary_changed(primary);
        }
        self.topology.send_replace(topology);
    }
}

impl Servers {
    fn of(members: &[Arc<Member>], topology: Topology) -> Servers {
        let server = |member: &Arc<Member>, role| Server::of(member.target.clone(), role, Some(member.clone()));
        Servers {
            primary: topology.primary.map(|number| server(&members[number], Role::Primary)),
            replicas: members
                .iter()
                .map(|member| (topology.primary != Some(member.number)).then(|| server(member, Role::Replica)))
                .collect(),
        }
    }
}

/// A new connection to a server, if it is to the server that the probes know: one that was restarted may have lost what it had applied.
pub(crate) async fn admitted(server: &Server, connecting: impl Future<Output = Result<Backend, NoBackend>>) -> Result<Backend, NoBackend> {
    let (Role::Replica, Some(member)) = (server.role, &server.member) else { return connecting.await };
    // Before the connection is made: whatever it had applied then, the server behind the connection must have.
    let applied = member.applied();
    let mut backend = connecting.await?;
    let (position, domain) = (control::position(&mut backend).await, member.domain());
    match position {
        Some(position) if position.sequence(domain) >= applied => Ok(backend),
        _ => {
            member.part();
            Err(NoBackend::Unreachable {
                address: member.target.address(),
                error: crate::front::wire::Lost::Io(io::Error::other("it was restarted and has lost transactions that it had applied")),
            })
        }
    }
}
