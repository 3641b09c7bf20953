//! Stored pages, shared by all cores: look-up, coalescing, filling and purging. `pumasi_httpcache` decides, `pumasi_evict` keeps.
//!
//! Pure: the request comes in as fields, the origin's answer as lines and bytes, time as milliseconds since the Unix epoch. Whoever
//! carries the bytes (the edge) asks [`Pages::look_up`] and does what the [`Lookup`] says:
//!
//! ```text
//! Hit       --> page.reply(..)                      and, if it brings a lead, refetch in the background
//! Miss      --> lead --> origin's head --> lead.begin(..) --> fill.data(..) ... fill.finish() --> stored, waiters answered
//! Validate  --> the same with conditions; 304 --> lead.confirm(..) --> page.reply(..)
//! Wait      --> waiter.landing().await --> its answer while it arrives, a page, or look up again
//! ```
//! **Invariant:** a page is immutable; whoever has its `Arc` may write it to a socket without any lock.
//!
//! **Invariant:** whatever a purge or an invalidation names is not served by a look-up that begins after it returned, also if it was being
//! fetched at that moment: a page carries the sequence number its fetch began with, and a purge leaves a later one behind.
//!
//! **Invariant:** [`Pages::status`]' bytes never exceed the budget: keys, heads, bodies, index, purge marks and what is being filled. (Beside
//! it stands what is remembered to be told to people, a fixed 150 KiB at most: `recall`.)
mod counters;
mod encode;
mod feed;
mod fill;
mod flight;
mod key;
mod lines;
mod marks;
mod page;
mod purge;
mod recall;
mod reply;
mod resource;
mod shelf;
mod successor;
mod tickets;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicU64,
            Ordering::{AcqRel, Relaxed},
        },
    },
    time::Duration,
};

pub use counters::RouteCounters;
pub use encode::{Compression, plain_tags};
pub use feed::{Read, Stream};
pub use fill::{Fill, Head, Lead, NotStored};
pub use flight::{Landing, Waiter};
pub use key::{Key, Keys};
pub use lines::field_lines;
pub use page::Page;
pub use purge::{Purge, PurgeKind, Ticket};
pub use reply::{Content, Reply, Told};
pub use shelf::{Disk, File, Purged, ShelfStatus, Witness};
pub use successor::Successor;

use arc_swap::ArcSwap;
use counters::Counters;
use encode::Jobs;
use flight::Flight;
use marks::Marks;
pub use pumasi_evict::Policy;
use pumasi_evict::Store;
use pumasi_freshness::Freshness;
use pumasi_httpcache::{Asked, Bypass, FieldLines, Forward, Grace, Reuse, Rules, Why};
use recall::Recall;
use resource::Resource;
use shelf::Shelf;
use successor::Legacy;

/// What the operator decides about the store.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Everything together, in bytes. At least [`Settings::BUDGET_MIN`].
    pub budget_bytes: u64,
    /// Larger answers stream through and are not stored.
    pub object_bytes_max: u64,
    pub policy: Policy,
    /// Requests that may wait for one fetch; the next is answered 503.
    pub waiters_max: usize,
    /// How long a request waits for another's fetch before it fetches for itself. Kept here for the edge, which has the timers.
    pub wait_max: Duration,
    /// Which stored pages are compressed, for clients that take it. Counts for pages stored from now on.
    pub compression: Arc<Compression>,
    pub rules: Rules,
    /// For the disk tier; 0: there is none. Counts when the store is made.
    pub disk_bytes: u64,
}

impl Settings {
    /// Less would leave no room for pages beside the purge marks.
    pub const BUDGET_MIN: u64 = 1 << 20;
}

impl Settings {
    /// A quarter at most is lent to answers on their way in.
    fn filling_max(&self) -> u64 {
        self.budget_bytes.max(Settings::BUDGET_MIN) / 4
    }

    fn room_for_stored(&self, marks: &Marks, shelf: Option<&Shelf>) -> u64 {
        let others = self.filling_max() + marks.bytes() + shelf.map_or(0, Shelf::memory_bytes);
        self.budget_bytes.max(Settings::BUDGET_MIN).saturating_sub(others)
    }

    /// With an `object_bytes_max` that really fits: a page has a head and an index entry as well, and comes in on loan.
    fn fitted(self, per_shard: u64) -> Settings {
        let most = per_shard.saturating_sub(OBJECT_SLACK).min(self.filling_max());
        Settings { object_bytes_max: self.object_bytes_max.min(most), ..self }
    }
}

/// The store. One per process.
pub struct Pages {
    settings: ArcSwap<Settings>,
    keys: Keys,
    /// A power of two of them.
    shards: Box<[Mutex<Shard>]>,
    marks: Marks,
    flights: AtomicU64,
    /// Bytes of answers being collected; part of the budget.
    filling: AtomicU64,
    counters: Counters,
    jobs: Jobs,
    freshness: Option<Arc<Freshness>>,
    shelf: Option<Shelf>,
    legacy: Legacy,
    recall: Recall,
}

struct Shard {
    resources: Store<Resource>,
    /// Fetches under way that others may wait for.
    flights: HashMap<Box<[u8]>, Arc<Flight>>,
}

/// What to do with a request.
pub enum Lookup {
    /// Answer with the page. `refetch`: it is stale by permission, and this request is the one to refetch it in the background.
    Hit { page: Arc<Page>, stale: bool, refetch: Option<Lead> },
    /// Ask the origin whether the page still holds ([`Page::conditions`]); `grace` says when it may be served although the origin fails.
    Validate { page: Arc<Page>, grace: Grace, lead: Lead },
    /// Fetch.
    Miss { lead: Lead, why: Forward },
    /// Somebody is fetching it.
    Wait(Waiter),
    /// `waiters_max` wait already: 503.
    Full,
    /// The client wants it from the store only (`only-if-cached`), and it is not there: 504.
    OnlyIfCached,
    /// Send the request on and store nothing.
    Pass(Bypass),
}

impl Pages {
    /// `freshness`: where automatic pages look up whether a write has overtaken them.
    pub fn new(settings: Settings, freshness: Option<Arc<Freshness>>) -> Arc<Pages> {
        let marks = Marks::default();
        let shelf = (settings.disk_bytes > 0).then(|| Shelf::new(settings.disk_bytes, settings.budget_bytes));
        let room = settings.room_for_stored(&marks, shelf.as_ref());
        // As many locks as leave each part of the room large enough for some of the largest pages.
        let shards = (room / (4 * settings.object_bytes_max.max(1))).clamp(1, SHARDS_MAX);
        let shards = 1 << shards.ilog2();
        let shard = || Mutex::new(Shard { resources: Store::new(settings.policy, room / shards), flights: HashMap::new() });
        Arc::new(Pages {
            keys: Keys::default(),
            shards: (0..shards).map(|_| shard()).collect(),
            settings: ArcSwap::from_pointee(settings.fitted(room / shards)),
            marks,
            flights: AtomicU64::new(0),
            filling: AtomicU64::new(0),
            counters: Counters::default(),
            jobs: Jobs::default(),
            freshness,
            shelf,
            legacy: Legacy::default(),
            recall: Recall::default(),
        })
    }

    /// Other settings, as a reload brings them. What no longer fits leaves at once; the policy stays as it was.
    pub fn reconfigure(&self, settings: Settings) {
        let per_shard = settings.room_for_stored(&self.marks, self.shelf.as_ref()) / self.shards.len() as u64;
        self.settings.store(Arc::new(settings.fitted(per_shard)));
        for shard in &self.shards {
            let mut left = Vec::new();
            lock(shard).resources.set_budget(per_shard, &mut left);
            self.counters.evicted(left.iter().map(|resource| resource.pages().len() as u64).sum());
        }
    }

    /// Where automatic pages look up whether a write has overtaken them.
    pub fn freshness(&self) -> Option<&Arc<Freshness>> {
        self.freshness.as_ref()
    }

    pub fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// The key of a request's target. `scheme` and `host` in any case.
    pub fn key(&self, scheme: &str, host: &[u8], path_and_query: &[u8]) -> Key {
        self.keys.of(scheme, host, path_and_query)
    }

    /// The page that answers a request outright: stored, fresh, overtaken by nothing. `None` says nothing yet: ask [`Pages::look_up`], which
    /// finds such a page as well, after making a key. `scratch` is overwritten.
    pub fn find_fresh<'a>(
        &self,
        (scheme, host, path_and_query): (&str, &[u8], &[u8]),
        asked: &Asked<'a>,
        fields: impl FieldLines<'a> + Clone,
        now_ms: u64,
        scratch: &mut Vec<u8>,
    ) -> Option<Arc<Page>> {
        if asked.bypass().is_some() || self.legacy.handed() {
            return None;
        }
        scratch.clear();
        key::write_target(scratch, scheme, host, path_and_query);
        let hash = self.keys.hash(scratch);
        let is = |resource: &Resource| resource.is_target(scratch);
        let found = lock(self.shard_of(hash)).resources.get(hash, is).and_then(|resource| resource.select(fields).page);
        let page =
            found.filter(|page| !self.gone(page) && page.covers(asked, now_ms) && self.reuse(page, asked, now_ms) == Reuse::Fresh)?;
        self.counters.hit();
        Some(page)
    }

    /// What to do with a request for `key`. `fields`: those of its head. `route`: counts what made a page wrong that it finds.
    pub fn look_up<'a>(
        self: &Arc<Pages>,
        key: &Key,
        asked: &Asked<'a>,
        fields: impl FieldLines<'a> + Clone,
        now_ms: u64,
        route: &RouteCounters,
    ) -> Lookup {
        if let Some(reason) = asked.bypass() {
            return Lookup::Pass(reason);
        }
        if self.legacy.handed() {
            return if asked.directives.only_if_cached { Lookup::OnlyIfCached } else { Lookup::Pass(Bypass::HandedOver) };
        }
        let mut shard = self.shard(key);
        let is = |resource: &Resource| resource.is(key);
        let found = shard.resources.get(key.hash, is).map(|resource| resource.select(fields.clone()));
        let (page, varies, alone) = match found {
            Some(selected) => {
                let passing = selected.passing(now_ms);
                let varies = selected.varies && selected.page.is_none();
                (selected.page, varies, passing)
            }
            None => (None, false, false),
        };
        let mut over = None;
        let page = match page {
            Some(page) if self.gone(&page) => {
                self.counters.invalidated(1);
                over = Some(page);
                None
            }
            // A part of it is no use to who wants another.
            Some(page) if !page.covers(asked, now_ms) => None,
            page => page,
        };
        let reuse = page.as_ref().map(|page| self.reuse(page, asked, now_ms));
        let wants_any = asked.directives == pumasi_httpcache::directives::RequestDirectives::default();
        let why = match (&page, varies) {
            (None, true) => Forward::VaryMiss,
            (None, false) => Forward::UriMiss,
            (Some(_), _) => Forward::Stale,
        };
        let lookup = match (page, reuse) {
            (Some(page), Some(Reuse::Fresh)) => Lookup::Hit { page, stale: false, refetch: None },
            (Some(page), Some(Reuse::Stale(Why::ClientAllows))) => Lookup::Hit { page, stale: true, refetch: None },
            (Some(page), Some(Reuse::Stale(Why::WhileRevalidating))) => {
                // One refetch at a time: whoever finds one under way just serves.
                let refetch = self.take_off(&mut shard, key, fields, now_ms);
                Lookup::Hit { page, stale: true, refetch }
            }
            _ if asked.directives.only_if_cached => Lookup::OnlyIfCached,
            // A HEAD's answer fills nothing.
            (_, _) if asked.method == pumasi_httpcache::Method::Head => Lookup::Pass(Bypass::Method),
            // Waiting is worth it only for what may be used without asking again: by this request, and by the page's own terms.
            (Some(page), Some(Reuse::Validate(grace))) => {
                match self.join(&mut shard, key, fields, now_ms, wants_any && page.terms.reusable()) {
                    Ok(lead) => Lookup::Validate { page, grace, lead },
                    Err(other) => other,
                }
            }
            _ => match self.join(&mut shard, key, fields, now_ms, asked.plain() && !alone) {
                Ok(lead) => Lookup::Miss { lead, why },
                Err(other) => other,
            },
        };
        drop(shard);
        // Whoever fetches it anew remembers how it ended; the others would say the same.
        if let (Lookup::Miss { .. }, Some(page)) = (&lookup, over) {
            self.note_dropped(key, &page, self.purged(&page), now_ms);
            if let (Some(freshness), Some(entry)) = (&self.freshness, page.entry()) {
                route.invalidations.note(entry.standing(freshness), freshness);
            }
        }
        match &lookup {
            Lookup::Hit { .. } => self.counters.hit(),
            Lookup::Pass(_) => {}
            _ => self.counters.missed(),
        }
        lookup
    }

    /// A lead nobody waits for: for the answer to a POST that is at the same time what a GET would get (RFC 9110 §9.3.3).
    pub fn lead(self: &Arc<Pages>, key: &Key, now_ms: u64) -> Lead {
        Lead::new(self.clone(), key.clone(), None, self.marks.sequence(), now_ms)
    }

    /// How many fetches that others may wait for have begun. One with this number or a larger one begins after this call: what it reads is not
    /// older than what the caller knows of. (An addition of nothing, so that the later fetch's own addition synchronizes with it.)
    pub fn flights_begun(&self) -> u64 {
        self.flights.fetch_add(0, AcqRel)
    }

    /// What the store holds and has done.
    pub fn status(&self) -> pumasi_status::Store {
        let (mut entries, mut bytes) = (0, 0);
        for shard in &self.shards {
            let shard = lock(shard);
            entries += shard.resources.iter().map(|resource| resource.pages().len() as u64).sum::<u64>();
            bytes += shard.resources.bytes();
        }
        let others = self.filling.load(Relaxed) + self.marks.bytes() + self.shelf.as_ref().map_or(0, Shelf::memory_bytes);
        self.counters.status(entries, bytes + others, self.settings.load().budget_bytes)
    }

    /// Purged, invalidated, or overtaken by a write.
    fn gone(&self, page: &Page) -> bool {
        self.marks.overtook(page.marks(), page.sequence) || page.overtaken(self.freshness.as_deref())
    }

    /// What may be done with a page that nothing has overtaken. An automatic page has just been found to be what the origin would answer: that
    /// is as good as asking it, whatever the client's wishes.
    fn reuse(&self, page: &Page, asked: &Asked<'_>, now_ms: u64) -> Reuse {
        let terms = page.terms_now(&self.marks);
        match page.entry() {
            Some(_) if terms.fresh(now_ms) => Reuse::Fresh,
            _ => terms.reuse(asked, now_ms),
        }
    }

    fn purged(&self, page: &Page) -> bool {
        self.marks.overtook(page.marks(), page.sequence)
    }

    /// A lead with a flight others may wait for, or without one if `shared` is false; or the flight of whoever is first.
    fn join<'a>(
        self: &Arc<Pages>,
        shard: &mut Shard,
        key: &Key,
        fields: impl FieldLines<'a> + Clone,
        now_ms: u64,
        shared: bool,
    ) -> Result<Lead, Lookup> {
        if !shared {
            return Ok(Lead::new(self.clone(), key.clone(), None, self.marks.sequence(), now_ms));
        }
        let name = self.flight_name(shard, key, fields);
        match shard.flights.get(&name) {
            Some(flight) => Err(flight.board(self.settings.load().waiters_max).map_or(Lookup::Full, Lookup::Wait)),
            None => Ok(self.depart(shard, key, name, now_ms)),
        }
    }

    /// A lead with a flight, unless there is one already.
    fn take_off<'a>(self: &Arc<Pages>, shard: &mut Shard, key: &Key, fields: impl FieldLines<'a> + Clone, now_ms: u64) -> Option<Lead> {
        let name = self.flight_name(shard, key, fields);
        (!shard.flights.contains_key(&name)).then(|| self.depart(shard, key, name, now_ms))
    }

    fn depart(self: &Arc<Pages>, shard: &mut Shard, key: &Key, name: Box<[u8]>, now_ms: u64) -> Lead {
        let flight = Flight::new(name.clone(), self.flights.fetch_add(1, AcqRel));
        shard.flights.insert(name, flight.clone());
        Lead::new(self.clone(), key.clone(), Some(flight), self.marks.sequence(), now_ms)
    }

    /// Requests that are known to get different variants do not wait for each other.
    fn flight_name<'a>(&self, shard: &Shard, key: &Key, fields: impl FieldLines<'a> + Clone) -> Box<[u8]> {
        let mut name = key.bytes.to_vec();
        if let Some(resource) = shard.resources.peek(key.hash, |resource: &Resource| resource.is(key)) {
            resource.write_selection(fields, &mut name);
        }
        name.into()
    }

    /// Takes a landed flight off the board; who comes later looks the store up.
    fn arrived(&self, key: &Key, flight: &Flight) {
        self.shard(key).flights.remove(&flight.name);
    }

    /// Stores a page, unless something overtook its fetch.
    fn store(&self, key: &Key, page: Arc<Page>) -> Result<(), Bypass> {
        self.update(key, |resource| {
            // Under the shard's lock: a purge marks first and sweeps then, so either this sees the mark or the sweep sees the page.
            if self.gone(&page) || self.marks.pattern_overtook(&key.bytes, page.sequence) {
                return Err(Bypass::Overtaken);
            }
            resource.put(page);
            Ok(())
        })
    }

    /// Puts back a page that was stored before, unless something overtook it meanwhile or a newer one is there. `swept`: patterns up to this
    /// number are known not to name it.
    fn restore(&self, key: &Key, page: Arc<Page>, swept: u64) -> bool {
        let restored = self.update(key, |resource| {
            if self.gone(&page) || self.marks.pattern_overtook(&key.bytes, page.sequence.max(swept)) {
                return Err(Bypass::Overtaken);
            }
            resource.put_back(page);
            Ok(())
        });
        restored.is_ok()
    }

    /// One of its pages has grown a second form.
    fn weigh_again(&self, key: &Key) {
        let known = self.shard(key).resources.peek(key.hash, |resource| resource.is(key)).is_some();
        if known {
            let _ = self.update(key, |_| Ok(())); // too large with it: gone, and stored anew by the next request
        }
    }

    /// Remembers that this target's answers are not stored, so that nobody waits for one.
    fn remember_passing(&self, key: &Key, until_ms: u64) {
        // No room for the mark only means that some requests wait in vain.
        let _ = self.update(key, |resource| {
            resource.pass_until(until_ms);
            Ok(())
        });
    }

    /// Removes all that is stored under `key`. The ticket: when that will be so wherever else it may lie.
    fn forget(&self, key: &Key) -> (u64, Option<Ticket>) {
        let on_disk = self.shelf.as_ref().and_then(|shelf| shelf.forget(key));
        let ticket = self.ticket(on_disk, || Purged::Target(key.bytes.clone()));
        let gone = self.shard(key).resources.remove(key.hash, |resource| resource.is(key));
        (gone.map_or(0, |resource| resource.pages().len() as u64), ticket)
    }

    fn update(&self, key: &Key, change: impl FnOnce(&mut Resource) -> Result<(), Bypass>) -> Result<(), Bypass> {
        let mut left = Vec::new();
        let mut shard = self.shard(key);
        let is = |resource: &Resource| resource.is(key);
        let mut resource = shard.resources.peek(key.hash, is).cloned().unwrap_or_else(|| Resource::new(key));
        change(&mut resource)?;
        let weight = resource.weight();
        let stored = shard.resources.insert(key.hash, resource, weight, is, &mut left);
        drop(shard);
        // The former self of this resource is no eviction.
        let evicted = left.iter().filter(|resource| !resource.is(key)).map(|resource| resource.pages().len() as u64).sum();
        self.counters.evicted(evicted);
        drop(left); // large bodies are freed here, outside the lock
        stored.map_err(|_| Bypass::TooLarge)
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, Shard> {
        lock(self.shard_of(key.hash))
    }

    fn shard_of(&self, hash: u64) -> &Mutex<Shard> {
        // The index uses the hash's low bits and its top seven; these are in between.
        &self.shards[(hash >> 40) as usize & (self.shards.len() - 1)]
    }
}

// === helpers ===

/// A look-up holds its lock for some 150 ns: with this many, even a hundred cores rarely meet.
const SHARDS_MAX: u64 = 64;

/// What a page weighs beside its body, at most, for `object_bytes_max` to be a size that really fits: a head of 64 KiB and the index.
const OBJECT_SLACK: u64 = 32 << 10;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it is held, and every state in between is a valid one.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
