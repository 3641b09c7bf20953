//! HTTP/2: many requests on one connection. The frames are h2's; its futures are polled by the lane's own loop, without a runtime.
//!
//! A turn lets h2 read and write what the socket gives and takes, then looks at the streams it woke. Wake-ups of the connection itself
//! are not listened to: whoever does something with it gives it a turn afterwards.

use super::translate::Translated;
use crate::{
    plan::Target,
    reply::{Answer, BODY_KEPT_MAX, Expect},
};
use bytes::Bytes;
use h2::{
    RecvStream,
    client::{Builder, Connection, ResponseFuture, SendRequest},
};
use rustls::ClientConnection;
use std::{
    future::Future,
    io::{self, Read, Write},
    net::TcpStream,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, Wake, Waker},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a server may send ahead on one stream and on one connection: enough that a generator never holds an answer up.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// A connection that speaks HTTP/2.
pub struct Multiplexed {
    connection: Connection<Wire, Bytes>,
    sender: SendRequest<Bytes>,
    streams: Vec<Stream>,
    vacant: Vec<u32>,
    streams_max: usize,
    woken: Arc<Woken>,
    /// The same socket that h2 has, to wait for.
    socket: Arc<TcpStream>,
    traffic: Arc<Traffic>,
    /// Bytes that have been told by [`Multiplexed::moved`].
    told: (u64, u64),
}

/// One request on its way. Slots are used again and keep their memory.
struct Stream {
    phase: Phase,
    waker: Waker,
    pub journey: u32,
    sent_ns: u64,
    first_byte_ns: u64,
    expect: Expect,
    status: u16,
    head: Vec<u8>,
    body: Vec<u8>,
    body_bytes: u64,
}

/// ```text
/// Vacant --begin--> AwaitHead --head--> AwaitBody --last byte--> AwaitTrailers --end--> Complete --free--> Vacant
/// ```
enum Phase {
    Vacant,
    AwaitHead(ResponseFuture),
    AwaitBody(RecvStream),
    AwaitTrailers(RecvStream),
    Complete,
}

/// What became of a stream in a turn.
#[derive(Debug)]
pub enum StreamEnd {
    Answered,
    /// `unprocessed`: the server says that it has not looked at the request (RFC 9113 section 8.7), so it may be sent again.
    Failed {
        reason: String,
        unprocessed: bool,
    },
}

/// When a stream's request was sent and its answer began, and whose it is.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    pub journey: u32,
    pub sent_ns: u64,
    pub first_byte_ns: u64,
}

impl Multiplexed {
    /// Sends the preface on a connected socket (RFC 9113 section 3.4). At most `streams_max` requests at once, fewer if the server says so.
    ///
    /// Errors: the socket failed; the server did not choose h2 in the TLS handshake.
    pub fn begin(socket: TcpStream, tls: Option<Box<ClientConnection>>, streams_max: usize) -> io::Result<Multiplexed> {
        if tls.as_ref().is_some_and(|session| session.alpn_protocol() != Some(b"h2")) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the server does not offer HTTP/2 (no h2 by ALPN)"));
        }
        let traffic = Arc::new(Traffic::default());
        let socket = Arc::new(socket);
        let wire = Wire { socket: Arc::clone(&socket), tls, traffic: Arc::clone(&traffic) };
        let mut builder = Builder::new();
        builder
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .initial_max_send_streams(streams_max)
            .enable_push(false);
        let mut context = Context::from_waker(Waker::noop());
        let mut handshake = std::pin::pin!(builder.handshake::<_, Bytes>(wire));
        match handshake.as_mut().poll(&mut context) {
            Poll::Ready(Ok((sender, connection))) => Ok(Multiplexed {
                connection,
                sender,
                streams: Vec::new(),
                vacant: Vec::new(),
                streams_max,
                woken: Arc::default(),
                socket,
                traffic,
                told: (0, 0),
            }),
            Poll::Ready(Err(error)) => Err(io::Error::other(error)),
            Poll::Pending => Err(io::Error::other("a new socket did not take the 24 bytes of the HTTP/2 preface")),
        }
    }

    pub fn active(&self) -> usize {
        self.streams.len() - self.vacant.len()
    }

    /// Requests that may be begun now.
    pub fn free(&self) -> usize {
        self.streams_max.min(self.sender.current_max_send_streams()).saturating_sub(self.active())
    }

    /// Begins a request; the next turn sends it. The error says why this connection takes no more.
    pub fn send(&mut self, journey: u32, translated: &Translated, expect: Expect, now: u64) -> Result<(), String> {
        let mut context = Context::from_waker(Waker::noop());
        match self.sender.poll_ready(&mut context) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Err(error.to_string()),
            Poll::Pending => return Err("the server allows no further stream".to_string()),
        }
        let slot = self.vacant.pop().unwrap_or_else(|| {
            let number = self.streams.len() as u32;
            self.streams.push(Stream::new(Waker::from(Arc::new(StreamWaker { number, woken: Arc::clone(&self.woken) }))));
            number
        });
        let body = translated.body.clone();
        let sent = self.sender.send_request(translated.request.clone(), body.is_empty());
        let sent = sent.and_then(|(answer, mut content)| {
            if !body.is_empty() {
                // What the peer's window does not take yet is kept by h2: one body, whose size the scenario chose.
                content.send_data(body, true)?;
            }
            Ok(answer)
        });
        match sent {
            Ok(answer) => {
                self.streams[slot as usize].begin(answer, journey, expect, now);
                // Its first poll leaves the waker behind.
                self.woken.push(slot);
                Ok(())
            }
            Err(error) => {
                self.vacant.push(slot);
                Err(error.to_string())
            }
        }
    }

    /// Reads and writes what can be, and appends the streams that ended. True while the connection lives; when it does not, every
    /// stream has ended. `now` is in nanoseconds since the start of the run.
    pub fn turn(&mut self, now: u64, ended: &mut Vec<(u32, StreamEnd)>) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        let over = Pin::new(&mut self.connection).poll(&mut context);
        for slot in self.woken.take() {
            let stream = &mut self.streams[slot as usize];
            if let Poll::Ready(end) = stream.poll(now) {
                ended.push((slot, end));
            }
        }
        let Poll::Ready(over) = over else { return true };
        let reason = over.err().map_or("the server closed the connection".to_string(), |error| error.to_string());
        for (slot, stream) in self.streams.iter_mut().enumerate() {
            if matches!(stream.phase, Phase::Vacant | Phase::Complete) || ended.iter().any(|(known, _)| *known == slot as u32) {
                continue;
            }
            let end = match stream.poll(now) {
                Poll::Ready(end) => end,
                Poll::Pending => StreamEnd::Failed { reason: reason.clone(), unprocessed: false },
            };
            ended.push((slot as u32, end));
        }
        false
    }

    /// The complete answer of a stream.
    pub fn answer(&self, slot: u32) -> Answer<'_> {
        let stream = &self.streams[slot as usize];
        Answer { status: stream.status, head: &stream.head, body: &stream.body, body_bytes: stream.body_bytes }
    }

    pub fn times(&self, slot: u32) -> Times {
        let stream = &self.streams[slot as usize];
        Times { journey: stream.journey, sent_ns: stream.sent_ns, first_byte_ns: stream.first_byte_ns }
    }

    /// The slot can be used again. A stream under way is reset (CANCEL) by the next turn.
    pub fn free_slot(&mut self, slot: u32) {
        self.streams[slot as usize].phase = Phase::Vacant;
        self.vacant.push(slot);
    }

    /// A stream whose request was sent before `instant`; None if there is none.
    pub fn sent_before(&self, instant: u64) -> Option<u32> {
        let overdue = |stream: &Stream| !matches!(stream.phase, Phase::Vacant | Phase::Complete) && stream.sent_ns <= instant;
        self.streams.iter().position(overdue).map(|slot| slot as u32)
    }

    /// Bytes read and written on the socket since the last call.
    pub fn moved(&mut self) -> (u64, u64) {
        let now = (self.traffic.read.load(Relaxed), self.traffic.written.load(Relaxed));
        let moved = (now.0 - self.told.0, now.1 - self.told.1);
        self.told = now;
        moved
    }

    /// For waiting until there is something to read or room to write.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// The socket did not take everything at the last turn.
    pub fn unsent(&self) -> bool {
        self.traffic.unsent.load(Relaxed)
    }

    /// Streams wait for a turn.
    pub fn restless(&self) -> bool {
        !self.woken.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

impl std::fmt::Debug for Multiplexed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Multiplexed").field("active", &self.active()).field("streams_max", &self.streams_max).finish_non_exhaustive()
    }
}

impl Stream {
    fn new(waker: Waker) -> Stream {
        Stream {
            phase: Phase::Vacant,
            waker,
            journey: 0,
            sent_ns: 0,
            first_byte_ns: 0,
            expect: Expect::default(),
            status: 0,
            head: Vec::new(),
            body: Vec::new(),
            body_bytes: 0,
        }
    }

    fn begin(&mut self, answer: ResponseFuture, journey: u32, expect: Expect, now: u64) {
        self.phase = Phase::AwaitHead(answer);
        (self.journey, self.sent_ns, self.first_byte_ns, self.expect) = (journey, now, 0, expect);
        (self.status, self.body_bytes) = (0, 0);
        self.head.clear();
        self.body.clear();
    }

    /// As far as it goes now.
    fn poll(&mut self, now: u64) -> Poll<StreamEnd> {
        let waker = self.waker.clone();
        let mut context = Context::from_waker(&waker);
        loop {
            self.phase = match std::mem::replace(&mut self.phase, Phase::Complete) {
                Phase::Vacant => {
                    self.phase = Phase::Vacant;
                    return Poll::Pending;
                }
                // Told already.
                Phase::Complete => return Poll::Pending,
                Phase::AwaitHead(mut answer) => match Pin::new(&mut answer).poll(&mut context) {
                    Poll::Pending => {
                        self.phase = Phase::AwaitHead(answer);
                        return Poll::Pending;
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(failed(&error)),
                    Poll::Ready(Ok(answer)) => {
                        self.first_byte_ns = now;
                        self.status = answer.status().as_u16();
                        if self.expect.keep_head {
                            write_head(&answer, &mut self.head);
                        }
                        Phase::AwaitBody(answer.into_body())
                    }
                },
                Phase::AwaitBody(mut content) => match content.poll_data(&mut context) {
                    Poll::Pending => {
                        self.phase = Phase::AwaitBody(content);
                        return Poll::Pending;
                    }
                    Poll::Ready(None) => Phase::AwaitTrailers(content),
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(failed(&error)),
                    Poll::Ready(Some(Ok(data))) => {
                        self.take(&data);
                        // The only error is that more is given back than was taken.
                        let _ = content.flow_control().release_capacity(data.len());
                        Phase::AwaitBody(content)
                    }
                },
                Phase::AwaitTrailers(mut content) => match content.poll_trailers(&mut context) {
                    Poll::Pending => {
                        self.phase = Phase::AwaitTrailers(content);
                        return Poll::Pending;
                    }
                    Poll::Ready(Ok(_)) => return Poll::Ready(StreamEnd::Answered),
                    Poll::Ready(Err(error)) => return Poll::Ready(failed(&error)),
                },
            };
        }
    }

    fn take(&mut self, data: &[u8]) {
        self.body_bytes += data.len() as u64;
        if self.expect.keep_body {
            let room = BODY_KEPT_MAX - self.body.len();
            self.body.extend_from_slice(&data[..room.min(data.len())]);
        }
    }
}

fn failed(error: &h2::Error) -> StreamEnd {
    // NO_ERROR in a GOAWAY is a server that ends its connection in an orderly way; what it did not answer it did not look at.
    let unprocessed = error.reason() == Some(h2::Reason::REFUSED_STREAM)
        || error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR);
    StreamEnd::Failed { reason: error.to_string(), unprocessed }
}

/// As HTTP/1.1 would have written it: that is what checks and extraction read.
fn write_head(answer: &http::Response<RecvStream>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/2 ");
    out.extend_from_slice(answer.status().as_str().as_bytes());
    out.extend_from_slice(b"\r\n");
    for (name, value) in answer.headers() {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

// === wake-ups ===

/// Streams that h2 has something for.
#[derive(Debug, Default)]
struct Woken(Mutex<Vec<u32>>);

impl Woken {
    fn push(&self, number: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(number);
    }

    fn take(&self) -> Vec<u32> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct StreamWaker {
    number: u32,
    woken: Arc<Woken>,
}

impl Wake for StreamWaker {
    fn wake(self: Arc<Self>) {
        self.woken.push(self.number);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.push(self.number);
    }
}

// === the socket as h2 wants it ===

#[derive(Debug, Default)]
struct Traffic {
    read: AtomicU64,
    written: AtomicU64,
    /// The last write was refused by the kernel.
    unsent: AtomicBool,
}

/// A socket that never blocks, with or without TLS. Pending stands for the kernel's "not now": the lane's epoll says when.
struct Wire {
    socket: Arc<TcpStream>,
    tls: Option<Box<ClientConnection>>,
    traffic: Arc<Traffic>,
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

/// What a target's connections need: its scheme.
pub fn scheme(target: &Target) -> &'static str {
    if target.tls.is_some() { "https" } else { "http" }
}
