//! What was measured: counters and histograms of one lane, or of all of them added up.

mod sparse;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Why a request did not succeed. One answer has at most one error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// No connection: refused, unreachable, or not in time.
    Connect,
    /// The TLS handshake failed.
    Tls,
    /// The connection ended before the answer did.
    Closed,
    /// No complete answer in time.
    Timeout,
    /// The answer was not HTTP as RFC 9112 has it.
    Protocol,
    /// A status that the step does not expect.
    Status,
    /// A check other than the status failed.
    Check,
    /// A value to extract was not there.
    Extract,
    /// A value could not be put into the request.
    Request,
}

impl ErrorKind {
    pub const ALL: [ErrorKind; 9] = [
        ErrorKind::Connect,
        ErrorKind::Tls,
        ErrorKind::Closed,
        ErrorKind::Timeout,
        ErrorKind::Protocol,
        ErrorKind::Status,
        ErrorKind::Check,
        ErrorKind::Extract,
        ErrorKind::Request,
    ];

    pub fn name(self) -> &'static str {
        match self {
            ErrorKind::Connect => "connect",
            ErrorKind::Tls => "tls",
            ErrorKind::Closed => "closed",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Protocol => "protocol",
            ErrorKind::Status => "status",
            ErrorKind::Check => "check",
            ErrorKind::Extract => "extract",
            ErrorKind::Request => "request",
        }
    }
}

/// Latencies in microseconds from 1 us to an hour, each within 0.1 %.
pub fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("constant bounds that the crate accepts")
}

/// Longer latencies count as this long. No run waits longer for an answer.
pub const LATENCY_US_MAX: u64 = 3_600_000_000;

/// The measured part of a run: everything planned after the warm-up.
#[derive(Debug, Serialize, Deserialize)]
pub struct Total {
    /// One per step of the plan.
    pub steps: Vec<StepTotal>,
    /// Answers by status, 0 to 999.
    pub status: Vec<u64>,
    pub errors: [u64; ErrorKind::ALL.len()],
    /// The first message of each kind: what to look for.
    pub examples: BTreeMap<String, String>,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub planned: u64,
    pub shed: u64,
    pub late: u64,
    /// How late arrivals were taken from the schedule, in microseconds.
    #[serde(with = "sparse")]
    pub behind: Histogram<u64>,
    pub journeys: u64,
    pub connects: u64,
    /// When the last answer was complete, in nanoseconds since the start.
    pub last_done_ns: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct StepTotal {
    #[serde(with = "sparse")]
    pub response: Histogram<u64>,
    #[serde(with = "sparse")]
    pub service: Histogram<u64>,
    /// Answers whose first byte was seen, and the sum of their times to it.
    pub ttfb_count: u64,
    pub ttfb_us_sum: u64,
    pub successful: u64,
    pub errors: u64,
}

impl Total {
    pub fn new(steps: usize) -> Total {
        Total {
            steps: (0..steps)
                .map(|_| StepTotal { response: latencies(), service: latencies(), ttfb_count: 0, ttfb_us_sum: 0, successful: 0, errors: 0 })
                .collect(),
            status: vec![0; 1000],
            errors: [0; ErrorKind::ALL.len()],
            examples: BTreeMap::new(),
            bytes_in: 0,
            bytes_out: 0,
            planned: 0,
            shed: 0,
            late: 0,
            behind: latencies(),
            journeys: 0,
            connects: 0,
            last_done_ns: 0,
        }
    }

    pub fn add(&mut self, other: &Total) {
        for (mine, theirs) in self.steps.iter_mut().zip(&other.steps) {
            merge(&mut mine.response, &theirs.response);
            merge(&mut mine.service, &theirs.service);
            mine.ttfb_count += theirs.ttfb_count;
            mine.ttfb_us_sum += theirs.ttfb_us_sum;
            mine.successful += theirs.successful;
            mine.errors += theirs.errors;
        }
        for (mine, theirs) in self.status.iter_mut().zip(&other.status) {
            *mine += theirs;
        }
        for (mine, theirs) in self.errors.iter_mut().zip(other.errors) {
            *mine += theirs;
        }
        for (kind, example) in &other.examples {
            self.examples.entry(kind.clone()).or_insert_with(|| example.clone());
        }
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.planned += other.planned;
        self.shed += other.shed;
        self.late += other.late;
        merge(&mut self.behind, &other.behind);
        self.journeys += other.journeys;
        self.connects += other.connects;
        self.last_done_ns = self.last_done_ns.max(other.last_done_ns);
    }

    /// Of all steps together.
    pub fn response(&self) -> Histogram<u64> {
        self.together(|step| &step.response)
    }

    pub fn service(&self) -> Histogram<u64> {
        self.together(|step| &step.service)
    }

    fn together(&self, which: impl Fn(&StepTotal) -> &Histogram<u64>) -> Histogram<u64> {
        let mut sum = latencies();
        self.steps.iter().for_each(|step| merge(&mut sum, which(step)));
        sum
    }
}

/// One lane's second. Answers belong to the second in which they were complete, arrivals to the one in which they were
/// taken from the schedule.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Slice {
    /// Since the start, warm-up included.
    pub second: u64,
    pub planned: u64,
    pub late: u64,
    pub shed: u64,
    pub successful: u64,
    pub errors: u64,
    pub bytes_in: u64,
    pub ttfb_count: u64,
    pub ttfb_us_sum: u64,
    pub service_us_sum: u64,
    #[serde(with = "sparse")]
    pub response: Histogram<u64>,
    /// At the end of the second.
    pub in_flight: u64,
    pub vusers: u64,
    /// CPU time of the lane's thread in this second.
    pub cpu_ns: u64,
    /// How long the "second" was: the last one of a run is shorter.
    pub wall_ns: u64,
}

impl Slice {
    pub fn new(second: u64) -> Slice {
        Slice {
            second,
            planned: 0,
            late: 0,
            shed: 0,
            successful: 0,
            errors: 0,
            bytes_in: 0,
            ttfb_count: 0,
            ttfb_us_sum: 0,
            service_us_sum: 0,
            response: latencies(),
            in_flight: 0,
            vusers: 0,
            cpu_ns: 0,
            wall_ns: 0,
        }
    }

    pub fn add(&mut self, other: &Slice) {
        self.planned += other.planned;
        self.late += other.late;
        self.shed += other.shed;
        self.successful += other.successful;
        self.errors += other.errors;
        self.bytes_in += other.bytes_in;
        self.ttfb_count += other.ttfb_count;
        self.ttfb_us_sum += other.ttfb_us_sum;
        self.service_us_sum += other.service_us_sum;
        merge(&mut self.response, &other.response);
        self.in_flight += other.in_flight;
        self.vusers += other.vusers;
        self.cpu_ns += other.cpu_ns;
        self.wall_ns = self.wall_ns.max(other.wall_ns);
    }
}

fn merge(into: &mut Histogram<u64>, from: &Histogram<u64>) {
    into.add(from).expect("all latency histograms have the same bounds");
}
