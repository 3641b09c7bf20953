//! Listening sockets on their way from one process to the next.

use std::net::{SocketAddr, TcpListener};

use pumasi_edge::OpenSocket;

/// A set of them. What nobody takes is closed when it is dropped.
#[derive(Debug, Default)]
pub struct Sockets(Vec<Socket>);

#[derive(Debug)]
pub struct Socket {
    /// [`EDGE`], [`CONSOLE`] or `sql.NAME`. Port 0 in two places is two addresses.
    pub owner: String,
    /// As the configuration writes it.
    pub written: SocketAddr,
    pub listener: TcpListener,
}

pub const EDGE: &str = "edge";
pub const CONSOLE: &str = "console";

pub fn of_database(name: &str) -> String {
    format!("sql.{name}")
}

impl Sockets {
    pub fn push(&mut self, socket: Socket) {
        self.0.push(socket);
    }

    pub fn all(&self) -> &[Socket] {
        &self.0
    }

    /// The addresses that nobody needs to find free.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.0.iter().map(|socket| socket.written).collect()
    }

    /// The one of `owner` at that address.
    pub fn take(&mut self, owner: &str, written: SocketAddr) -> Option<TcpListener> {
        let at = self.0.iter().position(|socket| socket.owner == owner && socket.written == written)?;
        Some(self.0.swap_remove(at).listener)
    }

    /// All of the edge, several for each address.
    pub fn take_edge(&mut self) -> Vec<OpenSocket> {
        let taken = self.0.extract_if(.., |socket| socket.owner == EDGE);
        taken.map(|socket| OpenSocket { written: socket.written, listener: socket.listener }).collect()
    }
}
