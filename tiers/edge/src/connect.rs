//! Opening a connection to an upstream, within a time limit.

use std::{future::poll_fn, net::SocketAddr, pin::pin, rc::Rc, task::Poll, time::Duration};

use pumasi_balance::Upstream;
use tokio::net::TcpStream;

use crate::{
    buffers::Buffers,
    listen::tune,
    timer::Timer,
    upstream::{
        UpstreamConnection, UpstreamFault,
        wire::{Speak, Wire},
    },
};

/// Connects to `upstream` for HTTP/1.1 as `wire` says; gives up after `timeout` on the task's own `timer`.
pub(crate) async fn connect(
    upstream: &Upstream,
    wire: &Wire,
    timeout: Duration,
    timer: &Timer,
    buffers: &Rc<Buffers>,
) -> Result<Box<UpstreamConnection>, UpstreamFault> {
    let stream = wire.open(upstream, Speak::Http1, timeout, timer).await?;
    Ok(UpstreamConnection::new(stream, wire.id, buffers))
}

/// The same for what is not HTTP.
pub(crate) async fn open_stream(address: SocketAddr, timeout: Duration, timer: &Timer) -> Result<TcpStream, UpstreamFault> {
    timer.arm(timeout);
    let mut connecting = pin!(TcpStream::connect(address));
    let outcome = poll_fn(|context| {
        if let Poll::Ready(result) = connecting.as_mut().poll(context) {
            return Poll::Ready(result.map_err(UpstreamFault::Connect));
        }
        timer.watch(context);
        if timer.fired() { Poll::Ready(Err(UpstreamFault::ConnectTimeout)) } else { Poll::Pending }
    });
    let stream = outcome.await?;
    timer.disarm();
    tune(&stream, address.ip());
    Ok(stream)
}
