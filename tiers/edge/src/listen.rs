//! Listening sockets: one per core and address, so that the kernel spreads connections and no core waits for another.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::TcpStream;

/// Connections the kernel keeps until a core accepts them.
const BACKLOG: i32 = 1024;

/// Binds `count` sockets to `address`. Port 0 is resolved by the first, and the others follow it.
///
/// An address that is in use is an error even where the other process shares it by SO_REUSEPORT too: half of the connections would go
/// to a server that nobody thinks of.
pub(crate) fn bind(address: SocketAddr, count: usize) -> io::Result<(SocketAddr, Vec<std::net::TcpListener>)> {
    if address.port() != 0 {
        // Fails with AddrInUse where SO_REUSEPORT would silently take a share of somebody's connections.
        let probe = socket(address)?;
        probe.bind(&address.into())?;
    }
    let mut bound = address;
    let mut listeners = Vec::with_capacity(count);
    for _ in 0..count {
        let listener = join(address, bound)?;
        bound = listener.local_addr()?;
        listeners.push(listener);
    }
    Ok((bound, listeners))
}

/// Goes on with sockets that another process has listened on: `handed` are all of one address. Where they are fewer than `count`, more
/// join them; whoever waits in one of their queues is accepted by us. Errors: `handed` is empty, or a socket cannot be had.
pub(crate) fn adopt(mut handed: Vec<std::net::TcpListener>, count: usize) -> io::Result<(SocketAddr, Vec<std::net::TcpListener>)> {
    let first = handed.first().ok_or(io::ErrorKind::InvalidInput)?;
    let bound = first.local_addr()?;
    for listener in &handed {
        listener.set_nonblocking(true)?;
    }
    while handed.len() < count {
        handed.push(join(bound, bound)?);
    }
    Ok((bound, handed))
}

/// One more socket for `bound`, which others share.
fn join(address: SocketAddr, bound: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = socket(address)?;
    socket.set_reuse_port(true)?;
    socket.bind(&bound.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// What a connection of ours is told once it stands; `peer` is who is at its other end. Whatever the kernel refuses stays as it was: all
/// of it is about speed.
pub(crate) fn tune(stream: &TcpStream, peer: IpAddr) {
    let socket = SockRef::from(stream);
    // Without it, the last packet of a message may wait for the acknowledgement of the one before (40 ms).
    let _ = socket.set_tcp_nodelay(true);
    if peer.to_canonical().is_loopback() {
        // Between two processes of one machine there is nothing to be congested. Where the system's choice is BBR, it models and paces each
        // segment all the same; Reno, which every kernel has, only counts.
        let _ = socket.set_tcp_congestion(b"reno");
    }
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
