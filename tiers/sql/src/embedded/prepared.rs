//! Statements parsed and translated, kept for the next time.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use pumasi_dialect::parse::Parsed;
use pumasi_dialect::translate::{ParameterType, Settings, Translation};
use pumasi_mysqlwire::{Column, Value};

/// A prepared statement of a session.
pub struct Prepared {
    pub(super) parsed: Arc<Parsed>,
    /// The text without values, if it writes: of what to say that it wrote.
    pub(super) shape: Option<Arc<str>>,
    /// As described to the client when it was prepared.
    pub(super) columns: Vec<Column>,
    /// Translations by the types bound; most statements only ever see one.
    pub(super) plans: Vec<Arc<Plan>>,
}

/// Translations one prepared statement keeps.
pub const PLANS_MAX: usize = 8;

/// A translation and what it was made for.
pub struct Plan {
    pub key: PlanKey,
    pub translation: Translation,
    pub columns: Vec<Column>,
    /// The tables read by their SQLite names, for the check of snapshots.
    pub storages: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PlanKey {
    pub catalogue: u64,
    pub database: Option<String>,
    pub settings: Settings,
    pub types: Vec<ParameterType>,
}

/// A statement and its translations.
type Known = (Arc<Parsed>, Vec<Arc<Plan>>);

/// Text statements, parsed and translated, shared by all sessions. First in, first out.
#[derive(Default)]
pub struct Translations {
    by_text: HashMap<Arc<str>, Known>,
    order: VecDeque<Arc<str>>,
}

impl Translations {
    pub fn find(&self, text: &str, key: &PlanKey) -> Option<(Arc<Parsed>, Option<Arc<Plan>>)> {
        let (parsed, plans) = self.by_text.get(text)?;
        Some((Arc::clone(parsed), plans.iter().find(|p| p.key == *key).cloned()))
    }

    pub fn put(&mut self, text: &str, parsed: &Arc<Parsed>, plan: &Arc<Plan>) {
        if let Some((_, plans)) = self.by_text.get_mut(text) {
            if plans.len() >= PLANS_MAX {
                plans.remove(0);
            }
            plans.push(Arc::clone(plan));
            return;
        }
        if self.by_text.len() >= super::TRANSLATIONS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_text.remove(&oldest);
        }
        let text: Arc<str> = text.into();
        self.order.push_back(Arc::clone(&text));
        self.by_text.insert(text, (Arc::clone(parsed), vec![Arc::clone(plan)]));
    }
}

pub fn parameter_type(value: &Value) -> ParameterType {
    match value {
        Value::Null => ParameterType::Null,
        Value::Int(_) => ParameterType::Int,
        Value::UInt(_) => ParameterType::Unsigned,
        Value::Float(_) | Value::Double(_) => ParameterType::Double,
        Value::Bytes(bytes) => {
            if std::str::from_utf8(bytes).is_ok() {
                ParameterType::Text
            } else {
                ParameterType::Bytes
            }
        }
        Value::DateTime { hour: 0, minute: 0, second: 0, micros: 0, .. } => ParameterType::Date,
        Value::DateTime { .. } => ParameterType::DateTime,
        Value::Time { .. } => ParameterType::Time,
    }
}
