//! Writes one result of a statement to the client, as the engine produces it.

use std::sync::Arc;

use pumasi_freshness::{Observed, Trace, Witness};
use pumasi_mysqlwire::{
    COLUMNS_MAX, Capabilities, Column, EofPacket, OkPacket, ServerStatus, SessionChange, SqlError, ValueRef, cursor::put_lenenc_int,
    put_binary_row, put_text_row,
};

use super::wire::Out;
use crate::engine::{ResultSink, Summary};

/// The form of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// COM_QUERY.
    Text,
    /// COM_STMT_EXECUTE.
    Binary,
}

/// One result on its way. The last packet is held back until [`Answer::end`]: only after the engine has returned is it known what the
/// session's status is and whether another result follows.
pub struct Answer<'o> {
    out: &'o mut Out,
    capabilities: Capabilities,
    rows: Rows,
    /// The session's status when the statement began; final in the last packet, courtesy in the one behind the columns.
    status: ServerStatus,
    columns: Option<Vec<Column>>,
    summary: Option<Summary>,
    row_count: u64,
    witness: Option<&'o Arc<Witness>>,
    /// The trace that the statement names.
    said: Option<Trace>,
    witnessed: bool,
}

impl<'o> Answer<'o> {
    pub fn new(
        out: &'o mut Out,
        capabilities: Capabilities,
        rows: Rows,
        status: ServerStatus,
        witness: Option<&'o Arc<Witness>>,
    ) -> Answer<'o> {
        Answer { out, capabilities, rows, status, columns: None, summary: None, row_count: 0, witness, said: None, witnessed: false }
    }

    /// The statement's text names the request that it runs for.
    pub fn of(self, said: Option<Trace>) -> Answer<'o> {
        Answer { said, ..self }
    }

    pub fn row_count(&self) -> u64 {
        self.row_count
    }

    pub fn warnings(&self) -> u16 {
        self.summary.as_ref().map_or(0, |summary| summary.warnings)
    }

    /// Reports the statement to the worker's requests, if anybody joins them with it.
    pub fn witness(&mut self, observed: Observed) {
        if let Some(witness) = self.witness {
            self.out.hold(witness.statement_of(observed, self.said));
            self.witnessed = true;
        }
    }

    /// The last packet. `schema`: the database in use, if this statement changed it.
    /// Errors: the engine never finished the result, which is a bug of its own.
    pub fn end(self, status: ServerStatus, schema: Option<&str>) -> Result<(), SqlError> {
        let summary = self.summary.ok_or_else(|| SqlError::new(1105, "HY000", "The statement ended without a result"))?;
        let deprecate_eof = self.capabilities.contains(Capabilities::DEPRECATE_EOF);
        if self.columns.is_some() && !deprecate_eof {
            self.out.packet(|out| EofPacket { warnings: summary.warnings, status }.encode(out));
            return Ok(());
        }
        let mut changes = Vec::new();
        if let Some(schema) = schema.filter(|_| self.capabilities.contains(Capabilities::SESSION_TRACK)) {
            SessionChange::Schema(schema.as_bytes()).encode(&mut changes);
        }
        let ok = OkPacket {
            affected_rows: summary.affected_rows,
            last_insert_id: summary.last_insert_id,
            status,
            warnings: summary.warnings,
            info: summary.info.as_bytes(),
            changes: &changes,
        };
        if self.columns.is_some() {
            // A result with rows affects none, whatever the engine counted.
            let ok = OkPacket { affected_rows: 0, last_insert_id: 0, info: b"", ..ok };
            self.out.packet(|out| ok.encode_as_eof(out, self.capabilities));
        } else {
            self.out.packet(|out| ok.encode(out, self.capabilities));
        }
        Ok(())
    }

    /// Sends what has piled up, if it is much. An error ends the statement.
    fn flush_if_large(&mut self) -> Result<(), SqlError> {
        // Held back as long as it is known only at the end what the statement read.
        if !self.out.large(self.witness.is_some() && !self.witnessed) {
            return Ok(());
        }
        if !self.witnessed {
            // The first bytes leave before it is known what the statement read: pages must not be made of it.
            self.witness(Observed::Refused("large-result"));
        }
        self.out.flush().map_err(|error| SqlError::new(1160, "08S01", format!("Got an error writing communication packets: {error}")))
    }
}

impl ResultSink for Answer<'_> {
    fn columns(&mut self, columns: &[Column]) -> Result<(), SqlError> {
        if columns.is_empty() || columns.len() > COLUMNS_MAX || self.columns.is_some() {
            return Err(SqlError::new(1117, "HY000", format!("A result of {} columns", columns.len())));
        }
        self.out.packet(|out| put_lenenc_int(out, columns.len() as u64));
        put_columns(self.out, columns, self.capabilities, self.status);
        self.columns = Some(columns.to_vec());
        Ok(())
    }

    fn row(&mut self, values: &[ValueRef<'_>]) -> Result<(), SqlError> {
        let Some(columns) = &self.columns else { return Err(SqlError::new(1105, "HY000", "A row before its columns")) };
        match self.rows {
            Rows::Text if values.len() != columns.len() => {
                return Err(SqlError::new(1105, "HY000", format!("A row of {} values for {} columns", values.len(), columns.len())));
            }
            Rows::Text => self.out.packet(|out| put_text_row(out, values)),
            Rows::Binary => self.out.try_packet(|out| put_binary_row(out, columns, values))?,
        }
        self.row_count += 1;
        self.flush_if_large()
    }

    fn finish(&mut self, summary: Summary) -> Result<(), SqlError> {
        self.summary = Some(summary);
        Ok(())
    }
}

/// Column definitions, with the EOF behind them for clients that expect it.
pub fn put_columns(out: &mut Out, columns: &[Column], capabilities: Capabilities, status: ServerStatus) {
    for column in columns {
        out.packet(|out| column.encode(out));
    }
    if !capabilities.contains(Capabilities::DEPRECATE_EOF) {
        out.packet(|out| EofPacket { warnings: 0, status }.encode(out));
    }
}
