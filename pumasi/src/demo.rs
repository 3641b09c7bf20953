//! `pumasi demo`: the reference application through every tier.

/// Where the demo keeps its database unless told otherwise.
pub const STATE: &str = ".pumasi/demo";
