//! The cluster's thread: asks every member how it is, keeps the positions current, restarts servers of our own, and decides.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering::SeqCst},
    time::{Duration, Instant},
};

use tokio::{runtime::Runtime, task::LocalSet, time::sleep};
use tracing::{debug, info, warn};

use super::{
    Cluster, Topology,
    control::{Control, Failed},
    evidence::{Verdict, judge},
    gtid::Position,
    local::Role as Start,
    member::Member,
    orders::{Answer, Order},
    settings, settle,
};
use crate::proxy::route::{Role, Server};

/// How often the primary is asked where it stands. The bound on how long a read may miss a write that was made past Pumasi.
pub const PRIMARY_EVERY: Duration = Duration::from_millis(500);

/// How often it is asked while it may execute a statement whose answer was lost.
const SETTLE_EVERY: Duration = Duration::from_millis(50);

/// How often a replica that has nothing to catch up with is asked how it is.
const REPLICA_EVERY: Duration = Duration::from_millis(300);

/// How long a replica is let wait for the primary's position before it is asked something else.
const CATCH_UP: Duration = Duration::from_millis(200);

/// A schema that was changed past Pumasi is known after this.
const SCHEMA_EVERY: Duration = Duration::from_secs(30);

/// Between attempts to reach a member.
const RETRY_EVERY: Duration = Duration::from_millis(150);

/// Between looks at the whole.
const DECIDE_EVERY: Duration = Duration::from_millis(100);

/// Between attempts to let a member follow that could not, or to start one that ended.
const ATTACH_EVERY: Duration = Duration::from_millis(500);

impl Cluster {
    pub(super) fn watch(self: Arc<Cluster>, runtime: &Runtime) {
        let local = LocalSet::new();
        local.block_on(runtime, async {
            for member in &self.members {
                tokio::task::spawn_local(self.clone().keep_asking(member.clone()));
            }
            let mut stopping = self.stopping.subscribe();
            tokio::select! {
                () = self.decide() => {}
                _ = stopping.wait_for(|stopping| *stopping) => {}
            }
        });
    }

    // === each member ===

    async fn keep_asking(self: Arc<Cluster>, member: Arc<Member>) {
        loop {
            let failed = match Control::connect(&member.target).await {
                Ok(mut control) => match self.attend(&member, &mut control).await {
                    Ok(()) => return,
                    Err(failed) => failed,
                },
                Err(failed) => failed,
            };
            self.lost(&member, &failed);
            sleep(RETRY_EVERY).await;
        }
    }

    /// It cannot be asked any more: what it has applied is not known, and reads that wait for it go elsewhere.
    fn lost(&self, member: &Arc<Member>, failed: &Failed) {
        let first = member.change(|state| {
            state.reachable = false;
            state.failures += 1;
            state.trouble = Some(failed.to_string());
            state.lost_since.replace(state.lost_since.unwrap_or_else(Instant::now)).is_none()
        });
        member.part();
        // The next that answers at its address may be another than the one that was lost: asked before it is written to.
        member.suspect(true);
        self.pool.probed(&member.upstream, false, Instant::now());
        if !first {
            return;
        }
        if self.daemons.is_some() && !self.started.load(SeqCst) {
            // It has only just been started. Whoever waits for it says so when it takes too long.
            debug!(database = %self.name, member = %member.name, error = %failed, "a server does not answer yet");
        } else {
            warn!(database = %self.name, member = %member.name, error = %failed, "a server cannot be reached");
        }
        let servers = self.servers.load_full();
        if let Some(Some(server)) = servers.replicas.get(member.number) {
            let mut replicas = servers.replicas.clone();
            replicas[member.number] = Some(Server::of(member.target.clone(), Role::Replica, Some(member.clone())));
            self.servers.store(Arc::new(super::Servers { primary: servers.primary.clone(), replicas }));
            server.depose();
        }
    }

    /// Asks until an answer fails.
    async fn attend(&self, member: &Arc<Member>, control: &mut Control) -> Result<(), Failed> {
        let mut schema_at: Option<Instant> = None;
        let mut checked: Option<Topology> = None;
        loop {
            let topology = self.topology();
            if self.daemons.is_none() && self.members.len() > 1 && checked != Some(topology) {
                self.check_settings(member, control, topology).await?;
                checked = Some(topology);
            }
            if topology.primary == Some(member.number) {
                self.attend_primary(member, control, topology, &mut schema_at).await?;
                let mut changes = self.changes();
                let again = if self.positions.any_unsettled() { SETTLE_EVERY } else { PRIMARY_EVERY };
                tokio::select! {
                    () = self.positions.ask.notified() => {}
                    () = sleep(again) => {}
                    _ = changes.wait_for(|now| *now != topology) => {}
                }
            } else {
                self.attend_replica(member, control, topology).await?;
            }
        }
    }

    /// Says what of a server's settings takes something away, once.
    async fn check_settings(&self, member: &Arc<Member>, control: &mut Control, topology: Topology) -> Result<(), Failed> {
        let objections = settings::check(control, topology.primary == Some(member.number)).await?;
        let before = member.change(|state| std::mem::replace(&mut state.objections, objections.clone()));
        for objection in objections.iter().filter(|objection| !before.contains(objection)) {
            warn!(database = %self.name, member = %member.name, objection, "a server's settings are not as docs/sql.md asks");
        }
        Ok(())
    }

    async fn attend_primary(
        &self,
        member: &Arc<Member>,
        control: &mut Control,
        topology: Topology,
        schema_at: &mut Option<Instant>,
    ) -> Result<(), Failed> {
        let unsettled = self.positions.take_unsettled();
        let asked = async {
            let (over, open) = settle::split(control, member.number, &unsettled).await?;
            // After they were seen to have ended.
            let rows =
                control.rows("SELECT @@GLOBAL.gtid_binlog_pos, @@GLOBAL.read_only, @@GLOBAL.server_id, @@GLOBAL.gtid_domain_id").await?;
            let status = control.named("SHOW GLOBAL STATUS LIKE 'Rpl_semi_sync_master_status'").await?;
            let semi_sync = status.get("Value").is_some_and(|value| value == "ON");
            Ok::<_, Failed>((over, open, read_primary(&rows)?, semi_sync))
        };
        let (over, (position, read_only, server_id, domain), semi_sync) = match asked.await {
            Ok((over, open, answer, semi_sync)) => {
                self.positions.put_back(open);
                (over, answer, semi_sync)
            }
            Err(failed) => {
                self.positions.put_back(unsettled);
                return Err(failed);
            }
        };
        for member in &self.members {
            member.set_domain(domain);
        }
        self.answered(member, |state| {
            (state.server_id, state.read_only, state.semi_sync) = (server_id, read_only, semi_sync);
            state.read_only_since = read_only.then(|| state.read_only_since.unwrap_or_else(Instant::now));
            state.lag_ms = None;
            state.trouble = None;
        });
        if read_only {
            // It was restarted, as something that is no primary. Whoever may write all the same waits until that is settled.
            member.suspect(true);
        }
        // A position of a primary that has just been deposed says nothing of the present one.
        if self.topology() == topology {
            self.positions.stands(domain, &position, &over);
            if let Some(other) = self.positions.foreign_news() {
                warn!(
                    database = %self.name, member = %member.name, domain, other,
                    "transactions of another GTID domain are written: a replica answers reads once it has all of them, whatever tables it is asked for"
                );
            }
        } else {
            self.positions.put_back(over);
        }
        if self.members.len() > 1 && (self.schema.known().is_none() || schema_at.is_none_or(|at| at.elapsed() > SCHEMA_EVERY)) {
            self.schema.load(control).await?;
            *schema_at = Some(Instant::now());
        }
        Ok(())
    }

    async fn attend_replica(&self, member: &Arc<Member>, control: &mut Control, topology: Topology) -> Result<(), Failed> {
        let status = control.named("SHOW SLAVE STATUS").await?;
        let own = control.rows("SELECT @@GLOBAL.gtid_slave_pos, @@GLOBAL.server_id, @@GLOBAL.read_only").await?;
        let [Some(position), Some(server_id), read_only] = &own.first().cloned().unwrap_or_default()[..] else {
            return Err(Failed::Lost("an answer of another form".into()));
        };
        let is = |name: &str, value: &str| status.get(name).is_some_and(|found| found == value);
        let primary = topology.primary.map(|number| self.members[number].state().server_id).filter(|id| *id != 0);
        let follows = primary.is_some_and(|id| is("Master_Server_Id", &id.to_string())) && is("Slave_SQL_Running", "Yes");
        let receiving = follows && is("Slave_IO_Running", "Yes");
        let joined = member.state().joined == topology.epoch;
        let why = ["Last_IO_Error", "Last_SQL_Error"].iter().filter_map(|name| status.get(*name)).find(|text| !text.is_empty()).cloned();
        self.answered(member, |state| {
            state.server_id = server_id.parse().unwrap_or(0);
            state.read_only = read_only.as_deref() == Some("1");
            state.read_only_since = None;
            state.receiving = is("Slave_IO_Running", "Yes");
            state.lag_ms =
                status.get("Seconds_Behind_Master").and_then(|seconds| seconds.parse::<u64>().ok()).map(|seconds| seconds * 1000);
            if receiving {
                state.trouble = None;
            } else if why.is_some() {
                state.trouble = why;
            }
        });
        if receiving && !joined && self.topology() == topology {
            info!(database = %self.name, member = %member.name, epoch = topology.epoch, "a replica follows the primary");
            member.join(topology.epoch);
        }
        if !follows && joined {
            member.part();
        }
        let domain = self.positions.domain();
        let position = Position::parse(position).unwrap_or_default();
        let applied = position.sequence(domain);
        member.has_applied(applied, topology.epoch);
        let covered = self.positions.covered_by(&position);
        if let Some(version) = covered {
            member.has_covered(version, topology.epoch);
        }
        // Whoever is told while we look is not missed.
        let advanced = self.positions.advanced.notified();
        tokio::pin!(advanced);
        advanced.as_mut().enable();
        let goal = self.positions.goal();
        if follows && applied < goal {
            let wait = format!("SELECT MASTER_GTID_WAIT('{domain}-{}-{goal}', {})", primary.unwrap_or(0), CATCH_UP.as_secs_f64());
            if control.one(&wait).await? == "0" {
                member.has_applied(goal, topology.epoch);
                self.catch_up(member, control, topology).await?;
            }
            return Ok(());
        }
        let mut changes = self.changes();
        // It may be about to apply what it lacks of another domain; there is nothing to wait at for that.
        let again = if covered.is_some() { REPLICA_EVERY } else { SETTLE_EVERY };
        tokio::select! {
            () = advanced => {}
            () = sleep(again) => {}
            _ = changes.wait_for(|now| *now != topology) => {}
        }
        Ok(())
    }

    /// Under steady writes the replica's state need not be asked for every time: only where it stands.
    async fn catch_up(&self, member: &Arc<Member>, control: &mut Control, topology: Topology) -> Result<(), Failed> {
        let (domain, until) = (self.positions.domain(), Instant::now() + REPLICA_EVERY);
        let elsewhere = self.positions.elsewhere();
        while Instant::now() < until && self.topology() == topology && !*self.stopping.borrow() && self.positions.elsewhere() == elsewhere {
            let advanced = self.positions.advanced.notified();
            tokio::pin!(advanced);
            advanced.as_mut().enable();
            let goal = self.positions.goal();
            if member.applied() >= goal {
                tokio::select! {
                    () = advanced => {}
                    () = sleep(until.saturating_duration_since(Instant::now())) => return Ok(()),
                }
                continue;
            }
            if control.one(&format!("SELECT MASTER_GTID_WAIT('{domain}-1-{goal}', {})", CATCH_UP.as_secs_f64())).await? != "0" {
                return Ok(());
            }
            member.has_applied(goal, topology.epoch);
        }
        Ok(())
    }

    fn answered(&self, member: &Arc<Member>, change: impl FnOnce(&mut super::member::State)) {
        let back = member.change(|state| {
            let back = !state.reachable;
            state.reachable = true;
            state.lost_since = None;
            state.failures = 0;
            change(state);
            back
        });
        if back {
            info!(database = %self.name, member = %member.name, "a server answers");
        }
        member.suspect(false);
        self.pool.probed(&member.upstream, true, Instant::now());
    }

    // === the whole ===

    async fn decide(self: &Arc<Cluster>) {
        let mut tried: HashMap<usize, Instant> = HashMap::new();
        loop {
            self.revive(&mut tried);
            if let Err(error) = self.keep_primary().await {
                warn!(database = %self.name, error, "the cluster has no primary that takes writes");
            }
            self.keep_replicas(&mut tried).await;
            while let Some((order, answer)) = self.orders.take() {
                let done = self.obey(order).await;
                // Whoever asked may have stopped waiting.
                let _ = answer.send(done);
            }
            tokio::select! {
                () = sleep(DECIDE_EVERY) => {}
                () = self.orders.rung.notified() => {}
            }
        }
    }

    /// Starts servers of our own that do not run.
    fn revive(&self, tried: &mut HashMap<usize, Instant>) {
        let Some(daemons) = &self.daemons else { return };
        let primary = self.record().primary.clone();
        for member in &self.members {
            if daemons.runs(member.number) || tried.get(&member.number).is_some_and(|at| at.elapsed() < ATTACH_EVERY) {
                continue;
            }
            tried.insert(member.number, Instant::now());
            let is_primary = primary.as_ref().map_or(member.number == 0, |name| *name == member.name);
            let role = if is_primary { Start::Primary } else { Start::Replica };
            info!(database = %self.name, member = %member.name, ?role, "a server is started");
            if let Err(error) = daemons.start(member.number, role) {
                member.change(|state| state.trouble = Some(error.to_string()));
            }
        }
    }

    /// Makes the primary one, or finds another.
    async fn keep_primary(self: &Arc<Cluster>) -> Result<(), String> {
        let topology = self.topology();
        let Some(number) = topology.primary else { return self.recover(topology).await };
        let primary = &self.members[number];
        let state = primary.state();
        if state.reachable && (self.record().terms.is_empty() || self.daemons.is_some() && state.read_only) {
            return self.establish(primary).await.map_err(|failed| failed.to_string());
        }
        if self.members.len() == 1 || !self.automatic() {
            return Ok(());
        }
        let states: Vec<_> = self.members.iter().filter(|member| member.number != number).map(|member| member.state()).collect();
        if let Some(since) = state.read_only_since.filter(|since| state.reachable && since.elapsed() >= self.plan.failover_after) {
            let reason = format!(
                "{} has been read-only for {} s: it was restarted, or somebody made it so",
                primary.name,
                since.elapsed().as_secs()
            );
            return self.fail_over(None, &reason, false).await;
        }
        match judge(&state, states.iter(), self.plan.failover_after, Instant::now()) {
            Verdict::Dead => {
                let reason = format!("{} cannot be reached, and its replicas have lost it", primary.name);
                self.fail_over(None, &reason, false).await
            }
            Verdict::Serves | Verdict::Suspected | Verdict::OnlyWeLostIt | Verdict::NobodyTells => Ok(()),
        }
    }

    /// The first time: begins the first term. A server of our own starts read-only, and takes writes from here on.
    async fn establish(&self, primary: &Arc<Member>) -> Result<(), Failed> {
        let mut control = Control::connect(&primary.target).await?;
        if self.daemons.is_some() {
            let replicas = self.members.len() > 1;
            control.run(&format!("SET GLOBAL rpl_semi_sync_master_enabled = {}", u8::from(replicas))).await?;
            control.run("SET GLOBAL read_only = 0").await?;
            primary.change(|state| state.read_only = false);
        }
        if self.record().terms.is_empty() {
            let server = control.one("SELECT @@GLOBAL.server_id").await?.parse().unwrap_or(0);
            let domain = control.one("SELECT @@GLOBAL.gtid_domain_id").await?.parse().unwrap_or(0);
            let position = Position::parse(&control.one("SELECT @@GLOBAL.gtid_binlog_pos").await?).unwrap_or_default();
            let written = self.write_record(|record| record.begin_term(&primary.name, server, position.sequence(domain)));
            written.map_err(|error| Failed::Lost(error.to_string()))?;
        }
        Ok(())
    }

    /// Lets members follow that do not, and notes when all servers of our own do.
    async fn keep_replicas(&self, tried: &mut HashMap<usize, Instant>) {
        let topology = self.topology();
        let Some(primary) = topology.primary.filter(|_| self.automatic() || self.daemons.is_some()) else { return };
        let ready = {
            let state = self.members[primary].state();
            state.reachable && state.server_id != 0 && !self.record().terms.is_empty()
        };
        let mut all = ready && !(self.daemons.is_some() && self.members[primary].state().read_only);
        for member in self.members.iter().filter(|member| member.number != primary) {
            let state = member.state();
            all &= state.joined == topology.epoch;
            if !ready
                || !state.reachable
                || state.joined == topology.epoch
                || tried.get(&member.number).is_some_and(|at| at.elapsed() < ATTACH_EVERY)
            {
                continue;
            }
            tried.insert(member.number, Instant::now());
            if let Err(error) = self.attach(member, topology).await {
                // Once, however often it is tried.
                let news = member.change(|state| state.trouble.replace(error.clone()) != Some(error.clone()));
                if news {
                    warn!(database = %self.name, member = %member.name, error, "a server does not follow the primary");
                }
            }
        }
        if all && !self.started.load(SeqCst) {
            self.create_database(&self.members[primary]).await;
            self.started.store(true, SeqCst);
        }
    }

    async fn create_database(&self, primary: &Arc<Member>) {
        let Some(name) = self.daemons.as_ref().and_then(|daemons| daemons.plan().database.clone()) else { return };
        let create = format!("CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4");
        let created = match Control::connect(&primary.target).await {
            Ok(mut control) => control.run_within(&create, Duration::from_secs(15)).await,
            Err(failed) => Err(failed),
        };
        if let Err(error) = created {
            warn!(database = %self.name, %error, "the cluster's database cannot be created");
        }
    }

    async fn obey(self: &Arc<Cluster>, order: Order) -> Answer {
        match order {
            Order::Promote { member, accept_loss } => {
                let done = self.promote(member, accept_loss).await?;
                let topology = self.topology();
                for member in self.members.iter().filter(|member| topology.primary != Some(member.number)) {
                    // Who cannot be reached now is told when he is back, unless roles are somebody else's business.
                    if let Err(error) = self.attach(member, topology).await {
                        member.change(|state| state.trouble = Some(error));
                    }
                }
                Ok(done)
            }
            Order::Drain { member, back } => {
                let member = &self.members[member];
                let written = self.write_record(|record| {
                    if back {
                        record.drained.remove(&member.name)
                    } else {
                        record.drained.insert(member.name.clone())
                    };
                });
                written.map_err(|error| error.to_string())?;
                member.change(|state| state.drained = !back);
                Ok(match back {
                    true => format!("{} answers reads again and may be promoted", member.name),
                    false => format!("{} gets no further read and is not promoted", member.name),
                })
            }
            Order::Rejoin { member, rebuild } => self.rejoin(&self.members[member].clone(), rebuild).await,
        }
    }
}

fn read_primary(rows: &[super::control::Row]) -> Result<(Position, bool, u32, u32), Failed> {
    let other = || Failed::Lost("an answer of another form".into());
    let [Some(position), Some(read_only), Some(server_id), Some(domain)] = rows.first().map(Vec::as_slice).ok_or_else(other)? else {
        return Err(other());
    };
    Ok((
        Position::parse(position).ok_or_else(other)?,
        read_only == "1",
        server_id.parse().map_err(|_| other())?,
        domain.parse().map_err(|_| other())?,
    ))
}
