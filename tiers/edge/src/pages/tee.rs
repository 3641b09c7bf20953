//! Downstreams that see an answer on its way to the client: [`Tee`] gives it to the store as well, [`Watch`] learns what it makes wrong.

use std::{
    io,
    ops::Range,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use pumasi_balance::Upstream;
use pumasi_http1::{Fields, RequestHead, ResponseHead};
use pumasi_httpcache::{Answered, Bypass, CacheStatus, Forward as Why, Grace, Method, invalidation};
use pumasi_pagestore::{Fill, Head, Key, Lead, Page, Pages, Ticket, field_lines};

use super::{
    asked_of,
    automatic::{Follow, Habits, answered},
    now_ms,
};
use crate::{
    downstream::{Content, Downstream, DownstreamFault},
    heads::{Client, Length},
    timer::Timer,
};

/// What a wrapper does as the downstream in it does.
macro_rules! passes_on {
    () => {
        /// Only our own answers are shared, and they do not come this way.
        fn send_shared(&mut self, data: &Bytes, range: Range<usize>) {
            self.send_data(&data[range]);
        }

        fn send_interim(&mut self, head: &ResponseHead) {
            self.down.send_interim(head);
        }

        fn request(&self) -> &RequestHead {
            self.down.request()
        }

        fn protocol(&self) -> &'static str {
            self.down.protocol()
        }

        fn client(&self) -> &Client {
            self.down.client()
        }

        fn timer(&self) -> &Timer {
            self.down.timer()
        }

        fn has_content(&self) -> bool {
            self.down.has_content()
        }

        fn poll_content(&mut self, context: &mut Context<'_>) -> Poll<Result<Content, DownstreamFault>> {
            self.down.poll_content(context)
        }

        fn content(&self, range: Range<usize>) -> &[u8] {
            self.down.content(range)
        }

        fn trailers(&self) -> &Fields {
            self.down.trailers()
        }

        fn poll_admitted(&mut self, upstream: &Arc<Upstream>, context: &mut Context<'_>) -> Poll<()> {
            match &mut self.follow {
                Some(follow) => follow.poll_admitted(self.habits, upstream, self.down.timer(), context),
                None => Poll::Ready(()),
            }
        }

        fn sending(&mut self, upstream: &Arc<Upstream>, trace: Option<&pumasi_trace::Context>) {
            if let Some(follow) = &mut self.follow {
                follow.sending(upstream, trace);
            }
            self.down.sending(upstream, trace);
        }

        fn sent_total(&self) -> u64 {
            self.down.sent_total()
        }

        fn read_total(&self) -> u64 {
            self.down.read_total()
        }

        fn status(&self) -> Option<u16> {
            self.down.status()
        }

        fn close_after(&mut self) {
            self.down.close_after();
        }
    };
}

/// Streams an answer to the client and into the store. An answer that a stored page replaces is swallowed.
///
/// While it is being stored it is fetched as fast as the origin sends it: the client has what it has not taken yet from the store, so that a
/// slow one holds neither the worker nor those who wait. And if it leaves, the fetch goes on as long as others want it.
pub(crate) struct Tee<'d, D> {
    down: &'d mut D,
    why: Why,
    stage: Stage,
    /// On automatic routes.
    follow: Option<Follow>,
    habits: &'d Habits,
}

enum Stage {
    AwaitHead {
        lead: Lead,
        page: Option<(Arc<Page>, Grace)>,
    },
    /// Streaming to the client and into the store.
    Filling(Box<Filling>),
    /// The same; whether it is stored is decided when the worker's window closes.
    Following(Box<Filling>),
    /// Streaming to the client only, or nothing more to do.
    Through(Took),
    /// Swallowing what a stored page replaces.
    Swallowing(Took),
    /// Between two stages of one call.
    Moving,
}

/// An answer on its way into the store.
struct Filling {
    fill: Fill,
    /// Bytes of the content that the client's output has had.
    sent: u64,
    /// The client has left; others have not.
    gone: bool,
}

impl Filling {
    fn of(fill: Fill) -> Box<Filling> {
        Box::new(Filling { fill, sent: 0, gone: false })
    }

    /// Bytes the client has not had yet.
    fn lag(&self) -> u64 {
        if self.gone { 0 } else { self.fill.length() - self.sent }
    }

    fn data<D: Downstream>(&mut self, data: &[u8], down: &mut D) {
        // In order, and only as much as the client takes; an answer that will not be stored is kept nowhere else.
        let direct = !self.gone && self.lag() == 0 && (self.fill.failed() || !down.full());
        self.fill.data(data);
        if direct {
            self.sent += data.len() as u64;
            down.send_data(data);
        }
    }

    /// Gives the client what has come meanwhile, as far as its output has room.
    fn pour<D: Downstream>(&mut self, down: &mut D) {
        while self.lag() > 0 && !down.full() {
            match self.fill.read(self.sent, POUR_BYTES, |data| down.send_data(data)) {
                0 => return,
                count => self.sent += count as u64,
            }
        }
    }

    /// What the client still has to get, now that the content has ended.
    fn end<D: Downstream>(&mut self, down: &mut D) {
        let rest = self.fill.seal(if self.gone { self.fill.length() } else { self.sent });
        if !rest.is_empty() {
            down.send_shared(&rest, 0..rest.len());
        }
    }

    /// Whether the fetch goes on without its client.
    fn left_alone(&mut self) -> bool {
        self.gone |= self.fill.has_company();
        self.gone
    }
}

/// Copied at once from the store to a client's output.
const POUR_BYTES: usize = 64 << 10;

/// What became of the answer.
pub(crate) enum Took {
    /// It is stored, or the fetch broke.
    Stored,
    NotStored(Bypass),
    /// 304: the page holds. Nothing was sent to the client.
    Confirmed(Arc<Page>),
    /// 304 about something else. Nothing was sent.
    Unconfirmed(Lead),
    /// The origin failed with this status and the page may be served instead. Nothing was sent.
    Failed(u16),
}

impl<'d, D: Downstream> Tee<'d, D> {
    pub fn miss(down: &'d mut D, lead: Lead, why: Why, follow: Option<Follow>, habits: &'d Habits) -> Tee<'d, D> {
        Tee { down, why, stage: Stage::AwaitHead { lead, page: None }, follow, habits }
    }

    /// For a request with the page's conditions in it.
    pub fn validation(
        down: &'d mut D,
        lead: Lead,
        page: Arc<Page>,
        grace: Grace,
        follow: Option<Follow>,
        habits: &'d Habits,
    ) -> Tee<'d, D> {
        Tee { down, why: Why::Stale, stage: Stage::AwaitHead { lead, page: Some((page, grace)) }, follow, habits }
    }

    pub fn took(self) -> Took {
        match self.stage {
            Stage::Through(took) | Stage::Swallowing(took) => took,
            Stage::AwaitHead { .. } | Stage::Filling(_) | Stage::Following(_) | Stage::Moving => Took::NotStored(Bypass::Incomplete),
        }
    }

    fn head(&mut self, lead: Lead, page: Option<(Arc<Page>, Grace)>, head: Head<'_>, length: Length) -> Stage {
        let now = now_ms();
        let asked = asked_of(self.down.request());
        match page {
            Some((page, _)) if head.status == 304 => {
                return Stage::Swallowing(match lead.confirm(&page, &asked, head.lines, now) {
                    Ok(renewed) => Took::Confirmed(renewed),
                    Err(lead) => Took::Unconfirmed(lead),
                });
            }
            Some((_, grace)) if grace.covers(Some(head.status)) => return Stage::Swallowing(Took::Failed(head.status)),
            _ => {}
        }
        if self.follow.as_ref().is_some_and(|follow| follow.takes(&answered(head.status, head.lines))) {
            return match lead.begin_automatic(self.down.request().fields.iter(), head, now) {
                Ok(fill) => {
                    let told = CacheStatus::Forwarded { why: self.why, origin_status: None, stored: false, coalesced: false, detail: None };
                    send_head_told(self.down, head, length, told, fill.coded_later());
                    Stage::Following(Filling::of(fill))
                }
                Err(not) => {
                    self.tell_not_stored(head, length, not.0);
                    Stage::Through(Took::NotStored(not.0))
                }
            };
        }
        let filled = lead.begin(&asked, self.down.request().fields.iter(), head, now);
        let told = CacheStatus::Forwarded {
            why: self.why,
            origin_status: None,
            stored: filled.is_ok(),
            coalesced: false,
            detail: filled.as_ref().err().map(|not| not.0),
        };
        send_head_told(self.down, head, length, told, filled.as_ref().is_ok_and(Fill::coded_later));
        match filled {
            Ok(fill) => Stage::Filling(Filling::of(fill)),
            Err(not) => Stage::Through(Took::NotStored(not.0)),
        }
    }

    fn tell_not_stored(&mut self, head: Head<'_>, length: Length, reason: Bypass) {
        let told = CacheStatus::Forwarded { why: self.why, origin_status: None, stored: false, coalesced: false, detail: Some(reason) };
        send_head_told(self.down, head, length, told, false);
    }

    fn end_followed(&mut self, fill: Fill, trailers: &Fields) -> Took {
        let ended = match self.follow.take() {
            Some(follow) if trailers.is_empty() => follow.end(self.habits, fill, now_ms()),
            _ => Err(fill.refuse(Bypass::Trailers, now_ms())),
        };
        match ended {
            Ok(()) => Took::Stored,
            Err(not) => Took::NotStored(not.0),
        }
    }

    fn end(&mut self, fill: Fill, trailers: &Fields) -> Took {
        // Trailers are part of the message and have no place in the store.
        let stored = if trailers.is_empty() { fill.finish(now_ms()).map(drop) } else { Err(fill.refuse(Bypass::Trailers, now_ms())) };
        match stored {
            Ok(()) => Took::Stored,
            Err(not) => Took::NotStored(not.0),
        }
    }
}

impl<D: Downstream> Downstream for Tee<'_, D> {
    fn send_head(&mut self, status: u16, reason: &[u8], lines: &[u8], length: Length) {
        let head = Head { status, reason, lines, length: known(length) };
        self.stage = match std::mem::replace(&mut self.stage, Stage::Moving) {
            Stage::AwaitHead { lead, page } => self.head(lead, page, head, length),
            other => other,
        };
    }

    fn send_data(&mut self, data: &[u8]) {
        match &mut self.stage {
            Stage::Swallowing(_) => {}
            Stage::Filling(filling) | Stage::Following(filling) => filling.data(data, self.down),
            _ => self.down.send_data(data),
        }
    }

    fn send_end(&mut self, trailers: &Fields) {
        let mut gone = false;
        self.stage = match std::mem::replace(&mut self.stage, Stage::Moving) {
            Stage::Swallowing(took) => {
                self.stage = Stage::Swallowing(took);
                return;
            }
            Stage::Filling(mut filling) => {
                filling.end(self.down);
                gone = filling.gone;
                Stage::Through(self.end(filling.fill, trailers))
            }
            Stage::Following(mut filling) => {
                filling.end(self.down);
                gone = filling.gone;
                Stage::Through(self.end_followed(filling.fill, trailers))
            }
            other => other,
        };
        match gone {
            true => self.down.close_after(),
            false => self.down.send_end(trailers),
        }
    }

    fn send_switch(&mut self, head: &ResponseHead, lines: &[u8]) {
        self.stage = Stage::Through(Took::NotStored(Bypass::Upgrade));
        self.down.send_switch(head, lines);
    }

    fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.stage {
            Stage::Filling(filling) | Stage::Following(filling) => {
                if filling.gone || self.down.poll_gone(context).is_ready() && filling.left_alone() {
                    return Poll::Pending;
                }
                self.down.poll_gone(context)
            }
            _ => self.down.poll_gone(context),
        }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (Stage::Filling(filling) | Stage::Following(filling)) = &mut self.stage else { return self.down.poll_flush(context) };
        loop {
            if filling.gone {
                return Poll::Ready(Ok(()));
            }
            let flushed = self.down.poll_flush(context);
            if matches!(flushed, Poll::Ready(Err(_))) && filling.left_alone() {
                return Poll::Ready(Ok(()));
            }
            let lag = filling.lag();
            filling.pour(self.down);
            if filling.lag() == lag || !matches!(flushed, Poll::Ready(Ok(()))) {
                return flushed;
            }
        }
    }

    fn full(&self) -> bool {
        match &self.stage {
            Stage::Filling(filling) | Stage::Following(filling) if filling.fill.failed() => {
                filling.lag() > 0 || !filling.gone && self.down.full()
            }
            Stage::Filling(_) | Stage::Following(_) => false,
            _ => self.down.full(),
        }
    }

    fn unsent(&self) -> usize {
        match &self.stage {
            Stage::Filling(filling) | Stage::Following(filling) if filling.gone => 0,
            Stage::Filling(filling) | Stage::Following(filling) => self.down.unsent() + filling.lag() as usize,
            _ => self.down.unsent(),
        }
    }

    passes_on!();
}

/// Streams an answer that is not stored, and forgets what a change that succeeded made wrong: before its first byte leaves, so that
/// whoever saw the change confirmed never meets an older page.
pub(crate) struct Watch<'d, D> {
    down: &'d mut D,
    pages: Arc<Pages>,
    key: Key,
    reason: Bypass,
    fill: Option<Fill>,
    /// What the answer waits for: that a crash cannot bring back what it makes wrong.
    durable: Vec<Ticket>,
    /// On automatic routes: what the request writes and reads counts for all that are in flight at its worker.
    follow: Option<Follow>,
    habits: &'d Habits,
}

impl<'d, D: Downstream> Watch<'d, D> {
    pub fn new(down: &'d mut D, pages: Arc<Pages>, key: Key, reason: Bypass, follow: Option<Follow>, habits: &'d Habits) -> Watch<'d, D> {
        Watch { down, pages, key, reason, fill: None, durable: Vec::new(), follow, habits }
    }

    /// Ready once nothing keeps the answer back any more.
    pub fn poll_durable(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while let Some(&ticket) = self.durable.last() {
            ready!(self.pages.poll_durable(ticket, context));
            self.durable.pop();
        }
        Poll::Ready(())
    }

    /// Whether the answer may go although what it waits for is not done.
    pub fn may_confirm(&self) -> bool {
        self.durable.iter().all(|&ticket| self.pages.may_confirm(ticket))
    }

    /// RFC 9111 §4.4.
    fn invalidate(&self, answered: &Answered<'_>) -> Vec<Ticket> {
        let mut tickets = Vec::from_iter(self.pages.invalidate(&self.key, now_ms()));
        let request = self.down.request();
        for target in invalidation::also(answered, request.authority(), request.path_and_query()) {
            tickets.extend(self.pages.invalidate(&self.pages.key(self.down.client().scheme, request.authority(), &target), now_ms()));
        }
        tickets
    }

    /// The answer to a POST that says it is what a GET would get (RFC 9110 §9.3.3).
    fn begin(&self, answered: &Answered<'_>, head: Head<'_>) -> Option<Fill> {
        let request = self.down.request();
        let location = invalidation::resolve(answered.content_location?, request.authority(), request.path_and_query())?;
        if head.status != 200 || location != request.path_and_query() {
            return None;
        }
        let now = now_ms();
        self.pages.lead(&self.key, now).begin(&asked_of(request), request.fields.iter(), head, now).ok()
    }
}

impl<D: Downstream> Downstream for Watch<'_, D> {
    fn send_head(&mut self, status: u16, reason: &[u8], lines: &[u8], length: Length) {
        let head = Head { status, reason, lines, length: known(length) };
        let method = Method::of(self.down.request().method());
        if method.changes() {
            let answered = Answered::of(status, field_lines(lines));
            if answered.not_an_error() {
                self.durable = self.invalidate(&answered);
                if method == Method::Post {
                    self.fill = self.begin(&answered, head);
                }
            }
        }
        let why = if self.reason == Bypass::Method && !matches!(method, Method::Head) { Why::Method } else { Why::Bypass };
        let detail = (why == Why::Bypass).then_some(self.reason);
        let told = CacheStatus::Forwarded { why, origin_status: None, stored: self.fill.is_some(), coalesced: false, detail };
        send_head_told(self.down, head, length, told, false);
    }

    fn send_data(&mut self, data: &[u8]) {
        if let Some(fill) = &mut self.fill {
            fill.data(data);
        }
        self.down.send_data(data);
    }

    fn send_end(&mut self, trailers: &Fields) {
        if let Some(fill) = self.fill.take().filter(|_| trailers.is_empty()) {
            let _ = fill.finish(now_ms()); // a page less
        }
        self.down.send_end(trailers);
    }

    fn send_switch(&mut self, head: &ResponseHead, lines: &[u8]) {
        self.down.send_switch(head, lines);
    }

    fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.down.poll_gone(context)
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_durable(context));
        self.down.poll_flush(context)
    }

    fn full(&self) -> bool {
        self.down.full()
    }

    fn unsent(&self) -> usize {
        self.down.unsent()
    }

    passes_on!();
}

// === helpers ===

fn known(length: Length) -> Option<u64> {
    match length {
        Length::Known(length) => Some(length),
        Length::None(_) => Some(0),
        Length::Open => None,
    }
}

/// Sends the origin's head on, with our Cache-Status and without the tags that are for us. `coded_later`: the next client may get another form.
fn send_head_told<D: Downstream>(down: &mut D, head: Head<'_>, length: Length, told: CacheStatus, coded_later: bool) {
    let mut lines = Vec::with_capacity(head.lines.len() + 64);
    let ours = |name: &[u8]| name.eq_ignore_ascii_case(b"surrogate-key") || name.eq_ignore_ascii_case(b"cache-tag");
    if field_lines(head.lines).any(|(name, _)| ours(name)) {
        for (name, value) in field_lines(head.lines).filter(|(name, _)| !ours(name)) {
            for part in [name, b": ", value, b"\r\n"] {
                lines.extend_from_slice(part);
            }
        }
    } else {
        lines.extend_from_slice(head.lines);
    }
    if coded_later {
        lines.extend_from_slice(b"Vary: Accept-Encoding\r\n");
    }
    lines.extend_from_slice(b"Cache-Status: ");
    told.write(&mut lines);
    lines.extend_from_slice(b"\r\n");
    down.send_head(head.status, head.reason, &lines, length);
}
