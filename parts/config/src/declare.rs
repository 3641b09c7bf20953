//! One declaration per key: its doc comment, kind and default make the parser, the reference and the sample file.

use crate::{
    nearest::nearest,
    problem::{Origin, Problem},
    tree::{Data, Node, join},
};

/// A table of the file and what may stand in it.
pub(crate) struct Schema {
    /// The lines of its doc comment.
    pub doc: &'static [&'static str],
    pub keys: &'static [Key],
}

pub(crate) struct Key {
    pub name: &'static str,
    /// The lines of its doc comment: what, unit and default, when to change it.
    pub doc: &'static [&'static str],
    pub given: Given,
    /// Names the kind of value: `a duration such as "2s"`.
    pub kind: &'static str,
    pub shape: fn() -> Shape,
    /// Reads a value of the key's kind and throws it away: for the tests of defaults and examples.
    #[cfg(test)]
    pub try_read: fn(&Node, &mut Reader),
}

/// What happens when nobody writes the key.
#[derive(Clone, Copy)]
pub(crate) enum Given {
    /// This TOML value is taken.
    Default(&'static str),
    /// Nothing is set. `example` is a TOML value for the sample.
    Unset { means: &'static str, example: &'static str },
    /// A mistake.
    Required { example: &'static str },
    /// A table of its own: its keys have their defaults.
    Table,
}

#[derive(Clone, Copy)]
pub(crate) enum Shape {
    Leaf,
    /// A table whose keys the user chooses and whose values are strings.
    Strings,
    Table(&'static Schema),
    /// `[[name]]`
    List(&'static Schema),
    /// `[name.NAME]`
    Named(&'static Schema),
}

/// A kind of value.
pub(crate) trait Value: Sized {
    const KIND: &'static str;
    fn shape() -> Shape {
        Shape::Leaf
    }
    /// `None` after a problem was reported. What can be read beside the problem is returned, so that it is checked as well.
    fn read(node: &Node, path: &str, reader: &mut Reader) -> Option<Self>;
    /// The value of a key that was not written and is `Given::Unset`.
    fn unset() -> Option<Self> {
        None
    }
    /// As `config show` prints it: secrets masked.
    fn show(node: &Node) -> String {
        node.toml()
    }
}

/// A value and who set it.
#[derive(Clone, Debug)]
pub(crate) struct Set<T> {
    pub value: T,
    pub origin: Origin,
    pub path: String,
}

impl<T> Set<T> {
    pub fn written(&self) -> bool {
        self.origin != Origin::Default
    }

    /// Where the value was written, or else where its table was.
    pub fn origin_or(&self, table: &Origin) -> Origin {
        if self.written() { self.origin.clone() } else { table.clone() }
    }
}

/// One effective value, for `config show`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// `edge.limits.header_timeout`
    pub path: String,
    /// TOML, secrets masked; `None`: nothing is set, and `unset` says what that means.
    pub value: Option<String>,
    pub unset: Option<&'static str>,
    pub origin: Origin,
}

/// Collects every problem and every setting while a tree is read.
#[derive(Default)]
pub(crate) struct Reader {
    pub problems: Vec<Problem>,
    pub settings: Vec<Setting>,
    /// Where passwords stand in the file: excerpts in messages mask them.
    pub secrets: Vec<std::ops::Range<usize>>,
}

impl Reader {
    pub fn secret(&mut self, origin: &Origin) {
        if let Origin::File(span) = origin {
            self.secrets.push(span.clone());
        }
    }

    pub fn problem(&mut self, origin: &Origin, key: &str, what: impl Into<String>, remedy: impl Into<String>) {
        self.problems.push(Problem { origin: origin.clone(), key: key.into(), what: what.into(), remedy: remedy.into() });
    }

    /// Checks that the node is a table and that it holds no unknown key.
    pub fn table(&mut self, node: &Node, path: &str, schema: &'static Schema) -> bool {
        let Data::Table(entries) = &node.data else {
            self.problem(
                &node.origin,
                path,
                format!("must be a table, not {}", node.kind()),
                format!("Write [{path}] on a line of its own."),
            );
            return false;
        };
        for entry in entries.iter().filter(|entry| !schema.keys.iter().any(|key| key.name == entry.key)) {
            if path.is_empty()
                && let Some((_, what)) = NOT_YET.iter().find(|(key, _)| *key == entry.key)
            {
                self.problem(&entry.key_origin, &entry.key, *what, "Remove the section.");
                continue;
            }
            let remedy = match nearest(&entry.key, schema.keys.iter().map(|key| key.name)) {
                Some(near) => format!("Did you mean {near:?}?"),
                None => format!("Known here: {}.", schema.keys.iter().map(|key| key.name).collect::<Vec<_>>().join(", ")),
            };
            self.problem(&entry.key_origin, path, format!("unknown key {:?}", entry.key), remedy);
        }
        true
    }

    /// Reads one key of a table that `table` has accepted.
    pub fn key<T: Value>(&mut self, table: &Node, path: &str, key: &'static Key) -> Option<Set<T>> {
        let path = join(path, key.name);
        let entry = table.entry(key.name);
        if let Some(entry) = entry
            && let Some(value) = T::read(&entry.node, &path, self)
        {
            self.show::<T>(&path, &entry.node);
            return Some(Set { value, origin: entry.node.origin.clone(), path });
        }
        // A value that could not be read was reported: its default stands in, so that the rest is checked in the same run.
        match key.given {
            Given::Default(toml) => {
                let node = Node::of_default(toml);
                let value = T::read(&node, &path, self)?;
                self.show::<T>(&path, &node);
                Some(Set { value, origin: Origin::Default, path })
            }
            Given::Table => {
                let value = T::read(&Node::empty_table(Origin::Default), &path, self)?;
                Some(Set { value, origin: Origin::Default, path })
            }
            Given::Unset { means, .. } => {
                if matches!(T::shape(), Shape::Leaf | Shape::Strings) {
                    self.settings.push(Setting { path: path.clone(), value: None, unset: Some(means), origin: Origin::Default });
                }
                Some(Set { value: T::unset().expect("a kind that may be unset: checked by a test"), origin: Origin::Default, path })
            }
            Given::Required { .. } if entry.is_some() => None,
            Given::Required { example } => {
                self.problem(&table.origin, &path, "is missing", format!("Write {} = {example}, for example.", key.name));
                None
            }
        }
    }

    fn show<T: Value>(&mut self, path: &str, node: &Node) {
        if matches!(T::shape(), Shape::Leaf | Shape::Strings) {
            self.settings.push(Setting { path: path.to_owned(), value: Some(T::show(node)), unset: None, origin: node.origin.clone() });
        }
    }
}

/// Sections of the design that this version does not have: refused by name, not as typing mistakes.
const NOT_YET: &[(&str, &str)] = &[
    ("cache", "this version has no cache tier (Redis and memcached) yet"),
    ("queue", "this version has no queue tier yet"),
    ("dns", "this version has no DNS tier yet"),
    ("files", "this version has no object store yet"),
];

/// Declares a table of the file.
///
/// Each key is `/// doc`, name, kind, `= given`. The doc comment is the reference manual: what it is; the unit; when to change it.
/// The default is not repeated in the text, the reference prints it.
macro_rules! section {
    (
        $(#[doc = $doc:literal])*
        pub(crate) struct $Name:ident {
            $( $(#[doc = $key_doc:literal])* $key:ident : $Kind:ty = $given:expr, )*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug)]
        pub(crate) struct $Name {
            $( $(#[doc = $key_doc])* pub $key: $crate::declare::Set<$Kind>, )*
        }

        impl $Name {
            pub(crate) const SCHEMA: &'static $crate::declare::Schema = &$crate::declare::Schema {
                doc: &[$($doc),*],
                keys: &[$( $crate::declare::Key {
                    name: stringify!($key),
                    doc: &[$($key_doc),*],
                    given: $given,
                    kind: <$Kind as $crate::declare::Value>::KIND,
                    shape: <$Kind as $crate::declare::Value>::shape,
                    #[cfg(test)]
                    try_read: |node, reader| { <$Kind as $crate::declare::Value>::read(node, "test", reader); },
                } ),*],
            };
        }

        impl $crate::declare::Value for $Name {
            const KIND: &'static str = "a table";
            fn shape() -> $crate::declare::Shape {
                $crate::declare::Shape::Table(Self::SCHEMA)
            }
            fn read(node: &$crate::tree::Node, path: &str, reader: &mut $crate::declare::Reader) -> Option<Self> {
                let node = &node.structured();
                if !reader.table(node, path, Self::SCHEMA) {
                    return None;
                }
                let mut keys = Self::SCHEMA.keys.iter();
                // Every key is read before the first missing one ends it, so that all problems are told at once.
                $( let $key = reader.key::<$Kind>(node, path, keys.next().expect("one per field")); )*
                Some($Name { $( $key: $key?, )* })
            }
        }
    };
}
pub(crate) use section;
