//! `pumasi demo`: the reference application through every tier, nothing to install.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use pumasi_config::{EnginePlan, Flag, Plan};

use crate::{
    arguments::DemoArguments,
    configuration::{Configuration, Written},
    databases::Databases,
    failure::Failure,
    run::{Occasion, Serving, run},
    state::{StateDirectory, TOKEN},
    upgrade::Heir,
};

/// Where the demo keeps its database unless told otherwise.
pub const STATE: &str = ".pumasi/demo";

/// The database's file in there.
const FILE: &str = "askhy.db";

/// The name of the database in SQL.
const DATABASE: &str = "askhy";

/// What the first start fills in: enough that the front page, which counts the cheers of every ask, takes its time.
pub const ASKS: u32 = 50;
pub const CHEERS: u32 = 50_000;

pub fn demo(arguments: &DemoArguments, heir: Option<Heir>) -> Result<ExitCode, Failure> {
    let program = std::env::current_exe().context("cannot tell the path of this program")?;
    let engine = arguments.engine.clone().unwrap_or_else(|| format!("embedded:{FILE}"));
    // A cluster has no database until it is told of one.
    let engine = if engine.starts_with("mariadb:") && !engine.contains('/') { format!("{engine}/{DATABASE}") } else { engine };
    let origin = Written::Text { name: "(demo)", text: text(&program, &engine) };
    let mut flags = arguments.configuration.flags();
    if arguments.configuration.state.is_none() {
        let state = std::path::absolute(STATE).context("cannot tell the current directory")?;
        flags.push(Flag { name: "--state".into(), key: "state".into(), value: state.display().to_string() });
    }
    flags.extend(arguments.workers.map(|workers| Flag {
        name: "--workers".into(),
        key: "pool.app.workers".into(),
        value: workers.to_string(),
    }));
    run(Configuration { origin, flags }, &Demo { fresh: arguments.fresh }, heir)
}

/// The demo's configuration: what a user would write for an application like it. Its database takes any free port, because where
/// somebody develops, 3306 is often taken.
fn text(program: &Path, engine: &str) -> String {
    let engine = pumasi_config::quoted(engine);
    let program = pumasi_config::quoted(&program.display().to_string());
    format!(
        r#"[[edge.route]]
pool = "app"
pages = "automatic"

[pool.app]
command = [{program}, "askhy"]
workers = 3
probe = {{ path = "/health" }}
env = {{ DATABASE_HOST = "${{sql.main.host}}", DATABASE_PORT = "${{sql.main.port}}", DATABASE_NAME = "{DATABASE}" }}

[sql.main]
listen = "127.0.0.1:0"
engine = {engine}
results = "automatic"
"#
    )
}

struct Demo {
    fresh: bool,
}

impl Occasion for Demo {
    fn open(&self, state: &StateDirectory) -> Result<(), Failure> {
        if self.fresh {
            forget_database(&state.path)?;
        }
        Ok(())
    }

    fn prepare(&self, databases: &Databases) -> Result<(), Failure> {
        let address = databases.address("main").context("the demo has a database")?;
        let database = askhy::Database {
            host: address.ip().to_string(),
            port: address.port(),
            user: "root".into(),
            password: String::new(),
            name: DATABASE.into(),
        };
        Ok(fill(&database)?)
    }

    fn greeting(&self, plan: &Plan, serving: &Serving, state: &StateDirectory) -> String {
        let workers = match &plan.pools["app"].members {
            pumasi_config::Members::Workers(workers) => workers.workers,
            pumasi_config::Members::Upstreams(_) => 0,
        };
        let database = match plan.sql.get("main").map(|sql| &sql.engine) {
            Some(EnginePlan::Local { replicas, .. }) => format!("MariaDB, a primary and {replicas} replicas"),
            _ => "the embedded database".to_owned(),
        };
        let mut out = format!("\nASKHY (부탁하냥) is served by {workers} workers over {database}.\n\n");
        for address in &serving.edge {
            out.push_str(&format!("  Site      http://{address}/\n"));
        }
        if let Some(console) = &serving.console {
            let token = std::fs::read_to_string(state.path.join(TOKEN)).unwrap_or_default();
            out.push_str(&format!("  Console   http://{console}/   token {}\n", token.trim()));
        }
        for (_, address) in &serving.databases {
            out.push_str(&format!("  Database  mysql -h {} -P {} -u root {DATABASE}\n", address.ip(), address.port()));
        }
        out.push_str("\nTry next, in another terminal:\n");
        out.push_str("  pumasi top                           what every tier is doing\n");
        if let Some(site) = serving.edge.first() {
            let command = format!("pumasi load http://{site}/");
            out.push_str(&format!("  {command:<36} a load test; kill -9 a worker meanwhile\n"));
        }
        out.push_str("  pumasi ladder                        the same board on every rung, compared\n");
        out.push_str("  pumasi run -- npm start              your own application\n");
        out.push_str("\nCtrl-C stops it. The database stays for the next start; --fresh begins anew.\n\n");
        out
    }
}

/// Removes the database with everything that SQLite keeps beside it.
fn forget_database(state: &Path) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(state).with_context(|| format!("cannot read {}", state.display()))?;
    let ours = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        name.starts_with(FILE) || ["main-mariadb", "main-cluster.json"].contains(&&*name)
    };
    for path in entries.flatten().map(|entry| entry.path()).filter(ours) {
        let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        removed.with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

fn fill(database: &askhy::Database) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Drawn on standard error, and only when that is a terminal.
    let bar = ProgressBar::no_length().with_style(ProgressStyle::with_template("Filling the board  {wide_bar} {pos}/{len}")?);
    let outcome = runtime.block_on(askhy::seed(database, ASKS, CHEERS, |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    }));
    bar.finish_and_clear();
    outcome.map(drop).context("cannot fill the board")
}
