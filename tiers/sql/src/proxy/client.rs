//! One client of the proxy: its login, its commands, and the server connection it holds while it must.
//!
//! ```text
//! Free --a statement--> Leased --answered, nothing left behind--> Free
//! Leased --transaction, LOCK TABLES, long data, open cursor, warnings--> Held --it is over--> Free
//! Leased --user variable, temporary table, GET_LOCK, ...--> Pinned --reset, change of user, the end--> Free
//! ```
//! Answers are forwarded packet by packet as they come. Only OK packets are looked into, and rewritten where they report session changes.

mod hold;
mod insert_id;
mod login;
mod look_back;
mod prepared;
mod quick;
mod relay;
mod session;
mod signals;
mod stored;
mod texts;
mod turn;

use std::{collections::HashMap, rc::Rc, sync::Arc};

use pumasi_freshness::Witness;
use pumasi_mysqlwire::{Capabilities, Command, EofPacket, ErrorPhase, Expect, OkPacket, ServerStatus, SqlError, put_error};
use pumasi_sqltext::Modes;
use tokio::net::TcpStream;
use tracing::debug;

pub use self::signals::{LOOK_OVER, Signals};
use self::{
    hold::{Hold, in_transaction},
    insert_id::InsertId,
    login::{Opened, welcome},
    look_back::Last,
    prepared::Statement,
    quick::Quick,
    relay::Relayed,
};
use super::{
    Shared,
    backend::Key,
    follow::Session,
    link::{Link, in_time},
    nature::Assignment,
    pool::{Lease, Pools},
    state::{SQL_MODE, SessionState},
};
use crate::front::{
    LOGIN_TIMEOUT, PACKET_MAX,
    login::LOGIN_BYTES_MAX,
    registry::{Kill, Place},
    shutting_down,
    wire::Lost,
};
use crate::{cluster::Writes, identity::Identity};

/// What an idle client's inbox costs. Most statements fit; longer ones grow it for as long as they are there.
const CLIENT_ROOM: usize = 2 * 1024;

/// What of a client's login changes how a server answers it: connections are shared only between logins that agree on these.
const TELLING: Capabilities = Capabilities(
    Capabilities::FOUND_ROWS.0
        | Capabilities::IGNORE_SPACE.0
        | Capabilities::LOCAL_FILES.0
        | Capabilities::INTERACTIVE.0
        | Capabilities::MULTI_STATEMENTS.0
        | Capabilities::MULTI_RESULTS.0
        | Capabilities::PS_MULTI_RESULTS.0
        | Capabilities::MARIADB_EXTENDED_METADATA.0,
);

/// What every connection to a server asks for. Without DEPRECATE_EOF a result with rows would not say what it changed in the session.
const ALWAYS: Capabilities = Capabilities(
    Capabilities::LONG_FLAG.0
        | Capabilities::PROTOCOL_41.0
        | Capabilities::TRANSACTIONS.0
        | Capabilities::SECURE_CONNECTION.0
        | Capabilities::PLUGIN_AUTH.0
        | Capabilities::PLUGIN_AUTH_LENENC.0
        | Capabilities::SESSION_TRACK.0
        | Capabilities::DEPRECATE_EOF.0,
);

/// Serves one connection until it ends.
pub async fn serve(
    shared: Arc<Shared>,
    pools: Rc<Pools>,
    stream: TcpStream,
    place: Place,
    signals: Arc<Signals>,
    witness: Option<Arc<Witness>>,
) {
    signals.adopt().await;
    let _known = pools.clients.enter(place.entry.id, &signals);
    let mut link = Link::new(stream, LOGIN_BYTES_MAX, CLIENT_ROOM);
    let opened = match in_time(LOGIN_TIMEOUT, Box::pin(welcome(&shared, &pools, &mut link, &place.entry))).await {
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
    let mut client = Client::new(shared, pools, link, place, signals, witness, opened);
    client.run().await;
    Box::pin(client.leave()).await;
}

struct Client {
    shared: Arc<Shared>,
    pools: Rc<Pools>,
    link: Link,
    place: Place,
    signals: Arc<Signals>,
    witness: Option<Arc<Witness>>,
    capabilities: Capabilities,
    collation: u8,
    /// What the server offers.
    server: Capabilities,
    /// Attempts to become another user that failed.
    changes_refused: u8,
    /// The session's, until it sets another.
    sql_mode: Vec<u8>,
    /// It has just turned out to be another than texts were read by.
    modes_changed: bool,
    user: Identity,
    key: Arc<Key>,
    /// What the session was at its login, and is again after COM_RESET_CONNECTION.
    state: SessionState,
    /// `state` as it last was when somebody asked to share it.
    state_shared: Arc<SessionState>,
    /// What the running statement's text means, if not what it would mean today: it was prepared before the session changed.
    meaning: Option<Arc<SessionState>>,
    lease: Option<Lease>,
    /// The leased connection has been sent something whose answer has not ended.
    answering: bool,
    /// Something of the present answer is on its way to the client.
    passed: bool,
    /// For whoever chooses servers: what this session's open transaction has written.
    writes: Writes,
    hold: Hold,
    statements: HashMap<u32, Statement>,
    /// Of the texts in `statements`.
    statement_bytes: usize,
    last_statement: u32,
    /// The latest prepared statement, which clients of MariaDB may execute by [`LATEST`]; none if it could not be prepared.
    latest: Option<u32>,
    last: Last,
    insert_id: InsertId,
    /// By the statement that runs now, if it succeeds.
    collation_to_set: Option<Vec<u8>>,
    /// Likewise: user variables and their literals.
    variables_to_set: Vec<Assignment>,
    /// Its transaction, as far as stored answers are concerned.
    session: Session,
    /// The packets of the answer that is being forwarded, if it may be kept.
    recording: Option<Vec<u8>>,
    /// What stored answers depend on besides their statement, and the state it was written from.
    shaping: (Arc<SessionState>, Arc<[u8]>),
    /// The short way of a hit.
    quick: Quick,
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

impl Client {
    fn new(
        shared: Arc<Shared>,
        pools: Rc<Pools>,
        link: Link,
        place: Place,
        signals: Arc<Signals>,
        witness: Option<Arc<Witness>>,
        opened: Opened,
    ) -> Client {
        let key = key_of(&opened.user, opened.capabilities, opened.login.collation, opened.server, shared.era());
        let state = SessionState { database: opened.login.database.clone().map(String::into_bytes), ..SessionState::default() };
        place.entry.opened(&opened.user.name, opened.login.database.as_deref(), signals.interrupter());
        Client {
            shared,
            pools,
            link,
            place,
            signals,
            witness,
            capabilities: opened.capabilities,
            collation: opened.login.collation,
            server: opened.server,
            changes_refused: 0,
            sql_mode: opened.sql_mode,
            modes_changed: false,
            user: opened.user,
            key,
            state,
            state_shared: Arc::default(),
            meaning: None,
            lease: None,
            answering: false,
            passed: false,
            writes: Writes::default(),
            hold: Hold::default(),
            statements: HashMap::new(),
            statement_bytes: 0,
            last_statement: 0,
            latest: None,
            last: Last::default(),
            insert_id: InsertId::default(),
            collation_to_set: None,
            variables_to_set: Vec::new(),
            session: Session::default(),
            recording: None,
            shaping: (Arc::default(), Arc::from([])),
            quick: Quick::default(),
        }
    }

    async fn run(&mut self) {
        if let Err(error) = self.enter().await {
            self.put_error(&error);
            let _ = self.link.flush().await;
            return;
        }
        if self.link.flush().await.is_err() {
            return;
        }
        if self.capabilities.contains(Capabilities::COMPRESS) {
            self.link.compress();
        }
        let lost = loop {
            match self.turn().await {
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

    /// Answers what has arrived, or waits for more. A client that sends its commands without waiting is answered in one piece.
    async fn turn(&mut self) -> Result<Flow, Lost> {
        if self.answer_quickly() {
            self.link.flush_if_large().await?;
            return Ok(Flow::Next);
        }
        if self.link.inbox.ready()? {
            return self.next_command().await;
        }
        self.link.flush().await?;
        self.quick_sent();
        self.wait().await?;
        Ok(Flow::Next)
    }

    /// The command is here.
    async fn next_command(&mut self) -> Result<Flow, Lost> {
        self.link.sequence.restart();
        let mut payload = self.pools.spare.take();
        payload.extend_from_slice(self.link.inbox.take(&mut self.link.sequence)?.expect("it is here: looked at by turn"));
        let flow = self.obey(&payload).await;
        self.pools.spare.put(payload);
        // Its patience counts from the answer, not from the question.
        self.signals.spoke();
        flow
    }

    async fn obey(&mut self, payload: &[u8]) -> Result<Flow, Lost> {
        self.meaning = None;
        if self.place.entry.ending() {
            self.put_error(&if self.shared.stopping() { shutting_down() } else { killed() });
            return Ok(Flow::End);
        }
        let command = Command::decode(payload)?;
        self.leave_quick();
        let flow = match self.answer(command).await {
            Ok(flow) => flow,
            Err(Trouble::Refused(error)) => {
                self.put_error(&error);
                self.settle(&Relayed::default());
                Flow::Next
            }
            Err(Trouble::Client(lost)) => return Err(lost),
            Err(Trouble::Backend(lost)) => self.server_lost(&lost),
        };
        self.settle_quick();
        Ok(flow)
    }

    /// The server connection broke in the middle. The client is told; what the session had at that connection is gone, so a session that had
    /// something there ends.
    fn server_lost(&mut self, lost: &Lost) -> Flow {
        let had = self.had_something();
        let open = self.lease.as_ref().is_some_and(|lease| in_transaction(&lease.backend));
        self.writes = Writes::default();
        self.lease = None;
        self.answering = false;
        self.hold = Hold::default();
        self.put_error(&lost_connection(lost, open));
        if had { Flow::End } else { Flow::Next }
    }

    /// Waits for more of a command, for a KILL, for the end of the server or of patience.
    async fn wait(&mut self) -> Result<(), Lost> {
        loop {
            if self.place.entry.ending() || self.signals.idle_too_long() {
                // What it is told it will read as the answer to its next command.
                self.link.sequence.restart();
                self.link.sequence.issue();
                return Err(if self.place.entry.ending() { Lost::HungUp } else { Lost::TimedOut });
            }
            tokio::select! {
                biased;
                filled = self.link.fill() => {
                    self.signals.spoke();
                    return filled;
                }
                () = self.signals.told() => {}
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
            Command::Execute(payload) => self.execute(payload).await?,
            Command::Ping => self.put_ok(),
            Command::ProcessKill(id) if self.kills_here(id) => return self.kill(id, Kill::Connection),
            rare => return Box::pin(self.answer_rare(rare)).await,
        }
        Ok(Flow::Next)
    }

    /// What comes once a session or less, apart from the path of everyday statements.
    async fn answer_rare(&mut self, command: Command<'_>) -> Result<Flow, Trouble> {
        match command {
            Command::Prepare(sql) => self.prepare(sql).await?,
            Command::LongData { statement, parameter, data } => self.long_data(statement, parameter, data).await?,
            Command::CloseStatement(id) => self.close_statement(id).await?,
            Command::ResetStatement(id) => self.reset_statement(id).await?,
            Command::Fetch { statement, rows } => self.fetch(statement, rows).await?,
            Command::InitDb(_) => self.forward(command, Expect::One).await?,
            Command::FieldList { .. } => self.forward(command, Expect::Rows).await?,
            Command::Statistics | Command::ProcessKill(_) => self.forward(command, Expect::One).await?,
            Command::Administer(_) => {
                self.forward(command, Expect::One).await?;
                // Among what is refreshed may be rights.
                self.shared.outdated();
            }
            Command::SetMultiStatements(on) => self.set_multi_statements(on).await?,
            Command::ResetConnection => self.reset_connection().await?,
            Command::ChangeUser(payload) => return self.change_user(payload).await,
            // The others are answered above.
            _ => return Err(SqlError::new(1047, "08S01", "Unknown command").into()),
        }
        Ok(Flow::Next)
    }

    /// By which the running statement's names and quotes are understood.
    fn text_state(&self) -> &SessionState {
        self.meaning.as_deref().unwrap_or(&self.state)
    }

    /// How this session's texts are to be read.
    fn modes(&self) -> Modes {
        let variable = |name: &[u8]| self.state.variables.get(name).map(Vec::as_slice);
        let modes = Modes::default().with_sql_mode(variable(SQL_MODE).unwrap_or(&self.sql_mode));
        match variable(b"character_set_client") {
            Some(charset) => modes.with_charset(charset),
            None => modes.with_collation(self.collation),
        }
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

// === helpers ===

fn key_of(user: &Identity, capabilities: Capabilities, collation: u8, server: Capabilities, era: u64) -> Arc<Key> {
    // An old server does without; then what it does not report is guessed at from the texts alone.
    let lacking = (Capabilities::DEPRECATE_EOF | Capabilities::SESSION_TRACK) - server;
    // Of a MySQL's flags the first; who says it to a MariaDB knows none of MariaDB's own.
    let mysql = server & Capabilities::LONG_PASSWORD;
    Arc::new(Key { user: user.name.clone(), capabilities: (ALWAYS - lacking) | mysql | (capabilities & TELLING), collation, era })
}

/// `open`: a transaction was.
fn lost_connection(lost: &Lost, open: bool) -> SqlError {
    let then = match open {
        true => "the transaction is gone with it, unless this was its COMMIT: then its outcome is not known",
        false => "whether a write was carried out is not known",
    };
    // Not 2013, which is the client's own number for this: MariaDB's library takes it from a server for a malformed packet.
    SqlError::new(1158, "08S01", format!("Lost connection to the database server during the statement ({lost}); {then}"))
}

fn killed() -> SqlError {
    SqlError::new(1927, "70100", "Connection was killed")
}
