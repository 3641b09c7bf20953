//! Ranges of a whole response, stored or on disk (RFC 9110 §14).
use crate::{Asked, date, directives::elements, validation::strongly_equal};

/// What a GET with Range gets from a whole response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parts {
    /// 200 with everything: there is no Range, it is not understood, asks for too much at once, or If-Range does not hold.
    Whole,
    /// 206 with these bytes, both ends included.
    One { first: u64, last: u64 },
    /// 206 with several, as multipart/byteranges. Two at least, and none overlaps another.
    Several(Vec<(u64, u64)>),
    /// 416: all of them begin behind the end.
    Unsatisfiable,
}

/// `length`: of the content.
pub fn parts(asked: &Asked<'_>, length: u64, etag: Option<&[u8]>, last_modified: Option<&[u8]>, now_s: i64) -> Parts {
    let Some(specs) = asked.range.and_then(bytes_specs) else { return Parts::Whole };
    let holds = asked.if_range.is_none_or(|condition| if_range_holds(condition, etag, last_modified, now_s));
    if !holds {
        return Parts::Whole;
    }
    let mut found: Vec<(u64, u64)> = specs.into_iter().filter_map(|spec| spec.within(length)).collect();
    if overlapping(&found) {
        // §14.2: what asks for the same bytes again and again is better served once.
        found = joined(found);
    }
    match found[..] {
        [] => Parts::Unsatisfiable,
        [(first, last)] => Parts::One { first, last },
        _ => Parts::Several(found),
    }
}

/// What Content-Range says of a single part (RFC 9110 §14.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    pub first: u64,
    /// Included.
    pub last: u64,
    /// Of the whole.
    pub total: u64,
}

impl ContentRange {
    /// `bytes 0-499/1234`. `None` for other units, an unknown length, and what contradicts itself.
    pub fn parse(value: &[u8]) -> Option<ContentRange> {
        let (unit, rest) = value.split_at_checked(6)?;
        let slash = rest.iter().position(|b| *b == b'/')?;
        let dash = rest[..slash].iter().position(|b| *b == b'-')?;
        let (first, last) = (number(&rest[..dash])?, number(&rest[dash + 1..slash])?);
        let total = number(&rest[slash + 1..])?;
        let sound = unit.eq_ignore_ascii_case(b"bytes ") && first <= last && last < total;
        sound.then_some(ContentRange { first, last, total })
    }

    pub fn length(&self) -> u64 {
        self.last - self.first + 1
    }
}

/// Ranges of one request that are answered one by one; with more it gets the whole (§14.2 allows that, §17.15 says why).
pub const RANGES_MAX: usize = 16;

enum Spec {
    From { first: u64, last: u64 },
    Last(u64),
}

impl Spec {
    /// The bytes meant, both ends included; `None` if there are none.
    fn within(self, length: u64) -> Option<(u64, u64)> {
        match self {
            // §14.1.2: a suffix longer than everything is everything; of nothing there is no suffix.
            Spec::Last(0) => None,
            Spec::Last(_) | Spec::From { .. } if length == 0 => None,
            Spec::Last(count) => Some((length.saturating_sub(count), length - 1)),
            Spec::From { first, .. } if first >= length => None,
            Spec::From { first, last } => Some((first, last.min(length - 1))),
        }
    }
}

/// `bytes=0-499`, `bytes=500-`, `bytes=-500`, and lists of these. `None` for other units, too many and whatever is malformed: all to be ignored
/// (§14.2).
fn bytes_specs(value: &[u8]) -> Option<Vec<Spec>> {
    let (unit, list) = value.split_at_checked(6)?;
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return None;
    }
    let mut specs = Vec::new();
    for element in elements(list) {
        if specs.len() == RANGES_MAX {
            return None;
        }
        specs.push(spec(element)?);
    }
    (!specs.is_empty()).then_some(specs)
}

fn spec(element: &[u8]) -> Option<Spec> {
    let dash = element.iter().position(|b| *b == b'-')?;
    match (&element[..dash], &element[dash + 1..]) {
        ([], count) => Some(Spec::Last(number(count)?)),
        (first, []) => Some(Spec::From { first: number(first)?, last: u64::MAX }),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Spec::From { first, last })
        }
    }
}

fn overlapping(parts: &[(u64, u64)]) -> bool {
    let meets = |i: usize| parts[..i].iter().any(|one| one.0 <= parts[i].1 && parts[i].0 <= one.1);
    (1..parts.len()).any(meets)
}

/// In order, with what overlaps or touches made one.
fn joined(mut parts: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    parts.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::with_capacity(parts.len());
    for (first, last) in parts {
        match joined.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            _ => joined.push((first, last)),
        }
    }
    joined
}

/// RFC 9110 §13.1.5: a strong entity tag, or a date exactly equal to a Last-Modified.
fn if_range_holds(condition: &[u8], etag: Option<&[u8]>, last_modified: Option<&[u8]>, now_s: i64) -> bool {
    if condition.contains(&b'"') {
        return etag.is_some_and(|etag| strongly_equal(condition, etag));
    }
    match (date::parse(condition, now_s), last_modified.and_then(|text| date::parse(text, now_s))) {
        (Some(condition), Some(modified)) => condition == modified,
        _ => false,
    }
}

// === helpers ===

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |n: u64, b| n.saturating_mul(10).saturating_add(u64::from(b - b'0'))))
}
