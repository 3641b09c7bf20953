//! Consistent hashing: which member a key belongs to, such that few keys move when members come and go.
//!
//! Three ways to the same answer; all are weighted, and all go on to the key's next preference when the caller refuses one
//! (it is down, or over its [`Bound`]).
//!
//! | | look-up | memory | keys that move beyond the unavoidable | shares |
//! |---|---|---|---|---|
//! | [`Ring`] | log of the points | 16 bytes per point | none | within some 8 % |
//! | [`Maglev`] | one load | 2 bytes per slot, 128 KiB | a few per cent | within 1 % |
//! | [`Rendezvous`] | one hash per member | 16 bytes per member | none | exact on average |
//!
//! Keys and members are 64-bit hashes, see [`hash`]. The same members in another order own the same keys.
mod bound;
mod maglev;
mod rendezvous;
mod ring;

pub use bound::Bound;
pub use maglev::Maglev;
pub use rendezvous::Rendezvous;
pub use ring::Ring;

/// Someone who can own keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// [`hash`] of a name that stays the same over restarts, such as its address. Two members must not share it.
    pub id: u64,
    /// Its share of keys beside the others'. At least 1.
    pub weight: u32,
}

/// A 64-bit hash that is the same on every machine and in every version: keys keep their owner over a restart. Not against an attacker
/// who chooses keys: what protects a member from a flood of one key is its [`Bound`].
pub fn hash(bytes: &[u8]) -> u64 {
    // FNV-1a for the bytes, then a finaliser, because FNV leaves the upper bits of short inputs poor.
    let fnv = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01b3));
    mixed(fnv)
}

// === helpers ===

/// The n-th of a family of hashes of `id`.
fn nth(id: u64, n: u64) -> u64 {
    mixed(id ^ mixed(n.wrapping_add(0x9e37_79b9_7f4a_7c15)))
}

/// splitmix64's finaliser: every input bit flips every output bit half of the time.
fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The first of `owners` that `may` accepts; each owner is asked once. Ends when all of `members` have refused.
fn first_accepted(owners: impl Iterator<Item = usize>, members: usize, mut may: impl FnMut(usize) -> bool) -> Option<usize> {
    // Bits of who has refused. Past the 256th member a refusal is not remembered: asking twice costs time, not correctness.
    let mut refused = [0_u64; 4];
    let mut left = members;
    for owner in owners {
        match refused.get_mut(owner / 64) {
            Some(word) if *word >> (owner % 64) & 1 == 1 => continue,
            Some(word) => {
                *word |= 1 << (owner % 64);
                left -= 1;
            }
            None => {}
        }
        if may(owner) {
            return Some(owner);
        }
        if left == 0 {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests;
