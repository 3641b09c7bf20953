//! One request and its answer on a blocking connection: for `validate`, for probes and for the freshness check. Not for load.

use crate::{
    plan::Target,
    reply::{Expect, Progress, Reader},
};
use rustls::{ClientConnection, StreamOwned};
use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::Duration,
};

/// A socket, or a TLS session over one.
#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    /// Shakes hands if the target has TLS.
    fn over(socket: TcpStream, target: &Target) -> io::Result<Stream> {
        let Some(tls) = &target.tls else { return Ok(Stream::Plain(socket)) };
        let session = ClientConnection::new(tls.config.clone(), tls.name.clone()).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(session, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Stream::Tls(Box::new(stream)))
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(buffer),
            Stream::Tls(session) => session.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.write(bytes),
            Stream::Tls(session) => session.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.flush(),
            Stream::Tls(session) => session.flush(),
        }
    }
}

/// A kept-alive connection.
#[derive(Debug)]
pub struct Client {
    target: Target,
    timeout: Duration,
    stream: Option<Stream>,
    pub reader: Reader,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects when first used. `timeout` bounds connecting and each read and write.
    pub fn new(target: &Target, timeout: Duration) -> Client {
        Client { target: target.clone(), timeout, stream: None, reader: Reader::default(), buffer: vec![0; 64 * 1024] }
    }

    /// Sends `request` and reads its answer into [`Client::reader`]; the body is kept. A connection that the server closed meanwhile is
    /// opened again, once, if `idempotent`.
    ///
    /// Errors: of the socket; `InvalidData` for what is not HTTP; `UnexpectedEof` for an answer that was cut off.
    pub fn exchange(&mut self, request: &[u8], no_body: bool, idempotent: bool) -> io::Result<()> {
        let reused = self.stream.is_some();
        match self.attempt(request, no_body) {
            Err(error) if reused && idempotent && error.kind() != io::ErrorKind::InvalidData => self.attempt(request, no_body),
            result => result,
        }
    }

    /// Connects and keeps the connection for the first exchange.
    pub fn reach(&mut self) -> io::Result<()> {
        self.stream = Some(self.connect()?);
        Ok(())
    }

    fn attempt(&mut self, request: &[u8], no_body: bool) -> io::Result<()> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.connect()?,
        };
        stream.write_all(request)?;
        stream.flush()?;
        self.reader.begin(Expect { no_body, keep_body: true });
        loop {
            let count = stream.read(&mut self.buffer)?;
            if count == 0 {
                return if self.reader.end() {
                    Ok(())
                } else {
                    Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answer was cut off"))
                };
            }
            match self.reader.feed(&self.buffer[..count]) {
                Progress::More => {}
                Progress::Done { used } => {
                    if used == count && self.reader.reusable() {
                        self.stream = Some(stream);
                    }
                    return Ok(());
                }
                Progress::Refused(reason) => return Err(io::Error::new(io::ErrorKind::InvalidData, reason)),
            }
        }
    }

    fn connect(&self) -> io::Result<Stream> {
        let mut last = io::Error::other("the target has no address");
        for address in &self.target.addresses {
            match TcpStream::connect_timeout(address, self.timeout) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    stream.set_read_timeout(Some(self.timeout))?;
                    stream.set_write_timeout(Some(self.timeout))?;
                    return Stream::over(stream, &self.target);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}
