//! The shelf: stored pages on disk, for when memory is too small or the program starts again. A log of segments, oldest first to go.
//!
//! ```text
//! store --> offer --> [queue] --> keep (a thread): data file, then journal, then index
//! miss  --> shelved? --> take_down (a thread): index --> data file, checked --> memory, as if it had just been fetched
//! purge --> [queue] --> journal: what a purge named stays purged over a restart
//! start --> attach: the journals, newest first; a page counts unless something newer replaced or purged it
//! ```
//! The parts: `keeper` writes, `taking` reads back, `past` reads what a former life left, `sweep` compares what lies there with purged patterns,
//! `record` knows the bytes. The disk comes in as a [`Disk`]; nothing here opens a file. Every error costs hits and nothing else: a segment that cannot be written is left
//! as it is, a page that cannot be read is forgotten, a purge that cannot be written empties the shelf.
//!
//! **Invariant:** only pages that headers allow to keep lie here, never automatic ones: what those were made of is not known after a restart.
//!
//! **Invariant:** what lies here is believed at a start only if somebody vouches for it (`witness`): no purge was confirmed that is not in a journal.
//!
//! **Invariant:** data before journal before index: what the index or a journal names was written whole (and is checked again when read).
//!
//! **Invariant:** the files never take more than the budget; the index and the queue never more than [`Shelf::memory_bytes`].
mod keeper;
mod past;
mod record;
mod sweep;
mod taking;
mod witness;

use std::{
    collections::VecDeque,
    hash::Hasher,
    io,
    sync::{
        Arc, Condvar, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use hashbrown::HashTable;

pub use self::record::Purged;
pub use self::witness::Witness;
use crate::{Key, Page, Pages, lock, tickets::Tickets};

/// Where the shelf's files are. Calls block; each file is only ever appended to, read, or removed.
pub trait Disk {
    /// Numbers of the segments that are there, in any order.
    fn segments(&self) -> io::Result<Vec<u64>>;
    /// A new segment: two empty files.
    fn create(&self, segment: u64) -> io::Result<()>;
    fn append(&self, segment: u64, file: File, bytes: &[u8]) -> io::Result<()>;
    fn length(&self, segment: u64, file: File) -> io::Result<u64>;
    /// Fills `buffer`. Errors: also if there are not as many bytes.
    fn read(&self, segment: u64, file: File, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
    fn remove(&self, segment: u64) -> io::Result<()>;
}

/// The two files of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum File {
    Data,
    Journal,
}

/// The disk tier of a page store.
pub(crate) struct Shelf {
    budget_bytes: u64,
    entries_max: usize,
    queue_bytes_max: u64,
    state: Mutex<State>,
    bell: Condvar,
    hits: AtomicU64,
    errors: AtomicU64,
    corrupt: AtomicU64,
    /// There since the shelf was attached.
    witness: OnceLock<Arc<dyn Witness>>,
}

struct State {
    /// Its files may be used: from [`Pages::attach_shelf`] to [`Pages::close_shelf`].
    open: bool,
    /// Another process has its files, and this one will: [`Pages::await_shelf`]. What is purged meanwhile is in no journal.
    awaited: bool,
    /// By the key's hash.
    index: HashTable<Place>,
    /// Oldest first. The last one is written to, if `writing`.
    segments: VecDeque<Segment>,
    writing: bool,
    /// The largest number a segment ever had.
    last_number: u64,
    queue: VecDeque<Job>,
    queue_bytes: u64,
    tickets: Tickets,
    /// After an error so many pages are not even tried, twice as many after the next.
    skip: u32,
    skip_next: u32,
    /// Patterns with this number or a smaller one name nothing in the index.
    swept: u64,
    /// Nobody vouches for what lies here until so many jobs are done; for good, if it says `u64::MAX`.
    unvouched: Option<u64>,
}

/// Where a page lies.
#[derive(Clone, Copy, Debug)]
struct Place {
    hash: u64,
    variant: u64,
    segment: u64,
    offset: u64,
    /// Purges with a larger number came later: see [`Marks`].
    sequence: u64,
    head_bytes: u32,
    body_bytes: u32,
    head_crc: u32,
    body_crc: u32,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    number: u64,
    data_bytes: u64,
    journal_bytes: u64,
}

impl Segment {
    fn bytes(&self) -> u64 {
        self.data_bytes + self.journal_bytes
    }
}

enum Job {
    /// With what it counts for in the queue: a page grows when it gets another form.
    Page(Key, Arc<Page>, u64),
    /// With the hash of the one key it is about, if it is.
    Purge(Purged, Option<u64>),
}

/// What the disk tier holds and has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShelfStatus {
    pub entries: u64,
    pub bytes: u64,
    pub bytes_max: u64,
    /// Pages read back that were usable.
    pub hits: u64,
    /// Writes and reads that failed.
    pub errors: u64,
    /// Pages that were not what was written.
    pub corrupt: u64,
}

impl Shelf {
    /// Takes a sixteenth of `memory_bytes` for the index and at most as much for the queue.
    pub fn new(budget_bytes: u64, memory_bytes: u64) -> Shelf {
        let share = memory_bytes / 16;
        // A table of 2^k slots holds 7/8 as many entries; it is made at once and never grows.
        let slots = (share / (size_of::<Place>() as u64 + 1)).clamp(16, SLOTS_MAX);
        let entries_max = ((1usize << slots.ilog2()) / 8) * 7;
        Shelf {
            budget_bytes,
            entries_max,
            queue_bytes_max: share.min(QUEUE_BYTES_MAX),
            state: Mutex::new(State::new(0)),
            bell: Condvar::new(),
            hits: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            corrupt: AtomicU64::new(0),
            witness: OnceLock::new(),
        }
    }

    /// Memory set aside for the index and the queue.
    pub fn memory_bytes(&self) -> u64 {
        let slots = (self.entries_max / 7 * 8) as u64;
        slots * (size_of::<Place>() as u64 + 1) + self.queue_bytes_max
    }

    pub fn status(&self) -> ShelfStatus {
        let state = lock(&self.state);
        ShelfStatus {
            entries: state.index.len() as u64,
            bytes: state.segments.iter().map(Segment::bytes).sum(),
            bytes_max: self.budget_bytes,
            hits: self.hits.load(Relaxed),
            errors: self.errors.load(Relaxed),
            corrupt: self.corrupt.load(Relaxed),
        }
    }

    /// A page to be written, if there is time.
    pub fn offer(&self, key: &Key, page: &Arc<Page>) {
        let bytes = page.weight();
        let mut state = lock(&self.state);
        if !state.open {
            return;
        }
        // The older version is no longer the page, whether this one gets there or not.
        state.forget_variant(key.hash, variant_of(page));
        if state.queue_bytes + bytes > self.queue_bytes_max {
            return;
        }
        state.queue_bytes += bytes;
        state.push(Job::Page(key.clone(), page.clone(), bytes));
        self.bell.notify_one();
    }

    /// Forgets all of one target, on disk as well if something of it is or may come there: then with the number of a ticket.
    pub fn forget(&self, key: &Key) -> Option<u64> {
        let mut state = lock(&self.state);
        let there = state.forget_all(key.hash);
        let coming = !state.tickets.all_done();
        (state.awaited || state.open && (there || coming))
            .then(|| self.push_purge(&mut state, Purged::Target(key.bytes.clone()), Some(key.hash)))
    }

    /// A purge that the index cannot tell whom it concerns; look-ups find out by the marks.
    pub fn purge(&self, purged: Purged) -> Option<u64> {
        let mut state = lock(&self.state);
        let nothing = state.index.is_empty() && state.tickets.all_done();
        (state.awaited || state.open && !nothing).then(|| self.push_purge(&mut state, purged, None))
    }

    fn push_purge(&self, state: &mut State, purged: Purged, hash: Option<u64>) -> u64 {
        self.bell.notify_one();
        state.push(Job::Purge(purged, hash))
    }

    /// Ready once what the ticket stands for is written (or everything on disk is gone, which is as good).
    pub fn poll_done(&self, number: u64, context: &mut Context<'_>) -> Poll<()> {
        lock(&self.state).tickets.poll(number, context)
    }

    /// Blocks until the ticket is done, or `patience` has passed and a crash could not bring back what it names.
    pub fn wait_done(&self, number: u64, patience: Duration) {
        loop {
            let state = lock(&self.state);
            let waited = self.bell.wait_timeout_while(state, patience, |state| !state.tickets.done(number));
            let late = waited.is_ok_and(|(_, waited)| waited.timed_out());
            if !late || self.confirm_before(number) {
                return;
            }
        }
    }
}

impl State {
    fn new(entries_max: usize) -> State {
        State {
            open: false,
            awaited: false,
            index: HashTable::with_capacity(entries_max),
            segments: VecDeque::new(),
            last_number: 0,
            writing: false,
            queue: VecDeque::new(),
            queue_bytes: 0,
            tickets: Tickets::default(),
            skip: 0,
            skip_next: 1,
            swept: 0,
            unvouched: None,
        }
    }

    fn push(&mut self, job: Job) -> u64 {
        self.queue.push_back(job);
        self.tickets.give()
    }

    fn put(&mut self, place: Place) {
        self.forget_variant(place.hash, place.variant);
        self.index.insert_unique(place.hash, place, |place| place.hash);
    }

    fn forget_variant(&mut self, hash: u64, variant: u64) {
        if let Ok(found) = self.index.find_entry(hash, |place| place.hash == hash && place.variant == variant) {
            found.remove();
        }
    }

    /// Whether there was anything.
    fn forget_all(&mut self, hash: u64) -> bool {
        let before = self.index.len();
        while let Ok(found) = self.index.find_entry(hash, |place| place.hash == hash) {
            found.remove();
        }
        self.index.len() < before
    }

    fn bytes(&self) -> u64 {
        self.segments.iter().map(Segment::bytes).sum()
    }

    fn grow(&mut self, segment: u64, data_bytes: u64, journal_bytes: u64) {
        if let Some(segment) = self.segments.iter_mut().find(|other| other.number == segment) {
            segment.data_bytes += data_bytes;
            segment.journal_bytes += journal_bytes;
        }
    }
}

impl Pages {
    /// Reads what a former life of the program left, so that it is there from the first request on. Call before the first look-up; later, what
    /// is there is thrown away if anything was purged meanwhile. Returns how many pages there are.
    ///
    /// Errors: the disk's. Then there is no disk tier.
    pub fn attach_shelf(&self, disk: &impl Disk, witness: Arc<dyn Witness>) -> io::Result<usize> {
        match &self.shelf {
            Some(shelf) => shelf.attach(disk, witness, &self.keys, &self.marks),
            None => Ok(0),
        }
    }

    /// Writes pages and purges to `disk` until [`Pages::close_shelf`]. Blocks: give it a thread.
    pub fn keep_shelf(&self, disk: &impl Disk) {
        if let Some(shelf) = &self.shelf {
            shelf.keep(disk, &self.keys, &self.marks, |key, page| self.purged_since(key, page));
        }
    }

    /// The disk is somebody else's from now on: what is queued is still written, and [`Pages::keep_shelf`] returns.
    pub fn close_shelf(&self) {
        if let Some(shelf) = &self.shelf {
            lock(&shelf.state).open = false;
            shelf.bell.notify_all();
        }
    }

    /// Another process still has the files: until [`Pages::attach_shelf`], what is purged here waits for [`Pages::give_up_purged`].
    pub fn await_shelf(&self) {
        if let Some(shelf) = &self.shelf {
            lock(&shelf.state).awaited = true;
        }
    }

    /// If anything was purged while the files are another process's: has `witness` disown them, so that they are believed by nobody, and lets whoever
    /// waits go on. Blocks on the disk: for the thread that waits for the files.
    pub fn give_up_purged(&self, witness: &dyn Witness) {
        let Some(shelf) = &self.shelf else { return };
        let jobs = lock(&shelf.state).queue.drain(..).count() as u64;
        if jobs == 0 {
            return;
        }
        if let Err(error) = witness.disown() {
            tracing::warn!(%error, "the pages on disk could not be disowned: one from before a confirmed change may come back");
        }
        lock(&shelf.state).tickets.finish(jobs);
        shelf.bell.notify_all();
    }

    /// Nobody waits for the files any more.
    pub fn abandon_shelf(&self, witness: &dyn Witness) {
        if let Some(shelf) = &self.shelf {
            lock(&shelf.state).awaited = false;
        }
        self.give_up_purged(witness);
    }

    /// What the disk tier holds; `None` if there is none.
    pub fn shelf_status(&self) -> Option<ShelfStatus> {
        self.shelf.as_ref().map(Shelf::status)
    }

    fn purged_since(&self, key: &Key, page: &Page) -> bool {
        self.purged(page) || self.marks.pattern_overtook(&key.bytes, page.sequence)
    }
}

// === helpers ===

/// A segment is no larger: its journal is read whole.
const SEGMENT_MAX: u64 = 256 << 20;

/// Slots of the index at most, some 80 MiB: dropping a segment looks at each, while look-ups wait.
const SLOTS_MAX: u64 = 1 << 20;

/// Pages waiting to be written, at most: a disk that is slower than that is left behind.
const QUEUE_BYTES_MAX: u64 = 32 << 20;

/// The same in every process: fixed keys.
fn variant_of(page: &Page) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    for name in &page.vary {
        hasher.write(name);
        hasher.write_u8(b'\n');
    }
    hasher.write(&page.selection);
    hasher.finish()
}

#[cfg(test)]
mod tests;
