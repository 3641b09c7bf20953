//! One socket of a lane and the request on it, with or without TLS in between.

use super::multiplexed::Multiplexed;
use crate::{
    plan::{Plan, Target},
    reply::{Expect, Reader},
    tally::ErrorKind,
};
use rustix::{
    event::epoll,
    fd::OwnedFd,
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, sockopt},
};
use rustls::ClientConnection;
use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Phase {
    /// No socket; the slot can be used again.
    Vacant,
    /// Connecting, and then shaking hands where there is TLS.
    Opening,
    Idle,
    Busy,
}

#[derive(Debug)]
pub struct Connection {
    pub phase: Phase,
    /// Changes with every socket in this slot: events of the one before are recognised.
    pub serial: u32,
    socket: Option<TcpStream>,
    tls: Option<Box<ClientConnection>>,
    /// HTTP/2: the socket is in there, with all its requests. The phase is Busy for as long as it lives.
    pub multiplexed: Option<Box<Multiplexed>>,
    /// HTTP/2: is on the lane's list of connections with room.
    pub listed: bool,
    /// HTTP/2: has a turn coming.
    pub restless: bool,
    /// HTTP/2: takes no further request; ends with the last one on it.
    pub leaving: bool,
    /// Opening: TCP is done, what fails now is the handshake.
    connected: bool,
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
    /// What the socket did not take at once. With TLS the session keeps it.
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
            tls: None,
            multiplexed: None,
            listed: false,
            restless: false,
            leaving: false,
            connected: false,
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
    pub fn open(&mut self, epoll: &OwnedFd, slot: u32, address: SocketAddr, target: &Target, now: u64) -> io::Result<()> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)?;
        // A request is one write; waiting for more of it (Nagle) would only add to the latency.
        sockopt::set_tcp_nodelay(&socket, true)?;
        self.tls = match &target.tls {
            Some(tls) => {
                let session = ClientConnection::new(tls.config.clone(), tls.name.clone()).map_err(io::Error::other)?;
                Some(Box::new(session))
            }
            None => None,
        };
        self.serial = self.serial.wrapping_add(1);
        let data = epoll::EventData::new_u64(u64::from(self.serial) << 32 | u64::from(slot));
        match rustix::net::connect(&socket, &address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let interest = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        epoll::add(epoll, &socket, data, interest)?;
        self.socket = Some(TcpStream::from(socket));
        self.phase = Phase::Opening;
        self.connected = false;
        self.sent_ns = now;
        self.served = 0;
        Ok(())
    }

    /// Something happened while opening. True when the connection can take a request.
    pub fn proceed(&mut self, plan: &Plan) -> Result<bool, (ErrorKind, String)> {
        let kind = if self.connected { ErrorKind::Tls } else { ErrorKind::Connect };
        let failed = |error: Errno| (kind, io::Error::from(error).to_string());
        let socket = self.socket.as_ref().expect("an opening connection has a socket");
        sockopt::socket_error(socket).map_err(failed)?.map_err(failed)?;
        match rustix::net::getpeername(socket) {
            Ok(_) => self.connected = true,
            Err(Errno::NOTCONN) => return Ok(false),
            Err(error) => return Err(failed(error)),
        }
        let ready = match (&mut self.tls, socket) {
            (Some(session), mut socket) => shake_hands(session, &mut socket).map_err(|error| (ErrorKind::Tls, error.to_string()))?,
            (None, _) => true,
        };
        if ready && plan.target.http2 {
            let socket = self.socket.take().expect("it was there above");
            let begun = Multiplexed::begin(socket, self.tls.take(), plan.limits.streams_max);
            self.multiplexed = Some(Box::new(begun.map_err(|error| (ErrorKind::Protocol, error.to_string()))?));
            self.listed = false;
            self.leaving = false;
        }
        Ok(ready)
    }

    /// Sends a request. What the socket does not take now is kept for [`Connection::write_rest`].
    pub fn begin(&mut self, journey: u32, bytes: &[u8], expect: Expect, now: u64) -> io::Result<()> {
        self.journey = journey;
        self.sent_ns = now;
        self.first_byte_ns = 0;
        self.reader.begin(expect);
        if let Some(session) = &mut self.tls {
            session.writer().write_all(bytes)?;
            return self.write_rest();
        }
        let written = match self.socket().write(bytes) {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock || error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
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
        self.rest_at < self.rest.len() || self.tls.as_ref().is_some_and(|session| session.wants_write())
    }

    pub fn write_rest(&mut self) -> io::Result<()> {
        let mut socket = self.socket.as_ref().expect("only vacant slots have no socket");
        if let Some(session) = &mut self.tls {
            return write_session(session, &mut socket);
        }
        while self.rest_at < self.rest.len() {
            match socket.write(&self.rest[self.rest_at..]) {
                Ok(written) => self.rest_at += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub fn read(&mut self, buffer: &mut [u8]) -> Received {
        let mut socket = self.socket.as_ref().expect("only vacant slots have no socket");
        match &mut self.tls {
            Some(session) => read_session(session, &mut socket, buffer),
            None => received(loop_interrupted(|| socket.read(buffer)), buffer.len()),
        }
    }

    /// Closes the socket; the slot is vacant.
    pub fn close(&mut self) {
        self.socket = None;
        self.tls = None;
        self.multiplexed = None;
        self.phase = Phase::Vacant;
        self.rest.clear();
        self.rest_at = 0;
    }

    fn socket(&self) -> &TcpStream {
        self.socket.as_ref().expect("only vacant slots have no socket, and nobody writes to them")
    }
}

// === TLS ===

/// True when the handshake is over.
fn shake_hands(session: &mut ClientConnection, socket: &mut &TcpStream) -> io::Result<bool> {
    loop {
        write_session(session, socket)?;
        if !session.is_handshaking() {
            return Ok(true);
        }
        match loop_interrupted(|| session.read_tls(socket)) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection during the handshake")),
            Ok(_) => {
                if let Err(error) = session.process_new_packets() {
                    // The alert that says why goes to the server as well, if it still listens.
                    let _ = write_session(session, socket);
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

fn write_session(session: &mut ClientConnection, socket: &mut &TcpStream) -> io::Result<()> {
    while session.wants_write() {
        match loop_interrupted(|| session.write_tls(socket)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Decrypted bytes. Never says `drained`: what the session still holds can only be known by asking again.
fn read_session(session: &mut ClientConnection, socket: &mut &TcpStream, buffer: &mut [u8]) -> Received {
    loop {
        match session.reader().read(buffer) {
            Ok(0) => return Received::End,
            Ok(count) => return Received::Bytes { count, drained: false },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // Closed without the alert that TLS asks for: an answer that was to end with the connection may have been cut off.
            Err(error) => return Received::Failed(error),
        }
        match loop_interrupted(|| session.read_tls(socket)) {
            // The session knows whether that was a proper end.
            Ok(_) => {
                if let Err(error) = session.process_new_packets() {
                    return Received::Failed(io::Error::new(io::ErrorKind::InvalidData, error));
                }
                if let Err(error) = write_session(session, socket) {
                    return Received::Failed(error);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Received::Nothing,
            Err(error) => return Received::Failed(error),
        }
    }
}

// === helpers ===

fn received(result: io::Result<usize>, asked: usize) -> Received {
    match result {
        Ok(0) => Received::End,
        Ok(count) => Received::Bytes { count, drained: count < asked },
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Received::Nothing,
        Err(error) => Received::Failed(error),
    }
}

fn loop_interrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
