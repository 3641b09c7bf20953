use proptest::prelude::*;

use crate::{event::Changed, *};

fn event(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 4];
    out.push(kind);
    out.extend_from_slice(&7_u32.to_le_bytes());
    out.extend_from_slice(&((HEADER + body.len()) as u32).to_le_bytes());
    out.extend_from_slice(&[0; 6]);
    out.extend_from_slice(body);
    out
}

fn gtid(sequence: u64, flags: u8) -> Vec<u8> {
    event(162, &[&sequence.to_le_bytes()[..], &3_u32.to_le_bytes(), &[flags], &[0; 6]].concat())
}

/// `shop.t (id INT, name VARCHAR(100), price DECIMAL(10,2), at DATETIME(3), kind ENUM, note TEXT)`.
fn table() -> Vec<u8> {
    let mut body = vec![9, 0, 0, 0, 0, 0, 1, 0, 4];
    body.extend_from_slice(b"shop\0\x01t\0");
    body.extend_from_slice(&[6, 3, 15, 246, 18, 254, 252]);
    // VARCHAR(100), DECIMAL(10, 2), DATETIME(3), an ENUM of one byte, a TEXT of two bytes' length; which may be NULL.
    body.extend_from_slice(&[8, 100, 0, 10, 2, 3, 247, 1, 2, 0b11_1111]);
    event(19, &body)
}

fn row(id: i32, name: &str) -> Vec<u8> {
    let mut out = vec![0b10_0000];
    out.extend_from_slice(&id.to_le_bytes());
    out.push(name.len() as u8);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(&[0; 5]); // the price: 8 digits before the point, 2 behind
    out.extend_from_slice(&[0; 7]); // the moment with milliseconds
    out.push(1);
    out
}

fn rows(kind: u8, images: usize, rows: &[Vec<u8>]) -> Vec<u8> {
    let mut body = vec![9, 0, 0, 0, 0, 0, 1, 0, 6];
    body.extend(std::iter::repeat_n(0b11_1111, images));
    body.extend(rows.concat());
    event(kind, &body)
}

fn shown(id: u64, name: &str) -> Row {
    vec![
        Value::Integer { bits: id, bytes: 4 },
        Value::Text(name.as_bytes().to_vec()),
        Value::Other,
        Value::Other,
        Value::Other,
        Value::Null,
    ]
}

fn key() -> (String, String) {
    ("shop".into(), "t".into())
}

#[test]
fn a_transaction_is_its_rows_before_and_after() {
    let mut groups = Groups::new();
    for event in [gtid(5, 0), table(), rows(23, 1, &[row(1, "a"), row(-2, "")]), rows(24, 2, &[row(1, "a"), row(1, "b")])] {
        assert_eq!(groups.take(&event), Ok(None));
    }
    let group = groups.take(&event(16, &[0; 8])).unwrap().unwrap();
    assert_eq!(group.gtid.unwrap().to_string(), "3-7-5");
    assert!(!group.anything);
    let expected =
        Change::Rows(vec![(None, Some(shown(1, "a"))), (None, Some(shown(0xffff_fffe, ""))), (Some(shown(1, "a")), Some(shown(1, "b")))]);
    assert_eq!(group.tables, [(key(), expected)].into());
    assert_eq!(Gtid::parse(b"3-7-5"), group.gtid);
    assert_eq!(Gtid::parse(b"3-7"), None);
}

#[test]
fn checksums_are_stepped_over_where_the_log_says_that_there_are_some() {
    let mut groups = Groups::new();
    assert_eq!(groups.take(&event(15, &[&[0; 60][..], &[1], &[9; 4]].concat())), Ok(None));
    let with = |mut event: Vec<u8>| {
        event.extend_from_slice(&[0xab; 4]);
        event
    };
    for event in [gtid(5, 0), table(), rows(23, 1, &[row(1, "a")])] {
        assert_eq!(groups.take(&with(event)), Ok(None));
    }
    let group = groups.take(&with(event(16, &[0; 8]))).unwrap().unwrap();
    assert_eq!(group.tables[&key()], Change::Rows(vec![(None, Some(shown(1, "a")))]));
}

#[test]
fn signs_are_the_columns() {
    let value = Value::Integer { bits: 0xffff_fffe, bytes: 4 };
    assert_eq!((value.integer(false), value.integer(true)), (Some(-2), Some(4_294_967_294)));
    assert_eq!(Value::Integer { bits: u64::MAX, bytes: 8 }.integer(false), Some(-1));
    assert_eq!(Value::Other.integer(true), None);
}

#[test]
fn what_is_not_rows_may_have_changed_anything() {
    let statement = |sql: &[u8]| event(2, &[&[0; 8][..], &[4], &[0; 4], b"shop\0", sql].concat());
    let mut groups = Groups::new();
    assert_eq!(groups.take(&gtid(6, 1)), Ok(None));
    assert!(groups.take(&statement(b"ALTER TABLE t ADD x INT")).unwrap().unwrap().anything);
    assert_eq!(groups.take(&gtid(7, 0)), Ok(None));
    assert_eq!(groups.take(&statement(b"BEGIN")), Ok(None));
    assert_eq!(groups.take(&statement(b"UPDATE t SET n = 1")), Ok(None), "in the format STATEMENT");
    assert!(groups.take(&statement(b"COMMIT")).unwrap().unwrap().anything);
}

/// The rows are in the log where the transaction was prepared, and nobody sees them before its COMMIT, which has none.
#[test]
fn xa_commit_may_have_changed_anything() {
    let statement = |sql: &[u8]| event(2, &[&[0; 8][..], &[4], &[0; 4], b"shop\0", sql].concat());
    let mut groups = Groups::new();
    for event in [gtid(5, 0), statement(b"XA START X'71',X'',1"), table(), rows(23, 1, &[row(1, "a")]), statement(b"XA END X'71',X'',1")] {
        assert_eq!(groups.take(&event), Ok(None));
    }
    let prepared = groups.take(&event(38, &[0; 8])).unwrap().unwrap();
    assert!(!prepared.anything && prepared.tables.len() == 1);
    groups.take(&gtid(6, 0)).unwrap();
    let committed = groups.take(&statement(b"XA COMMIT X'71',X'',1")).unwrap().expect("it ends the group");
    assert!(committed.anything && committed.gtid.unwrap().sequence == 6);
    groups.take(&gtid(7, 0)).unwrap();
    assert!(!groups.take(&statement(b"XA ROLLBACK X'72',X'',1")).unwrap().unwrap().anything);
}

#[test]
fn rows_that_cannot_be_read_are_unknown_rows() {
    let short = rows(23, 1, &[row(1, "a")[..7].to_vec()]);
    let mut partial = rows(23, 1, &[row(1, "a")]);
    partial[HEADER + 9] = 0b01_1111;
    let compressed = event(166, &[9, 0, 0, 0, 0, 0, 1, 0]);
    for unreadable in [short, partial, compressed] {
        let mut groups = Groups::new();
        for event in [gtid(5, 0), table(), unreadable.clone()] {
            assert_eq!(groups.take(&event), Ok(None));
        }
        assert_eq!(groups.take(&event(16, &[0; 8])).unwrap().unwrap().tables, [(key(), Change::Unknown)].into());
    }
    let mut groups = Groups::new();
    assert_eq!(groups.take(&rows(23, 1, &[row(1, "a")])), Ok(None));
    assert!(groups.take(&event(16, &[0; 8])).unwrap().unwrap().anything, "a table that was never named");
}

#[test]
fn more_rows_than_are_kept_are_unknown_rows() {
    let mut groups = Groups::new();
    groups.take(&table()).unwrap();
    let many: Vec<Vec<u8>> = (0..ROWS_MAX as i32 / 2 + 1).map(|id| row(id, "x")).collect();
    groups.take(&rows(23, 1, &many)).unwrap();
    groups.take(&rows(25, 1, &many)).unwrap();
    assert_eq!(groups.take(&event(16, &[])).unwrap().unwrap().tables[&key()], Change::Unknown);
}

proptest! {
    #[test]
    fn any_bytes_are_an_event_or_an_error(kind: u8, body: Vec<u8>) {
        let _ = Event::decode(&event(kind, &body));
        let mut groups = Groups::new();
        let _ = groups.take(&table());
        let _ = groups.take(&event(kind, &body));
        let _ = groups.take(&body);
    }

    #[test]
    fn any_rows_of_a_known_table_are_read_or_unknown(which in 0_u8..3, tail: Vec<u8>) {
        let mut groups = Groups::new();
        groups.take(&table()).unwrap();
        let what = [Changed::Inserted, Changed::Updated, Changed::Deleted][usize::from(which)];
        let images = if what == Changed::Updated { 2 } else { 1 };
        prop_assert!(groups.take(&rows(23 + which, images, &[tail])).is_ok());
    }
}
