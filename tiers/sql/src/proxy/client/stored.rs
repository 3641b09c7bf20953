//! Answers from memory, and what is done around a statement so that they are right (`proxy/follow`).

use std::{sync::Arc, time::Instant};

use pumasi_binlog::Gtid;
use pumasi_freshness::{Entry, Observed, Stamp, Trace};
use pumasi_mysqlwire::{Capabilities, Execution, LongData, ServerStatus, Value};
use pumasi_sqltext::Scalar;
use pumasi_trace::{Calling, trace_said};

use super::{
    super::{
        follow::{Ended, Follow, Running, Sent, Standing, Thread},
        nature::Nature,
        route::{Role, Server},
    },
    Client, Relayed, Trouble,
};
use crate::{
    front::digests::{Count, Executed},
    results::{Asked, Key, Miss, Parts, Stored},
};

/// Longer texts are not looked up: they are data, not questions.
pub(super) const SQL_MAX: usize = 16 * 1024;

/// A statement on its way, as far as stored answers are concerned.
pub(super) struct Question {
    /// Taken before a server was chosen.
    now: Stamp,
    /// To be filled with the answer.
    miss: Option<Miss>,
    /// Of a prepared statement, if they are known.
    parameters: Vec<Value>,
}

impl Client {
    /// Answers from memory (`None`), or says what is to be known around the statement. `execution`: of a prepared statement, its payload with the
    /// parameters' types, and how many there are.
    pub(super) async fn ask(
        &mut self,
        sql: &[u8],
        nature: Nature,
        execution: Option<(&[u8], usize)>,
        count: &Arc<Count>,
    ) -> Result<Option<Question>, Trouble> {
        let Some(follow) = self.shared.follow.clone() else { return Ok(Some(self.ask_nothing())) };
        let now = follow.freshness().stamp();
        self.renew_snapshot().await?;
        let parameters = execution.and_then(|(payload, count)| decoded(payload, count)).unwrap_or_default();
        let execution = execution.map(|(payload, _)| payload);
        // COM_STMT_EXECUTE's flags: a cursor is a state of the server's.
        let cursor = execution.is_some_and(|payload| payload.get(4) != Some(&0));
        let status = self.status();
        let alone = status.contains(ServerStatus::AUTOCOMMIT)
            && !status.contains(ServerStatus::IN_TRANSACTION)
            && self.lease.as_ref().is_none_or(|lease| !lease.backend.transaction_holds);
        if !alone || cursor || !nature.reads || nature.looks_back.is_some() || sql.len() > SQL_MAX || self.apart().is_some() {
            return Ok(Some(Question { now, miss: None, parameters }));
        }
        let started = Instant::now();
        let calling = self.calling(sql);
        let key = self.key_for(sql, execution);
        match follow.results().ask_sharing(key).await {
            Asked::Hit { stored, stamp } => {
                let said = execution.map_or_else(|| self.said(sql), |_| None);
                self.answer_stored(&stored, (stamp, said), started, count, calling).await?;
                Ok(None)
            }
            Asked::Miss(mut miss) => {
                miss.counted_by(count.clone());
                Ok(Some(Question { now, miss: Some(miss), parameters }))
            }
        }
    }

    /// As [`Client::ask`], for a statement that cannot be answered from memory.
    pub(super) fn ask_nothing(&self) -> Question {
        let now = self.shared.follow.as_ref().map_or(Stamp::default(), |follow| follow.freshness().stamp());
        Question { now, miss: None, parameters: Vec::new() }
    }

    /// Everything that shapes the bytes of an answer.
    fn key_for(&mut self, sql: &[u8], execution: Option<&[u8]>) -> Key {
        let settings = self.shaping();
        let form = form(self.capabilities, execution.is_some());
        // Behind the statement's number: flags, NULLs, types and values.
        let parameters = execution.map_or(&[][..], |payload| &payload[4..]);
        Key::of(&Parts { form, database: None, settings: &settings, prepared_under: parameters, sql, parameters: &[] })
    }

    /// User, login and every variable that the session has set, written so that equal bytes mean equal sessions.
    pub(super) fn shaping(&mut self) -> Arc<[u8]> {
        let state = self.state_key();
        if !Arc::ptr_eq(&self.shaping.0, &state) || self.shaping.1.is_empty() {
            let mut out = Vec::new();
            let mut put = |bytes: &[u8]| {
                out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
                out.extend_from_slice(bytes);
            };
            put(self.key.user.as_bytes());
            put(&self.key.capabilities.0.to_le_bytes());
            put(&[self.key.collation, u8::from(state.database.is_some())]);
            put(state.database.as_deref().unwrap_or_default());
            for (name, value) in &state.variables {
                put(name);
                put(value);
            }
            self.shaping = (state, out.into());
        }
        self.shaping.1.clone()
    }

    /// Why this session's answers are its own, if they are.
    pub(super) fn apart(&self) -> Option<&'static str> {
        if self.hold.pinned.is_some() {
            return Some("session-pinned");
        }
        if self.meaning.is_some() {
            // Kept under the settings of today, it would be found by those for whom the text means something else.
            return Some("prepared-elsewhere");
        }
        if !self.state.user.is_empty() {
            // A stored function may read them.
            return Some("user-variables");
        }
        if self.hold.until_transaction {
            return Some("set-transaction");
        }
        let variable = |name: &[u8]| self.state.variables.get(name).map(Vec::as_slice);
        let uncommitted = |name| variable(name).is_some_and(|level| level.eq_ignore_ascii_case(b"READ-UNCOMMITTED"));
        if uncommitted(b"tx_isolation") || uncommitted(b"transaction_isolation") {
            return Some("read-uncommitted");
        }
        if !self.modes().plain() {
            // Read right, but two texts of one meaning would be two keys, and one that cannot be read is everybody's.
            return Some("sql-mode");
        }
        let follow = self.shared.follow.as_ref()?;
        let elsewhere = |server: &Server| match server.role {
            Role::Primary => !follow.is_primary(server.number),
            Role::Replica => !self.shared.route.replicas_are_current(),
        };
        self.lease.as_ref().filter(|lease| elsewhere(lease.server())).map(|_| "replica")
    }

    /// Whether a write to what `sql` reads is on its way. Asked after the stamp was taken, before a server is chosen.
    pub(super) fn reads_what_is_fenced(&self, sql: &[u8]) -> bool {
        let Some(follow) = &self.shared.follow else { return false };
        follow.freshness().fences() > 0 && follow.fenced(sql, self.text_state().database.as_deref().map(String::from_utf8_lossy).as_deref())
    }

    /// Whose statement it is, if that is traced.
    pub(super) fn calling(&self, sql: &[u8]) -> Option<Calling> {
        self.witness.as_ref()?.callers().statement(sql)
    }

    /// The request that a text names as its own, if requests are told apart by that. A prepared statement's text may have been another's.
    pub(super) fn said(&self, sql: &[u8]) -> Option<Trace> {
        self.witness.as_ref().filter(|witness| witness.tells_apart()).and_then(|_| trace_said(sql))
    }

    async fn answer_stored(
        &mut self,
        stored: &Stored,
        (stamp, said): (Stamp, Option<Trace>),
        started: Instant,
        count: &Count,
        calling: Option<Calling>,
    ) -> Result<(), Trouble> {
        self.shared.meter.started();
        let witnessed =
            self.witness.as_ref().map(|witness| witness.statement_of(Observed::Read { deps: stored.entry.deps().clone(), stamp }, said));
        self.link.outbox.payload().extend_from_slice(&stored.packets);
        self.last.place = None;
        self.last.affected_rows = -1;
        self.last.found_rows = stored.rows;
        let us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.shared.meter.finished(us, true);
        self.shared.reads.add(1);
        count.hit(us, stored.rows);
        if let Some(calling) = calling {
            count.trace(calling, &self.shared.settings.name, &Executed { us, rows: stored.rows, ok: true, kept: true });
        }
        if witnessed.is_some() {
            // Requests that begin while the answer is under way count it, too.
            self.link.flush().await.map_err(Trouble::Client)?;
        } else {
            self.link.flush_if_large().await.map_err(Trouble::Client)?;
        }
        Ok(())
    }

    /// Many drivers leave a transaction open that has only read, and its worker would see the past for ever. When the request that it belongs
    /// to has ended, it is begun anew.
    async fn renew_snapshot(&mut self) -> Result<(), Trouble> {
        let (Some(witness), Some(lease)) = (&self.witness, &self.lease) else { return Ok(()) };
        let free =
            self.hold.pinned.is_none() && !self.hold.until_transaction && self.hold.cursors.is_empty() && self.hold.long_data.is_empty();
        if !free || !lease.backend.status.contains(ServerStatus::IN_TRANSACTION) || !self.session.outlived(witness) {
            return Ok(());
        }
        // A transaction that the client began by name goes on under that name.
        let named = lease.backend.status.contains(ServerStatus::AUTOCOMMIT);
        self.run_own(if named { "COMMIT AND CHAIN" } else { "COMMIT" }).await?;
        self.session.renewed();
        Ok(())
    }

    /// Raises the fence of a statement that is about to be sent on the leased connection.
    pub(super) fn begins(&mut self, question: &Question, sql: &[u8]) -> Option<Running> {
        let follow: &Arc<Follow> = self.shared.follow.as_ref()?;
        let lease = self.lease.as_ref()?;
        let status = lease.backend.status;
        let standing = Standing {
            in_transaction: status.contains(ServerStatus::IN_TRANSACTION),
            autocommit: status.contains(ServerStatus::AUTOCOMMIT),
            apart: self.apart(),
        };
        let thread = Thread {
            id: lease.backend.server_id,
            port: lease.backend.link.local_port(),
            target: lease.server().target.clone(),
            user: self.user.clone(),
        };
        let database = self.meaning.as_deref().unwrap_or(&self.state).database.as_deref().map(String::from_utf8_lossy);
        let parameters: Vec<Scalar<'_>> = question.parameters.iter().map(crate::results::scalar).collect();
        let running = self.session.begins(
            follow,
            &Sent { sql, parameters: &parameters, database: database.as_deref() },
            standing,
            question.now,
            thread,
        );
        let kept = question.miss.is_some() && running.reading().is_some();
        self.recording = kept.then(Vec::new);
        Some(running)
    }

    /// What a worker's open requests are told, from before the statement is sent until its answer is.
    pub(super) fn witness_of(&self, nature: Nature, running: Option<&Running>, said: Option<Trace>) -> Option<pumasi_freshness::Statement> {
        let witness = self.witness.as_ref()?;
        let observed = match (running, nature.reads, nature.controls) {
            (Some(running), _, _) => running.observed(self.apart())?,
            (None, true, _) => Observed::Refused("results-off"),
            (None, false, true) => return None,
            (None, false, false) => Observed::Wrote,
        };
        Some(witness.statement_of(observed, said))
    }

    /// The whole answer is here, its last packet not yet sent: keeps it, if it may be kept, and ends what was around the statement.
    pub(super) async fn ended(&mut self, question: Question, running: Option<Running>, relayed: &Relayed) {
        let recorded = self.recording.take();
        let (Some(running), Some(lease)) = (running, &self.lease) else { return };
        let status = lease.backend.status;
        let alone = status.contains(ServerStatus::AUTOCOMMIT) && !status.contains(ServerStatus::IN_TRANSACTION);
        let whole = alone && !relayed.failed && relayed.warnings == 0 && relayed.pins.is_none() && !relayed.cursor;
        match (question.miss, running.reading(), recorded) {
            (Some(miss), Some((stamp, deps)), Some(packets)) if whole => miss.store(Entry::new(stamp, deps), packets.into(), relayed.rows),
            (Some(miss), _, _) => miss.refuse(),
            (None, _, _) => {}
        }
        if relayed.failed
            && let Some(witness) = &self.witness
        {
            // A deadlock, a lost lock, a name that does not exist: what is made of an error is not a function of rows.
            drop(witness.statement(Observed::Refused("error")));
        }
        let ended = Ended {
            error: relayed.failed.then(|| relayed.error.unwrap_or(0)),
            in_transaction: status.contains(ServerStatus::IN_TRANSACTION),
            autocommit: status.contains(ServerStatus::AUTOCOMMIT),
            gtid: relayed.gtid.as_deref().and_then(Gtid::parse),
        };
        let witness = self.witness.clone();
        running.ended(&mut self.session, ended, witness.as_deref()).await;
    }
}

// === helpers ===

/// What of a client's capabilities shapes the packets of an answer, and whether its rows are binary.
pub(super) fn form(capabilities: Capabilities, binary: bool) -> u64 {
    let shaping = [Capabilities::DEPRECATE_EOF, Capabilities::SESSION_TRACK, Capabilities::OPTIONAL_RESULTSET_METADATA];
    shaping.iter().fold(u64::from(binary), |form, bit| form << 1 | u64::from(capabilities.contains(*bit)))
}

/// The values of an execution whose types are in its payload.
fn decoded(payload: &[u8], count: usize) -> Option<Vec<Value>> {
    Execution::decode(payload).ok()?.parameters(count, &mut Vec::new(), &LongData::new()).ok()
}
