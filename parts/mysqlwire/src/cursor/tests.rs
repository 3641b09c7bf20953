use proptest::prelude::*;

use super::*;

/// The documentation's table of length-encoded integers, with its edges.
#[test]
fn integers_take_as_many_bytes_as_they_need() {
    for (value, bytes) in [
        (0, &[0x00][..]),
        (250, &[0xfa]),
        (251, &[0xfc, 0xfb, 0x00]),
        (0xffff, &[0xfc, 0xff, 0xff]),
        (0x1_0000, &[0xfd, 0x00, 0x00, 0x01]),
        (0xff_ffff, &[0xfd, 0xff, 0xff, 0xff]),
        (0x100_0000, &[0xfe, 0, 0, 0, 1, 0, 0, 0, 0]),
        (u64::MAX, &[0xfe, 255, 255, 255, 255, 255, 255, 255, 255]),
    ] {
        let mut out = Vec::new();
        put_lenenc_int(&mut out, value);
        assert_eq!(out, bytes);
        assert_eq!(Cursor::new(bytes).lenenc_int("x"), Ok(value));
        assert_eq!(Cursor::new(&bytes[..bytes.len() - 1]).lenenc_int("x"), Err(WireError::Truncated("x")));
    }
}

#[test]
fn null_and_the_error_mark_are_no_integers() {
    assert_eq!(Cursor::new(&[0xfb]).lenenc_int("x"), Err(WireError::Malformed("x")));
    assert_eq!(Cursor::new(&[0xff]).lenenc_int("x"), Err(WireError::Malformed("x")));
}

#[test]
fn a_string_longer_than_its_payload_is_truncated() {
    assert_eq!(Cursor::new(&[3, b'a', b'b']).lenenc_bytes("x"), Err(WireError::Truncated("x")));
    let endless = [0xfe, 255, 255, 255, 255, 255, 255, 255, 255, b'a'];
    assert_eq!(Cursor::new(&endless).lenenc_bytes("x"), Err(WireError::Truncated("x")));
}

#[test]
fn a_zero_ends_a_string() {
    let mut cursor = Cursor::new(b"ab\0cd");
    assert_eq!(cursor.zero_ended("x"), Ok(&b"ab"[..]));
    assert_eq!(cursor.zero_ended("x"), Err(WireError::Truncated("x")));
    assert_eq!(cursor.zero_or_end(), b"cd");
    assert!(cursor.ended());
    assert_eq!(cursor.zero_or_end(), b"");
}

#[test]
fn a_zero_inside_a_string_cannot_forge_the_next_field() {
    let mut out = Vec::new();
    put_zero_ended(&mut out, b"user\0database");
    assert_eq!(out, b"user\0");
}

proptest! {
    #[test]
    fn strings_round_trip(strings in prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..300)), 0..20)) {
        let mut out = Vec::new();
        for string in &strings {
            match string {
                Some(bytes) => put_lenenc_bytes(&mut out, bytes),
                None => out.push(NULL),
            }
        }
        let mut cursor = Cursor::new(&out);
        for string in &strings {
            prop_assert_eq!(cursor.nullable_bytes("x").unwrap(), string.as_deref());
        }
        prop_assert!(cursor.ended());
    }
}
