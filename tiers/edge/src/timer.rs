//! Deadlines of a core's connections, checked together ten times a second.
//!
//! A connection moves its deadline several times per request and nearly never meets it. So setting one is a store into a slot, and one
//! sweep wakes whose time is over, instead of a timer wheel that is told of every change. The price is precision: a deadline is met up
//! to [`TICK`] late.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::{Context, Waker},
    time::{Duration, Instant},
};

/// How often deadlines are looked at, and how coarse the core's clock is.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// The deadlines of one core, and its coarse clock.
#[derive(Debug)]
pub(crate) struct Timers {
    slots: RefCell<Slots>,
    /// Milliseconds since `epoch`, as of the last tick.
    now_ms: Cell<u64>,
    epoch: Instant,
}

#[derive(Debug, Default)]
struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot {
    deadline_ms: u64,
    /// When the task is woken once although its deadline has not passed; see [`Timer::look_soon`].
    look_ms: u64,
    looked: bool,
    fired: bool,
    idle: Idle,
    waker: Option<Waker>,
}

/// Whether a deadline's task waits only for a next request, so that a drain may end the wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Idle {
    No,
    /// Ending it closes the connection, and the client's next request may be on its way already.
    Silent,
    /// Ending it tells the client, which may still finish what it has sent (HTTP/2's GOAWAY).
    Announced,
}

/// One task's deadline. Disarmed when new.
#[derive(Debug)]
pub(crate) struct Timer {
    timers: Rc<Timers>,
    index: u32,
}

impl Timers {
    pub fn new(epoch: Instant) -> Rc<Timers> {
        Rc::new(Timers { slots: RefCell::default(), now_ms: Cell::new(0), epoch })
    }

    /// Milliseconds since the core started, up to [`TICK`] behind.
    pub fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }

    pub fn timer(self: &Rc<Timers>) -> Timer {
        let mut slots = self.slots.borrow_mut();
        let slot = Slot { deadline_ms: u64::MAX, look_ms: u64::MAX, looked: false, fired: false, idle: Idle::No, waker: None };
        let index = match slots.free.pop() {
            Some(index) => {
                slots.slots[index as usize] = slot;
                index
            }
            None => {
                slots.slots.push(slot);
                slots.slots.len() as u32 - 1
            }
        };
        Timer { timers: self.clone(), index }
    }

    /// Moves the clock to `now` and wakes whose deadline has passed.
    pub fn tick(&self, now: Instant) {
        let now_ms = now.saturating_duration_since(self.epoch).as_millis() as u64;
        self.now_ms.set(now_ms);
        for slot in &mut self.slots.borrow_mut().slots {
            if slot.look_ms <= now_ms {
                (slot.look_ms, slot.looked) = (u64::MAX, true);
                slot.waker.iter().for_each(Waker::wake_by_ref);
            }
        }
        self.fire(|slot| slot.deadline_ms <= now_ms);
    }

    /// Ends the wait of everyone who waits only for a next request.
    pub fn fire_idle(&self) {
        self.fire(|slot| slot.idle != Idle::No);
    }

    /// Only of those whose clients are told, so that no request can be lost by it.
    pub fn fire_announced(&self) {
        self.fire(|slot| slot.idle == Idle::Announced);
    }

    fn fire(&self, due: impl Fn(&Slot) -> bool) {
        for slot in &mut self.slots.borrow_mut().slots {
            if due(slot) && !slot.fired {
                slot.fired = true;
                slot.deadline_ms = u64::MAX;
                if let Some(waker) = &slot.waker {
                    waker.wake_by_ref();
                }
            }
        }
    }
}

impl Timer {
    /// Sets the deadline `after` from now, in place of any earlier one.
    pub fn arm(&self, after: Duration) {
        self.set(self.timers.now_ms().saturating_add(after.as_millis() as u64).saturating_add(1), Idle::No);
    }

    /// The same, for a wait that a drain may end.
    pub fn arm_idle(&self, after: Duration) {
        self.set(self.timers.now_ms().saturating_add(after.as_millis() as u64).saturating_add(1), Idle::Silent);
    }

    /// The same where the client is told that the wait is over.
    pub fn arm_announced(&self, after: Duration) {
        self.set(self.timers.now_ms().saturating_add(after.as_millis() as u64).saturating_add(1), Idle::Announced);
    }

    pub fn disarm(&self) {
        self.set(u64::MAX, Idle::No);
    }

    /// Has the task woken within two ticks, before its deadline: for what is worth a look only if a wait turns out to be a long one. Setting
    /// the deadline again takes it back.
    pub fn look_soon(&self) {
        let look_ms = self.timers.now_ms() + TICK.as_millis() as u64 + 1;
        self.timers.slots.borrow_mut().slots[self.index as usize].look_ms = look_ms;
    }

    /// Whether that time has come since the deadline was set.
    pub fn looked(&self) -> bool {
        self.timers.slots.borrow().slots[self.index as usize].looked
    }

    /// Whether the deadline has passed since it was set.
    pub fn fired(&self) -> bool {
        self.timers.slots.borrow().slots[self.index as usize].fired
    }

    /// Has the task of `context` woken at the deadline.
    pub fn watch(&self, context: &Context<'_>) {
        let slot = &mut self.timers.slots.borrow_mut().slots[self.index as usize];
        if !slot.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            slot.waker = Some(context.waker().clone());
        }
    }

    pub fn now_ms(&self) -> u64 {
        self.timers.now_ms()
    }

    fn set(&self, deadline_ms: u64, idle: Idle) {
        let slot = &mut self.timers.slots.borrow_mut().slots[self.index as usize];
        (slot.deadline_ms, slot.fired, slot.idle) = (deadline_ms, false, idle);
        (slot.look_ms, slot.looked) = (u64::MAX, false);
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.disarm();
        let mut slots = self.timers.slots.borrow_mut();
        slots.slots[self.index as usize].waker = None;
        slots.free.push(self.index);
    }
}

#[cfg(test)]
mod tests;
