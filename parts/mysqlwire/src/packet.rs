//! Packets: a length of three bytes, a sequence number, a payload. A payload of 16 MiB - 1 or more travels in several.
//!
//! Both ends of a connection count its packets together, from 0 at the start of each command ("Sequence ID").

use std::ops::Range;

use crate::WireError;

/// Bytes in front of each packet's payload.
pub const HEADER: usize = 4;

/// The longest payload one packet can carry. One of exactly this length is continued in the next packet, even if by nothing.
pub const FRAME_MAX: usize = 0xff_ffff;

/// What an inbox starts with and returns to after a large payload, unless said otherwise: a command of everyday size with room to spare.
const INBOX_BYTES: usize = 16 * 1024;

/// The four bytes in front of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub length: usize,
    pub sequence: u8,
}

impl Header {
    pub fn decode(bytes: [u8; HEADER]) -> Header {
        let [a, b, c, sequence] = bytes;
        Header { length: u32::from_le_bytes([a, b, c, 0]) as usize, sequence }
    }

    /// `length` is at most [`FRAME_MAX`].
    pub fn encode(self) -> [u8; HEADER] {
        let [a, b, c, _] = (self.length as u32).to_le_bytes();
        [a, b, c, self.sequence]
    }
}

/// The number the next packet of this exchange carries, whoever sends it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sequence {
    next: u8,
    /// Compressed connections count frames; what servers write into the packets inside is nobody's number.
    any: bool,
}

impl Sequence {
    /// From now on every number is taken.
    pub fn accept_any(&mut self) {
        self.any = true;
    }

    /// A new command begins.
    pub fn restart(&mut self) {
        self.next = 0;
    }

    /// The number of the packet that is about to be written. Wraps after 255.
    pub fn issue(&mut self) -> u8 {
        let now = self.next;
        self.next = now.wrapping_add(1);
        now
    }

    /// Numbers packets that are copied from another exchange: whole ones, back to back, or the beginning of one at the end.
    pub fn number(&mut self, packets: &mut [u8]) {
        let mut at = 0;
        while let Some(header) = packets.get_mut(at..at + HEADER) {
            header[HEADER - 1] = self.issue();
            let header: [u8; HEADER] = (&*header).try_into().expect("HEADER bytes");
            at += HEADER + Header::decode(header).length;
        }
    }

    /// Takes the number of a packet that was read.
    pub fn accept(&mut self, got: u8) -> Result<(), WireError> {
        if got != self.next && !self.any {
            return Err(WireError::Sequence { expected: self.next, got });
        }
        self.next = got.wrapping_add(1);
        Ok(())
    }
}

/// Bytes as they come from a socket, taken out as whole payloads.
///
/// Memory: what has arrived and was not yet taken, so at most `payload_max` plus one read. A header that announces 64 MiB costs
/// nothing until the bytes are there.
#[derive(Debug)]
pub struct Inbox {
    buffer: Vec<u8>,
    /// Not yet taken; within the buffer.
    held: Range<usize>,
    payload_max: usize,
    /// What the buffer starts with and returns to.
    room: usize,
}

impl Inbox {
    /// Refuses payloads longer than `payload_max` bytes (max_allowed_packet).
    pub fn new(payload_max: usize) -> Inbox {
        Inbox::with_room(payload_max, INBOX_BYTES)
    }

    /// As [`Inbox::new`], reading up to `room` bytes at a time (at least 1): little for connections that are many and idle, much for those
    /// that bring large answers.
    pub fn with_room(payload_max: usize, room: usize) -> Inbox {
        let room = room.max(1);
        Inbox { buffer: vec![0; room], held: 0..0, payload_max, room }
    }

    /// Another limit from the next payload on: what a stranger may send before it has logged in is less than what it may after.
    pub fn limit(&mut self, payload_max: usize) {
        self.payload_max = payload_max;
    }

    /// Room to read into, never empty. Follow with [`Inbox::filled`].
    pub fn space(&mut self) -> &mut [u8] {
        if self.held.is_empty() {
            self.held = 0..0;
            if self.buffer.len() > 4 * self.room {
                self.buffer = vec![0; self.room];
            }
        }
        if self.held.end == self.buffer.len() {
            if self.held.start >= self.buffer.len() / 2 {
                self.buffer.copy_within(self.held.clone(), 0);
                self.held = 0..self.held.len();
            } else {
                // Doubling: the cost of copying stays proportional to the bytes that really arrived.
                self.buffer.resize(self.buffer.len() * 2, 0);
            }
        }
        &mut self.buffer[self.held.end..]
    }

    /// The first `count` bytes of [`Inbox::space`] have been read. Panics if that is more than there was room for.
    pub fn filled(&mut self, count: usize) {
        assert!(count <= self.buffer.len() - self.held.end, "more bytes than there was room for");
        self.held.end += count;
    }

    /// Bytes that arrived and belong to no payload taken so far.
    pub fn pending(&self) -> usize {
        self.held.len()
    }

    /// Whether [`Inbox::take`] would give a payload. Errors: one over the limit is coming.
    pub fn ready(&self) -> Result<bool, WireError> {
        Ok(self.whole_payload()?.is_some())
    }

    /// The next whole payload, joined from its packets; `None` until more bytes have been read.
    /// Errors: a packet out of sequence, or a payload over the limit (known from the headers, before it has arrived).
    /// After an error the stream cannot be understood any more.
    pub fn take(&mut self, sequence: &mut Sequence) -> Result<Option<&[u8]>, WireError> {
        let Some(frames) = self.whole_payload()? else { return Ok(None) };
        let mut at = self.held.start;
        let payload = at + HEADER;
        let mut end = payload;
        for _ in 0..frames {
            let header = self.header_at(at).expect("counted by whole_payload");
            sequence.accept(header.sequence)?;
            let body = at + HEADER..at + HEADER + header.length;
            at = body.end;
            if body.start != end {
                self.buffer.copy_within(body.clone(), end);
            }
            end += body.len();
        }
        self.held.start = at;
        Ok(Some(&self.buffer[payload..end]))
    }

    /// The next packet as far as it is here, neither joined nor taken: for a proxy that forwards it as it is.
    pub fn peek(&self) -> Option<(Header, &[u8])> {
        let header = self.header_at(self.held.start)?;
        let body = self.held.start + HEADER;
        Some((header, &self.buffer[body..self.held.end.min(body + header.length)]))
    }

    /// Everything that is here, packets and parts of packets.
    pub fn raw(&self) -> &[u8] {
        &self.buffer[self.held.clone()]
    }

    /// The first `count` bytes of [`Inbox::raw`] have been dealt with. Panics if there are not as many.
    pub fn skip(&mut self, count: usize) {
        assert!(count <= self.held.len(), "more bytes than there are");
        self.held.start += count;
    }

    /// How many packets make up the next payload, once all of them are here.
    fn whole_payload(&self) -> Result<Option<usize>, WireError> {
        let (mut at, mut total, mut frames) = (self.held.start, 0, 0);
        loop {
            let Some(header) = self.header_at(at) else { return Ok(None) };
            total += header.length;
            if total > self.payload_max {
                return Err(WireError::TooLarge { max: self.payload_max });
            }
            at += HEADER + header.length;
            frames += 1;
            if header.length < FRAME_MAX {
                return Ok((at <= self.held.end).then_some(frames));
            }
        }
    }

    fn header_at(&self, at: usize) -> Option<Header> {
        let bytes = self.buffer[..self.held.end].get(at..at + HEADER)?;
        Some(Header::decode(bytes.try_into().expect("HEADER bytes")))
    }
}

/// Packets waiting to be sent, back to back, ready for one write.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
}

/// Where a packet begun with [`Outbox::begin`] starts.
#[derive(Debug)]
#[must_use = "a packet begun is ended or cancelled"]
pub struct Begun(usize);

impl Outbox {
    /// Starts a packet; its payload is what is written to [`Outbox::payload`] until [`Outbox::end`].
    pub fn begin(&mut self) -> Begun {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; HEADER]);
        Begun(at)
    }

    pub fn payload(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Numbers the packet begun, and splits it if it is too long for one.
    pub fn end(&mut self, begun: Begun, sequence: &mut Sequence) {
        let Begun(mut at) = begun;
        let mut rest = self.bytes.len() - at - HEADER;
        while rest >= FRAME_MAX {
            self.bytes[at..at + HEADER].copy_from_slice(&Header { length: FRAME_MAX, sequence: sequence.issue() }.encode());
            at += HEADER + FRAME_MAX;
            rest -= FRAME_MAX;
            // Moves what follows by four bytes: one copy per 16 MiB, on the one path that has so much to say.
            self.bytes.splice(at..at, [0; HEADER]);
        }
        self.bytes[at..at + HEADER].copy_from_slice(&Header { length: rest, sequence: sequence.issue() }.encode());
    }

    /// Forgets the packet begun, as if it had never been.
    pub fn cancel(&mut self, begun: Begun) {
        self.bytes.truncate(begun.0);
    }

    /// One packet whose payload `write` appends.
    pub fn packet(&mut self, sequence: &mut Sequence, write: impl FnOnce(&mut Vec<u8>)) {
        let begun = self.begin();
        write(&mut self.bytes);
        self.end(begun, sequence);
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes have been sent. Keeps the allocation unless it grew over `keep_max`.
    pub fn sent(&mut self, keep_max: usize) {
        self.bytes.clear();
        self.bytes.shrink_to(keep_max);
    }
}

#[cfg(test)]
mod tests;
