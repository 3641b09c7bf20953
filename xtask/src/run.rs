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

/// Hands over to `bench/peers`, which is outside the workspace so that the engines we compare with never slow a test build.
pub fn bench(what: &[String]) -> Result<()> {
    install::for_benches()?;
    step("the binary", cargo().args(["build", "--quiet", "--release", "--package", "pumasi"]))?;
    run(cargo().args(["run", "--quiet", "--release", "--manifest-path"]).arg(root().join("bench/peers/Cargo.toml")).arg("--").args(what))
}

/// The freshness oracle of the tests, for longer: writers and readers through the whole binary while workers are killed.
pub fn soak(minutes: u32) -> Result<()> {
    install::for_tests()?;
    step("the binary", cargo().args(["build", "--quiet", "--release", "--package", "pumasi"]))?;
    step(
        "soak",
        cargo()
            .args(["test", "--release", "--package", "pumasi-tests", "--test", "it", "--", "--nocapture", "freshness"])
            .env("FRESHNESS_SECONDS", (minutes * 60).to_string()),
    )
}

fn step(name: &str, command: &mut Command) -> Result<()> {
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

fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

fn has_nextest() -> bool {
    Command::new("cargo").args(["nextest", "--version"]).output().is_ok_and(|out| out.status.success())
}

fn shown(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
