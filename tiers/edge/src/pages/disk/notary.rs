//! Who vouches for a directory of pages: a file in memory, which a killed process leaves behind and a stopped machine does not.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use pumasi_pagestore::Witness;
use ring::rand::{SecureRandom, SystemRandom};
use rustix::{
    fs::{OFlags, statfs},
    process::geteuid,
};

/// Where Linux keeps files in memory.
const MEMORY: &str = "/dev/shm";

/// What `statfs` says of a tmpfs (statfs(2)).
const TMPFS_MAGIC: i64 = 0x0102_1994;

/// What our files there are called: with the device and the number of the directory that each vouches for.
const PREFIX: &str = "pumasi-pages-";

/// The file in memory holds the same words as `run` in the directory, and the directory's path behind them; `closed` in the directory holds
/// them as well. They are new for each user of the directory, so that one that was copied back from somewhere is not taken for the one it was.
pub(super) struct Notary {
    directory: PathBuf,
    /// The file in memory and what it says, once there is a run to vouch for. None where no file can be had in memory: a directory that was
    /// not closed is not believed then.
    vouching: Mutex<Option<(PathBuf, Vec<u8>)>>,
}

impl Notary {
    pub fn of(directory: &Path) -> Notary {
        Notary { directory: directory.to_owned(), vouching: Mutex::default() }
    }

    fn file_in_memory(&self) -> io::Result<PathBuf> {
        let directory = fs::metadata(&self.directory)?;
        Ok(Path::new(MEMORY).join(format!("{PREFIX}{:x}-{:x}", directory.dev(), directory.ino())))
    }

    fn vouching(&self) -> Option<(PathBuf, Vec<u8>)> {
        self.vouching.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Witness for Notary {
    fn believed(&self) -> bool {
        let Ok(run) = fs::read(self.directory.join(RUN)) else { return false };
        let closed = fs::read(self.directory.join(CLOSED)).is_ok_and(|closed| closed == run);
        let vouched = || self.file_in_memory().and_then(|path| read_own(&path)).is_ok_and(|said| said.starts_with(&run));
        closed || vouched()
    }

    fn begin(&self) -> io::Result<()> {
        let run = words()?;
        fs::write(self.directory.join(RUN), &run)?;
        let path = self.file_in_memory()?;
        let said = [&run[..], self.directory.as_os_str().as_encoded_bytes()].concat();
        let vouching = tidy().and_then(|()| write_own(&path, &said));
        if let Err(error) = &vouching {
            tracing::info!(%error, "no file in memory: pages on disk survive a stop, not a kill");
        }
        *self.vouching.lock().unwrap_or_else(PoisonError::into_inner) = vouching.ok().map(|()| (path, said));
        match fs::remove_file(self.directory.join(CLOSED)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn vouch(&self) -> io::Result<()> {
        self.vouching().map_or(Ok(()), |(path, said)| write_own(&path, &said))
    }

    fn withdraw(&self) -> io::Result<()> {
        let Some((path, _)) = self.vouching() else { return Ok(()) };
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn close(&self) -> io::Result<()> {
        // The journals say what was purged. A page whose data did not get to the disk is told by its checksum.
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "journal") {
                fs::File::open(path)?.sync_all()?;
            }
        }
        let mut closed = fs::File::create(self.directory.join(CLOSED))?;
        closed.write_all(&fs::read(self.directory.join(RUN))?)?;
        closed.sync_all()?;
        fs::File::open(&self.directory)?.sync_all()?;
        self.withdraw()
    }

    fn disown(&self) -> io::Result<()> {
        // Without these words nothing says the same as they do, whoever writes it.
        match fs::remove_file(self.directory.join(RUN)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

// === helpers ===

/// Files of the directory.
const RUN: &str = "run";
const CLOSED: &str = "closed";

/// Words that nobody else has: 32 letters and a line's end.
fn words() -> io::Result<Vec<u8>> {
    let mut dice = [0; 16];
    SystemRandom::new().fill(&mut dice).map_err(|_| io::Error::other("no random numbers"))?;
    let letters: String = dice.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((letters + "\n").into_bytes())
}

/// Of a file that everybody may have made: only one of our own user counts.
fn read_own(path: &Path) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(OFlags::NOFOLLOW.bits() as i32).open(path)?;
    if file.metadata()?.uid() != geteuid().as_raw() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let mut said = Vec::new();
    file.take(1 << 16).read_to_end(&mut said)?;
    Ok(said)
}

/// Whole or not at all: what was there before goes first.
fn write_own(path: &Path, said: &[u8]) -> io::Result<()> {
    if statfs(MEMORY)?.f_type != TMPFS_MAGIC {
        return Err(io::Error::other("what is there is not in memory"));
    }
    let _ = fs::remove_file(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(said)
}

/// Removes what vouches for directories that are gone.
fn tidy() -> io::Result<()> {
    for entry in fs::read_dir(MEMORY)?.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let Ok(said) = read_own(&entry.path()) else { continue };
        let directory = said.iter().position(|&byte| byte == b'\n').map(|at| String::from_utf8_lossy(&said[at + 1..]).into_owned());
        if directory.is_some_and(|directory| !Path::new(&directory).exists()) {
            let _ = fs::remove_file(entry.path()); // somebody else may have been quicker
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As another process would find it.
    fn found(directory: &tempfile::TempDir) -> Notary {
        Notary::of(directory.path())
    }

    #[test]
    fn a_directory_is_believed_if_it_was_closed_or_is_vouched_for() {
        let directory = tempfile::tempdir().unwrap();
        assert!(!found(&directory).believed(), "nobody knows it");
        let notary = found(&directory);
        notary.begin().unwrap();
        assert!(found(&directory).believed(), "killed");
        notary.withdraw().unwrap();
        assert!(!found(&directory).believed(), "killed while the disk hung");
        notary.vouch().unwrap();
        assert!(found(&directory).believed());
        notary.close().unwrap();
        assert!(found(&directory).believed(), "closed");
        let file = notary.file_in_memory().unwrap();
        assert!(!file.exists(), "nothing is left in memory");
        found(&directory).begin().unwrap();
        fs::remove_file(&file).unwrap();
        assert!(!found(&directory).believed(), "the machine stopped: what was closed before is not what lies there");
    }

    #[test]
    fn a_directory_that_was_disowned_is_not_believed_whoever_has_it() {
        let directory = tempfile::tempdir().unwrap();
        let (before, after) = (found(&directory), found(&directory));
        before.begin().unwrap();
        before.close().unwrap();
        after.begin().unwrap();
        before.disown().unwrap();
        assert!(!found(&directory).believed(), "killed");
        after.vouch().unwrap();
        assert!(!found(&directory).believed(), "killed, and trusting its disk");
        assert!(after.close().is_err() && !found(&directory).believed(), "closed");
        let _ = fs::remove_file(after.file_in_memory().unwrap());
    }

    #[test]
    fn a_directory_that_was_copied_back_is_another_one() {
        let directory = tempfile::tempdir().unwrap();
        let notary = found(&directory);
        notary.begin().unwrap();
        let copied = fs::read(directory.path().join(RUN)).unwrap();
        found(&directory).begin().unwrap();
        fs::write(directory.path().join(RUN), copied).unwrap();
        assert!(!found(&directory).believed());
        let _ = fs::remove_file(notary.file_in_memory().unwrap());
    }

    #[test]
    fn what_vouches_for_nothing_goes() {
        // Both at first: a new directory may get the number of one that is gone.
        let (gone, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let notary = found(&gone);
        notary.begin().unwrap();
        let file = notary.file_in_memory().unwrap();
        gone.close().unwrap();
        found(&other).begin().unwrap();
        assert!(!file.exists());
        let _ = fs::remove_file(found(&other).file_in_memory().unwrap());
    }
}
