//! One socket of the proxy with its buffers, on a core's own loop.

use std::{future::Future, io, time::Duration};

use pumasi_mysqlwire::{Inbox, Outbox, Sequence};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::front::{WRITE_TIMEOUT, wire::Lost};

/// An answer is passed on in pieces of this size.
const FLUSH_BYTES: usize = 64 * 1024;

/// What an idle connection keeps allocated for its answers.
const KEEP_BYTES: usize = 4 * 1024;

/// A connection to a client or to a server.
#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    pub inbox: Inbox,
    pub outbox: Outbox,
    pub sequence: Sequence,
}

impl Link {
    /// Reads up to `room` bytes at a time.
    pub fn new(stream: TcpStream, payload_max: usize, room: usize) -> Link {
        Link { stream, inbox: Inbox::with_room(payload_max, room), outbox: Outbox::default(), sequence: Sequence::default() }
    }

    /// Reads what there is, at least one byte. Cancel safe.
    pub async fn fill(&mut self) -> Result<(), Lost> {
        match self.stream.read(self.inbox.space()).await {
            Ok(0) => Err(Lost::HungUp),
            Ok(count) => {
                self.inbox.filled(count);
                Ok(())
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => Err(Lost::HungUp),
            Err(error) => Err(Lost::Io(error)),
        }
    }

    /// Waits until [`Inbox::take`] has a payload to give. Cancel safe.
    pub async fn wait(&mut self) -> Result<(), Lost> {
        while !self.inbox.ready()? {
            self.fill().await?;
        }
        Ok(())
    }

    /// The next whole payload, copied out.
    pub async fn receive(&mut self) -> Result<Vec<u8>, Lost> {
        self.wait().await?;
        Ok(self.inbox.take(&mut self.sequence)?.expect("wait returned, so there is one").to_vec())
    }

    /// Adds one packet whose payload `write` appends.
    pub fn packet(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.outbox.packet(&mut self.sequence, write);
    }

    /// Sends what has piled up, if it is worth a system call.
    pub async fn flush_if_large(&mut self) -> Result<(), Lost> {
        if self.outbox.bytes().len() >= FLUSH_BYTES { self.flush().await } else { Ok(()) }
    }

    /// Errors: `TimedOut` if the other side does not take it.
    pub async fn flush(&mut self) -> Result<(), Lost> {
        if self.outbox.bytes().is_empty() {
            return Ok(());
        }
        in_time(WRITE_TIMEOUT, async { self.stream.write_all(self.outbox.bytes()).await.map_err(Lost::Io) }).await?;
        self.outbox.sent(KEEP_BYTES);
        Ok(())
    }

    /// Our end's port; 0 if the connection is gone.
    pub fn local_port(&self) -> u16 {
        self.stream.local_addr().map_or(0, |address| address.port())
    }

    /// False if the other side has hung up, or said something nobody asked for: a server that says goodbye before it closes.
    pub fn quiet(&self) -> bool {
        let nothing = matches!(self.stream.try_read(&mut [0; 1]), Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        nothing && self.inbox.pending() == 0
    }
}

/// `work`, but not longer than `patience`.
pub async fn in_time<T>(patience: Duration, work: impl Future<Output = Result<T, Lost>>) -> Result<T, Lost> {
    timeout(patience, work).await.unwrap_or(Err(Lost::TimedOut))
}
