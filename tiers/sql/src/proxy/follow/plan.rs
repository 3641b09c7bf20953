//! What has to be done around one statement: whether its answer may be kept, what it may write, and whether it commits.

use std::sync::Arc;

use pumasi_freshness::{Deps, STATEMENT_BYTES_MAX};
use pumasi_sqltext::{Class, Digest, Reason, Scalar, Template, Token, Tokens, analyse, asks_settings, shape};

use super::catalogue::{Catalogue, Closure};

/// One digest's, under one catalogue.
#[derive(Debug)]
pub struct Plan {
    pub reads: Reads,
    pub writes: Writes,
    /// May commit an open transaction.
    pub commits: bool,
    /// Ends an open transaction in any case, if it succeeds: BEGIN, COMMIT, ROLLBACK. What is open afterwards is another.
    pub ends: bool,
    /// The statement without its values, cut, if it may write: for people.
    pub text: Option<Arc<str>>,
    /// Neither changes rows nor the session: a transaction of nothing else may be ended and begun again unnoticed.
    pub only_reads: bool,
}

#[derive(Debug)]
pub enum Reads {
    /// A function of rows.
    Rows(Template),
    /// A SELECT whose answer may not be kept.
    Refused(&'static str),
    /// Reads no row: SET, SHOW, SELECT 1, SELECT @@version.
    Nothing,
}

#[derive(Debug)]
pub enum Writes {
    Nothing,
    Rows(Closure),
}

impl Writes {
    fn everything() -> Writes {
        Writes::Rows(Closure::everything())
    }
}

impl Plan {
    pub fn of(sql: &[u8], digest: &Result<Digest<'_>, Reason>, database: Option<&str>, catalogue: &Catalogue) -> Plan {
        // What a server of the right version executes is classed by what it executes.
        let class = Class::of(without_executable(sql));
        if several(sql) {
            return Plan { reads: Reads::Nothing, writes: Writes::everything(), commits: true, ends: false, only_reads: false, text: None };
        }
        let seen = catalogue.seen_from(database);
        let analysis = match digest {
            Ok(digest) if matches!(class, Class::Read | Class::Write) => Some(analyse(digest, &seen)),
            _ => None,
        };
        // A function that is called may write wherever it stands.
        let called = || match catalogue.closure(&[], sql) {
            closure if closure.is_empty() => Writes::Nothing,
            closure => Writes::Rows(closure),
        };
        let mut plan = Plan { reads: Reads::Nothing, writes: Writes::Nothing, commits: false, ends: false, only_reads: false, text: None };
        match class {
            Class::Read => {
                plan.only_reads = true;
                plan.reads = match analysis.map(|analysis| analysis.reads) {
                    Some(Ok(template)) => Reads::Rows(template),
                    Some(Err(Reason::NoTable)) => Reads::Nothing,
                    Some(Err(reason)) => Reads::Refused(reason.label()),
                    // SELECT @@version, which drivers send in the middle of any request.
                    None if asks_settings(sql) => Reads::Nothing,
                    None => Reads::Refused(digest.as_ref().err().map_or("unparsable", |reason| reason.label())),
                };
                let foreign = catalogue.partial() && matches!(plan.reads, Reads::Refused("unknown-function"));
                plan.writes = if foreign { Writes::everything() } else { called() };
            }
            Class::LockingRead => {
                plan.reads = Reads::Refused(Reason::Locking.label());
                plan.writes = called();
            }
            Class::Write => {
                let tables = analysis.and_then(|analysis| analysis.writes).filter(|tables| !tables.is_empty());
                // Not understood (LOAD DATA, UPDATE of several tables): it can write no table that it does not name.
                let tables = tables.unwrap_or_else(|| catalogue.named(sql));
                plan.writes = if tables.is_empty() {
                    Writes::Rows(Closure { schema: false, ..Closure::everything() })
                } else {
                    Writes::Rows(catalogue.closure(&tables, sql))
                };
            }
            Class::Begin => {
                plan.only_reads = true;
                plan.commits = true;
                plan.ends = true;
                if words(sql).nth(1).is_some_and(|word| word.eq_ignore_ascii_case(b"not")) {
                    plan.writes = Writes::everything(); // BEGIN NOT ATOMIC: a program
                }
            }
            Class::Commit => (plan.commits, plan.ends, plan.only_reads) = (true, true, true),
            Class::Rollback => (plan.ends, plan.only_reads) = (true, true),
            Class::Savepoint => {}
            Class::Control => {
                plan.only_reads = true;
                plan.writes = called();
            }
            Class::Set => {
                plan.commits = true; // SET autocommit = 1, SET PASSWORD
                let far = [&b"statement"[..], b"global", b"password", b"@@global", b"role", b"default"];
                let reaches = words(sql).take(8).any(|word| {
                    let first = word.split(|byte| *byte == b'.').next().unwrap_or_default();
                    far.iter().any(|far| first.eq_ignore_ascii_case(far))
                });
                plan.writes = if reaches { Writes::everything() } else { called() };
            }
            Class::Ddl if temporary(sql) => plan.writes = called(),
            Class::Ddl => {
                plan.commits = true;
                plan.writes = Writes::everything();
            }
            Class::Other => plan.other(sql, catalogue, called),
            Class::Empty => {}
        }
        plan.text = matches!(plan.writes, Writes::Rows(_)).then(|| shape(sql, STATEMENT_BYTES_MAX).into());
        plan
    }

    fn other(&mut self, sql: &[u8], catalogue: &Catalogue, called: impl Fn() -> Writes) {
        let mut words = words(sql);
        let is = |word: Option<&[u8]>, wanted: &[&str]| {
            word.is_some_and(|word| wanted.iter().any(|wanted| word.eq_ignore_ascii_case(wanted.as_bytes())))
        };
        let first = words.next();
        let second = words.next();
        if is(first, &["do"]) {
            self.writes = called();
        } else if is(first, &["call"]) {
            // CALL procedure, CALL database.procedure
            let known =
                second.is_some_and(|name| catalogue.knows_routine(name)) || words.next().is_some_and(|name| catalogue.knows_routine(name));
            self.commits = true;
            self.writes = if known { called() } else { Writes::everything() };
        } else if is(first, &["prepare", "deallocate", "kill", "signal", "resignal", "get", "handler", "checksum"]) {
            // Text that only EXECUTE runs; nothing that changes a row.
        } else if is(first, &["lock", "unlock"]) {
            self.commits = true;
        } else if is(first, &["xa"]) && is(second, &["start", "begin", "end", "prepare", "recover", "rollback"]) {
        } else {
            self.commits = true;
            self.writes = Writes::everything();
        }
    }

    /// The dependencies of a statement with these values; `None` if its answer is not a function of rows.
    pub fn deps(&self, digest: &Result<Digest<'_>, Reason>, parameters: &[Scalar<'_>]) -> Option<Deps> {
        match (&self.reads, digest, &self.writes) {
            (Reads::Rows(template), Ok(digest), Writes::Nothing) => Some(template.deps(&digest.operands, parameters)),
            _ => None,
        }
    }
}

// === helpers ===

/// The text behind a leading `/*!40101` or `/*M!100100`.
fn without_executable(sql: &[u8]) -> &[u8] {
    let text = sql.trim_ascii_start();
    let inside = text.strip_prefix(b"/*!").or_else(|| text.strip_prefix(b"/*M!"));
    inside.map_or(sql, |inside| {
        let digits = inside.iter().take_while(|byte| byte.is_ascii_digit()).count();
        &inside[digits..]
    })
}

/// Whether anything but comments stands behind a semicolon.
fn several(sql: &[u8]) -> bool {
    Tokens::new(sql).skip_while(|token| *token != Token::Sign(b';')).any(|token| token != Token::Sign(b';'))
}

fn words(sql: &[u8]) -> impl Iterator<Item = &[u8]> {
    Tokens::new(sql).filter_map(|token| match token {
        Token::Word(word) | Token::Variable(word) => Some(word),
        Token::Quoted(quoted) => quoted.get(1..quoted.len().checked_sub(1)?),
        _ => None,
    })
}

/// CREATE [OR REPLACE] TEMPORARY, DROP TEMPORARY.
fn temporary(sql: &[u8]) -> bool {
    words(sql).skip(1).take(3).any(|word| word.eq_ignore_ascii_case(b"temporary"))
}

#[cfg(test)]
mod tests;
