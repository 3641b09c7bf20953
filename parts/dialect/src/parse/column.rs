//! A column of CREATE and ALTER TABLE: its type, default and attributes.

use pumasi_mysqlwire::SqlError;
use sqlparser::tokenizer::Token;

use super::Reader;
use super::definition::{ColumnDefinition, DefaultDefinition};
use crate::catalogue::{Size, Type};
use crate::error;

impl Reader<'_> {
    pub(super) fn column_definition(&mut self) -> Result<ColumnDefinition, SqlError> {
        let name = self.identifier()?;
        let (ty, serial) = self.column_type()?;
        let mut column = ColumnDefinition {
            name,
            ty,
            collation: None,
            nullable: None,
            default: None,
            auto_increment: serial,
            on_update_now: false,
            comment: String::new(),
            unique: serial,
            primary: false,
            references: None,
            checks: vec![],
        };
        if serial {
            column.nullable = Some(false);
        }
        loop {
            if self.words(&["CHARACTER", "SET"]) || self.word("CHARSET") {
                let charset = self.charset_name()?.unwrap_or_default();
                if charset.eq_ignore_ascii_case("binary") {
                    column.ty = as_binary(column.ty);
                } else {
                    let collation =
                        crate::collation::Collation::of_charset(&charset).ok_or_else(|| error::unknown_character_set(&charset))?;
                    column.collation.get_or_insert(collation.name.to_owned());
                }
            } else if self.word("COLLATE") {
                let name = self.charset_name()?.unwrap_or_default();
                let collation = crate::collation::Collation::by_name(&name).ok_or_else(|| error::unknown_collation(&name))?;
                column.collation = Some(collation.name.to_owned());
            } else if self.words(&["NOT", "NULL"]) {
                column.nullable = Some(false);
            } else if self.word("NULL") {
                column.nullable = Some(true);
            } else if self.word("DEFAULT") {
                column.default = Some(self.default_value()?);
            } else if self.words(&["ON", "UPDATE"]) {
                self.now_function()?.ok_or_else(|| self.syntax_here())?;
                column.on_update_now = true;
            } else if self.word("AUTO_INCREMENT") {
                column.auto_increment = true;
            } else if self.words(&["PRIMARY", "KEY"]) {
                column.primary = true;
            } else if self.word("UNIQUE") {
                let _ = self.word("KEY");
                column.unique = true;
            } else if self.word("KEY") {
                column.primary = true;
            } else if self.word("COMMENT") {
                column.comment = self.string()?;
            } else if self.at("REFERENCES") {
                let mut key = self.references()?;
                key.columns = vec![column.name.clone()];
                column.references = Some(key);
            } else if self.at("GENERATED") || self.at("AS") || self.at("VIRTUAL") || self.at("STORED") {
                return Err(SqlError::unsupported("generated column"));
            } else if self.at("CHECK") || self.at("CONSTRAINT") {
                let name = if self.word("CONSTRAINT") && !self.at("CHECK") { Some(self.identifier()?) } else { None };
                column.checks.push(self.check(name)?);
            } else if self.word("VISIBLE") {
            } else if self.at("INVISIBLE") || self.at("COLUMN_FORMAT") || self.at("STORAGE") || self.at("SRID") {
                return Err(SqlError::unsupported(format!("column option {}", self.peek_word(0).unwrap_or_default())));
            } else {
                return Ok(column);
            }
        }
    }

    pub(super) fn default_value(&mut self) -> Result<DefaultDefinition, SqlError> {
        if self.word("NULL") {
            return Ok(DefaultDefinition::Null);
        }
        if self.word("TRUE") {
            return Ok(DefaultDefinition::Number("1".to_owned()));
        }
        if self.word("FALSE") {
            return Ok(DefaultDefinition::Number("0".to_owned()));
        }
        if let Some(digits) = self.now_function()? {
            return Ok(DefaultDefinition::Now(digits));
        }
        let minus = self.token(&Token::Minus);
        match self.parser.peek_token_ref().token.clone() {
            Token::Number(text, _) => {
                self.parser.advance_token();
                Ok(DefaultDefinition::Number(if minus { format!("-{text}") } else { text }))
            }
            Token::SingleQuotedString(text) | Token::DoubleQuotedString(text) if !minus => {
                self.parser.advance_token();
                Ok(DefaultDefinition::Text(text))
            }
            Token::SingleQuotedByteStringLiteral(bits) if !minus => {
                self.parser.advance_token();
                let value = u64::from_str_radix(&bits, 2).map_err(|_| self.syntax_here())?;
                Ok(DefaultDefinition::Number(value.to_string()))
            }
            Token::HexStringLiteral(digits) if !minus => {
                self.parser.advance_token();
                Ok(DefaultDefinition::Bytes(crate::text::unhex(&digits).ok_or_else(|| self.syntax_here())?))
            }
            Token::LParen if !minus => Ok(DefaultDefinition::Expression(self.expression_in_parentheses()?)),
            Token::Word(word) if word.value.starts_with('_') && !minus => {
                // A character set introducer before the text.
                self.parser.advance_token();
                Ok(DefaultDefinition::Text(self.string()?))
            }
            _ => Err(self.syntax_here()),
        }
    }

    /// The text between the parentheses.
    pub(super) fn expression_in_parentheses(&mut self) -> Result<String, SqlError> {
        self.expect_token(&Token::LParen)?;
        let start = self.offset();
        self.expression()?;
        let text = self.sql[start..self.offset()].trim().to_owned();
        self.expect_token(&Token::RParen)?;
        Ok(text)
    }

    /// CURRENT_TIMESTAMP and its other names, with the digits of its fraction.
    fn now_function(&mut self) -> Result<Option<u8>, SqlError> {
        let names = ["CURRENT_TIMESTAMP", "NOW", "LOCALTIME", "LOCALTIMESTAMP"];
        if !names.iter().any(|name| self.at(name)) {
            return Ok(None);
        }
        self.parser.advance_token();
        let mut digits = 0;
        if self.token(&Token::LParen) && !self.token(&Token::RParen) {
            digits = u8::try_from(self.number()?).ok().filter(|d| *d <= 6).ok_or_else(|| self.syntax_here())?;
            self.expect_token(&Token::RParen)?;
        }
        Ok(Some(digits))
    }

    /// A column's type, and whether it was SERIAL.
    fn column_type(&mut self) -> Result<(Type, bool), SqlError> {
        let word = self.peek_word(0).ok_or_else(|| self.syntax_here())?;
        let at = self.parser.peek_token_ref().span.start;
        self.parser.advance_token();
        let int = |bytes| Type::Int { bytes, unsigned: false, boolean: false };
        let ty = match word.as_str() {
            "TINYINT" | "INT1" => int(1),
            "SMALLINT" | "INT2" => int(2),
            "MEDIUMINT" | "INT3" | "MIDDLEINT" => int(3),
            "INT" | "INTEGER" | "INT4" => int(4),
            "BIGINT" | "INT8" => int(8),
            "BOOL" | "BOOLEAN" => return Ok((Type::Int { bytes: 1, unsigned: false, boolean: true }, false)),
            "SERIAL" => return Ok((Type::Int { bytes: 8, unsigned: true, boolean: false }, true)),
            "DECIMAL" | "NUMERIC" | "DEC" | "FIXED" => {
                let (precision, scale) = self.precision_scale()?.unwrap_or((10, None));
                decimal(precision, scale.unwrap_or(0))?
            }
            "FLOAT" => match self.precision_scale()? {
                Some((25..=53, None)) => Type::Double,
                Some((_, Some(_))) => return Err(SqlError::unsupported("FLOAT(M,D)")),
                _ => Type::Float,
            },
            "DOUBLE" | "REAL" => {
                let _ = self.word("PRECISION");
                if self.precision_scale()?.is_some() {
                    return Err(SqlError::unsupported("DOUBLE(M,D)"));
                }
                Type::Double
            }
            "BIT" => {
                let bits = self.length()?.unwrap_or(1);
                if !(1..=63).contains(&bits) {
                    return Err(SqlError::unsupported(format!("BIT({bits})")));
                }
                Type::Bit(bits as u8)
            }
            "CHAR" | "CHARACTER" | "NCHAR" => {
                if self.word("VARYING") {
                    Type::VarChar(self.length()?.ok_or_else(|| self.syntax_here())?)
                } else {
                    Type::Char(self.length()?.unwrap_or(1))
                }
            }
            "VARCHAR" | "NVARCHAR" | "VARCHARACTER" => Type::VarChar(self.length()?.ok_or_else(|| self.syntax_here())?),
            "BINARY" => Type::Binary(self.length()?.unwrap_or(1)),
            "VARBINARY" => Type::VarBinary(self.length()?.ok_or_else(|| self.syntax_here())?),
            "TINYTEXT" => Type::Text(Size::Tiny),
            "TEXT" => Type::Text(sized(self.length()?)),
            "MEDIUMTEXT" | "LONG" => Type::Text(Size::Medium),
            "LONGTEXT" => Type::Text(Size::Long),
            "TINYBLOB" => Type::Blob(Size::Tiny),
            "BLOB" => Type::Blob(sized(self.length()?)),
            "MEDIUMBLOB" => Type::Blob(Size::Medium),
            "LONGBLOB" => Type::Blob(Size::Long),
            "DATE" => Type::Date,
            "TIME" => Type::Time(self.fraction()?),
            "DATETIME" => Type::DateTime(self.fraction()?),
            "TIMESTAMP" => Type::Timestamp(self.fraction()?),
            "YEAR" => {
                let _ = self.length()?;
                Type::Year
            }
            "JSON" => Type::Json,
            "ENUM" => Type::Enum(self.string_list()?),
            "SET" => Type::Set(self.string_list()?),
            "GEOMETRY" | "POINT" | "LINESTRING" | "POLYGON" | "MULTIPOINT" | "MULTILINESTRING" | "MULTIPOLYGON" | "GEOMETRYCOLLECTION"
            | "INET6" | "INET4" | "UUID" | "VECTOR" => return Err(SqlError::unsupported(format!("type {word}"))),
            _ => return Err(super::syntax_at(self.sql, at)),
        };
        self.number_attributes(ty).map(|ty| (ty, false))
    }

    /// `(11)`, UNSIGNED, SIGNED, ZEROFILL after a number's type.
    fn number_attributes(&mut self, mut ty: Type) -> Result<Type, SqlError> {
        if let Type::Int { bytes, boolean, .. } = &mut ty {
            let width = self.length()?;
            *boolean = *bytes == 1 && width == Some(1);
        }
        loop {
            if self.word("UNSIGNED") {
                match &mut ty {
                    Type::Int { unsigned, boolean, .. } => {
                        *unsigned = true;
                        *boolean = false;
                    }
                    Type::Decimal { unsigned, .. } => *unsigned = true,
                    Type::Float | Type::Double => return Err(SqlError::unsupported("unsigned FLOAT and DOUBLE")),
                    _ => return Err(self.syntax_here()),
                }
            } else if self.at("ZEROFILL") {
                return Err(SqlError::unsupported("ZEROFILL"));
            } else if !self.word("SIGNED") {
                return Ok(ty);
            }
        }
    }

    fn length(&mut self) -> Result<Option<u32>, SqlError> {
        if !self.token(&Token::LParen) {
            return Ok(None);
        }
        let length = u32::try_from(self.number()?).map_err(|_| self.syntax_here())?;
        self.expect_token(&Token::RParen)?;
        Ok(Some(length))
    }

    fn fraction(&mut self) -> Result<u8, SqlError> {
        let digits = self.length()?.unwrap_or(0);
        u8::try_from(digits)
            .ok()
            .filter(|d| *d <= 6)
            .ok_or_else(|| SqlError::new(1426, "42000", format!("Too-big precision {digits} specified. Maximum is 6.")))
    }

    fn precision_scale(&mut self) -> Result<Option<(u64, Option<u64>)>, SqlError> {
        if !self.token(&Token::LParen) {
            return Ok(None);
        }
        let precision = self.number()?;
        let scale = if self.token(&Token::Comma) { Some(self.number()?) } else { None };
        self.expect_token(&Token::RParen)?;
        Ok(Some((precision, scale)))
    }

    fn string_list(&mut self) -> Result<Vec<String>, SqlError> {
        self.expect_token(&Token::LParen)?;
        let mut values = vec![self.string()?];
        while self.token(&Token::Comma) {
            values.push(self.string()?);
        }
        self.expect_token(&Token::RParen)?;
        Ok(values)
    }
}

fn decimal(precision: u64, scale: u64) -> Result<Type, SqlError> {
    use crate::decimal::{PRECISION_MAX, SCALE_MAX};
    let (precision, scale) = (if precision == 0 { 10 } else { precision }, scale);
    if precision > u64::from(PRECISION_MAX) {
        return Err(SqlError::unsupported(format!("DECIMAL({precision},{scale}): more than {PRECISION_MAX} digits")));
    }
    if scale > u64::from(SCALE_MAX) || scale > precision {
        return Err(SqlError::new(1427, "42000", "For float(M,D), double(M,D) or decimal(M,D), M must be >= D"));
    }
    Ok(Type::Decimal { precision: precision as u8, scale: scale as u8, unsigned: false })
}

/// TEXT(n) and BLOB(n) are the smallest kind that holds n.
fn sized(length: Option<u32>) -> Size {
    match length {
        None | Some(256..=65_535) => Size::Normal,
        Some(0..=255) => Size::Tiny,
        Some(65_536..=16_777_215) => Size::Medium,
        Some(_) => Size::Long,
    }
}

fn as_binary(ty: Type) -> Type {
    match ty {
        Type::Char(n) => Type::Binary(n),
        Type::VarChar(n) => Type::VarBinary(n),
        Type::Text(size) => Type::Blob(size),
        other => other,
    }
}
