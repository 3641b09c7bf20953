//! What a run has to tell: plain data that is kept, compared and shown. nGrinder's fields come first, then what it lacks.

pub mod compare;
pub mod csv;
pub mod html;
pub mod terminal;

use crate::{
    plan::Plan,
    run::{Ended, Outcome},
    slo::{Judged, Measured},
    tally::{ErrorKind, Slice},
    watch::TierSecond,
};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::UNIX_EPOCH};

/// A report is INVALID when more of the arrivals than this were sent late ...
pub const BEHIND_SHARE_MAX: f64 = 0.05;
/// ... or a generator thread was busier than this: the figures are then the generator's, not the target's.
pub const GENERATOR_CPU_MAX: f64 = 0.8;
/// The achieved rate may differ from the planned one by so much before the report says that it was not reached.
pub const RATE_TOLERANCE: f64 = 0.001;

/// One run. All times in milliseconds unless the name says otherwise; shares are 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Of this structure. A reader of another version says so instead of guessing.
    pub format: u32,
    pub id: String,
    pub name: String,
    pub tags: Vec<String>,
    pub comment: String,
    pub started_unix_ms: u64,
    pub target: String,
    /// `open` or `closed`.
    pub model: String,
    /// False: the figures must not be trusted, for the `reasons`.
    pub valid: bool,
    pub reasons: Vec<String>,
    /// How it ended, if not as planned.
    pub ended_early: Option<String>,
    pub objectives: Vec<Judged>,

    // nGrinder's fields
    /// Closed model: the most vusers at once; 0 in the open model.
    pub vusers: u64,
    /// Successful requests per second of run time.
    pub tps: f64,
    /// The best second.
    pub tps_peak: f64,
    /// Response time, all answered requests.
    pub mean_ms: f64,
    pub executed: u64,
    pub successful: u64,
    pub errors: u64,
    pub run_time_s: f64,
    pub ttfb_mean_ms: f64,

    // and what it lacks
    /// Open model: arrivals planned per second of the measured time.
    pub rate_planned: f64,
    /// Arrivals that were sent (not shed) per second of the measured time.
    pub rate_achieved: f64,
    pub planned: u64,
    /// Arrivals not sent because too many were in flight.
    pub shed: u64,
    /// Share of arrivals sent more than [`crate::lane::LATE`] after their instant.
    pub behind_share: f64,
    pub behind_ms_p99: f64,
    pub behind_ms_max: f64,
    /// Mean over the generator's threads, 1.0 is one thread saturated; and the busiest.
    pub generator_cpu: f64,
    pub generator_cpu_max: f64,
    pub generator_threads: usize,
    /// The machines that generated the load, if it was not the one that tells of it.
    #[serde(default)]
    pub agents: Vec<String>,
    /// CPU time that the generator spent on one request, microseconds.
    pub generator_us_per_request: f64,
    pub journeys: u64,
    pub connects: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// From the planned instant to the last byte.
    pub response: Latency,
    /// From sending to the last byte.
    pub service: Latency,
    pub errors_by_kind: BTreeMap<String, u64>,
    /// One message per kind.
    pub error_examples: BTreeMap<String, String>,
    pub status: BTreeMap<u16, u64>,
    pub steps: Vec<StepReport>,
    pub series: Vec<Second>,
    /// The tiers of the Pumasi under test; empty if nobody watched them.
    #[serde(default)]
    pub tiers: Vec<TierSecond>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    pub mean: f64,
    pub stddev: f64,
    pub p50: f64,
    pub p75: f64,
    pub p90: f64,
    pub p95: f64,
    pub p99: f64,
    #[serde(rename = "p99.9")]
    pub p99_9: f64,
    #[serde(rename = "p99.99")]
    pub p99_99: f64,
    pub max: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    pub name: String,
    pub tps: f64,
    pub successful: u64,
    pub errors: u64,
    pub ttfb_mean_ms: f64,
    pub response: Latency,
    pub service: Latency,
}

/// One second of the run, by when answers were complete.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Since the start of the measurement; the warm-up's are negative.
    pub second: i64,
    pub planned: u64,
    pub tps: f64,
    pub errors: u64,
    pub shed: u64,
    pub late: u64,
    pub in_flight: u64,
    pub vusers: u64,
    pub mean_ms: f64,
    pub service_mean_ms: f64,
    pub ttfb_mean_ms: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub max: f64,
    pub bytes_in: u64,
    pub generator_cpu: f64,
    /// How long it was: the last one of a run is shorter.
    #[serde(default = "whole")]
    pub wall_s: f64,
    /// Answers per latency band, for the heat map: band `i` ends at [`band_end_ms`].
    pub bands: Vec<u64>,
}

fn whole() -> f64 {
    1.0
}

/// Bands of the heat map: four per doubling would show noise, two show the shape. From 64 us up to over a minute.
pub const BANDS: usize = 42;

/// Where a band of the heat map ends, milliseconds.
pub fn band_end_ms(band: usize) -> f64 {
    0.064 * 2f64.powf(band as f64 / 2.0)
}

/// The identity that the user gives a run.
#[derive(Clone, Debug, Default)]
pub struct Label {
    pub id: String,
    pub name: String,
    pub tags: Vec<String>,
    pub comment: String,
}

pub const FORMAT: u32 = 1;

impl Report {
    pub fn of(plan: &Plan, outcome: &Outcome, label: Label) -> Report {
        let total = &outcome.total;
        let response = total.response();
        let successful: u64 = total.steps.iter().map(|step| step.successful).sum();
        let errors: u64 = total.steps.iter().map(|step| step.errors).sum();
        let executed = successful + errors;
        // Measured time ends with the profile or the last answer, whichever is later, or where the run was ended.
        let profile_ns = plan.model.profile().lasts().as_nanos() as u64;
        let warmup_ns = plan.warmup.as_nanos() as u64;
        let series_ns: u64 = outcome.series.iter().map(|slice| slice.wall_ns).sum();
        let end_ns = if outcome.ended == Ended::AsPlanned { profile_ns.max(total.last_done_ns) } else { series_ns };
        let run_time_s = end_ns.saturating_sub(warmup_ns) as f64 / 1e9;
        let per_second = |count: u64| if run_time_s > 0.0 { count as f64 / run_time_s } else { 0.0 };
        let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
        let open = plan.model.open();
        let window_s = (profile_ns.min(end_ns)).saturating_sub(warmup_ns) as f64 / 1e9;
        let series: Vec<Second> = outcome.series.iter().map(|slice| Second::of(slice, plan)).collect();
        let measured_seconds = || series.iter().filter(|second| second.second >= 0);
        let ttfb = |count: u64, sum: u64| if count == 0 { 0.0 } else { sum as f64 / count as f64 / 1e3 };
        let (ttfb_count, ttfb_sum) =
            total.steps.iter().fold((0, 0), |(count, sum), step| (count + step.ttfb_count, sum + step.ttfb_us_sum));
        let cpu_ns: u64 = outcome.series.iter().map(|slice| slice.cpu_ns).sum();
        let answers: u64 = outcome.series.iter().map(|slice| slice.successful + slice.errors).sum();
        let measured = Measured {
            response: &response,
            errors: share(errors + total.shed, executed + total.shed),
            behind: share(total.late, total.planned),
            tps: per_second(successful),
        };
        let mut report = Report {
            format: FORMAT,
            id: label.id,
            name: label.name,
            tags: label.tags,
            comment: label.comment,
            started_unix_ms: outcome.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64,
            target: plan.target.url.clone(),
            model: if open { "open" } else { "closed" }.to_string(),
            valid: true,
            reasons: Vec::new(),
            ended_early: match &outcome.ended {
                Ended::AsPlanned => None,
                Ended::Interrupted => Some("interrupted".to_string()),
                Ended::ErrorStorm => Some("more than half of the answers were errors for 10 s".to_string()),
                Ended::Missed(objective) => Some(format!("the objective {objective} was missed for 10 s")),
            },
            objectives: plan.objectives.iter().map(|objective| objective.judge(measured)).collect(),
            vusers: measured_seconds().map(|second| second.vusers).max().unwrap_or(0).max(if open {
                0
            } else {
                plan.model.profile().peak() as u64
            }),
            tps: per_second(successful),
            // The last second may be cut short; its rate is then worked out over a moment and means nothing.
            tps_peak: measured_seconds().map(|second| second.tps).fold(0.0, f64::max).max(if series.len() < 2 {
                per_second(successful)
            } else {
                0.0
            }),
            mean_ms: response.mean() / 1e3,
            executed,
            successful,
            errors,
            run_time_s,
            ttfb_mean_ms: ttfb(ttfb_count, ttfb_sum),
            rate_planned: if open && window_s > 0.0 { total.planned as f64 / window_s } else { 0.0 },
            rate_achieved: if open && window_s > 0.0 { (total.planned - total.shed) as f64 / window_s } else { 0.0 },
            planned: total.planned,
            shed: total.shed,
            behind_share: measured.behind,
            behind_ms_p99: total.behind.value_at_quantile(0.99) as f64 / 1e3,
            behind_ms_max: total.behind.max() as f64 / 1e3,
            generator_cpu: outcome.generator_cpu,
            generator_cpu_max: outcome.generator_cpu_max,
            generator_threads: plan.limits.lanes(),
            agents: Vec::new(),
            generator_us_per_request: if answers == 0 { 0.0 } else { cpu_ns as f64 / answers as f64 / 1e3 },
            journeys: total.journeys,
            connects: total.connects,
            bytes_in: total.bytes_in,
            bytes_out: total.bytes_out,
            response: Latency::of(&response),
            service: Latency::of(&total.service()),
            errors_by_kind: ErrorKind::ALL
                .iter()
                .zip(total.errors)
                .filter(|(_, count)| *count > 0)
                .map(|(kind, count)| (kind.name().to_string(), count))
                .collect(),
            error_examples: total.examples.iter().map(|(kind, example)| (kind.to_string(), example.clone())).collect(),
            status: (0u16..).zip(&total.status).filter(|(_, count)| **count > 0).map(|(status, count)| (status, *count)).collect(),
            steps: plan
                .steps
                .iter()
                .zip(&total.steps)
                .map(|(step, measured)| StepReport {
                    name: step.name.clone(),
                    tps: per_second(measured.successful),
                    successful: measured.successful,
                    errors: measured.errors,
                    ttfb_mean_ms: ttfb(measured.ttfb_count, measured.ttfb_us_sum),
                    response: Latency::of(&measured.response),
                    service: Latency::of(&measured.service),
                })
                .collect(),
            series,
            tiers: Vec::new(),
        };
        report.reasons = outcome.lost.clone();
        report.reasons.extend(report.find_reasons(plan));
        report.valid = report.reasons.is_empty();
        report
    }

    /// Whether every objective was met. True if there is none.
    pub fn met(&self) -> bool {
        self.objectives.iter().all(|judged| judged.met)
    }

    /// Nothing at all could be reached: no answer, and every error was a failure to connect.
    pub fn unreachable(&self) -> bool {
        let connect = self.errors_by_kind.get("connect").copied().unwrap_or(0);
        self.successful == 0 && self.errors > 0 && connect == self.errors
    }

    fn find_reasons(&self, plan: &Plan) -> Vec<String> {
        let mut reasons = Vec::new();
        let percent = |share: f64| crate::slo::show_share(share);
        if self.behind_share > BEHIND_SHARE_MAX {
            reasons.push(format!(
                "{} of the arrivals were sent late by the generator (up to {})",
                percent(self.behind_share),
                crate::slo::show_ms(self.behind_ms_max)
            ));
        }
        if self.generator_cpu_max > GENERATOR_CPU_MAX {
            reasons.push(format!(
                "a generator thread used {} of its core: these are the generator's limits, not the target's",
                percent(self.generator_cpu_max)
            ));
        }
        if plan.model.open() && self.ended_early.is_none() {
            let wanted =
                plan.model.profile().arrivals_before(plan.model.profile().lasts()) - plan.model.profile().arrivals_before(plan.warmup);
            let sent = (self.planned - self.shed) as f64;
            if wanted >= 1.0 / RATE_TOLERANCE && (sent / wanted - 1.0).abs() > RATE_TOLERANCE {
                reasons.push(format!(
                    "the rate was not reached: {sent} of {wanted:.0} arrivals were sent ({} in flight was the bound)",
                    plan.limits.in_flight_max
                ));
            }
        }
        reasons
    }
}

impl Latency {
    /// Of a histogram in microseconds.
    pub fn of(histogram: &Histogram<u64>) -> Latency {
        let at = |quantile: f64| histogram.value_at_quantile(quantile) as f64 / 1e3;
        Latency {
            mean: histogram.mean() / 1e3,
            stddev: histogram.stdev() / 1e3,
            p50: at(0.5),
            p75: at(0.75),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            p99_9: at(0.999),
            p99_99: at(0.9999),
            max: histogram.max() as f64 / 1e3,
        }
    }
}

impl Second {
    fn of(slice: &Slice, plan: &Plan) -> Second {
        let latency = Latency::of(&slice.response);
        // The first and the last second of a run may be short: rates are of the time that was there.
        let wall_s = (slice.wall_ns as f64 / 1e9).clamp(0.001, 1.0);
        let mean = |sum: u64, count: u64| if count == 0 { 0.0 } else { sum as f64 / count as f64 / 1e3 };
        let tps = if wall_s < 0.5 { slice.successful as f64 } else { slice.successful as f64 / wall_s };
        let mut bands = vec![0; BANDS];
        for value in slice.response.iter_recorded() {
            let ms = value.value_iterated_to() as f64 / 1e3;
            let band = (0..BANDS - 1).find(|band| ms <= band_end_ms(*band)).unwrap_or(BANDS - 1);
            bands[band] += value.count_at_value();
        }
        while bands.last() == Some(&0) {
            bands.pop();
        }
        Second {
            second: slice.second as i64 - plan.warmup.as_secs() as i64,
            planned: slice.planned,
            tps,
            errors: slice.errors,
            shed: slice.shed,
            late: slice.late,
            in_flight: slice.in_flight,
            vusers: slice.vusers,
            mean_ms: latency.mean,
            service_mean_ms: mean(slice.service_us_sum, slice.ttfb_count),
            ttfb_mean_ms: mean(slice.ttfb_us_sum, slice.ttfb_count),
            p50: latency.p50,
            p90: latency.p90,
            p99: latency.p99,
            max: latency.max,
            bytes_in: slice.bytes_in,
            generator_cpu: slice.cpu_ns as f64 / slice.wall_ns.max(1) as f64 / plan.limits.lanes() as f64,
            wall_s: slice.wall_ns as f64 / 1e9,
            bands,
        }
    }
}

#[cfg(test)]
pub mod tests;
