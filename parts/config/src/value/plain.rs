//! Strings, numbers, switches, paths, and what must not be shown.

use std::path::PathBuf;

use super::{Text, Wrong};
use crate::{
    declare::{Reader, Value},
    tree::{Data, Node},
};

impl Text for String {
    const KIND: &'static str = "a string";
    fn parse(text: &str) -> Result<String, Wrong> {
        if text.is_empty() {
            return Err(Wrong::new("is empty", "Write something, or remove the key."));
        }
        Ok(text.to_owned())
    }
}

/// A file or directory; a relative one starts at the configuration file's directory.
#[derive(Clone, Debug)]
pub(crate) struct Path(pub PathBuf);

impl Text for Path {
    const KIND: &'static str = "a path in quotes";
    fn parse(text: &str) -> Result<Path, Wrong> {
        String::parse(text).map(|text| Path(text.into()))
    }
}

/// Never shown.
#[derive(Clone)]
pub(crate) struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Text for Secret {
    const KIND: &'static str = "a string";
    const SECRET: bool = true;
    fn parse(text: &str) -> Result<Secret, Wrong> {
        Ok(Secret(text.to_owned()))
    }
}

impl Value for bool {
    const KIND: &'static str = "true or false";
    fn read(node: &Node, path: &str, reader: &mut Reader) -> Option<bool> {
        match &node.data {
            Data::Boolean(value) => Some(*value),
            Data::Untyped(text) if text == "true" => Some(true),
            Data::Untyped(text) if text == "false" => Some(false),
            _ => {
                reader.problem(&node.origin, path, format!("must be true or false, not {}", node.toml()), "Write it without quotes.");
                None
            }
        }
    }
    fn show(node: &Node) -> String {
        bare(node)
    }
}

/// What came as text from the environment, of a kind that the file writes without quotes.
fn bare(node: &Node) -> String {
    match &node.data {
        Data::Untyped(text) => text.trim().to_owned(),
        _ => node.toml(),
    }
}

/// A whole number from `MIN` to `MAX`, both included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count<const MIN: u32, const MAX: u32>(pub u32);

impl<const MIN: u32, const MAX: u32> Value for Count<MIN, MAX> {
    const KIND: &'static str = "a whole number";
    fn read(node: &Node, path: &str, reader: &mut Reader) -> Option<Self> {
        let number = match &node.data {
            Data::Integer(number) => Some(*number),
            Data::Untyped(text) => text.trim().parse().ok(),
            _ => None,
        };
        let Some(number) = number else {
            let remedy = format!("Write a number from {MIN} to {MAX}, without quotes.");
            reader.problem(&node.origin, path, format!("must be a whole number, not {} ({})", node.kind(), node.toml()), remedy);
            return None;
        };
        match u32::try_from(number) {
            Ok(count) if (MIN..=MAX).contains(&count) => Some(Count(count)),
            _ => {
                reader.problem(&node.origin, path, format!("{number} is out of range"), format!("Choose a number from {MIN} to {MAX}."));
                None
            }
        }
    }
    fn show(node: &Node) -> String {
        bare(node)
    }
}

written_as_string!(String, Path, Secret);
