//! The lexical structure of a MySQL statement (Reference Manual, "Language Structure"), for any bytes at all: what is not closed runs to the end.
//!
//! For the server's default modes: `"x"` is a string, a backslash escapes. The texts of sessions that have set others are read through
//! [`crate::Modes`] first.

/// A piece of a statement, with its bytes as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// A keyword or an unquoted name.
    Word(&'a [u8]),
    /// A name in backticks, with them.
    Quoted(&'a [u8]),
    /// A string, with its quotes.
    String(&'a [u8]),
    /// `12`, `1.5`, `.5`, `1e3`.
    Number(&'a [u8]),
    /// `x'1F'`, `0x1F`, `b'101'`, `0b101`, `N'text'`: literals whose type depends on where they stand.
    Typed(&'a [u8]),
    /// `?`.
    Parameter,
    /// `@name`, `@@name`, `@'name'`.
    Variable(&'a [u8]),
    /// The beginning of `/*!` or `/*M!`, with the version behind it: what is inside comes as tokens.
    Executable,
    /// Any other character.
    Sign(u8),
}

/// The tokens of a statement; space and comments are left out.
#[derive(Clone, Copy, Debug)]
pub struct Tokens<'a> {
    text: &'a [u8],
    at: usize,
    /// Where the token returned last began.
    began: usize,
    /// Inside of `/*! */`.
    executable: bool,
}

impl<'a> Tokens<'a> {
    pub fn new(text: &'a [u8]) -> Tokens<'a> {
        Tokens { text, at: 0, began: 0, executable: false }
    }

    /// The byte behind the token returned last.
    pub fn end(&self) -> usize {
        self.at
    }

    /// The first byte of the token returned last.
    pub fn began(&self) -> usize {
        self.began
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    /// Skips space and comments; `true` at the beginning of an executable comment.
    fn skip(&mut self) -> bool {
        loop {
            match &self.text[self.at..] {
                [byte, ..] if byte.is_ascii_whitespace() || *byte == 0x0b => self.at += 1,
                [b'#', ..] => self.skip_line(),
                // Two dashes begin a comment only in front of space, a control character or the end: `5--3` is eight.
                [b'-', b'-'] => self.skip_line(),
                [b'-', b'-', after, ..] if after.is_ascii_whitespace() || after.is_ascii_control() => self.skip_line(),
                [b'/', b'*', b'!', ..] => {
                    self.begin_executable(3);
                    return true;
                }
                [b'/', b'*', b'M', b'!', ..] => {
                    self.begin_executable(4);
                    return true;
                }
                [b'*', b'/', ..] if self.executable => {
                    self.at += 2;
                    self.executable = false;
                }
                [b'/', b'*', rest @ ..] => {
                    let end = rest.windows(2).position(|pair| pair == b"*/");
                    self.at = end.map_or(self.text.len(), |end| self.at + 2 + end + 2);
                }
                _ => return false,
            }
        }
    }

    fn begin_executable(&mut self, mark: usize) {
        self.began = self.at;
        self.at += mark;
        self.digits();
        self.executable = true;
    }

    fn skip_line(&mut self) {
        let end = self.text[self.at..].iter().position(|&byte| byte == b'\n');
        self.at = end.map_or(self.text.len(), |end| self.at + end + 1);
    }

    /// Moves behind the quoted piece that begins here; a doubled quote and, except in backticks, a backslash keep it open.
    fn quoted(&mut self) {
        let quote = self.text[self.at];
        self.at += 1;
        while let Some(byte) = self.byte(0) {
            if byte == b'\\' && quote != b'`' || byte == quote && self.byte(1) == Some(quote) {
                self.at += 2;
            } else {
                self.at += 1;
                if byte == quote {
                    return;
                }
            }
        }
        self.at = self.text.len();
    }

    fn word(&mut self) {
        while self.byte(0).is_some_and(in_word) {
            self.at += 1;
        }
    }

    /// A number, or a name that begins with digits (`1st`).
    fn number(&mut self) -> Token<'a> {
        let began = self.at;
        if self.byte(0) == Some(b'0') && matches!(self.byte(1), Some(b'x' | b'b')) {
            let hexadecimal = self.byte(1) == Some(b'x');
            self.at += 2;
            self.word();
            let digits = &self.text[began + 2..self.at];
            let fits = |byte: &u8| if hexadecimal { byte.is_ascii_hexdigit() } else { matches!(byte, b'0' | b'1') };
            let literal = !digits.is_empty() && digits.iter().all(fits);
            return if literal { Token::Typed(&self.text[began..self.at]) } else { Token::Word(&self.text[began..self.at]) };
        }
        self.digits();
        let mut whole = true;
        if self.byte(0) == Some(b'.') {
            whole = false;
            self.at += 1;
            self.digits();
        }
        if matches!(self.byte(0), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(self.byte(1), Some(b'+' | b'-')));
            if self.byte(1 + sign).is_some_and(|byte| byte.is_ascii_digit()) {
                whole = false;
                self.at += 1 + sign;
                self.digits();
            }
        }
        if whole && self.byte(0).is_some_and(in_word) {
            self.word();
            return Token::Word(&self.text[began..self.at]);
        }
        Token::Number(&self.text[began..self.at])
    }

    fn digits(&mut self) {
        while self.byte(0).is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
    }

    fn variable(&mut self) {
        while self.byte(0) == Some(b'@') {
            self.at += 1;
        }
        match self.byte(0) {
            Some(b'\'' | b'"' | b'`') => self.quoted(),
            _ => {
                while self.byte(0).is_some_and(|byte| in_word(byte) || byte == b'.') {
                    self.at += 1;
                }
            }
        }
    }

    /// Whether a point here joins names (`t.1st`, `` `t`.x ``) and does not begin a number.
    fn behind_name(&self) -> bool {
        self.at > 0 && (in_word(self.text[self.at - 1]) || self.text[self.at - 1] == b'`')
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        if self.skip() {
            return Some(Token::Executable);
        }
        let began = self.at;
        self.began = began;
        let first = self.byte(0)?;
        let piece = |tokens: &Tokens<'a>| &tokens.text[began..tokens.at];
        Some(match first {
            b'\'' | b'"' => {
                self.quoted();
                Token::String(piece(self))
            }
            b'`' => {
                self.quoted();
                Token::Quoted(piece(self))
            }
            b'x' | b'X' | b'b' | b'B' | b'n' | b'N' if self.byte(1) == Some(b'\'') => {
                self.at += 1;
                self.quoted();
                Token::Typed(piece(self))
            }
            b'0'..=b'9'
                if began > 0
                    && self.text[began - 1] == b'.'
                    && began > 1
                    && (in_word(self.text[began - 2]) || self.text[began - 2] == b'`') =>
            {
                self.word();
                Token::Word(piece(self))
            }
            b'0'..=b'9' => self.number(),
            b'.' if self.byte(1).is_some_and(|byte| byte.is_ascii_digit()) && !self.behind_name() => self.number(),
            b'@' => {
                self.variable();
                Token::Variable(piece(self))
            }
            b'?' => {
                self.at += 1;
                Token::Parameter
            }
            _ if in_word(first) => {
                self.word();
                Token::Word(piece(self))
            }
            _ => {
                self.at += 1;
                Token::Sign(first)
            }
        })
    }
}

/// Bytes of names and keywords; all that is not ASCII is.
fn in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || byte >= 0x80
}

impl Token<'_> {
    pub fn is(self, word: &str) -> bool {
        matches!(self, Token::Word(text) if text.eq_ignore_ascii_case(word.as_bytes()))
    }
}
