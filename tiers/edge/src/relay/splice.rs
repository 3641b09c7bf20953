//! Moving bytes from socket to socket inside the kernel, through a pipe (splice(2)): they are not copied to us and back.
//!
//! Worth it only for bulk: a pipe costs two descriptors and up to 64 KiB of the kernel's memory, so it is held only while bytes are in
//! it or more are known to come.

use std::{
    cell::RefCell,
    io,
    os::fd::OwnedFd,
    task::{Context, Poll, ready},
};

use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};
use tokio::{io::Interest, net::TcpStream};

/// Bytes moved at once: what a pipe holds unless it is told otherwise (pipe(7)).
pub(crate) const PIPE_BYTES: usize = 64 << 10;

/// Empty pipes kept for later, per core.
const FREE_MAX: usize = 64;

/// Free pipes of one core.
#[derive(Debug, Default)]
pub(crate) struct Pipes(RefCell<Vec<Pipe>>);

impl Pipes {
    /// `None` where the system gives no more: then bytes are copied, as always before.
    pub fn take(&self) -> Option<Pipe> {
        let free = self.0.borrow_mut().pop();
        free.or_else(|| {
            let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
            Some(Pipe { read, write, holds: 0 })
        })
    }

    /// Keeps `pipe` if it is empty: what is left in one belongs to a connection that broke.
    pub fn give(&self, pipe: Pipe) {
        let mut free = self.0.borrow_mut();
        if pipe.holds == 0 && free.len() < FREE_MAX {
            free.push(pipe);
        }
    }
}

/// A pipe, and how many bytes are in it.
#[derive(Debug)]
pub(crate) struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    pub holds: usize,
}

impl Pipe {
    /// Moves what has arrived at `from` into the empty pipe. `Ok(0)`: the other side has ended.
    ///
    /// Errors: `Unsupported` where this kernel or kind of socket cannot do it; nothing was moved.
    pub fn poll_fill(&mut self, context: &mut Context<'_>, from: &TcpStream) -> Poll<io::Result<usize>> {
        loop {
            ready!(from.poll_read_ready(context))?;
            // An empty pipe has room, so that it would block only for the socket's sake.
            match from.try_io(Interest::READABLE, || self.splice(from, Way::In, PIPE_BYTES)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
                moved => {
                    self.holds = *moved.as_ref().unwrap_or(&0);
                    return Poll::Ready(moved);
                }
            }
        }
    }

    /// Moves what is in the pipe to `to`, as much as it takes.
    pub fn poll_empty(&mut self, context: &mut Context<'_>, to: &TcpStream) -> Poll<io::Result<usize>> {
        loop {
            ready!(to.poll_write_ready(context))?;
            match to.try_io(Interest::WRITABLE, || self.splice(to, Way::Out, self.holds)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                moved => {
                    self.holds -= moved.as_ref().unwrap_or(&0);
                    return Poll::Ready(moved);
                }
            }
        }
    }

    fn splice(&self, socket: &TcpStream, way: Way, bytes: usize) -> io::Result<usize> {
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        let moved = match way {
            Way::In => splice(socket, None, &self.write, None, bytes, flags),
            Way::Out => splice(&self.read, None, socket, None, bytes, flags),
        };
        Ok(moved?)
    }
}

#[derive(Clone, Copy)]
enum Way {
    In,
    Out,
}

#[cfg(test)]
mod tests;
