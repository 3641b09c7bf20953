//! A request that nobody waits for: the store repeats one to have its answer fresh.

use std::{
    io,
    ops::Range,
    task::{Context, Poll},
};

use bytes::Bytes;
use pumasi_http1::{Fields, Framing, RequestHead, ResponseHead};

use crate::{
    downstream::{Content, Downstream, DownstreamFault},
    heads::{Client, Length},
    timer::Timer,
};

/// Has a head and no content, and lets every answer fall.
pub(crate) struct Background {
    head: RequestHead,
    client: Client,
    timer: Timer,
    trailers: Fields,
    status: Option<u16>,
}

impl Background {
    pub fn new(mut head: RequestHead, client: Client, timer: Timer) -> Background {
        head.framing = Framing::Empty;
        Background { head, client, timer, trailers: Fields::default(), status: None }
    }
}

impl Downstream for Background {
    fn request(&self) -> &RequestHead {
        &self.head
    }

    fn protocol(&self) -> &'static str {
        "-" // nobody asked
    }

    fn client(&self) -> &Client {
        &self.client
    }

    fn timer(&self) -> &Timer {
        &self.timer
    }

    fn has_content(&self) -> bool {
        false
    }

    fn poll_content(&mut self, _: &mut Context<'_>) -> Poll<Result<Content, DownstreamFault>> {
        Poll::Ready(Ok(Content::End))
    }

    fn content(&self, _: Range<usize>) -> &[u8] {
        &[]
    }

    fn trailers(&self) -> &Fields {
        &self.trailers
    }

    fn send_interim(&mut self, _: &ResponseHead) {}

    fn send_head(&mut self, status: u16, _: &[u8], _: &[u8], _: Length) {
        self.status = Some(status);
    }

    fn send_switch(&mut self, head: &ResponseHead, _: &[u8]) {
        self.status = Some(head.status);
    }

    fn send_data(&mut self, _: &[u8]) {}

    fn send_shared(&mut self, _: &Bytes, _: Range<usize>) {}

    fn send_end(&mut self, _: &Fields) {}

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn full(&self) -> bool {
        false
    }

    fn unsent(&self) -> usize {
        0
    }

    fn sent_total(&self) -> u64 {
        0
    }

    fn read_total(&self) -> u64 {
        0
    }

    fn status(&self) -> Option<u16> {
        self.status
    }

    fn close_after(&mut self) {}
}
