//! An error as the MySQL protocol carries it.

/// Error number, SQLSTATE and text of an ERR packet. The number decides what a driver raises.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ERROR {code} ({state}): {message}")]
pub struct SqlError {
    pub code: u16,
    /// Five ASCII characters.
    pub state: &'static str,
    pub message: String,
}

impl SqlError {
    pub fn new(code: u16, state: &'static str, message: impl Into<String>) -> SqlError {
        SqlError { code, state, message: message.into() }
    }

    /// 1235: something MySQL has and Pumasi's engine does not. `construct` names it.
    pub fn unsupported(construct: impl std::fmt::Display) -> SqlError {
        SqlError::new(1235, "42000", format!("This version of Pumasi's embedded engine doesn't yet support '{construct}'"))
    }
}
