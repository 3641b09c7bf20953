//! Prepared statements: the client's numbers for them, on whichever connection they run.

use std::{borrow::Cow, sync::Arc};

use pumasi_freshness::Observed;
use pumasi_mysqlwire::{Command, Execution, Expect, HEADER, SqlError, WireError};
use pumasi_trace::without_trace;

use super::{
    super::{
        backend::StatementKey,
        follow::Generation,
        nature::{LooksBack, Nature},
        route::Role,
        state::SessionState,
    },
    Client, Relayed, Trouble,
    stored::{Question, SQL_MAX, form},
    texts::READ_TRIES,
};
use crate::{
    front::digests::Count,
    results::{Key, Parts},
};

/// Prepared statements of one client; the next is refused with error 1461.
const STATEMENTS_MAX: usize = 16_382;

/// Bytes of the texts of one client's prepared statements: they are kept to be prepared again on another connection.
const STATEMENT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// MariaDB's number for the statement prepared last: lets a client send its execution without waiting for its number.
pub(super) const LATEST: u32 = u32::MAX;

/// A prepared statement of the client.
pub(super) struct Statement {
    /// As the client wrote it.
    pub(super) sql: Arc<[u8]>,
    /// As it is read; the same, if the session has no other settings.
    pub(super) read: Arc<[u8]>,
    /// What the session was when it was prepared: its text means what it meant then.
    pub(super) state: Arc<SessionState>,
    pub(super) parameters: usize,
    /// Two bytes per parameter, as last sent: another client may have run the server's statement with other types meanwhile.
    pub(super) types: Vec<u8>,
    pub(super) nature: Nature,
    pub(super) count: Arc<Count>,
}

/// Where the answer to one preparation is kept: drivers that share connections prepare their statements again for every request.
pub(super) struct PreparedBefore {
    generation: Arc<Generation>,
    key: Key,
    /// Whether a change of the schema past the proxy would be seen.
    schema_seen: bool,
}

impl PreparedBefore {
    fn packets(&self) -> Option<Arc<[u8]>> {
        self.generation.prepared(self.key.as_bytes())
    }

    /// A statement without columns has an answer that no change of the schema changes; one with columns describes tables.
    fn keep(self, columns: u16, packets: Vec<u8>) {
        if columns == 0 || self.schema_seen {
            self.generation.keep_prepared(self.key, packets.into());
        }
    }
}

impl Client {
    pub(super) async fn prepare(&mut self, sql: &[u8]) -> Result<(), Trouble> {
        self.latest = None;
        if self.statements.len() >= STATEMENTS_MAX {
            let message = format!("Can't create more than max_prepared_stmt_count statements (current value: {STATEMENTS_MAX})");
            return Err(SqlError::new(1461, "42000", message).into());
        }
        let kept: usize = self.statement_bytes + sql.len();
        if kept > STATEMENT_BYTES_MAX {
            let message = format!("Can't keep more than {STATEMENT_BYTES_MAX} bytes of prepared statements for one client");
            return Err(SqlError::new(1461, "42000", message).into());
        }
        let read = self.modes().read(sql);
        let (count, nature) = self.pools.known(&read)?;
        let id = self.next_statement();
        let before = self.prepared_before(sql, nature);
        let parameters = match before.as_ref().and_then(PreparedBefore::packets) {
            Some(packets) => Some(self.put_prepared(&packets, id)),
            None => {
                self.acquire(&read, nature).await?;
                if self.modes_changed() && self.modes().read(sql) != read {
                    // The session begins with another default than was known when its text was read.
                    self.settle(&Relayed::default());
                    return Box::pin(self.prepare(sql)).await;
                }
                self.prepare_at_server(sql, &read, nature, id, before).await?
            }
        };
        if let Some(parameters) = parameters {
            let read = matches!(read, Cow::Owned(_)).then(|| Arc::from(&*read));
            let sql: Arc<[u8]> = self.prepared_text(sql).into();
            let (read, state) = (read.unwrap_or_else(|| sql.clone()), self.state_key());
            self.latest = Some(id);
            self.statement_bytes = kept;
            self.statements.insert(id, Statement { sql, read, state, parameters: parameters.into(), types: Vec::new(), nature, count });
        }
        Ok(())
    }

    /// By which a statement is known: without the comment that names the request it was prepared for.
    fn prepared_text<'s>(&self, sql: &'s [u8]) -> &'s [u8] {
        if self.modes().plain() { without_trace(sql) } else { sql }
    }

    /// How many parameters it has; `None` if the server refused it.
    async fn prepare_at_server(
        &mut self,
        sql: &[u8],
        read: &[u8],
        nature: Nature,
        id: u32,
        before: Option<PreparedBefore>,
    ) -> Result<Option<u16>, Trouble> {
        self.acquire(read, nature).await?;
        self.recording = before.is_some().then(Vec::new);
        let relayed = self.relay_prepare(sql, id).await;
        let recorded = self.recording.take();
        let relayed = relayed?;
        let prepared = relayed.prepared.filter(|_| !relayed.failed);
        if let Some(prepared) = &prepared {
            let key = StatementKey { sql: self.prepared_text(sql).into(), state: self.state_key() };
            let lease = self.lease.as_mut().expect("acquired above");
            lease.backend.remember(key, prepared.statement).await.map_err(Trouble::Backend)?;
            // What it would be on a replica is the same, but no replica answers for the primary's catalogue.
            let primary = lease.server().role == Role::Primary;
            if let (Some(before), Some(packets), true) = (before, recorded, primary && relayed.warnings == 0) {
                before.keep(prepared.columns, packets);
            }
        }
        self.settle(&relayed);
        Ok(prepared.map(|prepared| prepared.parameters))
    }

    /// Where the answer to this preparation is kept, if it may be: what it says depends on the text, the session and the schema, and on nothing else.
    fn prepared_before(&mut self, sql: &[u8], nature: Nature) -> Option<PreparedBefore> {
        let plain = nature.looks_back.is_none() && !self.hold.warnings && sql.len() <= SQL_MAX && self.apart().is_none();
        let follow = self.shared.follow.as_ref().filter(|_| plain)?;
        // Before the server is asked: a change of the schema in between makes another reading of the catalogue.
        let (generation, schema_seen) = (follow.generation(), follow.sees_foreign_schema_changes());
        let settings = self.shaping();
        let form = form(self.capabilities, false);
        let key = Key::of(&Parts { form, database: None, settings: &settings, prepared_under: &[], sql, parameters: &[] });
        Some(PreparedBefore { generation, key, schema_seen })
    }

    /// Answers a preparation from memory, under the client's own number for it. How many parameters it has.
    fn put_prepared(&mut self, packets: &[u8], id: u32) -> u16 {
        let out = self.link.outbox.payload();
        let at = out.len() + HEADER;
        out.extend_from_slice(packets);
        // OK, the number, how many columns, how many parameters.
        out[at + 1..at + 5].copy_from_slice(&id.to_le_bytes());
        u16::from_le_bytes([out[at + 7], out[at + 8]])
    }

    pub(super) async fn relay_prepare(&mut self, sql: &[u8], id: u32) -> Result<Relayed, Trouble> {
        self.lease_mut().backend.send(Command::Prepare(sql)).await.map_err(Trouble::Backend)?;
        self.relay(Expect::Prepared, Some(id)).await
    }

    pub(super) async fn execute(&mut self, payload: &[u8]) -> Result<(), Trouble> {
        let execution = Execution::decode(payload).map_err(SqlError::from)?;
        let id = self.latest.filter(|_| execution.statement == LATEST).unwrap_or(execution.statement);
        let statement = self.statements.get(&id).ok_or_else(|| unknown_statement(id, "mysqld_stmt_execute"))?;
        let (nature, count, sql) = (statement.nature, statement.count.clone(), statement.read.clone());
        self.meaning = (!statement.state.reads_alike(&self.state)).then(|| statement.state.clone());
        let _permits = self.admit(&count).await?;
        if let Some(back) = nature.looks_back {
            if matches!(back, LooksBack::FoundRows | LooksBack::RowCount) && self.lease.is_none() {
                self.require_same_connection(back)?;
            } else {
                Box::pin(self.look_back(back, &sql, nature)).await?;
            }
        } else if self.hold.warnings {
            self.hold.warnings = false;
            self.settle(&Relayed::default());
        }
        let statement = self.statements.get_mut(&id).expect("found above");
        let mut payload = with_types(payload, 0, statement)?;
        let parameters = statement.parameters;
        // While a cursor is open the session's other statements run beside it, writes as well.
        let nature = Nature { reads: nature.reads && !execution.cursor, ..nature };
        let long_data = self.hold.long_data.contains(&id);
        let mut question = if long_data {
            // Values that are at the server: what it reads cannot be said by them.
            self.ask_nothing()
        } else {
            match self.ask(&sql, nature, Some((&payload, parameters)), &count).await? {
                Some(question) => question,
                None => return Ok(()),
            }
        };
        let mut tries = 1;
        let relayed = loop {
            match self.execute_once(id, nature, count.clone(), &sql, &mut payload, question).await {
                Err(Trouble::Backend(lost)) if tries < READ_TRIES && !long_data && self.may_repeat(&sql, nature) => self.give_up(&lost),
                other => break other?,
            }
            question = self.ask_nothing();
            tries += 1;
        };
        if relayed.cursor {
            self.hold.cursors.insert(id);
        }
        Ok(())
    }

    async fn execute_once(
        &mut self,
        id: u32,
        nature: Nature,
        count: Arc<Count>,
        sql: &[u8],
        payload: &mut [u8],
        question: Question,
    ) -> Result<Relayed, Trouble> {
        self.passed = false;
        self.acquire(sql, nature).await?;
        let server_id = self.server_statement(id).await?;
        payload[..4].copy_from_slice(&server_id.to_le_bytes());
        self.measured_execute(id, nature, count, sql, payload, question).await
    }

    /// As `measured`, with what belongs to the statement settled before the connection may be given back.
    pub(super) async fn measured_execute(
        &mut self,
        id: u32,
        nature: Nature,
        count: Arc<Count>,
        sql: &[u8],
        payload: &[u8],
        question: Question,
    ) -> Result<Relayed, Trouble> {
        self.hold.long_data.remove(&id);
        self.hold.cursors.remove(&id);
        self.measured(nature, count, sql, Command::Execute(payload), question).await
    }

    /// The number by which the leased connection knows the client's statement.
    pub(super) async fn server_statement(&mut self, id: u32) -> Result<u32, Trouble> {
        let statement = self.statements.get(&id).ok_or_else(|| unknown_statement(id, "mysqld_stmt_execute"))?;
        let key = StatementKey { sql: statement.sql.clone(), state: statement.state.clone() };
        let backend = &mut self.lease.as_mut().expect("acquired by the caller").backend;
        if let Some(known) = backend.known_statement(&key) {
            return Ok(known);
        }
        if key.state.reads_alike(&self.state) {
            return Ok(Box::pin(backend.statement(&key)).await.map_err(Trouble::Backend)??);
        }
        // Prepared in the state in which the client prepared it, and run in the one of today.
        Ok(Box::pin(backend.statement_of_another_time(&key)).await.map_err(Trouble::Backend)??)
    }

    /// The session's state for [`StatementKey`]: the same allocation as long as nothing changes.
    pub(super) fn state_key(&mut self) -> Arc<SessionState> {
        if !self.state_shared.reads_alike(&self.state) {
            self.state_shared = Arc::new(self.state.without_user_variables());
        }
        self.state_shared.clone()
    }

    pub(super) async fn long_data(&mut self, id: u32, parameter: u16, data: &[u8]) -> Result<(), Trouble> {
        let Some(statement) = self.statements.get(&id) else { return Ok(()) };
        // Wherever the pieces go the execution goes, and a transaction may begin with it.
        let (sql, nature) = (statement.read.clone(), Nature { reads: false, ..statement.nature });
        // Nothing may be answered to this command; what goes wrong is found by the execution, which needs the same connection.
        match self.acquire(&sql, nature).await {
            Ok(()) => {}
            Err(Trouble::Refused(_)) => return Ok(()),
            Err(other) => return Err(other),
        }
        let statement = match self.server_statement(id).await {
            Ok(statement) => statement,
            Err(Trouble::Refused(_)) => return Ok(()),
            Err(other) => return Err(other),
        };
        self.hold.long_data.insert(id);
        self.lease_mut().backend.send(Command::LongData { statement, parameter, data }).await.map_err(Trouble::Backend)
    }

    pub(super) async fn close_statement(&mut self, id: u32) -> Result<(), Trouble> {
        self.release_statement(id).await?;
        if let Some(statement) = self.statements.remove(&id) {
            self.statement_bytes -= statement.sql.len();
        }
        self.settle(&Relayed::default());
        Ok(())
    }

    pub(super) async fn reset_statement(&mut self, id: u32) -> Result<(), Trouble> {
        if !self.statements.contains_key(&id) {
            return Err(unknown_statement(id, "mysqld_stmt_reset").into());
        }
        self.release_statement(id).await?;
        self.settle(&Relayed::default());
        self.put_ok();
        Ok(())
    }

    /// Takes back what a statement has at the server: pieces of parameters, a cursor. The statement itself stays, for others.
    pub(super) async fn release_statement(&mut self, id: u32) -> Result<(), Trouble> {
        let had = self.hold.long_data.remove(&id) | self.hold.cursors.remove(&id);
        if had && self.lease.is_some() {
            let statement = self.server_statement(id).await?;
            let reset = self.lease_mut().backend.run(Command::ResetStatement(statement), Expect::One).await;
            reset.map_err(Trouble::Backend)??;
        }
        Ok(())
    }

    pub(super) async fn fetch(&mut self, id: u32, rows: u32) -> Result<(), Trouble> {
        if !self.hold.cursors.contains(&id) || self.lease.is_none() {
            return Err(SqlError::new(1421, "HY000", format!("The statement ({id}) has no open cursor.")).into());
        }
        // Rows that an earlier statement read.
        let _witnessed = self.witness.as_ref().map(|witness| witness.statement(Observed::Refused("cursor")));
        let statement = self.server_statement(id).await?;
        let relayed = self.run_leased(Command::Fetch { statement, rows }, Expect::Rows).await?;
        if relayed.last_row || relayed.failed {
            self.hold.cursors.remove(&id);
        }
        self.settle(&relayed);
        Ok(())
    }

    pub(super) fn forget_statements(&mut self) {
        self.statements.clear();
        self.statement_bytes = 0;
        self.latest = None;
    }

    pub(super) fn next_statement(&mut self) -> u32 {
        loop {
            self.last_statement = if self.last_statement >= u32::MAX - 1 { 1 } else { self.last_statement + 1 };
            if !self.statements.contains_key(&self.last_statement) {
                return self.last_statement;
            }
        }
    }
}

// === helpers ===

/// COM_STMT_EXECUTE's payload with the server's number, and always with the parameters' types.
fn with_types(payload: &[u8], server_id: u32, statement: &mut Statement) -> Result<Vec<u8>, SqlError> {
    let malformed = || SqlError::from(WireError::Truncated("execution"));
    let mut out = Vec::with_capacity(payload.len() + 2 * statement.parameters);
    out.extend_from_slice(&server_id.to_le_bytes());
    let (head, rest) = payload.get(4..).and_then(|rest| rest.split_at_checked(5)).ok_or_else(malformed)?;
    out.extend_from_slice(head);
    match statement.with_types(rest, &mut out) {
        Some(()) => Ok(out),
        None if statement.types.is_empty() => {
            Err(SqlError::from(WireError::Malformed("parameters' types, which no execution has sent yet,")))
        }
        None => Err(malformed()),
    }
}

impl Statement {
    /// Appends an execution's NULLs, types and values, with the types of an earlier execution if it brings none. `None`: `rest`, what stands
    /// behind the number of iterations, is too short, or there was no earlier one.
    pub(super) fn with_types(&mut self, rest: &[u8], out: &mut Vec<u8>) -> Option<()> {
        if self.parameters == 0 {
            return Some(());
        }
        let (nulls, rest) = rest.split_at_checked(self.parameters.div_ceil(8))?;
        let (new_types, mut rest) = rest.split_first()?;
        if *new_types == 1 {
            let (types, values) = rest.split_at_checked(2 * self.parameters)?;
            if self.types != types {
                self.types = types.to_vec();
            }
            rest = values;
        }
        if self.types.len() != 2 * self.parameters {
            return None;
        }
        out.extend_from_slice(nulls);
        out.push(1);
        out.extend_from_slice(&self.types);
        out.extend_from_slice(rest);
        Some(())
    }
}

fn unknown_statement(id: u32, what: &str) -> SqlError {
    SqlError::new(1243, "HY000", format!("Unknown prepared statement handler ({id}) given to {what}"))
}
