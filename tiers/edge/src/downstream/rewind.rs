//! A socket some of whose bytes were read already.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, ReadBuf};

use crate::read_through::{ReadThrough, Reading};

/// Gives what is ahead to be read first.
pub(crate) type Rewind<S> = ReadThrough<S, Ahead>;

pub(crate) struct Ahead(Bytes);

impl<S> Rewind<S> {
    pub fn new(ahead: &[u8], socket: S) -> Rewind<S> {
        ReadThrough { socket, reading: Ahead(Bytes::copy_from_slice(ahead)) }
    }

    /// Whether nothing stands between the socket and the bytes any more.
    pub fn bare(&self) -> bool {
        self.reading.0.is_empty()
    }
}

impl Reading for Ahead {
    fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        socket: &mut S,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Ahead(ahead) = self;
        if ahead.is_empty() {
            return Pin::new(socket).poll_read(context, into);
        }
        let count = ahead.len().min(into.remaining());
        into.put_slice(&ahead[..count]);
        ahead.advance(count);
        Poll::Ready(Ok(()))
    }
}
