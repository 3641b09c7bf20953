//! The commands of one client, one after the other, until it leaves.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Instant,
};

use pumasi_freshness::{Entry as Passport, Moment, Observed, Stamp, Trace, Witness};
use pumasi_mysqlwire::{
    Capabilities, Column, ColumnFlags, ColumnType, Command, EofPacket, Execution, LongData, OkPacket, ParameterType, Prepared,
    ServerStatus, SqlError, Value, ValueRef, cursor::NULL, decode_change_user,
};
use pumasi_sqltext::{Token, Tokens};
use pumasi_trace::{Calling, trace_said};
use tracing::debug;

use super::{
    PACKET_MAX, STATEMENTS_MAX, Shared,
    answer::{Answer, Rows, put_columns},
    digests::{Count, Executed, Remembered},
    login::{self, FirstProof, NoLogin},
    registry::{Entry, Kill},
    text,
    wire::{Lost, Out, Wire},
};
use crate::{
    engine::{Engine, EngineSession, ResultSink, StatementKind, Summary},
    results::{Asked, Key, Miss, Parts, RESULT_MAX, Reading, Stored},
};

/// Bytes of a prepared statement's text kept for SHOW PROCESSLIST and the digests.
const SQL_KEPT_MAX: usize = 1024;

/// A logged-in connection.
pub struct Session<'s, E: Engine> {
    wire: Wire,
    work: Work<'s, E>,
}

/// Everything of a session but its wire: so a command may borrow its text from the inbox while it is answered.
struct Work<'s, E: Engine> {
    shared: &'s Shared<E>,
    entry: &'s Entry,
    capabilities: Capabilities,
    engine: E::Session,
    witness: Option<Arc<Witness>>,
    statements: HashMap<u32, Statement<E>>,
    /// The number of the statement prepared last.
    last_statement: u32,
    digests: Remembered,
    /// When the open transaction's last statement ran, as the worker's requests see it.
    transaction: Option<Moment>,
    /// The database in use as far as the client has been told.
    schema_told: Option<String>,
}

/// A prepared statement of one session.
struct Statement<E: Engine> {
    prepared: <E::Session as EngineSession>::Prepared,
    parameters: usize,
    /// As the last execution sent them.
    types: Vec<ParameterType>,
    long_data: LongData,
    long_bytes: usize,
    /// COM_STMT_SEND_LONG_DATA has no answer; what was wrong with it is said when the statement is executed.
    long_error: Option<SqlError>,
    /// Cut after [`SQL_KEPT_MAX`].
    sql: Vec<u8>,
    /// Database and settings when it was prepared: names in it were resolved then. `None`: its results are not shared.
    prepared_under: Option<Vec<u8>>,
    count: Arc<Count>,
}

/// Whether the connection goes on after a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Next,
    End,
}

impl<'s, E: Engine> Session<'s, E> {
    pub fn new(
        shared: &'s Shared<E>,
        entry: &'s Entry,
        wire: Wire,
        capabilities: Capabilities,
        engine: E::Session,
        witness: Option<Arc<Witness>>,
    ) -> Session<'s, E> {
        let schema_told = engine.database().map(str::to_owned);
        Session {
            wire,
            work: Work {
                shared,
                entry,
                capabilities,
                engine,
                witness,
                statements: HashMap::new(),
                last_statement: 0,
                digests: Remembered::default(),
                transaction: None,
                schema_told,
            },
        }
    }

    /// Says OK to the login and serves commands until the client leaves, is sent away, or the server stops.
    pub fn run(self) {
        let Session { mut wire, mut work } = self;
        work.put_ok(&mut wire.out);
        let lost = loop {
            if let Err(error) = wire.out.complete() {
                break Lost::Io(error);
            }
            match work.next_command(&mut wire) {
                Ok(Flow::Next) => {}
                Ok(Flow::End) => {
                    let _ = wire.out.flush();
                    return;
                }
                Err(lost) => break lost,
            }
        };
        if let Some(error) = work.farewell(&lost) {
            wire.out.error(&error);
            let _ = wire.out.flush();
        }
        debug!(database = %work.shared.settings.name, peer = %work.entry.peer, error = %lost, "connection ended");
    }
}

impl<E: Engine> Work<'_, E> {
    /// Waits for one command and answers it into the outbox.
    fn next_command(&mut self, wire: &mut Wire) -> Result<Flow, Lost> {
        wire.out.sequence.restart();
        wire.wait()?;
        let (payload, out) = wire.take()?;
        if self.entry.ending() {
            // Killed, or the server stops: the command came too late to be begun.
            out.error(&super::shutting_down());
            return Ok(Flow::End);
        }
        match Command::decode(payload)? {
            Command::Quit => Ok(Flow::End),
            Command::ChangeUser(payload) => {
                let login = decode_change_user(payload, self.capabilities)?;
                self.change_user(login, wire)
            }
            command => Ok(self.answer(command, out)),
        }
    }

    /// What a client is told before its connection is closed on it; nothing if it is gone already.
    fn farewell(&self, lost: &Lost) -> Option<SqlError> {
        match lost {
            Lost::HungUp if self.entry.ending() && self.shared.stopping() => Some(super::shutting_down()),
            Lost::HungUp if self.entry.ending() => Some(SqlError::new(1927, "70100", "Connection was killed")),
            Lost::TimedOut => Some(SqlError::new(4031, "HY000", "The client was disconnected by the server because of inactivity")),
            Lost::Wire(error) => Some(SqlError::from(*error)),
            Lost::HungUp | Lost::Io(_) => None,
        }
    }

    fn answer(&mut self, command: Command<'_>, out: &mut Out) -> Flow {
        let (name, sql) = self.described(&command);
        self.entry.begins(name, sql, Instant::now());
        let answered = match command {
            Command::Query(sql) => self.query(sql, out),
            Command::Prepare(sql) => self.prepare(sql, out).map(|()| Flow::Next),
            Command::Execute(payload) => self.execute(payload, out),
            Command::LongData { statement, parameter, data } => {
                self.long_data(statement, parameter, data);
                Ok(Flow::Next)
            }
            Command::CloseStatement(id) => {
                self.close_statement(id);
                Ok(Flow::Next)
            }
            Command::ResetStatement(id) => self.reset_statement(id, out),
            Command::Fetch { statement, .. } => Err(no_open_cursor(statement)),
            Command::Ping => {
                self.put_ok(out);
                Ok(Flow::Next)
            }
            Command::InitDb(database) => self.use_database(database, out),
            Command::ResetConnection => self.reset(out),
            Command::SetMultiStatements(on) => {
                self.set_multi_statements(on, out);
                Ok(Flow::Next)
            }
            Command::Statistics => {
                let statistics = self.statistics();
                out.packet(|out| out.extend_from_slice(statistics.as_bytes()));
                Ok(Flow::Next)
            }
            Command::FieldList { table, wildcard } => self.field_list(table, wildcard, out),
            Command::ProcessKill(id) => self.kill(id, Kill::Connection, out),
            Command::Quit | Command::ChangeUser(_) | Command::Administer(_) | Command::Other(_) => {
                Err(SqlError::new(1047, "08S01", "Unknown command"))
            }
        };
        self.entry.ends(self.engine.database(), Instant::now());
        answered.unwrap_or_else(|error| {
            out.error(&error);
            Flow::Next
        })
    }

    /// A command's name and text for SHOW PROCESSLIST.
    fn described<'c>(&'c self, command: &Command<'c>) -> (&'static str, &'c [u8]) {
        match command {
            Command::Query(sql) => ("Query", sql),
            Command::Prepare(sql) => ("Prepare", sql),
            Command::Execute(payload) => {
                let statement = Execution::decode(payload).ok().and_then(|execution| self.statements.get(&execution.statement));
                ("Execute", statement.map_or(&[], |statement| &statement.sql))
            }
            Command::InitDb(_) => ("Init DB", b""),
            Command::FieldList { .. } => ("Field List", b""),
            Command::LongData { .. } => ("Long Data", b""),
            Command::Ping => ("Ping", b""),
            Command::ResetConnection => ("Reset Connection", b""),
            _ => ("Command", b""),
        }
    }

    // === text statements ===

    fn query(&mut self, sql: &[u8], out: &mut Out) -> Result<Flow, SqlError> {
        let multi = self.capabilities.contains(Capabilities::MULTI_STATEMENTS);
        if !multi && text::several_statements(sql) {
            return Err(SqlError::new(
                1064,
                "42000",
                "You have an error in your SQL syntax: several statements in one need the client flag CLIENT_MULTI_STATEMENTS",
            ));
        }
        if Tokens::new(sql).next().is_none() {
            return Err(SqlError::new(1065, "42000", "Query was empty"));
        }
        let mut rest = sql;
        loop {
            if let Some(own) = Own::of(rest) {
                let behind = own.behind;
                let more = !behind.is_empty();
                match own.what {
                    What::Kill(id, what) => {
                        if self.kill(id, what, out)? == Flow::End {
                            return Ok(Flow::End);
                        }
                    }
                    What::Processes => self.processes(more, out)?,
                }
                if !more {
                    return Ok(Flow::Next);
                }
                rest = behind;
                continue;
            }
            let used = self.statement(rest, out)?;
            rest = text::rest_behind(rest, used);
            if rest.is_empty() || used == 0 {
                return Ok(Flow::Next);
            }
        }
    }

    /// Runs the first statement of `sql` and returns how many bytes that was.
    fn statement(&mut self, sql: &[u8], out: &mut Out) -> Result<usize, SqlError> {
        let count = self.digests.count(&self.shared.digests, sql);
        let measured = self.begin(count, sql);
        let miss = match self.ask(sql, Rows::Text, &[], &[]) {
            Some(Asked::Hit { stored, stamp }) => {
                self.answer_stored(&stored, stamp, self.said(sql), measured, out);
                return Ok(sql.len());
            }
            Some(Asked::Miss(mut miss)) => {
                miss.counted_by(measured.count.clone());
                Some(miss)
            }
            None => None,
        };
        self.renew_snapshot();
        let mark = out.mark();
        let mut answer = Answer::new(out, self.capabilities, Rows::Text, self.status(), self.witness.as_ref()).of(self.said(sql));
        let ran = self.engine.query(sql, &mut answer);
        let (rows, warnings) = (answer.row_count(), answer.warnings());
        let used = *ran.as_ref().unwrap_or(&sql.len());
        let reading = self.reading(ran.is_ok(), &sql[..used.min(sql.len())], &[]);
        self.tell(&reading, &mut answer);
        let ended = ran.and_then(|used| {
            let more = used > 0 && !text::rest_behind(sql, used).is_empty();
            let schema = changed_schema(&mut self.schema_told, self.engine.database());
            answer.end(status_of(&self.engine).with(ServerStatus::MORE_RESULTS, more), schema).map(|()| used)
        });
        if let Some(miss) = miss {
            let packets = out.since(mark).filter(|_| ended.is_ok() && warnings == 0);
            keep(miss, &reading, packets, rows);
        }
        self.note_transaction();
        self.finish(measured, rows, ended.is_ok());
        ended
    }

    // === prepared statements ===

    fn prepare(&mut self, sql: &[u8], out: &mut Out) -> Result<(), SqlError> {
        if self.shared.statements.fetch_add(1, SeqCst) >= STATEMENTS_MAX {
            self.shared.statements.fetch_sub(1, SeqCst);
            let message = format!("Can't create more than max_prepared_stmt_count statements (current value: {STATEMENTS_MAX})");
            return Err(SqlError::new(1461, "42000", message));
        }
        let described = self.engine.prepare(sql).and_then(|prepared| self.describe(prepared, sql, out));
        if described.is_err() {
            self.shared.statements.fetch_sub(1, SeqCst);
        }
        described
    }

    /// Remembers a statement and tells the client its parameters and columns.
    fn describe(&mut self, prepared: <E::Session as EngineSession>::Prepared, sql: &[u8], out: &mut Out) -> Result<(), SqlError> {
        let status = self.status();
        let (parameters, columns) = self.engine.describe(&prepared);
        let (Ok(parameter_count), Ok(column_count)) = (u16::try_from(parameters), u16::try_from(columns.len())) else {
            return Err(SqlError::new(1390, "HY000", "Prepared statement contains too many placeholders"));
        };
        let id = next_id(self.last_statement, &self.statements);
        out.packet(|out| Prepared { statement: id, columns: column_count, parameters: parameter_count, warnings: 0 }.encode(out));
        if parameters > 0 {
            put_columns(out, &vec![parameter_column(); parameters], self.capabilities, status);
        }
        if !columns.is_empty() {
            put_columns(out, columns, self.capabilities, status);
        }
        let count = self.digests.count(&self.shared.digests, sql);
        self.last_statement = id;
        let prepared_under = self.prepared_under(sql);
        let sql = sql[..sql.len().min(SQL_KEPT_MAX)].to_vec();
        let statement = Statement {
            prepared,
            parameters,
            types: Vec::new(),
            long_data: LongData::new(),
            long_bytes: 0,
            long_error: None,
            sql,
            prepared_under,
            count,
        };
        self.statements.insert(id, statement);
        Ok(())
    }

    /// A client that asks for a cursor gets all rows at once instead, as MySQL answers statements that cannot have one: the status of the
    /// answer says that no cursor exists, and drivers then read the rows as they come.
    fn execute(&mut self, payload: &[u8], out: &mut Out) -> Result<Flow, SqlError> {
        let execution = Execution::decode(payload)?;
        let id = execution.statement;
        let status = self.status();
        let statement = self.statements.get_mut(&id).ok_or_else(|| unknown_statement(id, "mysqld_stmt_execute"))?;
        let long_data = std::mem::take(&mut statement.long_data);
        statement.long_bytes = 0;
        if let Some(error) = statement.long_error.take() {
            return Err(error);
        }
        let parameters = execution.parameters(statement.parameters, &mut statement.types, &long_data)?;
        let (count, sql, prepared_under) = (statement.count.clone(), statement.sql.clone(), statement.prepared_under.clone());
        let measured = self.begin(count, &sql);
        let asked = prepared_under.and_then(|under| self.ask(&sql, Rows::Binary, &under, &parameters));
        let miss = match asked {
            Some(Asked::Hit { stored, stamp }) => {
                self.answer_stored(&stored, stamp, None, measured, out);
                return Ok(Flow::Next);
            }
            Some(Asked::Miss(mut miss)) => {
                miss.counted_by(measured.count.clone());
                Some(miss)
            }
            None => None,
        };
        self.renew_snapshot();
        let statement = self.statements.get_mut(&id).ok_or_else(|| unknown_statement(id, "mysqld_stmt_execute"))?;
        let mark = out.mark();
        let mut answer = Answer::new(out, self.capabilities, Rows::Binary, status, self.witness.as_ref());
        let ran = self.engine.execute(&mut statement.prepared, &parameters, &mut answer);
        let (rows, warnings) = (answer.row_count(), answer.warnings());
        // A text that was cut says nothing of rows: the digest of it does not parse, and whole tables are depended on.
        let reading = self.reading(ran.is_ok(), &sql, &parameters);
        self.tell(&reading, &mut answer);
        let schema = changed_schema(&mut self.schema_told, self.engine.database());
        let ended = ran.and_then(|()| answer.end(status_of(&self.engine), schema));
        if let Some(miss) = miss {
            let packets = out.since(mark).filter(|_| ended.is_ok() && warnings == 0);
            keep(miss, &reading, packets, rows);
        }
        self.note_transaction();
        self.finish(measured, rows, ended.is_ok());
        ended.map(|()| Flow::Next)
    }

    fn long_data(&mut self, id: u32, parameter: u16, data: &[u8]) {
        let Some(statement) = self.statements.get_mut(&id) else { return };
        if usize::from(parameter) >= statement.parameters {
            statement.long_error = Some(SqlError::new(1210, "HY000", "Incorrect arguments to mysqld_stmt_send_long_data"));
        } else if statement.long_bytes + data.len() > PACKET_MAX {
            let message = format!(
                "Parameter of prepared statement which is set through mysql_send_long_data() is longer than 'max_allowed_packet' bytes ({PACKET_MAX})"
            );
            statement.long_error = Some(SqlError::new(1301, "HY000", message));
            statement.long_data.clear();
            statement.long_bytes = 0;
        } else if statement.long_error.is_none() {
            statement.long_bytes += data.len();
            statement.long_data.entry(parameter).or_default().extend_from_slice(data);
        }
    }

    fn close_statement(&mut self, id: u32) {
        if self.statements.remove(&id).is_some() {
            self.shared.statements.fetch_sub(1, SeqCst);
        }
    }

    fn close_statements(&mut self) {
        self.shared.statements.fetch_sub(self.statements.len(), SeqCst);
        self.statements.clear();
    }

    fn reset_statement(&mut self, id: u32, out: &mut Out) -> Result<Flow, SqlError> {
        let statement = self.statements.get_mut(&id).ok_or_else(|| unknown_statement(id, "mysqld_stmt_reset"))?;
        statement.long_data.clear();
        statement.long_bytes = 0;
        statement.long_error = None;
        self.put_ok(out);
        Ok(Flow::Next)
    }

    // === the session itself ===

    fn use_database(&mut self, name: &[u8], out: &mut Out) -> Result<Flow, SqlError> {
        let name = std::str::from_utf8(name)
            .map_err(|_| SqlError::new(1300, "HY000", "Invalid utf8mb4 character string in the database's name"))?;
        self.engine.use_database(name)?;
        self.schema_told = self.engine.database().map(str::to_owned);
        self.put_ok(out);
        Ok(Flow::Next)
    }

    fn reset(&mut self, out: &mut Out) -> Result<Flow, SqlError> {
        self.close_statements();
        self.engine.reset()?;
        self.put_ok(out);
        Ok(Flow::Next)
    }

    fn change_user(&mut self, login: pumasi_mysqlwire::Login, wire: &mut Wire) -> Result<Flow, Lost> {
        self.entry.begins("Change user", b"", Instant::now());
        let proven = login::prove(self.shared, self.entry, wire, &login, FirstProof::Stale, login::change_deadline());
        wire.out.set_read_timeout(login::SESSION_TIMEOUT).map_err(Lost::Io)?;
        let opened = match proven {
            Ok(()) => login::open_engine(self.shared, self.entry, &login, self.capabilities, self.witness.clone()),
            Err(NoLogin::Refused(error)) => Err(error),
            Err(NoLogin::Lost(lost)) => return Err(lost),
            Err(NoLogin::Io(error)) => return Err(Lost::Io(error)),
        };
        match opened {
            Ok(engine) => {
                self.close_statements();
                self.schema_told = engine.database().map(str::to_owned);
                self.engine = engine;
                self.put_ok(&mut wire.out);
                Ok(Flow::Next)
            }
            Err(error) => {
                // As in MySQL: a failed change of user ends the connection.
                wire.out.error(&error);
                Ok(Flow::End)
            }
        }
    }

    fn set_multi_statements(&mut self, on: bool, out: &mut Out) {
        let both = Capabilities::MULTI_STATEMENTS | Capabilities::MULTI_RESULTS;
        self.capabilities = if on { self.capabilities | both } else { self.capabilities - Capabilities::MULTI_STATEMENTS };
        self.put_eof(self.status(), out);
    }

    fn statistics(&self) -> String {
        let uptime = self.shared.started.elapsed().as_secs();
        let traffic = self.shared.meter.traffic();
        let per_second = traffic.requests_total as f64 / uptime.max(1) as f64;
        let threads = self.shared.registry.connections();
        format!("Uptime: {uptime}  Threads: {threads}  Questions: {}  Queries per second avg: {per_second:.3}", traffic.requests_total)
    }

    /// COM_FIELD_LIST: a table's columns without rows. Their defaults are told as NULL.
    fn field_list(&mut self, table: &[u8], wildcard: &[u8], out: &mut Out) -> Result<Flow, SqlError> {
        let mut sql = b"SELECT * FROM `".to_vec();
        for byte in table {
            sql.extend_from_slice(if *byte == b'`' { b"``" } else { std::slice::from_ref(byte) });
        }
        sql.extend_from_slice(b"` LIMIT 0");
        let mut columns = OnlyColumns::default();
        self.engine.query(&sql, &mut columns)?;
        for column in columns.0.iter().filter(|column| wildcard.is_empty() || like(column.name.as_bytes(), wildcard)) {
            out.packet(|out| {
                column.encode(out);
                out.push(NULL);
            });
        }
        self.put_eof(self.status(), out);
        Ok(Flow::Next)
    }

    // === other connections ===

    fn kill(&mut self, id: u32, what: Kill, out: &mut Out) -> Result<Flow, SqlError> {
        if id == self.entry.id {
            // Nothing runs here but this; as in MySQL the statement interrupts itself.
            let error = SqlError::new(1317, "70100", "Query execution was interrupted");
            if what == Kill::Query {
                return Err(error);
            }
            out.error(&error);
            return Ok(Flow::End);
        }
        if !self.shared.registry.kill(id, what) {
            return Err(SqlError::new(1094, "HY000", format!("Unknown thread id: {id}")));
        }
        self.put_ok(out);
        Ok(Flow::Next)
    }

    /// SHOW PROCESSLIST.
    fn processes(&mut self, more: bool, out: &mut Out) -> Result<(), SqlError> {
        let status = self.status();
        let mut answer = Answer::new(out, self.capabilities, Rows::Text, status, None);
        let text = |name: &str, length| plain_column(name, ColumnType::VarString, 45, length);
        answer.columns(&[
            plain_column("Id", ColumnType::LongLong, 63, 21),
            text("User", 128),
            text("Host", 1044),
            text("db", 256),
            text("Command", 64),
            plain_column("Time", ColumnType::Long, 63, 7),
            text("State", 120),
            text("Info", 4096),
        ])?;
        let now = Instant::now();
        for entry in self.shared.registry.entries() {
            let activity = entry.activity();
            let (host, time) = (entry.peer.to_string(), now.saturating_duration_since(activity.since).as_secs());
            answer.row(&[
                ValueRef::Int(i64::from(entry.id)),
                ValueRef::Bytes(activity.user.as_bytes()),
                ValueRef::Bytes(host.as_bytes()),
                activity.database.as_deref().map_or(ValueRef::Null, |name| ValueRef::Bytes(name.as_bytes())),
                ValueRef::Bytes(activity.command.as_bytes()),
                ValueRef::UInt(time),
                ValueRef::Bytes(if activity.sql.is_empty() { b"" } else { b"executing" }),
                if activity.sql.is_empty() { ValueRef::Null } else { ValueRef::Bytes(activity.sql.as_bytes()) },
            ])?;
        }
        answer.finish(Summary::default())?;
        answer.end(status.with(ServerStatus::MORE_RESULTS, more), None)
    }

    // === small answers and numbers ===

    fn status(&self) -> ServerStatus {
        status_of(&self.engine)
    }

    fn put_ok(&self, out: &mut Out) {
        let ok = OkPacket { status: self.status(), ..OkPacket::default() };
        out.packet(|out| ok.encode(out, self.capabilities));
    }

    fn put_eof(&self, status: ServerStatus, out: &mut Out) {
        if self.capabilities.contains(Capabilities::DEPRECATE_EOF) {
            out.packet(|out| OkPacket { status, ..OkPacket::default() }.encode_as_eof(out, self.capabilities));
        } else {
            out.packet(|out| EofPacket { warnings: 0, status }.encode(out));
        }
    }

    fn begin(&self, count: Arc<Count>, sql: &[u8]) -> Measured {
        self.shared.meter.started();
        let calling = self.witness.as_ref().and_then(|witness| witness.callers().statement(sql));
        Measured { started: Instant::now(), count, calling }
    }

    fn finish(&self, measured: Measured, rows: u64, ok: bool) {
        let us = u64::try_from(measured.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.shared.meter.finished(us, ok);
        measured.count.ran(us, rows, ok);
        if let Some(calling) = measured.calling {
            measured.count.trace(calling, &self.shared.settings.name, &Executed { us, rows, ok, kept: false });
        }
        match self.engine.report().kind {
            StatementKind::Read => self.shared.reads.add(1),
            StatementKind::Write => self.shared.writes.add(1),
            StatementKind::Control => {}
        }
    }

    // === stored results ===

    /// Looks a read up, if this session may be answered from what others read.
    fn ask(&self, sql: &[u8], rows: Rows, prepared_under: &[u8], parameters: &[Value]) -> Option<Asked> {
        let results = self.shared.results.as_ref()?;
        // Inside a transaction a read belongs to the transaction's snapshot. A text of several statements has several answers.
        if !may_read(sql) || sql.contains(&b';') || self.engine.in_transaction() || !self.engine.autocommit() {
            return None;
        }
        let shaping = [Capabilities::DEPRECATE_EOF, Capabilities::SESSION_TRACK, Capabilities::OPTIONAL_RESULTSET_METADATA];
        let form =
            shaping.iter().fold(u64::from(rows == Rows::Binary), |form, bit| form << 1 | u64::from(self.capabilities.contains(*bit)));
        let database = self.engine.database();
        Some(results.ask(Key::of(&Parts { form, database, settings: self.engine.settings()?, prepared_under, sql, parameters })))
    }

    /// The request that a text names as its own, if requests are told apart by that. A prepared statement's text may have been another's.
    fn said(&self, sql: &[u8]) -> Option<Trace> {
        self.witness.as_ref().filter(|witness| witness.tells_apart()).and_then(|_| trace_said(sql))
    }

    fn answer_stored(&mut self, stored: &Stored, stamp: Stamp, said: Option<Trace>, measured: Measured, out: &mut Out) {
        if let Some(witness) = &self.witness {
            out.hold(witness.statement_of(Observed::Read { deps: stored.entry.deps().clone(), stamp }, said));
        }
        out.stored(stored.packets.clone());
        self.engine.answered_from_store(stored.rows);
        let us = u64::try_from(measured.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.shared.meter.finished(us, true);
        measured.count.hit(us, stored.rows);
        if let Some(calling) = measured.calling {
            measured.count.trace(calling, &self.shared.settings.name, &Executed { us, rows: stored.rows, ok: true, kept: true });
        }
        self.shared.reads.add(1);
    }

    /// What the statement that just ran did, before its answer is sent.
    fn reading(&self, succeeded: bool, sql: &[u8], parameters: &[Value]) -> Reading {
        let report = self.engine.report();
        match &self.shared.results {
            Some(results) => {
                results.templates().reading(report, succeeded, sql, parameters, self.engine.database(), || self.engine.catalogue())
            }
            None => match report.kind {
                // Nobody stands around the commits, so nobody could tell when a page made of it is wrong.
                StatementKind::Read => Reading::Refused("results-off"),
                StatementKind::Write => Reading::Wrote,
                StatementKind::Control => Reading::Nothing,
            },
        }
    }

    fn tell(&self, reading: &Reading, answer: &mut Answer<'_>) {
        if let Some(observed) = reading.observed() {
            answer.witness(observed);
        }
    }

    /// Many drivers leave a transaction open that has only read, and its worker would see the past for ever. When the request that it belongs to
    /// has ended, it is begun anew.
    fn renew_snapshot(&mut self) {
        if let (Some(witness), Some(moment), Some(_)) = (&self.witness, self.transaction, &self.shared.results)
            && witness.requests_ended_since(moment)
        {
            self.engine.renew_snapshot();
            self.transaction = None;
        }
    }

    /// A transaction with a statement outside any request (a job in the background) is never renewed.
    fn note_transaction(&mut self) {
        let Some(witness) = &self.witness else { return };
        self.transaction = match self.transaction {
            _ if !self.engine.in_transaction() => None,
            Some(moment) if !moment.within_request() => Some(moment),
            _ => Some(witness.moment()),
        };
    }

    fn prepared_under(&self, sql: &[u8]) -> Option<Vec<u8>> {
        let settings = self.engine.settings().filter(|_| sql.len() <= SQL_KEPT_MAX && self.shared.results.is_some())?;
        let mut under = self.engine.database().unwrap_or_default().as_bytes().to_vec();
        under.push(0);
        under.extend_from_slice(settings);
        Some(under)
    }
}

/// Keeps what was read, if it may be kept.
fn keep(miss: Miss, reading: &Reading, packets: Option<&[u8]>, rows: u64) {
    match (reading, packets) {
        (Reading::Rows { deps, stamp }, Some(packets)) if packets.len() <= RESULT_MAX => {
            miss.store(Passport::new(*stamp, deps.clone()), packets.into(), rows);
        }
        _ => miss.refuse(),
    }
}

/// Whether the text may be a SELECT, from its first letter.
fn may_read(sql: &[u8]) -> bool {
    matches!(sql.trim_ascii_start(), [b's' | b'S' | b'w' | b'W' | b'(' | b'/' | b'-' | b'#', ..])
}

impl<E: Engine> Drop for Work<'_, E> {
    fn drop(&mut self) {
        self.close_statements();
    }
}

/// A statement whose time is being taken.
struct Measured {
    started: Instant,
    count: Arc<Count>,
    /// It has a place in a trace.
    calling: Option<Calling>,
}

/// A statement that the front answers itself, because only it knows the other connections.
pub struct Own<'a> {
    pub what: What,
    /// The statements behind it.
    pub behind: &'a [u8],
}

pub enum What {
    Kill(u32, Kill),
    Processes,
}

impl<'a> Own<'a> {
    /// `KILL [HARD | SOFT] [CONNECTION | QUERY] id` and `SHOW [FULL] PROCESSLIST`; anything else, also close to it, is the engine's.
    pub fn of(sql: &'a [u8]) -> Option<Own<'a>> {
        let mut tokens = Tokens::new(sql);
        let first = tokens.next()?;
        let what = if first.is("kill") {
            let mut token = tokens.next()?;
            if token.is("hard") || token.is("soft") {
                token = tokens.next()?;
            }
            let mut what = Kill::Connection;
            if token.is("connection") || token.is("query") {
                what = if token.is("query") { Kill::Query } else { Kill::Connection };
                token = tokens.next()?;
            }
            let Token::Number(number) = token else { return None };
            What::Kill(std::str::from_utf8(number).ok()?.parse().ok()?, what)
        } else if first.is("show") {
            let mut token = tokens.next()?;
            if token.is("full") {
                token = tokens.next()?;
            }
            if !token.is("processlist") {
                return None;
            }
            What::Processes
        } else {
            return None;
        };
        match tokens.next() {
            None => Some(Own { what, behind: &[] }),
            Some(Token::Sign(b';')) => Some(Own { what, behind: text::rest_behind(sql, tokens.end()) }),
            Some(_) => None,
        }
    }
}

// === helpers ===

fn status_of<S: EngineSession>(engine: &S) -> ServerStatus {
    ServerStatus::default().with(ServerStatus::AUTOCOMMIT, engine.autocommit()).with(ServerStatus::IN_TRANSACTION, engine.in_transaction())
}

/// The database in use, if it is not the one the client was told of.
fn changed_schema<'t>(told: &'t mut Option<String>, now: Option<&str>) -> Option<&'t str> {
    if told.as_deref() == now {
        return None;
    }
    *told = now.map(str::to_owned);
    told.as_deref()
}

/// The next number that no statement has. Zero and the largest are left out: old clients use them for themselves.
fn next_id<T>(last: u32, taken: &HashMap<u32, T>) -> u32 {
    let mut id = last;
    loop {
        id = if id >= u32::MAX - 1 { 1 } else { id + 1 };
        if !taken.contains_key(&id) {
            return id;
        }
    }
}

/// Parameters have no type until they are bound; MySQL describes them all like this.
fn parameter_column() -> Column {
    Column { flags: ColumnFlags(ColumnFlags::BINARY), ..plain_column("?", ColumnType::VarString, 63, 0) }
}

fn plain_column(name: &str, kind: ColumnType, collation: u16, length: u32) -> Column {
    Column {
        schema: String::new(),
        table: String::new(),
        org_table: String::new(),
        name: name.to_owned(),
        org_name: String::new(),
        collation,
        length,
        kind,
        flags: ColumnFlags::default(),
        decimals: 0,
    }
}

fn unknown_statement(id: u32, what: &str) -> SqlError {
    SqlError::new(1243, "HY000", format!("Unknown prepared statement handler ({id}) given to {what}"))
}

fn no_open_cursor(id: u32) -> SqlError {
    SqlError::new(1421, "HY000", format!("The statement ({id}) has no open cursor."))
}

/// LIKE with `%`, `_` and `\`, without regard to ASCII case. Steps are bounded by the product of the lengths.
fn like(text: &[u8], pattern: &[u8]) -> bool {
    // The place of the last `%`, to come back to with one more character swallowed.
    let (mut t, mut p, mut retry) = (0, 0, None);
    while t < text.len() {
        let literal = match pattern.get(p) {
            Some(b'%') => {
                retry = Some((p + 1, t));
                p += 1;
                continue;
            }
            Some(b'\\') if p + 1 < pattern.len() => Some((pattern[p + 1], 2)),
            Some(other) => Some((*other, 1)),
            None => None,
        };
        match literal {
            Some((byte, width)) if byte.eq_ignore_ascii_case(&text[t]) || (byte == b'_' && width == 1) => {
                t += 1;
                p += width;
            }
            _ => match retry {
                Some((behind, from)) => {
                    retry = Some((behind, from + 1));
                    p = behind;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'%')
}

/// Keeps a result's columns and drops the rest.
#[derive(Default)]
struct OnlyColumns(Vec<Column>);

impl ResultSink for OnlyColumns {
    fn columns(&mut self, columns: &[Column]) -> Result<(), SqlError> {
        self.0 = columns.to_vec();
        Ok(())
    }

    fn row(&mut self, _: &[ValueRef<'_>]) -> Result<(), SqlError> {
        Ok(())
    }

    fn finish(&mut self, _: Summary) -> Result<(), SqlError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
