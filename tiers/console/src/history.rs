//! An hour of seconds and a week of minutes, for the charts: in memory, and in one file of fixed size.
//!
//! The file is two rings of records. A record's place follows from its time (`second % 3600`), so nothing is ever appended,
//! moved or compacted, and reading it back needs no index: a record is believed if its checksum is right and its time is within
//! the ring's reach. Nothing is synced: after a crash of the machine the last seconds of a chart may be missing.
use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::Result,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use pumasi_status::{Status, Traffic};

/// A structure of numbers that is an array as well: the file and the sums go by place, everybody else by name. The order is the file's.
macro_rules! sample {
    ($($(#[$doc:meta])* $field:ident),* $(,)?) => {
        /// What the charts know of one second or one minute. Rates are per second; of a minute, latencies are the largest.
        #[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
        pub struct Sample {
            /// Seconds since the Unix epoch; of a minute, its first.
            pub unix_s: u64,
            $($(#[$doc])* pub $field: f32,)*
        }

        const FIELDS: usize = [$(stringify!($field)),*].len();

        impl Sample {
            fn fields(&self) -> [f32; FIELDS] {
                [$(self.$field),*]
            }

            fn of_fields(unix_s: u64, fields: [f32; FIELDS]) -> Sample {
                let [$($field),*] = fields;
                Sample { unix_s, $($field),* }
            }
        }
    };
}

sample! {
    rate,
    /// Answers of 5xx per second.
    errors,
    p50_us,
    p95_us,
    p99_us,
    in_flight,
    queue_p95_us,
    /// Requests per second that were answered from kept pages.
    kept,
    /// Cores' worth of CPU of Pumasi itself.
    cpu,
    /// And of all workers together.
    workers_cpu,
    sql_rate,
    sql_p95_us,
    sql_in_flight,
    memory,
}

/// The samples of the last hour and week.
#[derive(Debug)]
pub struct History {
    seconds: VecDeque<Sample>,
    minutes: VecDeque<Sample>,
    minute: Minute,
    last: Option<Totals>,
    file: Option<File>,
}

impl History {
    pub fn in_memory() -> History {
        History { seconds: VecDeque::new(), minutes: VecDeque::new(), minute: Minute::default(), last: None, file: None }
    }

    /// Reads back what is there and keeps writing to it. A file that is none of ours is overwritten record by record.
    pub fn open(path: &Path, now: u64) -> Result<History> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let read = |ring: Ring| -> Result<VecDeque<Sample>> {
            let mut samples = Vec::new();
            let mut bytes = vec![0; ring.slots as usize * RECORD_BYTES];
            let length = read_as_much(&file, &mut bytes, ring.offset())?;
            for record in bytes[..length].chunks_exact(RECORD_BYTES) {
                samples.extend(Sample::decode(record).filter(|s| s.unix_s <= now && now - s.unix_s < ring.slots * ring.step));
            }
            samples.sort_by_key(|sample| sample.unix_s);
            Ok(samples.into())
        };
        let (seconds, minutes) = (read(SECONDS)?, read(MINUTES)?);
        Ok(History { seconds, minutes, minute: Minute::default(), last: None, file: Some(file) })
    }

    /// Adds the second that ends with `status`. Called about once a second.
    pub fn take(&mut self, status: &Status, now: u64) {
        // Two pictures within one second of the clock: the next one covers both.
        if self.last.is_some_and(|last| last.unix_s == now) {
            return;
        }
        let totals = Totals::of(status, now);
        let last = self.last.replace(totals);
        let Some(last) = last.filter(|last| last.unix_s < now) else { return };
        let sample = last.sample_until(&totals, status);
        push(&mut self.seconds, sample, SECONDS);
        self.write(SECONDS, &sample);
        if let Some(minute) = self.minute.add(sample) {
            push(&mut self.minutes, minute, MINUTES);
            self.write(MINUTES, &minute);
        }
    }

    /// Seconds not older than `reach` seconds before `now`, oldest first; there may be gaps.
    pub fn seconds(&self, now: u64, reach: u64) -> impl Iterator<Item = &Sample> {
        self.seconds.iter().skip_while(move |sample| sample.unix_s.saturating_add(reach) < now)
    }

    /// Minutes of the last week, oldest first; there may be gaps.
    pub fn minutes(&self, now: u64, reach: u64) -> impl Iterator<Item = &Sample> {
        self.minutes.iter().skip_while(move |sample| sample.unix_s.saturating_add(reach) < now)
    }

    /// The best median latency of any busy second of the last hour, in microseconds: what a request takes when none waits.
    pub fn best_p50_us(&self) -> Option<f64> {
        let busy = self.seconds.iter().filter(|sample| sample.rate >= 1.0 && sample.p50_us > 0.0);
        busy.map(|sample| f64::from(sample.p50_us)).reduce(f64::min)
    }

    /// A disk that refuses is no reason to stop showing the present; the file is given up after the first refusal.
    fn write(&mut self, ring: Ring, sample: &Sample) {
        let at = ring.offset() + sample.unix_s / ring.step % ring.slots * RECORD_BYTES as u64;
        if let Some(file) = &self.file
            && let Err(error) = file.write_all_at(&sample.encode(), at)
        {
            tracing::warn!(%error, "history is kept in memory only from here on");
            self.file = None;
        }
    }
}

fn push(samples: &mut VecDeque<Sample>, sample: Sample, ring: Ring) {
    // After a clock was set back, what is ahead of it would never leave.
    while samples.back().is_some_and(|last| last.unix_s >= sample.unix_s) {
        samples.pop_back();
    }
    samples.push_back(sample);
    while samples.len() as u64 > ring.slots {
        samples.pop_front();
    }
}

// === from totals to rates ===

/// Plain counters of one moment; a sample is the difference of two.
#[derive(Clone, Copy, Debug)]
struct Totals {
    unix_s: u64,
    requests: u64,
    errors: u64,
    kept: u64,
    cpu_ms: u64,
    workers_cpu_ms: u64,
    statements: u64,
}

impl Totals {
    fn of(status: &Status, unix_s: u64) -> Totals {
        let workers = status.pools.iter().flat_map(|pool| &pool.upstreams).filter_map(|upstream| upstream.worker.as_ref());
        Totals {
            unix_s,
            requests: status.edge.traffic.requests_total,
            errors: status.edge.traffic.errors_total,
            kept: status.edge.pages.as_ref().map_or(0, |pages| pages.hits),
            cpu_ms: status.cpu_ms,
            workers_cpu_ms: workers.map(|worker| worker.cpu_ms).sum(),
            statements: status.sql.iter().map(|sql| sql.traffic.requests_total).sum(),
        }
    }

    fn sample_until(&self, now: &Totals, status: &Status) -> Sample {
        let seconds = (now.unix_s - self.unix_s) as f32;
        // A worker that was replaced takes its CPU time along: a sum can fall.
        let per_second = |then: u64, now: u64| now.saturating_sub(then) as f32 / seconds;
        let edge = &status.edge.traffic;
        let sql = || status.sql.iter().map(|sql| &sql.traffic);
        // A latency of nobody is none, whatever was remembered from before.
        let latency = |traffic: &Traffic, us: u64| if traffic.rate > 0.0 { us as f32 } else { 0.0 };
        Sample {
            unix_s: now.unix_s,
            rate: per_second(self.requests, now.requests),
            errors: per_second(self.errors, now.errors),
            p50_us: latency(edge, edge.latency_us_p50),
            p95_us: latency(edge, edge.latency_us_p95),
            p99_us: latency(edge, edge.latency_us_p99),
            in_flight: edge.in_flight as f32,
            queue_p95_us: latency(edge, status.edge.queue_us_p95),
            kept: per_second(self.kept, now.kept),
            cpu: per_second(self.cpu_ms, now.cpu_ms) / 1000.0,
            workers_cpu: per_second(self.workers_cpu_ms, now.workers_cpu_ms) / 1000.0,
            sql_rate: per_second(self.statements, now.statements),
            sql_p95_us: sql().map(|traffic| latency(traffic, traffic.latency_us_p95)).fold(0.0, f32::max),
            sql_in_flight: sql().map(|traffic| traffic.in_flight).sum::<u64>() as f32,
            memory: status.memory_bytes as f32,
        }
    }
}

/// The minute being collected.
#[derive(Debug, Default)]
struct Minute {
    sum: Option<Sample>,
    count: f32,
}

impl Minute {
    /// Adds a second; returns the minute before when this second begins another.
    fn add(&mut self, second: Sample) -> Option<Sample> {
        let start = second.unix_s / 60 * 60;
        let finished = match &self.sum {
            Some(sum) if sum.unix_s != start => self.sum.take().map(|sum| sum.divided(self.count)),
            _ => None,
        };
        self.sum = Some(match self.sum.take() {
            Some(sum) => sum.plus(&second),
            None => Sample { unix_s: start, ..second },
        });
        self.count = if finished.is_some() { 1.0 } else { self.count + 1.0 };
        finished
    }
}

impl Sample {
    /// Sums of what is averaged, the larger of what is not.
    fn plus(&self, other: &Sample) -> Sample {
        let (mut sum, more) = (self.fields(), other.fields());
        for (index, (sum, more)) in sum.iter_mut().zip(more).enumerate() {
            *sum = if LARGEST.contains(&index) { sum.max(more) } else { *sum + more };
        }
        Sample::of_fields(self.unix_s, sum)
    }

    fn divided(&self, count: f32) -> Sample {
        let mut fields = self.fields();
        for (index, field) in fields.iter_mut().enumerate().filter(|(index, _)| !LARGEST.contains(index)) {
            debug_assert!(index < FIELDS);
            *field /= count.max(1.0);
        }
        Sample::of_fields(self.unix_s, fields)
    }

    /// The mean (latencies: the largest) of some samples, with the time of the first; `None` of none.
    pub fn together<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> Option<Sample> {
        let mut samples = samples.into_iter();
        let first = *samples.next()?;
        let (sum, count) = samples.fold((first, 1.0), |(sum, count), sample| (sum.plus(sample), count + 1.0));
        Some(sum.divided(count))
    }

    /// Time (8 bytes), fields (4 each), checksum (4); little-endian.
    fn encode(&self) -> [u8; RECORD_BYTES] {
        let mut record = [0; RECORD_BYTES];
        record[..8].copy_from_slice(&self.unix_s.to_le_bytes());
        for (place, field) in record[8..CHECKSUM].chunks_exact_mut(4).zip(self.fields()) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        let sum = checksum(&record[..CHECKSUM]);
        record[CHECKSUM..].copy_from_slice(&sum.to_le_bytes());
        record
    }

    fn decode(record: &[u8]) -> Option<Sample> {
        let (content, sum) = record.split_at_checked(CHECKSUM)?;
        if checksum(content).to_le_bytes() != sum {
            return None;
        }
        let mut fields = [0.0; FIELDS];
        for (field, bytes) in fields.iter_mut().zip(content[8..].chunks_exact(4)) {
            *field = f32::from_le_bytes(bytes.try_into().ok()?);
        }
        Some(Sample::of_fields(u64::from_le_bytes(content[..8].try_into().ok()?), fields))
    }
}

// === the file's layout ===

/// A ring of records, one per `step` seconds.
#[derive(Clone, Copy)]
struct Ring {
    slots: u64,
    step: u64,
}

/// An hour.
const SECONDS: Ring = Ring { slots: 3_600, step: 1 };
/// A week. It stands behind the hour in the file.
const MINUTES: Ring = Ring { slots: 10_080, step: 60 };

impl Ring {
    fn offset(self) -> u64 {
        if self.step == SECONDS.step { 0 } else { SECONDS.slots * RECORD_BYTES as u64 }
    }
}

/// Latencies, of which a minute keeps the largest: p50, p95, p99, queue, SQL.
const LARGEST: [usize; 5] = [2, 3, 4, 6, 11];
const CHECKSUM: usize = 8 + FIELDS * 4;
const RECORD_BYTES: usize = CHECKSUM + 4;

/// FNV-1a, begun with the format's version so that another layout is not believed. All zeros, a hole in the file, never match.
fn checksum(bytes: &[u8]) -> u32 {
    const VERSION: u32 = 1;
    bytes.iter().fold(0x811c_9dc5 ^ VERSION, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

fn read_as_much(file: &File, bytes: &mut [u8], offset: u64) -> Result<usize> {
    let mut length = 0;
    while length < bytes.len() {
        match file.read_at(&mut bytes[length..], offset + length as u64)? {
            0 => break,
            read => length += read,
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests;
