//! One fetch that several connections wait for, each on its own thread.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::Stored;

/// After this a waiter runs its statement itself: it must not be slower for having waited than its own would have been, twice over.
const WAIT_MAX: Duration = Duration::from_secs(2);

#[derive(Default)]
pub struct Flight {
    state: Mutex<State>,
    landed: Condvar,
    /// For those who share a thread.
    notify: Notify,
}

#[derive(Default)]
struct State {
    landing: Option<Landing>,
    waiting: usize,
}

/// How it ended for those who waited.
#[derive(Clone)]
pub enum Landing {
    /// To be checked by each of them: it may have begun before a write that was acknowledged before they asked.
    Stored(Arc<Stored>),
    /// Run your own.
    Alone,
}

impl Flight {
    /// Waits for the landing; `Alone` if `waiters_max` wait already, or after two seconds.
    pub fn wait(&self, waiters_max: usize) -> Landing {
        let deadline = Instant::now() + WAIT_MAX;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.waiting >= waiters_max {
            return Landing::Alone;
        }
        state.waiting += 1;
        loop {
            if let Some(landing) = state.landing.clone() {
                return landing;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                state.waiting -= 1;
                return Landing::Alone;
            }
            state = self.landed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// As [`Flight::wait`], without holding the thread.
    pub async fn wait_sharing(&self, waiters_max: usize) -> Landing {
        let notified = self.notify.notified();
        tokio::pin!(notified);
        // From here on a landing is not missed.
        notified.as_mut().enable();
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(landing) = state.landing.clone() {
                return landing;
            }
            if state.waiting >= waiters_max {
                return Landing::Alone;
            }
            state.waiting += 1;
        }
        let landed = tokio::time::timeout(WAIT_MAX, notified).await.is_ok();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !landed {
            state.waiting -= 1;
        }
        state.landing.clone().unwrap_or(Landing::Alone)
    }

    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).waiting
    }

    pub fn land(&self, landing: Landing) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).landing = Some(landing);
        self.landed.notify_all();
        self.notify.notify_waiters();
    }
}
