//! How a password is proven without being sent: `mysql_native_password` and `caching_sha2_password`.
//!
//! Both sides of each. Salts come in as random bytes; nothing here asks for dice.

use sha1::{Digest, Sha1};
use sha2::Sha256;

pub const NATIVE: &str = "mysql_native_password";
pub const CACHING_SHA2: &str = "caching_sha2_password";

/// Follows `caching_sha2_password`'s 0x01: the server knew the password's hash, an OK comes next.
pub const SHA2_FAST_OK: u8 = 3;
/// The server does not know the hash: send the password, over TLS in clear, else encrypted with the server's key.
pub const SHA2_FULL_AUTHENTICATION: u8 = 4;
/// The client asks for the server's RSA key.
pub const SHA2_REQUEST_KEY: u8 = 2;

/// What the server mixes into the proof so that it is worth nothing a second time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Salt(pub [u8; 20]);

impl Salt {
    /// Salts travel in strings that end with a zero, and old clients read them as text: bytes 1 to 127, without `$`,
    /// which separates the fields of a stored hash.
    pub fn from_random(random: [u8; 20]) -> Salt {
        Salt(random.map(|byte| match byte & 0x7f {
            0 | b'$' => b'x',
            other => other,
        }))
    }
}

/// The client's proof for `mysql_native_password`: `SHA1(pw) ^ SHA1(salt, SHA1(SHA1(pw)))`; nothing for an empty password.
pub fn native_proof(password: &[u8], salt: &Salt) -> Vec<u8> {
    if password.is_empty() {
        return Vec::new();
    }
    let once = Sha1::digest(password);
    let twice = Sha1::digest(once);
    let mixed = Sha1::new().chain_update(salt.0).chain_update(twice).finalize();
    once.iter().zip(mixed).map(|(a, b)| a ^ b).collect()
}

/// The client's proof for `caching_sha2_password`: `SHA256(pw) ^ SHA256(SHA256(SHA256(pw)), salt)`; nothing for an empty password.
pub fn sha2_proof(password: &[u8], salt: &Salt) -> Vec<u8> {
    if password.is_empty() {
        return Vec::new();
    }
    let once = Sha256::digest(password);
    let twice = Sha256::digest(once);
    let mixed = Sha256::new().chain_update(twice).chain_update(salt.0).finalize();
    once.iter().zip(mixed).map(|(a, b)| a ^ b).collect()
}

/// Whether `proof` shows knowledge of `password` for `plugin`. A plugin that is neither of the two proves nothing.
pub fn proves(plugin: &str, proof: &[u8], password: &[u8], salt: &Salt) -> bool {
    let expected = match plugin {
        NATIVE => native_proof(password, salt),
        CACHING_SHA2 => sha2_proof(password, salt),
        _ => return false,
    };
    // Some clients prove an empty password with a single zero byte.
    let proof = if proof == [0] { &[] } else { proof };
    same(&expected, proof)
}

/// Equality whose duration tells nothing of where the two differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && std::hint::black_box(a.iter().zip(b).fold(0, |differing, (a, b)| differing | (a ^ b))) == 0
}

#[cfg(test)]
mod tests;
