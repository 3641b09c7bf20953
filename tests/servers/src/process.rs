//! One server process: started, waited for, ended.
use std::{
    hash::{BuildHasher, RandomState},
    net::{Ipv4Addr, TcpListener},
    ops::Range,
    process::{Child, Command},
    sync::{
        LazyLock,
        atomic::{AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};

/// Bound on the wait for a server's first answer. A busy machine of two cores takes its time over a first start.
const START_TIMEOUT: Duration = Duration::from_secs(90);

/// How often a server that starts is asked whether it answers.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// A process that ends with its value.
pub struct Running(Child);

impl Running {
    /// Starts `command`. Panics with the package's name if the program is not installed.
    pub fn start(command: &mut Command, package: &str) -> Running {
        let program = command.get_program().to_string_lossy().into_owned();
        Running(command.spawn().unwrap_or_else(|error| panic!("{program} (Debian package {package}): {error}; `cargo xtask install`")))
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// kill -9. Does nothing to a process that has ended.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// Waits until `answers`. Panics with `why()` when the process ends before it does, or after [`START_TIMEOUT`].
    pub fn wait_for(&mut self, answers: impl Fn() -> bool, why: impl Fn() -> String) {
        let deadline = Instant::now() + START_TIMEOUT;
        while !answers() {
            if let Some(status) = self.0.try_wait().expect("it is our child") {
                panic!("the server ended with {status}: {}", why());
            }
            assert!(Instant::now() < deadline, "no answer within {START_TIMEOUT:?}: {}", why());
            std::thread::park_timeout(ASK_EVERY);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Below the ports of outgoing connections (ip(7), "ip_local_port_range", 32768 and up) and below those of Pumasi's workers (20000 and up):
/// a server that is killed and started again finds its port free, whatever other tests connect to meanwhile.
const PORTS: Range<u16> = 10_000..20_000;

/// A port of the loopback that was free a moment ago, never the same twice until all were given. Servers that cannot be told to take any
/// port leave no better way.
pub fn free_port() -> u16 {
    // Begins at a random place, so that tests in processes of their own do not try the same ports in step.
    static TRIED: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new(RandomState::new().hash_one(0) as u16));
    let next = || PORTS.start + TRIED.fetch_add(1, Ordering::Relaxed) % PORTS.len() as u16;
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    PORTS.map(|_| next()).find(free).expect("a free port")
}
