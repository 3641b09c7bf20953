//! A table of a scenario file being read: every key is asked for once, what nobody asked for is unknown.

use crate::quantity;
use pumasi_config::{Origin, Problem, nearest};
use std::{cell::RefCell, ops::Range, time::Duration};
use toml_edit::{Document, Item, TableLike, Value};

type Place = Range<usize>;

/// Collects what is wrong, so that all of it is told at once.
#[derive(Default)]
pub struct Reader {
    problems: RefCell<Vec<Problem>>,
}

pub struct Section<'d> {
    path: String,
    place: Place,
    table: &'d dyn TableLike,
    /// Keys that exist here: those that were asked for.
    known: RefCell<Vec<&'static str>>,
    reader: &'d Reader,
}

impl Reader {
    pub fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }

    fn add(&self, place: Place, key: &str, what: impl Into<String>, remedy: impl Into<String>) {
        let problem = Problem { origin: Origin::File(place), key: key.to_string(), what: what.into(), remedy: remedy.into() };
        self.problems.borrow_mut().push(problem);
    }
}

impl<'d> Section<'d> {
    pub fn root(document: &'d Document<&str>, reader: &'d Reader) -> Section<'d> {
        Section { path: String::new(), place: 0..0, table: document.as_table(), known: RefCell::default(), reader }
    }

    /// Reports what is not a table.
    pub fn of(item: &'d Item, path: &str, place: Place, reader: &'d Reader) -> Option<Section<'d>> {
        match item.as_table_like() {
            Some(table) => Some(Section { path: path.to_string(), place, table, known: RefCell::default(), reader }),
            None => {
                reader.add(place, path, format!("must be a table, not {}", kind(item)), "Write it as { key = value }.");
                None
            }
        }
    }

    fn of_value(value: &'d Value, path: String, reader: &'d Reader) -> Option<Section<'d>> {
        let place = value.span().unwrap_or(0..0);
        match value.as_inline_table() {
            Some(table) => Some(Section { path, place, table, known: RefCell::default(), reader }),
            None => {
                reader.add(place, &path, format!("must be a table, not {}", value.type_name()), "Write it as { key = value }.");
                None
            }
        }
    }

    // === keys ===

    /// The item, whatever its type. Marks the key as known.
    pub fn raw(&self, key: &'static str) -> Option<&'d Item> {
        self.known.borrow_mut().push(key);
        self.table.get(key).filter(|item| !item.is_none())
    }

    pub fn section(&self, key: &'static str) -> Option<Section<'d>> {
        let item = self.raw(key)?;
        Section::of(item, &self.join(key), self.place_of(key), self.reader)
    }

    /// `[[key]]`, or an array of inline tables.
    pub fn array_of_sections(&self, key: &'static str, max: usize) -> Vec<Section<'d>> {
        let Some(item) = self.raw(key) else { return Vec::new() };
        let path = self.join(key);
        let sections: Vec<Section> = match item {
            Item::ArrayOfTables(tables) => tables
                .iter()
                .map(|table| Section {
                    path: path.clone(),
                    place: table.span().unwrap_or(0..0),
                    table,
                    known: RefCell::default(),
                    reader: self.reader,
                })
                .collect(),
            Item::Value(Value::Array(array)) => {
                array.iter().filter_map(|value| Section::of_value(value, path.clone(), self.reader)).collect()
            }
            _ => {
                self.wrong(key, "an array of tables", item, "Write it as [ { ... }, { ... } ].");
                Vec::new()
            }
        };
        if sections.len() > max {
            self.problem_at(self.place_of(key), key, format!("has {} entries", sections.len()), format!("There may be {max}."));
        }
        sections
    }

    pub fn string(&self, key: &'static str) -> Option<(String, Place)> {
        let item = self.raw(key)?;
        match item.as_str() {
            Some(text) => Some((text.to_string(), self.place_of(key))),
            None => {
                self.wrong(key, "a string", item, "Write it in quotes.");
                None
            }
        }
    }

    pub fn strings(&self, key: &'static str) -> Option<Vec<String>> {
        let item = self.raw(key)?;
        let texts: Option<Vec<String>> =
            item.as_array().and_then(|array| array.iter().map(|value| value.as_str().map(str::to_string)).collect());
        if texts.is_none() {
            self.wrong(key, "an array of strings", item, "Write it as [\"a\", \"b\"].");
        }
        texts
    }

    pub fn duration(&self, key: &'static str) -> Option<Duration> {
        let (text, place) = self.string(key)?;
        quantity::duration(&text).map_err(|reason| self.problem_at(place, key, reason, "Units are us, ms, s, m, h.")).ok()
    }

    pub fn boolean(&self, key: &'static str) -> Option<bool> {
        let item = self.raw(key)?;
        if item.as_bool().is_none() {
            self.wrong(key, "true or false", item, "Write it without quotes.");
        }
        item.as_bool()
    }

    pub fn integer(&self, key: &'static str, min: i64, max: i64) -> Option<i64> {
        let item = self.raw(key)?;
        match item.as_integer() {
            Some(number) if (min..=max).contains(&number) => Some(number),
            Some(number) => {
                self.problem_at(self.place_of(key), key, format!("{number} is out of range"), format!("It may be {min} to {max}."));
                None
            }
            None => {
                self.wrong(key, "a whole number", item, "Write it without quotes and without a point.");
                None
            }
        }
    }

    pub fn number(&self, key: &'static str, min: f64, max: f64) -> Option<(f64, Place)> {
        let item = self.raw(key)?;
        let place = self.place_of(key);
        match item.as_float().or(item.as_integer().map(|number| number as f64)) {
            Some(number) if number >= min && number <= max => Some((number, place)),
            Some(number) => {
                self.problem_at(place, key, format!("{number} is out of range"), format!("It may be {min} to {max}."));
                None
            }
            None => {
                self.wrong(key, "a number", item, "Write it without quotes.");
                None
            }
        }
    }

    /// A table of names and texts; numbers and booleans are taken as they are written.
    pub fn pairs(&self, key: &'static str) -> Vec<(String, String)> {
        self.pairs_with_places(key).into_iter().map(|(name, text, _)| (name, text)).collect()
    }

    pub fn pairs_with_places(&self, key: &'static str) -> Vec<(String, String, Place)> {
        let Some(section) = self.section(key) else { return Vec::new() };
        let mut pairs = Vec::new();
        for (name, place, item) in section.entries() {
            match item.as_value() {
                Some(Value::String(text)) => pairs.push((name, text.value().clone(), place)),
                Some(value @ (Value::Integer(_) | Value::Float(_) | Value::Boolean(_))) => {
                    pairs.push((name, value.to_string().trim().to_string(), place));
                }
                _ => section.problem_at(place, &name, format!("must be a string, not {}", kind(item)), "Write it in quotes."),
            }
        }
        pairs
    }

    /// Everything in the table, for tables whose keys are the user's.
    pub fn entries(&self) -> Vec<(String, Place, &'d Item)> {
        self.table.iter().map(|(name, item)| (name.to_string(), item.span().unwrap_or(self.place.clone()), item)).collect()
    }

    pub fn has(&self, key: &'static str) -> bool {
        self.raw(key).is_some()
    }

    pub fn reader(&self) -> &'d Reader {
        self.reader
    }

    // === problems ===

    /// Call when everything was asked for: what is left is unknown.
    pub fn finish(&self) {
        let known = self.known.borrow();
        for (name, item) in self.table.iter() {
            if item.is_none() || known.contains(&name) {
                continue;
            }
            let place = self.table.get_key_value(name).and_then(|(key, _)| key.span()).unwrap_or(self.place.clone());
            let remedy = match nearest(name, known.iter().copied()) {
                Some(near) => format!("Did you mean {near}?"),
                None => format!("Known here: {}.", known.join(", ")),
            };
            self.reader.add(place, &self.join(name), "unknown key", remedy);
        }
    }

    pub fn problem(&self, what: impl Into<String>, remedy: impl Into<String>) {
        self.reader.add(self.place.clone(), &self.path, what, remedy);
    }

    pub fn problem_at(&self, place: Place, key: &str, what: impl Into<String>, remedy: impl Into<String>) {
        self.reader.add(place, &self.join(key), what, remedy);
    }

    pub fn place_of(&self, key: &str) -> Place {
        self.table.get(key).and_then(Item::span).unwrap_or(self.place.clone())
    }

    fn wrong(&self, key: &str, wanted: &str, item: &Item, remedy: &str) {
        self.problem_at(self.place_of(key), key, format!("must be {wanted}, not {}", kind(item)), remedy);
    }

    fn join(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_string() } else { format!("{}.{key}", self.path) }
    }
}

fn kind(item: &Item) -> &'static str {
    match item {
        Item::Value(value) => value.type_name(),
        Item::Table(_) => "a table",
        Item::ArrayOfTables(_) => "an array of tables",
        Item::None => "nothing",
    }
}
