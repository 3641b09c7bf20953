//! When a primary counts as dead.
//!
//! That *we* cannot reach it may be our own fault: an overloaded machine, a cut cable. Its replicas hold connections to it as well; only when
//! every one of them that we reach has lost it, too, is it dead.

use std::time::{Duration, Instant};

use super::member::State;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It answers.
    Serves,
    /// It does not, but not for long enough.
    Suspected,
    /// It does not, but a replica still receives from it: it is we who cannot reach it.
    OnlyWeLostIt,
    /// We reach nobody who could tell.
    NobodyTells,
    Dead,
}

/// `after`: how long it must be out of reach.
pub fn judge<'s>(primary: &State, replicas: impl Iterator<Item = &'s State>, after: Duration, now: Instant) -> Verdict {
    let Some(since) = primary.lost_since.filter(|_| !primary.reachable) else { return Verdict::Serves };
    if now.saturating_duration_since(since) < after {
        return Verdict::Suspected;
    }
    let mut told = false;
    for replica in replicas.filter(|replica| replica.reachable) {
        if replica.receiving {
            return Verdict::OnlyWeLostIt;
        }
        told = true;
    }
    if told { Verdict::Dead } else { Verdict::NobodyTells }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_primary_is_dead_by_the_word_of_its_replicas() {
        let began = Instant::now();
        let now = began + Duration::from_secs(10);
        let ago = |seconds| State { reachable: false, lost_since: Some(now - Duration::from_secs(seconds)), ..State::default() };
        let serves = State { reachable: true, ..State::default() };
        let receives = State { reachable: true, receiving: true, ..State::default() };
        let lost_it = State { reachable: true, receiving: false, ..State::default() };
        // What an unreachable replica was last seen doing says nothing.
        let gone = State { reachable: false, receiving: true, ..State::default() };
        let never_tried = State::default();
        for (primary, replicas, verdict) in [
            (&serves, vec![&lost_it, &lost_it], Verdict::Serves),
            (&never_tried, vec![&lost_it], Verdict::Serves),
            (&ago(1), vec![&lost_it, &lost_it], Verdict::Suspected),
            (&ago(3), vec![&lost_it, &lost_it], Verdict::Dead),
            (&ago(3), vec![&lost_it, &receives], Verdict::OnlyWeLostIt),
            (&ago(3), vec![&lost_it, &gone], Verdict::Dead),
            (&ago(3), vec![&gone, &gone], Verdict::NobodyTells),
            (&ago(3), vec![], Verdict::NobodyTells),
        ] {
            assert_eq!(judge(primary, replicas.clone().into_iter(), Duration::from_secs(2), now), verdict, "{primary:?} {replicas:?}");
        }
    }
}
