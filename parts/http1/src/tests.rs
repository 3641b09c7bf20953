//! Rules as tables; the slicing invariant as a property.

mod chunks;
mod framing;
mod heads;
mod known;
mod slicing;
mod usual;
mod writing;

use crate::{Event, Limits, Refusal, RequestDecoder, RequestHead, ResponseDecoder, ResponseEvent};

/// What a run of bytes came to: the events in words, data joined, and how it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub heads: Vec<String>,
    pub data: Vec<u8>,
    pub trailers: Vec<String>,
    pub ends: usize,
    pub refused: Option<Refusal>,
    pub left: usize,
}

/// Feeds `pieces` to a request decoder as a connection would: unread bytes stay in front of the next piece.
pub(super) fn requests<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limits: &Limits) -> Seen {
    let mut decoder = RequestDecoder::default();
    let mut seen = Seen::default();
    let mut buffer = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let (used, event) = match decoder.decode(&buffer, limits) {
                Ok(found) => found,
                Err(refusal) => {
                    seen.refused = Some(refusal);
                    return seen;
                }
            };
            assert!(used <= buffer.len());
            match &event {
                Event::NeedMore => {}
                Event::Head => seen.heads.push(describe(decoder.head())),
                Event::Data(range) => seen.data.extend_from_slice(&buffer[range.clone()]),
                Event::End => {
                    seen.ends += 1;
                    seen.trailers.extend(decoder.trailers().iter().map(|(n, v)| words(&[n, v])));
                }
            }
            buffer.drain(..used);
            if event == Event::NeedMore {
                break;
            }
        }
    }
    seen.left = buffer.len();
    seen
}

/// The same for responses, all of them to `asked`.
pub(super) fn responses<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, asked: crate::Asked, limits: &Limits) -> Seen {
    let mut decoder = ResponseDecoder::default();
    decoder.expect(asked);
    let mut seen = Seen::default();
    let mut buffer = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let (used, event) = match decoder.decode(&buffer, limits) {
                Ok(found) => found,
                Err(refusal) => {
                    seen.refused = Some(refusal);
                    return seen;
                }
            };
            match &event {
                ResponseEvent::NeedMore => {}
                ResponseEvent::Interim | ResponseEvent::Head => {
                    let head = decoder.head();
                    let mut line = format!("{} {:?}", head.status, head.framing);
                    head.fields.iter().for_each(|(n, v)| line.push_str(&format!(" | {}", words(&[n, v]))));
                    seen.heads.push(line);
                }
                ResponseEvent::Data(range) => seen.data.extend_from_slice(&buffer[range.clone()]),
                ResponseEvent::End => {
                    seen.ends += 1;
                    seen.trailers.extend(decoder.trailers().iter().map(|(n, v)| words(&[n, v])));
                    decoder.expect(asked);
                }
            }
            buffer.drain(..used);
            if event == ResponseEvent::NeedMore {
                break;
            }
        }
    }
    seen.left = buffer.len();
    seen
}

fn describe(head: &RequestHead) -> String {
    let mut line = words(&[head.method(), head.path_and_query(), head.authority()]);
    line.push_str(&format!(" {:?} {:?} keep={}", head.version, head.framing, head.keep_alive));
    head.fields.iter().for_each(|(n, v)| line.push_str(&format!(" | {}", words(&[n, v]))));
    line
}

fn words(parts: &[&[u8]]) -> String {
    parts.iter().map(|p| p.escape_ascii().to_string()).collect::<Vec<_>>().join(" ")
}

pub(super) fn whole(bytes: &[u8]) -> Seen {
    requests([bytes], &Limits::default())
}

/// The bytes are refused for that reason, whole and byte by byte.
pub(super) fn refused(bytes: &[u8], why: Refusal) {
    let limits = Limits::default();
    assert_eq!(whole(bytes).refused, Some(why), "whole: {}", bytes.escape_ascii());
    assert_eq!(requests(bytes.chunks(1), &limits).refused, Some(why), "byte by byte: {}", bytes.escape_ascii());
}

/// The bytes are `count` complete requests with nothing left over.
pub(super) fn accepted(bytes: &[u8], count: usize) -> Seen {
    let seen = whole(bytes);
    assert_eq!((seen.refused, seen.ends, seen.left), (None, count, 0), "{}", bytes.escape_ascii());
    assert_eq!(requests(bytes.chunks(1), &Limits::default()), seen, "byte by byte: {}", bytes.escape_ascii());
    seen
}

/// A GET with these lines between the request line and the empty one, Host included.
pub(super) fn get(lines: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n").into_bytes()
}

/// A POST with these lines and this content.
pub(super) fn post(lines: &str, content: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n{content}").into_bytes()
}
