//! Literals and parameters: values that are written down.

use pumasi_mysqlwire::SqlError;
use sqlparser::ast;

use super::scope::{blob, string};
use super::{Ex, Literal, ParameterType, Translator};
use crate::collation::Collation;
use crate::decimal::Decimal;
use crate::error;
use crate::temporal::{DateTime, Time};
use crate::types::Ty;

impl Translator<'_> {
    pub(super) fn value(&mut self, value: &ast::ValueWithSpan) -> Result<Ex, SqlError> {
        match &value.value {
            ast::Value::Number(text, _) => number(text),
            ast::Value::SingleQuotedString(text) | ast::Value::DoubleQuotedString(text) | ast::Value::NationalStringLiteral(text) => {
                self.text_literal(text)
            }
            ast::Value::HexStringLiteral(digits) => {
                let bytes = crate::text::unhex(digits).ok_or_else(|| error::syntax(digits, 1))?;
                Ok(bytes_literal(bytes))
            }
            ast::Value::SingleQuotedByteStringLiteral(bits) => {
                let number = u64::from_str_radix(bits, 2).map_err(|_| error::syntax(bits, 1))?;
                let bytes = number.to_be_bytes();
                let first = bytes.iter().position(|b| *b != 0).unwrap_or(7);
                Ok(bytes_literal(bytes[first..].to_vec()))
            }
            // Spelled out, so that JSON can tell TRUE from 1.
            ast::Value::Boolean(b) => {
                Ok(Ex { sql: if *b { "TRUE" } else { "FALSE" }.to_owned(), ..int_literal(i64::from(*b)).with_ty(Ty::BOOL) })
            }
            ast::Value::Null => Ok(Ex::null()),
            ast::Value::Placeholder(_) => self.placeholder(value.span.start),
            other => Err(SqlError::unsupported(format!("literal {other}"))),
        }
    }

    fn text_literal(&self, text: &str) -> Result<Ex, SqlError> {
        match crate::text::literal_bytes(text) {
            // Some drivers send blobs as ordinary literals. Bytes that are no text may go where bytes go; a text column refuses them (1366).
            Some(bytes) => Ok(bytes_literal(bytes)),
            None => Ok(text_literal(text).collated(self.literal_collation(), 4)),
        }
    }

    /// `_utf8mb4'x'`, `_binary'x'`, `N'x'`.
    pub(super) fn introduced(&mut self, prefix: &str, value: &ast::Expr) -> Result<Ex, SqlError> {
        let charset = prefix.trim_start_matches('_').to_ascii_lowercase();
        if charset == "binary" {
            if let ast::Expr::Value(v) = value
                && let ast::Value::SingleQuotedString(text) | ast::Value::DoubleQuotedString(text) = &v.value
            {
                return Ok(bytes_literal(crate::text::literal_bytes(text).unwrap_or_else(|| text.clone().into_bytes())));
            }
            return self.expression(value).map(|e| self.to_bytes(e));
        }
        let collation = Collation::of_charset(&charset).ok_or_else(|| error::unknown_character_set(&charset))?;
        let literal = self.expression(value)?;
        if let Some(Literal::Bytes(bytes)) = &literal.literal {
            let text = String::from_utf8(bytes.clone()).map_err(|_| error::invalid_text(&charset, crate::text::hex(bytes)))?;
            return Ok(text_literal(&text).collated(collation, 4));
        }
        Ok(literal.collated(collation, 4))
    }

    pub(super) fn typed_string(&mut self, typed: &ast::TypedString) -> Result<Ex, SqlError> {
        let text = match &typed.value.value {
            ast::Value::SingleQuotedString(text) | ast::Value::DoubleQuotedString(text) => text,
            other => return Err(SqlError::unsupported(format!("literal {other}"))),
        };
        match &typed.data_type {
            ast::DataType::Date => {
                let date = DateTime::parse(text).ok_or_else(|| error::incorrect_value("DATE", text))?;
                Ok(Ex::new(string(&date.format_date()), Ty::Date).not_null())
            }
            ast::DataType::Time(..) => {
                let time = Time::parse(text).ok_or_else(|| error::incorrect_value("TIME", text))?;
                let digits = fraction_digits(text);
                Ok(Ex::new(string(&time.format(digits)), Ty::Time(digits)).not_null())
            }
            ast::DataType::Timestamp(..) | ast::DataType::Datetime(_) => {
                let date = DateTime::parse(text).ok_or_else(|| error::incorrect_value("DATETIME", text))?;
                let digits = fraction_digits(text);
                Ok(Ex::new(string(&date.format(digits)), Ty::DateTime { digits, timestamp: false }).not_null())
            }
            other => Err(SqlError::unsupported(format!("literal of type {other}"))),
        }
    }

    fn placeholder(&mut self, at: sqlparser::tokenizer::Location) -> Result<Ex, SqlError> {
        let index = self.cx.parameters.index(at).ok_or_else(|| error::syntax("?", at.line))?;
        let sql = format!("?{}", index + 1);
        let ty = match self.cx.parameter_types.get(index).copied().unwrap_or(ParameterType::Text) {
            ParameterType::Null => Ty::Null,
            ParameterType::Int => Ty::BIGINT,
            ParameterType::Unsigned => Ty::UNSIGNED,
            ParameterType::Double => Ty::Double,
            ParameterType::Text => Ty::Text(PARAMETER_CHARS),
            ParameterType::Bytes => Ty::Bytes(PARAMETER_CHARS),
            ParameterType::DateTime => Ty::DateTime { digits: 6, timestamp: false },
            ParameterType::Date => Ty::Date,
            ParameterType::Time => Ty::Time(6),
        };
        Ok(Ex::new(sql, ty).collated(self.literal_collation(), 4))
    }
}

/// Length given to parameters of unknown length.
const PARAMETER_CHARS: u32 = 16_383;

pub(super) fn int_literal(n: i64) -> Ex {
    let digits = n.unsigned_abs().to_string().len() as u8;
    let bytes = if i32::try_from(n).is_ok() { 4 } else { 8 };
    Ex { literal: Some(Literal::Int(n)), nullable: false, ..Ex::new(n.to_string(), Ty::Int { unsigned: false, bytes, digits }) }
}

pub(super) fn text_literal(text: &str) -> Ex {
    let chars = text.chars().count() as u32;
    Ex { literal: Some(Literal::Text(text.to_owned())), nullable: false, ..Ex::new(string(text), Ty::Text(chars)) }
}

pub(super) fn bytes_literal(bytes: Vec<u8>) -> Ex {
    let len = bytes.len() as u32;
    Ex { sql: blob(&bytes), literal: Some(Literal::Bytes(bytes)), nullable: false, ..Ex::new("", Ty::Bytes(len)) }
}

/// A number as written: integer, exact decimal, or double if it has an exponent.
pub(super) fn number(text: &str) -> Result<Ex, SqlError> {
    if let Ok(n) = text.parse::<i64>() {
        return Ok(int_literal(n));
    }
    if text.contains(['e', 'E']) {
        let value: f64 = text.parse().map_err(|_| error::syntax(text, 1))?;
        if !value.is_finite() {
            return Err(SqlError::new(1367, "22007", format!("Illegal double '{text}' value found during parsing")));
        }
        return Ok(Ex { literal: Some(Literal::Number(text.to_owned())), nullable: false, ..Ex::new(real(text), Ty::Double) });
    }
    let value = Decimal::parse(text).ok_or_else(|| SqlError::unsupported(format!("number {text}: more than 38 digits")))?;
    let scale = value.scale();
    let precision = (value.integer_digits().max(1) as u8) + scale;
    let canonical = value.to_string();
    let ty = Ty::Decimal { precision, scale, unsigned: false };
    Ok(Ex { literal: Some(Literal::Number(canonical.clone())), nullable: false, ..Ex::new(string(&canonical), ty) })
}

/// A REAL literal for SQLite.
pub(super) fn real(text: &str) -> String {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => format!("{value:?}"),
        _ => "0.0".to_owned(),
    }
}

fn fraction_digits(text: &str) -> u8 {
    text.split_once('.').map_or(0, |(_, f)| f.trim_end().len().min(6) as u8)
}
