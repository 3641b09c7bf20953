//! One SQL value as it stands in a row or a parameter.

/// An owned value: a bound parameter of a prepared statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Int(i64),
    UInt(u64),
    /// FLOAT; kept apart from DOUBLE because its text form is shorter.
    Float(f32),
    Double(f64),
    /// Text or binary; the column or the session's character set says which.
    Bytes(Vec<u8>),
    /// DATE, DATETIME, TIMESTAMP. All zero is MySQL's zero date.
    DateTime {
        year: u16,
        month: u8,
        day: u8,
        hour: u8,
        minute: u8,
        second: u8,
        micros: u32,
    },
    /// TIME: up to 838 hours either way.
    Time {
        negative: bool,
        hours: u32,
        minutes: u8,
        seconds: u8,
        micros: u32,
    },
}

/// A value in a result row, borrowed from the engine. DECIMAL, JSON and temporal values arrive as their canonical MySQL text;
/// the row encoder turns temporal text into the binary form where the binary protocol asks for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ValueRef<'a> {
    Null,
    Int(i64),
    UInt(u64),
    Float(f32),
    Double(f64),
    Bytes(&'a [u8]),
}
