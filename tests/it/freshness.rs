//! Nobody is answered from before an acknowledged write: pages and query results of the whole binary, with automatic caching on, against
//! writers through the site, through SQL and in transactions, while workers are killed.
//!
//! Each ask is a register that only grows: its number of cheers. A read may show no less than what was acknowledged, or shown to anybody, before it
//! began, and no more than what was begun before it ended. For a counter that is all that linearizability asks.
//! `FRESHNESS_SECONDS=3600 cargo test -p pumasi-tests --test it freshness` searches longer.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use mysql_async::{prelude::*, *};

use crate::service::{Service, signal};

const ASKS: usize = 3;

fn seconds() -> u64 {
    std::env::var("FRESHNESS_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20)
}

#[test]
fn no_read_is_older_than_an_acknowledged_write() {
    let mut service = Service::demo(&["--workers", "3"]);
    let oracle = Oracle::new(&service);
    // Pages earn their place while answers can be compared: in a quiet moment, as on any site.
    for path in ["/".to_owned(), format!("/ask/{}", oracle.registers[0].id)] {
        let hit = |service: &mut Service| {
            let answer = service.try_get(&path, &[("accept-language", "en")]);
            answer.is_ok_and(|answer| answer.header("cache-status").contains("hit"))
        };
        service.wait_until("pages are kept", hit);
    }
    let mut threads = vec![];
    for number in 0..2 {
        threads.push(oracle.spawn(move |oracle| oracle.write_through_the_site(number)));
    }
    threads.push(oracle.spawn_async(|oracle| oracle.write_alone()));
    threads.push(oracle.spawn_async(|oracle| oracle.write_in_transactions()));
    for number in 0..4 {
        threads.push(oracle.spawn(move |oracle| oracle.read_pages(number)));
    }
    threads.push(oracle.spawn_async(|oracle| oracle.read_texts()));
    threads.push(oracle.spawn_async(|oracle| oracle.read_prepared()));
    threads.push(oracle.spawn_async(|oracle| oracle.read_whole_table()));
    threads.push(oracle.spawn_async(|oracle| oracle.read_in_transactions()));

    let until = Instant::now() + Duration::from_secs(seconds());
    let mut killed = 0;
    while Instant::now() < until && oracle.violation.lock().unwrap().is_none() {
        std::thread::park_timeout(Duration::from_secs(3).min(until.saturating_duration_since(Instant::now())));
        if let Some(&victim) = service.worker_pids().get(killed % 3) {
            signal(victim, "KILL");
            killed += 1;
        }
    }
    oracle.over.store(true, SeqCst);
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    assert_eq!(*oracle.violation.lock().unwrap(), None, "{}", service.said());
    let status = service.status();
    let (page_hits, result_hits) = (&status["edge"]["pages"]["hits"], &status["sql"][0]["results"]["hits"]);
    let counts = (oracle.reads.load(SeqCst), oracle.writes.load(SeqCst));
    eprintln!("{} reads, {} writes, {killed} workers killed, {page_hits} page hits, {result_hits} result hits", counts.0, counts.1);
    eprintln!("{}", status["edge"]["routes"][0]);
    // A check of caches that were never used would prove nothing.
    assert!(counts.0 > 500 && counts.1 > 50 && killed > 2, "{counts:?}, {killed} killed");
    assert!(page_hits.as_u64() > Some(50) && result_hits.as_u64() > Some(50), "{page_hits} page hits, {result_hits} result hits");
}

#[derive(Default)]
struct Register {
    id: u64,
    begun: AtomicU64,
    acknowledged: AtomicU64,
    shown: AtomicU64,
}

struct Oracle {
    site: String,
    database: std::net::SocketAddr,
    registers: Vec<Register>,
    over: AtomicBool,
    violation: Mutex<Option<String>>,
    reads: AtomicU64,
    writes: AtomicU64,
}

impl Register {
    fn floor(&self) -> u64 {
        self.acknowledged.load(SeqCst).max(self.shown.load(SeqCst))
    }
}

impl Oracle {
    fn new(service: &Service) -> Arc<Oracle> {
        let ask = |_| {
            let posted = service.post("/ask", &[("message", "Is this fresh?")]);
            let id = posted.header("location").rsplit('/').next().and_then(|id| id.parse().ok());
            Register { id: id.expect("the way to the new ask"), ..Register::default() }
        };
        Arc::new(Oracle {
            site: service.site.clone(),
            database: service.database(),
            registers: (0..ASKS).map(ask).collect(),
            over: AtomicBool::new(false),
            violation: Mutex::new(None),
            reads: AtomicU64::new(0),
            writes: AtomicU64::new(0),
        })
    }

    fn spawn(self: &Arc<Oracle>, act: impl FnOnce(&Oracle) + Send + 'static) -> JoinHandle<()> {
        let oracle = self.clone();
        std::thread::spawn(move || act(&oracle))
    }

    fn spawn_async<F: Future<Output = ()>>(self: &Arc<Oracle>, act: impl FnOnce(Arc<Oracle>) -> F + Send + 'static) -> JoinHandle<()> {
        let oracle = self.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        std::thread::spawn(move || runtime.block_on(act(oracle)))
    }

    fn over(&self) -> bool {
        self.over.load(SeqCst) || self.violation.lock().unwrap().is_some()
    }

    fn settle(&self, what: &str, register: &Register, floor: u64, shown: u64) {
        let ceiling = register.begun.load(SeqCst);
        register.shown.fetch_max(shown, SeqCst);
        self.reads.fetch_add(1, Relaxed);
        if !(floor..=ceiling).contains(&shown) {
            let text = format!("{what} of ask {}: {shown}, must be within {floor}..={ceiling}", register.id);
            self.violation.lock().unwrap().get_or_insert(text);
        }
    }

    fn acknowledge(&self, register: &Register) {
        register.acknowledged.fetch_add(1, SeqCst);
        self.writes.fetch_add(1, Relaxed);
    }

    async fn connect(&self) -> Conn {
        let options = OptsBuilder::default()
            .ip_or_hostname(self.database.ip().to_string())
            .tcp_port(self.database.port())
            .user(Some("root"))
            .db_name(Some("askhy"));
        Conn::new(options).await.expect("it connects")
    }

    // === writers ===

    fn write_through_the_site(&self, number: usize) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0).build().into();
        for turn in number.. {
            if self.over() {
                return;
            }
            let register = &self.registers[turn % ASKS];
            register.begun.fetch_add(1, SeqCst);
            let answer = agent.post(format!("{}/ask/{}/cheer", self.site, register.id)).send_form([("message", "cheer")]);
            // A worker that was killed in the middle: it may have happened or not.
            if answer.is_ok_and(|answer| answer.status() == 303) {
                self.acknowledge(register);
            }
            std::thread::park_timeout(Duration::from_millis(400));
        }
    }

    async fn write_alone(self: Arc<Oracle>) {
        let insert = "INSERT INTO cheer (ask_id, message, ip_address, register_time) VALUES (?, 'cheer', '10.0.0.1', NOW())";
        let write = async |connection: &mut Conn, register: &Register, _| {
            register.begun.fetch_add(1, SeqCst);
            insert.with((register.id,)).ignore(connection).await.expect("inserted");
            self.acknowledge(register);
        };
        self.in_turn(Duration::from_millis(500), write).await;
    }

    async fn write_in_transactions(self: Arc<Oracle>) {
        let write = async |connection: &mut Conn, register: &Register, turn: usize| {
            let (id, kept) = (register.id, !turn.is_multiple_of(3));
            "BEGIN".ignore(&mut *connection).await.expect("begun");
            if kept {
                register.begun.fetch_add(1, SeqCst);
            }
            let insert =
                format!("INSERT INTO cheer (ask_id, message, ip_address, register_time) VALUES ({id}, 'cheer', '10.0.0.2', NOW())");
            insert.ignore(&mut *connection).await.expect("inserted");
            // It sees its own row, stored results or not.
            let own: Option<u64> = count(id).first(&mut *connection).await.expect("read");
            assert!(own >= Some(register.acknowledged.load(SeqCst).min(register.floor())), "its own transaction");
            (if kept { "COMMIT" } else { "ROLLBACK" }).ignore(connection).await.expect("ended");
            if kept {
                self.acknowledge(register);
            }
        };
        self.in_turn(Duration::from_millis(600), write).await;
    }

    // === readers ===

    fn read_pages(&self, number: usize) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        for turn in number.. {
            if self.over() {
                return;
            }
            let register = &self.registers[turn / 2 % ASKS];
            let (front, id) = (turn % 2 == 0, register.id);
            let path = if front { "/".to_owned() } else { format!("/ask/{id}") };
            let floor = register.floor();
            let read = agent.get(format!("{}{path}", self.site)).header("accept-language", "en").call();
            let Ok(mut answer) = read else { continue };
            let body = answer.body_mut().read_to_string().unwrap_or_default();
            let shown = if front { count_on_front(&body, id) } else { count_on_ask(&body) };
            if let (200, Some(shown)) = (answer.status().as_u16(), shown) {
                self.settle(&path, register, floor, shown);
            }
        }
    }

    async fn read_texts(self: Arc<Oracle>) {
        self.read("text", async |connection, id| count(id).first(connection).await.expect("read")).await;
    }

    async fn read_prepared(self: Arc<Oracle>) {
        let prepared = "SELECT COUNT(*) FROM cheer WHERE ask_id = ?";
        self.read("prepared", async |connection, id| prepared.with((id,)).first(connection).await.expect("read")).await;
    }

    /// Two reads of one snapshot: equal, and not older than its beginning.
    async fn read_in_transactions(self: Arc<Oracle>) {
        let read = async |connection: &mut Conn, id| {
            "START TRANSACTION".ignore(&mut *connection).await.expect("begun");
            let first: Option<u64> = count(id).first(&mut *connection).await.expect("read");
            tokio::time::sleep(Duration::from_millis(5)).await;
            let second: Option<u64> = count(id).first(&mut *connection).await.expect("read");
            "COMMIT".ignore(connection).await.expect("ended");
            assert_eq!(first, second, "one snapshot");
            first
        };
        self.read("transaction", read).await;
    }

    async fn read_whole_table(self: Arc<Oracle>) {
        let read = async |connection: &mut Conn, _: &Register, _| {
            let floors: Vec<u64> = self.registers.iter().map(Register::floor).collect();
            let rows: Vec<(u64, u64)> = "SELECT ask_id, COUNT(*) FROM cheer GROUP BY ask_id".fetch(connection).await.expect("read");
            for (register, floor) in self.registers.iter().zip(floors) {
                let shown = rows.iter().find(|(id, _)| *id == register.id).map_or(0, |(_, count)| *count);
                self.settle("whole table", register, floor, shown);
            }
        };
        self.in_turn(Duration::from_millis(5), read).await;
    }

    // === both ===

    /// Proves the count that `read` reads, of one ask after the other.
    async fn read(&self, what: &str, mut read: impl AsyncFnMut(&mut Conn, u64) -> Option<u64>) {
        let prove = async |connection: &mut Conn, register: &Register, _| {
            let floor = register.floor();
            let shown = read(connection, register.id).await;
            self.settle(what, register, floor, shown.expect("a row"));
        };
        self.in_turn(Duration::from_millis(1), prove).await;
    }

    /// Acts on one ask after the other, on a connection of its own, until the check is over.
    async fn in_turn(&self, pause: Duration, mut act: impl AsyncFnMut(&mut Conn, &Register, usize)) {
        let mut connection = self.connect().await;
        for turn in 0.. {
            if self.over() {
                return;
            }
            act(&mut connection, &self.registers[turn % ASKS], turn).await;
            tokio::time::sleep(pause).await;
        }
    }
}

fn count(id: u64) -> String {
    format!("SELECT COUNT(*) FROM cheer WHERE ask_id = {id}")
}

/// `1,234 cheers from 56 places` inside the ask's link.
fn count_on_front(page: &str, id: u64) -> Option<u64> {
    let link = &page[page.find(&format!("href=\"/ask/{id}\""))?..];
    let tally = &link[link.find("class=\"tally\"")?..];
    let words = &tally[..tally.find(" cheer")?];
    let digits = words.rfind(|letter: char| !letter.is_ascii_digit() && letter != ',')?;
    words[digits..].trim_start_matches(|letter: char| !letter.is_ascii_digit()).replace(',', "").parse().ok()
}

fn count_on_ask(page: &str) -> Option<u64> {
    let count = &page[page.find("class=\"count\">")? + "class=\"count\">".len()..];
    count[..count.find('<')?].replace(',', "").parse().ok()
}
