//! The ketama ring: each member at many points of a circle, a key belongs to the next point clockwise.
use crate::{Member, first_accepted, nth};

#[derive(Clone, Debug)]
pub struct Ring {
    /// (position, member), by position.
    points: Vec<(u64, u32)>,
    members: usize,
}

impl Ring {
    /// Cost: some 160 points per member of average weight, sorted.
    pub fn new(members: &[Member]) -> Ring {
        let total: u64 = members.iter().map(|m| u64::from(m.weight.max(1))).sum();
        let mut points = Vec::with_capacity(members.len() * POINTS as usize);
        for (index, member) in members.iter().enumerate() {
            // Points in proportion to the weight, 160 on average; never none, or a light member would own nothing.
            let share = POINTS * members.len() as u64 * u64::from(member.weight.max(1)) / total;
            points.extend((0..share.max(1)).map(|n| (nth(member.id, n), index as u32)));
        }
        // Equal positions (one in 10^14) go by the member's id, so that the order of `members` does not matter.
        points.sort_unstable_by_key(|(position, index)| (*position, members[*index as usize].id));
        Ring { points, members: members.len() }
    }

    /// The index of the member `key` belongs to, or of the next one clockwise that `may` accepts.
    pub fn pick(&self, key: u64, may: impl FnMut(usize) -> bool) -> Option<usize> {
        let start = self.points.partition_point(|(position, _)| *position < key);
        let clockwise = self.points[start..].iter().chain(&self.points[..start]);
        first_accepted(clockwise.map(|(_, member)| *member as usize), self.members, may)
    }
}

// === helpers ===

/// Points per member of average weight. Shares spread by about 1/sqrt(points): 160 keep them near 8 %, for 2.5 KiB per member.
const POINTS: u64 = 160;
