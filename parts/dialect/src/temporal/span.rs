//! INTERVAL, and the units that dates are counted in.

use super::{DAY_MICROS, DateTime, fraction_micros};

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
