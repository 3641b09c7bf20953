//! Which stored answer a write made wrong: slots, tags, fences, stamps and the windows of requests.
//!
//! # The promise
//! An answer given from a store (a query's result, a page) reflects every write that was acknowledged through Pumasi before the question
//! arrived, and every write whose effect an earlier, finished answer showed. No clock, no lifetime, no list of entries per row.
//!
//! # State
//! A fixed array of slots `{last, pend}`, and one line of `{fences, pend_all, seq, epoch}`. A **tag** names what can change and hashes to a
//! slot: `A(T)` some row of table T, `U(T)` rows of T that are not known, `R(T, c, v)` a row of T whose column c had or has value v. Tags that
//! collide cost a needless miss.
//!
//! An answer's **dependencies** [`Deps`] are, for each table it read, `{A(T)}` or `{U(T), R(T, c, v)...}`. Its **stamp** [`Stamp`] was taken
//! before its database snapshot began.
//!
//! # A write
//! | step | who | what |
//! |---|---|---|
//! | W1 | [`Tables::closed`] | the tables it writes, and what triggers and foreign keys write in turn; unknown: everything |
//! | W2 | [`Freshness::fence`] | `fences += 1`; `pend += 1` on `A(T)` and `U(T)`, or `pend_all += 1`; before the commit can be seen |
//! | W3 | the SQL tier | commits |
//! | W4 | [`Changes`] | which rows, old and new values of the tracked columns; or unknown |
//! | W5 | [`Fence::commit`] | `n = ++seq`, then `last = max(last, n)` on `A(T)` and on each `R`, or on `U(T)`; a fence of everything: `epoch += 1` |
//! | W6 | the same | lowers the fence; only now does the client get its OK |
//!
//! A commit that fails [releases](Fence::release). One whose outcome is never learnt changes the epoch before it lowers its fence, and must not
//! lower it while the database may still be executing it.
//!
//! # A read
//! | step | who | what |
//! |---|---|---|
//! | R1 | [`Entry::usable`] | a hit, if no fence covers it, no bump is newer than its stamp, and the epoch is its own |
//! | R2 | [`Freshness::stamp`] | a miss: the stamp, before anything is sent |
//! | R3 | the SQL tier | asks the primary; or a replica, if no fence covers the question ([`Freshness::fenced`]) and then it has applied the last write to each table read |
//! | R4 | [`Entry::new`] | stores. No check: an answer stamped too early can never be used |
//!
//! # Why it is right
//! Let an answer with stamp S and dependencies D be used at time t, and let a write w that touches D be missing from it. Let n be w's number.
//! 1. If n <= S, the bump and with it the commit came before S was taken, so the snapshot contains w (R3 sees to it on replicas). So n > S.
//! 2. If w's bump came before t, R1 saw `last >= n > S` and refused.
//! 3. If w's fence was raised before t and not yet lowered, R1 saw `pend > 0` and refused. This covers the time between `++seq` and the
//!    stores into `last`.
//! 4. So w was fenced after t. At t it had not been sent: nobody had been told of it and nobody had seen it. The answer comes before w.
//!
//! "Before t" is a moment only if the loads of R1 cannot be torn by a writer that passes between them: 2 and 3 must hold for *one* t. Hence the
//! rule that everything else follows from: **a fence is loaded before whatever is bumped under it.** Who reads it as lowered reads what was
//! bumped before it was lowered; who reads it as not yet raised is before the commit. In detail: `pend` before `last`; `pend` of `U(T)` before the
//! `last` of every row of T; every `pend` and `pend_all` before `epoch`; in the fast path `fences` before `seq` before `epoch`.
//!
//! **The fast path**: `seq` as of *before* the last full check began covers all writes numbered up to it. If no fence stands and `seq` has not
//! moved since, no write was bumped and none can have been seen.
//!
//! **Memory orderings**: loads are Acquire, increments and decrements AcqRel. All changes to one word are read-modify-writes, so each carries on
//! the releases of those before it. The chains: fence raised -> (database publishes the commit; a socket delivers an answer) -> somebody who knows of
//! w reads the fence; bump -> fence lowered -> reader. No argument needs one total order over different words, so none is SeqCst.
//!
//! **Pages** are answers made of answers: the stamp is taken when the request is forwarded ([`Witness::open`]), the dependencies are united over
//! all statements of the worker meanwhile, and a statement that read from an older snapshot lowers the stamp to its own. A statement answered
//! from the result cache counts as read when it was checked. Nothing in the argument changes. A page that a write has torn carries a stamp older
//! than that write's number and is dead on arrival.
//!
//! **What it rests on**: every commit passes W2 to W6; if w changes an answer, w's tags and D meet (`pumasi-sqltext` refuses what it does not
//! understand); the snapshot is not older than the stamp; a page is a function of its request and the database (the edge tests that).
//!
//! # Holes found
//! In the algorithm as it was first written down, by the models and the simulation in `src/tests`; each has its test.
//! - **Rows before their fence.** A commit with known rows bumps `R(T, c, v)` but fences `U(T)`. "`pend` before `last`", slot by slot, is not
//!   enough: with the row's slot checked first, a bump and a release fit before the look at `U(T)`. Found by loom.
//! - **Epoch before the fences.** A lost connection changes the epoch and lowers the fence of its *table*; a reader that compared epochs first
//!   and looked at the table's fence afterwards missed both. The epoch comes last. Found by loom.
//! - **A commit of unknown outcome and replicas.** Its position in the log is in the answer that was lost. Until replicas are known to be where the
//!   primary was *after* the outcome was settled, they may not answer for its tables: the primary may have shown the write to somebody already.
//!   Found by the simulation.
//! - **An answer under way when a request arrives.** Two requests may wait for one statement inside the application, so a window inherits what is
//!   being read when it opens, with the older stamp ([`Statement`]).
#![forbid(unsafe_code)]

mod deps;
mod entry;
mod fence;
mod invalidations;
#[doc(hidden)]
pub mod memory;
mod slots;
mod tags;
mod witness;
mod writes;

#[cfg(test)]
mod tests;

pub use deps::{DEPS_MAX, Deps};
pub use entry::{Entry, Standing};
pub use fence::{CHANGED_ROWS_MAX, Changes, FENCE_TABLES_MAX, Fence, Tables};
pub use invalidations::{INVALIDATIONS_MAX, InvalidatedBy, Invalidation, Invalidations};
pub use slots::{Freshness, Stamp};
pub use tags::{Table, Tag};
pub use witness::{ACTIVE_MAX, Moment, Observed, Refusal, Statement, Trace, WINDOWS_MAX, Window, Witness};
pub use writes::{STATEMENT_BYTES_MAX, WRITES_MAX, Write};
