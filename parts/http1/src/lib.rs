//! Strict HTTP/1.1 codec, sans-I/O: bytes in, events out.
//!
//! Used by the edge on both sides: [`RequestDecoder`] reads what clients send, [`ResponseDecoder`] what upstreams answer,
//! and [`write`] produces heads, chunks and trailers for either. Nothing here reads a socket or a clock.
//!
//! **Invariant:** a message whose end two parsers could see at different places is refused, never repaired. Request smuggling
//! is exactly the difference between two such repairs, so every rule of [`Refusal`] cites the sentence of RFC 9112 or RFC 9110
//! that lets us refuse.
//!
//! **Invariant:** the events depend on the bytes only, not on how they were cut into pieces.
//!
//! **Invariant:** no allocation per field. A head is one buffer, copied once from the connection's read buffer and reused for
//! the next message; its fields are offsets into it.

mod body;
mod decode;
mod fields;
mod known;
mod refusal;
mod request;
mod response;
mod target;
mod usual;
pub mod write;

pub use body::{BodyDecoder, BodyEvent};
pub use decode::{Event, RequestDecoder, ResponseDecoder, ResponseEvent};
pub use fields::{Field, Fields};
pub use known::Known;
pub use refusal::Refusal;
pub use request::{RequestHead, TargetForm};
pub use response::{Asked, ResponseHead};
pub use target::{Authority, is_token};

/// Version of a message, as written on its first line. Others than these two are refused ([`Refusal::Version`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    Http10,
    #[default]
    Http11,
}

/// Where a message's content ends (RFC 9112 §6.3). Decided once, by the head alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// There is no content: HEAD, 204, 304, or a request without any framing field.
    #[default]
    Empty,
    /// Exactly this many bytes.
    Length(u64),
    Chunked,
    /// Until the peer closes. Responses only.
    UntilClose,
    /// The connection no longer speaks HTTP (101 Switching Protocols): bytes until either side closes.
    Tunnel,
}

/// Bounds on what one message may cost before its content.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// First line and fields together, in bytes; also the bound on a trailer section.
    pub head_bytes_max: usize,
    /// Fields in a head or in a trailer section. At most [`FIELDS_MAX`].
    pub fields_max: usize,
}

/// The most fields a head may have, whatever [`Limits::fields_max`] says: the parser's scratch table lives on the stack (32 KiB, not
/// initialised).
pub const FIELDS_MAX: usize = 1000;

impl Default for Limits {
    fn default() -> Limits {
        Limits { head_bytes_max: 16 << 10, fields_max: 100 }
    }
}

#[cfg(test)]
mod tests;
