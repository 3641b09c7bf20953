//! The writer's lock: one session writes at a time, the others wait in the order they came.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Fair: a ticket is drawn on arrival and the lock goes to the lowest one waiting.
#[derive(Default)]
pub struct WriterLock {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    next_ticket: u64,
    held: bool,
    waiting: VecDeque<u64>,
}

/// Why the lock was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTaken {
    TimedOut,
    Interrupted,
}

impl WriterLock {
    /// Waits for the lock, at most `timeout`; `interrupted` is asked whenever something changed. The caller must `release` it.
    pub fn acquire(&self, timeout: Duration, interrupted: impl Fn() -> bool) -> Result<(), NotTaken> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.held && state.waiting.is_empty() {
            state.held = true;
            return Ok(());
        }
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.waiting.push_back(ticket);
        let deadline = Instant::now() + timeout;
        loop {
            if !state.held && state.waiting.front() == Some(&ticket) {
                state.waiting.pop_front();
                state.held = true;
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let why = if interrupted() {
                Some(NotTaken::Interrupted)
            } else if left.is_zero() {
                Some(NotTaken::TimedOut)
            } else {
                None
            };
            if let Some(why) = why {
                state.waiting.retain(|waiting| *waiting != ticket);
                // The one behind may be the first now.
                self.changed.notify_all();
                return Err(why);
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub fn release(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.held = false;
        drop(state);
        self.changed.notify_all();
    }

    /// Makes those who wait look whether they were interrupted.
    pub fn nudge(&self) {
        // Taken and let go, so that nobody is between its look and its wait.
        drop(self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }
}
