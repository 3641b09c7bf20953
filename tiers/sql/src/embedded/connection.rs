//! A SQLite connection as the engine uses it: pragmas, MySQL's collations and functions, the hook on changes.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pumasi_dialect::collation::Collating;
use pumasi_dialect::decimal;
use pumasi_dialect::functions::{self, Aggregate, Arg, Call, Env, Function, Kind, Out};
use pumasi_dialect::temporal;
use pumasi_mysqlwire::SqlError;
use pumasi_preupdate::HookedConnection;
use rusqlite::config::DbConfig;
use rusqlite::functions::{Aggregate as SqliteAggregate, Context, FunctionFlags, WindowAggregate};
use rusqlite::types::{ToSql, ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, OpenFlags};

use super::changes::Collector;

/// What the session and the functions on its connection share.
pub type SharedEnv = Arc<Mutex<Env>>;
pub type SharedCollector = Arc<Mutex<Collector>>;

pub struct SessionConnection {
    pub sqlite: HookedConnection,
    pub env: SharedEnv,
    pub collector: SharedCollector,
    /// Separators for which a GROUP_CONCAT was registered.
    separators: Vec<String>,
}

/// Statements kept prepared per session.
const STATEMENTS_MAX: usize = 128;
/// Pages kept in memory per session, in KiB.
const CACHE_KIB: u32 = 4096;
/// How long SQLite itself waits for a lock of another process (a shell, a backup) before the statement fails with 1205.
const BUSY_TIMEOUT_MS: u32 = 5000;
/// GROUP_CONCAT separators per connection.
const SEPARATORS_MAX: usize = 64;

/// SQLite's error code is all that passes through it; the error proper waits in `Env::failure`.
fn raised(env: &SharedEnv, error: SqlError) -> rusqlite::Error {
    let text = error.message.clone();
    lock(env).failure = Some(error);
    rusqlite::Error::UserFunctionError(text.into())
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SessionConnection {
    /// `full`: every commit is flushed to the disk before it is acknowledged.
    pub fn open(path: &Path, full: bool) -> rusqlite::Result<SessionConnection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        prepare(&connection, full)?;
        let env: SharedEnv = Arc::new(Mutex::new(new_env()));
        let collector: SharedCollector = Arc::default();
        collations(&connection)?;
        for function in functions::scalars() {
            register(&connection, function, &env)?;
        }
        for &(name, arguments, make, window) in functions::aggregates() {
            let adapter = Adapter { make: Arc::new(make), env: Arc::clone(&env) };
            let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
            if window {
                connection.create_window_function(name, arguments, flags, adapter)?;
            } else {
                connection.create_aggregate_function(name, arguments, flags, adapter)?;
            }
        }
        let (observed, counted) = (Arc::clone(&collector), Arc::clone(&env));
        let sqlite = HookedConnection::new(connection, move |change| {
            let mut collector = lock(&observed);
            collector.observe(&change);
            lock(&counted).rows_done = collector.statement.rows();
        });
        Ok(SessionConnection { sqlite, env, collector, separators: vec![] })
    }

    /// Makes the aggregates for GROUP_CONCAT with these separators.
    pub fn register_separators(&mut self, separators: &[String]) -> Result<(), SqlError> {
        for separator in separators {
            if self.separators.contains(separator) {
                continue;
            }
            if self.separators.len() >= SEPARATORS_MAX {
                return Err(SqlError::unsupported(format!("more than {SEPARATORS_MAX} GROUP_CONCAT separators in a session")));
            }
            let name = pumasi_dialect::translate::gc_name(separator);
            let text = separator.clone();
            let make: MakeAggregate = Arc::new(move || functions::separator_aggregate(&text));
            let adapter = Adapter { make, env: Arc::clone(&self.env) };
            self.sqlite
                .create_aggregate_function(name.as_str(), 1, FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC, adapter)
                .map_err(pumasi_dialect::error::internal)?;
            self.separators.push(separator.clone());
        }
        Ok(())
    }
}

fn prepare(connection: &Connection, full: bool) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    connection.busy_timeout(std::time::Duration::from_millis(u64::from(BUSY_TIMEOUT_MS)))?;
    // Double quotes are identifiers and nothing else: a misspelt column must never turn into a text.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = {}; PRAGMA foreign_keys = ON; PRAGMA recursive_triggers = OFF;
         PRAGMA temp_store = MEMORY; PRAGMA cache_size = -{CACHE_KIB}; PRAGMA trusted_schema = ON;",
        if full { "FULL" } else { "NORMAL" }
    ))
}

pub fn new_env() -> Env {
    Env {
        now_micros: 0,
        zone_seconds: 0,
        strict: true,
        no_zero_date: true,
        no_zero_in_date: true,
        warnings: vec![],
        warning_count: 0,
        failure: None,
        rows_done: 0,
        last_insert_id: 0,
        explicit_insert_id: None,
        found_rows: 0,
        row_count: -1,
        variables: Default::default(),
        key_values: Default::default(),
        connection_id: 0,
        user: String::new(),
        host: String::new(),
        database: None,
        random: 0x9E37_79B9_7F4A_7C15,
        system_variables: super::variables::read,
        settings: Default::default(),
        information: None,
        locks: None,
        sleep: None,
    }
}

fn collations(connection: &Connection) -> rusqlite::Result<()> {
    for collating in [Collating::FoldPad, Collating::Fold, Collating::ExactPad] {
        connection.create_collation(collating.sqlite_name(), move |a: &str, b: &str| collating.compare(a, b))?;
    }
    connection.create_collation("PM_DECIMAL", decimal::compare_text)?;
    connection.create_collation("PM_TIME", temporal::compare_time_text)?;
    connection.create_collation("PM_JSON", functions::compare_json_text)
}

fn register(connection: &Connection, function: Function, env: &SharedEnv) -> rusqlite::Result<()> {
    let mut flags = FunctionFlags::SQLITE_UTF8;
    // "Stable" ones may be called once for a statement: SQLite runs a deterministic call with constant arguments once per execution.
    if function.kind != Kind::Session {
        flags |= FunctionFlags::SQLITE_DETERMINISTIC;
    }
    let shared = Arc::clone(env);
    let skip_nulls = function.kind == Kind::Pure;
    connection.create_scalar_function(function.name, function.arguments, flags, move |context| {
        with_arguments(context, |arguments| {
            if skip_nulls && arguments.iter().any(|a| a.null()) {
                return Ok(Done(Out::Null));
            }
            let answer = match function.call {
                Call::Pure(call) => call(arguments),
                Call::Env(call) => call(&mut lock(&shared), arguments),
            };
            answer.map(Done).map_err(|e| raised(&shared, e))
        })
    })
}

/// Most functions have few arguments: those are gathered on the stack.
fn with_arguments<R>(context: &Context<'_>, run: impl FnOnce(&[Arg<'_>]) -> R) -> R {
    let mut few = [Arg::Null; 6];
    if context.len() <= few.len() {
        for (i, slot) in few.iter_mut().enumerate().take(context.len()) {
            *slot = argument(context.get_raw(i));
        }
        return run(&few[..context.len()]);
    }
    let many: Vec<Arg<'_>> = (0..context.len()).map(|i| argument(context.get_raw(i))).collect();
    run(&many)
}

fn argument(value: ValueRef<'_>) -> Arg<'_> {
    match value {
        ValueRef::Null => Arg::Null,
        ValueRef::Integer(n) => Arg::Int(n),
        ValueRef::Real(x) => Arg::Real(x),
        ValueRef::Text(t) => std::str::from_utf8(t).map_or(Arg::Blob(t), Arg::Text),
        ValueRef::Blob(b) => Arg::Blob(b),
    }
}

/// A result on its way to SQLite.
struct Done(Out);

impl ToSql for Done {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match &self.0 {
            Out::Null => ToSqlOutput::Owned(Value::Null),
            Out::Int(n) => ToSqlOutput::Owned(Value::Integer(*n)),
            Out::Real(x) => ToSqlOutput::Owned(Value::Real(*x)),
            Out::Text(t) => ToSqlOutput::Borrowed(ValueRef::Text(t.as_bytes())),
            Out::Blob(b) => ToSqlOutput::Borrowed(ValueRef::Blob(b)),
        })
    }
}

type MakeAggregate = Arc<dyn Fn() -> Box<dyn Aggregate> + Send + Sync>;

/// An aggregate of ours as SQLite calls it.
struct Adapter {
    make: MakeAggregate,
    env: SharedEnv,
}

// rusqlite asks for this to carry the state over a panic of the aggregate; the state is thrown away then.
impl std::panic::UnwindSafe for Adapter {}
impl std::panic::RefUnwindSafe for Adapter {}

struct State(Box<dyn Aggregate>);
impl std::panic::UnwindSafe for State {}
impl std::panic::RefUnwindSafe for State {}

impl SqliteAggregate<State, Done> for Adapter {
    fn init(&self, _: &mut Context<'_>) -> rusqlite::Result<State> {
        Ok(State((self.make)()))
    }

    fn step(&self, context: &mut Context<'_>, state: &mut State) -> rusqlite::Result<()> {
        with_arguments(context, |arguments| state.0.step(arguments)).map_err(|e| raised(&self.env, e))
    }

    fn finalize(&self, _: &mut Context<'_>, state: Option<State>) -> rusqlite::Result<Done> {
        let state = state.unwrap_or_else(|| State((self.make)()));
        state.0.value().map(Done).map_err(|e| raised(&self.env, e))
    }
}

impl WindowAggregate<State, Done> for Adapter {
    fn value(&self, state: Option<&mut State>) -> rusqlite::Result<Done> {
        match state {
            Some(state) => state.0.value().map(Done).map_err(|e| raised(&self.env, e)),
            None => (self.make)().value().map(Done).map_err(|e| raised(&self.env, e)),
        }
    }

    fn inverse(&self, context: &mut Context<'_>, state: &mut State) -> rusqlite::Result<()> {
        with_arguments(context, |arguments| state.0.inverse(arguments)).map_err(|e| raised(&self.env, e))
    }
}
