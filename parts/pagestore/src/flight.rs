//! Coalescing: one fetch answers many requests.
use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use crate::{Page, lock};

/// A fetch under way that others may wait for.
pub(crate) struct Flight {
    pub name: Box<[u8]>,
    /// Flights are numbered in the order in which they began.
    pub number: u64,
    state: Mutex<State>,
}

struct State {
    landing: Option<Landing>,
    next: u64,
    waiting: Vec<(u64, Option<Waker>)>,
}

/// How a fetch ended for those who waited.
#[derive(Clone, Debug)]
pub enum Landing {
    /// Stored: look it up. The page is here for whoever finds it evicted already.
    Page(Arc<Page>),
    /// A write overtook it: not stored, and nothing for whoever asked after that write. For whoever asked before the fetch began
    /// ([`Waiter::flight`]) it is what the origin would have answered, had it been asked directly.
    Overtaken(Arc<Page>),
    /// Its answer is for one request only, or the fetch failed: look up again, this time not to wait.
    Alone,
}

/// A place among those who wait for a fetch. Dropping it gives the place up.
pub struct Waiter {
    flight: Arc<Flight>,
    number: u64,
}

impl Flight {
    pub fn new(name: Box<[u8]>, number: u64) -> Arc<Flight> {
        Arc::new(Flight { name, number, state: Mutex::new(State { landing: None, next: 0, waiting: Vec::new() }) })
    }

    /// `None` if `max` wait already.
    pub fn board(self: &Arc<Flight>, max: usize) -> Option<Waiter> {
        let mut state = lock(&self.state);
        if state.waiting.len() >= max {
            return None;
        }
        let number = state.next;
        state.next += 1;
        state.waiting.push((number, None));
        Some(Waiter { flight: self.clone(), number })
    }

    pub fn land(&self, landing: Landing) {
        let mut state = lock(&self.state);
        state.landing = Some(landing);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().filter_map(|(_, waker)| waker).for_each(Waker::wake);
    }
}

impl Waiter {
    /// The number of the fetch waited for; see [`Pages::flights_begun`](crate::Pages::flights_begun).
    pub fn flight(&self) -> u64 {
        self.flight.number
    }

    /// Resolves when the fetch has ended. Cancel-safe.
    pub async fn landing(&mut self) -> Landing {
        Landed(self).await
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        lock(&self.flight.state).waiting.retain(|(number, _)| *number != self.number);
    }
}

struct Landed<'w>(&'w Waiter);

impl Future for Landed<'_> {
    type Output = Landing;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Landing> {
        let mut state = lock(&self.0.flight.state);
        if let Some(landing) = &state.landing {
            return Poll::Ready(landing.clone());
        }
        if let Some((_, waker)) = state.waiting.iter_mut().find(|(number, _)| *number == self.0.number) {
            *waker = Some(context.waker().clone());
        }
        Poll::Pending
    }
}
