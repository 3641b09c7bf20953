use proptest::prelude::*;

use super::*;

const PLAIN: Capabilities = Capabilities(0);
const NO_EOF: Capabilities = Capabilities::DEPRECATE_EOF;

const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];
const OK_MORE: &[u8] = &[0, 0, 0, 10, 0, 0, 0];
const EOF: &[u8] = &[0xfe, 0, 0, 2, 0];
const EOF_MORE: &[u8] = &[0xfe, 0, 0, 10, 0];
const EOF_CURSOR: &[u8] = &[0xfe, 0, 0, 0x42, 0];
const OK_EOF: &[u8] = &[0xfe, 0, 0, 2, 0, 0, 0];
const ERR: &[u8] = b"\xff\x48\x04#HY000No";
const ROW: &[u8] = b"\x011";

/// The answer ends with exactly the last of `packets`.
#[track_caller]
fn ends(expect: Expect, capabilities: Capabilities, packets: &[&[u8]]) {
    let mut follower = Follower::new(expect, capabilities);
    for (i, packet) in packets.iter().enumerate() {
        assert!(!follower.done(), "ended before packet {i}");
        follower.packet(packet, packet.len()).unwrap();
    }
    assert!(follower.done(), "did not end");
    assert!(follower.packet(ROW, ROW.len()).is_err());
}

#[test]
fn results_end_where_the_documentation_says() {
    ends(Expect::Results, PLAIN, &[OK]);
    ends(Expect::Results, PLAIN, &[ERR]);
    ends(Expect::Results, PLAIN, &[&[2], b"def1", b"def2", EOF, ROW, ROW, EOF]);
    ends(Expect::Results, PLAIN, &[&[1], b"def1", EOF, EOF]);
    ends(Expect::Results, PLAIN, &[&[1], b"def1", EOF, ROW, ERR]);
    ends(Expect::Cursor, PLAIN, &[&[1], b"def1", EOF_CURSOR]);
    ends(Expect::Cursor, PLAIN, &[&[1], b"def1", EOF, ROW, EOF]);
    // Within FOR row IN (SELECT ...) DO the server says of each result that a cursor is open: the routine's.
    ends(Expect::Results, PLAIN, &[&[1], b"def1", EOF_CURSOR, ROW, EOF_CURSOR]);
    ends(Expect::Results, NO_EOF, &[&[2], b"def1", b"def2", ROW, OK_EOF]);
    ends(Expect::Results, NO_EOF, &[&[1], b"def1", OK_EOF]);
    ends(Expect::Results, PLAIN, &[OK_MORE, &[1], b"def1", EOF, ROW, EOF_MORE, OK]);
    ends(Expect::Results, PLAIN, &[OK_MORE, ERR]);
    ends(Expect::Results, PLAIN, &[b"\xfb/etc/motd", OK]);
}

#[test]
fn other_answers_end_where_the_documentation_says() {
    let prepared = |columns: u8, parameters: u8| vec![0, 1, 0, 0, 0, columns, 0, parameters, 0, 0, 0, 0];
    ends(Expect::Prepared, PLAIN, &[&prepared(0, 0)]);
    ends(Expect::Prepared, PLAIN, &[ERR]);
    ends(Expect::Prepared, PLAIN, &[&prepared(1, 2), b"p1", b"p2", EOF, b"c1", EOF]);
    ends(Expect::Prepared, PLAIN, &[&prepared(1, 0), b"c1", EOF]);
    ends(Expect::Prepared, NO_EOF, &[&prepared(1, 2), b"p1", b"p2", b"c1"]);
    ends(Expect::Rows, PLAIN, &[ROW, ROW, EOF]);
    ends(Expect::Rows, PLAIN, &[ERR]);
    ends(Expect::One, PLAIN, &[OK]);
    ends(Expect::One, PLAIN, &[EOF]);
    ends(Expect::One, PLAIN, &[b"Uptime: 5"]);
}

#[test]
fn the_rest_of_a_long_row_is_never_taken_for_an_end() {
    let mut follower = Follower::new(Expect::Rows, PLAIN);
    // A text row whose first value has a length of eight bytes begins like an EOF.
    assert_eq!(follower.packet(&[0xfe, 0, 0, 0, 1, 0, 0, 0, 0, b'x'], FRAME_MAX), Ok(Passed::Data));
    assert!(follower.may_stream(0xff));
    assert_eq!(follower.packet(&[0xff, 1, 2], FRAME_MAX), Ok(Passed::Data));
    assert_eq!(follower.packet(&[0xfe, 0, 0, 2, 0], 5), Ok(Passed::Data), "the end of the row's payload");
    assert_eq!(follower.packet(EOF, 5).map(|_| follower.done()), Ok(true));
}

proptest! {
    /// Whatever a run leaves is taken packet by packet, to the same end.
    #[test]
    fn a_run_of_rows_is_what_its_packets_are_one_by_one(
        packets in prop::collection::vec(prop_oneof![
            4 => prop::collection::vec(any::<u8>(), 0..6),
            4 => Just(ROW.to_vec()),
            1 => Just(EOF.to_vec()),
            1 => Just(OK_EOF.to_vec()),
            1 => Just(ERR.to_vec()),
        ], 0..20),
        cut in 0..8_usize,
        eof in any::<bool>(),
    ) {
        let mut raw = Vec::new();
        for (number, packet) in packets.iter().enumerate() {
            raw.extend_from_slice(&Header { length: packet.len(), sequence: number as u8 }.encode());
            raw.extend_from_slice(packet);
        }
        raw.truncate(raw.len().saturating_sub(cut));
        let capabilities = if eof { PLAIN } else { NO_EOF };
        let (mut slow, mut fast) = (Follower::new(Expect::Rows, capabilities), Follower::new(Expect::Rows, capabilities));
        let mut sequence = Sequence::default();
        let run = fast.rows(&raw, &mut sequence).unwrap();
        let mut at = 0;
        for number in 0..run.rows {
            let header = Header::decode(raw[at..at + HEADER].try_into().unwrap());
            let passed = slow.packet(&raw[at + HEADER..at + HEADER + header.length], header.length);
            prop_assert_eq!((passed, u64::from(header.sequence)), (Ok(Passed::Data), number));
            at += HEADER + header.length;
        }
        prop_assert_eq!(at, run.bytes);
        prop_assert_eq!(slow.state, fast.state);
        // Copied for another exchange, they count on from there.
        let mut copy = raw[..run.bytes].to_vec();
        let mut theirs = Sequence::default();
        theirs.issue();
        theirs.number(&mut copy);
        prop_assert_eq!(u64::from(theirs.issue()), run.rows + 1);
        prop_assert!(copy.iter().zip(&raw).filter(|(one, other)| one != other).count() as u64 == run.rows);
    }

    #[test]
    fn any_packets_are_an_answer_or_an_error(packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..20)) {
        for expect in [Expect::Results, Expect::Cursor, Expect::Prepared, Expect::Rows, Expect::One] {
            for capabilities in [PLAIN, NO_EOF, Capabilities(u64::MAX)] {
                let mut follower = Follower::new(expect, capabilities);
                for packet in &packets {
                    if follower.done() || follower.packet(packet, packet.len()).is_err() {
                        break;
                    }
                }
            }
        }
    }
}
