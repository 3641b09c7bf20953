//! Conditional requests, both ways (RFC 9111 §4.3, RFC 9110 §13), and what of a head is stored (§3.1, §3.2).
use crate::{Asked, FieldLines, date, directives::elements};

/// Whether a client that sent these conditions has the stored response already, and gets 304 (RFC 9111 §4.3.2).
///
/// `stored_s`: when the response was made or arrived, for responses without Last-Modified. Seconds since the Unix epoch.
pub fn not_modified(asked: &Asked<'_>, etag: Option<&[u8]>, last_modified: Option<&[u8]>, stored_s: i64) -> bool {
    // RFC 9110 §13.2.2: If-None-Match, where there is one, decides alone.
    if let Some(candidates) = asked.if_none_match {
        return candidates == b"*" || etag.is_some_and(|etag| tags(candidates).any(|tag| weakly_equal(tag, etag)));
    }
    let Some(since) = asked.if_modified_since.and_then(|text| date::parse(text, stored_s)) else { return false };
    let modified = last_modified.and_then(|text| date::parse(text, stored_s)).unwrap_or(stored_s);
    modified <= since
}

/// RFC 9110 §8.8.3.2: equal but for the mark of weakness.
pub fn weakly_equal(one: &[u8], other: &[u8]) -> bool {
    opaque(one) == opaque(other)
}

/// RFC 9110 §8.8.3.2: equal, and neither weak. What ranges need.
pub fn strongly_equal(one: &[u8], other: &[u8]) -> bool {
    one == other && !weak(one)
}

/// Whether a 304 is about the stored response (RFC 9111 §4.3.4): a strong validator in it must be the stored one.
pub fn confirms(new_etag: Option<&[u8]>, stored_etag: Option<&[u8]>) -> bool {
    match (new_etag, stored_etag) {
        (Some(new), Some(stored)) => weakly_equal(new, stored),
        (Some(new), None) => weak(new),
        (None, _) => true,
    }
}

/// Whether a field of a response is stored. `nominated`: Connection names it; `withheld`: `no-cache="..."` or `private="..."` does.
pub fn storable(name: &[u8], nominated: &[&[u8]], withheld: &[&[u8]]) -> bool {
    let listed = |list: &[&[u8]]| list.iter().any(|other| other.eq_ignore_ascii_case(name));
    !about_the_connection(name) && !listed(nominated) && !listed(withheld)
}

/// The stored fields after a 304 (§3.2): new ones replace old ones of the same name, others stay. What describes the stored bytes stays
/// as stored: they have not changed, whatever the 304 says about them.
pub fn freshened<'a>(
    stored: impl FieldLines<'a>,
    new: impl FieldLines<'a> + Clone,
    nominated: &[&[u8]],
    withheld: &[&[u8]],
) -> Vec<(&'a [u8], &'a [u8])> {
    let updates = |name: &[u8]| !describes_the_bytes(name) && storable(name, nominated, withheld);
    let new = new.filter(|(name, _)| updates(name));
    let replaced = |name: &[u8]| new.clone().any(|(other, _)| other.eq_ignore_ascii_case(name));
    let kept = stored.filter(|(name, _)| !replaced(name));
    kept.chain(new.clone()).collect()
}

// === helpers ===

/// Entity tags of a list. A comma may stand inside a tag, so it is cut at quotes; what has none is compared as it stands.
fn tags(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let start = rest.iter().position(|b| !matches!(b, b' ' | b'\t' | b','))?;
        let from = &rest[start..];
        let open = from.iter().position(|b| matches!(b, b'"' | b','))?;
        let end = match from[open] {
            b'"' => open + 2 + from[open + 1..].iter().position(|b| *b == b'"')?,
            _ => open,
        };
        rest = &from[end..];
        Some(from[..end].trim_ascii())
    })
    .chain(elements(list).filter(|element| !element.contains(&b'"')))
}

fn weak(tag: &[u8]) -> bool {
    tag.starts_with(b"W/")
}

fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// §3.1: Connection and what belongs to it, and the proxy fields.
fn about_the_connection(name: &[u8]) -> bool {
    const NAMES: [&str; 10] = [
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "transfer-encoding",
        "upgrade",
        "trailer",
        "proxy-authenticate",
        "proxy-authentication-info",
        "proxy-authorization",
    ];
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// §3.2: Content-Length is excepted; the coding, range and digest of bytes that stay are facts about those bytes.
fn describes_the_bytes(name: &[u8]) -> bool {
    const NAMES: [&str; 5] = ["content-length", "content-encoding", "content-range", "content-md5", "etag"];
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}
