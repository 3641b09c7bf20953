//! Header compression of HTTP/2 (RFC 7541), without I/O: fields come in and bytes go out, and the other way round.
//!
//! Made for the many small messages of a load generator: nothing is allocated for a block once the buffers have grown, and a block that is
//! written again and again can be kept by whoever writes it, for as long as [`Encoder::version`] stays the same.
#![forbid(unsafe_code)]

mod decoder;
mod encoder;
mod huffman;
mod integer;
mod table;

pub use decoder::{Decoder, Malformed};
pub use encoder::{Encoder, Indexing};

/// Bytes of the dynamic table that both sides may count on without a word (RFC 9113 section 6.5.2, SETTINGS_HEADER_TABLE_SIZE).
pub const TABLE_BYTES: usize = 4096;

#[cfg(test)]
mod tests;
