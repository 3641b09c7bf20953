use proptest::prelude::*;

use super::*;

const TRACKED: Capabilities = Capabilities::SESSION_TRACK;
const PLAIN: Capabilities = Capabilities(0);

/// The documentation's example: `07 00 00 02 00 00 00 02 00 00 00`.
#[test]
fn ok_is_laid_out_as_documented() {
    let mut out = Vec::new();
    OkPacket { status: ServerStatus::AUTOCOMMIT, ..OkPacket::default() }.encode(&mut out, PLAIN);
    assert_eq!(out, [0, 0, 0, 2, 0, 0, 0]);
}

#[test]
fn ok_round_trips_with_and_without_tracking() {
    let mut changes = Vec::new();
    SessionChange::Schema(b"shop").encode(&mut changes);
    for capabilities in [PLAIN, TRACKED] {
        for (info, changes) in [(&b""[..], &b""[..]), (b"Rows matched: 1", b""), (b"", &changes), (b"Rows matched: 1", &changes)] {
            let sent =
                OkPacket { affected_rows: 300, last_insert_id: 70_000, status: ServerStatus::AUTOCOMMIT, warnings: 2, info, changes };
            let mut out = Vec::new();
            sent.encode(&mut out, capabilities);
            let got = OkPacket::decode(&out, capabilities).unwrap();
            assert_eq!((got.affected_rows, got.last_insert_id, got.warnings, got.info), (300, 70_000, 2, info));
            let tracked = capabilities == TRACKED && !changes.is_empty();
            assert_eq!(got.changes, if tracked { changes } else { b"" });
            assert_eq!(got.status.contains(ServerStatus::SESSION_STATE_CHANGED), tracked);
        }
    }
}

#[test]
fn ok_in_place_of_eof_begins_with_its_byte() {
    let mut out = Vec::new();
    OkPacket::default().encode_as_eof(&mut out, PLAIN);
    assert_eq!(out, [0xfe, 0, 0, 0, 0, 0, 0]);
    assert!(OkPacket::decode(&out, PLAIN).is_ok());
}

/// The documentation's example: `05 00 00 05 fe 00 00 02 00`.
#[test]
fn eof_is_laid_out_as_documented() {
    let mut out = Vec::new();
    let eof = EofPacket { warnings: 0, status: ServerStatus::AUTOCOMMIT };
    eof.encode(&mut out);
    assert_eq!(out, [0xfe, 0, 0, 2, 0]);
    assert_eq!(EofPacket::decode(&out), Ok(eof));
}

/// The documentation's example: error 1096, `No tables used`.
#[test]
fn an_error_is_laid_out_as_documented() {
    let mut out = Vec::new();
    put_error(&mut out, &SqlError::new(1096, "HY000", "No tables used"), ErrorPhase::AfterGreeting);
    assert_eq!(out, b"\xff\x48\x04#HY000No tables used");
    let error = ErrPacket::decode(&out).unwrap();
    assert_eq!((error.code, &error.state, error.message), (1096, b"HY000", &b"No tables used"[..]));
}

#[test]
fn an_error_in_place_of_the_greeting_has_no_state() {
    let mut out = Vec::new();
    put_error(&mut out, &SqlError::new(1040, "08004", "Too many connections"), ErrorPhase::BeforeGreeting);
    assert_eq!(out, b"\xff\x10\x04Too many connections");
    assert_eq!(ErrPacket::decode(&out).unwrap().message, b"Too many connections");
}

#[test]
fn a_long_error_is_cut_between_characters() {
    let mut out = Vec::new();
    put_error(&mut out, &SqlError::new(1064, "42000", "가".repeat(300)), ErrorPhase::AfterGreeting);
    let message = std::str::from_utf8(&out[9..]).unwrap();
    assert_eq!(message.chars().count(), 170);
}

#[test]
fn session_changes_round_trip() {
    let sent = [
        SessionChange::Variable { name: b"autocommit", value: b"OFF" },
        SessionChange::Schema(b"test"),
        SessionChange::State(b"1"),
        SessionChange::Gtids(b"3E11FA47-71CA-11E1-9E33-C80AA9429562:1"),
        SessionChange::TransactionCharacteristics(b"START TRANSACTION;"),
        SessionChange::TransactionState(b"T_______"),
        SessionChange::Other { kind: 9, data: b"?" },
    ];
    let mut changes = Vec::new();
    sent.iter().for_each(|change| change.encode(&mut changes));
    let ok = OkPacket { changes: &changes, ..OkPacket::default() };
    assert_eq!(ok.changes().collect::<Result<Vec<_>, _>>(), Ok(sent.to_vec()));
}

/// The documentation's example of a tracked `SET autocommit=0`.
#[test]
fn a_tracked_variable_is_laid_out_as_documented() {
    let mut out = Vec::new();
    SessionChange::Variable { name: b"autocommit", value: b"OFF" }.encode(&mut out);
    assert_eq!(out, b"\x00\x0f\x0aautocommit\x03OFF");
}

#[test]
fn changes_end_at_the_first_that_makes_no_sense() {
    let ok = OkPacket { changes: b"\x01\x05\x04test\x01\xff", ..OkPacket::default() };
    let changes: Vec<_> = ok.changes().collect();
    assert_eq!(changes.len(), 2);
    assert!(changes[0].is_ok() && changes[1].is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_a_response_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        if let Ok(ok) = OkPacket::decode(&bytes, TRACKED) {
            prop_assert!(ok.changes().count() <= bytes.len());
        }
        let _ = OkPacket::decode(&bytes, PLAIN);
        let _ = EofPacket::decode(&bytes);
        let _ = ErrPacket::decode(&bytes);
    }
}

/// What MariaDB 10.11 and MySQL 8 send behind `SET @a = 1`: kind, length, the flag.
#[test]
fn a_session_that_is_unlike_a_new_one_is_recognised() {
    let ok = OkPacket { changes: &[2, 1, b'1'], ..OkPacket::default() };
    assert_eq!(ok.changes().collect::<Vec<_>>(), [Ok(SessionChange::State(b"1"))]);
}
