//! Messages between the process that hands over and the one that takes over, each with at most one open file.
//!
//! A socket pair that keeps message boundaries (unix(7), SOCK_SEQPACKET). One end is the new process's standard input: what a process
//! finds there it was given by whoever started it, so nobody else can send it sockets.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
        SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
        sockopt::{Timeout, set_socket_timeout},
    },
};
use serde::{Serialize, de::DeserializeOwned};

/// One end.
#[derive(Debug)]
pub struct Channel(OwnedFd);

/// What [`Channel::receive`] found.
#[derive(Debug)]
pub enum Received<M> {
    Message(M, Option<OwnedFd>),
    /// Nothing within the time.
    Nothing,
    /// The other process has ended, or closed its end.
    Closed,
}

/// A message is a handful of short fields and a path.
const MESSAGE_BYTES_MAX: usize = 16 << 10;

/// How long the other side may leave the channel full. It reads at once or it is not what we took it for.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

impl Channel {
    /// Our end, and the one to be given away.
    pub fn pair() -> io::Result<(Channel, OwnedFd)> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Channel::of(ours)?, theirs))
    }

    /// Errors: `end` is no socket.
    pub fn of(end: OwnedFd) -> io::Result<Channel> {
        set_socket_timeout(&end, Timeout::Send, Some(SEND_TIMEOUT))?;
        Ok(Channel(end))
    }

    /// The same end once more, for another thread. Errors: no file descriptors are left.
    pub fn try_clone(&self) -> io::Result<Channel> {
        Ok(Channel(self.0.try_clone()?))
    }

    /// Errors: the other side is gone, or does not read.
    pub fn send(&self, message: &impl Serialize, file: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let bytes = serde_json::to_vec(message)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut attached = SendAncillaryBuffer::new(&mut space);
        let files: Vec<BorrowedFd<'_>> = file.into_iter().collect();
        if !files.is_empty() {
            attached.push(SendAncillaryMessage::ScmRights(&files));
        }
        sendmsg(&self.0, &[IoSlice::new(&bytes)], &mut attached, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Waits up to `patience`. Errors: what came is no message of this kind.
    pub fn receive<M: DeserializeOwned>(&self, patience: Duration) -> io::Result<Received<M>> {
        let timeout = Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: i64::from(patience.subsec_nanos()) };
        match poll(&mut [PollFd::from_borrowed_fd(self.0.as_fd(), PollFlags::IN)], Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(Received::Nothing),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let mut bytes = vec![0; MESSAGE_BYTES_MAX];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut attached = RecvAncillaryBuffer::new(&mut space);
        let length = match recvmsg(&self.0, &mut [IoSliceMut::new(&mut bytes)], &mut attached, RecvFlags::CMSG_CLOEXEC) {
            Ok(received) => received.bytes,
            Err(rustix::io::Errno::CONNRESET) => 0,
            Err(error) => return Err(error.into()),
        };
        if length == 0 {
            return Ok(Received::Closed);
        }
        let files = attached.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(files) => Some(files),
            _ => None,
        });
        let file = files.flatten().next();
        Ok(Received::Message(serde_json::from_slice(&bytes[..length])?, file))
    }
}

#[cfg(test)]
mod tests;
