use super::*;

fn stage(level: f64, seconds: f64, ramp: bool) -> Stage {
    Stage { level, lasts: Duration::from_secs_f64(seconds), ramp }
}

#[test]
fn a_constant_rate_is_exact_for_every_arrival() {
    let profile = Profile::new(Duration::ZERO, &[stage(50_000.0, 20.0, false)]);
    let all: Vec<u64> = profile.arrivals(0, 1).collect();
    assert_eq!(all.len(), 1_000_000);
    for (i, at) in all.iter().enumerate() {
        assert!(at.abs_diff(i as u64 * 20_000) <= 1, "arrival {i} is planned at {at}");
    }
}

#[test]
fn lanes_share_the_arrivals_without_loss_or_repetition() {
    let profile = Profile::new(Duration::from_secs(1), &[stage(100.0, 3.0, true), stage(333.3, 2.0, false), stage(0.0, 1.0, true)]);
    let whole: Vec<u64> = profile.arrivals(0, 1).collect();
    let mut lanes: Vec<u64> = (0..3).flat_map(|lane| profile.arrivals(lane, 3)).collect();
    lanes.sort();
    assert_eq!(whole, lanes);
    assert!(whole.is_sorted());
}

#[test]
fn a_ramp_plans_the_integral_of_its_rate() {
    // 0 -> 100/s in 10 s is 500 arrivals, half of them in the last 29 % of the time.
    let profile = Profile::new(Duration::ZERO, &[stage(100.0, 10.0, true)]);
    let all: Vec<u64> = profile.arrivals(0, 1).collect();
    assert_eq!(all.len(), 500);
    let half = all.iter().filter(|at| **at < 7_071_067_811).count();
    assert!((249..=251).contains(&half), "{half} arrivals in the first 7.07 s");
    assert!((profile.arrivals_before(Duration::from_secs(5)) - 125.0).abs() < 1e-9);
}

#[test]
fn the_warmup_goes_before_the_stages_at_the_first_level() {
    let profile = Profile::new(Duration::from_secs(2), &[stage(10.0, 3.0, false), stage(20.0, 1.0, true)]);
    assert_eq!(profile.lasts(), Duration::from_secs(6));
    assert_eq!(profile.level(Duration::from_secs(1)), 10.0);
    assert_eq!(profile.level(Duration::from_millis(5500)), 15.0);
    assert_eq!(profile.level(Duration::from_secs(60)), 20.0);
    assert_eq!(profile.peak(), 20.0);
}
