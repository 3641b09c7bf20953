//! Single exchanges, for whoever listens: counters say how many, these say which.
//!
//! The edge offers each finished exchange to a [`Tap`]; while nobody listens that costs two relaxed loads. What is offered waits in bounded
//! queues for the exporter of traces ([`otlp`]) and for a recording ([`Exchange::recorded`], from which secrets are gone). [`Callers`] brings a
//! request's statements under its span.
mod callers;
mod comment;
mod context;
pub mod otlp;
mod recorded;
mod tap;

pub use callers::{Caller, Callers, Calling};
pub use comment::{trace_said, without_trace};
pub use context::Context;
pub use recorded::{MASK, Recorded, hashed};
pub use tap::{Exchange, Queue, Statement, Tap, WAITING_MAX};
