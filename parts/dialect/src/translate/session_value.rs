//! Functions of the session, the clock and chance: what no cache may keep, unless it is said here that it may.

use pumasi_mysqlwire::SqlError;

use super::{Ex, Literal, Translator};
use crate::collation;
use crate::error;
use crate::types::Ty;

impl Translator<'_> {
    pub(super) fn session_function(&mut self, name: &str, values: Vec<Ex>) -> Result<Ex, SqlError> {
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
            "ANY_VALUE" if count == 1 => Ok(values.into_iter().next().unwrap_or_else(Ex::null)),
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
}

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
