//! Pages that no header allows to store, kept as long as no write changed a row they were made of (`pages = "automatic"`).
//!
//! [`Follow`] stands beside one fetch: it opens the worker's window before the request is sent, closes it behind the last byte, and decides.
//! [`Habits`] knows what follows from earlier answers of the same kind of target: a kind earns its place by answers that are equal as long
//! as nothing they were made of changes ([`EQUAL_MIN`]), is looked at again while it has it, and loses it with the first difference.
//!
//! What is promised: exact for pages that are a function of their request and the database. That other pages are none cannot be proven from
//! outside; probation and comparison find them.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, Waker},
    time::Duration,
};

use pumasi_balance::{Upstream, UpstreamId};
use pumasi_config::Attribution;
use pumasi_freshness::{Entry, Freshness, Refusal, Window};
use pumasi_http1::{Known, RequestHead};
use pumasi_httpcache::{Answered, Bypass, Method};
use pumasi_pagestore::{Fill, NotStored, Page, field_lines};
use tracing::warn;

use crate::{routes::Snapshot, timer::Timer};

/// Comparisons without a difference before answers of a kind are given to others.
const EQUAL_MIN: u32 = 2;

/// Kinds of targets told apart; all further ones are one kind.
const KINDS_MAX: usize = 1024;

/// Answers kept of one kind while it is on probation, to be compared with the next of the same target.
const CANDIDATES_MAX: usize = 8;

/// Bytes of a candidate that are kept to show a difference; what is compared is a hash of all.
const KEPT_MAX: usize = 16 * 1024;

/// Differences kept for the console.
const DIFFERENCES_MAX: usize = 16;

/// How long a request is held back at most because of others at its worker: longer than most pages take to make, shorter than anybody notices. It also
/// ends the wait of two requests for each other (a page whose making asks the same worker for something).
const ADMISSION_MAX: Duration = Duration::from_millis(100);

/// The same where each worker gets one request at a time: long enough that the pages of most applications are alone.
const ALONE_MAX: Duration = Duration::from_secs(2);

/// The first comparison beside use; each that finds no difference doubles the time to the next, up to the last.
const RECHECK_FIRST_MS: u64 = 1_000;
const RECHECK_LAST_MS: u64 = 60_000;

/// How long a kind that differed is barred; doubled each time, up to a day.
const BARRED_FIRST_MS: u64 = 600_000;
const BARRED_LAST_MS: u64 = 86_400_000;

/// Whether the request says who asks, so that its page is nobody else's.
pub(super) fn personal(request: &RequestHead, snapshot: &Snapshot) -> bool {
    let fields = &request.fields;
    let foreign = |value: &[u8]| {
        let mut names =
            value.split(|&byte| byte == b';').map(|pair| pair.split(|&byte| byte == b'=').next().unwrap_or_default().trim_ascii());
        names.any(|name| !name.is_empty() && !snapshot.ignores_cookie(name))
    };
    fields.get(Known::Authorization).is_some() || fields.all_named("cookie").any(foreign)
}

// === one fetch ===

/// Beside one fetch of an automatic route.
pub(super) struct Follow {
    freshness: Arc<Freshness>,
    kind: String,
    window: Option<Window>,
    /// Sent more than once: what the first did is not known.
    repeated: bool,
    role: Role,
    attribution: Attribution,
    /// Its place at the worker it is sent to.
    place: Option<Place>,
    waiting: Option<Waiting>,
    /// Made again beside its use: the page that is to be equal.
    compared: Option<Arc<Page>>,
}

impl Follow {
    pub fn new(freshness: &Arc<Freshness>, kind: String, role: Role, attribution: Attribution, compared: Option<Arc<Page>>) -> Follow {
        let freshness = freshness.clone();
        Follow { freshness, kind, window: None, repeated: false, role, attribution, place: None, waiting: None, compared }
    }

    /// Waits until the request may go to `upstream`: see [`Gate`].
    pub fn poll_admitted(&mut self, habits: &Habits, upstream: &Upstream, timer: &Timer, context: &mut Context<'_>) -> Poll<()> {
        let alone = self.attribution == Attribution::Alone;
        // Requests that name themselves in their statements need not be kept apart.
        let apart = alone || self.attribution == Attribution::Window && self.role != Role::Beside;
        if upstream.witness.is_none() || !apart {
            return Poll::Ready(());
        }
        self.place = None;
        let waiting = match &mut self.waiting {
            Some(waiting) => waiting,
            None => {
                let gate = habits.gate(upstream.id());
                if let Some(place) = gate.enter(self.role, alone) {
                    self.place = Some(place);
                    return Poll::Ready(());
                }
                timer.arm(if alone { ALONE_MAX } else { ADMISSION_MAX });
                self.waiting.insert(gate.wait(self.role, alone))
            }
        };
        timer.watch(context);
        let place = match waiting.poll(context) {
            Poll::Ready(place) => place,
            // Waited long enough: it goes, and what is being made meanwhile will not be stored.
            Poll::Pending if timer.fired() => waiting.gate.force(self.role),
            Poll::Pending => return Poll::Pending,
        };
        timer.disarm();
        self.waiting = None;
        self.place = Some(place);
        Poll::Ready(())
    }

    /// Before the first byte of the request is sent.
    pub fn sending(&mut self, upstream: &Upstream, trace: Option<&pumasi_trace::Context>) {
        self.repeated |= self.window.is_some();
        let named = trace.filter(|_| self.attribution == Attribution::Traceparent);
        self.window = upstream.witness.as_ref().map(|witness| match named {
            Some(context) => witness.open_traced(&self.freshness, context.trace),
            None => witness.open(&self.freshness),
        });
    }

    /// Whether an answer with this head may become an automatic page. One that says itself how long it holds is an ordinary page.
    pub fn takes(&self, answered: &Answered<'_>) -> bool {
        let says = &answered.directives;
        let dated = says.max_age != pumasi_httpcache::directives::Delta::Absent
            || says.s_maxage != pumasi_httpcache::directives::Delta::Absent
            || answered.expires.is_some();
        self.role == Role::Storing
            && self.window.is_some()
            && matches!(answered.status, 200 | 301 | 308 | 404 | 410)
            && !(dated || says.no_store || says.private || answered.set_cookie || answered.vary_all)
    }

    /// The last byte has arrived: stores the page, or says why not.
    pub fn end(self, habits: &Habits, fill: Fill, now_ms: u64) -> Result<(), NotStored> {
        let entry = match self.window.map(Window::close) {
            _ if self.repeated => return Err(fill.refuse(Bypass::NotProvable, now_ms)),
            None => return Err(fill.refuse(Bypass::NothingRead, now_ms)),
            Some(Err(refusal)) => return Err(fill.refuse(reason_of(refusal), now_ms)),
            Some(Ok((stamp, deps))) => Entry::new(stamp, deps),
        };
        match habits.judge(&self.kind, &fill, &entry, self.compared.as_deref(), &self.freshness, now_ms) {
            Verdict::Trusted { recheck_ms } => fill.finish_automatic(entry, recheck_ms, now_ms).map(drop),
            Verdict::NotYet => Err(fill.refuse(Bypass::Probation, now_ms)),
            // The store finds the same, and gives it to those who had asked before it was begun.
            Verdict::Overtaken => fill.finish_automatic(entry, now_ms, now_ms).map(drop),
            Verdict::Barred => Err(fill.refuse(Bypass::Demoted, now_ms)),
        }
    }
}

fn reason_of(refusal: Refusal) -> Bypass {
    match refusal {
        Refusal::Wrote => Bypass::Wrote,
        Refusal::NothingRead => Bypass::NothingRead,
        Refusal::OtherEpoch => Bypass::Overtaken,
        Refusal::Statement(_) | Refusal::TooMany => Bypass::NotProvable,
    }
}

// === who is in flight at a worker ===

/// A worker's statements count for all its requests in flight, so one that writes keeps every page out that is being made beside it: with one write
/// in ten requests hardly any would be stored. So at one worker pages being made to be stored and requests that may change something (POST and
/// the like) take turns: many of one kind at a time, and the other waits, at most [`ADMISSION_MAX`]. Other workers are not concerned.
#[derive(Default)]
pub(super) struct Gate {
    state: Mutex<Turns>,
}

#[derive(Default)]
struct Turns {
    storing: usize,
    changing: usize,
    /// Others, counted where each request is alone.
    beside: usize,
    /// Requests that change something and wait for their turn: nobody else begins to make a page before them.
    changing_waits: usize,
    wakers: Vec<Waker>,
}

/// What a request is, as far as it concerns others at its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A plain GET that does not say who asks: its answer may be stored.
    Storing,
    /// By its method it may change something.
    Changing,
    /// Anything else. It is followed too, because what it reads and writes counts for all that are in flight.
    Beside,
}

/// A request in flight. Dropping it lets others go.
pub(super) struct Place {
    gate: Arc<Gate>,
    role: Role,
}

/// A request that waits for its turn.
struct Waiting {
    gate: Arc<Gate>,
    role: Role,
    /// Until nobody else is there.
    alone: bool,
}

impl Gate {
    fn enter(self: &Arc<Gate>, role: Role, alone: bool) -> Option<Place> {
        let mut turns = self.lock();
        if !turns.admits(role, alone) {
            return None;
        }
        turns.count(role, 1);
        Some(Place { gate: self.clone(), role })
    }

    fn wait(self: &Arc<Gate>, role: Role, alone: bool) -> Waiting {
        self.lock().changing_waits += usize::from(role == Role::Changing);
        Waiting { gate: self.clone(), role, alone }
    }

    fn force(self: &Arc<Gate>, role: Role) -> Place {
        self.lock().count(role, 1);
        Place { gate: self.clone(), role }
    }

    fn lock(&self) -> MutexGuard<'_, Turns> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turns {
    fn admits(&self, role: Role, alone: bool) -> bool {
        let somebody = self.storing + self.changing + self.beside > 0;
        match role {
            _ if alone && somebody => false,
            Role::Storing => self.changing == 0 && self.changing_waits == 0,
            Role::Changing => self.storing == 0,
            Role::Beside => true,
        }
    }

    fn count(&mut self, role: Role, by: isize) {
        let count = match role {
            Role::Storing => &mut self.storing,
            Role::Changing => &mut self.changing,
            Role::Beside => &mut self.beside,
        };
        *count = count.saturating_add_signed(by);
    }

    fn wake(&mut self) {
        self.wakers.drain(..).for_each(Waker::wake);
    }
}

impl Waiting {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Place> {
        let mut turns = self.gate.lock();
        // One's own wait does not count against one.
        if turns.admits(self.role, self.alone) {
            turns.count(self.role, 1);
            return Poll::Ready(Place { gate: self.gate.clone(), role: self.role });
        }
        if !turns.wakers.iter().any(|waker| waker.will_wake(context.waker())) {
            turns.wakers.push(context.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut turns = self.gate.lock();
        turns.changing_waits -= usize::from(self.role == Role::Changing);
        turns.wake();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut turns = self.gate.lock();
        turns.count(self.role, -1);
        turns.wake();
    }
}

// === what is known of kinds ===

/// What is known of each kind of target, and who is in flight at which worker.
#[derive(Default)]
pub(crate) struct Habits {
    known: Mutex<Learnt>,
    gates: Mutex<HashMap<UpstreamId, Weak<Gate>>>,
}

#[derive(Default)]
struct Learnt {
    kinds: HashMap<String, Habit>,
    differences: VecDeque<Difference>,
}

#[derive(Default)]
struct Habit {
    /// Comparisons without a difference.
    equal: u32,
    barred_until_ms: u64,
    barred_ms: u64,
    candidates: VecDeque<Candidate>,
}

struct Candidate {
    variant: Vec<u8>,
    entry: Entry,
    print: Print,
    kept: Vec<u8>,
}

/// An answer, as far as it is compared.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Print {
    status: u16,
    length: usize,
    hash: u64,
}

/// Two answers that differed although nothing they were made of had changed.
#[derive(Clone, Debug)]
pub struct Difference {
    /// Route and path, numbers replaced by `*`.
    pub kind: String,
    pub at_unix_ms: u64,
    /// First byte that differs, and a little of both around it.
    pub offset: usize,
    pub before: String,
    pub after: String,
}

enum Verdict {
    Trusted { recheck_ms: u64 },
    NotYet,
    Barred,
    Overtaken,
}

impl Habits {
    /// The newest last.
    pub fn differences(&self) -> Vec<Difference> {
        self.lock().differences.iter().cloned().collect()
    }

    /// How far the kind is in earning its place, for people; `None`: no answer of it has been judged yet.
    pub fn trial(&self, kind: &str, now_ms: u64) -> Option<pumasi_status::Trial> {
        let known = self.lock();
        let habit = known.kinds.get(kind)?;
        let barred_until_unix_ms = Some(habit.barred_until_ms).filter(|until| now_ms < *until);
        Some(pumasi_status::Trial { kind: kind.to_owned(), equal: habit.equal, needed: EQUAL_MIN, barred_until_unix_ms })
    }

    /// The gate of one worker; it lasts as long as somebody is in flight or waits.
    fn gate(&self, upstream: UpstreamId) -> Arc<Gate> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = gates.get(&upstream).and_then(Weak::upgrade) {
            return gate;
        }
        gates.retain(|_, gate| gate.strong_count() > 0);
        let gate = Arc::new(Gate::default());
        gates.insert(upstream, Arc::downgrade(&gate));
        gate
    }

    fn judge(&self, kind: &str, fill: &Fill, entry: &Entry, compared: Option<&Page>, freshness: &Freshness, now_ms: u64) -> Verdict {
        let print = Print::of(fill.status(), fill.body());
        let variant = fill.variant();
        let mut known = self.lock();
        let kind = if known.kinds.contains_key(kind) || known.kinds.len() < KINDS_MAX { kind } else { "(other)" };
        let habit = known.kinds.entry(kind.to_owned()).or_default();
        if now_ms < habit.barred_until_ms {
            return Verdict::Barred;
        }
        // Comparing proves something only if both answers are of the same state: the older still holds, and so does this one.
        if !entry.usable(freshness) {
            return if habit.equal >= EQUAL_MIN { Verdict::Overtaken } else { Verdict::NotYet };
        }
        let before = match compared {
            Some(page) => {
                page.entry().is_some_and(|entry| entry.usable(freshness)).then(|| (Print::of(page.status, &page.body), page.body.to_vec()))
            }
            None => {
                let place = habit.candidates.iter().position(|candidate| candidate.variant == variant);
                place
                    .and_then(|place| habit.candidates.remove(place))
                    .filter(|candidate| candidate.entry.usable(freshness))
                    .map(|c| (c.print, c.kept))
            }
        };
        match before {
            Some((before, kept)) if before != print => {
                let difference = Difference::between(kind, &kept, fill.body(), now_ms);
                known.bar(kind, now_ms);
                known.remember(difference);
                drop(known);
                // Whatever was kept of this kind is not to be trusted either; it is not known which pages those are.
                freshness.new_epoch();
                return Verdict::Barred;
            }
            Some(_) => habit.equal = habit.equal.saturating_add(1),
            None => {}
        }
        if habit.equal >= EQUAL_MIN {
            habit.candidates.clear();
            let times = (habit.equal - EQUAL_MIN).min(16);
            return Verdict::Trusted { recheck_ms: now_ms + (RECHECK_FIRST_MS << times).min(RECHECK_LAST_MS) };
        }
        if habit.candidates.len() >= CANDIDATES_MAX {
            habit.candidates.pop_front();
        }
        let kept = fill.body()[..fill.body().len().min(KEPT_MAX)].to_vec();
        habit.candidates.push_back(Candidate { variant, entry: Entry::new(entry.stamp(), entry.deps().clone()), print, kept });
        Verdict::NotYet
    }

    fn lock(&self) -> MutexGuard<'_, Learnt> {
        // Nothing panics while it is held, and every state in between is a valid one.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Learnt {
    fn bar(&mut self, kind: &str, now_ms: u64) {
        let habit = self.kinds.entry(kind.to_owned()).or_default();
        habit.barred_ms = (habit.barred_ms * 2).clamp(BARRED_FIRST_MS, BARRED_LAST_MS);
        habit.barred_until_ms = now_ms + habit.barred_ms;
        habit.equal = 0;
        habit.candidates.clear();
    }

    fn remember(&mut self, difference: Difference) {
        warn!(kind = %difference.kind, offset = difference.offset, barred_minutes = BARRED_FIRST_MS / 60_000,
              "a page differed although nothing it was made of had changed; it is not stored any more");
        if self.differences.len() >= DIFFERENCES_MAX {
            self.differences.pop_front();
        }
        self.differences.push_back(difference);
    }
}

impl Print {
    fn of(status: u16, body: &[u8]) -> Print {
        use std::hash::Hasher;
        let mut hasher = std::hash::DefaultHasher::new();
        hasher.write(body);
        Print { status, length: body.len(), hash: hasher.finish() }
    }
}

impl Difference {
    fn between(kind: &str, before: &[u8], after: &[u8], now_ms: u64) -> Difference {
        let offset = before.iter().zip(after).position(|(a, b)| a != b).unwrap_or(before.len().min(after.len()));
        let around = |body: &[u8]| {
            let piece = &body[offset.saturating_sub(40).min(body.len())..(offset + 80).min(body.len())];
            String::from_utf8_lossy(piece).into_owned()
        };
        Difference { kind: kind.to_owned(), at_unix_ms: now_ms, offset, before: around(before), after: around(after) }
    }
}

/// A route's name and the path's shape: pieces that are numbers or long identifiers are one.
pub(crate) fn kind_of(route: &str, method: Method, path: &[u8]) -> String {
    let path = path.split(|&byte| byte == b'?').next().unwrap_or_default();
    let mut kind = format!("{route} {}", if method == Method::Get { "" } else { "other " });
    for piece in path.split(|&byte| byte == b'/').skip(1) {
        kind.push('/');
        let identifier = piece.len() >= 16 && piece.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-');
        if !piece.is_empty() && (piece.iter().all(u8::is_ascii_digit) || identifier) {
            kind.push('*');
        } else {
            kind.push_str(&String::from_utf8_lossy(piece));
        }
    }
    kind
}

/// What the head says of an answer, for [`Follow::takes`].
pub(super) fn answered(status: u16, lines: &[u8]) -> Answered<'_> {
    Answered::of(status, field_lines(lines))
}

#[cfg(test)]
mod tests;
