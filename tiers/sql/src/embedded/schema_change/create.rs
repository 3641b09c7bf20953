//! CREATE TABLE, temporary ones too.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use pumasi_dialect::catalogue::{Catalogue, Object, Table};
use pumasi_dialect::parse::{CreateTable, Parameters};
use pumasi_dialect::{error, translate};
use pumasi_mysqlwire::SqlError;

use super::Touched;
use crate::embedded::connection::lock;
use crate::embedded::schema;
use crate::embedded::session::Session;

impl Session {
    pub(super) fn create_table(&mut self, create: &CreateTable) -> Result<(), SqlError> {
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

    pub(super) fn described_table(&self, create: &CreateTable, database: &str, catalogue: &Catalogue) -> Result<Table, SqlError> {
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
    pub(super) fn check_defaults(&self, table: &Table, catalogue: &Catalogue) -> Result<(), SqlError> {
        let none = Parameters::default();
        for column in &table.columns {
            if let Some(pumasi_dialect::catalogue::Default::Expression(text)) = &column.default {
                self.with_context(catalogue, &none, &[], |cx| translate::check_default(cx, text))?;
            }
        }
        Ok(())
    }

    pub(super) fn create_temporary_table(&mut self, create: &CreateTable, database: &str, name: &str) -> Result<(), SqlError> {
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
}
