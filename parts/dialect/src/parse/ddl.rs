//! CREATE, DROP, RENAME, TRUNCATE.

use pumasi_mysqlwire::SqlError;
use sqlparser::tokenizer::Token;

use super::definition::{
    AlterAction, AlterTable, CheckDefinition, CreateTable, ForeignKeyDefinition, KeyDefinition, TableItem, TableOptions,
};
use super::{Reader, Statement};
use crate::catalogue::ReferentialAction;
use crate::error;

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
    pub(super) fn constraint(&mut self) -> Result<Option<TableItem>, SqlError> {
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
            return Ok(Some(TableItem::Check(self.check(name)?)));
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

    /// CHECK (expression) [[NOT] ENFORCED].
    pub(super) fn check(&mut self, name: Option<String>) -> Result<CheckDefinition, SqlError> {
        self.expect("CHECK")?;
        let expression = self.expression_in_parentheses()?;
        Ok(CheckDefinition { name, expression, enforced: self.enforcement()?.unwrap_or(true) })
    }

    /// ENFORCED, NOT ENFORCED, or neither.
    pub(super) fn enforcement(&mut self) -> Result<Option<bool>, SqlError> {
        if self.words(&["NOT", "ENFORCED"]) {
            return Ok(Some(false));
        }
        Ok(self.word("ENFORCED").then_some(true))
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
    pub(super) fn references(&mut self) -> Result<ForeignKeyDefinition, SqlError> {
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

    pub(super) fn table_options(&mut self, options: &mut TableOptions) -> Result<(), SqlError> {
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

    pub(super) fn database_options(&mut self) -> Result<Option<String>, SqlError> {
        let mut options = TableOptions::default();
        self.table_options(&mut options)?;
        Ok(options.collation)
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
