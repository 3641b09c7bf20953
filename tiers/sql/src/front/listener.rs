//! An address that is listened on: accepts connections and gives each a thread.

use std::{
    io::{self, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use pumasi_freshness::Witness;
use pumasi_mysqlwire::{ErrorPhase, Outbox, Sequence, SqlError, put_error};
use socket2::SockRef;
use tracing::{debug, warn};

use super::{Shared, login, registry::Place, shutting_down, too_many_connections};
use crate::engine::Engine;

/// How long accepting pauses when the system has no descriptor or memory to spare: trying at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An open address. Dropping it closes the address; connections that came in through it stay.
pub struct Listener {
    address: SocketAddr,
    socket: TcpListener,
    closing: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Listener {
    /// The address with the port that was given when 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
        // Wakes the thread out of accept, which then finds the flag.
        let _ = SockRef::from(&self.socket).shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Errors: the address cannot be bound.
pub fn open<E: Engine>(shared: Arc<Shared<E>>, address: SocketAddr, witness: Option<Arc<Witness>>) -> io::Result<Listener> {
    let socket = TcpListener::bind(address)?;
    let address = socket.local_addr()?;
    let closing = Arc::new(AtomicBool::new(false));
    let accepting = Accepting { shared: shared.clone(), socket: socket.try_clone()?, address, closing: closing.clone(), witness };
    let thread = thread::Builder::new().name(format!("sql-accept-{}", address.port())).spawn(move || accepting.run())?;
    shared.addresses().push(address);
    Ok(Listener { address, socket, closing, thread: Some(thread) })
}

struct Accepting<E: Engine> {
    shared: Arc<Shared<E>>,
    socket: TcpListener,
    address: SocketAddr,
    closing: Arc<AtomicBool>,
    witness: Option<Arc<Witness>>,
}

impl<E: Engine> Accepting<E> {
    fn run(self) {
        loop {
            let accepted = self.socket.accept();
            if self.closing.load(Ordering::SeqCst) {
                break;
            }
            match accepted {
                Ok((stream, peer)) => self.admit(stream, peer),
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    warn!(database = %self.shared.settings.name, address = %self.address, %error, "a connection cannot be accepted");
                    thread::sleep(ACCEPT_PAUSE);
                }
            }
        }
        self.shared.addresses().retain(|known| *known != self.address);
    }

    fn admit(&self, stream: TcpStream, peer: SocketAddr) {
        if self.shared.stopping() {
            return turn_away(&stream, &shutting_down());
        }
        if !self.shared.welcomes(peer.ip()) {
            let message = format!("Host '{}' is not allowed to connect to this MySQL server", peer.ip().to_canonical());
            return turn_away(&stream, &SqlError::new(1130, "HY000", message));
        }
        let stream = Arc::new(stream);
        let Some(place) = self.shared.registry.admit(stream.clone(), peer) else {
            return turn_away(&stream, &too_many_connections(self.shared.settings.connections_max));
        };
        let id = place.entry.id;
        let (shared, witness) = (self.shared.clone(), self.witness.clone());
        let spawned = thread::Builder::new().name(format!("sql-{id}")).spawn(move || serve(&shared, &place, stream, witness));
        if let Err(error) = spawned {
            warn!(database = %self.shared.settings.name, %error, "a connection gets no thread");
        }
    }
}

fn serve<E: Engine>(shared: &Shared<E>, place: &Place, stream: Arc<TcpStream>, witness: Option<Arc<Witness>>) {
    match login::welcome(shared, &place.entry, stream, witness) {
        Ok(session) => session.run(),
        Err(error) => debug!(database = %shared.settings.name, peer = %place.entry.peer, %error, "no login"),
    }
}

/// Says why in place of the greeting, and closes. A new connection's send buffer is empty, so this does not block.
fn turn_away(mut stream: &TcpStream, error: &SqlError) {
    let mut outbox = Outbox::default();
    outbox.packet(&mut Sequence::default(), |out| put_error(out, error, ErrorPhase::BeforeGreeting));
    let _ = stream.write_all(outbox.bytes());
    let _ = stream.shutdown(Shutdown::Write);
}
