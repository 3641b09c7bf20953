//! MySQL client/server protocol, sans-I/O, both directions: raw packets first.
//!
//! [`Inbox`] and [`Outbox`] turn a byte stream into payloads and back; the other modules read and write one kind of payload each.
//! Whatever arrives, nothing here panics: it is a value or a [`WireError`]. Names in quotes are sections of MySQL's protocol documentation.
pub mod auth;
mod column;
mod command;
mod compress;
pub mod cursor;
mod error;
mod flags;
mod follow;
mod handshake;
pub mod number;
mod packet;
mod response;
mod row;
pub mod rsa;
mod statement;
pub mod temporal;
mod value;
mod wire_error;

pub use column::{COLUMNS_MAX, Column, ColumnFlags, ColumnType};
pub use command::Command;
pub use compress::Compressor;
pub use error::SqlError;
pub use flags::{Capabilities, ServerStatus};
pub use follow::{Expect, Follower, Passed, Run};
pub use handshake::{AuthStep, FirstPacket, Greeting, Login, decode_change_user, put_change_user, put_tls_request};
pub use packet::{Begun, FRAME_MAX, HEADER, Header, Inbox, Outbox, Sequence};
pub use response::{EofPacket, ErrPacket, ErrorPhase, OkPacket, SessionChange, SessionChanges, put_error};
pub use row::{decode_binary_row, decode_binary_value, decode_text_row, put_binary_row, put_text_row};
pub use statement::{Execution, LongData, ParameterType, Prepared};
pub use value::{Value, ValueRef};
pub use wire_error::WireError;
