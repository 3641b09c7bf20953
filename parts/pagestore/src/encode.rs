//! Pages in a second form: compressed once, sent often. Compressing takes a thread of its own; until it is done, clients get the page as
//! it is.
use std::{
    collections::VecDeque,
    io::Write,
    sync::{Arc, Condvar, Mutex, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};

use crate::{Key, Page, Pages, field_lines, lock};

/// The coded forms of one page.
#[derive(Debug, Default)]
pub(crate) struct Encodings {
    /// Set once, when the thread has done it and it was worth it.
    pub gzip: OnceLock<Bytes>,
}

/// Pages waiting to be compressed.
#[derive(Default)]
pub(crate) struct Jobs {
    queue: Mutex<Queue>,
    bell: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<(Key, Arc<Page>)>,
    stopped: bool,
}

impl Jobs {
    /// Beyond [`JOBS_MAX`] a page stays as it is until it is stored again.
    pub fn add(&self, key: &Key, page: &Arc<Page>) {
        let mut queue = lock(&self.queue);
        if queue.jobs.len() < JOBS_MAX && !queue.stopped {
            queue.jobs.push_back((key.clone(), page.clone()));
            self.bell.notify_one();
        }
    }
}

impl Pages {
    /// Compresses stored pages until [`Pages::stop_compressing`]. Blocks: give it a thread.
    pub fn compress(&self) {
        loop {
            let mut queue = lock(&self.jobs.queue);
            let (key, page) = loop {
                if queue.stopped {
                    return;
                }
                match queue.jobs.pop_front() {
                    Some(job) => break job,
                    None => {
                        queue = self.jobs.bell.wait_timeout(queue, LOOK_UP).map_or_else(|poison| poison.into_inner().0, |(queue, _)| queue)
                    }
                }
            };
            drop(queue);
            if let Some(gzip) = gzip(&page.body) {
                let _ = page.encodings.gzip.set(gzip); // somebody else's form is the same
                self.weigh_again(&key);
            }
        }
    }

    /// Ends [`Pages::compress`] after the page it is at.
    pub fn stop_compressing(&self) {
        lock(&self.jobs.queue).stopped = true;
        self.jobs.bell.notify_all();
    }
}

/// Whether a page is worth compressing, and may be: text of some size, not coded already, without `no-transform`, and not negotiated by
/// the application itself.
pub(crate) fn compressible(status: u16, lines: &[u8], body: &[u8]) -> bool {
    if status != 200 || body.len() < BODY_MIN {
        return false;
    }
    let mut textual = false;
    for (name, value) in field_lines(lines) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match name.len() {
            12 if is("content-type") => textual = is_text(value),
            16 if is("content-encoding") => return false,
            4 if is("vary") && contains(value, b"accept-encoding") => return false,
            13 if is("cache-control") && contains(value, b"no-transform") => return false, // RFC 9110 §7.7
            _ => {}
        }
    }
    textual
}

// === helpers ===

/// Pages waiting at once: what is stored faster than one thread compresses it is sent as it is.
const JOBS_MAX: usize = 1024;

/// Less saves no packet.
const BODY_MIN: usize = 1024;

/// How often the thread looks whether it should end, should a bell be missed.
const LOOK_UP: Duration = Duration::from_secs(1);

/// `None` if it saves less than a tenth.
fn gzip(body: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 3), Compression::default());
    encoder.write_all(body).ok()?;
    let coded = encoder.finish().ok()?;
    (coded.len() < body.len() / 10 * 9).then(|| coded.into_boxed_slice().into())
}

fn is_text(content_type: &[u8]) -> bool {
    let kind = content_type.split(|b| *b == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
    const KINDS: [&[u8]; 7] = [
        b"application/json",
        b"application/javascript",
        b"application/xml",
        b"application/wasm",
        b"application/manifest+json",
        b"image/svg+xml",
        b"font/ttf",
    ];
    kind.starts_with(b"text/") || kind.ends_with(b"+json") || kind.ends_with(b"+xml") || KINDS.contains(&&kind[..])
}

fn contains(list: &[u8], word: &[u8]) -> bool {
    list.split(|b| matches!(b, b',' | b' ')).any(|element| element.eq_ignore_ascii_case(word))
}
