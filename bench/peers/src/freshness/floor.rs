//! What no program can do without: an epoll loop that takes commands apart by their lengths and answers each with the same bytes.
use std::{
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
};

use anyhow::Result;
use rustix::event::epoll;

/// Serves until it is killed. `answer`: in hexadecimal digits. Clients do not log in.
pub fn serve(port: &str, answer: &str) -> Result<()> {
    let answer: Vec<u8> = (0..answer.len()).step_by(2).map(|at| u8::from_str_radix(&answer[at..at + 2], 16)).collect::<Result<_, _>>()?;
    let listener = TcpListener::bind(("127.0.0.1", port.parse()?))?;
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&poll, &listener, epoll::EventData::new_u64(u64::MAX), epoll::EventFlags::IN)?;
    let mut clients: Vec<TcpStream> = Vec::new();
    let (mut events, mut buffer, mut out) = (Vec::with_capacity(256), vec![0; 64 << 10], Vec::new());
    loop {
        events.clear();
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in &events {
            let number = event.data.u64();
            if number == u64::MAX {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                epoll::add(&poll, &stream, epoll::EventData::new_u64(clients.len() as u64), epoll::EventFlags::IN | epoll::EventFlags::ET)?;
                clients.push(stream);
                continue;
            }
            let client = &mut clients[number as usize];
            let count = match client.read(&mut buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(_) => 0,
            };
            // The driver sends whole commands, and few enough at once.
            let (mut at, commands) = (0, &buffer[..count]);
            out.clear();
            while let Some([a, b, c, _]) = commands.get(at..at + 4) {
                at += 4 + u32::from_le_bytes([*a, *b, *c, 0]) as usize;
                out.extend_from_slice(&answer);
            }
            let _ = client.write_all(&out);
        }
    }
}
