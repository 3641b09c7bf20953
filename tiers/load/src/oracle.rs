//! `pumasi load --verify mysql://...`: proves that no query is answered from before an acknowledged write.
//!
//! Rows that only ever count up stand in tables of the oracle's own. Connections send statements in batches without waiting: reads of a row by text and by
//! prepared statement, of a whole table, of what a trigger copies and a foreign key carries along, within transactions; and writes, alone and in
//! transactions, some rolled back. Before a statement is sent, what was acknowledged and what anybody was shown is a floor under what it may
//! show; what was begun by the time its answer is read is a ceiling. For a counter this is all that linearizability asks (Herlihy and Wing
//! 1990, for one object): nothing stale passes, nothing right is accused. On one connection a read is owed that connection's earlier writes as well.
//!
//! A connection that breaks (that is what a check under faults is for) proves nothing and is made anew; its write counts as begun.

mod connection;
mod counter;

use std::{
    io,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use self::{
    connection::{Connection, Reply},
    counter::Counter,
};
use crate::random::Dice;

/// Tables of counters. Several, because a server without row images forgets by table.
const TABLES: usize = 8;

/// Counters in a table.
const KEYS: usize = 16;

/// Statements sent without waiting.
const BATCH: usize = 64;

/// How long a broken connection is tried again before the target counts as gone.
const PATIENCE: Duration = Duration::from_secs(60);

const RETRY: Duration = Duration::from_millis(50);

/// What to check.
#[derive(Clone, Debug)]
pub struct Checked {
    pub address: Address,
    pub connections: usize,
    /// Of a hundred statements.
    pub writes_percent: f64,
    pub lasts: Duration,
    pub seed: u64,
}

/// `mysql://user:password@host:port/database`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: String,
    pub database: String,
}

impl Address {
    pub fn parse(url: &str) -> Result<Address, String> {
        let bad = || format!("\"{url}\" names no database; write mysql://user:password@host:3306/database");
        let rest = url.strip_prefix("mysql://").ok_or_else(bad)?;
        let (authority, database) = rest.split_once('/').filter(|(_, database)| !database.is_empty()).ok_or_else(bad)?;
        let (who, place) = authority.rsplit_once('@').unwrap_or(("root", authority));
        let (user, password) = who.split_once(':').unwrap_or((who, ""));
        let (host, port) = place.rsplit_once(':').unwrap_or((place, "3306"));
        Ok(Address {
            host: host.to_owned(),
            port: port.parse().map_err(|_| bad())?,
            user: user.to_owned(),
            password: password.to_owned(),
            database: database.to_owned(),
        })
    }
}

/// What the check found.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Found {
    /// Answers that were proven.
    pub reads: u64,
    /// Counters in them.
    pub values: u64,
    pub writes: u64,
    /// Statements that failed or whose answer was lost; they prove nothing.
    pub failed: u64,
    pub reconnects: u64,
    pub seconds: f64,
    /// Whether triggers and foreign keys were part of it: not every engine has them.
    pub triggers: bool,
    pub cascades: bool,
    /// The first answer that was not the state of the database at any moment of the read.
    pub violation: Option<String>,
}

struct Oracle<'o> {
    checked: &'o Checked,
    counters: Vec<Counter>,
    triggers: bool,
    cascades: bool,
    until: Instant,
    stop: &'o AtomicBool,
    reads: AtomicU64,
    values: AtomicU64,
    writes: AtomicU64,
    failed: AtomicU64,
    reconnects: AtomicU64,
    violation: Mutex<Option<String>>,
}

/// What a sent statement is expected to answer.
enum Expected {
    /// The end of a transaction that only read.
    Any,
    /// BEGIN. If it fails, what was sent behind it runs by itself.
    Begin,
    /// The counter, at least so high.
    One {
        key: usize,
        floor: u64,
    },
    /// Every counter of a table.
    All {
        first: usize,
        floors: Vec<u64>,
    },
    /// A second look in the same transaction, equal to the answer before.
    Same {
        key: usize,
    },
    /// An increment that counts once it is answered.
    Write {
        key: usize,
    },
    /// An increment that counts when its COMMIT is answered, and never was when its ROLLBACK is.
    Pending,
    Commit {
        key: usize,
    },
    Rollback {
        key: usize,
    },
}

/// What the answers so far say of those that follow in a batch.
#[derive(Default)]
struct Answered {
    /// Increments of this connection that were answered within the batch: later reads on it are owed them.
    own: Vec<u64>,
    /// BEGIN was answered, and nothing has failed since.
    within: bool,
    /// An increment was answered whose transaction has not ended.
    pending: bool,
    /// What the transaction's first read showed.
    last: Option<u64>,
}

/// Makes the tables, checks for as long as asked or until `stop`, and removes the tables.
///
/// Errors: the database cannot be reached or does not take the tables.
pub fn verify(checked: &Checked, stop: &AtomicBool) -> io::Result<Found> {
    let mut owner = Connection::open(&checked.address)?;
    let (triggers, cascades) = prepare(&mut owner)?;
    let started = Instant::now();
    let oracle = Oracle {
        checked,
        counters: (0..TABLES * KEYS).map(|_| Counter::default()).collect(),
        triggers,
        cascades,
        until: started + checked.lasts,
        stop,
        reads: AtomicU64::new(0),
        values: AtomicU64::new(0),
        writes: AtomicU64::new(0),
        failed: AtomicU64::new(0),
        reconnects: AtomicU64::new(0),
        violation: Mutex::new(None),
    };
    thread::scope(|scope| {
        for number in 0..checked.connections.max(1) {
            let oracle = &oracle;
            scope.spawn(move || oracle.client(number));
        }
    });
    let seconds = started.elapsed().as_secs_f64();
    if let Ok(mut owner) = Connection::open(&checked.address) {
        for sql in removal() {
            let _ = owner.run(&sql);
        }
    }
    Ok(Found {
        reads: oracle.reads.load(Relaxed),
        values: oracle.values.load(Relaxed),
        writes: oracle.writes.load(Relaxed),
        failed: oracle.failed.load(Relaxed),
        reconnects: oracle.reconnects.load(Relaxed),
        seconds,
        triggers,
        cascades,
        violation: oracle.violation.into_inner().unwrap_or_else(PoisonError::into_inner),
    })
}

impl Oracle<'_> {
    fn client(&self, number: usize) {
        let mut dice = Dice::new(self.checked.seed, number as u64);
        let mut connection: Option<Connection> = None;
        let mut broken_since: Option<Instant> = None;
        while !self.over() {
            let open = match connection.take() {
                Some(open) => open,
                None => match self.connect() {
                    Ok(open) => open,
                    Err(error) => {
                        let since = *broken_since.get_or_insert_with(Instant::now);
                        if since.elapsed() > PATIENCE {
                            self.violated(format!("the database was gone for {PATIENCE:?}: {error}"));
                        }
                        thread::sleep(RETRY);
                        continue;
                    }
                },
            };
            broken_since = None;
            match self.batch(open, &mut dice) {
                Ok(open) => connection = Some(open),
                Err(_) => _ = self.reconnects.fetch_add(1, Relaxed),
            }
        }
    }

    fn connect(&self) -> io::Result<Connection> {
        let mut connection = Connection::open(&self.checked.address)?;
        for table in 0..TABLES {
            connection.prepare(&format!("SELECT n FROM pumasi_oracle_{table} WHERE id = ?"))?;
        }
        Ok(connection)
    }

    /// Sends a batch and proves its answers.
    fn batch(&self, mut connection: Connection, dice: &mut Dice) -> io::Result<Connection> {
        let mut expected = Vec::with_capacity(BATCH * 2);
        for _ in 0..BATCH {
            self.statement(&mut connection, dice, &mut expected);
        }
        let count = expected.len() as u64;
        connection.flush().inspect_err(|_| _ = self.failed.fetch_add(count, Relaxed))?;
        let mut answered = Answered { own: vec![0; self.counters.len()], ..Answered::default() };
        for (place, expected) in expected.into_iter().enumerate() {
            let reply = connection.reply().inspect_err(|_| _ = self.failed.fetch_add(count - place as u64, Relaxed))?;
            let Reply::Error(error) = reply else {
                self.judge(expected, reply, &mut answered);
                continue;
            };
            self.failed.fetch_add(1, Relaxed);
            answered = Answered { own: answered.own, ..Answered::default() };
            if error < 1200 && !matches!(error, 1040 | 1047 | 1053 | 1158..=1161) {
                self.violated(format!("a statement of the check was refused with error {error}"));
            }
        }
        Ok(connection)
    }

    fn judge(&self, expected: Expected, reply: Reply<'_>, answered: &mut Answered) {
        let Answered { own, within, pending, last } = answered;
        match (expected, reply) {
            (Expected::Any, _) => *within = false,
            (Expected::Begin, _) => (*within, *last) = (true, None),
            (Expected::Write { key }, _) => self.acknowledged(key, own),
            (Expected::Pending, _) => *pending = true,
            (Expected::Commit { key }, _) => {
                *within = false;
                if std::mem::take(pending) {
                    self.acknowledged(key, own);
                }
            }
            (Expected::Rollback { key }, _) => {
                // Without its BEGIN the increment was committed by itself, and this undid nothing.
                if std::mem::take(within) & std::mem::take(pending) {
                    self.counters[key].withdraw();
                }
            }
            (Expected::One { key, floor }, Reply::Rows(rows)) => {
                *last = rows.first().map(|row| row.1);
                self.shown("a row", key, floor + own[key], *last);
                self.reads.fetch_add(1, Relaxed);
            }
            (Expected::Same { key }, Reply::Rows(rows)) => {
                let now = rows.first().map(|row| row.1);
                if *within && last.is_some() && *last != now {
                    self.violated(format!("two reads of counter {key} in one transaction: {last:?} and {now:?}"));
                }
                self.reads.fetch_add(1, Relaxed);
            }
            (Expected::All { first, floors }, Reply::Rows(rows)) => {
                for (place, floor) in floors.into_iter().enumerate() {
                    let key = first + place;
                    let shown = rows.iter().find(|(id, _)| *id == place as u64).map(|(_, n)| *n);
                    self.shown("a table", key, floor + own[key], shown);
                }
                self.reads.fetch_add(1, Relaxed);
            }
            (_, Reply::Done | Reply::Error(_)) => self.violated("a SELECT was answered without rows".to_owned()),
        }
    }

    fn acknowledged(&self, key: usize, own: &mut [u64]) {
        own[key] += 1;
        self.counters[key].acknowledge();
        self.writes.fetch_add(1, Relaxed);
    }

    fn shown(&self, what: &str, key: usize, floor: u64, shown: Option<u64>) {
        self.values.fetch_add(1, Relaxed);
        if let Err((low, high)) = self.counters[key].show(floor, shown) {
            let story = if shown.is_some_and(|shown| shown > high) { "IMPOSSIBLE" } else { "STALE" };
            self.violated(format!(
                "{story}: {what} showed {shown:?} for counter {} of table {}; it must be within {low}..={high}",
                key % KEYS,
                key / KEYS
            ));
        }
    }

    /// Queues one statement, or the few of a transaction.
    fn statement(&self, connection: &mut Connection, dice: &mut Dice, expected: &mut Vec<Expected>) {
        let key = dice.below((TABLES * KEYS) as u64) as usize;
        let (table, id) = (key / KEYS, key % KEYS);
        let writes = (self.checked.writes_percent * 100.0) as u64;
        if dice.below(10_000) < writes {
            let update = format!("UPDATE pumasi_oracle_{table} SET n = n + 1 WHERE id = {id}");
            match dice.below(10) {
                0 => {
                    self.counters[key].begin();
                    connection.query("BEGIN");
                    connection.query(&update);
                    connection.query("ROLLBACK");
                    expected.extend([Expected::Begin, Expected::Pending, Expected::Rollback { key }]);
                }
                1 | 2 => {
                    self.counters[key].begin();
                    connection.query("BEGIN");
                    connection.query(&update);
                    connection.query("COMMIT");
                    expected.extend([Expected::Begin, Expected::Pending, Expected::Commit { key }]);
                }
                _ => {
                    self.counters[key].begin();
                    connection.query(&update);
                    expected.push(Expected::Write { key });
                }
            }
            return;
        }
        let floor = self.counters[key].floor();
        let one = Expected::One { key, floor };
        match dice.below(32) {
            0 => {
                let select = format!("SELECT n FROM pumasi_oracle_{table} WHERE id = {id}");
                connection.query("START TRANSACTION");
                connection.query(&select);
                connection.query(&select);
                connection.query("COMMIT");
                expected.extend([Expected::Begin, one, Expected::Same { key }, Expected::Any]);
            }
            1..=3 => {
                let first = table * KEYS;
                connection.query(&format!("SELECT id, n FROM pumasi_oracle_{table}"));
                expected.push(Expected::All { first, floors: (first..first + KEYS).map(|key| self.counters[key].floor()).collect() });
            }
            4..=7 if self.triggers => {
                connection.query(&format!("SELECT n FROM pumasi_oracle_copy_{table} WHERE id = {id}"));
                expected.push(one);
            }
            8..=11 if self.cascades => {
                // The foreign key holds the counter's value above the place of its row.
                connection.query(&format!("SELECT n - id * 1000000000000 FROM pumasi_oracle_child_{table} WHERE id = {id}"));
                expected.push(one);
            }
            12..=19 => {
                connection.execute(table, id as u64);
                expected.push(one);
            }
            _ => {
                connection.query(&format!("SELECT n FROM pumasi_oracle_{table} WHERE id = {id}"));
                expected.push(one);
            }
        }
    }

    fn over(&self) -> bool {
        self.stop.load(Relaxed) || Instant::now() >= self.until || self.violation.lock().is_ok_and(|found| found.is_some())
    }

    fn violated(&self, story: String) {
        self.violation.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(story);
    }
}

// === tables ===

fn removal() -> Vec<String> {
    let names =
        (0..TABLES).flat_map(|table| [format!("child_{table}"), format!("parent_{table}"), format!("copy_{table}"), table.to_string()]);
    names.map(|name| format!("DROP TABLE IF EXISTS pumasi_oracle_{name}")).collect()
}

/// Whether the engine has triggers, and foreign keys that carry changes along.
fn prepare(owner: &mut Connection) -> io::Result<(bool, bool)> {
    for sql in removal() {
        owner.run(&sql)?;
    }
    let rows = |value: fn(usize) -> u64| (0..KEYS).map(|id| format!("({id}, {})", value(id))).collect::<Vec<_>>().join(", ");
    let (mut triggers, mut cascades) = (true, true);
    for table in 0..TABLES {
        owner.run(&format!("CREATE TABLE pumasi_oracle_{table} (id INT NOT NULL PRIMARY KEY, n BIGINT NOT NULL)"))?;
        owner.run(&format!("INSERT INTO pumasi_oracle_{table} (id, n) VALUES {}", rows(|_| 0)))?;
        owner.run(&format!("CREATE TABLE pumasi_oracle_copy_{table} (id INT NOT NULL PRIMARY KEY, n BIGINT NOT NULL)"))?;
        owner.run(&format!("INSERT INTO pumasi_oracle_copy_{table} (id, n) VALUES {}", rows(|_| 0)))?;
        // A parent that a trigger changes, and a child that follows it by its foreign key.
        owner.run(&format!("CREATE TABLE pumasi_oracle_parent_{table} (id INT NOT NULL PRIMARY KEY, n BIGINT NOT NULL UNIQUE)"))?;
        let tall = rows(|id| id as u64 * 1_000_000_000_000);
        owner.run(&format!("INSERT INTO pumasi_oracle_parent_{table} (id, n) VALUES {tall}"))?;
        let child = format!(
            "CREATE TABLE pumasi_oracle_child_{table} (id INT NOT NULL PRIMARY KEY, n BIGINT NOT NULL, \
             FOREIGN KEY (n) REFERENCES pumasi_oracle_parent_{table} (n) ON UPDATE CASCADE)"
        );
        cascades &= owner.run(&child).is_ok();
        cascades = cascades && owner.run(&format!("INSERT INTO pumasi_oracle_child_{table} (id, n) VALUES {tall}")).is_ok();
        let trigger = format!(
            "CREATE TRIGGER pumasi_oracle_trigger_{table} AFTER UPDATE ON pumasi_oracle_{table} FOR EACH ROW BEGIN \
             UPDATE pumasi_oracle_copy_{table} SET n = NEW.n WHERE id = NEW.id; \
             UPDATE pumasi_oracle_parent_{table} SET n = NEW.id * 1000000000000 + NEW.n WHERE id = NEW.id; END"
        );
        triggers &= owner.run(&trigger).is_ok();
    }
    Ok((triggers, triggers && cascades))
}

#[cfg(test)]
mod tests;
