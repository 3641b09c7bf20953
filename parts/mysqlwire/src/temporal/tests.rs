use proptest::prelude::*;

use super::*;

fn datetime_bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    put_binary(&mut out, &parse_datetime(text.as_bytes()).unwrap());
    out
}

fn time_bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    put_binary(&mut out, &parse_time(text.as_bytes()).unwrap());
    out
}

/// The documentation's examples of "Binary Protocol Value".
#[test]
fn dates_take_the_fewest_bytes_that_hold_them() {
    assert_eq!(datetime_bytes("2010-10-17 19:27:30.000001"), [0x0b, 0xda, 0x07, 0x0a, 0x11, 0x13, 0x1b, 0x1e, 0x01, 0, 0, 0]);
    assert_eq!(datetime_bytes("2010-10-17 19:27:30"), [0x07, 0xda, 0x07, 0x0a, 0x11, 0x13, 0x1b, 0x1e]);
    assert_eq!(datetime_bytes("2010-10-17"), [0x04, 0xda, 0x07, 0x0a, 0x11]);
    assert_eq!(datetime_bytes("0000-00-00 00:00:00"), [0x00]);
}

#[test]
fn times_take_the_fewest_bytes_that_hold_them() {
    assert_eq!(time_bytes("-2899:27:30.000001".trim_start_matches("-2")), time_bytes("899:27:30.000001"));
    // The documentation's example: -120d 19:27:30.000001, beyond what text holds, so built from the value.
    let mut out = Vec::new();
    put_binary(&mut out, &Value::Time { negative: true, hours: 120 * 24 + 19, minutes: 27, seconds: 30, micros: 1 });
    assert_eq!(out, [0x0c, 0x01, 0x78, 0, 0, 0, 0x13, 0x1b, 0x1e, 0x01, 0, 0, 0]);
    assert_eq!(time_bytes("-25:00:01"), [0x08, 0x01, 0x01, 0, 0, 0, 0x01, 0x00, 0x01]);
    assert_eq!(time_bytes("00:00:00"), [0x00]);
}

#[test]
fn a_fraction_may_have_fewer_digits() {
    assert_eq!(datetime_bytes("2010-10-17 19:27:30.5"), datetime_bytes("2010-10-17 19:27:30.500000"));
    assert_eq!(datetime_bytes("2010-10-17T19:27:30"), datetime_bytes("2010-10-17 19:27:30"));
}

#[test]
fn what_is_not_canonical_is_not_read() {
    for text in [
        "",
        "2010",
        "2010-1-17",
        "2010-13-01",
        "2010-10-32",
        "10-10-17",
        "2010-10-17 ",
        "2010-10-17 24:00:00",
        "2010-10-17 1:00:00",
        "2010-10-17 19:27:30.",
        "2010-10-17 19:27:30.1234567",
        "2010-10-17 19:27:60",
        "+010-10-17",
    ] {
        assert_eq!(parse_datetime(text.as_bytes()), None, "{text}");
    }
    for text in ["", "1:00:00", "10:00", "10:60:00", "10:00:60", "--10:00:00", "1000:00:00", "10:00:00.", "10:00:00.1234567"] {
        assert_eq!(parse_time(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn binary_values_out_of_range_are_malformed() {
    for bytes in
        [&[5, 0, 0, 0, 0, 0][..], &[4, 0xda, 7, 13, 1], &[4, 0xff, 0xff, 1, 1], &[11, 0xda, 7, 1, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]]
    {
        assert_eq!(decode_datetime(&mut Cursor::new(bytes)), Err(WireError::Malformed("date")), "{bytes:?}");
    }
    for bytes in [&[7, 0, 0, 0, 0, 0, 0, 0][..], &[8, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0], &[8, 0, 0, 0, 0, 0, 24, 0, 0]] {
        assert_eq!(decode_time(&mut Cursor::new(bytes)), Err(WireError::Malformed("time")), "{bytes:?}");
    }
    assert_eq!(decode_datetime(&mut Cursor::new(&[4, 1])), Err(WireError::Truncated("date")));
}

fn any_micros() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), 0..1_000_000_u32]
}

proptest! {
    #[test]
    fn dates_round_trip_through_text_and_bytes((year, month, day) in (0..=9999_u16, 0..=12_u8, 0..=31_u8), (hour, minute, second) in (0..24_u8, 0..60_u8, 0..60_u8), micros in any_micros()) {
        let value = Value::DateTime { year, month, day, hour, minute, second, micros };
        let (mut text, mut bytes) = (Vec::new(), Vec::new());
        put_text(&mut text, &value);
        put_binary(&mut bytes, &value);
        prop_assert_eq!(parse_datetime(&text), Some(value.clone()));
        prop_assert_eq!(decode_datetime(&mut Cursor::new(&bytes)), Ok(value));
    }

    #[test]
    fn times_round_trip_through_text_and_bytes(negative in any::<bool>(), hours in 1..=838_u32, (minutes, seconds) in (0..60_u8, 0..60_u8), micros in any_micros()) {
        let value = Value::Time { negative, hours, minutes, seconds, micros };
        let (mut text, mut bytes) = (Vec::new(), Vec::new());
        put_text(&mut text, &value);
        put_binary(&mut bytes, &value);
        prop_assert_eq!(parse_time(&text), Some(value.clone()));
        prop_assert_eq!(decode_time(&mut Cursor::new(&bytes)), Ok(value));
    }

    #[test]
    fn any_bytes_are_a_time_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
        let _ = (parse_datetime(&bytes), parse_time(&bytes));
        let _ = (decode_datetime(&mut Cursor::new(&bytes)), decode_time(&mut Cursor::new(&bytes)));
    }
}
