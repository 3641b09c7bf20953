//! One client's session: its transaction, its statements, its state.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pumasi_dialect::catalogue::{Catalogue, Object};
use pumasi_dialect::error;
use pumasi_dialect::parse::{self, Parsed, Statement};
use pumasi_dialect::text;
use pumasi_dialect::translate::{self, Context, ParameterType, Settings, Translation, Variables, WriteKind};
use pumasi_dialect::types::{OutColumn, Ty};
use pumasi_mysqlwire::{Column, SqlError, Value, ValueRef};
use rusqlite::types::ValueRef as Stored;
use rusqlite::{CachedStatement, Rows};

use super::changes::Counts;
use super::connection::{SessionConnection, lock};
use super::lock::NotTaken;
use super::prepared::{PLANS_MAX, Plan, PlanKey, Prepared, parameter_type};
use super::{Activity, SessionState, Shared, failure, variables};
use crate::engine::{
    Client, CommitOutcome, EngineSession, Interrupter, ResultSink, SnapshotAge, SnapshotReport, Stamp, StatementKind, StatementReport,
    Summary, TableName,
};

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
}

/// None --BEGIN--> Pending --first read--> Reading --first write--> Writing --COMMIT or ROLLBACK--> None
pub(super) enum Transaction {
    None,
    /// Begun, no snapshot yet.
    Pending {
        read_only: bool,
        explicit: bool,
    },
    Active(Active),
}

pub(super) struct Active {
    pub read_only: bool,
    pub explicit: bool,
    pub writing: bool,
    stamp: Stamp,
    /// Commits known when the snapshot began.
    commits: u64,
    catalogue: Arc<Catalogue>,
    /// Tables read so far, by SQLite name.
    read: BTreeSet<String>,
    pub savepoints: Vec<String>,
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

    // --- writing ---

    fn write(&mut self, parsed: &Parsed, plans: &mut Vec<Arc<Plan>>, values: &[Value], out: &mut dyn ResultSink) -> Result<(), SqlError> {
        self.start_if_needed();
        self.report.kind = StatementKind::Write;
        self.report.pure = Err("a write");
        if self.transaction.read_only() {
            return Err(error::read_only_transaction());
        }
        let alone = matches!(self.transaction, Transaction::None);
        self.begin_write()?;
        let written = self.write_in_transaction(parsed, plans, values);
        if alone {
            // The statement is the transaction.
            return match written {
                Ok(summary) => self.commit().and_then(|()| out.finish(summary)),
                Err(error) => {
                    self.rollback();
                    Err(error)
                }
            };
        }
        out.finish(written?)
    }

    fn write_in_transaction(&mut self, parsed: &Parsed, plans: &mut Vec<Arc<Plan>>, values: &[Value]) -> Result<Summary, SqlError> {
        let catalogue = self.visible_catalogue();
        let plan = self.plan(parsed, plans, values, &catalogue)?;
        let Some(write) = &plan.translation.write else { return Err(error::internal("a write without a target")) };
        if let Transaction::Active(active) = &mut self.transaction {
            active.read.extend(plan.storages.iter().cloned());
        }
        {
            let connection = self.connection();
            lock(&connection.collector).statement = Counts::default();
            let mut env = lock(&connection.env);
            env.key_values.clear();
            env.rows_done = 0;
            env.explicit_insert_id = None;
            env.strict = self.settings.strict && !write.ignore;
        }
        let result = self.perform(&plan, values);
        self.settle(result, Some(write), &catalogue)?;
        let counts = lock(&self.connection().collector).statement;
        Ok(self.summarize(write, counts))
    }

    fn perform(&mut self, plan: &Plan, values: &[Value]) -> Result<(), Fail> {
        self.connection.as_mut().expect("held until the session is dropped").register_separators(&plan.translation.separators)?;
        let mut statement = self.connection().sqlite.prepare_cached(&plan.translation.sql)?;
        bind(&mut statement, values)?;
        statement.raw_execute()?;
        Ok(())
    }

    /// Affected rows, generated ids and info, as MySQL counts them.
    fn summarize(&mut self, write: &translate::Write, counts: Counts) -> Summary {
        let matched = counts.changed + counts.unchanged;
        let (affected, info_rows) = match write.kind {
            WriteKind::Insert { upsert: true, .. } => (
                counts.inserted + 2 * counts.changed + if self.found_rows_option { counts.unchanged } else { 0 },
                counts.inserted + matched,
            ),
            WriteKind::Insert { .. } => (counts.inserted + counts.deleted, counts.inserted),
            WriteKind::Update => (if self.found_rows_option { matched } else { counts.changed }, matched),
            WriteKind::Delete => (counts.deleted, 0),
        };
        let connection = self.connection();
        let mut env = lock(&connection.env);
        env.row_count = i64::try_from(affected).unwrap_or(i64::MAX);
        let mut insert_id = 0;
        if let (WriteKind::Insert { .. }, Some(auto)) = (write.kind, write.table.columns.iter().find(|c| c.auto_increment)) {
            let given = env.key_values.get(&auto.name).is_some_and(|v| v != "NULL");
            if given {
                insert_id = counts.last_inserted.or(counts.last_updated).unwrap_or(0).unsigned_abs();
            } else if let Some(first) = counts.first_inserted {
                insert_id = first.unsigned_abs();
                env.last_insert_id = insert_id;
            } else if let Some(updated) = counts.last_updated {
                insert_id = updated.unsigned_abs();
            }
        }
        if let Some(explicit) = env.explicit_insert_id.take() {
            env.last_insert_id = explicit;
            insert_id = explicit;
        }
        let warnings = env.warning_count;
        let info = match write.kind {
            WriteKind::Update => format!("Rows matched: {matched}  Changed: {}  Warnings: {warnings}", counts.changed),
            WriteKind::Insert { .. } if info_rows > 1 => {
                format!("Records: {info_rows}  Duplicates: {}  Warnings: {warnings}", matched + counts.deleted)
            }
            _ => String::new(),
        };
        Summary { affected_rows: affected, last_insert_id: insert_id, warnings: u16::try_from(warnings).unwrap_or(u16::MAX), info }
    }

    /// Turns a failure into MySQL's, and notices when SQLite has rolled the transaction back on its own.
    fn settle(&mut self, result: Result<(), Fail>, write: Option<&translate::Write>, catalogue: &Catalogue) -> Result<(), SqlError> {
        let failure = match result {
            Ok(()) => return Ok(()),
            Err(Fail::Sql(error)) => error,
            Err(Fail::Sqlite(e)) => failure::explain(e, &mut lock(&self.connection().env), write, catalogue),
        };
        let lost = matches!(&self.transaction, Transaction::Active(_)) && self.connection().sqlite.is_autocommit();
        if lost {
            // An interrupt, a full disk: earlier statements of the transaction are gone, so the client must not go on as if they were not.
            let explicit = matches!(&self.transaction, Transaction::Active(a) if a.explicit || !self.autocommit);
            self.abandon();
            if explicit && failure.code == 1317 {
                return Err(error::deadlock());
            }
        }
        Err(failure)
    }

    // --- transactions ---

    /// With autocommit off, every statement is in a transaction.
    fn start_if_needed(&mut self) {
        if !self.autocommit && matches!(self.transaction, Transaction::None) {
            let read_only = self.next_read_only.take().unwrap_or(self.read_only_default);
            self.transaction = Transaction::Pending { read_only, explicit: false };
        }
    }

    /// Sees to it that the transaction has its snapshot, and answers the schema it sees.
    pub(super) fn snapshot(&mut self) -> Result<Arc<Catalogue>, SqlError> {
        let (read_only, explicit) = match &self.transaction {
            Transaction::Active(active) if self.read_committed && !active.writing && active.savepoints.is_empty() => {
                // READ COMMITTED: every statement has a snapshot of its own.
                let kept = (active.read_only, active.explicit);
                self.batch("COMMIT")?;
                self.transaction = Transaction::Pending { read_only: kept.0, explicit: kept.1 };
                kept
            }
            Transaction::Active(active) => return Ok(Arc::clone(&active.catalogue)),
            Transaction::Pending { read_only, explicit } => (*read_only, *explicit),
            Transaction::None => return Ok(self.shared.catalogue()),
        };
        loop {
            let epoch = self.shared.settled_epoch();
            let catalogue = self.shared.catalogue();
            let commits = self.shared.commits.load(Ordering::Acquire);
            let stamp = self.shared.options.observer.stamp();
            // SQLite takes the snapshot at the first read.
            self.batch("BEGIN DEFERRED; SELECT 1 FROM __pumasi_meta LIMIT 1")?;
            if self.shared.schema_epoch.load(Ordering::Acquire) != epoch {
                self.batch("ROLLBACK")?;
                continue;
            }
            self.transaction = Transaction::Active(Active {
                read_only,
                explicit,
                writing: false,
                stamp,
                commits,
                catalogue: Arc::clone(&catalogue),
                read: BTreeSet::new(),
                savepoints: vec![],
            });
            return Ok(catalogue);
        }
    }

    /// Sees to it that the session holds the writer's lock and a transaction on the newest state. 1205, 1213.
    pub(super) fn begin_write(&mut self) -> Result<(), SqlError> {
        if matches!(&self.transaction, Transaction::Active(active) if active.writing) {
            return Ok(());
        }
        self.take_writer()?;
        let started = self.begin_write_locked();
        if started.is_err() {
            self.give_writer();
        }
        started
    }

    fn begin_write_locked(&mut self) -> Result<(), SqlError> {
        let (read_only, explicit, read, savepoints) = match &mut self.transaction {
            Transaction::None => (false, false, BTreeSet::new(), vec![]),
            Transaction::Pending { read_only, explicit } => (*read_only, *explicit, BTreeSet::new(), vec![]),
            Transaction::Active(active) => {
                let conflict = !self.read_committed && active.read.iter().any(|storage| self.shared.changed_since(storage, active.commits));
                if conflict {
                    self.rollback_reader();
                    return Err(error::deadlock());
                }
                let kept = (active.read_only, active.explicit, std::mem::take(&mut active.read), std::mem::take(&mut active.savepoints));
                // Nothing it has read has changed: its reads would have answered the same on the newest snapshot.
                self.batch("COMMIT")?;
                kept
            }
        };
        let stamp = self.shared.options.observer.stamp();
        let commits = self.shared.commits.load(Ordering::Acquire);
        self.transaction = if explicit { Transaction::Pending { read_only, explicit } } else { Transaction::None };
        self.batch("BEGIN IMMEDIATE")?;
        // Schema changes need the writer's lock, which is ours: the catalogue is the one of this snapshot.
        let catalogue = self.shared.catalogue();
        lock(&self.connection().collector).clear();
        for savepoint in &savepoints {
            self.batch(&format!("SAVEPOINT {}", translate::quote(savepoint)))?;
        }
        self.transaction = Transaction::Active(Active { read_only, explicit, writing: true, stamp, commits, catalogue, read, savepoints });
        Ok(())
    }

    pub(super) fn take_writer(&mut self) -> Result<(), SqlError> {
        if self.tables_locked {
            return Ok(());
        }
        let state = Arc::clone(&self.state);
        self.shared.writer.acquire(self.lock_wait, || state.interrupted()).map_err(|why| match why {
            NotTaken::TimedOut => error::lock_wait_timeout(),
            NotTaken::Interrupted => error::interrupted(),
        })
    }

    pub(super) fn give_writer(&mut self) {
        if !self.tables_locked {
            self.shared.writer.release();
        }
    }

    pub(super) fn batch(&self, sql: &str) -> Result<(), SqlError> {
        let connection = self.connection();
        connection.sqlite.execute_batch(sql).map_err(|e| failure::explain(e, &mut lock(&connection.env), None, &Catalogue::default()))
    }

    pub(super) fn commit(&mut self) -> Result<(), SqlError> {
        let Transaction::Active(active) = &self.transaction else {
            self.transaction = Transaction::None;
            return Ok(());
        };
        if !active.writing {
            let done = self.batch("COMMIT");
            self.transaction = Transaction::None;
            return done;
        }
        let catalogue = Arc::clone(&active.catalogue);
        let (changes, storages) = {
            let mut collector = lock(&self.connection().collector);
            let storages: Vec<String> = collector.storages();
            (collector.take(&catalogue, false), storages)
        };
        let done = self.commit_observed(&changes, storages);
        self.transaction = Transaction::None;
        self.give_writer();
        done
    }

    /// SQLite's COMMIT between the observer's calls. The writer's lock is held; on failure everything is rolled back.
    pub(super) fn commit_observed(&mut self, changes: &crate::engine::ChangeSet, storages: Vec<String>) -> Result<(), SqlError> {
        if changes.tables.is_empty() && !changes.schema {
            return self.batch("COMMIT").inspect_err(|_| drop(self.batch("ROLLBACK")));
        }
        let observer = Arc::clone(&self.shared.options.observer);
        let fence = observer.commit_begins(changes);
        let done = self.batch("COMMIT");
        match &done {
            Ok(()) => {
                self.shared.note_commit(storages.into_iter());
                observer.commit_ended(fence, changes, CommitOutcome::Visible);
            }
            Err(_) => {
                let _ = self.batch("ROLLBACK");
                observer.commit_ended(fence, changes, CommitOutcome::RolledBack);
            }
        }
        done
    }

    pub(super) fn rollback(&mut self) {
        if matches!(self.transaction, Transaction::Active(_)) && !self.connection().sqlite.is_autocommit() {
            let _ = self.batch("ROLLBACK");
        }
        self.abandon();
    }

    /// Forgets a transaction that SQLite no longer has.
    fn abandon(&mut self) {
        let writing = matches!(&self.transaction, Transaction::Active(active) if active.writing);
        self.transaction = Transaction::None;
        lock(&self.connection().collector).clear();
        if writing {
            self.give_writer();
        }
        self.forget_lost_temporary_tables();
    }

    /// A reader that may not go on; it holds no lock of its own.
    fn rollback_reader(&mut self) {
        let _ = self.batch("ROLLBACK");
        self.transaction = Transaction::None;
    }

    /// SQLite rolls temporary tables back with the rest.
    fn forget_lost_temporary_tables(&mut self) {
        let names: Vec<(String, String, String)> =
            self.temporary.tables().map(|t| (t.database.clone(), t.name.clone(), t.storage.clone())).collect();
        for (database, name, storage) in names {
            let there =
                self.connection().sqlite.query_row("SELECT 1 FROM temp.sqlite_schema WHERE name = ?1", [&storage], |_| Ok(())).is_ok();
            if !there {
                self.temporary.remove(&database, &name);
                self.temporary.version += 1;
            }
        }
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

impl Transaction {
    fn read_only(&self) -> bool {
        match self {
            Transaction::None => false,
            Transaction::Pending { read_only, .. } => *read_only,
            Transaction::Active(active) => active.read_only,
        }
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
        let mut prepared = Prepared { parsed: Arc::clone(&parsed), columns: vec![], plans: vec![] };
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

fn bind(statement: &mut CachedStatement<'_>, values: &[Value]) -> Result<(), Fail> {
    use rusqlite::types::{ToSqlOutput, Value as Bound};
    let count = statement.parameter_count();
    for (i, value) in values.iter().enumerate().take(count) {
        let bound = match value {
            Value::Null => ToSqlOutput::Owned(Bound::Null),
            Value::Int(n) => ToSqlOutput::Owned(Bound::Integer(*n)),
            Value::UInt(n) => match i64::try_from(*n) {
                Ok(n) => ToSqlOutput::Owned(Bound::Integer(n)),
                Err(_) => return Err(Fail::Sql(SqlError::unsupported("BIGINT UNSIGNED value above 2^63 - 1"))),
            },
            Value::Float(x) => ToSqlOutput::Owned(Bound::Real(f64::from(*x))),
            Value::Double(x) => ToSqlOutput::Owned(Bound::Real(*x)),
            Value::Bytes(bytes) => {
                ToSqlOutput::Borrowed(if std::str::from_utf8(bytes).is_ok() { Stored::Text(bytes) } else { Stored::Blob(bytes) })
            }
            Value::DateTime { year, month, day, hour, minute, second, micros } => {
                let date = pumasi_dialect::temporal::DateTime {
                    year: *year,
                    month: *month,
                    day: *day,
                    hour: *hour,
                    minute: *minute,
                    second: *second,
                    micros: *micros,
                };
                let text = if parameter_type(value) == ParameterType::Date { date.format_date() } else { date.format(6) };
                ToSqlOutput::Owned(Bound::Text(text))
            }
            Value::Time { negative, hours, minutes, seconds, micros } => {
                let total = (i64::from(*hours) * 3600 + i64::from(*minutes) * 60 + i64::from(*seconds)) * 1_000_000 + i64::from(*micros);
                let time = pumasi_dialect::temporal::Time(if *negative { -total } else { total });
                ToSqlOutput::Owned(Bound::Text(time.format(6)))
            }
        };
        statement.raw_bind_parameter(i + 1, bound)?;
    }
    Ok(())
}

/// Hands the rows out. `still_good` is asked once the first row is there, before anything is handed out; `None` if it was not.
fn emit(rows: &mut Rows<'_>, plan: &Plan, out: &mut dyn ResultSink, still_good: impl FnOnce() -> bool) -> Result<Option<u64>, Fail> {
    let mut row = rows.next()?;
    if !still_good() {
        return Ok(None);
    }
    out.columns(&plan.columns)?;
    let columns = &plan.translation.columns;
    let mut count = 0;
    let mut written: Vec<Option<String>> = vec![None; columns.len()];
    while let Some(current) = row {
        for (i, column) in columns.iter().enumerate() {
            written[i] = spelled(current.get_ref(i)?, column)?;
        }
        let mut values = Vec::with_capacity(columns.len());
        for (i, column) in columns.iter().enumerate() {
            values.push(match &written[i] {
                Some(text) => ValueRef::Bytes(text.as_bytes()),
                None => handed(current.get_ref(i)?, &column.ty)?,
            });
        }
        out.row(&values)?;
        count += 1;
        row = rows.next()?;
    }
    Ok(Some(count))
}

/// The text of a value that does not stand in the form its column is answered in.
fn spelled(value: Stored<'_>, column: &OutColumn) -> Result<Option<String>, Fail> {
    Ok(match (&column.ty, value) {
        (Ty::Int { .. } | Ty::Year | Ty::Bit(_) | Ty::Float | Ty::Double | Ty::Null, _) => None,
        (Ty::Decimal { scale, .. }, Stored::Text(t)) => {
            let fraction = t.iter().rposition(|c| *c == b'.').map_or(0, |point| t.len() - point - 1);
            if fraction == usize::from(*scale) {
                return Ok(None);
            }
            let exact = std::str::from_utf8(t).ok().and_then(pumasi_dialect::decimal::Decimal::parse).and_then(|d| d.rescale(*scale));
            Some(exact.ok_or_else(|| Fail::Sql(error::parameter_out_of_range("DECIMAL", "result")))?.to_string())
        }
        (_, Stored::Null | Stored::Text(_) | Stored::Blob(_)) => None,
        (Ty::Decimal { scale, .. }, Stored::Integer(n)) => {
            let exact = pumasi_dialect::decimal::Decimal::from_int(n).rescale(*scale);
            Some(exact.map_or_else(|| n.to_string(), |d| d.to_string()))
        }
        // An exact sum that overflowed into a real is an error, not a rounded answer.
        (Ty::Decimal { .. }, Stored::Real(x)) => return Err(Fail::Sql(error::parameter_out_of_range("DECIMAL", x))),
        (_, Stored::Integer(n)) => Some(n.to_string()),
        (_, Stored::Real(x)) => Some(text::double(x)),
    })
}

fn handed<'v>(value: Stored<'v>, ty: &Ty) -> Result<ValueRef<'v>, Fail> {
    Ok(match (value, ty) {
        (Stored::Null, _) => ValueRef::Null,
        (Stored::Integer(n), Ty::Float) => ValueRef::Float(n as f32),
        (Stored::Integer(n), Ty::Double) => ValueRef::Double(n as f64),
        (Stored::Integer(n), _) if ty.unsigned() => match u64::try_from(n) {
            Ok(n) => ValueRef::UInt(n),
            Err(_) => return Err(Fail::Sql(error::parameter_out_of_range("BIGINT UNSIGNED", n))),
        },
        (Stored::Integer(n), _) => ValueRef::Int(n),
        (Stored::Real(x), Ty::Float) => ValueRef::Float(x as f32),
        (Stored::Real(x), Ty::Int { .. } | Ty::Year | Ty::Bit(_)) => return Err(Fail::Sql(error::parameter_out_of_range("BIGINT", x))),
        (Stored::Real(x), _) => ValueRef::Double(x),
        (Stored::Text(t) | Stored::Blob(t), _) => ValueRef::Bytes(t),
    })
}
