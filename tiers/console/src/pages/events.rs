//! What happened, newest first.
use maud::html;
use pumasi_status::Status;

use super::Part;

pub fn parts(status: &Status) -> Vec<Part> {
    let content = html! {
        @if status.events.is_empty() { p.quiet { "Nothing has happened yet." } }
        ol.events {
            @for event in status.events.iter().rev() {
                li.(event.level) {
                    @let time = utc(event.at_unix_ms);
                    time datetime=(time.replace(' ', "T") + "Z") { (time) " UTC" }
                    span.level { (event.level) }
                    strong { (event.subject) }
                    p { (event.message) }
                }
            }
        }
    };
    vec![Part { id: "events", content }]
}

/// `2026-05-01 09:30:07`, from milliseconds since the Unix epoch.
pub fn utc(unix_ms: u64) -> String {
    let seconds = unix_ms / 1000;
    let (year, month, day) = civil(seconds / 86_400);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
}

/// The date of a day since 1970-01-01: years are counted from March, so that the leap day is the last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    // Days since 0000-03-01; 146 097 days are 400 years.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}
