//! Handing over to a new process of the program, and taking over from an old one: a new Pumasi without a refused connection.
//!
//! The old process starts the program anew, as it lies on the disk now, and gives it the listening sockets and the lock of the state
//! directory. A listening socket that two processes hold loses nobody: whoever connects while neither accepts waits in it.
//!
//! ```text
//! old                                     new
//!  | starts it, sends sockets and lock --> |  reads the configuration, takes the sockets
//!  |                     (beside the old one)          (alone: an engine or a store that only one process may have)
//!  |                                       |  starts everything           | <-- Prepared
//!  | <------------------------------------ |  Serving                     |  old: drains, stops everything
//!  | old: gives up console and page store  |                              | --> Released
//!  | Released ---------------------------> |  answers, console            |  new: starts everything
//!  | drains; Purged ---------------------> |  purges as well              | <-- Serving
//!  | <------------------------------------ |  Learned                     |
//!  v becomes a placeholder                 v                              v
//! ```
//!
//! Until `Serving` the old process goes on, or comes back, if the new one fails or ends. If the old one ends, however it does, the new one
//! goes on alone: it holds everything that is needed.
pub mod channel;
pub mod sockets;
pub mod stand_in;

use std::{
    ffi::OsString,
    fs::File,
    io,
    net::{SocketAddr, TcpListener},
    os::fd::AsFd,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, bail};
use pumasi_config::{EnginePlan, PagesMode, Plan, ResultsMode};
use pumasi_edge::Purged;
use serde::{Deserialize, Serialize};

use self::{
    channel::{Channel, Received},
    sockets::{Socket, Sockets},
};
use crate::state::StateDirectory;

/// The hidden first argument of a process that takes over; the rest is the old one's command line.
pub const SUBCOMMAND: &str = "take-over";

/// Grows when an older program would misunderstand the messages.
const FORMAT: u32 = 1;

/// How long the new process may take from its start until it serves. Past it, it is ended. Workers that do not come up are given up
/// sooner by the supervisor's own bounds.
const PATIENCE: Duration = Duration::from_secs(600);

/// How long the new process may take to learn of a purge: longer than it waits for its own disk.
const LEARNING: Duration = Duration::from_secs(10);

/// How often somebody who waits looks at signals.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What the old process says.
#[derive(Debug, Serialize, Deserialize)]
enum FromOld {
    /// Comes with the lock of the state directory. That many sockets follow.
    Begin { format: u32, state: PathBuf, process: u32, alone: bool, sockets: usize },
    /// Comes with the socket.
    Socket { owner: String, written: SocketAddr },
    /// What the new process has waited for is free.
    Released,
    /// Something stored was purged, in the words of [`Purged::told`]: [`FromNew::Learned`] is waited for.
    Purged { word: String, text: String, at_ms: u64 },
}

/// What the new process says.
#[derive(Debug, Serialize, Deserialize)]
enum FromNew {
    /// It could start, but only where the old one is not.
    Prepared,
    Serving,
    Failed {
        reason: String,
    },
    /// What the old process purged last is purged here as well.
    Learned,
}

/// Whether two processes of this configuration must not serve at the same time: the embedded engine has one writer, and what is stored
/// until a write changes it is safe only where every write is seen.
pub fn alone(plan: &Plan) -> bool {
    let embedded = |sql: &pumasi_config::SqlPlan| matches!(sql.engine, EnginePlan::Embedded { .. }) || sql.results != ResultsMode::Off;
    let automatic = !plan.sql.is_empty() && plan.edge.routes.iter().any(|route| route.pages == PagesMode::Automatic);
    plan.sql.values().any(embedded) || automatic
}

/// How this process was started.
pub struct Program {
    pub path: PathBuf,
    pub arguments: Vec<OsString>,
}

impl Program {
    /// By the path it was called by, not by what that was a link to: a deployment may have moved the link.
    pub fn of_this_process() -> Program {
        let mut arguments = std::env::args_os();
        let called = PathBuf::from(arguments.next().unwrap_or_default());
        // A bare name was found along PATH, and will be again.
        let path = match called.components().count() {
            0 | 1 => called,
            _ => std::path::absolute(&called).unwrap_or(called),
        };
        let arguments = arguments.skip_while({
            let mut first = true;
            move |argument| std::mem::take(&mut first) && argument == SUBCOMMAND
        });
        Program { path, arguments: arguments.collect() }
    }
}

// === The old process ===

/// A new process of the program, started to take over. Dropping it leaves it alone.
pub struct Successor {
    child: Child,
    channel: Channel,
}

/// How far the new process has come.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// It waits to be alone.
    Prepared,
    Serving,
}

impl Successor {
    /// Starts it and sends everything. `alone`: it must not start anything before this process has stopped. Errors: the program cannot be started, or is none that takes over.
    pub fn start(state: &StateDirectory, alone: bool, sockets: &Sockets) -> anyhow::Result<Successor> {
        let Program { path, arguments } = Program::of_this_process();
        let (channel, theirs) = Channel::pair().context("cannot make a socket pair")?;
        let mut command = Command::new(&path);
        command.arg(SUBCOMMAND).args(arguments).stdin(Stdio::from(theirs));
        let child = command.spawn().with_context(|| format!("cannot start {}", path.display()))?;
        drop(command); // holds the other end
        let mut successor = Successor { child, channel };
        if let Err(error) = successor.send_everything(state, alone, sockets) {
            // It may have ended before it was sent everything; how it ended says more than that nobody listens.
            let reason = match error.kind() {
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
                    anyhow!("the new process ended: {}", successor.how_it_ended())
                }
                _ => anyhow!(error),
            };
            successor.end();
            return Err(reason.context(format!("{} does not take over", path.display())));
        }
        Ok(successor)
    }

    fn send_everything(&self, state: &StateDirectory, alone: bool, sockets: &Sockets) -> io::Result<()> {
        let begin =
            FromOld::Begin { format: FORMAT, state: state.path.clone(), process: std::process::id(), alone, sockets: sockets.all().len() };
        self.channel.send(&begin, Some(state.lock()))?;
        for Socket { owner, written, listener } in sockets.all() {
            self.channel.send(&FromOld::Socket { owner: owner.clone(), written: *written }, Some(listener.as_fd()))?;
        }
        Ok(())
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the next thing it says. Errors: it failed, ended or took too long; then it is gone. `Ok(None)`: `interrupted`.
    pub fn wait(&mut self, interrupted: impl Fn() -> bool) -> anyhow::Result<Option<Progress>> {
        let until = Instant::now() + PATIENCE;
        let failure = loop {
            match self.channel.receive(LOOK_EVERY) {
                Ok(Received::Message(FromNew::Prepared, _)) => return Ok(Some(Progress::Prepared)),
                Ok(Received::Message(FromNew::Serving, _)) => return Ok(Some(Progress::Serving)),
                Ok(Received::Message(FromNew::Failed { reason }, _)) => break anyhow!("{reason}"),
                Ok(Received::Closed) => break anyhow!("the new process ended: {}", self.how_it_ended()),
                // It was told nothing yet that it could have learned.
                Ok(Received::Message(FromNew::Learned, _)) => {}
                Ok(Received::Nothing) if interrupted() => return Ok(None),
                Ok(Received::Nothing) if Instant::now() > until => {
                    break anyhow!("the new process was not ready after {} s", PATIENCE.as_secs());
                }
                // Whatever holds its end open: there is nobody to wait for.
                Ok(Received::Nothing) => match self.child.try_wait() {
                    Ok(Some(status)) => break anyhow!("the new process ended: {status}"),
                    _ => continue,
                },
                Err(error) => break anyhow!(error).context("the new process says what this one does not understand"),
            }
        };
        self.end();
        Err(failure)
    }

    /// Lets it have what it waits for. If it is gone, the next [`Successor::wait`] says so.
    pub fn release(&self) {
        let _ = self.channel.send(&FromOld::Released, None);
    }

    /// The way on which it is told what this process purges after it was released. Errors: no file descriptors are left.
    pub fn to_be_told(&self) -> io::Result<Arc<dyn pumasi_edge::Successor>> {
        Ok(Arc::new(Told(self.channel.try_clone()?)))
    }

    /// Ends it at once.
    pub fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// It closed its end, so it ends or has ended; a program that does neither is ended.
    fn how_it_ended(&mut self) -> String {
        const ENDING: Duration = Duration::from_secs(2);
        let until = Instant::now() + ENDING;
        while Instant::now() < until {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.to_string();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        "it closed its connection to this one".into()
    }
}

/// The new process, told what is purged here.
struct Told(Channel);

impl pumasi_edge::Successor for Told {
    fn tell(&self, what: &Purged) -> io::Result<()> {
        let (word, text, at_ms) = what.told();
        self.0.send(&FromOld::Purged { word: word.into(), text: text.into(), at_ms }, None)?;
        let until = Instant::now() + LEARNING;
        loop {
            match self.0.receive(LOOK_EVERY)? {
                Received::Message(FromNew::Learned, _) => return Ok(()),
                Received::Message(..) => {}
                Received::Closed => return Err(io::ErrorKind::BrokenPipe.into()),
                Received::Nothing if Instant::now() > until => return Err(io::ErrorKind::TimedOut.into()),
                Received::Nothing => {}
            }
        }
    }
}

// === The new process ===

/// What a process that takes over was given.
pub struct Heir {
    channel: Channel,
    lock: Option<File>,
    state: PathBuf,
    sockets: Sockets,
    /// The old process.
    pub from: u32,
    /// What it runs must not run twice.
    pub alone: bool,
}

/// How a wait for the old process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// It has let go, or is gone.
    Free,
    Interrupted,
}

impl Heir {
    /// Receives everything on standard input. Errors: there is no old process.
    pub fn receive() -> anyhow::Result<Heir> {
        const UNASKED: &str = "only a running Pumasi starts a process that takes over: use `pumasi upgrade`";
        let end = io::stdin().as_fd().try_clone_to_owned().context(UNASKED)?;
        let channel = Channel::of(end).context(UNASKED)?;
        // Nothing that this process starts may inherit its end.
        let null = File::open("/dev/null").context("cannot open /dev/null")?;
        rustix::stdio::dup2_stdin(&null).context("cannot replace standard input")?;
        let (FromOld::Begin { format, state, process, alone, sockets: count }, Some(lock)) = next(&channel)? else {
            bail!("the old process does not begin with the state directory");
        };
        if format != FORMAT {
            bail!("process {process} hands over in another way than this version takes over. Stop it, and start this one");
        }
        let mut sockets = Sockets::default();
        for _ in 0..count {
            let (FromOld::Socket { owner, written }, Some(socket)) = next(&channel)? else { bail!("the old process sends no socket") };
            sockets.push(Socket { owner, written, listener: TcpListener::from(socket) });
        }
        Ok(Heir { channel, lock: Some(File::from(lock)), state, sockets, from: process, alone })
    }

    /// The state directory, whose lock both processes hold until the old one ends. Errors: the configuration names another one.
    pub fn state(&mut self, wanted: &std::path::Path) -> anyhow::Result<StateDirectory> {
        let same = |a: &std::path::Path, b: &std::path::Path| a.canonicalize().ok().is_some_and(|a| Some(a) == b.canonicalize().ok());
        let lock = self.lock.take().context("taken once")?;
        if !same(wanted, &self.state) {
            let (now, then) = (self.state.display(), wanted.display());
            bail!("the state directory is {now} and would be {then}: only a restart can change it");
        }
        Ok(StateDirectory::inherit(wanted, lock))
    }

    pub fn sockets(&mut self) -> Sockets {
        std::mem::take(&mut self.sockets)
    }

    /// Says that everything is well so far, and waits until the old process has stopped.
    pub fn wait_to_be_alone(&self, interrupted: impl Fn() -> bool) -> Release {
        // Gone already: then nobody needs to be told, and the wait ends at once.
        let _ = self.channel.send(&FromNew::Prepared, None);
        self.wait_for_release(interrupted)
    }

    /// Says that requests are answered.
    pub fn serving(&self) {
        let _ = self.channel.send(&FromNew::Serving, None);
    }

    pub fn failed(&self, reason: &str) {
        let _ = self.channel.send(&FromNew::Failed { reason: reason.into() }, None);
    }

    /// Hears from now on what the old process purges, until it has ended: `learn` purges it here, and says nothing if there is nothing here any more.
    /// Errors: no thread or file descriptor can be had.
    pub fn listen(&self, learn: impl Fn(&Purged) -> Option<()> + Send + 'static) -> io::Result<()> {
        let channel = self.channel.try_clone()?;
        let listening = move || {
            loop {
                let what = match channel.receive(LOOK_EVERY) {
                    Ok(Received::Message(FromOld::Purged { word, text, at_ms }, _)) => Purged::heard(&word, &text, at_ms),
                    Ok(Received::Message(..) | Received::Nothing) => continue,
                    Ok(Received::Closed) | Err(_) => return,
                };
                // What is not understood is not confirmed: whoever waits there does without.
                if what.and_then(|what| learn(&what)).is_none() || channel.send(&FromNew::Learned, None).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("legacy".into()).spawn(listening).map(drop)
    }

    /// Waits until the old process has let go of what only one may have. It has bounds for everything it waits for, and if it dies that
    /// shows at once.
    pub fn wait_for_release(&self, interrupted: impl Fn() -> bool) -> Release {
        loop {
            match self.channel.receive::<FromOld>(LOOK_EVERY) {
                Ok(Received::Nothing) if interrupted() => return Release::Interrupted,
                Ok(Received::Nothing) => {}
                Ok(Received::Message(..) | Received::Closed) | Err(_) => return Release::Free,
            }
        }
    }
}

fn next(channel: &Channel) -> anyhow::Result<(FromOld, Option<std::os::fd::OwnedFd>)> {
    /// The old process sends everything at once.
    const GIVE_UP_AFTER: Duration = Duration::from_secs(30);
    match channel.receive(GIVE_UP_AFTER).context("the old process says what this version does not understand")? {
        Received::Message(message, file) => Ok((message, file)),
        Received::Nothing | Received::Closed => bail!("the old process said nothing"),
    }
}
