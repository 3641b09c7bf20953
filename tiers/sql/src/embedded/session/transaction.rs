//! Transactions of one session: snapshot, the writer's lock, commit, rollback.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use pumasi_dialect::catalogue::Catalogue;
use pumasi_dialect::error;
use pumasi_dialect::translate;
use pumasi_mysqlwire::SqlError;

use super::Session;
use crate::embedded::connection::lock;
use crate::embedded::failure;
use crate::embedded::lock::NotTaken;
use crate::engine::{CommitOutcome, Stamp};

/// None --BEGIN--> Pending --first read--> Reading --first write--> Writing --COMMIT or ROLLBACK--> None
pub(in crate::embedded) enum Transaction {
    None,
    /// Begun, no snapshot yet.
    Pending {
        read_only: bool,
        explicit: bool,
    },
    Active(Active),
}

pub(in crate::embedded) struct Active {
    pub read_only: bool,
    pub explicit: bool,
    pub writing: bool,
    pub stamp: Stamp,
    /// Commits known when the snapshot began.
    pub commits: u64,
    pub catalogue: Arc<Catalogue>,
    /// Tables read so far, by SQLite name.
    pub read: BTreeSet<String>,
    pub savepoints: Vec<String>,
}

impl Session {
    /// With autocommit off, every statement is in a transaction.
    pub(super) fn start_if_needed(&mut self) {
        if !self.autocommit && matches!(self.transaction, Transaction::None) {
            let read_only = self.next_read_only.take().unwrap_or(self.read_only_default);
            self.transaction = Transaction::Pending { read_only, explicit: false };
        }
    }

    /// Sees to it that the transaction has its snapshot, and answers the schema it sees.
    pub(in crate::embedded) fn snapshot(&mut self) -> Result<Arc<Catalogue>, SqlError> {
        let (read_only, explicit) = match &self.transaction {
            Transaction::Active(active) if self.read_committed && !active.writing && active.savepoints.is_empty() => {
                // READ COMMITTED: every statement has a snapshot of its own.
                let kept = (active.read_only, active.explicit);
                self.batch("COMMIT")?;
                self.transaction = Transaction::Pending { read_only: kept.0, explicit: kept.1 };
                kept
            }
            Transaction::Active(active) => return Ok(Arc::clone(&active.catalogue)),
            Transaction::Pending { read_only, explicit } => (*read_only, *explicit),
            Transaction::None => return Ok(self.shared.catalogue()),
        };
        loop {
            let epoch = self.shared.settled_epoch();
            let catalogue = self.shared.catalogue();
            let commits = self.shared.commits.load(Ordering::Acquire);
            let stamp = self.shared.options.observer.stamp();
            // SQLite takes the snapshot at the first read.
            self.batch("BEGIN DEFERRED; SELECT 1 FROM __pumasi_meta LIMIT 1")?;
            if self.shared.schema_epoch.load(Ordering::Acquire) != epoch {
                self.batch("ROLLBACK")?;
                continue;
            }
            self.transaction = Transaction::Active(Active {
                read_only,
                explicit,
                writing: false,
                stamp,
                commits,
                catalogue: Arc::clone(&catalogue),
                read: BTreeSet::new(),
                savepoints: vec![],
            });
            return Ok(catalogue);
        }
    }

    /// Sees to it that the session holds the writer's lock and a transaction on the newest state. 1205, 1213.
    pub(in crate::embedded) fn begin_write(&mut self) -> Result<(), SqlError> {
        if matches!(&self.transaction, Transaction::Active(active) if active.writing) {
            return Ok(());
        }
        self.take_writer()?;
        let started = self.begin_write_locked();
        if started.is_err() {
            self.give_writer();
        }
        started
    }

    pub(super) fn begin_write_locked(&mut self) -> Result<(), SqlError> {
        let (read_only, explicit, read, savepoints) = match &mut self.transaction {
            Transaction::None => (false, false, BTreeSet::new(), vec![]),
            Transaction::Pending { read_only, explicit } => (*read_only, *explicit, BTreeSet::new(), vec![]),
            Transaction::Active(active) => {
                let conflict = !self.read_committed && active.read.iter().any(|storage| self.shared.changed_since(storage, active.commits));
                if conflict {
                    self.rollback_reader();
                    return Err(error::deadlock());
                }
                let kept = (active.read_only, active.explicit, std::mem::take(&mut active.read), std::mem::take(&mut active.savepoints));
                // Nothing it has read has changed: its reads would have answered the same on the newest snapshot.
                self.batch("COMMIT")?;
                kept
            }
        };
        let stamp = self.shared.options.observer.stamp();
        let commits = self.shared.commits.load(Ordering::Acquire);
        self.transaction = if explicit { Transaction::Pending { read_only, explicit } } else { Transaction::None };
        self.batch("BEGIN IMMEDIATE")?;
        // Schema changes need the writer's lock, which is ours: the catalogue is the one of this snapshot.
        let catalogue = self.shared.catalogue();
        lock(&self.connection().collector).clear();
        for savepoint in &savepoints {
            self.batch(&format!("SAVEPOINT {}", translate::quote(savepoint)))?;
        }
        self.transaction = Transaction::Active(Active { read_only, explicit, writing: true, stamp, commits, catalogue, read, savepoints });
        Ok(())
    }

    pub(in crate::embedded) fn take_writer(&mut self) -> Result<(), SqlError> {
        if self.tables_locked {
            return Ok(());
        }
        let state = Arc::clone(&self.state);
        self.shared.writer.acquire(self.lock_wait, || state.interrupted()).map_err(|why| match why {
            NotTaken::TimedOut => error::lock_wait_timeout(),
            NotTaken::Interrupted => error::interrupted(),
        })
    }

    pub(in crate::embedded) fn give_writer(&mut self) {
        if !self.tables_locked {
            self.shared.writer.release();
        }
    }

    pub(in crate::embedded) fn batch(&self, sql: &str) -> Result<(), SqlError> {
        let connection = self.connection();
        connection.sqlite.execute_batch(sql).map_err(|e| failure::explain(e, &mut lock(&connection.env), None, &Catalogue::default()))
    }

    pub(in crate::embedded) fn commit(&mut self) -> Result<(), SqlError> {
        let Transaction::Active(active) = &self.transaction else {
            self.transaction = Transaction::None;
            return Ok(());
        };
        if !active.writing {
            let done = self.batch("COMMIT");
            self.transaction = Transaction::None;
            return done;
        }
        let catalogue = Arc::clone(&active.catalogue);
        let (changes, storages) = {
            let mut collector = lock(&self.connection().collector);
            let storages: Vec<String> = collector.storages();
            (collector.take(&catalogue, false), storages)
        };
        let done = self.commit_observed(&changes, storages);
        self.transaction = Transaction::None;
        self.give_writer();
        done
    }

    /// SQLite's COMMIT between the observer's calls. The writer's lock is held; on failure everything is rolled back.
    pub(in crate::embedded) fn commit_observed(
        &mut self,
        changes: &crate::engine::ChangeSet,
        storages: Vec<String>,
    ) -> Result<(), SqlError> {
        if changes.tables.is_empty() && !changes.schema {
            return self.batch("COMMIT").inspect_err(|_| drop(self.batch("ROLLBACK")));
        }
        let observer = Arc::clone(&self.shared.options.observer);
        let fence = observer.commit_begins(changes);
        let done = self.batch("COMMIT");
        match &done {
            Ok(()) => {
                self.shared.note_commit(storages.into_iter());
                observer.commit_ended(fence, changes, CommitOutcome::Visible);
            }
            Err(_) => {
                let _ = self.batch("ROLLBACK");
                observer.commit_ended(fence, changes, CommitOutcome::RolledBack);
            }
        }
        done
    }

    pub(in crate::embedded) fn rollback(&mut self) {
        if matches!(self.transaction, Transaction::Active(_)) && !self.connection().sqlite.is_autocommit() {
            let _ = self.batch("ROLLBACK");
        }
        self.abandon();
    }

    /// Forgets a transaction that SQLite no longer has.
    pub(super) fn abandon(&mut self) {
        let writing = matches!(&self.transaction, Transaction::Active(active) if active.writing);
        self.transaction = Transaction::None;
        lock(&self.connection().collector).clear();
        if writing {
            self.give_writer();
        }
        self.forget_lost_temporary_tables();
    }

    /// A reader that may not go on; it holds no lock of its own.
    pub(super) fn rollback_reader(&mut self) {
        let _ = self.batch("ROLLBACK");
        self.transaction = Transaction::None;
    }

    /// SQLite rolls temporary tables back with the rest.
    pub(super) fn forget_lost_temporary_tables(&mut self) {
        let names: Vec<(String, String, String)> =
            self.temporary.tables().map(|t| (t.database.clone(), t.name.clone(), t.storage.clone())).collect();
        for (database, name, storage) in names {
            let there =
                self.connection().sqlite.query_row("SELECT 1 FROM temp.sqlite_schema WHERE name = ?1", [&storage], |_| Ok(())).is_ok();
            if !there {
                self.temporary.remove(&database, &name);
                self.temporary.version += 1;
            }
        }
    }
}

impl Transaction {
    pub(super) fn read_only(&self) -> bool {
        match self {
            Transaction::None => false,
            Transaction::Pending { read_only, .. } => *read_only,
            Transaction::Active(active) => active.read_only,
        }
    }
}
