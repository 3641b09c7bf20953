//! Wake-ups of streams: which of them h2 has something for. One thread only, but wakers must be shareable.

use std::{
    sync::{Arc, Mutex, PoisonError},
    task::Wake,
};

/// Streams that h2 has something for.
#[derive(Debug, Default)]
pub struct Woken(Mutex<Vec<u32>>);

impl Woken {
    pub fn push(&self, number: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(number);
    }

    pub fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    pub fn take(&self) -> Vec<u32> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

pub struct StreamWaker {
    pub number: u32,
    pub woken: Arc<Woken>,
}

impl Wake for StreamWaker {
    fn wake(self: Arc<Self>) {
        self.woken.push(self.number);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.push(self.number);
    }
}
