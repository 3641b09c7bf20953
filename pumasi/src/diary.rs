//! What happened, for people: the last events for console and status, and the workers' own output on standard error.

use std::{
    collections::VecDeque,
    io::{IsTerminal, Write},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use pumasi_status::Event;
use tracing::{error, info, warn};

/// Events kept. Enough to see what led to a trouble; at about 200 bytes each.
const EVENTS_MAX: usize = 200;

/// The last events, and how lines of workers are shown. Shared by all tiers.
pub struct Diary {
    events: Mutex<VecDeque<Event>>,
    style: Style,
    /// Width of the longest worker name so far, so that the lines of all workers align.
    name_width: AtomicUsize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Json,
    Plain,
    Coloured,
}

impl Diary {
    pub fn new(json: bool) -> Diary {
        let style = match (json, colours_wanted()) {
            (true, _) => Style::Json,
            (false, true) => Style::Coloured,
            (false, false) => Style::Plain,
        };
        Diary { events: Mutex::default(), style, name_width: AtomicUsize::new(0) }
    }

    /// Newest last.
    pub fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Remembers an event and logs it. `level` is `info`, `warn` or `error`.
    pub fn note(&self, level: &str, subject: &str, message: &str) {
        let first_line = message.lines().next().unwrap_or_default().trim_end_matches("; its last lines:");
        match (level, self.style) {
            ("error", Style::Json) => error!(subject, "{message}"),
            ("warn", Style::Json) => warn!(subject, "{message}"),
            (_, Style::Json) => info!(subject, "{message}"),
            ("error", _) => error!("{subject}: {message}"),
            // The lines that a dying worker printed stand right above; only its last death repeats them.
            ("warn", _) => warn!("{subject}: {first_line}"),
            _ => info!("{subject}: {message}"),
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let event = Event {
            at_unix_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            level: level.into(),
            subject: subject.into(),
            message: message.into(),
        };
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if events.len() == EVENTS_MAX {
            events.pop_front();
        }
        events.push_back(event);
    }

    /// One line that a worker printed.
    fn show_line(&self, worker: &str, line: &str) {
        let line = match self.style {
            Style::Json => serde_json::json!({ "worker": worker, "line": line }).to_string(),
            style => {
                let width = self.name_width.fetch_max(worker.len(), Ordering::Relaxed).max(worker.len());
                match style {
                    Style::Coloured => format!("\x1b[{}m{worker:<width$} |\x1b[0m {line}", colour_of(worker)),
                    _ => format!("{worker:<width$} | {line}"),
                }
            }
        };
        // One write per line, so that lines of different threads do not mix. If nobody reads it any more, nobody misses it.
        let _ = std::io::stderr().lock().write_all(format!("{line}\n").as_bytes());
    }
}

impl pumasi_web::Journal for Diary {
    fn line(&self, worker: &str, line: &str) {
        self.show_line(worker, line);
    }

    fn event(&self, level: &'static str, subject: &str, message: &str) {
        self.note(level, subject, message);
    }
}

/// Whether messages may be coloured: a terminal reads them, and NO_COLOR is not set to anything.
pub fn colours_wanted() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// One of the terminal's colours that are readable on dark and light ground.
fn colour_of(worker: &str) -> u8 {
    const COLOURS: [u8; 5] = [36, 33, 32, 35, 34];
    COLOURS[worker.bytes().map(usize::from).sum::<usize>() % COLOURS.len()]
}
