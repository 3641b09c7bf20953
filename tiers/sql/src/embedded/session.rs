//! One client's session: its transaction, its statements, its state.

mod rows;
mod transaction;
mod writing;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pumasi_dialect::catalogue::{Catalogue, Object};
use pumasi_dialect::error;
use pumasi_dialect::parse::{self, Parsed, Statement};
use pumasi_dialect::text;
use pumasi_dialect::translate::{self, Context, ParameterType, Settings, Translation, Variables};
use pumasi_dialect::types::{OutColumn, Ty};
use pumasi_mysqlwire::{Column, SqlError, Value};
use rusqlite::types::ValueRef as Stored;

use super::connection::{SessionConnection, lock};
use super::prepared::{PLANS_MAX, Plan, PlanKey, Prepared, parameter_type};
use super::{Activity, SessionState, Shared, failure, variables};
use crate::engine::{
    Client, EngineSession, Interrupter, ResultSink, SnapshotAge, SnapshotReport, Stamp, StatementKind, StatementReport, Summary, TableName,
};

use rows::{bind, emit};
pub(super) use transaction::Transaction;

pub struct Session {
    pub(super) shared: Arc<Shared>,
    /// `None` only while it is being given back.
    connection: Option<SessionConnection>,
    pub(super) state: Arc<SessionState>,
    found_rows_option: bool,
    pub(super) database: Option<String>,
    pub(super) autocommit: bool,
    pub(super) transaction: Transaction,
    /// Between LOCK TABLES and UNLOCK TABLES: the writer's lock is ours.
    pub(super) tables_locked: bool,
    pub(super) settings: Settings,
    /// The settings as bytes, for keys of stored results.
    pub(super) settings_key: Vec<u8>,
    pub(super) temporary: Catalogue,
    pub(super) lock_wait: Duration,
    pub(super) read_committed: bool,
    pub(super) read_only_default: bool,
    /// SET TRANSACTION without SESSION: for the next one only.
    pub(super) next_read_only: Option<bool>,
    pub(super) foreign_keys: bool,
    report: StatementReport,
    /// Of the prepared statement that runs, without its values.
    running_shape: Option<Arc<str>>,
}

/// What stopped a statement.
enum Fail {
    Sqlite(rusqlite::Error),
    Sql(SqlError),
}

impl From<rusqlite::Error> for Fail {
    fn from(e: rusqlite::Error) -> Fail {
        Fail::Sqlite(e)
    }
}

impl From<SqlError> for Fail {
    fn from(e: SqlError) -> Fail {
        Fail::Sql(e)
    }
}

struct SessionVariables<'a>(&'a std::collections::HashMap<String, pumasi_dialect::functions::UserVariable>);

impl Variables for SessionVariables<'_> {
    fn system(&self, name: &str) -> Option<Ty> {
        variables::ty(name)
    }

    fn user(&self, name: &str) -> Ty {
        let Some(variable) = self.0.get(&name.to_lowercase()) else { return Ty::Text(16_383) };
        match (variable.kind.as_str(), &variable.value) {
            ("int", _) => Ty::BIGINT,
            ("decimal", pumasi_dialect::functions::Out::Text(text)) => {
                let scale = text.split_once('.').map_or(0, |(_, f)| f.len().min(30) as u8);
                Ty::Decimal { precision: 65, scale, unsigned: false }
            }
            ("double", _) => Ty::Double,
            ("bytes", _) => Ty::Bytes(65_535),
            _ => Ty::Text(16_383),
        }
    }
}

impl Session {
    pub(super) fn open(shared: Arc<Shared>, client: &Client<'_>) -> Result<Session, SqlError> {
        let connection = shared.take_connection()?;
        let state = Arc::new(SessionState {
            connection_id: client.connection_id,
            user: client.user.to_owned(),
            host: client.host.to_owned(),
            activity: std::sync::Mutex::new(Activity { database: None, statement: None, since: Instant::now() }),
            interrupted: false.into(),
            killed: false.into(),
            handle: std::sync::Mutex::new(Some(connection.sqlite.get_interrupt_handle())),
            wake: Default::default(),
        });
        lock(&shared.sessions).insert(client.connection_id, Arc::clone(&state));
        let mut session = Session {
            shared,
            connection: Some(connection),
            state,
            found_rows_option: client.found_rows,
            database: None,
            autocommit: true,
            transaction: Transaction::None,
            tables_locked: false,
            settings: Settings::default(),
            settings_key: vec![],
            temporary: Catalogue::default(),
            lock_wait: Duration::from_secs(50),
            read_committed: false,
            read_only_default: false,
            next_read_only: None,
            foreign_keys: true,
            report: StatementReport::default(),
            running_shape: None,
        };
        session.fresh_env();
        session.load_globals()?;
        if let Some(database) = client.database {
            session.use_database(database)?;
        }
        session.settings_changed();
        Ok(session)
    }

    /// Ties the connection's functions to this session.
    fn fresh_env(&mut self) {
        let (shared, state) = (Arc::clone(&self.shared), Arc::clone(&self.state));
        let connection = self.connection.as_ref().expect("held until the session is dropped");
        let mut env = super::connection::new_env();
        env.connection_id = state.connection_id;
        env.user = state.user.clone();
        env.host = state.host.clone();
        env.random = seed(state.connection_id);
        let locks = Arc::clone(&shared);
        let locker = Arc::clone(&state);
        env.locks = Some(Box::new(move |operation, name, timeout| locks.user_locks.perform(operation, name, timeout, &locker)));
        let sleeper = Arc::clone(&state);
        env.sleep = Some(Box::new(move |seconds| sleeper.sleep(seconds)));
        *lock(&connection.env) = env;
        lock(&connection.collector).clear();
    }

    pub(super) fn connection(&self) -> &SessionConnection {
        self.connection.as_ref().expect("held until the session is dropped")
    }

    // --- statements ---

    fn run_text(&mut self, sql: &[u8], out: &mut dyn ResultSink) -> Result<usize, SqlError> {
        let text = text::from_bytes(sql);
        self.begin_statement(&text)?;
        self.running_shape = None;
        let key = self.plan_key(vec![], self.visible_catalogue().version);
        let known = (text.len() <= super::TRANSLATED_TEXT_MAX).then(|| lock(&self.shared.translations).find(&text, &key)).flatten();
        let (parsed, plan) = match known {
            Some((parsed, plan)) => (parsed, plan),
            None => (Arc::new(parse::parse(&text, self.settings.pipes_as_concat)?), None),
        };
        let used = text::original_len(&text, parsed.used);
        if parsed.parameters.count() > 0 {
            return Err(error::syntax("?", 1));
        }
        let mut plans = plan.into_iter().collect::<Vec<_>>();
        let had = plans.len();
        self.dispatch(&parsed, &mut plans, &[], out)?;
        if plans.len() > had && text.len() <= super::TRANSLATED_TEXT_MAX {
            let plan = &plans[plans.len() - 1];
            if !plan.translation.session_bound {
                lock(&self.shared.translations).put(&text, &parsed, plan);
            }
        }
        Ok(used)
    }

    fn begin_statement(&mut self, text: &str) -> Result<(), SqlError> {
        if self.state.killed.load(Ordering::Acquire) {
            return Err(error::interrupted());
        }
        self.state.interrupted.store(false, Ordering::Release);
        self.report = StatementReport::default();
        self.shared.questions.fetch_add(1, Ordering::Relaxed);
        {
            let mut activity = lock(&self.state.activity);
            let mut end = text.len().min(PROCESS_LIST_TEXT_MAX);
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            activity.statement = Some(text[..end].to_owned());
            activity.since = Instant::now();
        }
        let micros = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(0));
        let mut env = lock(&self.connection().env);
        env.now_micros = micros;
        env.failure = None;
        Ok(())
    }

    fn end_statement(&mut self, result: &Result<(), SqlError>) {
        {
            let mut activity = lock(&self.state.activity);
            activity.statement = None;
            activity.since = Instant::now();
            if activity.database != self.database {
                activity.database.clone_from(&self.database);
            }
        }
        if let Err(error) = result {
            let mut env = lock(&self.connection().env);
            env.row_count = -1;
            env.note("Error", error.clone());
        }
    }

    fn dispatch(
        &mut self,
        parsed: &Parsed,
        plans: &mut Vec<Arc<Plan>>,
        values: &[Value],
        out: &mut dyn ResultSink,
    ) -> Result<(), SqlError> {
        let diagnostics = matches!(&parsed.statement, Statement::Show(parse::Show::Warnings { .. }));
        if !diagnostics {
            let mut env = lock(&self.connection().env);
            env.warnings.clear();
            env.warning_count = 0;
        }
        match &parsed.statement {
            Statement::Query(query) if query.locking && !matches!(self.transaction, Transaction::None) => {
                self.locking_read(parsed, plans, values, out)
            }
            Statement::Query(_) | Statement::Do(_) => self.read(parsed, plans, values, out),
            Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_) => self.write(parsed, plans, values, out),
            Statement::Show(show) => self.show(show, out),
            Statement::Explain(statement) => self.explain(statement, parsed, out),
            other => {
                let tables = match other {
                    Statement::CreateDatabase { .. } => 1,
                    Statement::DropDatabase { name, .. } => self.shared.catalogue().objects_in(name).count() as u64,
                    _ => 0,
                };
                self.control(other, parsed)?;
                let mut env = lock(&self.connection().env);
                env.row_count = 0;
                let warnings = u16::try_from(env.warning_count).unwrap_or(u16::MAX);
                drop(env);
                out.finish(Summary { affected_rows: tables, warnings, ..Summary::default() })
            }
        }
    }

    // --- plans ---

    fn plan_key(&self, types: Vec<ParameterType>, catalogue: u64) -> PlanKey {
        PlanKey {
            catalogue: catalogue ^ (self.temporary.version << 40),
            database: self.database.clone(),
            settings: self.settings.clone(),
            types,
        }
    }

    /// The schema that the session's next statement sees.
    pub(super) fn visible_catalogue(&self) -> Arc<Catalogue> {
        match &self.transaction {
            Transaction::Active(active) => Arc::clone(&active.catalogue),
            _ => self.shared.catalogue(),
        }
    }

    pub(super) fn with_context<R>(
        &self,
        catalogue: &Catalogue,
        parameters: &parse::Parameters,
        types: &[ParameterType],
        run: impl FnOnce(Context<'_>) -> R,
    ) -> R {
        let variables = lock(&self.connection().env).variables.clone();
        run(Context {
            catalogue,
            temporary: &self.temporary,
            database: self.database.as_deref(),
            settings: &self.settings,
            parameters,
            parameter_types: types,
            variables: &SessionVariables(&variables),
        })
    }

    /// A translation of the statement for this catalogue and these types, kept in `plans`.
    fn plan(&self, parsed: &Parsed, plans: &mut Vec<Arc<Plan>>, values: &[Value], catalogue: &Catalogue) -> Result<Arc<Plan>, SqlError> {
        let types: Vec<ParameterType> = values.iter().map(parameter_type).collect();
        let version = catalogue.version ^ (self.temporary.version << 40);
        let fits = |p: &&Arc<Plan>| {
            p.key.catalogue == version
                && p.key.types == types
                && !p.translation.session_bound
                && p.key.database == self.database
                && p.key.settings == self.settings
        };
        if let Some(plan) = plans.iter().find(fits) {
            return Ok(Arc::clone(plan));
        }
        let translation = self.with_context(catalogue, &parsed.parameters, &types, |cx| translate::translate(cx, &parsed.statement))?;
        let key = self.plan_key(types, catalogue.version);
        let plan = Arc::new(made(key, translation, catalogue));
        plans.retain(|p| p.key.catalogue == version);
        if plans.len() >= PLANS_MAX {
            plans.remove(0);
        }
        plans.push(Arc::clone(&plan));
        Ok(plan)
    }

    // --- reading ---

    fn read(&mut self, parsed: &Parsed, plans: &mut Vec<Arc<Plan>>, values: &[Value], out: &mut dyn ResultSink) -> Result<(), SqlError> {
        self.start_if_needed();
        if !matches!(self.transaction, Transaction::None) {
            let catalogue = self.snapshot()?;
            let plan = self.plan(parsed, plans, values, &catalogue)?;
            let Transaction::Active(active) = &mut self.transaction else {
                return Err(error::internal("no transaction after its snapshot"));
            };
            let first = active.read.is_empty();
            for storage in &plan.storages {
                if !active.read.contains(storage) {
                    active.read.insert(storage.clone());
                }
            }
            let age =
                if first && !active.writing { SnapshotAge::ThisStatement } else { SnapshotAge::Earlier { own_writes: active.writing } };
            let stamp = active.stamp;
            let result = self.fetch(&plan, values, None, out).map(|_| ());
            self.report_read(&plan, stamp, age);
            return self.settle(result, None, &catalogue);
        }
        loop {
            let epoch = self.shared.settled_epoch();
            let catalogue = self.shared.catalogue();
            let plan = self.plan(parsed, plans, values, &catalogue)?;
            let stamp = self.shared.options.observer.stamp();
            let result = self.fetch(&plan, values, Some(epoch), out);
            self.report_read(&plan, stamp, SnapshotAge::ThisStatement);
            match result {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                // A statement made for the schema of before may fail in any way on the one of after.
                Err(Fail::Sqlite(_)) if self.shared.schema_epoch.load(Ordering::Acquire) != epoch => {}
                Err(fail) => return self.settle(Err(fail), None, &catalogue),
            }
        }
    }

    fn report_read(&mut self, plan: &Plan, stamp: Stamp, age: SnapshotAge) {
        let tables = plan.translation.reads.iter().map(|(d, n)| TableName { database: Arc::clone(d), name: Arc::clone(n) }).collect();
        self.report = StatementReport {
            kind: StatementKind::Read,
            tables,
            pure: plan.translation.impure.map_or(Ok(()), Err),
            snapshot: Some(SnapshotReport { stamp, age }),
        };
    }

    /// Runs a query and hands its rows out. `Ok(false)`: the schema changed under it before anything was handed out; try again.
    fn fetch(&mut self, plan: &Plan, values: &[Value], epoch: Option<u64>, out: &mut dyn ResultSink) -> Result<bool, Fail> {
        self.connection.as_mut().expect("held until the session is dropped").register_separators(&plan.translation.separators)?;
        let connection = self.connection();
        let mut statement = connection.sqlite.prepare_cached(&plan.translation.sql)?;
        bind(&mut statement, values)?;
        let mut rows = statement.raw_query();
        let mut row_count = 0u64;
        if plan.columns.is_empty() {
            while rows.next()?.is_some() {}
        } else {
            row_count = match emit(&mut rows, plan, out, || epoch.is_none_or(|e| self.shared.schema_epoch.load(Ordering::Acquire) == e))? {
                Some(count) => count,
                None => return Ok(false),
            };
        }
        drop(rows);
        drop(statement);
        let mut found = row_count;
        if let Some(sql) = &plan.translation.count_sql {
            let mut statement = connection.sqlite.prepare_cached(sql)?;
            bind(&mut statement, values)?;
            let mut rows = statement.raw_query();
            if let Some(row) = rows.next()? {
                found = row.get::<_, i64>(0)?.unsigned_abs();
            }
        }
        let warnings = {
            let mut env = lock(&connection.env);
            env.found_rows = found;
            env.row_count = if plan.columns.is_empty() { 0 } else { -1 };
            u16::try_from(env.warning_count).unwrap_or(u16::MAX)
        };
        out.finish(Summary { warnings, ..Summary::default() })?;
        Ok(true)
    }

    /// FOR UPDATE and FOR SHARE inside a transaction: what is read stays so until the end, because nobody else may write until then.
    fn locking_read(
        &mut self,
        parsed: &Parsed,
        plans: &mut Vec<Arc<Plan>>,
        values: &[Value],
        out: &mut dyn ResultSink,
    ) -> Result<(), SqlError> {
        if self.transaction.read_only() {
            return self.read(parsed, plans, values, out);
        }
        self.begin_write()?;
        let done = self.read(parsed, plans, values, out);
        self.report.kind = StatementKind::Write;
        done
    }

    fn explain(&mut self, statement: &Statement, parsed: &Parsed, out: &mut dyn ResultSink) -> Result<(), SqlError> {
        let catalogue = self.visible_catalogue();
        let translation = self.with_context(&catalogue, &parsed.parameters, &[], |cx| translate::translate(cx, statement))?;
        let sql = format!("EXPLAIN QUERY PLAN {}", translation.sql);
        let column = |name: &str, ty: Ty| OutColumn {
            name: name.to_owned(),
            ty,
            collation: pumasi_dialect::collation::DEFAULT,
            nullable: true,
            origin: None,
        };
        let columns =
            vec![column("id", Ty::BIGINT), column("parent", Ty::BIGINT), column("notused", Ty::BIGINT), column("detail", Ty::Text(1024))];
        let shown = Translation { sql, columns, write: None, count_sql: None, ..translation };
        let plan = made(self.plan_key(vec![], catalogue.version), shown, &catalogue);
        let result = self.fetch(&plan, &[], None, out).map(|_| ());
        self.settle(result, None, &catalogue)
    }

    /// Runs a translated SHOW or other query of the engine's own making.
    pub(super) fn show_plan(&mut self, translation: Translation, out: &mut dyn ResultSink) -> Result<(), SqlError> {
        let catalogue = self.visible_catalogue();
        let plan = made(self.plan_key(vec![], catalogue.version), translation, &catalogue);
        let result = self.fetch(&plan, &[], None, out).map(|_| ());
        self.settle(result, None, &catalogue)
    }

    /// One value computed without tables.
    pub(super) fn evaluate(
        &mut self,
        expr: &sqlparser::ast::Expr,
        parameters: &parse::Parameters,
    ) -> Result<(pumasi_dialect::functions::Out, Ty), SqlError> {
        use pumasi_dialect::functions::Out;
        let catalogue = self.visible_catalogue();
        let translation = self.with_context(&catalogue, parameters, &[], |cx| translate::translate_expression(cx, expr))?;
        let connection = self.connection();
        let ty = translation.columns[0].ty.clone();
        let value = connection.sqlite.query_row(&translation.sql, [], |row| {
            Ok(match row.get_ref(0)? {
                Stored::Null => Out::Null,
                Stored::Integer(n) => Out::Int(n),
                Stored::Real(x) => Out::Real(x),
                Stored::Text(t) => Out::Text(String::from_utf8_lossy(t).into_owned()),
                Stored::Blob(b) => Out::Blob(b.to_owned()),
            })
        });
        let value = value.map_err(|e| failure::explain(e, &mut lock(&connection.env), None, &catalogue))?;
        Ok((value, ty))
    }
}

impl EngineSession for Session {
    type Prepared = Prepared;

    fn query(&mut self, sql: &[u8], out: &mut dyn ResultSink) -> Result<usize, SqlError> {
        let result = self.run_text(sql, out);
        let outcome = result.as_ref().map(|_| ()).map_err(Clone::clone);
        self.end_statement(&outcome);
        result
    }

    fn prepare(&mut self, sql: &[u8]) -> Result<Prepared, SqlError> {
        let text = text::from_bytes(sql);
        let parsed = Arc::new(parse::parse(&text, self.settings.pipes_as_concat)?);
        if text.len() > parsed.used && !text[parsed.used..].trim().is_empty() {
            return Err(error::syntax(&text[parsed.used..], 1));
        }
        let writes = matches!(parsed.statement, Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_));
        let shape = writes.then(|| pumasi_sqltext::shape(sql, pumasi_freshness::STATEMENT_BYTES_MAX).into());
        let mut prepared = Prepared { parsed: Arc::clone(&parsed), shape, columns: vec![], plans: vec![] };
        match &parsed.statement {
            Statement::Query(_) | Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_) | Statement::Do(_) => {
                let catalogue = self.visible_catalogue();
                let described = self.with_context(&catalogue, &parsed.parameters, &[], |cx| translate::translate(cx, &parsed.statement))?;
                prepared.columns = described.columns.iter().map(OutColumn::wire).collect();
            }
            Statement::Show(show) => prepared.columns = self.show_columns(show)?,
            _ => {}
        }
        Ok(prepared)
    }

    fn describe<'p>(&self, prepared: &'p Prepared) -> (usize, &'p [Column]) {
        (prepared.parsed.parameters.count(), &prepared.columns)
    }

    fn execute(&mut self, prepared: &mut Prepared, parameters: &[Value], out: &mut dyn ResultSink) -> Result<(), SqlError> {
        let result = self.run_prepared(prepared, parameters, out);
        self.end_statement(&result);
        result
    }

    fn use_database(&mut self, database: &str) -> Result<(), SqlError> {
        let name = if database.eq_ignore_ascii_case("information_schema") {
            "information_schema".to_owned()
        } else {
            let catalogue = self.shared.catalogue();
            catalogue.database(database).map(|d| d.name.clone()).ok_or_else(|| error::unknown_database(database))?
        };
        lock(&self.connection().env).database = Some(name.clone());
        lock(&self.state.activity).database = Some(name.clone());
        self.database = Some(name);
        Ok(())
    }

    fn reset(&mut self) -> Result<(), SqlError> {
        self.rollback();
        self.unlock_tables();
        self.drop_temporary_tables();
        self.shared.user_locks.release_all(self.state.connection_id);
        self.autocommit = true;
        self.settings = Settings::default();
        self.lock_wait = Duration::from_secs(50);
        self.read_committed = false;
        self.read_only_default = false;
        self.next_read_only = None;
        if !self.foreign_keys {
            self.batch("PRAGMA foreign_keys = ON")?;
            self.foreign_keys = true;
        }
        self.fresh_env();
        lock(&self.connection().env).database.clone_from(&self.database);
        self.load_globals()?;
        self.settings_changed();
        Ok(())
    }

    fn interrupter(&self) -> Interrupter {
        let (state, shared) = (Arc::clone(&self.state), Arc::downgrade(&self.shared));
        Arc::new(move || {
            if let Some(shared) = shared.upgrade() {
                state.interrupt(&shared.writer);
            }
        })
    }

    fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }

    fn in_transaction(&self) -> bool {
        match &self.transaction {
            Transaction::None => false,
            Transaction::Pending { explicit, .. } => *explicit,
            Transaction::Active(_) => true,
        }
    }

    fn autocommit(&self) -> bool {
        self.autocommit
    }

    fn report(&self) -> &StatementReport {
        &self.report
    }

    fn settings(&self) -> Option<&[u8]> {
        self.temporary.tables().next().is_none().then_some(&self.settings_key)
    }

    fn catalogue(&self) -> Option<Arc<dyn pumasi_sqltext::Catalogue + Send + Sync>> {
        self.temporary.tables().next().is_none().then(|| {
            let known = super::known_tables::KnownTables { catalogue: self.shared.catalogue(), database: self.database.clone() };
            Arc::new(known) as Arc<dyn pumasi_sqltext::Catalogue + Send + Sync>
        })
    }

    fn answered_from_store(&mut self, rows: u64) {
        self.shared.questions.fetch_add(1, Ordering::Relaxed);
        let mut env = lock(&self.connection().env);
        env.found_rows = rows;
        env.row_count = -1;
        env.warnings.clear();
        env.warning_count = 0;
    }

    fn renew_snapshot(&mut self) {
        if let Transaction::Active(active) = &self.transaction
            && !active.writing
            && active.savepoints.is_empty()
        {
            let pending = Transaction::Pending { read_only: active.read_only, explicit: active.explicit };
            if self.batch("COMMIT").is_ok() {
                self.transaction = pending;
            }
        }
    }
}

impl Session {
    fn run_prepared(&mut self, prepared: &mut Prepared, parameters: &[Value], out: &mut dyn ResultSink) -> Result<(), SqlError> {
        let parsed = Arc::clone(&prepared.parsed);
        if parameters.len() != parsed.parameters.count() {
            return Err(SqlError::new(1210, "HY000", "Incorrect arguments to EXECUTE"));
        }
        self.begin_statement("EXECUTE")?;
        self.running_shape.clone_from(&prepared.shape);
        self.dispatch(&parsed, &mut prepared.plans, parameters, out)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.rollback();
        self.unlock_tables();
        self.shared.user_locks.release_all(self.state.connection_id);
        lock(&self.shared.sessions).remove(&self.state.connection_id);
        lock(&self.state.handle).take();
        let clean = self.temporary.tables().next().is_none() && self.foreign_keys;
        if let Some(connection) = self.connection.take() {
            // What the functions hold of the session goes with it.
            *lock(&connection.env) = super::connection::new_env();
            if clean && connection.sqlite.is_autocommit() {
                self.shared.return_connection(connection);
            }
        }
    }
}

// === helpers ===

/// How much of a statement the process list shows.
const PROCESS_LIST_TEXT_MAX: usize = 1024;

fn made(key: PlanKey, translation: Translation, catalogue: &Catalogue) -> Plan {
    let columns = translation.columns.iter().map(OutColumn::wire).collect();
    let storages = translation
        .reads
        .iter()
        .filter_map(|(database, name)| match catalogue.object(database, name)? {
            Object::Table(table) => Some(table.storage.clone()),
            Object::View(_) => None,
        })
        .collect();
    Plan { key, translation, columns, storages }
}

/// Not for secrets: RAND() and UUID() differ between sessions and starts.
fn seed(connection_id: u32) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(connection_id) | 1
}
