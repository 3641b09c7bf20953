//! Rendezvous hashing (highest random weight): every member draws a lot for the key, the best lot owns it. Weighted by the method of
//! Schindelhauer and Schomaker (2005): the lot `-weight / ln(u)`, u uniform in (0, 1), wins with probability weight / total.
use crate::{Member, nth};

#[derive(Clone, Debug)]
pub struct Rendezvous {
    members: Vec<Member>,
}

impl Rendezvous {
    pub fn new(members: &[Member]) -> Rendezvous {
        Rendezvous { members: members.to_vec() }
    }

    /// The index of the member `key` belongs to, among those `may` accepts. Cost: one hash and one logarithm per member.
    pub fn pick(&self, key: u64, mut may: impl FnMut(usize) -> bool) -> Option<usize> {
        let accepted = self.members.iter().enumerate().filter(|(index, _)| may(*index));
        let lots = accepted.map(|(index, member)| (lot(member, key), member.id, index));
        lots.max_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))).map(|(_, _, index)| index)
    }
}

// === helpers ===

fn lot(member: &Member, key: u64) -> f64 {
    // 53 bits, moved off both ends: ln(0) and ln(1) would decide alone.
    let uniform = ((nth(member.id, key) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    -f64::from(member.weight.max(1)) / uniform.ln()
}
