//! A cable between Pumasi and a server that breaks on one side only: Pumasi loses its connection, the server keeps its end and goes on.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

pub struct Relay {
    pub port: u16,
    /// The server's ends of the connections that were cut.
    cut: Arc<Mutex<Vec<TcpStream>>>,
}

impl Relay {
    /// In front of a server of this machine. A connection on which a packet with `marker` is sent is cut behind that packet.
    pub fn to(server: u16, marker: &'static [u8]) -> Relay {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let relay = Relay { port: listener.local_addr().expect("bound").port(), cut: Arc::default() };
        let cut = relay.cut.clone();
        // Ends with the test's process: nobody connects any more.
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)) else { continue };
                carry(client, server, marker, cut.clone());
            }
        });
        relay
    }

    /// The server hears now, too, that the cut connections are gone.
    pub fn tell_the_server(&self) {
        for server in self.cut.lock().expect("no panic").drain(..) {
            // It may have ended by itself.
            let _ = server.shutdown(Shutdown::Both);
        }
    }
}

fn carry(client: TcpStream, server: TcpStream, marker: &'static [u8], cut: Arc<Mutex<Vec<TcpStream>>>) {
    let twin = |stream: &TcpStream| stream.try_clone().expect("a second handle");
    let (mut from_server, mut to_client) = (twin(&server), twin(&client));
    thread::spawn(move || {
        // Of a connection that was cut nothing can be written: what the server says then is lost.
        let _ = std::io::copy(&mut from_server, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Both);
    });
    let (mut from_client, mut to_server) = (client, server);
    thread::spawn(move || {
        let mut bytes = [0; 16 * 1024];
        while let Ok(count @ 1..) = from_client.read(&mut bytes) {
            if to_server.write_all(&bytes[..count]).is_err() {
                break;
            }
            if bytes[..count].windows(marker.len()).any(|part| part == marker) {
                cut.lock().expect("no panic").push(to_server);
                let _ = from_client.shutdown(Shutdown::Both);
                return;
            }
        }
        let _ = to_server.shutdown(Shutdown::Both);
    });
}
