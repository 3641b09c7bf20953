//! One line per request, written by a thread of its own. A log that cannot keep up loses lines and counts them; it never slows a request.

use std::{
    cell::RefCell,
    fmt::Write as _,
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
};

use pumasi_config::AccessLog;

/// Batches on their way to the writer. With [`BATCH_BYTES`] each, 4 MiB over all cores; what is beyond is dropped and counted.
const BATCHES_MAX: usize = 64;

/// A core hands its lines over when there are this many bytes, and at every tick.
const BATCH_BYTES: usize = 64 << 10;

/// Where lines go.
pub(crate) type Sink = Box<dyn Write + Send>;

/// What a core writes its lines to.
#[derive(Debug)]
pub(crate) struct CoreLog {
    batch: RefCell<String>,
    writer: SyncSender<String>,
    lost: Arc<AtomicU64>,
}

/// What there is to say about one request.
pub(crate) struct Line<'a> {
    pub client: &'a str,
    pub date: &'a str,
    pub id: [u8; 16],
    pub method: &'a [u8],
    pub target: &'a [u8],
    pub host: &'a [u8],
    pub version: &'static str,
    pub status: u16,
    pub bytes: u64,
    pub took_us: u64,
    pub upstream: &'a str,
    /// What the page store did: `hit`, `miss`, a bypass reason.
    pub pages: &'a str,
    pub referer: &'a [u8],
    pub user_agent: &'a [u8],
}

/// Starts the writing thread. It ends when the last of the logs is dropped.
pub(crate) fn start(sink: Sink, cores: usize) -> std::io::Result<Vec<CoreLog>> {
    let (writer, lines) = sync_channel(BATCHES_MAX);
    let lost = Arc::new(AtomicU64::new(0));
    let thread_lost = lost.clone();
    std::thread::Builder::new().name("access-log".into()).spawn(move || write_out(sink, lines, thread_lost))?;
    Ok((0..cores).map(|_| CoreLog { batch: RefCell::default(), writer: writer.clone(), lost: lost.clone() }).collect())
}

impl CoreLog {
    pub fn write(&self, format: AccessLog, line: &Line<'_>) {
        let mut batch = self.batch.borrow_mut();
        match format {
            AccessLog::Off => return,
            AccessLog::Common => common(&mut batch, line),
            AccessLog::Json => json(&mut batch, line),
        }
        if batch.len() >= BATCH_BYTES {
            self.hand_over(&mut batch);
        }
    }

    pub fn flush(&self) {
        let mut batch = self.batch.borrow_mut();
        if !batch.is_empty() {
            self.hand_over(&mut batch);
        }
    }

    fn hand_over(&self, batch: &mut String) {
        let lines = std::mem::take(batch);
        if let Err(TrySendError::Full(lines) | TrySendError::Disconnected(lines)) = self.writer.try_send(lines) {
            self.lost.fetch_add(lines.lines().count() as u64, Ordering::Relaxed);
        }
    }
}

impl Drop for CoreLog {
    fn drop(&mut self) {
        self.flush();
    }
}

fn write_out(mut sink: Sink, lines: Receiver<String>, lost: Arc<AtomicU64>) {
    for batch in lines {
        let result = sink.write_all(batch.as_bytes()).and_then(|()| sink.flush());
        if let Err(error) = result {
            lost.fetch_add(batch.lines().count() as u64, Ordering::Relaxed);
            tracing::debug!(%error, "the access log could not be written");
        }
        match lost.swap(0, Ordering::Relaxed) {
            0 => {}
            lines => tracing::warn!(lines, "the access log lost lines: its reader or disk is too slow"),
        }
    }
}

/// The common log format with referer, user agent, microseconds, upstream and request id behind it.
fn common(out: &mut String, line: &Line<'_>) {
    let _ = write!(out, "{} - - [{}] \"", line.client, line.date);
    escape(out, line.method, '"');
    out.push(' ');
    escape(out, line.target, '"');
    let _ = write!(out, " {}\" {} {} \"", line.version, line.status, line.bytes);
    escape(out, line.referer, '"');
    out.push_str("\" \"");
    escape(out, line.user_agent, '"');
    let id = String::from_utf8_lossy(&line.id);
    let _ = writeln!(out, "\" {} {} {} {id}", line.took_us, or_dash(line.upstream), or_dash(line.pages));
}

fn json(out: &mut String, line: &Line<'_>) {
    let _ = write!(out, "{{\"client\":\"{}\",\"time\":\"{}\",\"method\":\"", line.client, line.date);
    escape_json(out, line.method);
    out.push_str("\",\"host\":\"");
    escape_json(out, line.host);
    out.push_str("\",\"target\":\"");
    escape_json(out, line.target);
    let _ = write!(
        out,
        "\",\"version\":\"{}\",\"status\":{},\"bytes\":{},\"took_us\":{},\"upstream\":\"",
        line.version, line.status, line.bytes, line.took_us
    );
    escape_json(out, line.upstream.as_bytes());
    out.push_str("\",\"pages\":\"");
    escape_json(out, line.pages.as_bytes());
    out.push_str("\",\"referer\":\"");
    escape_json(out, line.referer);
    out.push_str("\",\"user_agent\":\"");
    escape_json(out, line.user_agent);
    let _ = writeln!(out, "\",\"request_id\":\"{}\"}}", String::from_utf8_lossy(&line.id));
}

// === helpers ===

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

/// What a client sent must not become a second line or close the quotes: other than plain ASCII is written as `\xNN`.
fn escape(out: &mut String, bytes: &[u8], quote: char) {
    for &b in bytes {
        match b {
            b' '..=b'~' if b as char != quote && b != b'\\' => out.push(b as char),
            _ => {
                let _ = write!(out, "\\x{b:02x}");
            }
        }
    }
}

fn escape_json(out: &mut String, bytes: &[u8]) {
    for &b in bytes {
        match b {
            b'"' | b'\\' => {
                out.push('\\');
                out.push(b as char);
            }
            b' '..=b'~' => out.push(b as char),
            _ => {
                let _ = write!(out, "\\u{b:04x}"); // each byte as the Latin-1 character: lossless, and always valid JSON
            }
        }
    }
}

#[cfg(test)]
mod tests;
