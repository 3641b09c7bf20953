//! Stored results over the embedded engine: what is answered from memory, what is not, and what the worker's requests are told.

use std::{net::Ipv4Addr, sync::Arc};

use pumasi_freshness::{Entry, Freshness, Refusal, Witness};
use pumasi_mysqlwire::Value;

use super::{
    super::{Listener, Server, Settings},
    client::Client,
};
use crate::{
    embedded::{Embedded, Options},
    results::{Observer, Results},
};

struct Site {
    freshness: Arc<Freshness>,
    witness: Arc<Witness>,
    results: Arc<Results>,
    own: Listener,
    workers: Listener,
    _server: Server<Embedded>,
    _directory: tempfile::TempDir,
}

impl Site {
    fn new() -> Site {
        let directory = tempfile::tempdir().expect("a folder");
        let freshness = Arc::new(Freshness::new());
        let observer = Arc::new(Observer::new(freshness.clone()));
        let options = Options { durable: false, observer, ..Options::new(directory.path().join("board.db")) };
        let engine = Embedded::open(options).expect("a new file");
        let results = Results::new(freshness.clone(), 8 << 20);
        let settings = Settings { name: "main".into(), engine: "embedded".into(), connections_max: 50, users: vec![] };
        let server = Server::with_results(engine, settings, Some(results.clone()));
        let witness = Witness::new();
        let listen = |witness| server.listen((Ipv4Addr::LOCALHOST, 0).into(), witness).expect("loopback has free ports");
        let (own, workers) = (listen(None), listen(Some(witness.clone())));
        let site = Site { freshness, witness, results, own, workers, _server: server, _directory: directory };
        let mut client = site.client();
        client.query("CREATE TABLE ask (id INT PRIMARY KEY, message VARCHAR(40))").ok();
        client.query("CREATE TABLE cheer (id INT AUTO_INCREMENT PRIMARY KEY, ask_id INT, FOREIGN KEY (ask_id) REFERENCES ask (id) ON DELETE CASCADE)").ok();
        client.query("INSERT INTO ask VALUES (1, 'one'), (2, 'two')").ok();
        client.query("INSERT INTO cheer (ask_id) VALUES (1), (2), (2)").ok();
        site
    }

    fn client(&self) -> Client {
        self.connect(&self.own)
    }

    fn worker(&self) -> Client {
        self.connect(&self.workers)
    }

    fn connect(&self, listener: &Listener) -> Client {
        let mut client = Client::root(listener);
        client.query("USE board").ok();
        client
    }

    fn hits(&self) -> u64 {
        self.results.status().hits
    }
}

const ONE: &str = "SELECT COUNT(*) FROM cheer WHERE ask_id = 1";
const TWO: &str = "SELECT COUNT(*) FROM cheer WHERE ask_id = 2";

fn number(client: &mut Client, sql: &str) -> u64 {
    client.query(sql).text_rows()[0][0].as_deref().expect("a number").parse().expect("a number")
}

#[test]
fn what_one_connection_read_answers_another_until_one_of_its_rows_changes() {
    let site = Site::new();
    let (mut first, mut second, mut writer) = (site.client(), site.client(), site.client());
    assert_eq!((number(&mut first, ONE), number(&mut first, TWO)), (1, 2));
    let before = site.hits();
    assert_eq!((number(&mut second, ONE), number(&mut second, TWO)), (1, 2));
    assert_eq!(site.hits(), before + 2);

    writer.query("INSERT INTO cheer (ask_id) VALUES (1)").ok();
    assert_eq!((number(&mut second, ONE), site.hits()), (2, before + 2), "it read a row that was added");
    assert_eq!((number(&mut second, TWO), site.hits()), (2, before + 3), "it did not");
    // A row that moves is gone from one and come to the other.
    writer.query("UPDATE cheer SET ask_id = 2 WHERE ask_id = 1 LIMIT 1").ok();
    assert_eq!((number(&mut second, ONE), number(&mut second, TWO)), (1, 3));
    // A foreign key takes rows along that no statement names.
    writer.query("DELETE FROM ask WHERE id = 2").ok();
    assert_eq!((number(&mut second, ONE), number(&mut second, TWO)), (1, 0));
    // What was not there is as good an answer as what was, until it comes.
    assert_eq!((number(&mut second, TWO), number(&mut first, TWO)), (0, 0));
    writer.query("INSERT INTO ask VALUES (2, 'again')").ok();
    writer.query("INSERT INTO cheer (ask_id) VALUES (2)").ok();
    assert_eq!(number(&mut second, TWO), 1);
}

#[test]
fn text_and_prepared_results_are_kept_apart_and_parameters_are_part_of_the_question() {
    let site = Site::new();
    let mut clients = [site.client(), site.client()];
    for client in &mut clients {
        let statement = client.prepare("SELECT COUNT(*) FROM cheer WHERE ask_id = ?").expect("prepared").statement;
        assert_eq!(client.execute(statement, &[Value::Int(1)]).binary_rows(), [[Value::Int(1)]]);
        assert_eq!(client.execute(statement, &[Value::Int(2)]).binary_rows(), [[Value::Int(2)]]);
        assert_eq!((number(client, ONE), number(client, TWO)), (1, 2));
    }
    assert_eq!(site.hits(), 4, "the second client's");
    let [mut first, mut second] = clients;
    let statement = second.prepare("SELECT COUNT(*) FROM cheer WHERE ask_id = ?").expect("prepared").statement;
    first.query("INSERT INTO cheer (ask_id) VALUES (2)").ok();
    assert_eq!(second.execute(statement, &[Value::Int(2)]).binary_rows(), [[Value::Int(3)]]);
}

#[test]
fn a_transaction_reads_its_own_snapshot_and_its_own_rows() {
    let site = Site::new();
    let (mut reader, mut writer) = (site.client(), site.client());
    number(&mut reader, ONE);
    reader.query("START TRANSACTION").ok();
    assert_eq!(number(&mut reader, ONE), 1);
    writer.query("BEGIN").ok();
    writer.query("INSERT INTO cheer (ask_id) VALUES (1)").ok();
    assert_eq!(number(&mut writer, ONE), 2, "its own row, although a result is stored");
    let mut other = site.client();
    assert_eq!(number(&mut other, ONE), 1, "not committed");
    writer.query("COMMIT").ok();
    assert_eq!(number(&mut other, ONE), 2);
    assert_eq!(number(&mut reader, ONE), 1, "its snapshot");
    // What was read in the old snapshot must not answer anybody now.
    assert_eq!(number(&mut other, ONE), 2);
    reader.query("COMMIT").ok();
    assert_eq!(number(&mut reader, ONE), 2);
    writer.query("BEGIN").ok();
    writer.query("DELETE FROM cheer").ok();
    writer.query("ROLLBACK").ok();
    assert_eq!(number(&mut other, ONE), 2, "a rollback changed nothing");
}

#[test]
fn a_schema_change_forgets_everything_and_settings_are_part_of_the_question() {
    let site = Site::new();
    let (mut first, mut second) = (site.client(), site.client());
    let all = "SELECT * FROM ask WHERE id = 1";
    assert_eq!(first.query(all).names().len(), 2);
    assert_eq!(second.query(all).names().len(), 2);
    first.query("ALTER TABLE ask ADD COLUMN place VARCHAR(10) DEFAULT 'here'").ok();
    assert_eq!(second.query(all).names(), ["id", "message", "place"]);
    let before = site.hits();
    second.query("SET sql_mode = 'PIPES_AS_CONCAT'").ok();
    second.query(all).text_rows();
    assert_eq!(site.hits(), before, "asked under another setting");
}

#[test]
fn what_found_rows_says_is_of_the_last_answer_wherever_it_came_from() {
    let site = Site::new();
    let (mut first, mut second) = (site.client(), site.client());
    first.query("SELECT * FROM cheer").text_rows();
    second.query("SELECT * FROM ask WHERE id = 1").text_rows();
    let before = site.hits();
    assert_eq!(second.query("SELECT * FROM cheer").text_rows().len(), 3);
    assert_eq!(site.hits(), before + 1);
    assert_eq!(number(&mut second, "SELECT FOUND_ROWS()"), 3);
}

#[test]
fn a_request_learns_what_its_workers_statements_read_stored_or_not() {
    let site = Site::new();
    let (mut worker, mut other) = (site.worker(), site.client());
    number(&mut other, ONE);
    let window = site.witness.open(&site.freshness);
    let hits = site.hits();
    number(&mut worker, ONE);
    assert_eq!(site.hits(), hits + 1, "answered from the store");
    let (stamp, deps) = window.close().expect("a page of rows");
    let page = Entry::new(stamp, deps);
    other.query("INSERT INTO cheer (ask_id) VALUES (2)").ok();
    assert!(page.usable(&site.freshness), "not a row of the page");
    other.query("INSERT INTO cheer (ask_id) VALUES (1)").ok();
    assert!(!page.usable(&site.freshness));

    let verdict = |worker: &mut Client, statements: &[&str]| {
        // A statement counts until the last byte of its answer has left; the next command comes after that.
        worker.query("SET NAMES utf8mb4").ok();
        let window = site.witness.open(&site.freshness);
        statements.iter().for_each(|sql| drop(worker.query(sql)));
        window.close().map(drop)
    };
    assert_eq!(verdict(&mut worker, &["SELECT @@max_allowed_packet", ONE, "SET NAMES utf8mb4"]), Ok(()));
    assert_eq!(verdict(&mut worker, &["SELECT 1"]), Err(Refusal::NothingRead));
    assert_eq!(verdict(&mut worker, &[ONE, "SELECT NOW() FROM ask"]), Err(Refusal::Statement("NOW()")));
    assert_eq!(verdict(&mut worker, &[ONE, "SELECT * FROM nowhere"]), Err(Refusal::Statement("error")));
    assert_eq!(verdict(&mut worker, &[ONE, "INSERT INTO cheer (ask_id) VALUES (1)"]), Err(Refusal::Wrote));
    assert_eq!(verdict(&mut worker, &["BEGIN", "INSERT INTO cheer (ask_id) VALUES (1)"]), Err(Refusal::Wrote));
    // Another request, the same transaction: it reads rows that nobody else sees, and that may never come to be.
    assert_eq!(verdict(&mut worker, &[ONE]), Err(Refusal::Statement("uncommitted-rows")));
}

#[test]
fn a_transaction_that_has_only_read_ends_with_its_request() {
    let site = Site::new();
    let (mut worker, mut other) = (site.worker(), site.client());
    worker.query("SET autocommit = 0").ok();
    let first = site.witness.open(&site.freshness);
    assert_eq!(number(&mut worker, ONE), 1);
    other.query("INSERT INTO cheer (ask_id) VALUES (1)").ok();
    assert_eq!(number(&mut worker, ONE), 1, "one request, one snapshot");
    drop(first);
    let second = site.witness.open(&site.freshness);
    assert_eq!(number(&mut worker, ONE), 2, "the application never ended the transaction, but the request is over");
    assert!(second.close().is_ok(), "and what it read may be stored");

    // With uncommitted rows it is the application's to end.
    let third = site.witness.open(&site.freshness);
    worker.query("INSERT INTO cheer (ask_id) VALUES (2)").ok();
    drop(third);
    let _fourth = site.witness.open(&site.freshness);
    assert_eq!(number(&mut worker, TWO), 3);
    worker.query("ROLLBACK").ok();
    assert_eq!(number(&mut worker, TWO), 2);
}

#[test]
fn a_job_in_the_background_keeps_its_snapshot() {
    let site = Site::new();
    let (mut worker, mut other) = (site.worker(), site.client());
    worker.query("SET autocommit = 0").ok();
    assert_eq!(number(&mut worker, ONE), 1, "no request is in flight");
    other.query("INSERT INTO cheer (ask_id) VALUES (1)").ok();
    drop(site.witness.open(&site.freshness));
    drop(site.witness.open(&site.freshness));
    assert_eq!(number(&mut worker, ONE), 1);
}
