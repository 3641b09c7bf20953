//! Who a client has proven to be, and what proves the same at a server.

use pumasi_config::{SqlPassword, SqlUser};
use std::io;

use pumasi_mysqlwire::auth::{self, CACHING_SHA2, ED25519, NATIVE, NativeKey, Salt};

use crate::front::login::{new_salt, random};

/// As whom to log in at a server.
#[derive(Clone, Debug)]
pub struct Identity {
    pub name: String,
    pub secret: Secret,
}

/// What is known of a password. Never shown.
#[derive(Clone)]
pub enum Secret {
    Password(String),
    /// What a client's own login has yielded. It answers `mysql_native_password` and nothing else.
    NativeKey(NativeKey),
}

/// What a client has to answer. Worth nothing a second time.
#[derive(Clone, Copy, Debug)]
pub enum Challenge {
    Salt(Salt),
    /// `client_ed25519`'s: bytes of any value.
    Nonce([u8; 32]),
}

impl Challenge {
    /// Errors: the operating system has no dice.
    pub fn of(plugin: &str) -> io::Result<Challenge> {
        if plugin != ED25519 {
            return new_salt().map(Challenge::Salt);
        }
        let mut nonce = [0; 32];
        for piece in nonce.chunks_mut(20) {
            piece.copy_from_slice(&random()?[..piece.len()]);
        }
        Ok(Challenge::Nonce(nonce))
    }

    pub fn bytes(&self) -> &[u8] {
        match self {
            Challenge::Salt(salt) => &salt.0,
            Challenge::Nonce(nonce) => nonce,
        }
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Secret {
    /// If `proof`, made for `plugin` and `challenge`, shows knowledge of `password`.
    pub fn proven(password: &SqlPassword, plugin: &str, proof: &[u8], challenge: &Challenge) -> Option<Secret> {
        match (password, challenge) {
            (SqlPassword::Plain(password), Challenge::Salt(salt)) => {
                auth::proves(plugin, proof, password.as_bytes(), salt).then(|| Secret::Password(password.clone()))
            }
            (SqlPassword::Plain(password), Challenge::Nonce(nonce)) => {
                auth::ed25519_proves(proof, password.as_bytes(), nonce).then(|| Secret::Password(password.clone()))
            }
            (SqlPassword::NativeHash(hash), Challenge::Salt(salt)) if plugin == NATIVE => {
                NativeKey::proven(proof, hash, salt).map(Secret::NativeKey)
            }
            (SqlPassword::Ed25519Key { key, at_server }, Challenge::Nonce(nonce)) => {
                auth::ed25519_proves_by(proof, key, nonce).then(|| Secret::Password(at_server.clone().unwrap_or_default()))
            }
            (SqlPassword::NativeHash(_) | SqlPassword::Ed25519Key { .. }, _) => None,
        }
    }

    pub fn is_empty(&self) -> bool {
        matches!(self, Secret::Password(password) if password.is_empty())
    }
}

impl Identity {
    pub fn new(name: &str, password: &str) -> Identity {
        Identity { name: name.to_owned(), secret: Secret::Password(password.to_owned()) }
    }

    /// Whom the configuration alone lets us be: of a hash, nothing follows until its user comes.
    pub fn written(user: &SqlUser) -> Option<Identity> {
        match &user.password {
            SqlPassword::Plain(password) => Some(Identity::new(&user.name, password)),
            SqlPassword::Ed25519Key { at_server: Some(password), .. } => Some(Identity::new(&user.name, password)),
            SqlPassword::Ed25519Key { at_server: None, .. } | SqlPassword::NativeHash(_) => None,
        }
    }
}

/// What a client is asked to prove its password by, `wanted` being what it would rather use. A native hash checks native proofs only,
/// a public key only what was signed for it.
pub fn plugin_for(wanted: &str, password: Option<&SqlPassword>) -> &'static str {
    match password {
        Some(SqlPassword::NativeHash(_)) => NATIVE,
        Some(SqlPassword::Ed25519Key { .. }) => ED25519,
        _ if wanted == CACHING_SHA2 => CACHING_SHA2,
        _ if wanted == ED25519 => ED25519,
        _ => NATIVE,
    }
}
