//! DDL as transactions: SQLite's tables, the stored catalogue and the one in memory change together or not at all.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use pumasi_dialect::catalogue::{Catalogue, Database, Object, Table, View};
use pumasi_dialect::collation::{self, Collation};
use pumasi_dialect::error;
use pumasi_dialect::information::backticks;
use pumasi_dialect::parse::{AlterTable, CreateTable, Name, Parameters, Statement};
use pumasi_dialect::translate::{self, Context, quote};
use pumasi_mysqlwire::SqlError;

use super::connection::lock;
use super::schema::{self, Altered};
use super::session::Session;
use super::{OWN_PREFIX, failure, store};
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

    fn create_table(&mut self, create: &CreateTable) -> Result<(), SqlError> {
        let (database, name) = self.full(&create.name)?;
        if create.temporary {
            return self.create_temporary_table(create, &database, &name);
        }
        let create = create.clone();
        if create.select.is_some() {
            return Err(SqlError::unsupported("CREATE TABLE ... SELECT"));
        }
        self.commit()?;
        let known = self.shared.catalogue();
        if known.database(&database).is_none() {
            return Err(error::unknown_database(&database));
        }
        if known.object(&database, &name).is_some() && create.if_not_exists {
            lock(&self.connection().env).note("Note", error::table_exists(&name));
            return Ok(());
        }
        self.schema_transaction(false, |session, catalogue| {
            if catalogue.object(&database, &name).is_some() {
                return Err(error::table_exists(&name));
            }
            let mut table = session.described_table(&create, &database, catalogue)?;
            session.settle_checks(&mut table, catalogue)?;
            session.check_defaults(&table, catalogue)?;
            session.make_table(&table, catalogue, create.options.auto_increment)?;
            let table = Arc::new(table);
            catalogue.put(Object::Table(Arc::clone(&table)));
            Ok(Touched { tables: vec![table] })
        })
    }

    fn described_table(&self, create: &CreateTable, database: &str, catalogue: &Catalogue) -> Result<Table, SqlError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(0));
        let storage = self.storage_name(database, &create.name.name);
        let known = catalogue.database(database).ok_or_else(|| error::unknown_database(database))?;
        if let Some(like) = &create.like {
            let (from_database, from_name) = self.full(like)?;
            let from = self.temporary.table(&from_database, &from_name).or_else(|| catalogue.table(&from_database, &from_name));
            let from = from.ok_or_else(|| error::table_missing(&from_database, &from_name))?;
            let mut copy = Table {
                database: known.name.clone(),
                name: create.name.name.clone(),
                storage,
                foreign_keys: vec![],
                created: now,
                temporary: create.temporary,
                ..(**from).clone()
            };
            schema::checks_for_copy(&mut copy, catalogue);
            return Ok(copy);
        }
        schema::table(create, &known.name.clone(), storage, &known.collation.clone(), now, catalogue)
    }

    /// DEFAULT (expr) must be something the engine understands.
    fn check_defaults(&self, table: &Table, catalogue: &Catalogue) -> Result<(), SqlError> {
        let none = Parameters::default();
        for column in &table.columns {
            if let Some(pumasi_dialect::catalogue::Default::Expression(text)) = &column.default {
                self.with_context(catalogue, &none, &[], |cx| translate::check_default(cx, text))?;
            }
        }
        Ok(())
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

    fn create_temporary_table(&mut self, create: &CreateTable, database: &str, name: &str) -> Result<(), SqlError> {
        if create.select.is_some() {
            return Err(SqlError::unsupported("CREATE TABLE ... SELECT"));
        }
        if self.temporary.object(database, name).is_some() {
            if create.if_not_exists {
                lock(&self.connection().env).note("Note", error::table_exists(name));
                return Ok(());
            }
            return Err(error::table_exists(name));
        }
        let catalogue = self.visible_catalogue();
        let mut table = self.described_table(create, database, &catalogue)?;
        if !table.foreign_keys.is_empty() {
            return Err(SqlError::unsupported("foreign keys of temporary tables"));
        }
        table.temporary = true;
        self.settle_checks(&mut table, &catalogue)?;
        self.check_defaults(&table, &catalogue)?;
        self.make_table(&table, &catalogue, None)?;
        self.temporary.put(Object::Table(Arc::new(table)));
        self.temporary.version += 1;
        self.tie_information();
        Ok(())
    }

    pub(super) fn drop_temporary_tables(&mut self) {
        let all: Vec<Arc<Table>> = self.temporary.tables().cloned().collect();
        for table in all {
            let _ = self.batch(&format!("DROP TABLE IF EXISTS temp.{}", quote(&table.storage)));
        }
        let version = self.temporary.version + 1;
        self.temporary = Catalogue::default();
        self.temporary.version = version;
    }

    fn drop_tables(&mut self, names: &[Name], if_exists: bool, temporary_only: bool) -> Result<(), SqlError> {
        let mut rest = Vec::new();
        for name in names {
            let (database, table) = self.full(name)?;
            if let Some(found) = self.temporary.table(&database, &table).cloned() {
                self.batch(&format!("DROP TABLE temp.{}", quote(&found.storage)))?;
                self.temporary.remove(&database, &table);
                self.temporary.version += 1;
                self.tie_information();
            } else {
                rest.push((database, table));
            }
        }
        if rest.is_empty() {
            return Ok(());
        }
        if temporary_only {
            return self.missing(&rest, if_exists);
        }
        let known = self.shared.catalogue();
        let missing: Vec<(String, String)> = rest.iter().filter(|(d, t)| known.table(d, t).is_none()).cloned().collect();
        let present: Vec<(String, String)> = rest.into_iter().filter(|(d, t)| known.table(d, t).is_some()).collect();
        if !missing.is_empty() {
            self.missing(&missing, if_exists)?;
        }
        if present.is_empty() {
            return self.commit();
        }
        let checks = self.foreign_keys;
        self.schema_transaction(true, |session, catalogue| {
            let mut touched = Touched::default();
            for (database, name) in &present {
                let table = catalogue.table(database, name).cloned().ok_or_else(|| error::table_missing(database, name))?;
                let elsewhere = |child: &Table| {
                    !present.iter().any(|(d, t)| d.eq_ignore_ascii_case(&child.database) && t.eq_ignore_ascii_case(&child.name))
                };
                if let Some((_, fk)) = catalogue.children(&table).find(|(child, _)| checks && elsewhere(child)) {
                    return Err(error::drop_referenced(&table.name, &fk.name));
                }
                session.batch(&format!("DROP TABLE {}", quote(&table.storage)))?;
                catalogue.remove(database, name);
                touched.tables.push(table);
            }
            Ok(touched)
        })
    }

    fn missing(&mut self, names: &[(String, String)], if_exists: bool) -> Result<(), SqlError> {
        let list = names.iter().map(|(d, t)| format!("{d}.{t}")).collect::<Vec<_>>().join(",");
        if !if_exists {
            return Err(error::unknown_table_for_drop(list));
        }
        lock(&self.connection().env).note("Note", error::unknown_table_for_drop(list));
        Ok(())
    }

    fn rename_table(&self, catalogue: &mut Catalogue, from: &(String, String), to: &(String, String)) -> Result<Arc<Table>, SqlError> {
        let table = match catalogue.object(&from.0, &from.1) {
            Some(Object::Table(table)) => Arc::clone(table),
            Some(Object::View(_)) => return Err(SqlError::unsupported("RENAME of a view")),
            None => return Err(error::table_missing(&from.0, &from.1)),
        };
        let database = catalogue.database(&to.0).map(|d| d.name.clone()).ok_or_else(|| error::unknown_database(&to.0))?;
        let same = from.0.eq_ignore_ascii_case(&to.0) && from.1.eq_ignore_ascii_case(&to.1);
        if !same && catalogue.object(&to.0, &to.1).is_some() {
            return Err(error::table_exists(&to.1));
        }
        schema::check_name(&to.1).map_err(|()| error::wrong_table_name(&to.1))?;
        let storage = self.storage_name(&database, &to.1);
        // SQLite follows the rename in the foreign keys of children; index names carry the table's, so they are made anew.
        if storage != table.storage {
            self.batch(&format!("ALTER TABLE {} RENAME TO {}", quote(&table.storage), quote(&storage)))?;
        }
        let renamed = Table { database: database.clone(), name: to.1.clone(), storage, ..(*table).clone() };
        for key in &table.keys {
            if schema::index_sql(&table, key).is_some() {
                self.batch(&format!("DROP INDEX {}", quote(&schema::index_name(&table, key))))?;
            }
            if let Some(sql) = schema::index_sql(&renamed, key) {
                self.batch(&sql)?;
            }
        }
        catalogue.remove(&from.0, &from.1);
        let children: Vec<Arc<Table>> = catalogue.children(&table).map(|(child, _)| Arc::clone(child)).collect();
        for child in children {
            let mut child = (*child).clone();
            for fk in &mut child.foreign_keys {
                if fk.parent_table.eq_ignore_ascii_case(&table.name) && fk.parent_database.eq_ignore_ascii_case(&table.database) {
                    fk.parent_table.clone_from(&renamed.name);
                    fk.parent_database.clone_from(&renamed.database);
                }
            }
            catalogue.put(Object::Table(Arc::new(child)));
        }
        let mut renamed = renamed;
        for fk in &mut renamed.foreign_keys {
            if fk.parent_table.eq_ignore_ascii_case(&table.name) && fk.parent_database.eq_ignore_ascii_case(&table.database) {
                fk.parent_table.clone_from(&to.1);
                fk.parent_database.clone_from(&database);
            }
        }
        catalogue.put(Object::Table(Arc::new(renamed)));
        Ok(table)
    }

    fn truncate(&mut self, name: &Name) -> Result<(), SqlError> {
        let (database, name) = self.full(name)?;
        if let Some(table) = self.temporary.table(&database, &name).cloned() {
            return self.batch(&format!("DELETE FROM temp.{}", quote(&table.storage)));
        }
        let known = self.shared.catalogue();
        let table = known.table(&database, &name).cloned().ok_or_else(|| error::table_missing(&database, &name))?;
        if let Some((child, fk)) = known.children(&table).find(|(child, _)| self.foreign_keys && child.name != table.name) {
            let text = format!(
                "Cannot truncate a table referenced in a foreign key constraint ({}.{}, CONSTRAINT {})",
                backticks(&child.database),
                backticks(&child.name),
                backticks(&fk.name)
            );
            return Err(SqlError::new(1701, "42000", text));
        }
        self.commit()?;
        self.schema_transaction(false, |session, _| {
            let storage = table.storage.replace('\'', "''");
            session.batch(&format!("DELETE FROM {}", quote(&table.storage)))?;
            if table.columns.iter().any(|c| c.auto_increment) {
                session.batch(&format!("DELETE FROM sqlite_sequence WHERE name = '{storage}'"))?;
            }
            Ok(Touched { tables: vec![table] })
        })
    }

    // --- ALTER ---

    fn alter_table(&mut self, alter: &AlterTable) -> Result<(), SqlError> {
        let (database, name) = self.full(&alter.name)?;
        if self.temporary.object(&database, &name).is_some() {
            return Err(SqlError::unsupported("ALTER of a temporary table"));
        }
        self.commit()?;
        let known = self.shared.catalogue();
        let old = match known.object(&database, &name) {
            Some(Object::Table(table)) => Arc::clone(table),
            Some(Object::View(_)) => return Err(error::not_a_base_table(&database, &name)),
            None if known.database(&database).is_none() => return Err(error::unknown_database(&database)),
            None => return Err(error::table_missing(&database, &name)),
        };
        let mut altered = schema::alter(&old, &alter.actions, &known)?;
        self.settle_checks(&mut altered.table, &known)?;
        let rename_to = altered.rename_to.as_ref().map(|n| self.full(n)).transpose()?;
        // Columns are renamed first, by SQLite, which follows them in foreign keys of other tables.
        if !altered.renamed.is_empty() {
            self.rename_columns(&old, &altered)?;
        }
        let current = self.shared.catalogue().table(&database, &name).cloned().ok_or_else(|| error::table_missing(&database, &name))?;
        let rebuild = altered.rebuild;
        self.schema_transaction(rebuild, |session, catalogue| {
            if rebuild {
                session.rebuild(&current, &altered, catalogue)?;
            } else {
                for key in &altered.dropped_keys {
                    if schema::index_sql(&current, key).is_some() {
                        session.batch(&format!("DROP INDEX IF EXISTS {}", quote(&schema::index_name(&current, key))))?;
                    }
                }
                for name in &altered.added_keys {
                    if let Some(sql) =
                        altered.table.keys.iter().find(|k| k.name == *name).and_then(|k| schema::index_sql(&altered.table, k))
                    {
                        session.batch(&sql).map_err(|e| duplicate_in_index(e, &altered.table, name))?;
                    }
                }
            }
            session.set_next_id(&altered.table, altered.auto_increment)?;
            let mut touched = Touched { tables: vec![Arc::clone(&current)] };
            catalogue.put(Object::Table(Arc::new(altered.table.clone())));
            if let Some(to) = &rename_to
                && !rebuild
            {
                touched.tables.push(session.rename_table(catalogue, &(database.clone(), name.clone()), to)?);
            }
            Ok(touched)
        })?;
        // After a rebuild SQLite must follow the rename again, which it does not in that transaction.
        match (rename_to, rebuild) {
            (Some(to), true) => self.schema_transaction(false, |session, catalogue| {
                Ok(Touched { tables: vec![session.rename_table(catalogue, &(database.clone(), name.clone()), &to)?] })
            }),
            _ => Ok(()),
        }
    }

    fn rename_columns(&mut self, old: &Arc<Table>, altered: &Altered) -> Result<(), SqlError> {
        let renamed = altered.renamed.clone();
        let name = old.name.clone();
        self.schema_transaction(false, |session, catalogue| {
            let mut table = (**old).clone();
            for (from, to) in &renamed {
                if from.eq_ignore_ascii_case(to) && from != to {
                    // SQLite sees no difference; the catalogue does.
                } else {
                    session.batch(&format!("ALTER TABLE {} RENAME COLUMN {} TO {}", quote(&old.storage), quote(from), quote(to)))?;
                }
                for column in table.columns.iter_mut().filter(|c| c.name.eq_ignore_ascii_case(from)) {
                    column.name.clone_from(to);
                }
                for part in table.keys.iter_mut().flat_map(|k| k.parts.iter_mut()).filter(|p| p.column.eq_ignore_ascii_case(from)) {
                    part.column.clone_from(to);
                }
                for column in table.foreign_keys.iter_mut().flat_map(|fk| fk.columns.iter_mut()).filter(|c| c.eq_ignore_ascii_case(from)) {
                    column.clone_from(to);
                }
                let children: Vec<Arc<Table>> = catalogue.children(old).map(|(child, _)| Arc::clone(child)).collect();
                for child in children.into_iter().filter(|c| c.name != name) {
                    let mut child = (*child).clone();
                    for fk in child.foreign_keys.iter_mut().filter(|fk| fk.parent_table.eq_ignore_ascii_case(&name)) {
                        for column in fk.parent_columns.iter_mut().filter(|c| c.eq_ignore_ascii_case(from)) {
                            column.clone_from(to);
                        }
                    }
                    catalogue.put(Object::Table(Arc::new(child)));
                }
            }
            catalogue.put(Object::Table(Arc::new(table)));
            Ok(Touched { tables: vec![Arc::clone(old)] })
        })
    }

    /// New table, rows copied, old one dropped, new one under the old name: SQLite's own advice for what its ALTER cannot do.
    fn rebuild(&mut self, old: &Arc<Table>, altered: &Altered, catalogue: &Catalogue) -> Result<(), SqlError> {
        let table = &altered.table;
        self.check_defaults(table, catalogue)?;
        let beside = format!("{OWN_PREFIX}new");
        self.batch(&schema::create_sql(table, &beside, &self.conditions(table, catalogue)?, catalogue))?;
        let none = Parameters::default();
        let mut values = Vec::new();
        for (column, source) in table.columns.iter().zip(&altered.sources) {
            // Renamed columns have their new name already.
            let source = source.as_ref().map(|s| altered.renamed.iter().find(|(from, _)| from == s).map_or(s, |(_, to)| to));
            let value =
                self.with_context(catalogue, &none, &[], |cx| translate::copy_expression(cx, old, source.map(String::as_str), column))?;
            values.push(value);
        }
        {
            let mut env = lock(&self.connection().env);
            env.strict = self.settings.strict;
            env.key_values.clear();
        }
        let columns: Vec<String> = table.columns.iter().map(|c| quote(&c.name)).collect();
        let next_id = self.next_id_of(old);
        self.batch(&format!(
            "INSERT INTO {} ({}) SELECT {} FROM {}",
            quote(&beside),
            columns.join(", "),
            values.join(", "),
            quote(&old.storage)
        ))?;
        self.batch(&format!("DROP TABLE {}; ALTER TABLE {} RENAME TO {}", quote(&old.storage), quote(&beside), quote(&table.storage)))?;
        for key in &table.keys {
            if let Some(sql) = schema::index_sql(table, key) {
                self.batch(&sql).map_err(|e| duplicate_in_index(e, table, &key.name))?;
            }
        }
        if table.columns.iter().any(|c| c.auto_increment) {
            self.set_next_id(table, next_id.map(i64::unsigned_abs).or(Some(1)))?;
        }
        let broken = self.connection().sqlite.query_row(&format!("PRAGMA foreign_key_check({})", quote(&table.storage)), [], |_| Ok(()));
        if broken.is_ok() && self.foreign_keys {
            let fk = table.foreign_keys.last().map_or(String::new(), |fk| pumasi_dialect::information::foreign_key(table, fk));
            return Err(error::no_referenced_row(format!("{}.{}, {fk}", backticks(&table.database), backticks(&table.name))));
        }
        Ok(())
    }

    fn next_id_of(&self, table: &Table) -> Option<i64> {
        self.connection().sqlite.query_row("SELECT seq + 1 FROM sqlite_sequence WHERE name = ?1", [&table.storage], |row| row.get(0)).ok()
    }

    // --- views, databases ---

    fn create_view(&mut self, or_replace: bool, name: &Name, columns: &[String], select: &str) -> Result<(), SqlError> {
        let (database, name) = self.full(name)?;
        let definer = format!("{}@{}", backticks(&self.state.user), backticks("%"));
        self.commit()?;
        let known = self.shared.catalogue();
        let parsed = pumasi_dialect::parse::parse(select, self.settings.pipes_as_concat)?;
        let checked = self.with_context(&known, &Parameters::default(), &[], |cx| translate::translate(cx, &parsed.statement))?;
        if checked.temporary {
            return Err(SqlError::new(1352, "HY000", "View's SELECT refers to a temporary table"));
        }
        if !columns.is_empty() && columns.len() != checked.columns.len() {
            return Err(SqlError::new(
                1353,
                "HY000",
                "In definition of view, derived table or common table expression, SELECT list and column names list have different column counts",
            ));
        }
        let names: Vec<String> =
            if columns.is_empty() { checked.columns.iter().map(|c| c.name.clone()).collect() } else { columns.to_vec() };
        for (i, column) in names.iter().enumerate() {
            if names[..i].iter().any(|n| n.eq_ignore_ascii_case(column)) {
                return Err(error::duplicate_column(column));
            }
        }
        let view = View { database: database.clone(), name: name.clone(), columns: names, select: select.to_owned(), definer };
        self.schema_transaction(false, |_, catalogue| {
            match catalogue.object(&database, &name) {
                Some(Object::Table(_)) => return Err(error::table_exists(&name)),
                Some(Object::View(_)) if !or_replace => return Err(error::table_exists(&name)),
                _ => {}
            }
            if catalogue.database(&database).is_none() {
                return Err(error::unknown_database(&database));
            }
            catalogue.put(Object::View(Arc::new(view)));
            Ok(Touched::default())
        })
    }

    fn drop_views(&mut self, names: &[Name], if_exists: bool) -> Result<(), SqlError> {
        let names = names.iter().map(|n| self.full(n)).collect::<Result<Vec<_>, _>>()?;
        let known = self.shared.catalogue();
        let missing: Vec<(String, String)> =
            names.iter().filter(|(d, n)| !matches!(known.object(d, n), Some(Object::View(_)))).cloned().collect();
        if !missing.is_empty() {
            self.missing(&missing, if_exists)?;
        }
        self.schema_transaction(false, |_, catalogue| {
            for (database, name) in &names {
                if matches!(catalogue.object(database, name), Some(Object::View(_))) {
                    catalogue.remove(database, name);
                }
            }
            Ok(Touched::default())
        })
    }

    fn create_database(&mut self, name: &str, if_not_exists: bool, collation: Option<&str>) -> Result<(), SqlError> {
        schema::check_name(name).map_err(|()| error::wrong_database_name(name))?;
        if name.contains('.') || name.contains('/') {
            return Err(error::wrong_database_name(name));
        }
        let exists = name.eq_ignore_ascii_case("information_schema") || self.shared.catalogue().database(name).is_some();
        if exists {
            if !if_not_exists {
                return Err(error::database_exists(name));
            }
            lock(&self.connection().env).note("Note", error::database_exists(name));
            return self.commit();
        }
        let collation = collation.and_then(Collation::by_name).unwrap_or(collation::DEFAULT).name.to_owned();
        let database = Database { name: name.to_owned(), collation };
        self.schema_transaction(false, |_, catalogue| {
            catalogue.put_database(database);
            Ok(Touched::default())
        })
    }

    fn drop_database(&mut self, name: &str, if_exists: bool) -> Result<(), SqlError> {
        let known = self.shared.catalogue();
        let Some(database) = known.database(name).map(|d| d.name.clone()) else {
            if !if_exists {
                return Err(error::database_missing_for_drop(name));
            }
            lock(&self.connection().env).note("Note", error::database_missing_for_drop(name));
            return self.commit();
        };
        if database.eq_ignore_ascii_case(&self.shared.default_database) {
            // The file is named after it: it would come back empty at the next start.
            return Err(SqlError::unsupported("DROP DATABASE of the default database"));
        }
        let checks = self.foreign_keys;
        self.schema_transaction(true, |session, catalogue| {
            let tables: Vec<Arc<Table>> = catalogue.tables().filter(|t| t.database.eq_ignore_ascii_case(&database)).cloned().collect();
            for table in &tables {
                let outside = catalogue.children(table).find(|(child, _)| checks && !child.database.eq_ignore_ascii_case(&database));
                if let Some((_, fk)) = outside {
                    return Err(error::drop_referenced(&table.name, &fk.name));
                }
            }
            for table in &tables {
                session.batch(&format!("DROP TABLE {}", quote(&table.storage)))?;
                catalogue.remove(&database, &table.name);
            }
            let views: Vec<String> = catalogue
                .objects_in(&database)
                .filter_map(|o| match o {
                    Object::View(v) => Some(v.name.clone()),
                    Object::Table(_) => None,
                })
                .collect();
            for view in views {
                catalogue.remove(&database, &view);
            }
            catalogue.remove_database(&database);
            Ok(Touched { tables })
        })?;
        if self.database.as_deref().is_some_and(|d| d.eq_ignore_ascii_case(&database)) {
            self.database = None;
            lock(&self.connection().env).database = None;
        }
        Ok(())
    }
}

/// A unique index that rows already there contradict: which values they are SQLite does not say.
fn duplicate_in_index(error: SqlError, table: &Table, key: &str) -> SqlError {
    if error.code == 1062 { pumasi_dialect::error::duplicate_entry("", format!("{}.{key}", table.name)) } else { error }
}
