//! A socket that never blocks, with or without TLS, and what waits to be written to it.

use rustls::ClientConnection;
use std::{
    io::{self, Read, Write},
    net::TcpStream,
};

pub struct Wire {
    pub socket: TcpStream,
    pub tls: Option<Box<ClientConnection>>,
    /// What [`Wire::flush`] writes.
    pub out: Vec<u8>,
    out_at: usize,
    /// The socket did not take everything at the last flush.
    pub blocked: bool,
    /// Bytes so far, those of TLS's own left out.
    pub read: u64,
    pub written: u64,
}

impl Wire {
    pub fn new(socket: TcpStream, tls: Option<Box<ClientConnection>>, out: Vec<u8>) -> Wire {
        Wire { socket, tls, out, out_at: 0, blocked: false, read: 0, written: 0 }
    }

    /// Bytes that wait to be written.
    pub fn waiting(&self) -> usize {
        self.out.len() - self.out_at
    }

    /// 0 is the end.
    pub fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match &mut self.tls {
                None => (&self.socket).read(buffer),
                Some(session) => read_session(session, &self.socket, buffer),
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(count) => {
                    self.read += count as u64;
                    return Ok(count);
                }
                error => return error,
            }
        }
    }

    /// Writes as much as the socket takes.
    pub fn flush(&mut self) -> io::Result<()> {
        self.blocked = false;
        while self.waiting() > 0 || self.tls.as_ref().is_some_and(|session| session.wants_write()) {
            let waiting = &self.out[self.out_at..];
            let written = match &mut self.tls {
                None => (&self.socket).write(waiting),
                // No further record before the last one is gone: the session would keep all of them.
                Some(session) => write_session(session, &self.socket).and_then(|()| session.writer().write(waiting)),
            };
            match written {
                Ok(count) => {
                    self.out_at += count;
                    self.written += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = true;
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        if self.waiting() == 0 {
            self.out.clear();
            self.out_at = 0;
        }
        Ok(())
    }
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
