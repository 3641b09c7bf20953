//! Follows the primary's binary log as a replica would: which rows a commit changed, and what was written past the proxy.
//!
//! A commit through the proxy waits a little for its rows ([`Told::claim`]); if they do not come in time its tables count as changed in
//! unknown rows, so a slow log costs hits and nothing else. What nobody has claimed yet is fenced as soon as it is seen. If a statement of ours that may
//! have made it is under way, it is waited for; a transaction that none of them claims was written by somebody else, and is bumped when it is visible to readers,
//! which the log alone does not say (the event may come before the commit; [`super::visible`]). Such writes are seen late, by the log's lag; nobody could have fenced them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    rc::Rc,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use pumasi_binlog::{Change, Group, Groups, Gtid, Row, Value};
use pumasi_freshness::{Changes, Fence, Table, Tables};
use pumasi_mysqlwire::ErrPacket;
use pumasi_sqltext::{Key as RowKey, Scalar};
use tokio::{
    sync::{Notify, oneshot, watch},
    time::{sleep, timeout},
};
use tracing::{debug, info, warn};

use super::{
    Follow, Generation, Order,
    catalogue::Catalogue,
    control,
    visible::{Looker, Place, Reading},
};
use crate::{
    front::{login::random, wire::Lost},
    proxy::{backend::Backend, backend::owned, target::Target},
    results::unix_ms_now,
};

/// How long a commit waits for its rows. Its fence stands so much longer.
const ROWS_WAIT: Duration = Duration::from_millis(5);

/// How long the fence of a write past the proxy stands if its visibility cannot be asked for: a schema change, XA COMMIT (whose place in the log may be
/// reported before it is carried out), a server that does not commit in the log's order or does not say how far it is.
const VISIBLE_AFTER: Duration = Duration::from_millis(200);

/// How long the log is left unread while nobody waits for what it says: a dozen transactions cost one wake-up then. Who asks for rows ends the pause, and
/// a write past the proxy is seen so much later.
const PAUSE: Duration = Duration::from_millis(2);

/// Positions that are remembered until their transaction, or their statement, comes.
const CLAIMS_MAX: usize = 65_536;

/// Between two attempts to follow.
const RETRY: Duration = Duration::from_secs(1);

/// Why the log of a server is not followed any more when it is no longer the primary.
const ANOTHER: &str = "another server is the primary";

/// HEARTBEAT_LOG_EVENT's type, the fifth byte of an event.
const HEARTBEAT: u8 = 27;

/// Without an event or a heartbeat for so long the connection counts as lost. The server is asked for a heartbeat each second.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// What the log has told, and what is waited for.
#[derive(Default)]
pub struct Told {
    live: AtomicBool,
    /// Why it is not followed.
    trouble: Mutex<String>,
    inner: Mutex<Inner>,
    /// A statement that may write is over.
    answered: Notify,
    /// Somebody waits for rows.
    asked: Notify,
    unseen: AtomicU64,
    exact: AtomicU64,
    late: AtomicU64,
    unasked: AtomicU64,
    /// Of the latest event, in milliseconds.
    lag_ms: AtomicU64,
}

#[derive(Default)]
struct Inner {
    /// Came before their statement asked, each behind a fence of its own: it may be somebody else's.
    ready: HashMap<Gtid, (Arc<Group>, Fence)>,
    waiting: HashMap<Gtid, oneshot::Sender<Arc<Group>>>,
    /// Asked for and not waited for any longer.
    claimed: HashMap<Gtid, ()>,
    /// What the statements may write that are under way, in the order they were sent.
    sent: BTreeMap<u64, Tables>,
    next: u64,
}

impl Inner {
    /// What comes at `gtid` is ours, and not waited for.
    fn claim(&mut self, gtid: Gtid) {
        if self.claimed.len() >= CLAIMS_MAX {
            // Those that still come count as somebody else's: a needless bump.
            self.claimed.clear();
        }
        self.claimed.insert(gtid, ());
    }

    /// See [`Told::handed_over`].
    fn hand_over(&mut self, gtid: Gtid, group: &Arc<Group>) -> bool {
        let Some(waiting) = self.waiting.remove(&gtid) else { return self.claimed.remove(&gtid).is_some() };
        // Refused if its statement has given up waiting this very moment; then unknown rows have changed, and it is no less its own.
        let _ = waiting.send(group.clone());
        true
    }
}

/// A statement that may write is under way, until this is dropped: before that it has claimed its transaction.
pub struct UnderWay {
    follow: Arc<Follow>,
    number: u64,
}

impl UnderWay {
    /// Call before the statement is sent.
    pub fn new(follow: &Arc<Follow>, tables: &Tables) -> UnderWay {
        let mut inner = follow.told.inner();
        let number = inner.next;
        inner.next += 1;
        inner.sent.insert(number, tables.clone());
        UnderWay { follow: follow.clone(), number }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.follow.told.inner().sent.remove(&self.number);
        self.follow.told.answered.notify_waiters();
    }
}

impl Told {
    pub fn live(&self) -> bool {
        self.live.load(Relaxed)
    }

    pub fn trouble(&self) -> String {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Transactions that did not pass through the proxy, commits whose rows were known, commits whose rows came too late.
    pub fn counts(&self) -> (u64, u64, u64) {
        (self.unseen.load(Relaxed), self.exact.load(Relaxed), self.late.load(Relaxed))
    }

    /// Commits whose rows nobody wanted to know.
    pub fn unasked(&self) -> u64 {
        self.unasked.load(Relaxed)
    }

    pub fn lag_ms(&self) -> u64 {
        self.lag_ms.load(Relaxed)
    }

    /// The rows of our own commit at `gtid`; `None` if the log is not followed or is behind.
    pub async fn claim(&self, gtid: Gtid) -> Option<Arc<Group>> {
        if !self.live() {
            return None;
        }
        let told = {
            let mut inner = self.inner();
            if let Some((group, fence)) = inner.ready.remove(&gtid) {
                self.exact.fetch_add(1, Relaxed);
                fence.release();
                return Some(group);
            }
            let (tell, told) = oneshot::channel();
            inner.waiting.insert(gtid, tell);
            told
        };
        self.asked.notify_one();
        if let Ok(Ok(group)) = timeout(ROWS_WAIT, told).await {
            self.exact.fetch_add(1, Relaxed);
            return Some(group);
        }
        self.late.fetch_add(1, Relaxed);
        let mut inner = self.inner();
        // If it is not waited for any more, it came this very moment.
        if inner.waiting.remove(&gtid).is_some() {
            inner.claim(gtid);
        }
        None
    }

    /// The transaction at `gtid` is ours, and its rows are not asked for: its tables count as changed in unknown rows.
    pub fn disown(&self, gtid: Gtid) {
        if !self.live() {
            return;
        }
        self.unasked.fetch_add(1, Relaxed);
        let mut inner = self.inner();
        match inner.ready.remove(&gtid) {
            Some((_, fence)) => fence.release(),
            None => inner.claim(gtid),
        }
    }

    /// True if somebody has asked for the group: it is theirs.
    fn handed_over(&self, gtid: Gtid, group: &Arc<Group>) -> bool {
        self.inner().hand_over(gtid, group)
    }

    /// Transactions that nobody has claimed yet, and statements under way that may write.
    #[cfg(test)]
    pub fn open(&self) -> (usize, usize) {
        let inner = self.inner();
        (inner.ready.len(), inner.sent.len())
    }

    /// Keeps the group until somebody asks for it. Returns the number of the next statement that is sent: it cannot have made this. `None` if somebody has asked
    /// since [`Told::handed_over`]: the fence was not made in no time.
    fn keep(&self, gtid: Gtid, group: &Arc<Group>, fence: Fence) -> Option<u64> {
        let mut inner = self.inner();
        if inner.hand_over(gtid, group) {
            fence.release();
            return None;
        }
        if inner.ready.len() >= CLAIMS_MAX {
            // Fences whose outcome nobody will know: everything is forgotten.
            inner.ready.clear();
        }
        inner.ready.insert(gtid, (group.clone(), fence));
        Some(inner.next)
    }

    /// Nobody has claimed it: its fence.
    fn left(&self, gtid: Gtid) -> Option<Fence> {
        self.inner().ready.remove(&gtid).map(|(_, fence)| fence)
    }

    /// Returns when no statement is under way that was sent before number `next` and may write one of `tables`.
    async fn answered(&self, next: u64, tables: &Tables) {
        loop {
            let notified = self.answered.notified();
            tokio::pin!(notified);
            // From here on none is missed.
            notified.as_mut().enable();
            if !self.inner().sent.range(..next).any(|(_, sent)| meet(sent, tables)) {
                return;
            }
            notified.await;
        }
    }

    fn ended(&self, why: &str) -> bool {
        why.clone_into(&mut self.trouble.lock().unwrap_or_else(PoisonError::into_inner));
        let live = self.live.swap(false, Relaxed);
        let mut inner = self.inner();
        let Inner { ready, waiting, claimed, .. } = &mut *inner;
        // What was kept goes with its fences; who follows begins a new epoch.
        for (_, (_, fence)) in ready.drain() {
            fence.commit(&Changes::new());
        }
        waiting.clear();
        claimed.clear();
        live
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Until the proxy is gone: follows whichever server `target` names.
pub async fn run(follow: Weak<Follow>, mut target: watch::Receiver<Target>) {
    let mut said = String::new();
    loop {
        let server = target.borrow_and_update().clone();
        let why = tokio::select! {
            why = stream(&follow, &server) => why,
            changed = target.changed() => match changed {
                Ok(()) => ANOTHER.to_owned(),
                Err(_) => return,
            },
        };
        let Some(followed) = follow.upgrade() else { return };
        if followed.told.ended(&why) {
            // What was written from here on until it is followed again was seen by nobody.
            followed.freshness().new_epoch();
        }
        drop(followed);
        if why == ANOTHER {
            // At once, and nothing to be said: that one is followed next.
            continue;
        }
        if said != why {
            warn!(reason = %why, "the binary log is not followed: writes that do not pass through Pumasi are not seen");
            said = why;
        }
        sleep(RETRY).await;
    }
}

/// Follows until it cannot any more; says why.
async fn stream(follow: &Weak<Follow>, target: &Target) -> String {
    match try_stream(follow, target).await {
        Ok(why) => why,
        Err(lost) => format!("connection lost: {lost}"),
    }
}

async fn try_stream(follow: &Weak<Follow>, target: &Target) -> Result<String, Lost> {
    let mut connection = match control::connect(target, &target.login()).await {
        Ok(connection) => connection,
        Err(error) => return Ok(error.to_string()),
    };
    if !connection.facts.version.contains("MariaDB") {
        return Ok("only MariaDB's positions are followed".to_owned());
    }
    let asked = "SHOW GLOBAL VARIABLES WHERE Variable_name IN \
        ('log_bin', 'binlog_format', 'binlog_row_image', 'binlog_optimize_thread_scheduling')";
    let settings = match connection.rows(asked, 8).await? {
        Ok(rows) => rows,
        Err(error) => return Ok(error.message),
    };
    let setting = |name: &str| settings.iter().find(|row| row[0].as_deref() == Some(name)).and_then(|row| row[1].clone());
    for (name, wanted) in [("log_bin", "ON"), ("binlog_format", "ROW"), ("binlog_row_image", "FULL")] {
        let set = setting(name).unwrap_or_default();
        if !set.eq_ignore_ascii_case(wanted) {
            return Ok(format!("{name} is {set}, it must be {wanted}"));
        }
    }
    let status = match connection.rows("SHOW MASTER STATUS", 1).await? {
        Ok(rows) => rows,
        Err(error) => return Ok(error.message),
    };
    let Some([Some(file), _, only, without, ..]) = status.first().map(|row| &row[..]) else {
        return Ok("the log has no position".to_owned());
    };
    if [only, without].iter().any(|filter| filter.as_ref().is_some_and(|filter| !filter.is_empty())) {
        return Ok("the log leaves databases out (binlog_do_db, binlog_ignore_db)".to_owned());
    }
    // A number of our own: the server ends the older of two replicas that have the same.
    let [a, b, c, d, ..] = random().map_err(Lost::Io)?;
    let number = u32::from_le_bytes([a, b, c, d]) | 0x4000_0000;
    for sql in [
        "SET @mariadb_slave_capability = 4",
        "SET @master_binlog_checksum = @@GLOBAL.binlog_checksum",
        "SET @master_heartbeat_period = 1000000000",
        "SET @slave_connect_state = @@GLOBAL.gtid_binlog_pos",
        "SET @slave_gtid_strict_mode = 0",
    ] {
        if let Err(error) = connection.rows(sql, 1).await? {
            return Ok(error.message);
        }
    }
    register(&mut connection, number).await?;
    let answer = connection.link.receive().await?;
    if let Ok(error) = ErrPacket::decode(&answer) {
        return Ok(owned(&error).message);
    }
    dump(&mut connection, number).await?;
    let mut groups = Groups::new();
    let mut reading = Reading::new(file);
    let looker = Rc::new(Looker::new(target, file, setting("binlog_optimize_thread_scheduling").is_none_or(|set| set == "ON")));
    let mut live = false;
    let mut unasked = 0;
    loop {
        if !connection.link.inbox.ready()? {
            pause(follow, &mut unasked).await;
        }
        let packet = match timeout(SILENCE_MAX, connection.link.receive()).await {
            Ok(packet) => packet?,
            Err(_) => return Ok(format!("no heartbeat for {} s", SILENCE_MAX.as_secs())),
        };
        let event = match packet.split_first() {
            Some((0, event)) => event,
            Some((0xff, _)) => {
                return Ok(ErrPacket::decode(&packet).map_or_else(|_| "an error".to_owned(), |error| owned(&error).message));
            }
            _ => return Ok("the server has ended the log".to_owned()),
        };
        let Some(followed) = follow.upgrade() else { return Ok("the proxy is gone".to_owned()) };
        if !live {
            live = true;
            // What was written before this moment past the proxy was seen by nobody.
            followed.told.live.store(true, Relaxed);
            followed.freshness().new_epoch();
            info!(server = %target.address(), "the binary log is followed: rows are known, and writes past Pumasi are seen");
        }
        note_lag(&followed.told, event);
        let place = reading.pass(event);
        match groups.take(event) {
            Ok(Some(group)) => told(&followed, group, place, &looker),
            Ok(None) => {}
            Err(error) => return Ok(error.to_string()),
        }
    }
}

/// Everything that had come has been read. Waits a little if commits have gone by since the last time whose rows nobody wants, and nobody waits for any.
async fn pause(follow: &Weak<Follow>, unasked: &mut u64) {
    let Some(followed) = follow.upgrade() else { return };
    let told = &followed.told;
    let asked = told.asked.notified();
    let more = told.unasked();
    if std::mem::replace(unasked, more) == more || !told.inner().waiting.is_empty() {
        return;
    }
    let _ = timeout(PAUSE, asked).await;
}

async fn register(connection: &mut Backend, number: u32) -> Result<(), Lost> {
    connection.link.sequence.restart();
    connection.link.packet(|out| {
        out.push(0x15);
        out.extend_from_slice(&number.to_le_bytes());
        // No name, no user, no password to be shown in SHOW SLAVE HOSTS; no port; rank and source: unused.
        out.extend_from_slice(&[0; 3 + 2 + 4 + 4]);
    });
    connection.link.flush().await
}

async fn dump(connection: &mut Backend, number: u32) -> Result<(), Lost> {
    connection.link.sequence.restart();
    connection.link.packet(|out| {
        out.push(0x12);
        // The place is @slave_connect_state's, not that of a file.
        out.extend_from_slice(&4_u32.to_le_bytes());
        out.extend_from_slice(&0_u16.to_le_bytes());
        out.extend_from_slice(&number.to_le_bytes());
    });
    connection.link.flush().await
}

/// The log's clock counts seconds; an event without a time is the server's own. A heartbeat is sent when there is nothing else to send: whatever the
/// age of the event before it, such as the head of a log that nobody has written to since, nothing is behind then.
fn note_lag(told: &Told, event: &[u8]) {
    if event.get(4) == Some(&HEARTBEAT) {
        return told.lag_ms.store(0, Relaxed);
    }
    let Some(seconds) = event.first_chunk::<4>().map(|bytes| u64::from(u32::from_le_bytes(*bytes))).filter(|seconds| *seconds > 0) else {
        return;
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    told.lag_ms.store(now.saturating_sub(seconds) * 1000, Relaxed);
}

/// `place`: where the group ends in the log.
fn told(follow: &Arc<Follow>, group: Group, place: Option<Place>, looker: &Rc<Looker>) {
    let group = Arc::new(group);
    let looker = looker.clone();
    let Some(gtid) = group.gtid else {
        // Without a position nobody can claim it.
        let generation = follow.generation();
        let closure = written(&generation, &group);
        let fence = follow.freshness().fence(closure.clone());
        tokio::task::spawn_local(unseen(follow.clone(), Arc::downgrade(&generation), group, place, looker, closure, fence));
        return;
    };
    if follow.told.handed_over(gtid, &group) {
        return;
    }
    // Perhaps ours, and the answer is on its way; perhaps somebody else's, and visible already.
    let generation = follow.generation();
    let closure = written(&generation, &group);
    let Some(next) = follow.told.keep(gtid, &group, follow.freshness().fence(closure.clone())) else { return };
    let (follow, generation) = (follow.clone(), Arc::downgrade(&generation));
    tokio::task::spawn_local(async move {
        follow.told.answered(next, &closure).await;
        if let Some(fence) = follow.told.left(gtid) {
            unseen(follow, generation, group, place, looker, closure, fence).await;
        }
    });
}

fn meet(one: &Tables, other: &Tables) -> bool {
    match (one, other) {
        (Tables::Known(one), Tables::Known(other)) => one.iter().any(|table| other.contains(table)),
        _ => true,
    }
}

/// All that a transaction may have changed.
fn written(generation: &Generation, group: &Group) -> Tables {
    match generation.catalogue() {
        Some(catalogue) if !group.anything => {
            let written: Vec<pumasi_sqltext::TableName> = group
                .tables
                .keys()
                .map(|(database, name)| pumasi_sqltext::TableName { database: database.clone(), name: name.clone() })
                .collect();
            catalogue.closure(&written, b"").tables
        }
        _ => Tables::All,
    }
}

/// A transaction that did not pass through the proxy, fenced by now as `generation` has it.
async fn unseen(
    follow: Arc<Follow>,
    generation: Weak<Generation>,
    group: Arc<Group>,
    place: Option<Place>,
    looker: Rc<Looker>,
    closure: Tables,
    fence: Fence,
) {
    follow.told.unseen.fetch_add(1, Relaxed);
    debug!(gtid = ?group.gtid, tables = ?group.tables.keys(), anything = group.anything, "a transaction that did not pass through the proxy");
    let began = Instant::now();
    let visible = match place {
        Some(place) => looker.visible(place).await,
        None => false,
    };
    if !visible || group.anything {
        sleep(VISIBLE_AFTER.saturating_sub(began.elapsed())).await;
    }
    follow.written_past(group.gtid);
    if group.anything {
        // A statement may have changed the schema.
        let (done, read) = oneshot::channel();
        if follow.orders.send(Order::Read { fence, done }).is_ok() {
            let _ = read.await;
        }
        return;
    }
    // Not held while it is waited: a change of the schema waits for those who hold it.
    let Some(generation) = generation.upgrade().filter(|generation| Arc::ptr_eq(generation, &follow.generation())) else {
        // The schema is another by now: names and columns may not mean what the fence was raised for.
        follow.freshness().new_epoch();
        return fence.commit(&Changes::new());
    };
    let changes = generation.catalogue().map(|catalogue| changes(&group, catalogue, &closure)).unwrap_or_default();
    fence.commit_noted(&changes, unix_ms_now(), None);
}

/// W4: what a transaction changed of the tables in its fence. Children of foreign keys are not in the log: they count as changed in unknown rows
/// if a row they follow was deleted, or changed in a column that is followed.
pub fn changes(group: &Group, catalogue: &Catalogue, fence: &Tables) -> Changes {
    let mut changes = Changes::new();
    let Tables::Known(fenced) = fence else { return changes };
    if group.anything {
        return changes;
    }
    let mut carried: BTreeSet<Table> = BTreeSet::new();
    let mut mentioned: BTreeSet<Table> = BTreeSet::new();
    for ((database, name), change) in &group.tables {
        let table = Table::named(database, name);
        mentioned.insert(table);
        let columns = catalogue.stored_columns(database, name);
        let (rows, columns) = match (change, columns) {
            (Change::Rows(rows), Some(columns)) if rows.iter().flat_map(images).all(|image| image.len() == columns.len()) => {
                (rows, columns)
            }
            _ => {
                changes.unknown_rows(table);
                carried.extend(catalogue.carried(database, name));
                continue;
            }
        };
        changes.exact(table);
        for image in rows.iter().flat_map(images) {
            changes.touch(table);
            for (value, (column, unsigned)) in image.iter().zip(&columns) {
                let scalar = match value {
                    Value::Integer { .. } => value.integer(*unsigned).map_or(Scalar::Other, Scalar::Int),
                    Value::Text(text) => Scalar::Text(text.as_slice().into()),
                    Value::Null | Value::Other => continue,
                };
                if let Some(RowKey(key)) = RowKey::of_stored(&scalar) {
                    changes.row(table, column, &key);
                }
            }
        }
        let followed = |place: usize| catalogue.referenced(database, name, columns[place].0);
        let carries = rows.iter().any(|change| match change {
            (Some(_), None) => true,
            (Some(before), Some(after)) => before
                .iter()
                .zip(after)
                .enumerate()
                .any(|(place, (before, after))| (before != after || *after == Value::Other) && followed(place)),
            (None, _) => false,
        });
        if carries {
            carried.extend(catalogue.carried(database, name));
        }
    }
    for &table in fenced {
        if carried.contains(&table) {
            changes.unknown_rows(table);
        } else if !mentioned.contains(&table) {
            changes.exact(table);
        }
    }
    changes
}

fn images(change: &(Option<Row>, Option<Row>)) -> impl Iterator<Item = &Row> {
    change.0.iter().chain(change.1.iter())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After a promotion at rest the console said that the log of the new primary was minutes behind: it was the age of the log's first event.
    #[test]
    fn a_heartbeat_says_that_nothing_is_behind() {
        let told = Told::default();
        let event = |seconds: u32, kind: u8| [&seconds.to_le_bytes()[..], &[kind; 15]].concat();
        note_lag(&told, &event(1_000_000, 15));
        assert!(told.lag_ms() > 1_000_000_000, "the age of an event that has just come");
        note_lag(&told, &event(0, 4));
        assert!(told.lag_ms() > 1_000_000_000, "an event without a time says nothing");
        note_lag(&told, &event(0, HEARTBEAT));
        assert_eq!(told.lag_ms(), 0);
    }
}
