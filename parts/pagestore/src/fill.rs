//! From the origin's answer to a stored page.
use std::{
    hash::Hasher,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use pumasi_freshness::Entry;
use pumasi_httpcache::{Answered, Asked, Bypass, Exchange, FieldLines, Terms, range::ContentRange, storing, validation, vary};

use crate::{
    Key, Landing, Page, Pages, Read,
    feed::Feed,
    field_lines,
    flight::Flight,
    marks::{Mark, Marks},
    page::Draft,
};

/// The request that fetches, for itself and for whoever waits. Dropped without an end, it lets the others fetch for themselves.
pub struct Lead {
    pages: Arc<Pages>,
    key: Key,
    flight: Option<Arc<Flight>>,
    sequence: u64,
    request_ms: u64,
}

/// The origin's final head, as far as the store needs it.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    pub status: u16,
    pub reason: &'a [u8],
    /// End-to-end field lines, each with its CR LF.
    pub lines: &'a [u8],
    /// Of the content, if known.
    pub length: Option<u64>,
}

/// An answer being collected while it streams to its client, and to whoever waits. Dropped without an end, it ends theirs as broken.
pub struct Fill {
    lead: Lead,
    draft: Arc<Draft>,
    feed: Spout,
    /// All of the content, once it is complete and may be stored.
    whole: Bytes,
    loan: Arc<Loan>,
    /// What Content-Length promises.
    length: Option<u64>,
    object_bytes_max: u64,
    failed: Option<Bypass>,
}

/// A feed as the one who fills it has it.
struct Spout(Arc<Feed>);

impl Drop for Spout {
    fn drop(&mut self) {
        self.0.break_off(); // nothing, if it is complete
    }
}

/// Bytes of the budget lent to an answer on its way in; given back when dropped.
struct Loan {
    pages: Arc<Pages>,
    bytes: AtomicU64,
}

/// Content on loan, kept for a client that takes its time.
struct Kept {
    content: Bytes,
    _loan: Arc<Loan>,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.content
    }
}

/// Why an answer was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotStored(pub Bypass);

impl Lead {
    pub(crate) fn new(pages: Arc<Pages>, key: Key, flight: Option<Arc<Flight>>, sequence: u64, request_ms: u64) -> Lead {
        Lead { pages, key, flight, sequence, request_ms }
    }

    /// The origin's final head has arrived. `fields`: those of the request that was sent.
    ///
    /// Errors: why it is not stored. Whoever waited fetches for itself, and those who come in the next seconds do not wait.
    pub fn begin<'a>(self, asked: &Asked<'_>, fields: impl FieldLines<'a> + Clone, head: Head<'_>, now_ms: u64) -> Result<Fill, NotStored> {
        let answered = Answered::of(head.status, field_lines(head.lines));
        let at = Exchange { request_ms: self.request_ms, response_ms: now_ms };
        let terms = storing(asked, &answered, self.query(), &self.pages.settings.load().rules, at);
        let (lead, mut draft) = self.collect(fields, head, &answered, terms, now_ms)?;
        draft.wanted = draft.compression.as_ref().and_then(|compression| asked.codings().best(compression.codings.iter().copied()));
        let fill = Fill::new(lead, draft, head.length);
        if let Some(flight) = &fill.lead.flight {
            flight.begin(&fill.feed.0);
        }
        Ok(fill)
    }

    /// As [`Lead::begin`], for a page that no header allows to store, on the word of whoever follows what it is made of (RFC 9111 §3 is not
    /// asked). Its [`Entry`] comes at the end: [`Fill::finish_automatic`].
    ///
    /// Applications that never had a cache in front of them rarely say in Vary what they look at. So what negotiates content counts as said.
    pub fn begin_automatic<'a>(self, fields: impl FieldLines<'a> + Clone, head: Head<'_>, now_ms: u64) -> Result<Fill, NotStored> {
        let answered = Answered::of(head.status, field_lines(head.lines));
        let (lead, mut draft) = self.collect(fields.clone(), head, &answered, Ok(Terms::until_written(now_ms)), now_ms)?;
        let mut names: Vec<Box<[u8]>> = draft.vary.to_vec();
        names.extend(IMPLIED_VARY.iter().map(|name| name.as_bytes().into()));
        names.sort();
        names.dedup();
        let mut selection = Vec::new();
        vary::select(&names, fields, &mut selection);
        (draft.vary, draft.selection) = (names.into(), selection.into());
        Ok(Fill::new(lead, draft, head.length))
    }

    /// The origin answered the page's conditions with 304: the page with its fields and terms brought up to date (RFC 9111 §4.3.4), stored
    /// and given to whoever waits. Gives the lead back if the 304 is about something else: then fetch without conditions.
    pub fn confirm(mut self, page: &Page, asked: &Asked<'_>, lines: &[u8], now_ms: u64) -> Result<Arc<Page>, Lead> {
        let new = Answered::of(page.status, field_lines(lines));
        if !validation::confirms(new.etag, page.etag()) {
            return Err(self);
        }
        let fields = validation::freshened(field_lines(&page.lines), field_lines(lines), &[], &[]);
        let mut merged = Vec::with_capacity(page.lines.len() + lines.len());
        fields.iter().filter(|(name, _)| !made_anew(name)).for_each(|(name, value)| crate::lines::push(&mut merged, name, value));
        // Its age begins with the 304, whose own Age counts (§4.2.3); the stored head has none.
        let age: Vec<u8> = field_lines(lines).filter(|(name, _)| name.eq_ignore_ascii_case(b"age")).fold(Vec::new(), |mut out, (n, v)| {
            crate::lines::push(&mut out, n, v);
            out
        });
        let answered = Answered::of(page.status, field_lines(&merged).chain(field_lines(&age)));
        let at = Exchange { request_ms: self.request_ms, response_ms: now_ms };
        let terms = storing(asked, &answered, self.query(), &self.pages.settings.load().rules, at);
        let renewed = Draft {
            status: page.status,
            reason: page.reason.clone(),
            // What may no longer be stored is served once more and then gone.
            terms: terms.unwrap_or_else(|_| {
                let mut stale = page.terms;
                stale.make_stale(now_ms);
                stale
            }),
            lines: merged,
            sequence: self.sequence,
            requested_ms: self.request_ms,
            part: page.part,
            marks: page.marks.clone(),
            tags: page.tags.clone(),
            vary: page.vary.clone(),
            selection: page.selection.clone(),
            compression: page.compression.clone(),
            wanted: None,
            recheck_ms: 0,
        };
        let renewed = renewed.finish(page.body.clone(), None);
        renewed.encodings.inherit(&page.encodings);
        let renewed = Arc::new(renewed);
        match terms {
            Ok(_) if self.pages.store(&self.key, renewed.clone()).is_ok() => self.land(Landing::Page(renewed.clone())),
            _ => {
                let _ = self.pages.forget(&self.key); // nobody was promised that it is gone
                self.land(Landing::Alone);
            }
        }
        Ok(renewed)
    }

    /// What the request began with, for [`Pages::look_up`] to be asked again.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The answer is not stored: others fetch for themselves.
    pub fn refuse(mut self, reason: Bypass, now_ms: u64) -> NotStored {
        self.give_up(reason, now_ms);
        NotStored(reason)
    }

    /// Nobody needs to wait any longer: it will not be stored.
    fn give_up(&mut self, reason: Bypass, now_ms: u64) {
        self.pages.note_refused(&self.key, reason, now_ms);
        // Only what the origin said about the target tells something about the next request for it.
        let lasting =
            !matches!(reason, Bypass::NoRoom | Bypass::Incomplete | Bypass::Overtaken | Bypass::RequestNoStore | Bypass::Authorization);
        if lasting && self.flight.is_some() {
            self.pages.remember_passing(&self.key, now_ms + PASSING_MS);
        }
        self.land(Landing::Alone);
    }

    fn collect<'a>(
        self,
        fields: impl FieldLines<'a> + Clone,
        head: Head<'_>,
        answered: &Answered<'_>,
        terms: Result<Terms, Bypass>,
        now_ms: u64,
    ) -> Result<(Lead, Draft), NotStored> {
        let too_large = head.length.is_some_and(|length| length > self.pages.settings.load().object_bytes_max);
        let terms = if too_large { terms.and(Err(Bypass::TooLarge)) } else { terms };
        match terms.and_then(|terms| self.draft(answered, fields, head, terms)) {
            Ok(draft) => Ok((self, draft)),
            Err(reason) => Err(self.refuse(reason, now_ms)),
        }
    }

    fn draft<'a>(
        &self,
        answered: &Answered<'_>,
        fields: impl FieldLines<'a> + Clone,
        head: Head<'_>,
        terms: Terms,
    ) -> Result<Draft, Bypass> {
        let Head { status, reason, lines, length } = head;
        // A part that is not as long as it says is none.
        if status == 206 && answered.part.is_none_or(|part| Some(part.length()) != length) {
            return Err(Bypass::Partial);
        }
        let named =
            |wanted: &'static [u8]| field_lines(lines).filter(move |(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value);
        let names = vary::names(named(b"vary"))?;
        let mut selection = Vec::new();
        vary::select(&names, fields, &mut selection);
        let mut marks = vec![Marks::place(self.key.hash)];
        let mut kept_tags = Vec::new();
        let tags = named(b"surrogate-key").chain(named(b"cache-tag")).flat_map(tags);
        for tag in tags {
            if marks.len() > TAGS_MAX {
                return Err(Bypass::TooLarge);
            }
            marks.push(Marks::place(self.pages.keys.hash_tag(tag)));
            if self.pages.shelf.is_some() {
                kept_tags.push(tag.into());
            }
        }
        let mut kept = Vec::with_capacity(lines.len());
        for (name, value) in field_lines(lines) {
            // Each reply from a part says which part it is; on anything else the field is the origin's own affair.
            let of_part = status == 206 && name.eq_ignore_ascii_case(b"content-range");
            if !made_anew(name) && !of_part && validation::storable(name, &[], &answered.directives.withheld) {
                crate::lines::push(&mut kept, name, value);
            }
        }
        let compression = self.pages.settings.load().compression.clone();
        Ok(Draft {
            status,
            reason: reason.into(),
            compression: compression.may_code(status, &kept).then_some(compression),
            wanted: None,
            lines: kept,
            terms,
            part: answered.part.filter(|_| status == 206),
            sequence: self.sequence,
            requested_ms: self.request_ms,
            marks: dedup(marks),
            tags: kept_tags.into(),
            vary: names.into(),
            selection: selection.into(),
            recheck_ms: 0,
        })
    }

    fn store(mut self, draft: Draft, body: Bytes, entry: Option<Entry>) -> Result<Arc<Page>, NotStored> {
        let wanted = draft.wanted;
        let (draft, body) = self.combined(draft, body);
        let page = Arc::new(draft.finish(body, entry));
        match self.pages.store(&self.key, page.clone()) {
            Ok(()) => {
                if let Some(shelf) = self.pages.shelf.as_ref().filter(|_| page.lasts(page.terms.response_ms)) {
                    shelf.offer(&self.key, &page);
                }
                if let Some(coding) = wanted.filter(|_| page.compression.is_some()) {
                    self.pages.code(&self.key, &page, coding);
                }
                self.land(Landing::Page(page.clone()));
                Ok(page)
            }
            Err(reason) => {
                self.pages.note_refused(&self.key, reason, page.terms.response_ms);
                // A purge said that nobody is to have it; a write only that it is over for whoever comes now.
                let overtaken = reason == Bypass::Overtaken && page.entry().is_some() && !self.pages.purged(&page);
                self.land(if overtaken { Landing::Overtaken(page) } else { Landing::Alone });
                Err(NotStored(reason))
            }
        }
    }

    /// With what is stored of the same version around it (RFC 9111 §3.4); as the whole, if that is all of it.
    fn combined(&self, mut draft: Draft, body: Bytes) -> (Draft, Bytes) {
        let Some(new) = draft.part else { return (draft, body) };
        let etag = Answered::of(draft.status, field_lines(&draft.lines)).etag.map(<[u8]>::to_vec);
        let stored = etag.and_then(|etag| {
            let shard = self.pages.shard(&self.key);
            let resource = shard.resources.peek(self.key.hash, |resource| resource.is(&self.key))?;
            resource.part_of_same(&draft, &etag).cloned()
        });
        let Some((page, old)) = stored.and_then(|page| page.part.map(|part| (page, part))) else { return (draft, body) };
        let touching = old.total == new.total && old.first <= new.last + 1 && new.first <= old.last + 1;
        let (first, last) = (old.first.min(new.first), old.last.max(new.last));
        if !touching || last - first + 1 > self.pages.settings.load().object_bytes_max || self.pages.gone(&page) {
            return (draft, body);
        }
        let mut joined = vec![0; (last - first + 1) as usize];
        let mut place = |part: ContentRange, bytes: &[u8]| {
            let start = (part.first - first) as usize;
            joined[start..start + bytes.len()].copy_from_slice(bytes);
        };
        place(old, &page.body);
        place(new, &body);
        draft.part = Some(ContentRange { first, last, total: new.total }).filter(|part| part.length() < part.total);
        if draft.part.is_none() {
            let compression = self.pages.settings.load().compression.clone();
            (draft.status, draft.reason) = (200, b"OK"[..].into());
            draft.compression = compression.may_code(200, &draft.lines).then_some(compression);
        }
        (draft, joined.into())
    }

    fn query(&self) -> bool {
        self.key.bytes.contains(&b'?')
    }

    fn land(&mut self, landing: Landing) {
        if let Some(flight) = self.flight.take() {
            // Off the board first: whoever is woken and looks up again must not find it.
            self.pages.arrived(&self.key, &flight);
            flight.land(landing);
        }
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.land(Landing::Alone);
    }
}

impl Fill {
    fn new(lead: Lead, draft: Draft, length: Option<u64>) -> Fill {
        let loan = Arc::new(Loan { pages: lead.pages.clone(), bytes: AtomicU64::new(0) });
        let object_bytes_max = lead.pages.settings.load().object_bytes_max;
        let draft = Arc::new(draft);
        let feed = Spout(Feed::new(draft.clone(), length));
        let mut fill = Fill { lead, draft, feed, whole: Bytes::new(), loan, length, object_bytes_max, failed: None };
        if let Some(length) = length {
            fill.make_room(length);
        }
        if fill.failed.is_some() {
            fill.become_window();
        }
        fill
    }

    /// The next bytes of the content.
    pub fn data(&mut self, data: &[u8]) {
        let before = self.failed;
        let needed = self.feed.0.length() + data.len() as u64;
        if needed > self.object_bytes_max {
            self.fail(Bypass::TooLarge);
        }
        if needed > self.loan.bytes() {
            // Twice as much each time, as vectors grow, but never past what may be stored.
            self.make_room(needed.max((2 * self.loan.bytes()).min(self.object_bytes_max)));
        }
        // The piece that is too much is kept for readers none the less: it is as large as what is read at once.
        self.feed.0.append(data);
        if self.failed.is_some() && before.is_none() {
            self.become_window();
        }
        if before.is_some() && !self.feed.0.has_readers() {
            self.loan.give_back();
        }
    }

    /// Whether it will not be stored, as far as is known.
    pub fn failed(&self) -> bool {
        self.failed.is_some()
    }

    /// Whether the page may be sent in other forms, so that already this answer says what it varies by.
    pub fn coded_later(&self) -> bool {
        self.failed.is_none() && self.draft.compressible(self.length)
    }

    /// Bytes of content that have come so far.
    pub fn length(&self) -> u64 {
        self.feed.0.length()
    }

    /// Hands up to `max` bytes of what has come, from `offset` on, to `take`; returns how many.
    pub fn read(&self, offset: u64, max: usize, mut take: impl FnMut(&[u8])) -> usize {
        match self.feed.0.read(offset, max, &mut take) {
            Some(Read::Data(count)) => count,
            _ => 0,
        }
    }

    /// Whether others wait for this answer or read it while it arrives.
    pub fn has_company(&self) -> bool {
        self.feed.0.has_readers() || self.lead.flight.as_ref().is_some_and(|flight| flight.awaited())
    }

    /// The content has ended: who reads it may end as well, whether it will be stored or not. Returns what there is from `offset` on, which
    /// counts as being filled as long as somebody holds it.
    pub fn seal(&mut self, offset: u64) -> Bytes {
        if self.length.is_some_and(|length| length != self.feed.0.length()) {
            return Bytes::new();
        }
        match self.feed.0.complete() {
            Some(whole) => {
                let rest = whole.slice(offset as usize..);
                self.whole = whole;
                if rest.is_empty() { rest } else { Bytes::from_owner(Kept { content: rest, _loan: self.loan.clone() }) }
            }
            None => {
                let mut rest = Vec::new();
                self.feed.0.read(offset, usize::MAX, &mut |data| rest.extend_from_slice(data));
                rest.into()
            }
        }
    }

    /// The content has ended as it should: stores the page and gives it to whoever waits.
    pub fn finish(self, now_ms: u64) -> Result<Arc<Page>, NotStored> {
        self.finish_with(None, now_ms)
    }

    /// As [`Fill::finish`], with what the page was made of; at `recheck_ms` it is to be made again and compared.
    ///
    /// Browsers are told to ask each time (`no-cache`), and given a strong validator to ask with, unless the application has its own words: a
    /// 304 from here costs no more than a look at the slots.
    pub fn finish_automatic(mut self, entry: Entry, recheck_ms: u64, now_ms: u64) -> Result<Arc<Page>, NotStored> {
        self.seal(self.length());
        let has = |lines: &[u8], wanted: &str| field_lines(lines).any(|(name, _)| name.eq_ignore_ascii_case(wanted.as_bytes()));
        let draft = Arc::make_mut(&mut self.draft);
        if !has(&draft.lines, "etag") && draft.status == 200 {
            let tag = format!("\"{:016x}{:016x}\"", hash_of(&self.whole, 0), hash_of(&self.whole, 1));
            crate::lines::push(&mut draft.lines, b"ETag", tag.as_bytes());
        }
        if !has(&draft.lines, "cache-control") {
            crate::lines::push(&mut draft.lines, b"Cache-Control", b"no-cache");
        }
        draft.recheck_ms = recheck_ms;
        self.finish_with(Some(entry), now_ms)
    }

    /// All of the content, once it was [sealed](Fill::seal); empty before, and if it cannot be stored.
    pub fn body(&self) -> &[u8] {
        &self.whole
    }

    /// What tells apart the answers of one target, as far as this one says: its key and the fields it varies by.
    pub fn variant(&self) -> Vec<u8> {
        [self.lead.key.as_bytes(), b"\n", &self.draft.selection].concat()
    }

    pub fn status(&self) -> u16 {
        self.draft.status
    }

    fn finish_with(mut self, entry: Option<Entry>, now_ms: u64) -> Result<Arc<Page>, NotStored> {
        self.seal(self.length());
        let Fill { lead, draft, feed, whole, loan, length, failed, .. } = self;
        let complete = length.is_none_or(|length| length == feed.0.length());
        let result = match failed.or((!complete).then_some(Bypass::Incomplete)) {
            Some(reason) => Err(lead.refuse(reason, now_ms)),
            None => lead.store(Arc::unwrap_or_clone(draft), whole, entry),
        };
        drop((feed, loan));
        result
    }

    /// The page may not be stored after all.
    pub fn refuse(self, reason: Bypass, now_ms: u64) -> NotStored {
        self.lead.refuse(reason, now_ms)
    }

    /// Room for `bytes` of content in all.
    fn make_room(&mut self, bytes: u64) {
        match self.failed {
            Some(_) => {}
            None if self.loan.raise_to(bytes) => self.feed.0.reserve(bytes),
            None => self.fail(Bypass::NoRoom),
        }
    }

    fn fail(&mut self, reason: Bypass) {
        self.failed = self.failed.or(Some(reason));
    }

    /// It will not be stored: who reads it already may read on, who waits for a page need not.
    fn become_window(&mut self) {
        self.feed.0.become_window((self.loan.bytes() as usize).max(WINDOW_MIN));
        self.lead.give_up(self.failed.unwrap_or(Bypass::NoRoom), self.draft.terms.response_ms);
    }
}

impl Loan {
    fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Whether the budget lends that much.
    fn raise_to(&self, bytes: u64) -> bool {
        let more = bytes.saturating_sub(self.bytes());
        let most = self.pages.settings.load().filling_max();
        let take = |lent: u64| lent.checked_add(more).filter(|lent| *lent <= most);
        let lent = self.pages.filling.fetch_update(Relaxed, Relaxed, take).is_ok();
        if lent {
            self.bytes.fetch_add(more, Relaxed);
        }
        lent
    }

    fn give_back(&self) {
        self.pages.filling.fetch_sub(self.bytes.swap(0, Relaxed), Relaxed);
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.give_back();
    }
}

// === helpers ===

/// Fields that content is commonly chosen by.
const IMPLIED_VARY: [&str; 6] = ["accept", "accept-encoding", "accept-language", "hx-request", "origin", "x-requested-with"];

/// SipHash with fixed keys: the same content has the same tag after a restart and on another machine.
fn hash_of(body: &[u8], number: u8) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write_u8(number);
    hasher.write(body);
    hasher.finish()
}

/// Tags of one page that are followed; a page with more is not stored. They are checked at each look-up.
const TAGS_MAX: usize = 64;

/// Bytes kept of an answer that will not be stored, for those who read it already: as far as one of them may be behind.
const WINDOW_MIN: usize = 256 << 10;

/// After an answer that is not stored, requests for the same target do not wait for each other for this long.
const PASSING_MS: u64 = 10_000;

/// Fields that each reply writes itself, and those that are only for us.
fn made_anew(name: &[u8]) -> bool {
    const NAMES: [&str; 4] = ["age", "content-length", "surrogate-key", "cache-tag"];
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// Surrogate-Key is separated by spaces, Cache-Tag by commas; neither character is of use inside a tag.
fn tags(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| matches!(b, b' ' | b'\t' | b',')).filter(|tag| !tag.is_empty())
}

fn dedup(mut marks: Vec<Mark>) -> Box<[Mark]> {
    let mut index = 0;
    while index < marks.len() {
        if marks[..index].contains(&marks[index]) {
            marks.swap_remove(index);
        } else {
            index += 1;
        }
    }
    marks.into()
}
