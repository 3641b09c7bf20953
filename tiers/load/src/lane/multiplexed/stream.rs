//! One request on an HTTP/2 connection: h2's futures for its answer, polled when h2 has something for them.

use super::wake::{StreamWaker, Woken};
use crate::reply::{BODY_KEPT_MAX, Expect};
use h2::{RecvStream, client::ResponseFuture};
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

/// One request on its way. Slots are used again and keep their memory.
pub struct Stream {
    pub phase: Phase,
    waker: Waker,
    pub journey: u32,
    pub sent_ns: u64,
    pub first_byte_ns: u64,
    expect: Expect,
    pub status: u16,
    pub head: Vec<u8>,
    pub body: Vec<u8>,
    pub body_bytes: u64,
}

/// ```text
/// Vacant --begin--> AwaitHead --head--> AwaitBody --last byte--> AwaitTrailers --end--> Complete --free--> Vacant
/// ```
pub enum Phase {
    Vacant,
    AwaitHead(ResponseFuture),
    AwaitBody(RecvStream),
    AwaitTrailers(RecvStream),
    Complete,
}

/// What became of a stream in a turn.
#[derive(Debug)]
pub enum StreamEnd {
    Answered,
    /// `unprocessed`: the server says that it has not looked at the request (RFC 9113 section 8.7), so it may be sent again.
    Failed {
        reason: String,
        unprocessed: bool,
    },
}

impl Stream {
    pub fn new(number: u32, woken: &Arc<Woken>) -> Stream {
        Stream {
            phase: Phase::Vacant,
            waker: Waker::from(Arc::new(StreamWaker { number, woken: Arc::clone(woken) })),
            journey: 0,
            sent_ns: 0,
            first_byte_ns: 0,
            expect: Expect::default(),
            status: 0,
            head: Vec::new(),
            body: Vec::new(),
            body_bytes: 0,
        }
    }

    pub fn begin(&mut self, answer: ResponseFuture, journey: u32, expect: Expect, now: u64) {
        self.phase = Phase::AwaitHead(answer);
        (self.journey, self.sent_ns, self.first_byte_ns, self.expect) = (journey, now, 0, expect);
        (self.status, self.body_bytes) = (0, 0);
        self.head.clear();
        self.body.clear();
    }

    pub fn under_way(&self) -> bool {
        !matches!(self.phase, Phase::Vacant | Phase::Complete)
    }

    /// As far as it goes now.
    pub fn poll(&mut self, now: u64) -> Poll<StreamEnd> {
        let waker = self.waker.clone();
        let mut context = Context::from_waker(&waker);
        loop {
            self.phase = match std::mem::replace(&mut self.phase, Phase::Complete) {
                Phase::Vacant => {
                    self.phase = Phase::Vacant;
                    return Poll::Pending;
                }
                // Told already.
                Phase::Complete => return Poll::Pending,
                Phase::AwaitHead(mut answer) => match Pin::new(&mut answer).poll(&mut context) {
                    Poll::Pending => {
                        self.phase = Phase::AwaitHead(answer);
                        return Poll::Pending;
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(failed(&error)),
                    Poll::Ready(Ok(answer)) => {
                        self.first_byte_ns = now;
                        self.status = answer.status().as_u16();
                        if self.expect.keep_head {
                            write_head(&answer, &mut self.head);
                        }
                        Phase::AwaitBody(answer.into_body())
                    }
                },
                Phase::AwaitBody(mut content) => match content.poll_data(&mut context) {
                    Poll::Pending => {
                        self.phase = Phase::AwaitBody(content);
                        return Poll::Pending;
                    }
                    Poll::Ready(None) => Phase::AwaitTrailers(content),
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(failed(&error)),
                    Poll::Ready(Some(Ok(data))) => {
                        self.take(&data);
                        // The only error is that more is given back than was taken.
                        let _ = content.flow_control().release_capacity(data.len());
                        Phase::AwaitBody(content)
                    }
                },
                Phase::AwaitTrailers(mut content) => match content.poll_trailers(&mut context) {
                    Poll::Pending => {
                        self.phase = Phase::AwaitTrailers(content);
                        return Poll::Pending;
                    }
                    Poll::Ready(Ok(_)) => return Poll::Ready(StreamEnd::Answered),
                    Poll::Ready(Err(error)) => return Poll::Ready(failed(&error)),
                },
            };
        }
    }

    fn take(&mut self, data: &[u8]) {
        self.body_bytes += data.len() as u64;
        if self.expect.keep_body {
            let room = BODY_KEPT_MAX - self.body.len();
            self.body.extend_from_slice(&data[..room.min(data.len())]);
        }
    }
}

fn failed(error: &h2::Error) -> StreamEnd {
    // NO_ERROR in a GOAWAY is a server that ends its connection in an orderly way; what it did not answer it did not look at.
    let unprocessed = error.reason() == Some(h2::Reason::REFUSED_STREAM)
        || error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR);
    StreamEnd::Failed { reason: error.to_string(), unprocessed }
}

/// As HTTP/1.1 would have written it: that is what checks and extraction read.
fn write_head(answer: &http::Response<RecvStream>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/2 ");
    out.extend_from_slice(answer.status().as_str().as_bytes());
    out.extend_from_slice(b"\r\n");
    for (name, value) in answer.headers() {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}
