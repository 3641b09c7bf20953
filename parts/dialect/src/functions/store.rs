//! Values on their way into columns: MySQL's checks of strict mode, or its adjustments with a warning.

use pumasi_mysqlwire::SqlError;

use super::{Answer, Arg, Env, Function, Out, env, nulls, pure};
use crate::decimal::Decimal;
use crate::error;
use crate::temporal::{DateTime, Time};

pub(super) const FUNCTIONS: &[Function] = &[
    env("pm_store_int", 4, store_int),
    env("pm_store_bit", 3, |e, a| {
        let max = a[1].int();
        match a[0] {
            Arg::Null => Ok(Out::Null),
            value if (0..=max).contains(&value.int()) => Ok(value.int().into()),
            _ => {
                e.complain(error::data_too_long(a[2].text(), e.row()))?;
                Ok(max.into())
            }
        }
    }),
    env("pm_valid_text", 2, |e, a| match a[0] {
        Arg::Blob(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.into()),
            Err(bad) => {
                let shown: String = bytes[bad.valid_up_to()..].iter().take(6).map(|b| format!("\\x{b:02X}")).collect();
                let row = e.row();
                e.complain(error::incorrect_string("string", shown, a[1].text(), row))?;
                Ok(String::from_utf8_lossy(&bytes[..bad.valid_up_to()]).into_owned().into())
            }
        },
        other => Ok(Out::of(other)),
    }),
    env("pm_store_year", 2, store_year),
    env("pm_store_decimal", 5, store_decimal),
    env("pm_store_float", 2, |e, a| store_double(e, a, true)),
    env("pm_store_double", 2, |e, a| store_double(e, a, false)),
    env("pm_store_char", 3, |e, a| store_chars(e, a, true)),
    env("pm_store_varchar", 3, |e, a| store_chars(e, a, false)),
    env("pm_store_text", 3, store_text),
    env("pm_store_binary", 3, |e, a| store_bytes(e, a, true)),
    env("pm_store_varbinary", 3, |e, a| store_bytes(e, a, false)),
    env("pm_store_date", 2, |e, a| store_datetime(e, a, None)),
    env("pm_store_datetime", 3, |e, a| store_datetime(e, a, Some(a[1].int() as u8))),
    env("pm_store_time", 3, store_time),
    env("pm_store_enum", 3, store_enum),
    env("pm_store_set", 3, store_set),
    env("pm_store_json", 2, |e, a| {
        let text = a[0].text();
        match crate::functions::json::normalize(&text) {
            Some(json) => Ok(json.into()),
            None if a[0].null() => Ok(Out::Null),
            None => {
                let _ = e;
                Err(SqlError::new(
                    3140,
                    "22032",
                    format!("Invalid JSON text: \"Invalid value.\" at position 0 in value for column '{}'.", a[1].text()),
                ))
            }
        }
    }),
    nulls("pm_not_null", 2, |a| if a[0].null() { Err(error::null_value(a[1].text())) } else { Ok(Out::of(a[0])) }),
    env("pm_no_default", 1, |_, a| Err(error::no_default(a[0].text()))),
    env("pm_warn_no_default", 2, |e, a| {
        e.warn(error::no_default(a[0].text()));
        Ok(Out::of(a[1]))
    }),
    env("pm_key", 2, |e, a| {
        e.remember_key(&a[0].text(), a[1]);
        Ok(Out::of(a[1]))
    }),
    pure("pm_enum_index", 2, |a| {
        let list = a[1].text();
        let value = a[0].text();
        Ok(list.split('\u{1}').position(|v| v == value).map_or(0, |i| i as i64 + 1).into())
    }),
    pure("pm_set_bits", 2, |a| {
        let list = a[1].text();
        let value = a[0].text();
        let bit = |member: &str| list.split('\u{1}').position(|v| v == member).map_or(0, |i| 1i64 << i);
        Ok(value.split(',').filter(|m| !m.is_empty()).map(bit).sum::<i64>().into())
    }),
    nulls("pm_bytes_text", 1, |a| match a[0] {
        Arg::Blob(b) => match std::str::from_utf8(b) {
            Ok(text) => Ok(text.into()),
            Err(_) => Err(error::invalid_text("utf8mb4", crate::text::hex(&b[..b.len().min(6)]))),
        },
        other => Ok(Out::of(other)),
    }),
];

fn store_int(e: &mut Env, a: &[Arg<'_>]) -> Answer {
    let (low, high, column) = (a[1].int(), a[2].int(), a[3]);
    let value = match a[0] {
        Arg::Null => return Ok(Out::Null),
        Arg::Int(n) => Some(i128::from(n)),
        Arg::Real(x) => Some(x.round_ties_even() as i128),
        other => {
            let text = other.text();
            let (number, whole) = number_text(&text);
            if !whole {
                complain_number(e, "integer", &text, column, number.is_none())?;
            }
            number.map_or(Some(0), |d| d.rescale(0).and_then(|d| d.to_string().parse().ok()))
        }
    };
    let value = value.unwrap_or(i128::MAX);
    match i64::try_from(value) {
        Ok(n) if (low..=high).contains(&n) => Ok(n.into()),
        _ => {
            e.complain(error::out_of_range(column.text(), e.row()))?;
            Ok(if value < i128::from(low) { low } else { high }.into())
        }
    }
}

fn store_year(e: &mut Env, a: &[Arg<'_>]) -> Answer {
    let column = a[1];
    let (n, text) = match a[0] {
        Arg::Null => return Ok(Out::Null),
        Arg::Text(t) => {
            let (number, whole) = number_text(t);
            if !whole {
                complain_number(e, "integer", t, column, number.is_none())?;
            }
            (number.and_then(Decimal::to_i64).unwrap_or(0), t.trim().len() <= 2)
        }
        other => (other.int(), false),
    };
    let year = match n {
        0 if text => 2000,
        0 => 0,
        1..=69 => 2000 + n,
        70..=99 => 1900 + n,
        1901..=2155 => n,
        _ => {
            e.complain(error::out_of_range(column.text(), e.row()))?;
            0
        }
    };
    Ok(year.into())
}

fn store_decimal(e: &mut Env, a: &[Arg<'_>]) -> Answer {
    let (precision, scale, unsigned, column) = (a[1].int(), a[2].int() as u8, a[3].int() == 1, a[4]);
    let value = match a[0] {
        Arg::Null => return Ok(Out::Null),
        Arg::Int(n) => Some(Decimal::from_int(n)),
        Arg::Real(x) => Decimal::from_f64(x),
        other => {
            let text = other.text();
            let (number, whole) = number_text(&text);
            if !whole {
                complain_number(e, "decimal", &text, column, number.is_none())?;
            }
            if number.is_none() && Decimal::parse_prefix(&text).is_some() { Some(Decimal::ZERO) } else { number }
        }
    };
    let fitted = value.and_then(|v| v.rescale(scale)).filter(|v| i64::from(v.integer_digits()) <= precision - i64::from(scale));
    match fitted {
        Some(v) if unsigned && v.negative() => {
            e.complain(error::out_of_range(column.text(), e.row()))?;
            Ok(Decimal::ZERO.rescale(scale).unwrap_or(Decimal::ZERO).to_string().into())
        }
        Some(v) => Ok(v.to_string().into()),
        None => {
            e.complain(error::out_of_range(column.text(), e.row()))?;
            let negative = value.is_some_and(Decimal::negative);
            Ok(super::number::nines(precision, scale, negative).into())
        }
    }
}

fn store_double(e: &mut Env, a: &[Arg<'_>], single: bool) -> Answer {
    let column = a[1];
    let value = match a[0] {
        Arg::Null => return Ok(Out::Null),
        Arg::Int(n) => n as f64,
        Arg::Real(x) => x,
        other => {
            let text = other.text();
            let prefix = crate::text::number_prefix(&text);
            let trimmed = text.trim();
            if prefix != trimmed && trimmed.parse::<f64>().is_err() {
                let none = !trimmed.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
                complain_number(e, "double", &text, column, none)?;
            }
            prefix.parse().unwrap_or(0.0)
        }
    };
    let value = if single { f64::from(value as f32) } else { value };
    if !value.is_finite() {
        e.complain(error::out_of_range(column.text(), e.row()))?;
        return Ok(f64::from(f32::MAX).copysign(value).into());
    }
    Ok(value.into())
}

fn store_chars(e: &mut Env, a: &[Arg<'_>], padded: bool) -> Answer {
    let (max, column) = (a[1].int() as usize, a[2]);
    if a[0].null() {
        return Ok(Out::Null);
    }
    let text = a[0].text();
    // CHAR comes back without the blanks it would be padded with.
    let text = if padded { text.trim_end_matches(' ') } else { &text };
    if text.len() <= max || text.chars().count() <= max {
        return Ok(text.into());
    }
    let cut: String = text.chars().take(max).collect();
    // Blanks beyond the end are cut without an error, in strict mode too.
    if text[cut.len()..].bytes().any(|c| c != b' ') {
        e.complain(error::data_too_long(column.text(), e.row()))?;
    }
    Ok(cut.into())
}

fn store_text(e: &mut Env, a: &[Arg<'_>]) -> Answer {
    let (max, column) = (a[1].int() as usize, a[2]);
    if a[0].null() {
        return Ok(Out::Null);
    }
    let text = a[0].text();
    if text.len() <= max {
        return Ok(Out::of(a[0]).into_text());
    }
    e.complain(error::data_too_long(column.text(), e.row()))?;
    let mut end = max;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Ok(text[..end].into())
}

fn store_bytes(e: &mut Env, a: &[Arg<'_>], padded: bool) -> Answer {
    let (max, column) = (a[1].int() as usize, a[2]);
    if a[0].null() {
        return Ok(Out::Null);
    }
    let mut bytes = a[0].bytes().into_owned();
    if bytes.len() > max {
        e.complain(error::data_too_long(column.text(), e.row()))?;
        bytes.truncate(max);
    } else if padded {
        bytes.resize(max, 0);
    }
    Ok(bytes.into())
}

fn store_datetime(e: &mut Env, a: &[Arg<'_>], digits: Option<u8>) -> Answer {
    let column = a[a.len() - 1];
    let (kind, form) = if digits.is_some() { ("datetime", digits.unwrap_or(0)) } else { ("date", 0) };
    if a[0].null() {
        return Ok(Out::Null);
    }
    let text = a[0].text();
    let parsed = match a[0] {
        Arg::Int(n) => DateTime::from_number(n),
        _ => DateTime::parse(&text).or_else(|| text.trim().parse::<i64>().ok().and_then(DateTime::from_number)),
    };
    let written = |d: DateTime| match digits {
        Some(_) => d.round(form).map(|d| d.format(form)),
        None => Some(d.format_date()),
    };
    let allowed = |d: &DateTime| !(d.incomplete() && (if d.zero_date() { e.no_zero_date } else { e.no_zero_in_date }));
    if let Some(text) = parsed.filter(allowed).and_then(written) {
        return Ok(text.into());
    }
    e.complain(error::incorrect_column_value(kind, &text, column.text(), e.row()))?;
    Ok(written(DateTime::default()).unwrap_or_default().into())
}

fn store_time(e: &mut Env, a: &[Arg<'_>]) -> Answer {
    let (digits, column) = (a[1].int() as u8, a[2]);
    if a[0].null() {
        return Ok(Out::Null);
    }
    let text = a[0].text();
    match Time::parse(&text) {
        Some(t) if t.clamp() == t => Ok(t.round(digits).format(digits).into()),
        Some(t) => {
            e.complain(error::incorrect_column_value("time", &text, column.text(), e.row()))?;
            Ok(t.clamp().format(digits).into())
        }
        None => {
            e.complain(error::incorrect_column_value("time", &text, column.text(), e.row()))?;
            Ok(Time(0).format(digits).into())
        }
    }
}

fn store_enum(e: &mut Env, a: &[Arg<'_>]) -> Answer {
    let (list, column) = (a[1].text(), a[2]);
    let by_index = |n: i64| usize::try_from(n - 1).ok().and_then(|i| list.split('\u{1}').nth(i));
    let found = match a[0] {
        Arg::Null => return Ok(Out::Null),
        Arg::Int(n) => by_index(n),
        other => {
            let text = other.text();
            let text = text.trim_end_matches(' ');
            let same = |v: &&str| crate::collation::Collating::FoldPad.compare(v, text).is_eq();
            list.split('\u{1}').find(same).or_else(|| text.parse().ok().and_then(by_index))
        }
    };
    match found {
        Some(value) => Ok(value.into()),
        None => {
            e.complain(error::data_truncated(column.text(), e.row()))?;
            Ok("".into())
        }
    }
}

fn store_set(e: &mut Env, a: &[Arg<'_>]) -> Answer {
    let (list, column) = (a[1].text(), a[2]);
    let members: Vec<&str> = list.split('\u{1}').collect();
    let mut chosen = vec![false; members.len()];
    match a[0] {
        Arg::Null => return Ok(Out::Null),
        Arg::Int(bits) => {
            if bits < 0 || (members.len() < 63 && bits >= 1i64 << members.len()) {
                e.complain(error::data_truncated(column.text(), e.row()))?;
            }
            for (i, chosen) in chosen.iter_mut().enumerate() {
                *chosen = bits >> i & 1 == 1;
            }
        }
        other => {
            for wanted in other.text().split(',').filter(|w| !w.is_empty()) {
                match members.iter().position(|m| crate::collation::Collating::FoldPad.compare(m, wanted).is_eq()) {
                    Some(i) => chosen[i] = true,
                    None => e.complain(error::data_truncated(column.text(), e.row()))?,
                }
            }
        }
    }
    let kept: Vec<&str> = members.iter().zip(&chosen).filter(|(_, c)| **c).map(|(m, _)| *m).collect();
    Ok(kept.join(",").into())
}

/// The number in a text, if it begins with one (or has too many digits: then `None` too), and whether it is all of it.
fn number_text(text: &str) -> (Option<Decimal>, bool) {
    let starts = text.trim_start().trim_start_matches(['-', '+', '.']).starts_with(|c: char| c.is_ascii_digit());
    match Decimal::parse_prefix(text) {
        Some((d, whole)) => (starts.then_some(d), whole && starts),
        None => (None, true),
    }
}

/// 1366 if there was no number at all, 1265 if something followed it.
fn complain_number(e: &mut Env, kind: &str, text: &str, column: Arg<'_>, none: bool) -> Result<(), SqlError> {
    let row = e.row();
    e.complain(if none { error::incorrect_string(kind, text, column.text(), row) } else { error::data_truncated(column.text(), row) })
}

impl Out {
    fn into_text(self) -> Out {
        match self {
            Out::Int(n) => Out::Text(n.to_string()),
            Out::Real(x) => Out::Text(crate::text::double(x)),
            other => other,
        }
    }
}

/// `value` as `column` stores it: what an INSERT of it would store. For defaults.
pub fn store_value(e: &mut Env, column: &crate::catalogue::Column, value: Arg<'_>) -> Answer {
    use crate::catalogue::Type;
    let name = Arg::Text(&column.name);
    let n = |n: i64| Arg::Int(n);
    match &column.ty {
        Type::Int { .. } => {
            let (low, high) = column.ty.int_range().unwrap_or((i64::MIN, i64::MAX));
            store_int(e, &[value, n(low), n(high), name])
        }
        Type::Bit(bits) => store_int(e, &[value, n(0), n((1i64 << bits) - 1), name]),
        Type::Year => store_year(e, &[value, name]),
        Type::Decimal { precision, scale, unsigned } => {
            store_decimal(e, &[value, n(i64::from(*precision)), n(i64::from(*scale)), n(i64::from(*unsigned)), name])
        }
        Type::Float => store_double(e, &[value, name], true),
        Type::Double => store_double(e, &[value, name], false),
        Type::Char(chars) => store_chars(e, &[value, n(i64::from(*chars)), name], true),
        Type::VarChar(chars) => store_chars(e, &[value, n(i64::from(*chars)), name], false),
        Type::Date => store_datetime(e, &[value, name], None),
        Type::DateTime(digits) | Type::Timestamp(digits) => {
            let digits = *digits;
            store_datetime(e, &[value, n(i64::from(digits)), name], Some(digits))
        }
        Type::Time(digits) => store_time(e, &[value, n(i64::from(*digits)), name]),
        Type::Enum(values) => store_enum(e, &[value, Arg::Text(&values.join("\u{1}")), name]),
        Type::Set(values) => store_set(e, &[value, Arg::Text(&values.join("\u{1}")), name]),
        Type::Text(_) | Type::Json | Type::Binary(_) | Type::VarBinary(_) | Type::Blob(_) => Ok(Out::of(value)),
    }
}
