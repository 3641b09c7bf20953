//! One socket of the proxy with its buffers, on a core's own loop.

use std::{
    future::Future,
    io,
    os::fd::AsFd,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use pumasi_mysqlwire::{Compressor, HEADER, Inbox, Outbox, Sequence};
use rustls::{ClientConfig, ServerConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use crate::front::{WRITE_TIMEOUT, wire::Lost};

/// An answer is passed on in pieces of this size.
const FLUSH_BYTES: usize = 64 * 1024;

/// What an idle connection keeps allocated for its answers.
const KEEP_BYTES: usize = 4 * 1024;

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// A handshake failed half-way.
    Gone,
}

#[derive(Debug, Default)]
struct Compression {
    compressor: Compressor,
    /// Taken out of frames, on its way into the inbox.
    plain: Vec<u8>,
    /// In frames, on its way out.
    frames: Vec<u8>,
}

/// A connection to a client or to a server.
#[derive(Debug)]
pub struct Link {
    stream: Stream,
    /// Our end's; asked for once, because it is wanted with each statement that may write.
    port: u16,
    /// From the login on, if both ends want it.
    compression: Option<Box<Compression>>,
    pub inbox: Inbox,
    pub outbox: Outbox,
    pub sequence: Sequence,
}

impl Link {
    /// Reads up to `room` bytes at a time.
    pub fn new(stream: TcpStream, payload_max: usize, room: usize) -> Link {
        Link {
            port: stream.local_addr().map_or(0, |address| address.port()),
            stream: Stream::Plain(stream),
            compression: None,
            inbox: Inbox::with_room(payload_max, room),
            outbox: Outbox::default(),
            sequence: Sequence::default(),
        }
    }

    // === from plain to encrypted and compressed ===

    /// The client has asked for TLS and nothing else. Errors: it has sent something behind that, which would be taken for the encrypted
    /// beginning; or it does not agree.
    pub async fn accept_tls(&mut self, config: &Arc<ServerConfig>) -> Result<(), Lost> {
        let stream = self.bare()?;
        let stream = TlsAcceptor::from(config.clone()).accept(stream).await.map_err(Lost::Io)?;
        self.stream = Stream::Tls(Box::new(stream.into()));
        Ok(())
    }

    /// As [`Link::accept_tls`], on the asking side.
    pub async fn connect_tls(&mut self, config: &Arc<ClientConfig>, name: ServerName<'static>) -> Result<(), Lost> {
        let stream = self.bare()?;
        let stream = TlsConnector::from(config.clone()).connect(name, stream).await.map_err(Lost::Io)?;
        self.stream = Stream::Tls(Box::new(stream.into()));
        Ok(())
    }

    fn bare(&mut self) -> Result<TcpStream, Lost> {
        if self.inbox.pending() > 0 {
            return Err(Lost::Wire(pumasi_mysqlwire::WireError::Malformed(
                "beginning, which has more in front of TLS than belongs there,",
            )));
        }
        match std::mem::replace(&mut self.stream, Stream::Gone) {
            Stream::Plain(stream) => Ok(stream),
            _ => Err(Lost::HungUp),
        }
    }

    pub fn encrypted(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }

    /// What follows is compressed, both ways.
    pub fn compress(&mut self) {
        self.compression = Some(Box::default());
        self.sequence.accept_any();
    }

    /// A command of ours begins.
    pub fn restart(&mut self) {
        self.sequence.restart();
        if let Some(compression) = &mut self.compression {
            compression.compressor.restart();
        }
    }

    // === reading and writing ===

    /// Reads what there is, at least one byte. Cancel safe.
    pub async fn fill(&mut self) -> Result<(), Lost> {
        let Some(compression) = &mut self.compression else {
            let read = self.stream.read(self.inbox.space()).await;
            return self.filled(read);
        };
        loop {
            if compression.compressor.take(&mut compression.plain)? {
                let mut rest = compression.plain.as_slice();
                while !rest.is_empty() {
                    let space = self.inbox.space();
                    let count = space.len().min(rest.len());
                    space[..count].copy_from_slice(&rest[..count]);
                    self.inbox.filled(count);
                    rest = &rest[count..];
                }
                compression.plain.clear();
                compression.plain.shrink_to(KEEP_BYTES);
                return Ok(());
            }
            let arriving = compression.compressor.arriving();
            arriving.reserve(KEEP_BYTES);
            match self.stream.read_buf(arriving).await {
                Ok(0) => return Err(Lost::HungUp),
                Ok(_) => {}
                Err(error) => return Err(lost(error)),
            }
        }
    }

    fn filled(&mut self, read: io::Result<usize>) -> Result<(), Lost> {
        match read {
            Ok(0) => Err(Lost::HungUp),
            Ok(count) => {
                self.inbox.filled(count);
                Ok(())
            }
            Err(error) => Err(lost(error)),
        }
    }

    /// As [`Link::receive`], taking nothing from the socket that is behind the payload: a client may begin its TLS without waiting for us.
    pub async fn receive_alone(&mut self) -> Result<Vec<u8>, Lost> {
        while !self.inbox.ready()? {
            let missing = self.inbox.peek().map_or(HEADER - self.inbox.pending(), |(header, here)| header.length - here.len());
            let space = self.inbox.space();
            let count = missing.min(space.len());
            let read = self.stream.read(&mut space[..count]).await;
            self.filled(read)?;
        }
        self.receive().await
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
        if self.large() { self.flush().await } else { Ok(()) }
    }

    /// Whether what has piled up is worth a system call.
    pub fn large(&self) -> bool {
        self.outbox.bytes().len() >= FLUSH_BYTES
    }

    /// Errors: `TimedOut` if the other side does not take it.
    pub async fn flush(&mut self) -> Result<(), Lost> {
        if self.outbox.bytes().is_empty() {
            return Ok(());
        }
        let mut bytes = self.outbox.bytes();
        if let Some(compression) = &mut self.compression {
            compression.frames.clear();
            compression.frames.shrink_to(KEEP_BYTES);
            compression.compressor.put(bytes, &mut compression.frames);
            bytes = &compression.frames;
        }
        let stream = &mut self.stream;
        // Mostly the socket takes it as it is, and nobody need be waited for.
        if let Stream::Plain(socket) = stream {
            match socket.try_write(bytes) {
                Ok(count) if count == bytes.len() => {
                    self.outbox.sent(KEEP_BYTES);
                    return Ok(());
                }
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(Lost::Io(error)),
            }
        }
        let write = async {
            stream.write_all(bytes).await.map_err(Lost::Io)?;
            // TLS keeps what the socket did not take.
            if let Stream::Tls(stream) = stream { stream.flush().await.map_err(Lost::Io) } else { Ok(()) }
        };
        in_time(WRITE_TIMEOUT, write).await?;
        self.outbox.sent(KEEP_BYTES);
        Ok(())
    }

    /// Our end's port; 0 if the connection was gone before it was used.
    pub fn local_port(&self) -> u16 {
        self.port
    }

    /// False if the other side has hung up, or said something nobody asked for: a server that says goodbye before it closes. As far as this
    /// core's loop has heard: no system call, as long as it has heard nothing.
    pub fn quiet(&self) -> bool {
        let Some(socket) = self.stream.socket() else { return false };
        let mut context = Context::from_waker(Waker::noop());
        if self.inbox.pending() == 0
            && self.compression.is_none()
            && matches!(self.stream, Stream::Plain(_))
            && socket.poll_read_ready(&mut context).is_pending()
        {
            return true;
        }
        // Looked at, not taken: within TLS it would be missing.
        let peeked = rustix::net::recv(socket.as_fd(), &mut [0; 1], rustix::net::RecvFlags::PEEK | rustix::net::RecvFlags::DONTWAIT);
        let nothing = matches!(peeked, Err(rustix::io::Errno::WOULDBLOCK));
        nothing && self.inbox.pending() == 0 && self.compression.as_ref().is_none_or(|compression| compression.compressor.idle())
    }
}

fn lost(error: io::Error) -> Lost {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Lost::HungUp,
        _ => Lost::Io(error),
    }
}

impl Stream {
    fn socket(&self) -> Option<&TcpStream> {
        match self {
            Stream::Plain(socket) => Some(socket),
            Stream::Tls(stream) => Some(stream.get_ref().0),
            Stream::Gone => None,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Gone => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Gone => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
            Stream::Gone => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Gone => Poll::Ready(Ok(())),
        }
    }
}

/// `work`, but not longer than `patience`.
pub async fn in_time<T>(patience: Duration, work: impl Future<Output = Result<T, Lost>>) -> Result<T, Lost> {
    timeout(patience, work).await.unwrap_or(Err(Lost::TimedOut))
}
