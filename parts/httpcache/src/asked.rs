//! A request as the cache sees it.
use crate::{
    Accepted, Bypass, FieldLines,
    directives::{RequestDirectives, elements},
};

/// What of a request's head a cache decides by. Borrowed; nothing is allocated.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    pub method: Method,
    pub directives: RequestDirectives,
    pub authorization: bool,
    pub cookie: bool,
    pub range: Option<&'a [u8]>,
    pub if_range: Option<&'a [u8]>,
    /// The first line of several.
    pub if_none_match: Option<&'a [u8]>,
    pub if_modified_since: Option<&'a [u8]>,
    pub accept_encoding: Option<&'a [u8]>,
    /// If-Match or If-Unmodified-Since.
    pub precondition: bool,
    has_cache_control: bool,
    pragma_no_cache: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    #[default]
    Get,
    Head,
    Post,
    /// OPTIONS and TRACE: nothing is stored, and nothing becomes wrong.
    OtherSafe,
    /// Everything else, known or not: it may change what the URI answers (RFC 9111 §4.4).
    Unsafe,
}

impl Method {
    pub fn of(method: &[u8]) -> Method {
        match method {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"OPTIONS" | b"TRACE" => Method::OtherSafe,
            _ => Method::Unsafe,
        }
    }

    /// Whether a successful answer invalidates what is stored (§4.4).
    pub fn changes(self) -> bool {
        matches!(self, Method::Post | Method::Unsafe)
    }
}

impl<'a> Asked<'a> {
    pub fn of(method: &[u8], fields: impl FieldLines<'a>) -> Asked<'a> {
        let mut asked = Asked { method: Method::of(method), ..Asked::default() };
        for (name, value) in fields {
            asked.see(name, value);
        }
        // RFC 9111 §5.4: Pragma counts only where there is no Cache-Control.
        asked.directives.no_cache |= asked.pragma_no_cache && !asked.has_cache_control;
        asked
    }

    /// Why this request may not even be looked up; `None` if it may.
    pub fn bypass(&self) -> Option<Bypass> {
        match self.method {
            Method::Get | Method::Head if self.directives.no_store => Some(Bypass::RequestNoStore),
            Method::Get | Method::Head if self.precondition => Some(Bypass::Precondition),
            Method::Get | Method::Head => None,
            _ => Some(Bypass::Method),
        }
    }

    /// Whether the origin's full answer to this request would answer others too: no Range, no condition.
    pub fn plain(&self) -> bool {
        self.range.is_none() && !self.conditional() && !self.precondition
    }

    pub fn conditional(&self) -> bool {
        self.if_none_match.is_some() || self.if_modified_since.is_some()
    }

    /// Which codings of the content the client takes; none if it asks for the page untouched (RFC 9111 §5.2.1.6).
    pub fn codings(&self) -> Accepted {
        Accepted::of(self.accept_encoding.filter(|_| !self.directives.no_transform))
    }

    fn see(&mut self, name: &'a [u8], value: &'a [u8]) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match name.len() {
            5 if is("range") => self.range = Some(value),
            6 if is("cookie") => self.cookie = true,
            6 if is("pragma") => self.pragma_no_cache |= elements(value).any(|e| e.eq_ignore_ascii_case(b"no-cache")),
            8 if is("if-match") => self.precondition = true,
            8 if is("if-range") => self.if_range = Some(value),
            13 if is("authorization") => self.authorization = true,
            13 if is("cache-control") => {
                self.has_cache_control = true;
                self.directives.read(value);
            }
            // A second line is rare, and reading only the first costs at worst a 200 where a 304 would have done.
            13 if is("if-none-match") => self.if_none_match = self.if_none_match.or(Some(value)),
            15 if is("accept-encoding") => self.accept_encoding = Some(value),
            17 if is("if-modified-since") => self.if_modified_since = Some(value),
            19 if is("if-unmodified-since") => self.precondition = true,
            _ => {}
        }
    }
}
