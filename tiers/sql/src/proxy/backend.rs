//! One connection to a real server: login, session state, prepared statements.

use std::{
    cell::Cell,
    collections::HashMap,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use pumasi_mysqlwire::{
    AuthStep, Capabilities, Command, ErrPacket, Expect, Follower, Greeting, Login, Passed, Prepared, ServerStatus, SqlError,
    auth::{self, CACHING_SHA2, ED25519, NATIVE, Salt},
    decode_text_row, put_tls_request,
    rsa::PublicKey,
};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;

use super::{
    link::{Link, in_time},
    state::{SQL_MODE, SessionState},
    target::Target,
};
use crate::{
    front::{PACKET_MAX, login::random, wire::Lost},
    identity::{Identity, Secret},
};

/// From the first packet of a connection to its login.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Server connections are few and bring the large answers: fewer system calls for more memory.
const SERVER_ROOM: usize = 64 * 1024;

/// Prepared statements kept on one server connection; the one used longest ago makes room.
const STATEMENTS_PER_BACKEND: usize = 256;

/// utf8mb4_general_ci, which every server knows.
const PLAIN_COLLATION: u8 = 45;

/// What decides, beside the sql_mode, what a text means while it is prepared.
const CHARSET: [&[u8]; 3] = [b"character_set_client", b"character_set_connection", b"collation_connection"];

/// Tells the server to report what changes in a session, so that nobody has to guess.
const TRACK: &[u8] = b"SET SESSION session_track_schema=ON, session_track_state_change=ON, session_track_system_variables='*', \
    session_track_transaction_info='STATE'";

/// Which logins may share connections: the user, and what of the client's login changes answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub user: String,
    pub capabilities: Capabilities,
    pub collation: u8,
    /// How often clients had changed globals or accounts before the login: what a session begins with is as of then.
    pub era: u64,
}

impl Key {
    /// For statements of our own.
    pub fn plain(user: &str) -> Key {
        let capabilities = Capabilities::LONG_PASSWORD
            | Capabilities::PROTOCOL_41
            | Capabilities::SECURE_CONNECTION
            | Capabilities::PLUGIN_AUTH
            | Capabilities::PLUGIN_AUTH_LENENC
            | Capabilities::TRANSACTIONS;
        Key { user: user.to_owned(), capabilities, collation: PLAIN_COLLATION, era: 0 }
    }
}

/// What the server said of itself.
#[derive(Clone, Debug)]
pub struct Facts {
    pub version: String,
    pub capabilities: Capabilities,
    pub collation: u8,
    /// A new session's, as the server shows it.
    pub sql_mode: Vec<u8>,
}

/// Whose LAST_INSERT_ID() a connection has.
#[derive(Debug, Default)]
pub struct InsertIdHere {
    /// A client's number, and which of its changes it was.
    pub owner: Option<(u32, u64)>,
    /// Somebody may want to know what it is here.
    pub asked: Option<Rc<Cell<Option<u64>>>>,
}

#[derive(Debug)]
pub struct Backend {
    pub link: Link,
    /// Unique in this process.
    pub number: u64,
    /// What the server calls it, for KILL.
    pub server_id: u32,
    /// Statements of clients that ran on it.
    pub uses: u64,
    pub key: Arc<Key>,
    pub facts: Facts,
    pub state: SessionState,
    /// As the last packet said.
    pub status: ServerStatus,
    pub insert_id: InsertIdHere,
    /// The server reported that the transaction holds something, LOCK TABLES included.
    pub transaction_holds: bool,
    statements: HashMap<StatementKey, Known>,
    clock: u64,
}

/// Statements are shared between clients only if every session variable was the same when they were prepared: sql_mode and the
/// character sets change what a text means.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StatementKey {
    pub sql: Arc<[u8]>,
    pub state: Arc<SessionState>,
}

#[derive(Debug)]
struct Known {
    id: u32,
    used: u64,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum NoBackend {
    #[error("cannot connect to {address}: {error}")]
    Unreachable { address: String, error: Lost },
    #[error("{0}")]
    Refused(SqlError),
}

/// What the server answered to a command of ours.
pub type Answer = Result<(), SqlError>;

impl Backend {
    /// Connects and logs in as `user`, with the flags and character set of `key`.
    pub async fn connect(target: &Target, key: &Arc<Key>, user: &Identity) -> Result<Backend, NoBackend> {
        let unreachable = |error| NoBackend::Unreachable { address: target.address(), error };
        let (mut backend, greeting, login) = Backend::greeted(target, key).await?;
        let compressed = login.capabilities.contains(Capabilities::COMPRESS);
        let login = Login { user: user.name.clone(), ..login };
        let login = in_time(CONNECT_TIMEOUT, backend.log_in(&greeting, login, user)).await.map_err(unreachable)?;
        login.map_err(NoBackend::Refused)?;
        if compressed {
            backend.link.compress();
        }
        backend.track().await.map_err(unreachable)?.map_err(NoBackend::Refused)?;
        backend.learn_sql_mode().await.map_err(unreachable)?.map_err(NoBackend::Refused)?;
        Ok(backend)
    }

    /// A connection that the server has greeted, encrypted if that is wanted; with the login that is to be sent, which lacks who it is.
    pub(super) async fn greeted(target: &Target, key: &Arc<Key>) -> Result<(Backend, Greeting, Login), NoBackend> {
        let unreachable = |error| NoBackend::Unreachable { address: target.address(), error };
        let connecting = async {
            let stream = TcpStream::connect((target.host.as_str(), target.port)).await.map_err(Lost::Io)?;
            stream.set_nodelay(true).map_err(Lost::Io)?;
            let mut link = Link::new(stream, PACKET_MAX, SERVER_ROOM);
            let greeting = link.receive().await?;
            Ok((link, greeting))
        };
        let (link, greeting) = in_time(CONNECT_TIMEOUT, connecting).await.map_err(unreachable)?;
        if let Ok(error) = ErrPacket::decode(&greeting) {
            return Err(NoBackend::Refused(owned(&error)));
        }
        let greeting = Greeting::decode(&greeting).map_err(|error| unreachable(Lost::Wire(error)))?;
        let lacking = key.capabilities & ((Capabilities::DEPRECATE_EOF | Capabilities::SESSION_TRACK) - greeting.capabilities);
        if lacking != Capabilities::default() {
            let message = format!("The server at {} is older than the one asked first: it cannot report sessions", target.address());
            return Err(NoBackend::Refused(SqlError::new(1105, "HY000", message)));
        }
        let facts = Facts {
            version: greeting.version.clone(),
            capabilities: greeting.capabilities,
            collation: greeting.collation,
            sql_mode: Vec::new(),
        };
        let mut login =
            Login { capabilities: key.capabilities, max_packet: PACKET_MAX as u32, collation: key.collation, ..Login::default() };
        if target.transport.compression {
            login.capabilities = login.capabilities | (greeting.capabilities & Capabilities::COMPRESS);
        }
        let link = in_time(CONNECT_TIMEOUT, encrypted(link, target, &greeting, &mut login)).await.map_err(unreachable)?;
        let backend = Backend {
            link,
            number: next_number(),
            server_id: greeting.connection_id,
            uses: 0,
            key: key.clone(),
            facts,
            state: SessionState::default(),
            status: ServerStatus::AUTOCOMMIT,
            insert_id: InsertIdHere::default(),
            transaction_holds: false,
            statements: HashMap::new(),
            clock: 0,
        };
        Ok((backend, greeting, login))
    }

    /// What is not reported, because nobody has set it: how texts are read in a new session.
    async fn learn_sql_mode(&mut self) -> Result<Answer, Lost> {
        let rows = match self.rows("SELECT @@sql_mode", 1).await? {
            Ok(rows) => rows,
            Err(error) => return Ok(Err(error)),
        };
        self.facts.sql_mode = rows.into_iter().flatten().flatten().next().unwrap_or_default().into_bytes();
        Ok(Ok(()))
    }

    async fn log_in(&mut self, greeting: &Greeting, login: Login, user: &Identity) -> Result<Answer, Lost> {
        // Who has no proof for what the server prefers begins with the other, and is switched if the user's plugin is neither.
        let first = if greeting.plugin == CACHING_SHA2 { CACHING_SHA2 } else { NATIVE };
        let (plugin, proven) = match proof(first, user, &greeting.salt) {
            Some(proven) => (first, proven),
            None => (NATIVE, proof(NATIVE, user, &greeting.salt).unwrap_or_default()),
        };
        let login = Login { auth_response: proven, plugin: plugin.to_owned(), ..login };
        self.link.packet(|out| login.encode(out));
        self.link.flush().await?;
        let mut salt = greeting.salt;
        loop {
            let payload = self.link.receive().await?;
            match AuthStep::decode(&payload)? {
                AuthStep::Accepted => return Ok(Ok(())),
                AuthStep::Refused => return Ok(Err(owned(&ErrPacket::decode(&payload)?))),
                AuthStep::Switch { plugin: plugin @ (NATIVE | CACHING_SHA2), data } => {
                    let Ok(fresh) = data.try_into() else { return Ok(Err(unsupported_login(plugin, "a salt of another length"))) };
                    salt = Salt(fresh);
                    let Some(proof) = proof(plugin, user, &salt) else { return Ok(Err(needs_password(plugin, user))) };
                    self.link.packet(|out| out.extend_from_slice(&proof));
                    self.link.flush().await?;
                }
                AuthStep::Switch { plugin: ED25519, data } => {
                    let Ok(nonce) = data.try_into() else { return Ok(Err(unsupported_login(ED25519, "a nonce of another length"))) };
                    let Secret::Password(password) = &user.secret else { return Ok(Err(needs_password(ED25519, user))) };
                    let signature = auth::ed25519_proof(password.as_bytes(), nonce);
                    self.link.packet(|out| out.extend_from_slice(&signature));
                    self.link.flush().await?;
                }
                AuthStep::Switch { plugin, .. } => return Ok(Err(unsupported_login(plugin, "this plugin"))),
                AuthStep::More([auth::SHA2_FAST_OK]) => {}
                // The server does not know the hash: it gets the password, encrypted with the key it is asked for.
                AuthStep::More([auth::SHA2_FULL_AUTHENTICATION]) if self.link.encrypted() => {
                    let Secret::Password(password) = &user.secret else { return Ok(Err(needs_password(CACHING_SHA2, user))) };
                    self.link.packet(|out| {
                        out.extend_from_slice(password.as_bytes());
                        out.push(0);
                    });
                    self.link.flush().await?;
                }
                AuthStep::More([auth::SHA2_FULL_AUTHENTICATION]) => {
                    self.link.packet(|out| out.push(auth::SHA2_REQUEST_KEY));
                    self.link.flush().await?;
                }
                AuthStep::More(pem) => {
                    let Secret::Password(password) = &user.secret else { return Ok(Err(needs_password(CACHING_SHA2, user))) };
                    let encrypted = PublicKey::from_pem(pem)?.encrypt_password(password.as_bytes(), &salt, random().map_err(Lost::Io)?)?;
                    self.link.packet(|out| out.extend_from_slice(&encrypted));
                    self.link.flush().await?;
                }
            }
        }
    }

    async fn track(&mut self) -> Result<Answer, Lost> {
        let tracked = self.run(Command::Query(TRACK), Expect::Results).await?;
        // What was just set is ours, not the client's.
        self.state = SessionState::default();
        Ok(tracked)
    }

    // === commands of our own ===

    /// Sends a command and reads its answer to the end; rows are dropped.
    pub async fn run(&mut self, command: Command<'_>, expect: Expect) -> Result<Answer, Lost> {
        self.run_watching(command, expect, |_| {}).await
    }

    async fn run_watching(&mut self, command: Command<'_>, expect: Expect, mut watch: impl FnMut(Passed<'_>)) -> Result<Answer, Lost> {
        self.send(command).await?;
        let mut follower = Follower::new(expect, self.key.capabilities);
        let mut answer = Ok(());
        while !follower.done() {
            let payload = self.link.receive().await?;
            let passed = follower.packet(&payload, payload.len())?;
            watch(passed);
            match passed {
                Passed::Ok(ok) => {
                    self.status = ok.status;
                    let learned = self.state.learn(&ok);
                    self.transaction_holds = learned.transaction_holds.unwrap_or(self.transaction_holds);
                }
                Passed::Eof(eof) => self.status = eof.status,
                Passed::Err => answer = Err(owned(&ErrPacket::decode(&payload)?)),
                Passed::Data | Passed::LastDefinition | Passed::Prepared(_) => {}
                Passed::WantsFile => return Err(Lost::Wire(pumasi_mysqlwire::WireError::Malformed("answer, which asks for a file"))),
            }
        }
        Ok(answer)
    }

    /// The rows of a question of our own, as text. Errors: more than `rows_max` rows are a malformed answer.
    pub async fn rows(&mut self, sql: &str, rows_max: usize) -> Result<Result<Vec<Vec<Option<String>>>, SqlError>, Lost> {
        self.send(Command::Query(sql.as_bytes())).await?;
        let mut follower = Follower::new(Expect::Results, self.key.capabilities);
        let (mut rows, mut columns, mut answer) = (Vec::new(), 0_usize, Ok(()));
        while !follower.done() {
            let payload = self.link.receive().await?;
            let row = follower.in_rows();
            match follower.packet(&payload, payload.len())? {
                Passed::Data if row => {
                    if rows.len() >= rows_max {
                        return Err(Lost::Wire(pumasi_mysqlwire::WireError::Malformed("answer, which has too many rows,")));
                    }
                    let values = decode_text_row(&payload, columns.saturating_sub(1))?;
                    rows.push(values.into_iter().map(|value| Some(String::from_utf8_lossy(value?).into_owned())).collect());
                }
                // How many columns there are, then each of them.
                Passed::Data => columns += 1,
                Passed::Ok(ok) => self.status = ok.status,
                Passed::Eof(eof) => self.status = eof.status,
                Passed::Err => answer = Err(owned(&ErrPacket::decode(&payload)?)),
                Passed::LastDefinition => columns += 1,
                Passed::Prepared(_) => {}
                Passed::WantsFile => return Err(Lost::Wire(pumasi_mysqlwire::WireError::Malformed("answer, which asks for a file"))),
            }
        }
        Ok(answer.map(|()| rows))
    }

    /// Sends a command whose answer somebody else reads.
    pub async fn send(&mut self, command: Command<'_>) -> Result<(), Lost> {
        self.link.restart();
        self.link.packet(|out| command.encode(out));
        self.link.flush().await
    }

    /// Answers whoever has to know this connection's LAST_INSERT_ID(), if it is still there.
    pub async fn ask_insert_id(&mut self) -> Result<Answer, Lost> {
        let Some(asked) = self.insert_id.asked.take().filter(|asked| Rc::strong_count(asked) > 1) else { return Ok(Ok(())) };
        let rows = match self.rows("SELECT LAST_INSERT_ID()", 1).await? {
            Ok(rows) => rows,
            Err(error) => return Ok(Err(error)),
        };
        asked.set(rows.first().and_then(|row| row.first()?.as_ref()?.parse().ok()));
        Ok(Ok(()))
    }

    // === session state ===

    /// Whether [`Backend::align`] can reach `wanted` without a new connection, and how cheaply: 0 is nothing to do.
    pub fn distance(&self, wanted: &SessionState) -> Option<u8> {
        if self.state == *wanted {
            return Some(0);
        }
        if self.state.database.is_some() && wanted.database.is_none() {
            // There is no way back to no database.
            return None;
        }
        match self.state.statement_towards(wanted) {
            // Others' user variables may be overwritten.
            Some(_) => Some(1),
            None => self.resettable().then_some(2),
        }
    }

    /// MariaDB keeps the login's character set over a reset; of MySQL that is not known, so there a new connection is made instead.
    pub fn resettable(&self) -> bool {
        self.facts.version.contains("MariaDB")
    }

    /// Brings the session to `wanted`. Errors of the server, such as an unknown database, leave it somewhere in between.
    pub async fn align(&mut self, wanted: &SessionState) -> Result<Answer, Lost> {
        if self.state == *wanted {
            return Ok(Ok(()));
        }
        let mut towards = self.state.statement_towards(wanted);
        let read_anew = towards.as_ref().is_none_or(|sql| !sql.is_empty());
        if towards.is_none() {
            if let Err(error) = self.reset().await? {
                return Ok(Err(error));
            }
            towards = self.state.statement_towards(wanted);
        }
        if let Some(database) = wanted.database.as_ref().filter(|wanted| self.state.database.as_ref() != Some(wanted)) {
            if let Err(error) = self.run(Command::InitDb(database), Expect::One).await? {
                return Ok(Err(error));
            }
            self.state.database = Some(database.clone());
        }
        if let Some(sql) = towards.filter(|sql| !sql.is_empty()) {
            if let Err(error) = self.run(Command::Query(&sql), Expect::Results).await? {
                return Ok(Err(error));
            }
            self.state.variables.clone_from(&wanted.variables);
        }
        let user = self.state.user_variables_towards(wanted, read_anew);
        if !user.is_empty() {
            if let Err(error) = self.run(Command::Query(&user), Expect::Results).await? {
                return Ok(Err(error));
            }
            self.state.user.clone_from(&wanted.user);
        }
        Ok(Ok(()))
    }

    /// Rolls back, gives back locks, temporary tables, variables and statements. The database stays.
    pub async fn reset(&mut self) -> Result<Answer, Lost> {
        let database = self.state.database.take();
        if let Err(error) = self.run(Command::ResetConnection, Expect::One).await? {
            return Ok(Err(error));
        }
        self.statements.clear();
        self.insert_id.owner = None;
        self.transaction_holds = false;
        let tracked = self.track().await?;
        self.state.database = database;
        Ok(tracked)
    }

    // === prepared statements ===

    /// The server's number of a statement, if it is known here.
    pub fn known_statement(&mut self, key: &StatementKey) -> Option<u32> {
        self.clock += 1;
        let known = self.statements.get_mut(key)?;
        known.used = self.clock;
        Some(known.id)
    }

    /// The server's number of a statement, preparing it if it is not known here.
    pub async fn statement(&mut self, key: &StatementKey) -> Result<Result<u32, SqlError>, Lost> {
        if let Some(known) = self.known_statement(key) {
            return Ok(Ok(known));
        }
        let mut prepared = None;
        let answer = self.run_watching(Command::Prepare(&key.sql), Expect::Prepared, |passed| {
            if let Passed::Prepared(packet) = passed {
                prepared = Some(packet);
            }
        });
        match (answer.await?, prepared) {
            (Ok(()), Some(Prepared { statement, .. })) => {
                self.remember(key.clone(), statement).await?;
                Ok(Ok(statement))
            }
            (Err(error), _) => Ok(Err(error)),
            (Ok(()), None) => Err(Lost::Wire(pumasi_mysqlwire::WireError::Malformed("prepared statement"))),
        }
    }

    /// As [`Backend::statement`], for one whose text is to mean what it meant in `key.state`. The session is as it was afterwards, in the middle of a
    /// transaction too. Errors of the server may leave it in between, so the connection is not to be used again.
    pub async fn statement_of_another_time(&mut self, key: &StatementKey) -> Result<Result<u32, SqlError>, Lost> {
        let differs = |name: &[u8]| self.state.variables.get(name) != key.state.variables.get(name);
        // A collation goes with its character set, whose own it is if none was set.
        let charset = CHARSET.into_iter().any(differs);
        let names: Vec<&'static [u8]> = if charset { [&CHARSET[..], &[SQL_MODE]].concat() } else { vec![SQL_MODE] };
        let begins = match if charset { self.charset_of_login().await? } else { Ok(Vec::new()) } {
            Ok(begins) => begins,
            Err(error) => return Ok(Err(error)),
        };
        let now = self.state.clone();
        let (towards, back) = (self.meaning_of(&key.state, &names, &begins), self.meaning_of(&now, &names, &begins));
        // Without a database every name was written with its own, and means the same in any.
        let database = key.state.database.as_ref().filter(|then| now.database.as_ref() != Some(then));
        if let Some(database) = database
            && let Err(error) = self.run(Command::InitDb(database), Expect::One).await?
        {
            return Ok(Err(error));
        }
        let mut prepared = Ok(0);
        for step in [Some(&towards), None, Some(&back)] {
            let done = match step {
                Some(sql) if sql.is_empty() => Ok(()),
                Some(sql) => self.run(Command::Query(sql), Expect::Results).await?,
                None => {
                    prepared = self.statement(key).await?;
                    // Whether or not it could be prepared, the session goes back to where it was.
                    Ok(())
                }
            };
            if let Err(error) = done {
                return Ok(Err(error));
            }
        }
        if let (Some(_), Some(database)) = (database, &now.database)
            && let Err(error) = self.run(Command::InitDb(database), Expect::One).await?
        {
            return Ok(Err(error));
        }
        self.state = now;
        Ok(prepared)
    }

    /// The statement that gives the variables `names` the values of `state`, or those that a new session begins with.
    fn meaning_of(&self, state: &SessionState, names: &[&'static [u8]], begins: &[(&'static [u8], Vec<u8>)]) -> Vec<u8> {
        let begins = |name: &[u8]| begins.iter().find(|(known, _)| *known == name).map(|(_, value)| value);
        let value = |name: &'static [u8]| match state.variables.get(name) {
            Some(value) => Some(value),
            None if name == SQL_MODE => Some(&self.facts.sql_mode),
            // Of a character set that was set: its own.
            None if name == CHARSET[2] && state.variables.contains_key(CHARSET[1]) => None,
            None => begins(name),
        };
        let wanted = names.iter().filter_map(|name| Some((name.to_vec(), value(name)?.clone()))).collect();
        let wanted = SessionState { variables: wanted, ..SessionState::default() };
        SessionState::default().statement_towards(&wanted).unwrap_or_default()
    }

    /// The character set that a session of this connection began with, by the collation that its login named.
    async fn charset_of_login(&mut self) -> Result<Result<Vec<(&'static [u8], Vec<u8>)>, SqlError>, Lost> {
        let sql = format!("SELECT CHARACTER_SET_NAME, COLLATION_NAME FROM information_schema.COLLATIONS WHERE ID = {}", self.key.collation);
        let rows = match self.rows(&sql, 1).await? {
            Ok(rows) => rows,
            Err(error) => return Ok(Err(error)),
        };
        let [Some(charset), Some(collation)] = rows.into_iter().next().unwrap_or_default().try_into().unwrap_or([None, None]) else {
            return Ok(Ok(Vec::new()));
        };
        Ok(Ok(vec![
            (b"character_set_client", charset.clone().into_bytes()),
            (b"character_set_connection", charset.into_bytes()),
            (b"collation_connection", collation.into_bytes()),
        ]))
    }

    /// Notes a statement that a client has just prepared here. The server is told to forget the one it replaces.
    pub async fn remember(&mut self, key: StatementKey, id: u32) -> Result<(), Lost> {
        self.clock += 1;
        let mut closing = self.statements.insert(key, Known { id, used: self.clock });
        if self.statements.len() > STATEMENTS_PER_BACKEND {
            let oldest = self.statements.iter().min_by_key(|(_, known)| known.used).map(|(key, _)| key.clone());
            closing = oldest.and_then(|oldest| self.statements.remove(&oldest));
        }
        if let Some(known) = closing {
            self.send(Command::CloseStatement(known.id)).await?;
        }
        Ok(())
    }
}

// === helpers ===

/// Takes a connection into TLS, if that is wanted. Errors: a server without it: nobody may be talked into going on in the clear.
async fn encrypted(mut link: Link, target: &Target, greeting: &Greeting, login: &mut Login) -> Result<Link, Lost> {
    let Some(config) = &target.transport.tls else { return Ok(link) };
    let unable = |what: &'static str| Lost::Wire(pumasi_mysqlwire::WireError::Malformed(what));
    if !greeting.capabilities.contains(Capabilities::SSL) {
        return Err(unable("greeting, which offers no TLS though the configuration asks for it,"));
    }
    let name = ServerName::try_from(target.host.clone()).map_err(|_| unable("name, which no certificate can be for,"))?;
    login.capabilities = login.capabilities | Capabilities::SSL;
    link.packet(|out| put_tls_request(out, login.capabilities, login.max_packet, login.collation));
    link.flush().await?;
    link.connect_tls(config, name).await?;
    Ok(link)
}

fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// For either of the two plugins; none if what is known of the password is not enough.
fn proof(plugin: &str, user: &Identity, salt: &Salt) -> Option<Vec<u8>> {
    match &user.secret {
        Secret::Password(password) if plugin == CACHING_SHA2 => Some(auth::sha2_proof(password.as_bytes(), salt)),
        Secret::Password(password) => Some(auth::native_proof(password.as_bytes(), salt)),
        Secret::NativeKey(key) if plugin == NATIVE => Some(key.proof(salt).to_vec()),
        Secret::NativeKey(_) => None,
    }
}

fn needs_password(plugin: &str, user: &Identity) -> SqlError {
    let message = format!(
        "Pumasi cannot log in at the server with '{plugin}': of '{}' it knows only the hash for mysql_native_password (sql.users); \
         write the password there instead",
        user.name
    );
    SqlError::new(2059, "HY000", message)
}

fn unsupported_login(plugin: &str, what: &str) -> SqlError {
    SqlError::new(2059, "HY000", format!("Pumasi cannot log in at the server with '{plugin}': it does not know {what}"))
}

/// An error packet of the server as an error of ours, to be passed on. SQLSTATEs that no constant stands for become HY000; the number
/// decides what drivers raise.
pub fn owned(error: &ErrPacket<'_>) -> SqlError {
    const STATES: [&str; 14] =
        ["HY000", "42000", "42S02", "42S22", "28000", "08S01", "08004", "23000", "22001", "22007", "3D000", "40001", "70100", "42S01"];
    let state = STATES.into_iter().find(|state| state.as_bytes() == error.state).unwrap_or("HY000");
    SqlError::new(error.code, state, String::from_utf8_lossy(error.message))
}

#[cfg(test)]
mod tests;
