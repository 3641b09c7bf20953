//! May a stored response be reused now (RFC 9111 §4, RFC 5861).
use crate::{Asked, directives::Delta};

/// What is kept beside a stored response to decide about it later. 32 bytes, `Copy`, no allocation: a hit reads these and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// When the head arrived, in milliseconds since the Unix epoch.
    pub response_ms: u64,
    /// Its age on arrival (§4.2.3, `corrected_initial_age`).
    pub initial_age_s: u32,
    pub lifetime_s: u32,
    pub stale_while_revalidate_s: u32,
    pub stale_if_error_s: u32,
    pub(crate) flags: Flags,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(u8);

impl Flags {
    /// `no-cache`: validate every time.
    pub const NO_CACHE: u8 = 1;
    /// Stale only where the response itself allows it.
    pub const STALE_FORBIDDEN: u8 = 2;
    /// The origin wrote `stale-if-error`: then 500 counts as an error as well.
    pub const ERRORS_NAMED: u8 = 4;
    /// May answer requests with Authorization (§3.5).
    pub const SHAREABLE: u8 = 8;

    pub fn set(&mut self, flag: u8, on: bool) {
        if on {
            self.0 |= flag;
        }
    }

    fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }
}

/// What may be done with a stored response for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    Fresh,
    /// Past its lifetime and allowed nevertheless.
    Stale(Why),
    /// Ask the origin first; `Grace` says what may be done if it does not answer well.
    Validate(Grace),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// `stale-while-revalidate`: serve, and refetch in the background (RFC 5861 §3).
    WhileRevalidating,
    /// The client's `max-stale` (§5.2.1.2).
    ClientAllows,
}

/// When a failed validation may be answered with the stale response (§4.2.4, RFC 5861 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grace {
    Never,
    /// The origin cannot be reached, or a gateway on the way says 502, 503 or 504.
    Unreachable,
    /// The origin said so: 500 counts as well.
    Errors,
}

impl Grace {
    /// `status`: `None` when there was no answer at all.
    pub fn covers(self, status: Option<u16>) -> bool {
        match self {
            Grace::Never => false,
            Grace::Unreachable => matches!(status, None | Some(502..=504)),
            Grace::Errors => matches!(status, None | Some(500 | 502..=504)),
        }
    }
}

impl Terms {
    /// Terms of a response that no lifetime limits because somebody else knows when it becomes wrong: fresh as long as it is kept, never
    /// served stale, and not for requests with Authorization.
    pub fn until_written(now_ms: u64) -> Terms {
        let mut flags = Flags::default();
        flags.set(Flags::STALE_FORBIDDEN, true);
        Terms { response_ms: now_ms, initial_age_s: 0, lifetime_s: u32::MAX, stale_while_revalidate_s: 0, stale_if_error_s: 0, flags }
    }

    /// The length of [`Terms::to_bytes`].
    pub const BYTES: usize = 25;

    /// For files: the same on every machine.
    pub fn to_bytes(&self) -> [u8; Terms::BYTES] {
        let mut bytes = [0; Terms::BYTES];
        bytes[..8].copy_from_slice(&self.response_ms.to_le_bytes());
        let numbers = [self.initial_age_s, self.lifetime_s, self.stale_while_revalidate_s, self.stale_if_error_s];
        for (place, number) in bytes[8..24].chunks_exact_mut(4).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes[24] = self.flags.0;
        bytes
    }

    pub fn from_bytes(bytes: [u8; Terms::BYTES]) -> Terms {
        let number = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        Terms {
            response_ms: u64::from_le_bytes(std::array::from_fn(|i| bytes[i])),
            initial_age_s: number(8),
            lifetime_s: number(12),
            stale_while_revalidate_s: number(16),
            stale_if_error_s: number(20),
            flags: Flags(bytes[24]),
        }
    }

    /// Its age now, for the Age field (§4.2.3).
    pub fn age_s(&self, now_ms: u64) -> u64 {
        self.age_ms(now_ms) / 1000
    }

    pub fn fresh(&self, now_ms: u64) -> bool {
        self.age_ms(now_ms) < self.lifetime_ms()
    }

    /// Seconds of freshness left, negative once stale: Cache-Status `ttl`.
    pub fn ttl_s(&self, now_ms: u64) -> i64 {
        i64::from(self.lifetime_s) - self.age_s(now_ms) as i64
    }

    /// Whether an ordinary request can ever be answered with it without asking the origin first.
    pub fn reusable(&self) -> bool {
        self.lifetime_s > self.initial_age_s && !self.flags.has(Flags::NO_CACHE)
    }

    /// What may be done with it for this request.
    pub fn reuse(&self, asked: &Asked<'_>, now_ms: u64) -> Reuse {
        let wants = &asked.directives;
        let (age, lifetime) = (self.age_ms(now_ms), self.lifetime_ms());
        if wants.no_cache || self.flags.has(Flags::NO_CACHE) || asked.authorization && !self.flags.has(Flags::SHAREABLE) {
            return Reuse::Validate(self.grace(now_ms));
        }
        let too_old = wants.max_age.or_zero().is_some_and(|max| age > ms(max));
        let too_short = wants.min_fresh.or_zero().is_some_and(|min| lifetime.saturating_sub(age) < ms(min));
        if too_old || too_short {
            return Reuse::Validate(self.grace(now_ms));
        }
        if age < lifetime {
            return Reuse::Fresh;
        }
        let staleness = age - lifetime;
        if staleness < ms(self.stale_while_revalidate_s) {
            return Reuse::Stale(Why::WhileRevalidating);
        }
        let client = match wants.max_stale {
            None | Some(Delta::Invalid) => None,
            Some(Delta::Absent) => Some(u64::MAX),
            Some(Delta::Seconds(seconds)) => Some(ms(seconds)),
        };
        match client {
            Some(most) if staleness <= most && !self.flags.has(Flags::STALE_FORBIDDEN) => Reuse::Stale(Why::ClientAllows),
            _ => Reuse::Validate(self.grace(now_ms)),
        }
    }

    /// A soft purge: stale from now on, served only as its stale windows allow, which count from here.
    pub fn make_stale(&mut self, now_ms: u64) {
        if self.fresh(now_ms) {
            self.lifetime_s = u32::try_from(self.age_s(now_ms)).unwrap_or(u32::MAX);
        }
    }

    pub(crate) fn no_cache(&self) -> bool {
        self.flags.has(Flags::NO_CACHE)
    }

    /// Whether it may be used past its lifetime at all.
    pub(crate) fn outlives(&self, now_ms: u64) -> bool {
        let window = self.stale_while_revalidate_s.max(if self.flags.has(Flags::ERRORS_NAMED) { self.stale_if_error_s } else { 0 });
        window > 0 && self.age_ms(now_ms).saturating_sub(self.lifetime_ms()) < ms(window)
    }

    fn grace(&self, now_ms: u64) -> Grace {
        let staleness = self.age_ms(now_ms).saturating_sub(self.lifetime_ms());
        match () {
            () if self.flags.has(Flags::NO_CACHE) || staleness >= ms(self.stale_if_error_s) => Grace::Never,
            () if self.flags.has(Flags::ERRORS_NAMED) => Grace::Errors,
            () => Grace::Unreachable,
        }
    }

    fn age_ms(&self, now_ms: u64) -> u64 {
        ms(self.initial_age_s) + now_ms.saturating_sub(self.response_ms)
    }

    fn lifetime_ms(&self) -> u64 {
        ms(self.lifetime_s)
    }
}

// === helpers ===

fn ms(seconds: u32) -> u64 {
    u64::from(seconds) * 1000
}
