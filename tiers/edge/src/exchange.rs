//! One request on one upstream connection: bytes both ways at once, neither side faster than the other takes them.

use std::{
    task::{Context, Poll},
    time::Instant,
};

use pumasi_balance::{Lease, Outcome};
use pumasi_http1::ResponseEvent;
use tracing::warn;

use crate::{
    core::Core,
    downstream::{Content, Downstream, DownstreamFault},
    heads::{Length, write_response_lines},
    request_id::RequestId,
    routes::Snapshot,
    upstream::{Answering, UpstreamFault},
};

/// The least average rate is asked for only after a client was waited for this long in all.
const PACE_GRACE_MS: u64 = 5_000;

/// One request under way. Dropping it leaves both connections unusable.
pub(crate) struct Exchange<'a, D, U> {
    pub core: &'a Core,
    pub snapshot: &'a Snapshot,
    pub down: &'a mut D,
    pub up: &'a mut U,
    pub lease: &'a mut Lease,
    /// Content bytes taken from the client, over all attempts: once there are any, there can be no other attempt.
    pub taken: &'a mut u64,
    pub sent_at: Instant,
    /// Field lines added to the answer's head, each with its CR LF.
    pub added: &'a [u8],
    /// When the answer's head arrived, if its end came in the same moment.
    pub ended_at: Option<Instant>,
    /// When the answer's head arrived.
    pub answered_at: Option<Instant>,
    /// Its content is wanted by a recording.
    pub recorded: Option<RequestId>,
    request: RequestSide,
    answer: AnswerSide,
    phase: Option<Phase>,
    /// The wait has become a long one, and the client may have left meanwhile.
    lasting: bool,
    upload: Pace,
    download: Pace,
}

/// ```text
/// Flowing --end of content--> Ended      Flowing --the upstream takes no more--> Abandoned
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RequestSide {
    Flowing,
    /// The client's end in a tunnel, to be told to the upstream once everything before it is.
    Closing,
    Ended,
    /// The upstream closed its reading side; its answer may still come (RFC 9112 §9.5).
    Abandoned,
}

/// ```text
/// AwaitHead --head--> Streaming --end--> Ended      AwaitHead --101--> Tunnel --end--> Ended
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AnswerSide {
    AwaitHead,
    Streaming,
    Tunnel,
    Ended,
}

/// What is being waited for, for the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Request,
    FirstByte,
    Answer,
    Tunnel,
}

/// Whose fault it was.
#[derive(Debug)]
pub(crate) enum Fault {
    Downstream(DownstreamFault),
    Upstream(UpstreamFault),
}

impl<'a, D: Downstream, U: Answering> Exchange<'a, D, U> {
    #[allow(clippy::too_many_arguments)] // a struct would only repeat these names
    pub fn new(
        core: &'a Core,
        snapshot: &'a Snapshot,
        down: &'a mut D,
        up: &'a mut U,
        lease: &'a mut Lease,
        taken: &'a mut u64,
        sent_at: Instant,
    ) -> Self {
        let request = if down.has_content() { RequestSide::Flowing } else { RequestSide::Ended };
        let (upload, download) = (Pace::default(), Pace::default());
        Exchange {
            core,
            snapshot,
            down,
            up,
            lease,
            taken,
            sent_at,
            added: b"",
            ended_at: None,
            answered_at: None,
            recorded: None,
            request,
            answer: AnswerSide::AwaitHead,
            phase: None,
            lasting: false,
            upload,
            download,
        }
    }

    /// Resolves when the answer is completely in the client's output.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let mut moved_ever = false;
        self.ended_at = None;
        loop {
            let mut moved = self.poll_request(context)?;
            moved |= self.poll_answer(context)?;
            if self.answer == AnswerSide::Ended {
                if self.request != RequestSide::Ended {
                    self.down.close_after();
                }
                return Poll::Ready(Ok(()));
            }
            if !moved {
                break;
            }
            moved_ever = true;
        }
        self.watch_deadline(context, moved_ever)
    }

    /// Moves content from the client to the upstream. Whether anything moved.
    fn poll_request(&mut self, context: &mut Context<'_>) -> Result<bool, Fault> {
        let mut moved = false;
        while self.request == RequestSide::Flowing && !self.up.full() {
            match self.down.poll_content(context).map_err(Fault::Downstream)? {
                Poll::Pending => break,
                Poll::Ready(Content::Data(range)) => {
                    *self.taken += range.len() as u64;
                    self.upload.moved(range.len() as u64, self.core.timers.now_ms());
                    self.check_size()?;
                    let first = *self.taken == range.len() as u64;
                    let data = self.down.content(range);
                    if let Some(id) = self.recorded {
                        self.core.contents.keep(id, first, data);
                    }
                    self.up.send_data(data);
                }
                Poll::Ready(Content::End) => {
                    self.up.send_end(self.down.trailers());
                    self.request = if self.answer == AnswerSide::Tunnel { RequestSide::Closing } else { RequestSide::Ended };
                }
            }
            moved = true;
        }
        let was_full = self.up.full();
        if self.up.unsent() {
            match self.up.poll_flush(context) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => moved |= was_full,
                Poll::Ready(Err(_)) => {
                    // It may have answered and closed without reading everything: what it said decides, not this.
                    self.up.clear();
                    self.request = RequestSide::Abandoned;
                    moved = true;
                }
            }
            moved |= was_full && !self.up.full();
        }
        if self.request == RequestSide::Closing && !self.up.unsent() && self.up.poll_shutdown(context).is_ready() {
            self.request = RequestSide::Ended;
        }
        Ok(moved)
    }

    /// Moves the answer from the upstream to the client. Whether anything moved.
    fn poll_answer(&mut self, context: &mut Context<'_>) -> Result<bool, Fault> {
        let mut moved = false;
        while self.answer != AnswerSide::Ended && !self.down.full() {
            let Poll::Ready(event) = self.up.poll_event(context).map_err(Fault::Upstream)? else { break };
            moved = true;
            match event {
                ResponseEvent::NeedMore => {}
                ResponseEvent::Interim => self.down.send_interim(self.up.head()),
                ResponseEvent::Head => self.begin_answer(),
                ResponseEvent::Data(range) => self.down.send_data(self.up.data(range)),
                ResponseEvent::End => {
                    self.down.send_end(self.up.trailers());
                    self.answer = AnswerSide::Ended;
                }
            }
        }
        // At the end the caller flushes, and the next request may already be read meanwhile.
        if self.down.unsent() > 0 && self.answer != AnswerSide::Ended {
            let (was_full, before) = (self.down.full(), self.down.unsent());
            if let Poll::Ready(Err(error)) = self.down.poll_flush(context) {
                return Err(Fault::Downstream(DownstreamFault::Broken(error)));
            }
            self.download.moved((before - self.down.unsent()) as u64, self.core.timers.now_ms());
            moved |= was_full && !self.down.full();
        }
        Ok(moved)
    }

    fn begin_answer(&mut self) {
        let head = self.up.head();
        let now = Instant::now();
        (self.ended_at, self.answered_at) = (Some(now), Some(now));
        let outcome = match head.status {
            502..=504 => Outcome::Failed, // it says itself that it cannot
            _ => Outcome::Ok { latency: now.saturating_duration_since(self.sent_at) },
        };
        if let Some(change) = self.lease.observe(outcome, now) {
            warn!(pool = %self.lease.pool().name, upstream = %self.lease.upstream().name, from = change.from.word(), to = change.to.word(), "upstream changed health");
        }
        let mut lines = self.core.lines.take();
        lines.clear();
        write_response_lines(&mut lines, head, &self.core.date.text());
        lines.extend_from_slice(self.added);
        self.answer = match head.status {
            101 => {
                self.down.send_switch(head, &lines);
                self.request = RequestSide::Flowing;
                AnswerSide::Tunnel
            }
            status => {
                self.down.send_head(status, head.reason(), &lines, Length::of(head));
                AnswerSide::Streaming
            }
        };
        self.core.lines.set(lines);
    }

    fn check_size(&self) -> Result<(), Fault> {
        let max = self.snapshot.limits.body_bytes_max;
        match max > 0 && *self.taken > max && self.answer != AnswerSide::Tunnel {
            true => Err(Fault::Downstream(DownstreamFault::TooLarge)),
            false => Ok(()),
        }
    }

    /// Nothing can move now: sets the deadline for what is waited for, and says so when it has passed.
    fn watch_deadline(&mut self, context: &mut Context<'_>, moved: bool) -> Poll<Result<(), Fault>> {
        let limits = &self.snapshot.limits;
        let phase = match (self.answer, self.request) {
            (AnswerSide::Tunnel, _) => Phase::Tunnel,
            (AnswerSide::AwaitHead, RequestSide::Ended | RequestSide::Abandoned) if !self.up.unsent() => Phase::FirstByte,
            (AnswerSide::AwaitHead, _) => Phase::Request,
            _ => Phase::Answer,
        };
        let timer = self.down.timer();
        if self.phase != Some(phase) || (moved && phase != Phase::FirstByte) {
            self.phase = Some(phase);
            timer.arm(match phase {
                Phase::Tunnel => limits.tunnel_idle_timeout,
                Phase::FirstByte => limits.first_byte_timeout,
                Phase::Request | Phase::Answer => limits.body_idle_timeout,
            });
            // Most answers are there before anybody can have lost patience: until then nobody looks for it.
            timer.look_soon();
        }
        self.lasting |= timer.looked();
        timer.watch(context);
        if self.lasting && self.down.poll_gone(context).is_ready() {
            return Poll::Ready(Err(Fault::Downstream(DownstreamFault::Gone)));
        }
        let timer = self.down.timer();
        let (fired, now_ms) = (timer.fired(), timer.now_ms());
        let upload_waits = phase == Phase::Request && !self.up.full() && self.request == RequestSide::Flowing;
        self.upload.waits(upload_waits, now_ms);
        self.download.waits(phase != Phase::Tunnel && self.down.unsent() > 0, now_ms);
        if self.upload.too_slow(limits.body_rate_min) || self.download.too_slow(limits.body_rate_min) {
            return Poll::Ready(Err(Fault::Downstream(DownstreamFault::Slow)));
        }
        match (fired, phase) {
            (false, _) => Poll::Pending,
            (true, Phase::FirstByte) => Poll::Ready(Err(Fault::Upstream(UpstreamFault::FirstByteTimeout))),
            (true, Phase::Request) if self.up.unsent() => Poll::Ready(Err(Fault::Upstream(UpstreamFault::Stalled))),
            (true, Phase::Answer) if self.down.unsent() == 0 => Poll::Ready(Err(Fault::Upstream(UpstreamFault::Stalled))),
            (true, _) => Poll::Ready(Err(Fault::Downstream(DownstreamFault::Slow))),
        }
    }
}

/// How fast a client sends or takes a body, counting only the time we waited for it: a slow upstream is not the client's fault.
#[derive(Debug, Default)]
struct Pace {
    bytes: u64,
    waited_ms: u64,
    waiting_since_ms: Option<u64>,
}

impl Pace {
    fn moved(&mut self, bytes: u64, now_ms: u64) {
        self.bytes += bytes;
        self.waits(self.waiting_since_ms.is_some(), now_ms);
    }

    fn waits(&mut self, waiting: bool, now_ms: u64) {
        if let Some(since) = self.waiting_since_ms {
            self.waited_ms += now_ms.saturating_sub(since);
        }
        self.waiting_since_ms = waiting.then_some(now_ms);
    }

    fn too_slow(&self, bytes_per_s_min: u64) -> bool {
        bytes_per_s_min > 0
            && self.waited_ms > PACE_GRACE_MS
            && self.bytes.saturating_mul(1000) < bytes_per_s_min.saturating_mul(self.waited_ms)
    }
}
