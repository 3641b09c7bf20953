//! Who vouches for a shelf whose process ended without a word.
//!
//! A purge is confirmed once it is in a journal. A disk that hangs may keep it from there for longer than anybody can be made to wait, and a
//! machine that loses power forgets what it had not written yet: both would let a page come back that somebody was told is gone. So what lies
//! on the shelf is believed only if its last user closed it, or was ended while this witness, which is not on that disk, vouched for it:
//!
//! ```text
//! attach: believed? --no--> everything there goes
//!            '--yes--> begin --> vouched for --confirmed without the disk--> withdrawn --the disk has caught up--> vouched for
//!                                     '--------closed: all written and synced-------> closed
//! ```
use std::io;

use super::{Shelf, State};
use crate::lock;

/// What is known of a shelf apart from its disk. Outlives the process, and not the machine.
pub trait Witness: Send + Sync {
    /// Whether the shelf was closed, or is vouched for. Blocks on the disk.
    fn believed(&self) -> bool;
    /// The shelf has a new user: it is vouched for, and no longer closed. Blocks on the disk.
    fn begin(&self) -> io::Result<()>;
    /// Vouches again. Called under a lock that look-ups take: must not touch the disk.
    fn vouch(&self) -> io::Result<()>;
    /// From its return on nobody vouches for the shelf. Called on event loops: must not touch the disk.
    fn withdraw(&self) -> io::Result<()>;
    /// All is written: makes that last, and says so on the disk. Blocks on the disk.
    fn close(&self) -> io::Result<()>;
    /// Whoever has the shelf now does not know what was confirmed here: it is not believed at the next start, whoever closes it. Blocks on
    /// the disk.
    fn disown(&self) -> io::Result<()>;
}

impl Shelf {
    /// The purge with this ticket is to be confirmed although it may not be written yet. `false`: it must not be.
    pub fn confirm_before(&self, number: u64) -> bool {
        let mut state = lock(&self.state);
        state.tickets.done(number) || !state.awaited && self.withdraw(&mut state, number)
    }

    /// Nobody vouches for what lies there until the jobs up to `until` are done.
    pub(super) fn withdraw(&self, state: &mut State, until: u64) -> bool {
        if state.unvouched.is_none() {
            if self.witness.get().is_some_and(|witness| witness.withdraw().is_err()) {
                return false;
            }
            tracing::warn!(
                "the disk does not keep up with purges: if the program is killed before it has, it starts without the pages on it"
            );
        }
        state.unvouched = Some(state.unvouched.map_or(until, |earlier| earlier.max(until)));
        true
    }

    /// A job was done.
    pub(super) fn vouch_again(&self, state: &mut State) {
        if state.unvouched.is_some_and(|until| state.tickets.done(until))
            && self.witness.get().is_none_or(|witness| witness.vouch().is_ok())
        {
            state.unvouched = None;
        }
    }

    /// A change was confirmed that neither the disk nor its new user knows.
    pub fn disown(&self) {
        if let Some(Err(error)) = self.witness.get().map(|witness| witness.disown()) {
            tracing::warn!(%error, "the pages on disk could not be disowned: one from before a confirmed change may come back");
        }
    }

    /// Every job is done, and there will be no other.
    pub(super) fn close(&self) {
        if lock(&self.state).unvouched.is_none()
            && let Some(Err(error)) = self.witness.get().map(|witness| witness.close())
        {
            tracing::warn!(%error, "the pages on disk could not be closed; they may be thrown away at the next start");
        }
    }
}
