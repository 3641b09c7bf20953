//! `pages = "automatic"`: an application whose statements are reported as the SQL tier would, and whose writes are fenced as its commits are.
//! What the slots themselves promise is tested in `pumasi_freshness`; here it is what the edge makes of it.
use std::{
    net::SocketAddr,
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use pumasi_balance::Upstream;
use pumasi_config::{Attribution, CommandPlan, Members, PagesMode, WorkersPlan};
use pumasi_edge::{Edge, EdgeConfig};
use pumasi_freshness::{Changes, Deps, Freshness, Observed, Table, Tables, Trace, Witness};
use pumasi_trace::trace_said;

use crate::harness::*;

#[test]
fn a_page_earns_its_place_and_is_dropped_by_a_write_to_what_it_read() {
    let site = Site::new(|request| request.page("ask"));
    site.learn("/");
    let made = site.made();
    for _ in 0..5 {
        let answer = site.get("/");
        assert_eq!((answer.content.as_str(), answer.field("cache-status").as_deref()), ("ask 0", Some("pumasi; hit; detail=automatic")));
    }
    assert_eq!(site.made(), made);
    site.write("cheer");
    assert_eq!(site.get("/").content, "ask 0");
    assert_eq!(site.made(), made, "a write to another table drops nothing");
    site.write("ask");
    assert_eq!(site.get("/").content, "ask 1");
    assert_eq!(site.get("/").content, "ask 1");
    assert_eq!(site.made(), made + 1, "trust outlives the write: one fetch, then hits");
}

#[test]
fn on_probation_answers_are_compared_and_not_given_to_others() {
    let site = Site::new(|request| request.page("ask"));
    let told: Vec<_> = (0..4).map(|_| site.get("/").field("cache-status").unwrap()).collect();
    assert!(told[..3].iter().all(|told| told.starts_with("pumasi; fwd=uri-miss")), "{told:?}");
    assert!(told[3].starts_with("pumasi; hit"), "{told:?}");
    assert_eq!(site.made(), 3);
    assert!(site.reasons().contains(&("probation".into(), 2)), "{:?}", site.reasons());
}

#[test]
fn a_write_between_two_answers_is_no_difference() {
    let site = Site::new(|request| request.page("ask"));
    for _ in 0..6 {
        site.get("/");
        site.write("ask");
    }
    assert!(site.edge.differences().is_empty());
    site.learn("/");
}

#[test]
fn a_page_that_differs_by_itself_is_never_given_to_others_and_the_difference_is_kept() {
    let counter = AtomicU64::new(0);
    let site = Site::new(move |request| {
        let page = request.page("ask");
        format!("{page}, request number {}", counter.fetch_add(1, Ordering::SeqCst)).replace("ask 0, r", "ask 0; r")
    });
    for _ in 0..6 {
        assert!(!site.get("/ask/7").field("cache-status").unwrap().contains("hit"));
    }
    let differences = site.edge.differences();
    assert_eq!(differences.len(), 1);
    assert_eq!(differences[0].kind, "/* /ask/*");
    assert!(differences[0].before.contains("number 0") && differences[0].after.contains("number 1"), "{differences:?}");
    assert!(site.reasons().iter().any(|(reason, _)| reason == "demoted"));
}

#[test]
fn a_trusted_page_that_begins_to_differ_is_found_beside_its_use() {
    let changed = Arc::new(AtomicU64::new(0));
    let seen = changed.clone();
    let site = Site::new(move |request| format!("{} {}", request.page("ask"), seen.load(Ordering::SeqCst)));
    site.learn("/");
    // A source that Pumasi does not see: what is stored is now wrong, and nothing says so.
    changed.store(1, Ordering::SeqCst);
    wait_until("a comparison beside use finds it", || {
        site.get("/");
        !site.edge.differences().is_empty()
    });
    wait_until("it is not stored any more", || site.get("/").content == "ask 0 1");
}

#[test]
fn what_nobody_read_from_the_database_is_not_stored() {
    let site = Site::new(|_| "from somewhere".into());
    for _ in 0..5 {
        assert!(!site.get("/").field("cache-status").unwrap().contains("hit"));
    }
    assert_eq!(site.reasons(), [("nothing-read".to_owned(), 5)]);
}

#[test]
fn a_statement_that_is_no_function_of_rows_keeps_the_page_out() {
    let site = Site::new(|request| {
        drop(request.app.witness.statement(Observed::Refused("clock")));
        request.page("ask")
    });
    (0..5).for_each(|_| drop(site.get("/")));
    assert_eq!(site.reasons(), [("not-provable".to_owned(), 5)]);
}

#[test]
fn a_request_that_writes_is_run_each_time() {
    let site = Site::new(|request| {
        let page = request.page("ask");
        request.app.write("views");
        page
    });
    (0..5).for_each(|_| drop(site.get("/")));
    assert_eq!((site.made(), site.reasons()), (5, vec![("wrote".to_owned(), 5)]));
}

#[test]
fn a_page_torn_by_a_write_is_never_stored() {
    let (reading, written) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (paused, resumed) = (reading.clone(), written.clone());
    let pausing = Arc::new(AtomicU64::new(0));
    let pause = pausing.clone();
    let site = Site::new(move |request| {
        let first = request.page("ask");
        if pause.swap(0, Ordering::SeqCst) == 1 {
            paused.wait();
            resumed.wait();
        }
        format!("{first} {}", request.page("cheer"))
    });
    site.learn("/");
    site.write("ask");
    pausing.store(1, Ordering::SeqCst);
    let mut client = site.client();
    client.write(GET);
    reading.wait();
    // Between its two reads: what comes of it mixes before and after.
    site.write("ask");
    site.write("cheer");
    written.wait();
    assert_eq!(client.read_answer().content, "ask 1 cheer 1");
    assert_eq!(site.get("/").content, "ask 2 cheer 1");
}

#[test]
fn who_waits_for_another_never_gets_what_was_made_before_a_write_it_knows_of() {
    let (reading, written) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (paused, resumed) = (reading.clone(), written.clone());
    let pausing = Arc::new(AtomicU64::new(0));
    let pause = pausing.clone();
    let site = Site::new(move |request| {
        let page = request.page("ask");
        if pause.swap(0, Ordering::SeqCst) == 1 {
            paused.wait();
            resumed.wait();
        }
        page
    });
    site.learn("/");
    site.write("ask");
    pausing.store(1, Ordering::SeqCst);
    let mut leader = site.client();
    leader.write(GET);
    reading.wait();
    site.write("ask"); // acknowledged
    let mut waiters: Vec<Peer> = (0..6).map(|_| site.client()).collect();
    let before = site.edge.status().pages.unwrap().misses;
    waiters.iter_mut().for_each(|waiter| waiter.write(GET));
    wait_until("six are waiting", || site.edge.status().pages.unwrap().misses == before + 6);
    written.wait();
    assert_eq!(leader.read_answer().content, "ask 1");
    for waiter in &mut waiters {
        assert_eq!(waiter.read_answer().content, "ask 2");
    }
}

#[test]
fn who_had_asked_before_a_fetch_began_takes_what_came_of_it_although_a_write_overtook_it() {
    let gate = Arc::new((Barrier::new(2), Barrier::new(2)));
    let (held, pausing) = (gate.clone(), Arc::new(AtomicU64::new(0)));
    let pause = pausing.clone();
    let site = Site::new(move |request| {
        let page = request.page("ask");
        if pause.load(Ordering::SeqCst) == 1 {
            held.0.wait();
            held.1.wait();
        }
        page
    });
    site.learn("/");
    site.write("ask");
    let made = site.made();
    pausing.store(1, Ordering::SeqCst);
    let mut clients: Vec<Peer> = (0..8).map(|_| site.client()).collect();
    let before = site.edge.status().pages.unwrap().misses;
    clients.iter_mut().for_each(|client| client.write(GET));
    gate.0.wait();
    wait_until("all are asking", || site.edge.status().pages.unwrap().misses == before + 8);
    site.write("ask"); // the first fetch is overtaken: of no use to the seven who did not begin it
    gate.1.wait();
    gate.0.wait();
    site.write("ask"); // the second too, but it began after all of them had asked
    gate.1.wait();
    let mut contents: Vec<String> = clients.iter_mut().map(|client| client.read_answer().content).collect();
    contents.sort();
    assert_eq!(contents, ["ask 1", "ask 2", "ask 2", "ask 2", "ask 2", "ask 2", "ask 2", "ask 2"]);
    assert_eq!(site.made(), made + 2);
    pausing.store(0, Ordering::SeqCst);
    assert_eq!(site.get("/").content, "ask 3", "what was overtaken is not stored");
}

#[test]
fn a_request_that_changes_something_waits_while_its_worker_makes_a_page() {
    let gate = Arc::new((Barrier::new(2), Barrier::new(2)));
    let (held, pausing) = (gate.clone(), Arc::new(AtomicU64::new(0)));
    let pause = pausing.clone();
    let site = Site::new(move |request| {
        if request.head.starts_with("POST") {
            request.app.write("ask");
            return "written".into();
        }
        let page = request.page("ask");
        if pause.swap(0, Ordering::SeqCst) == 1 {
            held.0.wait();
            held.1.wait();
        }
        page
    });
    const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    site.learn("/");
    site.ask(POST);
    let wrote = |site: &Site| site.reasons().iter().any(|(reason, _)| reason == "wrote");

    // Held back, so that the page is whole and stored; then it is its turn, and the page is dropped.
    pausing.store(1, Ordering::SeqCst);
    let (mut page, mut post) = (site.client(), site.client());
    page.write(GET);
    gate.0.wait();
    post.write(POST);
    let made = site.made();
    gate.1.wait();
    assert_eq!(page.read_answer().content, "ask 1");
    assert_eq!(post.read_answer().content, "written");
    assert!(site.made() <= made + 1 && !wrote(&site), "{:?}", site.reasons());
    assert_eq!(site.get("/").content, "ask 2");

    // Not for ever: a page whose making waits for the write itself would otherwise never end.
    site.ask(POST);
    pausing.store(1, Ordering::SeqCst);
    page.write(GET);
    gate.0.wait();
    assert_eq!(site.ask(POST).content, "written");
    gate.1.wait();
    assert_eq!(page.read_answer().content, "ask 3");
    assert!(wrote(&site), "made beside a write of its worker: not stored");
    assert_eq!(site.get("/").content, "ask 4");
}

#[test]
fn who_says_who_he_is_gets_his_own_page() {
    let site = Site::new(|request| {
        let who = field(&request.head, "cookie").or_else(|| field(&request.head, "authorization")).unwrap_or("nobody".into());
        format!("{} for {who}", request.page("ask"))
    });
    site.learn("/");
    for line in ["Cookie: session=1", "Authorization: Basic eA==", "Cookie: _ga=1; session=2"] {
        let answer = site.ask(&format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n"));
        assert_eq!(answer.content, format!("ask 0 for {}", line.split_once(": ").unwrap().1));
        assert!(answer.field("cache-status").unwrap().contains("fwd=bypass; detail=personal"));
    }
    let answer = site.ask("GET / HTTP/1.1\r\nHost: a\r\nCookie: _ga=GA1.2; _gid=3\r\n\r\n");
    assert!(answer.field("cache-status").unwrap().contains("hit"), "the operator said that these do not matter");
}

#[test]
fn what_the_application_forbids_or_dates_itself_is_left_to_it() {
    for (lines, reason) in
        [("Cache-Control: no-store", "no-store"), ("Cache-Control: private", "private"), ("Set-Cookie: a=b", "no-freshness")]
    {
        let site = Site::with_lines(lines, |request| request.page("ask"));
        (0..4).for_each(|_| drop(site.get("/")));
        assert_eq!(site.made(), 4, "{lines}");
        assert_eq!(site.reasons()[0].0, reason, "{lines}");
    }
    let site = Site::with_lines("Cache-Control: max-age=60", |request| request.page("ask"));
    site.get("/");
    assert!(site.get("/").field("cache-status").unwrap().starts_with("pumasi; hit; ttl="), "an ordinary page, by its own word");
}

#[test]
fn languages_are_told_apart_although_the_application_does_not_say_so() {
    let site = Site::new(|request| format!("{} {}", request.page("ask"), field(&request.head, "accept-language").unwrap_or_default()));
    let ask = |language| site.ask(&format!("GET / HTTP/1.1\r\nHost: a\r\nAccept-Language: {language}\r\n\r\n"));
    for _ in 0..4 {
        ask("ko");
        ask("en");
    }
    assert_eq!((ask("ko").content, ask("en").content), ("ask 0 ko".into(), "ask 0 en".into()));
    assert!(ask("ko").field("cache-status").unwrap().contains("hit") && site.edge.differences().is_empty());
}

#[test]
fn browsers_are_told_to_ask_each_time_and_get_a_304() {
    let site = Site::new(|request| request.page("ask"));
    site.learn("/");
    let answer = site.get("/");
    assert_eq!(answer.field("cache-control").as_deref(), Some("no-cache"));
    assert_eq!(answer.field("age"), None);
    let tag = answer.field("etag").expect("a strong validator");
    assert!(tag.starts_with('"'));
    let conditional = format!("GET / HTTP/1.1\r\nHost: a\r\nIf-None-Match: {tag}\r\n\r\n");
    let made = site.made();
    assert_eq!(site.ask(&conditional).status, 304);
    // A reload asks for more than a look at the slots; there is nothing more to be had.
    assert_eq!(site.ask(&conditional.replace("\r\n\r\n", "\r\nCache-Control: no-cache\r\n\r\n")).status, 304);
    assert_eq!(site.made(), made);
    site.write("ask");
    let answer = site.ask(&conditional);
    assert_eq!((answer.status, answer.content.as_str()), (200, "ask 1"));
}

#[test]
fn a_transaction_ends_with_the_requests_it_belongs_to() {
    let moment = Arc::new(Mutex::new(None));
    let taken = moment.clone();
    let site = Site::new(move |request| {
        taken.lock().unwrap().get_or_insert_with(|| request.app.witness.moment());
        request.page("ask")
    });
    site.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    let moment = moment.lock().unwrap().unwrap();
    assert!(moment.within_request(), "what is not stored has a window as well");
    wait_until("its window closes", || site.app.witness.requests_ended_since(moment));
}

/// Every request writes down a visit before its page is read: with one request of each kind in flight at the worker all of the time, no page is stored unless
/// its statements are known to be its own.
fn while_another_request_writes(attribution: Attribution) -> Vec<(String, u64)> {
    let (reading, written) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (paused, resumed) = (reading.clone(), written.clone());
    let site = Site::told_apart(attribution, "Content-Type: text/plain", move |request| {
        let page = request.page("ask");
        if request.head.starts_with("GET /slow") {
            paused.wait();
            resumed.wait();
        } else {
            request.write("visits");
        }
        page
    });
    // A fourth would be answered from the store.
    for round in 0..3 {
        std::thread::scope(|scope| {
            let slow = scope.spawn(|| site.get("/slow"));
            reading.wait();
            assert_eq!(site.get(&format!("/counts/{round}")).status, 200);
            written.wait();
            assert_eq!(slow.join().unwrap().content, "ask 0");
        });
    }
    site.reasons()
}

#[test]
fn a_write_of_another_request_is_told_apart_by_the_trace_it_names() {
    let wrote = |reasons: &[(String, u64)]| reasons.iter().find(|(reason, _)| reason == "wrote").map_or(0, |(_, times)| *times);
    assert_eq!(wrote(&while_another_request_writes(Attribution::Window)), 6, "what it is without");
    assert_eq!(wrote(&while_another_request_writes(Attribution::Traceparent)), 3, "its own alone");
}

#[test]
fn a_client_of_many_requests_with_one_trace_is_told_nothing_wrong() {
    let site = Site::told_apart(Attribution::Traceparent, "Content-Type: text/plain", |request| {
        assert!(request.trace.is_some(), "{}", request.head);
        request.page("ask")
    });
    let traced = "GET / HTTP/1.1\r\nHost: a\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00\r\n\r\n";
    wait_until("the page is stored", || site.ask(traced).field("cache-status").unwrap().contains("hit"));
    site.write("ask");
    assert_eq!(site.ask(traced).content, "ask 1");
}

#[test]
fn each_worker_has_one_request_at_a_time_where_that_is_wanted() {
    let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (entered, seen) = (inside.clone(), most.clone());
    let site = Site::told_apart(Attribution::Alone, "Content-Type: text/plain", move |request| {
        seen.fetch_max(entered.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let page = request.page("ask");
        if request.head.starts_with("POST") {
            request.write("visits");
        }
        std::thread::yield_now();
        entered.fetch_sub(1, Ordering::SeqCst);
        page
    });
    std::thread::scope(|scope| {
        for client in 0..8 {
            let site = &site;
            scope.spawn(move || {
                for n in 0..5 {
                    match client % 3 {
                        0 => site.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"),
                        // One that is not stored counts, too.
                        1 => site.ask(&format!("GET /mine/{client}/{n} HTTP/1.1\r\nHost: a\r\nCookie: who={client}\r\n\r\n")),
                        _ => site.get(&format!("/page/{client}-{n}")),
                    };
                }
            });
        }
    });
    assert_eq!(most.load(Ordering::SeqCst), 1);
    let own = site.reasons().iter().filter(|(reason, _)| reason == "wrote").count();
    assert_eq!(own, 0, "no page was made beside a write: {:?}", site.reasons());
}

// === the site ===

/// One worker, its database and the edge in front of it.
struct Site {
    edge: Edge,
    app: Arc<App>,
    _origin: Origin,
}

/// The worker: each table is a number that writes count up.
struct App {
    freshness: Arc<Freshness>,
    witness: Arc<Witness>,
    tables: Mutex<std::collections::BTreeMap<&'static str, u64>>,
    made: AtomicUsize,
}

struct Request<'a> {
    app: &'a App,
    head: String,
    /// Which each statement of the request names, if it was told one.
    trace: Option<Trace>,
}

impl App {
    fn write(&self, table: &'static str) {
        drop(self.witness.statement(Observed::Wrote));
        self.commit(table);
    }

    fn commit(&self, table: &'static str) {
        let fence = self.freshness.fence(Tables::of([Table::named("db", table)]));
        *self.tables.lock().unwrap().entry(table).or_default() += 1;
        fence.commit(&Changes::new());
    }
}

impl Request<'_> {
    fn write(&self, table: &'static str) {
        drop(self.app.witness.statement_of(Observed::Wrote, self.trace));
        self.app.commit(table);
    }

    /// Reads a table, as the SQL tier reports it.
    fn page(&self, table: &'static str) -> String {
        let stamp = self.app.freshness.stamp();
        let value = self.app.tables.lock().unwrap().get(table).copied().unwrap_or_default();
        let mut deps = Deps::new();
        deps.add_table(Table::named("db", table));
        drop(self.app.witness.statement_of(Observed::Read { deps: deps.into(), stamp }, self.trace));
        format!("{table} {value}")
    }
}

impl Site {
    fn new(make: impl Fn(&Request<'_>) -> String + Send + Sync + 'static) -> Site {
        Site::with_lines("Content-Type: text/plain", make)
    }

    fn with_lines(lines: &'static str, make: impl Fn(&Request<'_>) -> String + Send + Sync + 'static) -> Site {
        Site::told_apart(Attribution::Window, lines, make)
    }

    fn told_apart(attribution: Attribution, lines: &'static str, make: impl Fn(&Request<'_>) -> String + Send + Sync + 'static) -> Site {
        let freshness = Arc::new(Freshness::new());
        let app =
            Arc::new(App { freshness: freshness.clone(), witness: Witness::new(), tables: Mutex::default(), made: AtomicUsize::new(0) });
        let served = app.clone();
        let origin = Origin::start(move |mut peer| {
            while let Some(head) = peer.read_head() {
                let length = field(&head, "content-length").map_or(0, |length| length.parse().unwrap());
                peer.read_exact(length);
                served.made.fetch_add(1, Ordering::SeqCst);
                let trace = field(&head, "traceparent").and_then(|told| trace_said(format!("/*traceparent='{told}'*/").as_bytes()));
                let content = make(&Request { app: &served, head, trace });
                peer.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{lines}\r\n\r\n{content}", content.len()));
            }
        });
        let mut setup = setup(&[]);
        setup.plan.routes[0].pages = PagesMode::Automatic;
        setup.plan.pages.memory_bytes = 8 << 20;
        setup.plan.pages.ignore_cookies = vec!["_ga*".into(), "_gid".into()];
        setup.pools[0].plan.attribution = attribution;
        setup.pools[0].plan.members = Members::Workers(WorkersPlan {
            command: CommandPlan::Shell("the-test-itself".into()),
            workers: 1,
            env: Default::default(),
            directory: ".".into(),
            ready_timeout: PATIENCE,
            stop_timeout: PATIENCE,
            early_deaths_max: 1,
            stable_after: PATIENCE,
        });
        setup.pools[0].pool.join(Arc::new(Upstream::new("app.1", origin.address, 1, Some(app.witness.clone()))));
        let config = EdgeConfig { plan: setup.plan, pools: setup.pools, access_log: Box::new(std::io::sink()), freshness: Some(freshness) };
        Site { edge: Edge::start(config).expect("the edge starts"), app, _origin: origin }
    }

    fn address(&self) -> SocketAddr {
        self.edge.addresses()[0]
    }

    fn client(&self) -> Peer {
        Peer::connect(self.address())
    }

    fn ask(&self, request: &str) -> Answer {
        let mut client = self.client();
        client.write(request);
        let head = client.read_head().expect("an answer");
        let status: u16 = head[9..12].parse().unwrap();
        let length = if status == 304 { 0 } else { field(&head, "content-length").map_or(0, |length| length.parse().unwrap()) };
        Answer { status, content: String::from_utf8(client.read_exact(length)).unwrap(), head }
    }

    fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
    }

    /// A write by somebody else than this worker, acknowledged on return.
    fn write(&self, table: &'static str) {
        self.app.commit(table);
    }

    /// Asks until the page is stored.
    fn learn(&self, path: &str) {
        wait_until("the page is stored", || self.get(path).field("cache-status").unwrap().contains("hit"));
    }

    /// Requests the application has seen.
    fn made(&self) -> usize {
        self.app.made.load(Ordering::SeqCst)
    }

    fn reasons(&self) -> Vec<(String, u64)> {
        self.edge.status().routes[0].bypasses.clone()
    }
}
