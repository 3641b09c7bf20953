use super::*;
use crate::{
    plan::Trust,
    report::{Label, Report},
    run::Unwatched,
    scenario::{self, Overrides},
    tests::server::{Answer, Server},
};
use std::{
    collections::BTreeSet,
    io::Write,
    net::TcpStream,
    sync::{Arc, atomic::AtomicU64},
};

const SECRET: &str = "0123456789abcdef0123";

fn token() -> Token {
    Token::new(SECRET).unwrap()
}

/// Starts agents on threads of their own, gathers them and runs the job.
fn run_with(agents: usize, plan: &Plan, job: &Job) -> io::Result<Outcome> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let controller = listener.local_addr().unwrap().to_string();
    std::thread::scope(|scope| {
        for number in 0..agents {
            let controller = &controller;
            scope.spawn(move || {
                // What it says is the controller's to judge.
                let _ = agent::serve(controller, &token(), &format!("a{number}"), true, &AtomicBool::new(false), &|_| {});
            });
        }
        let fleet = Fleet::gather(&listener, agents, &token(), &AtomicBool::new(false), &|_| {})?.expect("nobody interrupts");
        assert_eq!(fleet.names().into_iter().collect::<BTreeSet<_>>().len(), agents);
        fleet.run(plan, job, &AtomicBool::new(false), &mut Unwatched)
    })
}

fn seconds(seconds: f64) -> Option<Duration> {
    Some(Duration::from_secs_f64(seconds))
}

#[test]
fn two_agents_share_one_schedule_and_their_histograms_are_one() {
    let count = Arc::new(AtomicU64::new(0));
    let counting = Arc::clone(&count);
    let server = Server::start(move |_| {
        counting.fetch_add(1, Ordering::Relaxed);
        Answer::text(200, "ok")
    });
    let url = server.url("/");
    let overrides =
        Overrides { rate: Some(333.0), lasts: seconds(2.0), warmup: seconds(0.0), threads: Some(1), machines: 2, ..Overrides::default() };
    let plan = scenario::from_url(&url, "GET", None, &overrides).unwrap();
    let shape = Shape { rate: Some(333.0), lasts: seconds(2.0), warmup: seconds(0.0), threads: 1, ..Shape::default() };
    let work = Work::Url { url, method: "GET".into(), body: None };
    let outcome = run_with(2, &plan, &Job { machine: 0, machines: 2, work, shape, files: Vec::new() }).unwrap();
    let report = Report::of(&plan, &outcome, Label::default());
    assert_eq!(count.load(Ordering::Relaxed), 666, "every arrival once, whoever's it is");
    assert_eq!((report.planned, report.executed, report.errors, report.connects >= 2), (666, 666, 0, true), "{:?}", report.error_examples);
    assert_eq!(outcome.total.response().len(), 666);
    assert_eq!(report.series.iter().map(|second| second.planned).sum::<u64>(), 666);
    assert!(outcome.lost.is_empty() && report.response.p50 > 0.0);
}

#[test]
fn a_scenario_takes_its_data_along_and_vusers_are_dealt_out() {
    let seen: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let recording = Arc::clone(&seen);
    let server = Server::start(move |request| {
        recording.lock().unwrap().insert(request.split(' ').nth(1).unwrap().to_string());
        Answer::text(200, "ok")
    });
    let text =
        "[data]\nitem = { csv = \"0.csv\", order = \"random\" }\n[[scenario]]\nsteps = [{ get = \"/${item.id}\", think = \"5ms\" }]\n";
    let files = vec![("0.csv".to_string(), "id\nspoon\nfork\n".to_string())];
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("0.csv"), &files[0].1).unwrap();
    let target = Some(crate::plan::Target::resolve(&server.url(""), &Trust::System).unwrap());
    let overrides = Overrides {
        target,
        vusers: Some(5.0),
        lasts: seconds(1.0),
        warmup: seconds(0.0),
        threads: Some(1),
        machines: 2,
        ..Overrides::default()
    };
    let source = pumasi_config::Source { name: "s.toml".into(), text: text.into(), directory: directory.path().into() };
    let plan = scenario::compile(&source, &overrides).unwrap_or_else(|problems| panic!("{problems}"));
    let shape = Shape { vusers: Some(5.0), lasts: seconds(1.0), warmup: seconds(0.0), threads: 1, ..Shape::default() };
    let work = Work::Scenario { name: "s.toml".into(), text: text.into(), target: Some(server.url("")) };
    let job = Job { machine: 0, machines: 2, work, shape, files };
    let outcome = run_with(2, &plan, &job).unwrap();
    let report = Report::of(&plan, &outcome, Label::default());
    assert_eq!((report.vusers, report.errors, report.connects), (5, 0, 5), "{:?}", report.error_examples);
    assert_eq!(*seen.lock().unwrap(), BTreeSet::from(["/fork".to_string(), "/spoon".to_string()]));
}

#[test]
fn who_does_not_know_the_token_is_turned_away_on_both_sides() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let accept = || Peer::welcome(listener.accept().unwrap().0, &token(), HANDSHAKE_TIMEOUT);
    std::thread::scope(|scope| {
        let agent = scope.spawn(move || {
            let other = Token::new("another secret 1234").unwrap();
            agent::serve(&address.to_string(), &other, "stranger", true, &AtomicBool::new(false), &|_| {})
        });
        // The controller proves itself first, with a proof that means nothing to a stranger; so the stranger leaves.
        assert!(accept().is_err());
        assert_eq!(agent.join().unwrap().unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    });
    // Somebody who skips the check and claims to know it.
    let mut stranger = TcpStream::connect(address).unwrap();
    for message in [r#"{"protocol":1,"version":"9","name":"x","cores":9,"nonce":"00"}"#, r#"{"proof":"00"}"#] {
        stranger.write_all(&(message.len() as u32).to_be_bytes()).unwrap();
        stranger.write_all(message.as_bytes()).unwrap();
    }
    assert_eq!(accept().unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    // And a length that nobody needs before he has proven anything.
    let mut stranger = TcpStream::connect(address).unwrap();
    stranger.write_all(&u32::MAX.to_be_bytes()).unwrap();
    assert!(accept().unwrap_err().to_string().contains("more than 4096"));
}

#[test]
fn a_job_that_cannot_be_done_is_refused_before_anything_is_sent() {
    let shape = Shape { threads: 1, ..Shape::default() };
    let plan = scenario::from_url("http://127.0.0.1:1/", "GET", None, &Overrides { machines: 1, ..Overrides::default() }).unwrap();
    for (work, files, says) in [
        (Work::Url { url: "ftp://x".into(), method: "GET".into(), body: None }, vec![], "not an http"),
        (
            Work::Url { url: "http://127.0.0.1:1/".into(), method: "GET".into(), body: None },
            vec![("../evil".to_string(), String::new())],
            "no name for a data file",
        ),
    ] {
        let error = run_with(1, &plan, &Job { machine: 0, machines: 1, work, shape: shape.clone(), files }).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn an_agent_that_is_lost_makes_the_report_invalid_and_the_others_go_on() {
    let server = Server::start(|_| Answer::text(200, "ok"));
    let url = server.url("/");
    let overrides =
        Overrides { rate: Some(100.0), lasts: seconds(2.0), warmup: seconds(0.0), threads: Some(1), machines: 2, ..Overrides::default() };
    let plan = scenario::from_url(&url, "GET", None, &overrides).unwrap();
    let shape = Shape { rate: Some(100.0), lasts: seconds(2.0), warmup: seconds(0.0), threads: 1, ..Shape::default() };
    let job = Job { machine: 0, machines: 2, work: Work::Url { url, method: "GET".into(), body: None }, shape, files: Vec::new() };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let outcome = std::thread::scope(|scope| {
        scope.spawn(move || agent::serve(&address.to_string(), &token(), "steady", true, &AtomicBool::new(false), &|_| {}));
        scope.spawn(move || {
            let mut fickle = Peer::greet(TcpStream::connect(address).unwrap(), &token(), "fickle", HANDSHAKE_TIMEOUT).unwrap();
            fickle.wait_forever().unwrap();
            assert!(matches!(fickle.order().unwrap(), Order::Job(_)));
            fickle.send(&Said::Ready).unwrap();
            assert!(matches!(fickle.order().unwrap(), Order::Begin));
            fickle.hang_up();
        });
        let fleet = Fleet::gather(&listener, 2, &token(), &AtomicBool::new(false), &|_| {}).unwrap().unwrap();
        fleet.run(&plan, &job, &AtomicBool::new(false), &mut Unwatched).unwrap()
    });
    let report = Report::of(&plan, &outcome, Label::default());
    assert_eq!((report.planned, report.errors), (100, 0), "the steady one's half");
    assert!(!report.valid && report.reasons[0].contains("agent fickle was lost"), "{:?}", report.reasons);
}
