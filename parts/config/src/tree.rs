//! What was written, with the place of everything.

use std::ops::Range;

use toml_edit::{Document, Item, TableLike, Value as TomlValue};

use crate::problem::{Origin, Problem};

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub origin: Origin,
    pub data: Data,
}

#[derive(Clone, Debug)]
pub(crate) enum Data {
    /// From the environment or a flag: it has the type that the key wants.
    Untyped(String),
    String(String),
    Integer(i64),
    Boolean(bool),
    /// A number with a point, or a date: nothing that a key of ours takes. Kept as it was written.
    Other {
        kind: &'static str,
        text: String,
    },
    Array(Vec<Node>),
    Table(Vec<Entry>),
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub key: String,
    pub key_origin: Origin,
    pub node: Node,
}

impl Node {
    pub fn empty_table(origin: Origin) -> Node {
        Node { origin, data: Data::Table(vec![]) }
    }

    /// Errors: the text is not TOML; the parser stops at the first such place.
    pub fn parse(text: &str) -> Result<Node, Problem> {
        let document = Document::parse(text).map_err(|error| Problem {
            origin: Origin::File(error.span().unwrap_or(0..0)),
            key: String::new(),
            what: format!("not TOML: {}", error.message().trim_end_matches('.').replace('\n', "; ")),
            remedy: match error.message().contains("duplicate") {
                true => "Keep one of the two.".into(),
                false => "Strings need quotes, tables a header like [edge] on a line of their own.".into(),
            },
        })?;
        Ok(of_table(document.as_table(), Origin::File(0..0)))
    }

    /// A value as it stands right of a `=`. Panics if it is not TOML: only for texts that are part of the program.
    pub fn of_default(toml: &str) -> Node {
        let mut node = Node::of_toml_value(toml, &Origin::Default).expect("defaults are TOML: checked by a test");
        node.set_origin(&Origin::Default);
        node
    }

    fn of_toml_value(toml: &str, origin: &Origin) -> Option<Node> {
        let document = Document::parse(format!("value = {toml}")).ok()?;
        let mut node = of_item(document.get("value")?, origin.clone())?;
        node.set_origin(origin);
        Some(node)
    }

    fn set_origin(&mut self, origin: &Origin) {
        self.origin = origin.clone();
        match &mut self.data {
            Data::Array(nodes) => nodes.iter_mut().for_each(|node| node.set_origin(origin)),
            Data::Table(entries) => entries.iter_mut().for_each(|entry| {
                entry.key_origin = origin.clone();
                entry.node.set_origin(origin);
            }),
            _ => {}
        }
    }

    /// An array or table given as text by the environment or a flag: TOML when it looks like it, else comma-separated.
    pub fn structured(&self) -> Node {
        let Data::Untyped(text) = &self.data else { return self.clone() };
        let looks_like_toml = text.trim_start().starts_with(['[', '{']);
        match Node::of_toml_value(text.trim(), &self.origin) {
            Some(node) if looks_like_toml => node,
            _ if text.contains(',') => {
                let items = text.split(',').map(|item| Node { origin: self.origin.clone(), data: Data::Untyped(item.trim().to_owned()) });
                Node { origin: self.origin.clone(), data: Data::Array(items.collect()) }
            }
            _ => self.clone(),
        }
    }

    /// How a message names what was written instead of the wanted kind.
    pub fn kind(&self) -> &'static str {
        match &self.data {
            Data::Untyped(_) => "text",
            Data::String(_) => "a string",
            Data::Integer(_) => "a number",
            Data::Boolean(_) => "true or false",
            Data::Other { kind, .. } => kind,
            Data::Array(_) => "an array",
            Data::Table(_) => "a table",
        }
    }

    /// The value as TOML, on one line.
    pub fn toml(&self) -> String {
        match &self.data {
            Data::Untyped(text) | Data::String(text) => quoted(text),
            Data::Integer(number) => number.to_string(),
            Data::Boolean(value) => value.to_string(),
            Data::Other { text, .. } => text.clone(),
            Data::Array(nodes) => format!("[{}]", nodes.iter().map(Node::toml).collect::<Vec<_>>().join(", ")),
            Data::Table(entries) if entries.is_empty() => "{}".into(),
            Data::Table(entries) => {
                let pairs: Vec<String> = entries.iter().map(|entry| format!("{} = {}", key(&entry.key), entry.node.toml())).collect();
                format!("{{ {} }}", pairs.join(", "))
            }
        }
    }

    pub fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.data {
            Data::Table(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }
}

/// A path one key longer.
pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// A TOML basic string.
pub fn quoted(text: &str) -> String {
    TomlValue::from(text).to_string()
}

fn key(key: &str) -> String {
    let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if bare { key.to_owned() } else { quoted(key) }
}

fn of_table(table: &dyn TableLike, origin: Origin) -> Node {
    let entries = table.iter().filter_map(|(name, item)| {
        let key_span = table.get_key_value(name).and_then(|(key, _)| key.span());
        let key_origin = key_span.map_or(origin.clone(), Origin::File);
        Some(Entry { key: name.to_owned(), node: of_item(item, key_origin.clone())?, key_origin })
    });
    Node { data: Data::Table(entries.collect()), origin }
}

/// `around` is used for what has no place of its own (a table made by a dotted key).
fn of_item(item: &Item, around: Origin) -> Option<Node> {
    let origin = item.span().map_or(around, Origin::File);
    match item {
        Item::None => None,
        Item::Value(value) => Some(of_value(value, origin)),
        Item::Table(table) => Some(of_table(table, origin)),
        Item::ArrayOfTables(tables) => {
            let nodes = tables.iter().map(|table| of_table(table, table.span().map_or(origin.clone(), Origin::File)));
            Some(Node { data: Data::Array(nodes.collect()), origin })
        }
    }
}

fn of_value(value: &TomlValue, origin: Origin) -> Node {
    let place = |span: Option<Range<usize>>| span.map_or(origin.clone(), Origin::File);
    let data = match value {
        TomlValue::String(text) => Data::String(text.value().clone()),
        TomlValue::Integer(number) => Data::Integer(*number.value()),
        TomlValue::Boolean(value) => Data::Boolean(*value.value()),
        TomlValue::Float(number) => Data::Other { kind: "a number with a point", text: number.value().to_string() },
        TomlValue::Datetime(date) => Data::Other { kind: "a date", text: date.value().to_string() },
        TomlValue::Array(array) => Data::Array(array.iter().map(|item| of_value(item, place(item.span()))).collect()),
        TomlValue::InlineTable(table) => return of_table(table, origin),
    };
    Node { data, origin }
}
