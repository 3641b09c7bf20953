//! The signed value of a cookie that keeps a client with one upstream.
//!
//! It says which member of which pool, and since when; nothing of it can be changed without the key (HMAC-SHA-256, RFC 2104), and the
//! signature is compared in constant time. What the client learns is a hash of the member's name.
//!
//! ```text
//! 96 hexadecimal digits:  member (8 bytes) | seconds since 1970 (8 bytes) | signature of both and the pool's name (32 bytes)
//! ```

use ring::hmac;

/// What values are signed with.
#[derive(Clone, Debug)]
pub struct Key(hmac::Key);

/// A value that was signed by us and is not too old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// As given to [`Key::issue`].
    pub member: u64,
    pub age_s: u64,
}

/// Bytes that are signed, and the signature.
const SIGNED: usize = 16;
const VALUE: usize = SIGNED + 32;

/// How far a value may come from the future: several edges share a key, and their clocks differ.
const CLOCKS_DIFFER_S: u64 = 300;

impl Key {
    /// `secret`: at least 32 bytes that nobody can guess.
    pub fn new(secret: &[u8]) -> Key {
        Key(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// A value for `member` of `pool`: one pool's cookie says nothing to another.
    pub fn issue(&self, pool: &str, member: u64, now_s: u64) -> String {
        let mut value = [0; VALUE];
        value[..8].copy_from_slice(&member.to_be_bytes());
        value[8..SIGNED].copy_from_slice(&now_s.to_be_bytes());
        let signature = hmac::sign(&self.0, &message(&value[..SIGNED], pool));
        value[SIGNED..].copy_from_slice(signature.as_ref());
        value.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// `None`: not a value of ours for this pool, changed, older than `lasts_s`, or from the future.
    pub fn check(&self, pool: &str, text: &[u8], now_s: u64, lasts_s: u64) -> Option<Stuck> {
        let value = unhex(text)?;
        hmac::verify(&self.0, &message(&value[..SIGNED], pool), &value[SIGNED..]).ok()?;
        let number = |at: usize| value[at..at + 8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let (member, issued_s) = (number(0), number(8));
        if issued_s > now_s.saturating_add(CLOCKS_DIFFER_S) {
            return None;
        }
        let age_s = now_s.saturating_sub(issued_s);
        (age_s <= lasts_s).then_some(Stuck { member, age_s })
    }
}

/// The lengths are fixed, so that no two different meanings give the same bytes.
fn message(signed: &[u8], pool: &str) -> Vec<u8> {
    [signed, pool.as_bytes()].concat()
}

/// Only in the form that we write.
fn unhex(text: &[u8]) -> Option<[u8; VALUE]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut value = [0; VALUE];
    if text.len() != 2 * VALUE {
        return None;
    }
    for (byte, pair) in value.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(value)
}

#[cfg(test)]
mod tests;
