//! One event of the log.

use pumasi_mysqlwire::cursor::Cursor;

use crate::{Unreadable, row::TableMap};

/// Bytes before an event's own.
pub const HEADER: usize = 19;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub kind: u8,
    pub server: u32,
    /// With the header.
    pub size: usize,
    pub flags: u16,
}

/// MariaDB's position of a transaction, written `domain-server-sequence`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gtid {
    pub domain: u32,
    pub server: u32,
    pub sequence: u64,
}

impl std::fmt::Display for Gtid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}-{}", self.domain, self.server, self.sequence)
    }
}

impl Gtid {
    pub fn parse(text: &[u8]) -> Option<Gtid> {
        let mut parts = std::str::from_utf8(text).ok()?.split('-');
        let gtid = Gtid { domain: parts.next()?.parse().ok()?, server: parts.next()?.parse().ok()?, sequence: parts.next()?.parse().ok()? };
        parts.next().is_none().then_some(gtid)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    /// A transaction begins. `alone`: it is the one event behind this, without an end of its own (DDL).
    Gtid { gtid: Gtid, alone: bool },
    /// A transaction of MySQL's, whose positions are not followed here.
    ForeignGtid,
    /// What a number means in the row events that follow.
    Table { number: u64, map: TableMap },
    /// Rows of a table. `rows`: images, one per row of an INSERT or DELETE, two of an UPDATE.
    Rows { table: u64, what: Changed, columns: usize, rows: &'a [u8] },
    /// Rows of a table that cannot be read.
    UnreadableRows { table: u64 },
    /// A statement: BEGIN, COMMIT, DDL, or a write in the format STATEMENT.
    Statement { sql: &'a [u8] },
    /// A transaction is over.
    Commit,
    /// The first of a log: what the others look like.
    Description { checksum: bool },
    /// Nothing a follower of rows looks at.
    Other,
    /// Something that says that events are missing, or of a kind that may have changed anything.
    Incident,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    Inserted,
    Updated,
    Deleted,
}

const DESCRIPTION: u8 = 15;

/// Of a MariaDB GTID event: a group of one event.
const ALONE: u8 = 1;

impl Header {
    pub fn decode(event: &[u8]) -> Result<Header, Unreadable> {
        let head: &[u8; HEADER] = event.first_chunk().ok_or(Unreadable::Short("header"))?;
        let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        Ok(Header { kind: head[4], server: word(5), size: word(9) as usize, flags: u16::from_le_bytes([head[17], head[18]]) })
    }
}

impl<'a> Event<'a> {
    /// Whether it is a [`Event::Description`], whose checksum is part of it.
    pub(crate) fn describes(event: &[u8]) -> bool {
        event.get(4) == Some(&DESCRIPTION)
    }

    /// One whole event, header and all, without its checksum.
    pub fn decode(event: &'a [u8]) -> Result<Event<'a>, Unreadable> {
        let header = Header::decode(event)?;
        let body = &event[HEADER..];
        let mut cursor = Cursor::new(body);
        Ok(match header.kind {
            // Query, and MariaDB's compressed one, whose text is not looked at: it may be anything.
            2 => {
                cursor.bytes(8, "query")?;
                let database = cursor.u8("query")?;
                cursor.bytes(2, "query")?;
                let status = cursor.u16("query")?;
                cursor.bytes(usize::from(status), "query")?;
                cursor.bytes(usize::from(database) + 1, "query")?;
                Event::Statement { sql: cursor.to_end() }
            }
            // Its last five bytes: which checksum there is (1: CRC-32), and its own.
            DESCRIPTION => Event::Description { checksum: body.len() > 5 && body[body.len() - 5] == 1 },
            165 | 3 | 26 => Event::Incident,
            16 | 38 => Event::Commit,
            19 => {
                let number = number(&mut cursor)?;
                Event::Table { number, map: TableMap::decode(&mut cursor)? }
            }
            23 | 30 => rows(cursor, header.kind == 30, Changed::Inserted)?,
            24 | 31 => rows(cursor, header.kind == 31, Changed::Updated)?,
            25 | 32 => rows(cursor, header.kind == 32, Changed::Deleted)?,
            // Compressed (MariaDB), partial (MySQL), and of versions long gone.
            20..=22 | 39 | 166..=171 => Event::UnreadableRows { table: number(&mut cursor)? },
            33 | 34 => Event::ForeignGtid,
            // MySQL's compressed transactions.
            40 => Event::Incident,
            162 => {
                let sequence = cursor.u64("position")?;
                let domain = cursor.u32("position")?;
                let flags = cursor.u8("position")?;
                Event::Gtid { gtid: Gtid { domain, server: header.server, sequence }, alone: flags & ALONE != 0 }
            }
            // Encrypted from here on.
            164 => Event::Incident,
            _ => Event::Other,
        })
    }
}

fn number(cursor: &mut Cursor<'_>) -> Result<u64, Unreadable> {
    let low = u64::from(cursor.u32("table's number")?);
    Ok(low | u64::from(cursor.u16("table's number")?) << 32)
}

fn rows<'a>(mut cursor: Cursor<'a>, second: bool, what: Changed) -> Result<Event<'a>, Unreadable> {
    let table = number(&mut cursor)?;
    cursor.u16("rows")?;
    if second {
        // The length counts itself.
        let extra = cursor.u16("rows")?.checked_sub(2).ok_or(Unreadable::Malformed("rows' length"))?;
        cursor.bytes(usize::from(extra), "rows")?;
    }
    let columns = usize::try_from(cursor.lenenc_int("rows")?).map_err(|_| Unreadable::Malformed("number of columns"))?;
    let images = if what == Changed::Updated { 2 } else { 1 };
    for _ in 0..images {
        let present = cursor.bytes(columns.div_ceil(8), "columns")?;
        if (0..columns).any(|column| present[column / 8] & (1 << (column % 8)) == 0) {
            // binlog_row_image is not FULL.
            return Ok(Event::UnreadableRows { table });
        }
    }
    Ok(Event::Rows { table, what, columns, rows: cursor.to_end() })
}
