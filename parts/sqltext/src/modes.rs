//! Texts of sessions whose settings make them mean something else, written as a session with the server's default settings would write them.
//!
//! The lexer knows one language: `"x"` is a string, a backslash escapes, and every byte below 0x80 is the character it looks like. ANSI_QUOTES,
//! NO_BACKSLASH_ESCAPES and the character sets whose characters may end in a backslash change that, for whole sessions. Whoever tracks the
//! session reads its texts through [`Modes::read`]; the server is sent what the client wrote.

use std::borrow::Cow;

/// How a session's texts are to be read. The default: as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modes {
    /// `"x"` is a name.
    pub ansi_quotes: bool,
    /// A backslash is a backslash.
    pub no_backslash_escapes: bool,
    /// A character of two bytes may end in what looks like a letter or a backslash.
    pub shifting: bool,
}

/// Character sets in which the second byte of a character may be below 0x80.
const SHIFTING: [&[u8]; 5] = [b"big5", b"cp932", b"gb18030", b"gbk", b"sjis"];

/// The same by the numbers of their collations, as a login tells them.
const SHIFTING_COLLATIONS: [u8; 11] = [1, 13, 28, 84, 87, 88, 95, 96, 248, 249, 250];

/// What stands for a statement that cannot be read. It is understood as something that may write everything and leave anything behind.
const UNREADABLE: &[u8] = b"CALL `a statement in a character set that is not read here`()";

impl Modes {
    /// `sql_mode` as the server shows it: combinations such as ANSI are spelled out there.
    pub fn with_sql_mode(self, sql_mode: &[u8]) -> Modes {
        let has = |name: &[u8]| sql_mode.split(|byte| *byte == b',').any(|mode| mode.eq_ignore_ascii_case(name));
        Modes { ansi_quotes: has(b"ANSI_QUOTES"), no_backslash_escapes: has(b"NO_BACKSLASH_ESCAPES"), ..self }
    }

    /// The value of `character_set_client`.
    pub fn with_charset(self, name: &[u8]) -> Modes {
        Modes { shifting: SHIFTING.iter().any(|shifting| name.eq_ignore_ascii_case(shifting)), ..self }
    }

    /// The collation of a login, which says the character set.
    pub fn with_collation(self, number: u8) -> Modes {
        Modes { shifting: SHIFTING_COLLATIONS.contains(&number), ..self }
    }

    /// Texts mean what they mean by default.
    pub fn plain(self) -> bool {
        self == Modes::default()
    }

    /// `sql` in the language of the default settings. Copied only where there is a difference.
    pub fn read(self, sql: &[u8]) -> Cow<'_, [u8]> {
        if self.shifting && !sql.is_ascii() {
            return Cow::Borrowed(UNREADABLE);
        }
        let differs = self.ansi_quotes && sql.contains(&b'"') || self.no_backslash_escapes && sql.contains(&b'\\');
        if differs { Cow::Owned(self.translate(sql)) } else { Cow::Borrowed(sql) }
    }

    fn translate(self, sql: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(sql.len() + 16);
        let mut rest = sql;
        while let Some(&first) = rest.first() {
            let piece = match first {
                b'"' if self.ansi_quotes => {
                    let (name, length) = quoted(rest, false);
                    out.push(b'`');
                    put_name(&mut out, name);
                    if length > name.len() + 1 {
                        out.push(b'`');
                    }
                    rest = &rest[length..];
                    continue;
                }
                b'\'' | b'"' if self.no_backslash_escapes => {
                    let (_, length) = quoted(rest, false);
                    for byte in &rest[..length] {
                        out.extend_from_slice(if *byte == b'\\' { b"\\\\" } else { std::slice::from_ref(byte) });
                    }
                    rest = &rest[length..];
                    continue;
                }
                b'\'' | b'"' => quoted(rest, true).1,
                b'`' => quoted(rest, false).1,
                b'#' => line(rest),
                b'-' if begins_comment(rest) => line(rest),
                // What is executed is read on like the rest.
                b'/' if rest.starts_with(b"/*") && !rest.starts_with(b"/*!") && !rest.starts_with(b"/*M!") => {
                    rest[2..].windows(2).position(|pair| pair == b"*/").map_or(rest.len(), |end| 2 + end + 2)
                }
                _ => 1,
            };
            out.extend_from_slice(&rest[..piece]);
            rest = &rest[piece..];
        }
        out
    }
}

// === helpers ===

/// What is between the quotes that `text` begins with, and how long it is with them; without an end it runs to that of the text.
fn quoted(text: &[u8], escapes: bool) -> (&[u8], usize) {
    let (quote, mut at) = (text[0], 1);
    while let Some(&byte) = text.get(at) {
        if byte == b'\\' && escapes || byte == quote && text.get(at + 1) == Some(&quote) {
            at += 2;
        } else if byte == quote {
            return (&text[1..at], at + 1);
        } else {
            at += 1;
        }
    }
    (&text[1..], text.len())
}

/// A name from between double quotes, for between backticks.
fn put_name(out: &mut Vec<u8>, name: &[u8]) {
    let mut at = 0;
    while let Some(&byte) = name.get(at) {
        match byte {
            b'"' => {
                // Doubled, or the last one of a name without end.
                out.push(b'"');
                at += 1;
            }
            b'`' => out.extend_from_slice(b"``"),
            other => out.push(other),
        }
        at += 1;
    }
}

fn begins_comment(text: &[u8]) -> bool {
    match text {
        [b'-', b'-'] => true,
        [b'-', b'-', after, ..] => after.is_ascii_whitespace() || after.is_ascii_control(),
        _ => false,
    }
}

fn line(text: &[u8]) -> usize {
    text.iter().position(|byte| *byte == b'\n').map_or(text.len(), |end| end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Token, Tokens};

    fn check(sql_mode: &str, sql: &str, read: &str) {
        let modes = Modes::default().with_sql_mode(sql_mode.as_bytes());
        assert_eq!(String::from_utf8_lossy(&modes.read(sql.as_bytes())), read, "{sql_mode}: {sql}");
    }

    #[test]
    fn double_quotes_are_names_under_ansi_quotes() {
        let check = |sql, read| check("REAL_AS_FLOAT,ANSI_QUOTES,ANSI", sql, read);
        check(r#"SELECT "a" FROM "t" WHERE b = 'x"y'"#, r#"SELECT `a` FROM `t` WHERE b = 'x"y'"#);
        check(r#"SELECT "a""b`c\" FROM t"#, r#"SELECT `a"b``c\` FROM t"#);
        check(r#"SELECT 'a\'"', "b" -- "c""#, r#"SELECT 'a\'"', `b` -- "c""#);
        check("SELECT /* \" */ \"a\" /*! , \"b\" */ # \"\n, \"c\"", "SELECT /* \" */ `a` /*! , `b` */ # \"\n, `c`");
        check(r#"SELECT "never ends"#, "SELECT `never ends");
        check(r#"SELECT `"`, "b""#, r#"SELECT `"`, `b`"#);
    }

    #[test]
    fn a_backslash_is_one_under_no_backslash_escapes() {
        let check = |sql, read| check("NO_BACKSLASH_ESCAPES", sql, read);
        check(r"SELECT '\', GET_LOCK('\', 1)", r"SELECT '\\', GET_LOCK('\\', 1)");
        check(r#"SELECT "\" , 'a''\'"#, r#"SELECT "\\" , 'a''\\'"#);
        check(r"SELECT `\`, '\' -- '\'", r"SELECT `\`, '\\' -- '\'");
        check("SELECT 1", "SELECT 1");
    }

    #[test]
    fn both_together_and_neither() {
        check("ANSI_QUOTES,NO_BACKSLASH_ESCAPES", r#"SELECT "\", '\' FROM t"#, r"SELECT `\`, '\\' FROM t");
        check("STRICT_TRANS_TABLES", r#"SELECT "\"", '\'' FROM t"#, r#"SELECT "\"", '\'' FROM t"#);
    }

    /// 0xbf5c is one character in GBK; read byte by byte, the quote behind it would be escaped.
    #[test]
    fn characters_that_end_in_a_backslash_make_a_text_unreadable() {
        let modes = Modes::default().with_charset(b"gbk");
        assert_eq!(modes, Modes::default().with_collation(28));
        let read = modes.read(b"SELECT '\xbf\x5c', GET_LOCK('x', 1)").into_owned();
        assert!(Tokens::new(&read).next().is_some_and(|first| first.is("call")));
        assert_eq!(Tokens::new(&read).filter(|token| matches!(token, Token::Quoted(_))).count(), 1);
        assert_eq!(&*modes.read(b"SELECT '\\''"), b"SELECT '\\''", "ASCII is ASCII everywhere");
        assert!(Modes::default().with_charset(b"utf8mb4").plain() && Modes::default().with_collation(45).plain());
    }
}
