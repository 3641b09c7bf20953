//! WebSockets on a stream of HTTP/2 (RFC 8441): an extended CONNECT stands for the GET with an Upgrade, a 200 for the 101.

use pumasi_http1::{Known, RequestHead};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

/// What the key of an HTTP/1.1 handshake is hashed with (RFC 6455 §1.3).
const PROOF: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

pub(crate) const KEY: &str = "sec-websocket-key";

/// Whether the request, whose upgrade is forwarded, can become a stream: it asks for a WebSocket and nothing else, and so that the client can
/// be told that it was understood.
pub(crate) fn opens(head: &RequestHead) -> bool {
    let mut protocols = head.fields.tokens(Known::Upgrade);
    let only = protocols.next().is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket")) && protocols.next().is_none();
    only && head.method() == b"GET" && head.fields.all_named(KEY).count() == 1
}

/// What a client that sent `key` waits for: base64 of the SHA-1 of key and proof (RFC 6455 §4.2.2). On a stream of HTTP/2 nobody sends it.
pub(crate) fn accept(key: &[u8]) -> [u8; 28] {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, PROOF].concat());
    let mut text = [b'='; 28];
    for (three, four) in hash.as_ref().chunks(3).zip(text.chunks_mut(4)) {
        let bits = three.iter().fold(0u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - three.len()));
        // The last piece is two bytes long: three letters, and one `=` that stands there already.
        four.iter_mut()
            .take(three.len() + 1)
            .zip([18, 12, 6, 0])
            .for_each(|(letter, shift)| *letter = LETTERS[(bits >> shift & 63) as usize]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proof_is_that_of_the_rfc() {
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ=="), *b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="); // RFC 6455 §1.3
    }

    #[test]
    fn only_a_plain_websocket_handshake_becomes_a_stream() {
        let opens = |lines: &str| {
            let mut head = RequestHead::default();
            let text = format!("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n{lines}\r\n");
            let limits = pumasi_http1::Limits { head_bytes_max: 4096, fields_max: 16 };
            head.parse(text.as_bytes(), &limits).expect("a head");
            super::opens(&head)
        };
        assert!(opens("Upgrade: WebSocket\r\nSec-WebSocket-Key: dGhl\r\n"));
        assert!(!opens("Upgrade: websocket\r\n"));
        assert!(!opens("Upgrade: websocket, other\r\nSec-WebSocket-Key: dGhl\r\n"));
        assert!(!opens("Upgrade: websocket\r\nSec-WebSocket-Key: dGhl\r\nSec-WebSocket-Key: dGhl\r\n"));
    }
}
