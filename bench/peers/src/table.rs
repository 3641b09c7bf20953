//! Rounds to a row: median and spread.

/// The middle one. Panics if there is none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// Distance of the extremes over the median, in percent.
pub fn spread_percent(values: &[f64]) -> f64 {
    let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(l, h), &v| (l.min(v), h.max(v)));
    100.0 * (high - low) / median(values)
}
