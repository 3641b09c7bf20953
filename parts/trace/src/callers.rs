//! Whose statement it is: the requests in flight at one worker, for its SQL's spans.
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

use crate::{Context, Statement, Tap, comment::comment, context::mixed};

/// The requests in flight at one worker, told by whoever forwards them, asked by whoever runs the worker's statements.
///
/// A statement is a request's if it says so itself (`traceparent='00-...'` in a comment, as sqlcommenter and many drivers' instrumentation write
/// it), or if exactly one request was in flight at its worker when it came. Otherwise it is nobody's: a span under the wrong request is
/// worse than none. What a worker does by itself while it has one request in flight is taken for that request's.
#[derive(Debug, Default)]
pub struct Callers {
    /// As many as there are in `inside`, to be looked at without waiting.
    count: AtomicUsize,
    inside: Mutex<Vec<Inside>>,
    entered: AtomicU64,
}

#[derive(Debug)]
struct Inside {
    number: u64,
    /// None: not sampled, or a probe. It is in flight all the same.
    sampled: Option<(Context, Arc<Tap>)>,
}

/// A request in flight, until it is dropped.
#[must_use = "the request is in flight as long as it is held"]
#[derive(Debug)]
pub struct Caller {
    callers: Arc<Callers>,
    /// None beyond [`INSIDE_MAX`].
    number: Option<u64>,
}

/// Requests in flight at one worker that are told apart. With more of them no statement is anybody's but by its own word.
pub const INSIDE_MAX: usize = 1024;

impl Callers {
    /// A request is forwarded, `sampled` with where its span goes. Before its first byte is sent.
    pub fn enter(self: &Arc<Callers>, sampled: Option<(Context, Arc<Tap>)>) -> Caller {
        let mut inside = self.lock();
        // Counted even if there is no room for it: two are not one.
        self.count.fetch_add(1, Relaxed);
        if inside.len() >= INSIDE_MAX {
            return Caller { callers: self.clone(), number: None };
        }
        let number = self.entered.fetch_add(1, Relaxed);
        inside.push(Inside { number, sampled });
        Caller { callers: self.clone(), number: Some(number) }
    }

    /// A statement begins: whose span it belongs under, if that is sampled. While no request is told of, that costs one relaxed load.
    pub fn statement(&self, sql: &[u8]) -> Option<Calling> {
        if self.count.load(Relaxed) == 0 {
            return None;
        }
        self.calling(sql)
    }

    #[cold]
    fn calling(&self, sql: &[u8]) -> Option<Calling> {
        let said = said(sql);
        let (tap, trace, parent) = {
            let inside = self.lock();
            let one = match &inside[..] {
                [one] if self.count.load(Relaxed) == 1 => one.sampled.as_ref(),
                _ => None,
            };
            match (said, one) {
                (Some((_, _, false)), _) => return None,
                (Some((trace, parent, true)), _) => (inside.iter().find_map(|inside| inside.sampled.as_ref())?.1.clone(), trace, parent),
                (None, one) => one.map(|(context, tap)| (tap.clone(), context.trace, context.span))?,
            }
        };
        let number = self.entered.fetch_add(1, Relaxed);
        let span = mixed(number ^ u64::from_be_bytes(parent)).max(1).to_be_bytes();
        Some(Calling { context: Context { trace, parent: Some(parent), span, sampled: true }, tap })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Inside>> {
        // Nothing panics while it is held, and every state in between is a valid one.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        let mut inside = self.callers.lock();
        if let Some(place) = inside.iter().position(|inside| Some(inside.number) == self.number) {
            inside.swap_remove(place);
        }
        self.callers.count.fetch_sub(1, Relaxed);
    }
}

/// A statement under way whose span is wanted.
#[derive(Debug)]
pub struct Calling {
    context: Context,
    tap: Arc<Tap>,
}

impl Calling {
    /// It is over: `say` tells of it, under the context that it is given.
    pub fn ended(self, say: impl FnOnce(Context) -> Statement) {
        self.tap.statements.offer(say(self.context));
    }
}

/// The `traceparent` of a comment: trace, parent, whether it is sampled.
fn said(sql: &[u8]) -> Option<([u8; 16], [u8; 8], bool)> {
    Some(comment(sql)?.1)
}

#[cfg(test)]
mod tests;
