//! Any byte stream, cut anywhere, is payloads or an error; memory stays within the limit plus one read.
#![no_main]
use libfuzzer_sys::fuzz_target;
use pumasi_mysqlwire::{Inbox, Sequence};

const LIMIT: usize = 4096;

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = input;
    let (mut inbox, mut sequence) = (Inbox::new(LIMIT), Sequence::default());
    for chunk in bytes.chunks(usize::from(piece) + 1) {
        let space = inbox.space();
        space[..chunk.len()].copy_from_slice(chunk);
        inbox.filled(chunk.len());
        loop {
            match inbox.take(&mut sequence) {
                Ok(Some(payload)) => assert!(payload.len() <= LIMIT),
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
});
