//! A service in a prepared situation: its counters grow with time as a real one's would.
use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use pumasi_console::{
    Drain, Purge, Service, Setting,
    load::{Comparison, Difference, LoadTests, Progress, Run, Second, Wanted},
};
use pumasi_status::{
    Connects, Digest, Edge, Event, Handshakes, Host, Invalidation, PageDifference, Pool, Route, Sql, Status, Store, TableTold, Traffic,
    Upstream, Worker,
};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Situation {
    Healthy,
    TooFewWorkers,
    SlowDigest,
    PageNotKept,
    WorkerDies,
}

pub struct Prepared {
    situation: Situation,
    started: Instant,
    /// How much faster than the clock its counters grow.
    pace: f64,
    pub reloads: AtomicU64,
    pub purged: Mutex<Vec<Purge>>,
    pub loads: Mutex<Vec<Wanted>>,
}

impl Prepared {
    pub fn new(situation: Situation, pace: f64) -> Prepared {
        Prepared { situation, started: Instant::now(), pace, reloads: AtomicU64::new(0), purged: Mutex::default(), loads: Mutex::default() }
    }
}

impl Service for Prepared {
    fn status(&self) -> Status {
        let seconds = self.started.elapsed().as_secs_f64() * self.pace;
        let wave = 1.0 + 0.25 * (seconds / 20.0).sin();
        let is = |situation| self.situation == situation;
        let slow = is(Situation::SlowDigest) || is(Situation::PageNotKept);
        let rate = if slow { 34.0 } else { 180.0 } * wave;
        let requests = (rate * seconds) as u64;
        let p50 = if slow { 33_000.0 * wave } else { 900.0 * wave };
        let queue = if is(Situation::TooFewWorkers) { 140_000.0 * wave } else { 40.0 };
        let latency = |share: f64, more: f64| Traffic {
            requests_total: (requests as f64 * share) as u64,
            errors_total: if is(Situation::WorkerDies) { (seconds * 0.4 * share) as u64 } else { 0 },
            in_flight: if queue > 1_000.0 { (48.0 * share) as u64 } else { (3.0 * share * wave) as u64 },
            rate: rate * share,
            success: if is(Situation::WorkerDies) { 0.9978 } else { 1.0 },
            latency_us_p50: (p50 * more + queue * 0.6) as u64,
            latency_us_p95: (p50 * 2.6 * more + queue) as u64,
            latency_us_p99: (p50 * 4.0 * more + queue * 1.3) as u64,
            latency_us_max: (p50 * 9.0 * more + queue * 1.8) as u64,
        };
        let workers = if is(Situation::TooFewWorkers) { 1 } else { 3 };
        let automatic = !is(Situation::PageNotKept) && !is(Situation::SlowDigest);
        let upstreams = (1..=workers).map(|number| {
            let dies = is(Situation::WorkerDies) && number == 2;
            let share = 1.0 / f64::from(workers);
            Upstream {
                name: format!("app.{number}"),
                address: format!("127.0.0.1:{}", 41_000 + number),
                health: if dies { "ejected" } else { "up" }.into(),
                traffic: latency(if automatic { share * 0.2 } else { share }, 1.0),
                connects: Connects { total: 40, failed: u64::from(dies) * 6, us_p50: 70, us_p95: 240, us_max: 900 },
                worker: Some(Worker {
                    descriptors: 21,
                    descriptors_max: 1_024,
                    state: if dies { "backing off" } else { "ready" }.into(),
                    pid: (!dies).then_some(4_000 + number),
                    memory_bytes: 14_200_000 + u64::from(number) * 300_000,
                    cpu_ms: (seconds * if is(Situation::TooFewWorkers) { 960.0 } else { 120.0 }) as u64,
                    restarts: if dies { 3 + (seconds / 6.0) as u64 } else { 0 },
                    ready_after_ms: Some(210),
                    last_exit: dies.then(|| {
                        "exit status 1 after 0.2 s\nTraceback (most recent call last):\n  File \"main.py\", line 3, in <module>\nModuleNotFoundError: No module named 'pymysqll'".into()
                    }),
                }),
            }
        });
        let digests = vec![
            Digest {
                text: "SELECT ask . id , ask . message , ( SELECT COUNT ( * ) FROM cheer WHERE cheer . ask_id = ask . id ) AS cheers , ( SELECT COUNT ( DISTINCT cheer . ip_address ) FROM cheer WHERE cheer . ask_id = ask . id ) AS cheerers FROM ask ORDER BY ask . id DESC".into(),
                count: requests,
                total_us: requests * if slow { 31_000 } else { 420 },
                max_us: 61_000,
                rows: requests * 50,
                ..Digest::default()
            },
            Digest {
                text: "INSERT INTO cheer ( ask_id , message , ip_address ) VALUES ( ... )".into(),
                count: requests / 90,
                errors: 1,
                total_us: requests * 4,
                max_us: 3_900,
                rows: requests / 90,
                bypass: Some("it writes".into()),
                ..Digest::default()
            },
        ];
        Status {
            version: "0.1.0".into(),
            uptime_s: seconds as u64,
            cpu_ms: (seconds * 350.0) as u64,
            memory_bytes: 38_400_000,
            descriptors: 112,
            descriptors_max: 1_048_576,
            host: Host {
                cores: 4,
                cpu_user_ms: (seconds * 900.0) as u64,
                cpu_system_ms: (seconds * 300.0) as u64,
                cpu_idle_ms: (seconds * 2_800.0) as u64,
                memory_bytes: 16 << 30,
                memory_available_bytes: 11 << 30,
                disk_operations: 9_000,
                disk_ms: 4_500,
                tcp_sockets: 190,
                tcp_time_wait: 12,
                ports: 28_232,
                ..Host::default()
            },
            edge: Edge {
                listeners: vec!["0.0.0.0:8080".into()],
                connections: 64,
                traffic: latency(1.0, 1.0),
                queue_us_p95: queue as u64,
                status_2xx: requests,
                bytes_in: requests * 300,
                bytes_out: requests * 27_000,
                routes: vec![Route {
                    route: "*/*".into(),
                    pool: "app".into(),
                    pages: if automatic { "automatic" } else { "off" }.into(),
                    traffic: latency(1.0, 1.0),
                    hits: if automatic { requests * 8 / 10 } else { 0 },
                    misses: if automatic { requests * 2 / 10 } else { 0 },
                    stale: 0,
                    bypasses: if automatic { vec![("the method is POST".into(), requests / 100)] } else { Vec::new() },
                    invalidations: if automatic {
                        vec![Invalidation {
                            table: Some(TableTold { number: 7, names: vec!["askhy.cheer".into()] }),
                            times: requests / 90,
                            at_unix_ms: 1_800_000_000_000,
                            statement: Some("INSERT INTO cheer ( ask_id , message , ip_address ) VALUES ( ... )".into()),
                            ..Invalidation::default()
                        }]
                    } else {
                        Vec::new()
                    },
                    status_2xx: requests - requests / 50,
                    status_3xx: requests / 100,
                    status_4xx: requests / 100,
                    bytes_in: requests * 300,
                    bytes_out: requests * 27_000,
                    first_byte_us_p50: 3_100,
                    first_byte_us_p95: 9_400,
                    queue_us_p95: queue as u64,
                    clients_left: 3,
                    ..Route::default()
                }],
                handshakes: Handshakes { full: 310, resumed: 2_040, failed: 4 },
                pages: automatic.then(|| Store {
                    entries: 104,
                    bytes: 3_900_000,
                    bytes_max: 128 << 20,
                    hits: requests * 8 / 10,
                    misses: requests * 2 / 10,
                    invalidated: requests / 90,
                    evicted: 0,
                }),
                differences: match is(Situation::WorkerDies) {
                    true => vec![PageDifference {
                        kind: "*/* /ask/*".into(),
                        at_unix_ms: 1_790_000_000_000,
                        offset: 1_201,
                        before: "<p>You are visitor 7</p>".into(),
                        after: "<p>You are visitor 8</p>".into(),
                    }],
                    false => Vec::new(),
                },
                ..Edge::default()
            },
            pools: vec![Pool {
                name: "app".into(),
                policy: "least in flight".into(),
                retries_total: 2,
                upstreams: upstreams.collect(),
                ..Pool::default()
            }],
            sql: vec![Sql {
                name: "main".into(),
                engine: "embedded:askhy.db".into(),
                address: "127.0.0.1:3306".into(),
                connections: 24,
                connections_max: 1_000,
                traffic: latency(if automatic { 0.2 } else { 1.0 }, 0.9),
                reads_total: requests,
                writes_total: requests / 90,
                results: None,
                digests,
                ..Sql::default()
            }],
            events: vec![
                event("info", "edge", "listening on 0.0.0.0:8080"),
                event("info", "worker app.1", "ready after 210 ms"),
                event(
                    "warn",
                    "worker app.2",
                    "died 0.2 s after it was ready: exit status 1\nModuleNotFoundError: No module named 'pymysqll'",
                ),
            ],
        }
    }

    fn configuration(&self) -> Vec<Setting> {
        let setting = |path: &str, value: &str, origin: &str| Setting { path: path.into(), value: value.into(), origin: origin.into() };
        vec![
            setting("edge.listen", "\"0.0.0.0:8080\"", "pumasi.toml:2"),
            setting("edge.limits.header_timeout", "\"10s\"", "default"),
            setting("pool.app.command", "\"gunicorn -b 127.0.0.1:$PORT main:app\"", "pumasi.toml:9"),
            setting("pool.app.workers", "3", "PUMASI__POOL__APP__WORKERS"),
            setting("sql.main.users[0].password", "\"***\"", "pumasi.toml:17"),
        ]
    }

    fn load_tests(&self) -> Option<&dyn LoadTests> {
        (self.situation != Situation::Healthy).then_some(self)
    }

    fn reload(&self) -> Result<String, String> {
        match self.reloads.fetch_add(1, Relaxed) {
            0 => Ok("Replaced 3 workers of pool app.".into()),
            _ => Err("pumasi.toml:9: pool.app.workers: 0 is too few.\nSet it to 1 or more.".into()),
        }
    }

    fn purge(&self, purge: &Purge) -> Result<String, String> {
        self.purged.lock().unwrap().push(purge.clone());
        Ok(format!("Dropped 104 pages: {:?}", purge.pages))
    }

    fn drain(&self, upstream: &str, drain: Drain) -> Result<String, String> {
        match upstream {
            "app.1" => Ok(format!("{upstream}: {drain:?}")),
            _ => Err(format!("there is no upstream {upstream}")),
        }
    }
}

/// Two kept runs, and one under way from the first start on.
impl LoadTests for Prepared {
    fn runs(&self) -> Vec<Run> {
        let run = |id: &str, tps, errors| Run {
            id: id.into(),
            name: String::new(),
            tags: vec!["ladder".into()],
            comment: String::new(),
            started_unix_ms: 1_790_000_000_000,
            target: "http://127.0.0.1:8080".into(),
            valid: errors == 0,
            met: true,
            tps,
            mean_us: 12_000.0,
            p99_us: 48_000.0,
            errors,
        };
        vec![run("20260921-two", 1_234.0, 7), run("20260921-one", 410.0, 0)]
    }

    fn running(&self) -> Option<Progress> {
        let loads = self.loads.lock().unwrap();
        let wanted = loads.first()?;
        let seconds =
            (0..20).map(|i| Second { answered: f64::from(wanted.rate), errors: 0.0, p50_us: 900.0 + f64::from(i * 20), p99_us: 4_000.0 });
        let target = format!("http://127.0.0.1:8080{}", wanted.path);
        Some(Progress { target, rate: f64::from(wanted.rate), lasts_s: 30, seconds: seconds.collect() })
    }

    fn report(&self, id: &str) -> Result<String, String> {
        match id {
            "20260921-two" => Ok("<!DOCTYPE html><style>p { color: red }</style><p>report".into()),
            _ => Err(format!("there is no run {id:?}")),
        }
    }

    fn ladder_unix_ms(&self) -> Option<u64> {
        (self.situation == Situation::TooFewWorkers).then_some(1_790_000_000_000)
    }

    fn ladder(&self) -> Result<String, String> {
        Ok("<!DOCTYPE html><p>rungs".into())
    }

    fn compare(&self, before: &str, after: &str) -> Result<Comparison, String> {
        self.report(after)?;
        let tps =
            Difference { figure: "TPS".into(), before: "410".into(), after: "1234".into(), change: "+201 %".into(), better: Some(true) };
        Ok(Comparison { notes: vec![format!("{before} ran 20 s, {after} 30 s")], figures: vec![tps] })
    }

    fn start(&self, wanted: &Wanted) -> Result<String, String> {
        self.loads.lock().unwrap().push(wanted.clone());
        Ok("Started.".into())
    }

    fn stop(&self) -> Result<String, String> {
        Err("No load test is running.".into())
    }
}

fn event(level: &str, subject: &str, message: &str) -> Event {
    let at_unix_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    Event { at_unix_ms, level: level.into(), subject: subject.into(), message: message.into() }
}
