//! End to end: the built binary with real databases, real clients and a real browser.
//!
//! `cargo xtask test` installs what these tests need and builds the binary first; a test that misses something fails and names it.
mod apps;
mod board;
mod browser;
mod clients;
mod clusters;
mod console;
mod disk;
mod drivers;
mod engines;
mod explained;
mod freshness;
mod freshness_servers;
mod grpc;
mod kills;
mod load;
mod manual;
mod names;
mod operating;
mod secure;
mod service;
mod soak;
mod tidy;
mod traces;
mod upgrade;
