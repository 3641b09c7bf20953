//! Numbers as MySQL writes them.

use std::io::Write;

/// Digits a double may need; a decimal point further out than this is written with an exponent (MySQL: DBL_DIG).
const POINT_MAX: i32 = 15;

/// Significant digits of a FLOAT's text (FLT_DIG). The binary form carries all of it.
const FLOAT_DIGITS: usize = 6;

pub fn put_int(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

pub fn put_uint(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// The shortest text that reads back as the same double: `0.1`, `1e15`, `-1.5e-20`. NaN and infinities, which no MySQL column holds,
/// are written as 0, which is what MySQL stores in their place when it is not strict.
pub fn put_double(out: &mut Vec<u8>, value: f64) {
    if !value.is_finite() {
        out.push(b'0');
        return;
    }
    put_scientific(out, &format!("{value:e}"));
}

/// As [`put_double`], rounded to six significant digits.
pub fn put_float(out: &mut Vec<u8>, value: f32) {
    if !value.is_finite() {
        out.push(b'0');
        return;
    }
    put_scientific(out, &format!("{value:.*e}", FLOAT_DIGITS - 1));
}

/// Lays `-d.ddde-xx` out as MySQL does.
fn put_scientific(out: &mut Vec<u8>, scientific: &str) {
    let (mantissa, exponent) = scientific.split_once('e').expect("written by {:e}");
    let exponent: i32 = exponent.parse().expect("written by {:e}");
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let mut digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    digits.truncate(digits.trim_end_matches('0').len().max(1));
    if digits == "0" {
        // MySQL writes a negative zero with its sign.
        out.extend_from_slice(sign.as_bytes());
        out.push(b'0');
        return;
    }
    // The number is 0.DIGITS times ten to the power of `point`.
    let point = exponent + 1;
    out.extend_from_slice(sign.as_bytes());
    if !(1 - POINT_MAX..=POINT_MAX).contains(&point) {
        let (first, rest) = digits.split_at(1);
        out.extend_from_slice(first.as_bytes());
        if !rest.is_empty() {
            out.push(b'.');
            out.extend_from_slice(rest.as_bytes());
        }
        write!(out, "e{exponent}").expect("a vector takes everything");
    } else if point <= 0 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', point.unsigned_abs() as usize));
        out.extend_from_slice(digits.as_bytes());
    } else if digits.len() <= point as usize {
        out.extend_from_slice(digits.as_bytes());
        out.extend(std::iter::repeat_n(b'0', point as usize - digits.len()));
    } else {
        let (whole, fraction) = digits.split_at(point as usize);
        out.extend_from_slice(whole.as_bytes());
        out.push(b'.');
        out.extend_from_slice(fraction.as_bytes());
    }
}

#[cfg(test)]
mod tests;
