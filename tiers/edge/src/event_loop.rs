//! A core's thread: its runtime, what it is told, and the sockets that it accepts connections from.

use std::{
    net::SocketAddr,
    os::fd::AsFd,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tracing::warn;

use crate::{
    access_log::CoreLog,
    core::{Address, Core, OpenConnection, Shared},
    counters::CoreCounters,
    downstream,
    listen::tune,
    timer::TICK,
};

/// What the control thread tells a core.
pub(crate) enum Command {
    Listen(std::net::TcpListener, Address),
    StopListening(SocketAddr),
    /// No new connections; busy ones end with their request. Idle ones may send one more within `linger`, which is answered as their last:
    /// closing one at once can meet a request on its way.
    Drain {
        linger: Duration,
    },
    /// The drain's time is over: what is still open is cut.
    Stop,
}

/// Everything a core's thread is started with.
pub(crate) struct CoreStart {
    pub number: usize,
    pub shared: Arc<Shared>,
    pub counters: Arc<CoreCounters>,
    pub log: CoreLog,
    pub commands: mpsc::UnboundedReceiver<Command>,
}

/// Runs a core until it is told to stop, or is drained and empty. Blocks its thread.
pub(crate) fn run(start: CoreStart) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(tokio::runtime::LocalOptions::default());
    match runtime {
        Ok(runtime) => runtime.block_on(main(start)),
        Err(error) => tracing::error!(%error, "a core could not start its event loop"),
    }
}

async fn main(start: CoreStart) {
    let CoreStart { number, shared, counters, log, mut commands } = start;
    let core = Rc::new(Core::new(number, shared, counters, log));
    let mut listeners: Vec<Listener> = Vec::new();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // Since when, and how long idle connections are still kept.
    let mut draining: Option<(Instant, Duration)> = None;
    loop {
        tokio::select! {
            _ = tick.tick() => {
                core.tick();
                if let Some((since, linger)) = draining {
                    // Not at the command itself: what had arrived by then has been seen by now, and is no idle connection.
                    match since.elapsed() < linger {
                        true => core.timers.fire_announced(),
                        false => core.timers.fire_idle(),
                    }
                    if core.counters.connections() == 0 {
                        return;
                    }
                }
            }
            command = commands.recv() => match command {
                Some(Command::Listen(listener, address)) => match TcpListener::from_std(listener) {
                    Ok(listener) => listeners.push(Listener::start(&core, listener, address)),
                    Err(error) => tracing::error!(address = %address.bound, %error, "a listener could not be registered"),
                },
                Some(Command::StopListening(gone)) => {
                    listeners.extract_if(.., |listener| listener.address.bound == gone).for_each(|listener| listener.stop(&core));
                }
                Some(Command::Drain { linger }) => {
                    listeners.drain(..).for_each(|listener| listener.stop(&core));
                    draining = Some((Instant::now(), linger));
                }
                Some(Command::Stop) | None => return,
            },
        }
    }
}

/// A socket that connections are accepted from, and the task that does it.
struct Listener {
    address: Address,
    socket: Rc<TcpListener>,
    task: tokio::task::JoinHandle<()>,
}

impl Listener {
    fn start(core: &Rc<Core>, socket: TcpListener, address: Address) -> Listener {
        let socket = Rc::new(socket);
        let task = tokio::task::spawn_local(accept(core.clone(), socket.clone(), address));
        Listener { address, socket, task }
    }

    /// Takes who has connected already, then closes: whoever the kernel told that the connection stands gets an answer.
    ///
    /// Asks the kernel itself: the runtime's idea of the socket is as old as its last look.
    fn stop(self, core: &Rc<Core>) {
        self.task.abort();
        let Ok(descriptor) = self.socket.as_fd().try_clone_to_owned() else { return };
        let kernel = std::net::TcpListener::from(descriptor);
        while let Ok((stream, peer)) = kernel.accept() {
            if stream.set_nonblocking(true).is_ok()
                && let Ok(stream) = TcpStream::from_std(stream)
            {
                admit(core, stream, peer, self.address);
            }
        }
    }
}

async fn accept(core: Rc<Core>, listener: Rc<TcpListener>, address: Address) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => admit(&core, stream, peer, address),
            Err(error) => {
                // Out of file descriptors, or a client that was gone already. Both pass; a busy loop would not help.
                warn!(address = %address.bound, %error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Begins to serve a connection, unless there are too many.
fn admit(core: &Rc<Core>, stream: TcpStream, peer: SocketAddr, address: Address) {
    let limit = core.snapshot().limits.connections_max;
    if core.shared.connections.fetch_add(1, Ordering::Relaxed) >= limit {
        core.shared.connections.fetch_sub(1, Ordering::Relaxed);
        core.counters.refused_connection();
        return downstream::turn_away(&stream, address.protocol);
    }
    let open = OpenConnection::new(core.clone());
    tune(&stream, peer.ip());
    downstream::serve_connection(open, stream, peer, address);
}

/// After a failed accept. Long enough for descriptors to come back, short enough that nobody notices.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
