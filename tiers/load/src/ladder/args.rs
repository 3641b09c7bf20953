//! The command line of `pumasi ladder`.

use crate::quantity;
use clap::Args;
use std::{path::PathBuf, time::Duration};

/// The same application under the same load on every rung from one worker to automatic caching, compared
#[derive(Args, Clone, Debug)]
pub struct LadderArgs {
    /// Rounds per rung; medians are told
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub rounds: u16,
    /// How long one round measures one rung
    #[arg(long = "for", default_value = "3s", value_name = "DURATION", value_parser = quantity::duration)]
    pub lasts: Duration,
    /// Virtual users: each asks again when it has its answer
    #[arg(long, short = 'u', default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub vusers: u16,
    /// Only these rungs (1 is always among them): 1,4,6,7a
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Check freshness on every rung, the hand-written caches too; rungs 7a and 7b always are
    #[arg(long)]
    pub verify: bool,
    /// A real database instead of the embedded one: mysql://user:password@host:3306/askhy (filled if it is empty)
    #[arg(long, value_name = "URL")]
    pub database: Option<String>,
    /// Your application instead of the reference one: starts a worker that listens on $PORT (rungs 1, 4, 5, 6)
    #[arg(long, value_name = "COMMAND")]
    pub command: Option<String>,
    /// Paths of your application to ask for, evenly; may be repeated
    #[arg(long = "url", value_name = "PATH", requires = "command")]
    pub urls: Vec<String>,
    /// Environment of your application's workers, KEY=VALUE; ${sql.main.host} and ${sql.main.port} are filled in
    #[arg(long = "env", value_name = "KEY=VALUE", requires = "command", value_parser = key_and_value)]
    pub environment: Vec<(String, String)>,
    /// Print JSON instead of the table
    #[arg(long)]
    pub json: bool,
    /// Write the report as one self-contained page
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Where the last report is kept for the console
    #[arg(long, value_name = "DIR", default_value = ".pumasi", env = "PUMASI_STATE")]
    pub state: PathBuf,
    /// Do not keep it
    #[arg(long)]
    pub no_keep: bool,
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    text.split_once('=').map(|(key, value)| (key.to_string(), value.to_string())).ok_or_else(|| format!("\"{text}\" is not KEY=VALUE"))
}
