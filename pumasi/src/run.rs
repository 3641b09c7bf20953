//! `pumasi run`: from the configuration to a serving house, until a signal.

use std::{
    net::SocketAddr,
    process::ExitCode,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use anyhow::Context;
use pumasi_config::{ConsolePlan, EdgePlan, Members, Plan};
use pumasi_console::{Console, Options, Token};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};

use crate::{
    addresses,
    configuration::Configuration,
    databases::Databases,
    diary::Diary,
    failure::Failure,
    house::{Foundation, House, placed},
    logging::Logging,
    show,
    state::{HISTORY, StateDirectory, TOKEN, TakenBack},
    sticky_key,
    stop::{self, Wish},
    upgrade::{
        self, Heir, Progress, Release, Successor,
        sockets::{CONSOLE, Socket, Sockets},
        stand_in,
    },
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

/// Serves until SIGINT or SIGTERM, or until a new process has taken over. `heir`: this process is such a new one.
pub fn run(configuration: Configuration, occasion: &dyn Occasion, mut heir: Option<Heir>) -> Result<ExitCode, Failure> {
    let outcome = live(configuration, occasion, &mut heir);
    if let (Err(failure), Some(heir)) = (&outcome, &heir) {
        heir.failed(&failure.text());
    }
    outcome
}

fn live(configuration: Configuration, occasion: &dyn Occasion, heir: &mut Option<Heir>) -> Result<ExitCode, Failure> {
    let (source, loaded) = configuration.load()?;
    let logging = Arc::new(Logging::start(&loaded.plan.log));
    let diary = Arc::new(Diary::new(loaded.plan.log.json));
    let (mut state, mut sockets) = match heir {
        None => (StateDirectory::take(&loaded.plan.state)?, Sockets::default()),
        Some(heir) => (heir.state(&loaded.plan.state)?, heir.sockets()),
    };
    addresses::check_free(&source, &loaded, &sockets.addresses()).map_err(|text| anyhow::anyhow!(text))?;
    if heir.is_none() {
        occasion.open(&state)?;
    }
    raise_file_limit(&loaded.plan.edge, &diary);
    let (wishes, wished) = mpsc::channel();
    stop::listen(wishes.clone(), if heir.is_some() { stop::ECHO } else { Duration::ZERO }).context("cannot listen for signals")?;
    let (mut plan, settings) = (loaded.plan.clone(), placed(&source, &loaded));
    sticky_key::fill_in(&mut plan)?;
    let mut beginning = match heir {
        None => Beginning::Fresh,
        Some(heir) if heir.alone || upgrade::alone(&plan) => match heir.wait_to_be_alone(|| stop_wished(&wished)) {
            Release::Free => Beginning::Alone(heir),
            Release::Interrupted => return Ok(ExitCode::SUCCESS),
        },
        Some(heir) => Beginning::Beside(heir),
    };
    let succeeded = !matches!(beginning, Beginning::Fresh);
    let mut taken_back = TakenBack::default();
    loop {
        let databases = Arc::new(Databases::start(&plan, &state.path, &mut sockets)?);
        occasion.prepare(&databases)?;
        let house = Arc::new(House::start(Foundation {
            configuration: configuration.clone(),
            plan: plan.clone(),
            settings: settings.clone(),
            databases,
            logging: logging.clone(),
            diary: diary.clone(),
            sockets: sockets.take_edge(),
            wishes: wishes.clone(),
        })?);
        let mut standing = Standing { house, console: None, state: &mut state, wished: &wished, diary: &diary };
        match standing.serve(&plan, occasion, &mut sockets, beginning, &taken_back) {
            Ok(End::Stop) => {
                eprintln!("pumasi: stopping: requests in flight are finished first. Ctrl-C again ends at once.");
                standing.house.stop(Duration::ZERO);
                return Ok(ExitCode::SUCCESS);
            }
            Ok(End::Succeeded { process }) => {
                drop(standing);
                return Ok(end_succeeded(process, &state, &wished, succeeded));
            }
            Ok(End::TakenBack { sockets: back, reason }) => {
                plan = standing.house.plan();
                drop(standing);
                diary.note("error", "upgrade", &format!("taken back: {reason}"));
                (sockets, beginning) = (back, Beginning::Again);
                taken_back = TakenBack { count: taken_back.count + 1, reason };
            }
            Err(failure) => {
                standing.house.stop(Duration::ZERO);
                return Err(failure);
            }
        }
    }
}

/// How this process came to serve.
enum Beginning<'a> {
    Fresh,
    /// An old process serves until this one does.
    Beside(&'a Heir),
    /// An old process has stopped for this one.
    Alone(&'a Heir),
    /// This one had stopped for a new one, which failed.
    Again,
}

/// Why a house does not stand any more.
enum End {
    Stop,
    /// A new process serves, and this one has ended everything.
    Succeeded {
        process: u32,
    },
    /// This process has ended everything for a new one, which failed.
    TakenBack {
        sockets: Sockets,
        reason: String,
    },
}

/// A running house and what belongs to it.
struct Standing<'a> {
    house: Arc<House>,
    console: Option<Console>,
    state: &'a mut StateDirectory,
    wished: &'a mpsc::Receiver<Wish>,
    diary: &'a Diary,
}

impl Standing<'_> {
    /// Opens the doors when everything is ready, greets, and obeys the wishes until the first `Stop`. After an end but `Stop` everything
    /// is stopped already.
    fn serve(
        &mut self,
        plan: &Plan,
        occasion: &dyn Occasion,
        sockets: &mut Sockets,
        beginning: Beginning<'_>,
        taken_back: &TakenBack,
    ) -> Result<End, Failure> {
        let fresh = matches!(beginning, Beginning::Fresh);
        if fresh {
            self.house.open();
            self.start_console(plan, sockets, taken_back)?;
        }
        if !self.house.wait_ready(|| stop_wished(self.wished))? {
            return Ok(End::Stop);
        }
        if !fresh {
            if let Beginning::Beside(heir) | Beginning::Alone(heir) = beginning {
                heir.serving();
                let message = format!("process {} has taken over from process {}", std::process::id(), heir.from);
                self.diary.note("info", "upgrade", &message);
            }
            if let Beginning::Beside(heir) = beginning {
                // Until then the old process answers, from its store. From then on this one does, and hears what the old one still purges.
                if heir.wait_for_release(|| stop_wished(self.wished)) == Release::Interrupted {
                    return Ok(End::Stop);
                }
                let house = Arc::downgrade(&self.house);
                if let Err(error) = heir.listen(move |what| house.upgrade().map(|house| house.learn(what))) {
                    self.diary.note("error", "upgrade", &format!("process {} cannot tell what it purges: {error}", heir.from));
                }
            }
            // Who connected meanwhile has waited in the sockets.
            self.house.open();
            self.start_console(plan, sockets, taken_back)?;
        }
        // What the old process listened on and this one does not.
        drop(std::mem::take(sockets));
        let serving = Serving {
            edge: self.house.edge_addresses(),
            console: self.console.as_ref().map(Console::address),
            databases: self.house.databases().addresses(),
        };
        show::print(&occasion.greeting(plan, &serving, self.state))?;
        loop {
            match self.wished.recv() {
                Ok(Wish::Stop) | Err(_) => return Ok(End::Stop),
                Ok(Wish::Reload) => {
                    let house = self.house.clone();
                    // On a thread of its own: a reload waits for workers, and a stop must not wait for a reload.
                    thread::spawn(move || _ = house.reload());
                }
                Ok(Wish::Upgrade(asked)) => match self.hand_over(asked.as_ref()) {
                    Ok(end) => return Ok(end),
                    Err(error) => {
                        let reason = format!("no upgrade: {error:#}");
                        self.diary.note("error", "upgrade", &reason);
                        asked.inspect(|asked| _ = asked.send(Err(reason)));
                    }
                },
            }
        }
    }

    fn start_console(&mut self, plan: &Plan, sockets: &mut Sockets, taken_back: &TakenBack) -> Result<(), Failure> {
        if let Some(ConsolePlan { listen }) = plan.console {
            let token = Token::load_or_create(&self.state.path.join(TOKEN))?;
            let options = Options { listen, token, history: Some(self.state.path.join(HISTORY)) };
            self.console = Some(match sockets.take(CONSOLE, listen) {
                None => Console::start(options, self.house.clone())?,
                Some(socket) => Console::start_on(socket, options, self.house.clone())?,
            });
        }
        Ok(self.state.announce(self.console.as_ref().map(Console::address), taken_back)?)
    }

    /// Errors: there is no successor, and nothing has changed.
    fn hand_over(&mut self, asked: Option<&mpsc::Sender<Result<String, String>>>) -> anyhow::Result<End> {
        let house = self.house.clone();
        let _still = house.hold_still();
        let plan = house.plan();
        let sockets = self.sockets(&plan).context("cannot hand over the listening sockets")?;
        let answer = |text: String| {
            self.diary.note("info", "upgrade", &text);
            if let Some(asked) = asked {
                let _ = asked.send(Ok(text));
                thread::sleep(ANSWER_TIME);
            }
        };
        let mut successor = Successor::start(self.state, upgrade::alone(&plan), &sockets)?;
        let (process, own) = (successor.process(), std::process::id());
        let interrupted = || stop_wished(self.wished);
        match successor.wait(interrupted)? {
            None => {
                successor.end();
                Ok(End::Stop)
            }
            Some(Progress::Serving) => {
                answer(format!("process {process} serves; process {own} finishes what it has begun"));
                self.console = None;
                if let Err(error) = successor.to_be_told().and_then(|successor| house.hand_over(successor)) {
                    self.diary.note("error", "upgrade", &format!("process {process} is not told of purges: {error}"));
                }
                successor.release();
                house.stop(LINGER);
                Ok(End::Succeeded { process })
            }
            Some(Progress::Prepared) => {
                answer(format!(
                    "process {process} is prepared; process {own} finishes what it has begun, and who connects meanwhile waits"
                ));
                self.console = None;
                house.retire();
                thread::sleep(RETIRE_TIME);
                house.stop(Duration::ZERO);
                successor.release();
                match successor.wait(interrupted) {
                    Ok(Some(_)) => Ok(End::Succeeded { process }),
                    Ok(None) => {
                        successor.end();
                        Ok(End::Stop)
                    }
                    Err(error) => Ok(End::TakenBack { sockets, reason: format!("{error:#}") }),
                }
            }
        }
    }

    /// Every listening socket once more.
    fn sockets(&self, plan: &Plan) -> std::io::Result<Sockets> {
        let mut sockets = self.house.sockets()?;
        if let (Some(console), Some(ConsolePlan { listen })) = (&self.console, &plan.console) {
            sockets.push(Socket { owner: CONSOLE.into(), written: *listen, listener: console.socket()? });
        }
        Ok(sockets)
    }
}

/// Ends this process, or rather makes it the placeholder of `process`: whoever started it goes on seeing it run.
fn end_succeeded(process: u32, state: &StateDirectory, wished: &mpsc::Receiver<Wish>, was_successor: bool) -> ExitCode {
    if stop_wished(wished)
        && let Some(process) = i32::try_from(process).ok().and_then(Pid::from_raw)
    {
        let _ = kill_process(process, Signal::TERM); // came while this one was in charge
    }
    if was_successor {
        return ExitCode::from(stand_in::HANDED_OVER);
    }
    let error = stand_in::become_one(process, &state.path);
    eprintln!("pumasi: process {process} serves, but this one cannot stay as its placeholder: {error}");
    ExitCode::SUCCESS
}

/// Whether somebody asked to stop. What else was asked for in the meantime is not done: whoever waits for it is told so.
fn stop_wished(wished: &mpsc::Receiver<Wish>) -> bool {
    wished.try_iter().any(|wish| matches!(wish, Wish::Stop))
}

/// How long the answer to the one who asked for an upgrade has before the console ends.
const ANSWER_TIME: Duration = Duration::from_millis(300);

/// How long idle connections may send one more request after another process has taken over. Whoever sends one every few seconds is told
/// by its answer that the connection ends, instead of meeting the end by chance.
const LINGER: Duration = Duration::from_secs(5);

/// The same where the other process can only start afterwards: nobody is served in between, so it is short.
const RETIRE_TIME: Duration = Duration::from_secs(1);

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
