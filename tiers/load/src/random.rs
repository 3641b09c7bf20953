//! Dice for scenarios: a seeded generator, uniform and Zipf choice. Reproducible: the same seed gives the same requests.

/// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014): one addition and three mixes per
/// number, any seed is good. Not for secrets.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Lanes of one run take the same `seed` and their own number; their sequences do not meet in any test of practical length.
    pub fn new(seed: u64, lane: u64) -> Dice {
        let mut dice = Dice(seed ^ lane.wrapping_mul(0xA076_1D64_78BD_642F));
        dice.next();
        Dice(dice.next())
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in `0..bound`; `bound` > 0. By multiplication: the bias is below bound / 2^64.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// Uniform in `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Draws index `i` with the given weights in constant time, whatever their number (Walker's alias method, built as Vose 1991).
#[derive(Clone, Debug)]
pub struct Weighted {
    /// Per column: keep the column's own index below this share, take the alias above it.
    columns: Vec<(f64, u32)>,
}

impl Weighted {
    /// Panics unless there is a weight and all are finite, >= 0 and not all zero.
    pub fn new(weights: &[f64]) -> Weighted {
        let sum: f64 = weights.iter().sum();
        assert!(sum.is_finite() && sum > 0.0 && weights.iter().all(|w| *w >= 0.0));
        let n = weights.len();
        let mut columns: Vec<(f64, u32)> = weights.iter().enumerate().map(|(i, w)| (w * n as f64 / sum, i as u32)).collect();
        let (mut small, mut large): (Vec<u32>, Vec<u32>) = (0..n as u32).partition(|i| columns[*i as usize].0 < 1.0);
        while let (Some(s), Some(l)) = (small.pop(), large.last().copied()) {
            columns[s as usize].1 = l;
            columns[l as usize].0 -= 1.0 - columns[s as usize].0;
            if columns[l as usize].0 < 1.0 {
                large.pop();
                small.push(l);
            }
        }
        // What is left differs from 1 by rounding only.
        for i in small.into_iter().chain(large) {
            columns[i as usize] = (1.0, i);
        }
        Weighted { columns }
    }

    /// Item `i` (from 0) weighs 1 / (i + 1)^exponent.
    pub fn zipf(items: usize, exponent: f64) -> Weighted {
        let weights: Vec<f64> = (1..=items).map(|rank| (rank as f64).powf(-exponent)).collect();
        Weighted::new(&weights)
    }

    pub fn draw(&self, dice: &mut Dice) -> usize {
        let column = dice.below(self.columns.len() as u64) as usize;
        let (keep, alias) = self.columns[column];
        if dice.unit() < keep { column } else { alias as usize }
    }
}

#[cfg(test)]
mod tests;
