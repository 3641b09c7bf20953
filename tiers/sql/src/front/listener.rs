//! An address that is listened on: accepts connections and gives each a thread.

use std::{
    io::{self, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use pumasi_freshness::Witness;
use pumasi_mysqlwire::{ErrorPhase, Outbox, Sequence, SqlError, put_error};
use rustix::{
    event::{PollFd, PollFlags, poll},
    pipe::{PipeFlags, pipe_with},
};
use tracing::{debug, warn};

use super::{Shared, login, not_from_there, registry::Place, shutting_down, too_many_connections};
use crate::engine::Engine;

/// How long accepting pauses when the system has no descriptor or memory to spare: trying at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What is listened on.
#[derive(Debug)]
pub enum Door {
    /// An address to be bound.
    Closed(SocketAddr),
    /// A socket that another process listened on: whoever waits there is accepted by us.
    Open(TcpListener),
}

/// An open address. Dropping it closes the address; connections that came in through it stay, and a copy of the socket
/// ([`Listener::socket`]) goes on listening.
pub struct Listener {
    address: SocketAddr,
    socket: TcpListener,
    closing: Arc<AtomicBool>,
    /// Closed to wake the thread. Not the socket: shutting that down would end it for whoever else holds it.
    waker: Option<OwnedFd>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Listener {
    /// Listens on `address` and calls `admit` for each connection, on a thread of its own; `closed` when there will be no more.
    /// Errors: the address cannot be bound.
    pub fn open(
        door: Door,
        admit: impl Fn(TcpStream, SocketAddr) + Send + 'static,
        closed: impl FnOnce(SocketAddr) + Send + 'static,
    ) -> io::Result<Listener> {
        let socket = match door {
            Door::Closed(address) => TcpListener::bind(address)?,
            Door::Open(socket) => socket,
        };
        // Two processes may accept from one socket for a while: whoever comes second must not be stuck there.
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let (woken, waker) = pipe_with(PipeFlags::CLOEXEC)?;
        let closing = Arc::new(AtomicBool::new(false));
        let (accepting, flag) = (socket.try_clone()?, closing.clone());
        let run = move || {
            accept(&accepting, &woken, &flag, admit);
            closed(address);
        };
        let thread = thread::Builder::new().name(format!("sql-accept-{}", address.port())).spawn(run)?;
        Ok(Listener { address, socket, closing, waker: Some(waker), thread: Some(thread) })
    }

    /// The listening socket once more, for a process that goes on with it.
    pub fn socket(&self) -> io::Result<TcpListener> {
        self.socket.try_clone()
    }

    /// The address with the port that was given when 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
        // Wakes the thread, which then finds the flag.
        self.waker.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn accept(socket: &TcpListener, woken: &OwnedFd, closing: &AtomicBool, admit: impl Fn(TcpStream, SocketAddr)) {
    loop {
        let mut waited = [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN), PollFd::from_borrowed_fd(woken.as_fd(), PollFlags::IN)];
        // Interrupted by a signal: the accept below finds nobody.
        let _ = poll(&mut waited, None);
        if closing.load(Ordering::SeqCst) {
            return;
        }
        match socket.accept() {
            Ok((stream, peer)) => admit(stream, peer), // blocking: what accept(2) returns inherits no flags
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::WouldBlock) => {}
            Err(error) => {
                warn!(%error, "a connection cannot be accepted");
                thread::sleep(ACCEPT_PAUSE);
            }
        }
    }
}

/// Opens an address of `shared`'s server.
pub fn open<E: Engine>(shared: Arc<Shared<E>>, door: Door, witness: Option<Arc<Witness>>) -> io::Result<Listener> {
    let (admitting, closing) = (shared.clone(), shared.clone());
    let admit = move |stream, peer| admit(&admitting, stream, peer, &witness);
    let listener = Listener::open(door, admit, move |address| closing.addresses().retain(|known| *known != address))?;
    shared.addresses().push(listener.address());
    Ok(listener)
}

fn admit<E: Engine>(shared: &Arc<Shared<E>>, stream: TcpStream, peer: SocketAddr, witness: &Option<Arc<Witness>>) {
    if shared.stopping() {
        return turn_away(&stream, &shutting_down());
    }
    if !shared.welcomes(peer.ip()) {
        return turn_away(&stream, &not_from_there(peer));
    }
    let stream = Arc::new(stream);
    let held = stream.clone();
    let hang_up = Box::new(move |how| drop(held.shutdown(how)));
    let Some(place) = shared.registry.admit(hang_up, peer) else {
        return turn_away(&stream, &too_many_connections(shared.settings.connections_max));
    };
    let id = place.entry.id;
    let (serving, witness) = (shared.clone(), witness.clone());
    let spawned = thread::Builder::new().name(format!("sql-{id}")).spawn(move || serve(&serving, &place, stream, witness));
    if let Err(error) = spawned {
        warn!(database = %shared.settings.name, %error, "a connection gets no thread");
    }
}

fn serve<E: Engine>(shared: &Shared<E>, place: &Place, stream: Arc<TcpStream>, witness: Option<Arc<Witness>>) {
    match login::welcome(shared, &place.entry, stream, witness) {
        Ok(session) => session.run(),
        Err(error) => debug!(database = %shared.settings.name, peer = %place.entry.peer, %error, "no login"),
    }
}

/// Says why in place of the greeting, and closes. A new connection's send buffer is empty, so this does not block.
pub fn turn_away(mut stream: &TcpStream, error: &SqlError) {
    let mut outbox = Outbox::default();
    outbox.packet(&mut Sequence::default(), |out| put_error(out, error, ErrorPhase::BeforeGreeting));
    let _ = stream.write_all(outbox.bytes());
    let _ = stream.shutdown(Shutdown::Write);
}
