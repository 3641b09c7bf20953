//! Which tables a statement reads and writes, as far as routing needs it.

use std::{collections::HashMap, sync::Arc};

use pumasi_sqltext::{Catalogue, Class, Digest, Reason, Relation, TableInfo, TableName, Token, Tokens, analyse, purity};

use super::{
    positions::{Slot, Tables},
    routing::Why,
    schema::{Known, folded},
};
use crate::front::text::several_statements;

/// Statements remembered. When they are too many, all are forgotten: an application has hundreds.
const UNDERSTOOD_MAX: usize = 10_000;

/// Stands for a view: whatever is behind it.
const BEHIND_A_VIEW: &str = "*";

/// What one statement does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    pub class: Class,
    /// What a replica must be current for to answer it, or why none may.
    pub reads: Result<Tables, Why>,
    pub writes: Tables,
    /// The schema may be another one afterwards.
    pub changes_schema: bool,
}

/// Statements by the digest of their text and the session's database, under one schema.
#[derive(Debug, Default)]
pub struct Understood {
    schema: Option<Arc<Known>>,
    known: HashMap<(u64, Option<Vec<u8>>), Arc<Statement>>,
}

impl Understood {
    pub fn find(&self, schema: &Arc<Known>, key: &(u64, Option<Vec<u8>>)) -> Option<Arc<Statement>> {
        let current = self.schema.as_ref().is_some_and(|known| Arc::ptr_eq(known, schema));
        if current { self.known.get(key).cloned() } else { None }
    }

    pub fn keep(&mut self, schema: &Arc<Known>, key: (u64, Option<Vec<u8>>), statement: Arc<Statement>) {
        let current = self.schema.as_ref().is_some_and(|known| Arc::ptr_eq(known, schema));
        if !current || self.known.len() >= UNDERSTOOD_MAX {
            self.known.clear();
            self.schema = Some(schema.clone());
        }
        self.known.insert(key, statement);
    }
}

impl Statement {
    /// Nothing is known of the schema: no replica may answer, and a write may be to anything.
    pub fn blind(sql: &[u8]) -> Statement {
        let mut statement = Statement::understand(sql, None, &Known::unreadable("not asked yet"));
        if let Ok(_) | Err(Why::SchemaUnreadable) = statement.reads {
            statement.reads = Err(Why::SchemaUnknown);
        }
        statement
    }

    /// `database`: the session's.
    pub fn understand(sql: &[u8], database: Option<&str>, schema: &Known) -> Statement {
        if several_statements(sql) {
            return Statement { class: Class::Other, reads: Err(Why::Several), writes: Tables::Any, changes_schema: true };
        }
        let class = Class::of(sql);
        let mut statement = Statement { class, reads: Err(Why::Control), writes: Tables::none(), changes_schema: false };
        match class {
            Class::Begin | Class::Commit | Class::Rollback | Class::Savepoint | Class::Empty => {}
            Class::Set | Class::Control => statement.writes = called(sql),
            Class::Ddl | Class::Other => {
                statement.reads = Err(Why::Write);
                statement.writes = Tables::Any;
                statement.changes_schema = class == Class::Ddl || !leaves_schema(sql);
            }
            Class::Write | Class::LockingRead | Class::Read => {
                let analysis = Digest::of(sql).map(|digest| analyse(&digest, &Names { schema, database }));
                if class == Class::Write {
                    statement.reads = Err(Why::Write);
                    statement.writes = written(analysis.ok().and_then(|analysis| analysis.writes), schema);
                } else {
                    let reads = analysis.and_then(|analysis| analysis.sees);
                    statement.writes = match &reads {
                        Ok(_) => Tables::none(),
                        Err(Reason::Unparsable | Reason::TooLarge | Reason::ExecutableComment | Reason::UnknownFunction) => Tables::Any,
                        Err(_) => called(sql),
                    };
                    statement.reads = match reads {
                        _ if schema.unreadable.is_some() => Err(Why::SchemaUnreadable),
                        _ if class == Class::LockingRead => Err(Why::Text(Reason::Locking)),
                        Ok(template) => Ok(read(template.tables.into_iter().map(|(name, _)| name))),
                        Err(reason) => Err(Why::Text(reason)),
                    };
                }
            }
        }
        statement
    }
}

struct Names<'s> {
    schema: &'s Known,
    database: Option<&'s str>,
}

impl Catalogue for Names<'_> {
    fn relation(&self, database: Option<&str>, name: &str) -> Relation {
        let Some(database) = database.or(self.database) else { return Relation::Unknown };
        let (database, name) = folded(database, name);
        if ["information_schema", "performance_schema", "mysql", "sys"].contains(&&*database) {
            return Relation::System;
        }
        let known = (database, name);
        if self.schema.views.contains(&known) {
            return Relation::View(vec![TableName { database: String::new(), name: BEHIND_A_VIEW.into() }]);
        }
        let name = TableName { database: known.0, name: known.1 };
        // Whether it exists is the server's to say.
        Relation::Table(Arc::new(TableInfo { name, columns: Vec::new() }))
    }
}

// === helpers ===

fn read(names: impl Iterator<Item = TableName>) -> Tables {
    let mut slots = Vec::new();
    for name in names {
        if name.name == BEHIND_A_VIEW && name.database.is_empty() {
            return Tables::Any;
        }
        slots.push(Slot::of(&name.database, &name.name));
    }
    Tables::these(slots)
}

fn written(names: Option<Vec<TableName>>, schema: &Known) -> Tables {
    let Some(names) = names.filter(|_| schema.unreadable.is_none()) else { return Tables::Any };
    if names.is_empty() || names.iter().any(|name| name.name == BEHIND_A_VIEW && name.database.is_empty()) {
        return Tables::Any;
    }
    match schema.closure(names.iter().map(|name| folded(&name.database, &name.name))) {
        Some(names) => Tables::these(names.iter().map(|(database, name)| Slot::of(database, name))),
        None => Tables::Any,
    }
}

/// A function that is not one of the server's own may write anything.
fn called(sql: &[u8]) -> Tables {
    let mut before: Option<&[u8]> = None;
    for token in Tokens::new(sql) {
        match token {
            Token::Executable => return Tables::Any,
            Token::Sign(b'(') if before.is_some_and(|word| !is_server_s(word)) => return Tables::Any,
            Token::Word(word) | Token::Quoted(word) => before = Some(word),
            _ => before = None,
        }
    }
    Tables::none()
}

/// A word in front of a parenthesis that calls nothing of the user's.
fn is_server_s(word: &[u8]) -> bool {
    const SYNTAX: [&str; 22] = [
        "SELECT", "FROM", "IN", "AND", "OR", "NOT", "WHERE", "ON", "USING", "VALUES", "EXISTS", "OVER", "UNION", "ALL", "ANY", "AS",
        "JOIN", "HAVING", "BY", "WHEN", "THEN", "ELSE",
    ];
    let Ok(word) = std::str::from_utf8(word) else { return false };
    SYNTAX.iter().any(|known| known.eq_ignore_ascii_case(word)) || !matches!(purity(word), Err(Reason::UnknownFunction))
}

/// Of the statements that may do anything, those that cannot change the schema.
fn leaves_schema(sql: &[u8]) -> bool {
    const LEAVE: [&str; 10] = ["do", "lock", "unlock", "flush", "xa", "handler", "kill", "prepare", "deallocate", "checksum"];
    let first = Tokens::new(sql).next();
    first.is_some_and(|first| LEAVE.iter().any(|word| first.is(word)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn schema() -> Known {
        Known { views: HashSet::from([folded("shop", "v")]), triggered: HashSet::from([folded("shop", "audited")]), ..Known::default() }
    }

    fn understand(sql: &str) -> Statement {
        Statement::understand(sql.as_bytes(), Some("shop"), &schema())
    }

    fn tables(names: &[&str]) -> Tables {
        Tables::these(names.iter().map(|name| Slot::of("shop", name)))
    }

    #[test]
    fn a_read_is_routed_by_its_tables() {
        for (sql, reads) in [
            ("SELECT * FROM t WHERE id = 1", Ok(tables(&["t"]))),
            ("select a.x from T a join u on a.id = u.id", Ok(tables(&["t", "u"]))),
            ("SELECT * FROM other.t", Ok(Tables::these([Slot::of("other", "t")]))),
            ("SELECT COUNT(*) FROM (SELECT 1 FROM t) x", Ok(tables(&["t"]))),
            ("SELECT * FROM v", Ok(Tables::Any)),
            ("SELECT * FROM t WHERE until > NOW() ORDER BY RAND()", Ok(tables(&["t"]))),
            ("SELECT NOW() FROM t WHERE SLEEP(1)", Err(Why::Text(Reason::SideEffect))),
            ("SELECT * FROM t FOR UPDATE", Err(Why::Text(Reason::Locking))),
            ("SELECT @@version", Err(Why::Text(Reason::Variable))),
            ("SELECT f(id) FROM t", Err(Why::Text(Reason::UnknownFunction))),
            ("SELECT * FROM information_schema.tables", Err(Why::Text(Reason::SystemTable))),
            ("SELECT 1", Err(Why::Text(Reason::NoTable))),
            ("SELECT 1; SELECT 2", Err(Why::Several)),
            ("SHOW TABLES", Err(Why::Control)),
            ("INSERT INTO t VALUES (1)", Err(Why::Write)),
            ("SELECT * FROM t INTO OUTFILE 'x'", Err(Why::Text(Reason::Unparsable))),
        ] {
            assert_eq!(understand(sql).reads, reads, "{sql}");
        }
    }

    #[test]
    fn what_is_not_understood_writes_any_table() {
        for (sql, writes) in [
            ("INSERT INTO t VALUES (1)", tables(&["t"])),
            ("REPLACE INTO t VALUES (1)", tables(&["t"])),
            ("INSERT INTO t SELECT * FROM u", tables(&["t"])),
            ("UPDATE t JOIN u ON t.id = u.id SET t.a = 1", tables(&["t", "u"])),
            // The parser does not know this form.
            ("UPDATE t, u SET t.a = 1 WHERE t.id = u.id", Tables::Any),
            ("DELETE FROM audited", Tables::Any),
            ("UPDATE v SET a = 1", Tables::Any),
            ("CALL p()", Tables::Any),
            ("CREATE TABLE n (a INT)", Tables::Any),
            ("LOAD DATA INFILE 'x' INTO TABLE t", Tables::Any),
            ("SELECT f()", Tables::Any),
            ("SELECT @a := f(1)", Tables::Any),
            ("SELECT NEXT VALUE FOR s", Tables::Any),
            ("SELECT @@version, NOW(), (SELECT MAX(id) FROM t WHERE id IN (1, 2))", Tables::none()),
            ("SET @a = f()", Tables::Any),
            ("SET autocommit = 1", Tables::none()),
            ("SELECT * FROM t", Tables::none()),
            ("COMMIT", Tables::none()),
            ("INSERT INTO t VALUES (f())", Tables::Any),
            ("BEGIN NOT ATOMIC INSERT INTO t VALUES (1); END", Tables::Any),
            ("/*!50000 INSERT INTO t VALUES (1) */", Tables::Any),
        ] {
            assert_eq!(understand(sql).writes, writes, "{sql}");
        }
    }

    #[test]
    fn statements_that_may_change_the_schema_are_known() {
        for (sql, changes) in [("CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW SET @a = 1", true), ("CALL p()", true), ("DO 1", false)] {
            assert_eq!(understand(sql).changes_schema, changes, "{sql}");
        }
        assert_eq!(Statement::blind(b"SELECT * FROM t").reads, Err(Why::SchemaUnknown));
        assert_eq!(Statement::blind(b"INSERT INTO t VALUES (1)").writes, Tables::Any);
    }
}
