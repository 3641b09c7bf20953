use std::{
    future::Future,
    task::{Context, Poll, Waker},
};

use pumasi_freshness::{Changes, Deps, Entry, Table, Tables};
use pumasi_httpcache::{CacheStatus, Coding};

use super::*;

// === looking up and filling ===

#[test]
fn what_was_fetched_once_is_served_from_the_store() {
    let site = Site::new();
    site.fetch("/a", "", "Cache-Control: max-age=60\r\n", b"hello");
    let page = site.hit("/a", "");
    assert_eq!((page.status, &page.body[..]), (200, &b"hello"[..]));
    assert!(matches!(site.look_up("/b", ""), Lookup::Miss { why: Forward::UriMiss, .. }));
    let status = site.pages.status();
    assert_eq!((status.entries, status.hits), (1, 1));
}

#[test]
fn hosts_are_one_in_any_case_and_schemes_are_two() {
    let pages = Site::new().pages;
    let key = |scheme, host: &str| pages.key(scheme, host.as_bytes(), b"/a").as_bytes().to_vec();
    assert_eq!(key("http", "Example.ORG"), key("http", "example.org"));
    assert_ne!(key("http", "example.org"), key("https", "example.org"));
}

#[test]
fn variants_are_kept_apart() {
    let site = Site::new();
    let vary = "Cache-Control: max-age=60\r\nVary: Accept-Language\r\n";
    site.fetch("/", "Accept-Language: ko", vary, b"annyeong");
    site.fetch("/", "Accept-Language: en", vary, b"hello");
    assert_eq!(&site.hit("/", "Accept-Language: ko").body[..], b"annyeong");
    assert_eq!(&site.hit("/", "Accept-Language: EN").body[..], b"hello");
    assert!(matches!(site.look_up("/", "Accept-Language: de"), Lookup::Miss { why: Forward::VaryMiss, .. }));
}

#[test]
fn a_target_keeps_so_many_variants_and_no_more() {
    let site = Site::new();
    for n in 0..50 {
        site.fetch("/", &format!("X: {n}"), "Cache-Control: max-age=60\r\nVary: X\r\n", b"v");
    }
    assert_eq!(site.pages.status().entries, 32);
    site.hit("/", "X: 49");
    assert!(matches!(site.look_up("/", "X: 0"), Lookup::Miss { .. }));
}

#[test]
fn an_answer_that_breaks_off_or_is_too_large_is_not_stored() {
    let site = Site::new();
    let mut fill = site.begin("/", "", "Cache-Control: max-age=60\r\n", Some(10));
    fill.data(b"half");
    assert_eq!(fill.finish(NOW).unwrap_err(), NotStored(Bypass::Incomplete));

    let most = site.pages.settings().object_bytes_max;
    let lead = site.miss("/large", "");
    assert_eq!(site.begin_with(lead, "", "Cache-Control: max-age=60\r\n", Some(most + 1)).err(), Some(NotStored(Bypass::TooLarge)));

    let mut fill = site.begin("/open", "", "Cache-Control: max-age=60\r\n", None);
    for _ in 0..=most / 65_536 {
        fill.data(&[0; 65_536]);
    }
    assert_eq!(fill.finish(NOW).unwrap_err(), NotStored(Bypass::TooLarge));
    assert_eq!(site.pages.status().entries, 0);
}

#[test]
fn what_is_being_filled_counts_and_has_its_own_bound() {
    let site = Site::new();
    let before = site.pages.status().bytes;
    let fill = site.begin("/a", "", "Cache-Control: max-age=60\r\n", Some(20_000));
    assert_eq!(site.pages.status().bytes, before + 20_000);
    drop(fill);
    assert_eq!(site.pages.status().bytes, before);

    let most = site.pages.settings().object_bytes_max;
    let mut fills: Vec<Fill> = Vec::new();
    while (fills.len() as u64 + 1) * most <= site.pages.settings().filling_max() {
        fills.push(site.begin(&format!("/{}", fills.len()), "", "Cache-Control: max-age=60\r\n", Some(most)));
    }
    let mut over = site.begin("/over", "", "Cache-Control: max-age=60\r\n", Some(most));
    over.data(&vec![0; most as usize]);
    assert_eq!(over.finish(NOW).unwrap_err(), NotStored(Bypass::NoRoom));
}

#[test]
fn the_budget_holds_whatever_is_stored() {
    let site = Site::new();
    for n in 0..5000 {
        site.fetch(&format!("/{n}"), "", "Cache-Control: max-age=60\r\n", &vec![b'x'; 1 + n * 7 % 9000]);
        assert!(site.pages.status().bytes <= BUDGET);
    }
    let status = site.pages.status();
    assert!(status.evicted > 0 && status.entries > 100, "{status:?}");
}

/// The budget is for the machine, not for a sum of ours: 100,000 small pages take what they are said to take.
#[test]
fn small_pages_take_no_more_memory_than_is_counted() {
    if !in_a_process_of_its_own("tests::small_pages_take_no_more_memory_than_is_counted") {
        return;
    }
    let resident = || {
        let pages: u64 = std::fs::read_to_string("/proc/self/statm").unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        pages * 4096
    };
    let site = Site { pages: Pages::new(Settings { budget_bytes: 512 << 20, ..settings() }, None) };
    let fetch = |n: usize| {
        let lines = format!(
            "Cache-Control: max-age=60\r\nContent-Type: text/html\r\nETag: \"{n}\"\r\nSurrogate-Key: item-{n} all\r\nVary: Accept\r\n"
        );
        site.fetch(&format!("/item/{n}?page=1"), "Accept: text/html", &lines, format!("<p>{n}</p>").repeat(10).as_bytes());
    };
    (0..1000).for_each(fetch); // what is there once, whatever is stored
    let (resident_before, counted_before) = (resident(), site.pages.status().bytes);
    (1000..101_000).for_each(fetch);
    let (grown, counted) = (resident() - resident_before, site.pages.status().bytes - counted_before);
    assert_eq!(site.pages.status().entries, 101_000);
    assert!(grown <= counted, "{grown} bytes of memory for {counted} counted");
    assert!(counted <= grown * 3 / 2, "{counted} bytes counted for {grown} of memory: half the budget would stay empty");
}

/// Whether this process runs the test `name` alone. If not, it has been run by now, and passed, in a process that does: under `cargo test`, unlike
/// nextest, the memory of one process is that of many tests.
fn in_a_process_of_its_own(name: &str) -> bool {
    const ALONE: &str = "PUMASI_TEST_ALONE";
    if std::env::var_os("NEXTEST").is_some() || std::env::var_os(ALONE).is_some() {
        return true;
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap()).args(["--exact", name]).env(ALONE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "in a process of its own: {said}");
    false
}

// === coalescing ===

#[test]
fn others_wait_for_the_first_and_get_its_page() {
    let site = Site::new();
    let lead = site.miss("/", "");
    let mut waiter = site.wait("/");
    assert!(poll(&mut waiter).is_none());
    site.finish(lead, "", "Cache-Control: max-age=60\r\n", b"once");
    assert!(matches!(poll(&mut waiter), Some(Landing::Page(page)) if &page.body[..] == b"once"));
    site.hit("/", "");
}

#[test]
fn who_waits_reads_the_answer_while_it_arrives() {
    let site = Site::new();
    let lead = site.miss("/", "");
    let mut early = site.wait("/");
    assert!(poll(&mut early).is_none());
    let mut fill = site.begin_with(lead, "", "Cache-Control: max-age=60\r\n", Some(6)).unwrap_or_else(|reason| panic!("{reason:?}"));
    let mut early = begun(&mut early);
    fill.data(b"abc");
    let mut late = begun(&mut site.wait("/"));
    assert_eq!((read(&mut early), read(&mut early)), ("abc".into(), "...".into()));
    fill.data(b"def");
    assert_eq!(read(&mut early), "def");
    fill.finish(NOW).unwrap();
    assert_eq!((read(&mut early), read(&mut late), read(&mut late)), ("END".into(), "abcdef".into(), "END".into()));
    site.hit("/", "");
    assert_eq!(site.pages.filling.load(Relaxed), 0);
}

#[test]
fn a_fetch_that_breaks_off_never_looks_complete() {
    let site = Site::new();
    for (length, pieces) in [(Some(6), &["abc"][..]), (None, &["abc"]), (Some(6), &[]), (None, &[])] {
        let lead = site.miss("/", "");
        let mut waiter = site.wait("/");
        let mut fill = site.begin_with(lead, "", "Cache-Control: max-age=60\r\n", length).unwrap_or_else(|reason| panic!("{reason:?}"));
        let mut stream = begun(&mut waiter);
        pieces.iter().for_each(|piece| fill.data(piece.as_bytes()));
        drop(fill);
        assert_eq!(read(&mut stream), "BROKEN");
        assert!(matches!(poll(&mut waiter), Some(Landing::Alone)));
    }
    // Short of what was announced, although the end was reached.
    let lead = site.miss("/", "");
    let mut waiter = site.wait("/");
    let mut fill = site.begin_with(lead, "", "Cache-Control: max-age=60\r\n", Some(6)).unwrap_or_else(|reason| panic!("{reason:?}"));
    let mut stream = begun(&mut waiter);
    fill.data(b"abc");
    assert_eq!(fill.finish(NOW).unwrap_err(), NotStored(Bypass::Incomplete));
    assert_eq!(read(&mut stream), "BROKEN");
}

#[test]
fn what_outgrows_the_store_goes_on_for_who_keeps_up() {
    let site = Site::new();
    let lead = site.miss("/", "");
    let (mut one, mut other) = (site.wait("/"), site.wait("/"));
    let mut fill = site.begin_with(lead, "", "Cache-Control: max-age=60\r\n", None).unwrap_or_else(|reason| panic!("{reason:?}"));
    let (mut quick, mut slow) = (begun(&mut one), begun(&mut other));
    let mut had = 0;
    for _ in 0..100 {
        fill.data(&[b'x'; 10_000]);
        had += read(&mut quick).len();
    }
    assert!(matches!(poll(&mut one), Some(Landing::Alone)), "nobody waits for a page that will not come");
    assert!(site.pages.status().bytes <= site.pages.marks.bytes() + 110_000, "a window, not all of it");
    assert_eq!(fill.finish(NOW).unwrap_err(), NotStored(Bypass::TooLarge));
    assert_eq!((had, read(&mut quick), read(&mut slow)), (1_000_000, "END".into(), "BROKEN".into()));
}

#[test]
fn a_purge_ends_boarding_an_answer_under_way() {
    for purge in [Purge::Target("/a"), Purge::Prefix("http://example.org/"), Purge::Tag("t"), Purge::Everything] {
        for kind in [PurgeKind::Hard, PurgeKind::Soft] {
            let site = Site::new();
            let lead = site.miss("/a", "");
            let mut before = site.wait("/a");
            let fill = site
                .begin_with(lead, "", "Cache-Control: max-age=60\r\nCache-Tag: t\r\n", None)
                .unwrap_or_else(|reason| panic!("{reason:?}"));
            let may = |stream: &Stream| {
                let lines = head("");
                site.pages.may_stream(stream, &site.key("/a"), &Asked::of(b"GET", fields(&lines)), fields(&lines), NOW)
            };
            let stream = begun(&mut before);
            assert!(may(&stream));
            site.pages.purge(purge, kind, NOW + 1);
            assert!(!may(&stream), "{purge:?} {kind:?}");
            drop(fill);
        }
    }
}

#[test]
fn so_many_wait_and_no_more() {
    let site = Site::new();
    let _lead = site.miss("/", "");
    let mut waiters: Vec<Waiter> = (0..3).map(|_| site.wait("/")).collect();
    assert!(matches!(site.look_up("/", ""), Lookup::Full));
    waiters.pop();
    site.wait("/");
}

#[test]
fn when_the_first_gives_up_the_others_go_on_alone() {
    let site = Site::new();
    let lead = site.miss("/", "");
    let mut waiter = site.wait("/");
    drop(lead);
    assert!(matches!(poll(&mut waiter), Some(Landing::Alone)));
    site.miss("/", "");
}

#[test]
fn nobody_waits_for_what_was_not_stored_a_moment_ago() {
    let site = Site::new();
    let lead = site.miss("/", "");
    assert_eq!(site.begin_with(lead, "", "Cache-Control: no-store\r\n", None).err(), Some(NotStored(Bypass::NoStore)));
    let _first = site.miss("/", "");
    let second = site.miss("/", "");
    // One of them gets something storable after all: that ends it.
    site.finish(second, "", "Cache-Control: max-age=60\r\n", b"now");
    site.hit("/", "");
}

#[test]
fn requests_for_different_variants_do_not_wait_for_each_other() {
    let site = Site::new();
    site.fetch("/", "X: 1", "Cache-Control: max-age=60\r\nVary: X\r\n", b"1");
    let _two = site.miss("/", "X: 2");
    let _three = site.miss("/", "X: 3");
    assert!(matches!(site.look_up("/", "X: 2"), Lookup::Wait(_)));
}

#[test]
fn partial_and_conditional_misses_are_nobodys_to_wait_for() {
    let site = Site::new();
    let _ranged = site.miss("/", "Range: bytes=0-1");
    let _conditional = site.miss("/", "If-None-Match: \"x\"");
    site.miss("/", "");
}

// === staleness ===

#[test]
fn one_request_refetches_while_the_stale_page_is_served() {
    let site = Site::new();
    site.fetch("/", "", "Cache-Control: max-age=60, stale-while-revalidate=60\r\n", b"old");
    let Lookup::Hit { stale: true, refetch: Some(lead), .. } = site.look_up_at("/", "", NOW + 61_000) else { panic!() };
    assert!(matches!(site.look_up_at("/", "", NOW + 61_000), Lookup::Hit { stale: true, refetch: None, .. }));
    let mut fill = site.begin_with(lead, "", "Cache-Control: max-age=60\r\n", None).ok().unwrap();
    fill.data(b"new");
    fill.finish(NOW + 61_000).unwrap();
    assert_eq!(&site.hit("/", "").body[..], b"new");
}

#[test]
fn a_304_renews_the_page_for_all() {
    let site = Site::new();
    site.fetch("/", "", "Cache-Control: max-age=60\r\nETag: \"a\"\r\nX: 1\r\nAge: 5\r\n", b"body");
    let later = NOW + 61_000;
    let Lookup::Validate { page, lead, .. } = site.look_up_at("/", "", later) else { panic!() };
    assert_eq!(page.conditions(), b"If-None-Match: \"a\"\r\n");
    let mut waiter = match site.look_up_at("/", "", later) {
        Lookup::Wait(waiter) => waiter,
        _ => panic!(),
    };
    let asked = Asked::of(b"GET", [].into_iter());
    let renewed = lead.confirm(&page, &asked, b"Cache-Control: max-age=90\r\nX: 2\r\nAge: 3\r\n", later).ok().unwrap();
    assert_eq!((&renewed.body[..], renewed.terms.age_s(later), renewed.terms.lifetime_s), (&b"body"[..], 3, 90));
    assert!(field_lines(&renewed.lines).any(|line| line == (b"X", b"2")));
    assert!(!field_lines(&renewed.lines).any(|(name, _)| name == b"Age"));
    assert!(matches!(poll(&mut waiter), Some(Landing::Page(_))));
    assert!(matches!(site.look_up_at("/", "", later), Lookup::Hit { stale: false, .. }));
}

#[test]
fn a_304_about_another_version_renews_nothing() {
    let site = Site::new();
    site.fetch("/", "", "Cache-Control: max-age=60\r\nETag: \"a\"\r\n", b"body");
    let Lookup::Validate { page, lead, .. } = site.look_up_at("/", "", NOW + 61_000) else { panic!() };
    let asked = Asked::of(b"GET", [].into_iter());
    assert!(lead.confirm(&page, &asked, b"ETag: \"b\"\r\n", NOW + 61_000).is_err());
}

/// Two ETag lines are a mistake of the origin's, and still one page: asking by the one and comparing with the other made every 304 look like
/// one about something else, so the page was fetched anew each time.
#[test]
fn an_origin_with_two_entity_tags_is_asked_and_believed_by_the_same() {
    let site = Site::new();
    let twice = "Cache-Control: max-age=60\r\nETag: \"a\"\r\nETag: \"b\"\r\n";
    site.fetch("/", "", twice, b"body");
    let later = NOW + 61_000;
    let Lookup::Validate { page, lead, .. } = site.look_up_at("/", "", later) else { panic!() };
    assert_eq!(page.conditions(), b"If-None-Match: \"b\"\r\n");
    let asked = Asked::of(b"GET", [].into_iter());
    let renewed =
        lead.confirm(&page, &asked, b"Cache-Control: max-age=90\r\nETag: \"c\"\r\nETag: \"b\"\r\n", later).ok().expect("it is confirmed");
    assert_eq!((renewed.etag(), renewed.terms.lifetime_s), (Some(&b"\"b\""[..]), 90));
}

#[test]
fn only_if_cached_and_other_methods_go_their_own_ways() {
    let site = Site::new();
    assert!(matches!(site.look_up("/", "Cache-Control: only-if-cached"), Lookup::OnlyIfCached));
    assert!(matches!(site.look_up("/", "Cache-Control: no-store"), Lookup::Pass(Bypass::RequestNoStore)));
    let head = Asked::of(b"HEAD", [].into_iter());
    let key = site.key("/");
    assert!(matches!(site.pages.look_up(&key, &head, [].into_iter(), NOW, &RouteCounters::default()), Lookup::Pass(Bypass::Method)));
    site.fetch("/", "", "Cache-Control: max-age=60\r\n", b"body");
    assert!(matches!(site.pages.look_up(&key, &head, [].into_iter(), NOW, &RouteCounters::default()), Lookup::Hit { .. }));
}

// === purging ===

#[test]
fn a_hard_purge_is_over_when_it_returns() {
    let site = Site::new();
    let tagged = "Cache-Control: max-age=60\r\nSurrogate-Key: front news\r\nCache-Tag: all\r\n";
    for (what, count) in [
        (Purge::Target("http://Example.org/news/1"), 1),
        (Purge::Target("/news/1"), 1),
        (Purge::Prefix("http://example.org/news/"), 2),
        (Purge::Prefix("/news/"), 2),
        (Purge::Tag("news"), 3),
        (Purge::Tag("all"), 3),
        (Purge::Everything, 3),
        (Purge::Tag("nothing"), 0),
        (Purge::Target("http://example.org/new"), 0),
    ] {
        for path in ["/", "/news/1", "/news/2"] {
            site.fetch(path, "", tagged, b"x");
        }
        assert_eq!(site.pages.purge(what, PurgeKind::Hard, NOW), count, "{what:?}");
        assert_eq!(site.pages.status().entries, 3 - count, "{what:?}: what is purged is freed");
        site.pages.purge(Purge::Everything, PurgeKind::Hard, NOW);
    }
}

#[test]
fn a_purge_covers_what_is_being_fetched() {
    let site = Site::new();
    let head = "Cache-Control: max-age=60\r\nSurrogate-Key: news\r\n";
    for what in [Purge::Target("http://example.org/a"), Purge::Target("/a"), Purge::Prefix("/"), Purge::Tag("news"), Purge::Everything] {
        let mut fill = site.begin("/a", "", head, None);
        fill.data(b"old");
        site.pages.purge(what, PurgeKind::Hard, NOW);
        assert_eq!(fill.finish(NOW).unwrap_err(), NotStored(Bypass::Overtaken), "{what:?}");
    }
    let fill = site.begin("/a", "", head, None);
    let _ = site.pages.invalidate(&site.key("/a"), 0);
    assert_eq!(fill.finish(NOW).unwrap_err(), NotStored(Bypass::Overtaken));
}

#[test]
fn a_soft_purge_leaves_a_page_that_may_be_served_stale() {
    for what in [Purge::Target("http://example.org/a"), Purge::Prefix("/"), Purge::Tag("news"), Purge::Everything] {
        let site = Site::new();
        site.fetch("/a", "", "Cache-Control: max-age=60, stale-while-revalidate=60\r\nCache-Tag: news\r\n", b"old");
        assert_eq!(site.pages.purge(what, PurgeKind::Soft, NOW + 1000), 1, "{what:?}");
        assert!(matches!(site.look_up_at("/a", "", NOW + 1000), Lookup::Hit { stale: true, refetch: Some(_), .. }), "{what:?}");
        assert!(matches!(site.look_up_at("/a", "", NOW + 62_000), Lookup::Validate { .. }), "{what:?}");
    }
}

#[test]
fn tags_stay_with_us() {
    let site = Site::new();
    site.fetch("/", "", "Cache-Control: max-age=60\r\nSurrogate-Key: a\r\nCache-Tag: b\r\nX: 1\r\n", b"");
    assert_eq!(&site.hit("/", "").lines[..], b"Cache-Control: max-age=60\r\nX: 1\r\n");
}

// === automatic pages ===

#[test]
fn a_page_made_of_rows_is_gone_when_they_change() {
    let freshness = Arc::new(Freshness::new());
    let site = Site { pages: Pages::new(settings(), Some(freshness.clone())) };
    let lead = site.miss("/", "");
    let (stamp, mut deps) = (freshness.stamp(), Deps::new());
    let table = Table::named("app", "ask");
    deps.add_table(table);
    let head = Head { status: 200, reason: b"OK", lines: b"Content-Type: text/html\r\n", length: None };
    let mut fill = lead.begin_automatic([].into_iter(), head, NOW).ok().unwrap();
    fill.data(b"page");
    fill.finish_automatic(Entry::new(stamp, deps), u64::MAX, NOW).unwrap();
    site.hit("/", "");
    let mut changes = Changes::new();
    changes.unknown_rows(table);
    freshness.fence(Tables::of([table])).commit(&changes);
    assert!(matches!(site.look_up("/", ""), Lookup::Miss { .. }));
}

// === replies ===

#[test]
fn replies_are_whole_partial_or_only_a_nod() {
    let site = Site::new();
    site.fetch("/", "", "Cache-Control: max-age=60\r\nETag: \"a\"\r\nContent-Type: text/plain\r\n", b"0123456789");
    let check = |request: &str, status: u16, content: Content, has: &str| {
        let page = site.hit("/", request);
        let lines = head(request);
        let asked = Asked::of(b"GET", fields(&lines));
        let mut out = Vec::new();
        let reply = page.reply(&asked, Told::Hit, NOW + 7500, &mut out);
        let out = String::from_utf8(out).unwrap();
        assert_eq!((reply.status, reply.content), (status, content), "{request}");
        assert!(out.contains("Age: 7\r\n") && out.contains("Cache-Status: pumasi; hit; ttl=53\r\n"), "{out}");
        assert!(out.contains("ETag: \"a\"\r\n") && out.contains(has), "{out}");
        assert_eq!(out.contains("Content-Type"), status != 304, "{out}");
    };
    check("", 200, Content::Body(0..10), "");
    check("Range: bytes=2-4", 206, Content::Body(2..5), "Content-Range: bytes 2-4/10\r\n");
    check("Range: bytes=20-", 416, Content::Body(0..0), "Content-Range: bytes */10\r\n");
    check("If-None-Match: \"a\"", 304, Content::None, "");
    check("If-None-Match: \"a\"\nRange: bytes=2-4", 304, Content::None, "");
}

#[test]
fn several_ranges_are_one_answer_in_parts() {
    let site = Site::new();
    site.fetch("/", "", "Cache-Control: max-age=60\r\nContent-Type: text/plain\r\n", b"0123456789");
    let lines = head("Range: bytes=0-1,5-6");
    let mut out = Vec::new();
    let reply = site.hit("/", "").reply(&Asked::of(b"GET", fields(&lines)), Told::Hit, NOW, &mut out);
    let Content::Made(content) = reply.content else { panic!("{reply:?}") };
    let (out, content) = (String::from_utf8(out).unwrap(), String::from_utf8(content.to_vec()).unwrap());
    let boundary = out.split("Content-Type: multipart/byteranges; boundary=").nth(1).unwrap().split("\r\n").next().unwrap();
    let part = |range: &str, bytes: &str| {
        format!("\r\n--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes {range}/10\r\n\r\n{bytes}")
    };
    assert_eq!((reply.status, content), (206, format!("{}{}\r\n--{boundary}--\r\n", part("0-1", "01"), part("5-6", "56"))));
    assert!(!out.contains("text/plain"), "{out}");
}

#[test]
fn a_part_answers_what_lies_within_it_and_grows_to_the_whole() {
    let site = Site::new();
    let part = |request: &str, range: &str, body: &[u8]| {
        let lines = head(request);
        let response = format!("Cache-Control: max-age=60\r\nETag: \"a\"\r\nContent-Range: bytes {range}/10\r\n");
        let answer = Head { status: 206, reason: b"Partial Content", lines: response.as_bytes(), length: Some(body.len() as u64) };
        let mut fill = site.miss("/", request).begin(&Asked::of(b"GET", fields(&lines)), fields(&lines), answer, NOW)?;
        fill.data(body);
        fill.finish(NOW)
    };
    let check = |request: &str, status: u16, body: &[u8], range: &str| {
        let lines = head(request);
        let page = site.hit("/", request);
        let mut out = Vec::new();
        let reply = page.reply(&Asked::of(b"GET", fields(&lines)), Told::Hit, NOW, &mut out);
        let Content::Body(place) = reply.content else { panic!("{reply:?}") };
        assert_eq!((reply.status, &page.body[place]), (status, body), "{request}");
        assert_eq!(String::from_utf8(out).unwrap().contains(&format!("Content-Range: bytes {range}/10\r\n")), !range.is_empty());
    };
    assert_eq!(part("Range: bytes=2-4", "2-5", b"234").err(), Some(NotStored(Bypass::Partial)), "shorter than it says");
    part("Range: bytes=2-4", "2-4", b"234").unwrap();
    check("Range: bytes=2-4", 206, b"234", "2-4");
    check("Range: bytes=3-3", 206, b"3", "3-3");
    for other in ["", "Range: bytes=4-5", "Range: bytes=-1", "Range: bytes=2-2,4-4", "Range: bytes=2-4\nIf-Range: \"x\""] {
        assert!(matches!(site.look_up("/", other), Lookup::Miss { .. }), "{other}");
    }
    part("Range: bytes=5-", "5-9", b"56789").unwrap();
    check("Range: bytes=-8", 206, b"23456789", "2-9");
    part("Range: bytes=0-1", "0-1", b"01").unwrap();
    check("", 200, b"0123456789", "");
    assert_eq!(site.pages.status().entries, 1);
}

#[test]
fn parts_of_different_versions_are_not_mixed() {
    let site = Site::new();
    for (tag, range, body) in [("\"a\"", "0-4", b"01234"), ("\"b\"", "5-9", b"56789"), ("W/\"b\"", "0-4", b"abcde")] {
        let lines = head(&format!("Range: bytes={range}"));
        let response = format!("Cache-Control: max-age=60\r\nETag: {tag}\r\nContent-Range: bytes {range}/10\r\n");
        let answer = Head { status: 206, reason: b"Partial Content", lines: response.as_bytes(), length: Some(5) };
        let Lookup::Miss { lead, .. } = site.look_up("/", &format!("Range: bytes={range}")) else { panic!("{range} is not there") };
        let mut fill =
            lead.begin(&Asked::of(b"GET", fields(&lines)), fields(&lines), answer, NOW).unwrap_or_else(|reason| panic!("{reason:?}"));
        fill.data(body);
        fill.finish(NOW).unwrap();
        assert!(matches!(site.look_up("/", ""), Lookup::Miss { .. }), "{tag}");
    }
}

#[test]
fn a_head_request_is_told_the_length() {
    let site = Site::new();
    site.fetch("/", "", "Cache-Control: max-age=60\r\n", b"0123456789");
    let told = Told::Forwarded(CacheStatus::Hit { ttl_s: 1 });
    let reply = site.hit("/", "").reply(&Asked::of(b"HEAD", [].into_iter()), told, NOW, &mut Vec::new());
    assert_eq!(reply.content, Content::Announced(10));
}

// === second forms ===

#[test]
fn each_form_is_made_once_for_the_first_who_asks() {
    let site = Site::new();
    let text = "the same again and again ".repeat(200);
    let head_lines = "Cache-Control: max-age=60\r\nContent-Type: text/html\r\nETag: \"a\"\r\nContent-MD5: x\r\n";
    site.fetch("/", "Accept-Encoding: gzip", head_lines, text.as_bytes());
    let reply = |request: &str| {
        let lines = head(request);
        let mut out = Vec::new();
        let page = site.hit("/", request);
        let reply = page.reply(&Asked::of(b"GET", fields(&lines)), Told::Hit, NOW, &mut out);
        if let Some(coding) = reply.wanted {
            site.pages.code(&site.key("/"), &page, coding);
        }
        (reply, String::from_utf8(out).unwrap())
    };
    std::thread::scope(|scope| {
        scope.spawn(|| site.pages.compress());
        let made = |coding| {
            while site.hit("/", "").encodings.form(coding).is_none() {
                std::thread::yield_now();
            }
        };
        made(Coding::Gzip); // whoever fetched it takes gzip
        let before = site.pages.status().bytes;
        assert!(site.hit("/", "").encodings.form(Coding::Brotli).is_none(), "nobody has asked for it");
        let (first, lines) = reply("Accept-Encoding: br, gzip;q=0.5");
        assert_eq!(first.wanted, Some(Coding::Brotli));
        assert!(lines.contains("Content-Encoding: gzip\r\n"), "the next best meanwhile: {lines}");
        made(Coding::Brotli);
        assert_eq!(reply("Accept-Encoding: zstd").0.wanted, Some(Coding::Zstd));
        made(Coding::Zstd);
        while site.pages.status().bytes <= before {
            std::thread::yield_now(); // its further forms count
        }
        site.pages.stop_compressing();
    });
    for (request, name, tag) in [
        ("Accept-Encoding: gzip", "gzip", "\"a;gzip\""),
        ("Accept-Encoding: gzip, br, zstd", "br", "\"a;br\""),
        ("Accept-Encoding: br;q=0.9, zstd", "zstd", "\"a;zstd\""),
    ] {
        let (coded, lines) = reply(request);
        let Content::Made(bytes) = coded.content else { panic!("{coded:?}") };
        assert_eq!(decoded(name, &bytes), text.as_bytes(), "{request}");
        for line in [&format!("Content-Encoding: {name}\r\n"), &format!("ETag: {tag}\r\n"), "Vary: Accept-Encoding\r\n"] {
            assert!(lines.contains(line), "{request}: {lines}");
        }
        assert!(!lines.contains("MD5"), "of other bytes: {lines}");
        let (had, lines) = reply(&format!("{request}\nIf-None-Match: {tag}"));
        assert_eq!((had.status, lines.contains(&format!("ETag: {tag}\r\n"))), (304, true), "{lines}");
    }
    for plain in ["", "Accept-Encoding: deflate", "Accept-Encoding: gzip\nCache-Control: no-transform"] {
        let (whole, lines) = reply(plain);
        assert_eq!(whole.content, Content::Body(0..text.len()));
        assert!(!lines.contains("Content-Encoding") && lines.contains("ETag: \"a\"\r\n") && lines.contains("Vary: Accept-Encoding\r\n"));
    }
    assert_eq!(reply("Accept-Encoding: gzip\nRange: bytes=0-1").0.content, Content::Body(0..2), "a part is cut from the plain form");
    assert_eq!(reply("Accept-Encoding: gzip\nIf-None-Match: \"a\"").0.status, 304, "its plain form still holds");
    assert_eq!(
        reply("Accept-Encoding: gzip\nRange: bytes=0-1\nIf-Range: \"a;gzip\"").0.status,
        200,
        "parts of a coded form there are none"
    );
}

#[test]
fn tags_of_forms_are_the_origins_again_on_the_way_to_it() {
    let check = |list: &str, expected: Option<&str>| {
        assert_eq!(plain_tags(list.as_bytes()).map(|plain| String::from_utf8(plain).unwrap()).as_deref(), expected, "{list}");
    };
    check("\"a;gzip\"", Some("\"a\""));
    check("\"a;br\", \"b;zstd\", W/\"c\"", Some("\"a\", \"b\", W/\"c\""));
    check("\"a-gzip\", *", None);
    check("", None);
}

#[test]
fn what_cannot_or_may_not_be_compressed_is_left_alone() {
    let check = |lines: &str, expected: bool| {
        assert_eq!(settings().compression.may_code(200, lines.as_bytes()), expected, "{lines}");
    };
    check("Content-Type: text/html; charset=utf-8\r\n", true);
    check("Content-Type: Application/Problem+JSON\r\n", true);
    check("Content-Type: image/png\r\n", false);
    check("", false);
    check("Content-Type: text/html\r\nContent-Encoding: br\r\n", false);
    check("Content-Type: text/html\r\nVary: Cookie, Accept-Encoding\r\n", false);
    check("Content-Type: text/html\r\nCache-Control: max-age=1, no-transform\r\n", false); // RFC 9110 §7.7
    assert!(!settings().compression.may_code(404, b"Content-Type: text/html\r\n"));
    let site = Site::new();
    site.fetch("/", "Accept-Encoding: gzip", "Cache-Control: max-age=60\r\nContent-Type: text/html\r\n", b"short");
    assert!(site.hit("/", "").compression.is_none());
}

// === many cores ===

/// Threads fetch, hit, purge and invalidate the same few targets. At the end nothing is left over: no flight, no loan.
#[test]
fn cores_do_not_get_in_each_others_way() {
    let site = Site::new();
    std::thread::scope(|scope| {
        for thread in 0..4_usize {
            let site = &site;
            scope.spawn(move || {
                for n in 0..3000_usize {
                    let path = format!("/{}", (n * 7 + thread) % 10);
                    match (site.look_up(&path, ""), n % 97) {
                        (_, 0) => drop(site.pages.purge(Purge::Prefix("/3"), PurgeKind::Hard, NOW)),
                        (_, 1) => drop(site.pages.invalidate(&site.key(&path), 0)),
                        (Lookup::Miss { lead, .. }, _) => {
                            let fill = site.begin_with(lead, "", "Cache-Control: max-age=60\r\n", None);
                            if let Ok(mut fill) = fill {
                                fill.data(path.as_bytes());
                                let _ = fill.finish(NOW); // overtaken by a purge, now and then
                            }
                        }
                        (Lookup::Hit { page, .. }, _) => assert_eq!(&page.body[..], path.as_bytes()),
                        _ => {}
                    }
                }
            });
        }
    });
    assert!(site.pages.shards.iter().all(|shard| lock(shard).flights.is_empty()));
    assert_eq!(site.pages.filling.load(Relaxed), 0);
}

// === how these tests speak ===

pub(crate) const NOW: u64 = 1_800_000_000_000;
const BUDGET: u64 = 16 << 20;

pub(crate) fn settings() -> Settings {
    Settings {
        budget_bytes: BUDGET,
        object_bytes_max: 100_000,
        policy: Policy::S3Fifo,
        waiters_max: 3,
        wait_max: Duration::from_secs(1),
        compression: Arc::new(Compression {
            codings: vec![Coding::Brotli, Coding::Zstd, Coding::Gzip],
            bytes_min: 1024,
            types: ["text/*", "*+json"].map(Into::into).into(),
        }),
        rules: Rules { heuristic_percent: 10, heuristic_max_s: 86_400, stale_if_error_s: 0, stale_while_revalidate_s: 0, negative_s: 0 },
        disk_bytes: 0,
    }
}

pub(crate) struct Site {
    pub pages: Arc<Pages>,
}

impl Site {
    pub fn new() -> Site {
        Site { pages: Pages::new(settings(), None) }
    }

    pub fn key(&self, path: &str) -> Key {
        self.pages.key("http", b"example.org", path.as_bytes())
    }

    pub fn look_up(&self, path: &str, request: &str) -> Lookup {
        self.look_up_at(path, request, NOW)
    }

    pub fn look_up_at(&self, path: &str, request: &str, now_ms: u64) -> Lookup {
        let lines = head(request);
        self.pages.look_up(&self.key(path), &Asked::of(b"GET", fields(&lines)), fields(&lines), now_ms, &RouteCounters::default())
    }

    pub fn hit(&self, path: &str, request: &str) -> Arc<Page> {
        match self.look_up(path, request) {
            Lookup::Hit { page, .. } => page,
            _ => panic!("{path} is not stored for {request:?}"),
        }
    }

    pub fn miss(&self, path: &str, request: &str) -> Lead {
        match self.look_up(path, request) {
            Lookup::Miss { lead, .. } => lead,
            _ => panic!("{path} is stored, or being fetched"),
        }
    }

    pub fn wait(&self, path: &str) -> Waiter {
        match self.look_up(path, "") {
            Lookup::Wait(waiter) => waiter,
            _ => panic!("{path} is not being fetched"),
        }
    }

    pub fn begin(&self, path: &str, request: &str, response: &str, length: Option<u64>) -> Fill {
        match self.begin_with(self.miss(path, request), request, response, length) {
            Ok(fill) => fill,
            Err(reason) => panic!("{path}: {reason:?}"),
        }
    }

    pub fn begin_with(&self, lead: Lead, request: &str, response: &str, length: Option<u64>) -> Result<Fill, NotStored> {
        let lines = head(request);
        let answer = Head { status: 200, reason: b"OK", lines: response.as_bytes(), length };
        lead.begin(&Asked::of(b"GET", fields(&lines)), fields(&lines), answer, NOW)
    }

    pub fn finish(&self, lead: Lead, request: &str, response: &str, body: &[u8]) {
        let mut fill = self.begin_with(lead, request, response, Some(body.len() as u64)).unwrap_or_else(|reason| panic!("{reason:?}"));
        fill.data(body);
        fill.finish(NOW).expect("stored");
    }

    pub fn fetch(&self, path: &str, request: &str, response: &str, body: &[u8]) {
        self.finish(self.miss(path, request), request, response, body);
    }
}

fn head(lines: &str) -> Vec<(String, String)> {
    lines.lines().filter_map(|line| line.split_once(": ")).map(|(n, v)| (n.to_string(), v.to_string())).collect()
}

fn fields(lines: &[(String, String)]) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
    lines.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()))
}

fn poll(waiter: &mut Waiter) -> Option<Landing> {
    match std::pin::pin!(waiter.landing()).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(landing) => Some(landing),
        Poll::Pending => None,
    }
}

fn begun(waiter: &mut Waiter) -> Stream {
    match poll(waiter) {
        Some(Landing::Begun(stream)) => stream,
        other => panic!("{other:?}"),
    }
}

/// What is there: bytes as text, `...` for nothing yet, or how it ended.
fn read(stream: &mut Stream) -> String {
    let mut text = String::new();
    match stream.poll_read(&mut Context::from_waker(Waker::noop()), usize::MAX, |data| text.push_str(std::str::from_utf8(data).unwrap())) {
        Poll::Ready(Read::Data(_)) => text,
        Poll::Ready(Read::Rest(rest)) => String::from_utf8(rest.to_vec()).unwrap(),
        Poll::Ready(Read::End) => "END".into(),
        Poll::Ready(Read::Broken) => "BROKEN".into(),
        Poll::Pending => "...".into(),
    }
}

fn decoded(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match coding {
        "gzip" => drop(std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(bytes), &mut plain)),
        "br" => brotli::BrotliDecompress(&mut &bytes[..], &mut plain).unwrap(),
        _ => plain = zstd::stream::decode_all(bytes).unwrap(),
    }
    plain
}
