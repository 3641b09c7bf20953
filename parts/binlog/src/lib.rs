//! Row events of a MySQL or MariaDB binary log (MariaDB Knowledge Base "Replication Protocol"; MySQL Internals "Binary Log"), as a replica is sent
//! them: bytes in, transactions out.
//!
//! Only what a follower of rows needs is decoded: where a transaction begins and ends, its position, which rows it changed with their whole numbers
//! and texts. Everything else is stepped over by its length, and what cannot be is [`Unreadable`]: the rows of that table are then not known.
//!
//! Any bytes at all give events or an error, never a panic; memory is bounded by the event and by [`ROWS_MAX`].
mod event;
mod group;
mod row;

pub use event::{Event, Gtid, HEADER, Header};
pub use group::{Change, Group, Groups, ROWS_MAX, TABLES_MAX};
pub use row::{Row, TableMap, Value};

/// Why bytes are no event, or no row, that is understood here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("a {0} ends too early")]
    Short(&'static str),
    #[error("a {0} is not as it should be")]
    Malformed(&'static str),
    /// A column of a type whose length is not known, a partial row image, a compressed event.
    #[error("{0} cannot be followed")]
    Unfollowed(&'static str),
}

impl From<pumasi_mysqlwire::WireError> for Unreadable {
    fn from(_: pumasi_mysqlwire::WireError) -> Unreadable {
        Unreadable::Short("event")
    }
}

#[cfg(test)]
mod tests;
