//! The running tiers and how they hang together: start, picture, reload, stop.

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, bail};
use pumasi_balance::{Pool, Settings};
use pumasi_config::{BalancePolicy, Loaded, Plan, PoolPlan, Source};
use pumasi_status::Status;
use pumasi_web::{GuardianProgram, Setup, Web};

use crate::{
    addresses, configuration::Configuration, databases::Databases, diary::Diary, failure::Failure, logging::Logging, own_process, reload,
};

/// Everything that runs.
///
/// Started from the inside out (databases, workers, edge) and stopped from the outside in, so that whoever calls finds whom it calls.
pub struct House {
    configuration: Configuration,
    logging: Logging,
    diary: Arc<Diary>,
    started: Instant,
    databases: Arc<Databases>,
    web: Web,
    /// What a reload changes. One reload at a time: the lock is held through all of it.
    current: Mutex<Current>,
}

struct Current {
    plan: Plan,
    pools: BTreeMap<String, Arc<Pool>>,
}

/// What a reload did, in words.
pub type Reloaded = String;

impl House {
    /// Starts every tier. The workers may still be starting when it returns: see [`House::wait_ready`].
    pub fn start(
        configuration: Configuration,
        loaded: Loaded,
        databases: Arc<Databases>,
        logging: Logging,
        diary: Arc<Diary>,
    ) -> Result<House, Failure> {
        let plan = loaded.plan;
        let pools: BTreeMap<String, Arc<Pool>> =
            plan.pools.values().map(|pool| (pool.name.clone(), Arc::new(Pool::with_settings(&pool.name, settings_of(pool))))).collect();
        let setup = Setup {
            resources: databases.clone(),
            journal: diary.clone(),
            guardian: GuardianProgram { program: std::env::current_exe().context("cannot tell the path of this program")? },
            drain_timeout: plan.edge.limits.drain_timeout,
        };
        let web = Web::start(plan.pools.clone(), pools.clone(), setup).context("cannot start the supervisor's thread")?;
        Ok(House { configuration, logging, diary, started: Instant::now(), databases, web, current: Mutex::new(Current { plan, pools }) })
    }

    /// Waits until every pool has a worker that takes requests. `Ok(false)`: `interrupted` said to stop waiting.
    pub fn wait_ready(&self, interrupted: impl Fn() -> bool) -> Result<bool, Failure> {
        const LOOK_EVERY: Duration = Duration::from_millis(50);
        Ok(self.web.wait_ready(LOOK_EVERY, interrupted)?)
    }

    pub fn status(&self) -> Status {
        let (cpu_ms, memory_bytes) = own_process::cost();
        Status {
            version: env!("CARGO_PKG_VERSION").into(),
            uptime_s: self.started.elapsed().as_secs(),
            cpu_ms,
            memory_bytes,
            pools: self.web.status(),
            sql: self.databases.status(),
            events: self.diary.events(),
            ..Status::default()
        }
    }

    /// Reads the configuration again and makes the house what it says, or changes nothing and says why.
    pub fn reload(&self) -> Result<Reloaded, Failure> {
        let outcome = self.try_reload();
        match &outcome {
            Ok(done) => self.diary.note("info", "configuration", done),
            Err(failure) => self.diary.note("error", "configuration", &format!("reload refused: {failure}")),
        }
        outcome
    }

    fn try_reload(&self) -> Result<Reloaded, Failure> {
        let mut current = self.current();
        let (source, loaded) = self.configuration.load()?;
        self.check_reload(&current.plan, &source, &loaded)?;
        let changes = reload::changes(&current.plan, &loaded.plan);
        if changes.is_empty() {
            return Ok("reloaded: nothing changed".into());
        }
        let Loaded { plan, .. } = loaded;
        let mut pools = current.pools.clone();
        for pool in plan.pools.values() {
            match pools.get(&pool.name) {
                Some(running) => running.set_settings(settings_of(pool)),
                None => _ = pools.insert(pool.name.clone(), Arc::new(Pool::with_settings(&pool.name, settings_of(pool)))),
            }
        }
        // Workers of new pools come before the routes that lead to them, workers of dropped pools go after.
        let mut both = plan.pools.clone();
        both.extend(
            current.plan.pools.iter().filter(|(name, _)| !plan.pools.contains_key(*name)).map(|(name, pool)| (name.clone(), pool.clone())),
        );
        self.roll_out(both, pools.clone())?;
        pools.retain(|name, _| plan.pools.contains_key(name));
        self.roll_out(plan.pools.clone(), pools.clone())?;
        self.logging.set_level(&plan.log);
        *current = Current { plan, pools };
        Ok(format!("reloaded: {}", changes.join(", ")))
    }

    fn check_reload(&self, now: &Plan, source: &Source, loaded: &Loaded) -> Result<(), Failure> {
        let fixed = reload::needs_restart(now, &loaded.plan);
        if !fixed.is_empty() {
            let keys = fixed.join(", ");
            return Err(anyhow!("a reload cannot change {keys}. Restart Pumasi for that, or take the change back").into());
        }
        addresses::check_free(source, loaded, Some(now)).map_err(|text| anyhow!(text).into())
    }

    fn roll_out(&self, plans: BTreeMap<String, PoolPlan>, pools: BTreeMap<String, Arc<Pool>>) -> anyhow::Result<()> {
        match self.web.reload(plans, pools).blocking_recv() {
            Ok(outcome) => outcome.map(drop).context("the workers could not be replaced"),
            Err(_) => bail!("overtaken by a newer reload, or Pumasi is stopping"),
        }
    }

    /// Drains and stops every tier, from the outside in.
    pub fn stop(&self) {
        self.web.stop();
        self.databases.stop();
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn settings_of(pool: &PoolPlan) -> Settings {
    Settings {
        policy: match pool.policy {
            BalancePolicy::RoundRobin => pumasi_balance::Policy::RoundRobin,
            BalancePolicy::LeastInFlight => pumasi_balance::Policy::LeastInFlight,
        },
        eject_after: pool.eject_after,
        eject_for: pool.eject_for,
        probed: pool.probe.is_some(),
        concurrency_max: pool.concurrency_max.and_then(NonZeroU32::new),
        queue_max: pool.queue_max,
        ..Settings::default()
    }
}
