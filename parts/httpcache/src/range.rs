//! One range of a stored whole response (RFC 9110 §14).
use crate::{Asked, date, validation::strongly_equal};

/// What a GET with Range gets from a whole stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// 200 with everything: there is no Range, it is not understood, asks for several, or If-Range does not hold.
    Whole,
    /// 206 with these bytes, both ends included.
    Bytes { first: u64, last: u64 },
    /// 416: it begins behind the end.
    Unsatisfiable,
}

/// `length`: of the stored content. Several ranges in one request get the whole, which RFC 9110 §14.2 allows.
pub fn part(asked: &Asked<'_>, length: u64, etag: Option<&[u8]>, last_modified: Option<&[u8]>, now_s: i64) -> Part {
    let Some(spec) = asked.range.and_then(bytes_spec) else { return Part::Whole };
    let holds = asked.if_range.is_none_or(|condition| if_range_holds(condition, etag, last_modified, now_s));
    if !holds {
        return Part::Whole;
    }
    match spec {
        // §14.1.2: a suffix longer than everything is everything; of nothing there is no suffix.
        Spec::Last(0) => Part::Unsatisfiable,
        Spec::Last(_) | Spec::From { .. } if length == 0 => Part::Unsatisfiable,
        Spec::Last(count) => Part::Bytes { first: length.saturating_sub(count), last: length - 1 },
        Spec::From { first, .. } if first >= length => Part::Unsatisfiable,
        Spec::From { first, last } => Part::Bytes { first, last: last.min(length - 1) },
    }
}

enum Spec {
    From { first: u64, last: u64 },
    Last(u64),
}

/// `bytes=0-499`, `bytes=500-`, `bytes=-500`. `None` for other units, several ranges and whatever is malformed: all to be ignored (§14.2).
fn bytes_spec(value: &[u8]) -> Option<Spec> {
    let (unit, spec) = value.split_at_checked(6)?;
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return None;
    }
    let spec = spec.trim_ascii();
    let dash = spec.iter().position(|b| *b == b'-')?;
    match (&spec[..dash], &spec[dash + 1..]) {
        ([], count) => Some(Spec::Last(number(count)?)),
        (first, []) => Some(Spec::From { first: number(first)?, last: u64::MAX }),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Spec::From { first, last })
        }
    }
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
