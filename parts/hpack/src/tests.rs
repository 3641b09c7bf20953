//! The examples of RFC 7541 appendix C, and whatever else two sides may say to each other.

use super::*;
use proptest::prelude::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

fn decoded(decoder: &mut Decoder, block: &[u8]) -> Result<Fields, Malformed> {
    let mut fields = Vec::new();
    decoder.decode(block, |name, value| fields.push((name.to_vec(), value.to_vec()))).map(|()| fields)
}

fn fields(list: &[(&str, &str)]) -> Fields {
    list.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

#[test]
fn the_three_requests_of_appendix_c_3_and_c_4() {
    let first = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")];
    let second = [&first[..], &[("cache-control", "no-cache")]].concat();
    let third = [
        (":method", "GET"),
        (":scheme", "https"),
        (":path", "/index.html"),
        (":authority", "www.example.com"),
        ("custom-key", "custom-value"),
    ];
    for blocks in [
        [
            "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "8286 84be 5808 6e6f 2d63 6163 6865",
            "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
        ],
        [
            "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
            "8286 84be 5886 a8eb 1064 9cbf",
            "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
        ],
    ] {
        let mut decoder = Decoder::default();
        for (block, expected) in blocks.into_iter().zip([&first[..], &second, &third]) {
            assert_eq!(decoded(&mut decoder, &bytes(block)).unwrap(), fields(expected));
        }
        // Ours are the second kind: coded where that is shorter.
        let mut encoder = Encoder::default();
        for (block, said) in blocks.into_iter().zip([&first[..], &second, &third]).filter(|_| blocks[0].contains("f1")) {
            let mut out = Vec::new();
            encoder.begin(&mut out);
            said.iter().for_each(|(name, value)| encoder.field(name.as_bytes(), value.as_bytes(), Indexing::Kept, &mut out));
            assert_eq!(out, bytes(block));
        }
    }
}

#[test]
fn the_oldest_entries_leave_a_full_table() {
    // Appendix C.5 has a table of 256 bytes.
    let mut decoder = Decoder::default();
    let smaller = bytes("3fe101");
    assert_eq!(decoded(&mut decoder, &smaller).unwrap(), Fields::new());
    let answer = |status, date| {
        fields(&[(":status", status), ("cache-control", "private"), ("date", date), ("location", "https://www.example.com")])
    };
    let first = "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e 1768 \
                 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d";
    assert_eq!(decoded(&mut decoder, &bytes(first)).unwrap(), answer("302", "Mon, 21 Oct 2013 20:13:21 GMT"));
    assert_eq!(decoded(&mut decoder, &bytes("4803 3330 37c1 c0bf")).unwrap(), answer("307", "Mon, 21 Oct 2013 20:13:21 GMT"));
    // 302 has left to make room for 307: its place is the next one's now, and none is behind that.
    assert_eq!(decoded(&mut decoder, &bytes("c1")).unwrap(), fields(&[("cache-control", "private")]));
    assert_eq!(decoded(&mut decoder, &bytes("c2")), Err(Malformed::Index));
}

#[test]
fn what_is_no_block_is_refused_by_its_reason() {
    let check = |block: &str, reason| assert_eq!(decoded(&mut Decoder::default(), &bytes(block)), Err(reason), "{block}");
    check("80", Malformed::Index);
    check("be", Malformed::Index);
    check("ff", Malformed::Cut);
    check("ffffffffffffffffff7f", Malformed::Cut);
    check("0085", Malformed::Cut);
    check("000161", Malformed::Cut);
    // Larger than was allowed; behind a field.
    check("3fe21f", Malformed::Size);
    check("8220", Malformed::Size);
    // The filling: a whole byte of ones; zeros; and the end of a string, written out.
    check("00016182 1fff", Malformed::Huffman);
    check("00016181 18", Malformed::Huffman);
    check("00016184 ffffffff", Malformed::Huffman);
}

#[test]
fn a_field_larger_than_the_table_empties_it() {
    let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
    let large = "x".repeat(TABLE_BYTES);
    for (value, bytes_max) in [("small", 100), (large.as_str(), 5000), ("small", 100), ("small", 2)] {
        let mut block = Vec::new();
        encoder.begin(&mut block);
        encoder.field(b"name", value.as_bytes(), Indexing::Kept, &mut block);
        assert!(block.len() <= bytes_max, "{value:.5}: {} bytes", block.len());
        assert_eq!(decoded(&mut decoder, &block).unwrap(), fields(&[("name", value)]));
    }
}

#[test]
fn a_kept_block_stands_for_as_long_as_the_version_does() {
    let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
    let write = |encoder: &mut Encoder, indexing| {
        let mut block = Vec::new();
        encoder.begin(&mut block);
        encoder.field(b":path", b"/items", indexing, &mut block);
        block
    };
    let (before, first) = (encoder.version(), write(&mut encoder, Indexing::Kept));
    assert_ne!(encoder.version(), before, "it changed the table itself: once more it would be something else");
    let (before, again) = (encoder.version(), write(&mut encoder, Indexing::Kept));
    assert_eq!(encoder.version(), before);
    for block in [first, again.clone(), again.clone(), again] {
        assert_eq!(decoded(&mut decoder, &block).unwrap(), fields(&[(":path", "/items")]));
    }
    // The peer takes its table away: the next block says so, whatever it is.
    encoder.limit(0);
    assert_ne!(encoder.version(), before);
    let told = write(&mut encoder, Indexing::Kept);
    assert_eq!(told[0], 0x20);
    assert_eq!(decoded(&mut decoder, &told).unwrap(), fields(&[(":path", "/items")]));
    assert!(encoder.version() > before + 1, "what was kept before names a place that is gone");
}

proptest! {
    #[test]
    fn whatever_is_said_is_understood(
        messages in prop::collection::vec(
            prop::collection::vec(("[a-z-]{1,12}", prop::collection::vec(any::<u8>(), 0..60), any::<bool>()), 0..12), 1..40),
        limits in prop::collection::vec(prop::collection::vec(0usize..6000, 0..3), 40),
    ) {
        let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
        for (message, limits) in messages.iter().zip(limits) {
            limits.into_iter().for_each(|limit| encoder.limit(limit));
            let mut block = Vec::new();
            encoder.begin(&mut block);
            for (name, value, kept) in message {
                let indexing = if *kept { Indexing::Kept } else { Indexing::Passing };
                encoder.field(name.as_bytes(), value, indexing, &mut block);
            }
            let said: Fields = message.iter().map(|(name, value, _)| (name.clone().into_bytes(), value.clone())).collect();
            prop_assert_eq!(decoded(&mut decoder, &block).unwrap(), said);
        }
    }

    #[test]
    fn no_bytes_break_the_decoder(blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..5)) {
        let mut decoder = Decoder::default();
        for block in blocks {
            let _ = decoded(&mut decoder, &block);
        }
    }
}
