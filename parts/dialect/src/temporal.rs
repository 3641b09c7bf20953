//! DATE, DATETIME and TIME: reading, writing and counting them as MySQL does. Proleptic Gregorian calendar, years 0 to 9999.

use std::fmt::Write;

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

/// A TIME: microseconds, negative or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Time(pub i64);

/// 838:59:59, the ends of TIME.
pub const TIME_MICROS_MAX: i64 = (838 * 3600 + 59 * 60 + 59) * 1_000_000;
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

    /// DATE_FORMAT. `None` for a specifier that needs a whole date when this has none.
    pub fn date_format(self, format: &str) -> Option<String> {
        let mut out = String::with_capacity(format.len() + 16);
        let mut chars = format.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            let Some(specifier) = chars.next() else {
                out.push('%');
                break;
            };
            let hour12 = if self.hour.is_multiple_of(12) { 12 } else { self.hour % 12 };
            let half = if self.hour < 12 { "AM" } else { "PM" };
            let whole = || (!self.incomplete()).then_some(());
            let _ = match specifier {
                'Y' => write!(out, "{:04}", self.year),
                'y' => write!(out, "{:02}", self.year % 100),
                'm' => write!(out, "{:02}", self.month),
                'c' => write!(out, "{}", self.month),
                'd' => write!(out, "{:02}", self.day),
                'e' => write!(out, "{}", self.day),
                'D' => write!(out, "{}{}", self.day, ordinal(self.day)),
                'H' => write!(out, "{:02}", self.hour),
                'k' => write!(out, "{}", self.hour),
                'h' | 'I' => write!(out, "{hour12:02}"),
                'l' => write!(out, "{hour12}"),
                'i' => write!(out, "{:02}", self.minute),
                's' | 'S' => write!(out, "{:02}", self.second),
                'f' => write!(out, "{:06}", self.micros),
                'p' => write!(out, "{half}"),
                'T' => write!(out, "{:02}:{:02}:{:02}", self.hour, self.minute, self.second),
                'r' => write!(out, "{hour12:02}:{:02}:{:02} {half}", self.minute, self.second),
                'M' => write!(out, "{}", MONTHS.get(usize::from(self.month).checked_sub(1)?)?),
                'b' => write!(out, "{}", &MONTHS.get(usize::from(self.month).checked_sub(1)?)?[..3]),
                'W' => {
                    whole()?;
                    write!(out, "{}", WEEKDAYS[self.weekday() as usize])
                }
                'a' => {
                    whole()?;
                    write!(out, "{}", &WEEKDAYS[self.weekday() as usize][..3])
                }
                'w' => {
                    whole()?;
                    write!(out, "{}", (self.weekday() + 1) % 7)
                }
                'j' => {
                    whole()?;
                    write!(out, "{:03}", self.day_of_year())
                }
                'U' => write!(out, "{:02}", self.week(0).0),
                'u' => write!(out, "{:02}", self.week(1).0),
                'V' => write!(out, "{:02}", self.week(2).0),
                'v' => write!(out, "{:02}", self.week(3).0),
                'X' => write!(out, "{:04}", self.week(2).1),
                'x' => write!(out, "{:04}", self.week(3).1),
                other => write!(out, "{other}"),
            };
        }
        Some(out)
    }

    /// STR_TO_DATE: what was read and whether the format held date parts and time parts.
    pub fn parse_format(text: &str, format: &str) -> Option<(DateTime, bool, bool)> {
        let mut value = DateTime::default();
        let (mut has_date, mut has_time, mut afternoon) = (false, false, None);
        let mut day_of_year = None;
        let mut rest = text;
        let mut chars = format.chars();
        while let Some(c) = chars.next() {
            rest = rest.trim_start();
            if c.is_whitespace() {
                continue;
            }
            if c != '%' {
                rest = rest.strip_prefix(c)?;
                continue;
            }
            let mut number = |max: usize| {
                let len = rest.bytes().take(max).take_while(u8::is_ascii_digit).count();
                let value: u32 = rest.get(..len)?.parse().ok()?;
                rest = &rest[len..];
                Some(value)
            };
            let specifier = chars.next()?;
            has_date |= "YymcdeDMbWaj".contains(specifier);
            has_time |= "HkhIlisSfpTr".contains(specifier);
            match specifier {
                'Y' => value.year = u16::try_from(number(4)?).ok()?,
                'y' => value.year = two_digit_year(u16::try_from(number(2)?).ok()?),
                'm' | 'c' => value.month = u8::try_from(number(2)?).ok()?,
                'd' | 'e' => value.day = u8::try_from(number(2)?).ok()?,
                'D' => {
                    value.day = u8::try_from(number(2)?).ok()?;
                    rest = rest.get(2..)?;
                }
                'H' | 'k' => value.hour = u8::try_from(number(2)?).ok()?,
                'h' | 'I' | 'l' => {
                    let hour = number(2)?;
                    if !(1..=12).contains(&hour) {
                        return None;
                    }
                    value.hour = (hour % 12) as u8;
                }
                'i' => value.minute = u8::try_from(number(2)?).ok()?,
                's' | 'S' => value.second = u8::try_from(number(2)?).ok()?,
                'j' => day_of_year = Some(i64::from(number(3)?)),
                'f' => {
                    let len = rest.bytes().take(6).take_while(u8::is_ascii_digit).count();
                    value.micros = fraction_micros(&rest[..len])?.0;
                    rest = &rest[len..];
                }
                'p' => {
                    let half = rest.get(..2)?;
                    afternoon = Some(half.eq_ignore_ascii_case("PM"));
                    if !half.eq_ignore_ascii_case("PM") && !half.eq_ignore_ascii_case("AM") {
                        return None;
                    }
                    rest = &rest[2..];
                }
                'T' | 'r' => {
                    value.hour = u8::try_from(number(2)?).ok()?;
                    rest = rest.strip_prefix(':')?;
                    let len = rest.bytes().take(2).take_while(u8::is_ascii_digit).count();
                    value.minute = rest[..len].parse().ok()?;
                    rest = rest[len..].strip_prefix(':')?;
                    let len = rest.bytes().take(2).take_while(u8::is_ascii_digit).count();
                    value.second = rest[..len].parse().ok()?;
                    rest = &rest[len..];
                    if specifier == 'r' {
                        let half = rest.trim_start().get(..2)?;
                        value.hour %= 12;
                        afternoon = Some(half.eq_ignore_ascii_case("PM"));
                        rest = &rest.trim_start()[2..];
                    }
                }
                'M' | 'b' | 'W' | 'a' => {
                    let names: &[&str] = if matches!(specifier, 'M' | 'b') { &MONTHS } else { &WEEKDAYS };
                    let short = matches!(specifier, 'b' | 'a');
                    let spelled = |name: &'static str| if short { &name[..3] } else { name };
                    let found = names.iter().position(|n| {
                        let n = spelled(n);
                        rest.get(..n.len()).is_some_and(|head| head.eq_ignore_ascii_case(n))
                    })?;
                    rest = &rest[spelled(names[found]).len()..];
                    if matches!(specifier, 'M' | 'b') {
                        value.month = found as u8 + 1;
                    }
                }
                '%' => rest = rest.strip_prefix('%')?,
                _ => return None,
            }
        }
        if !rest.trim().is_empty() {
            return None;
        }
        if afternoon == Some(true) {
            value.hour += 12;
        }
        if let Some(day) = day_of_year {
            let date = DateTime::from_day_number(DateTime { month: 1, day: 1, ..value }.day_number() + day - 1)?;
            (value.month, value.day) = (date.month, date.day);
        }
        value.valid().then_some((value, has_date, has_time))
    }
}

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

/// A unit of INTERVAL, EXTRACT, TIMESTAMPDIFF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Microsecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
    SecondMicrosecond,
    MinuteMicrosecond,
    MinuteSecond,
    HourMicrosecond,
    HourSecond,
    HourMinute,
    DayMicrosecond,
    DaySecond,
    DayMinute,
    DayHour,
    YearMonth,
}

impl Unit {
    pub fn by_name(name: &str) -> Option<Unit> {
        let name = name.to_ascii_uppercase();
        let name = name.strip_prefix("SQL_TSI_").unwrap_or(&name);
        Some(match name {
            "MICROSECOND" | "MICROSECONDS" | "FRAC_SECOND" => Unit::Microsecond,
            "SECOND" | "SECONDS" => Unit::Second,
            "MINUTE" | "MINUTES" => Unit::Minute,
            "HOUR" | "HOURS" => Unit::Hour,
            "DAY" | "DAYS" => Unit::Day,
            "WEEK" | "WEEKS" => Unit::Week,
            "MONTH" | "MONTHS" => Unit::Month,
            "QUARTER" => Unit::Quarter,
            "YEAR" | "YEARS" => Unit::Year,
            "SECOND_MICROSECOND" => Unit::SecondMicrosecond,
            "MINUTE_MICROSECOND" => Unit::MinuteMicrosecond,
            "MINUTE_SECOND" => Unit::MinuteSecond,
            "HOUR_MICROSECOND" => Unit::HourMicrosecond,
            "HOUR_SECOND" => Unit::HourSecond,
            "HOUR_MINUTE" => Unit::HourMinute,
            "DAY_MICROSECOND" => Unit::DayMicrosecond,
            "DAY_SECOND" => Unit::DaySecond,
            "DAY_MINUTE" => Unit::DayMinute,
            "DAY_HOUR" => Unit::DayHour,
            "YEAR_MONTH" => Unit::YearMonth,
            _ => return None,
        })
    }

    /// Parts of hours and below: adding it to a DATE makes a DATETIME.
    pub fn has_time(self) -> bool {
        !matches!(self, Unit::Day | Unit::Week | Unit::Month | Unit::Quarter | Unit::Year | Unit::YearMonth)
    }

    pub fn has_micros(self) -> bool {
        matches!(self, Unit::Microsecond | Unit::SecondMicrosecond | Unit::MinuteMicrosecond | Unit::HourMicrosecond | Unit::DayMicrosecond)
    }
}

/// An amount of time as INTERVAL means it: months and microseconds, counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub months: i64,
    pub micros: i64,
}

impl Span {
    /// `INTERVAL text unit`. For one-part units the number at the start of `text`, for the others its fields from the right.
    pub fn parse(text: &str, unit: Unit) -> Option<Span> {
        let single = |per_unit: i64| {
            let number = crate::decimal::Decimal::parse_prefix(text)?.0;
            Some(Span { months: 0, micros: number.to_i64()?.checked_mul(per_unit)? })
        };
        let months = |per_unit: i64| {
            let number = crate::decimal::Decimal::parse_prefix(text)?.0;
            Some(Span { months: number.to_i64()?.checked_mul(per_unit)?, micros: 0 })
        };
        match unit {
            Unit::Microsecond => single(1),
            Unit::Second => {
                let number = crate::decimal::Decimal::parse_prefix(text)?.0;
                let micros = number.times(crate::decimal::Decimal::from_int(1_000_000))?.to_i64()?;
                Some(Span { months: 0, micros })
            }
            Unit::Minute => single(60_000_000),
            Unit::Hour => single(3_600_000_000),
            Unit::Day => single(DAY_MICROS),
            Unit::Week => single(7 * DAY_MICROS),
            Unit::Month => months(1),
            Unit::Quarter => months(3),
            Unit::Year => months(12),
            _ => Span::parse_fields(text, unit),
        }
    }

    fn parse_fields(text: &str, unit: Unit) -> Option<Span> {
        // Weights of the fields in microseconds, the rightmost last; YEAR_MONTH counts months.
        let weights: &[i64] = match unit {
            Unit::SecondMicrosecond => &[1_000_000, 1],
            Unit::MinuteMicrosecond => &[60_000_000, 1_000_000, 1],
            Unit::MinuteSecond => &[60_000_000, 1_000_000],
            Unit::HourMicrosecond => &[3_600_000_000, 60_000_000, 1_000_000, 1],
            Unit::HourSecond => &[3_600_000_000, 60_000_000, 1_000_000],
            Unit::HourMinute => &[3_600_000_000, 60_000_000],
            Unit::DayMicrosecond => &[DAY_MICROS, 3_600_000_000, 60_000_000, 1_000_000, 1],
            Unit::DaySecond => &[DAY_MICROS, 3_600_000_000, 60_000_000, 1_000_000],
            Unit::DayMinute => &[DAY_MICROS, 3_600_000_000, 60_000_000],
            Unit::DayHour => &[DAY_MICROS, 3_600_000_000],
            _ => &[12, 1],
        };
        let negative = text.trim_start().starts_with('-');
        let fields: Vec<&str> = text.split(|c: char| !c.is_ascii_digit()).filter(|f| !f.is_empty()).collect();
        if fields.len() > weights.len() {
            return None;
        }
        let mut total = 0i64;
        for (field, weight) in fields.iter().rev().zip(weights.iter().rev()) {
            let value =
                if *weight == 1 && unit != Unit::YearMonth { i64::from(fraction_micros(field)?.0) } else { field.parse::<i64>().ok()? };
            total = total.checked_add(value.checked_mul(*weight)?)?;
        }
        let total = if negative { -total } else { total };
        Some(if unit == Unit::YearMonth { Span { months: total, micros: 0 } } else { Span { months: 0, micros: total } })
    }

    pub fn negate(self) -> Span {
        Span { months: -self.months, micros: -self.micros }
    }

    pub fn add_to(self, date: DateTime) -> Option<DateTime> {
        if self.months != 0 { date.plus_months(self.months)?.plus_micros(self.micros) } else { date.plus_micros(self.micros) }
    }
}

/// TIMESTAMPDIFF: whole units from `a` to `b`.
pub fn difference(unit: Unit, a: DateTime, b: DateTime) -> Option<i64> {
    let micros = b.micros_since_epoch() - a.micros_since_epoch();
    let months = || {
        let (early, late, sign) = if a <= b { (a, b, 1) } else { (b, a, -1) };
        let mut months = (i64::from(late.year) - i64::from(early.year)) * 12 + i64::from(late.month) - i64::from(early.month);
        if (late.day, late.time_micros()) < (early.day, early.time_micros()) {
            months -= 1;
        }
        months * sign
    };
    Some(match unit {
        Unit::Microsecond => micros,
        Unit::Second => micros / 1_000_000,
        Unit::Minute => micros / 60_000_000,
        Unit::Hour => micros / 3_600_000_000,
        Unit::Day => micros / DAY_MICROS,
        Unit::Week => micros / (7 * DAY_MICROS),
        Unit::Month => months(),
        Unit::Quarter => months() / 3,
        Unit::Year => months() / 12,
        _ => return None,
    })
}

/// EXTRACT(unit FROM date).
pub fn extract(unit: Unit, d: DateTime) -> i64 {
    let (day, hour, minute, second, micros) =
        (i64::from(d.day), i64::from(d.hour), i64::from(d.minute), i64::from(d.second), i64::from(d.micros));
    match unit {
        Unit::Microsecond => micros,
        Unit::Second => second,
        Unit::Minute => minute,
        Unit::Hour => hour,
        Unit::Day => day,
        Unit::Week => d.week(0).0,
        Unit::Month => i64::from(d.month),
        Unit::Quarter => (i64::from(d.month) + 2) / 3,
        Unit::Year => i64::from(d.year),
        Unit::SecondMicrosecond => second * 1_000_000 + micros,
        Unit::MinuteMicrosecond => (minute * 100 + second) * 1_000_000 + micros,
        Unit::MinuteSecond => minute * 100 + second,
        Unit::HourMicrosecond => ((hour * 100 + minute) * 100 + second) * 1_000_000 + micros,
        Unit::HourSecond => (hour * 100 + minute) * 100 + second,
        Unit::HourMinute => hour * 100 + minute,
        Unit::DayMicrosecond => (((day * 100 + hour) * 100 + minute) * 100 + second) * 1_000_000 + micros,
        Unit::DaySecond => ((day * 100 + hour) * 100 + minute) * 100 + second,
        Unit::DayMinute => (day * 100 + hour) * 100 + minute,
        Unit::DayHour => day * 100 + hour,
        Unit::YearMonth => i64::from(d.year) * 100 + i64::from(d.month),
    }
}

pub fn days_in_month(year: u16, month: u8) -> u8 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

// === helpers ===

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

fn ordinal(day: u8) -> &'static str {
    match (day % 100, day % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    }
}

fn days_in_year(year: i64) -> i64 {
    days_from_civil(year + 1, 1, 1) - days_from_civil(year, 1, 1)
}

/// Days since 1970-01-01. Years are shifted to begin in March, so that the leap day is the last of its year.
fn days_from_civil(year: i64, month: u8, day: u8) -> i64 {
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let month_from_march = (i64::from(month) + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_from_days(days: i64) -> (i64, u8, u8) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u8;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 } as u8;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// TO_DAYS('1970-01-01').
const DAYS_TO_EPOCH: i64 = 719_528;

pub const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
pub const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
