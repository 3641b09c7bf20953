//! HTTP/2: connections that carry several requests, and have their turn once per round of the loop.

use super::{Lane, StreamEnd, Unsendable, connection::Phase};
use crate::{tally::ErrorKind, template::Values};

impl Lane<'_> {
    /// A connection that can take a request now.
    pub(super) fn take_free(&mut self) -> Option<u32> {
        let slot = *self.idle.last()?;
        let connection = &mut self.connections[slot as usize];
        // The last place takes it off the list; an answer puts it back.
        if connection.multiplexed.as_ref().is_none_or(|multiplexed| multiplexed.free() <= 1) {
            self.idle.pop();
            connection.listed = false;
        }
        Some(slot)
    }

    /// As many of the waiting requests as the connection takes; with room left it is listed.
    pub(super) fn fill(&mut self, slot: u32, now: u64) {
        loop {
            let connection = &mut self.connections[slot as usize];
            connection.phase = Phase::Busy;
            let free = connection.multiplexed.as_ref().map_or(0, |multiplexed| multiplexed.free());
            if free == 0 || connection.leaving {
                return;
            }
            let Some(journey) = self.waiting.pop_front() else {
                if !std::mem::replace(&mut connection.listed, true) {
                    self.idle.push(slot);
                }
                return;
            };
            self.send_stream(slot, journey, now);
        }
    }

    pub(super) fn send_stream(&mut self, slot: u32, journey: u32, now: u64) {
        let plan = self.plan;
        let state = &mut self.journeys[journey as usize];
        let (number, step) = (state.step, &plan.steps[state.step]);
        let (bytes, fixed): (&[u8], _) = match &step.request.fixed {
            Some(fixed) if state.cookies.is_empty() => (fixed, Some(number)),
            _ => {
                self.rendered.clear();
                let mut values =
                    Values { slots: &state.slots, rows: &state.rows, feeds: &plan.feeds, counters: &plan.counters, dice: &mut self.dice };
                if !step.request.render(&mut values, &state.cookies, &mut self.scratch, &mut self.rendered) {
                    self.rendered.clear();
                }
                (&self.rendered, None)
            }
        };
        let connection = &mut self.connections[slot as usize];
        let multiplexed = connection.multiplexed.as_mut().expect("only called for connections that speak HTTP/2");
        match multiplexed.send(journey, bytes, fixed, step.expect, now) {
            Ok(()) => {
                self.busy += 1;
                self.rouse(slot);
            }
            Err(Unsendable::Anywhere) => {
                self.rouse(slot);
                self.fail(journey, ErrorKind::Request, "a value makes the request one that HTTP/2 cannot carry", now);
            }
            // It has been told to go (GOAWAY), or is gone: what is on it may end, the request waits for another one.
            Err(Unsendable::Here) => {
                connection.leaving = true;
                connection.listed = false;
                self.idle.retain(|idle| *idle != slot);
                self.waiting.push_front(journey);
                self.rouse(slot);
            }
        }
    }

    /// The connection gets its turn at the end of this round.
    pub(super) fn rouse(&mut self, slot: u32) {
        if !std::mem::replace(&mut self.connections[slot as usize].restless, true) {
            self.restless.push(slot);
        }
    }

    pub(super) fn turn_restless(&mut self) {
        // Those that become restless meanwhile have their turn in the next round, after the schedule.
        for _ in 0..self.restless.len() {
            let slot = self.restless.swap_remove(0);
            self.connections[slot as usize].restless = false;
            self.turn(slot);
        }
    }

    /// Reads, writes, counts, sends what waits.
    fn turn(&mut self, slot: u32) {
        let now = self.now();
        let mut ended = std::mem::take(&mut self.ended);
        let Some(multiplexed) = self.connections[slot as usize].multiplexed.as_mut() else { return };
        let alive = multiplexed.turn(now, &mut ended);
        let (read, written) = multiplexed.moved();
        self.slice.bytes_in += read;
        if now >= self.warmup_ns {
            self.total.bytes_in += read;
            self.total.bytes_out += written;
        }
        let any = !ended.is_empty();
        for (stream, end) in ended.drain(..) {
            self.stream_ended(slot, stream, end, now);
        }
        self.ended = ended;
        let connection = &self.connections[slot as usize];
        let Some(multiplexed) = connection.multiplexed.as_ref() else { return };
        if !alive || connection.leaving && multiplexed.active() == 0 {
            self.drop_connection(slot, false);
            return self.open_connections(now);
        }
        // What the streams gave back (windows, resets) leaves with another turn.
        if any || multiplexed.restless() {
            self.rouse(slot);
        }
        self.fill(slot, now);
        self.open_connections(now);
    }

    pub(super) fn stream_ended(&mut self, slot: u32, stream: u32, end: StreamEnd, now: u64) {
        let connection = &mut self.connections[slot as usize];
        let multiplexed = connection.multiplexed.as_mut().expect("its streams end before the connection does");
        let times = multiplexed.times(stream);
        let journey = times.journey;
        let state = &mut self.journeys[journey as usize];
        let step = &self.plan.steps[state.step];
        self.busy -= 1;
        match end {
            StreamEnd::Answered => {
                connection.served += 1;
                let answer = multiplexed.answer(stream);
                let judged = step.judge(answer, |slot, value| state.set_slot(slot, value));
                if self.plan.scenarios[state.scenario].cookies {
                    state.take_cookies(answer.head);
                }
                let status = answer.status;
                multiplexed.free_slot(stream);
                self.count_answer(journey, status, times.sent_ns, times.first_byte_ns, now, judged.is_ok());
                if let Err((kind, reason)) = judged {
                    self.count_kind(journey, kind, &reason, now);
                }
                self.next_step(journey, now);
            }
            StreamEnd::Failed { reason, unprocessed } => {
                let stale = connection.served > 0 && times.first_byte_ns == 0 && step.idempotent;
                multiplexed.free_slot(stream);
                if (unprocessed || stale) && !state.resent {
                    state.resent = true;
                    self.waiting.push_front(journey);
                } else {
                    self.fail(journey, ErrorKind::Closed, &reason, now);
                }
            }
        }
    }

    pub(super) fn expire_streams(&mut self, slot: u32, now: u64) {
        let Some(instant) = now.checked_sub(self.timeout_ns) else { return };
        loop {
            let multiplexed = self.connections[slot as usize].multiplexed.as_mut().expect("the caller has looked");
            let Some(stream) = multiplexed.sent_before(instant) else { return };
            let journey = multiplexed.times(stream).journey;
            multiplexed.free_slot(stream);
            self.busy -= 1;
            self.rouse(slot);
            self.fail(journey, ErrorKind::Timeout, "no complete answer in time", now);
        }
    }
}
