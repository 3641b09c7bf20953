//! TIME: a span of up to 838:59:59, negative or not.

use super::{DateTime, fraction_micros, push_fraction};

/// A TIME: microseconds, negative or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Time(pub i64);

/// 838:59:59, the ends of TIME.
pub const TIME_MICROS_MAX: i64 = (838 * 3600 + 59 * 60 + 59) * 1_000_000;

impl Time {
    /// Reads `-12:34:56.7`, `12:34`, `1 02:03:04` (days), `123456` (hhmmss), or the time of a datetime. `None` if it is none of these.
    pub fn parse(text: &str) -> Option<Time> {
        let text = text.trim();
        let (negative, body) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (days, body) = match body.split_once(' ') {
            Some((days, rest)) if days.bytes().all(|c| c.is_ascii_digit()) && !days.is_empty() => {
                (days.parse::<i64>().ok()?, rest.trim_start())
            }
            Some(_) => return DateTime::parse(text).map(|d| Time(d.time_micros())),
            None => (0, body),
        };
        let (clock, fraction) = body.split_once('.').unwrap_or((body, ""));
        let parts: Vec<&str> = clock.split(':').collect();
        if parts.iter().any(|p| p.is_empty() || p.len() > 10 || !p.bytes().all(|c| c.is_ascii_digit())) {
            return DateTime::parse(text).map(|d| Time(d.time_micros()));
        }
        let number = |i: usize| parts[i].parse::<i64>().ok();
        let (hours, minutes, seconds) = match parts.len() {
            1 if days > 0 => (number(0)?, 0, 0),
            1 => {
                let packed = number(0)?;
                (packed / 10_000, packed / 100 % 100, packed % 100)
            }
            2 => (number(0)?, number(1)?, 0),
            3 => (number(0)?, number(1)?, number(2)?),
            _ => return None,
        };
        if minutes > 59 || seconds > 59 {
            return None;
        }
        let (micros, carry) = fraction_micros(fraction)?;
        let total = ((days * 24 + hours) * 3600 + minutes * 60 + seconds + i64::from(carry)) * 1_000_000 + i64::from(micros);
        Some(Time(if negative { -total } else { total }))
    }

    pub fn from_number(number: i64) -> Option<Time> {
        Time::parse(&number.to_string())
    }

    /// Cut to the ends of the type.
    pub fn clamp(self) -> Time {
        Time(self.0.clamp(-TIME_MICROS_MAX, TIME_MICROS_MAX))
    }

    pub fn round(self, digits: u8) -> Time {
        let unit = 10i64.pow(6 - u32::from(digits.min(6)));
        let half = unit / 2;
        Time(if self.0 < 0 { -((-self.0 + half) / unit * unit) } else { (self.0 + half) / unit * unit })
    }

    pub fn format(self, digits: u8) -> String {
        let total = self.0.unsigned_abs();
        let seconds = total / 1_000_000;
        let mut out = format!("{}{:02}:{:02}:{:02}", if self.0 < 0 { "-" } else { "" }, seconds / 3600, seconds / 60 % 60, seconds % 60);
        push_fraction(&mut out, (total % 1_000_000) as u32, digits);
        out
    }

    /// 123456 for 12:34:56.
    pub fn number(self) -> i64 {
        let seconds = self.0.abs() / 1_000_000;
        let packed = seconds / 3600 * 10_000 + seconds / 60 % 60 * 100 + seconds % 60;
        if self.0 < 0 { -packed } else { packed }
    }
}

/// Order of TIME columns' texts.
pub fn compare_time_text(a: &str, b: &str) -> std::cmp::Ordering {
    match (Time::parse(a), Time::parse(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => a.cmp(b),
    }
}
