//! Who is connected: places up to the limit, what each connection does at the moment, and how to end one from outside.

use std::{
    collections::BTreeMap,
    net::{Shutdown, SocketAddr},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use crate::engine::Interrupter;

/// Bytes of a statement that the list of connections remembers.
const SHOWN_SQL_MAX: usize = 1024;

/// All connections of a server.
pub struct Registry {
    max: usize,
    /// The least number.
    first_id: u32,
    next_id: AtomicU32,
    connections: Mutex<BTreeMap<u32, Arc<Entry>>>,
    one_left: Condvar,
}

/// One connection as others see it.
pub struct Entry {
    pub id: u32,
    pub peer: SocketAddr,
    hang_up: HangUp,
    /// Set by KILL and by a shutdown: no further command is read.
    ending: AtomicBool,
    /// The primary's number for the connection that this session keeps; 0: none.
    kept: AtomicU32,
    activity: Mutex<Activity>,
}

/// What a connection is and does, for SHOW PROCESSLIST.
#[derive(Clone)]
pub struct Activity {
    pub user: String,
    pub database: Option<String>,
    /// `Connect` until the login, `Sleep` between commands, else the command's name.
    pub command: &'static str,
    pub since: Instant,
    /// The statement, cut after [`SHOWN_SQL_MAX`] bytes; empty between statements.
    pub sql: String,
    /// There from the login on.
    interrupter: Option<Interrupter>,
}

/// Ends a connection from outside: `Read` makes whoever waits for the next command find the end of the stream, `Both` cuts it.
pub type HangUp = Box<dyn Fn(Shutdown) + Send + Sync>;

/// A connection's place; gives it back when dropped.
pub struct Place {
    registry: Arc<Registry>,
    pub entry: Arc<Entry>,
}

/// Whom [`Registry::kill`] ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kill {
    /// The statement that runs now; it fails with error 1317.
    Query,
    /// The connection, with the statement that runs now.
    Connection,
}

impl Registry {
    pub fn new(max: usize) -> Registry {
        Registry::numbered_from(1, max)
    }

    /// Connections get numbers from `first_id` on.
    pub fn numbered_from(first_id: u32, max: usize) -> Registry {
        Registry { max, first_id, next_id: AtomicU32::new(first_id), connections: Mutex::default(), one_left: Condvar::new() }
    }

    pub fn connections(&self) -> usize {
        self.lock().len()
    }

    /// A place for a new connection; `None` if all are taken.
    pub fn admit(self: &Arc<Registry>, hang_up: HangUp, peer: SocketAddr) -> Option<Place> {
        let mut connections = self.lock();
        if connections.len() >= self.max {
            return None;
        }
        // Numbers come round after four billion connections; one still in use is passed over.
        let id = loop {
            let id = self.next_id.fetch_add(1, Ordering::Relaxed);
            if id < self.first_id {
                self.next_id.store(self.first_id, Ordering::Relaxed);
            } else if !connections.contains_key(&id) {
                break id;
            }
        };
        let activity = Activity {
            user: String::new(),
            database: None,
            command: "Connect",
            since: Instant::now(),
            sql: String::new(),
            interrupter: None,
        };
        let entry =
            Arc::new(Entry { id, peer, hang_up, ending: AtomicBool::new(false), kept: AtomicU32::new(0), activity: Mutex::new(activity) });
        connections.insert(id, entry.clone());
        Some(Place { registry: self.clone(), entry })
    }

    /// Every connection, by number.
    pub fn entries(&self) -> Vec<Arc<Entry>> {
        self.lock().values().cloned().collect()
    }

    /// False if there is no such connection.
    pub fn kill(&self, id: u32, what: Kill) -> bool {
        let Some(entry) = self.lock().get(&id).cloned() else { return false };
        if what == Kill::Connection {
            entry.end_when_idle();
        }
        entry.interrupt();
        true
    }

    /// The connection whose session keeps the primary's connection `server_id`.
    pub fn keeper_of(&self, server_id: u32) -> Option<u32> {
        self.lock().values().find(|entry| entry.kept.load(Ordering::Relaxed) == server_id).map(|entry| entry.id)
    }

    /// Lets every connection end after the statement it runs.
    pub fn close_when_idle(&self) {
        self.entries().iter().for_each(|entry| entry.end_when_idle());
    }

    /// Interrupts every statement and cuts every connection.
    pub fn cut(&self) {
        for entry in self.entries() {
            entry.end_when_idle();
            entry.interrupt();
            (entry.hang_up)(Shutdown::Both);
        }
    }

    /// False if connections are left after `patience`.
    pub fn wait_until_empty(&self, patience: Duration) -> bool {
        let left = self.one_left.wait_timeout_while(self.lock(), patience, |connections| !connections.is_empty());
        left.map_or_else(|poisoned| poisoned.into_inner().0.is_empty(), |(connections, _)| connections.is_empty())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, Arc<Entry>>> {
        // Nothing panics while it is held.
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.registry.lock().remove(&self.entry.id);
        self.registry.one_left.notify_all();
    }
}

impl Entry {
    pub fn ending(&self) -> bool {
        self.ending.load(Ordering::SeqCst)
    }

    pub fn activity(&self) -> Activity {
        self.lock().clone()
    }

    /// The login is done.
    pub fn opened(&self, user: &str, database: Option<&str>, interrupter: Interrupter) {
        let mut activity = self.lock();
        activity.user = user.to_owned();
        activity.database = database.map(str::to_owned);
        activity.interrupter = Some(interrupter);
        activity.command = "Sleep";
        activity.since = Instant::now();
    }

    /// The session keeps the primary's connection `server_id`; 0: none.
    pub fn keeps(&self, server_id: u32) {
        self.kept.store(server_id, Ordering::Relaxed);
    }

    /// A command begins; `sql` is empty if it has none.
    pub fn begins(&self, command: &'static str, sql: &[u8], now: Instant) {
        let mut activity = self.lock();
        activity.command = command;
        activity.since = now;
        activity.sql.clear();
        let shown = &sql[..sql.len().min(SHOWN_SQL_MAX)];
        activity.sql.push_str(&String::from_utf8_lossy(shown));
    }

    /// It is answered.
    pub fn ends(&self, database: Option<&str>, now: Instant) {
        let mut activity = self.lock();
        activity.command = "Sleep";
        activity.since = now;
        activity.sql.clear();
        if activity.database.as_deref() != database {
            activity.database = database.map(str::to_owned);
        }
    }

    /// The thread that waits for a command finds the end of the stream instead; one that runs a statement can still send its answer.
    fn end_when_idle(&self) {
        self.ending.store(true, Ordering::SeqCst);
        (self.hang_up)(Shutdown::Read);
    }

    fn interrupt(&self) {
        // Called without the lock: an interrupter may take its time.
        let interrupter = self.lock().interrupter.clone();
        if let Some(interrupt) = interrupter {
            interrupt();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Activity> {
        self.activity.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
