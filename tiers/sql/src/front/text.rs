//! Where one statement ends and the next begins.

use pumasi_sqltext::{Token, Tokens};

/// Whether `sql` holds more than one statement, as far as that can be told without parsing: a semicolon outside quotes and comments with
/// something behind it. A definition of something that has a body (trigger, procedure) is left to the parser, which knows where it ends.
pub fn several_statements(sql: &[u8]) -> bool {
    if !sql.contains(&b';') || defines_body(sql) {
        return false;
    }
    let mut tokens = Tokens::new(sql);
    tokens.by_ref().any(|token| token == Token::Sign(b';')) && tokens.any(|token| token != Token::Sign(b';'))
}

/// What is left of `sql` behind its first `used` bytes; nothing if that is only space, comments and semicolons.
pub fn rest_behind(sql: &[u8], used: usize) -> &[u8] {
    let rest = &sql[used.min(sql.len())..];
    let mut tokens = Tokens::new(rest);
    loop {
        let before = tokens.end();
        match tokens.next() {
            Some(Token::Sign(b';')) => {}
            Some(_) => return &rest[before..],
            None => return &[],
        }
    }
}

/// `CREATE ... TRIGGER | PROCEDURE | FUNCTION | EVENT`.
fn defines_body(sql: &[u8]) -> bool {
    /// `CREATE OR REPLACE DEFINER = 'u' @ 'h' SQL SECURITY INVOKER PROCEDURE` with room to spare.
    const HEAD_MAX: usize = 16;
    let mut tokens = Tokens::new(sql);
    let create = tokens.next().is_some_and(|token| token.is("create"));
    create && tokens.take(HEAD_MAX).any(|token| ["trigger", "procedure", "function", "event"].iter().any(|word| token.is(word)))
}

#[cfg(test)]
mod tests;
