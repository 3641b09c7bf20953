//! All that is stored under one key: its variants, and whether it is worth waiting for.
use std::sync::Arc;

use pumasi_httpcache::{FieldLines, validation, vary};

use crate::{
    Key, Page,
    marks::{Mark, Marks},
    page::{ALLOCATION, Draft},
};

/// The variants of one target. Cloned to be changed: it is a key and a few counted pointers.
#[derive(Clone, Debug)]
pub(crate) struct Resource {
    key: Key,
    /// Newest last.
    pages: Vec<Arc<Page>>,
    /// Until then its answers are taken to be ones that are not stored.
    passing_until_ms: u64,
}

/// What a request finds.
pub(crate) struct Selected {
    pub page: Option<Arc<Page>>,
    /// There are variants.
    pub varies: bool,
    passing_until_ms: u64,
}

impl Selected {
    pub fn passing(&self, now_ms: u64) -> bool {
        now_ms < self.passing_until_ms
    }
}

impl Resource {
    pub fn new(key: &Key) -> Resource {
        Resource { key: key.clone(), pages: Vec::new(), passing_until_ms: 0 }
    }

    pub fn is(&self, key: &Key) -> bool {
        self.key.bytes == key.bytes
    }

    /// [`Resource::is`] for who has no key.
    pub fn is_target(&self, target: &[u8]) -> bool {
        *self.key.bytes == *target
    }

    pub fn key(&self) -> &[u8] {
        &self.key.bytes
    }

    pub fn mark(&self) -> Mark {
        Marks::place(self.key.hash)
    }

    pub fn pages(&self) -> &[Arc<Page>] {
        &self.pages
    }

    /// The newest variant that answers a request with these fields (RFC 9111 §4.1).
    pub fn select<'a>(&self, fields: impl FieldLines<'a> + Clone) -> Selected {
        let (mut names, mut selection): (&[Box<[u8]>], Vec<u8>) = (&[], Vec::new());
        let page = self.pages.iter().rev().find(|page| {
            if *page.vary != *names {
                names = &page.vary;
                selection.clear();
                vary::select(names, fields.clone(), &mut selection);
            }
            *page.selection == *selection
        });
        Selected { page: page.cloned(), varies: !self.pages.is_empty(), passing_until_ms: self.passing_until_ms }
    }

    /// What tells this request from others of the target, as far as the newest variant knows.
    pub fn write_selection<'a>(&self, fields: impl FieldLines<'a> + Clone, out: &mut Vec<u8>) {
        if let Some(page) = self.pages.last() {
            vary::select(&page.vary, fields, out);
        }
    }

    /// What is stored of the page that `draft` brings another part of, if it is the same version (RFC 9111 §3.4: a strong tag says so).
    pub fn part_of_same(&self, draft: &Draft, etag: &[u8]) -> Option<&Arc<Page>> {
        let same = |page: &&Arc<Page>| {
            page.vary == draft.vary
                && page.selection == draft.selection
                && page.etag().is_some_and(|other| validation::strongly_equal(etag, other))
        };
        self.pages.iter().find(same).filter(|page| page.part.is_some())
    }

    /// Adds a page; it replaces the variant it is a newer version of.
    pub fn put(&mut self, page: Arc<Page>) {
        let same = |other: &&Arc<Page>| other.vary == page.vary && other.selection == page.selection;
        // A part beside the whole it is of adds nothing.
        if page.part.is_some() && self.pages.iter().find(same).is_some_and(|other| other.part.is_none() && other.etag() == page.etag()) {
            return;
        }
        self.pages.retain(|other| other.vary != page.vary || other.selection != page.selection);
        if self.pages.len() >= VARIANTS_MAX {
            self.pages.remove(0);
        }
        self.pages.push(page);
        self.passing_until_ms = 0;
    }

    /// As [`Resource::put`], but what is there is newer.
    pub fn put_back(&mut self, page: Arc<Page>) {
        if !self.pages.iter().any(|other| other.vary == page.vary && other.selection == page.selection) {
            self.put(page);
        }
    }

    pub fn pass_until(&mut self, until_ms: u64) {
        self.passing_until_ms = until_ms;
    }

    pub fn weight(&self) -> u64 {
        let pages: u64 = self.pages.iter().map(|page| page.weight() + 2 * size_of::<Arc<Page>>() as u64).sum();
        (self.key.bytes.len() + 2 * ALLOCATION) as u64 + pages
    }
}

// === helpers ===

/// Variants kept of one target; the oldest goes. A look-up walks them, and a Vary on something personal must not fill the store.
const VARIANTS_MAX: usize = 32;
