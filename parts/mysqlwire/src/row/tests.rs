use proptest::prelude::*;

use super::*;
use crate::ColumnFlags;

fn column(kind: ColumnType, flags: u16) -> Column {
    Column {
        schema: String::new(),
        table: String::new(),
        org_table: String::new(),
        name: "c".into(),
        org_name: String::new(),
        collation: 45,
        length: 0,
        kind,
        flags: ColumnFlags(flags),
        decimals: 0,
    }
}

fn binary(kind: ColumnType, flags: u16, value: ValueRef<'_>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    put_binary_row(&mut out, &[column(kind, flags)], &[value]).ok()?;
    assert_eq!(out[..2], [0, 0]);
    Some(out.split_off(2))
}

#[test]
fn a_text_row_is_strings_with_their_lengths() {
    let mut out = Vec::new();
    let values = [
        ValueRef::Int(-7),
        ValueRef::Null,
        ValueRef::Bytes("가".as_bytes()),
        ValueRef::UInt(u64::MAX),
        ValueRef::Double(0.5),
        ValueRef::Bytes(b""),
    ];
    put_text_row(&mut out, &values);
    assert_eq!(out, b"\x02-7\xfb\x03\xea\xb0\x80\x1418446744073709551615\x030.5\x00");
    let row = decode_text_row(&out, 6).unwrap();
    assert_eq!(row, [Some(&b"-7"[..]), None, Some("가".as_bytes()), Some(b"18446744073709551615"), Some(b"0.5"), Some(b"")]);
    assert!(decode_text_row(&out, 5).is_err() && decode_text_row(&out, 7).is_err());
}

/// Forms of "Binary Protocol Value".
#[test]
fn a_binary_value_has_the_form_of_its_column() {
    const U: u16 = ColumnFlags::UNSIGNED;
    for (kind, flags, value, bytes) in [
        (ColumnType::Tiny, 0, ValueRef::Int(-1), &[0xff][..]),
        (ColumnType::Tiny, U, ValueRef::Int(255), &[0xff]),
        (ColumnType::Short, 0, ValueRef::Int(-2), &[0xfe, 0xff]),
        (ColumnType::Year, 0, ValueRef::Int(2026), &[0xea, 0x07]),
        (ColumnType::Long, 0, ValueRef::Int(1), &[1, 0, 0, 0]),
        (ColumnType::Int24, U, ValueRef::UInt(1), &[1, 0, 0, 0]),
        (ColumnType::LongLong, 0, ValueRef::Int(1), &[1, 0, 0, 0, 0, 0, 0, 0]),
        (ColumnType::LongLong, U, ValueRef::UInt(u64::MAX), &[0xff; 8]),
        (ColumnType::LongLong, 0, ValueRef::Bytes(b"12"), &[12, 0, 0, 0, 0, 0, 0, 0]),
        (ColumnType::Double, 0, ValueRef::Double(10.2), &[0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x24, 0x40]),
        (ColumnType::Double, 0, ValueRef::Int(1), &[0, 0, 0, 0, 0, 0, 0xf0, 0x3f]),
        (ColumnType::Float, 0, ValueRef::Float(10.2), &[0x33, 0x33, 0x23, 0x41]),
        (ColumnType::NewDecimal, 0, ValueRef::Bytes(b"1.50"), b"\x041.50"),
        (ColumnType::VarString, 0, ValueRef::Int(42), b"\x0242"),
        (ColumnType::Date, 0, ValueRef::Bytes(b"2010-10-17"), &[4, 0xda, 7, 10, 17]),
        (ColumnType::Time, 0, ValueRef::Bytes(b"00:00:01"), &[8, 0, 0, 0, 0, 0, 0, 0, 1]),
    ] {
        assert_eq!(binary(kind, flags, value).as_deref(), Some(bytes), "{kind:?} {value:?}");
    }
}

#[test]
fn a_value_that_does_not_fit_its_column_is_an_error_not_another_value() {
    for (kind, value) in [
        (ColumnType::Tiny, ValueRef::Int(128)),
        (ColumnType::Long, ValueRef::Int(1 << 40)),
        (ColumnType::LongLong, ValueRef::UInt(u64::MAX)),
        (ColumnType::LongLong, ValueRef::Bytes(b"twelve")),
        (ColumnType::LongLong, ValueRef::Double(1.5)),
        (ColumnType::Date, ValueRef::Bytes(b"yesterday")),
        (ColumnType::Date, ValueRef::Int(20_101_017)),
        (ColumnType::Null, ValueRef::Int(0)),
    ] {
        assert_eq!(binary(kind, 0, value), None, "{kind:?} {value:?}");
    }
    assert!(put_binary_row(&mut Vec::new(), &[], &[ValueRef::Null]).is_err());
}

#[test]
fn nulls_are_bits_that_begin_at_the_third() {
    let columns: Vec<Column> = (0..9).map(|_| column(ColumnType::Tiny, 0)).collect();
    let mut values = [ValueRef::Int(1); 9];
    values[0] = ValueRef::Null;
    values[6] = ValueRef::Null;
    let mut out = Vec::new();
    put_binary_row(&mut out, &columns, &values).unwrap();
    assert_eq!(out[..3], [0, 0b0000_0100, 0b0000_0001]);
    assert_eq!(out.len(), 3 + 7);
}

fn any_cell() -> impl Strategy<Value = (Column, Value)> {
    let signed = |kind, range: std::ops::RangeInclusive<i64>| range.prop_map(move |value| (column(kind, 0), Value::Int(value))).boxed();
    let unsigned = |kind, max: u64| (0..=max).prop_map(move |value| (column(kind, ColumnFlags::UNSIGNED), Value::UInt(value))).boxed();
    prop_oneof![
        signed(ColumnType::Tiny, -128..=127),
        signed(ColumnType::Short, -32_768..=32_767),
        signed(ColumnType::Long, i64::from(i32::MIN)..=i64::from(i32::MAX)),
        signed(ColumnType::LongLong, i64::MIN..=i64::MAX),
        unsigned(ColumnType::Tiny, 255),
        unsigned(ColumnType::Int24, 0xff_ffff),
        unsigned(ColumnType::LongLong, u64::MAX),
        any::<f64>().prop_map(|value| (column(ColumnType::Double, 0), Value::Double(value))),
        any::<f32>().prop_map(|value| (column(ColumnType::Float, 0), Value::Float(value))),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(|bytes| (column(ColumnType::Blob, 0), Value::Bytes(bytes))),
        Just((column(ColumnType::DateTime, 0), Value::Null)),
    ]
}

proptest! {
    #[test]
    fn binary_rows_round_trip(cells in prop::collection::vec(any_cell(), 0..20)) {
        let (columns, values): (Vec<Column>, Vec<Value>) = cells.into_iter().unzip();
        let borrowed: Vec<ValueRef<'_>> = values.iter().map(|value| match value {
            Value::Int(int) => ValueRef::Int(*int),
            Value::UInt(uint) => ValueRef::UInt(*uint),
            Value::Float(float) => ValueRef::Float(*float),
            Value::Double(double) => ValueRef::Double(*double),
            Value::Bytes(bytes) => ValueRef::Bytes(bytes),
            _ => ValueRef::Null,
        }).collect();
        let mut out = Vec::new();
        put_binary_row(&mut out, &columns, &borrowed).unwrap();
        prop_assert_eq!(decode_binary_row(&out, &columns).unwrap(), values);
    }

    #[test]
    fn any_bytes_are_a_row_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..100), cells in prop::collection::vec(any_cell(), 0..20)) {
        let columns: Vec<Column> = cells.into_iter().map(|(column, _)| column).collect();
        let _ = decode_binary_row(&bytes, &columns);
        let _ = decode_text_row(&bytes, columns.len());
        let _ = Column::decode(&bytes);
    }
}
