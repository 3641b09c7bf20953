//! A mariadbd of the test's own: in a directory of its own, on a free port, gone with the value.

use std::{
    io::Write,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// A first start writes its system tables and logs; on a busy machine that takes a while.
const START_TIMEOUT: Duration = Duration::from_secs(90);

pub struct MariaDb {
    process: Child,
    directory: TempDir,
    pub port: u16,
}

impl MariaDb {
    pub fn start() -> MariaDb {
        let directory = TempDir::new().expect("a directory");
        let data = directory.path().join("data");
        // Its own, because a server that starts removes the temporary tables it finds, those of others that run beside it as well.
        let tmpdir = format!("--tmpdir={}", directory.path().display());
        let installed = Command::new("mariadb-install-db")
            .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", "--user=root"])
            .args(["--innodb-log-file-size=8M", "--innodb-buffer-pool-size=16M"])
            .args([format!("--datadir={}", data.display()), tmpdir.clone()])
            .output()
            .expect("mariadb-install-db is installed");
        assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
        // Nobody else takes the port between here and the server's bind, unless by chance.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port();
        let log = std::fs::File::create(directory.path().join("log")).expect("a log");
        let process = Command::new("mariadbd")
            .args(["--no-defaults", "--user=root", "--bind-address=127.0.0.1", "--skip-name-resolve", "--character-set-server=utf8mb4"])
            .args([
                "--innodb-buffer-pool-size=16M",
                "--innodb-log-file-size=8M",
                "--innodb-flush-log-at-trx-commit=0",
                "--max-connections=100",
            ])
            .args(["--max-allowed-packet=64M", "--local-infile=1"])
            .args([format!("--port={port}"), tmpdir])
            .arg(format!("--datadir={}", data.display()))
            .arg(format!("--socket={}", socket(directory.path())))
            .arg(format!("--pid-file={}", directory.path().join("pid").display()))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("mariadbd is installed");
        let server = MariaDb { process, directory, port };
        let deadline = Instant::now() + START_TIMEOUT;
        while !server.client("SELECT 1").0 {
            assert!(Instant::now() < deadline, "mariadbd does not start: {}", server.log());
            std::thread::park_timeout(Duration::from_millis(50));
        }
        server
    }

    /// Runs statements as root, past the proxy.
    pub fn run(&self, sql: &str) -> String {
        let (ok, output) = self.client(sql);
        assert!(ok, "{sql}: {output}");
        output
    }

    /// A number of SHOW GLOBAL STATUS.
    pub fn status(&self, name: &str) -> u64 {
        let row = self.run(&format!("SHOW GLOBAL STATUS LIKE '{name}'"));
        row.split_whitespace().next_back().and_then(|value| value.parse().ok()).expect("a number")
    }

    fn client(&self, sql: &str) -> (bool, String) {
        let mut client = Command::new("mariadb")
            .args(["--no-defaults", "-uroot", "-N", "-B", "--socket", &socket(self.directory.path())])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the mariadb client is installed");
        // The client may be gone before it has read: then its output says why.
        let _ = client.stdin.take().expect("piped").write_all(sql.as_bytes());
        let output = client.wait_with_output().expect("it ends");
        (
            output.status.success(),
            String::from_utf8_lossy(if output.status.success() { &output.stdout } else { &output.stderr }).into_owned(),
        )
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn socket(directory: &Path) -> String {
    directory.join("s").display().to_string()
}
