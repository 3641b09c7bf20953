//! Purging by target, prefix and tag, hard or soft, and what unsafe requests invalidate.
use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use crate::{
    Key, Pages, lock,
    marks::{Mark, Marks},
    resource::Resource,
    shelf::{Purged, Shelf},
};

/// A purge on its way to where it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(Awaits);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaits {
    /// The disk tier's journal.
    Disk(u64),
    /// The process that has taken over; it waits for the disk itself.
    Successor(u64),
}

/// What to purge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purge<'a> {
    /// One target: `http://example.org/path?query`, or `/path?query` on every host. All its variants.
    Target(&'a str),
    /// Every target that begins so: `http://example.org/dir/`, or `/dir/` on every host.
    Prefix(&'a str),
    /// Every page whose Surrogate-Key or Cache-Tag had this.
    Tag(&'a str),
    Everything,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PurgeKind {
    /// Gone: the next request waits for the origin.
    Hard,
    /// Stale: served while it is refetched, or while the origin is down, as far as its stale windows go.
    Soft,
}

impl Pages {
    /// Purges, and returns how many stored pages that were. Pages being fetched at this moment are covered as well. Linear in the stored
    /// pages but for a hard purge of one whole target. Pages that are only on disk are purged and not counted. With a disk tier it blocks until
    /// the purge outlives a crash, two seconds at most.
    pub fn purge(&self, what: Purge<'_>, kind: PurgeKind, now_ms: u64) -> u64 {
        let (count, ticket) = match what {
            Purge::Target(target) if !target.starts_with('/') => self.purge_key(&self.keys.of_bytes(normal(target)), kind, now_ms),
            Purge::Target(path) => self.purge_matching(kind, now_ms, Pattern::Path(path.as_bytes().into())),
            Purge::Prefix(prefix) if !prefix.starts_with('/') => self.purge_matching(kind, now_ms, Pattern::Prefix(normal(prefix).into())),
            Purge::Prefix(path) => self.purge_matching(kind, now_ms, Pattern::PathPrefix(path.as_bytes().into())),
            Purge::Tag(tag) => self.purge_tag(tag.as_bytes(), kind, now_ms),
            Purge::Everything => self.purge_matching(kind, now_ms, Pattern::Prefix(Arc::default())),
        };
        self.counters.invalidated(count);
        self.wait_durable(ticket);
        count
    }

    /// The process before this one purged `what`: so does this one. Returns once a crash cannot bring it back. Blocks.
    pub fn learn(&self, what: &Purged, now_ms: u64) {
        use PurgeKind::{Hard, Soft};
        let of = |target: &Arc<[u8]>| self.keys.of_bytes(target.to_vec());
        let (count, ticket) = match what {
            Purged::Target(target) => self.purge_key(&of(target), Hard, now_ms),
            Purged::SoftTarget(target, at_ms) => self.purge_key(&of(target), Soft, *at_ms),
            Purged::Tag(tag) => self.purge_tag(tag, Hard, now_ms),
            Purged::SoftTag(tag, at_ms) => self.purge_tag(tag, Soft, *at_ms),
            Purged::Prefix(prefix) => self.purge_matching(Hard, now_ms, Pattern::Prefix(prefix.clone())),
            Purged::PathPrefix(prefix) => self.purge_matching(Hard, now_ms, Pattern::PathPrefix(prefix.clone())),
            Purged::Path(path) => self.purge_matching(Hard, now_ms, Pattern::Path(path.clone())),
        };
        self.counters.invalidated(count);
        self.wait_durable(ticket);
    }

    fn wait_durable(&self, ticket: Option<Ticket>) {
        match (ticket, &self.shelf) {
            (Some(Ticket(Awaits::Disk(number))), Some(shelf)) => shelf.wait_done(number, DISK_PATIENCE),
            (Some(Ticket(Awaits::Successor(number))), _) => self.legacy.wait_told(number),
            _ => {}
        }
    }

    /// Ready once the purge or invalidation that gave the ticket outlives a crash, and is known to the process that has taken over, if one has.
    pub fn poll_durable(&self, ticket: Ticket, context: &mut Context<'_>) -> Poll<()> {
        match ticket.0 {
            Awaits::Disk(number) => self.shelf.as_ref().map_or(Poll::Ready(()), |shelf| shelf.poll_done(number, context)),
            Awaits::Successor(number) => self.legacy.poll_told(number, context),
        }
    }

    /// Whether the purge or invalidation that gave the ticket may be confirmed although it is not durable yet: a crash then costs all pages on
    /// disk, but brings back none. `false`: it may not, wait on. Never waits for the disk.
    pub fn may_confirm(&self, ticket: Ticket) -> bool {
        match ticket.0 {
            Awaits::Disk(number) => self.shelf.as_ref().is_none_or(|shelf| shelf.confirm_before(number)),
            // It answers from its store: as long as it can be told, it has to know.
            Awaits::Successor(number) => self.legacy.told(number),
        }
    }

    /// A successful unsafe request (RFC 9111 §4.4): what is stored for this target is no longer true.
    ///
    /// The ticket, if something of it is on disk or may be in another process's store: whoever confirms the request waits until
    /// [`Pages::poll_durable`] says that nothing can bring it back.
    #[must_use]
    pub fn invalidate(&self, key: &Key, now_ms: u64) -> Option<Ticket> {
        let (count, ticket) = self.purge_key(key, PurgeKind::Hard, now_ms);
        self.counters.invalidated(count);
        ticket
    }

    fn purge_key(&self, key: &Key, kind: PurgeKind, now_ms: u64) -> (u64, Option<Ticket>) {
        let mark = Marks::place(key.hash);
        match kind {
            PurgeKind::Hard => {
                self.note_leaving(key, now_ms);
                self.marks.purge(mark);
                self.forget(key)
            }
            PurgeKind::Soft => {
                self.marks.purge_softly(mark, now_ms);
                let ticket = self.tell(|| Purged::SoftTarget(key.bytes.clone(), now_ms));
                (self.shard(key).resources.peek(key.hash, |resource| resource.is(key)).map_or(0, |r| r.pages().len() as u64), ticket)
            }
        }
    }

    /// How the page ends: before it is purged, because a write may have ended it already.
    fn note_leaving(&self, key: &Key, now_ms: u64) {
        let page = self.shard(key).resources.peek(key.hash, |resource| resource.is(key)).and_then(|known| known.pages().last().cloned());
        if let Some(page) = page {
            self.note_dropped(key, &page, true, now_ms);
        }
    }

    fn purge_tag(&self, tag: &[u8], kind: PurgeKind, now_ms: u64) -> (u64, Option<Ticket>) {
        let mark = Marks::place(self.keys.hash_tag(tag));
        match kind {
            PurgeKind::Hard => self.marks.purge(mark),
            PurgeKind::Soft => self.marks.purge_softly(mark, now_ms),
        }
        let ticket = self.tell(|| match kind {
            PurgeKind::Hard => Purged::Tag(tag.into()),
            PurgeKind::Soft => Purged::SoftTag(tag.into(), now_ms),
        });
        (self.sweep(kind, now_ms, |resource| resource.pages().iter().any(|page| page.marks().contains(&mark)), |_| {}), ticket)
    }

    fn tell(&self, purged: impl Fn() -> Purged) -> Option<Ticket> {
        let on_disk = self.shelf.as_ref().and_then(|shelf: &Shelf| shelf.purge(purged()));
        self.ticket(on_disk, purged)
    }

    /// What to wait for after a purge that `on_disk` waits for the disk with. Asked after the disk was: a store that is handed over closes the
    /// disk last.
    pub(crate) fn ticket(&self, on_disk: Option<u64>, purged: impl FnOnce() -> Purged) -> Option<Ticket> {
        let told = self.legacy.purge(purged).map(Awaits::Successor);
        told.or(on_disk.map(Awaits::Disk)).map(Ticket)
    }

    fn purge_matching(&self, kind: PurgeKind, now_ms: u64, pattern: Pattern) -> (u64, Option<Ticket>) {
        // A soft purge as well: what is being fetched, or only on disk, has no mark of its own to be made stale by.
        self.marks.purge_pattern(pattern.clone());
        let ticket = self.tell(|| match pattern.clone() {
            Pattern::Prefix(prefix) => Purged::Prefix(prefix),
            Pattern::PathPrefix(prefix) => Purged::PathPrefix(prefix),
            Pattern::Path(path) => Purged::Path(path),
        });
        let soften = |mark| {
            if kind == PurgeKind::Soft {
                self.marks.purge_softly(mark, now_ms);
            }
        };
        (self.sweep(kind, now_ms, |resource| pattern.matches(resource.key()), soften), ticket)
    }

    /// Counts what matches, and frees it now if it is gone for good; look-ups would refuse it anyway.
    fn sweep(&self, kind: PurgeKind, now_ms: u64, matches: impl Fn(&Resource) -> bool, each: impl Fn(Mark)) -> u64 {
        let mut count = 0;
        for shard in &self.shards {
            let mut left = Vec::new();
            let keep = |resource: &mut Resource| {
                if !matches(resource) {
                    return true;
                }
                count += resource.pages().len() as u64;
                each(resource.mark());
                kind == PurgeKind::Soft
            };
            lock(shard).resources.retain(keep, &mut left);
            for resource in &left {
                if let Some(page) = resource.pages().last() {
                    self.note_dropped(&self.keys.of_bytes(resource.key().to_vec()), page, true, now_ms);
                }
            }
        }
        count
    }
}

/// Targets, for marks that fetches under way are compared with.
#[derive(Clone, Debug)]
pub(crate) enum Pattern {
    Prefix(Arc<[u8]>),
    PathPrefix(Arc<[u8]>),
    Path(Arc<[u8]>),
}

impl Pattern {
    pub fn matches(&self, key: &[u8]) -> bool {
        match self {
            Pattern::Prefix(prefix) => key.starts_with(prefix),
            Pattern::PathPrefix(prefix) => path(key).starts_with(prefix),
            Pattern::Path(wanted) => path(key) == &**wanted,
        }
    }
}

// === helpers ===

/// How long a purge waits for the disk to have it.
const DISK_PATIENCE: Duration = Duration::from_secs(2);

/// Scheme and host in lower case, and a path.
pub(crate) fn normal(target: &str) -> Vec<u8> {
    let bytes = target.as_bytes();
    let start = path_start(bytes).unwrap_or(bytes.len());
    let mut normal = bytes[..start].to_ascii_lowercase();
    normal.extend_from_slice(&bytes[start..]);
    normal
}

fn path(key: &[u8]) -> &[u8] {
    path_start(key).map_or(b"", |start| &key[start..])
}

/// Where the path begins, behind `scheme://host`.
fn path_start(target: &[u8]) -> Option<usize> {
    let host = target.windows(3).position(|w| w == b"://")? + 3;
    Some(host + target[host..].iter().position(|b| *b == b'/')?)
}
