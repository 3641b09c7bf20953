//! Single requests: traces to a collector, and recordings without secrets.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::service::Service;

/// Heads and bodies.
type Received = Arc<Mutex<Vec<(String, String)>>>;

/// A server that keeps what it is sent, head and body, and answers with nothing.
fn keeps_everything() -> (SocketAddr, Received) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let kept = Received::default();
    let keeping = kept.clone();
    std::thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            let keeping = keeping.clone();
            std::thread::spawn(move || {
                let mut reader = BufReader::new(connection);
                loop {
                    let mut head = String::new();
                    while !head.ends_with("\r\n\r\n") {
                        if reader.read_line(&mut head).unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    let length =
                        head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
                    let mut body = vec![0; length];
                    reader.read_exact(&mut body).expect("as long as it said");
                    let closes = head.to_lowercase().contains("connection: close");
                    keeping.lock().expect("no panic").push((head, String::from_utf8_lossy(&body).into_owned()));
                    let _ = reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
                    if closes {
                        return;
                    }
                }
            });
        }
    });
    (address, kept)
}

fn spans(received: &Mutex<Vec<(String, String)>>) -> Vec<Value> {
    let received = received.lock().expect("no panic");
    let bodies = received.iter().map(|(_, body)| serde_json::from_str::<Value>(body).expect("JSON"));
    bodies.flat_map(|body| body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().cloned().expect("spans")).collect()
}

/// Those of statements.
fn statements(received: &Mutex<Vec<(String, String)>>) -> Vec<Value> {
    let received = received.lock().expect("no panic");
    let bodies = received.iter().map(|(_, body)| serde_json::from_str::<Value>(body).expect("JSON"));
    bodies.flat_map(|body| body["resourceSpans"][0]["scopeSpans"][1]["spans"].as_array().cloned().unwrap_or_default()).collect()
}

#[test]
fn a_callers_trace_goes_through_the_edge_and_to_the_collector() {
    let (collector, received) = keeps_everything();
    let (upstream, asked) = keeps_everything();
    let service = Service::run(
        &format!(
            r#"
[trace]
otlp = "http://{collector}"
one_in = 1
[edge]
listen = "{{site}}"
[[edge.route]]
path = "/*"
pool = "app"
[pool.app]
upstreams = ["{upstream}"]
[console]
listen = "{{console}}"
"#
        ),
        &[],
    );
    let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    assert_eq!(service.try_get("/items?token=s3cret", &[("traceparent", given)]).expect("an answer").status, 200);
    assert_eq!(service.get("/plain").status, 200);
    let quiet = "00-4bf92f3577b34da6a3ce929d0e0e4737-00f067aa0ba902b7-00";
    assert_eq!(service.try_get("/unsampled", &[("traceparent", quiet)]).expect("an answer").status, 200);

    // The application is told of our span, in the caller's trace.
    let told: Vec<String> = {
        let asked = asked.lock().expect("no panic");
        let lines = asked.iter().flat_map(|(head, _)| head.lines().map(str::to_owned).collect::<Vec<_>>());
        lines.filter_map(|line| line.strip_prefix("traceparent: ").map(str::to_owned)).collect()
    };
    assert_eq!(told.len(), 3, "each once: {told:?}");
    assert!(told[0].starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && told[0].ends_with("-01") && told[0] != given, "{told:?}");
    assert!(told[2].ends_with("-00"), "{told:?}");

    let until = Instant::now() + Duration::from_secs(20);
    while spans(&received).len() < 2 {
        assert!(Instant::now() < until, "the collector got {:?}", spans(&received));
        std::thread::park_timeout(Duration::from_millis(20));
    }
    // Ends with the service; what it had was sent.
    let (status, said) = service.interrupt();
    assert!(status.success(), "{said}");
    let spans = spans(&received);
    assert_eq!(spans.len(), 2, "what the caller did not want sampled is not: {spans:?}");
    let ours = spans.iter().find(|span| span["traceId"] == "4bf92f3577b34da6a3ce929d0e0e4736").expect("the caller's trace");
    assert_eq!(ours["parentSpanId"], "00f067aa0ba902b7");
    assert_eq!(ours["spanId"].as_str(), told[0].split('-').nth(2), "the upstream's parent is our span");
    let received = received.lock().expect("no panic");
    let (head, body) = &received[0];
    assert!(head.starts_with("POST /v1/traces HTTP/1.1") && head.contains("Content-Type: application/json"), "{head}");
    assert!(body.contains("\"service.name\"") && body.contains("/items") && !body.contains("s3cret"), "{body}");
}

/// The reference application asks its database for a page: what it asks stands under the page's request, without values.
#[test]
fn a_requests_statements_are_its_spans_children() {
    let (collector, received) = keeps_everything();
    let mut service = Service::demo(&["--workers", "1", "--set", &format!("trace.otlp=http://{collector}"), "--set", "trace.one_in=0"]);
    let mut turn = 0;
    let mut asked = |service: &Service| {
        turn += 1;
        // A trace of its own for every turn, and a page that nobody has made yet; a probe at the same moment leaves a turn without children.
        let trace = format!("4bf92f3577b34da6a3ce929d0e0e{turn:04x}");
        let header = format!("00-{trace}-00f067aa0ba902b7-01");
        assert_eq!(service.try_get(&format!("/ask/{}", turn % 50 + 1), &[("traceparent", &header)]).expect("an answer").status, 200);
        trace
    };
    let mut traces = Vec::new();
    service.wait_until("statements under their request", |service| {
        traces.push(asked(service));
        let under = |trace: &String| {
            let request = spans(&received).into_iter().find(|span| span["traceId"] == **trace)?;
            let children = statements(&received).into_iter().filter(|span| span["traceId"] == **trace).collect::<Vec<_>>();
            Some((request, children)).filter(|(_, children)| !children.is_empty())
        };
        let Some((request, children)) = traces.iter().find_map(under) else { return false };
        for child in children {
            assert_eq!(child["parentSpanId"], request["spanId"], "{child:#}");
            let text = |key: &str| {
                let attributes = child["attributes"].as_array().expect("attributes");
                let found = attributes.iter().find(|attribute| attribute["key"] == key).unwrap_or_else(|| panic!("no {key} in {child:#}"));
                found["value"]["stringValue"].as_str().unwrap_or_default().to_owned()
            };
            assert!(text("db.query.text").contains('?') || !text("db.query.text").contains(char::is_numeric), "{child:#}");
            assert_eq!((text("db.namespace").as_str(), child["kind"].as_u64()), ("main", Some(3)));
        }
        true
    });
    // What no caller wanted sampled, and what ran for nobody, has no span.
    assert!(statements(&received).iter().all(|span| traces.iter().any(|trace| span["traceId"] == **trace)));
}

#[test]
fn a_collector_that_is_gone_costs_a_warning_and_no_request() {
    let nobody = crate::service::free_address();
    let (upstream, _) = keeps_everything();
    let mut service = Service::run(
        &format!(
            "[trace]\notlp = \"http://{nobody}\"\none_in = 1\n[edge]\nlisten = \"{{site}}\"\n[[edge.route]]\npath = \"/*\"\npool = \"app\"\n\
             [pool.app]\nupstreams = [\"{upstream}\"]\n[console]\nlisten = \"{{console}}\"\n"
        ),
        &[],
    );
    service.wait_until("the warning", |service| {
        assert_eq!(service.get("/").status, 200);
        service.said().contains("traces are not taken")
    });
}

#[test]
fn a_recording_becomes_a_scenario_that_can_be_run() {
    let apps = concat!(env!("CARGO_MANIFEST_DIR"), "/it/apps");
    let service = Service::run_command(Path::new(apps), &["node", "hello.js"]);
    let done = std::sync::atomic::AtomicBool::new(false);
    let (code, _, err) = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut turn = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                turn += 1;
                service.get(&format!("/items/{}", turn % 5));
                service.get("/account?session=s3cret&page=1");
                service.post("/orders", &[("card", "4111111111111111")]);
                std::thread::park_timeout(Duration::from_millis(20));
            }
        });
        let recorded = service.tell(&["load", "record", "--for", "3s", "--out", "recorded.toml", "--state", "state"]);
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        recorded
    });
    assert_eq!(code, 0, "{err}");
    let text = std::fs::read_to_string(service.home.path().join("recorded.toml")).expect("the scenario");
    assert!(text.contains("GET /items/*") && text.contains("POST /orders"), "{text}");
    assert!(!text.contains("s3cret") && !text.contains("4111"), "{text}");
    let (code, out, err) = service.tell(&["load", "recorded.toml", "--rate", "20", "--for", "1s", "--json", "--no-keep"]);
    let report: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error} {out} {err}\n{text}"));
    assert_eq!((code, report["errors"].as_u64()), (0, Some(0)), "{report:#}");
    assert!(report["successful"].as_u64() > Some(10), "{report:#}");
    // With bodies, what was written is written again; what had a secret in it is not.
    let done = std::sync::atomic::AtomicBool::new(false);
    let (code, _, err) = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                service.post("/cheers", &[("message", "fighting")]);
                service.post("/login", &[("name", "kim"), ("password", "hunter22")]);
                std::thread::park_timeout(Duration::from_millis(20));
            }
        });
        let recorded = service.tell(&["load", "record", "--bodies", "--for", "3s", "--out", "written.toml", "--state", "state"]);
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        recorded
    });
    assert_eq!(code, 0, "{err}");
    let text = std::fs::read_to_string(service.home.path().join("written.toml")).expect("the scenario");
    assert!(text.contains(r#"body = "message=fighting""#) && text.contains("#   POST /login"), "{text}");
    assert!(!text.contains("hunter22") && !text.contains("kim"), "{text}");
    let (code, out, err) = service.tell(&["load", "validate", "written.toml"]);
    assert!(code == 0 && out.contains("> POST /cheers") && out.contains("message=fighting"), "{out} {err}");
    // Without the token nobody reads single requests.
    let refused = ureq::post(&format!("{}/api/record", service.console))
        .config()
        .http_status_as_error(false)
        .build()
        .send_empty()
        .expect("an answer");
    assert_eq!(refused.status().as_u16(), 401);
}
