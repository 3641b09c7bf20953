//! One generator thread: its share of the arrivals or vusers, its own connections, one event loop.
//!
//! A request on a kept-alive connection costs one `write`, one `read` and its part of an `epoll_wait`; nothing is allocated for it.
//! Sockets are registered once, edge-triggered, so there is no `epoll_ctl` per request. A timerfd wakes the loop for the schedule,
//! because `epoll_wait` itself counts in milliseconds. An HTTP/2 connection carries many requests: what happened to it is looked at once
//! per round of the loop, so that the requests of one round leave in one write.
//!
//! ```text
//! arrival or vuser -> journey -> waiting -> busy connection -> answer -> next step: think, then waiting again
//!                                   ^                             |
//!                                   +----- connection is free ----+
//! ```

mod connection;
mod journey;
mod multiplexed;
mod translate;

use crate::{
    plan::{Model, Plan, Step},
    profile::Arrivals,
    random::Dice,
    reply::Progress,
    tally::{ErrorKind, LATENCY_US_MAX, Slice, Total},
    template::Values,
};
use connection::{Connection, Phase, Received};
pub use journey::Journey;
pub use multiplexed::{Multiplexed, StreamEnd};
use rustix::{
    buffer::spare_capacity,
    event::epoll,
    fd::OwnedFd,
    time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec},
};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    io,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::Sender,
    },
    time::{Duration, Instant},
};
pub use translate::{Translated, translate};

/// How often timeouts, the number of vusers and the end of a second are looked at.
pub const TICK: Duration = Duration::from_millis(100);
/// An arrival taken from the schedule later than this counts as late. wrk2 promises as much of its own timer.
pub const LATE: Duration = Duration::from_millis(1);
/// The timer is not set closer than this: at high rates a few arrivals share one wake-up, each less than this behind its instant ...
const GRAIN_NS: u64 = 50_000;
/// ... and at rates where a wake-up per arrival would be most of the generator's work, less than this (wrk2: 1 ms).
const GRAIN_COARSE_NS: u64 = 100_000;
/// Arrivals per second of one lane from which the coarse grain is used.
const COARSE_FROM: f64 = 20_000.0;
/// A vuser that could not connect waits this long: without it a dead target is asked as fast as the CPU can fail.
const PAUSE_NS: u64 = 100_000_000;
/// Bytes of one read; shared by all connections of the lane.
const READ_BYTES: usize = 64 * 1024;
/// Events taken from the kernel at once.
const EVENTS: usize = 512;
/// The timer's mark among the connections' events.
const TIMER: u64 = u64::MAX;
const NEVER: u64 = u64::MAX;

/// What a lane shares with the others and the controller.
pub struct Shared<'p> {
    pub plan: &'p Plan,
    /// Instant zero of the profile.
    pub start: Instant,
    /// Set to end the run at once: no new requests, answers in flight are not awaited.
    pub stop: &'p AtomicBool,
    /// The number of this machine's first lane among those of all machines.
    pub first_lane: usize,
}

pub struct Lane<'p> {
    plan: &'p Plan,
    start: Instant,
    stop: &'p AtomicBool,
    slices: Sender<(usize, Slice)>,
    number: usize,
    end_ns: u64,
    warmup_ns: u64,
    timeout_ns: u64,

    epoll: OwnedFd,
    timer: OwnedFd,
    armed_ns: u64,
    grain_ns: u64,

    connections: Vec<Connection>,
    vacant: Vec<u32>,
    /// Last in, first out: the most recently used connection is the least likely to have been closed.
    idle: Vec<u32>,
    /// HTTP/2: connections that something happened to, looked at once per round.
    restless: Vec<u32>,
    /// HTTP/2: the requests that never change, by step.
    translated: Vec<Option<Translated>>,
    ended: Vec<(u32, StreamEnd)>,
    opening: usize,
    busy: usize,
    connections_max: usize,
    in_flight_max: usize,

    journeys: Vec<Journey>,
    spare: Vec<u32>,
    waiting: VecDeque<u32>,
    thinking: BinaryHeap<Reverse<(u64, u32)>>,

    /// None in the closed model.
    arrivals: Option<Arrivals<'p>>,
    next_arrival: u64,
    /// Closed model: vusers running now.
    vusers: usize,

    dice: Dice,
    buffer: Box<[u8]>,
    scratch: Vec<u8>,
    rendered: Vec<u8>,

    next_tick: u64,
    slice: Slice,
    slice_started: u64,
    cpu_before: u64,
    total: Total,
}

impl<'p> Lane<'p> {
    /// Errors: the kernel gives no epoll or timer descriptor.
    pub fn new(shared: &Shared<'p>, number: usize, slices: Sender<(usize, Slice)>) -> io::Result<Lane<'p>> {
        let plan = shared.plan;
        let number = shared.first_lane + number;
        let lanes = plan.limits.lanes();
        let share = |whole: usize| (whole / lanes + usize::from(number < whole % lanes)).max(1);
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        epoll::add(&epoll, &timer, epoll::EventData::new_u64(TIMER), epoll::EventFlags::IN | epoll::EventFlags::ET)?;
        let profile = plan.model.profile();
        let mut arrivals = plan.model.open().then(|| profile.arrivals(number as u64, lanes as u64));
        let next_arrival = arrivals.as_mut().and_then(Iterator::next).unwrap_or(NEVER);
        Ok(Lane {
            plan,
            start: shared.start,
            stop: shared.stop,
            slices,
            number,
            end_ns: profile.lasts().as_nanos() as u64,
            warmup_ns: plan.warmup.as_nanos() as u64,
            timeout_ns: plan.limits.timeout.as_nanos() as u64,
            epoll,
            timer,
            armed_ns: NEVER,
            grain_ns: if plan.model.open() && profile.peak() / lanes as f64 >= COARSE_FROM { GRAIN_COARSE_NS } else { GRAIN_NS },
            connections: Vec::new(),
            vacant: Vec::new(),
            idle: Vec::new(),
            restless: Vec::new(),
            translated: vec![None; plan.steps.len()],
            ended: Vec::new(),
            opening: 0,
            busy: 0,
            connections_max: share(plan.limits.connections_max),
            in_flight_max: share(plan.limits.in_flight_max),
            journeys: Vec::new(),
            spare: Vec::new(),
            waiting: VecDeque::new(),
            thinking: BinaryHeap::new(),
            arrivals,
            next_arrival,
            vusers: 0,
            dice: Dice::new(plan.seed, number as u64),
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            scratch: Vec::new(),
            rendered: Vec::new(),
            next_tick: 0,
            slice: Slice::new(0),
            slice_started: 0,
            cpu_before: 0,
            total: Total::new(plan.steps.len()),
        })
    }

    /// Runs the lane's share to its end, or until told to stop. The last slice is sent before it returns.
    pub fn run(mut self) -> io::Result<Total> {
        while Instant::now() < self.start {
            std::thread::sleep(self.start.saturating_duration_since(Instant::now()));
        }
        // The clock of this thread: the lane was made by another, whose time may be ahead.
        self.cpu_before = thread_cpu_ns();
        let mut events: Vec<epoll::Event> = Vec::with_capacity(EVENTS);
        loop {
            let now = self.now();
            self.admit_arrivals(now);
            self.wake_thinkers(now);
            if now >= self.next_tick {
                self.tick(now);
            }
            if self.finished(now) {
                break;
            }
            self.arm(now)?;
            events.clear();
            let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
            let timeout = (!self.restless.is_empty()).then_some(&at_once);
            match epoll::wait(&self.epoll, spare_capacity(&mut events), timeout) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                let (flags, data) = (event.flags, event.data.u64());
                if data != TIMER {
                    self.on_event(data, flags);
                }
            }
            self.turn_restless();
        }
        self.end_slice(self.now());
        Ok(self.total)
    }

    fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    fn finished(&self, now: u64) -> bool {
        let ended = now >= self.end_ns && self.next_arrival == NEVER && self.busy == 0 && self.waiting.is_empty();
        ended || self.stop.load(Ordering::Relaxed)
    }

    /// Sets the timer for whatever comes first: an arrival, a thinker, the tick.
    fn arm(&mut self, now: u64) -> io::Result<()> {
        let thinker = self.thinking.peek().map_or(NEVER, |Reverse((due, _))| *due);
        let due = self.next_arrival.min(thinker).max(now + self.grain_ns).min(self.next_tick.max(now + 1));
        // A timer that goes off a little before needs no setting: at high rates answers wake the loop far more often than the grain.
        if self.armed_ns > now && self.armed_ns <= due {
            return Ok(());
        }
        self.armed_ns = due;
        let after = due.saturating_sub(now).max(1);
        let it_value = Timespec { tv_sec: (after / 1_000_000_000) as i64, tv_nsec: (after % 1_000_000_000) as _ };
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &Itimerspec { it_interval, it_value })?;
        Ok(())
    }

    // === arrivals, vusers, thinkers ===

    fn admit_arrivals(&mut self, now: u64) {
        while self.next_arrival <= now {
            let planned = self.next_arrival;
            self.next_arrival = self.arrivals.as_mut().and_then(Iterator::next).unwrap_or(NEVER);
            self.admit(planned, now);
        }
    }

    fn admit(&mut self, planned: u64, now: u64) {
        let late = now - planned > LATE.as_nanos() as u64;
        self.slice.planned += 1;
        self.slice.late += u64::from(late);
        let shed = self.busy + self.waiting.len() >= self.in_flight_max;
        self.slice.shed += u64::from(shed);
        if planned >= self.warmup_ns {
            self.total.planned += 1;
            self.total.late += u64::from(late);
            self.total.shed += u64::from(shed);
            self.total.behind.saturating_record(((now - planned) / 1000).clamp(1, LATENCY_US_MAX));
        }
        if !shed {
            let journey = self.new_journey();
            self.request(journey, planned, now);
        }
    }

    /// Closed model: starts the vusers that the profile asks for by now. Those too many leave when their journey ends.
    fn start_vusers(&mut self, now: u64) {
        while self.vusers < self.vusers_wanted(now) {
            self.vusers += 1;
            let journey = self.new_journey();
            self.request(journey, now, now);
        }
    }

    fn vusers_wanted(&self, now: u64) -> usize {
        if now >= self.end_ns {
            return 0;
        }
        let Model::Closed(profile) = &self.plan.model else { return 0 };
        let all = profile.level(Duration::from_nanos(now)).round() as usize;
        let lanes = self.plan.limits.lanes();
        all / lanes + usize::from(self.number < all % lanes)
    }

    fn wake_thinkers(&mut self, now: u64) {
        while let Some(Reverse((due, journey))) = self.thinking.peek().copied() {
            if due > now {
                return;
            }
            self.thinking.pop();
            if now >= self.end_ns {
                self.leave(journey);
            } else {
                // The user was ready when the thinking was over: what the generator adds belongs to the latency.
                self.request(journey, due, now);
            }
        }
    }

    // === a journey's life ===

    fn new_journey(&mut self) -> u32 {
        let journey = self.spare.pop().unwrap_or_else(|| {
            self.journeys.push(Journey::new(self.plan));
            (self.journeys.len() - 1) as u32
        });
        self.journeys[journey as usize].begin(self.plan, &mut self.dice);
        journey
    }

    /// The journey's current step is due since `planned`: sends it, or queues it for a connection.
    fn request(&mut self, journey: u32, planned: u64, now: u64) {
        self.journeys[journey as usize].plan_request(planned);
        match self.take_free() {
            Some(connection) => self.send(connection, journey, now),
            None => {
                self.waiting.push_back(journey);
                self.open_connections(now);
            }
        }
    }

    /// The journey's current step has been answered and counted.
    fn next_step(&mut self, journey: u32, now: u64) {
        let state = &mut self.journeys[journey as usize];
        let step = &self.plan.steps[state.step];
        let more = state.advance(self.plan);
        let think_ns = step.think.map_or(0, |(from, to)| {
            let span = (to - from).as_nanos() as u64;
            from.as_nanos() as u64 + self.dice.below(span + 1)
        });
        let stays = more || self.end_of_journey(journey, now);
        match stays {
            false => self.leave(journey),
            true if think_ns > 0 => self.thinking.push(Reverse((now + think_ns, journey))),
            true if now >= self.end_ns => self.leave(journey),
            true => self.request(journey, now, now),
        }
    }

    /// True if a vuser begins its next journey.
    fn end_of_journey(&mut self, journey: u32, now: u64) -> bool {
        self.total.journeys += u64::from(now >= self.warmup_ns);
        if self.arrivals.is_some() || self.vusers > self.vusers_wanted(now) {
            return false;
        }
        self.journeys[journey as usize].begin(self.plan, &mut self.dice);
        true
    }

    fn leave(&mut self, journey: u32) {
        self.vusers -= usize::from(self.arrivals.is_none());
        self.spare.push(journey);
    }

    /// The journey's current step failed without an answer: in the open model the journey ends, a vuser begins its next.
    fn fail(&mut self, journey: u32, kind: ErrorKind, reason: &str, now: u64) {
        self.count_error(journey, kind, reason, now);
        if self.end_of_journey(journey, now) {
            let pause = if kind == ErrorKind::Connect { PAUSE_NS } else { 0 };
            self.thinking.push(Reverse((now + pause, journey)));
        } else {
            self.leave(journey);
        }
    }

    // === connections ===

    /// Opens one connection for each request that has none coming; an HTTP/2 connection takes several.
    fn open_connections(&mut self, now: u64) {
        while self.opening * self.plan.limits.streams_max < self.waiting.len()
            && self.connections.len() - self.vacant.len() < self.connections_max
        {
            let slot = self.vacant.pop().unwrap_or_else(|| {
                self.connections.push(Connection::default());
                (self.connections.len() - 1) as u32
            });
            let target = &self.plan.target;
            let address = target.addresses[self.total.connects as usize % target.addresses.len()];
            self.total.connects += 1;
            match self.connections[slot as usize].open(&self.epoll, slot, address, target, now) {
                Ok(()) => self.opening += 1,
                Err(error) => {
                    self.vacant.push(slot);
                    self.fail_waiting(ErrorKind::Connect, &error.to_string(), now);
                }
            }
        }
    }

    /// A connection that was to be opened could not be: the request that has waited longest pays for it.
    fn fail_waiting(&mut self, kind: ErrorKind, reason: &str, now: u64) {
        if let Some(journey) = self.waiting.pop_front() {
            self.fail(journey, kind, reason, now);
        }
    }

    fn on_event(&mut self, data: u64, flags: epoll::EventFlags) {
        let slot = data as u32;
        let connection = &mut self.connections[slot as usize];
        if connection.serial != (data >> 32) as u32 {
            // The event is about the socket that had this slot before.
            return;
        }
        if connection.multiplexed.is_some() {
            return self.rouse(slot);
        }
        match connection.phase {
            Phase::Vacant => {}
            Phase::Opening => self.on_opening(slot),
            // Nothing was asked, so whatever comes is the end of the connection, or as good as that; but for what TLS says to itself.
            Phase::Idle => {
                if !matches!(connection.read(&mut self.buffer), Received::Nothing) {
                    self.drop_connection(slot, true);
                }
            }
            Phase::Busy => {
                if connection.unsent() && flags.intersects(epoll::EventFlags::OUT | epoll::EventFlags::ERR | epoll::EventFlags::HUP) {
                    // An error shows again at the read below, where it is told.
                    let _ = connection.write_rest();
                }
                if flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::ERR | epoll::EventFlags::HUP) {
                    let hung_up = flags.intersects(epoll::EventFlags::RDHUP | epoll::EventFlags::ERR | epoll::EventFlags::HUP);
                    self.receive(slot, hung_up);
                }
            }
        }
    }

    fn on_opening(&mut self, slot: u32) {
        match self.connections[slot as usize].proceed(self.plan) {
            Ok(false) => {}
            Ok(true) => {
                self.opening -= 1;
                let now = self.now();
                self.release(slot, now);
            }
            Err((kind, reason)) => {
                let now = self.now();
                self.drop_connection(slot, false);
                self.fail_waiting(kind, &reason, now);
                self.open_connections(now);
            }
        }
    }

    /// A connection is free for the request that has waited longest, or idle.
    fn release(&mut self, slot: u32, now: u64) {
        let connection = &mut self.connections[slot as usize];
        if connection.multiplexed.is_some() {
            return self.fill(slot, now);
        }
        connection.phase = Phase::Idle;
        match self.waiting.front().copied() {
            // It has met one closed connection; another that has been open for a while could be closed as well.
            Some(journey) if self.journeys[journey as usize].resent && connection.served > 0 => {
                self.drop_connection(slot, false);
                self.open_connections(now);
            }
            Some(journey) => {
                self.waiting.pop_front();
                self.send(slot, journey, now);
            }
            None => self.idle.push(slot),
        }
    }

    fn drop_connection(&mut self, slot: u32, was_idle: bool) {
        let connection = &mut self.connections[slot as usize];
        match connection.phase {
            Phase::Opening => self.opening -= 1,
            // The streams of an HTTP/2 connection have been counted one by one.
            Phase::Busy if connection.multiplexed.is_some() => self.idle.retain(|idle| *idle != slot),
            Phase::Busy => self.busy -= 1,
            Phase::Idle if was_idle => self.idle.retain(|idle| *idle != slot),
            Phase::Idle | Phase::Vacant => {}
        }
        connection.close();
        self.vacant.push(slot);
    }

    fn send(&mut self, slot: u32, journey: u32, now: u64) {
        let plan = self.plan;
        let state = &mut self.journeys[journey as usize];
        let step = &plan.steps[state.step];
        let connection = &mut self.connections[slot as usize];
        if connection.multiplexed.is_some() {
            return self.send_stream(slot, journey, now);
        }
        let bytes: &[u8] = match &step.request.fixed {
            Some(fixed) if state.cookies.is_empty() => fixed,
            _ => {
                self.rendered.clear();
                let mut values =
                    Values { slots: &state.slots, rows: &state.rows, feeds: &plan.feeds, counters: &plan.counters, dice: &mut self.dice };
                if !step.request.render(&mut values, &state.cookies, &mut self.scratch, &mut self.rendered) {
                    connection.phase = Phase::Idle;
                    self.idle.push(slot);
                    return self.fail(journey, ErrorKind::Request, "a value has a line break or another control byte", now);
                }
                &self.rendered
            }
        };
        if state.planned >= self.warmup_ns {
            self.total.bytes_out += bytes.len() as u64;
        }
        connection.phase = Phase::Busy;
        connection.journey_measured = state.planned >= self.warmup_ns;
        self.busy += 1;
        if let Err(error) = connection.begin(journey, bytes, step.expect, now) {
            self.broken(slot, ErrorKind::Closed, &error.to_string(), now);
        }
    }

    /// `hung_up`: the event told of the connection's end as well. It will not be told again, so reading goes on until it is met.
    fn receive(&mut self, slot: u32, hung_up: bool) {
        loop {
            let connection = &mut self.connections[slot as usize];
            let received = connection.read(&mut self.buffer);
            let now = self.start.elapsed().as_nanos() as u64;
            match received {
                Received::Nothing => return,
                Received::Bytes { count, drained } => {
                    if connection.first_byte_ns == 0 {
                        connection.first_byte_ns = now;
                    }
                    if connection.journey_measured {
                        self.total.bytes_in += count as u64;
                    }
                    self.slice.bytes_in += count as u64;
                    match connection.reader.feed(&self.buffer[..count]) {
                        Progress::More if drained && !hung_up => return,
                        Progress::More => {}
                        Progress::Done { used } => return self.answered(slot, used == count && !hung_up, now),
                        Progress::Refused(reason) => return self.broken(slot, ErrorKind::Protocol, &reason, now),
                    }
                }
                Received::End => {
                    return if connection.reader.end() {
                        self.answered(slot, false, now)
                    } else {
                        self.broken(slot, ErrorKind::Closed, "the server closed the connection before the end of the answer", now)
                    };
                }
                Received::Failed(error) => return self.broken(slot, ErrorKind::Closed, &error.to_string(), now),
            }
        }
    }

    /// A complete answer. `clean`: nothing came after it, so the connection may go on.
    fn answered(&mut self, slot: u32, clean: bool, now: u64) {
        let connection = &mut self.connections[slot as usize];
        connection.served += 1;
        let journey = connection.journey;
        let state = &mut self.journeys[journey as usize];
        let step = &self.plan.steps[state.step];
        let judged = step.judge(connection.reader.answer(), |slot, value| state.set_slot(slot, value));
        if self.plan.scenarios[state.scenario].cookies {
            state.take_cookies(connection.reader.head());
        }
        let reusable = clean && connection.reader.reusable();
        let (sent, first, status) = (connection.sent_ns, connection.first_byte_ns, connection.reader.status());
        self.count_answer(journey, status, sent, first, now, judged.is_ok());
        if let Err((kind, reason)) = judged {
            self.count_kind(journey, kind, &reason, now);
        }
        if reusable {
            self.busy -= 1;
            self.release(slot, now);
        } else {
            self.drop_connection(slot, false);
            self.open_connections(now);
        }
        self.next_step(journey, now);
    }

    /// The connection ended or misbehaved with a request on it.
    fn broken(&mut self, slot: u32, kind: ErrorKind, reason: &str, now: u64) {
        let connection = &self.connections[slot as usize];
        let (journey, stale) = (connection.journey, connection.served > 0 && connection.first_byte_ns == 0);
        self.drop_connection(slot, false);
        let state = &mut self.journeys[journey as usize];
        // The server may close an idle connection at any time; a request that met that moment is sent again, once, if it may be
        // (RFC 9112 section 9.3.1). Its clock runs on.
        if kind == ErrorKind::Closed && stale && !state.resent && self.plan.steps[state.step].idempotent {
            state.resent = true;
            self.waiting.push_front(journey);
        } else {
            self.fail(journey, kind, reason, now);
        }
        self.open_connections(now);
    }

    // === HTTP/2 ===

    /// A connection that can take a request now.
    fn take_free(&mut self) -> Option<u32> {
        let slot = *self.idle.last()?;
        let connection = &mut self.connections[slot as usize];
        // The last place takes it off the list; an answer puts it back.
        if connection.multiplexed.as_ref().is_none_or(|multiplexed| multiplexed.free() <= 1) {
            self.idle.pop();
            connection.listed = false;
        }
        Some(slot)
    }

    /// As many of the waiting requests as the connection takes; with room left it is listed.
    fn fill(&mut self, slot: u32, now: u64) {
        loop {
            let connection = &mut self.connections[slot as usize];
            connection.phase = Phase::Busy;
            let free = connection.multiplexed.as_ref().map_or(0, |multiplexed| multiplexed.free());
            if free == 0 || connection.leaving {
                return;
            }
            let Some(journey) = self.waiting.pop_front() else {
                if !std::mem::replace(&mut connection.listed, true) {
                    self.idle.push(slot);
                }
                return;
            };
            self.send_stream(slot, journey, now);
        }
    }

    fn send_stream(&mut self, slot: u32, journey: u32, now: u64) {
        let plan = self.plan;
        let state = &mut self.journeys[journey as usize];
        let (number, step) = (state.step, &plan.steps[state.step]);
        let scheme = multiplexed::scheme(&plan.target);
        let rendered;
        let translated = match &step.request.fixed {
            Some(fixed) if state.cookies.is_empty() => {
                if self.translated[number].is_none() {
                    self.translated[number] = translate(fixed, scheme);
                }
                self.translated[number].as_ref()
            }
            _ => {
                self.rendered.clear();
                let mut values =
                    Values { slots: &state.slots, rows: &state.rows, feeds: &plan.feeds, counters: &plan.counters, dice: &mut self.dice };
                let clean = step.request.render(&mut values, &state.cookies, &mut self.scratch, &mut self.rendered);
                rendered = if clean { translate(&self.rendered, scheme) } else { None };
                rendered.as_ref()
            }
        };
        let connection = &mut self.connections[slot as usize];
        let multiplexed = connection.multiplexed.as_mut().expect("only called for connections that speak HTTP/2");
        let Some(translated) = translated else {
            return self.fail(journey, ErrorKind::Request, "a value makes the request one that HTTP/2 cannot carry", now);
        };
        match multiplexed.send(journey, translated, step.expect, now) {
            Ok(()) => {
                self.busy += 1;
                self.rouse(slot);
            }
            // It has been told to go (GOAWAY), or is gone: what is on it may end, the request waits for another one.
            Err(_) => {
                connection.leaving = true;
                connection.listed = false;
                self.idle.retain(|idle| *idle != slot);
                self.waiting.push_front(journey);
                self.rouse(slot);
            }
        }
    }

    /// The connection gets its turn at the end of this round.
    fn rouse(&mut self, slot: u32) {
        if !std::mem::replace(&mut self.connections[slot as usize].restless, true) {
            self.restless.push(slot);
        }
    }

    fn turn_restless(&mut self) {
        // Those that become restless meanwhile have their turn in the next round, after the schedule.
        for _ in 0..self.restless.len() {
            let slot = self.restless.swap_remove(0);
            self.connections[slot as usize].restless = false;
            self.turn(slot);
        }
    }

    fn turn(&mut self, slot: u32) {
        let now = self.now();
        let mut ended = std::mem::take(&mut self.ended);
        let Some(multiplexed) = self.connections[slot as usize].multiplexed.as_mut() else { return };
        let alive = multiplexed.turn(now, &mut ended);
        let (read, written) = multiplexed.moved();
        self.slice.bytes_in += read;
        if now >= self.warmup_ns {
            self.total.bytes_in += read;
            self.total.bytes_out += written;
        }
        let any = !ended.is_empty();
        for (stream, end) in ended.drain(..) {
            self.stream_ended(slot, stream, end, now);
        }
        self.ended = ended;
        let connection = &self.connections[slot as usize];
        let Some(multiplexed) = connection.multiplexed.as_ref() else { return };
        if !alive || connection.leaving && multiplexed.active() == 0 {
            self.drop_connection(slot, false);
            return self.open_connections(now);
        }
        // What the streams gave back (windows, resets) leaves with another turn.
        if any || multiplexed.restless() {
            self.rouse(slot);
        }
        self.fill(slot, now);
        self.open_connections(now);
    }

    fn stream_ended(&mut self, slot: u32, stream: u32, end: StreamEnd, now: u64) {
        let connection = &mut self.connections[slot as usize];
        let multiplexed = connection.multiplexed.as_mut().expect("its streams end before the connection does");
        let times = multiplexed.times(stream);
        let journey = times.journey;
        let state = &mut self.journeys[journey as usize];
        let step = &self.plan.steps[state.step];
        self.busy -= 1;
        match end {
            StreamEnd::Answered => {
                connection.served += 1;
                let answer = multiplexed.answer(stream);
                let judged = step.judge(answer, |slot, value| state.set_slot(slot, value));
                if self.plan.scenarios[state.scenario].cookies {
                    state.take_cookies(answer.head);
                }
                let status = answer.status;
                multiplexed.free_slot(stream);
                self.count_answer(journey, status, times.sent_ns, times.first_byte_ns, now, judged.is_ok());
                if let Err((kind, reason)) = judged {
                    self.count_kind(journey, kind, &reason, now);
                }
                self.next_step(journey, now);
            }
            StreamEnd::Failed { reason, unprocessed } => {
                let stale = connection.served > 0 && times.first_byte_ns == 0 && step.idempotent;
                multiplexed.free_slot(stream);
                if (unprocessed || stale) && !state.resent {
                    state.resent = true;
                    self.waiting.push_front(journey);
                } else {
                    self.fail(journey, ErrorKind::Closed, &reason, now);
                }
            }
        }
    }

    fn expire_streams(&mut self, slot: u32, now: u64) {
        let Some(instant) = now.checked_sub(self.timeout_ns) else { return };
        loop {
            let multiplexed = self.connections[slot as usize].multiplexed.as_mut().expect("the caller has looked");
            let Some(stream) = multiplexed.sent_before(instant) else { return };
            let journey = multiplexed.times(stream).journey;
            multiplexed.free_slot(stream);
            self.busy -= 1;
            self.rouse(slot);
            self.fail(journey, ErrorKind::Timeout, "no complete answer in time", now);
        }
    }

    // === counting ===

    fn count_answer(&mut self, journey: u32, status: u16, sent: u64, first: u64, now: u64, good: bool) {
        let state = &self.journeys[journey as usize];
        let us = |from: u64, to: u64| (to.saturating_sub(from) / 1000).clamp(1, LATENCY_US_MAX);
        let (response, service, ttfb) = (us(state.planned, now), us(sent, now), us(sent, first));
        self.slice.response.saturating_record(response);
        self.slice.service_us_sum += service;
        self.slice.ttfb_us_sum += ttfb;
        self.slice.ttfb_count += 1;
        self.slice.successful += u64::from(good);
        self.slice.errors += u64::from(!good);
        if !self.measured(state.planned, now) {
            return;
        }
        let step = &mut self.total.steps[state.step];
        step.response.saturating_record(response);
        step.service.saturating_record(service);
        step.ttfb_us_sum += ttfb;
        step.ttfb_count += 1;
        step.successful += u64::from(good);
        step.errors += u64::from(!good);
        self.total.status[usize::from(status.min(999))] += 1;
        self.total.last_done_ns = now;
    }

    /// A request without an answer. A timeout counts with the time it took: leaving it out would flatter the latencies.
    fn count_error(&mut self, journey: u32, kind: ErrorKind, reason: &str, now: u64) {
        let state = &self.journeys[journey as usize];
        let waited = ((now - state.planned.min(now)) / 1000).clamp(1, LATENCY_US_MAX);
        self.slice.errors += 1;
        if kind == ErrorKind::Timeout {
            self.slice.response.saturating_record(waited);
        }
        if self.measured(state.planned, now) {
            let step = &mut self.total.steps[state.step];
            step.errors += 1;
            if kind == ErrorKind::Timeout {
                step.response.saturating_record(waited);
                step.service.saturating_record(waited);
            }
            self.total.last_done_ns = now;
        }
        self.count_kind(journey, kind, reason, now);
    }

    /// Whether an answer counts. In the open model what was planned after the warm-up does, however long it takes. A vuser has no plan,
    /// and one that waited since the warm-up was kept from asking in the measured time: there, what is complete after it counts.
    fn measured(&self, planned: u64, now: u64) -> bool {
        let instant = if self.arrivals.is_some() { planned } else { now };
        instant >= self.warmup_ns
    }

    fn count_kind(&mut self, journey: u32, kind: ErrorKind, reason: &str, now: u64) {
        let state = &self.journeys[journey as usize];
        if self.measured(state.planned, now) {
            self.total.errors[kind as usize] += 1;
            let step: &Step = &self.plan.steps[state.step];
            if !self.total.examples.contains_key(kind.name()) {
                self.total.examples.insert(kind.name().to_string(), format!("{}: {reason}", step.name));
            }
        }
    }

    fn tick(&mut self, now: u64) {
        self.next_tick = (now / TICK.as_nanos() as u64 + 1) * TICK.as_nanos() as u64;
        self.start_vusers(now);
        self.expire(now);
        if now / 1_000_000_000 > self.slice.second {
            self.end_slice(now);
        }
    }

    fn expire(&mut self, now: u64) {
        for slot in 0..self.connections.len() as u32 {
            if self.connections[slot as usize].multiplexed.is_some() {
                self.expire_streams(slot, now);
                continue;
            }
            let connection = &self.connections[slot as usize];
            if connection.sent_ns + self.timeout_ns > now {
                continue;
            }
            match connection.phase {
                Phase::Opening => {
                    self.drop_connection(slot, false);
                    self.fail_waiting(ErrorKind::Connect, "no connection in time", now);
                }
                Phase::Busy => self.broken(slot, ErrorKind::Timeout, "no complete answer in time", now),
                Phase::Idle | Phase::Vacant => {}
            }
        }
        while let Some(journey) = self.waiting.front().copied() {
            if self.journeys[journey as usize].planned + self.timeout_ns > now {
                break;
            }
            self.waiting.pop_front();
            self.fail(journey, ErrorKind::Timeout, "no connection became free in time", now);
        }
        self.open_connections(now);
    }

    fn end_slice(&mut self, now: u64) {
        let cpu = thread_cpu_ns();
        self.slice.cpu_ns = cpu - self.cpu_before;
        self.slice.wall_ns = now - self.slice_started;
        self.slice.in_flight = (self.busy + self.waiting.len()) as u64;
        self.slice.vusers = self.vusers as u64;
        self.cpu_before = cpu;
        self.slice_started = now;
        let done = std::mem::replace(&mut self.slice, Slice::new(now / 1_000_000_000));
        // The controller is gone only when the run is being torn down; then nobody misses the slice.
        let _ = self.slices.send((self.number, done));
    }
}

fn thread_cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
