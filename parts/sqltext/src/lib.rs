//! What a MySQL statement reads, writes and depends on, from its text.
//!
//! Two depths. The **lexer** runs for every statement: class, digest, literals; no allocation but the digest's. The **analysis** runs once per
//! digest: the tree, the tables, the columns fixed by equality, and whether the answer is a function of rows. What is not understood is refused
//! by name ([`Reason`]), never guessed at.
mod analysis;
mod class;
mod digest;
mod functions;
mod key;
mod lexer;
mod modes;
mod reason;
mod settings;
mod shape;

pub use analysis::{Analysis, Catalogue, Column, Relation, TableInfo, TableName, Template, Uses, analyse};
pub use class::Class;
pub use digest::{Digest, Operand};
pub use functions::purity;
pub use key::{Comparison, Key, Scalar};
pub use lexer::{Token, Tokens};
pub use modes::Modes;
pub use reason::Reason;
pub use settings::asks_settings;
pub use shape::{hash_shape, shape};

/// Bytes of a statement that are analysed. A longer one is refused: `INSERT`s with data in them, not reads.
pub const STATEMENT_MAX: usize = 64 * 1024;

/// Words, values and signs of a statement that are analysed: a chain of operators is a tree as deep as it is long, and a thread's stack has an end.
pub const TOKENS_MAX: usize = 4096;

/// How deep a statement may nest before it is refused.
pub const DEPTH_MAX: usize = 48;

#[cfg(test)]
mod tests;
