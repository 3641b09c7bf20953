//! `files = "DIR"`: static content of a route.
//!
//! ```text
//! request --> path (no way out of DIR) --> open, on a thread of its own --> conditions, ranges --> pieces, read by those threads as the
//! client takes them
//! ```
//! To the page store this is an origin like any other: with `pages = "standard"` and a `cache_control` small files are answered from memory,
//! compressed.
//!
//! **Invariant:** no event loop waits for a disk: every call that may is made by [`reading::Readers`]. One client holds one piece of a file, whatever its
//! size.
mod path;
pub(crate) mod reading;
mod types;

use std::{future::poll_fn, pin::pin, rc::Rc, task::Poll, time::Duration};

use bytes::Bytes;
use pumasi_http1::{Fields, Known, RequestHead, write};
use pumasi_httpcache::{Asked, Coding, Method, date, range, validation};
use pumasi_pagestore::field_lines;
use tokio::sync::oneshot;

use self::{
    path::Wanted,
    reading::{NotOpened, Opened, PIECE_BYTES},
};
use crate::{
    answers::{Trouble, reason},
    core::Core,
    downstream::Downstream,
    forward::Forwarded,
    heads::{Length, RequestEdit},
    request_id::RequestId,
    routes::{Files, Route},
};

/// Answers from the files of `route`. `edit`: conditions in place of the client's.
pub(crate) async fn answer<D: Downstream>(
    core: &Rc<Core>,
    route: &Route,
    files: &Files,
    down: &mut D,
    id: RequestId,
    edit: Option<&RequestEdit>,
    idle_timeout: Duration,
) -> Forwarded {
    let method = Method::of(down.request().method());
    if !matches!(method, Method::Get | Method::Head) {
        return Forwarded::Trouble(Trouble::MethodNotAllowed);
    }
    let wanted = match path::wanted(route.path(), down.request().path()) {
        Some(wanted) => wanted,
        None => return Forwarded::Trouble(Trouble::NoFile),
    };
    let codings = codings(files, down.request());
    let opened = match core.shared.files.open(files.directory.clone(), wanted.clone(), codings) {
        Some(opening) => within(opening, OPEN_PATIENCE, down).await.unwrap_or(Err(NotOpened::Busy)),
        None => Err(NotOpened::Busy),
    };
    match opened {
        Ok(opened) => {
            let head = Head::of(files, &wanted, &opened, core, down.request(), edit);
            send(core, head, opened, down, id, idle_timeout).await
        }
        Err(NotOpened::Directory) => {
            redirect(core, down);
            Forwarded::Answered
        }
        Err(NotOpened::Absent) => Forwarded::Trouble(Trouble::NoFile),
        Err(NotOpened::Busy) => Forwarded::Trouble(Trouble::QueueFull),
    }
}

/// What is answered: status, and which bytes of the file.
struct Head {
    status: u16,
    lines: Vec<u8>,
    content_type: &'static str,
    part: range::Parts,
}

impl Head {
    fn of(files: &Files, wanted: &Wanted, opened: &Opened, core: &Core, request: &RequestHead, edit: Option<&RequestEdit>) -> Head {
        let replaced = |name: &[u8]| edit.is_some_and(|edit| edit.leave_out.iter().any(|known| Known::of(name) == *known));
        let kept = request.fields.iter().filter(|(name, _)| !replaced(name));
        let asked = Asked::of(request.method(), kept.chain(field_lines(edit.map_or(&[], |edit| &edit.add))));
        let etag = opened.etag();
        let modified = date::format(opened.modified_s);
        let now_s = opened.now_s;
        let content_type = types::of(&wanted.path);
        let mut lines = Vec::with_capacity(256);
        write::field(&mut lines, "Date", &core.date.text());
        write::field(&mut lines, "ETag", etag.as_bytes());
        write::field(&mut lines, "Last-Modified", &modified);
        if let Some(cache_control) = &files.cache_control {
            write::field(&mut lines, "Cache-Control", cache_control.as_bytes());
        }
        if files.precompressed {
            write::field(&mut lines, "Vary", b"Accept-Encoding");
        }
        let mut status = 200;
        let mut part = range::Parts::Whole;
        // RFC 9110 §13.2.2, in its order.
        if !precondition_holds(request, &etag, opened.modified_s, now_s) {
            status = 412;
        } else if validation::not_modified(&asked, Some(etag.as_bytes()), Some(&modified), now_s) {
            status = 304;
        } else {
            write::field(&mut lines, "Content-Type", content_type.as_bytes());
            write::field(&mut lines, "Accept-Ranges", b"bytes");
            if let Some(coding) = opened.coding {
                write::field(&mut lines, "Content-Encoding", coding.name().as_bytes());
            }
            if asked.method == Method::Get {
                part = range::parts(&asked, opened.length, Some(etag.as_bytes()), Some(&modified), now_s);
            }
            status = match part {
                range::Parts::Whole => status,
                range::Parts::Unsatisfiable => 416,
                range::Parts::One { .. } | range::Parts::Several(_) => 206,
            };
        }
        Head { status, lines, content_type, part }
    }
}

async fn send<D: Downstream>(
    core: &Rc<Core>,
    head: Head,
    opened: Opened,
    down: &mut D,
    id: RequestId,
    idle_timeout: Duration,
) -> Forwarded {
    let Head { status, mut lines, content_type, part } = head;
    let boundary = [b"pumasi-", &id.text()[..]].concat();
    let length = opened.length;
    let pieces = match (status, part) {
        (304, _) => {
            down.send_head(304, reason(304).as_bytes(), &lines, Length::None(None));
            down.send_end(&Fields::default());
            return Forwarded::Answered;
        }
        (412, _) => Vec::new(),
        (416, _) => {
            write::field(&mut lines, "Content-Range", format!("bytes */{length}").as_bytes());
            Vec::new()
        }
        (_, range::Parts::One { first, last }) => {
            write::field(&mut lines, "Content-Range", format!("bytes {first}-{last}/{length}").as_bytes());
            vec![Piece::File { offset: first, length: last - first + 1 }]
        }
        (_, range::Parts::Several(parts)) => {
            replace_content_type(&mut lines, &boundary);
            multipart(&parts, length, content_type, &boundary)
        }
        _ => vec![Piece::File { offset: 0, length }],
    };
    let total = pieces.iter().map(Piece::length).sum();
    let head_only = down.request().method() == b"HEAD";
    down.send_head(status, reason(status).as_bytes(), &lines, if head_only { Length::None(Some(total)) } else { Length::Known(total) });
    for piece in pieces.into_iter().filter(|_| !head_only) {
        let sent = match piece {
            Piece::Bytes(bytes) => {
                down.send_shared(&bytes, 0..bytes.len());
                true
            }
            Piece::File { offset, length } => send_file(core, &opened, offset, length, down, idle_timeout).await,
        };
        if !sent {
            return Forwarded::Cut; // short of what was announced
        }
    }
    down.send_end(&Fields::default());
    Forwarded::Answered
}

enum Piece {
    Bytes(Bytes),
    File { offset: u64, length: u64 },
}

impl Piece {
    fn length(&self) -> u64 {
        match self {
            Piece::Bytes(bytes) => bytes.len() as u64,
            Piece::File { length, .. } => *length,
        }
    }
}

/// RFC 9110 §14.6.
fn multipart(parts: &[(u64, u64)], length: u64, content_type: &str, boundary: &[u8]) -> Vec<Piece> {
    let boundary = String::from_utf8_lossy(boundary);
    let mut pieces = Vec::with_capacity(2 * parts.len() + 1);
    for (first, last) in parts {
        let head = format!("\r\n--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: bytes {first}-{last}/{length}\r\n\r\n");
        pieces.push(Piece::Bytes(head.into()));
        pieces.push(Piece::File { offset: *first, length: last - first + 1 });
    }
    pieces.push(Piece::Bytes(format!("\r\n--{boundary}--\r\n").into()));
    pieces
}

fn replace_content_type(lines: &mut Vec<u8>, boundary: &[u8]) {
    let mut kept = Vec::with_capacity(lines.len());
    for (name, value) in field_lines(lines).filter(|(name, _)| !name.eq_ignore_ascii_case(b"content-type")) {
        write::field(&mut kept, std::str::from_utf8(name).unwrap_or_default(), value); // names of ours
    }
    write::field(&mut kept, "Content-Type", &[b"multipart/byteranges; boundary=", boundary].concat());
    *lines = kept;
}

/// Reads a piece, sends it, reads the next: as fast as the client takes them. Whether all was sent.
async fn send_file<D: Downstream>(
    core: &Rc<Core>,
    opened: &Opened,
    offset: u64,
    length: u64,
    down: &mut D,
    idle_timeout: Duration,
) -> bool {
    let end = offset + length;
    let mut at = offset;
    while at < end {
        let count = (end - at).min(PIECE_BYTES);
        let bytes = match opened.ahead(at, count) {
            Some(bytes) => Some(bytes),
            None => match core.shared.files.read(opened, at, count) {
                Some(reading) => within(reading, OPEN_PATIENCE, down).await.flatten(),
                None => None,
            },
        };
        // Somebody truncated it, or the disk failed.
        let Some(bytes) = bytes else { return false };
        at += count;
        down.send_shared(&bytes, 0..bytes.len());
        if at < end && !room(down, idle_timeout).await {
            return false;
        }
    }
    true
}

/// Waits until the client's output takes more. `false`: the client is gone, or takes nothing any more.
async fn room<D: Downstream>(down: &mut D, idle_timeout: Duration) -> bool {
    let mut unsent = usize::MAX;
    let roomy = poll_fn(|context| {
        if down.poll_gone(context).is_ready() {
            return Poll::Ready(false);
        }
        match down.poll_flush(context) {
            Poll::Ready(Err(_)) => return Poll::Ready(false),
            Poll::Ready(Ok(())) => return Poll::Ready(true),
            Poll::Pending if !down.full() => return Poll::Ready(true),
            Poll::Pending => {}
        }
        if down.unsent() < unsent {
            unsent = down.unsent();
            down.timer().arm(idle_timeout);
        }
        down.timer().watch(context);
        if down.timer().fired() { Poll::Ready(false) } else { Poll::Pending }
    })
    .await;
    down.timer().disarm();
    roomy
}

/// What a reader answers, within `patience`.
async fn within<T, D: Downstream>(mut asked: oneshot::Receiver<T>, patience: Duration, down: &mut D) -> Option<T> {
    down.timer().arm(patience);
    let came = poll_fn(|context| {
        if let Poll::Ready(came) = pin!(&mut asked).poll(context) {
            return Poll::Ready(came.ok());
        }
        down.timer().watch(context);
        if down.timer().fired() { Poll::Ready(None) } else { Poll::Pending }
    })
    .await;
    down.timer().disarm();
    came
}

/// A directory is asked for without its slash: links in its index would lead astray.
fn redirect<D: Downstream>(core: &Rc<Core>, down: &mut D) {
    let request = down.request();
    let (path, rest) = request.path_and_query().split_at(request.path().len());
    let mut lines = Vec::with_capacity(128);
    write::field(&mut lines, "Date", &core.date.text());
    // A second slash in front would make it another host (RFC 3986 §4.2).
    let path = [&b"/"[..], trim_slashes(path), b"/", rest].concat();
    write::field(&mut lines, "Location", &path);
    down.send_head(301, b"Moved Permanently", &lines, Length::Known(0));
    down.send_end(&Fields::default());
}

fn trim_slashes(path: &[u8]) -> &[u8] {
    let start = path.iter().position(|&byte| byte != b'/').unwrap_or(path.len());
    &path[start..]
}

// === helpers ===

/// How long a request waits for the disk: for the opening of a file, and for each piece of it. Then 503, or the connection is cut.
const OPEN_PATIENCE: Duration = Duration::from_secs(10);

/// The codings of siblings that may be sent, best first.
fn codings(files: &Files, request: &RequestHead) -> Vec<Coding> {
    if !files.precompressed {
        return Vec::new();
    }
    let accepted = Asked::of(request.method(), request.fields.iter()).codings();
    let mut rest: Vec<Coding> = [Coding::Brotli, Coding::Zstd, Coding::Gzip].into();
    let mut best = Vec::new();
    while let Some(coding) = accepted.best(rest.iter().copied()) {
        rest.retain(|other| *other != coding);
        best.push(coding);
    }
    best
}

/// If-Match, or else If-Unmodified-Since (RFC 9110 §13.1.1, §13.1.4).
fn precondition_holds(request: &RequestHead, etag: &str, modified_s: i64, now_s: i64) -> bool {
    let mut tags = request.fields.all(Known::IfMatch).peekable();
    if tags.peek().is_some() {
        let names = |line: &[u8]| {
            line == b"*" || line.split(|&b| b == b',').any(|tag| validation::strongly_equal(tag.trim_ascii(), etag.as_bytes()))
        };
        return tags.any(names);
    }
    let since = request.fields.get(Known::IfUnmodifiedSince).and_then(|text| date::parse(text, now_s));
    since.is_none_or(|since| modified_s <= since)
}
