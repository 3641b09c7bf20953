//! MySQL statements as SQLite statements.
