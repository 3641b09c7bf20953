//! What a former life of the program left on the shelf: the journals, read backwards from the newest, say which of the pages still count.
use std::{collections::HashSet, io, sync::Arc};

use super::{
    Disk, File, Place, SEGMENT_MAX, Segment, Shelf, State, Witness,
    record::{self, Event, Located, Purged},
};
use crate::{Keys, lock, marks::Marks, purge::Pattern};

impl Shelf {
    /// Reads the journals and opens the shelf. If anything was purged yet in this process, no journal knows which of the pages that were, and all
    /// go. Returns how many pages there are.
    pub(super) fn attach(&self, disk: &impl Disk, witness: Arc<dyn Witness>, keys: &Keys, marks: &Marks) -> io::Result<usize> {
        let mut numbers = disk.segments()?;
        let believed = witness.believed();
        if !believed && !numbers.is_empty() {
            tracing::warn!(
                "the pages on disk were left in an unknown state (the disk hung, or the machine stopped): starting without them"
            );
        }
        let fresh = believed && marks.sequence() == 0;
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        let mut found = State::new(self.entries_max);
        found.last_number = numbers.first().copied().unwrap_or(0);
        let mut later = Later::default();
        for number in numbers {
            let lengths = disk.length(number, File::Data).and_then(|data| Ok((data, disk.length(number, File::Journal)?)));
            let segment = lengths.map(|(data_bytes, journal_bytes)| Segment { number, data_bytes, journal_bytes });
            let fits =
                |segment: &Segment| fresh && found.bytes() + segment.bytes() <= self.budget_bytes && segment.journal_bytes <= SEGMENT_MAX;
            let events = segment.ok().filter(fits).and_then(|segment| {
                let mut journal = vec![0; segment.journal_bytes as usize];
                disk.read(number, File::Journal, 0, &mut journal).ok()?;
                Some((segment, record::read_journal(&journal)?))
            });
            let full = found.index.len() >= self.entries_max;
            let Some((segment, events)) = events.filter(|_| !full) else {
                let _ = disk.remove(number); // what cannot be used only takes room
                continue;
            };
            found.segments.push_front(segment);
            for event in events.into_iter().rev() {
                match event {
                    Event::Purge(purged) => later.saw(purged, keys, marks),
                    Event::Page(located) => {
                        let hash = keys.of_bytes(located.key.clone()).hash;
                        let whole = located.offset + located.bytes() <= segment.data_bytes;
                        if whole && later.admits(hash, &located) && found.index.len() < self.entries_max {
                            found.put(located.place(hash, number, 0));
                        }
                    }
                }
            }
        }
        witness.begin()?;
        let _ = self.witness.set(witness); // a shelf is attached once
        // `writing` stays off: never into a segment of a former life, whose end may be torn.
        found.open = true;
        let mut state = lock(&self.state);
        if fresh && marks.sequence() > 0 {
            // Purged meanwhile, which was told to no journal: the shelf was not open. Without the lock: a disk is slow, and nothing is there.
            drop(state);
            found.index.clear();
            found.segments.drain(..).for_each(|segment| _ = disk.remove(segment.number));
            state = lock(&self.state);
        }
        let pages = found.index.len();
        // Who waits goes on waiting, for the journal.
        (found.queue, found.tickets) = (std::mem::take(&mut state.queue), std::mem::take(&mut state.tickets));
        *state = found;
        Ok(pages)
    }
}

/// What the events after the one at hand have said, while the journals are read backwards.
#[derive(Default)]
struct Later {
    pages: HashSet<(u64, u64)>,
    targets: HashSet<Arc<[u8]>>,
    tags: HashSet<Arc<[u8]>>,
    patterns: Vec<Pattern>,
}

impl Later {
    fn saw(&mut self, purged: Purged, keys: &Keys, marks: &Marks) {
        match purged {
            Purged::Target(target) => drop(self.targets.insert(target)),
            Purged::Tag(tag) => drop(self.tags.insert(tag)),
            Purged::Prefix(prefix) => self.patterns.push(Pattern::Prefix(prefix)),
            Purged::PathPrefix(prefix) => self.patterns.push(Pattern::PathPrefix(prefix)),
            Purged::Path(path) => self.patterns.push(Pattern::Path(path)),
            // Times compare in any order.
            Purged::SoftTarget(target, at_ms) => marks.purge_softly(Marks::place(keys.of_bytes(target.to_vec()).hash), at_ms),
            Purged::SoftTag(tag, at_ms) => marks.purge_softly(Marks::place(keys.hash_tag(&tag)), at_ms),
        }
    }

    fn admits(&mut self, hash: u64, page: &Located) -> bool {
        let purged = self.targets.contains(&page.key[..])
            || page.tags.iter().any(|tag| self.tags.contains(&tag[..]))
            || self.patterns.iter().any(|pattern| pattern.matches(&page.key));
        !purged && self.pages.insert((hash, page.variant))
    }
}

impl Located {
    fn bytes(&self) -> u64 {
        u64::from(self.head_bytes) + u64::from(self.body_bytes)
    }

    pub(super) fn place(&self, hash: u64, segment: u64, sequence: u64) -> Place {
        let Located { offset, head_bytes, body_bytes, head_crc, body_crc, variant, .. } = *self;
        Place { hash, variant, segment, offset, sequence, head_bytes, body_bytes, head_crc, body_crc }
    }
}
