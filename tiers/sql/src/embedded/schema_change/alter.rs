//! ALTER TABLE and RENAME: in place where that suffices, by a new table and a copy where not.

use std::sync::Arc;

use pumasi_dialect::catalogue::{Catalogue, Object, Table};
use pumasi_dialect::information::backticks;
use pumasi_dialect::parse::{AlterTable, Parameters};
use pumasi_dialect::translate::quote;
use pumasi_dialect::{error, translate};
use pumasi_mysqlwire::SqlError;

use super::{Touched, duplicate_in_index};
use crate::embedded::OWN_PREFIX;
use crate::embedded::connection::lock;
use crate::embedded::schema;
use crate::embedded::schema::Altered;
use crate::embedded::session::Session;

impl Session {
    pub(super) fn rename_table(
        &self,
        catalogue: &mut Catalogue,
        from: &(String, String),
        to: &(String, String),
    ) -> Result<Arc<Table>, SqlError> {
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

    pub(super) fn alter_table(&mut self, alter: &AlterTable) -> Result<(), SqlError> {
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

    pub(super) fn rename_columns(&mut self, old: &Arc<Table>, altered: &Altered) -> Result<(), SqlError> {
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
    pub(super) fn rebuild(&mut self, old: &Arc<Table>, altered: &Altered, catalogue: &Catalogue) -> Result<(), SqlError> {
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

    pub(super) fn next_id_of(&self, table: &Table) -> Option<i64> {
        self.connection().sqlite.query_row("SELECT seq + 1 FROM sqlite_sequence WHERE name = ?1", [&table.storage], |row| row.get(0)).ok()
    }
}
