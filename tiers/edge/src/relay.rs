//! TCP passed on as it is: a member of the pool for each connection, bytes both ways, no more than two buffers each.
//!
//! Small messages are copied; once a way moves in bulk, its bytes stay inside the kernel ([`splice`]).

pub(crate) mod splice;

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use pumasi_balance::{Lease, Outcome};
use pumasi_config::ProxyProtocol;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tracing::debug;

use crate::{
    buffers::{Buffers, INPUT_BYTES},
    connect::open_stream,
    core::{Core, OpenConnection},
    downstream::rewind::Rewind,
    place,
    proxy_protocol::{write_v1, write_v2},
    relay::splice::Pipe,
    routes::TcpRoute,
    timer::Timer,
    upstream::UpstreamFault,
};

/// Members one connection may be tried on: the first and one more. Nothing has been sent to either.
const ATTEMPTS_MAX: usize = 2;

/// Serves one connection, of which `ahead` was read already, until both sides have ended it, or neither moves for too long. A client that nobody takes is closed: there is no
/// way to tell it more.
pub(crate) async fn serve<S: Socket>(
    open: OpenConnection,
    mut socket: S,
    ahead: Vec<u8>,
    route: &TcpRoute,
    client: SocketAddr,
    server: SocketAddr,
) {
    let core = open.core.clone();
    let timer = core.timers.timer();
    let Some((lease, mut upstream)) = reach(&open, route, client, &timer).await else { return };
    let mut up = Way::default();
    match route.send {
        ProxyProtocol::Off => {}
        ProxyProtocol::V1 => write_v1(&mut up.bytes, client, server),
        ProxyProtocol::V2 => write_v2(&mut up.bytes, client, server),
    }
    up.bytes.extend_from_slice(&ahead);
    up.end = up.bytes.len();
    let mut down = Way::default();
    let idle = core.snapshot().limits.tunnel_idle_timeout;
    timer.arm(idle);
    let outcome = poll_fn(|context| {
        let moved = match (up.poll(context, &mut socket, &mut upstream, &core), down.poll(context, &mut upstream, &mut socket, &core)) {
            (Ok(a), Ok(b)) => a || b,
            (Err(error), _) | (_, Err(error)) => return Poll::Ready(Err(error)),
        };
        if up.shut && down.shut {
            return Poll::Ready(Ok(()));
        }
        if moved {
            timer.arm(idle);
        }
        timer.watch(context);
        if timer.fired() { Poll::Ready(Err(io::ErrorKind::TimedOut.into())) } else { Poll::Pending }
    })
    .await;
    [&mut up, &mut down].into_iter().filter_map(|way| way.pipe.take()).for_each(|pipe| core.pipes.give(pipe));
    core.counters.bytes(up.moved, down.moved);
    if let Err(error) = outcome {
        debug!(upstream = %lease.upstream().name, %error, "a passed-on connection ended early");
    }
}

/// A connection to a member, and the place it takes there.
async fn reach(open: &OpenConnection, route: &TcpRoute, client: SocketAddr, timer: &Timer) -> Option<(Lease, TcpStream)> {
    let key = route.by_address.then(|| pumasi_balance::key(client.ip().to_canonical().to_string().as_bytes()));
    let timeout = open.core.snapshot().limits.connect_timeout;
    let mut tried = Vec::new();
    while tried.len() < ATTEMPTS_MAX {
        let (mut lease, _) = place::find(&route.pool, key, &tried, route.queue_timeout, timer, Instant::now()).await.ok()?;
        tried.push(lease.upstream().id());
        let began = Instant::now();
        let opened = open_stream(lease.upstream().address, timeout, timer).await;
        lease.upstream().connected(began.elapsed(), opened.is_ok());
        match opened {
            Ok(stream) => {
                lease.observe(Outcome::Ok { latency: began.elapsed() }, Instant::now());
                return Some((lease, stream));
            }
            Err(fault) => report(lease, &fault),
        }
    }
    None
}

fn report(lease: Lease, fault: &UpstreamFault) {
    let (pool, upstream) = (lease.pool().clone(), lease.upstream().clone());
    debug!(pool = %pool.name, upstream = %upstream.name, %fault, "a connection could not be passed on");
    if let Some(change) = lease.end(Outcome::Failed, Instant::now()) {
        tracing::warn!(pool = %pool.name, upstream = %upstream.name, from = change.from.word(), to = change.to.word(), "upstream changed health");
    }
}

/// A connection that may be a bare socket.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin {
    /// The socket, if nothing stands between it and the bytes.
    fn bare(&self) -> Option<&TcpStream>;
}

impl Socket for TcpStream {
    fn bare(&self) -> Option<&TcpStream> {
        Some(self)
    }
}

impl Socket for Rewind<TcpStream> {
    fn bare(&self) -> Option<&TcpStream> {
        Rewind::bare(self).then_some(&self.socket)
    }
}

/// What came of a step in the kernel.
enum Spliced {
    Moved,
    /// The other side takes no more at the moment.
    Waits,
    /// Bytes are to be copied, or nothing has come.
    NotNow,
}

/// One direction. Its buffer is the bound on how far one side may be ahead of the other.
#[derive(Debug, Default)]
struct Way {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    read_closed: bool,
    /// The end was passed on as well.
    shut: bool,
    moved: u64,
    /// Held while bytes move inside the kernel.
    pipe: Option<Pipe>,
    /// The last read filled its buffer: more is likely to come.
    bulk: bool,
    /// This kernel or socket cannot do it.
    copies_only: bool,
}

/// A way that moves less at once goes back to copying: a pipe would only be one more thing to hold.
const BULK_MIN: usize = 16 << 10;

impl Way {
    /// Moves what can be moved now. Whether anything was.
    fn poll<A: Socket, B: Socket>(&mut self, context: &mut Context<'_>, from: &mut A, to: &mut B, core: &Core) -> io::Result<bool> {
        let buffers = &*core.buffers;
        let mut moved = false;
        while !self.shut {
            let spliced = match (from.bare(), to.bare()) {
                (Some(from), Some(to)) if self.start == self.end && !self.read_closed => self.poll_splice(context, from, to, core)?,
                _ => Spliced::NotNow,
            };
            match spliced {
                Spliced::Moved => {
                    moved = true;
                    continue;
                }
                Spliced::Waits => break,
                Spliced::NotNow => {}
            }
            if self.start < self.end {
                match Pin::new(&mut *to).poll_write(context, &self.bytes[self.start..self.end])? {
                    Poll::Pending => break,
                    Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Poll::Ready(count) => {
                        self.start += count;
                        self.moved += count as u64;
                    }
                }
            } else if self.read_closed {
                match Pin::new(&mut *to).poll_shutdown(context) {
                    Poll::Pending => break,
                    Poll::Ready(_) => self.shut = true, // the other side may be gone already: then it is shut, too
                }
            } else if !self.poll_read(context, from, buffers)? {
                let _ = Pin::new(&mut *to).poll_flush(context)?;
                break;
            }
            moved = true;
        }
        Ok(moved)
    }

    /// One step of a way in bulk, in the kernel.
    fn poll_splice(&mut self, context: &mut Context<'_>, from: &TcpStream, to: &TcpStream, core: &Core) -> io::Result<Spliced> {
        if self.pipe.is_none() {
            if !self.bulk || self.copies_only {
                return Ok(Spliced::NotNow);
            }
            self.pipe = core.pipes.take();
        }
        let Some(pipe) = &mut self.pipe else { return Ok(Spliced::NotNow) };
        if pipe.holds > 0 {
            return match pipe.poll_empty(context, to)? {
                Poll::Pending => Ok(Spliced::Waits),
                Poll::Ready(count) => {
                    self.moved += count as u64;
                    Ok(Spliced::Moved)
                }
            };
        }
        let filled = match pipe.poll_fill(context, from) {
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Unsupported => {
                self.copies_only = true;
                None
            }
            Poll::Ready(result) => Some(result?),
            Poll::Pending => None,
        };
        self.bulk = filled.is_some_and(|count| count >= BULK_MIN);
        self.read_closed = filled == Some(0);
        if !self.bulk && self.pipe.as_ref().is_some_and(|pipe| pipe.holds == 0) {
            // Nothing more to come for now: a connection that waits holds nothing.
            self.pipe.take().into_iter().for_each(|pipe| core.pipes.give(pipe));
        }
        Ok(if filled.is_some() { Spliced::Moved } else { Spliced::NotNow })
    }

    /// Reads into the empty buffer. `false` when there is nothing to read now: then no buffer is held.
    fn poll_read<A: AsyncRead + Unpin>(&mut self, context: &mut Context<'_>, from: &mut A, buffers: &Buffers) -> io::Result<bool> {
        let mut bytes = buffers.take_input();
        let mut window = ReadBuf::new(&mut bytes);
        let polled = Pin::new(from).poll_read(context, &mut window);
        let count = window.filled().len();
        self.bulk = count == INPUT_BYTES;
        (self.start, self.end) = (0, count);
        let kept = std::mem::replace(&mut self.bytes, bytes);
        buffers.give_input(kept);
        if count == 0 {
            buffers.give_input(std::mem::take(&mut self.bytes));
        }
        match polled {
            Poll::Pending => Ok(false),
            Poll::Ready(result) => {
                result?;
                self.read_closed = count == 0;
                Ok(true)
            }
        }
    }
}
