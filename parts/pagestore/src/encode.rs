//! Pages in further forms: compressed once, sent often. Compressing takes a thread of its own; until it is done, clients get the page in the
//! best form that is there.
//!
//! A form is made when the first client asks for it: nobody pays for codings that no visitor takes.
use std::{
    collections::VecDeque,
    io::Write,
    sync::{
        Arc, Condvar, Mutex, OnceLock,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use flate2::write::GzEncoder;
use pumasi_httpcache::Coding;

use crate::{Key, Page, Pages, field_lines, lock, page::ALLOCATION};

/// What is compressed, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compression {
    /// In the order of our preference, for clients that have none. Empty: nothing is compressed.
    pub codings: Vec<Coding>,
    /// Smaller pages stay as they are.
    pub bytes_min: u64,
    /// Media types in lower case, without parameters; `text/*` for all of a kind, `*+json` for all with a suffix.
    pub types: Vec<Box<str>>,
}

/// The coded forms of one page, by [`Coding`].
#[derive(Debug, Default)]
pub(crate) struct Encodings {
    forms: [OnceLock<Bytes>; 3],
    /// A bit per coding: it is made or being made, or was found not to be worth it.
    begun: AtomicU8,
}

impl Encodings {
    pub fn form(&self, coding: Coding) -> Option<&Bytes> {
        self.forms[coding as usize].get()
    }

    /// Whether it is this caller's to have the form made: `true` once.
    pub fn begin(&self, coding: Coding) -> bool {
        let bit = 1 << coding as u8;
        self.begun.load(Relaxed) & bit == 0 && self.begun.fetch_or(bit, Relaxed) & bit == 0
    }

    /// It was not begun after all.
    fn put_off(&self, coding: Coding) {
        self.begun.fetch_and(!(1 << coding as u8), Relaxed);
    }

    pub fn set(&self, coding: Coding, form: Bytes) {
        self.begin(coding);
        let _ = self.forms[coding as usize].set(form); // somebody else's form of the same bytes is as good
    }

    /// Takes over what was made of the same bytes.
    pub fn inherit(&self, other: &Encodings) {
        for coding in Coding::ALL {
            if let Some(form) = other.form(coding) {
                self.set(coding, form.clone());
            }
        }
    }

    pub fn weight(&self) -> usize {
        self.forms.iter().filter_map(OnceLock::get).map(|form| form.len() + ALLOCATION).sum()
    }
}

/// Pages waiting to be compressed.
#[derive(Default)]
pub(crate) struct Jobs {
    queue: Mutex<Queue>,
    bell: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<(Key, Arc<Page>, Coding)>,
    stopped: bool,
}

impl Pages {
    /// Has the page's form in `coding` made, unless it is or was tried. For a form that [`Reply`](crate::Reply) would have liked to give.
    pub fn code(&self, key: &Key, page: &Arc<Page>, coding: Coding) {
        if !page.encodings.begin(coding) {
            return;
        }
        let mut queue = lock(&self.jobs.queue);
        if queue.jobs.len() < JOBS_MAX && !queue.stopped {
            queue.jobs.push_back((key.clone(), page.clone(), coding));
            self.jobs.bell.notify_one();
        } else {
            page.encodings.put_off(coding); // the next request that would like it tries again
        }
    }

    /// Compresses stored pages until [`Pages::stop_compressing`]. Blocks: give it a thread.
    pub fn compress(&self) {
        loop {
            let mut queue = lock(&self.jobs.queue);
            let (key, page, coding) = loop {
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
            if let Some(form) = coded(&page.body, coding) {
                page.encodings.set(coding, form);
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

impl Compression {
    /// Whether an answer with this head may be compressed: a 200 of a type in the list, not coded already, without `no-transform`, and not
    /// negotiated by the application itself.
    pub fn may_code(&self, status: u16, lines: &[u8]) -> bool {
        if status != 200 || self.codings.is_empty() {
            return false;
        }
        let mut listed = false;
        for (name, value) in field_lines(lines) {
            let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
            match name.len() {
                12 if is("content-type") => listed = self.lists(value),
                16 if is("content-encoding") => return false,
                13 if is("content-range") => return false,
                4 if is("vary") && contains(value, b"accept-encoding") => return false,
                13 if is("cache-control") && contains(value, b"no-transform") => return false, // RFC 9110 §7.7
                _ => {}
            }
        }
        listed
    }

    fn lists(&self, content_type: &[u8]) -> bool {
        let kind = content_type.split(|b| *b == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
        self.types.iter().any(|listed| match (listed.strip_suffix('*'), listed.strip_prefix('*')) {
            (Some(prefix), _) => kind.starts_with(prefix.as_bytes()),
            (None, Some(suffix)) => kind.ends_with(suffix.as_bytes()),
            (None, None) => *kind == *listed.as_bytes(),
        })
    }
}

/// Fields that describe the bytes as the origin sent them: a coded form goes without (RFC 9530 §2, §3).
pub(crate) fn describes_plain_bytes(name: &[u8]) -> bool {
    const NAMES: [&str; 5] = ["accept-ranges", "content-md5", "content-digest", "repr-digest", "digest"];
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// A coded form is another representation: its strong tag is the page's with the coding in it (RFC 9110 §8.8.3.3). A weak one says that the
/// forms mean the same, which they do.
pub(crate) fn tag_of(etag: &[u8], coding: Coding) -> Vec<u8> {
    match etag.strip_suffix(b"\"").filter(|_| !etag.starts_with(b"W/")) {
        Some(open) => [open, b";", coding.name().as_bytes(), b"\""].concat(),
        None => etag.to_vec(),
    }
}

/// Entity tags of a list as the origin knows them: without the codings that [`tag_of`] wrote into them. `None` if there are none.
pub fn plain_tags(list: &[u8]) -> Option<Vec<u8>> {
    let mut plain = list.to_vec();
    for coding in Coding::ALL {
        let mark = [b";", coding.name().as_bytes(), b"\""].concat();
        while let Some(at) = plain.windows(mark.len()).position(|window| window == mark) {
            plain.drain(at..at + mark.len() - 1);
        }
    }
    (plain != list).then_some(plain)
}

// === helpers ===

/// Forms waiting to be made at once: beyond it pages are sent in the forms they have.
const JOBS_MAX: usize = 1024;

/// How often the thread looks whether it should end, should a bell be missed.
const LOOK_UP: Duration = Duration::from_secs(1);

/// Where the next level costs much and saves little. Measured on 23 KB and 661 KB of text: gzip 6 takes 0.4 and 10 ms, brotli 6 0.6 and 7 ms (7: 9 and
/// 17 ms for 0.1 and 3 % less), zstd 6 0.2 and 3 ms (9: twice that for 1 and 4 % less).
const GZIP_LEVEL: u32 = 6;
const BROTLI_LEVEL: i32 = 6;
const ZSTD_LEVEL: i32 = 6;

/// Brotli looks back this far: 4 MiB, its usual window.
const BROTLI_WINDOW: i32 = 22;

/// `None` if it saves less than a tenth.
fn coded(body: &[u8], coding: Coding) -> Option<Bytes> {
    let mut out = Vec::with_capacity(body.len() / 3);
    match coding {
        Coding::Gzip => {
            let mut encoder = GzEncoder::new(&mut out, flate2::Compression::new(GZIP_LEVEL));
            encoder.write_all(body).ok()?;
            encoder.finish().ok()?;
        }
        Coding::Brotli => {
            let parameters = brotli::enc::BrotliEncoderParams {
                quality: BROTLI_LEVEL,
                lgwin: BROTLI_WINDOW,
                size_hint: body.len(),
                ..Default::default()
            };
            brotli::BrotliCompress(&mut &body[..], &mut out, &parameters).ok()?;
        }
        Coding::Zstd => out = zstd::bulk::compress(body, ZSTD_LEVEL).ok()?,
    }
    (out.len() < body.len() / 10 * 9).then(|| out.into_boxed_slice().into())
}

fn contains(list: &[u8], word: &[u8]) -> bool {
    list.split(|b| matches!(b, b',' | b' ')).any(|element| element.eq_ignore_ascii_case(word))
}
