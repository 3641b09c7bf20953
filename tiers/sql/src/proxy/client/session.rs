//! What a client does with its session as a whole: reset, options, KILL.

use pumasi_mysqlwire::{Capabilities, Command, Expect, SqlError};

use super::{super::FIRST_CLIENT, Client, Flow, Hold, InsertId, Last, Trouble, key_of};
use crate::{cluster::Writes, front::registry::Kill};

impl Client {
    pub(super) async fn set_multi_statements(&mut self, on: bool) -> Result<(), Trouble> {
        let both = Capabilities::MULTI_STATEMENTS | Capabilities::MULTI_RESULTS;
        self.capabilities = if on { self.capabilities | both } else { self.capabilities - Capabilities::MULTI_STATEMENTS };
        self.key = key_of(&self.user, self.capabilities, self.collation, self.server, self.key.era);
        if self.lease.is_some() {
            // The connection it keeps changes with it, and is of another kind from now on.
            let key = self.key.clone();
            let backend = &mut self.lease_mut().backend;
            backend.run(Command::SetMultiStatements(on), Expect::One).await.map_err(Trouble::Backend)??;
            backend.key = key;
        }
        self.put_eof();
        Ok(())
    }

    pub(super) async fn reset_connection(&mut self) -> Result<(), Trouble> {
        self.forget_statements();
        self.hold = Hold::default();
        self.last = Last::default();
        self.insert_id = InsertId::default();
        self.writes = Writes::default();
        self.state.variables.clear();
        self.state.user.clear();
        let era = self.shared.era();
        if era != self.key.era {
            // As a login would, it begins with what is global now.
            self.key = key_of(&self.user, self.capabilities, self.collation, self.server, era);
        }
        if let Some(mut lease) = self.lease.take() {
            // Closed with what it holds if it cannot be reset.
            if lease.backend.reset().await.is_ok_and(|reset| reset.is_ok()) {
                lease.release();
            }
        }
        self.put_ok();
        Ok(())
    }

    /// Whether KILL of this number ends one of our clients: by the number it was greeted with, or by the primary's number for the connection it
    /// keeps, which is what CONNECTION_ID() and SHOW PROCESSLIST tell. Any other is for the server itself.
    pub(super) fn kills_here(&self, id: u32) -> bool {
        id >= FIRST_CLIENT || self.shared.registry.keeper_of(id).is_some()
    }

    /// What [`Client::kills_here`].
    pub(super) fn kill(&mut self, id: u32, what: Kill) -> Result<Flow, Trouble> {
        let id = if id >= FIRST_CLIENT { id } else { self.shared.registry.keeper_of(id).unwrap_or(id) };
        if id == self.place.entry.id {
            let error = SqlError::new(1317, "70100", "Query execution was interrupted");
            if what == Kill::Query {
                return Err(error.into());
            }
            self.put_error(&error);
            return Ok(Flow::End);
        }
        if !self.shared.registry.kill(id, what) {
            return Err(SqlError::new(1094, "HY000", format!("Unknown thread id: {id}")).into());
        }
        self.put_ok();
        Ok(Flow::Next)
    }
}
