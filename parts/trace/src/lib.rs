//! Single exchanges, for whoever listens: counters say how many, these say which.
//!
//! The edge offers each finished exchange to a [`Tap`]; while nobody listens that costs two relaxed loads. What is offered waits in bounded
//! queues for the exporter of traces ([`otlp`]) and for a recording ([`Exchange::recorded`], from which secrets are gone).
mod context;
pub mod otlp;
mod recorded;
mod tap;

pub use context::Context;
pub use recorded::{MASK, Recorded, hashed};
pub use tap::{Exchange, Queue, Tap, WAITING_MAX};
