//! A store whose process is being replaced.
use std::{
    sync::{Arc, mpsc},
    task::Waker,
};

use pumasi_httpcache::Bypass;

use super::*;
use crate::{Lookup, Purge, PurgeKind, tests::*};

/// The process that takes over, in the same one; and what it says when it is asked to die.
struct Heir {
    pages: Arc<Pages>,
    alive: AtomicBool,
}

impl Successor for Heir {
    fn tell(&self, what: &Purged) -> io::Result<()> {
        let (word, text, at_ms) = what.told();
        match self.alive.load(Ordering::Relaxed) {
            true => self.pages.learn(&Purged::heard(word, text, at_ms).expect("known"), at_ms),
            false => return Err(io::ErrorKind::BrokenPipe.into()),
        }
        Ok(())
    }
}

/// Runs `with` between the old store and the new one; the old one passes on what it purges meanwhile.
fn hand_over(with: impl FnOnce(&Site, &Site, &Heir)) {
    let (old, new) = (Site::new(), Site::new());
    let heir = Heir { pages: new.pages.clone(), alive: true.into() };
    old.pages.hand_over();
    std::thread::scope(|scope| {
        scope.spawn(|| old.pages.pass_on(&heir));
        with(&old, &new, &heir);
        old.pages.stop_passing_on();
    });
}

const FOR_A_MINUTE: &str = "Cache-Control: max-age=60\r\nCache-Tag: news\r\n";

#[test]
fn who_handed_over_neither_stores_nor_answers_from_its_store() {
    let site = Site::new();
    site.fetch("/a", "", FOR_A_MINUTE, b"old");
    assert!(matches!(site.look_up("/a", ""), Lookup::Hit { .. }));
    site.pages.hand_over();
    assert!(matches!(site.look_up("/a", ""), Lookup::Pass(Bypass::HandedOver)));
    assert!(matches!(site.look_up("/b", ""), Lookup::Pass(Bypass::HandedOver)));
    assert!(matches!(site.look_up("/a", "Cache-Control: only-if-cached"), Lookup::OnlyIfCached));
}

#[test]
fn what_is_purged_after_a_hand_over_is_purged_where_it_is_kept() {
    let everything = [
        Purge::Target("http://example.org/a"),
        Purge::Target("/a"),
        Purge::Prefix("http://example.org/"),
        Purge::Prefix("/a"),
        Purge::Tag("news"),
        Purge::Everything,
    ];
    hand_over(|old, new, _| {
        for what in everything {
            new.fetch("/a", "", FOR_A_MINUTE, b"old");
            old.pages.purge(what, PurgeKind::Hard, NOW);
            assert!(matches!(new.look_up("/a", ""), Lookup::Miss { .. }), "{what:?} has returned");
        }
        new.fetch("/a", "", FOR_A_MINUTE, b"old");
        let ticket = old.pages.invalidate(&old.key("/a"), NOW).expect("somebody is to be told");
        let mut context = Context::from_waker(Waker::noop());
        while old.pages.poll_durable(ticket, &mut context).is_pending() {
            std::thread::yield_now();
        }
        assert!(old.pages.may_confirm(ticket));
        assert!(matches!(new.look_up("/a", ""), Lookup::Miss { .. }));
    });
}

#[test]
fn a_change_waits_for_a_successor_that_is_slow_and_not_for_one_that_is_gone() {
    let old = Site::new();
    old.pages.hand_over();
    let ticket = old.pages.invalidate(&old.key("/a"), NOW).expect("somebody is to be told");
    let mut context = Context::from_waker(Waker::noop());
    assert!(old.pages.poll_durable(ticket, &mut context).is_pending());
    assert!(!old.pages.may_confirm(ticket), "it answers from its store: it has to know");
    let gone = Heir { pages: Site::new().pages, alive: false.into() };
    old.pages.pass_on(&gone);
    assert!(old.pages.poll_durable(ticket, &mut context).is_ready() && old.pages.may_confirm(ticket));
    assert_eq!(old.pages.invalidate(&old.key("/a"), NOW), None, "nobody is told any more");
}

#[test]
fn more_purges_than_can_wait_become_one_of_everything() {
    struct Slow(mpsc::Sender<Purged>);
    impl Successor for Slow {
        fn tell(&self, what: &Purged) -> io::Result<()> {
            self.0.send(what.clone()).map_err(|_| io::ErrorKind::BrokenPipe.into())
        }
    }
    let old = Site::new();
    old.pages.hand_over();
    let tickets: Vec<_> = (0..2 * UNTOLD_MAX).map(|n| old.pages.invalidate(&old.key(&format!("/{n}")), NOW).unwrap()).collect();
    old.pages.stop_passing_on();
    let (told, heard) = mpsc::channel();
    old.pages.pass_on(&Slow(told));
    let heard: Vec<Purged> = heard.iter().collect();
    assert!(heard.len() <= UNTOLD_MAX && heard.contains(&Purged::everything()), "{} purges", heard.len());
    let mut context = Context::from_waker(Waker::noop());
    assert!(tickets.into_iter().all(|ticket| old.pages.poll_durable(ticket, &mut context).is_ready()));
}

#[test]
fn what_no_short_text_can_say_is_said_by_one_that_names_more() {
    let long = "x".repeat(TEXT_BYTES_MAX + 1);
    let check = |what: Purged, told: (&str, &str, u64)| {
        assert_eq!(what.told(), told);
        assert!(Purged::heard(told.0, told.1, told.2).is_some());
    };
    let name = |name: &[u8]| Arc::from(name);
    check(Purged::Target(name(b"http://h/\xea\xb0\x80")), ("target", "http://h/가", 0));
    check(Purged::Target(name(b"http://h/\xff/b")), ("prefix", "http://h/", 0));
    check(Purged::SoftTarget(name(b"http://h/a"), 7), ("soft-target", "http://h/a", 7));
    check(Purged::Path(name(long.as_bytes())), ("path-prefix", &long[1..], 0));
    check(Purged::Tag(name(b"\xff")), ("prefix", "", 0));
    assert_eq!(Purged::heard("another", "", 0), None);
}
