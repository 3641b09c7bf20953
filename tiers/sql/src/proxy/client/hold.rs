//! The server connection that a client holds: how it gets one, and why it keeps it.

use std::collections::HashSet;

use pumasi_mysqlwire::{Command, Expect, ServerStatus};
use pumasi_sqltext::Modes;
use tracing::debug;

use super::{
    super::{
        backend::Backend,
        nature::{LooksBack, Nature},
        pool::Lease,
        route::{Errand, Role},
        state::SQL_MODE,
    },
    Client, Relayed, Trouble,
    turn::in_turn,
};
use crate::front::wire::Lost;

/// Why a client keeps its server connection between commands, besides an open transaction.
#[derive(Debug, Default)]
pub(super) struct Hold {
    /// Until the session ends.
    pub(super) pinned: Option<&'static str>,
    /// SET TRANSACTION: until the next transaction has ended.
    pub(super) until_transaction: bool,
    /// Warnings that the next statement may ask for.
    pub(super) warnings: bool,
    /// The client's statement with pieces of parameters at the server.
    pub(super) long_data: HashSet<u32>,
    /// The client's statements with an open cursor.
    pub(super) cursors: HashSet<u32>,
}

impl Client {
    /// Leases a connection, if none is held, and brings it to this session's state.
    pub(super) async fn acquire(&mut self, sql: &[u8], nature: Nature) -> Result<(), Trouble> {
        if let Some(lease) = &self.lease {
            if lease.server().deposed() {
                return Err(Trouble::Backend(Lost::HungUp));
            }
            if lease.server().role == Role::Primary || self.stays_at_replica(nature) {
                return Ok(());
            }
            self.leave_replica();
        }
        let fenced = nature.reads && self.reads_what_is_fenced(sql);
        let Client { shared, pools, link, signals, place, user, key, state, meaning, .. } = self;
        let errand = Errand { sql, nature, user: &user.name, state: meaning.as_deref().unwrap_or(state), fenced };
        let mut lease = in_turn(shared, link, signals, &place.entry, shared.lease(pools, key, user, &errand)).await??;
        if lease.backend.insert_id.asked.is_some() {
            Box::pin(self.leave_insert_id(&mut lease)).await?;
        }
        let begins_with = &lease.backend.facts.sql_mode;
        if *begins_with != self.sql_mode && !self.state.variables.contains_key(SQL_MODE) {
            let latest = self.shared.known_facts().as_ref().is_none_or(|facts| facts.sql_mode == *begins_with);
            if self.last.place.is_none() && latest {
                // The server's default has changed since it was last asked, and no statement has run by the old one yet. A text that has been
                // read by it is read again ([`Client::modes_changed`]).
                let alike = Modes::default().with_sql_mode(begins_with) == Modes::default().with_sql_mode(&self.sql_mode);
                self.sql_mode.clone_from(begins_with);
                self.modes_changed |= !alike;
            } else {
                // It has changed since this session began, which keeps what it began with.
                self.state.variables.insert(SQL_MODE.to_vec(), self.sql_mode.clone());
            }
        }
        if lease.backend.state == self.state {
            self.lease = Some(lease);
            return Ok(());
        }
        match Box::pin(lease.backend.align(&self.state)).await {
            Ok(Ok(())) => {
                self.lease = Some(lease);
                Ok(())
            }
            // Somewhere between two states: not to be used again.
            Ok(Err(error)) => Err(error.into()),
            Err(lost) => Err(Trouble::Backend(lost)),
        }
    }

    /// Whether the latest [`Client::acquire`] found that the session begins with settings by which texts are read otherwise. Told once.
    pub(super) fn modes_changed(&mut self) -> bool {
        std::mem::take(&mut self.modes_changed)
    }

    /// What a session holds a replica's connection for is a look at the warnings of the read before, or at its numbers; nothing else runs there.
    fn stays_at_replica(&self, nature: Nature) -> bool {
        let looks_there = matches!(nature.looks_back, Some(LooksBack::Warnings | LooksBack::FoundRows | LooksBack::RowCount));
        looks_there && (nature.reads || nature.controls)
    }

    /// Gives a replica's connection back: a read leaves nothing there that the session would miss.
    pub(super) fn leave_replica(&mut self) {
        if self.lease.as_ref().is_some_and(|lease| lease.server().role == Role::Replica)
            && let Some(lease) = self.lease.take()
        {
            self.hold.warnings = false;
            lease.release();
        }
    }

    /// Something of the session's is at its server connection that no other has.
    pub(super) fn had_something(&self) -> bool {
        self.hold.pinned.is_some()
            || self.hold.until_transaction
            || self.lease.as_ref().is_some_and(|lease| lease.backend.transaction_holds || in_transaction(&lease.backend))
    }

    pub(super) fn lease_mut(&mut self) -> &mut Lease {
        self.lease.as_mut().expect("acquired by the caller")
    }

    /// Gives the connection back, unless something of this session's is there.
    pub(super) fn settle(&mut self, relayed: &Relayed) {
        let Some(lease) = &self.lease else {
            self.place.entry.keeps(0);
            return;
        };
        if lease.server().role == Role::Replica && relayed.pins.is_some() {
            // A read has left something behind after all. It is closed with it: no session is kept at a replica.
            self.lease = None;
            return;
        }
        if let Some(reason) = relayed.pins {
            self.hold.pinned.get_or_insert(reason);
        }
        let held = self.hold.pinned.is_some()
            || self.hold.until_transaction
            || self.hold.warnings
            || !self.hold.long_data.is_empty()
            || !self.hold.cursors.is_empty()
            || relayed.cursor
            || in_transaction(&lease.backend)
            || lease.backend.transaction_holds;
        let kept = if held && lease.server().role == Role::Primary { lease.backend.server_id } else { 0 };
        self.place.entry.keeps(kept);
        if !held && let Some(lease) = self.lease.take() {
            lease.release();
        }
    }

    pub(super) fn pin(&mut self, reason: &'static str) {
        if self.hold.pinned.is_none() {
            debug!(database = %self.shared.settings.name, connection = self.place.entry.id, reason, "session pinned");
            self.shared.pinned(reason);
        }
        self.hold.pinned.get_or_insert(reason);
    }

    /// A statement of ours on the leased connection; an error of the server is the client's.
    pub(super) async fn run_own(&mut self, sql: &str) -> Result<(), Trouble> {
        let lease = self.lease_mut();
        let ran = lease.backend.run(Command::Query(sql.as_bytes()), Expect::Results).await;
        Ok(ran.map_err(Trouble::Backend)??)
    }

    pub(super) async fn forward(&mut self, command: Command<'_>, expect: Expect) -> Result<(), Trouble> {
        self.acquire(b"", Nature::default()).await?;
        let relayed = self.run_leased(command, expect).await?;
        if let (Command::InitDb(database), false) = (command, relayed.failed) {
            self.state.database = Some(database.to_vec());
            self.lease_mut().backend.state.database = Some(database.to_vec());
        }
        self.settle(&relayed);
        Ok(())
    }
}

// === helpers ===

pub(super) fn in_transaction(backend: &Backend) -> bool {
    backend.status.contains(ServerStatus::IN_TRANSACTION)
}
