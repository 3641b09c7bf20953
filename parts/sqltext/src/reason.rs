//! Why a statement's answer is not stored.

/// Label of a metric, text in the console, reason in `Cache-Status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Not a SELECT.
    NotARead,
    /// The text is not understood.
    Unparsable,
    /// Longer or deeper than what is analysed.
    TooLarge,
    /// `/*! ... */` is executed by some servers and not by others.
    ExecutableComment,
    /// `@x`, `@@x`: the session's, not the rows'.
    Variable,
    /// NOW() and its relatives.
    Clock,
    /// RAND(), UUID().
    Random,
    /// LAST_INSERT_ID(), CONNECTION_ID(), USER() and the like.
    SessionState,
    /// A function that is not on the list: it may read or write anything.
    UnknownFunction,
    /// SLEEP(), GET_LOCK(), BENCHMARK(): called for what it does.
    SideEffect,
    /// FOR UPDATE, LOCK IN SHARE MODE.
    Locking,
    /// SELECT ... INTO.
    Into,
    /// information_schema, performance_schema, mysql, sys.
    SystemTable,
    /// A temporary table hides one of that name.
    TemporaryTable,
    /// The catalogue has no such table.
    UnknownTable,
    /// JSON_TABLE, table functions, AS OF and other things that are not tables.
    UnknownRelation,
    /// Nothing is read from any table.
    NoTable,
}

impl Reason {
    pub const ALL: [Reason; 17] = [
        Reason::NotARead,
        Reason::Unparsable,
        Reason::TooLarge,
        Reason::ExecutableComment,
        Reason::Variable,
        Reason::Clock,
        Reason::Random,
        Reason::SessionState,
        Reason::UnknownFunction,
        Reason::SideEffect,
        Reason::Locking,
        Reason::Into,
        Reason::SystemTable,
        Reason::TemporaryTable,
        Reason::UnknownTable,
        Reason::UnknownRelation,
        Reason::NoTable,
    ];

    pub fn label(self) -> &'static str {
        match self {
            Reason::NotARead => "not-a-read",
            Reason::Unparsable => "unparsable",
            Reason::TooLarge => "statement-too-large",
            Reason::ExecutableComment => "executable-comment",
            Reason::Variable => "variable",
            Reason::Clock => "clock",
            Reason::Random => "random",
            Reason::SessionState => "session-state",
            Reason::UnknownFunction => "unknown-function",
            Reason::SideEffect => "side-effect",
            Reason::Locking => "locking-read",
            Reason::Into => "select-into",
            Reason::SystemTable => "system-table",
            Reason::TemporaryTable => "temporary-table",
            Reason::UnknownTable => "unknown-table",
            Reason::UnknownRelation => "unknown-relation",
            Reason::NoTable => "no-table",
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.label())
    }
}
