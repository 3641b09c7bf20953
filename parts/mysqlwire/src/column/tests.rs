use super::*;

fn column() -> Column {
    Column {
        schema: "shop".into(),
        table: "a".into(),
        org_table: "ask".into(),
        name: "n".into(),
        org_name: "id".into(),
        collation: 63,
        length: 20,
        kind: ColumnType::LongLong,
        flags: ColumnFlags(ColumnFlags::NOT_NULL | ColumnFlags::PRIMARY_KEY | ColumnFlags::UNSIGNED),
        decimals: 0,
    }
}

/// Laid out by hand from Protocol::ColumnDefinition41.
#[test]
fn a_column_is_laid_out_as_documented() {
    let mut out = Vec::new();
    column().encode(&mut out);
    assert_eq!(out, b"\x03def\x04shop\x01a\x03ask\x01n\x02id\x0c\x3f\0\x14\0\0\0\x08\x23\0\0\0\0");
    assert_eq!(Column::decode(&out), Ok(column()));
}

#[test]
fn a_column_cut_anywhere_is_an_error_not_a_panic() {
    let mut out = Vec::new();
    column().encode(&mut out);
    // The last two bytes are filler, which may be missing.
    for length in 0..out.len() - 2 {
        assert!(Column::decode(&out[..length]).is_err(), "{length}");
    }
}

#[test]
fn every_type_is_known_by_its_number() {
    for number in 0..=255 {
        if let Some(kind) = ColumnType::from_wire(number) {
            assert_eq!(kind as u8, number);
        }
    }
    assert_eq!(ColumnType::from_wire(0x0e), None, "a type that only exists inside the server");
}
