//! The drivers applications have, through Pumasi, in front of a real MariaDB: each tells a story of everyday use.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use pumasi_test_servers::MariaDb;

use crate::service::Service;

struct House {
    service: Service,
    database: MariaDb,
}

impl House {
    /// `keys`: further keys of `[sql.main]`.
    fn new(options: &[&str], keys: &str) -> House {
        let database = MariaDb::with(options);
        database.run("CREATE DATABASE shop CHARACTER SET utf8mb4");
        let primary = format!("mysql://root@127.0.0.1:{}/shop", database.port);
        // Few connections: drivers that open several share them.
        let toml = format!(
            "[sql.main]\nlisten = \"{{database}}\"\nprimary = \"{primary}\"\nserver_connections_max = 8\n{keys}\n[console]\nlisten = \"{{console}}\"\n"
        );
        House { service: Service::run(&toml, &[]), database }
    }

    fn address(&self) -> SocketAddr {
        self.service.database()
    }

    fn tell(&self, program: &str, arguments: &[&str], table: &str) {
        tell(self.address(), program, arguments, "shop", table);
    }

    fn mariadb(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(program);
        command.args(["--no-defaults", "--protocol=tcp", "--host=127.0.0.1", "--user=root", "--port", &self.address().port().to_string()]);
        command.args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error} (cargo xtask install)"))
    }
}

/// `program arguments... HOST PORT DATABASE TABLE`.
pub fn tell(address: SocketAddr, program: &str, arguments: &[&str], database: &str, table: &str) {
    let mut command = Command::new(program);
    command.args(arguments).args([&address.ip().to_string(), &address.port().to_string(), database, table]);
    if let Ok(modules) = std::env::var("PUMASI_TEST_NODE_PATH") {
        command.env("NODE_PATH", modules);
    }
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error} (cargo xtask install)"));
    assert!(output.status.success() && said(&output).trim_end().ends_with("told"), "{command:?}\n{}", said(&output));
}

pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

pub fn story(name: &str) -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("it/clients").join(name).display().to_string()
}

pub fn python() -> String {
    std::env::var("PUMASI_TEST_PYTHON").unwrap_or_else(|_| "python3".into())
}

#[test]
fn python_tells_its_stories_through_a_real_server() {
    let house = House::new(&[], "");
    for driver in ["pymysql", "MySQLdb", "mysql.connector"] {
        house.tell(&python(), &[&story("story.py"), driver], "story");
    }
    for mapper in ["sqlalchemy", "django"] {
        house.tell(&python(), &[&story("orm.py"), mapper], "orm");
    }
}

#[test]
fn node_php_and_java_tell_their_stories_through_a_real_server() {
    let house = House::new(&[], "");
    house.tell("node", &[&story("story.js")], "story");
    house.tell("php", &[&story("story.php")], "story");
    house.tell("java", &["-cp", "/usr/share/java/mariadb-java-client.jar", &story("Story.java")], "story");
}

#[test]
fn a_dump_through_the_proxy_is_the_database() {
    let house = House::new(&[], "");
    house.database.run_in(
        "shop",
        "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(50), raw LONGBLOB); \
         INSERT INTO t (name, raw) SELECT CONCAT('가나', seq), REPEAT(CHAR(seq % 256), 1000) FROM seq_1_to_3000; \
         CREATE VIEW v AS SELECT COUNT(*) AS n FROM t; CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.name = UPPER(NEW.name)",
    );
    let dump = house.mariadb("mariadb-dump", &["--single-transaction", "--routines", "--triggers", "--hex-blob", "shop"]);
    assert!(dump.status.success(), "{}", said(&dump));
    house.database.run("CREATE DATABASE copy CHARACTER SET utf8mb4");
    let file = house.service.home.path().join("dump.sql");
    std::fs::write(&file, &dump.stdout).expect("written");
    let loaded = house.mariadb("mariadb", &["copy", "--execute", &format!("source {}", file.display())]);
    assert!(loaded.status.success(), "{}", said(&loaded));
    let sums = house.database.run("CHECKSUM TABLE shop.t, copy.t");
    let sums: Vec<&str> = sums.lines().filter_map(|line| line.split('\t').nth(1)).collect();
    assert_eq!(sums[0], sums[1]);
    assert_eq!(house.database.run("SELECT n FROM copy.v"), "3000");
}

/// A certificate for 127.0.0.1 that is its own authority, as `chain.pem` and `key.pem`.
fn certificate(directory: &Path) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    std::fs::write(directory.join("chain.pem"), made.cert.pem()).expect("written");
    std::fs::write(directory.join("key.pem"), made.signing_key.serialize_pem()).expect("written");
}

#[test]
fn encrypted_and_compressed_on_either_side() {
    let files = tempfile::tempdir().expect("a folder");
    certificate(files.path());
    let path = |name: &str| files.path().join(name).display().to_string();
    let (chain, key) = (path("chain.pem"), path("key.pem"));
    let server = [format!("--ssl-cert={chain}"), format!("--ssl-key={key}"), format!("--ssl-ca={chain}")];
    let server: Vec<&str> = server.iter().map(String::as_str).collect();
    let tls = format!("tls_chain = \"{chain}\"\ntls_key = \"{key}\"\ntls_required = true\n");
    for keys in [
        "server_tls = \"encrypted\"\nserver_compression = true\n".to_owned(),
        format!("server_tls = \"verified\"\nserver_authorities = \"{chain}\"\n"),
    ] {
        let house = House::new(&server, &(keys.clone() + &tls));
        let ca = format!("--ssl-ca={chain}");
        let ask = |arguments: &[&str], sql: &str| {
            house.mariadb("mariadb", &[arguments, &["--database=shop", "--batch", "--skip-column-names", "-e", sql]].concat())
        };
        let plain = ask(&["--skip-ssl"], "SELECT 1");
        assert!(said(&plain).contains("insecure transport"), "{}", said(&plain));
        for arguments in [&["--ssl", &ca, "--ssl-verify-server-cert"][..], &["--ssl", &ca, "--compress"]] {
            let answer = ask(arguments, "SHOW SESSION STATUS WHERE Variable_name IN ('Ssl_version', 'Compression')");
            let compressed = if keys.contains("compression") { "ON" } else { "OFF" };
            assert_eq!(said(&answer).trim(), format!("Compression\t{compressed}\nSsl_version\tTLSv1.3"), "what the server sees");
            // Rows that fill many frames, a statement that does, several results, and a value over 16 MiB.
            let large = ask(
                arguments,
                "SELECT LENGTH(GROUP_CONCAT(x)) FROM (SELECT REPEAT(seq, 100) x FROM seq_1_to_1000) t; SELECT SHA1(REPEAT('a', 20000000)), SHA1(REPEAT(CHAR(0x41), 100))",
            );
            assert!(large.status.success(), "{}", said(&large));
            let rows = ask(arguments, "SELECT seq, REPEAT(MD5(seq), 30) FROM seq_1_to_20000");
            assert_eq!(rows.stdout.iter().filter(|byte| **byte == b'\n').count(), 20_000);
            let big = ask(&[arguments, &["--max-allowed-packet=64M"]].concat(), "SELECT REPEAT('x', 17000000)");
            assert_eq!(big.stdout.len(), 17_000_001, "{}", String::from_utf8_lossy(&big.stderr));
            let file = files.path().join("in.sql");
            std::fs::write(&file, format!("SELECT LENGTH('{}');", "y".repeat(17_000_000))).expect("written");
            let back = ask(&[arguments, &["--max-allowed-packet=64M"]].concat(), &format!("source {}", file.display()));
            assert_eq!(said(&back).trim(), "17000000");
        }
    }
    // A server that shows what nobody vouches for.
    let other = tempfile::tempdir().expect("a folder");
    certificate(other.path());
    let stranger = format!("server_tls = \"verified\"\nserver_authorities = \"{}\"\n", other.path().join("chain.pem").display());
    let house = House::new(&server, &stranger);
    let refused = house.mariadb("mariadb", &["--skip-ssl", "-e", "SELECT 1"]);
    assert!(said(&refused).contains("1429"), "{}", said(&refused));
}

/// By its shape: what a user typed into it does not get into the log.
#[test]
fn a_slow_statement_is_logged_without_its_values() {
    let mut house = House::new(&[], "slow_log = \"300ms\"");
    let asked = house.mariadb("mariadb", &["-N", "-eSELECT 'secret', SLEEP(0.4); SELECT 'quick'"]);
    assert!(asked.status.success(), "{}", said(&asked));
    house.service.wait_until("it is logged", |service| service.said().contains("slow statement"));
    let log = house.service.said();
    let slow: Vec<&str> = log.lines().filter(|line| line.contains("slow statement")).collect();
    assert!(slow.len() == 1 && slow[0].contains("SELECT ?, SLEEP(?)") && slow[0].contains("rows=1"), "{log}");
    assert!(!log.contains("secret"), "{log}");
}
