//! A run as another process watches it: one line of JSON per second on standard error.

use crate::{plan::Plan, run::Observer, tally::Slice};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// One second of a run under way, warm-up included.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tick {
    pub second: u64,
    pub answered: u64,
    pub errors: u64,
    pub p50_us: u64,
    pub p99_us: u64,
}

/// Prints the ticks. Other lines on standard error are messages for people.
pub struct Ticker;

impl Observer for Ticker {
    fn second(&mut self, _: &Plan, second: &Slice, _: &Histogram<u64>) {
        let tick = Tick {
            second: second.second,
            answered: second.successful,
            errors: second.errors,
            p50_us: second.response.value_at_quantile(0.5),
            p99_us: second.response.value_at_quantile(0.99),
        };
        if let Ok(line) = serde_json::to_string(&tick) {
            eprintln!("{line}");
        }
    }
}
