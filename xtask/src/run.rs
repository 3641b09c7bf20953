//! The verbs: what is run, in which order, and what a failure says.

use std::{path::PathBuf, process::Command, time::Instant};

use anyhow::{Context, Result, bail};

use crate::install;

/// The repository's root: xtask lies one folder below it.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the repository").to_owned()
}

/// Everything that must hold before a change lands, cheapest first.
pub fn test(runner: &[String]) -> Result<()> {
    install::for_tests()?;
    room_for_a_build()?;
    let started = Instant::now();
    step("format", cargo().args(["fmt", "--all", "--check"]))?;
    step("lints", cargo().args(["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    // The end-to-end tests drive this binary; cargo gives no package the path of another's.
    step("the binary", cargo().args(["build", "--quiet", "--package", "pumasi"]))?;
    let mut tests = if has_nextest() {
        let mut command = cargo();
        command.args(["nextest", "run", "--workspace", "--no-fail-fast"]);
        command
    } else {
        let mut command = cargo();
        command.args(["test", "--workspace", "--no-fail-fast"]);
        command
    };
    step(
        "tests",
        tests
            .args(runner)
            .env("PUMASI_TEST_PYTHON", install::python_home().join("bin/python"))
            .env("PUMASI_TEST_NODE_PATH", install::node_home().join("node_modules")),
    )?;
    eprintln!("xtask: all passed in {} s", started.elapsed().as_secs());
    Ok(())
}

/// The rooms that start the whole program; the others have the tier they measure in themselves, and its build takes minutes. `--binary PATH` names
/// one that is there already.
const WITH_THE_BINARY: [&str; 3] = ["sql", "sql-embedded", "freshness"];

/// Hands over to `bench/peers`, which is outside the workspace so that the engines we compare with never slow a test build.
pub fn bench(what: &[String]) -> Result<()> {
    install::for_benches()?;
    if what.first().is_some_and(|room| WITH_THE_BINARY.contains(&room.as_str())) && !what.iter().any(|word| word == "--binary") {
        step("the binary", cargo().args(["build", "--quiet", "--release", "--package", "pumasi"]))?;
    }
    let manifest = root().join("bench/peers/Cargo.toml");
    // Minutes of building that say nothing look like a room that hangs.
    step("the rooms", cargo().args(["build", "--release", "--manifest-path"]).arg(&manifest))?;
    run(cargo().args(["run", "--quiet", "--release", "--manifest-path"]).arg(&manifest).arg("--").args(what))
}

/// Some of the tests for longer, `minutes` each: the freshness oracle (writers and readers through the whole binary while workers are killed),
/// the edge under everything at once (reloads, purges, killed upstreams), and a cluster whose servers are stopped, killed, delayed and cut off.
pub fn soak(minutes: u32, only: Option<Soak>) -> Result<()> {
    install::for_tests()?;
    step("the binary", cargo().args(["build", "--quiet", "--release", "--package", "pumasi"]))?;
    let seconds = (u64::from(minutes) * 60).to_string();
    let faults = (minutes * FAULTS_PER_MINUTE).to_string();
    for soak in [Soak::Edge, Soak::Freshness, Soak::Cluster].into_iter().filter(|soak| only.is_none_or(|only| only == *soak)) {
        let (name, key, much) = match soak {
            Soak::Edge => ("soak::everything", "EDGE_SOAK_SECONDS", &seconds),
            Soak::Freshness => ("freshness", "FRESHNESS_SECONDS", &seconds),
            Soak::Cluster => ("every_read_sees", "CLUSTER_FAULTS", &faults),
        };
        let mut command = cargo();
        command.args(["test", "--release", "--package", "pumasi-tests", "--test", "it", "--", "--nocapture", name]).env(key, much);
        if soak == Soak::Freshness {
            // Most of the time is to be spent on answers from memory, not on servers that come back.
            command.env("FRESHNESS_HITS", HITS_BETWEEN_FAULTS);
        }
        step(name, &mut command)?;
    }
    Ok(())
}

/// What [`soak`] can be told to stay with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Soak {
    Edge,
    Freshness,
    Cluster,
}

/// Answers from memory between two faults, in the search for a stale one.
const HITS_BETWEEN_FAULTS: &str = "20000";

/// A fault and the return to order after it take about five seconds.
const FAULTS_PER_MINUTE: u32 = 12;

/// Bytes that must be free: a fresh build of everything with all tests run left 2.4 GB under `target` without incremental artefacts; those
/// and the directories of the tests' servers, which come and go, are an allowance, not a measurement.
const ROOM_FOR_A_BUILD: u64 = 7_000_000_000;

/// Refuses to begin where the disk would be full half-way: a database that cannot write its log fails its test in a hundred lines
/// that do not say so.
fn room_for_a_build() -> Result<()> {
    let built = root().join("target/debug/pumasi").exists();
    for place in [root(), std::env::temp_dir()] {
        let Ok(disk) = rustix::fs::statvfs(&place) else { continue };
        let free = disk.f_bavail * disk.f_frsize;
        let wanted = if built { ROOM_FOR_A_BUILD / 4 } else { ROOM_FOR_A_BUILD };
        if free < wanted {
            let gigabytes = |bytes: u64| bytes as f64 / 1e9;
            bail!(
                "{} has {:.1} GB free; building and testing takes {:.1} GB. Free some room, or put CARGO_TARGET_DIR and TMPDIR on another disk",
                place.display(),
                gigabytes(free),
                gigabytes(wanted)
            );
        }
    }
    Ok(())
}

pub fn step(name: &str, command: &mut Command) -> Result<()> {
    eprintln!("xtask: {name}");
    run(command).with_context(|| format!("{name} failed; to repeat it alone: {}", shown(command)))
}

/// Runs a command to its end with our own standard streams.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("starting {}", shown(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", command.get_program().to_string_lossy());
    }
    Ok(())
}

/// Cargo as a person at a prompt would call it: without what `cargo run` told us about our own package. Build scripts that watch those
/// variables (ring's) would run again, and everything above them be compiled again, each time the one or the other called.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            command.env_remove(name);
        }
    }
    // A machine that builds once has no use for what makes the second build faster, and it is most of what a build writes.
    if std::env::var_os("CI").is_some() {
        command.env("CARGO_INCREMENTAL", "0");
    }
    command
}

fn has_nextest() -> bool {
    Command::new("cargo").args(["nextest", "--version"]).output().is_ok_and(|out| out.status.success())
}

fn shown(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
