//! One request from its head to its log line: route, upstream, answer.

use std::{
    rc::Rc,
    sync::Arc,
    time::{Instant, SystemTime},
};

use pumasi_balance::Upstream;
use pumasi_config::{AccessLog, PagesMode};
use pumasi_http1::{Fields, Known};
use pumasi_trace::Exchange;

use crate::{
    access_log::Line,
    answers::{Trouble, explain, reason},
    core::{Core, CoreSnapshot},
    counters::TrafficCounters,
    downstream::Downstream,
    files,
    forward::{Forward, Forwarded},
    heads::Length,
    pages::{self, Visit},
    request_id::RequestId,
    routes::Route,
};

/// Answers something that is not a request we can serve.
pub(crate) fn refuse<D: Downstream>(core: &Rc<Core>, down: &mut D, trouble: Trouble) {
    let serving = Serving::new(core, core.snapshot(), Err(trouble), down);
    send_trouble(core, down, serving.id, trouble);
    serving.end(down);
}

/// A request being served: counted from its beginning, and counted and logged at its end, whatever becomes of it.
///
/// ```text
/// begin --> answer_at_once --true--------------> end
///                '----------false--> answer -----'
/// ```
/// The steps are the caller's to take, so that an answer that waits for nothing never enters a future: that of a forwarded request is
/// a few hundred bytes on each of several levels, and beginning it copies them.
pub(crate) struct Serving {
    core: Rc<Core>,
    snapshot: CoreSnapshot,
    /// Which of the snapshot's.
    route: Result<u16, Trouble>,
    id: RequestId,
    began: Instant,
    read_before: u64,
    sent_before: u64,
    upstream: Option<Arc<Upstream>>,
    pages: &'static str,
    /// If the clock was read then.
    ended_at: Option<Instant>,
    /// When an upstream's answer began, if one was asked.
    answered_at: Option<Instant>,
    counted: bool,
}

impl Serving {
    /// The request is the one whose head `down` has read.
    pub fn begin<D: Downstream>(core: &Rc<Core>, down: &D) -> Serving {
        let snapshot = core.snapshot();
        let request = down.request();
        let route = match request.method() {
            b"CONNECT" => Err(Trouble::Connect),
            _ => snapshot.position(request.host(), request.path()).ok_or(Trouble::NoRoute),
        };
        Serving::new(core, snapshot, route, down)
    }

    fn new<D: Downstream>(core: &Rc<Core>, snapshot: CoreSnapshot, route: Result<u16, Trouble>, down: &D) -> Serving {
        let serving = Serving {
            core: core.clone(),
            snapshot,
            route,
            id: core.next_request_id(),
            began: Instant::now(),
            read_before: down.read_total(),
            sent_before: down.sent_total(),
            upstream: None,
            pages: "",
            ended_at: None,
            answered_at: None,
            counted: false,
        };
        serving.traffic().began();
        serving
    }

    /// Answers if nobody has to be asked: from the store, or that there is no route.
    pub fn answer_at_once<D: Downstream>(&mut self, down: &mut D) -> bool {
        match self.route() {
            Ok(route) if route.pages == PagesMode::Off => false,
            Ok(route) => {
                let found = pages::answer_at_once(&self.core, &self.snapshot, route, self.id, self.began, down);
                self.pages = found.unwrap_or("");
                found.is_some()
            }
            Err(trouble) => {
                send_trouble(&self.core, down, self.id, trouble);
                true
            }
        }
    }

    /// Answers from an upstream, or through the store. Afterwards the answer is in the output, or the connection is marked to be closed.
    pub async fn answer<D: Downstream>(&mut self, down: &mut D) {
        let Ok(position) = self.route else { return };
        let route = &self.snapshot.routes()[usize::from(position)];
        if route.pages != PagesMode::Off {
            let route = route.clone();
            // On the heap: several times as large as what a plain request needs, and only what is fetched comes here.
            return Box::pin(self.answer_through_store(&route, down)).await;
        }
        if let Some(files) = &route.files {
            let idle_timeout = self.snapshot.limits.body_idle_timeout;
            // On the heap like the above: while it waits, a connection is as large as the largest of its futures.
            let forwarded = Box::pin(files::answer(&self.core, route, files, down, self.id, None, idle_timeout)).await;
            return self.finish(forwarded, down);
        }
        let mut forward = Forward::new(&self.core, &self.snapshot, route, down, self.id, None);
        forward.began = Some(self.began);
        let forwarded = forward.run().await;
        let queued_us = forward.queued_us;
        (self.ended_at, self.answered_at) = (forward.ended_at, forward.answered_at);
        self.upstream = forward.upstream.take();
        if queued_us > 0 {
            route.traffic.queue_us.record(queued_us);
        }
        self.finish(forwarded, down);
    }

    fn finish<D: Downstream>(&self, forwarded: Forwarded, down: &mut D) {
        match forwarded {
            Forwarded::Answered => {}
            Forwarded::Trouble(trouble) => send_trouble(&self.core, down, self.id, trouble),
            Forwarded::Cut => down.close_after(),
        }
    }

    async fn answer_through_store<D: Downstream>(&mut self, route: &Arc<Route>, down: &mut D) {
        let mut visit = Visit::new(&self.core, &self.snapshot, route, self.id);
        let answered = visit.answer(down).await;
        let Visit { outcome, upstream, queued_us, answered_at, .. } = visit;
        (self.pages, self.upstream, self.answered_at) = (outcome, upstream, answered_at);
        if queued_us > 0 {
            route.traffic.queue_us.record(queued_us);
        }
        if let Err(trouble) = answered {
            send_trouble(&self.core, down, self.id, trouble);
        }
    }

    pub fn end<D: Downstream>(mut self, down: &D) {
        let ended = self.ended_at.unwrap_or_else(Instant::now);
        let took_us = ended.saturating_duration_since(self.began).as_micros() as u64;
        let status = down.status().unwrap_or(0);
        self.counted = true;
        let head = down.request();
        let sent = down.sent_total() - self.sent_before;
        let read = down.read_total() - self.read_before + head.bytes().len() as u64;
        let traffic = self.traffic();
        traffic.ended(status, took_us, read, sent);
        if let Some(answered) = self.answered_at {
            traffic.first_byte_us.record(answered.saturating_duration_since(self.began).as_micros() as u64);
        }
        self.core.counters.bytes(read, sent);
        if self.snapshot.access_log != AccessLog::Off {
            let line = Line {
                client: down.client().address_of(&head.fields, &self.snapshot.trusted_proxies),
                date: &self.core.date.common(),
                id: self.id.text(),
                method: head.method(),
                target: head.target(),
                host: head.authority(),
                version: down.protocol(),
                status,
                bytes: sent,
                took_us,
                upstream: self.upstream.as_ref().map_or("", |u| &u.name),
                pages: self.pages,
                referer: head.fields.get(Known::Referer).unwrap_or(b""),
                user_agent: head.fields.get(Known::UserAgent).unwrap_or(b""),
            };
            self.core.log.write(self.snapshot.access_log, &line);
        }
        if self.core.shared.tap.wanted() {
            self.offer(down, status, took_us, read, sent);
        }
    }

    /// Somebody listens to single exchanges.
    #[cold]
    fn offer<D: Downstream>(&self, down: &D, status: u16, took_us: u64, read_bytes: u64, sent_bytes: u64) {
        let (head, tap) = (down.request(), &self.core.shared.tap);
        let context = self.core.trace(head, self.id);
        // Most requests are in no sample: what is told of one is put together only if somebody takes it.
        if !tap.recording.wanted() && !context.is_some_and(|context| context.sampled) {
            return;
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned().into_boxed_str();
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        tap.offer(Exchange {
            ended_unix_us: since_epoch.as_micros() as u64,
            took_us,
            status,
            method: text(head.method()),
            host: text(head.authority()),
            target: text(head.target()),
            client: down.client().ip.as_str().into(),
            user_agent: pumasi_trace::hashed(head.fields.get(Known::UserAgent).unwrap_or(b""), 0),
            content_type: text(head.fields.get(Known::ContentType).unwrap_or(b"")),
            content: self.core.contents.take(self.id),
            read_bytes,
            sent_bytes,
            route: self.route().map_or("", |route| &route.name).into(),
            upstream: self.upstream.as_ref().map_or("", |upstream| &upstream.name).into(),
            pages: self.pages,
            context,
        });
    }

    fn traffic(&self) -> &TrafficCounters {
        self.route().map_or(&self.snapshot.unrouted, |route| &route.traffic)
    }

    fn route(&self) -> Result<&Arc<Route>, Trouble> {
        self.route.map(|position| &self.snapshot.routes()[usize::from(position)])
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if !self.counted {
            // The core was stopped in the middle of it.
            self.traffic().ended(0, self.began.elapsed().as_micros() as u64, 0, 0);
        }
    }
}

// === helpers ===

fn send_trouble<D: Downstream>(core: &Core, down: &mut D, id: RequestId, trouble: Trouble) {
    if trouble.closes() {
        down.close_after();
    }
    let own = explain(trouble, down.request(), id, &core.date.text());
    let length = match down.request().method() {
        b"HEAD" => Length::None(Some(own.content.len() as u64)),
        _ => Length::Known(own.content.len() as u64),
    };
    down.send_head(own.status, reason(own.status).as_bytes(), &own.lines, length);
    down.send_data(&own.content);
    down.send_end(&Fields::default());
}
