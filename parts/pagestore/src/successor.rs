//! Another process answers from now on, and this one only finishes what it has begun: it uses its store no more, and what it still confirms the
//! other one knows first.
//!
//! ```text
//! Ours --hand over--> Handed --told in order, each before it is confirmed--> Over
//!                        '-----------------the other one is gone-------------'
//! ```
//! At any time one of the two answers from its store. So a change that either confirms is seen by the one that does: by this one as long as the
//! store is ours, by the other one because it is told.
use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use crate::{Pages, lock, shelf::Purged, tickets::Tickets};

/// The process that has taken over.
pub trait Successor: Send + Sync {
    /// Has it purge `what`, and returns once it has: then a crash of it brings nothing back either. Blocks.
    ///
    /// Errors: it is gone, or does not answer. It is told nothing more then.
    fn tell(&self, what: &Purged) -> io::Result<()>;
}

/// Purges that the other process has not been told yet are at most this many; with the next they become one purge of everything.
const UNTOLD_MAX: usize = 1024;

/// What a process that hands over still owes the one that takes over.
#[derive(Default)]
pub(crate) struct Legacy {
    /// Also in `state`; here for every look-up.
    handed: AtomicBool,
    state: Mutex<State>,
    bell: Condvar,
}

#[derive(Default)]
struct State {
    phase: Phase,
    /// With how many tickets each stands for.
    untold: VecDeque<(Purged, u64)>,
    tickets: Tickets,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Ours,
    Handed,
    /// Nothing more will be told.
    Over,
}

impl Legacy {
    /// Whether the store is another process's to answer from.
    pub fn handed(&self) -> bool {
        self.handed.load(Ordering::Acquire)
    }

    pub fn hand_over(&self) {
        let mut state = lock(&self.state);
        if state.phase == Phase::Ours {
            state.phase = Phase::Handed;
            self.handed.store(true, Ordering::Release);
        }
    }

    /// A number to wait for, while there is somebody to be told.
    pub fn purge(&self, purged: impl FnOnce() -> Purged) -> Option<u64> {
        if !self.handed() {
            return None;
        }
        let mut state = lock(&self.state);
        if state.phase != Phase::Handed {
            return None;
        }
        let number = state.tickets.give();
        match state.untold.len() < UNTOLD_MAX {
            true => state.untold.push_back((purged(), 1)),
            false => {
                let tickets = state.untold.drain(..).map(|(_, tickets)| tickets).sum::<u64>() + 1;
                state.untold.push_back((Purged::everything(), tickets));
            }
        }
        self.bell.notify_all();
        Some(number)
    }

    pub fn told(&self, number: u64) -> bool {
        lock(&self.state).tickets.done(number)
    }

    pub fn poll_told(&self, number: u64, context: &mut Context<'_>) -> Poll<()> {
        lock(&self.state).tickets.poll(number, context)
    }

    /// Blocks. `tell` has bounds of its own.
    pub fn wait_told(&self, number: u64) {
        let mut state = lock(&self.state);
        while !state.tickets.done(number) {
            state = self.bell.wait_timeout(state, LOOK_UP).map_or_else(|poison| poison.into_inner().0, |(state, _)| state);
        }
    }

    /// Tells what comes until [`Legacy::end`]. Errors: the other process cannot be told any more; whoever waits goes on.
    fn pass_on(&self, successor: &dyn Successor) -> io::Result<()> {
        loop {
            let mut state = lock(&self.state);
            let (purged, tickets) = loop {
                match state.untold.pop_front() {
                    Some(next) => break next,
                    None if state.phase == Phase::Over => return Ok(()),
                    None => state = self.bell.wait_timeout(state, LOOK_UP).map_or_else(|poison| poison.into_inner().0, |(state, _)| state),
                }
            };
            drop(state);
            let told = successor.tell(&purged);
            if told.is_ok() {
                lock(&self.state).tickets.finish(tickets);
                self.bell.notify_all();
            } else {
                return told;
            }
        }
    }

    fn end(&self) {
        lock(&self.state).phase = Phase::Over;
        self.bell.notify_all();
    }

    /// Whoever waits does so in vain.
    fn give_up(&self) {
        let mut state = lock(&self.state);
        state.phase = Phase::Over;
        state.untold.clear();
        state.tickets.finish_all();
        self.bell.notify_all();
    }
}

impl Pages {
    /// Another process is about to answer: from the return of this on nothing is looked up or stored here, and every purge waits for
    /// [`Pages::pass_on`]. Cannot be taken back.
    pub fn hand_over(&self) {
        self.legacy.hand_over();
        // Only now, so that each purge finds the disk open or somebody to tell.
        self.close_shelf();
    }

    /// Tells `successor` what is purged here until [`Pages::stop_passing_on`]. Blocks: give it a thread.
    ///
    /// If it cannot be told any more, the pages on disk will not be believed when somebody starts with them: they may be from before a change that was
    /// confirmed here.
    pub fn pass_on(&self, successor: &dyn Successor) {
        let Err(error) = self.legacy.pass_on(successor) else { return };
        tracing::warn!(%error, "the process that has taken over cannot be told of purges; if it is killed, the pages on disk go");
        if let Some(shelf) = &self.shelf {
            shelf.disown();
        }
        self.legacy.give_up();
    }

    /// What is still untold is told, and [`Pages::pass_on`] returns.
    pub fn stop_passing_on(&self) {
        self.legacy.end();
    }
}

/// What one process says to the other.
impl Purged {
    pub(crate) fn everything() -> Purged {
        Purged::Prefix(Arc::default())
    }

    /// In a word, a text and, of a soft purge, a time, for [`Purged::heard`]. What no text can say, or only one longer than [`TEXT_BYTES_MAX`], is
    /// said by one that names more.
    pub fn told(&self) -> (&'static str, &str, u64) {
        let (word, wider, name, at_ms) = match self {
            Purged::Target(name) => ("target", "prefix", name, 0),
            Purged::SoftTarget(name, at_ms) => ("soft-target", "prefix", name, *at_ms),
            Purged::Prefix(name) => ("prefix", "prefix", name, 0),
            Purged::PathPrefix(name) => ("path-prefix", "path-prefix", name, 0),
            Purged::Path(name) => ("path", "path-prefix", name, 0),
            Purged::Tag(name) => ("tag", "everything", name, 0),
            Purged::SoftTag(name, at_ms) => ("soft-tag", "everything", name, *at_ms),
        };
        let begin = &name[..name.len().min(TEXT_BYTES_MAX)];
        let text = match str::from_utf8(begin) {
            Ok(text) => text,
            Err(error) => str::from_utf8(&begin[..error.valid_up_to()]).unwrap_or_default(),
        };
        match text.len() == name.len() {
            true => (word, text, at_ms),
            false if wider == "everything" => ("prefix", "", 0),
            false => (wider, text, 0),
        }
    }

    /// `None`: another version's word.
    pub fn heard(word: &str, text: &str, at_ms: u64) -> Option<Purged> {
        let name = text.as_bytes().into();
        Some(match word {
            "target" => Purged::Target(name),
            "soft-target" => Purged::SoftTarget(name, at_ms),
            "prefix" => Purged::Prefix(name),
            "path-prefix" => Purged::PathPrefix(name),
            "path" => Purged::Path(name),
            "tag" => Purged::Tag(name),
            "soft-tag" => Purged::SoftTag(name, at_ms),
            _ => return None,
        })
    }
}

// === helpers ===

/// The name of a purge is said in so many bytes at most: a message between two processes has a bound.
const TEXT_BYTES_MAX: usize = 2 << 10;

/// How often a thread that waits looks up, should a bell be missed.
const LOOK_UP: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
