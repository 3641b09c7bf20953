//! Function calls: scalar functions by a table, aggregates and window functions by hand.

use pumasi_mysqlwire::SqlError;
use sqlparser::ast;

use super::expression::{null, truth};
use super::scope::{AliasRule, string};
use super::{Ex, Literal, Translator};
use crate::collation;
use crate::error;
use crate::temporal::Unit;
use crate::types::Ty;

/// How arguments are converted: one letter each, the last repeated for further ones.
/// `t` text, `n` double, `i` integer, `d` text of a date or datetime, `x` as it is, `j` JSON document, `b` text or bytes as they are.
type Shape = &'static str;

/// What comes out.
#[derive(Clone, Copy)]
enum Out {
    Int,
    Bigint,
    Bool,
    Double,
    /// Text as long as its first argument times this.
    Text(u32),
    /// Text of at most this many characters.
    Chars(u32),
    Bytes(u32),
    Date,
    Json,
    /// Text or bytes, as the first argument.
    Same,
}

/// MySQL name, least and most arguments, shape, SQLite name, result.
type Entry = (&'static str, usize, usize, Shape, &'static str, Out);

const MANY: usize = 64;

const SCALARS: &[Entry] = &[
    ("ASCII", 1, 1, "t", "pm_ascii", Out::Int),
    ("BIN", 1, 1, "i", "pm_bin", Out::Chars(64)),
    ("BIT_COUNT", 1, 1, "i", "pm_bit_count", Out::Int),
    ("BIT_LENGTH", 1, 1, "b", "pm_bit_length", Out::Int),
    ("CHAR_LENGTH", 1, 1, "t", "length", Out::Int),
    ("CHARACTER_LENGTH", 1, 1, "t", "length", Out::Int),
    ("CONV", 3, 3, "tii", "pm_conv", Out::Chars(64)),
    ("CRC32", 1, 1, "b", "pm_crc32", Out::Bigint),
    ("ELT", 2, MANY, "it", "pm_elt", Out::Chars(255)),
    ("EXP", 1, 1, "n", "pm_exp", Out::Double),
    ("FIND_IN_SET", 2, 2, "t", "pm_find_in_set", Out::Int),
    ("FORMAT", 2, 2, "xi", "pm_format", Out::Chars(64)),
    ("FROM_BASE64", 1, 1, "t", "pm_from_base64", Out::Bytes(65_535)),
    ("HEX", 1, 1, "x", "pm_hex", Out::Text(8)),
    ("INET_ATON", 1, 1, "t", "pm_inet_aton", Out::Bigint),
    ("INET_NTOA", 1, 1, "i", "pm_inet_ntoa", Out::Chars(15)),
    ("INET6_ATON", 1, 1, "t", "pm_inet6_aton", Out::Bytes(16)),
    ("INET6_NTOA", 1, 1, "b", "pm_inet6_ntoa", Out::Chars(39)),
    ("INSERT", 4, 4, "tiit", "pm_insert", Out::Text(2)),
    ("LEFT", 2, 2, "ti", "pm_left", Out::Same),
    ("LENGTH", 1, 1, "b", "octet_length", Out::Int),
    ("OCTET_LENGTH", 1, 1, "b", "octet_length", Out::Int),
    ("LPAD", 3, 3, "tit", "pm_lpad", Out::Chars(255)),
    ("RPAD", 3, 3, "tit", "pm_rpad", Out::Chars(255)),
    ("LTRIM", 1, 1, "t", "ltrim", Out::Same),
    ("RTRIM", 1, 1, "t", "rtrim", Out::Same),
    ("MAKE_SET", 2, MANY, "it", "pm_make_set", Out::Chars(255)),
    ("MD5", 1, 1, "b", "pm_md5", Out::Chars(32)),
    ("OCT", 1, 1, "i", "pm_oct", Out::Chars(64)),
    ("ORD", 1, 1, "t", "pm_ord", Out::Int),
    ("QUOTE", 1, 1, "t", "pm_quote", Out::Text(2)),
    ("REPEAT", 2, 2, "ti", "pm_repeat", Out::Chars(65_535)),
    ("REPLACE", 3, 3, "t", "pm_replace", Out::Text(2)),
    ("REVERSE", 1, 1, "t", "pm_reverse", Out::Same),
    ("RIGHT", 2, 2, "ti", "pm_right", Out::Same),
    ("SHA1", 1, 1, "b", "pm_sha1", Out::Chars(40)),
    ("SHA", 1, 1, "b", "pm_sha1", Out::Chars(40)),
    ("SHA2", 2, 2, "bi", "pm_sha2", Out::Chars(128)),
    ("SOUNDEX", 1, 1, "t", "pm_soundex", Out::Chars(64)),
    ("SPACE", 1, 1, "i", "pm_space", Out::Chars(255)),
    ("SUBSTRING", 2, 3, "tii", "pm_substring", Out::Same),
    ("SUBSTR", 2, 3, "tii", "pm_substring", Out::Same),
    ("MID", 2, 3, "tii", "pm_substring", Out::Same),
    ("SUBSTRING_INDEX", 3, 3, "tti", "pm_substring_index", Out::Same),
    ("TO_BASE64", 1, 1, "b", "pm_to_base64", Out::Text(2)),
    ("UNHEX", 1, 1, "t", "pm_unhex", Out::Bytes(65_535)),
    ("UPPER", 1, 1, "t", "pm_upper", Out::Same),
    ("UCASE", 1, 1, "t", "pm_upper", Out::Same),
    ("LOWER", 1, 1, "t", "pm_lower", Out::Same),
    ("LCASE", 1, 1, "t", "pm_lower", Out::Same),
    ("UUID_TO_BIN", 1, 1, "t", "pm_uuid_to_bin", Out::Bytes(16)),
    ("BIN_TO_UUID", 1, 1, "b", "pm_bin_to_uuid", Out::Chars(36)),
    ("IS_UUID", 1, 1, "t", "pm_is_uuid", Out::Bool),
    ("IS_IPV4", 1, 1, "t", "pm_is_ipv4", Out::Bool),
    ("IS_IPV6", 1, 1, "t", "pm_is_ipv6", Out::Bool),
    ("WEIGHT_STRING", 1, 1, "t", "pm_weight_string", Out::Bytes(255)),
    // --- mathematics ---
    ("ACOS", 1, 1, "n", "pm_acos", Out::Double),
    ("ASIN", 1, 1, "n", "pm_asin", Out::Double),
    ("ATAN", 1, 2, "n", "pm_atan", Out::Double),
    ("ATAN2", 2, 2, "n", "pm_atan", Out::Double),
    ("COS", 1, 1, "n", "pm_cos", Out::Double),
    ("COT", 1, 1, "n", "pm_cot", Out::Double),
    ("DEGREES", 1, 1, "n", "pm_degrees", Out::Double),
    ("LN", 1, 1, "n", "pm_ln", Out::Double),
    ("LOG", 1, 2, "n", "pm_log", Out::Double),
    ("LOG10", 1, 1, "n", "pm_log10", Out::Double),
    ("LOG2", 1, 1, "n", "pm_log2", Out::Double),
    ("PI", 0, 0, "", "pm_pi", Out::Double),
    ("POW", 2, 2, "n", "pm_pow", Out::Double),
    ("POWER", 2, 2, "n", "pm_pow", Out::Double),
    ("RADIANS", 1, 1, "n", "pm_radians", Out::Double),
    ("SIGN", 1, 1, "n", "pm_sign", Out::Int),
    ("SIN", 1, 1, "n", "pm_sin", Out::Double),
    ("SQRT", 1, 1, "n", "pm_sqrt", Out::Double),
    ("TAN", 1, 1, "n", "pm_tan", Out::Double),
    // --- dates ---
    ("DATE", 1, 1, "d", "pm_date", Out::Date),
    ("DATE_FORMAT", 2, 2, "dt", "pm_date_format", Out::Chars(255)),
    ("TIME_FORMAT", 2, 2, "dt", "pm_time_format", Out::Chars(255)),
    ("DATEDIFF", 2, 2, "d", "pm_datediff", Out::Int),
    ("DAY", 1, 1, "d", "pm_day", Out::Int),
    ("DAYOFMONTH", 1, 1, "d", "pm_day", Out::Int),
    ("DAYNAME", 1, 1, "d", "pm_dayname", Out::Chars(9)),
    ("DAYOFWEEK", 1, 1, "d", "pm_dayofweek", Out::Int),
    ("DAYOFYEAR", 1, 1, "d", "pm_dayofyear", Out::Int),
    ("FROM_DAYS", 1, 1, "i", "pm_from_days", Out::Date),
    ("HOUR", 1, 1, "d", "pm_hour", Out::Int),
    ("LAST_DAY", 1, 1, "d", "pm_last_day", Out::Date),
    ("MAKEDATE", 2, 2, "i", "pm_makedate", Out::Date),
    ("MICROSECOND", 1, 1, "d", "pm_microsecond", Out::Int),
    ("MINUTE", 1, 1, "d", "pm_minute", Out::Int),
    ("MONTH", 1, 1, "d", "pm_month", Out::Int),
    ("MONTHNAME", 1, 1, "d", "pm_monthname", Out::Chars(9)),
    ("PERIOD_ADD", 2, 2, "i", "pm_period_add", Out::Int),
    ("PERIOD_DIFF", 2, 2, "i", "pm_period_diff", Out::Int),
    ("QUARTER", 1, 1, "d", "pm_quarter", Out::Int),
    ("SECOND", 1, 1, "d", "pm_second", Out::Int),
    ("TIME_TO_SEC", 1, 1, "d", "pm_time_to_sec", Out::Bigint),
    ("TO_DAYS", 1, 1, "d", "pm_to_days", Out::Int),
    ("TO_SECONDS", 1, 1, "d", "pm_to_seconds", Out::Bigint),
    ("WEEKDAY", 1, 1, "d", "pm_weekday", Out::Int),
    ("WEEK", 1, 2, "di", "pm_week", Out::Int),
    ("WEEKOFYEAR", 1, 1, "d", "pm_weekofyear", Out::Int),
    ("YEARWEEK", 1, 2, "di", "pm_yearweek", Out::Int),
    // --- JSON ---
    ("JSON_ARRAY_APPEND", 3, 3, "jtv", "pm_json_array_append", Out::Json),
    ("JSON_CONTAINS", 2, 3, "jjt", "pm_json_contains", Out::Bool),
    ("JSON_CONTAINS_PATH", 3, MANY, "jtt", "pm_json_contains_path", Out::Bool),
    ("JSON_DEPTH", 1, 1, "j", "pm_json_depth", Out::Int),
    ("JSON_EXTRACT", 2, MANY, "jt", "pm_json_extract", Out::Json),
    ("JSON_INSERT", 3, MANY, "jtv", "pm_json_insert", Out::Json),
    ("JSON_KEYS", 1, 2, "jt", "pm_json_keys", Out::Json),
    ("JSON_LENGTH", 1, 2, "jt", "pm_json_length", Out::Int),
    ("JSON_MERGE_PATCH", 2, MANY, "j", "pm_json_merge_patch", Out::Json),
    ("JSON_MERGE_PRESERVE", 2, MANY, "j", "pm_json_merge_preserve", Out::Json),
    ("JSON_PRETTY", 1, 1, "j", "pm_json_pretty", Out::Chars(65_535)),
    ("JSON_QUOTE", 1, 1, "t", "pm_json_quote", Out::Text(6)),
    ("JSON_REMOVE", 2, MANY, "jt", "pm_json_remove", Out::Json),
    ("JSON_REPLACE", 3, MANY, "jtv", "pm_json_replace", Out::Json),
    ("JSON_SEARCH", 3, 3, "jt", "pm_json_search", Out::Json),
    ("JSON_SET", 3, MANY, "jtv", "pm_json_set", Out::Json),
    ("JSON_TYPE", 1, 1, "j", "pm_json_type", Out::Chars(17)),
    ("JSON_UNQUOTE", 1, 1, "b", "pm_json_unquote", Out::Text(1)),
    ("JSON_VALID", 1, 1, "b", "pm_json_valid", Out::Bool),
    ("PM_MEMBER_OF", 2, 2, "vj", "pm_member_of", Out::Bool),
];

impl Translator<'_> {
    pub(super) fn function(&mut self, f: &ast::Function) -> Result<Ex, SqlError> {
        let name = f.name.to_string().replace('`', "").to_ascii_uppercase();
        if f.filter.is_some() || !f.within_group.is_empty() || f.null_treatment.is_some() {
            return Err(SqlError::unsupported(format!("clause of {name}()")));
        }
        if aggregate_name(&name) || window_name(&name) {
            return self.aggregate(&name, f);
        }
        if f.over.is_some() {
            return Err(SqlError::unsupported(format!("{name}() OVER")));
        }
        let arguments = match &f.args {
            ast::FunctionArguments::None => vec![],
            ast::FunctionArguments::List(list) if list.clauses.is_empty() && list.duplicate_treatment.is_none() => arguments(list)?,
            _ => return Err(SqlError::unsupported(format!("arguments of {name}()"))),
        };
        if let Some(special) = self.special(&name, &arguments)? {
            return Ok(special);
        }
        let values = arguments.iter().map(|a| self.expression(a)).collect::<Result<Vec<_>, _>>()?;
        self.call(&name, values)
    }

    pub(super) fn call_ast(&mut self, name: &str, arguments: &[&ast::Expr]) -> Result<Ex, SqlError> {
        let values = arguments.iter().map(|a| self.expression(a)).collect::<Result<Vec<_>, _>>()?;
        self.call(name, values)
    }

    /// Functions whose arguments are not all expressions.
    fn special(&mut self, name: &str, arguments: &[&ast::Expr]) -> Result<Option<Ex>, SqlError> {
        let unit = |expr: &ast::Expr| match expr {
            ast::Expr::Identifier(ident) => Unit::by_name(&ident.value).map(|_| ident.value.to_ascii_uppercase()),
            _ => None,
        };
        Ok(Some(match (name, arguments) {
            ("DATE_ADD" | "ADDDATE" | "DATE_SUB" | "SUBDATE", [date, ast::Expr::Interval(interval)]) => {
                let date = self.expression(date)?;
                self.date_arithmetic(date, interval, name.contains("SUB"))?
            }
            ("ADDDATE" | "SUBDATE", [date, days]) => {
                let date = self.expression(date)?;
                let interval = interval((*days).clone(), "DAY");
                self.date_arithmetic(date, &interval, name == "SUBDATE")?
            }
            ("TIMESTAMPADD", [u, amount, date]) => {
                let unit = unit(u).ok_or_else(|| error::syntax(&u.to_string(), 1))?;
                let date = self.expression(date)?;
                let interval = interval((*amount).clone(), &unit);
                self.date_arithmetic(date, &interval, false)?
            }
            ("TIMESTAMPDIFF", [u, a, b]) => {
                let unit = unit(u).ok_or_else(|| error::syntax(&u.to_string(), 1))?;
                let (a, b) = (self.expression(a)?, self.expression(b)?);
                Ex::new(format!("pm_timestampdiff('{unit}', {}, {})", self.to_text(&a), self.to_text(&b)), Ty::BIGINT)
            }
            ("GET_FORMAT", _) => return Err(SqlError::unsupported("GET_FORMAT()")),
            ("VALUES" | "VALUE", [ast::Expr::Identifier(column)]) => {
                self.proposed_value(&column.value).ok_or_else(|| match &self.proposed {
                    Some(_) => error::unknown_column(&column.value, "field list"),
                    None => SqlError::unsupported("VALUES() outside of ON DUPLICATE KEY UPDATE"),
                })?
            }
            ("DEFAULT", [ast::Expr::Identifier(_) | ast::Expr::CompoundIdentifier(_)]) => {
                return Err(SqlError::unsupported("DEFAULT(column)"));
            }
            ("LAST_INSERT_ID", [value]) => {
                let value = self.expression(value)?;
                self.impure("LAST_INSERT_ID()");
                Ex::new(format!("pm_set_last_insert_id({})", self.to_int(&value)), Ty::UNSIGNED)
            }
            _ => return Ok(None),
        }))
    }

    /// A scalar function on translated arguments.
    pub(super) fn call(&mut self, name: &str, values: Vec<Ex>) -> Result<Ex, SqlError> {
        if let Some(entry) = SCALARS.iter().find(|e| e.0 == name) {
            return self.tabled(entry, &values);
        }
        match name {
            "IF" | "IFNULL" | "NVL" | "COALESCE" | "NULLIF" | "GREATEST" | "LEAST" | "ISNULL" | "INTERVAL" | "FIELD" => {
                self.choosing(name, values)
            }
            "ABS" | "CEIL" | "CEILING" | "FLOOR" | "ROUND" | "TRUNCATE" | "MOD" | "RAND" => self.numeric(name, values),
            "CONCAT" | "CONCAT_WS" | "LOCATE" | "INSTR" | "POSITION" | "TRIM" | "STRCMP" | "CHAR" | "CHARSET" | "COLLATION"
            | "COERCIBILITY" | "REGEXP_LIKE" | "REGEXP_REPLACE" | "REGEXP_INSTR" | "REGEXP_SUBSTR" => self.textual(name, values),
            "JSON_ARRAY" | "JSON_OBJECT" => self.json_build(name, &values),
            _ => self.session_function(name, values),
        }
    }

    fn tabled(&mut self, entry: &Entry, values: &[Ex]) -> Result<Ex, SqlError> {
        let (name, least, most, shape, sqlite, out) = *entry;
        if values.len() < least || values.len() > most {
            return Err(error::wrong_argument_count(name));
        }
        let shape: Vec<char> = shape.chars().collect();
        let mut arguments = Vec::with_capacity(values.len());
        for (i, value) in values.iter().enumerate() {
            // JSON_SET and its kin alternate path and value.
            let letter = if shape.last() == Some(&'v') && shape.len() == 3 && i >= 1 {
                shape[1 + (i - 1) % 2]
            } else {
                shape[i.min(shape.len() - 1)]
            };
            arguments.push(self.argument(letter, value));
        }
        let (ty, first) = (self.result_of(out, values.first()), values.first());
        let collation = first.filter(|v| v.ty.textual()).map_or(self.literal_collation(), |v| v.collation);
        let ex = Ex::new(format!("{sqlite}({})", arguments.join(", ")), ty);
        let coercibility = first.filter(|v| v.ty.textual()).map_or(4, |v| v.coercibility.max(2));
        Ok(if ex.ty.textual() { ex.collated(collation, coercibility) } else { ex })
    }

    fn argument(&self, letter: char, value: &Ex) -> String {
        match letter {
            't' => self.to_text(value),
            'n' => self.to_double(value),
            'i' => self.to_int(value),
            'd' => self.temporal_text(value),
            'j' => match &value.ty {
                // A string where a document is wanted is the document's text.
                Ty::Text(_) => value.sql.clone(),
                Ty::Bytes(_) => self.to_text(value),
                _ => self.to_json(value),
            },
            // A value to be put into a document.
            'v' => self.to_json(value),
            'b' => match &value.ty {
                Ty::Bytes(_) => value.sql.clone(),
                _ => self.to_text(value),
            },
            _ => match &value.ty {
                Ty::Decimal { .. } | Ty::Int { .. } | Ty::Bytes(_) => value.sql.clone(),
                Ty::Float | Ty::Double => value.sql.clone(),
                _ => self.to_text(value),
            },
        }
    }

    fn result_of(&self, out: Out, first: Option<&Ex>) -> Ty {
        let chars = first.map_or(0, |f| f.ty.chars());
        match out {
            Out::Int => Ty::Int { unsigned: false, bytes: 8, digits: 10 },
            Out::Bigint => Ty::BIGINT,
            Out::Bool => Ty::BOOL,
            Out::Double => Ty::Double,
            Out::Text(factor) => Ty::Text(chars.saturating_mul(factor)),
            Out::Chars(n) => Ty::Text(n),
            Out::Bytes(n) => Ty::Bytes(n),
            Out::Date => Ty::Date,
            Out::Json => Ty::Json,
            Out::Same => Ty::Text(chars),
        }
    }

    // --- choosing among values ---

    fn choosing(&mut self, name: &str, mut values: Vec<Ex>) -> Result<Ex, SqlError> {
        let count = values.len();
        let wrong = || error::wrong_argument_count(name);
        match name {
            "IF" if count == 3 => {
                let condition = self.condition_sql(&values.remove(0));
                let (like, converted) = self.unify(values)?;
                Ok(Ex { sql: format!("iif({condition}, {}, {})", converted[0], converted[1]), ..like })
            }
            "IFNULL" | "NVL" if count == 2 => self.coalesce(values),
            "COALESCE" if count >= 1 => self.coalesce(values),
            "NULLIF" if count == 2 => {
                let test = self.compare(&values[0], &ast::BinaryOperator::Eq, &values[1])?;
                let first = values.swap_remove(0);
                Ok(Ex {
                    sql: format!("iif({}, NULL, {})", test.sql, first.sql),
                    nullable: true,
                    literal: None,
                    origin: None,
                    bare: false,
                    ..first
                })
            }
            "ISNULL" if count == 1 => Ok(truth(format!("({} IS NULL)", values[0].sql)).not_null()),
            "GREATEST" | "LEAST" if count >= 2 => {
                let (like, converted) = self.unify(values)?;
                let function = if name == "GREATEST" { "max" } else { "min" };
                let collate = match &like.ty {
                    Ty::Decimal { .. } => Some("PM_DECIMAL"),
                    Ty::Time(_) => Some("PM_TIME"),
                    Ty::Json => return Err(SqlError::unsupported(format!("{name}() of JSON"))),
                    ty if ty.textual() => Some(like.collation.collating.sqlite_name()),
                    _ => None,
                };
                let first = collate.map_or(converted[0].clone(), |c| format!("{} COLLATE {c}", converted[0]));
                Ok(Ex { sql: format!("{function}({first}, {})", converted[1..].join(", ")), ..like })
            }
            "INTERVAL" if count >= 2 => {
                let list: Vec<String> = values.iter().map(|v| self.to_double(v)).collect();
                Ok(Ex::new(format!("pm_interval({})", list.join(", ")), Ty::INT))
            }
            "FIELD" if count >= 2 => {
                let first = values.remove(0);
                let mut sql = String::from("CASE");
                for (i, value) in values.iter().enumerate() {
                    let test = self.compare(&first, &ast::BinaryOperator::Eq, value)?;
                    sql.push_str(&format!(" WHEN {} THEN {}", test.sql, i + 1));
                }
                Ok(Ex::new(format!("({sql} ELSE 0 END)"), Ty::INT).not_null())
            }
            _ => Err(wrong()),
        }
    }

    fn coalesce(&mut self, values: Vec<Ex>) -> Result<Ex, SqlError> {
        let nullable = values.iter().all(|v| v.nullable);
        let (like, converted) = self.unify(values)?;
        if converted.len() == 1 {
            return Ok(Ex { sql: converted[0].clone(), nullable, ..like });
        }
        Ok(Ex { sql: format!("coalesce({})", converted.join(", ")), nullable, ..like })
    }

    // --- numbers ---

    fn numeric(&mut self, name: &str, mut values: Vec<Ex>) -> Result<Ex, SqlError> {
        let count = values.len();
        match name {
            "MOD" if count == 2 => {
                let b = values.remove(1);
                return self.arithmetic_of(values.remove(0), &ast::BinaryOperator::Modulo, b);
            }
            "RAND" if count <= 1 => {
                self.impure("RAND()");
                let seed = values.first().map_or(String::new(), |v| self.to_int(v));
                return Ok(Ex::new(format!("pm_rand({seed})"), Ty::Double).not_null());
            }
            _ => {}
        }
        let Some(value) = values.first().cloned() else { return Err(error::wrong_argument_count(name)) };
        let most = if matches!(name, "ROUND" | "TRUNCATE") { 2 } else { 1 };
        if count > most || (name == "TRUNCATE" && count != 2) {
            return Err(error::wrong_argument_count(name));
        }
        let exact = matches!(value.ty, Ty::Decimal { .. });
        let integral = value.ty.integral();
        let argument = if exact || integral { value.sql.clone() } else { self.to_double(&value) };
        let nullable = value.nullable;
        let done = |sql: String, ty: Ty| Ok(Ex { nullable, ..Ex::new(sql, ty) });
        match name {
            "ABS" if integral => done(format!("pm_abs({argument})"), value.ty.clone()),
            "ABS" if exact => done(format!("pm_dec_abs({argument})"), value.ty.clone()),
            "ABS" => done(format!("abs({argument})"), Ty::Double),
            "CEIL" | "CEILING" | "FLOOR" => {
                let up = name != "FLOOR";
                if integral {
                    return done(argument, Ty::BIGINT);
                }
                if exact {
                    return done(format!("{}({argument})", if up { "pm_dec_ceil" } else { "pm_dec_floor" }), Ty::BIGINT);
                }
                done(format!("{}({argument})", if up { "pm_ceil" } else { "pm_floor" }), Ty::Double)
            }
            _ => self.round(name, value, argument, values.get(1)),
        }
    }

    /// ROUND and TRUNCATE. The scale of an exact result is known only when the digits are a literal.
    fn round(&mut self, name: &str, value: Ex, argument: String, digits: Option<&Ex>) -> Result<Ex, SqlError> {
        let places = match digits {
            None => Some(0),
            Some(d) => match &d.literal {
                Some(Literal::Int(n)) => Some(*n),
                _ => None,
            },
        };
        let digits_sql = digits.map_or("0".to_owned(), |d| self.to_int(d));
        let prefix = if name == "ROUND" { "round" } else { "truncate" };
        let nullable = value.nullable || digits.is_some_and(|d| d.nullable);
        let done = |sql: String, ty: Ty| Ok(Ex { nullable, ..Ex::new(sql, ty) });
        match &value.ty {
            ty if ty.integral() => {
                if places.is_some_and(|p| p >= 0) {
                    return done(argument, Ty::BIGINT);
                }
                done(format!("pm_int_{prefix}({argument}, {digits_sql})"), Ty::BIGINT)
            }
            Ty::Decimal { precision, scale, .. } => {
                let kept = places.map_or(*scale, |p| u8::try_from(p.max(0)).unwrap_or(30).min(*scale));
                let ty = Ty::Decimal { precision: precision - scale + kept + 1, scale: kept, unsigned: false };
                done(format!("pm_dec_{prefix}({argument}, {digits_sql}, {kept})"), ty)
            }
            _ => done(format!("pm_double_{prefix}({argument}, {digits_sql})"), Ty::Double),
        }
    }

    // --- text ---

    fn textual(&mut self, name: &str, values: Vec<Ex>) -> Result<Ex, SqlError> {
        let count = values.len();
        let chars: u32 = values.iter().map(|v| v.ty.chars()).fold(0, u32::saturating_add);
        let nullable = values.iter().any(|v| v.nullable);
        let binary = values.iter().any(|v| matches!(v.ty, Ty::Bytes(_)));
        let collation = self.collation_of(&values)?;
        let texts: Vec<String> = values.iter().map(|v| self.to_text(v)).collect();
        let text = |sql: String, chars: u32| Ok(Ex { nullable, ..Ex::new(sql, Ty::Text(chars)) }.collated(collation, 4));
        let fold = u8::from(collation.collating.folds() && !binary);
        match name {
            "CONCAT" if count >= 1 => {
                if binary {
                    let parts: Vec<String> = values.iter().map(|v| self.to_bytes(v.clone()).sql).collect();
                    return Ok(Ex { nullable, ..Ex::new(format!("pm_concat_bytes({})", parts.join(", ")), Ty::Bytes(chars)) });
                }
                text(format!("({})", if count == 1 { texts[0].clone() } else { texts.join(" || ") }), chars)
            }
            "CONCAT_WS" if count >= 2 => {
                text(format!("concat_ws({})", texts.join(", ")), chars.saturating_add(values[0].ty.chars() * count as u32))
            }
            "LOCATE" | "POSITION" if count == 2 => Ok(Ex::new(format!("pm_locate({}, {}, 1, {fold})", texts[0], texts[1]), Ty::BIGINT)),
            "LOCATE" if count == 3 => {
                let from = self.to_int(&values[2]);
                Ok(Ex::new(format!("pm_locate({}, {}, {from}, {fold})", texts[0], texts[1]), Ty::BIGINT))
            }
            "INSTR" if count == 2 => Ok(Ex::new(format!("pm_locate({}, {}, 1, {fold})", texts[1], texts[0]), Ty::BIGINT)),
            "TRIM" if count == 1 => text(format!("trim({})", texts[0]), chars),
            "STRCMP" if count == 2 => {
                Ok(Ex::new(format!("pm_strcmp({}, {}, '{}')", texts[0], texts[1], collation.collating.sqlite_name()), Ty::INT))
            }
            "CHAR" if count >= 1 => {
                let numbers: Vec<String> = values.iter().map(|v| self.to_int(v)).collect();
                Ok(Ex::new(format!("pm_char({})", numbers.join(", ")), Ty::Bytes(4 * count as u32)))
            }
            "CHARSET" if count == 1 => {
                let charset = if values[0].ty.textual() { values[0].collation.charset } else { "binary" };
                text(string(charset), 64)
            }
            "COLLATION" if count == 1 => {
                let name = if values[0].ty.textual() { values[0].collation.name } else { "binary" };
                text(string(name), 64)
            }
            "COERCIBILITY" if count == 1 => Ok(Ex::new(values[0].coercibility.to_string(), Ty::INT)),
            "REGEXP_LIKE" if count == 2 => Ok(truth(format!("pm_regexp({}, {}, {fold})", texts[0], texts[1]))),
            "REGEXP_REPLACE" if count == 3 => text(format!("pm_regexp_replace({}, {}, {}, {fold})", texts[0], texts[1], texts[2]), chars),
            "REGEXP_INSTR" if count == 2 => Ok(Ex::new(format!("pm_regexp_instr({}, {}, {fold})", texts[0], texts[1]), Ty::BIGINT)),
            "REGEXP_SUBSTR" if count == 2 => text(format!("pm_regexp_substr({}, {}, {fold})", texts[0], texts[1]), chars),
            "REGEXP_LIKE" | "REGEXP_REPLACE" | "REGEXP_INSTR" | "REGEXP_SUBSTR" => {
                Err(SqlError::unsupported(format!("{name}() with {count} arguments")))
            }
            _ => Err(error::wrong_argument_count(name)),
        }
    }

    fn collation_of(&self, values: &[Ex]) -> Result<&'static collation::Collation, SqlError> {
        let mut texts = values.iter().filter(|v| v.ty.textual());
        let Some(first) = texts.next() else { return Ok(self.literal_collation()) };
        let mut agreed = first.clone();
        for other in texts {
            let collation = self.agree(&agreed, other, "concat")?;
            agreed.coercibility = agreed.coercibility.min(other.coercibility);
            agreed.collation = collation;
        }
        Ok(agreed.collation)
    }

    pub(super) fn trim(&mut self, side: Option<ast::TrimWhereField>, what: Option<&ast::Expr>, expr: &ast::Expr) -> Result<Ex, SqlError> {
        let value = self.expression(expr)?;
        let what = match what {
            Some(what) => {
                let what = self.expression(what)?;
                self.to_text(&what)
            }
            None => "' '".to_owned(),
        };
        let side = match side {
            None | Some(ast::TrimWhereField::Both) => "both",
            Some(ast::TrimWhereField::Leading) => "leading",
            Some(ast::TrimWhereField::Trailing) => "trailing",
        };
        let chars = value.ty.chars();
        Ok(Ex::new(format!("pm_trim({}, {what}, '{side}')", self.to_text(&value)), Ty::Text(chars)).collated(value.collation, 4))
    }

    pub(super) fn extract(&mut self, unit: &str, expr: &ast::Expr) -> Result<Ex, SqlError> {
        let unit = unit.to_ascii_uppercase();
        Unit::by_name(&unit).ok_or_else(|| SqlError::unsupported(format!("EXTRACT({unit})")))?;
        let value = self.expression(expr)?;
        Ok(Ex::new(format!("pm_extract('{unit}', {})", self.to_text(&value)), Ty::BIGINT))
    }

    fn json_build(&mut self, name: &str, values: &[Ex]) -> Result<Ex, SqlError> {
        if name == "JSON_OBJECT" && values.len() % 2 == 1 {
            return Err(error::wrong_argument_count(name));
        }
        let parts: Vec<String> = values
            .iter()
            .enumerate()
            .map(|(i, v)| if name == "JSON_OBJECT" && i % 2 == 0 { self.to_text(v) } else { self.to_json(v) })
            .collect();
        let function = if name == "JSON_OBJECT" { "pm_json_object" } else { "pm_json_array" };
        Ok(Ex::new(format!("{function}({})", parts.join(", ")), Ty::Json).not_null())
    }

    // --- session, time, randomness ---

    fn session_function(&mut self, name: &str, values: Vec<Ex>) -> Result<Ex, SqlError> {
        let count = values.len();
        let digits = || match values.first().map(|v| &v.literal) {
            None => Ok(0u8),
            Some(Some(Literal::Int(n))) if (0..=6).contains(n) => Ok(*n as u8),
            _ => Err(SqlError::new(1426, "42000", format!("Too-big precision specified for '{}'. Maximum is 6.", name.to_lowercase()))),
        };
        let utf8 = |sql: &str, chars: u32| Ok(Ex::new(sql, Ty::Text(chars)).collated(collation::DEFAULT, 3));
        match name {
            "NOW" | "CURRENT_TIMESTAMP" | "LOCALTIME" | "LOCALTIMESTAMP" | "SYSDATE" | "UTC_TIMESTAMP" if count <= 1 => {
                self.impure("NOW()");
                let digits = digits()?;
                let function = match name {
                    "SYSDATE" => "pm_sysdate",
                    "UTC_TIMESTAMP" => "pm_utc_now",
                    _ => "pm_now",
                };
                Ok(Ex::new(format!("{function}({digits})"), Ty::DateTime { digits, timestamp: false }).not_null())
            }
            "CURDATE" | "CURRENT_DATE" if count == 0 => {
                self.impure("NOW()");
                Ok(Ex::new("substr(pm_now(0), 1, 10)", Ty::Date).not_null())
            }
            "UTC_DATE" if count == 0 => {
                self.impure("NOW()");
                Ok(Ex::new("substr(pm_utc_now(0), 1, 10)", Ty::Date).not_null())
            }
            "CURTIME" | "CURRENT_TIME" | "UTC_TIME" if count <= 1 => {
                self.impure("NOW()");
                let digits = digits()?;
                let function = if name == "UTC_TIME" { "pm_utc_now" } else { "pm_now" };
                Ok(Ex::new(format!("substr({function}({digits}), 12)"), Ty::Time(digits)).not_null())
            }
            "UNIX_TIMESTAMP" if count == 0 => {
                self.impure("NOW()");
                Ok(Ex::new("pm_unix_timestamp()", Ty::BIGINT).not_null())
            }
            "UNIX_TIMESTAMP" if count == 1 => {
                let fraction = fraction_of(&values[0]);
                let ty = if fraction == 0 { Ty::BIGINT } else { Ty::Decimal { precision: 17, scale: fraction, unsigned: false } };
                let sql = format!("pm_unix_timestamp({}, {fraction})", self.to_text(&values[0]));
                self.session_bound = true;
                Ok(Ex::new(sql, ty))
            }
            "FROM_UNIXTIME" if count == 1 || count == 2 => {
                let digits = match &values[0].ty {
                    ty if ty.integral() => 0,
                    Ty::Decimal { scale, .. } => (*scale).min(6),
                    _ => 6,
                };
                self.session_bound = true;
                let date = format!("pm_from_unixtime({}, {digits})", self.to_text(&values[0]));
                match values.get(1) {
                    None => Ok(Ex::new(date, Ty::DateTime { digits, timestamp: false })),
                    Some(format) => utf8(&format!("pm_date_format({date}, {})", self.to_text(format)), 255),
                }
            }
            "YEAR" if count == 1 => Ok(Ex::new(format!("pm_year_of({})", self.to_text(&values[0])), Ty::Year)),
            "TIME" if count == 1 => {
                let digits = fraction_of(&values[0]);
                Ok(Ex::new(format!("pm_time({}, {digits})", self.to_text(&values[0])), Ty::Time(digits)))
            }
            "TIMESTAMP" if count == 1 => {
                let digits = fraction_of(&values[0]);
                Ok(Ex::new(format!("pm_datetime({}, {digits})", self.to_text(&values[0])), Ty::DateTime { digits, timestamp: false }))
            }
            "STR_TO_DATE" if count == 2 => {
                let format = match &values[1].literal {
                    Some(Literal::Text(text)) => text.clone(),
                    _ => return Err(SqlError::unsupported("STR_TO_DATE with a computed format")),
                };
                let has =
                    |letters: &str| format.char_indices().any(|(i, c)| i > 0 && letters.contains(c) && format.as_bytes()[i - 1] == b'%');
                let ty = match (has("YymcdeDMbWaj"), has("HkhIlisSfpTr")) {
                    (true, true) => Ty::DateTime { digits: if has("f") { 6 } else { 0 }, timestamp: false },
                    (false, true) => Ty::Time(if has("f") { 6 } else { 0 }),
                    _ => Ty::Date,
                };
                let form = match &ty {
                    Ty::DateTime { digits, .. } => digits.to_string(),
                    Ty::Time(digits) => format!("t{digits}"),
                    _ => "date".to_owned(),
                };
                Ok(Ex::new(format!("pm_str_to_date({}, {}, '{form}')", self.to_text(&values[0]), values[1].sql), ty))
            }
            "TIMEDIFF" if count == 2 => {
                let digits = values.iter().map(fraction_of).max().unwrap_or(0);
                Ok(Ex::new(format!("pm_timediff({}, {}, {digits})", self.to_text(&values[0]), self.to_text(&values[1])), Ty::Time(digits)))
            }
            "SEC_TO_TIME" if count == 1 => {
                let digits = match &values[0].ty {
                    ty if ty.integral() => 0,
                    Ty::Decimal { scale, .. } => (*scale).min(6),
                    _ => 6,
                };
                Ok(Ex::new(format!("pm_sec_to_time({}, {digits})", self.to_text(&values[0])), Ty::Time(digits)))
            }
            "MAKETIME" if count == 3 => Ok(Ex::new(
                format!("pm_maketime({}, {}, {})", self.to_int(&values[0]), self.to_int(&values[1]), self.to_int(&values[2])),
                Ty::Time(0),
            )),
            "ADDTIME" | "SUBTIME" if count == 2 => {
                let sign = if name == "ADDTIME" { 1 } else { -1 };
                let (a, b) = (self.to_text(&values[0]), self.to_text(&values[1]));
                let ty = match &values[0].ty {
                    Ty::Time(d) => Ty::Time(*d),
                    Ty::DateTime { digits, .. } => Ty::DateTime { digits: *digits, timestamp: false },
                    _ => return Err(SqlError::unsupported(format!("{name}() of text"))),
                };
                let digits = match &ty {
                    Ty::Time(d) | Ty::DateTime { digits: d, .. } => *d,
                    _ => 0,
                };
                Ok(Ex::new(format!("pm_addtime({a}, {b}, {sign}, {digits})"), ty))
            }
            "CONVERT_TZ" if count == 3 => {
                let digits = match &values[0].ty {
                    Ty::DateTime { digits, .. } => *digits,
                    _ => 0,
                };
                let list: Vec<String> = values.iter().map(|v| self.to_text(v)).collect();
                Ok(Ex::new(format!("pm_convert_tz({}, {digits})", list.join(", ")), Ty::DateTime { digits, timestamp: false }))
            }
            "DATABASE" | "SCHEMA" if count == 0 => {
                self.impure("DATABASE()");
                utf8("pm_database()", 64)
            }
            "USER" | "CURRENT_USER" | "SESSION_USER" | "SYSTEM_USER" if count == 0 => {
                self.impure("USER()");
                utf8(if name == "CURRENT_USER" { "pm_current_user()" } else { "pm_user()" }, 288)
            }
            "VERSION" if count == 0 => {
                self.impure("VERSION()");
                utf8("pm_system_variable('session', 'version')", 60)
            }
            "CONNECTION_ID" if count == 0 => {
                self.impure("CONNECTION_ID()");
                Ok(Ex::new("pm_connection_id()", Ty::UNSIGNED).not_null())
            }
            "LAST_INSERT_ID" | "FOUND_ROWS" | "ROW_COUNT" if count == 0 => {
                self.impure("LAST_INSERT_ID(), FOUND_ROWS() or ROW_COUNT()");
                let ty = if name == "ROW_COUNT" { Ty::BIGINT } else { Ty::UNSIGNED };
                Ok(Ex::new(format!("pm_{}()", name.to_ascii_lowercase()), ty).not_null())
            }
            "UUID" if count == 0 => {
                self.impure("UUID()");
                utf8("pm_uuid()", 36)
            }
            "UUID_SHORT" if count == 0 => Err(SqlError::unsupported("UUID_SHORT()")),
            "RANDOM_BYTES" if count == 1 => {
                self.impure("RANDOM_BYTES()");
                Ok(Ex::new(format!("pm_random_bytes({})", self.to_int(&values[0])), Ty::Bytes(1024)))
            }
            "SLEEP" if count == 1 => {
                self.impure("SLEEP()");
                Ok(Ex::new(format!("pm_sleep({})", self.to_double(&values[0])), Ty::INT).not_null())
            }
            "BENCHMARK" => Err(SqlError::unsupported("BENCHMARK()")),
            "GET_LOCK" | "RELEASE_LOCK" | "IS_FREE_LOCK" | "IS_USED_LOCK" | "RELEASE_ALL_LOCKS" => self.user_lock(name, &values),
            "ANY_VALUE" if count == 1 => Ok(values.into_iter().next().unwrap_or_else(null)),
            _ => self.unknown(name),
        }
    }

    fn user_lock(&mut self, name: &str, values: &[Ex]) -> Result<Ex, SqlError> {
        self.impure("GET_LOCK() and its kin");
        match (name, values) {
            ("GET_LOCK", [lock, timeout]) => {
                Ok(Ex::new(format!("pm_get_lock({}, {})", self.to_text(lock), self.to_double(timeout)), Ty::INT))
            }
            ("RELEASE_LOCK" | "IS_FREE_LOCK" | "IS_USED_LOCK", [lock]) => {
                Ok(Ex::new(format!("pm_{}({})", name.to_ascii_lowercase(), self.to_text(lock)), Ty::INT))
            }
            ("RELEASE_ALL_LOCKS", []) => Ok(Ex::new("pm_release_all_locks()", Ty::INT)),
            _ => Err(error::wrong_argument_count(name)),
        }
    }

    fn unknown(&self, name: &str) -> Result<Ex, SqlError> {
        if KNOWN_ELSEWHERE.contains(&name) {
            return Err(SqlError::unsupported(format!("{name}()")));
        }
        Err(error::unknown_function(self.cx.database.unwrap_or(""), name))
    }

    // --- aggregates and windows ---

    fn aggregate(&mut self, name: &str, f: &ast::Function) -> Result<Ex, SqlError> {
        let ast::FunctionArguments::List(list) = &f.args else { return Err(error::wrong_argument_count(name)) };
        if f.over.is_none() {
            if !self.aggregates_allowed || window_name(name) {
                return Err(error::invalid_group_function());
            }
            self.saw_aggregate = true;
        }
        let distinct = list.duplicate_treatment == Some(ast::DuplicateTreatment::Distinct);
        let allowed = self.aggregates_allowed;
        if f.over.is_none() {
            self.aggregates_allowed = false;
        }
        // Inside an aggregate a name is a column, never an alias.
        let rule = self.scopes.last_mut().map(|s| std::mem::replace(&mut s.alias_rule, AliasRule::Unseen));
        let translated = self.aggregate_call(name, list, distinct, f.over.is_some());
        self.aggregates_allowed = allowed;
        if let (Some(rule), Some(scope)) = (rule, self.scopes.last_mut()) {
            scope.alias_rule = rule;
        }
        let ex = translated?;
        match &f.over {
            None => Ok(ex),
            Some(over) => {
                if distinct {
                    return Err(SqlError::unsupported(format!("{name}(DISTINCT) OVER")));
                }
                let window = self.window(over)?;
                Ok(Ex { sql: format!("{} OVER {window}", ex.sql), ..ex })
            }
        }
    }

    fn aggregate_call(&mut self, name: &str, list: &ast::FunctionArgumentList, distinct: bool, windowed: bool) -> Result<Ex, SqlError> {
        if name == "COUNT" && matches!(list.args.as_slice(), [ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Wildcard)]) {
            return Ok(Ex::new("count(*)", Ty::BIGINT).not_null());
        }
        if name == "GROUP_CONCAT" {
            return self.group_concat(list, distinct);
        }
        if !list.clauses.is_empty() {
            return Err(SqlError::unsupported(format!("clause of {name}()")));
        }
        let arguments = arguments(list)?;
        let values = arguments.iter().map(|a| self.expression(a)).collect::<Result<Vec<_>, _>>()?;
        let d = if distinct { "DISTINCT " } else { "" };
        let custom_window = |what: &str| if windowed { Err(SqlError::unsupported(format!("{what} OVER"))) } else { Ok(()) };
        match (name, values.as_slice()) {
            ("COUNT", [v]) => Ok(Ex::new(format!("count({d}{})", self.grouping(v)), Ty::BIGINT).not_null()),
            ("COUNT", many) if distinct && many.len() > 1 => {
                let keys: Vec<String> = many
                    .iter()
                    .map(|v| {
                        let collating = if v.ty.textual() { v.collation.collating.sqlite_name() } else { "BINARY" };
                        format!("{}, '{collating}'", v.sql)
                    })
                    .collect();
                Ok(Ex::new(format!("count(DISTINCT pm_tuple({}))", keys.join(", ")), Ty::BIGINT).not_null())
            }
            ("MIN" | "MAX", [v]) => {
                if v.ty == Ty::Json {
                    return Err(SqlError::unsupported(format!("{name}() of JSON")));
                }
                let sql = format!("{}({})", name.to_ascii_lowercase(), self.grouping(v));
                Ok(Ex { sql, nullable: true, literal: None, origin: None, bare: false, ..v.clone() })
            }
            ("SUM" | "AVG", [v]) => self.sum_or_avg(name, v, d),
            ("BIT_AND" | "BIT_OR" | "BIT_XOR", [v]) => {
                custom_window(name)?;
                Ok(Ex::new(format!("pm_{}({})", name.to_ascii_lowercase(), self.to_int(v)), Ty::UNSIGNED).not_null())
            }
            ("STD" | "STDDEV" | "STDDEV_POP" | "STDDEV_SAMP" | "VARIANCE" | "VAR_POP" | "VAR_SAMP", [v]) => {
                custom_window(name)?;
                let function = match name {
                    "STDDEV_SAMP" => "pm_stddev_samp",
                    "VARIANCE" | "VAR_POP" => "pm_var_pop",
                    "VAR_SAMP" => "pm_var_samp",
                    _ => "pm_stddev_pop",
                };
                Ok(Ex::new(format!("{function}({d}{})", self.to_double(v)), Ty::Double))
            }
            ("JSON_ARRAYAGG", [v]) => {
                custom_window(name)?;
                Ok(Ex::new(format!("pm_json_arrayagg({})", self.to_json(v)), Ty::Json))
            }
            ("JSON_OBJECTAGG", [k, v]) => {
                custom_window(name)?;
                Ok(Ex::new(format!("pm_json_objectagg({}, {})", self.to_text(k), self.to_json(v)), Ty::Json))
            }
            ("ANY_VALUE", [v]) => Ok(v.clone()),
            ("ROW_NUMBER" | "RANK" | "DENSE_RANK", []) => Ok(Ex::new(format!("{}()", name.to_ascii_lowercase()), Ty::UNSIGNED).not_null()),
            ("PERCENT_RANK" | "CUME_DIST", []) => Ok(Ex::new(format!("{}()", name.to_ascii_lowercase()), Ty::Double).not_null()),
            ("NTILE", [n]) => Ok(Ex::new(format!("ntile({})", n.sql), Ty::UNSIGNED).not_null()),
            ("FIRST_VALUE" | "LAST_VALUE", [v]) => Ok(Ex {
                sql: format!("{}({})", name.to_ascii_lowercase(), v.sql),
                nullable: true,
                literal: None,
                origin: None,
                bare: false,
                ..v.clone()
            }),
            ("NTH_VALUE", [v, n]) => Ok(Ex {
                sql: format!("nth_value({}, {})", v.sql, n.sql),
                nullable: true,
                literal: None,
                origin: None,
                bare: false,
                ..v.clone()
            }),
            ("LAG" | "LEAD", [v]) => Ok(Ex {
                sql: format!("{}({})", name.to_ascii_lowercase(), v.sql),
                nullable: true,
                literal: None,
                origin: None,
                bare: false,
                ..v.clone()
            }),
            ("LAG" | "LEAD", [v, n]) => Ok(Ex {
                sql: format!("{}({}, {})", name.to_ascii_lowercase(), v.sql, n.sql),
                nullable: true,
                literal: None,
                origin: None,
                bare: false,
                ..v.clone()
            }),
            ("LAG" | "LEAD", [v, n, default]) => {
                let (like, converted) = self.unify(vec![v.clone(), default.clone()])?;
                let sql = format!("{}({}, {}, {})", name.to_ascii_lowercase(), converted[0], n.sql, converted[1]);
                Ok(Ex { sql, nullable: true, ..like })
            }
            _ => Err(error::wrong_argument_count(name)),
        }
    }

    /// With the collation named, where SQLite is to tell values apart.
    pub(super) fn grouping(&self, v: &Ex) -> String {
        if v.bare {
            return v.sql.clone();
        }
        match &v.ty {
            Ty::Decimal { .. } => format!("{} COLLATE PM_DECIMAL", v.sql),
            Ty::Time(_) => format!("{} COLLATE PM_TIME", v.sql),
            ty if ty.textual() && v.collation.collating != collation::Collating::Exact => {
                format!("{} COLLATE {}", v.sql, v.collation.collating.sqlite_name())
            }
            _ => v.sql.clone(),
        }
    }

    fn sum_or_avg(&mut self, name: &str, v: &Ex, distinct: &str) -> Result<Ex, SqlError> {
        let average = name == "AVG";
        let division = self.cx.settings.division_digits;
        if v.ty.integral() {
            // Native sum of integers: exact, and an error when it overflows.
            if !average {
                return Ok(Ex::new(format!("sum({distinct}{})", v.sql), Ty::Decimal { precision: 42, scale: 0, unsigned: false }));
            }
            let ty = Ty::Decimal { precision: 14 + division, scale: division, unsigned: false };
            return Ok(Ex::new(format!("pm_dec_avg({distinct}{})", v.sql), ty));
        }
        if let Ty::Decimal { precision, scale, .. } = v.ty {
            let grouped = if distinct.is_empty() { v.sql.clone() } else { self.grouping(v) };
            if !average {
                let ty = Ty::Decimal { precision: (precision + 22).min(65), scale, unsigned: false };
                return Ok(Ex::new(format!("pm_dec_sum({distinct}{grouped})"), ty));
            }
            let ty = Ty::Decimal { precision: (precision + division).min(65), scale: (scale + division).min(30), unsigned: false };
            return Ok(Ex::new(format!("pm_dec_avg({distinct}{grouped})"), ty));
        }
        let function = if average { "avg" } else { "sum" };
        Ok(Ex::new(format!("{function}({distinct}{})", self.to_double(v)), Ty::Double))
    }

    fn group_concat(&mut self, list: &ast::FunctionArgumentList, distinct: bool) -> Result<Ex, SqlError> {
        let mut separator = ",".to_owned();
        let mut order: &[ast::OrderByExpr] = &[];
        for clause in &list.clauses {
            match clause {
                ast::FunctionArgumentClause::Separator(value) => match &value.value {
                    ast::Value::SingleQuotedString(text) | ast::Value::DoubleQuotedString(text) => separator = text.clone(),
                    other => return Err(error::syntax(&other.to_string(), 1)),
                },
                ast::FunctionArgumentClause::OrderBy(items) => order = items,
                _ => return Err(SqlError::unsupported("clause of GROUP_CONCAT()")),
            }
        }
        let arguments = arguments(list)?;
        if arguments.is_empty() {
            return Err(error::wrong_argument_count("GROUP_CONCAT"));
        }
        let values = arguments.iter().map(|a| self.expression(a)).collect::<Result<Vec<_>, _>>()?;
        let value = if values.len() == 1 { values[0].clone() } else { self.call("CONCAT", values)? };
        let text = self.as_text(value.clone());
        let key = if distinct && !value.bare { self.grouping(&text) } else { text.sql.clone() };
        let mut order_sql = String::new();
        if !order.is_empty() {
            let items = order.iter().map(|o| self.order_item(o)).collect::<Result<Vec<_>, _>>()?;
            order_sql = format!(" ORDER BY {}", items.join(", "));
        }
        let name = super::gc_name(&separator);
        if !self.separators.contains(&separator) {
            self.separators.push(separator);
        }
        let d = if distinct { "DISTINCT " } else { "" };
        Ok(Ex::new(format!("{name}({d}{key}{order_sql})"), Ty::Text(262_144)).collated(text.collation, 4))
    }

    fn order_item(&mut self, item: &ast::OrderByExpr) -> Result<String, SqlError> {
        let ex = self.expression(&item.expr)?;
        let direction = if matches!(item.options.sort, Some(ast::OrderBySort::Desc)) { " DESC" } else { "" };
        Ok(format!("{}{direction}", self.ordering(&ex)))
    }

    fn window(&mut self, over: &ast::WindowType) -> Result<String, SqlError> {
        match over {
            ast::WindowType::NamedWindow(name) => Ok(super::quote(&name.value)),
            ast::WindowType::WindowSpec(spec) => self.window_spec(spec),
        }
    }

    pub(super) fn window_spec(&mut self, spec: &ast::WindowSpec) -> Result<String, SqlError> {
        let mut parts = Vec::new();
        if let Some(name) = &spec.window_name {
            parts.push(super::quote(&name.value));
        }
        if !spec.partition_by.is_empty() {
            let mut keys = Vec::new();
            for e in &spec.partition_by {
                let ex = self.expression(e)?;
                keys.push(self.grouping(&ex));
            }
            parts.push(format!("PARTITION BY {}", keys.join(", ")));
        }
        if !spec.order_by.is_empty() {
            let keys = spec.order_by.iter().map(|o| self.order_item(o)).collect::<Result<Vec<_>, _>>()?;
            parts.push(format!("ORDER BY {}", keys.join(", ")));
        }
        if let Some(frame) = &spec.window_frame {
            let bound = |b: &ast::WindowFrameBound| -> Result<String, SqlError> {
                Ok(match b {
                    ast::WindowFrameBound::CurrentRow => "CURRENT ROW".to_owned(),
                    ast::WindowFrameBound::Preceding(None) => "UNBOUNDED PRECEDING".to_owned(),
                    ast::WindowFrameBound::Following(None) => "UNBOUNDED FOLLOWING".to_owned(),
                    ast::WindowFrameBound::Preceding(Some(n)) => format!("{} PRECEDING", frame_rows(n)?),
                    ast::WindowFrameBound::Following(Some(n)) => format!("{} FOLLOWING", frame_rows(n)?),
                })
            };
            let units = match frame.units {
                ast::WindowFrameUnits::Rows => "ROWS",
                ast::WindowFrameUnits::Range => "RANGE",
                ast::WindowFrameUnits::Groups => return Err(SqlError::unsupported("GROUPS frame")),
            };
            parts.push(match &frame.end_bound {
                Some(end) => format!("{units} BETWEEN {} AND {}", bound(&frame.start_bound)?, bound(end)?),
                None => format!("{units} {}", bound(&frame.start_bound)?),
            });
        }
        Ok(format!("({})", parts.join(" ")))
    }
}

// === helpers ===

/// Digits of a fraction of a second in a temporal value: of text, those of the literal, or all six when it is computed.
fn fraction_of(value: &Ex) -> u8 {
    match (&value.ty, &value.literal) {
        (Ty::Time(digits) | Ty::DateTime { digits, .. }, _) => *digits,
        (Ty::Text(_), Some(Literal::Text(text))) => text.split_once('.').map_or(0, |(_, f)| f.len().min(6) as u8),
        (Ty::Text(_), None) => 6,
        (Ty::Decimal { scale, .. }, _) => (*scale).min(6),
        _ => 0,
    }
}

fn frame_rows(expr: &ast::Expr) -> Result<String, SqlError> {
    match expr {
        ast::Expr::Value(v) => match &v.value {
            ast::Value::Number(n, _) if n.bytes().all(|c| c.is_ascii_digit()) => Ok(n.clone()),
            _ => Err(SqlError::unsupported("computed frame bound")),
        },
        _ => Err(SqlError::unsupported("computed frame bound")),
    }
}

fn interval(value: ast::Expr, unit: &str) -> ast::Interval {
    ast::Interval {
        value: Box::new(value),
        leading_field: Some(ast::DateTimeField::Custom(ast::Ident::new(unit))),
        leading_precision: None,
        last_field: None,
        fractional_seconds_precision: None,
    }
}

fn arguments(list: &ast::FunctionArgumentList) -> Result<Vec<&ast::Expr>, SqlError> {
    list.args
        .iter()
        .map(|a| match a {
            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(e)) => Ok(e),
            other => Err(SqlError::unsupported(format!("argument {other}"))),
        })
        .collect()
}

pub(super) fn aggregate_name(name: &str) -> bool {
    matches!(
        name.to_ascii_uppercase().as_str(),
        "COUNT"
            | "SUM"
            | "AVG"
            | "MIN"
            | "MAX"
            | "GROUP_CONCAT"
            | "BIT_AND"
            | "BIT_OR"
            | "BIT_XOR"
            | "STD"
            | "STDDEV"
            | "STDDEV_POP"
            | "STDDEV_SAMP"
            | "VARIANCE"
            | "VAR_POP"
            | "VAR_SAMP"
            | "JSON_ARRAYAGG"
            | "JSON_OBJECTAGG"
    )
}

fn window_name(name: &str) -> bool {
    matches!(
        name,
        "ROW_NUMBER"
            | "RANK"
            | "DENSE_RANK"
            | "PERCENT_RANK"
            | "CUME_DIST"
            | "NTILE"
            | "FIRST_VALUE"
            | "LAST_VALUE"
            | "NTH_VALUE"
            | "LAG"
            | "LEAD"
    )
}

/// MySQL has these and this engine does not: 1235, not "does not exist".
const KNOWN_ELSEWHERE: &[&str] = &[
    "AES_DECRYPT",
    "AES_ENCRYPT",
    "COMPRESS",
    "UNCOMPRESS",
    "UNCOMPRESSED_LENGTH",
    "ENCRYPT",
    "EXPORT_SET",
    "EXTRACTVALUE",
    "UPDATEXML",
    "GROUPING",
    "JSON_ARRAY_INSERT",
    "JSON_OVERLAPS",
    "JSON_SCHEMA_VALID",
    "JSON_STORAGE_SIZE",
    "JSON_TABLE",
    "JSON_VALUE",
    "LOAD_FILE",
    "MASTER_POS_WAIT",
    "NAME_CONST",
    "PASSWORD",
    "ST_ASTEXT",
    "ST_GEOMFROMTEXT",
    "ST_DISTANCE",
    "POINT",
    "TIMESTAMP",
    "VALIDATE_PASSWORD_STRENGTH",
    "WAIT_FOR_EXECUTED_GTID_SET",
    "SESSION_TRACK",
    "FORMAT_BYTES",
    "PS_THREAD_ID",
    "ROLES_GRAPHML",
    "CURRENT_ROLE",
    "ICU_VERSION",
];
