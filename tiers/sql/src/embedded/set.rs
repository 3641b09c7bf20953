//! Statements about the session: transactions, SET, SHOW, LOCK TABLES, KILL; GET_LOCK and SLEEP.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pumasi_dialect::collation::Collation;
use pumasi_dialect::error;
use pumasi_dialect::functions::{Env, Out, UserVariable};
use pumasi_dialect::information::{self, Statistics};
use pumasi_dialect::parse::{Parameters, Parsed, Scope, SetItem, Show, Statement};
use pumasi_dialect::translate;
use pumasi_dialect::types::{OutColumn, Ty};
use pumasi_mysqlwire::{Column, SqlError};
use serde_json::json;

use super::connection::lock;
use super::session::{Session, Transaction};
use super::variables::{self, Setting};
use super::{SessionState, UserLocks};
use crate::engine::{EngineSession, ResultSink};

impl Session {
    pub(super) fn control(&mut self, statement: &Statement, parsed: &Parsed) -> Result<(), SqlError> {
        match statement {
            Statement::Begin { read_only, consistent_snapshot } => {
                self.commit()?;
                self.unlock_tables();
                let read_only = *read_only || self.next_read_only.take().unwrap_or(self.read_only_default);
                self.transaction = Transaction::Pending { read_only, explicit: true };
                if *consistent_snapshot {
                    self.snapshot()?;
                }
                Ok(())
            }
            Statement::Commit { chain, release } => {
                self.refuse_release(*release)?;
                self.commit()?;
                self.chain(*chain);
                Ok(())
            }
            Statement::Rollback { chain, release } => {
                self.refuse_release(*release)?;
                self.rollback();
                self.chain(*chain);
                Ok(())
            }
            Statement::Savepoint(name) => self.savepoint(name),
            Statement::RollbackTo(name) => self.rollback_to(name),
            Statement::ReleaseSavepoint(name) => self.release_savepoint(name),
            Statement::Use(database) => self.use_database(database),
            Statement::Set(items) => {
                for item in items {
                    self.set(item, &parsed.parameters)?;
                }
                self.settings_changed();
                Ok(())
            }
            Statement::LockTables(_) => {
                self.commit()?;
                self.unlock_tables();
                self.take_writer()?;
                self.tables_locked = true;
                Ok(())
            }
            Statement::UnlockTables => {
                if self.tables_locked {
                    self.commit()?;
                    self.unlock_tables();
                }
                Ok(())
            }
            Statement::Kill { query_only, id } => self.kill(*query_only, id, &parsed.parameters),
            Statement::Flush => Ok(()),
            Statement::Maintain { .. } => Err(SqlError::unsupported("ANALYZE, OPTIMIZE, CHECK and REPAIR TABLE")),
            ddl => self.change_schema(ddl),
        }
    }

    fn refuse_release(&self, release: bool) -> Result<(), SqlError> {
        if release { Err(SqlError::unsupported("RELEASE")) } else { Ok(()) }
    }

    fn chain(&mut self, chain: bool) {
        if chain {
            self.transaction = Transaction::Pending { read_only: self.read_only_default, explicit: true };
        }
    }

    fn savepoint(&mut self, name: &str) -> Result<(), SqlError> {
        if !self.autocommit && matches!(self.transaction, Transaction::None) {
            self.transaction = Transaction::Pending { read_only: self.read_only_default, explicit: false };
        }
        if matches!(self.transaction, Transaction::None) {
            // Outside of a transaction a savepoint ends with its own statement.
            return Ok(());
        }
        self.snapshot()?;
        self.batch(&format!("SAVEPOINT {}", translate::quote(&name.to_lowercase())))?;
        if let Transaction::Active(active) = &mut self.transaction {
            active.savepoints.push(name.to_lowercase());
        }
        Ok(())
    }

    /// Index of a savepoint by name, the newest of that name.
    fn find_savepoint(&self, name: &str) -> Result<usize, SqlError> {
        match &self.transaction {
            Transaction::Active(active) => active.savepoints.iter().rposition(|s| *s == name.to_lowercase()),
            _ => None,
        }
        .ok_or_else(|| error::no_savepoint(name))
    }

    fn rollback_to(&mut self, name: &str) -> Result<(), SqlError> {
        let index = self.find_savepoint(name)?;
        self.batch(&format!("ROLLBACK TO {}", translate::quote(&name.to_lowercase())))?;
        if let Transaction::Active(active) = &mut self.transaction {
            active.savepoints.truncate(index + 1);
        }
        Ok(())
    }

    fn release_savepoint(&mut self, name: &str) -> Result<(), SqlError> {
        let index = self.find_savepoint(name)?;
        self.batch(&format!("RELEASE {}", translate::quote(&name.to_lowercase())))?;
        if let Transaction::Active(active) = &mut self.transaction {
            active.savepoints.truncate(index);
        }
        Ok(())
    }

    pub(super) fn unlock_tables(&mut self) {
        if std::mem::take(&mut self.tables_locked) {
            self.give_writer();
        }
    }

    fn kill(&mut self, query_only: bool, id: &sqlparser::ast::Expr, parameters: &Parameters) -> Result<(), SqlError> {
        let (value, _) = self.evaluate(id, parameters)?;
        let id = match value {
            Out::Int(n) => n,
            Out::Text(t) => t.parse().unwrap_or(-1),
            _ => -1,
        };
        let found = u32::try_from(id).ok().and_then(|id| lock(&self.shared.sessions).get(&id).cloned());
        let Some(state) = found else { return Err(error::unknown_thread(id)) };
        if !query_only {
            state.killed.store(true, Ordering::Release);
        }
        state.interrupt(&self.shared.writer);
        if state.connection_id == self.state.connection_id {
            return Err(error::interrupted());
        }
        Ok(())
    }

    // --- SET ---

    fn set(&mut self, item: &SetItem, parameters: &Parameters) -> Result<(), SqlError> {
        match item {
            SetItem::Names { charset, collation } => {
                let charset = variables::client_charset(charset.as_deref().unwrap_or("utf8mb4"))?;
                let collation = match collation {
                    Some(name) => {
                        let collation = Collation::by_name(name).ok_or_else(|| error::unknown_collation(name))?;
                        if collation.charset != charset.charset {
                            let text = format!("COLLATION '{}' is not valid for CHARACTER SET '{}'", collation.name, charset.charset);
                            return Err(SqlError::new(1253, "42000", text));
                        }
                        collation
                    }
                    None => charset,
                };
                for name in ["character_set_client", "character_set_connection", "character_set_results"] {
                    self.remember(name, charset.charset);
                }
                self.set_collation(collation);
                Ok(())
            }
            SetItem::CharacterSet(charset) => {
                let charset = variables::client_charset(charset.as_deref().unwrap_or("utf8mb4"))?;
                self.remember("character_set_client", charset.charset);
                self.remember("character_set_results", charset.charset);
                Ok(())
            }
            SetItem::User(name, expr) => {
                let (value, ty) = self.evaluate(expr, parameters)?;
                let kind = match ty {
                    Ty::Int { .. } | Ty::Year | Ty::Bit(_) => "int",
                    Ty::Decimal { .. } => "decimal",
                    Ty::Float | Ty::Double => "double",
                    Ty::Bytes(_) => "bytes",
                    _ => "text",
                };
                lock(&self.connection().env).variables.insert(name.to_lowercase(), UserVariable { value, kind: kind.to_owned() });
                Ok(())
            }
            SetItem::System { scope, name, value } => {
                let variable = variables::find(name).ok_or_else(|| error::unknown_variable(name))?;
                let text = match value {
                    None => variable.default.to_owned(),
                    Some(expr) => self.setting_text(expr, parameters)?,
                };
                self.set_system(*scope, variable, &text)
            }
            SetItem::Transaction { next, isolation, read_only } => {
                if let Some(isolation) = isolation {
                    self.set_isolation(isolation)?;
                }
                if let Some(read_only) = read_only {
                    if *next {
                        self.next_read_only = Some(*read_only);
                    } else {
                        self.read_only_default = *read_only;
                        self.remember("transaction_read_only", if *read_only { "ON" } else { "OFF" });
                    }
                }
                Ok(())
            }
        }
    }

    /// A setting's value as text: `utf8mb4`, `'utf8mb4'`, `ON`, `1`, `@@global.x`, `CONCAT(@@sql_mode, ',...')`.
    fn setting_text(&mut self, expr: &sqlparser::ast::Expr, parameters: &Parameters) -> Result<String, SqlError> {
        if let sqlparser::ast::Expr::Identifier(ident) = expr
            && !ident.value.starts_with('@')
        {
            return Ok(ident.value.clone());
        }
        let (value, _) = self.evaluate(expr, parameters)?;
        Ok(match value {
            Out::Null => "NULL".to_owned(),
            Out::Int(n) => n.to_string(),
            Out::Real(x) => pumasi_dialect::text::double(x),
            Out::Text(t) => t,
            Out::Blob(b) => String::from_utf8_lossy(&b).into_owned(),
        })
    }

    fn set_system(&mut self, scope: Scope, variable: &'static variables::Variable, value: &str) -> Result<(), SqlError> {
        let name = variable.name;
        match variable.setting {
            Setting::ReadOnly => return Err(error::read_only_variable(name)),
            Setting::Fixed => {
                let same = |a: &str, b: &str| {
                    a.eq_ignore_ascii_case(b) || matches!((a, b), ("0", "OFF") | ("1", "ON") | ("OFF", "0") | ("ON", "1"))
                };
                let number = |t: &str| t.parse::<f64>().ok();
                if !same(value, variable.default) && (number(value).is_none() || number(value) != number(variable.default)) {
                    return Err(SqlError::unsupported(format!("{name} other than {}", variable.default)));
                }
                return Ok(());
            }
            Setting::Kept => {
                self.store_setting(scope, name, value);
                return Ok(());
            }
            Setting::Live => {}
        }
        if scope == Scope::Global {
            // Checked by applying it here first would change this session too; the checks that need no session are made again at open.
            self.check_setting(name, value)?;
            self.store_setting(scope, name, value);
            return Ok(());
        }
        self.apply_setting(name, value)
    }

    fn store_setting(&mut self, scope: Scope, name: &str, value: &str) {
        if scope == Scope::Global {
            self.shared.globals.write().unwrap_or_else(std::sync::PoisonError::into_inner).insert(name.to_owned(), value.to_owned());
            self.remember(&format!("global.{name}"), value);
        } else {
            self.remember(name, value);
        }
    }

    fn check_setting(&self, name: &str, value: &str) -> Result<(), SqlError> {
        match name {
            "sql_mode" => variables::sql_mode(value).map(|_| ()),
            "time_zone" => variables::time_zone(value).map(|_| ()),
            "autocommit" | "foreign_key_checks" | "transaction_read_only" | "tx_read_only" => variables::switch(name, value).map(|_| ()),
            "character_set_client" | "character_set_connection" | "character_set_results" => variables::client_charset(value).map(|_| ()),
            "collation_connection" => Collation::by_name(value).map(|_| ()).ok_or_else(|| error::unknown_collation(value)),
            "transaction_isolation" | "tx_isolation" => isolation_level(value).map(|_| ()),
            _ => value.parse::<u64>().map(|_| ()).map_err(|_| error::wrong_variable_type(name)),
        }
    }

    fn apply_setting(&mut self, name: &'static str, value: &str) -> Result<(), SqlError> {
        match name {
            "autocommit" => {
                let on = variables::switch(name, value)?;
                if on && !self.autocommit {
                    self.commit()?;
                }
                self.autocommit = on;
                self.remember(name, if on { "ON" } else { "OFF" });
            }
            "sql_mode" => {
                let modes = variables::sql_mode(value)?;
                let has = |mode: &str| modes.split(',').any(|m| m == mode);
                self.settings.strict = has("STRICT_TRANS_TABLES") || has("STRICT_ALL_TABLES");
                self.settings.no_auto_value_on_zero = has("NO_AUTO_VALUE_ON_ZERO");
                self.settings.no_unsigned_subtraction = has("NO_UNSIGNED_SUBTRACTION");
                self.settings.pipes_as_concat = has("PIPES_AS_CONCAT");
                {
                    let mut env = lock(&self.connection().env);
                    env.no_zero_date = has("NO_ZERO_DATE");
                    env.no_zero_in_date = has("NO_ZERO_IN_DATE");
                    env.strict = self.settings.strict;
                }
                self.remember(name, &modes);
            }
            "time_zone" => {
                let seconds = variables::time_zone(value)?;
                lock(&self.connection().env).zone_seconds = seconds;
                self.settings.utc = seconds == 0;
                self.remember(name, value);
            }
            "foreign_key_checks" => {
                let on = variables::switch(name, value)?;
                if on != self.foreign_keys {
                    if matches!(self.transaction, Transaction::Active(_)) {
                        return Err(SqlError::unsupported("SET foreign_key_checks inside a transaction"));
                    }
                    self.batch(if on { "PRAGMA foreign_keys = ON" } else { "PRAGMA foreign_keys = OFF" })?;
                    self.foreign_keys = on;
                }
                self.remember(name, if on { "ON" } else { "OFF" });
            }
            "innodb_lock_wait_timeout" => {
                let seconds: u64 = value.parse().map_err(|_| error::wrong_variable_type(name))?;
                let seconds = seconds.clamp(1, LOCK_WAIT_SECONDS_MAX);
                self.lock_wait = Duration::from_secs(seconds);
                self.remember(name, &seconds.to_string());
            }
            "sql_select_limit" => {
                let limit: u64 = value.parse().map_err(|_| error::wrong_variable_type(name))?;
                self.settings.select_limit = (limit != u64::MAX).then_some(limit);
                self.remember(name, &limit.to_string());
            }
            "transaction_isolation" | "tx_isolation" => self.set_isolation(value)?,
            "transaction_read_only" | "tx_read_only" => {
                self.read_only_default = variables::switch(name, value)?;
                self.remember("transaction_read_only", if self.read_only_default { "ON" } else { "OFF" });
            }
            "character_set_client" | "character_set_results" => {
                if value.eq_ignore_ascii_case("NULL") && name == "character_set_results" {
                    self.remember(name, "utf8mb4");
                    return Ok(());
                }
                let charset = variables::client_charset(value)?;
                self.remember(name, charset.charset);
            }
            "character_set_connection" => {
                let charset = variables::client_charset(value)?;
                self.remember(name, charset.charset);
                self.set_collation(charset);
            }
            "collation_connection" => {
                let collation = Collation::by_name(value).ok_or_else(|| error::unknown_collation(value))?;
                variables::client_charset(collation.charset)?;
                self.remember("character_set_connection", collation.charset);
                self.set_collation(collation);
            }
            other => return Err(error::read_only_variable(other)),
        }
        Ok(())
    }

    fn set_collation(&mut self, collation: &'static Collation) {
        self.settings.collation = collation.id;
        self.remember("collation_connection", collation.name);
    }

    fn set_isolation(&mut self, level: &str) -> Result<(), SqlError> {
        let level = isolation_level(level)?;
        // READ UNCOMMITTED may show what is not committed; showing only what is keeps its promise. SERIALIZABLE is what the check of
        // snapshots before a first write gives, since there is one writer.
        self.read_committed = matches!(level, "READ-COMMITTED" | "READ-UNCOMMITTED");
        self.remember("transaction_isolation", level);
        self.remember("tx_isolation", level);
        Ok(())
    }

    fn remember(&mut self, name: &str, value: &str) {
        lock(&self.connection().env).settings.insert(name.to_owned(), value.to_owned());
    }

    /// SET GLOBAL values are the defaults of sessions that open later.
    pub(super) fn load_globals(&mut self) -> Result<(), SqlError> {
        let globals = self.shared.globals.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        for (name, value) in globals {
            self.remember(&format!("global.{name}"), &value);
            match variables::find(&name) {
                Some(variable) if variable.setting == Setting::Live => self.apply_setting(variable.name, &value)?,
                _ => self.remember(&name, &value),
            }
        }
        self.tie_information();
        Ok(())
    }

    /// Writes the settings down that shape results.
    pub(super) fn settings_changed(&mut self) {
        let env = lock(&self.connection().env);
        let text = format!("{:?} {} {} {:?}", self.settings, env.zone_seconds, env.no_zero_date, env.settings.get("character_set_results"));
        drop(env);
        self.settings_key = text.into_bytes();
    }

    // --- SHOW ---

    pub(super) fn show(&mut self, show: &Show, out: &mut dyn ResultSink) -> Result<(), SqlError> {
        self.tie_information();
        let catalogue = self.visible_catalogue();
        let none = Parameters::default();
        let translation = self.with_context(&catalogue, &none, &[], |cx| translate::show(cx, show))?;
        self.show_plan(translation, out)
    }

    pub(super) fn show_columns(&mut self, show: &Show) -> Result<Vec<Column>, SqlError> {
        let catalogue = self.visible_catalogue();
        let none = Parameters::default();
        let translation = self.with_context(&catalogue, &none, &[], |cx| translate::show(cx, show))?;
        Ok(translation.columns.iter().map(OutColumn::wire).collect())
    }

    /// Lets `pm_information` on this connection see the schema and the server as they are now.
    pub(super) fn tie_information(&mut self) {
        let shared = Arc::downgrade(&self.shared);
        let temporary = self.temporary.clone();
        let own = Arc::clone(&self.state);
        let mut env = lock(&self.connection().env);
        env.information = Some(Box::new(move |env, arguments| {
            let Some(shared) = shared.upgrade() else { return Ok("[]".to_owned()) };
            let (kind, rest) = arguments.split_first().map_or(("", &[][..]), |(k, r)| (*k, r));
            let catalogue = shared.catalogue();
            let figures = Figures { shared: &shared };
            let rows = match information::rows(kind, rest, &catalogue, &temporary, &figures) {
                Some(rows) => rows,
                None => session_rows(kind, env, &shared, &own),
            };
            Ok(serde_json::Value::Array(rows).to_string())
        }));
    }
}

/// Rows of SHOW and information_schema that come from the session or the server.
fn session_rows(kind: &str, env: &Env, shared: &super::Shared, own: &SessionState) -> Vec<serde_json::Value> {
    let all =
        |global: bool| variables::VARIABLES.iter().map(|v| json!([v.name, variables::value_text(env, global, v)])).collect::<Vec<_>>();
    let errors = || env.warnings.iter().filter(|w| w.level == "Error");
    match kind {
        "SESSION_VARIABLES" => all(false),
        "GLOBAL_VARIABLES" => all(true),
        "SESSION_STATUS" | "GLOBAL_STATUS" => {
            let sessions = lock(&shared.sessions).len();
            let figures = variables::status(shared.opened.elapsed().as_secs(), sessions, shared.questions.load(Ordering::Relaxed));
            figures.into_iter().map(|(name, value)| json!([name, value])).collect()
        }
        "SHOW_WARNINGS" => env.warnings.iter().map(|w| json!([w.level, w.code, w.message])).collect(),
        "SHOW_ERRORS" => errors().map(|w| json!([w.level, w.code, w.message])).collect(),
        "WARNING_COUNT" => vec![json!([env.warning_count])],
        "ERROR_COUNT" => vec![json!([errors().count()])],
        "SHOW_GRANTS" => vec![json!([format!("GRANT ALL PRIVILEGES ON *.* TO '{}'@'%'", env.user)])],
        "PROCESSLIST" => {
            let sessions: Vec<Arc<SessionState>> = lock(&shared.sessions).values().cloned().collect();
            sessions
                .iter()
                .map(|s| {
                    let activity = lock(&s.activity);
                    let command = if activity.statement.is_some() { "Query" } else { "Sleep" };
                    let state = if s.connection_id == own.connection_id { "executing" } else { "" };
                    let seconds = activity.since.elapsed().as_secs();
                    json!([s.connection_id, s.user, s.host, activity.database, command, seconds, state, activity.statement])
                })
                .collect()
        }
        _ => vec![],
    }
}

/// Row counts and next ids are asked of SQLite on a connection of their own, only when a table's figures are wanted.
struct Figures<'a> {
    shared: &'a Arc<super::Shared>,
}

impl Figures<'_> {
    fn ask(&self, sql: &str, storage: &str) -> Option<i64> {
        let connection = self.shared.take_connection().ok()?;
        let value = connection.sqlite.query_row(sql, [storage], |row| row.get(0)).ok();
        self.shared.return_connection(connection);
        value
    }
}

impl Statistics for Figures<'_> {
    fn rows(&self, table: &pumasi_dialect::catalogue::Table) -> Option<i64> {
        if table.temporary {
            return Some(0);
        }
        // An estimate, as InnoDB's is: counting every row of every table would make SHOW TABLE STATUS a full scan.
        let connection = self.shared.take_connection().ok()?;
        let quoted = translate::quote(&table.storage);
        let rowid = table.rowid_name().map(translate::quote)?;
        let value = connection.sqlite.query_row(&format!("SELECT coalesce(max({rowid}), 0) FROM {quoted}"), [], |row| row.get(0)).ok();
        self.shared.return_connection(connection);
        value
    }

    fn next_id(&self, table: &pumasi_dialect::catalogue::Table) -> Option<i64> {
        table.columns.iter().find(|c| c.auto_increment)?;
        Some(self.ask("SELECT seq + 1 FROM sqlite_sequence WHERE name = ?1", &table.storage).unwrap_or(1))
    }
}

impl SessionState {
    /// SLEEP(): whether it was interrupted.
    pub(super) fn sleep(&self, seconds: f64) -> bool {
        let deadline = Instant::now() + Duration::from_secs_f64(seconds.clamp(0.0, SLEEP_SECONDS_MAX));
        let mut guard = lock(&self.wake.0);
        loop {
            if self.interrupted() {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            guard = self.wake.1.wait_timeout(guard, left).unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
    }
}

impl UserLocks {
    /// GET_LOCK, RELEASE_LOCK and their kin, with their answers.
    pub(super) fn perform(&self, operation: &str, name: &str, timeout: f64, session: &SessionState) -> Option<i64> {
        let name = name.to_lowercase();
        let own = session.connection_id;
        let mut held = lock(&self.held);
        match operation {
            "get" => {
                let wait = if timeout < 0.0 { SLEEP_SECONDS_MAX } else { timeout.min(SLEEP_SECONDS_MAX) };
                let deadline = Instant::now() + Duration::from_secs_f64(wait);
                loop {
                    match held.get_mut(&name) {
                        None => {
                            if held.len() >= USER_LOCKS_MAX {
                                return None;
                            }
                            held.insert(name, (own, 1));
                            return Some(1);
                        }
                        Some((holder, times)) if *holder == own => {
                            *times += 1;
                            return Some(1);
                        }
                        Some(_) => {}
                    }
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() || session.interrupted() {
                        return Some(0);
                    }
                    // Woken when a lock is given back; looks for an interrupt now and then, because that has a bell of its own.
                    let slice = left.min(INTERRUPT_LOOK);
                    held = self.changed.wait_timeout(held, slice).unwrap_or_else(std::sync::PoisonError::into_inner).0;
                }
            }
            "release" => match held.get_mut(&name) {
                None => None,
                Some((holder, _)) if *holder != own => Some(0),
                Some((_, times)) => {
                    *times -= 1;
                    if *times == 0 {
                        held.remove(&name);
                        self.changed.notify_all();
                    }
                    Some(1)
                }
            },
            "free" => Some(i64::from(!held.contains_key(&name))),
            "used" => held.get(&name).map(|(holder, _)| i64::from(*holder)),
            _ => {
                let before = held.len();
                held.retain(|_, (holder, _)| *holder != own);
                self.changed.notify_all();
                i64::try_from(before - held.len()).ok()
            }
        }
    }

    pub(super) fn release_all(&self, session: u32) {
        lock(&self.held).retain(|_, (holder, _)| *holder != session);
        self.changed.notify_all();
    }
}

// === helpers ===

/// MySQL's own bound for innodb_lock_wait_timeout.
const LOCK_WAIT_SECONDS_MAX: u64 = 1_073_741_824;
/// A year: longer sleeps are this long.
const SLEEP_SECONDS_MAX: f64 = 31_536_000.0;
/// Names held by GET_LOCK at one time.
const USER_LOCKS_MAX: usize = 10_000;
const INTERRUPT_LOOK: Duration = Duration::from_millis(100);

fn isolation_level(value: &str) -> Result<&'static str, SqlError> {
    ["READ-UNCOMMITTED", "READ-COMMITTED", "REPEATABLE-READ", "SERIALIZABLE"]
        .into_iter()
        .find(|level| level.eq_ignore_ascii_case(value))
        .ok_or_else(|| error::wrong_variable_value("transaction_isolation", value))
}
