//! The content of an answer while it arrives, for the one who fetches it and for those who came meanwhile.
//!
//! The fetch appends, readers copy from wherever they are; nobody waits for anybody:
//!
//! ```text
//! origin --> Fill::data --> Feed --+--> the client that fetches, at its own pace
//!                                  +--> Stream (who waited, on whatever core), at theirs
//! ```
//! Once complete, the content is one shared piece: what a reader has not had yet it gets without a copy. An answer that turns out too large to
//! be kept becomes a window that moves on: a reader more than half a window behind is cut off ([`Read::Broken`]), the fetch never waits.
//!
//! **Invariant:** a reader is told [`Read::End`] only if every byte the origin sent has been read by it.
use std::{
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use pumasi_httpcache::{Asked, CacheStatus, FieldLines, Forward, Reuse, vary};

use crate::{
    Key, Pages,
    lines::push_number,
    lock,
    page::{Draft, push_vary},
};

/// One answer on its way in.
#[derive(Debug)]
pub(crate) struct Feed {
    draft: Arc<Draft>,
    /// Of the whole content, if the origin has said it.
    length: Option<u64>,
    flow: Mutex<Flow>,
}

#[derive(Debug, Default)]
struct Flow {
    /// What came before `content` and is no longer there.
    dropped: u64,
    content: Vec<u8>,
    /// All of it, in place of `content`.
    whole: Option<Bytes>,
    ended: Option<Ended>,
    /// Bytes kept once nothing is to be stored any more.
    window: Option<usize>,
    readers: Vec<(u64, Option<Waker>)>,
    next: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Complete,
    Broken,
}

/// What a reader gets.
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    /// So many bytes were handed over.
    Data(usize),
    /// All that was missing.
    Rest(Bytes),
    End,
    /// The fetch failed, or this reader is too far behind: what was sent so far must not look complete.
    Broken,
}

impl Feed {
    pub fn new(draft: Arc<Draft>, length: Option<u64>) -> Arc<Feed> {
        Arc::new(Feed { draft, length, flow: Mutex::default() })
    }

    /// Room for `bytes` of content in all.
    pub fn reserve(&self, bytes: u64) {
        let mut flow = lock(&self.flow);
        let more = (bytes as usize).saturating_sub(flow.content.len());
        flow.content.reserve_exact(more);
    }

    pub fn append(&self, data: &[u8]) {
        let mut flow = lock(&self.flow);
        match flow.window {
            // Nobody reads: nothing is kept.
            Some(_) if flow.readers.is_empty() => {
                flow.dropped += (flow.content.len() + data.len()) as u64;
                flow.content = Vec::new();
                return;
            }
            // Half a window at a time, so that each byte is moved once at most.
            Some(window) if flow.content.len() + data.len() > window => {
                let half = flow.content.len().min((window / 2).max(data.len()));
                flow.content.drain(..half);
                flow.dropped += half as u64;
            }
            _ => {}
        }
        flow.content.extend_from_slice(data);
        flow.wake();
    }

    /// It will not be stored: what was collected becomes a window of at most `bytes` that moves on with the next data.
    pub fn become_window(&self, bytes: usize) {
        lock(&self.flow).window = Some(bytes);
    }

    /// Bytes that have come so far.
    pub fn length(&self) -> u64 {
        lock(&self.flow).length()
    }

    /// The content has ended as it should. Returns all of it, unless some was dropped.
    pub fn complete(&self) -> Option<Bytes> {
        let mut flow = lock(&self.flow);
        flow.ended = Some(Ended::Complete);
        if flow.window.is_none() && flow.whole.is_none() {
            flow.whole = Some(std::mem::take(&mut flow.content).into_boxed_slice().into());
        }
        flow.wake();
        flow.whole.clone()
    }

    /// The fetch ended without an end.
    pub fn break_off(&self) {
        let mut flow = lock(&self.flow);
        if flow.ended.is_none() {
            flow.ended = Some(Ended::Broken);
            flow.content = Vec::new();
            flow.wake();
        }
    }

    /// Whether somebody besides the one who fetches is reading.
    pub fn has_readers(&self) -> bool {
        !lock(&self.flow).readers.is_empty()
    }

    /// Hands up to `max` bytes from `offset` on to `take`, without waiting for more. `None`: there is no more yet.
    pub fn read(&self, offset: u64, max: usize, take: &mut impl FnMut(&[u8])) -> Option<Read> {
        lock(&self.flow).read(offset, max, take)
    }
}

impl Flow {
    fn length(&self) -> u64 {
        self.dropped + self.whole.as_ref().map_or(self.content.len(), Bytes::len) as u64
    }

    fn read(&self, offset: u64, max: usize, take: &mut impl FnMut(&[u8])) -> Option<Read> {
        let Some(start) = offset.checked_sub(self.dropped) else { return Some(Read::Broken) };
        if let Some(whole) = &self.whole {
            return Some(if start == whole.len() as u64 { Read::End } else { Read::Rest(whole.slice(start as usize..)) });
        }
        let there = self.content.get(start as usize..).unwrap_or_default();
        if !there.is_empty() && self.ended != Some(Ended::Broken) {
            let count = there.len().min(max);
            take(&there[..count]);
            return Some(Read::Data(count));
        }
        self.ended.map(|ended| match ended {
            Ended::Complete => Read::End,
            Ended::Broken => Read::Broken,
        })
    }

    fn wake(&mut self) {
        self.readers.iter_mut().filter_map(|(_, waker)| waker.take()).for_each(Waker::wake);
    }
}

/// An answer that somebody else fetches, read while it arrives. Dropping it reads no further.
#[derive(Debug)]
pub struct Stream {
    feed: Arc<Feed>,
    number: u64,
    offset: u64,
}

impl Clone for Stream {
    /// A reader of its own, from the beginning.
    fn clone(&self) -> Stream {
        Stream::of(&self.feed)
    }
}

impl Stream {
    pub(crate) fn of(feed: &Arc<Feed>) -> Stream {
        let mut flow = lock(&feed.flow);
        let number = flow.next;
        flow.next += 1;
        flow.readers.push((number, None));
        drop(flow);
        Stream { feed: feed.clone(), number, offset: 0 }
    }

    pub fn status(&self) -> u16 {
        self.feed.draft.status
    }

    pub fn reason(&self) -> &[u8] {
        &self.feed.draft.reason
    }

    /// Of the whole content, if the origin has said it.
    pub fn length(&self) -> Option<u64> {
        self.feed.length
    }

    /// Appends the field lines, without framing.
    pub fn write_lines(&self, now_ms: u64, lines: &mut Vec<u8>) {
        let draft = &self.feed.draft;
        lines.extend_from_slice(&draft.lines);
        if draft.compressible(self.feed.length) {
            push_vary(lines);
        }
        lines.extend_from_slice(b"Age: ");
        push_number(lines, draft.terms.age_s(now_ms));
        lines.extend_from_slice(b"\r\nCache-Status: ");
        CacheStatus::Forwarded { why: Forward::UriMiss, origin_status: None, stored: true, coalesced: true, detail: None }.write(lines);
        lines.extend_from_slice(b"\r\n");
    }

    /// The next bytes, at most `max`. Pending until there are some; the task is woken then.
    pub fn poll_read(&mut self, context: &mut Context<'_>, max: usize, mut take: impl FnMut(&[u8])) -> Poll<Read> {
        let mut flow = lock(&self.feed.flow);
        match flow.read(self.offset, max, &mut take) {
            Some(read) => {
                match &read {
                    Read::Data(count) => self.offset += *count as u64,
                    Read::Rest(rest) => self.offset += rest.len() as u64,
                    Read::End | Read::Broken => {}
                }
                Poll::Ready(read)
            }
            None => {
                if let Some((_, waker)) = flow.readers.iter_mut().find(|(number, _)| *number == self.number) {
                    *waker = Some(context.waker().clone());
                }
                Poll::Pending
            }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        lock(&self.feed.flow).readers.retain(|(number, _)| *number != self.number);
    }
}

impl Pages {
    /// Whether this request may be answered with what is arriving: it asks for all of a page that it could also have from the store, and
    /// nothing has overtaken the fetch before now.
    pub fn may_stream<'a>(&self, stream: &Stream, key: &Key, asked: &Asked<'a>, fields: impl FieldLines<'a> + Clone, now_ms: u64) -> bool {
        let draft = &stream.feed.draft;
        let whole = asked.plain() && asked.method == pumasi_httpcache::Method::Get;
        let kept = !matches!(draft.status, 204 | 304) && draft.terms.reuse(asked, now_ms) == Reuse::Fresh;
        let mut selection = Vec::new();
        vary::select(&draft.vary, fields, &mut selection);
        whole && kept && *selection == *draft.selection && !self.overtook(key, draft)
    }

    fn overtook(&self, key: &Key, draft: &Draft) -> bool {
        self.marks.overtook(&draft.marks, draft.sequence)
            || self.marks.pattern_overtook(&key.bytes, draft.sequence)
            || self.marks.soft_ms(&draft.marks) >= draft.requested_ms
    }
}
