//! TLS that is passed on without being decrypted: the name in the client's first message chooses who gets the connection.

use std::{future::poll_fn, task::Poll};

use pumasi_clienthello::INPUT_BYTES_MAX;
use tokio::io::AsyncRead;
use tracing::debug;

use crate::{core::OpenConnection, input::Input};

/// Reads the client's hello: the name in it, all bytes read so far, and the connection they came from. `None` if what comes is no TLS, or
/// does not come within `header_timeout`. Nothing is answered: the connection is not ours.
pub(crate) async fn read_name<S: AsyncRead + Unpin>(open: &OpenConnection, mut socket: S) -> Option<(Option<String>, Vec<u8>, S)> {
    let timer = open.core.timers.timer();
    timer.arm(open.core.snapshot().limits.header_timeout);
    let mut input = Input::new(open.core.buffers.clone());
    let hello = poll_fn(|context| {
        loop {
            match pumasi_clienthello::parse(input.unread()) {
                Ok(Some(hello)) => return Poll::Ready(Some(hello)),
                Ok(None) if input.unread().len() > INPUT_BYTES_MAX => return Poll::Ready(None),
                Ok(None) => {}
                Err(error) => {
                    debug!(%error, "a connection cannot be passed on by name");
                    return Poll::Ready(None);
                }
            }
            match input.poll_fill(context, &mut socket) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return Poll::Ready(None),
                Poll::Pending => break,
            }
        }
        timer.watch(context);
        if timer.fired() { Poll::Ready(None) } else { Poll::Pending }
    });
    let hello = hello.await?;
    Some((hello.name, input.unread().to_vec(), socket))
}
