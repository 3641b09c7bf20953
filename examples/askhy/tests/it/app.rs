//! The application as a process of its own, and what it answers.
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::Duration,
};

use pumasi_test_servers::MariaDb;

/// The board's own database on a server of the test's own.
pub struct Database(MariaDb);

impl Database {
    pub fn start() -> Database {
        let server = MariaDb::start();
        server.run("CREATE DATABASE askhy");
        Database(server)
    }

    pub fn settings(&self) -> askhy::Database {
        askhy::Database { host: "127.0.0.1".into(), port: self.0.port, user: "root".into(), password: String::new(), name: "askhy".into() }
    }

    /// Runs statements past the application, as a person at a prompt would, and returns what they print.
    pub fn run(&self, sql: &str) -> String {
        self.0.run_in("askhy", sql)
    }
}

/// The application itself, as a process of its own.
pub struct App {
    _process: Running,
    address: String,
}

impl App {
    pub fn start(database: &Database, environment: &[(&str, &str)]) -> App {
        let mut process = Running(
            App::command()
                .env("PORT", "0")
                .env("DATABASE_PORT", database.0.port.to_string())
                .envs(environment.iter().copied())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap(),
        );
        let mut said = BufReader::new(process.0.stderr.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("askhy: listening on ").unwrap_or_else(|| panic!("{line}")).to_owned();
        // Somebody must read what it says from now on, or it would stop at a full pipe.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        App { _process: process, address }
    }

    pub fn command() -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_askhy"));
        for name in ["HOST", "PORT", "DATABASE_HOST", "DATABASE_USER", "DATABASE_PASSWORD", "DATABASE_NAME", "ASKHY_CACHE"] {
            command.env_remove(name);
        }
        command
    }

    pub fn get(&self, path: &str) -> Answer {
        self.request("GET", path, "", &[])
    }

    pub fn post(&self, path: &str, form: &str, headers: &[&str]) -> Answer {
        let headers = [headers, &["Content-Type: application/x-www-form-urlencoded"]].concat();
        self.request("POST", path, form, &headers)
    }

    pub fn request(&self, method: &str, path: &str, body: &str, headers: &[&str]) -> Answer {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: askhy\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        // A server may answer and close before it has read a body it refuses.
        let _ = stream.write_all(body.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        Answer::parse(&answer)
    }
}

pub struct Answer {
    pub status: u16,
    pub body: String,
    head: String,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Answer {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no whole head in {text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, body: body.to_owned(), head: head.to_owned() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value))
    }
}

/// A process that ends with its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
