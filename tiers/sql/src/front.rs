//! A MySQL server in front of an engine: listeners, logins, sessions, commands. One thread per client connection, blocking I/O,
//! as in MySQL itself: an engine's calls block, and a thread that waits for the disk holds up nobody else.
//!
//! The life of a connection: [`listener`] accepts and finds a place in the [`registry`]; [`login`] proves who it is;
//! [`session`] reads commands and lets the engine answer through [`answer`]; [`wire`] holds the socket and its buffers.
mod answer;
pub(crate) mod digests;
pub(crate) mod listener;
pub(crate) mod login;
pub(crate) mod registry;
pub(crate) mod session;
pub(crate) mod text;
pub(crate) mod wire;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use pumasi_config::{SqlPassword, SqlUser};
use pumasi_freshness::Witness;
use pumasi_metrics::{Counter, Meter};
use pumasi_mysqlwire::SqlError;

use self::{digests::Digests, registry::Registry};
use crate::{engine::Engine, results::Results};

pub use self::listener::{Door, Listener};

/// What a server calls itself, in the greeting and as VERSION().
///
/// MySQL's form, not MariaDB's: SQLAlchemy, Django and Rails read the dialect out of it, and to a MariaDB they would send RETURNING
/// and sequences, to a MySQL 8.0 nothing that the dialect of `parts/dialect` has to refuse.
pub const SERVER_VERSION: &str = concat!("8.0.36-Pumasi-", env!("CARGO_PKG_VERSION"));

/// Longest statement or parameter a client may send (max_allowed_packet), and the most long data one prepared statement collects.
pub const PACKET_MAX: usize = 64 * 1024 * 1024;

/// Prepared statements of all connections together (max_prepared_stmt_count); the next is refused with error 1461.
pub const STATEMENTS_MAX: usize = 16_382;

/// From the connection to its login; a stranger that says nothing costs a thread for this long, no more (connect_timeout).
pub(crate) const LOGIN_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection without a command is closed after this (wait_timeout).
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(8 * 3600);

/// A client that does not take its result is given up after this (net_write_timeout).
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// What a server is started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The database's name in the configuration, for status and logs.
    pub name: String,
    /// What status calls the engine: `embedded:askhy.db`.
    pub engine: String,
    /// Error 1040 for the next.
    pub connections_max: usize,
    /// Empty: root with an empty password, and only from loopback.
    pub users: Vec<SqlUser>,
}

/// A running MySQL server. Cloning it is another handle on the same one; it ends with [`Server::stop`].
pub struct Server<E: Engine>(Arc<Shared<E>>);

impl<E: Engine> Clone for Server<E> {
    fn clone(&self) -> Self {
        Server(self.0.clone())
    }
}

/// What all connections of a server share.
pub(crate) struct Shared<E: Engine> {
    engine: E,
    settings: Settings,
    registry: Arc<Registry>,
    started: Instant,
    stopping: AtomicBool,
    /// Prepared statements of all connections.
    statements: AtomicUsize,
    /// Addresses listened on, in the order they were opened; the first is the database's own.
    addresses: std::sync::Mutex<Vec<SocketAddr>>,
    meter: Meter,
    reads: Counter,
    writes: Counter,
    logins_refused: AtomicU64,
    digests: Digests,
    /// `None`: every statement runs, and pages made of them are not stored.
    results: Option<Arc<Results>>,
}

impl<E: Engine> Server<E> {
    pub fn new(engine: E, settings: Settings) -> Server<E> {
        Server::with_results(engine, settings, None)
    }

    /// As [`Server::new`], with a store for results. The engine must have been given an observer on the same [`pumasi_freshness::Freshness`]
    /// ([`crate::results::Observer`]): without it no write would ever make a stored result wrong.
    pub fn with_results(engine: E, settings: Settings, results: Option<Arc<Results>>) -> Server<E> {
        Server(Arc::new(Shared {
            engine,
            registry: Arc::new(Registry::new(settings.connections_max)),
            settings,
            started: Instant::now(),
            stopping: AtomicBool::new(false),
            statements: AtomicUsize::new(0),
            addresses: std::sync::Mutex::default(),
            meter: Meter::new(),
            reads: Counter::default(),
            writes: Counter::default(),
            logins_refused: AtomicU64::new(0),
            digests: Digests::default(),
            results,
        }))
    }

    /// Opens one more address. Connections that come in through it belong to the worker of `witness`.
    pub fn listen(&self, address: SocketAddr, witness: Option<Arc<Witness>>) -> io::Result<Listener> {
        self.listen_at(Door::Closed(address), witness)
    }

    /// The same where the socket may be another process's already.
    pub fn listen_at(&self, door: Door, witness: Option<Arc<Witness>>) -> io::Result<Listener> {
        listener::open(self.0.clone(), door, witness)
    }

    pub fn engine(&self) -> &E {
        &self.0.engine
    }

    /// Closes a second of the rates that [`Server::status`] shows.
    pub fn tick(&self, now: Instant) {
        self.0.meter.tick(now);
    }

    pub fn status(&self) -> pumasi_status::Sql {
        let addresses = self.0.addresses();
        pumasi_status::Sql {
            name: self.0.settings.name.clone(),
            engine: self.0.settings.engine.clone(),
            address: addresses.first().map(SocketAddr::to_string).unwrap_or_default(),
            connections: self.0.registry.connections() as u64,
            connections_max: self.0.settings.connections_max as u64,
            traffic: self.0.meter.traffic(),
            reads_total: self.0.reads.value(),
            writes_total: self.0.writes.value(),
            results: self.0.results.as_ref().map(|results| results.status()),
            cluster: None,
            followed: self.0.results.as_ref().map(|_| pumasi_status::Followed { mode: "row-exact".to_owned(), ..Default::default() }),
            digests: self.0.digests.slowest(),
            tables: self.0.digests.tables(),
            pins: Vec::new(),
            pool_waits_total: 0,
        }
    }

    /// Latency of every statement since the start, in microseconds.
    pub fn latency_us(&self) -> pumasi_histogram::Snapshot {
        self.0.meter.latency_us()
    }

    /// Ends every connection: idle ones now, those that run a statement when it is answered, but not later than `deadline` from now;
    /// then the statement is interrupted (error 1317) and the connection cut. New connections are refused from the first moment on.
    /// Returns when the last is gone, or a second after the deadline.
    pub fn stop(&self, deadline: Duration) {
        self.0.stopping.store(true, Ordering::SeqCst);
        self.0.registry.close_when_idle();
        if !self.0.registry.wait_until_empty(deadline) {
            self.0.registry.cut();
            self.0.registry.wait_until_empty(Duration::from_secs(1));
        }
    }
}

impl<E: Engine> Shared<E> {
    fn stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    fn addresses(&self) -> std::sync::MutexGuard<'_, Vec<SocketAddr>> {
        self.addresses.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Whether anybody may log in from `host` at all.
    fn welcomes(&self, host: IpAddr) -> bool {
        self.settings.welcomes(host)
    }

    fn password_of(&self, user: &str) -> Option<&SqlPassword> {
        self.settings.password_of(user)
    }
}

impl Settings {
    /// Whether anybody may log in from `host` at all.
    pub(crate) fn welcomes(&self, host: IpAddr) -> bool {
        !self.users.is_empty() || host.to_canonical().is_loopback()
    }

    /// The password of `user`; `None` if there is no such user.
    pub(crate) fn password_of(&self, user: &str) -> Option<&SqlPassword> {
        static NONE: SqlPassword = SqlPassword::Plain(String::new());
        if self.users.is_empty() {
            return (user == "root").then_some(&NONE);
        }
        self.users.iter().find(|known| known.name == user).map(|known| &known.password)
    }
}

// === errors that are the front's own ===

pub(crate) fn too_many_connections(max: usize) -> SqlError {
    SqlError::new(1040, "08004", format!("Too many connections (sql.connections_max = {max})"))
}

pub(crate) fn shutting_down() -> SqlError {
    SqlError::new(1053, "08S01", "Server shutdown in progress")
}

pub(crate) fn not_from_there(peer: SocketAddr) -> SqlError {
    SqlError::new(1130, "HY000", format!("Host '{}' is not allowed to connect to this MySQL server", peer.ip().to_canonical()))
}

#[cfg(test)]
pub(crate) mod tests;
