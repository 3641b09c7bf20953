//! Frames that make us work and ask for nothing: a connection that sends too many of them for what it asks is ended.
//!
//! `h2` bounds what floods of frames can take of memory, and the number of CONTINUATION frames and of resets; of PING, SETTINGS, PRIORITY and
//! empty DATA (CVE-2019-9512, -9513, -9515, -9518) it answers or reads as many as come. Each is cheap, and each is a system call's worth of
//! frames for one of the client's. So the frames of a connection are counted as they are read, by their headers alone:
//!
//! ```text
//! credit = CREDIT_MAX at first, and never more
//!    - 1  for a PING, SETTINGS, PRIORITY, RST_STREAM or CONTINUATION, for an empty DATA that ends nothing, for a frame of no known type
//!    + 2  for a HEADERS: a request, and its being called off
//!    + 1  for a DATA with content, in either direction: clients measure the way by a PING beside each
//!    + REFILL_PER_S each second
//! ```
//! WINDOW_UPDATE counts as nothing: a client sends two for each DATA it gets, and nothing is sent back.

use std::{
    cell::Cell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, ReadBuf};

use crate::{
    read_through::{ReadThrough, Reading},
    timer::Timers,
};

/// Frames ahead of what a connection asks for.
const CREDIT_MAX: u32 = 1000;

/// And so many each second, on a connection that asks for nothing: keep-alives of any patience.
const REFILL_PER_S: u64 = 100;

/// What a connection may still send beside requests.
pub(super) struct Calm {
    credit: Cell<u32>,
    refilled_ms: Cell<u64>,
    spent: Cell<bool>,
}

impl Calm {
    pub fn new(now_ms: u64) -> Rc<Calm> {
        Rc::new(Calm { credit: Cell::new(CREDIT_MAX), refilled_ms: Cell::new(now_ms), spent: Cell::new(false) })
    }

    /// The client asked for something, or takes part in its being done.
    pub fn earn(&self, frames: u32) {
        self.credit.set((self.credit.get() + frames).min(CREDIT_MAX));
    }

    /// It sent more than it may: nothing of the connection is read any more, and it is to be told and ended.
    pub fn spent(&self) -> bool {
        self.spent.get()
    }

    fn pay(&self, now_ms: u64) {
        match self.credit.get() {
            0 => {
                let waited_ms = now_ms.saturating_sub(self.refilled_ms.replace(now_ms));
                let refill = (waited_ms * REFILL_PER_S / 1000).min(u64::from(CREDIT_MAX)) as u32;
                self.credit.set(refill.saturating_sub(1));
                self.spent.set(refill == 0);
            }
            credit => self.credit.set(credit - 1),
        }
    }

    fn count(&self, header: [u8; FRAME_HEADER], now_ms: u64) {
        let (empty, kind, flags) = (header[..3] == [0; 3], header[3], header[4]);
        match kind {
            DATA if empty && flags & END_STREAM == 0 => self.pay(now_ms),
            DATA => self.earn(1),
            HEADERS => self.earn(2),
            WINDOW_UPDATE => {}
            _ => self.pay(now_ms),
        }
    }
}

/// A connection's socket, whose frames are counted on their way in.
pub(super) type Counted<S> = ReadThrough<S, Counting>;

/// Where in the frames the reading is.
pub(super) struct Counting {
    calm: Rc<Calm>,
    /// For their clock.
    timers: Rc<Timers>,
    /// Of the frame whose header is being read.
    header: [u8; FRAME_HEADER],
    header_read: usize,
    /// Bytes until the next header.
    payload_left: usize,
}

impl<S> Counted<S> {
    /// `socket` begins with the client's preface.
    pub fn new(socket: S, calm: Rc<Calm>, timers: Rc<Timers>) -> Counted<S> {
        ReadThrough { socket, reading: Counting { calm, timers, header: [0; FRAME_HEADER], header_read: 0, payload_left: PREFACE } }
    }
}

impl Counting {
    fn see(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let skipped = self.payload_left.min(bytes.len());
            self.payload_left -= skipped;
            bytes = &bytes[skipped..];
            let taken = (FRAME_HEADER - self.header_read).min(bytes.len());
            self.header[self.header_read..self.header_read + taken].copy_from_slice(&bytes[..taken]);
            self.header_read += taken;
            bytes = &bytes[taken..];
            if self.header_read == FRAME_HEADER {
                self.header_read = 0;
                self.payload_left = u32::from_be_bytes([0, self.header[0], self.header[1], self.header[2]]) as usize;
                self.calm.count(self.header, self.timers.now_ms());
            }
        }
    }
}

impl Reading for Counting {
    fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        socket: &mut S,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.calm.spent() {
            // Whoever polls looks at `spent` when nothing comes, and nothing will: no wake-up is needed but this one.
            return Poll::Pending;
        }
        let before = into.filled().len();
        let read = Pin::new(socket).poll_read(context, into);
        self.see(&into.filled()[before..]);
        read
    }
}

// === helpers ===

/// RFC 9113 §3.4, §4.1, §6, §11.
const PREFACE: usize = 24;
const FRAME_HEADER: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;

#[cfg(test)]
mod tests;
