//! One client of the proxy: its login, its commands, and the server connection it holds while it must.
//!
//! ```text
//! Free --a statement--> Leased --answered, nothing left behind--> Free
//! Leased --transaction, LOCK TABLES, long data, open cursor, warnings--> Held --it is over--> Free
//! Leased --user variable, temporary table, GET_LOCK, ...--> Pinned --reset, change of user, the end--> Free
//! ```
//! Answers are forwarded packet by packet as they come. Only OK packets are looked into, and rewritten where they report session changes.

use std::{
    collections::{HashMap, HashSet},
    net::Shutdown,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use pumasi_config::SqlUser;
use pumasi_freshness::{Observed, Witness};
use pumasi_mysqlwire::{
    AuthStep, Capabilities, Column, ColumnFlags, ColumnType, Command, EofPacket, ErrorPhase, Execution, Expect, FirstPacket, Follower,
    Greeting, HEADER, Header, Login, OkPacket, Passed, ServerStatus, SessionChange, SqlError, ValueRef, WireError,
    auth::{self, CACHING_SHA2, NATIVE, Salt},
    cursor::put_lenenc_int,
    decode_change_user, put_error, put_text_row,
};
use tokio::{net::TcpStream, sync::Notify};
use tracing::debug;

use super::{
    Shared,
    backend::{Backend, Key, StatementKey},
    link::{Link, in_time},
    nature::{self, LooksBack, Nature},
    pool::{Lease, Pool},
    state::SessionState,
};
use crate::front::{
    IDLE_TIMEOUT, LOGIN_TIMEOUT, PACKET_MAX,
    digests::{Count, Remembered},
    login::{LOGIN_BYTES_MAX, OFFERED, new_salt},
    registry::{Entry, HangUp, Kill, Place},
    session::{Own, What},
    shutting_down, text,
    wire::Lost,
};

/// Prepared statements of one client; the next is refused with error 1461.
const STATEMENTS_MAX: usize = 16_382;

/// What an idle client's inbox costs. Most statements fit; longer ones grow it for as long as they are there.
const CLIENT_ROOM: usize = 2 * 1024;

/// Bytes of the texts of one client's prepared statements: they are kept to be prepared again on another connection.
const STATEMENT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// MariaDB's number for the statement prepared last: lets a client send its execution without waiting for its number.
const LATEST: u32 = u32::MAX;

/// A packet of rows longer than this is passed on as it comes instead of being read whole first.
const STREAM_BYTES: usize = 64 * 1024;

/// What the client may use of the protocol: what a server behind the proxy answers with the same bytes.
const PASSED_ON: Capabilities = Capabilities(OFFERED.0 | Capabilities::LOCAL_FILES.0);

/// What of a client's login changes how a server answers it: connections are shared only between logins that agree on these.
const TELLING: Capabilities = Capabilities(
    Capabilities::FOUND_ROWS.0
        | Capabilities::IGNORE_SPACE.0
        | Capabilities::LOCAL_FILES.0
        | Capabilities::INTERACTIVE.0
        | Capabilities::MULTI_STATEMENTS.0
        | Capabilities::MULTI_RESULTS.0
        | Capabilities::PS_MULTI_RESULTS.0
        | Capabilities::DEPRECATE_EOF.0,
);

/// What every connection to a server asks for.
const ALWAYS: Capabilities = Capabilities(
    Capabilities::LONG_PASSWORD.0
        | Capabilities::LONG_FLAG.0
        | Capabilities::PROTOCOL_41.0
        | Capabilities::TRANSACTIONS.0
        | Capabilities::SECURE_CONNECTION.0
        | Capabilities::PLUGIN_AUTH.0
        | Capabilities::PLUGIN_AUTH_LENENC.0
        | Capabilities::SESSION_TRACK.0,
);

/// How others reach into a client's task.
#[derive(Default)]
pub struct Signals {
    wake: Notify,
    /// KILL QUERY.
    interrupt: AtomicBool,
    /// The deadline of a shutdown has passed.
    cut: AtomicBool,
}

impl Signals {
    /// For the registry: ends the client's wait for a command, or cuts it off.
    pub fn hang_up(self: &Arc<Signals>) -> HangUp {
        let signals = self.clone();
        Box::new(move |how| {
            if how == Shutdown::Both {
                signals.cut.store(true, Ordering::SeqCst);
            }
            signals.wake.notify_one();
        })
    }

    fn interrupter(self: &Arc<Signals>) -> crate::engine::Interrupter {
        let signals = self.clone();
        Arc::new(move || {
            signals.interrupt.store(true, Ordering::SeqCst);
            signals.wake.notify_one();
        })
    }
}

/// Serves one connection until it ends.
pub async fn serve(
    shared: Arc<Shared>,
    pool: Rc<Pool>,
    stream: TcpStream,
    place: Place,
    signals: Arc<Signals>,
    witness: Option<Arc<Witness>>,
) {
    let mut link = Link::new(stream, LOGIN_BYTES_MAX, CLIENT_ROOM);
    let opened = match in_time(LOGIN_TIMEOUT, welcome(&shared, &pool, &mut link, &place.entry)).await {
        Ok(Ok(opened)) => opened,
        Ok(Err((error, phase))) => {
            link.packet(|out| put_error(out, &error, phase));
            let _ = link.flush().await;
            return;
        }
        Err(lost) => {
            debug!(peer = %place.entry.peer, error = %lost, "no login");
            return;
        }
    };
    link.inbox.limit(PACKET_MAX);
    let mut client = Client::new(shared, pool, link, place, signals, witness, opened);
    client.run().await;
    client.leave().await;
}

/// A client that has proven itself.
struct Opened {
    login: Login,
    capabilities: Capabilities,
    user: SqlUser,
}

/// What a client is refused with, and when.
type Refusal = (SqlError, ErrorPhase);

async fn welcome(shared: &Shared, pool: &Rc<Pool>, link: &mut Link, entry: &Entry) -> Result<Result<Opened, Refusal>, Lost> {
    let facts = match shared.facts(pool).await {
        Ok(facts) => facts,
        Err(error) => return Ok(Err((error, ErrorPhase::BeforeGreeting))),
    };
    let salt = new_salt().map_err(Lost::Io)?;
    let offered = PASSED_ON & (facts.capabilities | Capabilities::LONG_PASSWORD | Capabilities::PLUGIN_AUTH_LENENC);
    let greeting = Greeting {
        version: facts.version,
        connection_id: entry.id,
        capabilities: offered,
        collation: facts.collation,
        status: ServerStatus::AUTOCOMMIT,
        salt,
        plugin: NATIVE.to_owned(),
    };
    link.packet(|out| greeting.encode(out));
    link.flush().await?;
    let login = match FirstPacket::decode(&link.receive().await?)? {
        FirstPacket::Login(login) => login,
        FirstPacket::TlsRequest(_) => {
            let error = SqlError::new(2026, "HY000", "SSL connection error: this server has no TLS");
            return Ok(Err((error, ErrorPhase::AfterGreeting)));
        }
    };
    let user = match prove(shared, link, &login, Some(salt), entry).await? {
        Ok(user) => user,
        Err(error) => return Ok(Err((error, ErrorPhase::AfterGreeting))),
    };
    let capabilities = login.capabilities & offered;
    Ok(Ok(Opened { login, capabilities, user }))
}

/// As the front's login: native, or `caching_sha2_password` for a client that names it. `first`: the salt that the login's proof was made
/// with; none if it has been used before. Returns whom to be at the server.
async fn prove(
    shared: &Shared,
    link: &mut Link,
    login: &Login,
    first: Option<Salt>,
    entry: &Entry,
) -> Result<Result<SqlUser, SqlError>, Lost> {
    let plugins = login.capabilities.contains(Capabilities::PLUGIN_AUTH);
    let native = login.plugin.is_empty() || login.plugin == NATIVE || !plugins;
    let (plugin, salt, proof) = match first {
        Some(salt) if native => (NATIVE, salt, login.auth_response.clone()),
        None if !plugins => return Ok(Err(SqlError::new(1251, "08004", "Client does not support authentication plugins"))),
        _ => {
            let plugin = if login.plugin == CACHING_SHA2 { CACHING_SHA2 } else { NATIVE };
            let salt = new_salt().map_err(Lost::Io)?;
            link.packet(|out| AuthStep::Switch { plugin, data: &salt.0 }.encode(out));
            link.flush().await?;
            (plugin, salt, link.receive().await?)
        }
    };
    let user = shared.user(&login.user);
    let Some(user) = user.filter(|user| auth::proves(plugin, &proof, user.password.as_bytes(), &salt)) else {
        let with = if proof.is_empty() || proof == [0] { "NO" } else { "YES" };
        let host = entry.peer.ip().to_canonical();
        let message = format!("Access denied for user '{}'@'{host}' (using password: {with})", login.user);
        return Ok(Err(SqlError::new(1045, "28000", message)));
    };
    if plugin == CACHING_SHA2 && !user.password.is_empty() {
        link.packet(|out| AuthStep::More(&[auth::SHA2_FAST_OK]).encode(out));
    }
    Ok(Ok(user))
}

struct Client {
    shared: Arc<Shared>,
    pool: Rc<Pool>,
    link: Link,
    place: Place,
    signals: Arc<Signals>,
    witness: Option<Arc<Witness>>,
    capabilities: Capabilities,
    collation: u8,
    user: SqlUser,
    key: Arc<Key>,
    /// What the session was at its login, and is again after COM_RESET_CONNECTION.
    state: SessionState,
    /// `state` as it last was when somebody asked to share it.
    state_shared: Arc<SessionState>,
    lease: Option<Lease>,
    /// The leased connection has been sent something whose answer has not ended.
    answering: bool,
    hold: Hold,
    statements: HashMap<u32, Statement>,
    /// Of the texts in `statements`.
    statement_bytes: usize,
    last_statement: u32,
    /// The latest prepared statement, which clients of MariaDB may execute by [`LATEST`]; none if it could not be prepared.
    latest: Option<u32>,
    last: Last,
    /// By the statement that runs now, if it succeeds.
    collation_to_set: Option<Vec<u8>>,
    digests: Remembered,
}

/// Why a client keeps its server connection between commands, besides an open transaction.
#[derive(Debug, Default)]
struct Hold {
    /// Until the session ends.
    pinned: Option<&'static str>,
    /// SET TRANSACTION: until the next transaction has ended.
    until_transaction: bool,
    /// Warnings that the next statement may ask for.
    warnings: bool,
    /// The client's statement with pieces of parameters at the server.
    long_data: HashSet<u32>,
    /// The client's statements with an open cursor.
    cursors: HashSet<u32>,
}

/// A prepared statement of the client.
struct Statement {
    sql: Arc<[u8]>,
    parameters: usize,
    /// Two bytes per parameter, as last sent: another client may have run the server's statement with other types meanwhile.
    types: Vec<u8>,
    nature: Nature,
    count: Arc<Count>,
}

/// What the statement before left for functions that look back.
#[derive(Debug, Default)]
struct Last {
    /// The connection it ran on, and how many statements had run there.
    place: Option<(u64, u64)>,
    insert_id: u64,
    affected_rows: i64,
    found_rows: u64,
}

/// Why a command was not answered by the server.
enum Trouble {
    /// Tell the client and go on.
    Refused(SqlError),
    /// The client is gone, or has to go.
    Client(Lost),
    /// The server connection broke; what of the answer came was forwarded in whole packets.
    Backend(Lost),
}

impl From<SqlError> for Trouble {
    fn from(error: SqlError) -> Trouble {
        Trouble::Refused(error)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Next,
    End,
}

/// What went by while an answer was forwarded.
#[derive(Debug, Default)]
struct Relayed {
    failed: bool,
    rows: u64,
    warnings: u16,
    prepared: Option<pumasi_mysqlwire::Prepared>,
    cursor: bool,
    last_row: bool,
    pins: Option<&'static str>,
    affected_rows: Option<u64>,
    insert_id: u64,
}

impl Client {
    fn new(
        shared: Arc<Shared>,
        pool: Rc<Pool>,
        link: Link,
        place: Place,
        signals: Arc<Signals>,
        witness: Option<Arc<Witness>>,
        opened: Opened,
    ) -> Client {
        let key = key_of(&opened.user, opened.capabilities, opened.login.collation);
        let state = SessionState { database: opened.login.database.clone().map(String::into_bytes), ..SessionState::default() };
        place.entry.opened(&opened.user.name, opened.login.database.as_deref(), signals.interrupter());
        Client {
            shared,
            pool,
            link,
            place,
            signals,
            witness,
            capabilities: opened.capabilities,
            collation: opened.login.collation,
            user: opened.user,
            key,
            state,
            state_shared: Arc::default(),
            lease: None,
            answering: false,
            hold: Hold::default(),
            statements: HashMap::new(),
            statement_bytes: 0,
            last_statement: 0,
            latest: None,
            last: Last::default(),
            collation_to_set: None,
            digests: Remembered::default(),
        }
    }

    async fn run(&mut self) {
        if let Err(error) = self.enter().await {
            self.put_error(&error);
            let _ = self.link.flush().await;
            return;
        }
        let lost = loop {
            if let Err(lost) = self.link.flush().await {
                break lost;
            }
            match self.next_command().await {
                Ok(Flow::Next) => {}
                Ok(Flow::End) => {
                    let _ = self.link.flush().await;
                    return;
                }
                Err(lost) => break lost,
            }
        };
        if let Some(error) = self.farewell(&lost) {
            self.put_error(&error);
            let _ = self.link.flush().await;
        }
        debug!(database = %self.shared.settings.name, peer = %self.place.entry.peer, error = %lost, "connection ended");
    }

    /// The login is only good if its database is: asks the server, as a server would itself.
    async fn enter(&mut self) -> Result<(), SqlError> {
        if self.state.database.is_some() {
            match self.acquire().await {
                Ok(()) => self.settle(&Relayed::default()),
                Err(Trouble::Refused(error)) => return Err(error),
                Err(Trouble::Client(lost) | Trouble::Backend(lost)) => return Err(lost_connection(&lost)),
            }
        }
        self.put_ok();
        Ok(())
    }

    async fn next_command(&mut self) -> Result<Flow, Lost> {
        self.link.sequence.restart();
        self.wait().await?;
        let payload = self.link.inbox.take(&mut self.link.sequence)?.expect("wait returned, so there is one").to_vec();
        if self.place.entry.ending() {
            self.put_error(&if self.shared.stopping() { shutting_down() } else { killed() });
            return Ok(Flow::End);
        }
        let command = Command::decode(&payload)?;
        let (name, sql) = self.described(&command);
        self.place.entry.begins(name, sql, Instant::now());
        let answered = self.answer(command).await;
        let database = self.state.database.as_deref().map(String::from_utf8_lossy);
        self.place.entry.ends(database.as_deref(), Instant::now());
        match answered {
            Ok(flow) => Ok(flow),
            Err(Trouble::Refused(error)) => {
                self.put_error(&error);
                self.settle(&Relayed::default());
                Ok(Flow::Next)
            }
            Err(Trouble::Client(lost)) => Err(lost),
            Err(Trouble::Backend(lost)) => Ok(self.server_lost(&lost)),
        }
    }

    /// The server connection broke in the middle. The client is told; what the session had at that connection is gone, so a session that had
    /// something there ends.
    fn server_lost(&mut self, lost: &Lost) -> Flow {
        let had = self.hold.pinned.is_some()
            || self.hold.until_transaction
            || self.lease.as_ref().is_some_and(|lease| lease.backend.transaction_holds || in_transaction(&lease.backend));
        self.lease = None;
        self.answering = false;
        self.hold = Hold::default();
        self.put_error(&lost_connection(lost));
        if had { Flow::End } else { Flow::Next }
    }

    /// Waits for a command, for a KILL, for the end of the server.
    async fn wait(&mut self) -> Result<(), Lost> {
        loop {
            if self.place.entry.ending() {
                return Err(Lost::HungUp);
            }
            let wake = self.signals.wake.notified();
            tokio::select! {
                waited = in_time(IDLE_TIMEOUT, self.link.wait()) => return waited,
                () = wake => {}
            }
        }
    }

    fn farewell(&self, lost: &Lost) -> Option<SqlError> {
        match lost {
            Lost::HungUp if self.place.entry.ending() && self.shared.stopping() => Some(shutting_down()),
            Lost::HungUp if self.place.entry.ending() => Some(killed()),
            Lost::TimedOut => Some(SqlError::new(4031, "HY000", "The client was disconnected by the server because of inactivity")),
            Lost::Wire(error) => Some(SqlError::from(*error)),
            Lost::HungUp | Lost::Io(_) => None,
        }
    }

    /// Cleans the server connection and gives it back; closes it if that cannot be done.
    async fn leave(mut self) {
        let Some(mut lease) = self.lease.take() else { return };
        if !self.answering
            && lease.backend.resettable()
            && let Ok(Ok(Ok(()))) = tokio::time::timeout(LOGIN_TIMEOUT, lease.backend.reset()).await
        {
            lease.release();
        }
    }

    async fn answer(&mut self, command: Command<'_>) -> Result<Flow, Trouble> {
        match command {
            Command::Quit => return Ok(Flow::End),
            Command::Query(sql) => return self.query(sql).await,
            Command::Prepare(sql) => self.prepare(sql).await?,
            Command::Execute(payload) => self.execute(payload).await?,
            Command::LongData { statement, parameter, data } => self.long_data(statement, parameter, data).await?,
            Command::CloseStatement(id) => self.close_statement(id).await?,
            Command::ResetStatement(id) => self.reset_statement(id).await?,
            Command::Fetch { statement, rows } => self.fetch(statement, rows).await?,
            Command::Ping => self.put_ok(),
            Command::InitDb(_) => self.forward(command, Expect::One).await?,
            Command::FieldList { .. } => self.forward(command, Expect::Rows).await?,
            Command::Statistics => self.forward(command, Expect::One).await?,
            Command::SetMultiStatements(on) => self.set_multi_statements(on).await?,
            Command::ResetConnection => self.reset_connection().await?,
            Command::ChangeUser(payload) => return self.change_user(payload).await,
            Command::ProcessKill(id) => return self.kill(id, Kill::Connection),
            Command::Other(_) => return Err(SqlError::new(1047, "08S01", "Unknown command").into()),
        }
        Ok(Flow::Next)
    }

    fn described<'c>(&'c self, command: &Command<'c>) -> (&'static str, &'c [u8]) {
        match command {
            Command::Query(sql) => ("Query", sql),
            Command::Prepare(sql) => ("Prepare", sql),
            Command::Execute(payload) => {
                let statement = Execution::decode(payload).ok().and_then(|execution| self.statements.get(&execution.statement));
                ("Execute", statement.map_or(&[], |statement| &statement.sql))
            }
            _ => ("Command", b""),
        }
    }

    // === text statements ===

    async fn query(&mut self, sql: &[u8]) -> Result<Flow, Trouble> {
        if let Some(Own { what: What::Kill(id, what), behind: [] }) = Own::of(sql) {
            return self.kill(id, what);
        }
        let mut nature = Nature::of(sql);
        self.collation_to_set = nature::names_collation(sql).filter(|_| nature.pins == Some(nature::COLLATE));
        if self.collation_to_set.is_some() {
            nature.pins = None;
        }
        let count = self.digests.count(&self.shared.digests, sql);
        if let Some(back) = nature.looks_back {
            if self.look_back(back, sql).await? {
                return Ok(Flow::Next);
            }
        } else if self.hold.warnings {
            self.hold.warnings = false;
            self.settle(&Relayed::default());
        }
        self.acquire().await?;
        self.measured(nature, count, Command::Query(sql)).await?;
        Ok(Flow::Next)
    }

    /// Runs a statement at the server and counts it.
    async fn measured(&mut self, nature: Nature, count: Arc<Count>, command: Command<'_>) -> Result<Relayed, Trouble> {
        self.shared.meter.started();
        let started = Instant::now();
        let _witnessed = self.witness_of(nature);
        let relayed = self.run_leased(command, Expect::Results).await;
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
        self.remember(&relayed);
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

    /// What a worker's open requests are told, from before the statement is sent until its answer is.
    fn witness_of(&self, nature: Nature) -> Option<pumasi_freshness::Statement> {
        let witness = self.witness.as_ref()?;
        match (nature.reads, nature.controls) {
            (true, _) => Some(witness.statement(Observed::Refused("server-not-followed"))),
            (false, true) => None,
            (false, false) => Some(witness.statement(Observed::Wrote)),
        }
    }

    /// Brings what a statement looks back on to where it will run. True: it is answered.
    async fn look_back(&mut self, back: LooksBack, sql: &[u8]) -> Result<bool, Trouble> {
        if self.lease.is_some() {
            // Nobody else has used the connection since.
            return Ok(false);
        }
        if let Some((number, uses)) = self.last.place
            && let Some(lease) = self.pool.same_again(number, uses)
        {
            if lease.backend.state == self.state {
                self.lease = Some(lease);
                return Ok(false);
            }
            lease.release();
        }
        match back {
            LooksBack::InsertId => {
                self.acquire().await?;
                let sql = format!("SET SESSION last_insert_id={}", self.last.insert_id);
                self.run_own(&sql).await?;
                Ok(false)
            }
            LooksBack::Warnings => {
                // A statement with warnings keeps its connection, so there were none; nor must there be another client's.
                self.acquire().await?;
                self.run_own("DO 0").await?;
                Ok(false)
            }
            LooksBack::FoundRows => self.answer_number(sql, "FOUND_ROWS", self.last.found_rows.to_string()),
            LooksBack::RowCount => self.answer_number(sql, "ROW_COUNT", self.last.affected_rows.to_string()),
        }
    }

    /// `SELECT function()`, with or without an alias, answered here; anything else that uses the function is refused.
    fn answer_number(&mut self, sql: &[u8], function: &str, number: String) -> Result<bool, Trouble> {
        let Some(name) = only_column(sql, function) else {
            let message = format!(
                "{function}() about a statement whose server connection has been given to another client. Ask in the form 'SELECT {function}()', or within a transaction"
            );
            return Err(SqlError::new(1235, "42000", message).into());
        };
        let column = Column {
            schema: String::new(),
            table: String::new(),
            org_table: String::new(),
            name,
            org_name: String::new(),
            collation: 63,
            length: 21,
            kind: ColumnType::LongLong,
            flags: ColumnFlags(ColumnFlags::NOT_NULL | ColumnFlags::BINARY | ColumnFlags::NUM),
            decimals: 0,
        };
        self.link.packet(|out| put_lenenc_int(out, 1));
        self.link.packet(|out| column.encode(out));
        if !self.capabilities.contains(Capabilities::DEPRECATE_EOF) {
            self.put_eof();
        }
        self.link.packet(|out| put_text_row(out, &[ValueRef::Bytes(number.as_bytes())]));
        self.put_eof();
        Ok(true)
    }

    /// Remembers what a later statement may look back on.
    fn remember(&mut self, relayed: &Relayed) {
        if let Some(lease) = &mut self.lease {
            lease.backend.uses += 1;
            self.last.place = Some((lease.backend.number, lease.backend.uses));
        }
        if relayed.failed {
            self.last.affected_rows = -1;
            return;
        }
        if relayed.insert_id != 0 {
            self.last.insert_id = relayed.insert_id;
        }
        match relayed.affected_rows {
            Some(affected) => self.last.affected_rows = i64::try_from(affected).unwrap_or(i64::MAX),
            None => {
                self.last.affected_rows = -1;
                self.last.found_rows = relayed.rows;
            }
        }
    }

    // === prepared statements ===

    async fn prepare(&mut self, sql: &[u8]) -> Result<(), Trouble> {
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
        self.acquire().await?;
        let id = self.next_statement();
        let relayed = self.relay_prepare(sql, id).await?;
        if let Some(prepared) = relayed.prepared.filter(|_| !relayed.failed) {
            let sql: Arc<[u8]> = sql.into();
            let key = StatementKey { sql: sql.clone(), state: self.state_key() };
            let lease = self.lease.as_mut().expect("acquired above");
            lease.backend.remember(key, prepared.statement).await.map_err(Trouble::Backend)?;
            let count = self.digests.count(&self.shared.digests, &sql);
            let nature = Nature::of(&sql);
            self.latest = Some(id);
            self.statement_bytes = kept;
            self.statements.insert(id, Statement { sql, parameters: prepared.parameters.into(), types: Vec::new(), nature, count });
        }
        self.settle(&relayed);
        Ok(())
    }

    async fn relay_prepare(&mut self, sql: &[u8], id: u32) -> Result<Relayed, Trouble> {
        self.lease_mut().backend.send(Command::Prepare(sql)).await.map_err(Trouble::Backend)?;
        self.relay(Expect::Prepared, Some(id)).await
    }

    async fn execute(&mut self, payload: &[u8]) -> Result<(), Trouble> {
        let execution = Execution::decode(payload).map_err(SqlError::from)?;
        let id = self.latest.filter(|_| execution.statement == LATEST).unwrap_or(execution.statement);
        let statement = self.statements.get(&id).ok_or_else(|| unknown_statement(id, "mysqld_stmt_execute"))?;
        let (nature, count) = (statement.nature, statement.count.clone());
        if let Some(back) = nature.looks_back {
            if matches!(back, LooksBack::FoundRows | LooksBack::RowCount) && self.lease.is_none() {
                self.require_same_connection(back)?;
            } else {
                self.look_back(back, b"").await?;
            }
        } else if self.hold.warnings {
            self.hold.warnings = false;
            self.settle(&Relayed::default());
        }
        self.acquire().await?;
        let server_id = self.server_statement(id).await?;
        let statement = self.statements.get_mut(&id).expect("found above");
        let payload = with_types(payload, server_id, statement)?;
        let relayed = self.measured_execute(id, nature, count, &payload).await?;
        if relayed.cursor {
            self.hold.cursors.insert(id);
        }
        Ok(())
    }

    /// As `measured`, with what belongs to the statement settled before the connection may be given back.
    async fn measured_execute(&mut self, id: u32, nature: Nature, count: Arc<Count>, payload: &[u8]) -> Result<Relayed, Trouble> {
        self.hold.long_data.remove(&id);
        self.hold.cursors.remove(&id);
        self.measured(nature, count, Command::Execute(payload)).await
    }

    /// A prepared statement that looks back in a way that cannot be answered here needs the connection of the statement before.
    fn require_same_connection(&mut self, back: LooksBack) -> Result<(), Trouble> {
        let same = self.last.place.and_then(|(number, uses)| self.pool.same_again(number, uses));
        match same {
            Some(lease) if lease.backend.state == self.state => {
                self.lease = Some(lease);
                Ok(())
            }
            other => {
                if let Some(lease) = other {
                    lease.release();
                }
                let message = format!(
                    "{back:?} about a statement whose server connection has been given to another client. Ask within a transaction"
                );
                Err(SqlError::new(1235, "42000", message).into())
            }
        }
    }

    /// The number by which the leased connection knows the client's statement.
    async fn server_statement(&mut self, id: u32) -> Result<u32, Trouble> {
        let sql = self.statements.get(&id).ok_or_else(|| unknown_statement(id, "mysqld_stmt_execute"))?.sql.clone();
        let key = StatementKey { sql, state: self.state_key() };
        let prepared = self.lease_mut().backend.statement(&key).await.map_err(Trouble::Backend)?;
        Ok(prepared?)
    }

    /// The session's state for [`StatementKey`]: the same allocation as long as nothing changes.
    fn state_key(&mut self) -> Arc<SessionState> {
        if *self.state_shared != self.state {
            self.state_shared = Arc::new(self.state.clone());
        }
        self.state_shared.clone()
    }

    async fn long_data(&mut self, id: u32, parameter: u16, data: &[u8]) -> Result<(), Trouble> {
        if !self.statements.contains_key(&id) {
            return Ok(());
        }
        // Nothing may be answered to this command; what goes wrong is found by the execution, which needs the same connection.
        match self.acquire().await {
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

    async fn close_statement(&mut self, id: u32) -> Result<(), Trouble> {
        self.release_statement(id).await?;
        if let Some(statement) = self.statements.remove(&id) {
            self.statement_bytes -= statement.sql.len();
        }
        self.settle(&Relayed::default());
        Ok(())
    }

    async fn reset_statement(&mut self, id: u32) -> Result<(), Trouble> {
        if !self.statements.contains_key(&id) {
            return Err(unknown_statement(id, "mysqld_stmt_reset").into());
        }
        self.release_statement(id).await?;
        self.settle(&Relayed::default());
        self.put_ok();
        Ok(())
    }

    /// Takes back what a statement has at the server: pieces of parameters, a cursor. The statement itself stays, for others.
    async fn release_statement(&mut self, id: u32) -> Result<(), Trouble> {
        let had = self.hold.long_data.remove(&id) | self.hold.cursors.remove(&id);
        if had && self.lease.is_some() {
            let statement = self.server_statement(id).await?;
            let reset = self.lease_mut().backend.run(Command::ResetStatement(statement), Expect::One).await;
            reset.map_err(Trouble::Backend)??;
        }
        Ok(())
    }

    async fn fetch(&mut self, id: u32, rows: u32) -> Result<(), Trouble> {
        if !self.hold.cursors.contains(&id) || self.lease.is_none() {
            return Err(SqlError::new(1421, "HY000", format!("The statement ({id}) has no open cursor.")).into());
        }
        let statement = self.server_statement(id).await?;
        let relayed = self.run_leased(Command::Fetch { statement, rows }, Expect::Rows).await?;
        if relayed.last_row || relayed.failed {
            self.hold.cursors.remove(&id);
        }
        self.settle(&relayed);
        Ok(())
    }

    fn forget_statements(&mut self) {
        self.statements.clear();
        self.statement_bytes = 0;
        self.latest = None;
    }

    fn next_statement(&mut self) -> u32 {
        loop {
            self.last_statement = if self.last_statement >= u32::MAX - 1 { 1 } else { self.last_statement + 1 };
            if !self.statements.contains_key(&self.last_statement) {
                return self.last_statement;
            }
        }
    }

    // === the session ===

    async fn set_multi_statements(&mut self, on: bool) -> Result<(), Trouble> {
        let both = Capabilities::MULTI_STATEMENTS | Capabilities::MULTI_RESULTS;
        self.capabilities = if on { self.capabilities | both } else { self.capabilities - Capabilities::MULTI_STATEMENTS };
        self.key = key_of(&self.user, self.capabilities, self.collation);
        if self.lease.is_some() {
            // The connection it keeps changes with it, and is of another kind from now on.
            let key = self.key.clone();
            let backend = &mut self.lease_mut().backend;
            backend.run(Command::SetMultiStatements(on), Expect::One).await.map_err(Trouble::Backend)??;
            backend.key = key;
        }
        self.put_eof();
        Ok(())
    }

    async fn reset_connection(&mut self) -> Result<(), Trouble> {
        self.forget_statements();
        self.hold = Hold::default();
        self.last = Last::default();
        self.state.variables.clear();
        if let Some(mut lease) = self.lease.take() {
            // Closed with what it holds if it cannot be reset.
            if lease.backend.reset().await.is_ok_and(|reset| reset.is_ok()) {
                lease.release();
            }
        }
        self.put_ok();
        Ok(())
    }

    async fn change_user(&mut self, payload: &[u8]) -> Result<Flow, Trouble> {
        let login = decode_change_user(payload, self.capabilities).map_err(SqlError::from)?;
        let proven = in_time(LOGIN_TIMEOUT, prove(&self.shared, &mut self.link, &login, None, &self.place.entry)).await;
        let user = match proven.map_err(Trouble::Client)? {
            Ok(user) => user,
            Err(error) => {
                self.put_error(&error);
                return Ok(Flow::End);
            }
        };
        if let Some(mut lease) = self.lease.take()
            && lease.backend.reset().await.is_ok_and(|reset| reset.is_ok())
        {
            lease.release();
        }
        if login.collation != 0 {
            self.collation = login.collation;
        }
        self.key = key_of(&user, self.capabilities, self.collation);
        self.user = user;
        self.forget_statements();
        self.hold = Hold::default();
        self.last = Last::default();
        self.state = SessionState { database: login.database.clone().map(String::into_bytes), ..SessionState::default() };
        self.place.entry.opened(&self.user.name, login.database.as_deref(), self.signals.interrupter());
        match self.enter().await {
            Ok(()) => Ok(Flow::Next),
            Err(error) => {
                self.put_error(&error);
                Ok(Flow::End)
            }
        }
    }

    fn kill(&mut self, id: u32, what: Kill) -> Result<Flow, Trouble> {
        if id == self.place.entry.id {
            let error = SqlError::new(1317, "70100", "Query execution was interrupted");
            if what == Kill::Query {
                return Err(error.into());
            }
            self.put_error(&error);
            return Ok(Flow::End);
        }
        if !self.shared.registry.kill(id, what) {
            return Err(SqlError::new(1094, "HY000", format!("Unknown thread id: {id}")).into());
        }
        self.put_ok();
        Ok(Flow::Next)
    }

    // === the server connection ===

    /// Leases a connection, if none is held, and brings it to this session's state.
    async fn acquire(&mut self) -> Result<(), Trouble> {
        if self.lease.is_some() {
            return Ok(());
        }
        let mut lease = self.pool.acquire(&self.key, &self.user, &self.state).await?;
        match lease.backend.align(&self.state).await {
            Ok(Ok(())) => {
                self.lease = Some(lease);
                Ok(())
            }
            // Somewhere between two states: not to be used again.
            Ok(Err(error)) => Err(error.into()),
            Err(lost) => Err(Trouble::Backend(lost)),
        }
    }

    fn lease_mut(&mut self) -> &mut Lease {
        self.lease.as_mut().expect("acquired by the caller")
    }

    /// Gives the connection back, unless something of this session's is there.
    fn settle(&mut self, relayed: &Relayed) {
        let Some(lease) = &self.lease else { return };
        if let Some(reason) = relayed.pins {
            self.hold.pinned.get_or_insert(reason);
        }
        let held = self.hold.pinned.is_some()
            || self.hold.until_transaction
            || self.hold.warnings
            || !self.hold.long_data.is_empty()
            || !self.hold.cursors.is_empty()
            || relayed.cursor
            || in_transaction(&lease.backend)
            || lease.backend.transaction_holds;
        if !held && let Some(lease) = self.lease.take() {
            lease.release();
        }
    }

    fn pin(&mut self, reason: &'static str) {
        if self.hold.pinned.is_none() {
            debug!(database = %self.shared.settings.name, connection = self.place.entry.id, reason, "session pinned");
            self.shared.pinned(reason);
        }
        self.hold.pinned.get_or_insert(reason);
    }

    /// A statement of ours on the leased connection; an error of the server is the client's.
    async fn run_own(&mut self, sql: &str) -> Result<(), Trouble> {
        let lease = self.lease_mut();
        let ran = lease.backend.run(Command::Query(sql.as_bytes()), Expect::Results).await;
        Ok(ran.map_err(Trouble::Backend)??)
    }

    async fn forward(&mut self, command: Command<'_>, expect: Expect) -> Result<(), Trouble> {
        self.acquire().await?;
        let relayed = self.run_leased(command, expect).await?;
        if let (Command::InitDb(database), false) = (command, relayed.failed) {
            self.state.database = Some(database.to_vec());
            self.lease_mut().backend.state.database = Some(database.to_vec());
        }
        self.settle(&relayed);
        Ok(())
    }

    /// Sends a command on the leased connection and forwards its answer.
    async fn run_leased(&mut self, command: Command<'_>, expect: Expect) -> Result<Relayed, Trouble> {
        self.lease_mut().backend.send(command).await.map_err(Trouble::Backend)?;
        self.relay(expect, None).await
    }

    /// Forwards an answer, packet by packet. `statement`: the client's number for the statement that is being prepared.
    async fn relay(&mut self, expect: Expect, statement: Option<u32>) -> Result<Relayed, Trouble> {
        self.answering = true;
        // A KILL QUERY that came when nothing ran is not for this statement.
        self.signals.interrupt.store(false, Ordering::SeqCst);
        let mut follower = Follower::new(expect, self.key.capabilities);
        let mut relayed = Relayed::default();
        loop {
            while let Some(step) = self.pass(&mut follower, &mut relayed, statement).map_err(|error| Trouble::Backend(Lost::Wire(error)))? {
                match step {
                    Step::Passed => {}
                    Step::Stream { left } => self.stream(left).await?,
                    Step::SendFile => self.send_file().await?,
                }
                if follower.done() {
                    self.answering = false;
                    return Ok(relayed);
                }
                self.link.flush_if_large().await.map_err(Trouble::Client)?;
            }
            self.fill().await?;
        }
    }

    /// Takes one packet of the answer, if there is a whole one, and puts it into the client's outbox.
    fn pass(&mut self, follower: &mut Follower, relayed: &mut Relayed, statement: Option<u32>) -> Result<Option<Step>, WireError> {
        let Client { link, lease, state, key, capabilities, .. } = self;
        let backend = &mut lease.as_mut().expect("acquired by the caller").backend;
        let Some((header, payload)) = backend.link.inbox.peek() else { return Ok(None) };
        let whole = payload.len() == header.length;
        let streams = header.length > STREAM_BYTES && payload.first().is_some_and(|first| follower.may_stream(*first));
        if !whole && !streams {
            return Ok(None);
        }
        backend.link.sequence.accept(header.sequence)?;
        link.sequence.accept(header.sequence)?;
        let raw = &backend.link.inbox.raw()[..HEADER + payload.len()];
        let mut step = Step::Passed;
        let row = follower.in_rows();
        match follower.packet(payload, header.length)? {
            Passed::Data => {
                relayed.rows += u64::from(row);
                link.outbox.payload().extend_from_slice(raw);
            }
            Passed::Ok(ok) => {
                backend.status = ok.status;
                let learned = backend.state.learn(&ok);
                backend.state.copy_to(state);
                backend.transaction_holds = learned.transaction_holds.unwrap_or(backend.transaction_holds);
                relayed.saw(ok.status, ok.warnings);
                relayed.pins = relayed.pins.or(learned.pins);
                if payload[0] == 0 {
                    relayed.affected_rows = Some(ok.affected_rows);
                    relayed.insert_id = if ok.last_insert_id != 0 { ok.last_insert_id } else { relayed.insert_id };
                } else {
                    relayed.affected_rows = None;
                }
                put_ok_packet(link, header, raw, &ok, payload[0], *capabilities, key.capabilities);
            }
            Passed::Eof(eof) => {
                backend.status = eof.status;
                relayed.saw(eof.status, eof.warnings);
                relayed.affected_rows = None;
                link.outbox.payload().extend_from_slice(raw);
            }
            Passed::Err => {
                relayed.failed = true;
                link.outbox.payload().extend_from_slice(raw);
            }
            Passed::Prepared(prepared) => {
                relayed.prepared = Some(prepared);
                let at = link.outbox.bytes().len();
                link.outbox.payload().extend_from_slice(raw);
                if let Some(id) = statement {
                    link.outbox.payload()[at + HEADER + 1..at + HEADER + 5].copy_from_slice(&id.to_le_bytes());
                }
            }
            Passed::WantsFile => {
                link.outbox.payload().extend_from_slice(raw);
                step = Step::SendFile;
            }
        }
        let (taken, left) = (raw.len(), header.length - payload.len());
        backend.link.inbox.skip(taken);
        if left > 0 {
            step = Step::Stream { left };
        }
        Ok(Some(step))
    }

    /// Passes the rest of a long packet on as it comes.
    async fn stream(&mut self, mut left: usize) -> Result<(), Trouble> {
        while left > 0 {
            let Client { link, lease, .. } = self;
            let inbox = &mut lease.as_mut().expect("acquired by the caller").backend.link.inbox;
            let here = inbox.raw().len().min(left);
            link.outbox.payload().extend_from_slice(&inbox.raw()[..here]);
            inbox.skip(here);
            left -= here;
            self.link.flush_if_large().await.map_err(Trouble::Client)?;
            if left > 0 {
                self.fill().await.map_err(|trouble| match trouble {
                    // Half a packet has been sent: no error packet can follow it.
                    Trouble::Backend(lost) => Trouble::Client(lost),
                    other => other,
                })?;
            }
        }
        Ok(())
    }

    /// LOAD DATA LOCAL: passes the client's packets on until the empty one.
    async fn send_file(&mut self) -> Result<(), Trouble> {
        self.link.flush().await.map_err(Trouble::Client)?;
        loop {
            let piece = self.link.receive().await.map_err(Trouble::Client)?;
            let link = &mut self.lease_mut().backend.link;
            link.packet(|out| out.extend_from_slice(&piece));
            if piece.is_empty() {
                return link.flush().await.map_err(Trouble::Backend);
            }
            link.flush_if_large().await.map_err(Trouble::Backend)?;
        }
    }

    /// Reads more of the answer; meanwhile listens for KILL QUERY and for the end of patience.
    async fn fill(&mut self) -> Result<(), Trouble> {
        let lease = self.lease.as_mut().expect("acquired by the caller");
        tokio::select! {
            biased;
            filled = lease.backend.link.fill() => return filled.map_err(Trouble::Backend),
            () = std::future::ready(()) => {}
        }
        // Nothing more is here: what is may be all for a while, and the client need not wait for it.
        self.link.flush().await.map_err(Trouble::Client)?;
        loop {
            let lease = self.lease.as_mut().expect("acquired by the caller");
            tokio::select! {
                filled = lease.backend.link.fill() => return filled.map_err(Trouble::Backend),
                () = self.signals.wake.notified() => {}
            }
            if self.signals.cut.load(Ordering::SeqCst) {
                return Err(Trouble::Client(Lost::HungUp));
            }
            if self.signals.interrupt.swap(false, Ordering::SeqCst) {
                self.interrupt().await;
            }
        }
    }

    /// Interrupts the statement on the leased connection from a connection beside it. The lease is held meanwhile, so that the KILL cannot
    /// hit another client's statement.
    async fn interrupt(&self) {
        let Some(lease) = &self.lease else { return };
        let Ok(mut beside) = Backend::connect(&self.shared.target, &self.key, &self.user).await else { return };
        let sql = format!("KILL QUERY {}", lease.backend.server_id);
        let _ = beside.run(Command::Query(sql.as_bytes()), Expect::Results).await;
    }

    // === answers of our own ===

    fn status(&self) -> ServerStatus {
        if let Some(lease) = &self.lease {
            return lease.backend.status.with(ServerStatus::MORE_RESULTS, false);
        }
        let off = self.state.variables.get(&b"autocommit"[..]).is_some_and(|value| value == b"OFF" || value == b"0");
        ServerStatus::default().with(ServerStatus::AUTOCOMMIT, !off)
    }

    fn put_ok(&mut self) {
        let ok = OkPacket { status: self.status(), ..OkPacket::default() };
        let capabilities = self.capabilities;
        self.link.packet(|out| ok.encode(out, capabilities));
    }

    fn put_eof(&mut self) {
        let (status, capabilities) = (self.status(), self.capabilities);
        if capabilities.contains(Capabilities::DEPRECATE_EOF) {
            self.link.packet(|out| OkPacket { status, ..OkPacket::default() }.encode_as_eof(out, capabilities));
        } else {
            self.link.packet(|out| EofPacket { warnings: 0, status }.encode(out));
        }
    }

    fn put_error(&mut self, error: &SqlError) {
        self.link.packet(|out| put_error(out, error, ErrorPhase::AfterGreeting));
    }
}

/// What [`Client::pass`] leaves to do.
enum Step {
    Passed,
    /// The packet is longer than what is here.
    Stream {
        left: usize,
    },
    SendFile,
}

impl Relayed {
    fn saw(&mut self, status: ServerStatus, warnings: u16) {
        self.warnings = warnings;
        self.cursor = status.contains(ServerStatus::CURSOR_EXISTS) && !status.contains(ServerStatus::LAST_ROW_SENT);
        self.last_row = status.contains(ServerStatus::LAST_ROW_SENT);
    }
}

// === helpers ===

fn key_of(user: &SqlUser, capabilities: Capabilities, collation: u8) -> Arc<Key> {
    Arc::new(Key { user: user.name.clone(), capabilities: ALWAYS | (capabilities & TELLING), collation })
}

fn in_transaction(backend: &Backend) -> bool {
    backend.status.contains(ServerStatus::IN_TRANSACTION)
}

fn ends_transaction(command: Command<'_>) -> bool {
    let Command::Query(sql) = command else { return false };
    let first = text::Tokens::new(sql).next();
    first.is_some_and(|first| text::is_word(first, "commit") || text::is_word(first, "rollback"))
}

/// An OK packet as the client understands it: without the reports that only the proxy asked for.
fn put_ok_packet(link: &mut Link, header: Header, raw: &[u8], ok: &OkPacket<'_>, first: u8, client: Capabilities, server: Capabilities) {
    let tracked = client.contains(Capabilities::SESSION_TRACK);
    if ok.changes.is_empty() && (tracked || ok.info.is_empty()) {
        link.outbox.payload().extend_from_slice(raw);
        return;
    }
    debug_assert!(server.contains(Capabilities::SESSION_TRACK), "every connection to a server tracks");
    let mut changes = Vec::new();
    for change in ok.changes().map_while(Result::ok) {
        let wanted = match change {
            SessionChange::Variable { name, .. } => !name.starts_with(b"session_track"),
            SessionChange::Schema(_) => true,
            _ => false,
        };
        if wanted {
            change.encode(&mut changes);
        }
    }
    let ok = OkPacket { changes: &changes, ..*ok };
    let at = link.outbox.bytes().len();
    let out = link.outbox.payload();
    out.extend_from_slice(&[0; HEADER]);
    if first == 0 {
        ok.encode(out, client)
    } else {
        ok.encode_as_eof(out, client)
    }
    let length = out.len() - at - HEADER;
    out[at..at + HEADER].copy_from_slice(&Header { length, sequence: header.sequence }.encode());
}

/// COM_STMT_EXECUTE's payload with the server's number, and always with the parameters' types.
fn with_types(payload: &[u8], server_id: u32, statement: &mut Statement) -> Result<Vec<u8>, SqlError> {
    let malformed = || SqlError::from(WireError::Truncated("execution"));
    let mut out = Vec::with_capacity(payload.len() + 2 * statement.parameters);
    out.extend_from_slice(&server_id.to_le_bytes());
    let (head, rest) = payload.get(4..).and_then(|rest| rest.split_at_checked(5)).ok_or_else(malformed)?;
    out.extend_from_slice(head);
    if statement.parameters == 0 {
        return Ok(out);
    }
    let (nulls, rest) = rest.split_at_checked(statement.parameters.div_ceil(8)).ok_or_else(malformed)?;
    let (new_types, mut rest) = rest.split_first().ok_or_else(malformed)?;
    if *new_types == 1 {
        let (types, values) = rest.split_at_checked(2 * statement.parameters).ok_or_else(malformed)?;
        statement.types = types.to_vec();
        rest = values;
    }
    if statement.types.len() != 2 * statement.parameters {
        return Err(SqlError::from(WireError::Malformed("parameters' types, which no execution has sent yet,")));
    }
    out.extend_from_slice(nulls);
    out.push(1);
    out.extend_from_slice(&statement.types);
    out.extend_from_slice(rest);
    Ok(out)
}

/// The name of the one column of `SELECT function() [[AS] name]`; `None` if the statement is anything else.
fn only_column(sql: &[u8], function: &str) -> Option<String> {
    use text::Token;
    let tokens: Vec<Token<'_>> = text::Tokens::new(sql).take_while(|token| *token != Token::Sign(b';')).take(8).collect();
    let [select, name, Token::Sign(b'('), Token::Sign(b')'), rest @ ..] = tokens.as_slice() else { return None };
    if !text::is_word(*select, "select") || !text::is_word(*name, function) {
        return None;
    }
    let written = |name: &[u8]| String::from_utf8_lossy(name).trim_matches('`').to_owned();
    match rest {
        [] => Some(format!("{}()", if let Token::Word(name) = name { written(name) } else { return None })),
        [Token::Word(alias) | Token::Quoted(alias)] => Some(written(alias)),
        [as_word, Token::Word(alias) | Token::Quoted(alias)] if text::is_word(*as_word, "as") => Some(written(alias)),
        _ => None,
    }
}

fn unknown_statement(id: u32, what: &str) -> SqlError {
    SqlError::new(1243, "HY000", format!("Unknown prepared statement handler ({id}) given to {what}"))
}

fn lost_connection(lost: &Lost) -> SqlError {
    SqlError::new(2013, "HY000", format!("Lost connection to the database server during the statement: {lost}"))
}

fn killed() -> SqlError {
    SqlError::new(1927, "70100", "Connection was killed")
}
