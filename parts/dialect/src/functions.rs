//! The functions that translated SQL calls: names beginning with `pm_`. The engine registers them with SQLite.
//!
//! Each takes values as SQLite holds them and answers MySQL's answer or MySQL's error. Unless its entry says so, a NULL argument
//! makes NULL without a call.

mod aggregate;
mod date;
mod json;
mod number;
mod session;
mod store;
mod string;

use std::borrow::Cow;

use pumasi_mysqlwire::SqlError;

pub use aggregate::{Aggregate, aggregates, separator_aggregate};
pub use date::zone_seconds;
pub use json::compare_text as compare_json_text;
pub use session::{Env, UserVariable, Warning};
pub use store::store_value;

use crate::error;

/// An argument.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arg<'a> {
    Null,
    Int(i64),
    Real(f64),
    Text(&'a str),
    Blob(&'a [u8]),
}

/// A result.
#[derive(Clone, Debug, PartialEq)]
pub enum Out {
    Null,
    Int(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

pub type Answer = Result<Out, SqlError>;

/// How SQLite may treat a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Same arguments, same answer; NULL in, NULL out.
    Pure,
    /// Same arguments, same answer; NULLs are passed in.
    PureNulls,
    /// Reads or changes the session: called every time. NULLs are passed in.
    Session,
    /// Reads the session, but answers the same all through one statement. NULLs are passed in.
    Stable,
}

#[derive(Clone, Copy)]
pub struct Function {
    pub name: &'static str,
    /// -1: any number.
    pub arguments: i32,
    pub kind: Kind,
    pub call: Call,
}

#[derive(Clone, Copy)]
pub enum Call {
    Pure(fn(&[Arg<'_>]) -> Answer),
    Env(fn(&mut Env, &[Arg<'_>]) -> Answer),
}

/// All scalar functions.
pub fn scalars() -> impl Iterator<Item = Function> {
    [number::FUNCTIONS, string::FUNCTIONS, date::FUNCTIONS, json::FUNCTIONS, session::FUNCTIONS, store::FUNCTIONS]
        .into_iter()
        .flatten()
        .copied()
}

const fn pure(name: &'static str, arguments: i32, call: fn(&[Arg<'_>]) -> Answer) -> Function {
    Function { name, arguments, kind: Kind::Pure, call: Call::Pure(call) }
}

const fn nulls(name: &'static str, arguments: i32, call: fn(&[Arg<'_>]) -> Answer) -> Function {
    Function { name, arguments, kind: Kind::PureNulls, call: Call::Pure(call) }
}

const fn env(name: &'static str, arguments: i32, call: fn(&mut Env, &[Arg<'_>]) -> Answer) -> Function {
    Function { name, arguments, kind: Kind::Session, call: Call::Env(call) }
}

const fn stable(name: &'static str, arguments: i32, call: fn(&mut Env, &[Arg<'_>]) -> Answer) -> Function {
    Function { name, arguments, kind: Kind::Stable, call: Call::Env(call) }
}

impl<'a> Arg<'a> {
    pub fn null(self) -> bool {
        self == Arg::Null
    }

    /// As text: numbers printed, bytes only if they are UTF-8 (else empty).
    pub fn text(self) -> Cow<'a, str> {
        match self {
            Arg::Null => Cow::Borrowed(""),
            Arg::Int(n) => Cow::Owned(n.to_string()),
            Arg::Real(x) => Cow::Owned(crate::text::double(x)),
            Arg::Text(t) => Cow::Borrowed(t),
            Arg::Blob(b) => String::from_utf8_lossy(b),
        }
    }

    pub fn bytes(self) -> Cow<'a, [u8]> {
        match self {
            Arg::Blob(b) => Cow::Borrowed(b),
            Arg::Text(t) => Cow::Borrowed(t.as_bytes()),
            other => Cow::Owned(other.text().into_owned().into_bytes()),
        }
    }

    /// The integer, or what rounds to it. Out of range ends at the ends.
    pub fn int(self) -> i64 {
        match self {
            Arg::Null => 0,
            Arg::Int(n) => n,
            Arg::Real(x) => x.round_ties_even() as i64,
            Arg::Text(_) | Arg::Blob(_) => {
                let text = self.text();
                match crate::decimal::Decimal::parse_prefix(&text) {
                    Some((d, _)) => d.to_i64().unwrap_or(if d.negative() { i64::MIN } else { i64::MAX }),
                    None => text.trim().parse::<f64>().unwrap_or(0.0) as i64,
                }
            }
        }
    }

    pub fn real(self) -> f64 {
        match self {
            Arg::Null => 0.0,
            Arg::Int(n) => n as f64,
            Arg::Real(x) => x,
            Arg::Text(_) | Arg::Blob(_) => crate::text::number_prefix(&self.text()).parse().unwrap_or(0.0),
        }
    }
}

impl From<i64> for Out {
    fn from(value: i64) -> Out {
        Out::Int(value)
    }
}

impl From<bool> for Out {
    fn from(value: bool) -> Out {
        Out::Int(i64::from(value))
    }
}

impl From<f64> for Out {
    /// What is no number (log of -1) is NULL.
    fn from(value: f64) -> Out {
        if value.is_nan() { Out::Null } else { Out::Real(value) }
    }
}

impl From<String> for Out {
    fn from(value: String) -> Out {
        Out::Text(value)
    }
}

impl From<&str> for Out {
    fn from(value: &str) -> Out {
        Out::Text(value.to_owned())
    }
}

impl From<Vec<u8>> for Out {
    fn from(value: Vec<u8>) -> Out {
        Out::Blob(value)
    }
}

impl<T: Into<Out>> From<Option<T>> for Out {
    fn from(value: Option<T>) -> Out {
        value.map_or(Out::Null, Into::into)
    }
}

impl Out {
    /// The value handed through.
    fn of(arg: Arg<'_>) -> Out {
        match arg {
            Arg::Null => Out::Null,
            Arg::Int(n) => Out::Int(n),
            Arg::Real(x) => Out::Real(x),
            Arg::Text(t) => Out::Text(t.to_owned()),
            Arg::Blob(b) => Out::Blob(b.to_owned()),
        }
    }
}

/// Longest text or blob a function makes: MySQL's max_allowed_packet.
const LENGTH_MAX: usize = 64 << 20;

fn too_long(function: &str) -> SqlError {
    SqlError::new(1301, "HY000", format!("Result of {function}() was larger than max_allowed_packet ({LENGTH_MAX}) - truncated"))
}

fn out_of_range(kind: &str, expression: impl std::fmt::Display) -> SqlError {
    error::parameter_out_of_range(kind, expression)
}
