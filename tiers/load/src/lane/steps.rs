//! From one step of a journey to the next.

use super::{Journey, Lane};
use crate::tally::ErrorKind;
use std::cmp::Reverse;

/// A vuser that could not connect waits this long: without it a dead target is asked as fast as the CPU can fail.
const PAUSE_NS: u64 = 100_000_000;

impl Lane<'_> {
    pub(super) fn new_journey(&mut self) -> u32 {
        let journey = self.spare.pop().unwrap_or_else(|| {
            self.journeys.push(Journey::new(self.plan));
            (self.journeys.len() - 1) as u32
        });
        self.journeys[journey as usize].begin(self.plan, &mut self.dice);
        journey
    }

    /// The journey's current step is due since `planned`: sends it, or queues it for a connection.
    pub(super) fn request(&mut self, journey: u32, planned: u64, now: u64) {
        self.journeys[journey as usize].plan_request(planned);
        match self.take_free() {
            Some(connection) => self.send(connection, journey, now),
            None => {
                self.waiting.push_back(journey);
                self.open_connections(now);
            }
        }
    }

    /// The journey's current step has been answered and counted.
    pub(super) fn next_step(&mut self, journey: u32, now: u64) {
        let state = &mut self.journeys[journey as usize];
        let step = &self.plan.steps[state.step];
        let more = state.advance(self.plan);
        let think_ns = step.think.map_or(0, |(from, to)| {
            let span = (to - from).as_nanos() as u64;
            from.as_nanos() as u64 + self.dice.below(span + 1)
        });
        let stays = more || self.end_of_journey(journey, now);
        match stays {
            false => self.leave(journey),
            true if think_ns > 0 => self.thinking.push(Reverse((now + think_ns, journey))),
            true if now >= self.end_ns => self.leave(journey),
            true => self.request(journey, now, now),
        }
    }

    /// True if a vuser begins its next journey.
    pub(super) fn end_of_journey(&mut self, journey: u32, now: u64) -> bool {
        self.total.journeys += u64::from(now >= self.warmup_ns);
        if self.arrivals.is_some() || self.vusers > self.vusers_wanted(now) {
            return false;
        }
        self.journeys[journey as usize].begin(self.plan, &mut self.dice);
        true
    }

    pub(super) fn leave(&mut self, journey: u32) {
        self.vusers -= usize::from(self.arrivals.is_none());
        self.spare.push(journey);
    }

    /// The journey's current step failed without an answer: in the open model the journey ends, a vuser begins its next.
    pub(super) fn fail(&mut self, journey: u32, kind: ErrorKind, reason: &str, now: u64) {
        self.count_error(journey, kind, reason, now);
        if self.end_of_journey(journey, now) {
            let pause = if kind == ErrorKind::Connect { PAUSE_NS } else { 0 };
            self.thinking.push(Reverse((now + pause, journey)));
        } else {
            self.leave(journey);
        }
    }
}
