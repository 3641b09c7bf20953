//! Writes the shelf: what is queued goes into the segment at hand, and the oldest segment makes room.
use std::{io, sync::atomic::Ordering::Relaxed, time::Duration};

use super::{
    Disk, File, Job, SEGMENT_MAX, Segment, Shelf,
    record::{self, Event, Located, MAGIC, Purged},
    variant_of,
};
use crate::{Key, Keys, Page, lock, marks::Marks};

impl Shelf {
    /// Does jobs until the shelf is closed and the queue is done. Blocks: give it a thread.
    pub(super) fn keep(&self, disk: &impl Disk, keys: &Keys, marks: &Marks, gone: impl Fn(&Key, &Page) -> bool) {
        loop {
            let mut state = lock(&self.state);
            while state.queue.is_empty() {
                if !state.open {
                    drop(state);
                    return self.close();
                }
                state = self.bell.wait_timeout(state, LOOK_UP).map_or_else(|poison| poison.into_inner().0, |(state, _)| state);
            }
            drop(state);
            self.do_jobs(disk, keys, marks, &gone);
        }
    }

    /// Does what is queued. `gone`: a purge that came before the page was queued, and so said nothing to the disk.
    pub(super) fn do_jobs(&self, disk: &impl Disk, keys: &Keys, marks: &Marks, gone: &impl Fn(&Key, &Page) -> bool) {
        loop {
            let Some(job) = lock(&self.state).queue.pop_front() else { return };
            match &job {
                Job::Page(key, page, _) if gone(key, page) => {}
                Job::Page(key, page, _) => self.write_page(disk, key, page, gone),
                Job::Purge(purged, hash) => self.write_purge(disk, purged.clone(), *hash),
            }
            let mut state = lock(&self.state);
            if let Job::Page(_, _, bytes) = job {
                state.queue_bytes -= bytes;
            }
            state.tickets.finish(1);
            self.vouch_again(&mut state);
            drop(state);
            self.bell.notify_all();
            self.sweep(disk, keys, marks);
        }
    }

    fn write_page(&self, disk: &impl Disk, key: &Key, page: &Page, gone: &impl Fn(&Key, &Page) -> bool) {
        {
            let mut state = lock(&self.state);
            if state.skip > 0 {
                state.skip -= 1;
                return;
            }
        }
        let head = record::write_head(&key.bytes, page);
        let located = Located {
            offset: 0,
            head_bytes: head.len() as u32,
            body_bytes: page.body.len() as u32,
            head_crc: record::crc(&head),
            body_crc: record::crc(&page.body),
            variant: variant_of(page),
            key: key.bytes.to_vec(),
            tags: page.tags.iter().map(|tag| tag.to_vec()).collect(),
        };
        let bytes = [&head, &page.body[..]].concat();
        match self.append_page(disk, located, &bytes) {
            Ok(Some((segment, located))) => {
                while lock(&self.state).index.len() >= self.entries_max && self.drop_oldest(disk) {}
                let purged = gone(key, page);
                let mut state = lock(&self.state);
                state.skip_next = 1;
                // Its segment may have gone to make that room. What is purged from here on the marks know.
                if !purged && state.segments.iter().any(|other| other.number == segment) {
                    state.put(located.place(key.hash, segment, page.sequence));
                }
            }
            Ok(None) => {}
            Err(error) => self.failed(disk, error),
        }
    }

    fn append_page(&self, disk: &impl Disk, located: Located, bytes: &[u8]) -> io::Result<Option<(u64, Located)>> {
        let journal_bytes = record::write_event(&Event::Page(located.clone())).len() as u64;
        let Some(segment) = self.room(disk, bytes.len() as u64 + journal_bytes)? else { return Ok(None) };
        let located = Located { offset: segment.data_bytes, ..located };
        disk.append(segment.number, File::Data, bytes)?;
        let journal = record::write_event(&Event::Page(located.clone()));
        lock(&self.state).grow(segment.number, bytes.len() as u64, 0);
        disk.append(segment.number, File::Journal, &journal)?;
        lock(&self.state).grow(segment.number, 0, journal.len() as u64);
        Ok(Some((segment.number, located)))
    }

    fn write_purge(&self, disk: &impl Disk, purged: Purged, hash: Option<u64>) {
        let journal = record::write_event(&Event::Purge(purged));
        let written = self.room(disk, journal.len() as u64).and_then(|segment| {
            let segment = segment.ok_or(io::ErrorKind::StorageFull)?;
            disk.append(segment.number, File::Journal, &journal)?;
            lock(&self.state).grow(segment.number, 0, journal.len() as u64);
            Ok(())
        });
        match written {
            // Once more: an older version may have been written since it was forgotten.
            Ok(()) => drop(hash.map(|hash| lock(&self.state).forget_all(hash))),
            Err(error) => {
                // It must not come back with the next start: better nothing than that.
                self.failed(disk, error);
                while self.drop_oldest(disk) {}
            }
        }
    }

    /// The segment that takes `bytes` more: the one at hand, or a new one; the oldest ones go if the budget says so. `None`: it is too much.
    fn room(&self, disk: &impl Disk, bytes: u64) -> io::Result<Option<Segment>> {
        let segment_max = (self.budget_bytes / SEGMENTS).clamp(SEGMENT_MIN, SEGMENT_MAX);
        let with_magic = bytes + MAGIC.len() as u64;
        if with_magic > segment_max.min(self.budget_bytes) {
            return Ok(None);
        }
        while lock(&self.state).bytes() + with_magic > self.budget_bytes && self.drop_oldest(disk) {}
        let number = {
            let state = lock(&self.state);
            let last = state.segments.back();
            match last {
                Some(segment) if state.writing && segment.bytes() + bytes <= segment_max => return Ok(Some(*segment)),
                _ => last.map_or(0, |segment| segment.number).max(state.last_number) + 1,
            }
        };
        lock(&self.state).last_number = number;
        disk.create(number)?;
        disk.append(number, File::Journal, MAGIC)?;
        let segment = Segment { number, data_bytes: 0, journal_bytes: MAGIC.len() as u64 };
        let mut state = lock(&self.state);
        state.segments.push_back(segment);
        state.writing = true;
        Ok(Some(segment))
    }

    /// The segment at hand may be torn at its end: it is not written to again. On a full disk the oldest one makes room.
    fn failed(&self, disk: &impl Disk, error: io::Error) {
        if self.errors.fetch_add(1, Relaxed).is_multiple_of(ERRORS_PER_WARNING) {
            tracing::warn!(%error, "pages cannot be written to disk; they are kept in memory only");
        }
        let last = {
            let mut state = lock(&self.state);
            state.writing = false;
            (state.skip, state.skip_next) = (state.skip_next, (state.skip_next * 2).min(SKIP_MAX));
            state.segments.back().copied()
        };
        // How much of it was written is not known: its files say.
        if let Some(last) = last {
            let more = |file, known| disk.length(last.number, file).unwrap_or(known).saturating_sub(known);
            let (data, journal) = (more(File::Data, last.data_bytes), more(File::Journal, last.journal_bytes));
            lock(&self.state).grow(last.number, data, journal);
        }
        if error.kind() == io::ErrorKind::StorageFull {
            self.drop_oldest(disk);
        }
    }

    /// `false` if there is none.
    fn drop_oldest(&self, disk: &impl Disk) -> bool {
        let oldest = {
            let mut state = lock(&self.state);
            let Some(oldest) = state.segments.pop_front() else { return false };
            state.index.retain(|place| place.segment != oldest.number);
            state.writing &= !state.segments.is_empty();
            oldest
        };
        match disk.remove(oldest.number) {
            Ok(()) => {}
            Err(error) => {
                self.errors.fetch_add(1, Relaxed);
                // It may be there at the next start, and purges that named something in it not any more.
                if error.kind() != io::ErrorKind::NotFound {
                    self.withdraw(&mut lock(&self.state), u64::MAX);
                }
            }
        }
        true
    }
}

// === helpers ===

/// The budget is cut into this many segments: one of them is what making room costs.
const SEGMENTS: u64 = 16;
/// Smaller ones would only be more files.
const SEGMENT_MIN: u64 = 1 << 20;

/// A warning for the first error and then one for so many.
const ERRORS_PER_WARNING: u64 = 1000;

/// How many pages are skipped at most after repeated errors: then the disk is tried again.
const SKIP_MAX: u32 = 1024;

/// How often the thread looks whether it should end, should a bell be missed.
const LOOK_UP: Duration = Duration::from_secs(1);
