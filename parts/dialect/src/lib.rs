//! MySQL statements as SQLite statements: parser, types, translation, and MySQL's value semantics. Pure: no files, no clock, no SQLite.
//!
//! `parse` reads a statement; `translate` turns it into SQLite's SQL with the help of a `catalogue`; `functions` holds what the
//! SQL calls (every name beginning with `pm_`), for the engine to register; `schema` turns DDL into a new catalogue and SQLite's DDL.

pub mod catalogue;
pub mod collation;
pub mod decimal;
pub mod error;
pub mod functions;
pub mod information;
pub mod parse;
pub mod temporal;
pub mod text;
pub mod translate;
pub mod types;
