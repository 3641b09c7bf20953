//! Coalescing: one fetch answers many requests.
use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use crate::{Page, Stream, feed::Feed, lock};

/// A fetch under way that others may wait for.
pub(crate) struct Flight {
    pub name: Box<[u8]>,
    /// Flights are numbered in the order in which they began.
    pub number: u64,
    state: Mutex<State>,
}

struct State {
    landing: Option<Landing>,
    /// The answer has begun, and may be read while it arrives.
    feed: Option<Arc<Feed>>,
    next: u64,
    waiting: Vec<(u64, Option<Waker>)>,
}

/// How a fetch ended for those who waited.
#[derive(Clone, Debug)]
pub enum Landing {
    /// Not ended yet: its answer arrives and can be read from its beginning on. Told once; who cannot use it waits on for the end.
    Begun(Stream),
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
    /// [`Landing::Begun`] was told.
    told: bool,
}

impl Flight {
    pub fn new(name: Box<[u8]>, number: u64) -> Arc<Flight> {
        Arc::new(Flight { name, number, state: Mutex::new(State { landing: None, feed: None, next: 0, waiting: Vec::new() }) })
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
        Some(Waiter { flight: self.clone(), number, told: false })
    }

    /// The answer has begun: who waits, and who comes from now on, may read it while it arrives.
    pub fn begin(&self, feed: &Arc<Feed>) {
        let mut state = lock(&self.state);
        state.feed = Some(feed.clone());
        let wakers: Vec<Waker> = state.waiting.iter_mut().filter_map(|(_, waker)| waker.take()).collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Whether somebody waits.
    pub fn awaited(&self) -> bool {
        !lock(&self.state).waiting.is_empty()
    }

    pub fn land(&self, landing: Landing) {
        let mut state = lock(&self.state);
        state.landing = Some(landing);
        state.feed = None;
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

    /// Resolves when the fetch has ended, and once before when its answer has begun to arrive. Cancel-safe.
    pub async fn landing(&mut self) -> Landing {
        Landed(self).await
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        lock(&self.flight.state).waiting.retain(|(number, _)| *number != self.number);
    }
}

struct Landed<'w>(&'w mut Waiter);

impl Future for Landed<'_> {
    type Output = Landing;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Landing> {
        let Waiter { flight, number, told } = &mut *self.get_mut().0;
        let mut state = lock(&flight.state);
        if let Some(landing) = &state.landing {
            return Poll::Ready(landing.clone());
        }
        if let Some(feed) = state.feed.as_ref().filter(|_| !std::mem::replace(told, true)) {
            return Poll::Ready(Landing::Begun(Stream::of(feed)));
        }
        if let Some((_, waker)) = state.waiting.iter_mut().find(|(waiting, _)| waiting == number) {
            *waker = Some(context.waker().clone());
        }
        Poll::Pending
    }
}
