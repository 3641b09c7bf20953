use proptest::prelude::*;

use super::*;

fn double(value: f64) -> String {
    let mut out = Vec::new();
    put_double(&mut out, value);
    String::from_utf8(out).unwrap()
}

fn float(value: f32) -> String {
    let mut out = Vec::new();
    put_float(&mut out, value);
    String::from_utf8(out).unwrap()
}

/// What MariaDB 10.11 answers to `SELECT <number>e0`.
#[test]
fn doubles_are_written_as_mysql_does() {
    for (value, text) in [
        (0.0, "0"),
        (1.0, "1"),
        (-1.5, "-1.5"),
        (0.1, "0.1"),
        (0.1 + 0.2, "0.30000000000000004"),
        (1.0 / 3.0, "0.3333333333333333"),
        (100_000.0, "100000"),
        (1e14, "100000000000000"),
        (1e15, "1e15"),
        (123_456_789_012_345.6, "123456789012345.6"),
        (1.234_567_890_123_456_7e17, "1.2345678901234566e17"),
        (0.001, "0.001"),
        (0.000_01, "0.00001"),
        (1e-14, "0.00000000000001"),
        (1e-15, "0.000000000000001"),
        (1e-16, "1e-16"),
        (-2.5e-200, "-2.5e-200"),
        (f64::MAX, "1.7976931348623157e308"),
        (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
    ] {
        assert_eq!(double(value), text);
    }
}

#[test]
fn floats_are_written_with_six_digits() {
    for (value, text) in [(1.1, "1.1"), (16_777_216.0, "16777200"), (0.333_333_34, "0.333333"), (1e20, "1e20"), (-0.5, "-0.5"), (3.0, "3")]
    {
        assert_eq!(float(value), text);
    }
}

#[test]
fn what_no_column_holds_is_written_as_zero() {
    assert_eq!(double(f64::NAN), "0");
    assert_eq!(double(f64::INFINITY), "0");
    assert_eq!(float(f32::NEG_INFINITY), "0");
}

proptest! {
    #[test]
    fn doubles_read_back_as_themselves(value in prop::num::f64::NORMAL | prop::num::f64::ZERO | prop::num::f64::SUBNORMAL) {
        prop_assert_eq!(double(value).parse::<f64>().unwrap(), value);
    }

    #[test]
    fn floats_read_back_within_their_digits(value in prop::num::f32::NORMAL) {
        let back = float(value).parse::<f32>().unwrap();
        prop_assert!(((back - value) / value).abs() < 1e-5, "{value} was written as {back}");
    }
}
