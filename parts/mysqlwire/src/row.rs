//! Rows of a result, in text and in binary ("Text Resultset Row", "Binary Protocol Resultset Row").

use crate::{
    Column, ColumnType, SqlError, Value, ValueRef, WireError,
    cursor::{Cursor, NULL, put_lenenc_bytes, put_lenenc_int},
    number, temporal,
};

/// Appends a row as COM_QUERY answers it.
pub fn put_text_row(out: &mut Vec<u8>, values: &[ValueRef<'_>]) {
    for value in values {
        match *value {
            ValueRef::Null => out.push(NULL),
            ValueRef::Bytes(bytes) => put_lenenc_bytes(out, bytes),
            number => put_short(out, |out| put_number_text(out, number)),
        }
    }
}

/// Appends a row as COM_STMT_EXECUTE answers it: each value in the form its column's type has.
///
/// Errors: a value that has no such form, e.g. text in a column declared BIGINT. That is a bug of the engine, which declared the
/// column; the client gets an error instead of a wrong number.
pub fn put_binary_row(out: &mut Vec<u8>, columns: &[Column], values: &[ValueRef<'_>]) -> Result<(), SqlError> {
    if columns.len() != values.len() {
        return Err(SqlError::new(1105, "HY000", format!("A row of {} values for {} columns", values.len(), columns.len())));
    }
    out.push(0);
    let bitmap = out.len();
    out.resize(bitmap + (columns.len() + 7 + 2) / 8, 0);
    for (index, (column, value)) in columns.iter().zip(values).enumerate() {
        if matches!(value, ValueRef::Null) {
            // The first two bits are not used here.
            out[bitmap + (index + 2) / 8] |= 1 << ((index + 2) % 8);
        } else if put_binary_value(out, column, *value).is_none() {
            let message = format!("Value {value:?} of column '{}' does not fit its type {:?}", column.name, column.kind);
            return Err(SqlError::new(1105, "HY000", message));
        }
    }
    Ok(())
}

/// Reads a text row of `columns` values; `None` is NULL.
pub fn decode_text_row(payload: &[u8], columns: usize) -> Result<Vec<Option<&[u8]>>, WireError> {
    let mut cursor = Cursor::new(payload);
    // A row of N values has at least N bytes: nothing is reserved for values that cannot be there.
    let mut row = Vec::with_capacity(columns.min(payload.len()));
    for _ in 0..columns {
        row.push(cursor.nullable_bytes("row")?);
    }
    if !cursor.ended() {
        return Err(WireError::Malformed("row"));
    }
    Ok(row)
}

/// Reads a binary row.
pub fn decode_binary_row(payload: &[u8], columns: &[Column]) -> Result<Vec<Value>, WireError> {
    let mut cursor = Cursor::new(payload);
    if cursor.u8("row")? != 0 {
        return Err(WireError::Malformed("row"));
    }
    let nulls = cursor.bytes((columns.len() + 7 + 2) / 8, "row's NULLs")?;
    let mut row = Vec::with_capacity(columns.len());
    for (index, column) in columns.iter().enumerate() {
        let null = nulls[(index + 2) / 8] & (1 << ((index + 2) % 8)) != 0;
        row.push(if null { Value::Null } else { decode_binary_value(&mut cursor, column.kind, column.flags.unsigned())? });
    }
    if !cursor.ended() {
        return Err(WireError::Malformed("row"));
    }
    Ok(row)
}

/// Reads one value in binary form; used for parameters, too. `Null` takes no bytes.
pub fn decode_binary_value(cursor: &mut Cursor<'_>, kind: ColumnType, unsigned: bool) -> Result<Value, WireError> {
    const WHAT: &str = "value";
    Ok(match kind {
        ColumnType::Null => Value::Null,
        ColumnType::Tiny => {
            let byte = cursor.u8(WHAT)?;
            if unsigned { Value::UInt(u64::from(byte)) } else { Value::Int(i64::from(byte as i8)) }
        }
        ColumnType::Short | ColumnType::Year => {
            let short = cursor.u16(WHAT)?;
            if unsigned { Value::UInt(u64::from(short)) } else { Value::Int(i64::from(short as i16)) }
        }
        ColumnType::Long | ColumnType::Int24 => {
            let long = cursor.u32(WHAT)?;
            if unsigned { Value::UInt(u64::from(long)) } else { Value::Int(i64::from(long as i32)) }
        }
        ColumnType::LongLong => {
            let longlong = cursor.u64(WHAT)?;
            if unsigned { Value::UInt(longlong) } else { Value::Int(longlong as i64) }
        }
        ColumnType::Float => Value::Float(f32::from_bits(cursor.u32(WHAT)?)),
        ColumnType::Double => Value::Double(f64::from_bits(cursor.u64(WHAT)?)),
        ColumnType::Date | ColumnType::DateTime | ColumnType::Timestamp => temporal::decode_datetime(cursor)?,
        ColumnType::Time => temporal::decode_time(cursor)?,
        ColumnType::Decimal
        | ColumnType::NewDecimal
        | ColumnType::VarChar
        | ColumnType::VarString
        | ColumnType::String
        | ColumnType::Bit
        | ColumnType::Json
        | ColumnType::Enum
        | ColumnType::Set
        | ColumnType::TinyBlob
        | ColumnType::MediumBlob
        | ColumnType::LongBlob
        | ColumnType::Blob
        | ColumnType::Geometry => Value::Bytes(cursor.lenenc_bytes(WHAT)?.to_vec()),
    })
}

// === helpers ===

fn put_number_text(out: &mut Vec<u8>, value: ValueRef<'_>) {
    match value {
        ValueRef::Int(int) => number::put_int(out, int),
        ValueRef::UInt(uint) => number::put_uint(out, uint),
        ValueRef::Float(float) => number::put_float(out, float),
        ValueRef::Double(double) => number::put_double(out, double),
        ValueRef::Null | ValueRef::Bytes(_) => {}
    }
}

/// A length-encoded string of fewer than 251 bytes, written before its length is known.
fn put_short(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.push(0);
    write(out);
    out[at] = (out.len() - at - 1) as u8;
}

/// `None`: the value has no form in that type.
fn put_binary_value(out: &mut Vec<u8>, column: &Column, value: ValueRef<'_>) -> Option<()> {
    let unsigned = column.flags.unsigned();
    match column.kind {
        ColumnType::Tiny if unsigned => out.push(u8::try_from(as_u64(value)?).ok()?),
        ColumnType::Tiny => out.push(i8::try_from(as_i64(value)?).ok()? as u8),
        // YEAR is never negative, whatever the flag says.
        ColumnType::Short if unsigned => out.extend_from_slice(&u16::try_from(as_u64(value)?).ok()?.to_le_bytes()),
        ColumnType::Year => out.extend_from_slice(&u16::try_from(as_u64(value)?).ok()?.to_le_bytes()),
        ColumnType::Short => out.extend_from_slice(&i16::try_from(as_i64(value)?).ok()?.to_le_bytes()),
        ColumnType::Long | ColumnType::Int24 if unsigned => out.extend_from_slice(&u32::try_from(as_u64(value)?).ok()?.to_le_bytes()),
        ColumnType::Long | ColumnType::Int24 => out.extend_from_slice(&i32::try_from(as_i64(value)?).ok()?.to_le_bytes()),
        ColumnType::LongLong if unsigned => out.extend_from_slice(&as_u64(value)?.to_le_bytes()),
        ColumnType::LongLong => out.extend_from_slice(&as_i64(value)?.to_le_bytes()),
        ColumnType::Float => out.extend_from_slice(&(as_f64(value)? as f32).to_le_bytes()),
        ColumnType::Double => out.extend_from_slice(&as_f64(value)?.to_le_bytes()),
        ColumnType::Date | ColumnType::DateTime | ColumnType::Timestamp => {
            let ValueRef::Bytes(text) = value else { return None };
            temporal::put_binary(out, &temporal::parse_datetime(text)?);
        }
        ColumnType::Time => {
            let ValueRef::Bytes(text) = value else { return None };
            temporal::put_binary(out, &temporal::parse_time(text)?);
        }
        // Only NULL has this type, and NULL has no bytes.
        ColumnType::Null => return None,
        ColumnType::Decimal
        | ColumnType::NewDecimal
        | ColumnType::VarChar
        | ColumnType::VarString
        | ColumnType::String
        | ColumnType::Bit
        | ColumnType::Json
        | ColumnType::Enum
        | ColumnType::Set
        | ColumnType::TinyBlob
        | ColumnType::MediumBlob
        | ColumnType::LongBlob
        | ColumnType::Blob
        | ColumnType::Geometry => match value {
            ValueRef::Bytes(bytes) => {
                put_lenenc_int(out, bytes.len() as u64);
                out.extend_from_slice(bytes);
            }
            number => put_short(out, |out| put_number_text(out, number)),
        },
    }
    Some(())
}

fn as_i64(value: ValueRef<'_>) -> Option<i64> {
    match value {
        ValueRef::Int(int) => Some(int),
        ValueRef::UInt(uint) => i64::try_from(uint).ok(),
        ValueRef::Bytes(text) => std::str::from_utf8(text).ok()?.parse().ok(),
        _ => None,
    }
}

fn as_u64(value: ValueRef<'_>) -> Option<u64> {
    match value {
        ValueRef::Int(int) => u64::try_from(int).ok(),
        ValueRef::UInt(uint) => Some(uint),
        ValueRef::Bytes(text) => std::str::from_utf8(text).ok()?.parse().ok(),
        _ => None,
    }
}

fn as_f64(value: ValueRef<'_>) -> Option<f64> {
    match value {
        ValueRef::Int(int) => Some(int as f64),
        ValueRef::UInt(uint) => Some(uint as f64),
        ValueRef::Float(float) => Some(f64::from(float)),
        ValueRef::Double(double) => Some(double),
        ValueRef::Bytes(text) => std::str::from_utf8(text).ok()?.parse().ok(),
        ValueRef::Null => None,
    }
}

#[cfg(test)]
mod tests;
