//! One request from its head to its log line: route, store, upstream, answer.

use std::{future::poll_fn, rc::Rc, sync::Arc, task::Poll, time::Instant};

use pumasi_config::{AccessLog, PagesMode};
use pumasi_http1::{Fields, Known, Version};

use crate::{
    access_log::Line,
    answers::{Trouble, explain, reason},
    core::{Core, RequestId},
    counters::TrafficCounters,
    downstream::{Downstream, background::Background},
    forward::{Forward, Forwarded},
    heads::Length,
    pages::{Answer, AnswerContent, Ask, Fill, Lookup},
    routes::{Route, Snapshot},
};

/// Serves the request that `down` has read. Afterwards its answer is in the output, or the connection is marked to be closed.
pub(crate) async fn serve<D: Downstream>(core: &Rc<Core>, down: &mut D) {
    let snapshot = core.snapshot();
    let route = find_route(&snapshot, down);
    let traffic = route.as_ref().map_or(&snapshot.unrouted, |route| &route.traffic);
    let mut served = Served::begin(core, &snapshot, traffic, down);
    match &route {
        Ok(route) => answer(core, &snapshot, route, down, &mut served).await,
        Err(trouble) => send_trouble(core, down, served.id, *trouble),
    }
    served.end(down);
}

/// Answers something that is not a request we can serve.
pub(crate) async fn refuse<D: Downstream>(core: &Rc<Core>, down: &mut D, trouble: Trouble) {
    let snapshot = core.snapshot();
    let served = Served::begin(core, &snapshot, &snapshot.unrouted, down);
    send_trouble(core, down, served.id, trouble);
    served.end(down);
}

fn find_route<D: Downstream>(snapshot: &Snapshot, down: &D) -> Result<Arc<Route>, Trouble> {
    let request = down.request();
    match request.method() {
        b"CONNECT" => Err(Trouble::Connect),
        _ => snapshot.find(request.host(), request.path()).cloned().ok_or(Trouble::NoRoute),
    }
}

async fn answer<D: Downstream>(core: &Rc<Core>, snapshot: &Arc<Snapshot>, route: &Arc<Route>, down: &mut D, served: &mut Served<'_>) {
    let fill = match look_up(core, snapshot, route, down).await {
        Found::Answer(answer) => return send_answer(down, answer, served).await,
        Found::AnswerAndFetch(answer, fill) => {
            fetch_in_background(core, snapshot, route, down, fill);
            return send_answer(down, answer, served).await;
        }
        Found::Forward(fill, outcome) => {
            served.pages = outcome;
            fill
        }
    };
    let mut forward = Forward::new(core, snapshot, route, down, served.id, fill);
    let forwarded = forward.run().await;
    let (fill, queued_us) = (forward.fill.take(), forward.queued_us);
    served.upstream = forward.upstream.take();
    if queued_us > 0 {
        route.traffic.queue_us.record(queued_us);
    }
    match forwarded {
        Forwarded::Answered => {}
        Forwarded::Instead(answer) => send_answer(down, answer, served).await,
        Forwarded::Trouble(trouble) => match fill.and_then(Fill::failed) {
            Some(answer) if trouble.status() >= 500 => send_answer(down, answer, served).await,
            _ => send_trouble(core, down, served.id, trouble),
        },
        Forwarded::Cut => down.close_after(),
    }
}

enum Found {
    Answer(Answer),
    AnswerAndFetch(Answer, Box<dyn Fill>),
    /// With what the access log says about it.
    Forward(Option<Box<dyn Fill>>, &'static str),
}

/// Asks the store, as often as it wants to be asked again.
async fn look_up<D: Downstream>(core: &Rc<Core>, snapshot: &Snapshot, route: &Arc<Route>, down: &D) -> Found {
    let Some(store) = snapshot.pages.as_ref().filter(|_| route.pages != PagesMode::Off) else {
        return Found::Forward(None, "");
    };
    let client = down.client();
    for attempt in 0..LOOKUPS_MAX {
        let ask = Ask { head: down.request(), scheme: client.scheme, route, client: &client.ip };
        match store.look_up(&ask, attempt) {
            Lookup::Answer(answer) => return Found::Answer(answer),
            Lookup::AnswerAndFetch(answer, fill) => return Found::AnswerAndFetch(answer, fill),
            Lookup::Fetch(fill) => return Found::Forward(Some(fill), "miss"),
            Lookup::Bypass(reason) => return Found::Forward(None, reason),
            Lookup::Wait(until) => wait(core, snapshot, until, down).await,
        }
    }
    Found::Forward(None, "waited too often")
}

/// Waits for another request's fetch, at most as long as the configuration says.
async fn wait<D: Downstream>(_core: &Rc<Core>, snapshot: &Snapshot, mut until: std::pin::Pin<Box<dyn Future<Output = ()>>>, down: &D) {
    let timer = down.timer();
    timer.arm(snapshot.wait_max);
    poll_fn(|context| {
        if until.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        timer.watch(context);
        if timer.fired() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    timer.disarm();
}

/// Repeats the request for the store alone, while the client already has an answer.
fn fetch_in_background<D: Downstream>(core: &Rc<Core>, snapshot: &Arc<Snapshot>, route: &Arc<Route>, down: &D, fill: Box<dyn Fill>) {
    let mut nobody = Background::new(down.request().clone(), down.client().clone(), core.timers.timer());
    let (core, snapshot, route) = (core.clone(), snapshot.clone(), route.clone());
    tokio::task::spawn_local(async move {
        let id = core.next_request_id();
        let mut forward = Forward::new(&core, &snapshot, &route, &mut nobody, id, Some(fill));
        let _ = forward.run().await; // the fill has heard everything, or is dropped and knows that it failed
    });
}

/// Sends an answer of the store.
async fn send_answer<D: Downstream>(down: &mut D, answer: Answer, served: &mut Served<'_>) {
    served.pages = answer.outcome;
    let without_content = down.request().method() == b"HEAD" || matches!(answer.status, 204 | 304);
    let length = match (answer.length, without_content) {
        (Length::Known(length), true) => Length::None(Some(length)),
        (Length::Open, true) => Length::None(None),
        (length, _) => length,
    };
    let mut lines = served.core.lines.take();
    lines.clear();
    lines.extend_from_slice(&answer.lines);
    lines.extend_from_slice(&answer.more);
    down.send_head(answer.status, reason(answer.status).as_bytes(), &lines, length);
    served.core.lines.set(lines);
    if matches!(length, Length::None(_)) {
        return down.send_end(&Fields::default());
    }
    let limits = &served.snapshot.limits;
    match answer.content {
        AnswerContent::Whole(content) => {
            for piece in content.chunks(PIECE) {
                down.send_data(piece);
                if down.full() && !drain_output(down, limits.body_idle_timeout).await {
                    return down.close_after();
                }
            }
        }
        AnswerContent::Growing(mut content) => loop {
            match next_piece(down, &mut *content, limits.body_idle_timeout).await {
                Some(Ok(data)) => {
                    for piece in data.chunks(PIECE) {
                        down.send_data(piece);
                        if down.full() && !drain_output(down, limits.body_idle_timeout).await {
                            return down.close_after();
                        }
                    }
                }
                Some(Err(_)) => return down.close_after(),
                None => break,
            }
        },
    }
    down.send_end(&Fields::default());
}

/// The next piece of a growing answer; meanwhile what is there already goes out.
async fn next_piece<D: Downstream>(
    down: &mut D,
    content: &mut dyn crate::pages::Growing,
    timeout: std::time::Duration,
) -> Option<Result<bytes::Bytes, crate::pages::Aborted>> {
    down.timer().arm(timeout);
    poll_fn(|context| {
        if let Poll::Ready(piece) = content.poll_next(context) {
            return Poll::Ready(piece);
        }
        if let Poll::Ready(Err(_)) = down.poll_flush(context) {
            return Poll::Ready(Some(Err(crate::pages::Aborted)));
        }
        down.timer().watch(context);
        if down.timer().fired() { Poll::Ready(Some(Err(crate::pages::Aborted))) } else { Poll::Pending }
    })
    .await
}

/// Waits until the client has taken enough. `false` if it takes nothing for `timeout`, or is gone.
async fn drain_output<D: Downstream>(down: &mut D, timeout: std::time::Duration) -> bool {
    down.timer().arm(timeout);
    let mut unsent = down.unsent();
    poll_fn(|context| {
        if let Poll::Ready(result) = down.poll_flush(context) {
            return Poll::Ready(result.is_ok());
        }
        if down.unsent() < unsent {
            unsent = down.unsent();
            down.timer().arm(timeout);
        }
        down.timer().watch(context);
        if down.timer().fired() { Poll::Ready(false) } else { Poll::Pending }
    })
    .await
}

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

/// Counts and logs one request, whatever becomes of it.
struct Served<'a> {
    core: &'a Rc<Core>,
    snapshot: &'a Snapshot,
    traffic: Option<&'a TrafficCounters>,
    id: RequestId,
    began: Instant,
    read_before: u64,
    sent_before: u64,
    upstream: Option<Arc<pumasi_balance::Upstream>>,
    pages: &'static str,
}

impl<'a> Served<'a> {
    fn begin<D: Downstream>(core: &'a Rc<Core>, snapshot: &'a Snapshot, traffic: &'a TrafficCounters, down: &D) -> Served<'a> {
        traffic.began();
        Served {
            core,
            snapshot,
            traffic: Some(traffic),
            id: core.next_request_id(),
            began: Instant::now(),
            read_before: down.read_total(),
            sent_before: down.sent_total(),
            upstream: None,
            pages: "",
        }
    }

    fn end<D: Downstream>(mut self, down: &D) {
        let took_us = self.began.elapsed().as_micros() as u64;
        let status = down.status().unwrap_or(0);
        if let Some(traffic) = self.traffic.take() {
            traffic.ended(status, took_us);
        }
        let head = down.request();
        let sent = down.sent_total() - self.sent_before;
        let read = down.read_total() - self.read_before + head.bytes().len() as u64;
        self.core.counters.bytes(read, sent);
        if self.snapshot.access_log != AccessLog::Off {
            let line = Line {
                client: &down.client().ip,
                date: &self.core.date.common(),
                id: self.id.text(),
                method: head.method(),
                target: head.target(),
                host: head.authority(),
                version: if head.version == Version::Http11 { "HTTP/1.1" } else { "HTTP/1.0" },
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
    }
}

impl Drop for Served<'_> {
    fn drop(&mut self) {
        // The core was stopped in the middle of it.
        if let Some(traffic) = self.traffic {
            traffic.ended(0, self.began.elapsed().as_micros() as u64);
        }
    }
}

/// How often a request may wait for somebody else's fetch. Each wait is bounded; without this a page that never gets stored would be waited
/// for again and again.
const LOOKUPS_MAX: u32 = 4;

/// Content of stored answers goes to the output in pieces of this size, and on only when the client has taken enough.
const PIECE: usize = 32 << 10;
