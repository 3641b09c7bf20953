//! How others reach into a client's task: KILL, the end of the proxy, the end of a primary, the end of patience.

use std::{
    future::poll_fn,
    net::Shutdown,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Poll, Waker},
    time::Duration,
};

use crate::front::{IDLE_TIMEOUT, registry::HangUp};

/// How often the clients of a core are looked over for those that have said nothing.
pub const LOOK_OVER: Duration = Duration::from_secs(60);

/// Looks over a client that has said nothing until it is sent away.
const IDLE_LOOKS: u32 = (IDLE_TIMEOUT.as_secs() / LOOK_OVER.as_secs()) as u32;

/// What others have to say to one client's task. It looks whenever it is woken; saying something wakes it.
///
/// A task keeps one waker for its life, so waiting registers nothing: a statement costs no lock here.
#[derive(Default)]
pub struct Signals {
    task: OnceLock<Waker>,
    told: AtomicBool,
    /// KILL QUERY.
    interrupt: AtomicBool,
    /// The deadline of a shutdown has passed.
    cut: AtomicBool,
    /// Looks over this client since its last command.
    idle_looks: AtomicU32,
}

impl Signals {
    /// Called first, by the client's task.
    pub async fn adopt(&self) {
        poll_fn(|context| {
            let _ = self.task.set(context.waker().clone());
            Poll::Ready(())
        })
        .await;
    }

    /// Ends when somebody has said something since this last ended. Cancel safe. To be awaited by the task that adopted it.
    pub async fn told(&self) {
        poll_fn(|_| {
            let told = self.told.load(Ordering::SeqCst) && self.told.swap(false, Ordering::SeqCst);
            if told { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Makes the task look around.
    pub fn tell(&self) {
        self.told.store(true, Ordering::SeqCst);
        if let Some(task) = self.task.get() {
            task.wake_by_ref();
        }
    }

    /// For the registry: ends the client's wait for a command, or cuts it off.
    pub fn hang_up(self: &Arc<Signals>) -> HangUp {
        let signals = self.clone();
        Box::new(move |how| {
            if how == Shutdown::Both {
                signals.cut.store(true, Ordering::SeqCst);
            }
            signals.tell();
        })
    }

    pub fn interrupter(self: &Arc<Signals>) -> crate::engine::Interrupter {
        let signals = self.clone();
        Arc::new(move || {
            signals.interrupt.store(true, Ordering::SeqCst);
            signals.tell();
        })
    }

    /// Whether KILL QUERY has come since this or [`Signals::statement_begins`] was last called.
    pub fn interrupted(&self) -> bool {
        self.interrupt.swap(false, Ordering::SeqCst)
    }

    /// A KILL QUERY that came when nothing ran is not for the next statement.
    pub fn statement_begins(&self) {
        if self.interrupt.load(Ordering::SeqCst) {
            self.interrupt.store(false, Ordering::SeqCst);
        }
    }

    pub fn cut(&self) -> bool {
        self.cut.load(Ordering::SeqCst)
    }

    // === patience ===

    /// The client has said something.
    pub fn spoke(&self) {
        self.idle_looks.store(0, Ordering::Relaxed);
    }

    /// One of the looks that come every [`LOOK_OVER`].
    pub fn look_over(&self) {
        if self.idle_looks.fetch_add(1, Ordering::Relaxed) >= IDLE_LOOKS {
            self.tell();
        }
    }

    /// Nothing came for [`IDLE_TIMEOUT`], give or take [`LOOK_OVER`].
    pub fn idle_too_long(&self) -> bool {
        self.idle_looks.load(Ordering::Relaxed) > IDLE_LOOKS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_sent_away_after_its_timeout_and_not_before() {
        let signals = Signals::default();
        for _ in 0..IDLE_LOOKS {
            signals.look_over();
        }
        assert!(!signals.idle_too_long(), "the last of them came within the timeout");
        signals.spoke();
        signals.look_over();
        assert!(!signals.idle_too_long());
        for _ in 0..IDLE_LOOKS {
            signals.look_over();
        }
        assert!(signals.idle_too_long());
    }
}
