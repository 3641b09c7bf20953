//! Started programs, pinned to a core, and stopped again by their own process id.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// A running program; stopped when dropped.
pub struct Running {
    child: Child,
}

/// Starts `program` on `core`. Its output goes nowhere unless it fails to start.
pub fn start(core: usize, program: &str, arguments: &[&str]) -> Result<Running> {
    let child = Command::new("taskset")
        .args(["-c", &core.to_string(), program])
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("starting {program}"))?;
    Ok(Running { child })
}

/// The same on whichever core is free.
pub fn start_anywhere(program: &str, arguments: &[&str]) -> Result<Running> {
    let mut command = Command::new(program);
    let child =
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().with_context(|| format!("starting {program}"))?;
    Ok(Running { child })
}

impl Running {
    /// taskset replaces itself by the program, so this is the program's own id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.child.id() as i32) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM); // nginx and haproxy take their workers with them
        }
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

pub fn wait_for(port: u16) -> Result<()> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let until = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(address).is_err() {
        if Instant::now() > until {
            bail!("nothing listens on port {port} after ten seconds");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
