//! HTTP/2 in frames: a client that says what it is told to, byte by byte.

use std::{io::Read, net::SocketAddr};

use crate::harness::*;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// Frame types (§6) and flags.
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
pub const UNKNOWN: u8 = 0x16;
pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;
pub const WITH_PRIORITY: u8 = 32;
pub const WHOLE: u8 = END_STREAM | END_HEADERS;

// Error codes (§7).
pub const PROTOCOL_ERROR: u32 = 1;
pub const FLOW_CONTROL_ERROR: u32 = 3;
pub const STREAM_CLOSED: u32 = 5;
pub const FRAME_SIZE_ERROR: u32 = 6;
pub const REFUSED_STREAM: u32 = 7;
pub const COMPRESSION_ERROR: u32 = 9;

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A field as a literal that is not indexed, with a new name (RFC 7541 §6.2.2).
pub fn literal(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
    [vec![0], text(name), text(value)].concat()
}

pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| literal(name, value)).collect()
}

pub const GET_FIELDS: [(&str, &str); 4] = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")];
pub const POST_FIELDS: [(&str, &str); 4] = [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "a")];

pub fn get() -> Vec<u8> {
    block(&GET_FIELDS)
}

pub fn post() -> Vec<u8> {
    block(&POST_FIELDS)
}

/// The usual fields and one or more besides.
pub fn get_with(more: &[(&str, &str)]) -> Vec<u8> {
    [get(), block(more)].concat()
}

pub fn whole_get(stream: u32) -> Vec<u8> {
    frame(HEADERS, WHOLE, stream, &get())
}

pub fn open_post(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &post())
}

pub fn setting(id: u16, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

/// A client that counts nothing and checks nothing.
pub struct Client {
    pub peer: Peer,
}

/// What came in one frame.
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        let mut peer = Peer::connect(address);
        peer.write([PREFACE, &frame(SETTINGS, 0, 0, &[])].concat());
        let mut client = Client { peer };
        // Both sides' settings are settled before a case begins.
        while !client.read().is_some_and(|frame| frame.kind == SETTINGS && frame.flags & ACK != 0) {}
        client.peer.write(frame(SETTINGS, ACK, 0, &[]));
        client
    }

    /// `None` at the end of the connection.
    pub fn read(&mut self) -> Option<Frame> {
        let head = self.read_bytes(9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], flags: head[4], stream, payload: self.read_bytes(length)? })
    }

    fn read_bytes(&mut self, count: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; count];
        match self.peer.stream.read_exact(&mut bytes) {
            Ok(()) => Some(bytes),
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock) => panic!("nothing came for {PATIENCE:?}"),
            Err(_) => None,
        }
    }
}

pub fn code(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().expect("four bytes"))
}
