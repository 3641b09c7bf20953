//! A statement with its literals taken out: what statements that differ only in values have in common.

use crate::{Reason, STATEMENT_MAX, Scalar, TOKENS_MAX, Token, Tokens};

/// The text with each literal and parameter replaced by `?1`, `?2` and so on, space and comments by one blank, and what was replaced.
#[derive(Clone, Debug, PartialEq)]
pub struct Digest<'a> {
    pub text: String,
    /// Operand n is `?n+1` of the text.
    pub operands: Vec<Operand<'a>>,
}

/// A value that a statement was written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand<'a> {
    String(&'a [u8]),
    Number(&'a [u8]),
    /// A literal whose type depends on where it stands.
    Typed(&'a [u8]),
    /// The n-th parameter of a prepared statement, from 0.
    Parameter(usize),
}

impl<'a> Digest<'a> {
    /// Errors: what no analysis could change: too long, not UTF-8, an executable comment, a variable, several statements.
    pub fn of(sql: &'a [u8]) -> Result<Digest<'a>, Reason> {
        if sql.len() > STATEMENT_MAX {
            return Err(Reason::TooLarge);
        }
        let mut text = Vec::with_capacity(sql.len() + 16);
        let (mut operands, mut parameters, mut end, mut ended) = (Vec::new(), 0, 0, false);
        let mut tokens = Tokens::new(sql);
        let mut count = 0;
        while let Some(token) = tokens.next() {
            count += 1;
            if count > TOKENS_MAX {
                return Err(Reason::TooLarge);
            }
            if tokens.began() > end && !text.is_empty() {
                text.push(b' ');
            }
            end = tokens.end();
            if ended {
                return Err(Reason::Unparsable);
            }
            let operand = match token {
                Token::Executable => return Err(Reason::ExecutableComment),
                Token::Variable(_) => return Err(Reason::Variable),
                Token::Sign(b';') => {
                    ended = true;
                    continue;
                }
                Token::Word(bytes) | Token::Quoted(bytes) => {
                    text.extend_from_slice(bytes);
                    continue;
                }
                Token::Sign(sign) => {
                    text.push(sign);
                    continue;
                }
                Token::String(bytes) => Operand::String(bytes),
                Token::Number(bytes) => Operand::Number(bytes),
                Token::Typed(bytes) => Operand::Typed(bytes),
                Token::Parameter => {
                    parameters += 1;
                    Operand::Parameter(parameters - 1)
                }
            };
            operands.push(operand);
            text.extend_from_slice(format!("?{}", operands.len()).as_bytes());
        }
        let text = String::from_utf8(text).map_err(|_| Reason::Unparsable)?;
        Ok(Digest { text: text.trim_end().to_owned(), operands })
    }
}

impl<'a> Operand<'a> {
    /// The value, if it is a plain one; `parameters` are those bound.
    pub fn scalar(self, parameters: &[Scalar<'a>]) -> Scalar<'a> {
        match self {
            Operand::String(quoted) => Scalar::of_string(quoted),
            Operand::Number(digits) => Scalar::of_number(digits),
            Operand::Typed(_) => Scalar::Other,
            Operand::Parameter(number) => parameters.get(number).cloned().unwrap_or(Scalar::Other),
        }
    }
}
