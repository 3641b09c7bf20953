//! Reads one HTTP/1.1 answer after another from whatever slices the socket gives: the codec of `pumasi-http1`, and what a generator needs
//! on top of it. Sans-I/O; allocates nothing for an answer whose head arrives whole and whose body nobody asked to keep.

use pumasi_http1::{Asked, Limits, ResponseDecoder, ResponseEvent};

/// Status line and headers may take this many bytes: more than servers send, since a generator should not refuse what a browser takes.
const LIMITS: Limits = Limits { head_bytes_max: 64 * 1024, fields_max: pumasi_http1::FIELDS_MAX };
/// Kept of a body that checks or extraction look at. The rest is counted and dropped; a check on it fails visibly.
pub const BODY_KEPT_MAX: usize = 1024 * 1024;

/// What the request was decides how its answer is framed and what is kept of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expect {
    /// The request was HEAD: there is no body whatever the headers say.
    pub no_body: bool,
    pub keep_body: bool,
    /// HTTP/2: whether anything reads the head. HTTP/1.1 has it as text anyway.
    pub keep_head: bool,
}

/// A complete answer as checks and extraction see it, whatever protocol brought it.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    pub status: u16,
    /// Status line and headers in HTTP/1.1's form, empty line included.
    pub head: &'a [u8],
    /// The first [`BODY_KEPT_MAX`] bytes; empty unless [`Expect::keep_body`].
    pub body: &'a [u8],
    /// Without any framing.
    pub body_bytes: u64,
}

/// Reads the answers of one connection. Reusable: [`Reader::begin`] before each answer.
#[derive(Debug, Default)]
pub struct Reader {
    decoder: ResponseDecoder,
    expect: Expect,
    /// Bytes that tell nothing before more arrive: a head or a chunk's size in pieces.
    pending: Vec<u8>,
    body: Vec<u8>,
    body_bytes: u64,
}

#[derive(Debug, PartialEq)]
pub enum Progress {
    More,
    /// The answer is complete; `used` bytes of the slice belonged to it.
    Done {
        used: usize,
    },
    /// Not HTTP/1.x as we accept it, with the reason. The connection is of no further use.
    Refused(String),
}

impl Reader {
    pub fn begin(&mut self, expect: Expect) {
        self.decoder.expect(Asked { head: expect.no_body, upgrade: false });
        self.expect = expect;
        self.pending.clear();
        self.body.clear();
        self.body_bytes = 0;
    }

    /// What was read, once it is complete.
    pub fn answer(&self) -> Answer<'_> {
        Answer { status: self.status(), head: self.head(), body: &self.body, body_bytes: self.body_bytes }
    }

    pub fn status(&self) -> u16 {
        self.decoder.head().status
    }

    /// Whether another request may follow on the connection.
    pub fn reusable(&self) -> bool {
        self.decoder.head().keep_alive
    }

    /// Status line and headers, empty line included.
    pub fn head(&self) -> &[u8] {
        self.decoder.head().bytes()
    }

    /// The first [`BODY_KEPT_MAX`] bytes of the body; empty unless `keep_body`.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Takes the next bytes of the connection.
    pub fn feed(&mut self, bytes: &[u8]) -> Progress {
        if self.pending.is_empty() {
            return self.consume(bytes);
        }
        let mut whole = std::mem::take(&mut self.pending);
        let before = whole.len();
        whole.extend_from_slice(bytes);
        match self.consume(&whole) {
            Progress::Done { used } => Progress::Done { used: used - before },
            other => other,
        }
    }

    /// The peer closed its side. True if that completes the answer: only a body that has no other end (RFC 9112 section 6.3, rule 8).
    pub fn end(&mut self) -> bool {
        self.decoder.close(&self.pending) == Ok(true)
    }

    fn consume(&mut self, bytes: &[u8]) -> Progress {
        let mut at = 0;
        loop {
            let (used, event) = match self.decoder.decode(&bytes[at..], &LIMITS) {
                Ok(decoded) => decoded,
                Err(refusal) => return Progress::Refused(refusal.to_string()),
            };
            match event {
                ResponseEvent::Interim | ResponseEvent::Head => {}
                ResponseEvent::Data(range) => {
                    self.body_bytes += range.len() as u64;
                    if self.expect.keep_body {
                        let room = BODY_KEPT_MAX - self.body.len();
                        let data = &bytes[at..][range];
                        self.body.extend_from_slice(&data[..room.min(data.len())]);
                    }
                }
                ResponseEvent::End => return Progress::Done { used: at + used },
                ResponseEvent::NeedMore => {
                    self.pending.extend_from_slice(&bytes[at + used..]);
                    return Progress::More;
                }
            }
            at += used;
        }
    }
}

/// The value of the first header named `name` in a head as [`Reader::head`] keeps it; None if there is none.
pub fn header<'h>(head: &'h [u8], name: &str) -> Option<&'h [u8]> {
    headers(head, name).next()
}

/// The values of all headers named `name`, in order.
pub fn headers<'h>(head: &'h [u8], name: &str) -> impl Iterator<Item = &'h [u8]> {
    head.split(|byte| *byte == b'\n').skip(1).filter_map(move |line| {
        let colon = memchr::memchr(b':', line)?;
        line[..colon].eq_ignore_ascii_case(name.as_bytes()).then(|| line[colon + 1..].trim_ascii())
    })
}

#[cfg(test)]
mod tests;
