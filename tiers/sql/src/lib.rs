//! A MySQL server in front of the embedded engine, and a proxy in front of real ones.
pub mod cluster;
pub mod embedded;
pub mod engine;
pub mod front;
mod identity;
pub mod proxy;
pub mod results;
