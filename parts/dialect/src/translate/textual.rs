//! Functions on text whose result follows the collation of their arguments.

use pumasi_mysqlwire::SqlError;
use sqlparser::ast;

use super::scope::string;
use super::{Ex, Translator};
use crate::collation;
use crate::error;
use crate::types::Ty;

impl Translator<'_> {
    pub(super) fn textual(&mut self, name: &str, values: Vec<Ex>) -> Result<Ex, SqlError> {
        let count = values.len();
        let chars: u32 = values.iter().map(|v| v.ty.chars()).fold(0, u32::saturating_add);
        let nullable = values.iter().any(|v| v.nullable);
        let binary = values.iter().any(|v| matches!(v.ty, Ty::Bytes(_)));
        let collation = self.collation_of(&values)?;
        let texts: Vec<String> = values.iter().map(|v| self.to_text(v)).collect();
        let text = |sql: String, chars: u32| Ok(Ex { nullable, ..Ex::new(sql, Ty::Text(chars)) }.collated(collation, 4));
        let fold = u8::from(collation.collating.folds() && !binary);
        match name {
            "CONCAT" if count >= 1 => {
                if binary {
                    let parts: Vec<String> = values.iter().map(|v| self.to_bytes(v.clone()).sql).collect();
                    return Ok(Ex { nullable, ..Ex::new(format!("pm_concat_bytes({})", parts.join(", ")), Ty::Bytes(chars)) });
                }
                text(format!("({})", if count == 1 { texts[0].clone() } else { texts.join(" || ") }), chars)
            }
            "CONCAT_WS" if count >= 2 => {
                text(format!("concat_ws({})", texts.join(", ")), chars.saturating_add(values[0].ty.chars() * count as u32))
            }
            "LOCATE" | "POSITION" if count == 2 => Ok(Ex::new(format!("pm_locate({}, {}, 1, {fold})", texts[0], texts[1]), Ty::BIGINT)),
            "LOCATE" if count == 3 => {
                let from = self.to_int(&values[2]);
                Ok(Ex::new(format!("pm_locate({}, {}, {from}, {fold})", texts[0], texts[1]), Ty::BIGINT))
            }
            "INSTR" if count == 2 => Ok(Ex::new(format!("pm_locate({}, {}, 1, {fold})", texts[1], texts[0]), Ty::BIGINT)),
            "TRIM" if count == 1 => text(format!("trim({})", texts[0]), chars),
            "STRCMP" if count == 2 => {
                Ok(Ex::new(format!("pm_strcmp({}, {}, '{}')", texts[0], texts[1], collation.collating.sqlite_name()), Ty::INT))
            }
            "CHAR" if count >= 1 => {
                let numbers: Vec<String> = values.iter().map(|v| self.to_int(v)).collect();
                Ok(Ex::new(format!("pm_char({})", numbers.join(", ")), Ty::Bytes(4 * count as u32)))
            }
            "CHARSET" if count == 1 => {
                let charset = if values[0].ty.textual() { values[0].collation.charset } else { "binary" };
                text(string(charset), 64)
            }
            "COLLATION" if count == 1 => {
                let name = if values[0].ty.textual() { values[0].collation.name } else { "binary" };
                text(string(name), 64)
            }
            "COERCIBILITY" if count == 1 => Ok(Ex::new(values[0].coercibility.to_string(), Ty::INT)),
            "REGEXP_LIKE" if count == 2 => Ok(Ex::truth(format!("pm_regexp({}, {}, {fold})", texts[0], texts[1]))),
            "REGEXP_REPLACE" if count == 3 => text(format!("pm_regexp_replace({}, {}, {}, {fold})", texts[0], texts[1], texts[2]), chars),
            "REGEXP_INSTR" if count == 2 => Ok(Ex::new(format!("pm_regexp_instr({}, {}, {fold})", texts[0], texts[1]), Ty::BIGINT)),
            "REGEXP_SUBSTR" if count == 2 => text(format!("pm_regexp_substr({}, {}, {fold})", texts[0], texts[1]), chars),
            "REGEXP_LIKE" | "REGEXP_REPLACE" | "REGEXP_INSTR" | "REGEXP_SUBSTR" => {
                Err(SqlError::unsupported(format!("{name}() with {count} arguments")))
            }
            _ => Err(error::wrong_argument_count(name)),
        }
    }

    fn collation_of(&self, values: &[Ex]) -> Result<&'static collation::Collation, SqlError> {
        let mut texts = values.iter().filter(|v| v.ty.textual());
        let Some(first) = texts.next() else { return Ok(self.literal_collation()) };
        let mut agreed = first.clone();
        for other in texts {
            let collation = self.agree(&agreed, other, "concat")?;
            agreed.coercibility = agreed.coercibility.min(other.coercibility);
            agreed.collation = collation;
        }
        Ok(agreed.collation)
    }

    pub(super) fn trim(&mut self, side: Option<ast::TrimWhereField>, what: Option<&ast::Expr>, expr: &ast::Expr) -> Result<Ex, SqlError> {
        let value = self.expression(expr)?;
        let what = match what {
            Some(what) => {
                let what = self.expression(what)?;
                self.to_text(&what)
            }
            None => "' '".to_owned(),
        };
        let side = match side {
            None | Some(ast::TrimWhereField::Both) => "both",
            Some(ast::TrimWhereField::Leading) => "leading",
            Some(ast::TrimWhereField::Trailing) => "trailing",
        };
        let chars = value.ty.chars();
        Ok(Ex::new(format!("pm_trim({}, {what}, '{side}')", self.to_text(&value)), Ty::Text(chars)).collated(value.collation, 4))
    }
}
