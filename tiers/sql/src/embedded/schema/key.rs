//! Keys, and the foreign ones.

use pumasi_dialect::catalogue::{Catalogue, Default, ForeignKey, Key, KeyPart, Table, Type};
use pumasi_dialect::error;
use pumasi_dialect::parse::{ForeignKeyDefinition, KeyDefinition};
use pumasi_mysqlwire::SqlError;

use super::check_name;
use super::column::unsigned;

/// Adds a key and answers its name.
pub(super) fn add_key(table: &mut Table, definition: &KeyDefinition) -> Result<String, SqlError> {
    for (i, part) in definition.parts.iter().enumerate() {
        let column = table.column(&part.column).ok_or_else(|| error::key_column_missing(&part.column))?;
        if definition.parts[..i].iter().any(|p| p.column.eq_ignore_ascii_case(&part.column)) {
            return Err(error::duplicate_column(&part.column));
        }
        if matches!(column.ty, Type::Text(_) | Type::Blob(_)) && part.prefix.is_none() {
            return Err(error::key_too_long_blob(&part.column));
        }
        if matches!(column.ty, Type::Json) {
            return Err(SqlError::new(
                3152,
                "42000",
                format!("JSON column '{}' supports indexing only via generated columns on a specified JSON path.", part.column),
            ));
        }
    }
    let mut key =
        Key { name: String::new(), unique: definition.unique, parts: definition.parts.clone(), comment: definition.comment.clone() };
    for part in &mut key.parts {
        // Names as the columns spell them.
        if let Some(column) = table.column(&part.column) {
            part.column = column.name.clone();
        }
    }
    if definition.primary {
        if table.primary_key().is_some() {
            return Err(error::two_primary_keys());
        }
        key.name = "PRIMARY".to_owned();
        for part in &key.parts {
            if let Some(column) = table.columns.iter_mut().find(|c| c.name == part.column) {
                column.nullable = false;
                if column.default == Some(Default::Null) {
                    column.default = None;
                }
            }
        }
        table.keys.insert(0, key);
        return Ok("PRIMARY".to_owned());
    }
    key.name = match &definition.name {
        Some(name) => {
            if table.keys.iter().any(|k| k.name.eq_ignore_ascii_case(name)) {
                return Err(error::duplicate_key_name(name));
            }
            check_name(name).map_err(|_| error::name_too_long(name))?;
            name.clone()
        }
        None => free_name(&key.parts[0].column, |name| table.keys.iter().any(|k| k.name.eq_ignore_ascii_case(name))),
    };
    let name = key.name.clone();
    table.keys.push(key);
    Ok(name)
}

/// `base`, or `base_2`, `base_3` ...
pub(super) fn free_name(base: &str, taken: impl Fn(&str) -> bool) -> String {
    if !taken(base) {
        return base.to_owned();
    }
    (2..).map(|n| format!("{base}_{n}")).find(|name| !taken(name)).unwrap_or_default()
}

pub(super) fn add_foreign_key(table: &mut Table, definition: &ForeignKeyDefinition, catalogue: &Catalogue) -> Result<(), SqlError> {
    let parent_database = definition.parent.database.clone().unwrap_or_else(|| table.database.clone());
    let own = definition.parent.name.eq_ignore_ascii_case(&table.name) && parent_database.eq_ignore_ascii_case(&table.database);
    let parent = if own { None } else { catalogue.table(&parent_database, &definition.parent.name) };
    if !own && parent.is_none() {
        return Err(error::parent_table_missing(&definition.parent.name));
    }
    let name = match &definition.name {
        Some(name) => {
            if table.foreign_keys.iter().any(|fk| fk.name.eq_ignore_ascii_case(name)) {
                return Err(error::constraint_duplicate(name));
            }
            name.clone()
        }
        None => {
            let taken = |name: &str| table.foreign_keys.iter().any(|fk| fk.name.eq_ignore_ascii_case(name));
            (1..).map(|n| format!("{}_ibfk_{n}", table.name)).find(|n| !taken(n)).unwrap_or_default()
        }
    };
    if definition.columns.len() != definition.parent_columns.len() {
        return Err(SqlError::new(
            1239,
            "42000",
            format!("Incorrect foreign key definition for '{name}': Key reference and table reference don't match"),
        ));
    }
    let parent_table: &Table = parent.map_or(&*table, |p| p);
    for (column, parent_column) in definition.columns.iter().zip(&definition.parent_columns) {
        let child = table.column(column).ok_or_else(|| error::key_column_missing(column))?;
        let referenced = parent_table.column(parent_column).ok_or_else(|| {
            let text = format!("Failed to add the foreign key constraint. Missing column '{parent_column}' for constraint '{name}' in the referenced table '{}'", parent_table.name);
            SqlError::new(3734, "HY000", text)
        })?;
        if child.ty.storage() != referenced.ty.storage() || unsigned(&child.ty) != unsigned(&referenced.ty) {
            let text = format!(
                "Referencing column '{column}' and referenced column '{parent_column}' in foreign key constraint '{name}' are incompatible."
            );
            return Err(SqlError::new(3780, "HY000", text));
        }
    }
    let unique = parent_table.keys.iter().any(|k| {
        k.unique
            && k.parts.len() == definition.parent_columns.len()
            && definition.parent_columns.iter().all(|c| k.parts.iter().any(|p| p.prefix.is_none() && p.column.eq_ignore_ascii_case(c)))
    });
    if !unique {
        // SQLite needs a unique key to point to; MySQL 8.4 asks for the same by default.
        return Err(error::parent_key_missing(&name, &parent_table.name));
    }
    let set_null = |action| action == pumasi_dialect::catalogue::ReferentialAction::SetNull;
    if (set_null(definition.on_delete) || set_null(definition.on_update))
        && definition.columns.iter().any(|c| table.column(c).is_some_and(|c| !c.nullable))
    {
        return Err(SqlError::new(
            1830,
            "HY000",
            format!("Column '{}' cannot be NOT NULL: needed in a foreign key constraint '{name}' SET NULL", definition.columns[0]),
        ));
    }
    let parent_name = parent.map_or_else(|| table.name.clone(), |p| p.name.clone());
    let columns: Vec<String> = definition.columns.iter().map(|c| table.column(c).map_or_else(|| c.clone(), |c| c.name.clone())).collect();
    if !table.keys.iter().any(|k| starts_with(k, &columns)) {
        let base = definition.name.clone().unwrap_or_else(|| columns[0].clone());
        let base = free_name(&base, |n| table.keys.iter().any(|k| k.name.eq_ignore_ascii_case(n)));
        let parts = columns.iter().map(|c| KeyPart { column: c.clone(), prefix: None, descending: false }).collect();
        table.keys.push(Key { name: base, unique: false, parts, comment: String::new() });
    }
    table.foreign_keys.push(ForeignKey {
        name,
        columns,
        parent_database,
        parent_table: parent_name,
        parent_columns: definition.parent_columns.clone(),
        on_delete: definition.on_delete,
        on_update: definition.on_update,
    });
    Ok(())
}

pub(super) fn starts_with(key: &Key, columns: &[String]) -> bool {
    key.parts.len() >= columns.len() && key.parts.iter().zip(columns).all(|(p, c)| p.column.eq_ignore_ascii_case(c))
}
