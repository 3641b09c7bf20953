//! Storing a value in a column: MySQL's conversions and strict-mode errors.

use pumasi_mysqlwire::SqlError;

use super::scope::string;
use super::{Ex, Literal, Translator};
use crate::catalogue::{Column, Default, Table, Type};
use crate::types::Ty;

impl Translator<'_> {
    /// The value of `ex` as `column` stores it. The functions raise 1264, 1265, 1292, 1366 and 1406, or warn and adjust where
    /// `sql_mode` is not strict or the statement says IGNORE.
    pub(super) fn store(&mut self, column: &Column, ex: &Ex, ignore: bool) -> Result<String, SqlError> {
        if ex.ty == Ty::Null {
            return Ok(if ignore && !column.nullable { self.implicit_default(column) } else { ex.sql.clone() });
        }
        let name = string(&column.name);
        let stored = match &column.ty {
            Type::Int { .. } => {
                let (low, high) = column.ty.int_range().expect("an integer type");
                match &ex.literal {
                    Some(Literal::Int(n)) if (low..=high).contains(n) => ex.sql.clone(),
                    _ => format!("pm_store_int({}, {low}, {high}, {name})", self.number_source(ex)),
                }
            }
            Type::Bit(bits) => format!("pm_store_bit({}, {}, {name})", self.to_int(ex), (1i64 << bits) - 1),
            Type::Year => format!("pm_store_year({}, {name})", self.number_source(ex)),
            Type::Decimal { precision, scale, unsigned } => {
                format!("pm_store_decimal({}, {precision}, {scale}, {}, {name})", self.number_source(ex), u8::from(*unsigned))
            }
            Type::Float => format!("pm_store_float({}, {name})", self.number_source(ex)),
            Type::Double => format!("pm_store_double({}, {name})", self.number_source(ex)),
            Type::Char(_) | Type::VarChar(_) | Type::Text(_) if matches!(ex.ty, Ty::Bytes(_)) => {
                let text = format!("pm_valid_text({}, {name})", ex.sql);
                let chars = ex.ty.chars();
                let valid = Ex { sql: text, ty: Ty::Text(chars), literal: None, bare: false, ..ex.clone() };
                return self.store(column, &valid, ignore);
            }
            Type::Char(n) => format!("pm_store_char({}, {n}, {name})", self.to_text(ex)),
            Type::VarChar(n) => match &ex.literal {
                Some(Literal::Text(text)) if text.chars().count() <= *n as usize => ex.sql.clone(),
                _ => format!("pm_store_varchar({}, {n}, {name})", self.to_text(ex)),
            },
            Type::Text(size) => format!("pm_store_text({}, {}, {name})", self.to_text(ex), size.bytes_max()),
            Type::Binary(n) => format!("pm_store_binary({}, {n}, {name})", self.bytes_source(ex)),
            Type::VarBinary(n) => format!("pm_store_varbinary({}, {n}, {name})", self.bytes_source(ex)),
            Type::Blob(size) => format!("pm_store_varbinary({}, {}, {name})", self.bytes_source(ex), size.bytes_max()),
            Type::Date => match &ex.ty {
                Ty::Date => ex.sql.clone(),
                _ => format!("pm_store_date({}, {name})", self.to_text(ex)),
            },
            Type::DateTime(digits) => match &ex.ty {
                Ty::DateTime { digits: have, .. } if have == digits => ex.sql.clone(),
                _ => format!("pm_store_datetime({}, {digits}, {name})", self.to_text(ex)),
            },
            Type::Timestamp(digits) => {
                let local = match &ex.ty {
                    Ty::DateTime { digits: have, .. } if have == digits => ex.sql.clone(),
                    _ => format!("pm_store_datetime({}, {digits}, {name})", self.to_text(ex)),
                };
                if self.cx.settings.utc { local } else { format!("pm_to_utc({local}, {digits})") }
            }
            Type::Time(digits) => match &ex.ty {
                Ty::Time(have) if have == digits => ex.sql.clone(),
                _ => format!("pm_store_time({}, {digits}, {name})", self.to_text(ex)),
            },
            Type::Enum(values) => format!("pm_store_enum({}, {}, {name})", self.enum_source(ex), string(&values.join("\u{1}"))),
            Type::Set(values) => format!("pm_store_set({}, {}, {name})", self.enum_source(ex), string(&values.join("\u{1}"))),
            Type::Json => match &ex.ty {
                Ty::Json => ex.sql.clone(),
                Ty::Text(_) => format!("pm_store_json({}, {name})", ex.sql),
                Ty::Bytes(_) => {
                    return Err(SqlError::new(3144, "22032", "Cannot create a JSON value from a string with CHARACTER SET 'binary'."));
                }
                _ => self.to_json(ex),
            },
        };
        if ignore && !column.nullable {
            return Ok(format!("coalesce({stored}, {})", self.implicit_default(column)));
        }
        Ok(stored)
    }

    /// Integers, doubles, decimals and texts go as they are: the function tells them apart.
    fn number_source(&self, ex: &Ex) -> String {
        match &ex.ty {
            ty if ty.temporal() => self.to_int(ex),
            Ty::Enum(_) | Ty::Set(_) => self.to_int(ex),
            Ty::Json => format!("pm_json_number({})", ex.sql),
            Ty::Bytes(_) => match &ex.literal {
                Some(Literal::Bytes(bytes)) if bytes.len() < 8 => self.to_int(ex),
                _ => self.to_text(ex),
            },
            _ => ex.sql.clone(),
        }
    }

    fn bytes_source(&self, ex: &Ex) -> String {
        match &ex.ty {
            Ty::Bytes(_) => ex.sql.clone(),
            _ => self.to_text(ex),
        }
    }

    /// A number stored in ENUM or SET is an index or bits; text is a value.
    fn enum_source(&self, ex: &Ex) -> String {
        match &ex.ty {
            ty if ty.integral() => ex.sql.clone(),
            _ => self.to_text(ex),
        }
    }

    /// What a NOT NULL column holds when nothing sensible was given and MySQL does not mind.
    pub(super) fn implicit_default(&self, column: &Column) -> String {
        match &column.ty {
            Type::Int { .. } | Type::Year | Type::Bit(_) => "0".to_owned(),
            Type::Decimal { scale, .. } => format!("pm_dec_scale(0, {scale})"),
            Type::Float | Type::Double => "0.0".to_owned(),
            Type::Binary(n) => format!("zeroblob({n})"),
            Type::VarBinary(_) | Type::Blob(_) => "X''".to_owned(),
            Type::Date => "'0000-00-00'".to_owned(),
            Type::Time(d) => string(&crate::temporal::Time(0).format(*d)),
            Type::DateTime(d) | Type::Timestamp(d) => string(&crate::temporal::DateTime::default().format(*d)),
            Type::Enum(values) => string(values.first().map_or("", String::as_str)),
            Type::Json => "'null'".to_owned(),
            _ => "''".to_owned(),
        }
    }

    /// What `DEFAULT` means for a column: 1364 if nothing.
    pub(super) fn default_value(&mut self, table: &Table, column: &Column, ignore: bool) -> Result<String, SqlError> {
        if column.auto_increment {
            return Ok("NULL".to_owned());
        }
        Ok(match &column.default {
            Some(Default::Null) => "NULL".to_owned(),
            Some(Default::Literal(text)) => stored_literal(column, text),
            Some(Default::Now(digits)) => {
                self.impure("NOW()");
                let function = if matches!(column.ty, Type::Timestamp(_)) { "pm_utc_now" } else { "pm_now" };
                let now = format!("{function}({digits})");
                if column.ty == Type::Date { format!("substr({now}, 1, 10)") } else { now }
            }
            Some(Default::Expression(text)) => {
                let expr = crate::parse::parse_expression(text)?;
                let outer = std::mem::take(&mut self.scopes);
                let value = self.expression(&expr);
                self.scopes = outer;
                let value = value?;
                self.store(column, &value, ignore)?
            }
            None if column.nullable => "NULL".to_owned(),
            // MySQL gives an ENUM without a default its first value.
            None if matches!(column.ty, Type::Enum(_)) => self.implicit_default(column),
            None if ignore || !self.cx.settings.strict => {
                format!("pm_warn_no_default({}, {})", string(&column.name), self.implicit_default(column))
            }
            None => {
                let _ = table;
                format!("pm_no_default({})", string(&column.name))
            }
        })
    }

    /// `value`, remembered for the message of error 1062 if the column is in a unique key.
    pub(super) fn keyed(&self, table: &Table, column: &Column, value: String) -> String {
        let unique = table.keys.iter().any(|k| k.unique && k.parts.iter().any(|p| p.column.eq_ignore_ascii_case(&column.name)));
        if unique && value != "NULL" { format!("pm_key({}, {value})", string(&column.name)) } else { value }
    }
}

/// A default's canonical text as SQLite stores it.
pub fn stored_literal(column: &Column, text: &str) -> String {
    match column.ty.storage() {
        "INTEGER" => text.to_owned(),
        "REAL" => format!("CAST({} AS REAL)", string(text)),
        "BLOB" => super::scope::blob(&crate::text::unhex(text).unwrap_or_default()),
        _ => string(text),
    }
}
