//! Statement text to tree. SELECT, INSERT, UPDATE and DELETE are sqlparser's; everything else (DDL, SET, SHOW, transactions) has a
//! small tree of its own, read here from the same tokens.

mod alter;
mod column;
mod ddl;
mod definition;
mod grammar;
mod session;

use std::collections::HashMap;

use pumasi_mysqlwire::SqlError;
use sqlparser::ast;
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

pub use definition::{
    AlterAction, AlterTable, CheckDefinition, ColumnDefinition, ColumnPosition, CreateTable, DefaultDefinition, ForeignKeyDefinition,
    KeyDefinition, TableItem, TableOptions,
};
pub use session::{Scope, SetItem, Show, ShowFilter};

use crate::catalogue::View;
use crate::error;
use grammar::Grammar;

/// A table or view as a statement names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    pub database: Option<String>,
    pub name: String,
}

/// One statement.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "one value per statement, made once and kept behind an Arc")]
pub enum Statement {
    Query(Box<Query>),
    Insert(Box<ast::Insert>),
    Update(Box<ast::Update>),
    Delete(Box<ast::Delete>),
    /// DO expression, ...
    Do(Vec<ast::Expr>),
    CreateTable(Box<CreateTable>),
    AlterTable(Box<AlterTable>),
    DropTables {
        names: Vec<Name>,
        if_exists: bool,
        temporary: bool,
    },
    RenameTables(Vec<(Name, Name)>),
    Truncate(Name),
    CreateView {
        or_replace: bool,
        name: Name,
        columns: Vec<String>,
        select: String,
    },
    DropViews {
        names: Vec<Name>,
        if_exists: bool,
    },
    CreateDatabase {
        name: String,
        if_not_exists: bool,
        collation: Option<String>,
    },
    AlterDatabase {
        name: Option<String>,
        collation: Option<String>,
    },
    DropDatabase {
        name: String,
        if_exists: bool,
    },
    Use(String),
    Set(Vec<SetItem>),
    Show(Show),
    /// EXPLAIN of a statement: how SQLite would run it.
    Explain(Box<Statement>),
    Begin {
        read_only: bool,
        consistent_snapshot: bool,
    },
    /// `chain`: AND CHAIN. `release`: RELEASE.
    Commit {
        chain: bool,
        release: bool,
    },
    Rollback {
        chain: bool,
        release: bool,
    },
    Savepoint(String),
    RollbackTo(String),
    ReleaseSavepoint(String),
    LockTables(Vec<(Name, bool)>),
    UnlockTables,
    Kill {
        query_only: bool,
        id: ast::Expr,
    },
    /// ANALYZE, OPTIMIZE, CHECK, REPAIR TABLE.
    Maintain {
        operation: &'static str,
        names: Vec<Name>,
    },
    /// FLUSH TABLES and the like: nothing to flush here, answered OK as MySQL does.
    Flush,
}

/// A SELECT with what its text tells beyond its tree.
#[derive(Clone, Debug)]
pub struct Query {
    pub tree: ast::Query,
    /// The source text of each item of the outermost select list: MySQL names unnamed columns so.
    pub item_texts: Vec<String>,
    /// FOR UPDATE, FOR SHARE, LOCK IN SHARE MODE.
    pub locking: bool,
    pub calc_found_rows: bool,
}

/// A statement, where its parameters stand, and how much of the text it used.
#[derive(Clone, Debug)]
pub struct Parsed {
    pub statement: Statement,
    pub parameters: Parameters,
    /// Bytes of the text, the `;` included.
    pub used: usize,
}

/// Which `?` stands where: by line and column, as the tree keeps them.
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    positions: HashMap<(u64, u64), usize>,
}

impl Parameters {
    pub fn count(&self) -> usize {
        self.positions.len()
    }

    pub fn index(&self, at: Location) -> Option<usize> {
        self.positions.get(&(at.line, at.column)).copied()
    }
}

/// Deepest nesting of expressions and subqueries. SQLite's own bound on expression depth is 1000; the stack of a session's thread
/// holds this many frames of a debug build.
const DEPTH_MAX: usize = 60;

/// Reads the first statement of `sql`. Errors: 1064, 1065 (nothing there), 1235.
pub fn parse(sql: &str, pipes_as_concat: bool) -> Result<Parsed, SqlError> {
    let grammar = Grammar::default();
    let tokens = tokens(&grammar, sql)?;
    let (statement, used) = first_statement(sql, tokens);
    let mut positions = HashMap::new();
    for token in &statement {
        if let Token::Placeholder(text) = &token.token {
            if text != "?" {
                return Err(syntax_at(sql, token.span.start));
            }
            let index = positions.len();
            positions.insert((token.span.start.line, token.span.start.column), index);
        }
    }
    if !statement.iter().any(|t| !matches!(t.token, Token::Whitespace(_) | Token::EOF)) {
        return Err(error::empty_query());
    }
    let (statement, share) = strip_share_mode(statement);
    let statement = adapt(statement, pipes_as_concat);
    let sql = sql[..used].strip_suffix(';').unwrap_or(&sql[..used]);
    let mut reader = Reader { sql, parser: Parser::new(&grammar).with_recursion_limit(DEPTH_MAX).with_tokens_with_locations(statement) };
    let mut tree = reader.statement()?;
    if let Statement::Query(query) = &mut tree {
        query.locking |= share;
    } else if share {
        return Err(reader.syntax_here());
    }
    reader.end()?;
    Ok(Parsed { statement: tree, parameters: Parameters { positions }, used })
}

/// Reads a view's SELECT or a default's expression, kept as text in the catalogue.
pub fn parse_query(sql: &str) -> Result<ast::Query, SqlError> {
    match parse(sql, false)?.statement {
        Statement::Query(query) => Ok(query.tree),
        _ => Err(error::syntax(sql, 1)),
    }
}

pub fn parse_expression(sql: &str) -> Result<ast::Expr, SqlError> {
    let query = parse_query(&format!("SELECT {sql}"))?;
    match *query.body {
        ast::SetExpr::Select(select) => match select.projection.into_iter().next() {
            Some(ast::SelectItem::UnnamedExpr(expr)) => Ok(expr),
            _ => Err(error::syntax(sql, 1)),
        },
        _ => Err(error::syntax(sql, 1)),
    }
}

impl View {
    pub fn tree(&self) -> Result<ast::Query, SqlError> {
        parse_query(&self.select)
    }
}

/// Statements that begin alike, told apart by their words.
pub(crate) struct Reader<'a> {
    sql: &'a str,
    parser: Parser<'a>,
}

impl<'a> Reader<'a> {
    fn statement(&mut self) -> Result<Statement, SqlError> {
        let first = self.peek_word(0).unwrap_or_default();
        match first.as_str() {
            "CREATE" => self.create(),
            "ALTER" => self.alter(),
            "DROP" => self.drop(),
            "RENAME" => self.rename(),
            "TRUNCATE" => self.truncate(),
            "SET" => self.set(),
            "SHOW" => self.show(),
            "DESCRIBE" | "DESC" | "EXPLAIN" => self.describe(),
            "USE" | "BEGIN" | "START" | "COMMIT" | "ROLLBACK" | "SAVEPOINT" | "RELEASE" | "LOCK" | "UNLOCK" | "KILL" | "FLUSH"
            | "ANALYZE" | "OPTIMIZE" | "CHECK" | "REPAIR" | "DO" => self.session_statement(&first),
            "GRANT" | "REVOKE" | "PREPARE" | "EXECUTE" | "DEALLOCATE" | "CALL" | "HANDLER" | "LOAD" | "XA" | "INSTALL" | "UNINSTALL"
            | "RESET" | "CHANGE" | "CACHE" | "CHECKSUM" | "BINLOG" | "PURGE" | "SIGNAL" | "RESIGNAL" | "GET" | "CLONE" | "SHUTDOWN"
            | "IMPORT" => Err(SqlError::unsupported(first)),
            "TABLE" => Err(SqlError::unsupported("TABLE statement")),
            _ => self.rows_statement(),
        }
    }

    /// SELECT, INSERT, REPLACE, UPDATE, DELETE, WITH, VALUES, `(SELECT ...)`.
    fn rows_statement(&mut self) -> Result<Statement, SqlError> {
        let texts = item_texts(self.sql, &self.tokens());
        let tree = self.parser.parse_statement().map_err(|e| self.syntax_error(e))?;
        match tree {
            ast::Statement::Query(query) => {
                let calc_found_rows = matches!(query.body.as_ref(), ast::SetExpr::Select(s)
                    if s.select_modifiers.as_ref().is_some_and(|m| m.sql_calc_found_rows));
                let locking = !query.locks.is_empty();
                if let ast::SetExpr::Insert(_) | ast::SetExpr::Update(_) | ast::SetExpr::Delete(_) | ast::SetExpr::Merge(_) =
                    query.body.as_ref()
                {
                    return Err(SqlError::unsupported("WITH before UPDATE or DELETE"));
                }
                Ok(Statement::Query(Box::new(Query { tree: *query, item_texts: texts, locking, calc_found_rows })))
            }
            ast::Statement::Insert(insert) => Ok(Statement::Insert(Box::new(insert))),
            ast::Statement::Update(update) => Ok(Statement::Update(Box::new(update))),
            ast::Statement::Delete(delete) => Ok(Statement::Delete(Box::new(delete))),
            other => {
                let text = other.to_string();
                let first = text.split_whitespace().next().unwrap_or("statement").to_uppercase();
                Err(SqlError::unsupported(first))
            }
        }
    }

    fn tokens(&self) -> Vec<TokenWithSpan> {
        let mut tokens = Vec::new();
        for n in 0.. {
            let token = self.parser.peek_nth_token_no_skip(n);
            if token.token == Token::EOF {
                break;
            }
            tokens.push(token);
        }
        tokens
    }

    // --- words ---

    /// The n-th token from here as an upper-case word, if it is one and not quoted.
    fn peek_word(&self, n: usize) -> Option<String> {
        match &self.parser.peek_nth_token_ref(n).token {
            Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_ascii_uppercase()),
            _ => None,
        }
    }

    fn at(&self, word: &str) -> bool {
        matches!(&self.parser.peek_token_ref().token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
    }

    /// Takes `word` if it is next.
    fn word(&mut self, word: &str) -> bool {
        let found = self.at(word);
        if found {
            self.parser.advance_token();
        }
        found
    }

    /// Takes all of `words` or none.
    fn words(&mut self, words: &[&str]) -> bool {
        let found = words.iter().enumerate().all(|(n, word)| self.peek_word(n).is_some_and(|w| w == *word));
        if found {
            for _ in words {
                self.parser.advance_token();
            }
        }
        found
    }

    fn expect(&mut self, word: &str) -> Result<(), SqlError> {
        if self.word(word) { Ok(()) } else { Err(self.syntax_here()) }
    }

    fn token(&mut self, token: &Token) -> bool {
        self.parser.consume_token(token)
    }

    fn expect_token(&mut self, token: &Token) -> Result<(), SqlError> {
        if self.token(token) { Ok(()) } else { Err(self.syntax_here()) }
    }

    fn identifier(&mut self) -> Result<String, SqlError> {
        match &self.parser.peek_token_ref().token {
            Token::Word(word) => {
                let value = word.value.clone();
                self.parser.advance_token();
                Ok(value)
            }
            _ => Err(self.syntax_here()),
        }
    }

    fn identifiers_in_parentheses(&mut self) -> Result<Vec<String>, SqlError> {
        self.expect_token(&Token::LParen)?;
        let mut names = vec![self.identifier()?];
        while self.token(&Token::Comma) {
            names.push(self.identifier()?);
        }
        self.expect_token(&Token::RParen)?;
        Ok(names)
    }

    fn name(&mut self) -> Result<Name, SqlError> {
        let first = self.identifier()?;
        if self.token(&Token::Period) {
            return Ok(Name { database: Some(first), name: self.identifier()? });
        }
        Ok(Name { database: None, name: first })
    }

    fn names(&mut self) -> Result<Vec<Name>, SqlError> {
        let mut names = vec![self.name()?];
        while self.token(&Token::Comma) {
            names.push(self.name()?);
        }
        Ok(names)
    }

    fn string(&mut self) -> Result<String, SqlError> {
        match self.parser.peek_token_ref().token.clone() {
            Token::SingleQuotedString(text) | Token::DoubleQuotedString(text) => {
                self.parser.advance_token();
                Ok(text)
            }
            _ => Err(self.syntax_here()),
        }
    }

    fn number(&mut self) -> Result<u64, SqlError> {
        match self.parser.peek_token_ref().token.clone() {
            Token::Number(text, _) => {
                let value = text.parse().map_err(|_| self.syntax_here())?;
                self.parser.advance_token();
                Ok(value)
            }
            _ => Err(self.syntax_here()),
        }
    }

    fn expression(&mut self) -> Result<ast::Expr, SqlError> {
        self.parser.parse_expr().map_err(|e| self.syntax_error(e))
    }

    /// IF EXISTS.
    fn if_exists(&mut self) -> bool {
        self.words(&["IF", "EXISTS"])
    }

    fn if_not_exists(&mut self) -> bool {
        self.words(&["IF", "NOT", "EXISTS"])
    }

    fn end(&mut self) -> Result<(), SqlError> {
        if self.parser.peek_token_ref().token == Token::EOF { Ok(()) } else { Err(self.syntax_here()) }
    }

    fn ended(&self) -> bool {
        self.parser.peek_token_ref().token == Token::EOF
    }

    // --- errors ---

    fn syntax_here(&self) -> SqlError {
        let token = self.parser.peek_token_ref();
        if token.token == Token::EOF { error::syntax("", last_line(self.sql)) } else { syntax_at(self.sql, token.span.start) }
    }

    fn syntax_error(&self, error: sqlparser::parser::ParserError) -> SqlError {
        use sqlparser::parser::ParserError;
        match error {
            ParserError::RecursionLimitExceeded => SqlError::unsupported(format!("nesting deeper than {DEPTH_MAX}")),
            ParserError::TokenizerError(text) | ParserError::ParserError(text) => match location_in(&text) {
                Some(at) => syntax_at(self.sql, at),
                None => error::syntax("", last_line(self.sql)),
            },
        }
    }

    /// Offset in the text of the next token; the text's end if there is none.
    fn offset(&self) -> usize {
        let token = self.parser.peek_token_ref();
        if token.token == Token::EOF { self.sql.len() } else { offset_of(self.sql, token.span.start) }
    }
}

// === helpers ===

fn tokens(grammar: &Grammar, sql: &str) -> Result<Vec<TokenWithSpan>, SqlError> {
    Tokenizer::new(grammar, sql).tokenize_with_location().map_err(|e| syntax_at(sql, e.location))
}

/// The tokens up to the first `;`, and how many bytes they and it take.
fn first_statement(sql: &str, mut tokens: Vec<TokenWithSpan>) -> (Vec<TokenWithSpan>, usize) {
    let Some(end) = tokens.iter().position(|t| t.token == Token::SemiColon) else { return (tokens, sql.len()) };
    let used = offset_of(sql, tokens[end].span.start) + 1;
    tokens.truncate(end);
    (tokens, used)
}

/// Takes LOCK IN SHARE MODE off the end.
fn strip_share_mode(mut tokens: Vec<TokenWithSpan>) -> (Vec<TokenWithSpan>, bool) {
    let words: Vec<usize> = (0..tokens.len()).filter(|&i| !matches!(tokens[i].token, Token::Whitespace(_) | Token::EOF)).collect();
    if words.len() < 4 {
        return (tokens, false);
    }
    let tail = &words[words.len() - 4..];
    let spelled = tail.iter().zip(["LOCK", "IN", "SHARE", "MODE"]).all(|(&i, word)| is_word(&tokens[i].token, word));
    if spelled {
        tokens.truncate(tail[0]);
    }
    (tokens, spelled)
}

/// Operators that MySQL spells unlike the parser: `||` is OR (unless PIPES_AS_CONCAT), `&&` is AND, `a MOD b` is `a % b`.
fn adapt(mut tokens: Vec<TokenWithSpan>, pipes_as_concat: bool) -> Vec<TokenWithSpan> {
    let next_significant = |tokens: &[TokenWithSpan], from: usize| {
        tokens[from..].iter().find(|t| !matches!(t.token, Token::Whitespace(_))).map(|t| t.token.clone())
    };
    let mut previous_operand = false;
    for i in 0..tokens.len() {
        let replacement = match &tokens[i].token {
            Token::StringConcat if !pipes_as_concat => Some(Token::make_keyword("OR")),
            Token::Overlap => Some(Token::make_keyword("AND")),
            word if is_word(word, "MOD") && (previous_operand || next_significant(&tokens, i + 1) != Some(Token::LParen)) => {
                Some(Token::Mod)
            }
            _ => None,
        };
        if let Some(token) = replacement {
            tokens[i].token = token;
        }
        match &tokens[i].token {
            Token::Whitespace(_) => {}
            Token::Word(word) => previous_operand = word.keyword == Keyword::NoKeyword || word.quote_style.is_some(),
            Token::Number(..) | Token::SingleQuotedString(_) | Token::DoubleQuotedString(_) | Token::RParen | Token::Placeholder(_) => {
                previous_operand = true;
            }
            _ => previous_operand = false,
        }
    }
    tokens
}

fn is_word(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
}

/// The texts between the commas of the outermost select list.
fn item_texts(sql: &str, tokens: &[TokenWithSpan]) -> Vec<String> {
    let mut depth = 0i32;
    let mut texts = Vec::new();
    let mut start: Option<usize> = None;
    let mut item: Option<(Location, Location)> = None;
    let mut opened = 0;
    for token in tokens {
        match &token.token {
            Token::Whitespace(_) => continue,
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        match start {
            None => {
                if is_word(&token.token, "SELECT") && (depth == 0 || texts.is_empty()) {
                    start = Some(texts.len());
                    opened = depth;
                }
                continue;
            }
            Some(_) if depth < opened => break,
            Some(_) => {}
        }
        if depth == opened {
            if token.token == Token::Comma {
                texts.push(text_of(sql, item.take()));
                continue;
            }
            let clause = ["FROM", "INTO", "WHERE", "UNION", "LIMIT", "ORDER", "GROUP", "HAVING", "FOR", "EXCEPT", "INTERSECT", "WINDOW"];
            if clause.iter().any(|word| is_word(&token.token, word)) {
                break;
            }
            let modifiers = ["ALL", "DISTINCT", "DISTINCTROW", "SQL_CALC_FOUND_ROWS", "SQL_NO_CACHE", "HIGH_PRIORITY", "STRAIGHT_JOIN"];
            if item.is_none() && modifiers.iter().any(|word| is_word(&token.token, word)) {
                continue;
            }
        }
        item = Some((item.map_or(token.span.start, |(from, _)| from), token.span.end));
    }
    texts.push(text_of(sql, item));
    texts
}

fn text_of(sql: &str, span: Option<(Location, Location)>) -> String {
    span.map_or(String::new(), |(from, to)| sql[offset_of(sql, from)..offset_of(sql, to)].to_owned())
}

/// Byte offset of a line and column (both from 1, columns in characters).
fn offset_of(sql: &str, at: Location) -> usize {
    let mut line_start = 0;
    for _ in 1..at.line {
        match sql[line_start..].find('\n') {
            Some(newline) => line_start += newline + 1,
            None => return sql.len(),
        }
    }
    let column = usize::try_from(at.column.saturating_sub(1)).unwrap_or(usize::MAX);
    sql[line_start..].char_indices().nth(column).map_or(sql.len(), |(offset, _)| line_start + offset)
}

fn syntax_at(sql: &str, at: Location) -> SqlError {
    error::syntax(&sql[offset_of(sql, at)..], at.line.max(1))
}

fn last_line(sql: &str) -> u64 {
    1 + sql.bytes().filter(|c| *c == b'\n').count() as u64
}

/// The `at Line: 1, Column: 2` that the parser ends its messages with.
fn location_in(message: &str) -> Option<Location> {
    let rest = &message[message.rfind("Line: ")? + 6..];
    let (line, rest) = rest.split_once(", Column: ")?;
    let column: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some(Location { line: line.parse().ok()?, column: column.parse().ok()? })
}
