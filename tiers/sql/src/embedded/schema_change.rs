//! DDL as transactions: SQLite's tables, the stored catalogue and the one in memory change together or not at all.

mod alter;
mod create;
mod database;
mod remove;
mod view;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use pumasi_dialect::catalogue::{Catalogue, Table};
use pumasi_dialect::error;
use pumasi_dialect::parse::{Name, Parameters, Statement};
use pumasi_dialect::translate;
use pumasi_dialect::translate::{Context, quote};
use pumasi_mysqlwire::SqlError;

use super::connection::lock;
use super::session::Session;
use super::{OWN_PREFIX, failure, schema, store};
use crate::engine::{ChangeSet, ChangedRows, TableChange, TableName};

/// What a schema change did, for the observer and for the check of snapshots.
#[derive(Default)]
struct Touched {
    tables: Vec<Arc<Table>>,
}

impl Session {
    pub(super) fn change_schema(&mut self, statement: &Statement) -> Result<(), SqlError> {
        match statement {
            Statement::CreateTable(create) => self.create_table(create),
            Statement::AlterTable(alter) => self.alter_table(alter),
            Statement::DropTables { names, if_exists, temporary } => self.drop_tables(names, *if_exists, *temporary),
            Statement::RenameTables(pairs) => {
                let pairs = pairs.iter().map(|(a, b)| Ok((self.full(a)?, self.full(b)?))).collect::<Result<Vec<_>, SqlError>>()?;
                self.schema_transaction(false, |session, catalogue| {
                    let mut touched = Touched::default();
                    for (from, to) in &pairs {
                        touched.tables.push(session.rename_table(catalogue, from, to)?);
                    }
                    Ok(touched)
                })
            }
            Statement::Truncate(name) => self.truncate(name),
            Statement::CreateView { or_replace, name, columns, select } => self.create_view(*or_replace, name, columns, select),
            Statement::DropViews { names, if_exists } => self.drop_views(names, *if_exists),
            Statement::CreateDatabase { name, if_not_exists, collation } => {
                self.create_database(name, *if_not_exists, collation.as_deref())
            }
            Statement::AlterDatabase { name, collation } => {
                let name = name.clone().or(self.database.clone()).ok_or_else(error::no_database_selected)?;
                let collation = collation.clone();
                self.schema_transaction(false, |_, catalogue| {
                    let mut database = catalogue.database(&name).cloned().ok_or_else(|| error::unknown_database(&name))?;
                    if let Some(collation) = collation {
                        database.collation = collation;
                    }
                    catalogue.put_database(database);
                    Ok(Touched::default())
                })
            }
            Statement::DropDatabase { name, if_exists } => self.drop_database(name, *if_exists),
            _ => Err(SqlError::unsupported("this statement")),
        }
    }

    /// Database and name, the database being the session's unless given.
    fn full(&self, name: &Name) -> Result<(String, String), SqlError> {
        let database = match &name.database {
            Some(database) => database.clone(),
            None => self.database.clone().ok_or_else(error::no_database_selected)?,
        };
        Ok((database, name.name.clone()))
    }

    /// Runs `change` on a copy of the catalogue inside a write transaction, and makes both visible together. `rebuild`: rows move into
    /// a new table under the old name, so SQLite must not follow the rename nor check foreign keys meanwhile.
    fn schema_transaction(
        &mut self,
        rebuild: bool,
        change: impl FnOnce(&mut Session, &mut Catalogue) -> Result<Touched, SqlError>,
    ) -> Result<(), SqlError> {
        // Every DDL statement commits what came before it.
        self.commit()?;
        self.take_writer()?;
        let done = self.schema_transaction_locked(rebuild, change);
        self.give_writer();
        done
    }

    fn schema_transaction_locked(
        &mut self,
        rebuild: bool,
        change: impl FnOnce(&mut Session, &mut Catalogue) -> Result<Touched, SqlError>,
    ) -> Result<(), SqlError> {
        if rebuild {
            self.batch("PRAGMA foreign_keys = OFF; PRAGMA legacy_alter_table = ON")?;
        }
        let done = self.schema_commit(change);
        if rebuild {
            let on = if self.foreign_keys { "ON" } else { "OFF" };
            self.batch(&format!("PRAGMA legacy_alter_table = OFF; PRAGMA foreign_keys = {on}"))?;
        }
        done
    }

    fn schema_commit(&mut self, change: impl FnOnce(&mut Session, &mut Catalogue) -> Result<Touched, SqlError>) -> Result<(), SqlError> {
        self.batch("BEGIN IMMEDIATE")?;
        lock(&self.connection().collector).clear();
        let old = self.shared.catalogue();
        let mut new = (*old).clone();
        new.version += 1;
        let changed = change(self, &mut new).and_then(|touched| {
            let saved = store::save(&self.connection().sqlite, &old, &new);
            saved.map(|()| touched).map_err(|e| failure::explain(e, &mut lock(&self.connection().env), None, &old))
        });
        let touched = match changed {
            Ok(touched) => touched,
            Err(error) => {
                let _ = self.batch("ROLLBACK");
                lock(&self.connection().collector).clear();
                return Err(error);
            }
        };
        lock(&self.connection().collector).clear();
        let changes = ChangeSet {
            tables: touched
                .tables
                .iter()
                .map(|t| TableChange {
                    table: TableName { database: t.database.as_str().into(), name: t.name.as_str().into() },
                    columns: t.columns.iter().map(|c| c.name.clone()).collect(),
                    rows: ChangedRows::Unknown,
                })
                .collect(),
            schema: true,
            statement: None,
        };
        let storages = touched.tables.iter().map(|t| t.storage.clone()).collect();
        // From here until the new catalogue is in place, readers wait (`settled_epoch`).
        self.shared.schema_epoch.fetch_add(1, Ordering::AcqRel);
        let done = self.commit_observed(&changes, storages);
        if done.is_ok() {
            *self.shared.catalogue.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(new);
        }
        self.shared.schema_epoch.fetch_add(1, Ordering::AcqRel);
        done
    }

    // --- tables ---

    /// Where a table's rows are inside SQLite.
    fn storage_name(&self, database: &str, name: &str) -> String {
        let own = database.eq_ignore_ascii_case(&self.shared.default_database);
        let reserved = name.to_lowercase().starts_with("sqlite_") || name.starts_with(OWN_PREFIX) || name.contains('.');
        if own && !reserved { name.to_owned() } else { format!("{}.{name}", database.to_lowercase()) }
    }

    /// Finds out which columns the table's checks name. Errors: a check that cannot be one.
    fn settle_checks(&self, table: &mut Table, catalogue: &Catalogue) -> Result<(), SqlError> {
        let whole = Arc::new(table.clone());
        for check in &mut table.checks {
            let translated = |cx: Context<'_>| translate::check(cx, &whole, &check.name, &check.expression);
            let (_, columns) = self.with_context(catalogue, &Parameters::default(), &[], translated)?;
            if check.of_column.as_ref().is_some_and(|own| columns.iter().any(|column| !column.eq_ignore_ascii_case(own))) {
                return Err(error::check_of_other_column(&check.name));
            }
            if columns.iter().any(|column| whole.column(column).is_some_and(|column| column.auto_increment)) {
                return Err(error::check_of_auto_increment(&check.name));
            }
            check.columns = columns;
        }
        Ok(())
    }

    /// The enforced checks by name, as SQLite's conditions.
    fn conditions(&self, table: &Table, catalogue: &Catalogue) -> Result<Vec<(String, String)>, SqlError> {
        let whole = Arc::new(table.clone());
        let enforced = table.checks.iter().filter(|check| check.enforced);
        enforced
            .map(|check| {
                let translated = |cx: Context<'_>| translate::check(cx, &whole, &check.name, &check.expression);
                Ok((check.name.clone(), self.with_context(catalogue, &Parameters::default(), &[], translated)?.0))
            })
            .collect()
    }

    fn make_table(&self, table: &Table, catalogue: &Catalogue, next_id: Option<u64>) -> Result<(), SqlError> {
        self.batch(&schema::create_sql(table, &table.storage, &self.conditions(table, catalogue)?, catalogue))?;
        for key in &table.keys {
            if let Some(sql) = schema::index_sql(table, key) {
                self.batch(&sql)?;
            }
        }
        self.set_next_id(table, next_id)
    }

    fn set_next_id(&self, table: &Table, next_id: Option<u64>) -> Result<(), SqlError> {
        let Some(next) = next_id.filter(|n| *n > 0) else { return Ok(()) };
        let Some(auto) = table.columns.iter().find(|c| c.auto_increment) else { return Ok(()) };
        let last = i64::try_from(next - 1).unwrap_or(i64::MAX);
        let storage = table.storage.replace('\'', "''");
        // Never below what is there.
        self.batch(&format!(
            "DELETE FROM sqlite_sequence WHERE name = '{storage}';
             INSERT INTO sqlite_sequence (name, seq) SELECT '{storage}', max({last}, coalesce((SELECT max({}) FROM {}), 0));",
            quote(&auto.name),
            quote(&table.storage)
        ))
    }

    // --- ALTER ---

    // --- views, databases ---
}

/// A unique index that rows already there contradict: which values they are SQLite does not say.
fn duplicate_in_index(error: SqlError, table: &Table, key: &str) -> SqlError {
    if error.code == 1062 { pumasi_dialect::error::duplicate_entry("", format!("{}.{key}", table.name)) } else { error }
}
