//! What a client gets of a stored page.
use std::ops::Range;

use bytes::Bytes;
use pumasi_httpcache::{Accepted, Asked, CacheStatus, Coding, Method, range};

use crate::{
    Page,
    encode::{describes_plain_bytes, tag_of},
    field_lines,
    lines::{push, push_number},
    page::{Form, push_vary},
};

/// An answer made of a stored page, ready to be written.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    /// The reason phrase is the page's own; otherwise the usual words for the status.
    pub reason_of_page: bool,
    pub content: Content,
    /// A form that this client would have liked better and that is not there: worth a [`Pages::code`](crate::Pages::code).
    pub wanted: Option<Coding>,
}

/// What follows the head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Nothing, and no Content-Length: 304, 204.
    None,
    /// Nothing, but Content-Length tells how much it would have been: HEAD.
    Announced(u64),
    /// This part of the page's body.
    Body(Range<usize>),
    /// The whole in its compressed form, or several parts of it in one.
    Made(Bytes),
}

impl Page {
    /// Decides what this client gets (200, 206, 304 or 416) and appends its field lines, without framing, to `lines`.
    ///
    /// `told`: what Cache-Status says. Times are milliseconds since the Unix epoch.
    pub fn reply(&self, asked: &Asked<'_>, told: Told, now_ms: u64, lines: &mut Vec<u8>) -> Reply {
        let length = self.part.map_or(self.body.len() as u64, |part| part.total);
        let now_s = (now_ms / 1000) as i64;
        let successful = self.status == 200 || self.part.is_some();
        let had = if successful { self.not_modified(asked) } else { None };
        let reply = match had {
            Some(form) => {
                self.push_lines_of_304(form, lines);
                Reply { status: 304, reason_of_page: false, content: Content::None, wanted: None }
            }
            None => {
                // RFC 9110 §14.2: Range is for GET, and for what would have been a 200.
                let part = match asked.method {
                    Method::Get if successful => range::parts(asked, length, self.etag(), self.last_modified(), now_s),
                    _ => range::Parts::Whole,
                };
                match &self.compression {
                    // A part is cut from the plain form.
                    Some(compression) if part == range::Parts::Whole && asked.accept_encoding.is_some() => {
                        self.negotiated(&compression.codings, asked, lines)
                    }
                    _ => match part {
                        range::Parts::Several(parts) if self.cheap(&parts) => self.several(&parts, lines),
                        part => {
                            lines.extend_from_slice(&self.lines);
                            self.part(part, asked, lines)
                        }
                    },
                }
            }
        };
        if self.compression.is_some() {
            push_vary(lines);
        }
        if self.entry.is_none() {
            lines.extend_from_slice(b"Age: ");
            push_number(lines, self.terms.age_s(now_ms));
            lines.extend_from_slice(b"\r\n");
        }
        lines.extend_from_slice(b"Cache-Status: ");
        match told {
            // No lifetime: it was what the origin would answer a moment ago (RFC 9111 §5.1 counts age from there).
            Told::Hit if self.entry.is_some() => lines.extend_from_slice(b"pumasi; hit; detail=automatic"),
            Told::Hit => {
                lines.extend_from_slice(b"pumasi; hit; ttl=");
                let ttl_s = self.terms.ttl_s(now_ms);
                if ttl_s < 0 {
                    lines.push(b'-');
                }
                push_number(lines, ttl_s.unsigned_abs());
            }
            Told::Forwarded(status) => status.write(lines),
        }
        lines.extend_from_slice(b"\r\n");
        reply
    }

    fn part(&self, part: range::Parts, asked: &Asked<'_>, lines: &mut Vec<u8>) -> Reply {
        let length = self.body.len();
        match part {
            // Several large ones: the whole is no more to send, and needs no copy.
            range::Parts::Whole | range::Parts::Several(_) => {
                let content = match (self.status, asked.method) {
                    (204 | 304, _) => Content::None,
                    (_, Method::Head) => Content::Announced(length as u64),
                    _ => Content::Body(0..length),
                };
                Reply { status: self.status, reason_of_page: true, content, wanted: None }
            }
            range::Parts::One { first, last } => {
                push_content_range(lines, Some((first, last)), self.part.map_or(length, |part| part.total as usize));
                let start = (first - self.part.map_or(0, |part| part.first)) as usize;
                let content = Content::Body(start..start + (last - first) as usize + 1);
                Reply { status: 206, reason_of_page: false, content, wanted: None }
            }
            range::Parts::Unsatisfiable => {
                push_content_range(lines, None, length);
                Reply { status: 416, reason_of_page: false, content: Content::Body(0..0), wanted: None }
            }
        }
    }

    fn cheap(&self, parts: &[(u64, u64)]) -> bool {
        parts.iter().map(|(first, last)| last - first + 1).sum::<u64>() <= PARTS_BYTES_MAX
    }

    /// RFC 9110 §14.6.
    fn several(&self, parts: &[(u64, u64)], lines: &mut Vec<u8>) -> Reply {
        let mut content_type: &[u8] = b"";
        for (name, value) in field_lines(&self.lines) {
            match name.eq_ignore_ascii_case(b"content-type") {
                true => content_type = value,
                false => push(lines, name, value),
            }
        }
        // What the page says of itself tells it apart from every other one; that its content holds that very line is up to its author.
        let boundary = format!("pumasi-{:x}-{:x}", self.terms.response_ms, self.body.len());
        push(lines, b"Content-Type", format!("multipart/byteranges; boundary={boundary}").as_bytes());
        let mut content = Vec::new();
        for &(first, last) in parts {
            content.extend_from_slice(format!("\r\n--{boundary}\r\n").as_bytes());
            if !content_type.is_empty() {
                push(&mut content, b"Content-Type", content_type);
            }
            push_content_range(&mut content, Some((first, last)), self.body.len());
            content.extend_from_slice(b"\r\n");
            content.extend_from_slice(&self.body[first as usize..=last as usize]);
        }
        content.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        Reply { status: 206, reason_of_page: false, content: Content::Made(content.into()), wanted: None }
    }

    /// The best form for the client among those that are there.
    fn negotiated(&self, codings: &[Coding], asked: &Asked<'_>, lines: &mut Vec<u8>) -> Reply {
        let accepted: Accepted = asked.codings();
        let wanted = accepted.best(codings.iter().copied());
        let form = |coding: Coding| Some((coding, self.encodings.form(coding)?));
        let there = match wanted.map(form) {
            None => None,
            Some(Some(found)) => Some(found),
            Some(None) => accepted.best(codings.iter().copied().filter(|coding| self.encodings.form(*coding).is_some())).and_then(form),
        };
        let reply = match there {
            Some((coding, bytes)) => self.coded(coding, bytes, asked, lines),
            None => {
                lines.extend_from_slice(&self.lines);
                self.part(range::Parts::Whole, asked, lines)
            }
        };
        Reply { wanted: wanted.filter(|coding| self.encodings.form(*coding).is_none()), ..reply }
    }

    /// Other bytes than the origin's: what describes those is left out, and the entity tag is another.
    fn coded(&self, coding: Coding, bytes: &Bytes, asked: &Asked<'_>, lines: &mut Vec<u8>) -> Reply {
        for (name, value) in field_lines(&self.lines) {
            if name.eq_ignore_ascii_case(b"etag") {
                push(lines, name, &tag_of(value, coding));
            } else if !describes_plain_bytes(name) {
                push(lines, name, value);
            }
        }
        push(lines, b"Content-Encoding", coding.name().as_bytes());
        let content = match asked.method {
            Method::Head => Content::Announced(bytes.len() as u64),
            _ => Content::Made(bytes.clone()),
        };
        Reply { status: self.status, reason_of_page: true, content, wanted: None }
    }

    /// RFC 9110 §15.4.5: what a 200 would have said, without the fields that describe content that is not there.
    fn push_lines_of_304(&self, had: Form, lines: &mut Vec<u8>) {
        for (name, value) in field_lines(&self.lines) {
            let describes =
                name.len() > 8 && name[..8].eq_ignore_ascii_case(b"content-") && !name.eq_ignore_ascii_case(b"content-location");
            match had {
                _ if describes => {}
                Form::Coded(coding) if name.eq_ignore_ascii_case(b"etag") => push(lines, name, &tag_of(value, coding)),
                _ => push(lines, name, value),
            }
        }
    }
}

/// What Cache-Status says about a reply from the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Hit,
    /// The origin was asked on the way.
    Forwarded(CacheStatus),
}

// === helpers ===

/// Several parts of a page are copied into one answer up to this size; a client that wants more of it at once gets the whole.
const PARTS_BYTES_MAX: u64 = 1 << 20;

/// `bytes 0-1/10`, or `bytes */10`.
fn push_content_range(lines: &mut Vec<u8>, part: Option<(u64, u64)>, length: usize) {
    lines.extend_from_slice(b"Content-Range: bytes ");
    match part {
        Some((first, last)) => {
            push_number(lines, first);
            lines.push(b'-');
            push_number(lines, last);
        }
        None => lines.push(b'*'),
    }
    lines.push(b'/');
    push_number(lines, length as u64);
    lines.extend_from_slice(b"\r\n");
}
