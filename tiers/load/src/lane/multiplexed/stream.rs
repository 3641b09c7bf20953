//! One request on an HTTP/2 connection and what has arrived of its answer.

use super::frames::{WINDOW_FIRST, code};
use crate::reply::{BODY_KEPT_MAX, Expect};

/// ```text
/// Vacant --sent--> AwaitHead --HEADERS--> AwaitBody --END_STREAM--> Ended --free--> Vacant
///                  AwaitHead --HEADERS with END_STREAM------------> Ended
///                  any --RST_STREAM, GOAWAY, malformed------------> Ended
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Phase {
    Vacant,
    AwaitHead,
    AwaitBody,
    /// Told; the slot is kept until its answer has been looked at.
    Ended,
}

/// Slots are used again and keep their memory.
#[derive(Debug)]
pub struct Stream {
    pub phase: Phase,
    pub journey: u32,
    pub sent_ns: u64,
    pub first_byte_ns: u64,
    pub expect: Expect,
    pub status: u16,
    pub head: Vec<u8>,
    pub body: Vec<u8>,
    pub body_bytes: u64,
    /// As the answer announces it.
    length: Option<u64>,
    /// Of the request's body, with how much of it has left.
    pub unsent: Vec<u8>,
    pub unsent_at: usize,
    /// What the server takes of the body now. Negative after it took back what it had allowed (RFC 9113 section 6.9.2).
    pub window: i64,
    /// Received and not yet given back to the server's window.
    pub owed: u32,
}

impl Default for Stream {
    fn default() -> Stream {
        Stream {
            phase: Phase::Vacant,
            journey: 0,
            sent_ns: 0,
            first_byte_ns: 0,
            expect: Expect::default(),
            status: 0,
            head: Vec::new(),
            body: Vec::new(),
            body_bytes: 0,
            length: None,
            unsent: Vec::new(),
            unsent_at: 0,
            window: WINDOW_FIRST,
            owed: 0,
        }
    }
}

impl Stream {
    pub fn begin(&mut self, journey: u32, expect: Expect, body: &[u8], window: i64, now: u64) {
        self.phase = Phase::AwaitHead;
        (self.journey, self.sent_ns, self.first_byte_ns, self.expect) = (journey, now, 0, expect);
        (self.status, self.body_bytes, self.length, self.window, self.owed) = (0, 0, None, window, 0);
        self.head.clear();
        self.body.clear();
        self.unsent.clear();
        self.unsent.extend_from_slice(body);
        self.unsent_at = 0;
    }

    pub fn under_way(&self) -> bool {
        matches!(self.phase, Phase::AwaitHead | Phase::AwaitBody)
    }

    /// Bytes of the request's body that have not left.
    pub fn unsent(&self) -> usize {
        self.unsent.len() - self.unsent_at
    }

    /// A field of the answer's head. The first must be its status.
    pub fn field(&mut self, name: &[u8], value: &[u8]) {
        if name == b":status" {
            self.status = value.iter().fold(0, |status, digit| status * 10 % 1000 + u16::from(digit.wrapping_sub(b'0') % 10));
        } else if name == b"content-length" {
            self.length = std::str::from_utf8(value).ok().and_then(|length| length.parse().ok());
        }
        if !self.expect.keep_head {
            return;
        }
        // As HTTP/1.1 would have written it: that is what checks and extraction read.
        if name == b":status" {
            self.head.extend_from_slice(b"HTTP/2 ");
            self.head.extend_from_slice(value);
        } else {
            self.head.extend_from_slice(name);
            self.head.extend_from_slice(b": ");
            self.head.extend_from_slice(value);
        }
        self.head.extend_from_slice(b"\r\n");
    }

    /// The head is complete. False: it has no status. An interim answer (1xx) is forgotten: another head follows.
    pub fn head_complete(&mut self, now: u64) -> bool {
        if self.first_byte_ns == 0 {
            self.first_byte_ns = now;
        }
        match self.status {
            100..=199 => {
                (self.status, self.length) = (0, None);
                self.head.clear();
            }
            200..=999 => {
                self.phase = Phase::AwaitBody;
                if self.expect.keep_head {
                    self.head.extend_from_slice(b"\r\n");
                }
            }
            _ => return false,
        }
        true
    }

    pub fn take(&mut self, data: &[u8]) {
        self.body_bytes += data.len() as u64;
        if self.expect.keep_body {
            let room = BODY_KEPT_MAX - self.body.len();
            self.body.extend_from_slice(&data[..room.min(data.len())]);
        }
    }

    /// The answer is complete: whether it is as long as it said (RFC 9113 section 8.1.1).
    pub fn whole(&self) -> bool {
        let bodiless = self.expect.no_body || matches!(self.status, 204 | 304);
        bodiless || self.length.is_none_or(|length| length == self.body_bytes)
    }
}

/// What became of a stream in a turn.
#[derive(Debug)]
pub enum StreamEnd {
    Answered,
    /// `unprocessed`: the server says that it has not looked at the request (RFC 9113 section 8.7), so it may be sent again.
    Failed {
        reason: String,
        unprocessed: bool,
    },
}

impl StreamEnd {
    pub fn reset(number: u32) -> StreamEnd {
        StreamEnd::Failed {
            reason: format!("the server reset the request ({})", code::name(number)),
            unprocessed: number == code::REFUSED_STREAM,
        }
    }

    pub fn malformed(reason: &str) -> StreamEnd {
        StreamEnd::Failed { reason: reason.to_string(), unprocessed: false }
    }
}
