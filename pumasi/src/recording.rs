//! A recording of the edge's requests, for `pumasi load record`: lasts as long as somebody asks for it.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use pumasi_console::{RECORDED_MAX, Recording};
use pumasi_trace::Tap;

/// Nobody asked for this long: whoever recorded has gone.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(15);

pub struct Recorder {
    tap: Option<Arc<Tap>>,
    /// When it was asked for last, and what makes this recording's visitors unlike another's.
    asked: Mutex<Option<(Instant, u64)>>,
}

impl Recorder {
    pub fn new(tap: Option<Arc<Tap>>) -> Recorder {
        Recorder { tap, asked: Mutex::default() }
    }

    pub fn fetch(&self, now: Instant, bodies: bool) -> Result<Recording, String> {
        let tap = self.tap.as_ref().ok_or("The edge listens nowhere: there is nothing to record.")?;
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        // Seeded by the system, anew for every recording.
        let salt = asked.map_or_else(|| RandomState::new().hash_one(0), |(_, salt)| salt);
        *asked = Some((now, salt));
        tap.record(bodies);
        let requests = tap.recording.take(RECORDED_MAX).iter().map(|exchange| exchange.recorded(salt)).collect();
        Ok(Recording { requests, lost: tap.recording.lost() })
    }

    /// Comes once a second.
    pub fn tick(&self, now: Instant) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some((at, _)), Some(tap)) = (*asked, &self.tap)
            && now.saturating_duration_since(at) > FORGOTTEN_AFTER
        {
            tap.stop_recording();
            *asked = None;
        }
    }
}
