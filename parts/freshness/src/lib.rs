//! Which stored answer a write made wrong: slots, tags, fences, stamps and the windows of requests.

/// What one worker's database connections did while its requests were open: joins HTTP requests and SQL statements.
#[derive(Debug, Default)]
pub struct Witness {}
