//! The seam at which a server is chosen for a statement, and at which whoever chooses hears how it ended.
//!
//! A session that holds a connection (transaction, pin, cursor) has no choice: its statements go where it is, and are reported all the same.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use pumasi_mysqlwire::{ServerStatus, SqlError};
use tokio::sync::Notify;

use super::{backend::Backend, nature::Nature, state::SessionState, target::Target};
use crate::cluster::{Member, Writes};

/// One server in one role. A server that is promoted, demoted or re-admitted becomes a new `Server` with a new number: connections made
/// for the old one are not used again ([`Server::retire`]).
pub struct Server {
    /// Unique in this process.
    pub number: u64,
    pub target: Target,
    pub role: Role,
    /// Of a cluster; `None`: the only server there is.
    pub member: Option<Arc<Member>>,
    retired: AtomicBool,
    deposed: AtomicBool,
    deposition: Notify,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Primary,
    Replica,
}

/// A statement on its way to a server.
#[derive(Clone, Copy, Debug)]
pub struct Errand<'a> {
    /// As the client wrote it; of a prepared statement, the text it was prepared from. Empty for commands without (COM_INIT_DB and the like).
    pub sql: &'a [u8],
    pub nature: Nature,
    pub user: &'a str,
    /// Database and variables of the session.
    pub state: &'a SessionState,
    /// A write to something it reads is on its way: the primary may have shown it to somebody already, so no replica will do.
    pub fenced: bool,
}

/// Where an errand goes.
pub enum Choice {
    Server(Arc<Server>),
    /// Nowhere yet: asked again when the future is done, and at the latest when the client's patience for a connection is over.
    Wait(Pin<Box<dyn Future<Output = ()>>>),
    Refuse(SqlError),
}

/// How an errand ended. Reported before the client sees the last packet of the answer.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'a> {
    Answered {
        /// As the last packet said; IN_TRANSACTION tells whether one is open.
        status: ServerStatus,
        /// Of the last OK packet; none behind a result with rows.
        affected_rows: Option<u64>,
        /// The position of the last commit in this answer, if the server reported one (MariaDB's last_gtid, MySQL's own GTIDs).
        gtid: Option<&'a [u8]>,
    },
    /// An error of the server's. What was open before still is, if `status` says so.
    Failed { status: ServerStatus, gtid: Option<&'a [u8]> },
    /// The connection broke after the statement was sent: whether it took effect is not known.
    Unknown,
}

/// Chooses servers. Asked on the cores' own loops: must not block.
pub trait Route: Send + Sync + 'static {
    fn choose(&self, errand: &Errand<'_>) -> Choice;

    /// A statement is about to be sent to `server`, on `backend`. `writes` is the session's, for whoever chooses to keep.
    fn begins(&self, _server: &Arc<Server>, _backend: &Backend, _errand: &Errand<'_>, _writes: &mut Writes) {}

    /// A statement that was sent to `server` is over.
    fn ended(&self, _server: &Arc<Server>, _errand: &Errand<'_>, _writes: &mut Writes, _outcome: Outcome<'_>) {}

    /// Run twice, the statement does what it does run once: it may be sent again when its connection breaks before an answer.
    fn repeatable(&self, _errand: &Errand<'_>) -> bool {
        false
    }

    /// A replica that was chosen had applied every write to the tables read that was acknowledged before the choice.
    fn replicas_are_current(&self) -> bool {
        false
    }

    /// A transaction that did not pass through the proxy stands at this place of the log: from when this returns no replica is chosen that has not
    /// applied it.
    fn written_past(&self, _gtid: pumasi_binlog::Gtid) {}

    /// Servers and roles, if there is more than one server to speak of.
    fn status(&self) -> Option<pumasi_status::Cluster> {
        None
    }

    /// A connection to `server` could not be made.
    fn unreachable(&self, _server: &Arc<Server>) {}
}

/// One server for everything.
pub struct OnlyOne(pub Arc<Server>);

impl Route for OnlyOne {
    fn choose(&self, _errand: &Errand<'_>) -> Choice {
        Choice::Server(self.0.clone())
    }
}

impl Server {
    pub fn new(target: Target) -> Arc<Server> {
        Server::of(target, Role::Primary, None)
    }

    pub fn of(target: Target, role: Role, member: Option<Arc<Member>>) -> Arc<Server> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Arc::new(Server {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            target,
            role,
            member,
            retired: AtomicBool::new(false),
            deposed: AtomicBool::new(false),
            deposition: Notify::new(),
        })
    }

    /// No new connection is made for it and no idle one kept; sessions that hold one keep it until they let go.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::SeqCst);
    }

    pub fn retired(&self) -> bool {
        self.retired.load(Ordering::SeqCst)
    }

    /// It was the primary and is not any more: nothing that it says from now on is believed, and who waits for it stops waiting.
    pub fn depose(&self) {
        self.retire();
        self.deposed.store(true, Ordering::SeqCst);
        self.deposition.notify_waiters();
    }

    pub fn deposed(&self) -> bool {
        self.deposed.load(Ordering::SeqCst)
    }

    /// Ends when it is deposed.
    pub async fn deposition(&self) {
        let told = self.deposition.notified();
        tokio::pin!(told);
        // Counts from here, so that a deposition between the look and the wait is not missed.
        told.as_mut().enable();
        if !self.deposed() {
            told.await;
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("number", &self.number).field("address", &self.target.address()).finish_non_exhaustive()
    }
}
