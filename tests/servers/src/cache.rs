//! Redis and memcached: nothing on disk.
use std::{
    net::{Ipv4Addr, TcpStream},
    process::{Command, Stdio},
};

use crate::process::{Running, free_port};

pub struct Redis {
    _process: Running,
    port: u16,
}

impl Redis {
    pub fn start() -> Redis {
        let port = free_port();
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &port.to_string()]);
        Redis { _process: started(&mut command, "redis-server", port), port }
    }

    /// `redis://127.0.0.1:PORT`.
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
        let mut command = Command::new("memcached");
        // Root must be told that it may stay root; anybody else is not asked.
        command.args(["-l", "127.0.0.1", "-U", "0", "-u", "root", "-p", &port.to_string()]);
        Memcached { _process: started(&mut command, "memcached", port), port }
    }

    /// `memcached://127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("memcached://127.0.0.1:{}", self.port)
    }
}

fn started(command: &mut Command, package: &str, port: u16) -> Running {
    let mut process = Running::start(command.stdin(Stdio::null()).stdout(Stdio::null()), package);
    process.wait_for(|| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok(), || package.to_owned());
    process
}
