//! The shelf: stored pages on disk, for when memory is too small or the program starts again. A log of segments, oldest first to go.
//!
//! ```text
//! store --> offer --> [queue] --> keep (a thread): data file, then journal, then index
//! miss  --> shelved? --> take_down (a thread): index --> data file, checked --> memory, as if it had just been fetched
//! purge --> [queue] --> journal: what a purge named stays purged over a restart
//! start --> attach: the journals, newest first; a page counts unless something newer replaced or purged it
//! ```
//! The disk comes in as a [`Disk`]; nothing here opens a file. Every error costs hits and nothing else: a segment that cannot be written is left
//! as it is, a page that cannot be read is forgotten, a purge that cannot be written empties the shelf.
//!
//! **Invariant:** only pages that headers allow to keep lie here, never automatic ones: what those were made of is not known after a restart.
//!
//! **Invariant:** what lies here is believed at a start only if somebody vouches for it (`witness`): no purge was confirmed that is not in a journal.
//!
//! **Invariant:** data before journal before index: what the index or a journal names was written whole (and is checked again when read).
//!
//! **Invariant:** the files never take more than the budget; the index and the queue never more than [`Shelf::memory_bytes`].
mod record;
mod sweep;
mod witness;

use std::{
    collections::{HashSet, VecDeque},
    hash::Hasher,
    io,
    sync::{
        Arc, Condvar, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use hashbrown::HashTable;

pub(crate) use self::record::Purged;
use self::record::{Event, Located, MAGIC};
pub use self::witness::Witness;
use crate::{
    Key, Keys, Page, Pages, lock,
    marks::{Mark, Marks},
    purge::Pattern,
};

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
    /// By the key's hash.
    index: HashTable<Place>,
    /// Oldest first. The last one is written to, if `writing`.
    segments: VecDeque<Segment>,
    writing: bool,
    /// The largest number a segment ever had.
    last_number: u64,
    queue: VecDeque<Job>,
    queue_bytes: u64,
    /// Jobs ever queued and ever done: a ticket is a count that `done` has to reach.
    queued: u64,
    done: u64,
    waiting: Vec<Waker>,
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

/// A purge on its way to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

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

    /// Forgets all of one target, on disk as well if something of it is or may come there.
    pub fn forget(&self, key: &Key) -> Option<Ticket> {
        let mut state = lock(&self.state);
        let there = state.forget_all(key.hash);
        let coming = state.done < state.queued;
        (state.open && (there || coming)).then(|| self.push_purge(&mut state, Purged::Target(key.bytes.clone()), Some(key.hash)))
    }

    /// A purge that the index cannot tell whom it concerns; look-ups find out by the marks.
    pub fn purge(&self, purged: Purged) -> Option<Ticket> {
        let mut state = lock(&self.state);
        let nothing = state.index.is_empty() && state.done == state.queued;
        (state.open && !nothing).then(|| self.push_purge(&mut state, purged, None))
    }

    fn push_purge(&self, state: &mut State, purged: Purged, hash: Option<u64>) -> Ticket {
        state.push(Job::Purge(purged, hash));
        self.bell.notify_one();
        Ticket(state.queued)
    }

    /// Ready once what the ticket stands for is written (or everything on disk is gone, which is as good).
    pub fn poll_done(&self, ticket: Ticket, context: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        if !state.open || state.done >= ticket.0 {
            return Poll::Ready(());
        }
        if !state.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
            state.waiting.push(context.waker().clone());
        }
        Poll::Pending
    }

    /// Blocks until the ticket is done, or `patience` has passed and a crash could not bring back what it names.
    pub fn wait_done(&self, ticket: Ticket, patience: Duration) {
        loop {
            let state = lock(&self.state);
            let waited = self.bell.wait_timeout_while(state, patience, |state| state.open && state.done < ticket.0);
            let late = waited.is_ok_and(|(_, waited)| waited.timed_out());
            if !late || self.confirm_before(ticket) {
                return;
            }
        }
    }

    /// Where something of this key may lie that is not among `known`, the variants in memory; and the number up to which patterns do not name
    /// it.
    fn places(&self, key: &Key, known: &[u64]) -> (Vec<Place>, u64) {
        let state = lock(&self.state);
        if !state.open {
            return (Vec::new(), 0);
        }
        let of_key = state.index.iter_hash(key.hash).filter(|place| place.hash == key.hash && !known.contains(&place.variant));
        (of_key.copied().collect(), state.swept)
    }

    fn lose(&self, lost: &Place) {
        let is = |place: &Place| (place.segment, place.offset) == (lost.segment, lost.offset);
        if let Ok(found) = lock(&self.state).index.find_entry(lost.hash, is) {
            found.remove();
        }
    }

    // === writing ===

    /// Does jobs until the shelf is closed and the queue is done. Blocks: give it a thread.
    fn keep(&self, disk: &impl Disk, keys: &Keys, marks: &Marks, gone: impl Fn(&Key, &Page) -> bool) {
        loop {
            let mut state = lock(&self.state);
            while state.queue.is_empty() {
                if !state.open {
                    drop(state);
                    return self.close();
                }
                state = self.bell.wait_timeout(state, LOOK_UP).map_or_else(|poison| poison.into_inner().0, |(state, _)| state);
            }
            drop(state);
            self.do_jobs(disk, keys, marks, &gone);
        }
    }

    /// Does what is queued. `gone`: a purge that came before the page was queued, and so said nothing to the disk.
    fn do_jobs(&self, disk: &impl Disk, keys: &Keys, marks: &Marks, gone: &impl Fn(&Key, &Page) -> bool) {
        loop {
            let Some(job) = lock(&self.state).queue.pop_front() else { return };
            match &job {
                Job::Page(key, page, _) if gone(key, page) => {}
                Job::Page(key, page, _) => self.write_page(disk, key, page, gone),
                Job::Purge(purged, hash) => self.write_purge(disk, purged.clone(), *hash),
            }
            let mut state = lock(&self.state);
            if let Job::Page(_, _, bytes) = job {
                state.queue_bytes -= bytes;
            }
            state.done += 1;
            self.vouch_again(&mut state);
            state.waiting.drain(..).for_each(Waker::wake);
            drop(state);
            self.bell.notify_all();
            self.sweep(disk, keys, marks);
        }
    }

    fn write_page(&self, disk: &impl Disk, key: &Key, page: &Page, gone: &impl Fn(&Key, &Page) -> bool) {
        {
            let mut state = lock(&self.state);
            if state.skip > 0 {
                state.skip -= 1;
                return;
            }
        }
        let head = record::write_head(&key.bytes, page);
        let located = Located {
            offset: 0,
            head_bytes: head.len() as u32,
            body_bytes: page.body.len() as u32,
            head_crc: record::crc(&head),
            body_crc: record::crc(&page.body),
            variant: variant_of(page),
            key: key.bytes.to_vec(),
            tags: page.tags.iter().map(|tag| tag.to_vec()).collect(),
        };
        let bytes = [&head, &page.body[..]].concat();
        match self.append_page(disk, located, &bytes) {
            Ok(Some((segment, located))) => {
                while lock(&self.state).index.len() >= self.entries_max && self.drop_oldest(disk) {}
                let purged = gone(key, page);
                let mut state = lock(&self.state);
                state.skip_next = 1;
                // Its segment may have gone to make that room. What is purged from here on the marks know.
                if !purged && state.segments.iter().any(|other| other.number == segment) {
                    state.put(located.place(key.hash, segment, page.sequence));
                }
            }
            Ok(None) => {}
            Err(error) => self.failed(disk, error),
        }
    }

    fn append_page(&self, disk: &impl Disk, located: Located, bytes: &[u8]) -> io::Result<Option<(u64, Located)>> {
        let journal_bytes = record::write_event(&Event::Page(located.clone())).len() as u64;
        let Some(segment) = self.room(disk, bytes.len() as u64 + journal_bytes)? else { return Ok(None) };
        let located = Located { offset: segment.data_bytes, ..located };
        disk.append(segment.number, File::Data, bytes)?;
        let journal = record::write_event(&Event::Page(located.clone()));
        lock(&self.state).grow(segment.number, bytes.len() as u64, 0);
        disk.append(segment.number, File::Journal, &journal)?;
        lock(&self.state).grow(segment.number, 0, journal.len() as u64);
        Ok(Some((segment.number, located)))
    }

    fn write_purge(&self, disk: &impl Disk, purged: Purged, hash: Option<u64>) {
        let journal = record::write_event(&Event::Purge(purged));
        let written = self.room(disk, journal.len() as u64).and_then(|segment| {
            let segment = segment.ok_or(io::ErrorKind::StorageFull)?;
            disk.append(segment.number, File::Journal, &journal)?;
            lock(&self.state).grow(segment.number, 0, journal.len() as u64);
            Ok(())
        });
        match written {
            // Once more: an older version may have been written since it was forgotten.
            Ok(()) => drop(hash.map(|hash| lock(&self.state).forget_all(hash))),
            Err(error) => {
                // It must not come back with the next start: better nothing than that.
                self.failed(disk, error);
                while self.drop_oldest(disk) {}
            }
        }
    }

    /// The segment that takes `bytes` more: the one at hand, or a new one; the oldest ones go if the budget says so. `None`: it is too much.
    fn room(&self, disk: &impl Disk, bytes: u64) -> io::Result<Option<Segment>> {
        let segment_max = (self.budget_bytes / SEGMENTS).clamp(SEGMENT_MIN, SEGMENT_MAX);
        let with_magic = bytes + MAGIC.len() as u64;
        if with_magic > segment_max.min(self.budget_bytes) {
            return Ok(None);
        }
        while lock(&self.state).bytes() + with_magic > self.budget_bytes && self.drop_oldest(disk) {}
        let number = {
            let state = lock(&self.state);
            let last = state.segments.back();
            match last {
                Some(segment) if state.writing && segment.bytes() + bytes <= segment_max => return Ok(Some(*segment)),
                _ => last.map_or(0, |segment| segment.number).max(state.last_number) + 1,
            }
        };
        lock(&self.state).last_number = number;
        disk.create(number)?;
        disk.append(number, File::Journal, MAGIC)?;
        let segment = Segment { number, data_bytes: 0, journal_bytes: MAGIC.len() as u64 };
        let mut state = lock(&self.state);
        state.segments.push_back(segment);
        state.writing = true;
        Ok(Some(segment))
    }

    /// The segment at hand may be torn at its end: it is not written to again. On a full disk the oldest one makes room.
    fn failed(&self, disk: &impl Disk, error: io::Error) {
        if self.errors.fetch_add(1, Relaxed).is_multiple_of(ERRORS_PER_WARNING) {
            tracing::warn!(%error, "pages cannot be written to disk; they are kept in memory only");
        }
        let last = {
            let mut state = lock(&self.state);
            state.writing = false;
            (state.skip, state.skip_next) = (state.skip_next, (state.skip_next * 2).min(SKIP_MAX));
            state.segments.back().copied()
        };
        // How much of it was written is not known: its files say.
        if let Some(last) = last {
            let more = |file, known| disk.length(last.number, file).unwrap_or(known).saturating_sub(known);
            let (data, journal) = (more(File::Data, last.data_bytes), more(File::Journal, last.journal_bytes));
            lock(&self.state).grow(last.number, data, journal);
        }
        if error.kind() == io::ErrorKind::StorageFull {
            self.drop_oldest(disk);
        }
    }

    /// `false` if there is none.
    fn drop_oldest(&self, disk: &impl Disk) -> bool {
        let oldest = {
            let mut state = lock(&self.state);
            let Some(oldest) = state.segments.pop_front() else { return false };
            state.index.retain(|place| place.segment != oldest.number);
            state.writing &= !state.segments.is_empty();
            oldest
        };
        match disk.remove(oldest.number) {
            Ok(()) => {}
            Err(error) => {
                self.errors.fetch_add(1, Relaxed);
                // It may be there at the next start, and purges that named something in it not any more.
                if error.kind() != io::ErrorKind::NotFound {
                    self.withdraw(&mut lock(&self.state), u64::MAX);
                }
            }
        }
        true
    }

    // === starting ===

    /// Reads the journals and opens the shelf. `fresh`: nothing was purged yet in this process; otherwise nobody knows which of the pages were,
    /// and all go. Returns how many pages there are.
    fn attach(&self, disk: &impl Disk, witness: Arc<dyn Witness>, keys: &Keys, marks: &Marks, fresh: bool) -> io::Result<usize> {
        let mut numbers = disk.segments()?;
        let believed = witness.believed();
        if !believed && !numbers.is_empty() {
            tracing::warn!(
                "the pages on disk were left in an unknown state (the disk hung, or the machine stopped): starting without them"
            );
        }
        let fresh = fresh && believed;
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        let mut found = State::new(self.entries_max);
        found.last_number = numbers.first().copied().unwrap_or(0);
        let mut later = Later::default();
        for number in numbers {
            let lengths = disk.length(number, File::Data).and_then(|data| Ok((data, disk.length(number, File::Journal)?)));
            let segment = lengths.map(|(data_bytes, journal_bytes)| Segment { number, data_bytes, journal_bytes });
            let fits =
                |segment: &Segment| fresh && found.bytes() + segment.bytes() <= self.budget_bytes && segment.journal_bytes <= SEGMENT_MAX;
            let events = segment.ok().filter(fits).and_then(|segment| {
                let mut journal = vec![0; segment.journal_bytes as usize];
                disk.read(number, File::Journal, 0, &mut journal).ok()?;
                Some((segment, record::read_journal(&journal)?))
            });
            let full = found.index.len() >= self.entries_max;
            let Some((segment, events)) = events.filter(|_| !full) else {
                let _ = disk.remove(number); // what cannot be used only takes room
                continue;
            };
            found.segments.push_front(segment);
            for event in events.into_iter().rev() {
                match event {
                    Event::Purge(purged) => later.saw(purged, keys, marks),
                    Event::Page(located) => {
                        let hash = keys.of_bytes(located.key.clone()).hash;
                        let whole = located.offset + located.bytes() <= segment.data_bytes;
                        if whole && later.admits(hash, &located) && found.index.len() < self.entries_max {
                            found.put(located.place(hash, number, 0));
                        }
                    }
                }
            }
        }
        witness.begin()?;
        let _ = self.witness.set(witness); // a shelf is attached once
        // `writing` stays off: never into a segment of a former life, whose end may be torn.
        found.open = true;
        let pages = found.index.len();
        *lock(&self.state) = found;
        Ok(pages)
    }
}

/// What the events after the one at hand have said, while the journals are read backwards.
#[derive(Default)]
struct Later {
    pages: HashSet<(u64, u64)>,
    targets: HashSet<Arc<[u8]>>,
    tags: HashSet<Arc<[u8]>>,
    patterns: Vec<Pattern>,
}

impl Later {
    fn saw(&mut self, purged: Purged, keys: &Keys, marks: &Marks) {
        match purged {
            Purged::Target(target) => drop(self.targets.insert(target)),
            Purged::Tag(tag) => drop(self.tags.insert(tag)),
            Purged::Prefix(prefix) => self.patterns.push(Pattern::Prefix(prefix)),
            Purged::PathPrefix(prefix) => self.patterns.push(Pattern::PathPrefix(prefix)),
            Purged::Path(path) => self.patterns.push(Pattern::Path(path)),
            // Times compare in any order.
            Purged::SoftTarget(target, at_ms) => marks.purge_softly(Marks::place(keys.of_bytes(target.to_vec()).hash), at_ms),
            Purged::SoftTag(tag, at_ms) => marks.purge_softly(Marks::place(keys.hash_tag(&tag)), at_ms),
        }
    }

    fn admits(&mut self, hash: u64, page: &Located) -> bool {
        let purged = self.targets.contains(&page.key[..])
            || page.tags.iter().any(|tag| self.tags.contains(&tag[..]))
            || self.patterns.iter().any(|pattern| pattern.matches(&page.key));
        !purged && self.pages.insert((hash, page.variant))
    }
}

impl Located {
    fn bytes(&self) -> u64 {
        u64::from(self.head_bytes) + u64::from(self.body_bytes)
    }

    fn place(&self, hash: u64, segment: u64, sequence: u64) -> Place {
        let Located { offset, head_bytes, body_bytes, head_crc, body_crc, variant, .. } = *self;
        Place { hash, variant, segment, offset, sequence, head_bytes, body_bytes, head_crc, body_crc }
    }
}

impl State {
    fn new(entries_max: usize) -> State {
        State {
            open: false,
            index: HashTable::with_capacity(entries_max),
            segments: VecDeque::new(),
            last_number: 0,
            writing: false,
            queue: VecDeque::new(),
            queue_bytes: 0,
            queued: 0,
            done: 0,
            waiting: Vec::new(),
            skip: 0,
            skip_next: 1,
            swept: 0,
            unvouched: None,
        }
    }

    fn push(&mut self, job: Job) {
        self.queued += 1;
        self.queue.push_back(job);
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
    /// Whether the disk may have what memory has not. Cheap: for each miss.
    pub fn shelved(&self, key: &Key) -> bool {
        !self.places(key).0.is_empty()
    }

    /// Brings what the disk has of `key` into memory. Returns whether there was something. Blocks: not on an event loop.
    pub fn take_down(&self, key: &Key, disk: &impl Disk) -> bool {
        let Some(shelf) = &self.shelf else { return false };
        let mut found = false;
        let (places, swept) = self.places(key);
        for place in places {
            let page = match read_page(disk, key, &place) {
                Ok(page) => page,
                // Its segment has gone meanwhile, or the disk is in trouble.
                Err(_) => {
                    shelf.errors.fetch_add(1, Relaxed);
                    shelf.lose(&place);
                    continue;
                }
            };
            let Some((mut draft, body)) = page else {
                shelf.corrupt.fetch_add(1, Relaxed);
                tracing::warn!(key = %String::from_utf8_lossy(&key.bytes), "a page on disk is not what was written; it is forgotten");
                shelf.lose(&place);
                continue;
            };
            draft.marks = self.marks_of(key, &draft.tags);
            let compression = self.settings.load().compression.clone();
            draft.compression = compression.may_code(draft.status, &draft.lines).then_some(compression);
            match self.restore(key, Arc::new(draft.finish(body, None)), swept) {
                true => {
                    shelf.hits.fetch_add(1, Relaxed);
                    found = true;
                }
                false => shelf.lose(&place),
            }
        }
        found
    }

    /// Reads what a former life of the program left, so that it is there from the first request on. Call before the first look-up; later, what
    /// is there is thrown away if anything was purged meanwhile. Returns how many pages there are.
    ///
    /// Errors: the disk's. Then there is no disk tier.
    pub fn attach_shelf(&self, disk: &impl Disk, witness: Arc<dyn Witness>) -> io::Result<usize> {
        match &self.shelf {
            Some(shelf) => shelf.attach(disk, witness, &self.keys, &self.marks, self.marks.sequence() == 0),
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

    /// What the disk tier holds; `None` if there is none.
    pub fn shelf_status(&self) -> Option<ShelfStatus> {
        self.shelf.as_ref().map(Shelf::status)
    }

    /// Ready once the purge or invalidation that gave the ticket outlives a crash.
    pub fn poll_durable(&self, ticket: Ticket, context: &mut Context<'_>) -> Poll<()> {
        self.shelf.as_ref().map_or(Poll::Ready(()), |shelf| shelf.poll_done(ticket, context))
    }

    /// Whether the purge or invalidation that gave the ticket may be confirmed although it is not durable yet: a crash then costs all pages on
    /// disk, but brings back none. `false`: it may not, wait on. Never waits for the disk.
    pub fn may_confirm(&self, ticket: Ticket) -> bool {
        self.shelf.as_ref().is_none_or(|shelf| shelf.confirm_before(ticket))
    }

    fn purged_since(&self, key: &Key, page: &Page) -> bool {
        self.purged(page) || self.marks.pattern_overtook(&key.bytes, page.sequence)
    }

    fn places(&self, key: &Key) -> (Vec<Place>, u64) {
        let Some(shelf) = &self.shelf else { return (Vec::new(), 0) };
        let known = {
            let shard = self.shard(key);
            let resource = shard.resources.peek(key.hash, |resource| resource.is(key));
            resource.map_or(Vec::new(), |resource| resource.pages().iter().map(|page| variant_of(page)).collect())
        };
        shelf.places(key, &known)
    }

    fn marks_of(&self, key: &Key, tags: &[Box<[u8]>]) -> Box<[Mark]> {
        let tags = tags.iter().map(|tag| Marks::place(self.keys.hash_tag(tag)));
        [Marks::place(key.hash)].into_iter().chain(tags).collect()
    }
}

// === helpers ===

/// The budget is cut into this many segments: one of them is what making room costs.
const SEGMENTS: u64 = 16;
const SEGMENT_MIN: u64 = 1 << 20;
const SEGMENT_MAX: u64 = 256 << 20;

/// Slots of the index at most, some 80 MiB: dropping a segment looks at each, while look-ups wait.
const SLOTS_MAX: u64 = 1 << 20;

/// A warning for the first error and then one for so many.
const ERRORS_PER_WARNING: u64 = 1000;

/// Pages waiting to be written, at most: a disk that is slower than that is left behind.
const QUEUE_BYTES_MAX: u64 = 32 << 20;

/// How many pages are skipped at most after repeated errors: then the disk is tried again.
const SKIP_MAX: u32 = 1024;

/// How often the thread looks whether it should end, should a bell be missed.
const LOOK_UP: Duration = Duration::from_secs(1);

/// `None`: it is not what was written.
fn read_page(disk: &impl Disk, key: &Key, place: &Place) -> io::Result<Option<(crate::page::Draft, bytes::Bytes)>> {
    let mut head = vec![0; place.head_bytes as usize];
    let mut body = vec![0; place.body_bytes as usize];
    disk.read(place.segment, File::Data, place.offset, &mut head)?;
    disk.read(place.segment, File::Data, place.offset + u64::from(place.head_bytes), &mut body)?;
    if record::crc(&head) != place.head_crc {
        return Ok(None);
    }
    let draft = record::read_head(&head, &key.bytes, place.sequence);
    Ok(draft.zip(record::checked(body, place.body_crc)))
}

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
