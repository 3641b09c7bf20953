use proptest::prelude::*;

use super::*;

const LIMIT: usize = 64 * 1024 * 1024;

/// Feeds `bytes` in pieces of `piece` and takes every payload.
fn take_all(bytes: &[u8], piece: usize, limit: usize) -> Result<Vec<Vec<u8>>, WireError> {
    let (mut inbox, mut sequence, mut taken) = (Inbox::new(limit), Sequence::default(), Vec::new());
    for chunk in bytes.chunks(piece) {
        let mut chunk = chunk;
        while !chunk.is_empty() {
            let space = inbox.space();
            let count = space.len().min(chunk.len());
            space[..count].copy_from_slice(&chunk[..count]);
            inbox.filled(count);
            chunk = &chunk[count..];
        }
        while let Some(payload) = inbox.take(&mut sequence)? {
            taken.push(payload.to_vec());
        }
    }
    Ok(taken)
}

fn packets(payloads: &[&[u8]]) -> Vec<u8> {
    let (mut outbox, mut sequence) = (Outbox::default(), Sequence::default());
    for payload in payloads {
        outbox.packet(&mut sequence, |out| out.extend_from_slice(payload));
    }
    outbox.bytes().to_vec()
}

#[test]
fn a_packet_is_three_bytes_of_length_one_of_sequence_and_the_payload() {
    // The documentation's example: COM_QUIT.
    assert_eq!(packets(&[&[0x01]]), [0x01, 0, 0, 0, 0x01]);
    assert_eq!(take_all(&[0x01, 0, 0, 0, 0x01], 1, LIMIT), Ok(vec![vec![0x01]]));
}

#[test]
fn packets_of_one_exchange_count_up() {
    assert_eq!(packets(&[b"a", b"", b"bc"]), b"\x01\0\0\0a\0\0\0\x01\x02\0\0\x02bc");
}

#[test]
fn the_sequence_wraps_after_255() {
    let payloads = vec![&b"x"[..]; 258];
    let bytes = packets(&payloads);
    assert_eq!(bytes[256 * 5 + 3], 0);
    assert_eq!(take_all(&bytes, 7, LIMIT).unwrap().len(), 258);
}

#[test]
fn a_packet_out_of_sequence_is_an_error() {
    assert_eq!(take_all(b"\x01\0\0\x01a", 5, LIMIT), Err(WireError::Sequence { expected: 0, got: 1 }));
}

#[test]
fn payloads_around_16_mib_are_split_and_joined() {
    for (length, frames) in [(FRAME_MAX - 1, 1), (FRAME_MAX, 2), (FRAME_MAX + 1, 2), (2 * FRAME_MAX, 3), (2 * FRAME_MAX + 5, 3)] {
        let payload: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
        let bytes = packets(&[&payload, b"next"]);
        assert_eq!(bytes.len(), length + frames * HEADER + 8, "{length}");
        let taken = take_all(&bytes, 1 << 20, LIMIT).unwrap();
        assert!(taken[0] == payload && taken[1] == b"next", "{length}");
    }
}

#[test]
fn a_payload_over_the_limit_is_refused_by_its_header() {
    let header = Header { length: 1001, sequence: 0 }.encode();
    assert_eq!(take_all(&header, 4, 1000), Err(WireError::TooLarge { max: 1000 }));
    let header = Header { length: 1000, sequence: 0 }.encode();
    assert_eq!(take_all(&header, 4, 1000), Ok(vec![]));
}

#[test]
fn an_announced_payload_costs_no_memory_before_it_arrives() {
    let mut inbox = Inbox::new(LIMIT);
    inbox.space()[..4].copy_from_slice(&Header { length: FRAME_MAX, sequence: 0 }.encode());
    inbox.filled(4);
    assert_eq!(inbox.take(&mut Sequence::default()), Ok(None));
    assert!(inbox.space().len() < 64 * 1024);
}

#[test]
fn memory_of_a_large_payload_is_given_back() {
    let mut inbox = Inbox::new(LIMIT);
    let bytes = packets(&[&vec![1; 1 << 20]]);
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let space = inbox.space();
        let count = space.len().min(rest.len());
        space[..count].copy_from_slice(&rest[..count]);
        inbox.filled(count);
        rest = &rest[count..];
    }
    assert_eq!(inbox.take(&mut Sequence::default()).unwrap().unwrap().len(), 1 << 20);
    assert_eq!(inbox.space().len(), INBOX_BYTES);
}

#[test]
fn a_cancelled_packet_leaves_nothing_behind() {
    let (mut outbox, mut sequence) = (Outbox::default(), Sequence::default());
    outbox.packet(&mut sequence, |out| out.push(1));
    let begun = outbox.begin();
    outbox.payload().extend_from_slice(b"half a row");
    outbox.cancel(begun);
    outbox.packet(&mut sequence, |out| out.push(2));
    assert_eq!(outbox.bytes(), [1, 0, 0, 0, 1, 1, 0, 0, 1, 2]);
}

proptest! {
    #[test]
    fn what_is_written_is_taken_however_it_is_cut(payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20), piece in 1_usize..64) {
        let slices: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
        prop_assert_eq!(take_all(&packets(&slices), piece, LIMIT).unwrap(), payloads);
    }

    #[test]
    fn any_bytes_are_payloads_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = take_all(&bytes, 13, 100);
    }
}
