//! Functions that choose among their arguments: IF, COALESCE, GREATEST and their kin.

use pumasi_mysqlwire::SqlError;
use sqlparser::ast;

use super::{Ex, Translator};
use crate::error;
use crate::types::Ty;

impl Translator<'_> {
    pub(super) fn choosing(&mut self, name: &str, mut values: Vec<Ex>) -> Result<Ex, SqlError> {
        let count = values.len();
        let wrong = || error::wrong_argument_count(name);
        match name {
            "IF" if count == 3 => {
                let condition = self.condition_sql(&values.remove(0));
                let (like, converted) = self.unify(values)?;
                Ok(Ex { sql: format!("iif({condition}, {}, {})", converted[0], converted[1]), ..like })
            }
            "IFNULL" | "NVL" if count == 2 => self.coalesce(values),
            "COALESCE" if count >= 1 => self.coalesce(values),
            "NULLIF" if count == 2 => {
                let test = self.compare(&values[0], &ast::BinaryOperator::Eq, &values[1])?;
                let first = values.swap_remove(0);
                Ok(Ex {
                    sql: format!("iif({}, NULL, {})", test.sql, first.sql),
                    nullable: true,
                    literal: None,
                    origin: None,
                    bare: false,
                    ..first
                })
            }
            "ISNULL" if count == 1 => Ok(Ex::truth(format!("({} IS NULL)", values[0].sql)).not_null()),
            "GREATEST" | "LEAST" if count >= 2 => {
                let (like, converted) = self.unify(values)?;
                let function = if name == "GREATEST" { "max" } else { "min" };
                let collate = match &like.ty {
                    Ty::Decimal { .. } => Some("PM_DECIMAL"),
                    Ty::Time(_) => Some("PM_TIME"),
                    Ty::Json => return Err(SqlError::unsupported(format!("{name}() of JSON"))),
                    ty if ty.textual() => Some(like.collation.collating.sqlite_name()),
                    _ => None,
                };
                let first = collate.map_or(converted[0].clone(), |c| format!("{} COLLATE {c}", converted[0]));
                Ok(Ex { sql: format!("{function}({first}, {})", converted[1..].join(", ")), ..like })
            }
            "INTERVAL" if count >= 2 => {
                let list: Vec<String> = values.iter().map(|v| self.to_double(v)).collect();
                Ok(Ex::new(format!("pm_interval({})", list.join(", ")), Ty::INT))
            }
            "FIELD" if count >= 2 => {
                let first = values.remove(0);
                let mut sql = String::from("CASE");
                for (i, value) in values.iter().enumerate() {
                    let test = self.compare(&first, &ast::BinaryOperator::Eq, value)?;
                    sql.push_str(&format!(" WHEN {} THEN {}", test.sql, i + 1));
                }
                Ok(Ex::new(format!("({sql} ELSE 0 END)"), Ty::INT).not_null())
            }
            _ => Err(wrong()),
        }
    }

    fn coalesce(&mut self, values: Vec<Ex>) -> Result<Ex, SqlError> {
        let nullable = values.iter().all(|v| v.nullable);
        let (like, converted) = self.unify(values)?;
        if converted.len() == 1 {
            return Ok(Ex { sql: converted[0].clone(), nullable, ..like });
        }
        Ok(Ex { sql: format!("coalesce({})", converted.join(", ")), nullable, ..like })
    }
}
