//! How a server answers: OK, ERR and EOF packets, and what OK says of the session's state.

use crate::{
    Capabilities, ServerStatus, SqlError, WireError,
    cursor::{Cursor, put_lenenc_bytes, put_lenenc_int},
};

/// First byte of an OK packet that ends a statement without rows.
const OK: u8 = 0x00;
/// First byte of an EOF packet, and of the OK packet that replaces it.
const EOF: u8 = 0xfe;
/// First byte of an error packet.
const ERR: u8 = 0xff;

/// Longest text of an error packet: drivers keep it in a buffer of this size (MYSQL_ERRMSG_SIZE).
const MESSAGE_MAX: usize = 512;

/// OK_Packet. Decoded: the text and the changes borrow from the payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OkPacket<'a> {
    pub affected_rows: u64,
    pub last_insert_id: u64,
    pub status: ServerStatus,
    pub warnings: u16,
    /// `Rows matched: 1  Changed: 1  Warnings: 0` and the like.
    pub info: &'a [u8],
    /// Session changes, still encoded; see [`SessionChanges`]. Sent only under SESSION_TRACK.
    pub changes: &'a [u8],
}

impl<'a> OkPacket<'a> {
    /// As the answer to a statement without rows.
    pub fn encode(&self, out: &mut Vec<u8>, capabilities: Capabilities) {
        self.encode_after(OK, out, capabilities);
    }

    /// As the end of rows under DEPRECATE_EOF.
    pub fn encode_as_eof(&self, out: &mut Vec<u8>, capabilities: Capabilities) {
        self.encode_after(EOF, out, capabilities);
    }

    /// Reads an OK with either first byte; the caller knows from the exchange that it is none of the packets that look alike.
    pub fn decode(payload: &'a [u8], capabilities: Capabilities) -> Result<OkPacket<'a>, WireError> {
        let mut cursor = Cursor::new(payload);
        if !matches!(cursor.u8("OK packet")?, OK | EOF) {
            return Err(WireError::Malformed("OK packet"));
        }
        let affected_rows = cursor.lenenc_int("affected rows")?;
        let last_insert_id = cursor.lenenc_int("last insert id")?;
        let status = ServerStatus(cursor.u16("status")?);
        let warnings = cursor.u16("warnings")?;
        let (mut info, mut changes) = (&[][..], &[][..]);
        if !cursor.ended() {
            // The documentation has a text without length for clients without SESSION_TRACK; no server sends one and no client reads one.
            info = cursor.lenenc_bytes("information")?;
            if capabilities.contains(Capabilities::SESSION_TRACK) && status.contains(ServerStatus::SESSION_STATE_CHANGED) {
                changes = cursor.lenenc_bytes("session changes")?;
            }
        }
        Ok(OkPacket { affected_rows, last_insert_id, status, warnings, info, changes })
    }

    pub fn changes(&self) -> SessionChanges<'a> {
        SessionChanges { cursor: Cursor::new(self.changes) }
    }

    fn encode_after(&self, first: u8, out: &mut Vec<u8>, capabilities: Capabilities) {
        let tracked = capabilities.contains(Capabilities::SESSION_TRACK);
        let status = self.status.with(ServerStatus::SESSION_STATE_CHANGED, tracked && !self.changes.is_empty());
        out.push(first);
        put_lenenc_int(out, self.affected_rows);
        put_lenenc_int(out, self.last_insert_id);
        out.extend_from_slice(&status.0.to_le_bytes());
        out.extend_from_slice(&self.warnings.to_le_bytes());
        if tracked && !self.changes.is_empty() {
            put_lenenc_bytes(out, self.info);
            put_lenenc_bytes(out, self.changes);
        } else if !self.info.is_empty() {
            put_lenenc_bytes(out, self.info);
        }
    }
}

/// EOF_Packet: the end of columns or rows for clients without DEPRECATE_EOF.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EofPacket {
    pub warnings: u16,
    pub status: ServerStatus,
}

impl EofPacket {
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(EOF);
        out.extend_from_slice(&self.warnings.to_le_bytes());
        out.extend_from_slice(&self.status.0.to_le_bytes());
    }

    pub fn decode(payload: &[u8]) -> Result<EofPacket, WireError> {
        let mut cursor = Cursor::new(payload);
        if cursor.u8("EOF packet")? != EOF {
            return Err(WireError::Malformed("EOF packet"));
        }
        Ok(EofPacket { warnings: cursor.u16("warnings")?, status: ServerStatus(cursor.u16("status")?) })
    }
}

/// ERR_Packet, decoded. To send one, see [`put_error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrPacket<'a> {
    pub code: u16,
    /// Five ASCII characters; `HY000` when the server sent none.
    pub state: [u8; 5],
    pub message: &'a [u8],
}

impl<'a> ErrPacket<'a> {
    pub fn decode(payload: &'a [u8]) -> Result<ErrPacket<'a>, WireError> {
        let mut cursor = Cursor::new(payload);
        if cursor.u8("error packet")? != ERR {
            return Err(WireError::Malformed("error packet"));
        }
        let code = cursor.u16("error number")?;
        let mut state = *b"HY000";
        if cursor.peek() == Some(b'#') {
            cursor.u8("SQLSTATE")?;
            state = cursor.array("SQLSTATE")?;
        }
        Ok(ErrPacket { code, state, message: cursor.to_end() })
    }
}

/// When an error packet is sent, which decides whether a client expects a SQLSTATE in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorPhase {
    /// In place of the greeting: the client does not know yet whether to expect one and would show it as part of the text.
    BeforeGreeting,
    AfterGreeting,
}

pub fn put_error(out: &mut Vec<u8>, error: &SqlError, phase: ErrorPhase) {
    out.push(ERR);
    out.extend_from_slice(&error.code.to_le_bytes());
    if phase == ErrorPhase::AfterGreeting {
        out.push(b'#');
        out.extend_from_slice(error.state.as_bytes());
    }
    let mut shown = error.message.len().min(MESSAGE_MAX);
    while !error.message.is_char_boundary(shown) {
        shown -= 1;
    }
    out.extend_from_slice(&error.message.as_bytes()[..shown]);
}

/// One thing an OK packet reports to have changed ("Session State Information").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionChange<'a> {
    Variable {
        name: &'a [u8],
        value: &'a [u8],
    },
    /// The database in use.
    Schema(&'a [u8]),
    /// `1`: something of the session changed that makes it unlike a new one.
    State(&'a [u8]),
    /// GTIDs of what was committed (MySQL; MariaDB reports the variable `last_gtid`).
    Gtids(&'a [u8]),
    /// The statements that would start the same transaction again.
    TransactionCharacteristics(&'a [u8]),
    /// Eight letters, `_` where nothing of the kind happened in the transaction.
    TransactionState(&'a [u8]),
    /// A kind of change this list does not know.
    Other {
        kind: u8,
        data: &'a [u8],
    },
}

impl SessionChange<'_> {
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut data = Vec::new();
        let kind = match self {
            SessionChange::Variable { name, value } => {
                put_lenenc_bytes(&mut data, name);
                put_lenenc_bytes(&mut data, value);
                0
            }
            SessionChange::Schema(name) => put_string(&mut data, 1, name),
            // The flag is all there is: it has no length of its own.
            SessionChange::State(flag) => {
                data.extend_from_slice(flag);
                2
            }
            SessionChange::Gtids(gtids) => {
                // The encoding of the set; 0, text, is the only one there is.
                data.push(0);
                put_string(&mut data, 3, gtids)
            }
            SessionChange::TransactionCharacteristics(statements) => put_string(&mut data, 4, statements),
            SessionChange::TransactionState(state) => put_string(&mut data, 5, state),
            SessionChange::Other { kind, data: raw } => {
                data.extend_from_slice(raw);
                *kind
            }
        };
        out.push(kind);
        put_lenenc_bytes(out, &data);
    }
}

fn put_string(data: &mut Vec<u8>, kind: u8, value: &[u8]) -> u8 {
    put_lenenc_bytes(data, value);
    kind
}

/// The changes of one OK packet, in order. Ends after the first that cannot be understood.
#[derive(Clone, Copy, Debug)]
pub struct SessionChanges<'a> {
    cursor: Cursor<'a>,
}

impl<'a> SessionChanges<'a> {
    fn decode_next(&mut self) -> Result<SessionChange<'a>, WireError> {
        let kind = self.cursor.u8("session change")?;
        let raw = self.cursor.lenenc_bytes("session change")?;
        let mut data = Cursor::new(raw);
        Ok(match kind {
            0 => SessionChange::Variable { name: data.lenenc_bytes("variable's name")?, value: data.lenenc_bytes("variable's value")? },
            1 => SessionChange::Schema(data.lenenc_bytes("schema")?),
            2 => SessionChange::State(raw),
            3 => {
                data.u8("encoding of the GTIDs")?;
                SessionChange::Gtids(data.lenenc_bytes("GTIDs")?)
            }
            4 => SessionChange::TransactionCharacteristics(data.lenenc_bytes("transaction characteristics")?),
            5 => SessionChange::TransactionState(data.lenenc_bytes("transaction state")?),
            kind => SessionChange::Other { kind, data: raw },
        })
    }
}

impl<'a> Iterator for SessionChanges<'a> {
    type Item = Result<SessionChange<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.cursor.ended() {
            return None;
        }
        let change = self.decode_next();
        if change.is_err() {
            self.cursor.to_end();
        }
        Some(change)
    }
}

#[cfg(test)]
mod tests;
