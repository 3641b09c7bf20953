//! The board on a real MariaDB, asked over real HTTP; the hand-written caches on a real Redis and memcached.
mod app;

use app::{Answer, App, Database};
use pumasi_test_servers::{Memcached, Redis};

#[test]
fn a_visitor_asks_cheers_and_reads() {
    let database = Database::start();
    let app = App::start(&database, &[]);
    assert_eq!(app.get("/health").body, "ok\n");

    let empty = app.get("/");
    assert_eq!((empty.status, empty.header("vary"), empty.header("set-cookie")), (200, Some("Accept-Language"), None));
    assert!(empty.body.contains("No requests yet"));

    let posted =
        app.post("/ask", "message=%ED%9E%98%EC%9D%84+%EC%A3%BC%EC%84%B8%EC%9A%94+%26+thanks", &["X-Forwarded-For: 65.3.12.9, 10.0.0.1"]);
    assert_eq!((posted.status, posted.header("location")), (303, Some("/ask/1")));
    for from in ["1.2.3.4", "1.2.3.4", "2001:db8::7"] {
        let cheered = app.post("/ask/1/cheer", "message=go!", &[&format!("X-Forwarded-For: {from}")]);
        assert_eq!((cheered.status, cheered.header("location")), (303, Some("/ask/1")));
    }

    let front = app.get("/");
    assert!(front.body.contains("힘을 주세요 &amp; thanks") && front.body.contains("3 cheers from 2 places"), "{}", front.body);
    assert!(front.body.contains("65.3.*.*") && !front.body.contains("65.3.12.9"));
    assert_eq!(app.get("/").body, front.body, "the same rows make the same page");
    let korean = app.request("GET", "/", "", &["Accept-Language: ko-KR,ko;q=0.9,en;q=0.5"]);
    assert!(korean.body.contains("lang=\"ko\"") && korean.body.contains("응원 3개 · 2곳에서"));

    let ask = app.get("/ask/1");
    assert_eq!((ask.status, ask.body.matches("go!").count()), (200, 3));
    assert!(ask.body.contains("1.2.*.*") && ask.body.contains("2001:db8:*:*"));
    assert_eq!(app.request("HEAD", "/ask/1", "", &[]).body, "");
}

#[test]
fn what_cannot_be_taken_is_said_kindly() {
    let database = Database::start();
    let app = App::start(&database, &[]);
    app.post("/ask", "message=hello", &[]);
    let long = format!("message={}", "%EA%B0%80".repeat(askhy::MESSAGE_CHARS_MAX + 1));
    let longest = format!("message={}", "%F0%9F%90%B1".repeat(askhy::MESSAGE_CHARS_MAX));
    let check = |answer: Answer, status, says: &str| {
        assert_eq!(answer.status, status, "{says}");
        assert!(answer.body.contains(says) && answer.body.contains("부탁하냥"), "{says} is missing in {}", answer.body);
        assert_eq!(answer.header("vary"), Some("Accept-Language"));
    };
    check(app.post("/ask", "message=+%0A", &[]), 422, "Please write something first.");
    check(app.post("/ask", &long, &[]), 422, "Up to 200 characters, please. This one has 201.");
    check(app.post("/ask/1/cheer", "message=", &[]), 422, "Please write something first.");
    check(app.post("/ask/1/cheer", &long, &["Accept-Language: ko"]), 422, "지금은 201자예요");
    check(app.post("/ask", &format!("message={}", "x".repeat(17 << 10)), &[]), 413, "too large");
    check(app.post("/ask", "nothing=here", &[]), 422, "not a message we can read");
    check(app.request("POST", "/ask", "{}", &["Content-Type: application/json"]), 415, "not a message we can read");
    check(app.get("/ask/2"), 404, "There is nothing here");
    check(app.get("/ask/99999999999999999999"), 404, "There is nothing here");
    check(app.get("/ask/one"), 404, "There is nothing here");
    check(app.get("/elsewhere"), 404, "There is nothing here");
    check(app.get("/ask"), 405, "only takes messages");
    check(app.post("/ask/2/cheer", "message=go", &[]), 404, "There is nothing here");
    assert_eq!(app.post("/ask/1/cheer", &longest, &[]).status, 303, "the limit is in characters, not bytes");
    assert!(app.get("/").body.contains("1 cheer from 1 place"));

    drop(database);
    check(app.get("/"), 503, "Taking a short rest");
}

#[test]
fn a_seeded_board_is_filled_once_and_alike() {
    let database = Database::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut reports = Vec::new();
    assert!(runtime.block_on(askhy::seed(&database.settings(), 50, 3_000, |done, total| reports.push((done, total)))).unwrap());
    assert_eq!((reports.first(), reports.last()), (Some(&(50, 3_050)), Some(&(3_050, 3_050))));
    let app = App::start(&database, &[]);
    let front = app.get("/").body;
    assert_eq!(front.matches("<li>").count(), 50);
    assert!(!runtime.block_on(askhy::seed(&database.settings(), 50, 3_000, |_, _| {})).unwrap(), "a filled board stays as it is");
    assert_eq!(app.get("/").body, front);
    database.run("SET FOREIGN_KEY_CHECKS=0; TRUNCATE cheer; TRUNCATE ask");
    assert!(runtime.block_on(askhy::seed(&database.settings(), 50, 3_000, |_, _| {})).unwrap());
    assert_eq!(app.get("/").body, front, "the same seed, the same board");
    database.run("DELETE FROM ask WHERE id <= 49");
    assert_eq!(database.run("SELECT COUNT(DISTINCT ask_id) FROM cheer"), "1", "cheers go with their ask");
}

#[test]
fn the_list_is_kept_in_redis_until_a_write_of_the_application() {
    let redis = Redis::start();
    cached(&redis.address());
}

#[test]
fn the_list_is_kept_in_memcached_until_a_write_of_the_application() {
    let memcached = Memcached::start();
    cached(&memcached.address());
}

fn cached(cache: &str) {
    let database = Database::start();
    let app = App::start(&database, &[("ASKHY_CACHE", cache)]);
    app.post("/ask", "message=first", &[]);
    let front = app.get("/").body;
    database.run("INSERT INTO cheer (ask_id, message, ip_address) VALUES (1, 'unseen', '1.1.1.1')");
    assert_eq!(app.get("/").body, front, "a write past the application is not noticed: the list came from the cache");
    app.post("/ask/1/cheer", "message=seen", &["X-Forwarded-For: 2.2.2.2"]);
    assert!(app.get("/").body.contains("2 cheers from 2 places"), "a write of the application deletes the list");
    app.post("/ask", "message=second", &[]);
    assert!(app.get("/").body.contains("second"));
}

#[test]
fn a_cache_that_is_away_costs_no_page() {
    let database = Database::start();
    let redis = Redis::start();
    let app = App::start(&database, &[("ASKHY_CACHE", &redis.address())]);
    app.post("/ask", "message=first", &[]);
    assert_eq!(app.get("/").status, 200);
    drop(redis);
    assert_eq!(app.post("/ask", "message=second", &[]).status, 303);
    assert!(app.get("/").body.contains("second"));
}

#[test]
fn a_wrong_setting_is_named() {
    let check = |name: &str, value: &str, says: &str| {
        let output = App::command().env(name, value).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(says), "{said}");
    };
    check("PORT", "eighty", "askhy: PORT=\"eighty\" is not a port number");
    check("ASKHY_CACHE", "mongo://x", "is not redis://HOST:PORT or memcached://HOST:PORT");
}
