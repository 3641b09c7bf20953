//! Connections that are opened, used, and closed; one request at a time on each.

use super::{
    Lane,
    connection::{Connection, Phase, Received},
};
use crate::{reply::Progress, tally::ErrorKind, template::Values};
use rustix::event::epoll;

impl Lane<'_> {
    /// Opens one connection for each request that has none coming; an HTTP/2 connection takes several.
    pub(super) fn open_connections(&mut self, now: u64) {
        while self.opening * self.plan.limits.streams_max < self.waiting.len()
            && self.connections.len() - self.vacant.len() < self.connections_max
        {
            let slot = self.vacant.pop().unwrap_or_else(|| {
                self.connections.push(Connection::default());
                (self.connections.len() - 1) as u32
            });
            let target = &self.plan.target;
            let address = target.addresses[self.total.connects as usize % target.addresses.len()];
            self.total.connects += 1;
            match self.connections[slot as usize].open(&self.epoll, slot, address, target, now) {
                Ok(()) => self.opening += 1,
                Err(error) => {
                    self.vacant.push(slot);
                    self.fail_waiting(ErrorKind::Connect, &error.to_string(), now);
                }
            }
        }
    }

    /// A connection that was to be opened could not be: the request that has waited longest pays for it.
    pub(super) fn fail_waiting(&mut self, kind: ErrorKind, reason: &str, now: u64) {
        if let Some(journey) = self.waiting.pop_front() {
            self.fail(journey, kind, reason, now);
        }
    }

    pub(super) fn on_event(&mut self, data: u64, flags: epoll::EventFlags) {
        let slot = data as u32;
        let connection = &mut self.connections[slot as usize];
        if connection.serial != (data >> 32) as u32 {
            // The event is about the socket that had this slot before.
            return;
        }
        if connection.multiplexed.is_some() {
            return self.rouse(slot);
        }
        match connection.phase {
            Phase::Vacant => {}
            Phase::Opening => self.on_opening(slot),
            // Nothing was asked, so whatever comes is the end of the connection, or as good as that; but for what TLS says to itself.
            Phase::Idle => {
                if !matches!(connection.read(&mut self.buffer), Received::Nothing) {
                    self.drop_connection(slot, true);
                }
            }
            Phase::Busy => {
                if connection.unsent() && flags.intersects(epoll::EventFlags::OUT | epoll::EventFlags::ERR | epoll::EventFlags::HUP) {
                    // An error shows again at the read below, where it is told.
                    let _ = connection.write_rest();
                }
                if flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::ERR | epoll::EventFlags::HUP) {
                    let hung_up = flags.intersects(epoll::EventFlags::RDHUP | epoll::EventFlags::ERR | epoll::EventFlags::HUP);
                    self.receive(slot, hung_up);
                }
            }
        }
    }

    pub(super) fn on_opening(&mut self, slot: u32) {
        match self.connections[slot as usize].proceed(self.plan) {
            Ok(false) => {}
            Ok(true) => {
                self.opening -= 1;
                let now = self.now();
                self.release(slot, now);
            }
            Err((kind, reason)) => {
                let now = self.now();
                self.drop_connection(slot, false);
                self.fail_waiting(kind, &reason, now);
                self.open_connections(now);
            }
        }
    }

    /// A connection is free for the request that has waited longest, or idle.
    pub(super) fn release(&mut self, slot: u32, now: u64) {
        let connection = &mut self.connections[slot as usize];
        if connection.multiplexed.is_some() {
            self.fill(slot, now);
            // Its preface leaves also when no request waits.
            return self.rouse(slot);
        }
        connection.phase = Phase::Idle;
        match self.waiting.front().copied() {
            // It has met one closed connection; another that has been open for a while could be closed as well.
            Some(journey) if self.journeys[journey as usize].resent && connection.served > 0 => {
                self.drop_connection(slot, false);
                self.open_connections(now);
            }
            Some(journey) => {
                self.waiting.pop_front();
                self.send(slot, journey, now);
            }
            None => self.idle.push(slot),
        }
    }

    pub(super) fn drop_connection(&mut self, slot: u32, was_idle: bool) {
        let connection = &mut self.connections[slot as usize];
        match connection.phase {
            Phase::Opening => self.opening -= 1,
            // The streams of an HTTP/2 connection have been counted one by one.
            Phase::Busy if connection.multiplexed.is_some() => self.idle.retain(|idle| *idle != slot),
            Phase::Busy => self.busy -= 1,
            Phase::Idle if was_idle => self.idle.retain(|idle| *idle != slot),
            Phase::Idle | Phase::Vacant => {}
        }
        connection.close();
        self.vacant.push(slot);
    }

    pub(super) fn send(&mut self, slot: u32, journey: u32, now: u64) {
        let plan = self.plan;
        let state = &mut self.journeys[journey as usize];
        let step = &plan.steps[state.step];
        let connection = &mut self.connections[slot as usize];
        if connection.multiplexed.is_some() {
            return self.send_stream(slot, journey, now);
        }
        let bytes: &[u8] = match &step.request.fixed {
            Some(fixed) if state.cookies.is_empty() => fixed,
            _ => {
                self.rendered.clear();
                let mut values =
                    Values { slots: &state.slots, rows: &state.rows, feeds: &plan.feeds, counters: &plan.counters, dice: &mut self.dice };
                if !step.request.render(&mut values, &state.cookies, &mut self.scratch, &mut self.rendered) {
                    connection.phase = Phase::Idle;
                    self.idle.push(slot);
                    return self.fail(journey, ErrorKind::Request, "a value has a line break or another control byte", now);
                }
                &self.rendered
            }
        };
        if state.planned >= self.warmup_ns {
            self.total.bytes_out += bytes.len() as u64;
        }
        connection.phase = Phase::Busy;
        connection.journey_measured = state.planned >= self.warmup_ns;
        self.busy += 1;
        if let Err(error) = connection.begin(journey, bytes, step.expect, now) {
            self.broken(slot, ErrorKind::Closed, &error.to_string(), now);
        }
    }

    /// `hung_up`: the event told of the connection's end as well. It will not be told again, so reading goes on until it is met.
    pub(super) fn receive(&mut self, slot: u32, hung_up: bool) {
        loop {
            let connection = &mut self.connections[slot as usize];
            let received = connection.read(&mut self.buffer);
            let now = self.start.elapsed().as_nanos() as u64;
            match received {
                Received::Nothing => return,
                Received::Bytes { count, drained } => {
                    if connection.first_byte_ns == 0 {
                        connection.first_byte_ns = now;
                    }
                    if connection.journey_measured {
                        self.total.bytes_in += count as u64;
                    }
                    self.slice.bytes_in += count as u64;
                    match connection.reader.feed(&self.buffer[..count]) {
                        Progress::More if drained && !hung_up => return,
                        Progress::More => {}
                        Progress::Done { used } => return self.answered(slot, used == count && !hung_up, now),
                        Progress::Refused(reason) => return self.broken(slot, ErrorKind::Protocol, &reason, now),
                    }
                }
                Received::End => {
                    return if connection.reader.end() {
                        self.answered(slot, false, now)
                    } else {
                        self.broken(slot, ErrorKind::Closed, "the server closed the connection before the end of the answer", now)
                    };
                }
                Received::Failed(error) => return self.broken(slot, ErrorKind::Closed, &error.to_string(), now),
            }
        }
    }

    /// A complete answer. `clean`: nothing came after it, so the connection may go on.
    pub(super) fn answered(&mut self, slot: u32, clean: bool, now: u64) {
        let connection = &mut self.connections[slot as usize];
        connection.served += 1;
        let journey = connection.journey;
        let state = &mut self.journeys[journey as usize];
        let step = &self.plan.steps[state.step];
        let judged = step.judge(connection.reader.answer(), |slot, value| state.set_slot(slot, value));
        if self.plan.scenarios[state.scenario].cookies {
            state.take_cookies(connection.reader.head());
        }
        let reusable = clean && connection.reader.reusable();
        let (sent, first, status) = (connection.sent_ns, connection.first_byte_ns, connection.reader.status());
        self.count_answer(journey, status, sent, first, now, judged.is_ok());
        if let Err((kind, reason)) = judged {
            self.count_kind(journey, kind, &reason, now);
        }
        if reusable {
            self.busy -= 1;
            self.release(slot, now);
        } else {
            self.drop_connection(slot, false);
            self.open_connections(now);
        }
        self.next_step(journey, now);
    }

    /// The connection ended or misbehaved with a request on it.
    pub(super) fn broken(&mut self, slot: u32, kind: ErrorKind, reason: &str, now: u64) {
        let connection = &self.connections[slot as usize];
        let (journey, stale) = (connection.journey, connection.served > 0 && connection.first_byte_ns == 0);
        self.drop_connection(slot, false);
        let state = &mut self.journeys[journey as usize];
        // The server may close an idle connection at any time; a request that met that moment is sent again, once, if it may be
        // (RFC 9112 section 9.3.1). Its clock runs on.
        if kind == ErrorKind::Closed && stale && !state.resent && self.plan.steps[state.step].idempotent {
            state.resent = true;
            self.waiting.push_front(journey);
        } else {
            self.fail(journey, kind, reason, now);
        }
        self.open_connections(now);
    }
}
