use super::*;

#[test]
fn draws_follow_their_weights() {
    let mut dice = Dice::new(1, 0);
    let weighted = Weighted::new(&[80.0, 15.0, 0.0, 5.0]);
    let mut seen = [0u32; 4];
    for _ in 0..100_000 {
        seen[weighted.draw(&mut dice)] += 1;
    }
    assert_eq!(seen[2], 0);
    // Five standard deviations of a binomial are below 650.
    for (count, expected) in seen.iter().zip([80_000, 15_000, 0, 5_000]) {
        assert!(count.abs_diff(expected) < 700, "{seen:?}");
    }
}

#[test]
fn zipf_draws_have_the_law_s_ratio_between_ranks() {
    let mut dice = Dice::new(7, 3);
    let zipf = Weighted::zipf(1000, 1.0);
    let mut seen = vec![0f64; 1000];
    for _ in 0..400_000 {
        seen[zipf.draw(&mut dice)] += 1.0;
    }
    let ratio = seen[0] / seen[9];
    assert!((9.0..11.0).contains(&ratio), "rank 1 is drawn {ratio} times as often as rank 10");
}

#[test]
fn the_same_seed_gives_the_same_numbers_and_lanes_differ() {
    let numbers = |seed, lane| {
        let mut dice = Dice::new(seed, lane);
        (0..8).map(|_| dice.next()).collect::<Vec<_>>()
    };
    assert_eq!(numbers(5, 0), numbers(5, 0));
    assert_ne!(numbers(5, 0), numbers(5, 1));
    assert_ne!(numbers(5, 0), numbers(6, 0));
}
