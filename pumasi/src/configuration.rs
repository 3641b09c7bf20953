//! Finds and reads the configuration: a file, or the command that shall be run without one.

use std::{
    path::{Path, PathBuf},
    thread::available_parallelism,
};

use anyhow::Context;
use pumasi_config::{Flag, Loaded, Source, Surroundings};

use crate::{arguments::ConfigurationArguments, failure::Failure};

/// Looked for in the current directory when no other file is named.
pub const DEFAULT_FILE: &str = "pumasi.toml";

/// The key `state` when nobody set it; beside the file.
pub const DEFAULT_STATE: &str = ".pumasi";

/// A configuration and what is needed to read it again.
#[derive(Clone, Debug)]
pub struct Configuration {
    pub origin: Written,
    pub flags: Vec<Flag>,
}

/// Where the text of a configuration is.
#[derive(Clone, Debug)]
pub enum Written {
    File(PathBuf),
    /// Made by us: `name` stands for the file in messages.
    Text {
        name: &'static str,
        text: String,
    },
}

impl Configuration {
    /// The file that was named, else `pumasi.toml` here. Errors: usage, if there is neither.
    pub fn of_file(arguments: &ConfigurationArguments) -> Result<Configuration, Failure> {
        let path = match &arguments.config {
            Some(path) => path.clone(),
            None if Path::new(DEFAULT_FILE).exists() => DEFAULT_FILE.into(),
            None => {
                return Err(Failure::Usage(format!(
                    "there is no {DEFAULT_FILE} here. Name a file with --config FILE, start an application with `pumasi run -- COMMAND`, \
                     write a file from `pumasi config reference`, or look at `pumasi demo`."
                )));
            }
        };
        Ok(Configuration { origin: Written::File(path), flags: arguments.overrides.flags() })
    }

    /// What `pumasi run` shall run. Errors: usage, if there is a file and a command, or neither.
    pub fn to_run(arguments: &ConfigurationArguments, workers: Option<u32>, command: &[String]) -> Result<Configuration, Failure> {
        if command.is_empty() {
            return Configuration::of_file(arguments);
        }
        let file = arguments.config.clone().or_else(|| Path::new(DEFAULT_FILE).exists().then(|| DEFAULT_FILE.into()));
        if let Some(file) = file {
            let file = file.display();
            return Err(Failure::Usage(format!(
                "there is {file} and a command on the command line. Leave out the command to run what {file} says, or write the command                  into it, or run it in a directory without {file}."
            )));
        }
        let mut flags = arguments.overrides.flags();
        flags.extend(workers.map(|workers| Flag { name: "--workers".into(), key: "pool.app.workers".into(), value: workers.to_string() }));
        Ok(Configuration { origin: Written::Text { name: "(command line)", text: pumasi_config::text_for_command(command) }, flags })
    }

    pub fn source(&self) -> Result<Source, Failure> {
        match &self.origin {
            Written::File(path) => read(path),
            Written::Text { name, text } => {
                let directory = std::env::current_dir().context("cannot tell the current directory")?;
                Ok(Source { name: (*name).into(), text: text.clone(), directory })
            }
        }
    }

    /// Reads the text anew, and the environment as it was when the program started.
    pub fn load(&self) -> Result<(Source, Loaded), Failure> {
        let source = self.source()?;
        let surroundings = Surroundings {
            // A variable that is not UTF-8 can be no key of ours; it reaches the workers untouched all the same.
            environment: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
            flags: self.flags.clone(),
            cores: available_parallelism().map_or(1, |cores| cores.get()),
        };
        let loaded = pumasi_config::load(&source, &surroundings).map_err(Failure::Configuration)?;
        Ok((source, loaded))
    }
}

fn read(path: &Path) -> Result<Source, Failure> {
    let shown = path.display();
    let bytes = std::fs::read(path).map_err(|error| Failure::Usage(format!("cannot read {shown}: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        Failure::Usage(format!("{shown}:{line}: not UTF-8 text. Save the file as UTF-8."))
    })?;
    let absolute = std::path::absolute(path).with_context(|| format!("cannot tell the directory of {shown}"))?;
    let directory = absolute.parent().unwrap_or(Path::new("/")).to_path_buf();
    Ok(Source { name: shown.to_string(), text, directory })
}
