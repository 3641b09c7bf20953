//! How a password is proven without being sent: `mysql_native_password`, `caching_sha2_password` and MariaDB's `client_ed25519`.
//!
//! Both sides of all three. Salts come in as random bytes; nothing here asks for dice.

use ed25519_dalek::{Signature, VerifyingKey, hazmat};
use sha1::{Digest, Sha1};
use sha2::{Sha256, Sha512};

pub const NATIVE: &str = "mysql_native_password";
pub const CACHING_SHA2: &str = "caching_sha2_password";
/// What MariaDB's server plugin `ed25519` calls its other side.
pub const ED25519: &str = "client_ed25519";

/// The length of a proof for `mysql_native_password`.
pub const NATIVE_PROOF_BYTES: usize = 20;

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
    NativeKey(Sha1::digest(password).into()).proof(salt).to_vec()
}

/// `SHA1(password)`: as good as the password wherever `mysql_native_password` is asked for.
#[derive(Clone, PartialEq, Eq)]
pub struct NativeKey([u8; 20]);

impl NativeKey {
    /// What the proof of a login was made with, if it shows knowledge of the password whose `SHA1(SHA1(password))` is `hash`. An empty proof
    /// shows nothing.
    pub fn proven(proof: &[u8], hash: &[u8; 20], salt: &Salt) -> Option<NativeKey> {
        let proof: [u8; 20] = proof.try_into().ok()?;
        let key = NativeKey(mixed(proof, hash, salt));
        same(&Sha1::digest(key.0), hash).then_some(key)
    }

    /// The client's proof for `mysql_native_password`.
    pub fn proof(&self, salt: &Salt) -> [u8; 20] {
        mixed(self.0, &Sha1::digest(self.0).into(), salt)
    }
}

impl std::fmt::Debug for NativeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// `bytes ^ SHA1(salt, hash)`: from the key to the proof, and back.
fn mixed(bytes: [u8; 20], hash: &[u8; 20], salt: &Salt) -> [u8; 20] {
    let mask: [u8; 20] = Sha1::new().chain_update(salt.0).chain_update(hash).finalize().into();
    std::array::from_fn(|i| bytes[i] ^ mask[i])
}

/// The client's proof for `client_ed25519`: `nonce` signed as RFC 8032 does (section 5.1.6), but with `SHA512(password)` for the hash of the
/// private key, which has 32 bytes there and any number here.
pub fn ed25519_proof(password: &[u8], nonce: &[u8; 32]) -> [u8; 64] {
    let key = ed25519_key(password);
    hazmat::raw_sign::<Sha512>(&key, nonce, &VerifyingKey::from(&key)).to_bytes()
}

/// Whether `proof` is [`ed25519_proof`]'s signature of `nonce`, by the public key that follows from `password` (RFC 8032, section 5.1.7).
pub fn ed25519_proves(proof: &[u8], password: &[u8], nonce: &[u8; 32]) -> bool {
    let Ok(signature) = Signature::from_slice(proof) else { return false };
    VerifyingKey::from(&ed25519_key(password)).verify_strict(nonce, &signature).is_ok()
}

/// As [`ed25519_proves`], by the public key itself: what MariaDB's `mysql.global_priv` keeps of such a password.
pub fn ed25519_proves_by(proof: &[u8], public_key: &[u8; 32], nonce: &[u8; 32]) -> bool {
    let (Ok(signature), Ok(key)) = (Signature::from_slice(proof), VerifyingKey::from_bytes(public_key)) else { return false };
    key.verify_strict(nonce, &signature).is_ok()
}

/// The public key that follows from a password: what `SELECT ed25519_password('...')` prints, decoded.
pub fn ed25519_public_key(password: &[u8]) -> [u8; 32] {
    VerifyingKey::from(&ed25519_key(password)).to_bytes()
}

fn ed25519_key(password: &[u8]) -> hazmat::ExpandedSecretKey {
    hazmat::ExpandedSecretKey::from_bytes(&Sha512::digest(password).into())
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
