//! Load tests from the console: `pumasi load` as a process of its own, so that the generator's CPU time is not taken for Pumasi's.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use pumasi_console::load::{Comparison, Difference, LoadTests, Progress, RUNS_SHOWN, Run, Second, Wanted};
use pumasi_load::{Kept, Report, Tick, compare, html};
use pumasi_web::OWN_PROGRAM;
use rustix::process::{Pid, Signal, kill_process};

use crate::{diary::Diary, house::House};

/// What the console knows of load tests.
pub struct LoadDesk {
    state: PathBuf,
    diary: Arc<Diary>,
    running: Arc<Mutex<Option<Running>>>,
    listed: Mutex<Listed>,
}

struct Running {
    process: u32,
    progress: Progress,
}

/// The kept runs, read again when their directory changed.
#[derive(Default)]
struct Listed {
    changed: Option<SystemTime>,
    runs: Vec<Run>,
}

impl LoadDesk {
    pub fn new(state: PathBuf, diary: Arc<Diary>) -> LoadDesk {
        LoadDesk { state, diary, running: Arc::default(), listed: Mutex::default() }
    }

    /// Ends the running test; its own process keeps what was measured.
    pub fn stop(&self) -> Result<String, String> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let pid = running.as_ref().and_then(|running| Pid::from_raw(running.process.cast_signed()));
        let pid = pid.ok_or("No load test is running.")?;
        // Still in the table, so not reaped yet: the number is this process's.
        kill_process(pid, Signal::INT).map_err(|error| format!("The load test cannot be ended: {error}."))?;
        Ok("The load test ends; what it measured is kept.".into())
    }

    fn kept(&self) -> Kept {
        Kept::new(&self.state)
    }

    fn start(&self, site: &str, wanted: &Wanted) -> Result<String, String> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.is_some() {
            return Err("A load test is running already. Wait for its end, or end it.".into());
        }
        let target = format!("http://{site}{}", wanted.path);
        let mut child = Command::new(OWN_PROGRAM)
            .arg("load")
            .arg(&target)
            .args(["--rate", &wanted.rate.to_string(), "--for", &format!("{}s", wanted.lasts_s), "--warmup", &format!("{WARMUP_S}s")])
            .args(["--name", &wanted.name, "--ticks", "--state"])
            .arg(&self.state)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("The load tester does not start: {error}."))?;
        let said = child.stderr.take().expect("it was piped");
        let lasts_s = u64::from(wanted.lasts_s + WARMUP_S);
        let progress = Progress { target: target.clone(), rate: f64::from(wanted.rate), lasts_s, seconds: Vec::new() };
        *running = Some(Running { process: child.id(), progress });
        let (table, diary) = (self.running.clone(), self.diary.clone());
        // Ends with the process: its standard error is closed then.
        std::thread::spawn(move || {
            let mut last_words = String::new();
            for line in BufReader::new(said).lines().map_while(Result::ok) {
                let mut running = table.lock().unwrap_or_else(PoisonError::into_inner);
                match (serde_json::from_str::<Tick>(&line), running.as_mut()) {
                    (Ok(tick), Some(running)) if running.progress.seconds.len() < SECONDS_MAX => {
                        running.progress.seconds.push(second(&tick))
                    }
                    (Err(_), _) => last_words = line,
                    _ => {}
                }
            }
            // Out of the table first: once it is reaped, its number may be somebody else's.
            *table.lock().unwrap_or_else(PoisonError::into_inner) = None;
            match child.wait() {
                Ok(status) if status.success() => diary.note("info", "load test", "ended; its report is kept"),
                Ok(status) => diary.note("warn", "load test", &format!("ended with {status}. {last_words}")),
                Err(error) => diary.note("warn", "load test", &format!("was lost: {error}")),
            }
        });
        Ok(format!("Started: {} requests per second to {target} for {} s.", wanted.rate, wanted.lasts_s))
    }

    fn runs(&self) -> Vec<Run> {
        let changed = std::fs::metadata(self.state.join("load")).and_then(|directory| directory.modified()).ok();
        let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        if listed.changed != changed || changed.is_none() {
            let runs = self.kept().list().unwrap_or_default().into_iter().flatten();
            *listed = Listed { changed, runs: runs.take(RUNS_SHOWN).map(|report| run(&report)).collect() };
        }
        listed.runs.clone()
    }
}

impl LoadTests for House {
    fn runs(&self) -> Vec<Run> {
        self.load_desk().runs()
    }

    fn running(&self) -> Option<Progress> {
        self.load_desk().running.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|running| running.progress.clone())
    }

    fn report(&self, id: &str) -> Result<String, String> {
        let report = self.load_desk().kept().find(id).map_err(|error| error.to_string())?;
        Ok(html::page(&report, None))
    }

    fn ladder_unix_ms(&self) -> Option<u64> {
        let written = std::fs::metadata(self.load_desk().kept().ladder()).and_then(|file| file.modified()).ok()?;
        u64::try_from(written.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_millis()).ok()
    }

    fn ladder(&self) -> Result<String, String> {
        std::fs::read_to_string(self.load_desk().kept().ladder()).map_err(|error| format!("no ladder was kept: {error}"))
    }

    fn compare(&self, before: &str, after: &str) -> Result<Comparison, String> {
        let find = |id| self.load_desk().kept().find(id).map_err(|error| error.to_string());
        let (before, after) = (find(before)?, find(after)?);
        let figures = compare::compare(&before, &after).into_iter().map(|difference| Difference {
            figure: difference.figure.into(),
            before: (difference.show)(difference.before),
            after: (difference.show)(difference.after),
            change: difference.change.map_or(String::new(), |change| format!("{:+.0} %", (change * 100.0).round() + 0.0)),
            better: difference.better,
        });
        Ok(Comparison { notes: compare::obstacles(&before, &after), figures: figures.collect() })
    }

    fn start(&self, wanted: &Wanted) -> Result<String, String> {
        let site = self.edge_addresses().into_iter().next().ok_or("The edge listens nowhere: there is nothing to load.")?;
        self.load_desk().start(&crate::client::reachable(site).to_string(), wanted)
    }

    fn stop(&self) -> Result<String, String> {
        self.load_desk().stop()
    }
}

// === helpers ===

const WARMUP_S: u32 = 1;

/// Longer than any test that can be started here: a bound, not a limit.
const SECONDS_MAX: usize = 1_000;

fn second(tick: &Tick) -> Second {
    Second { answered: tick.answered as f64, errors: tick.errors as f64, p50_us: tick.p50_us as f64, p99_us: tick.p99_us as f64 }
}

fn run(report: &Report) -> Run {
    Run {
        id: report.id.clone(),
        name: report.name.clone(),
        tags: report.tags.clone(),
        comment: report.comment.clone(),
        started_unix_ms: report.started_unix_ms,
        target: report.target.clone(),
        valid: report.valid,
        met: report.met(),
        tps: report.tps,
        mean_us: report.mean_ms * 1000.0,
        p99_us: report.response.p99 * 1000.0,
        errors: report.errors,
    }
}
