//! The Date field (RFC 9110 §5.6.7), formatted once a second rather than once a request.

use std::{
    cell::{Cell, RefCell},
    time::{SystemTime, UNIX_EPOCH},
};

/// The current time as an HTTP date, as of the last [`HttpDate::update`].
#[derive(Debug)]
pub(crate) struct HttpDate {
    unix_s: Cell<u64>,
    text: Cell<[u8; 29]>,
    /// For the access log: `20/Nov/2026:11:34:06 +0000`.
    common: RefCell<String>,
}

impl HttpDate {
    pub fn new(now: SystemTime) -> HttpDate {
        let date = HttpDate { unix_s: Cell::new(u64::MAX), text: Cell::new([b' '; 29]), common: RefCell::default() };
        date.update(now);
        date
    }

    pub fn update(&self, now: SystemTime) {
        let unix_s = now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        if self.unix_s.replace(unix_s) != unix_s {
            self.text.set(imf_fixdate(unix_s));
            *self.common.borrow_mut() = common_log(unix_s);
        }
    }

    /// `Fri, 20 Nov 2026 11:34:06 GMT`.
    pub fn text(&self) -> [u8; 29] {
        self.text.get()
    }

    pub fn common(&self) -> std::cell::Ref<'_, String> {
        self.common.borrow()
    }
}

/// IMF-fixdate (RFC 9110 §5.6.7).
pub(crate) fn imf_fixdate(unix_s: u64) -> [u8; 29] {
    let (year, month, day) = civil(unix_s / 86_400);
    let weekday = WEEKDAYS[((unix_s / 86_400 + 4) % 7) as usize]; // the epoch was a Thursday
    let (h, m, s) = (unix_s / 3600 % 24, unix_s / 60 % 60, unix_s % 60);
    let text = format!("{weekday}, {day:02} {} {year:04} {h:02}:{m:02}:{s:02} GMT", MONTHS[month as usize - 1]);
    text.as_bytes().try_into().unwrap_or([b' '; 29])
}

/// The date as the common log format writes it.
fn common_log(unix_s: u64) -> String {
    let (year, month, day) = civil(unix_s / 86_400);
    let (h, m, s) = (unix_s / 3600 % 24, unix_s / 60 % 60, unix_s % 60);
    format!("{day:02}/{}/{year:04}:{h:02}:{m:02}:{s:02} +0000", MONTHS[month as usize - 1])
}

/// Days since 1970-01-01 to year, month (1..=12) and day of the Gregorian calendar, by eras of 400 years that begin in March.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // 0000-03-01 to 1970-01-01
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
mod tests;
