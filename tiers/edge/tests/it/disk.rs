//! The disk tier on real files. What it does on a disk that tears and fails at every byte and write is tested in `pumasi_pagestore`.
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use pumasi_config::{DiskPlan, PagesMode};
use pumasi_edge::{Edge, Purge, PurgeKind};

use crate::harness::*;

#[test]
fn pages_survive_a_restart_and_a_purge_does_too() {
    let site = Site::new();
    let edge = site.edge(|_| {});
    for path in ["/a", "/b", "/c"] {
        assert_eq!(ask(&edge, path).content, format!("GET {path} 1"));
    }
    written(&edge, 3);
    edge.purge(Purge::Target("/b"), PurgeKind::Hard);
    let mut client = Peer::connect(edge.addresses()[0]);
    client.write("POST /c HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.read_answer().status, 200);
    drop(edge);

    let edge = site.edge(|_| {});
    let kept = ask(&edge, "/a");
    assert_eq!((kept.content.as_str(), kept.field("cache-status").unwrap().starts_with("pumasi; hit; ttl=")), ("GET /a 1", true));
    assert_eq!((ask(&edge, "/b").content, ask(&edge, "/c").content), ("GET /b 2".into(), "GET /c 3".into()));
    let disk = edge.status().pages_disk.unwrap();
    assert_eq!((disk.hits, disk.errors, disk.corrupt), (1, 0, 0));
}

#[test]
fn head_and_only_if_cached_are_answered_from_disk() {
    let site = Site::new();
    let edge = site.edge(|_| {});
    ask(&edge, "/a");
    ask(&edge, "/b");
    written(&edge, 2);
    drop(edge);
    let edge = site.edge(|_| {});
    let mut client = Peer::connect(edge.addresses()[0]);
    client.write("HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(field(&client.read_head().unwrap(), "content-length").as_deref(), Some("8"));
    client.write("GET /b HTTP/1.1\r\nHost: a\r\nCache-Control: only-if-cached\r\n\r\n");
    assert_eq!(client.read_answer().content, "GET /b 1");
    assert_eq!(site.asked(), 2);
}

#[test]
fn a_directory_that_vanishes_costs_hits_only() {
    let site = Site::new();
    let edge = site.edge(|_| {});
    ask(&edge, "/a");
    written(&edge, 1);
    std::fs::remove_dir_all(site.directory()).unwrap();
    for n in 0..50 {
        assert_eq!(ask(&edge, &format!("/later-{n}")).status, 200);
    }
    assert_eq!(ask(&edge, "/a").content, "GET /a 1");
    drop(edge);
    let edge = site.edge(|_| {});
    assert_eq!(ask(&edge, "/a").status, 200);
    written(&edge, 1);
}

#[test]
fn damaged_files_cost_hits_only() {
    let site = Site::new();
    let edge = site.edge(|_| {});
    for n in 0..20 {
        ask(&edge, &format!("/{n}"));
    }
    written(&edge, 20);
    drop(edge);
    for file in std::fs::read_dir(site.directory()).unwrap().flatten() {
        let mut bytes = std::fs::read(file.path()).unwrap();
        if file.path().extension().is_some_and(|extension| extension == "data") {
            bytes.iter_mut().step_by(97).for_each(|byte| *byte ^= 4);
            std::fs::write(file.path(), bytes).unwrap();
        }
    }
    let edge = site.edge(|_| {});
    for n in 0..20 {
        let content = ask(&edge, &format!("/{n}")).content;
        assert!(content.starts_with(&format!("GET /{n} ")), "{content}");
    }
    assert!(edge.status().pages_disk.unwrap().corrupt > 0);
}

#[test]
fn a_directory_that_cannot_be_used_is_no_reason_not_to_start() {
    let site = Site::new();
    std::fs::write(site.directory(), b"a file stands in the way").unwrap();
    let edge = site.edge(|_| {});
    assert_eq!((ask(&edge, "/a").content, ask(&edge, "/a").content), ("GET /a 1".into(), "GET /a 1".into()));
}

/// As `pumasi upgrade` does it: the new one is up before the old one has left.
#[test]
fn a_second_process_takes_the_directory_over_when_the_first_lets_go() {
    let site = Site::new();
    let old = site.edge(|_| {});
    ask(&old, "/a");
    written(&old, 1);
    let new = site.edge(|_| {});
    assert_eq!(new.status().pages_disk.unwrap().entries, 0);
    drop(old);
    wait_until("it has the directory", || new.status().pages_disk.unwrap().entries == 1);
    assert_eq!(ask(&new, "/a").content, "GET /a 1");
}

#[test]
fn pages_that_memory_cannot_hold_are_read_from_disk() {
    let site = Site::new();
    let edge = site.edge(|setup| setup.plan.pages.memory_bytes = 1 << 20);
    let large = |n: usize| format!("/large-{n}");
    for n in 0..60 {
        ask(&edge, &large(n));
        wait_until("it is written", || edge.status().pages_disk.unwrap().entries == n as u64 + 1);
    }
    let asked = site.asked();
    for n in 0..60 {
        assert!(ask(&edge, &large(n)).content.starts_with(&format!("GET /large-{n} ")));
    }
    assert_eq!(site.asked(), asked);
    assert!(edge.status().pages_disk.unwrap().hits > 10);
}

// === how these tests speak ===

/// An origin and a directory that outlive the edges in front of them.
struct Site {
    origin: Origin,
    asked: Arc<AtomicUsize>,
    home: tempfile::TempDir,
}

impl Site {
    /// Answers with method, path and how many requests it has seen; 50 KB of it under `/large`.
    fn new() -> Site {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        let seen: std::sync::Mutex<std::collections::HashMap<String, usize>> = std::sync::Mutex::default();
        let origin = Origin::start(move |mut peer| {
            while let Some(head) = peer.read_head() {
                counted.fetch_add(1, Ordering::SeqCst);
                let mut words = head.split(' ');
                let (method, path) = (words.next().unwrap(), words.next().unwrap());
                let number = {
                    let mut seen = seen.lock().unwrap();
                    let number = seen.entry(path.to_owned()).or_default();
                    *number += 1;
                    *number
                };
                let filler = if path.starts_with("/large") { "x".repeat(50_000) } else { String::new() };
                let content = format!("{method} {path} {number}{filler}");
                peer.write(format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: {}\r\n\r\n{content}", content.len()));
            }
        });
        Site { origin, asked, home: tempfile::tempdir().unwrap() }
    }

    fn directory(&self) -> impl AsRef<Path> + use<> {
        self.home.path().join("pages")
    }

    fn edge(&self, configure: impl Fn(&mut Setup)) -> Edge {
        let mut setup = setup(&[self.origin.address]);
        setup.plan.routes[0].pages = PagesMode::Standard;
        setup.plan.pages.memory_bytes = 16 << 20;
        setup.plan.pages.disk = Some(DiskPlan { directory: self.directory().as_ref().to_owned(), bytes: 16 << 20 });
        configure(&mut setup);
        setup.start()
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn ask(edge: &Edge, path: &str) -> Answer {
    let mut client = Peer::connect(edge.addresses()[0]);
    client.write(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
    client.read_answer()
}

fn written(edge: &Edge, entries: u64) {
    wait_until("pages are on disk", || edge.status().pages_disk.unwrap().entries >= entries);
}
