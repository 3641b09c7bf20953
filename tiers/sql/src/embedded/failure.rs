//! SQLite's errors as MySQL's.

use pumasi_dialect::catalogue::{Catalogue, ReferentialAction, Table};
use pumasi_dialect::error;
use pumasi_dialect::functions::Env;
use pumasi_dialect::information::{backticks, foreign_key};
use pumasi_dialect::translate::{Write, WriteKind};
use pumasi_mysqlwire::SqlError;
use rusqlite::{Error, ErrorCode, ffi};

/// What went wrong, in MySQL's numbers. `write` and `catalogue` name the key or constraint when one was violated.
pub fn explain(failure: Error, env: &mut Env, write: Option<&Write>, catalogue: &Catalogue) -> SqlError {
    if let Some(error) = env.failure.take() {
        return error;
    }
    let (code, extended, message) = match &failure {
        Error::SqliteFailure(e, message) => (e.code, e.extended_code, message.clone().unwrap_or_default()),
        Error::SqlInputError { error, msg, .. } => (error.code, error.extended_code, msg.clone()),
        other => return error::internal(other),
    };
    match extended {
        ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID => {
            duplicate(&message, env, write, catalogue)
        }
        ffi::SQLITE_CONSTRAINT_NOTNULL => error::null_value(message.rsplit('.').next().unwrap_or_default()),
        ffi::SQLITE_CONSTRAINT_CHECK => error::check_violated(message.split_once(": ").map_or("", |(_, name)| name)),
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => reference(write, catalogue),
        _ => match code {
            ErrorCode::OperationInterrupted => error::interrupted(),
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => error::lock_wait_timeout(),
            ErrorCode::DiskFull => SqlError::new(1114, "HY000", "The table is full: the disk or the database file is"),
            ErrorCode::ReadOnly
            | ErrorCode::SystemIoFailure
            | ErrorCode::DatabaseCorrupt
            | ErrorCode::NotADatabase
            | ErrorCode::CannotOpen => error::disk(message),
            ErrorCode::TooBig => SqlError::new(1153, "08S01", "Got a packet bigger than 'max_allowed_packet' bytes"),
            ErrorCode::OutOfMemory => SqlError::new(1037, "HY001", "Out of memory; restart server and try again"),
            _ if message.contains("integer overflow") => error::parameter_out_of_range("BIGINT", "expression"),
            _ => error::internal(format!("embedded engine: {message}")),
        },
    }
}

/// `UNIQUE constraint failed: ask.a, ask.b` or `... index 'name'`.
fn duplicate(message: &str, env: &Env, write: Option<&Write>, catalogue: &Catalogue) -> SqlError {
    let list = message.split_once(": ").map_or("", |(_, list)| list);
    let columns: Vec<&str> = list.split(", ").map(|c| c.rsplit('.').next().unwrap_or(c)).collect();
    let storage = list.split(", ").next().and_then(|c| c.rsplit_once('.')).map(|(table, _)| table).unwrap_or_default();
    let table = write
        .map(|w| &w.table)
        .filter(|t| t.storage == storage || storage.is_empty())
        .or_else(|| catalogue.tables().find(|t| t.storage == storage));
    let table = table.or(write.map(|w| &w.table));
    let Some(table) = table else { return error::duplicate_entry("", "PRIMARY") };
    let index = list.strip_prefix("index '").and_then(|i| i.strip_suffix('\''));
    let key = table.keys.iter().find(|k| match index {
        Some(index) => super::schema::index_name(table, k) == index,
        None => k.unique && k.parts.len() == columns.len() && k.parts.iter().zip(&columns).all(|(p, c)| p.column.eq_ignore_ascii_case(c)),
    });
    let Some(key) = key else { return error::duplicate_entry("", "PRIMARY") };
    let values: Vec<&str> = key.parts.iter().map(|p| env.key_values.get(&p.column).map_or("", String::as_str)).collect();
    error::duplicate_entry(values.join("-"), format!("{}.{}", table.name, key.name))
}

/// 1452 for a child without a parent, 1451 for a parent with children.
fn reference(write: Option<&Write>, catalogue: &Catalogue) -> SqlError {
    let Some(write) = write else { return error::no_referenced_row("") };
    let table = &write.table;
    let describe = |child: &Table, fk| format!("{}.{}, {}", backticks(&child.database), backticks(&child.name), foreign_key(child, fk));
    let assigned = |columns: &[String]| columns.iter().any(|c| write.assigned.iter().any(|a| a.eq_ignore_ascii_case(c)));
    let own = table.foreign_keys.iter().find(|fk| match write.kind {
        WriteKind::Insert { .. } => true,
        WriteKind::Update => assigned(&fk.columns),
        WriteKind::Delete => false,
    });
    let child = catalogue.children(table).find(|(_, fk)| match write.kind {
        WriteKind::Delete | WriteKind::Insert { .. } => matches!(fk.on_delete, ReferentialAction::Restrict | ReferentialAction::NoAction),
        WriteKind::Update => {
            assigned(&fk.parent_columns) && matches!(fk.on_update, ReferentialAction::Restrict | ReferentialAction::NoAction)
        }
    });
    match (own, child) {
        (Some(fk), _) => error::no_referenced_row(describe(table, fk)),
        (None, Some((child, fk))) => error::referenced_row(describe(child, fk)),
        // A cascade that met a restriction further down.
        (None, None) => match catalogue.children(table).next() {
            Some((child, fk)) => error::referenced_row(describe(child, fk)),
            None => error::no_referenced_row(""),
        },
    }
}
