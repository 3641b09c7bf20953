//! Real servers for tests. Each has a directory of its own under the machine's temporary files, listens on a free port of the loopback
//! only, and ends, with everything it wrote, when its value is dropped.
//!
//! They are kept small on purpose: a test machine may run a dozen at once, and a full disk fails every test alike.
mod cache;
mod mariadb;
mod process;

pub use cache::{Memcached, Redis};
pub use mariadb::MariaDb;
pub use process::free_port;
