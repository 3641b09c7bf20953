//! How the program ends when it cannot do what it was asked: the exit codes of the manual.

use std::{fmt, process::ExitCode};

use pumasi_config::Problems;

/// Why the program ends without having done what it was asked. Displays as what goes to standard error.
#[derive(Debug)]
pub enum Failure {
    /// 1: something went wrong.
    Failed(anyhow::Error),
    /// 2: the command line contradicts itself in a way that the parser of flags does not see.
    Usage(String),
    /// 3: the configuration cannot be used.
    Configuration(Problems),
    /// 5: nobody answers at the console's address.
    Unreachable(String),
}

impl Failure {
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Failure::Failed(_) => 1,
            Failure::Usage(_) => 2,
            Failure::Configuration(_) => 3,
            Failure::Unreachable(_) => 5,
        })
    }
}

impl Failure {
    /// What went wrong, without the program's name before it: for answers of the console and for events.
    pub fn text(&self) -> String {
        match self {
            // The whole chain on one line: what we were doing, and the cause.
            Failure::Failed(error) => format!("{error:#}"),
            Failure::Usage(text) | Failure::Unreachable(text) => text.clone(),
            Failure::Configuration(problems) => problems.to_string(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Configuration(problems) => write!(f, "{problems}"),
            _ => write!(f, "pumasi: {}", self.text()),
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::Failed(error.into())
    }
}
