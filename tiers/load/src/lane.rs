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

mod arrivals;
mod connection;
mod counting;
mod journey;
mod multiplexed;
mod sockets;
mod steps;
mod streams;

use crate::{
    plan::Plan,
    profile::Arrivals,
    random::Dice,
    tally::{Slice, Total},
};
use connection::Connection;
pub use journey::Journey;
pub use multiplexed::{Multiplexed, StreamEnd, Unsendable};
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
}

fn thread_cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
