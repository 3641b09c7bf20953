//! The head of a request: first line, fields, and what they say about framing.

use std::mem::MaybeUninit;

use crate::{
    Authority, FIELDS_MAX, Fields, Framing, Known, Limits, Refusal, Version,
    fields::{Lines, blame},
    target::is_target,
    usual,
};

/// A request's head, checked. Reused from request to request: [`RequestHead::parse`] overwrites it.
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    pub fields: Fields,
    method_end: u32,
    target: (u32, u32),
    /// The part of the target that is path and query; the whole target unless it is absolute.
    path: (u32, u32),
    /// Host, with its port if it has one: from an absolute target, else from Host. Empty in HTTP/1.0 without Host.
    authority: (u32, u32),
    /// The host's share of the authority, from its start.
    host_length: u32,
    pub form: TargetForm,
    pub version: Version,
    pub framing: Framing,
    /// What the client asks for: HTTP/1.1 without `close`, or HTTP/1.0 with `keep-alive` (RFC 9112 §9.3).
    pub keep_alive: bool,
    /// `Expect: 100-continue` in HTTP/1.1 with content to wait for (RFC 9110 §10.1.1).
    pub expects_continue: bool,
    /// `Connection: upgrade` and an Upgrade field, in HTTP/1.1 (RFC 9110 §7.8).
    pub upgrade: bool,
    /// Connection names fields other than the usual ones, which a proxy must remove as well (RFC 9110 §7.6.1).
    pub nominates: bool,
}

/// RFC 9112 §3.2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetForm {
    #[default]
    Origin,
    Absolute,
    /// CONNECT only.
    Authority,
    /// `OPTIONS *` only.
    Asterisk,
}

impl RequestHead {
    /// Parses the head at the start of `input`. Returns its length, or `None` while its empty line has not arrived.
    pub fn parse(&mut self, input: &[u8], limits: &Limits) -> Result<Option<usize>, Refusal> {
        match self.parse_usual(&input[..input.len().min(limits.head_bytes_max)], limits) {
            Some(length) => self.understand_usual().map(|()| Some(length)),
            None => self.parse_any(input, limits),
        }
    }

    /// Any head at all, or what is wrong with it.
    pub(crate) fn parse_any(&mut self, input: &[u8], limits: &Limits) -> Result<Option<usize>, Refusal> {
        if let [b'\r' | b'\n', ..] = input {
            return Err(Refusal::RequestLine); // httparse would skip any number of empty lines
        }
        let window = &input[..input.len().min(limits.head_bytes_max)];
        let mut scratch = [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; FIELDS_MAX];
        let mut parsed = httparse::Request::new(&mut []);
        let status = parsed.parse_with_uninit_headers(window, &mut scratch[..limits.fields_max.min(FIELDS_MAX)]);
        match status.map_err(|error| blame(error, window, Lines::AfterFirst))? {
            httparse::Status::Partial if input.len() > window.len() => Err(too_long(window)),
            httparse::Status::Partial => Ok(None),
            httparse::Status::Complete(length) => self.take(&window[..length], &parsed).map(|()| Some(length)),
        }
    }

    /// Takes a usual head over as far as its lines go, and says how long it is.
    fn parse_usual(&mut self, window: &[u8], limits: &Limits) -> Option<usize> {
        let line = usual::request_line(window)?;
        let (list, seen) = self.fields.begin();
        let length = usual::fields(window, line.end, limits.fields_max.min(FIELDS_MAX), list, seen)?;
        self.fields.bytes.clear();
        self.fields.bytes.extend_from_slice(&window[..length]);
        self.version = line.version;
        self.method_end = line.method_end as u32;
        self.target = (line.method_end as u32 + 1, (line.target_end - line.method_end - 1) as u32);
        Some(length)
    }

    /// What the lines of a usual head mean.
    fn understand_usual(&mut self) -> Result<(), Refusal> {
        (self.form, self.path) = (TargetForm::Origin, self.target);
        (self.authority, self.host_length) = self.find_authority(None)?;
        self.frame()
    }

    /// As written; case-sensitive (RFC 9110 §9.1).
    pub fn method(&self) -> &[u8] {
        &self.fields.bytes[..self.method_end as usize]
    }

    /// As written on the request line.
    pub fn target(&self) -> &[u8] {
        self.slice(self.target)
    }

    /// Path and query in origin form: what is asked of an upstream. `/` for an absolute target without a path, `*` for `OPTIONS *`.
    pub fn path_and_query(&self) -> &[u8] {
        match self.slice(self.path) {
            [] => b"/",
            path => path,
        }
    }

    /// The path without the query.
    pub fn path(&self) -> &[u8] {
        let whole = self.path_and_query();
        &whole[..whole.iter().position(|&b| b == b'?').unwrap_or(whole.len())]
    }

    /// Host and port as written; empty for HTTP/1.0 without Host.
    pub fn authority(&self) -> &[u8] {
        self.slice(self.authority)
    }

    /// The host in the authority, without port, in the case it was written in.
    pub fn host(&self) -> &[u8] {
        &self.authority()[..self.host_length as usize]
    }

    /// Safe methods change nothing (RFC 9110 §9.2.1).
    pub fn safe(&self) -> bool {
        matches!(self.method(), b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE")
    }

    /// Idempotent methods may be sent again when nobody knows whether the first attempt arrived (RFC 9110 §9.2.2).
    pub fn idempotent(&self) -> bool {
        self.safe() || matches!(self.method(), b"PUT" | b"DELETE")
    }

    /// The raw head, with its empty line.
    pub fn bytes(&self) -> &[u8] {
        &self.fields.bytes
    }

    fn slice(&self, (start, length): (u32, u32)) -> &[u8] {
        &self.fields.bytes[start as usize..][..length as usize]
    }

    fn take(&mut self, head: &[u8], parsed: &httparse::Request<'_, '_>) -> Result<(), Refusal> {
        let (Some(method), Some(target), Some(version)) = (parsed.method, parsed.path, parsed.version) else {
            return Err(Refusal::RequestLine);
        };
        self.version = if version == 1 { Version::Http11 } else { Version::Http10 };
        // "GET /x HTTP/1.1\r\n": two spaces, eight letters, CR LF. Anything else between them shows as another length.
        let fields_start = method.len() + target.len() + 12;
        if !head[..fields_start.min(head.len())].ends_with(b"\r\n") {
            return Err(Refusal::LineEnd);
        }
        self.fields.take(head, fields_start, parsed.headers)?;
        self.method_end = method.len() as u32;
        self.target = (method.len() as u32 + 1, target.len() as u32);
        self.locate()?;
        self.frame()
    }

    /// Finds target form, path and authority (RFC 9112 §3.2, §3.3).
    fn locate(&mut self) -> Result<(), Refusal> {
        let target = self.slice(self.target);
        if !is_target(target) {
            return Err(Refusal::Target);
        }
        let (start, length) = self.target;
        let mut in_target = None;
        (self.form, self.path) = match target {
            _ if self.method() == b"CONNECT" => {
                let authority = Authority::parse(target).ok().filter(|a| a.port.is_some()).ok_or(Refusal::Target)?;
                in_target = Some(((start, length), authority.host.len() as u32));
                (TargetForm::Authority, (start, 0))
            }
            [b'/', ..] => (TargetForm::Origin, (start, length)),
            b"*" if self.method() == b"OPTIONS" => (TargetForm::Asterisk, (start, length)),
            absolute => {
                let scheme = memchr::memchr(b':', absolute).ok_or(Refusal::Target)?;
                let known = absolute[..scheme].eq_ignore_ascii_case(b"http") || absolute[..scheme].eq_ignore_ascii_case(b"https");
                let rest = absolute[scheme..].strip_prefix(b"://").filter(|_| known).ok_or(Refusal::Target)?;
                let end = rest.iter().position(|&b| b == b'/' || b == b'?').unwrap_or(rest.len());
                let host_length = Authority::parse(&rest[..end])?.host.len() as u32;
                let authority_start = start + scheme as u32 + 3;
                in_target = Some(((authority_start, end as u32), host_length));
                // `http://host?query` has an empty path, which is sent as `/` (RFC 9112 §3.2.1); with a query that is no slice of ours.
                if rest.get(end) == Some(&b'?') {
                    return Err(Refusal::Target);
                }
                (TargetForm::Absolute, (authority_start + end as u32, (rest.len() - end) as u32))
            }
        };
        (self.authority, self.host_length) = self.find_authority(in_target)?;
        Ok(())
    }

    /// Where the authority lies, and how much of it is the host.
    fn find_authority(&self, in_target: Option<((u32, u32), u32)>) -> Result<((u32, u32), u32), Refusal> {
        let mut hosts = self.fields.list.iter().filter(|f| f.known == Known::Host);
        let host = hosts.next();
        if hosts.next().is_some() {
            return Err(Refusal::HostRepeated);
        }
        let Some(host) = host else {
            return match self.version {
                Version::Http11 => Err(Refusal::HostMissing),
                Version::Http10 => Ok(in_target.unwrap_or_default()),
            };
        };
        let value = self.fields.value(host);
        let host_length = Authority::parse(value)?.host.len() as u32;
        match in_target {
            Some((span, _)) if !self.slice(span).eq_ignore_ascii_case(value) => Err(Refusal::HostMismatch),
            Some(found) => Ok(found),
            None => Ok((host.value_span(), host_length)),
        }
    }

    /// Decides where the content ends (RFC 9112 §6.3) and what becomes of the connection (§9.3, §9.8).
    fn frame(&mut self) -> Result<(), Refusal> {
        let facts = Facts::of(&self.fields, self.version)?;
        self.framing = match (facts.length, facts.chunked) {
            (None | Some(0), false) => Framing::Empty,
            (Some(length), false) => Framing::Length(length),
            (_, true) => Framing::Chunked,
        };
        if facts.coded_to_the_end {
            return Err(Refusal::ChunkedNotLast); // RFC 9112 §6.3 item 4.2: the length of a request must be known
        }
        let http11 = self.version == Version::Http11;
        self.keep_alive = !facts.close && (http11 || facts.keep_alive);
        self.nominates = facts.nominates;
        self.upgrade = http11 && facts.upgrade;
        // RFC 9110 §10.1.1: ignored in HTTP/1.0, and without content there is nothing to wait for.
        if http11 && facts.expects {
            let known = self.fields.all(Known::Expect).all(|e| e.eq_ignore_ascii_case(b"100-continue"));
            if !known {
                return Err(Refusal::Expectation);
            }
        }
        self.expects_continue = http11 && facts.expects && self.framing != Framing::Empty;
        Ok(())
    }
}

/// What the fields say about framing and the connection, in one pass; the same for requests and responses.
#[derive(Default)]
pub(crate) struct Facts {
    pub length: Option<u64>,
    pub chunked: bool,
    /// There are transfer codings, and chunked is not among them.
    pub coded_to_the_end: bool,
    pub close: bool,
    pub keep_alive: bool,
    pub upgrade: bool,
    pub nominates: bool,
    pub expects: bool,
}

impl Facts {
    pub fn of(fields: &Fields, version: Version) -> Result<Facts, Refusal> {
        let mut facts = Facts::default();
        if fields.seen & ABOUT_FRAMING == 0 {
            return Ok(facts);
        }
        let (mut codings, mut upgrade_field, mut upgrade_option) = (false, false, false);
        for field in fields.list.iter().filter(|field| field.known.bit() & ABOUT_FRAMING != 0) {
            match field.known {
                Known::ContentLength if facts.length.is_some() => return Err(Refusal::LengthRepeated),
                Known::ContentLength => facts.length = Some(parse_length(fields.value(field))?),
                Known::TransferEncoding => codings = true,
                Known::Upgrade => upgrade_field = true,
                Known::Expect => facts.expects = true,
                Known::Connection if fields.value(field) == b"keep-alive" => facts.keep_alive = true,
                Known::Connection => {
                    for option in fields.value(field).split(|&b| b == b',').map(<[u8]>::trim_ascii) {
                        match option {
                            o if o.eq_ignore_ascii_case(b"close") => facts.close = true,
                            o if o.eq_ignore_ascii_case(b"keep-alive") => facts.keep_alive = true,
                            o if o.eq_ignore_ascii_case(b"upgrade") => upgrade_option = true,
                            [] => {}
                            _ => facts.nominates = true,
                        }
                    }
                }
                _ => {}
            }
        }
        facts.upgrade = upgrade_field && upgrade_option;
        if codings {
            if version == Version::Http10 {
                return Err(Refusal::ChunkedInHttp10);
            }
            facts.chunked = check_codings(fields)?;
            facts.coded_to_the_end = !facts.chunked;
            if facts.length.is_some() {
                return Err(Refusal::LengthAndChunked);
            }
        }
        Ok(facts)
    }
}

// === helpers ===

/// The fields that [`Facts`] are about.
const ABOUT_FRAMING: u64 =
    Known::ContentLength.bit() | Known::TransferEncoding.bit() | Known::Upgrade.bit() | Known::Expect.bit() | Known::Connection.bit();

/// `1*DIGIT` (RFC 9110 §8.6), at most 2^63 - 1 so that sums of lengths cannot overflow.
fn parse_length(value: &[u8]) -> Result<u64, Refusal> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(if value.contains(&b',') { Refusal::LengthRepeated } else { Refusal::Length });
    }
    let number = value.iter().try_fold(0u64, |n, d| n.checked_mul(10)?.checked_add(u64::from(d - b'0')));
    number.filter(|&n| n <= i64::MAX as u64).ok_or(Refusal::Length)
}

/// The one coding we have is chunked, once and last (RFC 9112 §6.1, §7). `false`: it is not among them, and what that means depends on
/// the direction.
fn check_codings(fields: &Fields) -> Result<bool, Refusal> {
    let mut seen_chunked = false;
    let mut unknown = false;
    for value in fields.all(Known::TransferEncoding) {
        for coding in value.split(|&b| b == b',').map(<[u8]>::trim_ascii) {
            if seen_chunked || coding.is_empty() {
                return Err(Refusal::ChunkedNotLast);
            }
            match coding.eq_ignore_ascii_case(b"chunked") {
                true => seen_chunked = true,
                false => unknown = true,
            }
        }
    }
    match (seen_chunked, unknown) {
        (true, false) => Ok(true),
        (true, true) => Err(Refusal::CodingUnknown),
        (false, _) => Ok(false),
    }
}

/// RFC 9112 §3 asks for 414 when it is the target that is too long.
fn too_long(window: &[u8]) -> Refusal {
    match memchr::memchr(b'\n', window) {
        Some(_) => Refusal::HeadTooLong,
        None => Refusal::TargetTooLong,
    }
}
