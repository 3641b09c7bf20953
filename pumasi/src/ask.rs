//! Asks the running Pumasi through its console, wherever it runs: for a change (`pumasi reload`, `upgrade`, `purge`, `drain`, `weigh`), and what it is doing.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow};
use pumasi_status::Status;
use serde::Deserialize;

use crate::{
    arguments::{ConfigurationArguments, OverrideArguments, RunningArguments},
    client::Console,
    configuration::{Configuration, DEFAULT_FILE, DEFAULT_STATE},
    demo,
    failure::Failure,
    state::StateDirectory,
};

pub fn reload(running: &RunningArguments) -> Result<(), Failure> {
    // A mistake is told here as well as there, and with the code for it.
    order(&places(running, Mistakes::Tell)?, "/api/reload", &[])
}

/// Returns when the new process is in charge. Errors: it is not, and the old one goes on.
pub fn upgrade(running: &RunningArguments) -> Result<(), Failure> {
    let places = places(running, Mistakes::Overlook)?;
    let found = || places.iter().find_map(|path| StateDirectory::running(path));
    let before = found();
    order(&places, "/api/upgrade", &[])?;
    let Some(before) = before else { return Ok(()) };
    // The console that answered is gone now; the next one announces itself when it is there.
    let until = Instant::now() + UPGRADE_PATIENCE;
    while Instant::now() < until {
        match found() {
            Some(now) if now.process != before.process => {
                eprintln!("process {} is in charge, version {}", now.process, now.version);
                return Ok(());
            }
            Some(now) if now.taken_back.count != before.taken_back.count => {
                return Err(anyhow!("process {} has taken back: {}", now.process, now.taken_back.reason).into());
            }
            Some(_) => std::thread::sleep(Duration::from_millis(50)),
            None => return Err(anyhow!("no Pumasi runs there any more; look at its messages").into()),
        }
    }
    Err(anyhow!("process {} still drains after {} s", before.process, UPGRADE_PATIENCE.as_secs()).into())
}

/// Longer than any drain that somebody waits for.
const UPGRADE_PATIENCE: Duration = Duration::from_secs(1800);

/// `pages` are the API's form fields, of which the command line has set one.
pub fn purge(pages: [(&str, Option<String>); 4], soft: bool, running: &RunningArguments) -> Result<(), Failure> {
    let soft = ("soft", soft.then(|| "1".into()));
    let form: Vec<(&str, String)> = pages.into_iter().chain([soft]).filter_map(|(name, value)| Some((name, value?))).collect();
    let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
    order(&places(running, Mistakes::Overlook)?, "/api/purge", &form)
}

pub fn drain(upstream: &str, undo: bool, running: &RunningArguments) -> Result<(), Failure> {
    let path = if undo { "/api/undrain" } else { "/api/drain" };
    order(&places(running, Mistakes::Overlook)?, path, &[("upstream", upstream)])
}

pub fn weigh(upstream: &str, weight: u32, running: &RunningArguments) -> Result<(), Failure> {
    order(&places(running, Mistakes::Overlook)?, "/api/weigh", &[("upstream", upstream), ("weight", &weight.to_string())])
}

/// Has the console do something and tells what it said.
pub fn order(places: &[PathBuf], path: &str, form: &[(&str, &str)]) -> Result<(), Failure> {
    let answer = Console::of_running(places)?.post(path, form)?;
    match answer.status {
        200 => {
            eprintln!("{}", message(&answer.body));
            Ok(())
        }
        _ => Err(anyhow!("{}", message(&answer.body)).into()),
    }
}

/// What the running Pumasi is doing now.
pub fn current(console: &Console) -> Result<Status, Failure> {
    let text = picture(console)?;
    Ok(serde_json::from_str(&text).context("the console's answer is not a status: is it another version?")?)
}

/// The same as JSON.
pub fn picture(console: &Console) -> Result<String, Failure> {
    let answer = console.get("/api/status")?;
    match answer.status {
        200 => Ok(answer.body),
        status => Err(anyhow!("the console answers {status}: {}", message(&answer.body)).into()),
    }
}

/// What the console makes of the numbers, most urgent first.
#[derive(Debug, Default, Deserialize)]
pub struct Findings {
    pub verdicts: Vec<Verdict>,
    /// What is to be said when nothing was found.
    pub well: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Verdict {
    /// `act` or `look`.
    pub level: String,
    pub sentence: String,
    /// A statement, a path or the last words of a process.
    pub quote: Option<String>,
    pub advice: String,
}

pub fn findings(console: &Console) -> Result<Findings, Failure> {
    Ok(serde_json::from_str(&findings_text(console)?).context("the console's answer is no list of findings: is it another version?")?)
}

/// The same as JSON.
pub fn findings_text(console: &Console) -> Result<String, Failure> {
    let answer = console.get("/api/findings")?;
    match answer.status {
        200 => Ok(answer.body),
        status => Err(anyhow!("the console answers {status}: {}", message(&answer.body)).into()),
    }
}

/// What to do about mistakes in the configuration that says where the state directory is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mistakes {
    Tell,
    /// What runs was started before they were made.
    Overlook,
}

/// The state directories in which the Pumasi that is meant may run, the likeliest first: the one that was named, or else what the
/// configuration here says, what it said by default, and the demo's.
pub fn places(running: &RunningArguments, mistakes: Mistakes) -> Result<Vec<PathBuf>, Failure> {
    if let Some(state) = &running.state {
        return Ok(vec![state.clone()]);
    }
    if running.config.is_none() && !Path::new(DEFAULT_FILE).exists() {
        return Ok(vec![DEFAULT_STATE.into(), demo::STATE.into()]);
    }
    let overrides = OverrideArguments::default();
    let configuration = Configuration::of_file(&ConfigurationArguments { config: running.config.clone(), overrides })?;
    let by_default = configuration.source()?.directory.join(DEFAULT_STATE);
    match configuration.load() {
        Ok((_, loaded)) => Ok(vec![loaded.plan.state, by_default]),
        Err(Failure::Configuration(_)) if mistakes == Mistakes::Overlook => Ok(vec![by_default]),
        Err(failure) => Err(failure),
    }
}

/// `{"message": ...}` or `{"error": ...}` of the API; the body itself if it is something else.
pub fn message(body: &str) -> String {
    let value: Option<serde_json::Value> = serde_json::from_str(body).ok();
    let text = value.as_ref().and_then(|value| value.get("error").or(value.get("message"))?.as_str());
    text.unwrap_or(body).trim_end().to_owned()
}
