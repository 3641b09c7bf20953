//! Statements sent as text (COM_QUERY), and what every statement has around it: counting, pinning, the witness.

use std::{sync::Arc, time::Instant};

use pumasi_mysqlwire::{Command, Expect};
use pumasi_sqltext::Class;

use super::{
    super::{
        nature::{self, Nature},
        route::{Errand, Outcome},
    },
    Client, Flow, Relayed, Trouble,
    hold::in_transaction,
    stored::Question,
};
use crate::front::{
    digests::Count,
    session::{Own, What},
};

impl Client {
    pub(super) async fn query(&mut self, sql: &[u8]) -> Result<Flow, Trouble> {
        if let Some(Own { what: What::Kill(id, what), behind: [] }) = Own::of(sql) {
            return self.kill(id, what);
        }
        let (count, mut nature) = self.pools.known(sql);
        self.collation_to_set = if nature.pins == Some(nature::COLLATE) { nature::names_collation(sql) } else { None };
        if self.collation_to_set.is_some() {
            nature.pins = None;
        }
        if let Some(back) = nature.looks_back {
            if self.look_back(back, sql, nature).await? {
                return Ok(Flow::Next);
            }
        } else if self.hold.warnings {
            self.hold.warnings = false;
            self.settle(&Relayed::default());
        }
        let Some(question) = self.ask(sql, nature, None, &count).await? else { return Ok(Flow::Next) };
        self.acquire(sql, nature).await?;
        self.measured(nature, count, sql, Command::Query(sql), question).await?;
        Ok(Flow::Next)
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
        // From here until it has ended: dropped on the way, its outcome is unknown.
        let running = self.begins(&question, sql);
        let _witnessed = self.witness_of(nature, running.as_ref());
        let relayed = self.run_leased(command, Expect::Results).await;
        self.report(sql, nature, &relayed);
        let us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let ok = relayed.as_ref().is_ok_and(|relayed| !relayed.failed);
        self.shared.meter.finished(us, ok);
        count.ran(us, relayed.as_ref().map_or(0, |relayed| relayed.rows), ok);
        if nature.reads {
            self.shared.reads.add(1);
        } else if !nature.controls {
            self.shared.writes.add(1);
        }
        let relayed = relayed?;
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
            self.hold.until_transaction =
                self.lease.as_ref().is_some_and(|lease| in_transaction(&lease.backend)) || nature.controls && !ends_transaction(command);
        }
        self.hold.warnings = relayed.warnings > 0;
        self.settle(&relayed);
        self.link.flush().await.map_err(Trouble::Client)?;
        Ok(relayed)
    }

    /// Tells whoever chooses servers how a statement ended. The last packet of its answer has not been sent yet.
    fn report(&self, sql: &[u8], nature: Nature, relayed: &Result<Relayed, Trouble>) {
        let Some(lease) = &self.lease else { return };
        let status = lease.backend.status;
        let outcome = match relayed {
            Ok(relayed) if relayed.failed => Outcome::Failed { status, gtid: relayed.gtid.as_deref() },
            Ok(relayed) => Outcome::Answered { status, affected_rows: relayed.affected_rows, gtid: relayed.gtid.as_deref() },
            Err(_) => Outcome::Unknown,
        };
        let errand = Errand { sql, nature, user: &self.user.name, state: &self.state };
        self.shared.route.ended(lease.server(), &errand, outcome);
    }
}

fn ends_transaction(command: Command<'_>) -> bool {
    let Command::Query(sql) = command else { return false };
    matches!(Class::of(sql), Class::Commit | Class::Rollback)
}
