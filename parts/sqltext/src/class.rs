//! What kind of statement it is, from its first words.

use crate::{Token, Tokens};

/// What has to be done around a statement. When in doubt, `Other`: to the primary, and nothing is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// SELECT, TABLE, VALUES, WITH ... SELECT, without a locking clause. (`INTO` is found by the analysis.)
    Read,
    /// SELECT ... FOR UPDATE and LOCK IN SHARE MODE.
    LockingRead,
    /// INSERT, UPDATE, DELETE, REPLACE, LOAD.
    Write,
    /// BEGIN, START TRANSACTION: commits what is open.
    Begin,
    Commit,
    Rollback,
    /// SAVEPOINT, RELEASE SAVEPOINT, ROLLBACK TO.
    Savepoint,
    Set,
    /// CREATE, ALTER, DROP, RENAME, TRUNCATE, GRANT and the like: commits what is open.
    Ddl,
    /// CALL, EXECUTE, DO, HANDLER, LOCK, XA and whatever else there is: may do anything.
    Other,
    /// SHOW, DESCRIBE, EXPLAIN, USE: changes no row and is never stored.
    Control,
    /// Nothing but space and comments.
    Empty,
}

impl Class {
    pub fn of(sql: &[u8]) -> Class {
        let mut tokens = Tokens::new(sql);
        let first = loop {
            match tokens.next() {
                None => return Class::Empty,
                Some(Token::Sign(b'(')) => {}
                Some(Token::Word(word)) => break word,
                Some(_) => return Class::Other,
            }
        };
        let is = |word: &str| first.eq_ignore_ascii_case(word.as_bytes());
        let any = |words: &[&str]| words.iter().any(|word| is(word));
        if any(&["select", "table", "values"]) {
            read(tokens)
        } else if is("with") {
            with(tokens)
        } else if any(&["insert", "update", "delete", "replace", "load"]) {
            Class::Write
        } else if is("begin") {
            Class::Begin
        } else if is("start") {
            if tokens.next().is_some_and(|token| token.is("transaction")) { Class::Begin } else { Class::Other }
        } else if is("commit") {
            Class::Commit
        } else if is("rollback") {
            // ROLLBACK [WORK] TO [SAVEPOINT] x
            let to = tokens.find(|token| !token.is("work")).is_some_and(|token| token.is("to"));
            if to { Class::Savepoint } else { Class::Rollback }
        } else if any(&["savepoint", "release"]) {
            Class::Savepoint
        } else if is("set") {
            Class::Set
        } else if any(&[
            "create",
            "alter",
            "drop",
            "rename",
            "truncate",
            "grant",
            "revoke",
            "optimize",
            "analyze",
            "repair",
            "install",
            "uninstall",
        ]) {
            Class::Ddl
        } else if any(&["show", "describe", "desc", "explain", "use", "help"]) {
            Class::Control
        } else {
            Class::Other
        }
    }
}

// === helpers ===

fn read(tokens: Tokens<'_>) -> Class {
    let (mut before, mut last) = (None, None);
    for token in tokens {
        let locks = token.is("update") && last.is_some_and(|last: Token<'_>| last.is("for"))
            || token.is("share") && last.is_some_and(|last| last.is("for"))
            || token.is("mode") && last.is_some_and(|last| last.is("share")) && before.is_some_and(|before: Token<'_>| before.is("in"));
        if locks {
            return Class::LockingRead;
        }
        (before, last) = (last, Some(token));
    }
    Class::Read
}

/// The first statement's word outside parentheses decides what a WITH belongs to.
fn with(tokens: Tokens<'_>) -> Class {
    let mut depth = 0_i64;
    for token in tokens {
        match token {
            Token::Sign(b'(') => depth += 1,
            Token::Sign(b')') => depth -= 1,
            token if depth == 0 && (token.is("update") || token.is("delete") || token.is("insert") || token.is("replace")) => {
                return Class::Write;
            }
            token if depth == 0 && (token.is("select") || token.is("table") || token.is("values")) => return read(tokens),
            _ => {}
        }
    }
    Class::Other
}
