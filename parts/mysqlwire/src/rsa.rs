//! `caching_sha2_password` without TLS when the server does not know the hash yet: the password goes over encrypted with the server's RSA
//! key (RSAES-OAEP with SHA-1, RFC 8017 section 7.1).
//!
//! The key comes from the server in the clear, so whoever can change packets on the way can read the password: for networks one trusts.

use num_bigint::BigUint;
use sha1::{Digest, Sha1};

use crate::{WireError, auth::Salt};

/// Bytes of SHA-1.
const HASH: usize = 20;

/// The longest key that is worked with: 16384 bits. MySQL makes keys of 2048.
const MODULUS_MAX: usize = 2048;

/// What a malformed key is called.
const KEY: &str = "public key";

/// A server's public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    modulus: BigUint,
    exponent: BigUint,
    /// Bytes of the modulus.
    length: usize,
}

impl PublicKey {
    /// Reads PEM text with a SubjectPublicKeyInfo (RFC 7468 section 13, RFC 8017 appendix A.1).
    pub fn from_pem(pem: &[u8]) -> Result<PublicKey, WireError> {
        let text = std::str::from_utf8(pem).map_err(|_| WireError::Malformed(KEY))?;
        let begin = "-----BEGIN PUBLIC KEY-----";
        let (_, rest) = text.split_once(begin).ok_or(WireError::Malformed(KEY))?;
        let (body, _) = rest.split_once("-----END PUBLIC KEY-----").ok_or(WireError::Malformed(KEY))?;
        let der = base64(body).ok_or(WireError::Malformed(KEY))?;
        let mut info = Der(Der(&der).value(SEQUENCE)?);
        info.value(SEQUENCE)?;
        // The first byte says how many bits of the last are unused: none, in a string of bytes.
        let key = info.value(BIT_STRING)?.strip_prefix(&[0]).ok_or(WireError::Malformed(KEY))?;
        let mut numbers = Der(Der(key).value(SEQUENCE)?);
        let (modulus, exponent) = (unsigned(numbers.value(INTEGER)?), unsigned(numbers.value(INTEGER)?));
        let odd = modulus.last().is_some_and(|last| last & 1 == 1);
        if !(2 * HASH + 2..=MODULUS_MAX).contains(&modulus.len()) || !odd || exponent.is_empty() || exponent.len() > 8 {
            return Err(WireError::Malformed(KEY));
        }
        Ok(PublicKey { modulus: BigUint::from_bytes_be(modulus), exponent: BigUint::from_bytes_be(exponent), length: modulus.len() })
    }

    /// The packet that proves `password`: it and a zero, mixed with the salt, encrypted. `seed` is from the dice, new for each.
    /// Errors: a password longer than the key can carry (214 bytes for one of 2048 bits).
    pub fn encrypt_password(&self, password: &[u8], salt: &Salt, seed: [u8; HASH]) -> Result<Vec<u8>, WireError> {
        let message: Vec<u8> = password.iter().chain(&[0]).zip(salt.0.iter().cycle()).map(|(byte, salt)| byte ^ salt).collect();
        let block_length = self.length - HASH - 1;
        let padding = block_length.checked_sub(HASH + 1 + message.len()).ok_or(WireError::TooLarge { max: self.length })?;
        let mut block = Sha1::digest(b"").to_vec();
        block.resize(HASH + padding, 0);
        block.push(1);
        block.extend_from_slice(&message);
        mask(&mut block, &seed);
        let mut masked_seed = seed;
        mask(&mut masked_seed, &block);
        let encoded = [&[0][..], &masked_seed, &block].concat();
        let encrypted = BigUint::from_bytes_be(&encoded).modpow(&self.exponent, &self.modulus).to_bytes_be();
        let mut out = vec![0; self.length - encrypted.len()];
        out.extend_from_slice(&encrypted);
        Ok(out)
    }
}

/// MGF1 with SHA-1 (RFC 8017 appendix B.2.1), xored over `target`.
fn mask(target: &mut [u8], seed: &[u8]) {
    for (counter, chunk) in (0_u32..).zip(target.chunks_mut(HASH)) {
        let stream = Sha1::new().chain_update(seed).chain_update(counter.to_be_bytes()).finalize();
        chunk.iter_mut().zip(stream).for_each(|(byte, mask)| *byte ^= mask);
    }
}

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;

/// As much of DER (X.690) as a public key needs.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The content of the next value, which must have `tag`.
    fn value(&mut self, tag: u8) -> Result<&'a [u8], WireError> {
        let truncated = WireError::Truncated(KEY);
        let (&[found, first], rest) = self.0.split_first_chunk::<2>().ok_or(truncated)?;
        if found != tag {
            return Err(WireError::Malformed(KEY));
        }
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81 | 0x82 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f)).ok_or(truncated)?;
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
            // Longer than any key that is worked with.
            _ => return Err(WireError::Malformed(KEY)),
        };
        let (value, rest) = rest.split_at_checked(length).ok_or(truncated)?;
        self.0 = rest;
        Ok(value)
    }
}

/// Without the zeros in front, which say that a number is not negative.
fn unsigned(integer: &[u8]) -> &[u8] {
    let zeros = integer.iter().take_while(|&&byte| byte == 0).count();
    &integer[zeros..]
}

/// Space between the letters is passed over. `None`: a letter that is none of the alphabet's (RFC 4648 section 4).
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut held, mut bits) = (0_u32, 0);
    for letter in text.bytes().filter(|letter| !letter.is_ascii_whitespace()) {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => continue,
            _ => return None,
        };
        held = (held << 6 | u32::from(value)) & 0xff_ffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((held >> bits) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests;
