//! Views.

use std::sync::Arc;

use pumasi_dialect::catalogue::{Object, View};
use pumasi_dialect::information::backticks;
use pumasi_dialect::parse::{Name, Parameters};
use pumasi_dialect::{error, translate};
use pumasi_mysqlwire::SqlError;

use super::Touched;
use crate::embedded::session::Session;

impl Session {
    pub(super) fn create_view(&mut self, or_replace: bool, name: &Name, columns: &[String], select: &str) -> Result<(), SqlError> {
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

    pub(super) fn drop_views(&mut self, names: &[Name], if_exists: bool) -> Result<(), SqlError> {
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
}
