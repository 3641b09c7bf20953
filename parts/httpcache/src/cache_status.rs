//! Telling the client what happened (RFC 9211).
use std::fmt::Write;

use crate::Bypass;

/// What became of one request, as Cache-Status says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheStatus {
    /// Answered from the store; `ttl_s` is negative when stale.
    Hit { ttl_s: i64 },
    /// Sent on.
    Forwarded {
        why: Forward,
        /// What the origin answered, when that is not what the client gets.
        origin_status: Option<u16>,
        stored: bool,
        /// It waited for another request's fetch instead of its own.
        coalesced: bool,
        /// Why it was not stored or not looked for.
        detail: Option<Bypass>,
    },
}

/// RFC 9211 §2.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    Bypass,
    Method,
    UriMiss,
    VaryMiss,
    /// The request's own directives.
    Request,
    Stale,
}

impl Forward {
    fn token(self) -> &'static str {
        match self {
            Forward::Bypass => "bypass",
            Forward::Method => "method",
            Forward::UriMiss => "uri-miss",
            Forward::VaryMiss => "vary-miss",
            Forward::Request => "request",
            Forward::Stale => "stale",
        }
    }
}

impl std::fmt::Display for CacheStatus {
    /// The value of the field, with our name first. A structured list item (RFC 9651).
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("pumasi")?;
        match *self {
            CacheStatus::Hit { ttl_s } => write!(f, "; hit; ttl={ttl_s}"),
            CacheStatus::Forwarded { why, origin_status, stored, coalesced, detail } => {
                write!(f, "; fwd={}", why.token())?;
                if let Some(status) = origin_status {
                    write!(f, "; fwd-status={status}")?;
                }
                if stored {
                    f.write_str("; stored")?;
                }
                if coalesced {
                    f.write_str("; collapsed")?;
                }
                match detail {
                    Some(reason) => {
                        f.write_str("; detail=")?;
                        f.write_str(reason.word())
                    }
                    None => Ok(()),
                }
            }
        }
    }
}

impl CacheStatus {
    /// Appends the value to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut text = String::with_capacity(64);
        let _ = write!(text, "{self}"); // a String takes everything
        out.extend_from_slice(text.as_bytes());
    }
}
