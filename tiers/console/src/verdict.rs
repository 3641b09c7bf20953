//! What the console makes of the numbers: sentences with a verdict, and the place that holds everything up.
//!
//! Each rule compares the picture of now with one of about half a minute ago, says one sentence when it is sure, and is silent
//! otherwise. On a healthy service all are silent. The rules say what *is*; they predict nothing.
mod rules;

use std::{collections::VecDeque, sync::Arc};

use pumasi_status::Status;

/// What was found in one picture, most urgent first.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Findings {
    pub verdicts: Vec<Verdict>,
    /// Where requests spend their time waiting, if somewhere.
    pub bottleneck: Option<Place>,
    /// What is to be said when nothing was found.
    pub well: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Verdict {
    pub level: Level,
    /// What it is about, one per kind of finding: `slow_digest`.
    pub rule: &'static str,
    /// What is the case, with its number.
    pub sentence: String,
    /// A statement, a path or the last words of a process, shown as it is.
    pub quote: Option<String>,
    /// What can be done about it.
    pub advice: String,
    /// The console's page with the evidence.
    pub page: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Requests fail or wait: now.
    Act,
    /// It works and could be better, or soon will not.
    Look,
}

/// A box of the picture.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    Pool(String),
    Sql(String),
}

/// Two pictures and the time between them.
pub(crate) struct Comparison<'a> {
    pub now: &'a Status,
    pub before: &'a Status,
    pub seconds: f64,
    pub cores: usize,
    /// The best median latency of the last hour, in microseconds.
    pub best_p50_us: Option<f64>,
}

/// The pictures of the last half minute.
#[derive(Default)]
pub struct Memory {
    pictures: VecDeque<(u64, Arc<Status>)>,
}

impl Memory {
    /// Remembers `status` and judges it beside the oldest picture it has. Too little time between them: nothing is said.
    pub fn judge(&mut self, status: &Status, unix_s: u64, best_p50_us: Option<f64>) -> Findings {
        // After a clock was set back the old pictures lie in the future.
        self.pictures.retain(|(then, _)| *then < unix_s && unix_s - then <= REACH_S);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let findings = match self.pictures.front() {
            Some((then, before)) if unix_s - then >= REACH_MIN_S => {
                let seconds = (unix_s - then) as f64;
                let findings = judged(&Comparison { now: status, before, seconds, cores, best_p50_us });
                let well = findings.verdicts.is_empty().then(|| all_is_well(status));
                Findings { well, ..findings }
            }
            _ => Findings { well: Some(TOO_EARLY), ..Findings::default() },
        };
        if self.pictures.back().is_none_or(|(then, _)| unix_s - then >= STEP_S) {
            self.pictures.push_back((unix_s, Arc::new(status.clone())));
        }
        findings
    }
}

/// All rules, applied to one comparison.
pub(crate) fn judged(comparison: &Comparison) -> Findings {
    let mut found: Vec<(Verdict, Option<Place>)> = rules::ALL.iter().flat_map(|rule| rule(comparison)).collect();
    // Stable: within a level the rules' own order decides.
    found.sort_by_key(|(verdict, _)| verdict.level);
    let bottleneck = found.iter().find_map(|(_, place)| place.clone());
    Findings { verdicts: found.into_iter().map(|(verdict, _)| verdict).take(VERDICTS_MAX).collect(), bottleneck, well: None }
}

/// Said until there are two pictures to compare.
const TOO_EARLY: &str = "Too early to tell: a verdict takes ten seconds of looking.";
/// Below this rate nobody is there.
const QUIET_PER_SECOND: f64 = 0.05;

fn all_is_well(status: &Status) -> &'static str {
    let mut members = status.pools.iter().flat_map(|pool| &pool.upstreams).peekable();
    let starting =
        members.peek().is_some() && members.all(|member| member.worker.as_ref().is_some_and(|worker| worker.state == "starting"));
    if starting {
        "The workers are starting."
    } else if status.edge.traffic.rate < QUIET_PER_SECOND {
        "All is well, and quiet: nobody is asking for anything."
    } else {
        "All is well. Nothing waits, nothing fails."
    }
}

// === bounds ===

/// How far back a comparison looks: long enough to be sure, short enough to go silent soon after the cause is gone.
const REACH_S: u64 = 40;
/// Below this a difference says little.
const REACH_MIN_S: u64 = 8;
/// Pictures are kept this far apart: a status may be large.
const STEP_S: u64 = 4;
/// More sentences than this are not read.
const VERDICTS_MAX: usize = 12;

#[cfg(test)]
mod tests;
