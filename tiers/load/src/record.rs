//! `pumasi load record`: a scenario from what the edge of a running Pumasi serves.
//!
//! The running Pumasi hands its requests over without headers and cookies, with bodies only if it was asked for them, and with [`MASK`](pumasi_trace::MASK) where an address
//! or a body held what may be a secret; see `parts/trace`.

mod scenario;

use crate::{
    exchange::Client,
    plan::{Target, Trust},
};
use pumasi_trace::Recorded;
pub use scenario::write;
use serde::Deserialize;
use std::{
    fs, io,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

/// Requests of one recording: the memory of this many, a hundred megabytes or so, no more. The recording ends when they are there.
const RECORDED_MAX: usize = 500_000;
/// The running Pumasi is asked this often, and again at once while it has more.
const ASK_EVERY: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(5);
/// An answer with as many requests is asked again at once. The console hands over at most a thousand.
const BATCH: usize = 1_000;

/// What was recorded.
#[derive(Debug, Default)]
pub struct Recording {
    pub requests: Vec<Recorded>,
    /// Requests that came faster than they could be handed over.
    pub lost: u64,
    pub lasted: Duration,
    /// Bodies were asked for.
    pub bodies: bool,
}

#[derive(Deserialize)]
struct Batch {
    requests: Vec<Recorded>,
    lost: u64,
}

/// A running Pumasi's console, with the token that lets one read single requests.
pub struct Recorder {
    client: Client,
    request: Vec<u8>,
    bodies: bool,
    /// Where its edge listens.
    pub site: String,
}

impl Recorder {
    /// The Pumasi whose state is in `state`, or the demo's in it. `bodies`: of forms and programs, secrets masked.
    ///
    /// Errors: none runs there, it has no console, or its console does not answer.
    pub fn find(state: &Path, bodies: bool) -> io::Result<Recorder> {
        let directories = [state.to_path_buf(), state.join("demo")];
        let found = directories.iter().find_map(|directory| {
            let lock: serde_json::Value = serde_json::from_str(&fs::read_to_string(directory.join("pumasi.lock")).ok()?).ok()?;
            let token = fs::read_to_string(directory.join("console.token")).ok()?;
            Some((format!("http://{}", lock.get("console")?.as_str()?), token.trim().to_string()))
        });
        let nobody = || io::Error::new(io::ErrorKind::NotFound, format!("no Pumasi with a console has its state in {}", state.display()));
        let (console, token) = found.ok_or_else(nobody)?;
        let target = Target::resolve(&console, &Trust::System).map_err(io::Error::other)?;
        let request = format!(
            "POST /api/record?bodies={bodies} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\nAccept: application/json\r\nContent-Length: 0\r\n\r\n",
            target.authority
        );
        let mut client = Client::new(&target, TIMEOUT);
        let site = site(&mut client, &target)?;
        Ok(Recorder { client, request: request.into_bytes(), bodies, site })
    }

    /// Records for `lasts`, or until `interrupt`. `told` hears the number of requests, once a second.
    ///
    /// Errors: the console refuses, or is gone.
    pub fn record(&mut self, lasts: Duration, interrupt: &AtomicBool, told: &dyn Fn(usize)) -> io::Result<Recording> {
        // What was served before it began is none of its business.
        self.fetch()?;
        let start = Instant::now();
        let mut recording = Recording { bodies: self.bodies, ..Recording::default() };
        loop {
            let over = start.elapsed() >= lasts || interrupt.load(Ordering::Relaxed);
            loop {
                let batch = self.fetch()?;
                recording.lost += batch.lost;
                let more = batch.requests.len() >= BATCH;
                recording.requests.extend(batch.requests);
                if !more {
                    break;
                }
            }
            told(recording.requests.len());
            if over || recording.requests.len() >= RECORDED_MAX {
                recording.requests.truncate(RECORDED_MAX);
                recording.lasted = start.elapsed();
                return Ok(recording);
            }
            let next = Instant::now() + ASK_EVERY.min(lasts.saturating_sub(start.elapsed()));
            while Instant::now() < next && !interrupt.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    fn fetch(&mut self) -> io::Result<Batch> {
        self.client.exchange(&self.request, false, true)?;
        match self.client.reader.status() {
            200 => serde_json::from_slice(self.client.reader.body()).map_err(io::Error::from),
            status => {
                let says = String::from_utf8_lossy(self.client.reader.body()).trim().to_string();
                Err(io::Error::other(format!("the console answers {status}: {says}")))
            }
        }
    }
}

fn site(client: &mut Client, target: &Target) -> io::Result<String> {
    let request = format!("GET /api/status HTTP/1.1\r\nHost: {}\r\n\r\n", target.authority);
    client.exchange(request.as_bytes(), false, true)?;
    let status: pumasi_status::Status = serde_json::from_slice(client.reader.body())?;
    let listener = status.edge.listeners.first().ok_or_else(|| io::Error::other("its edge listens nowhere"))?;
    // An address that stands for all interfaces is reached on this one.
    Ok(format!("http://{}", listener.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:")))
}

#[cfg(test)]
mod tests;
