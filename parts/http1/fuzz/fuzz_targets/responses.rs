//! An upstream's bytes: no panic, and the same events however they are cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pumasi_http1::{Asked, Limits, ResponseDecoder, ResponseEvent};

fuzz_target!(|input: (u8, bool, bool, Vec<u8>)| {
    let (cut, head, upgrade, bytes) = input;
    let asked = Asked { head, upgrade };
    let whole = events(&bytes, bytes.len().max(1), asked);
    assert_eq!(events(&bytes, usize::from(cut).max(1), asked), whole);
});

fn events(bytes: &[u8], size: usize, asked: Asked) -> Vec<String> {
    let limits = Limits { head_bytes_max: 1 << 10, fields_max: 32 };
    let mut decoder = ResponseDecoder::default();
    decoder.expect(asked);
    let (mut buffer, mut seen, mut data) = (Vec::new(), Vec::new(), Vec::new());
    for piece in bytes.chunks(size) {
        buffer.extend_from_slice(piece);
        loop {
            let (used, event) = match decoder.decode(&buffer, &limits) {
                Ok(found) => found,
                Err(refusal) => {
                    seen.push(format!("{data:?} {refusal:?}"));
                    return seen;
                }
            };
            match &event {
                ResponseEvent::NeedMore => {}
                ResponseEvent::Interim | ResponseEvent::Head => seen.push(format!("{event:?} {:?}", decoder.head())),
                ResponseEvent::Data(range) => data.extend_from_slice(&buffer[range.clone()]),
                ResponseEvent::End => {
                    seen.push(format!("{data:?} {:?}", decoder.trailers().iter().collect::<Vec<_>>()));
                    data.clear();
                    decoder.expect(asked);
                }
            }
            buffer.drain(..used);
            if event == ResponseEvent::NeedMore {
                break;
            }
        }
    }
    seen.push(format!("{data:?} {:?}", decoder.close(&buffer)));
    seen
}
