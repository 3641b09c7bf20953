//! The console over real sockets: what browsers, scrapers, the command line and attackers send.
mod http;
mod prepared;

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use http::{Answer, Connection};
use prepared::{Prepared, Situation};
use pumasi_console::{Console, Options, Purge, Purged, Token};
use tempfile::TempDir;

struct Running {
    console: Console,
    service: Arc<Prepared>,
    token: String,
    _directory: TempDir,
}

fn start(situation: Situation, pace: f64) -> Running {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("console-token");
    let token = Token::load_or_create(&path).unwrap();
    let service = Arc::new(Prepared::new(situation, pace));
    let options = Options { listen: "127.0.0.1:0".parse().unwrap(), token, history: Some(directory.path().join("history")) };
    let console = Console::start(options, service.clone()).unwrap();
    Running { console, service, token: std::fs::read_to_string(path).unwrap().trim().to_owned(), _directory: directory }
}

impl Running {
    fn ask(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        Connection::open(self.console.address()).ask(method, path, headers, body)
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "")
    }

    fn post(&self, path: &str, headers: &[&str], form: &str) -> Answer {
        self.ask("POST", path, &[headers, &["Content-Type: application/x-www-form-urlencoded"]].concat(), form)
    }

    fn bearer(&self) -> String {
        format!("Authorization: Bearer {}", self.token)
    }

    fn sign_in(&self) -> String {
        let answer = self.post("/login", &[], &format!("token={}", self.token));
        assert_eq!((answer.status, answer.header("location")), (303, Some("/")));
        let cookie = answer.header("set-cookie").unwrap();
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
        format!("Cookie: other=1; {}", cookie.split(';').next().unwrap())
    }
}

#[test]
fn every_page_is_whole_without_a_script() {
    let running = start(Situation::WorkerDies, 1.0);
    for (path, shows) in [
        ("/", "app.2"),
        ("/?range=1h", "1 hour"),
        ("/?range=nonsense", "5 minutes"),
        ("/routes", "the method is POST"),
        ("/routes", "&lt;p&gt;You are visitor 8"),
        ("/workers", "backing off"),
        ("/stores", "134 MB"),
        ("/sql", "COUNT ( DISTINCT cheer"),
        ("/configuration", "PUMASI__POOL__APP__WORKERS"),
        ("/events", "No module named &#39;pymysqll&#39;"),
        ("/login", "console-token"),
    ] {
        let page = running.get(path);
        assert_eq!(page.status, 200, "{path}");
        assert!(page.body.contains(&shows.replace("&#39;", "'")), "{path} does not show {shows}: {}", page.body);
        assert!(page.body.contains("lang=\"en\"") && page.body.contains("<h1>") && page.body.contains("<main"), "{path}");
        // What the policy would refuse anyway must not be tried.
        for forbidden in ["style=", "<style", "onclick", "http://", "https://", "javascript:"] {
            assert!(!page.body.replace("http://www.w3.org/2000/svg", "").contains(forbidden), "{path} has {forbidden}");
        }
    }
    assert_eq!(running.get("/nothing").status, 404);
    assert_eq!(running.get("/live/nothing").status, 404);
    let slashed = running.get("/routes/");
    assert_eq!((slashed.status, slashed.header("location")), (308, Some("/routes")));
    assert_eq!(running.get("//evil.example/").status, 404, "never led to another host");
    assert_eq!(running.ask("DELETE", "/routes", &[], "").status, 405);
}

#[test]
fn every_answer_carries_the_policy() {
    let running = start(Situation::Healthy, 1.0);
    for path in ["/", "/live.js", "/style.css", "/icon.svg", "/metrics", "/api/status", "/nothing"] {
        let answer = running.get(path);
        let policy = answer.header("content-security-policy").unwrap_or_else(|| panic!("{path} has no policy"));
        assert!(policy.starts_with("default-src 'self'") && policy.contains("frame-ancestors 'none'"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{path}");
    }
}

#[test]
fn machines_read_json_and_metrics() {
    let running = start(Situation::Healthy, 1.0);
    let metrics = running.get("/metrics");
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(metrics.body.contains("\npumasi_worker_memory_bytes{pool=\"app\",worker=\"app.1\"} 14500000\n"), "{}", metrics.body);
    let status = running.get("/api/status");
    assert_eq!(status.header("content-type"), Some("application/json"));
    let status: pumasi_status::Status = serde_json::from_str(&status.body).unwrap();
    assert_eq!((status.pools[0].upstreams.len(), status.sql[0].name.as_str()), (3, "main"));
    let settings: serde_json::Value = serde_json::from_str(&running.get("/api/configuration").body).unwrap();
    assert_eq!(settings[4]["value"], "\"***\"");
    assert_eq!(running.get("/health").body, "ok\n");
}

#[test]
fn changes_need_the_token() {
    let running = start(Situation::Healthy, 1.0);
    let nothing = running.post("/api/reload", &[], "");
    assert_eq!((nothing.status, nothing.header("www-authenticate")), (401, Some("Bearer")));
    assert!(nothing.body.contains("console-token"), "it says where the token is: {}", nothing.body);
    for wrong in ["Authorization: Bearer wrong", "Authorization: Bearer ", "Authorization: Basic eDp5", "Cookie: pumasi-console=guess"] {
        assert_eq!(running.post("/api/reload", &[wrong], "").status, 401, "{wrong}");
    }
    let browser = running.post("/api/reload", &["Accept: text/html"], "");
    assert_eq!((browser.status, browser.header("location")), (303, Some("/login")));
    assert_eq!(running.get("/api/reload").status, 405, "a link or an image changes nothing");
    assert_eq!(running.service.reloads.load(Relaxed), 0);

    let done = running.post("/api/reload", &[&running.bearer()], "");
    assert_eq!((done.status, done.body.as_str()), (200, "{\"message\":\"Replaced 3 workers of pool app.\"}\n"));
    let failed = running.post("/api/reload", &[&running.bearer()], "");
    assert_eq!(failed.status, 422);
    assert!(failed.body.starts_with("{\"error\":\"pumasi.toml:9: pool.app.workers: 0 is too few."), "{}", failed.body);

    assert_eq!(running.post("/api/purge", &[&running.bearer()], "path=/ask/").status, 200);
    assert_eq!(running.post("/api/purge", &[&running.bearer()], "path=ask").status, 422);
    assert_eq!(running.post("/api/purge", &[&running.bearer()], "").status, 422, "no path is not every path");
    assert_eq!(running.post("/api/purge", &[&running.bearer()], "tag=cats&soft=1").status, 200);
    assert_eq!(running.post("/api/purge", &[&running.bearer()], "tag=cats&path=/").status, 422, "one or the other");
    assert_eq!(running.post("/api/purge", &[&running.bearer()], "everything=1").status, 200);
    let wishes = [(Purged::Prefix("/ask/".into()), false), (Purged::Tag("cats".into()), true), (Purged::Everything, false)];
    assert_eq!(*running.service.purged.lock().unwrap(), wishes.map(|(pages, soft)| Purge { pages, soft }));
    assert_eq!(running.post("/api/purge", &[&running.bearer()], &format!("path=/{}", "x".repeat(8 << 10))).status, 422);
}

#[test]
fn a_browser_signs_in_once_and_out_again() {
    let running = start(Situation::Healthy, 1.0);
    let wrong = running.post("/login", &[], "token=guess");
    assert_eq!((wrong.status, wrong.header("set-cookie")), (403, None));
    assert!(wrong.body.contains("That is not the console's token"));
    assert!(!running.get("/configuration").body.contains("action=\"/api/reload\""), "no button that would be refused");

    let cookie = running.sign_in();
    assert!(running.ask("GET", "/configuration", &[&cookie], "").body.contains("action=\"/api/reload\""));
    let host = running.console.address();
    let own = format!("Origin: http://{host}");
    let done = running.post("/api/reload", &[&cookie, &own, "Accept: text/html"], "");
    assert_eq!(done.status, 200);
    assert!(done.body.contains("Replaced 3 workers of pool app.") && done.body.contains("role=\"status\""));
    let failed = running.post("/api/reload", &[&cookie, &own], "");
    assert!(failed.status == 422 && failed.body.contains("role=\"alert\"") && failed.body.contains("0 is too few"));

    for foreign in ["Origin: http://evil.example", "Origin: null", "Sec-Fetch-Site: cross-site"] {
        assert_eq!(running.post("/api/reload", &[&cookie, foreign], "").status, 403, "{foreign}");
    }
    assert_eq!(running.service.reloads.load(Relaxed), 2);
    assert_eq!(running.post("/logout", &[&cookie, &own], "").status, 303);
    assert_eq!(running.post("/api/reload", &[&cookie, &own], "").status, 401, "the session is over, whoever kept the cookie");
}

#[test]
fn load_tests_are_started_watched_and_compared() {
    let running = start(Situation::TooFewWorkers, 1.0);
    let page = running.get("/load").body;
    assert!(page.contains("href=\"/load/20260921-two\"") && page.contains("INVALID") && page.contains("1.23 k/s"), "{page}");
    assert_eq!(running.post("/api/load/start", &[], "path=/&rate=50&lasts_s=30").status, 401);
    assert_eq!(running.post("/api/load/start", &[&running.bearer()], "path=/&rate=50").status, 422);
    let elsewhere = running.post("/api/load/start", &[&running.bearer()], "path=http://elsewhere/&rate=50&lasts_s=30");
    assert!(elsewhere.status == 422 && elsewhere.body.contains("begins with a slash"), "{}", elsewhere.body);
    assert!(running.service.loads.lock().unwrap().is_empty());

    let cookie = running.sign_in();
    let started = running.post("/api/load/start", &[&cookie], "path=/ask/1&rate=50&lasts_s=30&name=evening");
    assert!(
        started.status == 200 && started.body.contains("Started.") && started.body.contains("End the running test"),
        "{}",
        started.body
    );
    assert!(started.body.contains("http://127.0.0.1:8080/ask/1") && started.body.contains("Response time"));
    assert_eq!(running.service.loads.lock().unwrap()[0].name, "evening");
    assert_eq!(running.post("/api/load/stop", &[&running.bearer()], "").status, 422);

    let report = running.get("/load/20260921-two");
    let policy = report.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'unsafe-inline'") && report.body.ends_with("<p>report"));
    let ladder = running.get("/ladder");
    assert!(
        ladder.header("content-security-policy") == Some(policy) && ladder.body.ends_with("<p>rungs") && page.contains("href=\"/ladder\"")
    );
    assert_eq!(running.get("/load/..%2f..%2fetc%2fpasswd").status, 404);
    let compared = running.get("/load?before=20260921-one&after=20260921-two").body;
    assert!(compared.contains("+201 %") && compared.contains("better") && compared.contains("20260921-one ran 20 s"), "{compared}");
    assert!(compared.contains("data-live=\"/live/load?before=20260921-one&amp;after=20260921-two\""));
    assert!(running.get("/load?before=x&after=y").body.contains("there is no run"));

    let without = start(Situation::Healthy, 1.0);
    assert!(without.get("/load").body.contains("cannot run load tests"));
    assert_eq!(without.post("/api/load/start", &[&without.bearer()], "path=/&rate=50&lasts_s=30").status, 422);
}

#[test]
fn a_name_that_was_pointed_at_loopback_is_not_answered() {
    let running = start(Situation::Healthy, 1.0);
    let mut connection = Connection::open(running.console.address());
    for path in ["/", "/api/status", "/metrics", "/live/front"] {
        let answer = connection.ask_as("evil.example", "GET", path, &[], "");
        assert_eq!(answer.status, 421, "{path}");
        assert!(!answer.body.contains("app.1"));
    }
    let answer = connection.ask_as("evil.example", "POST", "/api/reload", &[&running.bearer()], "");
    assert_eq!((answer.status, running.service.reloads.load(Relaxed)), (421, 0));
}

#[test]
fn a_live_page_sends_what_changed_and_only_that() {
    let running = start(Situation::WorkerDies, 5.0);
    let mut live = Connection::open(running.console.address()).stream("/live/workers");
    assert_eq!(live.header("content-type"), Some("text/event-stream"));
    let first: serde_json::Value = serde_json::from_str(&live.next_event()).unwrap();
    assert!(first["pools"].as_str().unwrap().contains("app.2"));
    let second: serde_json::Value = serde_json::from_str(&live.next_event()).unwrap();
    assert_ne!(first["pools"], second["pools"], "its counters grew");
    let mut still = Connection::open(running.console.address()).stream("/live/configuration");
    assert!(still.next_event().contains("settings"));
    assert_eq!(still.next_line_that_says_something(), ":", "nothing changed: a comment keeps the connection");
}

#[test]
fn live_pages_are_bounded() {
    let running = start(Situation::Healthy, 1.0);
    let streams: Vec<_> = (0..32).map(|_| Connection::open(running.console.address()).stream("/live/front")).collect();
    assert!(streams.iter().all(|stream| stream.header("content-type") == Some("text/event-stream")));
    let refused = running.get("/live/front");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("10")));
    assert_eq!(running.get("/").status, 200, "pages are still served");
    drop(streams);
    wait_for("a place", || running.ask("GET", "/live/nothing", &[], "").status == 404 && !busy(&running));
}

fn busy(running: &Running) -> bool {
    Connection::open(running.console.address()).stream("/live/front").status == 503
}

#[test]
fn stopping_closes_live_pages_and_frees_the_port() {
    let running = start(Situation::Healthy, 1.0);
    let address = running.console.address();
    let mut live = Connection::open(address).stream("/live/front");
    live.next_event();
    let started = Instant::now();
    drop(running);
    live.read_to_end();
    assert!(started.elapsed() < Duration::from_secs(10));
    std::net::TcpListener::bind(address).unwrap();
}

#[test]
fn a_port_that_is_taken_is_an_error_with_the_address() {
    let running = start(Situation::Healthy, 1.0);
    let directory = TempDir::new().unwrap();
    let token = Token::load_or_create(&directory.path().join("t")).unwrap();
    let options = Options { listen: running.console.address(), token, history: None };
    let error = Console::start(options, running.service.clone()).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot listen on {}: ", running.console.address())), "{error}");
}

/// A comparison needs eight seconds of pictures, so the situations run side by side.
#[test]
fn the_verdict_is_right_in_prepared_situations_and_quiet_on_a_healthy_service() {
    let situations = [
        (Situation::TooFewWorkers, "too_few_workers", Some("app")),
        (Situation::SlowDigest, "slow_digest", Some("main")),
        (Situation::PageNotKept, "page_not_kept", Some("main")),
        (Situation::WorkerDies, "worker_dies", Some("app")),
    ];
    let healthy = start(Situation::Healthy, 1.0);
    let running: Vec<_> = situations.map(|situation| (start(situation.0, 1.0), situation)).into_iter().collect();
    for (running, (situation, rule, place)) in &running {
        wait_for(&format!("{situation:?} to be noticed"), || running.get("/api/findings").body.contains(rule));
        let findings: serde_json::Value = serde_json::from_str(&running.get("/api/findings").body).unwrap();
        let marked = findings["bottleneck"].as_object().and_then(|place| place.values().next()?.as_str().map(str::to_owned));
        assert_eq!(marked.as_deref(), *place, "{situation:?}: {findings}");
        let page = running.get("/").body;
        assert!(page.contains("The bottleneck") && page.contains(findings["verdicts"][0]["sentence"].as_str().unwrap()), "{page}");
    }
    let quiet = "{\"verdicts\":[],\"bottleneck\":null,\"well\":\"All is well. Nothing waits, nothing fails.\"}\n";
    wait_for("the healthy one to be told well", || healthy.get("/api/findings").body == quiet);
    assert!(healthy.get("/").body.contains("All is well"));
}

fn wait_for(what: &str, mut ready: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !ready() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
