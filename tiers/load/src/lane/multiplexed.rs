//! HTTP/2: many requests on one connection. The frames are h2's; its futures are polled by the lane's own loop, without a runtime.
//!
//! A turn lets h2 read and write what the socket gives and takes, then looks at the streams it woke. Wake-ups of the connection itself
//! are not listened to: whoever does something with it gives it a turn afterwards.

mod request;
mod stream;
mod wake;
mod wire;

use crate::reply::{Answer, Expect};
use bytes::Bytes;
use h2::client::{Builder, Connection, SendRequest};
use request::Translated;
use rustls::ClientConnection;
use std::{
    future::Future,
    io,
    net::TcpStream,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, Waker},
};
pub use stream::StreamEnd;
use stream::{Phase, Stream};
use wake::Woken;
use wire::{Traffic, Wire};

/// What a server may send ahead on one stream and on one connection: enough that a generator never holds an answer up.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// A connection that speaks HTTP/2.
pub struct Multiplexed {
    connection: Connection<Wire, Bytes>,
    sender: SendRequest<Bytes>,
    scheme: &'static str,
    /// By step: a request that never changes, as h2 takes it.
    kept: Vec<Option<Translated>>,
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

/// When a stream's request was sent and its answer began, and whose it is.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    pub journey: u32,
    pub sent_ns: u64,
    pub first_byte_ns: u64,
}

/// Why a request was not sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unsendable {
    /// Here, and nowhere else: the server has said goodbye, or allows no further stream.
    Here,
    /// HTTP/2 cannot carry it.
    Anywhere,
}

impl Multiplexed {
    /// Sends the preface on a connected socket (RFC 9113 section 3.4). At most `streams_max` requests at once, fewer if the server says so.
    ///
    /// Errors: the socket failed; the server did not choose h2 in the TLS handshake.
    pub fn begin(socket: TcpStream, tls: Option<Box<ClientConnection>>, streams_max: usize) -> io::Result<Multiplexed> {
        if tls.as_ref().is_some_and(|session| session.alpn_protocol() != Some(b"h2")) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the server does not offer HTTP/2 (no h2 by ALPN)"));
        }
        let scheme = if tls.is_some() { "https" } else { "http" };
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
                scheme,
                kept: Vec::new(),
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

    /// Begins a request, written as HTTP/1.1 would send it; the next turn sends it. `step`: its number, if it is the same bytes every time.
    pub fn send(&mut self, journey: u32, bytes: &[u8], step: Option<usize>, expect: Expect, now: u64) -> Result<(), Unsendable> {
        let Translated { request, body } = self.translated(bytes, step).ok_or(Unsendable::Anywhere)?;
        let mut context = Context::from_waker(Waker::noop());
        if !matches!(self.sender.poll_ready(&mut context), Poll::Ready(Ok(()))) {
            return Err(Unsendable::Here);
        }
        let slot = self.vacant.pop().unwrap_or_else(|| {
            let number = self.streams.len() as u32;
            self.streams.push(Stream::new(number, &self.woken));
            number
        });
        let sent = self.sender.send_request(request, body.is_empty()).and_then(|(answer, mut content)| {
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
                // A request that h2 will not write is one that no connection carries.
                Err(if error.is_io() || error.is_go_away() || error.is_reset() { Unsendable::Here } else { Unsendable::Anywhere })
            }
        }
    }

    fn translated(&mut self, bytes: &[u8], step: Option<usize>) -> Option<Translated> {
        let Some(step) = step else { return request::translate(bytes, self.scheme) };
        if self.kept.len() <= step {
            self.kept.resize_with(step + 1, || None);
        }
        if self.kept[step].is_none() {
            self.kept[step] = request::translate(bytes, self.scheme);
        }
        self.kept[step].clone()
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
            if !stream.under_way() || ended.iter().any(|(known, _)| *known == slot as u32) {
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
        let overdue = |stream: &Stream| stream.under_way() && stream.sent_ns <= instant;
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
        !self.woken.is_empty()
    }
}

impl std::fmt::Debug for Multiplexed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Multiplexed").field("active", &self.active()).field("streams_max", &self.streams_max).finish_non_exhaustive()
    }
}
