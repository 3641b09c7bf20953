//! From the greeting to the first OK, and COM_CHANGE_USER: who the client is.
mod stranger;

use pumasi_mysqlwire::{
    AuthStep, Capabilities, ErrorPhase, FirstPacket, Greeting, Login, ServerStatus, SqlError,
    auth::{self, CACHING_SHA2, NATIVE, Salt},
    decode_change_user,
};

use super::{
    super::{
        Shared,
        link::{Link, in_time},
        nature::Nature,
        pool::Pools,
        state::SessionState,
    },
    Client, Flow, Hold, InsertId, Last, Relayed, Trouble, key_of, lost_connection,
};
use crate::{
    cluster::Writes,
    front::{
        LOGIN_TIMEOUT,
        login::{OFFERED, new_salt},
        registry::Entry,
        wire::Lost,
    },
    identity::{Challenge, Identity, Secret, plugin_for},
};

/// What the client may use of the protocol: what a server behind the proxy answers with the same bytes.
pub(super) const PASSED_ON: Capabilities =
    Capabilities(OFFERED.0 | Capabilities::LOCAL_FILES.0 | Capabilities::COMPRESS.0 | Capabilities::MARIADB_EXTENDED_METADATA.0);

/// A client that has proven itself.
pub(super) struct Opened {
    pub(super) login: Login,
    pub(super) capabilities: Capabilities,
    pub(super) user: Identity,
    /// What the server offers.
    pub(super) server: Capabilities,
    /// What a new session of the server's has.
    pub(super) sql_mode: Vec<u8>,
}

/// Attempts to become somebody else that a connection may lose before COM_CHANGE_USER is refused unseen: passwords are not to be tried out
/// faster than by connecting. MariaDB's own number.
const CHANGES_REFUSED_MAX: u8 = 3;

/// What a client is refused with, and when.
pub(super) type Refusal = (SqlError, ErrorPhase);

pub(super) async fn welcome(shared: &Shared, pools: &Pools, link: &mut Link, entry: &Entry) -> Result<Result<Opened, Refusal>, Lost> {
    let facts = match shared.facts(pools).await {
        Ok(facts) => facts,
        Err(error) => return Ok(Err((error, ErrorPhase::BeforeGreeting))),
    };
    let salt = new_salt().map_err(Lost::Io)?;
    let offered = PASSED_ON & (facts.capabilities | Capabilities::COMPRESS | Capabilities::PLUGIN_AUTH_LENENC);
    let tls = if shared.options.tls.is_some() { Capabilities::SSL } else { Capabilities::default() };
    let greeting = Greeting {
        version: facts.version,
        connection_id: entry.id,
        capabilities: offered | tls,
        collation: facts.collation,
        status: ServerStatus::AUTOCOMMIT,
        salt,
        plugin: NATIVE.to_owned(),
    };
    link.packet(|out| greeting.encode(out));
    link.flush().await?;
    let mut first = FirstPacket::decode(&link.receive_alone().await?)?;
    if let (FirstPacket::TlsRequest(_), Some(tls)) = (&first, &shared.options.tls) {
        link.accept_tls(tls).await?;
        first = FirstPacket::decode(&link.receive().await?)?;
    }
    let refused = |code, message: &str| Ok(Err((SqlError::new(code, "HY000", message), ErrorPhase::AfterGreeting)));
    let login = match first {
        FirstPacket::Login(login) => login,
        FirstPacket::TlsRequest(_) => return refused(1043, "Bad handshake: TLS is not offered here"),
    };
    if shared.options.tls_required && !link.encrypted() {
        return refused(3159, "Connections using insecure transport are prohibited here (sql.tls_required)");
    }
    let user = match prove(shared, link, &login, Some(salt), entry).await? {
        Ok(user) => user,
        Err(error) => return Ok(Err((error, ErrorPhase::AfterGreeting))),
    };
    let capabilities = login.capabilities & offered;
    Ok(Ok(Opened { login, capabilities, user, server: facts.capabilities, sql_mode: facts.sql_mode }))
}

/// As the front's login: native, or what a client names whose password is known. `first`: the salt that
/// the login's proof was made with; none if it has been used before. Returns whom to be at the server.
async fn prove(
    shared: &Shared,
    link: &mut Link,
    login: &Login,
    first: Option<Salt>,
    entry: &Entry,
) -> Result<Result<Identity, SqlError>, Lost> {
    let password = shared.settings.password_of(&login.user);
    if password.is_none() && shared.learned.on() {
        return Box::pin(stranger::prove(shared, link, login, first, entry)).await;
    }
    let plugins = login.capabilities.contains(Capabilities::PLUGIN_AUTH);
    let native = (login.plugin.is_empty() || login.plugin == NATIVE || !plugins) && plugin_for(NATIVE, password) == NATIVE;
    let (plugin, challenge, proof) = match first {
        Some(salt) if native => (NATIVE, Challenge::Salt(salt), login.auth_response.clone()),
        _ if !plugins => return Ok(Err(SqlError::new(1251, "08004", "Client does not support authentication plugins"))),
        _ => {
            let plugin = plugin_for(&login.plugin, password);
            let challenge = Challenge::of(plugin).map_err(Lost::Io)?;
            link.packet(|out| AuthStep::Switch { plugin, data: challenge.bytes() }.encode(out));
            link.flush().await?;
            (plugin, challenge, link.receive().await?)
        }
    };
    let Some(secret) = password.and_then(|password| Secret::proven(password, plugin, &proof, &challenge)) else {
        return Ok(Err(denied(&login.user, entry, &proof)));
    };
    if plugin == CACHING_SHA2 && !secret.is_empty() {
        link.packet(|out| AuthStep::More(&[auth::SHA2_FAST_OK]).encode(out));
    }
    Ok(Ok(Identity { name: login.user.clone(), secret }))
}

/// `proof`: what the client sent for its password.
fn denied(user: &str, entry: &Entry, proof: &[u8]) -> SqlError {
    let with = if proof.is_empty() || proof == [0] { "NO" } else { "YES" };
    let host = entry.peer.ip().to_canonical();
    SqlError::new(1045, "28000", format!("Access denied for user '{user}'@'{host}' (using password: {with})"))
}

impl Client {
    /// The login is only good if its database is: asks the server, as a server would itself.
    pub(super) async fn enter(&mut self) -> Result<(), SqlError> {
        if self.state.database.is_some() {
            match self.acquire(b"", Nature::default()).await {
                Ok(()) => self.settle(&Relayed::default()),
                Err(Trouble::Refused(error)) => return Err(error),
                Err(Trouble::Client(lost) | Trouble::Backend(lost)) => return Err(lost_connection(&lost, false)),
            }
        }
        self.put_ok();
        Ok(())
    }

    pub(super) async fn change_user(&mut self, payload: &[u8]) -> Result<Flow, Trouble> {
        if self.changes_refused >= CHANGES_REFUSED_MAX {
            return Err(SqlError::new(1047, "08S01", "Unknown command").into());
        }
        let login = decode_change_user(payload, self.capabilities).map_err(SqlError::from)?;
        let proven = in_time(LOGIN_TIMEOUT, prove(&self.shared, &mut self.link, &login, None, &self.place.entry)).await;
        let user = match proven.map_err(Trouble::Client)? {
            Ok(user) => user,
            Err(error) => {
                // It stays who it was, as at a server of MariaDB's.
                self.changes_refused += 1;
                return Err(error.into());
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
        self.key = key_of(&user, self.capabilities, self.collation, self.server, self.shared.era());
        self.user = user;
        self.forget_statements();
        self.hold = Hold::default();
        self.last = Last::default();
        self.insert_id = InsertId::default();
        self.writes = Writes::default();
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
}
