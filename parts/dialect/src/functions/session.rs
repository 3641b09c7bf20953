//! What functions know of the session, and the functions that ask: NOW(), variables, LAST_INSERT_ID(), UUID(), RAND().

use std::collections::HashMap;

use pumasi_mysqlwire::SqlError;

use super::{Arg, Function, Out, env, stable};
use crate::error;
use crate::temporal::DateTime;

/// Kind and arguments in, a JSON array of rows out.
pub type Information = Box<dyn FnMut(&Env, &[&str]) -> Result<String, SqlError> + Send>;
/// Operation, name and seconds to wait in; the SQL function's answer out.
pub type Locks = Box<dyn FnMut(&str, &str, f64) -> Option<i64> + Send>;

/// The session as functions see it. One per session, changed only on its thread.
pub struct Env {
    /// Microseconds since 1970, UTC, when the statement began: NOW() is the same all through it.
    pub now_micros: i64,
    /// Seconds east of UTC.
    pub zone_seconds: i32,
    /// Bad values are errors; else they are adjusted with a warning.
    pub strict: bool,
    pub no_zero_date: bool,
    pub no_zero_in_date: bool,
    pub warnings: Vec<Warning>,
    /// Warnings beyond the kept ones count, too.
    pub warning_count: u64,
    /// What a function failed with: SQLite's error carries only text.
    pub failure: Option<SqlError>,
    /// Rows the statement has changed so far, for "at row N".
    pub rows_done: u64,
    pub last_insert_id: u64,
    /// Set by LAST_INSERT_ID(expr) in this statement.
    pub explicit_insert_id: Option<u64>,
    pub found_rows: u64,
    pub row_count: i64,
    pub variables: HashMap<String, UserVariable>,
    /// The values last seen of columns in unique keys, for error 1062.
    pub key_values: HashMap<String, String>,
    pub connection_id: u32,
    pub user: String,
    pub host: String,
    pub database: Option<String>,
    /// Seed of RAND() and UUID(); not for secrets.
    pub random: u64,
    /// Answers `@@name`: scope and name in, text out.
    pub system_variables: fn(&Env, &str, &str) -> Option<Out>,
    /// The session's own settings by name.
    pub settings: HashMap<String, String>,
    /// Rows of information_schema and SHOW: kind and arguments in, a JSON array of rows out. Set by the engine.
    pub information: Option<Information>,
    /// GET_LOCK and its kin: function name, lock, timeout in seconds. Set by the engine.
    pub locks: Option<Locks>,
    /// SLEEP(): seconds in, whether it was interrupted out. Set by the engine.
    pub sleep: Option<Box<dyn FnMut(f64) -> bool + Send>>,
}

/// A user variable's value and the kind of type it had: `int`, `decimal`, `double`, `bytes`, `text`.
#[derive(Clone, Debug)]
pub struct UserVariable {
    pub value: Out,
    pub kind: String,
}

/// One line of SHOW WARNINGS.
#[derive(Clone, Debug)]
pub struct Warning {
    pub level: &'static str,
    pub code: u16,
    pub message: String,
}

/// Warnings kept for SHOW WARNINGS: MySQL's max_error_count.
const WARNINGS_MAX: usize = 1024;
/// User variables of one session, and bytes in one.
const VARIABLES_MAX: usize = 1024;

impl Env {
    pub fn warn(&mut self, error: SqlError) {
        self.note("Warning", error);
    }

    pub fn note(&mut self, level: &'static str, error: SqlError) {
        self.warning_count += 1;
        if self.warnings.len() < WARNINGS_MAX {
            self.warnings.push(Warning { level, code: error.code, message: error.message });
        }
    }

    /// A bad value: fails in strict mode, else is noted.
    pub fn complain(&mut self, error: SqlError) -> Result<(), SqlError> {
        if self.strict {
            return Err(error);
        }
        self.warn(error);
        Ok(())
    }

    /// The row being written, from 1.
    pub fn row(&self) -> u64 {
        self.rows_done + 1
    }

    pub fn remember_key(&mut self, column: &str, value: Arg<'_>) {
        let text = match value {
            Arg::Null => "NULL".to_owned(),
            other => other.text().into_owned(),
        };
        match self.key_values.get_mut(column) {
            Some(slot) => *slot = text,
            None => {
                self.key_values.insert(column.to_owned(), text);
            }
        }
    }

    fn local_now(&self) -> DateTime {
        DateTime::from_micros_since_epoch(self.now_micros + i64::from(self.zone_seconds) * 1_000_000).unwrap_or_default()
    }

    /// xorshift: enough for RAND().
    fn next_random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

pub(super) const FUNCTIONS: &[Function] = &[
    stable("pm_now", 1, |e, a| Ok(e.local_now().format(a[0].int() as u8).into())),
    env("pm_sysdate", 1, |e, a| Ok(e.local_now().format(a[0].int() as u8).into())),
    stable("pm_utc_now", 1, |e, a| Ok(DateTime::from_micros_since_epoch(e.now_micros).unwrap_or_default().format(a[0].int() as u8).into())),
    stable("pm_unix_timestamp", 0, |e, _| Ok((e.now_micros / 1_000_000).into())),
    stable("pm_unix_timestamp", 2, |e, a| {
        if a[0].null() {
            return Ok(Out::Null);
        }
        let Some(date) = DateTime::parse(&a[0].text()) else { return Ok(0i64.into()) };
        if date.incomplete() {
            return Ok(0i64.into());
        }
        let micros = date.micros_since_epoch() - i64::from(e.zone_seconds) * 1_000_000;
        if micros < 0 {
            return Ok(0i64.into());
        }
        let digits = a[1].int().clamp(0, 6) as usize;
        if digits == 0 {
            return Ok((micros / 1_000_000).into());
        }
        let fraction = format!("{:06}", micros % 1_000_000);
        Ok(format!("{}.{}", micros / 1_000_000, &fraction[..digits]).into())
    }),
    stable("pm_from_unixtime", 2, |e, a| {
        if a[0].null() {
            return Ok(Out::Null);
        }
        let digits = a[1].int() as u8;
        let seconds = super::number::decimal(a[0])?;
        let micros = seconds.times(crate::decimal::Decimal::from_int(1_000_000)).and_then(crate::decimal::Decimal::to_i64);
        let Some(micros) = micros.filter(|m| (0..=32_536_771_199_999_999).contains(m)) else { return Ok(Out::Null) };
        let date = DateTime::from_micros_since_epoch(micros + i64::from(e.zone_seconds) * 1_000_000);
        Ok(date.and_then(|d| d.round(digits)).map(|d| d.format(digits)).into())
    }),
    stable("pm_to_local", 2, |e, a| Ok(shifted(a, i64::from(e.zone_seconds)).into())),
    stable("pm_to_utc", 2, |e, a| Ok(shifted(a, -i64::from(e.zone_seconds)).into())),
    stable("pm_database", 0, |e, _| Ok(e.database.clone().into())),
    stable("pm_user", 0, |e, _| Ok(format!("{}@{}", e.user, e.host).into())),
    stable("pm_current_user", 0, |e, _| Ok(format!("{}@%", e.user).into())),
    stable("pm_connection_id", 0, |e, _| Ok(i64::from(e.connection_id).into())),
    stable("pm_last_insert_id", 0, |e, _| Ok((e.last_insert_id as i64).into())),
    stable("pm_found_rows", 0, |e, _| Ok((e.found_rows as i64).into())),
    stable("pm_row_count", 0, |e, _| Ok(e.row_count.into())),
    env("pm_set_last_insert_id", 1, |e, a| {
        e.explicit_insert_id = Some(a[0].int() as u64);
        Ok(Out::of(a[0]))
    }),
    stable("pm_system_variable", 2, |e, a| {
        let (scope, name) = (a[0].text(), a[1].text());
        (e.system_variables)(e, &scope, &name).ok_or_else(|| error::unknown_variable(&name))
    }),
    env("pm_user_variable", 1, |e, a| Ok(e.variables.get(a[0].text().as_ref()).map_or(Out::Null, |v| v.value.clone()))),
    env("pm_set_user_variable", 3, |e, a| {
        let name = a[0].text().into_owned();
        if e.variables.len() >= VARIABLES_MAX && !e.variables.contains_key(&name) {
            return Err(SqlError::unsupported(format!("more than {VARIABLES_MAX} user variables")));
        }
        e.variables.insert(name, UserVariable { value: Out::of(a[1]), kind: a[2].text().into_owned() });
        Ok(Out::of(a[1]))
    }),
    env("pm_rand", 0, |e, _| Ok(((e.next_random() >> 11) as f64 / (1u64 << 53) as f64).into())),
    env("pm_rand", 1, |_, _| Err(SqlError::unsupported("RAND(seed)"))),
    env("pm_uuid", 0, |e, _| {
        // Version 1: time in 100 ns since 1582, a random clock sequence and node.
        let time = (e.now_micros as u64).wrapping_mul(10).wrapping_add(0x01B2_1DD2_1381_4000).wrapping_add(e.next_random() % 10);
        let low = time & 0xffff_ffff;
        let middle = time >> 32 & 0xffff;
        let high = time >> 48 & 0x0fff | 0x1000;
        let random = e.next_random();
        let node = e.next_random() & 0xffff_ffff_ffff | 0x0100_0000_0000;
        Ok(format!("{low:08x}-{middle:04x}-{high:04x}-{:04x}-{node:012x}", random & 0x3fff | 0x8000).into())
    }),
    env("pm_random_bytes", 1, |e, a| {
        let len = a[0].int();
        if !(1..=1024).contains(&len) {
            return Err(super::out_of_range("length", "random_bytes"));
        }
        Ok((0..len).map(|_| (e.next_random() >> 24) as u8).collect::<Vec<u8>>().into())
    }),
    env("pm_sleep", 1, |e, a| {
        let seconds = a[0].real();
        if a[0].null() || seconds < 0.0 {
            return Err(SqlError::new(1210, "HY000", "Incorrect arguments to sleep."));
        }
        let Some(mut sleep) = e.sleep.take() else { return Ok(0i64.into()) };
        let interrupted = sleep(seconds);
        e.sleep = Some(sleep);
        Ok(i64::from(interrupted).into())
    }),
    env("pm_get_lock", 2, |e, a| Ok(lock(e, "get", a[0], a[1].real()).into())),
    env("pm_release_lock", 1, |e, a| Ok(lock(e, "release", a[0], 0.0).into())),
    env("pm_is_free_lock", 1, |e, a| Ok(lock(e, "free", a[0], 0.0).into())),
    env("pm_is_used_lock", 1, |e, a| Ok(lock(e, "used", a[0], 0.0).into())),
    env("pm_release_all_locks", 0, |e, _| Ok(lock(e, "release_all", Arg::Text(""), 0.0).into())),
    stable("pm_information", -1, |e, a| {
        let arguments: Vec<String> = a.iter().map(|x| x.text().into_owned()).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let Some(mut information) = e.information.take() else { return Ok("[]".into()) };
        let rows = information(e, &arguments);
        e.information = Some(information);
        Ok(rows?.into())
    }),
    env("pm_one_row", 2, |_, a| if a[1].int() > 1 { Err(error::subquery_rows()) } else { Ok(Out::of(a[0])) }),
];

fn shifted(a: &[Arg<'_>], seconds: i64) -> Option<String> {
    if a[0].null() {
        return None;
    }
    let text = a[0].text();
    let date = DateTime::parse(&text)?;
    // The zero date is the same everywhere.
    let moved = if date.incomplete() { date } else { date.plus_micros(seconds * 1_000_000)? };
    Some(moved.format(a[1].int() as u8))
}

fn lock(e: &mut Env, operation: &str, name: Arg<'_>, timeout: f64) -> Option<i64> {
    if name.null() {
        return None;
    }
    let mut locks = e.locks.take()?;
    let answer = locks(operation, &name.text(), timeout);
    e.locks = Some(locks);
    answer
}
