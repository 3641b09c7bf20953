//! One request from its head to its log line: route, upstream, answer.

use std::{rc::Rc, sync::Arc, time::Instant};

use pumasi_config::{AccessLog, PagesMode};
use pumasi_http1::{Fields, Known};

use crate::{
    access_log::Line,
    answers::{Trouble, explain, reason},
    core::{Core, RequestId},
    counters::TrafficCounters,
    downstream::Downstream,
    forward::{Forward, Forwarded},
    heads::Length,
    pages::Visit,
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
    if route.pages != PagesMode::Off {
        return answer_with_pages(core, snapshot, route, down, served).await;
    }
    let mut forward = Forward::new(core, snapshot, route, down, served.id, None);
    let forwarded = forward.run().await;
    let queued_us = forward.queued_us;
    served.upstream = forward.upstream.take();
    if queued_us > 0 {
        route.traffic.queue_us.record(queued_us);
    }
    match forwarded {
        Forwarded::Answered => {}
        Forwarded::Trouble(trouble) => send_trouble(core, down, served.id, trouble),
        Forwarded::Cut => down.close_after(),
    }
}

async fn answer_with_pages<D: Downstream>(
    core: &Rc<Core>,
    snapshot: &Arc<Snapshot>,
    route: &Arc<Route>,
    down: &mut D,
    served: &mut Served<'_>,
) {
    let mut visit = Visit { core, snapshot, route, id: served.id, outcome: "", upstream: None, queued_us: 0 };
    let answered = visit.answer(down).await;
    let Visit { outcome, upstream, queued_us, .. } = visit;
    (served.pages, served.upstream) = (outcome, upstream);
    if queued_us > 0 {
        route.traffic.queue_us.record(queued_us);
    }
    if let Err(trouble) = answered {
        send_trouble(core, down, served.id, trouble);
    }
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
    down.send_shared(own.content.into());
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
