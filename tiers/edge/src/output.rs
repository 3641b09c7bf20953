//! What is to be written to a socket.

use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::io::AsyncWrite;

use crate::core::Buffers;

/// Whoever produces waits while more than this is unsent: the bound on what a slow reader costs us.
pub(crate) const HIGH_WATER: usize = 64 << 10;

/// Bytes for one socket, in order. Holds a buffer only while there is something in it.
#[derive(Debug)]
pub(crate) struct Output {
    bytes: Vec<u8>,
    start: usize,
    buffers: Rc<Buffers>,
    /// Bytes the socket has taken, ever.
    pub sent_total: u64,
}

impl Output {
    pub fn new(buffers: Rc<Buffers>) -> Output {
        Output { bytes: Vec::new(), start: 0, buffers, sent_total: 0 }
    }

    /// Where to append.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes = self.buffers.take_output();
        }
        &mut self.bytes
    }

    pub fn unsent(&self) -> usize {
        self.bytes.len() - self.start
    }

    pub fn full(&self) -> bool {
        self.unsent() >= HIGH_WATER
    }

    /// Forgets what was not sent.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.start = 0;
    }

    /// Writes until everything is sent or the socket takes no more.
    pub fn poll_flush<S: AsyncWrite + Unpin>(&mut self, context: &mut Context<'_>, socket: &mut S) -> Poll<io::Result<()>> {
        while self.start < self.bytes.len() {
            let sent = ready!(Pin::new(&mut *socket).poll_write(context, &self.bytes[self.start..]))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.start += sent;
            self.sent_total += sent as u64;
        }
        if self.bytes.capacity() > 0 {
            self.start = 0;
            self.buffers.give_output(std::mem::take(&mut self.bytes));
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if self.bytes.capacity() > 0 {
            self.buffers.give_output(std::mem::take(&mut self.bytes));
        }
    }
}
