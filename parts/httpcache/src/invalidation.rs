//! What a successful unsafe request makes wrong (RFC 9111 §4.4).
use crate::Answered;

/// The path-and-query parts of Location and Content-Location that belong to the same origin, besides the request's own target.
///
/// `authority`: the request's Host; `base`: its path and query. A reference to another host invalidates nothing: one site could
/// otherwise empty another's cache.
pub fn also<'a>(answered: &Answered<'a>, authority: &[u8], base: &[u8]) -> impl Iterator<Item = Vec<u8>> + use<'a> {
    let targets = [answered.location, answered.content_location].map(|reference| resolve(reference?, authority, base));
    targets.into_iter().flatten()
}

/// Resolves a reference against the request's target, as far as a cache key needs it (RFC 3986 §5.2): absolute URI of the same host,
/// absolute path, relative path, query only. Dot segments are removed; the fragment goes.
pub fn resolve(reference: &[u8], authority: &[u8], base: &[u8]) -> Option<Vec<u8>> {
    let reference = reference.split(|b| *b == b'#').next().unwrap_or_default();
    let base_path = base.split(|b| *b == b'?').next().unwrap_or_default();
    if let Some(rest) = after_scheme(reference) {
        let end = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
        let (host, path) = rest.split_at(end);
        if !host.eq_ignore_ascii_case(authority) {
            return None;
        }
        return Some(match path.first() {
            Some(b'/') => without_dots(path),
            _ => [b"/", path].concat(),
        });
    }
    match reference.first() {
        None => Some(base.to_vec()),
        Some(b'/') => Some(without_dots(reference)),
        Some(b'?') => Some([base_path, reference].concat()),
        // `mailto:x` and the like are no targets of ours; a relative path may hold a colon only behind its first segment.
        Some(_) if reference.split(|b| *b == b'/').next().is_some_and(|segment| segment.contains(&b':')) => None,
        Some(_) => {
            let directory = base_path.iter().rposition(|b| *b == b'/').map_or(0, |at| at + 1);
            Some(without_dots(&[&base_path[..directory], reference].concat()))
        }
    }
}

/// What follows `http://`, `https://` or `//`.
fn after_scheme(reference: &[u8]) -> Option<&[u8]> {
    ["http://", "https://", "//"].iter().find_map(|scheme| {
        let (start, rest) = reference.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme.as_bytes()).then_some(rest)
    })
}

/// RFC 3986 §5.2.4, leaving the query alone.
fn without_dots(path_and_query: &[u8]) -> Vec<u8> {
    let end = path_and_query.iter().position(|b| *b == b'?').unwrap_or(path_and_query.len());
    let (path, query) = path_and_query.split_at(end);
    let mut kept: Vec<&[u8]> = Vec::new();
    let segments: Vec<&[u8]> = path.split(|b| *b == b'/').skip(1).collect();
    for (index, segment) in segments.iter().enumerate() {
        let last = index + 1 == segments.len();
        match *segment {
            b"." | b".." => {
                if *segment == b".." {
                    kept.pop();
                }
                if last {
                    kept.push(b"");
                }
            }
            segment => kept.push(segment),
        }
    }
    let mut out = Vec::with_capacity(path_and_query.len() + 1);
    for segment in kept {
        out.push(b'/');
        out.extend_from_slice(segment);
    }
    if out.is_empty() {
        out.push(b'/');
    }
    out.extend_from_slice(query);
    out
}
