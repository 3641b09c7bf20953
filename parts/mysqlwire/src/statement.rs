//! Prepared statements: what preparing answers, and the parameters of an execution ("COM_STMT_EXECUTE").

use std::collections::BTreeMap;

use crate::{ColumnType, Value, WireError, cursor::Cursor, row::decode_binary_value};

/// COM_STMT_PREPARE_OK: in front of the definitions of parameters and columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prepared {
    pub statement: u32,
    pub columns: u16,
    pub parameters: u16,
    pub warnings: u16,
}

impl Prepared {
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(0);
        out.extend_from_slice(&self.statement.to_le_bytes());
        out.extend_from_slice(&self.columns.to_le_bytes());
        out.extend_from_slice(&self.parameters.to_le_bytes());
        out.push(0);
        out.extend_from_slice(&self.warnings.to_le_bytes());
    }

    pub fn decode(payload: &[u8]) -> Result<Prepared, WireError> {
        let mut cursor = Cursor::new(payload);
        if cursor.u8("prepared statement")? != 0 {
            return Err(WireError::Malformed("prepared statement"));
        }
        let statement = cursor.u32("statement id")?;
        let (columns, parameters) = (cursor.u16("number of columns")?, cursor.u16("number of parameters")?);
        cursor.u8("filler")?;
        Ok(Prepared { statement, columns, parameters, warnings: if cursor.ended() { 0 } else { cursor.u16("warnings")? } })
    }
}

/// What a parameter's value is sent as. A client says so with the first execution and may leave it out afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParameterType {
    pub kind: ColumnType,
    pub unsigned: bool,
}

/// Pieces of parameters that arrived before the execution, by parameter number.
pub type LongData = BTreeMap<u16, Vec<u8>>;

/// The head of COM_STMT_EXECUTE; its parameters are decoded when it is known which statement it runs.
#[derive(Clone, Copy, Debug)]
pub struct Execution<'a> {
    pub statement: u32,
    /// The client would like to fetch the rows itself, a few at a time (CURSOR_TYPE_READ_ONLY).
    pub cursor: bool,
    parameters: Cursor<'a>,
}

impl<'a> Execution<'a> {
    /// `payload` without the command byte. Errors: besides bytes that make no sense, cursors other than read-only ones,
    /// which no server has.
    pub fn decode(payload: &'a [u8]) -> Result<Execution<'a>, WireError> {
        let mut cursor = Cursor::new(payload);
        let statement = cursor.u32("statement id")?;
        let flags = cursor.u8("cursor type")?;
        if flags & !1 != 0 {
            return Err(WireError::Malformed("cursor type"));
        }
        if cursor.u32("iteration count")? != 1 {
            return Err(WireError::Malformed("iteration count"));
        }
        Ok(Execution { statement, cursor: flags == 1, parameters: cursor })
    }

    /// The values of the statement's `count` parameters. `types` is what the last execution said of them, and is replaced if this one
    /// says something new. A parameter in `long_data` has its value there and none in the packet.
    pub fn parameters(mut self, count: usize, types: &mut Vec<ParameterType>, long_data: &LongData) -> Result<Vec<Value>, WireError> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let cursor = &mut self.parameters;
        let nulls = cursor.bytes(count.div_ceil(8), "NULL parameters")?;
        if cursor.u8("parameters' types")? == 1 {
            *types = (0..count).map(|_| decode_type(cursor)).collect::<Result<_, _>>()?;
        }
        if types.len() != count {
            return Err(WireError::Malformed("parameters' types, which no execution has sent yet,"));
        }
        let mut values = Vec::with_capacity(count);
        for (index, kind) in types.iter().enumerate() {
            let long = u16::try_from(index).ok().and_then(|index| long_data.get(&index));
            values.push(match long {
                Some(bytes) => Value::Bytes(bytes.clone()),
                None if nulls[index / 8] & (1 << (index % 8)) != 0 => Value::Null,
                None => decode_binary_value(cursor, kind.kind, kind.unsigned)?,
            });
        }
        if !cursor.ended() {
            return Err(WireError::Malformed("parameters, which are more than the statement has,"));
        }
        Ok(values)
    }
}

fn decode_type(cursor: &mut Cursor<'_>) -> Result<ParameterType, WireError> {
    let kind = ColumnType::from_wire(cursor.u8("parameter type")?).ok_or(WireError::Malformed("parameter type"))?;
    Ok(ParameterType { kind, unsigned: cursor.u8("parameter type")? & 0x80 != 0 })
}

#[cfg(test)]
mod tests;
