//! The web page and API that show and steer a running Pumasi.
//!
//! One thread with its own runtime: it asks the [`Service`] for a [`Status`] once a second, keeps what the charts need
//! ([`history`]), says what it makes of it ([`verdict`]), and answers browsers, scrapers and the command line. Pages are made by
//! the server and complete without a script; with one, changed parts are replaced as they change ([`live`]).
//!
//! Looking is free for whoever can connect. What changes something needs the token ([`Token`]), and a browser must have come
//! from a page of this console ([`guard`]).
mod bounded;
mod exposition;
mod guard;
mod history;
mod live;
pub mod load;
pub mod otlp;
mod pages;
mod token;
mod verdict;
mod web;

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, RwLock},
    thread::JoinHandle,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use pumasi_status::Status;
use tokio::sync::{oneshot, watch};

use crate::{history::History, verdict::Memory};
pub use token::{Token, TokenError};

/// What the console shows and steers. The binary implements it.
pub trait Service: Send + Sync + 'static {
    /// The picture of this moment. Called on the console's thread, once a second and by scrapers: it must not wait for anything.
    fn status(&self) -> Status;

    /// The effective configuration, secrets masked, in the order of the reference.
    fn configuration(&self) -> Vec<Setting>;

    /// Reads the configuration anew and applies it. `Ok` says in a sentence or two what changed; `Err` what is wrong, and then
    /// nothing changed. May take as long as replacing every worker takes: it runs on a thread of its own.
    fn reload(&self) -> Result<String, String>;

    /// Load tests, if this Pumasi can run them.
    fn load_tests(&self) -> Option<&dyn load::LoadTests> {
        None
    }

    /// Hands over to a new process of the program as it lies on the disk now. `Ok` says who takes over, and then this process ends; `Err`
    /// why nobody does, and then nothing changed. Waits until the new process is ready.
    fn upgrade(&self) -> Result<String, String> {
        Err("This Pumasi cannot hand over to another one.".into())
    }

    /// Begins to record single requests, or goes on, and returns those since the last call, at most [`RECORDED_MAX`], oldest first. A
    /// recording that nobody asks for ends by itself. `bodies`: with what forms and programs sent, secrets masked.
    fn record(&self, bodies: bool) -> Result<Recording, String> {
        let _ = bodies;
        Err("This Pumasi records nothing.".into())
    }

    /// What is known of one address, `http://example.org/path?query`, or `/path?query` on every host. `Err` why that cannot be said.
    fn explain(&self, url: &str) -> Result<Vec<pumasi_status::Explained>, String> {
        Err(format!("This Pumasi keeps no pages, {url} neither."))
    }

    /// Drops kept pages, or makes them stale. Says how many, or why it cannot.
    fn purge(&self, purge: &Purge) -> Result<String, String>;

    /// Gives the upstream of that name another share of the requests beside the others'. Says what was done, or why not.
    fn weigh(&self, _upstream: &str, _weight: u32) -> Result<String, String> {
        Err("This Pumasi has no upstreams to weigh.".into())
    }

    /// Takes the upstream of that name out of rotation, or puts it back. Says what was done, or why not.
    fn drain(&self, upstream: &str, drain: Drain) -> Result<String, String>;

    /// Changes the roles of a database's servers. Says what was done, or why not. May take as long as a replica takes to catch up: it runs on
    /// a thread of its own.
    fn cluster(&self, order: &Cluster) -> Result<String, String> {
        let _ = order;
        Err("no database here has servers".into())
    }
}

/// What [`Service::cluster`] changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// May be left out where there is one.
    pub database: Option<String>,
    pub change: ClusterChange,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterChange {
    /// Another primary: the member named, or the one that has received most.
    Promote { member: Option<String>, accept_loss: bool },
    /// A member gets no reads and is not promoted; or both again.
    Drain { member: String, way: Drain },
    /// A member that was kept out follows the primary again. `rebuild`: from nothing.
    Rejoin { member: String, rebuild: bool },
}

/// Requests of one answer of [`Service::record`].
pub const RECORDED_MAX: usize = 1_000;

/// What [`Service::record`] returns.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Recording {
    pub requests: Vec<pumasi_trace::Recorded>,
    /// Requests that came faster than they were asked for, since the last call.
    pub lost: u64,
}

/// What [`Service::purge`] drops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purge {
    pub pages: Purged,
    /// Makes them stale instead: they are still served while they are fetched anew.
    pub soft: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purged {
    /// One address: `http://example.org/path?query`, or `/path?query` on every host.
    Url(String),
    /// Every address that begins so.
    Prefix(String),
    /// Every page that the application gave this tag.
    Tag(String),
    Everything,
}

/// Which way [`Service::drain`] goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drain {
    /// No further request; those in flight end.
    Out,
    Back,
}

/// One effective value of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Setting {
    /// `edge.limits.header_timeout`
    pub path: String,
    /// As it would be written in the file; or what it means that nothing is.
    pub value: String,
    /// `default`, `pumasi.toml:12`, `PUMASI__EDGE__LISTEN`, `--listen`.
    pub origin: String,
}

/// What the console is started with.
#[derive(Clone, Debug)]
pub struct Options {
    pub listen: SocketAddr,
    pub token: Token,
    /// Where an hour of seconds and a week of minutes survive a restart: under 1 MB, whatever happens. `None`: memory only.
    pub history: Option<PathBuf>,
}

/// Why the console did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("cannot keep the history in {path}: {source}")]
    History { path: PathBuf, source: std::io::Error },
    #[error("cannot start the console's thread: {0}")]
    Thread(#[source] std::io::Error),
}

/// A running console; it stops when dropped.
#[derive(Debug)]
pub struct Console {
    address: SocketAddr,
    /// Once more what the thread accepts from, to be handed to another process.
    socket: std::net::TcpListener,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Console {
    /// Listens and serves from a thread of its own. When this returns, connections are accepted.
    pub fn start(options: Options, service: Arc<dyn Service>) -> Result<Console, StartError> {
        let at = |source| StartError::Listen { address: options.listen, source };
        let listener = std::net::TcpListener::bind(options.listen).map_err(at)?;
        Console::start_on(listener, options, service)
    }

    /// The same on a socket that listens already; `options.listen` is only what messages call it.
    pub fn start_on(listener: std::net::TcpListener, options: Options, service: Arc<dyn Service>) -> Result<Console, StartError> {
        let at = |source| StartError::Listen { address: options.listen, source };
        listener.set_nonblocking(true).map_err(at)?;
        let socket = listener.try_clone().map_err(at)?;
        let address = listener.local_addr().map_err(at)?;
        let history = match &options.history {
            Some(path) => History::open(path, unix_now()).map_err(|source| StartError::History { path: path.clone(), source })?,
            None => History::in_memory(),
        };
        let shared = Arc::new(Shared::new(service, options.token, history));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Thread)?;
        let (stop, stopped) = oneshot::channel();
        let serve = move || {
            runtime.block_on(async {
                tokio::spawn(watch_service(shared.clone()));
                if let Err(error) = web::serve(listener, shared, stopped).await {
                    tracing::error!(%error, "console stopped");
                }
            });
            // A reload under way is not waited for.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("console".into()).spawn(serve).map_err(StartError::Thread)?;
        Ok(Console { address, socket, stop: Some(stop), thread: Some(thread) })
    }

    /// The listening socket once more, for a process that goes on with it.
    pub fn socket(&self) -> std::io::Result<std::net::TcpListener> {
        self.socket.try_clone()
    }

    /// Where it listens; the port is a real one even if 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // Dropping the sender is the signal; the thread then closes every connection at once.
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

// === what requests share ===

/// State of the console: written once a second, read by every request.
struct Shared {
    service: Arc<dyn Service>,
    token: Token,
    sessions: token::Sessions,
    picture: RwLock<Arc<Picture>>,
    history: Mutex<History>,
    /// Counts the pictures; live pages wait for the next one.
    ticks: watch::Sender<u64>,
    /// One permit per live page.
    live: Arc<tokio::sync::Semaphore>,
}

/// A status and what the console makes of it.
struct Picture {
    status: Status,
    findings: verdict::Findings,
    unix_s: u64,
}

impl Shared {
    fn new(service: Arc<dyn Service>, token: Token, history: History) -> Shared {
        let status = service.status();
        let picture = Picture { findings: Memory::default().judge(&status, unix_now(), None), status, unix_s: unix_now() };
        Shared {
            service,
            token,
            sessions: token::Sessions::default(),
            picture: RwLock::new(Arc::new(picture)),
            history: Mutex::new(history),
            ticks: watch::Sender::new(0),
            live: Arc::new(tokio::sync::Semaphore::new(live::PAGES_MAX)),
        }
    }

    fn picture(&self) -> Arc<Picture> {
        self.picture.read().expect("nothing panics while holding it").clone()
    }

    fn history(&self) -> std::sync::MutexGuard<'_, History> {
        self.history.lock().expect("nothing panics while holding it")
    }
}

/// Takes a picture every second, for as long as the console runs.
async fn watch_service(shared: Arc<Shared>) {
    let mut memory = Memory::default();
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    // A pause of the machine is one gap in the charts, not a burst of pictures.
    seconds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        seconds.tick().await;
        let (status, unix_s) = (shared.service.status(), unix_now());
        let best = {
            let mut history = shared.history();
            history.take(&status, unix_s);
            history.best_p50_us()
        };
        let findings = memory.judge(&status, unix_s, best);
        *shared.picture.write().expect("nothing panics while holding it") = Arc::new(Picture { status, findings, unix_s });
        shared.ticks.send_modify(|tick| *tick += 1);
    }
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
