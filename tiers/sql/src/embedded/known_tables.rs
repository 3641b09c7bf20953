//! The schema as the analysis of statements asks for it: which tables there are, and how their columns compare with constants.

use std::sync::Arc;

use pumasi_dialect::catalogue::{Catalogue, Object, Type};
use pumasi_sqltext::{Column, Comparison, Relation, TableInfo, TableName};

/// One version of the schema, as a session without temporary tables sees it.
pub struct KnownTables {
    pub catalogue: Arc<Catalogue>,
    /// The session's database: what unqualified names are of.
    pub database: Option<String>,
}

impl pumasi_sqltext::Catalogue for KnownTables {
    fn relation(&self, database: Option<&str>, name: &str) -> Relation {
        let Some(database) = database.or(self.database.as_deref()) else { return Relation::Unknown };
        if ["information_schema", "performance_schema", "mysql", "sys"].iter().any(|system| database.eq_ignore_ascii_case(system)) {
            return Relation::System;
        }
        match self.catalogue.object(database, name) {
            Some(Object::Table(table)) => {
                let columns = table.columns.iter().map(|column| Column { name: column.name.clone(), comparison: comparison(&column.ty) });
                let name = TableName { database: table.database.clone(), name: table.name.clone() };
                Relation::Table(Arc::new(TableInfo { name, columns: columns.collect() }))
            }
            // The tables behind a view are in the engine's report. Here a statement with a view is one that is not understood: it depends on
            // whole tables.
            Some(Object::View(_)) | None => Relation::Unknown,
        }
    }
}

/// Types whose comparison with a constant `pumasi_sqltext` reproduces; of the others any row may be meant.
fn comparison(ty: &Type) -> Comparison {
    match ty {
        Type::Int { .. } => Comparison::Integer,
        Type::Char(_) | Type::VarChar(_) | Type::Text(_) => Comparison::Text,
        _ => Comparison::Other,
    }
}
