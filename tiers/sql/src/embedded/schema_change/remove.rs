//! DROP TABLE and TRUNCATE.

use std::sync::Arc;

use pumasi_dialect::catalogue::{Catalogue, Table};
use pumasi_dialect::error;
use pumasi_dialect::information::backticks;
use pumasi_dialect::parse::Name;
use pumasi_dialect::translate::quote;
use pumasi_mysqlwire::SqlError;

use super::Touched;
use crate::embedded::connection::lock;
use crate::embedded::session::Session;

impl Session {
    pub(in crate::embedded) fn drop_temporary_tables(&mut self) {
        let all: Vec<Arc<Table>> = self.temporary.tables().cloned().collect();
        for table in all {
            let _ = self.batch(&format!("DROP TABLE IF EXISTS temp.{}", quote(&table.storage)));
        }
        let version = self.temporary.version + 1;
        self.temporary = Catalogue::default();
        self.temporary.version = version;
    }

    pub(super) fn drop_tables(&mut self, names: &[Name], if_exists: bool, temporary_only: bool) -> Result<(), SqlError> {
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

    pub(super) fn missing(&mut self, names: &[(String, String)], if_exists: bool) -> Result<(), SqlError> {
        let list = names.iter().map(|(d, t)| format!("{d}.{t}")).collect::<Vec<_>>().join(",");
        if !if_exists {
            return Err(error::unknown_table_for_drop(list));
        }
        lock(&self.connection().env).note("Note", error::unknown_table_for_drop(list));
        Ok(())
    }

    pub(super) fn truncate(&mut self, name: &Name) -> Result<(), SqlError> {
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
}
