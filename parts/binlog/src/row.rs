//! Rows as the log holds them.

use pumasi_mysqlwire::cursor::Cursor;

use crate::Unreadable;

/// Columns of a table; as many as a server allows.
const COLUMNS_MAX: usize = 4096;

/// What a table's rows look like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableMap {
    pub database: String,
    pub table: String,
    columns: Vec<Kind>,
}

/// How a value is stored, as far as its length and what is wanted of it go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Whole number of so many bytes.
    Integer(u8),
    /// So many bytes of something else.
    Fixed(usize),
    /// A length of so many bytes, then that many.
    Text(u8),
    Bytes(u8),
    /// Its length is not known.
    Unknown(&'static str),
}

/// A column's value, as far as rows are told apart by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Null,
    /// The lowest `bytes` bytes; whether they have a sign only the catalogue knows.
    Integer {
        bits: u64,
        bytes: u8,
    },
    /// As stored; a CHAR without the blanks at its end.
    Text(Vec<u8>),
    Other,
}

pub type Row = Vec<Value>;

impl Value {
    /// A whole number of a column that is, or is not, UNSIGNED.
    pub fn integer(&self, unsigned: bool) -> Option<i128> {
        let Value::Integer { bits, bytes } = *self else { return None };
        if unsigned {
            return Some(i128::from(bits));
        }
        let shift = 64 - 8 * u32::from(bytes);
        Some(i128::from((bits << shift) as i64 >> shift))
    }
}

impl TableMap {
    pub(crate) fn decode(cursor: &mut Cursor<'_>) -> Result<TableMap, Unreadable> {
        cursor.u16("table")?;
        let database = name(cursor)?;
        let table = name(cursor)?;
        let count = usize::try_from(cursor.lenenc_int("table")?).unwrap_or(usize::MAX);
        if count > COLUMNS_MAX {
            return Err(Unreadable::Malformed("number of columns"));
        }
        let kinds = cursor.bytes(count, "columns")?;
        let mut meta = Cursor::new(cursor.lenenc_bytes("columns")?);
        let columns = kinds.iter().map(|kind| Kind::decode(*kind, &mut meta)).collect::<Result<_, _>>()?;
        // Which may be NULL, and what MySQL adds, says nothing more about lengths.
        Ok(TableMap { database, table, columns })
    }

    pub fn columns(&self) -> usize {
        self.columns.len()
    }

    /// The next row's image.
    pub(crate) fn row(&self, cursor: &mut Cursor<'_>) -> Result<Row, Unreadable> {
        let nulls = cursor.bytes(self.columns.len().div_ceil(8), "row")?;
        let null = |column: usize| nulls[column / 8] & (1 << (column % 8)) != 0;
        let value = |(column, kind): (usize, &Kind)| if null(column) { Ok(Value::Null) } else { kind.value(cursor) };
        self.columns.iter().enumerate().map(value).collect()
    }
}

impl Kind {
    fn decode(kind: u8, meta: &mut Cursor<'_>) -> Result<Kind, Unreadable> {
        const WHAT: &str = "column's type";
        Ok(match kind {
            1 => Kind::Integer(1),
            2 => Kind::Integer(2),
            9 => Kind::Integer(3),
            3 => Kind::Integer(4),
            8 => Kind::Integer(8),
            4 | 5 => Kind::Fixed(usize::from(meta.u8(WHAT)?)),
            6 => Kind::Fixed(0),
            10 | 14 => Kind::Fixed(3),
            13 => Kind::Fixed(1),
            // The old forms of times have fractions whose length is nowhere in the log.
            7 | 11 | 12 => Kind::Unknown("a time of an old format"),
            15 => Kind::Text(if meta.u16(WHAT)? > 255 { 2 } else { 1 }),
            16 => {
                let (bits, bytes) = (meta.u8(WHAT)?, meta.u8(WHAT)?);
                Kind::Fixed(usize::from(bytes) + usize::from(bits > 0))
            }
            17 => Kind::Fixed(4 + fraction(meta)?),
            18 => Kind::Fixed(5 + fraction(meta)?),
            19 => Kind::Fixed(3 + fraction(meta)?),
            246 => {
                let (digits, scale) = (usize::from(meta.u8(WHAT)?), usize::from(meta.u8(WHAT)?));
                let whole = digits.checked_sub(scale).ok_or(Unreadable::Malformed("decimal"))?;
                Kind::Fixed(digits_bytes(whole) + digits_bytes(scale))
            }
            245 | 249..=252 | 255 => match meta.u8(WHAT)? {
                bytes @ 1..=4 if kind == 252 => Kind::Text(bytes),
                bytes @ 1..=4 => Kind::Bytes(bytes),
                _ => return Err(Unreadable::Malformed("blob")),
            },
            253 | 254 => {
                let (first, second) = (meta.u8(WHAT)?, meta.u8(WHAT)?);
                // Bits 8 and 9 of the length hide, turned round, in the type's.
                let length = usize::from(second) | usize::from((first & 0x30) ^ 0x30) << 4;
                match first | 0x30 {
                    247 | 248 if first & 0x30 == 0x30 => Kind::Fixed(usize::from(second)),
                    _ => Kind::Text(if length > 255 { 2 } else { 1 }),
                }
            }
            140 => {
                meta.u8(WHAT)?;
                Kind::Unknown("a compressed column")
            }
            141 => {
                meta.u16(WHAT)?;
                Kind::Unknown("a compressed column")
            }
            _ => return Err(Unreadable::Unfollowed("a column of an unknown type")),
        })
    }

    fn value(&self, cursor: &mut Cursor<'_>) -> Result<Value, Unreadable> {
        const WHAT: &str = "row's value";
        Ok(match *self {
            Kind::Integer(bytes) => {
                let stored = cursor.bytes(usize::from(bytes), WHAT)?;
                Value::Integer { bits: little(stored), bytes }
            }
            Kind::Fixed(bytes) => {
                cursor.bytes(bytes, WHAT)?;
                Value::Other
            }
            Kind::Text(bytes) => Value::Text(counted(cursor, bytes)?.to_vec()),
            Kind::Bytes(bytes) => {
                counted(cursor, bytes)?;
                Value::Other
            }
            Kind::Unknown(what) => return Err(Unreadable::Unfollowed(what)),
        })
    }
}

// === helpers ===

fn name(cursor: &mut Cursor<'_>) -> Result<String, Unreadable> {
    let length = cursor.u8("name")?;
    let name = cursor.bytes(usize::from(length), "name")?;
    cursor.u8("name")?;
    Ok(String::from_utf8_lossy(name).into_owned())
}

fn fraction(meta: &mut Cursor<'_>) -> Result<usize, Unreadable> {
    let digits = meta.u8("column's type")?;
    if digits > 6 { Err(Unreadable::Malformed("fraction of a second")) } else { Ok(usize::from(digits).div_ceil(2)) }
}

/// Nine digits take four bytes, fewer take these.
fn digits_bytes(digits: usize) -> usize {
    digits / 9 * 4 + [0, 1, 1, 2, 2, 3, 3, 4, 4][digits % 9]
}

fn counted<'a>(cursor: &mut Cursor<'a>, bytes: u8) -> Result<&'a [u8], Unreadable> {
    let length = little(cursor.bytes(usize::from(bytes), "length")?);
    Ok(cursor.bytes(usize::try_from(length).map_err(|_| Unreadable::Malformed("length"))?, "value")?)
}

fn little(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}
