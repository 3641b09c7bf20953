//! How an application is started: its command line and its environment.

use std::collections::BTreeMap;

use super::containers::set;
use crate::{
    declare::{Reader, Set, Shape, Value},
    problem::Origin,
    template::Template,
    tree::{Data, Node, join},
};

/// Environment variables: names of the user's choice, values with `${...}`.
#[derive(Clone, Debug)]
pub(crate) struct Variables(pub BTreeMap<String, Set<Template>>);

impl Value for Variables {
    const KIND: &'static str = "a table of strings";
    fn shape() -> Shape {
        Shape::Strings
    }
    fn read(node: &Node, path: &str, reader: &mut Reader) -> Option<Self> {
        let node = node.structured();
        let Data::Table(entries) = &node.data else {
            let remedy = "Write { NAME = \"value\" }.";
            reader.problem(&node.origin, path, format!("must be a table of strings, not {} ({})", node.kind(), node.toml()), remedy);
            return None;
        };
        let mut variables = BTreeMap::new();
        for entry in entries {
            let path = join(path, &entry.key);
            if entry.key.is_empty() || entry.key.contains(['=', '\0']) {
                reader.problem(
                    &entry.key_origin,
                    &path,
                    "is not a name of an environment variable",
                    "Names have no = in them and are not empty.",
                );
            }
            if entry.key == "PORT" {
                let remedy = "Remove it; the application must listen on the $PORT it is given. ${port} puts it into other variables.";
                reader.problem(&entry.key_origin, &path, "is chosen by Pumasi for each worker", remedy);
            }
            let text = match &entry.node.data {
                Data::String(text) | Data::Untyped(text) => text.clone(),
                // What an environment variable says is text anyway: 3306 and "3306" mean the same.
                Data::Integer(_) | Data::Boolean(_) => entry.node.toml(),
                _ => {
                    let what = format!("must be a string, not {} ({})", entry.node.kind(), entry.node.toml());
                    reader.problem(&entry.node.origin, &path, what, "Write it in quotes.");
                    continue;
                }
            };
            if let Some(template) = read_template(&text, &entry.node.origin, &path, reader) {
                variables.insert(entry.key.clone(), set(template, &entry.node.origin, &path));
            }
        }
        Some(Variables(variables))
    }
    fn unset() -> Option<Self> {
        Some(Variables(BTreeMap::new()))
    }
}

fn read_template(text: &str, origin: &Origin, path: &str, reader: &mut Reader) -> Option<Template> {
    if text.contains('\0') {
        reader.problem(origin, path, "holds a NUL character", "No environment variable or argument can.");
        return None;
    }
    match Template::parse(text) {
        Ok(template) => Some(template),
        Err(bad) => {
            reader.problem(origin, path, format!("{text:?}: {} cannot be filled in", bad.hole), bad.remedy);
            None
        }
    }
}

/// A command line: a string for the shell, or a list of arguments that are run as they are.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    Shell(String),
    Program(Vec<Template>),
}

impl Value for Command {
    const KIND: &'static str = "a command such as \"npm start\" or [\"npm\", \"start\"]";
    fn read(node: &Node, path: &str, reader: &mut Reader) -> Option<Self> {
        match &node.data {
            Data::String(text) | Data::Untyped(text) if text.trim().is_empty() => {
                reader.problem(&node.origin, path, "is empty", "Write the command that starts your application, such as \"npm start\".");
                None
            }
            Data::String(text) | Data::Untyped(text) if text.contains('\0') => {
                reader.problem(&node.origin, path, "holds a NUL character", "No command line can.");
                None
            }
            Data::String(text) | Data::Untyped(text) => Some(Command::Shell(text.clone())),
            Data::Array(items) if items.is_empty() => {
                reader.problem(
                    &node.origin,
                    path,
                    "is empty",
                    "Write the command that starts your application, such as [\"npm\", \"start\"].",
                );
                None
            }
            Data::Array(items) => {
                let arguments = items.iter().enumerate().map(|(i, item)| {
                    let path = format!("{path}[{i}]");
                    match &item.data {
                        Data::String(text) | Data::Untyped(text) => read_template(&shell_port(text), &item.origin, &path, reader),
                        _ => {
                            let what = format!("must be a string, not {} ({})", item.kind(), item.toml());
                            reader.problem(&item.origin, &path, what, "Write it in quotes.");
                            None
                        }
                    }
                });
                let arguments: Vec<Option<Template>> = arguments.collect();
                arguments.into_iter().collect::<Option<Vec<_>>>().map(Command::Program)
            }
            _ => {
                let what = format!("must be a command, not {} ({})", node.kind(), node.toml());
                reader.problem(&node.origin, path, what, "Write it in quotes, or as a list of strings.");
                None
            }
        }
    }
}

/// `$PORT` is what every manual writes; where no shell stands in between, we put the port in ourselves.
fn shell_port(argument: &str) -> String {
    argument.replace("$PORT", "${port}")
}
