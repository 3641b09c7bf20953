//! Where requests wait for a place: bounded, first come first served, across cores.
//!
//! Holds [`Waker`]s and nothing of any runtime. The deadline is the waiter's: it drops its [`Ticket`].
use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

/// Requests waiting for one pool.
pub struct Queue {
    waiting: Mutex<Waiting>,
    /// `waiting.tickets.len()`, readable without the lock: the end of every request asks.
    length: AtomicUsize,
}

struct Waiting {
    max: usize,
    next: u64,
    tickets: BTreeMap<u64, State>,
}

enum State {
    /// Entered, not yet polled.
    New,
    Asleep(Waker),
    /// Woken: a place was free a moment ago, and this waiter is the one to look.
    Called,
}

/// `queue_max` requests are waiting already: answer 503 at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueFull;

/// A place in the queue. Dropping it leaves the queue; if it had been called, the next in line is called instead.
#[derive(Debug)]
pub struct Ticket<'a> {
    queue: &'a Queue,
    number: u64,
}

/// Resolves when it is worth choosing again. See [`Ticket::turn`].
pub struct Turn<'t, 'q>(&'t mut Ticket<'q>);

impl Queue {
    pub(crate) fn new(max: usize) -> Queue {
        Queue { waiting: Mutex::new(Waiting { max, next: 0, tickets: BTreeMap::new() }), length: AtomicUsize::new(0) }
    }

    /// Gets in line. Choose once more after entering and before the first [`Ticket::turn`]: a place freed in between called nobody.
    pub fn enter(&self) -> Result<Ticket<'_>, QueueFull> {
        let mut waiting = self.lock();
        if waiting.tickets.len() >= waiting.max {
            return Err(QueueFull);
        }
        let number = waiting.next;
        waiting.next += 1;
        waiting.tickets.insert(number, State::New);
        self.length.store(waiting.tickets.len(), Ordering::SeqCst);
        Ok(Ticket { queue: self, number })
    }

    /// Requests waiting now.
    pub fn waiting(&self) -> usize {
        self.length.load(Ordering::Relaxed)
    }

    pub(crate) fn set_max(&self, max: usize) {
        self.lock().max = max;
    }

    /// A place became free: calls the one who waits longest.
    pub(crate) fn wake_one(&self) {
        // SeqCst on both sides: either this load sees the newcomer, or the newcomer's choice after entering sees the free place.
        std::sync::atomic::fence(Ordering::SeqCst);
        if self.length.load(Ordering::SeqCst) > 0 {
            let waker = self.lock().call_next();
            wake(waker);
        }
    }

    /// Something changed for everybody (a member joined, a cap was lifted).
    pub(crate) fn wake_all(&self) {
        let mut wakers = Vec::new();
        let mut waiting = self.lock();
        for state in waiting.tickets.values_mut() {
            if let State::Asleep(waker) = std::mem::replace(state, State::Called) {
                wakers.push(waker);
            }
        }
        drop(waiting);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Marks the first who is not called yet. `Some(None)`: it was not asleep and will see the mark at its next poll.
    fn call_next(&mut self) -> Option<Option<Waker>> {
        let next = self.tickets.values_mut().find(|state| !matches!(state, State::Called))?;
        match std::mem::replace(next, State::Called) {
            State::Asleep(waker) => Some(Some(waker)),
            _ => Some(None),
        }
    }
}

impl<'q> Ticket<'q> {
    /// Waits until called. Then choose again: on `Full` (somebody was faster) wait for the next turn, with the same place in line.
    /// Cancel-safe.
    pub fn turn(&mut self) -> Turn<'_, 'q> {
        Turn(self)
    }
}

impl Future for Turn<'_, '_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut waiting = self.0.queue.lock();
        let state = waiting.tickets.get_mut(&self.0.number).expect("a ticket is in the queue until it is dropped");
        match state {
            State::Called => {
                *state = State::New;
                Poll::Ready(())
            }
            _ => {
                *state = State::Asleep(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut waiting = self.queue.lock();
        let left = waiting.tickets.remove(&self.number);
        self.queue.length.store(waiting.tickets.len(), Ordering::SeqCst);
        // Called and gone: the place it was called for is somebody else's chance.
        let waker = if matches!(left, Some(State::Called)) { waiting.call_next() } else { None };
        drop(waiting);
        wake(waker);
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}

// === helpers ===

fn wake(waker: Option<Option<Waker>>) {
    if let Some(Some(waker)) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests;
