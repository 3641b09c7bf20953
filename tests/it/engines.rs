//! What answers the SQL. Stories that must come out alike are told on each, word for word.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Embedded,
    /// MariaDB of this machine, a primary with so many replicas.
    Servers {
        replicas: usize,
    },
}

impl Engine {
    /// For `pumasi demo`.
    pub fn arguments(self) -> Vec<String> {
        match self {
            Engine::Embedded => vec![],
            Engine::Servers { replicas } => vec!["--engine".into(), format!("mariadb:{replicas}")],
        }
    }
}

impl fmt::Display for Engine {
    /// The value of `engine` for a database called askhy.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Engine::Embedded => write!(f, "embedded:askhy.db"),
            Engine::Servers { replicas } => write!(f, "mariadb:{replicas}/askhy"),
        }
    }
}

/// Makes two tests of each story, a function of an [`Engine`]: one on the embedded engine, one on MariaDB with as many replicas as written.
macro_rules! on_either_engine {
    ($($story:ident: $replicas:literal,)*) => {
        mod on_the_embedded_engine {
            $(#[test]
            fn $story() {
                super::$story($crate::engines::Engine::Embedded);
            })*
        }

        mod on_mariadb {
            $(#[test]
            fn $story() {
                super::$story($crate::engines::Engine::Servers { replicas: $replicas });
            })*
        }
    };
}
pub(crate) use on_either_engine;
