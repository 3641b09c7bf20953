//! How long to wait before a worker that died is started again.
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);

/// Doubles with every early death in a row up to ten seconds, then spread by a fifth either way, so that workers that died together
/// (the database went away) do not come back together. `dice` is uniform in 0..=1. `deaths` counts from 1.
pub fn pause(deaths: u32, dice: f64) -> Duration {
    let doubled = FIRST.saturating_mul(1 << deaths.saturating_sub(1).min(16));
    doubled.min(LONGEST).mul_f64(0.8 + 0.4 * dice.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let pauses = [1, 2, 3, 7, 8, 9, u32::MAX].map(|deaths| pause(deaths, 0.5).as_millis());
        assert_eq!(pauses, [100, 200, 400, 6_400, 10_000, 10_000, 10_000]);
    }

    #[test]
    fn dice_spread_by_a_fifth() {
        assert_eq!(pause(1, 0.0), Duration::from_millis(80));
        assert_eq!(pause(1, 1.0), Duration::from_millis(120));
    }
}
