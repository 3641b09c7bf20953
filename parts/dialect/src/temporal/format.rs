//! DATE_FORMAT and STR_TO_DATE: dates by a pattern, in English.

use std::fmt::Write;

use super::{DateTime, fraction_micros, two_digit_year};

pub const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
pub const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

impl DateTime {
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

fn ordinal(day: u8) -> &'static str {
    match (day % 100, day % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    }
}
