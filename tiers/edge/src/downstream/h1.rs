//! HTTP/1.1 and 1.0 clients.

use std::{
    future::poll_fn,
    io,
    ops::Range,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use pumasi_config::EdgeLimits;
use pumasi_http1::{Event, Fields, Framing, Known, Limits, Refusal, RequestDecoder, RequestHead, ResponseHead, Version, write};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    answers::Trouble,
    core::{Core, OpenConnection},
    downstream::{Content, Downstream, DownstreamFault, Preface, rewind::Rewind},
    heads::{Client, Length, write_framing},
    input::{Input, poll_discard},
    output::Output,
    serve::{Serving, refuse},
    timer::Timer,
};

/// One client connection.
pub(crate) struct H1<S> {
    socket: S,
    input: Input,
    output: Output,
    decoder: RequestDecoder,
    limits: Limits,
    client: Client,
    timer: Timer,
    core: Rc<Core>,
    body: Body,
    status: Option<u16>,
    keep_alive: bool,
    content_ended: bool,
    /// The client sends no more, which [`Downstream::poll_gone`] has seen.
    ended: bool,
    preface: Preface,
}

/// How the answer's content is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    /// None, even if some is given: HEAD.
    None,
    Raw,
    Chunked,
}

/// A connection that turned out to be HTTP/2.
pub(crate) struct Http2<S> {
    pub open: OpenConnection,
    pub socket: Rewind<S>,
    pub client: Client,
}

/// Serves requests one after another until either side ends it, or the client begins HTTP/2.
///
/// No async function: what those are given lies in them twice.
pub(crate) fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    open: OpenConnection,
    socket: S,
    client: Client,
    preface: Preface,
) -> impl Future<Output = Option<Http2<S>>> {
    let mut connection = H1::new(open.core.clone(), socket, client, preface);
    async move {
        match connection.serve().await {
            Ended::Closed => None,
            Ended::Http2 => {
                let socket = Rewind::new(connection.input.unread(), connection.socket);
                Some(Http2 { open, socket, client: connection.client })
            }
        }
    }
}

/// How a connection of this protocol ended.
enum Ended {
    Closed,
    /// It goes on as HTTP/2.
    Http2,
}

/// What an HTTP/2 client says first (RFC 9113 §3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How a head is waited for.
struct HeadWait {
    /// Something of it is there.
    begun: bool,
    /// The deadline that runs is one for a head that has begun, or not; none is set before there is need to wait.
    armed: Option<bool>,
    header_timeout: Duration,
    idle_timeout: Duration,
}

enum Awaited {
    Request,
    /// Something came that is not a request.
    Refused(Trouble),
    /// The client begins HTTP/2.
    Http2,
    /// The client is done, or there is nobody to answer to.
    Nothing,
}

impl<S: AsyncRead + AsyncWrite + Unpin> H1<S> {
    fn new(core: Rc<Core>, socket: S, client: Client, preface: Preface) -> H1<S> {
        H1 {
            socket,
            input: Input::new(core.buffers.clone()),
            output: Output::new(core.buffers.clone()),
            decoder: RequestDecoder::default(),
            limits: core.snapshot().http1,
            client,
            timer: core.timers.timer(),
            core,
            body: Body::None,
            status: None,
            keep_alive: true,
            content_ended: true,
            ended: false,
            preface,
        }
    }

    async fn serve(&mut self) -> Ended {
        loop {
            match self.await_request().await {
                Awaited::Request => {
                    let mut serving = Serving::begin(&self.core, self);
                    if !serving.answer_at_once(self) {
                        serving.answer(self).await;
                    }
                    serving.end(self);
                }
                Awaited::Refused(trouble) => {
                    self.begin_refusal();
                    refuse(&self.core.clone(), self, trouble);
                }
                Awaited::Http2 => return Ended::Http2,
                Awaited::Nothing => break,
            }
            if !self.end_request().await {
                break;
            }
        }
        self.close().await;
        Ended::Closed
    }

    /// Waits for the next head: as long as `idle_timeout` for its first byte, then as long as `header_timeout` for the rest.
    async fn await_request(&mut self) -> Awaited {
        let begun = !self.input.unread().is_empty();
        let mut wait = self.core.with_snapshot(|snapshot| {
            let EdgeLimits { header_timeout, idle_timeout, .. } = snapshot.limits;
            self.limits = snapshot.http1;
            HeadWait { begun, armed: None, header_timeout, idle_timeout }
        });
        poll_fn(|context| self.poll_head(context, &mut wait)).await
    }

    fn poll_head(&mut self, context: &mut Context<'_>, wait: &mut HeadWait) -> Poll<Awaited> {
        loop {
            if self.preface == Preface::Accept && self.input.unread().starts_with(HTTP2_PREFACE) {
                return Poll::Ready(Awaited::Http2);
            }
            let preface = self.preface == Preface::Accept && HTTP2_PREFACE.starts_with(self.input.unread());
            if !self.input.unread().is_empty() && !preface {
                if self.preface == Preface::Accept {
                    self.preface = Preface::Missed;
                }
                match self.decoder.decode(self.input.unread(), &self.limits) {
                    Ok((used, event)) => {
                        self.input.consume(used);
                        if event == Event::Head {
                            self.begin_request();
                            return Poll::Ready(Awaited::Request);
                        }
                    }
                    Err(_) if self.preface == Preface::Missed && nobodys_protocol(self.input.unread()) => {
                        return Poll::Ready(Awaited::Nothing);
                    }
                    Err(refusal) => return Poll::Ready(Awaited::Refused(Trouble::Malformed(refusal))),
                }
            }
            let Poll::Ready(filled) = self.input.poll_fill(context, &mut self.socket) else { break };
            match filled {
                Ok(0) if wait.begun && self.decoder.close(self.input.unread()).is_err() => {
                    return Poll::Ready(Awaited::Refused(Trouble::Malformed(Refusal::Truncated)));
                }
                Ok(0) | Err(_) => return Poll::Ready(Awaited::Nothing),
                Ok(_) => wait.begun = true,
            }
        }
        // Only now is there anything to wait for. What has begun keeps the deadline it was given then.
        if wait.armed != Some(wait.begun) {
            wait.armed = Some(wait.begun);
            match wait.begun {
                true => self.timer.arm(wait.header_timeout),
                false => self.timer.arm_idle(wait.idle_timeout),
            }
        }
        self.timer.watch(context);
        match (self.timer.fired(), wait.begun) {
            (false, _) => Poll::Pending,
            (true, false) => Poll::Ready(Awaited::Nothing),
            (true, true) => Poll::Ready(Awaited::Refused(Trouble::HeadTimeout)),
        }
    }

    fn begin_request(&mut self) {
        self.preface = Preface::Refuse;
        let head = self.decoder.head();
        self.keep_alive = head.keep_alive;
        self.status = None;
        self.content_ended = head.framing == Framing::Empty;
        if self.content_ended {
            // Nothing to wait for: the decoder says so without input.
            let end = self.decoder.decode(&[], &self.limits);
            debug_assert_eq!(end, Ok((0, Event::End)));
        }
        self.timer.disarm();
    }

    fn begin_refusal(&mut self) {
        // What was asked is not known: the head of the request before must not pass for it.
        self.decoder.swap_head(&mut RequestHead::default());
        self.keep_alive = false;
        self.status = None;
        self.content_ended = true;
    }

    /// Sends what is left. `true` if the connection may carry another request.
    async fn end_request(&mut self) -> bool {
        let mut unsent = usize::MAX;
        let flushed = poll_fn(|context| {
            if let Poll::Ready(result) = self.output.poll_flush(context, &mut self.socket) {
                return Poll::Ready(result.is_ok());
            }
            // The usual answer never gets here: it is taken whole.
            if self.output.unsent() < unsent {
                unsent = self.output.unsent();
                self.timer.arm(self.core.snapshot().limits.body_idle_timeout);
            }
            self.timer.watch(context);
            if self.timer.fired() { Poll::Ready(false) } else { Poll::Pending }
        });
        flushed.await && self.keep_alive && self.status.is_some() && self.content_ended
    }

    /// Closes in both directions without cutting off what was said last: half-closes, then waits a little for the client to notice,
    /// reading what it still sends (RFC 9112 §9.6).
    async fn close(&mut self) {
        self.timer.arm(LINGER_TIME);
        let mut left = LINGER_BYTES;
        let mut shut = false;
        poll_fn(|context| {
            if !shut {
                match Pin::new(&mut self.socket).poll_shutdown(context) {
                    Poll::Ready(Ok(())) => shut = true,
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => {}
                }
            }
            if poll_discard(context, &mut self.socket, &self.core.buffers, &mut left).is_ready() {
                return Poll::Ready(());
            }
            self.timer.watch(context);
            if self.timer.fired() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Downstream for H1<S> {
    fn request(&self) -> &RequestHead {
        self.decoder.head()
    }

    fn protocol(&self) -> &'static str {
        match self.request().version {
            Version::Http11 => "HTTP/1.1",
            Version::Http10 => "HTTP/1.0",
        }
    }

    fn client(&self) -> &Client {
        &self.client
    }

    fn timer(&self) -> &Timer {
        &self.timer
    }

    fn has_content(&self) -> bool {
        !self.content_ended
    }

    fn poll_content(&mut self, context: &mut Context<'_>) -> Poll<Result<Content, DownstreamFault>> {
        loop {
            let (used, event) = self.decoder.decode(self.input.unread(), &self.limits)?;
            let content = match event {
                Event::Data(range) => Some(Content::Data(self.input.locate(range))),
                Event::End => {
                    self.content_ended = true;
                    Some(Content::End)
                }
                Event::NeedMore => None,
                Event::Head => unreachable!("a head is read only after the content before it has ended"),
            };
            self.input.consume(used);
            if let Some(content) = content {
                return Poll::Ready(Ok(content));
            }
            if ready!(self.input.poll_fill(context, &mut self.socket))? == 0 {
                return Poll::Ready(match self.decoder.close(self.input.unread()) {
                    Ok(()) => {
                        self.content_ended = true;
                        Ok(Content::End)
                    }
                    Err(_) => Err(DownstreamFault::Gone),
                });
            }
        }
    }

    fn content(&self, range: Range<usize>) -> &[u8] {
        self.input.slice(range)
    }

    fn trailers(&self) -> &Fields {
        self.decoder.trailers()
    }

    fn send_interim(&mut self, head: &ResponseHead) {
        if self.request().version == Version::Http11 {
            let out = self.output.buffer();
            write::status_line(out, head.status, head.reason());
            for field in head.fields.fields().iter().filter(|f| !f.known.hop_by_hop()) {
                out.extend_from_slice(head.fields.name(field));
                out.extend_from_slice(b": ");
                out.extend_from_slice(head.fields.value(field));
                out.extend_from_slice(b"\r\n");
            }
            write::head_end(out);
        }
    }

    fn send_head(&mut self, status: u16, reason: &[u8], lines: &[u8], length: Length) {
        let version = self.request().version;
        if self.core.draining() || (length == Length::Open && version == Version::Http10) {
            self.keep_alive = false;
        }
        self.body = match length {
            Length::None(_) => Body::None,
            Length::Open if version == Version::Http11 => Body::Chunked,
            Length::Known(_) | Length::Open => Body::Raw,
        };
        self.status = Some(status);
        let keep_alive = self.keep_alive;
        let out = self.output.buffer();
        write::status_line(out, status, reason);
        out.extend_from_slice(lines);
        write_framing(out, length, version, keep_alive);
        write::head_end(out);
    }

    fn send_switch(&mut self, head: &ResponseHead, lines: &[u8]) {
        self.status = Some(head.status);
        self.keep_alive = false;
        self.body = Body::Raw;
        let out = self.output.buffer();
        write::status_line(out, head.status, head.reason());
        out.extend_from_slice(lines);
        out.extend_from_slice(b"Connection: Upgrade\r\n");
        head.fields.all(Known::Upgrade).for_each(|protocol| write::field(out, "Upgrade", protocol));
        write::head_end(out);
        self.content_ended = false;
        self.decoder.tunnel();
    }

    fn send_data(&mut self, data: &[u8]) {
        match self.body {
            Body::None => {}
            Body::Raw => self.output.buffer().extend_from_slice(data),
            Body::Chunked => write::chunk(self.output.buffer(), data),
        }
    }

    fn send_shared(&mut self, data: &Bytes, range: Range<usize>) {
        match self.body {
            Body::Raw => self.output.share(data, range),
            Body::None | Body::Chunked => self.send_data(&data[range]),
        }
    }

    fn send_end(&mut self, trailers: &Fields) {
        if self.body == Body::Chunked {
            write::last_chunk(self.output.buffer(), trailers);
        }
        self.body = Body::None;
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.output.poll_flush(context, &mut self.socket)
    }

    /// The end of what a client sends may be only that: one that asked for `close`, or is in a tunnel, has said all it had to say, and still
    /// reads. One that meant to go on has left. Bytes are its next request and stay where they are; with some unread, no more is looked for, so that a
    /// client cannot make us hold what it sends ahead.
    fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.content_ended || !self.input.unread().is_empty() || self.ended {
            return Poll::Pending;
        }
        match ready!(self.input.poll_fill(context, &mut self.socket)) {
            Ok(1..) => Poll::Pending,
            Ok(0) if !self.request().keep_alive || self.status == Some(101) => {
                self.ended = true;
                Poll::Pending
            }
            Ok(0) | Err(_) => Poll::Ready(()),
        }
    }

    fn full(&self) -> bool {
        self.output.full()
    }

    fn unsent(&self) -> usize {
        self.output.unsent()
    }

    fn sent_total(&self) -> u64 {
        self.output.sent_total + self.output.unsent() as u64
    }

    fn read_total(&self) -> u64 {
        self.input.read_total
    }

    fn status(&self) -> Option<u16> {
        self.status
    }

    fn close_after(&mut self) {
        self.keep_alive = false;
    }
}

/// Whether the first line of a connection is of no version of HTTP/1: three words or more, of which the last is no version and the second no
/// target. Where HTTP/2 may begin as well, that is a broken preface, and an answer in HTTP/1.1 would be read as frames: the connection ends
/// without one (RFC 9113 §3.4). A mistake in HTTP/1 is told as ever.
fn nobodys_protocol(begun: &[u8]) -> bool {
    let line = begun.split(|&b| b == b'\n').next().unwrap_or_default();
    let mut words = line.trim_ascii_end().split(|&b| b == b' ').skip(1);
    let (Some(target), Some(last)) = (words.next(), words.last()) else { return false };
    let of_http = last.get(..4).is_some_and(|begin| begin.eq_ignore_ascii_case(b"HTTP"));
    !of_http && !target.iter().any(|b| b"/*:.".contains(b))
}

/// How long a closing connection waits for the client to take the last answer.
const LINGER_TIME: Duration = Duration::from_secs(2);

/// How much a closing connection reads of what nobody wants any more.
const LINGER_BYTES: usize = 1 << 20;
