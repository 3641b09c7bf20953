//! A socket in the file system that leads to a port: the suite's clients look for their server at one, and Pumasi has none.

use std::{
    fs, io,
    net::{Shutdown, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    thread,
};

/// Carries every connection to `port` until this program ends.
pub fn carry(socket: &Path, port: (&'static str, u16)) -> io::Result<()> {
    let _ = fs::remove_file(socket);
    let listener = UnixListener::bind(socket)?;
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // Nobody there: the client finds its connection closed, and says so.
            if let Ok(server) = TcpStream::connect(port).and_then(|server| server.set_nodelay(true).map(|()| server)) {
                let _ = join(client, server);
            }
        }
    });
    Ok(())
}

fn join(client: UnixStream, server: TcpStream) -> io::Result<()> {
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    let (mut from_server, mut to_client) = (server, client);
    thread::spawn(move || {
        let _ = io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    thread::spawn(move || {
        let _ = io::copy(&mut from_server, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Both);
    });
    Ok(())
}
