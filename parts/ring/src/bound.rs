//! Bounded load (Mirrokni, Thorup and Zadimoghaddam, 2018): nobody carries more than a factor of its fair share of what is under way;
//! what would go past it goes to the key's next preference. A hot key then spreads over as many members as it needs.

/// How much load each member may have at this moment.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    percent: u64,
    load_total: u64,
    weight_total: u64,
}

impl Bound {
    /// `percent`: of the fair share; 125 to 200 are usual, less than 101 is taken as 101 (with 100 the last request may find no room).
    /// `load_total`: requests under way over all members that count. `weight_total`: their weights' sum.
    pub fn new(percent: u32, load_total: u64, weight_total: u64) -> Bound {
        Bound { percent: u64::from(percent.max(101)), load_total, weight_total: weight_total.max(1) }
    }

    /// Whether a member of this `weight` with `load` under way may take one more.
    pub fn allows(&self, load: u64, weight: u64) -> bool {
        // load + 1 <= ceil(percent/100 * (load_total + 1) * weight/weight_total)
        let room = u128::from(self.percent) * u128::from(self.load_total + 1) * u128::from(weight);
        u128::from(load) < room.div_ceil(100 * u128::from(self.weight_total))
    }
}
