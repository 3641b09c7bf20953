//! Connections to servers, shared by the clients of one core.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, VecDeque},
    rc::Rc,
    sync::Arc,
};

use pumasi_mysqlwire::{Command, Expect, SqlError};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::AbortHandle,
    time::timeout,
};
use tracing::debug;

use super::{
    Options, Shared,
    backend::{Backend, Key, NoBackend},
    crowd::{Crowd, Spare},
    nature::Nature,
    route::Server,
    rules::denied,
    state::SessionState,
};
use crate::{
    cluster,
    front::digests::{Count, Remembered},
    identity::Identity,
};

/// How many idle connections are looked at for one in the right state, most recently used first.
const LOOK_MAX: usize = 32;

/// The pools of one core, one per server.
pub struct Pools {
    shared: Arc<Shared>,
    /// Of each pool.
    max: usize,
    by_server: RefCell<HashMap<u64, Rc<Pool>>>,
    /// The statements of this core's clients.
    known: RefCell<Remembered<(Nature, bool)>>,
    pub clients: Rc<Crowd>,
    /// For the commands that are being answered.
    pub spare: Spare,
}

impl Pools {
    pub fn new(shared: Arc<Shared>, max: usize) -> Rc<Pools> {
        Rc::new(Pools {
            shared,
            max,
            by_server: RefCell::default(),
            known: RefCell::default(),
            clients: Rc::default(),
            spare: Spare::default(),
        })
    }

    /// A statement's numbers and nature, without reading it word by word if its like was there before.
    /// Errors: 1148 if the operator wants none of its kind.
    pub fn known(&self, sql: &[u8]) -> Result<(Arc<Count>, Nature), SqlError> {
        let Shared { digests, rules, .. } = &*self.shared;
        let find = |sql: &[u8]| (Nature::of(sql), rules.denies(sql, digests));
        match self.known.borrow_mut().look_up(digests, sql, find) {
            (_, (_, true)) => Err(denied()),
            (count, (nature, false)) => Ok((count, nature)),
        }
    }

    pub fn of(&self, server: &Arc<Server>) -> Rc<Pool> {
        let mut pools = self.by_server.borrow_mut();
        if let Some(pool) = pools.get(&server.number) {
            return pool.clone();
        }
        // A new server is rare; the pools of those it may have replaced go with their idle connections.
        pools.retain(|_, pool| !pool.server.retired());
        let pool = Pool::new(self.shared.clone(), server.clone(), self.max, &self.clients);
        pools.insert(server.number, pool.clone());
        pool
    }
}

pub struct Pool {
    shared: Arc<Shared>,
    pub server: Arc<Server>,
    /// One per connection that may be in use.
    places: Arc<Semaphore>,
    max: usize,
    inner: RefCell<Inner>,
    reserve: Reserve,
    /// Tells the clients when the server is deposed.
    watch: AbortHandle,
}

/// A connection beside the others, for KILL QUERY: when the statement to be ended is one of many that have taken all the connections the
/// server grants, a new one would be refused.
#[derive(Default)]
struct Reserve {
    backend: RefCell<Option<Backend>>,
    /// Being opened, or open.
    wanted: Cell<bool>,
}

#[derive(Default)]
struct Inner {
    /// The most recently used last.
    idle: VecDeque<Backend>,
    /// Idle and in use.
    open: usize,
}

/// A connection in use. Give it back with [`Lease::release`]; dropped, it is closed: its state is not known.
pub struct Lease {
    pub backend: Backend,
    pub pool: Rc<Pool>,
    /// Gives the place in `open` back when the connection is closed.
    open: Open,
    _place: OwnedSemaphorePermit,
}

/// Why there is none.
#[derive(Debug)]
pub enum NoLease {
    /// What the client is told: 1040 when none became free in time, or what the server says when it refuses the login.
    Refused(SqlError),
    /// 1429, if no other server will do.
    Unreachable(SqlError),
}

impl NoLease {
    pub fn error(self) -> SqlError {
        let (NoLease::Refused(error) | NoLease::Unreachable(error)) = self;
        error
    }
}

impl From<NoBackend> for NoLease {
    fn from(error: NoBackend) -> NoLease {
        match error {
            NoBackend::Refused(error) => NoLease::Refused(error),
            unreachable => {
                NoLease::Unreachable(SqlError::new(1429, "HY000", format!("Unable to connect to the database server: {unreachable}")))
            }
        }
    }
}

struct Open(Option<Rc<Pool>>);

impl Drop for Pool {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(pool) = &self.0 {
            pool.inner.borrow_mut().open -= 1;
        }
    }
}

impl Pool {
    /// At most `max` connections.
    fn new(shared: Arc<Shared>, server: Arc<Server>, max: usize, clients: &Rc<Crowd>) -> Rc<Pool> {
        let (watched, clients) = (server.clone(), clients.clone());
        // One task for all that wait for this server's answers: each statement then waits for its answer and nothing else.
        let watch = tokio::task::spawn_local(async move {
            watched.deposition().await;
            clients.tell();
        });
        Rc::new(Pool {
            shared,
            server,
            places: Arc::new(Semaphore::new(max)),
            max,
            inner: RefCell::default(),
            reserve: Reserve::default(),
            watch: watch.abort_handle(),
        })
    }

    /// A connection of `key`'s kind, as near to the state `wanted` as there is one; not yet aligned to it.
    pub async fn acquire(self: &Rc<Pool>, key: &Arc<Key>, user: &Identity, wanted: &SessionState) -> Result<Lease, NoLease> {
        let place = match self.places.clone().try_acquire_owned() {
            Ok(place) => place,
            Err(_) => {
                self.shared.pool_waits.add(1);
                let waiting = self.places.clone().acquire_owned();
                let Ok(place) = timeout(self.shared.options.connections_wait, waiting).await else {
                    return Err(NoLease::Refused(self.none_free()));
                };
                place.expect("the semaphore is never closed")
            }
        };
        while let Some(backend) = self.nearest(key, wanted) {
            if backend.link.quiet() {
                return Ok(Lease { backend, pool: self.clone(), open: Open(Some(self.clone())), _place: place });
            }
            debug!(server = %self.server.target.address(), connection = backend.server_id, "the server has closed an idle connection");
            self.inner.borrow_mut().open -= 1;
        }
        self.make_room();
        let open = Open(Some(self.clone()));
        self.inner.borrow_mut().open += 1;
        // Apart, as everything rare is: a task is as large as the largest thing it ever waits for, and there are as many as clients.
        let connecting = Box::pin(Backend::connect(&self.server.target, key, user));
        let backend = Box::pin(cluster::admitted(&self.server, connecting)).await?;
        self.shared.learn_facts(&backend.facts);
        self.open_reserve(user);
        Ok(Lease { backend, pool: self.clone(), open, _place: place })
    }

    /// The idle connection `number`, if nobody used it since its `uses`-th statement.
    pub fn same_again(self: &Rc<Pool>, number: u64, uses: u64) -> Option<Lease> {
        let place = self.places.clone().try_acquire_owned().ok()?;
        let mut inner = self.inner.borrow_mut();
        let at = inner.idle.iter().position(|backend| backend.number == number && backend.uses == uses)?;
        let backend = inner.idle.remove(at).expect("found above");
        drop(inner);
        let lease = Lease { backend, pool: self.clone(), open: Open(Some(self.clone())), _place: place };
        lease.backend.link.quiet().then_some(lease)
    }

    /// The idle connection `number`.
    pub fn idle(self: &Rc<Pool>, number: u64) -> Option<Lease> {
        let uses = self.inner.borrow().idle.iter().find(|backend| backend.number == number)?.uses;
        self.same_again(number, uses)
    }

    // === KILL QUERY ===

    fn open_reserve(self: &Rc<Pool>, user: &Identity) {
        if self.reserve.wanted.replace(true) {
            return;
        }
        let (pool, user) = (self.clone(), user.clone());
        tokio::task::spawn_local(async move {
            let backend = pool.connect_beside(&user).await;
            pool.reserve.wanted.set(backend.is_some());
            *pool.reserve.backend.borrow_mut() = backend;
        });
    }

    /// As whom the server's address says, who may end anybody's statement if that is an administrator; else as the client itself.
    async fn connect_beside(&self, user: &Identity) -> Option<Backend> {
        for user in [&self.server.target.login(), user] {
            let key = Arc::new(Key::plain(&user.name));
            if let Ok(backend) = Backend::connect(&self.server.target, &key, user).await {
                return Some(backend);
            }
        }
        None
    }

    /// Ends the statement that runs on the server's connection `server_id` for `user`. Errors: the reason, for the log.
    pub async fn interrupt(self: &Rc<Pool>, server_id: u32, user: &Identity) -> Result<(), String> {
        let sql = format!("KILL QUERY {server_id}");
        let reserved = self.reserve.backend.borrow_mut().take();
        self.reserve.wanted.set(false);
        let mut beside = match reserved {
            Some(backend) if backend.link.quiet() => Some(backend),
            _ => self.connect_beside(user).await,
        };
        let mut why = "no connection beside those in use".to_owned();
        if let Some(backend) = &mut beside {
            match backend.run(Command::Query(sql.as_bytes()), Expect::Results).await {
                Ok(Ok(())) => {
                    self.reserve.wanted.set(true);
                    *self.reserve.backend.borrow_mut() = beside;
                    return Ok(());
                }
                Ok(Err(error)) => why = error.to_string(),
                Err(lost) => why = lost.to_string(),
            }
        }
        // Not that user's to end: its own user may.
        let own = Backend::connect(&self.server.target, &Arc::new(Key::plain(&user.name)), user).await;
        match own.map_err(|error| error.to_string())?.run(Command::Query(sql.as_bytes()), Expect::Results).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(format!("{why}; {error}")),
            Err(lost) => Err(format!("{why}; {lost}")),
        }
    }

    fn none_free(&self) -> SqlError {
        let Options { connections_max, connections_wait, .. } = &self.shared.options;
        SqlError::new(
            1040,
            "08004",
            format!(
                "Too many connections: none of the {} server connections of this core became free within {connections_wait:?} \
                 (sql.server_connections_max = {connections_max} for all cores, sql.server_connections_wait)",
                self.max
            ),
        )
    }

    /// Takes the idle connection that is the least work to align.
    fn nearest(&self, key: &Arc<Key>, wanted: &SessionState) -> Option<Backend> {
        let mut inner = self.inner.borrow_mut();
        let candidates =
            inner.idle.iter().enumerate().rev().filter(|(_, backend)| Arc::ptr_eq(&backend.key, key) || backend.key == *key).take(LOOK_MAX);
        let mut best: Option<(u8, usize)> = None;
        for (at, backend) in candidates {
            let Some(distance) = backend.distance(wanted) else { continue };
            if best.is_none_or(|(other, _)| distance < other) {
                best = Some((distance, at));
            }
            if distance == 0 {
                break;
            }
        }
        inner.idle.remove(best?.1)
    }

    /// Closes the connection that has been idle longest, if all are open: those that are idle are of another kind.
    fn make_room(&self) {
        let mut inner = self.inner.borrow_mut();
        while inner.open >= self.max {
            if inner.idle.pop_front().is_none() {
                break;
            }
            inner.open -= 1;
        }
    }
}

impl Lease {
    pub fn server(&self) -> &Arc<Server> {
        &self.pool.server
    }

    /// Gives the connection back for the next client.
    pub fn release(mut self) {
        let Some(pool) = self.open.0.take() else { return };
        if pool.server.retired() {
            pool.inner.borrow_mut().open -= 1;
            return;
        }
        pool.inner.borrow_mut().idle.push_back(self.backend);
    }
}
