//! Aggregates that SQLite has not, or not as MySQL means them.

use std::fmt::Write;

use pumasi_mysqlwire::SqlError;

use super::{Answer, Arg, Out};
use crate::decimal::Decimal;

/// One group's state.
pub trait Aggregate: Send {
    fn step(&mut self, arguments: &[Arg<'_>]) -> Result<(), SqlError>;
    /// Takes a row out again, for moving window frames.
    fn inverse(&mut self, arguments: &[Arg<'_>]) -> Result<(), SqlError>;
    fn value(&self) -> Answer;
}

/// Name, number of arguments, maker, whether `inverse` works.
pub type Maker = (&'static str, i32, fn() -> Box<dyn Aggregate>, bool);

pub fn aggregates() -> &'static [Maker] {
    &[
        ("pm_dec_sum", 1, || Box::new(Exact::default()), true),
        ("pm_dec_avg", 1, || Box::new(Exact { average: true, ..Exact::default() }), true),
        ("pm_stddev_pop", 1, || Box::new(Moments::new(false, true)), false),
        ("pm_stddev_samp", 1, || Box::new(Moments::new(true, true)), false),
        ("pm_var_pop", 1, || Box::new(Moments::new(false, false)), false),
        ("pm_var_samp", 1, || Box::new(Moments::new(true, false)), false),
        ("pm_bit_and", 1, || Box::new(Bits { value: -1, combine: |a, b| a & b }), false),
        ("pm_bit_or", 1, || Box::new(Bits { value: 0, combine: |a, b| a | b }), false),
        ("pm_bit_xor", 1, || Box::new(Bits { value: 0, combine: |a, b| a ^ b }), false),
        ("pm_json_arrayagg", 1, || Box::new(JsonArray::default()), false),
        ("pm_json_objectagg", 2, || Box::new(JsonObject::default()), false),
    ]
}

/// GROUP_CONCAT with its separator.
pub fn separator_aggregate(separator: &str) -> Box<dyn Aggregate> {
    Box::new(Joined { separator: separator.to_owned(), text: None })
}

/// group_concat_max_len.
pub const GROUP_CONCAT_MAX: usize = 1 << 20;

#[derive(Default)]
struct Exact {
    sum: Option<Decimal>,
    count: i64,
    scale: u8,
    average: bool,
}

impl Aggregate for Exact {
    fn step(&mut self, arguments: &[Arg<'_>]) -> Result<(), SqlError> {
        if arguments[0].null() {
            return Ok(());
        }
        let value = super::number::decimal(arguments[0])?;
        self.scale = self.scale.max(value.scale());
        self.count += 1;
        self.sum = Some(match self.sum {
            None => value,
            Some(sum) => super::number::fit(sum.plus(value))?,
        });
        Ok(())
    }

    fn inverse(&mut self, arguments: &[Arg<'_>]) -> Result<(), SqlError> {
        if arguments[0].null() {
            return Ok(());
        }
        let value = super::number::decimal(arguments[0])?;
        self.count -= 1;
        self.sum = match self.sum {
            Some(sum) if self.count > 0 => Some(super::number::fit(sum.minus(value))?),
            _ => None,
        };
        Ok(())
    }

    fn value(&self) -> Answer {
        let Some(sum) = self.sum else { return Ok(Out::Null) };
        if !self.average {
            return Ok(sum.to_string().into());
        }
        let scale = (self.scale + 4).min(crate::decimal::SCALE_MAX);
        Ok(super::number::fit(sum.div(Decimal::from_int(self.count), scale))?.to_string().into())
    }
}

/// Welford's running mean and sum of squared differences.
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
    sample: bool,
    root: bool,
}

impl Moments {
    fn new(sample: bool, root: bool) -> Moments {
        Moments { count: 0.0, mean: 0.0, squares: 0.0, sample, root }
    }
}

impl Aggregate for Moments {
    fn step(&mut self, arguments: &[Arg<'_>]) -> Result<(), SqlError> {
        if arguments[0].null() {
            return Ok(());
        }
        let x = arguments[0].real();
        self.count += 1.0;
        let delta = x - self.mean;
        self.mean += delta / self.count;
        self.squares += delta * (x - self.mean);
        Ok(())
    }

    fn inverse(&mut self, _: &[Arg<'_>]) -> Result<(), SqlError> {
        Err(SqlError::unsupported("this aggregate over a moving frame"))
    }

    fn value(&self) -> Answer {
        let divisor = if self.sample { self.count - 1.0 } else { self.count };
        if divisor <= 0.0 {
            return Ok(Out::Null);
        }
        let variance = self.squares / divisor;
        Ok(if self.root { variance.sqrt() } else { variance }.into())
    }
}

struct Bits {
    value: i64,
    combine: fn(i64, i64) -> i64,
}

impl Aggregate for Bits {
    fn step(&mut self, arguments: &[Arg<'_>]) -> Result<(), SqlError> {
        if !arguments[0].null() {
            self.value = (self.combine)(self.value, arguments[0].int());
        }
        Ok(())
    }

    fn inverse(&mut self, _: &[Arg<'_>]) -> Result<(), SqlError> {
        Err(SqlError::unsupported("this aggregate over a moving frame"))
    }

    fn value(&self) -> Answer {
        if self.value < 0 {
            return Err(SqlError::unsupported("BIGINT UNSIGNED value above 2^63 - 1"));
        }
        Ok(self.value.into())
    }
}

#[derive(Default)]
struct JsonArray(Option<String>);

impl Aggregate for JsonArray {
    fn step(&mut self, arguments: &[Arg<'_>]) -> Result<(), SqlError> {
        let item = if arguments[0].null() { "null".into() } else { arguments[0].text() };
        match &mut self.0 {
            None => self.0 = Some(item.into_owned()),
            Some(text) => {
                let _ = write!(text, ", {item}");
            }
        }
        bounded(self.0.as_deref(), "json_arrayagg")
    }

    fn inverse(&mut self, _: &[Arg<'_>]) -> Result<(), SqlError> {
        Err(SqlError::unsupported("this aggregate over a moving frame"))
    }

    fn value(&self) -> Answer {
        Ok(self.0.as_ref().map(|t| format!("[{t}]")).into())
    }
}

#[derive(Default)]
struct JsonObject(Option<String>);

impl Aggregate for JsonObject {
    fn step(&mut self, arguments: &[Arg<'_>]) -> Result<(), SqlError> {
        if arguments[0].null() {
            return Err(SqlError::new(3158, "22032", "JSON documents may not contain NULL member names."));
        }
        let item = if arguments[1].null() { "null".into() } else { arguments[1].text() };
        let key = super::json::quote(&arguments[0].text());
        match &mut self.0 {
            None => self.0 = Some(format!("{key}: {item}")),
            Some(text) => {
                let _ = write!(text, ", {key}: {item}");
            }
        }
        bounded(self.0.as_deref(), "json_objectagg")
    }

    fn inverse(&mut self, _: &[Arg<'_>]) -> Result<(), SqlError> {
        Err(SqlError::unsupported("this aggregate over a moving frame"))
    }

    fn value(&self) -> Answer {
        Ok(self.0.as_ref().and_then(|t| super::json::normalize(&format!("{{{t}}}"))).into())
    }
}

struct Joined {
    separator: String,
    text: Option<String>,
}

impl Aggregate for Joined {
    fn step(&mut self, arguments: &[Arg<'_>]) -> Result<(), SqlError> {
        if arguments[0].null() {
            return Ok(());
        }
        let item = arguments[0].text();
        match &mut self.text {
            None => self.text = Some(item.into_owned()),
            Some(text) if text.len() < GROUP_CONCAT_MAX => {
                text.push_str(&self.separator);
                text.push_str(&item);
            }
            Some(_) => {}
        }
        Ok(())
    }

    fn inverse(&mut self, _: &[Arg<'_>]) -> Result<(), SqlError> {
        Err(SqlError::unsupported("this aggregate over a moving frame"))
    }

    fn value(&self) -> Answer {
        Ok(self
            .text
            .as_ref()
            .map(|text| {
                let mut end = text.len().min(GROUP_CONCAT_MAX);
                while !text.is_char_boundary(end) {
                    end -= 1;
                }
                text[..end].to_owned()
            })
            .into())
    }
}

fn bounded(text: Option<&str>, function: &str) -> Result<(), SqlError> {
    if text.is_some_and(|t| t.len() > super::LENGTH_MAX) { Err(super::too_long(function)) } else { Ok(()) }
}
