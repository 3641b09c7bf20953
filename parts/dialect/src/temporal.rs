//! DATE, DATETIME and TIME: reading, writing and counting them as MySQL does. Proleptic Gregorian calendar, years 0 to 9999.

mod calendar;
mod format;
mod span;
mod time;

use std::fmt::Write;

use self::calendar::{DAYS_TO_EPOCH, civil_from_days, days_from_civil, days_in_year};
pub use self::{
    calendar::days_in_month,
    format::{MONTHS, WEEKDAYS},
    span::{Span, Unit, difference, extract},
    time::{TIME_MICROS_MAX, Time, compare_time_text},
};

/// A date with a time. All zero is MySQL's zero date; month or day may be zero where `sql_mode` lets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct DateTime {
    pub year: u16,
    pub month: u8,
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
    pub micros: u32,
}

const DAY_MICROS: i64 = 86_400_000_000;

impl DateTime {
    /// Reads what MySQL takes for a date or datetime: `2024-1-2`, `24-01-02 3:04`, `20240102030405.6`, `2024-01-02T03:04:05`. Any
    /// punctuation separates. `None` if it is none, or no day of the calendar.
    pub fn parse(text: &str) -> Option<DateTime> {
        let text = text.trim();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let rest = &text[digits..];
        let value = if digits >= 5 && (rest.is_empty() || rest.starts_with('.')) {
            DateTime::from_digits(&text[..digits], rest)?
        } else {
            DateTime::from_fields(text)?
        };
        value.valid().then_some(value)
    }

    fn from_digits(digits: &str, fraction: &str) -> Option<DateTime> {
        let field = |from: usize, len: usize| digits.get(from..from + len)?.parse::<u16>().ok();
        let (year, at) = match digits.len() {
            8 | 14 => (field(0, 4)?, 4),
            6 | 12 => (two_digit_year(field(0, 2)?), 2),
            _ => return None,
        };
        let byte = |from| field(from, 2).and_then(|v| u8::try_from(v).ok());
        let mut value = DateTime { year, month: byte(at)?, day: byte(at + 2)?, ..DateTime::default() };
        if digits.len() > 8 {
            (value.hour, value.minute, value.second) = (byte(at + 4)?, byte(at + 6)?, byte(at + 8)?);
            if let Some(fraction) = fraction.strip_prefix('.') {
                value = value.with_fraction(fraction)?;
            }
        } else if !fraction.is_empty() {
            return None;
        }
        Some(value)
    }

    fn from_fields(text: &str) -> Option<DateTime> {
        let mut fields = [0u16; 6];
        let mut count = 0;
        let mut rest = text;
        let mut fraction = "";
        let mut year_digits = 0;
        while count < 6 {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            if digits == 0 || digits > 4 {
                return None;
            }
            if count == 0 {
                year_digits = digits;
            }
            fields[count] = rest[..digits].parse().ok()?;
            count += 1;
            rest = &rest[digits..];
            if rest.is_empty() {
                break;
            }
            if count == 6 {
                if let Some(after) = rest.strip_prefix('.') {
                    fraction = after;
                    rest = "";
                }
                break;
            }
            let separator =
                rest.bytes().take_while(|c| c.is_ascii_punctuation() || c.is_ascii_whitespace() || (*c == b'T' && count == 3)).count();
            if separator == 0 {
                return None;
            }
            rest = &rest[separator..];
        }
        if count < 3 || !rest.is_empty() {
            return None;
        }
        let byte = |i: usize| u8::try_from(fields[i]).ok();
        let year = if year_digits <= 2 { two_digit_year(fields[0]) } else { fields[0] };
        let value = DateTime { year, month: byte(1)?, day: byte(2)?, hour: byte(3)?, minute: byte(4)?, second: byte(5)?, micros: 0 };
        value.with_fraction(fraction)
    }

    fn with_fraction(self, digits: &str) -> Option<DateTime> {
        let (micros, carry) = fraction_micros(digits)?;
        let value = DateTime { micros, ..self };
        if carry { value.plus_micros(1_000_000 - i64::from(micros)) } else { Some(value) }
    }

    /// From a number such as 20240102 or 240102030405.
    pub fn from_number(number: i64) -> Option<DateTime> {
        if number == 0 {
            return Some(DateTime::default());
        }
        let text = match number {
            101..=999_999 => format!("{number:06}"),
            1_000_000..=99_999_999 => format!("{number:08}"),
            100_000_000..=999_999_999_999 => format!("{number:012}"),
            1_000_000_000_000..=99_999_999_999_999 => format!("{number:014}"),
            _ => return None,
        };
        let value = DateTime::from_digits(&text, "")?;
        value.valid().then_some(value)
    }

    /// A day of the calendar (zero parts allowed) and a time of the day.
    pub fn valid(self) -> bool {
        let day_fits = if self.month == 0 { self.day <= 31 } else { self.month <= 12 && self.day <= days_in_month(self.year, self.month) };
        self.year <= 9999 && day_fits && self.hour < 24 && self.minute < 60 && self.second < 60
    }

    pub fn zero_date(self) -> bool {
        self.year == 0 && self.month == 0 && self.day == 0
    }

    /// Month or day is zero: a date that cannot be counted with.
    pub fn incomplete(self) -> bool {
        self.month == 0 || self.day == 0
    }

    /// Microseconds since 1970-01-01 00:00:00.
    pub fn micros_since_epoch(self) -> i64 {
        days_from_civil(i64::from(self.year), self.month, self.day) * DAY_MICROS + self.time_micros()
    }

    pub fn from_micros_since_epoch(micros: i64) -> Option<DateTime> {
        let days = micros.div_euclid(DAY_MICROS);
        let (year, month, day) = civil_from_days(days);
        let year = u16::try_from(year).ok().filter(|y| *y <= 9999)?;
        let rest = micros.rem_euclid(DAY_MICROS);
        let seconds = rest / 1_000_000;
        Some(DateTime {
            year,
            month,
            day,
            hour: (seconds / 3600) as u8,
            minute: (seconds / 60 % 60) as u8,
            second: (seconds % 60) as u8,
            micros: (rest % 1_000_000) as u32,
        })
    }

    pub fn time_micros(self) -> i64 {
        (i64::from(self.hour) * 3600 + i64::from(self.minute) * 60 + i64::from(self.second)) * 1_000_000 + i64::from(self.micros)
    }

    pub fn plus_micros(self, micros: i64) -> Option<DateTime> {
        if self.incomplete() {
            return None;
        }
        DateTime::from_micros_since_epoch(self.micros_since_epoch().checked_add(micros)?)
    }

    pub fn plus_months(self, months: i64) -> Option<DateTime> {
        if self.incomplete() {
            return None;
        }
        let total = (i64::from(self.year) * 12 + i64::from(self.month) - 1).checked_add(months)?;
        let year = u16::try_from(total.div_euclid(12)).ok().filter(|y| *y <= 9999)?;
        let month = (total.rem_euclid(12) + 1) as u8;
        Some(DateTime { year, month, day: self.day.min(days_in_month(year, month)), ..self })
    }

    pub fn date(self) -> DateTime {
        DateTime { hour: 0, minute: 0, second: 0, micros: 0, ..self }
    }

    /// TO_DAYS: days since year 0.
    pub fn day_number(self) -> i64 {
        days_from_civil(i64::from(self.year), self.month, self.day) + DAYS_TO_EPOCH
    }

    pub fn from_day_number(days: i64) -> Option<DateTime> {
        DateTime::from_micros_since_epoch((days - DAYS_TO_EPOCH).checked_mul(DAY_MICROS)?)
    }

    /// 0 is Monday.
    pub fn weekday(self) -> i64 {
        (days_from_civil(i64::from(self.year), self.month, self.day) + 3).rem_euclid(7)
    }

    pub fn day_of_year(self) -> i64 {
        days_from_civil(i64::from(self.year), self.month, self.day) - days_from_civil(i64::from(self.year), 1, 1) + 1
    }

    /// WEEK(date, mode) and the year the week belongs to. Modes as in MySQL's manual: bit 0 Monday first, bit 1 week 1..53 instead of
    /// 0..53, bit 2 how the first week is found: by its first weekday, or by having four days in the year.
    pub fn week(self, mode: i64) -> (i64, i64) {
        let monday_first = mode & 1 != 0;
        let week_year = mode & 2 != 0;
        // For Monday-first modes a clear bit 2 means four days (ISO), for Sunday-first modes a set one.
        let four_days = (mode & 4 != 0) != monday_first;
        let mut year = i64::from(self.year);
        let day = days_from_civil(year, self.month, self.day);
        let mut first = days_from_civil(year, 1, 1);
        let position = |day: i64| if monday_first { (day + 3).rem_euclid(7) } else { (day + 4).rem_euclid(7) };
        let mut weekday = position(first);
        let mut days = days_in_year(year);
        let mut wants_previous = week_year;
        if self.month == 1 && i64::from(self.day) <= 7 - weekday {
            let in_last_year = if four_days { weekday >= 4 } else { weekday != 0 };
            if !week_year && in_last_year {
                return (0, year);
            }
            wants_previous = true;
            if in_last_year {
                year -= 1;
                days = days_in_year(year);
                first -= days;
                weekday = (weekday + 53 * 7 - days).rem_euclid(7);
            }
        }
        let late_start = if four_days { weekday >= 4 } else { weekday != 0 };
        let since = if late_start { day - (first + (7 - weekday)) } else { day - (first - weekday) };
        if wants_previous && week_year && since >= 52 * 7 {
            let next_weekday = (weekday + days).rem_euclid(7);
            if if four_days { next_weekday < 4 } else { next_weekday == 0 } {
                return (1, year + 1);
            }
        }
        (since / 7 + 1, year)
    }

    /// `2024-01-02 03:04:05.600000` with `digits` of the fraction (not rounded; see `round`).
    pub fn format(self, digits: u8) -> String {
        let mut out = self.format_date();
        let _ = write!(out, " {:02}:{:02}:{:02}", self.hour, self.minute, self.second);
        push_fraction(&mut out, self.micros, digits);
        out
    }

    pub fn format_date(self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }

    /// Rounded to `digits` of the fraction, half up.
    pub fn round(self, digits: u8) -> Option<DateTime> {
        let unit = 10u32.pow(6 - u32::from(digits.min(6)));
        let below = self.micros % unit;
        let down = DateTime { micros: self.micros - below, ..self };
        if below * 2 < unit || unit == 1 {
            return Some(down);
        }
        if down.micros + unit < 1_000_000 {
            return Some(DateTime { micros: down.micros + unit, ..down });
        }
        down.plus_micros(i64::from(unit))
    }

    /// 20240102030405 as a number.
    pub fn number(self) -> i64 {
        self.date_number() * 1_000_000 + i64::from(self.hour) * 10_000 + i64::from(self.minute) * 100 + i64::from(self.second)
    }

    pub fn date_number(self) -> i64 {
        i64::from(self.year) * 10_000 + i64::from(self.month) * 100 + i64::from(self.day)
    }
}

/// Digits after a point as microseconds, rounded at the seventh; whether the rounding carried into the next second (the micros are
/// then 0). `None` if not digits.
fn fraction_micros(digits: &str) -> Option<(u32, bool)> {
    if !digits.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let mut micros = 0u32;
    for i in 0..6 {
        micros = micros * 10 + digits.as_bytes().get(i).map_or(0, |c| u32::from(c - b'0'));
    }
    if digits.as_bytes().get(6).is_some_and(|c| *c >= b'5') {
        micros += 1;
    }
    Some(if micros == 1_000_000 { (0, true) } else { (micros, false) })
}

fn push_fraction(out: &mut String, micros: u32, digits: u8) {
    if digits > 0 {
        let digits = usize::from(digits.min(6));
        let text = format!("{micros:06}");
        out.push('.');
        out.push_str(&text[..digits]);
    }
}

/// 70..99 are 19xx, 00..69 are 20xx.
fn two_digit_year(year: u16) -> u16 {
    if year >= 100 {
        year
    } else if year >= 70 {
        1900 + year
    } else {
        2000 + year
    }
}
