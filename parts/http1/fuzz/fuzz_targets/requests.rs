//! A client's bytes: no panic, the same events however they are cut, and what is forwarded parses to the same request again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pumasi_http1::{Event, Framing, Limits, RequestDecoder, RequestHead, TargetForm, write};

fuzz_target!(|input: (u8, Vec<u8>)| {
    let (cut, bytes) = input;
    let whole = events(&bytes, bytes.len().max(1));
    assert_eq!(events(&bytes, usize::from(cut).max(1)), whole);
});

/// Feeds pieces of `size` bytes; what came out, in words.
fn events(bytes: &[u8], size: usize) -> Vec<String> {
    let limits = Limits { head_bytes_max: 1 << 10, fields_max: 32 };
    let mut decoder = RequestDecoder::default();
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
                Event::NeedMore => {}
                Event::Head => {
                    forwarded_parses_the_same(decoder.head());
                    seen.push(format!("{:?}", decoder.head()));
                }
                Event::Data(range) => data.extend_from_slice(&buffer[range.clone()]),
                Event::End => {
                    seen.push(format!("{data:?} {:?}", decoder.trailers().iter().collect::<Vec<_>>()));
                    data.clear();
                }
            }
            buffer.drain(..used);
            if event == Event::NeedMore {
                break;
            }
        }
    }
    seen.push(format!("{data:?} {}", buffer.len()));
    seen
}

/// A request written from a parsed head is read by the same codec as the same request: nothing can hide in a field.
fn forwarded_parses_the_same(head: &RequestHead) {
    if head.form != TargetForm::Origin {
        return;
    }
    let mut out = Vec::new();
    write::request_line(&mut out, head.method(), head.path_and_query());
    out.extend_from_slice(head.fields.raw_lines());
    if head.authority().is_empty() {
        write::field(&mut out, "Host", b"upstream");
    }
    write::head_end(&mut out);
    let mut again = RequestHead::default();
    let parsed = again.parse(&out, &Limits { head_bytes_max: 1 << 20, fields_max: 64 });
    match (parsed, head.framing) {
        (Ok(Some(length)), framing) => {
            assert_eq!((length, again.framing), (out.len(), framing));
            assert_eq!(again.method(), head.method());
        }
        // HTTP/1.0 in, HTTP/1.1 out: an expectation that 1.0 ignores.
        (Err(pumasi_http1::Refusal::Expectation), Framing::Empty | Framing::Length(_)) => {}
        (other, _) => panic!("{other:?}: {}", out.escape_ascii()),
    }
}
