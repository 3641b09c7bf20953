//! Dates and times: MySQL's canonical text to the binary protocol's form and back ("Binary Protocol Value").

use std::io::Write;

use crate::{Value, WireError, cursor::Cursor};

/// Reads `YYYY-MM-DD`, or `YYYY-MM-DD hh:mm:ss` with up to six digits of fraction (`T` may stand for the space).
/// `None` if it is not that. Ranges are checked as far as the binary form could not carry more; zero dates are dates.
pub fn parse_datetime(text: &[u8]) -> Option<Value> {
    let (date, time) = match text.iter().position(|&c| c == b' ' || c == b'T') {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *date else { return None };
    let year = u16::from(two_digits(y1, y2)?) * 100 + u16::from(two_digits(y3, y4)?);
    let (month, day) = (two_digits(m1, m2)?, two_digits(d1, d2)?);
    let (hour, minute, second, micros) = match time {
        None => (0, 0, 0, 0),
        Some(time) => {
            let (clock, micros) = split_fraction(time)?;
            let [h1, h2, b':', i1, i2, b':', s1, s2] = *clock else { return None };
            (two_digits(h1, h2)?, two_digits(i1, i2)?, two_digits(s1, s2)?, micros)
        }
    };
    (month <= 12 && day <= 31 && hour < 24 && minute < 60 && second < 60).then_some(Value::DateTime {
        year,
        month,
        day,
        hour,
        minute,
        second,
        micros,
    })
}

/// Reads `[-]hh:mm:ss` or `[-]hhh:mm:ss` with up to six digits of fraction.
pub fn parse_time(text: &[u8]) -> Option<Value> {
    let (negative, rest) = text.strip_prefix(b"-").map_or((false, text), |rest| (true, rest));
    let (clock, micros) = split_fraction(rest)?;
    let hours_end = clock.iter().position(|&c| c == b':')?;
    let hours = number(&clock[..hours_end], 2..=3)?;
    let [b':', m1, m2, b':', s1, s2] = clock[hours_end..] else { return None };
    let (minutes, seconds) = (two_digits(m1, m2)?, two_digits(s1, s2)?);
    (minutes < 60 && seconds < 60).then_some(Value::Time { negative, hours, minutes, seconds, micros })
}

/// Appends the binary form: the fewest of 0, 4, 7 or 11 bytes that hold it (8 or 12 for a time), after their count.
/// Nothing but `DateTime` and `Time` has one; anything else is written as the all-zero value.
pub fn put_binary(out: &mut Vec<u8>, value: &Value) {
    match *value {
        Value::DateTime { year, month, day, hour, minute, second, micros } => {
            let length = match (micros, (hour, minute, second), (year, month, day)) {
                (1.., _, _) => 11,
                (0, (0, 0, 0), (0, 0, 0)) => 0,
                (0, (0, 0, 0), _) => 4,
                (0, _, _) => 7,
            };
            out.push(length);
            if length >= 4 {
                out.extend_from_slice(&year.to_le_bytes());
                out.extend_from_slice(&[month, day]);
            }
            if length >= 7 {
                out.extend_from_slice(&[hour, minute, second]);
            }
            if length == 11 {
                out.extend_from_slice(&micros.to_le_bytes());
            }
        }
        Value::Time { hours: 0, minutes: 0, seconds: 0, micros: 0, .. } => out.push(0),
        Value::Time { negative, hours, minutes, seconds, micros } => {
            out.push(if micros == 0 { 8 } else { 12 });
            out.push(u8::from(negative));
            out.extend_from_slice(&(hours / 24).to_le_bytes());
            out.extend_from_slice(&[(hours % 24) as u8, minutes, seconds]);
            if micros != 0 {
                out.extend_from_slice(&micros.to_le_bytes());
            }
        }
        _ => out.push(0),
    }
}

/// Reads the binary form of DATE, DATETIME and TIMESTAMP.
pub fn decode_datetime(cursor: &mut Cursor<'_>) -> Result<Value, WireError> {
    const WHAT: &str = "date";
    let length = cursor.u8(WHAT)?;
    let (mut date, mut time, mut micros) = ((0, 0, 0), (0, 0, 0), 0);
    if !matches!(length, 0 | 4 | 7 | 11) {
        return Err(WireError::Malformed(WHAT));
    }
    if length >= 4 {
        date = (cursor.u16(WHAT)?, cursor.u8(WHAT)?, cursor.u8(WHAT)?);
    }
    if length >= 7 {
        time = (cursor.u8(WHAT)?, cursor.u8(WHAT)?, cursor.u8(WHAT)?);
    }
    if length == 11 {
        micros = cursor.u32(WHAT)?;
    }
    let ((year, month, day), (hour, minute, second)) = (date, time);
    let sane = year <= 9999 && month <= 12 && day <= 31 && hour < 24 && minute < 60 && second < 60 && micros < 1_000_000;
    if !sane {
        return Err(WireError::Malformed(WHAT));
    }
    Ok(Value::DateTime { year, month, day, hour, minute, second, micros })
}

/// Reads the binary form of TIME. Hours beyond what MySQL stores (838) are the engine's to refuse; days beyond reason are not a time.
pub fn decode_time(cursor: &mut Cursor<'_>) -> Result<Value, WireError> {
    const WHAT: &str = "time";
    /// Past this the hours would not fit the type that holds them.
    const DAYS_MAX: u32 = u32::MAX / 24 - 1;
    let length = cursor.u8(WHAT)?;
    if length == 0 {
        return Ok(Value::Time { negative: false, hours: 0, minutes: 0, seconds: 0, micros: 0 });
    }
    if !matches!(length, 8 | 12) {
        return Err(WireError::Malformed(WHAT));
    }
    let negative = cursor.u8(WHAT)? != 0;
    let days = cursor.u32(WHAT)?;
    let (hour, minutes, seconds) = (cursor.u8(WHAT)?, cursor.u8(WHAT)?, cursor.u8(WHAT)?);
    let micros = if length == 12 { cursor.u32(WHAT)? } else { 0 };
    if days > DAYS_MAX || hour >= 24 || minutes >= 60 || seconds >= 60 || micros >= 1_000_000 {
        return Err(WireError::Malformed(WHAT));
    }
    Ok(Value::Time { negative, hours: days * 24 + u32::from(hour), minutes, seconds, micros })
}

/// Appends MySQL's text of a `DateTime` or `Time` with the fraction it has; nothing for other values.
/// A `DateTime` is written with its time of day even if that is midnight: whether it is a DATE is for the column to say.
pub fn put_text(out: &mut Vec<u8>, value: &Value) {
    match *value {
        Value::DateTime { year, month, day, hour, minute, second, micros } => {
            write!(out, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}").expect("a vector takes everything");
            put_fraction(out, micros);
        }
        Value::Time { negative, hours, minutes, seconds, micros } => {
            if negative {
                out.push(b'-');
            }
            write!(out, "{hours:02}:{minutes:02}:{seconds:02}").expect("a vector takes everything");
            put_fraction(out, micros);
        }
        _ => {}
    }
}

// === helpers ===

fn put_fraction(out: &mut Vec<u8>, micros: u32) {
    if micros != 0 {
        write!(out, ".{micros:06}").expect("a vector takes everything");
    }
}

fn two_digits(tens: u8, ones: u8) -> Option<u8> {
    (tens.is_ascii_digit() && ones.is_ascii_digit()).then(|| (tens - b'0') * 10 + (ones - b'0'))
}

/// A run of digits whose count lies in `lengths`; at most nine, so that it fits.
fn number(digits: &[u8], lengths: std::ops::RangeInclusive<usize>) -> Option<u32> {
    (lengths.contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit))
        .then(|| digits.iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0')))
}

/// Splits `hh:mm:ss.ffffff` at the point; the fraction in microseconds.
fn split_fraction(time: &[u8]) -> Option<(&[u8], u32)> {
    let Some(point) = time.iter().position(|&c| c == b'.') else { return Some((time, 0)) };
    let digits = &time[point + 1..];
    let value = number(digits, 1..=6)?;
    Some((&time[..point], value * 10_u32.pow(6 - digits.len() as u32)))
}

#[cfg(test)]
mod tests;
