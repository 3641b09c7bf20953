//! `pumasi.toml` to a checked plan; every key documented on its type.
mod plan;

pub use plan::*;
