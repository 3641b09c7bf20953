//! The socket as h2 wants it, with or without TLS. It never blocks.

use rustls::ClientConnection;
use std::{
    io::{self, Read, Write},
    net::TcpStream,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Shared with whoever asks how much has moved: h2 owns the wire.
#[derive(Debug, Default)]
pub struct Traffic {
    pub read: AtomicU64,
    pub written: AtomicU64,
    /// The last write was refused by the kernel.
    pub unsent: AtomicBool,
}

/// A socket that never blocks, with or without TLS. Pending stands for the kernel's "not now": the lane's epoll says when.
pub struct Wire {
    pub socket: Arc<TcpStream>,
    pub tls: Option<Box<ClientConnection>>,
    pub traffic: Arc<Traffic>,
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        let buffer = out.initialize_unfilled();
        let read = match &mut wire.tls {
            None => (&*wire.socket).read(buffer),
            Some(session) => read_session(session, &wire.socket, buffer),
        };
        match read {
            Ok(count) => {
                wire.traffic.read.fetch_add(count as u64, Relaxed);
                out.advance(count);
                Poll::Ready(Ok(()))
            }
            Err(error) if not_now(&error) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        let written = match &mut wire.tls {
            None => (&*wire.socket).write(bytes),
            // No further record before the last one is gone: the session would keep all of them.
            Some(session) => write_session(session, &wire.socket).and_then(|()| session.writer().write(bytes)),
        };
        wire.traffic.unsent.store(written.as_ref().is_err_and(not_now), Relaxed);
        match written {
            Ok(count) => {
                wire.traffic.written.fetch_add(count as u64, Relaxed);
                Poll::Ready(Ok(count))
            }
            Err(error) if not_now(&error) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        let Some(session) = &mut wire.tls else { return Poll::Ready(Ok(())) };
        match write_session(session, &wire.socket) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(error) if not_now(&error) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Closing the socket says the same.
        Poll::Ready(Ok(()))
    }
}

fn not_now(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

fn read_session(session: &mut ClientConnection, mut socket: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match session.reader().read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read,
        }
        session.read_tls(&mut socket)?;
        session.process_new_packets().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    }
}

/// Everything the session has to say; `WouldBlock` if the socket does not take all of it.
fn write_session(session: &mut ClientConnection, mut socket: &TcpStream) -> io::Result<()> {
    while session.wants_write() {
        session.write_tls(&mut socket)?;
    }
    Ok(())
}
