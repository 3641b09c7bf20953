//! The shape of a statement: what is left of it without literals, comments and space. For counting statements, and for remembering what was
//! found out about one that comes again with other values.

use std::hash::Hasher;

use crate::{Token, Tokens};

/// Feeds `hasher` what statements of one shape have in common. Names and keywords count as written; lists of values count as one value, so
/// an INSERT of a hundred rows has the shape of one of two. Where a collision would do harm, use a hasher with a secret key.
pub fn hash_shape(sql: &[u8], hasher: &mut impl Hasher) {
    each(sql, |token| match token {
        Token::Word(text) | Token::Quoted(text) | Token::Variable(text) => {
            hasher.write(text);
            hasher.write_u8(0);
        }
        Token::Sign(sign) => hasher.write_u16(0x100 | u16::from(sign)),
        _ => hasher.write_u16(0x23f),
    });
}

/// The shape as people should see it: literals replaced by `?`, lists and rows of them by one, cut after `max` bytes.
pub fn shape(sql: &[u8], max: usize) -> String {
    let mut text: Vec<u8> = Vec::new();
    let mut tight = true;
    each(sql, |token| {
        if text.len() >= max {
            return;
        }
        let (piece, joins_before, joins_after): (&[u8], bool, bool) = match &token {
            Token::Word(word) | Token::Quoted(word) | Token::Variable(word) => (word, false, false),
            Token::Sign(sign) => {
                (std::slice::from_ref(sign), matches!(sign, b',' | b')' | b'.' | b';' | b'('), matches!(sign, b'(' | b'.'))
            }
            _ => (b"?", false, false),
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

/// Feeds the tokens of `sql` with literals as parameters, `?, ?, ?` shortened to `?` and `(?), (?), (?)` to `(?)`.
fn each<'a>(sql: &'a [u8], mut feed: impl FnMut(Token<'a>)) {
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
    const NEXT: [Token<'static>; 4] = [Token::Sign(b','), Token::Sign(b'('), Token::Parameter, Token::Sign(b')')];

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
            (1, Token::Parameter) => 2,
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
        let literal = match token {
            Token::String(_) | Token::Number(_) | Token::Typed(_) | Token::Parameter => true,
            Token::Executable => continue,
            _ => false,
        };
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
        feed(if literal { Token::Parameter } else { token });
    }
    if held_comma {
        feed(Token::Sign(b','));
    }
}
