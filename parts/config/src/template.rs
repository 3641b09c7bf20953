//! Text with holes that are filled in for each worker: `mysql://${sql.main.host}:${sql.main.port}/shop`.

use std::fmt;

/// A text and its holes. `$${` stands for a plain `${`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Hole(Hole),
}

/// What is filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hole {
    /// `${port}`: the port the worker shall listen on; the same as `$PORT`.
    Port,
    /// `${worker.number}`: 1 for the first worker of a pool.
    WorkerNumber,
    /// `${sql.NAME.host}`: where this worker reaches that SQL tier.
    SqlHost(String),
    /// `${sql.NAME.port}`: the same; every worker has a port of its own there, which is how its SQL is known to be its own.
    SqlPort(String),
    /// `${env.NAME}`: a variable of Pumasi's own environment.
    Env(String),
}

/// A `${` without its `}`, or a hole of a name that does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadTemplate {
    /// The part of the text that is wrong.
    pub hole: String,
    pub remedy: String,
}

impl Template {
    /// Errors: an unclosed hole; a hole of unknown form. Whether a named SQL tier exists is the caller's to check.
    pub fn parse(text: &str) -> Result<Template, BadTemplate> {
        let mut pieces = vec![];
        let mut plain = String::new();
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            if rest[..start].ends_with('$') {
                plain.push_str(&rest[..start - 1]);
                plain.push_str("${");
                rest = &rest[start + 2..];
                continue;
            }
            plain.push_str(&rest[..start]);
            let Some(length) = rest[start + 2..].find('}') else {
                return Err(BadTemplate { hole: rest[start..].to_owned(), remedy: "Close it with }, or write $${ for a plain ${.".into() });
            };
            let name = &rest[start + 2..start + 2 + length];
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Hole(Hole::parse(name)?));
            rest = &rest[start + 2 + length + 1..];
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Template { pieces })
    }

    /// A text without holes, whatever is in it.
    pub fn literal(text: impl Into<String>) -> Template {
        Template { pieces: vec![Piece::Text(text.into())] }
    }

    pub fn holes(&self) -> impl Iterator<Item = &Hole> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Hole(hole) => Some(hole),
            Piece::Text(_) => None,
        })
    }

    /// The text with every hole filled by `value`.
    pub fn fill(&self, mut value: impl FnMut(&Hole) -> String) -> String {
        self.pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.clone(),
                Piece::Hole(hole) => value(hole),
            })
            .collect()
    }
}

impl Hole {
    fn parse(name: &str) -> Result<Hole, BadTemplate> {
        let parts: Vec<&str> = name.split('.').collect();
        match parts[..] {
            ["port"] => Ok(Hole::Port),
            ["worker", "number"] => Ok(Hole::WorkerNumber),
            ["sql", sql, "host"] => Ok(Hole::SqlHost(sql.to_owned())),
            ["sql", sql, "port"] => Ok(Hole::SqlPort(sql.to_owned())),
            ["env", variable] if !variable.is_empty() => Ok(Hole::Env(variable.to_owned())),
            _ => Err(BadTemplate {
                hole: format!("${{{name}}}"),
                remedy:
                    "There are ${port}, ${worker.number}, ${sql.NAME.host}, ${sql.NAME.port} and ${env.NAME}; write $${ for a plain ${."
                        .into(),
            }),
        }
    }
}

impl fmt::Display for Hole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hole::Port => write!(f, "${{port}}"),
            Hole::WorkerNumber => write!(f, "${{worker.number}}"),
            Hole::SqlHost(name) => write!(f, "${{sql.{name}.host}}"),
            Hole::SqlPort(name) => write!(f, "${{sql.{name}.port}}"),
            Hole::Env(name) => write!(f, "${{env.{name}}}"),
        }
    }
}
