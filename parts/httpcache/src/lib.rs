//! What a shared HTTP cache may store, reuse and must forget: RFC 9111 and its relatives as pure decisions.
//!
//! No bytes are kept here and no clock is read: heads come in as `(name, value)` pairs, times as milliseconds since the Unix epoch.
//!
//! ```text
//!  request head --> Asked ----+--------------> Terms::reuse --> Fresh | Stale | Validate
//!                             |                     ^
//! response head --> Answered -+-> storing --> Terms (kept with the stored response)
//! ```
//! | module | rules |
//! |---|---|
//! | [`directives`] | Cache-Control in both directions (RFC 9111 §5.2), CDN-Cache-Control (RFC 9213) |
//! | [`storing`] | may it be stored, and on what terms (§3, §4.2, RFC 5861) |
//! | [`Terms`] | may it be reused now (§4), Age (§4.2.3) |
//! | [`validation`] | conditional requests, 304, merging fields (§4.3, §3.2) |
//! | [`vary`] | which requests share a response (§4.1) |
//! | [`Accepted`] | which content coding a client gets (RFC 9110 §12.5.3) |
//! | [`range`] | parts of a stored response (RFC 9110 §14) |
//! | [`invalidation`] | what a successful unsafe request makes wrong (§4.4) |
//! | [`CacheStatus`] | telling the client what happened (RFC 9211) |
mod answered;
mod asked;
mod bypass;
mod cache_status;
mod coding;
pub mod date;
pub mod directives;
pub mod invalidation;
pub mod range;
mod storing;
mod structured;
mod terms;
pub mod validation;
pub mod vary;

pub use answered::{Answered, Expires};
pub use asked::{Asked, Method};
pub use bypass::Bypass;
pub use cache_status::{CacheStatus, Forward};
pub use coding::{Accepted, Coding};
pub use storing::{Exchange, Rules, storing};
pub use terms::{Grace, Reuse, Terms, Why};

/// Field lines of a head: name in any case, value without surrounding whitespace, in the order they arrived.
pub trait FieldLines<'a>: Iterator<Item = (&'a [u8], &'a [u8])> {}
impl<'a, I: Iterator<Item = (&'a [u8], &'a [u8])>> FieldLines<'a> for I {}

#[cfg(test)]
mod tests;
