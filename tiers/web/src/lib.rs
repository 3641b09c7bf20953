//! Runs the application's worker processes: start, probe, replace, stop.
//!
//! A *worker* is one process of the application (and whatever that process starts). Every worker has a guardian: a tiny process of
//! ours between Pumasi and the worker, which ends the worker's whole family when Pumasi is gone, however it went. Everything here
//! runs on one control thread; nothing of it is on the path of a request.
mod backoff;
mod census;
pub mod guardian;
mod lifecycle;
mod output;
mod port;
mod probe;
mod process;
mod rollout;
mod slot;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

pub use output::Journal;
pub use probe::{Probe, Probes};
pub use process::{GuardianProgram, OWN_PROGRAM};
pub use rollout::{Rollout, RolloutError};

use census::Census;
use pumasi_balance::Pool;
use pumasi_config::{Hole, Members, PoolPlan};
use pumasi_freshness::Witness;
use pumasi_status as status;
use rollout::PoolWorkers;
use tokio::sync::{mpsc, oneshot};

/// What a worker gets from the other tiers, made by the binary for each start of a worker and dropped when that worker is gone.
pub trait Resources: Send + Sync + 'static {
    /// Opens what is this worker's own: its SQL listeners. The error text names the address that could not be had.
    fn bind(&self, worker: &str) -> Result<Box<dyn Binding>, String>;
}

/// One worker's own addresses.
pub trait Binding: Send + 'static {
    /// What fills a hole that names another tier; `None` for a hole this binding does not know.
    fn fill(&self, hole: &Hole) -> Option<String>;
    /// What sees this worker's database statements, if they pass through Pumasi.
    fn witness(&self) -> Option<Arc<Witness>>;
}

/// What the supervisor is built with.
pub struct Setup {
    pub resources: Arc<dyn Resources>,
    pub probes: Arc<dyn Probes>,
    pub journal: Arc<dyn Journal>,
    pub guardian: GuardianProgram,
    /// How long a worker that leaves may finish the requests it has.
    pub drain_timeout: Duration,
}

/// The running supervisor. Dropping it without [`Web::stop`] ends every worker at once.
pub struct Web {
    orders: mpsc::UnboundedSender<Order>,
    view: Arc<View>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

/// Why not one worker of a pool came up.
#[derive(Debug, thiserror::Error)]
#[error("no worker of pool \"{pool}\" got ready: {cause}")]
pub struct StartFailed {
    pub pool: String,
    /// How the last one ended, with the last lines of its output.
    pub cause: String,
}

enum Order {
    Reload { plans: BTreeMap<String, PoolPlan>, pools: BTreeMap<String, Arc<Pool>>, done: oneshot::Sender<Result<Rollout, RolloutError>> },
    Stop { done: oneshot::Sender<()> },
}

/// What other threads may see: one picture per pool, replaced whole by the control thread.
#[derive(Default)]
pub(crate) struct View {
    pools: Mutex<BTreeMap<String, Vec<slot::Shown>>>,
    census: Mutex<Census>,
}

impl Web {
    /// Starts the workers of every pool whose members are workers; `pools` are the pools they join when they are ready.
    /// Returns at once: [`Web::wait_ready`] waits.
    pub fn start(plans: BTreeMap<String, PoolPlan>, pools: BTreeMap<String, Arc<Pool>>, setup: Setup) -> std::io::Result<Web> {
        let (orders, received) = mpsc::unbounded_channel();
        let view = Arc::new(View::default());
        for plan in plans.values() {
            if let Members::Workers(workers) = &plan.members {
                view.publish(&plan.name, vec![slot::Shown::default(); workers.workers]);
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let seen = view.clone();
        let thread = std::thread::Builder::new().name("web".into()).spawn(move || {
            runtime.block_on(tokio::task::LocalSet::new().run_until(control(plans, pools, Arc::new(setup), seen, received)))
        })?;
        Ok(Web { orders, view, thread: Mutex::new(Some(thread)) })
    }

    /// Waits until every pool has a worker that takes requests. Errors: [`StartFailed`] as soon as all workers of one pool were given up.
    /// Blocks the calling thread; looks `every` so often whether `interrupted` says to stop waiting (then `Ok(false)`).
    pub fn wait_ready(&self, every: Duration, interrupted: impl Fn() -> bool) -> Result<bool, StartFailed> {
        loop {
            match self.view.readiness() {
                Readiness::Ready => return Ok(true),
                Readiness::Failed(failed) => return Err(failed),
                Readiness::NotYet if interrupted() => return Ok(false),
                Readiness::NotYet => std::thread::park_timeout(every),
            }
        }
    }

    /// Makes the workers what `plans` says: pools come and go, changed commands and environments replace workers one after another,
    /// a changed number starts or stops some. The receiver gets the outcome when the last worker is replaced.
    pub fn reload(
        &self,
        plans: BTreeMap<String, PoolPlan>,
        pools: BTreeMap<String, Arc<Pool>>,
    ) -> oneshot::Receiver<Result<Rollout, RolloutError>> {
        let (done, outcome) = oneshot::channel();
        // If the control thread is gone the sender is dropped with the order, and the receiver says so.
        let _ = self.orders.send(Order::Reload { plans, pools, done });
        outcome
    }

    /// One entry per pool of workers, with memory and CPU of each worker's whole family. Reads /proc at most once a second.
    pub fn status(&self) -> Vec<status::Pool> {
        let shown = self.view.pools.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut census = self.view.census.lock().unwrap_or_else(PoisonError::into_inner);
        census.refresh();
        shown
            .into_iter()
            .map(|(name, slots)| status::Pool {
                upstreams: slots.iter().map(|slot| slot.status(&census)).collect(),
                name,
                ..status::Pool::default()
            })
            .collect()
    }

    /// Drains every worker, then TERM, then KILL; returns when none is left. A rollout that is under way is called off.
    pub fn stop(&self) {
        let (done, finished) = oneshot::channel();
        if self.orders.send(Order::Stop { done }).is_ok() {
            let _ = finished.blocking_recv();
        }
        self.join();
    }

    fn join(&self) {
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        // The control thread ends when the last sender is gone, and with it every guardian's lifeline.
        let (closed, _) = mpsc::unbounded_channel();
        self.orders = closed;
        self.join();
    }
}

enum Readiness {
    Ready,
    NotYet,
    Failed(StartFailed),
}

impl View {
    pub(crate) fn publish(&self, pool: &str, slots: Vec<slot::Shown>) {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner).insert(pool.to_owned(), slots);
    }

    pub(crate) fn forget(&self, pool: &str) {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner).remove(pool);
    }

    fn readiness(&self) -> Readiness {
        let pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = true;
        for (pool, slots) in pools.iter() {
            if !slots.is_empty() && slots.iter().all(|slot| slot.state == lifecycle::State::GivenUp) {
                let cause = slots.iter().rev().find_map(|slot| slot.last_exit.clone()).unwrap_or_default();
                return Readiness::Failed(StartFailed { pool: pool.clone(), cause });
            }
            all &= slots.is_empty() || slots.iter().any(|slot| slot.state == lifecycle::State::Ready);
        }
        if all { Readiness::Ready } else { Readiness::NotYet }
    }
}

/// The control thread: obeys orders until the last handle is gone.
async fn control(
    plans: BTreeMap<String, PoolPlan>,
    pools: BTreeMap<String, Arc<Pool>>,
    setup: Arc<Setup>,
    view: Arc<View>,
    mut orders: mpsc::UnboundedReceiver<Order>,
) {
    let mut running: BTreeMap<String, PoolWorkers> = BTreeMap::new();
    rollout::apply(&mut running, plans, &pools, &setup, &view).await.ok();
    let mut next = orders.recv().await;
    while let Some(order) = next {
        match order {
            Order::Reload { plans, pools, done } => {
                // A newer order overtakes a rollout that is still waiting for a worker: the newest wish counts.
                next = tokio::select! {
                    outcome = rollout::apply(&mut running, plans, &pools, &setup, &view) => {
                        let _ = done.send(outcome);
                        orders.recv().await
                    }
                    newer = orders.recv() => newer,
                };
            }
            Order::Stop { done } => {
                rollout::stop_all(running).await;
                let _ = done.send(());
                return;
            }
        }
    }
}
