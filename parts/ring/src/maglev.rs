//! Maglev hashing (Eisenbud et al., NSDI 2016, section 3.4): a table in which every member fills the slots of its own permutation,
//! turn by turn, until it is full. One load per look-up and nearly equal shares, for a few more moved keys than a ring.
use crate::{Member, first_accepted, nth};

#[derive(Clone, Debug)]
pub struct Maglev {
    slots: Vec<u16>,
    members: usize,
}

impl Maglev {
    /// At most 65 535 members are considered. Cost: a few hundred thousand steps, so for when members change, not for each request.
    pub fn new(members: &[Member]) -> Maglev {
        let members = &members[..members.len().min(usize::from(u16::MAX))];
        if members.is_empty() {
            return Maglev { slots: Vec::new(), members: 0 };
        }
        // In the order of the ids, so that the order of `members` does not matter.
        let mut order: Vec<u16> = (0..members.len() as u16).collect();
        order.sort_unstable_by_key(|index| members[usize::from(*index)].id);
        let mut turns: Vec<Turns> = order.iter().map(|index| Turns::of(&members[usize::from(*index)])).collect();
        let heaviest = members.iter().map(|m| m.weight.max(1)).max().map_or(1, u64::from);

        let mut slots = vec![FREE; SLOTS as usize];
        let mut free = SLOTS;
        while free > 0 {
            for (place, turns) in turns.iter_mut().enumerate() {
                // A member of half the weight takes every second turn.
                turns.credit += turns.weight;
                if turns.credit < heaviest || free == 0 {
                    continue;
                }
                turns.credit -= heaviest;
                let slot = turns.next_free(&slots);
                slots[slot] = order[place];
                free -= 1;
            }
        }
        Maglev { slots, members: members.len() }
    }

    /// The index of the member `key` belongs to, or of the owner of the next slots that `may` accepts.
    pub fn pick(&self, key: u64, may: impl FnMut(usize) -> bool) -> Option<usize> {
        let start = (key % SLOTS) as usize % self.slots.len().max(1);
        let onwards = self.slots[start..].iter().chain(&self.slots[..start]);
        first_accepted(onwards.map(|member| usize::from(*member)), self.members, may)
    }
}

/// One member's walk through its permutation of the slots: offset, offset + skip, ...; a permutation because `SLOTS` is prime.
struct Turns {
    weight: u64,
    credit: u64,
    at: u64,
    skip: u64,
}

impl Turns {
    fn of(member: &Member) -> Turns {
        let (at, skip) = (nth(member.id, 0) % SLOTS, nth(member.id, 1) % (SLOTS - 1) + 1);
        Turns { weight: u64::from(member.weight.max(1)), credit: 0, at, skip }
    }

    /// The caller knows that a slot is free; a permutation meets it.
    fn next_free(&mut self, slots: &[u16]) -> usize {
        loop {
            let slot = self.at as usize;
            self.at = (self.at + self.skip) % SLOTS;
            if slots[slot] == FREE {
                return slot;
            }
        }
    }
}

// === helpers ===

/// A prime, some hundred times the members one pool is likely to have: shares are then equal within one per cent.
const SLOTS: u64 = 65_537;
const FREE: u16 = u16::MAX;
