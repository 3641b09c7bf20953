//! A client whose user the configuration does not name: proves itself by what is remembered of that user, or to the server.

use std::time::Instant;

use pumasi_config::SqlPassword;
use pumasi_mysqlwire::{
    AuthStep, Capabilities, Login, SqlError,
    auth::{self, CACHING_SHA2, NATIVE, Salt},
};

use super::denied;
use crate::{
    front::{login::new_salt, registry::Entry, wire::Lost},
    identity::{Challenge, Identity, Secret},
    proxy::{
        Shared,
        backend::NoBackend,
        learned::{self, Asked},
        link::Link,
        nature::Nature,
        no_primary,
        route::{Choice, Errand},
        state::SessionState,
        target::Target,
    },
};

/// As [`super::prove`]. Whom the server lets in is remembered.
pub(super) async fn prove(
    shared: &Shared,
    link: &mut Link,
    login: &Login,
    first: Option<Salt>,
    entry: &Entry,
) -> Result<Result<Identity, SqlError>, Lost> {
    if !login.capabilities.contains(Capabilities::PLUGIN_AUTH) {
        return Ok(Err(SqlError::new(1251, "08004", "Client does not support authentication plugins")));
    }
    let wants_password = link.encrypted() && login.plugin == CACHING_SHA2;
    if let (Some(salt), Some(known), false) = (first, shared.learned.find(&login.user, Instant::now()), wants_password)
        && (login.plugin.is_empty() || login.plugin == NATIVE)
        && let Some(secret) = Secret::proven(&known, NATIVE, &login.auth_response, &Challenge::Salt(salt))
    {
        return Ok(Ok(Identity { name: login.user.clone(), secret }));
    }
    // Another password, or nothing is known: the server decides.
    let target = match primary(shared, &login.user) {
        Ok(target) => target,
        Err(error) => return Ok(Err(error)),
    };
    let _turn = shared.learned.turn().await;
    if wants_password {
        return by_password(shared, link, login, &target, entry).await;
    }
    let native = match learned::ask(&target, &login.user).await {
        Ok(Asked::Native(native)) => native,
        Ok(Asked::Refused(error)) => return Ok(Err(error)),
        Ok(Asked::Other(_)) if link.encrypted() => return by_password(shared, link, login, &target, entry).await,
        Ok(Asked::Other(plugin)) => return Ok(Err(leaves_nothing(&login.user, &plugin))),
        Err(error) => return Ok(Err(refusal(error))),
    };
    link.packet(|out| AuthStep::Switch { plugin: NATIVE, data: &native.salt.0 }.encode(out));
    link.flush().await?;
    let (proof, salt) = match link.receive().await {
        Ok(proof) => (proof, native.salt),
        Err(lost) => {
            native.abandon().await;
            return Err(lost);
        }
    };
    let proof = if proof == [0] { Vec::new() } else { proof };
    let password = match native.prove(&proof).await {
        Ok(Ok(Some(password))) => password,
        Ok(Ok(None)) => return Ok(Err(leaves_nothing(&login.user, NATIVE))),
        Ok(Err(error)) => return Ok(Err(error)),
        Err(lost) => {
            return Ok(Err(SqlError::new(1429, "HY000", format!("Unable to ask the database server for '{}': {lost}", login.user))));
        }
    };
    let Some(secret) = Secret::proven(&password, NATIVE, &proof, &Challenge::Salt(salt)) else {
        return Ok(Err(denied(&login.user, entry, &proof)));
    };
    shared.learned.remember(&login.user, password, Instant::now());
    Ok(Ok(Identity { name: login.user.clone(), secret }))
}

/// Asks the client for its password, over TLS, and logs in at the server with it.
async fn by_password(
    shared: &Shared,
    link: &mut Link,
    login: &Login,
    target: &Target,
    entry: &Entry,
) -> Result<Result<Identity, SqlError>, Lost> {
    let salt = new_salt().map_err(Lost::Io)?;
    link.packet(|out| AuthStep::Switch { plugin: CACHING_SHA2, data: &salt.0 }.encode(out));
    link.flush().await?;
    let proof = link.receive().await?;
    let known = shared.learned.find(&login.user, Instant::now());
    let known = known.and_then(|known| Secret::proven(&known, CACHING_SHA2, &proof, &Challenge::Salt(salt)));
    let identity = |secret| Identity { name: login.user.clone(), secret };
    if let Some(secret) = known {
        if !secret.is_empty() {
            link.packet(|out| AuthStep::More(&[auth::SHA2_FAST_OK]).encode(out));
        }
        return Ok(Ok(identity(secret)));
    }
    let password = if proof.is_empty() || proof == [0] {
        String::new()
    } else {
        link.packet(|out| AuthStep::More(&[auth::SHA2_FULL_AUTHENTICATION]).encode(out));
        link.flush().await?;
        let mut password = link.receive().await?;
        password.truncate(password.iter().position(|byte| *byte == 0).unwrap_or(password.len()));
        match String::from_utf8(password) {
            Ok(password) => password,
            Err(_) => return Ok(Err(denied(&login.user, entry, &proof))),
        }
    };
    if let Err(error) = learned::ask_by_password(target, &login.user, &password).await {
        return Ok(Err(refusal(error)));
    }
    shared.learned.remember(&login.user, SqlPassword::Plain(password.clone()), Instant::now());
    Ok(Ok(identity(Secret::Password(password))))
}

/// Who decides about users.
fn primary(shared: &Shared, user: &str) -> Result<Target, SqlError> {
    let state = SessionState::default();
    let errand = Errand { sql: b"", nature: Nature::default(), user, state: &state, fenced: false };
    match shared.route.choose(&errand) {
        Choice::Server(server) => Ok(server.target.clone()),
        Choice::Refuse(error) => Err(error),
        Choice::Wait(_) => Err(no_primary()),
    }
}

fn refusal(error: NoBackend) -> SqlError {
    match error {
        NoBackend::Refused(error) => error,
        unreachable => SqlError::new(1429, "HY000", format!("Unable to connect to the database server: {unreachable}")),
    }
}

fn leaves_nothing(user: &str, what: &str) -> SqlError {
    let message = format!(
        "Pumasi cannot log in at the server as '{user}' later by what a login with '{what}' shows it. Connect with TLS, or add the user to sql.users"
    );
    SqlError::new(1251, "08004", message)
}
