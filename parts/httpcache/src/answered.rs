//! A response as the cache sees it.
use crate::{
    FieldLines,
    directives::{ResponseDirectives, elements, seconds},
    range::ContentRange,
};

/// What of a response's head a cache decides by.
#[derive(Clone, Debug, Default)]
pub struct Answered<'a> {
    pub status: u16,
    /// From CDN-Cache-Control where that is valid, else from Cache-Control (RFC 9213 §2.2).
    pub directives: ResponseDirectives<'a>,
    /// The directives are targeted: Expires does not count (RFC 9213 §2.2).
    pub targeted: bool,
    pub date: Option<&'a [u8]>,
    pub expires: Option<Expires<'a>>,
    /// Seconds, from the first valid element of Age (RFC 9111 §5.1).
    pub age_s: u32,
    /// Of these two the last line, should there be several.
    pub last_modified: Option<&'a [u8]>,
    pub etag: Option<&'a [u8]>,
    /// Some line of Vary says `*`.
    pub vary_all: bool,
    pub set_cookie: bool,
    /// The part that a 206 carries, if it is one part of something whose length is known.
    pub part: Option<ContentRange>,
    pub location: Option<&'a [u8]>,
    pub content_location: Option<&'a [u8]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expires<'a> {
    Once(&'a [u8]),
    /// More than one line: invalid (§4.2.1).
    Repeated,
}

/// Collects field lines, and decides between Cache-Control and its targeted stand-in when it has seen all.
#[derive(Default)]
struct AnsweredBuilder<'a> {
    answered: Answered<'a>,
    targeted: Vec<&'a [u8]>,
    age_seen: bool,
}

impl<'a> Answered<'a> {
    pub fn of(status: u16, fields: impl FieldLines<'a>) -> Answered<'a> {
        let mut builder = AnsweredBuilder::default();
        builder.answered.status = status;
        for (name, value) in fields {
            builder.see(name, value);
        }
        builder.build()
    }

    /// A status below 400 to an unsafe request invalidates (§4.4).
    pub fn not_an_error(&self) -> bool {
        (200..400).contains(&self.status)
    }
}

impl<'a> AnsweredBuilder<'a> {
    fn see(&mut self, name: &'a [u8], value: &'a [u8]) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let answered = &mut self.answered;
        match name.len() {
            // §5.1: of a list the first member counts, and what is no number is ignored.
            3 if is("age") && !std::mem::replace(&mut self.age_seen, true) => {
                let first = value.split(|b| *b == b',').next().unwrap_or_default();
                answered.age_s = seconds(first.trim_ascii()).unwrap_or(0);
            }
            4 if is("date") => answered.date = Some(value),
            4 if is("etag") => answered.etag = Some(value),
            4 if is("vary") => answered.vary_all |= elements(value).any(|name| name == b"*"),
            7 if is("expires") => {
                answered.expires = Some(match answered.expires {
                    None => Expires::Once(value),
                    Some(Expires::Once(first)) if first == value => Expires::Once(value),
                    Some(_) => Expires::Repeated,
                })
            }
            8 if is("location") => answered.location = Some(value),
            10 if is("set-cookie") => answered.set_cookie = true,
            13 if is("last-modified") => answered.last_modified = Some(value),
            13 if is("cache-control") => answered.directives.read(value),
            13 if is("content-range") => answered.part = ContentRange::parse(value),
            16 if is("content-location") => answered.content_location = Some(value),
            17 if is("cdn-cache-control") => self.targeted.push(value),
            _ => {}
        }
    }

    fn build(mut self) -> Answered<'a> {
        if !self.targeted.is_empty()
            && let Some(directives) = ResponseDirectives::targeted(&self.targeted)
        {
            self.answered.directives = directives;
            self.answered.targeted = true;
        }
        self.answered
    }
}
