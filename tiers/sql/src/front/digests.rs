//! How often each statement ran, and how long it took, for `pumasi status` and the console.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hasher, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use pumasi_sqltext::{hash_shape, shape};

/// Statements told apart. All further ones are counted together: an application that writes values into names must not cost memory.
const DIGESTS_MAX: usize = 1000;

/// What [`Digests::slowest`] returns at most.
const SHOWN_MAX: usize = 50;

/// Bytes of a statement's text that are kept.
const TEXT_MAX: usize = 1024;

/// Digests a connection remembers itself, so that it need not ask for the common table.
const REMEMBERED_MAX: usize = 256;

/// Every statement seen, by digest.
#[derive(Default)]
pub struct Digests {
    table: Mutex<HashMap<u64, Arc<Count>>>,
    /// With a secret key: what is remembered of a statement decides where it runs, so nobody may make two collide.
    keys: RandomState,
}

/// One digest's numbers. Times in microseconds.
#[derive(Debug, Default)]
pub struct Count {
    text: String,
    count: AtomicU64,
    errors: AtomicU64,
    total_us: AtomicU64,
    max_us: AtomicU64,
    rows: AtomicU64,
    hits: AtomicU64,
}

/// A shorter way into the table: the digests used lately by one connection or one core, with what else was found out about them.
#[derive(Default)]
pub struct Remembered<T = ()> {
    known: HashMap<u64, (Arc<Count>, T)>,
}

impl Digests {
    /// By total time, slowest first.
    pub fn slowest(&self) -> Vec<pumasi_status::Digest> {
        let mut digests: Vec<_> = self.lock().values().map(|count| count.shown()).collect();
        digests.sort_by_key(|digest| std::cmp::Reverse(digest.total_us));
        digests.truncate(SHOWN_MAX);
        digests
    }

    fn find(&self, digest: u64, sql: &[u8]) -> Arc<Count> {
        let mut table = self.lock();
        // Zero stands for all that found no room; no statement is expected to hash to it, and one that does is in good company.
        let (digest, text) = match table.contains_key(&digest) || table.len() < DIGESTS_MAX {
            true => (digest, None),
            false => (0, Some("(statements beyond the first 1000)".to_owned())),
        };
        let new = || Arc::new(Count { text: text.unwrap_or_else(|| shape(sql, TEXT_MAX)), ..Count::default() });
        table.entry(digest).or_insert_with(new).clone()
    }

    /// A number for the statement's shape.
    pub fn digest(&self, sql: &[u8]) -> u64 {
        let mut hasher = self.keys.build_hasher();
        hash_shape(sql, &mut hasher);
        hasher.finish()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Count>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Remembered<()> {
    /// The numbers of `sql`'s digest.
    pub fn count(&mut self, digests: &Digests, sql: &[u8]) -> Arc<Count> {
        self.look_up(digests, sql, |_| ()).0
    }
}

impl<T: Copy> Remembered<T> {
    /// The numbers of `sql`'s digest, and what `find` finds out about a statement of that shape.
    pub fn look_up(&mut self, digests: &Digests, sql: &[u8], find: impl FnOnce(&[u8]) -> T) -> (Arc<Count>, T) {
        let digest = digests.digest(sql);
        if let Some(known) = self.known.get(&digest) {
            return known.clone();
        }
        if self.known.len() >= REMEMBERED_MAX {
            self.known.clear();
        }
        let known = (digests.find(digest, sql), find(sql));
        self.known.insert(digest, known.clone());
        known
    }
}

impl Count {
    /// The statement without its values.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// One execution is over.
    pub fn ran(&self, us: u64, rows: u64, ok: bool) {
        self.count.fetch_add(1, Relaxed);
        self.total_us.fetch_add(us, Relaxed);
        self.max_us.fetch_max(us, Relaxed);
        self.rows.fetch_add(rows, Relaxed);
        if !ok {
            self.errors.fetch_add(1, Relaxed);
        }
    }

    /// One execution was answered from a stored result.
    pub fn hit(&self, us: u64, rows: u64) {
        self.hits.fetch_add(1, Relaxed);
        self.ran(us, rows, true);
    }

    fn shown(&self) -> pumasi_status::Digest {
        pumasi_status::Digest {
            text: self.text.clone(),
            count: self.count.load(Relaxed),
            errors: self.errors.load(Relaxed),
            total_us: self.total_us.load(Relaxed),
            max_us: self.max_us.load(Relaxed),
            rows: self.rows.load(Relaxed),
            hits: self.hits.load(Relaxed),
            bypass: None,
        }
    }
}
