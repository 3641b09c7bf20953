//! Clients that stay with one upstream by a signed cookie.

use std::time::{Duration, Instant};

use pumasi_config::StickyPlan;
use pumasi_edge::Edge;

use crate::harness::*;

const KEY: &str = "a key of more than thirty-two characters";

fn site(key: &str) -> (Setup, [Origin; 3]) {
    let origins = [Origin::saying("a"), Origin::saying("b"), Origin::saying("c")];
    let mut setup = setup(&origins.each_ref().map(|origin| origin.address));
    setup.pools[0].plan.sticky = Some(StickyPlan { cookie: "stay".into(), lasts: Duration::from_secs(3600), key: Some(key.into()) });
    (setup, origins)
}

fn ask(edge: &Edge, cookie: &str) -> Answer {
    let mut client = Peer::connect(edge.addresses()[0]);
    client.write(format!("GET / HTTP/1.1\r\nHost: a\r\n{cookie}\r\n"));
    client.read_answer()
}

/// The cookie an answer brings, as a request sends it.
fn brought(answer: &Answer) -> Option<String> {
    let line = answer.field("set-cookie")?;
    assert!(line.ends_with("; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax"), "{line}");
    Some(format!("Cookie: theme=dark; {}; lang=ko\r\n", line.split(';').next()?))
}

#[test]
fn a_client_stays_where_its_cookie_says() {
    let (setup, _origins) = site(KEY);
    let edge = setup.start();
    let mut met = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let first = ask(&edge, "");
        let cookie = brought(&first).expect("the first answer brings one");
        for _ in 0..6 {
            let again = ask(&edge, &cookie);
            assert_eq!(again.content, first.content);
            assert_eq!(brought(&again), None, "it has one already");
        }
        met.insert(first.content);
    }
    assert_eq!(met.len(), 3, "those without a cookie are spread");
}

#[test]
fn a_cookie_that_is_not_ours_is_overlooked() {
    let (setup, _origins) = site(KEY);
    let edge = setup.start();
    let first = ask(&edge, "");
    let good = brought(&first).expect("one");
    let (before, value) = good.split_once("stay=").expect("its name");
    let changed = format!("{before}stay={}{}", if value.starts_with('0') { '1' } else { '0' }, &value[1..]);
    let (other, _more) = site("another key, just as long as the first one");
    let elsewhere = other.start();
    for forged in [changed.as_str(), "Cookie: stay=\r\n", "Cookie: stay=127.0.0.1:80\r\n"] {
        assert!(brought(&ask(&edge, forged)).is_some(), "{forged}");
    }
    assert!(brought(&ask(&elsewhere, &good)).is_some(), "signed with another key");
    // A forged one in front of a good one does not hide it.
    let both = good.replace("Cookie: ", "Cookie: stay=forged; ");
    assert_eq!((ask(&edge, &both).content, brought(&ask(&edge, &both))), (first.content, None));
}

#[test]
fn a_client_moves_when_its_upstream_is_drained() {
    let (setup, _origins) = site(KEY);
    let pool = setup.pools[0].pool.clone();
    let edge = setup.start();
    let first = ask(&edge, "");
    let cookie = brought(&first).expect("one");
    let at = ["a", "b", "c"].iter().position(|content| *content == first.content).expect("one of three");
    let member = pool.upstreams()[at].clone();
    pool.drain(&member, Instant::now());
    let moved = ask(&edge, &cookie);
    assert_ne!(moved.content, first.content);
    let new = brought(&moved).expect("a new one");
    pool.undrain(&member, Instant::now());
    assert_eq!(ask(&edge, &new).content, moved.content, "and stays where it went");
    assert_eq!(ask(&edge, &cookie).content, first.content, "the old one is good again as well");
}

#[test]
fn a_client_whose_upstream_died_is_served_elsewhere() {
    let (setup, origins) = site(KEY);
    let edge = setup.start();
    let first = ask(&edge, "");
    let cookie = brought(&first).expect("one");
    let at = ["a", "b", "c"].iter().position(|content| *content == first.content).expect("one of three");
    origins[at].die();
    let moved = ask(&edge, &cookie);
    assert_eq!(moved.status, 200);
    assert_ne!(moved.content, first.content);
}
