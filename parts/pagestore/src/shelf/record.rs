//! What the files of the shelf hold, byte by byte. Numbers are little-endian; everything is covered by a CRC-32, so that a torn or flipped
//! byte costs the piece it is in and nothing else.
//!
//! ```text
//! journal   MAGIC, then pieces:  length u32 | crc32 u32 | payload
//! payload   1 = a page: place in the data file, key, tags       2.. = a purge
//! data      per page: head (all but the content), then the content as it was sent
//! ```
use std::sync::Arc;

use bytes::Bytes;
use flate2::Crc;
use pumasi_httpcache::Terms;

use crate::{Page, page::Draft};

/// The first bytes of a journal. Another version's files are deleted, not guessed at.
pub(super) const MAGIC: &[u8; 16] = b"pumasi pages 1\r\n";

/// A journal piece larger than this is damage: a key, a target or tags never are.
const PIECE_MAX: usize = 1 << 20;

/// Something that happened, in the order in which it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Page(Located),
    Purge(Purged),
}

/// A page of the data file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Located {
    pub offset: u64,
    pub head_bytes: u32,
    pub body_bytes: u32,
    pub head_crc: u32,
    pub body_crc: u32,
    /// Tells the variants of one target apart.
    pub variant: u64,
    pub key: Vec<u8>,
    pub tags: Vec<Vec<u8>>,
}

/// What a purge named: a whole target, a tag, or what all targets concerned begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purged {
    Target(Arc<[u8]>),
    Tag(Arc<[u8]>),
    Prefix(Arc<[u8]>),
    /// On every host.
    PathPrefix(Arc<[u8]>),
    /// On every host.
    Path(Arc<[u8]>),
    /// What had arrived by then is stale.
    SoftTarget(Arc<[u8]>, u64),
    SoftTag(Arc<[u8]>, u64),
}

pub(super) fn crc(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// One piece of the journal.
pub(super) fn write_event(event: &Event) -> Vec<u8> {
    let mut payload = Writer::default();
    match event {
        Event::Page(page) => {
            payload.u8(1);
            payload.u64(page.offset);
            for number in [page.head_bytes, page.body_bytes, page.head_crc, page.body_crc] {
                payload.u32(number);
            }
            payload.u64(page.variant);
            payload.bytes(&page.key);
            payload.list(&page.tags);
        }
        Event::Purge(purged) => {
            let (kind, what, at_ms) = match purged {
                Purged::Target(what) => (2, what, 0),
                Purged::Tag(what) => (3, what, 0),
                Purged::Prefix(what) => (4, what, 0),
                Purged::PathPrefix(what) => (5, what, 0),
                Purged::Path(what) => (6, what, 0),
                Purged::SoftTarget(what, at_ms) => (7, what, *at_ms),
                Purged::SoftTag(what, at_ms) => (8, what, *at_ms),
            };
            payload.u8(kind);
            payload.u64(at_ms);
            payload.bytes(what);
        }
    }
    let payload = payload.0;
    let mut piece = Writer::default();
    piece.u32(payload.len() as u32);
    piece.u32(crc(&payload));
    piece.0.extend_from_slice(&payload);
    piece.0
}

/// The events of a journal, up to the first piece that is not whole. `None` if it is no journal of this version.
pub(super) fn read_journal(journal: &[u8]) -> Option<Vec<Event>> {
    let mut rest = Reader(journal.strip_prefix(MAGIC)?);
    let mut events = Vec::new();
    while let Some(event) = read_piece(&mut rest) {
        events.push(event);
    }
    Some(events)
}

fn read_piece(journal: &mut Reader<'_>) -> Option<Event> {
    let length = journal.u32()? as usize;
    let sum = journal.u32()?;
    let payload = (length <= PIECE_MAX).then(|| journal.take(length))??;
    (crc(payload) == sum).then_some(())?;
    let mut payload = Reader(payload);
    let kind = payload.u8()?;
    if kind == 1 {
        let (offset, head_bytes, body_bytes) = (payload.u64()?, payload.u32()?, payload.u32()?);
        let (head_crc, body_crc, variant) = (payload.u32()?, payload.u32()?, payload.u64()?);
        let (key, tags) = (payload.bytes()?.to_vec(), payload.list()?);
        return Some(Event::Page(Located { offset, head_bytes, body_bytes, head_crc, body_crc, variant, key, tags }));
    }
    let (at_ms, what) = (payload.u64()?, Arc::from(payload.bytes()?));
    Some(Event::Purge(match kind {
        2 => Purged::Target(what),
        3 => Purged::Tag(what),
        4 => Purged::Prefix(what),
        5 => Purged::PathPrefix(what),
        6 => Purged::Path(what),
        7 => Purged::SoftTarget(what, at_ms),
        8 => Purged::SoftTag(what, at_ms),
        _ => return None,
    }))
}

/// All of a page but its content.
pub(super) fn write_head(key: &[u8], page: &Page) -> Vec<u8> {
    let mut head = Writer::default();
    head.bytes(key);
    head.u16(page.status);
    head.bytes(&page.reason);
    head.bytes(&page.lines);
    head.0.extend_from_slice(&page.terms.to_bytes());
    head.u64(page.requested_ms);
    head.list(&page.vary);
    head.bytes(&page.selection);
    head.list(&page.tags);
    head.0
}

/// What [`write_head`] wrote, as the beginnings of a page, if it is of this key. Its marks are the caller's to make; the tags come along.
pub(super) fn read_head(head: &[u8], key: &[u8], sequence: u64) -> Option<Draft> {
    let mut head = Reader(head);
    (head.bytes()? == key).then_some(())?;
    Some(Draft {
        status: head.u16()?,
        reason: head.bytes()?.into(),
        lines: head.bytes()?.to_vec(),
        terms: Terms::from_bytes(head.take(Terms::BYTES)?.try_into().ok()?),
        part: None, // only whole pages are written
        sequence,
        requested_ms: head.u64()?,
        marks: Box::default(),
        vary: head.list()?.into_iter().map(Into::into).collect(),
        selection: head.bytes()?.into(),
        tags: head.list()?.into_iter().map(Into::into).collect(),
        compression: None,
        wanted: None,
        recheck_ms: 0,
    })
}

/// A content of these bytes, if they are what was written.
pub(super) fn checked(bytes: Vec<u8>, sum: u32) -> Option<Bytes> {
    (crc(&bytes) == sum).then(|| bytes.into_boxed_slice().into())
}

// === helpers ===

#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn u8(&mut self, number: u8) {
        self.0.push(number);
    }

    fn u16(&mut self, number: u16) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn u32(&mut self, number: u32) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn u64(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.u32(bytes.len() as u32);
        self.0.extend_from_slice(bytes);
    }

    fn list(&mut self, list: &[impl AsRef<[u8]>]) {
        self.u16(list.len() as u16);
        list.iter().for_each(|bytes| self.bytes(bytes.as_ref()));
    }
}

/// Reads what is there, and never past its end.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[number]| number)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let count = self.u32()? as usize;
        self.take(count)
    }

    fn list(&mut self) -> Option<Vec<Vec<u8>>> {
        (0..self.u16()?).map(|_| self.bytes().map(<[u8]>::to_vec)).collect()
    }
}
