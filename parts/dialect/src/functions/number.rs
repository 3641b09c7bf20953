//! Numbers: exact decimals, doubles, bits.

use pumasi_mysqlwire::SqlError;

use super::{Answer, Arg, Function, Out, nulls, out_of_range, pure};
use crate::decimal::Decimal;

pub(super) const FUNCTIONS: &[Function] = &[
    pure("pm_dec", 1, |a| Ok(decimal(a[0])?.to_string().into())),
    pure("pm_dec_scale", 2, |a| Ok(fit(decimal(a[0])?.rescale(scale(a[1])))?.to_string().into())),
    pure("pm_dec_fit", 3, |a| {
        let (precision, scale) = (a[1].int(), scale(a[2]));
        let value = fit(decimal(a[0])?.rescale(scale))?;
        Ok(if i64::from(value.integer_digits()) > precision - i64::from(scale) {
            nines(precision, scale, value.negative())
        } else {
            value.to_string()
        }
        .into())
    }),
    pure("pm_dec_add", 2, |a| binary(a, Decimal::plus)),
    pure("pm_dec_sub", 2, |a| binary(a, Decimal::minus)),
    pure("pm_dec_mul", 2, |a| binary(a, Decimal::times)),
    pure("pm_dec_div", 3, |a| {
        let (x, y) = (decimal(a[0])?, decimal(a[1])?);
        if y.zero() {
            return Ok(Out::Null);
        }
        // MySQL divides in groups of nine digits and shows fewer: (2/3)*3 is 2.0000, not 2.0001.
        let shown = scale(a[2]);
        let carried = shown.div_ceil(9) * 9;
        Ok(fit(x.div(y, carried.min(crate::decimal::SCALE_MAX)).or_else(|| x.div(y, shown)))?.to_string().into())
    }),
    pure("pm_dec_mod", 2, |a| {
        let (x, y) = (decimal(a[0])?, decimal(a[1])?);
        Ok(if y.zero() { Out::Null } else { fit(x.remainder(y))?.to_string().into() })
    }),
    pure("pm_dec_neg", 1, |a| Ok(decimal(a[0])?.negated().to_string().into())),
    pure("pm_dec_abs", 1, |a| Ok(decimal(a[0])?.abs().to_string().into())),
    pure("pm_dec_ceil", 1, |a| whole(decimal(a[0])?.ceil())),
    pure("pm_dec_floor", 1, |a| whole(decimal(a[0])?.floor())),
    pure("pm_dec_round", 3, |a| {
        let (value, places, kept) = (decimal(a[0])?, a[1].int(), scale(a[2]));
        let rounded =
            if places >= 0 { value.rescale(u8::try_from(places).unwrap_or(30).min(value.scale())) } else { value.round_tens(tens(places)) };
        Ok(rounded.and_then(|r| r.rescale(kept)).map_or("0".to_owned(), |r| r.to_string()).into())
    }),
    pure("pm_dec_truncate", 3, |a| {
        let (value, places, kept) = (decimal(a[0])?, a[1].int(), scale(a[2]));
        let cut = if places >= 0 {
            value.truncate(u8::try_from(places).unwrap_or(30))
        } else {
            let unit = 10i64.checked_pow(u32::from(tens(places)));
            let whole = value.truncate(0).to_i64().unwrap_or(0);
            Decimal::from_int(unit.map_or(0, |u| whole / u * u))
        };
        Ok(cut.rescale(kept).map_or("0".to_owned(), |r| r.to_string()).into())
    }),
    pure("pm_int_round", 2, |a| {
        let rounded = Decimal::from_int(a[0].int()).round_tens(tens(a[1].int()));
        Ok(rounded.and_then(Decimal::to_i64).unwrap_or(0).into())
    }),
    pure("pm_int_truncate", 2, |a| {
        let unit = 10i64.checked_pow(u32::from(tens(a[1].int())));
        Ok(unit.map_or(0, |u| a[0].int() / u * u).into())
    }),
    pure("pm_double_round", 2, |a| Ok(round(a[0].real(), a[1].int()).into())),
    pure("pm_double_truncate", 2, |a| {
        let (value, places) = (a[0].real(), a[1].int().clamp(-308, 308) as i32);
        let unit = 10f64.powi(places.abs());
        let cut = if places >= 0 { (value * unit).trunc() / unit } else { (value / unit).trunc() * unit };
        Ok(if cut.is_finite() { cut } else { value }.into())
    }),
    pure("pm_ceil", 1, |a| Ok(a[0].real().ceil().into())),
    pure("pm_floor", 1, |a| Ok(a[0].real().floor().into())),
    pure("pm_abs", 1, |a| a[0].int().checked_abs().map(Out::Int).ok_or_else(|| out_of_range("BIGINT", a[0].int()))),
    pure("pm_finite", 1, |a| match a[0] {
        Arg::Real(x) if !x.is_finite() => Err(out_of_range("DOUBLE", x)),
        other => Ok(Out::of(other)),
    }),
    pure("pm_mod", 2, |a| Ok(if a[1].real() == 0.0 { Out::Null } else { (a[0].real() % a[1].real()).into() })),
    pure("pm_int_div", 2, |a| {
        if matches!(a[0], Arg::Real(_)) || matches!(a[1], Arg::Real(_)) {
            let quotient = (a[0].real() / a[1].real()).trunc();
            if a[1].real() == 0.0 {
                return Ok(Out::Null);
            }
            return if quotient.abs() < 9.2e18 { Ok((quotient as i64).into()) } else { Err(out_of_range("BIGINT", quotient)) };
        }
        let (x, y) = (decimal(a[0])?, decimal(a[1])?);
        if y.zero() {
            return Ok(Out::Null);
        }
        // The quotient may round up in its last digit, so take the remainder off first.
        let exact = fit(x.minus(fit(x.remainder(y))?))?;
        whole(fit(exact.div(y, 0))?)
    }),
    pure("pm_unsigned_sub", 2, |a| {
        let difference = a[0].int().checked_sub(a[1].int());
        match difference {
            Some(d) if d >= 0 => Ok(d.into()),
            _ => Err(out_of_range("BIGINT UNSIGNED", format!("({} - {})", a[0].int(), a[1].int()))),
        }
    }),
    pure("pm_round_int", 1, |a| Ok(a[0].int().into())),
    pure("pm_cast_signed", 2, |a| Ok(cast(a)?.into())),
    pure("pm_cast_unsigned", 2, |a| {
        let n = cast(a)?;
        if n < 0 { Err(SqlError::unsupported("unsigned value above 2^63 - 1")) } else { Ok(n.into()) }
    }),
    pure("pm_bit_not", 1, |a| bits(!(a[0].int() as u64))),
    pure("pm_bits", 1, |a| bits(a[0].int() as u64)),
    pure("pm_bit_xor", 2, |a| bits((a[0].int() ^ a[1].int()) as u64)),
    pure("pm_shift_left", 2, |a| bits(shift(a[1].int()).and_then(|n| (a[0].int() as u64).checked_shl(n)).unwrap_or(0))),
    pure("pm_shift_right", 2, |a| bits(shift(a[1].int()).and_then(|n| (a[0].int() as u64).checked_shr(n)).unwrap_or(0))),
    pure("pm_bit_count", 1, |a| Ok(i64::from(a[0].int().count_ones()).into())),
    pure("pm_float", 1, |a| Ok(f64::from(a[0].real() as f32).into())),
    pure("pm_float_text", 1, |a| Ok(crate::text::float(a[0].real() as f32).into())),
    pure("pm_double_text", 1, |a| Ok(crate::text::double(a[0].real()).into())),
    pure("pm_row_count", 1, |a| {
        let n = a[0].int();
        if n < 0 { Err(SqlError::new(1210, "HY000", "Incorrect arguments to LIMIT")) } else { Ok(n.into()) }
    }),
    nulls("pm_interval", -1, |a| {
        if a[0].null() {
            return Ok(Out::Int(-1));
        }
        let n = a[0].real();
        Ok((a[1..].iter().take_while(|x| !x.null() && x.real() <= n).count() as i64).into())
    }),
    pure("pm_acos", 1, |a| Ok(a[0].real().acos().into())),
    pure("pm_asin", 1, |a| Ok(a[0].real().asin().into())),
    pure("pm_atan", 1, |a| Ok(a[0].real().atan().into())),
    pure("pm_atan", 2, |a| Ok(a[0].real().atan2(a[1].real()).into())),
    pure("pm_cos", 1, |a| Ok(a[0].real().cos().into())),
    pure("pm_cot", 1, |a| finite("DOUBLE", 1.0 / a[0].real().tan())),
    pure("pm_degrees", 1, |a| Ok(a[0].real().to_degrees().into())),
    pure("pm_exp", 1, |a| finite("DOUBLE", a[0].real().exp())),
    pure("pm_ln", 1, |a| Ok(logarithm(a[0].real(), f64::ln).into())),
    pure("pm_log", 1, |a| Ok(logarithm(a[0].real(), f64::ln).into())),
    pure("pm_log", 2, |a| {
        let (base, x) = (a[0].real(), a[1].real());
        Ok(if base <= 0.0 || base == 1.0 || x <= 0.0 { Out::Null } else { (x.ln() / base.ln()).into() })
    }),
    pure("pm_log10", 1, |a| Ok(logarithm(a[0].real(), f64::log10).into())),
    pure("pm_log2", 1, |a| Ok(logarithm(a[0].real(), f64::log2).into())),
    nulls("pm_pi", 0, |_| Ok(std::f64::consts::PI.into())),
    pure("pm_pow", 2, |a| finite("DOUBLE", a[0].real().powf(a[1].real()))),
    pure("pm_radians", 1, |a| Ok(a[0].real().to_radians().into())),
    pure("pm_sign", 1, |a| {
        let x = a[0].real();
        Ok(i64::from(x > 0.0).wrapping_sub(i64::from(x < 0.0)).into())
    }),
    pure("pm_sin", 1, |a| Ok(a[0].real().sin().into())),
    pure("pm_sqrt", 1, |a| Ok(a[0].real().sqrt().into())),
    pure("pm_tan", 1, |a| Ok(a[0].real().tan().into())),
    pure("pm_format", 2, |a| {
        let places = a[1].int().clamp(0, 30) as u8;
        let value = match a[0] {
            Arg::Real(x) => Decimal::from_f64(x),
            other => Decimal::parse_prefix(&other.text()).map(|(d, _)| d),
        };
        let text = fit(value.and_then(|v| v.rescale(places)))?.to_string();
        let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |d| ("-", d));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let mut out = String::from(sign);
        for (i, c) in whole.chars().enumerate() {
            if i > 0 && (whole.len() - i) % 3 == 0 {
                out.push(',');
            }
            out.push(c);
        }
        if !fraction.is_empty() {
            out.push('.');
            out.push_str(fraction);
        }
        Ok(out.into())
    }),
];

/// The exact value of a DECIMAL's text, an integer, or a double's shortest digits.
pub(super) fn decimal(arg: Arg<'_>) -> Result<Decimal, SqlError> {
    match arg {
        Arg::Int(n) => Ok(Decimal::from_int(n)),
        Arg::Real(x) => fit(Decimal::from_f64(x)),
        other => fit(Decimal::parse_prefix(&other.text()).map(|(d, _)| d)),
    }
}

pub(super) fn fit(value: Option<Decimal>) -> Result<Decimal, SqlError> {
    value.ok_or_else(|| SqlError::unsupported("DECIMAL arithmetic beyond 38 digits"))
}

/// The largest DECIMAL of a precision, where MySQL cuts.
pub(super) fn nines(precision: i64, scale: u8, negative: bool) -> String {
    let whole = "9".repeat(usize::try_from(precision - i64::from(scale)).unwrap_or(0));
    let whole = if whole.is_empty() { "0".to_owned() } else { whole };
    let fraction = if scale == 0 { String::new() } else { format!(".{}", "9".repeat(usize::from(scale))) };
    format!("{}{whole}{fraction}", if negative { "-" } else { "" })
}

/// Rounded to `places` digits. A double on a tie goes to the even neighbour, as the C library's `rint` does for MySQL.
fn round(value: f64, places: i64) -> f64 {
    let places = places.clamp(-308, 308) as i32;
    let unit = 10f64.powi(places.abs());
    let scaled = if places >= 0 { value * unit } else { value / unit };
    if !scaled.is_finite() {
        return value;
    }
    let rounded = scaled.round_ties_even();
    let back = if places >= 0 { rounded / unit } else { rounded * unit };
    if back.is_finite() { back } else { value }
}

fn binary(a: &[Arg<'_>], operation: fn(Decimal, Decimal) -> Option<Decimal>) -> Answer {
    Ok(fit(operation(decimal(a[0])?, decimal(a[1])?))?.to_string().into())
}

fn whole(value: Decimal) -> Answer {
    value.to_i64().map(Out::Int).ok_or_else(|| out_of_range("BIGINT", value))
}

fn finite(kind: &str, value: f64) -> Answer {
    if value.is_infinite() { Err(out_of_range(kind, value)) } else { Ok(value.into()) }
}

fn logarithm(x: f64, log: fn(f64) -> f64) -> Option<f64> {
    (x > 0.0).then(|| log(x))
}

fn scale(arg: Arg<'_>) -> u8 {
    u8::try_from(arg.int()).unwrap_or(0).min(crate::decimal::SCALE_MAX)
}

fn tens(places: i64) -> u8 {
    u8::try_from(places.unsigned_abs()).unwrap_or(38).min(38)
}

fn shift(n: i64) -> Option<u32> {
    u32::try_from(n).ok().filter(|n| *n < 64)
}

/// MySQL's bit operations are on unsigned 64 bits; the upper half has no place in SQLite's integers.
fn bits(value: u64) -> Answer {
    i64::try_from(value).map(Out::Int).map_err(|_| SqlError::unsupported("BIGINT UNSIGNED value above 2^63 - 1"))
}

/// CAST AS SIGNED: text up to the first character that is no digit, numbers rounded.
fn cast(a: &[Arg<'_>]) -> Result<i64, SqlError> {
    match a[0] {
        Arg::Text(_) | Arg::Blob(_) if a[1].int() == 1 => {
            let text = a[0].text();
            let text = text.trim_start();
            let sign = usize::from(text.starts_with(['-', '+']));
            let digits = text[sign..].bytes().take_while(u8::is_ascii_digit).count();
            if digits == 0 {
                return Ok(0);
            }
            let negative = text.starts_with('-');
            Ok(text[..sign + digits].parse().unwrap_or(if negative { i64::MIN } else { i64::MAX }))
        }
        Arg::Real(x) => Ok(x.round() as i64),
        other => Ok(other.int()),
    }
}
