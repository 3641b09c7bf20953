//! Stored results in front of an engine: a SELECT that was answered once is answered from memory until a write changes what it was made of.
//!
//! `parts/freshness` says whether a stored result is what the database would answer; this module keeps them, tells the worker's open requests what
//! each statement read ([`Reading`]), and stands around the engine's commits ([`observer`]).
//!
//! The life of a read: [`Results::ask`] with its [`Key`] - a [`Asked::Hit`] is sent as it was stored; a [`Asked::Miss`] runs, and
//! [`Miss::store`] keeps its packets; whoever asks the same meanwhile waits for it, and checks what comes as any other hit: a write that was
//! acknowledged between the fetch and the asking makes it ask for itself.
//!
//! **Invariant:** the key holds everything that shapes the bytes: protocol and capabilities, database, the session's settings, the text, the
//! parameters. **Invariant:** [`Results::status`]' bytes never exceed the budget.
mod flight;
mod key;
mod observer;
mod reading;

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use pumasi_evict::{Policy, Store};
use pumasi_freshness::{Entry, Freshness, Stamp};

pub use key::{Key, Parts};
pub use observer::{Observer, unix_ms_now};
pub use reading::{Reading, Templates, scalar};

use flight::{Flight, Landing};

use crate::front::digests::Count;

/// Locks of their own; see the page store.
const SHARDS: usize = 32;

/// Larger results stream through and are not stored. Those of workers are held back as long as they are smaller, so that it is known what a
/// statement has read before the first byte of its answer is sent.
pub const RESULT_MAX: usize = 1024 * 1024;

/// Connections that wait for one result. The next runs its statement itself.
const WAITERS_MAX: usize = 4096;

/// Statements that are known not to be stored, by hash: nobody waits for one. A place is overwritten by the next that needs it.
const REFUSED_PLACES: usize = 4096;

/// The store of one database's results.
pub struct Results {
    freshness: Arc<Freshness>,
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    refused: Box<[AtomicU64]>,
    templates: Templates,
    budget: u64,
    counters: Counters,
}

#[derive(Default)]
struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    invalidated: AtomicU64,
    evicted: AtomicU64,
    waited: AtomicU64,
    at_hand: AtomicU64,
}

struct Shard {
    stored: Store<Arc<Stored>>,
    flights: HashMap<Arc<Key>, Arc<Flight>>,
}

/// One result, as it went to the client.
#[derive(Debug)]
pub struct Stored {
    key: Arc<Key>,
    pub entry: Entry,
    /// Whole packets, numbered from 1.
    pub packets: Arc<[u8]>,
    pub rows: u64,
    /// The numbers of its statement's digest, so that who is answered by this counts without looking for them.
    pub count: Option<Arc<Count>>,
}

/// What to do with a read.
pub enum Asked {
    /// Read in a snapshot that began after `stamp`, as far as the rows it depends on can tell.
    Hit {
        stored: Arc<Stored>,
        stamp: Stamp,
    },
    Miss(Miss),
}

/// A read that has to run. Dropped without a word, it lets those who wait run theirs.
pub struct Miss {
    results: Arc<Results>,
    key: Arc<Key>,
    hash: u64,
    flight: Option<Arc<Flight>>,
    count: Option<Arc<Count>>,
}

/// A look-up under way.
struct Asking {
    key: Arc<Key>,
    hash: u64,
    /// Taken before the first look.
    stamp: Stamp,
    /// A flight that may have begun earlier has been waited for.
    joined: bool,
}

impl Results {
    pub fn new(freshness: Arc<Freshness>, budget: u64) -> Arc<Results> {
        let shard = || Mutex::new(Shard { stored: Store::new(Policy::S3Fifo, budget / SHARDS as u64), flights: HashMap::new() });
        Arc::new(Results {
            freshness,
            shards: (0..SHARDS).map(|_| shard()).collect(),
            hasher: RandomState::new(),
            refused: (0..REFUSED_PLACES).map(|_| AtomicU64::new(0)).collect(),
            templates: Templates::default(),
            budget,
            counters: Counters::default(),
        })
    }

    pub fn freshness(&self) -> &Arc<Freshness> {
        &self.freshness
    }

    pub fn templates(&self) -> &Templates {
        &self.templates
    }

    /// Looks a read up; may wait, with its thread, while another connection runs the same one.
    pub fn ask(self: &Arc<Results>, key: Key) -> Asked {
        let mut asking = self.asking(key);
        loop {
            let flight = match self.look(&mut asking) {
                Ok(asked) => return asked,
                Err(flight) => flight,
            };
            if let Some(asked) = self.landed(&mut asking, flight.wait(WAITERS_MAX)) {
                return asked;
            }
        }
    }

    /// As [`Results::ask`], for connections that share a thread.
    pub async fn ask_sharing(self: &Arc<Results>, key: Key) -> Asked {
        let mut asking = self.asking(key);
        loop {
            let flight = match self.look(&mut asking) {
                Ok(asked) => return asked,
                Err(flight) => flight,
            };
            let landing = flight.wait_sharing(WAITERS_MAX).await;
            if let Some(asked) = self.landed(&mut asking, landing) {
                return asked;
            }
        }
    }

    /// A hit by the bytes that [`Key::write`] writes, and the stamp as of before it was looked for. `None` may be a miss, or an answer that has to
    /// be waited for: [`Results::ask`] tells.
    pub fn at_hand(&self, key: &[u8]) -> Option<(Arc<Stored>, Stamp)> {
        let (hash, stamp) = (self.hash(key), self.freshness.stamp());
        let stored = self.shard(hash).stored.get(hash, |stored| stored.key.as_bytes() == key).cloned()?;
        if !stored.entry.usable(&self.freshness) {
            return None;
        }
        self.counters.hits.fetch_add(1, Relaxed);
        self.counters.at_hand.fetch_add(1, Relaxed);
        Some((stored, stamp))
    }

    fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    fn asking(&self, key: Key) -> Asking {
        Asking { hash: self.hash(key.as_bytes()), stamp: self.freshness.stamp(), key: Arc::new(key), joined: false }
    }

    /// A hit, a miss to be run, or the flight to wait for.
    fn look(self: &Arc<Results>, asking: &mut Asking) -> Result<Asked, Arc<Flight>> {
        let hash = asking.hash;
        let mut shard = self.shard(hash);
        let found = shard.stored.get(hash, |stored| stored.key == asking.key).cloned();
        if let Some(stored) = found {
            if stored.entry.usable(&self.freshness) {
                drop(shard);
                self.counters.hits.fetch_add(1, Relaxed);
                return Ok(Asked::Hit { stored, stamp: asking.stamp });
            }
            if stored.entry.dead(&self.freshness) {
                // Its place is somebody else's; the bytes are freed outside the lock.
                shard.stored.remove(hash, |other| Arc::ptr_eq(other, &stored));
                self.counters.invalidated.fetch_add(1, Relaxed);
                if let Some(count) = &stored.count {
                    count.invalidations.note(stored.entry.standing(&self.freshness), &self.freshness);
                }
            }
            asking.key = stored.key.clone();
        }
        if self.refused[place(hash)].load(Relaxed) == hash {
            drop(shard);
            return Ok(Asked::Miss(self.miss(asking.key.clone(), hash, None)));
        }
        if let Some(flight) = shard.flights.get(&asking.key) {
            return Err(flight.clone());
        }
        let flight = Arc::new(Flight::default());
        shard.flights.insert(asking.key.clone(), flight.clone());
        drop(shard);
        Ok(Asked::Miss(self.miss(asking.key.clone(), hash, Some(flight))))
    }

    /// What a flight brought; `None`: look again.
    ///
    /// The first flight may have begun before we asked, so its result is checked like any other. One that was not on the board when that landed
    /// began after we asked: it is what our own statement would have read.
    fn landed(self: &Arc<Results>, asking: &mut Asking, landing: Landing) -> Option<Asked> {
        let Landing::Stored(stored) = landing else { return Some(Asked::Miss(self.miss(asking.key.clone(), asking.hash, None))) };
        let stamp = match (stored.entry.usable(&self.freshness), std::mem::replace(&mut asking.joined, true)) {
            (true, _) => asking.stamp,
            (false, true) => stored.entry.stamp(),
            (false, false) => return None,
        };
        self.counters.hits.fetch_add(1, Relaxed);
        self.counters.waited.fetch_add(1, Relaxed);
        Some(Asked::Hit { stored, stamp })
    }

    fn miss(self: &Arc<Results>, key: Arc<Key>, hash: u64, flight: Option<Arc<Flight>>) -> Miss {
        self.counters.misses.fetch_add(1, Relaxed);
        Miss { results: self.clone(), key, hash, flight, count: None }
    }

    pub fn status(&self) -> pumasi_status::Store {
        let (mut entries, mut bytes) = (0, 0);
        for shard in &self.shards {
            let shard = lock(shard);
            entries += shard.stored.len() as u64;
            bytes += shard.stored.bytes();
        }
        let Counters { hits, misses, invalidated, evicted, .. } = &self.counters;
        pumasi_status::Store {
            entries,
            bytes,
            bytes_max: self.budget,
            hits: hits.load(Relaxed),
            misses: misses.load(Relaxed),
            invalidated: invalidated.load(Relaxed),
            evicted: evicted.load(Relaxed),
        }
    }

    /// Answers that were not fetched because somebody else was fetching them.
    pub fn coalesced(&self) -> u64 {
        self.counters.waited.load(Relaxed)
    }

    /// Hits that were found by [`Results::at_hand`].
    pub fn found_at_hand(&self) -> u64 {
        self.counters.at_hand.load(Relaxed)
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        // The index uses the hash's low bits and its top seven; these are in between.
        lock(&self.shards[(hash >> 40) as usize % SHARDS])
    }
}

impl Miss {
    /// Where hits of what is going to be stored are counted.
    pub fn counted_by(&mut self, count: Arc<Count>) {
        self.count = Some(count);
    }

    /// Keeps the result and gives it to those who wait. `entry`: of its own stamp and dependencies.
    pub fn store(mut self, entry: Entry, packets: Arc<[u8]>, rows: u64) {
        self.results.freshness.want(entry.deps());
        let stored = Arc::new(Stored { key: self.key.clone(), entry, packets, rows, count: self.count.take() });
        let weight =
            (size_of::<Stored>() + stored.packets.len() + stored.key.as_bytes().len() + stored.entry.deps().bytes() + ALLOCATIONS) as u64;
        let mut left = Vec::new();
        let is = |other: &Arc<Stored>| other.key == stored.key;
        let result = self.results.shard(self.hash).stored.insert(self.hash, stored.clone(), weight, is, &mut left);
        let evicted = left.iter().filter(|other| other.key != stored.key).count();
        self.results.counters.evicted.fetch_add(evicted as u64, Relaxed);
        // It may be stored after all: others wait for it again.
        let _ = self.results.refused[place(self.hash)].compare_exchange(self.hash, 0, Relaxed, Relaxed);
        drop((left, result)); // freed outside the lock; what is too large is only given to those who wait
        self.land(Landing::Stored(stored));
    }

    /// The statement's results are not stored: nobody waits for the next one.
    pub fn refuse(self) {
        self.results.refused[place(self.hash)].store(self.hash, Relaxed);
    }

    fn land(&mut self, landing: Landing) {
        if let Some(flight) = self.flight.take() {
            // Off the board first: whoever is woken and asks again must not find it.
            self.results.shard(self.hash).flights.remove(&self.key);
            flight.land(landing);
        }
    }
}

impl Drop for Miss {
    fn drop(&mut self) {
        self.land(Landing::Alone);
    }
}

// === helpers ===

/// What the allocator adds to the pieces of one stored result, roughly.
const ALLOCATIONS: usize = 6 * 16;

fn place(hash: u64) -> usize {
    hash as usize % REFUSED_PLACES
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it is held, and every state in between is a valid one.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
