//! Generators as programs of their own on the driver's core: what they say, what they cost, and no longer than they may.

use std::{
    fs,
    io::Read,
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::machine::{self, cpu_ticks};

pub const DRIVER_CORE: usize = 1;
/// The whole room: a program that hangs, or a machine that cannot, ends it with a sentence.
pub const TOTAL_MAX: Duration = Duration::from_secs(9 * 60);
/// A program may take so much longer than it was asked to run.
const GRACE: Duration = Duration::from_secs(20);

/// When that is over; other rooms borrow the generator and have no such bound.
static UNTIL: OnceLock<Instant> = OnceLock::new();

/// The room's time begins.
pub fn begin() {
    let _ = UNTIL.set(Instant::now() + TOTAL_MAX);
}

/// The generator on the driver's core: its report as JSON, and its CPU time in microseconds. `lasts`: how long it was asked to run.
pub fn generate(arguments: &[&str], lasts: Duration) -> Result<(String, f64)> {
    let own = std::env::current_exe()?;
    let arguments: Vec<&str> = ["generate"].into_iter().chain(arguments.iter().copied()).chain(["--no-keep", "--json"]).collect();
    pinned(&own.to_string_lossy(), &arguments, lasts)
}

/// Standard output of a program on the driver's core, and its CPU time in microseconds.
pub fn pinned(program: &str, arguments: &[&str], lasts: Duration) -> Result<(String, f64)> {
    let own = Instant::now() + lasts + GRACE;
    let until = UNTIL.get().map_or(own, |room| own.min(*room));
    let mut child = Command::new("taskset")
        .args(["-c", &DRIVER_CORE.to_string(), program])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("starting {program}"))?;
    let mut stdout = child.stdout.take().context("standard output is piped")?;
    // What it says may be more than a pipe holds.
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).map(|_| text)
    });
    // Ended but not waited for: its times are final and still there.
    while !ended(&child)? {
        if Instant::now() > until {
            let _ = child.kill();
            let _ = child.wait();
            bail!(
                "{program} {} had not ended {} s after it should have, or the room's {} s were over",
                arguments.join(" "),
                GRACE.as_secs(),
                TOTAL_MAX.as_secs()
            );
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let cpu_us = cpu_ticks(child.id())? as f64 * 1e6 / machine::ticks_per_second() as f64;
    let status = child.wait()?;
    let text = reader.join().expect("the reader does not panic")?;
    if !status.success() {
        bail!("{program} ended with {status}: {text}");
    }
    Ok((text, cpu_us))
}

fn ended(child: &Child) -> Result<bool> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id()))?;
    Ok(stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
}

/// The word at a place of the first line that has the mark.
pub fn find_word(text: &str, mark: &str, at: usize) -> Result<String> {
    let line = text.lines().find(|line| line.contains(mark)).with_context(|| format!("no {mark:?} in {text:?}"))?;
    Ok(line.split_whitespace().nth(at).with_context(|| format!("word {at} of {line:?}"))?.to_string())
}

pub fn microseconds(text: &str) -> Result<f64> {
    for (unit, factor) in [("us", 1.0), ("ms", 1e3), ("s", 1e6)] {
        if let Some(number) = text.strip_suffix(unit) {
            return Ok(number.parse::<f64>()? * factor);
        }
    }
    bail!("{text:?} is not a time")
}
