use super::*;

#[test]
fn the_better_liked_language_is_chosen() {
    use Language::{English, Korean};
    check(None, English);
    check(Some(""), English);
    check(Some("ko"), Korean);
    check(Some("ko-KR,ko;q=0.9,en-US;q=0.8,en;q=0.7"), Korean);
    check(Some("en-US,en;q=0.9,ko;q=0.8"), English);
    check(Some("fr, ko;q=0.2"), Korean);
    check(Some("fr;q=0.9, de"), English);
    check(Some("ko;q=0"), English);
    check(Some("ko;q=high"), English);
    check(Some("KO"), Korean);
}

fn check(accept: Option<&str>, expected: Language) {
    assert_eq!(Language::of(accept), expected, "{accept:?}");
}

#[test]
fn numbers_are_grouped_in_thousands() {
    for (number, shown) in [(0, "0"), (999, "999"), (1_000, "1,000"), (50_000, "50,000"), (1_234_567, "1,234,567")] {
        assert_eq!(grouped(number), shown);
    }
}

#[test]
fn one_of_a_thing_is_singular() {
    assert_eq!(Language::English.cheers_from(1, 1), "1 cheer from 1 place");
    assert_eq!(Language::English.cheers_from(1_024, 812), "1,024 cheers from 812 places");
    assert_eq!(Language::Korean.cheers_from(1_024, 812), "응원 1,024개 · 812곳에서");
}
