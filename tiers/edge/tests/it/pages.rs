//! The page store in the path of requests. What is stored and reused by which rule is tested in `pumasi_httpcache`; here it is about bytes
//! on connections. `Age` makes a page as old as a test needs it, so that nothing has to wait.
use std::sync::{
    Arc, Barrier,
    atomic::{AtomicUsize, Ordering},
};

use pumasi_config::{EvictionPolicy, PagesMode};
use pumasi_edge::{Edge, Purge, PurgeKind};

use crate::harness::*;

#[test]
fn the_second_request_is_answered_from_the_store() {
    let site = Site::new(|_, _| ok("Cache-Control: max-age=60\r\nSurrogate-Key: front", "hello"));
    let mut client = site.client();
    let first = client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let second = client.ask("GET / HTTP/1.1\r\nHost: A\r\n\r\n");
    assert_eq!((first.status, second.status, second.content.as_str()), (200, 200, "hello"));
    assert_eq!(first.field("cache-status").as_deref(), Some("pumasi; fwd=uri-miss; stored"));
    assert!(second.field("cache-status").unwrap().starts_with("pumasi; hit; ttl="));
    assert_eq!(second.field("age").as_deref(), Some("0"));
    assert_eq!((first.field("surrogate-key"), second.field("surrogate-key")), (None, None));
    assert_eq!(site.asked(), 1);
    let status = site.edge.status();
    let pages = status.pages.unwrap();
    assert_eq!((pages.entries, pages.hits, pages.misses), (1, 1, 1));
    assert_eq!((status.routes[0].hits, status.routes[0].misses), (1, 1));
}

#[test]
fn what_must_not_be_stored_says_why() {
    let site = Site::new(|_, _| ok("Cache-Control: private, max-age=60", "mine"));
    let mut client = site.client();
    for _ in 0..2 {
        let answer = client.ask(GET);
        assert_eq!(answer.field("cache-status").as_deref(), Some("pumasi; fwd=uri-miss; detail=private"));
    }
    assert_eq!((site.asked(), site.edge.status().routes[0].bypasses.clone()), (2, vec![("private".to_owned(), 2)]));
}

#[test]
fn identical_misses_are_one_fetch() {
    let gate = Arc::new(Barrier::new(2));
    let held = gate.clone();
    let site = Site::new(move |_, _| {
        held.wait();
        ok("Cache-Control: max-age=60", "once")
    });
    let mut clients: Vec<Peer> = (0..8).map(|_| site.client()).collect();
    clients.iter_mut().for_each(|client| client.write(GET));
    wait_until("all of them are asking", || site.edge.status().pages.unwrap().misses == 8);
    gate.wait();
    let answers: Vec<Answer> = clients.iter_mut().map(Peer::read_answer).collect();
    assert!(answers.iter().all(|answer| answer.content == "once"));
    let coalesced = answers.iter().filter(|answer| answer.field("cache-status").unwrap().ends_with("collapsed")).count();
    assert_eq!((site.asked(), coalesced), (1, 7));
    assert_eq!(site.edge.status().routes[0].misses, 8);
}

#[test]
fn who_waited_too_long_fetches_for_itself() {
    let gate = Arc::new(Barrier::new(2));
    let held = gate.clone();
    let site = Site::configured(
        |setup| setup.plan.pages.wait_max = std::time::Duration::from_millis(100),
        move |number, _| {
            if number == 1 {
                held.wait();
            }
            ok("Cache-Control: max-age=60", &format!("v{number}"))
        },
    );
    let (mut first, mut second) = (site.client(), site.client());
    first.write(GET);
    wait_until("the origin is asked", || site.asked() == 1);
    assert_eq!(second.ask(GET).content, "v2");
    gate.wait();
    assert_eq!(first.read_answer().content, "v1");
}

// === one fetch, many readers ===

#[test]
fn who_waits_reads_the_answer_while_it_arrives() {
    let site = Slow::new("Cache-Control: max-age=60\r\nContent-Length: 12");
    let mut clients = site.asking(3);
    site.says("hello ");
    for client in &mut clients {
        assert!(client.read_head().unwrap().starts_with("HTTP/1.1 200 "));
        assert_eq!(client.read_exact(6), b"hello ", "before the rest exists");
    }
    let mut late = site.client();
    late.write(GET);
    assert!(field(&late.read_head().unwrap(), "cache-status").unwrap().ends_with("collapsed"));
    assert_eq!(late.read_exact(6), b"hello ");
    clients.push(late);
    site.says("world!");
    assert!(clients.iter_mut().all(|client| client.read_exact(6) == b"world!"));
    assert_eq!(clients[0].ask(GET).content, "hello world!");
    assert_eq!(site.asked(), 1);
}

#[test]
fn chunks_reach_who_waits_as_chunks() {
    let site = Slow::new("Cache-Control: max-age=60\r\nTransfer-Encoding: chunked");
    let mut clients = site.asking(3);
    site.says("3\r\nabc\r\n");
    for client in &mut clients {
        client.read_head().unwrap();
        assert_eq!(client.read_until("abc\r\n"), "3\r\nabc\r\n");
    }
    site.says("0\r\n\r\n");
    assert!(clients.iter_mut().all(|client| client.read_until("0\r\n\r\n") == "0\r\n\r\n"));
    assert_eq!(clients[1].ask(GET).content, "abc");
}

#[test]
fn an_answer_that_breaks_off_ends_nobodys_connection_as_if_it_were_whole() {
    for framing in ["Content-Length: 12", "Transfer-Encoding: chunked"] {
        let site = Slow::new(&format!("Cache-Control: max-age=60\r\n{framing}"));
        let mut clients = site.asking(3);
        site.says(if framing.starts_with('T') { "6\r\nhello \r\n" } else { "hello " });
        for client in &mut clients {
            client.read_head().unwrap();
            client.read_until("hello ");
        }
        site.breaks_off();
        for client in &mut clients {
            let rest = client.read_to_end();
            assert!(!rest.ends_with(b"0\r\n\r\n"), "{framing}: {}", rest.escape_ascii());
        }
    }
}

#[test]
fn a_client_that_does_not_read_holds_neither_the_fetch_nor_the_others() {
    let content = "x".repeat(6 << 20);
    let gate = Arc::new(Barrier::new(2));
    let (held, large) = (gate.clone(), content.clone());
    let site = Site::configured(
        |setup| {
            setup.plan.pages.memory_bytes = 64 << 20;
            setup.plan.pages.object_bytes_max = 8 << 20;
        },
        move |_, _| {
            held.wait();
            ok("Cache-Control: max-age=60", &large)
        },
    );
    let (mut first, mut idle, mut third) = (site.client(), site.client(), site.client());
    for (number, client) in [&mut first, &mut idle, &mut third].into_iter().enumerate() {
        client.write(GET);
        wait_until("it is asked", || site.edge.status().pages.unwrap().misses == number as u64 + 1);
    }
    gate.wait();
    // Neither who fetches nor one who waits takes anything; the third has it all, and it is stored.
    assert_eq!(third.read_answer().content.len(), content.len());
    wait_until("it is stored", || site.edge.status().pages.unwrap().entries == 1);
    assert_eq!(site.client().ask(GET).content.len(), content.len());
    assert_eq!(first.read_answer().content, content);
    assert_eq!(idle.read_answer().content, content);
    assert_eq!(site.asked(), 1);
}

#[test]
fn a_fetch_goes_on_for_the_others_when_its_client_leaves() {
    let site = Slow::new("Cache-Control: max-age=60\r\nContent-Length: 200006");
    let mut clients = site.asking(3);
    site.says("hello ");
    for client in &mut clients {
        client.read_head().unwrap();
        client.read_exact(6);
    }
    drop(clients.remove(0)); // the others came after it
    for _ in 0..20 {
        site.says(&"x".repeat(10_000)); // enough to notice that it is gone
    }
    assert!(clients.iter_mut().all(|client| client.read_exact(200_000).len() == 200_000));
    assert_eq!(site.asked(), 1);
    wait_until("it is stored", || site.site.edge.status().pages.unwrap().entries == 1);
}

#[test]
fn an_http_1_0_client_is_not_sent_what_has_no_end_yet() {
    let site = Slow::new("Cache-Control: max-age=60\r\nTransfer-Encoding: chunked");
    let mut clients = site.asking(1);
    let mut old = site.client();
    old.write("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    wait_until("it waits", || site.site.edge.status().pages.unwrap().misses == 2);
    site.says("3\r\nabc\r\n");
    clients[0].read_head().unwrap();
    clients[0].read_until("abc");
    site.says("0\r\n\r\n");
    let answer = old.read_answer();
    assert_eq!((answer.content.as_str(), answer.field("content-length").as_deref()), ("abc", Some("3")));
}

// === forms ===

#[test]
fn a_page_is_sent_in_the_form_the_client_likes_best() {
    let text = "the same again and again ".repeat(400);
    let sent = text.clone();
    let site = Site::new(move |_, _| ok("Cache-Control: max-age=60\r\nContent-Type: text/plain\r\nETag: \"v1\"", &sent));
    let mut client = site.client();
    let asking = |codings: &str| format!("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {codings}\r\n\r\n");
    let first = client.ask(&asking("gzip"));
    assert_eq!((first.content == text, first.field("vary").as_deref()), (true, Some("Accept-Encoding")));
    for (codings, name) in [("gzip, br;q=0.1", "gzip"), ("gzip, deflate, br, zstd", "br"), ("zstd, br;q=0.9", "zstd")] {
        let mut last = None;
        wait_until("the form is made", || {
            client.write(asking(codings));
            let head = client.read_head().unwrap();
            client.read_exact(field(&head, "content-length").unwrap().parse().unwrap());
            let made = field(&head, "content-encoding").as_deref() == Some(name);
            last = Some(head);
            made
        });
        let head = last.unwrap();
        assert_eq!(field(&head, "etag"), Some(format!("\"v1;{name}\"")));
        let had = client.ask(&format!("GET / HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"v1;{name}\"\r\n\r\n"));
        assert_eq!((had.status, had.field("etag")), (304, Some(format!("\"v1;{name}\""))));
    }
    assert_eq!(client.ask(GET).content, text);
    assert_eq!(site.asked(), 1);
}

#[test]
fn the_origin_is_asked_with_the_tag_it_gave() {
    let site = Site::new(|_, head| ok("X: y", &field(head, "if-match").unwrap_or_default()));
    let mut client = site.client();
    let put = client.ask("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nIf-Match: \"v1;br\", \"v0\"\r\n\r\n");
    assert_eq!(put.content, "\"v1\", \"v0\"");
}

#[test]
fn a_get_with_content_is_nobody_elses() {
    let site = Site::new(|number, _| ok("Cache-Control: max-age=60", &format!("v{number}")));
    let mut client = site.client();
    let asks = |content: &str| format!("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{content}", content.len());
    assert_eq!((client.ask(&asks("x")).content, client.ask(&asks("y")).content), ("v1".into(), "v2".into()));
    assert_eq!(client.ask(GET).content, "v3");
}

#[test]
fn others_go_on_when_the_first_client_leaves() {
    let gate = Arc::new(Barrier::new(2));
    let held = gate.clone();
    let site = Site::new(move |number, _| {
        if number == 1 {
            held.wait();
        }
        ok("Cache-Control: max-age=60", "there")
    });
    let mut first = site.client();
    first.write(GET);
    wait_until("the origin is asked", || site.asked() == 1);
    let mut second = site.client();
    second.write(GET);
    wait_until("the second waits", || site.edge.status().pages.unwrap().misses == 2);
    drop(first);
    gate.wait();
    assert_eq!(second.read_answer().content, "there");
}

#[test]
fn a_stale_page_is_served_while_one_request_refetches() {
    let site = Site::new(|number, _| match number {
        1 => ok("Cache-Control: max-age=60, stale-while-revalidate=60\r\nAge: 60", "v1"),
        _ => ok("Cache-Control: max-age=60", "v2"),
    });
    let mut client = site.client();
    assert_eq!(client.ask(GET).content, "v1");
    let stale = client.ask(GET);
    assert_eq!(stale.content, "v1");
    assert!(stale.field("cache-status").unwrap().starts_with("pumasi; hit; ttl="));
    wait_until("the page was refetched", || client.ask(GET).content == "v2");
    assert_eq!(site.asked(), 2);
    assert!(site.edge.status().routes[0].stale >= 1);
}

#[test]
fn a_stale_page_stands_in_for_an_origin_that_fails() {
    for failure in ["HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\ndown", ""] {
        let site = Site::new(move |number, _| match number {
            1 => ok("Cache-Control: max-age=60, stale-if-error=60\r\nAge: 60", "old"),
            _ => failure.to_owned(),
        });
        let mut client = site.client();
        client.ask(GET);
        for _ in 0..2 {
            let answer = client.ask(GET);
            assert_eq!((answer.status, answer.content.as_str()), (200, "old"), "{failure:?}");
            assert!(answer.field("cache-status").unwrap().starts_with("pumasi; fwd=stale"), "{answer:?}");
        }
    }
}

/// A 304 with another strong tag must not renew the page (RFC 9111 §4.3.4), so everything is asked for; an origin that has nothing sensible to say then
/// (the public suite's says 999) fails, and the page stands in for it.
#[test]
fn a_stale_page_stands_in_for_an_origin_that_confuses_its_versions() {
    let site = Site::new(|number, head| match number {
        1 => ok("Cache-Control: max-age=60, stale-if-error=60\r\nETag: \"a\"\r\nAge: 60", "old"),
        2 => "HTTP/1.1 304 Not Modified\r\nETag: \"b\"\r\n\r\n".to_owned(),
        _ => {
            assert_eq!(field(head, "if-none-match"), None);
            "HTTP/1.1 999 unknown\r\nContent-Length: 0\r\n\r\n".to_owned()
        }
    });
    let mut client = site.client();
    client.ask(GET);
    let answer = client.ask(GET);
    assert_eq!((answer.status, answer.content.as_str(), answer.field("etag").as_deref()), (200, "old", Some("\"a\"")));
    assert_eq!(site.asked(), 3);
}

#[test]
fn an_error_is_passed_on_where_stale_is_forbidden() {
    let site = Site::new(move |number, _| match number {
        1 => ok("Cache-Control: max-age=60, must-revalidate\r\nETag: \"a\"\r\nAge: 60", "old"),
        _ => "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\ndown".to_owned(),
    });
    let mut client = site.client();
    client.ask(GET);
    assert_eq!(client.ask(GET).status, 503);
}

#[test]
fn a_page_that_still_holds_is_not_sent_again() {
    let site = Site::new(|number, head| match number {
        1 => ok("Cache-Control: no-cache\r\nETag: \"a\"\r\nX: 1", "body"),
        _ => {
            assert_eq!(field(head, "if-none-match").as_deref(), Some("\"a\""));
            assert_eq!((field(head, "if-modified-since"), field(head, "range")), (None, None));
            "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nX: 2\r\n\r\n".to_owned()
        }
    });
    let mut client = site.client();
    client.ask(GET);
    let whole = client.ask(GET);
    assert_eq!((whole.status, whole.content.as_str(), whole.field("x").as_deref()), (200, "body", Some("2")));
    assert_eq!(whole.field("cache-status").as_deref(), Some("pumasi; fwd=stale; fwd-status=304"));
    // The client's own conditions are ours to answer, whatever the origin was asked.
    let nod = client.ask("GET / HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"a\"\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n");
    assert_eq!((nod.status, nod.content.as_str()), (304, ""));
    let part = client.ask("GET / HTTP/1.1\r\nHost: a\r\nRange: bytes=1-2\r\n\r\n");
    assert_eq!((part.status, part.content.as_str()), (206, "od"));
    assert_eq!(site.asked(), 4);
}

#[test]
fn head_and_range_come_from_the_stored_page() {
    let site = Site::new(|_, _| ok("Cache-Control: max-age=60", "0123456789"));
    let mut client = site.client();
    client.ask(GET);
    client.write("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.read_head().unwrap();
    assert_eq!((&head[9..12], field(&head, "content-length").as_deref()), ("200", Some("10")));
    let part = client.ask("GET / HTTP/1.1\r\nHost: a\r\nRange: bytes=-3\r\n\r\n");
    assert_eq!((part.status, part.content.as_str(), part.field("content-range").as_deref()), (206, "789", Some("bytes 7-9/10")));
    let beyond = client.ask("GET / HTTP/1.1\r\nHost: a\r\nRange: bytes=10-\r\n\r\n");
    assert_eq!((beyond.status, beyond.field("content-range").as_deref()), (416, Some("bytes */10")));
    assert_eq!(site.asked(), 1);
}

#[test]
fn a_part_is_kept_as_a_part() {
    let site = Site::new(|_, head| {
        let range = field(head, "range").expect("only parts are asked for");
        let (first, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
        let content = &"0123456789"[first.parse().unwrap()..=last.parse().unwrap()];
        let lines = format!("Cache-Control: max-age=60\r\nETag: \"v1\"\r\nContent-Range: bytes {range}/10", range = &range[6..]);
        ok(&lines, content).replacen("200 OK", "206 Partial Content", 1)
    });
    let mut client = site.client();
    let mut check = |range: &str, content: &str, asked: usize| {
        let answer = client.ask(&format!("GET / HTTP/1.1\r\nHost: a\r\nRange: bytes={range}\r\n\r\n"));
        let expected = (206, content, Some(format!("bytes {range}/10")), asked);
        assert_eq!((answer.status, answer.content.as_str(), answer.field("content-range"), site.asked()), expected, "{range}");
    };
    check("0-4", "01234", 1);
    check("1-2", "12", 1);
    check("5-9", "56789", 2);
    check("3-6", "3456", 2);
    assert_eq!(client.ask(GET).content, "0123456789");
    assert_eq!(site.asked(), 2);
}

/// One page is asked for again and again while others come once: who forgets it?
#[test]
fn the_policy_decides_who_leaves() {
    for (eviction, stays) in
        [(EvictionPolicy::S3Fifo, true), (EvictionPolicy::Lru, true), (EvictionPolicy::Lfu, true), (EvictionPolicy::Fifo, false)]
    {
        let content = "x".repeat(20_000);
        let site = Site::configured(
            |setup| {
                setup.plan.pages.eviction = eviction;
                setup.plan.pages.memory_bytes = 1 << 20;
            },
            move |_, _| ok("Cache-Control: max-age=60", &content),
        );
        let mut client = site.client();
        let mut get = |path: &str| client.ask(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        get("/kept");
        for n in 0..100 {
            get(&format!("/{n}"));
            if site.edge.status().pages.unwrap().evicted == 0 || stays {
                get("/kept");
            }
        }
        assert!(site.edge.status().pages.unwrap().evicted > 10);
        let found = get("/kept").field("cache-status").unwrap().starts_with("pumasi; hit");
        assert_eq!(found, stays, "{eviction:?}");
    }
}

#[test]
fn a_change_that_succeeded_invalidates_before_it_is_confirmed() {
    let site = Site::new(|number, head| match head.starts_with("POST") {
        true => "HTTP/1.1 303 See Other\r\nLocation: /list\r\nContent-Length: 0\r\n\r\n".to_owned(),
        false => ok("Cache-Control: max-age=60", &format!("v{number}")),
    });
    let mut client = site.client();
    let get = |client: &mut Peer, path: &str| client.ask(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).content;
    assert_eq!((get(&mut client, "/item"), get(&mut client, "/list"), get(&mut client, "/else")), ("v1".into(), "v2".into(), "v3".into()));
    let post = client.ask("POST /item HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!((post.status, post.field("cache-status").as_deref()), (303, Some("pumasi; fwd=method")));
    assert_eq!((get(&mut client, "/item"), get(&mut client, "/list"), get(&mut client, "/else")), ("v5".into(), "v6".into(), "v3".into()));
}

#[test]
fn a_change_that_failed_invalidates_nothing() {
    let site = Site::new(|_, head| match head.starts_with("DELETE") {
        true => "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".to_owned(),
        false => ok("Cache-Control: max-age=60", "kept"),
    });
    let mut client = site.client();
    client.ask(GET);
    assert_eq!(client.ask("DELETE / HTTP/1.1\r\nHost: a\r\n\r\n").status, 403);
    client.ask(GET);
    assert_eq!(site.asked(), 2);
}

#[test]
fn a_purged_page_is_fetched_anew() {
    let site = Site::new(|number, _| ok("Cache-Control: max-age=60, stale-while-revalidate=60\r\nCache-Tag: t", &format!("v{number}")));
    let mut client = site.client();
    assert_eq!(client.ask(GET).content, "v1");
    assert_eq!(site.edge.purge(Purge::Tag("t"), PurgeKind::Hard), 1);
    assert_eq!(client.ask(GET).content, "v2");
    assert_eq!(site.edge.purge(Purge::Target("http://a/"), PurgeKind::Soft), 1);
    assert_eq!(client.ask(GET).content, "v2", "softly purged: served once more, and refetched");
    wait_until("it was refetched", || client.ask(GET).content == "v3");
}

#[test]
fn a_page_larger_than_the_output_arrives_whole() {
    let body: &str = Box::leak("0123456789abcdef".repeat(20_000).into_boxed_str());
    let site = Site::new(move |_, _| ok("Cache-Control: max-age=60", body));
    let mut client = site.client();
    for _ in 0..3 {
        assert!(client.ask(GET).content == body);
    }
    assert_eq!(site.asked(), 1);
}

#[test]
fn what_grows_too_large_streams_through_unstored() {
    let body: &str = Box::leak("x".repeat(2 << 20).into_boxed_str());
    let site = Site::new(move |_, _| ok("Cache-Control: max-age=60", body));
    let mut client = site.client();
    for _ in 0..2 {
        assert!(client.ask(GET).content == body);
    }
    assert_eq!((site.asked(), site.edge.status().routes[0].bypasses[0].0.as_str()), (2, "too-large"));
}

#[test]
fn early_hints_pass_and_only_the_answer_is_stored() {
    let site = Site::new(|_, _| {
        let hints = "HTTP/1.1 103 Early Hints\r\nLink: </s.css>; rel=preload\r\n\r\n";
        format!("{hints}{}", ok("Cache-Control: max-age=60", "body"))
    });
    let mut client = site.client();
    client.write(GET);
    assert!(client.read_head().unwrap().starts_with("HTTP/1.1 103"));
    assert_eq!(client.read_answer().content, "body");
    let stored = client.ask(GET);
    assert_eq!((stored.status, stored.content.as_str(), stored.field("link")), (200, "body", None));
}

#[test]
fn only_if_cached_never_bothers_the_origin() {
    let site = Site::new(|_, _| ok("Cache-Control: max-age=60", "body"));
    let mut client = site.client();
    let asks = "GET / HTTP/1.1\r\nHost: a\r\nCache-Control: only-if-cached\r\n\r\n";
    assert_eq!(client.ask(asks).status, 504);
    assert_eq!(site.asked(), 0);
    client.ask(GET);
    assert_eq!(client.ask(asks).status, 200);
}

// === how these tests speak ===

struct Site {
    edge: Edge,
    asked: Arc<AtomicUsize>,
    _origin: Origin,
}

impl Site {
    /// `answer` gets the number of the request, from 1, and its head; an empty answer closes the connection.
    fn new(answer: impl Fn(usize, &str) -> String + Send + Sync + 'static) -> Site {
        Site::configured(|_| {}, answer)
    }

    fn configured(configure: impl Fn(&mut Setup), answer: impl Fn(usize, &str) -> String + Send + Sync + 'static) -> Site {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        let origin = Origin::start(move |mut peer| {
            while let Some(head) = peer.read_head() {
                let length = field(&head, "content-length").map_or(0, |length| length.parse().unwrap());
                peer.read_exact(length);
                let text = answer(counted.fetch_add(1, Ordering::SeqCst) + 1, &head);
                if text.is_empty() {
                    return;
                }
                peer.write(text);
            }
        });
        Site::before(origin, asked, configure)
    }

    fn before(origin: Origin, asked: Arc<AtomicUsize>, configure: impl Fn(&mut Setup)) -> Site {
        let mut setup = setup(&[origin.address]);
        setup.plan.routes[0].pages = PagesMode::Standard;
        setup.plan.pages.memory_bytes = 8 << 20;
        configure(&mut setup);
        Site { edge: setup.start(), asked, _origin: origin }
    }

    fn client(&self) -> Peer {
        Peer::connect(self.edge.addresses()[0])
    }

    /// Requests the origin has seen.
    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// A site whose first answer comes in pieces, when a test says so.
struct Slow {
    site: Site,
    pieces: std::sync::mpsc::Sender<Option<String>>,
    origin_asked: Arc<AtomicUsize>,
}

impl Slow {
    /// `lines` of its head; the content is what [`Slow::says`] writes.
    fn new(lines: &str) -> Slow {
        let (pieces, said) = std::sync::mpsc::channel::<Option<String>>();
        let (said, lines) = (std::sync::Mutex::new(said), lines.to_owned());
        let origin_asked = Arc::new(AtomicUsize::new(0));
        let counted = origin_asked.clone();
        let origin = Origin::start(move |mut peer| {
            if peer.read_head().is_some() {
                counted.fetch_add(1, Ordering::SeqCst);
                peer.write(format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n"));
                while let Ok(Some(piece)) = said.lock().unwrap().recv() {
                    peer.write(piece);
                }
            }
        });
        let site = Site::before(origin, Arc::default(), |_| {});
        Slow { site, pieces, origin_asked }
    }

    /// So many clients that ask one after the other; the first fetches.
    fn asking(&self, count: usize) -> Vec<Peer> {
        let ask = |number: usize| {
            let mut client = self.client();
            client.write(GET);
            wait_until("it is asked", || self.site.edge.status().pages.unwrap().misses == number as u64);
            client
        };
        (1..=count).map(ask).collect()
    }

    fn client(&self) -> Peer {
        self.site.client()
    }

    fn says(&self, piece: &str) {
        self.pieces.send(Some(piece.into())).unwrap();
    }

    fn breaks_off(&self) {
        self.pieces.send(None).unwrap();
    }

    fn asked(&self) -> usize {
        self.origin_asked.load(Ordering::SeqCst)
    }
}

trait Ask {
    fn ask(&mut self, request: &str) -> Answer;
}

impl Ask for Peer {
    fn ask(&mut self, request: &str) -> Answer {
        self.write(request);
        self.read_answer()
    }
}

fn ok(lines: &str, content: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{lines}\r\n\r\n{content}", content.len())
}
