//! Statements that change rows.

use std::sync::Arc;

use pumasi_dialect::catalogue::Catalogue;
use pumasi_dialect::error;
use pumasi_dialect::parse::Parsed;
use pumasi_dialect::translate::{self, WriteKind};
use pumasi_freshness::STATEMENT_BYTES_MAX;
use pumasi_mysqlwire::{SqlError, Value};
use pumasi_sqltext::shape;

use super::rows::bind;
use super::{Fail, Session, Transaction};
use crate::embedded::changes::Counts;
use crate::embedded::connection::lock;
use crate::embedded::failure;
use crate::embedded::prepared::Plan;
use crate::engine::{ResultSink, StatementKind, Summary};

impl Session {
    pub(super) fn write(
        &mut self,
        parsed: &Parsed,
        plans: &mut Vec<Arc<Plan>>,
        values: &[Value],
        out: &mut dyn ResultSink,
    ) -> Result<(), SqlError> {
        self.start_if_needed();
        self.report.kind = StatementKind::Write;
        self.report.pure = Err("a write");
        if self.transaction.read_only() {
            return Err(error::read_only_transaction());
        }
        let alone = matches!(self.transaction, Transaction::None);
        self.begin_write()?;
        let written = self.write_in_transaction(parsed, plans, values);
        if alone {
            // The statement is the transaction.
            return match written {
                Ok(summary) => self.commit().and_then(|()| out.finish(summary)),
                Err(error) => {
                    self.rollback();
                    Err(error)
                }
            };
        }
        out.finish(written?)
    }

    pub(super) fn write_in_transaction(
        &mut self,
        parsed: &Parsed,
        plans: &mut Vec<Arc<Plan>>,
        values: &[Value],
    ) -> Result<Summary, SqlError> {
        let catalogue = self.visible_catalogue();
        let plan = self.plan(parsed, plans, values, &catalogue)?;
        let Some(write) = &plan.translation.write else { return Err(error::internal("a write without a target")) };
        if let Transaction::Active(active) = &mut self.transaction {
            active.read.extend(plan.storages.iter().cloned());
        }
        {
            let connection = self.connection();
            lock(&connection.collector).statement = Counts::default();
            let mut env = lock(&connection.env);
            env.key_values.clear();
            env.rows_done = 0;
            env.explicit_insert_id = None;
            env.strict = self.settings.strict && !write.ignore;
        }
        let result = self.perform(&plan, values);
        self.settle(result, Some(write), &catalogue)?;
        let text = self.shape_of_running();
        let counts = {
            let mut collector = lock(&self.connection().collector);
            if collector.statement.rows() + collector.statement.deleted > 0 {
                collector.text = Some(text);
            }
            collector.statement
        };
        Ok(self.summarize(write, counts))
    }

    /// What runs now, without its values.
    fn shape_of_running(&self) -> Arc<str> {
        let text = || lock(&self.state.activity).statement.as_ref().map_or(String::new(), |sql| shape(sql.as_bytes(), STATEMENT_BYTES_MAX));
        self.running_shape.clone().unwrap_or_else(|| text().into())
    }

    pub(super) fn perform(&mut self, plan: &Plan, values: &[Value]) -> Result<(), Fail> {
        self.connection.as_mut().expect("held until the session is dropped").register_separators(&plan.translation.separators)?;
        let mut statement = self.connection().sqlite.prepare_cached(&plan.translation.sql)?;
        bind(&mut statement, values)?;
        statement.raw_execute()?;
        Ok(())
    }

    /// Affected rows, generated ids and info, as MySQL counts them.
    pub(super) fn summarize(&mut self, write: &translate::Write, counts: Counts) -> Summary {
        let matched = counts.changed + counts.unchanged;
        let (affected, info_rows) = match write.kind {
            WriteKind::Insert { upsert: true, .. } => (
                counts.inserted + 2 * counts.changed + if self.found_rows_option { counts.unchanged } else { 0 },
                counts.inserted + matched,
            ),
            WriteKind::Insert { .. } => (counts.inserted + counts.deleted, counts.inserted),
            WriteKind::Update => (if self.found_rows_option { matched } else { counts.changed }, matched),
            WriteKind::Delete => (counts.deleted, 0),
        };
        let connection = self.connection();
        let mut env = lock(&connection.env);
        env.row_count = i64::try_from(affected).unwrap_or(i64::MAX);
        let mut insert_id = 0;
        if let (WriteKind::Insert { .. }, Some(auto)) = (write.kind, write.table.columns.iter().find(|c| c.auto_increment)) {
            let given = env.key_values.get(&auto.name).is_some_and(|v| v != "NULL");
            if given {
                insert_id = counts.last_inserted.or(counts.last_updated).unwrap_or(0).unsigned_abs();
            } else if let Some(first) = counts.first_inserted {
                insert_id = first.unsigned_abs();
                env.last_insert_id = insert_id;
            } else if let Some(updated) = counts.last_updated {
                insert_id = updated.unsigned_abs();
            }
        }
        if let Some(explicit) = env.explicit_insert_id.take() {
            env.last_insert_id = explicit;
            insert_id = explicit;
        }
        let warnings = env.warning_count;
        let info = match write.kind {
            WriteKind::Update => format!("Rows matched: {matched}  Changed: {}  Warnings: {warnings}", counts.changed),
            WriteKind::Insert { .. } if info_rows > 1 => {
                format!("Records: {info_rows}  Duplicates: {}  Warnings: {warnings}", matched + counts.deleted)
            }
            _ => String::new(),
        };
        Summary { affected_rows: affected, last_insert_id: insert_id, warnings: u16::try_from(warnings).unwrap_or(u16::MAX), info }
    }

    /// Turns a failure into MySQL's, and notices when SQLite has rolled the transaction back on its own.
    pub(super) fn settle(
        &mut self,
        result: Result<(), Fail>,
        write: Option<&translate::Write>,
        catalogue: &Catalogue,
    ) -> Result<(), SqlError> {
        let failure = match result {
            Ok(()) => return Ok(()),
            Err(Fail::Sql(error)) => error,
            Err(Fail::Sqlite(e)) => failure::explain(e, &mut lock(&self.connection().env), write, catalogue),
        };
        let lost = matches!(&self.transaction, Transaction::Active(_)) && self.connection().sqlite.is_autocommit();
        if lost {
            // An interrupt, a full disk: earlier statements of the transaction are gone, so the client must not go on as if they were not.
            let explicit = matches!(&self.transaction, Transaction::Active(a) if a.explicit || !self.autocommit);
            self.abandon();
            if explicit && failure.code == 1317 {
                return Err(error::deadlock());
            }
        }
        Err(failure)
    }
}
