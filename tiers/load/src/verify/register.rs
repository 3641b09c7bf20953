//! One growing count: what may be read of it, and its recent history.

use std::{
    collections::VecDeque,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

/// An ask and what is known of its number of cheers, which began at 0.
#[derive(Debug)]
pub struct Register {
    pub id: u64,
    begun: AtomicU64,
    acknowledged: AtomicU64,
    /// The highest count that a finished read has shown.
    seen: AtomicU64,
    start: Instant,
    history: Mutex<VecDeque<String>>,
}

/// Events that are told with a violation: enough to show the write and the reads around it.
const HISTORY_MAX: usize = 40;

impl Register {
    pub fn new(id: u64, start: Instant) -> Register {
        let zero = || AtomicU64::new(0);
        Register { id, begun: zero(), acknowledged: zero(), seen: zero(), start, history: Mutex::default() }
    }

    /// Call before the write is sent.
    pub fn begin_write(&self, who: &str) {
        let begun = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        self.note(format!("{who} sends cheer {begun}"));
    }

    /// Call after its acknowledgement has been read.
    pub fn acknowledge(&self, who: &str) {
        let acknowledged = self.acknowledged.fetch_add(1, Ordering::SeqCst) + 1;
        self.note(format!("{who} has its cheer acknowledged; {acknowledged} are"));
    }

    /// Call before the read is sent. Returns the least it may show.
    pub fn begin_read(&self, who: &str, path: &str) -> u64 {
        let floor = self.acknowledged.load(Ordering::SeqCst).max(self.seen.load(Ordering::SeqCst));
        self.note(format!("{who} asks for {path}; it must show at least {floor}"));
        floor
    }

    /// Call with what the finished read showed; None if the ask was not on the page. The error is the story of a wrong answer.
    pub fn end_read(&self, who: &str, path: &str, floor: u64, count: Option<u64>) -> Result<(), String> {
        let ceiling = self.begun.load(Ordering::SeqCst);
        let wrong = match count {
            Some(count) if (floor..=ceiling).contains(&count) => {
                self.seen.fetch_max(count, Ordering::SeqCst);
                self.note(format!("{who} was shown {count}"));
                return Ok(());
            }
            Some(count) if count < floor => {
                format!("STALE: {who} was shown {count} cheers on {path}, but {floor} were acknowledged or shown before it asked")
            }
            Some(count) => format!("IMPOSSIBLE: {who} was shown {count} cheers on {path}, but only {ceiling} were ever sent"),
            None => format!("STALE: {who} did not find ask {} on {path}, which had been acknowledged before it asked", self.id),
        };
        let history = self.history.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let events: Vec<&str> = history.iter().map(String::as_str).collect();
        Err(format!("{wrong}\nHistory of ask {}:\n{}", self.id, events.join("\n")))
    }

    fn note(&self, event: String) {
        let mut history = self.history.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if history.len() == HISTORY_MAX {
            history.pop_front();
        }
        history.push_back(format!("  {:>10.3} ms  {event}", self.start.elapsed().as_secs_f64() * 1e3));
    }
}
