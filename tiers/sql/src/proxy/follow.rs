//! Follows what is written through the proxy, so that answers of a real server can be kept until a write makes them wrong.
//!
//! The steps are those of `parts/freshness`: a statement that commits is fenced before it is sent ([`session`]), its tables and all that triggers
//! and foreign keys write in turn ([`catalogue`]) are bumped before its client has the OK. What is not understood counts as a write to
//! everything ([`plan`]).
//!
//! **Schema changes.** A [`Generation`] is one reading of the catalogue; every statement holds the one it was planned by until it has ended. A
//! statement that may change the schema fences everything; the catalogue is read again; and the fence stays until the last statement planned
//! by the old one has ended, because the tables that one has fenced may be too few by then.
//!
//! **Unknown outcomes.** A statement whose answer was lost may still be executing. Its fence stays until the server has no such thread any more.
mod binlog;
pub mod catalogue;
mod control;
pub mod plan;
pub mod session;
mod visible;

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{
            AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    thread,
};

use pumasi_binlog::Gtid;
use pumasi_freshness::{Changes, Fence, Freshness, Tables};
use pumasi_sqltext::{Digest, Reason};
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, info, warn};

use self::{
    binlog::Told,
    catalogue::Catalogue,
    plan::{Plan, Reads},
};
use super::{
    route::{Route, Server},
    target::Target,
};
use crate::results::{Key, Results};

pub use self::session::{Ended, Running, Sent, Session, Standing, Thread};

/// Digests whose plans are remembered. When full, all are forgotten.
const PLANS_MAX: usize = 4096;

/// Answers to preparations that are remembered, each of [`PREPARED_BYTES_MAX`] at most. When full, all are forgotten.
const PREPARED_MAX: usize = 4096;
const PREPARED_BYTES_MAX: usize = 8 * 1024;

/// Nothing has been read yet.
const UNKNOWN: &str = "catalogue-unknown";

/// One real database whose writes are followed.
pub struct Follow {
    results: Arc<Results>,
    current: Mutex<Arc<Generation>>,
    /// To the thread that has a connection of its own. Bounded by the statements that can be in flight.
    orders: mpsc::UnboundedSender<Order>,
    /// The number of the server that writes go to; zero as long as there is only one.
    primary: AtomicU64,
    told: Told,
    /// Who chooses among servers: it has to know of writes past the proxy before they are bumped.
    route: OnceLock<Weak<dyn Route>>,
    counters: Counters,
}

#[derive(Default)]
struct Counters {
    unseen_commits: AtomicU64,
    unknown_outcomes: AtomicU64,
    schema_changes: AtomicU64,
    readings: AtomicU64,
}

/// One reading of the catalogue, and what was planned by it.
pub struct Generation {
    /// Or why there is none.
    catalogue: Result<Catalogue, String>,
    plans: Mutex<Plans>,
    /// What the server said to COM_STMT_PREPARE, by text and session. The numbers in it are to be replaced.
    prepared: Mutex<HashMap<Key, Arc<[u8]>>>,
    /// Of the statements that ended it; lowered when nobody plans by it any more.
    fences: Mutex<Vec<Fence>>,
}

/// By database and digest.
type Plans = HashMap<(Option<String>, String), Arc<Plan>>;

enum Order {
    /// Read the catalogue again, and answer when what is planned from now on is planned by it.
    Read { fence: Fence, done: oneshot::Sender<()> },
    /// Lower the fence when the thread is gone.
    Settle { fence: Fence, thread: Thread },
    /// Another server is the primary now.
    Primary(Target),
}

impl Follow {
    /// Starts the thread that reads the catalogue, as whom `target` names.
    pub fn start(target: Target, results: Arc<Results>) -> io::Result<Arc<Follow>> {
        let (orders, inbox) = mpsc::unbounded_channel();
        let follow = Arc::new(Follow {
            results,
            current: Mutex::new(Arc::new(Generation::new(Err(UNKNOWN.to_owned())))),
            orders,
            primary: AtomicU64::new(0),
            told: Told::default(),
            route: OnceLock::new(),
            counters: Counters::default(),
        });
        let weak = Arc::downgrade(&follow);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let serve = move || tokio::task::LocalSet::new().block_on(&runtime, control::run(weak, target, inbox));
        thread::Builder::new().name("sql-follow".into()).spawn(serve)?;
        Ok(follow)
    }

    /// `route` chooses who answers; once, before anything is asked.
    pub fn answered_by(&self, route: &Arc<dyn Route>) {
        let _ = self.route.set(Arc::downgrade(route));
    }

    /// The transaction at `gtid` did not pass through the proxy. Call before its tables are bumped: an answer that is stamped afterwards must not come
    /// from a replica that has not applied it.
    fn written_past(&self, gtid: Option<Gtid>) {
        if let (Some(gtid), Some(route)) = (gtid, self.route.get().and_then(Weak::upgrade)) {
            route.written_past(gtid);
        }
    }

    pub fn freshness(&self) -> &Arc<Freshness> {
        self.results.freshness()
    }

    pub fn results(&self) -> &Arc<Results> {
        &self.results
    }

    /// Whether a write to anything `sql` reads is on its way; true for what is not understood.
    pub fn fenced(&self, sql: &[u8], database: Option<&str>) -> bool {
        let digest = Digest::of(sql);
        let deps = self.generation().plan(sql, &digest, database).deps(&digest, &[]);
        deps.is_none_or(|deps| self.freshness().fenced(&deps))
    }

    /// What statements are planned by now. Hold it until the statement has ended.
    pub fn generation(&self) -> Arc<Generation> {
        self.current().clone()
    }

    /// Another server became the primary: what was kept is forgotten, and whatever was not settled at the old one is settled by that.
    pub fn primary_changed(&self, server: &Server) {
        self.primary.store(server.number, SeqCst);
        self.freshness().new_epoch();
        let _ = self.orders.send(Order::Primary(server.target.clone()));
    }

    /// Whether what `server` answers is the present. Another one may be behind.
    pub fn is_primary(&self, server: u64) -> bool {
        let primary = self.primary.load(SeqCst);
        primary == 0 || primary == server
    }

    /// Whether a change of the schema that does not pass through the proxy becomes known.
    pub fn sees_foreign_schema_changes(&self) -> bool {
        self.told.live()
    }

    /// Every base table by database and name, for people.
    pub fn tables(&self) -> Vec<(String, String)> {
        let generation = self.generation();
        let names = generation.catalogue().into_iter().flat_map(Catalogue::names);
        names.map(|(database, name)| (database.to_owned(), name.to_owned())).collect()
    }

    /// For status and console.
    pub fn mode(&self) -> String {
        match &self.current().catalogue {
            Ok(_) if self.told.live() => "row-exact".to_owned(),
            Ok(_) => format!("table-exact; writes that do not pass through Pumasi are not seen: {}", self.told.trouble()),
            Err(why) => format!("off: {why}"),
        }
    }

    pub fn status(&self) -> pumasi_status::Followed {
        let (unseen_total, exact_total, late_total) = self.told.counts();
        let (unseen_commits, unknown_outcomes) = self.surprises();
        pumasi_status::Followed {
            mode: self.mode(),
            lag_ms: self.told.live().then(|| self.told.lag_ms()),
            unseen_total,
            exact_total,
            late_total,
            surprises_total: unseen_commits + unknown_outcomes,
        }
    }

    /// Commits that no fence covered, and outcomes that were not learnt: both emptied the stores.
    pub fn surprises(&self) -> (u64, u64) {
        (self.counters.unseen_commits.load(Relaxed), self.counters.unknown_outcomes.load(Relaxed))
    }

    /// Reads the catalogue again before the statement behind `fence` is answered.
    async fn schema_changed(&self, fence: Fence) {
        self.counters.schema_changes.fetch_add(1, Relaxed);
        let (done, read) = oneshot::channel();
        match self.orders.send(Order::Read { fence, done }) {
            // The fence stays where it is needed; a thread that has ended drops it, which forgets everything.
            Ok(()) => _ = read.await,
            Err(order) => drop(order),
        }
    }

    fn outcome_unknown(&self, fence: Fence, thread: Thread) {
        self.counters.unknown_outcomes.fetch_add(1, Relaxed);
        let _ = self.orders.send(Order::Settle { fence, thread });
    }

    fn committed_unseen(&self) {
        self.counters.unseen_commits.fetch_add(1, Relaxed);
        self.freshness().new_epoch();
    }

    /// Makes `next` what statements are planned by. `fences` cover everything; those of statements still planned by the old one go with it.
    fn replace(&self, catalogue: Result<Catalogue, String>, mut fences: Vec<Fence>) {
        if fences.is_empty() {
            fences.push(self.freshness().fence(Tables::All));
        }
        match &catalogue {
            // Once for people; after that each change of the schema would say it.
            Ok(catalogue) if self.counters.readings.fetch_add(1, Relaxed) == 0 => {
                info!(tables = catalogue.tables(), "the database's catalogue has been read");
            }
            Ok(catalogue) => debug!(tables = catalogue.tables(), "the database's catalogue has been read again"),
            Err(reason) => warn!(%reason, "the database is not followed: nothing of it is kept"),
        }
        let next = Arc::new(Generation::new(catalogue));
        let old = std::mem::replace(&mut *self.current(), next);
        old.fences().append(&mut fences);
    }

    fn current(&self) -> MutexGuard<'_, Arc<Generation>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generation {
    fn new(catalogue: Result<Catalogue, String>) -> Generation {
        Generation { catalogue, plans: Mutex::default(), prepared: Mutex::default(), fences: Mutex::default() }
    }

    /// What has to be done around a statement; by its digest, if it has one.
    fn plan(&self, sql: &[u8], digest: &Result<Digest<'_>, Reason>, database: Option<&str>) -> Arc<Plan> {
        let Ok(catalogue) = &self.catalogue else {
            // Without a catalogue nobody can say what a write writes, and nothing that was read is kept.
            let mut plan = Plan::of(sql, digest, database, &Catalogue::default());
            if matches!(plan.reads, Reads::Rows(_) | Reads::Refused(_)) {
                plan.reads = Reads::Refused(UNKNOWN);
            }
            return Arc::new(plan);
        };
        let Ok(known) = digest else { return Arc::new(Plan::of(sql, digest, database, catalogue)) };
        let name = (database.map(str::to_owned), known.text.clone());
        if let Some(plan) = self.plans().get(&name) {
            return plan.clone();
        }
        // Outside the lock: a tree may take a while.
        let plan = Arc::new(Plan::of(sql, digest, database, catalogue));
        let mut plans = self.plans();
        if plans.len() >= PLANS_MAX {
            plans.clear();
        }
        plans.insert(name, plan.clone());
        plan
    }

    /// The answer that a preparation had.
    pub fn prepared(&self, key: &[u8]) -> Option<Arc<[u8]>> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Remembers it, as long as this is how the catalogue reads.
    pub fn keep_prepared(&self, key: Key, packets: Arc<[u8]>) {
        if packets.len() > PREPARED_BYTES_MAX || !self.followed() {
            return;
        }
        let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        if prepared.len() >= PREPARED_MAX {
            prepared.clear();
        }
        prepared.insert(key, packets);
    }

    fn catalogue(&self) -> Option<&Catalogue> {
        self.catalogue.as_ref().ok()
    }

    /// Whether reads may be kept at all.
    pub fn followed(&self) -> bool {
        self.catalogue.is_ok()
    }

    fn plans(&self) -> MutexGuard<'_, Plans> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fences(&self) -> MutexGuard<'_, Vec<Fence>> {
        self.fences.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        for fence in std::mem::take(&mut *self.fences()) {
            fence.commit(&Changes::new());
        }
    }
}

#[cfg(test)]
mod tests;
