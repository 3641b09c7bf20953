//! The head of a response: status line, fields, and where its content ends given what was asked.

use std::mem::MaybeUninit;

use crate::{
    FIELDS_MAX, Fields, Framing, Limits, Refusal, Version,
    fields::{Lines, blame},
    request::Facts,
    usual,
};

/// A response's head, checked. Reused from response to response.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    pub fields: Fields,
    pub status: u16,
    pub version: Version,
    pub framing: Framing,
    /// The Content-Length as sent, also where it describes content that is not sent (HEAD, 304).
    pub length: Option<u64>,
    /// The peer will take another request on this connection (RFC 9112 §9.3).
    pub keep_alive: bool,
    /// Connection names fields other than the usual ones, which a proxy must remove as well (RFC 9110 §7.6.1).
    pub nominates: bool,
    reason: (u32, u32),
}

/// What the request was, as far as the framing of its response depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub head: bool,
    pub upgrade: bool,
}

impl ResponseHead {
    /// Parses the head at the start of `input`. Returns its length, or `None` while its empty line has not arrived.
    pub fn parse(&mut self, input: &[u8], asked: Asked, limits: &Limits) -> Result<Option<usize>, Refusal> {
        match self.parse_usual(&input[..input.len().min(limits.head_bytes_max)], limits) {
            Some(length) => self.frame(asked).map(|()| Some(length)),
            None => self.parse_any(input, asked, limits),
        }
    }

    /// Any head at all, or what is wrong with it.
    pub(crate) fn parse_any(&mut self, input: &[u8], asked: Asked, limits: &Limits) -> Result<Option<usize>, Refusal> {
        if let [b'\r' | b'\n', ..] = input {
            return Err(Refusal::StatusLine); // httparse would skip any number of empty lines
        }
        let window = &input[..input.len().min(limits.head_bytes_max)];
        let mut scratch = [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; FIELDS_MAX];
        let mut parsed = httparse::Response::new(&mut []);
        let status = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut parsed,
            window,
            &mut scratch[..limits.fields_max.min(FIELDS_MAX)],
        );
        match status.map_err(|error| blame(error, window, Lines::AfterFirst))? {
            httparse::Status::Partial if input.len() > window.len() => Err(Refusal::HeadTooLong),
            httparse::Status::Partial => Ok(None),
            httparse::Status::Complete(length) => self.take(&window[..length], &parsed, asked).map(|()| Some(length)),
        }
    }

    /// May be empty. Never to be trusted for anything (RFC 9112 §4).
    pub fn reason(&self) -> &[u8] {
        &self.fields.bytes[self.reason.0 as usize..][..self.reason.1 as usize]
    }

    /// 1xx: another response to the same request follows (RFC 9110 §15.2). 101 is final for HTTP.
    pub fn interim(&self) -> bool {
        matches!(self.status, 100 | 102..=199)
    }

    /// The raw head, with its empty line.
    pub fn bytes(&self) -> &[u8] {
        &self.fields.bytes
    }

    /// Takes a usual head over, and says how long it is.
    fn parse_usual(&mut self, window: &[u8], limits: &Limits) -> Option<usize> {
        let line = usual::status_line(window)?;
        let (list, seen) = self.fields.begin();
        let length = usual::fields(window, line.end, limits.fields_max.min(FIELDS_MAX), list, seen)?;
        self.fields.bytes.clear();
        self.fields.bytes.extend_from_slice(&window[..length]);
        (self.version, self.status) = (line.version, line.status);
        self.reason = (usual::REASON as u32, (line.reason_end - usual::REASON) as u32);
        Some(length)
    }

    fn take(&mut self, head: &[u8], parsed: &httparse::Response<'_, '_>, asked: Asked) -> Result<(), Refusal> {
        let (Some(version), Some(status)) = (parsed.version, parsed.code) else { return Err(Refusal::StatusLine) };
        self.version = if version == 1 { Version::Http11 } else { Version::Http10 };
        self.status = status;
        if !(100..=599).contains(&status) {
            return Err(Refusal::StatusLine);
        }
        let line = memchr::memchr(b'\n', head).ok_or(Refusal::StatusLine)?;
        if line == 0 || head[line - 1] != b'\r' {
            return Err(Refusal::LineEnd);
        }
        self.fields.take(head, line + 1, parsed.headers)?;
        self.reason = match line - 1 {
            end @ 13.. => (13, end as u32 - 13), // "HTTP/1.1 200 " is 13 bytes
            _ => (0, 0),
        };
        self.frame(asked)
    }

    fn frame(&mut self, asked: Asked) -> Result<(), Refusal> {
        let facts = Facts::of(&self.fields, self.version)?;
        self.length = facts.length;
        self.nominates = facts.nominates;
        self.keep_alive = !facts.close && (self.version == Version::Http11 || facts.keep_alive);
        self.framing = match (self.status, facts.length, facts.chunked) {
            (101, ..) if !asked.upgrade => return Err(Refusal::SwitchedUnasked),
            (101, ..) => Framing::Tunnel,
            (100..=199 | 204 | 304, ..) => Framing::Empty, // RFC 9112 §6.3 item 1
            _ if asked.head => Framing::Empty,
            (.., true) => Framing::Chunked,
            _ if facts.coded_to_the_end => Framing::UntilClose, // item 4.1: not ambiguous, and never reused
            (_, Some(0), _) => Framing::Empty,
            (_, Some(length), _) => Framing::Length(length),
            (_, None, false) => Framing::UntilClose, // item 8
        };
        if matches!(self.framing, Framing::UntilClose | Framing::Tunnel) {
            self.keep_alive = false;
        }
        Ok(())
    }
}
