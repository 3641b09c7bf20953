//! One core: everything its connections share without a lock.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    ops::Deref,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use arc_swap::{ArcSwap, Cache};
use pumasi_config::{Attribution, PagesMode};
use pumasi_pagestore::Pages;

use crate::{
    access_log::CoreLog,
    buffers::Buffers,
    contents::Contents,
    counters::CoreCounters,
    date::HttpDate,
    files::reading::Readers,
    pages::{automatic::Habits, disk::Reads},
    relay::splice::Pipes,
    request_id::RequestId,
    routes::{Route, Snapshot},
    timer::Timers,
    upstream::{IdleConnections, http2::Http2Connections},
};

/// What all cores share.
pub(crate) struct Shared {
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// Client connections open over all cores; bounded by `EdgeLimits::connections_max`.
    pub connections: AtomicUsize,
    pub draining: AtomicBool,
    /// Stored pages, for routes that want it.
    pub pages: Arc<Pages>,
    /// What is on disk of them.
    pub disk_reads: Reads,
    /// Static content, for routes that have some.
    pub files: Readers,
    /// What is known of routes whose pages are stored automatically.
    pub habits: Habits,
    /// Distinguishes this run's request ids from the last run's.
    pub run: u64,
    /// Where finished exchanges are offered.
    pub tap: Arc<pumasi_trace::Tap>,
}

/// What is spoken on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1 or HTTP/2, in the clear.
    Plain,
    /// The same inside TLS.
    Tls,
    /// Nothing that we understand: passed on.
    Tcp,
}

/// One listening address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address {
    pub written: SocketAddr,
    pub protocol: Protocol,
    /// The same unless `written` has port 0.
    pub bound: SocketAddr,
}

/// A snapshot as the requests of one core hold it: counted by that core alone.
#[derive(Clone)]
pub(crate) struct CoreSnapshot(
    #[expect(clippy::redundant_allocation, reason = "the outer count is this core's, the inner one all cores write")] Rc<Arc<Snapshot>>,
);

impl Deref for CoreSnapshot {
    type Target = Arc<Snapshot>;

    fn deref(&self) -> &Arc<Snapshot> {
        &self.0
    }
}

/// One core's own things. Lives on its thread.
pub(crate) struct Core {
    pub shared: Arc<Shared>,
    snapshot: RefCell<Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>>,
    /// The one of the last request, so that the next needs no counted pointer that all cores write.
    shared_snapshot: RefCell<CoreSnapshot>,
    pub timers: Rc<Timers>,
    pub buffers: Rc<Buffers>,
    pub idle: IdleConnections,
    pub http2: Http2Connections,
    pub pipes: Pipes,
    /// What requests under way brought, while a recording wants it.
    pub contents: Contents,
    pub counters: Arc<CoreCounters>,
    pub log: CoreLog,
    pub date: HttpDate,
    /// The same moment on both clocks, as of the last tick.
    unix: Cell<(Instant, u64)>,
    /// Scratch for the name a page is looked up by. Taken and put back within one poll.
    pub target: Cell<Vec<u8>>,
    /// Scratch for field lines, so that building a head costs no allocation. Taken and put back within one poll.
    pub lines: Cell<Vec<u8>>,
    number: u64,
    requests: Cell<u64>,
}

impl Core {
    /// Belongs on the thread that it is made on.
    pub fn new(number: usize, shared: Arc<Shared>, counters: Arc<CoreCounters>, log: CoreLog) -> Core {
        Core {
            snapshot: RefCell::new(Cache::new(shared.snapshot.clone())),
            shared_snapshot: RefCell::new(CoreSnapshot(Rc::new(shared.snapshot.load_full()))),
            timers: Timers::new(Instant::now()),
            buffers: Rc::default(),
            idle: IdleConnections::default(),
            http2: Http2Connections::default(),
            pipes: Pipes::default(),
            contents: Contents::default(),
            date: HttpDate::new(SystemTime::now()),
            unix: Cell::new((Instant::now(), unix_ms_now())),
            target: Cell::default(),
            lines: Cell::default(),
            number: number as u64,
            requests: Cell::new(0),
            shared,
            counters,
            log,
        }
    }

    /// The configuration as of now. A request keeps the one it began with.
    pub fn snapshot(&self) -> CoreSnapshot {
        let mut cache = self.snapshot.borrow_mut();
        let (now, mut shared) = (cache.load(), self.shared_snapshot.borrow_mut());
        if !Arc::ptr_eq(now, &shared) {
            *shared = CoreSnapshot(Rc::new(now.clone()));
        }
        shared.clone()
    }

    /// A look at the configuration as of now, without counting another owner of it. `look` must not ask the core for it again.
    pub fn with_snapshot<R>(&self, look: impl FnOnce(&Snapshot) -> R) -> R {
        look(self.snapshot.borrow_mut().load())
    }

    /// Milliseconds since the Unix epoch at a moment that was read from the other clock already: one reading serves both.
    pub fn unix_ms(&self, at: Instant) -> u64 {
        let (then, unix_ms) = self.unix.get();
        unix_ms + at.saturating_duration_since(then).as_millis() as u64
    }

    pub fn draining(&self) -> bool {
        self.shared.draining.load(Ordering::Relaxed)
    }

    /// A name for the request that no other request of this machine's recent past has.
    pub fn next_request_id(&self) -> RequestId {
        let count = self.requests.get() + 1;
        self.requests.set(count);
        RequestId::mixed((self.shared.run ^ (self.number << 48)).wrapping_add(count))
    }
}

impl Core {
    /// Ten times a second: moves the clocks, and ends what has been idle for too long.
    pub fn tick(&self) {
        self.timers.tick(Instant::now());
        self.date.update(SystemTime::now());
        self.unix.set((Instant::now(), unix_ms_now()));
        self.log.flush();
        let limits = &self.snapshot().limits;
        self.idle.expire(self.timers.now_ms(), limits.upstream_idle_timeout);
        self.http2.expire(self.timers.now_ms(), limits.upstream_idle_timeout);
    }
}

impl Core {
    /// What the upstream is told of it: a trace as well where its statements name their request by one, whoever wants traces.
    pub fn trace_of(&self, route: &Route, head: &pumasi_http1::RequestHead, id: RequestId) -> Option<pumasi_trace::Context> {
        let named = route.attribution == Attribution::Traceparent && route.pages == PagesMode::Automatic;
        let trace = self.trace(head, id);
        if named && trace.is_none() {
            // One that is not sampled: it is a name and nothing else.
            return Some(pumasi_trace::Context::of(head.fields.get_named("traceparent"), id.number(), self.shared.run, 0));
        }
        trace
    }

    /// Where a request stands in a trace; None while nobody wants traces.
    pub fn trace(&self, head: &pumasi_http1::RequestHead, id: RequestId) -> Option<pumasi_trace::Context> {
        let tap = &self.shared.tap;
        if !tap.tracing.wanted() {
            return None;
        }
        tap.context(head.fields.get_named("traceparent"), id.number(), self.shared.run)
    }
}

/// Counts a client connection for as long as it lives, however it ends.
pub(crate) struct OpenConnection {
    pub core: Rc<Core>,
}

impl OpenConnection {
    /// The shared count was raised by the caller.
    pub fn new(core: Rc<Core>) -> OpenConnection {
        core.counters.connection_opened();
        OpenConnection { core }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.core.shared.connections.fetch_sub(1, Ordering::Relaxed);
        self.core.counters.connection_closed();
    }
}

/// The system's clock now, which may be set at any time: what lasts is measured by `Instant`.
pub(crate) fn unix_ms_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
