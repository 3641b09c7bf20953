//! Opening a connection, within a time limit.

use std::{future::poll_fn, net::SocketAddr, pin::pin, task::Poll, time::Duration};

use tokio::net::TcpStream;

use crate::{listen::tune, timer::Timer, upstream::UpstreamFault};

/// Connects to `address`; gives up after `timeout` on the task's own `timer`.
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
