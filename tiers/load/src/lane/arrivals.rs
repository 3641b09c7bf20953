//! Who begins when: planned arrivals, vusers, and users who have thought enough.

use super::{LATE, Lane, NEVER};
use crate::{plan::Model, tally::LATENCY_US_MAX};
use std::{cmp::Reverse, time::Duration};

impl Lane<'_> {
    pub(super) fn admit_arrivals(&mut self, now: u64) {
        while self.next_arrival <= now {
            let planned = self.next_arrival;
            self.next_arrival = self.arrivals.as_mut().and_then(Iterator::next).unwrap_or(NEVER);
            self.admit(planned, now);
        }
    }

    pub(super) fn admit(&mut self, planned: u64, now: u64) {
        let late = now - planned > LATE.as_nanos() as u64;
        self.slice.planned += 1;
        self.slice.late += u64::from(late);
        let shed = self.busy + self.waiting.len() >= self.in_flight_max;
        self.slice.shed += u64::from(shed);
        if planned >= self.warmup_ns {
            self.total.planned += 1;
            self.total.late += u64::from(late);
            self.total.shed += u64::from(shed);
            self.total.behind.saturating_record(((now - planned) / 1000).clamp(1, LATENCY_US_MAX));
        }
        if !shed {
            let journey = self.new_journey();
            self.request(journey, planned, now);
        }
    }

    /// Closed model: starts the vusers that the profile asks for by now. Those too many leave when their journey ends.
    pub(super) fn start_vusers(&mut self, now: u64) {
        while self.vusers < self.vusers_wanted(now) {
            self.vusers += 1;
            let journey = self.new_journey();
            self.request(journey, now, now);
        }
    }

    pub(super) fn vusers_wanted(&self, now: u64) -> usize {
        if now >= self.end_ns {
            return 0;
        }
        let Model::Closed(profile) = &self.plan.model else { return 0 };
        let all = profile.level(Duration::from_nanos(now)).round() as usize;
        let lanes = self.plan.limits.lanes();
        all / lanes + usize::from(self.number < all % lanes)
    }

    pub(super) fn wake_thinkers(&mut self, now: u64) {
        while let Some(Reverse((due, journey))) = self.thinking.peek().copied() {
            if due > now {
                return;
            }
            self.thinking.pop();
            if now >= self.end_ns {
                self.leave(journey);
            } else {
                // The user was ready when the thinking was over: what the generator adds belongs to the latency.
                self.request(journey, due, now);
            }
        }
    }
}
