//! What a client asks of a server once it is logged in ("Command Phase").

use crate::{WireError, cursor::Cursor};

const REFRESH: u8 = 0x07;
const SHUTDOWN: u8 = 0x08;
const DEBUG: u8 = 0x0d;

/// One command, its text and bytes borrowed from the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    Quit,
    InitDb(&'a [u8]),
    Query(&'a [u8]),
    /// The columns of `table` whose names match `wildcard` (LIKE; empty is all).
    FieldList {
        table: &'a [u8],
        wildcard: &'a [u8],
    },
    Statistics,
    ProcessKill(u32),
    Ping,
    /// See [`crate::decode_change_user`].
    ChangeUser(&'a [u8]),
    ResetConnection,
    Prepare(&'a [u8]),
    /// See [`crate::Execution`].
    Execute(&'a [u8]),
    /// A piece of a parameter, in front of the execution that uses it. Has no answer.
    LongData {
        statement: u32,
        parameter: u16,
        data: &'a [u8],
    },
    /// Has no answer.
    CloseStatement(u32),
    ResetStatement(u32),
    Fetch {
        statement: u32,
        rows: u32,
    },
    SetMultiStatements(bool),
    /// COM_REFRESH, COM_SHUTDOWN, COM_DEBUG: what administrators ask of a real server. The whole payload.
    Administer(&'a [u8]),
    /// A command by its number: one that only replicas of a real server use, or none at all.
    Other(u8),
}

impl<'a> Command<'a> {
    pub fn decode(payload: &'a [u8]) -> Result<Command<'a>, WireError> {
        let mut cursor = Cursor::new(payload);
        Ok(match cursor.u8("command")? {
            0x01 => Command::Quit,
            0x02 => Command::InitDb(cursor.to_end()),
            0x03 => Command::Query(cursor.to_end()),
            0x04 => Command::FieldList { table: cursor.zero_ended("table name")?, wildcard: cursor.to_end() },
            REFRESH | SHUTDOWN | DEBUG => Command::Administer(payload),
            0x09 => Command::Statistics,
            0x0c => Command::ProcessKill(cursor.u32("connection id")?),
            0x0e => Command::Ping,
            0x11 => Command::ChangeUser(cursor.to_end()),
            0x16 => Command::Prepare(cursor.to_end()),
            0x17 => Command::Execute(cursor.to_end()),
            0x18 => Command::LongData {
                statement: cursor.u32("statement id")?,
                parameter: cursor.u16("parameter number")?,
                data: cursor.to_end(),
            },
            0x19 => Command::CloseStatement(cursor.u32("statement id")?),
            0x1a => Command::ResetStatement(cursor.u32("statement id")?),
            0x1b => match cursor.u16("option")? {
                0 => Command::SetMultiStatements(true),
                1 => Command::SetMultiStatements(false),
                _ => return Err(WireError::Malformed("option")),
            },
            0x1c => Command::Fetch { statement: cursor.u32("statement id")?, rows: cursor.u32("number of rows")? },
            0x1f => Command::ResetConnection,
            other => Command::Other(other),
        })
    }

    /// Appends the packet's payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Command::Quit => out.push(0x01),
            Command::InitDb(name) => put(out, 0x02, &[name]),
            Command::Query(sql) => put(out, 0x03, &[sql]),
            Command::FieldList { table, wildcard } => put(out, 0x04, &[table, &[0], wildcard]),
            Command::Statistics => out.push(0x09),
            Command::ProcessKill(connection) => put(out, 0x0c, &[&connection.to_le_bytes()]),
            Command::Ping => out.push(0x0e),
            Command::ChangeUser(login) => put(out, 0x11, &[login]),
            Command::Prepare(sql) => put(out, 0x16, &[sql]),
            Command::Execute(execution) => put(out, 0x17, &[execution]),
            Command::LongData { statement, parameter, data } => put(out, 0x18, &[&statement.to_le_bytes(), &parameter.to_le_bytes(), data]),
            Command::CloseStatement(statement) => put(out, 0x19, &[&statement.to_le_bytes()]),
            Command::ResetStatement(statement) => put(out, 0x1a, &[&statement.to_le_bytes()]),
            Command::SetMultiStatements(on) => put(out, 0x1b, &[&u16::from(!on).to_le_bytes()]),
            Command::Fetch { statement, rows } => put(out, 0x1c, &[&statement.to_le_bytes(), &rows.to_le_bytes()]),
            Command::ResetConnection => out.push(0x1f),
            Command::Administer(payload) => out.extend_from_slice(payload),
            Command::Other(number) => out.push(number),
        }
    }
}

fn put(out: &mut Vec<u8>, number: u8, parts: &[&[u8]]) {
    out.push(number);
    for part in parts {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests;
