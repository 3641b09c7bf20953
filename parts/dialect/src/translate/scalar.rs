//! Scalar functions that need no thought of their own: one line each in a table.

use pumasi_mysqlwire::SqlError;

use super::{Ex, Translator};
use crate::error;
use crate::types::Ty;

/// How arguments are converted: one letter each, the last repeated for further ones.
/// `t` text, `n` double, `i` integer, `d` text of a date or datetime, `x` as it is, `j` JSON document, `b` text or bytes as they are.
pub(super) type Shape = &'static str;

/// What comes out.
#[derive(Clone, Copy)]
pub(super) enum Out {
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
pub(super) type Entry = (&'static str, usize, usize, Shape, &'static str, Out);

const MANY: usize = 64;

pub(super) const SCALARS: &[Entry] = &[
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
    pub(super) fn tabled(&mut self, entry: &Entry, values: &[Ex]) -> Result<Ex, SqlError> {
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
}
