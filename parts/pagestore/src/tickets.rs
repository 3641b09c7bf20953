//! Tickets of a queue whose jobs are done one after another: who waits for one, and which are done.

use std::task::{Context, Poll, Waker};

/// How many were given, and how many of those are done: a number is done once `done` has reached it.
#[derive(Default)]
pub(crate) struct Tickets {
    given: u64,
    done: u64,
    waiting: Vec<Waker>,
}

impl Tickets {
    /// A job was queued: its number.
    pub fn give(&mut self) -> u64 {
        self.given += 1;
        self.given
    }

    /// The next `jobs` are done. Wakes whoever waits for any.
    pub fn finish(&mut self, jobs: u64) {
        self.done += jobs;
        debug_assert!(self.done <= self.given);
        self.waiting.drain(..).for_each(Waker::wake);
    }

    /// All that were given are done, or as good as.
    pub fn finish_all(&mut self) {
        self.finish(self.given - self.done);
    }

    pub fn done(&self, number: u64) -> bool {
        self.done >= number
    }

    pub fn all_done(&self) -> bool {
        self.done == self.given
    }

    pub fn poll(&mut self, number: u64, context: &mut Context<'_>) -> Poll<()> {
        if self.done(number) {
            return Poll::Ready(());
        }
        if !self.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
            self.waiting.push(context.waker().clone());
        }
        Poll::Pending
    }
}
