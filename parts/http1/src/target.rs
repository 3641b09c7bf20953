//! Request targets and authorities: which bytes they may hold, and where the host ends.

use crate::Refusal;

/// `uri-host [ ":" port ]` (RFC 9110 §7.2), checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authority<'a> {
    /// With the brackets of an IP literal, in the case it was written in.
    pub host: &'a [u8],
    pub port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Parses a Host field or a target's authority. An empty host is refused (RFC 9110 §4.2.1), as is user information (§4.2.4).
    pub fn parse(text: &'a [u8]) -> Result<Authority<'a>, Refusal> {
        let host_end = match text.first() {
            Some(b'[') => 1 + memchr::memchr(b']', text).ok_or(Refusal::HostInvalid)?,
            // What stops the name before its port is no port's colon either, and refused below.
            _ => text.iter().position(|&b| !REGISTERED_NAME[b as usize]).unwrap_or(text.len()),
        };
        let (host, rest) = text.split_at(host_end);
        if host.is_empty() || host[0] == b'[' && !is_literal(host) {
            return Err(Refusal::HostInvalid);
        }
        let port = match rest {
            [] | [b':'] => None, // RFC 3986 §3.2.3 allows an empty port
            [b':', digits @ ..] if digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit) => {
                let port = digits.iter().fold(0u32, |n, d| n * 10 + u32::from(d - b'0'));
                Some(u16::try_from(port).map_err(|_| Refusal::HostInvalid)?)
            }
            _ => return Err(Refusal::HostInvalid),
        };
        Ok(Authority { host, port })
    }
}

/// `1*tchar` (RFC 9110 §5.6.2).
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&b| TOKEN[b as usize])
}

/// Visible ASCII without `#`: a fragment is never sent (RFC 9110 §4.2.1), other bytes are to be escaped (RFC 3986 §2.1). Characters
/// that a URI should escape but browsers do not (`|`, `{`, `"`) are let through as they are: they frame nothing.
pub(crate) fn is_target(bytes: &[u8]) -> bool {
    bytes.iter().all(|&b| b.is_ascii_graphic() && b != b'#')
}

// === helpers ===

/// RFC 3986 §3.2.2: an IP literal in brackets.
fn is_literal(host: &[u8]) -> bool {
    match host {
        [b'[', literal @ .., b']'] => {
            !literal.is_empty() && literal.iter().all(|&b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.') || b == b'v')
        }
        _ => false,
    }
}

/// What a registered name may hold (RFC 3986 §3.2.2): unreserved, the sign of percent-encoding, sub-delims.
const REGISTERED_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric()
            || matches!(b, b'-' | b'.' | b'_' | b'~' | b'%' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=');
        byte += 1;
    }
    table
};

/// `tchar` (RFC 9110 §5.6.2).
pub(crate) const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric()
            || matches!(b, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~');
        byte += 1;
    }
    table
};
