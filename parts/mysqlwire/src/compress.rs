//! Compression ("Compressed Packet"): what two ends would send each other, in frames of a length, a number, a length before compression and
//! deflated bytes (RFC 1950). Packets may begin and end anywhere in them.

use std::io::{Read, Write};

use flate2::{Compression, read::ZlibDecoder, write::ZlibEncoder};

use crate::{FRAME_MAX, WireError};

/// Bytes in front of each frame.
const FRAME_HEADER: usize = 7;

/// Less than this is not worth compressing (MIN_COMPRESS_LENGTH of every implementation).
const WORTH_BYTES: usize = 50;

/// Bytes that go into one frame: what a proxy sends at once, so that no frame waits for more.
const PIECE_BYTES: usize = 64 * 1024;

/// One end of a compressed connection.
#[derive(Debug, Default)]
pub struct Compressor {
    /// Arrived and not yet a whole frame.
    arrived: Vec<u8>,
    /// Both ends count the frames of a command together, from 0.
    next: u8,
}

impl Compressor {
    /// A new command begins.
    pub fn restart(&mut self) {
        self.next = 0;
    }

    /// Where to append what comes from the socket.
    pub fn arriving(&mut self) -> &mut Vec<u8> {
        &mut self.arrived
    }

    /// No part of a frame waits for the rest.
    pub fn idle(&self) -> bool {
        self.arrived.is_empty()
    }

    /// Appends the content of the next frame to `out`; false if it has not arrived whole. A frame holds at most 16 MiB, compressed or not,
    /// whatever it claims. Errors: bytes that are not what a frame announces.
    pub fn take(&mut self, out: &mut Vec<u8>) -> Result<bool, WireError> {
        let Some((&[a, b, c, number, d, e, f], rest)) = self.arrived.split_first_chunk::<FRAME_HEADER>() else { return Ok(false) };
        let compressed = u32::from_le_bytes([a, b, c, 0]) as usize;
        let plain = u32::from_le_bytes([d, e, f, 0]) as usize;
        let Some(frame) = rest.get(..compressed) else { return Ok(false) };
        if plain == 0 {
            out.extend_from_slice(frame);
        } else {
            let before = out.len();
            // One byte more than announced would show that there is more.
            let read = ZlibDecoder::new(frame).take(plain as u64 + 1).read_to_end(out);
            if read.is_err() || out.len() - before != plain {
                return Err(WireError::Malformed("compressed bytes"));
            }
        }
        self.next = number.wrapping_add(1);
        self.arrived.drain(..FRAME_HEADER + compressed);
        Ok(true)
    }

    /// Appends `bytes` to `out` in frames.
    pub fn put(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for piece in bytes.chunks(PIECE_BYTES.min(FRAME_MAX)) {
            let at = out.len();
            out.extend_from_slice(&[0; FRAME_HEADER]);
            let mut plain = 0;
            if piece.len() >= WORTH_BYTES {
                let mut encoder = ZlibEncoder::new(&mut *out, Compression::fast());
                let written = encoder.write_all(piece).and_then(|()| encoder.finish().map(|_| ()));
                if written.is_ok() && out.len() - at - FRAME_HEADER < piece.len() {
                    plain = piece.len();
                }
            }
            if plain == 0 {
                out.truncate(at + FRAME_HEADER);
                out.extend_from_slice(piece);
            }
            let [a, b, c, _] = ((out.len() - at - FRAME_HEADER) as u32).to_le_bytes();
            let [d, e, f, _] = (plain as u32).to_le_bytes();
            out[at..at + FRAME_HEADER].copy_from_slice(&[a, b, c, self.next, d, e, f]);
            self.next = self.next.wrapping_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8]) {
        let (mut sender, mut receiver) = (Compressor::default(), Compressor::default());
        let mut wire = Vec::new();
        sender.put(bytes, &mut wire);
        let mut got = Vec::new();
        // One byte at a time: a frame is taken when it is whole and not before.
        for byte in wire {
            receiver.arriving().push(byte);
            while receiver.take(&mut got).unwrap() {}
        }
        assert!(got == bytes && receiver.idle());
        assert_eq!(receiver.next, sender.next);
    }

    #[test]
    fn what_goes_in_comes_out() {
        check(b"\x01\0\0\0\x0e");
        check(&[b'a'; 49]);
        check(&[b'a'; 50]);
        check(&(0..300_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>());
        check(&[7; 1_000_000]);
    }

    #[test]
    fn a_frame_that_lies_about_its_length_is_refused() {
        let mut wire = Vec::new();
        Compressor::default().put(&[b'a'; 1000], &mut wire);
        for claimed in [1_u8, 0xff] {
            let mut lying = Compressor::default();
            lying.arriving().extend_from_slice(&wire);
            lying.arriving()[4] = claimed;
            assert_eq!(lying.take(&mut Vec::new()), Err(WireError::Malformed("compressed bytes")));
        }
        let mut noise = Compressor::default();
        noise.arriving().extend_from_slice(&[3, 0, 0, 0, 9, 0, 0, 1, 2, 3]);
        assert_eq!(noise.take(&mut Vec::new()), Err(WireError::Malformed("compressed bytes")));
    }
}
