//! Ten thousand clients of a MySQL server on one thread: an event loop that costs little beside what it measures.
//!
//! Two ways to ask. *Staying*: all have logged in before the clock starts, then each asks for one row again and again. *Passing*: each
//! connects, logs in, asks for one row and leaves, again and again, as applications do that have no pool. Every answer is compared with
//! the row as it was read before.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use pumasi_mysqlwire::{Capabilities, Command, Expect, Follower, Greeting, HEADER, Header, Login, Outbox, Passed, Sequence};
use rustix::{
    event::epoll::{self, CreateFlags, EventData, EventFlags},
    io::Errno,
    net::{AddressFamily, SendFlags, SocketFlags, SocketType},
};

/// Logins under way at the same time: more would lose connections to a full backlog instead of measuring anything.
const LOGINS_MAX: usize = 200;

/// Patience with connections that come to nothing, and with a server that has stopped.
const PATIENCE: Duration = Duration::from_secs(60);

const CAPABILITIES: Capabilities = Capabilities(
    Capabilities::LONG_PASSWORD.0
        | Capabilities::CONNECT_WITH_DB.0
        | Capabilities::PROTOCOL_41.0
        | Capabilities::TRANSACTIONS.0
        | Capabilities::SECURE_CONNECTION.0
        | Capabilities::PLUGIN_AUTH.0,
);

/// The rows that are asked for, by id from 1.
pub struct Rows(pub Vec<Vec<u8>>);

pub struct Crowd<'a> {
    port: u16,
    rows: &'a Rows,
    epoll: OwnedFd,
    clients: Vec<Client>,
    buffer: Vec<u8>,
    /// How many are between connecting and their first OK.
    logging_in: usize,
    welcome: usize,
    pub answers: u64,
    pub failures: u64,
    /// Answers are asked for.
    asking: bool,
    /// Each leaves after one.
    passing: bool,
}

struct Client {
    socket: Option<OwnedFd>,
    state: State,
    /// What came of a packet that is not whole yet.
    rest: Vec<u8>,
    follower: Follower,
    id: usize,
    right: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    AwaitGreeting,
    AwaitWelcome,
    Idle,
    AwaitAnswer,
}

impl<'a> Crowd<'a> {
    pub fn new(port: u16, rows: &'a Rows) -> Result<Crowd<'a>> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(Crowd {
            port,
            rows,
            epoll,
            clients: Vec::new(),
            buffer: vec![0; 64 * 1024],
            logging_in: 0,
            welcome: 0,
            answers: 0,
            failures: 0,
            asking: false,
            passing: false,
        })
    }

    /// All connect and log in; how long that took. Errors: one cannot.
    pub fn connect(&mut self, count: usize) -> Result<Duration> {
        let began = Instant::now();
        while self.welcome < count {
            while self.clients.len() < count && self.logging_in < LOGINS_MAX {
                self.clients.push(Client::new(self.clients.len()));
                self.open(self.clients.len() - 1)?;
            }
            self.turn()?;
            ensure!(self.failures == 0, "{} connections failed before all had logged in", self.failures);
            ensure!(began.elapsed() < PATIENCE, "{} of {count} have logged in after {PATIENCE:?}", self.welcome);
        }
        Ok(began.elapsed())
    }

    /// Everybody asks, for as long as it says: answers per second.
    pub fn ask_for(&mut self, time: Duration) -> Result<f64> {
        self.asking = true;
        for number in 0..self.clients.len() {
            self.ask(number);
        }
        self.count_for(time)
    }

    /// `count` clients connect, ask and leave: answers per second.
    pub fn pass_for(&mut self, count: usize, time: Duration) -> Result<f64> {
        (self.asking, self.passing) = (true, true);
        for number in 0..count {
            self.clients.push(Client::new(number));
            self.open(number)?;
        }
        self.count_for(time)
    }

    fn count_for(&mut self, time: Duration) -> Result<f64> {
        let (began, before) = (Instant::now(), self.answers);
        while began.elapsed() < time {
            self.turn()?;
        }
        Ok((self.answers - before) as f64 / began.elapsed().as_secs_f64())
    }

    fn open(&mut self, number: usize) -> Result<()> {
        let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)?;
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], self.port));
        match rustix::net::connect(&socket, &address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => bail!("connecting: {error}"),
        }
        epoll::add(&self.epoll, &socket, EventData::new_u64(number as u64), EventFlags::IN)?;
        let client = &mut self.clients[number];
        client.rest.clear();
        (client.socket, client.state) = (Some(socket), State::AwaitGreeting);
        self.logging_in += 1;
        Ok(())
    }

    /// Deals with whatever has come.
    fn turn(&mut self) -> Result<()> {
        let mut events = [epoll::Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }; 512];
        let wait = rustix::time::Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        let count = match epoll::wait(&self.epoll, &mut events[..], Some(&wait)) {
            Ok(count) => count,
            Err(Errno::INTR) => 0,
            Err(error) => return Err(error).context("epoll"),
        };
        for event in &events[..count] {
            let number = event.data.u64() as usize;
            if self.readable(number).is_err() {
                self.failures += 1;
                self.close(number);
                if self.passing {
                    self.open(number)?;
                }
            }
        }
        Ok(())
    }

    fn close(&mut self, number: usize) {
        let client = &mut self.clients[number];
        if matches!(client.state, State::AwaitGreeting | State::AwaitWelcome) && client.socket.is_some() {
            self.logging_in -= 1;
        }
        client.socket = None;
    }

    /// Reads once and takes every packet that is whole.
    fn readable(&mut self, number: usize) -> Result<()> {
        let Some(socket) = &self.clients[number].socket else { return Ok(()) };
        let mut buffer = std::mem::take(&mut self.buffer);
        let read = match rustix::net::recv(socket.as_fd(), &mut buffer[..], rustix::net::RecvFlags::empty()) {
            Ok((0, _)) => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok((count, _)) => self.packets(number, &buffer[..count]),
            Err(Errno::AGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        };
        self.buffer = buffer;
        read
    }

    fn packets(&mut self, number: usize, bytes: &[u8]) -> Result<()> {
        let mut held = std::mem::take(&mut self.clients[number].rest);
        let mut bytes = if held.is_empty() {
            bytes
        } else {
            held.extend_from_slice(bytes);
            &held
        };
        while let Some((head, _)) = bytes.split_first_chunk::<HEADER>() {
            let length = Header::decode(*head).length;
            let Some(payload) = bytes.get(HEADER..HEADER + length) else { break };
            self.packet(number, payload)?;
            bytes = &bytes[HEADER + length..];
        }
        if !bytes.is_empty() {
            self.clients[number].rest = bytes.to_vec();
        }
        Ok(())
    }

    fn packet(&mut self, number: usize, payload: &[u8]) -> Result<()> {
        let client = &mut self.clients[number];
        match client.state {
            State::AwaitGreeting => {
                Greeting::decode(payload)?;
                client.log_in()?;
                client.state = State::AwaitWelcome;
            }
            State::AwaitWelcome => {
                ensure!(payload.first() == Some(&0), "the login was answered {payload:?}");
                client.state = State::Idle;
                self.logging_in -= 1;
                self.welcome += 1;
                if self.asking {
                    self.ask(number);
                }
            }
            State::Idle => bail!("something that nobody asked for"),
            State::AwaitAnswer => {
                let row = client.follower.in_rows();
                let passed = client.follower.packet(payload, payload.len())?;
                ensure!(passed != Passed::Err, "an error was answered: {}", String::from_utf8_lossy(payload));
                if row && passed == Passed::Data {
                    // One value of less than 251 bytes, with its length in front.
                    client.right = payload.get(1..) == Some(&self.rows.0[client.id - 1][..]);
                }
                if client.follower.done() {
                    ensure!(client.right, "the answer for {} is not its row", client.id);
                    self.answers += 1;
                    if self.passing {
                        self.close(number);
                        self.open(number)?;
                    } else {
                        self.ask(number);
                    }
                }
            }
        }
        Ok(())
    }

    fn ask(&mut self, number: usize) {
        let rows = self.rows.0.len();
        let client = &mut self.clients[number];
        client.id = 1 + (client.id + 7919) % rows;
        client.right = false;
        client.state = State::AwaitAnswer;
        client.follower = Follower::new(Expect::Results, CAPABILITIES);
        let sql = format!("SELECT c FROM sbtest1 WHERE id={}", client.id);
        let mut out = Outbox::default();
        out.packet(&mut Sequence::default(), |out| Command::Query(sql.as_bytes()).encode(out));
        // What cannot be sent is found by the answer that does not come.
        let _ = client.send(out.bytes());
    }
}

impl Client {
    fn new(number: usize) -> Client {
        let follower = Follower::new(Expect::Results, CAPABILITIES);
        Client { socket: None, state: State::AwaitGreeting, rest: Vec::new(), follower, id: number, right: false }
    }

    fn log_in(&self) -> Result<()> {
        let login = Login {
            capabilities: CAPABILITIES,
            max_packet: 1 << 24,
            collation: 45,
            user: "root".into(),
            database: Some("sbtest".into()),
            plugin: "mysql_native_password".into(),
            ..Login::default()
        };
        let mut sequence = Sequence::default();
        sequence.issue();
        let mut out = Outbox::default();
        out.packet(&mut sequence, |out| login.encode(out));
        self.send(out.bytes())
    }

    fn send(&self, bytes: &[u8]) -> Result<()> {
        let socket = self.socket.as_ref().context("no connection")?;
        // Far smaller than a socket's buffer.
        let sent = rustix::net::send(socket, bytes, SendFlags::NOSIGNAL)?;
        ensure!(sent == bytes.len(), "half of a statement was sent");
        Ok(())
    }
}

/// The rows as the server itself gives them.
pub fn rows(port: u16, count: usize) -> Result<Rows> {
    let output = std::process::Command::new("mariadb")
        .args(["--no-defaults", "-uroot", "-h127.0.0.1", &format!("-P{port}"), "-N", "-r", "-eSELECT c FROM sbtest.sbtest1 ORDER BY id"])
        .output()
        .context("mariadb")?;
    let rows: Vec<Vec<u8>> = output.stdout.split(|byte| *byte == b'\n').filter(|row| !row.is_empty()).map(<[u8]>::to_vec).collect();
    ensure!(rows.len() == count, "{} rows of {count}", rows.len());
    Ok(Rows(rows))
}
