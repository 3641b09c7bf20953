//! Fields to bytes.

use crate::{
    TABLE_BYTES, huffman, integer,
    table::{Found, Table},
};

/// What becomes of a field that is in no table yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Indexing {
    /// It gets a place in the dynamic table: it will be said again.
    Kept,
    /// It does not: a value that differs from message to message would only push out the others.
    Passing,
}

/// Writes the blocks of one direction of one connection; each must be sent, in the order in which they were written.
#[derive(Debug)]
pub struct Encoder {
    table: Table,
    /// The table's size changed: to be said at the beginning of the next block, and before it the smallest that it had meanwhile, as that
    /// dropped entries (RFC 7541 section 4.2).
    smallest: Option<usize>,
}

impl Default for Encoder {
    /// With the table that every peer has until it says otherwise.
    fn default() -> Encoder {
        Encoder { table: Table::new(TABLE_BYTES), smallest: None }
    }
}

impl Encoder {
    /// The peer's SETTINGS_HEADER_TABLE_SIZE. More than [`TABLE_BYTES`] is not made use of.
    pub fn limit(&mut self, bytes_max: usize) {
        let bytes_max = bytes_max.min(TABLE_BYTES);
        if bytes_max != self.table.bytes_max() {
            self.table.resize(bytes_max);
            self.smallest = Some(self.smallest.map_or(bytes_max, |smallest| smallest.min(bytes_max)));
        }
    }

    /// Changes with the table: a block that was written under the same version, and changed nothing itself, may be sent once more.
    pub fn version(&self) -> u64 {
        // A change of size is told once, by the block that comes next; blocks kept from before must not be taken for it.
        self.table.added * 2 + u64::from(self.smallest.is_some())
    }

    /// Begins a block.
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        if let Some(smallest) = self.smallest.take() {
            // Whatever was kept under an earlier version names places that may be gone.
            self.table.added += 1;
            let now = self.table.bytes_max();
            if smallest < now {
                integer::put(0x20, 5, smallest, out);
            }
            integer::put(0x20, 5, now, out);
        }
    }

    /// Appends a field; `name` is in lower case (RFC 9113 section 8.2).
    pub fn field(&mut self, name: &[u8], value: &[u8], indexing: Indexing, out: &mut Vec<u8>) {
        let (first, bits) = match indexing {
            Indexing::Kept => (0x40, 6),
            Indexing::Passing => (0x00, 4),
        };
        match self.table.find(name, value) {
            Some(Found::Field(index)) => return integer::put(0x80, 7, index, out),
            Some(Found::Name(index)) => integer::put(first, bits, index, out),
            None => {
                out.push(first);
                text(name, out);
            }
        }
        text(value, out);
        if indexing == Indexing::Kept {
            self.table.add(name, value);
        }
    }
}

/// A string (section 5.2), coded where that is shorter.
fn text(text: &[u8], out: &mut Vec<u8>) {
    let coded = huffman::encoded_bytes(text);
    if coded < text.len() {
        integer::put(0x80, 7, coded, out);
        huffman::encode(text, out);
    } else {
        integer::put(0, 7, text.len(), out);
        out.extend_from_slice(text);
    }
}
