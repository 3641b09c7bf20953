//! The policies: each looks at the members that may take a request and names one.
//!
//! None of them locks. Two cores choosing at the same instant may see the same load; the counters they leave behind are exact, so
//! the next choice evens it out.
use std::sync::{Arc, atomic::Ordering};

use pumasi_ring::{Bound, Maglev, Member, Rendezvous, Ring};

use crate::{Bounded, Policy, Pool, State, Table, Upstream};

/// What a hash policy looks keys up in; built when members, weights or the policy change.
pub(crate) enum KeyTable {
    None,
    Ring(Ring),
    Maglev(Maglev),
    Rendezvous(Rendezvous),
}

impl KeyTable {
    pub fn of(upstreams: &[Arc<Upstream>], policy: Policy) -> KeyTable {
        let Policy::Hash { by, .. } = policy else { return KeyTable::None };
        let member = |u: &Arc<Upstream>| Member { id: pumasi_ring::hash(u.name.as_bytes()), weight: u.weight() };
        let members: Vec<Member> = upstreams.iter().map(member).collect();
        match by {
            Table::Ring => KeyTable::Ring(Ring::new(&members)),
            Table::Maglev => KeyTable::Maglev(Maglev::new(&members)),
            Table::Rendezvous => KeyTable::Rendezvous(Rendezvous::new(&members)),
        }
    }

    fn pick(&self, key: u64, may: impl FnMut(usize) -> bool) -> Option<usize> {
        match self {
            KeyTable::None => None,
            KeyTable::Ring(table) => table.pick(key, may),
            KeyTable::Maglev(table) => table.pick(key, may),
            KeyTable::Rendezvous(table) => table.pick(key, may),
        }
    }
}

/// The upstream `state`'s policy chooses among those `may` accepts; `None` if it accepts none.
pub(crate) fn pick<'s>(
    pool: &Pool,
    state: &'s State,
    key: Option<u64>,
    now_us: u64,
    may: &impl Fn(&Upstream) -> bool,
) -> Option<&'s Arc<Upstream>> {
    if let [only] = &state.upstreams[..] {
        // Its turn is always. But from when its slow start counts is to be known when another joins.
        let _ = only.share(&state.settings, now_us);
        return may(only).then_some(only);
    }
    let turn = || pool.turns.fetch_add(1, Ordering::Relaxed);
    match state.settings.policy {
        Policy::RoundRobin => weighted_round_robin(pool, state, now_us, may),
        Policy::LeastInFlight => least_in_flight(state, turn(), now_us, may),
        Policy::PowerOfTwo => power_of_two(state, mixed(turn()), now_us, may),
        // A request without a key (its cookie is not set yet) goes anywhere.
        Policy::Hash { bound, .. } => by_key(state, key.unwrap_or_else(|| mixed(turn())), bound, may),
    }
}

/// Stride scheduling: each member has a `pass`, the one with the lowest goes next and moves on by a stride inverse to its share. Over any
/// stretch each gets its share to within one request, evenly spaced.
///
/// `virtual_time` is the lowest pass seen. A member that was away (or is new) starts from it: it has no arrears to collect.
fn weighted_round_robin<'s>(pool: &Pool, state: &'s State, now_us: u64, may: &impl Fn(&Upstream) -> bool) -> Option<&'s Arc<Upstream>> {
    loop {
        let present = pool.virtual_time.load(Ordering::Relaxed);
        let candidates = state.upstreams.iter().filter(|u| may(u));
        let next = candidates.min_by_key(|u| u.pass.load(Ordering::Relaxed).max(present))?;
        let written = next.pass.load(Ordering::Relaxed);
        let pass = written.max(present);
        let moved = pass + STRIDE / next.share(&state.settings, now_us);
        // Whoever loses this race looks again: the winner has moved on, so the loser gets the next in line. Each loss is another
        // core's progress.
        if next.pass.compare_exchange(written, moved, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            pool.virtual_time.fetch_max(pass, Ordering::Relaxed);
            return Some(next);
        }
    }
}

/// Lowest (in flight + 1) / share; equals are taken in turn, or an idle pool would always use its first member.
fn least_in_flight<'s>(state: &'s State, turn: u64, now_us: u64, may: &impl Fn(&Upstream) -> bool) -> Option<&'s Arc<Upstream>> {
    let members = &state.upstreams;
    let start = (turn % members.len().max(1) as u64) as usize;
    let rotated = members[start..].iter().chain(&members[..start]).filter(|u| may(u));
    rotated.min_by(|a, b| {
        // a.load / a.share < b.load / b.share, without dividing.
        let load = |u: &Upstream| u128::from(u.in_flight()) + 1;
        let share = |u: &Upstream| u128::from(u.share(&state.settings, now_us));
        (load(a) * share(b)).cmp(&(load(b) * share(a)))
    })
}

/// Two distinct members at random, then the cheaper one. Random pairs keep cores that see the same numbers from all rushing to the
/// same best member, as they would with a full comparison.
fn power_of_two<'s>(state: &'s State, dice: u64, now_us: u64, may: &impl Fn(&Upstream) -> bool) -> Option<&'s Arc<Upstream>> {
    let candidates = || state.upstreams.iter().filter(|u| may(u));
    // `may` can change its mind between the walks (another core took a place), so nothing below relies on the count.
    let count = candidates().count() as u64;
    if count < 2 {
        return candidates().next();
    }
    let one = (dice >> 32) % count;
    let other = (one + 1 + (dice & 0xffff_ffff) % (count - 1)) % count;
    let first = candidates().nth(one as usize).or_else(|| candidates().next())?;
    let second = candidates().nth(other as usize).unwrap_or(first);
    let cost = |u: &Upstream| u.latency.cost(u.in_flight(), now_us) / u.share(&state.settings, now_us) as f64;
    Some(if cost(second) < cost(first) { second } else { first })
}

/// The key's owner; while that is out or over its bound, the key's next preference.
fn by_key<'s>(state: &'s State, key: u64, bound: Bounded, may: &impl Fn(&Upstream) -> bool) -> Option<&'s Arc<Upstream>> {
    let members = &state.upstreams;
    let index = match bound {
        Bounded::Unbounded => state.keys.pick(key, |index| may(&members[index])),
        Bounded::Percent(percent) => {
            // Only members that can take requests count: what the others would carry has to fit as well.
            let counted = || members.iter().filter(|u| may(u));
            let load = counted().map(|u| u64::from(u.in_flight())).sum();
            let bound = Bound::new(percent.into(), load, counted().map(|u| u64::from(u.weight())).sum());
            let has_room = |u: &Upstream| bound.allows(u.in_flight().into(), u.weight().into());
            // The numbers move under us; when they leave room for nobody, the owner it is.
            let within = state.keys.pick(key, |index| may(&members[index]) && has_room(&members[index]));
            within.or_else(|| state.keys.pick(key, |index| may(&members[index])))
        }
    };
    index.map(|index| &members[index])
}

// === helpers ===

/// A stride is this over the share: 4 Mi for weight 1, 4 Ki for the largest. Fine enough to tell weights 999 and 1000 apart, and
/// coarse enough that a pass reaches the end of its 64 bits after 4 * 10^12 requests.
const STRIDE: u64 = 1 << 32;

/// splitmix64's finaliser: spreads a counter over all 64 bits.
fn mixed(counter: u64) -> u64 {
    let mut z = counter.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
