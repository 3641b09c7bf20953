//! A connection's messages one after another: bytes in, events out.

use std::ops::Range;

use crate::{Asked, BodyDecoder, BodyEvent, Fields, Framing, Limits, Refusal, RequestHead, ResponseHead};

/// What a [`RequestDecoder`] found at the start of its input. Ranges are within that input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Nothing to tell before more bytes arrive.
    NeedMore,
    /// A head is complete: see [`RequestDecoder::head`].
    Head,
    Data(Range<usize>),
    /// The message is complete; see [`RequestDecoder::trailers`].
    End,
}

/// Reads the requests of one connection.
///
/// ```text
/// AwaitHead --Head--> InBody --Data*, End--> AwaitHead      any --Err--> the connection is lost
/// ```
#[derive(Debug, Default)]
pub struct RequestDecoder {
    head: RequestHead,
    body: BodyDecoder,
    trailers: Fields,
    in_body: bool,
    blank_skipped: bool,
}

impl RequestDecoder {
    /// Reads from the start of `input`: how many bytes are done with, and what they were. Call again with the rest until
    /// [`Event::NeedMore`]. After an error the connection cannot be read any further.
    pub fn decode(&mut self, input: &[u8], limits: &Limits) -> Result<(usize, Event), Refusal> {
        if self.in_body {
            return self.decode_body(input, limits);
        }
        // RFC 9112 §2.2: one empty line before a request is ignored, for old clients that sent one after a POST.
        let blank = match input {
            [b'\r'] if !self.blank_skipped => return Ok((0, Event::NeedMore)),
            [b'\r', b'\n', ..] if !self.blank_skipped => 2,
            _ => 0,
        };
        self.blank_skipped |= blank > 0;
        match self.head.parse(&input[blank..], limits)? {
            None => Ok((blank, Event::NeedMore)),
            Some(length) => {
                self.begin_body(self.head.framing);
                Ok((blank + length, Event::Head))
            }
        }
    }

    /// Valid from [`Event::Head`] until the next head begins to be read.
    pub fn head(&self) -> &RequestHead {
        &self.head
    }

    /// Swaps the head out, for who needs it longer; what was given comes back as the buffer of the next one.
    pub fn swap_head(&mut self, head: &mut RequestHead) {
        std::mem::swap(&mut self.head, head);
    }

    /// The trailer fields of the message that ended.
    pub fn trailers(&self) -> &Fields {
        &self.trailers
    }

    /// From here on bytes are not HTTP any more: all of them are [`Event::Data`].
    pub fn tunnel(&mut self) {
        self.begin_body(Framing::Tunnel);
    }

    /// The client has closed its side: `Ok` between messages and in a tunnel.
    pub fn close(&mut self, input: &[u8]) -> Result<(), Refusal> {
        match self.in_body {
            true => self.body.close(),
            false if input.is_empty() => Ok(()),
            false => Err(Refusal::Truncated),
        }
    }

    /// Whether the next byte would begin a new request.
    pub fn between_messages(&self) -> bool {
        !self.in_body
    }

    fn begin_body(&mut self, framing: Framing) {
        self.in_body = true;
        self.blank_skipped = false;
        self.body = BodyDecoder::new(framing);
        self.trailers.clear();
    }

    fn decode_body(&mut self, input: &[u8], limits: &Limits) -> Result<(usize, Event), Refusal> {
        let (used, event) = self.body.decode(input, &mut self.trailers, limits)?;
        let event = match event {
            BodyEvent::NeedMore => Event::NeedMore,
            BodyEvent::Data(range) => Event::Data(range),
            BodyEvent::End => {
                self.in_body = false;
                Event::End
            }
        };
        Ok((used, event))
    }
}

/// What a [`ResponseDecoder`] found at the start of its input. Ranges are within that input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponseEvent {
    /// Nothing to tell before more bytes arrive.
    NeedMore,
    /// A 1xx head other than 101; another head follows.
    Interim,
    /// The final head is complete: see [`ResponseDecoder::head`].
    Head,
    Data(Range<usize>),
    /// The message is complete; see [`ResponseDecoder::trailers`].
    End,
}

/// Reads the responses of one connection, each after it was told what was [asked](ResponseDecoder::expect).
#[derive(Debug, Default)]
pub struct ResponseDecoder {
    head: ResponseHead,
    body: BodyDecoder,
    trailers: Fields,
    asked: Option<Asked>,
    in_body: bool,
}

impl ResponseDecoder {
    /// A request was sent; its response comes next.
    pub fn expect(&mut self, asked: Asked) {
        self.asked = Some(asked);
        self.in_body = false;
    }

    /// Reads from the start of `input`: how many bytes are done with, and what they were. Bytes that nobody asked for are
    /// refused as [`Refusal::Excess`].
    pub fn decode(&mut self, input: &[u8], limits: &Limits) -> Result<(usize, ResponseEvent), Refusal> {
        let Some(asked) = self.asked else {
            return if input.is_empty() { Ok((0, ResponseEvent::NeedMore)) } else { Err(Refusal::Excess) };
        };
        if self.in_body {
            return self.decode_body(input, limits);
        }
        match self.head.parse(input, asked, limits)? {
            None => Ok((0, ResponseEvent::NeedMore)),
            Some(length) if self.head.interim() => Ok((length, ResponseEvent::Interim)),
            Some(length) => {
                self.in_body = true;
                self.body = BodyDecoder::new(self.head.framing);
                self.trailers.clear();
                Ok((length, ResponseEvent::Head))
            }
        }
    }

    /// Valid from [`ResponseEvent::Head`] or `Interim` until the next head begins to be read.
    pub fn head(&self) -> &ResponseHead {
        &self.head
    }

    pub fn trailers(&self) -> &Fields {
        &self.trailers
    }

    /// The upstream has closed its side. `Ok(true)` if that completed a response that ends so, `Ok(false)` if none was open.
    pub fn close(&mut self, input: &[u8]) -> Result<bool, Refusal> {
        match (self.asked, self.in_body) {
            (None, _) => Ok(false),
            (Some(_), true) if input.is_empty() => self.body.close().map(|()| true),
            (Some(_), _) => Err(Refusal::Truncated),
        }
    }

    fn decode_body(&mut self, input: &[u8], limits: &Limits) -> Result<(usize, ResponseEvent), Refusal> {
        let (used, event) = self.body.decode(input, &mut self.trailers, limits)?;
        let event = match event {
            BodyEvent::NeedMore => ResponseEvent::NeedMore,
            BodyEvent::Data(range) => ResponseEvent::Data(range),
            BodyEvent::End => {
                self.asked = None;
                self.in_body = false;
                ResponseEvent::End
            }
        };
        Ok((used, event))
    }
}
