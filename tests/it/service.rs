//! A running Pumasi: started as a user starts it, on free loopback ports, with a state directory of its own.

use std::{
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::engines::Engine;

pub struct Service {
    child: Child,
    pub site: String,
    pub console: String,
    /// Holds the configuration and the state; kept so that a test can start Pumasi on it once more.
    pub home: Arc<tempfile::TempDir>,
    said: Arc<Mutex<Vec<String>>>,
    agent: ureq::Agent,
}

/// An answer with what the tests look at.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
    headers: Vec<(String, String)>,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }
}

impl Service {
    /// `pumasi demo` on a fresh state directory.
    pub fn demo(more: &[&str]) -> Service {
        Service::demo_in(Arc::new(tempfile::tempdir().expect("a folder")), more)
    }

    /// The same on an engine.
    pub fn demo_on(engine: Engine, more: &[&str]) -> Service {
        Service::demo_on_in(Arc::new(tempfile::tempdir().expect("a folder")), engine, more)
    }

    /// `pumasi demo` on an engine, on a state directory that may hold an earlier one.
    pub fn demo_on_in(home: Arc<tempfile::TempDir>, engine: Engine, more: &[&str]) -> Service {
        let engine = engine.arguments();
        let words: Vec<&str> = engine.iter().map(String::as_str).chain(more.iter().copied()).collect();
        Service::demo_in(home, &words)
    }

    /// `pumasi demo` on a state directory that may hold an earlier demo.
    pub fn demo_in(home: Arc<tempfile::TempDir>, more: &[&str]) -> Service {
        let (site, console) = (free_address(), free_address());
        let state = home.path().join("state");
        let mut command = Command::new(binary());
        command.arg("demo").arg("--state").arg(state).args(["--listen", &site.to_string(), "--console", &console.to_string()]).args(more);
        Service::start(command, site, console, home)
    }

    /// `pumasi run` with a file. `{site}`, `{console}` and `{database}` in it become free addresses.
    pub fn run(toml: &str, more: &[&str]) -> Service {
        Service::run_program(&binary(), toml, more)
    }

    /// The same with another copy of the program.
    pub fn run_program(program: &Path, toml: &str, more: &[&str]) -> Service {
        Service::run_program_in(program, Arc::new(tempfile::tempdir().expect("a folder")), toml, more)
    }

    /// The same in a folder that may hold what an earlier run left.
    pub fn run_in(home: Arc<tempfile::TempDir>, toml: &str, more: &[&str]) -> Service {
        Service::run_program_in(&binary(), home, toml, more)
    }

    fn run_program_in(program: &Path, home: Arc<tempfile::TempDir>, toml: &str, more: &[&str]) -> Service {
        let (site, console) = (free_address(), free_address());
        let toml = toml
            .replace("{site}", &site.to_string())
            .replace("{console}", &console.to_string())
            .replace("{database}", &free_address().to_string());
        std::fs::write(home.path().join("pumasi.toml"), toml).expect("the configuration is written");
        let mut command = Command::new(program);
        command.arg("run").current_dir(home.path()).args(more);
        Service::start(command, site, console, home)
    }

    /// `pumasi run ... -- COMMAND` without a file.
    pub fn run_command(folder: &Path, command_line: &[&str]) -> Service {
        let home = Arc::new(tempfile::tempdir().expect("a folder"));
        let (site, console) = (free_address(), free_address());
        let mut command = Command::new(binary());
        command
            .arg("run")
            .args(["--listen", &site.to_string(), "--console", &console.to_string(), "--state"])
            .arg(home.path().join("state"));
        command.current_dir(folder).arg("--").args(command_line);
        Service::start(command, site, console, home)
    }

    fn start(mut command: Command, site: SocketAddr, console: SocketAddr, home: Arc<tempfile::TempDir>) -> Service {
        let mut child = command
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let said = Arc::new(Mutex::new(vec![]));
        listen_to(child.stdout.take().expect("piped"), said.clone());
        listen_to(child.stderr.take().expect("piped"), said.clone());
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(Duration::from_secs(120)))
            .build()
            .into();
        let mut service = Service { child, site: format!("http://{site}"), console: format!("http://{console}"), home, said, agent };
        service.wait_until("every worker is ready", |service| {
            if let Some(status) = service.child.try_wait().expect("our own child") {
                panic!("pumasi ended with {status}:\n{}", service.said());
            }
            service.try_status().is_some_and(|status| {
                let pools = status["pools"].as_array().cloned().unwrap_or_default();
                let upstreams: Vec<Value> =
                    pools.iter().flat_map(|pool| pool["upstreams"].as_array().cloned().unwrap_or_default()).collect();
                (pools.is_empty() || !upstreams.is_empty())
                    && upstreams.iter().all(|upstream| upstream["worker"].is_null() || upstream["worker"]["state"] == "ready")
            })
        });
        service
    }

    /// Everything it printed so far.
    pub fn said(&self) -> String {
        self.said.lock().expect("no panic").join("\n")
    }

    pub fn status(&self) -> Value {
        self.try_status().expect("the console answers")
    }

    fn try_status(&self) -> Option<Value> {
        self.agent.get(format!("{}/api/status", self.console)).call().ok()?.body_mut().read_json().ok()
    }

    /// Where the SQL tier listens for whoever is not a worker.
    pub fn database(&self) -> SocketAddr {
        self.status()["sql"][0]["address"].as_str().expect("an SQL tier").parse().expect("an address")
    }

    pub fn get(&self, path: &str) -> Answer {
        self.try_get(path, &[]).unwrap_or_else(|error| panic!("GET {path}: {error}\n{}", self.said()))
    }

    pub fn try_get(&self, path: &str, headers: &[(&str, &str)]) -> Result<Answer, ureq::Error> {
        let mut request = self.agent.get(format!("{}{path}", self.site));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Ok(answer(request.call()?))
    }

    pub fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        answer(
            self.agent
                .post(format!("{}{path}", self.site))
                .send_form(form.iter().copied())
                .unwrap_or_else(|error| panic!("POST {path}: {error}")),
        )
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The process numbers of every worker.
    pub fn worker_pids(&self) -> Vec<u32> {
        let status = self.status();
        let pools = status["pools"].as_array().cloned().unwrap_or_default();
        let upstreams = pools.iter().flat_map(|pool| pool["upstreams"].as_array().cloned().unwrap_or_default());
        upstreams.filter_map(|upstream| Some(upstream["worker"]["pid"].as_u64()? as u32)).collect()
    }

    /// The command line on the running service: `pumasi VERB` with its configuration or state directory.
    pub fn tell(&self, words: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(binary());
        command.args(words).current_dir(self.home.path());
        let output = command.output().expect("pumasi runs");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
    }

    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Ctrl-C, and waits for the end.
    pub fn interrupt(mut self) -> (ExitStatus, String) {
        self.signal("INT");
        let status = self.child.wait().expect("our own child");
        (status, self.said())
    }

    pub fn kill(&mut self) {
        self.signal("KILL");
        let status = self.child.wait().expect("our own child");
        assert_eq!(status.signal(), Some(9), "it had ended before:\n{}", self.said());
    }

    pub fn wait_until(&mut self, what: &str, mut holds: impl FnMut(&mut Service) -> bool) {
        let until = Instant::now() + Duration::from_secs(40);
        while !holds(self) {
            assert!(Instant::now() < until, "never: {what}\n{}", self.said());
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn answer(mut response: ureq::http::Response<ureq::Body>) -> Answer {
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    Answer { status: response.status().as_u16(), body: response.body_mut().read_to_string().unwrap_or_default(), headers }
}

fn listen_to(stream: impl std::io::Read + Send + 'static, said: Arc<Mutex<Vec<String>>>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            said.lock().expect("no panic").push(line);
        }
    });
}

/// The binary under test, built by `cargo xtask test` (or `cargo build -p pumasi`) into the folder this test program lies in.
pub fn binary() -> PathBuf {
    let here = std::env::current_exe().expect("we run");
    let target = here.parent().and_then(Path::parent).expect("target/PROFILE/deps/it-...");
    let binary = target.join("pumasi");
    assert!(binary.exists(), "{} is missing: cargo build -p pumasi", binary.display());
    binary
}

/// A loopback address nobody listens on now.
pub fn free_address() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, pumasi_test_servers::free_port()))
}

pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().expect("kill(1)");
    assert!(sent.success(), "no process {pid}");
}

/// Is the process there, and not merely waiting to be reaped?
pub fn alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(')').is_some_and(|(_, rest)| rest.starts_with(" Z")))
}
