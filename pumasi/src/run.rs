//! `pumasi run`: from the configuration to a serving house, until a signal.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
};

use anyhow::Context;
use pumasi_config::Plan;
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
    state::StateDirectory,
    stop::{self, Wish},
};

/// What differs between the ways to run.
pub trait Occasion {
    /// After the databases have started, before the first worker does.
    fn prepare(&self, databases: &Databases) -> Result<(), Failure>;
    /// What is printed when the house serves.
    fn greeting(&self, plan: &Plan, state: &StateDirectory) -> String;
}

/// `pumasi run`.
pub struct Ordinary;

impl Occasion for Ordinary {
    fn prepare(&self, _: &Databases) -> Result<(), Failure> {
        Ok(())
    }

    fn greeting(&self, plan: &Plan, _: &StateDirectory) -> String {
        plan.edge.listen.iter().map(|address| format!("Serving  http://{address}\n")).collect()
    }
}

/// Serves until SIGINT or SIGTERM.
pub fn run(configuration: Configuration, occasion: &dyn Occasion) -> Result<(), Failure> {
    let (source, loaded) = configuration.load()?;
    let logging = Logging::start(&loaded.plan.log);
    let diary = Arc::new(Diary::new(loaded.plan.log.json));
    let mut state = StateDirectory::take(&loaded.plan.state)?;
    addresses::check_free(&source, &loaded, None).map_err(|text| anyhow::anyhow!(text))?;
    raise_file_limit();
    let (wishes, wished) = mpsc::channel();
    stop::listen(wishes).context("cannot listen for signals")?;
    let plan = loaded.plan.clone();
    let databases = Arc::new(Databases::start(&plan.sql)?);
    occasion.prepare(&databases)?;
    let house = House::start(configuration, loaded, databases, logging, diary.clone())?;
    state.announce(plan.console.as_ref().map(|console| console.listen))?;
    serve(house, &wished, || show::print(&occasion.greeting(&plan, &state)))
}

/// Obeys the wishes until the first `Stop`.
fn serve(house: House, wished: &mpsc::Receiver<Wish>, greet: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    let stopping = AtomicBool::new(false);
    let interrupted = || {
        if let Ok(Wish::Stop) = wished.try_recv() {
            stopping.store(true, Ordering::Relaxed);
        }
        stopping.load(Ordering::Relaxed)
    };
    let ready = match house.wait_ready(interrupted) {
        Ok(ready) => ready,
        Err(failure) => {
            house.stop();
            return Err(failure);
        }
    };
    let house = Arc::new(house);
    if ready {
        greet()?;
        obey(&house, wished);
    }
    eprintln!("pumasi: stopping: requests in flight are finished first. Ctrl-C again ends at once.");
    house.stop();
    Ok(())
}

fn obey(house: &Arc<House>, wished: &mpsc::Receiver<Wish>) {
    while let Ok(Wish::Reload) = wished.recv() {
        let house = house.clone();
        // On a thread of its own: a reload waits for workers, and a stop must not wait for a reload.
        thread::spawn(move || _ = house.reload());
    }
}

/// The soft limit of open files is often 1024, which is a few hundred clients; the hard limit is ours to use.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Refused only where a sandbox forbids it; then the soft limit stays and `connections_max` may not be reached.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
