//! Opening a connection to an upstream, within a time limit.

use std::{future::poll_fn, net::SocketAddr, pin::pin, rc::Rc, task::Poll, time::Duration};

use tokio::net::TcpStream;

use crate::{
    core::Buffers,
    listen::tune,
    timer::Timer,
    upstream::{UpstreamConnection, UpstreamFault},
};

/// Connects to `address`; gives up after `timeout` on the task's own `timer`.
pub(crate) async fn connect(
    address: SocketAddr,
    timeout: Duration,
    timer: &Timer,
    buffers: &Rc<Buffers>,
) -> Result<Box<UpstreamConnection>, UpstreamFault> {
    open_stream(address, timeout, timer).await.map(|stream| UpstreamConnection::new(stream, buffers))
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
