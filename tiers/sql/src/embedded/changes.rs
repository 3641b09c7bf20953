//! What a transaction changed, row by row, as the pre-update hook shows it.

use std::collections::HashMap;
use std::sync::Arc;

use pumasi_dialect::catalogue::{Catalogue, Table};
use pumasi_preupdate::{Action, Change};
use rusqlite::types::ValueRef;

use crate::engine::{ChangeSet, ChangedRows, RowChange, RowValue, TableChange, TableName};

/// Row images kept per transaction. A larger one is told to the observer by its tables only: its cost in memory ends here.
const IMAGES_MAX: usize = 4096;
/// Bytes of text and blobs in them.
const IMAGE_BYTES_MAX: usize = 4 << 20;

/// Collects on the connection's hook.
#[derive(Default)]
pub struct Collector {
    tables: HashMap<String, Option<Vec<RowChange>>>,
    images: usize,
    bytes: usize,
    /// The shape of the last statement that wrote.
    pub text: Option<Arc<str>>,
    /// Counts of the running statement.
    pub statement: Counts,
}

/// What the running statement itself did to its target table, cascades not counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub inserted: u64,
    /// Updates that changed a value.
    pub changed: u64,
    /// Updates that did not.
    pub unchanged: u64,
    pub deleted: u64,
    pub first_inserted: Option<i64>,
    pub last_inserted: Option<i64>,
    /// The row an ON DUPLICATE KEY UPDATE updated last.
    pub last_updated: Option<i64>,
}

impl Counts {
    pub fn rows(&self) -> u64 {
        self.inserted + self.changed + self.unchanged
    }
}

impl Collector {
    pub fn observe(&mut self, change: &Change<'_>) {
        let same = change.action == Action::Update && (0..change.columns()).all(|i| change.before(i) == change.after(i));
        if change.depth() == 0 {
            self.count(change, same);
        }
        // The session's own temporary tables and the engine's books are nobody else's business.
        if same || change.schema != "main" || change.table.starts_with(super::OWN_PREFIX) {
            return;
        }
        let rows = match self.tables.get_mut(change.table) {
            Some(rows) => rows,
            None => self.tables.entry(change.table.to_owned()).or_insert_with(|| Some(Vec::new())),
        };
        let Some(images) = rows else { return };
        if self.images >= IMAGES_MAX || self.bytes >= IMAGE_BYTES_MAX {
            *rows = None;
            return;
        }
        let bytes = &mut self.bytes;
        let mut image = |read: &dyn Fn(usize) -> Option<RowValue>| -> Option<Vec<RowValue>> {
            let values: Option<Vec<RowValue>> = (0..change.columns()).map(read).collect();
            *bytes += values.iter().flatten().map(size).sum::<usize>();
            values
        };
        let old = image(&|i| change.before(i).map(value));
        let new = image(&|i| change.after(i).map(value));
        images.push(RowChange { old, new });
        self.images += 1;
    }

    fn count(&mut self, change: &Change<'_>, same: bool) {
        let counts = &mut self.statement;
        match change.action {
            Action::Insert => {
                counts.inserted += 1;
                counts.first_inserted.get_or_insert(change.new_rowid);
                counts.last_inserted = Some(change.new_rowid);
            }
            Action::Update => {
                *(if same { &mut counts.unchanged } else { &mut counts.changed }) += 1;
                counts.last_updated = Some(change.new_rowid);
            }
            Action::Delete => counts.deleted += 1,
        }
    }

    /// Forgets everything: the transaction ended.
    pub fn clear(&mut self) {
        *self = Collector::default();
    }

    /// SQLite names of the tables changed.
    pub fn storages(&self) -> Vec<String> {
        self.tables.keys().cloned().collect()
    }

    /// The transaction's changes.
    pub fn take(&mut self, catalogue: &Catalogue, schema: bool) -> ChangeSet {
        let mut by_storage: HashMap<&str, &Arc<Table>> = HashMap::new();
        for table in catalogue.tables() {
            by_storage.insert(&table.storage, table);
        }
        let mut tables: Vec<TableChange> = std::mem::take(&mut self.tables)
            .into_iter()
            .filter_map(|(storage, rows)| {
                let table = by_storage.get(storage.as_str())?;
                Some(TableChange {
                    table: TableName { database: table.database.as_str().into(), name: table.name.as_str().into() },
                    columns: table.columns.iter().map(|c| c.name.clone()).collect(),
                    rows: rows.map_or(ChangedRows::Unknown, ChangedRows::Images),
                })
            })
            .collect();
        tables.sort_by(|a, b| a.table.cmp(&b.table));
        let statement = self.text.take();
        self.clear();
        ChangeSet { tables, schema, statement }
    }
}

fn value(value: ValueRef<'_>) -> RowValue {
    match value {
        ValueRef::Null => RowValue::Null,
        ValueRef::Integer(n) => RowValue::Int(n),
        ValueRef::Real(x) => RowValue::Double(x),
        ValueRef::Text(t) => RowValue::Text(String::from_utf8_lossy(t).into_owned()),
        ValueRef::Blob(b) => RowValue::Blob(b.to_owned()),
    }
}

fn size(value: &RowValue) -> usize {
    match value {
        RowValue::Text(t) => t.len(),
        RowValue::Blob(b) => b.len(),
        _ => 8,
    }
}
