//! From the greeting to the first OK: who is it, and may they.
//!
//! The greeting offers `mysql_native_password`, which every driver has. A client that would rather use `caching_sha2_password` names it in
//! its login and is switched to it: so do MySQL's own clients from 9.0 on, which have lost the other. Where only the native hash of the
//! password is known, everybody is switched to the first.

use std::{
    io,
    net::TcpStream,
    sync::Arc,
    time::{Duration, Instant},
};

use pumasi_freshness::Witness;
use pumasi_mysqlwire::{
    AuthStep, Capabilities, FirstPacket, Greeting, Login, ServerStatus, SqlError, WireError,
    auth::{self, CACHING_SHA2, NATIVE, Salt},
};

use super::{
    IDLE_TIMEOUT, LOGIN_TIMEOUT, PACKET_MAX, SERVER_VERSION, Shared, WRITE_TIMEOUT,
    registry::Entry,
    session::Session,
    wire::{Lost, Wire},
};
use crate::{
    engine::{Client, Engine, EngineSession},
    identity::{Challenge, Secret, plugin_for},
};

/// utf8mb4_general_ci: what the greeting names as the server's collation. It has one byte for it, too few for MySQL 8's own default (255
/// fits, but older drivers do not know it).
pub(crate) const GREETING_COLLATION: u8 = 45;

/// The longest login: names, a proof and a full set of connection attributes.
pub(crate) const LOGIN_BYTES_MAX: usize = 128 * 1024;

/// What this server can do, whoever asks.
pub const OFFERED: Capabilities = Capabilities(
    Capabilities::LONG_PASSWORD.0
        | Capabilities::FOUND_ROWS.0
        | Capabilities::LONG_FLAG.0
        | Capabilities::CONNECT_WITH_DB.0
        | Capabilities::IGNORE_SPACE.0
        | Capabilities::PROTOCOL_41.0
        | Capabilities::INTERACTIVE.0
        | Capabilities::IGNORE_SIGPIPE.0
        | Capabilities::TRANSACTIONS.0
        | Capabilities::RESERVED.0
        | Capabilities::SECURE_CONNECTION.0
        | Capabilities::MULTI_STATEMENTS.0
        | Capabilities::MULTI_RESULTS.0
        | Capabilities::PS_MULTI_RESULTS.0
        | Capabilities::PLUGIN_AUTH.0
        | Capabilities::CONNECT_ATTRS.0
        | Capabilities::PLUGIN_AUTH_LENENC.0
        | Capabilities::SESSION_TRACK.0
        | Capabilities::DEPRECATE_EOF.0,
);

/// Why there is no session. The client was told, if it was there to be told.
#[derive(Debug, thiserror::Error)]
pub enum NoLogin {
    #[error(transparent)]
    Lost(#[from] Lost),
    #[error(transparent)]
    Refused(#[from] SqlError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Greets, lets the client prove itself, opens the engine's session and says OK.
pub fn welcome<'s, E: Engine>(
    shared: &'s Shared<E>,
    entry: &'s Entry,
    stream: Arc<TcpStream>,
    witness: Option<Arc<Witness>>,
) -> Result<Session<'s, E>, NoLogin> {
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    let mut wire = Wire::new(stream.clone(), LOGIN_BYTES_MAX);
    match greet(shared, entry, &mut wire, witness) {
        Ok(session) => {
            stream.set_read_timeout(Some(IDLE_TIMEOUT))?;
            wire.inbox.limit(PACKET_MAX);
            Ok(session.over(wire))
        }
        Err(refusal) => {
            let told = match &refusal {
                NoLogin::Refused(error) => Some(error.clone()),
                NoLogin::Lost(Lost::Wire(_)) => Some(SqlError::new(1043, "08S01", "Bad handshake")),
                NoLogin::Lost(_) | NoLogin::Io(_) => None,
            };
            if let Some(error) = told {
                wire.out.error(&error);
                wire.out.flush()?;
            }
            Err(refusal)
        }
    }
}

/// A session that has its OK in the outbox and waits for its wire.
pub struct Opened<'s, E: Engine> {
    shared: &'s Shared<E>,
    entry: &'s Entry,
    capabilities: Capabilities,
    engine: E::Session,
    witness: Option<Arc<Witness>>,
}

impl<'s, E: Engine> Opened<'s, E> {
    fn over(self, wire: Wire) -> Session<'s, E> {
        Session::new(self.shared, self.entry, wire, self.capabilities, self.engine, self.witness)
    }
}

fn greet<'s, E: Engine>(
    shared: &'s Shared<E>,
    entry: &'s Entry,
    wire: &mut Wire,
    witness: Option<Arc<Witness>>,
) -> Result<Opened<'s, E>, NoLogin> {
    let salt = new_salt()?;
    let greeting = Greeting {
        version: SERVER_VERSION.to_owned(),
        connection_id: entry.id,
        capabilities: OFFERED,
        collation: GREETING_COLLATION,
        status: ServerStatus::AUTOCOMMIT,
        salt,
        plugin: NATIVE.to_owned(),
    };
    wire.out.packet(|out| greeting.encode(out));
    wire.out.flush()?;
    let deadline = Instant::now() + LOGIN_TIMEOUT;
    let login = match FirstPacket::decode(wire.receive_by(deadline)?).map_err(Lost::Wire)? {
        FirstPacket::Login(login) => login,
        // Not offered, so a client that insists is told what it would find out anyway.
        FirstPacket::TlsRequest(_) => return Err(SqlError::new(2026, "HY000", "SSL connection error: this server has no TLS").into()),
    };
    prove(shared, entry, wire, &login, FirstProof::For(salt), deadline)?;
    let capabilities = login.capabilities & OFFERED;
    let engine = open_engine(shared, entry, &login, capabilities, witness.clone())?;
    Ok(Opened { shared, entry, capabilities, engine, witness })
}

/// Opens the engine's session for a client that has proven itself.
pub fn open_engine<E: Engine>(
    shared: &Shared<E>,
    entry: &Entry,
    login: &Login,
    capabilities: Capabilities,
    witness: Option<Arc<Witness>>,
) -> Result<E::Session, SqlError> {
    let host = entry.peer.ip().to_canonical();
    // MySQL resolves loopback to its name, and applications compare USER() with it.
    let host = if host.is_loopback() { "localhost".to_owned() } else { host.to_string() };
    let engine = shared.engine.open(Client {
        user: &login.user,
        host: &host,
        database: login.database.as_deref(),
        connection_id: entry.id,
        found_rows: capabilities.contains(Capabilities::FOUND_ROWS),
        witness,
    })?;
    entry.opened(&login.user, engine.database(), engine.interrupter());
    Ok(engine)
}

/// What the proof inside a login is worth.
#[derive(Clone, Copy)]
pub enum FirstProof {
    /// It was made with this salt, which nobody has seen before.
    For(Salt),
    /// Nothing: its salt has been used before (COM_CHANGE_USER). The client is asked again.
    Stale,
}

/// Lets the client prove that it is `login.user`. Errors: 1045 for a wrong password and an unknown user alike.
pub fn prove<E: Engine>(
    shared: &Shared<E>,
    entry: &Entry,
    wire: &mut Wire,
    login: &Login,
    first: FirstProof,
    deadline: Instant,
) -> Result<(), NoLogin> {
    let password = shared.password_of(&login.user);
    let plugins = login.capabilities.contains(Capabilities::PLUGIN_AUTH);
    let native = (login.plugin.is_empty() || login.plugin == NATIVE || !plugins) && plugin_for(NATIVE, password) == NATIVE;
    let (plugin, challenge, proof) = match first {
        FirstProof::For(salt) if native => (NATIVE, Challenge::Salt(salt), login.auth_response.clone()),
        _ if !plugins => return Err(SqlError::new(1251, "08004", "Client does not support authentication plugins").into()),
        _ => {
            let plugin = plugin_for(&login.plugin, password);
            let challenge = Challenge::of(plugin)?;
            wire.out.packet(|out| AuthStep::Switch { plugin, data: challenge.bytes() }.encode(out));
            wire.out.flush()?;
            (plugin, challenge, wire.receive_by(deadline)?.to_vec())
        }
    };
    let Some(secret) = password.and_then(|password| Secret::proven(password, plugin, &proof, &challenge)) else {
        shared.logins_refused.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let with = if proof.is_empty() || proof == [0] { "NO" } else { "YES" };
        let message = format!("Access denied for user '{}'@'{}' (using password: {with})", login.user, entry.peer.ip().to_canonical());
        return Err(SqlError::new(1045, "28000", message).into());
    };
    if plugin == CACHING_SHA2 && !secret.is_empty() {
        wire.out.packet(|out| AuthStep::More(&[auth::SHA2_FAST_OK]).encode(out));
    }
    Ok(())
}

/// Errors: the operating system has no dice (a system call filter).
pub(crate) fn new_salt() -> io::Result<Salt> {
    random().map(Salt::from_random)
}

/// From the operating system's dice.
pub(crate) fn random() -> io::Result<[u8; 20]> {
    let mut random = [0; 20];
    let mut filled = 0;
    while filled < random.len() {
        filled += rustix::rand::getrandom(&mut random[filled..], rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(random)
}

impl From<WireError> for NoLogin {
    fn from(error: WireError) -> NoLogin {
        NoLogin::Lost(Lost::Wire(error))
    }
}

/// How long COM_CHANGE_USER may take to answer.
pub fn change_deadline() -> Instant {
    Instant::now() + LOGIN_TIMEOUT
}

/// The read timeout of a session at work, to be set again after a login with a deadline.
pub const SESSION_TIMEOUT: Duration = IDLE_TIMEOUT;
