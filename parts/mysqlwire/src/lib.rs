//! MySQL client/server protocol, sans-I/O, both directions: raw packets first.
mod column;
mod error;
mod value;

pub use column::{Column, ColumnFlags, ColumnType};
pub use error::SqlError;
pub use value::{Value, ValueRef};
