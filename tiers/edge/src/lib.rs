//! HTTP in: listeners, routes, balancing, pages.
//!
//! One thread per core, each with its own listener (SO_REUSEPORT), its own runtime and its own idle upstream connections. A
//! connection stays on the core that accepted it; nothing on the path of a request is shared between cores but counters and the
//! pools' health. One more thread for control: probes, names, reloads.
//!
//! ```text
//! core (accept) -> downstream::H1 (codec) -> serve (route, store, answers) -> forward (choose, retry) -> exchange (bytes both ways)
//! ```
//!
//! **Invariant:** a connection's memory is bounded: one input and one output buffer each way, and whoever would fill an output buffer
//! past [`output::HIGH_WATER`] waits for the socket.
//!
//! **Invariant:** on any doubt about framing the connection is closed; an upstream connection is reused only when its response
//! ended exactly where its bytes did.

mod access_log;
mod answers;
mod buffers;
mod connect;
mod contents;
mod control;
mod core;
mod counters;
mod date;
mod downstream;
mod edge;
mod event_loop;
mod exchange;
mod files;
mod forward;
mod heads;
mod input;
mod listen;
mod output;
mod pages;
mod passthrough;
mod place;
mod probe;
mod proxy_protocol;
mod read_through;
mod relay;
mod request_id;
mod routes;
mod samples;
mod serve;
mod sticky;
mod timer;
mod tls;
mod upstream;

pub use control::PoolConfig;
pub use edge::{Edge, EdgeConfig, OpenSocket, StartError};
pub use pages::Difference;
pub use probe::Prober;
pub use pumasi_pagestore::{Purge, PurgeKind, Purged, Successor};
pub use tls::TlsError;
