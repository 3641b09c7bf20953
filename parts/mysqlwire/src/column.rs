//! What a result says of one of its columns (Protocol::ColumnDefinition41).

use crate::{
    WireError,
    cursor::{Cursor, put_lenenc_bytes},
};

/// Column types by their number on the wire (MySQL "Column Types").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ColumnType {
    Decimal = 0x00,
    Tiny = 0x01,
    Short = 0x02,
    Long = 0x03,
    Float = 0x04,
    Double = 0x05,
    Null = 0x06,
    Timestamp = 0x07,
    LongLong = 0x08,
    Int24 = 0x09,
    Date = 0x0a,
    Time = 0x0b,
    DateTime = 0x0c,
    Year = 0x0d,
    VarChar = 0x0f,
    Bit = 0x10,
    Json = 0xf5,
    NewDecimal = 0xf6,
    Enum = 0xf7,
    Set = 0xf8,
    TinyBlob = 0xf9,
    MediumBlob = 0xfa,
    LongBlob = 0xfb,
    Blob = 0xfc,
    VarString = 0xfd,
    String = 0xfe,
    Geometry = 0xff,
}

/// Bits of the column definition's flags field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ColumnFlags(pub u16);

impl ColumnFlags {
    pub const NOT_NULL: u16 = 1;
    pub const PRIMARY_KEY: u16 = 2;
    pub const UNIQUE_KEY: u16 = 4;
    pub const MULTIPLE_KEY: u16 = 8;
    pub const BLOB: u16 = 16;
    pub const UNSIGNED: u16 = 32;
    pub const ZEROFILL: u16 = 64;
    pub const BINARY: u16 = 128;
    pub const ENUM: u16 = 256;
    pub const AUTO_INCREMENT: u16 = 512;
    pub const TIMESTAMP: u16 = 1024;
    pub const SET: u16 = 2048;
    pub const NUM: u16 = 32768;
}

/// One column of a result.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    pub schema: String,
    /// The alias the statement gave the table; empty for an expression.
    pub table: String,
    pub org_table: String,
    /// The name the statement gave the column.
    pub name: String,
    pub org_name: String,
    /// Collation number: 63 is binary, 45 utf8mb4_general_ci, 255 utf8mb4_0900_ai_ci.
    pub collation: u16,
    /// Display width in bytes.
    pub length: u32,
    pub kind: ColumnType,
    pub flags: ColumnFlags,
    /// Digits after the point; 31 (0x1f) for floating point of no fixed scale.
    pub decimals: u8,
}

/// Columns of one result; what MySQL itself allows a table (4096) and a select list to have.
pub const COLUMNS_MAX: usize = 4096;

impl ColumnType {
    /// `None` for a number the protocol does not assign, or uses only inside the server.
    pub fn from_wire(number: u8) -> Option<ColumnType> {
        Some(match number {
            0x00 => ColumnType::Decimal,
            0x01 => ColumnType::Tiny,
            0x02 => ColumnType::Short,
            0x03 => ColumnType::Long,
            0x04 => ColumnType::Float,
            0x05 => ColumnType::Double,
            0x06 => ColumnType::Null,
            0x07 => ColumnType::Timestamp,
            0x08 => ColumnType::LongLong,
            0x09 => ColumnType::Int24,
            0x0a => ColumnType::Date,
            0x0b => ColumnType::Time,
            0x0c => ColumnType::DateTime,
            0x0d => ColumnType::Year,
            0x0f => ColumnType::VarChar,
            0x10 => ColumnType::Bit,
            0xf5 => ColumnType::Json,
            0xf6 => ColumnType::NewDecimal,
            0xf7 => ColumnType::Enum,
            0xf8 => ColumnType::Set,
            0xf9 => ColumnType::TinyBlob,
            0xfa => ColumnType::MediumBlob,
            0xfb => ColumnType::LongBlob,
            0xfc => ColumnType::Blob,
            0xfd => ColumnType::VarString,
            0xfe => ColumnType::String,
            0xff => ColumnType::Geometry,
            _ => return None,
        })
    }
}

impl ColumnFlags {
    pub fn unsigned(self) -> bool {
        self.0 & ColumnFlags::UNSIGNED != 0
    }
}

impl Column {
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_lenenc_bytes(out, b"def");
        for name in [&self.schema, &self.table, &self.org_table, &self.name, &self.org_name] {
            put_lenenc_bytes(out, name.as_bytes());
        }
        // Length of the fixed part.
        out.push(0x0c);
        out.extend_from_slice(&self.collation.to_le_bytes());
        out.extend_from_slice(&self.length.to_le_bytes());
        out.push(self.kind as u8);
        out.extend_from_slice(&self.flags.0.to_le_bytes());
        out.push(self.decimals);
        out.extend_from_slice(&[0, 0]);
    }

    /// Names that are not UTF-8 have their other bytes replaced.
    pub fn decode(payload: &[u8]) -> Result<Column, WireError> {
        let mut cursor = Cursor::new(payload);
        cursor.lenenc_bytes("catalog")?;
        let mut name = || cursor.lenenc_bytes("column's names").map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let (schema, table, org_table, name, org_name) = (name()?, name()?, name()?, name()?, name()?);
        if cursor.lenenc_int("column's fixed part")? < 0x0c {
            return Err(WireError::Malformed("column's fixed part"));
        }
        Ok(Column {
            schema,
            table,
            org_table,
            name,
            org_name,
            collation: cursor.u16("collation")?,
            length: cursor.u32("column length")?,
            kind: ColumnType::from_wire(cursor.u8("column type")?).ok_or(WireError::Malformed("column type"))?,
            flags: ColumnFlags(cursor.u16("column flags")?),
            decimals: cursor.u8("decimals")?,
        })
    }
}

#[cfg(test)]
mod tests;
