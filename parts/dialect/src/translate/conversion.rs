//! From one type to another: what an operator does unasked, and what CAST and CONVERT are told to.

use pumasi_mysqlwire::SqlError;
use sqlparser::ast;

use super::literal::{bytes_literal, real};
use super::scope::string;
use super::{Ex, Literal, Translator};
use crate::collation::{self, Collation};
use crate::error;
use crate::types::Ty;

impl Translator<'_> {
    /// As a number of some kind: strings become doubles, dates integers.
    pub(super) fn to_number(&self, e: Ex) -> Result<Ex, SqlError> {
        Ok(match &e.ty {
            Ty::Null => e,
            ty if ty.numeric() => e,
            Ty::Date => {
                Ex { sql: format!("pm_temporal_number({})", e.sql), ty: Ty::Int { unsigned: false, bytes: 8, digits: 8 }, bare: false, ..e }
            }
            Ty::Time(0) => {
                Ex { sql: format!("pm_time_number({})", e.sql), ty: Ty::Int { unsigned: false, bytes: 8, digits: 7 }, bare: false, ..e }
            }
            Ty::DateTime { digits: 0, .. } => Ex {
                sql: format!("pm_temporal_number({})", e.sql),
                ty: Ty::Int { unsigned: false, bytes: 8, digits: 14 },
                bare: false,
                ..e
            },
            Ty::Bytes(_) => match &e.literal {
                Some(Literal::Bytes(bytes)) if bytes.len() <= 8 => {
                    let n = bytes.iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
                    let n = i64::try_from(n).map_err(|_| SqlError::unsupported("hexadecimal number above 2^63 - 1"))?;
                    Ex { sql: n.to_string(), ty: Ty::UNSIGNED, ..e }
                }
                _ => Ex { sql: self.to_double(&e), ty: Ty::Double, bare: false, ..e },
            },
            _ => Ex { sql: self.to_double(&e), ty: Ty::Double, bare: false, ..e },
        })
    }

    pub(super) fn to_double(&self, e: &Ex) -> String {
        match &e.ty {
            Ty::Float | Ty::Double | Ty::Null => e.sql.clone(),
            Ty::Int { .. } | Ty::Year | Ty::Bit(_) => format!("CAST({} AS REAL)", e.sql),
            Ty::Decimal { .. } => match &e.literal {
                Some(Literal::Number(text)) => real(text),
                _ => format!("CAST({} AS REAL)", e.sql),
            },
            Ty::Date | Ty::DateTime { .. } => format!("CAST(pm_temporal_number({}) AS REAL)", e.sql),
            Ty::Time(_) => format!("CAST(pm_time_number({}) AS REAL)", e.sql),
            Ty::Enum(values) => format!("CAST(pm_enum_index({}, {}) AS REAL)", e.sql, string(&values.join("\u{1}"))),
            Ty::Set(values) => format!("CAST(pm_set_bits({}, {}) AS REAL)", e.sql, string(&values.join("\u{1}"))),
            Ty::Json => format!("pm_json_number({})", e.sql),
            Ty::Bytes(_) => format!("CAST(CAST({} AS TEXT) AS REAL)", e.sql),
            Ty::Text(_) => match &e.literal {
                Some(Literal::Text(text)) => real(&crate::text::number_prefix(text)),
                _ => format!("CAST({} AS REAL)", e.sql),
            },
        }
    }

    /// As an integer, rounded as MySQL does where an integer argument is wanted.
    pub(super) fn to_int(&self, e: &Ex) -> String {
        match &e.ty {
            Ty::Int { .. } | Ty::Year | Ty::Bit(_) | Ty::Null => e.sql.clone(),
            Ty::Date | Ty::DateTime { .. } => format!("pm_temporal_number({})", e.sql),
            Ty::Time(_) => format!("pm_time_number({})", e.sql),
            Ty::Enum(values) => format!("pm_enum_index({}, {})", e.sql, string(&values.join("\u{1}"))),
            Ty::Set(values) => format!("pm_set_bits({}, {})", e.sql, string(&values.join("\u{1}"))),
            Ty::Json => format!("pm_round_int(pm_json_number({}))", e.sql),
            Ty::Bytes(_) => match &e.literal {
                Some(Literal::Bytes(bytes)) if bytes.len() < 8 => bytes.iter().fold(0u64, |n, b| n << 8 | u64::from(*b)).to_string(),
                _ => format!("pm_round_int(CAST({} AS TEXT))", e.sql),
            },
            _ => format!("pm_round_int({})", e.sql),
        }
    }

    pub(super) fn to_decimal(&self, e: &Ex) -> String {
        match &e.ty {
            Ty::Int { .. } | Ty::Year | Ty::Bit(_) | Ty::Null | Ty::Decimal { .. } => e.sql.clone(),
            Ty::Text(_) => format!("pm_dec({})", e.sql),
            Ty::Float | Ty::Double => format!("pm_dec({})", e.sql),
            _ => format!("pm_dec({})", self.to_double(e)),
        }
    }

    pub(super) fn to_text(&self, e: &Ex) -> String {
        match &e.ty {
            Ty::Int { .. } | Ty::Year | Ty::Bit(_) => match &e.literal {
                Some(Literal::Int(n)) => format!("'{n}'"),
                _ => format!("CAST({} AS TEXT)", e.sql),
            },
            Ty::Float => format!("pm_float_text({})", e.sql),
            Ty::Double => format!("pm_double_text({})", e.sql),
            Ty::Bytes(_) => format!("pm_bytes_text({})", e.sql),
            // A quotient carries more digits than it shows.
            Ty::Decimal { scale, .. } if e.literal.is_none() && !e.bare => format!("pm_dec_scale({}, {scale})", e.sql),
            _ => e.sql.clone(),
        }
    }

    pub(super) fn to_bytes(&self, e: Ex) -> Ex {
        if let Ty::Bytes(_) = e.ty {
            return e;
        }
        let chars = e.ty.chars();
        if let Some(Literal::Text(text)) = &e.literal {
            return bytes_literal(text.clone().into_bytes());
        }
        let sql = format!("CAST({} AS BLOB)", self.to_text(&e));
        Ex { sql, ty: Ty::Bytes(chars.saturating_mul(4)), collation: collation::BINARY, bare: false, literal: None, origin: None, ..e }
    }

    /// As a JSON document: text becomes a JSON string, numbers JSON numbers.
    pub(super) fn to_json(&self, e: &Ex) -> String {
        match &e.ty {
            Ty::Json | Ty::Null => e.sql.clone(),
            Ty::Int { .. } if e.sql == "TRUE" => "'true'".to_owned(),
            Ty::Int { .. } if e.sql == "FALSE" => "'false'".to_owned(),
            ty if ty.integral() => format!("CAST({} AS TEXT)", e.sql),
            Ty::Decimal { .. } => self.to_text(e),
            Ty::Float | Ty::Double => format!("pm_json_double({})", e.sql),
            _ => format!("pm_json_quote({})", self.to_text(e)),
        }
    }

    pub(super) fn cast(&mut self, expr: &ast::Expr, data_type: &ast::DataType) -> Result<Ex, SqlError> {
        let e = self.expression(expr)?;
        use ast::DataType as D;
        let nullable = e.nullable;
        let done = |sql: String, ty: Ty| Ok(Ex { nullable, ..Ex::new(sql, ty) });
        match data_type {
            D::Signed | D::SignedInteger | D::Int(None) | D::Integer(None) | D::BigInt(None) => done(self.cast_int(&e, false), Ty::BIGINT),
            D::Unsigned | D::UnsignedInteger => done(self.cast_int(&e, true), Ty::UNSIGNED),
            D::Decimal(info) | D::Dec(info) | D::Numeric(info) => {
                let (precision, scale) = match info {
                    ast::ExactNumberInfo::None => (10, 0),
                    ast::ExactNumberInfo::Precision(p) => (*p, 0),
                    ast::ExactNumberInfo::PrecisionAndScale(p, s) => (*p, *s),
                };
                if precision > u64::from(crate::decimal::PRECISION_MAX) {
                    return Err(SqlError::unsupported(format!("DECIMAL({precision},{scale})")));
                }
                let (precision, scale) = (precision as u8, u8::try_from(scale).unwrap_or(0));
                let sql = format!("pm_dec_fit({}, {precision}, {scale})", self.to_decimal(&e));
                done(sql, Ty::Decimal { precision, scale, unsigned: false })
            }
            D::Double(_) | D::DoublePrecision | D::Real | D::Float64 => done(self.to_double(&e), Ty::Double),
            D::Float(_) => done(format!("pm_float({})", self.to_double(&e)), Ty::Float),
            D::Char(len) | D::Character(len) | D::Nvarchar(len) | D::Varchar(len) => {
                let text = self.to_text(&e);
                let chars = e.ty.chars();
                let collation = if e.ty.textual() { e.collation } else { self.literal_collation() };
                let out = match len {
                    Some(ast::CharacterLength::IntegerLength { length, .. }) => {
                        let n = u32::try_from(*length).unwrap_or(u32::MAX);
                        Ex::new(format!("substr({text}, 1, {n})"), Ty::Text(n))
                    }
                    _ => Ex::new(text, Ty::Text(chars)),
                };
                Ok(Ex { nullable, ..out }.collated(collation, 2))
            }
            D::Binary(len) => {
                let n = len.and_then(|n| u32::try_from(n).ok());
                let bytes = self.to_bytes(e);
                match n {
                    Some(n) => done(format!("pm_binary_pad({}, {n})", bytes.sql), Ty::Bytes(n)),
                    None => Ok(bytes),
                }
            }
            D::Date => match e.ty {
                Ty::Date => Ok(e),
                _ => done(format!("pm_date({})", self.temporal_text(&e)), Ty::Date),
            },
            D::Datetime(digits) | D::Timestamp(digits, _) => {
                let digits = fraction_argument(digits)?;
                done(format!("pm_datetime({}, {digits})", self.temporal_text(&e)), Ty::DateTime { digits, timestamp: false })
            }
            D::Time(digits, _) => {
                let digits = fraction_argument(digits)?;
                done(format!("pm_time({}, {digits})", self.temporal_text(&e)), Ty::Time(digits))
            }
            D::JSON => match &e.ty {
                Ty::Json => Ok(e),
                Ty::Text(_) | Ty::Bytes(_) => done(format!("pm_json({}, 'cast_as_json')", self.to_text(&e)), Ty::Json),
                _ => done(self.to_json(&e), Ty::Json),
            },
            D::Custom(name, _) if name.to_string().eq_ignore_ascii_case("year") => done(format!("pm_year({})", self.to_text(&e)), Ty::Year),
            D::Custom(name, arguments) if name.to_string().eq_ignore_ascii_case("nchar") && arguments.is_empty() => {
                let chars = e.ty.chars();
                Ok(Ex::new(self.to_text(&e), Ty::Text(chars)).collated(self.literal_collation(), 2))
            }
            other => Err(SqlError::unsupported(format!("CAST AS {other}"))),
        }
    }

    fn cast_int(&self, e: &Ex, unsigned: bool) -> String {
        let name = if unsigned { "pm_cast_unsigned" } else { "pm_cast_signed" };
        match &e.ty {
            Ty::Int { .. } | Ty::Year | Ty::Bit(_) if !unsigned || e.ty.unsigned() => e.sql.clone(),
            // Strings are cut at the first character that is no digit; numbers are rounded.
            Ty::Text(_) | Ty::Bytes(_) => format!("{name}({}, 1)", self.to_text(e)),
            _ => format!(
                "{name}({}, 0)",
                if e.ty.approximate() || matches!(e.ty, Ty::Decimal { .. }) { e.sql.clone() } else { self.to_int(e) }
            ),
        }
    }

    /// As text a temporal function can read: numbers such as 20240102 included.
    pub(super) fn temporal_text(&self, e: &Ex) -> String {
        self.to_text(e)
    }

    pub(super) fn convert_using(&mut self, expr: &ast::Expr, charset: &str) -> Result<Ex, SqlError> {
        let e = self.expression(expr)?;
        if charset.eq_ignore_ascii_case("binary") {
            return Ok(self.to_bytes(e));
        }
        let collation = Collation::of_charset(charset).ok_or_else(|| error::unknown_character_set(charset))?;
        if !matches!(collation.charset, "utf8mb4" | "utf8mb3") {
            return Err(SqlError::unsupported(format!("CONVERT USING {charset}")));
        }
        let chars = e.ty.chars();
        Ok(Ex { nullable: e.nullable, ..Ex::new(self.to_text(&e), Ty::Text(chars)) }.collated(collation, 2))
    }

    pub(super) fn collate(&mut self, expr: &ast::Expr, name: &str) -> Result<Ex, SqlError> {
        let name = name.trim_matches(['\'', '"', '`']);
        let collation = Collation::by_name(name).ok_or_else(|| error::unknown_collation(name))?;
        let e = self.expression(expr)?;
        if collation.name == "binary" {
            return Ok(self.to_bytes(e));
        }
        let text = self.to_text(&e);
        let ty = if e.ty.textual() { e.ty.clone() } else { Ty::Text(e.ty.chars()) };
        // The parentheses matter: an explicit collation must not leak into what is built around it.
        Ok(Ex { sql: text, ty, collation, coercibility: 0, ..e })
    }
}

fn fraction_argument(digits: &Option<u64>) -> Result<u8, SqlError> {
    match digits {
        None => Ok(0),
        Some(n) if *n <= 6 => Ok(*n as u8),
        Some(n) => Err(SqlError::new(1426, "42000", format!("Too-big precision {n} specified for 'CAST'. Maximum is 6."))),
    }
}
