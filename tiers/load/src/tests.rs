//! Runs against real servers on loopback: what arrives there, and what the report says about it.

mod http2;
pub mod server;

use crate::{
    plan::{Plan, Target, Trust},
    report::{Label, Report},
    run::{self, Unwatched},
    scenario::{self, Overrides},
};
use pumasi_config::Source;
use server::{Answer, Server};
use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

fn run(plan: &Plan) -> Report {
    let outcome = run::run(plan, &AtomicBool::new(false), &mut Unwatched).unwrap();
    Report::of(plan, &outcome, Label::default())
}

fn url_plan(server: &Server, flags: Overrides) -> Plan {
    scenario::from_url(&server.url("/"), "GET", None, &Overrides { warmup: flags.warmup.or(Some(Duration::ZERO)), ..flags }).unwrap()
}

fn file_plan(server: &Server, text: &str, directory: &Path, flags: Overrides) -> Plan {
    let target = Some(Target::resolve(&server.url(""), &Trust::System).unwrap());
    let source = Source { name: "s.toml".into(), text: text.into(), directory: directory.into() };
    let overrides = Overrides { target, warmup: Some(Duration::ZERO), ..flags };
    scenario::compile(&source, &overrides).unwrap_or_else(|problems| panic!("{problems}"))
}

fn seconds(seconds: f64) -> Option<Duration> {
    Some(Duration::from_secs_f64(seconds))
}

/// Stalls for the first 100 ms of every second.
fn stalling() -> Server {
    let start = Instant::now();
    Server::start(move |_| {
        let into = start.elapsed().subsec_millis();
        if into < 100 {
            std::thread::sleep(Duration::from_millis(u64::from(100 - into)));
        }
        Answer::text(200, "ok")
    })
}

/// A tenth of the arrivals meet the stall and wait for its rest, evenly 0 to 100 ms: so p95 is 50 ms, p99 90 ms. Only too little can
/// be wrong here: a busy machine adds to it. (How near it comes is recorded in bench/runs.)
#[test]
fn the_open_model_shows_a_stall_as_it_is() {
    let server = stalling();
    let report = run(&url_plan(&server, Overrides { rate: Some(500.0), lasts: seconds(4.0), ..Overrides::default() }));
    assert_eq!((report.executed, report.errors, report.shed), (2000, 0, 0));
    let r = &report.response;
    assert!(r.p99 > 75.0, "p99 is {} ms, theory says 90", r.p99);
    assert!(r.p95 > 35.0, "p95 is {} ms, theory says 50", r.p95);
}

/// The same with few connections, as wrk2 has them: the arrivals of the stall wait in the generator, so only the response time shows it.
#[test]
fn waiting_for_a_connection_counts_into_the_response_time_only() {
    let server = stalling();
    let flags = Overrides { rate: Some(500.0), lasts: seconds(4.0), connections_max: Some(2), threads: Some(1), ..Overrides::default() };
    let report = run(&url_plan(&server, flags));
    assert_eq!((report.executed, report.errors), (2000, 0));
    assert!(report.response.p99 > 75.0, "p99 is {} ms, theory says 90", report.response.p99);
    assert!(report.service.p95 < report.response.p95 / 2.0, "{} {}", report.service.p95, report.response.p95);
}

/// Two vusers meet the stall twice a second, among many hundred answers: p99 knows nothing of it. A busy machine may stall on its own
/// account, so one quiet attempt of five is enough.
#[test]
fn the_closed_model_hides_the_same_stall() {
    let server = stalling();
    let hidden = (0..5).any(|_| {
        let report = run(&url_plan(&server, Overrides { vusers: Some(2.0), lasts: seconds(3.0), ..Overrides::default() }));
        assert_eq!(report.errors, 0, "{:?}", report.error_examples);
        assert!(report.response.max > 60.0, "the stall itself was {} ms", report.response.max);
        report.response.p99 < 50.0
    });
    assert!(hidden, "p99 shows the stall");
}

#[test]
fn every_planned_arrival_is_sent_once() {
    let count = Arc::new(AtomicU64::new(0));
    let counting = Arc::clone(&count);
    let server = Server::start(move |_| {
        counting.fetch_add(1, Ordering::Relaxed);
        Answer::text(200, "ok")
    });
    let flags = Overrides { rate: Some(1234.5), lasts: seconds(2.0), warmup: seconds(1.0), threads: Some(2), ..Overrides::default() };
    let report = run(&url_plan(&server, flags));
    assert_eq!(count.load(Ordering::Relaxed), 3704, "1234.5 a second for three seconds, the first at once");
    // The warm-up's 1235 arrivals (0 to 1234) are not among the measured.
    assert_eq!((report.planned, report.executed, report.successful, report.shed), (2469, 2469, 2469, 0));
    assert!((report.rate_planned - 1234.5).abs() < 1.0, "{}", report.rate_planned);
}

#[test]
fn what_is_not_sent_is_counted_as_shed() {
    let server = Server::start(|_| Answer::never());
    let flags = Overrides {
        rate: Some(1000.0),
        lasts: seconds(1.0),
        in_flight_max: Some(7),
        timeout: seconds(2.0),
        threads: Some(1),
        ..Overrides::default()
    };
    let report = run(&url_plan(&server, flags));
    assert_eq!((report.planned, report.shed, report.executed), (1000, 993, 7));
    assert_eq!(report.errors_by_kind.get("timeout"), Some(&7));
    assert!(report.response.max >= 1900.0, "a timeout counts with the time it took, not {} ms", report.response.max);
    assert!(!report.valid && report.reasons.iter().any(|reason| reason.contains("7 of 1000")), "{:?}", report.reasons);
}

/// The server closes each connection after its third answer and does not say so.
#[test]
fn a_kept_alive_connection_that_the_server_closed_costs_no_error() {
    let server = Server::closing_after(3, |_| Answer::text(200, "ok"));
    let report = run(&url_plan(&server, Overrides { vusers: Some(4.0), lasts: seconds(1.0), ..Overrides::default() }));
    assert!(report.successful > 100, "{} successful", report.successful);
    assert_eq!(report.errors, 0, "{:?}", report.error_examples);
}

#[test]
fn answers_of_every_framing_are_read() {
    let turn = AtomicU64::new(0);
    let server = Server::start(move |_| match turn.fetch_add(1, Ordering::Relaxed) % 3 {
        0 => Answer::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
        1 => Answer::raw("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end").then_close(),
        _ => Answer::raw("HTTP/1.1 204 No Content\r\n\r\n"),
    });
    let report = run(&url_plan(&server, Overrides { rate: Some(300.0), lasts: seconds(1.0), ..Overrides::default() }));
    assert_eq!((report.successful, report.errors), (300, 0), "{:?}", report.error_examples);
    assert_eq!((report.status.get(&200), report.status.get(&204)), (Some(&200), Some(&100)));
}

#[test]
fn errors_are_told_by_kind() {
    let turn = AtomicU64::new(0);
    let server = Server::start(move |_| match turn.fetch_add(1, Ordering::Relaxed) % 4 {
        0 => Answer::text(503, "busy"),
        1 => Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort").then_close(),
        2 => Answer::raw("what?\r\n\r\n").then_close(),
        _ => Answer::text(200, "ok"),
    });
    let report = run(&url_plan(&server, Overrides { rate: Some(200.0), lasts: seconds(1.0), ..Overrides::default() }));
    let kind = |kind: &str| report.errors_by_kind.get(kind).copied();
    assert_eq!((kind("status"), kind("closed"), kind("protocol")), (Some(50), Some(50), Some(50)), "{:?}", report.error_examples);
    assert_eq!((report.executed, report.successful, report.errors), (200, 50, 150));
}

#[test]
fn a_target_that_is_gone_is_unreachable() {
    let server = Server::start(|_| Answer::text(200, "ok"));
    let plan = url_plan(&server, Overrides { vusers: Some(3.0), lasts: seconds(1.0), ..Overrides::default() });
    drop(server);
    let report = run(&plan);
    assert!(report.unreachable(), "{:?}", report.errors_by_kind);
    assert!(report.errors < 100, "a vuser that cannot connect pauses; it made {} attempts", report.errors);
}

#[test]
fn stages_change_the_rate_and_vusers_come_and_go() {
    let server = Server::start(|_| Answer::text(200, "ok"));
    let text = "[load]\nstages = [{ vusers = 6, for = \"1s\" }, { vusers = 2, for = \"1s\" }]\n[[scenario]]\nsteps = [{ get = \"/\", think = \"20ms\" }]";
    let report = run(&file_plan(&server, text, Path::new("."), Overrides::default()));
    assert_eq!((report.vusers, report.model.as_str(), report.errors), (6, "closed", 0));
    assert_eq!(report.connects, 6, "a vuser has a connection of its own");
    assert!(report.series.last().unwrap().vusers <= 2, "{} are left", report.series.last().unwrap().vusers);
}

/// A journey of several steps: data from a file, a value extracted from JSON, a cookie, a form, and checks that hold.
#[test]
fn a_journey_remembers_what_it_was_told() {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let recording = Arc::clone(&seen);
    let server = Server::start(move |request| {
        recording.lock().unwrap().push(request.to_string());
        match request.split(' ').nth(1).unwrap() {
            path if path.starts_with("/login") => Answer::raw(
                "HTTP/1.1 200 OK\r\nSet-Cookie: sid=s3cret; Path=/; HttpOnly\r\nContent-Length: 23\r\n\r\n{\"items\": [{\"id\": 421}]}"[..]
                    .replace("23", "24")
                    .as_str(),
            ),
            "/items/421" => Answer::raw("HTTP/1.1 200 OK\r\nX-Token: t-77\r\nContent-Length: 20\r\n\r\n<a href=\"/next/abc\">"),
            _ => Answer::text(303, ""),
        }
    });
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("users.csv"), "id,name\n1,고양이\n").unwrap();
    let text = r#"
[data]
user = { csv = "users.csv" }
[[scenario]]
name = "buy"
steps = [
  { get = "/login?u=${user.name}", extract = { item = { json = "/items/0/id" } }, check = { json = { "/items/0/id" = 421 } } },
  { get = "/items/${item}", extract = { next = { regex = "href=\"/next/([a-z]+)\"" }, token = { header = "X-Token" } }, check = { contains = "next" } },
  { post = "/buy/${next}", headers = { X-Token = "${token}" }, form = { item = "${item}", note = "a b&c" }, check = { status = 303 } },
]
"#;
    let report =
        run(&file_plan(&server, text, directory.path(), Overrides { rate: Some(10.0), lasts: seconds(0.5), ..Overrides::default() }));
    assert_eq!((report.executed, report.errors, report.journeys), (15, 0, 5), "{:?}", report.error_examples);
    let seen = seen.lock().unwrap();
    let find = |start: &str| seen.iter().find(|request| request.starts_with(start)).unwrap_or_else(|| panic!("no {start} in {seen:?}"));
    assert!(!find("GET /login?u=%EA%B3%A0%EC%96%91%EC%9D%B4 ").contains("Cookie"));
    assert!(find("GET /items/421 ").contains("Cookie: sid=s3cret\r\n"));
    let buy = find("POST /buy/abc ");
    assert!(buy.contains("X-Token: t-77\r\n") && buy.contains("Content-Type: application/x-www-form-urlencoded\r\n"), "{buy}");
    assert!(buy.contains("Content-Length: 21\r\n") && buy.ends_with("item=421&note=a+b%26c"), "{buy}");
}

#[test]
fn failed_checks_and_missing_values_are_errors_of_their_own() {
    let server = Server::start(|_| Answer::text(200, "{\"stock\": 0}"));
    let text = r#"
[[scenario]]
steps = [
  { get = "/a", check = { json = { "/stock" = 5 } } },
  { get = "/b", extract = { id = { json = "/id" } } },
  { get = "/c", check = { body_min = 1000 } },
]
"#;
    let report =
        run(&file_plan(&server, text, Path::new("."), Overrides { rate: Some(10.0), lasts: seconds(0.5), ..Overrides::default() }));
    assert_eq!(report.errors_by_kind.get("check"), Some(&10), "{:?}", report.error_examples);
    assert_eq!(report.errors_by_kind.get("extract"), Some(&5));
    assert!(report.error_examples["check"].contains("/stock is \"0\", not \"5\""), "{:?}", report.error_examples);
}

#[test]
fn an_interrupted_run_still_reports() {
    let server = Server::start(|_| Answer::text(200, "ok"));
    let plan = url_plan(&server, Overrides { rate: Some(100.0), lasts: seconds(60.0), ..Overrides::default() });
    let interrupt = AtomicBool::new(false);
    struct StopAfter<'a>(&'a AtomicBool);
    impl run::Observer for StopAfter<'_> {
        fn second(&mut self, _: &Plan, _: &crate::tally::Slice, _: &hdrhistogram::Histogram<u64>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let outcome = run::run(&plan, &interrupt, &mut StopAfter(&interrupt)).unwrap();
    let report = Report::of(&plan, &outcome, Label::default());
    assert_eq!(report.ended_early.as_deref(), Some("interrupted"));
    assert!(report.successful > 0 && report.run_time_s < 30.0, "{} in {} s", report.successful, report.run_time_s);
}

/// A server's TLS for localhost, and the file that says to trust it.
fn certificate(directory: &Path) -> (rustls::ServerConfig, std::path::PathBuf) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
    let file = directory.join("ca.pem");
    std::fs::write(&file, made.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    (builder.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap(), file)
}

fn tls_run(server: &Server, trust: Trust) -> Report {
    let overrides = Overrides { trust, rate: Some(200.0), lasts: seconds(1.0), warmup: Some(Duration::ZERO), ..Overrides::default() };
    run(&scenario::from_url(&server.https_url("/"), "GET", None, &overrides).unwrap())
}

/// An answer larger than a TLS record and than one read, so that the session holds decrypted bytes when the socket is empty.
#[test]
fn https_is_loaded_over_kept_alive_sessions() {
    let directory = tempfile::tempdir().unwrap();
    let (tls, ca) = certificate(directory.path());
    let body = "x".repeat(100_000);
    let server = Server::start_tls(tls, move |_| Answer::text(200, &body));
    let overrides =
        Overrides { trust: Trust::File(ca), vusers: Some(4.0), lasts: seconds(1.0), warmup: Some(Duration::ZERO), ..Overrides::default() };
    let report = run(&scenario::from_url(&server.https_url("/"), "GET", None, &overrides).unwrap());
    assert_eq!((report.errors, report.connects), (0, 4), "{:?}", report.error_examples);
    assert!(report.successful > 4 && report.bytes_in > report.successful * 100_000, "{} answers", report.successful);
}

#[test]
fn a_certificate_nobody_vouches_for_is_an_error_of_its_own_unless_anybody_is_trusted() {
    let directory = tempfile::tempdir().unwrap();
    let (tls, _) = certificate(directory.path());
    let (_, another) = certificate(directory.path());
    let server = Server::start_tls(tls, |_| Answer::text(200, "ok"));
    let refused = tls_run(&server, Trust::File(another));
    assert_eq!((refused.successful, refused.errors_by_kind.get("tls").copied()), (0, Some(200)), "{:?}", refused.error_examples);
    assert_eq!(tls_run(&server, Trust::Anybody).errors, 0);
}

#[test]
fn a_server_that_ends_the_handshake_is_told() {
    let server = Server::closing_after(0, |_| Answer::text(200, "ok"));
    let report = tls_run(&server, Trust::Anybody);
    assert_eq!(report.errors_by_kind.get("tls").copied(), Some(200), "{:?}", report.error_examples);
}
