use proptest::prelude::*;

use super::*;

const NOW: i64 = 1_800_000_000; // 2027-01-15

fn check(text: &str, expected: Option<i64>) {
    assert_eq!(parse(text.as_bytes(), NOW), expected, "{text}");
}

#[test]
fn the_three_formats_name_the_same_instant() {
    check("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)); // RFC 9110 §5.6.7
    check("Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777));
    check("Sun Nov  6 08:49:37 1994", Some(784_111_777));
}

#[test]
fn names_are_read_in_any_case() {
    check("SUN, 06 NOV 1994 08:49:37 gMT", Some(784_111_777));
}

#[test]
fn what_is_almost_a_date_is_none() {
    for text in [
        "",
        "0",
        "-1",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 AEST",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun 06 Nov 1994 08:49:37 GMT",
        "Sun, 06  Nov  1994 08:49:37 GMT",
        "Sun, 06-Nov-1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08.49.37 GMT",
        "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Son, 06 Nov 1994 08:49:37 GMT",
    ] {
        check(text, None);
    }
}

#[test]
fn two_digit_years_are_at_most_fifty_years_ahead() {
    check("Thursday, 18-Aug-50 02:01:18 GMT", Some(2_544_400_878)); // 2050
    check("Thursday, 18-Aug-78 02:01:18 GMT", Some(272_253_678)); // 1978, not 2078
}

#[test]
fn far_dates_hold() {
    check("Tue, 19 Jan 2038 14:14:08 GMT", Some(2_147_523_248));
    check("Sun, 21 Nov 2286 04:46:39 GMT", Some(10_000_039_599));
    check("Fri, 31 Dec 9999 23:59:59 GMT", Some(YEAR_10000 - 1));
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(seconds in YEAR_0..YEAR_10000) {
        prop_assert_eq!(parse(&format(seconds), NOW), Some(seconds));
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        let _ = parse(&bytes, NOW);
    }
}
