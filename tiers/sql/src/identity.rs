//! Who a client has proven to be, and what proves the same at a server.

use pumasi_config::{SqlPassword, SqlUser};
use pumasi_mysqlwire::auth::{self, CACHING_SHA2, NATIVE, NativeKey, Salt};

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

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Secret {
    /// If `proof`, made for `plugin` and `salt`, shows knowledge of `password`.
    pub fn proven(password: &SqlPassword, plugin: &str, proof: &[u8], salt: &Salt) -> Option<Secret> {
        match password {
            SqlPassword::Plain(password) => {
                auth::proves(plugin, proof, password.as_bytes(), salt).then(|| Secret::Password(password.clone()))
            }
            SqlPassword::NativeHash(hash) if plugin == NATIVE => NativeKey::proven(proof, hash, salt).map(Secret::NativeKey),
            SqlPassword::NativeHash(_) => None,
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
            SqlPassword::NativeHash(_) => None,
        }
    }
}

/// What a client is asked to prove its password by, `wanted` being what it would rather use. A native hash checks native proofs only.
pub fn plugin_for(wanted: &str, password: Option<&SqlPassword>) -> &'static str {
    match password {
        Some(SqlPassword::NativeHash(_)) => NATIVE,
        _ if wanted == CACHING_SHA2 => CACHING_SHA2,
        _ => NATIVE,
    }
}
