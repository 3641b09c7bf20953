//! Pages on disk, and kill -9 at any moment: what comes back is a page that was stored, whole, and not from before a change that was confirmed.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::service::Service;

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
}

impl Board {
    fn start() -> Board {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().unwrap();
        let versions: Arc<Mutex<HashMap<usize, u64>>> = Arc::new(Mutex::new((0..PAGES).map(|page| (page, 1)).collect()));
        let kept = versions.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let versions = kept.clone();
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
        Board { address, versions }
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
