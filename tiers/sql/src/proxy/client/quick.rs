//! The short way of a hit: a statement whose bytes have been answered before is answered from memory before anything else is made of it.
//!
//! No parsing, no digest, no copy of the command, no timer and no task switch: a look-up by the bytes as they stand in the inbox, the check of
//! `parts/freshness`, one copy into the outbox. Several commands that have arrived together are answered with one write.
//!
//! **Invariant:** it answers nothing that the long way ([`super::stored`]) would not answer from memory in the same session. What that asks of the
//! session is asked once, after each command that took the long way ([`Client::settle_quick`]): between two such commands nothing changes
//! what a session is. What it asks of the statement was asked when its answer was kept, by the same bytes under the same settings.
use std::{sync::Arc, time::Instant};

use pumasi_freshness::{Observed, Statement};
use pumasi_mysqlwire::{HEADER, ServerStatus};
use pumasi_trace::trace_said;

use super::{
    Client,
    prepared::LATEST,
    stored::{SQL_MAX, form},
};
use crate::results::{Key, Parts};

/// COM_QUERY and COM_STMT_EXECUTE.
const QUERY: u8 = 0x03;
const EXECUTE: u8 = 0x17;

/// Behind COM_STMT_EXECUTE: the statement's number, flags (a cursor or none), how often (once).
const EXECUTE_HEAD: usize = 4 + 1 + 4;

#[derive(Default)]
pub(super) struct Quick {
    /// What the session's answers depend on besides their statements; `None` while it takes the long way.
    settings: Option<Arc<[u8]>>,
    /// For the next look-up's key and parameters, so that they cost no allocation.
    key: Vec<u8>,
    parameters: Vec<u8>,
    /// Told to the worker's requests until their answers have been sent.
    witnessed: Vec<Statement>,
}

impl Client {
    /// Answers what has arrived, as far as it goes without waiting for anybody, and until that is worth being sent. False: nothing was answered.
    pub(super) fn answer_quickly(&mut self) -> bool {
        if self.link.inbox.pending() == 0 || self.quick.settings.is_none() || self.place.entry.ending() {
            return false;
        }
        let mut began = Instant::now();
        let mut any = false;
        while let Some(ended) = self.answer_one(began) {
            (began, any) = (ended, true);
            if self.link.large() {
                break;
            }
        }
        any
    }

    /// The answers are with the client, or on their way for good.
    pub(super) fn quick_sent(&mut self) {
        self.quick.witnessed.clear();
    }

    /// The next command does not find what was true of the session before this one.
    pub(super) fn leave_quick(&mut self) {
        self.quick.settings = None;
    }

    /// After a command that took the long way: whether the next may take the short one.
    pub(super) fn settle_quick(&mut self) {
        let plain = self.shared.follow.is_some()
            && self.lease.is_none()
            && !self.hold.warnings
            && self.hold.long_data.is_empty()
            && self.hold.cursors.is_empty()
            && !self.shared.rules.limits()
            && self.status().contains(ServerStatus::AUTOCOMMIT)
            && self.apart().is_none();
        self.quick.settings = plain.then(|| self.shaping());
    }

    /// The moment it was answered; `None` if the next command is not here, or not to be answered so.
    fn answer_one(&mut self, began: Instant) -> Option<Instant> {
        let Client { shared, link, quick, statements, latest, capabilities, witness, last, state_shared, .. } = self;
        let (header, payload) = link.inbox.peek()?;
        let mut sequence = link.sequence;
        sequence.restart();
        if payload.len() != header.length || sequence.accept(header.sequence).is_err() {
            return None;
        }
        let settings = quick.settings.as_ref()?;
        let (sql, parameters): (&[u8], Option<&[u8]>) = match *payload.first()? {
            QUERY => (&payload[1..], None),
            EXECUTE => {
                let (head, rest) = payload[1..].split_at_checked(EXECUTE_HEAD)?;
                let id = u32::from_le_bytes(head[..4].try_into().expect("four bytes"));
                let id = latest.filter(|_| id == LATEST).unwrap_or(id);
                let statement = statements.get_mut(&id)?;
                if !Arc::ptr_eq(&statement.state, state_shared) {
                    // Prepared before the session changed: its text may mean something else than it would today.
                    return None;
                }
                quick.parameters.clear();
                quick.parameters.extend_from_slice(&head[4..]);
                statement.with_types(rest, &mut quick.parameters)?;
                (&statement.sql, Some(&quick.parameters))
            }
            _ => return None,
        };
        if sql.len() > SQL_MAX {
            return None;
        }
        let parts = Parts {
            form: form(*capabilities, parameters.is_some()),
            database: None,
            settings,
            prepared_under: parameters.unwrap_or_default(),
            sql,
            parameters: &[],
        };
        quick.key.clear();
        Key::write(&parts, &mut quick.key);
        let (stored, stamp) = shared.follow.as_ref()?.results().at_hand(&quick.key)?;
        shared.meter.started();
        if let Some(witness) = witness {
            let said = parameters.is_none() && witness.tells_apart();
            let said = said.then(|| trace_said(sql)).flatten();
            quick.witnessed.push(witness.statement_of(Observed::Read { deps: stored.entry.deps().clone(), stamp }, said));
        }
        link.outbox.payload().extend_from_slice(&stored.packets);
        let length = header.length;
        link.inbox.skip(HEADER + length);
        last.place = None;
        last.affected_rows = -1;
        last.found_rows = stored.rows;
        let ended = Instant::now();
        let us = u64::try_from((ended - began).as_micros()).unwrap_or(u64::MAX);
        shared.meter.finished(us, true);
        shared.reads.add(1);
        if let Some(count) = &stored.count {
            count.hit(us, stored.rows);
        }
        Some(ended)
    }
}
