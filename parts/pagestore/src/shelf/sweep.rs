//! Pattern purges and pages that are only on disk. The index knows no keys, so a page is compared with purged patterns when it is looked up; and
//! patterns are remembered for a while only ([`Marks`]). Before that while is over, the journals, which have the keys, are looked through once
//! for all of them: what they name leaves the index, and the patterns need not be remembered for the others any more.
use std::sync::atomic::Ordering::Relaxed;

use super::{
    Disk, File, Shelf,
    record::{self, Event},
};
use crate::{Keys, lock, marks::Marks};

impl Shelf {
    /// Does so when it is time. On an error nothing is lost but pages, later, when their patterns are forgotten.
    pub(super) fn sweep(&self, disk: &impl Disk, keys: &Keys, marks: &Marks) {
        let (swept, segments) = {
            let state = lock(&self.state);
            let segments = if state.index.is_empty() { Vec::new() } else { state.segments.iter().copied().collect() };
            (state.swept, segments)
        };
        let Some(purged) = marks.patterns_to_sweep(swept) else { return };
        // Whatever is put into the index from here on was compared with these patterns before.
        for segment in segments {
            let mut journal = vec![0; segment.journal_bytes as usize];
            if disk.read(segment.number, File::Journal, 0, &mut journal).is_err() {
                self.errors.fetch_add(1, Relaxed);
                return;
            }
            let Some(events) = record::read_journal(&journal) else { return };
            for event in events {
                let Event::Page(located) = event else { continue };
                let at = located.offset;
                let hash = keys.of_bytes(located.key.clone()).hash;
                let mut state = lock(&self.state);
                if let Ok(found) = state.index.find_entry(hash, |place| (place.segment, place.offset) == (segment.number, at))
                    && purged.names(&located.key, found.get().sequence.max(swept))
                {
                    found.remove();
                }
            }
        }
        lock(&self.state).swept = purged.last;
    }
}
