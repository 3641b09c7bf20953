//! Every page of the console, in a real browser, light and dark, on a desk and on a phone.

use std::path::PathBuf;

use mysql_async::prelude::Queryable;
use serde_json::Value;

use crate::{
    browser::Browser,
    service::{Service, signal},
};

/// Address, the name of its screenshots, and what shows that the page is about the running service.
const PAGES: [(&str, &str, &str); 9] = [
    ("/", "overview", "app.1"),
    ("/routes", "routes", "app"),
    ("/workers", "workers", "app.2"),
    ("/stores", "stores", "Hit share"),
    ("/sql", "sql", "COUNT"),
    ("/load", "load", "evening"),
    ("/configuration", "configuration", "pool.app.workers"),
    ("/events", "events", "ready"),
    ("/login", "login", "console.token"),
];

fn screenshot(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/screenshots/console").join(format!("{name}.png"))
}

#[test]
fn every_page_is_readable_by_everybody_and_moves_with_the_service() {
    let service = Service::demo(&["--workers", "2"]);
    let token = std::fs::read_to_string(service.home.path().join("state/console.token")).expect("the console's token");
    let browser = Browser::open(1280, 900, "en-US");

    // A person signs in and starts a load test, watches it, and finds its report.
    browser.go(&format!("{}/login", service.console));
    browser.find("#token").type_text(token.trim());
    browser.find("form[action='/login'] button").click();
    browser.wait_for("document.body.innerText.includes('Signed in')");
    browser.go(&format!("{}/load", service.console));
    browser.find("#lasts_s").type_text("\u{e009}a\u{e000}3");
    browser.find("#rate").type_text("\u{e009}a\u{e000}10");
    browser.find("#name").type_text("evening");
    browser.find("form[action='/api/load/start'] button").click();
    browser.wait_for("document.body.innerText.includes('Response time')");
    browser.screenshot(&screenshot("load-running"));
    browser.wait_for("!!document.querySelector('a[href$=\"evening\"]')");
    let report = browser.evaluate("document.querySelector('a[href$=\"evening\"]').href");
    browser.go(report.as_str().expect("an address"));
    browser.wait_for("document.body.innerText.includes('TPS')");
    browser.screenshot(&screenshot("load-report"));

    // The front page is replaced in place: what the address bar says stays, the figures move.
    browser.go(&service.console);
    browser.evaluate("void (document.body.dataset.same = 'yes')");
    let uptime = "[...document.querySelectorAll('dt')].find(term => term.textContent == 'running for').nextSibling.textContent";
    let before = browser.evaluate(uptime);
    browser.wait_for(&format!("{uptime} != {before}"));
    assert_eq!(browser.evaluate("document.body.dataset.same"), Value::String("yes".into()), "without loading the page anew");

    for (width, height, size) in [(1280, 900, "desk"), (390, 844, "phone")] {
        let browser = Browser::open(width, height, "en-US");
        for (path, name, shows) in PAGES {
            browser.go(&format!("{}{path}", service.console));
            browser.wait_for(&format!("document.body.textContent.includes('{shows}')"));
            for scheme in ["light", "dark"] {
                browser.prefer(scheme);
                assert_eq!(browser.obstacles(), Vec::<String>::new(), "{path} on a {size}, {scheme}");
                browser.screenshot(&screenshot(&format!("{name}-{size}-{scheme}")));
            }
        }
        assert_eq!(browser.console_errors(), Vec::<String>::new());
    }
}

/// A primary and two replicas of a real MariaDB: who they are and how far, on the front page and on the page about SQL.
#[test]
fn the_servers_of_a_database_are_shown_with_their_roles() {
    let service = Service::demo(&["--workers", "1", "--engine", "mariadb:2"]);
    for (width, height, size) in [(1280, 900, "desk"), (390, 844, "phone")] {
        let browser = Browser::open(width, height, "en-US");
        for (path, name, shows) in [("/", "overview", "replica"), ("/sql", "sql", "Servers of main")] {
            browser.go(&format!("{}{path}", service.console));
            browser.wait_for(&format!("document.body.innerHTML.includes('{shows}')"));
            assert_eq!(browser.obstacles(), Vec::<String>::new(), "{path} on a {size}");
            browser.screenshot(&screenshot(&format!("cluster-{name}-{size}")));
        }
    }
}

/// What the console makes of the service, as a program reads it.
fn findings(service: &Service) -> Value {
    let address = format!("{}/api/findings", service.console);
    ureq::get(&address).call().expect("the console answers").body_mut().read_json().expect("JSON")
}

/// Waits for a finding of that rule and returns its sentence and quote.
fn finding(service: &mut Service, rule: &str) -> (String, String) {
    let found = |findings: &Value| {
        let verdicts = findings["verdicts"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        verdicts.iter().find(|verdict| verdict["rule"] == rule).map(|verdict| (text(&verdict["sentence"]), text(&verdict["quote"])))
    };
    service.wait_until(&format!("the console finds {rule}"), |service| found(&findings(service)).is_some());
    found(&findings(service)).expect("it was there a moment ago")
}

#[test]
fn a_worker_that_keeps_dying_is_found_with_its_last_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let broken = folder.path().join("broken");
    let mut service = Service::run(
        &format!(
            r#"
[edge]
listen = "{{site}}"
[[edge.route]]
path = "/*"
pool = "app"
[pool.app]
command = "if [ $NUMBER = 2 -a -e '{broken}' ]; then echo cannot open the wardrobe; exit 3; fi; exec python3 -m http.server --bind 127.0.0.1 $PORT"
workers = 2
env = {{ NUMBER = "${{worker.number}}" }}
[console]
listen = "{{console}}"
"#,
            broken = broken.display()
        ),
        &[],
    );
    service.wait_until("both workers are told with their process", |service| service.worker_pids().len() == 2);
    std::fs::write(&broken, "").expect("from now on its start fails");
    crate::service::signal(service.worker_pids()[1], "KILL");
    let (sentence, quote) = finding(&mut service, "worker_dies");
    assert!(sentence.starts_with("Worker app.2 "), "{sentence}");
    assert!(quote.contains("exit code 3") && quote.contains("cannot open the wardrobe"), "{quote}");
    assert_eq!(findings(&service)["bottleneck"]["pool"], "app");
}

#[test]
fn too_few_workers_are_found_by_the_queue_before_them_and_enough_are_not() {
    let mut service = Service::run(
        &format!(
            r#"
[edge]
listen = "{{site}}"
[[edge.route]]
path = "/*"
pool = "app"
[pool.app]
command = "exec python3 one_at_a_time.py"
directory = "{apps}"
workers = 1
concurrency_max = 1
probe = {{ path = "/health", every = "30s" }}
[console]
listen = "{{console}}"
"#,
            apps = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("it/apps").display()
        ),
        &[],
    );
    // One visitor waits for nobody.
    let quiet = std::time::Instant::now();
    service.wait_until("ten quiet seconds", |service| {
        assert_eq!(service.get("/").status, 200);
        quiet.elapsed().as_secs() >= 10
    });
    assert_eq!(findings(&service)["verdicts"], Value::Array(Vec::new()), "healthy, and quiet");
    // Six visitors who come again as soon as they have their answer, for a worker that takes one at a time.
    let enough = std::sync::atomic::AtomicBool::new(false);
    let site = service.site.clone();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                while !enough.load(std::sync::atomic::Ordering::Relaxed) {
                    ureq::get(&site).call().expect("an answer");
                }
            });
        }
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| finding(&mut service, "too_few_workers")));
        enough.store(true, std::sync::atomic::Ordering::Relaxed);
        let (sentence, _) = found.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        assert!(sentence.starts_with("Requests wait ") && sentence.contains("for a free worker"), "{sentence}");
    });
}

/// An ordinary client's session at an SQL tier.
fn in_a_session(address: std::net::SocketAddr, work: impl AsyncFnOnce(&mut mysql_async::Conn)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        // Over TCP: given the choice, this driver takes the server's own socket and goes past us.
        let options = mysql_async::OptsBuilder::default().ip_or_hostname("127.0.0.1").tcp_port(address.port()).user(Some("root"));
        let mut session = mysql_async::Conn::new(options.prefer_socket(false)).await.expect("a session");
        work(&mut session).await;
        session.disconnect().await.expect("said goodbye");
    });
}

/// A real database with one statement that takes its time, among many that do not.
#[test]
fn one_slow_digest_is_found_and_quoted() {
    let database = pumasi_test_servers::MariaDb::start();
    let mut service = Service::run(
        &format!(
            r#"
[edge]
listen = "{{site}}"
[[edge.route]]
path = "/*"
pool = "app"
[pool.app]
command = "exec python3 one_at_a_time.py"
directory = "{apps}"
workers = 1
probe = {{ path = "/health", every = "30s" }}
[sql.main]
listen = "{{database}}"
primary = "mysql://root:@127.0.0.1:{port}/mysql"
[console]
listen = "{{console}}"
"#,
            apps = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("it/apps").display(),
            port = database.port
        ),
        &[],
    );
    let address = service.database();
    let enough = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                in_a_session(address, async |session| {
                    while !enough.load(std::sync::atomic::Ordering::Relaxed) {
                        session.query_drop("SELECT SLEEP(0.06), 'wardrobe'").await.expect("slow");
                        session.query_drop("SELECT 1").await.expect("quick");
                    }
                });
            });
        }
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| finding(&mut service, "slow_digest")));
        enough.store(true, std::sync::atomic::Ordering::Relaxed);
        let (sentence, quote) = found.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        assert!(sentence.starts_with("One statement takes ") && sentence.contains(" of the time of main"), "{sentence}");
        assert!(quote.contains("SLEEP") && !quote.contains("wardrobe"), "the digest, without its literals: {quote}");
    });
}

/// A Flask application whose page costs something to make, and is only read. Its route keeps pages as `mode` says.
fn guest_book(mode: &str) -> Service {
    let python = std::env::var("PUMASI_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let mut service = Service::run(
        &format!(
            r#"
[edge]
listen = "{{site}}"
[[edge.route]]
path = "/*"
pool = "app"
pages = "{mode}"
[pool.app]
command = "exec '{python}' -m gunicorn --no-control-socket --worker-tmp-dir /dev/shm -b 127.0.0.1:$PORT guestbook:app"
directory = "{apps}"
workers = 1
env = {{ DATABASE_HOST = "${{sql.main.host}}", DATABASE_PORT = "${{sql.main.port}}", DATABASE_NAME = "guests" }}
probe = {{ path = "/", every = "30s" }}
[sql.main]
listen = "{{database}}"
engine = "embedded:guests.db"
[console]
listen = "{{console}}"
"#,
            apps = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("it/apps").display(),
        ),
        &[],
    );
    // The first visit makes the table.
    assert_eq!(service.get("/").status, 200);
    in_a_session(service.database(), async |session| {
        session.query_drop("USE guests").await.expect("the database is there");
        for thousand in 0..5 {
            let rows: Vec<String> = (0..1000).map(|n| format!("('an entry of the guest book, number {thousand}{n:03}')")).collect();
            session.query_drop(format!("INSERT INTO entry (word) VALUES {}", rows.join(","))).await.expect("written");
        }
    });
    // Its connection has autocommit off and goes on showing the database of the first visit; the next worker's does not.
    for pid in service.worker_pids() {
        signal(pid, "KILL");
    }
    service.wait_until("the entries are shown", |service| {
        service.try_get("/", &[]).is_ok_and(|answer| answer.status == 200 && answer.body.lines().count() == 5000)
    });
    service
}

fn page_not_kept(service: &Service) -> Option<String> {
    let verdicts = findings(service)["verdicts"].as_array().cloned().unwrap_or_default();
    let found = verdicts.into_iter().find(|verdict| verdict["rule"] == "page_not_kept")?;
    Some(found["sentence"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn a_cacheable_page_that_is_not_kept_is_found_and_one_that_is_kept_is_not() {
    let mut service = guest_book("off");
    service.wait_until("the console finds page_not_kept", |service| {
        assert_eq!(service.get("/").status, 200);
        page_not_kept(service).is_some()
    });
    let sentence = page_not_kept(&service).expect("it was there a moment ago");
    assert!(sentence.contains("makes its pages anew each time") && sentence.contains("its pages are `off`"), "{sentence}");
    // The advice, taken.
    let mut service = guest_book("automatic");
    let start = std::time::Instant::now();
    service.wait_until("fifteen seconds have passed", |service| {
        assert_eq!(service.get("/").status, 200);
        assert_eq!(page_not_kept(service), None);
        start.elapsed().as_secs() >= 15
    });
}

#[test]
fn the_board_is_readable_by_everybody() {
    let service = Service::demo(&["--workers", "1"]);
    for (width, height, size) in [(1280, 900, "desk"), (390, 844, "phone")] {
        let browser = Browser::open(width, height, "ko-KR");
        for (path, shows) in [("/", "응원"), ("/ask/1", "응원"), ("/ask/999999", "404")] {
            browser.go(&format!("{}{path}", service.site));
            browser.wait_for(&format!("document.body.textContent.includes('{shows}')"));
            for scheme in ["light", "dark"] {
                browser.prefer(scheme);
                assert_eq!(browser.obstacles(), Vec::<String>::new(), "{path} on a {size}, {scheme}");
            }
        }
    }
}

/// The seconds that the charts are drawn from, oldest first: when, and requests per second.
fn seconds(service: &Service) -> Vec<(u64, f64)> {
    let address = format!("{}/api/history?of=seconds", service.console);
    let answered: Value = ureq::get(&address).call().expect("the console answers").body_mut().read_json().expect("JSON");
    let samples = answered.as_array().expect("samples").iter();
    samples.map(|sample| (sample["unix_s"].as_u64().expect("a time"), sample["rate"].as_f64().expect("a rate"))).collect()
}

/// The charts of the last hour survive a kill -9: the file is written as the seconds pass, and nothing has to be closed.
#[test]
fn the_history_is_there_after_a_kill() {
    let mut service = Service::demo(&["--workers", "1"]);
    service.wait_until("three seconds with visitors", |service| {
        assert_eq!(service.get("/").status, 200);
        seconds(service).iter().filter(|(_, rate)| *rate > 0.0).count() >= 3
    });
    let before = seconds(&service);
    service.kill();
    let again = Service::demo_in(service.home.clone(), &["--workers", "1"]);
    let after = seconds(&again);
    assert_eq!(after[..before.len()], before[..], "what was shown before is shown again");
}
