//! As much of SQL's lexical form as the front needs: where a statement ends, its first word, and its digest.

/// A piece of a statement's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// A keyword or a name without quotes, variables with their `@`.
    Word(&'a [u8]),
    /// A name in backticks, with them.
    Quoted(&'a [u8]),
    /// A number, a string, a hexadecimal literal.
    Literal(&'a [u8]),
    /// Any other character.
    Sign(u8),
}

/// The tokens of a statement, comments and space left out. Text of any kind gives tokens: what is not closed runs to the end.
#[derive(Clone, Copy, Debug)]
pub struct Tokens<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Tokens<'a> {
    pub fn new(text: &'a [u8]) -> Tokens<'a> {
        Tokens { text, at: 0 }
    }

    /// Bytes read so far: behind the last token.
    pub fn position(&self) -> usize {
        self.at
    }

    fn skip_space_and_comments(&mut self) {
        loop {
            let rest = &self.text[self.at..];
            match rest {
                [byte, ..] if byte.is_ascii_whitespace() => self.at += 1,
                [b'#', ..] => self.skip_line(),
                // Two dashes are a comment only in front of space or the end: `5--3` is eight.
                [b'-', b'-'] => self.skip_line(),
                [b'-', b'-', after, ..] if after.is_ascii_whitespace() || after.is_ascii_control() => self.skip_line(),
                // `/*!` is executed by MySQL, so what is inside are tokens; the version number behind it is not.
                [b'/', b'*', b'!', ..] => {
                    self.at += 3;
                    while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
                        self.at += 1;
                    }
                }
                [b'*', b'/', ..] => self.at += 2,
                [b'/', b'*', ..] => {
                    let end = rest[2..].windows(2).position(|pair| pair == b"*/");
                    self.at = end.map_or(self.text.len(), |end| self.at + 2 + end + 2);
                }
                _ => return,
            }
        }
    }

    fn skip_line(&mut self) {
        let end = self.text[self.at..].iter().position(|&byte| byte == b'\n');
        self.at = end.map_or(self.text.len(), |end| self.at + end + 1);
    }

    /// The end of a string that begins at `start`; a doubled quote and, except in backticks, a backslash do not end it.
    fn string_end(&self, start: usize, quote: u8) -> usize {
        let mut at = start + 1;
        while let Some(&byte) = self.text.get(at) {
            let escaped = byte == b'\\' && quote != b'`';
            let doubled = byte == quote && self.text.get(at + 1) == Some(&quote);
            if escaped || doubled {
                at += 2;
            } else if byte == quote {
                return at + 1;
            } else {
                at += 1;
            }
        }
        self.text.len()
    }

    fn run_end(&self, start: usize, belongs: impl Fn(u8) -> bool) -> usize {
        self.text[start..].iter().position(|&byte| !belongs(byte)).map_or(self.text.len(), |length| start + length)
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_space_and_comments();
        let start = self.at;
        let first = *self.text.get(start)?;
        let (end, token): (usize, fn(&'a [u8]) -> Token<'a>) = match first {
            b'\'' | b'"' => (self.string_end(start, first), Token::Literal),
            b'`' => (self.string_end(start, first), Token::Quoted),
            // `1e-5` and `0x1F` run on through letters; a sign only behind an exponent.
            b'0'..=b'9' => (self.number_end(start), Token::Literal),
            b'.' if self.text.get(start + 1).is_some_and(u8::is_ascii_digit) && !self.behind_name(start) => {
                (self.number_end(start), Token::Literal)
            }
            _ if in_word(first) => (self.run_end(start, in_word), Token::Word),
            _ => {
                self.at += 1;
                return Some(Token::Sign(first));
            }
        };
        self.at = end;
        Some(token(&self.text[start..end]))
    }
}

impl Tokens<'_> {
    fn number_end(&self, start: usize) -> usize {
        let mut at = start;
        while let Some(&byte) = self.text.get(at) {
            let exponent =
                at > start && matches!(byte, b'+' | b'-') && matches!(self.text[at - 1], b'e' | b'E') && !self.hexadecimal(start);
            if !(byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_' || exponent) {
                break;
            }
            at += 1;
        }
        at
    }

    fn hexadecimal(&self, start: usize) -> bool {
        matches!(self.text[start..], [b'0', b'x' | b'X', ..])
    }

    /// Whether the point at `at` joins names (`t.1st`) and does not begin a number.
    fn behind_name(&self, at: usize) -> bool {
        at > 0 && (in_word(self.text[at - 1]) || self.text[at - 1] == b'`')
    }
}

/// Bytes of names and keywords. `@` is in, so that variables are one word; so is all that is not ASCII.
fn in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'@') || byte >= 0x80
}

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
        let before = tokens.at;
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
    let create = tokens.next().is_some_and(|token| is_word(token, "create"));
    create && tokens.take(HEAD_MAX).any(|token| ["trigger", "procedure", "function", "event"].iter().any(|word| is_word(token, word)))
}

pub fn is_word(token: Token<'_>, word: &str) -> bool {
    matches!(token, Token::Word(text) if text.eq_ignore_ascii_case(word.as_bytes()))
}

/// A number by which statements that differ only in literals, comments and space are the same. Names and keywords count as written.
pub fn digest(sql: &[u8]) -> u64 {
    // FNV-1a: short inputs, no dependency; a collision only adds up two statements in a table for people.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut feed = |bytes: &[u8]| {
        for byte in bytes.iter().chain(&[0]) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    };
    each_digested(sql, |token| match token {
        Token::Word(text) | Token::Quoted(text) => feed(text),
        Token::Literal(_) => feed(b"?"),
        Token::Sign(sign) => feed(&[sign]),
    });
    hash
}

/// The statement as people should see it: literals replaced by `?`, lists and rows of them by one, cut after `max` bytes.
pub fn digest_text(sql: &[u8], max: usize) -> String {
    let mut text: Vec<u8> = Vec::new();
    let mut tight = true;
    each_digested(sql, |token| {
        if text.len() >= max {
            return;
        }
        let (piece, joins_before, joins_after): (&[u8], bool, bool) = match &token {
            Token::Word(word) => (word, false, false),
            Token::Quoted(name) => (name, false, false),
            Token::Literal(_) => (b"?", false, false),
            Token::Sign(sign) => {
                (std::slice::from_ref(sign), matches!(sign, b',' | b')' | b'.' | b';' | b'('), matches!(sign, b'(' | b'.'))
            }
        };
        if !tight && !joins_before {
            text.push(b' ');
        }
        text.extend_from_slice(piece);
        tight = joins_after;
    });
    text.truncate(max);
    String::from_utf8_lossy(&text).into_owned()
}

/// Feeds the tokens of `sql` with `?, ?, ?` shortened to `?` and `(?), (?), (?)` to `(?)`: an INSERT of a hundred rows is the same
/// statement as one of two.
fn each_digested<'a>(sql: &'a [u8], mut feed: impl FnMut(Token<'a>)) {
    let mut rows = Rows::default();
    each_with_lists_folded(sql, |token| rows.take(token, &mut feed));
    rows.release(&mut feed);
}

/// Drops every further `, (?)` behind a `(?)`.
#[derive(Default)]
struct Rows {
    /// How much of `(?)` the output ends with: 0..=3 tokens.
    written: usize,
    /// How much of [`Rows::NEXT`] has come behind a whole `(?)` and is held back.
    held: usize,
}

impl Rows {
    const NEXT: [Token<'static>; 4] = [Token::Sign(b','), Token::Sign(b'('), Token::Literal(b"?"), Token::Sign(b')')];

    fn take<'a>(&mut self, token: Token<'a>, feed: &mut impl FnMut(Token<'a>)) {
        if self.written == 3 && token == Rows::NEXT[self.held] {
            self.held = (self.held + 1) % Rows::NEXT.len();
            return;
        }
        self.release(feed);
        self.write(token, feed);
    }

    /// What was held back is no further row after all.
    fn release<'a>(&mut self, feed: &mut impl FnMut(Token<'a>)) {
        for token in &Rows::NEXT[..std::mem::take(&mut self.held)] {
            self.write(*token, feed);
        }
    }

    fn write<'a>(&mut self, token: Token<'a>, feed: &mut impl FnMut(Token<'a>)) {
        self.written = match (self.written, token) {
            (_, Token::Sign(b'(')) => 1,
            (1, Token::Literal(_)) => 2,
            (2, Token::Sign(b')')) => 3,
            _ => 0,
        };
        feed(token);
    }
}

fn each_with_lists_folded<'a>(sql: &'a [u8], mut feed: impl FnMut(Token<'a>)) {
    let mut after_literal = false;
    let mut held_comma = false;
    for token in Tokens::new(sql) {
        let literal = matches!(token, Token::Literal(_)) || token == Token::Sign(b'?');
        if held_comma {
            held_comma = false;
            if literal {
                continue;
            }
            feed(Token::Sign(b','));
        }
        if after_literal && token == Token::Sign(b',') {
            held_comma = true;
            continue;
        }
        after_literal = literal;
        feed(if literal { Token::Literal(b"?") } else { token });
    }
    if held_comma {
        feed(Token::Sign(b','));
    }
}

#[cfg(test)]
mod tests;
