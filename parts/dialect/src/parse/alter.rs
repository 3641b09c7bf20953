//! ALTER TABLE.

use pumasi_mysqlwire::SqlError;
use sqlparser::tokenizer::Token;

use super::definition::{AlterAction, AlterTable, ColumnPosition, TableItem, TableOptions};
use super::{Reader, Statement};

impl Reader<'_> {
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
    pub(super) fn alter_options(&mut self) -> Result<bool, SqlError> {
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
            if self.at("INDEX") {
                return Err(SqlError::unsupported("ALTER TABLE ... ALTER INDEX"));
            }
            if self.word("CHECK") || self.word("CONSTRAINT") {
                let name = self.identifier()?;
                let enforced = self.enforcement()?.ok_or_else(|| self.syntax_here())?;
                actions.push(AlterAction::EnforceCheck { name, enforced });
                return Ok(());
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
            Some(TableItem::Check(check)) => {
                actions.push(AlterAction::AddCheck(check));
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
        if self.word("CHECK") {
            return Ok(AlterAction::DropCheck(self.identifier()?));
        }
        if self.at("PARTITION") {
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
}
