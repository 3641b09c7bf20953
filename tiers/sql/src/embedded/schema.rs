//! DDL: from a parsed CREATE or ALTER to the catalogue's table, and to SQLite's statements.

mod alter;
mod check;
mod column;
mod key;

use pumasi_dialect::catalogue::{Catalogue, Column, Key, Table};
use pumasi_dialect::collation::Collation;
use pumasi_dialect::error;
use pumasi_dialect::parse::{CreateTable, TableItem};
use pumasi_dialect::translate::quote;
use pumasi_mysqlwire::SqlError;

use self::check::{add_check, add_checks_of_column};
use self::column::add_column;
use self::key::{add_foreign_key, add_key};
pub use self::{
    alter::{Altered, alter},
    check::checks_for_copy,
};

/// MySQL's bounds.
const NAME_CHARS_MAX: usize = 64;
const COLUMNS_MAX: usize = 1017;
const KEYS_MAX: usize = 64;
const VARCHAR_MAX: u32 = 16_383;

/// The table that a CREATE TABLE describes, checked. `storage` is its name inside SQLite.
pub fn table(
    create: &CreateTable,
    database: &str,
    storage: String,
    collation: &str,
    now: i64,
    catalogue: &Catalogue,
) -> Result<Table, SqlError> {
    let collation = create.options.collation.clone().unwrap_or_else(|| collation.to_owned());
    check_name(&create.name.name).map_err(|_| error::wrong_table_name(&create.name.name))?;
    let mut table = Table {
        database: database.to_owned(),
        name: create.name.name.clone(),
        storage,
        columns: vec![],
        keys: vec![],
        foreign_keys: vec![],
        checks: vec![],
        collation,
        comment: create.options.comment.clone().unwrap_or_default(),
        created: now,
        temporary: create.temporary,
    };
    let mut keys = Vec::new();
    let mut foreign = Vec::new();
    for item in &create.items {
        match item {
            TableItem::Column(definition) => add_column(&mut table, definition, None, &mut keys, &mut foreign)?,
            TableItem::Key(key) => keys.push(key.clone()),
            TableItem::ForeignKey(key) => foreign.push(key.clone()),
            TableItem::Check(_) => {}
        }
    }
    for key in keys {
        add_key(&mut table, &key)?;
    }
    for key in foreign {
        add_foreign_key(&mut table, &key, catalogue)?;
    }
    for item in &create.items {
        match item {
            TableItem::Column(definition) => add_checks_of_column(&mut table, definition, catalogue)?,
            TableItem::Check(definition) => add_check(&mut table, definition, None, catalogue)?,
            TableItem::Key(_) | TableItem::ForeignKey(_) => {}
        }
    }
    check(&table)?;
    Ok(table)
}

/// SQLite's statements that make `table`, named `storage`, and its indexes. `checks` are its enforced checks as SQLite's conditions, by name.
pub fn create_sql(table: &Table, storage: &str, checks: &[(String, String)], catalogue: &Catalogue) -> String {
    let rowid = table.rowid_column().map(|c| c.name.clone());
    let mut parts: Vec<String> = table
        .columns
        .iter()
        .map(|c| {
            if rowid.as_deref() == Some(&c.name) {
                let auto = if c.auto_increment { " AUTOINCREMENT" } else { "" };
                return format!("{} INTEGER PRIMARY KEY{auto}", quote(&c.name));
            }
            let collate = match c.storage_collation() {
                "BINARY" => String::new(),
                other => format!(" COLLATE {other}"),
            };
            format!("{} {}{collate}{}", quote(&c.name), c.ty.storage(), if c.nullable { "" } else { " NOT NULL" })
        })
        .collect();
    for fk in &table.foreign_keys {
        let list = |names: &[String]| names.iter().map(|n| quote(n)).collect::<Vec<_>>().join(", ");
        let parent = if fk.parent_table.eq_ignore_ascii_case(&table.name) && fk.parent_database.eq_ignore_ascii_case(&table.database) {
            table.storage.clone()
        } else {
            catalogue.table(&fk.parent_database, &fk.parent_table).map_or_else(|| fk.parent_table.clone(), |t| t.storage.clone())
        };
        parts.push(format!(
            "CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {} ({}) ON DELETE {} ON UPDATE {}",
            quote(&fk.name),
            list(&fk.columns),
            quote(&parent),
            list(&fk.parent_columns),
            fk.on_delete.sql(),
            fk.on_update.sql()
        ));
    }
    parts.extend(checks.iter().map(|(name, condition)| format!("CONSTRAINT {} CHECK ({condition})", quote(name))));
    let temporary = if table.temporary { "TEMP " } else { "" };
    format!("CREATE {temporary}TABLE {} ({}) STRICT;", quote(storage), parts.join(", "))
}

/// `CREATE INDEX` for a key; nothing for the key that is the rowid.
pub fn index_sql(table: &Table, key: &Key) -> Option<String> {
    if let ([part], Some(rowid)) = (key.parts.as_slice(), table.rowid_column())
        && part.column.eq_ignore_ascii_case(&rowid.name)
    {
        return None;
    }
    let parts: Vec<String> = key
        .parts
        .iter()
        .map(|p| {
            let direction = if p.descending { " DESC" } else { "" };
            match (p.prefix, table.column(&p.column)) {
                // Only uniqueness depends on the prefix; other keys are as good on the whole value.
                (Some(chars), Some(column)) if key.unique => {
                    format!("substr({}, 1, {chars}) COLLATE {}{direction}", quote(&p.column), column.storage_collation())
                }
                _ => format!("{}{direction}", quote(&p.column)),
            }
        })
        .collect();
    let unique = if key.unique { "UNIQUE " } else { "" };
    let schema = if table.temporary { "temp." } else { "" };
    Some(format!("CREATE {unique}INDEX {schema}{} ON {} ({});", quote(&index_name(table, key)), quote(&table.storage), parts.join(", ")))
}

/// The index's name inside SQLite, where indexes share one space of names with tables.
pub fn index_name(table: &Table, key: &Key) -> String {
    format!("{}/{}", table.storage, key.name)
}

fn check(table: &Table) -> Result<(), SqlError> {
    if table.columns.is_empty() {
        return Err(error::no_columns());
    }
    if table.columns.len() > COLUMNS_MAX {
        return Err(SqlError::new(1117, "HY000", "Too many columns"));
    }
    if table.keys.len() > KEYS_MAX {
        return Err(SqlError::new(1069, "42000", format!("Too many keys specified; max {KEYS_MAX} keys allowed")));
    }
    let auto: Vec<&Column> = table.columns.iter().filter(|c| c.auto_increment).collect();
    if auto.len() > 1 {
        return Err(error::auto_increment_needs_key());
    }
    if let Some(auto) = auto.first() {
        let keyed = |k: &Key| k.parts[0].column.eq_ignore_ascii_case(&auto.name);
        if !table.keys.iter().any(keyed) {
            return Err(error::auto_increment_needs_key());
        }
        // It is SQLite's rowid, so it is unique by itself whatever keys say: a key that lets it repeat would promise what is not so.
        if !table.keys.iter().any(|k| keyed(k) && k.unique && k.parts.len() == 1) {
            return Err(SqlError::unsupported("AUTO_INCREMENT on a column that is not a unique key by itself"));
        }
    }
    if Collation::by_name(&table.collation).is_none() {
        return Err(error::unknown_collation(&table.collation));
    }
    Ok(())
}

/// 1 to 64 characters, no blank at the end.
pub fn check_name(name: &str) -> Result<(), ()> {
    let good = !name.is_empty() && name.chars().count() <= NAME_CHARS_MAX && !name.ends_with(' ') && !name.contains('\0');
    if good { Ok(()) } else { Err(()) }
}
