//! The page store's disk tier: a directory, and the threads that write and read it. What lies there and what it means is
//! `pumasi_pagestore`'s; no event loop ever waits for a file.

mod notary;

use std::{
    collections::HashMap,
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, SyncSender, TrySendError},
    },
    thread::JoinHandle,
    time::Duration,
};

use pumasi_config::DiskPlan;
use pumasi_pagestore::{Disk, File, Key, Pages};
use rustix::fs::{FlockOperation, flock};
use tokio::sync::oneshot;
use tracing::{info, warn};

use self::notary::Notary;

/// Threads that read: as many pages are on their way from a slow disk at once.
const READERS: usize = 2;

/// Pages that may wait to be read. The next request goes to the application instead.
const READS_MAX: usize = 256;

/// How long a request waits for the disk before it goes to the application.
pub(super) const READ_PATIENCE: Duration = Duration::from_millis(500);

/// How often it is tried to get a directory that another process still has.
const LOCK_RETRY: Duration = Duration::from_millis(100);

/// The threads of the disk tier. Dropping it ends them, after what is queued is written.
pub(crate) struct DiskTier {
    pages: Arc<Pages>,
    stopping: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// How the cores ask for what is on disk.
#[derive(Clone)]
pub(crate) struct Reads(Option<SyncSender<Wanted>>);

struct Wanted {
    key: Key,
    done: oneshot::Sender<bool>,
}

impl Reads {
    pub fn none() -> Reads {
        Reads(None)
    }

    /// Brings what the disk has of `key` into memory. `None`: there is nothing, or too many wait. Resolves with whether something came.
    pub fn ask(&self, pages: &Pages, key: &Key) -> Option<oneshot::Receiver<bool>> {
        let reads = self.0.as_ref().filter(|_| pages.shelved(key))?;
        let (done, asked) = oneshot::channel();
        match reads.try_send(Wanted { key: key.clone(), done }) {
            Ok(()) => Some(asked),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => None,
        }
    }
}

impl DiskTier {
    /// Reads what is there, so that it counts from the first request on, and starts the threads. A directory that cannot be used costs the disk
    /// tier, not the start; one that another process still has (an upgrade) is taken over when it lets go.
    pub fn start(plan: &DiskPlan, pages: &Arc<Pages>) -> io::Result<(DiskTier, Reads)> {
        let directory = Arc::new(Directory::new(&plan.directory));
        let stopping = Arc::new(AtomicBool::new(false));
        let (reads, wanted) = mpsc::sync_channel::<Wanted>(READS_MAX);
        let wanted = Arc::new(Mutex::new(wanted));
        let mut threads = Vec::new();
        let attached = directory.take().map(|lock| (attach(pages, &directory), lock));
        if attached.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            pages.await_shelf(); // before the first request
        }
        {
            let (pages, directory, stopping) = (pages.clone(), directory.clone(), stopping.clone());
            threads.push(thread("edge-disk".into(), move || {
                let held = match attached {
                    Ok((true, lock)) => Some(lock),
                    Ok((false, _)) => None,
                    Err(error) => wait_for_lock(&directory, &pages, &stopping, error),
                };
                if held.is_some() {
                    pages.keep_shelf(&*directory);
                }
            })?);
        }
        for number in 0..READERS {
            let (pages, directory, wanted) = (pages.clone(), directory.clone(), wanted.clone());
            threads.push(thread(format!("edge-disk-read-{number}"), move || {
                loop {
                    let next = wanted.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(Wanted { key, done }) = next else { return };
                    if !done.is_closed() {
                        let _ = done.send(pages.take_down(&key, &*directory)); // whoever asked may have given up
                    }
                }
            })?);
        }
        Ok((DiskTier { pages: pages.clone(), stopping, threads }, Reads(Some(reads))))
    }

    /// Writes what is queued and lets go of the directory; another process may take it over. Reading ends with the last [`Reads`].
    pub fn let_go(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.pages.close_shelf();
    }
}

impl Drop for DiskTier {
    fn drop(&mut self) {
        self.let_go();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn thread(name: String, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name).spawn(run)
}

/// Whether the directory can be used.
fn attach(pages: &Pages, directory: &Directory) -> bool {
    match pages.attach_shelf(directory, Arc::new(Notary::of(&directory.path))) {
        Ok(entries) => {
            info!(directory = %directory.path.display(), entries, "pages on disk are read");
            true
        }
        Err(error) => {
            warn!(directory = %directory.path.display(), %error, "pages on disk cannot be read; pages are kept in memory only");
            false
        }
    }
}

fn wait_for_lock(directory: &Directory, pages: &Pages, stopping: &AtomicBool, error: io::Error) -> Option<fs::File> {
    if error.kind() != io::ErrorKind::WouldBlock {
        warn!(directory = %directory.path.display(), %error, "pages cannot be kept on disk; they are kept in memory only");
        return None;
    }
    info!(directory = %directory.path.display(), "another process has the pages on disk; waiting until it lets go");
    let notary = Notary::of(&directory.path);
    while !stopping.load(Ordering::Relaxed) {
        std::thread::sleep(LOCK_RETRY); // a thread of its own with nothing else to do
        // A change that is confirmed now is in no journal, and must not be undone by a crash.
        pages.give_up_purged(&notary);
        if let Ok(lock) = directory.take() {
            let attached = attach(pages, directory);
            if !attached {
                pages.abandon_shelf(&notary);
            }
            return attached.then_some(lock);
        }
    }
    pages.abandon_shelf(&notary);
    None
}

// === files ===

/// The directory with its files: `pages-NUMBER.data` and `pages-NUMBER.journal`. Other files in it are left alone.
struct Directory {
    path: PathBuf,
    /// Open segments. As many as the budget is cut into.
    open: Mutex<HashMap<u64, Arc<Segment>>>,
}

struct Segment {
    data: fs::File,
    journal: fs::File,
}

impl Segment {
    fn file(&self, file: File) -> &fs::File {
        match file {
            File::Data => &self.data,
            File::Journal => &self.journal,
        }
    }
}

impl Directory {
    fn new(path: &Path) -> Directory {
        Directory { path: path.to_owned(), open: Mutex::default() }
    }

    /// Makes it ours for as long as the file lives. Errors: `WouldBlock` if another process has it.
    fn take(&self) -> io::Result<fs::File> {
        fs::create_dir_all(&self.path)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(self.path.join("lock"))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        Ok(lock)
    }

    fn path(&self, segment: u64, file: File) -> PathBuf {
        let ending = match file {
            File::Data => "data",
            File::Journal => "journal",
        };
        self.path.join(format!("pages-{segment:016x}.{ending}"))
    }

    fn segment(&self, segment: u64) -> io::Result<Arc<Segment>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = open.get(&segment) {
            return Ok(known.clone());
        }
        let file = |file| OpenOptions::new().read(true).append(true).open(self.path(segment, file));
        let opened = Arc::new(Segment { data: file(File::Data)?, journal: file(File::Journal)? });
        open.insert(segment, opened.clone());
        Ok(opened)
    }
}

impl Disk for Directory {
    fn segments(&self) -> io::Result<Vec<u64>> {
        let number = |name: &str| {
            let (number, ending) = name.strip_prefix("pages-")?.split_once('.')?;
            matches!(ending, "data" | "journal").then(|| u64::from_str_radix(number, 16).ok()).flatten()
        };
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            numbers.extend(number(&entry?.file_name().to_string_lossy()));
        }
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    }

    fn create(&self, segment: u64) -> io::Result<()> {
        let file = |file| OpenOptions::new().read(true).append(true).create_new(true).open(self.path(segment, file));
        fs::create_dir_all(&self.path)?; // somebody may have deleted it
        let opened = Segment { data: file(File::Data)?, journal: file(File::Journal)? };
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(segment, Arc::new(opened));
        Ok(())
    }

    fn append(&self, segment: u64, file: File, bytes: &[u8]) -> io::Result<()> {
        self.segment(segment)?.file(file).write_all(bytes)
    }

    fn length(&self, segment: u64, file: File) -> io::Result<u64> {
        Ok(self.segment(segment)?.file(file).metadata()?.len())
    }

    fn read(&self, segment: u64, file: File, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.segment(segment)?.file(file).read_exact_at(buffer, offset)
    }

    fn remove(&self, segment: u64) -> io::Result<()> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&segment);
        let journal = fs::remove_file(self.path(segment, File::Journal)); // first: without it the data means nothing
        fs::remove_file(self.path(segment, File::Data)).and(journal)
    }
}
