//! One request and its answer on a blocking connection: for `validate`, for probes and for the freshness check. Not for load.

use crate::{
    plan::Target,
    reply::{Expect, Progress, Reader},
};
use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::Duration,
};

/// A kept-alive connection.
#[derive(Debug)]
pub struct Client {
    target: Target,
    timeout: Duration,
    stream: Option<TcpStream>,
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

    fn connect(&self) -> io::Result<TcpStream> {
        let mut last = io::Error::other("the target has no address");
        for address in &self.target.addresses {
            match TcpStream::connect_timeout(address, self.timeout) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    stream.set_read_timeout(Some(self.timeout))?;
                    stream.set_write_timeout(Some(self.timeout))?;
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}
