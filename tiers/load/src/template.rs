//! Text with `${...}` in it, compiled once and rendered into a reused buffer.
//!
//! `${name}` and `${feed.column}` are data and extracted values, `${randint 1 50}`, `${uuid}`, `${now}` (milliseconds since 1970) and
//! `${counter}` (1, 2, 3 over all vusers) are made up on the spot; `${raw name}` leaves out the escaping that the place would need;
//! `$${` is a literal `${`.

use crate::{
    data::{Feed, write_integer},
    random::Dice,
};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(Vec<u8>),
    Value { source: Source, escape: Escape },
}

#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// An extracted value of the journey.
    Slot(usize),
    Column {
        feed: usize,
        column: usize,
    },
    RandInt {
        first: i64,
        last: i64,
    },
    Uuid,
    Now,
    Counter(usize),
}

/// What the place of a value must not contain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Escape {
    /// As it is. In a request line or header, a value with a line break or another control byte still fails the request.
    Raw,
    /// Percent-encoding, everything but RFC 3986's unreserved characters and `/`.
    Url,
    /// application/x-www-form-urlencoded.
    Form,
    /// The inside of a JSON string.
    Json,
}

/// What names mean while templates are compiled. Slots and counters are added as they are met.
#[derive(Debug, Default)]
pub struct Names {
    pub feeds: Vec<(String, Vec<String>)>,
    pub slots: Vec<String>,
    pub counters: Vec<String>,
}

/// What a template is rendered with: one journey's values and the run's shared ones.
pub struct Values<'v> {
    pub slots: &'v [Vec<u8>],
    pub rows: &'v [u64],
    pub feeds: &'v [Feed],
    pub counters: &'v [AtomicU64],
    pub dice: &'v mut Dice,
}

impl Template {
    /// Errors: an unclosed `${`, an unknown name (with what it could be), a malformed built-in.
    pub fn compile(text: &str, escape: Escape, names: &mut Names) -> Result<Template, String> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            if rest[..at].ends_with('$') {
                literal.push_str(&rest[..at - 1]);
                literal.push_str("${");
                rest = &rest[at + 2..];
                continue;
            }
            literal.push_str(&rest[..at]);
            let end = rest[at..].find('}').ok_or_else(|| format!("\"{}\" is never closed with }}", &rest[at..]))?;
            let (source, escape) = names.resolve(&rest[at + 2..at + end], escape)?;
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal).into_bytes()));
            }
            pieces.push(Piece::Value { source, escape });
            rest = &rest[at + end + 1..];
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal.into_bytes()));
        }
        Ok(Template { pieces })
    }

    pub fn text(bytes: impl Into<Vec<u8>>) -> Template {
        Template { pieces: vec![Piece::Text(bytes.into())] }
    }

    /// Both, one after the other.
    pub fn append(&mut self, other: Template) {
        for piece in other.pieces {
            match (self.pieces.last_mut(), piece) {
                (Some(Piece::Text(last)), Piece::Text(text)) => last.extend_from_slice(&text),
                (_, piece) => self.pieces.push(piece),
            }
        }
    }

    /// The bytes, if no rendering can change them.
    pub fn fixed(&self) -> Option<&[u8]> {
        match self.pieces.as_slice() {
            [] => Some(b""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The feeds that the template draws from.
    pub fn feeds(&self) -> impl Iterator<Item = usize> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Value { source: Source::Column { feed, .. }, .. } => Some(*feed),
            _ => None,
        })
    }

    /// Appends the rendered bytes to `out`. False if a raw value brought a control byte, which could end a line that it must not end.
    #[must_use]
    pub fn render(&self, values: &mut Values, out: &mut Vec<u8>) -> bool {
        let mut clean = true;
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Value { source, escape } => {
                    let from = out.len();
                    source.write(values, out);
                    match escape {
                        Escape::Raw => clean &= !out[from..].iter().any(u8::is_ascii_control),
                        _ if out[from..].iter().all(|byte| unreserved(*byte)) => {}
                        escape => {
                            let value = out.split_off(from);
                            escape.write(&value, out);
                        }
                    }
                }
            }
        }
        clean
    }
}

impl Names {
    fn resolve(&mut self, expression: &str, escape: Escape) -> Result<(Source, Escape), String> {
        let words: Vec<&str> = expression.split_whitespace().collect();
        let source = match words.as_slice() {
            ["uuid"] => Source::Uuid,
            ["now"] => Source::Now,
            ["counter"] => Source::Counter(position_or_add(&mut self.counters, "")),
            ["counter", name] => Source::Counter(position_or_add(&mut self.counters, name)),
            ["randint", first, last] => {
                let number = |text: &str| text.parse::<i64>().map_err(|_| format!("${{{expression}}}: \"{text}\" is not a whole number"));
                let (first, last) = (number(first)?, number(last)?);
                if first > last {
                    return Err(format!("${{{expression}}}: {first} is greater than {last}"));
                }
                Source::RandInt { first, last }
            }
            ["randint", ..] => return Err(format!("${{{expression}}}: write it as ${{randint FIRST LAST}}")),
            ["raw", name] => return Ok((self.named(name)?, Escape::Raw)),
            [name] => self.named(name)?,
            _ => return Err(format!("${{{expression}}} is neither a name nor uuid, now, counter, randint FIRST LAST, raw NAME")),
        };
        Ok((source, escape))
    }

    fn named(&self, name: &str) -> Result<Source, String> {
        if let Some(slot) = self.slots.iter().position(|slot| slot == name) {
            return Ok(Source::Slot(slot));
        }
        let (feed_name, column_name) = name.split_once('.').unwrap_or((name, ""));
        if let Some(feed) = self.feeds.iter().position(|(feed, _)| feed == feed_name) {
            let columns = &self.feeds[feed].1;
            let column = match column_name {
                "" if columns.len() == 1 => Some(0),
                "" => None,
                column => columns.iter().position(|c| c == column),
            };
            return match column {
                Some(column) => Ok(Source::Column { feed, column }),
                None => Err(format!("${{{name}}}: the columns of \"{feed_name}\" are {}", columns.join(", "))),
            };
        }
        let known: Vec<&str> = self.slots.iter().map(String::as_str).chain(self.feeds.iter().map(|(feed, _)| feed.as_str())).collect();
        Err(match known.as_slice() {
            [] => format!("${{{name}}} is not known: nothing is extracted before it and there is no [data]"),
            known => format!("${{{name}}} is not known here; known are {}", known.join(", ")),
        })
    }
}

impl Source {
    fn write(&self, values: &mut Values, out: &mut Vec<u8>) {
        match self {
            Source::Slot(slot) => out.extend_from_slice(&values.slots[*slot]),
            Source::Column { feed, column } => values.feeds[*feed].write(values.rows[*feed], *column, out),
            Source::RandInt { first, last } => {
                // The whole range of i64 has 2^64 numbers, one more than `below` takes.
                let span = last.abs_diff(*first).checked_add(1);
                let offset = match span {
                    Some(span) => values.dice.below(span),
                    None => values.dice.next(),
                };
                write_integer(first.wrapping_add_unsigned(offset), out);
            }
            Source::Counter(counter) => write_integer(values.counters[*counter].fetch_add(1, Ordering::Relaxed) as i64 + 1, out),
            Source::Now => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                write_integer(since.as_millis() as i64, out);
            }
            Source::Uuid => write_uuid(values.dice, out),
        }
    }
}

impl Escape {
    fn write(self, value: &[u8], out: &mut Vec<u8>) {
        for &byte in value {
            match self {
                Escape::Url | Escape::Form if unreserved(byte) => out.push(byte),
                Escape::Url if byte == b'/' => out.push(byte),
                Escape::Form if byte == b' ' => out.push(b'+'),
                Escape::Url | Escape::Form => {
                    out.extend_from_slice(&[b'%', HEX_UPPER[usize::from(byte >> 4)], HEX_UPPER[usize::from(byte & 15)]])
                }
                Escape::Json => match byte {
                    b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                    0..0x20 | 0x7f => out.extend_from_slice(&[
                        b'\\',
                        b'u',
                        b'0',
                        b'0',
                        HEX_UPPER[usize::from(byte >> 4)],
                        HEX_UPPER[usize::from(byte & 15)],
                    ]),
                    byte => out.push(byte),
                },
                Escape::Raw => out.push(byte),
            }
        }
    }
}

/// Percent-encodes for a form or a query.
pub fn form_encode(text: &str) -> String {
    let mut out = Vec::new();
    Escape::Form.write(text.as_bytes(), &mut out);
    String::from_utf8(out).expect("percent-encoding is ASCII")
}

/// RFC 9562 version 4.
fn write_uuid(dice: &mut Dice, out: &mut Vec<u8>) {
    let mut bytes = [0u8; 16];
    bytes[..8].copy_from_slice(&dice.next().to_be_bytes());
    bytes[8..].copy_from_slice(&dice.next().to_be_bytes());
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    for (i, byte) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        out.push(HEX_LOWER[usize::from(byte >> 4)]);
        out.push(HEX_LOWER[usize::from(byte & 15)]);
    }
}

/// RFC 3986 section 2.3.
fn unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn position_or_add(names: &mut Vec<String>, name: &str) -> usize {
    names.iter().position(|known| known == name).unwrap_or_else(|| {
        names.push(name.to_string());
        names.len() - 1
    })
}

const HEX_UPPER: &[u8; 16] = b"0123456789ABCDEF";
const HEX_LOWER: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests;
