//! Users that the configuration does not name: the server itself is asked who they are, and what their login showed is remembered for a while.
//!
//! A login can be passed through only if it leaves behind what a pool can log in with later: a proof is worth nothing a second time.
//!
//! | account of the server | client without TLS | client with TLS |
//! |---|---|---|
//! | `mysql_native_password` | the client answers the server's own challenge; with the account's hash, which the server shows its user, the answer yields `SHA1(password)` | the same |
//! | any other | refused: a signature or a SHA-256 proof yields nothing | the client is asked for the password itself (`caching_sha2_password`'s full way), and Pumasi logs in with it |
//!
//! **Invariant:** nobody is let in by what is remembered unless the server let them in by the same password at most [`LEARNED_FOR`] ago.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use pumasi_config::SqlPassword;
use pumasi_mysqlwire::{
    AuthStep, ErrPacket, Login, SqlError,
    auth::{self, NATIVE, NativeKey, Salt},
};
use tokio::sync::Semaphore;

use super::{
    backend::{Backend, Key, NoBackend, owned},
    target::Target,
};
use crate::{front::wire::Lost, identity::Identity};

/// How long a login may rest on what the server said of an earlier one: for so long an account that was locked, or whose password was changed past
/// Pumasi, still logs in with the old one. A change through Pumasi is known at once.
const LEARNED_FOR: Duration = Duration::from_secs(60);

/// Logins that the server is asked about at the same time, each by a connection beside the pool; the others wait.
const ASKING_MAX: usize = 8;

/// How long a server is given to refuse a login whose client has gone. It counts a connection that breaks in the middle of a login against our address,
/// and blocks the address in the end (`max_connect_errors`).
const ABANDON_TIMEOUT: Duration = Duration::from_secs(1);

/// No server has a plugin of this name, so the answer is which one the account has, with its challenge.
const NO_PLUGIN: &str = "pumasi_asks";

/// Accounts with their passwords' traces. Never shown.
pub struct Learned {
    /// 0: nobody is asked about.
    max: usize,
    known: Mutex<HashMap<String, (SqlPassword, Instant)>>,
    asking: Semaphore,
}

impl Learned {
    pub fn new(max: usize) -> Learned {
        Learned { max, known: Mutex::default(), asking: Semaphore::new(ASKING_MAX) }
    }

    pub fn on(&self) -> bool {
        self.max > 0
    }

    /// What is remembered of a user, if it still counts.
    pub fn find(&self, user: &str, now: Instant) -> Option<SqlPassword> {
        let known = self.known();
        let (password, since) = known.get(user)?;
        (now.saturating_duration_since(*since) < LEARNED_FOR).then(|| password.clone())
    }

    /// The server has just let `user` in by this. Whoever was remembered first makes room.
    pub fn remember(&self, user: &str, password: SqlPassword, now: Instant) {
        let mut known = self.known();
        if known.len() >= self.max && !known.contains_key(user) {
            let oldest = known.iter().min_by_key(|(_, (_, since))| *since).map(|(name, _)| name.clone());
            oldest.and_then(|oldest| known.remove(&oldest));
        }
        known.insert(user.to_owned(), (password, now));
    }

    /// The server has refused a login by what is remembered.
    pub fn forget(&self, user: &str) {
        self.known().remove(user);
    }

    /// Accounts or rights have changed.
    pub fn forget_all(&self) {
        self.known().clear();
    }

    /// A turn to ask the server; one of [`ASKING_MAX`].
    pub async fn turn(&self) -> tokio::sync::SemaphorePermit<'_> {
        self.asking.acquire().await.expect("the semaphore is never closed")
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, (SqlPassword, Instant)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the server says to a user's name.
pub enum Asked {
    /// It has a challenge for `mysql_native_password`.
    Native(Box<Native>),
    /// Its plugin's proofs yield nothing.
    Other(String),
    Refused(SqlError),
}

/// A login in the middle of which the server waits for a proof.
pub struct Native {
    pub salt: Salt,
    backend: Backend,
}

/// Begins a login as `user` with no proof at all.
pub async fn ask(target: &Target, user: &str) -> Result<Asked, NoBackend> {
    let unreachable = |error| NoBackend::Unreachable { address: target.address(), error };
    let (mut backend, _, login) = Backend::greeted(target, &Arc::new(Key::plain(user))).await?;
    let asking = async {
        let login = Login { user: user.to_owned(), plugin: NO_PLUGIN.to_owned(), ..login };
        backend.link.packet(|out| login.encode(out));
        backend.link.flush().await?;
        let payload = backend.link.receive().await?;
        Ok(match AuthStep::decode(&payload)? {
            AuthStep::Refused => Asked::Refused(owned(&ErrPacket::decode(&payload)?)),
            AuthStep::Switch { plugin: NATIVE, data } => match data.try_into() {
                Ok(salt) => Asked::Native(Box::new(Native { salt: Salt(salt), backend })),
                Err(_) => Asked::Other(NATIVE.to_owned()),
            },
            AuthStep::Switch { plugin, .. } => {
                let plugin = plugin.to_owned();
                abandon(backend).await;
                Asked::Other(plugin)
            }
            // Who lets in whoever gives the name is not asked for a password by us either, and yields none.
            AuthStep::Accepted => Asked::Other("an account without any proof".to_owned()),
            AuthStep::More(_) => {
                return Err(Lost::Wire(pumasi_mysqlwire::WireError::Malformed("login, which has more before it has begun,")));
            }
        })
    };
    asking.await.map_err(unreachable)
}

impl Native {
    /// Passes the client's proof on. `Ok(None)`: the server lets the user in, and yet what would be needed later cannot be known.
    pub async fn prove(mut self, proof: &[u8]) -> Result<Result<Option<SqlPassword>, SqlError>, Lost> {
        self.backend.link.packet(|out| out.extend_from_slice(proof));
        self.backend.link.flush().await?;
        let payload = self.backend.link.receive().await?;
        match AuthStep::decode(&payload)? {
            AuthStep::Accepted => {}
            AuthStep::Refused => return Ok(Err(owned(&ErrPacket::decode(&payload)?))),
            AuthStep::Switch { .. } => {
                abandon(self.backend).await;
                return Ok(Ok(None));
            }
            AuthStep::More(_) => return Err(Lost::Wire(pumasi_mysqlwire::WireError::Malformed("login, which goes on after its proof,"))),
        }
        if proof.is_empty() {
            return Ok(Ok(Some(SqlPassword::Plain(String::new()))));
        }
        // Everybody may see their own account.
        let Ok(rows) = self.backend.rows("SHOW CREATE USER CURRENT_USER()", 1).await? else { return Ok(Ok(None)) };
        let shown = rows.into_iter().flatten().flatten().next().unwrap_or_default();
        let hash = hashes(&shown).find(|hash| NativeKey::proven(proof, hash, &self.salt).is_some());
        Ok(Ok(hash.map(SqlPassword::NativeHash)))
    }

    /// The client is not there any more.
    pub async fn abandon(self) {
        abandon(self.backend).await;
    }
}

/// As whom the server lets `user` in with `password`, whichever plugin it wants. Errors: the server's refusal.
pub async fn ask_by_password(target: &Target, user: &str, password: &str) -> Result<(), NoBackend> {
    let identity = Identity::new(user, password);
    Backend::connect(target, &Arc::new(Key::plain(user)), &identity).await.map(drop)
}

// === helpers ===

/// Ends a login by a proof that cannot be right, so that the server refuses it instead of missing its end.
async fn abandon(mut backend: Backend) {
    let refused = async {
        backend.link.packet(|out| out.extend_from_slice(&[0; auth::NATIVE_PROOF_BYTES]));
        backend.link.flush().await?;
        backend.link.receive().await
    };
    let _ = tokio::time::timeout(ABANDON_TIMEOUT, refused).await;
}

/// What looks like a hash of `mysql_native_password`: `*` and 40 hexadecimal digits.
fn hashes(text: &str) -> impl Iterator<Item = [u8; 20]> {
    text.match_indices('*').filter_map(|(at, _)| {
        let digits = text.get(at + 1..at + 41)?;
        let mut hash = [0; 20];
        for (byte, pair) in hash.iter_mut().zip(0..) {
            let pair = digits.get(2 * pair..2 * pair + 2)?;
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        Some(hash)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded_in_number_and_time() {
        let learned = Learned::new(2);
        let now = Instant::now();
        let second = Duration::from_secs(1);
        for (name, at) in [("ann", 0), ("ben", 1), ("ann", 2), ("carl", 3)] {
            learned.remember(name, "secret".into(), now + at * second);
        }
        let at = |name: &str, at| learned.find(name, now + at * second).is_some();
        assert_eq!((at("ann", 3), at("ben", 3), at("carl", 3)), (true, false, true), "the oldest made room");
        assert!(at("ann", 61) && !at("ann", 62), "and the server is asked anew in time");
        learned.forget("ann");
        assert_eq!((at("ann", 3), at("carl", 3)), (false, true));
        learned.forget_all();
        assert!(!at("carl", 3));
    }

    #[test]
    fn hashes_are_found_in_what_a_server_shows_of_an_account() {
        let shown = "CREATE USER `ann`@`%` IDENTIFIED VIA ed25519 USING 'ZIgUREUg5PVgQ6LskhXmO+eZLS0nC8be6HPjYWR4YJY' OR mysql_native_password \
                     USING '*14E65567ABDB5135D0CFD9A70B3032C179A49EE7'";
        assert_eq!(hashes(shown).map(|hash| (hash[0], hash[19])).collect::<Vec<_>>(), [(0x14, 0xe7)]);
        assert_eq!(hashes("GRANT USAGE ON *.* TO `ann`@`%` é*é").count(), 0);
    }
}
