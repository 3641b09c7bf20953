//! The threads that open and read files.
use std::{
    fs::File,
    io,
    os::{fd::OwnedFd, unix::fs::FileExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        mpsc::{self, Receiver, SyncSender},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use pumasi_httpcache::Coding;
use rustix::{
    fs::{FileType, Mode, OFlags, ResolveFlags, fstat, open, openat, openat2},
    io::Errno,
};
use tokio::sync::oneshot;
use tracing::warn;

use super::path::Wanted;

/// Read at once: few hops between threads for a large file, and the most that a client holds of one.
pub(super) const PIECE_BYTES: u64 = 128 << 10;

/// A file up to this size is read when it is opened, by the same hop.
const WHOLE_BYTES: u64 = 64 << 10;

/// Threads: as many disk accesses are under way at once.
const THREADS: usize = 4;

/// Jobs that may wait; the next request is answered 503.
const JOBS_MAX: usize = 1024;

/// Threads that read files for all cores; started when the first file is asked for.
#[derive(Default)]
pub(crate) struct Readers(OnceLock<Option<SyncSender<Job>>>);

enum Job {
    Open { directory: PathBuf, wanted: Wanted, codings: Vec<Coding>, done: oneshot::Sender<Result<Opened, NotOpened>> },
    Read { file: Arc<File>, offset: u64, count: u64, done: oneshot::Sender<Option<Bytes>> },
}

/// An open file, as it was when it was opened.
#[derive(Debug)]
pub(crate) struct Opened {
    file: Arc<File>,
    pub length: u64,
    pub modified_s: i64,
    modified_ns: i64,
    /// When it was opened, in seconds since the Unix epoch.
    pub now_s: i64,
    /// Of the sibling that it is.
    pub coding: Option<Coding>,
    /// All of a small file.
    whole: Option<Bytes>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotOpened {
    Absent,
    /// It is one, and the name has no slash behind it.
    Directory,
    /// The disk has enough to do.
    Busy,
}

impl Readers {
    /// `None`: too many wait.
    pub fn open(&self, directory: PathBuf, wanted: Wanted, codings: Vec<Coding>) -> Option<oneshot::Receiver<Result<Opened, NotOpened>>> {
        let (done, opening) = oneshot::channel();
        self.ask(Job::Open { directory, wanted, codings, done }).then_some(opening)
    }

    /// Resolves with `None` if there are not as many bytes. `None`: too many wait.
    pub fn read(&self, opened: &Opened, offset: u64, count: u64) -> Option<oneshot::Receiver<Option<Bytes>>> {
        let (done, reading) = oneshot::channel();
        self.ask(Job::Read { file: opened.file.clone(), offset, count, done }).then_some(reading)
    }

    fn ask(&self, job: Job) -> bool {
        let jobs = self.0.get_or_init(|| start().inspect_err(|error| warn!(%error, "no threads to read files with")).ok());
        jobs.as_ref().is_some_and(|jobs| jobs.try_send(job).is_ok())
    }
}

/// They end with the sender.
fn start() -> io::Result<SyncSender<Job>> {
    let (sender, jobs) = mpsc::sync_channel(JOBS_MAX);
    let jobs = Arc::new(Mutex::new(jobs));
    for number in 0..THREADS {
        let jobs = jobs.clone();
        std::thread::Builder::new().name(format!("edge-files-{number}")).spawn(move || work(&jobs))?;
    }
    Ok(sender)
}

fn work(jobs: &Mutex<Receiver<Job>>) {
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match next {
            // Whoever asked may have left meanwhile.
            Ok(Job::Open { directory, wanted, codings, done }) => {
                if !done.is_closed() {
                    let _ = done.send(open_wanted(&directory, &wanted.path, &codings));
                }
            }
            Ok(Job::Read { file, offset, count, done }) => {
                if !done.is_closed() {
                    let _ = done.send(read(&file, offset, count).ok());
                }
            }
            Err(_) => return,
        }
    }
}

impl Opened {
    /// What was read when it was opened, if that covers it.
    pub fn ahead(&self, offset: u64, count: u64) -> Option<Bytes> {
        let end = usize::try_from(offset.checked_add(count)?).ok()?;
        self.whole.as_ref().filter(|whole| end <= whole.len()).map(|whole| whole.slice(offset as usize..end))
    }

    /// By time of change and length, the same on every machine that has the same file. Strong once the file is older than the coarsest clock
    /// of a file system: before, another change may hide behind the same time (RFC 9110 §8.8.2.2).
    pub fn etag(&self) -> String {
        let weak = if self.now_s - self.modified_s < CLOCK_S { "W/" } else { "" };
        let coding = self.coding.map_or(String::new(), |coding| format!(";{}", coding.name()));
        format!("{weak}\"{:x}-{:x}{coding}\"", self.modified_s.wrapping_mul(1_000_000_000).wrapping_add(self.modified_ns), self.length)
    }
}

/// FAT counts in twos of seconds.
const CLOCK_S: i64 = 2;

fn open_wanted(directory: &Path, path: &Path, codings: &[Coding]) -> Result<Opened, NotOpened> {
    // Each time anew: a deployment may put another directory in its place.
    let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC;
    let root = open(directory, flags, Mode::empty()).map_err(|errno| {
        warn!(directory = %directory.display(), error = %errno, "a directory of static files cannot be opened");
        NotOpened::Absent
    })?;
    for coding in codings {
        let mut name = path.as_os_str().to_owned();
        name.push(match coding {
            Coding::Gzip => ".gz",
            Coding::Brotli => ".br",
            Coding::Zstd => ".zst",
        });
        if let Ok(opened) = open_file(&root, Path::new(&name)) {
            // A sibling of nothing is not served: the plain file decides whether there is something at all.
            open_file(&root, path)?;
            return Ok(Opened { coding: Some(*coding), ..opened });
        }
    }
    open_file(&root, path)
}

fn open_file(root: &OwnedFd, path: &Path) -> Result<Opened, NotOpened> {
    // Without waiting: a FIFO has nobody at its other end.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file: File = open_beneath(root, path, flags).map_err(|_| NotOpened::Absent)?.into();
    let status = fstat(&file).map_err(|_| NotOpened::Absent)?;
    match FileType::from_raw_mode(status.st_mode) {
        FileType::RegularFile => {}
        FileType::Directory => return Err(NotOpened::Directory),
        _ => return Err(NotOpened::Absent),
    }
    let length = status.st_size as u64;
    let whole = match length <= WHOLE_BYTES {
        true => Some(read(&file, 0, length).map_err(|_| NotOpened::Absent)?),
        false => None,
    };
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
    Ok(Opened {
        file: Arc::new(file),
        length,
        modified_s: status.st_mtime as i64,
        modified_ns: status.st_mtime_nsec as i64,
        now_s,
        coding: None,
        whole,
    })
}

/// Symbolic links are followed as long as they stay below the directory; the kernel sees to it, also while somebody moves things about.
fn open_beneath(root: &OwnedFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..OPEN_TRIES {
        match openat2(root, path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN) => continue, // something was renamed meanwhile
            Err(Errno::NOSYS | Errno::PERM) => return open_without_links(root, path, flags),
            other => return other,
        }
    }
    Err(Errno::AGAIN)
}

/// How often a path is walked again because something on it moved.
const OPEN_TRIES: usize = 8;

/// Where the kernel (before 5.6) or a sandbox has no openat2: piece by piece, and no link is followed.
fn open_without_links(root: &OwnedFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let mut pieces = path.iter().peekable();
    let mut at: Option<OwnedFd> = None;
    while let Some(piece) = pieces.next() {
        let last = pieces.peek().is_none();
        let step = if last { flags | OFlags::NOFOLLOW } else { OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC };
        at = Some(openat(at.as_ref().unwrap_or(root), piece, step, Mode::empty())?);
    }
    at.ok_or(Errno::NOENT)
}

fn read(file: &File, offset: u64, count: u64) -> io::Result<Bytes> {
    let mut buffer = vec![0; count as usize];
    file.read_exact_at(&mut buffer, offset)?;
    Ok(buffer.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_only_below_the_directory() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("root");
        std::fs::create_dir_all(root.join("a")).unwrap();
        std::fs::write(home.path().join("secret"), b"secret").unwrap();
        std::fs::write(root.join("a/file"), b"file").unwrap();
        let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, root.join(name)).unwrap();
        link("a/file", "inside");
        link("../secret", "outside");
        link(home.path().join("secret").to_str().unwrap(), "absolute");
        link("..", "up");
        let found = |path: &str| open_wanted(&root, Path::new(path), &[]).map(|opened| opened.length);
        assert_eq!((found("a/file"), found("inside")), (Ok(4), Ok(4)));
        for path in ["outside", "absolute", "up/secret", "absent"] {
            assert_eq!(found(path), Err(NotOpened::Absent), "{path}");
        }
        assert_eq!(found("a"), Err(NotOpened::Directory));
        let descriptor = open(&root, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let without = |path: &str| open_without_links(&descriptor, Path::new(path), OFlags::RDONLY | OFlags::CLOEXEC);
        assert!(without("a/file").is_ok() && without("inside").is_err() && without("up/secret").is_err());
    }
}
