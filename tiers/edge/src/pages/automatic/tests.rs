use super::*;

#[test]
fn targets_that_differ_in_numbers_and_identifiers_are_of_one_kind() {
    let check = |path: &str, expected: &str| assert_eq!(kind_of("/*", Method::Get, path.as_bytes()), expected, "{path}");
    check("/", "/* /");
    check("/ask/17", "/* /ask/*");
    check("/ask/17?page=2", "/* /ask/*");
    check("/ask/17/cheers/", "/* /ask/*/cheers/");
    check("/item/550e8400-e29b-41d4-a716-446655440000", "/* /item/*");
    check("/deadbeef", "/* /deadbeef");
    check("/v2/ask", "/* /v2/ask");
    assert_ne!(kind_of("/*", Method::Post, b"/"), kind_of("/*", Method::Get, b"/"));
}

#[test]
fn a_difference_shows_a_little_around_the_first_byte_that_differs() {
    let long = "x".repeat(200);
    let difference = Difference::between("k", format!("{long}before").as_bytes(), format!("{long}after").as_bytes(), 5);
    assert_eq!((difference.offset, difference.at_unix_ms), (200, 5));
    assert_eq!((difference.before, difference.after), (format!("{}before", "x".repeat(40)), format!("{}after", "x".repeat(40))));
    let shorter = Difference::between("k", b"abc", b"ab", 5);
    assert_eq!((shorter.offset, shorter.before.as_str(), shorter.after.as_str()), (2, "abc", "ab"));
}

#[test]
fn kinds_are_bounded_and_the_time_barred_doubles() {
    let mut learnt = Learnt::default();
    learnt.bar("a", 1000);
    assert_eq!(learnt.kinds["a"].barred_until_ms, 1000 + BARRED_FIRST_MS);
    for _ in 0..20 {
        learnt.bar("a", 1000);
    }
    assert_eq!(learnt.kinds["a"].barred_until_ms, 1000 + BARRED_LAST_MS);
}
