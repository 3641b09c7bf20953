//! Real servers for one test each: own directory, free port, ended with the value that stands for them.
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

pub struct Mariadb {
    process: Running,
    port: u16,
    directory: TempDir,
}

impl Mariadb {
    pub fn start() -> Mariadb {
        let directory = TempDir::new().unwrap();
        let data = directory.path().join("data");
        // Its own, because a server that starts removes the temporary tables it finds, those of others that run beside it as well.
        let tmpdir = format!("--tmpdir={}", directory.path().display());
        let installed = Command::new("mariadb-install-db")
            .arg("--no-defaults")
            .arg(format!("--datadir={}", data.display()))
            .arg(&tmpdir)
            .args(["--auth-root-authentication-method=normal", "--skip-test-db", "--user=root"])
            .output()
            .expect("mariadb-install-db runs (Debian package mariadb-server)");
        assert!(installed.status.success(), "{}{}", String::from_utf8_lossy(&installed.stdout), String::from_utf8_lossy(&installed.stderr));
        let port = free_port();
        let process = Command::new("mariadbd")
            .arg("--no-defaults")
            .arg(format!("--datadir={}", data.display()))
            .arg(format!("--socket={}", socket(directory.path()).display()))
            .arg(format!("--port={port}"))
            .arg(&tmpdir)
            .args(["--user=root", "--bind-address=127.0.0.1", "--innodb-flush-log-at-trx-commit=0"])
            .args(["--innodb-buffer-pool-size=32M", "--skip-log-bin"])
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(directory.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let database = Mariadb { process: Running(process), port, directory };
        wait_for("mariadbd", || TcpStream::connect(("127.0.0.1", port)).is_ok() && socket(database.directory.path()).exists());
        database.client(None, "CREATE DATABASE askhy");
        database
    }

    pub fn settings(&self) -> askhy::Database {
        askhy::Database { host: "127.0.0.1".into(), port: self.port, user: "root".into(), password: String::new(), name: "askhy".into() }
    }

    /// Runs statements past the application, as a person at a prompt would, and returns what they print.
    pub fn run(&self, sql: &str) -> String {
        self.client(Some("askhy"), sql)
    }

    fn client(&self, database: Option<&str>, sql: &str) -> String {
        let output = Command::new("mariadb")
            .arg("--no-defaults")
            .arg(format!("--socket={}", socket(self.directory.path()).display()))
            .args(["-uroot", "-N", "-B", "-e", sql])
            .args(database)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

pub struct Redis {
    _process: Running,
    port: u16,
}

impl Redis {
    pub fn start() -> Redis {
        let port = free_port();
        let options = ["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
        let process = Command::new("redis-server").args(options).stdout(Stdio::null()).spawn().expect("redis-server runs");
        let redis = Redis { _process: Running(process), port };
        wait_for("redis-server", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        redis
    }

    pub fn address(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

pub struct Memcached {
    _process: Running,
    port: u16,
}

impl Memcached {
    pub fn start() -> Memcached {
        let port = free_port();
        let options = ["-l", "127.0.0.1", "-U", "0", "-u", "root", "-p", &port.to_string()];
        let process = Command::new("memcached").args(options).spawn().expect("memcached runs");
        let memcached = Memcached { _process: Running(process), port };
        wait_for("memcached", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        memcached
    }

    pub fn address(&self) -> String {
        format!("memcached://127.0.0.1:{}", self.port)
    }
}

/// The application itself, as a process of its own.
pub struct App {
    _process: Running,
    address: String,
}

impl App {
    pub fn start(database: &Mariadb, environment: &[(&str, &str)]) -> App {
        let mut process = Running(
            App::command()
                .env("PORT", "0")
                .env("DATABASE_PORT", database.port.to_string())
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

impl Drop for Mariadb {
    fn drop(&mut self) {
        // Nothing on its disk is of use any more: no need to wait for an orderly end.
        let _ = self.process.0.kill();
    }
}

fn socket(directory: &Path) -> std::path::PathBuf {
    directory.join("s")
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn wait_for(what: &str, mut ready: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !ready() {
        assert!(Instant::now() < deadline, "{what} does not answer");
        std::thread::sleep(Duration::from_millis(20));
    }
}
