//! The atomic words that the slots are made of.
//!
//! [`Machine`] is the processor's own; nothing else is used outside tests. The tests run the very same code on loom's words (every
//! interleaving and every reordering that the memory orderings allow) and on the simulation's (a switch of process at every access),
//! and the simulation may leave out one step of the algorithm to see that its loss is noticed.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Where the slots live.
pub trait Memory: Sized + 'static {
    type U64: Word<u64>;
    type U32: Word<u32>;

    /// Whether `step` is left out or done in the wrong place. Constant `false` on the [`Machine`], so the branch costs nothing.
    #[inline(always)]
    fn broken(step: Step) -> bool {
        let _ = step;
        false
    }
}

/// One atomic word: the operations the algorithm needs, and no others.
pub trait Word<T>: Send + Sync {
    fn new(value: T) -> Self;
    fn load(&self, order: Ordering) -> T;
    fn store(&self, value: T, order: Ordering);
    /// Adds one and returns the value before.
    fn increment(&self, order: Ordering) -> T;
    /// Subtracts one and returns the value before.
    fn decrement(&self, order: Ordering) -> T;
    /// Keeps the larger of what is there and `value`.
    fn raise(&self, value: T, order: Ordering);
}

/// The steps that a simulation can break, one at a time. Each has a test that shows a stale answer without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// W2 is left out: nothing refuses hits while the commit is in flight.
    FenceRaised,
    /// W2 fences `A(T)` but not `U(T)`: readers of single rows are not refused.
    FenceOnUnknownRows,
    /// The fence of everything is not looked at by readers.
    FenceOfAllChecked,
    /// W6 comes before W5.
    BumpBeforeRelease,
    /// W5 is left out.
    Bump,
    /// W5 with unknown rows bumps `A(T)` alone: readers of single rows keep their answers.
    BumpOfUnknownRows,
    /// W5 with known rows bumps `A(T)` alone.
    BumpOfRows,
    /// A fence that is dropped without a word releases as if nothing had been committed.
    EpochOnUnknownOutcome,
    /// R1 does not compare epochs.
    EpochChecked,
    /// R1 compares epochs before it looks at the fences.
    FencesBeforeEpoch,
    /// R1 ignores the fences.
    PendChecked,
    /// R1 ignores the bumps.
    LastChecked,
    /// R1 loads `last` before `pend`.
    PendBeforeLast,
    /// R1 looks at a table's rows before it looks at the table's fence.
    FenceBeforeRows,
    /// The fast path loads `seq` before the count of fences.
    FencesBeforeSeq,
    /// The fast path remembers `seq` as of after the full check.
    SeqBeforeCheck,
    /// A window keeps its own stamp although a statement read from an older snapshot.
    WindowTakesOldestStamp,
    /// A window forgets what was being read when it opened.
    WindowInheritsActive,
    /// A window keeps what its first statement read and forgets the rest.
    WindowUnitesReads,
    /// A statement that names a trace which no request in flight has counts for nobody.
    NameOfNobodyIgnored,
}

/// The processor's own atomics.
#[derive(Clone, Copy, Debug)]
pub struct Machine;

impl Memory for Machine {
    type U64 = AtomicU64;
    type U32 = AtomicU32;
}

macro_rules! words {
    ($($value:ty => $word:ty),*) => {$(
        impl Word<$value> for $word {
            #[inline(always)]
            fn new(value: $value) -> Self {
                <$word>::new(value)
            }
            #[inline(always)]
            fn load(&self, order: Ordering) -> $value {
                <$word>::load(self, order)
            }
            #[inline(always)]
            fn store(&self, value: $value, order: Ordering) {
                <$word>::store(self, value, order);
            }
            #[inline(always)]
            fn increment(&self, order: Ordering) -> $value {
                self.fetch_add(1, order)
            }
            #[inline(always)]
            fn decrement(&self, order: Ordering) -> $value {
                self.fetch_sub(1, order)
            }
            #[inline(always)]
            fn raise(&self, value: $value, order: Ordering) {
                self.fetch_max(value, order);
            }
        }
    )*};
}

words!(u64 => AtomicU64, u32 => AtomicU32);
