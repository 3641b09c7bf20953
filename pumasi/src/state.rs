//! The state directory: one running Pumasi at a time, and where to reach it.

use std::{
    fs::{self, File},
    io::Read,
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

/// What a running Pumasi tells the commands that want to talk to it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Running {
    pub process: u32,
    pub version: String,
    pub console: Option<SocketAddr>,
    /// Upgrades that failed after this process had stopped for them, and why the last one did.
    #[serde(default)]
    pub taken_back: TakenBack,
}

/// See [`Running::taken_back`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenBack {
    pub count: u32,
    pub reason: String,
}

/// The directory, held by this process until it is dropped.
pub struct StateDirectory {
    pub path: PathBuf,
    /// Locked as long as it is open; the kernel unlocks it when the process is gone, however it went.
    lock: File,
}

/// Inside it; holds [`Running`] as JSON.
const LOCK: &str = "pumasi.lock";

/// Inside it; whoever can read it may change a running Pumasi. Written by the console.
pub const TOKEN: &str = "console.token";

impl StateDirectory {
    /// Makes the directory if it is missing. Errors: it cannot be made or written; another Pumasi runs in it.
    pub fn take(path: &Path) -> anyhow::Result<StateDirectory> {
        // Only for its owner: it holds the token and the databases.
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.with_context(|| format!("cannot make the state directory {} (key state, flag --state)", path.display()))?;
        let file = path.join(LOCK);
        let mut lock = fs::OpenOptions::new()
            .create(true)
            .read(true)
            .write(true)
            .truncate(false)
            .mode(0o600)
            .open(&file)
            .with_context(|| format!("cannot write {} (key state, flag --state)", file.display()))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut text = String::new();
            let _ = lock.read_to_string(&mut text);
            let who = serde_json::from_str::<Running>(&text).map_or(String::new(), |running| format!(" (process {})", running.process));
            bail!("another Pumasi{who} runs in the state directory {}. Stop it, or choose another one with --state DIR", path.display());
        }
        Ok(StateDirectory { path: path.to_owned(), lock })
    }

    /// The directory whose lock an older process has handed over: both hold it until the last of them ends.
    pub fn inherit(path: &Path, lock: File) -> StateDirectory {
        StateDirectory { path: path.to_owned(), lock }
    }

    /// To be handed over.
    pub fn lock(&self) -> BorrowedFd<'_> {
        self.lock.as_fd()
    }

    /// Tells others how to reach this process.
    pub fn announce(&mut self, console: Option<SocketAddr>, taken_back: &TakenBack) -> anyhow::Result<()> {
        let version = env!("CARGO_PKG_VERSION").into();
        let running = Running { process: std::process::id(), version, console, taken_back: taken_back.clone() };
        let text = serde_json::to_string(&running)?;
        // In one write over what was there: somebody may read it at this moment.
        let write = |lock: &mut File| {
            let before = usize::try_from(lock.metadata()?.len()).unwrap_or(0);
            lock.write_all_at(format!("{text:<before$}").as_bytes(), 0)
        };
        write(&mut self.lock).with_context(|| format!("cannot write {}", self.path.join(LOCK).display()))
    }

    /// The Pumasi that runs in the directory, if one does.
    pub fn running(path: &Path) -> Option<Running> {
        let mut lock = File::open(path.join(LOCK)).ok()?;
        if flock(&lock, FlockOperation::NonBlockingLockShared).is_ok() {
            return None;
        }
        let mut text = String::new();
        lock.read_to_string(&mut text).ok()?;
        serde_json::from_str(&text).ok()
    }
}

/// Inside it; what the console's charts show, over restarts.
pub const HISTORY: &str = "history";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_pumasi_at_a_time() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("state");
        let mut first = StateDirectory::take(&path).expect("free");
        first.announce(Some("127.0.0.1:8090".parse().expect("an address")), &TakenBack::default()).expect("writable");
        let refused = StateDirectory::take(&path).err().expect("taken").to_string();
        assert!(refused.contains(&format!("(process {})", std::process::id())), "{refused}");
        assert_eq!(StateDirectory::running(&path).expect("it runs").console, Some("127.0.0.1:8090".parse().expect("an address")));
        drop(first);
        assert!(StateDirectory::running(&path).is_none());
        StateDirectory::take(&path).expect("free again");
    }
}
