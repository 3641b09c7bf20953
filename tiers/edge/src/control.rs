//! The thread beside the cores: probes members, resolves their names, takes a sample of the counters every second.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use pumasi_balance::{Pool, Upstream};
use pumasi_config::{Members, PoolPlan, UpstreamPlan};
use pumasi_freshness::Witness;
use tokio::{sync::watch, task::JoinSet};
use tracing::{info, warn};

use crate::probe::Prober;

/// A name that does not resolve is tried again this soon, or sooner if the others are.
const RESOLVE_RETRY: Duration = Duration::from_secs(2);

/// A pool and how it is configured. Fixed upstreams are resolved, joined and left by the edge; workers join and leave by the web tier.
#[derive(Clone)]
pub struct PoolConfig {
    pub plan: PoolPlan,
    pub pool: Arc<Pool>,
}

/// Runs until `pools` is closed. Each new value replaces all tasks: a reload is rare, and probes start at once.
pub(crate) async fn run(mut pools: watch::Receiver<Arc<Vec<PoolConfig>>>, mut each_second: impl FnMut()) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        let current = pools.borrow_and_update().clone();
        let mut tasks = JoinSet::new();
        for pool in current.iter() {
            if let Members::Upstreams(upstreams) = &pool.plan.members {
                tasks.spawn(keep_resolved(pool.pool.clone(), upstreams.clone(), pool.plan.resolve_every));
            }
            match Prober::of(&pool.plan) {
                Ok(Some(prober)) => _ = tasks.spawn(keep_probing(pool.pool.clone(), Arc::new(prober))),
                Ok(None) => {}
                // It was readable a moment ago, when the edge took the configuration over.
                Err(error) => warn!(pool = %pool.plan.name, %error, "no probes: TLS cannot be set up"),
            }
        }
        loop {
            tokio::select! {
                changed = pools.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
                _ = second.tick() => each_second(),
            }
        }
    }
}

// === names ===

/// Makes the pool's members what the names of `upstreams` stand for, again each `every`.
async fn keep_resolved(pool: Arc<Pool>, upstreams: Vec<UpstreamPlan>, every: Duration) {
    // The plan's weights count when it is new; afterwards an operator may have changed them.
    let mut weights = Weights::Set;
    loop {
        let mut wanted = Vec::new();
        let mut failed = false;
        for upstream in &upstreams {
            match tokio::net::lookup_host(upstream.address.as_str()).await {
                Ok(addresses) => {
                    wanted.extend(addresses.map(|address| Wanted { written: upstream.address.clone(), address, weight: upstream.weight }))
                }
                Err(error) => {
                    failed = true;
                    warn!(pool = %pool.name, upstream = %upstream.address, %error, "upstream's name does not resolve");
                    // What it stood for before may well be alive: an outage of the name service must not become one of the site.
                    let known = pool.upstreams();
                    let members = known.iter().filter(|u| written_as(&u.name) == upstream.address);
                    wanted.extend(members.map(|u| Wanted {
                        written: upstream.address.clone(),
                        address: u.address,
                        weight: upstream.weight,
                    }));
                }
            }
        }
        set_members(&pool, &wanted, weights);
        weights = Weights::Keep;
        tokio::time::sleep(if failed { RESOLVE_RETRY.min(every) } else { every }).await;
    }
}

/// One member as it should be.
pub(crate) struct Wanted {
    /// `host:port` as in the configuration.
    pub written: String,
    pub address: SocketAddr,
    pub weight: u32,
}

/// What becomes of the weights of members that stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weights {
    Set,
    Keep,
}

/// Joins who is new, lets leave who is gone, leaves everybody else alone: their connections and health stay.
pub(crate) fn set_members(pool: &Pool, wanted: &[Wanted], weights: Weights) {
    let now = pool.upstreams();
    for upstream in now.iter().filter(|u| !wanted.iter().any(|w| w.address == u.address)) {
        info!(pool = %pool.name, upstream = %upstream.name, "upstream left");
        pool.leave(upstream);
    }
    for (i, new) in wanted.iter().enumerate() {
        if wanted[..i].iter().any(|earlier| earlier.address == new.address) {
            continue; // written twice, or two names of one address
        }
        match now.iter().find(|u| u.address == new.address) {
            Some(known) if weights == Weights::Set && known.weight() != new.weight => pool.set_weight(known, new.weight),
            Some(_) => {}
            None => pool.join(Arc::new(Upstream::new(name_of(new), new.address, new.weight, None))),
        }
    }
}

/// The address as written; with what it resolved to behind it when that differs.
fn name_of(wanted: &Wanted) -> String {
    match wanted.written == wanted.address.to_string() {
        true => wanted.written.clone(),
        false => format!("{} ({})", wanted.written, wanted.address),
    }
}

fn written_as(name: &str) -> &str {
    name.split(' ').next().unwrap_or(name)
}

// === probes ===

/// Asks every member what the probe asks, each at its own pace, and tells the pool.
async fn keep_probing(pool: Arc<Pool>, prober: Arc<Prober>) {
    let mut every = tokio::time::interval(prober.plan().every.max(Duration::from_millis(10)));
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut running: HashMap<SocketAddr, tokio::task::JoinHandle<()>> = HashMap::new();
    let mut under_way = JoinSet::new();
    loop {
        every.tick().await;
        while under_way.try_join_next().is_some() {}
        running.retain(|_, task| !task.is_finished());
        for upstream in pool.upstreams().iter() {
            if running.contains_key(&upstream.address) {
                continue; // the last probe still waits for its timeout
            }
            let (pool, upstream, prober) = (pool.clone(), upstream.clone(), prober.clone());
            let address = upstream.address;
            // In the set as well, so that dropping this task ends them.
            let (done, finished) = tokio::sync::oneshot::channel::<()>();
            under_way.spawn(async move {
                probe_once(&pool, &upstream, &prober).await;
                drop(done);
            });
            running.insert(address, tokio::spawn(async move { drop(finished.await) }));
        }
    }
}

async fn probe_once(pool: &Arc<Pool>, upstream: &Arc<Upstream>, prober: &Prober) {
    // A probe is a request too: what it makes the application read belongs to a request that ends.
    let window = upstream.witness.as_ref().map(Witness::open_for_nobody);
    let verdict = prober.ask(upstream).await;
    drop(window);
    if let Some(change) = pool.probed(upstream, verdict.is_ok(), Instant::now()) {
        let reason = verdict.err().unwrap_or_default();
        info!(pool = %pool.name, upstream = %upstream.name, from = change.from.word(), to = change.to.word(), reason, "a probe changed an upstream's health");
    }
}
