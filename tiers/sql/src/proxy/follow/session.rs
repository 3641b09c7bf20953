//! One client's transaction, as far as stored answers are concerned: what it has written, and since when it has seen the same.

use std::sync::Arc;

use pumasi_binlog::Gtid;
use pumasi_freshness::{Changes, Deps, Fence, Moment, Observed, Stamp, Table, Tables, Witness};
use pumasi_sqltext::{Digest, Scalar};

use super::{
    super::target::Target,
    Follow, Generation,
    binlog::{self, UnderWay},
    plan::{Plan, Reads, Writes},
};
use crate::{identity::Identity, results::unix_ms_now};

/// What the server and the proxy say of a session before its statement is sent.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    pub in_transaction: bool,
    pub autocommit: bool,
    /// Why its answers are not those of other sessions with the same settings, if so: a temporary table, READ UNCOMMITTED.
    pub apart: Option<&'static str>,
}

/// A statement as the client sent it.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    pub sql: &'a [u8],
    pub parameters: &'a [Scalar<'a>],
    /// The session's.
    pub database: Option<&'a str>,
}

/// Who executes a statement, for the day its answer does not come.
#[derive(Clone, Debug)]
pub struct Thread {
    /// The server's number for the connection.
    pub id: u32,
    /// Our end of it.
    pub port: u16,
    pub target: Target,
    pub user: Identity,
}

/// How a statement ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// The number of the error, if it ended in one.
    pub error: Option<u16>,
    pub in_transaction: bool,
    pub autocommit: bool,
    /// The position of its commit, if the server reported one.
    pub gtid: Option<Gtid>,
}

#[derive(Debug, Default)]
pub struct Session {
    transaction: Option<Transaction>,
}

#[derive(Debug)]
struct Transaction {
    /// Taken before its first statement was sent, and so before its snapshot.
    stamp: Stamp,
    /// What it may have changed, to be fenced at its commit.
    written: Tables,
    /// Among them are tables without transactions.
    at_once: bool,
    /// Since its beginning nothing but reads, so that ending it changes nothing.
    only_reads: bool,
    /// The last statement that wrote.
    writer: Option<Arc<Plan>>,
    /// The worker's requests when its latest statement ran.
    moment: Option<Moment>,
}

/// A statement between being sent and being answered. Dropped without [`Running::ended`], its outcome is not known: its fence stays up until
/// the server's thread is gone.
#[must_use = "a statement that was sent has an end"]
pub struct Running {
    follow: Arc<Follow>,
    /// Keeps what it was planned by: a change of the schema waits for it before anything is kept again.
    generation: Arc<Generation>,
    plan: Arc<Plan>,
    fence: Option<Fence>,
    /// There with the fence, and dropped after it.
    _under_way: Option<UnderWay>,
    /// The statement's changes may be seen although it fails.
    certain: bool,
    /// All that its fence covers is committed at one position of the log.
    narrows: bool,
    /// Taken before it was sent.
    sent_after: Stamp,
    /// Not younger than the snapshot it reads from.
    stamp: Stamp,
    /// What the answer is made of, if it may be kept.
    reading: Option<Arc<Deps>>,
    server: Thread,
    /// What wrote in the transaction that it commits, if not it itself.
    writer: Option<Arc<Plan>>,
}

impl Session {
    /// Called before a statement is sent; from when this returns no stored answer is given that the statement may make wrong.
    ///
    /// `now` was taken before the server was chosen. The stamp comes first, then the catalogue is looked at, then the fence is raised: a schema
    /// change in between makes the answer's epoch an old one.
    pub fn begins(&mut self, follow: &Arc<Follow>, sent: &Sent<'_>, standing: Standing, now: Stamp, server: Thread) -> Running {
        let Sent { sql, parameters, database } = *sent;
        if !standing.in_transaction {
            self.transaction = None;
        }
        let generation = follow.generation();
        let digest = Digest::of(sql);
        let plan = generation.plan(sql, &digest, database);
        let (stamp, wrote) = match &self.transaction {
            Some(transaction) => (transaction.stamp, !nothing(&transaction.written)),
            None => (now, false),
        };
        let reading = if standing.apart.is_some() || wrote { None } else { plan.deps(&digest, parameters).map(Arc::new) };
        let mut tables = Tables::Known(Vec::new());
        let (mut certain, mut narrows) = (false, true);
        if let Writes::Rows(closure) = &plan.writes {
            let alone = standing.autocommit && !standing.in_transaction;
            let fenced = if alone || closure.tables == Tables::All { &closure.tables } else { &closure.at_once };
            tables = fenced.clone();
            certain = !nothing(&closure.at_once);
            // What is changed outside the transaction has positions of its own.
            narrows = !certain;
        }
        if plan.commits
            && let Some(transaction) = &self.transaction
        {
            certain |= !nothing(&transaction.written);
            narrows &= !transaction.at_once;
            tables = united(&tables, &transaction.written);
        }
        let writer = self.transaction.as_ref().and_then(|transaction| transaction.writer.clone());
        let _under_way = (!nothing(&tables)).then(|| UnderWay::new(follow, &tables));
        let fence = (!nothing(&tables)).then(|| follow.freshness().fence(tables));

        Running {
            follow: follow.clone(),
            generation,
            plan,
            fence,
            _under_way,
            certain,
            narrows,
            sent_after: now,
            stamp,
            reading,
            server,
            writer,
        }
    }

    /// Whether the open transaction has only read and belongs to no request any more: it may be ended before the next statement.
    pub fn outlived(&self, witness: &Witness) -> bool {
        self.transaction.as_ref().is_some_and(|transaction| {
            transaction.only_reads && transaction.moment.is_some_and(|moment| witness.requests_ended_since(moment))
        })
    }

    /// The transaction was ended: what comes next sees the present.
    pub fn renewed(&mut self) {
        self.transaction = None;
    }

    fn ended(&mut self, running: &Running, ended: Ended, witness: Option<&Witness>) {
        if !ended.in_transaction {
            if let Some(transaction) = self.transaction.take() {
                let expected = running.plan.commits || running.plan.ends || ended.error.is_some();
                if !expected && !nothing(&transaction.written) {
                    // It was committed by something that was not understood; what it wrote was not fenced.
                    running.follow.committed_unseen();
                }
            }
            return;
        }
        if running.plan.ends && ended.error.is_none() {
            // BEGIN, COMMIT AND CHAIN: another transaction. What was sent before this statement is in its snapshot.
            self.transaction = None;
        }
        let transaction = self.transaction.get_or_insert(Transaction {
            stamp: running.sent_after,
            written: Tables::Known(Vec::new()),
            at_once: false,
            only_reads: true,
            writer: None,
            moment: None,
        });
        if let Writes::Rows(closure) = &running.plan.writes {
            transaction.written = united(&transaction.written, &closure.tables);
            transaction.at_once |= !nothing(&closure.at_once);
            transaction.writer = Some(running.plan.clone());
        }
        transaction.only_reads &= running.plan.only_reads && matches!(running.plan.writes, Writes::Nothing);
        transaction.moment = match (transaction.moment, witness) {
            (_, None) => None,
            // A statement outside any request (a job in the background): never ended for it.
            (Some(moment), _) if !moment.within_request() => Some(moment),
            (_, Some(witness)) => Some(witness.moment()),
        };
    }
}

impl Running {
    /// What a worker's open requests are told, before the answer is sent.
    pub fn observed(&self, apart: Option<&'static str>) -> Option<Observed> {
        if self.fence.is_some() || matches!(self.plan.writes, Writes::Rows(_)) {
            return Some(Observed::Wrote);
        }
        match (&self.plan.reads, &self.reading) {
            (Reads::Nothing, _) => None,
            (Reads::Refused(reason), _) => Some(Observed::Refused(reason)),
            (Reads::Rows(_), Some(deps)) => Some(Observed::Read { deps: deps.clone(), stamp: self.stamp }),
            (Reads::Rows(_), None) => Some(Observed::Refused(apart.unwrap_or("uncommitted-rows"))),
        }
    }

    /// Why the answer of a read may not be kept, whoever asks.
    pub fn refused(&self) -> Option<&'static str> {
        match self.plan.reads {
            Reads::Refused(reason) => Some(reason),
            Reads::Rows(_) | Reads::Nothing => None,
        }
    }

    /// What the answer is made of and when its snapshot may have begun, if it may be kept.
    pub fn reading(&self) -> Option<(Stamp, Arc<Deps>)> {
        self.reading.as_ref().map(|deps| (self.stamp, deps.clone()))
    }

    /// The answer is complete, and has not been sent. When this returns the client may have it.
    pub async fn ended(mut self, session: &mut Session, ended: Ended, witness: Option<&Witness>) {
        session.ended(&self, ended, witness);
        let Some(fence) = self.fence.take() else { return };
        let undone = ended.error.is_some_and(ends_before_commit) && !self.certain;
        if undone {
            return fence.release();
        }
        let schema = matches!(&self.plan.writes, Writes::Rows(closure) if closure.schema);
        let changes = match ended.gtid.filter(|_| self.narrows && !schema && self.follow.freshness().rows_wanted(fence.tables())) {
            Some(gtid) => self.changes(gtid, fence.tables()).await,
            // Nobody is spared by knowing them, or they are not known.
            None => {
                ended.gtid.into_iter().for_each(|gtid| self.follow.told.disown(gtid));
                Changes::new()
            }
        };
        if !schema {
            return fence.commit_noted(&changes, unix_ms_now(), self.wrote());
        }
        // Those who still run by the old catalogue keep the fence up; this statement does not count among them any more.
        let follow = self.follow.clone();
        drop(self);
        follow.schema_changed(fence).await;
    }
}

impl Running {
    /// The statement that wrote what is committed, without its values.
    fn wrote(&self) -> Option<Arc<str>> {
        let plan = if matches!(self.plan.writes, Writes::Rows(_)) { Some(&self.plan) } else { self.writer.as_ref() };
        plan.and_then(|plan| plan.text.clone())
    }

    /// The rows of the commit at `gtid`, if the log tells them in time.
    async fn changes(&self, gtid: Gtid, fence: &Tables) -> Changes {
        let (Some(catalogue), Some(group)) = (self.generation.catalogue(), self.follow.told.claim(gtid).await) else {
            return Changes::new();
        };
        let changes = binlog::changes(&group, catalogue, fence);
        let covered = |table: &Table| matches!(fence, Tables::Known(fenced) if fenced.binary_search(table).is_ok());
        if !changes.tables().all(|table| covered(&table)) {
            // Something writes a table that the catalogue does not know of.
            self.follow.committed_unseen();
            return Changes::new();
        }
        changes
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(fence) = self.fence.take() {
            self.follow.outcome_unknown(fence, self.server.clone());
        }
    }
}

// === helpers ===

fn nothing(tables: &Tables) -> bool {
    matches!(tables, Tables::Known(tables) if tables.is_empty())
}

fn united(one: &Tables, other: &Tables) -> Tables {
    match (one, other) {
        (Tables::Known(one), Tables::Known(other)) => Tables::of(one.iter().chain(other).copied().collect::<Vec<Table>>()),
        _ => Tables::All,
    }
}

/// Errors that a statement by itself ends with before anything of it is committed: syntax, rights, constraints, locks.
fn ends_before_commit(error: u16) -> bool {
    matches!(
        error,
        1022 | 1048
            | 1054
            | 1062
            | 1064
            | 1136
            | 1142
            | 1143
            | 1146
            | 1205
            | 1213
            | 1216
            | 1217
            | 1264
            | 1265
            | 1364
            | 1366
            | 1406
            | 1451
            | 1452
    )
}
