//! Functions that look back on the statement before: LAST_INSERT_ID(), FOUND_ROWS(), ROW_COUNT(), SHOW WARNINGS.
//!
//! The statement before may have run on a connection that serves somebody else by now. What can be carried is carried, what can be answered
//! is answered here, and what can be neither is refused in words.

use std::rc::Rc;

use pumasi_mysqlwire::{Capabilities, Column, ColumnFlags, ColumnType, SqlError, ValueRef, cursor::put_lenenc_int, put_text_row};
use pumasi_sqltext::{Token, Tokens};

use super::{
    super::{
        nature::{LooksBack, Nature},
        pool::Pool,
        route::Role,
    },
    Client, Relayed, Trouble,
};

/// What the statement before left for functions that look back.
#[derive(Default)]
pub(super) struct Last {
    /// The connection it ran on, and how many statements had run there.
    pub(super) place: Option<(Rc<Pool>, u64, u64)>,
    pub(super) affected_rows: i64,
    pub(super) found_rows: u64,
}

impl Client {
    /// Brings what a statement looks back on to where it will run. True: it is answered.
    pub(super) async fn look_back(&mut self, back: LooksBack, sql: &[u8], nature: Nature) -> Result<bool, Trouble> {
        if back == LooksBack::InsertId || !(nature.reads || nature.controls) {
            self.leave_replica();
        }
        if back == LooksBack::InsertId {
            self.acquire(sql, nature).await?;
            self.bring_insert_id().await?;
            return Ok(false);
        }
        if self.lease.is_some() {
            // Nobody else has used the connection since.
            return Ok(false);
        }
        if let Some((pool, number, uses)) = &self.last.place
            && (pool.server.role == Role::Primary || nature.reads && back != LooksBack::InsertId)
            && let Some(lease) = pool.same_again(*number, *uses)
        {
            if lease.backend.state == self.state {
                self.lease = Some(lease);
                return Ok(false);
            }
            lease.release();
        }
        match back {
            LooksBack::InsertId => unreachable!("dealt with above"),
            LooksBack::Warnings => {
                // A statement with warnings keeps its connection, so there were none; nor must there be another client's.
                self.acquire(sql, nature).await?;
                self.run_own("DO 0").await?;
                Ok(false)
            }
            LooksBack::FoundRows => self.answer_number(sql, "FOUND_ROWS", self.last.found_rows.to_string()),
            LooksBack::RowCount => self.answer_number(sql, "ROW_COUNT", self.last.affected_rows.to_string()),
        }
    }

    /// `SELECT function()`, with or without an alias, answered here; anything else that uses the function is refused.
    pub(super) fn answer_number(&mut self, sql: &[u8], function: &str, number: String) -> Result<bool, Trouble> {
        let Some(name) = only_column(sql, function) else {
            let message = format!(
                "{function}() about a statement whose server connection has been given to another client. Ask in the form 'SELECT {function}()', or within a transaction"
            );
            return Err(SqlError::new(1235, "42000", message).into());
        };
        let column = Column {
            schema: String::new(),
            table: String::new(),
            org_table: String::new(),
            name,
            org_name: String::new(),
            collation: 63,
            length: 21,
            kind: ColumnType::LongLong,
            flags: ColumnFlags(ColumnFlags::NOT_NULL | ColumnFlags::BINARY | ColumnFlags::NUM),
            decimals: 0,
        };
        self.link.packet(|out| put_lenenc_int(out, 1));
        self.link.packet(|out| column.encode(out));
        if !self.capabilities.contains(Capabilities::DEPRECATE_EOF) {
            self.put_eof();
        }
        self.link.packet(|out| put_text_row(out, &[ValueRef::Bytes(number.as_bytes())]));
        self.put_eof();
        Ok(true)
    }

    /// Remembers what a later statement may look back on.
    pub(super) fn remember(&mut self, relayed: &Relayed) {
        if let Some(lease) = &mut self.lease {
            lease.backend.uses += 1;
            self.last.place = Some((lease.pool.clone(), lease.backend.number, lease.backend.uses));
        }
        if relayed.failed {
            self.last.affected_rows = -1;
            return;
        }
        match relayed.affected_rows {
            Some(affected) => self.last.affected_rows = i64::try_from(affected).unwrap_or(i64::MAX),
            None => {
                self.last.affected_rows = -1;
                self.last.found_rows = relayed.last_rows;
            }
        }
    }

    /// A prepared statement that looks back in a way that cannot be answered here needs the connection of the statement before.
    pub(super) fn require_same_connection(&mut self, back: LooksBack) -> Result<(), Trouble> {
        let same = self.last.place.as_ref().and_then(|(pool, number, uses)| pool.same_again(*number, *uses));
        match same {
            Some(lease) if lease.backend.state == self.state => {
                self.lease = Some(lease);
                Ok(())
            }
            other => {
                if let Some(lease) = other {
                    lease.release();
                }
                let message = format!(
                    "{back:?} about a statement whose server connection has been given to another client. Ask within a transaction"
                );
                Err(SqlError::new(1235, "42000", message).into())
            }
        }
    }
}

// === helpers ===

/// The name of the one column of `SELECT function() [[AS] name]`; `None` if the statement is anything else.
pub(super) fn only_column(sql: &[u8], function: &str) -> Option<String> {
    let tokens: Vec<Token<'_>> = Tokens::new(sql).take_while(|token| *token != Token::Sign(b';')).take(8).collect();
    let [select, name, Token::Sign(b'('), Token::Sign(b')'), rest @ ..] = tokens.as_slice() else { return None };
    if !select.is("select") || !name.is(function) {
        return None;
    }
    let written = |name: &[u8]| String::from_utf8_lossy(name).trim_matches('`').to_owned();
    match rest {
        [] => Some(format!("{}()", if let Token::Word(name) = name { written(name) } else { return None })),
        [Token::Word(alias) | Token::Quoted(alias)] => Some(written(alias)),
        [as_word, Token::Word(alias) | Token::Quoted(alias)] if as_word.is("as") => Some(written(alias)),
        _ => None,
    }
}
