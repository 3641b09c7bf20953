//! Where content ends: the lengths, the chunks and the trailers.

use std::ops::Range;

use crate::{Fields, Framing, Limits, Refusal};

/// Extension bytes in one chunk's size line. We pass none on, so this is only how much nonsense a sender may put there.
const EXTENSION_BYTES_MAX: usize = 256;

/// Extension bytes in a whole message: many one-byte chunks with extensions would otherwise cost more in framing than in content.
const EXTENSIONS_BYTES_MAX: usize = 16 << 10;

/// Chunk sizes have at most this many digits (2^60 bytes), so that no sum overflows.
const SIZE_DIGITS_MAX: usize = 15;

/// Reads the content of one message.
#[derive(Clone, Debug, Default)]
pub struct BodyDecoder {
    state: State,
    extension_bytes: usize,
}

/// What [`BodyDecoder::decode`] found. Ranges are within the input it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyEvent {
    /// Nothing to tell before more bytes arrive.
    NeedMore,
    Data(Range<usize>),
    /// The message is complete; trailers, if any, are in the `Fields` given.
    End,
}

/// ```text
/// AwaitSize --size > 0--> InChunk --all--> AwaitChunkEnd --CR LF--> AwaitSize
///     '-----size = 0--> AwaitTrailers --empty line--> Done
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Done,
    InLength(u64),
    UntilClose,
    AwaitSize,
    InChunk(u64),
    AwaitChunkEnd,
    AwaitTrailers,
}

impl BodyDecoder {
    pub fn new(framing: Framing) -> BodyDecoder {
        let state = match framing {
            Framing::Empty | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::InLength(length),
            Framing::Chunked => State::AwaitSize,
            Framing::UntilClose | Framing::Tunnel => State::UntilClose,
        };
        BodyDecoder { state, extension_bytes: 0 }
    }

    /// Reads from the start of `input`. Returns how many bytes are done with (a `Data` range lies within them) and what they were.
    ///
    /// [`BodyEvent::NeedMore`] may come with bytes consumed. After [`BodyEvent::End`] nothing more is consumed.
    pub fn decode(&mut self, input: &[u8], trailers: &mut Fields, limits: &Limits) -> Result<(usize, BodyEvent), Refusal> {
        let mut at = 0;
        loop {
            let rest = &input[at..];
            match self.state {
                State::Done => return Ok((at, BodyEvent::End)),
                _ if rest.is_empty() => return Ok((at, BodyEvent::NeedMore)),
                State::UntilClose => return Ok((input.len(), BodyEvent::Data(at..input.len()))),
                State::InLength(left) => {
                    let (end, left) = advance(at, rest, left);
                    self.state = if left == 0 { State::Done } else { State::InLength(left) };
                    return Ok((end, BodyEvent::Data(at..end)));
                }
                State::InChunk(left) => {
                    let (end, left) = advance(at, rest, left);
                    self.state = if left == 0 { State::AwaitChunkEnd } else { State::InChunk(left) };
                    return Ok((end, BodyEvent::Data(at..end)));
                }
                State::AwaitChunkEnd => match rest {
                    [b'\r', b'\n', ..] => (at, self.state) = (at + 2, State::AwaitSize),
                    [b'\r'] => return Ok((at, BodyEvent::NeedMore)),
                    _ => return Err(Refusal::ChunkEnd),
                },
                State::AwaitSize => {
                    let Some((length, size, extension)) = parse_size_line(rest)? else { return Ok((at, BodyEvent::NeedMore)) };
                    self.extension_bytes += extension;
                    if self.extension_bytes > EXTENSIONS_BYTES_MAX {
                        return Err(Refusal::ChunkExtensionTooLong);
                    }
                    at += length;
                    trailers.clear();
                    self.state = if size == 0 { State::AwaitTrailers } else { State::InChunk(size) };
                }
                State::AwaitTrailers => {
                    // Nearly always there are none: do not build a table for that.
                    let length = match rest {
                        [b'\r', b'\n', ..] => Some(2),
                        _ => trailers.parse_trailers(rest, limits)?,
                    };
                    let Some(length) = length else { return Ok((at, BodyEvent::NeedMore)) };
                    (at, self.state) = (at + length, State::Done);
                }
            }
        }
    }

    /// The peer has closed its side. `Ok` if that is how this message ends.
    pub fn close(&mut self) -> Result<(), Refusal> {
        match self.state {
            State::Done | State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            _ => Err(Refusal::Truncated),
        }
    }

    pub fn done(&self) -> bool {
        self.state == State::Done
    }
}

// === helpers ===

fn advance(at: usize, rest: &[u8], left: u64) -> (usize, u64) {
    let taken = left.min(rest.len() as u64);
    (at + taken as usize, left - taken)
}

/// `chunk-size [ chunk-ext ] CRLF` (RFC 9112 §7.1). Returns the line's length, the size, and the bytes of extensions.
///
/// Goes byte by byte so that a bad byte is refused when it arrives, whatever follows.
fn parse_size_line(input: &[u8]) -> Result<Option<(usize, u64, usize)>, Refusal> {
    let mut size = 0u64;
    let mut digits = 0;
    while let Some(digit) = input.get(digits).and_then(|&b| (b as char).to_digit(16)) {
        digits += 1;
        if digits > SIZE_DIGITS_MAX {
            return Err(Refusal::ChunkSize);
        }
        size = size << 4 | u64::from(digit);
    }
    let Some(&after) = input.get(digits) else { return Ok(None) };
    match (digits, after) {
        (0, _) => Err(Refusal::ChunkSize),
        (_, b'\r') => match input.get(digits + 1) {
            Some(b'\n') => Ok(Some((digits + 2, size, 0))),
            Some(_) => Err(Refusal::ChunkSize),
            None => Ok(None),
        },
        (_, b';' | b' ' | b'\t') => {
            let extension = parse_extensions(&input[digits..])?;
            Ok(extension.map(|length| (digits + length + 2, size, length)))
        }
        _ => Err(Refusal::ChunkSize),
    }
}

/// `*( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] )` (RFC 9112 §7.1.1), then CR LF. Returns the length without CR LF.
fn parse_extensions(input: &[u8]) -> Result<Option<usize>, Refusal> {
    #[derive(Clone, Copy, PartialEq)]
    enum At {
        /// Where `;` or CR may come; `blank` when whitespace was just skipped, which must be followed by `;` (or `=`).
        Between {
            blank: bool,
            value: bool,
        },
        Name,
        InName,
        Value,
        InValue,
        InQuoted,
        Escaped,
        Lf,
    }
    let token = |b: u8| crate::target::TOKEN[b as usize];
    let mut state = At::Between { blank: false, value: true };
    for (i, &b) in input.iter().enumerate() {
        if i > EXTENSION_BYTES_MAX {
            return Err(Refusal::ChunkExtensionTooLong);
        }
        state = match (state, b) {
            (At::Lf, b'\n') => return Ok(Some(i - 1)),
            (At::Between { value, .. }, b' ' | b'\t') => At::Between { blank: true, value },
            (At::Between { .. } | At::InName | At::InValue, b';') => At::Name,
            (At::Between { value: false, .. } | At::InName, b'=') => At::Value,
            (At::Between { blank: false, .. } | At::InName | At::InValue, b'\r') => At::Lf,
            (At::InName, b' ' | b'\t') => At::Between { blank: true, value: false },
            (At::InValue, b' ' | b'\t') => At::Between { blank: true, value: true },
            (At::Name | At::Value, b' ' | b'\t') => state,
            (At::Name | At::InName, b) if token(b) => At::InName,
            (At::Value, b'"') => At::InQuoted,
            (At::Value | At::InValue, b) if token(b) => At::InValue,
            (At::InQuoted, b'"') => At::Between { blank: false, value: true },
            (At::InQuoted, b'\\') => At::Escaped,
            (At::InQuoted | At::Escaped, b'\t' | b' '..=b'~' | 0x80..) => At::InQuoted,
            _ => return Err(Refusal::ChunkSize),
        };
    }
    Ok(None)
}
