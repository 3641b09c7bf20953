//! Cache-aside by hand, the way it is usually added when the front page gets slow: look in the cache, else ask the database and
//! put the answer there; delete it on every write.
//!
//! The usual weaknesses come with it. Between a reader's query and its `set`, a writer may delete: then the old list is stored
//! until it expires. A write that does not come through this code (another application, a person at a prompt) deletes nothing.
mod memcached;
mod redis;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::BufStream,
    net::TcpStream,
    time::{error::Elapsed, timeout},
};

use crate::{Error, board::AskSummary};

/// The front page's list in a cache server. Cheap to clone; clones share the connections.
///
/// A cache that does not answer costs a line on stderr and a trip to the database, never an error page.
#[derive(Clone)]
pub struct Cache {
    address: CacheAddress,
    idle: Arc<Mutex<Vec<BufStream<TcpStream>>>>,
}

/// `redis://HOST:PORT` or `memcached://HOST:PORT`.
#[derive(Clone, Debug)]
pub struct CacheAddress {
    kind: Kind,
    host_port: String,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Redis,
    Memcached,
}

impl CacheAddress {
    pub fn parse(text: String) -> Result<CacheAddress, Error> {
        let parsed = text.split_once("://").and_then(|(scheme, rest)| {
            let (kind, port) = match scheme {
                "redis" => (Kind::Redis, 6379),
                "memcached" => (Kind::Memcached, 11211),
                _ => return None,
            };
            let host = rest.trim_end_matches('/');
            let host_port = if host.contains(':') { host.to_owned() } else { format!("{host}:{port}") };
            (!host.is_empty()).then_some(CacheAddress { kind, host_port })
        });
        parsed.ok_or(Error::Setting { name: "ASKHY_CACHE", value: text, wanted: "redis://HOST:PORT or memcached://HOST:PORT" })
    }
}

impl Cache {
    pub fn new(address: &CacheAddress) -> Cache {
        Cache { address: address.clone(), idle: Arc::default() }
    }

    /// The list, if it is there and readable.
    pub async fn load(&self) -> Option<Vec<AskSummary>> {
        let bytes = self.talk(async |connection, kind| match kind {
            Kind::Redis => redis::get(connection, KEY).await,
            Kind::Memcached => memcached::get(connection, KEY).await,
        });
        serde_json::from_slice(&bytes.await??).ok()
    }

    pub async fn store(&self, asks: &[AskSummary]) {
        let Ok(bytes) = serde_json::to_vec(asks) else { return };
        self.talk(async |connection, kind| match kind {
            Kind::Redis => redis::set(connection, KEY, &bytes, EXPIRE_S).await,
            Kind::Memcached => memcached::set(connection, KEY, &bytes, EXPIRE_S).await,
        })
        .await;
    }

    /// After a write: the next reader counts again.
    pub async fn forget(&self) {
        self.talk(async |connection, kind| match kind {
            Kind::Redis => redis::delete(connection, KEY).await,
            Kind::Memcached => memcached::delete(connection, KEY).await,
        })
        .await;
    }

    /// One exchange on an idle connection or a new one. A connection that failed is closed: what it would say next is unknown.
    async fn talk<T>(&self, exchange: impl AsyncFnOnce(&mut BufStream<TcpStream>, Kind) -> std::io::Result<T>) -> Option<T> {
        let outcome = timeout(TIMEOUT, async {
            let idle = self.idle.lock().expect("nothing panics while holding it").pop();
            let mut connection = match idle {
                Some(connection) => connection,
                None => {
                    let stream = TcpStream::connect(&self.address.host_port).await?;
                    stream.set_nodelay(true)?;
                    BufStream::new(stream)
                }
            };
            let answer = exchange(&mut connection, self.address.kind).await?;
            let mut idle = self.idle.lock().expect("nothing panics while holding it");
            if idle.len() < IDLE_MAX {
                idle.push(connection);
            }
            Ok(answer)
        });
        let outcome = outcome.await.unwrap_or_else(|_: Elapsed| Err(std::io::ErrorKind::TimedOut.into()));
        outcome.inspect_err(|error: &std::io::Error| eprintln!("askhy: cache at {}: {error}", self.address.host_port)).ok()
    }
}

// === constants ===

const KEY: &str = "askhy:asks";

/// How long a list that was stored too late may be shown.
const EXPIRE_S: u32 = 60;

/// Longer than any healthy exchange by far; a cache slower than this is no help.
const TIMEOUT: Duration = Duration::from_millis(500);

/// Connections kept for reuse, one per request that was ever in flight at once, at most.
const IDLE_MAX: usize = 32;

/// An answer larger than this is not ours.
const VALUE_BYTES_MAX: usize = 16 << 20;

fn unexpected(line: &str) -> std::io::Error {
    std::io::Error::other(format!("unexpected answer {line:?}"))
}

#[cfg(test)]
mod tests;
