//! Sizes, rates and lengths of time.

use std::time::Duration;

use super::{Text, Wrong, read_text};
use crate::{
    declare::{Reader, Value},
    tree::{Data, Node},
};

/// A size in bytes. Powers of ten with kB, MB, GB, of two with KiB, MiB, GiB; a bare number is bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes(pub u64);

impl Bytes {
    fn parse(text: &str) -> Result<Bytes, Wrong> {
        let remedy = "Write a size such as \"512MB\" (512,000,000 bytes), \"64KiB\" (65,536) or \"800B\".";
        let text = text.trim();
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '_').len();
        let number: u64 = text[..digits].replace('_', "").parse().map_err(|_| Wrong::new("is not a size", remedy))?;
        let unit: u64 = match text[digits..].trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kb" => 1_000,
            "m" | "mb" => 1_000_000,
            "g" | "gb" => 1_000_000_000,
            "t" | "tb" => 1_000_000_000_000,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            "tib" => 1 << 40,
            unit => return Err(Wrong::part(format!("{unit:?} is not a unit of size"), remedy)),
        };
        number.checked_mul(unit).map(Bytes).ok_or_else(|| Wrong::new("is more than can be counted", remedy))
    }
}

impl Value for Bytes {
    const KIND: &'static str = "a size such as \"512MB\" or \"64KiB\"";
    fn read(node: &Node, path: &str, reader: &mut Reader) -> Option<Bytes> {
        match &node.data {
            Data::Integer(bytes) if *bytes >= 0 => Some(Bytes(*bytes as u64)),
            Data::Integer(_) => read_text::<Amount>(&Node { data: Data::Untyped(node.toml()), ..node.clone() }, path, reader).map(|a| a.0),
            _ => read_text::<Amount>(node, path, reader).map(|amount| amount.0),
        }
    }
}

/// A size in quotes: lets [`Bytes`] share the reading of strings.
#[derive(Clone, Debug)]
pub(crate) struct Amount(Bytes);

impl Text for Amount {
    const KIND: &'static str = <Bytes as Value>::KIND;
    fn parse(text: &str) -> Result<Amount, Wrong> {
        Bytes::parse(text).map(Amount)
    }
}

/// Bytes per second; `0` turns the bound off.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ByteRate(pub u64);

impl Value for ByteRate {
    const KIND: &'static str = "a rate such as \"1KiB/s\"";
    fn read(node: &Node, path: &str, reader: &mut Reader) -> Option<ByteRate> {
        let data = match &node.data {
            Data::String(text) => Data::String(text.trim().trim_end_matches("/s").to_owned()),
            Data::Untyped(text) => Data::Untyped(text.trim().trim_end_matches("/s").to_owned()),
            other => other.clone(),
        };
        Bytes::read(&Node { data, origin: node.origin.clone() }, path, reader).map(|bytes| ByteRate(bytes.0))
    }
}

/// A length of time: a number with `ms`, `s`, `m`, `h` or `d`, or several of them (`1m30s`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span(pub Duration);

impl Text for Span {
    const KIND: &'static str = "a duration such as \"2s\"";
    fn remedy_for_number(number: i64) -> String {
        format!("Write \"{number}s\" for seconds, \"{number}ms\" for milliseconds.")
    }
    fn parse(text: &str) -> Result<Span, Wrong> {
        let remedy = "Write a number and a unit: \"300ms\", \"2s\", \"5m\", \"1h\", or \"1m30s\".";
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(Wrong::new("is empty", remedy));
        }
        let mut total = Duration::ZERO;
        while !rest.is_empty() {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let number: u64 = rest[..digits].parse().map_err(|_| Wrong::new("is not a duration", remedy))?;
            let unit_length = rest[digits..].find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len() - digits);
            let unit = rest[digits..digits + unit_length].trim();
            let milliseconds: u64 = match unit {
                "ms" => 1,
                "s" => 1_000,
                "m" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                "" => return Err(Wrong::new("has no unit", remedy)),
                unit => return Err(Wrong::part(format!("{unit:?} is not a unit of time"), remedy)),
            };
            let part = number.checked_mul(milliseconds).ok_or_else(|| Wrong::new("is longer than can be counted", remedy))?;
            total = total.checked_add(Duration::from_millis(part)).ok_or_else(|| Wrong::new("is longer than can be counted", remedy))?;
            rest = rest[digits + unit_length..].trim_start();
        }
        Ok(Span(total))
    }
}

written_as_string!(Amount, Span);
