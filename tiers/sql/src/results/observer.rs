//! Stands around an engine's commits: W2 before they can be seen, W5 and W6 before their client is told.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use pumasi_freshness::{Changes, Freshness, Table, Tables};
use pumasi_sqltext::{Key, Scalar};

use crate::engine::{ChangeSet, ChangedRows, CommitOutcome, Fence, RowValue, Stamp, TableChange, WriteObserver};

/// The engine shows every row that a transaction changed, cascades and triggers included, before it commits: so the tables fenced are exactly those
/// changed, and rows are known exactly.
pub struct Observer {
    freshness: Arc<Freshness>,
    next: AtomicU64,
    raised: Mutex<HashMap<u64, Raised>>,
}

struct Raised {
    fence: pumasi_freshness::Fence,
    changes: Changes,
}

impl Observer {
    pub fn new(freshness: Arc<Freshness>) -> Observer {
        Observer { freshness, next: AtomicU64::new(0), raised: Mutex::default() }
    }
}

impl WriteObserver for Observer {
    fn stamp(&self) -> Stamp {
        self.freshness.stamp()
    }

    fn commit_begins(&self, set: &ChangeSet) -> Fence {
        let changes = changes(set);
        // After a schema change nothing that was known of tables holds: columns of `*`, keys, views.
        let tables = if set.schema { Tables::All } else { Tables::of(changes.tables()) };
        let raised = Raised { fence: self.freshness.fence(tables), changes };
        let number = self.next.fetch_add(1, Relaxed);
        self.raised.lock().unwrap_or_else(PoisonError::into_inner).insert(number, raised);
        Fence(number)
    }

    fn commit_ended(&self, fence: Fence, set: &ChangeSet, outcome: CommitOutcome) {
        let raised = self.raised.lock().unwrap_or_else(PoisonError::into_inner).remove(&fence.0);
        let Some(Raised { fence, changes }) = raised else { return };
        match outcome {
            CommitOutcome::Visible => fence.commit_noted(&changes, unix_ms_now(), set.statement.clone()),
            CommitOutcome::RolledBack => fence.release(),
        }
    }
}

/// Milliseconds since the Unix epoch.
pub fn unix_ms_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// Every column of every changed row, old and new: so no column has to be chosen to be tracked.
fn changes(set: &ChangeSet) -> Changes {
    let mut changes = Changes::new();
    for change in &set.tables {
        let table = Table::named(&change.table.database, &change.table.name);
        match &change.rows {
            ChangedRows::Unknown => changes.unknown_rows(table),
            ChangedRows::Images(rows) => {
                changes.exact(table);
                for image in rows.iter().flat_map(|row| [&row.old, &row.new]).flatten() {
                    add_image(&mut changes, table, change, image);
                }
            }
        }
    }
    changes
}

fn add_image(changes: &mut Changes, table: Table, change: &TableChange, image: &[RowValue]) {
    if image.len() != change.columns.len() {
        // It cannot be said which column a value is of.
        changes.unknown_rows(table);
        return;
    }
    // A row whose values have no key of their own has changed nevertheless.
    changes.touch(table);
    for (column, value) in change.columns.iter().zip(image) {
        let scalar = match value {
            RowValue::Int(value) => Scalar::Int(i128::from(*value)),
            RowValue::Text(text) => Scalar::Text(text.as_bytes().into()),
            // Compared with constants in ways that are not reproduced; whoever asks by such a column depends on the whole table.
            RowValue::Null | RowValue::Double(_) | RowValue::Blob(_) => continue,
        };
        if let Some(Key(key)) = Key::of_stored(&scalar) {
            changes.row(table, column, &key);
        }
    }
}
