//! How far the primary's commits are visible to readers. The log alone does not say: an event may be sent before its transaction is committed in the engine.
//!
//! MariaDB commits the engines in the order of the log and under one lock, and takes a snapshot `WITH CONSISTENT SNAPSHOT` under the same lock; so the place
//! in the log that such a snapshot reports (`binlog_snapshot_file`, `binlog_snapshot_position`) has everything before it that any later snapshot sees
//! (MariaDB Knowledge Base, "Enhancements for START TRANSACTION WITH CONSISTENT SNAPSHOT"). It asks for no table, no key and no lock of a row.

use std::{cell::Cell, time::Duration};

use tokio::{
    sync::Mutex,
    time::{Instant, sleep, timeout_at},
};

use super::control;
use crate::{
    front::wire::Lost,
    proxy::{backend::Backend, target::Target},
};

/// Between two questions. A commit takes about as long as its flush to disk.
const ASK_AGAIN: Duration = Duration::from_millis(2);

/// So long a transaction in the log may take to be committed: with semi-synchronous replication it waits for a replica in between
/// (`rpl_semi_sync_master_timeout`, 10 s unless set).
const ASK_MAX: Duration = Duration::from_secs(15);

/// ROTATE_EVENT's type; behind the header a position of eight bytes and the next log's name.
const ROTATE: u8 = 4;

/// A place in a server's log: the number at the end of a file's name, and a byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    log: u64,
    at: u64,
}

/// Where the stream of events is.
#[derive(Debug)]
pub struct Reading {
    /// What the names of the server's logs begin with, the dot included.
    base: String,
    log: Option<u64>,
    at: u64,
}

impl Reading {
    /// `file`: one of the server's logs.
    pub fn new(file: &str) -> Reading {
        let base = file.rfind('.').map_or(file, |dot| &file[..=dot]);
        Reading { base: base.to_owned(), log: None, at: 0 }
    }

    /// Takes note of an event. Where it ends, if that can be said.
    pub fn pass(&mut self, event: &[u8]) -> Option<Place> {
        let end = u64::from(u32::from_le_bytes(event.get(13..17)?.try_into().ok()?));
        if event.get(4) == Some(&ROTATE) {
            let name = event.get(19 + 8..)?;
            // A checksum of four bytes may stand behind the number, which has six digits and only after a million logs more.
            let number = name.strip_prefix(self.base.as_bytes())?;
            let digits = if number.len() >= 10 { &number[..number.len() - 4] } else { number };
            self.log = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
            self.at = 0;
            return None;
        }
        if end == 0 {
            // The server's own, in no file.
            return None;
        }
        // Four bytes are too few for a log that one huge transaction has made longer.
        let follows = end > self.at;
        self.at = end;
        follows.then_some(Place { log: self.log?, at: end })
    }

    /// As a snapshot reports it.
    fn place(&self, file: &str, at: &str) -> Option<Place> {
        Some(Place { log: file.strip_prefix(&self.base)?.parse().ok()?, at: at.parse().ok()? })
    }
}

/// Asks the server, on a connection of its own that is opened with the first question.
pub struct Looker {
    target: Target,
    names: Reading,
    /// The server runs the engines' commits in the log's order, which it does unless told otherwise.
    ordered: bool,
    connection: Mutex<Option<Backend>>,
    reached: Cell<Place>,
}

impl Looker {
    pub fn new(target: &Target, file: &str, ordered: bool) -> Looker {
        Looker { target: target.clone(), names: Reading::new(file), ordered, connection: Mutex::new(None), reached: Cell::default() }
    }

    /// Returns true when everything up to `place` is visible to whoever asks from now on; false if that cannot be found out.
    pub async fn visible(&self, place: Place) -> bool {
        let until = Instant::now() + ASK_MAX;
        while self.ordered && Instant::now() < until {
            if self.reached.get() >= place {
                return true;
            }
            let Ok(mut connection) = timeout_at(until, self.connection.lock()).await else { return false };
            if self.reached.get() >= place {
                // Somebody else has asked meanwhile.
                return true;
            }
            // A server that is stopped answers nothing, and ends no connection either.
            match timeout_at(until, self.ask(&mut connection)).await {
                Ok(Ok(Some(reached))) => self.reached.set(self.reached.get().max(reached)),
                Ok(Ok(None)) => return false,
                Ok(Err(_)) | Err(_) => {
                    *connection = None;
                    return false;
                }
            }
            drop(connection);
            if self.reached.get() < place {
                sleep(ASK_AGAIN).await;
            }
        }
        false
    }

    async fn ask(&self, connection: &mut Option<Backend>) -> Result<Option<Place>, Lost> {
        if connection.is_none() {
            *connection = control::connect(&self.target, &self.target.login()).await.ok();
        }
        let Some(connection) = connection else { return Ok(None) };
        if connection.rows("START TRANSACTION WITH CONSISTENT SNAPSHOT", 1).await?.is_err() {
            return Ok(None);
        }
        let rows = connection.rows("SHOW STATUS LIKE 'binlog_snapshot_%'", 8).await?.unwrap_or_default();
        let _ = connection.rows("COMMIT", 1).await?;
        let value = |name: &str| {
            let row = rows.iter().find(|row| row[0].as_deref().is_some_and(|said| said.eq_ignore_ascii_case(name)))?;
            row.get(1)?.as_deref()
        };
        Ok(match (value("binlog_snapshot_file"), value("binlog_snapshot_position")) {
            (Some(file), Some(at)) => self.names.place(file, at),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: u8, end: u32, body: &[u8]) -> Vec<u8> {
        let mut event = vec![0; 19];
        event[4] = kind;
        event[13..17].copy_from_slice(&end.to_le_bytes());
        event.extend_from_slice(body);
        event
    }

    fn rotate(name: &str) -> Vec<u8> {
        event(ROTATE, 0, &[&4_u64.to_le_bytes()[..], name.as_bytes()].concat())
    }

    #[test]
    fn places_are_where_events_end() {
        let mut reading = Reading::new("binlog.000007");
        assert_eq!(reading.pass(&event(16, 500, b"")), None, "nobody has said which log it is");
        // With a checksum, which may look like anything.
        assert_eq!(reading.pass(&rotate("binlog.0000091234")), None);
        let first = reading.pass(&event(16, 500, b"")).unwrap();
        assert_eq!(first, Place { log: 9, at: 500 });
        assert_eq!(reading.pass(&event(27, 0, b"")), None, "a heartbeat is in no log");
        assert!(reading.pass(&event(16, 501, b"")).unwrap() > first);
        assert_eq!(reading.pass(&event(16, 400, b"")), None, "beyond four gibibytes");
        assert_eq!(reading.pass(&rotate("binlog.000010")), None);
        let next = reading.pass(&event(16, 300, b"")).unwrap();
        assert!(next > first && next == reading.place("binlog.000010", "300").unwrap());
        assert_eq!(reading.place("other.000010", "300"), None);
        for cut in 0..28 {
            let _ = reading.pass(&rotate("binlog.000010")[..cut]);
        }
    }
}
