//! Rounding and arithmetic functions, whose result's type follows their argument's.

use pumasi_mysqlwire::SqlError;
use sqlparser::ast;

use super::{Ex, Literal, Translator};
use crate::error;
use crate::types::Ty;

impl Translator<'_> {
    pub(super) fn numeric(&mut self, name: &str, mut values: Vec<Ex>) -> Result<Ex, SqlError> {
        let count = values.len();
        match name {
            "MOD" if count == 2 => {
                let b = values.remove(1);
                return self.arithmetic_of(values.remove(0), &ast::BinaryOperator::Modulo, b);
            }
            "RAND" if count <= 1 => {
                self.impure("RAND()");
                let seed = values.first().map_or(String::new(), |v| self.to_int(v));
                return Ok(Ex::new(format!("pm_rand({seed})"), Ty::Double).not_null());
            }
            _ => {}
        }
        let Some(value) = values.first().cloned() else { return Err(error::wrong_argument_count(name)) };
        let most = if matches!(name, "ROUND" | "TRUNCATE") { 2 } else { 1 };
        if count > most || (name == "TRUNCATE" && count != 2) {
            return Err(error::wrong_argument_count(name));
        }
        let exact = matches!(value.ty, Ty::Decimal { .. });
        let integral = value.ty.integral();
        let argument = if exact || integral { value.sql.clone() } else { self.to_double(&value) };
        let nullable = value.nullable;
        let done = |sql: String, ty: Ty| Ok(Ex { nullable, ..Ex::new(sql, ty) });
        match name {
            "ABS" if integral => done(format!("pm_abs({argument})"), value.ty.clone()),
            "ABS" if exact => done(format!("pm_dec_abs({argument})"), value.ty.clone()),
            "ABS" => done(format!("abs({argument})"), Ty::Double),
            "CEIL" | "CEILING" | "FLOOR" => {
                let up = name != "FLOOR";
                if integral {
                    return done(argument, Ty::BIGINT);
                }
                if exact {
                    return done(format!("{}({argument})", if up { "pm_dec_ceil" } else { "pm_dec_floor" }), Ty::BIGINT);
                }
                done(format!("{}({argument})", if up { "pm_ceil" } else { "pm_floor" }), Ty::Double)
            }
            _ => self.round(name, value, argument, values.get(1)),
        }
    }

    /// ROUND and TRUNCATE. The scale of an exact result is known only when the digits are a literal.
    fn round(&mut self, name: &str, value: Ex, argument: String, digits: Option<&Ex>) -> Result<Ex, SqlError> {
        let places = match digits {
            None => Some(0),
            Some(d) => match &d.literal {
                Some(Literal::Int(n)) => Some(*n),
                _ => None,
            },
        };
        let digits_sql = digits.map_or("0".to_owned(), |d| self.to_int(d));
        let prefix = if name == "ROUND" { "round" } else { "truncate" };
        let nullable = value.nullable || digits.is_some_and(|d| d.nullable);
        let done = |sql: String, ty: Ty| Ok(Ex { nullable, ..Ex::new(sql, ty) });
        match &value.ty {
            ty if ty.integral() => {
                if places.is_some_and(|p| p >= 0) {
                    return done(argument, Ty::BIGINT);
                }
                done(format!("pm_int_{prefix}({argument}, {digits_sql})"), Ty::BIGINT)
            }
            Ty::Decimal { precision, scale, .. } => {
                let kept = places.map_or(*scale, |p| u8::try_from(p.max(0)).unwrap_or(30).min(*scale));
                let ty = Ty::Decimal { precision: precision - scale + kept + 1, scale: kept, unsigned: false };
                done(format!("pm_dec_{prefix}({argument}, {digits_sql}, {kept})"), ty)
            }
            _ => done(format!("pm_double_{prefix}({argument}, {digits_sql})"), Ty::Double),
        }
    }
}
