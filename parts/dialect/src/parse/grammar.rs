//! sqlparser's MySQL dialect with MySQL's own precedences, `!`, and all units of INTERVAL.

use std::any::TypeId;

use sqlparser::ast::{self, BinaryOperator, DateTimeField, Expr, Ident, UnaryOperator};
use sqlparser::dialect::{Dialect, MySqlDialect};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

#[derive(Debug, Default)]
pub struct Grammar(MySqlDialect);

macro_rules! as_mysql {
    ($($name:ident)*) => { $( fn $name(&self) -> bool { self.0.$name() } )* };
}

impl Dialect for Grammar {
    fn dialect(&self) -> TypeId {
        self.0.dialect()
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        self.0.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        self.0.is_identifier_part(ch)
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        self.0.is_delimited_identifier_start(ch)
    }

    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        self.0.identifier_quote_style(identifier)
    }

    fn is_table_factor_alias(&self, explicit: bool, keyword: &Keyword, parser: &mut Parser) -> bool {
        self.0.is_table_factor_alias(explicit, keyword, parser)
    }

    as_mysql! {
        supports_string_literal_backslash_escape supports_string_literal_concatenation ignores_wildcard_escapes
        supports_numeric_prefix supports_bitwise_shift_operators supports_multiline_comment_hints require_interval_qualifier
        supports_limit_comma supports_create_table_select supports_insert_set supports_user_host_grantee supports_table_hints
        requires_single_line_comment_whitespace supports_match_against supports_select_modifiers supports_set_names
        supports_comma_separated_set_assignments supports_update_order_by supports_data_type_signed_suffix
        supports_cross_join_constraint supports_double_ampersand_operator supports_binary_kw_as_cast
        supports_comment_optimizer_hint supports_constraint_keyword_without_name supports_key_column_option
        supports_group_by_with_modifier supports_left_associative_joins_without_parens
    }

    fn allow_extract_custom(&self) -> bool {
        true
    }

    fn parse_infix(&self, parser: &mut Parser, left: &Expr, precedence: u8) -> Option<Result<Expr, ParserError>> {
        if parser.peek_token_ref().token == Token::Assignment {
            parser.advance_token();
            // Right associative, and everything to the right belongs to it.
            let right = match parser.parse_subexpr(ASSIGNMENT - 1) {
                Ok(right) => right,
                Err(error) => return Some(Err(error)),
            };
            return Some(Ok(Expr::BinaryOp { left: Box::new(left.clone()), op: BinaryOperator::Assignment, right: Box::new(right) }));
        }
        if at_sounds(parser) {
            parser.advance_token();
            if !parser.parse_keyword(Keyword::LIKE) {
                return Some(parser.expected_ref("LIKE", parser.peek_token_ref()));
            }
            return Some(parser.parse_subexpr(COMPARISON).map(|right| Expr::BinaryOp {
                left: Box::new(call("SOUNDEX", vec![left.clone()])),
                op: BinaryOperator::Eq,
                right: Box::new(call("SOUNDEX", vec![right])),
            }));
        }
        self.0.parse_infix(parser, left, precedence)
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        match &parser.peek_token_ref().token {
            Token::ExclamationMark => {
                parser.advance_token();
                Some(parser.parse_subexpr(NOT_SIGN).map(|expr| Expr::UnaryOp { op: UnaryOperator::BangNot, expr: Box::new(expr) }))
            }
            // As an operator it binds to what follows, not to the whole comparison.
            Token::Word(word) if word.keyword == Keyword::BINARY && word.quote_style.is_none() => {
                parser.advance_token();
                Some(parser.parse_subexpr(NOT_SIGN).map(|expr| Expr::Cast {
                    kind: ast::CastKind::Cast,
                    expr: Box::new(expr),
                    data_type: ast::DataType::Binary(None),
                    format: None,
                }))
            }
            Token::Word(word) if word.keyword == Keyword::INTERVAL && word.quote_style.is_none() => Some(interval(parser)),
            _ => None,
        }
    }

    /// The manual's table "Operator Precedence", where sqlparser's differs.
    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        let precedence = match &parser.peek_token_ref().token {
            Token::Assignment => ASSIGNMENT,
            Token::Word(word) if word.keyword == Keyword::XOR => 7,
            Token::Word(word) if matches!(word.keyword, Keyword::IS | Keyword::LIKE | Keyword::RLIKE | Keyword::REGEXP) => COMPARISON,
            Token::Word(_) if at_sounds(parser) => COMPARISON,
            Token::ShiftLeft | Token::ShiftRight => 28,
            Token::Caret => 45,
            Token::Arrow | Token::LongArrow => 60,
            _ => return None,
        };
        Some(Ok(precedence))
    }
}

fn at_sounds(parser: &Parser) -> bool {
    matches!(&parser.peek_token_ref().token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("SOUNDS"))
}

/// `INTERVAL expr unit`, and the function `INTERVAL(n, a, b)`.
fn interval(parser: &mut Parser) -> Result<Expr, ParserError> {
    parser.advance_token();
    let value = parser.parse_expr()?;
    if let Token::Word(word) = &parser.peek_token_ref().token
        && word.quote_style.is_none()
        && crate::temporal::Unit::by_name(&word.value).is_some()
    {
        let unit = DateTimeField::Custom(Ident::new(word.value.to_ascii_uppercase()));
        parser.advance_token();
        return Ok(Expr::Interval(ast::Interval {
            value: Box::new(value),
            leading_field: Some(unit),
            leading_precision: None,
            last_field: None,
            fractional_seconds_precision: None,
        }));
    }
    match value {
        Expr::Tuple(arguments) => Ok(call("INTERVAL", arguments)),
        _ => parser.expected_ref("a unit of INTERVAL", parser.peek_token_ref()),
    }
}

fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    Expr::Function(ast::Function {
        name: ast::ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: ast::FunctionArguments::None,
        args: ast::FunctionArguments::List(ast::FunctionArgumentList {
            duplicate_treatment: None,
            args: arguments.into_iter().map(|e| ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(e))).collect(),
            clauses: vec![],
        }),
        within_group: vec![],
        filter: None,
        null_treatment: None,
        over: None,
    })
}

const ASSIGNMENT: u8 = 3;
const COMPARISON: u8 = 20;
/// `!` binds tighter than everything but COLLATE.
const NOT_SIGN: u8 = 49;
