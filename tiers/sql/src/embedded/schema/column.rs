//! Columns and their defaults.

use pumasi_dialect::catalogue::{Column, Default, KeyPart, Table, Type};
use pumasi_dialect::error;
use pumasi_dialect::functions::{Arg, Env, Out};
use pumasi_dialect::parse::{ColumnDefinition, DefaultDefinition, ForeignKeyDefinition, KeyDefinition};
use pumasi_mysqlwire::SqlError;

use super::{VARCHAR_MAX, check_name};

pub(super) fn add_column(
    table: &mut Table,
    definition: &ColumnDefinition,
    at: Option<usize>,
    keys: &mut Vec<KeyDefinition>,
    foreign: &mut Vec<ForeignKeyDefinition>,
) -> Result<(), SqlError> {
    let name = &definition.name;
    check_name(name).map_err(|_| error::wrong_column_name(name))?;
    if table.column(name).is_some() {
        return Err(error::duplicate_column(name));
    }
    if let Type::VarChar(n) | Type::Char(n) = definition.ty
        && n > (if matches!(definition.ty, Type::Char(_)) { 255 } else { VARCHAR_MAX })
    {
        return Err(error::column_too_long(name, if matches!(definition.ty, Type::Char(_)) { 255 } else { VARCHAR_MAX }));
    }
    let primary = definition.primary;
    let nullable = definition.nullable.unwrap_or(!primary && !definition.auto_increment) && !primary;
    if primary && definition.nullable == Some(true) {
        return Err(SqlError::new(
            1171,
            "42000",
            "All parts of a PRIMARY KEY must be NOT NULL; if you need NULL in a key, use UNIQUE instead",
        ));
    }
    let collation = definition.ty.textual().then(|| definition.collation.clone().unwrap_or_else(|| table.collation.clone()));
    let mut column = Column {
        name: name.clone(),
        ty: definition.ty.clone(),
        collation,
        nullable,
        default: None,
        auto_increment: definition.auto_increment,
        on_update_now: definition.on_update_now,
        comment: definition.comment.clone(),
    };
    let timed = matches!(column.ty, Type::DateTime(_) | Type::Timestamp(_));
    if definition.on_update_now && !timed {
        return Err(SqlError::new(1294, "HY000", format!("Invalid ON UPDATE clause for '{name}' column")));
    }
    if definition.auto_increment && !matches!(column.ty, Type::Int { .. }) {
        return Err(SqlError::new(1063, "42000", format!("Incorrect column specifier for column '{name}'")));
    }
    column.default = match &definition.default {
        Some(default) => Some(default_of(&column, default)?),
        None if column.nullable && !column.auto_increment => Some(Default::Null),
        None => None,
    };
    if definition.auto_increment && column.default.is_some() {
        return Err(error::invalid_default(name));
    }
    if definition.primary || definition.unique {
        let parts = vec![KeyPart { column: name.clone(), prefix: None, descending: false }];
        let name = (!definition.primary).then(|| name.clone());
        keys.push(KeyDefinition { name, primary: definition.primary, unique: true, parts, comment: String::new() });
    }
    // MySQL reads and ignores REFERENCES on a column; ignoring a constraint silently is not for us.
    foreign.extend(definition.references.clone());
    let at = at.unwrap_or(table.columns.len());
    table.columns.insert(at, column);
    Ok(())
}

/// A default in the column's canonical form. 1067 if the column cannot hold it.
pub(super) fn default_of(column: &Column, default: &DefaultDefinition) -> Result<Default, SqlError> {
    let name = &column.name;
    match default {
        DefaultDefinition::Null if column.nullable => Ok(Default::Null),
        DefaultDefinition::Null => Err(error::invalid_default(name)),
        DefaultDefinition::Now(digits) => match column.ty {
            Type::DateTime(have) | Type::Timestamp(have) if have == *digits => Ok(Default::Now(*digits)),
            _ => Err(error::invalid_default(name)),
        },
        DefaultDefinition::Expression(text) => Ok(Default::Expression(text.clone())),
        DefaultDefinition::Bytes(bytes) if column.ty.binary() => Ok(Default::Literal(pumasi_dialect::text::hex(bytes))),
        DefaultDefinition::Bytes(_) => Err(error::invalid_default(name)),
        DefaultDefinition::Text(text) => literal_default(column, Arg::Text(text)),
        DefaultDefinition::Number(text) => match text.parse::<i64>() {
            Ok(n) => literal_default(column, Arg::Int(n)),
            Err(_) => literal_default(column, Arg::Text(text)),
        },
    }
}

pub(super) fn literal_default(column: &Column, value: Arg<'_>) -> Result<Default, SqlError> {
    if matches!(column.ty, Type::Text(_) | Type::Blob(_) | Type::Json) {
        let text = format!("BLOB, TEXT, GEOMETRY or JSON column '{}' can't have a default value", column.name);
        return Err(SqlError::new(1101, "42000", text));
    }
    if column.ty.binary() {
        return Ok(Default::Literal(pumasi_dialect::text::hex(&value.bytes())));
    }
    let stored =
        pumasi_dialect::functions::store_value(&mut strict_env(), column, value).map_err(|_| error::invalid_default(&column.name))?;
    Ok(Default::Literal(match stored {
        Out::Null => return Ok(Default::Null),
        Out::Int(n) => n.to_string(),
        Out::Real(x) => pumasi_dialect::text::double(x),
        Out::Text(t) => t,
        Out::Blob(b) => pumasi_dialect::text::hex(&b),
    }))
}

pub(super) fn strict_env() -> Env {
    crate::embedded::connection::new_env()
}

pub(super) fn unsigned(ty: &Type) -> bool {
    matches!(ty, Type::Int { unsigned: true, .. })
}
