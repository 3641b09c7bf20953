//! Proves that nobody is answered from before an acknowledged write, on the reference application's board.
//!
//! Each ask is a register that only grows: its number of cheers. Writers cheer, readers look at the front page and at the ask. When
//! a reader begins, every cheer acknowledged by then, and every count that any reader has been shown by then, is a floor under what
//! it may see; every cheer begun by its end is a ceiling. A count outside was not the state of the board at any moment of the read:
//! for a counter this is all that linearizability asks (Herlihy and Wing 1990, for one object), so nothing stale passes and nothing
//! right is accused.

mod register;

use crate::{exchange::Client, plan::Target, template::form_encode};
use register::Register;
use std::{
    io,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Asks that are made for the check: few, so that a cached page is shared, hit and made wrong all the time.
const ASKS: usize = 4;
const WRITERS: usize = 2;
const READERS: usize = 4;
/// Reads that a check should at least have; a slow target is given [`PATIENCE`] times the asked duration for them.
const READS_WANTED: u64 = 500;
const PATIENCE: u32 = 4;
/// Of one request.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What the check found.
#[derive(Clone, Debug, Default)]
pub struct Verified {
    /// Pages read, each with every count on it inside its bounds.
    pub reads: u64,
    /// Cheers acknowledged.
    pub writes: u64,
    /// Requests that were refused or failed. They prove nothing and are no staleness.
    pub failed: u64,
    /// The first answer that was stale (or from nowhere), with what led to it.
    pub violation: Option<String>,
}

/// Reads and writes for `lasts`, longer on a target so slow that little would be proven; until the first violation or until `stop`.
///
/// Errors: the board cannot be prepared: an ask cannot be posted, or its answer is not the reference application's.
pub fn verify(target: &Target, lasts: Duration, stop: &AtomicBool) -> io::Result<Verified> {
    let start = Instant::now();
    let registers: Vec<Register> = (0..ASKS).map(|_| make_ask(target, start)).collect::<io::Result<_>>()?;
    let board = Board { target, registers: &registers, counted: Counted::default(), start, lasts, stop, violation: Mutex::new(None) };
    std::thread::scope(|scope| {
        for number in 0..WRITERS {
            let board = &board;
            scope.spawn(move || board.write(number));
        }
        for number in 0..READERS {
            let board = &board;
            scope.spawn(move || board.read(number));
        }
    });
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    Ok(Verified {
        reads: count(&board.counted.reads),
        writes: count(&board.counted.writes),
        failed: count(&board.counted.failed),
        violation: board.violation.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()),
    })
}

struct Board<'b> {
    target: &'b Target,
    registers: &'b [Register],
    counted: Counted,
    start: Instant,
    lasts: Duration,
    stop: &'b AtomicBool,
    violation: Mutex<Option<String>>,
}

#[derive(Default)]
struct Counted {
    reads: AtomicU64,
    writes: AtomicU64,
    failed: AtomicU64,
}

impl Board<'_> {
    fn over(&self) -> bool {
        let elapsed = self.start.elapsed();
        let enough = self.counted.reads.load(Ordering::Relaxed) >= READS_WANTED || elapsed >= self.lasts * PATIENCE;
        elapsed >= self.lasts && enough || self.stop.load(Ordering::Relaxed) || self.violation.lock().is_ok_and(|found| found.is_some())
    }

    fn write(&self, number: usize) {
        let mut client = Client::new(self.target, TIMEOUT);
        let who = format!("writer {number}");
        for turn in number.. {
            if self.over() {
                return;
            }
            let register = &self.registers[turn % self.registers.len()];
            let request = post(self.target, &format!("/ask/{}/cheer", register.id), &format!("cheer {turn}"));
            register.begin_write(&who);
            match client.exchange(&request, false, false) {
                Ok(()) if client.reader.status() == 303 => {
                    register.acknowledge(&who);
                    self.counted.writes.fetch_add(1, Ordering::Relaxed);
                }
                // It may have happened or not: the ceiling knows of it, the floor does not.
                _ => _ = self.counted.failed.fetch_add(1, Ordering::Relaxed),
            }
        }
    }

    fn read(&self, number: usize) {
        let mut client = Client::new(self.target, TIMEOUT);
        let who = format!("reader {number}");
        for turn in number.. {
            if self.over() {
                return;
            }
            // Half of the reads are of the front page, which shows all of them.
            let front = turn % 2 == 0;
            let single = std::slice::from_ref(&self.registers[turn / 2 % self.registers.len()]);
            let shown: &[Register] = if front { self.registers } else { single };
            let path = if front { "/".to_string() } else { format!("/ask/{}", single[0].id) };
            let floors: Vec<u64> = shown.iter().map(|register| register.begin_read(&who, &path)).collect();
            let answered = client.exchange(&get(self.target, &path), false, true).is_ok() && client.reader.status() == 200;
            if !answered {
                self.counted.failed.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let page = String::from_utf8_lossy(client.reader.body());
            for (register, floor) in shown.iter().zip(floors) {
                let count = if front { count_on_front(&page, register.id) } else { count_on_ask(&page) };
                if let Err(history) = register.end_read(&who, &path, floor, count) {
                    let mut violation = self.violation.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                    violation.get_or_insert(history);
                    return;
                }
            }
            self.counted.reads.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn make_ask(target: &Target, start: Instant) -> io::Result<Register> {
    let mut client = Client::new(target, TIMEOUT);
    client.exchange(&post(target, "/ask", "Is this page fresh?"), false, false)?;
    let location = crate::reply::header(client.reader.head(), "location").map(|value| String::from_utf8_lossy(value).into_owned());
    let id = location.as_deref().and_then(|location| location.rsplit('/').next()).and_then(|id| id.parse().ok());
    match (client.reader.status(), id) {
        (303, Some(id)) => Ok(Register::new(id, start)),
        (status, _) => Err(io::Error::other(format!("POST /ask was answered {status} instead of a redirect to the new ask"))),
    }
}

fn get(target: &Target, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {}\r\nAccept-Language: en\r\n\r\n", target.authority).into_bytes()
}

fn post(target: &Target, path: &str, message: &str) -> Vec<u8> {
    let body = format!("message={}", form_encode(message));
    format!(
        "POST {path} HTTP/1.1\r\nHost: {}\r\nAccept-Language: en\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        target.authority,
        body.len()
    )
    .into_bytes()
}

/// The cheers of an ask as the front page shows them: `1,234 cheers from 56 places` inside the ask's link.
fn count_on_front(page: &str, id: u64) -> Option<u64> {
    let link = page.find(&format!("href=\"/ask/{id}\""))?;
    let tally = link + page[link..].find("class=\"tally\"")?;
    let end = tally + page[tally..].find(" cheer")?;
    let digits = page[..end].rfind(|c: char| !c.is_ascii_digit() && c != ',')?;
    page[digits..end].trim_start_matches(|c: char| !c.is_ascii_digit()).replace(',', "").parse().ok()
}

/// The cheers of an ask as its own page shows them, beside the heading.
fn count_on_ask(page: &str) -> Option<u64> {
    let start = page.find("class=\"count\">")? + "class=\"count\">".len();
    let end = start + page[start..].find('<')?;
    page[start..end].replace(',', "").parse().ok()
}

#[cfg(test)]
mod tests;
