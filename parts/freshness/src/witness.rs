//! Joins the requests at one worker with what its database connections did meanwhile.
//!
//! A worker's SQL arrives at an address of its own, so its statements are known to be its own; which of its requests caused a statement is
//! not. So a statement counts for **every** request in flight at the worker: a page may be dropped needlessly, never kept wrongly.
//!
//! Where the operator says that an application names the request in each statement that it runs for it (a `traceparent` comment), such a statement counts
//! for the requests of that trace alone, and for those that have none. One that names nobody who is in flight counts for all, as ever. What makes this a thing to
//! be said by the operator: an application whose requests wait for each other's statements names one of them, and the other's page would miss it.
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use pumasi_trace::{Caller, Callers};

use crate::{
    Deps, Freshness, Stamp,
    memory::{Machine, Memory, Step},
};

/// Requests in flight at one worker that can be told apart. A further one is refused storage, nothing else.
pub const WINDOWS_MAX: usize = 1024;

/// Statements under way at one worker that a new window can inherit. Beyond it new windows are refused storage.
pub const ACTIVE_MAX: usize = 1024;

/// The trace of a request, by which its statements may name it (W3C Trace Context, section 3.2.2.3).
pub type Trace = [u8; 16];

/// What one worker's database connections did while its requests were open. One per worker; the edge opens windows, the SQL tier reports.
#[derive(Debug, Default)]
pub struct Witness {
    inner: Mutex<Inner>,
    /// Open windows that have a trace: whether statements need be asked whose they are. A hint, looked at without waiting: who misses a window that is being
    /// opened counts the statement for all.
    traced: AtomicUsize,
    /// For traces: whose statements they are. Here because the witness is what edge and SQL have in common of one worker.
    callers: Arc<Callers>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The number of the next window. Windows are numbered in the order they were opened.
    next: u64,
    /// Open windows, oldest first.
    open: VecDeque<Seen>,
    /// Windows that were opened beyond `WINDOWS_MAX` and are not recorded.
    unrecorded: usize,
    active: Vec<Active>,
    next_active: u64,
}

/// What has been reported for one window so far.
#[derive(Debug)]
struct Seen {
    number: u64,
    /// By which its statements name it, if they do.
    trace: Option<Trace>,
    stamp: Stamp,
    deps: Deps,
    statements: u64,
    refusal: Option<Refusal>,
}

#[derive(Debug)]
struct Active {
    number: u64,
    /// The trace it named, of a request that was in flight.
    of: Option<Trace>,
    observed: Arc<Observed>,
}

/// What a statement did, as the SQL tier knows before its answer is sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Observed {
    /// It read `deps` in a snapshot that began after `stamp` was taken, or was answered from the result cache by a check made after `stamp`.
    Read { deps: Arc<Deps>, stamp: Stamp },
    /// It wrote, or may have.
    Wrote,
    /// Its answer is not a function of rows, or not understood. The label names why, in metrics and in `Cache-Status`.
    Refused(&'static str),
}

/// Why a request's answer may not be stored, as far as its SQL is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The request wrote: not running it again would lose the write.
    Wrote,
    /// A statement's answer is not a function of rows; the label says how.
    Statement(&'static str),
    /// No statement read from a table: what the page is made of is not known.
    NothingRead,
    /// A statement read from a snapshot of an earlier epoch.
    OtherEpoch,
    /// More requests or statements in flight than are told apart.
    TooMany,
}

impl Refusal {
    /// For `Cache-Status`, metrics and the console.
    pub fn label(self) -> &'static str {
        match self {
            Refusal::Wrote => "wrote",
            Refusal::Statement(reason) => reason,
            Refusal::NothingRead => "nothing-read",
            Refusal::OtherEpoch => "other-epoch",
            Refusal::TooMany => "too-many-in-flight",
        }
    }
}

/// One request in flight at a worker, from before it is forwarded until its answer's last byte. Dropping it unclosed forgets it.
#[must_use = "a window covers the request as long as it is held"]
#[derive(Debug)]
pub struct Window {
    witness: Arc<Witness>,
    /// `None` beyond [`WINDOWS_MAX`].
    number: Option<u64>,
    traced: bool,
    closed: bool,
    /// A probe is one of the requests in flight, though nobody traces it.
    _caller: Option<Caller>,
}

/// A statement under way. Hold it from before the first byte of the answer is sent until after the last.
#[must_use = "windows that open while the answer is under way count it only as long as this is held"]
#[derive(Debug)]
pub struct Statement {
    witness: Arc<Witness>,
    /// `None` beyond [`ACTIVE_MAX`].
    number: Option<u64>,
}

/// A moment in a worker's requests, for [`Witness::requests_ended_since`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    next: u64,
    /// Whether a request was in flight.
    within: bool,
}

impl Witness {
    pub fn new() -> Arc<Witness> {
        Arc::default()
    }

    /// Opens a request's window and takes its stamp. Call it before the first byte of the request is forwarded.
    pub fn open<M: Memory>(self: &Arc<Witness>, freshness: &Freshness<M>) -> Window {
        self.open_at::<M>(freshness.stamp(), None)
    }

    /// [`Witness::open`] for a request whose statements name `trace`.
    pub fn open_traced<M: Memory>(self: &Arc<Witness>, freshness: &Freshness<M>, trace: Trace) -> Window {
        self.open_at::<M>(freshness.stamp(), Some(trace))
    }

    /// Opens the window of a request whose answer nobody will store: a probe. It says that there is a request, and when it has ended; a
    /// transaction that a probe left open would otherwise belong to no request, and show its old snapshot to every later one.
    pub fn open_for_nobody(self: &Arc<Witness>) -> Window {
        let mut window = self.open_at::<Machine>(Stamp { epoch: 0, seq: 0 }, None);
        window._caller = Some(self.callers.enter(None));
        window
    }

    fn open_at<M: Memory>(self: &Arc<Witness>, stamp: Stamp, trace: Option<Trace>) -> Window {
        let mut inner = self.lock();
        let number = inner.next;
        inner.next += 1;
        if inner.open.len() >= WINDOWS_MAX {
            inner.unrecorded += 1;
            return Window { witness: self.clone(), number: None, traced: false, closed: false, _caller: None };
        }
        let mut seen = Seen { number, trace, stamp, deps: Deps::new(), statements: 0, refusal: None };
        if !M::broken(Step::WindowInheritsActive) {
            for active in &inner.active {
                // A statement that was sent before the request arrived is not the request's write. Its answer may still become part
                // of the page: two requests may wait for one answer inside the application.
                if *active.observed != Observed::Wrote && !seen.is_another(active.of) {
                    seen.take(&active.observed, M::broken(Step::WindowTakesOldestStamp));
                }
            }
        }
        if inner.active.len() >= ACTIVE_MAX {
            seen.refuse(Refusal::TooMany);
        }
        inner.open.push_back(seen);
        let traced = trace.is_some();
        self.traced.fetch_add(usize::from(traced), Relaxed);
        Window { witness: self.clone(), number: Some(number), traced, closed: false, _caller: None }
    }

    /// Reports a statement to all open windows, and to those that open until the returned value is dropped.
    pub fn statement(self: &Arc<Witness>, observed: Observed) -> Statement {
        self.statement_in::<Machine>(observed, None)
    }

    /// [`Witness::statement`] for a statement that names the trace `said`: reported to the requests of that trace, and to those without one.
    pub fn statement_of(self: &Arc<Witness>, observed: Observed, said: Option<Trace>) -> Statement {
        self.statement_in::<Machine>(observed, said)
    }

    /// Whether some request in flight may be named by its statements.
    pub fn tells_apart(&self) -> bool {
        self.traced.load(Relaxed) > 0
    }

    /// [`Witness::statement_of`], with a memory whose steps may be broken.
    #[doc(hidden)]
    pub fn statement_in<M: Memory>(self: &Arc<Witness>, observed: Observed, said: Option<Trace>) -> Statement {
        let mut inner = self.lock();
        // A name that nobody in flight has may be an earlier request's, kept in a text, or a trace of the application's own: it says nothing.
        let known = |said: &Trace| M::broken(Step::NameOfNobodyIgnored) || inner.open.iter().any(|seen| seen.trace == Some(*said));
        let of = said.filter(known);
        for seen in &mut inner.open {
            if M::broken(Step::WindowUnitesReads) && seen.statements > 0 || seen.is_another(of) {
                continue;
            }
            seen.take(&observed, M::broken(Step::WindowTakesOldestStamp));
        }
        if inner.active.len() >= ACTIVE_MAX {
            return Statement { witness: self.clone(), number: None };
        }
        let number = inner.next_active;
        inner.next_active += 1;
        inner.active.push(Active { number, of, observed: Arc::new(observed) });
        Statement { witness: self.clone(), number: Some(number) }
    }

    /// For [`Witness::requests_ended_since`]: now, as the worker's requests see it.
    pub fn moment(&self) -> Moment {
        let inner = self.lock();
        Moment { next: inner.next, within: !inner.open.is_empty() || inner.unrecorded > 0 }
    }

    /// Whether every request that was in flight at `moment` has ended since, and there was one. A transaction whose last statement ran at
    /// `moment` then belongs to no request any more; what ran outside any request (a job in the background) is never said to have ended.
    pub fn requests_ended_since(&self, moment: Moment) -> bool {
        let inner = self.lock();
        // Those beyond the bound are not told apart: as long as there is one, nothing has ended.
        moment.within && inner.unrecorded == 0 && inner.open.front().is_none_or(|oldest| oldest.number >= moment.next)
    }

    /// Whose statements they are, for traces.
    pub fn callers(&self) -> &Arc<Callers> {
        &self.callers
    }

    /// Requests in flight.
    pub fn open_windows(&self) -> usize {
        let inner = self.lock();
        inner.open.len() + inner.unrecorded
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while it is held, and every state in between is a valid one.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Moment {
    /// Whether a request was in flight.
    pub fn within_request(self) -> bool {
        self.within
    }
}

impl Seen {
    /// Whether a statement of the trace `of` is another request's. Who has no name may be anybody.
    fn is_another(&self, of: Option<Trace>) -> bool {
        matches!((of, self.trace), (Some(of), Some(trace)) if of != trace)
    }

    fn take(&mut self, observed: &Observed, keeps_stamp: bool) {
        self.statements += 1;
        match observed {
            Observed::Wrote => self.refuse(Refusal::Wrote),
            Observed::Refused(reason) => self.refuse(Refusal::Statement(reason)),
            Observed::Read { deps, stamp } => {
                if stamp.epoch != self.stamp.epoch && !keeps_stamp {
                    self.refuse(Refusal::OtherEpoch);
                }
                if stamp.seq < self.stamp.seq && !keeps_stamp {
                    self.stamp.seq = stamp.seq;
                }
                self.deps.unite(deps);
            }
        }
    }

    /// A write is the reason that matters most; otherwise the first one stays.
    fn refuse(&mut self, refusal: Refusal) {
        if self.refusal.is_none() || refusal == Refusal::Wrote {
            self.refusal = Some(refusal);
        }
    }

    fn verdict(self) -> Result<(Stamp, Deps), Refusal> {
        match self.refusal {
            Some(refusal) => Err(refusal),
            // SELECT 1 reads nothing either.
            None if self.deps.is_empty() => Err(Refusal::NothingRead),
            None => Ok((self.stamp, self.deps)),
        }
    }
}

impl Window {
    /// Ends the window after the last byte of the answer has arrived: what the page was made of, or why it may not be stored.
    pub fn close(mut self) -> Result<(Stamp, Deps), Refusal> {
        self.closed = true;
        self.leave().map_or(Err(Refusal::TooMany), Seen::verdict)
    }

    fn leave(&self) -> Option<Seen> {
        let mut inner = self.witness.lock();
        self.witness.traced.fetch_sub(usize::from(self.traced), Relaxed);
        let Some(number) = self.number else {
            inner.unrecorded -= 1;
            return None;
        };
        let place = inner.open.binary_search_by_key(&number, |seen| seen.number).ok()?;
        inner.open.remove(place)
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        if !self.closed {
            self.leave();
        }
    }
}

impl Drop for Statement {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let mut inner = self.witness.lock();
        if let Some(place) = inner.active.iter().position(|active| active.number == number) {
            inner.active.swap_remove(place);
        }
    }
}
