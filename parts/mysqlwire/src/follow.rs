//! Where a server's answer ends: looks at its packets as they pass, so that a proxy can forward them as they are.

use crate::{Capabilities, EofPacket, FRAME_MAX, HEADER, Header, OkPacket, Prepared, Sequence, ServerStatus, WireError, cursor::Cursor};

/// What kind of answer a command has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// COM_QUERY, COM_STMT_EXECUTE: results, one or several. What they say of cursors is about those of a routine that runs.
    Results,
    /// COM_STMT_EXECUTE with a cursor asked for: as [`Expect::Results`], or, if the server opened it, the columns alone.
    Cursor,
    /// COM_STMT_PREPARE.
    Prepared,
    /// COM_FIELD_LIST, COM_STMT_FETCH: packets up to an end.
    Rows,
    /// One packet: OK, EOF, an error or text.
    One,
}

/// What a packet of the answer was. All but `Data` carry what a proxy has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed<'a> {
    /// A row, a column, a count: nothing to see.
    Data,
    /// The last definition of columns or parameters, where EOF packets are deprecated: without that, one would come next.
    LastDefinition,
    Ok(OkPacket<'a>),
    Eof(EofPacket),
    /// Ends the answer, also where several results were due.
    Err,
    /// COM_STMT_PREPARE's first packet.
    Prepared(Prepared),
    /// LOAD DATA LOCAL: the client sends a file's content, ended by an empty packet; the answer goes on after that.
    WantsFile,
}

/// Rows at the beginning of what has come, as [`Follower::rows`] found them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Run {
    pub rows: u64,
    /// Their packets, with headers.
    pub bytes: usize,
    /// The longest of them, without its header.
    pub longest: usize,
}

/// Follows one answer from its first packet to its last.
#[derive(Clone, Debug)]
pub struct Follower {
    state: State,
    capabilities: Capabilities,
    /// It may end with an open cursor.
    cursor: bool,
    /// The last packet was of the largest size: the next one continues its payload.
    continued: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// OK, an error, a file's name or the number of columns.
    AwaitResult,
    AwaitColumns {
        left: u64,
    },
    AwaitColumnsEof,
    AwaitRows,
    AwaitPrepared,
    /// Definitions of parameters, then of columns.
    AwaitDefinitions {
        left: u64,
        then: u64,
    },
    AwaitDefinitionsEof {
        then: u64,
    },
    AwaitOne,
    Done,
}

impl Follower {
    /// `capabilities`: as negotiated with the server.
    pub fn new(expect: Expect, capabilities: Capabilities) -> Follower {
        let state = match expect {
            Expect::Results | Expect::Cursor => State::AwaitResult,
            Expect::Prepared => State::AwaitPrepared,
            Expect::Rows => State::AwaitRows,
            Expect::One => State::AwaitOne,
        };
        Follower { state, capabilities, cursor: expect == Expect::Cursor, continued: false }
    }

    /// The answer is complete.
    pub fn done(&self) -> bool {
        self.state == State::Done
    }

    /// The next packet begins a row, or ends them.
    pub fn in_rows(&self) -> bool {
        self.state == State::AwaitRows && !self.continued
    }

    /// Whether the next packet may be forwarded without having been read whole, if it is long: it is a row, or the rest of one.
    /// A row that long cannot be mistaken for an end, except for an error, whose first byte tells.
    pub fn may_stream(&self, first: u8) -> bool {
        self.continued || (self.state == State::AwaitRows && first != 0xff)
    }

    /// Takes note of all packets at the beginning of `raw` that are whole and cannot be anything but rows; none where the next packet
    /// is no row. What follows them is for [`Follower::packet`]. A handful of instructions per row.
    pub fn rows(&mut self, raw: &[u8], sequence: &mut Sequence) -> Result<Run, WireError> {
        let mut run = Run::default();
        if !self.in_rows() {
            return Ok(run);
        }
        while let Some((head, rest)) = raw.get(run.bytes..).and_then(|left| left.split_first_chunk::<HEADER>()) {
            let header = Header::decode(*head);
            // An end, an error, or a row whose first value is so long that only its length tells it from an end.
            let plain = rest.first().is_some_and(|first| *first < 0xfe);
            if !plain || header.length == 0 || header.length == FRAME_MAX || rest.len() < header.length {
                break;
            }
            sequence.accept(header.sequence)?;
            run.rows += 1;
            run.longest = run.longest.max(header.length);
            run.bytes += HEADER + header.length;
        }
        Ok(run)
    }

    /// Takes note of one packet (not of a joined payload). `payload` may be cut short where [`Follower::may_stream`] allows it;
    /// `length` is that of the header.
    pub fn packet<'a>(&mut self, payload: &'a [u8], length: usize) -> Result<Passed<'a>, WireError> {
        let continues = std::mem::replace(&mut self.continued, length == FRAME_MAX);
        if continues {
            return Ok(Passed::Data);
        }
        let first = payload.first().copied();
        let (next, passed) = match self.state {
            State::AwaitResult => self.result(payload, first)?,
            State::AwaitColumns { left: 1 } if self.deprecates_eof() => (State::AwaitRows, Passed::LastDefinition),
            State::AwaitColumns { left: 1 } => (State::AwaitColumnsEof, Passed::Data),
            State::AwaitColumns { left } => (State::AwaitColumns { left: left - 1 }, Passed::Data),
            State::AwaitColumnsEof => {
                let eof = EofPacket::decode(payload)?;
                // An open cursor: the rows wait for COM_STMT_FETCH.
                let open = self.cursor && eof.status.contains(ServerStatus::CURSOR_EXISTS);
                let next = if open { State::Done } else { State::AwaitRows };
                (next, Passed::Eof(eof))
            }
            State::AwaitRows => self.row(payload, first, length)?,
            State::AwaitPrepared => match first {
                Some(0xff) => (State::Done, Passed::Err),
                _ => {
                    let prepared = Prepared::decode(payload)?;
                    (self.definitions(prepared.parameters.into(), prepared.columns.into()), Passed::Prepared(prepared))
                }
            },
            State::AwaitDefinitions { left: 1, then } if self.deprecates_eof() => (self.definitions(then, 0), Passed::LastDefinition),
            State::AwaitDefinitions { left: 1, then } => (State::AwaitDefinitionsEof { then }, Passed::Data),
            State::AwaitDefinitions { left, then } => (State::AwaitDefinitions { left: left - 1, then }, Passed::Data),
            State::AwaitDefinitionsEof { then } => (self.definitions(then, 0), Passed::Data),
            State::AwaitOne => match first {
                Some(0x00) => (State::Done, Passed::Ok(OkPacket::decode(payload, self.capabilities)?)),
                Some(0xff) => (State::Done, Passed::Err),
                _ => (State::Done, Passed::Data),
            },
            State::Done => return Err(WireError::Malformed("packet behind the end of an answer")),
        };
        self.state = next;
        Ok(passed)
    }

    fn result<'a>(&self, payload: &'a [u8], first: Option<u8>) -> Result<(State, Passed<'a>), WireError> {
        Ok(match first {
            Some(0x00) => {
                let ok = OkPacket::decode(payload, self.capabilities)?;
                (behind(ok.status), Passed::Ok(ok))
            }
            Some(0xff) => (State::Done, Passed::Err),
            Some(0xfb) => (State::AwaitResult, Passed::WantsFile),
            _ => {
                let left = Cursor::new(payload).lenenc_int("number of columns")?;
                if left == 0 || left > u64::from(u32::MAX) {
                    return Err(WireError::Malformed("number of columns"));
                }
                (State::AwaitColumns { left }, Passed::Data)
            }
        })
    }

    fn row<'a>(&self, payload: &'a [u8], first: Option<u8>, length: usize) -> Result<(State, Passed<'a>), WireError> {
        Ok(match first {
            Some(0xff) => (State::Done, Passed::Err),
            // A row may begin with this byte, too, but only with a value of 16 MiB behind it.
            Some(0xfe) if length < FRAME_MAX && self.deprecates_eof() => {
                let ok = OkPacket::decode(payload, self.capabilities)?;
                (behind(ok.status), Passed::Ok(ok))
            }
            Some(0xfe) if length < 9 => {
                let eof = EofPacket::decode(payload)?;
                (behind(eof.status), Passed::Eof(eof))
            }
            _ => (State::AwaitRows, Passed::Data),
        })
    }

    fn definitions(&self, left: u64, then: u64) -> State {
        match (left, then) {
            (0, 0) => State::Done,
            (0, then) => State::AwaitDefinitions { left: then, then: 0 },
            (left, then) => State::AwaitDefinitions { left, then },
        }
    }

    fn deprecates_eof(&self) -> bool {
        self.capabilities.contains(Capabilities::DEPRECATE_EOF)
    }
}

fn behind(status: ServerStatus) -> State {
    if status.contains(ServerStatus::MORE_RESULTS) { State::AwaitResult } else { State::Done }
}

#[cfg(test)]
mod tests;
