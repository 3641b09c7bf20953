//! HTTP/2: many requests on one connection, with a codec of our own: a generator's requests are alike, and it must not be the one that is busy.
//! What a header block once cost is paid once per connection; afterwards a request is a copy of a few bytes, and nothing is allocated for it.
//!
//! A turn reads what the socket gives and tells the streams that ended; a flush writes what has gathered. Whoever sends does not write: the
//! requests of one round leave together.

mod frames;
mod request;
mod stream;
mod wire;

use crate::reply::{Answer, Expect};
use frames::{Frame, HEAD_BYTES, PAYLOAD_BYTES_MAX, PREFACE, WINDOW_FIRST, WINDOW_MAX, code, flag, kind, setting};
use pumasi_hpack::{Decoder, Encoder};
use rustls::ClientConnection;
use std::{collections::VecDeque, io, net::TcpStream};
pub use stream::StreamEnd;
use stream::{Phase, Stream};
use wire::Wire;

/// What a server may send ahead on one stream and on one connection: enough that a generator never holds an answer up.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// A header block in pieces (CONTINUATION) is at most so long; HTTP/1.1 heads have the same bound.
const BLOCK_BYTES_MAX: usize = 64 * 1024;
/// Bodies are framed while less than this waits to be written.
const OUT_BYTES_FULL: usize = 64 * 1024;
/// What waits to be written never exceeds this: a server that asks for answers (PING, SETTINGS) and reads none is given up.
const OUT_BYTES_MAX: usize = 1 << 20;
/// Reads of one turn; the other connections have theirs before it goes on.
const READS_PER_TURN: usize = 16;
/// No stream has a higher number (RFC 9113 section 5.1.1).
const STREAM_MAX: u32 = (1 << 31) - 1;

/// A connection that speaks HTTP/2.
pub struct Multiplexed {
    wire: Wire,
    scheme: &'static str,

    streams: Vec<Stream>,
    /// The streams' numbers, 0 for none. Apart from them, as every frame looks its stream up.
    numbers: Vec<u32>,
    vacant: Vec<u32>,
    /// Streams with a body that has not left.
    sending: VecDeque<u32>,
    streams_max: usize,
    next_number: u32,

    encoder: Encoder,
    decoder: Decoder,
    /// By step: the header block of a request that never changes.
    kept: Vec<Option<Kept>>,
    block_out: Vec<u8>,
    name: Vec<u8>,
    /// A header block that goes on in the next frame: of which stream, and whether that ends with it.
    block_in: Vec<u8>,
    /// Bytes of its frames so far. The heads of frames count: a server could send empty ones without end.
    block_cost: usize,
    unfinished: Option<(u32, bool)>,

    /// What the server allows.
    peer: Peer,
    window: i64,
    owed: u32,
    /// GOAWAY: no stream above this number is answered.
    last_answered: Option<u32>,

    /// The beginning of a frame that is not whole yet.
    rest: Vec<u8>,
    readable: bool,
    hung_up: bool,
    /// Why the connection is of no further use.
    over: Option<String>,
    /// Bytes that have been told by [`Multiplexed::moved`].
    told: (u64, u64),
}

#[derive(Debug)]
struct Peer {
    settled: bool,
    streams_max: usize,
    window: i64,
    payload_bytes_max: usize,
}

/// A header block as it was written under one version of the encoder's table.
#[derive(Debug)]
struct Kept {
    version: u64,
    block: Vec<u8>,
    body_at: usize,
}

/// When a stream's request was sent and its answer began, and whose it is.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    pub journey: u32,
    pub sent_ns: u64,
    pub first_byte_ns: u64,
}

/// Why a request was not sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unsendable {
    /// Here, and nowhere else: the server has said goodbye, or allows no further stream.
    Here,
    /// HTTP/2 cannot carry it.
    Anywhere,
}

/// The connection must end (RFC 9113 section 5.4.1).
struct Broken {
    code: u32,
    reason: String,
}

fn broken<T>(code: u32, reason: impl Into<String>) -> Result<T, Broken> {
    Err(Broken { code, reason: reason.into() })
}

impl Multiplexed {
    /// Prepares the preface on a connected socket that does not block (RFC 9113 section 3.4); the first flush sends it. At most
    /// `streams_max` requests at once, fewer if the server says so.
    ///
    /// Errors: the server did not choose h2 in the TLS handshake.
    pub fn begin(socket: TcpStream, tls: Option<Box<ClientConnection>>, streams_max: usize) -> io::Result<Multiplexed> {
        if tls.as_ref().is_some_and(|session| session.alpn_protocol() != Some(b"h2")) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the server does not offer HTTP/2 (no h2 by ALPN)"));
        }
        let mut out = PREFACE.to_vec();
        frames::put_settings(&mut out, &[(setting::ENABLE_PUSH, 0), (setting::INITIAL_WINDOW_SIZE, STREAM_WINDOW_BYTES)]);
        frames::put_number(&mut out, kind::WINDOW_UPDATE, 0, CONNECTION_WINDOW_BYTES - WINDOW_FIRST as u32);
        Ok(Multiplexed {
            scheme: if tls.is_some() { "https" } else { "http" },
            wire: Wire::new(socket, tls, out),
            streams: Vec::new(),
            numbers: Vec::new(),
            vacant: Vec::new(),
            sending: VecDeque::new(),
            streams_max,
            next_number: 1,
            encoder: Encoder::default(),
            decoder: Decoder::default(),
            kept: Vec::new(),
            block_out: Vec::new(),
            name: Vec::new(),
            block_in: Vec::new(),
            block_cost: 0,
            unfinished: None,
            peer: Peer { settled: false, streams_max: usize::MAX, window: WINDOW_FIRST, payload_bytes_max: PAYLOAD_BYTES_MAX },
            window: WINDOW_FIRST,
            owed: 0,
            last_answered: None,
            rest: Vec::new(),
            readable: true,
            hung_up: false,
            over: None,
            told: (0, 0),
        })
    }

    pub fn active(&self) -> usize {
        self.streams.len() - self.vacant.len()
    }

    /// Requests that may be begun now.
    pub fn free(&self) -> usize {
        match self.leaving() {
            true => 0,
            false => self.streams_max.min(self.peer.streams_max).saturating_sub(self.active()),
        }
    }

    /// Takes no further request; those on it may end.
    pub fn leaving(&self) -> bool {
        self.last_answered.is_some() || self.over.is_some() || self.next_number > STREAM_MAX
    }

    /// Begins a request, written as HTTP/1.1 would send it; a flush sends it. `step`: its number, if it is the same bytes every time.
    pub fn send(&mut self, journey: u32, bytes: &[u8], step: Option<usize>, expect: Expect, now: u64) -> Result<(), Unsendable> {
        if self.free() == 0 {
            return Err(Unsendable::Here);
        }
        let number = self.next_number;
        let body_at = self.put_request(number, bytes, step).ok_or(Unsendable::Anywhere)?;
        self.next_number += 2;
        let slot = self.vacant.pop().unwrap_or_else(|| {
            self.streams.push(Stream::default());
            self.numbers.push(0);
            (self.streams.len() - 1) as u32
        });
        self.numbers[slot as usize] = number;
        self.streams[slot as usize].begin(journey, expect, &bytes[body_at..], self.peer.window, now);
        if body_at < bytes.len() {
            self.sending.push_back(slot);
            self.put_bodies();
        }
        Ok(())
    }

    /// Appends the request's HEADERS and returns where its body begins.
    fn put_request(&mut self, number: u32, bytes: &[u8], step: Option<usize>) -> Option<usize> {
        if let Some(step) = step {
            if self.kept.len() <= step {
                self.kept.resize_with(step + 1, || None);
            }
            if let Some(kept) = self.kept[step].as_ref().filter(|kept| kept.version == self.encoder.version()) {
                let (body_at, over) = (kept.body_at, kept.body_at == bytes.len());
                put_block(&mut self.wire.out, number, &kept.block, over, self.peer.payload_bytes_max);
                return Some(body_at);
            }
        }
        let version = self.encoder.version();
        self.block_out.clear();
        let body_at = request::encode(bytes, self.scheme, step.is_some(), &mut self.encoder, &mut self.name, &mut self.block_out)?;
        put_block(&mut self.wire.out, number, &self.block_out, body_at == bytes.len(), self.peer.payload_bytes_max);
        // One that put something into the table says something else the second time.
        if let Some(step) = step.filter(|_| version == self.encoder.version()) {
            self.kept[step] = Some(Kept { version, block: self.block_out.clone(), body_at });
        }
        Some(body_at)
    }

    /// The event loop says that the socket has something to read; `hung_up`: its end among it, of which it will not be told again.
    pub fn readable(&mut self, hung_up: bool) {
        self.readable = true;
        self.hung_up |= hung_up;
    }

    /// Reads what there is through `buffer` and appends the streams that ended. True while the connection lives; when it does not, every
    /// stream has ended. `now` is in nanoseconds since the start of the run.
    pub fn turn(&mut self, buffer: &mut [u8], now: u64, ended: &mut Vec<(u32, StreamEnd)>) -> bool {
        for _ in 0..READS_PER_TURN {
            if !self.readable || self.over.is_some() {
                break;
            }
            match self.wire.receive(buffer) {
                Ok(0) => self.over = Some("the server closed the connection".to_string()),
                Ok(count) => {
                    // Less than asked for: there is no more, until the event loop says so. What TLS still holds cannot be known.
                    self.readable = self.wire.tls.is_some() || self.hung_up || count == buffer.len();
                    if let Err(Broken { code, reason }) = self.take(&buffer[..count], now, ended) {
                        frames::put_goaway(&mut self.wire.out, code);
                        // Why it ends is for the server's people; that it does not get there changes nothing.
                        let _ = self.wire.flush();
                        self.over = Some(reason);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
                Err(error) => self.over = Some(error.to_string()),
            }
        }
        self.put_bodies();
        let Some(reason) = &self.over else { return true };
        for (slot, stream) in self.streams.iter_mut().enumerate().filter(|(_, stream)| stream.under_way()) {
            stream.phase = Phase::Ended;
            ended.push((slot as u32, StreamEnd::malformed(reason)));
        }
        false
    }

    /// Writes what has gathered, as far as the socket takes it. False: the connection broke, and the next turn says so.
    pub fn flush(&mut self) -> bool {
        if self.over.is_none()
            && let Err(error) = self.wire.flush()
        {
            self.over = Some(error.to_string());
        }
        self.over.is_none()
    }

    /// The complete answer of a stream.
    pub fn answer(&self, slot: u32) -> Answer<'_> {
        let stream = &self.streams[slot as usize];
        Answer { status: stream.status, head: &stream.head, body: &stream.body, body_bytes: stream.body_bytes }
    }

    pub fn times(&self, slot: u32) -> Times {
        let stream = &self.streams[slot as usize];
        Times { journey: stream.journey, sent_ns: stream.sent_ns, first_byte_ns: stream.first_byte_ns }
    }

    /// The slot can be used again. A stream under way is reset.
    pub fn free_slot(&mut self, slot: u32) {
        let stream = &mut self.streams[slot as usize];
        let number = std::mem::take(&mut self.numbers[slot as usize]);
        if stream.unsent() > 0 {
            self.sending.retain(|sending| *sending != slot);
        }
        if stream.under_way() || stream.unsent() > 0 {
            frames::put_number(&mut self.wire.out, kind::RST_STREAM, number, code::CANCEL);
        }
        stream.phase = Phase::Vacant;
        self.vacant.push(slot);
    }

    /// A stream whose request was sent before `instant`; None if there is none.
    pub fn sent_before(&self, instant: u64) -> Option<u32> {
        self.streams.iter().position(|stream| stream.under_way() && stream.sent_ns <= instant).map(|slot| slot as u32)
    }

    /// Bytes read and written on the socket since the last call.
    pub fn moved(&mut self) -> (u64, u64) {
        let moved = (self.wire.read - self.told.0, self.wire.written - self.told.1);
        self.told = (self.wire.read, self.wire.written);
        moved
    }

    /// For waiting until there is something to read or room to write.
    pub fn socket(&self) -> &TcpStream {
        &self.wire.socket
    }

    /// The socket did not take everything at the last flush.
    pub fn unsent(&self) -> bool {
        self.wire.blocked
    }

    /// There may be more to read, of which the event loop will not tell.
    pub fn restless(&self) -> bool {
        self.readable
    }

    // === reading ===

    fn take(&mut self, bytes: &[u8], now: u64, ended: &mut Vec<(u32, StreamEnd)>) -> Result<(), Broken> {
        if self.rest.is_empty() {
            let left = self.frames(bytes, now, ended)?;
            self.rest.extend_from_slice(left);
            return Ok(());
        }
        let mut whole = std::mem::take(&mut self.rest);
        whole.extend_from_slice(bytes);
        let left = self.frames(&whole, now, ended)?.len();
        whole.drain(..whole.len() - left);
        self.rest = whole;
        Ok(())
    }

    /// Takes the whole frames and returns what is left.
    fn frames<'b>(&mut self, mut bytes: &'b [u8], now: u64, ended: &mut Vec<(u32, StreamEnd)>) -> Result<&'b [u8], Broken> {
        if !self.peer.settled && bytes.starts_with(b"HTTP/") {
            return broken(code::PROTOCOL_ERROR, "the server answers in HTTP/1");
        }
        loop {
            match Frame::split(bytes) {
                Ok(Some((frame, rest))) => {
                    self.frame(frame, now, ended)?;
                    bytes = rest;
                }
                Ok(None) => return Ok(bytes),
                Err(()) => return broken(code::FRAME_SIZE_ERROR, "the server sends a frame larger than was allowed"),
            }
        }
    }

    fn frame(&mut self, frame: Frame<'_>, now: u64, ended: &mut Vec<(u32, StreamEnd)>) -> Result<(), Broken> {
        if !self.peer.settled && frame.kind != kind::SETTINGS {
            return broken(code::PROTOCOL_ERROR, "the server does not begin with SETTINGS");
        }
        if self.unfinished.is_some() && frame.kind != kind::CONTINUATION {
            return broken(code::PROTOCOL_ERROR, "the server interrupts a header block");
        }
        let of_connection = matches!(frame.kind, kind::SETTINGS | kind::PING | kind::GOAWAY);
        let of_stream = matches!(frame.kind, kind::DATA | kind::HEADERS | kind::RST_STREAM | kind::CONTINUATION);
        let begun = frame.stream % 2 == 1 && frame.stream < self.next_number;
        if of_connection && frame.stream != 0 || of_stream && !begun {
            return broken(code::PROTOCOL_ERROR, "the server sends a frame on a stream that has none");
        }
        match frame.kind {
            kind::DATA => self.on_data(frame, ended)?,
            kind::HEADERS => {
                let Some(content) = frame.content() else { return broken(code::PROTOCOL_ERROR, "HEADERS are padded beyond their length") };
                let over = frame.has(flag::END_STREAM);
                match frame.has(flag::END_HEADERS) {
                    true => self.on_block(frame.stream, over, content, now, ended)?,
                    false => {
                        self.block_in.clear();
                        self.block_cost = content.len();
                        self.block_in.extend_from_slice(content);
                        self.unfinished = Some((frame.stream, over));
                    }
                }
            }
            kind::CONTINUATION => {
                let Some((stream, over)) = self.unfinished.filter(|(stream, _)| *stream == frame.stream) else {
                    return broken(code::PROTOCOL_ERROR, "the server goes on with a header block that it has not begun");
                };
                self.block_cost += frame.payload.len() + HEAD_BYTES;
                if self.block_cost > BLOCK_BYTES_MAX {
                    return broken(code::ENHANCE_YOUR_CALM, "the server sends a header block without end");
                }
                self.block_in.extend_from_slice(frame.payload);
                if frame.has(flag::END_HEADERS) {
                    self.unfinished = None;
                    let block = std::mem::take(&mut self.block_in);
                    let taken = self.on_block(stream, over, &block, now, ended);
                    self.block_in = block;
                    taken?;
                }
            }
            kind::RST_STREAM => {
                let Some(number) = frame.number() else { return broken(code::FRAME_SIZE_ERROR, "RST_STREAM has four bytes") };
                if let Some(slot) = self.slot(frame.stream) {
                    // Nothing more is sent on it, no reset either (section 5.4.2).
                    self.streams[slot as usize].unsent.clear();
                    self.streams[slot as usize].unsent_at = 0;
                    self.sending.retain(|sending| *sending != slot);
                    self.end(slot, StreamEnd::reset(number), ended);
                }
            }
            kind::SETTINGS => self.on_settings(frame)?,
            kind::PUSH_PROMISE => return broken(code::PROTOCOL_ERROR, "the server pushes, though it was told not to"),
            kind::PING => {
                if frame.payload.len() != 8 {
                    return broken(code::FRAME_SIZE_ERROR, "PING has eight bytes");
                }
                if !frame.has(flag::ACK) {
                    frames::put_head(&mut self.wire.out, 8, kind::PING, flag::ACK, 0);
                    self.wire.out.extend_from_slice(frame.payload);
                }
            }
            kind::GOAWAY => self.on_goaway(frame, ended)?,
            kind::WINDOW_UPDATE => self.on_window_update(frame, ended)?,
            // PRIORITY, and what is not known (section 4.1).
            _ => {}
        }
        if self.wire.waiting() > OUT_BYTES_MAX {
            return broken(code::ENHANCE_YOUR_CALM, "the server asks for more than it reads");
        }
        Ok(())
    }

    fn on_data(&mut self, frame: Frame<'_>, ended: &mut Vec<(u32, StreamEnd)>) -> Result<(), Broken> {
        let Some(data) = frame.content() else { return broken(code::PROTOCOL_ERROR, "DATA is padded beyond its length") };
        // Padding counts, and so does what nobody waits for any more (section 6.9.1).
        let length = frame.payload.len() as u32;
        self.owed += length;
        if self.owed >= CONNECTION_WINDOW_BYTES / 2 {
            frames::put_number(&mut self.wire.out, kind::WINDOW_UPDATE, 0, std::mem::take(&mut self.owed));
        }
        let Some(slot) = self.slot(frame.stream) else { return Ok(()) };
        let stream = &mut self.streams[slot as usize];
        match stream.phase {
            Phase::AwaitBody => stream.take(data),
            Phase::AwaitHead => return self.malformed(slot, "the server sends content before the head", ended),
            Phase::Vacant | Phase::Ended => return Ok(()),
        }
        if frame.has(flag::END_STREAM) {
            return self.answered(slot, ended);
        }
        stream.owed += length;
        if stream.owed >= STREAM_WINDOW_BYTES / 2 {
            frames::put_number(&mut self.wire.out, kind::WINDOW_UPDATE, frame.stream, std::mem::take(&mut stream.owed));
        }
        Ok(())
    }

    /// A whole header block. It is read whoever it is for: the table changes with it.
    fn on_block(&mut self, number: u32, over: bool, block: &[u8], now: u64, ended: &mut Vec<(u32, StreamEnd)>) -> Result<(), Broken> {
        let slot = self.slot(number).filter(|slot| self.streams[*slot as usize].under_way());
        let mut head = slot.map(|slot| &mut self.streams[slot as usize]).filter(|stream| stream.phase == Phase::AwaitHead);
        let read = self.decoder.decode(block, |name, value| {
            if let Some(stream) = &mut head {
                stream.field(name, value);
            }
        });
        if let Err(reason) = read {
            return broken(code::COMPRESSION_ERROR, reason.to_string());
        }
        match (slot, head) {
            (None, _) => Ok(()),
            (Some(slot), Some(stream)) => match stream.head_complete(now) {
                true if over && stream.phase == Phase::AwaitBody => self.answered(slot, ended),
                true if over => self.malformed(slot, "the server ends an answer after an interim head", ended),
                true => Ok(()),
                false => self.malformed(slot, "the server sends a head without a status", ended),
            },
            // Trailers, which nobody reads, end the answer.
            (Some(slot), None) if over => self.answered(slot, ended),
            (Some(slot), None) => self.malformed(slot, "the server sends a second head", ended),
        }
    }

    fn on_settings(&mut self, frame: Frame<'_>) -> Result<(), Broken> {
        self.peer.settled = true;
        if frame.has(flag::ACK) {
            return if frame.payload.is_empty() { Ok(()) } else { broken(code::FRAME_SIZE_ERROR, "an acknowledgement has no settings") };
        }
        let (settings, rest) = frame.payload.as_chunks::<6>();
        if !rest.is_empty() {
            return broken(code::FRAME_SIZE_ERROR, "a setting has six bytes");
        }
        for [a, b, value @ ..] in settings {
            let value = u32::from_be_bytes(*value);
            match u16::from_be_bytes([*a, *b]) {
                setting::HEADER_TABLE_SIZE => self.encoder.limit(value as usize),
                setting::MAX_CONCURRENT_STREAMS => self.peer.streams_max = value as usize,
                setting::INITIAL_WINDOW_SIZE if i64::from(value) > WINDOW_MAX => {
                    return broken(code::FLOW_CONTROL_ERROR, "the server allows more than a window holds");
                }
                setting::INITIAL_WINDOW_SIZE => {
                    // Also for the streams that are there (section 6.9.2).
                    let more = i64::from(value) - self.peer.window;
                    self.peer.window = i64::from(value);
                    self.streams.iter_mut().for_each(|stream| stream.window += more);
                }
                // Larger ones are not made use of.
                setting::MAX_FRAME_SIZE => self.peer.payload_bytes_max = PAYLOAD_BYTES_MAX.min((value as usize).max(1)),
                _ => {}
            }
        }
        frames::put_head(&mut self.wire.out, 0, kind::SETTINGS, flag::ACK, 0);
        Ok(())
    }

    fn on_goaway(&mut self, frame: Frame<'_>, ended: &mut Vec<(u32, StreamEnd)>) -> Result<(), Broken> {
        let Some(last) = frame.payload.first_chunk::<4>() else { return broken(code::FRAME_SIZE_ERROR, "GOAWAY has eight bytes") };
        let last = u32::from_be_bytes(*last) & !(1 << 31);
        self.last_answered = Some(self.last_answered.map_or(last, |before| before.min(last)));
        for slot in 0..self.streams.len() {
            if self.numbers[slot] > last {
                // It has not looked at these (section 6.8).
                let end = StreamEnd::Failed { reason: "the server ends the connection (GOAWAY)".to_string(), unprocessed: true };
                self.end(slot as u32, end, ended);
            }
        }
        Ok(())
    }

    fn on_window_update(&mut self, frame: Frame<'_>, ended: &mut Vec<(u32, StreamEnd)>) -> Result<(), Broken> {
        let Some(more) = frame.number() else { return broken(code::FRAME_SIZE_ERROR, "WINDOW_UPDATE has four bytes") };
        let more = i64::from(more & !(1 << 31));
        if frame.stream == 0 {
            self.window += more;
            if more == 0 || self.window > WINDOW_MAX {
                return broken(code::FLOW_CONTROL_ERROR, "the server widens a window by nothing, or beyond its bound");
            }
            return Ok(());
        }
        let Some(slot) = self.slot(frame.stream) else { return Ok(()) };
        let stream = &mut self.streams[slot as usize];
        stream.window += more;
        if more == 0 || stream.window > WINDOW_MAX {
            return self.malformed(slot, "the server widens a window by nothing, or beyond its bound", ended);
        }
        Ok(())
    }

    fn slot(&self, number: u32) -> Option<u32> {
        self.numbers.iter().position(|known| *known == number).map(|slot| slot as u32)
    }

    fn answered(&mut self, slot: u32, ended: &mut Vec<(u32, StreamEnd)>) -> Result<(), Broken> {
        let stream = &self.streams[slot as usize];
        let end = match stream.whole() {
            true => StreamEnd::Answered,
            false => StreamEnd::malformed("the answer is not as long as it says"),
        };
        self.end(slot, end, ended);
        Ok(())
    }

    /// The stream ends, the connection goes on (section 5.4.2).
    fn malformed(&mut self, slot: u32, reason: &str, ended: &mut Vec<(u32, StreamEnd)>) -> Result<(), Broken> {
        if self.streams[slot as usize].under_way() {
            frames::put_number(&mut self.wire.out, kind::RST_STREAM, self.numbers[slot as usize], code::PROTOCOL_ERROR);
        }
        self.end(slot, StreamEnd::malformed(reason), ended);
        Ok(())
    }

    fn end(&mut self, slot: u32, end: StreamEnd, ended: &mut Vec<(u32, StreamEnd)>) {
        let stream = &mut self.streams[slot as usize];
        if stream.under_way() {
            stream.phase = Phase::Ended;
            ended.push((slot, end));
        }
    }

    // === writing ===

    /// Frames of the bodies that the server takes now.
    fn put_bodies(&mut self) {
        for _ in 0..self.sending.len() {
            let Some(slot) = self.sending.pop_front() else { return };
            let (stream, number) = (&mut self.streams[slot as usize], self.numbers[slot as usize]);
            if !stream.under_way() {
                // Answered before it was heard out: the rest is of no use, and freeing the slot says so.
                self.sending.push_back(slot);
                continue;
            }
            while stream.unsent() > 0 && self.wire.waiting() < OUT_BYTES_FULL {
                let room = self.window.min(stream.window).max(0) as usize;
                let count = stream.unsent().min(room).min(self.peer.payload_bytes_max);
                if count == 0 {
                    break;
                }
                let last = count == stream.unsent();
                frames::put_head(&mut self.wire.out, count, kind::DATA, if last { flag::END_STREAM } else { 0 }, number);
                self.wire.out.extend_from_slice(&stream.unsent[stream.unsent_at..stream.unsent_at + count]);
                stream.unsent_at += count;
                stream.window -= count as i64;
                self.window -= count as i64;
            }
            if stream.unsent() > 0 {
                self.sending.push_back(slot);
            }
        }
    }
}

/// HEADERS, and CONTINUATION where the block is longer than one frame may be.
fn put_block(out: &mut Vec<u8>, number: u32, block: &[u8], over: bool, payload_bytes_max: usize) {
    let end_stream = if over { flag::END_STREAM } else { 0 };
    let (first, mut rest) = block.split_at(block.len().min(payload_bytes_max));
    let ends = |rest: &[u8]| if rest.is_empty() { flag::END_HEADERS } else { 0 };
    frames::put_head(out, first.len(), kind::HEADERS, end_stream | ends(rest), number);
    out.extend_from_slice(first);
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(rest.len().min(payload_bytes_max));
        frames::put_head(out, piece.len(), kind::CONTINUATION, ends(behind), number);
        out.extend_from_slice(piece);
        rest = behind;
    }
}

impl std::fmt::Debug for Multiplexed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Multiplexed").field("active", &self.active()).field("streams_max", &self.streams_max).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
