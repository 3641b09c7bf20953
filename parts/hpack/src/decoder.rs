//! Bytes to fields.

use crate::{TABLE_BYTES, huffman, integer, table::Table};

/// Why a block is none (RFC 7541 sections 2.3.3, 5 and 6.3): the connection cannot go on, both tables have parted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("a header block is cut off")]
    Cut,
    #[error("a header block names an entry that does not exist")]
    Index,
    #[error("a header block has a string that is not Huffman-coded as it says")]
    Huffman,
    #[error("a header block changes the size of its table where it must not, or beyond what was allowed")]
    Size,
}

/// Reads the blocks of one direction of one connection, each once and in their order.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    /// The field being read.
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Default for Decoder {
    /// With the table that a peer may count on without a word.
    fn default() -> Decoder {
        Decoder { table: Table::new(TABLE_BYTES), name: Vec::new(), value: Vec::new() }
    }
}

impl Decoder {
    /// Reads a whole block and tells its fields in their order, names as the peer wrote them.
    ///
    /// Errors: see [`Malformed`]; fields told before are to be forgotten.
    pub fn decode(&mut self, mut block: &[u8], mut field: impl FnMut(&[u8], &[u8])) -> Result<(), Malformed> {
        let mut first = true;
        while let Some(byte) = block.first().copied() {
            match byte {
                0x80.. => {
                    let (index, rest) = integer::take(block, 7).ok_or(Malformed::Cut)?;
                    let (name, value) = self.table.get(index).ok_or(Malformed::Index)?;
                    field(name, value);
                    block = rest;
                }
                0x40..0x80 => {
                    block = self.literal(block, 6)?;
                    field(&self.name, &self.value);
                    self.table.add(&self.name, &self.value);
                }
                0x20..0x40 => {
                    let (bytes, rest) = integer::take(block, 5).ok_or(Malformed::Cut)?;
                    // Only before the first field (section 4.2).
                    if !first || bytes > TABLE_BYTES {
                        return Err(Malformed::Size);
                    }
                    self.table.resize(bytes);
                    block = rest;
                    continue;
                }
                // Without a place in the table, or never to have one: the same for whoever only reads.
                _ => {
                    block = self.literal(block, 4)?;
                    field(&self.name, &self.value);
                }
            }
            first = false;
        }
        Ok(())
    }

    fn literal<'b>(&mut self, block: &'b [u8], bits: u32) -> Result<&'b [u8], Malformed> {
        let (index, mut rest) = integer::take(block, bits).ok_or(Malformed::Cut)?;
        self.name.clear();
        self.value.clear();
        match index {
            0 => rest = text(rest, &mut self.name)?,
            index => self.name.extend_from_slice(self.table.get(index).ok_or(Malformed::Index)?.0),
        }
        text(rest, &mut self.value)
    }
}

/// A string (section 5.2), and what is behind it.
fn text<'b>(block: &'b [u8], out: &mut Vec<u8>) -> Result<&'b [u8], Malformed> {
    let coded = block.first().ok_or(Malformed::Cut)? & 0x80 != 0;
    let (length, rest) = integer::take(block, 7).ok_or(Malformed::Cut)?;
    let (text, rest) = rest.split_at_checked(length).ok_or(Malformed::Cut)?;
    match coded {
        true if !huffman::decode(text, out) => return Err(Malformed::Huffman),
        true => {}
        false => out.extend_from_slice(text),
    }
    Ok(rest)
}
