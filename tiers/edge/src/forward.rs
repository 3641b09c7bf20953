//! Finding a place for a request at an upstream, and another one if the first fails.

use std::{error::Error, future::poll_fn, rc::Rc, sync::Arc, time::Instant};

use pumasi_balance::{Lease, Outcome, Upstream, UpstreamId};
use pumasi_config::{AccessLog, HashBy};
use pumasi_http1::{Asked, Framing, Known};
use pumasi_trace::Caller;
use tracing::{debug, warn};

use crate::{
    answers::Trouble,
    core::Core,
    downstream::{Downstream, DownstreamFault},
    exchange::{Exchange, Fault},
    heads::{RequestEdit, forwards_upgrade, write_request},
    place,
    request_id::RequestId,
    routes::{Route, Snapshot},
    sticky::Attachment,
    upstream::{
        UpstreamConnection, UpstreamFault,
        http2::{Http2Request, Place},
        websocket,
        wire::Speak,
    },
};

/// Upstreams one request may be sent to: the first and one more.
const ATTEMPTS_MAX: usize = 2;

/// How forwarding ended.
pub(crate) enum Forwarded {
    /// The answer is in the client's output.
    Answered,
    /// Nothing was sent to the client: it can be told.
    Trouble(Trouble),
    /// It broke after the head was sent, or the client is gone: the connection cannot be used any more.
    Cut,
}

/// One request on its way.
pub(crate) struct Forward<'a, D> {
    pub core: &'a Rc<Core>,
    pub snapshot: &'a Snapshot,
    pub route: &'a Route,
    pub down: &'a mut D,
    pub id: RequestId,
    /// How the request is changed on its way.
    edit: Option<&'a RequestEdit>,
    /// Who answered, or was asked last. Only while somebody wants to know: the access log, or who listens to exchanges.
    pub upstream: Option<Arc<Upstream>>,
    pub queued_us: u64,
    /// A reading of the clock that is young enough to begin with: when the request's head was read, if nothing was waited for since.
    pub began: Option<Instant>,
    /// When the answer's head arrived, if its end came with it. Saves the caller a look at the clock.
    pub ended_at: Option<Instant>,
    /// When the answer's head arrived.
    pub answered_at: Option<Instant>,
    taken: u64,
    attachment: Attachment,
}

impl<'a, D: Downstream> Forward<'a, D> {
    pub fn new(
        core: &'a Rc<Core>,
        snapshot: &'a Snapshot,
        route: &'a Route,
        down: &'a mut D,
        id: RequestId,
        edit: Option<&'a RequestEdit>,
    ) -> Self {
        Forward {
            core,
            snapshot,
            route,
            down,
            id,
            edit,
            upstream: None,
            queued_us: 0,
            began: None,
            ended_at: None,
            answered_at: None,
            taken: 0,
            attachment: Attachment::default(),
        }
    }

    pub async fn run(&mut self) -> Forwarded {
        let mut tried: [Option<UpstreamId>; ATTEMPTS_MAX] = [None; ATTEMPTS_MAX];
        let mut last = None;
        let named = self.snapshot.access_log != AccessLog::Off || self.core.shared.tap.wanted();
        for attempt in 0..ATTEMPTS_MAX {
            let exclude: &[UpstreamId] = match &tried[0] {
                Some(first) => std::slice::from_ref(first),
                None => &[],
            };
            let own = if attempt == 0 { self.own_place() } else { None };
            let found = match own {
                Some(lease) => Ok(lease),
                None => self.find_place(exclude).await,
            };
            let mut lease = match found {
                Ok(lease) => lease,
                Err(trouble) => return Forwarded::Trouble(last.unwrap_or(trouble)),
            };
            tried[attempt] = Some(lease.upstream().id());
            if attempt > 0 {
                self.route.pool.retried();
            }
            if named {
                self.upstream = Some(lease.upstream().clone());
            }
            match self.attempt(&mut lease).await {
                Ok(()) => return Forwarded::Answered,
                Err(Fault::Downstream(fault)) => return self.give_up_on_client(fault),
                Err(Fault::Upstream(fault)) => {
                    self.report(lease, &fault);
                    if self.down.status().is_some() {
                        return Forwarded::Cut;
                    }
                    let again = self.may_repeat(&fault) && attempt + 1 < ATTEMPTS_MAX && self.route.pool.may_retry(Instant::now());
                    last = Some(trouble_of(&fault));
                    if !again {
                        break;
                    }
                }
            }
        }
        Forwarded::Trouble(last.unwrap_or(Trouble::NoUpstream))
    }

    /// A place at the upstream that the client is attached to by a cookie.
    fn own_place(&mut self) -> Option<Lease> {
        let sticky = self.route.sticky.as_ref()?;
        let (lease, attachment) = sticky.place(&self.route.pool, &self.down.request().fields, Instant::now());
        self.attachment = attachment;
        lease
    }

    /// A place at an upstream, at once or after a wait in the pool's queue.
    async fn find_place(&mut self, exclude: &[UpstreamId]) -> Result<Lease, Trouble> {
        let now = self.began.unwrap_or_else(Instant::now);
        let found = place::find(&self.route.pool, self.key(), exclude, self.route.queue_timeout, self.down.timer(), now).await;
        found.map(|(lease, queued_us)| {
            self.queued_us = queued_us;
            if queued_us > 0 {
                self.began = None;
            }
            lease
        })
    }

    /// What keeps this request together with others, where the pool's policy asks for it.
    fn key(&self) -> Option<u64> {
        let request = self.down.request();
        let bytes = match self.route.hash_by.as_ref()? {
            HashBy::Address => {
                let client = self.down.client().address_of(&request.fields, &self.snapshot.trusted_proxies);
                return Some(pumasi_balance::key(client.as_bytes()));
            }
            HashBy::Url => return Some(pumasi_balance::key(&[request.authority(), request.path_and_query()].concat())),
            HashBy::Header(name) => request.fields.get_named(name)?,
            HashBy::Cookie(name) => request.fields.all(Known::Cookie).find_map(|line| cookie(line, name))?,
        };
        Some(pumasi_balance::key(bytes))
    }

    /// The request at one upstream. On an idle connection that turns out to be closed, once more on a fresh one: that says nothing about
    /// the upstream, and is no retry in the budget's sense.
    async fn attempt(&mut self, lease: &mut Lease) -> Result<(), Fault> {
        let (id, route) = (lease.upstream().id(), self.route);
        if route.wire.http2 {
            // On the heap, so that it costs the others no room.
            if let Some(outcome) = Box::pin(self.attempt_http2(lease)).await {
                return outcome;
            }
        }
        if let Some(mut connection) = self.core.idle.take(id, route.wire.id) {
            let before = connection.output.sent_total;
            match self.exchange(&mut connection, lease).await {
                Err(Fault::Upstream(fault)) if self.was_stale(&connection, before, &fault) => {
                    self.began = None;
                    debug!(upstream = %lease.upstream().name, %fault, "an idle connection was closed meanwhile");
                }
                outcome => return self.settle(connection, id, outcome),
            }
        }
        let timeout = self.snapshot.limits.connect_timeout;
        self.began = None;
        // On the heap, as it is rare: an open connection is nearly always there.
        let opening = Box::pin(route.wire.open(lease.upstream(), Speak::Http1, timeout, self.down.timer()));
        let stream = opening.await.map_err(Fault::Upstream)?;
        let mut connection = UpstreamConnection::new(stream, route.wire.id, &self.core.buffers);
        let outcome = self.exchange(&mut connection, lease).await;
        self.settle(connection, id, outcome)
    }

    /// The same over HTTP/2: on a connection that is there, and if that turns out to take no more, once on a new one. `None`: it is an
    /// upgrade that has to go over HTTP/1.1, because it is no WebSocket's or the upstream does not take those on a stream.
    async fn attempt_http2(&mut self, lease: &mut Lease) -> Option<Result<(), Fault>> {
        let request = self.down.request();
        let upgrade = forwards_upgrade(request);
        if upgrade && !websocket::opens(request) {
            return None;
        }
        let timeout = self.snapshot.limits.connect_timeout;
        for fresh in [false, true] {
            let reaching = self.core.http2.reach(lease.upstream(), &self.route.wire, fresh, timeout, self.down.timer());
            let place = match reaching.await {
                Ok(place) => place,
                Err(_) if upgrade => return None,
                Err(fault) => return Some(Err(Fault::Upstream(fault))),
            };
            if upgrade && !place.takes_websockets(timeout, self.down.timer()).await {
                return None;
            }
            match self.exchange_http2(place, lease, upgrade).await {
                Err(Fault::Upstream(fault @ UpstreamFault::Refused)) if !fresh && self.taken == 0 => {
                    debug!(upstream = %lease.upstream().name, %fault, "a connection takes no more requests");
                }
                outcome => return Some(outcome),
            }
        }
        Some(Err(Fault::Upstream(UpstreamFault::Refused)))
    }

    async fn exchange_http2(&mut self, place: Place, lease: &mut Lease, upgrade: bool) -> Result<(), Fault> {
        poll_fn(|context| self.down.poll_admitted(lease.upstream(), context)).await;
        let trace = self.core.trace_of(self.route, self.down.request(), self.id);
        self.down.sending(lease.upstream(), trace.as_ref());
        let _caller = self.calling(lease, trace);
        let request = self.down.request();
        let asked = Asked { head: request.method() == b"HEAD", upgrade };
        let mut text = Vec::with_capacity(512);
        write_request(&mut text, request, self.down.client(), self.id, &lease.upstream().address, self.edit, trace);
        let mut asking =
            Http2Request::begin(place, &text, self.route.wire.scheme(), asked, self.down.has_content()).map_err(Fault::Upstream)?;
        let added = self.added(lease);
        let mut exchange = Exchange::new(self.core, self.snapshot, self.down, &mut asking, lease, &mut self.taken, Instant::now());
        exchange.added = added.as_bytes();
        exchange.recorded = self.core.shared.tap.contents_wanted().then_some(self.id);
        let outcome = poll_fn(|context| exchange.poll(context)).await;
        self.answered_at = exchange.answered_at;
        outcome
    }

    /// While traces are wanted: the worker's SQL is told whose request is in flight, until the answer has arrived.
    fn calling(&self, lease: &Lease, trace: Option<pumasi_trace::Context>) -> Option<Caller> {
        let tap = &self.core.shared.tap;
        if !tap.tracing.wanted() {
            return None;
        }
        let witness = lease.upstream().witness.as_ref()?;
        let sampled = trace.filter(|context| context.sampled);
        Some(witness.callers().enter(sampled.map(|context| (context, tap.clone()))))
    }

    /// What the answer's head gets beside what the upstream says.
    fn added(&self, lease: &Lease) -> String {
        let sticky = self.route.sticky.as_ref();
        let line = sticky.and_then(|sticky| sticky.line(&self.route.pool, &self.attachment, lease.upstream(), self.down.client().scheme));
        line.unwrap_or_default()
    }

    async fn exchange(&mut self, connection: &mut UpstreamConnection, lease: &mut Lease) -> Result<(), Fault> {
        poll_fn(|context| self.down.poll_admitted(lease.upstream(), context)).await;
        let trace = self.core.trace_of(self.route, self.down.request(), self.id);
        self.down.sending(lease.upstream(), trace.as_ref());
        let _caller = self.calling(lease, trace);
        let added = self.added(lease);
        let request = self.down.request();
        connection
            .begin(Asked { head: request.method() == b"HEAD", upgrade: forwards_upgrade(request) }, request.framing == Framing::Chunked);
        let client = self.down.client();
        write_request(connection.output.buffer(), request, client, self.id, &lease.upstream().address, self.edit, trace);
        let sent_at = self.began.take().unwrap_or_else(Instant::now);
        let mut exchange = Exchange::new(self.core, self.snapshot, self.down, connection, lease, &mut self.taken, sent_at);
        exchange.added = added.as_bytes();
        exchange.recorded = self.core.shared.tap.contents_wanted().then_some(self.id);
        let outcome = poll_fn(|context| exchange.poll(context)).await;
        (self.ended_at, self.answered_at) = (exchange.ended_at, exchange.answered_at);
        outcome
    }

    /// Keeps the connection for the next request if both sides are where they should be.
    fn settle(&self, connection: Box<UpstreamConnection>, id: UpstreamId, outcome: Result<(), Fault>) -> Result<(), Fault> {
        if outcome.is_ok() && connection.reusable() && !self.down.has_content() {
            self.core.idle.give(id, connection, self.core.timers.now_ms(), self.snapshot.limits.upstream_idle_max);
        }
        outcome
    }

    /// The connection had served before and ended without a byte of an answer: the upstream closed it while our request was on its way.
    /// Only what may be repeated is sent again (RFC 9112 §9.3.1), unless not a byte of it has left.
    fn was_stale(&self, connection: &UpstreamConnection, sent_before: u64, fault: &UpstreamFault) -> bool {
        let closed = matches!(fault, UpstreamFault::Closed | UpstreamFault::Broken(_));
        let repeatable = self.down.request().idempotent() || connection.nothing_sent(sent_before);
        closed && !connection.answered && self.taken == 0 && repeatable
    }

    /// Whether another upstream may be asked: nothing of the content is gone, and the request either never left or is idempotent.
    fn may_repeat(&self, fault: &UpstreamFault) -> bool {
        match fault {
            UpstreamFault::Connect(_) | UpstreamFault::ConnectTimeout | UpstreamFault::Tls(_) | UpstreamFault::Refused => self.taken == 0,
            UpstreamFault::Closed | UpstreamFault::Broken(_) => self.taken == 0 && self.down.request().idempotent(),
            // It answered, if badly, or is still at work: asking somebody else would do the work twice.
            UpstreamFault::Malformed(_) | UpstreamFault::FirstByteTimeout | UpstreamFault::Stalled => false,
        }
    }

    fn report(&self, lease: Lease, fault: &UpstreamFault) {
        let (pool, upstream) = (lease.pool().clone(), lease.upstream().clone());
        debug!(pool = %pool.name, upstream = %upstream.name, %fault, "a request failed at an upstream");
        if let Some(change) = lease.end(Outcome::Failed, Instant::now()) {
            let cause = fault.source().map(tracing::field::display);
            warn!(pool = %pool.name, upstream = %upstream.name, %fault, cause, from = change.from.word(), to = change.to.word(), "upstream changed health");
        }
    }

    fn give_up_on_client(&self, fault: DownstreamFault) -> Forwarded {
        if matches!(fault, DownstreamFault::Broken(_) | DownstreamFault::Gone | DownstreamFault::Slow) {
            self.route.traffic.client_left();
        }
        let trouble = match fault {
            _ if self.down.status().is_some() => return Forwarded::Cut,
            DownstreamFault::Broken(_) | DownstreamFault::Gone => return Forwarded::Cut,
            DownstreamFault::Malformed(refusal) => Trouble::Malformed(refusal),
            DownstreamFault::Slow => Trouble::ContentTimeout,
            DownstreamFault::TooLarge => Trouble::ContentTooLarge,
        };
        Forwarded::Trouble(trouble)
    }
}

/// The value of a cookie in a Cookie line (RFC 6265 §4.2.1).
fn cookie<'c>(line: &'c [u8], name: &str) -> Option<&'c [u8]> {
    line.split(|&b| b == b';').map(<[u8]>::trim_ascii).find_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

fn trouble_of(fault: &UpstreamFault) -> Trouble {
    match fault {
        UpstreamFault::Connect(_) | UpstreamFault::ConnectTimeout | UpstreamFault::Refused => Trouble::Unreachable,
        UpstreamFault::Tls(_) => Trouble::BadAnswer,
        UpstreamFault::Closed | UpstreamFault::Broken(_) | UpstreamFault::Malformed(_) => Trouble::BadAnswer,
        UpstreamFault::FirstByteTimeout | UpstreamFault::Stalled => Trouble::NoAnswer,
    }
}
