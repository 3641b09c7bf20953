//! DECIMAL: exact numbers of up to 38 digits, and the text they are stored as.
//!
//! MySQL's DECIMAL has 65 digits; what does not fit here is an error, never a rounded answer.

use std::cmp::Ordering;
use std::fmt;

/// `units / 10^scale`.
#[derive(Clone, Copy, Debug)]
pub struct Decimal {
    units: i128,
    scale: u8,
}

/// Digits that a DECIMAL column may have.
pub const PRECISION_MAX: u8 = 36;
/// MySQL's bound on digits after the point.
pub const SCALE_MAX: u8 = 30;

impl Decimal {
    pub const ZERO: Decimal = Decimal { units: 0, scale: 0 };

    pub fn from_int(value: i64) -> Decimal {
        Decimal { units: i128::from(value), scale: 0 }
    }

    /// The number at the start of `text` (as MySQL reads strings: blanks, sign, digits, point, exponent), and whether that was all of
    /// it but trailing blanks. `None` if it has more digits than fit.
    pub fn parse_prefix(text: &str) -> Option<(Decimal, bool)> {
        let s = text.trim_start_matches([' ', '\t', '\n', '\r']).as_bytes();
        let mut i = 0;
        let negative = s.first() == Some(&b'-');
        if matches!(s.first(), Some(b'-' | b'+')) {
            i = 1;
        }
        let (mut units, mut scale, mut any) = (0i128, 0i32, false);
        let mut point = false;
        while let Some(&c) = s.get(i) {
            match c {
                b'0'..=b'9' => {
                    any = true;
                    if point && scale >= i32::from(SCALE_MAX) {
                        // Beyond the scale MySQL keeps: drop, the digits before decide.
                    } else {
                        units = units.checked_mul(10)?.checked_add(i128::from(c - b'0'))?;
                        scale += i32::from(point);
                    }
                }
                b'.' if !point => point = true,
                _ => break,
            }
            i += 1;
        }
        if !any {
            return Some((Decimal::ZERO, false));
        }
        if matches!(s.get(i), Some(b'e' | b'E')) {
            let sign_len = usize::from(matches!(s.get(i + 1), Some(b'-' | b'+')));
            let digits = s[i + 1 + sign_len..].iter().take_while(|c| c.is_ascii_digit()).count();
            if digits > 0 {
                let end = i + 1 + sign_len + digits;
                let exponent: i32 = std::str::from_utf8(&s[i + 1..end]).ok()?.parse().ok()?;
                scale = scale.checked_sub(exponent)?;
                i = end;
            }
        }
        while scale < 0 {
            units = units.checked_mul(10)?;
            scale += 1;
        }
        while scale > i32::from(SCALE_MAX) {
            units = div_round(units, 10);
            scale -= 1;
            if units == 0 {
                scale = scale.min(i32::from(SCALE_MAX));
            }
        }
        let rest_blank = s[i..].iter().all(|c| c.is_ascii_whitespace());
        Some((Decimal { units: if negative { -units } else { units }, scale: u8::try_from(scale).ok()? }, rest_blank))
    }

    /// All of `text` must be a number.
    pub fn parse(text: &str) -> Option<Decimal> {
        Decimal::parse_prefix(text).and_then(|(value, whole)| whole.then_some(value))
    }

    /// The shortest decimal that reads back as `value`.
    pub fn from_f64(value: f64) -> Option<Decimal> {
        if !value.is_finite() {
            return None;
        }
        Decimal::parse(&format!("{value}"))
    }

    pub fn to_f64(self) -> f64 {
        // Through text: the nearest double, not the nearest of a quotient of two roundings.
        self.to_string().parse().unwrap_or(f64::NAN)
    }

    pub fn scale(self) -> u8 {
        self.scale
    }

    pub fn zero(self) -> bool {
        self.units == 0
    }

    pub fn negative(self) -> bool {
        self.units < 0
    }

    /// Digits before the point.
    pub fn integer_digits(self) -> u32 {
        let mut whole = self.units.unsigned_abs() / pow10(self.scale).unsigned_abs();
        let mut digits = 0;
        while whole > 0 {
            whole /= 10;
            digits += 1;
        }
        digits
    }

    /// Rounded half away from zero to `scale` digits, or widened. `None` if it would not fit.
    pub fn rescale(self, scale: u8) -> Option<Decimal> {
        if scale >= self.scale {
            let units = self.units.checked_mul(pow10(scale - self.scale))?;
            return Some(Decimal { units, scale });
        }
        Some(Decimal { units: div_round(self.units, pow10(self.scale - scale)), scale })
    }

    /// Digits after `scale` dropped.
    pub fn truncate(self, scale: u8) -> Decimal {
        if scale >= self.scale {
            return self;
        }
        Decimal { units: self.units / pow10(self.scale - scale), scale }
    }

    /// Rounded to tens, hundreds ... : ROUND(x, -n).
    pub fn round_tens(self, n: u8) -> Option<Decimal> {
        let unit = 10i128.checked_pow(u32::from(n))?;
        Some(Decimal { units: div_round(self.rescale(0)?.units, unit).checked_mul(unit)?, scale: 0 })
    }

    /// Rounded half away from zero.
    pub fn to_i64(self) -> Option<i64> {
        i64::try_from(self.rescale(0)?.units).ok()
    }

    pub fn floor(self) -> Decimal {
        Decimal { units: self.units.div_euclid(pow10(self.scale)), scale: 0 }
    }

    pub fn ceil(self) -> Decimal {
        Decimal { units: -(-self.units).div_euclid(pow10(self.scale)), scale: 0 }
    }

    pub fn negated(self) -> Decimal {
        Decimal { units: -self.units, scale: self.scale }
    }

    pub fn abs(self) -> Decimal {
        Decimal { units: self.units.abs(), scale: self.scale }
    }

    pub fn plus(self, other: Decimal) -> Option<Decimal> {
        let scale = self.scale.max(other.scale);
        Some(Decimal { units: self.rescale(scale)?.units.checked_add(other.rescale(scale)?.units)?, scale })
    }

    pub fn minus(self, other: Decimal) -> Option<Decimal> {
        self.plus(other.negated())
    }

    pub fn times(self, other: Decimal) -> Option<Decimal> {
        let product = Decimal { units: self.units.checked_mul(other.units)?, scale: self.scale + other.scale };
        if product.scale > SCALE_MAX { product.rescale(SCALE_MAX) } else { Some(product) }
    }

    /// Quotient with `scale` digits, rounded half away from zero. `None` if it does not fit; the divisor must not be zero.
    pub fn div(self, other: Decimal, scale: u8) -> Option<Decimal> {
        // self.units / 10^a / (other.units / 10^b) * 10^scale
        let shift = i32::from(scale) + i32::from(other.scale) - i32::from(self.scale);
        let (mut numerator, mut denominator) = (self.units, other.units);
        if shift >= 0 {
            numerator = numerator.checked_mul(10i128.checked_pow(shift.unsigned_abs())?)?;
        } else {
            denominator = denominator.checked_mul(10i128.checked_pow(shift.unsigned_abs())?)?;
        }
        Some(Decimal { units: div_round(numerator, denominator), scale })
    }

    /// The remainder has the dividend's sign. The divisor must not be zero.
    pub fn remainder(self, other: Decimal) -> Option<Decimal> {
        let scale = self.scale.max(other.scale);
        Some(Decimal { units: self.rescale(scale)?.units % other.rescale(scale)?.units, scale })
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Decimal) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal {}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Decimal) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Decimal) -> Ordering {
        let scale = self.scale.max(other.scale);
        match (self.rescale(scale), other.rescale(scale)) {
            (Some(a), Some(b)) => a.units.cmp(&b.units),
            // One is too large to widen: the whole parts differ then, or the doubles tell.
            _ => self.to_f64().total_cmp(&other.to_f64()),
        }
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.units < 0 {
            f.write_str("-")?;
        }
        let digits = self.units.unsigned_abs().to_string();
        let scale = usize::from(self.scale);
        if scale == 0 {
            return f.write_str(&digits);
        }
        let digits = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        write!(f, "{whole}.{fraction}")
    }
}

/// Text as stored in DECIMAL columns, by number. What is no number sorts first.
pub fn compare_text(a: &str, b: &str) -> Ordering {
    match (Decimal::parse(a), Decimal::parse(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => a.cmp(b),
    }
}

fn pow10(exponent: u8) -> i128 {
    10i128.pow(u32::from(exponent))
}

fn div_round(numerator: i128, denominator: i128) -> i128 {
    let quotient = numerator / denominator;
    let remainder = numerator % denominator;
    if remainder.unsigned_abs() >= denominator.unsigned_abs() - remainder.unsigned_abs() {
        quotient + if (numerator < 0) == (denominator < 0) { 1 } else { -1 }
    } else {
        quotient
    }
}
