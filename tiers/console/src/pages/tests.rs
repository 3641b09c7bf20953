use super::{events::utc, *};

#[test]
fn dates_are_right_around_leap_days_and_years() {
    for (second, shown) in [
        (0, "1970-01-01 00:00:00"),
        (951_782_399, "2000-02-28 23:59:59"),
        (951_782_400, "2000-02-29 00:00:00"),
        (951_868_800, "2000-03-01 00:00:00"),
        (1_735_689_599, "2024-12-31 23:59:59"),
        (4_107_542_400, "2100-03-01 00:00:00"),
    ] {
        assert_eq!(utc(second * 1000 + 7), shown);
    }
}

#[test]
fn spans_are_written_in_two_units_at_most() {
    for (seconds, shown) in [(40, "40 s"), (60, "1 min"), (7_500, "2 h 5 min"), (3 * 86_400, "3 days")] {
        assert_eq!(span(seconds), shown);
    }
}

#[test]
fn every_page_has_its_address_and_no_other() {
    for page in Page::ALL {
        assert_eq!(Page::named(page.name()), Some(page));
    }
    for name in ["front", "Routes", "login", "../routes"] {
        assert_eq!(Page::named(name), None, "{name}");
    }
}

#[test]
fn every_reason_why_a_page_is_not_kept_is_said_in_words() {
    for reason in pumasi_httpcache::Bypass::ALL {
        assert!(super::routes::meaning(reason.word()).is_some(), "{}", reason.word());
    }
}
