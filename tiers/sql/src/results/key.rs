//! What makes two results the same bytes. Equality is the security boundary: the whole key is compared, a hash only finds it.

use std::borrow::Borrow;

use pumasi_mysqlwire::Value;
use pumasi_trace::without_trace;

/// Every part with its length before it, so that no two different lists of parts write the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key(Box<[u8]>);

/// The parts. Statement texts are taken as they are, but for a comment that names their request: what differs in a blank is another key.
pub struct Parts<'a> {
    /// Text or binary rows, and the capabilities that shape packets.
    pub form: u64,
    pub database: Option<&'a str>,
    /// The session's, and its client's if privileges differ.
    pub settings: &'a [u8],
    /// Database and settings under which a prepared statement was prepared.
    pub prepared_under: &'a [u8],
    pub sql: &'a [u8],
    /// Of a prepared statement.
    pub parameters: &'a [Value],
}

/// A look-up needs no key of its own; equal keys are equal bytes, and hash as they do.
impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl Key {
    pub fn of(parts: &Parts<'_>) -> Key {
        let mut out = Vec::with_capacity(parts.sql.len() + parts.settings.len() + 64);
        Key::write(parts, &mut out);
        Key(out.into())
    }

    /// Appends the bytes that [`Key::of`] is made of, for a look-up that keeps no key.
    pub fn write(parts: &Parts<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(&parts.form.to_le_bytes());
        out.push(u8::from(parts.database.is_some()));
        put(out, parts.database.unwrap_or_default().as_bytes());
        put(out, parts.settings);
        put(out, parts.prepared_under);
        put(out, without_trace(parts.sql));
        for parameter in parts.parameters {
            put_value(out, parameter);
        }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

fn put(out: &mut Vec<u8>, part: &[u8]) {
    out.extend_from_slice(&(part.len() as u64).to_le_bytes());
    out.extend_from_slice(part);
}

/// Types are part of it: 1 and '1' may compare differently.
fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.push(0),
        Value::Int(value) => {
            out.push(1);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Value::UInt(value) => {
            out.push(2);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Value::Float(value) => {
            out.push(3);
            out.extend_from_slice(&value.to_bits().to_le_bytes());
        }
        Value::Double(value) => {
            out.push(4);
            out.extend_from_slice(&value.to_bits().to_le_bytes());
        }
        Value::Bytes(value) => {
            out.push(5);
            put(out, value);
        }
        Value::DateTime { year, month, day, hour, minute, second, micros } => {
            out.push(6);
            out.extend_from_slice(&year.to_le_bytes());
            out.extend_from_slice(&[*month, *day, *hour, *minute, *second]);
            out.extend_from_slice(&micros.to_le_bytes());
        }
        Value::Time { negative, hours, minutes, seconds, micros } => {
            out.extend_from_slice(&[7, u8::from(*negative)]);
            out.extend_from_slice(&hours.to_le_bytes());
            out.extend_from_slice(&[*minutes, *seconds]);
            out.extend_from_slice(&micros.to_le_bytes());
        }
    }
}
