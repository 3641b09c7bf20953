//! Dates and times.

use super::{Answer, Arg, Function, Out, env, pure};
use crate::error;
use crate::temporal::{self, DateTime, Span, Time, Unit};

pub(super) const FUNCTIONS: &[Function] = &[
    pure("pm_date", 1, |a| Ok(date(a[0]).map(|d| d.format_date()).into())),
    pure("pm_datetime", 2, |a| {
        let digits = a[1].int() as u8;
        Ok(date(a[0]).and_then(|d| if d.incomplete() { Some(d) } else { d.round(digits) }).map(|d| d.format(digits)).into())
    }),
    pure("pm_time", 2, |a| Ok(time(a[0]).map(|t| t.clamp().round(a[1].int() as u8).format(a[1].int() as u8)).into())),
    pure("pm_temporal_number", 1, |a| {
        let text = a[0].text();
        Ok(DateTime::parse(&text).map(|d| if text.len() <= 10 { d.date_number() } else { d.number() }).into())
    }),
    pure("pm_time_number", 1, |a| Ok(time(a[0]).map(Time::number).into())),
    pure("pm_date_format", 2, |a| Ok(date(a[0]).and_then(|d| d.date_format(&a[1].text())).into())),
    pure("pm_time_format", 2, |a| {
        Ok(time(a[0])
            .and_then(|t| {
                DateTime { year: 0, month: 0, day: 0, ..DateTime::from_micros_since_epoch(t.0.rem_euclid(86_400_000_000))? }
                    .date_format(&a[1].text())
            })
            .into())
    }),
    pure("pm_datediff", 2, |a| Ok(complete(a[0]).zip(complete(a[1])).map(|(x, y)| x.day_number() - y.day_number()).into())),
    pure("pm_day", 1, |a| part(a, |d| i64::from(d.day))),
    pure("pm_month", 1, |a| part(a, |d| i64::from(d.month))),
    pure("pm_year_of", 1, |a| part(a, |d| i64::from(d.year))),
    pure("pm_year", 1, |a| Ok((a[0].int()).into())),
    pure("pm_quarter", 1, |a| part(a, |d| (i64::from(d.month) + 2) / 3)),
    pure("pm_hour", 1, |a| clock(a, |t| t.0.abs() / 3_600_000_000)),
    pure("pm_minute", 1, |a| clock(a, |t| t.0.abs() / 60_000_000 % 60)),
    pure("pm_second", 1, |a| clock(a, |t| t.0.abs() / 1_000_000 % 60)),
    pure("pm_microsecond", 1, |a| clock(a, |t| t.0.abs() % 1_000_000)),
    pure("pm_time_to_sec", 1, |a| clock(a, |t| t.0 / 1_000_000)),
    pure("pm_dayname", 1, |a| Ok(complete(a[0]).map(|d| temporal::WEEKDAYS[d.weekday() as usize]).into())),
    pure("pm_monthname", 1, |a| Ok(date(a[0]).filter(|d| d.month > 0).map(|d| temporal::MONTHS[usize::from(d.month) - 1]).into())),
    pure("pm_dayofweek", 1, |a| whole(a, |d| (d.weekday() + 1) % 7 + 1)),
    pure("pm_weekday", 1, |a| whole(a, DateTime::weekday)),
    pure("pm_dayofyear", 1, |a| whole(a, DateTime::day_of_year)),
    pure("pm_to_days", 1, |a| whole(a, DateTime::day_number)),
    pure("pm_to_seconds", 1, |a| whole(a, |d| d.day_number() * 86_400 + d.time_micros() / 1_000_000)),
    pure("pm_week", 1, |a| whole(a, |d| d.week(0).0)),
    pure("pm_week", 2, |a| whole(a, |d| d.week(a[1].int() & 7).0)),
    pure("pm_weekofyear", 1, |a| whole(a, |d| d.week(3).0)),
    pure("pm_yearweek", 1, |a| whole(a, |d| yearweek(d, 0))),
    pure("pm_yearweek", 2, |a| whole(a, |d| yearweek(d, a[1].int() & 7))),
    pure("pm_last_day", 1, |a| {
        let last = |d: DateTime| (d.month > 0).then(|| DateTime { day: temporal::days_in_month(d.year, d.month), ..d }.format_date());
        Ok(date(a[0]).and_then(last).into())
    }),
    pure("pm_from_days", 1, |a| Ok(DateTime::from_day_number(a[0].int()).map(|d| d.format_date()).into())),
    pure("pm_makedate", 2, |a| {
        let (year, day) = (a[0].int(), a[1].int());
        let year = if (0..70).contains(&year) {
            year + 2000
        } else if (70..100).contains(&year) {
            year + 1900
        } else {
            year
        };
        let Some(year) = u16::try_from(year).ok().filter(|y| *y <= 9999 && day > 0) else { return Ok(Out::Null) };
        let first = DateTime { year, month: 1, day: 1, ..DateTime::default() };
        Ok(DateTime::from_day_number(first.day_number() + day - 1).map(|d| d.format_date()).into())
    }),
    pure("pm_maketime", 3, |a| {
        let (hours, minutes, seconds) = (a[0].int(), a[1].int(), a[2].int());
        if !(0..60).contains(&minutes) || !(0..60).contains(&seconds) {
            return Ok(Out::Null);
        }
        let total = (hours.abs().min(100_000) * 3600 + minutes * 60 + seconds) * 1_000_000;
        Ok(Time(if hours < 0 { -total } else { total }).clamp().format(0).into())
    }),
    pure("pm_sec_to_time", 2, |a| {
        let digits = a[1].int() as u8;
        let micros =
            super::number::decimal(a[0])?.times(crate::decimal::Decimal::from_int(1_000_000)).and_then(crate::decimal::Decimal::to_i64);
        Ok(Time(micros.unwrap_or(i64::MAX / 2)).clamp().round(digits).format(digits).into())
    }),
    pure("pm_timediff", 3, |a| {
        let digits = a[2].int() as u8;
        let (x, y) = (a[0].text(), a[1].text());
        let dated = |t: &str| t.contains('-') && !t.starts_with('-');
        let micros = if dated(&x) != dated(&y) {
            None
        } else if dated(&x) {
            DateTime::parse(&x).zip(DateTime::parse(&y)).map(|(p, q)| p.micros_since_epoch() - q.micros_since_epoch())
        } else {
            Time::parse(&x).zip(Time::parse(&y)).map(|(p, q)| p.0 - q.0)
        };
        Ok(micros.map(|m| Time(m).clamp().format(digits)).into())
    }),
    pure("pm_addtime", 4, |a| {
        let (x, digits) = (a[0].text(), a[3].int() as u8);
        let Some(span) = Time::parse(&a[1].text()) else { return Ok(Out::Null) };
        let micros = span.0 * a[2].int();
        if x.contains('-') && !x.starts_with('-') {
            return Ok(DateTime::parse(&x).and_then(|d| d.plus_micros(micros)).map(|d| d.format(digits)).into());
        }
        Ok(Time::parse(&x).map(|t| Time(t.0 + micros).clamp().format(digits)).into())
    }),
    pure("pm_period_add", 2, |a| Ok(from_months(months_of(a[0].int()) + a[1].int()).into())),
    pure("pm_period_diff", 2, |a| Ok((months_of(a[0].int()) - months_of(a[1].int())).into())),
    pure("pm_extract", 2, |a| {
        let Some(unit) = Unit::by_name(&a[0].text()) else { return Ok(Out::Null) };
        let text = a[1].text();
        let value = DateTime::parse(&text).or_else(|| {
            let t = Time::parse(&text)?;
            let clock = DateTime::from_micros_since_epoch(t.0.rem_euclid(86_400_000_000))?;
            Some(DateTime { year: 0, month: 0, day: 0, ..clock })
        });
        Ok(value.map(|d| temporal::extract(unit, d)).into())
    }),
    pure("pm_timestampdiff", 3, |a| {
        let Some(unit) = Unit::by_name(&a[0].text()) else { return Ok(Out::Null) };
        Ok(complete(a[1]).zip(complete(a[2])).and_then(|(x, y)| temporal::difference(unit, x, y)).into())
    }),
    pure("pm_date_add", 5, |a| {
        let text = a[0].text();
        let Some(unit) = Unit::by_name(&a[2].text()) else { return Ok(Out::Null) };
        let Some(span) = Span::parse(&a[1].text(), unit) else { return Ok(Out::Null) };
        let span = if a[3].int() < 0 { span.negate() } else { span };
        let Some(from) = date(a[0]) else { return Ok(Out::Null) };
        let Some(moved) = span.add_to(from) else { return Ok(Out::Null) };
        let form = a[4].text();
        Ok(match form.as_ref() {
            "date" => moved.format_date(),
            "text" => {
                let timed = unit.has_time() || text.trim().len() > 10;
                let digits = if moved.micros != 0 || (unit.has_micros() && timed) { 6 } else { 0 };
                if timed { moved.format(digits) } else { moved.format_date() }
            }
            digits => moved.format(digits.parse().unwrap_or(0)),
        }
        .into())
    }),
    pure("pm_time_add", 5, |a| {
        let Some(unit) = Unit::by_name(&a[2].text()) else { return Ok(Out::Null) };
        let Some(span) = Span::parse(&a[1].text(), unit) else { return Ok(Out::Null) };
        let Some(from) = time(a[0]) else { return Ok(Out::Null) };
        let moved = Time(from.0 + span.micros * a[3].int().signum());
        Ok(if moved.clamp() == moved { moved.format(a[4].int() as u8).into() } else { Out::Null })
    }),
    pure("pm_convert_tz", 4, |a| {
        let (Some(from), Some(to)) = (zone_seconds(&a[1].text()), zone_seconds(&a[2].text())) else { return Ok(Out::Null) };
        let moved = complete(a[0]).and_then(|d| d.plus_micros(i64::from(to - from) * 1_000_000));
        Ok(moved.map(|d| d.format(a[3].int() as u8)).into())
    }),
    env("pm_str_to_date", 3, |e, a| {
        if a[0].null() {
            return Ok(Out::Null);
        }
        let (text, form) = (a[0].text(), a[2].text());
        let Some((value, _, _)) = DateTime::parse_format(&text, &a[1].text()) else {
            e.warn(error::incorrect_value("datetime", &text));
            return Ok(Out::Null);
        };
        if form != "date" && !form.starts_with('t') && value.incomplete() && e.no_zero_in_date {
            e.warn(error::incorrect_value("datetime", &text));
            return Ok(Out::Null);
        }
        Ok(match form.as_ref() {
            "date" if value.incomplete() && e.no_zero_in_date => return Ok(Out::Null),
            "date" => value.format_date(),
            form => match form.strip_prefix('t') {
                Some(digits) => Time(value.time_micros()).format(digits.parse().unwrap_or(0)),
                None => value.format(form.parse().unwrap_or(0)),
            },
        }
        .into())
    }),
];

/// Seconds east of UTC: `+09:00`, `-5:30`, `UTC`, `SYSTEM` (which is UTC here).
pub fn zone_seconds(name: &str) -> Option<i32> {
    if name.eq_ignore_ascii_case("SYSTEM") || name.eq_ignore_ascii_case("UTC") {
        return Some(0);
    }
    let (sign, rest) = match name.as_bytes().first()? {
        b'+' => (1, &name[1..]),
        b'-' => (-1, &name[1..]),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    let seconds = sign * (hours * 3600 + minutes * 60);
    ((0..60).contains(&minutes) && (-50_340..=50_400).contains(&seconds)).then_some(seconds)
}

fn date(arg: Arg<'_>) -> Option<DateTime> {
    match arg {
        Arg::Int(n) => DateTime::from_number(n),
        other => {
            let text = other.text();
            DateTime::parse(&text).or_else(|| text.trim().parse::<i64>().ok().and_then(DateTime::from_number))
        }
    }
}

/// A date that can be counted with.
fn complete(arg: Arg<'_>) -> Option<DateTime> {
    date(arg).filter(|d| !d.incomplete())
}

fn time(arg: Arg<'_>) -> Option<Time> {
    Time::parse(&arg.text())
}

fn part(a: &[Arg<'_>], pick: fn(DateTime) -> i64) -> Answer {
    Ok(date(a[0]).map(pick).into())
}

fn whole(a: &[Arg<'_>], pick: impl Fn(DateTime) -> i64) -> Answer {
    Ok(complete(a[0]).map(pick).into())
}

fn clock(a: &[Arg<'_>], pick: fn(Time) -> i64) -> Answer {
    Ok(time(a[0]).map(pick).into())
}

fn yearweek(d: DateTime, mode: i64) -> i64 {
    let (week, year) = d.week(mode | 2);
    year * 100 + week
}

fn months_of(period: i64) -> i64 {
    let (year, month) = (period / 100, period % 100);
    let year = if year < 70 {
        year + 2000
    } else if year < 100 {
        year + 1900
    } else {
        year
    };
    year * 12 + month - 1
}

fn from_months(months: i64) -> i64 {
    months / 12 * 100 + months % 12 + 1
}
