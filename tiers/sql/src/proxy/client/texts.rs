//! Statements sent as text (COM_QUERY), and what every statement has around it: counting, pinning, the witness.

use std::{sync::Arc, time::Instant};

use pumasi_mysqlwire::{Command, Execution, Expect};
use pumasi_sqltext::Class;
use tracing::debug;

use tracing::warn;

use super::{
    super::{
        nature::{self, Assignment, Nature},
        route::{Errand, Outcome},
        rules::Permits,
        state::SESSION_STATE,
    },
    Client, Flow, Relayed, Trouble,
    hold::in_transaction,
    stored::Question,
    turn::in_turn,
};
use crate::front::{
    digests::{Count, Executed},
    session::{Own, What},
    wire::Lost,
};

/// Servers that a read is sent to before its client is told that it cannot be answered.
pub(super) const READ_TRIES: u32 = 3;

impl Client {
    /// `written`: as the client wrote it, which is what the server is sent. Everything else reads it in the language of the default settings.
    pub(super) async fn query(&mut self, written: &[u8]) -> Result<Flow, Trouble> {
        let read = self.modes().read(written);
        let sql = &*read;
        if let Some(Own { what: What::Kill(id, what), behind: [] }) = Own::of(sql)
            && self.kills_here(id)
        {
            return self.kill(id, what);
        }
        let (count, mut nature) = self.pools.known(sql)?;
        let _permits = self.admit(&count).await?;
        self.collation_to_set = if nature.pins == Some(nature::COLLATE) { nature::names_collation(sql) } else { None };
        self.variables_to_set = if nature.pins == Some(nature::USER_VARIABLE) { nature::literals_assigned(sql) } else { Vec::new() };
        if self.collation_to_set.is_some() || !self.variables_to_set.is_empty() {
            nature.pins = None;
        }
        if let Some(back) = nature.looks_back {
            if Box::pin(self.look_back(back, sql, nature)).await? {
                return Ok(Flow::Next);
            }
        } else if self.hold.warnings {
            self.hold.warnings = false;
            self.settle(&Relayed::default());
        }
        let Some(mut question) = self.ask(sql, nature, None, &count).await? else { return Ok(Flow::Next) };
        let mut tries = 1;
        loop {
            self.acquire(sql, nature).await?;
            if self.modes_changed() && self.modes().read(written) != read {
                // The session begins with another default than was known when its text was read.
                self.settle(&Relayed::default());
                return Box::pin(self.query(written)).await;
            }
            match self.measured(nature, count.clone(), sql, Command::Query(written), question).await {
                Err(Trouble::Backend(lost)) if tries < READ_TRIES && self.may_repeat(sql, nature) => self.give_up(&lost),
                other => return other.map(|_| Flow::Next),
            }
            question = self.ask_nothing();
            tries += 1;
        }
    }

    /// The connection broke before anything of the answer came, nothing of the session's was there, and the statement only reads.
    pub(super) fn may_repeat(&self, sql: &[u8], nature: Nature) -> bool {
        let errand = Errand { sql, nature, user: &self.user.name, state: self.text_state(), fenced: false };
        !self.passed && !self.had_something() && self.shared.route.repeatable(&errand)
    }

    /// Lets go of a connection that broke.
    pub(super) fn give_up(&mut self, lost: &Lost) {
        debug!(database = %self.shared.settings.name, connection = self.place.entry.id, error = %lost, "a read is tried again");
        self.lease = None;
        self.answering = false;
    }

    /// Waits for a statement's turn. In the middle of a transaction it always has one: others wait for what it holds.
    pub(super) async fn admit(&mut self, count: &Arc<Count>) -> Result<Permits, Trouble> {
        if self.lease.is_some() || !self.shared.rules.limits() {
            return Ok(Permits::default());
        }
        let Client { shared, link, signals, place, user, .. } = self;
        let admission = shared.rules.admit(&user.name, count, shared.options.connections_wait);
        Ok(in_turn(shared, link, signals, &place.entry, admission).await??)
    }

    /// Runs a statement at the server and counts it.
    pub(super) async fn measured(
        &mut self,
        nature: Nature,
        count: Arc<Count>,
        sql: &[u8],
        command: Command<'_>,
        question: Question,
    ) -> Result<Relayed, Trouble> {
        self.shared.meter.started();
        let started = Instant::now();
        let calling = self.calling(sql);
        // From here until it has ended: dropped on the way, its outcome is unknown.
        let running = self.begins(&question, sql);
        if let Some(running) = running.as_ref().filter(|_| nature.reads) {
            count.kept(running.refused());
        }
        let said = matches!(command, Command::Query(_)).then(|| self.said(sql)).flatten();
        let _witnessed = self.witness_of(nature, running.as_ref(), said);
        self.announce(sql, nature);
        let cursor = matches!(command, Command::Execute(payload) if Execution::decode(payload).is_ok_and(|execution| execution.cursor));
        let relayed = self.run_leased(command, if cursor { Expect::Cursor } else { Expect::Results }).await;
        self.report(sql, nature, &relayed);
        let us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let ok = relayed.as_ref().is_ok_and(|relayed| !relayed.failed);
        self.shared.meter.finished(us, ok);
        if self.shared.rules.slow(started.elapsed()) {
            let (database, user, statement) = (&self.shared.settings.name, &self.user.name, count.text());
            let rows = relayed.as_ref().map_or(0, |relayed| relayed.rows);
            warn!(database, user, connection = self.place.entry.id, ms = us / 1000, rows, ok, statement, "slow statement");
        }
        if let Ok(relayed) = &relayed
            && relayed.rows > 0
        {
            count.sent(relayed.row_bytes, relayed.row_bytes_max);
        }
        let rows = relayed.as_ref().map_or(0, |relayed| relayed.rows);
        count.ran(us, rows, ok);
        if let Some(calling) = calling {
            count.trace(calling, &self.shared.settings.name, &Executed { us, rows, ok, kept: false });
        }
        if nature.reads {
            self.shared.reads.add(1);
        } else if !nature.controls {
            self.shared.writes.add(1);
        }
        let mut relayed = relayed?;
        if nature.outdates && !relayed.failed {
            self.shared.outdated();
        }
        let assigned = std::mem::take(&mut self.variables_to_set);
        if !assigned.is_empty() {
            self.carry_variables(assigned, &mut relayed);
        }
        if let Some(reason) = nature.pins.or(relayed.pins).filter(|_| !relayed.failed || nature.pins.is_some()) {
            self.pin(reason);
        }
        if let (Some(collation), false, Some(lease)) = (self.collation_to_set.take(), relayed.failed, &mut self.lease) {
            lease.backend.state.set_collation(collation);
            lease.backend.state.copy_to(&mut self.state);
        }
        self.ended(question, running, &relayed).await;
        self.remember(&relayed);
        self.learn_insert_id(nature, sql, command, &relayed);
        self.hold.until_transaction |= nature.until_transaction && !relayed.failed;
        if !nature.until_transaction && self.hold.until_transaction {
            // The transaction it was about has begun and, if the server says so, ended.
            self.hold.until_transaction = self.lease.as_ref().is_some_and(|lease| in_transaction(&lease.backend))
                || nature.controls && !ends_transaction(command, sql);
        }
        self.hold.warnings = relayed.warnings > 0;
        self.settle(&relayed);
        self.link.flush().await.map_err(Trouble::Client)?;
        Ok(relayed)
    }

    /// User variables that a statement has set to literals: known, so they can be brought to another connection.
    fn carry_variables(&mut self, assigned: Vec<Assignment>, relayed: &mut Relayed) {
        let Some(lease) = &mut self.lease else { return };
        if relayed.failed || !lease.backend.state.assign(assigned) {
            self.pin(nature::USER_VARIABLE);
            return;
        }
        lease.backend.state.copy_to(&mut self.state);
        // That is what the server means by a session that has changed.
        relayed.pins = relayed.pins.filter(|reason| *reason != SESSION_STATE);
    }

    /// Tells whoever chooses servers that a statement is about to be sent.
    fn announce(&mut self, sql: &[u8], nature: Nature) {
        let Some(lease) = &self.lease else { return };
        let errand = Errand { sql, nature, user: &self.user.name, state: self.meaning.as_deref().unwrap_or(&self.state), fenced: false };
        self.shared.route.begins(lease.server(), &lease.backend, &errand, &mut self.writes);
    }

    /// Tells whoever chooses servers how a statement ended. The last packet of its answer has not been sent yet.
    fn report(&mut self, sql: &[u8], nature: Nature, relayed: &Result<Relayed, Trouble>) {
        let Some(lease) = &self.lease else { return };
        let status = lease.backend.status;
        let outcome = match relayed {
            Ok(relayed) if relayed.failed => Outcome::Failed { status, gtid: relayed.gtid.as_deref() },
            Ok(relayed) => Outcome::Answered { status, affected_rows: relayed.affected_rows, gtid: relayed.gtid.as_deref() },
            Err(_) => Outcome::Unknown,
        };
        let errand = Errand { sql, nature, user: &self.user.name, state: self.meaning.as_deref().unwrap_or(&self.state), fenced: false };
        self.shared.route.ended(lease.server(), &errand, &mut self.writes, outcome);
    }
}

fn ends_transaction(command: Command<'_>, sql: &[u8]) -> bool {
    matches!(command, Command::Query(_)) && matches!(Class::of(sql), Class::Commit | Class::Rollback)
}
