//! Which stored answer a write made wrong: slots, tags, fences, stamps and the windows of requests.
#![forbid(unsafe_code)]

mod deps;
mod entry;
mod fence;
#[doc(hidden)]
pub mod memory;
mod slots;
mod tags;
mod witness;

#[cfg(test)]
mod tests;

pub use deps::{DEPS_MAX, Deps};
pub use entry::Entry;
pub use fence::{CHANGED_ROWS_MAX, Changes, FENCE_TABLES_MAX, Fence, Tables};
pub use slots::{Freshness, Stamp};
pub use tags::{Table, Tag};
pub use witness::{ACTIVE_MAX, Moment, Observed, Refusal, Statement, WINDOWS_MAX, Window, Witness};
