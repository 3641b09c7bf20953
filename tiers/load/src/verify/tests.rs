use super::*;
use crate::plan::Trust;
use crate::tests::server::{Answer, Server};
use std::sync::Arc;

/// A board with one page per ask, like ASKHY's. `lag`: how long the front page is kept whatever is written; `lose`: acknowledges
/// every hundredth cheer without counting it.
fn board(lag: Duration, lose: bool) -> Server {
    let cheers: Arc<Mutex<Vec<u64>>> = Arc::default();
    let kept: Mutex<Option<(Instant, String)>> = Mutex::new(None);
    let posted = AtomicU64::new(0);
    let redirect = |id: usize| Answer::raw(&format!("HTTP/1.1 303 See Other\r\nLocation: /ask/{id}\r\nContent-Length: 0\r\n\r\n"));
    Server::start(move |request| {
        let path = request.split(' ').nth(1).unwrap();
        let mut asks = cheers.lock().unwrap();
        if path == "/ask" {
            asks.push(0);
            return redirect(asks.len());
        }
        if let Some(id) = path.strip_prefix("/ask/").and_then(|rest| rest.strip_suffix("/cheer")) {
            let id: usize = id.parse().unwrap();
            let lost = lose && posted.fetch_add(1, Ordering::Relaxed) % 100 == 99;
            asks[id - 1] += u64::from(!lost);
            return redirect(id);
        }
        if let Some(id) = path.strip_prefix("/ask/") {
            let count = asks[id.parse::<usize>().unwrap() - 1];
            return Answer::text(200, &format!("<h2>Cheers <span class=\"count\">{count}</span></h2>"));
        }
        let mut kept = kept.lock().unwrap();
        if let Some((at, page)) = kept.as_ref().filter(|(at, _)| at.elapsed() < lag) {
            let _ = at;
            return Answer::text(200, page);
        }
        let links = asks.iter().enumerate().map(|(i, count)| {
            format!("<a href=\"/ask/{}\">12 <span class=\"tally\"><svg d=\"M1 2\"/>{count} cheers from 3 places</span></a>", i + 1)
        });
        let page: String = links.collect();
        *kept = Some((Instant::now(), page.clone()));
        Answer::text(200, &page)
    })
}

fn run(server: &Server, seconds: f64) -> Verified {
    let target = Target::resolve(&server.url(""), &Trust::System).unwrap();
    verify(&target, Duration::from_secs_f64(seconds), &AtomicBool::new(false)).unwrap()
}

#[test]
fn a_board_that_counts_right_is_not_accused() {
    let verified = run(&board(Duration::ZERO, false), 1.0);
    assert_eq!((verified.violation, verified.failed), (None, 0));
    assert!(verified.reads > 100 && verified.writes > 50, "{} reads, {} writes", verified.reads, verified.writes);
}

#[test]
fn a_page_kept_for_20_ms_is_caught_with_its_history() {
    let violation = run(&board(Duration::from_millis(20), false), 10.0).violation.expect("a stale page must be caught");
    assert!(violation.starts_with("STALE: reader"), "{violation}");
    assert!(violation.contains("acknowledged; ") && violation.contains("must show at least"), "{violation}");
}

#[test]
fn a_lost_write_is_caught() {
    let violation = run(&board(Duration::ZERO, true), 10.0).violation.expect("a lost write must be caught");
    assert!(violation.starts_with("STALE"), "{violation}");
}

#[test]
fn counts_are_read_from_the_pages_as_they_are() {
    let page = "<a class=\"card\" href=\"/ask/12\"><span class=\"tally\"><svg/>7 cheers from 1 place</span></a>\
                <a class=\"card\" href=\"/ask/1\"><span class=\"tally\"><svg d=\"M1 2\"/>1,234 cheers from 56 places</span></a>";
    assert_eq!(count_on_front(page, 1), Some(1234));
    assert_eq!(count_on_front(page, 12), Some(7));
    assert_eq!(count_on_front(page, 2), None);
    assert_eq!(count_on_ask("<h2>Cheers <span class=\"count\">3,001</span></h2>"), Some(3001));
    assert_eq!(count_on_ask("<h1>Oops</h1>"), None);
}
