//! Takes pages down from the shelf: from the index to the data file, checked, and into memory as if they had just been fetched.
use std::{
    io,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use super::{Disk, File, Place, Shelf, record, variant_of};
use crate::{
    Key, Pages, lock,
    marks::{Mark, Marks},
};

impl Pages {
    /// Whether the disk may have what memory has not. Cheap: for each miss.
    pub fn shelved(&self, key: &Key) -> bool {
        !self.places(key).0.is_empty()
    }

    /// Brings what the disk has of `key` into memory. Returns whether there was something. Blocks: not on an event loop.
    pub fn take_down(&self, key: &Key, disk: &impl Disk) -> bool {
        let Some(shelf) = &self.shelf else { return false };
        let mut found = false;
        let (places, swept) = self.places(key);
        for place in places {
            let page = match read_page(disk, key, &place) {
                Ok(page) => page,
                // Its segment has gone meanwhile, or the disk is in trouble.
                Err(_) => {
                    shelf.errors.fetch_add(1, Relaxed);
                    shelf.lose(&place);
                    continue;
                }
            };
            let Some((mut draft, body)) = page else {
                shelf.corrupt.fetch_add(1, Relaxed);
                tracing::warn!(key = %String::from_utf8_lossy(&key.bytes), "a page on disk is not what was written; it is forgotten");
                shelf.lose(&place);
                continue;
            };
            draft.marks = self.marks_of(key, &draft.tags);
            let compression = self.settings.load().compression.clone();
            draft.compression = compression.may_code(draft.status, &draft.lines).then_some(compression);
            match self.restore(key, Arc::new(draft.finish(body, None)), swept) {
                true => {
                    shelf.hits.fetch_add(1, Relaxed);
                    found = true;
                }
                false => shelf.lose(&place),
            }
        }
        found
    }

    fn places(&self, key: &Key) -> (Vec<Place>, u64) {
        let Some(shelf) = &self.shelf else { return (Vec::new(), 0) };
        let known = {
            let shard = self.shard(key);
            let resource = shard.resources.peek(key.hash, |resource| resource.is(key));
            resource.map_or(Vec::new(), |resource| resource.pages().iter().map(|page| variant_of(page)).collect())
        };
        shelf.places(key, &known)
    }

    fn marks_of(&self, key: &Key, tags: &[Box<[u8]>]) -> Box<[Mark]> {
        let tags = tags.iter().map(|tag| Marks::place(self.keys.hash_tag(tag)));
        [Marks::place(key.hash)].into_iter().chain(tags).collect()
    }
}

impl Shelf {
    /// Where something of this key may lie that is not among `known`, the variants in memory; and the number up to which patterns do not name
    /// it.
    fn places(&self, key: &Key, known: &[u64]) -> (Vec<Place>, u64) {
        let state = lock(&self.state);
        if !state.open {
            return (Vec::new(), 0);
        }
        let of_key = state.index.iter_hash(key.hash).filter(|place| place.hash == key.hash && !known.contains(&place.variant));
        (of_key.copied().collect(), state.swept)
    }

    fn lose(&self, lost: &Place) {
        let is = |place: &Place| (place.segment, place.offset) == (lost.segment, lost.offset);
        if let Ok(found) = lock(&self.state).index.find_entry(lost.hash, is) {
            found.remove();
        }
    }
}

// === helpers ===

/// `None`: it is not what was written.
fn read_page(disk: &impl Disk, key: &Key, place: &Place) -> io::Result<Option<(crate::page::Draft, bytes::Bytes)>> {
    let mut head = vec![0; place.head_bytes as usize];
    let mut body = vec![0; place.body_bytes as usize];
    disk.read(place.segment, File::Data, place.offset, &mut head)?;
    disk.read(place.segment, File::Data, place.offset + u64::from(place.head_bytes), &mut body)?;
    if record::crc(&head) != place.head_crc {
        return Ok(None);
    }
    let draft = record::read_head(&head, &key.bytes, place.sequence);
    Ok(draft.zip(record::checked(body, place.body_crc)))
}
