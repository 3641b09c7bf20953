//! What is counted of an answer or of its absence, and what ends with a second.

use super::{Lane, TICK, connection::Phase, thread_cpu_ns};
use crate::{
    plan::Step,
    tally::{ErrorKind, LATENCY_US_MAX, Slice},
};

impl Lane<'_> {
    pub(super) fn count_answer(&mut self, journey: u32, status: u16, sent: u64, first: u64, now: u64, good: bool) {
        let state = &self.journeys[journey as usize];
        let us = |from: u64, to: u64| (to.saturating_sub(from) / 1000).clamp(1, LATENCY_US_MAX);
        let (response, service, ttfb) = (us(state.planned, now), us(sent, now), us(sent, first));
        self.slice.response.saturating_record(response);
        self.slice.service_us_sum += service;
        self.slice.ttfb_us_sum += ttfb;
        self.slice.ttfb_count += 1;
        self.slice.successful += u64::from(good);
        self.slice.errors += u64::from(!good);
        if !self.measured(state.planned, now) {
            return;
        }
        let step = &mut self.total.steps[state.step];
        step.response.saturating_record(response);
        step.service.saturating_record(service);
        step.ttfb_us_sum += ttfb;
        step.ttfb_count += 1;
        step.successful += u64::from(good);
        step.errors += u64::from(!good);
        self.total.status[usize::from(status.min(999))] += 1;
        self.total.last_done_ns = now;
    }

    /// A request without an answer. A timeout counts with the time it took: leaving it out would flatter the latencies.
    pub(super) fn count_error(&mut self, journey: u32, kind: ErrorKind, reason: &str, now: u64) {
        let state = &self.journeys[journey as usize];
        let waited = ((now - state.planned.min(now)) / 1000).clamp(1, LATENCY_US_MAX);
        self.slice.errors += 1;
        if kind == ErrorKind::Timeout {
            self.slice.response.saturating_record(waited);
        }
        if self.measured(state.planned, now) {
            let step = &mut self.total.steps[state.step];
            step.errors += 1;
            if kind == ErrorKind::Timeout {
                step.response.saturating_record(waited);
                step.service.saturating_record(waited);
            }
            self.total.last_done_ns = now;
        }
        self.count_kind(journey, kind, reason, now);
    }

    /// Whether an answer counts. In the open model what was planned after the warm-up does, however long it takes. A vuser has no plan,
    /// and one that waited since the warm-up was kept from asking in the measured time: there, what is complete after it counts.
    pub(super) fn measured(&self, planned: u64, now: u64) -> bool {
        let instant = if self.arrivals.is_some() { planned } else { now };
        instant >= self.warmup_ns
    }

    pub(super) fn count_kind(&mut self, journey: u32, kind: ErrorKind, reason: &str, now: u64) {
        let state = &self.journeys[journey as usize];
        if self.measured(state.planned, now) {
            self.total.errors[kind as usize] += 1;
            let step: &Step = &self.plan.steps[state.step];
            if !self.total.examples.contains_key(kind.name()) {
                self.total.examples.insert(kind.name().to_string(), format!("{}: {reason}", step.name));
            }
        }
    }

    pub(super) fn tick(&mut self, now: u64) {
        self.next_tick = (now / TICK.as_nanos() as u64 + 1) * TICK.as_nanos() as u64;
        self.start_vusers(now);
        self.expire(now);
        if now / 1_000_000_000 > self.slice.second {
            self.end_slice(now);
        }
    }

    pub(super) fn expire(&mut self, now: u64) {
        for slot in 0..self.connections.len() as u32 {
            if self.connections[slot as usize].multiplexed.is_some() {
                self.expire_streams(slot, now);
                continue;
            }
            let connection = &self.connections[slot as usize];
            if connection.sent_ns + self.timeout_ns > now {
                continue;
            }
            match connection.phase {
                Phase::Opening => {
                    self.drop_connection(slot, false);
                    self.fail_waiting(ErrorKind::Connect, "no connection in time", now);
                }
                Phase::Busy => self.broken(slot, ErrorKind::Timeout, "no complete answer in time", now),
                Phase::Idle | Phase::Vacant => {}
            }
        }
        while let Some(journey) = self.waiting.front().copied() {
            if self.journeys[journey as usize].planned + self.timeout_ns > now {
                break;
            }
            self.waiting.pop_front();
            self.fail(journey, ErrorKind::Timeout, "no connection became free in time", now);
        }
        self.open_connections(now);
    }

    pub(super) fn end_slice(&mut self, now: u64) {
        let cpu = thread_cpu_ns();
        self.slice.cpu_ns = cpu - self.cpu_before;
        self.slice.wall_ns = now - self.slice_started;
        self.slice.in_flight = (self.busy + self.waiting.len()) as u64;
        self.slice.vusers = self.vusers as u64;
        self.cpu_before = cpu;
        self.slice_started = now;
        let done = std::mem::replace(&mut self.slice, Slice::new(now / 1_000_000_000));
        // The controller is gone only when the run is being torn down; then nobody misses the slice.
        let _ = self.slices.send((self.number, done));
    }
}
