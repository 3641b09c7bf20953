//! `pumasi.toml` to a checked plan; every key documented on its type.
//!
//! Text goes in, a [`Plan`] or all [`Problems`] come out; files and the environment are read by the caller.
//! The flow: [`tree`](self) keeps what was written with its places, `keys` declares what may be written, `resolve` checks what hangs
//! together, [`plan`](Plan) is what the tiers get.
mod declare;
mod keys;
mod nearest;
mod network;
mod overlay;
mod plan;
mod problem;
mod reference;
mod resolve;
mod template;
mod tree;
mod value;

use std::{collections::BTreeMap, path::PathBuf};

pub use declare::Setting;
use declare::{Reader, Value};
pub use nearest::nearest;
pub use network::{BadNetwork, Network};
pub use plan::*;
pub use problem::{Origin, Problem, Problems};
pub use reference::{markdown, sample};
pub use template::{BadTemplate, Hole, Template};
use tree::Node;
pub use tree::quoted;

/// A configuration's text.
#[derive(Clone, Debug)]
pub struct Source {
    /// As messages call it: the path the user gave, or words in parentheses for a built-in text.
    pub name: String,
    pub text: String,
    /// Relative paths start here.
    pub directory: PathBuf,
}

/// What else decides about values.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The process's environment. `PUMASI__...` overrides keys; the rest serves `${env.NAME}`.
    pub environment: BTreeMap<String, String>,
    /// Flags of the command line; they win over everything.
    pub flags: Vec<Flag>,
    /// Cores of the machine: the default number of event loops.
    pub cores: usize,
}

/// A key set on the command line.
#[derive(Clone, Debug)]
pub struct Flag {
    /// As the user typed it: `--listen`.
    pub name: String,
    /// `edge.listen`
    pub key: String,
    pub value: String,
}

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub plan: Plan,
    /// Every effective value with its origin, in the order of the reference.
    pub settings: Vec<Setting>,
}

/// The prefix of environment variables that override keys.
const PREFIX: &str = "PUMASI__";

/// Reads and checks a configuration. All problems are collected, except that a text which is not TOML has only that one.
pub fn load(source: &Source, surroundings: &Surroundings) -> Result<Loaded, Problems> {
    let mut root = Node::parse(&source.text).map_err(|problem| Problems::new(source, vec![problem], None))?;
    let mut reader = Reader::default();
    lay_over(&mut root, surroundings, &mut reader);
    let file = keys::File::read(&root, "", &mut reader);
    let mut checker = Reader::default();
    let plan = file.and_then(|file| resolve::resolve(&file, &source.directory, surroundings, &mut checker));
    let follows_from_another = |problem: &Problem| reader.problems.iter().any(|first| related(&first.key, &problem.key));
    checker.problems.retain(|problem| !follows_from_another(problem));
    reader.problems.append(&mut checker.problems);
    match plan {
        Some(plan) if reader.problems.is_empty() => Ok(Loaded { plan, settings: reader.settings }),
        _ => Err(Problems::new(source, reader.problems, Some(reader.secrets))),
    }
}

/// Whether a contradiction at `later` may come from the value at `first` having been replaced by its default: one is part of the other,
/// or a route could not be read and its pool seems unused.
fn related(first: &str, later: &str) -> bool {
    let part_of = |a: &str, b: &str| a.strip_prefix(b).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
    part_of(first, later) || part_of(later, first) || (first.starts_with("edge.route") && later.starts_with("pool"))
}

/// The environment first, then the flags, so that the flags win.
fn lay_over(root: &mut Node, surroundings: &Surroundings, reader: &mut Reader) {
    for (name, value) in &surroundings.environment {
        let Some(path) = name.strip_prefix(PREFIX) else { continue };
        let path: Vec<&str> = path.split("__").collect();
        if let Err(problem) = root.lay_over(keys::File::SCHEMA, &path, value, &Origin::Environment(name.clone())) {
            reader.problems.push(problem);
        }
    }
    for flag in &surroundings.flags {
        let path: Vec<&str> = flag.key.split('.').collect();
        if let Err(problem) = root.lay_over(keys::File::SCHEMA, &path, &flag.value, &Origin::Flag(flag.name.clone())) {
            reader.problems.push(problem);
        }
    }
}

/// The text of the configuration that `pumasi run -- COMMAND` uses where there is no file.
pub fn text_for_command(command: &[String]) -> String {
    let arguments: Vec<String> = command.iter().map(|argument| quoted(argument)).collect();
    format!("[pool.app]\ncommand = [{}]\n", arguments.join(", "))
}

#[cfg(test)]
mod tests;
