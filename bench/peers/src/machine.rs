//! What a run ran on, and whose CPU time was spent.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result};

/// User and system time of a process and all its threads, in clock ticks (10 ms).
pub fn cpu_ticks(pid: u32) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("reading the CPU time of process {pid}"))?;
    // The name may hold spaces; fields count from behind its closing parenthesis.
    let fields: Vec<&str> = stat.rsplit_once(") ").context("a stat line has a name")?.1.split(' ').collect();
    Ok(fields[11].parse::<u64>()? + fields[12].parse::<u64>()?)
}

/// Direct children of a process (nginx does its work in one).
pub fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|p| p.parse().ok()).collect()
}

/// Memory of a process that is in RAM (VmRSS).
pub fn resident_kib(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("reading the memory of process {pid}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("a line with VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// Ticks per second of [`cpu_ticks`].
pub fn ticks_per_second() -> u64 {
    rustix::param::clock_ticks_per_second()
}

/// `2026-11-20-2core-x86_64`: the date, and enough of the machine to know what not to compare with what.
pub fn run_name() -> Result<String> {
    let date = Command::new("date").args(["-u", "+%Y-%m-%d"]).output()?;
    let date = String::from_utf8(date.stdout)?.trim().to_owned();
    Ok(format!("{date}-{}core-{}", cores(), std::env::consts::ARCH))
}

pub fn cores() -> usize {
    fs::read_to_string("/proc/cpuinfo").map_or(1, |t| t.lines().filter(|l| l.starts_with("processor")).count())
}

pub fn describe() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|l| l.strip_prefix("model name")).map_or("unknown", |l| l.trim_start_matches(['\t', ':', ' ']));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    // What else the machine did belongs to the figures: beyond the number of cores, trust the ratios and not the microseconds.
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("unknown").to_owned();
    format!("{} cores, {model}, Linux {}, load average {load}", cores(), kernel.trim())
}

/// `bench/runs/<run name>`, made if it is not there.
pub fn run_directory() -> Result<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../runs").join(run_name()?);
    fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
    Ok(path)
}

/// The first line a program prints when asked for its version.
pub fn version_of(program: &str, flag: &str) -> String {
    let Ok(output) = Command::new(program).arg(flag).output() else { return format!("{program}: not installed") };
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    text.lines().find(|l| l.chars().any(|c| c.is_ascii_digit())).unwrap_or("").trim().to_owned()
}
