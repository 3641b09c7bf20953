//! The seam between the MySQL protocol (sessions, packets) and what executes a statement.
//!
//! The front knows packets and nothing of SQLite; an engine knows SQL and nothing of packets. Calls block: a client connection
//! of the embedded engine has a thread of its own, as in MySQL itself.

use std::sync::Arc;

/// A position in the order of writes, as the observer counts them; the engine only carries it.
pub use pumasi_freshness::Stamp;
use pumasi_freshness::Witness;
use pumasi_mysqlwire::{Column, SqlError, Value, ValueRef};
use pumasi_sqltext::Catalogue;

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
    /// CLIENT_FOUND_ROWS: an UPDATE answers the rows it matched, not the rows it changed.
    pub found_rows: bool,
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

    /// What the latest `query` or `execute` was and read: valid once it returned, also with an error.
    fn report(&self) -> &StatementReport;

    /// Every setting of this session that may shape the bytes of a result, written so that equal texts mean equal settings: character sets,
    /// collations, time zone, sql_mode, limits; and who the client is, if privileges differ. `None` while its results depend on something that cannot be written down (a temporary
    /// table); then it shares no results with other sessions. Asked before every read: keep it ready.
    fn settings(&self) -> Option<&[u8]> {
        None
    }

    /// Tables and columns as this session sees them, for dependencies on rows; `None`: dependencies are on whole tables.
    /// Valid until the next schema change.
    fn catalogue(&self) -> Option<Arc<dyn Catalogue + Send + Sync>> {
        None
    }

    /// A read of this session was answered from the results of another, with `rows` rows and no warning: what FOUND_ROWS(), ROW_COUNT() and SHOW
    /// WARNINGS answer next.
    fn answered_from_store(&mut self, rows: u64) {
        let _ = rows;
    }

    /// If a transaction is open that has only read, and has no savepoint: ends it and begins it anew, so that its next read sees the present.
    /// The client does not notice, but that its snapshot has moved. Otherwise does nothing.
    fn renew_snapshot(&mut self) {}
}

/// A table as the catalogue knows it: database and name in their stored spelling.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableName {
    pub database: Arc<str>,
    pub name: Arc<str>,
}

/// What one statement was, for whoever stores results and pages. The default is the careful answer: nothing may be stored.
#[derive(Clone, Debug)]
pub struct StatementReport {
    pub kind: StatementKind,
    /// Base tables read, views expanded and subqueries included; sorted, each once. Empty for a SELECT without tables.
    pub tables: Arc<[TableName]>,
    /// `Ok` if the rows are a function of the tables' rows, the text, the parameters and the session's settings alone;
    /// else why not (`NOW()`, a user variable, a temporary table ...), a constant fit for a counter's label.
    pub pure: Result<(), &'static str>,
    pub snapshot: Option<SnapshotReport>,
}

impl Default for StatementReport {
    fn default() -> Self {
        StatementReport { kind: StatementKind::Control, tables: Arc::from([]), pure: Err("not a SELECT"), snapshot: None }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatementKind {
    /// SELECT without locking clause: changed nothing.
    Read,
    /// Changed rows or the schema, or may have (locking reads are here: they are never stored).
    Write,
    /// SET, SHOW, BEGIN, COMMIT and the like.
    Control,
}

/// The snapshot a read saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotReport {
    /// Taken from the observer before the snapshot began: every write whose `commit_ended` came before it is in the snapshot.
    pub stamp: Stamp,
    pub age: SnapshotAge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotAge {
    /// The snapshot began with this statement.
    ThisStatement,
    /// An earlier statement of the same transaction began it; it may hold the session's own uncommitted rows only if `own_writes`.
    Earlier { own_writes: bool },
}

/// Stands around every commit and before every snapshot of an engine, so that stored answers can be proven fresh.
///
/// Order, per commit: `commit_begins` (rows are not visible to anybody) - the engine commits - `commit_ended` - only then is the client
/// told. Commits are serial. Calls come on the session's thread and must not block for long: the writer's lock is held.
pub trait WriteObserver: Send + Sync + 'static {
    /// Called before a snapshot is taken.
    fn stamp(&self) -> Stamp;

    /// What is about to become visible. The answer comes back in `commit_ended`.
    fn commit_begins(&self, changes: &ChangeSet) -> Fence;

    /// `Visible`: later snapshots see the rows. `RolledBack`: nobody ever will. Called exactly once per `commit_begins`.
    fn commit_ended(&self, fence: Fence, changes: &ChangeSet, outcome: CommitOutcome);
}

/// Names one `commit_begins`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence(pub u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    Visible,
    RolledBack,
}

/// Everything one transaction changed, cascades included. A superset: rows undone by ROLLBACK TO SAVEPOINT stay in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChangeSet {
    pub tables: Vec<TableChange>,
    /// A table was created, altered, renamed or dropped: everything known about tables is void.
    pub schema: bool,
    /// The last statement that wrote rows, without its values, cut. For people.
    pub statement: Option<Arc<str>>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct TableChange {
    pub table: TableName,
    /// The columns in the order of the images.
    pub columns: Arc<[String]>,
    pub rows: ChangedRows,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ChangedRows {
    Images(Vec<RowChange>),
    /// More rows changed than a transaction keeps images for, or TRUNCATE: any row may have.
    Unknown,
}

/// `old` is `None` for an INSERT, `new` for a DELETE.
#[derive(Clone, Debug, PartialEq)]
pub struct RowChange {
    pub old: Option<Vec<RowValue>>,
    pub new: Option<Vec<RowValue>>,
}

/// A column's value as it is stored: DECIMAL, temporal types and JSON are canonical text.
#[derive(Clone, Debug, PartialEq)]
pub enum RowValue {
    Null,
    Int(i64),
    Double(f64),
    Text(String),
    Blob(Vec<u8>),
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
