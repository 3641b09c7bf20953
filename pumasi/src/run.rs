//! `pumasi run`: from the configuration to a serving house, until a signal.

use std::{
    net::SocketAddr,
    sync::{Arc, mpsc},
    thread,
};

use anyhow::Context;
use pumasi_config::{EdgePlan, Members, Plan};
use pumasi_console::{Console, Options, Token};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    addresses,
    configuration::Configuration,
    databases::Databases,
    diary::Diary,
    failure::Failure,
    house::House,
    logging::Logging,
    show,
    state::{HISTORY, StateDirectory, TOKEN},
    stop::{self, Wish},
};

/// What differs between the ways to run.
pub trait Occasion {
    /// Once the state directory is ours, before anything in it is opened.
    fn open(&self, _state: &StateDirectory) -> Result<(), Failure> {
        Ok(())
    }
    /// After the databases have started, before the first worker does.
    fn prepare(&self, _databases: &Databases) -> Result<(), Failure> {
        Ok(())
    }
    /// What is printed when the house serves.
    fn greeting(&self, plan: &Plan, serving: &Serving, state: &StateDirectory) -> String;
}

/// Where the running house can be reached.
#[derive(Clone, Debug, Default)]
pub struct Serving {
    pub edge: Vec<SocketAddr>,
    pub console: Option<SocketAddr>,
    pub databases: Vec<(String, SocketAddr)>,
}

/// `pumasi run`.
pub struct Ordinary;

impl Occasion for Ordinary {
    fn greeting(&self, plan: &Plan, serving: &Serving, _: &StateDirectory) -> String {
        let mut out = String::new();
        for address in &serving.edge {
            out.push_str(&format!("Serving   http://{address}/\n"));
        }
        if let Some(console) = &serving.console {
            out.push_str(&format!("Console   http://{console}/\n"));
        }
        for (name, address) in &serving.databases {
            out.push_str(&format!("Database  {address} (sql.{name})\n"));
        }
        for pool in plan.pools.values() {
            if let Members::Workers(workers) = &pool.members {
                out.push_str(&format!("Workers   {} of pool {}\n", workers.workers, pool.name));
            }
        }
        out
    }
}

/// Serves until SIGINT or SIGTERM.
pub fn run(configuration: Configuration, occasion: &dyn Occasion) -> Result<(), Failure> {
    let (source, loaded) = configuration.load()?;
    let logging = Logging::start(&loaded.plan.log);
    let diary = Arc::new(Diary::new(loaded.plan.log.json));
    let mut state = StateDirectory::take(&loaded.plan.state)?;
    addresses::check_free(&source, &loaded, None).map_err(|text| anyhow::anyhow!(text))?;
    occasion.open(&state)?;
    raise_file_limit(&loaded.plan.edge, &diary);
    let (wishes, wished) = mpsc::channel();
    stop::listen(wishes).context("cannot listen for signals")?;
    let plan = loaded.plan.clone();
    let databases = Arc::new(Databases::start(&plan, &state.path)?);
    occasion.prepare(&databases)?;
    let house = Arc::new(House::start(configuration, &source, loaded, databases, logging, diary)?);
    let console = match &plan.console {
        None => None,
        Some(console) => Some(start_console(console.listen, &state, house.clone())?),
    };
    state.announce(console.as_ref().map(Console::address))?;
    let outcome = serve(&house, &wished, || {
        let serving = Serving {
            edge: house.edge_addresses(),
            console: console.as_ref().map(Console::address),
            databases: house.databases().addresses(),
        };
        show::print(&occasion.greeting(&plan, &serving, &state))
    });
    if outcome.is_ok() {
        eprintln!("pumasi: stopping: requests in flight are finished first. Ctrl-C again ends at once.");
    }
    house.stop();
    outcome
}

fn start_console(listen: SocketAddr, state: &StateDirectory, house: Arc<House>) -> Result<Console, Failure> {
    let token = Token::load_or_create(&state.path.join(TOKEN))?;
    Ok(Console::start(Options { listen, token, history: Some(state.path.join(HISTORY)) }, house)?)
}

/// Obeys the wishes until the first `Stop`; greets once every pool has a worker.
fn serve(house: &Arc<House>, wished: &mpsc::Receiver<Wish>, greet: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    let interrupted = || matches!(wished.try_recv(), Ok(Wish::Stop));
    if !house.wait_ready(interrupted)? {
        return Ok(());
    }
    greet()?;
    while let Ok(Wish::Reload) = wished.recv() {
        let house = house.clone();
        // On a thread of its own: a reload waits for workers, and a stop must not wait for a reload.
        thread::spawn(move || _ = house.reload());
    }
    Ok(())
}

/// The soft limit of open files is often 1024, which is a few hundred clients; the hard limit is ours to use. Says so if even that is
/// too low for what the configuration promises.
fn raise_file_limit(edge: &EdgePlan, diary: &Diary) {
    let limit = getrlimit(Resource::Nofile);
    // Refused only where a sandbox forbids it; then the soft limit stays, and the check below looks at that.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    // Each request may need a socket to its upstream as well; the rest is listeners, databases, the workers' pipes.
    let needed = 2 * edge.limits.connections_max as u64 + FILES_BESIDE_CONNECTIONS;
    if let Some(open) = getrlimit(Resource::Nofile).current.filter(|open| *open < needed) {
        let connections = open.saturating_sub(FILES_BESIDE_CONNECTIONS) / 2;
        diary.note(
            "warn",
            "edge",
            &format!(
                "at most {open} files may be open, enough for about {connections} connections, and edge.limits.connections_max is {}. \
                 Raise the limit (ulimit -Hn, LimitNOFILE= of a systemd unit), or lower the key",
                edge.limits.connections_max
            ),
        );
    }
}

/// Files a house needs that are not clients or their upstreams.
const FILES_BESIDE_CONNECTIONS: u64 = 512;
