//! What tests and benches need besides a Rust toolchain: real databases, real clients, a real browser.
//!
//! Debian packages come from the machine's own package manager, drivers from the language's own. Installed once, checked every time;
//! a program that is already there under the same name is good enough.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::run::{root, run};

/// A program and the Debian package that brings it.
struct Program {
    name: &'static str,
    package: &'static str,
}

const FOR_TESTS: &[Program] = &[
    Program { name: "mariadbd", package: "mariadb-server" },
    Program { name: "mariadb", package: "mariadb-client" },
    Program { name: "ip", package: "iproute2" },
    Program { name: "redis-server", package: "redis-server" },
    Program { name: "memcached", package: "memcached" },
    Program { name: "chromium", package: "chromium" },
    Program { name: "chromedriver", package: "chromium-driver" },
    Program { name: "node", package: "nodejs" },
    Program { name: "npm", package: "npm" },
    Program { name: "python3", package: "python3-venv" },
    Program { name: "php", package: "php-cli" },
    Program { name: "java", package: "default-jdk-headless" },
    // Not programs but files: what the drivers of PHP and Java leave behind.
    Program { name: "/var/lib/dpkg/info/php-mysql.list", package: "php-mysql" },
    Program { name: "/usr/share/java/mariadb-java-client.jar", package: "libmariadb-java" },
    // mysqlclient is compiled where it is installed.
    Program { name: "mariadb_config", package: "libmariadb-dev" },
    Program { name: "pkg-config", package: "pkg-config" },
    Program { name: "python3-config", package: "python3-dev" },
];

const FOR_BENCHES: &[Program] = &[
    Program { name: "nginx", package: "nginx" },
    Program { name: "haproxy", package: "haproxy" },
    Program { name: "varnishd", package: "varnish" },
    Program { name: "wrk", package: "wrk" },
    Program { name: "h2load", package: "nghttp2-client" },
    Program { name: "sysbench", package: "sysbench" },
];

const FOR_MTR: &[Program] = &[Program { name: "/usr/share/mysql/mysql-test/mariadb-test-run.pl", package: "mariadb-test" }];

const PYTHON_PACKAGES: &[&str] =
    &["PyMySQL", "mysql-connector-python", "mysqlclient", "SQLAlchemy", "Django", "flask", "gunicorn", "grpcio"];
const NODE_PACKAGES: &[&str] = &["mysql2"];

/// Everything `cargo xtask test` uses. Errors name the program that could not be had and how to install it by hand.
pub fn for_tests() -> Result<()> {
    programs(FOR_TESTS)?;
    python_drivers()?;
    node_drivers()
}

pub fn for_benches() -> Result<()> {
    programs(FOR_TESTS)?;
    programs(FOR_BENCHES)
}

/// MariaDB's own test suite, and what it tests.
pub fn for_mtr() -> Result<()> {
    programs(FOR_TESTS)?;
    programs(FOR_MTR)
}

/// The virtual environment with the Python drivers.
pub fn python_home() -> PathBuf {
    root().join("target/test-tools/python")
}

/// The folder with the Node drivers' `node_modules`.
pub fn node_home() -> PathBuf {
    root().join("target/test-tools/node")
}

fn programs(wanted: &[Program]) -> Result<()> {
    let missing: Vec<&Program> = wanted.iter().filter(|program| find(program.name).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|program| program.package).collect();
    eprintln!("xtask: installing Debian packages: {}", packages.join(" "));
    let mut manager = package_manager(&packages)?;
    // A database that a package starts by itself would hold the port and the memory; the tests start their own.
    let policy = tempfile_policy()?;
    let updated = logged(&mut manager("update")).and_then(|()| {
        logged(manager("install").args(["-y", "--no-install-recommends"]).args(&packages).env("DEBIAN_FRONTEND", "noninteractive"))
    });
    drop(policy);
    updated.with_context(|| format!("installing {}; by hand: apt-get install {}", packages.join(" "), packages.join(" ")))?;
    match missing.iter().find(|program| find(program.name).is_none()) {
        Some(program) => bail!("{} is still not on PATH after installing {}", program.name, program.package),
        None => Ok(()),
    }
}

/// Runs a command whose thousands of lines nobody reads while all is well: into a file, the end of which an error shows.
fn logged(command: &mut Command) -> Result<()> {
    let log = root().join("target/test-tools/install.log");
    std::fs::create_dir_all(log.parent().expect("it lies in a folder"))?;
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&log).with_context(|| format!("opening {}", log.display()))?;
    let ended = run(command.stdout(file.try_clone()?).stderr(file));
    ended.with_context(|| {
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        let lines: Vec<&str> = said.lines().collect();
        format!("the whole output is in {}; its end:\n{}", log.display(), lines[lines.len().saturating_sub(20)..].join("\n"))
    })
}

/// `apt-get`, through sudo when we are not root.
fn package_manager(packages: &[&str]) -> Result<impl FnMut(&str) -> Command> {
    if find("apt-get").is_none() {
        bail!("these programs are missing and this is not a Debian system: install them by hand: {}", packages.join(" "));
    }
    let root = Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout == b"0\n");
    if !root && find("sudo").is_none() {
        bail!("run as root, or once by hand: apt-get install {}", packages.join(" "));
    }
    Ok(move |verb: &str| {
        let mut command = if root { Command::new("apt-get") } else { Command::new("sudo") };
        if !root {
            command.arg("apt-get");
        }
        command.args(["-q", verb]);
        command
    })
}

/// Tells Debian's package scripts not to start services while we install (policy-rc.d, Debian Policy 9.3.3).
/// Does nothing when we may not write there or when the machine has a policy of its own.
fn tempfile_policy() -> Result<Option<Policy>> {
    use std::os::unix::fs::PermissionsExt;
    let path = Path::new("/usr/sbin/policy-rc.d");
    if path.exists() || std::fs::write(path, "#!/bin/sh\nexit 101\n").is_err() {
        return Ok(None);
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
    Ok(Some(Policy(path.to_owned())))
}

struct Policy(PathBuf);

impl Drop for Policy {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn python_drivers() -> Result<()> {
    let home = python_home();
    let complete = home.join("complete");
    let wanted = PYTHON_PACKAGES.join(" ");
    if std::fs::read_to_string(&complete).is_ok_and(|had| had == wanted) {
        return Ok(());
    }
    eprintln!("xtask: installing Python packages: {wanted}");
    run(Command::new("python3").args(["-m", "venv"]).arg(&home)).context("making a virtual environment (Debian: python3-venv)")?;
    logged(Command::new(home.join("bin/pip")).args(["install", "-q", "--disable-pip-version-check"]).args(PYTHON_PACKAGES))?;
    Ok(std::fs::write(complete, wanted)?)
}

fn node_drivers() -> Result<()> {
    let home = node_home();
    if NODE_PACKAGES.iter().all(|package| home.join("node_modules").join(package).exists()) {
        return Ok(());
    }
    eprintln!("xtask: installing Node packages: {}", NODE_PACKAGES.join(" "));
    std::fs::create_dir_all(&home)?;
    run(Command::new("npm").args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]).arg(&home).args(NODE_PACKAGES))
}

/// The first executable of this name on PATH, or where Debian keeps servers that are not on an ordinary user's PATH.
fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}
