//! What was read from a socket and is not consumed yet.

use std::{
    io,
    ops::Range,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, ReadBuf};

use crate::buffers::Buffers;

/// Bytes read ahead from one socket. Holds a buffer only while there is something in it: an idle connection costs none.
#[derive(Debug)]
pub(crate) struct Input {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    buffers: Rc<Buffers>,
    /// Bytes read, ever.
    pub read_total: u64,
}

impl Input {
    pub fn new(buffers: Rc<Buffers>) -> Input {
        Input { bytes: Vec::new(), start: 0, end: 0, buffers, read_total: 0 }
    }

    pub fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Marks the first `count` unread bytes as done with. They stay readable by [`Input::slice`] until the next fill.
    pub fn consume(&mut self, count: usize) {
        self.start += count;
        debug_assert!(self.start <= self.end);
    }

    /// Where a range within [`Input::unread`] lies, to be kept past [`Input::consume`].
    pub fn locate(&self, range: Range<usize>) -> Range<usize> {
        self.start + range.start..self.start + range.end
    }

    pub fn slice(&self, located: Range<usize>) -> &[u8] {
        &self.bytes[located]
    }

    /// Reads more. `Ok(0)` is the peer's end. At most `unread_max` bytes are kept unread; asking for more than that is a bug, because
    /// decoders refuse what does not fit their limits before.
    pub fn poll_fill<S: AsyncRead + Unpin>(&mut self, context: &mut Context<'_>, socket: &mut S) -> Poll<io::Result<usize>> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.bytes.is_empty() {
                self.bytes = self.buffers.take_input();
            }
        } else if self.end == self.bytes.len() {
            self.make_room();
        }
        let mut window = ReadBuf::new(&mut self.bytes[self.end..]);
        match Pin::new(socket).poll_read(context, &mut window) {
            Poll::Pending => {
                self.release_if_empty();
                Poll::Pending
            }
            Poll::Ready(result) => {
                let count = window.filled().len();
                self.end += count;
                self.read_total += count as u64;
                Poll::Ready(result.map(|()| count))
            }
        }
    }

    /// Gives the buffer back if nothing is in it.
    pub fn release_if_empty(&mut self) {
        if self.start == self.end && !self.bytes.is_empty() {
            (self.start, self.end) = (0, 0);
            self.buffers.give_input(std::mem::take(&mut self.bytes));
        }
    }

    fn make_room(&mut self) {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.bytes.len() {
            // A head larger than the usual buffer: grows up to the limit on heads, where the decoder refuses to go on.
            self.bytes.resize(self.bytes.len() * 2, 0);
        }
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.start = self.end;
        self.release_if_empty();
    }
}

/// Reads and drops up to `max` bytes, so that closing does not reset the connection under our last answer (RFC 9112 §9.6).
pub(crate) fn poll_discard<S: AsyncRead + Unpin>(
    context: &mut Context<'_>,
    socket: &mut S,
    buffers: &Buffers,
    left: &mut usize,
) -> Poll<()> {
    let mut scratch = buffers.take_input();
    let outcome = loop {
        let mut window = ReadBuf::new(&mut scratch);
        match Pin::new(&mut *socket).poll_read(context, &mut window) {
            Poll::Pending => break Poll::Pending,
            Poll::Ready(Err(_)) => break Poll::Ready(()),
            Poll::Ready(Ok(())) if window.filled().is_empty() || window.filled().len() >= *left => break Poll::Ready(()),
            Poll::Ready(Ok(())) => *left -= window.filled().len(),
        }
    };
    buffers.give_input(scratch);
    ready!(outcome);
    Poll::Ready(())
}
