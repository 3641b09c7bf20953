//! One request and its answer on a blocking connection: for `validate`, for probes and for the freshness check. Not for load.

use crate::{
    lane::{Multiplexed, StreamEnd, Unsendable},
    plan::Target,
    reply::{Answer, Expect, Progress, Reader},
};
use rustix::event::{PollFd, PollFlags};
use rustls::{ClientConnection, StreamOwned};
use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
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
    /// HTTP/1.1: what the last answer was.
    pub reader: Reader,
    buffer: Vec<u8>,
    /// HTTP/2: the connection and its last answer.
    multiplexed: Option<Box<Multiplexed>>,
    kept: Option<KeptAnswer>,
}

/// An HTTP/2 answer after its stream.
#[derive(Debug)]
struct KeptAnswer {
    status: u16,
    head: Vec<u8>,
    body: Vec<u8>,
    body_bytes: u64,
}

impl Client {
    /// Connects when first used. `timeout` bounds connecting and each read and write.
    pub fn new(target: &Target, timeout: Duration) -> Client {
        Client {
            target: target.clone(),
            timeout,
            stream: None,
            reader: Reader::default(),
            buffer: vec![0; 64 * 1024],
            multiplexed: None,
            kept: None,
        }
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

    /// The last answer, whatever protocol brought it.
    pub fn answer(&self) -> Answer<'_> {
        match &self.kept {
            Some(kept) => Answer { status: kept.status, head: &kept.head, body: &kept.body, body_bytes: kept.body_bytes },
            None => self.reader.answer(),
        }
    }

    /// As [`Client::exchange`], in the protocol that the target speaks; the answer is [`Client::answer`]'s.
    pub fn exchange_any(&mut self, request: &[u8], no_body: bool, idempotent: bool) -> io::Result<()> {
        if !self.target.http2 {
            return self.exchange(request, no_body, idempotent);
        }
        match self.exchange_http2(request, no_body) {
            Ok(kept) => {
                self.kept = Some(kept);
                Ok(())
            }
            Err(error) => {
                self.multiplexed = None;
                Err(error)
            }
        }
    }

    fn exchange_http2(&mut self, request: &[u8], no_body: bool) -> io::Result<KeptAnswer> {
        if self.multiplexed.is_none() {
            let (socket, tls) = match self.connect()? {
                Stream::Plain(socket) => (socket, None),
                Stream::Tls(session) => {
                    let (session, socket) = session.into_parts();
                    (socket, Some(Box::new(session)))
                }
            };
            socket.set_nonblocking(true)?;
            self.multiplexed = Some(Box::new(Multiplexed::begin(socket, tls, 1)?));
        }
        let multiplexed = self.multiplexed.as_mut().expect("opened above");
        let sent = multiplexed.send(0, request, None, Expect { no_body, keep_body: true, keep_head: true }, 1);
        sent.map_err(|unsendable| match unsendable {
            Unsendable::Anywhere => io::Error::new(io::ErrorKind::InvalidInput, "HTTP/2 cannot carry this request"),
            Unsendable::Here => io::Error::new(io::ErrorKind::ConnectionAborted, "the server has ended the connection"),
        })?;
        let deadline = Instant::now() + self.timeout;
        let mut ended = Vec::new();
        loop {
            let alive = multiplexed.turn(1, &mut ended);
            match ended.pop() {
                Some((stream, StreamEnd::Answered)) => {
                    let answer = multiplexed.answer(stream);
                    let kept = KeptAnswer {
                        status: answer.status,
                        head: answer.head.to_vec(),
                        body: answer.body.to_vec(),
                        body_bytes: answer.body_bytes,
                    };
                    multiplexed.free_slot(stream);
                    return Ok(kept);
                }
                Some((_, StreamEnd::Failed { reason, .. })) => return Err(io::Error::other(reason)),
                None if !alive => return Err(io::ErrorKind::UnexpectedEof.into()),
                None => {}
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "no complete answer in time"));
            }
            if !multiplexed.restless() {
                let timeout = rustix::event::Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
                let interest = if multiplexed.unsent() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
                match rustix::event::poll(&mut [PollFd::new(multiplexed.socket(), interest)], Some(&timeout)) {
                    Ok(_) | Err(rustix::io::Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
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
        self.reader.begin(Expect { no_body, keep_body: true, keep_head: true });
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
