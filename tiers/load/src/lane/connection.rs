//! One socket of a lane and the request on it.

use crate::{
    plan::Target,
    reply::{Expect, Reader},
    tally::ErrorKind,
};
use rustix::{
    event::epoll,
    fd::{AsFd, OwnedFd},
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, sockopt},
};
use std::{io, net::SocketAddr};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Phase {
    /// No socket; the slot can be used again.
    Vacant,
    Opening,
    Idle,
    Busy,
}

#[derive(Debug)]
pub struct Connection {
    pub phase: Phase,
    /// Changes with every socket in this slot: events of the one before are recognised.
    pub serial: u32,
    socket: Option<OwnedFd>,
    pub reader: Reader,
    /// Busy: whose request. What it was when it was sent.
    pub journey: u32,
    pub journey_measured: bool,
    /// Busy: when the request was sent. Opening: when that began. Nanoseconds since the start.
    pub sent_ns: u64,
    /// 0 before the first byte of the answer.
    pub first_byte_ns: u64,
    /// Answers read on this socket.
    pub served: u64,
    /// What the socket did not take at once.
    rest: Vec<u8>,
    rest_at: usize,
}

#[derive(Debug)]
pub enum Received {
    Bytes {
        count: usize,
        /// The socket gave less than asked for, so it has no more now.
        drained: bool,
    },
    Nothing,
    End,
    Failed(io::Error),
}

impl Default for Connection {
    fn default() -> Connection {
        Connection {
            phase: Phase::Vacant,
            serial: 0,
            socket: None,
            reader: Reader::default(),
            journey: 0,
            journey_measured: false,
            sent_ns: 0,
            first_byte_ns: 0,
            served: 0,
            rest: Vec::new(),
            rest_at: 0,
        }
    }
}

impl Connection {
    /// Begins to connect. The slot stays vacant on an error.
    pub fn open(&mut self, epoll: &OwnedFd, slot: u32, address: SocketAddr, _target: &Target, now: u64) -> io::Result<()> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)?;
        // A request is one write; waiting for more of it (Nagle) would only add to the latency.
        sockopt::set_tcp_nodelay(&socket, true)?;
        self.serial = self.serial.wrapping_add(1);
        let data = epoll::EventData::new_u64(u64::from(self.serial) << 32 | u64::from(slot));
        match rustix::net::connect(&socket, &address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let interest = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        epoll::add(epoll, &socket, data, interest)?;
        self.socket = Some(socket);
        self.phase = Phase::Opening;
        self.sent_ns = now;
        self.served = 0;
        Ok(())
    }

    /// Something happened while opening. True when the connection can take a request.
    pub fn proceed(&mut self) -> Result<bool, (ErrorKind, String)> {
        let failed = |error: Errno| (ErrorKind::Connect, io::Error::from(error).to_string());
        match sockopt::socket_error(self.socket()).map_err(failed)? {
            Err(error) => Err(failed(error)),
            Ok(()) => match rustix::net::getpeername(self.socket()) {
                Ok(_) => Ok(true),
                Err(Errno::NOTCONN) => Ok(false),
                Err(error) => Err(failed(error)),
            },
        }
    }

    /// Sends a request. What the socket does not take now is kept for [`Connection::write_rest`].
    pub fn begin(&mut self, journey: u32, bytes: &[u8], expect: Expect, now: u64) -> io::Result<()> {
        self.journey = journey;
        self.sent_ns = now;
        self.first_byte_ns = 0;
        self.reader.begin(expect);
        let written = match rustix::io::write(self.socket(), bytes) {
            Ok(written) => written,
            Err(Errno::AGAIN | Errno::INTR) => 0,
            Err(error) => return Err(error.into()),
        };
        if written < bytes.len() {
            self.rest.clear();
            self.rest_at = 0;
            self.rest.extend_from_slice(&bytes[written..]);
            // Until the kernel says no: only then will it say when there is room again.
            return self.write_rest();
        }
        Ok(())
    }

    pub fn unsent(&self) -> bool {
        self.rest_at < self.rest.len()
    }

    pub fn write_rest(&mut self) -> io::Result<()> {
        while self.unsent() {
            match rustix::io::write(self.socket(), &self.rest[self.rest_at..]) {
                Ok(written) => self.rest_at += written,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    pub fn read(&mut self, buffer: &mut [u8]) -> Received {
        loop {
            return match rustix::io::read(self.socket(), &mut *buffer) {
                Ok(0) => Received::End,
                Ok(count) => Received::Bytes { count, drained: count < buffer.len() },
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => Received::Nothing,
                Err(error) => Received::Failed(error.into()),
            };
        }
    }

    /// Closes the socket; the slot is vacant.
    pub fn close(&mut self) {
        self.socket = None;
        self.phase = Phase::Vacant;
        self.rest.clear();
        self.rest_at = 0;
    }

    fn socket(&self) -> impl AsFd {
        self.socket.as_ref().expect("only vacant slots have no socket, and nobody writes to them").as_fd()
    }
}
