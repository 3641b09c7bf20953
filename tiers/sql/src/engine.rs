//! The seam between the MySQL protocol (sessions, packets) and what executes a statement.
//!
//! The front knows packets and nothing of SQLite; an engine knows SQL and nothing of packets. Calls block: a client connection
//! of the embedded engine has a thread of its own, as in MySQL itself.

use std::sync::Arc;

use pumasi_freshness::Witness;
use pumasi_mysqlwire::{Column, SqlError, Value, ValueRef};

/// One database that sessions can be opened on.
pub trait Engine: Send + Sync + 'static {
    type Session: EngineSession;

    /// Opens a session for a client that has proven who it is. Error 1049 if there is no such database.
    fn open(&self, client: Client<'_>) -> Result<Self::Session, SqlError>;
}

/// Who a session is opened for.
#[derive(Clone, Debug)]
pub struct Client<'a> {
    pub user: &'a str,
    /// The address it came from, without the port: the second half of USER() and CURRENT_USER().
    pub host: &'a str,
    pub database: Option<&'a str>,
    /// What CONNECTION_ID() answers; unique while the connection lives.
    pub connection_id: u32,
    /// The worker whose requests this session's statements belong to; `None` when nobody joins them with requests.
    pub witness: Option<Arc<Witness>>,
}

/// Stops what a session is executing at this moment, if anything: that statement then fails with error 1317. Callable from any
/// thread, also when the session is gone (then it does nothing).
pub type Interrupter = Arc<dyn Fn() + Send + Sync>;

/// One client's state: its transaction, its variables, its prepared statements. Dropping it rolls an open transaction back.
pub trait EngineSession: Send {
    /// What a prepared statement is called inside the engine.
    type Prepared: Send;

    /// Executes one text statement and writes its one result to `out`.
    /// `sql` may hold several statements; the engine takes the first and returns how many bytes of `sql` it used, so that
    /// the front can run the rest if CLIENT_MULTI_STATEMENTS was negotiated, and refuse them (1064) if not.
    fn query(&mut self, sql: &[u8], out: &mut dyn ResultSink) -> Result<usize, SqlError>;

    /// Parses and plans; executes nothing.
    fn prepare(&mut self, sql: &[u8]) -> Result<Self::Prepared, SqlError>;

    /// Number of `?` in the statement, and the columns of its result (empty when it returns none).
    fn describe<'p>(&self, prepared: &'p Self::Prepared) -> (usize, &'p [Column]);

    fn execute(&mut self, prepared: &mut Self::Prepared, parameters: &[Value], out: &mut dyn ResultSink) -> Result<(), SqlError>;

    /// COM_INIT_DB. Error 1049 if there is no such database.
    fn use_database(&mut self, database: &str) -> Result<(), SqlError>;

    /// COM_RESET_CONNECTION: rolls back, forgets variables, temporary tables and prepared statements.
    fn reset(&mut self) -> Result<(), SqlError>;

    /// For KILL, for a client that hung up, and for a shutdown whose deadline has passed. Taken once, when the session opens.
    fn interrupter(&self) -> Interrupter;

    /// The database in use, as DATABASE() answers; changes by `use_database` and by a USE statement.
    fn database(&self) -> Option<&str>;

    /// For the status flags of OK and EOF packets.
    fn in_transaction(&self) -> bool;
    fn autocommit(&self) -> bool;
}

/// Takes one result. Either `finish` alone (a statement without rows), or `columns`, any number of `row`, then `finish`.
/// An engine that fails half way returns its error from `query`/`execute`; the front then sends ERR in place of the rest.
pub trait ResultSink {
    fn columns(&mut self, columns: &[Column]) -> Result<(), SqlError>;
    /// One value per column, in order. An error means the client is gone: stop.
    fn row(&mut self, values: &[ValueRef<'_>]) -> Result<(), SqlError>;
    fn finish(&mut self, summary: Summary) -> Result<(), SqlError>;
}

/// What an OK packet says besides the status flags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub affected_rows: u64,
    pub last_insert_id: u64,
    pub warnings: u16,
    /// `Rows matched: 1  Changed: 1  Warnings: 0` and the like; empty for most.
    pub info: String,
}
