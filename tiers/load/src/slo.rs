//! Objectives: what the user demands of a run, and whether it was met.

use crate::quantity;
use serde::{Deserialize, Serialize};

/// `p99=300ms`, `mean=50ms`, `errors=0.1%`, `behind=1%`, `tps=1000`.
#[derive(Clone, Debug, PartialEq)]
pub enum Objective {
    /// Response time at the percentile must be at most so many milliseconds.
    Percentile {
        percent: f64,
        at_most_ms: f64,
    },
    Max {
        at_most_ms: f64,
    },
    Mean {
        at_most_ms: f64,
    },
    /// Share of executed requests that failed or were shed.
    Errors {
        at_most: f64,
    },
    /// Share of arrivals that the generator sent late.
    Behind {
        at_most: f64,
    },
    /// Successful requests per second.
    Tps {
        at_least: f64,
    },
}

/// What an objective is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Measured<'m> {
    pub response: &'m hdrhistogram::Histogram<u64>,
    pub errors: f64,
    pub behind: f64,
    pub tps: f64,
}

/// An objective with what was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// As the user could write it.
    pub objective: String,
    pub measured: String,
    pub met: bool,
}

impl Objective {
    /// One `name=limit`.
    pub fn parse(name: &str, limit: &str) -> Result<Objective, String> {
        let ms = || quantity::duration(limit).map(|d| d.as_secs_f64() * 1e3);
        Ok(match name.trim() {
            "errors" => Objective::Errors { at_most: quantity::share(limit)? },
            "behind" => Objective::Behind { at_most: quantity::share(limit)? },
            "tps" => Objective::Tps { at_least: quantity::count(limit)? },
            "mean" => Objective::Mean { at_most_ms: ms()? },
            "max" => Objective::Max { at_most_ms: ms()? },
            name => match name.strip_prefix('p').and_then(|percent| percent.parse::<f64>().ok()) {
                Some(percent) if percent > 0.0 && percent < 100.0 => Objective::Percentile { percent, at_most_ms: ms()? },
                _ => return Err(format!("\"{name}\" is not an objective; there are p50 to p99.99, mean, max, errors, behind, tps")),
            },
        })
    }

    /// A comma-separated list, as `--slo` takes it.
    pub fn parse_list(text: &str) -> Result<Vec<Objective>, String> {
        text.split(',')
            .map(|part| {
                let (name, limit) = part.split_once('=').ok_or_else(|| format!("\"{part}\" is not an objective; write it as p99=300ms"))?;
                Objective::parse(name, limit)
            })
            .collect()
    }

    pub fn judge(&self, measured: Measured) -> Judged {
        let ms = |value: u64| value as f64 / 1e3;
        // Without one answer no latency objective is met: nothing was shown to be fast.
        let answered = !measured.response.is_empty();
        let (objective, shown, met) = match self {
            Objective::Percentile { percent, at_most_ms } => {
                let value = ms(measured.response.value_at_percentile(*percent));
                (format!("p{percent} <= {}", show_ms(*at_most_ms)), show_ms(value), answered && value <= *at_most_ms)
            }
            Objective::Max { at_most_ms } => {
                let value = ms(measured.response.max());
                (format!("max <= {}", show_ms(*at_most_ms)), show_ms(value), answered && value <= *at_most_ms)
            }
            Objective::Mean { at_most_ms } => {
                let value = measured.response.mean() / 1e3;
                (format!("mean <= {}", show_ms(*at_most_ms)), show_ms(value), answered && value <= *at_most_ms)
            }
            Objective::Errors { at_most } => {
                (format!("errors <= {}", show_share(*at_most)), show_share(measured.errors), measured.errors <= *at_most)
            }
            Objective::Behind { at_most } => {
                (format!("behind <= {}", show_share(*at_most)), show_share(measured.behind), measured.behind <= *at_most)
            }
            Objective::Tps { at_least } => (format!("tps >= {at_least}"), format!("{:.1}", measured.tps), measured.tps >= *at_least),
        };
        Judged { objective, measured: shown, met }
    }
}

/// Milliseconds for people.
pub fn show_ms(ms: f64) -> String {
    quantity::show(std::time::Duration::from_secs_f64((ms / 1e3).max(0.0)))
}

/// A share for people.
pub fn show_share(share: f64) -> String {
    format!("{}%", quantity::significant(share * 100.0))
}

#[cfg(test)]
mod tests;
