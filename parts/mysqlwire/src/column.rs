//! What a result says of one of its columns (Protocol::ColumnDefinition41).

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
