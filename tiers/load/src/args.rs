//! The command line of `pumasi load`.

use crate::{plan::Trust, quantity, scenario::Overrides, slo::Objective};
use clap::{Args, Subcommand};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// Load-test an HTTP service: an open model with latency from the planned instant, unless --vusers asks for a closed one
#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct LoadArgs {
    #[command(subcommand)]
    pub verb: Option<LoadVerb>,
    #[command(flatten)]
    pub run: RunArgs,
    /// Where runs are kept
    #[arg(long, value_name = "DIR", default_value = ".pumasi", env = "PUMASI_STATE", global = true)]
    pub state: PathBuf,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Subcommand, Clone, Debug)]
pub enum LoadVerb {
    /// One pass of one user through a URL or scenario file, showing every request and answer
    Validate(ValidateArgs),
    /// A scenario from what a running Pumasi serves, without anybody's secrets
    Record(RecordArgs),
    /// Lend this machine to load tests: dials in to a controller and does its share
    Agent(AgentArgs),
    /// The kept runs, newest first
    List,
    /// A kept run
    Show(ShowArgs),
    /// Two kept runs side by side
    Compare(CompareArgs),
    /// Remove kept runs
    Rm(RemoveArgs),
}

#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// What to load: http://... or a scenario file (.toml)
    #[arg(value_name = "URL|FILE", required = true)]
    pub what: Option<String>,
    /// Arrivals per second (open model)
    #[arg(long, short = 'r', value_parser = quantity::count, conflicts_with = "vusers")]
    pub rate: Option<f64>,
    /// Virtual users, each waiting for its answer before it asks again (closed model)
    #[arg(long, short = 'u', value_parser = quantity::count)]
    pub vusers: Option<f64>,
    /// Prove every read against the last acknowledged write instead of measuring: mysql://user:password@host:port/database with tables of its own,
    /// or http://... where the reference application answers. Exit code 4 when a read was stale
    #[arg(long, conflicts_with_all = ["rate", "vusers", "slo", "preview"])]
    pub verify: bool,
    /// Writes among a hundred statements of --verify
    #[arg(long, value_name = "PERCENT", default_value_t = 1.0, requires = "verify")]
    pub writes: f64,
    /// How long, after the warm-up: 30s, 2m [default: 30s]
    #[arg(long = "for", short = 'd', value_name = "DURATION", value_parser = quantity::duration)]
    pub lasts: Option<Duration>,
    /// Time before the measurement, left out of every figure [default: 1s]
    #[arg(long, value_name = "DURATION", value_parser = quantity::duration)]
    pub warmup: Option<Duration>,
    /// Objectives: p99=300ms,errors=0.1%,mean=..,max=..,behind=1%,tps=..; exit code 4 when one is missed
    #[arg(long, value_name = "LIST", value_parser = parse_objectives)]
    pub slo: Vec<Objectives>,
    /// End the run once an objective has been missed for 10 s
    #[arg(long)]
    pub stop_when_missed: bool,
    /// The target, instead of the scenario file's
    #[arg(long, value_name = "URL")]
    pub target: Option<String>,
    /// Method of the request to a URL [default: GET, or POST with --body]
    #[arg(long, short = 'm', value_name = "METHOD")]
    pub method: Option<String>,
    /// A header for every request, "Name: value"
    #[arg(long = "header", short = 'H', value_name = "HEADER", value_parser = parse_header)]
    pub headers: Vec<(String, String)>,
    /// Body of the request to a URL
    #[arg(long, value_name = "TEXT")]
    pub body: Option<String>,
    /// Generator threads [default: one per core, fewer for small loads]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Sockets at most; arrivals beyond them wait, and the wait counts [default: 10000; the vusers in the closed model]
    #[arg(long, value_name = "N")]
    pub connections: Option<usize>,
    /// Requests sent or waiting at most; arrivals beyond them are shed and counted [default: 10 s of arrivals]
    #[arg(long, value_name = "N")]
    pub in_flight: Option<usize>,
    /// An answer that takes longer is an error [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = quantity::duration)]
    pub timeout: Option<Duration>,
    /// Speak HTTP/2: by ALPN to https, by prior knowledge to http
    #[arg(long)]
    pub http2: bool,
    /// HTTP/2 requests at once on one connection [default: 100; 1 in the closed model, where a vuser has a connection of its own]
    #[arg(long, value_name = "N", requires = "http2")]
    pub streams: Option<usize>,
    /// Trust the certificates of this file (PEM) instead of the system's
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub ca: Option<PathBuf>,
    /// Trust any certificate
    #[arg(long)]
    pub insecure: bool,
    /// Of the dice in scenarios; the same seed makes the same requests
    #[arg(long)]
    pub seed: Option<u64>,
    /// Name of the run
    #[arg(long, default_value = "")]
    pub name: String,
    /// Tags of the run
    #[arg(long = "tag", value_name = "TAG")]
    pub tags: Vec<String>,
    /// Comment on the run
    #[arg(long, default_value = "")]
    pub comment: String,
    /// Do not keep the run under the state directory
    #[arg(long)]
    pub no_keep: bool,
    /// Compare with a kept run: its id, the beginning of it, its name, or last
    #[arg(long, value_name = "RUN")]
    pub baseline: Option<String>,
    /// Write the report as one self-contained page
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write the series as comma-separated values
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Console of the Pumasi under test, to draw its tiers on the same time axis [default: the one whose state is here, if it serves the target]
    #[arg(long, value_name = "URL")]
    pub watch: Option<String>,
    /// Have so many machines make the load, each running pumasi load agent; this one controls them
    #[arg(long, value_name = "N", requires = "controller", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub agents: Option<u16>,
    /// Where to wait for the agents: ADDRESS:PORT
    #[arg(long, value_name = "ADDRESS", requires = "agents")]
    pub controller: Option<SocketAddr>,
    /// The file whose first line is the token that the agents know [default: PUMASI_LOAD_TOKEN, or one that is made up and shown]
    #[arg(long, value_name = "FILE", requires = "agents")]
    pub token_file: Option<PathBuf>,
    /// Show the stages and what they plan, and send nothing
    #[arg(long)]
    pub preview: bool,
    /// A line of JSON per second on standard error, for the console
    #[arg(long, hide = true)]
    pub ticks: bool,
}

#[derive(Args, Clone, Debug)]
pub struct ValidateArgs {
    /// http://... or a scenario file (.toml)
    #[arg(value_name = "URL|FILE")]
    pub what: String,
    /// The target, instead of the scenario file's
    #[arg(long, value_name = "URL")]
    pub target: Option<String>,
    /// Trust the certificates of this file (PEM) instead of the system's
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub ca: Option<PathBuf>,
    /// Trust any certificate
    #[arg(long)]
    pub insecure: bool,
    /// Speak HTTP/2: by ALPN to https, by prior knowledge to http
    #[arg(long)]
    pub http2: bool,
}

/// Whose certificates two flags say to trust.
pub fn trust(insecure: bool, ca: Option<&PathBuf>) -> Trust {
    match ca {
        _ if insecure => Trust::Anybody,
        Some(path) => Trust::File(path.clone()),
        None => Trust::System,
    }
}

#[derive(Args, Clone, Debug)]
pub struct RecordArgs {
    /// How long; Ctrl-C ends it earlier
    #[arg(long = "for", short = 'd', value_name = "DURATION", default_value = "10m", value_parser = quantity::duration)]
    pub lasts: Duration,
    /// Where the scenario is written [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Also what forms and programs sent, up to 8 KiB each, secrets masked: so that writes can be repeated
    #[arg(long)]
    pub bodies: bool,
}

#[derive(Args, Clone, Debug)]
pub struct AgentArgs {
    /// Where the controller waits: HOST:PORT
    #[arg(long, value_name = "ADDRESS")]
    pub controller: String,
    /// The file whose first line is the controller's token [default: PUMASI_LOAD_TOKEN]
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// What this machine is called in the report [default: its host name]
    #[arg(long)]
    pub name: Option<String>,
    /// End after one load test
    #[arg(long)]
    pub once: bool,
}

#[derive(Args, Clone, Debug)]
pub struct ShowArgs {
    /// Id, the beginning of one, a name, or last
    #[arg(default_value = "last")]
    pub run: String,
    /// Write the report as one self-contained page
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write the series as comma-separated values
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub struct CompareArgs {
    /// The run before
    pub before: String,
    /// The run after
    #[arg(default_value = "last")]
    pub after: String,
}

#[derive(Args, Clone, Debug)]
pub struct RemoveArgs {
    /// Ids, beginnings of ids, or names
    #[arg(required = true)]
    pub runs: Vec<String>,
}

/// One `--slo`.
#[derive(Clone, Debug)]
pub struct Objectives(pub Vec<Objective>);

fn parse_objectives(text: &str) -> Result<Objectives, String> {
    Objective::parse_list(text).map(Objectives)
}

fn parse_header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or_else(|| format!("\"{text}\" is not a header; write it as \"Name: value\""))?;
    Ok((name.trim().to_string(), value.trim().to_string()))
}

impl RunArgs {
    /// What the flags say over a file. `target` has been resolved by the caller.
    pub fn overrides(&self) -> Overrides {
        Overrides {
            target: None,
            trust: trust(self.insecure, self.ca.as_ref()),
            rate: self.rate,
            vusers: self.vusers,
            lasts: self.lasts,
            warmup: self.warmup,
            threads: self.threads,
            connections_max: self.connections,
            in_flight_max: self.in_flight,
            timeout: self.timeout,
            http2: self.http2,
            streams_max: self.streams,
            machines: self.agents.map_or(0, usize::from),
            objectives: self.slo.iter().flat_map(|list| list.0.iter().cloned()).collect(),
            stop_when_missed: self.stop_when_missed,
            seed: self.seed,
            headers: self.headers.clone(),
        }
    }
}
