//! Runs a plan: the lanes, and the controller that adds their seconds up, shows them and ends the run early when it must.

use crate::{
    lane::{Lane, Shared},
    plan::Plan,
    slo::{Judged, Measured},
    tally::{Slice, Total, latencies},
};
use hdrhistogram::Histogram;
use std::{
    collections::BTreeMap,
    io,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    time::{Duration, Instant, SystemTime},
};

/// More than half of the answers being errors for this long ends a run: the target is down, and going on shows nothing more.
pub const STORM_FOR: Duration = Duration::from_secs(10);
/// An objective missed for this long ends a run that asked for it.
pub const MISSED_FOR: Duration = Duration::from_secs(10);
/// A lane that has sent nothing for this long after its second holds up nobody: the picture goes on without it.
const PATIENCE: Duration = Duration::from_millis(1500);

/// What a run measured.
#[derive(Debug)]
pub struct Outcome {
    pub started: SystemTime,
    pub total: Total,
    /// Second by second, all lanes together, in order.
    pub series: Vec<Slice>,
    /// CPU time of the generator's threads over the time they ran; 1.0 is one lane saturated on average over all lanes.
    pub generator_cpu: f64,
    /// The busiest lane's share over the run.
    pub generator_cpu_max: f64,
    pub ended: Ended,
    /// Agents whose share went missing, with when and why.
    pub lost: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    AsPlanned,
    /// Ctrl-C.
    Interrupted,
    ErrorStorm,
    /// The objective that was missed.
    Missed(String),
}

/// Is shown each second as soon as every lane has reported it.
pub trait Observer {
    fn second(&mut self, plan: &Plan, second: &Slice, so_far: &Histogram<u64>);
}

/// For runs that nobody watches.
pub struct Unwatched;

impl Observer for Unwatched {
    fn second(&mut self, _: &Plan, _: &Slice, _: &Histogram<u64>) {}
}

/// Runs `plan` to its end. `interrupt` ends it early when set from outside; what was measured until then is returned.
///
/// Errors: the kernel gives no descriptors or threads.
pub fn run(plan: &Plan, interrupt: &AtomicBool, observer: &mut dyn Observer) -> io::Result<Outcome> {
    let stop = AtomicBool::new(false);
    let started = SystemTime::now();
    // All lanes begin at one instant, a little later than the slowest thread needs to start.
    let start = Instant::now() + Duration::from_millis(20);
    let (sender, slices) = mpsc::channel();
    std::thread::scope(|scope| {
        let work = scope.spawn(|| work(plan, 0, start, &stop, sender));
        let controller = control(plan, start, &slices, interrupt, &stop, observer);
        let total = work.join().map_err(|_| io::Error::other("a generator thread panicked"))??;
        Ok(controller.outcome(started, total))
    })
}

/// Runs this machine's lanes, the first of which has that number, and adds up what they measured. Every second of every lane goes to
/// `slices` meanwhile; the other end may be gone.
///
/// Errors: the kernel gives no descriptors or threads. The lanes that had started are ended then.
pub fn work(plan: &Plan, first_lane: usize, start: Instant, stop: &AtomicBool, slices: mpsc::Sender<(usize, Slice)>) -> io::Result<Total> {
    let shared = Shared { plan, start, stop, first_lane };
    let lanes: Vec<Lane> = (0..plan.limits.threads).map(|number| Lane::new(&shared, number, slices.clone())).collect::<io::Result<_>>()?;
    drop(slices);
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for (number, lane) in lanes.into_iter().enumerate() {
            let thread = std::thread::Builder::new().name(format!("load-{number}")).spawn_scoped(scope, || lane.run());
            match thread {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    stop.store(true, Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
        let mut total = Total::new(plan.steps.len());
        for thread in threads {
            total.add(&thread.join().map_err(|_| io::Error::other("a generator thread panicked"))??);
        }
        Ok(total)
    })
}

/// Adds the seconds up and shows them until the last lane has sent its last; sets `stop` when the run must end early.
pub fn control<'p>(
    plan: &'p Plan,
    start: Instant,
    slices: &mpsc::Receiver<(usize, Slice)>,
    interrupt: &AtomicBool,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Controller<'p> {
    let mut controller = Controller::new(plan);
    loop {
        match slices.recv_timeout(Duration::from_millis(100)) {
            Ok((lane, slice)) => controller.take(lane, slice),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        controller.show_complete(start.elapsed(), observer);
        if controller.ended == Ended::AsPlanned && interrupt.load(Ordering::Relaxed) {
            controller.ended = Ended::Interrupted;
        }
        if controller.ended != Ended::AsPlanned {
            stop.store(true, Ordering::Relaxed);
        }
    }
    controller.show_complete(Duration::MAX, observer);
    controller
}

/// Where the seconds of all lanes meet.
pub struct Controller<'p> {
    plan: &'p Plan,
    /// Seconds that some lanes have reported.
    open: BTreeMap<u64, Slice>,
    /// Per lane: CPU and wall time so far, and the last second reported.
    lanes: Vec<(u64, u64, Option<u64>)>,
    series: Vec<Slice>,
    so_far: Histogram<u64>,
    counted: Counted,
    storm: u64,
    missed: u64,
    ended: Ended,
}

#[derive(Default)]
struct Counted {
    successful: u64,
    errors: u64,
    planned: u64,
    late: u64,
    seconds: u64,
}

impl<'p> Controller<'p> {
    fn new(plan: &'p Plan) -> Controller<'p> {
        Controller {
            plan,
            open: BTreeMap::new(),
            lanes: vec![(0, 0, None); plan.limits.lanes()],
            series: Vec::new(),
            so_far: latencies(),
            counted: Counted::default(),
            storm: 0,
            missed: 0,
            ended: Ended::AsPlanned,
        }
    }

    fn take(&mut self, lane: usize, slice: Slice) {
        let entry = &mut self.lanes[lane];
        entry.0 += slice.cpu_ns;
        entry.1 += slice.wall_ns;
        entry.2 = Some(slice.second);
        // A second already shown cannot change any more; what comes too late for it belongs to the next one shown.
        let second = slice.second.max(self.series.last().map_or(0, |last| last.second + 1));
        self.open.entry(second).or_insert_with(|| Slice::new(second)).add(&slice);
    }

    fn show_complete(&mut self, elapsed: Duration, observer: &mut dyn Observer) {
        while let Some((&second, _)) = self.open.first_key_value() {
            let everybody = self.lanes.iter().all(|(_, _, last)| last.is_some_and(|last| last >= second));
            let overdue = elapsed >= Duration::from_secs(second + 1) + PATIENCE;
            if !everybody && !overdue {
                return;
            }
            let slice = self.open.remove(&second).expect("the key was just seen");
            if Duration::from_secs(second) >= self.plan.warmup {
                self.so_far.add(&slice.response).expect("all latency histograms have the same bounds");
                self.judge(&slice);
            }
            observer.second(self.plan, &slice, &self.so_far);
            self.series.push(slice);
        }
    }

    /// Ends the run after an error storm or a missed objective.
    fn judge(&mut self, slice: &Slice) {
        self.counted.successful += slice.successful;
        self.counted.errors += slice.errors + slice.shed;
        self.counted.planned += slice.planned;
        self.counted.late += slice.late;
        self.counted.seconds += 1;
        let storming = slice.errors + slice.shed > slice.successful;
        self.storm = if storming { self.storm + 1 } else { 0 };
        if self.storm >= STORM_FOR.as_secs() && self.ended == Ended::AsPlanned {
            self.ended = Ended::ErrorStorm;
        }
        if !self.plan.stop_when_missed {
            return;
        }
        let missed = self.objectives_so_far().into_iter().find(|judged| !judged.met);
        self.missed = if missed.is_some() { self.missed + 1 } else { 0 };
        if let Some(judged) = missed
            && self.missed >= MISSED_FOR.as_secs()
            && self.ended == Ended::AsPlanned
        {
            self.ended = Ended::Missed(judged.objective);
        }
    }

    fn objectives_so_far(&self) -> Vec<Judged> {
        let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
        let measured = Measured {
            response: &self.so_far,
            errors: share(self.counted.errors, self.counted.errors + self.counted.successful),
            behind: share(self.counted.late, self.counted.planned),
            tps: share(self.counted.successful, self.counted.seconds),
        };
        self.plan.objectives.iter().map(|objective| objective.judge(measured)).collect()
    }

    pub fn outcome(self, started: SystemTime, total: Total) -> Outcome {
        let shares = self.lanes.iter().map(|(cpu, wall, _)| *cpu as f64 / (*wall).max(1) as f64);
        Outcome {
            started,
            total,
            series: self.series,
            generator_cpu: shares.clone().sum::<f64>() / self.lanes.len() as f64,
            generator_cpu_max: shares.fold(0.0, f64::max),
            ended: self.ended,
            lost: Vec::new(),
        }
    }
}
