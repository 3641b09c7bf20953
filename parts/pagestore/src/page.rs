//! One stored answer.
use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use pumasi_freshness::{Entry, Freshness};
use pumasi_httpcache::{
    Asked, Coding, FieldLines, Method, Terms, date,
    range::{self, ContentRange},
    validation, vary,
};

use crate::{
    encode::{Compression, Encodings, tag_of},
    field_lines,
    marks::{Mark, Marks},
};

/// One stored answer, immutable.
#[derive(Debug)]
pub struct Page {
    pub status: u16,
    pub reason: Box<[u8]>,
    /// End-to-end field lines without those that are made anew for each client: Age, Cache-Status, Content-Length.
    pub lines: Box<[u8]>,
    pub body: Bytes,
    pub terms: Terms,
    /// The content is this part of the whole (RFC 9111 §3.3).
    pub(crate) part: Option<ContentRange>,
    /// The number of the last purge when its fetch began, and when that was: see `marks`.
    pub(crate) sequence: u64,
    pub(crate) requested_ms: u64,
    /// The target's own mark, then its tags'.
    pub(crate) marks: Box<[Mark]>,
    /// The tags themselves, where there is a disk tier to remember them.
    pub(crate) tags: Box<[Box<[u8]>]>,
    /// Lower-case names of Vary, and what the request it answered had there.
    pub(crate) vary: Box<[Box<[u8]>]>,
    pub(crate) selection: Box<[u8]>,
    /// Automatic pages: what they were made of.
    pub(crate) entry: Option<Entry>,
    /// When an automatic page is to be made again beside its use, to be compared. Milliseconds since the Unix epoch.
    recheck_ms: AtomicU64,
    pub(crate) encodings: Encodings,
    /// It may be sent compressed: then how.
    pub(crate) compression: Option<Arc<Compression>>,
    etag: Option<Range<u32>>,
    last_modified: Option<Range<u32>>,
}

/// One of the forms a page is sent in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Plain,
    Coded(Coding),
}

/// What a page is made of, before it is one.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub status: u16,
    pub reason: Box<[u8]>,
    pub lines: Vec<u8>,
    pub terms: Terms,
    pub part: Option<ContentRange>,
    pub sequence: u64,
    pub requested_ms: u64,
    pub marks: Box<[Mark]>,
    pub tags: Box<[Box<[u8]>]>,
    pub vary: Box<[Box<[u8]>]>,
    pub selection: Box<[u8]>,
    /// It may be compressed, if it is large enough.
    pub compression: Option<Arc<Compression>>,
    /// The form to begin with.
    pub wanted: Option<Coding>,
    pub recheck_ms: u64,
}

impl Draft {
    /// Whether it may be sent compressed, if its content has this length; `None`: not known yet.
    pub fn compressible(&self, length: Option<u64>) -> bool {
        self.compression.as_ref().is_some_and(|compression| length.is_none_or(|length| length >= compression.bytes_min))
    }

    /// `entry`: what an automatic page was made of.
    pub fn finish(self, body: Bytes, entry: Option<Entry>) -> Page {
        // Of a validator that is there twice the last counts, as in `Answered`: what an answer is compared with is what was asked with.
        let place = |wanted: &[u8]| {
            let (_, value) = field_lines(&self.lines).filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).last()?;
            let start = (value.as_ptr() as usize - self.lines.as_ptr() as usize) as u32;
            Some(start..start + value.len() as u32)
        };
        Page {
            compression: self.compression.clone().filter(|_| self.compressible(Some(body.len() as u64))),
            encodings: Encodings::default(),
            etag: place(b"etag"),
            last_modified: place(b"last-modified"),
            status: self.status,
            reason: self.reason,
            lines: self.lines.into(),
            body,
            terms: self.terms,
            part: self.part,
            sequence: self.sequence,
            requested_ms: self.requested_ms,
            marks: self.marks,
            tags: self.tags,
            vary: self.vary,
            selection: self.selection,
            entry,
            recheck_ms: AtomicU64::new(self.recheck_ms),
        }
    }
}

impl Page {
    /// What an automatic page was made of; `None` for one that headers allow to keep.
    pub fn entry(&self) -> Option<&Entry> {
        self.entry.as_ref()
    }

    /// Whether this request can be answered from what there is of the page: any, if that is all of it; else one range within the part.
    pub(crate) fn covers(&self, asked: &Asked<'_>, now_ms: u64) -> bool {
        let Some(part) = self.part else { return true };
        let wanted = range::parts(asked, part.total, self.etag(), self.last_modified(), (now_ms / 1000) as i64);
        matches!(wanted, range::Parts::One { first, last } if part.first <= first && last <= part.last) && asked.method == Method::Get
    }

    /// Whether it is the variant for a request with these fields (RFC 9111 §4.1), and all of it.
    pub fn answers<'a>(&self, fields: impl FieldLines<'a> + Clone) -> bool {
        let mut selection = Vec::new();
        vary::select(&self.vary, fields, &mut selection);
        self.part.is_none() && *self.selection == *selection
    }

    /// Whether it is time to make an automatic page again and compare. `true` once; the next time an hour later, unless a new page has come.
    pub fn recheck_due(&self, now_ms: u64) -> bool {
        let at = self.recheck_ms.load(Relaxed);
        self.entry.is_some() && now_ms >= at && self.recheck_ms.compare_exchange(at, now_ms + 3_600_000, Relaxed, Relaxed).is_ok()
    }

    pub fn etag(&self) -> Option<&[u8]> {
        self.value(&self.etag)
    }

    pub fn last_modified(&self) -> Option<&[u8]> {
        self.value(&self.last_modified)
    }

    /// The field lines, each with its CR LF, that ask the origin whether this page still holds (RFC 9111 §4.3.1). Empty if it has nothing
    /// to ask with: then the fetch is an ordinary one.
    pub fn conditions(&self) -> Vec<u8> {
        let mut lines = Vec::new();
        if let Some(etag) = self.etag() {
            crate::lines::push(&mut lines, b"If-None-Match", etag);
        }
        if let Some(modified) = self.last_modified() {
            crate::lines::push(&mut lines, b"If-Modified-Since", modified);
        }
        lines
    }

    /// Whether the client has it already (RFC 9111 §4.3.2), and if so in which form.
    pub(crate) fn not_modified(&self, asked: &Asked<'_>) -> Option<Form> {
        // Most requests have no conditions: for them nothing is looked for.
        if !asked.conditional() {
            return None;
        }
        let stored_s = field_lines(&self.lines)
            .find(|(name, _)| name.eq_ignore_ascii_case(b"date"))
            .and_then(|(_, value)| date::parse(value, (self.terms.response_ms / 1000) as i64))
            .unwrap_or((self.terms.response_ms / 1000) as i64);
        if validation::not_modified(asked, self.etag(), self.last_modified(), stored_s) {
            return Some(Form::Plain);
        }
        let etag = self.etag().filter(|_| asked.if_none_match.is_some())?;
        let mut codings = self.compression.as_ref()?.codings.iter().copied();
        let has = |coding: &Coding| validation::not_modified(asked, Some(&tag_of(etag, *coding)), None, stored_s);
        codings.find(has).map(Form::Coded)
    }

    /// Whether it is of use after a restart, or when memory was too small: not for some seconds only.
    pub(crate) fn lasts(&self, now_ms: u64) -> bool {
        let kept_s = self.terms.ttl_s(now_ms) + i64::from(self.terms.stale_while_revalidate_s.max(self.terms.stale_if_error_s));
        self.entry.is_none() && self.part.is_none() && (kept_s >= LASTS_S || self.etag.is_some() || self.last_modified.is_some())
    }

    pub(crate) fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// Its terms, shortened by soft purges.
    pub(crate) fn terms_now(&self, marks: &Marks) -> Terms {
        let mut terms = self.terms;
        let soft_ms = marks.soft_ms(&self.marks);
        if soft_ms >= self.requested_ms {
            terms.make_stale(soft_ms);
        }
        terms
    }

    pub(crate) fn overtaken(&self, freshness: Option<&Freshness>) -> bool {
        match (&self.entry, freshness) {
            (None, _) => false,
            (Some(entry), Some(freshness)) => !entry.usable(freshness),
            (Some(_), None) => true, // nobody can tell any more
        }
    }

    pub(crate) fn weight(&self) -> u64 {
        let marks = std::mem::size_of_val(&*self.marks);
        let vary: usize = self.vary.iter().map(|name| name.len() + size_of::<Box<[u8]>>() + ALLOCATION).sum();
        let coded = self.encodings.weight();
        let deps = self.entry.as_ref().map_or(0, |entry| entry.deps().bytes() + size_of::<pumasi_freshness::Deps>() + ALLOCATION);
        let tags: usize = self.tags.iter().map(|tag| tag.len() + size_of::<Box<[u8]>>() + ALLOCATION).sum();
        let parts = tags + self.reason.len() + self.lines.len() + self.body.len() + coded + marks + vary + self.selection.len();
        (size_of::<Page>() + parts + deps + 7 * ALLOCATION) as u64
    }

    fn value(&self, place: &Option<Range<u32>>) -> Option<&[u8]> {
        place.as_ref().map(|range| &self.lines[range.start as usize..range.end as usize])
    }
}

// === helpers ===

/// Also on the plain form: it is one of several (RFC 9110 §12.5.5).
pub(crate) fn push_vary(lines: &mut Vec<u8>) {
    lines.extend_from_slice(b"Vary: Accept-Encoding\r\n");
}

/// Below this a page without a validator is over before it is asked for again.
const LASTS_S: i64 = 10;

/// What the allocator adds to each piece.
pub(crate) const ALLOCATION: usize = 16;
