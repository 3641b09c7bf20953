//! Whatever a server sends, a client reads it as a value or an error.
#![no_main]
use libfuzzer_sys::fuzz_target;
use pumasi_mysqlwire::{
    AuthStep, Capabilities, Column, ColumnFlags, ColumnType, EofPacket, ErrPacket, Expect, Follower, Greeting, HEADER, OkPacket, Prepared, Sequence,
    decode_binary_row, decode_text_row,
};

fuzz_target!(|input: (Vec<u8>, &[u8])| {
    let (kinds, bytes) = input;
    if let Ok(greeting) = Greeting::decode(bytes) {
        let mut again = Vec::new();
        greeting.encode(&mut again);
        assert_eq!(Greeting::decode(&again).map(|again| again.salt), Ok(greeting.salt));
    }
    let _ = (AuthStep::decode(bytes), EofPacket::decode(bytes), ErrPacket::decode(bytes), Prepared::decode(bytes));
    for capabilities in [Capabilities(0), Capabilities::SESSION_TRACK] {
        if let Ok(ok) = OkPacket::decode(bytes, capabilities) {
            assert!(ok.changes().count() <= bytes.len());
        }
    }
    if let Ok(column) = Column::decode(bytes) {
        let mut again = Vec::new();
        column.encode(&mut again);
        assert_eq!(Column::decode(&again), Ok(column));
    }
    let columns: Vec<Column> = kinds
        .iter()
        .filter_map(|kind| ColumnType::from_wire(*kind))
        .map(|kind| Column {
            schema: String::new(),
            table: String::new(),
            org_table: String::new(),
            name: String::new(),
            org_name: String::new(),
            collation: 63,
            length: 0,
            kind,
            flags: ColumnFlags::default(),
            decimals: 0,
        })
        .collect();
    let _ = pumasi_mysqlwire::rsa::PublicKey::from_pem(bytes);
    for expect in [Expect::Results, Expect::Cursor, Expect::Prepared, Expect::Rows, Expect::One] {
        for capabilities in [Capabilities(0), Capabilities(u64::MAX)] {
            let mut follower = Follower::new(expect, capabilities);
            // The first bytes say where the packets are cut.
            let mut rest = bytes;
            for length in &kinds {
                let (packet, behind) = rest.split_at(rest.len().min(usize::from(*length)));
                if follower.done() || follower.packet(packet, packet.len()).is_err() {
                    break;
                }
                rest = behind;
            }
            // What comes in one piece is rows or nothing.
            let mut follower = Follower::new(Expect::Rows, capabilities);
            if let Ok(run) = follower.rows(bytes, &mut Sequence::default()) {
                assert!(run.bytes <= bytes.len() && run.rows as usize * HEADER <= run.bytes);
                Sequence::default().number(&mut bytes[..run.bytes].to_vec());
            }
        }
    }
    let _ = (decode_text_row(bytes, columns.len()), decode_binary_row(bytes, &columns));
});
