//! The load tester and the ladder.
//!
//! `pumasi load URL` and scenario files, an open model by default: requests are sent at planned instants whatever the target does, and
//! latency counts from the planned instant, so that a stalled target cannot hide its stall by not being asked (coordinated omission).
//!
//! | module | holds |
//! |---|---|
//! | `scenario`, `template`, `data`, `random`, `profile` | what to send and when: files, values, dice, stages -> `plan` |
//! | `lane`, `reply`, `tally`, `run` | sending it: one event loop per core, answers, counters, the controller |
//! | `record` | a scenario from a running Pumasi's own traffic |
//! | `fleet` | the same on several machines: agents that dial in |
//! | `oracle`, `verify` | `--verify`: every read against the last acknowledged write, through SQL and on the reference application's pages |
//! | `report`, `slo`, `kept` | what came of it: figures, objectives, kept runs |
//! | `args`, `command`, `validate`, `exchange`, `ticks` | the command line, for people and for the console |

mod args;
mod command;
mod data;
mod exchange;
mod fleet;
mod journey_of_one;
mod kept;
mod ladder;
mod lane;
mod oracle;
mod plan;
mod profile;
mod quantity;
mod random;
mod record;
mod reply;
mod report;
mod run;
mod scenario;
mod slo;
mod tally;
mod template;
mod ticks;
mod tls;
mod validate;
mod verify;
mod watch;

pub use args::{LoadArgs, LoadVerb};
pub use command::{exit, run};
pub use kept::{Kept, KeptError};
pub use ladder::{DatabaseAddress, Reference, args::LadderArgs, ladder};
pub use report::{Report, compare, html};
pub use ticks::Tick;

#[cfg(test)]
mod tests;
