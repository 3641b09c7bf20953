//! Databases.

use std::sync::Arc;

use pumasi_dialect::catalogue::{Database, Object, Table};
use pumasi_dialect::collation::{self, Collation};
use pumasi_dialect::error;
use pumasi_dialect::translate::quote;
use pumasi_mysqlwire::SqlError;

use super::Touched;
use crate::embedded::connection::lock;
use crate::embedded::schema;
use crate::embedded::session::Session;

impl Session {
    pub(super) fn create_database(&mut self, name: &str, if_not_exists: bool, collation: Option<&str>) -> Result<(), SqlError> {
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

    pub(super) fn drop_database(&mut self, name: &str, if_exists: bool) -> Result<(), SqlError> {
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
