//! The data of a scenario: lists of rows, and the order in which journeys draw from them.

use crate::random::{Dice, Weighted};
use std::sync::atomic::{AtomicU64, Ordering};

/// Rows of one data file. A file with more is refused: it would be the generator's memory that is tested.
pub const ROWS_MAX: usize = 1_000_000;
/// Bytes of one data file.
pub const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// A named list of rows. Invariant: at least one row, each with as many fields as there are columns.
#[derive(Debug)]
pub struct Feed {
    pub name: String,
    pub columns: Vec<String>,
    rows: Rows,
    order: Order,
    /// Shared by the lanes, so that a row is drawn once before any is drawn twice.
    drawn: AtomicU64,
}

#[derive(Debug)]
enum Rows {
    Texts(Vec<Row>),
    /// `first..=last`, written out when used.
    Range {
        first: i64,
        last: i64,
    },
}

#[derive(Debug)]
pub enum Order {
    /// One after another, from the start again after the last.
    Sequential,
    Random,
    /// The `i`-th row weighs 1/i^s.
    Zipf(Weighted),
}

impl Feed {
    pub fn texts(name: String, columns: Vec<String>, rows: Vec<Row>, order: impl FnOnce(usize) -> Order) -> Feed {
        assert!(!rows.is_empty() && rows.iter().all(|row| row.len() == columns.len()));
        let order = order(rows.len());
        Feed { name, columns, rows: Rows::Texts(rows), order, drawn: AtomicU64::new(0) }
    }

    pub fn range(name: String, first: i64, last: i64, order: impl FnOnce(usize) -> Order) -> Feed {
        assert!(first <= last);
        let order = order(last.abs_diff(first) as usize + 1);
        Feed { columns: vec![name.clone()], name, rows: Rows::Range { first, last }, order, drawn: AtomicU64::new(0) }
    }

    pub fn rows(&self) -> u64 {
        match &self.rows {
            Rows::Texts(rows) => rows.len() as u64,
            Rows::Range { first, last } => last.abs_diff(*first) + 1,
        }
    }

    /// The number of the row that the next journey uses.
    pub fn draw(&self, dice: &mut Dice) -> u64 {
        match &self.order {
            Order::Sequential => self.drawn.fetch_add(1, Ordering::Relaxed) % self.rows(),
            Order::Random => dice.below(self.rows()),
            Order::Zipf(weighted) => weighted.draw(dice) as u64,
        }
    }

    /// Appends a field to `out`.
    pub fn write(&self, row: u64, column: usize, out: &mut Vec<u8>) {
        match &self.rows {
            Rows::Texts(rows) => out.extend_from_slice(&rows[row as usize][column]),
            Rows::Range { first, .. } => write_integer(first.wrapping_add_unsigned(row), out),
        }
    }
}

/// Appends a number in decimal, without going through a formatter or the heap.
pub fn write_integer(number: i64, out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

/// One row's fields.
pub type Row = Vec<Vec<u8>>;

/// Rows of comma-separated values as RFC 4180 has them: quoted fields, doubled quotes, CRLF or LF. The first row names the columns.
///
/// Errors name the line: a quote that never ends, a row with another number of fields than the first, no rows at all, too many.
pub fn parse_csv(bytes: &[u8]) -> Result<(Vec<String>, Vec<Row>), String> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let mut rows: Vec<Row> = Vec::new();
    let mut columns: Option<Vec<String>> = None;
    let (mut at, mut line) = (0, 1);
    while at < bytes.len() {
        let started = line;
        let row = csv_row(bytes, &mut at, &mut line).map_err(|reason| format!("line {started}: {reason}"))?;
        if row.len() == 1 && row[0].is_empty() {
            continue;
        }
        match &columns {
            None => columns = Some(row.iter().map(|field| String::from_utf8_lossy(field).trim().to_string()).collect()),
            Some(names) if names.len() != row.len() => {
                return Err(format!("line {started}: {} fields where the first line names {}", row.len(), names.len()));
            }
            Some(_) if rows.len() == ROWS_MAX => return Err(format!("line {started}: more than {ROWS_MAX} rows")),
            Some(_) => rows.push(row),
        }
    }
    match columns {
        Some(columns) if !rows.is_empty() => Ok((columns, rows)),
        _ => Err("the file needs a first line with the names of the columns, and rows after it".to_string()),
    }
}

fn csv_row(bytes: &[u8], at: &mut usize, line: &mut usize) -> Result<Row, String> {
    let mut row = Vec::new();
    loop {
        let mut field = Vec::new();
        if bytes.get(*at) == Some(&b'"') {
            *at += 1;
            loop {
                match bytes.get(*at) {
                    None => return Err("a quote is never closed".to_string()),
                    Some(b'"') if bytes.get(*at + 1) == Some(&b'"') => {
                        field.push(b'"');
                        *at += 2;
                    }
                    Some(b'"') => {
                        *at += 1;
                        break;
                    }
                    Some(byte) => {
                        *line += usize::from(*byte == b'\n');
                        field.push(*byte);
                        *at += 1;
                    }
                }
            }
        }
        while let Some(byte) = bytes.get(*at).filter(|byte| !matches!(byte, b',' | b'\n')) {
            field.push(*byte);
            *at += 1;
        }
        let end = bytes.get(*at).copied();
        *at += 1;
        if end != Some(b',') {
            *line += 1;
            if field.last() == Some(&b'\r') {
                field.pop();
            }
            row.push(field);
            return Ok(row);
        }
        row.push(field);
    }
}

#[cfg(test)]
mod tests;
