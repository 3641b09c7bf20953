//! A latency histogram as it travels: the values that were recorded with their counts, and nothing of the thousands of empty cells.

use super::{LATENCY_US_MAX, latencies};
use hdrhistogram::Histogram;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// Pairs of value and count, for `#[serde(with = ...)]`.
pub fn serialize<S: Serializer>(histogram: &Histogram<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    let recorded: Vec<(u64, u64)> = histogram.iter_recorded().map(|cell| (cell.value_iterated_to(), cell.count_at_value())).collect();
    recorded.serialize(serializer)
}

/// Errors: a value that no histogram of ours could have held.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Histogram<u64>, D::Error> {
    let recorded: Vec<(u64, u64)> = Vec::deserialize(deserializer)?;
    let mut histogram = latencies();
    // The cell of the longest latency ends a little above it.
    for (value, count) in recorded {
        if value == 0 || value > LATENCY_US_MAX * 2 {
            return Err(D::Error::custom(format!("{value} us is no latency")));
        }
        histogram.saturating_record_n(value, count);
    }
    Ok(histogram)
}
