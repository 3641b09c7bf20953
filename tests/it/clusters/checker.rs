//! Writers and readers that notice when a read is behind.
//!
//! Every row has one writer, who sets it to one more each time. A read that begins after the acknowledgement of n must show n or more, and no read
//! may show less than one that ended before it began.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use mysql_async::{prelude::*, *};

const WRITERS: usize = 3;
const READERS: usize = 4;
/// Rows per writer; as many tables, so that what is written to one says nothing of the others.
const ROWS: usize = 4;

/// Between two statements of a client: the machine is shared.
const PAUSE: Duration = Duration::from_millis(3);

/// A client whose statement is not answered for so long tries anew.
const PATIENCE: Duration = Duration::from_secs(25);

#[derive(Default)]
struct Row {
    acknowledged: AtomicU64,
    seen: AtomicU64,
}

struct Board {
    rows: Vec<Row>,
    stop: AtomicBool,
    reads: AtomicU64,
    writes: AtomicU64,
    errors: AtomicU64,
    violations: Mutex<Vec<String>>,
}

pub struct Checker {
    board: Arc<Board>,
    options: OptsBuilder,
    clients: Vec<JoinHandle<()>>,
}

pub struct Told {
    pub reads: u64,
    pub writes: u64,
    pub errors: u64,
    pub violations: Vec<String>,
}

impl Checker {
    /// Makes the tables and begins.
    pub fn start(address: SocketAddr, user: &str, password: &str, database: &str) -> Checker {
        let options = OptsBuilder::default()
            .ip_or_hostname(address.ip().to_string())
            .tcp_port(address.port())
            .user(Some(user))
            .pass(Some(password))
            .db_name(Some(database))
            .prefer_socket(false);
        blocking(async {
            let mut connection = Conn::new(options.clone()).await.expect("it connects");
            for table in 0..ROWS {
                let create = format!("CREATE TABLE counter{table} (id INT PRIMARY KEY, n BIGINT NOT NULL) ENGINE=InnoDB");
                connection.query_drop(create).await.expect("created");
                for writer in 0..WRITERS {
                    connection.query_drop(format!("INSERT INTO counter{table} VALUES ({writer}, 0)")).await.expect("inserted");
                }
            }
        });
        let board = Arc::new(Board {
            rows: (0..WRITERS * ROWS).map(|_| Row::default()).collect(),
            stop: AtomicBool::new(false),
            reads: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            violations: Mutex::default(),
        });
        let clients = (0..WRITERS + READERS)
            .map(|client| {
                let (board, options) = (board.clone(), options.clone());
                std::thread::spawn(move || blocking(work(client, board, options)))
            })
            .collect();
        Checker { board, options, clients }
    }

    pub fn wait_for_writes(&self, count: u64, within: Duration) {
        self.wait(&self.board.writes, count, within);
    }

    pub fn wait_for_reads(&self, count: u64) {
        self.wait(&self.board.reads, count, PATIENCE);
    }

    fn wait(&self, counter: &AtomicU64, count: u64, within: Duration) {
        let (from, until) = (counter.load(SeqCst), Instant::now() + within);
        while counter.load(SeqCst) < from + count {
            assert!(Instant::now() < until, "not {count} more within {within:?}; {:?}", self.violations());
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    pub fn violations(&self) -> Vec<String> {
        self.board.violations.lock().expect("no panic").clone()
    }

    /// Ends the clients and looks whether everything that was acknowledged is there.
    pub fn finish(mut self) -> Told {
        self.board.stop.store(true, SeqCst);
        self.clients.drain(..).for_each(|client| client.join().expect("no panic"));
        blocking(async {
            let mut connection = Conn::new(self.options.clone()).await.expect("it connects");
            for (place, row) in self.board.rows.iter().enumerate() {
                let n = read(&mut connection, place, false).await.expect("read").expect("a row");
                if n < row.acknowledged.load(SeqCst) {
                    self.board.complain(format!("row {place}: {n} in the end, {} was acknowledged", row.acknowledged.load(SeqCst)));
                }
            }
        });
        let board = &self.board;
        Told {
            reads: board.reads.load(SeqCst),
            writes: board.writes.load(SeqCst),
            errors: board.errors.load(SeqCst),
            violations: self.violations(),
        }
    }
}

impl Drop for Checker {
    fn drop(&mut self) {
        self.board.stop.store(true, SeqCst);
    }
}

impl Board {
    fn complain(&self, what: String) {
        let mut violations = self.violations.lock().expect("no panic");
        if violations.len() < 20 {
            violations.push(what);
        }
    }
}

async fn work(client: usize, board: Arc<Board>, options: OptsBuilder) {
    let mut dice = client as u64 + 1;
    let mut written = vec![0; ROWS];
    'connections: while !board.stop.load(SeqCst) {
        let Ok(Ok(mut connection)) = tokio::time::timeout(PATIENCE, Conn::new(options.clone())).await else {
            board.errors.fetch_add(1, SeqCst);
            tokio::time::sleep(PAUSE * 10).await;
            continue;
        };
        while !board.stop.load(SeqCst) {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let turn = (dice >> 33) as usize;
            let done = if client < WRITERS {
                write(&mut connection, client, turn, &mut written, &board).await
            } else {
                observe(&mut connection, turn, &board).await
            };
            if done.is_none() {
                board.errors.fetch_add(1, SeqCst);
                continue 'connections;
            }
            tokio::time::sleep(PAUSE).await;
        }
        // What cannot say goodbye is closed with its socket.
        let _ = tokio::time::timeout(PATIENCE, connection.disconnect()).await;
    }
}

/// `None`: an error. Whether the row was written is not known then, so the next try writes a higher number.
async fn write(connection: &mut Conn, writer: usize, turn: usize, written: &mut [u64], board: &Board) -> Option<()> {
    let table = turn % ROWS;
    written[table] += 1;
    let n = written[table];
    let update = format!("UPDATE counter{table} SET n = {n} WHERE id = {writer}");
    let work = async {
        match turn / ROWS % 3 {
            // Autocommit.
            0 => connection.query_drop(update).await,
            1 => connection.exec_drop(format!("UPDATE counter{table} SET n = ? WHERE id = ?"), (n, writer)).await,
            // A transaction, whose own reads see it.
            _ => {
                let mut transaction = connection.start_transaction(TxOpts::default()).await?;
                transaction.query_drop(update).await?;
                let seen: Option<u64> = transaction.query_first(format!("SELECT n FROM counter{table} WHERE id = {writer}")).await?;
                if seen != Some(n) {
                    board.complain(format!("a transaction does not see its own write: {seen:?} for {n}"));
                }
                transaction.commit().await
            }
        }
    };
    tokio::time::timeout(PATIENCE, work).await.ok()?.ok()?;
    board.rows[table * WRITERS + writer].acknowledged.fetch_max(n, SeqCst);
    board.writes.fetch_add(1, SeqCst);
    Some(())
}

async fn observe(connection: &mut Conn, turn: usize, board: &Board) -> Option<()> {
    let place = turn % board.rows.len();
    let row = &board.rows[place];
    let (acknowledged, seen) = (row.acknowledged.load(SeqCst), row.seen.load(SeqCst));
    let n = tokio::time::timeout(PATIENCE, read(connection, place, turn & 64 == 0)).await.ok()?.ok()??;
    if n < acknowledged {
        board.complain(format!("row {place}: read {n}, and {acknowledged} had been acknowledged before"));
    }
    if n < seen {
        board.complain(format!("row {place}: read {n} after somebody had read {seen}"));
    }
    row.seen.fetch_max(n, SeqCst);
    board.reads.fetch_add(1, SeqCst);
    Some(())
}

async fn read(connection: &mut Conn, place: usize, prepared: bool) -> mysql_async::Result<Option<u64>> {
    let (table, writer) = (place / WRITERS, place % WRITERS);
    match prepared {
        true => connection.exec_first(format!("SELECT n FROM counter{table} WHERE id = ?"), (writer,)).await,
        false => connection.query_first(format!("SELECT n FROM counter{table} WHERE id = {writer}")).await,
    }
}

pub fn blocking<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}
