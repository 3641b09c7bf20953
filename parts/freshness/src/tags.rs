//! Names of what can change: a table, its unknown rows, one row. A tag is a hash; two that collide cost a needless miss, never a stale hit.

/// A table, by database and name. Names are compared without regard to case: coarser than any server, and so never too fine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Table(u32);

/// Something an answer can depend on and a write can change. `A(T)`, `U(T)` and `R(T, c, v)` of the argument in the crate's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag {
    /// The table it belongs to: what a set that grew too large falls back to.
    pub(crate) table: u32,
    pub(crate) kind: Kind,
    pub(crate) hash: u32,
}

/// In the order in which a check has to load them: commits fence `A(T)` and `U(T)` and may bump `R(T, c, v)` alone, so who loads a row's bump
/// first and its table's fence afterwards can miss both (`Freshness::check`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    AnyRow,
    UnknownRows,
    Row,
}

impl Table {
    pub fn named(database: &str, table: &str) -> Table {
        let mut hash = Hash::new(TABLE);
        hash.name(database);
        hash.name(table);
        Table(hash.finish())
    }

    /// `A(T)`: some row changed. Every write to the table touches it.
    pub fn any_row(self) -> Tag {
        Tag { table: self.0, kind: Kind::AnyRow, hash: self.0 }
    }

    /// `U(T)`: rows changed, and it is not known which.
    pub fn unknown_rows(self) -> Tag {
        let mut hash = Hash::new(UNKNOWN_ROWS);
        hash.word(self.0);
        Tag { table: self.0, kind: Kind::UnknownRows, hash: hash.finish() }
    }

    /// `R(T, c, v)`: a row whose `column` had or has `value` changed. `value` is in the column's canonical form: what a literal, a bound
    /// parameter and a stored row of equal value all agree on.
    pub fn row(self, column: &str, value: &[u8]) -> Tag {
        let mut hash = Hash::new(ROW);
        hash.word(self.0);
        hash.name(column);
        hash.bytes(value);
        Tag { table: self.0, kind: Kind::Row, hash: hash.finish() }
    }

    /// A number that stands for the table in a map; equal for tables that share their slot.
    pub fn number(self) -> u32 {
        self.0
    }

    pub(crate) fn from_number(number: u32) -> Table {
        Table(number)
    }
}

// === helpers ===

/// FNV-1a over the bytes, then a finalizer that spreads every bit over the slots. Not keyed: who could aim at a slot could as well write
/// to the table behind it, and gains needless misses at most.
struct Hash(u64);

const TABLE: u64 = 1;
const UNKNOWN_ROWS: u64 = 2;
const ROW: u64 = 3;

impl Hash {
    fn new(kind: u64) -> Hash {
        Hash(0xcbf2_9ce4_8422_2325 ^ kind)
    }

    fn byte(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.byte(byte);
        }
        // The length ends a field: ("ab", "c") and ("a", "bc") differ.
        self.word(bytes.len() as u32);
    }

    fn name(&mut self, name: &str) {
        let mut length = 0;
        let mut buffer = [0; 4];
        for letter in name.chars().flat_map(char::to_lowercase) {
            for &byte in letter.encode_utf8(&mut buffer).as_bytes() {
                self.byte(byte);
                length += 1;
            }
        }
        self.word(length);
    }

    fn word(&mut self, word: u32) {
        for byte in word.to_le_bytes() {
            self.byte(byte);
        }
    }

    fn finish(self) -> u32 {
        let mut x = self.0;
        x = (x ^ (x >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        x = (x ^ (x >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        (x ^ (x >> 33)) as u32
    }
}
