//! What Pumasi counts: declared once, counted without waiting, shown in Prometheus' text format.
//!
//! [`Meter`] is what a tier puts on a path: requests, errors, in flight and latency, with rates and quantiles of the last ten
//! seconds for [`pumasi_status::Traffic`]. [`catalogue`] declares every family that `/metrics` may show; [`Exposition`] writes
//! them and takes no sample that is not declared. `docs/metrics.md` is generated from the catalogue, and a test compares.
pub mod catalogue;
mod exposition;
mod meter;

pub use catalogue::{Family, Kind};
pub use exposition::Exposition;
pub use meter::{Counter, Meter, WINDOW_SECONDS};
