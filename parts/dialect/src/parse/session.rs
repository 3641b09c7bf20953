//! SET, SHOW, DESCRIBE, transactions and the other statements about the session.

use pumasi_mysqlwire::SqlError;
use sqlparser::ast;
use sqlparser::tokenizer::Token;

use super::{Name, Reader, Statement};

/// One assignment of a SET statement.
#[derive(Clone, Debug)]
pub enum SetItem {
    /// `SET NAMES charset [COLLATE collation]`; `None` is DEFAULT.
    Names { charset: Option<String>, collation: Option<String> },
    /// `SET CHARACTER SET charset`.
    CharacterSet(Option<String>),
    /// `SET @name = expr`.
    User(String, ast::Expr),
    /// `SET [SESSION|GLOBAL] name = expr`; `None` is DEFAULT.
    System { scope: Scope, name: String, value: Option<ast::Expr> },
    /// `SET [SESSION] TRANSACTION ...`. `next`: without SESSION or GLOBAL, for the next transaction only.
    Transaction { next: bool, isolation: Option<String>, read_only: Option<bool> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Session,
    Global,
}

/// `LIKE 'pattern'` or `WHERE expr`.
#[derive(Clone, Debug, Default)]
pub enum ShowFilter {
    #[default]
    None,
    Like(String),
    Where(Box<ast::Expr>),
}

#[derive(Clone, Debug)]
pub enum Show {
    Databases(ShowFilter),
    Tables {
        database: Option<String>,
        full: bool,
        filter: ShowFilter,
    },
    TableStatus {
        database: Option<String>,
        filter: ShowFilter,
    },
    Columns {
        table: Name,
        full: bool,
        filter: ShowFilter,
    },
    Index {
        table: Name,
        filter: ShowFilter,
    },
    CreateTable(Name),
    CreateView(Name),
    CreateDatabase {
        name: String,
        if_not_exists: bool,
    },
    Variables {
        scope: Scope,
        filter: ShowFilter,
    },
    Status(ShowFilter),
    Warnings {
        count: bool,
        errors_only: bool,
    },
    Engines,
    Collation(ShowFilter),
    CharacterSet(ShowFilter),
    ProcessList,
    Privileges,
    Plugins,
    Grants,
    Triggers(ShowFilter),
    Events(ShowFilter),
    /// PROCEDURE STATUS, FUNCTION STATUS: there are none.
    Routines(ShowFilter),
    OpenTables(ShowFilter),
    MasterStatus,
}

impl Reader<'_> {
    pub(super) fn set(&mut self) -> Result<Statement, SqlError> {
        self.expect("SET")?;
        let mut items = vec![self.set_item()?];
        while self.token(&Token::Comma) {
            items.push(self.set_item()?);
        }
        Ok(Statement::Set(items))
    }

    fn set_item(&mut self) -> Result<SetItem, SqlError> {
        if self.at("PASSWORD") || self.words(&["DEFAULT", "ROLE"]) || self.at("ROLE") || self.at("RESOURCE") {
            return Err(SqlError::unsupported("SET PASSWORD, ROLE, RESOURCE GROUP"));
        }
        if self.word("NAMES") {
            let charset = self.charset_name()?;
            let collation = if self.word("COLLATE") { self.charset_name()? } else { None };
            return Ok(SetItem::Names { charset, collation });
        }
        if self.words(&["CHARACTER", "SET"]) || self.word("CHARSET") {
            return Ok(SetItem::CharacterSet(self.charset_name()?));
        }
        let scope = if self.word("GLOBAL") || self.word("PERSIST") {
            Some(Scope::Global)
        } else if self.word("SESSION") || self.word("LOCAL") {
            Some(Scope::Session)
        } else {
            None
        };
        if self.word("TRANSACTION") {
            return self.set_transaction(scope);
        }
        let first = self.identifier()?;
        if let Some(name) = first.strip_prefix("@@") {
            let (scope, name) = match name.to_ascii_lowercase().as_str() {
                "global" | "persist" => (Scope::Global, self.dotted()?),
                "session" | "local" => (Scope::Session, self.dotted()?),
                _ => (scope.unwrap_or(Scope::Session), name.to_owned()),
            };
            return self.system_assignment(scope, name);
        }
        if let Some(name) = first.strip_prefix('@') {
            let name = if name.is_empty() { self.string().or_else(|_| self.identifier())? } else { name.to_owned() };
            self.assignment_sign()?;
            return Ok(SetItem::User(name, self.expression()?));
        }
        self.system_assignment(scope.unwrap_or(Scope::Session), first)
    }

    fn dotted(&mut self) -> Result<String, SqlError> {
        self.expect_token(&Token::Period)?;
        self.identifier()
    }

    fn assignment_sign(&mut self) -> Result<(), SqlError> {
        if self.token(&Token::Eq) || self.token(&Token::Assignment) { Ok(()) } else { Err(self.syntax_here()) }
    }

    fn system_assignment(&mut self, scope: Scope, name: String) -> Result<SetItem, SqlError> {
        self.assignment_sign()?;
        let name = name.to_ascii_lowercase();
        if self.word("DEFAULT") {
            return Ok(SetItem::System { scope, name, value: None });
        }
        // ON and BINARY are keywords where an expression is expected.
        for word in ["ON", "BINARY", "ALL"] {
            if self.word(word) {
                let value = ast::Expr::Identifier(ast::Ident::new(word));
                return Ok(SetItem::System { scope, name, value: Some(value) });
            }
        }
        Ok(SetItem::System { scope, name, value: Some(self.expression()?) })
    }

    fn set_transaction(&mut self, scope: Option<Scope>) -> Result<SetItem, SqlError> {
        let (mut isolation, mut read_only) = (None, None);
        loop {
            if self.words(&["ISOLATION", "LEVEL"]) {
                let levels = [
                    (&["READ", "UNCOMMITTED"][..], "READ-UNCOMMITTED"),
                    (&["READ", "COMMITTED"], "READ-COMMITTED"),
                    (&["REPEATABLE", "READ"], "REPEATABLE-READ"),
                    (&["SERIALIZABLE"], "SERIALIZABLE"),
                ];
                let level = levels.iter().find(|(words, _)| self.words(words)).ok_or_else(|| self.syntax_here())?;
                isolation = Some(level.1.to_owned());
            } else if self.words(&["READ", "ONLY"]) {
                read_only = Some(true);
            } else if self.words(&["READ", "WRITE"]) {
                read_only = Some(false);
            } else {
                return Err(self.syntax_here());
            }
            if !self.token(&Token::Comma) {
                return Ok(SetItem::Transaction { next: scope.is_none(), isolation, read_only });
            }
        }
    }

    /// A character set or collation, bare or quoted; `None` is DEFAULT.
    pub(super) fn charset_name(&mut self) -> Result<Option<String>, SqlError> {
        if self.word("DEFAULT") {
            return Ok(None);
        }
        let name = self.string().or_else(|_| self.identifier())?;
        Ok(Some(name))
    }

    pub(super) fn show(&mut self) -> Result<Statement, SqlError> {
        self.expect("SHOW")?;
        let full = self.word("FULL");
        let extended = self.word("EXTENDED");
        let full = full || (extended && self.word("FULL"));
        let scope = if self.word("GLOBAL") {
            Scope::Global
        } else {
            let _ = self.word("SESSION") || self.word("LOCAL");
            Scope::Session
        };
        let word = self.identifier()?.to_ascii_uppercase();
        let show = match word.as_str() {
            "DATABASES" | "SCHEMAS" => Show::Databases(self.filter()?),
            "TABLES" => Show::Tables { database: self.in_database()?, full, filter: self.filter()? },
            "TABLE" => {
                self.expect("STATUS")?;
                Show::TableStatus { database: self.in_database()?, filter: self.filter()? }
            }
            "OPEN" => {
                self.expect("TABLES")?;
                let _ = self.in_database()?;
                Show::OpenTables(self.filter()?)
            }
            "COLUMNS" | "FIELDS" => {
                let table = self.in_table()?;
                Show::Columns { table, full, filter: self.filter()? }
            }
            "INDEX" | "INDEXES" | "KEYS" => {
                let table = self.in_table()?;
                Show::Index { table, filter: self.filter()? }
            }
            "CREATE" => self.show_create()?,
            "VARIABLES" => Show::Variables { scope, filter: self.filter()? },
            "STATUS" => Show::Status(self.filter()?),
            "WARNINGS" | "ERRORS" => {
                self.skip_limit()?;
                Show::Warnings { count: false, errors_only: word == "ERRORS" }
            }
            "COUNT" => {
                self.expect_token(&Token::LParen)?;
                self.expect_token(&Token::Mul)?;
                self.expect_token(&Token::RParen)?;
                let errors_only = self.word("ERRORS");
                if !errors_only {
                    self.expect("WARNINGS")?;
                }
                Show::Warnings { count: true, errors_only }
            }
            "ENGINES" => Show::Engines,
            "STORAGE" => {
                self.expect("ENGINES")?;
                Show::Engines
            }
            "COLLATION" => Show::Collation(self.filter()?),
            "CHARSET" => Show::CharacterSet(self.filter()?),
            "CHARACTER" => {
                self.expect("SET")?;
                Show::CharacterSet(self.filter()?)
            }
            "PROCESSLIST" => Show::ProcessList,
            "PRIVILEGES" => Show::Privileges,
            "PLUGINS" => Show::Plugins,
            "GRANTS" => {
                while !self.ended() {
                    self.parser.advance_token();
                }
                Show::Grants
            }
            "TRIGGERS" => {
                let _ = self.in_database()?;
                Show::Triggers(self.filter()?)
            }
            "EVENTS" => {
                let _ = self.in_database()?;
                Show::Events(self.filter()?)
            }
            "PROCEDURE" | "FUNCTION" => {
                self.expect("STATUS")?;
                Show::Routines(self.filter()?)
            }
            "MASTER" | "BINARY" => {
                if !self.word("STATUS") {
                    self.expect("LOG")?;
                    self.expect("STATUS")?;
                }
                Show::MasterStatus
            }
            other => return Err(SqlError::unsupported(format!("SHOW {other}"))),
        };
        Ok(Statement::Show(show))
    }

    fn show_create(&mut self) -> Result<Show, SqlError> {
        if self.word("TABLE") {
            return Ok(Show::CreateTable(self.name()?));
        }
        if self.word("VIEW") {
            return Ok(Show::CreateView(self.name()?));
        }
        if self.word("DATABASE") || self.word("SCHEMA") {
            let if_not_exists = self.if_not_exists();
            return Ok(Show::CreateDatabase { name: self.identifier()?, if_not_exists });
        }
        Err(SqlError::unsupported(format!("SHOW CREATE {}", self.peek_word(0).unwrap_or_default())))
    }

    fn in_database(&mut self) -> Result<Option<String>, SqlError> {
        if self.word("FROM") || self.word("IN") { Ok(Some(self.identifier()?)) } else { Ok(None) }
    }

    fn in_table(&mut self) -> Result<Name, SqlError> {
        if !self.word("FROM") {
            self.expect("IN")?;
        }
        let mut table = self.name()?;
        if let Some(database) = self.in_database()? {
            table.database = Some(database);
        }
        Ok(table)
    }

    fn filter(&mut self) -> Result<ShowFilter, SqlError> {
        if self.word("LIKE") {
            return Ok(ShowFilter::Like(self.string()?));
        }
        if self.word("WHERE") {
            return Ok(ShowFilter::Where(Box::new(self.expression()?)));
        }
        Ok(ShowFilter::None)
    }

    /// SHOW WARNINGS keeps at most a few dozen, so a LIMIT is read and not needed... unless it asks for fewer.
    fn skip_limit(&mut self) -> Result<(), SqlError> {
        if self.word("LIMIT") {
            return Err(SqlError::unsupported("SHOW WARNINGS LIMIT"));
        }
        Ok(())
    }

    pub(super) fn describe(&mut self) -> Result<Statement, SqlError> {
        self.parser.advance_token();
        let _ = self.word("EXTENDED") || self.word("PARTITIONS");
        if self.word("ANALYZE") {
            return Err(SqlError::unsupported("EXPLAIN ANALYZE"));
        }
        if self.word("FORMAT") {
            return Err(SqlError::unsupported("EXPLAIN FORMAT"));
        }
        let first = self.peek_word(0).unwrap_or_default();
        if matches!(first.as_str(), "SELECT" | "INSERT" | "UPDATE" | "DELETE" | "REPLACE" | "WITH")
            || self.parser.peek_token_ref().token == Token::LParen
        {
            return Ok(Statement::Explain(Box::new(self.rows_statement()?)));
        }
        let table = self.name()?;
        let filter = if self.ended() { ShowFilter::None } else { ShowFilter::Like(self.string().or_else(|_| self.identifier())?) };
        Ok(Statement::Show(Show::Columns { table, full: false, filter }))
    }

    pub(super) fn session_statement(&mut self, first: &str) -> Result<Statement, SqlError> {
        self.parser.advance_token();
        match first {
            "USE" => Ok(Statement::Use(self.identifier()?)),
            "BEGIN" => {
                let _ = self.word("WORK");
                Ok(Statement::Begin { read_only: false, consistent_snapshot: false })
            }
            "START" => self.start_transaction(),
            "COMMIT" => {
                let _ = self.word("WORK");
                let (chain, release) = self.chain_release()?;
                Ok(Statement::Commit { chain, release })
            }
            "ROLLBACK" => {
                let _ = self.word("WORK");
                if self.word("TO") {
                    let _ = self.word("SAVEPOINT");
                    return Ok(Statement::RollbackTo(self.identifier()?));
                }
                let (chain, release) = self.chain_release()?;
                Ok(Statement::Rollback { chain, release })
            }
            "SAVEPOINT" => Ok(Statement::Savepoint(self.identifier()?)),
            "RELEASE" => {
                self.expect("SAVEPOINT")?;
                Ok(Statement::ReleaseSavepoint(self.identifier()?))
            }
            "LOCK" => self.lock_tables(),
            "UNLOCK" => {
                if !self.word("TABLES") {
                    self.expect("TABLE")?;
                }
                Ok(Statement::UnlockTables)
            }
            "KILL" => {
                let query_only = self.word("QUERY");
                if !query_only {
                    let _ = self.word("CONNECTION");
                }
                Ok(Statement::Kill { query_only, id: self.expression()? })
            }
            "FLUSH" => self.flush(),
            "DO" => {
                let mut expressions = vec![self.expression()?];
                while self.token(&Token::Comma) {
                    expressions.push(self.expression()?);
                }
                Ok(Statement::Do(expressions))
            }
            _ => {
                let operation = match first {
                    "ANALYZE" => "analyze",
                    "OPTIMIZE" => "optimize",
                    "CHECK" => "check",
                    _ => "repair",
                };
                let _ = self.word("NO_WRITE_TO_BINLOG") || self.word("LOCAL");
                if !self.word("TABLE") {
                    self.expect("TABLES")?;
                }
                let names = self.names()?;
                while matches!(self.peek_word(0).as_deref(), Some("QUICK" | "FAST" | "MEDIUM" | "EXTENDED" | "CHANGED")) {
                    self.parser.advance_token();
                }
                Ok(Statement::Maintain { operation, names })
            }
        }
    }

    fn start_transaction(&mut self) -> Result<Statement, SqlError> {
        self.expect("TRANSACTION")?;
        let (mut read_only, mut consistent_snapshot) = (false, false);
        while !self.ended() {
            if self.words(&["READ", "ONLY"]) {
                read_only = true;
            } else if self.words(&["WITH", "CONSISTENT", "SNAPSHOT"]) {
                consistent_snapshot = true;
            } else if !self.words(&["READ", "WRITE"]) {
                return Err(self.syntax_here());
            }
            if !self.token(&Token::Comma) {
                break;
            }
        }
        Ok(Statement::Begin { read_only, consistent_snapshot })
    }

    fn chain_release(&mut self) -> Result<(bool, bool), SqlError> {
        let mut chain = false;
        if self.word("AND") {
            chain = !self.word("NO");
            self.expect("CHAIN")?;
        }
        let mut release = false;
        if self.word("NO") {
            self.expect("RELEASE")?;
        } else {
            release = self.word("RELEASE");
        }
        Ok((chain, release))
    }

    fn lock_tables(&mut self) -> Result<Statement, SqlError> {
        if !self.word("TABLES") {
            self.expect("TABLE")?;
        }
        let mut locks = Vec::new();
        loop {
            let name = self.name()?;
            // An alias, with or without AS.
            if self.word("AS") || !["READ", "WRITE", "LOW_PRIORITY"].iter().any(|w| self.at(w)) {
                self.identifier()?;
            }
            let _ = self.word("LOW_PRIORITY");
            let write = self.word("WRITE");
            if !write {
                self.expect("READ")?;
                let _ = self.word("LOCAL");
            }
            locks.push((name, write));
            if !self.token(&Token::Comma) {
                return Ok(Statement::LockTables(locks));
            }
        }
    }

    fn flush(&mut self) -> Result<Statement, SqlError> {
        let _ = self.word("NO_WRITE_TO_BINLOG") || self.word("LOCAL");
        let what = self.identifier()?.to_ascii_uppercase();
        let harmless = ["PRIVILEGES", "STATUS", "HOSTS", "LOGS", "TABLES", "TABLE", "QUERY"];
        if !harmless.contains(&what.as_str()) {
            return Err(SqlError::unsupported(format!("FLUSH {what}")));
        }
        if self.words(&["WITH", "READ", "LOCK"]) {
            return Err(SqlError::unsupported("FLUSH TABLES WITH READ LOCK"));
        }
        while !self.ended() {
            self.parser.advance_token();
        }
        Ok(Statement::Flush)
    }
}
