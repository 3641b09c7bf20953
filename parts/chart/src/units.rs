//! Numbers as people read them: three figures and a unit.

/// What a number counts, and so how it is written and where an axis may be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A plain number: `1.2 k`.
    Count,
    /// `1.2 k/s`.
    PerSecond,
    /// Microseconds, written as `850 µs`, `12 ms`, `1.5 s`.
    Microseconds,
    /// Decimal bytes: `64 MB`.
    Bytes,
    /// A share, 0..=1, written as `99.9 %`.
    Share,
    /// `1.25 ×`.
    Times,
}

impl Unit {
    /// Three figures at most; what is not a number is a dash.
    pub fn show(self, value: f64) -> String {
        if !value.is_finite() {
            return "–".into();
        }
        match self {
            Unit::Count => scaled(value, 1000.0, &["", " k", " M", " G", " T"]),
            Unit::PerSecond => scaled(value, 1000.0, &["/s", " k/s", " M/s", " G/s"]),
            Unit::Microseconds if value < 1e6 => scaled(value, 1000.0, &[" µs", " ms", " s"]),
            Unit::Microseconds if value < 120e6 => figures(value / 1e6) + " s",
            Unit::Microseconds => figures(value / 60e6) + " min",
            Unit::Bytes => scaled(value, 1000.0, &[" B", " kB", " MB", " GB", " TB"]),
            // A share is cut at two decimals and not rounded, so that nothing looks perfect that is not: 0.99999 is 99.99 %.
            Unit::Share => trimmed(format!("{:.2}", (value * 10_000.0 + 1e-6).floor() / 100.0)) + " %",
            Unit::Times => figures(value) + " ×",
        }
    }
}

fn scaled(value: f64, step: f64, suffixes: &[&str]) -> String {
    let (mut value, mut index) = (value, 0);
    // 999.6 would be written as 1000 and is one step up already.
    while value.abs() >= step - 0.5 && index + 1 < suffixes.len() {
        value /= step;
        index += 1;
    }
    figures(value) + suffixes[index]
}

/// Up to three figures, without a tail of zeros.
fn figures(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        _ => 2,
    };
    trimmed(format!("{value:.decimals$}"))
}

fn trimmed(text: String) -> String {
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".into() } else { text.into() }
}

#[cfg(test)]
mod tests;
