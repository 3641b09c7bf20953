//! LAST_INSERT_ID() of a session whose statements run on many connections.
//!
//! An OK packet tells the number of a row that was inserted: of one the server made up, which LAST_INSERT_ID() is from then on, or of one that
//! the statement itself gave, which it is not. Where the text leaves no doubt, the number is simply known. Otherwise only the connection knows,
//! and it is asked before it forgets: when the next client takes it over.

use std::{cell::Cell, rc::Rc};

use pumasi_mysqlwire::Command;
use pumasi_sqltext::{Token, Tokens};

use super::{
    super::{
        nature::{LooksBack, Nature},
        pool::{Lease, Pool},
    },
    Client, Relayed, Trouble,
};

/// Filled with the answer when the connection is asked.
pub type Asked = Rc<Cell<Option<u64>>>;

#[derive(Default)]
pub(super) struct InsertId {
    /// As the last OK packet had it.
    told: u64,
    /// Only a connection knows better; the second is its number.
    doubt: Option<(Asked, Rc<Pool>, u64)>,
    /// Counts the changes.
    version: u64,
}

impl Client {
    /// Before a statement that asks for it runs on the leased connection.
    pub(super) async fn bring_insert_id(&mut self) -> Result<(), Trouble> {
        let owner = (self.place.entry.id, self.insert_id.version);
        if self.lease_mut().backend.insert_id.owner == Some(owner) {
            return Ok(());
        }
        let id = self.settled_insert_id().await;
        self.run_own(&format!("SET SESSION last_insert_id={id}")).await?;
        self.lease_mut().backend.insert_id.owner = Some(owner);
        Ok(())
    }

    async fn settled_insert_id(&mut self) -> u64 {
        if let Some((asked, pool, number)) = self.insert_id.doubt.take() {
            if asked.get().is_none()
                && let Some(mut lease) = pool.idle(number)
            {
                // Broken meanwhile: closed, and what the OK packet said has to do.
                if let Ok(Ok(())) = lease.backend.ask_insert_id().await {
                    lease.release();
                }
            }
            self.insert_id.told = asked.get().unwrap_or(self.insert_id.told);
        }
        self.insert_id.told
    }

    /// Asks a connection that was another client's for what that one may still want to know.
    pub(super) async fn leave_insert_id(&self, lease: &mut Lease) -> Result<(), Trouble> {
        let Some(asked) = &lease.backend.insert_id.asked else { return Ok(()) };
        let ours = self.insert_id.doubt.as_ref().is_some_and(|(doubt, ..)| Rc::ptr_eq(doubt, asked));
        if ours {
            return Ok(());
        }
        Ok(lease.backend.ask_insert_id().await.map_err(Trouble::Backend)??)
    }

    /// After a statement that ran on the leased connection.
    pub(super) fn learn_insert_id(&mut self, nature: Nature, sql: &[u8], command: Command<'_>, relayed: &Relayed) {
        let Some(lease) = &mut self.lease else { return };
        let looks_back = nature.looks_back == Some(LooksBack::InsertId) && super::look_back::only_column(sql, "LAST_INSERT_ID").is_none();
        // INSERT ... RETURNING ends with a packet that has no number.
        let returning = !nature.reads && !nature.controls && relayed.affected_rows.is_none() && !relayed.failed;
        if relayed.insert_id == 0 && !looks_back && !returning {
            return;
        }
        self.insert_id.version += 1;
        let insert_id = &mut lease.backend.insert_id;
        insert_id.owner = Some((self.place.entry.id, self.insert_id.version));
        insert_id.asked = None;
        self.insert_id.doubt = None;
        if relayed.insert_id != 0 {
            self.insert_id.told = relayed.insert_id;
        }
        let values = if let Command::Execute(payload) = command { payload } else { &[] };
        let clear = !looks_back && !returning && relayed.results == 1 && !relayed.failed && made_by_server(sql, values, relayed.insert_id);
        if !clear {
            let asked = Asked::default();
            insert_id.asked = Some(asked.clone());
            self.insert_id.doubt = Some((asked, lease.pool.clone(), lease.backend.number));
        }
    }
}

// === helpers ===

/// Functions whose value is a time: not the number of a row.
const HARMLESS: [&str; 9] =
    ["values", "value", "now", "current_timestamp", "utc_timestamp", "sysdate", "curdate", "current_date", "localtimestamp"];

/// Whether `id` cannot be a value that the statement gave: it is an INSERT of plain values, and none of them looks like it. `values`: the
/// parameters of a prepared statement, encoded.
fn made_by_server(sql: &[u8], values: &[u8], id: u64) -> bool {
    let text = id.to_string();
    let has = |bytes: &[u8], part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    let little = id.to_le_bytes();
    let significant = &little[..8 - (id.leading_zeros() / 8) as usize];
    #[expect(clippy::cast_precision_loss, reason = "a number that is sent as a float was rounded in the same way")]
    let floats = [(id as f64).to_le_bytes().to_vec(), (id as f32).to_le_bytes().to_vec()];
    if has(values, text.as_bytes()) || has(values, significant) || floats.iter().any(|float| has(values, float)) {
        return false;
    }
    let mut tokens = Tokens::new(sql);
    if !tokens.next().is_some_and(|first| first.is("insert") || first.is("replace")) {
        return false;
    }
    let (mut in_values, mut before) = (false, Token::Sign(b' '));
    for token in tokens {
        let harmless = match token {
            Token::Word(word) => {
                in_values |= token.is("values") || token.is("value") || token.is("set");
                !word.eq_ignore_ascii_case(b"select")
            }
            Token::String(value) | Token::Number(value) => !has(value, text.as_bytes()),
            Token::Parameter | Token::Quoted(_) => true,
            Token::Sign(b'(') if in_values => match before {
                Token::Word(_) => HARMLESS.iter().any(|name| before.is(name)),
                _ => true,
            },
            Token::Sign(b'-') => matches!(before, Token::Sign(b',' | b'(' | b'=')),
            Token::Sign(sign) => matches!(sign, b'(' | b')' | b',' | b'.' | b'=' | b';'),
            Token::Typed(_) | Token::Variable(_) | Token::Executable => false,
        };
        if !harmless {
            return false;
        }
        before = token;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_the_servers_if_the_statement_cannot_have_given_it() {
        for (sql, values, servers) in [
            ("INSERT INTO t (a) VALUES ('x')", &b""[..], true),
            ("INSERT INTO t (a, b) VALUES ('x', NOW()), (-1, 2.5)", b"", true),
            ("INSERT INTO t SET a = 'x' ON DUPLICATE KEY UPDATE a = VALUES(a)", b"", true),
            ("insert into `t` values (?, ?)", b"\x03abc", true),
            ("INSERT INTO t (id) VALUES (77)", b"", false),
            ("INSERT INTO t (id) VALUES ('077')", b"", false),
            ("INSERT INTO t (id) VALUES (70+7)", b"", false),
            ("INSERT INTO t (id) VALUES (0x4d)", b"", false),
            ("INSERT INTO t (id) VALUES (f())", b"", false),
            ("INSERT INTO t (id) VALUES (?)", b"\x4d\0\0\0", false),
            ("INSERT INTO t (id) VALUES (?)", b"\x0277", false),
            ("INSERT INTO t SELECT * FROM u", b"", false),
            ("UPDATE t SET id = LAST_INSERT_ID(5)", b"", false),
        ] {
            assert_eq!(made_by_server(sql.as_bytes(), values, 77), servers, "{sql}");
        }
    }
}
