//! An answer that somebody else fetches, sent to this client while it arrives.

use std::{
    future::poll_fn,
    task::{Context, Poll},
};

use pumasi_http1::Fields;
use pumasi_pagestore::{Read, Stream};

use super::{Visit, now_ms};
use crate::{downstream::Downstream, heads::Length};

/// Bytes handed over at once, while the fetch waits: a memory copy of some microseconds.
const PIECE: usize = 64 << 10;

impl Visit<'_> {
    /// Sends `stream` at this client's own pace. If the fetch breaks off, so does this connection: what was sent must not pass for the whole.
    pub(super) async fn stream<D: Downstream>(&self, mut stream: Stream, down: &mut D) {
        let mut lines = self.core.lines.take();
        lines.clear();
        stream.write_lines(now_ms(), &mut lines);
        let length = stream.length().map_or(Length::Open, Length::Known);
        down.send_head(stream.status(), stream.reason(), &lines, length);
        self.core.lines.set(lines);
        let idle_timeout = self.snapshot.limits.body_idle_timeout;
        down.timer().arm(idle_timeout);
        let streamed = poll_fn(|context| {
            let before = (down.sent_total(), down.unsent());
            let step = step(&mut stream, down, context);
            if before != (down.sent_total(), down.unsent()) {
                down.timer().arm(idle_timeout);
            }
            if step.is_ready() {
                return step;
            }
            let timer = down.timer();
            timer.watch(context);
            if timer.fired() { Poll::Ready(Streamed::Left) } else { Poll::Pending }
        })
        .await;
        down.timer().disarm();
        match streamed {
            Streamed::Whole => down.send_end(&Fields::default()),
            Streamed::Broken => down.close_after(),
            Streamed::Left => {
                self.route.traffic.client_left();
                down.close_after();
            }
        }
    }
}

/// How it ended.
enum Streamed {
    /// The client has, or will have, all of it.
    Whole,
    /// The fetch broke off.
    Broken,
    /// The client is gone, or takes nothing.
    Left,
}

/// Moves what can be moved.
fn step<D: Downstream>(stream: &mut Stream, down: &mut D, context: &mut Context<'_>) -> Poll<Streamed> {
    loop {
        while !down.full() {
            match stream.poll_read(context, PIECE, |data| down.send_data(data)) {
                Poll::Ready(Read::Data(_)) => {}
                Poll::Ready(Read::Rest(rest)) => {
                    down.send_shared(&rest, 0..rest.len());
                    return Poll::Ready(Streamed::Whole);
                }
                Poll::Ready(Read::End) => return Poll::Ready(Streamed::Whole),
                Poll::Ready(Read::Broken) => return Poll::Ready(Streamed::Broken),
                Poll::Pending => break,
            }
        }
        let full = down.full();
        if down.poll_gone(context).is_ready() {
            return Poll::Ready(Streamed::Left);
        }
        match down.poll_flush(context) {
            Poll::Ready(Err(_)) => return Poll::Ready(Streamed::Left),
            Poll::Ready(Ok(())) if full => {} // there is room again
            Poll::Pending if full && !down.full() => {}
            _ => return Poll::Pending,
        }
    }
}
