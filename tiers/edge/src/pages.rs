//! Pages between the client and the upstream: what the store says about a request, done.
//!
//! The store itself is `pumasi_pagestore`, without I/O. Here its answers meet sockets and timers:
//!
//! ```text
//! serve --> look up --> Hit: send the page          (and refetch it in the background, if it is stale by permission)
//!                  --> Wait: for another's fetch, then look up again
//!                  --> Miss, Validate: Forward through a Tee --> the page is stored while it streams
//!                  --> Pass: Forward through a Watch --> a change that succeeded invalidates
//! ```
pub(crate) mod automatic;
mod background;
pub(crate) mod disk;
mod stream;
mod tee;

use std::{
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::Poll,
    time::{Duration, Instant},
};

use pumasi_config::{CompressCoding, EvictionPolicy, PagesMode, PagesPlan};
use pumasi_http1::{Fields, Known, RequestHead, Version};
use pumasi_httpcache::{Asked, Bypass, CacheStatus, Coding, Forward as Why, Grace, Rules};
use pumasi_pagestore::{Compression, Content, Key, Landing, Lead, Lookup, Page, Policy, Reply, Settings, Told, Waiter, plain_tags};

pub(crate) use crate::core::unix_ms_now as now_ms;
use crate::{
    answers::{Trouble, reason},
    core::Core,
    downstream::Downstream,
    files,
    forward::{Forward, Forwarded},
    heads::{Length, RequestEdit},
    request_id::RequestId,
    routes::{Route, Snapshot},
};
pub use automatic::Difference;
use automatic::{Follow, Role};
pub(crate) use automatic::{Habits, kind_of};
use background::Background;
pub(crate) use disk::{DiskTier, Reads};
use tee::{Tee, Took, Watch};

/// What the request needs on its way through here.
pub(crate) struct Visit<'a> {
    pub core: &'a Rc<Core>,
    pub snapshot: &'a Arc<Snapshot>,
    pub route: &'a Arc<Route>,
    pub id: RequestId,
    /// What the access log says.
    pub outcome: &'static str,
    pub upstream: Option<Arc<pumasi_balance::Upstream>>,
    pub queued_us: u64,
    /// When the answer of the upstream that was asked last began.
    pub answered_at: Option<Instant>,
}

impl<'a> Visit<'a> {
    pub fn new(core: &'a Rc<Core>, snapshot: &'a Arc<Snapshot>, route: &'a Arc<Route>, id: RequestId) -> Visit<'a> {
        Visit { core, snapshot, route, id, outcome: "", upstream: None, queued_us: 0, answered_at: None }
    }
}

/// The usual hit: a fresh page that is simply there. Says what it was for the log, or `None` when [`Visit::answer`] is to find out.
///
/// What that would find as well is found here without a future, a key or a second look at any field. `began`: when the request was read.
pub(crate) fn answer_at_once<D: Downstream>(
    core: &Rc<Core>,
    snapshot: &Arc<Snapshot>,
    route: &Arc<Route>,
    id: RequestId,
    began: Instant,
    down: &mut D,
) -> Option<&'static str> {
    let head = down.request();
    let asked = asked_of(head);
    if head.upgrade || down.has_content() || route.pages == PagesMode::Automatic && automatic::personal(head, snapshot) {
        return None;
    }
    let now_ms = core.unix_ms(began);
    let target = (down.client().scheme, head.authority(), head.path_and_query());
    let mut scratch = core.target.take();
    let found = core.shared.pages.find_fresh(target, &asked, head.fields.iter(), now_ms, &mut scratch);
    core.target.set(scratch);
    let page = found?;
    if page.recheck_due(now_ms) {
        let visit = Visit::new(core, snapshot, route, id);
        visit.recheck(&page, core.shared.pages.lead(&key_of(core, down), now_ms), down);
    }
    route.pages_counters.hits.fetch_add(1, Relaxed);
    let mut lines = core.lines.take();
    lines.clear();
    let reply = page.reply(&asked, Told::Hit, now_ms, &mut lines);
    send_reply(core, &page, reply, &lines, down);
    core.lines.set(lines);
    Some("hit")
}

impl Visit<'_> {
    /// Answers from the store or through it. What could not be answered is the caller's to explain.
    pub async fn answer<D: Downstream>(&mut self, down: &mut D) -> Result<(), Trouble> {
        let pages = &self.core.shared.pages;
        let key = key_of(self.core, down);
        let mut waited = false;
        let mut asked_disk = false;
        // When the first wait began, in flights.
        let mut boarded = None;
        for _ in 0..LOOKUPS_MAX {
            let now = now_ms();
            let head = down.request();
            let asked = asked_of(head);
            // An upgrade's answer is not an answer but another protocol.
            if head.upgrade {
                return self.pass(Bypass::Upgrade, &key, down).await;
            }
            if down.has_content() && !asked.method.changes() {
                return self.pass(Bypass::Content, &key, down).await;
            }
            let personal = self.route.pages == PagesMode::Automatic && automatic::personal(head, self.snapshot);
            let lookup = pages.look_up(&key, &asked, head.fields.iter(), now, &self.route.pages_counters);
            if !asked_disk && absent(&lookup, &asked) {
                asked_disk = true;
                // Others wait for this request's lead meanwhile, and find the page in memory like this one.
                if self.take_from_disk(&key, down).await {
                    continue;
                }
            }
            match lookup {
                // Who asks may matter to the application; that it did not for somebody else proves nothing.
                Lookup::Hit { page, .. } if personal && page.entry().is_some() => return self.pass(Bypass::Personal, &key, down).await,
                Lookup::Wait(_) if personal => return self.pass(Bypass::Personal, &key, down).await,
                Lookup::Hit { page, stale, refetch } => {
                    if page.recheck_due(now) {
                        self.recheck(&page, pages.lead(&key, now), down);
                    }
                    if let Some(lead) = refetch {
                        self.refetch(&page, lead, down);
                    }
                    let counters = &self.route.pages_counters;
                    let (outcome, counter, told) = match (waited, stale) {
                        (true, _) => ("coalesced", &counters.misses, COALESCED),
                        (false, true) => ("stale", &counters.stale, Told::Hit),
                        (false, false) => ("hit", &counters.hits, Told::Hit),
                    };
                    self.outcome = outcome;
                    counter.fetch_add(1, Relaxed);
                    self.send(&page, told, down);
                    return Ok(());
                }
                Lookup::Wait(waiter) => {
                    waited = true;
                    let begun = *boarded.get_or_insert_with(|| pages.flights_begun());
                    let after_us = waiter.flight() >= begun;
                    match self.wait(waiter, &key, down).await {
                        None => break,
                        Some(Landing::Begun(stream)) => {
                            self.outcome = "coalesced";
                            self.route.pages_counters.misses.fetch_add(1, Relaxed);
                            self.stream(stream, down).await;
                            return Ok(());
                        }
                        // A write overtook it, after we had asked: so it is what we would have been answered ourselves.
                        Some(Landing::Overtaken(page) | Landing::Page(page))
                            if after_us && !personal && page.answers(down.request().fields.iter()) =>
                        {
                            self.outcome = "coalesced";
                            self.route.pages_counters.misses.fetch_add(1, Relaxed);
                            self.send(&page, COALESCED, down);
                            return Ok(());
                        }
                        Some(_) => {}
                    }
                }
                Lookup::Miss { lead, why } => return self.fetch(lead, why, down).await,
                Lookup::Validate { page, grace, lead } => return self.validate(page, grace, lead, down).await,
                Lookup::Full => return Err(Trouble::QueueFull),
                Lookup::OnlyIfCached => return Err(Trouble::OnlyIfCached),
                Lookup::Pass(reason) => return self.pass(reason, &key, down).await,
            }
        }
        // It took too long, or ended without a page for us again and again.
        self.fetch(pages.lead(&key, now_ms()), Why::UriMiss, down).await
    }

    /// Brings what the disk has into memory. Whether something came, in time.
    async fn take_from_disk<D: Downstream>(&self, key: &Key, down: &D) -> bool {
        let shared = &self.core.shared;
        let Some(mut asked) = shared.disk_reads.ask(&shared.pages, key) else { return false };
        let timer = down.timer();
        timer.arm(disk::READ_PATIENCE);
        let came = poll_fn(|context| {
            if let Poll::Ready(came) = pin!(&mut asked).poll(context) {
                return Poll::Ready(came.unwrap_or(false));
            }
            timer.watch(context);
            if timer.fired() { Poll::Ready(false) } else { Poll::Pending }
        })
        .await;
        timer.disarm();
        came
    }

    /// Fetches for itself and for whoever waits.
    async fn fetch<D: Downstream>(&mut self, lead: Lead, why: Why, down: &mut D) -> Result<(), Trouble> {
        self.missed();
        let follow = self.follow(down, None);
        let mut tee = Tee::miss(down, lead, why, follow, &self.core.shared.habits);
        let forwarded = self.forward(&mut tee, None).await;
        self.took(tee.took());
        finish(forwarded, down)
    }

    /// Asks the origin whether `page` still holds, and serves it if it does, or if the origin fails and `grace` covers that.
    async fn validate<D: Downstream>(&mut self, page: Arc<Page>, grace: Grace, lead: Lead, down: &mut D) -> Result<(), Trouble> {
        self.missed();
        let edit = RequestEdit { leave_out: &CONDITIONS, add: page.conditions() };
        let follow = self.follow(down, None);
        let mut tee = Tee::validation(down, lead, page.clone(), grace, follow, &self.core.shared.habits);
        let forwarded = self.forward(&mut tee, Some(&edit)).await;
        let told = |origin_status| {
            Told::Forwarded(CacheStatus::Forwarded { why: Why::Stale, origin_status, stored: false, coalesced: false, detail: None })
        };
        match (forwarded, tee.took()) {
            (Forwarded::Answered, Took::Confirmed(page)) => {
                self.outcome = "validated";
                self.send(&page, told(Some(304)), down);
                Ok(())
            }
            (Forwarded::Answered, Took::Failed(status)) => {
                self.served_stale();
                self.send(&page, told(Some(status)), down);
                Ok(())
            }
            // The 304 was about something we do not have: ask for everything.
            (Forwarded::Answered, Took::Unconfirmed(lead)) => match self.fetch(lead, Why::Stale, down).await {
                Err(trouble) if grace.covers(None) && trouble.status() >= 500 => {
                    self.served_stale();
                    self.send(&page, told(None), down);
                    Ok(())
                }
                fetched => fetched,
            },
            (Forwarded::Trouble(trouble), _) if grace.covers(None) && trouble.status() >= 500 => {
                self.served_stale();
                self.send(&page, told(None), down);
                Ok(())
            }
            (forwarded, took) => {
                self.took(took);
                finish(forwarded, down)
            }
        }
    }

    /// The same validation, or fetch, without a client: it has been answered already.
    fn refetch<D: Downstream>(&self, page: &Arc<Page>, lead: Lead, down: &D) {
        let edit = RequestEdit { leave_out: &CONDITIONS, add: page.conditions() };
        let mut nobody = Background::new(down.request().clone(), down.client().clone(), self.core.timers.timer());
        let (core, snapshot, route, page) = (self.core.clone(), self.snapshot.clone(), self.route.clone(), page.clone());
        tokio::task::spawn_local(async move {
            let id = core.next_request_id();
            let mut tee = Tee::validation(&mut nobody, lead, page, Grace::Never, None, &core.shared.habits);
            if let Some(files) = &route.files {
                let _ = files::answer(&core, &route, files, &mut tee, id, Some(&edit), snapshot.limits.body_idle_timeout).await;
                return;
            }
            // Whatever happens, the lead has heard of it, or is dropped and lets the next request try.
            let _ = Forward::new(&core, &snapshot, &route, &mut tee, id, Some(&edit)).run().await;
        });
    }

    /// Makes an automatic page again beside its use, to compare: a difference means that it is not what it was taken for.
    fn recheck<D: Downstream>(&self, page: &Arc<Page>, lead: Lead, down: &D) {
        let mut nobody = Background::new(down.request().clone(), down.client().clone(), self.core.timers.timer());
        let Some(follow) = self.follow(&nobody, Some(page.clone())) else { return };
        let edit = RequestEdit { leave_out: &CONDITIONS, add: Vec::new() };
        let (core, snapshot, route) = (self.core.clone(), self.snapshot.clone(), self.route.clone());
        tokio::task::spawn_local(async move {
            let id = core.next_request_id();
            let mut tee = Tee::miss(&mut nobody, lead, Why::Stale, Some(follow), &core.shared.habits);
            let _ = Forward::new(&core, &snapshot, &route, &mut tee, id, Some(&edit)).run().await;
        });
    }

    /// What stands beside a request of an automatic route.
    fn follow<D: Downstream>(&self, down: &D, compared: Option<Arc<Page>>) -> Option<Follow> {
        if self.route.pages != PagesMode::Automatic {
            return None;
        }
        let head = down.request();
        let asked = asked_of(head);
        let freshness = self.core.shared.pages.freshness()?;
        let plain = asked.method == pumasi_httpcache::Method::Get && asked.bypass().is_none() && !head.upgrade;
        let storable = plain && asked.range.is_none() && !automatic::personal(head, self.snapshot);
        let role = if storable {
            Role::Storing
        } else if asked.method.changes() {
            Role::Changing
        } else {
            Role::Beside
        };
        let kind = automatic::kind_of(&self.route.name, asked.method, head.path_and_query());
        Some(Follow::new(freshness, kind, role, self.route.attribution, compared))
    }

    /// Sends the request on without a look at the store, and watches whether its success makes stored pages wrong.
    async fn pass<D: Downstream>(&mut self, reason: Bypass, key: &Key, down: &mut D) -> Result<(), Trouble> {
        self.outcome = reason.word();
        self.route.pages_counters.bypassed(reason);
        let pages = self.core.shared.pages.clone();
        // A change is no request for the page.
        if reason != Bypass::Method {
            pages.note_refused(key, reason, now_ms());
        }
        let follow = self.follow(down, None);
        let edit = if_match_as_the_origin_knows_it(down.request());
        let mut watch = Watch::new(down, pages, key.clone(), reason, follow, &self.core.shared.habits);
        let forwarded = self.forward(&mut watch, edit.as_ref()).await;
        loop {
            watch.timer().arm(DURABLE_PATIENCE);
            let durable = poll_fn(|context| {
                if watch.poll_durable(context).is_ready() {
                    return Poll::Ready(true);
                }
                watch.timer().watch(context);
                if watch.timer().fired() { Poll::Ready(false) } else { Poll::Pending }
            });
            // A crash may then cost the pages on disk, and never brings one of them back.
            if durable.await || watch.may_confirm() {
                break;
            }
        }
        watch.timer().disarm();
        finish(forwarded, down)
    }

    async fn forward<D: Downstream>(&mut self, down: &mut D, edit: Option<&RequestEdit>) -> Forwarded {
        if let Some(files) = &self.route.files {
            return files::answer(self.core, self.route, files, down, self.id, edit, self.snapshot.limits.body_idle_timeout).await;
        }
        let mut forward = Forward::new(self.core, self.snapshot, self.route, down, self.id, edit);
        let forwarded = forward.run().await;
        self.queued_us += forward.queued_us;
        self.answered_at = forward.answered_at;
        self.upstream = forward.upstream.take();
        forwarded
    }

    /// Waits for another request's fetch, or for an answer that this one may have while it arrives, at most as long as the configuration
    /// says; `None` past that.
    async fn wait<D: Downstream>(&self, mut waiter: Waiter, key: &Key, down: &D) -> Option<Landing> {
        let pages = &self.core.shared.pages;
        let timer = down.timer();
        timer.arm(pages.settings().wait_max);
        let landed = loop {
            let mut landing = pin!(waiter.landing());
            let landed = poll_fn(|context| {
                if let Poll::Ready(landing) = landing.as_mut().poll(context) {
                    return Poll::Ready(Some(landing));
                }
                timer.watch(context);
                if timer.fired() { Poll::Ready(None) } else { Poll::Pending }
            })
            .await;
            match landed {
                Some(Landing::Begun(stream)) => {
                    let head = down.request();
                    // To HTTP/1.0 the end of the connection is the end of the content, also where it broke off.
                    let framed = stream.length().is_some() || head.version != Version::Http10;
                    if framed && pages.may_stream(&stream, key, &asked_of(head), head.fields.iter(), now_ms()) {
                        break Some(Landing::Begun(stream));
                    }
                }
                landed => break landed,
            }
        };
        timer.disarm();
        landed
    }

    /// Sends a stored page, as much of it as this request wants.
    fn send<D: Downstream>(&self, page: &Arc<Page>, told: Told, down: &mut D) {
        let mut lines = self.core.lines.take();
        lines.clear();
        let reply = page.reply(&asked_of(down.request()), told, now_ms(), &mut lines);
        send_reply(self.core, page, reply, &lines, down);
        self.core.lines.set(lines);
    }

    fn missed(&mut self) {
        self.outcome = "miss";
        self.route.pages_counters.misses.fetch_add(1, Relaxed);
    }

    fn served_stale(&mut self) {
        self.outcome = "stale";
        self.route.pages_counters.stale.fetch_add(1, Relaxed);
    }

    fn took(&mut self, took: Took) {
        if let Took::NotStored(reason) = took {
            self.outcome = reason.word();
            self.route.pages_counters.bypassed(reason);
        }
    }
}

/// The store's settings as the plan has them.
pub(crate) fn settings(plan: &PagesPlan) -> Settings {
    Settings {
        budget_bytes: plan.memory_bytes,
        object_bytes_max: plan.object_bytes_max,
        policy: match plan.eviction {
            EvictionPolicy::S3Fifo => Policy::S3Fifo,
            EvictionPolicy::Lru => Policy::Lru,
            EvictionPolicy::Lfu => Policy::Lfu,
            EvictionPolicy::Fifo => Policy::Fifo,
        },
        waiters_max: plan.waiters_max,
        wait_max: plan.wait_max,
        compression: Arc::new(Compression {
            codings: plan.compress.iter().copied().map(coding_of).collect(),
            bytes_min: plan.compress_bytes_min,
            types: plan.compress_types.iter().map(|listed| listed.as_str().into()).collect(),
        }),
        rules: Rules {
            stale_if_error_s: seconds(plan.stale_if_error),
            stale_while_revalidate_s: seconds(plan.stale_while_revalidate),
            negative_s: seconds(plan.missing_for),
            ..Rules::default()
        },
        disk_bytes: plan.disk.as_ref().map_or(0, |disk| disk.bytes),
    }
}

pub(super) fn asked_of(head: &pumasi_http1::RequestHead) -> Asked<'_> {
    Asked::of(head.method(), head.fields.iter())
}

// === helpers ===

/// What the client's own conditions and ranges become when we ask for the whole, or whether it has changed.
const CONDITIONS: [Known; 4] = [Known::IfNoneMatch, Known::IfModifiedSince, Known::Range, Known::IfRange];

/// What those are told who waited for another's fetch.
const COALESCED: Told =
    Told::Forwarded(CacheStatus::Forwarded { why: Why::UriMiss, origin_status: None, stored: true, coalesced: true, detail: None });

/// A client that edits what it was sent compressed names the compressed form's entity tag, which the origin never gave.
fn if_match_as_the_origin_knows_it(head: &RequestHead) -> Option<RequestEdit> {
    let lines: Vec<&[u8]> = head.fields.all(Known::IfMatch).collect();
    let mut add = Vec::new();
    for line in &lines {
        let plain = plain_tags(line);
        for part in [b"If-Match: ", plain.as_deref().unwrap_or(line), b"\r\n"] {
            add.extend_from_slice(part);
        }
    }
    lines.iter().any(|line| plain_tags(line).is_some()).then_some(RequestEdit { leave_out: &[Known::IfMatch], add })
}

/// How long the answer to a change waits for the disk to know of it. A disk that takes longer is in trouble, and costs hits, not answers.
const DURABLE_PATIENCE: Duration = Duration::from_secs(1);

/// How often a request may wait for somebody else's fetch. Each wait is bounded; without this a page that never gets stored would be waited
/// for again and again.
const LOOKUPS_MAX: u32 = 4;

/// Whether memory has nothing for a request that the disk may have something for.
fn absent(lookup: &Lookup, asked: &Asked<'_>) -> bool {
    match lookup {
        Lookup::Miss { .. } | Lookup::OnlyIfCached => true,
        Lookup::Pass(Bypass::Method) => asked.method == pumasi_httpcache::Method::Head,
        _ => false,
    }
}

fn coding_of(plan: CompressCoding) -> Coding {
    match plan {
        CompressCoding::Gzip => Coding::Gzip,
        CompressCoding::Brotli => Coding::Brotli,
        CompressCoding::Zstd => Coding::Zstd,
    }
}

/// Whole seconds, as HTTP counts lifetimes.
fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

fn send_reply<D: Downstream>(core: &Core, page: &Arc<Page>, reply: Reply, lines: &[u8], down: &mut D) {
    if let Some(coding) = reply.wanted {
        core.shared.pages.code(&key_of(core, down), page, coding);
    }
    let words = if reply.reason_of_page { &page.reason } else { reason(reply.status).as_bytes() };
    let length = match &reply.content {
        Content::None => Length::None(None),
        Content::Announced(length) => Length::None(Some(*length)),
        Content::Body(range) => Length::Known(range.len() as u64),
        Content::Made(bytes) => Length::Known(bytes.len() as u64),
    };
    down.send_head(reply.status, words, lines, length);
    match reply.content {
        Content::None | Content::Announced(_) => {}
        Content::Body(range) => down.send_shared(&page.body, range),
        Content::Made(bytes) => down.send_shared(&bytes, 0..bytes.len()),
    }
    down.send_end(&Fields::default());
}

fn key_of<D: Downstream>(core: &Core, down: &D) -> Key {
    let head = down.request();
    core.shared.pages.key(down.client().scheme, head.authority(), head.path_and_query())
}

fn finish<D: Downstream>(forwarded: Forwarded, down: &mut D) -> Result<(), Trouble> {
    match forwarded {
        Forwarded::Answered => Ok(()),
        Forwarded::Trouble(trouble) => Err(trouble),
        Forwarded::Cut => {
            down.close_after();
            Ok(())
        }
    }
}
