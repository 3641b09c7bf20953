//! Types of expressions, and what a result says of its columns.

use std::sync::Arc;

use pumasi_mysqlwire::{Column as WireColumn, ColumnFlags, ColumnType};

use crate::catalogue::{self, Type};
use crate::collation::{self, Collation};

/// What an expression yields, and so in which form its value stands inside SQLite:
/// integers as INTEGER, doubles as REAL, bytes as BLOB, all others as their canonical text.
#[derive(Clone, Debug, PartialEq)]
pub enum Ty {
    Null,
    /// `digits`: how wide it prints at most, the sign not counted.
    Int {
        unsigned: bool,
        bytes: u8,
        digits: u8,
    },
    Decimal {
        precision: u8,
        scale: u8,
        unsigned: bool,
    },
    Float,
    Double,
    /// Length in characters, as far as known.
    Text(u32),
    Bytes(u32),
    Date,
    Time(u8),
    DateTime {
        digits: u8,
        timestamp: bool,
    },
    Year,
    Json,
    Enum(Arc<[String]>),
    Set(Arc<[String]>),
    Bit(u8),
}

impl Ty {
    pub const INT: Ty = Ty::Int { unsigned: false, bytes: 4, digits: 10 };
    pub const BIGINT: Ty = Ty::Int { unsigned: false, bytes: 8, digits: 20 };
    pub const UNSIGNED: Ty = Ty::Int { unsigned: true, bytes: 8, digits: 20 };
    /// Of comparisons and other truth values.
    pub const BOOL: Ty = Ty::Int { unsigned: false, bytes: 4, digits: 1 };
    pub const DATETIME: Ty = Ty::DateTime { digits: 0, timestamp: false };

    pub fn of_column(column: &catalogue::Column) -> Ty {
        match &column.ty {
            Type::Int { bytes, unsigned, boolean } => {
                let digits = match (bytes, unsigned) {
                    (1, false) => {
                        if *boolean {
                            1
                        } else {
                            4
                        }
                    }
                    (1, true) => 3,
                    (2, false) => 6,
                    (2, true) => 5,
                    (3, false) => 9,
                    (3, true) => 8,
                    (4, false) => 11,
                    (4, true) => 10,
                    _ => 20,
                };
                Ty::Int { unsigned: *unsigned, bytes: *bytes, digits }
            }
            Type::Decimal { precision, scale, unsigned } => Ty::Decimal { precision: *precision, scale: *scale, unsigned: *unsigned },
            Type::Float => Ty::Float,
            Type::Double => Ty::Double,
            Type::Char(n) | Type::VarChar(n) => Ty::Text(*n),
            Type::Text(size) => Ty::Text(u32::try_from(size.bytes_max()).unwrap_or(u32::MAX)),
            Type::Binary(n) | Type::VarBinary(n) => Ty::Bytes(*n),
            Type::Blob(size) => Ty::Bytes(u32::try_from(size.bytes_max()).unwrap_or(u32::MAX)),
            Type::Date => Ty::Date,
            Type::Time(digits) => Ty::Time(*digits),
            Type::DateTime(digits) => Ty::DateTime { digits: *digits, timestamp: false },
            Type::Timestamp(digits) => Ty::DateTime { digits: *digits, timestamp: true },
            Type::Year => Ty::Year,
            Type::Enum(values) => Ty::Enum(values.as_slice().into()),
            Type::Set(values) => Ty::Set(values.as_slice().into()),
            Type::Json => Ty::Json,
            Type::Bit(n) => Ty::Bit(*n),
        }
    }

    /// Stands as an INTEGER.
    pub fn integral(&self) -> bool {
        matches!(self, Ty::Int { .. } | Ty::Year | Ty::Bit(_))
    }

    pub fn approximate(&self) -> bool {
        matches!(self, Ty::Float | Ty::Double)
    }

    pub fn numeric(&self) -> bool {
        self.integral() || self.approximate() || matches!(self, Ty::Decimal { .. })
    }

    pub fn temporal(&self) -> bool {
        matches!(self, Ty::Date | Ty::Time(_) | Ty::DateTime { .. })
    }

    /// Has characters.
    pub fn textual(&self) -> bool {
        matches!(self, Ty::Text(_) | Ty::Enum(_) | Ty::Set(_))
    }

    pub fn unsigned(&self) -> bool {
        matches!(self, Ty::Int { unsigned: true, .. } | Ty::Decimal { unsigned: true, .. } | Ty::Bit(_) | Ty::Year)
    }

    /// Digits before and after the point, for the types that stand exactly.
    pub fn digits(&self) -> (u8, u8) {
        match self {
            Ty::Int { digits, .. } => ((*digits).min(20), 0),
            Ty::Decimal { precision, scale, .. } => (precision - scale, *scale),
            Ty::Year => (4, 0),
            Ty::Bit(_) => (20, 0),
            _ => (17, 0),
        }
    }

    /// Most characters its text has.
    pub fn chars(&self) -> u32 {
        match self {
            Ty::Null => 0,
            Ty::Int { digits, unsigned, .. } => u32::from(*digits) + u32::from(!*unsigned && *digits < 20),
            Ty::Decimal { precision, scale, unsigned } => u32::from(*precision) + u32::from(*scale > 0) + u32::from(!*unsigned),
            Ty::Float => 12,
            Ty::Double => 22,
            Ty::Text(n) | Ty::Bytes(n) => *n,
            Ty::Date => 10,
            Ty::Time(f) => 10 + fraction_chars(*f),
            Ty::DateTime { digits, .. } => 19 + fraction_chars(*digits),
            Ty::Year => 4,
            Ty::Json => u32::MAX,
            Ty::Enum(values) => values.iter().map(|v| v.chars().count() as u32).max().unwrap_or(0),
            Ty::Set(values) => values.iter().map(|v| v.chars().count() as u32 + 1).sum(),
            Ty::Bit(n) => u32::from(*n),
        }
    }
}

fn fraction_chars(digits: u8) -> u32 {
    if digits == 0 { 0 } else { u32::from(digits) + 1 }
}

/// One column of a translated query.
#[derive(Clone, Debug)]
pub struct OutColumn {
    pub name: String,
    pub ty: Ty,
    pub collation: &'static Collation,
    pub nullable: bool,
    /// Where it comes from, if it is a column of a table.
    pub origin: Option<Origin>,
}

#[derive(Clone, Debug)]
pub struct Origin {
    pub schema: String,
    /// As the statement calls the table.
    pub alias: String,
    pub table: String,
    pub column: String,
    /// PRI, UNI, MUL, AUTO_INCREMENT as flag bits.
    pub flags: u16,
}

impl OutColumn {
    /// As the protocol describes it, in the character set of results.
    pub fn wire(&self) -> WireColumn {
        let mut flags = self.origin.as_ref().map_or(0, |o| o.flags);
        if !self.nullable {
            flags |= ColumnFlags::NOT_NULL;
        }
        let text = |kind, chars: u32| (kind, chars.saturating_mul(collation::DEFAULT.char_bytes()), 0);
        let (kind, length, decimals) = match &self.ty {
            Ty::Null => (ColumnType::Null, 0, 0),
            Ty::Int { bytes, .. } => (int_kind(*bytes), self.ty.chars(), 0),
            Ty::Decimal { scale, .. } => (ColumnType::NewDecimal, self.ty.chars(), *scale),
            Ty::Float => (ColumnType::Float, 12, 31),
            Ty::Double => (ColumnType::Double, 22, 31),
            Ty::Text(n) if *n > 21_844 => (ColumnType::Blob, n.saturating_mul(1), 0),
            Ty::Text(n) => text(ColumnType::VarString, *n),
            Ty::Bytes(n) if *n > 65_532 => (ColumnType::Blob, *n, 0),
            Ty::Bytes(n) => (ColumnType::VarString, *n, 0),
            Ty::Date => (ColumnType::Date, 10, 0),
            Ty::Time(digits) => (ColumnType::Time, self.ty.chars(), *digits),
            Ty::DateTime { digits, timestamp } => {
                (if *timestamp { ColumnType::Timestamp } else { ColumnType::DateTime }, self.ty.chars(), *digits)
            }
            Ty::Year => (ColumnType::Year, 4, 0),
            Ty::Json => (ColumnType::Json, u32::MAX, 0),
            Ty::Enum(_) => {
                flags |= ColumnFlags::ENUM;
                text(ColumnType::String, self.ty.chars())
            }
            Ty::Set(_) => {
                flags |= ColumnFlags::SET;
                text(ColumnType::String, self.ty.chars())
            }
            Ty::Bit(n) => (ColumnType::Bit, u32::from(*n), 0),
        };
        if self.ty.unsigned() {
            flags |= ColumnFlags::UNSIGNED;
        }
        if kind == ColumnType::Blob {
            flags |= ColumnFlags::BLOB;
        }
        if self.ty.numeric() {
            flags |= ColumnFlags::NUM;
        }
        // Text is sent in the character set of the session; everything else is "binary" on the wire.
        let collation = if self.ty.textual() { self.collation } else { collation::BINARY };
        if collation.id == collation::BINARY.id {
            flags |= ColumnFlags::BINARY;
        }
        let empty = || (String::new(), String::new(), String::new(), String::new());
        let (schema, table, org_table, org_name) =
            self.origin.as_ref().map_or_else(empty, |o| (o.schema.clone(), o.alias.clone(), o.table.clone(), o.column.clone()));
        WireColumn {
            schema,
            table,
            org_table,
            name: self.name.clone(),
            org_name,
            collation: collation.id,
            length,
            kind,
            flags: ColumnFlags(flags),
            decimals,
        }
    }
}

fn int_kind(bytes: u8) -> ColumnType {
    match bytes {
        1 => ColumnType::Tiny,
        2 => ColumnType::Short,
        3 => ColumnType::Int24,
        4 => ColumnType::Long,
        _ => ColumnType::LongLong,
    }
}
