//! Where a statement runs, and what is remembered of how it ended.

use std::{
    hash::{BuildHasher, Hasher},
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use pumasi_balance::Choice as Balanced;
use pumasi_config::ReadsMode;
use pumasi_metrics::Counter;
use pumasi_mysqlwire::ServerStatus;
use pumasi_sqltext::{Class, Reason, hash_shape};

use super::{
    Cluster, Servers,
    gtid::Gtid,
    positions::{Executor, Tables, UnderWay},
    statement::Statement,
};
use crate::proxy::{
    backend::Backend,
    route::{Choice, Errand, Outcome, Role, Route, Server},
};

/// How long a statement for a primary that somebody could not reach waits before it asks again: the probes know by then.
const SUSPENSE: Duration = Duration::from_millis(100);

/// What routing keeps of one session.
#[derive(Debug)]
pub struct Writes {
    /// Tables that the open transaction has written.
    transaction: Tables,
    under_way: Option<UnderWay>,
    statement: Option<Arc<Statement>>,
}

impl Default for Writes {
    fn default() -> Self {
        Writes { transaction: Tables::none(), under_way: None, statement: None }
    }
}

/// Why a read went to the primary. Labels of counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Why {
    /// Not a read.
    Write,
    Control,
    Several,
    /// It pins its session, or looks back on the statement before.
    Session,
    /// autocommit is off, so it begins a transaction.
    Transaction,
    /// sql_mode makes texts mean something else.
    SqlMode,
    /// The analysis of the text refused it.
    Text(Reason),
    SchemaUnknown,
    SchemaUnreadable,
    /// A write to one of its tables is being carried out.
    UnderWay,
    /// No replica has applied the last write to its tables.
    Behind,
    /// No replica is usable at all.
    NoReplica,
    /// `reads = "primary"`.
    Configured,
}

impl Why {
    fn label(self) -> &'static str {
        match self {
            Why::Write => "write",
            Why::Control => "control",
            Why::Several => "several-statements",
            Why::Session => "session-state",
            Why::Transaction => "transaction",
            Why::SqlMode => "sql-mode",
            Why::Text(reason) => reason.label(),
            Why::SchemaUnknown => "schema-unknown",
            Why::SchemaUnreadable => "schema-unreadable",
            Why::UnderWay => "write-under-way",
            Why::Behind => "replicas-behind",
            Why::NoReplica => "no-replica",
            Why::Configured => "configured",
        }
    }

    const PLAIN: [Why; 12] = [
        Why::Write,
        Why::Control,
        Why::Several,
        Why::Session,
        Why::Transaction,
        Why::SqlMode,
        Why::SchemaUnknown,
        Why::SchemaUnreadable,
        Why::UnderWay,
        Why::Behind,
        Why::NoReplica,
        Why::Configured,
    ];

    fn all() -> impl Iterator<Item = Why> {
        Why::PLAIN.into_iter().chain(Reason::ALL.into_iter().map(Why::Text))
    }

    fn place(self) -> usize {
        Why::all().position(|why| why == self).expect("all are listed")
    }
}

/// Statements by where they went.
pub struct Counts {
    replica: Counter,
    primary: Vec<Counter>,
}

impl Default for Counts {
    fn default() -> Self {
        Counts { replica: Counter::default(), primary: Why::all().map(|_| Counter::default()).collect() }
    }
}

impl Counts {
    /// Reads that replicas answered, and reads and writes that went to the primary by reason, those that happened.
    pub fn shown(&self) -> (u64, Vec<(String, u64)>) {
        let reasons = Why::all().zip(&self.primary).map(|(why, count)| (why.label().to_owned(), count.value()));
        (self.replica.value(), reasons.filter(|(_, count)| *count > 0).collect())
    }
}

impl Route for Cluster {
    fn choose(&self, errand: &Errand<'_>) -> Choice {
        let servers = self.servers.load();
        let why = match self.replica_for(&servers, errand) {
            Ok(replica) => {
                self.counts.replica.add(1);
                return Choice::Server(replica);
            }
            Err(why) => why,
        };
        let Some(primary) = &servers.primary else {
            let mut changes = self.changes();
            return Choice::Wait(Box::pin(async move {
                let _ = changes.wait_for(|topology| topology.primary.is_some()).await;
            }));
        };
        if self.automatic() && self.members.len() > 1 && primary.member.as_ref().is_some_and(|member| member.suspected()) {
            let mut changes = self.changes();
            return Choice::Wait(Box::pin(async move {
                let _ = tokio::time::timeout(SUSPENSE, changes.changed()).await;
            }));
        }
        // Commands without a text are no statements.
        if !errand.sql.is_empty() {
            self.counts.primary[why.place()].add(1);
        }
        Choice::Server(primary.clone())
    }

    fn begins(&self, server: &Arc<Server>, backend: &Backend, errand: &Errand<'_>, writes: &mut Writes) {
        let Some(member) = server.member.as_ref().filter(|_| server.role == Role::Primary && self.members.len() > 1) else { return };
        let statement = self.understand(errand);
        let fenced = match statement.class {
            // They end what is open.
            Class::Commit | Class::Begin | Class::Set => statement.writes.and(&writes.transaction),
            _ => statement.writes.clone(),
        };
        writes.under_way = (!fenced.is_none()).then(|| {
            let executor = Executor {
                member: member.number,
                id: backend.server_id,
                port: backend.link.local_port(),
                ours: errand.user == server.target.user,
            };
            self.positions.begin(fenced, executor)
        });
        writes.statement = Some(statement);
    }

    fn ended(&self, server: &Arc<Server>, _errand: &Errand<'_>, writes: &mut Writes, outcome: Outcome<'_>) {
        let Some(statement) = writes.statement.take() else { return };
        if statement.changes_schema {
            // Before its client is told, so before anybody relies on it.
            self.schema.changed();
            self.positions.ask.notify_one();
        }
        let under_way = writes.under_way.take();
        if server.deposed() {
            // Dropped: the new primary is asked.
            return;
        }
        let (status, gtid) = match outcome {
            Outcome::Answered { status, gtid, .. } | Outcome::Failed { status, gtid } => (status, gtid),
            Outcome::Unknown => return,
        };
        let gtid = gtid.and_then(|gtid| Gtid::parse(&String::from_utf8_lossy(gtid)));
        match (under_way, gtid, outcome) {
            (Some(under_way), Some(gtid), _) => under_way.settled(gtid),
            // An OK packet that reports no position: nothing was logged.
            (Some(under_way), None, Outcome::Answered { affected_rows: Some(_), .. }) => under_way.nothing(),
            (Some(under_way), None, _) => under_way.untold(),
            (None, Some(gtid), _) => self.positions.saw(gtid),
            (None, None, _) => {}
        }
        if matches!(outcome, Outcome::Answered { .. }) && !status.contains(ServerStatus::IN_TRANSACTION) {
            writes.transaction = Tables::none();
        } else {
            writes.transaction = writes.transaction.and(&statement.writes);
        }
    }

    fn written_past(&self, gtid: pumasi_binlog::Gtid) {
        let pumasi_binlog::Gtid { domain, server, sequence } = gtid;
        self.positions.written_past(Gtid { domain, server, sequence });
    }

    fn replicas_are_current(&self) -> bool {
        self.plan.reads == ReadsMode::Fresh
    }

    fn status(&self) -> Option<pumasi_status::Cluster> {
        Some(self.picture())
    }

    fn repeatable(&self, errand: &Errand<'_>) -> bool {
        errand.nature.reads && self.understand(errand).reads.is_ok()
    }

    fn unreachable(&self, server: &Arc<Server>) {
        let Some(member) = &server.member else { return };
        match server.role {
            Role::Primary => member.suspect(true),
            Role::Replica => member.part(),
        }
        self.positions.ask.notify_one();
    }
}

impl Cluster {
    fn replica_for(&self, servers: &Servers, errand: &Errand<'_>) -> Result<Arc<Server>, Why> {
        let required = self.required(errand)?;
        let elsewhere = self.positions.elsewhere();
        if !self.members.iter().any(|member| member.usable()) {
            return Err(Why::NoReplica);
        }
        let current = |number: usize| {
            let member = &self.members[number];
            servers.replicas[number].is_some() && member.usable() && member.applied() >= required && member.covers() >= elsewhere
        };
        let excluded: Vec<_> = self.members.iter().filter(|member| !current(member.number)).map(|member| member.upstream.id()).collect();
        if excluded.len() == self.members.len() {
            return Err(Why::Behind);
        }
        // The lease ends here: a read is short, and turns are what the policy goes by.
        let Balanced::Use(chosen) = self.pool.choose(None, &excluded, Instant::now()) else { return Err(Why::NoReplica) };
        let member = self.members.iter().find(|member| member.upstream.id() == chosen.upstream().id()).ok_or(Why::NoReplica)?;
        servers.replicas[member.number].clone().ok_or(Why::NoReplica)
    }

    /// What a replica must have applied to answer.
    fn required(&self, errand: &Errand<'_>) -> Result<u64, Why> {
        let nature = errand.nature;
        if !nature.reads {
            return Err(if nature.controls { Why::Control } else { Why::Write });
        }
        if self.plan.reads == ReadsMode::Primary || self.members.len() == 1 {
            return Err(Why::Configured);
        }
        if nature.pins.is_some() || nature.until_transaction || nature.looks_back.is_some() {
            return Err(Why::Session);
        }
        let variable = |name: &str| errand.state.variables.get(name.as_bytes()).map(Vec::as_slice);
        if variable("autocommit").is_some_and(|value| value == b"OFF" || value == b"0") {
            return Err(Why::Transaction);
        }
        if variable("sql_mode").is_some_and(|modes| modes.windows(20).any(|mode| mode == b"NO_BACKSLASH_ESCAPES")) {
            return Err(Why::SqlMode);
        }
        if errand.fenced {
            return Err(Why::UnderWay);
        }
        let statement = self.understand(errand);
        let tables = statement.reads.as_ref().map_err(|why| *why)?;
        match self.plan.reads {
            ReadsMode::Bounded(bound) => self.positions.required_within(bound, Instant::now()).ok_or(Why::NoReplica),
            _ => self.positions.required(tables).ok_or(Why::UnderWay),
        }
    }

    fn understand(&self, errand: &Errand<'_>) -> Arc<Statement> {
        let sql_mode = errand.state.variables.get(&b"sql_mode"[..]);
        if sql_mode.is_some_and(|modes| modes.windows(20).any(|mode| mode == b"NO_BACKSLASH_ESCAPES")) {
            return Arc::new(Statement::blind(errand.sql));
        }
        let Some(schema) = self.schema.known() else { return Arc::new(Statement::blind(errand.sql)) };
        let database = errand.state.database.as_deref().map(String::from_utf8_lossy);
        let understand = || Arc::new(Statement::understand(errand.sql, database.as_deref(), &schema));
        // What stands in a comment that is executed is no part of a statement's shape.
        if errand.sql.windows(3).any(|begins| begins == b"/*!" || begins == b"/*M") {
            return understand();
        }
        let mut hasher = self.hashing.build_hasher();
        hash_shape(errand.sql, &mut hasher);
        let key = (hasher.finish(), errand.state.database.clone());
        if let Some(statement) = self.understood.read().unwrap_or_else(PoisonError::into_inner).find(&schema, &key) {
            return statement;
        }
        let statement = understand();
        self.understood.write().unwrap_or_else(PoisonError::into_inner).keep(&schema, key, statement.clone());
        statement
    }
}
