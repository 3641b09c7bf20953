//! What a statement's text says about where it may run and what it leaves behind in its session.
//!
//! The server itself reports most of what changes a session (see [`super::state`]). What it does not report is looked for here, word by
//! word, and rather found once too often than missed: a word in the wrong place pins a session that need not be, nothing else.

use pumasi_sqltext::{Token, Tokens};

/// What [`Nature::of`] found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nature {
    /// The session keeps its server connection from this statement on; the reason, for people.
    pub pins: Option<&'static str>,
    /// Keeps the connection until a transaction has ended: SET TRANSACTION is about the next one.
    pub until_transaction: bool,
    /// The answer belongs to the statement before, on the connection where that ran.
    pub looks_back: Option<LooksBack>,
    /// Begins with SELECT and the like: changes nothing.
    pub reads: bool,
    /// Neither reads nor writes rows: SET, SHOW, BEGIN, COMMIT.
    pub controls: bool,
    /// Changes what a session begins with: global variables, accounts, rights. Who logs in after it needs a connection that was made after it.
    pub outdates: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LooksBack {
    /// LAST_INSERT_ID(): a number that can be carried to another connection.
    InsertId,
    /// SHOW WARNINGS, SHOW ERRORS, their counts.
    Warnings,
    /// FOUND_ROWS().
    FoundRows,
    /// ROW_COUNT().
    RowCount,
}

impl Nature {
    pub fn of(sql: &[u8]) -> Nature {
        let mut nature = Nature::default();
        let mut first = None;
        let (mut tokens, mut end, mut named, mut assigned) = (Tokens::new(sql), 0, false, false);
        let (mut variables, mut assigns, mut before) = (false, false, None);
        while let Some(token) = tokens.next() {
            let host = named && end == tokens.began();
            end = tokens.end();
            named = matches!(token, Token::Word(_) | Token::Quoted(_) | Token::String(_));
            let word = match token {
                Token::Executable => continue,
                Token::Word(text) => Word::of(text),
                // `user@host` and `'user'@'host'` are no variables.
                Token::Variable(name) if !host => Word::of(name),
                _ => Word::None,
            };
            let first = *first.get_or_insert(word);
            variables |= word == Word::UserVariable;
            // `@a := 1`, `INTO @a`.
            assigns |= before == Some(Token::Sign(b':')) && token == Token::Sign(b'=');
            assigns |= word == Word::UserVariable && before.is_some_and(|before| before.is("into"));
            before = Some(token);
            nature.note(first, word);
            nature.outdates |= word == Word::Global && first == Word::Set && assigned;
            assigned = matches!(word, Word::Set) || token == Token::Sign(b',');
        }
        let first = first.unwrap_or(Word::None);
        if variables && (assigns || !matches!(first, Word::Select | Word::With | Word::Change)) {
            nature.pin(USER_VARIABLE);
        }
        nature.reads = matches!(first, Word::Select | Word::With | Word::Table | Word::Values);
        nature.controls = matches!(first, Word::Set | Word::Show | Word::Control);
        match first {
            Word::Prepare => nature.pin("PREPARE"),
            Word::Handler => nature.pin("HANDLER"),
            Word::Call => nature.pin("CALL"),
            Word::Lock => nature.pin("LOCK"),
            Word::Flush => {
                nature.pin("FLUSH");
                nature.outdates = true;
            }
            Word::Grant => nature.outdates = true,
            Word::Xa => nature.pin("XA"),
            _ => {}
        }
        nature
    }

    fn note(&mut self, first: Word, word: Word) {
        match word {
            Word::Temporary => self.pin("temporary table"),
            Word::GetLock => self.pin("GET_LOCK"),
            // Whoever asks for it means to find the session by it.
            Word::ConnectionId => self.pin("CONNECTION_ID()"),
            Word::CalcFoundRows => self.pin("SQL_CALC_FOUND_ROWS"),
            Word::SessionTrack => self.pin("session tracking"),
            // Collations are not among what the server reports, so they cannot be carried over.
            Word::Collate if first == Word::Set => self.pin(COLLATE),
            Word::Character if first == Word::Set => self.pin("SET CHARACTER SET"),
            Word::CollationVariable if first == Word::Set => self.pin("SET collation"),
            // Roles are not among the variables that are reported.
            Word::Identity if first == Word::Set => self.pin("SET ROLE"),
            Word::Account if matches!(first, Word::Set | Word::Define) => self.outdates = true,
            Word::Transaction if first == Word::Set => self.until_transaction = true,
            Word::InsertId => self.looks_back = Some(LooksBack::InsertId),
            Word::FoundRows => self.looks_back = Some(LooksBack::FoundRows),
            Word::RowCount => self.looks_back = Some(LooksBack::RowCount),
            Word::WarningCount => self.looks_back = Some(LooksBack::Warnings),
            Word::Warnings if first == Word::Show => self.looks_back = Some(LooksBack::Warnings),
            _ => {}
        }
    }

    fn pin(&mut self, reason: &'static str) {
        self.pins.get_or_insert(reason);
    }
}

/// A user variable with its `@`, in lower case, and the literal that it was set to.
pub type Assignment = (Vec<u8>, Vec<u8>);

/// What [`Nature::pins`] says of a user variable that was set, or may have been.
pub const USER_VARIABLE: &str = "user variable";

/// Bytes of a literal that is carried from connection to connection.
const LITERAL_MAX: usize = 1024;

/// The variables and literals of `SET @a = 1, @b = 'x'`; empty for any other statement, and for a literal that could mean something else on another
/// connection: one with a backslash or a byte that is not ASCII.
pub fn literals_assigned(sql: &[u8]) -> Vec<Assignment> {
    assignments(sql).unwrap_or_default()
}

fn assignments(sql: &[u8]) -> Option<Vec<Assignment>> {
    let mut tokens = Tokens::new(sql).peekable();
    tokens.next().filter(|token| token.is("set"))?;
    let mut found = Vec::new();
    loop {
        let Token::Variable(name) = tokens.next()? else { return None };
        let plain = name.len() > 1 && name[1..].iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'.'));
        if !plain {
            return None;
        }
        tokens.next_if_eq(&Token::Sign(b':'));
        tokens.next().filter(|token| *token == Token::Sign(b'='))?;
        let mut literal = Vec::new();
        if tokens.next_if_eq(&Token::Sign(b'-')).is_some() {
            literal.push(b'-');
        }
        match tokens.next()? {
            Token::Number(digits) => literal.extend_from_slice(digits),
            Token::String(text) if literal.is_empty() => literal.extend_from_slice(&plain_string(text)?),
            Token::Word(word) if literal.is_empty() => {
                let known = [&b"NULL"[..], b"TRUE", b"FALSE"].into_iter().find(|known| known.eq_ignore_ascii_case(word))?;
                literal.extend_from_slice(known);
            }
            _ => return None,
        }
        if literal.len() > LITERAL_MAX {
            return None;
        }
        found.push((name.to_ascii_lowercase(), literal));
        match tokens.next() {
            Some(Token::Sign(b',')) => {}
            Some(Token::Sign(b';')) if tokens.next().is_none() => return Some(found),
            None => return Some(found),
            Some(_) => return None,
        }
    }
}

/// A string as it may be written under any sql_mode.
fn plain_string(text: &[u8]) -> Option<Vec<u8>> {
    let (first, last) = (*text.first()?, *text.last()?);
    let inner = text.get(1..text.len().checked_sub(1)?)?;
    let plain = first == last && inner.is_ascii() && !inner.contains(&b'\\') && !inner.contains(&0);
    match first {
        b'\'' if plain && inner.iter().filter(|byte| **byte == b'\'').count() % 2 == 0 => Some(text.to_vec()),
        b'"' if plain && !inner.iter().any(|byte| matches!(byte, b'"' | b'\'')) => Some([b"'", inner, b"'"].concat()),
        _ => None,
    }
}

/// What [`Nature::pins`] says of a collation that was set.
pub const COLLATE: &str = "SET ... COLLATE";

/// The collation of `SET NAMES charset COLLATE collation`, which several drivers send at every login; `None` for any other statement.
pub fn names_collation(sql: &[u8]) -> Option<Vec<u8>> {
    let mut tokens = Tokens::new(sql);
    let mut word = |wanted| tokens.next().is_some_and(|token| token.is(wanted)).then_some(());
    word("set")?;
    word("names")?;
    name(tokens.next()?)?;
    tokens.next().filter(|token| token.is("collate"))?;
    let collation = name(tokens.next()?)?;
    tokens.all(|token| token == Token::Sign(b';')).then(|| collation.to_ascii_lowercase())
}

/// A name of letters, digits and underlines, with or without quotes.
fn name(token: Token<'_>) -> Option<&[u8]> {
    let (Token::Word(text) | Token::String(text)) = token else { return None };
    let text = text.strip_prefix(b"'").and_then(|text| text.strip_suffix(b"'")).unwrap_or(text);
    text.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').then_some(text)
}

/// The words that mean something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    None,
    Select,
    With,
    Table,
    Values,
    Set,
    Show,
    /// BEGIN, START, COMMIT, ROLLBACK, USE.
    Control,
    /// INSERT, REPLACE, UPDATE, DELETE.
    Change,
    Prepare,
    Handler,
    Call,
    Lock,
    Flush,
    Xa,
    UserVariable,
    Temporary,
    GetLock,
    ConnectionId,
    CalcFoundRows,
    SessionTrack,
    Collate,
    Character,
    CollationVariable,
    /// Who the session is, beyond its user.
    Identity,
    /// GLOBAL, `@@global.name`.
    Global,
    /// GRANT, REVOKE.
    Grant,
    /// CREATE, ALTER, DROP, RENAME.
    Define,
    /// USER, PASSWORD.
    Account,
    Transaction,
    InsertId,
    FoundRows,
    RowCount,
    WarningCount,
    Warnings,
}

impl Word {
    fn of(text: &[u8]) -> Word {
        // `@@session.name` and `@@name` are variables of the system, `@name` of the user; `user@host` is neither.
        if let Some(name) = text.strip_prefix(b"@@") {
            return Word::system_variable(name);
        }
        if text.first() == Some(&b'@') {
            return Word::UserVariable;
        }
        const WORDS: [(&str, Word); 53] = [
            ("select", Word::Select),
            ("with", Word::With),
            ("table", Word::Table),
            ("values", Word::Values),
            ("set", Word::Set),
            ("show", Word::Show),
            ("begin", Word::Control),
            ("insert", Word::Change),
            ("replace", Word::Change),
            ("update", Word::Change),
            ("delete", Word::Change),
            ("start", Word::Control),
            ("commit", Word::Control),
            ("rollback", Word::Control),
            ("use", Word::Control),
            ("prepare", Word::Prepare),
            ("handler", Word::Handler),
            ("call", Word::Call),
            ("lock", Word::Lock),
            ("flush", Word::Flush),
            ("xa", Word::Xa),
            ("temporary", Word::Temporary),
            ("get_lock", Word::GetLock),
            ("connection_id", Word::ConnectionId),
            ("sql_calc_found_rows", Word::CalcFoundRows),
            ("collate", Word::Collate),
            ("character", Word::Character),
            ("charset", Word::Collate),
            ("collation_connection", Word::CollationVariable),
            ("transaction", Word::Transaction),
            ("last_insert_id", Word::InsertId),
            ("lastval", Word::GetLock),
            ("found_rows", Word::FoundRows),
            ("row_count", Word::RowCount),
            ("warnings", Word::Warnings),
            ("errors", Word::Warnings),
            ("diagnostics", Word::WarningCount),
            ("sql_log_bin", Word::SessionTrack),
            ("role", Word::Identity),
            ("authorization", Word::Identity),
            ("resource", Word::Identity),
            ("previous", Word::GetLock),
            ("backup", Word::Lock),
            ("execute", Word::Prepare),
            ("global", Word::Global),
            ("grant", Word::Grant),
            ("revoke", Word::Grant),
            ("create", Word::Define),
            ("alter", Word::Define),
            ("drop", Word::Define),
            ("rename", Word::Define),
            ("user", Word::Account),
            ("password", Word::Account),
        ];
        // No word of the list is longer, so most of a statement's names are passed over by their length.
        const LONGEST: usize = 20;
        if text.len() > LONGEST {
            return if starts_with(text, "session_track") { Word::SessionTrack } else { Word::None };
        }
        let known = WORDS.iter().find(|(word, _)| text.eq_ignore_ascii_case(word.as_bytes())).map(|(_, word)| *word);
        known.unwrap_or(if starts_with(text, "session_track") { Word::SessionTrack } else { Word::None })
    }

    fn system_variable(name: &[u8]) -> Word {
        if starts_with(name, "global.") {
            return Word::Global;
        }
        let name = name.rsplit(|&byte| byte == b'.').next().unwrap_or(name);
        match name.to_ascii_lowercase().as_slice() {
            b"last_insert_id" | b"identity" => Word::InsertId,
            b"warning_count" | b"error_count" => Word::WarningCount,
            b"collation_connection" => Word::CollationVariable,
            b"sql_log_bin" => Word::SessionTrack,
            name if starts_with(name, "session_track") => Word::SessionTrack,
            _ => Word::None,
        }
    }
}

fn starts_with(text: &[u8], prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_that_leave_something_behind_pin_the_session() {
        for (sql, reason) in [
            ("SET @a = 1", "user variable"),
            ("SELECT @b := 5", "user variable"),
            ("SET @b = @a", "user variable"),
            ("SELECT 1 INTO @b", "user variable"),
            ("LOAD DATA INFILE 'x' INTO TABLE t (@b)", "user variable"),
            ("DO @b", "user variable"),
            ("SELECT id INTO @x FROM t", "user variable"),
            ("CREATE TEMPORARY TABLE x (a INT)", "temporary table"),
            ("create or replace temporary table x (a int)", "temporary table"),
            ("SELECT GET_LOCK('a', 1)", "GET_LOCK"),
            ("PREPARE p FROM 'SELECT 1'", "PREPARE"),
            ("LOCK TABLES t WRITE", "LOCK"),
            ("FLUSH TABLES WITH READ LOCK", "FLUSH"),
            ("HANDLER t OPEN", "HANDLER"),
            ("CALL p()", "CALL"),
            ("XA START 'x'", "XA"),
            ("SELECT SQL_CALC_FOUND_ROWS * FROM t LIMIT 1", "SQL_CALC_FOUND_ROWS"),
            ("SET NAMES utf8mb4 COLLATE utf8mb4_bin", "SET ... COLLATE"),
            ("SET CHARACTER SET utf8mb4", "SET CHARACTER SET"),
            ("SET CHARSET utf8mb4", "SET ... COLLATE"),
            ("SET @@session.collation_connection = utf8mb4_bin", "SET collation"),
            ("SET sql_log_bin = 0", "session tracking"),
            ("SET ROLE admin", "SET ROLE"),
            ("EXECUTE IMMEDIATE 'SET @a = 1'", "PREPARE"),
            ("BACKUP STAGE START", "LOCK"),
            ("SET session_track_gtids = OFF", "session tracking"),
            ("/*!50000 SET */ @a = 1", "user variable"),
        ] {
            assert_eq!(Nature::of(sql.as_bytes()).pins, Some(reason), "{sql}");
        }
    }

    #[test]
    fn who_logs_in_after_a_change_of_globals_or_accounts_needs_a_new_connection() {
        for sql in [
            "SET GLOBAL sql_mode = ''",
            "SET @@global.sql_mode = ''",
            "SET autocommit = 1, global sql_mode = ''",
            "GRANT SELECT ON shop.* TO app",
            "REVOKE ALL ON shop.* FROM app",
            "DROP USER app",
            "CREATE OR REPLACE USER app",
            "SET PASSWORD FOR app = PASSWORD('x')",
            "FLUSH PRIVILEGES",
        ] {
            assert!(Nature::of(sql.as_bytes()).outdates, "{sql}");
        }
        // Among them what drivers send at every login.
        for sql in [
            "SET SESSION sql_mode = @@global.sql_mode",
            "SELECT @@global.sql_mode, user, password FROM t",
            "SET NAMES utf8mb4",
            "UPDATE user SET password = 'x', global = 1",
            "CREATE TABLE t (a INT)",
        ] {
            assert!(!Nature::of(sql.as_bytes()).outdates, "{sql}");
        }
    }

    #[test]
    fn everyday_statements_do_not_pin() {
        for sql in [
            "SELECT * FROM t WHERE a = 'SET @a' -- GET_LOCK\n",
            "SELECT @@session.autocommit, @@version_comment",
            "SELECT 1+@b",
            "INSERT INTO t SELECT @b",
            "UPDATE t SET a = @b",
            "SET NAMES utf8mb4",
            "SET autocommit = 0, sql_mode = 'STRICT_TRANS_TABLES'",
            "SET character_set_results = NULL",
            "INSERT INTO t VALUES (1)",
            "BEGIN",
            "SELECT `get_lock` FROM t COLLATE utf8mb4_bin",
            "SELECT user FROM mysql.user WHERE user = 'a@b'",
            "GRANT SELECT ON shop.* TO app@localhost",
            "CREATE USER 'app'@'%' IDENTIFIED BY 'x'",
        ] {
            assert_eq!(Nature::of(sql.as_bytes()).pins, None, "{sql}");
        }
    }

    #[test]
    fn literals_that_user_variables_are_set_to_are_known() {
        for (sql, expected) in [
            ("SET @a = 1", "@a=1"),
            ("set @A := -1.5e3, @b='it''s';", "@a=-1.5e3 @b='it''s'"),
            ("SET @a = \"x\", @b = null, @c=TRUE", "@a='x' @b=NULL @c=TRUE"),
            ("SET @a.b$c = ''", "@a.b$c=''"),
            ("SET @a = 'x\\'y'", ""),
            ("SET @a = '가'", ""),
            ("SET @a = \"it's\"", ""),
            ("SET @a = 1 + 1", ""),
            ("SET @a = x'41'", ""),
            ("SET @a = _latin1'x'", ""),
            ("SET @a = NOW()", ""),
            ("SET @a = -'1'", ""),
            ("SET @a = 1, autocommit = 0", ""),
            ("SET @`a b` = 1", ""),
            ("SET @@sql_mode = ''", ""),
            ("SET @a = 1; SELECT 1", ""),
            ("SET @a = 'never ends", ""),
            ("SET @a", ""),
        ] {
            let found = literals_assigned(sql.as_bytes());
            let shown: Vec<String> =
                found.iter().map(|(name, value)| format!("{}={}", String::from_utf8_lossy(name), String::from_utf8_lossy(value))).collect();
            assert_eq!(shown.join(" "), expected, "{sql}");
        }
    }

    #[test]
    fn a_collation_set_with_the_names_is_known() {
        for (sql, collation) in [
            ("SET NAMES utf8mb4 COLLATE utf8mb4_bin", Some("utf8mb4_bin")),
            ("set names 'utf8mb4' collate 'UTF8MB4_0900_ai_ci';", Some("utf8mb4_0900_ai_ci")),
            ("SET NAMES utf8mb4", None),
            ("SET NAMES utf8mb4 COLLATE utf8mb4_bin, sql_mode = ''", None),
            ("SET NAMES utf8mb4 COLLATE @x", None),
            ("SET sql_mode = '' COLLATE utf8mb4_bin", None),
        ] {
            assert_eq!(names_collation(sql.as_bytes()), collation.map(|name| name.as_bytes().to_vec()), "{sql}");
        }
    }

    #[test]
    fn what_looks_back_is_seen() {
        for (sql, back) in [
            ("SELECT LAST_INSERT_ID()", LooksBack::InsertId),
            ("INSERT INTO u (t_id) VALUES (LAST_INSERT_ID())", LooksBack::InsertId),
            ("SELECT @@IDENTITY", LooksBack::InsertId),
            ("SHOW WARNINGS", LooksBack::Warnings),
            ("SHOW COUNT(*) ERRORS", LooksBack::Warnings),
            ("SELECT @@warning_count", LooksBack::Warnings),
            ("SELECT FOUND_ROWS()", LooksBack::FoundRows),
            ("select row_count()", LooksBack::RowCount),
        ] {
            assert_eq!(Nature::of(sql.as_bytes()).looks_back, Some(back), "{sql}");
        }
        assert_eq!(Nature::of(b"SELECT 'LAST_INSERT_ID()'").looks_back, None);
    }

    #[test]
    fn reads_and_control_are_told_apart_from_writes() {
        for (sql, reads, controls) in [
            ("SELECT 1", true, false),
            ("(SELECT 1) UNION (SELECT 2)", false, false),
            ("WITH x AS (SELECT 1) SELECT * FROM x", true, false),
            ("INSERT INTO t VALUES (1)", false, false),
            ("SHOW TABLES", false, true),
            ("START TRANSACTION", false, true),
            ("SET TRANSACTION READ ONLY", false, true),
            ("DELETE FROM t", false, false),
        ] {
            let nature = Nature::of(sql.as_bytes());
            assert_eq!((nature.reads, nature.controls), (reads, controls), "{sql}");
        }
        assert!(Nature::of(b"SET TRANSACTION READ ONLY").until_transaction);
    }
}
