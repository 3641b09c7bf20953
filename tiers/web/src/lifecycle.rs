//! The life of one worker, as a table.
//!
//! ```text
//! Starting --probe answered--> Ready --leave--> Draining --drained--> Stopping --exited--> Gone
//!    |  ^                        |                  |                     ^
//!    |  '--pause over-- BackingOff <--exited--------|---(exited: Gone)    |
//!    '--exited or too slow--> BackingOff or, once too many in a row, GivenUp
//!    '--leave (nothing to drain)------------------------------------------'
//! ```

/// Where a worker is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Running, not yet answering its probe.
    #[default]
    Starting,
    /// In the pool.
    Ready,
    /// Out of the pool, finishing the requests it has.
    Draining,
    /// Asked to end.
    Stopping,
    /// Dead; will be started again after a pause.
    BackingOff,
    /// Dead too often in a row; only a reload starts it again.
    GivenUp,
    /// Ended because it was asked to.
    Gone,
}

/// What can happen to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    ProbeAnswered,
    /// It did not answer its probe within `ready_timeout`.
    TooSlow,
    /// The process ended. `deaths` counts early deaths in a row, this one included.
    Exited {
        deaths: u32,
    },
    PauseOver,
    /// It is to leave: replaced, scaled away, or Pumasi is stopping.
    Leave,
    /// No request of its own is in flight, or the drain's deadline has passed.
    Drained,
}

impl State {
    /// `deaths_max`: early deaths in a row after which a worker is given up.
    pub fn next(self, event: Event, deaths_max: u32) -> State {
        match (self, event) {
            (State::Starting, Event::ProbeAnswered) => State::Ready,
            // Asked to end first: the process still runs, and its exit decides what comes next.
            (State::Starting, Event::TooSlow) => State::Starting,
            (State::Starting | State::Ready, Event::Exited { deaths }) if deaths >= deaths_max => State::GivenUp,
            (State::Starting | State::Ready, Event::Exited { .. }) => State::BackingOff,
            (State::BackingOff, Event::PauseOver) => State::Starting,
            (State::Ready, Event::Leave) => State::Draining,
            (State::Starting, Event::Leave) => State::Stopping,
            (State::BackingOff | State::GivenUp, Event::Leave) => State::Gone,
            (State::Draining, Event::Drained) => State::Stopping,
            (State::Draining | State::Stopping, Event::Exited { .. }) => State::Gone,
            // What was on its way when the state changed, and changes nothing any more.
            (state, _) => state,
        }
    }

    /// The word shown to people.
    pub fn name(self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Ready => "ready",
            State::Draining => "draining",
            State::Stopping => "stopping",
            State::BackingOff => "backing off",
            State::GivenUp => "given up",
            State::Gone => "gone",
        }
    }
}

#[cfg(test)]
mod tests;
