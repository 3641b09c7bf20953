//! Which requests share a response (RFC 9111 §4.1).
use crate::{Bypass, FieldLines, directives::elements};

/// The names of a response's Vary, in lower case, sorted, each once. Empty: every request of the URI matches.
///
/// Errors: `VaryAll` for `*`; `VaryTooLong` past [`NAMES_MAX`].
pub fn names<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Result<Vec<Box<[u8]>>, Bypass> {
    let mut names: Vec<Box<[u8]>> = Vec::new();
    for name in lines.flat_map(elements) {
        if name == b"*" {
            return Err(Bypass::VaryAll);
        }
        names.push(name.to_ascii_lowercase().into());
    }
    names.sort();
    names.dedup();
    if names.len() > NAMES_MAX { Err(Bypass::VaryTooLong) } else { Ok(names) }
}

/// Appends what distinguishes this request among those of the same URI: the values of the named fields, normalised. Two requests match
/// exactly if they append the same bytes.
pub fn select<'a>(names: &[Box<[u8]>], fields: impl FieldLines<'a> + Clone, key: &mut Vec<u8>) {
    for name in names {
        key.push(b'\n');
        let lines = fields.clone().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        let mut absent = true;
        for (_, value) in lines {
            // §4.1: lines of one field combine with a comma (RFC 9110 §5.3).
            key.push(if absent { b'=' } else { b',' });
            absent = false;
            normalise(name, value, key);
        }
    }
}

/// Names in Vary that are followed; responses with more are not stored. Nobody honest needs more, and each costs a pass over the request.
pub const NAMES_MAX: usize = 16;

// === helpers ===

/// §4.1 allows what cannot change the meaning: whitespace around commas for any list, and case where the field's syntax has none.
fn normalise(name: &[u8], value: &[u8], key: &mut Vec<u8>) {
    // Languages and codings are compared without case (RFC 9110 §8.4.1, §8.5.1). Their order stays: origins do read it as preference.
    let folded = matches!(name, b"accept-language" | b"accept-encoding" | b"accept-charset");
    let (mut quoted, mut escaped) = (false, false);
    for &byte in value.trim_ascii() {
        match byte {
            b' ' | b'\t' if !quoted => {
                // Kept unless it is next to a comma; runs become one.
                if !matches!(key.last(), Some(b',' | b' ' | b'=')) {
                    key.push(b' ');
                }
                continue;
            }
            b',' if !quoted && key.last() == Some(&b' ') => {
                key.pop();
            }
            b'\\' if quoted && !escaped => {
                escaped = true;
                key.push(byte);
                continue;
            }
            b'"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = false;
        key.push(if folded { byte.to_ascii_lowercase() } else { byte });
    }
}
