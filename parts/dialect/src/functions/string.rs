//! Strings: pieces, searching, coding, hashing, regular expressions.

use std::cell::RefCell;
use std::collections::HashMap;

use md5::Digest;
use pumasi_mysqlwire::SqlError;
use regex::{Regex, RegexBuilder};

use super::{Answer, Arg, Function, LENGTH_MAX, Out, nulls, pure, too_long};
use crate::collation::{self, Collating, fold};
use crate::error;

pub(super) const FUNCTIONS: &[Function] = &[
    pure("pm_ascii", 1, |a| Ok(a[0].bytes().first().map_or(0, |b| i64::from(*b)).into())),
    pure("pm_ord", 1, |a| {
        let text = a[0].text();
        let mut buffer = [0; 4];
        let bytes = text.chars().next().map(|c| c.encode_utf8(&mut buffer).as_bytes());
        Ok(bytes.map_or(0, |b| b.iter().fold(0i64, |n, x| n << 8 | i64::from(*x))).into())
    }),
    pure("pm_bin", 1, |a| Ok(format!("{:b}", a[0].int()).into())),
    pure("pm_oct", 1, |a| Ok(format!("{:o}", a[0].int()).into())),
    pure("pm_bit_length", 1, |a| Ok((a[0].bytes().len() as i64 * 8).into())),
    pure("pm_conv", 3, conv),
    pure("pm_crc32", 1, |a| Ok(crc32(&a[0].bytes()).into())),
    nulls("pm_elt", -1, |a| {
        if a[0].null() {
            return Ok(Out::Null);
        }
        let index = usize::try_from(a[0].int()).ok().filter(|i| *i > 0);
        Ok(index.and_then(|i| a.get(i)).map_or(Out::Null, |x| Out::of(*x)))
    }),
    nulls("pm_make_set", -1, |a| {
        if a[0].null() {
            return Ok(Out::Null);
        }
        let bits = a[0].int();
        let picked: Vec<_> = a[1..].iter().enumerate().filter(|(i, x)| bits >> i & 1 == 1 && !x.null()).map(|(_, x)| x.text()).collect();
        Ok(picked.join(",").into())
    }),
    pure("pm_find_in_set", 2, |a| {
        let (wanted, list) = (a[0].text(), a[1].text());
        if list.is_empty() {
            return Ok(0i64.into());
        }
        let at = list.split(',').position(|item| Collating::FoldPad.compare(item, &wanted).is_eq());
        Ok(at.map_or(0, |i| i as i64 + 1).into())
    }),
    pure("pm_to_base64", 1, |a| Ok(base64(&a[0].bytes()).into())),
    pure("pm_from_base64", 1, |a| Ok(from_base64(&a[0].text()).into())),
    pure("pm_hex", 1, |a| match a[0] {
        Arg::Int(n) => Ok(format!("{n:X}").into()),
        Arg::Real(x) => Ok(format!("{:X}", x.round() as i64).into()),
        other => Ok(crate::text::hex(&other.bytes()).into()),
    }),
    pure("pm_unhex", 1, |a| Ok(crate::text::unhex(&a[0].text()).into())),
    pure("pm_inet_aton", 1, |a| {
        let text = a[0].text();
        let parts: Option<Vec<i64>> = text.split('.').map(|p| p.parse().ok().filter(|n| (0..256).contains(n))).collect();
        Ok(parts.filter(|p| p.len() == 4).map(|p| p.iter().fold(0, |n, x| n << 8 | x)).into())
    }),
    pure("pm_inet_ntoa", 1, |a| Ok(u32::try_from(a[0].int()).ok().map(|n| std::net::Ipv4Addr::from(n).to_string()).into())),
    pure("pm_inet6_aton", 1, |a| {
        let text = a[0].text();
        Ok(text
            .parse::<std::net::IpAddr>()
            .ok()
            .map(|ip| match ip {
                std::net::IpAddr::V4(v4) => v4.octets().to_vec(),
                std::net::IpAddr::V6(v6) => v6.octets().to_vec(),
            })
            .into())
    }),
    pure("pm_inet6_ntoa", 1, |a| {
        let bytes = a[0].bytes();
        Ok(match bytes.len() {
            4 => <[u8; 4]>::try_from(bytes.as_ref()).ok().map(|b| std::net::Ipv4Addr::from(b).to_string()),
            16 => <[u8; 16]>::try_from(bytes.as_ref()).ok().map(|b| std::net::Ipv6Addr::from(b).to_string()),
            _ => None,
        }
        .into())
    }),
    pure("pm_is_ipv4", 1, |a| Ok(a[0].text().parse::<std::net::Ipv4Addr>().is_ok().into())),
    pure("pm_is_ipv6", 1, |a| Ok(a[0].text().parse::<std::net::Ipv6Addr>().is_ok().into())),
    pure("pm_insert", 4, |a| {
        let text = a[0].text();
        let (at, len) = (a[1].int(), a[2].int());
        let count = text.chars().count() as i64;
        if at < 1 || at > count {
            return Ok(text.into_owned().into());
        }
        let head: String = text.chars().take(at as usize - 1).collect();
        let skip = if len < 0 { count } else { (at - 1).saturating_add(len) };
        let tail: String = text.chars().skip(skip as usize).collect();
        Ok(format!("{head}{}{tail}", a[3].text()).into())
    }),
    pure("pm_left", 2, |a| Ok(a[0].text().chars().take(size(a[1])).collect::<String>().into())),
    pure("pm_right", 2, |a| {
        let text = a[0].text();
        let skip = text.chars().count().saturating_sub(size(a[1]));
        Ok(text.chars().skip(skip).collect::<String>().into())
    }),
    pure("pm_lpad", 3, |a| pad(a, true)),
    pure("pm_rpad", 3, |a| pad(a, false)),
    pure("pm_repeat", 2, |a| {
        let (text, n) = (a[0].text(), size(a[1]));
        if text.len().saturating_mul(n) > LENGTH_MAX {
            return Err(too_long("repeat"));
        }
        Ok(text.repeat(n).into())
    }),
    pure("pm_space", 1, |a| if size(a[0]) > LENGTH_MAX { Err(too_long("space")) } else { Ok(" ".repeat(size(a[0])).into()) }),
    pure("pm_replace", 3, |a| {
        let (text, from, to) = (a[0].text(), a[1].text(), a[2].text());
        if from.is_empty() {
            return Ok(text.into_owned().into());
        }
        if to.len() > from.len() && text.len() / from.len() * to.len() > LENGTH_MAX {
            return Err(too_long("replace"));
        }
        Ok(text.replace(from.as_ref(), &to).into())
    }),
    pure("pm_reverse", 1, |a| Ok(a[0].text().chars().rev().collect::<String>().into())),
    pure("pm_quote", 1, |a| {
        Ok(format!("'{}'", a[0].text().replace('\\', "\\\\").replace('\'', "\\'").replace('\0', "\\0").replace('\u{1a}', "\\Z")).into())
    }),
    pure("pm_soundex", 1, |a| Ok(soundex(&a[0].text()).into())),
    pure("pm_substring", 2, |a| Ok(substring(&a[0].text(), a[1].int(), i64::MAX).into())),
    pure("pm_substring", 3, |a| Ok(substring(&a[0].text(), a[1].int(), a[2].int()).into())),
    pure("pm_substring_index", 3, |a| {
        let (text, delimiter, count) = (a[0].text(), a[1].text(), a[2].int());
        if delimiter.is_empty() || count == 0 {
            return Ok("".into());
        }
        let n = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
        Ok(if count > 0 {
            text.match_indices(delimiter.as_ref()).nth(n - 1).map_or(text.as_ref(), |(i, _)| &text[..i])
        } else {
            text.rmatch_indices(delimiter.as_ref()).nth(n - 1).map_or(text.as_ref(), |(i, _)| &text[i + delimiter.len()..])
        }
        .into())
    }),
    pure("pm_upper", 1, |a| Ok(a[0].text().chars().map(|c| single(c, c.to_uppercase())).collect::<String>().into())),
    pure("pm_lower", 1, |a| Ok(a[0].text().chars().map(|c| single(c, c.to_lowercase())).collect::<String>().into())),
    pure("pm_trim", 3, |a| {
        let (text, what, side) = (a[0].text(), a[1].text(), a[2].text());
        if what.is_empty() {
            return Ok(text.into_owned().into());
        }
        let mut rest = text.as_ref();
        if side != "trailing" {
            rest = rest.trim_start_matches(what.as_ref());
        }
        if side != "leading" {
            rest = rest.trim_end_matches(what.as_ref());
        }
        Ok(rest.into())
    }),
    pure("pm_locate", 4, |a| Ok(locate(&a[0].text(), &a[1].text(), a[2].int(), a[3].int() == 1).into())),
    pure("pm_strcmp", 3, |a| {
        let name = a[2].text();
        let collating = Collating::ALL.into_iter().find(|c| c.sqlite_name() == name).unwrap_or(Collating::Exact);
        Ok((collating.compare(&a[0].text(), &a[1].text()) as i64).into())
    }),
    nulls("pm_char", -1, |a| {
        let mut out = Vec::new();
        for n in a.iter().filter(|x| !x.null()) {
            let bytes = (n.int() as u32).to_be_bytes();
            let first = bytes.iter().position(|b| *b != 0).unwrap_or(3);
            out.extend_from_slice(&bytes[first..]);
        }
        Ok(out.into())
    }),
    pure("pm_concat_bytes", -1, |a| Ok(a.iter().flat_map(|x| x.bytes().into_owned()).collect::<Vec<u8>>().into())),
    pure("pm_binary_pad", 2, |a| {
        let mut bytes = a[0].bytes().into_owned();
        bytes.resize(size(a[1]).min(LENGTH_MAX), 0);
        Ok(bytes.into())
    }),
    pure("pm_like", 3, |a| Ok(like(a, true)?.into())),
    pure("pm_like_exact", 3, |a| Ok(like(a, false)?.into())),
    nulls("pm_tuple", -1, |a| {
        // A key that is equal exactly when all values are, under each one's collation; NULL if any is NULL.
        let mut key = String::new();
        for pair in a.chunks(2) {
            if pair[0].null() {
                return Ok(Out::Null);
            }
            let name = pair[1].text();
            let collating = Collating::ALL.into_iter().find(|c| c.sqlite_name() == name).unwrap_or(Collating::Exact);
            let text = match pair[0] {
                Arg::Blob(b) => crate::text::hex(b),
                other => collation::key(collating, &other.text()),
            };
            key.push_str(&format!("{}:{text}", text.len()));
        }
        Ok(key.into())
    }),
    pure("pm_weight_string", 1, |a| Ok(collation::key(Collating::FoldPad, &a[0].text()).into_bytes().into())),
    pure("pm_md5", 1, |a| Ok(lower_hex(&md5::Md5::digest(a[0].bytes())).into())),
    pure("pm_sha1", 1, |a| Ok(lower_hex(&sha1::Sha1::digest(a[0].bytes())).into())),
    pure("pm_sha2", 2, |a| {
        let bytes = a[0].bytes();
        Ok(match a[1].int() {
            0 | 256 => Some(lower_hex(&sha2::Sha256::digest(bytes))),
            224 => Some(lower_hex(&sha2::Sha224::digest(bytes))),
            384 => Some(lower_hex(&sha2::Sha384::digest(bytes))),
            512 => Some(lower_hex(&sha2::Sha512::digest(bytes))),
            _ => None,
        }
        .into())
    }),
    pure("pm_is_uuid", 1, |a| Ok(uuid_bytes(&a[0].text()).is_some().into())),
    pure("pm_uuid_to_bin", 1, |a| {
        let text = a[0].text();
        match uuid_bytes(&text) {
            Some(bytes) => Ok(bytes.into()),
            None => Err(SqlError::new(1411, "HY000", format!("Incorrect string value: '{text}' for function uuid_to_bin"))),
        }
    }),
    pure("pm_bin_to_uuid", 1, |a| {
        let hex = lower_hex(&a[0].bytes());
        if hex.len() != 32 {
            return Err(SqlError::new(1411, "HY000", "Incorrect string value for function bin_to_uuid"));
        }
        Ok(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]).into())
    }),
    pure("pm_regexp", 3, |a| with_regex(a[1], a[2], |r| r.is_match(&a[0].text()).into())),
    pure("pm_regexp_replace", 4, |a| {
        let text = a[0].text();
        let replacement = a[2].text().replace('\\', "$");
        with_regex(a[1], a[3], |r| r.replace_all(&text, replacement.as_str()).into_owned().into())
    }),
    pure("pm_regexp_instr", 3, |a| {
        let text = a[0].text();
        with_regex(a[1], a[2], |r| r.find(&text).map_or(0, |m| text[..m.start()].chars().count() as i64 + 1).into())
    }),
    pure("pm_regexp_substr", 3, |a| {
        let text = a[0].text();
        with_regex(a[1], a[2], |r| r.find(&text).map(|m| m.as_str().to_owned()).into())
    }),
];

/// Regular expressions kept compiled per thread, and the memory one may take.
const REGEXES_MAX: usize = 64;
const REGEX_BYTES_MAX: usize = 1 << 20;

thread_local! {
    // One session, one thread: the cache needs no lock.
    static REGEXES: RefCell<HashMap<(String, bool), Regex>> = RefCell::new(HashMap::new());
}

fn with_regex(pattern: Arg<'_>, folding: Arg<'_>, run: impl Fn(&Regex) -> Out) -> Answer {
    let key = (pattern.text().into_owned(), folding.int() == 1);
    REGEXES.with_borrow_mut(|cache| {
        if let Some(regex) = cache.get(&key) {
            return Ok(run(regex));
        }
        // MySQL spells word boundaries [[:<:]] and [[:>:]] in old patterns.
        let source = key.0.replace("[[:<:]]", "\\b").replace("[[:>:]]", "\\b");
        let regex = RegexBuilder::new(&source)
            .case_insensitive(key.1)
            .size_limit(REGEX_BYTES_MAX)
            .build()
            .map_err(|e| error::invalid_regexp(e.to_string().lines().last().unwrap_or("bad pattern")))?;
        if cache.len() >= REGEXES_MAX {
            cache.clear();
        }
        let answer = run(&regex);
        cache.insert(key, regex);
        Ok(answer)
    })
}

fn like(a: &[Arg<'_>], folding: bool) -> Result<bool, SqlError> {
    let escape = a[2].text();
    let mut chars = escape.chars();
    let first = chars.next();
    if chars.next().is_some() {
        return Err(SqlError::new(1210, "HY000", "Incorrect arguments to ESCAPE"));
    }
    Ok(crate::text::like(&a[0].text(), &a[1].text(), first, folding))
}

/// A count of characters from an argument; negative is none.
fn size(arg: Arg<'_>) -> usize {
    usize::try_from(arg.int()).unwrap_or(0)
}

fn pad(a: &[Arg<'_>], left: bool) -> Answer {
    let (text, wanted, fill) = (a[0].text(), a[1].int(), a[2].text());
    let Ok(wanted) = usize::try_from(wanted) else { return Ok(Out::Null) };
    if wanted > LENGTH_MAX {
        return Err(too_long(if left { "lpad" } else { "rpad" }));
    }
    let have = text.chars().count();
    if have >= wanted {
        return Ok(text.chars().take(wanted).collect::<String>().into());
    }
    if fill.is_empty() {
        return Ok("".into());
    }
    let padding: String = fill.chars().cycle().take(wanted - have).collect();
    Ok(if left { format!("{padding}{text}") } else { format!("{text}{padding}") }.into())
}

/// Positions from 1; negative counts from the end; 0 finds nothing.
fn substring(text: &str, from: i64, len: i64) -> String {
    let count = text.chars().count() as i64;
    let start = if from > 0 { from - 1 } else { count + from };
    if from == 0 || start < 0 || start >= count || len <= 0 {
        return String::new();
    }
    text.chars().skip(start as usize).take(usize::try_from(len).unwrap_or(usize::MAX)).collect()
}

fn locate(wanted: &str, text: &str, from: i64, folding: bool) -> i64 {
    let weigh = |c: char| if folding { fold(c) } else { c };
    let text: Vec<char> = text.chars().map(weigh).collect();
    let wanted: Vec<char> = wanted.chars().map(weigh).collect();
    let Some(start) = usize::try_from(from - 1).ok().filter(|s| *s <= text.len()) else { return 0 };
    if wanted.is_empty() {
        return from;
    }
    text[start..].windows(wanted.len()).position(|w| w == wanted).map_or(0, |i| (start + i) as i64 + 1)
}

/// Case mapping by single characters, as MySQL's collations map: what would become two letters stays.
fn single(original: char, mut mapped: impl Iterator<Item = char>) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(c), None) => c,
        _ => original,
    }
}

fn conv(a: &[Arg<'_>]) -> Answer {
    let (text, from, to) = (a[0].text(), a[1].int(), a[2].int());
    let valid = |base: i64| (2..=36).contains(&base.abs());
    if !valid(from) || !valid(to) {
        return Ok(Out::Null);
    }
    let base = from.unsigned_abs() as u32;
    let trimmed = text.trim();
    let (negative, digits) = trimmed.strip_prefix('-').map_or((false, trimmed), |d| (true, d));
    let mut value = 0u64;
    for c in digits.chars() {
        let Some(d) = c.to_digit(base) else { break };
        value = value.saturating_mul(u64::from(base)).saturating_add(u64::from(d));
    }
    let value = if negative { value.wrapping_neg() } else { value };
    let (sign, mut rest) = if to < 0 && (value as i64) < 0 { ("-", (value as i64).unsigned_abs()) } else { ("", value) };
    let radix = to.unsigned_abs();
    let mut out = Vec::new();
    loop {
        out.push(char::from_digit((rest % radix) as u32, radix as u32).unwrap_or('0').to_ascii_uppercase());
        rest /= radix;
        if rest == 0 {
            break;
        }
    }
    Ok(format!("{sign}{}", out.iter().rev().collect::<String>()).into())
}

fn crc32(bytes: &[u8]) -> i64 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    i64::from(!crc)
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Lines of 76 characters, as MySQL breaks them.
fn base64(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        if out.len() % 77 == 76 {
            out.push('\n');
        }
        let n = chunk.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            out.push(if i <= chunk.len() { BASE64[(n >> (18 - 6 * i) & 63) as usize] as char } else { '=' });
        }
    }
    out
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let symbols: Vec<u8> = text.bytes().filter(|c| !c.is_ascii_whitespace()).collect();
    if !symbols.len().is_multiple_of(4) {
        return None;
    }
    let mut out = Vec::with_capacity(symbols.len() / 4 * 3);
    let last = symbols.len() / 4;
    for (i, group) in symbols.chunks(4).enumerate() {
        let padding = group.iter().rev().take_while(|c| **c == b'=').count();
        if padding > 2 || (padding > 0 && i + 1 != last) {
            return None;
        }
        let mut n = 0u32;
        for c in &group[..4 - padding] {
            n = n << 6 | BASE64.iter().position(|b| b == c)? as u32;
        }
        n <<= 6 * padding as u32;
        out.extend_from_slice(&n.to_be_bytes()[1..4 - padding]);
    }
    Some(out)
}

fn soundex(text: &str) -> String {
    let code = |c: char| match c.to_ascii_uppercase() {
        'B' | 'F' | 'P' | 'V' => Some('1'),
        'C' | 'G' | 'J' | 'K' | 'Q' | 'S' | 'X' | 'Z' => Some('2'),
        'D' | 'T' => Some('3'),
        'L' => Some('4'),
        'M' | 'N' => Some('5'),
        'R' => Some('6'),
        _ => None,
    };
    let mut out = String::new();
    let mut last = None;
    for c in text.chars().filter(|c| c.is_alphabetic()) {
        let this = code(c);
        if out.is_empty() {
            out.extend(c.to_uppercase());
        } else if let Some(digit) = this
            && this != last
        {
            out.push(digit);
        }
        // H and W do not separate equal codes, vowels do not either in MySQL's variant.
        if this.is_some() || out.len() == 1 {
            last = this;
        }
    }
    while !out.is_empty() && out.chars().count() < 4 {
        out.push('0');
    }
    out
}

fn lower_hex(bytes: &[u8]) -> String {
    crate::text::hex(bytes).to_ascii_lowercase()
}

fn uuid_bytes(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_start_matches('{').trim_end_matches('}');
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let dashes = text.len() - digits.len();
    let placed = dashes == 0 || (dashes == 4 && [8, 13, 18, 23].iter().all(|&i| text.as_bytes().get(i) == Some(&b'-')));
    if digits.len() != 32 || !placed {
        return None;
    }
    crate::text::unhex(&digits)
}
