//! Where finished exchanges are offered, and the queues in which they wait.
use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
};

use crate::Context;

/// Exchanges that may wait for one listener. At a few hundred bytes each, some 20 MB; what is beyond it is lost and counted.
pub const WAITING_MAX: usize = 65_536;

/// One request and what became of it.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    /// Microseconds since the Unix epoch at its end.
    pub ended_unix_us: u64,
    pub took_us: u64,
    /// 0: the client left before an answer.
    pub status: u16,
    pub method: Box<str>,
    pub host: Box<str>,
    /// Path and query as they came.
    pub target: Box<str>,
    pub client: Box<str>,
    /// Tells visitors behind one address apart; of no other meaning.
    pub user_agent: u64,
    /// Of the request's content.
    pub content_type: Box<str>,
    /// The whole of it, while a recording wants it and if it is not too large.
    pub content: Option<Box<[u8]>>,
    pub read_bytes: u64,
    pub sent_bytes: u64,
    pub route: Box<str>,
    pub upstream: Box<str>,
    /// What the page store did: `hit`, `miss`, a bypass reason; empty where pages are off.
    pub pages: &'static str,
    /// Only while traces are wanted.
    pub context: Option<Context>,
}

/// One SQL statement of a sampled request.
#[derive(Clone, Debug)]
pub struct Statement {
    /// Its parent is the request's span, or the application's own inside that.
    pub context: Context,
    /// Microseconds since the Unix epoch at its end.
    pub ended_unix_us: u64,
    pub took_us: u64,
    /// As the configuration names it.
    pub database: Box<str>,
    /// Without its values.
    pub text: Box<str>,
    pub rows: u64,
    pub ok: bool,
    /// Answered from a stored result.
    pub kept: bool,
}

/// Offered to from hot paths, taken from by whoever listens.
#[derive(Debug, Default)]
pub struct Tap {
    pub recording: Queue,
    pub tracing: Queue,
    /// The statements of those, where they can be told.
    pub statements: Queue<Statement>,
    /// The recording wants the requests' contents as well.
    contents: AtomicBool,
    /// One in so many requests without a caller's decision is sampled; 0: none.
    one_in: AtomicU32,
}

/// Exchanges, or what else there is, on their way to one listener. Invariant: at most [`WAITING_MAX`].
#[derive(Debug)]
pub struct Queue<T = Exchange> {
    wanted: AtomicBool,
    waiting: Mutex<VecDeque<T>>,
    lost: AtomicU64,
}

impl<T> Default for Queue<T> {
    /// Nobody listens yet.
    fn default() -> Queue<T> {
        Queue { wanted: AtomicBool::default(), waiting: Mutex::default(), lost: AtomicU64::default() }
    }
}

impl Tap {
    /// Whether anybody listens. Two relaxed loads: all that an exchange costs while nobody does.
    pub fn wanted(&self) -> bool {
        self.recording.wanted() || self.tracing.wanted()
    }

    /// Whether a recording wants the contents of requests. One relaxed load.
    pub fn contents_wanted(&self) -> bool {
        self.contents.load(Relaxed)
    }

    /// Begins a recording, or goes on with it.
    pub fn record(&self, contents: bool) {
        self.contents.store(contents, Relaxed);
        self.recording.open();
    }

    pub fn stop_recording(&self) {
        self.contents.store(false, Relaxed);
        self.recording.close();
    }

    /// Begins to sample for traces, one in `one_in` requests; 0 samples only what the caller asks for.
    pub fn trace(&self, one_in: u32) {
        self.one_in.store(one_in, Relaxed);
        self.tracing.open();
        self.statements.open();
    }

    /// The context of a request, while traces are wanted: see [`Context::of`].
    pub fn context(&self, header: Option<&[u8]>, id: u64, run: u64) -> Option<Context> {
        self.tracing.wanted().then(|| Context::of(header, id, run, self.one_in.load(Relaxed)))
    }

    pub fn offer(&self, exchange: Exchange) {
        let sampled = exchange.context.is_some_and(|context| context.sampled);
        if self.recording.wanted() {
            self.recording.put(exchange.clone());
        }
        if sampled && self.tracing.wanted() {
            self.tracing.put(exchange);
        }
    }
}

impl<T> Queue<T> {
    pub fn wanted(&self) -> bool {
        self.wanted.load(Relaxed)
    }

    pub fn open(&self) {
        self.wanted.store(true, Relaxed);
    }

    /// Nothing more is taken, and what waits is dropped.
    pub fn close(&self) {
        self.wanted.store(false, Relaxed);
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.lost.store(0, Relaxed);
    }

    /// The oldest that wait, at most `most`.
    pub fn take(&self, most: usize) -> Vec<T> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let count = waiting.len().min(most);
        waiting.drain(..count).collect()
    }

    /// How many were lost since the last call.
    pub fn lost(&self) -> u64 {
        self.lost.swap(0, Relaxed)
    }

    /// Takes it if somebody listens.
    pub fn offer(&self, one: T) {
        if self.wanted() {
            self.put(one);
        }
    }

    fn put(&self, one: T) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < WAITING_MAX {
            waiting.push_back(one);
        } else {
            self.lost.fetch_add(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;
