//! The shape of a load over time: stages and ramps, and the instants at which they plan their arrivals.
//!
//! Arrival `i` happens when the integral of the rate reaches `i`. That instant is computed from `i` alone, so neither rounding nor a
//! late generator can make the rate drift: after an hour at 50,000/s the 180 millionth arrival is still planned to the nanosecond
//! that f64 can hold.

use std::time::Duration;

/// A piece of the shape: the level goes linearly from `from` to `to` in `lasts`. The level is arrivals per second in the open model
/// and vusers in the closed one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Segment {
    pub from: f64,
    pub to: f64,
    pub lasts: Duration,
}

/// Segments one after another. Invariant: at least one segment, none of them empty, every level finite and >= 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    segments: Vec<Segment>,
}

/// A stage as it is written: a level, how long, and whether it is reached gradually from the level before (0 before the first).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stage {
    pub level: f64,
    pub lasts: Duration,
    pub ramp: bool,
}

impl Profile {
    /// `warmup` goes before the stages, at the first level that is held or reached.
    ///
    /// Panics if there is no stage or a stage lasts no time: whoever reads stages from outside has checked both.
    pub fn new(warmup: Duration, stages: &[Stage]) -> Profile {
        assert!(!stages.is_empty() && stages.iter().all(|stage| !stage.lasts.is_zero() && stage.level.is_finite() && stage.level >= 0.0));
        let mut segments = Vec::with_capacity(stages.len() + 1);
        let mut before = 0.0;
        if !warmup.is_zero() {
            segments.push(Segment { from: stages[0].level, to: stages[0].level, lasts: warmup });
        }
        for stage in stages {
            segments.push(Segment { from: if stage.ramp { before } else { stage.level }, to: stage.level, lasts: stage.lasts });
            before = stage.level;
        }
        Profile { segments }
    }

    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// From the first planned instant to the end of the last segment, warm-up included.
    pub fn lasts(&self) -> Duration {
        self.segments.iter().map(|segment| segment.lasts).sum()
    }

    /// The highest level reached.
    pub fn peak(&self) -> f64 {
        self.segments.iter().map(|segment| segment.from.max(segment.to)).fold(0.0, f64::max)
    }

    /// The level at `at`; the last one after the end.
    pub fn level(&self, at: Duration) -> f64 {
        let mut at = at.as_secs_f64();
        for segment in &self.segments {
            let lasts = segment.lasts.as_secs_f64();
            if at < lasts {
                return segment.from + (segment.to - segment.from) * at / lasts;
            }
            at -= lasts;
        }
        self.segments.last().expect("non-empty: checked in Profile::new").to
    }

    /// How many arrivals are planned before `until`.
    pub fn arrivals_before(&self, until: Duration) -> f64 {
        let mut left = until.as_secs_f64();
        let mut sum = 0.0;
        for segment in &self.segments {
            let part = left.min(segment.lasts.as_secs_f64());
            if part <= 0.0 {
                break;
            }
            sum += segment.arrivals_in(part);
            left -= part;
        }
        sum
    }

    /// The planned instants of every `stride`-th arrival from the `first` on, in nanoseconds since the start: one lane's share.
    pub fn arrivals(&self, first: u64, stride: u64) -> Arrivals<'_> {
        Arrivals { segments: &self.segments, next: first, stride, started_s: 0.0, counted: 0.0 }
    }
}

impl Segment {
    fn arrivals_in(&self, seconds: f64) -> f64 {
        self.from * seconds + (self.to - self.from) * seconds * seconds / (2.0 * self.lasts.as_secs_f64())
    }

    /// When the `count`-th arrival of this segment is due, in seconds since its start. The form of the quadratic formula that does not
    /// subtract nearly equal numbers.
    fn due(&self, count: f64) -> f64 {
        if count == 0.0 {
            return 0.0;
        }
        let slope = (self.to - self.from) / (2.0 * self.lasts.as_secs_f64());
        2.0 * count / (self.from + (self.from * self.from + 4.0 * slope * count).max(0.0).sqrt())
    }
}

/// See [`Profile::arrivals`]. Sorted; ends with the profile.
#[derive(Debug)]
pub struct Arrivals<'p> {
    segments: &'p [Segment],
    next: u64,
    stride: u64,
    started_s: f64,
    counted: f64,
}

impl Iterator for Arrivals<'_> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        loop {
            let (segment, rest) = self.segments.split_first()?;
            let lasts = segment.lasts.as_secs_f64();
            let planned = segment.arrivals_in(lasts);
            let count = self.next as f64 - self.counted;
            if count < planned {
                self.next += self.stride;
                return Some(((self.started_s + segment.due(count)) * 1e9) as u64);
            }
            self.counted += planned;
            self.started_s += lasts;
            self.segments = rest;
        }
    }
}

#[cfg(test)]
mod tests;
