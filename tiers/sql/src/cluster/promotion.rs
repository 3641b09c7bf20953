//! Another primary: who, with what, and how the old one is kept out.
//!
//! The order matters. 1 Nothing that the old primary says is believed any more. 2 The replicas stop receiving from it, so that it can have no
//! further write confirmed. 3 Whoever has received most is chosen, and must have all that was acknowledged through Pumasi. 4 It applies what it has
//! received. 5 The new epoch is on the disk. 6 It takes writes. 7 The others follow it; the old one as well, once it has nothing more.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tokio::time::sleep;
use tracing::{error, info, warn};

use super::{
    Cluster, Topology,
    control::{Control, Failed},
    gtid::{Gtid, Position},
    member::Member,
    orders::Answer,
};
use pumasi_status::Failover;

/// How long a replica may take to apply what it has received.
const APPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a replica may take to let go of a primary that does not answer.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a primary that is replaced on order may take to finish what it is at.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// A replica that reached us, with the connection to it.
struct Candidate {
    member: Arc<Member>,
    control: Control,
    /// The last transaction it has received, applied or not.
    received: Gtid,
}

impl Cluster {
    /// Replaces a primary that is gone. `lossy`: also by a replica that lacks acknowledged writes.
    pub(super) async fn fail_over(&self, wanted: Option<usize>, reason: &str, lossy: bool) -> Result<(), String> {
        let old = self.topology();
        warn!(database = %self.name, epoch = old.epoch, reason, "the primary is replaced");
        self.fence(old.epoch + 1);
        self.finish_promotion(Topology { epoch: old.epoch + 1, primary: old.primary }, wanted, reason, lossy, Instant::now()).await
    }

    /// There is no primary: an earlier attempt to find one has failed. Tries again; or takes the old one back, if it is there after all.
    pub(super) async fn recover(&self, topology: Topology) -> Result<(), String> {
        let recorded = self.record().primary.clone();
        let old = self.members.iter().position(|member| Some(&member.name) == recorded.as_ref());
        let Some(number) = old else { return Err("no member is the recorded primary".into()) };
        let member = &self.members[number];
        let state = member.state();
        if state.reachable {
            // Nobody else has taken writes since: the record says so.
            if self.record().epoch == topology.epoch {
                // It was being promoted when something failed.
                let semi_sync = self.daemons.is_some() || state.semi_sync;
                let mut control = Control::connect(&member.target).await.map_err(|failed| failed.to_string())?;
                self.take_over(&mut control, semi_sync).await.map_err(|failed| failed.to_string())?;
            }
            info!(database = %self.name, member = %member.name, "the primary is back before another took its place");
            self.serve_by(topology.epoch, number);
            return Ok(());
        }
        let reason = format!("{} cannot be reached, and its replicas have lost it", member.name);
        self.finish_promotion(Topology { epoch: topology.epoch, primary: old }, None, &reason, false, Instant::now()).await
    }

    async fn finish_promotion(
        &self,
        old: Topology,
        wanted: Option<usize>,
        reason: &str,
        lossy: bool,
        began: Instant,
    ) -> Result<(), String> {
        let domain = self.positions.domain();
        if let (Some(daemons), Some(number)) = (&self.daemons, old.primary) {
            // What it was at ends here, also if it was only stopped. It starts again as whatever the record makes of it.
            daemons.kill(number);
        }
        let mut candidates = self.stop_receiving(old.primary, wanted, domain).await;
        candidates.retain(|candidate| wanted.is_none_or(|wanted| candidate.member.number == wanted));
        candidates.sort_by_key(|candidate| (candidate.received.sequence, std::cmp::Reverse(candidate.member.number)));
        let Some(mut best) = candidates.pop() else { return Err("no replica can be reached that could take its place".into()) };
        let acknowledged = self.positions.acknowledged();
        let lost = acknowledged.saturating_sub(best.received.sequence);
        let semi_sync = old.primary.is_some_and(|number| self.members[number].state().semi_sync);
        if lost > 0 && semi_sync && !lossy {
            return Err(format!(
                "{} has received up to {}, and {lost} acknowledged transactions up to {acknowledged} are on a replica that cannot be reached: waiting for it \
                 (pumasi sql promote --accept-loss gives them up)",
                best.member.name, best.received
            ));
        }
        let failed = |failed: Failed| format!("{} cannot be promoted: {failed}", best.member.name);
        let wait = format!(
            "SELECT @@GLOBAL.gtid_binlog_pos = '{}' OR MASTER_GTID_WAIT('{}', {}) = 0",
            best.received,
            best.received,
            APPLY_TIMEOUT.as_secs()
        );
        let applied = best.control.ask_within(&wait, APPLY_TIMEOUT + Duration::from_secs(1)).await.map_err(failed)?;
        if best.received.sequence > 0 && applied.1.first().and_then(|row| row.first()).cloned().flatten().as_deref() != Some("1") {
            return Err(format!("{} has not applied what it has received within {} s", best.member.name, APPLY_TIMEOUT.as_secs()));
        }
        let server = best.control.one("SELECT @@GLOBAL.server_id").await.map_err(failed)?.parse().unwrap_or(0);
        if lost > 0 {
            error!(
                database = %self.name, lost, from = best.received.sequence + 1, to = acknowledged,
                "acknowledged transactions were on the old primary alone, which was not semi-synchronous"
            );
            self.positions.give_up_after(best.received.sequence);
        }
        let from = old.primary.map(|number| self.members[number].name.clone()).unwrap_or_default();
        let name = best.member.name.clone();
        let written = self.write_record(|record| {
            record.epoch = old.epoch - 1;
            record.begin_term(&name, server, best.received.sequence);
        });
        written.map_err(|error| error.to_string())?;
        self.take_over(&mut best.control, semi_sync || self.daemons.is_some()).await.map_err(failed)?;
        best.member.change(|state| state.server_id = server);
        self.serve_by(old.epoch, best.member.number);
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        info!(database = %self.name, epoch = old.epoch, primary = %name, received = %best.received, took_ms, lost, "another primary serves");
        let at_unix_ms =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        let failover = Failover { at_unix_ms, from, to: name, reason: reason.to_owned(), took_ms, lost };
        if let Err(error) = self.write_record(|record| record.last_failover = Some(failover)) {
            warn!(database = %self.name, %error, "the promotion is in effect and its story not written");
        }
        Ok(())
    }

    /// The replica becomes one that takes writes.
    async fn take_over(&self, control: &mut Control, semi_sync: bool) -> Result<(), Failed> {
        for sql in [
            "STOP SLAVE",
            "RESET SLAVE ALL",
            "SET GLOBAL rpl_semi_sync_slave_enabled = 0",
            if semi_sync { "SET GLOBAL rpl_semi_sync_master_enabled = 1" } else { "SET GLOBAL rpl_semi_sync_master_enabled = 0" },
            "SET GLOBAL read_only = 0",
        ] {
            control.run_within(sql, APPLY_TIMEOUT).await?;
        }
        Ok(())
    }

    /// Cuts the replicas off from the old primary. Those that could be reached, and what each has received.
    async fn stop_receiving(&self, old: Option<usize>, wanted: Option<usize>, domain: u32) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        let asked = self.members.iter().filter(|member| Some(member.number) != old).map(|member| {
            let member = member.clone();
            // At once: one that hangs must not hold up the others.
            tokio::task::spawn_local(async move { (cut_off(&member, domain).await, member) })
        });
        for answered in asked.collect::<Vec<_>>() {
            let Ok((answer, member)) = answered.await else { continue };
            match answer {
                // Whoever is named by a person has been looked at by a person.
                Ok((control, received)) if wanted == Some(member.number) || !member.state().drained && self.record().subset(received) => {
                    candidates.push(Candidate { member, control, received });
                }
                Ok((_, received)) => info!(database = %self.name, member = %member.name, %received, "not promoted: drained, or kept out"),
                Err(failed) => info!(database = %self.name, member = %member.name, error = %failed, "not promoted: cannot be reached"),
            }
        }
        candidates
    }

    /// On order: the primary hands over, if it is there.
    pub(super) async fn promote(&self, wanted: Option<usize>, accept_loss: bool) -> Answer {
        let topology = self.topology();
        if wanted.is_some() && wanted == topology.primary {
            return Err(format!("{} is the primary already", self.members[wanted.unwrap_or(0)].name));
        }
        if self.members.len() == 1 {
            return Err("there is no replica".into());
        }
        let Some(number) = topology.primary else {
            let recorded = self.record().primary.clone();
            let primary = self.members.iter().position(|member| Some(&member.name) == recorded.as_ref());
            self.finish_promotion(Topology { epoch: topology.epoch, primary }, wanted, "on order", accept_loss, Instant::now()).await?;
            return Ok(self.promoted());
        };
        let primary = &self.members[number];
        if !primary.state().reachable {
            self.fail_over(wanted, "on order", accept_loss).await?;
            return Ok(self.promoted());
        }
        if let Some(wanted) = wanted.map(|wanted| &self.members[wanted])
            && wanted.state().joined != topology.epoch
        {
            return Err(format!("{} does not follow the primary, so it would lose transactions", wanted.name));
        }
        let began = Instant::now();
        self.fence(topology.epoch + 1);
        if let Err(failed) = self.hand_over(primary, wanted).await {
            // It stays who it was; nobody else has taken a write.
            let _ = self.take_back(primary).await;
            self.serve_by(topology.epoch + 1, number);
            return Err(format!("{} stays the primary: {failed}", primary.name));
        }
        let old = Topology { epoch: topology.epoch + 1, primary: topology.primary };
        self.finish_promotion(old, wanted, "on order", accept_loss, began).await?;
        Ok(self.promoted())
    }

    /// The old primary stops taking writes, and the replica gets all that it has.
    async fn hand_over(&self, primary: &Arc<Member>, wanted: Option<usize>) -> Result<(), Failed> {
        let mut control = Control::connect(&primary.target).await?;
        // Waits for commits that are under way.
        control.run_within("SET GLOBAL read_only = 1", DRAIN_TIMEOUT).await?;
        // Who may write all the same has a connection; ours ended when the primary was deposed, or end now.
        let others = "SELECT ID FROM information_schema.PROCESSLIST \
            WHERE ID <> CONNECTION_ID() AND COMMAND NOT IN ('Binlog Dump', 'Daemon', 'Slave_IO', 'Slave_SQL') AND USER <> 'system user'";
        for row in control.rows(others).await? {
            if let [Some(id)] = &row[..] {
                // It may have ended meanwhile.
                let _ = control.run(&format!("KILL {id}")).await;
            }
        }
        let deadline = Instant::now() + DRAIN_TIMEOUT;
        while control.one(&others.replace("SELECT ID", "SELECT COUNT(*)")).await? != "0" && Instant::now() < deadline {
            sleep(Duration::from_millis(20)).await;
        }
        let position = control.one("SELECT @@GLOBAL.gtid_binlog_pos").await?;
        let mut receivers =
            self.members.iter().filter(|member| member.number != primary.number && wanted.is_none_or(|wanted| wanted == member.number));
        let mut last = Failed::Lost("no replica can be reached".into());
        let seconds = DRAIN_TIMEOUT.as_secs();
        loop {
            let Some(member) = receivers.next() else { return Err(last) };
            let wait = async {
                let mut control = Control::connect(&member.target).await?;
                let answer = control.ask_within(&format!("SELECT MASTER_GTID_WAIT('{position}', {seconds})"), DRAIN_TIMEOUT * 2).await?;
                Ok::<_, Failed>(answer.1.first().and_then(|row| row.first()).cloned().flatten())
            };
            match wait.await {
                Ok(Some(reached)) if reached == "0" => return Ok(()),
                Ok(_) => last = Failed::Lost(format!("{} does not catch up within {seconds} s", member.name)),
                Err(failed) => last = failed,
            }
        }
    }

    async fn take_back(&self, primary: &Arc<Member>) -> Result<(), Failed> {
        Control::connect(&primary.target).await?.run("SET GLOBAL read_only = 0").await
    }

    fn promoted(&self) -> String {
        let topology = self.topology();
        let name = topology.primary.map(|number| &*self.members[number].name).unwrap_or("nobody");
        format!("{name} is the primary of epoch {}", topology.epoch)
    }

    /// Makes a member follow the primary of `topology`, if it has nothing that the primary lacks.
    pub(super) async fn attach(&self, member: &Arc<Member>, topology: Topology) -> Result<(), String> {
        let primary = topology.primary.map(|number| &self.members[number]).ok_or("there is no primary")?;
        let following = async {
            let mut control = Control::connect(&member.target).await?;
            let position = |text: String| Position::parse(&text).unwrap_or_default();
            let domain = self.positions.domain();
            let logged_text = control.one("SELECT @@GLOBAL.gtid_binlog_pos").await?;
            let (logged, applied) = (position(logged_text.clone()), position(control.one("SELECT @@GLOBAL.gtid_slave_pos").await?));
            let last = [logged.last(domain), applied.last(domain)].into_iter().flatten().max_by_key(|gtid| gtid.sequence);
            if let Some(last) = last.filter(|last| !self.record().subset(*last)) {
                return Ok(Some(last));
            }
            control.run_within("STOP SLAVE", APPLY_TIMEOUT).await?;
            control.run("SET GLOBAL read_only = 1").await?;
            if logged.sequence(domain) > applied.sequence(domain) {
                // It wrote these itself, when it was the primary.
                control.run(&format!("SET GLOBAL gtid_slave_pos = '{logged_text}'")).await?;
            }
            control.run("SET GLOBAL rpl_semi_sync_master_enabled = 0").await?;
            control.run("SET GLOBAL rpl_semi_sync_slave_enabled = 1").await?;
            let target = &primary.target;
            control
                .run(&format!(
                    "CHANGE MASTER TO MASTER_HOST='{}', MASTER_PORT={}, MASTER_USER='{}', MASTER_PASSWORD='{}', \
                     MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1, MASTER_HEARTBEAT_PERIOD=0.5",
                    quoted(&target.host),
                    target.port,
                    quoted(&target.user),
                    quoted(&target.password)
                ))
                .await?;
            control.run("START SLAVE").await?;
            Ok::<_, Failed>(None)
        };
        match following.await {
            Ok(None) => Ok(()),
            Ok(Some(last)) => Err(format!(
                "kept out: its last transaction {last} is not one of the primary's. Rebuild it from the primary{}",
                if self.daemons.is_some() { " (pumasi sql rejoin --rebuild)" } else { "" }
            )),
            Err(failed) => Err(failed.to_string()),
        }
    }

    /// On order: lets a member follow, from nothing if it must.
    pub(super) async fn rejoin(&self, member: &Arc<Member>, rebuild: bool) -> Answer {
        let topology = self.topology();
        if topology.primary == Some(member.number) {
            return Err(format!("{} is the primary", member.name));
        }
        if rebuild {
            let Some(daemons) = &self.daemons else {
                return Err(format!("{} is not run by Pumasi: restore it from a backup of the primary, then rejoin it", member.name));
            };
            member.part();
            daemons.remake(member.number).map_err(|error| error.to_string())?;
            return Ok(format!("{} is made anew and copies everything from the primary", member.name));
        }
        if member.state().joined == topology.epoch {
            return Ok(format!("{} follows the primary already", member.name));
        }
        self.attach(member, topology).await?;
        Ok(format!("{} follows the primary", member.name))
    }
}

/// A replica stops receiving: what it has received so far, applied or not.
async fn cut_off(member: &Member, domain: u32) -> Result<(Control, Gtid), Failed> {
    let mut control = Control::connect(&member.target).await?;
    // Its thread may be in the middle of connecting to a primary that does not answer.
    control.run_within("STOP SLAVE IO_THREAD", STOP_TIMEOUT).await?;
    let status = control.named("SHOW SLAVE STATUS").await?;
    let applied = Position::parse(&control.one("SELECT @@GLOBAL.gtid_slave_pos").await?).unwrap_or_default();
    let received = status.get("Gtid_IO_Pos").and_then(|text| Position::parse(text)).unwrap_or_default();
    // Of a server that somebody else has promoted already.
    let logged = Position::parse(&control.one("SELECT @@GLOBAL.gtid_binlog_pos").await?).unwrap_or_default();
    let last = [received.last(domain), applied.last(domain), logged.last(domain)].into_iter().flatten().max_by_key(|gtid| gtid.sequence);
    Ok((control, last.unwrap_or(Gtid { domain, server: 0, sequence: 0 })))
}

/// Between single quotes, whatever sql_mode says of backslashes: a name or password with one is refused by the server, not misread.
fn quoted(text: &str) -> String {
    text.replace('\'', "''").replace('\\', "\\\\")
}
