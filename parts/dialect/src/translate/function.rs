//! Function calls: which room a function is translated in.

use pumasi_mysqlwire::SqlError;
use sqlparser::ast;

use super::aggregate::aggregate_name;
use super::scalar::SCALARS;
use super::window::window_name;
use super::{Ex, Translator};
use crate::error;
use crate::temporal::Unit;
use crate::types::Ty;

impl Translator<'_> {
    pub(super) fn function(&mut self, f: &ast::Function) -> Result<Ex, SqlError> {
        let name = f.name.to_string().replace('`', "").to_ascii_uppercase();
        if f.filter.is_some() || !f.within_group.is_empty() || f.null_treatment.is_some() {
            return Err(SqlError::unsupported(format!("clause of {name}()")));
        }
        if aggregate_name(&name) || window_name(&name) {
            return self.aggregate(&name, f);
        }
        if f.over.is_some() {
            return Err(SqlError::unsupported(format!("{name}() OVER")));
        }
        let arguments = match &f.args {
            ast::FunctionArguments::None => vec![],
            ast::FunctionArguments::List(list) if list.clauses.is_empty() && list.duplicate_treatment.is_none() => arguments(list)?,
            _ => return Err(SqlError::unsupported(format!("arguments of {name}()"))),
        };
        if let Some(special) = self.special(&name, &arguments)? {
            return Ok(special);
        }
        let values = arguments.iter().map(|a| self.expression(a)).collect::<Result<Vec<_>, _>>()?;
        self.call(&name, values)
    }

    pub(super) fn call_ast(&mut self, name: &str, arguments: &[&ast::Expr]) -> Result<Ex, SqlError> {
        let values = arguments.iter().map(|a| self.expression(a)).collect::<Result<Vec<_>, _>>()?;
        self.call(name, values)
    }

    /// Functions whose arguments are not all expressions.
    fn special(&mut self, name: &str, arguments: &[&ast::Expr]) -> Result<Option<Ex>, SqlError> {
        let unit = |expr: &ast::Expr| match expr {
            ast::Expr::Identifier(ident) => Unit::by_name(&ident.value).map(|_| ident.value.to_ascii_uppercase()),
            _ => None,
        };
        Ok(Some(match (name, arguments) {
            ("DATE_ADD" | "ADDDATE" | "DATE_SUB" | "SUBDATE", [date, ast::Expr::Interval(interval)]) => {
                let date = self.expression(date)?;
                self.date_arithmetic(date, interval, name.contains("SUB"))?
            }
            ("ADDDATE" | "SUBDATE", [date, days]) => {
                let date = self.expression(date)?;
                let interval = interval((*days).clone(), "DAY");
                self.date_arithmetic(date, &interval, name == "SUBDATE")?
            }
            ("TIMESTAMPADD", [u, amount, date]) => {
                let unit = unit(u).ok_or_else(|| error::syntax(&u.to_string(), 1))?;
                let date = self.expression(date)?;
                let interval = interval((*amount).clone(), &unit);
                self.date_arithmetic(date, &interval, false)?
            }
            ("TIMESTAMPDIFF", [u, a, b]) => {
                let unit = unit(u).ok_or_else(|| error::syntax(&u.to_string(), 1))?;
                let (a, b) = (self.expression(a)?, self.expression(b)?);
                Ex::new(format!("pm_timestampdiff('{unit}', {}, {})", self.to_text(&a), self.to_text(&b)), Ty::BIGINT)
            }
            ("GET_FORMAT", _) => return Err(SqlError::unsupported("GET_FORMAT()")),
            ("VALUES" | "VALUE", [ast::Expr::Identifier(column)]) => {
                self.proposed_value(&column.value).ok_or_else(|| match &self.proposed {
                    Some(_) => error::unknown_column(&column.value, "field list"),
                    None => SqlError::unsupported("VALUES() outside of ON DUPLICATE KEY UPDATE"),
                })?
            }
            ("DEFAULT", [ast::Expr::Identifier(_) | ast::Expr::CompoundIdentifier(_)]) => {
                return Err(SqlError::unsupported("DEFAULT(column)"));
            }
            ("LAST_INSERT_ID", [value]) => {
                let value = self.expression(value)?;
                self.impure("LAST_INSERT_ID()");
                Ex::new(format!("pm_set_last_insert_id({})", self.to_int(&value)), Ty::UNSIGNED)
            }
            _ => return Ok(None),
        }))
    }

    /// A scalar function on translated arguments.
    pub(super) fn call(&mut self, name: &str, values: Vec<Ex>) -> Result<Ex, SqlError> {
        if let Some(entry) = SCALARS.iter().find(|e| e.0 == name) {
            return self.tabled(entry, &values);
        }
        match name {
            "IF" | "IFNULL" | "NVL" | "COALESCE" | "NULLIF" | "GREATEST" | "LEAST" | "ISNULL" | "INTERVAL" | "FIELD" => {
                self.choosing(name, values)
            }
            "ABS" | "CEIL" | "CEILING" | "FLOOR" | "ROUND" | "TRUNCATE" | "MOD" | "RAND" => self.numeric(name, values),
            "CONCAT" | "CONCAT_WS" | "LOCATE" | "INSTR" | "POSITION" | "TRIM" | "STRCMP" | "CHAR" | "CHARSET" | "COLLATION"
            | "COERCIBILITY" | "REGEXP_LIKE" | "REGEXP_REPLACE" | "REGEXP_INSTR" | "REGEXP_SUBSTR" => self.textual(name, values),
            "JSON_ARRAY" | "JSON_OBJECT" => self.json_build(name, &values),
            _ => self.session_function(name, values),
        }
    }

    // --- choosing among values ---

    // --- numbers ---

    // --- text ---

    pub(super) fn extract(&mut self, unit: &str, expr: &ast::Expr) -> Result<Ex, SqlError> {
        let unit = unit.to_ascii_uppercase();
        Unit::by_name(&unit).ok_or_else(|| SqlError::unsupported(format!("EXTRACT({unit})")))?;
        let value = self.expression(expr)?;
        Ok(Ex::new(format!("pm_extract('{unit}', {})", self.to_text(&value)), Ty::BIGINT))
    }

    fn json_build(&mut self, name: &str, values: &[Ex]) -> Result<Ex, SqlError> {
        if name == "JSON_OBJECT" && values.len() % 2 == 1 {
            return Err(error::wrong_argument_count(name));
        }
        let parts: Vec<String> = values
            .iter()
            .enumerate()
            .map(|(i, v)| if name == "JSON_OBJECT" && i % 2 == 0 { self.to_text(v) } else { self.to_json(v) })
            .collect();
        let function = if name == "JSON_OBJECT" { "pm_json_object" } else { "pm_json_array" };
        Ok(Ex::new(format!("{function}({})", parts.join(", ")), Ty::Json).not_null())
    }

    // --- session, time, randomness ---

    pub(super) fn unknown(&self, name: &str) -> Result<Ex, SqlError> {
        if KNOWN_ELSEWHERE.contains(&name) {
            return Err(SqlError::unsupported(format!("{name}()")));
        }
        Err(error::unknown_function(self.cx.database.unwrap_or(""), name))
    }

    // --- aggregates and windows ---
}

fn interval(value: ast::Expr, unit: &str) -> ast::Interval {
    ast::Interval {
        value: Box::new(value),
        leading_field: Some(ast::DateTimeField::Custom(ast::Ident::new(unit))),
        leading_precision: None,
        last_field: None,
        fractional_seconds_precision: None,
    }
}

pub(super) fn arguments(list: &ast::FunctionArgumentList) -> Result<Vec<&ast::Expr>, SqlError> {
    list.args
        .iter()
        .map(|a| match a {
            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(e)) => Ok(e),
            other => Err(SqlError::unsupported(format!("argument {other}"))),
        })
        .collect()
}

/// MySQL has these and this engine does not: 1235, not "does not exist".
const KNOWN_ELSEWHERE: &[&str] = &[
    "AES_DECRYPT",
    "AES_ENCRYPT",
    "COMPRESS",
    "UNCOMPRESS",
    "UNCOMPRESSED_LENGTH",
    "ENCRYPT",
    "EXPORT_SET",
    "EXTRACTVALUE",
    "UPDATEXML",
    "GROUPING",
    "JSON_ARRAY_INSERT",
    "JSON_OVERLAPS",
    "JSON_SCHEMA_VALID",
    "JSON_STORAGE_SIZE",
    "JSON_TABLE",
    "JSON_VALUE",
    "LOAD_FILE",
    "MASTER_POS_WAIT",
    "NAME_CONST",
    "PASSWORD",
    "ST_ASTEXT",
    "ST_GEOMFROMTEXT",
    "ST_DISTANCE",
    "POINT",
    "TIMESTAMP",
    "VALIDATE_PASSWORD_STRENGTH",
    "WAIT_FOR_EXECUTED_GTID_SET",
    "SESSION_TRACK",
    "FORMAT_BYTES",
    "PS_THREAD_ID",
    "ROLES_GRAPHML",
    "CURRENT_ROLE",
    "ICU_VERSION",
];
