//! The usual head, read in one pass.
//!
//! Nearly every head is whole when it is looked at and has nothing in it but tokens, visible bytes and CR LF. For those, one pass over words
//! of eight bytes finds the lines, looks at every byte and knows the names. What is unfinished, unusual or wrong is left to the full parser,
//! which decides and says why.
//!
//! **Invariant:** nothing is refused here, and what is taken here the full parser takes with the same result. So the two are no two opinions
//! on where a message ends: this one is only the other's answer, sooner (`tests/usual.rs`).

use crate::{Field, Known, Version, target::TOKEN};

/// A request line as the full parser would have found it.
#[derive(Clone, Copy)]
pub(crate) struct RequestLine {
    pub method_end: usize,
    pub target_end: usize,
    pub version: Version,
    /// Where the first field begins.
    pub end: usize,
}

/// The request line at the start of `head`: a method, a target in origin form, a version. `None`: ask the full parser.
pub(crate) fn request_line(head: &[u8]) -> Option<RequestLine> {
    let method_end = match head {
        [b'G', b'E', b'T', b' ', ..] => 3,
        _ => head.iter().take(METHOD_MAX).position(|&b| !TOKEN[b as usize])?,
    };
    let target = method_end + 1;
    let plain = head.get(method_end) == Some(&b' ') && head.get(target) == Some(&b'/') && &head[..method_end] != b"CONNECT";
    if method_end == 0 || !plain {
        return None;
    }
    let mut target_end = target;
    loop {
        let word = word_at(head, target_end);
        // Whatever may not stand in a target; a space ends it.
        let stops = below(word, 0x21) | (word & HIGH) | equal(word, b'#') | equal(word, DEL);
        if stops != 0 {
            target_end += first(stops);
            break;
        }
        target_end += 8;
    }
    let version = match head.get(target_end..target_end + 11)? {
        b" HTTP/1.1\r\n" => Version::Http11,
        b" HTTP/1.0\r\n" => Version::Http10,
        _ => return None,
    };
    Some(RequestLine { method_end, target_end, version, end: target_end + 11 })
}

/// A status line as the full parser would have found it.
#[derive(Clone, Copy)]
pub(crate) struct StatusLine {
    pub status: u16,
    pub version: Version,
    pub reason_end: usize,
    /// Where the first field begins.
    pub end: usize,
}

/// Where the reason begins: behind `HTTP/1.1 200 `.
pub(crate) const REASON: usize = 13;

/// The status line at the start of `head`. `None`: ask the full parser.
pub(crate) fn status_line(head: &[u8]) -> Option<StatusLine> {
    let (version, rest) = match head.split_at_checked(9)? {
        (b"HTTP/1.1 ", rest) => (Version::Http11, rest),
        (b"HTTP/1.0 ", rest) => (Version::Http10, rest),
        _ => return None,
    };
    let [a @ b'1'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9', b' ', ..] = rest else { return None };
    let status = u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0');
    let reason_end = value_end(head, REASON)?;
    Some(StatusLine { status, version, reason_end, end: reason_end + 2 })
}

/// Appends the fields from `at` on to `list`, and each one's bit to `seen`. Returns where the head ends, behind its empty line. `None`: ask the
/// full parser; what was appended by then means nothing.
pub(crate) fn fields(head: &[u8], mut at: usize, fields_max: usize, list: &mut Vec<Field>, seen: &mut u64) -> Option<usize> {
    loop {
        if head.get(at) == Some(&b'\r') {
            return (head.get(at + 1) == Some(&b'\n')).then_some(at + 2);
        }
        if list.len() >= fields_max {
            return None;
        }
        let colon = colon(head, at)?;
        let name = &head[at..colon];
        let known = Known::of(name);
        // A name that is known is a token.
        if known == Known::Other && (name.is_empty() || !name.iter().all(|&b| TOKEN[b as usize])) {
            return None;
        }
        let mut start = colon + 1;
        while let Some(b' ' | b'\t') = head.get(start) {
            start += 1;
        }
        let line_end = value_end(head, start)?;
        let mut end = line_end;
        while end > start && matches!(head[end - 1], b' ' | b'\t') {
            end -= 1;
        }
        let value = if end > start { (start as u32, (end - start) as u32) } else { (colon as u32, 0) };
        *seen |= known.bit();
        list.push(Field::new(known, (at as u32, u16::try_from(name.len()).ok()?), value));
        at = line_end + 2;
    }
}

/// Where the name that begins at `at` has its colon. No further than names go: what is longer is not usual.
fn colon(head: &[u8], at: usize) -> Option<usize> {
    for step in 0..NAME_WORDS_MAX {
        let here = at + 8 * step;
        let found = equal(word_at(head, here), b':');
        if found != 0 {
            return Some(here + first(found));
        }
    }
    None
}

/// Where the value (or reason) that begins at `at` meets its CR LF; `None` if it meets anything else that no value holds.
fn value_end(head: &[u8], mut at: usize) -> Option<usize> {
    let mut words = 0;
    loop {
        let word = word_at(head, at);
        let stops = below(word, b' ') | equal(word, DEL);
        if stops == 0 {
            at += 8;
            words += 1;
            if words >= SHORT_WORDS {
                at += long_run(&head[at.min(head.len())..]);
            }
            continue;
        }
        at += first(stops);
        match head.get(at..at + 2)? {
            b"\r\n" => return Some(at),
            [b'\t', _] => at += 1,
            _ => return None,
        }
    }
}

/// How many bytes can be skipped because nothing in them stops a value. In steps that the compiler does with wide registers.
fn long_run(bytes: &[u8]) -> usize {
    let clean = |piece: &&[u8]| !piece.iter().fold(false, |found, &b| found | (b < b' ') | (b == DEL));
    bytes.chunks_exact(STEP).take_while(clean).count() * STEP
}

// === words of eight bytes ===

/// The eight bytes from `at` on, the first one lowest; beyond the end there are zeros, which stop every search.
fn word_at(bytes: &[u8], at: usize) -> u64 {
    match bytes.get(at..at + 8) {
        Some(word) => u64::from_le_bytes(word.try_into().expect("eight bytes")),
        None => last_word(bytes, at),
    }
}

#[cold]
fn last_word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).unwrap_or(&[]).iter().rev().fold(0, |word, &b| word << 8 | u64::from(b))
}

/// A bit for each byte below `limit` (at most 128). Only the lowest is to be relied on: a borrow may add some above it.
fn below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(ONES * u64::from(limit)) & !word & HIGH
}

/// A bit for each byte that is `byte`, to be relied on as above.
fn equal(word: u64, byte: u8) -> u64 {
    below(word ^ (ONES * u64::from(byte)), 1)
}

/// The position of the lowest byte that has its bit.
fn first(bits: u64) -> usize {
    bits.trailing_zeros() as usize / 8
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;
const DEL: u8 = 0x7f;

/// Longer methods are not usual; none that is registered has more than 17 bytes.
const METHOD_MAX: usize = 32;

/// Names of up to 64 bytes are usual.
const NAME_WORDS_MAX: usize = 8;

/// A value that goes on past this many words is likely to go on for long.
const SHORT_WORDS: usize = 4;

/// Bytes per step in long values.
const STEP: usize = 32;
