//! Where the lines of a grid stand and what they are called.
use crate::units::Unit;

/// Round values from 0 up to at least `max`: at most `count` steps of 1, 2, 2.5 or 5 times a power of ten. Never empty.
pub fn round_values(max: f64, count: usize) -> Vec<f64> {
    let max = if max.is_finite() && max > 0.0 { max } else { 1.0 };
    let least = max / count.max(1) as f64;
    let power = 10_f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].iter().map(|factor| factor * power).find(|step| *step >= least * 0.999_999).unwrap_or(least);
    let steps = (max / step - 1e-6).ceil().max(1.0) as usize;
    (0..=steps).map(|index| index as f64 * step).collect()
}

/// Shares never need an axis past 100 %.
pub fn limit(unit: Unit, max: f64) -> f64 {
    if unit == Unit::Share { max.clamp(0.01, 1.0) } else { max }
}

/// Round seconds between `first` and `last`, at most `count + 1` of them: whole minutes, quarters and hours where they fit.
pub fn round_seconds(first: f64, last: f64, count: usize) -> Vec<f64> {
    const STEPS: [f64; 19] = [
        1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 14_400.0, 21_600.0, 43_200.0, 86_400.0,
        172_800.0,
    ];
    let span = (last - first).max(0.0);
    let step = STEPS.into_iter().find(|step| span / step <= count as f64).unwrap_or(span / count.max(1) as f64);
    let (from, to) = ((first / step).ceil() as i64, (last / step).floor() as i64);
    (from..=to).map(|index| index as f64 * step).collect()
}

/// `45 s`, `10 min`, `3 h`, `2 d`.
pub fn show_seconds(seconds: f64) -> String {
    let size = seconds.abs();
    let (value, unit) = match size {
        _ if size < 60.0 || size % 60.0 != 0.0 && size < 600.0 => (size, "s"),
        _ if size < 3600.0 || size % 3600.0 != 0.0 && size < 36_000.0 => (size / 60.0, "min"),
        _ if size < 172_800.0 => (size / 3600.0, "h"),
        _ => (size / 86_400.0, "d"),
    };
    format!("{}{} {unit}", if seconds < 0.0 { "−" } else { "" }, (value * 10.0).round() / 10.0)
}

#[cfg(test)]
mod tests;
