//! The shelf on a disk that tears, fills up, forgets and flips bits. Whatever the disk does, a page that is served is one that was stored, whole.
use std::{cell::RefCell, collections::BTreeMap, task::Waker};

use super::*;
use crate::{Content, Head, Lookup, Purge, PurgeKind, Told, tests::*};
use pumasi_httpcache::Asked;

// === surviving ===

#[test]
fn pages_are_there_after_a_restart() {
    let disk = Memory::default();
    let site = Kept::on(&disk);
    site.fetch("/a", "", "Cache-Control: max-age=60\r\nETag: \"1\"\r\nX-Word: kept\r\n", b"one");
    let vary = "Cache-Control: max-age=60\r\nVary: Accept-Language\r\n";
    site.fetch("/b", "Accept-Language: ko", vary, b"annyeong");
    site.fetch("/b", "Accept-Language: en", vary, b"hello");
    let site = site.restart();
    assert_eq!(site.pages.shelf_status().unwrap().entries, 3);
    assert!(matches!(site.look_up("/a", ""), Lookup::Miss { .. }), "not in memory");
    for (path, request, body) in
        [("/a", "", &b"one"[..]), ("/b", "Accept-Language: ko", b"annyeong"), ("/b", "Accept-Language: en", b"hello")]
    {
        assert_eq!(site.body(path, request).as_deref(), Some(body), "{path} {request}");
    }
    let page = site.hit("/a", "");
    assert_eq!((page.status, page.etag()), (200, Some(&b"\"1\""[..])));
    let mut lines = Vec::new();
    let reply = page.reply(&Asked::of(b"GET", [].into_iter()), Told::Hit, NOW + 5000, &mut lines);
    let lines = String::from_utf8(lines).unwrap();
    assert_eq!(reply.content, Content::Body(0..3));
    assert!(lines.contains("X-Word: kept\r\n") && lines.contains("Age: 5\r\n"), "{lines}");
    assert_eq!(site.pages.shelf_status().unwrap().hits, 3);
}

#[test]
fn what_memory_had_no_room_for_comes_back_from_disk() {
    let disk = Memory::default();
    let site = Kept::with(&disk, 4 << 20);
    let body = |n: usize| format!("{n} ").repeat(2500);
    for n in 0..600 {
        site.fetch(&format!("/{n}"), "", "Cache-Control: max-age=60\r\n", body(n).as_bytes());
    }
    assert!(matches!(site.look_up("/0", ""), Lookup::Miss { .. }), "memory is full");
    assert!(site.body("/0", "") == Some(body(0).into_bytes()));
}

#[test]
fn only_what_headers_allow_and_what_lasts_lies_on_disk() {
    let disk = Memory::default();
    let site = Kept::following(&disk, 16 << 20, Some(Arc::default()));
    let lead = site.miss("/automatic", "");
    let head = Head { status: 200, reason: b"OK", lines: b"ETag: \"1\"\r\n", length: Some(1) };
    let mut fill = lead.begin_automatic([].into_iter(), head, NOW).unwrap_or_else(|reason| panic!("{reason:?}"));
    fill.data(b"x");
    let entry = pumasi_freshness::Entry::new(site.pages.freshness().unwrap().stamp(), pumasi_freshness::Deps::default());
    let _ = fill.finish_automatic(entry, NOW, NOW);
    site.fetch("/short", "", "Cache-Control: max-age=2\r\n", b"x");
    site.settle();
    assert_eq!(site.pages.shelf_status().unwrap().entries, 0);
    site.fetch("/long", "", "Cache-Control: max-age=20\r\n", b"x");
    site.fetch("/validated", "", "Cache-Control: no-cache\r\nETag: \"1\"\r\n", b"x");
    assert_eq!(site.pages.shelf_status().unwrap().entries, 2);
}

#[test]
fn purges_and_invalidations_outlive_a_restart() {
    let purges = [
        Some((Purge::Target("http://example.org/dir/a"), PurgeKind::Hard)),
        Some((Purge::Target("/dir/a"), PurgeKind::Hard)),
        Some((Purge::Prefix("/dir/"), PurgeKind::Hard)),
        Some((Purge::Prefix("http://example.org/dir/"), PurgeKind::Soft)),
        Some((Purge::Tag("cats"), PurgeKind::Hard)),
        Some((Purge::Everything, PurgeKind::Hard)),
        Some((Purge::Target("http://example.org/dir/a"), PurgeKind::Soft)),
        Some((Purge::Tag("cats"), PurgeKind::Soft)),
        None,
    ];
    for purge in purges {
        let disk = Memory::default();
        let site = Kept::on(&disk);
        let lines = "Cache-Control: max-age=60\r\nSurrogate-Key: dogs cats\r\n";
        site.fetch("/dir/a", "", lines, b"old");
        site.fetch("/other", "", "Cache-Control: max-age=60\r\n", b"other");
        match purge {
            Some((what, kind)) => site.purge(what, kind),
            None => drop(site.pages.invalidate(&site.key("/dir/a"), 0)),
        }
        site.settle();
        let fresh = |site: &Kept<'_>| matches!(site.after_disk("/dir/a", ""), Lookup::Hit { stale: false, .. });
        assert!(!fresh(&site), "{purge:?}");
        let site = site.restart();
        assert!(!fresh(&site), "{purge:?} after a restart");
        if !matches!(purge, Some((Purge::Everything, _))) {
            assert_eq!(site.body("/other", "").as_deref(), Some(&b"other"[..]), "{purge:?}");
        }
        // What is fetched after it is a page like any other.
        if let Lookup::Miss { lead, .. } = site.look_up("/dir/a", "") {
            site.finish(lead, "", lines, b"new");
            assert_eq!(site.restart().body("/dir/a", "").as_deref(), Some(&b"new"[..]), "{purge:?}");
        }
    }
}

#[test]
fn a_page_that_was_purged_before_it_was_written_is_not_written() {
    let disk = Memory::default();
    let site = Kept::on(&disk);
    site.fetch_unsettled("/a", "", "Cache-Control: max-age=60\r\n", b"old");
    let ticket = site.pages.invalidate(&site.key("/a"), 0);
    assert!(ticket.is_some());
    let mut context = Context::from_waker(Waker::noop());
    assert!(site.pages.poll_durable(ticket.unwrap(), &mut context).is_pending());
    site.settle();
    assert!(site.pages.poll_durable(ticket.unwrap(), &mut context).is_ready());
    assert_eq!(site.restart().body("/a", ""), None);
}

#[test]
fn a_newer_version_is_the_one_that_comes_back() {
    let disk = Memory::default();
    let site = Kept::on(&disk);
    let lead = site.miss("/a", "");
    site.finish(lead, "", "Cache-Control: max-age=60\r\n", b"v1");
    let lead = site.pages.lead(&site.key("/a"), NOW);
    site.finish(lead, "", "Cache-Control: max-age=60\r\n", b"v2");
    assert_eq!(site.pages.shelf_status().unwrap().entries, 1);
    assert_eq!(site.restart().body("/a", "").as_deref(), Some(&b"v2"[..]));
}

/// Once it was 64 purges by pattern, whatever they named, after which every page that was only on disk was forgotten.
#[test]
fn purges_that_do_not_name_a_page_leave_it_on_disk() {
    let disk = Memory::default();
    let site = Kept::on(&disk);
    for path in ["/kept/a", "/gone/b", "/gone/c"] {
        site.fetch(path, "", "Cache-Control: max-age=60\r\nCache-Tag: all\r\n", path.as_bytes());
    }
    let site = site.restart();
    site.purge(Purge::Prefix("/gone/b"), PurgeKind::Hard);
    for n in 0..500 {
        let (prefix, host) = (format!("/elsewhere/{n}"), format!("http://other.example/{n}/"));
        site.purge(Purge::Prefix(if n % 2 == 0 { &prefix } else { &host }), PurgeKind::Hard);
        site.purge(Purge::Target("http://example.org/x"), PurgeKind::Hard);
        if n == 300 {
            site.purge(Purge::Target("/gone/c"), PurgeKind::Hard);
        }
    }
    assert!(site.pages.shelf_status().unwrap().entries < 3, "what patterns named has left the index");
    for (path, there) in [("/kept/a", true), ("/gone/b", false), ("/gone/c", false)] {
        assert_eq!(site.body(path, "").is_some(), there, "{path}");
    }
    // A tag is no pattern, and counts all the same.
    let site = site.restart();
    (0..100).for_each(|n| site.purge(Purge::Prefix(&format!("/else/{n}")), PurgeKind::Hard));
    site.purge(Purge::Tag("all"), PurgeKind::Hard);
    (0..100).for_each(|n| site.purge(Purge::Prefix(&format!("/else/{n}")), PurgeKind::Hard));
    assert_eq!(site.body("/kept/a", ""), None);
}

// === a disk in trouble ===

/// The disk hangs while a change is made, so that the purge is nowhere but in memory; the change is confirmed, and the program killed.
#[test]
fn what_was_confirmed_without_the_disk_is_not_undone_by_a_crash() {
    let disk = Memory::default();
    let site = Kept::on(&disk);
    for path in ["/a", "/b"] {
        site.fetch(path, "", "Cache-Control: max-age=60\r\n", b"old");
    }
    let ticket = site.pages.invalidate(&site.key("/a"), 0).expect("it is on disk");
    assert_eq!(disk.notary.says(), Vouched::For);
    assert!(site.pages.may_confirm(ticket));
    assert_eq!(disk.notary.says(), Vouched::Withdrawn);
    let crashed = Memory { notary: Arc::new(Notary(Mutex::new(disk.notary.says()))), ..disk.clone() };
    let after = Kept::on(&crashed);
    assert_eq!((after.body("/a", ""), after.body("/b", "")), (None, None), "nothing there is believed");
    // The disk comes back: so does the trust in it.
    site.settle();
    assert_eq!(disk.notary.says(), Vouched::For);
    assert!(site.pages.may_confirm(ticket), "it is written");
    let crashed = Memory { notary: Arc::new(Notary(Mutex::new(disk.notary.says()))), ..disk.clone() };
    let after = Kept::on(&crashed);
    assert_eq!((after.body("/a", ""), after.body("/b", "").as_deref()), (None, Some(&b"old"[..])));
    // The end as it should be.
    site.pages.close_shelf();
    site.pages.keep_shelf(&disk);
    assert_eq!(disk.notary.says(), Vouched::Closed);
}

/// During an upgrade the new process answers before it has the files: a change that it confirmed was in no journal, and the page from before came back
/// when it was killed then.
#[test]
fn what_is_confirmed_while_another_process_has_the_disk_is_not_undone_by_a_crash() {
    let disk = Memory::default();
    let old = Kept::on(&disk);
    old.fetch("/a", "", "Cache-Control: max-age=60\r\n", b"old");
    old.pages.close_shelf();
    old.pages.keep_shelf(&disk);
    let new = Site { pages: Pages::new(crate::Settings { disk_bytes: DISK, ..settings() }, None) };
    new.pages.await_shelf();
    let ticket = new.pages.invalidate(&new.key("/a"), NOW).expect("it may be on disk");
    let mut context = Context::from_waker(Waker::noop());
    assert!(new.pages.poll_durable(ticket, &mut context).is_pending() && !new.pages.may_confirm(ticket));
    new.pages.give_up_purged(&*disk.notary);
    assert!(new.pages.poll_durable(ticket, &mut context).is_ready());
    let crashed = Memory { notary: Arc::new(Notary(Mutex::new(disk.notary.says()))), ..disk.clone() };
    assert_eq!(Kept::on(&crashed).body("/a", ""), None, "killed now");
    // One that comes between the last look and the files goes to the journal.
    let ticket = new.pages.invalidate(&new.key("/b"), NOW).expect("it may be on disk");
    new.pages.attach_shelf(&disk, disk.notary.clone()).expect("readable");
    let new = Kept { site: new, disk: &disk };
    assert!(new.pages.poll_durable(ticket, &mut context).is_pending());
    new.settle();
    assert!(new.pages.poll_durable(ticket, &mut context).is_ready());
    assert_eq!(new.restart().body("/a", ""), None);
}

/// Kill -9, and worse: each file is cut off at any of its bytes.
#[test]
fn whatever_is_torn_off_costs_no_more_than_pages() {
    let disk = Memory::default();
    let site = Kept::on(&disk);
    let names = ["/0", "/1", "/2"];
    for name in names {
        site.fetch(name, "", "Cache-Control: max-age=60\r\nCache-Tag: t\r\n", name.repeat(20).as_bytes());
    }
    drop(site);
    let lengths: Vec<_> = disk.files.borrow().iter().map(|(name, bytes)| (*name, bytes.len())).collect();
    for (name, length) in lengths {
        for cut in 0..length {
            let torn = disk.clone();
            torn.files.borrow_mut().get_mut(&name).unwrap().truncate(cut);
            all_right(&Kept::with(&torn, 1 << 20), &names);
        }
    }
}

#[test]
fn a_flipped_bit_costs_the_page_it_is_in() {
    let disk = Memory::default();
    let site = Kept::on(&disk);
    let names = ["/0", "/1", "/2"];
    for name in names {
        site.fetch(name, "", "Cache-Control: max-age=60\r\n", name.repeat(20).as_bytes());
    }
    drop(site);
    let lengths: Vec<_> = disk.files.borrow().iter().map(|(name, bytes)| (*name, bytes.len())).collect();
    let mut corrupt = 0;
    for (name, length) in lengths {
        for at in 0..length {
            let flipped = disk.clone();
            flipped.files.borrow_mut().get_mut(&name).unwrap()[at] ^= 1 << (at % 8);
            let site = Kept::with(&flipped, 1 << 20);
            let served = all_right(&site, &names);
            if name.1 == 0 {
                assert_eq!(served, 2, "one page of the data file is damaged, at {at}");
            }
            corrupt += site.pages.shelf_status().unwrap().corrupt;
        }
    }
    assert!(corrupt > 0);
}

/// The n-th write fails, for every n: half of it is there, or the disk is full, or the directory is gone.
#[test]
fn the_store_goes_on_whichever_write_fails() {
    for kind in [io::ErrorKind::StorageFull, io::ErrorKind::NotFound, io::ErrorKind::Other] {
        for n in 0..30 {
            let disk = Memory::default();
            disk.fail_in.set(Some((n, kind)));
            let site = Kept::on(&disk);
            let names: Vec<String> = (0..12).map(|n| format!("/{n}")).collect();
            for name in &names {
                site.fetch(name, "", "Cache-Control: max-age=60\r\n", name.repeat(20).as_bytes());
                assert_eq!(site.body(name, ""), Some(name.repeat(20).into_bytes()), "memory has it whatever the disk does");
            }
            site.purge(Purge::Target("http://example.org/3"), PurgeKind::Hard);
            site.settle();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let site = site.restart();
            all_right(&site, &names);
            assert_eq!(site.body("/3", ""), None, "{kind:?} at {n}: what was purged stays purged");
        }
    }
}

#[test]
fn a_purge_that_cannot_be_written_empties_the_shelf() {
    let disk = Memory::default();
    let site = Kept::on(&disk);
    site.fetch("/a", "", "Cache-Control: max-age=60\r\n", b"a");
    disk.fail_in.set(Some((0, io::ErrorKind::StorageFull)));
    site.purge(Purge::Tag("whatever"), PurgeKind::Hard);
    site.settle();
    assert_eq!((site.pages.shelf_status().unwrap().entries, disk.files.borrow().len()), (0, 0));
}

#[test]
fn a_disk_that_fails_is_left_alone_for_a_while_and_then_used_again() {
    let disk = Memory::default();
    let site = Kept::on(&disk);
    disk.full.set(true);
    for n in 0..100 {
        site.fetch(&format!("/{n}"), "", "Cache-Control: max-age=60\r\n", b"x");
    }
    let errors = site.pages.shelf_status().unwrap().errors;
    assert!((1..10).contains(&errors), "{errors} tries for 100 pages");
    disk.full.set(false);
    for n in 100..400 {
        site.fetch(&format!("/{n}"), "", "Cache-Control: max-age=60\r\n", b"x");
    }
    assert!(site.pages.shelf_status().unwrap().entries > 100);
}

// === bounds ===

#[test]
fn the_files_stay_within_the_budget_and_the_oldest_go() {
    let disk = Memory::default();
    let site = Kept::on(&disk);
    for n in 0..400 {
        site.fetch(&format!("/{n}"), "", "Cache-Control: max-age=60\r\n", &vec![b'x'; 1000 + n * 977 % 90_000]);
        let used: usize = disk.files.borrow().values().map(Vec::len).sum();
        assert!(used as u64 <= DISK, "{used} bytes");
        assert_eq!(site.pages.shelf_status().unwrap().bytes, used as u64);
    }
    let site = site.restart();
    let entries = site.pages.shelf_status().unwrap().entries;
    assert!(entries > 50 && entries < 400, "{entries}");
    assert!(site.body("/399", "").is_some() && site.body("/0", "").is_none());
}

#[test]
fn the_index_stays_within_its_bound() {
    let shelf = Shelf::new(1 << 40, 1 << 30);
    assert!(shelf.memory_bytes() <= (1 << 30) / 8, "{}", shelf.memory_bytes());
    let state = State::new(shelf.entries_max);
    assert!(state.index.allocation_size() as u64 <= shelf.memory_bytes(), "{} > {}", state.index.allocation_size(), shelf.memory_bytes());
    let disk = Memory::default();
    let site = Kept::with(&disk, 1 << 20); // a sixteenth of a MiB of places
    for n in 0..5000 {
        site.fetch(&format!("/{n}"), "", "Cache-Control: max-age=60\r\n", b"x");
    }
    let shelf = site.pages.shelf.as_ref().unwrap();
    let entries = site.pages.shelf_status().unwrap().entries;
    assert!(entries > 0 && entries <= shelf.entries_max as u64, "{entries}");
}

#[test]
fn files_of_another_version_are_not_guessed_at() {
    let disk = Memory::default();
    disk.files.borrow_mut().insert((7, 1), b"pumasi pages 9\r\n and more".to_vec());
    disk.files.borrow_mut().insert((7, 0), b"whatever".to_vec());
    let site = Kept::on(&disk);
    assert_eq!(site.pages.shelf_status().unwrap().entries, 0);
    assert!(disk.files.borrow().is_empty());
}

// === how these tests speak ===

const DISK: u64 = 8 << 20;

/// A store in memory and on `disk`.
struct Kept<'d> {
    site: Site,
    disk: &'d Memory,
}

impl std::ops::Deref for Kept<'_> {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}

impl<'d> Kept<'d> {
    fn on(disk: &'d Memory) -> Kept<'d> {
        Kept::with(disk, settings().budget_bytes)
    }

    fn with(disk: &'d Memory, budget_bytes: u64) -> Kept<'d> {
        Kept::following(disk, budget_bytes, None)
    }

    fn following(disk: &'d Memory, budget_bytes: u64, freshness: Option<Arc<pumasi_freshness::Freshness>>) -> Kept<'d> {
        let pages = Pages::new(crate::Settings { budget_bytes, disk_bytes: DISK, ..settings() }, freshness);
        pages.attach_shelf(disk, disk.notary.clone()).expect("readable");
        Kept { site: Site { pages }, disk }
    }

    fn restart(self) -> Kept<'d> {
        self.settle();
        Kept::on(self.disk)
    }

    fn settle(&self) {
        let shelf = self.pages.shelf.as_ref().unwrap();
        shelf.do_jobs(self.disk, &self.pages.keys, &self.pages.marks, &|key, page| self.pages.purged_since(key, page));
    }

    fn fetch(&self, path: &str, request: &str, response: &str, body: &[u8]) {
        self.fetch_unsettled(path, request, response, body);
        self.settle();
    }

    fn fetch_unsettled(&self, path: &str, request: &str, response: &str, body: &[u8]) {
        self.site.fetch(path, request, response, body);
    }

    fn finish(&self, lead: crate::Lead, request: &str, response: &str, body: &[u8]) {
        self.site.finish(lead, request, response, body);
        self.settle();
    }

    fn purge(&self, what: Purge<'_>, kind: PurgeKind) {
        std::thread::scope(|scope| {
            let pages = &self.pages;
            let purging = scope.spawn(move || pages.purge(what, kind, NOW + 1));
            while !purging.is_finished() {
                self.settle();
                std::thread::yield_now();
            }
        });
    }

    /// What a request finds after the disk was asked.
    fn after_disk(&self, path: &str, request: &str) -> Lookup {
        if self.pages.shelved(&self.key(path)) {
            self.pages.take_down(&self.key(path), self.disk);
        }
        self.look_up(path, request)
    }

    fn body(&self, path: &str, request: &str) -> Option<Vec<u8>> {
        match self.after_disk(path, request) {
            Lookup::Hit { page, .. } => Some(page.body.to_vec()),
            _ => None,
        }
    }
}

/// Every page is there as it was stored, or not at all. Returns how many are.
fn all_right(site: &Kept<'_>, names: &[&str]) -> usize {
    let bodies = names.iter().filter_map(|name| Some((name, site.body(name, "")?)));
    bodies.inspect(|(name, body)| assert_eq!(*body, name.repeat(20).into_bytes())).count()
}

/// Files in memory, by segment and kind (0 is data).
#[derive(Default)]
struct Memory {
    files: RefCell<BTreeMap<(u64, u8), Vec<u8>>>,
    /// After so many writes, one fails so.
    fail_in: std::cell::Cell<Option<(usize, io::ErrorKind)>>,
    full: std::cell::Cell<bool>,
    notary: Arc<Notary>,
}

impl Clone for Memory {
    fn clone(&self) -> Memory {
        Memory { files: self.files.clone(), ..Memory::default() }
    }
}

/// What a witness says, as it would outlive the process.
struct Notary(Mutex<Vouched>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Vouched {
    For,
    Withdrawn,
    Closed,
}

impl Default for Notary {
    fn default() -> Notary {
        Notary(Mutex::new(Vouched::Closed))
    }
}

impl Notary {
    fn says(&self) -> Vouched {
        *lock(&self.0)
    }

    fn note(&self, vouched: Vouched) -> io::Result<()> {
        *lock(&self.0) = vouched;
        Ok(())
    }
}

impl Witness for Notary {
    fn believed(&self) -> bool {
        self.says() != Vouched::Withdrawn
    }

    fn begin(&self) -> io::Result<()> {
        self.note(Vouched::For)
    }

    fn vouch(&self) -> io::Result<()> {
        self.note(Vouched::For)
    }

    fn withdraw(&self) -> io::Result<()> {
        self.note(Vouched::Withdrawn)
    }

    fn close(&self) -> io::Result<()> {
        self.note(Vouched::Closed)
    }

    fn disown(&self) -> io::Result<()> {
        self.note(Vouched::Withdrawn)
    }
}

impl Memory {
    fn name(segment: u64, file: File) -> (u64, u8) {
        (segment, u8::from(file == File::Journal))
    }

    fn try_write(&self) -> io::Result<()> {
        if self.full.get() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        match self.fail_in.get() {
            Some((0, kind)) => {
                self.fail_in.set(None);
                Err(kind.into())
            }
            Some((n, kind)) => {
                self.fail_in.set(Some((n - 1, kind)));
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Disk for Memory {
    fn segments(&self) -> io::Result<Vec<u64>> {
        let mut numbers: Vec<u64> = self.files.borrow().keys().map(|(segment, _)| *segment).collect();
        numbers.dedup();
        Ok(numbers)
    }

    fn create(&self, segment: u64) -> io::Result<()> {
        self.try_write()?;
        for file in [File::Data, File::Journal] {
            assert!(
                self.files.borrow_mut().insert(Memory::name(segment, file), Vec::new()).is_none(),
                "segment {segment} is there already"
            );
        }
        Ok(())
    }

    fn append(&self, segment: u64, file: File, bytes: &[u8]) -> io::Result<()> {
        let tried = self.try_write();
        let mut files = self.files.borrow_mut();
        let content = files.get_mut(&Memory::name(segment, file)).ok_or(io::ErrorKind::NotFound)?;
        content.extend_from_slice(if tried.is_ok() { bytes } else { &bytes[..bytes.len() / 2] });
        tried
    }

    fn length(&self, segment: u64, file: File) -> io::Result<u64> {
        Ok(self.files.borrow().get(&Memory::name(segment, file)).ok_or(io::ErrorKind::NotFound)?.len() as u64)
    }

    fn read(&self, segment: u64, file: File, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let files = self.files.borrow();
        let content = files.get(&Memory::name(segment, file)).ok_or(io::ErrorKind::NotFound)?;
        let there = content.get(offset as usize..offset as usize + buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(there);
        Ok(())
    }

    fn remove(&self, segment: u64) -> io::Result<()> {
        self.files.borrow_mut().retain(|(other, _), _| *other != segment);
        Ok(())
    }
}
