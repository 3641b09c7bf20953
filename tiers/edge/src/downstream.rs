//! The side that asks: what a request looks like to the rest of the edge, whatever protocol it came by.

mod h1;
mod h2;
pub(crate) mod rewind;

use std::{
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    ops::Range,
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use pumasi_balance::Upstream;
use pumasi_http1::{Fields, Refusal, RequestHead, ResponseHead};
use rustls::HandshakeKind;
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tracing::debug;

use crate::{
    core::{Address, OpenConnection, Protocol},
    counters::Handshake,
    downstream::rewind::Rewind,
    heads::{Client, Length},
    input::Input,
    passthrough, proxy_protocol, relay,
    timer::Timer,
};

/// One request and the way its answer goes. All `send_*` only fill the output: [`Downstream::poll_flush`] moves it, and whoever
/// produces stops while [`Downstream::full`].
pub(crate) trait Downstream {
    fn request(&self) -> &RequestHead;
    /// For the access log: `HTTP/1.1`.
    fn protocol(&self) -> &'static str;
    fn client(&self) -> &Client;
    fn timer(&self) -> &Timer;

    /// Whether [`Downstream::poll_content`] has more to tell: the request has content that was not read to its end.
    fn has_content(&self) -> bool;
    /// The next event of the request's content. Only while [`Downstream::has_content`].
    fn poll_content(&mut self, context: &mut Context<'_>) -> Poll<Result<Content, DownstreamFault>>;
    fn content(&self, range: Range<usize>) -> &[u8];
    fn trailers(&self) -> &Fields;

    /// A 1xx head; dropped where the client's protocol has none.
    fn send_interim(&mut self, head: &ResponseHead);
    /// The final head: `lines` are end-to-end field lines, each with its CR LF.
    fn send_head(&mut self, status: u16, reason: &[u8], lines: &[u8], length: Length);
    /// 101: from here on both directions are bytes.
    fn send_switch(&mut self, head: &ResponseHead, lines: &[u8]);
    fn send_data(&mut self, data: &[u8]);
    /// The same for bytes that others hold too, without a copy where the protocol allows it and it pays. Any amount may be given at once.
    fn send_shared(&mut self, data: &Bytes, range: Range<usize>);
    fn send_end(&mut self, trailers: &Fields);

    /// Asked before each sending: the request may be held back for a while, because of what else is in flight at `upstream`.
    fn poll_admitted(&mut self, _upstream: &Arc<Upstream>, _context: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    /// The request is about to be sent to `upstream`, under `trace` if the upstream is told of one; again if it is repeated elsewhere. For who must know
    /// where an answer came from.
    fn sending(&mut self, _upstream: &Arc<Upstream>, _trace: Option<&pumasi_trace::Context>) {}

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Ready when the client has called the request off or left. Pending where that cannot be known.
    fn poll_gone(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
    fn full(&self) -> bool;
    /// Bytes waiting for the client to take them.
    fn unsent(&self) -> usize;
    /// Bytes of the answer so far, framing included.
    fn sent_total(&self) -> u64;
    /// Bytes of the request so far, as they arrived.
    fn read_total(&self) -> u64;
    /// The status handed to [`Downstream::send_head`]: once it is there, another answer is not possible any more.
    fn status(&self) -> Option<u16>;
    /// The connection ends with this request.
    fn close_after(&mut self);
}

/// What [`Downstream::poll_content`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Data(Range<usize>),
    End,
}

/// Why a client's request cannot be carried on.
#[derive(Debug, Error)]
pub(crate) enum DownstreamFault {
    #[error("the connection broke")]
    Broken(#[from] io::Error),
    #[error("the client left")]
    Gone,
    #[error("{0}")]
    Malformed(#[from] Refusal),
    #[error("the content stopped, or came too slowly")]
    Slow,
    #[error("the content is larger than allowed")]
    TooLarge,
}

/// Begins to serve an accepted connection, in a task of its own.
///
/// The task of the usual one, HTTP in the clear, is no larger than that needs: thousands of them wait at any time.
pub(crate) fn serve_connection(open: OpenConnection, stream: TcpStream, peer: SocketAddr, address: Address) {
    let (direct, trusted) = open.core.with_snapshot(|snapshot| (!snapshot.proxy_protocol, snapshot.trusts(peer.ip())));
    match direct && address.protocol == Protocol::Plain {
        true => drop(tokio::task::spawn_local(speak_plain(open, stream, Client::new(peer, "http", trusted)))),
        false => drop(tokio::task::spawn_local(serve_other(open, stream, peer, address))),
    }
}

/// HTTP in the clear, whichever version.
fn speak_plain<S: relay::Socket>(open: OpenConnection, stream: S, client: Client) -> impl Future<Output = ()> {
    // On the heap by itself: what is awaited lies in an async block a second time.
    let serving = Box::pin(h1::serve(open, stream, client, Preface::Accept));
    async move {
        if let Some(http2) = serving.await {
            Box::pin(h2::serve(http2.open, http2.socket, http2.client)).await;
        }
    }
}

/// Connections with TLS, with a PROXY protocol header before everything else, or of no protocol of ours.
async fn serve_other(open: OpenConnection, stream: TcpStream, peer: SocketAddr, address: Address) {
    let server = stream.local_addr().unwrap_or(address.bound);
    let snapshot = open.core.snapshot();
    if !snapshot.proxy_protocol {
        drop(snapshot);
        return Box::pin(speak(open, stream, peer, server, address)).await;
    }
    if snapshot.proxy_protocol_from_trusted && !snapshot.trusts(peer.ip()) {
        return debug!(%peer, "a connection that did not come from a trusted proxy was closed");
    }
    drop(snapshot);
    match Box::pin(read_proxy_header(&open, stream)).await {
        Some((source, stream)) => Box::pin(speak(open, stream, source.unwrap_or(peer), server, address)).await,
        None => debug!(%peer, "a connection without a PROXY protocol header was closed"),
    }
}

async fn speak<S: relay::Socket>(open: OpenConnection, stream: S, peer: SocketAddr, server: SocketAddr, address: Address) {
    let trusted = open.core.snapshot().trusts(peer.ip());
    match address.protocol {
        Protocol::Plain => Box::pin(speak_plain(open, stream, Client::new(peer, "http", trusted))).await,
        Protocol::Tls => {
            let client = Client::new(peer, "https", trusted);
            let Some(stream) = Box::pin(accept_tls(&open, stream)).await else { return };
            match stream.get_ref().1.alpn_protocol() {
                Some(b"h2") => Box::pin(h2::serve(open, stream, client)).await,
                _ => drop(Box::pin(h1::serve(open, stream, client, Preface::Refuse)).await),
            }
        }
        Protocol::Tcp => {
            let snapshot = open.core.snapshot();
            // Gone only between a reload and the end of its listener.
            let Some(port) = snapshot.tcp.get(&address.written) else { return };
            if !port.asks_for_name() {
                if let Some(route) = port.any.clone() {
                    Box::pin(relay::serve(open, stream, Vec::new(), &route, peer, server)).await;
                }
                return;
            }
            let Some((name, ahead, stream)) = Box::pin(passthrough::read_name(&open, stream)).await else { return };
            match port.find(name.as_deref()).cloned() {
                Some(route) => Box::pin(relay::serve(open, stream, ahead, &route, peer, server)).await,
                None => debug!(%peer, name, "nothing is behind the name that a connection asks for"),
            }
        }
    }
}

/// Who the balancer in front says it is, and the rest of the connection. `None` if it says nothing of the kind, or not in time.
async fn read_proxy_header(open: &OpenConnection, mut stream: TcpStream) -> Option<(Option<SocketAddr>, Rewind<TcpStream>)> {
    let timer = open.core.timers.timer();
    timer.arm(open.core.snapshot().limits.header_timeout);
    let mut input = Input::new(open.core.buffers.clone());
    let header = poll_fn(|context| {
        loop {
            match proxy_protocol::parse(input.unread()) {
                Ok(Some(header)) => return Poll::Ready(Some(header)),
                Ok(None) => {}
                Err(_) => return Poll::Ready(None),
            }
            match input.poll_fill(context, &mut stream) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return Poll::Ready(None),
                Poll::Pending => break,
            }
        }
        timer.watch(context);
        if timer.fired() { Poll::Ready(None) } else { Poll::Pending }
    });
    let header = header.await?;
    input.consume(header.length);
    Some((header.source, Rewind::new(input.unread(), stream)))
}

/// Whether a connection may turn out to be HTTP/2 by its first bytes (RFC 9113 §3.3). Inside TLS that was agreed on before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preface {
    Accept,
    /// It did not: its first line is being read.
    Missed,
    Refuse,
}

/// `None` if the client does not speak TLS, or not in time. The handshake has as long as a request's head has.
async fn accept_tls<S: AsyncRead + AsyncWrite + Unpin>(open: &OpenConnection, stream: S) -> Option<TlsStream<S>> {
    let snapshot = open.core.snapshot();
    let acceptor = TlsAcceptor::from(snapshot.tls.clone()?); // gone only between a reload and the end of its listener
    let timer = open.core.timers.timer();
    timer.arm(snapshot.limits.header_timeout);
    let mut accepting = pin!(acceptor.accept(stream));
    let accepted = poll_fn(|context| match accepting.as_mut().poll(context) {
        Poll::Ready(result) => Poll::Ready(result.map_err(|error| debug!(%error, "a TLS handshake failed")).ok()),
        Poll::Pending => {
            timer.watch(context);
            if timer.fired() { Poll::Ready(None) } else { Poll::Pending }
        }
    });
    let accepted = accepted.await;
    open.core.counters.handshake(match accepted.as_ref().map(|stream| stream.get_ref().1.handshake_kind()) {
        None => Handshake::Failed,
        Some(Some(HandshakeKind::Resumed)) => Handshake::Resumed,
        Some(_) => Handshake::Full,
    });
    accepted
}

/// Answers a connection over the limit without waiting for anything: what the socket does not take at once is lost.
pub(crate) fn turn_away(stream: &TcpStream, protocol: Protocol) {
    if protocol != Protocol::Plain {
        return; // no words before a handshake
    }
    const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    // Closing with something unread would reset the connection under the answer.
    let _ = stream.try_read(&mut [0; 4096]);
    let _ = stream.try_write(ANSWER);
}

#[cfg(test)]
mod tests;
