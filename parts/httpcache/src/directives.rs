//! Cache-Control, in requests and responses (RFC 9111 §5.2).
use crate::structured::{self, Item};

/// What a response's Cache-Control (or its targeted stand-in) says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseDirectives<'a> {
    pub max_age: Delta,
    pub s_maxage: Delta,
    pub no_store: bool,
    /// Without a list of fields.
    pub no_cache: bool,
    /// Without a list of fields.
    pub private: bool,
    pub public: bool,
    pub must_revalidate: bool,
    pub proxy_revalidate: bool,
    pub must_understand: bool,
    pub stale_while_revalidate: Delta,
    pub stale_if_error: Delta,
    /// Fields named by `no-cache="..."` or `private="..."`: left out of what is stored (§5.2.2.4, §5.2.2.7).
    pub withheld: Vec<&'a [u8]>,
}

/// What a request's Cache-Control asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestDirectives {
    pub max_age: Delta,
    pub min_fresh: Delta,
    /// `Some(Absent)`: any staleness will do.
    pub max_stale: Option<Delta>,
    pub no_cache: bool,
    pub no_store: bool,
    pub only_if_cached: bool,
    pub no_transform: bool,
}

/// The argument of a directive that takes seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delta {
    #[default]
    Absent,
    /// Values that do not fit are the largest that does: 136 years (§1.2.2).
    Seconds(u32),
    /// Not a number, or two that differ: a response with an invalid lifetime is stale (§4.2.1).
    Invalid,
}

impl Delta {
    /// As written in Cache-Control: digits, quoted or not (§5.2: recipients accept both forms).
    fn parse(argument: Option<&[u8]>) -> Delta {
        let Some(text) = argument else { return Delta::Invalid };
        seconds(text).map_or(Delta::Invalid, Delta::Seconds)
    }

    /// The same directive once more: the same value changes nothing, another makes both invalid.
    fn again(self, other: Delta) -> Delta {
        match self {
            Delta::Absent => other,
            same if same == other => same,
            _ => Delta::Invalid,
        }
    }

    /// `Some` unless absent; invalid counts as no time at all.
    pub fn or_zero(self) -> Option<u32> {
        match self {
            Delta::Absent => None,
            Delta::Seconds(seconds) => Some(seconds),
            Delta::Invalid => Some(0),
        }
    }
}

impl<'a> ResponseDirectives<'a> {
    /// Adds one field line.
    pub fn read(&mut self, line: &'a [u8]) {
        for (name, argument) in list(line) {
            self.directive(name, argument);
        }
    }

    fn directive(&mut self, name: &'a [u8], argument: Option<&'a [u8]>) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let set = |delta: &mut Delta| *delta = delta.again(Delta::parse(argument));
        match name.len() {
            6 if is("public") => self.public = true,
            7 if is("max-age") => set(&mut self.max_age),
            7 if is("private") => self.limited(argument, |all| &mut all.private),
            8 if is("s-maxage") => set(&mut self.s_maxage),
            8 if is("no-store") => self.no_store = true,
            8 if is("no-cache") => self.limited(argument, |all| &mut all.no_cache),
            14 if is("stale-if-error") => set(&mut self.stale_if_error),
            15 if is("must-revalidate") => self.must_revalidate = true,
            15 if is("must-understand") => self.must_understand = true,
            16 if is("proxy-revalidate") => self.proxy_revalidate = true,
            22 if is("stale-while-revalidate") => set(&mut self.stale_while_revalidate),
            _ => {} // §5.2.3: unknown directives are ignored
        }
    }

    /// `no-cache` and `private`: for the whole response, or for the fields listed.
    fn limited(&mut self, fields: Option<&'a [u8]>, whole: impl Fn(&mut Self) -> &mut bool) {
        match fields.map(|list| elements(list).collect::<Vec<_>>()) {
            Some(names) if !names.is_empty() => self.withheld.extend(names),
            _ => *whole(self) = true,
        }
    }

    /// A targeted field, CDN-Cache-Control (RFC 9213 §2.1): a structured dictionary. `None` if the lines are not one, or hold nothing:
    /// then Cache-Control counts.
    pub fn targeted(lines: &[&'a [u8]]) -> Option<ResponseDirectives<'a>> {
        let members = structured::dictionary(lines)?;
        if members.is_empty() {
            return None;
        }
        let mut directives = ResponseDirectives::default();
        for (name, item) in members {
            // A value of the wrong type is no value of that directive (§2.1): the directive is ignored.
            let seconds = match item {
                Item::Integer(n) => Some(Delta::Seconds(u32::try_from(n.max(0)).unwrap_or(u32::MAX))).filter(|_| n >= 0),
                _ => None,
            };
            let flag = item == Item::Boolean(true);
            match (name, seconds) {
                (b"max-age", Some(delta)) => directives.max_age = delta,
                (b"s-maxage", Some(delta)) => directives.s_maxage = delta,
                (b"stale-while-revalidate", Some(delta)) => directives.stale_while_revalidate = delta,
                (b"stale-if-error", Some(delta)) => directives.stale_if_error = delta,
                (b"no-store", _) => directives.no_store |= flag,
                (b"no-cache", _) => directives.no_cache |= flag,
                (b"private", _) => directives.private |= flag,
                (b"public", _) => directives.public |= flag,
                (b"must-revalidate", _) => directives.must_revalidate |= flag,
                (b"proxy-revalidate", _) => directives.proxy_revalidate |= flag,
                (b"must-understand", _) => directives.must_understand |= flag,
                _ => {}
            }
        }
        Some(directives)
    }
}

impl RequestDirectives {
    /// Adds one field line.
    pub fn read(&mut self, line: &[u8]) {
        for (name, argument) in list(line) {
            let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
            let delta = || Delta::parse(argument);
            match name.len() {
                7 if is("max-age") => self.max_age = self.max_age.again(delta()),
                8 if is("no-cache") => self.no_cache = true,
                8 if is("no-store") => self.no_store = true,
                12 if is("no-transform") => self.no_transform = true,
                9 if is("min-fresh") => self.min_fresh = self.min_fresh.again(delta()),
                9 if is("max-stale") => self.max_stale = Some(if argument.is_some() { delta() } else { Delta::Absent }),
                14 if is("only-if-cached") => self.only_if_cached = true,
                _ => {}
            }
        }
    }
}

/// Digits as seconds, saturating.
pub(crate) fn seconds(text: &[u8]) -> Option<u32> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0, |n: u32, b| n.saturating_mul(10).saturating_add(u32::from(b - b'0'))))
}

/// The non-empty elements of a comma-separated list (RFC 9110 §5.6.1), without quoted strings in it.
pub(crate) fn elements(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// `name [ "=" ( token / quoted-string ) ]`, comma-separated. Commas and equals signs inside quotes separate nothing. The argument comes
/// without its quotes and with its backslashes: no directive we know has a value that needs them.
fn list(line: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    let mut rest = line;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let (element, after) = split_outside_quotes(rest);
            rest = after;
            let element = element.trim_ascii();
            if element.is_empty() {
                continue;
            }
            return Some(match element.iter().position(|b| *b == b'=') {
                None => (element, None),
                Some(at) => (&element[..at], Some(unquoted(&element[at + 1..]))),
            });
        }
        None
    })
}

/// Up to the first comma outside quotes, and what follows it.
fn split_outside_quotes(text: &[u8]) -> (&[u8], &[u8]) {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => return (&text[..at], &text[at + 1..]),
            _ => {}
        }
    }
    (text, &[])
}

fn unquoted(argument: &[u8]) -> &[u8] {
    match argument {
        [b'"', inner @ .., b'"'] => inner,
        other => other,
    }
}

#[cfg(test)]
mod tests;
