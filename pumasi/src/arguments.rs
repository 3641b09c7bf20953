//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use pumasi_config::Flag;

/// Takes your web application from one server to many, in one program: load balancer, page cache, supervised workers and a database tier,
/// with no change in the application.
#[derive(Parser)]
#[command(name = "pumasi", version, disable_help_subcommand = true, arg_required_else_help = true)]
#[command(after_help = "Try it: pumasi demo          Your application: pumasi run -- npm start")]
#[command(after_long_help = "Exit codes: 0 ok, 1 failure, 2 usage, 3 configuration, 4 objective missed, 5 target unreachable.\n\
                             NO_COLOR and --json are respected wherever they make sense. Data goes to standard output, messages to standard error.")]
pub struct Arguments {
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Subcommand)]
pub enum Verb {
    /// Serve the reference application through every tier: nothing to install, nothing to configure
    Demo {
        #[command(flatten)]
        arguments: DemoArguments,
    },
    /// Run an application: what pumasi.toml says, or just COMMAND when there is no file
    Run {
        #[command(flatten)]
        configuration: ConfigurationArguments,
        /// Workers to run (only with COMMAND; else write pool.NAME.workers)
        #[arg(long, value_name = "N", requires = "command")]
        workers: Option<u32>,
        /// Starts one worker; it must listen on 127.0.0.1, on the port in $PORT
        #[arg(last = true, value_name = "COMMAND")]
        command: Vec<String>,
    },
    /// Make the running Pumasi read its configuration again
    Reload {
        #[command(flatten)]
        running: RunningArguments,
    },
    /// Replace the running Pumasi by the program as it lies on the disk now, without a refused connection
    Upgrade {
        #[command(flatten)]
        running: RunningArguments,
    },
    /// Say what is known of one page: whether it is kept, what it was made of, which write dropped it, or why it is not kept
    Explain {
        /// http://example.org/path?query, or /path?query on every host
        url: String,
        #[command(flatten)]
        running: RunningArguments,
        #[arg(long)]
        json: bool,
    },
    /// Drop kept pages: one address, a beginning, a tag, or everything
    Purge {
        /// http://example.org/path?query, or /path?query on every host
        #[arg(required_unless_present_any = ["prefix", "tag", "all"], conflicts_with_all = ["prefix", "tag", "all"])]
        url: Option<String>,
        /// Every address that begins so: http://example.org/dir/, or /dir/ on every host
        #[arg(long, conflicts_with_all = ["tag", "all"])]
        prefix: Option<String>,
        /// Every page the application gave this tag (Surrogate-Key, Cache-Tag)
        #[arg(long, conflicts_with = "all")]
        tag: Option<String>,
        /// Every page
        #[arg(long)]
        all: bool,
        /// Only make them stale: they are still served while they are fetched anew
        #[arg(long)]
        soft: bool,
        #[command(flatten)]
        running: RunningArguments,
    },
    /// Take an upstream out of rotation: it gets no further request, those in flight end
    Drain {
        /// Its name as `pumasi status` shows it, such as app.1
        upstream: String,
        /// Put it back into rotation
        #[arg(long)]
        undo: bool,
        #[command(flatten)]
        running: RunningArguments,
    },
    /// Show and steer the servers behind the databases: who is the primary, who follows it
    Sql {
        #[command(subcommand)]
        verb: SqlVerb,
    },
    /// Change an upstream's share of the requests beside the others'
    Weigh {
        /// Its name as `pumasi status` shows it, such as app.1
        upstream: String,
        /// From 1 to 1000; 1 is what an upstream has by itself
        weight: u32,
        #[command(flatten)]
        running: RunningArguments,
    },
    /// Watch what the running Pumasi is doing, second by second
    Top {
        #[command(flatten)]
        running: RunningArguments,
    },
    /// Show what the running Pumasi is doing
    Status {
        #[command(flatten)]
        running: RunningArguments,
        #[arg(long)]
        json: bool,
    },
    /// Check the configuration and say everything that is wrong with it
    Validate {
        #[command(flatten)]
        configuration: ConfigurationArguments,
        /// Print the problems as JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the configuration in effect, or the manual of every key
    Config {
        #[command(subcommand)]
        verb: ConfigVerb,
    },
    Load(Box<pumasi_load::LoadArgs>),
    Ladder(Box<pumasi_load::LadderArgs>),
    /// Print a completion script: pumasi completions bash > /etc/bash_completion.d/pumasi
    Completions {
        shell: Shell,
    },
}

#[derive(Subcommand)]
pub enum SqlVerb {
    /// Show every server: its role, where it stands, why it is not used
    Status {
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        running: RunningArguments,
    },
    /// Show the statements that took most time: how often, how long (median, 95th and 99th percentile, longest), how many rows
    Statements {
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        running: RunningArguments,
    },
    /// Make a replica the primary; the primary, if it is there, hands over and follows
    Promote {
        /// Its name as `pumasi sql status` shows it [default: the one that has received most]
        member: Option<String>,
        /// Also when acknowledged transactions are only on a server that cannot be reached
        #[arg(long)]
        accept_loss: bool,
        #[command(flatten)]
        order: SqlOrderArguments,
    },
    /// Take a server out: it gets no further read and is not promoted
    Drain {
        /// Its name as `pumasi sql status` shows it
        member: String,
        /// Put it back
        #[arg(long)]
        undo: bool,
        #[command(flatten)]
        order: SqlOrderArguments,
    },
    /// Let a server that was kept out follow the primary again
    Rejoin {
        /// Its name as `pumasi sql status` shows it
        member: String,
        /// Throw away what it has and copy everything from the primary (servers that Pumasi runs)
        #[arg(long)]
        rebuild: bool,
        #[command(flatten)]
        order: SqlOrderArguments,
    },
}

/// Which database's servers.
#[derive(Args, Clone, Debug)]
pub struct SqlOrderArguments {
    /// The database, where there are several: NAME of [sql.NAME]
    #[arg(long, value_name = "NAME")]
    pub database: Option<String>,
    /// Print what was done as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub running: RunningArguments,
}

#[derive(Subcommand)]
pub enum ConfigVerb {
    /// Every key with the value in effect
    Show {
        #[command(flatten)]
        configuration: ConfigurationArguments,
        /// Say where each value comes from
        #[arg(long)]
        origin: bool,
        #[arg(long)]
        json: bool,
    },
    /// Every key with its explanation, as a sample file
    Reference {
        /// As a chapter of the manual
        #[arg(long)]
        markdown: bool,
    },
}

/// Which configuration, and what the command line changes in it.
#[derive(Args, Clone, Debug, Default)]
pub struct ConfigurationArguments {
    /// The configuration file [default: pumasi.toml]
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub overrides: OverrideArguments,
}

/// What the command line changes in a configuration.
#[derive(Args, Clone, Debug, Default)]
pub struct OverrideArguments {
    /// Set one key, such as edge.limits.idle_timeout=30s; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_and_value)]
    pub set: Vec<(String, String)>,
    /// Where requests arrive (edge.listen)
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Where the console is, or off (console.listen)
    #[arg(long, value_name = "ADDRESS")]
    pub console: Option<String>,
    /// Directory for what must survive a restart (state)
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub struct DemoArguments {
    #[command(flatten)]
    pub configuration: OverrideArguments,
    /// Begin with a new database
    #[arg(long)]
    pub fresh: bool,
    /// What holds the data: embedded:FILE, or mariadb:N for a primary and N replicas of this machine's MariaDB
    #[arg(long, value_name = "ENGINE")]
    pub engine: Option<String>,
    /// Workers to run [default: 3]
    #[arg(long, value_name = "N")]
    pub workers: Option<u32>,
}

/// Which running Pumasi.
#[derive(Args, Clone, Debug, Default)]
pub struct RunningArguments {
    /// Its configuration file [default: pumasi.toml]
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Its state directory, instead of what the configuration says
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
}

impl OverrideArguments {
    /// The flags as overrides, the special ones after `--set`.
    pub fn flags(&self) -> Vec<Flag> {
        let flag = |name: &str, key: &str, value: String| Flag { name: name.into(), key: key.into(), value };
        let mut flags: Vec<Flag> = self.set.iter().map(|(key, value)| flag(&format!("--set {key}"), key, value.clone())).collect();
        flags.extend(self.listen.clone().map(|value| flag("--listen", "edge.listen", value)));
        flags.extend(self.console.clone().map(|value| flag("--console", "console.listen", value)));
        // Relative to where the user stands, unlike a path in the file.
        let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path).display().to_string();
        flags.extend(self.state.clone().map(|path| flag("--state", "state", absolute(path))));
        flags
    }
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.trim().to_owned())),
        _ => Err("write KEY=VALUE, such as edge.listen=0.0.0.0:80".into()),
    }
}
