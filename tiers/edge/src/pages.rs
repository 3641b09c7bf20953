//! Where answers come from when they do not come from an upstream: the seam between serving a request and a store of pages.
//!
//! ```text
//! serve --look_up--> Answer                 sent as it is
//!                --> AnswerAndFetch         sent, and fetched anew in the background (stale-while-revalidate)
//!                --> Fetch(fill)            forwarded; every part of the answer passes through the fill
//!                --> Wait(until)            somebody else fetches the same: asked again afterwards
//!                --> Bypass(reason)         forwarded, and the store does not hear of it
//! ```

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use pumasi_balance::Upstream;
use pumasi_http1::{Fields, Known, RequestHead, ResponseHead};

pub use crate::{
    heads::{Length, RequestEdit},
    routes::Route,
};

/// A store of pages, shared by all cores. Called on a core's loop: nothing here may block.
pub trait Store: Send + Sync {
    /// What to do with a request. `attempt` counts the waits it has behind it: 0 at first.
    fn look_up(&self, ask: &Ask<'_>, attempt: u32) -> Lookup;

    /// For the status page.
    fn status(&self) -> pumasi_status::Store;
}

/// A request as the store sees it.
pub struct Ask<'a> {
    pub head: &'a RequestHead,
    /// `http` or `https`.
    pub scheme: &'static str,
    pub route: &'a Arc<Route>,
    /// The client's address, without port.
    pub client: &'a str,
}

/// What the store wants done.
pub enum Lookup {
    Answer(Answer),
    /// `Answer` goes out at once; the request is repeated in the background, through the fill.
    AnswerAndFetch(Answer, Box<dyn Fill>),
    Fetch(Box<dyn Fill>),
    Wait(Pin<Box<dyn Future<Output = ()>>>),
    /// For Cache-Status, log and metric.
    Bypass(&'static str),
}

/// An answer that is not streamed from an upstream.
pub struct Answer {
    pub status: u16,
    /// End-to-end field lines, each with its CR LF, without framing fields.
    pub lines: Bytes,
    /// More such lines, made for this one request (Age, Cache-Status).
    pub more: Vec<u8>,
    pub length: Length,
    pub content: AnswerContent,
    /// What to say in the access log: `hit`, `stale`, `revalidated`.
    pub outcome: &'static str,
}

/// Where an answer's content comes from. Not sent for HEAD and for statuses without content, whatever it is.
pub enum AnswerContent {
    Whole(Bytes),
    /// Still being fetched, or read from a disk.
    Growing(Box<dyn Growing>),
}

/// Content that comes piece by piece.
pub trait Growing {
    /// The next piece; `None` at the end; an error if there will never be one.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Aborted>>>;
}

/// The fetch behind a growing answer failed: the client's connection is closed, so that a short answer is not taken for a whole one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aborted;

/// One fetch for the store. Dropping it before [`Fill::end`] means that the fetch failed.
pub trait Fill {
    /// How the request is to be changed: conditions of our own, fields that must not reach the origin.
    fn edit(&self) -> Option<&RequestEdit> {
        None
    }

    /// The request is about to be sent to `upstream`; again if it is retried elsewhere.
    fn sending(&mut self, upstream: &Arc<Upstream>);

    /// The final head has arrived (never a 1xx).
    fn head(&mut self, head: &ResponseHead) -> OnHead;

    /// A piece of the content, without framing.
    fn data(&mut self, data: &[u8]);

    /// The answer is complete.
    fn end(self: Box<Self>, trailers: &Fields);

    /// No upstream gave an answer. What is returned is sent in place of the error (stale-if-error).
    fn failed(self: Box<Self>) -> Option<Answer>;
}

/// What becomes of an answer that passes a fill.
pub enum OnHead {
    /// It goes to the client without the fields named and with the lines added.
    Pass { leave_out: &'static [Known], add: Vec<u8> },
    /// The client gets this one; the upstream's content is read and dropped (304 to our own condition, 5xx while a stale one is allowed).
    Instead(Answer),
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("length", &self.length)
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}
