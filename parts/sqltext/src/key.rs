//! When two values are equal to the server, their keys are equal: the form in which a row's value becomes part of a tag.
//!
//! Coarser than the server's equality is sound (a needless miss), finer is not. So a comparison whose rules are not reproduced here has no key,
//! and whoever asked depends on the whole table.

use std::borrow::Cow;

/// Longest text that has a key of its own.
const TEXT_MAX: usize = 128;

/// The key that every text shares which is not short printable ASCII: under some collation `ä` equals `a`, under another it does not, and
/// control characters may count for nothing.
const FOREIGN: &[u8] = b"t*";

/// How a column's values are compared with constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// TINYINT to BIGINT.
    Integer,
    /// CHAR, VARCHAR, TEXT, under any collation.
    Text,
    /// Everything else: temporal types, DECIMAL, FLOAT, ENUM, SET, BIT, JSON, binary.
    Other,
}

/// A constant, or a value in a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar<'a> {
    Null,
    Int(i128),
    /// Bytes of a text.
    Text(Cow<'a, [u8]>),
    Other,
}

/// What equal values have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub Vec<u8>);

impl<'a> Scalar<'a> {
    /// A string literal with its quotes.
    pub(crate) fn of_string(quoted: &'a [u8]) -> Scalar<'a> {
        let [quote, inner @ .., last] = quoted else { return Scalar::Other };
        if quote != last {
            return Scalar::Other;
        }
        if !inner.contains(&b'\\') && !inner.contains(quote) {
            return Scalar::Text(Cow::Borrowed(inner));
        }
        let mut text = Vec::with_capacity(inner.len());
        let mut bytes = inner.iter().copied();
        while let Some(byte) = bytes.next() {
            match byte {
                b'\\' => match bytes.next() {
                    Some(b'0') => text.push(0),
                    Some(b'b') => text.push(8),
                    Some(b'n') => text.push(b'\n'),
                    Some(b'r') => text.push(b'\r'),
                    Some(b't') => text.push(b'\t'),
                    Some(b'Z') => text.push(26),
                    // For LIKE these stay two characters; nothing else is lost by not giving them a key.
                    Some(b'%' | b'_') | None => return Scalar::Other,
                    Some(other) => text.push(other),
                },
                byte => {
                    if byte == *quote {
                        bytes.next();
                    }
                    text.push(byte);
                }
            }
        }
        Scalar::Text(Cow::Owned(text))
    }

    pub(crate) fn of_number(digits: &[u8]) -> Scalar<'a> {
        std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).map_or(Scalar::Other, Scalar::Int)
    }

    pub(crate) fn negated(self) -> Scalar<'a> {
        match self {
            Scalar::Int(value) => Scalar::Int(-value),
            _ => Scalar::Other,
        }
    }
}

impl Key {
    /// The keys that a reader of `column = constant` depends on; `None`: on any row.
    pub fn of_constant(constant: &Scalar<'_>, column: Comparison) -> Option<Vec<Key>> {
        match (column, constant) {
            // Equal to nothing.
            (Comparison::Integer | Comparison::Text, Scalar::Null) => Some(Vec::new()),
            (Comparison::Integer, Scalar::Int(value)) => Some(vec![Key::integer(*value)]),
            // The server compares both as floating point; up to 15 digits that is exact.
            (Comparison::Integer, Scalar::Text(text)) => plain_integer(text).map(|value| vec![Key::integer(value)]),
            (Comparison::Text, Scalar::Text(text)) => Key::text(text).map(|key| vec![key, Key(FOREIGN.to_vec())]),
            // A text column compared with a number: '7', '07' and '7th' all equal 7.
            (Comparison::Text, _) | (Comparison::Other, _) | (_, Scalar::Other) => None,
        }
    }

    /// The key of a value in a changed row, whatever its column; `None`: nobody can depend on it alone.
    pub fn of_stored(value: &Scalar<'_>) -> Option<Key> {
        match value {
            Scalar::Null | Scalar::Other => None,
            Scalar::Int(value) => Some(Key::integer(*value)),
            Scalar::Text(text) => Some(Key::text(text).unwrap_or_else(|| Key(FOREIGN.to_vec()))),
        }
    }

    fn integer(value: i128) -> Key {
        Key(format!("i{value}").into_bytes())
    }

    /// Letters of one case, without blanks at the end (PAD SPACE).
    fn text(text: &[u8]) -> Option<Key> {
        let plain = text.len() <= TEXT_MAX && text.iter().all(|byte| (0x20..0x7f).contains(byte));
        plain.then(|| Key([b"t", text.trim_ascii_end()].concat().to_ascii_lowercase()))
    }
}

// === helpers ===

fn plain_integer(text: &[u8]) -> Option<i128> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let plain = (1..=15).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    plain.then(|| std::str::from_utf8(text).ok()?.parse().ok()).flatten()
}
