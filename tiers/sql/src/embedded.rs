//! The embedded engine: MySQL's statements, types and transactions over one SQLite file.
//!
//! **Several databases in one file.** Tables of the default database (named after the file) have their own names inside SQLite, those
//! of others `database.table`. Attaching one file per database was the other way; but in WAL mode a commit over several files is not
//! atomic, and a transaction must be.
//!
//! **Snapshots.** A transaction's reads come from the SQLite snapshot that its first read took. When it first writes, the snapshot
//! must be the newest: if no table it has read was changed since, it is moved forward silently, else the transaction fails with 1213.
//! One session writes at a time (`lock`), readers never wait.
//!
//! **Durability.** WAL with synchronous=FULL: COMMIT returns when the log is on the disk.
//!
//! **Invariant:** every commit that changes rows or the schema stands between `WriteObserver::commit_begins` and `commit_ended`.
//! **Invariant:** a snapshot's stamp is taken before the snapshot.

mod changes;
mod connection;
mod failure;
mod known_tables;
mod lock;
mod prepared;
mod schema;
mod schema_change;
mod session;
mod set;
mod store;
mod variables;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, RwLock};
use std::time::Instant;

use pumasi_dialect::catalogue::Catalogue;
use pumasi_dialect::error;
use pumasi_mysqlwire::SqlError;

pub use prepared::Prepared;
pub use session::Session;
pub use variables::SERVER_VERSION;

use crate::engine::{ChangeSet, Client, CommitOutcome, Engine, Fence, Stamp, WriteObserver};
use connection::{SessionConnection, lock};
use lock::WriterLock;

/// Tables of the engine itself begin so inside SQLite.
pub const OWN_PREFIX: &str = "__pumasi_";
/// Idle connections kept for new sessions: opening one costs about as much as a hundred point reads.
const IDLE_CONNECTIONS_MAX: usize = 16;
/// Translations kept for all sessions together.
const TRANSLATIONS_MAX: usize = 2048;
/// Texts longer than this (bulk inserts) are translated each time.
const TRANSLATED_TEXT_MAX: usize = 16 << 10;

/// How to open an engine.
#[derive(Clone)]
pub struct Options {
    pub path: PathBuf,
    /// Flush every commit to the disk before it is acknowledged. Off only for tests and bulk loading.
    pub durable: bool,
    pub observer: Arc<dyn WriteObserver>,
}

impl Options {
    /// Durable, observed by nobody.
    pub fn new(path: impl Into<PathBuf>) -> Options {
        Options { path: path.into(), durable: true, observer: Arc::new(NoObserver) }
    }
}

/// For an engine whose results nobody stores.
pub struct NoObserver;

impl WriteObserver for NoObserver {
    fn stamp(&self) -> Stamp {
        Stamp::default()
    }

    fn commit_begins(&self, _: &ChangeSet) -> Fence {
        Fence(0)
    }

    fn commit_ended(&self, _: Fence, _: &ChangeSet, _: CommitOutcome) {}
}

/// One open database file. Cheap to clone.
#[derive(Clone)]
pub struct Embedded {
    shared: Arc<Shared>,
}

struct Shared {
    options: Options,
    default_database: String,
    catalogue: RwLock<Arc<Catalogue>>,
    /// Odd while a schema change is between SQLite's commit and the new catalogue.
    schema_epoch: AtomicU64,
    writer: WriterLock,
    /// Commits so far, and the number of the last one that changed each table (by SQLite name).
    commits: AtomicU64,
    changed: Mutex<HashMap<String, u64>>,
    idle: Mutex<Vec<SessionConnection>>,
    translations: Mutex<prepared::Translations>,
    /// SET GLOBAL.
    globals: RwLock<BTreeMap<String, String>>,
    sessions: Mutex<BTreeMap<u32, Arc<SessionState>>>,
    user_locks: UserLocks,
    opened: Instant,
    questions: AtomicU64,
    /// Held while the engine is open: another process that opened the file would commit unseen.
    _file_lock: File,
}

/// What others may see and do to a session: the process list, KILL.
struct SessionState {
    connection_id: u32,
    user: String,
    host: String,
    /// Database, statement and when it began; no statement: asleep.
    activity: Mutex<Activity>,
    interrupted: AtomicBool,
    killed: AtomicBool,
    handle: Mutex<Option<rusqlite::InterruptHandle>>,
    /// Woken when interrupted, for SLEEP() and GET_LOCK().
    wake: (Mutex<()>, Condvar),
}

struct Activity {
    database: Option<String>,
    statement: Option<String>,
    since: Instant,
}

/// GET_LOCK's names and who holds them, how often.
#[derive(Default)]
struct UserLocks {
    held: Mutex<HashMap<String, (u32, u32)>>,
    changed: Condvar,
}

impl Embedded {
    /// Opens or creates the file. Errors: 1030 when it cannot be opened, is not ours, or another process has it.
    pub fn open(options: Options) -> Result<Embedded, SqlError> {
        let file_lock = exclusive(&options.path)?;
        let mut connection =
            SessionConnection::open(&options.path, options.durable).map_err(|e| error::disk(format!("{}: {e}", options.path.display())))?;
        let named = options.path.file_stem().and_then(|s| s.to_str()).unwrap_or("main").to_owned();
        let (default_database, catalogue) = store::open(&mut connection, &named)?;
        let shared = Shared {
            options,
            default_database,
            catalogue: RwLock::new(Arc::new(catalogue)),
            schema_epoch: AtomicU64::new(0),
            writer: WriterLock::default(),
            commits: AtomicU64::new(0),
            changed: Mutex::default(),
            idle: Mutex::new(vec![connection]),
            translations: Mutex::default(),
            globals: RwLock::default(),
            sessions: Mutex::default(),
            user_locks: UserLocks::default(),
            opened: Instant::now(),
            questions: AtomicU64::new(0),
            _file_lock: file_lock,
        };
        Ok(Embedded { shared: Arc::new(shared) })
    }

    /// The database that sessions without one and the file's own name mean.
    pub fn default_database(&self) -> &str {
        &self.shared.default_database
    }

    /// The schema at this moment: for closures over foreign keys and views.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        self.shared.catalogue()
    }

    pub fn path(&self) -> &Path {
        &self.shared.options.path
    }
}

impl Engine for Embedded {
    type Session = Session;

    fn open(&self, client: Client<'_>) -> Result<Session, SqlError> {
        Session::open(Arc::clone(&self.shared), &client)
    }
}

impl Shared {
    fn catalogue(&self) -> Arc<Catalogue> {
        Arc::clone(&self.catalogue.read().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// A clean connection for a session.
    fn take_connection(&self) -> Result<SessionConnection, SqlError> {
        if let Some(connection) = lock(&self.idle).pop() {
            return Ok(connection);
        }
        SessionConnection::open(&self.options.path, self.options.durable).map_err(error::disk)
    }

    fn return_connection(&self, connection: SessionConnection) {
        let mut idle = lock(&self.idle);
        if idle.len() < IDLE_CONNECTIONS_MAX {
            idle.push(connection);
        }
    }

    /// An even epoch: no schema change is half visible. Changes last microseconds, so this spins.
    fn settled_epoch(&self) -> u64 {
        loop {
            let epoch = self.schema_epoch.load(Ordering::Acquire);
            if epoch.is_multiple_of(2) {
                return epoch;
            }
            std::thread::yield_now();
        }
    }

    /// Notes a commit, for the check of later snapshots. Called by the holder of the writer's lock.
    fn note_commit(&self, storages: impl Iterator<Item = String>) {
        let mut changed = lock(&self.changed);
        let number = self.commits.load(Ordering::Relaxed) + 1;
        for storage in storages {
            changed.insert(storage, number);
        }
        self.commits.store(number, Ordering::Release);
    }

    /// Whether a table was changed by a commit later than `snapshot`.
    fn changed_since(&self, storage: &str, snapshot: u64) -> bool {
        lock(&self.changed).get(storage).is_some_and(|number| *number > snapshot)
    }
}

impl SessionState {
    fn interrupt(&self, writer: &WriterLock) {
        self.interrupted.store(true, Ordering::Release);
        if let Some(handle) = lock(&self.handle).as_ref() {
            handle.interrupt();
        }
        drop(lock(&self.wake.0));
        self.wake.1.notify_all();
        writer.nudge();
    }

    fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Acquire)
    }
}

/// Takes the file for this process alone, by a lock on a file beside it: one on the database itself would be SQLite's.
fn exclusive(path: &Path) -> Result<File, SqlError> {
    let beside = path.with_extension("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&beside)
        .map_err(|e| error::disk(format!("cannot create {}: {e}", beside.display())))?;
    file.try_lock().map_err(|_| error::disk(format!("{} is in use by another Pumasi ({} is locked)", path.display(), beside.display())))?;
    Ok(file)
}

#[cfg(test)]
mod tests;
