//! HTTP/2 to upstreams: many requests on one connection, each a [`Answering`] of its own. The `h2` crate speaks the frames. A WebSocket is a
//! request like the others where the upstream offers that (RFC 8441).
//!
//! Heads pass through the same code as those of HTTP/1.1: a request's is translated from the text that would have been sent, a
//! response's is written as text and parsed, so that what is refused there is refused here.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    future::{Future, poll_fn},
    io,
    ops::Range,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use h2::{
    PingPong, Reason, RecvStream, SendStream,
    client::{ResponseFuture, SendRequest},
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri, header};
use pumasi_balance::{Upstream, UpstreamId};
use pumasi_config::HttpProbe;
use pumasi_http1::{Asked, Fields, Refusal, ResponseEvent, ResponseHead};
use tokio::{
    sync::{Mutex, watch},
    task::JoinSet,
};

use crate::{
    output::HIGH_WATER,
    probe::verdict::Verdict,
    timer::Timer,
    upstream::{
        Answering, RESPONSE_LIMITS, UpstreamFault,
        stream::Stream,
        websocket,
        wire::{Speak, Wire},
    },
};

/// Requests at the same time on one connection; the next opens another. The upstream may allow fewer.
const STREAMS_MAX: usize = 100;

/// What an upstream may send ahead on one stream, and on all of a connection: the bound on the memory slow clients' answers take.
const WINDOW: u32 = 256 << 10;
const WINDOW_ALL: u32 = 1 << 20;

/// Bytes of one request between us and the frames on the socket.
const SEND_BUFFER: usize = 64 << 10;

/// Connections of one core to HTTP/2 upstreams.
#[derive(Default)]
pub(crate) struct Http2Connections {
    by_upstream: RefCell<HashMap<UpstreamId, Rc<Member>>>,
}

/// Those to one upstream.
#[derive(Default)]
struct Member {
    connections: RefCell<Vec<Rc<Http2Connection>>>,
    /// Held while one is being opened: whoever comes meanwhile shares it.
    opening: Mutex<()>,
}

/// One connection.
pub(crate) struct Http2Connection {
    requests: SendRequest<Bytes>,
    /// Taken by the first WebSocket, to learn when the upstream's SETTINGS have come.
    pings: Cell<Option<PingPong>>,
    /// They have.
    settled: watch::Sender<bool>,
    wire: u64,
    in_use: Cell<usize>,
    /// It ended, or takes no more (GOAWAY).
    closed: Rc<Cell<bool>>,
    idle_since_ms: Cell<u64>,
}

impl Http2Connections {
    /// A connection with room for one more request: one that is there, unless `fresh`, or a new one. Waits at most twice `timeout`.
    pub async fn reach(
        &self,
        upstream: &Upstream,
        wire: &Wire,
        fresh: bool,
        timeout: Duration,
        timer: &Timer,
    ) -> Result<Place, UpstreamFault> {
        let member = self.by_upstream.borrow_mut().entry(upstream.id()).or_default().clone();
        if let Some(place) = member.place(wire).filter(|_| !fresh) {
            return Ok(place);
        }
        timer.arm(timeout);
        let mut waiting = pin!(member.opening.lock());
        let alone = poll_fn(|context| {
            if let Poll::Ready(alone) = waiting.as_mut().poll(context) {
                return Poll::Ready(Ok(alone));
            }
            timer.watch(context);
            if timer.fired() { Poll::Ready(Err(UpstreamFault::ConnectTimeout)) } else { Poll::Pending }
        });
        let _alone = alone.await?;
        if let Some(place) = member.place(wire).filter(|_| !fresh) {
            timer.disarm();
            return Ok(place);
        }
        let stream = wire.open(upstream, Speak::Http2, timeout, timer).await?;
        timer.arm(timeout);
        let mut beginning = pin!(begin(stream));
        let begun = poll_fn(|context| {
            if let Poll::Ready(begun) = beginning.as_mut().poll(context) {
                return Poll::Ready(begun);
            }
            timer.watch(context);
            if timer.fired() { Poll::Ready(Err(UpstreamFault::ConnectTimeout)) } else { Poll::Pending }
        });
        let (requests, mut connection) = begun.await?;
        timer.disarm();
        let pings = Cell::new(connection.ping_pong());
        let closed = Rc::new(Cell::new(false));
        let ended = closed.clone();
        tokio::task::spawn_local(async move {
            let _ = connection.await; // what broke it is told to each of its requests
            ended.set(true);
        });
        let connection = Rc::new(Http2Connection {
            requests,
            pings,
            settled: watch::Sender::new(false),
            wire: wire.id,
            in_use: Cell::new(0),
            closed,
            idle_since_ms: Cell::new(timer.now_ms()),
        });
        member.connections.borrow_mut().push(connection.clone());
        Ok(Place::take(connection))
    }

    /// Closes what has been idle for longer than `timeout`. Each tick.
    pub fn expire(&self, now_ms: u64, timeout: Duration) {
        let timeout_ms = timeout.as_millis() as u64;
        self.by_upstream.borrow_mut().retain(|_, member| {
            member.connections.borrow_mut().retain(|connection| {
                if connection.in_use.get() > 0 {
                    connection.idle_since_ms.set(now_ms);
                }
                !connection.closed.get() && now_ms.saturating_sub(connection.idle_since_ms.get()) < timeout_ms
            });
            Rc::strong_count(member) > 1 || !member.connections.borrow().is_empty()
        });
    }
}

impl Member {
    fn place(&self, wire: &Wire) -> Option<Place> {
        let mut connections = self.connections.borrow_mut();
        // Those of another wire go when their requests have ended.
        connections.retain(|connection| !connection.closed.get() && connection.wire == wire.id);
        let room =
            |connection: &&Rc<Http2Connection>| connection.in_use.get() < STREAMS_MAX.min(connection.requests.current_max_send_streams());
        connections.iter().find(room).cloned().map(Place::take)
    }
}

type Connection = h2::client::Connection<Stream, Bytes>;

async fn begin(stream: Stream) -> Result<(SendRequest<Bytes>, Connection), UpstreamFault> {
    let mut builder = h2::client::Builder::new();
    builder
        .enable_push(false)
        // How many the upstream takes is not known before its SETTINGS: a burst on a new connection would be refused beyond that, and what has
        // begun to send its content cannot be asked again. Until then the others open connections of their own.
        .initial_max_send_streams(1)
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW_ALL)
        .max_header_list_size(RESPONSE_LIMITS.head_bytes_max as u32)
        .max_send_buffer_size(SEND_BUFFER);
    builder.handshake(stream).await.map_err(|error| UpstreamFault::Connect(io::Error::other(error)))
}

/// Room for one request on a connection.
pub(crate) struct Place {
    connection: Rc<Http2Connection>,
}

impl Place {
    fn take(connection: Rc<Http2Connection>) -> Place {
        connection.in_use.set(connection.in_use.get() + 1);
        Place { connection }
    }

    /// Whether a WebSocket may be begun on its connection (RFC 8441 §3). The upstream says so in its SETTINGS, the first it sends, which have
    /// come when it has answered a PING; waits for that at most `timeout`, once per connection. Cancel-safe.
    pub async fn takes_websockets(&self, timeout: Duration, timer: &Timer) -> bool {
        let connection = &self.connection;
        if let Some(mut pings) = connection.pings.take() {
            let settled = connection.settled.clone();
            // In a task of its own: the request that asks may be called off, and the next one waits for the same answer.
            tokio::task::spawn_local(async move {
                let _ = pings.ping(h2::Ping::opaque()).await; // an error is the end of the connection, which settles it too
                settled.send_replace(true);
            });
        }
        if !*connection.settled.borrow() {
            let mut settled = connection.settled.subscribe();
            timer.arm(timeout);
            let mut waiting = pin!(settled.wait_for(|settled| *settled));
            poll_fn(|context| {
                if waiting.as_mut().poll(context).is_ready() {
                    return Poll::Ready(());
                }
                timer.watch(context);
                if timer.fired() { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            timer.disarm();
        }
        connection.requests.is_extended_connect_protocol_enabled()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connection.in_use.set(self.connection.in_use.get() - 1);
    }
}

/// One request and its answer.
pub(crate) struct Http2Request {
    /// Released when the request is over.
    place: Place,
    asked: Asked,
    /// What a WebSocket's client waits for ([`websocket::accept`]); `None` for any other request.
    socket: Option<[u8; 28]>,
    answer: Answer,
    /// From the request's head to its end.
    send: Option<SendStream<Bytes>>,
    queue: BytesMut,
    /// Everything is in the queue; these come after it.
    ending: Option<HeaderMap>,
    head: ResponseHead,
    trailers: Fields,
    /// The data event that was handed out last.
    piece: Bytes,
    /// Its bytes, whose window is opened again when the next one is asked for.
    held: usize,
}

enum Answer {
    Awaited(ResponseFuture),
    Content(RecvStream),
    /// Its head was all.
    Ended,
}

impl Http2Request {
    /// Sends the head that is written in `text` as one of HTTP/1.1; its content follows by [`Answering::send_data`] if `has_content`. Where
    /// an upgrade is asked for it is a WebSocket's (see [`Place::takes_websockets`]), and its answer will look like HTTP/1.1's as well.
    /// Errors: the connection takes no more; nothing was sent.
    pub fn begin(place: Place, text: &[u8], scheme: &'static str, asked: Asked, has_content: bool) -> Result<Http2Request, UpstreamFault> {
        let (request, socket) = match asked.upgrade {
            true => translate_websocket(text, scheme).map(|(request, accept)| (request, Some(accept))),
            false => translate(text, scheme).map(|request| (request, None)),
        }
        .ok_or(UpstreamFault::Refused)?;
        let has_content = has_content || socket.is_some();
        let mut requests = place.connection.requests.clone();
        // A stream is free: we counted. So an error is the end of the connection.
        let refused = |closed: &Rc<Cell<bool>>| {
            closed.set(true);
            UpstreamFault::Refused
        };
        let (answer, send) = requests.send_request(request, !has_content).map_err(|_| refused(&place.connection.closed))?;
        Ok(Http2Request {
            place,
            asked,
            socket,
            answer: Answer::Awaited(answer),
            send: has_content.then_some(send),
            queue: BytesMut::new(),
            ending: None,
            head: ResponseHead::default(),
            trailers: Fields::default(),
            piece: Bytes::new(),
            held: 0,
        })
    }

    /// Nothing of the answer has arrived.
    pub fn unanswered(&self) -> bool {
        matches!(self.answer, Answer::Awaited(_))
    }

    fn take_head(&mut self, response: &Response<()>, ends: bool) -> Result<(), Refusal> {
        match self.socket.filter(|_| response.status().is_success()) {
            Some(accept) => return self.take_switch(response, &accept),
            // Refused, if it is not interim: what a WebSocket would have said is not to come.
            None if self.socket.is_some() && !response.status().is_informational() => self.ending = Some(HeaderMap::new()),
            None => {}
        }
        let mut text = Vec::with_capacity(512);
        text.extend_from_slice(format!("HTTP/1.1 {} \r\n", response.status().as_u16()).as_bytes());
        for (name, value) in response.headers() {
            line(&mut text, name.as_str().as_bytes(), value.as_bytes());
        }
        let length_told = response.headers().contains_key(header::CONTENT_LENGTH);
        let bodiless = self.asked.head || matches!(response.status().as_u16(), 100..=199 | 204 | 304);
        match (length_told || bodiless, ends) {
            (true, _) => {}
            (false, true) => text.extend_from_slice(b"content-length: 0\r\n"),
            (false, false) => text.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        }
        text.extend_from_slice(b"\r\n");
        self.parse_head(&text)
    }

    /// The 200 of a WebSocket, as HTTP/1.1 says it.
    fn take_switch(&mut self, response: &Response<()>, accept: &[u8]) -> Result<(), Refusal> {
        let mut text = b"HTTP/1.1 101 Switching Protocols\r\n".to_vec();
        for (name, value) in response.headers().iter().filter(|(name, _)| **name != header::CONTENT_LENGTH) {
            line(&mut text, name.as_str().as_bytes(), value.as_bytes());
        }
        line(&mut text, b"sec-websocket-accept", accept);
        text.extend_from_slice(b"upgrade: websocket\r\nconnection: Upgrade\r\n\r\n");
        self.parse_head(&text)
    }

    fn parse_head(&mut self, text: &[u8]) -> Result<(), Refusal> {
        // What we added must not count against the upstream.
        let limits =
            pumasi_http1::Limits { head_bytes_max: RESPONSE_LIMITS.head_bytes_max + 512, fields_max: RESPONSE_LIMITS.fields_max + 3 };
        match self.head.parse(text, self.asked, &limits)? {
            Some(length) if length == text.len() => Ok(()),
            _ => Err(Refusal::FieldValue),
        }
    }

    fn fault(&self, error: &h2::Error) -> UpstreamFault {
        if error.is_go_away() {
            self.place.connection.closed.set(true);
        }
        // RFC 9113 §8.7: nothing was done about a refused stream, or about one behind the last that a GOAWAY names.
        let untouched = error.reason() == Some(Reason::REFUSED_STREAM) || (error.is_go_away() && error.reason() == Some(Reason::NO_ERROR));
        match untouched && error.is_remote() && self.unanswered() {
            true => UpstreamFault::Refused,
            false => UpstreamFault::Broken(io::Error::other(error.to_string())),
        }
    }
}

impl Answering for Http2Request {
    fn send_data(&mut self, data: &[u8]) {
        if self.send.is_some() {
            self.queue.extend_from_slice(data);
        }
    }

    fn send_end(&mut self, trailers: &Fields) {
        if self.send.is_some() {
            let mut map = HeaderMap::new();
            trailers.iter().for_each(|(name, value)| add(&mut map, name, value));
            self.ending = Some(map);
        }
    }

    fn full(&self) -> bool {
        self.queue.len() >= HIGH_WATER
    }

    fn unsent(&self) -> bool {
        !self.queue.is_empty() || self.ending.is_some()
    }

    fn clear(&mut self) {
        self.queue.clear();
        (self.ending, self.send) = (None, None);
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        while let Some(send) = &mut self.send {
            if !self.queue.is_empty() {
                send.reserve_capacity(self.queue.len());
                let mut room = send.capacity();
                while room == 0 {
                    room = ready!(send.poll_capacity(context)).ok_or_else(gone)?.map_err(|_| gone())?;
                }
                let piece = self.queue.split_to(room.min(self.queue.len())).freeze();
                let last = self.queue.is_empty() && self.ending.as_ref().is_some_and(HeaderMap::is_empty);
                send.send_data(piece, last).map_err(|_| gone())?;
                if last {
                    (self.ending, self.send) = (None, None);
                }
                continue;
            }
            match self.ending.take() {
                None => break,
                Some(trailers) if trailers.is_empty() => send.send_data(Bytes::new(), true).map_err(|_| gone())?,
                Some(trailers) => send.send_trailers(trailers).map_err(|_| gone())?,
            }
            self.send = None;
        }
        Poll::Ready(Ok(()))
    }

    /// [`Answering::send_end`] came before it, and said so on the stream.
    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Result<ResponseEvent, UpstreamFault>> {
        match &mut self.answer {
            Answer::Awaited(answer) => {
                if let Poll::Ready(Some(Ok(interim))) = answer.poll_informational(context) {
                    self.take_head(&interim.map(drop), false)?;
                    return Poll::Ready(Ok(ResponseEvent::Interim));
                }
                match ready!(Pin::new(answer).poll(context)) {
                    Ok(response) => {
                        let (parts, content) = response.into_parts();
                        let ends = content.is_end_stream();
                        self.take_head(&Response::from_parts(parts, ()), ends)?;
                        self.answer = if ends { Answer::Ended } else { Answer::Content(content) };
                        Poll::Ready(Ok(ResponseEvent::Head))
                    }
                    Err(error) => Poll::Ready(Err(self.fault(&error))),
                }
            }
            Answer::Content(content) => {
                if self.held > 0 {
                    let _ = content.flow_control().release_capacity(std::mem::take(&mut self.held)); // fails only for a stream that is gone
                }
                match ready!(content.poll_data(context)) {
                    Some(Ok(data)) => {
                        self.held = data.len();
                        self.piece = data;
                        Poll::Ready(Ok(ResponseEvent::Data(0..self.piece.len())))
                    }
                    Some(Err(error)) => Poll::Ready(Err(self.fault(&error))),
                    None => {
                        let trailers = match ready!(content.poll_trailers(context)) {
                            Ok(trailers) => trailers,
                            Err(error) => return Poll::Ready(Err(self.fault(&error))),
                        };
                        if let Some(trailers) = trailers {
                            self.trailers = Fields::trailers(trailers.iter().map(|(n, v)| (n.as_str().as_bytes(), v.as_bytes())));
                        }
                        self.answer = Answer::Ended;
                        Poll::Ready(Ok(ResponseEvent::End))
                    }
                }
            }
            Answer::Ended => Poll::Ready(Ok(ResponseEvent::End)),
        }
    }

    fn data(&self, range: Range<usize>) -> &[u8] {
        &self.piece[range]
    }

    fn head(&self) -> &ResponseHead {
        &self.head
    }

    fn trailers(&self) -> &Fields {
        &self.trailers
    }
}

/// One GET, for a probe: whether its answer is as wanted, or why not.
pub(crate) async fn ask(stream: Stream, text: &[u8], scheme: &'static str, wanted: &HttpProbe) -> Result<(), String> {
    let request = translate(text, scheme).ok_or("the probe's path or host is not valid")?;
    let (requests, connection) = begin(stream).await.map_err(|fault| fault.to_string())?;
    let mut driven = JoinSet::new(); // ends with this probe
    driven.spawn(connection);
    let mut requests = requests.ready().await.map_err(|error| error.to_string())?;
    let (answer, _) = requests.send_request(request, true).map_err(|error| error.to_string())?;
    let answer = answer.await.map_err(|error| error.to_string())?;
    let Some(mut verdict) = Verdict::of(wanted, answer.status().as_u16())? else { return Ok(()) };
    let mut content = answer.into_body();
    // No more is read than the window has room for, so it is never opened again.
    while let Some(data) = content.data().await {
        if verdict.read(&data.map_err(|error| error.to_string())?)? {
            return Ok(());
        }
    }
    Err(verdict.missing())
}

// === helpers ===

/// A head of HTTP/1.1 of our own writing as one of HTTP/2 (RFC 9113 §8.3.1). What belongs to one connection is left out (§8.2.2).
fn translate(text: &[u8], scheme: &'static str) -> Option<Request<()>> {
    let mut lines = text.split(|&b| b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let mut words = lines.next()?.split(|&b| b == b' ');
    let (method, target) = (words.next()?, words.next()?);
    let mut request = Request::new(());
    *request.method_mut() = http::Method::from_bytes(method).ok()?;
    let mut authority = None;
    for line in lines.filter(|line| !line.is_empty()) {
        let colon = line.iter().position(|&b| b == b':')?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        match HeaderName::from_bytes(name).ok()? {
            header::HOST => authority = Some(value),
            header::CONNECTION | header::TRANSFER_ENCODING | header::UPGRADE => {}
            name => _ = request.headers_mut().append(name, HeaderValue::from_bytes(value).ok()?),
        }
    }
    *request.uri_mut() = Uri::builder().scheme(scheme).authority(authority?).path_and_query(target).build().ok()?;
    *request.version_mut() = http::Version::HTTP_2;
    Some(request)
}

/// The same of a WebSocket's GET: an extended CONNECT (RFC 8441 §5), and what to tell the client when it is accepted.
fn translate_websocket(text: &[u8], scheme: &'static str) -> Option<(Request<()>, [u8; 28])> {
    let mut request = translate(text, scheme)?;
    let key = request.headers_mut().remove(websocket::KEY)?;
    *request.method_mut() = http::Method::CONNECT;
    request.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
    Some((request, websocket::accept(key.as_bytes())))
}

fn line(text: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    text.extend_from_slice(name);
    text.extend_from_slice(b": ");
    text.extend_from_slice(value);
    text.extend_from_slice(b"\r\n");
}

/// What `http` does not take is left out: it came from our own parser.
fn add(headers: &mut HeaderMap, name: &[u8], value: &[u8]) {
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
        headers.append(name, value);
    }
}
