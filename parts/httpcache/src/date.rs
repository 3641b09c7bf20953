//! HTTP-date (RFC 9110 §5.6.7), as seconds since the Unix epoch.

/// Parses any of the three formats; weekday, month and `GMT` in any case, everything else to the letter: a date that is only almost one
/// is invalid, and an invalid Expires is in the past (RFC 9111 §5.3). `now_s` decides the century of a two-digit year.
pub fn parse(value: &[u8], now_s: i64) -> Option<i64> {
    parse_imf(value).or_else(|| parse_rfc850(value, now_s)).or_else(|| parse_asctime(value))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`. Seconds outside the years 0 to 9999 are taken to the nearer end.
pub fn format(seconds: i64) -> [u8; 29] {
    let seconds = seconds.clamp(YEAR_0, YEAR_10000 - 1);
    let (days, time) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let mut out = *b"Sun, 00 Jan 0000 00:00:00 GMT";
    out[0..3].copy_from_slice(&WEEKDAYS[(days + 4).rem_euclid(7) as usize].as_bytes()[..3]);
    two(&mut out[5..7], day);
    out[8..11].copy_from_slice(MONTHS[month as usize - 1].as_bytes());
    two(&mut out[12..14], year / 100);
    two(&mut out[14..16], year % 100);
    two(&mut out[17..19], time / 3600);
    two(&mut out[20..22], time / 60 % 60);
    two(&mut out[23..25], time % 60);
    out
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn parse_imf(v: &[u8]) -> Option<i64> {
    if v.len() != 29 || &v[3..5] != b", " || v[7] != b' ' || v[11] != b' ' || v[16] != b' ' || !is_gmt(&v[25..]) {
        return None;
    }
    WEEKDAYS.iter().find(|w| w.as_bytes()[..3].eq_ignore_ascii_case(&v[..3]))?;
    instant(digits(&v[12..16])?, month(&v[8..11])?, digits(&v[5..7])?, time(&v[17..25])?)
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`
fn parse_rfc850(v: &[u8], now_s: i64) -> Option<i64> {
    let weekday = WEEKDAYS.iter().find(|w| v.len() > w.len() && v[..w.len()].eq_ignore_ascii_case(w.as_bytes()))?;
    let v = &v[weekday.len()..];
    if v.len() != 24 || &v[..2] != b", " || v[4] != b'-' || v[8] != b'-' || v[11] != b' ' || !is_gmt(&v[20..]) {
        return None;
    }
    // More than 50 years ahead means the century before (RFC 9110 §5.6.7).
    let (now_year, _, _) = civil(now_s.div_euclid(86_400));
    let two_digits = digits(&v[9..11])?;
    let year = now_year / 100 * 100 + two_digits;
    let year = if year > now_year + 50 { year - 100 } else { year };
    instant(year, month(&v[5..8])?, digits(&v[2..4])?, time(&v[12..20])?)
}

/// `Sun Nov  6 08:49:37 1994`
fn parse_asctime(v: &[u8]) -> Option<i64> {
    if v.len() != 24 || v[3] != b' ' || v[7] != b' ' || v[10] != b' ' || v[19] != b' ' {
        return None;
    }
    WEEKDAYS.iter().find(|w| w.as_bytes()[..3].eq_ignore_ascii_case(&v[..3]))?;
    let day = if v[8] == b' ' { digits(&v[9..10])? } else { digits(&v[8..10])? };
    instant(digits(&v[20..24])?, month(&v[4..7])?, day, time(&v[11..19])?)
}

// === helpers ===

const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const YEAR_0: i64 = -62_167_219_200;
const YEAR_10000: i64 = 253_402_300_800;

fn is_gmt(v: &[u8]) -> bool {
    v.eq_ignore_ascii_case(b" GMT")
}

fn digits(v: &[u8]) -> Option<i64> {
    v.iter().try_fold(0, |n, b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))
}

fn month(v: &[u8]) -> Option<i64> {
    let index = MONTHS.iter().position(|m| m.as_bytes().eq_ignore_ascii_case(v))?;
    Some(index as i64 + 1)
}

/// `08:49:37` as seconds of the day. 60 is a leap second (RFC 5322 §3.3) and counts as the next minute.
fn time(v: &[u8]) -> Option<i64> {
    let (hour, minute, second) = (digits(&v[0..2])?, digits(&v[3..5])?, digits(&v[6..8])?);
    (v[2] == b':' && v[5] == b':' && hour < 24 && minute < 60 && second <= 60).then_some(hour * 3600 + minute * 60 + second)
}

fn instant(year: i64, month: i64, day: i64, time: i64) -> Option<i64> {
    let days = days_since_epoch(year, month, day);
    // The way back gives the same date only if the day exists in the month.
    (day >= 1 && civil(days) == (year, month, day)).then_some(days * 86_400 + time)
}

/// Days since 1970-01-01. A year is counted from March, so that the leap day is its last: then months before `m` have
/// (153 m + 2) / 5 days, and 400 years always 146 097.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let from_march = (month + 9) % 12;
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468
}

/// The inverse: year, month, day.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

fn two(out: &mut [u8], n: i64) {
    out[0] = b'0' + (n / 10 % 10) as u8;
    out[1] = b'0' + (n % 10) as u8;
}

#[cfg(test)]
mod tests;
