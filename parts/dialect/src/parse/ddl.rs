//! CREATE, ALTER, DROP, RENAME, TRUNCATE.

use pumasi_mysqlwire::SqlError;
use sqlparser::tokenizer::Token;

use super::{Name, Reader, Statement};
use crate::catalogue::{ReferentialAction, Size, Type};
use crate::error;

#[derive(Clone, Debug)]
pub struct CreateTable {
    pub name: Name,
    pub temporary: bool,
    pub if_not_exists: bool,
    /// CREATE TABLE x LIKE y.
    pub like: Option<Name>,
    pub items: Vec<TableItem>,
    pub options: TableOptions,
    /// CREATE TABLE ... AS SELECT: the SELECT's text.
    pub select: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub struct TableOptions {
    pub collation: Option<String>,
    pub comment: Option<String>,
    pub auto_increment: Option<u64>,
    pub engine: Option<String>,
}

#[derive(Clone, Debug)]
pub enum TableItem {
    Column(Box<ColumnDefinition>),
    Key(KeyDefinition),
    ForeignKey(ForeignKeyDefinition),
}

#[derive(Clone, Debug)]
pub struct ColumnDefinition {
    pub name: String,
    pub ty: Type,
    pub collation: Option<String>,
    pub nullable: Option<bool>,
    pub default: Option<DefaultDefinition>,
    pub auto_increment: bool,
    pub on_update_now: bool,
    pub comment: String,
    pub unique: bool,
    pub primary: bool,
    pub references: Option<ForeignKeyDefinition>,
}

#[derive(Clone, Debug)]
pub enum DefaultDefinition {
    Null,
    Text(String),
    Number(String),
    Bytes(Vec<u8>),
    Now(u8),
    /// `DEFAULT (expr)`, its text.
    Expression(String),
}

#[derive(Clone, Debug)]
pub struct KeyDefinition {
    pub name: Option<String>,
    pub primary: bool,
    pub unique: bool,
    pub parts: Vec<crate::catalogue::KeyPart>,
    pub comment: String,
}

#[derive(Clone, Debug)]
pub struct ForeignKeyDefinition {
    pub name: Option<String>,
    pub columns: Vec<String>,
    pub parent: Name,
    pub parent_columns: Vec<String>,
    pub on_delete: ReferentialAction,
    pub on_update: ReferentialAction,
}

#[derive(Clone, Debug)]
pub struct AlterTable {
    pub name: Name,
    pub actions: Vec<AlterAction>,
}

#[derive(Clone, Debug)]
pub enum ColumnPosition {
    Last,
    First,
    After(String),
}

#[derive(Clone, Debug)]
pub enum AlterAction {
    AddColumn {
        column: Box<ColumnDefinition>,
        position: ColumnPosition,
        if_not_exists: bool,
    },
    DropColumn {
        name: String,
        if_exists: bool,
    },
    /// CHANGE old new-definition; MODIFY names the same column twice. `None`: stays where it is.
    ChangeColumn {
        name: String,
        column: Box<ColumnDefinition>,
        position: Option<ColumnPosition>,
    },
    RenameColumn {
        from: String,
        to: String,
    },
    /// `None`: DROP DEFAULT.
    SetDefault {
        column: String,
        default: Option<DefaultDefinition>,
    },
    AddKey {
        key: KeyDefinition,
        if_not_exists: bool,
    },
    AddForeignKey(ForeignKeyDefinition),
    DropPrimaryKey,
    DropKey {
        name: String,
        if_exists: bool,
    },
    DropForeignKey(String),
    RenameKey {
        from: String,
        to: String,
    },
    Rename(Name),
    Options(TableOptions),
    /// CONVERT TO CHARACTER SET x COLLATE y.
    Convert {
        collation: String,
    },
}

impl Reader<'_> {
    pub(super) fn create(&mut self) -> Result<Statement, SqlError> {
        self.expect("CREATE")?;
        let or_replace = self.words(&["OR", "REPLACE"]);
        let temporary = self.word("TEMPORARY");
        if self.word("TABLE") {
            if or_replace {
                return Err(SqlError::unsupported("CREATE OR REPLACE TABLE"));
            }
            return self.create_table(temporary);
        }
        if temporary {
            return Err(self.syntax_here());
        }
        if self.word("DATABASE") || self.word("SCHEMA") {
            let if_not_exists = self.if_not_exists();
            let name = self.identifier()?;
            return Ok(Statement::CreateDatabase { name, if_not_exists, collation: self.database_options()? });
        }
        let unique = self.word("UNIQUE");
        if self.word("INDEX") {
            return self.create_index(unique);
        }
        if unique {
            return Err(self.syntax_here());
        }
        if self.word("ALGORITHM") {
            let _ = self.token(&Token::Eq);
            self.identifier()?;
        }
        if self.word("DEFINER") {
            let _ = self.token(&Token::Eq);
            self.skip_account()?;
        }
        if self.words(&["SQL", "SECURITY"]) {
            self.identifier()?;
        }
        if self.word("VIEW") {
            return self.create_view(or_replace);
        }
        Err(SqlError::unsupported(format!("CREATE {}", self.peek_word(0).unwrap_or_default())))
    }

    /// `user@host`, `'user'@'host'`, CURRENT_USER.
    fn skip_account(&mut self) -> Result<(), SqlError> {
        if self.string().is_err() {
            self.identifier()?;
        }
        if self.token(&Token::AtSign) {
            let _ = self.string().or_else(|_| self.identifier())?;
        } else if matches!(&self.parser.peek_token_ref().token, Token::Word(w) if w.value.starts_with('@')) {
            self.parser.advance_token();
            let _ = self.string();
        }
        Ok(())
    }

    fn create_view(&mut self, or_replace: bool) -> Result<Statement, SqlError> {
        let name = self.name()?;
        let columns = if self.parser.peek_token_ref().token == Token::LParen { self.identifiers_in_parentheses()? } else { vec![] };
        self.expect("AS")?;
        let start = self.offset();
        let text = self.sql[start..].to_owned();
        self.parser.parse_query().map_err(|e| self.syntax_error(e))?;
        let text = text[..self.offset() - start].trim().trim_end_matches(';').trim().to_owned();
        if self.word("WITH") {
            return Err(SqlError::unsupported("WITH CHECK OPTION"));
        }
        Ok(Statement::CreateView { or_replace, name, columns, select: text })
    }

    fn create_index(&mut self, unique: bool) -> Result<Statement, SqlError> {
        let if_not_exists = self.if_not_exists();
        let index = self.identifier()?;
        self.index_type()?;
        self.expect("ON")?;
        let name = self.name()?;
        let mut key = KeyDefinition { name: Some(index), primary: false, unique, parts: self.key_parts()?, comment: String::new() };
        self.key_options(&mut key)?;
        self.alter_options()?;
        Ok(Statement::AlterTable(Box::new(AlterTable { name, actions: vec![AlterAction::AddKey { key, if_not_exists }] })))
    }

    fn create_table(&mut self, temporary: bool) -> Result<Statement, SqlError> {
        let if_not_exists = self.if_not_exists();
        let name = self.name()?;
        let mut table =
            CreateTable { name, temporary, if_not_exists, like: None, items: vec![], options: TableOptions::default(), select: None };
        if self.word("LIKE") {
            table.like = Some(self.name()?);
            return Ok(Statement::CreateTable(Box::new(table)));
        }
        if self.token(&Token::LParen) {
            if self.word("LIKE") {
                table.like = Some(self.name()?);
                self.expect_token(&Token::RParen)?;
                return Ok(Statement::CreateTable(Box::new(table)));
            }
            loop {
                self.table_item(&mut table.items)?;
                if !self.token(&Token::Comma) {
                    break;
                }
            }
            self.expect_token(&Token::RParen)?;
        }
        self.table_options(&mut table.options)?;
        if self.word("IGNORE") || self.word("REPLACE") {
            return Err(SqlError::unsupported("CREATE TABLE ... IGNORE/REPLACE SELECT"));
        }
        let _ = self.word("AS");
        if !self.ended() {
            let start = self.offset();
            let text = self.sql[start..].to_owned();
            self.parser.parse_query().map_err(|e| self.syntax_error(e))?;
            table.select = Some(text[..self.offset() - start].trim_end_matches(';').to_owned());
        }
        Ok(Statement::CreateTable(Box::new(table)))
    }

    fn table_item(&mut self, items: &mut Vec<TableItem>) -> Result<(), SqlError> {
        if let Some(item) = self.constraint()? {
            items.push(item);
            return Ok(());
        }
        let column = self.column_definition()?;
        items.push(TableItem::Column(Box::new(column)));
        Ok(())
    }

    /// A key, foreign key or CHECK; `None` if a column follows.
    fn constraint(&mut self) -> Result<Option<TableItem>, SqlError> {
        let mut name = None;
        let named = self.word("CONSTRAINT");
        if named && !["PRIMARY", "UNIQUE", "FOREIGN", "CHECK"].iter().any(|w| self.at(w)) {
            name = Some(self.identifier()?);
        }
        if self.words(&["FOREIGN", "KEY"]) {
            let _ = self.if_not_exists();
            if self.parser.peek_token_ref().token != Token::LParen {
                name = name.or(Some(self.identifier()?));
            }
            let columns = self.identifiers_in_parentheses()?;
            let mut key = self.references()?;
            key.name = name;
            key.columns = columns;
            return Ok(Some(TableItem::ForeignKey(key)));
        }
        if self.at("CHECK") {
            return Err(SqlError::unsupported("CHECK constraint"));
        }
        let primary = self.words(&["PRIMARY", "KEY"]);
        let unique = !primary && self.word("UNIQUE");
        if !primary && !unique {
            if self.at("FULLTEXT") || self.at("SPATIAL") {
                return Err(SqlError::unsupported(format!("{} index", self.peek_word(0).unwrap_or_default())));
            }
            if named {
                return Err(self.syntax_here());
            }
            if !self.at("KEY") && !self.at("INDEX") {
                return Ok(None);
            }
        }
        if !primary {
            let _ = self.word("KEY") || self.word("INDEX");
            let _ = self.if_not_exists();
            if self.parser.peek_token_ref().token != Token::LParen && !self.at("USING") {
                name = Some(self.identifier()?);
            }
        }
        self.index_type()?;
        let mut key = KeyDefinition { name, primary, unique: primary || unique, parts: self.key_parts()?, comment: String::new() };
        self.key_options(&mut key)?;
        Ok(Some(TableItem::Key(key)))
    }

    fn index_type(&mut self) -> Result<(), SqlError> {
        if self.word("USING") {
            self.identifier()?;
        }
        Ok(())
    }

    fn key_parts(&mut self) -> Result<Vec<crate::catalogue::KeyPart>, SqlError> {
        self.expect_token(&Token::LParen)?;
        let mut parts = Vec::new();
        loop {
            if self.parser.peek_token_ref().token == Token::LParen {
                return Err(SqlError::unsupported("functional index"));
            }
            let column = self.identifier()?;
            let mut prefix = None;
            if self.token(&Token::LParen) {
                prefix = Some(u32::try_from(self.number()?).map_err(|_| self.syntax_here())?);
                self.expect_token(&Token::RParen)?;
            }
            let descending = self.word("DESC");
            if !descending {
                let _ = self.word("ASC");
            }
            parts.push(crate::catalogue::KeyPart { column, prefix, descending });
            if !self.token(&Token::Comma) {
                break;
            }
        }
        self.expect_token(&Token::RParen)?;
        Ok(parts)
    }

    fn key_options(&mut self, key: &mut KeyDefinition) -> Result<(), SqlError> {
        loop {
            if self.word("COMMENT") {
                key.comment = self.string()?;
            } else if self.at("USING") {
                self.index_type()?;
            } else if self.word("KEY_BLOCK_SIZE") {
                let _ = self.token(&Token::Eq);
                self.number()?;
            } else if self.word("VISIBLE") {
            } else if self.at("INVISIBLE") || self.at("WITH") {
                return Err(SqlError::unsupported(format!("index option {}", self.peek_word(0).unwrap_or_default())));
            } else {
                return Ok(());
            }
        }
    }

    /// REFERENCES parent (columns) [ON DELETE ...] [ON UPDATE ...].
    fn references(&mut self) -> Result<ForeignKeyDefinition, SqlError> {
        self.expect("REFERENCES")?;
        let parent = self.name()?;
        let parent_columns = self.identifiers_in_parentheses()?;
        let mut key = ForeignKeyDefinition {
            name: None,
            columns: vec![],
            parent,
            parent_columns,
            on_delete: ReferentialAction::NoAction,
            on_update: ReferentialAction::NoAction,
        };
        loop {
            if self.word("MATCH") {
                self.identifier()?;
            } else if self.words(&["ON", "DELETE"]) {
                key.on_delete = self.referential_action()?;
            } else if self.words(&["ON", "UPDATE"]) {
                key.on_update = self.referential_action()?;
            } else {
                return Ok(key);
            }
        }
    }

    fn referential_action(&mut self) -> Result<ReferentialAction, SqlError> {
        if self.word("CASCADE") {
            Ok(ReferentialAction::Cascade)
        } else if self.word("RESTRICT") {
            Ok(ReferentialAction::Restrict)
        } else if self.words(&["SET", "NULL"]) {
            Ok(ReferentialAction::SetNull)
        } else if self.words(&["NO", "ACTION"]) {
            Ok(ReferentialAction::NoAction)
        } else if self.words(&["SET", "DEFAULT"]) {
            Err(SqlError::unsupported("SET DEFAULT as a referential action"))
        } else {
            Err(self.syntax_here())
        }
    }

    fn column_definition(&mut self) -> Result<ColumnDefinition, SqlError> {
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
                return Err(SqlError::unsupported("CHECK constraint"));
            } else if self.word("VISIBLE") {
            } else if self.at("INVISIBLE") || self.at("COLUMN_FORMAT") || self.at("STORAGE") || self.at("SRID") {
                return Err(SqlError::unsupported(format!("column option {}", self.peek_word(0).unwrap_or_default())));
            } else {
                return Ok(column);
            }
        }
    }

    fn default_value(&mut self) -> Result<DefaultDefinition, SqlError> {
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
            Token::LParen if !minus => {
                self.parser.advance_token();
                let start = self.offset();
                self.expression()?;
                let text = self.sql[start..self.offset()].trim().to_owned();
                self.expect_token(&Token::RParen)?;
                Ok(DefaultDefinition::Expression(text))
            }
            Token::Word(word) if word.value.starts_with('_') && !minus => {
                // A character set introducer before the text.
                self.parser.advance_token();
                Ok(DefaultDefinition::Text(self.string()?))
            }
            _ => Err(self.syntax_here()),
        }
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

    fn table_options(&mut self, options: &mut TableOptions) -> Result<(), SqlError> {
        loop {
            let _ = self.token(&Token::Comma);
            let _ = self.word("DEFAULT");
            let Some(word) = self.peek_word(0) else { return Ok(()) };
            match word.as_str() {
                "CHARSET" | "CHARACTER" => {
                    self.parser.advance_token();
                    if word == "CHARACTER" {
                        self.expect("SET")?;
                    }
                    let _ = self.token(&Token::Eq);
                    let charset = self.charset_name()?.unwrap_or_else(|| "utf8mb4".to_owned());
                    let collation =
                        crate::collation::Collation::of_charset(&charset).ok_or_else(|| error::unknown_character_set(&charset))?;
                    options.collation.get_or_insert(collation.name.to_owned());
                }
                "COLLATE" => {
                    self.parser.advance_token();
                    let _ = self.token(&Token::Eq);
                    let name = self.charset_name()?.unwrap_or_default();
                    let collation = crate::collation::Collation::by_name(&name).ok_or_else(|| error::unknown_collation(&name))?;
                    options.collation = Some(collation.name.to_owned());
                }
                "COMMENT" => {
                    self.parser.advance_token();
                    let _ = self.token(&Token::Eq);
                    options.comment = Some(self.string()?);
                }
                "AUTO_INCREMENT" => {
                    self.parser.advance_token();
                    let _ = self.token(&Token::Eq);
                    options.auto_increment = Some(self.number()?);
                }
                "ENGINE" => {
                    self.parser.advance_token();
                    let _ = self.token(&Token::Eq);
                    options.engine = Some(self.string().or_else(|_| self.identifier())?);
                }
                // How InnoDB would lay out its files: no meaning here, and none for results.
                "ROW_FORMAT" | "KEY_BLOCK_SIZE" | "STATS_PERSISTENT" | "STATS_AUTO_RECALC" | "STATS_SAMPLE_PAGES" | "PACK_KEYS"
                | "CHECKSUM" | "DELAY_KEY_WRITE" | "MAX_ROWS" | "MIN_ROWS" | "AVG_ROW_LENGTH" | "COMPRESSION" => {
                    self.parser.advance_token();
                    let _ = self.token(&Token::Eq);
                    self.parser.advance_token();
                }
                "PARTITION" | "TABLESPACE" | "DATA" | "INDEX" | "ENCRYPTION" | "UNION" | "CONNECTION" => {
                    return Err(SqlError::unsupported(format!("table option {word}")));
                }
                _ => return Ok(()),
            }
        }
    }

    fn database_options(&mut self) -> Result<Option<String>, SqlError> {
        let mut options = TableOptions::default();
        self.table_options(&mut options)?;
        Ok(options.collation)
    }

    pub(super) fn alter(&mut self) -> Result<Statement, SqlError> {
        self.expect("ALTER")?;
        if self.word("DATABASE") || self.word("SCHEMA") {
            let option = ["CHARACTER", "CHARSET", "COLLATE", "DEFAULT"].iter().any(|w| self.at(w));
            let name = if option { None } else { Some(self.identifier()?) };
            return Ok(Statement::AlterDatabase { name, collation: self.database_options()? });
        }
        let _ = self.word("ONLINE") || self.word("IGNORE");
        if !self.word("TABLE") {
            return Err(SqlError::unsupported(format!("ALTER {}", self.peek_word(0).unwrap_or_default())));
        }
        let _ = self.if_exists();
        let name = self.name()?;
        let mut actions = Vec::new();
        while !self.ended() {
            if !self.alter_options()? {
                self.alter_action(&mut actions)?;
            }
            if !self.token(&Token::Comma) && !self.ended() && !self.at("ALGORITHM") && !self.at("LOCK") {
                return Err(self.syntax_here());
            }
        }
        Ok(Statement::AlterTable(Box::new(AlterTable { name, actions })))
    }

    /// ALGORITHM=..., LOCK=...: how MySQL should go about it.
    fn alter_options(&mut self) -> Result<bool, SqlError> {
        let mut any = false;
        while self.at("ALGORITHM") || self.at("LOCK") {
            self.parser.advance_token();
            let _ = self.token(&Token::Eq);
            self.identifier()?;
            any = true;
        }
        Ok(any)
    }

    fn alter_action(&mut self, actions: &mut Vec<AlterAction>) -> Result<(), SqlError> {
        if self.word("ADD") {
            return self.alter_add(actions);
        }
        if self.word("DROP") {
            actions.push(self.alter_drop()?);
            return Ok(());
        }
        let action = if self.word("CHANGE") {
            let _ = self.word("COLUMN");
            let name = self.identifier()?;
            let column = Box::new(self.column_definition()?);
            AlterAction::ChangeColumn { name, column, position: self.position()? }
        } else if self.word("MODIFY") {
            let _ = self.word("COLUMN");
            let column = Box::new(self.column_definition()?);
            AlterAction::ChangeColumn { name: column.name.clone(), column, position: self.position()? }
        } else if self.word("RENAME") {
            self.alter_rename()?
        } else if self.word("ALTER") {
            if self.at("INDEX") || self.at("CHECK") || self.at("CONSTRAINT") {
                return Err(SqlError::unsupported("ALTER TABLE ... ALTER INDEX or CHECK"));
            }
            let _ = self.word("COLUMN");
            let column = self.identifier()?;
            if self.words(&["DROP", "DEFAULT"]) {
                AlterAction::SetDefault { column, default: None }
            } else {
                self.expect("SET")?;
                self.expect("DEFAULT")?;
                AlterAction::SetDefault { column, default: Some(self.default_value()?) }
            }
        } else if self.words(&["CONVERT", "TO"]) {
            let mut options = TableOptions::default();
            self.table_options(&mut options)?;
            AlterAction::Convert { collation: options.collation.ok_or_else(|| self.syntax_here())? }
        } else if self.words(&["ENABLE", "KEYS"]) || self.words(&["DISABLE", "KEYS"]) || self.word("FORCE") {
            return Ok(());
        } else if self.at("ORDER")
            || self.at("DISCARD")
            || self.at("IMPORT")
            || self.at("EXCHANGE")
            || self.at("TRUNCATE")
            || self.at("COALESCE")
        {
            return Err(SqlError::unsupported(format!("ALTER TABLE ... {}", self.peek_word(0).unwrap_or_default())));
        } else {
            let before = self.offset();
            let mut options = TableOptions::default();
            self.table_options(&mut options)?;
            if self.offset() == before {
                return Err(self.syntax_here());
            }
            AlterAction::Options(options)
        };
        actions.push(action);
        Ok(())
    }

    fn alter_add(&mut self, actions: &mut Vec<AlterAction>) -> Result<(), SqlError> {
        match self.constraint()? {
            Some(TableItem::Key(key)) => {
                actions.push(AlterAction::AddKey { key, if_not_exists: false });
                return Ok(());
            }
            Some(TableItem::ForeignKey(key)) => {
                actions.push(AlterAction::AddForeignKey(key));
                return Ok(());
            }
            _ => {}
        }
        let _ = self.word("COLUMN");
        let if_not_exists = self.if_not_exists();
        if self.token(&Token::LParen) {
            loop {
                let column = Box::new(self.column_definition()?);
                actions.push(AlterAction::AddColumn { column, position: ColumnPosition::Last, if_not_exists });
                if !self.token(&Token::Comma) {
                    break;
                }
            }
            return self.expect_token(&Token::RParen);
        }
        let column = Box::new(self.column_definition()?);
        let position = self.position()?.unwrap_or(ColumnPosition::Last);
        actions.push(AlterAction::AddColumn { column, position, if_not_exists });
        Ok(())
    }

    fn position(&mut self) -> Result<Option<ColumnPosition>, SqlError> {
        if self.word("FIRST") {
            Ok(Some(ColumnPosition::First))
        } else if self.word("AFTER") {
            Ok(Some(ColumnPosition::After(self.identifier()?)))
        } else {
            Ok(None)
        }
    }

    fn alter_drop(&mut self) -> Result<AlterAction, SqlError> {
        if self.words(&["PRIMARY", "KEY"]) {
            return Ok(AlterAction::DropPrimaryKey);
        }
        if self.words(&["FOREIGN", "KEY"]) {
            let _ = self.if_exists();
            return Ok(AlterAction::DropForeignKey(self.identifier()?));
        }
        if self.at("CHECK") || self.at("PARTITION") {
            return Err(SqlError::unsupported(format!("ALTER TABLE ... DROP {}", self.peek_word(0).unwrap_or_default())));
        }
        if self.word("KEY") || self.word("INDEX") || self.word("CONSTRAINT") {
            let if_exists = self.if_exists();
            return Ok(AlterAction::DropKey { name: self.identifier()?, if_exists });
        }
        let _ = self.word("COLUMN");
        let if_exists = self.if_exists();
        let name = self.identifier()?;
        let _ = self.word("CASCADE") || self.word("RESTRICT");
        Ok(AlterAction::DropColumn { name, if_exists })
    }

    fn alter_rename(&mut self) -> Result<AlterAction, SqlError> {
        if self.word("COLUMN") {
            let from = self.identifier()?;
            self.expect("TO")?;
            return Ok(AlterAction::RenameColumn { from, to: self.identifier()? });
        }
        if self.word("KEY") || self.word("INDEX") {
            let from = self.identifier()?;
            self.expect("TO")?;
            return Ok(AlterAction::RenameKey { from, to: self.identifier()? });
        }
        let _ = self.word("TO") || self.word("AS");
        Ok(AlterAction::Rename(self.name()?))
    }

    pub(super) fn drop(&mut self) -> Result<Statement, SqlError> {
        self.expect("DROP")?;
        let temporary = self.word("TEMPORARY");
        if self.word("TABLE") || self.word("TABLES") {
            let if_exists = self.if_exists();
            let names = self.names()?;
            let _ = self.word("CASCADE") || self.word("RESTRICT");
            return Ok(Statement::DropTables { names, if_exists, temporary });
        }
        if self.word("VIEW") {
            let if_exists = self.if_exists();
            let names = self.names()?;
            let _ = self.word("CASCADE") || self.word("RESTRICT");
            return Ok(Statement::DropViews { names, if_exists });
        }
        if self.word("DATABASE") || self.word("SCHEMA") {
            let if_exists = self.if_exists();
            return Ok(Statement::DropDatabase { name: self.identifier()?, if_exists });
        }
        if self.word("INDEX") {
            let if_exists = self.if_exists();
            let index = self.identifier()?;
            self.expect("ON")?;
            let name = self.name()?;
            self.alter_options()?;
            let action = if index.eq_ignore_ascii_case("PRIMARY") {
                AlterAction::DropPrimaryKey
            } else {
                AlterAction::DropKey { name: index, if_exists }
            };
            return Ok(Statement::AlterTable(Box::new(AlterTable { name, actions: vec![action] })));
        }
        Err(SqlError::unsupported(format!("DROP {}", self.peek_word(0).unwrap_or_default())))
    }

    pub(super) fn rename(&mut self) -> Result<Statement, SqlError> {
        self.expect("RENAME")?;
        if !self.word("TABLE") {
            return Err(SqlError::unsupported(format!("RENAME {}", self.peek_word(0).unwrap_or_default())));
        }
        let mut pairs = Vec::new();
        loop {
            let from = self.name()?;
            self.expect("TO")?;
            pairs.push((from, self.name()?));
            if !self.token(&Token::Comma) {
                return Ok(Statement::RenameTables(pairs));
            }
        }
    }

    pub(super) fn truncate(&mut self) -> Result<Statement, SqlError> {
        self.expect("TRUNCATE")?;
        let _ = self.word("TABLE");
        Ok(Statement::Truncate(self.name()?))
    }
}

// === helpers ===

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
