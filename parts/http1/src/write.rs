//! Writing heads, chunks and trailers into a buffer.
//!
//! Names and values given here are trusted to be valid: what was parsed by this crate is, and [`field`] refuses to be split.

use crate::Fields;

/// `method SP target SP HTTP/1.1 CRLF`.
pub fn request_line(out: &mut Vec<u8>, method: &[u8], target: &[u8]) {
    out.extend_from_slice(method);
    out.push(b' ');
    out.extend_from_slice(target);
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// `HTTP/1.1 SP status SP reason CRLF`.
pub fn status_line(out: &mut Vec<u8>, status: u16, reason: &[u8]) {
    debug_assert!((100..=999).contains(&status));
    if (status, reason) == (200, b"OK") {
        return out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(&[b'0' + (status / 100) as u8, b'0' + (status / 10 % 10) as u8, b'0' + (status % 10) as u8, b' ']);
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}

/// One field line. Control bytes in `value` (other than tab) become spaces: a value can never become a second field.
pub fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    let start = out.len();
    out.extend_from_slice(value);
    let control = |b: u8| b.is_ascii_control() && b != b'\t';
    // Looked for without leaving early, so that it is done sixteen bytes at a time: there is next to never one.
    if value.iter().fold(false, |found, &b| found | control(b)) {
        out[start..].iter_mut().filter(|b| control(**b)).for_each(|b| *b = b' ');
    }
    out.extend_from_slice(b"\r\n");
}

/// One field line whose value is known to have no control bytes: ours, or one that the codec has read.
pub fn clean_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    debug_assert!(value.iter().all(|&b| !b.is_ascii_control() || b == b'\t'));
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// `name: number`.
pub fn number_field(out: &mut Vec<u8>, name: &str, number: u64) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    decimal(out, number);
    out.extend_from_slice(b"\r\n");
}

/// The empty line that ends a head.
pub fn head_end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

/// A chunk's size line; the data and [`CHUNK_END`] follow. `size` must not be 0: that would end the message.
pub fn chunk_start(out: &mut Vec<u8>, size: usize) {
    assert!(size > 0, "an empty chunk ends the message");
    let digits = (usize::BITS - size.leading_zeros()).div_ceil(4);
    for i in (0..digits).rev() {
        out.push(b"0123456789abcdef"[size >> (i * 4) & 15]);
    }
    out.extend_from_slice(b"\r\n");
}

/// After a chunk's data.
pub const CHUNK_END: &[u8] = b"\r\n";

/// A whole chunk; nothing if `data` is empty.
pub fn chunk(out: &mut Vec<u8>, data: &[u8]) {
    if !data.is_empty() {
        chunk_start(out, data.len());
        out.extend_from_slice(data);
        out.extend_from_slice(CHUNK_END);
    }
}

/// The last chunk with `trailers`, if any, and the end of the message.
pub fn last_chunk(out: &mut Vec<u8>, trailers: &Fields) {
    out.extend_from_slice(b"0\r\n");
    out.extend_from_slice(trailers.raw_lines());
    out.extend_from_slice(b"\r\n");
}

/// Decimal digits of `number`.
pub fn decimal(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}
