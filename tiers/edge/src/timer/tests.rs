use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::Wake,
};

use super::*;

#[derive(Default)]
struct Count(AtomicU32);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn at(timers: &Timers, ms: u64) {
    timers.tick(timers.epoch + Duration::from_millis(ms));
}

#[test]
fn a_deadline_fires_once_and_not_before_its_time() {
    let timers = Timers::new(Instant::now());
    let timer = timers.timer();
    let count = Arc::new(Count::default());
    timer.watch(&Context::from_waker(&count.clone().into()));
    timer.arm(Duration::from_millis(500));
    at(&timers, 500);
    assert!(!timer.fired());
    at(&timers, 600);
    at(&timers, 700);
    assert!(timer.fired());
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    timer.arm(Duration::from_millis(50));
    assert!(!timer.fired());
}

#[test]
fn a_drain_ends_only_idle_waits() {
    let timers = Timers::new(Instant::now());
    let (idle, busy) = (timers.timer(), timers.timer());
    idle.arm_idle(Duration::from_secs(60));
    busy.arm(Duration::from_secs(60));
    timers.fire_idle();
    assert_eq!((idle.fired(), busy.fired()), (true, false));
}

#[test]
fn slots_are_used_again_and_come_back_clean() {
    let timers = Timers::new(Instant::now());
    let first = timers.timer();
    first.arm(Duration::ZERO);
    at(&timers, 100);
    drop(first);
    let second = timers.timer();
    assert!(!second.fired());
    at(&timers, 10_000);
    assert!(!second.fired());
    assert_eq!(timers.slots.borrow().slots.len(), 1);
}

#[test]
fn a_look_comes_before_the_deadline_once_and_not_at_once() {
    let timers = Timers::new(Instant::now());
    let timer = timers.timer();
    let count = Arc::new(Count::default());
    timer.watch(&Context::from_waker(&count.clone().into()));
    timer.arm(Duration::from_secs(10));
    timer.look_soon();
    at(&timers, 100);
    assert!(!timer.looked()); // a tick may come just after it was asked for
    at(&timers, 200);
    at(&timers, 300);
    assert_eq!((timer.looked(), timer.fired(), count.0.load(Ordering::Relaxed)), (true, false, 1));
    timer.look_soon();
    timer.arm(Duration::from_secs(10));
    at(&timers, 1_000);
    assert_eq!((timer.looked(), count.0.load(Ordering::Relaxed)), (false, 1));
}
