//! From the workers that run to the workers that a plan wants: start, replace one after another, stop.
use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc};

use pumasi_balance::Pool;
use pumasi_config::{Members, PoolPlan, WorkersPlan};
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    Setup, View,
    lifecycle::State,
    slot::{Board, Shown, Slot},
};

/// What a reload changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rollout {
    pub started: usize,
    pub replaced: usize,
    pub stopped: usize,
}

/// A new worker did not come up: the old ones go on serving.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("worker {worker} of the new configuration did not get ready, the old ones go on: it {cause}")]
pub struct RolloutError {
    pub worker: String,
    pub cause: String,
}

/// Early deaths of a replacing worker after which the rollout is called off: one may be bad luck (a port taken meanwhile).
const REPLACEMENT_DEATHS_MAX: u32 = 2;

/// The running workers of one pool.
pub struct PoolWorkers {
    plan: Rc<RefCell<Arc<PoolPlan>>>,
    pool: Arc<Pool>,
    board: Rc<Board>,
    slots: Vec<Handle>,
    generation: u64,
}

struct Handle {
    leave: watch::Sender<bool>,
    shown: watch::Receiver<Shown>,
    task: JoinHandle<()>,
}

impl Handle {
    async fn stop(self) {
        let _ = self.leave.send(true);
        let _ = self.task.await;
    }
}

/// Makes `running` what `plans` wants. Pools without workers are none of our business.
/// Errors: the first replacement that does not come up ends the rollout of its pool; the others are still brought up to date.
/// Cancel-safe: dropping it leaves every started worker in `running` or on its way out.
pub async fn apply(
    running: &mut BTreeMap<String, PoolWorkers>,
    plans: BTreeMap<String, PoolPlan>,
    pools: &BTreeMap<String, Arc<Pool>>,
    setup: &Arc<Setup>,
    view: &Arc<View>,
) -> Result<Rollout, RolloutError> {
    let mut done = Rollout::default();
    let mut failed = None;
    let wanted: BTreeMap<String, (PoolPlan, WorkersPlan)> = plans
        .into_iter()
        .filter_map(|(name, plan)| match plan.members.clone() {
            Members::Workers(workers) => Some((name, (plan, workers))),
            Members::Upstreams(_) => None,
        })
        .collect();
    let gone: Vec<String> = running.keys().filter(|name| !wanted.contains_key(*name)).cloned().collect();
    for name in gone {
        if let Some(workers) = running.remove(&name) {
            done.stopped += workers.slots.len();
            stop_slots(workers.slots).await;
            view.forget(&name);
        }
    }
    for (name, (plan, workers)) in wanted {
        let Some(pool) = pools.get(&name) else { continue };
        let of_pool = running.entry(name.clone()).or_insert_with(|| PoolWorkers {
            plan: Rc::new(RefCell::new(Arc::new(plan.clone()))),
            pool: pool.clone(),
            board: Rc::new(Board::new(&name, view.clone())),
            slots: vec![],
            generation: 0,
        });
        if let Err(error) = of_pool.become_as(plan, &workers, setup, &mut done).await {
            setup.journal.event("error", &format!("pool {name}"), &error.to_string());
            failed = failed.or(Some(error));
        }
    }
    failed.map_or(Ok(done), Err)
}

pub async fn stop_all(running: BTreeMap<String, PoolWorkers>) {
    stop_slots(running.into_values().flat_map(|workers| workers.slots).collect()).await;
}

/// All at once: each drains for itself.
async fn stop_slots(slots: Vec<Handle>) {
    for slot in &slots {
        let _ = slot.leave.send(true);
    }
    for slot in slots {
        slot.stop().await;
    }
}

impl PoolWorkers {
    async fn become_as(
        &mut self,
        plan: PoolPlan,
        workers: &WorkersPlan,
        setup: &Arc<Setup>,
        done: &mut Rollout,
    ) -> Result<(), RolloutError> {
        let before = self.plan.replace(Arc::new(plan));
        let surplus = self.slots.split_off(workers.workers.min(self.slots.len()));
        done.stopped += surplus.len();
        stop_slots(surplus).await;
        if started_differently(&before, workers) {
            for index in 0..self.slots.len() {
                if let Err(error) = self.replace(index, setup).await {
                    // Restarts of the old workers must go on with the old command.
                    self.plan.replace(before);
                    return Err(error);
                }
                done.replaced += 1;
            }
        }
        while self.slots.len() < workers.workers {
            let slot = self.open(self.slots.len() + 1, setup);
            self.slots.push(slot);
            done.started += 1;
        }
        Ok(())
    }

    /// The new worker is ready before the old one leaves: never fewer than configured. One that was given up is not waited for.
    async fn replace(&mut self, index: usize, setup: &Arc<Setup>) -> Result<(), RolloutError> {
        let mut new = self.open(index + 1, setup);
        let settled =
            |shown: &Shown| shown.state == State::Ready || shown.state == State::GivenUp || shown.deaths >= REPLACEMENT_DEATHS_MAX;
        let shown = new.shown.wait_for(settled).await.map(|shown| shown.clone()).unwrap_or_default();
        if shown.state != State::Ready {
            new.stop().await;
            return Err(RolloutError { worker: shown.name, cause: shown.last_exit.unwrap_or_default() });
        }
        let old = std::mem::replace(&mut self.slots[index], new);
        old.stop().await;
        Ok(())
    }

    fn open(&mut self, number: usize, setup: &Arc<Setup>) -> Handle {
        self.generation += 1;
        let (leave, told) = watch::channel(false);
        let (shown, seen) = watch::channel(Shown::default());
        let slot = Slot {
            number,
            generation: self.generation,
            plan: self.plan.clone(),
            pool: self.pool.clone(),
            setup: setup.clone(),
            board: self.board.clone(),
            shown,
        };
        Handle { leave, shown: seen, task: tokio::task::spawn_local(slot.live(told)) }
    }
}

/// Only what a process is started with makes it necessary to start another; time-outs apply to the one that runs.
fn started_differently(before: &PoolPlan, wanted: &WorkersPlan) -> bool {
    match &before.members {
        Members::Workers(was) => (&was.command, &was.env, &was.directory) != (&wanted.command, &wanted.env, &wanted.directory),
        Members::Upstreams(_) => true,
    }
}
