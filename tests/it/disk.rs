//! Pages on disk, and kill -9 at any moment: what comes back is a page that was stored, whole, and not from before a change that was confirmed.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use crate::{
    service::{Service, alive, signal},
    upgrade::Upgraded,
};

const TOML: &str = r#"
[edge]
listen = "{site}"

[[edge.route]]
pool = "app"
pages = "standard"

[edge.pages]
disk = "pages"
disk_size = "16MiB"
stale_if_error = "0s"

[pool.app]
upstreams = ["{origin}"]

[console]
listen = "{console}"
"#;

/// Each start takes another port; the site's name stays.
const HOST: (&str, &str) = ("host", "board.example");

/// Pages that are asked for.
const PAGES: usize = 40;

#[test]
fn kill_9_brings_back_no_page_from_before_a_confirmed_change() {
    let origin = Board::start();
    let home = Arc::new(tempfile::tempdir().expect("a folder"));
    let toml = TOML.replace("{origin}", &origin.address.to_string());
    let mut from_disk = 0;
    for round in 0..6 {
        let mut service = Service::run_in(home.clone(), &toml, &[]);
        let stop = Arc::new(AtomicBool::new(false));
        // Confirmed version per page: an answer from before it is a lie. Of a change under way either answer is right.
        let confirmed: Arc<Mutex<HashMap<usize, u64>>> = Arc::default();
        confirmed.lock().unwrap().extend(origin.versions());
        for page in 0..PAGES {
            let answer = service.try_get(&format!("/{page}"), &[HOST]).expect("an answer");
            check(&answer.body, page, confirmed.lock().unwrap()[&page], round);
            from_disk += usize::from(round > 0 && answer.header("cache-status").contains("hit"));
        }
        let clients: Vec<_> = (0..3)
            .map(|client| {
                let (stop, confirmed, site) = (stop.clone(), confirmed.clone(), service.site.clone());
                std::thread::spawn(move || {
                    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
                    for n in client.. {
                        if stop.load(Ordering::Relaxed) {
                            return;
                        }
                        let page = n * 7 % PAGES;
                        let at_least = confirmed.lock().unwrap()[&page];
                        let url = format!("{site}/{page}");
                        let change = client == 0 && n % 3 == 0;
                        let (name, value) = HOST;
                        let answer = match change {
                            true => agent.post(&url).header(name, value).send_empty(),
                            false => agent.get(&url).header(name, value).call(),
                        };
                        // Who was being answered when it was killed has heard nothing.
                        let Ok(mut answer) = answer else { continue };
                        let Ok(body) = answer.body_mut().read_to_string() else { continue };
                        if change {
                            let version: u64 = body.trim().parse().expect("a version");
                            confirmed.lock().unwrap().entry(page).and_modify(|known| *known = version.max(*known));
                        } else {
                            check(&body, page, at_least, round);
                        }
                    }
                })
            })
            .collect();
        let after = 200 + 150 * round as u64;
        service.wait_until("there was traffic", |service| service.status()["edge"]["traffic"]["requests_total"].as_u64() >= Some(after));
        service.kill();
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().for_each(|client| client.join().expect("every answer was right"));
        origin.settle(&confirmed.lock().unwrap());
    }
    assert!(from_disk > PAGES, "only {from_disk} pages came back in five restarts");
}

/// It had let go of the disk, and answered beside the new one: what it confirmed after that reached neither the journal nor the other's memory.
#[test]
fn a_change_that_the_old_process_still_confirms_is_known_to_the_new_one_and_to_its_disk() {
    for new_one_has_the_disk in [true, false] {
        let origin = Board::start();
        let home = Arc::new(tempfile::tempdir().expect("a folder"));
        let toml = TOML.replace("{origin}", &origin.address.to_string());
        let mut service = Upgraded(Service::run_in(home.clone(), &toml, &[]));
        for page in 1..=3 {
            service.0.try_get(&format!("/{page}"), &[HOST]).expect("an answer");
        }
        let on_disk = |service: &Service, count: u64| service.status()["edge"]["pages_disk"]["entries"] == count;
        service.0.wait_until("the pages are on disk", |service| on_disk(service, 3));
        let old = service.in_charge();
        let changing = origin.begin_to_change(1, &service.0.site);
        let (code, _, said) = service.0.tell(&["upgrade"]);
        assert_eq!(code, 0, "{said}\n{}", service.0.said());
        let new = service.in_charge();
        assert_ne!(new, old);
        let page_1 = |service: &Service| service.try_get("/1", &[HOST]).expect("an answer");
        if new_one_has_the_disk {
            service.0.wait_until("the new process has the disk", |service| service.said().matches("pages on disk are read").count() == 2);
            // The old one may still answer on a connection that it has.
            service.0.wait_until("the new process answers from it", |service| {
                let answer = page_1(service);
                check(&answer.body, 1, 1, 0);
                answer.header("cache-status").contains("hit")
            });
        }
        origin.go_on();
        assert_eq!(changing.join().expect("an answer"), 2, "what the old process has begun it finishes");
        check(&page_1(&service.0).body, 1, 2, 0);
        // Nor does a crash bring it back: of the new one before it has the disk (as a rule), or afterwards.
        signal(new, "KILL");
        service.0.wait_until("the new process is gone", |_| !alive(new));
        drop(service);
        let service = Service::run_in(home, &toml, &[]);
        check(&page_1(&service).body, 1, 2, 1);
        if new_one_has_the_disk {
            let answer = service.try_get("/2", &[HOST]).expect("an answer");
            assert!(answer.header("cache-status").contains("hit"), "the disk is believed: {}", service.said());
        }
    }
}

/// The disk was let go as soon as the end began, and requests under way were finished after that.
#[test]
fn a_change_that_is_confirmed_while_pumasi_stops_stays_after_the_next_start() {
    let origin = Board::start();
    let home = Arc::new(tempfile::tempdir().expect("a folder"));
    let toml = TOML.replace("{origin}", &origin.address.to_string());
    let mut service = Service::run_in(home.clone(), &toml, &[]);
    for page in 1..=2 {
        service.try_get(&format!("/{page}"), &[HOST]).expect("an answer");
    }
    service.wait_until("the pages are on disk", |service| service.status()["edge"]["pages_disk"]["entries"] == 2);
    let changing = origin.begin_to_change(1, &service.site);
    service.signal("TERM");
    let address = service.site.trim_start_matches("http://").to_owned();
    service.wait_until("nobody is accepted any more", |_| std::net::TcpStream::connect(&address).is_err());
    origin.go_on();
    assert_eq!(changing.join().expect("an answer"), 2);
    let pid = service.pid();
    service.wait_until("it has ended", |_| !alive(pid));
    let service = Service::run_in(home, &toml, &[]);
    let answers = [1, 2].map(|page| service.try_get(&format!("/{page}"), &[HOST]).expect("an answer"));
    check(&answers[0].body, 1, 2, 1);
    assert!(answers[1].header("cache-status").contains("hit"), "what was not changed is still there");
}

fn check(body: &str, page: usize, at_least: u64, round: usize) {
    let mut words = body.split(' ');
    let (name, version) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    assert_eq!(name, format!("page-{page}"), "round {round}");
    let version: u64 = version.parse().unwrap_or_else(|_| panic!("round {round}: {body:.80}"));
    assert!(version >= at_least, "round {round}: page {page} is at {at_least}, and {version} was served");
    assert!(body.len() > 5000 && body.ends_with(" end"), "round {round}: a short answer");
}

/// An application whose pages have versions: GET shows the page, POST changes it.
struct Board {
    address: SocketAddr,
    versions: Arc<Mutex<HashMap<usize, u64>>>,
    gate: Arc<Gate>,
}

/// Where changes wait while it is shut, before they are made.
#[derive(Default)]
struct Gate {
    /// Shut or not, and how many wait.
    state: Mutex<(bool, usize)>,
    changed: Condvar,
}

impl Gate {
    fn shut(&self, shut: bool) {
        self.state.lock().unwrap().0 = shut;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.1 += 1;
        self.changed.notify_all();
        drop(self.changed.wait_while(state, |(shut, _)| *shut).map(|mut state| state.1 -= 1));
    }

    fn wait_for_somebody(&self) {
        const PATIENCE: std::time::Duration = std::time::Duration::from_secs(40);
        let state = self.state.lock().unwrap();
        let waited = self.changed.wait_timeout_while(state, PATIENCE, |(_, waiting)| *waiting == 0).unwrap().1;
        assert!(!waited.timed_out(), "no change has arrived");
    }
}

impl Board {
    fn start() -> Board {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().unwrap();
        let versions: Arc<Mutex<HashMap<usize, u64>>> = Arc::new(Mutex::new((0..PAGES).map(|page| (page, 1)).collect()));
        let (kept, gate) = (versions.clone(), Arc::new(Gate::default()));
        let at_gate = gate.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (versions, gate) = (kept.clone(), at_gate.clone());
                std::thread::spawn(move || {
                    let mut writing = stream.try_clone().expect("a second handle");
                    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
                    while let Some(request) = lines.next() {
                        for line in lines.by_ref() {
                            if line.is_empty() {
                                break;
                            }
                        }
                        let page: usize = request.split(['/', ' ']).nth(2).and_then(|page| page.parse().ok()).expect("a page");
                        let body = match request.starts_with("POST") {
                            true => {
                                gate.pass();
                                let mut versions = versions.lock().unwrap();
                                let version = versions.get_mut(&page).expect("known");
                                *version += 1;
                                version.to_string()
                            }
                            false => format!("page-{page} {} {} end", versions.lock().unwrap()[&page], "word ".repeat(1000)),
                        };
                        let head = format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: {}\r\n\r\n", body.len());
                        if writing.write_all(head.as_bytes()).and_then(|()| writing.write_all(body.as_bytes())).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Board { address, versions, gate }
    }

    /// A change of `page` that has arrived and does not happen before [`Board::go_on`]. Ends with the version that was confirmed.
    fn begin_to_change(&self, page: usize, site: &str) -> JoinHandle<u64> {
        self.gate.shut(true);
        let url = format!("{site}/{page}");
        let changing = std::thread::spawn(move || {
            let (name, value) = HOST;
            let mut answer = ureq::post(&url).header(name, value).send_empty().expect("an answer");
            answer.body_mut().read_to_string().expect("whole").trim().parse().expect("a version")
        });
        self.gate.wait_for_somebody();
        changing
    }

    fn go_on(&self) {
        self.gate.shut(false);
    }

    fn versions(&self) -> HashMap<usize, u64> {
        self.versions.lock().unwrap().clone()
    }

    /// A change whose confirmation was lost in the crash has happened for the application only: go back to what was confirmed, so that the next
    /// round's pages may be either.
    fn settle(&self, confirmed: &HashMap<usize, u64>) {
        *self.versions.lock().unwrap() = confirmed.clone();
    }
}
