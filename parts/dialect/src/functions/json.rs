//! JSON documents: stored as normalized text, members by length and then name, as MySQL prints them.

use std::cmp::Ordering;

use pumasi_mysqlwire::SqlError;
use serde_json::{Map, Value};

use super::{Answer, Arg, Function, Out, nulls, pure};
use crate::error;

pub(super) const FUNCTIONS: &[Function] = &[
    pure("pm_json", 2, |a| Ok(print(&document(a[0], &a[1].text())?).into())),
    pure("pm_json_quote", 1, |a| Ok(quote(&a[0].text()).into())),
    pure("pm_json_double", 1, |a| Ok(double(a[0].real()).into())),
    pure("pm_json_number", 1, |a| {
        Ok(match document(a[0], "number")? {
            Value::Number(n) => n.as_f64().unwrap_or(0.0),
            Value::Bool(b) => f64::from(u8::from(b)),
            Value::String(s) => crate::text::number_prefix(&s).parse().unwrap_or(0.0),
            _ => 0.0,
        }
        .into())
    }),
    pure("pm_json_unquote", 1, |a| {
        let text = a[0].text();
        let trimmed = text.trim();
        if trimmed.len() >= 2
            && trimmed.starts_with('"')
            && trimmed.ends_with('"')
            && let Ok(Value::String(s)) = serde_json::from_str(trimmed)
        {
            return Ok(s.into());
        }
        Ok(text.into_owned().into())
    }),
    pure("pm_json_valid", 1, |a| Ok(serde_json::from_str::<Value>(&a[0].text()).is_ok().into())),
    pure("pm_json_extract", -1, |a| {
        let doc = document(a[0], "json_extract")?;
        let mut found = Vec::new();
        let mut many = a.len() > 2;
        for path in &a[1..] {
            let path = Path::parse(&path.text())?;
            many |= path.wild();
            path.find(&doc, &mut found);
        }
        Ok(if found.is_empty() {
            Out::Null
        } else if many {
            print(&Value::Array(found.into_iter().cloned().collect())).into()
        } else {
            print(found[0]).into()
        })
    }),
    pure("pm_json_keys", -1, |a| {
        let doc = document(a[0], "json_keys")?;
        Ok(at_path(&doc, a.get(1))?
            .and_then(Value::as_object)
            .map(|m| print(&Value::Array(sorted(m).iter().map(|(k, _)| Value::String((*k).clone())).collect())))
            .into())
    }),
    pure("pm_json_length", -1, |a| {
        let doc = document(a[0], "json_length")?;
        let len = |v: &Value| match v {
            Value::Array(items) => items.len() as i64,
            Value::Object(members) => members.len() as i64,
            _ => 1,
        };
        Ok(at_path(&doc, a.get(1))?.map(len).into())
    }),
    pure("pm_json_depth", 1, |a| Ok(depth(&document(a[0], "json_depth")?).into())),
    pure("pm_json_type", 1, |a| {
        Ok(match document(a[0], "json_type")? {
            Value::Null => "NULL",
            Value::Bool(_) => "BOOLEAN",
            Value::Number(n) if n.is_f64() => "DOUBLE",
            Value::Number(n) if n.is_i64() => "INTEGER",
            Value::Number(_) => "UNSIGNED INTEGER",
            Value::String(_) => "STRING",
            Value::Array(_) => "ARRAY",
            Value::Object(_) => "OBJECT",
        }
        .into())
    }),
    pure("pm_json_contains", -1, |a| {
        let (target, candidate) = (document(a[0], "json_contains")?, document(a[1], "json_contains")?);
        Ok(at_path(&target, a.get(2))?.map(|t| contains(t, &candidate)).into())
    }),
    pure("pm_json_contains_path", -1, |a| {
        let doc = document(a[0], "json_contains_path")?;
        let all = a[1].text().eq_ignore_ascii_case("all");
        let mut hits = 0;
        for path in &a[2..] {
            let mut found = Vec::new();
            Path::parse(&path.text())?.find(&doc, &mut found);
            hits += usize::from(!found.is_empty());
        }
        Ok(if all { hits == a.len() - 2 } else { hits > 0 }.into())
    }),
    pure("pm_member_of", 2, |a| {
        let (value, array) = (document(a[0], "member of")?, document(a[1], "member of")?);
        Ok(match &array {
            Value::Array(items) => items.iter().any(|i| compare(i, &value).is_eq()),
            other => compare(other, &value).is_eq(),
        }
        .into())
    }),
    nulls("pm_json_set", -1, |a| change(a, "json_set", true, true)),
    nulls("pm_json_insert", -1, |a| change(a, "json_insert", true, false)),
    nulls("pm_json_replace", -1, |a| change(a, "json_replace", false, true)),
    nulls("pm_json_array_append", -1, |a| {
        if a[0].null() {
            return Ok(Out::Null);
        }
        let mut doc = document(a[0], "json_array_append")?;
        let path = Path::parse(&a[1].text())?;
        let value = if a[2].null() { Value::Null } else { document(a[2], "json_array_append")? };
        if let Some(slot) = path.slot(&mut doc) {
            match slot {
                Value::Array(items) => items.push(value),
                other => *other = Value::Array(vec![other.take(), value]),
            }
        }
        Ok(print(&doc).into())
    }),
    pure("pm_json_remove", -1, |a| {
        let mut doc = document(a[0], "json_remove")?;
        for path in &a[1..] {
            Path::parse(&path.text())?.remove(&mut doc);
        }
        Ok(print(&doc).into())
    }),
    pure("pm_json_merge_patch", -1, |a| {
        let mut doc = document(a[0], "json_merge_patch")?;
        for patch in &a[1..] {
            merge_patch(&mut doc, document(*patch, "json_merge_patch")?);
        }
        Ok(print(&doc).into())
    }),
    pure("pm_json_merge_preserve", -1, |a| {
        let mut doc = document(a[0], "json_merge_preserve")?;
        for other in &a[1..] {
            doc = merge_preserve(doc, document(*other, "json_merge_preserve")?);
        }
        Ok(print(&doc).into())
    }),
    pure("pm_json_pretty", 1, |a| {
        let mut out = String::new();
        pretty(&document(a[0], "json_pretty")?, 0, &mut out);
        Ok(out.into())
    }),
    pure("pm_json_search", 3, |a| {
        let doc = document(a[0], "json_search")?;
        let one = a[1].text().eq_ignore_ascii_case("one");
        let mut found = Vec::new();
        search(&doc, &a[2].text(), "$", &mut found);
        if one {
            found.truncate(1);
        }
        Ok(match found.len() {
            0 => Out::Null,
            1 => quote(&found[0]).into(),
            _ => print(&Value::Array(found.into_iter().map(Value::String).collect())).into(),
        })
    }),
    nulls("pm_json_array", -1, |a| Ok(print(&Value::Array(a.iter().map(|x| member(*x)).collect::<Result<_, _>>()?)).into())),
    nulls("pm_json_object", -1, |a| {
        let mut map = Map::new();
        for pair in a.chunks(2) {
            if pair[0].null() {
                return Err(SqlError::new(3158, "22032", "JSON documents may not contain NULL member names."));
            }
            map.insert(pair[0].text().into_owned(), member(pair[1])?);
        }
        Ok(print(&Value::Object(map)).into())
    }),
    pure("pm_json_compare", 2, |a| {
        let (x, y) = (document(a[0], "comparison")?, document(a[1], "comparison")?);
        Ok((compare(&x, &y) as i64).into())
    }),
];

/// The document's text as MySQL would print it; `None` if it is no JSON.
pub fn normalize(text: &str) -> Option<String> {
    serde_json::from_str(text).ok().map(|v| print(&v))
}

/// Order of two documents given as text, for sorting.
pub fn compare_text(a: &str, b: &str) -> Ordering {
    match (serde_json::from_str(a), serde_json::from_str(b)) {
        (Ok(x), Ok(y)) => compare(&x, &y),
        _ => a.cmp(b),
    }
}

/// A JSON string literal.
pub(super) fn quote(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

fn document(arg: Arg<'_>, function: &str) -> Result<Value, SqlError> {
    let text = arg.text();
    serde_json::from_str(&text).map_err(|e| {
        SqlError::new(
            3141,
            "22032",
            format!(
                "Invalid JSON text in argument 1 to function {function}: \"Invalid value.\" at position {}.",
                e.column().saturating_sub(1)
            ),
        )
    })
}

fn member(arg: Arg<'_>) -> Result<Value, SqlError> {
    if arg.null() { Ok(Value::Null) } else { document(arg, "json_object") }
}

fn at_path<'v>(doc: &'v Value, path: Option<&Arg<'_>>) -> Result<Option<&'v Value>, SqlError> {
    let Some(path) = path else { return Ok(Some(doc)) };
    let mut found = Vec::new();
    Path::parse(&path.text())?.find(doc, &mut found);
    Ok(found.first().copied())
}

fn double(x: f64) -> String {
    let text = crate::text::double(x);
    if text.contains(['.', 'e']) { text } else { format!("{text}.0") }
}

/// Shorter names first, equal lengths by bytes.
fn sorted(map: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut members: Vec<_> = map.iter().collect();
    members.sort_by(|(a, _), (b, _)| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
    members
}

pub(super) fn print(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Number(n) if n.is_f64() => out.push_str(&double(n.as_f64().unwrap_or(0.0))),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push('{');
            for (i, (key, item)) in sorted(map).into_iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                out.push_str(&quote(key));
                out.push_str(": ");
                write(item, out);
            }
            out.push('}');
        }
        other => out.push_str(&other.to_string()),
    }
}

fn pretty(value: &Value, depth: usize, out: &mut String) {
    let indent = |out: &mut String, depth: usize| {
        out.push('\n');
        out.push_str(&"  ".repeat(depth));
    };
    match value {
        Value::Array(items) if !items.is_empty() => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                indent(out, depth + 1);
                pretty(item, depth + 1, out);
            }
            indent(out, depth);
            out.push(']');
        }
        Value::Object(map) if !map.is_empty() => {
            out.push('{');
            for (i, (key, item)) in sorted(map).into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                indent(out, depth + 1);
                out.push_str(&format!("{}: ", quote(key)));
                pretty(item, depth + 1, out);
            }
            indent(out, depth);
            out.push('}');
        }
        other => write(other, out),
    }
}

fn depth(value: &Value) -> i64 {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 1,
    }
}

fn contains(target: &Value, candidate: &Value) -> bool {
    match (target, candidate) {
        (Value::Array(items), Value::Array(wanted)) => wanted.iter().all(|w| items.iter().any(|i| contains(i, w))),
        (Value::Array(items), wanted) => items.iter().any(|i| contains(i, wanted)),
        (Value::Object(map), Value::Object(wanted)) => wanted.iter().all(|(k, w)| map.get(k).is_some_and(|v| contains(v, w))),
        (a, b) => compare(a, b).is_eq(),
    }
}

/// MySQL's order of types, then of values.
fn compare(a: &Value, b: &Value) -> Ordering {
    let rank = |v: &Value| match v {
        Value::Null => 0,
        Value::Number(_) => 1,
        Value::String(_) => 2,
        Value::Object(_) => 3,
        Value::Array(_) => 4,
        Value::Bool(_) => 5,
    };
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => match (x.as_i64(), y.as_i64()) {
            (Some(x), Some(y)) => x.cmp(&y),
            _ => x.as_f64().unwrap_or(0.0).total_cmp(&y.as_f64().unwrap_or(0.0)),
        },
        (Value::String(x), Value::String(y)) => x.cmp(y),
        (Value::Bool(x), Value::Bool(y)) => x.cmp(y),
        (Value::Array(x), Value::Array(y)) => {
            x.iter().zip(y).map(|(p, q)| compare(p, q)).find(|o| o.is_ne()).unwrap_or_else(|| x.len().cmp(&y.len()))
        }
        (Value::Object(_), Value::Object(_)) => print(a).cmp(&print(b)),
        _ => rank(a).cmp(&rank(b)),
    }
}

fn merge_patch(target: &mut Value, patch: Value) {
    match patch {
        Value::Object(members) => {
            if !target.is_object() {
                *target = Value::Object(Map::new());
            }
            if let Value::Object(map) = target {
                for (key, value) in members {
                    if value.is_null() {
                        map.remove(&key);
                    } else {
                        merge_patch(map.entry(key).or_insert(Value::Null), value);
                    }
                }
            }
        }
        other => *target = other,
    }
}

fn merge_preserve(a: Value, b: Value) -> Value {
    match (a, b) {
        (Value::Object(mut x), Value::Object(y)) => {
            for (key, value) in y {
                let merged = match x.remove(&key) {
                    Some(have) => merge_preserve(have, value),
                    None => value,
                };
                x.insert(key, merged);
            }
            Value::Object(x)
        }
        (a, b) => {
            let list = |v: Value| match v {
                Value::Array(items) => items,
                other => vec![other],
            };
            let mut items = list(a);
            items.extend(list(b));
            Value::Array(items)
        }
    }
}

fn search(value: &Value, pattern: &str, path: &str, found: &mut Vec<String>) {
    match value {
        Value::String(s) if crate::text::like(s, pattern, Some('\\'), false) => found.push(path.to_owned()),
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                search(item, pattern, &format!("{path}[{i}]"), found);
            }
        }
        Value::Object(map) => {
            for (key, item) in sorted(map) {
                let plain = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '$');
                let step = if plain { format!("{path}.{key}") } else { format!("{path}.{}", quote(key)) };
                search(item, pattern, &step, found);
            }
        }
        _ => {}
    }
}

/// JSON_SET, JSON_INSERT, JSON_REPLACE.
fn change(a: &[Arg<'_>], function: &str, insert: bool, replace: bool) -> Answer {
    if a[0].null() {
        return Ok(Out::Null);
    }
    if a.len().is_multiple_of(2) {
        return Err(error::wrong_argument_count(function));
    }
    let mut doc = document(a[0], function)?;
    for pair in a[1..].chunks(2) {
        if pair[0].null() {
            return Ok(Out::Null);
        }
        let path = Path::parse(&pair[0].text())?;
        if path.wild() {
            return Err(error::invalid_json_path("In this situation, path expressions may not contain the * and ** tokens"));
        }
        let value = if pair[1].null() { Value::Null } else { document(pair[1], function)? };
        path.put(&mut doc, value, insert, replace);
    }
    Ok(print(&doc).into())
}

/// `$.a[0]."b c".*`
struct Path(Vec<Leg>);

enum Leg {
    Member(String),
    /// From the front, or from the end (`last`, `last-1`).
    Cell {
        index: usize,
        from_end: bool,
    },
    AnyMember,
    AnyCell,
    /// `**`
    Deep,
}

impl Path {
    fn parse(text: &str) -> Result<Path, SqlError> {
        let wrong = || error::invalid_json_path(format!("The error is around character position {}", text.len()));
        let mut rest = text.trim().strip_prefix('$').ok_or_else(wrong)?;
        let mut legs = Vec::new();
        while !rest.trim_start().is_empty() {
            rest = rest.trim_start();
            if let Some(after) = rest.strip_prefix("**") {
                legs.push(Leg::Deep);
                rest = after;
            } else if let Some(after) = rest.strip_prefix('.') {
                let after = after.trim_start();
                if let Some(tail) = after.strip_prefix('*') {
                    legs.push(Leg::AnyMember);
                    rest = tail;
                } else if after.starts_with('"') {
                    let end = closing_quote(after).ok_or_else(wrong)?;
                    let name: String = serde_json::from_str(&after[..=end]).map_err(|_| wrong())?;
                    legs.push(Leg::Member(name));
                    rest = &after[end + 1..];
                } else {
                    let end = after.find(['.', '[', '*', ' ']).unwrap_or(after.len());
                    if end == 0 || after.starts_with(|c: char| c.is_ascii_digit()) {
                        return Err(wrong());
                    }
                    legs.push(Leg::Member(after[..end].to_owned()));
                    rest = &after[end..];
                }
            } else if let Some(after) = rest.strip_prefix('[') {
                let (inside, tail) = after.split_once(']').ok_or_else(wrong)?;
                legs.push(match inside.trim() {
                    "*" => Leg::AnyCell,
                    "last" => Leg::Cell { index: 0, from_end: true },
                    other => match other.strip_prefix("last-") {
                        Some(n) => Leg::Cell { index: n.trim().parse().map_err(|_| wrong())?, from_end: true },
                        None => Leg::Cell { index: other.parse().map_err(|_| wrong())?, from_end: false },
                    },
                });
                rest = tail;
            } else {
                return Err(wrong());
            }
        }
        Ok(Path(legs))
    }

    fn wild(&self) -> bool {
        self.0.iter().any(|l| matches!(l, Leg::AnyMember | Leg::AnyCell | Leg::Deep))
    }

    fn find<'v>(&self, doc: &'v Value, found: &mut Vec<&'v Value>) {
        walk(doc, &self.0, found);
    }

    /// The place the path leads to, if it is there.
    fn slot<'v>(&self, doc: &'v mut Value) -> Option<&'v mut Value> {
        self.0.iter().try_fold(doc, step)
    }

    fn put(&self, doc: &mut Value, value: Value, insert: bool, replace: bool) {
        let Some((last, before)) = self.0.split_last() else {
            if replace {
                *doc = value;
            }
            return;
        };
        let Some(parent) = before.iter().try_fold(doc, step) else { return };
        match (last, parent) {
            (Leg::Member(name), Value::Object(map)) => {
                let wanted = if map.contains_key(name) { replace } else { insert };
                if wanted {
                    map.insert(name.clone(), value);
                }
            }
            (leg @ Leg::Cell { from_end, .. }, Value::Array(items)) => match cell(leg, items.len()).and_then(|i| items.get_mut(i)) {
                Some(slot) if replace => *slot = value,
                None if insert && !from_end => items.push(value),
                _ => {}
            },
            // A scalar is an array of one.
            (Leg::Cell { index: 0, .. }, scalar) if replace => *scalar = value,
            (Leg::Cell { index: 1.., from_end: false }, scalar) if insert => *scalar = Value::Array(vec![scalar.take(), value]),
            _ => {}
        }
    }

    fn remove(&self, doc: &mut Value) {
        let Some((last, before)) = self.0.split_last() else { return };
        let Some(parent) = before.iter().try_fold(doc, step) else { return };
        match (last, parent) {
            (Leg::Member(name), Value::Object(map)) => {
                map.remove(name);
            }
            (leg, Value::Array(items)) => {
                if let Some(i) = cell(leg, items.len()).filter(|i| *i < items.len()) {
                    items.remove(i);
                }
            }
            _ => {}
        }
    }
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().skip(1).find_map(|(i, c)| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends.then_some(i)
    })
}

fn cell(leg: &Leg, len: usize) -> Option<usize> {
    match leg {
        Leg::Cell { index, from_end: false } => Some(*index),
        Leg::Cell { index, from_end: true } => len.checked_sub(index + 1),
        _ => None,
    }
}

fn step<'v>(value: &'v mut Value, leg: &Leg) -> Option<&'v mut Value> {
    match (leg, value) {
        (Leg::Member(name), Value::Object(map)) => map.get_mut(name),
        (leg @ Leg::Cell { .. }, Value::Array(items)) => {
            let i = cell(leg, items.len())?;
            items.get_mut(i)
        }
        (Leg::Cell { index: 0, .. }, scalar) => Some(scalar),
        _ => None,
    }
}

fn walk<'v>(value: &'v Value, legs: &[Leg], found: &mut Vec<&'v Value>) {
    let Some((leg, rest)) = legs.split_first() else {
        found.push(value);
        return;
    };
    match (leg, value) {
        (Leg::Member(name), Value::Object(map)) => {
            if let Some(next) = map.get(name) {
                walk(next, rest, found);
            }
        }
        (Leg::AnyMember, Value::Object(map)) => sorted(map).into_iter().for_each(|(_, next)| walk(next, rest, found)),
        (Leg::AnyCell, Value::Array(items)) => items.iter().for_each(|next| walk(next, rest, found)),
        (leg @ Leg::Cell { .. }, Value::Array(items)) => {
            if let Some(next) = cell(leg, items.len()).and_then(|i| items.get(i)) {
                walk(next, rest, found);
            }
        }
        (Leg::Cell { index: 0, .. }, scalar) => walk(scalar, rest, found),
        (Leg::Deep, value) => {
            walk(value, rest, found);
            match value {
                Value::Array(items) => items.iter().for_each(|next| walk(next, legs, found)),
                Value::Object(map) => sorted(map).into_iter().for_each(|(_, next)| walk(next, legs, found)),
                _ => {}
            }
        }
        _ => {}
    }
}
