//! Text and bytes: hexadecimal, numbers in text, LIKE.

use crate::collation::fold;

pub fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        out.push_str(&format!("{byte:02X}"));
    }
    out
}

/// Bytes from hexadecimal digits; an odd count has a zero in front. `None` if not hexadecimal.
pub fn unhex(digits: &str) -> Option<Vec<u8>> {
    let padded = if digits.len() % 2 == 1 { format!("0{digits}") } else { digits.to_owned() };
    let bytes = padded.as_bytes();
    bytes.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// Statements arrive as bytes, the parser wants text: bytes that are no UTF-8 become characters of this private range, so that
/// `_binary'...'` literals keep them.
const RAW_BYTE: u32 = 0x10_FF00;

/// The statement as text.
pub fn from_bytes(sql: &[u8]) -> String {
    match std::str::from_utf8(sql) {
        Ok(text) => text.to_owned(),
        Err(_) => {
            let mut out = String::with_capacity(sql.len());
            for chunk in sql.utf8_chunks() {
                out.push_str(chunk.valid());
                out.extend(chunk.invalid().iter().filter_map(|b| char::from_u32(RAW_BYTE + u32::from(*b))));
            }
            out
        }
    }
}

/// How many bytes of the original the text's first `used` bytes stand for.
pub fn original_len(text: &str, used: usize) -> usize {
    text[..used].chars().map(|c| if u32::from(c) >= RAW_BYTE { 1 } else { c.len_utf8() }).sum()
}

/// The bytes of a literal that was not all UTF-8; `None` if it was.
pub fn literal_bytes(text: &str) -> Option<Vec<u8>> {
    if !text.chars().any(|c| u32::from(c) >= RAW_BYTE) {
        return None;
    }
    let mut out = Vec::with_capacity(text.len());
    let mut buffer = [0; 4];
    for c in text.chars() {
        match u32::from(c).checked_sub(RAW_BYTE) {
            Some(byte) => out.push(byte as u8),
            None => out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes()),
        }
    }
    Some(out)
}

/// The number a text begins with, as MySQL reads text where a double is wanted; `0` if none.
pub fn number_prefix(text: &str) -> String {
    let s = text.trim_start();
    let bytes = s.as_bytes();
    let mut end = 0;
    let digits = |from: usize| bytes[from..].iter().take_while(|c| c.is_ascii_digit()).count();
    if matches!(bytes.first(), Some(b'+' | b'-')) {
        end = 1;
    }
    let whole = digits(end);
    end += whole;
    let mut fraction = 0;
    if bytes.get(end) == Some(&b'.') {
        fraction = digits(end + 1);
        if whole + fraction > 0 {
            end += 1 + fraction;
        }
    }
    if whole + fraction == 0 {
        return "0".to_owned();
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = if end + 1 + sign <= bytes.len() { digits(end + 1 + sign) } else { 0 };
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    s[..end].trim_end_matches('.').to_owned()
}

/// A DOUBLE as MySQL prints it: shortest digits, `1` for 1.0, exponents as `1e20`.
pub fn double(value: f64) -> String {
    if value == 0.0 {
        return if value.is_sign_negative() { "-0".to_owned() } else { "0".to_owned() };
    }
    let magnitude = value.abs();
    if (1e-15..1e15).contains(&magnitude) {
        return format!("{value}");
    }
    format!("{value:e}")
}

/// A FLOAT: six significant digits.
pub fn float(value: f32) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let rounded: f64 = format!("{value:.5e}").parse().unwrap_or(f64::from(value));
    double(rounded)
}

/// LIKE. `%` any characters, `_` one; `escape` makes the next character ordinary.
pub fn like(text: &str, pattern: &str, escape: Option<char>, folding: bool) -> bool {
    if text.is_ascii() && pattern.is_ascii() {
        let weigh = |c: u8| if folding { c.to_ascii_uppercase() } else { c };
        let escape = escape.and_then(|c| u8::try_from(c).ok());
        return matches(text.as_bytes(), pattern.as_bytes(), escape, b'%', b'_', weigh);
    }
    let (text, pattern): (Vec<char>, Vec<char>) = (text.chars().collect(), pattern.chars().collect());
    matches(&text, &pattern, escape, '%', '_', |c| if folding { fold(c) } else { c })
}

/// Backtracks to the last `%` only, so it takes at most text x pattern steps.
fn matches<T: Copy + PartialEq>(text: &[T], pattern: &[T], escape: Option<T>, any: T, one: T, weigh: impl Fn(T) -> T) -> bool {
    let (mut t, mut p) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() {
            let c = pattern[p];
            if Some(c) == escape && p + 1 < pattern.len() {
                if weigh(pattern[p + 1]) == weigh(text[t]) {
                    (t, p) = (t + 1, p + 2);
                    continue;
                }
            } else if c == any {
                retry = Some((t, p + 1));
                p += 1;
                continue;
            } else if c == one || weigh(c) == weigh(text[t]) {
                (t, p) = (t + 1, p + 1);
                continue;
            }
        }
        let Some((from, after)) = retry else { return false };
        retry = Some((from + 1, after));
        (t, p) = (from + 1, after);
    }
    pattern[p..].iter().all(|c| *c == any)
}
