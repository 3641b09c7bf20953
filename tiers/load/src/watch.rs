//! The tiers of the Pumasi under test, second by second, beside the load: asked of its console while a run goes on.

use crate::{
    exchange::Client,
    plan::{Target, Trust},
};
use pumasi_status::{Status, Store};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime},
};

/// One second of the tiers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TierSecond {
    /// On the axis of the report's series; fractional, since the console is asked when it is asked.
    pub second: f64,
    /// Cores used by Pumasi itself: edge, stores, SQL.
    pub pumasi_cpu: f64,
    /// Cores used by all workers together.
    pub web_cpu: f64,
    pub requests_per_s: f64,
    pub statements_per_s: f64,
    /// Requests that waited for a place at a worker, 95th percentile.
    pub queue_ms_p95: f64,
    /// At the workers.
    pub in_flight: u64,
    /// Of the pages looked for, the share found; None if none was looked for.
    pub pages_hit: Option<f64>,
    /// The same of query results.
    pub results_hit: Option<f64>,
}

/// How often the console is asked.
const EVERY: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(2);
/// Answers in a row that must be missing before the watch is given up.
const FAILURES_MAX: u32 = 5;

/// Asks on a thread of its own until it is finished.
pub struct Watch {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Sample>>,
}

struct Sample {
    at: SystemTime,
    status: Status,
}

impl Watch {
    /// Errors: the console does not answer with a status that we understand.
    pub fn begin(console: &str) -> io::Result<Watch> {
        let target = Target::resolve(console, &Trust::System).map_err(io::Error::other)?;
        let mut client = Client::new(&target, TIMEOUT);
        let first = ask(&mut client, &target)?;
        let over = Arc::new(AtomicBool::new(false));
        let ending = Arc::clone(&over);
        let thread =
            std::thread::Builder::new().name("load-watch".to_string()).spawn(move || watch(&mut client, &target, first, &ending))?;
        Ok(Watch { over, thread })
    }

    /// The console of the Pumasi that serves `target`, if its state directory is `state` or the demo's in it.
    pub fn find(state: &Path, target: &Target) -> Option<Watch> {
        let port = target.addresses.first()?.port();
        [state.to_path_buf(), state.join("demo")].iter().find_map(|directory| {
            let lock: serde_json::Value = serde_json::from_str(&fs::read_to_string(directory.join("pumasi.lock")).ok()?).ok()?;
            let console = format!("http://{}", lock.get("console")?.as_str()?);
            let watched = Target::resolve(&console, &Trust::System).ok()?;
            let status = ask(&mut Client::new(&watched, TIMEOUT), &watched).ok()?;
            let serves = status.edge.listeners.iter().any(|listener| listener.rsplit(':').next() == Some(port.to_string().as_str()));
            serves.then(|| Watch::begin(&console).ok())?
        })
    }

    /// What was seen. `zero` is second 0 of the report's series.
    pub fn finish(self, zero: SystemTime) -> Vec<TierSecond> {
        self.over.store(true, Ordering::Relaxed);
        let samples = self.thread.join().unwrap_or_default();
        samples.windows(2).map(|pair| between(&pair[0], &pair[1], zero)).collect()
    }
}

fn watch(client: &mut Client, target: &Target, first: Status, over: &AtomicBool) -> Vec<Sample> {
    let mut samples = vec![Sample { at: SystemTime::now(), status: first }];
    let mut failures = 0;
    let mut due = Instant::now() + EVERY;
    while failures < FAILURES_MAX {
        while Instant::now() < due {
            if over.load(Ordering::Relaxed) {
                return samples;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        due += EVERY;
        match ask(client, target) {
            Ok(status) => {
                failures = 0;
                samples.push(Sample { at: SystemTime::now(), status: slim(status) });
            }
            Err(_) => failures += 1,
        }
    }
    samples
}

fn ask(client: &mut Client, target: &Target) -> io::Result<Status> {
    let request = format!("GET /api/status HTTP/1.1\r\nHost: {}\r\n\r\n", target.authority);
    client.exchange(request.as_bytes(), false, true)?;
    match client.reader.status() {
        200 => serde_json::from_slice(client.reader.body()).map_err(io::Error::from),
        status => Err(io::Error::other(format!("the console answers {status}"))),
    }
}

/// Without what is long and not looked at: a run of hours keeps thousands of these.
fn slim(mut status: Status) -> Status {
    status.events.clear();
    status.edge.routes.clear();
    status.sql.iter_mut().for_each(|sql| sql.digests.clear());
    status
}

fn between(before: &Sample, after: &Sample, zero: SystemTime) -> TierSecond {
    let signed = |time: SystemTime| match time.duration_since(zero) {
        Ok(after) => after.as_secs_f64(),
        Err(error) => -error.duration().as_secs_f64(),
    };
    let wall_s = after.at.duration_since(before.at).unwrap_or_default().as_secs_f64().max(0.001);
    let (old, new) = (&before.status, &after.status);
    let per_second = |old: u64, new: u64| new.saturating_sub(old) as f64 / wall_s;
    let workers_ms =
        |status: &Status| -> u64 { upstreams(status).filter_map(|upstream| upstream.worker.as_ref()).map(|worker| worker.cpu_ms).sum() };
    let statements = |status: &Status| -> u64 { status.sql.iter().map(|sql| sql.traffic.requests_total).sum() };
    let hit = |old: Vec<&Store>, new: Vec<&Store>| {
        let sum = |stores: &[&Store], count: fn(&Store) -> u64| -> u64 { stores.iter().map(|store| count(store)).sum() };
        let grown = |count: fn(&Store) -> u64| sum(&new, count).saturating_sub(sum(&old, count));
        let (hits, misses) = (grown(|store| store.hits), grown(|store| store.misses));
        (hits + misses > 0).then(|| hits as f64 / (hits + misses) as f64)
    };
    TierSecond {
        second: (signed(before.at) + signed(after.at)) / 2.0,
        pumasi_cpu: per_second(old.cpu_ms, new.cpu_ms) / 1e3,
        // A worker that was replaced takes its time with it; that second shows less, not a negative number.
        web_cpu: per_second(workers_ms(old), workers_ms(new)) / 1e3,
        requests_per_s: per_second(old.edge.traffic.requests_total, new.edge.traffic.requests_total),
        statements_per_s: per_second(statements(old), statements(new)),
        queue_ms_p95: new.edge.queue_us_p95 as f64 / 1e3,
        in_flight: upstreams(new).map(|upstream| upstream.traffic.in_flight).sum(),
        pages_hit: hit(old.edge.pages.iter().collect(), new.edge.pages.iter().collect()),
        results_hit: hit(
            old.sql.iter().filter_map(|sql| sql.results.as_ref()).collect(),
            new.sql.iter().filter_map(|sql| sql.results.as_ref()).collect(),
        ),
    }
}

fn upstreams(status: &Status) -> impl Iterator<Item = &pumasi_status::Upstream> {
    status.pools.iter().flat_map(|pool| &pool.upstreams)
}

#[cfg(test)]
mod tests;
