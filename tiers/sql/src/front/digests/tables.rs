//! Which tables a statement names and what it does to them, from its words alone: for people who look for the tables that are read and written
//! most, not for anything that has to be right.

use pumasi_sqltext::{Token, Tokens};

/// Tables of one statement that are counted.
const TABLES_MAX: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    Insert,
    Update,
    Delete,
}

/// What a statement does to which tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    pub tables: Vec<(String, Access)>,
}

impl Named {
    pub fn in_text(sql: &[u8]) -> Named {
        let mut named = Named::default();
        let mut tokens = Tokens::new(sql).peekable();
        let Some(access) = tokens.peek().copied().and_then(Access::of) else { return named };
        let (mut reader, mut before) = (Reader::new(), Token::Sign(b';'));
        let mut with = Vec::new();
        while let Some(token) = tokens.next() {
            if reader.expects(token)
                && let Some(first) = name(token)
            {
                let mut table = first;
                while tokens.next_if_eq(&Token::Sign(b'.')).is_some() {
                    let Some(next) = tokens.next().and_then(name) else { break };
                    table = format!("{table}.{next}");
                }
                named.note(table, access);
                reader.named();
            } else {
                reader.passes(token);
            }
            // WITH x AS (...): a name of its own.
            if token.is("as") && tokens.peek() == Some(&Token::Sign(b'(')) {
                with.extend(name(before));
            }
            before = token;
        }
        named.tables.retain(|(table, _)| !with.contains(table));
        named
    }

    /// The first table is the one that is written, if any is.
    fn note(&mut self, table: String, access: Access) {
        let access = if self.tables.is_empty() { access } else { Access::Read };
        if self.tables.len() < TABLES_MAX && !self.tables.iter().any(|(known, _)| *known == table) {
            self.tables.push((table, access));
        }
    }
}

impl Access {
    fn of(first: Token<'_>) -> Option<Access> {
        let any = |words: &[&str]| words.iter().any(|word| first.is(word));
        Some(match () {
            () if any(&["select", "with"]) => Access::Read,
            () if any(&["insert", "replace", "load"]) => Access::Insert,
            () if any(&["update"]) => Access::Update,
            () if any(&["delete"]) => Access::Delete,
            () => return None,
        })
    }
}

/// Where in a statement a table's name may come next.
struct Reader {
    /// For each open parenthesis, and the statement itself: it is a query of its own. `EXTRACT(YEAR FROM x)` is none.
    queries: Vec<bool>,
    /// A name comes next.
    expected: bool,
    /// In a list of tables: behind a comma comes another.
    list: bool,
    /// The first word has passed: a later UPDATE is part of ON DUPLICATE KEY or FOR.
    begun: bool,
}

impl Reader {
    fn new() -> Reader {
        Reader { queries: vec![true], expected: false, list: false, begun: false }
    }

    /// Whether `token` may be a table's name, and not a word in front of one.
    fn expects(&self, token: Token<'_>) -> bool {
        const BETWEEN: [&str; 8] = ["low_priority", "ignore", "delayed", "quick", "high_priority", "table", "only", "lateral"];
        self.expected && !BETWEEN.iter().any(|word| token.is(word)) && !token.is("select")
    }

    fn named(&mut self) {
        self.expected = false;
        self.list = true;
    }

    fn passes(&mut self, token: Token<'_>) {
        self.look(token);
        self.begun = true;
    }

    fn look(&mut self, token: Token<'_>) {
        const ENDS: [&str; 14] =
            ["where", "set", "on", "using", "group", "order", "having", "limit", "values", "value", "union", "for", "window", "select"];
        match token {
            Token::Sign(b'(') => {
                self.queries.push(false);
                (self.expected, self.list) = (false, false);
            }
            Token::Sign(b')') => {
                self.queries.pop();
            }
            Token::Sign(b',') => self.expected = self.list,
            Token::Word(_) => {
                if token.is("select")
                    && let Some(query) = self.queries.last_mut()
                {
                    *query = true;
                }
                let query = self.queries.last().copied().unwrap_or(true);
                if query && (["from", "join", "into"].iter().any(|word| token.is(word)) || token.is("update") && !self.begun) {
                    self.expected = true;
                } else if ENDS.iter().any(|word| token.is(word)) {
                    (self.expected, self.list) = (false, false);
                }
            }
            Token::Executable => {}
            _ => self.expected = false,
        }
    }
}

/// Longer than any name of a table and its database.
const NAME_MAX: usize = 200;

fn name(token: Token<'_>) -> Option<String> {
    let text = match token {
        Token::Word(word) => word,
        Token::Quoted(quoted) => quoted.get(1..quoted.len().checked_sub(1)?)?,
        _ => return None,
    };
    if text.len() > NAME_MAX {
        return None;
    }
    Some(String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_found_where_a_statement_names_them() {
        for (sql, expected) in [
            ("SELECT a, b FROM t WHERE id = 1", "Read t"),
            ("SELECT * FROM t AS x, `shop`.`u` y WHERE x.a = y.b", "Read t, Read shop.u"),
            ("SELECT * FROM a JOIN b USING (id) LEFT JOIN c ON a.x = c.x", "Read a, Read b, Read c"),
            ("SELECT (SELECT COUNT(*) FROM cheer WHERE ask = ask.id) FROM ask ORDER BY id, x", "Read cheer, Read ask"),
            ("SELECT EXTRACT(YEAR FROM at), TRIM('x' FROM s) FROM t", "Read t"),
            ("SELECT * FROM (SELECT a FROM t) x, u", "Read t, Read u"),
            ("WITH x AS (SELECT a FROM t) SELECT * FROM x", "Read t"),
            ("INSERT INTO t (a, b) VALUES (1, 2), (3, 4)", "Insert t"),
            ("INSERT IGNORE INTO t SELECT a, b FROM u", "Insert t, Read u"),
            ("INSERT INTO t VALUES (1) ON DUPLICATE KEY UPDATE a = 2, b = 3", "Insert t"),
            ("REPLACE INTO t SET a = 1", "Insert t"),
            ("LOAD DATA LOCAL INFILE 'x' INTO TABLE t (a, b)", "Insert t"),
            ("UPDATE t SET a = 1, b = 2 WHERE id IN (SELECT id FROM u)", "Update t, Read u"),
            ("DELETE FROM t WHERE a = 1", "Delete t"),
            ("SELECT 1", ""),
            ("BEGIN", ""),
            ("SELECT a FROM", ""),
            ("SELECT ) FROM t", "Read t"),
        ] {
            let found: Vec<String> =
                Named::in_text(sql.as_bytes()).tables.iter().map(|(table, access)| format!("{access:?} {table}")).collect();
            assert_eq!(found.join(", "), expected, "{sql}");
        }
    }
}
