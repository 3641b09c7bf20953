//! Events gathered into transactions.

use std::collections::{BTreeMap, HashMap};

use pumasi_mysqlwire::cursor::Cursor;

use crate::{Event, Gtid, Row, TableMap, Unreadable, event::Changed};

/// Rows of one transaction that are kept. With more, those of the tables concerned are not known.
pub const ROWS_MAX: usize = 8192;

/// Tables whose numbers are remembered. A log that uses more at once is not followed.
pub const TABLES_MAX: usize = 4096;

/// Bytes of a checksum. It is not looked at: the connection has its own.
const CHECKSUM: usize = 4;

/// One transaction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Group {
    pub gtid: Option<Gtid>,
    /// By database and table.
    pub tables: BTreeMap<(String, String), Change>,
    /// A statement that may have changed anything: DDL, a write that was not logged by rows, a gap.
    pub anything: bool,
}

/// What became of one table.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Before and after; none before an INSERT, none after a DELETE.
    Rows(Vec<(Option<Row>, Option<Row>)>),
    Unknown,
}

/// Gathers events, one connection's in their order.
#[derive(Debug, Default)]
pub struct Groups {
    tables: HashMap<u64, TableMap>,
    open: Option<Group>,
    alone: bool,
    rows: usize,
    /// Events end with a checksum, as the log's first event said.
    checksum: bool,
}

impl Groups {
    pub fn new() -> Groups {
        Groups::default()
    }

    /// Takes the next event; a transaction, if it was its last. Errors: the log cannot be followed from here.
    pub fn take(&mut self, event: &[u8]) -> Result<Option<Group>, Unreadable> {
        let end = event.len() - if self.checksum && !Event::describes(event) { CHECKSUM.min(event.len()) } else { 0 };
        match Event::decode(&event[..end])? {
            Event::Description { checksum } => self.checksum = checksum,
            Event::Gtid { gtid, alone } => {
                let left = self.open.take();
                self.open = Some(Group { gtid: Some(gtid), ..Group::default() });
                (self.alone, self.rows) = (alone, 0);
                // A group that was never ended: a server that crashed in the middle.
                return Ok(left.filter(|left| !left.tables.is_empty() || left.anything));
            }
            Event::ForeignGtid => {
                self.open = Some(Group::default());
                (self.alone, self.rows) = (false, 0);
            }
            Event::Table { number, map } => {
                if self.tables.len() >= TABLES_MAX && !self.tables.contains_key(&number) {
                    self.tables.clear();
                }
                self.tables.insert(number, map);
            }
            Event::Rows { table, what, columns, rows } => self.add(table, what, columns, rows),
            Event::UnreadableRows { table } => self.unknown(table),
            Event::Statement { sql } => return Ok(self.statement(sql)),
            Event::Commit => return Ok(self.open.take()),
            Event::Incident => self.open().anything = true,
            Event::Other => {}
        }
        Ok(None)
    }

    fn statement(&mut self, sql: &[u8]) -> Option<Group> {
        let word = sql.trim_ascii_start().split(|byte| !byte.is_ascii_alphanumeric()).next().unwrap_or_default();
        let is = |wanted: &str| word.eq_ignore_ascii_case(wanted.as_bytes());
        if is("begin") || is("savepoint") {
            return None;
        }
        if is("commit") {
            return self.open.take();
        }
        if is("rollback") {
            // What non-transactional tables took with it stays; ROLLBACK TO ends nothing.
            return if sql.trim_ascii().len() > "rollback".len() { None } else { self.open.take() };
        }
        if is("xa") {
            let second = sql.trim_ascii_start()[2..].trim_ascii_start().to_ascii_lowercase();
            if second.starts_with(b"commit") {
                // What it changed stands in the log where it was prepared, and is visible from here on: which rows those were is not remembered.
                self.open().anything = true;
                return self.open.take();
            }
            // XA START and XA END stand around the rows, in front of the event that ends the group.
            return if second.starts_with(b"rollback") || self.alone { self.open.take() } else { None };
        }
        self.open().anything = true;
        if self.alone { self.open.take() } else { None }
    }

    fn add(&mut self, number: u64, what: Changed, columns: usize, rows: &[u8]) {
        let Some(map) = self.tables.get(&number) else { return self.open().anything = true };
        let mut read = Vec::new();
        let mut cursor = Cursor::new(rows);
        let mut whole = map.columns() == columns && columns > 0;
        while whole && !cursor.ended() {
            if self.rows + read.len() >= ROWS_MAX {
                whole = false;
                break;
            }
            let change = match what {
                Changed::Inserted => map.row(&mut cursor).map(|row| (None, Some(row))),
                Changed::Deleted => map.row(&mut cursor).map(|row| (Some(row), None)),
                Changed::Updated => map.row(&mut cursor).and_then(|before| Ok((Some(before), Some(map.row(&mut cursor)?)))),
            };
            match change {
                Ok(change) => read.push(change),
                Err(_) => whole = false,
            }
        }
        if !whole {
            return self.unknown(number);
        }
        let key = (map.database.clone(), map.table.clone());
        self.rows += read.len();
        if let Change::Rows(known) = self.open().tables.entry(key).or_insert_with(|| Change::Rows(Vec::new())) {
            known.append(&mut read);
        }
    }

    fn unknown(&mut self, number: u64) {
        match self.tables.get(&number).map(|map| (map.database.clone(), map.table.clone())) {
            Some(key) => _ = self.open().tables.insert(key, Change::Unknown),
            None => self.open().anything = true,
        }
    }

    fn open(&mut self) -> &mut Group {
        self.open.get_or_insert_default()
    }
}
