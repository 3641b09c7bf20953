//! Connections to upstreams: one request at a time on each, kept between requests.

pub(crate) mod http2;
pub(crate) mod stream;
pub(crate) mod websocket;
pub(crate) mod wire;

use std::{
    cell::RefCell,
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    io,
    ops::Range,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use pumasi_balance::UpstreamId;
use pumasi_http1::{Asked, Fields, Limits, Refusal, ResponseDecoder, ResponseEvent, ResponseHead, write};
use thiserror::Error;
use tokio::io::AsyncWrite;

use crate::{buffers::Buffers, input::Input, output::Output, upstream::stream::Stream};

/// One connection to an upstream.
#[derive(Debug)]
pub(crate) struct UpstreamConnection {
    stream: Stream,
    /// What it was opened for: see [`wire::Wire::id`].
    wire: u64,
    input: Input,
    pub output: Output,
    decoder: ResponseDecoder,
    limits: Limits,
    /// The request's content is sent in chunks.
    chunked: bool,
    /// It has answered before: a failure now may only mean that the upstream closed it meanwhile.
    pub reused: bool,
    /// Anything of the current response has arrived.
    pub answered: bool,
    idle_since_ms: u64,
}

/// What went wrong with an upstream, for the answer and for its health.
#[derive(Debug, Error)]
pub(crate) enum UpstreamFault {
    #[error("the connection could not be opened")]
    Connect(#[source] io::Error),
    #[error("the connection was not accepted in time")]
    ConnectTimeout,
    #[error("the connection broke")]
    Broken(#[source] io::Error),
    #[error("the upstream closed the connection before it had answered")]
    Closed,
    #[error("the upstream's answer is malformed: {0}")]
    Malformed(#[from] Refusal),
    #[error("the upstream did not begin to answer in time")]
    FirstByteTimeout,
    #[error("the upstream stopped in the middle")]
    Stalled,
    #[error("the upstream did not take the request")]
    Refused,
    #[error("TLS with the upstream failed")]
    Tls(#[source] io::Error),
}

/// Response heads of applications carry more than requests do (cookies, policies), and come from a side we trust more.
const RESPONSE_LIMITS: Limits = Limits { head_bytes_max: 64 << 10, fields_max: 256 };

/// One request at an upstream, in whatever protocol: what [`crate::exchange::Exchange`] needs of it. All `send_*` only fill the output.
pub(crate) trait Answering {
    fn send_data(&mut self, data: &[u8]);
    fn send_end(&mut self, trailers: &Fields);
    fn full(&self) -> bool;
    /// Whether something waits to be sent.
    fn unsent(&self) -> bool;
    /// Gives up sending.
    fn clear(&mut self);
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Tells a tunnel's other end that no more is coming.
    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// The next event of the response. Never [`ResponseEvent::NeedMore`]. Ranges are for [`Answering::data`].
    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Result<ResponseEvent, UpstreamFault>>;
    fn data(&self, range: Range<usize>) -> &[u8];
    fn head(&self) -> &ResponseHead;
    fn trailers(&self) -> &Fields;
}

impl UpstreamConnection {
    /// `wire`: what the pool speaks; a connection is not used for another. On the heap: it is handed from place to place several times per
    /// request.
    pub fn new(stream: Stream, wire: u64, buffers: &Rc<Buffers>) -> Box<UpstreamConnection> {
        Box::new(UpstreamConnection {
            stream,
            wire,
            input: Input::new(buffers.clone()),
            output: Output::new(buffers.clone()),
            decoder: ResponseDecoder::default(),
            limits: RESPONSE_LIMITS,
            chunked: false,
            reused: false,
            answered: false,
            idle_since_ms: 0,
        })
    }

    /// The head of a request is being written to `output`; its content, if any, follows by [`UpstreamConnection::send_data`].
    pub fn begin(&mut self, asked: Asked, chunked: bool) {
        self.decoder.expect(asked);
        self.chunked = chunked;
        self.answered = false;
    }

    /// Nothing was sent on this connection for the current request yet.
    pub fn nothing_sent(&self, before: u64) -> bool {
        self.output.sent_total == before
    }

    /// A response has ended: whether the next request may go on the same connection. It may if both sides meant it to, nothing of ours
    /// is unsent and nothing of theirs is unread.
    pub fn reusable(&self) -> bool {
        self.decoder.head().keep_alive && self.input.unread().is_empty() && self.output.unsent() == 0
    }

    /// Whether the idle connection is still as we left it. Without a system call in the usual case: the runtime knows whether anything
    /// has happened to the socket since it was last read empty.
    fn healthy(&self) -> bool {
        self.stream.silent()
    }
}

impl Answering for UpstreamConnection {
    fn send_data(&mut self, data: &[u8]) {
        match self.chunked {
            true => write::chunk(self.output.buffer(), data),
            false => self.output.buffer().extend_from_slice(data),
        }
    }

    fn send_end(&mut self, trailers: &Fields) {
        if std::mem::take(&mut self.chunked) {
            write::last_chunk(self.output.buffer(), trailers);
        }
    }

    fn full(&self) -> bool {
        self.output.full()
    }

    fn unsent(&self) -> bool {
        self.output.unsent() > 0
    }

    fn clear(&mut self) {
        self.output.clear();
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.output.poll_flush(context, &mut self.stream)
    }

    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Result<ResponseEvent, UpstreamFault>> {
        loop {
            let (used, event) = self.decoder.decode(self.input.unread(), &self.limits)?;
            let event = match event {
                ResponseEvent::Data(range) => ResponseEvent::Data(self.input.locate(range)),
                other => other,
            };
            self.input.consume(used);
            if event != ResponseEvent::NeedMore {
                return Poll::Ready(Ok(event));
            }
            match ready!(self.input.poll_fill(context, &mut self.stream)) {
                Ok(0) => {
                    let ended = self.decoder.close(self.input.unread()).map_err(|_| UpstreamFault::Closed)?;
                    return Poll::Ready(if ended { Ok(ResponseEvent::End) } else { Err(UpstreamFault::Closed) });
                }
                Ok(_) => self.answered = true,
                Err(error) => return Poll::Ready(Err(UpstreamFault::Broken(error))),
            }
        }
    }

    fn data(&self, range: Range<usize>) -> &[u8] {
        self.input.slice(range)
    }

    fn head(&self) -> &ResponseHead {
        self.decoder.head()
    }

    fn trailers(&self) -> &Fields {
        self.decoder.trailers()
    }
}

/// Idle connections of one core, by upstream, newest last.
#[derive(Debug, Default)]
pub(crate) struct IdleConnections {
    #[expect(clippy::vec_box, reason = "a connection is hundreds of bytes, and goes in and out with every request")]
    by_upstream: RefCell<HashMap<UpstreamId, Vec<Box<UpstreamConnection>>, BuildHasherDefault<IdHasher>>>,
}

impl IdleConnections {
    /// The connection used last, if any is still good: it is the least likely to be closed by now, and the others may expire.
    /// One that was opened for another wire is closed: the configuration has changed since.
    pub fn take(&self, upstream: UpstreamId, wire: u64) -> Option<Box<UpstreamConnection>> {
        let mut all = self.by_upstream.borrow_mut();
        let idle = all.get_mut(&upstream)?;
        while let Some(connection) = idle.pop() {
            if connection.wire == wire && connection.healthy() {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps `connection` for the next request, unless there are `max` already.
    pub fn give(&self, upstream: UpstreamId, mut connection: Box<UpstreamConnection>, now_ms: u64, max: usize) {
        let mut all = self.by_upstream.borrow_mut();
        let idle = all.entry(upstream).or_default();
        if idle.len() < max {
            connection.input.release_if_empty();
            connection.reused = true;
            connection.idle_since_ms = now_ms;
            idle.push(connection);
        }
    }

    /// Closes what has been idle for longer than `timeout`, or was closed by its upstream. The bound on how long a left upstream's
    /// connections stay.
    pub fn expire(&self, now_ms: u64, timeout: Duration) {
        let timeout_ms = timeout.as_millis() as u64;
        self.by_upstream.borrow_mut().retain(|_, idle| {
            idle.retain(|connection| now_ms.saturating_sub(connection.idle_since_ms) < timeout_ms && connection.healthy());
            !idle.is_empty()
        });
    }
}

/// Upstream ids are small distinct numbers: spreading them over the table needs one multiplication, not a keyed hash.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&b| self.write_u64(u64::from(b)));
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = (self.0 ^ id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
