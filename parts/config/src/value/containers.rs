//! Kinds made of another: it may be missing, be several, or carry names.

use std::collections::BTreeMap;

use crate::{
    declare::{Reader, Set, Shape, Value},
    problem::Origin,
    tree::{Data, Node, join},
};

impl<T: Value> Value for Option<T> {
    const KIND: &'static str = T::KIND;
    fn shape() -> Shape {
        T::shape()
    }
    fn read(node: &Node, path: &str, reader: &mut Reader) -> Option<Self> {
        T::read(node, path, reader).map(Some)
    }
    fn unset() -> Option<Self> {
        Some(None)
    }
    fn show(node: &Node) -> String {
        T::show(node)
    }
}

/// One value, or a list of them.
#[derive(Clone, Debug)]
pub(crate) struct OneOrMany<T>(pub Vec<Set<T>>);

impl<T: Value> Value for OneOrMany<T> {
    const KIND: &'static str = T::KIND;
    fn read(node: &Node, path: &str, reader: &mut Reader) -> Option<Self> {
        let node = node.structured();
        match &node.data {
            Data::Array(_) => List::read(&node, path, reader).map(|list: List<T>| OneOrMany(list.0)),
            _ => {
                let value = T::read(&node, path, reader)?;
                Some(OneOrMany(vec![Set { value, origin: node.origin.clone(), path: path.to_owned() }]))
            }
        }
    }
}

/// A list of values, or `[[name]]` tables.
#[derive(Clone, Debug)]
pub(crate) struct List<T>(pub Vec<Set<T>>);

impl<T: Value> Value for List<T> {
    const KIND: &'static str = "a list";
    fn shape() -> Shape {
        match T::shape() {
            Shape::Table(schema) => Shape::List(schema),
            _ => Shape::Leaf,
        }
    }
    fn read(node: &Node, path: &str, reader: &mut Reader) -> Option<Self> {
        let node = node.structured();
        let items = match &node.data {
            Data::Array(items) => items,
            Data::Untyped(_) => return T::read(&node, path, reader).map(|value| List(vec![set(value, &node.origin, path)])),
            _ => {
                let remedy = match T::shape() {
                    Shape::Table(_) => format!("Write [[{path}]], with two brackets, for each."),
                    _ => format!("Write [{}].", node.toml()),
                };
                reader.problem(&node.origin, path, format!("must be a list, not {}", node.kind()), remedy);
                return None;
            }
        };
        let read = items.iter().enumerate().filter_map(|(i, item)| {
            let path = format!("{path}[{i}]");
            T::read(item, &path, reader).map(|value| set(value, &item.origin, &path))
        });
        Some(List(read.collect()))
    }
    fn unset() -> Option<Self> {
        Some(List(vec![]))
    }
    fn show(node: &Node) -> String {
        match &node.structured().data {
            Data::Array(items) => format!("[{}]", items.iter().map(T::show).collect::<Vec<_>>().join(", ")),
            _ => T::show(node),
        }
    }
}

pub(super) fn set<T>(value: T, origin: &Origin, path: &str) -> Set<T> {
    Set { value, origin: origin.clone(), path: path.to_owned() }
}

/// `[pool.NAME]`: tables named by the user. The map holds every name that was written; `None` where the table itself had a problem,
/// so that a reference to it is not reported as dangling on top.
#[derive(Clone, Debug)]
pub(crate) struct Named<T>(pub BTreeMap<String, Option<Set<T>>>);

/// Characters of a name: it appears in metrics, logs and `${...}`.
const NAME_LENGTH_MAX: usize = 32;

impl<T: Value> Value for Named<T> {
    const KIND: &'static str = "tables with names";
    fn shape() -> Shape {
        match T::shape() {
            Shape::Table(schema) => Shape::Named(schema),
            other => other,
        }
    }
    fn read(node: &Node, path: &str, reader: &mut Reader) -> Option<Self> {
        let Data::Table(entries) = &node.data else {
            let remedy = format!("Write [{path}.NAME] with a name of your choice.");
            reader.problem(&node.origin, path, format!("must be a table, not {}", node.kind()), remedy);
            return None;
        };
        let mut named = BTreeMap::new();
        for entry in entries {
            let path = join(path, &entry.key);
            let plain = entry.key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
            if !plain || entry.key.is_empty() || entry.key.len() > NAME_LENGTH_MAX {
                let remedy = format!("Use at most {NAME_LENGTH_MAX} letters, digits, - and _.");
                reader.problem(&entry.key_origin, &path, format!("{:?} is not a name", entry.key), remedy);
            }
            if !matches!(entry.node.data, Data::Table(_)) {
                let what = format!("must be a table, not {} ({})", entry.node.kind(), entry.node.toml());
                let section = path.rsplit_once('.').map_or(path.as_str(), |(section, _)| section);
                reader.problem(&entry.node.origin, &path, what, format!("Write [{section}.NAME] with a name of your choice."));
                named.insert(entry.key.clone(), None);
                continue;
            }
            let value = T::read(&entry.node, &path, reader).map(|value| set(value, &entry.key_origin, &path));
            named.insert(entry.key.clone(), value);
        }
        Some(Named(named))
    }
    fn unset() -> Option<Self> {
        Some(Named(BTreeMap::new()))
    }
}
