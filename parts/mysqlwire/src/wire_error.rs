//! What can be wrong with bytes from the other side.

use crate::SqlError;

/// Bytes that are not the protocol. The connection they came from cannot go on: where the next packet starts, or what the other
/// side believes, is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("the packet ends before its {0} does")]
    Truncated(&'static str),
    #[error("the packet's {0} cannot be understood")]
    Malformed(&'static str),
    #[error("packet {got} came where packet {expected} was due")]
    Sequence { expected: u8, got: u8 },
    #[error("a packet of more than {max} bytes")]
    TooLarge { max: usize },
}

impl From<WireError> for SqlError {
    /// The number MySQL itself answers with.
    fn from(error: WireError) -> SqlError {
        match error {
            WireError::Truncated(_) | WireError::Malformed(_) => {
                SqlError::new(1835, "HY000", format!("Malformed communication packet: {error}"))
            }
            WireError::Sequence { .. } => SqlError::new(1156, "08S01", format!("Got packets out of order: {error}")),
            WireError::TooLarge { max } => {
                SqlError::new(1153, "08S01", format!("Got a packet bigger than 'max_allowed_packet' bytes ({max})"))
            }
        }
    }
}
