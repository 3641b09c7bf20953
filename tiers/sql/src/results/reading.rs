//! What a statement read, from the engine's report and, for rows, from its text.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use pumasi_freshness::{Deps, Observed, Stamp, Table};
use pumasi_mysqlwire::Value;
use pumasi_sqltext::{Catalogue, Digest, Scalar, Template, Uses, analyse, asks_settings};

use crate::engine::{SnapshotAge, StatementKind, StatementReport};

/// Digests whose analysis is remembered. When full, all are forgotten: an application that writes values into names gains nothing by it.
const TEMPLATES_MAX: usize = 4096;

/// What was learnt from a statement that ran.
pub enum Reading {
    /// Its answer is a function of rows.
    Rows {
        deps: Arc<Deps>,
        stamp: Stamp,
    },
    Wrote,
    Refused(&'static str),
    /// SET, SHOW, COMMIT, SELECT 1, SELECT @@version: neither read rows nor wrote any.
    Nothing,
}

impl Reading {
    /// For the worker's open requests.
    pub fn observed(&self) -> Option<Observed> {
        match self {
            Reading::Rows { deps, stamp } => Some(Observed::Read { deps: deps.clone(), stamp: *stamp }),
            Reading::Wrote => Some(Observed::Wrote),
            Reading::Refused(reason) => Some(Observed::Refused(reason)),
            Reading::Nothing => None,
        }
    }
}

/// Analyses by digest.
#[derive(Default)]
pub struct Templates {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// The epoch they are of: a schema change begins a new one.
    epoch: u64,
    templates: HashMap<(Option<String>, String), Option<Arc<Template>>>,
}

impl Templates {
    /// What the statement that ran did. `succeeded`: it ended without an error.
    pub fn reading(
        &self,
        report: &StatementReport,
        succeeded: bool,
        sql: &[u8],
        parameters: &[Value],
        database: Option<&str>,
        catalogue: impl FnOnce() -> Option<Arc<dyn Catalogue + Send + Sync>>,
    ) -> Reading {
        match report.kind {
            StatementKind::Write => return Reading::Wrote,
            // A deadlock, a lost lock, a name that does not exist: whatever is made of an error is not a function of rows.
            _ if !succeeded => return Reading::Refused("error"),
            StatementKind::Control => return Reading::Nothing,
            StatementKind::Read => {}
        }
        if let Err(reason) = report.pure {
            if report.tables.is_empty() && asks_settings(sql) {
                return Reading::Nothing;
            }
            return Reading::Refused(reason);
        }
        let Some(snapshot) = report.snapshot else {
            // A SELECT without tables takes no snapshot.
            return if report.tables.is_empty() { Reading::Nothing } else { Reading::Refused("no-snapshot") };
        };
        if report.tables.is_empty() {
            return Reading::Nothing;
        }
        if snapshot.age == (SnapshotAge::Earlier { own_writes: true }) {
            return Reading::Refused("uncommitted-rows");
        }
        let deps = self.deps(report, sql, parameters, database, snapshot.stamp.epoch, catalogue);
        Reading::Rows { deps: Arc::new(deps), stamp: snapshot.stamp }
    }

    /// The tables are the engine's word; the text may only say that of a table certain rows are enough.
    fn deps(
        &self,
        report: &StatementReport,
        sql: &[u8],
        parameters: &[Value],
        database: Option<&str>,
        epoch: u64,
        catalogue: impl FnOnce() -> Option<Arc<dyn Catalogue + Send + Sync>>,
    ) -> Deps {
        let mut deps = Deps::new();
        let digest = Digest::of(sql).ok();
        let template = digest.as_ref().and_then(|digest| self.template(digest, database, epoch, catalogue));
        let scalars: Vec<Scalar<'_>> = parameters.iter().map(scalar).collect();
        for name in report.tables.iter() {
            let uses = template.as_ref().and_then(|template| {
                let same = |known: &pumasi_sqltext::TableName| {
                    known.database.eq_ignore_ascii_case(&name.database) && known.name.eq_ignore_ascii_case(&name.name)
                };
                template.tables.iter().find(|(known, _)| same(known))
            });
            match (uses, &digest) {
                (Some((known, uses)), Some(digest)) if !uses.contains(&Uses::Whole) => {
                    let one = Template { tables: vec![(known.clone(), uses.clone())] };
                    deps.unite(&one.deps(&digest.operands, &scalars));
                }
                _ => deps.add_table(Table::named(&name.database, &name.name)),
            }
        }
        deps
    }

    fn template(
        &self,
        digest: &Digest<'_>,
        database: Option<&str>,
        epoch: u64,
        catalogue: impl FnOnce() -> Option<Arc<dyn Catalogue + Send + Sync>>,
    ) -> Option<Arc<Template>> {
        let name = (database.map(str::to_owned), digest.text.clone());
        {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.epoch != epoch {
                known.epoch = epoch;
                known.templates.clear();
            }
            if let Some(template) = known.templates.get(&name) {
                return template.clone();
            }
        }
        // Outside the lock: a tree may take a while.
        let template = catalogue().and_then(|catalogue| analyse(digest, &*catalogue).reads.ok()).map(Arc::new);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.epoch == epoch {
            if known.templates.len() >= TEMPLATES_MAX {
                known.templates.clear();
            }
            known.templates.insert(name, template.clone());
        }
        template
    }
}

// === helpers ===

pub fn scalar(value: &Value) -> Scalar<'_> {
    match value {
        Value::Null => Scalar::Null,
        Value::Int(value) => Scalar::Int(i128::from(*value)),
        Value::UInt(value) => Scalar::Int(i128::from(*value)),
        Value::Bytes(bytes) => Scalar::Text(bytes.as_slice().into()),
        Value::Float(_) | Value::Double(_) | Value::DateTime { .. } | Value::Time { .. } => Scalar::Other,
    }
}
