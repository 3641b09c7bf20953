//! HTTP/2 clients: the `h2` crate speaks the frames, each stream is a [`Downstream`] of its own.
//!
//! A request becomes an HTTP/1.1 head that goes through the same strict parser as any other (RFC 9113 §8 maps one to the other), so
//! routes, stores and upstreams never learn which protocol it came by.

mod calm;

use std::{
    cell::Cell,
    collections::VecDeque,
    future::poll_fn,
    io,
    ops::Range,
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use h2::{Reason, RecvStream, SendStream, server::SendResponse};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use pumasi_http1::{Fields, Refusal, RequestHead, ResponseHead};
use tokio::io::{AsyncRead, AsyncWrite};

use self::calm::{Calm, Counted};
use crate::{
    answers::Trouble,
    core::{Core, OpenConnection},
    downstream::{Content, Downstream, DownstreamFault},
    heads::{Client, Length},
    output::HIGH_WATER,
    serve::{Serving, refuse},
    timer::Timer,
};

/// Requests of one connection at the same time; told to the client, who has to wait with the next.
const STREAMS_MAX: u32 = 128;

/// Streams that were cancelled and whose work has not ended yet count too. Past this the client opens and cancels faster than we can
/// stop (CVE-2023-44487, "rapid reset"): the connection ends.
const STREAMS_AT_WORK_MAX: usize = 2 * STREAMS_MAX as usize;

/// Streams the client resets before we have seen them, of which the same is true. (Floods of other frames: `calm`.)
const RESET_UNSEEN_MAX: usize = 64;

/// Streams we reset for the client's mistakes before the connection ends.
const RESET_FOR_ERRORS_MAX: usize = 64;

/// What a client may send ahead on one stream, and on all of a connection: the bound on the memory its uploads take.
const WINDOW: u32 = 256 << 10;
const WINDOW_ALL: u32 = 1 << 20;

/// Bytes of one stream between us and the frames on the socket.
const SEND_BUFFER: usize = 64 << 10;

/// How long a connection that is ended for what it sends may take to read why.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Serves a connection until it ends. `socket` begins with the client's preface.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(open: OpenConnection, socket: S, client: Client) {
    let core = open.core.clone();
    let client = Rc::new(client);
    let snapshot = core.snapshot();
    let timer = core.timers.timer();
    timer.arm(snapshot.limits.header_timeout);
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(snapshot.limits.header_bytes_max as u32)
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW_ALL)
        .max_send_buffer_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(RESET_UNSEEN_MAX)
        .max_local_error_reset_streams(Some(RESET_FOR_ERRORS_MAX))
        .enable_connect_protocol(); // RFC 8441: WebSocket on a stream
    let calm = Calm::new(core.timers.now_ms());
    let mut handshake = pin!(builder.handshake::<_, Bytes>(Counted::new(socket, calm.clone(), core.timers.clone())));
    let connection = poll_fn(|context| match handshake.as_mut().poll(context) {
        Poll::Ready(result) => Poll::Ready(result.ok()),
        Poll::Pending => {
            timer.watch(context);
            if timer.fired() { Poll::Ready(None) } else { Poll::Pending }
        }
    });
    let Some(mut connection) = connection.await else { return };
    let state = Rc::new(ConnectionState { at_work: Cell::new(0), leaving: Cell::new(false), calm, timer });
    let timer = &state.timer;
    timer.arm_announced(snapshot.limits.idle_timeout);
    let mut told = false;
    // Read, and not yet begun. At most as many as may be at work.
    let mut accepted: Vec<(StreamAtWork, http::Request<RecvStream>, SendResponse<Bytes>)> = Vec::new();
    loop {
        if core.draining() && !state.leaving.replace(true) {
            connection.graceful_shutdown();
            timer.arm(snapshot.limits.drain_timeout);
        }
        let next = poll_fn(|context| {
            loop {
                if let Poll::Ready(next) = connection.poll_accept(context) {
                    return Poll::Ready(Some(next));
                }
                if accepted.is_empty() {
                    break;
                }
                // Now that all that has arrived was read: the next look at the connection sends their answers in one go, not in one each.
                for (guard, request, respond) in accepted.drain(..) {
                    take_up(guard, request, respond, &client);
                }
            }
            if state.calm.spent() && !told {
                told = true;
                connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                // From here on it only waits for the client to take that.
                state.leaving.set(true);
                timer.arm(LAST_WORD);
                if let Poll::Ready(next) = connection.poll_accept(context) {
                    return Poll::Ready(Some(next));
                }
            }
            timer.watch(context);
            if timer.fired() { Poll::Ready(None) } else { Poll::Pending }
        });
        match next.await {
            Some(Some(Ok((request, respond)))) => {
                if state.at_work.get() >= STREAMS_AT_WORK_MAX {
                    connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                    state.leaving.set(true);
                    timer.arm(LAST_WORD);
                    continue;
                }
                if !state.leaving.get() {
                    timer.disarm();
                }
                accepted.push((StreamAtWork::new(&core, &state), request, respond));
            }
            Some(None | Some(Err(_))) => return,
            // Idle for too long: says so, and waits for what may still be under way.
            None if !state.leaving.replace(true) => {
                connection.graceful_shutdown();
                timer.arm(snapshot.limits.drain_timeout);
            }
            None => return,
        }
    }
}

/// What a connection and its streams' tasks share.
struct ConnectionState {
    at_work: Cell<usize>,
    /// GOAWAY was sent: the timer now bounds how long that takes.
    leaving: Cell<bool>,
    calm: Rc<Calm>,
    timer: Timer,
}

/// Begins to answer a request. What waits for nothing is answered at once; the rest has a task of its own.
fn take_up(guard: StreamAtWork, request: http::Request<RecvStream>, respond: SendResponse<Bytes>, client: &Rc<Client>) {
    let core = guard.core.clone();
    let (parts, content) = request.into_parts();
    let websocket = parts.extensions.get::<h2::ext::Protocol>().is_some_and(|p| p.as_str() == "websocket");
    // What a WebSocket sends is no content: it begins when the upstream has switched.
    let ended = content.is_end_stream() || websocket;
    let mut head = RequestHead::default();
    let mut text = core.lines.take();
    let refused = core.with_snapshot(|snapshot| translate(&parts, ended, websocket, &mut head, &snapshot.http1, &mut text).err());
    core.lines.set(text);
    let mut stream = H2Stream {
        head,
        client: client.clone(),
        timer: core.timers.timer(),
        calm: guard.state.calm.clone(),
        respond,
        send: None,
        receive: content,
        piece: Bytes::new(),
        held: 0,
        content_ended: ended,
        trailers: Fields::default(),
        queue: VecDeque::new(),
        tail: BytesMut::new(),
        queued: 0,
        ending: None,
        status: None,
        sent_total: 0,
        read_total: 0,
        broken: false,
    };
    let unanswered = match refused {
        None => {
            let mut serving = Serving::begin(&core, &stream);
            match serving.answer_at_once(&mut stream) {
                true => {
                    serving.end(&stream);
                    None
                }
                false => Some(serving),
            }
        }
        Some(refusal) => {
            refuse(&core, &mut stream, Trouble::Malformed(refusal));
            None
        }
    };
    if unanswered.is_none() && stream.finish_at_once() {
        return;
    }
    tokio::task::spawn_local(async move {
        if let Some(mut serving) = unanswered {
            serving.answer(&mut stream).await;
            serving.end(&stream);
        }
        let timeout = core.snapshot().limits.body_idle_timeout;
        stream.finish(timeout).await;
        drop(guard);
    });
}

/// Counts a stream's task against its connection, and starts the connection's idle time when the last one ends.
struct StreamAtWork {
    core: Rc<Core>,
    state: Rc<ConnectionState>,
}

impl StreamAtWork {
    fn new(core: &Rc<Core>, state: &Rc<ConnectionState>) -> StreamAtWork {
        state.at_work.set(state.at_work.get() + 1);
        StreamAtWork { core: core.clone(), state: state.clone() }
    }
}

impl Drop for StreamAtWork {
    fn drop(&mut self) {
        let left = self.state.at_work.get() - 1;
        self.state.at_work.set(left);
        if left == 0 && !self.state.leaving.get() {
            let idle = self.core.snapshot().limits.idle_timeout;
            self.state.timer.arm_announced(if self.core.draining() { Duration::ZERO } else { idle });
        }
    }
}

/// One request and its answer.
struct H2Stream {
    head: RequestHead,
    client: Rc<Client>,
    timer: Timer,
    calm: Rc<Calm>,
    respond: SendResponse<Bytes>,
    /// From the final head to the end.
    send: Option<SendStream<Bytes>>,
    receive: RecvStream,
    /// The content event that was handed out last.
    piece: Bytes,
    /// Its bytes, whose window is opened again when the next one is asked for: then they have been taken further.
    held: usize,
    content_ended: bool,
    trailers: Fields,
    /// To be sent: first `queue`, then `tail`.
    queue: VecDeque<Bytes>,
    tail: BytesMut,
    queued: usize,
    /// Everything is in the queue; these come after it.
    ending: Option<HeaderMap>,
    status: Option<u16>,
    sent_total: u64,
    read_total: u64,
    /// The answer will not be completed: the client must be able to tell.
    broken: bool,
}

impl H2Stream {
    /// Sends what is left, or says that the answer is not whole.
    async fn finish(&mut self, timeout: Duration) {
        self.timer.arm(timeout);
        let mut unsent = self.unsent();
        let flushed = poll_fn(|context| {
            if let Poll::Ready(result) = self.poll_flush(context) {
                return Poll::Ready(result.is_ok());
            }
            if self.unsent() < unsent {
                unsent = self.unsent();
                self.timer.arm(timeout);
            }
            self.timer.watch(context);
            if self.timer.fired() { Poll::Ready(false) } else { Poll::Pending }
        });
        let flushed = flushed.await;
        self.conclude(flushed);
    }

    /// The same if the client takes it now; `false` if it has to be waited for.
    fn finish_at_once(&mut self) -> bool {
        match self.poll_flush(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => false,
            Poll::Ready(result) => {
                self.conclude(result.is_ok());
                true
            }
        }
    }

    fn conclude(&mut self, flushed: bool) {
        let whole = flushed && self.send.is_none() && self.status.is_some();
        // Whole, with content nobody needs still coming: dropping the handles tells the client so, behind the answer (RFC 9113 §8.1). A
        // reset of our own would overtake it.
        if !whole {
            self.respond.send_reset(if self.broken { Reason::INTERNAL_ERROR } else { Reason::CANCEL });
        }
    }

    /// The next bytes to be sent, at most `max`.
    fn take_piece(&mut self, max: usize) -> Bytes {
        if self.queue.is_empty() {
            let tail = self.tail.split().freeze();
            self.queue.push_back(tail);
        }
        let Some(mut front) = self.queue.pop_front() else { return Bytes::new() };
        if front.len() > max {
            let rest = front.split_off(max);
            self.queue.push_front(rest);
        }
        self.queued -= front.len();
        front
    }
}

impl Downstream for H2Stream {
    fn request(&self) -> &RequestHead {
        &self.head
    }

    fn protocol(&self) -> &'static str {
        "HTTP/2.0"
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
        if self.held > 0 {
            let _ = self.receive.flow_control().release_capacity(std::mem::take(&mut self.held)); // fails only for a stream that is gone
        }
        match ready!(self.receive.poll_data(context)) {
            Some(Ok(data)) => {
                self.held = data.len();
                self.read_total += data.len() as u64;
                self.piece = data;
                Poll::Ready(Ok(Content::Data(0..self.piece.len())))
            }
            Some(Err(_)) => Poll::Ready(Err(DownstreamFault::Gone)),
            None => {
                let trailers = ready!(self.receive.poll_trailers(context)).map_err(|_| DownstreamFault::Gone)?;
                if let Some(trailers) = trailers {
                    self.trailers = Fields::trailers(trailers.iter().map(|(n, v)| (n.as_str().as_bytes(), v.as_bytes())));
                }
                self.content_ended = true;
                Poll::Ready(Ok(Content::End))
            }
        }
    }

    fn content(&self, range: Range<usize>) -> &[u8] {
        &self.piece[range]
    }

    fn trailers(&self) -> &Fields {
        &self.trailers
    }

    fn send_interim(&mut self, head: &ResponseHead) {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(head.status).unwrap_or(StatusCode::CONTINUE);
        for (name, value) in head.fields.iter() {
            add(response.headers_mut(), name, value);
        }
        let _ = self.respond.send_informational(response); // a stream that is gone shows at the next flush
    }

    fn send_head(&mut self, status: u16, _: &[u8], lines: &[u8], length: Length) {
        self.status = Some(status);
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
        let headers = response.headers_mut();
        for line in lines.split(|&b| b == b'\n') {
            if let Some(colon) = line.iter().position(|&b| b == b':') {
                add(headers, &line[..colon], line[colon + 1..].trim_ascii());
            }
        }
        if let Length::Known(length) | Length::None(Some(length)) = length {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        let ends = matches!(length, Length::None(_));
        self.sent_total += lines.len() as u64;
        match self.respond.send_response(response, ends) {
            Ok(send) if !ends => self.send = Some(send),
            Ok(_) => {}
            Err(_) => self.broken = true,
        }
    }

    /// Only an extended CONNECT asks for one; it is told 200 where HTTP/1.1 has 101 (RFC 8441 §5).
    fn send_switch(&mut self, head: &ResponseHead, _: &[u8]) {
        self.status = Some(head.status);
        let mut response = Response::new(());
        let passed =
            |name: &[u8]| name.eq_ignore_ascii_case(b"sec-websocket-protocol") || name.eq_ignore_ascii_case(b"sec-websocket-extensions");
        head.fields.iter().filter(|(name, _)| passed(name)).for_each(|(name, value)| add(response.headers_mut(), name, value));
        match self.respond.send_response(response, false) {
            Ok(send) => self.send = Some(send),
            Err(_) => self.broken = true,
        }
        self.content_ended = false;
    }

    fn send_data(&mut self, data: &[u8]) {
        if self.send.is_some() {
            self.tail.extend_from_slice(data);
            self.queued += data.len();
        }
    }

    fn send_shared(&mut self, data: &Bytes, range: Range<usize>) {
        let data = data.slice(range);
        if self.send.is_some() {
            let tail = self.tail.split().freeze();
            if !tail.is_empty() {
                self.queue.push_back(tail);
            }
            self.queued += data.len();
            self.queue.push_back(data);
        }
    }

    fn send_end(&mut self, trailers: &Fields) {
        if self.send.is_some() {
            let mut map = HeaderMap::new();
            trailers.iter().for_each(|(name, value)| add(&mut map, name, value));
            self.ending = Some(map);
        }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let gone = || io::Error::from(io::ErrorKind::ConnectionReset);
        if self.broken {
            return Poll::Ready(Err(gone()));
        }
        while let Some(send) = &mut self.send {
            if self.queued > 0 {
                send.reserve_capacity(self.queued.min(HIGH_WATER));
                let mut room = send.capacity();
                while room == 0 {
                    room = ready!(send.poll_capacity(context)).ok_or_else(gone)?.map_err(|_| gone())?;
                }
                let piece = self.take_piece(room);
                let last = self.queued == 0 && self.ending.as_ref().is_some_and(HeaderMap::is_empty);
                self.sent_total += piece.len() as u64;
                let Some(send) = &mut self.send else { break };
                send.send_data(piece, last).map_err(|_| gone())?;
                self.calm.earn(1);
                if last {
                    self.send = None;
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

    fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.send {
            Some(send) => send.poll_reset(context).map(|_| ()),
            None if self.status.is_none() => self.respond.poll_reset(context).map(|_| ()),
            None => Poll::Pending,
        }
    }

    fn full(&self) -> bool {
        self.queued >= HIGH_WATER
    }

    fn unsent(&self) -> usize {
        self.queued
    }

    fn sent_total(&self) -> u64 {
        self.sent_total + self.queued as u64
    }

    fn read_total(&self) -> u64 {
        self.read_total
    }

    fn status(&self) -> Option<u16> {
        self.status
    }

    /// The connection goes on: only this stream is over, and if its answer is not whole, [`H2Stream::finish`] says so.
    fn close_after(&mut self) {
        self.broken |= self.send.is_some() && self.ending.is_none();
    }
}

// === helpers ===

/// Writes the request as an HTTP/1.1 head into `text` and parses that: what HTTP/1.1 could not say unambiguously is refused here as well.
fn translate(
    parts: &http::request::Parts,
    ended: bool,
    websocket: bool,
    head: &mut RequestHead,
    limits: &pumasi_http1::Limits,
    text: &mut Vec<u8>,
) -> Result<(), Refusal> {
    text.clear();
    let target = parts.uri.path_and_query().map_or("/", |p| p.as_str());
    let authority = parts.uri.authority().map(|a| a.as_str());
    // RFC 8441 §5: what is an extended CONNECT here is a GET with an Upgrade there.
    text.extend_from_slice(if websocket { "GET" } else { parts.method.as_str() }.as_bytes());
    text.push(b' ');
    let connect = parts.method == http::Method::CONNECT && !websocket;
    text.extend_from_slice(if connect { authority.unwrap_or("") } else { target }.as_bytes());
    text.extend_from_slice(b" HTTP/1.1\r\n");
    if let Some(authority) = authority {
        line(text, b"Host", authority.as_bytes());
    }
    let mut cookies = Vec::new();
    for (name, value) in &parts.headers {
        match name {
            // RFC 9113 §8.3.1: a Host beside :authority must not differ from it.
            &header::HOST if authority.is_some_and(|a| !a.as_bytes().eq_ignore_ascii_case(value.as_bytes())) => {
                return Err(Refusal::HostMismatch);
            }
            &header::HOST if authority.is_some() => {}
            // §8.2.3: joined before they leave HTTP/2.
            &header::COOKIE => {
                if !cookies.is_empty() {
                    cookies.extend_from_slice(b"; ");
                }
                cookies.extend_from_slice(value.as_bytes());
            }
            name => line(text, name.as_str().as_bytes(), value.as_bytes()),
        }
    }
    if !cookies.is_empty() {
        line(text, b"cookie", &cookies);
    }
    if websocket {
        // The key proves to a client that a server of HTTP/1.1 understood it; this client proved that by the protocol it speaks.
        text.extend_from_slice(b"connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: cHVtYXNpLW92ZXItaDItaQ==\r\n");
    }
    if !ended && !parts.headers.contains_key(header::CONTENT_LENGTH) {
        text.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    text.extend_from_slice(b"\r\n");
    // What we added must not count against the client.
    let limits = pumasi_http1::Limits { head_bytes_max: limits.head_bytes_max + 512, fields_max: limits.fields_max + 5 };
    match head.parse(text, &limits)? {
        Some(length) if length == text.len() => Ok(()),
        _ => Err(Refusal::FieldValue),
    }
}

fn line(text: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    text.extend_from_slice(name);
    text.extend_from_slice(b": ");
    text.extend_from_slice(value);
    text.extend_from_slice(b"\r\n");
}

/// Names and values come from our own parser: what `http` does not take as well is left out.
fn add(headers: &mut HeaderMap, name: &[u8], value: &[u8]) {
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
        headers.append(name, value);
    }
}
