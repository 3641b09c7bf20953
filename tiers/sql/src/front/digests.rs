//! How often each statement ran, and how long it took, for `pumasi status` and the console.

mod tables;
mod times;

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::SystemTime,
};

use pumasi_freshness::Invalidations;
use pumasi_sqltext::{hash_shape, shape};
use pumasi_trace::Calling;

use self::{
    tables::{Access, Named},
    times::{Quantiles, Times},
};

/// Statements told apart. All further ones are counted together: an application that writes values into names must not cost memory.
const DIGESTS_MAX: usize = 1000;

/// What [`Digests::slowest`] returns at most.
const SHOWN_MAX: usize = 50;

/// What [`Digests::tables`] returns at most.
const TABLES_SHOWN_MAX: usize = 50;

/// Bytes of a statement's text that are kept.
const TEXT_MAX: usize = 1024;

/// What is kept allocated for shapes: more than everyday statements have.
const SHAPE_BYTES: usize = 16 * 1024;

/// Digests a connection remembers itself, so that it need not ask for the common table.
const REMEMBERED_MAX: usize = 256;

/// Every statement seen, by digest.
#[derive(Default)]
pub struct Digests {
    table: Mutex<HashMap<u64, Arc<Count>, Mixed>>,
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
    times: Times,
    named: Named,
    /// Of the rows of its answers, as they were sent.
    row_bytes: AtomicU64,
    row_bytes_max: AtomicU64,
    /// What made its kept results wrong.
    pub invalidations: Invalidations,
    /// Whether `refused` says something, so that nobody need look.
    bypassed: AtomicBool,
    refused: RwLock<Option<&'static str>>,
}

/// A shorter way into the table: the digests used lately by one connection or one core, with what else was found out about them.
#[derive(Default)]
pub struct Remembered<T = ()> {
    known: HashMap<u64, (Arc<Count>, T), Mixed>,
    /// The shape of the statement that is being looked up.
    shape: Shape,
}

/// Digests are well mixed and secretly keyed as they are.
type Mixed = BuildHasherDefault<AsItIs>;

#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("only digests are keys");
    }

    fn write_u64(&mut self, digest: u64) {
        self.0 = digest;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// What a statement's shape is made of, in one piece: hashing that at once takes half the time of hashing word by word.
#[derive(Default)]
struct Shape(Vec<u8>);

impl Hasher for Shape {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        unreachable!("hashed by whoever has the key");
    }
}

impl Digests {
    /// By total time, slowest first.
    pub fn slowest(&self) -> Vec<pumasi_status::Digest> {
        let mut digests: Vec<_> = self.lock().values().map(|count| count.shown()).collect();
        digests.sort_by_key(|digest| std::cmp::Reverse(digest.total_us));
        digests.truncate(SHOWN_MAX);
        digests
    }

    /// What the statements did to the tables that they name, most used first. Sizes are of rows as they were sent by SELECTs of one table.
    pub fn tables(&self) -> Vec<pumasi_status::TableUse> {
        let mut uses: BTreeMap<String, pumasi_status::TableUse> = BTreeMap::new();
        let mut rows: HashMap<String, u64> = HashMap::new();
        for count in self.lock().values() {
            let times = count.count.load(Relaxed);
            for (table, access) in &count.named.tables {
                let used =
                    uses.entry(table.clone()).or_insert_with(|| pumasi_status::TableUse { name: table.clone(), ..Default::default() });
                *match access {
                    Access::Read => &mut used.reads,
                    Access::Insert => &mut used.inserts,
                    Access::Update => &mut used.updates,
                    Access::Delete => &mut used.deletes,
                } += times;
            }
            if let [(table, Access::Read)] = count.named.tables.as_slice()
                && let Some(used) = uses.get_mut(table)
            {
                used.row_bytes_mean += count.row_bytes.load(Relaxed);
                used.row_bytes_max = used.row_bytes_max.max(count.row_bytes_max.load(Relaxed));
                *rows.entry(table.clone()).or_default() += count.rows.load(Relaxed);
            }
        }
        let mut uses: Vec<_> = uses.into_values().collect();
        for used in &mut uses {
            used.row_bytes_mean /= rows.get(&used.name).copied().unwrap_or_default().max(1);
        }
        uses.sort_by_key(|used| std::cmp::Reverse(used.reads + used.inserts + used.updates + used.deletes));
        uses.truncate(TABLES_SHOWN_MAX);
        uses
    }

    fn find(&self, digest: u64, sql: &[u8]) -> Arc<Count> {
        let mut table = self.lock();
        // Zero stands for all that found no room; no statement is expected to hash to it, and one that does is in good company.
        let (digest, text) = match table.contains_key(&digest) || table.len() < DIGESTS_MAX {
            true => (digest, None),
            false => (0, Some("(statements beyond the first 1000)".to_owned())),
        };
        let new = || {
            // What stands for many statements names no table.
            let named = if text.is_none() { Named::in_text(sql) } else { Named::default() };
            Arc::new(Count { text: text.unwrap_or_else(|| shape(sql, TEXT_MAX)), named, ..Count::default() })
        };
        table.entry(digest).or_insert_with(new).clone()
    }

    /// A number for the statement's shape.
    pub fn digest(&self, sql: &[u8]) -> u64 {
        self.digest_in(sql, &mut Shape::default())
    }

    fn digest_in(&self, sql: &[u8], shape: &mut Shape) -> u64 {
        shape.0.clear();
        hash_shape(sql, shape);
        let mut hasher = self.keys.build_hasher();
        hasher.write(&shape.0);
        shape.0.shrink_to(SHAPE_BYTES);
        hasher.finish()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Count>, Mixed>> {
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
        let digest = digests.digest_in(sql, &mut self.shape);
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

/// One execution as its span tells it.
pub struct Executed {
    pub us: u64,
    pub rows: u64,
    pub ok: bool,
    /// Answered from a stored result.
    pub kept: bool,
}

impl Count {
    /// Tells the trace that the statement belongs to.
    #[cold]
    pub fn trace(&self, calling: Calling, database: &str, executed: &Executed) {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let Executed { us, rows, ok, kept } = *executed;
        calling.ended(|context| pumasi_trace::Statement {
            context,
            ended_unix_us: since_epoch.as_micros() as u64,
            took_us: us,
            database: database.into(),
            text: self.text.as_str().into(),
            rows,
            ok,
            kept,
        });
    }

    /// The statement without its values.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// One execution is over.
    pub fn ran(&self, us: u64, rows: u64, ok: bool) {
        self.count.fetch_add(1, Relaxed);
        self.total_us.fetch_add(us, Relaxed);
        self.max_us.fetch_max(us, Relaxed);
        self.times.record(us);
        self.rows.fetch_add(rows, Relaxed);
        if !ok {
            self.errors.fetch_add(1, Relaxed);
        }
    }

    /// The rows of one answer: their bytes together, and those of the longest.
    pub fn sent(&self, bytes: u64, longest: u64) {
        self.row_bytes.fetch_add(bytes, Relaxed);
        if longest > self.row_bytes_max.load(Relaxed) {
            self.row_bytes_max.fetch_max(longest, Relaxed);
        }
    }

    /// Whether the latest answer may be kept, and if not, why.
    pub fn kept(&self, refused: Option<&'static str>) {
        if refused.is_none() && !self.bypassed.load(Relaxed) {
            return;
        }
        if *self.refused.read().unwrap_or_else(PoisonError::into_inner) != refused {
            *self.refused.write().unwrap_or_else(PoisonError::into_inner) = refused;
            self.bypassed.store(refused.is_some(), Relaxed);
        }
    }

    /// One execution was answered from a stored result.
    pub fn hit(&self, us: u64, rows: u64) {
        self.hits.fetch_add(1, Relaxed);
        self.ran(us, rows, true);
    }

    fn shown(&self) -> pumasi_status::Digest {
        let Quantiles { p50_us, p95_us, p99_us } = self.times.quantiles();
        pumasi_status::Digest {
            text: self.text.clone(),
            count: self.count.load(Relaxed),
            errors: self.errors.load(Relaxed),
            total_us: self.total_us.load(Relaxed),
            max_us: self.max_us.load(Relaxed),
            rows: self.rows.load(Relaxed),
            hits: self.hits.load(Relaxed),
            p50_us,
            p95_us,
            p99_us,
            invalidations: self.invalidations.status(),
            bypass: self.refused.read().unwrap_or_else(PoisonError::into_inner).map(str::to_owned),
        }
    }
}
