//! What is to be written to a socket.

use std::{
    io::{self, IoSlice},
    ops::Range,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

use crate::buffers::Buffers;

/// Whoever produces waits while more than this is unsent: the bound on what a slow reader costs us.
pub(crate) const HIGH_WATER: usize = 64 << 10;

/// Shared content smaller than this is copied behind what is there: one write of one piece is cheaper than one of two.
const SHARE_MIN: usize = 4 << 10;

/// Bytes for one socket, in order. Holds a buffer only while there is something in it.
#[derive(Debug)]
pub(crate) struct Output {
    bytes: Vec<u8>,
    start: usize,
    /// Goes out behind `bytes`, without having been copied there.
    shared: Bytes,
    /// The socket took everything but may keep some of it (TLS records) until it is flushed.
    unflushed: bool,
    buffers: Rc<Buffers>,
    /// Bytes the socket has taken, ever.
    pub sent_total: u64,
}

impl Output {
    pub fn new(buffers: Rc<Buffers>) -> Output {
        Output { bytes: Vec::new(), start: 0, shared: Bytes::new(), unflushed: false, buffers, sent_total: 0 }
    }

    /// Where to append.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes = self.buffers.take_output();
        }
        // What comes now comes behind what is shared.
        if !self.shared.is_empty() {
            self.bytes.extend_from_slice(&std::mem::take(&mut self.shared));
        }
        &mut self.bytes
    }

    /// Appends bytes that others hold too. Costs no memory of the connection's, however many they are.
    pub fn share(&mut self, data: &Bytes, range: Range<usize>) {
        match range.len() < SHARE_MIN || !self.shared.is_empty() {
            true => self.buffer().extend_from_slice(&data[range]),
            false => self.shared = data.slice(range),
        }
    }

    /// What the socket keeps back counts as one byte: enough to be flushed again.
    pub fn unsent(&self) -> usize {
        self.unwritten() + usize::from(self.unflushed)
    }

    pub fn full(&self) -> bool {
        self.unsent() >= HIGH_WATER
    }

    /// Forgets what was not sent.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.shared.clear();
        self.unflushed = false;
        self.start = 0;
    }

    /// Writes until everything is sent or the socket takes no more.
    pub fn poll_flush<S: AsyncWrite + Unpin>(&mut self, context: &mut Context<'_>, socket: &mut S) -> Poll<io::Result<()>> {
        while self.unwritten() > 0 {
            let own = &self.bytes[self.start..];
            let writing = match self.shared.is_empty() {
                true => Pin::new(&mut *socket).poll_write(context, own),
                false => Pin::new(&mut *socket).poll_write_vectored(context, &[IoSlice::new(own), IoSlice::new(&self.shared)]),
            };
            let sent = ready!(writing)?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_own = sent.min(own.len());
            self.unflushed = true;
            self.start += of_own;
            self.shared.advance(sent - of_own);
            self.sent_total += sent as u64;
        }
        ready!(Pin::new(socket).poll_flush(context))?;
        self.unflushed = false;
        if self.bytes.capacity() > 0 {
            self.start = 0;
            self.buffers.give_output(std::mem::take(&mut self.bytes));
        }
        Poll::Ready(Ok(()))
    }

    fn unwritten(&self) -> usize {
        self.bytes.len() - self.start + self.shared.len()
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if self.bytes.capacity() > 0 {
            self.buffers.give_output(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests;
